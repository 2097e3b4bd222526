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

from live.clock import monotonic_ns
from model.errors import LaulimaError
from model.job import SECOND
from model.timers import NEVER_NS, Deadlines

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


class _Errand:
    """One call, and who waits for its result."""

    __slots__ = ("call", "due_ns", "future", "limit_ns")

    def __init__(self, future: asyncio.Future[Any], call: Callable[[], Any], limit_seconds: float) -> None:
        self.future: asyncio.Future[Any] | None = future
        """None: it was answered or given up (what is in it may be large, and an errand is kept for a while)"""
        self.call = call
        self.limit_ns = int(limit_seconds * SECOND)
        self.due_ns = monotonic_ns() + self.limit_ns

    @property
    def is_wanted(self) -> bool:
        """Whether somebody still waits."""
        future = self.future
        return future is not None and not future.done()

    def deadline(self) -> int | None:
        """When it is given up (ns); None: nobody waits any more."""
        return None if self.future is None else self.due_ns


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
        self._waiting: deque[_Errand] = deque()
        self._done: deque[tuple[_Errand, Any, BaseException | None]] = deque()
        self._deadlines: Deadlines[_Errand] = Deadlines(_Errand.deadline)
        """one timer for all: nearly none is ever given up"""
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ns = NEVER_NS
        """when it goes off"""

    def run(self, call: Callable[[], Any], limit_seconds: float) -> asyncio.Future[Any]:
        """Do `call()` in a thread; the future fails with ErrandError when it has not ended after `limit_seconds`."""
        future: asyncio.Future[Any] = self._loop.create_future()
        with self._changed:
            if self._closed or len(self._waiting) >= WAITING_MAX:
                future.set_exception(ErrandError("too many slow look-ups wait already", "a disk or command hangs"))
                return future
            errand = _Errand(future, call, limit_seconds)
            self._waiting.append(errand)
            if len(self._waiting) == 1:
                self._set_one_to_work()
            elif not self._tending:
                self._tending = True
                self._loop.call_later(COMPANY_SECONDS, self._tend)
        self._deadlines.set(errand, errand.limit_ns, errand.due_ns)
        self._arm()
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

    def _arm(self) -> None:
        """Set the timer to the first deadline; one that goes off before it stays."""
        due_ns = self._deadlines.first
        if due_ns >= self._timer_ns:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_ns = due_ns
        self._timer = self._loop.call_later(max(0, due_ns - monotonic_ns()) / SECOND, self._give_up)

    def _give_up(self) -> None:
        self._timer, self._timer_ns = None, NEVER_NS
        for errand in self._deadlines.take(monotonic_ns()):
            future, errand.future = errand.future, None
            if future is not None and not future.done():
                text = f"no answer within {errand.limit_ns / SECOND:g} s"
                future.set_exception(ErrandError(text, "a disk or command hangs"))
        self._arm()

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
                errand = self._waiting.popleft()
            if not errand.is_wanted:
                continue
            try:
                result, error = errand.call(), None
            except Exception as failure:  # noqa: BLE001 - handed to whoever asked, nothing is swallowed
                result, error = None, failure
            self._bring((errand, result, error))
            del errand, result, error  # an idle thread would keep them: a source's answer may be large

    def _bring(self, outcome: tuple[_Errand, Any, BaseException | None]) -> None:
        with self._changed:
            first = not self._done
            self._done.append(outcome)
            if first and not self._tending and not self._closed:
                self._loop.call_soon_threadsafe(self._collect)

    def _collect(self) -> None:
        with self._changed:
            done = list(self._done)
            self._done.clear()
        for errand, result, error in done:
            future, errand.future = errand.future, None
            if future is None:
                continue
            self._deadlines.cancel(errand, errand.limit_ns)
            if future.done():
                continue
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)
