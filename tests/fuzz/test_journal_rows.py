"""Goal: a row of the journal that is no record is named, with its file, wherever it is read; the file is not changed.

Method: a real journal with a few records; one row is overwritten by garbage through another connection.
"""

from __future__ import annotations

import contextlib
import functools
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.history import History, HistoryQuestion
from live.journal import Journal, JournalError
from model.errors import LaulimaError
from model.job import JobId, JobSpec, Outcome, Report
from model.records import AttemptAssigned, AttemptEnded, AttemptStarted, JobAccepted, Record
from model.restored import fold
from tests.fuzz.anything import INTEGERS, PLAIN, TEXTS, damaged, mutated, said
from tests.fuzz.budget import fuzz

SPEC = JobSpec("t", command=("x",))
REPORT = Report(Outcome.EXITED, 0, host="local", started=True)
RECORDS: list[Record] = [
    JobAccepted(JobId(1), SPEC),
    AttemptAssigned(JobId(1), 1, "local"),
    AttemptStarted(JobId(1), 1, "local"),
    AttemptEnded(JobId(1), 1, REPORT, final=True),
    JobAccepted(JobId(2), SPEC),
]
BODY = msgspec.msgpack.encode(RECORDS[3])


@functools.cache
def place() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)


@functools.cache
def original() -> bytes:
    path = Path(place().name) / "first.sqlite"
    journal = Journal(path)
    journal.append([("scheduler", record) for record in RECORDS])
    journal.close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA journal_mode=DELETE")
    connection.close()
    return path.read_bytes()


def read_everywhere(statement: str, *values: Any) -> None:
    """Change the file, then start and ask as a server and a person do."""
    content = original()
    with tempfile.TemporaryDirectory(dir=place().name) as folder:
        path = Path(folder) / "journal.sqlite"
        path.write_bytes(content)
        with contextlib.closing(sqlite3.connect(path)) as connection:
            try:
                with connection:
                    connection.execute(statement, values)
            except (sqlite3.IntegrityError, OverflowError, UnicodeEncodeError):
                return  # the tables themselves refuse it
        start_from(path)
        history = History(path)
        for question in (
            lambda: history.attempts(HistoryQuestion()),
            lambda: history.final(1),
            lambda: history.spec(1),
            lambda: history.story(1),
        ):
            with contextlib.suppress(LaulimaError):
                question()


def start_from(path: Path) -> None:
    try:
        journal = Journal(path)
    except JournalError:
        return
    try:
        with contextlib.closing(journal.replay()) as records, contextlib.suppress(JournalError):  # type: ignore[type-var]
            fold(record for _, record in records)
    finally:
        journal.close()


@fuzz(120)
@given(st.integers(1, 5), mutated(BODY) | st.binary(max_size=40))
def test_a_body_of_any_bytes(sequence: int, body: bytes) -> None:
    read_everywhere("UPDATE record SET body = ? WHERE sequence = ?", body, sequence)


@fuzz(120)
@given(st.integers(1, 5), damaged(said(JobAccepted, AttemptAssigned, AttemptStarted, AttemptEnded)) | PLAIN)
def test_a_body_of_any_record(sequence: int, record: Any) -> None:
    try:
        body = msgspec.msgpack.encode(record)
    except (OverflowError, UnicodeEncodeError):
        return
    read_everywhere("UPDATE record SET body = ? WHERE sequence = ?", body, sequence)


COLUMNS = st.sampled_from(
    ["record.kind", "record.job", "record.boot", "record.wall", "record.clock", "record.node", "attempt.outcome",
     "attempt.item", "attempt.exit_code", "attempt.ended_at", "attempt.final", "meta.value", "boot.id"]
)  # fmt: skip


@fuzz(120)
@given(COLUMNS, INTEGERS | TEXTS | st.none() | st.binary(max_size=4))
def test_a_column_of_anything(column: str, value: Any) -> None:
    table, _, name = column.partition(".")
    read_everywhere(f"UPDATE {table} SET {name} = ?", value)


@pytest.mark.parametrize("body", [b"\x91" * 100_000, b"\x93\xacjob accepted\x01" + b"\x91" * 100_000])
def test_a_deeply_nested_body_is_named(body: bytes, tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    path.write_bytes(original())
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE record SET body = ? WHERE sequence = 1", (body,))
    with contextlib.closing(Journal(path)) as journal, pytest.raises(JournalError, match="record 1"):
        list(journal.replay())
