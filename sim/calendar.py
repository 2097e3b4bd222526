"""The calendar: what happens at each time, by priorities, in order; SimPy's environment, used through call-backs only.

What happens at one instant has this order (docs/architecture.md, part 3): faults, ends, replies, then each machine's
turn, in which timeouts come before polls and polls before submits; the controller, which matches, has its turn last.
State stays in machines and modelled things: no generator, no process, no event for anything that is idle.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any, Protocol

import simpy
from msgspec import Struct
from simpy.core import Infinity, SimTime, StopSimulation

FAULT = 1
END = 2
REPLY = 3
TURN = 4
MATCH = 5

LAST = 6

PRIORITY_BITS = 3
"""A time and a priority are one number: the priority is in its lowest bits."""

NEVER = 1 << 80
"""ns: later than everything"""


class Happening(Protocol):
    """What may stand in the calendar: whatever happens is itself there, a process as its own end, a node as its next
    turn. (SimPy's events have a dictionary, a value and a list of functions to call.)"""

    def happens(self) -> None:
        """Its time has come."""


class Call(Struct, eq=False):
    """A function that is called: for what is rare."""

    function: Callable[[], None]

    def happens(self) -> None:
        self.function()


class Calendar(simpy.Environment):
    """The true time, and what is to happen.

    SimPy's heap has an entry for each event, with an order of its own. Here much happens at one time (what ten thousand
    hosts were told at once ends at once), so the heap has a number for each time and priority, and what happens then
    stands in the order in which it came: the same order, without a comparison for each. A step is SimPy's own, less
    what only its processes and failing events need.
    """

    now: int = 0  # an attribute: SimPy's property is asked a dozen times for each event
    """true time, ns since the start"""

    def __init__(self, until_ns: int) -> None:
        super().__init__(initial_time=0)
        self.until_ns = until_ns
        """the end of the simulation: nothing at or after it happens"""
        self.moments: list[int] = []
        """a heap of times with their priorities, each once; only to look at"""
        self._at: dict[int, Happening | deque[Happening]] = {}
        """what happens then, one or several"""

    def step(self) -> None:
        """Let the next thing happen, and what stands behind it at the same moment, unless something comes in between.
        An error in it ends the simulation."""
        moments = self.moments
        moment = moments[0]
        self.now = moment >> PRIORITY_BITS
        happening = self._at.pop(moment)
        if type(happening) is not deque:
            heappop(moments)
            happening.happens()  # type: ignore[union-attr]
            return
        several = self._at[moment] = happening  # until the last of them
        while moments[0] == moment:
            happening = several.popleft()
            last = not several
            if last:
                heappop(moments)
                del self._at[moment]
            happening.happens()
            if last:
                return

    def at(self, when_ns: int, priority: int, happening: Happening) -> None:
        """Let it happen then: now or later."""
        moment = when_ns << PRIORITY_BITS | priority
        known = self._at.get(moment)
        if known is None:
            self._at[moment] = happening
            heappush(self.moments, moment)
        elif type(known) is deque:
            known.append(happening)
        else:
            self._at[moment] = deque((known, happening))  # type: ignore[arg-type]

    def after(self, delay_ns: int, priority: int, happening: Happening) -> None:
        """Let it happen `delay_ns` from now (0: at this instant, in the order of priorities)."""
        self.at(self.now + delay_ns, priority, happening)

    def schedule(self, event: simpy.Event, priority: int = 1, delay: SimTime = 0) -> None:
        """SimPy's own events stand in the same calendar: the ends of its runs."""
        self.at(self.now + int(delay), priority, Call(lambda: _call_back(event)))

    def peek(self) -> SimTime:
        """When the next thing happens."""
        return self.moments[0] >> PRIORITY_BITS if self.moments else Infinity

    def call_after(self, delay_ns: int, priority: int, function: Callable[[], None]) -> None:
        """Call `function` then (for what is rare: faults, connections)."""
        self.after(delay_ns, priority, Call(function))

    def run_to_end(self, piece_ns: int = 0, pause: Callable[[], None] | None = None) -> None:
        """Let everything happen, until the end; `pause` is called after each `piece_ns`, between two events."""
        while self.now < self.until_ns:
            stop = min(self.until_ns, (self.now // piece_ns + 1) * piece_ns) if piece_ns else self.until_ns
            self.run(until=stop)
            if self.now < stop:
                break  # something has ended it
            if pause is not None and stop < self.until_ns:
                pause()
        self.moments.clear()
        self._at.clear()  # a word that is still under way refers to the world, and the collector does not see it

    def __getstate__(self) -> tuple[Any, ...]:
        return self.now, self.until_ns, self.moments, self._at

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        now, self.until_ns, self.moments, self._at = state
        super().__init__(initial_time=now)
        self.now = now

    def end(self) -> None:
        """Nothing happens any more after this instant."""
        self.after(0, LAST, Call(_stop))


def _call_back(event: simpy.Event) -> None:
    for callback in event.callbacks:
        callback(event)


def _stop() -> None:
    raise StopSimulation(None)


class Alarm:
    """The one wake-up of a machine, moved lazily: a later one stays where it is, and asks again when it rings."""

    __slots__ = ("_calendar", "_priority", "_ring", "at")

    def __init__(self, calendar: Calendar, priority: int, ring: Callable[[], None]) -> None:
        self._calendar = calendar
        self._priority = priority
        self._ring = ring
        self.at = NEVER
        """when it rings"""

    def want(self, when_ns: int) -> None:
        """Ring at true time `when_ns`, which is not past, unless it rings before anyway."""
        calendar = self._calendar
        if self.at <= when_ns or when_ns >= calendar.until_ns:
            return
        self.at = when_ns
        calendar.at(when_ns, self._priority, self)

    def happens(self) -> None:
        """It rings, if it was not moved."""
        if self.at == self._calendar.now:
            self.at = NEVER
            self._ring()
