"""An agent's door: a unix socket in its spool, to which its superior connects. One superior at a time.

Used by `live/agent_program.py`. A newer superior (a higher epoch, or the same one again) replaces the older; an older
one is refused with a sentence. Who may connect at all: processes of the agent's own user (SO_PEERCRED).

Rule: what strangers do is told in one line of INTERVAL_NS (`live/complaints.py`), however many they are; that nothing
of it ends the listening is the rule of `live/accepting.py`.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from live.accepting import Acceptor, peer_user
from live.complaints import Seldom
from live.hello import Hello, HelloError
from live.link import Link
from live.output_pieces import Fetch, Piece
from model.messages import Batch

SOCKET_NAME: Final = "agent.sock"
STRANGERS_MAX: Final = 32
"""Connections that have not said hello yet; one more is closed at once."""


class Doorkeeper(Protocol):
    """Who hears of the superior that has come in."""

    def superior_up(self, peer: Hello, /) -> None: ...

    def superior_said(self, batch: Batch) -> None: ...

    def superior_asks(self, wish: Fetch) -> None:
        """It wants to see what a job wrote."""

    def superior_down(self, reason: str, left: bool) -> None:
        """`left`: it said goodbye, and does not expect to find this agent again."""


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
        self._own = own
        self._keeper = keeper
        self._user = os.getuid() if user is None else user
        self._complain = Seldom(complain).say
        self._strangers: dict[Link, None] = {}
        self._superior: Link | None = None
        self._highest_epoch = 0
        self._acceptor = Acceptor(loop, listening, self._admit, self._complain)

    @property
    def connected(self) -> bool:
        """Whether a superior is connected."""
        return self._superior is not None

    def send(self, batch: Batch) -> None:
        """Send to the superior; dropped if there is none."""
        if self._superior is not None:
            self._superior.send(batch)

    def answer(self, piece: Piece) -> None:
        """Answer a wish of the superior; dropped if there is none."""
        if self._superior is not None:
            self._superior.send_aside(piece)

    def end_superior(self, reason: str) -> None:
        """Close the superior's link, because of something that it said."""
        link, self._superior = self._superior, None
        if link is not None:
            link.close()
            self._keeper.superior_down(reason, False)

    def close(self) -> None:
        """Stop listening, and let the superior go."""
        self._acceptor.close()
        for link in (*self._strangers, self._superior):
            if link is not None:
                link.close()
        self._strangers.clear()
        self._superior = None

    def _admit(self, connected: socket.socket) -> None:
        user = peer_user(connected)
        if user != self._user or len(self._strangers) >= STRANGERS_MAX:
            self._complain(f"a connection of user {user} was refused; {len(self._strangers)} are being greeted")
            connected.close()
            return
        link = Link(self._loop, self._own, self, dials=False)
        self._strangers[link] = None
        link.start(connected)

    # what the links say (`LinkOwner`)

    def link_up(self, link: Link, peer: Hello) -> None:
        if peer.epoch < self._highest_epoch:
            raise HelloError(
                f"this agent has served life {self._highest_epoch} of its server, and life {peer.epoch} calls",
                "an older server, or another state directory, is still running: end it",
            )
        self._highest_epoch = peer.epoch
        self._strangers.pop(link, None)
        older, self._superior = self._superior, link
        if older is not None:
            older.close()
            self._keeper.superior_down("a newer connection of the server replaces it", False)
        self._keeper.superior_up(peer)

    def link_batch(self, link: Link, batch: Batch) -> None:
        if link is self._superior:
            self._keeper.superior_said(batch)

    def link_aside(self, link: Link, message: Fetch | Piece) -> None:
        if link is self._superior and isinstance(message, Fetch):
            self._keeper.superior_asks(message)

    def link_down(self, link: Link, reason: str) -> None:
        self._strangers.pop(link, None)
        if link is self._superior:
            self._superior = None
            self._keeper.superior_down(reason, link.left)
        else:
            self._complain(f"a connection ended before it was known: {reason}")
