"""Goal: a scheduler that gives its executors only the first jobs of each line does what one does that gives them all.

Method: the small world with lines that are given out after one, two or four jobs (`front_max`; else it is 10,000). What
is so for each rule is told one by one; then Hypothesis does whatever people and faults can do, and the counts of the
lines are compared with the jobs after each step.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule
from msgspec.structs import replace

from model.channel import LinkState
from model.configuration import FRONT_MAX, Order
from model.effects import Effect
from model.events import (
    DefineTask,
    Delivered,
    HostVerb,
    IntakeVerb,
    JobVerb,
    LinkDown,
    LinkUp,
    OrderHost,
    OrderIntake,
    OrderJob,
    OrderTask,
    Submit,
    TaskVerb,
)
from model.explain import Reason
from model.job import LOCAL, SECOND, HostPolicy, HostWish, JobId, JobSpec, JobState, Wait
from model.kept_specs import KeptSpec
from model.lines import DEAD_KEPT, LONG, Executor, Line
from model.messages import Batch, Inventory
from model.records import AttemptAssigned, AttemptGiven
from model.resources import Needs
from model.scheduler import CONTROLLER, Scheduler
from model.task import FilesSource, Retry
from tests.model.small_world import SmallWorld, cluster, task
from tests.model.test_any_order import CLUSTER, AnyOrder, scheduler_events, tell, told

ONE_SLOT = cluster(("node1", 1), front_max=2)


def submit(world: SmallWorld, *words: str, count: int = 1, **fields: Any) -> None:
    """So many ad-hoc jobs."""
    world.give(*[Submit(1, JobSpec("adhoc", words or ("run", "10", "0"), **fields)) for _ in range(count)])


def given_out(world: SmallWorld) -> list[int]:
    """Jobs in the order in which they were given to an executor."""
    return [record.job for record in world.records if isinstance(record, AttemptAssigned)]


def at_hosts(world: SmallWorld) -> list[tuple[int, str]]:
    """Jobs in the order in which they were given to hosts."""
    return [(record.job, record.host) for record in world.records if isinstance(record, AttemptGiven)]


def standing(world: SmallWorld, name: str = CONTROLLER) -> list[int]:
    """Jobs that stand before an executor."""
    return [
        number
        for number, job in world.scheduler.jobs.items()
        if job.in_line and world.scheduler.executor_of(job).name == name
    ]


# order


def test_an_executor_has_the_first_ones_and_gets_the_next_when_one_starts() -> None:
    world = SmallWorld(definition=ONE_SLOT)
    submit(world, count=6)
    assert given_out(world) == [1, 2, 3] and standing(world) == [4, 5, 6], "one runs, two wait"
    assert world.controller.queued == 2
    world.run(10)
    assert given_out(world) == [1, 2, 3, 4] and standing(world) == [5, 6]
    world.run(60)
    assert world.outcomes() == ["EXITED"] * 6 and [job for job, _ in at_hosts(world)] == [1, 2, 3, 4, 5, 6]


def test_a_line_moves_up_in_the_turn_in_which_a_start_is_heard_of() -> None:
    world = SmallWorld(definition=ONE_SLOT)
    submit(world, count=4)
    world.run(9.9)
    world.records.clear()
    world.run(0.1)
    told = [(type(record).__name__, getattr(record, "job", 0)) for record in world.records]
    assert told.index(("AttemptAssigned", 4)) == told.index(("AttemptStarted", 2)) + 1


def test_as_many_are_given_out_as_run_when_these_are_more() -> None:
    world = SmallWorld(definition=cluster(("node1", 5), ("node2", 5), front_max=2))
    submit(world, count=40)
    assert len(world.hosts["node1"].processes) == len(world.hosts["node2"].processes) == 5
    assert world.controller.queued == 10, "all that run may end at once"


def test_a_retry_has_its_turn_before_all_that_stand() -> None:
    retry = Retry(("exit 3",), times=1, backoff_ns=SECOND)
    flaky = task("flaky", "run", "10", "3", every=100_000, retry=retry)
    world = SmallWorld((flaky,), ONE_SLOT)
    world.run(1)
    submit(world, count=8)
    world.run(9.5)
    assert world.scheduler.jobs[JobId(1)].state is JobState.RETRYING and standing(world)
    world.run(2)
    assert world.scheduler.jobs[JobId(1)].state is JobState.PENDING, "it is with the executor, however many are"
    world.run(9)
    assert [job for job, _ in at_hosts(world)] == [1, 2, 1]


def test_one_that_was_given_out_before_has_its_turn_when_the_executor_is_back() -> None:
    world = SmallWorld(definition=ONE_SLOT)
    submit(world, count=6)
    world.give(OrderJob(2, JobVerb.HOLD, 2))
    assert standing(world) == [5, 6]
    world.scheduler.receive(LinkDown(CONTROLLER, "gone"), world.now)
    world.give(OrderJob(3, JobVerb.RELEASE, 2))
    assert standing(world) == [2, 5, 6]
    world.scheduler.receive(LinkUp(CONTROLLER), world.now)
    world.settle()
    assert standing(world) == [5, 6], "it is before 3 and 4, which the controller has"
    world.run(100)
    assert [job for job, _ in at_hosts(world)] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("order", [Order.FILL, Order.STRICT])
def test_hosts_get_what_they_would_get_if_all_were_given_out(order: Order) -> None:
    """As long as no more start at one moment than are given out."""
    found = []
    for front_max in (4, FRONT_MAX):
        world = SmallWorld(definition=cluster(("node1", 2), ("node2", 2), order=order, front_max=front_max))
        for number in range(60):
            seconds = str(3 + number * 7 % 11)
            wish = (HostWish(), HostWish("node1", True), HostWish("node2", False, 20 * SECOND))[number * 5 % 7 % 3]
            submit(world, "run", seconds, "0", slots=1 + (number % 5 == 0), host=wish)
            world.run(0.25)
        world.run(600)
        assert world.outcomes() == ["EXITED"] * 60
        found.append(at_hosts(world))
    assert found[0] == found[1]


def test_nobody_is_starved_by_a_line_that_cannot_go() -> None:
    world = SmallWorld(definition=cluster(("node1", 1), ("node2", 1), front_max=1))
    world.cut("node2")
    submit(world, count=5, host=HostWish("node2", True))
    submit(world, count=5, needs=Needs(labels=("fast",)))
    submit(world, "run", "1", "0")
    world.run(2)
    assert world.outcomes() == ["EXITED"], "a line for each host that is wanted, and each shape"
    assert len(standing(world)) == 8


def test_in_strict_order_there_is_one_line() -> None:
    world = SmallWorld(definition=cluster(("node1", 1), ("node2", 1), order=Order.STRICT, front_max=1))
    world.cut("node2")
    submit(world, count=3, host=HostWish("node2", True))
    submit(world, "run", "1", "0")
    world.run(5)
    assert world.outcomes() == [] and standing(world) == [2, 3, 4]
    world.mend("node2")
    world.run(120)
    assert [job for job, _ in at_hosts(world)] == [1, 2, 3, 4]


def test_jobs_of_a_required_host_that_fails_end_one_line_after_the_other() -> None:
    world = SmallWorld(definition=cluster(("node1", 1), front_max=1))
    submit(world, count=7, host=HostWish("moon", True, when_unknown=HostPolicy(Wait.FAIL)))
    assert world.outcomes() == ["HOST_UNKNOWN"] * 7


def test_several_lines_move_up_in_the_order_of_their_numbers() -> None:
    world = SmallWorld(definition=cluster(("node1", 1), ("node2", 1), front_max=2))
    world.scheduler.receive(LinkDown(CONTROLLER, "gone"), world.now)
    for number in range(6):
        submit(world, host=HostWish(f"node{1 + number % 2}", True))
    world.scheduler.receive(LinkUp(CONTROLLER), world.now)
    world.settle()
    assert given_out(world)[:4] == [1, 2, 3, 4]


def test_local_jobs_stand_in_a_line_of_their_own() -> None:
    world = SmallWorld(definition=cluster(("node1", 1), local_slots=1, front_max=1))
    submit(world, count=4, host=HostWish(LOCAL, True))
    submit(world, "run", "1", "0")
    world.run(2)
    assert world.outcomes() == ["EXITED"] and standing(world, LOCAL) == [3, 4]
    world.run(60)
    assert world.outcomes() == ["EXITED"] * 5


# orders of people


def test_a_job_in_a_line_is_held_and_has_its_place_when_it_is_released() -> None:
    world = SmallWorld(definition=ONE_SLOT)
    submit(world, count=6)
    world.give(OrderJob(2, JobVerb.HOLD, 4))
    assert world.answers[-1].ok and standing(world) == [5, 6]
    world.run(10)
    assert given_out(world) == [1, 2, 3, 5]
    world.give(OrderJob(3, JobVerb.RELEASE, 4))
    assert given_out(world) == [1, 2, 3, 5, 4], "before it would have been given out already"
    world.give(OrderJob(4, JobVerb.HOLD, 6), OrderJob(5, JobVerb.RELEASE, 6))
    assert standing(world) == [6]
    world.run(100)
    assert [job for job, _ in at_hosts(world)] == [1, 2, 3, 4, 5, 6]


def test_a_job_in_a_line_is_killed_at_once() -> None:
    world = SmallWorld(definition=ONE_SLOT)
    submit(world, count=5)
    world.give(OrderJob(2, JobVerb.KILL, 4))
    assert world.outcomes() == ["KILLED"] and world.answers[-1].ok
    world.run(100)
    assert [job for job, _ in at_hosts(world)] == [1, 2, 3, 5]


def test_a_flush_ends_those_in_the_line_as_well() -> None:
    world = SmallWorld((task("t", "run", "30", "0", every=1),), ONE_SLOT)
    world.run(10)
    world.give(OrderTask(7, TaskVerb.FLUSH, "t"))
    assert Counter(world.outcomes()) == {"KILLED": 10}
    [answer] = [answer for answer in world.answers if answer.request == 7]
    assert answer.text == "task t: 10 jobs flushed" and not standing(world)


def test_nothing_moves_up_while_nothing_may_be_given_out() -> None:
    world = SmallWorld(definition=ONE_SLOT)
    submit(world, count=6)
    world.give(OrderIntake(2, IntakeVerb.HALT))
    world.run(15)
    assert given_out(world) == [1, 2, 3]
    world.give(OrderIntake(3, IntakeVerb.RESUME))
    assert given_out(world) == [1, 2, 3, 4]
    world.run(100)
    assert world.outcomes() == ["EXITED"] * 6


def test_after_a_shutdown_that_killed_those_in_the_line_run_next_time() -> None:
    world = SmallWorld(definition=ONE_SLOT)
    submit(world, count=6)
    world.give(OrderIntake(2, IntakeVerb.SHUTDOWN_KILL))
    world.run(10)
    assert world.idle == 1 and standing(world) == [2, 3, 4, 5, 6]
    world.restart_server()
    world.run(100)
    assert Counter(world.outcomes()) == {"KILLED": 1, "EXITED": 5}


def test_a_reload_does_not_change_what_a_job_in_a_line_runs() -> None:
    old = task("t", "run", "10", "$item", every=1, source=FilesSource("*"))
    world = SmallWorld((old,), ONE_SLOT)
    world.items["t"] = ("0", "00", "000", "0000", "3", "4")
    world.run(1)
    assert isinstance(world.scheduler.jobs[JobId(6)].kept, KeptSpec)
    world.give(DefineTask(2, replace(old, command=("run", "1", "77"), slots=1)))
    assert world.scheduler.jobs[JobId(6)].spec.command == ("run", "10", "4")
    world.run(100)
    assert sorted(end.report.exit_code or 0 for end in world.ends) == [0, 0, 0, 0, 3, 4]


# time


def test_a_job_that_stands_too_long_ends_pending_timeout() -> None:
    world = SmallWorld(definition=ONE_SLOT)
    submit(world, "run", "100", "0")
    submit(world, count=5, pending_ns=30 * SECOND)
    world.run(29.9)
    assert world.outcomes() == []
    world.run(0.2)
    assert world.outcomes() == ["PENDING_TIMEOUT"] * 5
    assert {end.report.waited_ns for end in world.ends} == {30 * SECOND}


def test_the_time_in_the_line_counts_for_the_executor() -> None:
    world = SmallWorld(definition=ONE_SLOT)
    submit(world, "run", "25", "0")
    submit(world, "run", "10", "0")
    submit(world, count=2, pending_ns=30 * SECOND)
    world.run(26)
    assert standing(world) == []
    world.run(5)
    assert world.outcomes() == ["EXITED", "PENDING_TIMEOUT", "PENDING_TIMEOUT"]


def test_one_that_came_again_has_its_own_time() -> None:
    world = SmallWorld(definition=ONE_SLOT)
    submit(world, "run", "100", "0", count=3)
    submit(world, count=3, pending_ns=30 * SECOND)
    world.run(20)
    world.give(OrderJob(2, JobVerb.HOLD, 5), OrderJob(3, JobVerb.RELEASE, 5))
    world.run(15)
    assert sorted(end.job for end in world.ends) == [4, 6]
    world.run(16)
    assert len(world.ends) == 3 and world.ends[-1].job == 5, "its wait began anew"


def test_nobody_in_a_line_ends_pending_timeout_while_the_executor_is_away() -> None:
    world = SmallWorld(definition=ONE_SLOT)
    submit(world, "run", "100", "0")
    submit(world, count=3, pending_ns=30 * SECOND)
    submit(world, count=2, pending_ns=100 * SECOND)
    world.run(20)
    world.scheduler.receive(LinkDown(CONTROLLER, "gone"), world.now)
    world.run(15)
    assert 4 not in [end.job for end in world.ends], "4 stands in its line, and waits for the controller"
    world.scheduler.receive(LinkUp(CONTROLLER), world.now)
    world.settle()
    assert [end.report.outcome.name for end in world.ends if end.job == 4] == ["PENDING_TIMEOUT"]
    assert not {5, 6} & {end.job for end in world.ends}


def test_patience_with_a_silent_executor_ends_in_the_line_too() -> None:
    world = SmallWorld(definition=ONE_SLOT)
    submit(world, count=5, pending_ns=60 * SECOND)
    world.run(1)
    world.scheduler.receive(LinkDown(CONTROLLER, "gone"), world.now)
    world.run(61)
    assert {end.report.outcome.name for end in world.ends if end.job in (4, 5)} == {"CONTROLLER_SILENT"}


# how many may wait


def test_who_stands_in_a_line_counts_as_waiting() -> None:
    world = SmallWorld(definition=cluster(("node1", 1), front_max=2, pending_max=4))
    submit(world, count=8)
    assert world.outcomes() == ["OVERLOADED"] * 4, "two were with the controller, and two here, when the fifth came"
    assert {end.job for end in world.ends} == {5, 6, 7, 8}
    submit(world, count=2)
    assert world.outcomes() == ["OVERLOADED"] * 5, "one runs since then, so there was room for one more"
    assert world.ends[0].report.reason == "4 jobs wait already (pending_max)"


def test_many_refused_items_of_a_task_end_turn_by_turn() -> None:
    many = task("t", "run", "10", "0", every=1000, source=FilesSource("*"))
    world = SmallWorld((many,), cluster(("node1", 1), front_max=2, pending_max=4))
    world.items["t"] = tuple(f"item{number}" for number in range(3000))
    world.run(1)
    assert Counter(world.outcomes()) == {"OVERLOADED": 2995}
    assert world.scheduler.spawning.tasks["t"].in_flight == 5, "one runs since the first turn, four wait"


def test_when_the_executor_is_back_those_that_are_too_many_are_refused() -> None:
    world = SmallWorld(definition=cluster(("node1", 1), front_max=2, pending_max=4))
    world.scheduler.receive(LinkDown(CONTROLLER, "gone"), world.now)
    submit(world, count=8)
    assert world.outcomes() == []
    world.scheduler.receive(LinkUp(CONTROLLER), world.now)
    world.settle()
    world.run(1)
    assert {end.job for end in world.ends} == {5, 6, 7, 8} and set(world.outcomes()) == {"OVERLOADED"}


# restarts, explanations, sizes


def test_after_a_restart_the_same_stand_in_the_line() -> None:
    world = SmallWorld(definition=ONE_SLOT)
    submit(world, count=7)
    world.give(OrderJob(2, JobVerb.HOLD, 6))
    world.restart_server()
    world.run(0.1)
    assert standing(world) == [4, 5, 7] and world.controller.queued == 2
    world.give(OrderJob(3, JobVerb.RELEASE, 6))
    world.run(100)
    assert world.outcomes() == ["EXITED"] * 7 and [job for job, _ in at_hosts(world)][-4:] == [4, 5, 6, 7]


def test_a_job_in_a_line_says_why_it_does_not_run() -> None:
    world = SmallWorld(definition=ONE_SLOT)
    submit(world, count=6, pending_ns=600 * SECOND)
    found = world.scheduler.explain_job(6, world.now)
    assert found is not None and found.reason is Reason.NOT_ITS_TURN
    assert found.text == "stands behind 4 of its kind, of which controller has 2"
    assert found.until_ns == world.now + 600 * SECOND


def test_a_line_does_not_grow_by_those_that_have_left() -> None:
    world = SmallWorld(definition=ONE_SLOT)
    line = Line(world.scheduler.executors[CONTROLLER])
    here: dict[JobId, None] = {}
    for number in (*range(1, 2000, 2), *range(2000, 0, -2)):
        here[JobId(number)] = None
        line.join(JobId(number), here.__contains__)
        if number % 100 > 4:
            del here[JobId(number)]
            line.standing -= 1
    assert len(line._fresh) + len(line._again) < 4 * len(here) + 2 * DEAD_KEPT
    assert sorted(line.numbers(here.__contains__)) == sorted(here)


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 400)), max_size=1200))
@settings(max_examples=50)
def test_a_line_is_as_a_sorted_list(steps: list[tuple[bool, int]]) -> None:
    executor: Executor = SmallWorld().scheduler.executors[CONTROLLER]
    line, here = Line(executor), dict[JobId, None]()
    for comes, number in steps:
        job = JobId(number)
        if comes and job not in here:
            here[job] = None
            line.join(job, here.__contains__)
        elif not comes:
            here.pop(job, None)
        if here:
            line.farthest = JobId(min(here) - 1)
            assert line.take_first(here.__contains__, beyond=False) is None
            assert set(line.numbers(here.__contains__)) == set(here)
        if here and number % 5 == 0:
            line.farthest = min(here)
            assert line.take_first(here.__contains__, beyond=False) == min(here)
            del here[min(here)]
    while here:
        assert line.take_first(here.__contains__, beyond=True) == min(here)
        del here[min(here)]


# whatever happens


def counts_are_right(scheduler: Scheduler) -> None:
    """What lines and executors count is what the jobs say; who is first is out, and nobody stands for nothing."""
    jobs = scheduler.jobs.values()
    lines = list(dict.fromkeys(job.line for job in jobs if job.line is not None))
    for line in lines:
        of_it = [job for job in jobs if job.line is line]
        here = [job for job in of_it if job.in_line]
        assert line.standing == len(here)
        assert line.waiting == sum(job.state in (JobState.ASSIGNED, JobState.PENDING) for job in of_it)
        assert line.running == sum(job.state is JobState.RUNNING for job in of_it)
        assert all(job.state is JobState.READY for job in here)
        takes = line.executor.link.state is LinkState.OPEN and not scheduler.orders.assigning_stopped
        if here and takes:
            assert min(job.id for job in here) > line.farthest, "whoever is before one that was given out is, too"
            assert line.waiting >= max(scheduler.cluster.front_max, line.running)
            assert {job.in_line for job in here} == {LONG}, "whoever need not wait for others does not stand here"
    for executor in scheduler.executors.values():
        assert executor.standing == sum(line.standing for line in lines if line.executor is executor)
        assert executor.waiting == sum(line.waiting for line in lines if line.executor is executor)
        assert all(scheduler.jobs[number].state is JobState.READY for number in executor.barred)
    ready = [job for job in jobs if job.state is JobState.READY and not job.in_line]
    assert all(job.id in scheduler.executor_of(job).barred or job.id in scheduler.assigning.refused for job in ready)


@settings(max_examples=60)
@given(told(scheduler_events), st.sampled_from((1, 2)))
def test_a_scheduler_with_short_lines_is_in_order_whatever_it_is_told(
    events: list[tuple[int, Any]], front_max: int
) -> None:
    definitions = (
        task("t", every=1, retry=Retry(("crash",), 1, SECOND), lost_reruns=1, pending=9),
        task("items", "run", "1", "$item", every=3, source=FilesSource("*")),
    )
    scheduler = Scheduler(1, 1000 * SECOND, replace(CLUSTER, front_max=front_max, pending_max=5), definitions)
    opening = (LinkUp(CONTROLLER), Delivered(CONTROLLER, Batch(1, 1, 1, (Inventory((), 1, 1),))))
    tell(scheduler, events, lambda: counts_are_right(scheduler), opening)


class ShortLines(AnyOrder):
    """Whatever faults and people do, with lines of which one or two are given out."""

    def __init__(self) -> None:
        super().__init__()
        self.world = SmallWorld(self.world.tasks, replace(CLUSTER, front_max=1))

    @rule(count=st.integers(1, 6), host=st.sampled_from((HostWish(), HostWish("node1", True), HostWish(LOCAL, True))))
    def many_come(self, count: int, host: HostWish) -> None:
        submit(self.world, "run", "2", "0", count=count, host=host, pending_ns=90 * SECOND)

    @rule()
    def the_controller_is_away(self) -> None:
        self.world.scheduler.receive(LinkDown(CONTROLLER, "gone"), self.world.now)
        self.world.run(3)
        self.world.scheduler.receive(LinkUp(CONTROLLER), self.world.now)
        self.world.settle()

    def check_invariants(self, *args: Any, **kwargs: Any) -> None:
        super().check_invariants(*args, **kwargs)
        counts_are_right(self.world.scheduler)

    def teardown(self) -> None:
        super().teardown()
        for executor in self.world.scheduler.executors.values():
            assert (executor.standing, executor.waiting) == (0, 0)
            assert not executor.barred and not executor.overdue


ShortLines.TestCase.settings = settings(max_examples=20, stateful_step_count=30)
TestShortLines = ShortLines.TestCase


def test_a_drained_list_of_a_refused_job_is_records_first() -> None:
    """The end of a job that is refused stands in the same list as its acceptance."""
    scheduler = Scheduler(1, SECOND, replace(CLUSTER, front_max=1, pending_max=1), ())
    scheduler.receive(LinkUp(CONTROLLER), SECOND)
    scheduler.receive(Delivered(CONTROLLER, Batch(1, 1, 1, (Inventory((), 1, 1),))), SECOND)
    scheduler.drain()
    for _ in range(3):
        scheduler.receive(Submit(1, JobSpec("t", ("run",))), SECOND)
    effects: list[Effect] = scheduler.drain()
    names = [type(getattr(effect, "record", effect)).__name__ for effect in effects]
    assert names.count("JobAccepted") == 3 and names.count("AttemptEnded") == 2
    assert names.index("AttemptEnded") < names.index("Answer") < names.index("Transmit")


def test_a_host_that_is_switched_off_leaves_its_line_standing() -> None:
    world = SmallWorld(definition=cluster(("node1", 1), ("node2", 1), front_max=1))
    world.order_host(OrderHost(1, HostVerb.OFF, "node1"))
    submit(world, "run", "5", "0", count=3, host=HostWish("node1", True))
    world.run(20)
    assert standing(world) == [2, 3]
    world.order_host(OrderHost(2, HostVerb.ON, "node1"))
    world.run(120)
    assert world.outcomes() == ["EXITED"] * 3
