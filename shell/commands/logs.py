"""`laulima logs JOB...`: what jobs wrote. The server says where it stands; the bytes come from the file itself, or,
of a host that is another machine, through the server.

To a terminal, everything but newlines and tabs that a terminal would obey is shown as a visible escape; to a pipe or
a file every byte goes as it is. Of several jobs, or of both streams, a line on stderr says whose bytes follow.
"""

from __future__ import annotations

import codecs
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

from model.errors import NotReachableError, OperatorError
from shell.client import Client
from shell.commands.choosing import jobs_meant
from shell.selections import UsageError
from shell.session import Session
from shell.wording import clean, clean_lines

PIECE = 1 << 16
"""Bytes that are read at once: output of any size takes no more memory."""
FOLLOW_S = 0.25
"""How often a followed output is looked at."""


class Log(Struct, frozen=True):
    """`path`: None when nothing was written, or it stands on another machine, `host`. `bytes`: written so far. `waits`:
    why the job does not run, if it is not final; it may have ended, and its handlers run."""

    path: str | None = None
    bytes: int = 0
    running: bool = False
    host: str = ""
    attempt: int = 0
    waits: str = ""


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


class Output:
    """One stream of one job, as far as it was shown."""

    def __init__(self, session: Session, client: Client, job: int, stream: str, attempt: int | None) -> None:
        self._session = session
        self._client = client
        self._arguments = {"job": job, "attempt": attempt, "stream": stream}
        self.job = job
        self.stream = stream
        self.found = Log()
        self.shown = 0
        self._told = ""

    def look(self) -> bool:
        """Ask what there is now; whether something is new."""
        before, self.found = self.found, self._client.ask("logs", self._arguments, Log)
        if before.attempt not in (0, self.found.attempt):
            self.shown = 0
            self._session.note(f"job {self.job}: attempt {self.found.attempt} on {clean(self.found.host)}")
        return self.found.bytes > self.shown

    @property
    def goes_on(self) -> bool:
        """Whether more may come."""
        return self.found.running or bool(self.found.waits)

    def tell_waiting(self) -> None:
        """Say once why nothing comes."""
        if self.found.waits != self._told and not self.found.running:
            self._session.note(f"job {self.job}: {clean(self.found.waits)}")
        self._told = self.found.waits

    def begin_with(self, lines: int) -> None:
        """Leave out all but the last `lines` lines of what there is."""
        self.shown = start_of_last(self._read, self.found.bytes, lines)

    def copy(self, printer: Printer) -> None:
        self.shown += copy_output(self._client, self.job, self.stream, self.found, self.shown, printer)

    def _read(self, start: int, size: int) -> bytes:
        kept = _Kept()
        upto = Log(self.found.path, start + size, host=self.found.host, attempt=self.found.attempt)
        copy_output(self._client, self.job, self.stream, upto, start, kept)
        return bytes(kept.data)


class _Kept(Printer):
    """Bytes that are looked at instead of being shown."""

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, piece: bytes, *, last: bool = False) -> None:
        self.data += piece


def logs(
    session: Session, *, jobs: Sequence[str], follow: bool, stderr: bool, both: bool, lines: int | None,
    attempt: int | None, raw: bool, json: bool,
) -> int:  # fmt: skip
    if stderr and both:
        raise UsageError("--both shows --stderr, too: give one")
    streams = ("stdout", "stderr") if both else ("stderr",) if stderr else ("stdout",)
    with session.client() as client:
        numbers = jobs_meant(client, jobs)
        outputs = [Output(session, client, number, stream, attempt) for number in numbers for stream in streams]
        for output in outputs:
            output.look()
        if json:
            return _say_json(session, outputs)
        if lines is not None:
            for output in outputs:
                output.begin_with(lines)
        begun = {id(output): output.shown for output in outputs}
        show = _Shower(session, outputs, raw=raw)
        show.all()
        followed = not follow or _follow(session, client, outputs, len(streams), show)
        show.end()
    for output in outputs:
        if output.shown == begun[id(output)] and not (both and output.stream == "stderr"):
            verb = "has written" if output.goes_on else "wrote"
            session.note(f"job {output.job} {verb} nothing to {output.stream}")
    return 0 if followed else NotReachableError.exit_code


def _follow(session: Session, client: Client, outputs: Sequence[Output], streams: int, show: _Shower) -> bool:
    """Show what comes until all jobs have ended; whether they have. `streams`: how many outputs of each job follow one
    another."""
    while any(output.goes_on for output in outputs):
        for output in outputs[::streams]:
            output.tell_waiting()
        if client.wait_closed(FOLLOW_S):
            session.note("the server has ended; the job may go on")
            return False
        for output in outputs:
            if output.goes_on:
                output.look()
        show.all()
    return True


class _Shower:
    """Shows what is new of each output, and whose it is when there are several."""

    def __init__(self, session: Session, outputs: Sequence[Output], *, raw: bool) -> None:
        self._session = session
        self._outputs = outputs
        self._last: Output | None = None
        several = len({output.job for output in outputs}) > 1
        self._names = {id(output): f"==> job {output.job} {output.stream} <==" for output in outputs} if several else {}
        self._printers = {}
        for output in outputs:
            beside = output.stream == "stderr" and len({each.stream for each in outputs}) > 1
            to = sys.stderr if beside else sys.stdout
            self._printers[id(output)] = Printer(raw=raw or not to.isatty(), to=to.buffer)

    def all(self) -> None:
        for output in self._outputs:
            if output.found.bytes <= output.shown:
                continue
            if self._names and output is not self._last:
                self._session.note(self._names[id(output)])
            self._last = output
            output.copy(self._printers[id(output)])

    def end(self) -> None:
        for printer in self._printers.values():
            printer.write(b"", last=True)


def _say_json(session: Session, outputs: Sequence[Output]) -> int:
    rows = [
        {"job": output.job, "stream": output.stream, **{
            name: getattr(output.found, name) for name in ("path", "bytes", "running", "host", "attempt", "waits")
        }}
        for output in outputs
    ]  # fmt: skip
    return session.say_json({"schema": 1, **rows[0]}) if len(rows) == 1 else session.say_json(rows, "logs")


def start_of_last(read: Callable[[int, int], bytes], size: int, lines: int) -> int:
    """Where the last `lines` lines of `size` bytes begin; `read(start, size)` gives some of them. A last line without
    its end is one, too."""
    if lines == 0:
        return size
    start, wanted = size, lines
    while start > 0:
        piece_start = max(0, start - PIECE)
        piece = read(piece_start, start - piece_start)
        at = len(piece)
        if start == size and piece.endswith(b"\n"):
            at -= 1  # the end of the last line, not of the one before
        while (at := piece.rfind(b"\n", 0, at)) >= 0:
            wanted -= 1
            if wanted == 0:
                return piece_start + at + 1
        start = piece_start
    return 0


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
