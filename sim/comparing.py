"""Where two runs part: the first event in which their logs differ, and what led to it.

Two runs of one scenario that should be equal and are not (another machine, another version), or that differ by one
change: the first difference is the cause, everything behind it may be its consequence. Called by `laulima bisect`.
"""

from __future__ import annotations

import gzip
import zlib
from collections import deque
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import BinaryIO, cast

import msgspec
from msgspec import Struct

from model.errors import ConfigurationError
from sim.log import LINE_MAX, Header, Line

CONTEXT = 5
"""Events that are shown of before the difference, and of its job."""
WATCHED_JOBS_MAX = 100_000
"""Of so many jobs the last events are kept; of older ones nobody asks."""
HINT = "one is written by `laulima sim FILE --log events.jsonl`"


class Event(Struct, frozen=True):
    """One line of a log, with its number (from 1)."""

    number: int
    line: Line


class Parting(Struct, frozen=True):
    """Where two logs part. `first`, `second` None: that log has ended. `headers`: what their headers disagree in."""

    headers: tuple[str, ...]
    equal: int
    """events in which they agree"""
    first: Event | None
    second: Event | None
    before: tuple[Event, ...]
    """the last events in common"""
    story: tuple[Event, ...]
    """the last events in common of the job of the one that comes first"""

    @property
    def differ(self) -> bool:
        """Whether they do, beside their headers."""
        return self.first is not None or self.second is not None


def part(first: Path, second: Path) -> Parting:
    """Compare two logs, which may be packed (`.gz`). Raises `ConfigurationError` for what is none, `OSError`."""
    with _open(first) as one, _open(second) as other:
        headers = _headers(first, one, second, other)
        before: deque[tuple[int, bytes]] = deque(maxlen=CONTEXT)
        stories: dict[int, deque[tuple[int, bytes]]] = {}
        equal = 0
        for number, (text, twin) in enumerate(zip_longest(_lines(first, one), _lines(second, other)), 2):
            if text == twin:
                equal += 1
                assert text is not None
                before.append((number, text))
                _remember(first, stories, number, text)
                continue
            found = None if text is None else Event(number, _decode(first, number, text))
            twin_found = None if twin is None else Event(number, _decode(second, number, twin))
            job = next((job for event in (found, twin_found) if event and (job := job_of(event.line))), 0)
            return Parting(
                headers,
                equal,
                found,
                twin_found,
                tuple(Event(at, _decode(first, at, known)) for at, known in before),
                tuple(Event(at, _decode(first, at, known)) for at, known in stories.get(job, ())),
            )
        return Parting(headers, equal, None, None, (), ())


def _open(path: Path) -> BinaryIO:
    return cast("BinaryIO", gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")


def _lines(path: Path, file: BinaryIO) -> Iterator[bytes]:
    while text := _next_line(path, file):
        yield text


def _next_line(path: Path, file: BinaryIO) -> bytes:
    """Empty at the end."""
    try:
        return file.readline(LINE_MAX)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ConfigurationError(f"{path}: the compressed file is damaged: {error}", HINT) from error


def _headers(first: Path, one: BinaryIO, second: Path, other: BinaryIO) -> tuple[str, ...]:
    found, twin = (_header(path, _next_line(path, file)) for path, file in ((first, one), (second, other)))
    return tuple(
        f"{name} {getattr(found, name)} and {getattr(twin, name)}"
        for name in found.__struct_fields__
        if getattr(found, name) != getattr(twin, name)
    )


def _header(path: Path, text: bytes) -> Header:
    line = _decode(path, 1, text) if text else None
    if not isinstance(line, Header):
        raise ConfigurationError(f"{path} is no event log", HINT)
    return line


_DECODER: msgspec.json.Decoder[Line] = msgspec.json.Decoder(Line)


def _decode(path: Path, number: int, text: bytes) -> Line:
    try:
        return _DECODER.decode(text)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise ConfigurationError(f"{path}:{number}: no line of an event log: {error}", HINT) from error


def _remember(path: Path, stories: dict[int, deque[tuple[int, bytes]]], number: int, text: bytes) -> None:
    """Keep the last events of each job. Reading a line costs, so only kinds that are about one job are looked at."""
    if not text.startswith(_ABOUT_JOBS):
        return
    job = job_of(_decode(path, number, text))
    if job:
        stories.setdefault(job, deque(maxlen=CONTEXT)).append((number, text))
        if len(stories) > WATCHED_JOBS_MAX:
            del stories[next(iter(stories))]


_ABOUT_JOBS = (b'{"event":"commit"', b'{"event":"process ')


def job_of(line: Line) -> int:
    """The job that a line is about; 0: none."""
    job = getattr(line, "job", None) or getattr(getattr(line, "record", None), "job", None)
    return job if isinstance(job, int) else 0
