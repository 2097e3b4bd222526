"""A server's door for agents that dial in: accepts TLS, and knows who somebody is before anything else of them counts.

Used by `live/joining.py`, which decides what becomes of a caller. Here, in this order: a place (STRANGERS_MAX in all,
for which one waits; ADDRESS_MAX of one address), the handshake in time, a certificate that is not denied and has
exactly one name, one line in time that says the same name and our protocol. Whoever fails is closed, and told of in one
line of an interval (`live/complaints.py`); no machine hears of it, and nothing is allocated that outlives it.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from live.accepting import Acceptor
from live.certificates import certificate_of
from live.complaints import Seldom
from live.display import clean
from live.hello import laulima_version
from live.joining_words import JOIN, LEAVE, TEXT_MAX, JoinRequest, read_word, refusal
from live.tls import Credentials, read_line, reason_of, settle, watch_peer
from model.errors import LaulimaError, OperatorError
from model.messages import PROTOCOL

HANDSHAKE_SECONDS: Final = 10.0
"""From the connection to a verified certificate."""
REQUEST_SECONDS: Final = 5.0
"""From then to the whole first line."""
STRANGERS_MAX: Final = 32
"""Connections that are not known yet. Further ones wait in the kernel's queue until one of them is known or closed, so
that a thousand agents that come at once are served as fast as that goes, and none has to come again."""
ADDRESS_MAX: Final = 8
"""The same of one address; one more is closed at once, so that a single machine cannot take all places."""
BACKLOG: Final = 1024
"""Connections that wait in the kernel: many agents come at once when a server comes back."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody with a valid certificate for the name in `request`."""

    connected: ssl.SSLSocket
    address: str
    fingerprint: str
    request: JoinRequest

    def refuse(self, reason: str) -> None:
        """Say why not, if it listens, and close."""
        with suppress(OSError):  # it is told as far as it goes without waiting
            self.connected.send(refusal(reason))
        self.connected.close()


class TlsDoor:
    """Accepts and identifies. `admit(caller)` owns who is known; everything is called in the loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listening: socket.socket,
        credentials: Credentials,
        admit: Callable[[Caller], None],
        complain: Callable[[str], None],
    ) -> None:
        self._loop = loop
        self._credentials = credentials
        self._admit = admit
        self._complain = Seldom(complain).say
        self._strangers: dict[asyncio.Task[None], str] = {}
        self._of_address: Counter[str] = Counter()
        self._acceptor = Acceptor(loop, listening, self._take, self._complain)

    async def close(self) -> None:
        """Listen no more; who is not known yet is closed."""
        self._acceptor.close()
        strangers = list(self._strangers)
        for task in strangers:
            task.cancel()
        await asyncio.gather(*strangers, return_exceptions=True)

    def _take(self, connected: socket.socket) -> None:
        try:
            address = str(connected.getpeername()[0])
        except OSError:
            connected.close()  # it has gone already
            return
        if self._of_address[address] >= ADDRESS_MAX:
            self._complain(f"a connection from {address} was refused: {ADDRESS_MAX} from there are not known yet")
            connected.close()
            return
        task = self._loop.create_task(self._meet(connected, address), name=f"caller from {address}")
        self._strangers[task] = address
        self._of_address[address] += 1
        task.add_done_callback(self._met)
        if len(self._strangers) >= STRANGERS_MAX:
            self._acceptor.hold()

    def _met(self, task: asyncio.Task[None]) -> None:
        address = self._strangers.pop(task)
        self._acceptor.go_on()
        self._of_address[address] -= 1
        if not self._of_address[address]:
            del self._of_address[address]
        if not task.cancelled() and (error := task.exception()) is not None:
            self._complain(f"a bug: a connection from {address} ended with {error!r}")

    async def _meet(self, connected: socket.socket, address: str) -> None:
        """From a connection to a caller, or to a line about it."""
        try:
            secure = await self._handshake(connected)
        except (OSError, LaulimaError) as error:
            self._complain(f"a connection from {address} was refused: {reason_of(error)}")
            return
        try:
            caller = await self._identify(secure, address)
        except (OSError, EOFError, ValueError, LaulimaError) as error:
            if isinstance(error, OperatorError):
                with suppress(OSError):
                    secure.send(refusal(str(error)))
            secure.close()
            self._complain(f"a connection from {address} was refused: {reason_of(error)}")
        except BaseException:
            secure.close()
            raise
        else:
            self._admit(caller)

    async def _handshake(self, connected: socket.socket) -> ssl.SSLSocket:
        secure: ssl.SSLSocket | None = None
        try:
            watch_peer(connected)
            context = self._credentials.context()
            secure = context.wrap_socket(connected, server_side=True, do_handshake_on_connect=False)
            async with asyncio.timeout(HANDSHAKE_SECONDS):
                await settle(secure, secure.do_handshake)
        except BaseException:
            (connected if secure is None else secure).close()
            raise
        return secure

    async def _identify(self, secure: ssl.SSLSocket, address: str) -> Caller:
        """Raises OperatorError for who is verified and not welcome, others for what is not understood."""
        certificate = certificate_of(secure.getpeercert(binary_form=True) or b"")
        if certificate.fingerprint in self._credentials.denied:
            raise OperatorError(f"the certificate of {clean(certificate.name)} is revoked")
        async with asyncio.timeout(REQUEST_SECONDS):
            request = read_word(await read_line(secure), JoinRequest)
        if request.protocol != PROTOCOL:
            raise OperatorError(
                f"the server has laulima {laulima_version()} (protocol {PROTOCOL}), the agent has laulima "
                f"{clean(request.laulima[:TEXT_MAX])} (protocol {request.protocol}): "
                "install the same version at both ends"
            )
        if not certificate.name or certificate.name != request.name:
            raise OperatorError(
                f"the certificate is for {clean(' '.join(certificate.names)[:TEXT_MAX]) or 'no name'}, "
                f"and {clean(request.name[:TEXT_MAX])!r} was expected"
            )
        if request.what not in (JOIN, LEAVE) or request.slots < 1:
            raise OperatorError("it wants something that this version does not know")
        return Caller(secure, address, certificate.fingerprint, request)


def listen(address: str, port: int) -> socket.socket:
    """A listening TCP socket. Raises OSError."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((address, port))
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening
