"""Goal: a journal that is compacted forgets nothing that counts, wherever a crash cuts the work short, and what people
may ask about the past stays.

Method: snapshots and steps of a few rows. After each step, and at each frame of SQLite's write-ahead log, a copy of the
files is recovered, as if the process had been killed or the power had gone there; it must come to the same as all
records that were ever written. A full disk is a page limit of SQLite.
"""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import msgspec
import pytest

from live import clock, compaction, journal, journal_writer, recovery
from live.compaction import Compaction
from live.history import ChangeQuestion, History, HistoryQuestion
from live.journal import Journal, JournalBrokenError
from live.journal_writer import JournalWriter
from live.recovery import recover
from model import snapshot
from model.configuration import ClusterDefinition, OnExit
from model.job import SECOND, JobId, JobSpec, Outcome, Report
from model.records import (
    AttemptAssigned,
    AttemptEnded,
    AttemptGiven,
    AttemptReturned,
    AttemptStarted,
    ConfigurationTaken,
    HostChanged,
    ItemsFound,
    ItemsGone,
    JobAccepted,
    PersonOrdered,
    Record,
    SnapshotBegun,
    WindowCounted,
)
from model.restored import Fold, fold
from model.task import LinesSource, TaskDefinition
from tests.live.running_server import LOCALLY, QUICK, RunningServer, until

Pair = tuple[str, Record]

WAL_HEADER, FRAME = 32, 24 + 4096


@pytest.fixture
def path(tmp_path: Path) -> Path:
    tmp_path.chmod(0o700)
    return tmp_path / "journal.sqlite"


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "SNAPSHOT_EVERY", 20)
    monkeypatch.setattr(compaction, "STORIES_KEPT", 8)
    monkeypatch.setattr(journal, "STEP_ROWS", 5)
    monkeypatch.setattr(journal_writer, "STEP_ROWS", 5)
    monkeypatch.setattr(snapshot, "PART_ENTRIES", 5)


def spec(job: int) -> JobSpec:
    return JobSpec("reduce", ("./reduce.sh", f"item {job}"), item=f"item {job}")


def life(job: int, records: int = 6) -> list[Pair]:
    """The first records of a job that runs once on north; 6: all."""
    name = JobId(job)
    report = Report(Outcome.EXITED, exit_code=0, host="north", started=True, ran_for_ns=5)
    whole: list[Pair] = [
        ("scheduler", JobAccepted(name, spec(job), due_ns=job * SECOND)),
        ("scheduler", AttemptAssigned(name, 1, "controller")),
        ("controller", AttemptGiven(name, 1, "north", 1, spec(job))),
        ("scheduler", AttemptStarted(name, 1, "north")),
        ("scheduler", AttemptEnded(name, 1, report, final=True, good=True)),
        ("controller", AttemptReturned(name, 1)),
    ]
    return whole[:records]


def night() -> list[list[Pair]]:
    """Transactions: jobs that end, and one of each kind that does not."""
    found = tuple(f"item {number}" for number in range(20))
    first: list[Pair] = [
        ("scheduler", ItemsFound("reduce", found)),
        ("scheduler", WindowCounted("reduce", "night", 3, 7)),
        ("controller", HostChanged("north", "add", 4)),
    ]
    unfinished = [life(job, job) for job in (1, 2, 3, 4)]
    return [first, *unfinished, *(life(job) for job in range(5, 10))]


def state(folded: Fold) -> Any:
    known, order = folded.scheduler, [list(task.items) for task in folded.scheduler.tasks.values()]
    return msgspec.structs.asdict(known), msgspec.structs.asdict(folded.controller), order


