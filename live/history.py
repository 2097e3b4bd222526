"""Questions about the past: the attempts that ended, and a job's own story. Reads the journal file, changes nothing.

Called by `live/requests.py` in a worker thread, and by the command line for statistics, and when no server runs. Each
question opens a read-only connection of its own and closes it, so that no long reader keeps the write-ahead log from
being reused.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import msgspec
from msgspec import Struct

from live.clock import wall_ns
from live.journal import CHANGES, version_of
from model.errors import LaulimaError, NotReachableError, OperatorError
from model.job import JobSpec, Outcome
from model.near_miss import nearest
from model.records import ConfigurationTaken, JobAccepted, NoticeHeard, PersonOrdered, Record
from model.views import ChangeRow, HistoryRow, NoticeRow

LIMIT_MAX = 100_000
"""Rows of one answer at most."""
STORY_MAX = 50
"""Records of a job's story at most: the last ones."""

_CODE = re.compile("[0-9]{1,9}")
_ENDS = {"failed", *(outcome.value.lower() for outcome in Outcome)}
_COLUMNS = ", ".join(HistoryRow.__struct_fields__)
_FAILED = "NOT (outcome = 'EXITED' AND exit_code = 0)"
"""In the words of the index that `live/journal.py` keeps; asked with every outcome that is a failure, so that SQLite
takes the index."""
_ENDED = "task, outcome, exit_code, signal, final, started_at IS NOT NULL, ended_at, waited_ns, ran_for_ns"


class HistoryQuestion(Struct, frozen=True):
    """What to look for; None: anything. `outcome` may be `exit N`, `failed` or an outcome's name. `since_ns`: ended
    within the last so many ns. The answer holds the last `limit` that fit, oldest first. Raises OperatorError for an
    outcome that there is not."""

    task: str | None = None
    job: int | None = None
    outcome: str | None = None
    host: str | None = None
    limit: int = 100
    since_ns: int | None = None
    final: bool = False
    """only the last attempts of jobs"""

    def __post_init__(self) -> None:
        if self.outcome is not None and not is_end(self.outcome):
            raise OperatorError(
                f"no job ends as {self.outcome!r}{nearest(self.outcome.strip().lower(), _ENDS)}",
                "outcomes: failed, exit N, timed-out, crashed, killed, lost, …; all of them: laulima docs outcomes",
            )


def is_end(word: str) -> bool:
    """Whether this is `exit N`, `failed` or the name of an outcome."""
    word, _, code = word.strip().lower().partition(" ")
    if word == "exit":
        return _CODE.fullmatch(code.strip()) is not None
    return f"{word} {code}".strip().replace("-", "_").replace(" ", "_") in _ENDS


class ChangeQuestion(Struct, frozen=True):
    """Which orders of people; `about` and `name` empty: any."""

    about: str = ""
    name: str = ""
    limit: int = 100
    since_ns: int | None = None


class Ended(NamedTuple):
    """What statistics are made of: one attempt that ended. `started`: 0 or 1."""

    task: str
    outcome: str
    exit_code: int | None
    signal: int | None
    final: int
    started: int
    ended_at: int
    waited_ns: int
    ran_for_ns: int


class HistoryError(LaulimaError):
    """What is in the journal cannot be read."""


