"""The control socket: a unix socket on which the command line asks and orders. Transport only; what each verb does is
in `live/requests.py`.

Newline-delimited JSON, several requests for each connection, answers in the order in which they are ready:

    -> {"id": 7, "verb": "status", "arguments": {}}
    <- {"id": 7, "ok": true, "data": ...}
    <- {"id": 7, "ok": false, "error": "...", "hint": "...", "exit_code": 1}

Only this user (and root) may speak: the socket is 0600 in a 0700 directory, and the peer's uid is checked as well.
Started by `live/server.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, TypeVar

import msgspec
from msgspec import Struct

from model.errors import LaulimaError, OperatorError

REQUEST_MAX = 1 << 20
"""Bytes of one request, its newline included."""
CONNECTIONS_MAX = 128
IN_FLIGHT_MAX = 256
"""Requests of one connection that may wait for their answer."""

HALF_CLOSED_SECONDS = 5.0
"""How long answers are still worked on for a client that will ask nothing more (or is gone: the two look the same)."""
ROOT = 0
"""The other user that may speak here: it may do anything anyway."""

Verb = Callable[[dict[str, Any]], Awaitable[Any]]
"""Gets the arguments; returns what msgspec can write as JSON, or raises LaulimaError."""

A = TypeVar("A", bound=Struct)


class Conversation(Protocol):
    """What belongs to one connection and ends with it."""

    def verbs(self) -> Mapping[str, Verb]: ...
    def end(self) -> None: ...


class Request(Struct, frozen=True):
    """One request; `id` comes back with the answer."""

    id: int
    verb: str
    arguments: dict[str, Any] = {}


class Answered(Struct, frozen=True):
    id: int
    data: Any
    ok: bool = True


class Refused(Struct, frozen=True):
    id: int
    error: str
    hint: str
    exit_code: int
    ok: bool = False


class ControlServer:
    """Serves the verbs on a listening socket until `close`."""

    def __init__(
        self,
        verbs: Mapping[str, Verb],
        report: Callable[[str], None],
        converse: Callable[[], Conversation] | None = None,
    ) -> None:
        """`report` gets one sentence for each failure that is a bug of ours. `converse` gives each connection
        what is its own, verbs included."""
        self._verbs = verbs
        self._report = report
        self._converse_with = converse
        self._decoder = msgspec.json.Decoder(Request)
        self._encoder = msgspec.json.Encoder(enc_hook=str)
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self, listener: socket.socket) -> None:
        self._server = await asyncio.start_unix_server(self._accept, sock=listener, limit=REQUEST_MAX)

    async def close(self, grace_seconds: float = 1.0) -> None:
        """Take no more connections; answers that are ready get `grace_seconds` to leave."""
        if self._server is not None:
            self._server.close()
        if self._connections:
            await asyncio.wait(self._connections, timeout=grace_seconds)
        for connection in list(self._connections):
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        refusal = _refusal(writer.get_extra_info("socket"), len(self._connections))
        self._connections.add(task)
        try:
            if refusal:
                writer.write(self._encoder.encode(Refused(0, refusal, "", 1)) + b"\n")
            else:
                await self._converse(reader, writer)
        except ConnectionError:
            pass  # the client went away; nobody is left to be told
        except asyncio.CancelledError:
            pass  # the server closes; asyncio's stream protocol would log a cancelled handler as an error
        finally:
            self._connections.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        running: set[asyncio.Task[None]] = set()
        conversation = self._converse_with() if self._converse_with is not None else None
        verbs = self._verbs if conversation is None else {**self._verbs, **conversation.verbs()}
        try:
            while line := await _line(reader):
                if len(running) >= IN_FLIGHT_MAX:
                    await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                answer = asyncio.create_task(self._answer(verbs, line, writer))
                running.add(answer)
                answer.add_done_callback(running.discard)
            if conversation is not None:
                conversation.end()
            if running:  # it may have closed its side only, and still read
                await asyncio.wait(running, timeout=HALF_CLOSED_SECONDS)
        finally:
            if conversation is not None:
                conversation.end()
            for answer in running:
                answer.cancel()

    async def _answer(self, verbs: Mapping[str, Verb], line: bytes, writer: asyncio.StreamWriter) -> None:
        answer = await self._perform(verbs, line)
        if not writer.is_closing():
            writer.write(self._encoder.encode(answer) + b"\n")
            with contextlib.suppress(ConnectionError):
                await writer.drain()

    async def _perform(self, verbs: Mapping[str, Verb], line: bytes) -> Answered | Refused:
        try:
            request = self._decoder.decode(line)
        except msgspec.MsgspecError as error:
            return Refused(0, f"this is not a request: {error}", "", 2)
        verb = verbs.get(request.verb)
        try:
            if verb is None:
                raise OperatorError(
                    f"this server has no verb {request.verb!r}",
                    "the command and the server may be of different versions",
                )
            return Answered(request.id, await verb(request.arguments))
        except LaulimaError as error:
            return Refused(request.id, str(error), error.hint, error.exit_code)
        except Exception as error:  # noqa: BLE001 - a bug of ours in one verb must not end the server: told to both sides
            self._report(f"the verb {request.verb} failed: {type(error).__name__}: {error}")
            return Refused(request.id, f"a bug: {type(error).__name__}: {error}", "the server goes on; report this", 1)


async def _line(reader: asyncio.StreamReader) -> bytes:
    """The next request; empty at the end, and after a request that is too long (the connection is then closed)."""
    try:
        return await reader.readuntil(b"\n")
    except asyncio.IncompleteReadError as error:
        return error.partial
    except asyncio.LimitOverrunError:
        return b""


def _refusal(connection: socket.socket, connections: int) -> str:
    """Why this client is not served; empty: it is."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    uid = struct.unpack("3i", credentials)[1]
    if uid not in (ROOT, os.geteuid()):
        return f"this server belongs to user {os.geteuid()}, not to user {uid}"
    if connections >= CONNECTIONS_MAX:
        return f"{CONNECTIONS_MAX} connections are open already"
    return ""


def typed(arguments: type[A], verb: Callable[[A], Awaitable[Any]]) -> Verb:
    """The verb with its arguments checked: OperatorError when they are not as `arguments` says."""

    async def checked(given: dict[str, Any]) -> Any:
        try:
            words = msgspec.convert({name: value for name, value in given.items() if value is not None}, arguments)
        except msgspec.ValidationError as error:
            raise OperatorError(
                f"wrong arguments: {error}", "the command and the server may differ in version"
            ) from None
        return await verb(words)

    return checked