class Kept:
    """A journal with what compacts it, and all records that were ever written to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.journal = Journal(path)
        self.compaction = Compaction(self.journal, recover(self.journal))
        self.written: list[Record] = []

    def write(self, records: list[Pair]) -> None:
        self.journal.append(records)
        self.compaction.committed(records)
        self.written += [record for _, record in records]

    def steps(self) -> Iterator[int]:
        """One at a time, until nothing is due; the number of each."""
        number = 0
        while self.compaction.is_due:
            self.compaction.step()
            yield number
            number += 1

    def compact(self) -> None:
        for number in self.steps():
            assert number < 1000

    def close(self) -> None:
        self.journal.close()

    def rows(self) -> int:
        count: int = self.journal._connection.execute("SELECT count(*) FROM record").fetchone()[0]
        return count


@pytest.fixture
def kept(path: Path) -> Iterator[Kept]:
    one = Kept(path)
    yield one
    one.close()


def recovered(path: Path, folder: Path, wal_bytes: int | None = None) -> Any:
    """What a start on a copy of the files comes to; `wal_bytes`: so much of the log had reached the disk."""
    folder.mkdir(mode=0o700)
    for file in path.parent.glob(path.name + "*"):
        if not file.name.endswith("-shm"):
            shutil.copy(file, folder)
    if wal_bytes is not None:
        with (folder / (path.name + "-wal")).open("r+b") as wal:
            wal.truncate(wal_bytes)
    again = Journal(folder / path.name)
    try:
        return state(recover(again))
    finally:
        again.close()


def test_a_kill_after_any_step_recovers_to_all_that_was_written(kept: Kept, tmp_path: Path) -> None:
    for records in night():
        kept.write(records)
    more = iter([[], [], *(life(number) for number in range(20, 26))])
    seen = 0
    for number in kept.steps():
        kept.write(next(more, []))
        assert recovered(kept.path, tmp_path / f"{number}") == state(fold(kept.written)), f"after step {number}"
        seen = number
    assert kept.compaction.snapshots > 1
    assert seen > 30, "parts of snapshots and steps of forgetting"
    assert kept.rows() < len(kept.written) / 2


def test_what_people_have_ordered_stays_for_as_long_as_the_history(kept: Kept) -> None:
    """It decides nothing, so it is in no snapshot."""
    kept.write([("controller", PersonOrdered("ann@head", "drain", "host", "node3", "new disk"))])
    kept.write([("scheduler", ConfigurationTaken("bob@head", "set a=1"))])
    for records in night():
        kept.write(records)
    for more in range(20, 40):
        kept.write(life(more))
    kept.compact()
    assert kept.rows() < len(kept.written) / 2
    history = History(kept.path)
    rows = [(row.by, row.verb, row.name) for row in history.changes(ChangeQuestion())]
    assert rows == [("ann@head", "drain", "node3"), ("bob@head", "set a=1", "")]
    assert [row.by for row in history.changes(ChangeQuestion("host", "node3"))] == ["ann@head"]
    kept.journal.prune_history(before_ns=2**62)
    assert history.changes(ChangeQuestion()) == []


def test_power_loss_at_any_frame_of_the_log_recovers_to_a_moment_after_the_last_commit(
    kept: Kept, tmp_path: Path
) -> None:
    moments = [state(fold([]))]
    ends: list[tuple[int, int]] = [(0, 0)]
    wal = kept.path.with_name(kept.path.name + "-wal")

    def write(records: list[Pair]) -> None:
        kept.write(records)
        moments.append(state(fold(kept.written)))
        ends.append((wal.stat().st_size, len(moments) - 1))

    for records in night():
        write(records)
    for number in kept.steps():
        if number % 7 == 3:
            write(life(20 + number))
    assert kept.compaction.snapshots >= 1
    size = wal.stat().st_size
    assert size == WAL_HEADER + (size - WAL_HEADER) // FRAME * FRAME, "nothing was moved into the file yet"
    for frames in range(first_frames(ends), (size - WAL_HEADER) // FRAME + 1):
        cut = WAL_HEADER + frames * FRAME
        acknowledged = max(moment for end, moment in ends if end <= cut)
        assert recovered(kept.path, tmp_path / f"{frames}", cut) == moments[acknowledged], f"after {frames} frames"


def first_frames(ends: list[tuple[int, int]]) -> int:
    """Frames up to the first commit: before it there are no tables."""
    return (ends[1][0] - WAL_HEADER) // FRAME


def test_a_snapshot_of_which_an_earlier_life_wrote_a_half_is_ignored_and_goes(path: Path) -> None:
    first = Kept(path)
    for records in night():
        first.write(records)
    for number in first.steps():
        if number == 3:
            break
    first.close()
    second = Kept(path)
    second.written = first.written
    assert state(recover(second.journal)) == state(fold(first.written))
    for job in range(50, 56):
        second.write(life(job))
    second.compact()
    for job in range(60, 66):
        second.write(life(job))
    second.compact()
    begins = second.journal._connection.execute("SELECT count(*) FROM record WHERE kind = 'snapshot begun'")
    assert begins.fetchone() == (1,)
    assert state(recover(second.journal)) == state(fold(second.written))
    second.close()


def test_forgetting_goes_on_in_the_next_life(path: Path) -> None:
    first = Kept(path)
    for records in night():
        first.write(records)
    for _ in first.steps():
        if first.journal.snapshot():
            break
    rows = first.rows()
    first.close()
    second = Kept(path)
    assert second.compaction.is_due
    second.compact()
    assert second.rows() < rows
    assert second.compaction.snapshots == 0
    assert state(recover(second.journal)) == state(fold(first.written))
    second.close()


def test_history_and_what_a_retry_needs_stay(kept: Kept) -> None:
    for records in night():
        kept.write(records)
    before = History(kept.path).attempts(HistoryQuestion())
    kept.compact()
    for job in range(20, 40):
        kept.write(life(job))
        kept.compact()
    history = History(kept.path)
    assert history.attempts(HistoryQuestion())[: len(before)] == before
    assert [history.spec(job) for job in (1, 4, 5, 9)] == [spec(job) for job in (1, 4, 5, 9)]
    assert history.story(9)[0][1] == life(9)[0][1]
    assert [record for _, record in history.story(39)] == [record for _, record in life(39)], "the last ones are whole"


def test_a_job_that_ends_long_after_its_records_went_has_its_particulars(path: Path) -> None:
    first = Kept(path)
    for records in night():
        first.write(records)
    first.compact()
    first.close()
    second = Kept(path)
    second.write(life(4)[4:])
    (row,) = History(path).attempts(HistoryQuestion(job=4))
    assert (row.task, row.item, row.command) == ("reduce", "item 4", "./reduce.sh item 4")
    assert row.started_at is not None
    assert row.accepted_at <= row.started_at <= row.ended_at - 5
    second.close()


def test_what_is_left_of_a_job_goes_with_its_row_of_the_history(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    for records in night():
        kept.write(records)
    kept.compact()
    for job in range(20, 30):
        kept.write(life(job))
    monkeypatch.setattr(compaction, "HISTORY_KEPT_NS", -3600 * SECOND)
    kept.compact()
    history = History(kept.path)
    assert history.attempts(HistoryQuestion()) == []
    assert history.spec(5) is None
    assert history.spec(1) == spec(1), "it is not finished"
    assert state(recover(kept.journal)) == state(fold(kept.written))


def test_rows_do_not_grow_with_jobs_that_are_finished(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "HISTORY_KEPT_NS", -3600 * SECOND)
    most: list[int] = []
    for hundreds in range(3):
        rows = []
        for job in range(100 * hundreds + 1, 100 * hundreds + 101):
            kept.write([*life(job), ("scheduler", ItemsGone("reduce", (f"item {job}",)))])
            kept.compact()
            rows.append(kept.rows())
        most.append(max(rows))
    assert most[2] == most[1] < 60


def test_the_due_time_of_a_task_is_told_by_the_clock_of_the_next_boot(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    for records in night():
        kept.write(records)
    kept.compact()
    due = recover(kept.journal).scheduler.tasks["reduce"].last_due_ns
    assert due == 9 * SECOND
    real = clock.monotonic_ns
    monkeypatch.setattr(recovery, "boot_id", lambda: "another")
    monkeypatch.setattr(recovery, "monotonic_ns", lambda: real() - 1000 * SECOND)
    shifted = recover(kept.journal).scheduler.tasks["reduce"].last_due_ns
    assert shifted is not None
    assert abs(shifted - due + 1000 * SECOND) < 60 * SECOND


def test_a_full_disk_puts_it_off_and_nothing_is_lost(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    for records in night():
        kept.write(records)
    large = JobSpec("reduce", ("./reduce.sh", "x" * 200_000))
    kept.write([("scheduler", JobAccepted(JobId(60), large))])
    execute = kept.journal._connection.execute
    pages = execute("PRAGMA page_count").fetchone()[0]
    execute(f"PRAGMA max_page_count={pages}")
    kept.compact()
    assert kept.compaction.snapshots == 0
    assert state(recover(kept.journal)) == state(fold(kept.written))
    execute("PRAGMA max_page_count=1000000")
    kept.write(life(70))
    assert not kept.compaction.is_due, "it waits"
    now = clock.monotonic_ns()
    monkeypatch.setattr(compaction, "monotonic_ns", lambda: now + compaction.ROOM_WAIT_NS)
    kept.compact()
    assert kept.compaction.snapshots == 1
    assert state(recover(kept.journal)) == state(fold(kept.written))


class Loop:
    """Just enough of an event loop for the journal's thread."""

    def __init__(self) -> None:
        self.calls: SimpleQueue[Exception | None] = SimpleQueue()

    def call_soon_threadsafe(self, call: Any, *arguments: Any) -> None:
        self.calls.put(*arguments)


