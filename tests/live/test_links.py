"""The registry of the superior's links: each connect is answered exactly once, whatever happens meanwhile.

Method: `Links` over dialers of the test's own, whose other ends live in the same loop. Real agents are in
`test_agent_program.py`.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from pathlib import Path

import pytest

from live.link import Link
from live.link_process import times_from_text, times_text
from live.program_link import ProgramLink
from model.channel import ChannelTimes
from model.errors import NotReachableError
from model.messages import Batch, Ping, Pong
from tests.live.link_partners import Owner, Superior, agent_hello, run


class PairDialer:
    """Dials an agent's end that lives in the test itself."""

    def __init__(self) -> None:
        self.owner = Owner()
        self.ends: list[Link] = []

    async def dial(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        end = Link(asyncio.get_running_loop(), agent_hello(), self.owner, dials=False)
        self.ends.append(end)
        end.start(theirs)
        self.owner.news()
        return ours


class FailingDialer:
    async def dial(self) -> socket.socket:
        raise NotReachableError("no such machine")


class MistakenDialer:
    async def dial(self) -> socket.socket:
        raise ValueError("no number")


class SlowDialer:
    """Dials when it is told to."""

    def __init__(self) -> None:
        self.may_go = asyncio.Event()
        self.begun = 0

    async def dial(self) -> socket.socket:
        self.begun += 1
        await self.may_go.wait()
        raise NotReachableError("too late")


# the registry


def test_a_host_is_connected_spoken_to_heard_and_left() -> None:
    async def scenario() -> None:
        superior, dialer = Superior(), PairDialer()
        superior.links.define("node1", dialer)
        agent = await superior.connect("node1")
        assert agent.name == "node1"
        assert superior.links.connected("node1")
        superior.say("node1", Ping(1, 2, 3))
        await dialer.owner.until(lambda: bool(dialer.owner.batches))
        dialer.ends[0].send(Batch(1, 1, 1, (Pong(1),)))
        await superior.until(lambda: bool(superior.batches))
        superior.links.disconnect("node1")
        await dialer.owner.until(lambda: bool(dialer.owner.reasons))
        assert dialer.owner.left
        assert not superior.links.connected("node1")
        assert superior.events == [("up", "node1", "")]

    run(scenario())


def test_a_goodbye_before_the_hello_is_answered_is_heard(tmp_path: Path) -> None:
    async def scenario() -> None:
        superior, dialer = Superior(), PairDialer()
        superior.links.define("node1", dialer)
        superior.links.connect("node1")
        await dialer.owner.until(lambda: bool(dialer.ends))
        await superior.links.close(goodbye=True)
        await dialer.owner.until(lambda: bool(dialer.owner.reasons))
        assert dialer.owner.left
        assert not superior.events

    run(scenario())


def test_a_link_that_breaks_is_told_once() -> None:
    async def scenario() -> None:
        superior, dialer = Superior(), PairDialer()
        superior.links.define("node1", dialer)
        await superior.connect("node1")
        dialer.ends[0].close()
        await superior.until(lambda: len(superior.events) == 2)
        assert superior.events[1] == ("down", "node1", "the other end closed the connection")
        superior.say("node1", Ping(1, 2, 3))  # dropped, without an error

    run(scenario())


def test_a_host_that_cannot_be_reached_is_told_with_the_reason() -> None:
    async def scenario() -> None:
        superior = Superior()
        superior.links.define("node1", FailingDialer())
        superior.links.connect("node1")
        superior.links.connect("stranger")
        assert not superior.events, "no answer comes inside connect"
        await superior.until(lambda: len(superior.events) == 2)
        assert ("down", "node1", "no such machine") in superior.events
        assert any(event[1] == "stranger" for event in superior.events)

    run(scenario())


def test_a_mistake_while_dialling_is_told_and_the_host_can_be_dialled_again() -> None:
    async def scenario() -> None:
        superior = Superior()
        superior.links.define("node1", MistakenDialer())
        for count in (1, 2):
            superior.links.connect("node1")
            await superior.until(lambda: len(superior.events) == count)  # noqa: B023 - awaited at once
        told = "no connection, by a mistake of this program: ValueError: no number"
        assert superior.events == [("down", "node1", told)] * 2

    run(scenario())


def test_an_attempt_to_connect_has_a_limit() -> None:
    async def scenario() -> None:
        superior = Superior(connect_seconds=0.05)
        superior.links.define("node1", SlowDialer())
        superior.links.connect("node1")
        await superior.until(lambda: bool(superior.events))
        assert superior.events == [("down", "node1", "no connection within 0.05 s")]

    run(scenario())


def test_disconnecting_while_it_dials_ends_the_attempt_without_an_answer() -> None:
    async def scenario() -> None:
        superior, slow = Superior(), SlowDialer()
        superior.links.define("node1", slow)
        superior.links.connect("node1")
        await asyncio.sleep(0)
        superior.links.disconnect("node1")
        slow.may_go.set()
        dialer = PairDialer()
        superior.links.define("node1", dialer)
        await superior.connect("node1")
        assert superior.events == [("up", "node1", "")]
        await superior.links.close()

    run(scenario())


def test_connecting_again_replaces_the_link_and_is_answered_once() -> None:
    async def scenario() -> None:
        superior, dialer = Superior(), PairDialer()
        superior.links.define("node1", dialer)
        await superior.connect("node1")
        await superior.connect("node1")
        await dialer.owner.until(lambda: bool(dialer.owner.reasons))
        assert superior.events == [("up", "node1", "")] * 2
        superior.say("node1", Ping(1, 2, 3))
        await dialer.owner.until(lambda: bool(dialer.owner.batches))
        await superior.links.close()

    run(scenario())


def test_a_host_that_broke_the_protocol_is_dropped_and_told() -> None:
    async def scenario() -> None:
        superior, dialer = Superior(), PairDialer()
        superior.links.define("node1", dialer)
        await superior.connect("node1")
        superior.links.fail("node1", "it said Assign")
        await superior.until(lambda: len(superior.events) == 2)
        assert superior.events[1] == ("down", "node1", "it said Assign")
        await dialer.owner.until(lambda: bool(dialer.owner.reasons))
        assert not dialer.owner.left

    run(scenario())


def test_one_host_that_hangs_does_not_keep_another_from_connecting() -> None:
    async def scenario() -> None:
        superior = Superior()
        superior.links.define("hangs", SlowDialer())
        superior.links.define("node1", PairDialer())
        superior.links.connect("hangs")
        await superior.connect("node1")
        await superior.links.close()

    run(scenario())


class Failing(ProgramLink):
    """Runs a program that there is not."""

    def _words(self) -> list[str]:
        return ["no_such_module"]


def why_not(folder: Path) -> str:
    """Why the program in this folder did not start."""

    async def whole() -> str:
        link = Failing(asyncio.get_running_loop(), "the agent", folder, socket_name="socket", log_name="agent.log")
        with pytest.raises(NotReachableError) as told:
            await link.dial()
        return str(told.value)

    return asyncio.run(whole())


def test_a_program_that_does_not_start_has_its_own_last_words_and_not_those_of_another(tmp_path: Path) -> None:
    (tmp_path / "agent.log").write_text("an old story\n")
    said = why_not(tmp_path)
    assert "No module named no_such_module" in said
    assert "an old story" not in said


def no_room(link: ProgramLink, tell: int) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_program_that_can_say_nothing_on_a_full_disk_has_that_said_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "agent.log").symlink_to("/dev/null")
    monkeypatch.setattr("live.program_link.free_bytes", lambda _: 0)
    full = f"the disk of {tmp_path} is full (df -h, df -i); it is tried again"
    assert why_not(tmp_path) == f"the agent did not start: {full}"
    (tmp_path / "agent.log").unlink()
    assert why_not(tmp_path).endswith(f"No module named no_such_module / {full}"), "beside what it could say"
    monkeypatch.setattr(Failing, "_spawn", no_room)
    assert why_not(tmp_path) == f"the agent did not start: {full}", "there may be bytes, and no more files"


def test_times_survive_the_command_line() -> None:
    times = ChannelTimes(1, 2, 3, 4, 5)
    assert times_from_text(times_text(times)) == times
    with pytest.raises(ValueError, match="five durations"):
        times_from_text("[1, 2]")
