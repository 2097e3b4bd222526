"""Where items come from: a glob over files, the lines that a command prints; and how commands of the server are run.

All of it runs in errands (threads with deadlines), never in the loop. Called by `live/server.py`; answers are events
for the scheduler. What becomes of items is the scheduler's business. `live/notifying.py` runs its commands with
`run_bounded`, too.

The end of a stream of files: a feeder that is still at work keeps a file named `.feeding` in the folder that the
pattern begins with; while it is there, `run --until-idle` waits for more. (Hidden files are never items.)
"""

from __future__ import annotations

import asyncio
import contextlib
import glob
import os
import selectors
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from live.clock import monotonic_ns, wall_ns
from live.errands import Errands
from live.file_patterns import matching
from model.effects import AskSource
from model.errors import LaulimaError
from model.events import SourceAnswered
from model.job import SECOND
from model.task import FilesSource, LinesSource

ITEMS_MAX = 1_000_000
"""Items of one answer at most; a source with more is an error, not a flood."""
OUTPUT_MAX = 64 << 20
"""Bytes that a lines command may print."""
FEEDING = ".feeding"
"""Name of the file that says: more files will come."""
_KEPT_VARIABLES = ("PATH", "HOME", "LANG", "TZ", "USER", "TMPDIR")


class SourceError(LaulimaError):
    """A source could not be asked."""


class Looked(NamedTuple):
    """What a source has now. `trouble`: what of it cannot be given; the rest is."""

    items: tuple[str, ...]
    trouble: str = ""


class _Folder:
    """What a pattern gave when its folder last looked like this (for patterns whose only wildcard is the last part)."""

    __slots__ = ("looked", "stamp")

    def __init__(self, stamp: tuple[int, int, int], looked: Looked) -> None:
        self.stamp = stamp
        self.looked = looked


class Sources:
    """Answers `AskSource`. Relative patterns and commands start in `directory`."""

    def __init__(self, directory: Path, errands: Errands) -> None:
        self._directory = directory
        self._errands = errands
        self._folders: dict[str, _Folder] = {}
        self._devices: dict[str, int] = {}
        """by pattern: the file system on which something matched last"""
        self._inside: set[str] = set()
        """tasks at whose source a thread looks, whether anybody waits for it or not"""

    def ask(self, question: AskSource) -> asyncio.Future[Looked]:
        """Begin to look for the items that the source has now; `answered` says what came of it. (A future and no
        coroutine: a task for each look would cost more than the look.)"""
        task, source = question.task, question.source
        if task in self._inside:
            return _refused("the last look at its source has not come back")
        if not isinstance(source, FilesSource | LinesSource):
            return _refused("a source of this kind is not asked")
        limit = question.limit_ns / SECOND
        return self._errands.run(lambda: self._look(source, limit, task), limit + 1.0)

    def _look(self, source: FilesSource | LinesSource, limit_seconds: float, task: str) -> Looked:
        self._inside.add(task)
        try:
            if isinstance(source, FilesSource):
                return self._files(source.pattern)
            return Looked(lines_of(source.command, self._directory, limit_seconds))
        finally:
            self._inside.discard(task)

    def _files(self, pattern: str) -> Looked:
        """The paths that match, sorted. A folder whose times did not change since it was last read is not read again;
        its times are trusted only once they are older than the clock's step of the file system (2 s)."""
        folder, name = os.path.split(pattern)
        if glob.has_magic(folder) or "**" in name:
            return self._read(pattern, _device(self._directory / _fixed(pattern)))
        try:
            found = os.stat(self._directory / folder)
        except FileNotFoundError:
            return self._believed(pattern, Looked(()), _device(self._directory / folder))
        stamp = (found.st_dev, found.st_mtime_ns, found.st_ino)
        known = self._folders.get(pattern)
        if known is not None and known.stamp == stamp:
            return self._believed(pattern, known.looked, found.st_dev)
        looked = self._read(pattern, found.st_dev)
        if _settled(found.st_mtime_ns):
            self._folders[pattern] = _Folder(stamp, looked)
        else:
            self._folders.pop(pattern, None)
        return looked

    def _read(self, pattern: str, device: int) -> Looked:
        looked = _checked(matching(pattern, self._directory))
        if not looked.items:  # what was mounted meanwhile, or is not any more, says nothing
            self._believed(pattern, looked, _device(self._directory / _fixed(pattern)))
        return self._believed(pattern, looked, device)

    def _believed(self, pattern: str, looked: Looked, device: int) -> Looked:
        """Where nothing matches on another file system than when something did, that one is not mounted: believed, it
        would make every file a new one when it is back."""
        if looked.items:
            self._devices[pattern] = device
        elif self._devices.get(pattern, device) != device:
            folder = _fixed(pattern) or "."
            raise SourceError(
                f"nothing matches, and {folder} is on another file system than when something did: is that one mounted?"
            )
        return looked


def _refused(text: str) -> asyncio.Future[Looked]:
    future: asyncio.Future[Looked] = asyncio.get_running_loop().create_future()
    future.set_exception(SourceError(text))
    return future


