"""Goal: every due time is a job, or a poll that was missed, with its reason; and the figures say so.

Method: hours on the virtual clock whose due times can be counted by hand.
"""

from __future__ import annotations

from datetime import UTC

import pytest
from msgspec.structs import replace

from model.configuration import ClusterDefinition, Configuration, HostDefinition
from model.job import SECOND
from model.task import Limits, Missed, Periods, TaskDefinition
from model.windows import Window
from sim.distributions import Constant
from sim.figures import find, value
from sim.measuring import Measuring
from sim.metrics import Metrics
from sim.missed_polls import with_missed
from sim.scenario import Fault, Kind, Network, Scenario, TaskWeather
from sim.simulation import simulate

MINUTE, HOUR = 60 * SECOND, 3600 * SECOND


def measure(*tasks: TaskDefinition, faults: tuple[Fault, ...] = (), hosts: int = 4, for_ns: int = HOUR) -> Metrics:
    """An hour from midnight; jobs run 90 s."""
    cluster = ClusterDefinition(hosts=tuple(HostDefinition(f"node{number}") for number in range(1, hosts + 1)))
    weather = {task.name: TaskWeather(run=Constant(90 * SECOND)) for task in tasks}
    measuring = Measuring()
    world = Scenario(start_wall_ns=0, for_ns=for_ns, network=Network(0, 0, 0), tasks=weather, faults=faults)
    result = simulate(Configuration("small", "/", tasks, cluster), world, readers=(measuring,))
    return with_missed(measuring.metrics(), result.missed)


def each_minute(name: str, **more: object) -> TaskDefinition:
    return TaskDefinition(name, command=("x",), periods=Periods(exec_ns=MINUTE), **more)  # type: ignore[arg-type]


def missed(metrics: Metrics, task: str) -> dict[str, int]:
    return next(row.missed for row in metrics.tasks if row.task == task)


def test_a_job_that_runs_longer_than_the_period_lets_every_second_poll_go() -> None:
    """Due each minute from 0:00 to 0:59, each job holds the task for 90 s."""
    metrics = measure(each_minute("slow", limits=Limits(in_flight=1)))
    assert metrics.total.submitted == 30
    assert missed(metrics, "slow") == {"limit in flight": 30}
    assert value(metrics, "missed_polls") == value(metrics, "tasks.slow.missed_polls") == 30


def test_polls_outside_of_the_window_are_off_hours_also_while_it_is_still_closed() -> None:
    """Open from 0:10 to 0:30: 20 jobs, 10 polls before and 30 after, whose window has not opened again."""
    window = Window(UTC, from_s=600, to_s=1800)
    metrics = measure(each_minute("night", windows=(window,)))
    assert metrics.total.submitted == 20
    assert missed(metrics, "night") == {"window closed": 40}


def test_a_limit_of_all_jobs() -> None:
    metrics = measure(each_minute("few", limits=Limits(total=7)))
    assert missed(metrics, "few") == {"limit of jobs": 53}


def test_polls_of_a_scheduler_that_is_away_are_missed() -> None:
    """Away for ten minutes and a half: 11 due times, of which one is made up for, by the policy."""
    away = Fault(Kind.RESTARTED, ("scheduler",), 20 * MINUTE - 30 * SECOND, 10 * MINUTE + 30 * SECOND)
    metrics = measure(each_minute("a"), faults=(away,))
    assert metrics.total.submitted + sum(missed(metrics, "a").values()) == 60
    assert missed(metrics, "a") == {"scheduler away": 9 + (metrics.total.submitted == 50)}
    none = measure(each_minute("a", missed=Missed.ALL), faults=(away,))
    assert missed(none, "a") == {}
    assert none.total.submitted == 60


def test_polls_of_an_earlier_life_of_the_scheduler_count_once_and_for_what_stood_in_their_way() -> None:
    """The next life finds all due times since the task's last job missed: they were missed for the limit."""
    away = Fault(Kind.RESTARTED, ("scheduler",), 40 * MINUTE + SECOND, 2 * SECOND)
    metrics = measure(each_minute("few", limits=Limits(total=7)), faults=(away,))
    assert missed(metrics, "few") == {"limit of jobs": 53}


def test_a_task_that_never_made_a_job_has_its_line() -> None:
    window = Window(UTC, from_s=5 * 3600, to_s=6 * 3600)
    metrics = measure(each_minute("later", windows=(window,)), each_minute("now"))
    assert missed(metrics, "later") == {"window closed": 60}
    assert missed(metrics, "now") == {}
    later = next(row for row in metrics.tasks if row.task == "later")
    assert (later.submitted, later.wait.mean) == (0, None)
    assert metrics.total.missed == {"window closed": 60}


def test_the_share_of_time_with_so_many_hosts_up() -> None:
    """Of 60 minutes two of four hosts are down together for 15, one alone for 15."""
    faults = (
        Fault(Kind.DOWN, ("node1",), 10 * MINUTE, 30 * MINUTE),
        Fault(Kind.DOWN, ("node2",), 25 * MINUTE, 15 * MINUTE),
    )
    metrics = measure(each_minute("a"), faults=faults)
    assert metrics.hosts_up == {4: pytest.approx(0.5), 3: pytest.approx(0.25), 2: pytest.approx(0.25)}
    shares = [value(metrics, f"at_least_{number}_up") for number in (1, 2, 3, 4, 5)]
    assert shares == pytest.approx([1.0, 1.0, 0.75, 0.5, 0.0])
    assert metrics.all_up == pytest.approx(0.5)
    assert find("at_least_3_up").better.value == "higher"


def test_always_is_all_of_the_time_however_it_is_cut() -> None:
    """1/6 + 4/6 + 1/6 is a little less than 1."""
    metrics = replace(measure(each_minute("a")), hosts_up={4: 1 / 6, 3: 4 / 6, 2: 1 / 6})
    assert sum(metrics.hosts_up.values()) != 1.0
    assert value(metrics, "at_least_2_up") == value(metrics, "at_least_0_up") == 1.0
    assert value(metrics, "at_least_5_up") == 0.0
