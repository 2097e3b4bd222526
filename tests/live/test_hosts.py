"""The hosts of a server: each kind of link behind one interface, few dials at once, other settings while it runs, and
what is remembered of hosts on other machines.

Method: `Hosts` over a program that stands for ssh (`fake_ssh.py`); no controller, so each connection is ordered here.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from live import link_ssh
from live.hosts import DEFINITION_NAME, KINDS, Hosts, leftover_hosts
from live.state_directory import StateDirectory
from live.sweep import sweep
from model.configuration import ClusterDefinition, HostDefinition, Link, SshSettings
from tests.live.fake_ssh import FakeSsh
from tests.live.link_partners import Heard, run


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSsh:
    return FakeSsh(tmp_path, monkeypatch)


class Told(Heard):
    """What the hosts said, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[tuple[str, str]] = []
        self.reasons: dict[str, str] = {}

    def up(self, host: str, agent: object) -> None:
        self.events.append(("up", host))
        self.news()

    def down(self, host: str, reason: str) -> None:
        self.events.append(("down", host))
        self.reasons[host] = reason
        self.news()


@asynccontextmanager
async def hosts_of(ssh: FakeSsh, cluster: ClusterDefinition) -> AsyncIterator[tuple[Hosts, Told]]:
    """The hosts of a server; whatever the test does, no agent is left."""
    state, told = StateDirectory(ssh.folder / ".laulima"), Told()
    loop = asyncio.get_running_loop()
    hosts = Hosts(loop, 1, cluster, state, ssh.folder, up=told.up, down=told.down, batch=lambda *_: None)
    try:
        yield hosts, told
        assert await hosts.leave(kill=True, busy=()) == []
    finally:
        hosts.close()
        for spool in ssh.home.glob(".local/state/laulima/*/*"):
            sweep(spool)
        state.close()


def definition(ssh: FakeSsh, name: str, **more: object) -> HostDefinition:
    return msgspec.structs.replace(ssh.definition(name), **more)


def test_every_kind_of_link_that_a_file_may_name_is_there() -> None:
    assert {Link.PROCESS, Link.SSH} <= set(KINDS)


def test_few_hosts_are_dialled_at_one_time(ssh: FakeSsh) -> None:
    async def scenario() -> None:
        os.mkfifo(ssh.folder / "gate")
        ssh.behave(f"read x < {ssh.folder}/gate; exit 255")
        names = [f"node{number}" for number in range(link_ssh.DIALS_MAX + 4)]
        cluster = ClusterDefinition(hosts=tuple(definition(ssh, name) for name in names))
        async with hosts_of(ssh, cluster) as (hosts, told):
            for name in names:
                hosts.connect(name)
            for _ in range(100):
                await asyncio.sleep(0)
            begun = [host for host in hosts._hosts.values() if host._runs]  # type: ignore[attr-defined]
            assert len(begun) == link_ssh.DIALS_MAX
            gate = os.open(ssh.folder / "gate", os.O_RDWR)
            os.write(gate, b"go\n" * 100)
            await told.until(lambda: len(told.reasons) == len(names))
            os.close(gate)
            assert ssh.runs() == len(names)

    run(scenario())


def test_a_host_that_is_reached_in_another_way_is_connected_anew(ssh: FakeSsh) -> None:
    async def scenario() -> None:
        async with hosts_of(ssh, ClusterDefinition(hosts=(definition(ssh, "node1"),))) as (hosts, told):
            hosts.connect("node1")
            await told.until(lambda: told.events == [("up", "node1")])
            hosts.define(definition(ssh, "node1", slots=7))
            assert hosts.links.connected("node1"), "other slots are no reason to part"
            other = msgspec.structs.replace(definition(ssh, "node1", slots=7), ssh=SshSettings(host="other"))
            hosts.define(other)
            await told.until(lambda: told.events[-1] == ("down", "node1"))
            hosts.connect("node1")
            await told.until(lambda: told.events[-1] == ("up", "node1"))
            assert " -- other exec" in ssh.calls.read_text()

    run(scenario())


def test_hosts_that_people_add_are_reached_as_the_configuration_says(ssh: FakeSsh) -> None:
    async def scenario() -> None:
        cluster = ClusterDefinition(added=definition(ssh, ""))
        async with hosts_of(ssh, cluster) as (hosts, told):
            hosts.add("node9", 3)
            hosts.connect("node9")
            await told.until(lambda: told.events == [("up", "node9")])
            assert " -- node9 exec" in ssh.calls.read_text()
            assert hosts.spool_here("node9") is None
            hosts.restore("node9", 5)
            assert hosts.links.connected("node9")

    run(scenario())


def test_a_host_on_another_machine_is_remembered_until_its_agent_is_gone(ssh: FakeSsh) -> None:
    async def scenario() -> None:
        state = ssh.folder / ".laulima"
        file = state / "hosts" / "node1" / DEFINITION_NAME
        known = definition(ssh, "node1")
        async with hosts_of(ssh, ClusterDefinition(hosts=(known,))) as (hosts, told):
            hosts.connect("node1")
            await told.until(lambda: told.events == [("up", "node1")])
            await hosts.links.close(goodbye=False)
            await hosts.leave(kill=False, busy={"node1"})
            assert not hosts._hosts["node1"]._runs, "ssh has ended by itself: the last words have arrived"
            assert "node1" in hosts.agents
            assert leftover_hosts(state) == (known,)
            hosts.connect("node1")
            await told.until(lambda: len(told.events) == 2)
        assert not file.exists()
        assert leftover_hosts(state) == ()

    run(scenario())


def test_what_may_be_left_on_a_machine_that_is_out_of_reach_is_said(ssh: FakeSsh) -> None:
    async def scenario() -> None:
        cluster = ClusterDefinition(hosts=(definition(ssh, "node1"),))
        async with hosts_of(ssh, cluster) as (hosts, told):
            hosts.connect("node1")
            await told.until(lambda: told.events == [("up", "node1")])
            ssh.behave("echo no way >&2; exit 255")
            for process in list(hosts._hosts["node1"]._runs):  # type: ignore[attr-defined]
                process.kill()
            await told.until(lambda: told.events[-1] == ("down", "node1"))
            [trouble] = await hosts.leave(kill=True, busy=())
            assert "host node1: an agent may be left" in trouble
            assert "no way" in trouble
            ssh.behave("")

    run(scenario())
