"""The superior's links, one for each host: connects, says hello, and brings what the hosts say.

Used by `live/controller_here.py`, which turns the controller's `Connect`, `Disconnect` and `Transmit` into calls, and
what it hears here into `LinkUp`, `LinkDown` and `Delivered`; and by `live/controller_away.py`, whose one host is a
controller. When to connect, and how often, is theirs; how a host is reached is a `Dialer`'s (`live/link_process.py`,
`live/link_ssh.py`).

Rule: each `connect` is answered by exactly one `up` or `down`, each `up` that was not ended by `disconnect` by exactly
one `down`; and no answer is given inside `connect`, `disconnect` or `send` themselves.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from live.hello import Hello, Side, own_hello
from live.link import Link
from live.output_pieces import Fetch, Piece
from live.spool import Stream
from model.errors import LaulimaError, NotReachableError
from model.messages import Batch

DIALS_MAX: Final = 32
"""Hosts that are being dialled at one time; the time limit of the others starts when their turn comes."""


class Dialer(Protocol):
    """Makes connections to one host."""

    async def dial(self) -> socket.socket:
        """A connected socket at whose other end an agent waits for a hello. Raises LaulimaError with the reason."""


@dataclass(slots=True)
class _Host:
    """What is open to one host: nothing, an attempt to connect, or a link."""

    dialer: Dialer
    turn: asyncio.Semaphore
    ended: Callable[[], str]
    dialling: asyncio.Task[None] | None = None
    link: Link | None = None
    fetches: dict[int, asyncio.Future[Piece]] = field(default_factory=dict)
    """by number: who waits for a piece of an output"""

    def give_up_fetches(self) -> None:
        """The link is gone, and their answers with it."""
        fetches, self.fetches = self.fetches, {}
        for future in fetches.values():
            if not future.done():
                future.set_exception(NotReachableError("its link ended"))


class Links:
    """All links of one superior, by host name. Everything is called in the loop, and calls back in the loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        epoch: int,
        *,
        connect_seconds: float,
        up: Callable[[str, Hello], None],
        down: Callable[[str, str], None],
        batch: Callable[[str, Batch], None],
        hello: Callable[[str], Hello] | None = None,
    ) -> None:
        """`epoch`: which life of the superior this is. `connect_seconds`: limit of one attempt to connect, start of
        an agent included. `up(host, agent)`, `down(host, reason)`, `batch(host, batch)`: see the head of this file.
        `hello(host)`: what is said first, if this is no superior of agents."""
        self._loop = loop
        self._hello = hello or (lambda host: own_hello(Side.SUPERIOR, host, epoch))
        self._connect_seconds = connect_seconds
        self._up = up
        self._down = down
        self._batch = batch
        self._hosts: dict[str, _Host] = {}
        self._names: dict[Link, str] = {}
        self._turn_to_dial = asyncio.Semaphore(DIALS_MAX)
        self._fetched = 0

    def define(
        self,
        host: str,
        dialer: Dialer,
        *,
        turn: asyncio.Semaphore | None = None,
        ended: Callable[[], str] = str,
    ) -> None:
        """How to reach a host from now on; an open link to it stays. `turn`: shared by hosts that must not all be
        dialled at once. `ended()` is called whenever a link, or an attempt to make one, is over; what it knows of the
        reason is added to it."""
        turn = turn or self._turn_to_dial
        known = self._hosts.get(host)
        if known is None:
            self._hosts[host] = _Host(dialer, turn, ended)
        else:
            known.dialer, known.turn, known.ended = dialer, turn, ended

    def forget(self, host: str) -> None:
        """The host is no longer ours: its link ends."""
        if host in self._hosts:
            self.disconnect(host)
            del self._hosts[host]

    def connected(self, host: str) -> bool:
        """Whether both ends have said hello."""
        known = self._hosts.get(host)
        return known is not None and known.link is not None and known.link.peer is not None

    def connect(self, host: str) -> None:
        """Begin to connect; an older link to the host ends without a word."""
        known = self._hosts.get(host)
        if known is None:
            self._loop.call_soon(self._down, host, "nobody said how to reach it")
            return
        self._drop(known, goodbye=False)
        known.dialling = self._loop.create_task(self._dial(host, known), name=f"dial {host}")

    def disconnect(self, host: str, goodbye: bool = True) -> None:
        """End the link, or the attempt to make one; no `down` follows. `goodbye`: an agent with nothing to do leaves
        at once instead of after its lease."""
        known = self._hosts.get(host)
        if known is not None:
            self._drop(known, goodbye)

    def send(self, host: str, batch: Batch) -> None:
        """Send; dropped if there is no link."""
        known = self._hosts.get(host)
        if known is not None and known.link is not None:
            known.link.send(batch)

    def fetch(self, host: str, job: int, attempt: int, stream: Stream, offset: int, size: int) -> asyncio.Future[Piece]:
        """Bytes of what a job wrote there. The future fails with NotReachableError when there is no link, or it ends
        before the answer."""
        future: asyncio.Future[Piece] = self._loop.create_future()
        known = self._hosts.get(host)
        if known is None or known.link is None or known.link.peer is None:
            future.set_exception(NotReachableError(f"host {host} is not connected"))
            return future
        self._fetched += 1
        known.fetches[self._fetched] = future
        known.link.send_aside(Fetch(self._fetched, job, attempt, stream, offset, size))
        return future

    def fail(self, host: str, reason: str) -> None:
        """End the link because of something that the host said (a ProtocolError of the machine); `down` follows."""
        known = self._hosts.get(host)
        if known is not None and known.link is not None:
            self._drop(known, goodbye=False)
            self._loop.call_soon(self._down, host, reason)

    async def close(self, goodbye: bool = True) -> None:
        """End all links; nothing is heard any more."""
        tasks = [known.dialling for known in self._hosts.values() if known.dialling is not None]
        for known in self._hosts.values():
            self._drop(known, goodbye)
        await asyncio.gather(*tasks, return_exceptions=True)

    def _drop(self, known: _Host, goodbye: bool) -> None:
        if known.dialling is not None:
            known.dialling.cancel()
            known.dialling = None
            known.ended()
        link, known.link = known.link, None
        if link is not None:
            self._names.pop(link, None)
            link.close(goodbye)
            known.give_up_fetches()
            known.ended()

    async def _dial(self, host: str, known: _Host) -> None:
        try:
            async with known.turn, asyncio.timeout(self._connect_seconds):
                connected = await known.dialer.dial()
        except TimeoutError:
            reason = f"no connection within {self._connect_seconds:g} s"
        except LaulimaError as error:
            reason = str(error)
        except OSError as error:
            reason = f"no connection: {error.strerror or error}"
        except Exception as error:  # noqa: BLE001 - a mistake of ours: told as this host's reason, others go on
            reason = f"no connection, by a mistake of this program: {type(error).__name__}: {error}"
        else:
            self._begin(host, known, connected)
            return
        known.dialling = None  # a cancelled attempt does not come here
        self._down(host, _with(reason, known.ended()))

    def _begin(self, host: str, known: _Host, connected: socket.socket) -> None:
        """Runs in the same step of the loop as the end of `dial`: a `disconnect` came before it or comes after."""
        known.dialling = None
        link = known.link = Link(self._loop, self._hello(host), self, dials=True)
        self._names[link] = host
        link.start(connected)

    # what the links say (`LinkOwner`)

    def link_up(self, link: Link, peer: Hello) -> None:
        host = self._names.get(link)
        if host is not None:
            self._up(host, peer)

    def link_batch(self, link: Link, batch: Batch) -> None:
        host = self._names.get(link)
        if host is not None:
            self._batch(host, batch)

    def link_aside(self, link: Link, message: Fetch | Piece) -> None:
        host = self._names.get(link)
        if host is not None:
            future = self._hosts[host].fetches.pop(message.number, None)
            if future is not None and not future.done() and isinstance(message, Piece):
                future.set_result(message)

    def link_down(self, link: Link, reason: str) -> None:
        host = self._names.pop(link, None)
        if host is not None:
            known = self._hosts[host]
            known.link = None
            known.give_up_fetches()
            self._down(host, _with(reason, known.ended()))


def _with(reason: str, words: str) -> str:
    """A reason, and what is known of it besides."""
    return reason if not words or words in reason else f"{reason}: {words}"
