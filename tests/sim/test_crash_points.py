"""Goal: a process may die anywhere, in any way, and nothing is lost, doubled or stuck: before and after each effect,
before a commit is durable, between its durability and what waits for it; with what it said last, or without it.

Method: a world of some fifty jobs; each run lets one process die at one boundary of what it does, and everything is
judged as in the swarm. The first world is gone through whole, of the others every k-th crash (a prime, so that it meets
all kinds). All worlds whole, and all pairs of crashes, by `laulima torture --crash-points` and `--crash-pairs`.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import pytest
from msgspec.structs import replace

from model.configuration import ClusterDefinition
from model.controller import Controller
from model.host import HostOrder
from model.job import SECOND, JobId, JobSpec
from model.records import JobAccepted
from model.remembered import GivenAttempt
from model.snapshot import RestoredController
from shell.commands.torture_crashes import SCRIPTING
from sim.crash_points import (
    TITLES,
    CrashPoint,
    crash_at,
    crash_points,
    crash_twice,
    first_points,
    passed,
    second_points,
    world,
)
from sim.crash_worlds import PAIRED, WORLDS
from sim.log import Committed, Dropped, FaultChanged, Line, ProcessStarted, Sent
from sim.simulation import simulate
from tests.sim.event_lines import event_lines

WHOLE, *OTHERS = TITLES
PARTS = 16
"""The world that is gone through whole, in so many tests: they can run side by side."""
EVERY = 83
LAYOUTS = pytest.mark.parametrize("one_process", [True, False], ids=["one process", "two processes"])
ALL = pytest.mark.parametrize("title", [*TITLES, PAIRED])


@cache
def all_points(title: str, one_process: bool) -> tuple[CrashPoint, ...]:
    return tuple(crash_points(title, one_process=one_process, scripting=SCRIPTING))


def lines_with(*points: CrashPoint) -> list[Line]:
    configuration, scenario = world(WHOLE)
    return event_lines(configuration, replace(scenario, faults=tuple(point.fault for point in points)))


def crashes(lines: list[Line]) -> list[int]:
    """When processes crashed, ns."""
    return [line.t for line in lines if isinstance(line, FaultChanged) and line.kind == "crashed" and line.on]


@LAYOUTS
@ALL
def test_a_world_is_clean_without_a_crash(title: str, one_process: bool) -> None:
    verdict = crash_at(title=title, one_process=one_process, scripting=SCRIPTING)
    assert verdict.problems == []
    assert verdict.jobs == 12 if title == PAIRED else 36 <= verdict.jobs <= 60


def test_there_are_fourteen_worlds_of_another_character() -> None:
    assert len(TITLES) == 14
    met: set[str] = set()
    for title in WORLDS:
        result = simulate(*world(title))
        met |= {outcome.partition(" ")[0] for task in result.tally.tasks.values() for outcome in task.outcomes}
    assert met >= {
        "exit", "CRASHED", "TIMED_OUT", "PENDING_TIMEOUT", "COMMAND_NOT_FOUND", "HOST_DOWN", "HOST_UNKNOWN",
        "OVERLOADED", "LOST", "FILES_MISSING", "KILLED",
    }  # fmt: skip


@LAYOUTS
def test_there_are_many_boundaries_in_every_process(one_process: bool) -> None:
    points = all_points(WHOLE, one_process)
    assert len(points) > 2500
    servers = {"scheduler"} if one_process else {"scheduler", "controller"}
    keepers = {"local/keeper", "node1/keeper", "node2/keeper"}
    assert {point.process for point in points} == servers | {"node1", "node2"} | keepers
    assert {point.process for point in points if point.is_keeper} == keepers
    assert {point.process for point in points if point.unacknowledged} == servers | {"node1", "node2"}
    assert {point.process for point in points if point.kept} == servers
    assert max(point.kept for point in points) > 3


@pytest.mark.parametrize("part", range(PARTS))
def test_a_crash_anywhere_breaks_no_promise(part: int) -> None:
    for point in all_points(WHOLE, True)[part::PARTS]:
        verdict = crash_at(point, title=WHOLE)
        assert verdict.problems == [], str(point)


@LAYOUTS
@pytest.mark.parametrize("title", OTHERS)
def test_a_crash_in_other_worlds_breaks_no_promise(title: str, one_process: bool) -> None:
    for point in all_points(title, one_process)[::EVERY]:
        verdict = crash_at(point, title=title, one_process=one_process, scripting=SCRIPTING)
        assert verdict.problems == [], str(point)


@LAYOUTS
def test_a_crash_after_a_crash_breaks_no_promise(one_process: bool) -> None:
    firsts = [*first_points(one_process=one_process)][::97]
    for first in firsts:
        pairs = crash_twice(first, every=31, one_process=one_process)
        assert pairs.tried
        assert pairs.broken == [], str(first)


# what a crash point is


def test_a_world_is_the_same_up_to_the_crash_and_another_one_after_it() -> None:
    crashed, never = lines_with(CrashPoint("scheduler", 300)), lines_with(CrashPoint("scheduler", 1 << 40))
    assert crashes(never) == []
    (crash_ns,) = crashes(crashed)
    before = [line for line in crashed[1:] if line.t < crash_ns]
    assert len(before) > 100
    assert before == never[1 : len(before) + 1]
    assert crashed != never


def test_each_boundary_is_a_place_of_its_own() -> None:
    """Two boundaries at one instant differ in what has left the process before."""
    sent = []
    for boundary in range(200, 240):
        lines = lines_with(CrashPoint("scheduler", boundary))
        (crash_ns,) = crashes(lines)
        sent.append(len([line for line in lines if isinstance(line, Sent | Committed) and line.t <= crash_ns]))
    assert sent == sorted(sent)
    assert len(set(sent)) > 15


def test_what_a_process_said_last_is_lost_with_it_or_arrives_and_is_answered_to_nobody() -> None:
    lost, arrived = 0, 0
    for boundary in range(100, 160, 4):
        point = CrashPoint("scheduler", boundary)
        plain, unacknowledged = lines_with(point), lines_with(replace(point, unacknowledged=True))
        (crash_ns,) = crashes(plain)
        assert crashes(unacknowledged) == [crash_ns]
        under_way = [
            line.batch.sequence
            for line in plain
            if isinstance(line, Sent)
            and line.node == "controller"
            and line.t <= crash_ns
            and max(line.arrives, default=0) > crash_ns
        ]
        dropped = [
            {
                line.sequence
                for line in lines
                if isinstance(line, Dropped) and line.node == "controller" and line.t < crash_ns + SECOND
            }
            for lines in (plain, unacknowledged)
        ]
        lost += len(dropped[0] & set(under_way))
        arrived += len(under_way) - len(dropped[1] & set(under_way))
        assert not dropped[1] & set(under_way)
    assert lost == arrived > 0


def test_any_number_of_records_of_a_commit_that_is_under_way_may_be_durable() -> None:
    counted = passed(title=WHOLE)
    boundary, unsynced = next((at, count) for at, count in counted.unsynced["scheduler"].items() if count > 3)
    durable = []
    for kept in range(unsynced + 1):
        lines = lines_with(CrashPoint("scheduler", boundary, kept=kept))
        (crash_ns,) = crashes(lines)
        durable.append([line.record for line in lines if isinstance(line, Committed) and line.t <= crash_ns])
    assert [len(records) - len(durable[0]) for records in durable] == list(range(unsynced + 1))
    assert all(longer[: len(shorter)] == shorter for shorter, longer in pairwise(durable))


def test_the_second_crash_of_a_pair_follows_the_first() -> None:
    first = CrashPoint("scheduler", 40)
    seconds = [*second_points(first)]
    assert {point.process for point in seconds} >= {"scheduler", "node1", "node1/keeper", "local/keeper"}
    assert min(point.boundary for point in seconds if point.process == "scheduler") == 41
    configuration, scenario = world(PAIRED)
    for second in seconds[::50]:
        lines = event_lines(configuration, replace(scenario, faults=(first.fault, second.fault)))
        times = [line.t for line in lines if isinstance(line, FaultChanged) and line.on]
        assert len(times) == 2, second


def test_a_reload_counts_at_once_and_after_a_restart() -> None:
    configuration, scenario = world("reload")
    restarted = CrashPoint("scheduler", len(all_points("reload", True)) // 8).fault
    for faults in ((), (restarted,)):
        lines = event_lines(configuration, replace(scenario, faults=faults))
        made = [
            (line.t, line.record.spec)
            for line in lines
            if isinstance(line, Committed) and isinstance(line.record, JobAccepted)
        ]
        late = 10 * SECOND
        assert {spec.command for t, spec in made if spec.task == "kept" and t > late} == {("kept", "anew")}
        assert [spec for t, spec in made if spec.task == "gone"] and not [
            t for t, spec in made if spec.task == "gone" and t > late
        ]
        assert [line for line in lines if isinstance(line, ProcessStarted) and line.node == "node3"]
        assert not [t for t, spec in made if spec.task == "new" and t > 31 * SECOND]


def test_a_host_that_the_next_life_finds_in_no_file_says_so_when_it_is_left() -> None:
    given = {(JobId(1), 1): GivenAttempt("node3", 1, JobSpec("t"))}
    controller = Controller(2, 0, ClusterDefinition(), RestoredController(given, []))
    host = controller.hosts["node3"]
    assert (host.order, host.order_reason) == (HostOrder.OFF, "not in the configuration any more")
