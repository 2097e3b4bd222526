"""Looks whether files are visible, beside the loop: a network file system may hang for hours, the loop may not.

Called by `live/agent_host.py` for each `Look` effect; answers with `FilesSeen`. A few daemon threads at most wait on a
dead file system; further looks queue behind them and are answered "not visible" when LIMIT_SECONDS have passed.
Whether and when to look again is the machine's business.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Final

from model.effects import Look
from model.events import FilesSeen

THREADS_MAX: Final = 4
LIMIT_SECONDS: Final = 10.0
"""A look that is not answered by then is answered "not visible"."""


def first_missing(paths: tuple[str, ...], directory: Path) -> str | None:
    """The first path that is not visible from here, or None. Blocks for as long as the file system does.

    Each parent directory is listed first: that makes an NFS client ask its server again instead of its cache.
    """
    listed: set[Path] = set()
    for name in paths:
        path = directory / name
        if path.parent not in listed:
            listed.add(path.parent)
            with suppress(OSError):  # a directory that is not there yet makes its files missing, below
                os.listdir(path.parent)
        try:
            os.stat(path)
        except OSError:
            return name
    return None


class Looks:
    """Carries out looks; `answer(FilesSeen)` is called in the loop, once for each."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        directory: Path,
        answer: Callable[[FilesSeen], None],
        find: Callable[[tuple[str, ...], Path], str | None] = first_missing,
    ) -> None:
        """`directory`: where relative paths start if the look names no directory. `find`: see `first_missing`."""
        self._loop = loop
        self._directory = directory
        self._answer = answer
        self._find = find
        self._queue: SimpleQueue[tuple[int, Look] | None] = SimpleQueue()
        self._threads = 0
        self._number = 0
        self._open: dict[int, tuple[Look, asyncio.TimerHandle]] = {}

    def look(self, look: Look) -> None:
        """Begin one; never blocks."""
        self._number += 1
        timer = self._loop.call_later(LIMIT_SECONDS, self._late, self._number)
        self._open[self._number] = (look, timer)
        if self._threads < min(THREADS_MAX, len(self._open)):
            self._threads += 1
            Thread(target=self._work, name=f"look-{self._threads}", daemon=True).start()
        self._queue.put((self._number, look))

    def close(self) -> None:
        """Answer nothing any more, and let idle threads go; one that hangs in the kernel is left to it."""
        for _, timer in self._open.values():
            timer.cancel()
        self._open.clear()
        for _ in range(self._threads):
            self._queue.put(None)
        self._threads = 0

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            number, look = item
            if number not in self._open:
                continue  # it was answered "not visible" while it waited here
            missing = self._find(look.paths, self._directory / (look.directory or "."))
            with suppress(RuntimeError):  # the loop is closed: nobody waits for the answer any more
                self._loop.call_soon_threadsafe(self._seen, number, missing)

    def _seen(self, number: int, missing: str | None) -> None:
        open_look = self._open.pop(number, None)
        if open_look is not None:
            look, timer = open_look
            timer.cancel()
            self._answer(FilesSeen(look.job, look.attempt, missing))

    def _late(self, number: int) -> None:
        look, _ = self._open.pop(number)
        first = look.paths[0] if look.paths else ""
        self._answer(FilesSeen(look.job, look.attempt, f"{first} (the file system did not answer)"))
