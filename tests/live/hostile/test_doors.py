"""Goal: each door says why it closes, serves whom it should, and tells people seldom; an attack is stopped by the first
line of defence, before anything is built of what came.

Method: single parts without a laulima around them: the codec, an agent's listener, a keeper's link to its agent, the
control socket, the throttle of complaints; with time that a test sets where time matters.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from live import complaints, control, hello, keeper_link, keepers, listener
from live.complaints import Seldom
from live.control import ControlServer
from live.hello import Hello
from live.keeper_frames import frame_messages
from live.keeper_link import STRANGER_NS, STRANGERS_MAX, AgentLink, Readiness
from live.keepers import Keepers
from live.link import Link, encode_batch
from live.listener import Listener, listen
from live.prompts import TEXTS_MAX, Conversation, Prompts
from live.spool import Spool, lock_file, write_owner
from live.state_directory import listen as listen_for_people
from live.wire import Wire, WireError
from model.errors import OperatorError
from model.job import SECOND
from model.messages import PROTOCOL, Batch
from model.scripting import SessionRan
from tests.live.hostile.dialects import CALLED, FRAMES, ORDERS, deliver, packed
from tests.live.hostile.links import call, no_descriptors
from tests.live.link_partners import PATIENCE_SECONDS, Door, Owner, agent_hello, run, superior_hello

# the codec


@pytest.mark.parametrize(
    ("attack", "reason"),
    [
        ("deep nesting", "too many values"),
        ("very many values", "too many values"),
        ("a tuple of four thousand million", "kind that is not accepted"),
        ("an integer of many digits", "kind that is not accepted"),
        ("a frozenset", "kind that is not accepted"),
        ("bytes after the value", "bytes after its end"),
        ("bytes that end after the frame", "cut short"),
        ("a compressed bomb", "compressed"),
        ("a header of 4 GiB", "over 65536 bytes"),
        ("a frame without its newline", "newline"),
        ("a reference to an object there", "reference"),
        ("another method", "something else than deliver"),
    ],
)
def test_an_attack_is_stopped_where_it_costs_nothing(attack: str, reason: str) -> None:
    received: list[bytes] = []

    def receive(payload: bytes) -> bytes:
        received.append(payload)
        return b""

    wire = Wire(receive)
    wire.feed(CALLED.first[attack])
    with pytest.raises(WireError, match=reason):
        wire.serve(9)
    assert not received
    wire.close()


# an agent's listener


@asynccontextmanager
async def agents_door(directory: Path) -> AsyncIterator[Door]:
    door = Door()
    loop = asyncio.get_running_loop()
    listening = Listener(loop, listen(directory), agent_hello(), door, complain=door.complain)
    try:
        yield door
    finally:
        listening.close()


async def superior(directory: Path, epoch: int) -> tuple[Link, Owner]:
    owner = Owner()
    upper = Link(asyncio.get_running_loop(), superior_hello(epoch=epoch), owner, dials=True)
    upper.start(call(directory, listener.SOCKET_NAME).socket)
    await owner.until(lambda: bool(owner.peers or owner.reasons))
    return upper, owner


def test_a_hello_that_comes_byte_by_byte_is_understood(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with agents_door(tmp_path) as door:
            slow = call(tmp_path, listener.SOCKET_NAME)
            for byte in deliver(hello.encode(superior_hello())):
                await slow.send(bytes([byte]))
                await asyncio.sleep(0)
            await door.until(lambda: bool(door.peers))
            assert not door.complaints
            slow.close()

    run(scenario())


def test_what_follows_a_refused_hello_is_not_looked_at(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with agents_door(tmp_path) as door:
            attacker = call(tmp_path, listener.SOCKET_NAME)
            bad, good = deliver(hello.encode(agent_hello())), deliver(hello.encode(superior_hello()), 1)
            await attacker.send(bad + good + deliver(encode_batch(Batch(1, 1, 0, ())), 2))
            await attacker.ended()
            assert not door.peers
            assert not door.batches

    run(scenario())


@pytest.mark.parametrize("epoch", [1, 2])
def test_a_newer_connection_replaces_the_older(epoch: int, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with agents_door(tmp_path) as door:
            _, older = await superior(tmp_path, 1)
            newer, _ = await superior(tmp_path, epoch)
            await older.until(lambda: bool(older.reasons))
            assert [peer.epoch for peer in door.peers] == [1, epoch]
            assert "replaces" in door.downs[0][0]
            newer.close()

    run(scenario())


def test_an_older_life_of_the_server_is_refused_with_both_lives_named(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with agents_door(tmp_path):
            newer, newer_owner = await superior(tmp_path, 5)
            _, older = await superior(tmp_path, 4)
            await older.until(lambda: bool(older.reasons))
            assert "life 5" in older.reasons[0]
            assert "life 4" in older.reasons[0]
            assert not newer_owner.reasons
            newer.close()

    run(scenario())


def test_another_version_is_refused_in_a_sentence_with_both_versions(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with agents_door(tmp_path):
            stranger = call(tmp_path, listener.SOCKET_NAME)
            other: Hello = msgspec.structs.replace(superior_hello(), protocol=77, laulima="77.2.0\x1b[2J")
            await stranger.send(deliver(hello.encode(other)))
            told = await stranger.ended()
            assert b"protocol 77" in told
            assert f"protocol {PROTOCOL}".encode() in told
            assert b"install the same version" in told
            assert b"\x1b" not in told

    run(scenario())


def test_strangers_beyond_the_limit_are_closed_at_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with agents_door(tmp_path):
            crowd = [call(tmp_path, listener.SOCKET_NAME) for _ in range(listener.STRANGERS_MAX)]
            await asyncio.sleep(0)
            one_more = call(tmp_path, listener.SOCKET_NAME)
            assert await one_more.ended() == b""
            for stranger in crowd:
                stranger.close()

    run(scenario())


def test_many_strangers_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(complaints, "INTERVAL_NS", 3600 * SECOND)

    async def scenario() -> None:
        async with agents_door(tmp_path) as door:
            for _ in range(50):
                stranger = call(tmp_path, listener.SOCKET_NAME)
                await stranger.send(b"GET / HTTP/1.1\r\n\r\n")
                await stranger.ended()
            assert len(door.complaints) == 1
            assert "before it was known" in door.complaints[0]

    run(scenario())


@pytest.mark.parametrize("make", [listen, lambda path: listen_for_people(path / listener.SOCKET_NAME)])
def test_a_socket_is_its_owners_alone_and_its_path_may_be_long(make: Any, tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120)
    deep.mkdir(mode=0o700)
    listening = make(deep)
    assert (deep / listener.SOCKET_NAME).stat().st_mode & 0o777 == 0o600
    listening.close()


# how often people are told


def test_what_was_not_told_is_counted_in_the_next_line() -> None:
    told: list[str] = []
    now = 0
    seldom = Seldom(told.append, lambda: now)
    for _ in range(5):
        seldom.say("a stranger came")
    assert told == ["a stranger came"]
    now += complaints.INTERVAL_NS
    seldom.say("a stranger came")
    assert told[1:] == ["a stranger came (after 4 more like it)"]
    now += complaints.INTERVAL_NS
    seldom.say("a stranger came")
    assert told[2:] == ["a stranger came"]


# a keeper's door


class KeepersEnd:
    """An `AgentLink` that is turned by hand, as the keeper's loop does it."""

    def __init__(self, directory: Path, patch: pytest.MonkeyPatch) -> None:
        self.now = 1
        patch.setattr(keeper_link, "boottime_ns", lambda: self.now)
        self.listening = listen(directory)
        self.directory = directory
        self.readiness = Readiness()
        self.link = AgentLink(self.listening, self.readiness)
        self.lines: list[socket.socket] = []

    def call(self) -> socket.socket:
        line = call(self.directory, listener.SOCKET_NAME).socket
        self.lines.append(line)
        self.turn()
        return line

    def turn(self) -> None:
        self.link.advance(self.now)
        while events := self.readiness.epoll.poll(0):
            for descriptor, mask in events:
                self.readiness.handle(descriptor, mask)

    def is_closed(self, line: socket.socket) -> bool:
        self.turn()
        poll = select.poll()
        poll.register(line, select.POLLHUP)
        return bool(poll.poll(0))

    def close(self) -> None:
        for line in self.lines:
            line.close()
        self.now += STRANGER_NS
        self.turn()  # it lets go of all of them
        assert not self.link.is_open
        self.listening.close()
        self.readiness.epoll.close()


