"""Goal: each kind of fault does to the world what it says, and an end of it undoes that; overlapping ones add up.

Method: a small pipeline on the real machines, one fault at a time; what is judged is the true life of processes, the
links and the outcomes, from the event log.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from model.channel import ChannelTimes
from model.configuration import ClusterDefinition, Configuration, HostDefinition
from model.errors import ConfigurationError
from model.job import SECOND, HostPolicy, HostWish, Wait
from model.records import AttemptEnded
from model.task import Limits, Periods, TaskDefinition
from sim.calendar import FAULT
from sim.distributions import Constant, Distribution
from sim.log import (
    LINES,
    Committed,
    EventLog,
    FaultChanged,
    Life,
    Line,
    LinkChanged,
    ProcessEnded,
    ProcessStarted,
    Sent,
)
from sim.scenario import Fault, Kind, Scenario, TaskWeather
from sim.simulation import SimulationResult, simulate
from sim.world import World

JOBS = 4
TEN_SECONDS = Constant(10 * SECOND)
PATIENT = HostPolicy(Wait.WAIT)
TIMES = ChannelTimes(SECOND, 3 * SECOND, 20 * SECOND, 8 * SECOND, 2 * SECOND)


class Run:
    """One simulation of jobs that want node1, one each second, and its lines."""

    def __init__(
        self,
        *faults: Fault,
        run: Distribution = TEN_SECONDS,
        policy: HostPolicy = PATIENT,
        jobs: int = JOBS,
        reruns: int = 0,
        weather: TaskWeather | None = None,
        prepare: Callable[[World], None] | None = None,
    ) -> None:
        self.lines: list[Line] = []
        self.table: dict[type, Callable[[Any], None]] = dict.fromkeys(LINES, self.lines.append)
        cluster = ClusterDefinition(
            hosts=(HostDefinition("node1", JOBS), HostDefinition("node2", JOBS)),
            times=TIMES,
            local_times=TIMES,
            backoff_cap_ns=4 * SECOND,
            connect_ns=5 * SECOND,
        )
        task = TaskDefinition(
            name="warp",
            command=("warp",),
            host=HostWish("node1", True, when_down=policy),
            periods=Periods(SECOND, SECOND, 300 * SECOND, 300 * SECOND),
            limits=Limits(total=jobs),
            lost_reruns=reruns,
        )
        scenario = Scenario(for_ns=900 * SECOND, tasks={"warp": weather or TaskWeather(run=run)}, faults=faults)
        self.result: SimulationResult = simulate(
            Configuration("", "/", (task,), cluster), scenario, prepare=prepare, readers=(self,)
        )
        assert [str(violation) for violation in self.result.violations] == []
        assert self.result.open == 0

    @property
    def outcomes(self) -> dict[str, int]:
        return dict(self.result.tally.tasks["warp"].outcomes)

    def of(self, kind: type) -> list[Any]:
        return [line for line in self.lines if type(line) is kind]

    def links(self, state: str, peer: str = "node1") -> list[int]:
        """When the link to `peer` changed to this state."""
        return [line.t for line in self.of(LinkChanged) if line.peer == peer and line.state == state]

    @property
    def processes(self) -> list[tuple[float, float]]:
        """(start, end) of each process in seconds."""
        starts = {(line.job, line.attempt): line.t for line in self.of(ProcessStarted)}
        ends = [(starts[line.job, line.attempt], line.t) for line in self.of(ProcessEnded)]
        return [(start / SECOND, end / SECOND) for start, end in sorted(ends)]


def fault(kind: Kind, at_s: float, for_s: float = 0, *nodes: str, **settings: float) -> Fault:
    return Fault(kind, nodes or ("node1",), int(at_s * SECOND), int(for_s * SECOND), **settings)  # type: ignore[arg-type]


def test_without_a_fault_all_is_well() -> None:
    run = Run()
    assert run.outcomes == {"exit 0": JOBS}
    assert run.links("vouched") and not run.links("not vouched")


def test_a_host_that_goes_down_takes_its_processes_with_it() -> None:
    run = Run(fault(Kind.DOWN, 5, 10))
    assert run.outcomes == {"LOST": JOBS}
    assert all(end == 5.0 for _, end in run.processes)
    assert [line.t for line in run.of(Life) if line.node == "node1"] == [0, 15 * SECOND]


def test_what_a_down_host_lost_can_run_again() -> None:
    assert Run(fault(Kind.DOWN, 5, 10), reruns=1).outcomes == {"exit 0": JOBS}


def test_two_outages_that_overlap_are_one() -> None:
    run = Run(fault(Kind.DOWN, 5, 10), fault(Kind.DOWN, 10, 20))
    assert [line.t for line in run.of(Life) if line.node == "node1"] == [0, 30 * SECOND]


def test_a_flapping_host_goes_down_and_up() -> None:
    run = Run(fault(Kind.FLAPPING, 5, 20, every_ns=5 * SECOND))
    assert [line.on for line in run.of(FaultChanged)] == [True, False, True, False]


def test_a_silent_host_lets_its_jobs_live_and_tells_their_ends_later() -> None:
    run = Run(fault(Kind.SILENT, 5, 15))
    assert run.outcomes == {"exit 0": JOBS}
    recorded = [line.t for line in run.of(Committed) if type(line.record) is AttemptEnded]
    assert min(recorded) >= 20 * SECOND
    assert max(end for _, end in run.processes) < 20.0


def test_a_host_that_is_silent_longer_than_the_lease_ends_its_jobs() -> None:
    run = Run(fault(Kind.SILENT, 5, 100), run=Constant(200 * SECOND))
    assert run.outcomes == {"LOST": JOBS}
    assert all(5.0 < end <= 5.0 + 20.1 for _, end in run.processes)


def test_a_suspended_machine_loses_the_time() -> None:
    run = Run(fault(Kind.SUSPENDED, 5, 10))
    assert run.outcomes == {"exit 0": JOBS}
    assert [end - start for start, end in run.processes] == [pytest.approx(20.0)] * JOBS


def test_an_agent_that_is_started_again_adopts_what_runs() -> None:
    run = Run(fault(Kind.AGENT_RESTART, 5, 2))
    assert run.outcomes == {"exit 0": JOBS}
    assert [line.epoch for line in run.of(Life) if line.node == "node1"] == [1, 2]
    assert len(run.processes) == JOBS


@pytest.mark.parametrize("spool_lost", [False, True])
def test_a_rebooted_host_knows_that_its_jobs_are_lost(spool_lost: bool) -> None:
    assert Run(fault(Kind.REBOOT, 5, 1, spool_lost=spool_lost)).outcomes == {"LOST": JOBS}


def test_every_new_agent_reads_what_earlier_boots_left_until_it_is_acknowledged() -> None:
    seen: list[bool] = []

    def look(world: World) -> None:
        for at in (16, 25):
            world.calendar.call_after(
                at * SECOND, FAULT, lambda: seen.append(world.systems["node1"].left() is not None)
            )

    cut = fault(Kind.LOST, 4, 14, "controller", "node1")
    run = Run(fault(Kind.DOWN, 5, 10), fault(Kind.AGENT_RESTART, 15.5, 1), cut, prepare=look)
    assert run.outcomes == {"LOST": JOBS}
    assert seen == [True, False]


def test_a_host_with_a_full_disk_gets_nothing_new() -> None:
    run = Run(fault(Kind.FULL, 1.5, 30), run=Constant(SECOND))
    assert run.outcomes == {"exit 0": JOBS}
    assert [start > 30 for start, _ in run.processes] == [False, False, True, True]


def test_a_slow_host_takes_longer() -> None:
    run = Run(fault(Kind.SLOW, 1.5, 100, factor=3.0))
    assert [round(end - start) for start, end in run.processes] == [10, 10, 30, 30]


def test_a_host_without_room_for_processes_gives_jobs_back() -> None:
    run = Run(fault(Kind.OVERLOADED, 0, 8))
    assert run.outcomes == {"exit 0": JOBS}
    assert min(start for start, _ in run.processes) >= 8.0


def test_a_failing_host_ends_what_starts_there_at_once() -> None:
    run = Run(fault(Kind.FAILING, 1.5, 1))
    assert run.outcomes == {"exit 0": JOBS - 1, "exit 1": 1}
    assert sorted(round(end - start) for start, end in run.processes) == [0, 10, 10, 10]


def test_a_hung_host_ends_nothing_by_itself_and_a_timeout_does() -> None:
    run = Run(fault(Kind.HUNG, 1.5, 1))
    assert run.outcomes == {"TIMED_OUT": 3, "exit 0": 1}  # two that ran, one that started meanwhile
    assert sorted(round(end - start) for start, end in run.processes) == [10, 300, 300, 300]


def test_as_many_processes_hang_as_the_fault_says_the_oldest_first() -> None:
    run = Run(fault(Kind.HUNG, 2.5, 10, limit=1))
    assert [round(end - start) for start, end in run.processes] == [300, 10, 10, 10]
    run = Run(fault(Kind.HUNG, 0.5, 2, limit=2))
    assert [round(end - start) for start, end in run.processes] == [300, 300, 10, 10]  # one that ran, one that started
    run = Run(fault(Kind.HUNG, 0.5, 20, limit=1), fault(Kind.HUNG, 0.7, 20, limit=1))
    assert sum(end - start > 200 for start, end in run.processes) == 2


@pytest.mark.parametrize("name", ["controller", "scheduler"])
def test_an_overloaded_server_takes_its_time_for_each_batch_and_is_prompt_again(name: str) -> None:
    run = Run(fault(Kind.OVERLOADED, 1.5, 20, name, delay_ns=SECOND // 4), jobs=30, run=Constant(SECOND))
    assert run.outcomes == {"exit 0": 30}
    came = [(line.t, at) for line in run.of(Sent) if line.to == name for at in line.arrives]
    loaded = sorted(at for sent, at in came if 2 * SECOND < sent < 20 * SECOND)
    assert len(loaded) > 20
    assert min(b - a for a, b in pairwise(loaded)) >= SECOND // 4
    late = [at - sent for sent, at in came]
    assert max(late) > SECOND // 2
    assert all(at - sent < SECOND // 100 for sent, at in came if sent > 60 * SECOND)
    assert run.links("vouched", "node1" if name == "controller" else "controller")[-1] > 21 * SECOND


def test_an_overloaded_server_is_never_further_behind_than_half_a_minute() -> None:
    run = Run(fault(Kind.OVERLOADED, 1.5, 200, "controller", delay_ns=5 * SECOND), run=Constant(SECOND))
    late = [at - line.t for line in run.of(Sent) if line.to == "controller" for at in line.arrives]
    assert 25 * SECOND < max(late) <= 36 * SECOND
    assert max(at for line in run.of(Sent) for at in line.arrives if line.t < 201 * SECOND) < 240 * SECOND


@pytest.mark.parametrize("name", ["controller", "scheduler"])
def test_a_machine_that_stands_still_goes_on_where_it_was(name: str) -> None:
    run = Run(fault(Kind.FROZEN, 2.5, 10, name))
    assert run.outcomes == {"exit 0": JOBS}
    quiet = [line for line in run.of(Sent) if line.node == name and 2.6 < line.t / SECOND < 12.4]
    assert quiet == []


@pytest.mark.parametrize("name", ["controller", "scheduler"])
def test_a_machine_that_is_started_again_knows_what_was_recorded(name: str) -> None:
    run = Run(fault(Kind.RESTARTED, 2.5, 1, name))
    assert run.outcomes == {"exit 0": JOBS}
    assert [line.epoch for line in run.of(Life) if line.node == name] == [1, 2]


def test_a_cut_link_is_noticed_by_nobody_at_first_and_costs_nothing_when_it_is_short() -> None:
    run = Run(fault(Kind.LOST, 5, 8, "controller", "node1"))
    assert run.outcomes == {"exit 0": JOBS}
    assert run.links("down") == []


@pytest.mark.parametrize("ends", [("controller", "node1"), ("node1", "controller")])
def test_a_link_that_is_cut_one_way_for_longer_than_the_lease_costs_the_jobs(ends: tuple[str, str]) -> None:
    run = Run(fault(Kind.ONE_WAY, 5, 100, *ends), run=Constant(200 * SECOND))
    assert run.outcomes == {"LOST": JOBS}


@pytest.mark.parametrize("kind", [Kind.LOSSY, Kind.DOUBLED, Kind.REORDERED, Kind.SLOW])
@pytest.mark.parametrize("ends", [("controller", "node1"), ("scheduler", "controller")])
def test_a_bad_link_costs_time_but_no_job(kind: Kind, ends: tuple[str, str]) -> None:
    run = Run(fault(kind, 1, 60, *ends, delay_ns=SECOND // 2))
    assert run.outcomes == {"exit 0": JOBS}


def test_a_broken_connection_is_made_again() -> None:
    run = Run(fault(Kind.BROKEN, 5, 0, "controller", "node1"))
    assert run.outcomes == {"exit 0": JOBS}
    assert len(run.links("up")) == 2


def test_a_step_of_the_wall_clock_changes_no_timeout() -> None:
    worlds: list[World] = []
    ten_years = 10 * 365 * 86400 * SECOND
    quiet, stepped = Run(), Run(Fault(Kind.WALL_STEP, (), 5 * SECOND, delay_ns=ten_years), prepare=worlds.append)
    assert worlds[0].wall_ns(0) == worlds[0].scenario.start_wall_ns + ten_years
    assert quiet.processes == stepped.processes
    assert stepped.outcomes == {"exit 0": JOBS}


@pytest.mark.parametrize(
    ("kind", "nodes"),
    [(Kind.DOWN, ("node9",)), (Kind.FROZEN, ("node1",)), (Kind.LOST, ("node1", "node2")), (Kind.DOWN, ())],
)
def test_a_fault_at_nothing_is_refused(kind: Kind, nodes: tuple[str, ...]) -> None:
    with pytest.raises(ConfigurationError, match="there is no"):
        World(Configuration("", "/"), Scenario(faults=(Fault(kind, nodes),)), EventLog())


def test_flapping_ends_with_its_fault() -> None:
    """The last time down would be over 5 s later."""
    run = Run(Fault(Kind.FLAPPING, ("node1",), 5 * SECOND, 25 * SECOND, every_ns=10 * SECOND))
    faults = [(line.t // SECOND, line.on) for line in run.lines if isinstance(line, FaultChanged)]
    assert faults == [(5, True), (15, False), (25, True), (30, False)]


def test_a_host_that_was_overloaded_has_its_own_limit_again() -> None:
    limits: list[int] = []

    def look(world: World) -> None:
        system = world.systems["node1"]
        system.processes_max = 3
        for at_s in (4, 15, 25, 35, 45):
            world.calendar.call_after(at_s * SECOND, FAULT, lambda: limits.append(system.processes_max))

    Run(
        Fault(Kind.OVERLOADED, ("node1",), 10 * SECOND, 30 * SECOND, limit=2),
        Fault(Kind.OVERLOADED, ("node1",), 20 * SECOND, 10 * SECOND),
        prepare=look,
    )
    assert limits == [3, 2, -1, 2, 3]


@pytest.mark.parametrize(("kind", "now"), [(Kind.LOSSY, "loss"), (Kind.DOUBLED, "doubling")])
def test_of_bad_weathers_at_one_link_the_worst_counts_until_it_is_over(kind: Kind, now: str) -> None:
    chances: list[float] = []

    def look(world: World) -> None:
        link = world.network.links["controller", "node1"]
        for at_s in (15, 25, 35, 45):
            world.calendar.call_after(at_s * SECOND, FAULT, lambda: chances.append(getattr(link.up, now)))

    ends = ("controller", "node1")
    Run(
        Fault(kind, ends, 10 * SECOND, 30 * SECOND, chance=0.3),
        Fault(kind, ends, 20 * SECOND, 10 * SECOND, chance=0.1),
        prepare=look,
    )
    assert chances == [0.3, 0.3, 0.3, 0.0]
