"""Where the schedulers that share a controller come in: a unix socket, 0600, for processes of this user.

Made by `live/controller_program.py`. Each scheduler has a name and one link; a newer life of it, or the same one again,
replaces the older link. What may come in is asked before the hello is answered, so that the scheduler hears why not.

Rule: as of `live/listener.py`: what strangers do is told seldom, and ends nothing.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Final, Protocol

from live.accepting import Acceptor, peer_user
from live.complaints import Seldom
from live.hello import Hello, HelloError
from live.host_names import HOST_NAME
from live.link import Link
from live.output_pieces import Fetch, Piece
from model.messages import Batch

STRANGERS_MAX: Final = 32
"""Connections that have not said hello yet; one more is closed at once."""


class Doorkeeper(Protocol):
    """Who hears of the schedulers, by their names."""

    def scheduler_may_come(self, name: str, peer: Hello) -> str:
        """Why not; empty: it may."""

    def scheduler_up(self, name: str, peer: Hello) -> None: ...

    def scheduler_said(self, name: str, batch: Batch) -> None: ...

    def scheduler_down(self, name: str, reason: str) -> None: ...


class SchedulerDoor:
    """Everything is called in the loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listening: socket.socket,
        own: Hello,
        keeper: Doorkeeper,
        complain: Callable[[str], None],
    ) -> None:
        """`complain(sentence)`: what went wrong."""
        self._loop = loop
        self._own = own
        self._keeper = keeper
        self._complain = Seldom(complain).say
        self._strangers: dict[Link, None] = {}
        self._links: dict[str, Link] = {}
        self._acceptor = Acceptor(loop, listening, self._admit, self._complain)

    @property
    def connected(self) -> int:
        """How many schedulers are."""
        return len(self._links)

    def send(self, name: str, batch: Batch) -> None:
        """Send; dropped if it is not connected."""
        link = self._links.get(name)
        if link is not None:
            link.send(batch)

    def end_link(self, name: str, reason: str) -> None:
        """Close the link, because of something that the scheduler said, or that it is not wanted any more."""
        link = self._links.pop(name, None)
        if link is not None:
            link.close()
            self._loop.call_soon(self._keeper.scheduler_down, name, reason)

    def close(self) -> None:
        """Stop listening, and let them all go."""
        self._acceptor.close()
        for link in (*self._strangers, *self._links.values()):
            link.close(goodbye=True)
        self._strangers.clear()
        self._links.clear()

    def _admit(self, connected: socket.socket) -> None:
        user = peer_user(connected)
        if user != os.geteuid() or len(self._strangers) >= STRANGERS_MAX:
            self._complain(f"a connection of user {user} was refused; {len(self._strangers)} are being greeted")
            connected.close()
            return
        link = Link(self._loop, self._own, self, dials=False)
        self._strangers[link] = None
        link.start(connected)

    # what the links say (`LinkOwner`)

    def link_up(self, link: Link, peer: Hello) -> None:
        name = peer.name
        if not HOST_NAME.fullmatch(name):
            raise HelloError("a scheduler's name has letters, digits, _ . - and no others")
        refusal = self._keeper.scheduler_may_come(name, peer)
        if refusal:
            raise HelloError(refusal)
        del self._strangers[link]
        older, self._links[name] = self._links.get(name), link
        if older is not None:
            older.close()
            self._keeper.scheduler_down(name, "a newer connection of the scheduler replaces it")
        self._keeper.scheduler_up(name, peer)

    def link_batch(self, link: Link, batch: Batch) -> None:
        name = _name_of(link)
        if self._links.get(name) is link:
            self._keeper.scheduler_said(name, batch)

    def link_aside(self, link: Link, message: Fetch | Piece) -> None:
        """A scheduler asks for outputs at the control socket."""
        self._complain(f"scheduler {_name_of(link)} asked for an output beside the channel")

    def link_down(self, link: Link, reason: str) -> None:
        self._strangers.pop(link, None)
        name = _name_of(link)
        if self._links.get(name) is link:
            del self._links[name]
            self._keeper.scheduler_down(name, reason)
        else:
            self._complain(f"a scheduler's connection ended before it was known: {reason}")


def _name_of(link: Link) -> str:
    return link.peer.name if link.peer is not None else ""
