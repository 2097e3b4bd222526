"""The journal: every record in the order in which it was decided, and the history of attempts, in one SQLite file.

Rules: one writer; one transaction for each turn of the loop; a commit that returned is on the disk (WAL,
`synchronous=FULL`). The history row of an attempt is written in the transaction of its
`AttemptEnded`, so the two never differ. Reading for people is `live/history.py`, over a connection of its own.

A start reads from the last complete snapshot on. Older records go in small steps; what stays of them are the
acceptances of jobs that are unfinished or in the history (`retry` needs them); they go with the job's row there. Pages
that become free are used again, so the file stays as large as it once had to be. When all this is done is decided by
`live/compaction.py`.

Called by `live/journal_writer.py` (append), `live/server.py` (open, epoch, replay) and `live/compaction.py`. What the
records mean belongs to `model/records.py`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import sqlite3
from collections.abc import Callable, Container, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from live.clock import boot_id, monotonic_ns, wall_ns
from live.file_system import network_file_system
from live.state_directory import refuse_others
from model.errors import LaulimaError
from model.job import JobSpec
from model.records import AttemptEnded, AttemptStarted, JobAccepted, Record, SnapshotEnded
from model.view_rows import command_text

SCHEMA = 2
"""`PRAGMA user_version` of the tables below."""
WITHOUT_SNAPSHOTS = 1
"""The same tables; records are all there from the first on. Becomes `SCHEMA` when it is written to."""
APPLICATION = 0x6C617531
"""`PRAGMA application_id`: "lau1"."""
WAL_LIMIT_BYTES = 64 << 20
RESERVE_BYTES = 4 << 20
"""Kept free for the ends of what already runs, for when the disk is full."""
REMEMBERED_JOBS_MAX = 200_000
"""Unfinished jobs whose particulars are kept in memory for their history rows; those of more are read back."""
STEP_ROWS = 250
"""Records that one step of forgetting looks at: some 2 ms."""

_TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
CREATE TABLE boot (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE record (
    sequence INTEGER PRIMARY KEY, node TEXT NOT NULL, kind TEXT NOT NULL, job INTEGER NOT NULL,
    wall INTEGER NOT NULL, clock INTEGER NOT NULL, boot INTEGER NOT NULL, body BLOB NOT NULL) STRICT;
CREATE INDEX record_job ON record (job) WHERE job > 0;
CREATE TABLE attempt (
    job INTEGER NOT NULL, attempt INTEGER NOT NULL, task TEXT NOT NULL, item TEXT, command TEXT NOT NULL,
    host TEXT NOT NULL, outcome TEXT NOT NULL, exit_code INTEGER, signal INTEGER, reason TEXT NOT NULL,
    accepted_at INTEGER NOT NULL, started_at INTEGER, ended_at INTEGER NOT NULL, waited_ns INTEGER NOT NULL,
    ran_for_ns INTEGER NOT NULL, final INTEGER NOT NULL, stdout_bytes INTEGER NOT NULL, stderr_bytes INTEGER NOT NULL,
    PRIMARY KEY (job, attempt)) STRICT, WITHOUT ROWID;
CREATE INDEX attempt_ended ON attempt (ended_at);
INSERT INTO meta VALUES ('epoch', 0);
"""
CHANGES = "kind IN ('person ordered', 'configuration taken')"
"""Records of what people have ordered: kept as long as the history is, and found without looking at the others."""
_LATER_INDEXES = (
    f"CREATE INDEX IF NOT EXISTS record_change ON record (wall) WHERE {CHANGES}",
    "CREATE INDEX IF NOT EXISTS attempt_failed ON attempt (ended_at) WHERE NOT (outcome = 'EXITED' AND exit_code = 0)",
    "CREATE INDEX IF NOT EXISTS attempt_task ON attempt (task, ended_at)",
)
"""The few that failed, or are of a rare task, are found among a million others (`live/history.py` asks in the same
words). The second costs 3 us and 27 bytes an attempt. Not among the tables: journals of earlier versions get them, too,
with the first write."""
JOURNAL = "journal"
"""The node of a snapshot's records."""
_SNAPSHOT, _FORGOTTEN, _IDENTITY = "snapshot", "forgotten", "identity"
"""Names in `meta`: the sequence of the begin of the last complete snapshot; the sequence up to which records went; a
number by which this journal is known."""
_INSERT_RECORDS = "INSERT INTO record (node, kind, job, body, wall, clock, boot) VALUES {}"
_PUT_META = "INSERT INTO meta VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
_LOOK_AT_RECORDS = """
SELECT max(sequence), count(*), group_concat(iif(kind IN ('job accepted', 'attempt started'), job, NULL)) FROM
    (SELECT sequence, kind, job FROM record WHERE sequence > ? AND sequence < ? ORDER BY sequence LIMIT ?)
"""
_FORGET_RECORDS = """
DELETE FROM record WHERE sequence > ? AND sequence <= ? AND kind NOT IN ('person ordered', 'configuration taken')
    AND NOT (kind IN ('job accepted', 'attempt started') AND job IN ({}))
    AND NOT (kind = 'job accepted' AND EXISTS (SELECT 1 FROM attempt WHERE attempt.job = record.job))
"""
_INSERT_ATTEMPTS = """
INSERT INTO attempt VALUES {}
    ON CONFLICT (job, attempt) DO UPDATE SET
    outcome = excluded.outcome, exit_code = excluded.exit_code, signal = excluded.signal,
    reason = excluded.reason || ', after ' || outcome || ifnull(' ' || exit_code, ifnull(' ' || signal, '')),
    ended_at = excluded.ended_at, final = excluded.final
"""
"""A job that waits for its next attempt may be ended meanwhile: then its last attempt's row says that, too."""


