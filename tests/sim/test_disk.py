"""Goal: the modelled disk keeps the promises of the live loop, and breaks what a real one may break.

Method: one disk under two machines that do nothing, on a calendar of its own; what is written and what leaves is noted
with its time. Then whole worlds whose disk is full or fails.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from model.effects import Commit, Notice, ToKeeper, Transmit
from model.job import SECOND, JobId, JobSpec
from model.keeper import Start, Stop
from model.messages import Acknowledge, Batch, Ping
from model.records import AttemptAssigned, AttemptStarted, IntakeChanged
from sim.calendar import TURN, Calendar
from sim.clocks import Clock
from sim.crashes import Crashes
from sim.disk import RESERVE_COMMITS, Disk
from sim.distributions import Constant
from sim.keyed import Draws
from sim.log import Committed, FaultChanged, Life, Noticed, ProcessStarted
from sim.node import Node
from sim.scenario import DiskModel, Fault, Kind
from tests.sim.test_faults import JOBS, Run, fault

MILLISECOND = 1_000_000
RECORD = Commit(AttemptAssigned(JobId(1), 1, "local"))
OTHER = Commit(AttemptStarted(JobId(2), 1, "local"))
WORD = Notice("info", "", "word")


class Rig:
    """A disk that syncs in 5 ms under `scheduler` and `local`."""

    def __init__(self) -> None:
        self.calendar = Calendar(100 * SECOND)
        self.crashes = Crashes()
        self.written: list[tuple[int, Any]] = []
        self.left: list[tuple[int, Any]] = []
        self.told: list[str] = []
        nodes = [Node(name, self.calendar, Clock(0, 0), TURN, self.carry_out, True) for name in ("scheduler", "local")]
        self.scheduler, self.local = nodes
        model = DiskModel(5 * MILLISECOND)
        draws = Draws(1, "disk")
        self.disk = Disk(
            "scheduler", tuple(nodes), model, draws, self.calendar, self.crashes, self.write, self.carry_out
        )
        self.disk.on_stuck = lambda _: self.told.append("full")
        self.disk.on_broken = lambda _: self.told.append("broken")

    def write(self, name: str, record: Any) -> None:
        self.written.append((self.calendar.now // MILLISECOND, record))

    def carry_out(self, node: Node, effects: Sequence[Any]) -> None:
        self.left += [(self.calendar.now // MILLISECOND, effect) for effect in effects]

    def at(self, milliseconds: int, *effects: Any, node: Node | None = None) -> None:
        """A machine is drained then."""
        delay = milliseconds * MILLISECOND - self.calendar.now
        self.calendar.call_after(delay, TURN, lambda: self.disk.take(node or self.scheduler, iter(effects)))

    def run(self, until_ms: int) -> None:
        self.calendar.run(until=until_ms * MILLISECOND)


def test_what_is_wanted_leaves_after_the_sync_of_what_was_recorded() -> None:
    rig = Rig()
    rig.at(0, RECORD, WORD)
    rig.run(20)
    assert rig.written == [(5, RECORD.record)]
    assert rig.left == [(5, WORD)]


def test_what_needs_no_record_leaves_at_once() -> None:
    rig = Rig()
    rig.at(0, WORD)
    rig.run(20)
    assert rig.left == [(0, WORD)]


def test_what_comes_during_a_sync_is_in_the_next_one_and_in_order() -> None:
    rig = Rig()
    rig.at(0, RECORD)
    rig.at(2, WORD)
    rig.at(3, OTHER)
    rig.run(20)
    assert [at for at, _ in rig.written] == [5, 10]
    assert rig.left == [(10, WORD)]


def test_words_within_the_process_pass_before() -> None:
    rig = Rig()
    inner = Transmit("local", Batch(1, 1, 1, ()))
    outer = Transmit("controller", Batch(1, 1, 1, ()))
    rig.at(0, RECORD, inner, outer)
    rig.run(20)
    assert rig.left == [(0, inner), (5, outer)]


def test_a_start_passes_once_its_assignment_is_durable() -> None:
    rig = Rig()
    start = ToKeeper(0, Start(JobId(1), 1, JobSpec("t")))
    stop = ToKeeper(0, Stop(JobId(1), 1))
    rig.at(0, RECORD)
    rig.at(1, start, node=rig.local)
    rig.at(6, OTHER)
    rig.at(7, start, stop, node=rig.local)
    rig.run(30)
    assert rig.left == [(5, start), (7, start), (11, stop)]


def test_a_start_that_follows_another_does_not_overtake_it() -> None:
    rig = Rig()
    first, alone = (ToKeeper(0, Start(JobId(job), 1, JobSpec("t"))) for job in (3, 4))
    second = ToKeeper(0, Start(JobId(2), 1, JobSpec("t"), (JobId(3), 1)))
    third = ToKeeper(0, Start(JobId(1), 1, JobSpec("t"), (JobId(2), 1)))
    rig.at(0, Commit(AttemptAssigned(JobId(3), 1, "local")))
    rig.at(1, first, second, third, alone, node=rig.local)
    rig.run(30)
    assert rig.left == [(1, alone), (5, first), (5, second), (5, third)]


def test_a_crash_loses_what_is_not_durable() -> None:
    rig = Rig()
    rig.at(0, RECORD, WORD)
    rig.at(1, OTHER)
    rig.calendar.call_after(4 * MILLISECOND, TURN, rig.disk.crash)
    rig.run(20)
    assert rig.written == []
    assert rig.left == []


def test_a_crash_between_durability_and_what_waits_for_it_loses_only_that() -> None:
    rig = Rig()
    rig.crashes.arm("scheduler", 2, rig.disk.crash)
    rig.at(0, RECORD, WORD)
    rig.run(20)
    assert rig.written == [(5, RECORD.record)]
    assert rig.left == []


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_a_crash_may_leave_the_first_records_of_a_commit_and_nothing_that_waited_for_them(kept: int) -> None:
    rig = Rig()
    rig.at(0, RECORD, OTHER, WORD)
    rig.at(1, OTHER)
    rig.calendar.call_after(4 * MILLISECOND, TURN, lambda: rig.disk.crash(kept))
    rig.run(20)
    assert rig.written == [(4, RECORD.record), (4, OTHER.record)][:kept]
    assert rig.left == []


@pytest.mark.parametrize(("boundary", "left"), [(4, 0), (5, 1), (6, 1)])
def test_a_start_that_passes_the_commit_has_boundaries_before_and_after_it(boundary: int, left: int) -> None:
    """1 to 3 are of the first commit, 4 and 5 of the start, 6 of the commit that is under way."""
    rig = Rig()
    start = ToKeeper(0, Start(JobId(1), 1, JobSpec("t")))
    rig.crashes.arm("scheduler", boundary, rig.disk.crash)
    rig.at(0, RECORD)
    rig.at(6, OTHER, node=rig.scheduler)
    rig.at(7, start, WORD, node=rig.local)
    rig.run(30)
    assert rig.crashes.passed["scheduler"] == boundary
    assert rig.left == [(7, start)] * left


def test_a_new_life_starts_with_nothing() -> None:
    rig = Rig()
    rig.at(0, RECORD, WORD)
    rig.calendar.call_after(1 * MILLISECOND, TURN, rig.disk.crash)
    rig.calendar.call_after(2 * MILLISECOND, TURN, rig.disk.begin)
    rig.at(3, OTHER)
    rig.run(20)
    assert rig.written == [(8, OTHER.record)]
    assert rig.left == []


def test_a_full_disk_spends_its_reserve_and_then_waits_until_there_is_room() -> None:
    rig = Rig()
    rig.disk.full = 1
    for number in range(RESERVE_COMMITS + 1):
        rig.at(10 * number, RECORD, WORD)
    rig.run(500)
    assert len(rig.written) == len(rig.left) == RESERVE_COMMITS
    assert rig.disk.stuck
    rig.disk.full = 0
    rig.run(2000)
    assert len(rig.written) == len(rig.left) == RESERVE_COMMITS + 1
    assert not rig.disk.stuck


def test_on_a_full_disk_heartbeats_leave_and_other_words_are_lost() -> None:
    rig = Rig()
    rig.disk.full = 1
    for number in range(RESERVE_COMMITS + 1):
        rig.at(10 * number, RECORD)
    ping, acknowledge = Ping(1, 2, 0), Acknowledge(JobId(1), 1)
    rig.at(500, RECORD, Transmit("controller", Batch(1, 4, 1, (acknowledge, ping))), WORD)
    rig.calendar.call_after(1500 * MILLISECOND, TURN, lambda: setattr(rig.disk, "full", 0))
    rig.run(3000)
    assert rig.left[0] == (500, Transmit("controller", Batch(1, 4, 1, (ping,))))
    assert [effect for _, effect in rig.left[1:]] == [WORD]
    assert rig.left[1][0] > 1500


def test_a_sync_that_does_not_end_is_as_a_full_disk_after_a_while() -> None:
    rig = Rig()
    rig.disk.hangs = 1
    ping = Transmit("controller", Batch(1, 4, 1, (Ping(1, 2, 0),)))
    rig.at(0, RECORD, WORD)
    rig.at(9000, ping)
    rig.at(12_000, ping)
    rig.run(9500)
    assert not rig.disk.stuck and not rig.told
    rig.run(15_000)
    assert rig.disk.stuck and rig.told == ["full"]
    assert rig.left == [(12_000, ping)]
    rig.disk.hangs = 0
    rig.run(17_000)
    assert not rig.disk.stuck
    assert [record for _, record in rig.written] == [RECORD.record]
    assert [effect for _, effect in rig.left[1:]] == [WORD, ping]


def test_a_disk_that_fails_writes_nothing_and_says_so() -> None:
    rig = Rig()
    rig.disk.broken = 1
    rig.at(0, RECORD, WORD)
    rig.run(20)
    assert rig.told == ["broken"]
    assert rig.written == rig.left == []


# whole worlds


def test_a_full_disk_stops_the_intake_which_resumes_by_itself() -> None:
    run = Run(fault(Kind.DISK_FULL, 1.5, 30, "scheduler"))
    assert run.outcomes == {"exit 0": JOBS}
    recorded = [line.t / SECOND for line in run.of(Committed) if line.node == "scheduler"]
    assert not [t for t in recorded if 5 < t < 31.5]
    assert [line for line in recorded if line > 31.5]


def test_a_disk_that_hangs_stops_the_intake_which_resumes_by_itself() -> None:
    run = Run(fault(Kind.DISK_HANGS, 1.5, 30, "scheduler"))
    assert run.outcomes == {"exit 0": JOBS}
    recorded = [line.t / SECOND for line in run.of(Committed) if line.node == "scheduler"]
    assert not [t for t in recorded if 1.6 < t < 31.5]
    intake = [line.record for line in run.of(Committed) if type(line.record) is IntakeChanged]
    assert [(record.state, record.reason) for record in intake] == [
        ("running", "the disk does not answer"),  # for now: a restart would take it up
        ("running", ""),
    ]


def test_a_disk_that_is_full_again_stops_the_intake_again() -> None:
    run = Run(fault(Kind.DISK_FULL, 1.5, 3, "scheduler"), fault(Kind.DISK_FULL, 8, 30, "scheduler"))
    reasons = [line.record.reason for line in run.of(Committed) if type(line.record) is IntakeChanged]
    assert reasons == ["disk full", "", "disk full", ""]


@pytest.mark.parametrize("kind", [Kind.DISK_FULL, Kind.DISK_HANGS])
def test_what_runs_outlives_a_standstill_and_a_connection_that_breaks_in_it(kind: Kind) -> None:
    """The lease is 20 s; the reserve takes the first three gifts, so the fourth one waits."""
    standstill, broken = fault(kind, 0, 160, "controller"), fault(Kind.BROKEN, 40, 0, "controller", "node1")
    run = Run(standstill, broken, run=Constant(100 * SECOND))
    assert run.outcomes == {"exit 0": JOBS}
    assert len(run.links("up")) == 2
    assert len(run.of(ProcessStarted)) == JOBS
    if kind is Kind.DISK_FULL:
        assert [end for _, end in run.processes if 100 < end < 110], "begun on the reserve"
    assert max(end for _, end in run.processes) > 260, "begun when there was room"


def test_a_disk_that_fails_ends_the_process_until_it_is_mended() -> None:
    run = Run(fault(Kind.DISK_BROKEN, 1.5, 5, "scheduler"))
    assert run.outcomes == {"exit 0": JOBS}
    assert [line.t for line in run.of(Life) if line.node == "scheduler"] == [0, int(6.5 * SECOND)]


@pytest.mark.parametrize("boundary", [0, 1, 7])
@pytest.mark.parametrize("name", ["scheduler", "controller", "node1"])
def test_a_crashed_process_comes_back_and_knows_what_it_must(name: str, boundary: int) -> None:
    run = Run(fault(Kind.CRASHED, 2.5, 1, name, limit=boundary))
    assert run.outcomes == {"exit 0": JOBS}
    assert [line.on for line in run.of(FaultChanged)] == [True, False]
    assert [line.epoch for line in run.of(Life) if line.node == name] == [1, 2]


def test_a_keeper_that_dies_costs_its_jobs_and_says_so() -> None:
    run = Run(fault(Kind.KEEPER_CRASHED, 5, 1))
    assert run.outcomes == {"LOST": JOBS}
    assert all(end == 6.0 for _, end in run.processes)
    assert [line for line in run.of(Noticed) if "keeper 0 is gone" in line.text]


def test_a_crash_that_is_never_reached_never_happens() -> None:
    run = Run(Fault(Kind.CRASHED, ("node1",), 0, SECOND, limit=1 << 40))
    assert run.of(FaultChanged) == []
