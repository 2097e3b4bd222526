"""Goal: with brief jobs no slot waits for the way up and down.

Method: one simulated host behind a slow link, and a crowd of brief jobs; the time is the model's, so it is the same on
every machine.
"""

from __future__ import annotations

from typing import Any

from model.channel import ChannelTimes
from model.configuration import ClusterDefinition, Configuration, HostDefinition
from model.job import SECOND
from model.task import FilesSource, Periods, TaskDefinition
from sim.distributions import Constant
from sim.log import ProcessEnded, ProcessStarted
from sim.scenario import Items, Network, Scenario, TaskWeather
from sim.simulation import SimulationResult, simulate

JOBS = 400
RUN_NS = SECOND // 100
LATENCY_NS = SECOND // 100


class Course:
    """When processes ran."""

    def __init__(self) -> None:
        self.starts: list[int] = []
        self.ends: list[int] = []
        self.table: dict[type, Any] = {
            ProcessStarted: lambda line: self.starts.append(line.t),
            ProcessEnded: lambda line: self.ends.append(line.t),
        }


def crowd(slots: int) -> tuple[Course, SimulationResult]:
    task = TaskDefinition(
        name="brief", command=("work", "$item"), source=FilesSource("crowd/*"), periods=Periods(exec_ns=SECOND)
    )
    cluster = ClusterDefinition(hosts=(HostDefinition("node1", slots),), times=ChannelTimes())
    scenario = Scenario(
        seed=1,
        for_ns=120 * SECOND,
        network=Network(latency_ns=LATENCY_NS),
        tasks={"brief": TaskWeather(run=Constant(RUN_NS), items=Items(burst=JOBS, count=JOBS))},
    )
    course = Course()
    configuration = Configuration(path="", directory="/", tasks=(task,), cluster=cluster)
    return course, simulate(configuration, scenario, readers=(course,))


def test_no_slot_waits_for_the_way() -> None:
    for slots in (1, 2):
        course, result = crowd(slots)
        assert result.good
        assert len(course.ends) == JOBS
        took_ns = course.ends[-1] - course.starts[JOBS // 4]  # what is brief is learnt first
        assert took_ns <= 1.05 * (0.75 * JOBS * RUN_NS / slots)  # one after the other, by the way: three times that
