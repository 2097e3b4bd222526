"""The program of a host that dials in: `laulima agent --join HOST:PORT --name NAME ...`.

Calls the server, and carries bytes between it and the long-lived agent of the host (`live/agent_program.py`, started
here when none lives) until one side ends; then it calls again. Jobs and agent outlive this program and every
connection, under the lease. What is said before the frames is `live/joining_words.py`.

    connection lost, refused, server away    call again after a pause that doubles up to `retry_max`, with jitter
    TERM or INT                              leave: nothing new is taken, what runs ends, the server forgets the host;
                                             with `keep_jobs` at once: what runs goes on under the lease; a host where
                                             nothing is left goes after LEAVE_TRIES also when no server hears it
    the same again                           at once, as with `keep_jobs`
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from live.accepting import peer_process
from live.certificates import SERVER_NAME
from live.complaints import Complaints
from live.hello import laulima_version
from live.joining_words import (
    END,
    JOIN,
    LEAVE,
    LEFT,
    LINK,
    REFUSED,
    JoinAnswer,
    JoinReady,
    JoinRequest,
    line,
    read_word,
)
from live.link_process import ProcessHost, times_from_text
from live.sweep import sweep
from live.tls import Credentials, read_line, reason_of, send_all, settle, watch_peer
from model.channel import ChannelTimes
from model.errors import LaulimaError, NotReachableError, OperatorError
from model.job import SECOND
from model.messages import PROTOCOL
from model.resources import Amounts

CONNECT_SECONDS: Final = 20.0
"""How long a connection and its handshake may take."""
RETRY_MAX_SECONDS: Final = 30.0
"""Longest pause between two calls unless it is said."""
FIRST_PAUSE_SECONDS: Final = 1.0
"""Longest pause before the first call after a connection that worked; it doubles from there."""
STEADY_SECONDS: Final = 10.0
"""A connection that lasted so long was a good one: the pauses begin anew."""
GONE_SECONDS: Final = 2.5
"""How long an agent whose link has ended gets to leave, before it is said that it stays."""
LEAVE_TRIES: Final = 5
"""How often a host on which no agent lives tries to say that it leaves; one with jobs tries on."""
DRAIN_SECONDS: Final = 2.0
"""How long an agent may take to end its side when the server has gone."""
PIECE_BYTES: Final = 256 << 10


@dataclass(frozen=True, slots=True)
class JoinSettings:
    """What the command line says."""

    host: str
    port: int
    name: str
    slots: int
    ca: Path
    certificate: Path
    key: Path
    spool: Path
    retry_max_seconds: float = RETRY_MAX_SECONDS
    keep_jobs: bool = False
    resources: Amounts = ()
    labels: tuple[str, ...] = ()


class Pauses:
    """How long to wait before the next call: doubling, and never the same for two hosts, so that a server that comes
    back is not called by all of them at once."""

    def __init__(self, longest_seconds: float, random: Random) -> None:
        self._longest = longest_seconds
        self._random = random
        self._step = 0

    def next(self) -> float:
        """Seconds until the next call."""
        highest = min(self._longest, FIRST_PAUSE_SECONDS * 2**self._step)
        self._step = min(self._step + 1, 30)
        lowest = 0.0 if self._step == 1 else highest / 2
        return self._random.uniform(lowest, highest)

    def begin_anew(self) -> None:
        self._step = 0


class JoiningAgent:
    """One host that dials in, from its start to its leaving."""

    def __init__(self, loop: asyncio.AbstractEventLoop, settings: JoinSettings, complaints: Complaints) -> None:
        """Raises CertificateError, OSError when the certificates cannot be used."""
        self._loop = loop
        self._settings = settings
        self._complaints = complaints
        self._credentials = Credentials(
            ca=settings.ca,
            certificate=settings.certificate,
            key=settings.key,
            denied=None,
            is_server=False,
            complain=complaints.say,
        )
        self._agent = 0
        """process id of the agent; 0: none lives"""
        self._hurry = asyncio.Event()
        self._leaving = False
        self._signals = 0
        self._over = asyncio.Event()
        """it is time to end"""
        self._unlinked = asyncio.Event()
        self._unlinked.set()

    def stop(self) -> None:
        """A signal: see the head of this file."""
        self._signals += 1
        if self._signals > 1 or self._settings.keep_jobs:
            self._over.set()
        elif not self._leaving:
            self._leaving = True
            self._complaints.say("leaving: nothing new is taken, and what runs ends; once more leaves at once")
        self._hurry.set()

    def reload(self) -> None:
        """Call at once, with the certificates as they are now."""
        self._credentials.context()
        self._hurry.set()

    async def run(self) -> int:
        """Work until it is time to end; the exit status."""
        warning = self._credentials.warning()
        if warning:
            self._complaints.say(warning)
        linking = self._loop.create_task(self._link_again_and_again())
        leaving = self._loop.create_task(self._leave_when_asked())
        over = self._loop.create_task(self._over.wait())
        tasks = (linking, leaving, over)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in tasks:
            if not task.cancelled():
                task.result()
        return 0

    async def _leave_when_asked(self) -> None:
        """End once the server has forgotten this host."""
        while not self._leaving:
            self._hurry.clear()
            await self._hurry.wait()
        pauses = Pauses(self._settings.retry_max_seconds, Random())  # noqa: S311 - spreads calls, no secret
        tries = 0
        while tries < LEAVE_TRIES or self._agent:
            tries += 1
            try:
                await self._leave_once()
            except (LaulimaError, OSError, EOFError, ValueError) as error:
                self._complaints.say(f"the server did not hear that this host leaves: {reason_of(error)}")
                await asyncio.sleep(pauses.next())
            else:
                self._complaints.say("left")
                break
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS + GONE_SECONDS):
                await self._unlinked.wait()  # the agent here hears the goodbye, and leaves

    async def _leave_once(self) -> None:
        secure = await self._call(JoinRequest(PROTOCOL, LEAVE, self._settings.name, laulima=laulima_version()))
        try:
            answer = read_word(await read_line(secure), JoinAnswer)
        finally:
            secure.close()
        if answer.what != LEFT:
            raise OperatorError(answer.reason)

    # calling

    async def _link_again_and_again(self) -> None:
        pauses = Pauses(self._settings.retry_max_seconds, Random())  # noqa: S311 - spreads calls, no secret
        while True:
            began = self._loop.time()
            try:
                reason = await self._link_once()
            except (LaulimaError, OSError, EOFError, ValueError) as error:
                reason = reason_of(error)
            if self._loop.time() - began >= STEADY_SECONDS:
                pauses.begin_anew()
            pause = pauses.next()
            self._complaints.say(f"{reason}; calling again in {pause:.1f} s")
            await asyncio.sleep(pause)

    async def _call(self, request: JoinRequest) -> ssl.SSLSocket:
        """A verified connection on which this was said. Raises NotReachableError."""
        settings = self._settings
        connected: socket.socket | None = None
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                connected = await _connect(settings.host, settings.port)
                watch_peer(connected)
                connected = secure = self._credentials.context().wrap_socket(
                    connected, server_hostname=SERVER_NAME, do_handshake_on_connect=False
                )
                await settle(secure, secure.do_handshake)
                await send_all(secure, line(request))
        except (OSError, TimeoutError) as error:
            if connected is not None:
                connected.close()
            raise NotReachableError(f"{settings.host}:{settings.port}: {reason_of(error)}") from error
        except BaseException:
            if connected is not None:
                connected.close()
            raise
        return secure

    async def _link_once(self) -> str:
        """One connection, from the call to its end; why it ended. Raises what the ends of connections raise."""
        settings = self._settings
        secure = await self._call(
            JoinRequest(
                PROTOCOL,
                JOIN,
                settings.name,
                settings.slots,
                laulima_version(),
                self._agent,
                leaving=self._leaving,
                resources=settings.resources,
                labels=settings.labels,
            )
        )
        try:
            answer = read_word(await read_line(secure), JoinAnswer)
            if answer.what == END:
                ended = len(sweep(settings.spool)) if settings.spool.exists() else 0
                self._agent = 0
                await send_all(secure, line(JoinReady()))
                return f"the server ended what was here by force ({ended} processes)"
            if answer.what != LINK:
                wanted = answer.reason if answer.what == REFUSED else f"it said {answer.what!r}"
                raise OperatorError(f"the server refuses this host: {wanted}")
            return await self._serve(secure, answer)
        finally:
            secure.close()

    async def _serve(self, secure: ssl.SSLSocket, answer: JoinAnswer) -> str:
        """Between the server and the agent of this host."""
        times = times_from_text(answer.times)
        host = ProcessHost(
            self._loop,
            self._settings.name,
            slots=answer.slots,
            spool=self._settings.spool,
            directory=_home(answer.directory),
            times=times,
        )
        self._unlinked.clear()
        try:
            try:
                agent = await host.dial()
            except (LaulimaError, OSError) as error:
                await send_all(secure, line(JoinReady(reason=reason_of(error))))
                raise
            self._agent = peer_process(agent)
            try:
                await send_all(secure, line(JoinReady(self._agent)))
                self._complaints.say(f"linked to {self._settings.host}:{self._settings.port}")
                reason = await _carry(secure, agent, times)
            finally:
                agent.close()
            secure.close()
            if await host.wait_gone(GONE_SECONDS):
                self._agent = 0
            return reason
        finally:
            self._unlinked.set()
            host.close()


def _home(directory: str) -> Path:
    return Path(directory).expanduser()


async def _connect(host: str, port: int) -> socket.socket:
    """Raises OSError of the last address that was tried."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    failure: OSError = OSError(f"{host} has no address")
    for family, kind, protocol, _, address in found:
        connected = socket.socket(family, kind | socket.SOCK_NONBLOCK, protocol)
        try:
            await loop.sock_connect(connected, address)
        except OSError as error:
            connected.close()
            failure = error
        except BaseException:
            connected.close()
            raise
        else:
            return connected
    raise failure