def answered(question: AskSource, looked: asyncio.Future[Looked]) -> SourceAnswered:
    """What a look that is over has found, or why the source could not be asked. Raises what is a bug of ours."""
    error = looked.exception()
    if error is None:
        found = looked.result()
        return SourceAnswered(question.task, question.number, found.items, found.trouble)
    if isinstance(error, LaulimaError):
        text = str(error)
    elif isinstance(error, OSError):
        text = f"{error.filename or ''}: {error.strerror or error}".lstrip(": ")
    else:
        raise error
    return SourceAnswered(question.task, question.number, error=text)


def _fixed(pattern: str) -> str:
    """The folder of a pattern, up to its first wildcard."""
    folder = os.path.dirname(pattern)
    while glob.has_magic(folder):
        folder = os.path.dirname(folder)
    return folder


def _device(folder: Path) -> int:
    """The file system on which a folder is, or would be."""
    while True:
        try:
            return os.stat(folder).st_dev
        except (FileNotFoundError, NotADirectoryError):
            folder = folder.parent


def _settled(modified_ns: int) -> bool:
    """Whether the folder was last changed so long ago that a later change must show in its times."""
    return abs(wall_ns() - modified_ns) > 2 * SECOND


def _checked(paths: list[str]) -> Looked:
    if len(paths) > ITEMS_MAX:
        raise SourceError(f"more than {ITEMS_MAX} files match", "move away what is done, or make the pattern narrower")
    items, others = [], []
    for path in paths:
        try:
            path.encode()
            items.append(path)
        except UnicodeEncodeError:
            others.append(path)
    if not others:
        return Looked(tuple(sorted(items)))
    more = f", nor are those of {len(others) - 1} more" if len(others) > 1 else ""
    text = f"the file name {min(others)!r} is not valid UTF-8{more}: such files are no items, rename them"
    return Looked(tuple(sorted(items)), text)


def feeding(pattern: str, directory: Path) -> bool:
    """Whether a feeder says that more files will come for this pattern."""
    return (directory / _fixed(pattern) / FEEDING).exists()


def lines_of(command: tuple[str, ...], directory: Path, limit_seconds: float) -> tuple[str, ...]:
    """The lines that `command` prints: empty ones skipped, each once, in order. Raises SourceError when it fails, takes
    longer than `limit_seconds` (its process group is killed) or prints more than OUTPUT_MAX bytes."""
    code, output = run_bounded(command, directory, b"", limit_seconds)
    if code != 0:
        how = ending_text(code)
        raise SourceError(f"`{command[0]}` ended with {how}", "run it by hand in the configuration's folder")
    try:
        text = output.decode()
    except UnicodeDecodeError:
        raise SourceError(f"`{command[0]}` printed what is not UTF-8 text", "let it print one item a line") from None
    items = tuple(dict.fromkeys(line for line in text.split("\n") if line.strip()))
    if len(items) > ITEMS_MAX:
        raise SourceError(f"`{command[0]}` printed more than {ITEMS_MAX} lines", "let it print what is new only")
    return items


def ending_text(code: int) -> str:
    """How a command ended, for people."""
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def environment() -> Mapping[str, str]:
    """The small environment that commands of the server get, built, not inherited."""
    return {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}


def run_bounded(
    command: tuple[str, ...], directory: Path, stdin: bytes, limit_seconds: float, *, errors: bool = False
) -> tuple[int, bytes]:
    """Run a command of the server to its end, in its own process group; its exit status (negative: signal) and output,
    with `errors` also what it printed as such.

    Blocks. Raises SourceError when it cannot start, takes too long or prints too much; then its group is killed.
    """
    if len(stdin) > 65536:
        raise SourceError("more than 65536 bytes for the standard input of a command")
    try:
        process = subprocess.Popen(  # noqa: S603 - an argument vector of the configuration, no shell
            command, cwd=directory, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if errors else subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise SourceError(f"`{command[0]}` cannot be started: {error.strerror}", "check the command") from error
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(stdin)
            process.stdin.close()
        output = _read_all(process.stdout.fileno(), command[0], limit_seconds)
        code = process.wait(timeout=limit_seconds)
    except subprocess.TimeoutExpired:
        raise SourceError(f"`{command[0]}` closed its output and did not end", "it was killed") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
    return code, output


def _read_all(descriptor: int, name: str, limit_seconds: float) -> bytes:
    deadline = monotonic_ns() + int(limit_seconds * SECOND)
    parts: list[bytes] = []
    size = 0
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while True:
            left = (deadline - monotonic_ns()) / SECOND
            if left <= 0 or not selector.select(left):
                raise SourceError(f"`{name}` gave no answer within {limit_seconds:g} s and was killed")
            part = os.read(descriptor, 1 << 16)
            if not part:
                return b"".join(parts)
            size += len(part)
            if size > OUTPUT_MAX:
                raise SourceError(f"`{name}` printed more than {OUTPUT_MAX >> 20} MiB and was killed")
            parts.append(part)
