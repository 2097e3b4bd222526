"""Goal: the control socket answers each request once, in its own time, and no client can hurt it or another client.

Method: the real server part on a real socket with stub verbs, and raw clients in the same loop.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from live import control
from live.control import REQUEST_MAX, ControlServer
from live.state_directory import listen
from model.errors import OperatorError, WaitedTooLongError
from model.views import ExecutorRow

LIMIT = 20.0


class Stub:
    """Verbs of a pretend server: `echo`, `wait` (until `open`), `no`, `late`, `bug`, `row`."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.conversations: list[Own] = []
        self.reports: list[str] = []

    def verbs(self) -> dict[str, control.Verb]:
        return {
            "echo": self.echo, "wait": self.wait, "no": self.no, "late": self.late, "bug": self.bug, "row": self.row,
        }  # fmt: skip

    async def echo(self, arguments: dict[str, Any]) -> Any:
        return arguments

    async def wait(self, arguments: dict[str, Any]) -> Any:
        await self.open.wait()
        return "waited"

    async def no(self, arguments: dict[str, Any]) -> Any:
        raise OperatorError("there is no job 7", "see laulima jobs")

    async def late(self, arguments: dict[str, Any]) -> Any:
        raise WaitedTooLongError("too late")

    async def bug(self, arguments: dict[str, Any]) -> Any:
        raise KeyError("oops")

    async def row(self, arguments: dict[str, Any]) -> Any:
        return [ExecutorRow("local", "open", 1, 2)]


class Own:
    """What belongs to one connection: `mine` says which one it is, `for_ever` has no answer."""

    def __init__(self, stub: Stub) -> None:
        self.number = len(stub.conversations)
        self.ended = asyncio.Event()
        stub.conversations.append(self)

    def verbs(self) -> dict[str, control.Verb]:
        return {"mine": self.mine, "for_ever": self.for_ever}

    async def mine(self, arguments: dict[str, Any]) -> Any:
        return self.number

    async def for_ever(self, arguments: dict[str, Any]) -> Any:
        await asyncio.Event().wait()

    def end(self) -> None:
        self.ended.set()


