"""Shell lines of scripts: `$SHELL -c LINE`, each in a session of its own, with the environment of the server.

A line has ended when its shell has ended: output goes to files, not pipes, so that what it left in the background holds
nobody. A line that is not wanted any more, or takes too long, is ended with its group: TERM, a moment, KILL; what has
made itself a session of its own escapes that. Starting is an errand, since the working directory may lie on a dead
network file system.

Called by `live/scripts.py`. Jobs are started by keepers, not here.
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable
from typing import IO, Any

from live.errands import ErrandError, Errands
from model.job import SECOND
from model.scripting import Execute, Executed, Stream

ARGUMENT_MAX = 100_000
"""Bytes of a line that is given to the shell as one argument."""
START_SECONDS = 30.0
"""How long a start may take: it looks for the working directory and the shell."""
GRACE_SECONDS = 1.0
"""Between TERM and KILL."""
OUTPUT_MAX = 16 << 20
"""Bytes of captured output; a line that prints more is ended and fails, since half an output is no output."""
PRINTED_MAX = 1 << 30
"""Bytes that a line may print to a prompt; one that prints more is ended."""
FOLLOW_SECONDS = 0.1
"""How often a prompt is shown what its line has printed meanwhile, and how often it is seen how much that is."""
SHOWN_MAX = 1 << 20
"""Bytes that a prompt is shown at once; of more, only the end."""

Show = Callable[[Stream, str], None]


class ShellLines:
    """The lines that run now, one for each run at most. Use from the loop's thread only."""

    def __init__(self, loop: asyncio.AbstractEventLoop, errands: Errands, mask: int) -> None:
        """`mask`: the umask with which the lines are run."""
        self._loop = loop
        self._errands = errands
        self._mask = mask
        self._lines: dict[int, _Line] = {}

    async def run(self, effect: Execute, show: Show | None) -> Executed | None:
        """Run a line to its end. `show`: who sees what it prints (None: it prints where this process does). None: it
        was abandoned, nobody wants the answer."""
        line = self._lines[effect.run] = _Line(self._loop, self._errands, effect, show, self._mask)
        try:
            return await line.run()
        finally:
            if self._lines.get(effect.run) is line:
                del self._lines[effect.run]

    def abandon(self, run: int) -> None:
        """The run does not wait any more: end what it started."""
        line = self._lines.pop(run, None)
        if line is not None:
            line.abandon()

    def kill(self) -> None:
        """End everything at once, by force."""
        for line in self._lines.values():
            line.kill()


