"""Reader of job logs in the Standard Workload Format (the Parallel Workloads Archive's): header fields and jobs.

Lines of `;` are the header, all others are jobs of 18 numbers (more are ignored); -1 means unknown. The file is read
as a stream, a gzip file too, so that its size does not matter. Called by `sim/job_log.py`, which says what a job of a
log is here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Meta, Struct

from model.errors import ConfigurationError
from model.job import SECOND
from sim.numbered_lines import line_error, numbered_lines

FIELDS = 18
NUMBER_MAX = 4 * 10**9
"""The largest number that a field may hold: in seconds 126 years, so that ns fit into 64 bits."""
UNKNOWN = -1
DAY_S = 24 * 3600
_SECONDS = re.compile(r"-?[0-9]{1,5}", re.ASCII)
HINT = "the format: 18 numbers a line, -1 for what is unknown; lines that begin with ; are comments"

NAMES = (
    "job number", "submit time", "wait time", "run time", "allocated processors", "CPU time", "memory",
    "requested processors", "requested time", "requested memory", "status", "user", "group", "application", "queue",
    "partition", "preceding job", "think time",
)  # fmt: skip
TIMES = frozenset({1, 2, 3, 8})
"""Which of these are kept as times."""
UNUSED = frozenset({5, 6, 9, 13, 16, 17})
"""Which of these nobody here wants to know: any number may stand there."""
_Field = Annotated[int, Meta(ge=-NUMBER_MAX, le=NUMBER_MAX)]
_USUAL = msgspec.json.Decoder(Annotated[list[_Field], Meta(min_length=FIELDS, max_length=FIELDS)])
"""Whole numbers with commas between them: reads a line in a third of the time of 18 calls of `int` and their bounds."""


class SwfJob(Struct, frozen=True, gc=False):
    """One line. Times are ns, times of day ns since the log's beginning; None: the log does not know.

    `run_ns` 0 is a job that ended within its first second. `processors`: those that it got, or if that is unknown
    those that it asked for.
    """

    line: int
    number: int
    submit_ns: int
    wait_ns: int | None
    run_ns: int | None
    processors: int | None
    requested_ns: int | None
    status: int
    """1 done, 0 failed, 5 cancelled, -1 unknown"""
    user: int
    group: int
    queue: int
    partition: int


class SwfHeader(Struct, frozen=True):
    """What the comments at the head of a log say. `fields`: all, by name; 0 and empty: not said."""

    fields: dict[str, str]
    processors: int
    """of the whole machine (MaxProcs, or MaxNodes)"""
    start_wall_s: int
    """UnixStartTime: wall time of second 0, s since 1970"""
    partitions: dict[int, str]
    """their names by number"""
    ahead_s: int = 0
    """how far the clocks were ahead of UTC when it began (TimeZoneString, else TimeZone; 0: neither is understood)"""

    @property
    def midnight_s(self) -> int:
        """Its first midnight where the machine stood, s since its beginning."""
        return -(self.start_wall_s + self.ahead_s) % DAY_S


def read_header(path: Path) -> SwfHeader:
    """The header of a log. Raises `ConfigurationError` when the file cannot be read."""
    fields: dict[str, str] = {}
    partitions: dict[int, str] = {}
    for number, line in _lines(path):
        if not line.startswith(b";"):
            if line.strip():
                break
            continue
        name, colon, value = line[1:].decode("utf-8", "replace").partition(":")
        name, value = name.strip(), value.strip()
        if not colon or not name:
            continue
        fields.setdefault(name, value)
        if name == "Partition":
            words = value.split()
            partitions[_whole(path, number, name, words[0] if words else "")] = words[1] if len(words) > 1 else ""
    processors = _of_header(path, fields, "MaxProcs") or _of_header(path, fields, "MaxNodes")
    start_s = _of_header(path, fields, "UnixStartTime")
    return SwfHeader(fields, processors, start_s, partitions, _ahead_s(fields, start_s))


def _ahead_s(fields: dict[str, str], start_s: int) -> int:
    try:
        ahead = datetime.fromtimestamp(start_s, ZoneInfo(fields.get("TimeZoneString", ""))).utcoffset()
    except (ValueError, OSError, ZoneInfoNotFoundError):  # what stands there is for people
        text = fields.get("TimeZone", "").lstrip("+")
        return int(text) if _SECONDS.fullmatch(text) else 0
    return 0 if ahead is None else int(ahead.total_seconds())


def _of_header(path: Path, fields: dict[str, str], name: str) -> int:
    """A number of the header; 0 where it is missing or unknown."""
    text = fields.get(name, "").split()
    if not text:
        return 0
    return max(0, _whole(path, 0, name, text[0]))


def _whole(path: Path, line: int, name: str, text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        raise _error(path, line, f"{name} in the header is {text!r}, not a whole number") from None
    if abs(value) > NUMBER_MAX:
        raise _error(path, line, f"{name} in the header is {value}, at most {NUMBER_MAX} is possible")
    return value


def read_jobs(path: Path) -> Iterator[SwfJob]:
    """The jobs of a log, in its order. Raises `ConfigurationError`, which names the file, the line and what is wrong
    with it, at the first line that is not a job."""
    for number, line in _lines(path):
        if line.startswith(b";"):
            continue
        words = line.split()
        if not words:
            continue
        if len(words) < FIELDS:
            raise _error(path, number, f"{len(words)} fields where a job has {FIELDS}")
        yield _job(path, number, words)


def _job(path: Path, line: int, words: list[bytes]) -> SwfJob:
    """Other negative times than -1, in logs that were converted badly, are as unknown."""
    unit = SECOND
    try:
        values = _USUAL.decode(b"[%b]" % b",".join(words[:FIELDS]))
    except msgspec.DecodeError:  # most logs have no such line
        values, unit = _unusual(path, line, words)
    number, submit, wait, run, got, _, _, asked, limit, _, status, user, group, _, queue, partition, _, _ = values
    if submit < 0:
        text = words[1].decode("ascii", "replace")
        raise _error(path, line, f"its submit time is {text}: a job of which it is unknown cannot be replayed")
    processors = got if got > 0 else asked
    return SwfJob(
        line,
        number,
        submit * unit,
        wait * unit if wait >= 0 else None,
        run * unit if run >= 0 else None,
        processors if processors > 0 else None,
        limit * unit if limit >= 0 else None,
        status,
        user,
        group,
        queue,
        partition,
    )


def _unusual(path: Path, line: int, words: list[bytes]) -> tuple[list[int], int]:
    """The fields of a line that are not all usual numbers, and the unit of its times (ns)."""
    try:
        values = list(map(int, words[:FIELDS]))
    except ValueError:
        return _fractions(path, line, words), 1
    large = [at for at, value in enumerate(values) if abs(value) > NUMBER_MAX and at not in UNUSED]
    if large:
        at = large[0]
        raise _error(path, line, f"its {NAMES[at]} is {values[at]}, at most {NUMBER_MAX} is possible")
    return values, SECOND


def _fractions(path: Path, line: int, words: list[bytes]) -> list[int]:
    """The fields of a line that does not consist of whole numbers only, times in ns: some logs have fractions of
    seconds."""
    values = [_number(path, line, at, word) for at, word in enumerate(words[:FIELDS])]
    return [round(value * SECOND) if at in TIMES else int(value) for at, value in enumerate(values)]


def _number(path: Path, line: int, at: int, word: bytes) -> float:
    text = word.decode("ascii", "replace")
    try:
        value = float(text)
    except ValueError:
        raise _error(path, line, f"its {NAMES[at]} is {text!r}, not a number") from None
    if at in UNUSED:
        return 0.0
    if not abs(value) <= NUMBER_MAX:  # neither is nan
        raise _error(path, line, f"its {NAMES[at]} is {text}: at most {NUMBER_MAX} is possible")
    return value


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    return numbered_lines(path, HINT)


def _error(path: Path, line: int, why: str) -> ConfigurationError:
    return line_error(path, line, why, HINT)
