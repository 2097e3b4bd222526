"""Goal: what a commit returned for is on the disk, in order, once, and the history says the same as the records.

Method: a journal in a temporary folder; the process that "crashes" is a second Journal opened on the same file, or a
child that is killed in the middle; a full disk is a page limit of SQLite, which gives the very error of a full disk.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from live import file_system, journal
from live.history import History, HistoryQuestion
from live.journal import Journal, JournalBrokenError, JournalError, JournalFullError
from live.state_directory import StateDirectoryError
from model.job import JobId, JobSpec, Outcome, Report
from model.records import (
    AttemptAssigned,
    AttemptEnded,
    AttemptGiven,
    AttemptStarted,
    ItemsFound,
    JobAccepted,
    Record,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    tmp_path.chmod(0o700)
    return tmp_path / "journal.sqlite"


def life(job: int, outcome: Outcome = Outcome.EXITED, code: int | None = 0) -> list[tuple[str, Record]]:
    """The records of a job that ran once on node1."""
    spec = JobSpec("reduce", ("./reduce.sh", f"item {job}"), item=f"item {job}")
    name = JobId(job)
    report = Report(outcome, exit_code=code, host="node1", started=True, ran_for_ns=5, waited_ns=3, stdout_bytes=7)
    return [
        ("scheduler", JobAccepted(name, spec)),
        ("scheduler", AttemptAssigned(name, 1, "controller")),
        ("controller", AttemptGiven(name, 1, "node1", 1, spec)),
        ("scheduler", AttemptStarted(name, 1, "node1")),
        ("scheduler", AttemptEnded(name, 1, report, final=True, good=code == 0)),
    ]


def test_records_come_back_in_order_each_to_its_own_node(path: Path) -> None:
    records = [*life(1), ("scheduler", ItemsFound("reduce", ("a", "b"))), *life(2)]
    first = Journal(path)
    first.append(records[:3])
    first.append(records[3:])
    first.close()

    again = Journal(path)
    for node in ("scheduler", "controller"):
        assert [record for _, record in again.replay(node)] == [record for name, record in records if name == node]
    headers = [header for header, _ in again.replay("scheduler")]
    assert [header.sequence for header in headers] == sorted({header.sequence for header in headers})
    assert all(header.boot == journal.boot_id() and header.wall_ns > 0 for header in headers)
    again.close()


def test_the_epoch_grows_with_each_life_and_is_kept(path: Path) -> None:
    seen = []
    for _ in range(3):
        one = Journal(path)
        seen.append(one.epoch())
        one.close()
    assert seen == [1, 2, 3]


def test_history_has_one_row_for_each_attempt_that_ended(path: Path) -> None:
    one = Journal(path)
    one.append(life(1) + life(2, code=3) + life(3, Outcome.TIMED_OUT, None))
    history = History(path)
    rows = history.attempts(HistoryQuestion())
    assert [(row.job, row.attempt, row.outcome, row.exit_code) for row in rows] == [
        (1, 1, "EXITED", 0),
        (2, 1, "EXITED", 3),
        (3, 1, "TIMED_OUT", None),
    ]
    first = rows[0]
    assert (first.task, first.item, first.command, first.host) == ("reduce", "item 1", "./reduce.sh item 1", "node1")
    assert first.accepted_at <= (first.started_at or 0) <= first.ended_at
    assert (first.waited_ns, first.ran_for_ns, first.stdout_bytes, first.final) == (3, 5, 7, True)
    one.close()


@pytest.mark.parametrize(
    ("question", "jobs"),
    [
        (HistoryQuestion(outcome="exit 3"), [2]),
        (HistoryQuestion(outcome="timed-out"), [3]),
        (HistoryQuestion(outcome="failed"), [2, 3]),
        (HistoryQuestion(task="reduce", limit=1), [3]),
        (HistoryQuestion(task="another"), []),
        (HistoryQuestion(job=2), [2]),
        (HistoryQuestion(host="node1", since_ns=3600 * 10**9), [1, 2, 3]),
        (HistoryQuestion(since_ns=-1), []),
    ],
)
def test_history_is_asked_by_task_job_outcome_host_and_age(
    path: Path, question: HistoryQuestion, jobs: list[int]
) -> None:
    one = Journal(path)
    one.append(life(1) + life(2, code=3) + life(3, Outcome.TIMED_OUT, None))
    assert [row.job for row in History(path).attempts(question)] == jobs
    one.close()


def test_an_attempt_that_ends_in_a_later_life_has_the_particulars_of_its_acceptance(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Journal(path)
    first.append(life(1)[:4])
    first.close()
    begun_ns = journal.wall_ns()
    monkeypatch.setattr(journal, "wall_ns", lambda: begun_ns + 10**12)
    second = Journal(path)
    second.append(life(1)[4:])
    (row,) = History(path).attempts(HistoryQuestion(job=1))
    assert (row.task, row.item, row.command) == ("reduce", "item 1", "./reduce.sh item 1")
    assert row.started_at is not None
    assert row.accepted_at <= row.started_at <= begun_ns < row.ended_at
    second.close()


def test_an_attempt_of_which_only_the_end_was_told_has_begun_when_its_run_says(path: Path) -> None:
    one = Journal(path)
    one.append([(node, record) for node, record in life(1) if not isinstance(record, AttemptStarted)])
    (row,) = History(path).attempts(HistoryQuestion(job=1))
    assert row.started_at == row.ended_at - row.ran_for_ns
    one.close()


def test_a_job_that_is_ended_while_it_waits_for_its_next_attempt_says_so_in_its_last_row(path: Path) -> None:
    one = Journal(path)
    one.append(life(1, code=75)[:4])
    first = Report(Outcome.EXITED, exit_code=75, host="node1", started=True)
    one.append([("scheduler", AttemptEnded(JobId(1), 1, first, final=False, wait_ns=60))])
    assert [row.final for row in History(path).attempts(HistoryQuestion())] == [False]
    killed = Report(Outcome.KILLED, reason="killed")
    one.append([("scheduler", AttemptEnded(JobId(1), 1, killed, final=True))])
    (row,) = History(path).attempts(HistoryQuestion())
    assert (row.outcome, row.exit_code, row.reason, row.final) == ("KILLED", None, "killed, after EXITED 75", True)
    assert row.host == "node1"
    one.close()


def test_a_story_is_the_records_of_one_job(path: Path) -> None:
    one = Journal(path)
    one.append(life(1) + life(2))
    assert [record for _, record in History(path).story(2)] == [record for _, record in life(2)]
    one.close()


_KILLED_WRITER = """
import os, sys
from pathlib import Path
from live.journal import Journal
from model.job import JobId, JobSpec
from model.records import JobAccepted
journal = Journal(Path(sys.argv[1]))
job = 0
while True:
    records = [("scheduler", JobAccepted(JobId(job + k), JobSpec("t", ("true",)))) for k in range(10)]
    journal.append(records)
    job += 10
    os.write(1, b"%d\\n" % job)
