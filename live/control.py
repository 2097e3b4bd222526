"""The control socket: a unix socket on which the command line asks and orders. Transport only; what each verb does is
in `live/requests.py`.

Newline-delimited JSON, several requests for each connection, answers in the order in which they are ready:

    -> {"id": 7, "verb": "status", "arguments": {}, "by": "ann@head"}
    <- {"id": 7, "ok": true, "data": ...}
    <- {"id": 7, "ok": false, "error": "...", "hint": "...", "exit_code": 1}

Only this user (and root) may speak: the socket is 0600 in a 0700 directory, and the peer's uid is checked as well. So
`by`, who is behind a request, is taken as it is said: an account that several people share, or another process of ours
that passes an order on, knows it better. Unsaid it is the peer's user here.

Started by `live/server.py`.

Rule: nothing that a client sends, or does not send or read, costs more than its own connection. One that has asked
something may be silent for ever after (a prompt at night); one that has not may not.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from functools import cache
from typing import Any, Protocol, TypeVar

import msgspec
from msgspec import Struct

from live.accepting import Acceptor, peer_user
from live.complaints import Seldom
from model.errors import LaulimaError, OperatorError

REQUEST_MAX = 1 << 20
"""Bytes of one request, its newline included."""
CONNECTIONS_MAX = 128
IN_FLIGHT_MAX = 256
"""Requests of one connection that may wait for their answer."""

FIRST_SECONDS = 10.0
"""From the connection to its first request."""
REQUEST_SECONDS = 30.0
"""From a request's first byte to its last."""
OUT_MAX = 64 << 20
"""Bytes that may wait for a client that does not read; with more its connection ends instead of getting an answer."""
CLOSE_SECONDS = 1.0
"""How long a connection that ends may try to bring its last answer."""
HALF_CLOSED_SECONDS = 5.0
"""How long answers are still worked on for a client that will ask nothing more (or is gone: the two look the same)."""
BY_MAX = 80
"""Characters of who is behind a request."""
ROOT = 0
"""The other user that may speak here: it may do anything anyway."""

_by: ContextVar[str] = ContextVar("by", default="")


def asked_by() -> str:
    """Who is behind the request that is answered now, `ann@head`; empty outside of one."""
    return _by.get()


@cache
def person_here(user: int) -> str:
    """A user of this machine, as people are told. Asked for once: where users are is slow at some sites."""
    try:
        name = pwd.getpwuid(user).pw_name
    except KeyError:
        name = f"user {user}"
    return f"{name}@{socket.gethostname()}"


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
    by: str = ""


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


NOT_HERE = (
    "a shared controller has some that others have not (--state DIR asks it); "
    "or the command and the server are of different versions: laulima --version"
)
"""The hint for a verb that a server does not have."""


