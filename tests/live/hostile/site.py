"""A whole laulima in one event loop, for strangers to attack: a server with its journal, its local keepers and prompts,
and the agents of two hosts, n1 and n2. Everything is real but that agents and server share a process, so that a test
sees each event that a machine gets, each line that people are shown, and every descriptor.

Used by `links.py`, which says what of it can be attacked. Nothing in here is hostile.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from live.agent_program import AgentProgram, Settings
from live.agent_turns import AgentTurns
from live.beginning import Scripting
from live.complaints import Complaints
from live.journal import Journal
from live.loop import Turns
from live.server import How, Server
from live.state_directory import StateDirectory
from live.sweep import owner_of
from live.systemd import Systemd
from model.configuration import ClusterDefinition, Configuration, HostDefinition
from model.host import HostState
from shell.language.machine import Scripts
from tests.live.link_partners import PATIENCE_SECONDS

LOOK_SECONDS = 0.01
"""How often a condition is looked at that nothing announces."""
HONEST = ("n1", "n2", "local")
RSS_MAX_KIB = 64 << 10
"""What a process may have grown by when the attack is over. (The allocator keeps some; a bomb is hundreds of MiB.)"""


class HonestClient:
    """A client of the control socket that has many questions at once."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._number = 0
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._reading = asyncio.get_running_loop().create_task(self._read())

    @classmethod
    async def to(cls, path: Path) -> HonestClient:
        return cls(*await asyncio.open_unix_connection(path, limit=1 << 26))

    async def ask(self, verb_: str, **arguments: Any) -> Any:
        """The data of the answer; AssertionError when the server refuses or closes."""
        self._number += 1
        number = self._number
        future = self._answers[number] = asyncio.get_running_loop().create_future()
        request = {"id": number, "verb": verb_, "arguments": arguments}
        self._writer.write(json.dumps(request).encode() + b"\n")
        answer = await future
        assert answer is not None, f"the connection ended before {verb_} was answered"
        assert answer["ok"], answer
        return answer["data"]

    async def _read(self) -> None:
        while line := await self._reader.readline():
            answer = json.loads(line)
            self._answers.pop(answer["id"]).set_result(answer)
        for future in self._answers.values():
            future.set_result(None)

    async def close(self) -> None:
        self._writer.close()
        await asyncio.gather(self._reading, self._writer.wait_closed(), return_exceptions=True)


