"""An agent's door: a unix socket in its spool, to which its superior connects. One superior at a time.

Used by `live/agent_program.py`. A newer superior (a higher epoch, or the same one again) replaces the older; an older
one is refused with a sentence. Who may connect at all: processes of the agent's own user (SO_PEERCRED).

Rule: nothing that a stranger does ends the listening, not even running out of file descriptors.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from live.hello import Hello, HelloError
from live.link import Link
from model.messages import Batch

SOCKET_NAME: Final = "agent.sock"
STRANGERS_MAX: Final = 32
"""Connections that have not said hello yet; one more is closed at once."""
ACCEPTS_A_TURN: Final = 16
REST_SECONDS: Final = 1.0
"""Pause after accept failed for want of descriptors or memory."""
_CREDENTIALS: Final = struct.Struct("3i")
_ROOM_ERRORS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Doorkeeper(Protocol):
    """Who hears of the superior that has come in."""

    def superior_up(self, peer: Hello, /) -> None: ...

    def superior_said(self, batch: Batch) -> None: ...

    def superior_down(self, reason: str, left: bool) -> None:
        """`left`: it said goodbye, and does not expect to find this agent again."""


def peer_user(connected: socket.socket) -> int:
    """User id of the process at the other end of a unix socket."""
    _, user, _ = _CREDENTIALS.unpack(connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return int(user)


def socket_address(directory_fd: int, name: str = SOCKET_NAME) -> str:
    """Address of a unix socket in an open directory: short, however long the directory's own path is."""
    return f"/proc/self/fd/{directory_fd}/{name}"


def listen(directory: Path) -> socket.socket:
    """A listening unix socket (mode 0600) in `directory`. The caller owns the directory: a socket that is still there
    belongs to nobody and is replaced."""
    (directory / SOCKET_NAME).unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    directory_fd = os.open(directory, os.O_PATH | os.O_DIRECTORY)
    before = os.umask(0o177)
    try:
        listening.bind(socket_address(directory_fd))
        listening.listen(STRANGERS_MAX)
    except OSError:
        listening.close()
        raise
    finally:
        os.umask(before)
        os.close(directory_fd)
    return listening


class Listener:
    """Accepts, greets, keeps the one superior, and tells the doorkeeper about it."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listening: socket.socket,
        own: Hello,
        keeper: Doorkeeper,
        *,
        user: int | None = None,
        complain: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`user`: who may connect (default: this process's user). `complain(sentence)`: what went wrong."""
        self._loop = loop
        self._listening = listening
        self._own = own
        self._keeper = keeper
        self._user = os.getuid() if user is None else user
        self._complain = complain
        self._strangers: set[Link] = set()
        self._superior: Link | None = None
        self._highest_epoch = 0
        self._rest: asyncio.TimerHandle | None = None
        self._open = True
        loop.add_reader(listening.fileno(), self._accept)

    @property
    def connected(self) -> bool:
        """Whether a superior is connected."""
        return self._superior is not None

    def send(self, batch: Batch) -> None:
        """Send to the superior; dropped if there is none."""
        if self._superior is not None:
            self._superior.send(batch)

    def end_superior(self, reason: str) -> None:
        """Close the superior's link, because of something that it said."""
        link, self._superior = self._superior, None
        if link is not None:
            link.close()
            self._keeper.superior_down(reason, False)

    def close(self) -> None:
        """Stop listening, and let the superior go."""
        if not self._open:
            return
        self._open = False
        if self._rest is None:
            self._loop.remove_reader(self._listening.fileno())
        else:
            self._rest.cancel()
        self._listening.close()
        for link in (*self._strangers, self._superior):
            if link is not None:
                link.close()
        self._strangers.clear()
        self._superior = None

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

    def _pause(self, error: OSError) -> None:
        """No room for a connection now: the kernel keeps them in its queue meanwhile."""
        if error.errno not in _ROOM_ERRORS:
            self._complain(f"a connection could not be accepted: {error.strerror}")
        else:
            self._complain(f"no room for a connection, trying again in {REST_SECONDS:g} s: {error.strerror}")
        self._loop.remove_reader(self._listening.fileno())
        self._rest = self._loop.call_later(REST_SECONDS, self._resume)

    def _resume(self) -> None:
        self._rest = None
        self._loop.add_reader(self._listening.fileno(), self._accept)

    def _admit(self, connected: socket.socket) -> None:
        user = peer_user(connected)
        if user != self._user or len(self._strangers) >= STRANGERS_MAX:
            self._complain(f"a connection of user {user} was refused; {len(self._strangers)} are being greeted")
            connected.close()
            return
        link = Link(self._loop, self._own, self, dials=False)
        self._strangers.add(link)
        link.start(connected)

    # what the links say (`LinkOwner`)

    def link_up(self, link: Link, peer: Hello) -> None:
        if peer.epoch < self._highest_epoch:
            raise HelloError(
                f"this agent has served life {self._highest_epoch} of its server, and life {peer.epoch} calls",
                "an older server, or another state directory, is still running: end it",
            )
        self._highest_epoch = peer.epoch
        self._strangers.discard(link)
        older, self._superior = self._superior, link
        if older is not None:
            older.close()
            self._keeper.superior_down("a newer connection of the server replaces it", False)
        self._keeper.superior_up(peer)

    def link_batch(self, link: Link, batch: Batch) -> None:
        if link is self._superior:
            self._keeper.superior_said(batch)

    def link_down(self, link: Link, reason: str) -> None:
        self._strangers.discard(link)
        if link is self._superior:
            self._superior = None
            self._keeper.superior_down(reason, link.left)
        else:
            self._complain(f"a connection ended before it was known: {reason}")
