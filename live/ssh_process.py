"""One run of the ssh program: its standard input and output as one connected socket, its last words, its end.

Made by `live/link_ssh.py` for each connection, and by `laulima host check`. What is said over it is not known here, but
for the marked lines with which the other end begins (`live/first_stage.py`); what came before them is noise of login
scripts and banners, and kept as a reason.

Rules: the process is reaped, whoever forgets it; when its connection is no longer wanted it gets LEAVE_SECONDS to end
by itself, then it is killed.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

from live.display import clean
from live.first_stage import MARK
from model.errors import NotReachableError

NOISE_MAX: Final = 64 << 10
"""Bytes that may come before a marked line, and of the line itself."""
WORDS_MAX: Final = 4096
"""Characters of standard error, and of noise, that are kept: the last ones."""
WORD_LINES: Final = 3
"""Lines of them that are told."""
LINE_MAX: Final = 300
"""Characters of one of these lines."""
LEAVE_SECONDS: Final = 6.0
"""How long ssh may live after its connection was given up: the other end may say what became of the agent."""
ENDED_SECONDS: Final = 1.0
"""How long the exit status is waited for when the connection has ended."""
READ_BYTES: Final = 64 << 10
READS_A_TURN: Final = 16
"""Pieces of standard error that are taken before others in the loop get their turn."""


class SshProcess:
    """One ssh, from its start to its end. Everything is called in the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start it. Raises NotReachableError when there is no such program, or no room for it."""
        self._loop = loop
        self._words: deque[str] = deque()
        self._noise = bytearray()
        self._received = bytearray()
        self._kill: asyncio.TimerHandle | None = None
        self.ended: asyncio.Future[int] = loop.create_future()
        """its exit status; 128 + N when signal N ended it"""
        ours, theirs = socket.socketpair()
        errors, write_errors = os.pipe()
        try:
            self._process = os.posix_spawnp(
                command[0],
                list(command),
                dict(environment),
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, theirs.fileno(), 0),
                    (os.POSIX_SPAWN_DUP2, theirs.fileno(), 1),
                    (os.POSIX_SPAWN_DUP2, write_errors, 2),
                ],
                setsid=True,  # Ctrl-C at the server's terminal is not meant for it
                setsigmask=(),
                setsigdef=(signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGHUP),
            )
        except OSError as error:
            ours.close()
            os.close(errors)
            raise NotReachableError(f"{command[0]} could not be started: {error.strerror}") from error
        finally:
            theirs.close()
            os.close(write_errors)
        try:
            self._pidfd = os.pidfd_open(self._process)
        except OSError:
            os.kill(self._process, signal.SIGKILL)
            os.waitpid(self._process, 0)
            ours.close()
            os.close(errors)
            raise
        ours.setblocking(False)
        self._socket: socket.socket | None = ours
        self._errors = errors
        os.set_blocking(errors, False)
        loop.add_reader(self._pidfd, self._reap)
        loop.add_reader(errors, self._read_errors)

    # the conversation before the frames

    async def marked_line(self) -> bytes:
        """The next marked line, without its mark. Raises EOFError when the connection ends before it, and
        NotReachableError when what comes is nothing of ours."""
        assert self._socket is not None
        while True:
            start = self._received.find(MARK)
            if start >= 0 and (end := self._received.find(b"\n", start)) >= 0:
                self._noise += self._received[:start]
                line = bytes(self._received[start + len(MARK) : end])
                del self._received[: end + 1]
                return line
            if len(self._received) > NOISE_MAX:
                raise NotReachableError(f"it sent {NOISE_MAX} bytes, and nothing that an agent says")
            piece = await self._loop.sock_recv(self._socket, READ_BYTES)
            if not piece:
                self._noise += self._received
                self._received.clear()
                raise EOFError
            self._received += piece

    async def send(self, data: bytes) -> None:
        """Send, for as long as it takes. Raises EOFError when the other end has gone."""
        assert self._socket is not None
        try:
            await self._loop.sock_sendall(self._socket, data)
        except OSError as error:
            raise EOFError from error

    def release(self) -> socket.socket:
        """The socket, on which frames follow; its new owner closes it, and then calls `leave`."""
        assert self._socket is not None
        if self._received:
            raise NotReachableError("it spoke before it was asked")
        connected, self._socket = self._socket, None
        self._words.clear()  # greetings of the way there are no reason for what ends the link later
        self._noise.clear()
        return connected

    # its end

    def leave(self) -> None:
        """Its connection is not wanted any more."""
        self._close_socket()
        if not self.ended.done() and self._kill is None:
            self._kill = self._loop.call_later(LEAVE_SECONDS, self.kill)

    def kill(self) -> None:
        """End it now."""
        self._close_socket()
        if not self.ended.done():
            with suppress(ProcessLookupError):  # it has ended, and the loop has not come to it
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def close(self) -> None:
        """End it, and see its end here, for the loop may not come to it any more."""
        if not self.ended.done():
            self.kill()
            self._reap(os.WEXITED)

    def _close_socket(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _reap(self, how: int = os.WEXITED | os.WNOHANG) -> None:
        found = os.waitid(os.P_PIDFD, self._pidfd, how)
        if found is None:
            return
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._read_errors()
        if self._errors >= 0:
            self._close_errors()  # a process that ssh started may hold it open for ever
        if self._kill is not None:
            self._kill.cancel()
        self.ended.set_result(found.si_status if found.si_code == os.CLD_EXITED else 128 + found.si_status)

    # its words

    def _read_errors(self) -> None:
        for _ in range(READS_A_TURN):
            if self._errors < 0:
                return
            try:
                piece = os.read(self._errors, READ_BYTES)
            except BlockingIOError:
                return
            if not piece:
                self._close_errors()
                return
            self._words.append(piece[-WORDS_MAX:].decode(errors="backslashreplace"))
            while len(self._words) > 1 and sum(map(len, self._words)) > WORDS_MAX:
                self._words.popleft()

    def _close_errors(self) -> None:
        self._loop.remove_reader(self._errors)
        os.close(self._errors)
        self._errors = -1

    def words(self) -> str:
        """What it, and whoever spoke through it, said last, on one line without anything that a terminal would obey:
        the noise before the first marked line, then standard error."""
        self._read_errors()
        noise = self._noise[-WORDS_MAX:].decode(errors="backslashreplace")
        return " / ".join([*_last_lines(noise), *_last_lines("".join(self._words))])

    async def last_words(self) -> tuple[int | None, str]:
        """The exit status, if it ends within a moment, and its words."""
        with suppress(TimeoutError):
            async with asyncio.timeout(ENDED_SECONDS):
                await asyncio.shield(self.ended)
        return (self.ended.result() if self.ended.done() else None), self.words()


def _last_lines(text: str) -> list[str]:
    return [clean(" ".join(line.split())[:LINE_MAX]) for line in text.splitlines() if line.strip()][-WORD_LINES:]
