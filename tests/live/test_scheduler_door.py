"""Goal: only schedulers of this user, of this version and with a name and a journal that are theirs come in at a shared
controller's door; whatever else comes is told why, and harms nobody who is in. A server's state directory and the
controller that it uses are not mixed up with others.

Method: the real door and real links in one loop; what the controller's machine would say is said by the test.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from live import control_client, hello, scheduler_door
from live.control import ControlServer
from live.controller_choice import place_for_leftovers, refuse_change
from live.hello import Hello, Side, own_hello
from live.link import Link
from live.output_pieces import Fetch
from live.scheduler_door import SchedulerDoor
from live.state_directory import Service, StateDirectory, StateDirectoryError, listen, socket_address
from model.configuration import ControllerKind, ControllerPlace
from model.errors import NotReachableError, OperatorError
from model.job import JobId, JobSpec
from model.messages import PROTOCOL, Batch, Heard, Pong
from model.records import AttemptAssigned, AttemptGiven, JobAccepted
from model.restored import fold
from model.scheduler import CONTROLLER
from tests.live.link_partners import Heard as Hearing
from tests.live.link_partners import Owner, agent_hello, run, superior_hello

SAME, OTHER = ControllerPlace(ControllerKind.SOCKET, "/a/s.sock", "night"), ControllerPlace(ControllerKind.SPAWN)


class Keeper(Hearing):
    """A `Doorkeeper` that remembers; `refused` are names with the reason."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: dict[str, str] = {}
        self.events: list[tuple[str, str]] = []
        self.batches: list[tuple[str, Batch]] = []
        self.complaints: list[str] = []

    def scheduler_may_come(self, name: str, peer: Hello) -> str:
        return self.refused.get(name, "")

    def scheduler_up(self, name: str, peer: Hello) -> None:
        self.events.append(("up", name))
        self.news()

    def scheduler_said(self, name: str, batch: Batch) -> None:
        self.batches.append((name, batch))
        self.news()

    def scheduler_down(self, name: str, reason: str) -> None:
        self.events.append(("down", name))
        self.news()

    def complain(self, sentence: str) -> None:
        self.complaints.append(sentence)
        self.news()


@asynccontextmanager
async def opened(directory: Path) -> AsyncIterator[tuple[SchedulerDoor, Keeper]]:
    keeper = Keeper()
    own = own_hello(Side.CONTROLLER, "", 3, "journal")
    loop = asyncio.get_running_loop()
    door = SchedulerDoor(loop, listen(directory / "s.sock"), own, keeper, keeper.complain)
    try:
        yield door, keeper
    finally:
        door.close()


def scheduler_hello(name: str, epoch: int = 1) -> Hello:
    return own_hello(Side.SCHEDULER, name, epoch, f"journal of {name}")


async def call(directory: Path, own: Hello) -> tuple[Link, Owner]:
    """Dial, and wait until it is known what comes of it."""
    owner = Owner()
    link = Link(asyncio.get_running_loop(), own, owner, dials=True)
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    with socket_address(directory / "s.sock") as address:
        connected.connect(address)
    link.start(connected)
    await owner.until(lambda: bool(owner.peers or owner.reasons))
    return link, owner


