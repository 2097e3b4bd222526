"""Process hosts: real agents, started, found again, adopted from, and gone when nobody needs them.

Goal: an agent outlives its server, is found by the next one, and leaves no process behind. Method: real agent
processes in temporary spools. Nothing sleeps: what the links and the kernel (pidfd) say is waited for.
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from live import hello, link
from live.clock import boot_id
from live.hello import Hello
from live.link import encode_batch
from live.link_process import LOG_NAME, ProcessHost
from live.listener import SOCKET_NAME, socket_address
from model.channel import ChannelTimes
from model.job import JobId, JobSpec, Outcome
from model.messages import Acknowledge, Assign, Batch, Down, Ended, Inquire, Inventory, Parting, Ping, Pong, Started
from tests.live.link_partners import PATIENCE_SECONDS, StockPeer, Superior, run


class Machine:
    """A process host in a temporary spool. Whatever the test does, no agent of it is left at the end."""

    def __init__(self, directory: Path, name: str = "node1", slots: int = 1) -> None:
        self.spool = directory / "spool"
        self.name = name
        self.directory = directory
        self.dialers: list[ProcessHost] = []
        self.slots = slots

    def dialer(self) -> ProcessHost:
        """As a server makes it when it starts."""
        made = ProcessHost(
            asyncio.get_running_loop(),
            self.name,
            slots=self.slots,
            spool=self.spool,
            directory=self.directory,
            times=ChannelTimes(),
        )
        self.dialers.append(made)
        return made

    def log(self) -> str:
        try:
            return (self.spool / LOG_NAME).read_text()
        except FileNotFoundError:
            return ""

    def keepers(self) -> dict[int, int]:
        """Keepers that may live: process id and pidfd of those that left their number in a lock file."""
        found = {}
        for path in self.spool.glob("keeper-*.lock"):
            text = path.read_text().strip()
            if text.isdigit():
                with suppress(ProcessLookupError):
                    found[int(text)] = os.pidfd_open(int(text))
        return found

    def keepers_gone(self, limit_seconds: float = PATIENCE_SECONDS) -> bool:
        """Whether all keepers end within the limit."""
        gone = True
        for pidfd in self.keepers().values():
            gone = gone and bool(select.select([pidfd], [], [], limit_seconds)[0])
            os.close(pidfd)
        return gone


@asynccontextmanager
async def machine(directory: Path, name: str = "node1", slots: int = 1) -> AsyncIterator[Machine]:
    here = Machine(directory, name, slots)
    try:
        yield here
    finally:
        cleaner = Superior(epoch=1 << 40)
        cleaner.links.define(name, here.dialer())
        if (here.spool / SOCKET_NAME).exists():
            cleaner.links.connect(name)
            await cleaner.until(lambda: bool(cleaner.events))
            if cleaner.agents:
                cleaner.say(name, Inquire(1), Parting(0), life=0)
                await cleaner.links.close(goodbye=True)
        for dialer in here.dialers:
            if not await dialer.wait_gone(PATIENCE_SECONDS):
                dialer.signal(signal.SIGKILL)
                await dialer.wait_gone(PATIENCE_SECONDS)
            dialer.close()
        if not here.keepers_gone():
            for pidfd in here.keepers().values():
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                os.close(pidfd)


async def new_superior(here: Machine, epoch: int = 1) -> tuple[Superior, ProcessHost, Hello]:
    superior, dialer = Superior(epoch), here.dialer()
    superior.links.define(here.name, dialer)
    return superior, dialer, await superior.connect(here.name)


def test_an_agent_is_started_answers_and_leaves_when_it_is_not_needed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with machine(tmp_path) as here:
            superior, dialer, agent = await new_superior(here)
            assert agent.process == dialer.processes[0] != os.getpid()
            assert (agent.name, agent.boot) == ("node1", boot_id())
            superior.say("node1", Inquire(1), life=0)
            await superior.until(lambda: bool(superior.heard(Inventory)))
            inventory = superior.heard(Inventory)[0]
            assert (inventory.entries, inventory.number, inventory.slots) == ((), 1, 1)
            superior.say("node1", Ping(2, 10**9, 1))
            await superior.until(lambda: bool(superior.heard(Pong)))
            await superior.links.close(goodbye=True)
            assert await dialer.wait_gone(PATIENCE_SECONDS), here.log()
            assert not (here.spool / SOCKET_NAME).exists()
            assert here.keepers_gone()

    run(scenario())


def test_an_agent_runs_a_job_in_the_environment_that_it_was_given(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with machine(tmp_path) as here:
            superior, dialer, _ = await new_superior(here)
            superior.say("node1", Inquire(1), life=0)
            await superior.until(lambda: bool(superior.heard(Inventory)))
            job = JobId(7)
            superior.say("node1", Assign(job, 1, JobSpec("t", ("sh", "-c", "pwd > where; env > environment; exit 3"))))
            await superior.until(lambda: bool(superior.heard(Ended)))
            ended = superior.heard(Ended)[0]
            assert (ended.job, ended.attempt) == (7, 1)
            assert (ended.report.outcome, ended.report.exit_code) == (Outcome.EXITED, 3)
            assert ended.report.host == "node1"
            assert (tmp_path / "where").read_text().strip() == str(tmp_path)
            assert "PYTHONPATH" not in (tmp_path / "environment").read_text()
            superior.say("node1", Acknowledge(job, 1))
            await superior.links.close(goodbye=True)
            assert await dialer.wait_gone(PATIENCE_SECONDS), here.log()
            assert here.keepers_gone(), "keepers that hold nothing leave with their agent"

    run(scenario())


def test_an_agent_outlives_its_server_and_the_next_one_finds_it_with_its_job(tmp_path: Path) -> None:
    async def scenario() -> None:
        os.mkfifo(tmp_path / "gate")
        async with machine(tmp_path) as here:
            superior, _, agent = await new_superior(here, epoch=1)
            superior.say("node1", Inquire(1), life=0)
            await superior.until(lambda: bool(superior.heard(Inventory)))
            superior.say("node1", Assign(JobId(7), 1, JobSpec("t", ("cat", "gate"))))
            await superior.until(lambda: bool(superior.heard(Started)))
            await superior.links.close(goodbye=False)
            later, dialer, same = await new_superior(here, epoch=2)
            assert (same.process, same.epoch) == (agent.process, agent.epoch)
            later.say("node1", Inquire(1), life=0)
            await later.until(lambda: bool(later.heard(Inventory)))
            inventory = later.heard(Inventory)[0]
            assert [entry.job for entry in inventory.entries] == [7]
            (tmp_path / "gate").write_text("go")
            await later.until(lambda: bool(later.heard(Ended)))
            later.say("node1", Acknowledge(JobId(7), 1))
            await later.links.close(goodbye=True)
            assert await dialer.wait_gone(PATIENCE_SECONDS), here.log()

    run(scenario())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_after_the_death_of_an_agent_the_next_life_adopts_its_job(number: signal.Signals, tmp_path: Path) -> None:
    async def scenario() -> None:
        os.mkfifo(tmp_path / "gate")
        async with machine(tmp_path) as here:
            superior, dialer, agent = await new_superior(here)
            superior.say("node1", Inquire(1), life=0)
            await superior.until(lambda: bool(superior.heard(Inventory)))
            superior.say("node1", Assign(JobId(7), 1, JobSpec("t", ("cat", "gate"))))
            await superior.until(lambda: bool(superior.heard(Started)))
            dialer.signal(number)
            await superior.until(lambda: superior.events[-1][0] == "down")
            assert await dialer.wait_gone(PATIENCE_SECONDS)
            next_life = await superior.connect("node1")
            assert next_life.epoch > agent.epoch
            assert next_life.process != agent.process
            superior.say("node1", Inquire(2), life=0)
            await superior.until(lambda: len(superior.heard(Inventory)) == 2)
            inventory = superior.heard(Inventory)[1]
            assert [entry.job for entry in inventory.entries] == [7]
            (tmp_path / "gate").write_text("go")
            await superior.until(lambda: bool(superior.heard(Ended)))
            superior.say("node1", Acknowledge(JobId(7), 1))
            await superior.links.close(goodbye=True)
            assert await dialer.wait_gone(PATIENCE_SECONDS), here.log()

    run(scenario())


def test_a_parting_without_a_lease_ends_the_jobs_and_then_nothing_is_left(tmp_path: Path) -> None:
    async def scenario() -> None:
        os.mkfifo(tmp_path / "gate")
        async with machine(tmp_path) as here:
            superior, dialer, _ = await new_superior(here)
            superior.say("node1", Inquire(1), life=0)
            await superior.until(lambda: bool(superior.heard(Inventory)))
            superior.say("node1", Assign(JobId(7), 1, JobSpec("t", ("cat", "gate"))))
            await superior.until(lambda: bool(superior.heard(Started)))
            superior.say("node1", Parting(0))
            await superior.links.close(goodbye=True)
            assert await dialer.wait_gone(PATIENCE_SECONDS), here.log()
            assert here.keepers_gone()

    run(scenario())


def test_an_agent_whose_server_left_while_it_started_leaves_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with machine(tmp_path) as here:
            superior, dialer = Superior(), here.dialer()
            begun = asyncio.Event()
            spawn = dialer._spawn

            def spawn_and_tell(tell: int) -> int:
                begun.set()
                return spawn(tell)

            monkeypatch.setattr(dialer, "_spawn", spawn_and_tell)
            superior.links.define("node1", dialer)
            superior.links.connect("node1")
            await begun.wait()
            await superior.links.close(goodbye=True)
            assert await dialer.wait_gone(PATIENCE_SECONDS), here.log()
            assert here.keepers_gone(PATIENCE_SECONDS)

    run(scenario())


def test_a_start_that_fails_says_what_the_agent_said(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with machine(tmp_path, slots=0) as here:
            superior = Superior()
            superior.links.define("node1", here.dialer())
            superior.links.connect("node1")
            await superior.until(lambda: bool(superior.events))
            assert superior.events[0][0] == "down"
            assert "at least 1 is wanted" in superior.events[0][2]

    run(scenario())


def test_a_stopped_agent_is_not_doubled_but_called_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with machine(tmp_path) as here:
            superior, dialer, agent = await new_superior(here)
            os.kill(agent.process, signal.SIGSTOP)
            monkeypatch.setattr(link, "HELLO_SECONDS", 0.1)
            superior.links.connect("node1")
            await superior.until(lambda: len(superior.events) == 2)
            assert "no hello within" in superior.events[1][2]
            assert dialer.processes == (agent.process,)
            monkeypatch.undo()
            os.kill(agent.process, signal.SIGCONT)
            await superior.connect("node1")
            await superior.links.close(goodbye=True)
            assert await dialer.wait_gone(PATIENCE_SECONDS), here.log()

    run(scenario())


def test_a_second_agent_on_the_same_spool_is_refused_with_the_first_ones_pid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with machine(tmp_path) as here:
            superior, dialer, agent = await new_superior(here)
            (here.spool / SOCKET_NAME).unlink()
            (
                other,
                _,
            ) = Superior(), None
            other.links.define("node1", here.dialer())
            other.links.connect("node1")
            await other.until(lambda: bool(other.events))
            assert other.events[0][0] == "down"
            assert str(agent.process) in other.events[0][2]
            await superior.links.close(goodbye=True)
            assert await dialer.wait_gone(PATIENCE_SECONDS), here.log()

    run(scenario())


def test_the_agent_has_its_own_session_and_no_descriptor_of_the_server(tmp_path: Path) -> None:
    async def scenario() -> None:
        kept = os.open(tmp_path, os.O_RDONLY)
        async with machine(tmp_path) as here:
            superior, dialer, agent = await new_superior(here)
            assert os.getsid(agent.process) == agent.process
            targets = {
                os.readlink(f"/proc/{agent.process}/fd/{name}") for name in os.listdir(f"/proc/{agent.process}/fd")
            }
            assert str(tmp_path) not in targets
            await superior.links.close(goodbye=True)
            assert await dialer.wait_gone(PATIENCE_SECONDS), here.log()
        os.close(kept)

    run(scenario())


def test_the_agent_answers_a_plain_client_on_its_socket(tmp_path: Path) -> None:
    """The words that a stock rpyc client needs are shown whole in test_wire.py; here the agent is a real one."""

    async def scenario() -> None:
        async with machine(tmp_path) as here:
            superior, dialer, _ = await new_superior(here)
            await superior.links.close(goodbye=False)
            calling = socket.socket(socket.AF_UNIX)
            directory_fd = os.open(here.spool, os.O_PATH)
            calling.connect(socket_address(directory_fd))
            os.close(directory_fd)
            peer = StockPeer(calling)
            own = hello.own_hello(hello.Side.SUPERIOR, "node1", 2)
            answer = hello.decode(await asyncio.to_thread(peer.deliver, hello.encode(own)))  # type: ignore[arg-type]
            assert isinstance(answer, Hello)
            words: tuple[Down, ...] = (Inquire(1), Ping(2, 10**9, 1))
            await asyncio.to_thread(peer.deliver, encode_batch(Batch(2, 1, 0, words)))
            await asyncio.to_thread(peer.serve_until_delivered, 1)
            told = link.decode_batch(peer.delivered[0], hello.Side.SUPERIOR)
            assert (told.epoch, told.receiver_epoch) == (answer.epoch, 2)
            assert {type(message) for message in told.messages} <= {Inventory, Pong}
            assert told.messages
            await asyncio.to_thread(peer.connection.close)
            assert await dialer.wait_gone(PATIENCE_SECONDS), here.log()

    run(scenario())
