"""How attempts of each task ended in the last hour, for `status`: counted from the journal, minute by minute.

Each count takes what ended since the one before, at most once a second and beside the loop. The first one of a server
with a long hour behind it may take long: until it is there, nothing is said.
Made and called by `live/requests.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from live.clock import monotonic_ns, wall_ns
from live.lately import MINUTE_NS, Lately, Minute
from model.errors import LaulimaError
from model.job import SECOND
from model.views import TaskRow

MINUTES = 60
PART_MINUTES = 5
"""Of the hour's course; it has twelve parts."""
AGAIN_NS = SECOND
"""How old a count may be that is told."""
WAIT_SECONDS = 0.05
"""How long an answer waits for a count."""


class LastHour:
    """Everything is called in the loop. `past` asks the history beside it."""

    def __init__(self, journal: Path, past: Callable[[Callable[[], Any]], Awaitable[Any]]) -> None:
        self._lately = Lately(journal)
        self._past = past
        self._counts: dict[tuple[int, str], list[int]] = {}
        """(minute since 1970, task): how many ended well, and how many did not"""
        self._counted_to: int | None = None
        """up to this moment (wall time, ns); None: nothing was counted"""
        self._counted_ns = 0
        self._counting: asyncio.Task[None] | None = None

    async def lay(self, rows: Sequence[TaskRow]) -> tuple[TaskRow, ...]:
        """The rows with what is known of the last hour."""
        if self._counting is None and (self._counted_to is None or monotonic_ns() - self._counted_ns > AGAIN_NS):
            self._counting = asyncio.create_task(self._count())
        if self._counting is not None:
            await asyncio.wait([self._counting], timeout=WAIT_SECONDS)
        if self._counted_to is None:
            return tuple(rows)
        now = wall_ns() // MINUTE_NS
        return tuple(self._with_counts(row, now) for row in rows)

    async def _count(self) -> None:
        try:
            now = wall_ns()
            if self._counted_to is not None and self._counted_to > now + MINUTE_NS:  # the clock was set back
                self._counts.clear()
                self._counted_to = None
            since = now - MINUTES * MINUTE_NS if self._counted_to is None else self._counted_to
            try:
                found: tuple[list[Minute], int] = await self._past(lambda: self._lately.ends_after(since))
            except LaulimaError:
                return  # not counted, which is told; why the journal cannot be read, `history` says
            for each in found[0]:
                counts = self._counts.setdefault((each.minute, each.task), [0, 0])
                counts[each.outcome != "well"] += each.count
            for key in [key for key in self._counts if key[0] < now // MINUTE_NS - MINUTES]:
                del self._counts[key]
            self._counted_to, self._counted_ns = found[1], monotonic_ns()
        finally:
            self._counting = None

    def _with_counts(self, row: TaskRow, now: int) -> TaskRow:
        begin = now - MINUTES + 1
        course = [0] * (MINUTES // PART_MINUTES)
        done = failed = 0
        for minute in range(begin, now + 1):
            well, bad = self._counts.get((minute, row.name), (0, 0))
            done, failed = done + well, failed + bad
            course[(minute - begin) // PART_MINUTES] += well + bad
        return replace(row, done_1h=done, failed_1h=failed, course_1h=tuple(course))
