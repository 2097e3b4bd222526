"""The one accept loop: takes what comes to a listening socket, and goes on whatever happens.

Used by every door in an asyncio loop: `live/listener.py` (an agent's), `live/control.py` (people's). Who may come in,
and how many, is theirs (`admit`). A keeper has a loop of its own, and takes `peer_user` and `ROOM_ERRORS` from here.

Rule: nothing that a stranger does ends the accepting, not even running out of file descriptors. (asyncio's own loop
lives on, too, but writes a hundred tracebacks each second meanwhile.)
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from collections.abc import Callable
from typing import Final

ACCEPTS_A_TURN: Final = 16
"""Connections that are taken before others in the loop get their turn."""
REST_SECONDS: Final = 1.0
"""Pause after accept failed for want of descriptors or memory; the kernel keeps who comes in its queue meanwhile."""
ROOM_ERRORS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""There may be room in a moment."""
_CREDENTIALS: Final = struct.Struct("3i")


def peer_user(connected: socket.socket) -> int:
    """User id of the process that made the connection at the other end of a unix socket."""
    return _credentials(connected)[1]


def peer_process(connected: socket.socket) -> int:
    """Process id of the one at the other end of a unix socket."""
    return _credentials(connected)[0]


def _credentials(connected: socket.socket) -> tuple[int, int, int]:
    found = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    process, user, group = _CREDENTIALS.unpack(found)
    return process, user, group


class Acceptor:
    """Calls `admit(connected)` for each connection, which then owns it; `complain(sentence)` when none can be taken."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listening: socket.socket,
        admit: Callable[[socket.socket], None],
        complain: Callable[[str], None],
    ) -> None:
        listening.setblocking(False)
        self._loop = loop
        self._listening = listening
        self._admit = admit
        self._complain = complain
        self._rest: asyncio.TimerHandle | None = None
        self._open = True
        self._held = False
        loop.add_reader(listening.fileno(), self._accept)

    def hold(self) -> None:
        """Take nobody until `go_on`: who comes waits in the kernel's queue."""
        if self._open and not self._held:
            self._held = True
            if self._rest is None:
                self._loop.remove_reader(self._listening.fileno())

    def go_on(self) -> None:
        """Take who waits. Harmless when not held."""
        if self._held:
            self._held = False
            if self._open and self._rest is None:
                self._loop.add_reader(self._listening.fileno(), self._accept)

    def close(self) -> None:
        """Listen no more. Harmless when closed."""
        if not self._open:
            return
        self._open = False
        if self._rest is not None:
            self._rest.cancel()
        elif not self._held:
            self._loop.remove_reader(self._listening.fileno())
        self._listening.close()

    def _accept(self) -> None:
        for _ in range(ACCEPTS_A_TURN):
            try:
                connected, _address = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._pause(error)
                return
            self._admit(connected)
            if not self._open or self._held:
                return

    def _pause(self, error: OSError) -> None:
        if error.errno in ROOM_ERRORS:
            self._complain(f"no room for a connection, trying again in {REST_SECONDS:g} s: {error.strerror}")
        else:
            self._complain(f"a connection could not be accepted: {error.strerror}")
        self._loop.remove_reader(self._listening.fileno())
        self._rest = self._loop.call_later(REST_SECONDS, self._resume)

    def _resume(self) -> None:
        self._rest = None
        if not self._held:
            self._loop.add_reader(self._listening.fileno(), self._accept)
