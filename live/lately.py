"""Questions about what happened lately, for the page: ends by minute, run times, events. Reads the journal file, also
while no server runs; what a record means for people is said in `live/story.py`.

Called by `shell/page/sources.py` in threads.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from live.history import History, reading
from live.story import told
from model.job import JobId, Outcome
from model.records import (
    AttemptEnded,
    HostChanged,
    JobAccepted,
    NoticeHeard,
    Record,
    TaskChanged,
)

MINUTE_NS = 60 * 1_000_000_000
RUNS_SAMPLED = 5_000
"""The last attempts of which run times are told."""
KINDS = (
    "job accepted", "attempt started", "attempt ended", "job held", "task changed", "host changed", "intake changed",
    "notice heard", "person ordered", "configuration taken",
)  # fmt: skip
"""Kinds of records that are news to people."""

_CLASS = """CASE WHEN outcome = 'EXITED' THEN iif(exit_code = 0, 'well', 'exit') WHEN outcome = 'CRASHED' THEN 'crash'
    WHEN outcome = 'TIMED_OUT' THEN 'timeout' WHEN outcome IN ('LOST', 'HOST_DOWN') THEN 'lost' ELSE 'other' END"""
_MINUTES = f"""SELECT ended_at / {MINUTE_NS}, task, {_CLASS}, count(*) FROM attempt
    WHERE ended_at >= ? GROUP BY 1, 2, 3"""  # noqa: S608 - fixed words; every value is bound
_AFTER = f"""SELECT ended_at / {MINUTE_NS}, task, {_CLASS}, count(*), max(ended_at) FROM attempt
    WHERE ended_at > ? GROUP BY 1, 2, 3"""  # noqa: S608 - fixed words; every value is bound
_RUN_TIMES = """SELECT task, ran_for_ns FROM attempt
    WHERE ended_at >= ? AND outcome = 'EXITED' ORDER BY ended_at DESC LIMIT ?"""
_EVENTS = f"""SELECT sequence, wall, body FROM record
    WHERE sequence > ? AND sequence <= ? AND kind IN ({", ".join("?" * len(KINDS))})
    ORDER BY sequence DESC LIMIT ?"""  # noqa: S608 - fixed words; every value is bound


class Minute(Struct, frozen=True):
    """How many attempts of a task ended so within a minute. `minute`: minutes since 1970. `outcome`: well, exit, crash,
    timeout, lost or other."""

    minute: int
    task: str
    outcome: str
    count: int


class RunTime(Struct, frozen=True):
    """How long the last attempts of a task ran that ended by themselves."""

    p50_ns: int
    p95_ns: int


class Event(Struct, frozen=True):
    """Something that happened, for people. `sequence` 0: not from the journal; `job` 0: about none."""

    sequence: int
    wall_ns: int
    kind: str
    job: int
    task: str
    host: str
    text: str
    bad: bool


class Lately(History):
    """The journal at `path`. Every question raises what `history.reading` does."""

    def minutes(self, since_minute: int) -> list[Minute]:
        """How attempts ended, by minute and task, from that minute (since 1970) on."""
        with reading(self.path) as connection:
            rows = connection.execute(_MINUTES, (since_minute * MINUTE_NS,)).fetchall()
            return [Minute(*row) for row in rows]

    def ends_after(self, moment_ns: int) -> tuple[list[Minute], int]:
        """How attempts ended after that moment (wall time), by minute and task; and when the last of them did."""
        with reading(self.path) as connection:
            rows = connection.execute(_AFTER, (moment_ns,)).fetchall()
        return [Minute(*row[:4]) for row in rows], max((row[4] for row in rows), default=moment_ns)

    def run_times(self, since_ns: int) -> dict[str, RunTime]:
        """By task, of the last attempts that ended after `since_ns` (wall time)."""
        ran: dict[str, list[int]] = {}
        with reading(self.path) as connection:
            for task, ran_for_ns in connection.execute(_RUN_TIMES, (since_ns, RUNS_SAMPLED)):
                ran.setdefault(task, []).append(ran_for_ns)
        return {task: run_time(sorted(times)) for task, times in ran.items()}

    def events(self, after: int, limit: int) -> tuple[list[Event], int]:
        """What the last `limit` records after the record `after` say, oldest first, and the sequence of the last record
        of any kind."""
        decode = msgspec.msgpack.Decoder(Record).decode
        with reading(self.path) as connection:
            (last,) = connection.execute("SELECT ifnull(max(sequence), 0) FROM record").fetchone()
            rows = connection.execute(_EVENTS, (after, last, *KINDS, limit)).fetchall()
            found = [event(sequence, wall, decode(body)) for sequence, wall, body in reversed(rows)]
        return [each for each in found if each is not None], last


def run_time(times: list[int]) -> RunTime:
    """Of sorted times, at least one."""
    return RunTime(times[len(times) // 2], times[min(len(times) - 1, len(times) * 95 // 100)])


def event(sequence: int, wall_ns: int, record: Record) -> Event | None:
    """A record as something that happened; None: it is no news to people."""
    text = told(record)
    if not text:
        return None
    job, task, host, bad = getattr(record, "job", JobId(0)), "", getattr(record, "host", ""), False
    kind = "job" if job else "server"
    if isinstance(record, JobAccepted):
        task = record.spec.task
    elif isinstance(record, AttemptEnded):
        host = record.report.host
        bad = not (record.report.outcome is Outcome.EXITED and record.report.exit_code == 0)
    elif isinstance(record, TaskChanged):
        task, kind, bad = record.task, "task", bool(record.faulted)
    elif isinstance(record, HostChanged):
        kind = "host"
    elif isinstance(record, NoticeHeard):
        bad = record.level != "info"
    return Event(sequence, wall_ns, kind, job, task, host, text, bad)