def test_the_journals_thread_compacts_when_no_batch_waits(kept: Kept) -> None:
    finished = threading.Event()

    class Watched(Compaction):
        @property
        def is_due(self) -> bool:
            due = super().is_due
            if not due and self.snapshots:
                finished.set()
            return due

    kept.journal.compaction = Watched(kept.journal, Fold())
    loop = Loop()
    writer = JournalWriter(loop, kept.journal, lambda error: None)  # type: ignore[arg-type]
    batches = night() + [life(job) for job in range(20, 60)]
    for records in batches:
        writer.commit(records)
        assert loop.calls.get(timeout=20) is None
    assert finished.wait(20)
    writer.close()
    written = [record for records in batches for _, record in records]
    assert state(recover(kept.journal)) == state(fold(written))
    assert kept.rows() < len(written)


def test_the_journals_thread_compacts_although_a_batch_always_waits(kept: Kept) -> None:
    """All batches are there before the thread looks: it never finds the queue empty."""
    kept.journal.compaction = kept.compaction
    loop = Loop()
    writer = JournalWriter(loop, kept.journal, lambda error: None)  # type: ignore[arg-type]
    for job in range(1, 201):
        writer.commit([*life(job), ("scheduler", ItemsGone("reduce", (f"item {job}",)))])
    writer.close()
    assert kept.compaction.snapshots >= 3
    assert kept.rows() < 600


