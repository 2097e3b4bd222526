"""Goal: many agents that dial in are all back soon after their server was started anew, and cost it little.

Method: light agents in this process (`light_agents.py`), which stop at the hello: nothing of the job channel is
answered. A thousand of them, with jobs, are a benchmark's business (`benchmarks/test_thousand_agents.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from live import agent_joining
from shell.certificate_authority import Authority
from tests.cluster.light_agents import Addresses, Herd, LightAgent, join_settings
from tests.cluster.tls_site import TlsSite
from tests.live.running_server import RunningServer

pytestmark = [pytest.mark.needs("openssl", "openssl")]

AGENTS = 200
RETRY_MAX_SECONDS = 10.0
MEMORY_MAX_KIB = 200


@pytest.fixture
def tls(server: RunningServer) -> Iterator[TlsSite]:
    made = TlsSite(server)
    yield made
    made.clean()


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
    monkeypatch.setattr(agent_joining, "_connect", Addresses().connect)
    configuration = server.configuration(cluster=tls.cluster(*names))

    async def scenario() -> tuple[float, float, float]:
        herd = Herd()
        server.start(configuration)
        before = resident_kib(server)
        agents = [
            LightAgent(herd, join_settings(tls.folder, tls.port, number, 2, RETRY_MAX_SECONDS), answers=False)
            for number in range(AGENTS)
        ]
        running = [asyncio.ensure_future(agent.run()) for agent in agents]
        try:
            first = await herd.until(AGENTS)
            memory = (resident_kib(server) - before) / AGENTS
            server.crash()
            await herd.until(0)
            server.begin(configuration)
            return await herd.until(AGENTS), first, memory
        finally:
            for agent in agents:
                agent.leave_now()
            await asyncio.gather(*running)

    seconds, first, memory_kib = asyncio.run(scenario())
    print(f"{AGENTS} agents were back {seconds:.1f} s after a start of the server; {memory_kib:.0f} KiB each")
    assert seconds <= 2 * RETRY_MAX_SECONDS + first, "beyond the pauses as long as so many handshakes take here"
    assert memory_kib <= MEMORY_MAX_KIB