@contextlib.contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """The journal at `path`, for questions. Raises NotReachableError when there is none, JournalError when another
    version has written it, HistoryError when it cannot be read."""
    try:
        connection = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=5.0, isolation_level=None)
    except sqlite3.OperationalError as error:
        raise NotReachableError(f"no journal at {path}: {error}", "name the state with --state") from error
    try:
        connection.execute("PRAGMA query_only=1")
        version_of(connection, path)
        yield connection
    except OverflowError as error:
        raise OperatorError("a number of the question is larger than any that is kept") from error
    except (sqlite3.Error, msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise HistoryError(
            f"{path} cannot be read: {error}", "the file was left as it is; check the disk, or restore a copy"
        ) from error
    finally:
        connection.close()


class History:
    """The history in the journal at `path`. Every question raises what `reading` does."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def attempts(self, question: HistoryQuestion) -> list[HistoryRow]:
        """The attempts that fit, oldest first."""
        terms, values = _terms(question)
        where = f"WHERE {' AND '.join(terms)}" if terms else ""
        query = f"SELECT {_COLUMNS} FROM attempt {where} ORDER BY ended_at DESC, job DESC, attempt DESC LIMIT ?"  # noqa: S608 - fixed words; every value is bound
        limit = max(1, min(question.limit, LIMIT_MAX))
        with reading(self.path) as connection:
            rows = connection.execute(query, (*values, limit)).fetchall()
            return [_row(row) for row in reversed(rows)]

    def ends(self, question: HistoryQuestion) -> Iterator[Ended]:
        """The last attempts that fit, in no order, one by one: any number of them, LIMIT_MAX or not."""
        terms, values = _terms(question)
        where = f"WHERE {' AND '.join(terms)}" if terms else ""
        query = f"SELECT {_ENDED} FROM attempt {where} ORDER BY ended_at DESC LIMIT ?"  # noqa: S608 - fixed words; every value is bound
        with reading(self.path) as connection:
            yield from map(Ended._make, connection.execute(query, (*values, max(1, question.limit))))

    def final(self, job: int) -> HistoryRow | None:
        """How a job ended; None: it has not, or is not known (any more)."""
        rows = self.attempts(HistoryQuestion(job=job, limit=LIMIT_MAX))
        return next((row for row in reversed(rows) if row.final), None)

    def spec(self, job: int) -> JobSpec | None:
        """What a job was made to do; None: there is none of this number."""
        query = "SELECT body FROM record WHERE job = ? AND job > 0 AND kind = 'job accepted'"
        with reading(self.path) as connection:
            row = connection.execute(query, (job,)).fetchone()
            record = None if row is None else msgspec.msgpack.decode(row[0], type=Record)
        return record.spec if isinstance(record, JobAccepted) else None

    def story(self, job: int) -> list[tuple[int, Record]]:
        """The job's last records, each with its wall time, oldest first."""
        decode = msgspec.msgpack.Decoder(Record).decode
        query = "SELECT wall, body FROM record WHERE job = ? AND job > 0 ORDER BY sequence DESC LIMIT ?"
        with reading(self.path) as connection:
            rows = connection.execute(query, (job, STORY_MAX)).fetchall()
            return [(wall, decode(body)) for wall, body in reversed(rows)]

    def changes(self, question: ChangeQuestion) -> list[ChangeRow]:
        """What people have ordered, oldest first: the last `limit` that fit."""
        decode = msgspec.msgpack.Decoder(Record).decode
        since = 0 if question.since_ns is None else wall_ns() - question.since_ns
        query = f"SELECT wall, body FROM record WHERE {CHANGES} AND wall >= ? ORDER BY wall DESC, sequence DESC"  # noqa: S608 - fixed words
        found: list[ChangeRow] = []
        with reading(self.path) as connection:
            for wall, body in connection.execute(query, (since,)):
                row = _change(wall, decode(body))
                if row is not None and (question.about, question.name) in (("", ""), (row.about, row.name)):
                    found.append(row)
                    if len(found) >= max(1, min(question.limit, LIMIT_MAX)):
                        break
        return found[::-1]

    def notices(self, limit: int) -> list[NoticeRow]:
        """The last notices of a shared controller, oldest first."""
        decode = msgspec.msgpack.Decoder(Record).decode
        query = "SELECT wall, body FROM record WHERE kind = 'notice heard' ORDER BY sequence DESC LIMIT ?"
        with reading(self.path) as connection:
            rows = connection.execute(query, (max(1, min(limit, LIMIT_MAX)),)).fetchall()
            found = [(wall, decode(body)) for wall, body in reversed(rows)]
        return [
            NoticeRow(wall, each.level, each.about, each.text) for wall, each in found if isinstance(each, NoticeHeard)
        ]


def _change(wall: int, record: Record) -> ChangeRow | None:
    if isinstance(record, ConfigurationTaken):
        return ChangeRow(wall, record.by, record.what, "configuration", "", record.reason)
    if isinstance(record, PersonOrdered):
        return ChangeRow(wall, record.by, record.verb, record.about, record.name, record.reason)
    return None


def _row(values: tuple[object, ...]) -> HistoryRow:
    return msgspec.convert(dict(zip(HistoryRow.__struct_fields__, values, strict=True)), HistoryRow, strict=False)


def _terms(question: HistoryQuestion) -> tuple[list[str], list[object]]:
    terms: list[str] = []
    values: list[object] = []
    if question.outcome is not None:
        word, _, code = question.outcome.strip().partition(" ")
        if word.lower() == "exit" and _CODE.fullmatch(code.strip()):
            terms += ["outcome = 'EXITED' AND exit_code = ?", *([_FAILED] if int(code) else [])]
            values.append(int(code))
        elif word.lower() == "failed":
            terms.append(_FAILED)
        else:
            name = question.outcome.strip().upper().replace("-", "_").replace(" ", "_")
            terms += ["outcome = ?", *([_FAILED] if name != "EXITED" else [])]
            values.append(name)
    task = "+task" if _FAILED in terms else "task"  # with a plus its index is not taken: failures are the fewer
    for column, value in ((task, question.task), ("job", question.job), ("host", question.host)):
        if value is not None:
            terms.append(f"{column} = ?")
            values.append(value)
    if question.final:
        terms.append("final = 1")
    if question.since_ns is not None:
        terms.append("ended_at >= ?")
        values.append(wall_ns() - question.since_ns)
    return terms, values