def test_a_scheduler_is_known_by_its_name_and_speaks_as_a_superior(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as (door, keeper):
            night, night_owner = await call(tmp_path, scheduler_hello("night"))
            evening, _ = await call(tmp_path, scheduler_hello("evening"))
            assert night_owner.peers[0].identity == "journal" and door.connected == 2
            night.send(Batch(1, 1, 3, (Heard(7),)))
            await keeper.until(lambda: bool(keeper.batches))
            assert keeper.batches == [("night", Batch(1, 1, 3, (Heard(7),)))]
            door.send("night", Batch(3, 1, 1, (Pong(1),)))
            await night_owner.until(lambda: bool(night_owner.batches))
            evening.close()
            await keeper.until(lambda: ("down", "evening") in keeper.events)
            assert door.connected == 1
            night.close()

    run(scenario())


@pytest.mark.parametrize(
    ("own", "reason"),
    [
        (scheduler_hello("ni/ght"), "a scheduler's name has letters"),
        (scheduler_hello(""), "a scheduler's name has letters"),
        (scheduler_hello("../x"), "a scheduler's name has letters"),
        (scheduler_hello("known"), "it is another one"),
        (superior_hello("night"), "a controller was called by a superior"),
        (agent_hello("night"), "a controller was called by a agent"),
        (own_hello(Side.CONTROLLER, "night", 1), "a controller was called by a controller"),
        (msgspec.structs.replace(scheduler_hello("night"), protocol=PROTOCOL + 1), "install the same version"),
        (msgspec.structs.replace(scheduler_hello("night"), epoch=0), "names no life"),
    ],
)
def test_who_may_not_come_is_told_why(own: Hello, reason: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as (door, keeper):
            keeper.refused["known"] = "it is another one"
            inside, inside_owner = await call(tmp_path, scheduler_hello("inside"))
            # as a peer would that does not judge its own words
            link, owner = await call(tmp_path, own)
            await owner.until(lambda: bool(owner.reasons))
            assert reason in owner.reasons[0]
            await keeper.until(lambda: bool(keeper.complaints))
            assert door.connected == 1 and keeper.events == [("up", "inside")]
            assert not inside_owner.reasons
            inside.close()
            link.close()

    run(scenario())


def test_what_only_a_subordinate_says_ends_the_link_and_no_other(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as (door, keeper):
            night, owner = await call(tmp_path, scheduler_hello("night"))
            evening, other = await call(tmp_path, scheduler_hello("evening"))
            night.send(Batch(1, 1, 3, (Pong(1),)))
            await owner.until(lambda: bool(owner.reasons))
            assert ("down", "night") in keeper.events and door.connected == 1 and not keeper.batches
            evening.send_aside(Fetch(1, 1, 1, "stdout", 0, 10))
            await keeper.until(lambda: any("beside the channel" in each for each in keeper.complaints))
            assert not other.reasons
            evening.close()

    run(scenario())


def test_a_newer_connection_of_a_scheduler_replaces_the_older(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as (door, keeper):
            _, older = await call(tmp_path, scheduler_hello("night", 1))
            newer, _ = await call(tmp_path, scheduler_hello("night", 2))
            await older.until(lambda: bool(older.reasons))
            assert keeper.events == [("up", "night"), ("down", "night"), ("up", "night")] and door.connected == 1
            door.end_link("night", "not wanted")
            await keeper.until(lambda: len(keeper.events) == 4)
            assert door.connected == 0
            newer.close()

    run(scenario())


def test_strangers_beyond_the_limit_and_other_users_are_closed_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as (door, keeper):
            monkeypatch.setattr(scheduler_door, "peer_user", lambda _: os.geteuid() + 1)
            _, owner = await call(tmp_path, scheduler_hello("night"))
            assert owner.reasons and not keeper.events
            await keeper.until(lambda: bool(keeper.complaints))
            assert f"user {os.geteuid() + 1} was refused" in keeper.complaints[0] and door.connected == 0

    run(scenario())


def test_every_version_reads_the_hello_of_every_other() -> None:
    """Of protocol 1, before there were schedulers and controllers."""
    old = b"".join(
        [msgspec.msgpack.encode({"kind": "hello", "protocol": 1, "side": "agent", "name": "n1", "epoch": 4})]
    )
    read = hello.decode(old)
    assert isinstance(read, Hello) and read.identity == ""
    with pytest.raises(hello.HelloError, match=r"protocol 2.*protocol 1.*install the same version"):
        hello.check(superior_hello("n1"), read)
    fields = msgspec.msgpack.decode(hello.encode(superior_hello("n1")))
    assert PROTOCOL == 2 and "identity" not in fields, "an agent of an older version is told nothing new"


# the state directory, and a change of the controller


def test_a_state_directory_is_a_servers_or_a_controllers(tmp_path: Path) -> None:
    StateDirectory(tmp_path / "one").close()
    with pytest.raises(StateDirectoryError, match="the state directory of a server, not of a controller"):
        StateDirectory(tmp_path / "one", Service.CONTROLLER)
    StateDirectory(tmp_path / "one").close()
    StateDirectory(tmp_path / "two", Service.CONTROLLER).close()
    with pytest.raises(StateDirectoryError, match="the state directory of a controller, not of a server"):
        StateDirectory(tmp_path / "two")
    StateDirectory(tmp_path / "two", None).close()


def test_a_state_directory_of_before_is_a_servers(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir(mode=0o700)
    (tmp_path / "old" / "journal.sqlite").touch(mode=0o600)
    with pytest.raises(StateDirectoryError, match="of a server"):
        StateDirectory(tmp_path / "old", Service.CONTROLLER)
    StateDirectory(tmp_path / "old").close()


JOB = (JobAccepted(JobId(1), JobSpec("t")), AttemptAssigned(JobId(1), 1, CONTROLLER))
GIVEN = (*JOB, AttemptGiven(JobId(1), 1, "n1", 1, JobSpec("t")))


@pytest.mark.parametrize(
    ("former", "now", "records", "refused"),
    [
        (ControllerPlace(), SAME, GIVEN, True),
        (ControllerPlace(), SAME, JOB, False),
        (SAME, ControllerPlace(), JOB, True),
        (SAME, OTHER, JOB, True),
        (SAME, msgspec.structs.replace(SAME, name="evening"), JOB, True),
        (SAME, SAME, JOB, False),
        (SAME, ControllerPlace(), (), False),
    ],
)
def test_a_server_changes_its_controller_only_when_nothing_is_there(
    former: ControllerPlace,
    now: ControllerPlace,
    records: tuple[JobAccepted | AttemptAssigned | AttemptGiven, ...],
    refused: bool,
    tmp_path: Path,
) -> None:
    state = StateDirectory(tmp_path / "state")
    if former != ControllerPlace():
        (state.path / "controller.json").write_bytes(msgspec.json.encode(former))
    assert place_for_leftovers(state.path) == former
    if refused:
        with pytest.raises(OperatorError, match="1 jobs are at the controller that this server used before"):
            refuse_change(state, now, fold(records))
    else:
        refuse_change(state, now, fold(records))
    state.close()


# questions to the control socket of another process


def test_a_question_gets_its_answer_a_refusal_or_the_reason_why_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        with pytest.raises(NotReachableError):
            await control_client.ask(tmp_path, "anything", {}, 1.0)
        never: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def echo(arguments: dict[str, object]) -> object:
            return arguments

        async def wait(arguments: dict[str, object]) -> object:
            await never

        async def refuse(arguments: dict[str, object]) -> object:
            raise OperatorError("no", "ask for less")

        server = ControlServer({"echo": echo, "wait": wait, "refuse": refuse}, lambda _: None)
        await server.start(listen(tmp_path / "control.sock"))
        assert await control_client.ask(tmp_path, "echo", {"a": [1, "x"]}, 20.0) == {"a": [1, "x"]}
        with pytest.raises(OperatorError, match="no") as caught:
            await control_client.ask(tmp_path, "refuse", {}, 20.0)
        assert caught.value.hint == "ask for less"
        with pytest.raises(NotReachableError, match=r"no answer within 0\.01 s"):
            await control_client.ask(tmp_path, "wait", {}, 0.01)
        monkeypatch.setattr(control_client, "peer_user", lambda _: os.geteuid() + 1)
        with pytest.raises(NotReachableError, match="another user"):
            await control_client.ask(tmp_path, "echo", {}, 20.0)
        never.cancel()
        await server.close()

    run(scenario())