@pytest.fixture
def keeper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    made = KeepersEnd(tmp_path, monkeypatch)
    yield made
    made.close()


def test_a_keeper_takes_for_its_agent_who_has_said_something_correct(keeper: KeepersEnd) -> None:
    agent = keeper.call()
    agent.send(ORDERS)
    keeper.turn()
    assert keeper.link.is_open
    for rubbish in (b"", *FRAMES.first.values()):
        stranger = keeper.call()
        stranger.setblocking(True)
        stranger.sendall(rubbish[:60_000])
        keeper.turn()
        assert not keeper.is_closed(agent)
    newer = keeper.call()
    newer.send(ORDERS)
    assert keeper.is_closed(agent)
    assert not keeper.is_closed(newer)


def test_a_keeper_closes_who_says_nothing_in_time_and_not_its_agent(keeper: KeepersEnd) -> None:
    agent, silent = keeper.call(), keeper.call()
    agent.send(ORDERS)
    keeper.turn()
    assert keeper.link.next_due() == 1 + STRANGER_NS
    keeper.now += STRANGER_NS - 1
    assert not keeper.is_closed(silent)
    keeper.now += 1
    assert keeper.is_closed(silent)
    assert not keeper.is_closed(agent)
    assert keeper.link.next_due() is None


def test_a_crowd_at_a_keepers_door_keeps_nobody_out(keeper: KeepersEnd) -> None:
    crowd = [keeper.call() for _ in range(STRANGERS_MAX + 1)]
    assert [keeper.is_closed(line) for line in crowd] == [True, *[False] * STRANGERS_MAX]
    agent = keeper.call()
    agent.send(ORDERS)
    keeper.turn()
    assert keeper.link.is_open


