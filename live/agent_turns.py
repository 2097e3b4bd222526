"""Drives one machine of a host (an Agent, a BatchAgent) in an event loop of its own: many events make one turn, one
turn one batch.

Used by `live/agent_program.py`. (A server drives its machines by `live/loop.py`, which also commits records; an agent
has none: what must survive it is in its keepers' logs.)
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol

from live.clock import boottime_ns, wall_ns
from model.channel import ProtocolError
from model.events import Delivered, WallClock
from model.job import SECOND
from model.uplink import Uplink

WAKE_SECONDS: Final = 5.0
"""The longest sleep of the turns: the loop's own clock stands still while the machine is suspended, a lease doesn't."""
SPIN_SECONDS: Final = 0.001
"""The earliest next turn when the machine says that it is due already."""
WALL_STEP_NS: Final = SECOND // 2
"""A step of the wall clock that the machine is told."""


class HostMachine(Protocol):
    """What is driven here."""

    uplink: Uplink

    def receive(self, event: Any, now: int, /) -> None: ...

    def advance(self, now: int, /) -> None: ...

    def next_due(self) -> int | None: ...

    def drain(self) -> list[Any]: ...


class AgentTurns:
    """See the head of this file. Everything is called in the loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        carry_out: Callable[[Any], None],
        protocol_error: Callable[[ProtocolError], None],
        after_turn: Callable[[], None],
        failed: Callable[[BaseException], None],
        clock: Callable[[], int] = boottime_ns,
    ) -> None:
        """`carry_out` gets every effect. `protocol_error`: the superior said what no superior says. `failed`: a bug;
        nothing is done after it."""
        self._loop = loop
        self._carry_out = carry_out
        self._protocol_error = protocol_error
        self._after_turn = after_turn
        self._failed = failed
        self._clock = clock
        self._agent: HostMachine | None = None
        self._inbox: deque[Any] = deque()
        self._planned = False
        self._timer: asyncio.TimerHandle | None = None
        self._offset_ns: int | None = None
        self._closed = False

    def begin(self, agent: HostMachine) -> None:
        """Drive this machine; what was posted before is delivered in the first turn."""
        self._agent = agent
        self._plan()

    def post(self, event: Any) -> None:
        """An event for the next turn."""
        self._inbox.append(event)
        self._plan()

    def close(self) -> None:
        """No more turns."""
        self._closed = True
        self._inbox.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _plan(self) -> None:
        if not self._planned and not self._closed and self._agent is not None:
            self._planned = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._planned = False
        agent = self._agent
        if self._closed or agent is None:
            return
        try:
            self._settle(agent)
        except Exception as error:  # noqa: BLE001 - a bug of ours: handed to the program, which leaves
            self.close()
            self._failed(error)
            return
        self._after_turn()

    def _settle(self, agent: HostMachine) -> None:
        now = self._clock()
        self._tell_wall_clock(agent, now)
        inbox = self._inbox
        for _ in range(len(inbox)):
            event = inbox.popleft()
            try:
                agent.receive(event, now)
            except ProtocolError as error:
                if not isinstance(event, Delivered):
                    raise
                self._protocol_error(error)
        agent.advance(now)
        for effect in agent.drain():
            self._carry_out(effect)
        if inbox:
            self._plan()
        self._arm(agent.next_due(), now)

    def _tell_wall_clock(self, agent: HostMachine, now: int) -> None:
        offset = wall_ns() - now
        if self._offset_ns is None or abs(offset - self._offset_ns) > WALL_STEP_NS:
            self._offset_ns = offset
            agent.receive(WallClock(offset), now)

    def _arm(self, due: int | None, now: int) -> None:
        """Set the one timer. One that fires before that stays: that costs a turn now and then, not a timer for each."""
        seconds = WAKE_SECONDS if due is None else min(WAKE_SECONDS, max((due - now) / SECOND, SPIN_SECONDS))
        when = self._loop.time() + seconds
        if self._timer is not None:
            if self._timer.when() <= when:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._timer_fired)

    def _timer_fired(self) -> None:
        self._timer = None
        self._plan()