RECORD_COLUMNS, ATTEMPT_COLUMNS = 4, 18
"""Values of a row, those that all rows of a transaction share not counted: they are given once."""
ROWS = (200, 20, 1)
"""Rows that one statement inserts, as many as there are. SQLite works without Python's lock for a whole statement, so
the loop goes on meanwhile. With a statement for each row the thread of the journal asks for the lock again after each
2 us, and takes a fifth more processor time."""


@cache
def _of_rows(statement: str, rows: int, own: int, shared: int = 0) -> str:
    """The statement for so many rows, of `own` values each, after which come the `shared` ones, which are given once,
    before all others."""
    same = [f"?{number + 1}" for number in range(shared)]
    first = shared + 1
    each = (
        [f"?{number}" for number in range(start, start + own)] + same for start in range(first, first + rows * own, own)
    )
    return statement.format(", ".join(f"({', '.join(values)})" for values in each))


class JournalError(LaulimaError):
    """The journal cannot be used."""


class JournalWaitsError(JournalError):
    """Nothing can be written for now."""

    state = ""
    """what to call that, in some words"""


class JournalFullError(JournalWaitsError):
    """No room on the disk. Nothing of the transaction was written; the same one may be tried again."""

    state = "disk full"


class JournalHangsError(JournalWaitsError):
    """The disk does not finish a sync. The transaction may be written yet."""

    state = "the disk does not answer"


class JournalBrokenError(JournalError):
    """The disk failed or the file is damaged. Nothing of the transaction was written; the file is left as it is."""


class Between(Protocol):
    """What compacts a journal between its commits, in its thread; see `live/compaction.py`."""

    def committed(self, records: Iterable[tuple[str, Record]]) -> None: ...
    @property
    def is_due(self) -> bool: ...
    def step(self) -> None: ...


_Note = Callable[[Any, int], tuple[object, ...]]


class Header(Struct, frozen=True):
    """What the driver adds to a record. `clock_ns` is the node's own clock and means nothing in another boot."""

    sequence: int
    boot: str
    wall_ns: int
    clock_ns: int


