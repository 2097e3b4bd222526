"""A keeper's end of the socket to its agent: one agent at a time, the newest. Nothing here blocks.

Who connects is a stranger until its first frame is a correct one; only then does it replace the agent that was there.
So a process that connects and says nothing, or rubbish, disturbs nobody. A process of another user is never heard.

Called by `keeper_process.py`. What the orders mean is the machine's.
"""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Callable, Sequence

from live.accepting import peer_user
from live.clock import boottime_ns
from live.keeper_frames import BACKLOG_MAX, FRAME_MAX, GREETING_MAX, FrameError, frame_messages, orders_frames
from model.job import SECOND
from model.keeper import KeeperMessage, Order

RECEIVE_MAX = 1 << 18
"""Bytes that are read in one go."""
STRANGERS_MAX = 8
"""Connections that have said nothing yet; with one more the oldest is closed."""
STRANGER_NS = 10 * SECOND
"""How long a connection may say nothing."""
REST_NS = SECOND
"""Pause after a connection could not be accepted (no descriptor, no memory)."""


class Readiness:
    """An epoll whose descriptors each have a handler, called with the mask."""

    def __init__(self) -> None:
        self.epoll = select.epoll()
        self._handlers: dict[int, Callable[[int], None]] = {}

    def watch(self, descriptor: int, handler: Callable[[int], None]) -> None:
        self._handlers[descriptor] = handler
        self.epoll.register(descriptor, select.EPOLLIN)

    def unwatch(self, descriptor: int) -> None:
        del self._handlers[descriptor]
        self.epoll.unregister(descriptor)

    def handle(self, descriptor: int, mask: int) -> None:
        handler = self._handlers.get(descriptor)
        if handler is not None:  # an event before this one may have closed it
            handler(mask)


class _Stranger:
    """A connection that has not said anything yet."""

    __slots__ = ("connection", "frames", "until_ns")

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.frames = orders_frames(GREETING_MAX)
        self.until_ns = boottime_ns() + STRANGER_NS


class AgentLink:
    """What comes is collected in `orders`: (when it was said on CLOCK_BOOTTIME, order)."""

    def __init__(self, listener: socket.socket, readiness: Readiness) -> None:
        listener.setblocking(False)
        self.orders: list[tuple[int, Order]] = []
        self.unattended_ns = boottime_ns()
        """since when no agent is connected"""
        self._listener = listener
        self._readiness = readiness
        self._agent: socket.socket | None = None
        self._frames = orders_frames(FRAME_MAX)
        self._out = bytearray()
        self._strangers: list[_Stranger] = []
        """the oldest first"""
        self._rest_until_ns: int | None = None
        readiness.watch(listener.fileno(), self._accept)

    @property
    def is_open(self) -> bool:
        return self._agent is not None

    @property
    def has_unsent(self) -> bool:
        return bool(self._out)

    def say(self, messages: Sequence[KeeperMessage]) -> None:
        """Without an agent it is dropped: the next one asks for everything. A frame that is too long is divided; one
        message that is too long (tens of thousands of attempts held) raises FrameError."""
        if self._agent is None or not messages:
            return
        try:
            self._out += frame_messages(messages)
        except FrameError:
            if len(messages) == 1:
                raise
            half = len(messages) // 2
            self.say(messages[:half])
            self.say(messages[half:])
            return
        self._send()

    # time

    def next_due(self) -> int | None:
        """When `advance` wants to be called (ns)."""
        dues = [self._strangers[0].until_ns] if self._strangers else []
        if self._rest_until_ns is not None:
            dues.append(self._rest_until_ns)
        return min(dues, default=None)

    def advance(self, now: int) -> None:
        """Close who has said nothing in time; accept again after a pause."""
        while self._strangers and now >= self._strangers[0].until_ns:
            self._drop(self._strangers[0])
        if self._rest_until_ns is not None and now >= self._rest_until_ns:
            self._rest_until_ns = None
            self._readiness.watch(self._listener.fileno(), self._accept)

    # strangers

    def _accept(self, _mask: int) -> None:
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError:  # no room now: what runs here matters more than who calls
            self._readiness.unwatch(self._listener.fileno())
            self._rest_until_ns = boottime_ns() + REST_NS
            return
        if peer_user(connection) != os.geteuid():
            connection.close()
            return
        connection.setblocking(False)
        stranger = _Stranger(connection)
        try:
            connection.send(frame_messages([]))  # a greeting: somebody lives here, not just a socket left behind
        except OSError:
            connection.close()
            return
        if len(self._strangers) >= STRANGERS_MAX:
            self._drop(self._strangers[0])
        self._strangers.append(stranger)
        self._readiness.watch(connection.fileno(), lambda _mask: self._stranger_said(stranger))

    def _drop(self, stranger: _Stranger) -> None:
        self._strangers.remove(stranger)
        self._readiness.unwatch(stranger.connection.fileno())
        stranger.connection.close()

    def _stranger_said(self, stranger: _Stranger) -> None:
        try:
            data = stranger.connection.recv(RECEIVE_MAX)
            frames = stranger.frames.feed(data)
        except BlockingIOError:
            return
        except (OSError, FrameError):
            self._drop(stranger)
            return
        if not data:
            self._drop(stranger)
        elif frames:
            self._become_agent(stranger)
            for frame in frames:
                self.orders += [(frame.sent_ns, order) for order in frame.orders]

    def _become_agent(self, stranger: _Stranger) -> None:
        self._gone()
        self._strangers.remove(stranger)
        self._readiness.unwatch(stranger.connection.fileno())
        self._agent = stranger.connection
        self._frames = stranger.frames
        self._frames.frame_max = FRAME_MAX
        self._readiness.watch(self._agent.fileno(), self._ready)

    # the agent

    def _gone(self) -> None:
        if self._agent is None:
            return
        self._readiness.unwatch(self._agent.fileno())
        self._agent.close()
        self._agent = None
        self._out.clear()
        self.unattended_ns = boottime_ns()

    def _ready(self, mask: int) -> None:
        if mask & select.EPOLLOUT:
            self._send()
        if self._agent is None or not mask & ~select.EPOLLOUT:
            return
        try:
            data = self._agent.recv(RECEIVE_MAX)
            if not data:
                self._gone()
                return
            for frame in self._frames.feed(data):
                self.orders += [(frame.sent_ns, order) for order in frame.orders]
        except BlockingIOError:
            return
        except (OSError, FrameError):
            self._gone()

    def _send(self) -> None:
        if self._agent is None:
            return
        try:
            del self._out[: self._agent.send(self._out)]
        except BlockingIOError:
            pass
        except OSError:
            self._gone()
            return
        if len(self._out) > BACKLOG_MAX:
            self._gone()
            return
        mask = select.EPOLLIN | (select.EPOLLOUT if self._out else 0)
        self._readiness.epoll.modify(self._agent.fileno(), mask)
