"""Errands: slow calls that run in a few daemon threads, each with a deadline, so that no slow disk or command can hold
the loop or the server's exit.

A call that hangs (a dead network file system) cannot be ended; its errand is answered with an error at the deadline
and its thread is counted as stuck until it comes back. Called by `live/sources.py` and `live/control.py`.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from model.errors import LaulimaError

THREADS_MAX = 32
"""Threads at most, stuck ones included."""
WAITING_MAX = 10_000
"""Errands that may wait for a thread; one more is answered with an error at once."""
COMPANY_SECONDS = 0.002
"""How often errands that were given in company are tended: their results brought to the loop together, and one more
thread set to those that still wait. A look takes some 10 us, so one thread does a hundred of them in one go; were each
given a thread, and each result brought alone, they would spend more on Python's lock than on the looks."""


class ErrandError(LaulimaError):
    """The errand was not done: no thread was free, or its deadline passed."""


class Errands:
    """Runs calls in daemon threads and brings their results back to the loop. Use from the loop's thread only."""

    def __init__(self, loop: asyncio.AbstractEventLoop, threads_max: int = THREADS_MAX) -> None:
        self._loop = loop
        self._threads_max = threads_max
        self._threads = 0
        self._idle = 0
        self._closed = False
        self._tending = False
        """the loop collects what is done by and by, so nobody has to wake it"""
        self._changed = threading.Condition()
        self._waiting: deque[tuple[asyncio.Future[Any], Callable[[], Any]]] = deque()
        self._done: deque[tuple[asyncio.Future[Any], Any, BaseException | None]] = deque()

    def run(self, call: Callable[[], Any], limit_seconds: float) -> asyncio.Future[Any]:
        """Do `call()` in a thread; the future fails with ErrandError when it has not ended after `limit_seconds`."""
        future: asyncio.Future[Any] = self._loop.create_future()
        with self._changed:
            if self._closed or len(self._waiting) >= WAITING_MAX:
                future.set_exception(ErrandError("too many slow look-ups wait already", "a disk or command hangs"))
                return future
            self._waiting.append((future, call))
            if len(self._waiting) == 1:
                self._set_one_to_work()
            elif not self._tending:
                self._tending = True
                self._loop.call_later(COMPANY_SECONDS, self._tend)
        late = self._loop.call_later(limit_seconds, self._give_up, future, limit_seconds)
        future.add_done_callback(lambda _: late.cancel())
        return future

    def _set_one_to_work(self) -> None:
        if self._idle:
            self._changed.notify()
        elif self._threads < self._threads_max:
            self._threads += 1
            threading.Thread(target=self._work, name="laulima-errand", daemon=True).start()

    def _tend(self) -> None:
        with self._changed:
            self._tending = bool(self._waiting)
            if self._tending:  # who is at work may be held up
                self._set_one_to_work()
                self._loop.call_later(COMPANY_SECONDS, self._tend)
        self._collect()

    def close(self) -> None:
        """Take no more; idle threads end, a stuck one dies with the process."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify_all()

    @staticmethod
    def _give_up(future: asyncio.Future[Any], limit_seconds: float) -> None:
        if not future.done():
            future.set_exception(ErrandError(f"no answer within {limit_seconds:g} s", "a disk or command hangs"))

    def _work(self) -> None:
        while True:
            with self._changed:
                self._idle += 1
                while not self._waiting and not self._closed:
                    self._changed.wait()
                self._idle -= 1
                if self._closed:
                    self._threads -= 1
                    return
                future, call = self._waiting.popleft()
            if future.done():
                continue
            try:
                result, error = call(), None
            except Exception as failure:  # noqa: BLE001 - handed to whoever asked, nothing is swallowed
                result, error = None, failure
            self._bring((future, result, error))
            del future, call, result, error  # an idle thread would keep them: a source's answer may be large

    def _bring(self, outcome: tuple[asyncio.Future[Any], Any, BaseException | None]) -> None:
        with self._changed:
            first = not self._done
            self._done.append(outcome)
            if first and not self._tending and not self._closed:
                self._loop.call_soon_threadsafe(self._collect)

    def _collect(self) -> None:
        with self._changed:
            done = list(self._done)
            self._done.clear()
        for future, result, error in done:
            if future.done():
                continue
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)