class _Accepted(Struct, frozen=True, gc=False):
    """What a history row takes from the job's acceptance. The specification is the one that the machines have."""

    spec: JobSpec
    accepted_at: int
    in_this_life: bool = True
    """then every start of it is known here, too"""


class Journal:
    """The open journal at `path`; one thread at a time may use it. Raises JournalError when the file system, the
    owner or the version is wrong."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.compaction: Between | None = None
        """None: nothing is compacted"""
        _refuse_network(path.parent)
        refuse_others(path.parent)
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
        refuse_others(path)
        self._reserve = path.with_name(path.name + ".reserve")
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder: msgspec.msgpack.Decoder[Record] = msgspec.msgpack.Decoder(Record)
        self._kinds: dict[type, tuple[str, bool, _Note | None]] = {}
        """of a record: its tag, whether it is of a job, and what the history takes from it"""
        self._accepted: dict[int, _Accepted] = {}
        self._started: dict[tuple[int, int], int] = {}
        self._boot = 0
        """number of this boot in the file; 0: nothing was written yet"""
        self._connection = sqlite3.connect(path, isolation_level=None, timeout=5.0, check_same_thread=False)
        try:
            self._prepare()
        except sqlite3.Error as error:
            self._connection.close()
            raise _explain(error, path) from error
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self) -> None:
        execute = self._connection.execute
        version = version_of(self._connection, self.path)
        mode = execute("PRAGMA journal_mode=WAL").fetchone()[0]
        if mode != "wal":
            raise JournalError(f"{self.path}: this file system does not take SQLite's WAL mode", "use a local disk")
        execute("PRAGMA synchronous=FULL")
        execute("PRAGMA temp_store=MEMORY")
        execute("PRAGMA secure_delete=FAST")  # zeros for what went only where a page is written anyway
        execute(f"PRAGMA journal_size_limit={WAL_LIMIT_BYTES}")
        if version == 0:
            self._connection.executescript(
                f"BEGIN; {_TABLES} PRAGMA application_id={APPLICATION}; PRAGMA user_version={SCHEMA}; COMMIT;"
            )

    def close(self) -> None:
        self._connection.close()

    def _this_boot(self) -> int:
        """The number of this boot, which comes with the first write. Before it nothing is changed, so that a journal
        that cannot be read back stays as it is."""
        if not self._boot:
            with self._transaction():
                execute = self._connection.execute
                execute("INSERT OR IGNORE INTO boot (id) VALUES (?)", (boot_id(),))
                number: int = execute("SELECT number FROM boot WHERE id = ?", (boot_id(),)).fetchone()[0]
                for index in _LATER_INDEXES:
                    execute(index)
                execute(f"PRAGMA user_version={SCHEMA}")
            self._boot = number  # only now is it in the file
        return self._boot

    def epoch(self) -> int:
        """A number that grows with each call and is on the disk before it is returned: which life of ours this is.
        Called when everything was read back."""
        self._this_boot()
        with self._transaction():
            self._connection.execute("UPDATE meta SET value = value + 1 WHERE name = 'epoch'")
            number: int = self._connection.execute("SELECT value FROM meta WHERE name = 'epoch'").fetchone()[0]
        return number

    def identity(self) -> str:
        """A name that no other journal has; made once. Numbers of jobs mean something within one journal only."""
        number = self._meta(_IDENTITY)
        if not number:
            self._this_boot()
            with self._transaction():
                number = secrets.randbits(62) | 1
                self._connection.execute(_PUT_META, (_IDENTITY, number))
        return f"{number:016x}"

    def append(self, records: Iterable[tuple[str, Record]]) -> None:
        """Write (node, record) pairs in one transaction; on return they are on the disk.

        Raises JournalFullError or JournalBrokenError, and then nothing was written and the call may be repeated.
        """
        shared = self._shared()
        rows, attempts = self._rows(records, shared[0])
        with self._transaction():
            self._insert(_INSERT_RECORDS, rows, RECORD_COLUMNS, shared)
            self._insert(_INSERT_ATTEMPTS, attempts, ATTEMPT_COLUMNS)

    def _shared(self) -> tuple[int, int, int]:
        """What the rows of one transaction have in common: wall time, clock, boot."""
        return wall_ns(), monotonic_ns(), self._this_boot()

    def _insert(self, statement: str, values: list[object], columns: int, shared: tuple[object, ...] = ()) -> int:
        """Insert rows of so many `columns`, whose values stand one after the other; the number of the last one."""
        done = last = 0
        for rows in ROWS:
            size = rows * columns
            while len(values) - done >= size:
                text = _of_rows(statement, rows, columns, len(shared))
                last = self._connection.execute(text, (*shared, *values[done : done + size])).lastrowid or 0
                done += size
        return last

    def _rows(self, records: Iterable[tuple[str, Record]], wall: int) -> tuple[list[object], list[object]]:
        """The values of their rows in the two tables, one after the other.

        A body is a `bytearray`: for `bytes`, as for all types but `bytearray`, `str`, `int` and `float`, the module
        sqlite3 looks for somebody who adapts it, which takes longer than to make it (a tenth of all for a job)."""
        encode, describe = self._encoder.encode, self._kinds
        rows: list[object] = []
        attempts: list[object] = []
        for node, record in records:
            tag, of_job, note = describe.get(type(record)) or self._describe(type(record))
            rows += (node, tag, record.job if of_job else 0, bytearray(encode(record)))  # type: ignore[union-attr]
            if note is not None and node == "scheduler":
                attempts += note(record, wall)
        return rows, attempts

    def _describe(self, kind: type) -> tuple[str, bool, _Note | None]:
        tag = kind.__struct_config__.tag  # type: ignore[attr-defined]
        of_job = "job" in kind.__struct_fields__  # type: ignore[attr-defined]
        notes: dict[type, _Note] = {
            JobAccepted: self._note_accepted,
            AttemptStarted: self._note_started,
            AttemptEnded: self._note_ended,
        }
        found = self._kinds[kind] = (str(tag), of_job, notes.get(kind))
        return found

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        execute = self._connection.execute
        try:
            execute("BEGIN IMMEDIATE")
            yield
            execute("COMMIT")
        except sqlite3.Error as error:
            if self._connection.in_transaction:
                with contextlib.suppress(sqlite3.Error):  # the first error is the one to tell
                    execute("ROLLBACK")
            raise _explain(error, self.path) from error

    # the reserve

    def keep_reserve(self) -> bool:
        """Set room aside for the ends of what already runs; False when the disk has none."""
        try:
            reserve = os.open(self._reserve, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(reserve, 0, RESERVE_BYTES)
            finally:
                os.close(reserve)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise JournalBrokenError(f"{self._reserve}: {error.strerror}", "check the disk") from error
            self.spend_reserve()
            return False
        return True

    def spend_reserve(self) -> bool:
        """Give the room back to the file system; False when there was none left."""
        try:
            self._reserve.unlink()
        except FileNotFoundError:
            return False
        return True

    # the history rows

    # Each follows a job of the scheduler, and gives the values of the history rows that the record makes. Repeating it
    # is harmless.

    def _note_accepted(self, accepted: JobAccepted, wall: int) -> tuple[object, ...]:
        if len(self._accepted) < REMEMBERED_JOBS_MAX:  # those that came first are needed first
            self._accepted[accepted.job] = _Accepted(accepted.spec, wall)
        return ()

    def _note_started(self, started: AttemptStarted, wall: int) -> tuple[object, ...]:
        self._started[started.job, started.attempt] = wall
        return ()

    def _note_ended(self, ended: AttemptEnded, wall: int) -> tuple[object, ...]:
        job, attempt, report = ended.job, ended.attempt, ended.report
        accepted = self._accepted.get(job) or self._read_accepted(job, wall)
        if ended.final:
            self._accepted.pop(job, None)
        started = self._started.pop((job, attempt), None)
        if started is None and report.started:
            noted = None if accepted.in_this_life else self._read_started(job, attempt)
            started = noted or wall - report.ran_for_ns  # that a brief job runs is not told, only that it ended
        spec = accepted.spec
        return (
            job, attempt, spec.task, spec.item, command_text(spec), report.host, report.outcome.value,
            report.exit_code, report.signal, report.reason, accepted.accepted_at, started, wall,
            report.waited_ns, report.ran_for_ns, int(ended.final), report.stdout_bytes, report.stderr_bytes,
        )  # fmt: skip

    def _read_accepted(self, job: int, wall: int) -> _Accepted:
        """The particulars of a job that an earlier life of this process accepted."""
        for kind, at, body in self._of_job(job):
            if kind == "job accepted":
                record = self._decoder.decode(body)
                assert isinstance(record, JobAccepted)
                found = self._accepted[job] = _Accepted(record.spec, at, in_this_life=False)
                return found
        return _Accepted(JobSpec(""), wall, in_this_life=False)

    def _read_started(self, job: int, attempt: int) -> int | None:
        for kind, at, body in self._of_job(job):
            if kind == "attempt started":
                record = self._decoder.decode(body)
                if isinstance(record, AttemptStarted) and record.attempt == attempt:
                    return at
        return None

    def _of_job(self, job: int) -> list[tuple[str, int, bytes]]:
        query = "SELECT kind, wall, body FROM record WHERE job = ? AND job > 0 AND node = 'scheduler' ORDER BY sequence"
        return self._connection.execute(query, (job,)).fetchall()

    # snapshots, and what goes after them

    @contextlib.contextmanager
    def _unsynced(self) -> Iterator[None]:
        """A transaction that may be lost with the power as long as no later one was synced: it waits for no disk."""
        self._connection.execute("PRAGMA synchronous=NORMAL")
        try:
            with self._transaction():
                yield
        finally:
            self._connection.execute("PRAGMA synchronous=FULL")

    def _meta(self, name: str) -> int:
        row = self._connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return 0 if row is None else int(row[0])

    def snapshot(self) -> int:
        """The sequence of the begin of the last complete snapshot: a start reads from there on. 0: there is none."""
        return self._meta(_SNAPSHOT)

    def write_part(self, record: Record) -> int:
        """Write the begin or a part of a snapshot; its sequence. It need not be durable before the end is."""
        shared = self._shared()
        row, _ = self._rows([(JOURNAL, record)], shared[0])
        with self._unsynced():
            return self._insert(_INSERT_RECORDS, row, RECORD_COLUMNS, shared)

    def end_snapshot(self, record: SnapshotEnded, begun: int) -> None:
        """Write the end of the snapshot that began at the sequence `begun`. On return it is on the disk with its parts,
        and is what a start reads from."""
        shared = self._shared()
        row, _ = self._rows([(JOURNAL, record)], shared[0])
        with self._transaction():
            self._insert(_INSERT_RECORDS, row, RECORD_COLUMNS, shared)
            self._connection.execute(_PUT_META, (_SNAPSHOT, begun))

    def forget_records(self, unfinished: Container[int], keep: int) -> bool:
        """One step: of the next `STEP_ROWS` records before the last snapshot all go but the acceptances (and the starts
        of `unfinished` jobs) that the history needs. The last `keep` before it stay, so that the stories of the last
        jobs are whole. False: there are no more.

        Statements of many rows, for the interpreter's lock is given up and waited for at each row that Python sees.
        """
        done, end = self._meta(_FORGOTTEN), self._meta(_SNAPSHOT) - keep
        last, count, told = self._connection.execute(_LOOK_AT_RECORDS, (done, end, STEP_ROWS)).fetchone()
        if not count:
            return False
        needed = [job for word in (told or "").split(",") if word and (job := int(word)) in unfinished]
        with self._unsynced():
            self._connection.execute(_FORGET_RECORDS.format(",".join("?" * len(needed))), (done, last, *needed))
            self._connection.execute(_PUT_META, (_FORGOTTEN, last))
        return bool(count == STEP_ROWS)

    # reading at the start

    def replay(self, node: str | None = None) -> Iterator[tuple[Header, Record]]:
        """All records (of `node`) from the last complete snapshot on, in order, each with its header. Raises
        JournalBrokenError on a damaged file."""
        decode = self._decoder.decode
        sequence = 0
        try:
            boots = dict(self._connection.execute("SELECT number, id FROM boot"))
            rows = self._connection.execute(
                "SELECT sequence, boot, wall, clock, body FROM record "
                "WHERE sequence >= ? AND ? IN (node, '') ORDER BY sequence",
                (self.snapshot(), node or ""),
            )
            for sequence, boot, wall, clock, body in rows:
                yield Header(sequence, boots.get(boot, ""), wall, clock), decode(body)
        except sqlite3.Error as error:
            raise _explain(error, self.path) from error
        except (msgspec.MsgspecError, RecursionError, ValueError) as error:
            raise JournalBrokenError(
                f"{self.path}: record {sequence} cannot be read: {error}",
                "the file was left as it is; start with another state directory or restore a copy",
            ) from error

    def prune_history(self, before_ns: int, limit: int = 1000) -> int:
        """Forget up to `limit` history rows of attempts that ended before `before_ns` (wall time), and what is left of
        the records of jobs that have no row any more; how many rows went."""
        with self._transaction():
            rows = self._connection.execute(
                "SELECT job, attempt, final FROM attempt WHERE ended_at < ? ORDER BY ended_at LIMIT ?",
                (before_ns, limit),
            ).fetchall()
            self._connection.executemany(
                "DELETE FROM attempt WHERE job = ? AND attempt = ?", [(job, attempt) for job, attempt, _ in rows]
            )
            forgotten = self._meta(_FORGOTTEN)
            self._connection.execute(
                f"DELETE FROM record WHERE {CHANGES} AND wall < ? AND sequence <= ?",  # noqa: S608 - fixed words
                (before_ns, forgotten),
            )
            self._connection.executemany(
                "DELETE FROM record WHERE job = ? AND job > 0 AND sequence <= ?",
                [(job, forgotten) for job, _, final in rows if final and forgotten],
            )
        return len(rows)


def version_of(connection: sqlite3.Connection, path: Path) -> int:
    """Which tables the file has; 0: none yet. Raises JournalError when another version has made them, whose words this
    one might misread. Asked by whoever opens a journal."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version not in (0, WITHOUT_SNAPSHOTS, SCHEMA):
        raise JournalError(
            f"{path} was written by another version (schema {version}, this one writes {SCHEMA})",
            "use the version that wrote it, or another state directory",
        )
    return version


def _refuse_network(directory: Path) -> None:
    name = network_file_system(directory)
    if name is not None:
        raise JournalError(
            f"{directory} lies on a network file system ({name}), where the journal would not be safe",
            "choose a directory on a local disk: --state /var/tmp/NAME",
        )


def _explain(error: sqlite3.Error, path: Path) -> JournalError:
    """The error of SQLite in our words, by whose fault it is."""
    extended = getattr(error, "sqlite_errorcode", 0)
    code = extended & 0xFF
    if code == sqlite3.SQLITE_FULL or extended == sqlite3.SQLITE_IOERR_SHMSIZE:
        return JournalFullError(f"the disk of {path} is full", "make room")
    if code == sqlite3.SQLITE_BUSY:
        return JournalError(f"{path} is locked by another program", "end the program that writes to it")
    return JournalBrokenError(
        f"{path}: {error} ({getattr(error, 'sqlite_errorname', 'SQLite')})",
        "the file was left as it is; check the disk, restore a copy, or start with another state directory",
    )