"""


def test_what_was_committed_before_kill_9_is_there_and_nothing_by_halves(path: Path) -> None:
    writer = subprocess.Popen([sys.executable, "-c", _KILLED_WRITER, str(path)], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    for _ in range(50):
        assert writer.stdout.readline()
    writer.send_signal(signal.SIGKILL)
    said = writer.stdout.read().split()
    writer.wait()
    writer.stdout.close()
    acknowledged = int(said[-1]) if said else 500
    again = Journal(path)
    jobs = [record.job for _, record in again.replay("scheduler") if isinstance(record, JobAccepted)]
    assert jobs == list(range(len(jobs)))
    assert len(jobs) % 10 == 0
    assert len(jobs) >= acknowledged
    again.close()


def fill(one: Journal) -> None:
    """Let the database have no page more than it has."""
    pages = one._connection.execute("PRAGMA page_count").fetchone()[0]
    one._connection.execute(f"PRAGMA max_page_count={pages}")


def test_a_full_disk_writes_nothing_says_so_and_the_same_records_go_in_later(path: Path) -> None:
    one = Journal(path)
    one.append(life(1))
    fill(one)
    big: list[tuple[str, Record]] = [("scheduler", ItemsFound("reduce", ("x" * 200_000,)))]
    with pytest.raises(JournalFullError, match="full") as caught:
        one.append(life(2) + big)
    assert "room" in caught.value.hint
    assert [row.job for row in History(path).attempts(HistoryQuestion())] == [1]
    one._connection.execute("PRAGMA max_page_count=1000000")
    one.append(life(2) + big)
    assert [row.job for row in History(path).attempts(HistoryQuestion())] == [1, 2]
    one.close()


def test_a_journal_that_finds_no_room_for_its_index_is_full_and_not_broken(tmp_path: Path) -> None:
    """SQLite calls it an I/O error."""
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_SHMSIZE
    assert isinstance(journal._explain(error, tmp_path), JournalFullError)
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_READ
    assert isinstance(journal._explain(error, tmp_path), JournalBrokenError)


def test_the_reserve_is_kept_and_spent_once(path: Path) -> None:
    one = Journal(path)
    assert one.keep_reserve()
    assert path.with_name("journal.sqlite.reserve").stat().st_blocks * 512 >= journal.RESERVE_BYTES
    assert one.spend_reserve()
    assert not one.spend_reserve()
    one.close()


def test_a_network_file_system_is_refused_with_a_sentence(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = os.statvfs(path.parent)
    assert kind.f_bsize  # the folder itself is fine: only the answer of statfs is changed
    monkeypatch.setattr(journal, "network_file_system", lambda _: "nfs")
    with pytest.raises(JournalError, match=r"network file system \(nfs\)") as caught:
        Journal(path)
    assert "--state" in caught.value.hint
    assert not path.exists()


def test_statfs_knows_this_folder_for_a_local_one(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert file_system.network_file_system(path.parent) is None
    magic = next(iter(file_system.NETWORK_FILE_SYSTEMS))
    assert file_system.NETWORK_FILE_SYSTEMS[magic] == "nfs"


@pytest.mark.parametrize("mode", [0o770, 0o702])
def test_a_folder_that_others_may_write_is_refused(path: Path, mode: int) -> None:
    path.parent.chmod(mode)
    with pytest.raises(StateDirectoryError, match="written by others"):
        Journal(path)


def test_files_are_for_the_owner_only(path: Path) -> None:
    one = Journal(path)
    one.append(life(1))
    modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    assert modes
    assert set(modes.values()) == {0o600}
    one.close()


def test_a_journal_of_another_version_is_left_alone(path: Path) -> None:
    one = Journal(path)
    one._connection.execute("PRAGMA user_version=99")
    one.close()
    with pytest.raises(JournalError, match="schema 99"):
        Journal(path)
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (99,)
    connection.close()


def test_a_damaged_file_is_named_and_not_overwritten(path: Path) -> None:
    path.write_bytes(b"this is not a database, and long enough to be looked at as one" * 20)
    path.chmod(0o600)
    before = path.read_bytes()
    with pytest.raises(JournalBrokenError, match=r"journal\.sqlite"):
        Journal(path)
    assert path.read_bytes() == before


def test_a_record_that_cannot_be_read_stops_the_replay_with_its_number(path: Path) -> None:
    one = Journal(path)
    one.append(life(1))
    one._connection.execute("UPDATE record SET body = x'c1' WHERE sequence = 2")
    with pytest.raises(JournalBrokenError, match="record 2"):
        list(one.replay("scheduler"))
    one.close()


def test_a_journal_that_is_only_read_stays_as_it_is_to_the_byte(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A start that is refused because of a damaged record must leave no trace of itself."""
    one = Journal(path)
    one.append(life(1))
    one._connection.execute("UPDATE record SET body = x'c1' WHERE sequence = 2")
    one.close()
    before = path.read_bytes()
    monkeypatch.setattr(journal, "boot_id", lambda: "another boot")
    two = Journal(path)
    with pytest.raises(JournalBrokenError, match="record 2"):
        list(two.replay())
    two.close()
    assert path.read_bytes() == before


def test_a_boot_whose_first_write_failed_is_written_with_the_next(path: Path) -> None:
    one = Journal(path)
    pages = one._connection.execute("PRAGMA page_count").fetchone()[0]
    one._connection.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(JournalFullError):
        one.append(life(1) * 400)
    one._connection.execute("PRAGMA max_page_count=1000000")
    one.append(life(1))
    assert {header.boot for header, _ in one.replay()} == {journal.boot_id()}
    one.close()


def test_old_history_is_pruned_in_steps_and_the_records_stay(path: Path) -> None:
    one = Journal(path)
    one.append([record for job in range(1, 6) for record in life(job)])
    assert one.prune_history(before_ns=2**62, limit=3) == 3
    assert one.prune_history(before_ns=2**62, limit=3) == 2
    assert one.prune_history(before_ns=2**62, limit=3) == 0
    assert History(path).attempts(HistoryQuestion()) == []
    assert len(list(one.replay("scheduler"))) == 20
    one.close()
