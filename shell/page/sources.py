"""Where the page's answers come from: the server's control socket, and the journal file, which also tells what was when
no server runs. Every question is its own; nothing is kept.

Called by `watching.py` and `app.py`; the journal is read in threads, for it is a file.
"""

from __future__ import annotations

import asyncio
import codecs
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from live.control_client import ask
from live.history import HistoryQuestion
from live.lately import Event, Lately, Minute, RunTime
from live.story import story_lines
from model.errors import LaulimaError, NotReachableError, OperatorError
from model.view_rows import explain_final
from model.views import ExplanationView, HistoryRow, JobRow, Status
from shell.wording import clean_lines

T = TypeVar("T")

STATUS_S = 10.0
"""How long the server may take to tell its status; longer is away."""
ASK_S = 30.0
"""The same for anything else."""
JOBS_MAX = 200
"""Rows of one list of jobs or attempts."""
PIECE_BYTES = 64 * 1024
"""Bytes of output in one answer; a longer output begins with its last so many."""


class Output(Struct, frozen=True):
    """A piece of what a job wrote: the bytes from `begin` to `end` of `total`."""

    text: str
    begin: int
    end: int
    total: int
    running: bool
    host: str
    attempt: int


class _Log(Struct, frozen=True):
    """What the server says of an output."""

    path: str | None = None
    bytes: int = 0
    running: bool = False
    host: str = ""
    attempt: int = 0


class _Piece(Struct, frozen=True):
    data: bytes = b""
    total: int = 0


class Server:
    """The server of a state directory, as the page asks it. Everything raises LaulimaError."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self._history = Lately(state / "journal.sqlite")

    async def status(self) -> Status:
        return _typed(await ask(self.state, "status", {}, STATUS_S), Status)

    async def minutes(self, since_minute: int) -> list[Minute]:
        return await asyncio.to_thread(self._history.minutes, since_minute)

    async def run_times(self, since_ns: int) -> dict[str, RunTime]:
        return await asyncio.to_thread(self._history.run_times, since_ns)

    async def events(self, after: int, limit: int) -> tuple[list[Event], int]:
        """The last `limit` events after the record `after`, and the sequence of the last record."""
        return await asyncio.to_thread(self._history.events, after, limit)

    async def jobs(self, selection: dict[str, Any]) -> list[JobRow]:
        found = await ask(self.state, "jobs", {"selection": selection, "limit": JOBS_MAX}, ASK_S)
        return _typed(found, list[JobRow])

    async def ended(self, question: HistoryQuestion) -> list[HistoryRow]:
        """Attempts that ended, the last ones first."""
        rows = await asyncio.to_thread(self._history.attempts, question)
        return rows[::-1]

    async def explain(self, about: str, name: str, now_ns: int) -> ExplanationView:
        """Asked of the server; of a job that is final, also of the journal alone."""
        try:
            found = await ask(self.state, "explain", {"about": about, "name": name}, ASK_S)
        except NotReachableError:
            if about != "job" or not name.isdigit():
                raise
            return await asyncio.to_thread(self._final, int(name), now_ns)
        return _typed(found, ExplanationView)

    def _final(self, job: int, now_ns: int) -> ExplanationView:
        row = self._history.final(job)
        if row is None:
            raise NotReachableError(
                f"the server is away, and job {job} is not in its history", "start it again: laulima run FILE --detach"
            )
        story = story_lines(self._history.story(job))
        return msgspec.structs.replace(explain_final(row, now_ns), story=story)

    async def output(self, job: int, attempt: int | None, stream: str, begin: int | None) -> Output:
        """From byte `begin` on (None: the last piece), as much as one piece holds."""
        wanted = {"job": job, "attempt": attempt, "stream": stream}
        log = _typed(await ask(self.state, "logs", wanted, ASK_S), _Log)
        start = max(0, log.bytes - PIECE_BYTES) if begin is None else min(begin, log.bytes)
        size = min(PIECE_BYTES, log.bytes - start)
        if log.path is not None:
            data = await asyncio.to_thread(_read, log.path, start, size)
        elif size:
            at = {**wanted, "attempt": log.attempt, "host": log.host, "offset": start}
            piece = _typed(await ask(self.state, "output", at, ASK_S), _Piece)
            data = piece.data[:size]
        else:
            data = b""
        if begin is None and start > 0:
            data, start = _whole_first(data, start)
        text, used = _decoded(data, last=not log.running and start + len(data) >= log.bytes)
        return Output(clean_lines(text), start, start + used, log.bytes, log.running, log.host, log.attempt)

    async def act(self, verb: str, arguments: dict[str, Any]) -> str:
        """Order something; what the server says that it did."""
        done = await ask(self.state, verb, arguments, ASK_S)
        return str(done.get("text") or "done")


def _typed(data: Any, answer: type[T]) -> T:
    try:
        return msgspec.convert(data, answer)
    except msgspec.ValidationError as error:
        raise LaulimaError(
            f"the server's answer is of another version: {error}", "start server and page with the same laulima"
        ) from error


def _read(path: str, start: int, size: int) -> bytes:
    try:
        with Path(path).open("rb") as file:
            file.seek(start)
            return file.read(size)
    except OSError as error:
        raise OperatorError(
            f"the output cannot be read: {path}: {error.strerror}", "it may have been pruned"
        ) from error


def _whole_first(data: bytes, start: int) -> tuple[bytes, int]:
    """Without the rest of a line that began earlier, where one ends early."""
    end = data.find(b"\n", 0, len(data) // 2) + 1
    return data[end:], start + end


def _decoded(data: bytes, *, last: bool) -> tuple[str, int]:
    """The text, and how many bytes it took: a character that is not complete yet waits for its rest."""
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    text = decoder.decode(data, last)
    waiting = len(decoder.getstate()[0])
    return text, len(data) - waiting
