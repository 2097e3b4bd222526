"""Nothing that a peer sends costs more than its own connection.

Goal: after each attack the agent's door is open, its superior still works, no batch reached the machine, and the
number of open descriptors is back at its base. Method: a real `Listener` on a real unix socket, a superior connected
to it for the whole test, and raw sockets as attackers, in one loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import pickle
import resource
import socket
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rpyc.core import brine, consts  # type: ignore[import-untyped]

from live import hello, link, listener, wire
from live.hello import Hello
from live.link import Link, encode_batch
from live.listener import Listener, listen, socket_address
from model.messages import Batch, Ping
from tests.live.link_partners import PATIENCE_SECONDS, Door, Owner, agent_hello, run, superior_hello


def frame(body: bytes, compressed: int = 0, length: int | None = None) -> bytes:
    return wire._HEADER.pack(len(body) if length is None else length, compressed) + body + b"\n"


def request(handler: int, package: Any, sequence: int = 0) -> bytes:
    """A request as rpyc writes it; `package` is a label and what it labels."""
    return frame(bytes([consts.MSG_REQUEST]) + brine.dump((sequence, (handler, package))))


def deliver(payload: bytes, sequence: int = 0) -> bytes:
    return request(consts.HANDLE_CALLATTR, (consts.LABEL_VALUE, (None, "deliver", (payload,))), sequence)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


class Site:
    """An agent's door, and what attackers need."""

    def __init__(self, directory: Path) -> None:
        self.loop = asyncio.get_running_loop()
        self.directory = directory
        self.door = Door()
        self.listener = Listener(self.loop, listen(directory), agent_hello(), self.door, complain=self.door.complain)
        self.opened: list[socket.socket | Link] = []

    async def connect(self) -> socket.socket:
        directory_fd = os.open(self.directory, os.O_PATH)
        try:
            calling = socket.socket(socket.AF_UNIX)
            self.opened.append(calling)
            calling.setblocking(False)
            await self.loop.sock_connect(calling, socket_address(directory_fd))
        finally:
            os.close(directory_fd)
        return calling

    async def superior(self, epoch: int = 1) -> tuple[Link, Owner]:
        owner = Owner()
        upper = Link(self.loop, superior_hello(epoch=epoch), owner, dials=True)
        upper.start(await self.connect())
        self.opened[-1] = upper
        await owner.until(lambda: bool(owner.peers or owner.reasons))
        return upper, owner

    async def ended(self, attacker: socket.socket) -> bytes:
        """What the attacker is told until its connection ends, which it must."""
        told = b""
        async with asyncio.timeout(PATIENCE_SECONDS):
            try:
                while data := await self.loop.sock_recv(attacker, 1 << 16):
                    told += data
            except ConnectionResetError:
                pass
        attacker.close()
        return told

    def close(self) -> None:
        self.listener.close()
        for opened in self.opened:
            opened.close()


@asynccontextmanager
async def lone_site(directory: Path) -> AsyncIterator[Site]:
    """A door that nobody has come to yet."""
    here = Site(directory)
    try:
        yield here
    finally:
        here.close()


@asynccontextmanager
async def site(directory: Path) -> AsyncIterator[Site]:
    """A door with a superior that must work before and after, and a count of descriptors that must not grow."""
    async with lone_site(directory) as here:
        upper, _ = await here.superior()
        base = descriptors()
        yield here
        before = len(here.door.batches)
        upper.send(Batch(1, 1000, 1, (Ping(1, 2, 3),)))
        await here.door.until(lambda: len(here.door.batches) == before + 1)
        other, owner = await here.superior(epoch=2)
        assert owner.peers, owner.reasons
        other.close(goodbye=True)
        await here.door.until(lambda: here.door.downs[-1] == ("the other end left", True))
        upper.close()
        assert descriptors() <= base


BOMB = zlib.compress(b"\0" * (32 << 20))
NEST = 100_000

