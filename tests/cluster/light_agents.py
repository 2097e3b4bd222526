"""Light agents: many hosts that dial in from one process, for tests and benchmarks of the server.

Each has a certificate and an address of its own (127.0.x.y), and does the real calling, pausing and TLS of
`live/agent_joining.py`; its link and its end of the job channel (`live/link.py`, `model/uplink.py`) are real, too. No
agent process and no keeper is behind it: with `answers`, each job is said to have started and ended well in the same
turn; without, the link is kept and nothing more is said.

Used by `test_herd.py` in its own process, and by `benchmarks/test_thousand_agents.py`, which runs it as a program:

    python -m tests.cluster.light_agents FOLDER PORT FIRST COUNT SLOTS RETRY_MAX

It writes one line whenever the number of linked agents has changed, and ends with its standard input.
"""

from __future__ import annotations

import asyncio
import io
import socket
import ssl
import sys
from pathlib import Path
from typing import Any

from live import agent_joining
from live.agent_joining import JoiningAgent, JoinSettings
from live.clock import boottime_ns
from live.complaints import Complaints
from live.hello import Hello, Side, own_hello
from live.joining_words import JoinAnswer, JoinReady, line
from live.link import Link
from live.link_process import times_from_text
from live.tls import send_all
from model.channel import ChannelTimes
from model.job import SECOND, Outcome, Report
from model.messages import Acknowledge, Assign, Batch, Cancel, Entry, Held, Inquire, Ping
from model.timers import NEVER_NS
from model.uplink import Uplink
from shell.certificate_authority import Authority

PATIENCE = 90.0
"""Seconds that anything here may take."""
TOLD_SECONDS = 0.1
"""The program writes at most one line in so long."""
ADDRESSES_EACH = 200
"""Addresses of one 127.0.x."""
EPOCH = 1


class Herd:
    """Which light agents are linked, and when that changes."""

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


class LightHost:
    """The subordinate's end of the channel, of a host on which each job takes no time. Lives on when links end."""

    def __init__(self, loop: asyncio.AbstractEventLoop, name: str, slots: int) -> None:
        self._loop = loop
        self._name = name
        self._slots = slots
        self._uplink = Uplink(EPOCH, ChannelTimes())
        self._specs: dict[tuple[int, int], Any] = {}
        """of ends that are not acknowledged"""
        self._timer: asyncio.TimerHandle | None = None
        self._link: Link | None = None

    def opened(self, link: Link, times: ChannelTimes) -> None:
        self._link, self._uplink.times = link, times

    def closed(self) -> None:
        self._link = None
        self._uplink.closed()
        if self._timer is not None:
            self._timer.cancel()

    def heard(self, batch: Batch) -> None:
        """Answer at once all that the server says."""
        uplink, now = self._uplink, boottime_ns()
        for message in uplink.receive(batch, now):
            if isinstance(message, Assign):
                self._end(message, now)
            elif isinstance(message, Acknowledge):
                self._specs.pop((message.job, message.attempt), None)
            elif isinstance(message, Inquire):
                entries = tuple(
                    Entry(*key, Held.ENDED, self._specs[key], self._name, ended.report)
                    for key, (ended, _) in uplink.results.items()
                )
                uplink.inventory(message.number, entries, EPOCH, self._slots, now)
            elif isinstance(message, Ping):
                uplink.pong(message.number, 0, 0, "", now)
            elif isinstance(message, Cancel):
                uplink.deny((message.job, message.attempt), now)
        self._say(now)

    def _end(self, given: Assign, now: int) -> None:
        key = (given.job, given.attempt)
        self._specs[key] = given.spec
        self._uplink.started(key, self._name, 0)
        self._uplink.ended(key, Report(Outcome.EXITED, exit_code=0, host=self._name, started=True), now)

    def _say(self, now: int) -> None:
        batch = self._uplink.take()
        if batch is not None and self._link is not None:
            self._link.send(batch)
        due = self._uplink.resend_at
        if self._timer is None and due != NEVER_NS:
            self._timer = self._loop.call_later((due - now) / SECOND, self._again)

    def _again(self) -> None:
        self._timer = None
        now = boottime_ns()
        self._uplink.advance(now)
        self._say(now)


