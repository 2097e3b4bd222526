"""The door for agents that dial in, as something that can be attacked: by strangers without TLS, and by the owner of a
right certificate who says what no agent says.

One more link for `test_hostile_peers.py`; see `links.py`. The door is opened on the one laulima of all these tests,
and closed after each attack.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from live import hello, link, tls_door
from live.certificates import SERVER_NAME
from live.joining import Joining
from live.joining_words import JOIN, LEAVE, JoinAnswer, JoinReady, JoinRequest, line, read_word
from live.outward import CONTROLLER
from model.configuration import HostDefinition, Link, ListenSettings
from model.events import Delivered, LinkUp
from model.messages import PROTOCOL
from shell.certificate_authority import Authority
from tests.live.hostile import dialects
from tests.live.hostile.dialects import Dialect, reply
from tests.live.hostile.links import HURRY_SECONDS, PIECE, Attacked, Line
from tests.live.hostile.site import Site, a_moment
from tests.live.link_partners import PATIENCE_SECONDS, agent_hello

EVIL = "evil-agent"

RUBBISH_OF_TLS: dict[str, bytes] = {
    "an HTTP request": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "zeros": bytes(4096),
    "a hello that is none": bytes.fromhex("16030100f1010000ed0303") + b"\xff" * 240,
    "a record of an unknown kind": b"\x63\x03\x03\x00\x10" + bytes(16),
    "an alert": b"\x15\x03\x03\x00\x02\x02\x28",
    "frames without TLS": dialects.CALLED.harmless,
    "a wish to join without TLS": line(JoinRequest(PROTOCOL, JOIN, EVIL)),
}

WRONG_WISHES: dict[str, bytes] = {
    "no JSON": b"hello\n",
    "a list": b"[]\n",
    "a nest": b"[" * 4000 + b"\n",
    "a line without an end": b"x" * 5000,
    "two lines": line(JoinRequest(PROTOCOL, JOIN, EVIL)) * 2,
    "a number for a name": b'{"protocol":1,"what":"join","name":1}\n',
    "another version": line(JoinRequest(77, JOIN, EVIL)),
    "another host's name": line(JoinRequest(PROTOCOL, JOIN, "n1")),
    "another host's leave": line(JoinRequest(PROTOCOL, LEAVE, "n1")),
    "an unknown wish": line(JoinRequest(PROTOCOL, "rule", EVIL)),
    "no slots": line(JoinRequest(PROTOCOL, JOIN, EVIL, 0)),
    "frames": dialects.CALLED.harmless,
}


class SecureLine(Line):
    """A connection that becomes a TLS one."""

    def __init__(self, line_: Line) -> None:
        super().__init__(line_.socket)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._secure: ssl.SSLObject | None = None

    @property
    def is_secure(self) -> bool:
        return self._secure is not None

    async def secure(self, context: ssl.SSLContext) -> bool:
        """The handshake; False: the other end closed."""
        secure = context.wrap_bio(self._incoming, self._outgoing, server_hostname=SERVER_NAME)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                try:
                    secure.do_handshake()
                except ssl.SSLWantReadError:
                    if not await self._exchange():
                        return False
                    continue
                self._secure = secure
                return await super().send(self._outgoing.read())

    async def _exchange(self) -> bool:
        if self._outgoing.pending and not await super().send(self._outgoing.read()):
            return False
        try:
            data = await asyncio.get_running_loop().sock_recv(self.socket, PIECE)
        except ConnectionResetError:
            return False
        self._incoming.write(data)
        return bool(data)

    async def send(self, data: bytes) -> bool:
        if self._secure is None:
            return await super().send(data)
        self._secure.write(data)
        return await super().send(self._outgoing.read())

    async def hear(self, enough: Callable[[bytes], bool]) -> bytes:
        if self._secure is None:
            return await super().hear(enough)
        told = b""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not enough(told):
                try:
                    piece = self._secure.read(PIECE)
                except ssl.SSLWantReadError:
                    if not await self._exchange():
                        break
                    continue
                except ssl.SSLError:
                    break  # an alert: the other end has ended it
                if not piece:
                    break
                told += piece
        return told


class AgentsThatDialIn(Attacked):
    """The server's TLS door."""

    name = "the TLS door"
    marks = (pytest.mark.needs("openssl", "openssl"),)
    dialect = Dialect(
        first=RUBBISH_OF_TLS,
        later=dialects.CALLING.later,
        begun=b"\x16\x03\x01\x02\x00",
        harmless=dialects.CALLING.harmless,
    )

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        folder = site.folder / "tls"
        if not folder.exists():
            authority = Authority(folder)
            authority.begin()
            authority.issue(EVIL)
        self._context = client_context(folder)
        self._joining: Joining | None = None
        self._is_defined = False
        server = site.server
        listening = msgspec.structs.replace(
            server._configuration.cluster, listen=ListenSettings("127.0.0.1", 0, str(folder))
        )
        hosts = server._side.hosts
        self._joining = Joining(
            site.loop,
            listening,
            hosts.links,
            order=lambda make: server._outward.order(CONTROLLER, make),
            hosts=lambda: server.controller.hosts,
            dialled_in=hosts.dialled_in,
            add=hosts.add,
            forget=hosts.forget,
            say=server.say,
        )

    async def _connect(self) -> Line:
        if not self._is_defined:
            self.site.server._side.hosts.define(HostDefinition(EVIL, 2, Link.TLS))
            if EVIL not in self.site.server.controller.hosts:  # else a test before this one has failed
                await self.site.client.ask("host", verb="add", name=EVIL, slots=2)
            self._is_defined = True
        assert self._joining is not None
        # Without a turn of the loop, so that an attack begins before the other end has accepted.
        return SecureLine(Line(socket.create_connection(self._joining.address, PATIENCE_SECONDS)))

    async def greet(self, line_: Line, **changes: Any) -> bytes:
        """TLS, the wish to join, and the hello of an agent."""
        assert isinstance(line_, SecureLine)
        if not line_.is_secure and not await line_.secure(self._context):
            return b""
        await line_.send(line(JoinRequest(PROTOCOL, JOIN, EVIL, 2)))
        answer = read_word(await line_.hear(lambda told: told.endswith(b"\n")), JoinAnswer)
        assert answer.what == "link", answer
        await line_.send(line(JoinReady(1)))
        told = await line_.hear(lambda told: told.endswith(b"\n"))
        await line_.send(reply(hello.encode(msgspec.structs.replace(agent_hello(EVIL, 5), **changes))))
        told += await line_.hear(lambda told: told.endswith(b"\n"))
        assert b"inquire" in told, "the server takes it for an agent"
        return told

    def hurry(self, patch: pytest.MonkeyPatch) -> None:
        patch.setattr(tls_door, "HANDSHAKE_SECONDS", HURRY_SECONDS)
        patch.setattr(tls_door, "REQUEST_SECONDS", HURRY_SECONDS)
        patch.setattr(link, "HELLO_SECONDS", HURRY_SECONDS)
        patch.setattr(link, "PARTIAL_SECONDS", HURRY_SECONDS)

    async def alive(self) -> None:
        """Somebody with a right certificate is let in; then the door is closed, and the host is no more."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not await self._is_let_in():
                    await a_moment()  # those who have gone may not be noticed yet
        finally:
            await self._close()
        await super().alive()

    async def _is_let_in(self) -> bool:
        line_ = await self.connect()
        try:
            return b"inquire" in await self.greet(line_)
        except (AssertionError, ssl.SSLError):
            return False
        finally:
            line_.close()

    async def _close(self) -> None:
        site, hosts = self.site, self.site.server._side.hosts
        assert self._joining is not None
        await self._joining.close()
        if self._is_defined:
            state = site.server.controller.hosts[EVIL]
            await site.client.ask("host", verb="off", name=EVIL)
            await site.until(lambda: state.state.value in ("off", "down"), f"{EVIL} is off")
            await site.client.ask("host", verb="delete", name=EVIL)
        hosts.forget(EVIL)

    def events_of_strangers(self, events: list[tuple[object, Any]]) -> list[Any]:
        return [event for _, event in events if isinstance(event, LinkUp | Delivered) and event.peer == EVIL]


class KnownAndStrange(AgentsThatDialIn):
    """The same door behind the handshake: whoever has a right certificate, and has not said what it wants."""

    name = "the TLS door behind the handshake"
    is_called = False  # crowds have come as far as the handshake already, in the tests of the door itself
    dialect = Dialect(
        first=WRONG_WISHES,
        later=dialects.CALLING.later,
        begun=b'{"protocol":1,"what":"join","name":"',
        harmless=dialects.CALLING.harmless,
    )

    async def _connect(self) -> Line:
        line_ = await super()._connect()
        assert isinstance(line_, SecureLine)
        try:
            await line_.secure(self._context)
        except ssl.SSLError:
            line_.close()  # there was no place
        return line_


def client_context(folder: Path) -> ssl.SSLContext:
    """Of the owner of a right certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(folder / "ca.pem")
    context.load_cert_chain(folder / f"{EVIL}.pem", folder / f"{EVIL}.key")
    return context
