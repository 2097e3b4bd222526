"""`laulima logs JOB`: what a job wrote. The server says where it stands; the bytes come from the file itself, or, of a
host that is another machine, through the server.

To a terminal, everything but newlines and tabs that a terminal would obey is shown as a visible escape; to a pipe or
a file every byte goes as it is.
"""

from __future__ import annotations

import codecs
import sys
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

from model.errors import OperatorError
from shell.client import Client
from shell.selections import UsageError
from shell.session import Session, is_terminal
from shell.wording import clean_lines

PIECE = 1 << 16
"""Bytes that are read at once: output of any size takes no more memory."""
FOLLOW_S = 0.25
"""How often a followed file is looked at."""


class Log(Struct, frozen=True):
    """`path`: None when nothing was written, or it stands on another machine, `host`. `bytes`: written so far."""

    path: str | None = None
    bytes: int = 0
    running: bool = False
    host: str = ""
    attempt: int = 0


class Piece(Struct, frozen=True):
    """Bytes of an output that stands on another machine; `total`: written so far."""

    data: bytes = b""
    total: int = 0


class Printer:
    """Bytes of a job to stdout, cleaned where a terminal reads them."""

    def __init__(self, *, raw: bool, to: BinaryIO | None = None) -> None:
        self._raw = raw
        self._to = to or sys.stdout.buffer
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")

    def write(self, piece: bytes, *, last: bool = False) -> None:
        if self._raw:
            self._to.write(piece)
        else:
            self._to.write(clean_lines(self._decoder.decode(piece, last)).encode())
        self._to.flush()


def logs(session: Session, *, job: str, follow: bool, stderr: bool, attempt: int | None, raw: bool, json: bool) -> int:
    stream = "stderr" if stderr else "stdout"
    with session.client() as client:
        number = _number(client, job)
        arguments = {"job": number, "attempt": attempt, "stream": stream}
        found = client.ask("logs", arguments, Log)
        if json:
            return session.say_json({"schema": 1, "job": number, "stream": stream, **_fields(found)})
        printer = Printer(raw=raw or not is_terminal())
        shown = copy_output(client, number, stream, found, 0, printer)
        while follow and found.running:
            if client.wait_closed(FOLLOW_S):
                session.note("the server has ended; the job may go on")
                break
            found = client.ask("logs", arguments, Log)
            shown += copy_output(client, number, stream, found, shown, printer)
    printer.write(b"", last=True)
    if not shown:
        session.note(f"job {number} {'has written' if found.running else 'wrote'} nothing to {stream}")
    return 0


def _fields(found: Log) -> dict[str, object]:
    return {"path": found.path, "bytes": found.bytes, "running": found.running, "host": found.host}


def _number(client: Client, word: str) -> int:
    if word.isdigit():
        return int(word)
    if word != "last":
        raise UsageError(f"{word!r} is no job", "a job is a number, or last; see laulima jobs, laulima history")
    from model.views import HistoryRow, JobRow  # noqa: PLC0415

    rows = client.ask("jobs", {"selection": {"last": True}}, list[JobRow])
    past = client.ask("history", {"limit": 1}, list[HistoryRow])
    numbers = [row.job for row in rows] + [row.job for row in past]
    if not numbers:
        raise OperatorError("there is no job yet", "see laulima tasks")
    return max(numbers)


def copy_output(client: Client, job: int, stream: str, found: Log, start: int, printer: Printer) -> int:
    """Print from byte `start` to what the job has written; gives how many bytes that was."""
    if found.path:
        return copy_file(found.path, start, found.bytes, printer)
    copied = 0
    while start + copied < found.bytes:
        at = {"job": job, "attempt": found.attempt, "host": found.host, "stream": stream, "offset": start + copied}
        piece = client.ask("output", at, Piece).data[: found.bytes - start - copied]
        if not piece:
            break
        printer.write(piece)
        copied += len(piece)
    return copied


def copy_file(path: str, start: int, end: int, printer: Printer) -> int:
    """The same of a file on this machine."""
    if end <= start:
        return 0
    try:
        file = Path(path).open("rb")  # noqa: SIM115 - closed by the with below; only the opening may fail so
    except OSError as error:
        raise OperatorError(
            f"the output cannot be read: {path}: {error.strerror}",
            "it may have been pruned",
        ) from error
    copied = 0
    with file:
        file.seek(start)
        while copied < end - start and (piece := file.read(min(PIECE, end - start - copied))):
            printer.write(piece)
            copied += len(piece)
    return copied
