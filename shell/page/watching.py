"""Looks at the server for all pages that are open, at most twice a second, and not at all while there is none; sends
each page what is new.

One task (`run`) looks; a page is a `Watcher` with a short queue of encoded deltas. One that reads too slowly loses
its queue and gets everything anew, so nobody costs more than that. While the server is away the last state stays, with
its age and the reason. Made by `app.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Protocol

import msgspec

from live.lately import Event, Minute, RunTime
from model.errors import LaulimaError
from model.views import Status
from shell.page.snapshots import EVENTS_MAX, MINUTE_MS, MINUTES, Picture
from shell.wording import clean

LOOK_S = 0.5
"""From one look to the next: the promise is "at most twice a second"."""
QUEUE_MAX = 8
"""Deltas that wait for one page."""
WATCHERS_MAX = 32
"""Pages that are open at one time."""
MINUTES_EVERY = 4
"""Looks from one count of the ends by minute to the next."""
RUN_TIMES_EVERY = 20
EVENTS_AT_ONCE = 200
"""Events of one look; of more only the last ones are shown."""
NS_IN_MS = 1_000_000


class Source(Protocol):
    """See `sources.Server`."""

    async def status(self) -> Status: ...
    async def minutes(self, since_minute: int) -> list[Minute]: ...
    async def run_times(self, since_ns: int) -> dict[str, RunTime]: ...
    async def events(self, after: int, limit: int) -> tuple[list[Event], int]: ...


class Watcher:
    """One open page."""

    def __init__(self) -> None:
        self.queue: deque[bytes] = deque()
        self.woken = asyncio.Event()
        self.behind = True
        """gets everything with the next look"""

    def put(self, line: bytes) -> None:
        if len(self.queue) >= QUEUE_MAX:
            self.queue.clear()
            self.behind = True
            return
        self.queue.append(line)
        self.woken.set()


class Watching:
    """Everything is called in the loop. `clock` is the wall time in ns."""

    def __init__(self, source: Source, clock: Callable[[], int] = time.time_ns) -> None:
        self._source = source
        self._clock = clock
        self._picture = Picture()
        self._watchers: dict[Watcher, None] = {}
        self._wanted = asyncio.Event()
        self._closed = False
        self._looks = 0
        self._has_read = False
        """the journal"""
        self._last_record = 0
        self._run_times: dict[str, RunTime] = {}
        self._trouble = ""
        self._answered_ms: int | None = None

    @property
    def full(self) -> bool:
        """Whether one more page would be too many."""
        return len(self._watchers) >= WATCHERS_MAX

    @property
    def is_looking(self) -> bool:
        """Whether the server is asked."""
        return self._wanted.is_set()

    async def run(self) -> None:
        """Look while somebody watches, until cancelled."""
        while True:
            await self._wanted.wait()
            began = time.monotonic()
            await self.look()
            if not self._watchers:
                self._wanted.clear()
            await asyncio.sleep(max(0.0, LOOK_S - (time.monotonic() - began)))

    def close(self) -> None:
        """End all pages' streams."""
        self._closed = True
        for watcher in self._watchers:
            watcher.woken.set()

    async def look(self) -> None:
        """Ask once, and send what is new to everybody."""
        unread = await self._ask_journal()
        self._trouble = await self._ask_server() or unread
        self._looks += 1
        head = {
            "now": self._clock() // NS_IN_MS,
            "answered": self._answered_ms,
            "trouble": self._trouble,
            "simulated": False,
        }
        whole: bytes | None = None
        line = encoded({**head, **self._picture.delta()})
        for watcher in self._watchers:
            if watcher.behind:
                whole = whole or encoded({**head, **self._picture.full()})
                watcher.behind = False
                watcher.put(whole)
            else:
                watcher.put(line)

    async def _ask_server(self) -> str:
        """Why it did not answer; empty: it did."""
        try:
            status = await self._source.status()
        except LaulimaError as error:
            return clean(str(error))
        now_ms = self._answered_ms = self._clock() // NS_IN_MS
        self._picture.put_status(status, self._run_times, now_ms)
        return ""

    async def _ask_journal(self) -> str:
        """It is there also while the server is not. Why it cannot be read; empty: it can."""
        now_ns = self._clock()
        now_ms, first = now_ns // NS_IN_MS, not self._has_read
        try:
            if first or self._looks % MINUTES_EVERY == 0:
                since = now_ms // MINUTE_MS - (MINUTES if first else 1)
                self._picture.put_minutes(await self._source.minutes(since), now_ms)
            if first or self._looks % RUN_TIMES_EVERY == 0:
                self._run_times = await self._source.run_times(now_ns - MINUTES * MINUTE_MS * NS_IN_MS)
            most = EVENTS_MAX if first else EVENTS_AT_ONCE
            events, self._last_record = await self._source.events(self._last_record, most)
        except LaulimaError as error:
            return clean(str(error))
        self._picture.put_events(events)
        self._has_read = True
        return ""

    @contextlib.contextmanager
    def _watched(self) -> Iterator[Watcher]:
        watcher = Watcher()
        self._watchers[watcher] = None
        self._wanted.set()
        try:
            yield watcher
        finally:
            del self._watchers[watcher]

    async def stream(self) -> AsyncIterator[bytes]:
        """The lines of one page's event stream, for as long as it is open."""
        with self._watched() as watcher:
            while not self._closed:
                await watcher.woken.wait()
                watcher.woken.clear()
                while watcher.queue:
                    yield watcher.queue.popleft()


def encoded(delta: dict[str, Any]) -> bytes:
    """A delta as one event of `text/event-stream`."""
    return b"data: " + msgspec.json.encode(delta) + b"\n\n"
