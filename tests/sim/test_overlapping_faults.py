"""Goal: where faults of one kind overlap at one place, what they do lasts until the last of them ends, and then all is
as it was before the first.

Method: every kind at what it may be at, twice, one fault inside the other or each beyond the other, on the small
pipeline of `test_faults.py`; what the world looks like is asked before, between and behind. Then the kinds that people
use most, by what becomes of jobs.
"""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from model.job import SECOND
from model.records import AttemptEnded
from sim.calendar import FAULT
from sim.distributions import Constant
from sim.faults import MOMENTS
from sim.log import Committed, Life
from sim.scenario import Fault, Kind
from sim.world import World
from tests.sim.test_faults import JOBS, Run, fault

LINK = ("controller", "node1")
PLACES: dict[Kind, tuple[str, ...]] = {
    **dict.fromkeys((Kind.LOST, Kind.ONE_WAY, Kind.LOSSY, Kind.DOUBLED, Kind.REORDERED), LINK),
    **dict.fromkeys((Kind.FROZEN, Kind.RESTARTED, Kind.CRASHED), ("controller",)),
    **dict.fromkeys((Kind.DISK_FULL, Kind.DISK_HANGS, Kind.DISK_BROKEN), ("scheduler",)),
}
"""Of each kind that is not at a host."""
CASES = [(kind, PLACES.get(kind, ("node1",))) for kind in Kind if kind not in MOMENTS]
CASES += [(Kind.SLOW, LINK), (Kind.OVERLOADED, ("controller",)), (Kind.CRASHED, ("node1",))]


def looks(world: World) -> dict[str, object]:
    """Everything that a fault can switch."""
    system, link = world.systems["node1"], world.network.links[LINK]
    disk = world.processes.disks.get("scheduler")
    return {
        "off": system.off,
        "keeper": system.keeper is not None and not system.keeper.dead,
        "suspended": system.suspended,
        "slowness": system.slowness,
        "failing": system.failing,
        "hangs": len(system.hangs),
        "full": system.full,
        "processes": system.processes_max,
        "disk": None if disk is None else (disk.full, disk.hangs, disk.broken),
        "alive": {name: node.machine is not None for name, node in world.nodes.items()},
        "frozen": {name: node.frozen for name, node in world.nodes.items()},
        "slow to read": [way.service.takes_ns if way.service else 0 for way in (link.down, link.up)],
        "link": [
            (way.blocked, way.loss, way.doubling, way.spread_ns, way.echo_ns, way.extra_ns)
            for way in (link.down, link.up)
        ],
    }


@pytest.mark.parametrize(("at_s", "for_s"), [(12.5, 10), (12.5, 35), (10, 30)], ids=["inside", "beyond", "equal"])
@pytest.mark.parametrize(("kind", "nodes"), CASES, ids=[f"{kind.value} {' '.join(nodes)}" for kind, nodes in CASES])
def test_what_overlapping_faults_do_ends_with_the_last_of_them(
    kind: Kind, nodes: tuple[str, ...], at_s: float, for_s: float
) -> None:
    seen: list[dict[str, object]] = []

    def look(world: World) -> None:
        for when in (9.5, 11.5, 17.5, 24.5, 31.5, 39.5, 45.5, 48.5):
            world.calendar.call_after(int(when * SECOND), FAULT, lambda: seen.append(looks(world)))

    one = Fault(
        kind,
        nodes,
        10 * SECOND,
        30 * SECOND,
        delay_ns=SECOND // 4,
        every_ns=100 * SECOND,  # so that flapping is down for once
        limit=1 if kind is Kind.OVERLOADED else 0,  # a crash is at once
    )
    Run(one, replace(one, at_ns=int(at_s * SECOND), for_ns=int(for_s * SECOND)), prepare=look)
    before, *meanwhile, late, behind = seen
    assert all(found != before for found in meanwhile)
    assert (late == before) == (at_s + for_s < 45)
    assert behind == before


def test_two_slow_spells_leave_exactly_the_speed_that_was_there() -> None:
    found: list[float] = []

    def look(world: World) -> None:
        world.systems["node1"].slowness = 1.0 / 3.0
        world.calendar.call_after(50 * SECOND, FAULT, lambda: found.append(world.systems["node1"].slowness))

    Run(*(fault(Kind.SLOW, 10 + at, 20, factor=factor) for at, factor in enumerate((1.1, 1.3, 2.5))), prepare=look)
    assert found == [1.0 / 3.0]


# what becomes of jobs


def test_jobs_are_slow_until_the_last_slow_spell_is_over() -> None:
    run = Run(fault(Kind.SLOW, 0.5, 1, factor=3.0), fault(Kind.SLOW, 0.7, 2, factor=3.0))
    assert [round(end - start) for start, end in run.processes] == [10, 90, 30, 10]


def test_nothing_new_starts_until_the_last_full_disk_has_room() -> None:
    run = Run(fault(Kind.FULL, 1.5, 10), fault(Kind.FULL, 5, 30), run=Constant(SECOND))
    assert [start > 35 for start, _ in run.processes] == [False, False, True, True]


@pytest.mark.parametrize(("kind", "nodes"), [(Kind.SILENT, ("node1",)), (Kind.LOST, LINK)])
def test_ends_are_heard_when_the_last_silence_is_over(kind: Kind, nodes: tuple[str, ...]) -> None:
    run = Run(fault(kind, 5, 10, *nodes), fault(kind, 8, 14, *nodes))
    assert run.outcomes == {"exit 0": JOBS}
    recorded = [line.t for line in run.of(Committed) if type(line.record) is AttemptEnded]
    assert min(recorded) >= 22 * SECOND


@pytest.mark.parametrize("kind", [Kind.RESTARTED, Kind.CRASHED])
@pytest.mark.parametrize("name", ["controller", "scheduler"])
def test_a_server_is_back_when_the_last_restart_is_over(kind: Kind, name: str) -> None:
    run = Run(fault(kind, 2.5, 10, name), fault(kind, 5, 20, name))
    assert run.outcomes == {"exit 0": JOBS}
    assert [line.t / SECOND for line in run.of(Life) if line.node == name] == [0, 25]


def test_a_broken_disk_that_is_mended_starts_nothing_that_a_restart_keeps_away() -> None:
    run = Run(fault(Kind.DISK_BROKEN, 2.5, 5, "scheduler"), fault(Kind.RESTARTED, 4.5, 10, "scheduler"))
    assert [line.t / SECOND for line in run.of(Life) if line.node == "scheduler"] == [0, 14.5]


def test_a_disk_that_one_of_two_outages_loses_is_empty() -> None:
    spools: list[int] = []

    def look(world: World) -> None:
        for at_s in (9, 11):
            world.calendar.call_after(at_s * SECOND, FAULT, lambda: spools.append(len(world.systems["node1"].spool)))

    Run(fault(Kind.DOWN, 5, 20), fault(Kind.DOWN, 10, 20, spool_lost=True), prepare=look)
    assert spools == [JOBS, 0]
