"""Texts that leave the server: lines for its standard output and errors, and text appended to files, in their order.

Two threads write, one for the two streams and one for files, so that neither a reader that has stopped reading nor a
dead network file system holds the loop. `written` is the barrier: what must begin after a text was written awaits it.

Called by `live/scripts.py`. What else is done with files is in `live/script_files.py`.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import threading
from collections import deque
from collections.abc import Callable

from live.display import clean_lines

WAITING_MAX = 64 << 20
"""Bytes that may wait for one thread; further text is dropped and counted, and that is told."""
CREATED = 0o666
"""Mode of a file that is made, before the user's mask."""

STREAMS = {"standard output": 1, "standard error": 2}
"""Names that are told to people, and descriptors."""

_Item = tuple[str, bytes] | Callable[[], None]


class Texts:
    """Writes in order. Use from the loop's thread only."""

    def __init__(self, loop: asyncio.AbstractEventLoop, mask: int, trouble: Callable[[str], None]) -> None:
        """`mask`: the user's umask. `trouble` gets a sentence when something could not be written: once for each
        target, until it can be written again."""
        self._loop = loop
        self._trouble = trouble
        self._streams = _Writer("laulima-output", lambda target, text: _write_all(STREAMS[target], text), self._told)
        self._files = _Writer("laulima-append", lambda path, text: append(path, text, mask), self._told)
        self._closed = False

    def show(self, stream: str, text: str) -> None:
        """Write to a stream of this process (a name of STREAMS). A terminal obeys none of it."""
        if os.isatty(STREAMS[stream]):
            text = clean_lines(text)
        self._streams.put(stream, text.encode(errors="replace"))

    def append(self, path: str, text: str) -> None:
        """Add to the end of a file, which is made when missing."""
        self._files.put(path, text.encode(errors="replace"))

    async def written(self, limit_seconds: float) -> bool:
        """Wait until all that was given until now is written or has failed; False: not within the limit."""
        waits = [wait for writer in (self._streams, self._files) if (wait := self._barrier(writer)) is not None]
        if not waits:
            return True
        _, late = await asyncio.wait(waits, timeout=limit_seconds)
        for future in late:
            future.cancel()
        return not late

    def _barrier(self, writer: _Writer) -> asyncio.Future[None] | None:
        if writer.is_idle():
            return None
        future: asyncio.Future[None] = self._loop.create_future()
        writer.call(lambda: self._soon(lambda: None if future.done() else future.set_result(None)))
        return future

    def _told(self, sentence: str) -> None:
        self._soon(lambda: self._trouble(sentence))

    def _soon(self, call: Callable[[], object]) -> None:
        """In the loop's thread (called by the writers' threads)."""
        if not self._closed:
            self._loop.call_soon_threadsafe(call)

    async def close(self, limit_seconds: float) -> None:
        """Write what waits, for so long at most; the threads end with it, a stuck one with the process."""
        await self.written(limit_seconds)
        self._closed = True
        self._streams.end()
        self._files.end()


class _Writer:
    """One thread and what waits for it. The thread is started with the first text."""

    def __init__(self, name: str, write: Callable[[str, bytes], None], told: Callable[[str], None]) -> None:
        self._name = name
        self._write = write
        self._told = told
        self._changed = threading.Condition()
        self._waiting: deque[_Item] = deque()
        self._bytes = 0
        self._dropped = 0
        self._busy = False
        self._ended = False
        self._started = False
        self._failing: set[str] = set()

    def put(self, target: str, text: bytes) -> None:
        with self._changed:
            if self._bytes + len(text) > WAITING_MAX:
                self._dropped += len(text)
                return
            self._bytes += len(text)
        self._add((target, text))

    def call(self, done: Callable[[], None]) -> None:
        """Call `done` in the thread when everything before it is over."""
        self._add(done)

    def is_idle(self) -> bool:
        with self._changed:
            return not self._waiting and not self._busy

    def end(self) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify()

    def _add(self, item: _Item) -> None:
        with self._changed:
            self._waiting.append(item)
            if not self._started:
                self._started = True
                threading.Thread(target=self._run, name=self._name, daemon=True).start()
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                while not self._waiting and not self._ended:
                    self._changed.wait()
                if not self._waiting:
                    return
                self._busy = True
                items = list(self._waiting)
                self._waiting.clear()
                dropped, self._dropped = self._dropped, 0
            for target, group in itertools.groupby(items, lambda item: None if callable(item) else item[0]):
                if target is None:
                    for item in group:
                        assert callable(item)
                        item()
                else:
                    self._put_down(target, b"".join(item[1] for item in group if not callable(item)))
            if dropped:
                self._told(f"{dropped} bytes of text were not written: more than {WAITING_MAX >> 20} MiB waited")

    def _put_down(self, target: str, text: bytes) -> None:
        try:
            self._write(target, text)
            self._failing.discard(target)
        except OSError as error:
            if target not in self._failing:
                self._failing.add(target)
                self._told(f"{target} cannot be written: {error.strerror}; what follows is tried, and lost as well")
        finally:
            with self._changed:
                self._bytes -= len(text)


def append(path: str, text: bytes, mask: int) -> None:
    """Add to the end of a file, made with the user's mask when missing. Raises OSError. Blocks as the disk does, but
    never for the reader of a named pipe."""
    descriptor = open_for_writing(path, os.O_APPEND, mask)
    try:
        _write_all(descriptor, text)
    finally:
        os.close(descriptor)


def open_for_writing(path: str, flags: int, mask: int) -> int:
    """A descriptor of a file, made when missing with the mode that the user's mask leaves. (The mask of this process is
    narrower: it guards the state directory.) Raises OSError."""
    flags |= os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        return os.open(path, flags)
    except FileNotFoundError:
        try:
            descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, CREATED)
        except FileExistsError:  # somebody else has just made it
            return os.open(path, flags)
    os.fchmod(descriptor, CREATED & ~mask)
    return descriptor


def _write_all(descriptor: int, text: bytes) -> None:
    view = memoryview(text)
    while view:
        view = view[os.write(descriptor, view) :]