def test_a_large_first_word_is_refused_at_its_header_and_a_later_one_is_not(keeper: KeepersEnd) -> None:
    stranger = keeper.call()
    stranger.send((2 << 20).to_bytes(4, "big"))
    assert keeper.is_closed(stranger)
    agent = keeper.call()
    agent.send(ORDERS)
    keeper.turn()
    agent.send((2 << 20).to_bytes(4, "big"))
    assert not keeper.is_closed(agent)


def test_a_process_of_another_user_is_nothing_to_a_keeper(keeper: KeepersEnd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper_link, "peer_user", lambda _: os.geteuid() + 1)
    stranger = keeper.call()
    stranger_heard = stranger.recv(10)
    assert (stranger_heard, keeper.link.is_open) == (b"", False)


def test_a_keeper_without_descriptors_rests_and_accepts_again(keeper: KeepersEnd) -> None:
    waiting = socket.socket(socket.AF_UNIX)
    keeper.lines.append(waiting)
    waiting.setblocking(False)
    directory_fd = os.open(keeper.directory, os.O_PATH)
    try:
        waiting.connect(listener.socket_address(directory_fd))
    finally:
        os.close(directory_fd)
    with no_descriptors():
        keeper.turn()
        due = keeper.link.next_due()
        assert due is not None
        assert not keeper.readiness.epoll.poll(0), "it does not spin meanwhile"
    keeper.now = due
    keeper.turn()
    waiting.send(ORDERS)
    keeper.turn()
    assert keeper.link.is_open


def test_orders_behind_a_greeting_in_one_piece_are_heard(keeper: KeepersEnd) -> None:
    agent = keeper.call()
    agent.send(ORDERS + packed(msgspec.msgpack.encode([5, [["leave", False]]])))
    keeper.turn()
    assert [sent for sent, _ in keeper.link.orders] == [5]


# an agent's end to its keeper