async def _carry(secure: ssl.SSLSocket, agent: socket.socket, times: ChannelTimes) -> str:
    """Carry bytes both ways until one side ends; why."""
    agent.setblocking(False)
    silence = (times.silent_ns + times.ping_ns) / SECOND
    loop = asyncio.get_running_loop()

    async def up() -> str:
        with suppress(ConnectionError):
            while piece := await loop.sock_recv(agent, PIECE_BYTES):
                await send_all(secure, piece)
        return "the agent here ended the link"

    async def down() -> str:
        try:
            while True:
                async with asyncio.timeout(silence):
                    piece = await settle(secure, secure.recv, PIECE_BYTES)
                if not piece:
                    return "the server ended the connection"
                await loop.sock_sendall(agent, piece)
        except TimeoutError:
            return f"the server was not heard for {silence:g} s"
        except OSError as error:
            return f"the connection broke: {reason_of(error)}"

    above, below = loop.create_task(up()), loop.create_task(down())
    try:
        await asyncio.wait((above, below), return_when=asyncio.FIRST_COMPLETED)
        if below.done() and not above.done():
            with suppress(OSError):
                agent.shutdown(socket.SHUT_WR)  # it hears the last words, and ends its side
            await asyncio.wait((above,), timeout=DRAIN_SECONDS)
        return (below if below.done() else above).result()
    finally:
        for task in (above, below):
            task.cancel()
        await asyncio.gather(above, below, return_exceptions=True)


def default_spool(host: str, port: int, name: str) -> Path:
    """Where the agent of a host keeps its folder unless it is said: one for each server and name."""
    return Path("~/.local/state/laulima/joined").expanduser() / f"{host}_{port}".replace(":", "_") / name


async def _serve(settings: JoinSettings, complaints: Complaints) -> int:
    loop = asyncio.get_running_loop()
    agent = JoiningAgent(loop, settings, complaints)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, agent.stop)
    loop.add_signal_handler(signal.SIGHUP, agent.reload)
    return await agent.run()


def join(settings: JoinSettings) -> int:
    """Dial in until a signal ends it; the exit status. Raises LaulimaError when it cannot begin."""
    os.umask(0o077)
    try:
        return asyncio.run(_serve(settings, Complaints(sys.stderr)))
    except OSError as error:
        raise LaulimaError(
            f"{error.filename or settings.name} cannot be used: {error.strerror or error}",
            f"laulima cert host {settings.name} (at the server), and bring its .pem, its .key and ca.pem here",
        ) from error
