"""A keeper's end of the socket to its agent: one agent at a time, the newest. Nothing here blocks.

Called by `keeper_process.py`. What the orders mean is the machine's.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable, Sequence

from live.clock import boottime_ns
from live.keeper_frames import BACKLOG_MAX, FrameError, frame_messages, orders_frames
from model.keeper import KeeperMessage, Order

RECEIVE_MAX = 1 << 18
"""Bytes that are read in one go."""


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
        self._frames = orders_frames()
        self._out = bytearray()
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

    def _accept(self, _mask: int) -> None:
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        self._gone()
        connection.setblocking(False)
        self._agent = connection
        self._frames = orders_frames()
        self._readiness.watch(connection.fileno(), self._ready)
        self._out += frame_messages([])  # a greeting: somebody lives here, and not just a socket that was left behind
        self._send()

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