def test_a_keeper_that_lives_and_talks_rubbish_is_called_again_after_ever_longer_pauses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keepers, "RETRY_SECONDS", (1.0, 8.0))
    pauses: list[float] = []
    wanted = [1.0, 2.0, 4.0, 8.0, 8.0]

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        enough = loop.create_future()

        async def no_wait(_: object, seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == len(wanted):
                enough.set_result(None)
                await loop.create_future()  # until it is closed

        monkeypatch.setattr(Keepers, "_wait", no_wait)
        spool = Spool(tmp_path / "spool")
        lock = lock_file(spool.path / "keeper-0.lock")
        write_owner(lock, os.getpid())
        listening = keepers._listen(spool.path, 0)
        listening.setblocking(False)

        is_up = asyncio.Event()

        async def talk() -> None:
            while True:
                connected, _ = await loop.sock_accept(listening)
                with connected:
                    await loop.sock_sendall(connected, frame_messages([]))
                    await is_up.wait()
                    is_up.clear()
                    await loop.sock_sendall(connected, FRAMES.first["a header of 4 GiB"])
                    while await loop.sock_recv(connected, 4096):
                        pass

        talking = loop.create_task(talk())
        troubles: list[str] = []
        called = Keepers(
            spool, "x", tmp_path, 1,
            on_message=lambda *_: None, on_up=lambda _: is_up.set(), on_down=lambda _: None, on_trouble=troubles.append,
        )  # fmt: skip
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await called.start()
                await enough
        finally:
            talking.cancel()
            await asyncio.gather(talking, return_exceptions=True)
            await called.close()
            listening.close()
            os.close(lock)
            spool.close()
        assert len(troubles) == len(wanted), "each time it is told why"

    run(scenario())
    assert pauses == wanted


# the control socket


def test_a_server_that_ends_waits_for_no_client_that_does_not_read(tmp_path: Path) -> None:
    async def scenario() -> None:
        async def much(_: dict[str, Any]) -> str:
            return "x" * (4 << 20)

        server = ControlServer({"much": much}, lambda _: None)
        await server.start(listen_for_people(tmp_path / "control.sock"))
        line = call(tmp_path, "control.sock")
        await line.send(b'{"id": 1, "verb": "much"}\n')
        assert await line.hear(bool), "the answer has begun"
        async with asyncio.timeout(control.CLOSE_SECONDS + 20):
            await server.close(0.0)
        line.close()

    run(scenario())


def test_an_answer_that_cannot_be_written_is_a_refusal_and_no_silence(tmp_path: Path) -> None:
    async def scenario() -> None:
        async def bad(_: dict[str, Any]) -> str:
            return "\ud800"

        reports: list[str] = []
        server = ControlServer({"bad": bad}, reports.append)
        await server.start(listen_for_people(tmp_path / "control.sock"))
        line = call(tmp_path, "control.sock")
        await line.send(b'{"id": 1, "verb": "bad"}\n')
        assert b'"id":1,"error":"a bug' in await line.hear(lambda told: told.endswith(b"\n"))
        assert reports
        line.close()
        await server.close(0.0)

    run(scenario())


def test_a_prompt_whose_client_reads_no_ends_takes_no_more_lines() -> None:
    async def scenario() -> None:
        posted: list[object] = []
        prompts = Prompts(posted.append, dict, "/")
        verbs = Conversation(prompts).verbs()
        session = (await verbs["shell_open"]({}))["session"]
        for _ in range(TEXTS_MAX):
            await verbs["shell_text"]({"text": "echo"})
        with pytest.raises(OperatorError, match="were not read"):
            await verbs["shell_text"]({"text": "echo"})
        prompts.ran(SessionRan(session, 1, ok=True))
        place = (await verbs["shell_read"]({}))["items"][-1].place
        await verbs["shell_read"]({"after": place - 1})
        with pytest.raises(OperatorError, match="were not read"):
            await verbs["shell_text"]({"text": "echo"})
        prompts.ran(SessionRan(session, 2, ok=True))
        await verbs["shell_read"]({"after": place})
        await verbs["shell_text"]({"text": "echo"})

    run(scenario())