def test_a_compaction_that_fails_is_told_to_the_loop_and_not_tried_again(kept: Kept) -> None:
    class Broken(Compaction):
        def step(self) -> None:
            raise JournalBrokenError("the disk failed")

    kept.journal.compaction = Broken(kept.journal, Fold())
    loop = Loop()
    writer = JournalWriter(loop, kept.journal, lambda error: None)  # type: ignore[arg-type]
    writer.commit([record for records in night() for record in records])
    assert loop.calls.get(timeout=20) is None
    assert isinstance(loop.calls.get(timeout=20), JournalBrokenError)
    writer.commit(life(99))
    assert loop.calls.get(timeout=20) is None
    writer.close()
    assert loop.calls.empty()


def test_a_start_reads_from_the_last_snapshot_on(kept: Kept) -> None:
    for records in night():
        kept.write(records)
    kept.compact()
    assert kept.rows() > len(list(kept.journal.replay()))
    header, record = next(kept.journal.replay())
    assert isinstance(record, SnapshotBegun)
    assert header.sequence == kept.journal.snapshot()


def test_a_snapshot_that_lost_a_part_is_not_taken_for_whole(kept: Kept) -> None:
    for records in night():
        kept.write(records)
    kept.compact()
    kept.journal._connection.execute("DELETE FROM record WHERE kind = 'snapshot of tasks'")
    with pytest.raises(JournalBrokenError, match="not complete"):
        recover(kept.journal)


def test_a_journal_from_before_there_were_snapshots_is_taken_up(path: Path) -> None:
    first = Kept(path)
    for records in night():
        first.write(records)
    first.journal._connection.execute(f"PRAGMA user_version={journal.WITHOUT_SNAPSHOTS}")
    first.close()
    second = Kept(path)
    second.journal.epoch()
    assert second.journal._connection.execute("PRAGMA user_version").fetchone() == (journal.SCHEMA,)
    second.compact()
    assert second.compaction.snapshots == 1
    assert state(recover(second.journal)) == state(fold(first.written))
    second.close()


_SMALL = """
import live.compaction, live.journal, model.snapshot
live.compaction.SNAPSHOT_EVERY, live.compaction.STORIES_KEPT = 40, 10
live.journal.STEP_ROWS, model.snapshot.PART_ENTRIES = 7, 7
"""


def test_a_server_that_is_killed_again_and_again_while_it_compacts_runs_each_item_once(tmp_path: Path) -> None:
    server = RunningServer(tmp_path)
    task = TaskDefinition(
        "once", command=("/bin/true",), source=LinesSource(("seq", "300")), host=LOCALLY, periods=QUICK
    )
    configuration = server.configuration(task, cluster=ClusterDefinition(local_slots=4), on_exit=OnExit.KEEP)
    try:
        for ends in (40, 90, 150, 210):
            server.begin(configuration, before=_SMALL)
            server.client()
            until(partial(has_ended, server, ends), f"{ends} jobs end; it said: {server.said()}")
            server.crash()
        server.begin(configuration, until_idle=True, before=_SMALL)
        assert server.ended() == 0, server.said()
        rows = [row for row in server.history() if row.final]
        assert sorted(int(row.item or 0) for row in rows) == list(range(1, 301))
        assert server.nothing_left()
        with contextlib.closing(Kept(server.state / "journal.sqlite")) as kept:
            assert kept.journal.snapshot(), "the servers made some"
            kept.compact()
            count = kept.journal._connection.execute("SELECT kind, count(*) FROM record GROUP BY kind")
            kinds = dict(count.fetchall())
        # The next snapshot comes when half as many records have come as it has entries (300 items, a task): until then
        # what came since the last one stays, and on a slow machine all of that may be ends.
        assert kinds.get("attempt ended", 0) <= 301 // compaction.ENTRIES_EACH + compaction.STORIES_KEPT
        assert kinds["job accepted"] == 300, "a retry may want any of them"
    finally:
        server.clean()


def has_ended(server: RunningServer, count: int) -> bool:
    return len(server.history()) >= count
