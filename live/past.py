"""The past of a server as jobs: what was made when and of what, how its attempts ended, when hosts were away, what
people did to them, and what is not finished. For fits and what-ifs; reads the journal, changes nothing, also while a
server runs on it.

Called by `shell/commands/past.py`. The same from a recording of decisions: `live/past_recording.py`. Questions of
people are `live/history.py`'s.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct, field

from live.history import reading
from live.host_outages import HeardOf, Outage, outages
from model.job import SECOND, JobSpec
from model.records import HostChanged, ItemsFound, JobAccepted, NoticeHeard, Record
from model.restored import Fold, fold
from model.views import HistoryRow

JOBS_MAX: Final = 500_000
"""Jobs that are read at most, the last ones: each takes some 2 kB."""
LOOK_BACK_NS: Final = 24 * 3600 * SECOND
"""A host that went longer before the time that is asked about, and was not heard of since, is not known to be away."""
_COLUMNS: Final = ", ".join(HistoryRow.__struct_fields__)
_DECODE: Final = msgspec.msgpack.Decoder(Record).decode


class PastJob(Struct):
    """One job. Times are wall times, ns; `attempts`: those that ended, in order."""

    number: int
    spec: JobSpec
    accepted_at: int
    parent: int = 0
    plain: bool = False
    """made by a handler of the job `parent`"""
    attempts: list[HistoryRow] = field(default_factory=list)
    started_at: int | None = None
    """when the attempt began that has not ended; None: there is none"""
    host: str = ""
    """where it runs"""
    held: str = ""
    """why it waits for a person now"""

    @property
    def final(self) -> HistoryRow | None:
        """How it ended."""
        return next((row for row in reversed(self.attempts) if row.final), None)


class Past(Struct):
    """What is known of it, oldest first."""

    jobs: list[PastJob] = field(default_factory=list)
    """those that were not over at the beginning of the time that was asked about"""
    found_at: dict[tuple[str, str], int] = field(default_factory=dict)
    """when the item of the task was first seen, where the records still say it"""
    hosts: list[tuple[int, HostChanged]] = field(default_factory=list)
    """people's orders about hosts, with their wall time, where the records still say them"""
    host_orders: list[HostChanged] = field(default_factory=list)
    """those that hold now"""
    outages: list[Outage] = field(default_factory=list)
    """when hosts were away, by their beginning"""
    held: dict[str, str] = field(default_factory=dict)
    """tasks that start nothing now, and why"""
    waiting: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """items of each task that were found and of which no job was made yet, now"""
    made: dict[str, int] = field(default_factory=dict)
    """jobs that each task has made in all its lives"""
    left_out: int = 0
    """jobs beyond `JOBS_MAX`"""


def read_past(path: Path, since_at: int) -> Past:
    """All that was not over at the wall time `since_at`, from the journal at `path`.

    Raises what `history.reading` does.
    """
    with reading(path) as connection:
        connection.execute("BEGIN")  # one picture of it, whatever a server writes meanwhile
        past = Past()
        jobs = _jobs(connection, since_at, past)
        _attempts(connection, jobs)
        notices = _others(connection, past, since_at - LOOK_BACK_NS)
        _unfinished(connection, past, jobs)
        running = (HeardOf(job.host, job.started_at) for job in jobs.values() if job.started_at is not None)
        past.outages = outages(notices, [*_heard_of(connection, since_at - LOOK_BACK_NS), *running])
        past.jobs = [jobs[number] for number in sorted(jobs)]
        return past


def _jobs(connection: sqlite3.Connection, since_at: int, past: Past) -> dict[int, PastJob]:
    """Those that ended later than `since_at`, or have not ended."""
    query = (
        "SELECT job, wall, body FROM record WHERE kind = 'job accepted' AND node = 'scheduler' AND job > 0"
        " AND NOT EXISTS (SELECT 1 FROM attempt WHERE attempt.job = record.job AND final AND ended_at < ?)"
        " ORDER BY job DESC LIMIT ?"
    )
    jobs: dict[int, PastJob] = {}
    for number, wall, body in connection.execute(query, (since_at, JOBS_MAX + 1)):
        if len(jobs) == JOBS_MAX:
            past.left_out += 1
            break
        record = _DECODE(body)
        if isinstance(record, JobAccepted):
            jobs[number] = PastJob(number, record.spec, wall, record.parent, record.plain)
    return jobs


def _attempts(connection: sqlite3.Connection, jobs: dict[int, PastJob]) -> None:
    if not jobs:
        return
    query = f"SELECT {_COLUMNS} FROM attempt WHERE job >= ? ORDER BY job, attempt"  # noqa: S608 - fixed words
    names = HistoryRow.__struct_fields__
    for values in connection.execute(query, (min(jobs),)):
        row = msgspec.convert(dict(zip(names, values, strict=True)), HistoryRow, strict=False)
        job = jobs.get(row.job)
        if job is not None:
            job.attempts.append(row)


def _others(connection: sqlite3.Connection, past: Past, notices_at: int) -> list[tuple[int, NoticeHeard]]:
    """Items and orders; gives the notices since then."""
    query = (
        "SELECT wall, body FROM record WHERE kind IN ('items found', 'host changed')"
        " OR kind = 'notice heard' AND wall >= ? ORDER BY sequence"
    )
    notices: list[tuple[int, NoticeHeard]] = []
    for wall, body in connection.execute(query, (notices_at,)):
        record = _DECODE(body)
        if isinstance(record, ItemsFound):
            for item in record.items:
                past.found_at.setdefault((record.task, item), wall)
        elif isinstance(record, HostChanged):
            past.hosts.append((wall, record))
        elif isinstance(record, NoticeHeard):
            notices.append((wall, record))
    return notices


def _heard_of(connection: sqlite3.Connection, since_at: int) -> Iterator[HeardOf]:
    """Of all attempts that began and ended since then."""
    query = (
        "SELECT host, started_at, ended_at, outcome = 'LOST' FROM attempt"
        " WHERE ended_at >= ? AND started_at IS NOT NULL"
    )
    for host, started_at, ended_at, lost in connection.execute(query, (since_at,)):
        yield HeardOf(host, started_at, ended_at, bool(lost))


def _unfinished(connection: sqlite3.Connection, past: Past, jobs: dict[int, PastJob]) -> None:
    """What runs and what waits now, as a start of the server would find it."""
    begun = connection.execute("SELECT value FROM meta WHERE name = 'snapshot'").fetchone()
    rows = connection.execute("SELECT body FROM record WHERE sequence >= ? ORDER BY sequence", (begun or (0,))[:1])
    folded = fold(_DECODE(body) for (body,) in rows)
    note_unfinished(past, jobs, folded, lambda number, attempt: _started(connection, number, attempt))


def note_unfinished(
    past: Past, jobs: dict[int, PastJob], folded: Fold, started: Callable[[int, int], int | None]
) -> None:
    """What a fold over all records says of now. `started`: when an attempt of a job began, wall time."""
    past.host_orders = list(folded.controller.hosts)
    for name, task in folded.scheduler.tasks.items():
        waiting = tuple(item for item, given in task.items.items() if not given)
        past.made[name] = task.made
        if waiting:
            past.waiting[name] = waiting
        if task.held or task.faulted or task.deleted:
            past.held[name] = task.held or task.faulted or "deleted"
    for number, unfinished in folded.scheduler.jobs.items():
        job = jobs.get(number)
        if job is None:
            job = jobs[number] = PastJob(number, unfinished.spec, 0, unfinished.parent, unfinished.plain)
        job.held = unfinished.held
        if unfinished.running:
            job.host, job.started_at = unfinished.host, started(number, unfinished.attempt)


def _started(connection: sqlite3.Connection, job: int, attempt: int) -> int | None:
    query = (
        "SELECT wall, body FROM record WHERE job = ? AND job > 0 AND kind = 'attempt started' ORDER BY sequence DESC"
    )
    for wall, body in connection.execute(query, (job,)):
        if getattr(_DECODE(body), "attempt", 0) == attempt:
            return int(wall)
    return None
