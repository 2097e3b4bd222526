"""TLS between a server and the agents that dial in: contexts, credentials that change while they are used, and bytes.

Used by `live/tls_door.py` (server) and `live/agent_joining.py` (agent). TLS 1.3 only; both sides show a certificate of
the private authority, and no other authority is known. Sockets stay plain non-blocking `SSLSocket`s in the one loop
(no buffers of asyncio's beside OpenSSL's own): who waits for one uses `settle`, a `Transport` takes it over later.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

from live.certificates import CertificateError, read_certificate
from live.clock import wall_ns
from model.job import SECOND

T = TypeVar("T")

WARN_DAYS: Final = 30
"""So long before a certificate expires people are told."""
DENIED_MAX: Final = 1 << 20
"""Bytes of a deny list."""
KEEPALIVE_SECONDS: Final = 15
"""Silence after which the kernel asks the other end whether it is there,"""
GONE_SECONDS: Final = 45
"""and after which it ends the connection, also when something was sent and nobody confirms it."""
LINE_MAX: Final = 4096
"""Bytes of a line that is said before the frames."""
_DAY_NS: Final = 24 * 3600 * SECOND


class Credentials:
    """What one side shows, and whom it trusts. The files are read anew when they have changed; when they cannot be
    used then, that is told once, and what was read before stays in use."""

    def __init__(
        self,
        *,
        ca: Path,
        certificate: Path,
        key: Path,
        denied: Path | None,
        is_server: bool,
        complain: Callable[[str], None],
    ) -> None:
        """Raises CertificateError, OSError when they cannot be used from the start."""
        self._ca = ca
        self._certificate = certificate
        self._key = key
        self._denied_file = denied
        self._is_server = is_server
        self._complain = complain
        self._seen: object = None
        self._context, self._not_after_ns, self.denied = self._read()
        self._seen = self._look()

    def context(self) -> ssl.SSLContext:
        """As the files say now."""
        seen = self._look()
        if seen != self._seen:
            self._seen = seen
            try:
                self._context, self._not_after_ns, self.denied = self._read()
            except (CertificateError, OSError) as error:
                self._complain(f"the certificates have changed and cannot be used, the former stay: {error}")
        return self._context

    def warning(self) -> str:
        """That the own certificate expires soon; empty: it does not."""
        days = (self._not_after_ns - wall_ns()) // _DAY_NS
        if days >= WARN_DAYS:
            return ""
        when = "has expired" if days < 0 else f"expires in {days} days"
        return f"{self._certificate} {when}: laulima cert renew {self._certificate.stem}"

    def _look(self) -> object:
        """What tells whether a file has changed."""
        files = (self._ca, self._certificate, self._key, self._denied_file)
        return [_mark(file) for file in files if file is not None]

    def _read(self) -> tuple[ssl.SSLContext, int, frozenset[str]]:
        denied = read_denied(self._denied_file) if self._denied_file is not None else frozenset[str]()
        _check_key(self._key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if self._is_server else ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_3
        context.verify_mode = ssl.CERT_REQUIRED
        if self._is_server:
            context.num_tickets = 0  # an agent shows its certificate each time, so that a deny list holds at once
        try:
            context.load_verify_locations(self._ca)
            context.load_cert_chain(self._certificate, self._key, password="")
        except ssl.SSLError as error:
            raise CertificateError(
                f"{self._certificate}, its key and {self._ca.name} do not go together: {reason_of(error)}",
                "take all three from one authority: laulima cert list",
            ) from error
        return context, read_certificate(self._certificate).not_after_ns, denied


def _mark(file: Path) -> tuple[int, int, int]:
    try:
        found = file.stat()
    except FileNotFoundError:
        return 0, 0, 0
    return found.st_ino, found.st_mtime_ns, found.st_size


def _check_key(key: Path) -> None:
    """Nobody else may be able to read it. Raises CertificateError, OSError."""
    found = key.stat()
    if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise CertificateError(f"{key} can be read or changed by others than its owner", f"chmod 600 {key}")
    if found.st_uid not in (os.getuid(), 0):
        raise CertificateError(f"{key} belongs to another user (id {found.st_uid})", f"chown {os.getuid()} {key}")


def read_denied(file: Path) -> frozenset[str]:
    """The fingerprints of a deny list; a file that is not there denies nothing. Raises CertificateError, OSError."""
    try:
        with open(file, encoding="ascii", errors="replace") as listed:
            text = listed.read(DENIED_MAX + 1)
    except FileNotFoundError:
        return frozenset()
    if len(text) > DENIED_MAX:
        raise CertificateError(f"{file} is longer than {DENIED_MAX} bytes")
    return frozenset(line.split()[0].lower() for line in text.splitlines() if line.split())


def reason_of(error: Exception) -> str:
    """An error of TLS or of the network in words for people."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.replace("_", " ").lower()
    if isinstance(error, TimeoutError):
        return "it took too long"
    if isinstance(error, OSError):
        return (os.strerror(error.errno) if error.errno else str(error)) or "the connection ended"
    return str(error)


def watch_peer(connected: socket.socket) -> None:
    """Let the kernel notice that the other machine is gone, and wait for nothing else."""
    connected.setblocking(False)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_SECONDS)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_SECONDS)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, GONE_SECONDS * 1000)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


async def settle(secure: ssl.SSLSocket, operation: Callable[..., T], *words: Any) -> T:
    """The result of an operation of this non-blocking socket, however often it wants to read or write before."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            return operation(*words)
        except ssl.SSLWantReadError:
            await _until_ready(secure, loop.add_reader, loop.remove_reader)
        except ssl.SSLWantWriteError:
            await _until_ready(secure, loop.add_writer, loop.remove_writer)


async def _until_ready(secure: ssl.SSLSocket, add: Callable[..., Any], remove: Callable[[int], Any]) -> None:
    ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    descriptor = secure.fileno()

    def be_ready() -> None:
        if not ready.done():
            ready.set_result(None)

    add(descriptor, be_ready)
    try:
        await ready
    finally:
        remove(descriptor)


async def send_all(secure: ssl.SSLSocket, data: bytes) -> None:
    """Raises OSError."""
    view = memoryview(data)
    while view:
        view = view[await settle(secure, secure.send, view) :]


async def read_line(secure: ssl.SSLSocket) -> bytes:
    """One line, after which the other end waits for an answer. Raises EOFError, ValueError, OSError."""
    line = b""
    while not line.endswith(b"\n"):
        piece = await settle(secure, secure.recv, LINE_MAX)
        if not piece:
            raise EOFError("the other end closed the connection")
        line += piece
        if len(line) > LINE_MAX or b"\n" in line[:-1]:
            raise ValueError("what it says first is not one line")
    return line