ATTACKS: dict[str, bytes] = {
    "an HTTP request": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "a TLS hello": bytes.fromhex("16030100f1010000ed0303") + bytes(200),
    "zeros": bytes(4096),
    "a header of 4 GiB": wire._HEADER.pack(0xFFFFFFFF, 0),
    "a frame just over the limit": wire._HEADER.pack(wire.GREETING_MAX + 1, 0) + bytes(10),
    "a compressed bomb": frame(BOMB, compressed=1),
    "an empty frame": frame(b""),
    "a frame without its newline": deliver(b"x")[:-1] + b"X",
    "an unknown kind of message": frame(b"\x09" + brine.dump((0, ()))),
    "an unknown operation": request(99, (consts.LABEL_VALUE, ())),
    "an operation that is no number": request(99, (consts.LABEL_VALUE, ())).replace(b"\xb3", b"\x02"),
    "getroot": request(consts.HANDLE_GETROOT, (consts.LABEL_VALUE, ())),
    "getattr": request(consts.HANDLE_GETATTR, (consts.LABEL_VALUE, (None, "__class__"))),
    "pickle": request(consts.HANDLE_PICKLE, (consts.LABEL_VALUE, (pickle.dumps(1), 2))),
    "call": request(consts.HANDLE_CALL, (consts.LABEL_VALUE, (None, ()))),
    "inspect": request(consts.HANDLE_INSPECT, (consts.LABEL_VALUE, (("a", 1, 2),))),
    "another method": request(consts.HANDLE_CALLATTR, (consts.LABEL_VALUE, (None, "__init__", ()))),
    "deliver of an object": request(consts.HANDLE_CALLATTR, (consts.LABEL_VALUE, ("", "deliver", (b"",)))),
    "deliver of a text": request(consts.HANDLE_CALLATTR, (consts.LABEL_VALUE, (None, "deliver", ("x",)))),
    "deliver of two": request(consts.HANDLE_CALLATTR, (consts.LABEL_VALUE, (None, "deliver", (b"", b"")))),
    "deliver with keywords": request(
        consts.HANDLE_CALLATTR, (consts.LABEL_VALUE, (None, "deliver", (b"",), (("a", 1),)))
    ),
    "a tuple of references": request(consts.HANDLE_CALLATTR, (consts.LABEL_TUPLE, ((1, None),))),
    "a reference to an object here": request(consts.HANDLE_CALLATTR, (consts.LABEL_LOCAL_REF, ("x", 1, 2))),
    "a reference to an object there": request(consts.HANDLE_CALLATTR, (consts.LABEL_REMOTE_REF, ("x", 1, 2))),
    "an unknown label": request(consts.HANDLE_CALLATTR, (77, ())),
    "no label": request(consts.HANDLE_CALLATTR, None),
    "a long ping": request(consts.HANDLE_PING, (consts.LABEL_VALUE, (b"x" * 40_000,))),
    "a ping with a number": request(consts.HANDLE_PING, (consts.LABEL_VALUE, (1,))),
    "deep nesting": frame(b"\x01" + brine.TAG_TUP1 * 60_000 + brine.TAG_NONE),
    "a tuple of four thousand million": frame(b"\x01" + brine.TAG_TUP_L4 + b"\xff\xff\xff\xff"),
    "very many values": frame(b"\x01" + brine.TAG_TUP_L1 + b"\xff" + brine.TAG_NONE * 255),
    "an integer of many digits": frame(b"\x01" + brine.TAG_INT_L4 + (50_000).to_bytes(4, "big") + b"9" * 50_000),
    "a slice": frame(b"\x01" + brine.dump(slice(1, 2, 3))),
    "a frozenset": frame(b"\x01" + brine.dump(frozenset([1]))),
    "bytes that end after the frame": frame(b"\x01" + brine.TAG_STR_L4 + b"\x7f\xff\xff\xff"),
    "bytes after the value": frame(b"\x01" + brine.dump((0, ())) + b"more"),
    "a text that is no text": frame(b"\x01" + brine.TAG_UNICODE + brine.TAG_NONE),
    "a batch before the hello": deliver(encode_batch(Batch(1, 1, 0, (Ping(1, 2, 3),)))),
    "a deeply nested hello": deliver(b"\x91" * 60_000),
    "a hello of the wrong type": deliver(msgspec.msgpack.encode({"kind": "hello", "protocol": "one", "side": 3})),
    "an agent's hello": deliver(hello.encode(agent_hello())),
    "a refusal": deliver(hello.encode(hello.Refused("no"))),
    "a reply that nobody asked for, then rubbish": frame(b"\x02" + brine.dump((5, (1, b"")))) + bytes(10),
    "an error that nobody asked for, then rubbish": frame(
        b"\x03" + brine.dump((5, (("os", "system"), ("x",), (), "trace")))
    )
    + bytes(10),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_stranger_is_closed_and_nobody_else_notices(attack: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with site(tmp_path) as here:
            attacker = await here.connect()
            await here.loop.sock_sendall(attacker, ATTACKS[attack])
            told = await here.ended(attacker)
            assert b"/" not in told.replace(b"it/", b""), f"a path leaks: {told!r}"
            assert not here.door.batches
            assert any("before it was known" in complaint for complaint in here.door.complaints)

    run(scenario())


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
        ("a batch before the hello", "no hello"),
    ],
)
def test_an_attack_is_stopped_where_it_costs_nothing(attack: str, reason: str, tmp_path: Path) -> None:
    """Which line of defence it was: the first one, before anything is built of what came."""

    async def scenario() -> None:
        async with lone_site(tmp_path) as here:
            attacker = await here.connect()
            await here.loop.sock_sendall(attacker, ATTACKS[attack])
            await here.door.until(lambda: bool(here.door.complaints))
            assert reason in here.door.complaints[0]

    run(scenario())


