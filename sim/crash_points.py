"""All crash points of small worlds: every process, every boundary of what it does, one run for each; and pairs of them.

A world (`sim/crash_worlds.py`) is run once without a crash, and every process's boundaries are counted
(`sim/crashes.py`: before and after each effect, before a commit is durable, between its durability and what waits for
it). Then each of them is a run: the process dies there, comes back, and everything is judged as in the swarm. It dies
in each of these ways:

- what it said last is lost with it;
- what it said last arrives, and nobody is there for the answer (not for keepers: their words arrive at once);
- where a commit was under way: its first record, its first two, … all of it are durable all the same. SQLite promises
  all or nothing; the machines are held to more. (The data of scripts are not: what a macro changes is in the
  transaction of its job, so in that world a commit is durable as a whole.)

A pair is a crash and, at any later boundary of any process, as the world that has had the first one counts them,
another. Called by `laulima torture --crash-points` and `--crash-pairs`, and by the tests.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct, field
from msgspec.structs import replace

from model.job import SECOND
from sim.crash_scripts import TITLE, misremembered, scripted_world
from sim.crash_worlds import PAIRED, WORLDS, Pair, twelve_jobs
from sim.crashes import Crashes
from sim.inspection import inspect
from sim.scenario import Fault, Kind
from sim.simulation import simulate
from sim.system import keeper_process
from sim.torture import Verdict, judge
from sim.world import Scripting, World

AWAY_NS = 2 * SECOND
"""How long a crashed process is away: less than any lease."""
KEEPER_AWAY_NS = SECOND
NEVER = 1 << 40
"""A boundary that no process reaches: boundaries are counted, and nothing happens."""
TITLES = (*WORLDS, TITLE)
"""The worlds whose crash points are gone through, in order."""
MAKERS = {**WORLDS, TITLE: scripted_world, PAIRED: twelve_jobs}
_KEEPER = keeper_process("")


class CrashPoint(Struct, frozen=True):
    """`process` dies at its `boundary`-th boundary, from 1; for the others see `sim.scenario.Fault`."""

    process: str
    boundary: int
    unacknowledged: bool = False
    kept: int = 0

    @property
    def is_keeper(self) -> bool:
        """Whether it is a host's keeper that dies."""
        return self.process.endswith(_KEEPER)

    @property
    def fault(self) -> Fault:
        """The crash as a fault."""
        node, kind, away_ns = self.process, Kind.CRASHED, AWAY_NS
        if self.is_keeper:
            node, kind, away_ns = self.process.removesuffix(_KEEPER), Kind.KEEPER_CRASHED, KEEPER_AWAY_NS
        return Fault(kind, (node,), 0, away_ns, limit=self.boundary, unacknowledged=self.unacknowledged, kept=self.kept)

    def __str__(self) -> str:
        ways = " unacknowledged" if self.unacknowledged else ""
        return f"{self.process}@{self.boundary}{ways}{f' kept {self.kept}' if self.kept else ''}"


def world(title: str, *, one_process: bool = True) -> Pair:
    """One of the worlds, with scheduler and controller in one process or in two."""
    configuration, scenario = MAKERS[title]()
    assert scenario.disk is not None
    return configuration, replace(scenario, disk=replace(scenario.disk, one_process=one_process))


def crash_at(*points: CrashPoint, title: str, one_process: bool = True, scripting: Scripting | None = None) -> Verdict:
    """The verdict on the world in which just these crashes happen besides what happens there anyway. `scripting`: for
    the world whose tasks are a script."""
    configuration, scenario = world(title, one_process=one_process)
    faults = (*scenario.faults, *(point.fault for point in points))
    if title != TITLE:
        return judge(configuration, replace(scenario, faults=faults))
    return judge(configuration, replace(scenario, faults=faults), scripting, _look_at_scripts)


def _look_at_scripts(done: World) -> Iterator[str]:
    yield from inspect(done)
    yield from misremembered(done)


def passed(*points: CrashPoint, title: str, one_process: bool = True, scripting: Scripting | None = None) -> Crashes:
    """What every process passes in that world, until nothing can crash any more."""
    configuration, scenario = world(title, one_process=one_process)
    worlds: list[World] = []
    faults = (*scenario.faults, *(point.fault for point in points or (CrashPoint("scheduler", NEVER),)))
    scripted = scripting if title == TITLE else None
    simulate(configuration, replace(scenario, faults=faults), check=False, prepare=worlds.append, scripting=scripted)
    return worlds[0].crashes


def crash_points(title: str, *, one_process: bool = True, scripting: Scripting | None = None) -> Iterator[CrashPoint]:
    """All of a world, process by process."""
    counted = passed(title=title, one_process=one_process, scripting=scripting)
    for process, boundaries in sorted(counted.passed.items()):
        unsynced = counted.unsynced.get(process, {})
        for boundary in range(1, boundaries + 1):
            yield from _ways(process, boundary)
            if records := unsynced.get(boundary, 0):
                fewest = records if title == TITLE else 1
                yield from (CrashPoint(process, boundary, kept=kept) for kept in range(fewest, records + 1))


def _ways(process: str, boundary: int) -> Iterator[CrashPoint]:
    lost = CrashPoint(process, boundary)
    yield lost
    if not lost.is_keeper:
        yield replace(lost, unacknowledged=True)


# pairs


class Pairs(Struct):
    """What came of all crashes that follow `first`."""

    first: CrashPoint
    tried: int = 0
    broken: list[tuple[CrashPoint, str, str]] = field(default_factory=list)
    """(the second crash, promise, sentence)"""


def first_points(*, one_process: bool = True) -> Iterator[CrashPoint]:
    """The first crashes of all pairs."""
    return (point for point in crash_points(PAIRED, one_process=one_process) if not point.kept)


def second_points(first: CrashPoint, *, one_process: bool = True) -> Iterator[CrashPoint]:
    """All crashes that may follow: during the recovery of the first one, and after it. Both die in the same way."""
    counted = passed(first, title=PAIRED, one_process=one_process)
    before = counted.at_crash[0]
    for process, boundaries in sorted(counted.passed.items()):
        for boundary in range(before[process] + 1, boundaries + 1):
            second = CrashPoint(process, boundary)
            yield second if second.is_keeper else replace(second, unacknowledged=first.unacknowledged)


def crash_twice(first: CrashPoint, *, every: int = 1, one_process: bool = True) -> Pairs:
    """Let each (`every`-th) crash that may follow `first` follow it."""
    told = Pairs(first)
    for second in [*second_points(first, one_process=one_process)][::every]:
        told.tried += 1
        verdict = crash_at(first, second, title=PAIRED, one_process=one_process)
        if verdict.problems:
            told.broken.append((second, *verdict.problems[0]))
    return told
