"""Goal: many agents that dial in are all back soon after their server was started anew, and cost it little.

Method: light agents in this process, each with a certificate and an address of its own (127.0.x.y), which run the real
calling, pausing and TLS of `live/agent_joining.py` and stop at the hello: no agent process stands behind them.
"""

from __future__ import annotations

import asyncio
import io
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from live import agent_joining
from live.agent_joining import JoiningAgent, JoinSettings
from live.complaints import Complaints
from live.hello import Hello, Side, own_hello
from live.joining_words import JoinAnswer, JoinReady, line
from live.link import Link
from live.tls import send_all
from shell.certificate_authority import Authority
from tests.cluster.tls_site import TlsSite
from tests.live.running_server import RunningServer

pytestmark = [pytest.mark.needs("openssl", "openssl")]

AGENTS = 200
RETRY_MAX_SECONDS = 10.0
PATIENCE = 90.0
MEMORY_MAX_KIB = 200


@pytest.fixture
def tls(server: RunningServer) -> Iterator[TlsSite]:
    made = TlsSite(server)
    yield made
    made.clean()


class Herd:
    """All light agents; who is linked, and when that changes."""

    def __init__(self) -> None:
        self.linked: set[str] = set()
        self.changed = asyncio.Event()

    async def until(self, count: int) -> float:
        """Seconds until so many are linked."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with asyncio.timeout(PATIENCE):
            while len(self.linked) != count:
                self.changed.clear()
                await self.changed.wait()
        return loop.time() - began


class LightAgent(JoiningAgent):
    """Calls as a real one does, and answers the hello by itself. Is the owner of its link."""

    herd: Herd

    async def _serve(self, secure: ssl.SSLSocket, _: JoinAnswer) -> str:
        self._over_with_it = asyncio.get_running_loop().create_future()
        await send_all(secure, line(JoinReady(1)))
        link = Link(self._loop, own_hello(Side.AGENT, self._settings.name, 1), self, dials=False)
        link.start(secure)
        try:
            return await self._over_with_it
        finally:
            link.close()
            self.herd.linked.discard(self._settings.name)
            self.herd.changed.set()

    def link_up(self, link: Link, peer: Hello) -> None:
        self.herd.linked.add(self._settings.name)
        self.herd.changed.set()

    def link_batch(self, link: Link, batch: Any) -> None:
        """The server asks what it holds; that is not what this test is about."""

    def link_aside(self, link: Link, message: Any) -> None:
        raise AssertionError("nobody asks for output")

    def link_down(self, link: Link, reason: str) -> None:
        if not self._over_with_it.done():
            self._over_with_it.set_result(reason)


def settings(tls: TlsSite, number: int) -> JoinSettings:
    name = f"h{number}"
    authority = Authority(tls.folder)
    return JoinSettings(
        "127.0.0.1", tls.port, name, 2, tls.folder / "ca.pem", authority.certificate(name), authority.key(name),
        tls.server.folder / "nowhere", RETRY_MAX_SECONDS,
    )  # fmt: skip


async def _connect_from(host: str, port: int) -> socket.socket:
    """As from another machine each time; on loopback this needs no waiting."""
    _connect_from.count += 1  # type: ignore[attr-defined]
    count = _connect_from.count % 40_000  # type: ignore[attr-defined]
    connected = socket.socket()
    try:
        connected.bind((f"127.0.{1 + count // 200}.{1 + count % 200}", 0))
        connected.connect((host, port))
    except OSError:
        connected.close()
        raise
    return connected


_connect_from.count = 0  # type: ignore[attr-defined]


def resident_kib(server: RunningServer) -> int:
    assert server.process is not None
    text = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(next(row.split()[1] for row in text.splitlines() if row.startswith("VmRSS:")))


def test_all_are_back_within_twice_the_longest_pause(
    tls: TlsSite, server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tls.folder)
    names = [f"h{number}" for number in range(AGENTS)]
    for name in names:
        authority.issue(name)
    monkeypatch.setattr(agent_joining, "_connect", _connect_from)
    configuration = server.configuration(cluster=tls.cluster(*names))

    async def scenario() -> tuple[float, float]:
        herd = Herd()
        server.start(configuration)
        before = resident_kib(server)
        agents = [
            LightAgent(asyncio.get_running_loop(), settings(tls, number), Complaints(io.StringIO()))
            for number in range(AGENTS)
        ]
        for agent in agents:
            agent.herd = herd
        running = [asyncio.ensure_future(agent.run()) for agent in agents]
        try:
            await herd.until(AGENTS)
            memory = (resident_kib(server) - before) / AGENTS
            server.crash()
            await herd.until(0)
            server.begin(configuration)
            return await herd.until(AGENTS), memory
        finally:
            for agent in agents:
                agent._over.set()
            await asyncio.gather(*running)

    seconds, memory_kib = asyncio.run(scenario())
    print(f"{AGENTS} agents were back {seconds:.1f} s after a start of the server; {memory_kib:.0f} KiB each")
    assert seconds <= 2 * RETRY_MAX_SECONDS
    assert memory_kib <= MEMORY_MAX_KIB