class ControlServer:
    """Serves the verbs on a listening socket until `close`."""

    def __init__(
        self,
        verbs: Mapping[str, Verb],
        report: Callable[[str], None],
        converse: Callable[[], Conversation] | None = None,
        missing: str = NOT_HERE,
    ) -> None:
        """`report` gets one sentence for each failure that is a bug of ours. `converse` gives each connection
        what is its own, verbs included. `missing`: the hint for a verb that there is not."""
        self._verbs = verbs
        self._report = report
        self._converse_with = converse
        self._missing = missing
        self._decoder = msgspec.json.Decoder(Request)
        self._encoder = msgspec.json.Encoder(enc_hook=str)
        self._acceptor: Acceptor | None = None
        person_here(os.geteuid())
        self._connections: dict[asyncio.Task[None], None] = {}
        self._complain = Seldom(report).say

    async def start(self, listener: socket.socket) -> None:
        """Own this listening socket, and serve."""
        self._acceptor = Acceptor(asyncio.get_running_loop(), listener, self._admit, self._complain)

    async def close(self, grace_seconds: float = 1.0) -> None:
        """Take no more connections; answers that are ready get `grace_seconds` to leave."""
        if self._acceptor is not None:
            self._acceptor.close()
        if self._connections:
            await asyncio.wait(self._connections, timeout=grace_seconds)
        for connection in list(self._connections):
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _admit(self, connected: socket.socket) -> None:
        refusal = _refusal(connected, len(self._connections))
        if refusal:
            self._complain(f"a client was refused: {refusal}")
            with contextlib.suppress(OSError):  # it does not even listen to why not
                connected.setblocking(False)
                connected.send(self._encoder.encode(Refused(0, refusal, "", 1)) + b"\n")
            connected.close()
            return
        serving = asyncio.get_running_loop().create_task(self._serve(connected))
        self._connections[serving] = None

        def ended(task: asyncio.Task[None]) -> None:
            del self._connections[task]
            connected.close()  # it may have ended before it began

        serving.add_done_callback(ended)

    async def _serve(self, connected: socket.socket) -> None:
        reader, writer = await asyncio.open_unix_connection(sock=connected, limit=REQUEST_MAX)
        try:
            await self._converse(reader, writer)
        except ConnectionError:
            pass  # the client went away; nobody is left to be told
        except asyncio.CancelledError:
            writer.transport.abort()  # the server closes
        finally:
            await _close(writer)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        running: set[asyncio.Task[None]] = set()
        limit: float | None = FIRST_SECONDS
        person = person_here(peer_user(writer.get_extra_info("socket")))
        conversation = self._converse_with() if self._converse_with is not None else None
        verbs = self._verbs if conversation is None else {**self._verbs, **conversation.verbs()}
        try:
            while line := await self._line(reader, writer, limit):
                limit = None
                if len(running) >= IN_FLIGHT_MAX:
                    await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                answer = asyncio.create_task(self._answer(verbs, line, writer, person))
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

    async def _line(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: float | None) -> bytes:
        """The next request. Empty at the end, and when the connection must end, which the client is told."""
        reason = f"no request within {FIRST_SECONDS:g} s"
        try:
            async with asyncio.timeout(limit):
                first = await reader.readexactly(1)
            reason = f"a request was not complete within {REQUEST_SECONDS:g} s"
            async with asyncio.timeout(REQUEST_SECONDS):
                return first if first == b"\n" else first + await reader.readuntil(b"\n")
        except asyncio.IncompleteReadError:
            return b""
        except asyncio.LimitOverrunError:
            reason = f"a request may have {REQUEST_MAX} bytes"
        except TimeoutError:
            pass  # `reason` says which
        self._complain(f"a client's connection was closed: {reason}")
        writer.write(self._encoder.encode(Refused(0, reason, "", 1)) + b"\n")
        return b""

    async def _answer(self, verbs: Mapping[str, Verb], line: bytes, writer: asyncio.StreamWriter, person: str) -> None:
        answer = await self._perform(verbs, line, person)
        if writer.is_closing():
            return
        if writer.transport.get_write_buffer_size() > OUT_MAX:
            self._complain(f"a client's connection was closed: it does not read, and {OUT_MAX} bytes wait for it")
            writer.transport.abort()
            return
        writer.write(answer)
        with contextlib.suppress(ConnectionError):
            await writer.drain()

    async def _perform(self, verbs: Mapping[str, Verb], line: bytes, person: str) -> bytes:
        """The answer to a request, as a line."""
        try:
            request = self._decoder.decode(line)
        except (msgspec.MsgspecError, RecursionError, ValueError) as error:
            return self._encoder.encode(Refused(0, f"this is not a request: {error}", "", 2)) + b"\n"
        _by.set(request.by[:BY_MAX] or person)  # each request is a task, with a context of its own
        verb = verbs.get(request.verb)
        answer: Answered | Refused
        try:
            if verb is None:
                raise OperatorError(f"this server has no verb {request.verb!r}", self._missing)
            answer = Answered(request.id, await verb(request.arguments))
            return self._encoder.encode(answer) + b"\n"
        except LaulimaError as error:
            answer = Refused(request.id, str(error), error.hint, error.exit_code)
        except Exception as error:  # noqa: BLE001 - a bug of ours in one verb must not end the server: told to both sides
            self._report(f"the verb {request.verb} failed: {type(error).__name__}: {error}")
            text = f"a bug: {type(error).__name__}: {error}"
            answer = Refused(request.id, text, "the server goes on; report this", 1)
        return self._encoder.encode(answer) + b"\n"


async def _close(writer: asyncio.StreamWriter) -> None:
    """Let the last answer leave, but wait for no client that does not read."""
    writer.close()
    with contextlib.suppress(ConnectionError):
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await writer.wait_closed()
        except TimeoutError:
            writer.transport.abort()


def _refusal(connection: socket.socket, connections: int) -> str:
    """Why this client is not served; empty: it is."""
    uid = peer_user(connection)
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
