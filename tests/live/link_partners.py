"""Partners for the tests of links: owners that remember what they heard, and a clock on what is waited for.

Everything runs in one asyncio loop; nothing sleeps. `until` waits for a condition that some callback makes true.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from rpyc.core import consts  # type: ignore[import-untyped]
from rpyc.core.channel import Channel  # type: ignore[import-untyped]
from rpyc.core.protocol import Connection  # type: ignore[import-untyped]
from rpyc.core.service import VoidService  # type: ignore[import-untyped]
from rpyc.core.stream import SocketStream  # type: ignore[import-untyped]

from live.hello import Hello, Side, own_hello
from live.link import Link
from live.links import Links
from model.messages import Batch, Down

PATIENCE_SECONDS = 60.0
"""How long a test waits for what must come. Only a failing test waits so long."""


Said = TypeVar("Said")


class Heard:
    """Wakes whoever waits whenever something was heard."""

    def __init__(self) -> None:
        self._news = asyncio.Event()

    def news(self) -> None:
        self._news.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not condition():
                self._news.clear()
                await self._news.wait()


class StockPeer:
    """rpyc's own Connection, as it is, over rpyc's own stream; only the name `None` for the root is taught to it."""

    def __init__(self, connected: socket.socket) -> None:
        connected.setblocking(True)
        self.delivered: list[bytes] = []
        self.connection = Connection(VoidService(), Channel(SocketStream(connected), compress=False))

        def deliver(_connection: Connection, _root: None, _name: str, arguments: tuple[bytes]) -> bytes:
            self.delivered.append(arguments[0])
            return b""

        self.connection._HANDLERS[consts.HANDLE_CALLATTR] = deliver

    def deliver(self, payload: bytes) -> object:
        """Deliver and wait for the reply. Blocks: called in a thread."""
        result = self.connection.async_request(consts.HANDLE_CALLATTR, None, "deliver", (payload,))
        result.set_expiry(PATIENCE_SECONDS)
        return result.value

    def serve_until_delivered(self, count: int) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(self.delivered) < count and time.monotonic() < deadline:
            self.connection.serve(1)


class Owner(Heard):
    """A `LinkOwner` that remembers."""

    def __init__(self) -> None:
        super().__init__()
        self.peers: list[Hello] = []
        self.batches: list[Batch] = []
        self.reasons: list[str] = []
        self.left = False

    def link_up(self, link: Link, peer: Hello) -> None:
        self.peers.append(peer)
        self.news()

    def link_batch(self, link: Link, batch: Batch) -> None:
        self.batches.append(batch)
        self.news()

    def link_down(self, link: Link, reason: str) -> None:
        self.reasons.append(reason)
        self.left = link.left
        self.news()


class Door(Heard):
    """A `Doorkeeper` that remembers."""

    def __init__(self) -> None:
        super().__init__()
        self.peers: list[Hello] = []
        self.batches: list[Batch] = []
        self.downs: list[tuple[str, bool]] = []
        self.complaints: list[str] = []

    def superior_up(self, peer: Hello) -> None:
        self.peers.append(peer)
        self.news()

    def superior_said(self, batch: Batch) -> None:
        self.batches.append(batch)
        self.news()

    def superior_down(self, reason: str, left: bool) -> None:
        self.downs.append((reason, left))
        self.news()

    def complain(self, sentence: str) -> None:
        self.complaints.append(sentence)
        self.news()


class Superior(Heard):
    """A server's links, remembering what they say: `events` in order, `batches` by host."""

    def __init__(self, epoch: int = 1, connect_seconds: float = PATIENCE_SECONDS) -> None:
        super().__init__()
        self.epoch = epoch
        self.events: list[tuple[str, str, str]] = []
        self.agents: list[Hello] = []
        self.batches: list[tuple[str, Batch]] = []
        self.sequence = 0
        self.links = Links(
            asyncio.get_running_loop(),
            epoch,
            connect_seconds=connect_seconds,
            up=self._up,
            down=self._down,
            batch=self._batch,
        )

    def _up(self, host: str, agent: Hello) -> None:
        self.events.append(("up", host, ""))
        self.agents.append(agent)
        self.news()

    def _down(self, host: str, reason: str) -> None:
        self.events.append(("down", host, reason))
        self.news()

    def _batch(self, host: str, batch: Batch) -> None:
        self.batches.append((host, batch))
        self.news()

    async def connect(self, host: str) -> Hello:
        """Connect, and expect that it works."""
        before = len(self.events)
        self.links.connect(host)
        await self.until(lambda: len(self.events) > before)
        assert self.events[-1][:2] == ("up", host), self.events[-1]
        return self.agents[-1]

    def say(self, host: str, *messages: Down, life: int | None = None) -> None:
        self.sequence += 1
        receiver = self.agents[-1].epoch if life is None else life
        self.links.send(host, Batch(self.epoch, self.sequence, receiver, messages))

    def heard(self, kind: type[Said]) -> list[Said]:
        return [message for _, batch in self.batches for message in batch.messages if isinstance(message, kind)]


def superior_hello(name: str = "node1", epoch: int = 1) -> Hello:
    return own_hello(Side.SUPERIOR, name, epoch)


def agent_hello(name: str = "node1", epoch: int = 1) -> Hello:
    return own_hello(Side.AGENT, name, epoch)


def linked_pair(superior: Hello | None = None, agent: Hello | None = None) -> tuple[Link, Owner, Link, Owner]:
    """A superior's and an agent's link that have just been connected to each other."""
    loop = asyncio.get_running_loop()
    upper_owner, lower_owner = Owner(), Owner()
    upper = Link(loop, superior or superior_hello(), upper_owner, dials=True)
    lower = Link(loop, agent or agent_hello(), lower_owner, dials=False)
    one, other = socket.socketpair()
    lower.start(other)
    upper.start(one)
    return upper, upper_owner, lower, lower_owner


def run(scenario: Coroutine[Any, Any, None]) -> None:
    """Run a scenario; an exception that only the loop heard of fails the test too."""
    unheard: list[dict[str, Any]] = []

    async def watched() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context))
        await scenario

    asyncio.run(watched())
    assert not unheard, unheard