class Site:
    """See the head of this file. Made by `site`."""

    def __init__(self, folder: Path, configuration: Configuration) -> None:
        self.loop = asyncio.get_running_loop()
        self.folder = folder
        self.state = StateDirectory(folder / ".laulima")
        self.journal = Journal(self.state.journal)
        self.events: list[tuple[object, Any]] = []
        """(machine or turns of an agent, event): everything that a machine was told"""
        self.said: list[str] = []
        """what the server showed to people"""
        self.logs = {name: io.StringIO() for name in ("n1", "n2")}
        self.agents: dict[str, AgentProgram] = {}
        self.unheard: list[dict[str, Any]] = []
        """exceptions of which only the loop heard"""
        self.loop.set_exception_handler(lambda _, context: self.unheard.append(context))
        how, tell = How(scripting=Scripting(Scripts)), self.said.append
        self.server = Server(configuration, self.state, self.journal, self.loop, tell, how, Systemd("", 0, tell))
        self._running: list[asyncio.Task[int]] = []

    async def start(self) -> None:
        for name, log in self.logs.items():
            spool = self.state.host_spool(name)
            spool.mkdir(mode=0o700, parents=True)
            settings = Settings(name, 2, spool, self.folder, self.server._configuration.cluster.times, None)
            program = self.agents[name] = AgentProgram(self.loop, settings, Complaints(log))
            self._running.append(self.loop.create_task(program.run()))
            await self.until((spool / "agent.sock").exists, f"the door of {name}")
        await self.server.start()
        self.client = await HonestClient.to(self.state.control)
        await self.until(lambda: all(self.is_up(name) for name in self.agents), "both hosts")
        await self.work(*HONEST)

    def is_up(self, host: str) -> bool:
        return self.server.controller.hosts[host].link.ready

    async def bring_back(self, host: str) -> None:
        """The server's link to this host is up again; at once, as when a person says so."""
        if self.is_up(host):
            return
        state = self.server.controller.hosts[host]
        await self.until(lambda: self.is_up(host) or state.state is HostState.DOWN, f"{host} is down or up")
        if not self.is_up(host):
            await self.client.ask("host", verb="retry", name=host)
        await self.until(lambda: self.is_up(host), f"the server's link to {host}")

    @property
    def epoch(self) -> int:
        """Which life of the server this is."""
        return self.server.controller.superiors.embedded.uplink.epoch

    async def until(self, condition: Callable[[], object], what: str) -> None:
        """Wait for something that nothing announces."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not condition():
                    await a_moment()
        except TimeoutError:
            raise AssertionError(f"not in time: {what}; the server said {self.said[-5:]}") from None

    async def work(self, *hosts: str) -> None:
        """A real job on each of these hosts, to its recorded end and its output."""
        await asyncio.gather(*(self._job(host) for host in hosts))

    async def _job(self, host: str) -> None:
        script = f"echo {host} $((6 * 7))"
        words = {"command": ["sh", "-c", script], "host": host, "required": True, "wait": True}
        asking = asyncio.ensure_future(self.client.ask("submit", **words))
        ends: list[asyncio.Future[Any]] = [asking, self.server._turns.failed]
        await asyncio.wait(ends, timeout=PATIENCE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if not asking.done():
            asking.cancel()
            raise AssertionError(f"a job on {host} did not end; {self.server._turns.failed}; said: {self.said[-5:]}")
        done = asking.result()
        assert (done["report"]["outcome"], done["report"]["exit_code"]) == ("EXITED", 0), done
        assert _text(done["stdout"]) == f"{host} 42\n"

    def lines(self) -> int:
        """Lines that people were shown, anywhere."""
        return len(self.said) + sum(log.getvalue().count("\n") for log in self.logs.values())

    def keepers(self) -> list[int]:
        """Process ids of the keepers."""
        found = (owner_of(lock) for lock in sorted(self.folder.glob(".laulima/**/keeper-*.lock")))
        return [pid for pid in found if pid is not None]

    def measure(self) -> Measured:
        return Measured([os.getpid(), *self.keepers()])

    async def close(self) -> None:
        await self.client.close()
        await asyncio.gather(*(agent._host.dismiss_keepers(True, PATIENCE_SECONDS) for agent in self.agents.values()))
        await self.server._local.dismiss_keepers(True, PATIENCE_SECONDS)
        for agent in self.agents.values():
            agent.stop()
        await asyncio.gather(*self._running)
        await self.server.close()
        self.journal.close()
        self.state.close()


class Measured:
    """What processes have of the machine: descriptors, threads, resident memory."""

    def __init__(self, processes: list[int]) -> None:
        self.descriptors = {pid: _descriptors(pid) for pid in processes}
        self.threads = {pid: len(os.listdir(f"/proc/{pid}/task")) for pid in processes}
        self.resident_kib = {pid: _resident_kib(pid) for pid in processes}

    def is_back_at(self, base: Measured) -> bool:
        return (
            self.descriptors.keys() == base.descriptors.keys()
            and all(self.descriptors[pid] <= count for pid, count in base.descriptors.items())
            and all(self.threads[pid] <= count for pid, count in base.threads.items())
            and all(self.resident_kib[pid] <= count + RSS_MAX_KIB for pid, count in base.resident_kib.items())
        )

    def __repr__(self) -> str:
        return f"descriptors {self.descriptors}, threads {self.threads}, KiB {self.resident_kib}"


def _text(path: str) -> str:
    return Path(path).read_text(encoding="utf-8")


async def a_moment() -> None:
    """Let LOOK_SECONDS pass in which nothing is awaited."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LOOK_SECONDS):
            await asyncio.Event().wait()


def _descriptors(pid: int) -> int:
    """How many a process has. Without those of a keeper's pool of output files: how many it keeps in reserve depends on
    how many jobs it ran at one time."""
    count = 0
    for number in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):  # the one that lists them
            count += "/pool/" not in os.readlink(f"/proc/{pid}/fd/{number}")
    return count


def _resident_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


@contextlib.contextmanager
def _overheard(events: list[tuple[object, Any]]) -> Iterator[None]:
    """All events of all machines are noted."""
    with pytest.MonkeyPatch.context() as patch:
        for turns in (Turns, AgentTurns):
            post = turns.post

            def spy(self: Any, *words: Any, post: Any = post) -> None:
                events.append((words[0] if len(words) == 2 else self, words[-1]))
                post(self, *words)

            patch.setattr(turns, "post", spy)
        yield


@asynccontextmanager
async def site(folder: Path) -> AsyncIterator[Site]:
    """A laulima that works, and is gone with all its processes at the end."""
    hosts = (HostDefinition("n1", 2), HostDefinition("n2", 2))
    configuration = Configuration(
        str(folder / "pipeline.yaml"), str(folder), cluster=ClusterDefinition(hosts=hosts, local_slots=1)
    )
    events: list[tuple[object, Any]] = []
    with _overheard(events):
        here = Site(folder, configuration)
        here.events = events
        await here.start()
        try:
            yield here
        finally:
            await here.close()
