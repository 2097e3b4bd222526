"""Goal: a process may die anywhere, and nothing is lost, doubled or stuck: before and after each effect, before a
commit is durable, between its durability and what waits for it.

Method: one world of some forty jobs; each run lets one process die at one boundary of what it does, and everything is
judged as in the swarm. Here a sample (every k-th boundary, a prime, so that it meets all kinds); all of them by
`laulima torture --crash-points`.
"""

from __future__ import annotations

from functools import cache

import pytest

from sim.crash_points import CrashPoint, base_world, crash_at, crash_points
from sim.torture import judge

EVERY = 11
PARTS = 5
LAYOUTS = pytest.mark.parametrize("one_process", [True, False], ids=["one process", "two processes"])


@cache
def all_points(one_process: bool) -> tuple[CrashPoint, ...]:
    return tuple(crash_points(one_process=one_process))


@LAYOUTS
def test_the_world_is_clean_without_a_crash(one_process: bool) -> None:
    verdict = judge(*base_world(one_process=one_process))
    assert verdict.problems == []
    assert verdict.jobs >= 40


@LAYOUTS
def test_there_are_many_boundaries_in_every_process(one_process: bool) -> None:
    points = all_points(one_process)
    assert len(points) > 1000
    servers = {"scheduler"} if one_process else {"scheduler", "controller"}
    assert {point.node for point in points if not point.keeper} == servers | {"node1", "node2"}
    assert {point.node for point in points if point.keeper} == {"local", "node1", "node2"}


@LAYOUTS
@pytest.mark.parametrize("part", range(PARTS))
def test_a_crash_anywhere_breaks_no_promise(one_process: bool, part: int) -> None:
    for point in all_points(one_process)[part * EVERY :: PARTS * EVERY]:
        verdict = crash_at(point, one_process=one_process)
        assert verdict.problems == [], str(point)


def test_the_crash_happens_at_its_boundary() -> None:
    """The same world with and without it is another one: it differs from the boundary on."""
    first = crash_at(CrashPoint("scheduler", False, 1))
    late = crash_at(CrashPoint("scheduler", False, 300))
    never = crash_at(CrashPoint("scheduler", False, 1 << 40))
    assert len({first.lines, late.lines, never.lines}) == 3