@asynccontextmanager
async def serving(path: Path) -> AsyncIterator[Stub]:
    stub = Stub()
    server = ControlServer(stub.verbs(), stub.reports.append, lambda: Own(stub))
    listener = listen(path / "control.sock")
    await server.start(listener)
    try:
        async with asyncio.timeout(LIMIT):
            yield stub
    finally:
        await server.close(0.0)


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, path: Path) -> Client:
        return cls(*await asyncio.open_unix_connection(path / "control.sock"))

    def say(self, number: int, verb: str, **arguments: Any) -> None:
        self.writer.write(json.dumps({"id": number, "verb": verb, "arguments": arguments}).encode() + b"\n")

    async def hear(self) -> dict[str, Any]:
        line = await self.reader.readline()
        answer: dict[str, Any] = json.loads(line)
        return answer

    async def close(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()


def run(path: Path, body: Callable[[Stub, Client], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with serving(path) as stub:
            client = await Client.to(path)
            await body(stub, client)
            await client.close()

    asyncio.run(whole())


def test_an_answer_carries_the_number_of_its_request_and_rows_become_objects(tmp_path: Path) -> None:
    async def body(stub: Stub, client: Client) -> None:
        client.say(7, "echo", word="x")
        assert await client.hear() == {"id": 7, "ok": True, "data": {"word": "x"}}
        client.say(8, "row")
        assert (await client.hear())["data"] == [{"name": "local", "state": "open", "pending": 1, "running": 2}]

    run(tmp_path, body)


def test_a_request_that_waits_does_not_hold_up_the_next_one(tmp_path: Path) -> None:
    async def body(stub: Stub, client: Client) -> None:
        client.say(1, "wait")
        client.say(2, "echo")
        assert (await client.hear())["id"] == 2
        stub.open.set()
        assert await client.hear() == {"id": 1, "ok": True, "data": "waited"}

    run(tmp_path, body)


def test_what_belongs_to_a_connection_is_its_own_and_ends_with_it_whatever_it_waits_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "HALF_CLOSED_SECONDS", 2 * LIMIT)

    async def body(stub: Stub, client: Client) -> None:
        other = await Client.to(tmp_path)
        for each in (other, client):
            each.say(1, "mine")
        assert {(await other.hear())["data"], (await client.hear())["data"]} == {0, 1}
        other.say(2, "mine")
        number = (await other.hear())["data"]
        other.say(3, "for_ever")
        await other.close()
        await stub.conversations[number].ended.wait()
        assert not stub.conversations[1 - number].ended.is_set()

    run(tmp_path, body)


@pytest.mark.parametrize(
    ("verb", "error", "hint", "code"),
    [("no", "there is no job 7", "see laulima jobs", 1), ("late", "too late", "", 4), ("fly", "no verb 'fly'", "", 1)],
)
def test_a_refusal_says_why_with_a_hint_and_the_exit_code(
    tmp_path: Path, verb: str, error: str, hint: str, code: int
) -> None:
    async def body(stub: Stub, client: Client) -> None:
        client.say(3, verb)
        answer = await client.hear()
        assert (answer["id"], answer["ok"], answer["exit_code"]) == (3, False, code)
        assert error in answer["error"]
        assert hint in answer["hint"]

    run(tmp_path, body)


def test_a_bug_in_one_verb_is_told_to_both_sides_and_the_server_goes_on(tmp_path: Path) -> None:
    async def body(stub: Stub, client: Client) -> None:
        client.say(1, "bug")
        assert "KeyError" in (await client.hear())["error"]
        assert len(stub.reports) == 1
        client.say(2, "echo")
        assert (await client.hear())["ok"]

    run(tmp_path, body)


@pytest.mark.parametrize("line", [b"nonsense\n", b"[1, 2]\n", b'{"id": "x", "verb": 3}\n', b"\xff\xfe\n"])
def test_what_is_no_request_is_refused_and_the_connection_goes_on(tmp_path: Path, line: bytes) -> None:
    async def body(stub: Stub, client: Client) -> None:
        client.writer.write(line)
        answer = await client.hear()
        assert (answer["ok"], answer["exit_code"]) == (False, 2)
        client.say(2, "echo")
        assert (await client.hear())["ok"]

    run(tmp_path, body)


def test_a_request_without_end_closes_its_connection_only(tmp_path: Path) -> None:
    async def body(stub: Stub, client: Client) -> None:
        flood = await Client.to(tmp_path)
        flood.writer.write(b"x" * (2 * REQUEST_MAX + 10))
        with suppress(ConnectionResetError):  # it is closed with bytes unread
            assert await flood.reader.read() == b""
            flood.writer.close()
            await flood.writer.wait_closed()
        client.say(2, "echo")
        assert (await client.hear())["ok"]

    run(tmp_path, body)


def test_a_client_that_half_closes_still_gets_its_answers(tmp_path: Path) -> None:
    async def body(stub: Stub, client: Client) -> None:
        client.say(1, "wait")
        client.writer.write_eof()
        other = await Client.to(tmp_path)
        other.say(2, "echo")
        assert (await other.hear())["ok"]
        stub.open.set()
        assert (await client.hear())["data"] == "waited"
        await other.close()

    run(tmp_path, body)


def test_a_client_that_goes_away_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "HALF_CLOSED_SECONDS", 0.01)

    async def body(stub: Stub, client: Client) -> None:
        before = len(asyncio.all_tasks())
        gone = await Client.to(tmp_path)
        gone.say(1, "wait")
        gone.say(2, "echo")
        assert (await gone.hear())["id"] == 2
        await gone.close()
        while len(asyncio.all_tasks()) > before:
            client.say(3, "echo")
            await client.hear()

    run(tmp_path, body)


def test_one_connection_too_many_is_refused_with_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "CONNECTIONS_MAX", 1)

    async def body(stub: Stub, client: Client) -> None:
        client.say(1, "echo")
        await client.hear()
        other = await Client.to(tmp_path)
        assert "connections are open already" in (await other.hear())["error"]
        await other.close()

    run(tmp_path, body)


def test_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uid = os.geteuid()

    def pretend() -> int:
        return uid + 1

    async def body(stub: Stub, client: Client) -> None:
        assert f"user {uid}" in (await client.hear())["error"]

    if uid == 0:
        monkeypatch.setattr(control, "ROOT", -1)
    monkeypatch.setattr(control.os, "geteuid", pretend)
    run(tmp_path, body)