@pytest.mark.parametrize(
    "attack",
    [
        deliver(b"\xc1" * 100, 7),
        deliver(b"\x94" + b"\x91" * 200_000, 7),
        deliver(msgspec.msgpack.encode([1, 1, 0, [["pong", 1, 0, 0, ""]]]), 7),
        deliver(msgspec.msgpack.encode([1, 1, 0, [["ping", 1, 0, 0]] * (link.MESSAGES_MAX + 1)]), 7),
        deliver(b"\x94\xcf" + b"\xff" * 8, 7),
        request(consts.HANDLE_GETROOT, (consts.LABEL_VALUE, ()), 7),
        wire._HEADER.pack(wire.FRAME_MAX + 1, 0) + b"x",
    ],
    ids=["no msgpack", "nested", "an agent's word", "too many messages", "cut short", "getroot", "too long"],
)
def test_a_superior_that_goes_bad_loses_its_link_and_the_next_one_is_served(attack: bytes, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with lone_site(tmp_path) as here:
            attacker = await here.connect()
            await here.loop.sock_sendall(attacker, deliver(hello.encode(superior_hello())))
            await here.door.until(lambda: bool(here.door.peers))
            await here.loop.sock_sendall(attacker, attack)
            await here.ended(attacker)
            await here.door.until(lambda: bool(here.door.downs))
            assert not here.door.downs[0][1]
            assert not here.door.batches
            _, owner = await here.superior()
            assert owner.peers

    run(scenario())


def test_a_silent_stranger_is_closed_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with site(tmp_path) as here:
            monkeypatch.setattr(link, "HELLO_SECONDS", 0.05)
            attacker = await here.connect()
            await here.ended(attacker)
            monkeypatch.undo()
            assert "no hello within" in here.door.complaints[-1]

    run(scenario())


def test_a_stranger_that_sends_a_byte_now_and_then_is_closed_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with site(tmp_path) as here:
            monkeypatch.setattr(link, "HELLO_SECONDS", 0.2)
            attacker = await here.connect()
            await here.loop.sock_sendall(attacker, wire._HEADER.pack(60_000, 0))  # a frame that is allowed
            closed = False
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not closed:
                    with contextlib.suppress(TimeoutError):  # nothing came: the next byte
                        async with asyncio.timeout(0.01):
                            closed = await here.loop.sock_recv(attacker, 1) == b""
                    if not closed:
                        with contextlib.suppress(BrokenPipeError):  # closed since: the next look shows it
                            await here.loop.sock_sendall(attacker, b"x")
            monkeypatch.undo()
            attacker.close()
            assert "no hello within" in here.door.complaints[-1]

    run(scenario())


def test_a_superior_whose_frame_never_ends_loses_its_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with lone_site(tmp_path) as here:
            attacker = await here.connect()
            await here.loop.sock_sendall(attacker, deliver(hello.encode(superior_hello())))
            await here.door.until(lambda: bool(here.door.peers))
            monkeypatch.setattr(link, "PARTIAL_SECONDS", 0.05)
            await here.loop.sock_sendall(attacker, deliver(b"x" * 100, 1)[:50])
            await here.ended(attacker)
            await here.door.until(lambda: bool(here.door.downs))
            assert "was not complete within" in here.door.downs[0][0]

    run(scenario())


def test_a_hello_that_comes_byte_by_byte_is_understood(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with lone_site(tmp_path) as here:
            slow = await here.connect()
            for byte in deliver(hello.encode(superior_hello())):
                await here.loop.sock_sendall(slow, bytes([byte]))
                await asyncio.sleep(0)
            await here.door.until(lambda: bool(here.door.peers))
            assert not here.door.complaints

    run(scenario())


def test_strangers_beyond_the_limit_are_closed_and_the_superior_still_gets_in(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with site(tmp_path) as here:
            crowd = [await here.connect() for _ in range(listener.STRANGERS_MAX + 8)]
            async with asyncio.timeout(PATIENCE_SECONDS):
                assert await here.loop.sock_recv(crowd[-1], 1) == b""
            assert any("was refused; 32 are" in complaint for complaint in here.door.complaints)
            for stranger in crowd:
                stranger.close()
            await here.door.until(
                lambda: (
                    sum("before it was known" in complaint for complaint in here.door.complaints)
                    >= listener.STRANGERS_MAX
                )
            )

    run(scenario())


def test_a_thousand_connections_that_close_at_once_leave_nothing_behind(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with site(tmp_path) as here:
            for burst in range(1, 101):  # ten at a time: the kernel's queue of an unix socket is short
                for _ in range(10):
                    (await here.connect()).close()
                await here.door.until(lambda: len(here.door.complaints) == 10 * burst)  # noqa: B023 - awaited here
            assert all("before it was known" in complaint for complaint in here.door.complaints)

    run(scenario())


@contextmanager
def few_descriptors(spare: int) -> Iterator[None]:
    """Only so many more descriptors can be opened."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))
    filling: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 20, hard))
    full = False
    while not full:
        try:
            filling.append(os.open(os.devnull, os.O_RDONLY))
        except OSError as error:
            full = error.errno == errno.EMFILE
    for _ in range(spare):
        os.close(filling.pop())
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in filling:
            os.close(descriptor)


def test_the_door_opens_again_after_the_process_ran_out_of_descriptors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        monkeypatch.setattr(listener, "REST_SECONDS", 0.05)
        async with site(tmp_path) as here:
            calling = socket.socket(socket.AF_UNIX)
            calling.setblocking(False)
            with few_descriptors(1):
                directory_fd = os.open(tmp_path, os.O_PATH)
                calling.connect(socket_address(directory_fd))
                os.close(directory_fd)
                filler = os.open(os.devnull, os.O_RDONLY)
                await here.door.until(lambda: any("no room" in complaint for complaint in here.door.complaints))
                os.close(filler)
            calling.close()
            await here.door.until(lambda: any("before it was known" in text for text in here.door.complaints))

    run(scenario())


def test_a_process_of_another_user_is_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        door = Door()
        loop = asyncio.get_running_loop()
        strict = Listener(loop, listen(tmp_path), agent_hello(), door, user=os.getuid() + 1, complain=door.complain)
        calling = socket.socket(socket.AF_UNIX)
        calling.setblocking(False)
        directory_fd = os.open(tmp_path, os.O_PATH)
        await loop.sock_connect(calling, socket_address(directory_fd))
        os.close(directory_fd)
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await loop.sock_recv(calling, 1) == b""
        calling.close()
        assert f"user {os.getuid()} was refused" in door.complaints[0]
        strict.close()

    run(scenario())


def test_the_socket_is_its_owners_alone_and_its_path_may_be_long(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120)
    deep.mkdir(mode=0o700)
    listening = listen(deep)
    assert (deep / listener.SOCKET_NAME).stat().st_mode & 0o777 == 0o600
    listening.close()


def test_what_follows_a_refused_hello_is_not_looked_at(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with lone_site(tmp_path) as here:
            attacker = await here.connect()
            bad, good = deliver(hello.encode(agent_hello())), deliver(hello.encode(superior_hello()), 1)
            await here.loop.sock_sendall(attacker, bad + good + deliver(encode_batch(Batch(1, 1, 0, ())), 2))
            await here.ended(attacker)
            assert not here.door.peers
            assert not here.door.batches

    run(scenario())


# one superior at a time


@pytest.mark.parametrize("epoch", [1, 2])
def test_a_newer_connection_replaces_the_older(epoch: int, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with lone_site(tmp_path) as here:
            _, older = await here.superior(epoch=1)
            await here.superior(epoch=epoch)
            await older.until(lambda: bool(older.reasons))
            assert [peer.epoch for peer in here.door.peers] == [1, epoch]
            assert "replaces" in here.door.downs[0][0]

    run(scenario())


def test_an_older_life_of_the_server_is_refused_with_both_lives_named(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with lone_site(tmp_path) as here:
            _, newer_owner = await here.superior(epoch=5)
            _, older = await here.superior(epoch=4)
            await older.until(lambda: bool(older.reasons))
            assert "life 5" in older.reasons[0]
            assert "life 4" in older.reasons[0]
            assert not newer_owner.reasons

    run(scenario())


def test_another_version_is_refused_in_a_sentence(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with lone_site(tmp_path) as here:
            stranger = await here.connect()
            other: Hello = msgspec.structs.replace(superior_hello(), protocol=2, laulima="0.2.0")
            await here.loop.sock_sendall(stranger, deliver(hello.encode(other)))
            told = await here.ended(stranger)
            assert b"protocol 2" in told
            assert b"protocol 1" in told
            assert b"install the same version" in told

    run(scenario())
