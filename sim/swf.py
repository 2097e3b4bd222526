"""Reader of job logs in the Standard Workload Format (the Parallel Workloads Archive's): header fields and jobs.

Lines of `;` are the header, all others are jobs of 18 numbers (more are ignored); -1 means unknown. The file is read
as a stream, a gzip file too, so that its size does not matter. Called by `sim/job_log.py`, which says what a job of a
log is here.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from model.errors import ConfigurationError
from model.job import SECOND
from sim.numbered_lines import line_error, numbered_lines

FIELDS = 18
NUMBER_MAX = 4 * 10**9
"""The largest number that a field may hold: in seconds 126 years, so that ns fit into 64 bits."""
UNKNOWN = -1
HINT = "the format: 18 numbers a line, -1 for what is unknown; lines that begin with ; are comments"

NAMES = (
    "job number", "submit time", "wait time", "run time", "allocated processors", "CPU time", "memory",
    "requested processors", "requested time", "requested memory", "status", "user", "group", "application", "queue",
    "partition", "preceding job", "think time",
)  # fmt: skip


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
    return SwfHeader(fields, processors, _of_header(path, fields, "UnixStartTime"), partitions)


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
    try:
        values: list[int | float] = list(map(int, words[:FIELDS]))
    except ValueError:
        values = [_number(path, line, at, word) for at, word in enumerate(words[:FIELDS])]
    if max(values) > NUMBER_MAX or min(values) < -NUMBER_MAX:
        at = next(at for at, value in enumerate(values) if abs(value) > NUMBER_MAX)
        raise _error(path, line, f"its {NAMES[at]} is {values[at]}, at most {NUMBER_MAX} is possible")
    submit, got, asked = values[1], values[4], values[7]
    if submit < 0:
        raise _error(path, line, f"its submit time is {submit}: a job of which it is unknown cannot be replayed")
    processors = got if got > 0 else asked
    return SwfJob(
        line=line,
        number=int(values[0]),
        submit_ns=_ns(submit),
        wait_ns=_known_ns(values[2]),
        run_ns=_known_ns(values[3]),
        processors=int(processors) if processors > 0 else None,
        requested_ns=_known_ns(values[8]),
        status=int(values[10]),
        user=int(values[11]),
        group=int(values[12]),
        queue=int(values[14]),
        partition=int(values[15]),
    )


def _number(path: Path, line: int, at: int, word: bytes) -> int | float:
    """A field of a line that does not consist of whole numbers only; some logs have fractions of seconds."""
    text = word.decode("ascii", "replace")
    try:
        value = float(text)
    except ValueError:
        raise _error(path, line, f"its {NAMES[at]} is {text!r}, not a number") from None
    if not abs(value) <= NUMBER_MAX:  # neither is nan
        raise _error(path, line, f"its {NAMES[at]} is {text}: at most {NUMBER_MAX} is possible")
    return value


def _ns(seconds: float) -> int:
    return seconds * SECOND if isinstance(seconds, int) else round(seconds * SECOND)


def _known_ns(seconds: float) -> int | None:
    """None: unknown. Logs that were converted badly have other negative times than -1; they are as unknown."""
    return None if seconds < 0 else _ns(seconds)


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    return numbered_lines(path, HINT)


def _error(path: Path, line: int, why: str) -> ConfigurationError:
    return line_error(path, line, why, HINT)