class LightAgent(JoiningAgent):
    """Calls as a real one does, and is the owner of its link."""

    def __init__(self, herd: Herd, settings: JoinSettings, *, answers: bool) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(loop, settings, Complaints(io.StringIO()))
        self._herd = herd
        self._host = LightHost(loop, settings.name, settings.slots) if answers else None

    def leave_now(self) -> None:
        """End the program's part, as at a second signal."""
        self._over.set()

    async def _serve(self, secure: ssl.SSLSocket, answer: JoinAnswer) -> str:
        self._over_with_it = asyncio.get_running_loop().create_future()
        await send_all(secure, line(JoinReady(1)))
        link = Link(self._loop, own_hello(Side.AGENT, self._settings.name, EPOCH), self, dials=False)
        if self._host is not None:
            self._host.opened(link, times_from_text(answer.times))
        link.start(secure)
        try:
            return await self._over_with_it
        finally:
            link.close()
            if self._host is not None:
                self._host.closed()
            self._herd.linked.discard(self._settings.name)
            self._herd.changed.set()

    def link_up(self, link: Link, peer: Hello) -> None:
        self._herd.linked.add(self._settings.name)
        self._herd.changed.set()

    def link_batch(self, link: Link, batch: Any) -> None:
        if self._host is not None:
            self._host.heard(batch)

    def link_aside(self, link: Link, message: Any) -> None:
        raise AssertionError("nobody asks for output")

    def link_down(self, link: Link, reason: str) -> None:
        if not self._over_with_it.done():
            self._over_with_it.set_result(reason)


def join_settings(folder: Path, port: int, number: int, slots: int, retry_max_seconds: float) -> JoinSettings:
    """Of the light agent with this number; its certificate is in the authority's folder."""
    name = f"h{number}"
    authority = Authority(folder)
    return JoinSettings(
        "127.0.0.1", port, name, slots, folder / "ca.pem", authority.certificate(name), authority.key(name),
        folder / "nowhere", retry_max_seconds,
    )  # fmt: skip


class Addresses:
    """Makes each connection from another address, as if from another machine; on loopback it needs no waiting."""

    def __init__(self, first: int = 0) -> None:
        self._next = first

    async def connect(self, host: str, port: int) -> socket.socket:
        """Stands for `live.agent_joining._connect`."""
        self._next = (self._next + 1) % (200 * ADDRESSES_EACH)
        connected = socket.socket()
        try:
            connected.bind((f"127.0.{1 + self._next // ADDRESSES_EACH}.{1 + self._next % ADDRESSES_EACH}", 0))
            connected.connect((host, port))
        except OSError:
            connected.close()
            raise
        return connected


async def _program(folder: Path, port: int, first: int, count: int, slots: int, retry_max_seconds: float) -> None:
    loop = asyncio.get_running_loop()
    herd = Herd()
    agents = [
        LightAgent(herd, join_settings(folder, port, number, slots, retry_max_seconds), answers=True)
        for number in range(first, first + count)
    ]
    running = [asyncio.ensure_future(agent.run()) for agent in agents]
    ended = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), ended.set)
    told = 0
    while not ended.is_set():
        if len(herd.linked) != told:
            told = len(herd.linked)
            print(told, flush=True)
        await asyncio.wait((loop.create_task(ended.wait()),), timeout=TOLD_SECONDS)
    for agent in agents:
        agent.leave_now()
    await asyncio.gather(*running)


def main(arguments: list[str]) -> None:
    """See the head of this file."""
    folder, (port, first, count, slots), retry_max = Path(arguments[0]), map(int, arguments[1:5]), float(arguments[5])
    agent_joining._connect = Addresses(first).connect
    asyncio.run(_program(folder, port, first, count, slots, retry_max))


if __name__ == "__main__":
    main(sys.argv[1:])
