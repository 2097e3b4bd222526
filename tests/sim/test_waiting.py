"""Goal: why jobs and items wait is told apart, to the second: held, its host unknown, closed or away, the controller
away, the limits of its task.

Method: small worlds in which each reason has its own known time; worlds of the swarm, whose waiting jobs are all in
some reason, and whose items are as many as the records say.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import pytest

from model.configuration import ClusterDefinition, Configuration, HostDefinition
from model.events import HostVerb, JobVerb, OrderHost, OrderJob, OrderTask, TaskVerb
from model.job import SECOND, HostPolicy, HostWish, Wait
from model.records import ItemsFound, JobAccepted
from model.task import FilesSource, Limits, Periods, TaskDefinition
from model.windows import Window
from sim.distributions import Constant
from sim.log import Committed
from sim.measuring import Measuring
from sim.scenario import Fault, Items, Kind, Network, Ordered, Scenario, Sharer, TaskWeather
from sim.simulation import simulate
from sim.swarm import swarm
from sim.timeline import Timeline
from sim.views import for_all
from sim.waiting import OF_ITEMS, OF_JOBS

MINUTE = 60 * SECOND
HOUR = 60 * MINUTE


def watch(task: TaskDefinition, *, hosts: int = 1, run_ns: int = MINUTE, **more: object) -> dict[str, float]:
    """Minutes of waiting by reason."""
    cluster = ClusterDefinition(hosts=tuple(HostDefinition(f"node{number}") for number in range(1, hosts + 1)))
    timeline = Timeline()
    weather = {task.name: TaskWeather(run=Constant(run_ns), items=more.pop("items", None))}  # type: ignore[arg-type]
    scenario = Scenario(**{"for_ns": 6 * HOUR, "network": Network(0, 0, 0), "tasks": weather, **more})  # type: ignore[arg-type]
    simulate(Configuration("small", "/", (task,), cluster), scenario, readers=(timeline,))
    found: Counter[str] = Counter()
    for (_, reason, _), spent in timeline.hurt.items():
        found[reason] += spent
    return {reason: round(spent / MINUTE, 1) for reason, spent in found.items() if spent > SECOND}


def task(**more: object) -> TaskDefinition:
    """One job each hour, two in all."""
    usual = {"name": "a", "periods": Periods(exec_ns=HOUR, pending_ns=0, timeout_ns=0), "limits": Limits(total=2)}
    return TaskDefinition(command=("x",), **{**usual, **more})  # type: ignore[arg-type]


def on(host: str, **more: object) -> HostWish:
    return HostWish(host, required=True, **more)  # type: ignore[arg-type]


# jobs


def test_a_job_that_a_person_holds_waits_for_the_person() -> None:
    """The second comes at 60 min behind one that runs 90 min, and is held from 70 to 100 min."""
    orders = (
        Ordered(70 * MINUTE, job=OrderJob(1, JobVerb.HOLD, 2)),
        Ordered(100 * MINUTE, job=OrderJob(2, JobVerb.RELEASE, 2)),
    )
    assert watch(task(), run_ns=90 * MINUTE, orders=orders) == {"no free slot": 10, "held": 30}


def test_a_hold_that_ends_by_itself() -> None:
    orders = (Ordered(70 * MINUTE, job=OrderJob(1, JobVerb.HOLD, 2, until_ns=10 * MINUTE)),)
    assert watch(task(), run_ns=90 * MINUTE, orders=orders) == {"no free slot": 20, "held": 10}


def test_a_job_whose_host_is_in_no_configuration_waits_until_it_is() -> None:
    """Two jobs, at 0 and 60 min; the host is there from 90 min on, has one slot, and each job runs 10 min."""
    wish = on("node9", when_unknown=HostPolicy(Wait.WAIT))
    given = task(host=wish)
    more = Configuration(
        "small", "/", (given,), ClusterDefinition(hosts=(HostDefinition("node1"), HostDefinition("node9")))
    )
    found = watch(given, run_ns=10 * MINUTE, orders=(Ordered(90 * MINUTE, reload=more),))
    assert found == {"required host unknown": 90 + 30, "no free slot": 10}


@pytest.mark.parametrize("verb", [HostVerb.DRAIN, HostVerb.OFF])
def test_a_job_whose_host_a_person_has_closed(verb: HostVerb) -> None:
    orders = (
        Ordered(50 * MINUTE, host=OrderHost(1, verb, "node1")),
        Ordered(90 * MINUTE, host=OrderHost(2, HostVerb.ON, "node1")),
    )
    assert watch(task(host=on("node1")), orders=orders) == {"required host closed": 30}


def test_a_host_that_is_open_again_has_no_slot_like_any_other() -> None:
    """Jobs of 10 min come at 0, 30 and 60 min; the host is closed from 20 to 70, so the third waits for the second."""
    orders = (
        Ordered(20 * MINUTE, host=OrderHost(1, HostVerb.DRAIN, "node1")),
        Ordered(70 * MINUTE, host=OrderHost(2, HostVerb.ON, "node1")),
    )
    often = Periods(exec_ns=30 * MINUTE, pending_ns=0, timeout_ns=0)
    found = watch(task(host=on("node1"), periods=often, limits=Limits(total=3)), run_ns=10 * MINUTE, orders=orders)
    assert found == {"required host closed": 40 + 10, "no free slot": 10}


def test_a_closed_host_that_goes_down_is_away() -> None:
    orders = (Ordered(50 * MINUTE, host=OrderHost(1, HostVerb.DRAIN, "node1")),)
    faults = (Fault(Kind.DOWN, ("node1",), 70 * MINUTE, 290 * MINUTE),)
    found = watch(task(host=on("node1")), orders=orders, faults=faults)
    assert found == {"required host closed": 10, "required host away": 290}


@pytest.mark.parametrize(
    "fault",
    [
        Fault(Kind.RESTARTED, ("controller",), 50 * MINUTE, 40 * MINUTE),
        Fault(Kind.LOST, ("scheduler", "controller"), 50 * MINUTE, 40 * MINUTE),
        Fault(Kind.ONE_WAY, ("controller", "scheduler"), 50 * MINUTE, 40 * MINUTE),
    ],
)
def test_a_job_that_the_controller_does_not_get(fault: Fault) -> None:
    """It comes at 60 min, the controller is reached again at 90."""
    found = watch(task(), faults=(fault,))
    assert list(found) == ["controller away"]
    assert found["controller away"] == pytest.approx(30, abs=0.5)


def test_a_job_whose_kind_waits_at_the_controller_as_often_as_may_be_waits_at_the_scheduler() -> None:
    """Six at once for one slot, of which one waits there: 1 + 2 + 3 + 4 + 5 min in all, 10 of them in the line."""
    given = TaskDefinition("a", command=("x",), source=FilesSource("*"), periods=Periods(exec_ns=SECOND, pending_ns=0))
    cluster = ClusterDefinition(hosts=(HostDefinition("node1"),), front_max=1)
    timeline = Timeline()
    weather = {"a": TaskWeather(run=Constant(MINUTE), items=Items(every_ns=0, burst=6, count=6, first_ns=MINUTE))}
    scenario = Scenario(for_ns=HOUR, network=Network(0, 0, 0), tasks=weather)
    simulate(Configuration("small", "/", (given,), cluster), scenario, readers=(timeline,))
    hurt = {why: spent / MINUTE for (_, why, _), spent in timeline.hurt.items() if spent > SECOND}
    assert hurt == {"with the scheduler": pytest.approx(10, abs=0.1), "no free slot": pytest.approx(5, abs=0.1)}


# items


def sourced(**more: object) -> TaskDefinition:
    usual = {"periods": Periods(exec_ns=SECOND, pending_ns=0), "source": FilesSource("*"), "limits": Limits()}
    return task(**{**usual, **more})


AT_ONCE = Items(every_ns=0, burst=10, count=10, first_ns=MINUTE)


def test_items_wait_for_the_limit_of_their_task_and_not_their_jobs() -> None:
    """Ten at once, one job at a time of 10 min: 10 + 20 + ... + 90 min. There are slots for all."""
    found = watch(sourced(limits=Limits(in_flight=1)), hosts=9, run_ns=10 * MINUTE, items=AT_ONCE)
    assert found == {"task limit": 450}


def test_items_beyond_the_total_of_their_task_wait_for_good() -> None:
    found = watch(sourced(limits=Limits(total=7)), hosts=9, items=AT_ONCE, for_ns=61 * MINUTE)
    assert found == {"task limit": 3 * 60}


def test_items_of_a_task_that_is_held_or_closed_are_told_apart_from_its_limit() -> None:
    """Held from 0 to 20 min; its window opens at 00:30."""
    midnight = datetime(2026, 1, 1, tzinfo=UTC)
    start = int(midnight.timestamp()) * SECOND
    orders = (
        Ordered(1, task=OrderTask(1, TaskVerb.HOLD, "a")),
        Ordered(20 * MINUTE, task=OrderTask(2, TaskVerb.RELEASE, "a")),
    )
    opens = Window(UTC, from_s=1800, to_s=23 * 3600)
    items = Items(every_ns=0, burst=2, count=2, first_ns=0)
    found = watch(sourced(windows=(opens,)), hosts=2, orders=orders, items=items, start_wall_ns=start)
    assert found == {"task held": 2 * 20, "task makes no job": 2 * 10}


def test_an_item_waits_for_the_limit_only_as_long_as_it_is_reached() -> None:
    """Two items, a job of 10 min at a time: the first runs from 1 to 11 min. From 5 to 30 min the window is closed."""
    start = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * SECOND
    windows = (Window(UTC, from_s=0, to_s=300), Window(UTC, from_s=1800, to_s=23 * 3600))
    given = sourced(windows=windows, limits=Limits(in_flight=1))
    items = Items(every_ns=0, burst=2, count=2, first_ns=MINUTE)
    found = watch(given, hosts=2, run_ns=10 * MINUTE, items=items, start_wall_ns=start)
    assert found == {"task limit": 10, "task makes no job": 19}


def test_items_of_a_task_that_is_deleted_wait_for_nobody() -> None:
    orders = (Ordered(31 * MINUTE, task=OrderTask(1, TaskVerb.DELETE, "a")),)
    found = watch(sourced(limits=Limits(total=7)), hosts=9, items=AT_ONCE, orders=orders)
    assert found == {"task limit": 3 * 30}


def test_of_several_schedulers_each_task_has_its_own_limit_and_each_link_its_own_cut() -> None:
    """North: ten items, one at a time, 10 min each. South cannot reach the controller from 50 to 90 min."""
    north, south = sourced(limits=Limits(in_flight=1)), task(name="b")
    hosts = tuple(HostDefinition(f"node{number}") for number in range(4))
    sharers = (
        Sharer(
            "north", Configuration("n", "/", (north,)), {"a": TaskWeather(run=Constant(10 * MINUTE), items=AT_ONCE)}
        ),
        Sharer("south", Configuration("s", "/", (south,)), {"b": TaskWeather(run=Constant(MINUTE))}),
    )
    cut = Fault(Kind.LOST, ("scheduler/south", "controller"), 50 * MINUTE, 40 * MINUTE)
    scenario = Scenario(for_ns=6 * HOUR, network=Network(0, 0, 0), schedulers=sharers, faults=(cut,))
    timeline = Timeline()
    world = (Configuration("c", "/", cluster=ClusterDefinition(hosts=hosts)), scenario)
    simulate(*world, readers=(for_all(scenario, timeline),))
    hurt = {key: round(spent / MINUTE, 1) for key, spent in timeline.hurt.items() if spent > SECOND}
    assert hurt.pop(("south.b", "controller away", "")) == pytest.approx(30, abs=0.5)
    assert hurt == {("north.a", "task limit", ""): 450}


# whatever happens


class WaitingItems:
    """Items that were found and of which no job was made, x ns, counted anew from the records."""

    def __init__(self) -> None:
        self.waiting: Counter[str] = Counter()
        self.area = 0
        self.at = 0
        self.table = {Committed: self.read}

    def read(self, line: Committed) -> None:
        record = line.record
        self.pass_time(line.t)
        if isinstance(record, ItemsFound):
            self.waiting[record.task] += len(record.items)
        elif isinstance(record, JobAccepted) and record.spec.item is not None and record.due_ns:
            self.waiting[record.spec.task] -= 1
            assert self.waiting[record.spec.task] >= 0

    def pass_time(self, now: int) -> None:
        self.area += sum(self.waiting.values()) * (now - self.at)
        self.at = now


@pytest.mark.parametrize("seed", range(1, 9))
def test_every_waiting_job_and_item_is_in_one_reason(seed: int) -> None:
    configuration, scenario = swarm(seed)
    timeline, measuring, items = Timeline(), Measuring(), WaitingItems()
    result = simulate(configuration, scenario, readers=(timeline, measuring, items))
    items.pass_time(result.ended_ns)
    metrics = measuring.metrics()
    spent: Counter[str] = Counter()
    for (_, why, _), time in timeline.hurt.items():
        spent[why] += time
    assert metrics.queue_mean is not None
    of_jobs = sum(spent[reason.value] for reason in OF_JOBS)
    assert of_jobs == pytest.approx(metrics.queue_mean * (metrics.end - metrics.begin), rel=1e-6)
    assert sum(spent[reason.value] for reason in OF_ITEMS) == items.area