class _Line:
    def __init__(
        self, loop: asyncio.AbstractEventLoop, errands: Errands, effect: Execute, show: Show | None, mask: int
    ) -> None:
        self._loop = loop
        self._errands = errands
        self._effect = effect
        self._mask = mask
        self._process: subprocess.Popen[bytes] | None = None
        self._unwanted = False
        self._ended = asyncio.Event()
        self._stop = asyncio.Event()
        """it is to end"""
        self._abandoned = False
        self._fault = ""
        """why it was ended by us, for who waits"""
        self._output = _file() if effect.capture or show is not None else None
        self._errors = _file() if show is not None else None
        self._shown: list[_Following] = []
        if show is not None and self._errors is not None and self._output is not None:
            self._shown.append(_Following(self._errors, lambda text: show(Stream.ERROR, text)))
            if not effect.capture:
                self._shown.append(_Following(self._output, lambda text: show(Stream.OUT, text)))

    async def run(self) -> Executed | None:
        try:
            try:
                process = await self._errands.run(self._start, START_SECONDS)
            except (OSError, ValueError, ErrandError) as error:
                self.kill()
                return self._failed(_reason(error))
            if process.returncode is not None:  # it came too late
                return None
            timed_out = await self._watch(process)
            status = process.wait()  # it has ended; this only reaps it
            for following in self._shown:
                following.look()
            return None if self._abandoned else self._answer(status, timed_out)
        finally:
            for file in (self._output, self._errors):
                if file is not None:
                    file.close()

    def abandon(self) -> None:
        self._abandoned = True
        self._stop.set()

    def kill(self) -> None:
        """At once. A start that is under way sees `_unwanted` afterwards, or its process is seen here."""
        self._unwanted = True
        self.abandon()
        self._signal(signal.SIGKILL)

    def _start(self) -> subprocess.Popen[bytes]:
        """In a thread of the errands."""
        effect = self._effect
        with contextlib.ExitStack() as kept:
            words, descriptors = _words(effect.command, kept)
            self._process = process = subprocess.Popen(  # noqa: S603 - running shell lines is what this is for
                [os.environ.get("SHELL") or "/bin/sh", *words],
                cwd=effect.directory,
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._errors,
                start_new_session=True,
                umask=self._mask,
                pass_fds=descriptors,
            )
        if self._unwanted:  # it took so long that nobody waits: what comes too late ends at once
            self._signal(signal.SIGKILL)
            process.wait()
        return process

    async def _watch(self, process: subprocess.Popen[bytes]) -> bool:
        """Wait for the end, and see to it; True: its time was over."""
        descriptor = os.pidfd_open(process.pid)
        self._loop.add_reader(descriptor, self._ended.set)
        try:
            await self._wait(self._effect.timeout_ns / SECOND if self._effect.timeout_ns else None)
            if self._ended.is_set() and not self._stop.is_set():
                return False
            timed_out = not self._stop.is_set()
            if timed_out:
                self._fault = f"it was ended: it took longer than {self._effect.timeout_ns / SECOND:g} s"
            self._signal(signal.SIGTERM)
            await self._wait_for_end(GRACE_SECONDS)
            self._signal(signal.SIGKILL)
            await self._ended.wait()
            return timed_out
        finally:
            self._loop.remove_reader(descriptor)
            os.close(descriptor)

    async def _wait(self, limit: float | None) -> None:
        """Until the end, the limit, or an order to stop; what is printed is followed meanwhile."""
        events = [self._loop.create_task(event.wait()) for event in (self._ended, self._stop)]
        waits: list[asyncio.Task[Any]] = [*events]
        if self._output is not None:
            waits.append(self._loop.create_task(self._follow()))
        try:
            await asyncio.wait(events, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waits:
                task.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    async def _follow(self) -> None:
        """Show what is printed, and end a line that would fill the disk."""
        most = OUTPUT_MAX if self._effect.capture else PRINTED_MAX
        while True:
            await asyncio.sleep(FOLLOW_SECONDS)
            for following in self._shown:
                following.look()
            if max(map(_size, (self._output, self._errors))) > most:
                self._fault = f"it was ended: it printed more than {most} bytes"
                self._stop.set()

    async def _wait_for_end(self, limit: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit):
                await self._ended.wait()

    def _signal(self, number: signal.Signals) -> None:
        """To the whole group. Its number is ours until its first process is reaped."""
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)

    def _answer(self, status: int, timed_out: bool) -> Executed:
        output = ""
        if self._effect.capture and not self._fault:
            assert self._output is not None
            if _size(self._output) > OUTPUT_MAX:
                return self._failed(f"it printed more than {OUTPUT_MAX} bytes", status)
            output = os.pread(self._output.fileno(), OUTPUT_MAX, 0).decode(errors="replace")
        return Executed(self._effect.run, status, output, self._fault, timed_out)

    def _failed(self, error: str, status: int = 127) -> Executed:
        return Executed(self._effect.run, status, "", error)


def _words(command: str, kept: contextlib.ExitStack) -> tuple[list[str], tuple[int, ...]]:
    """How the shell is given a line, and the descriptors that it needs. One argument may have 128 KiB on Linux; a
    longer line, such as an `echo` of a job's output, is read by the shell like a file."""
    line = command.encode("utf-8", "surrogateescape")
    if len(line) <= ARGUMENT_MAX:
        return ["-c", command], ()
    file = kept.enter_context(os.fdopen(os.memfd_create("laulima-line"), "w+b"))
    file.write(line + b"\n")
    file.seek(0)
    return [f"/dev/fd/{file.fileno()}"], (file.fileno(),)


class _Following:
    """One file of output, shown piece by piece; a letter of several bytes is never cut."""

    def __init__(self, file: IO[bytes], show: Callable[[str], None]) -> None:
        self._file = file
        self._show = show
        self._position = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def look(self) -> None:
        size = _size(self._file)
        left_out = size - self._position - SHOWN_MAX
        if left_out > 0:
            self._position += left_out
            self._decoder.reset()
            self._show(f"\n({left_out} bytes are left out)\n")
        piece = os.pread(self._file.fileno(), size - self._position, self._position)
        self._position += len(piece)
        text = self._decoder.decode(piece)
        if text:
            self._show(text)


def _size(file: IO[bytes] | None) -> int:
    return os.fstat(file.fileno()).st_size if file is not None else 0


def _file() -> IO[bytes]:
    """A file without a name; what a line leaves in the background may go on writing to it."""
    return tempfile.TemporaryFile(buffering=0)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        where = f" ({error.filename})" if error.filename else ""
        return f"it cannot be started: {error.strerror}{where}"
    return f"it cannot be started: {error}"
