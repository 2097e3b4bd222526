"""The control socket's client: one request, one answer, as typed data.

Called by the commands and by the demo. It speaks newline-delimited JSON over the unix socket `control.sock` of the
state directory: `{"id", "verb", "arguments"}` is answered by `{"id", "ok", "data"}` or `{"id", "ok": false, "error",
"hint", "exit_code"}`. Which verbs there are is said in `verbs.py`, what is printed in `commands/`.
"""

from __future__ import annotations

import os
import select
import time
from pathlib import Path
from typing import Any, Self, TypeVar

import msgspec

from live.state_directory import connect
from model.errors import LaulimaError, NotReachableError, WaitedTooLongError
from shell.wording import duration

T = TypeVar("T")

WHO = "LAULIMA_USER"
"""Who is recorded as the one who ordered something; unset: the user of this machine."""

ANSWER_MAX = 256 * 1024 * 1024
"""Bytes of one answer; a server that says more is not ours."""
CONNECT_S = 5.0
"""How long a server that listens may take to accept."""
READ_S = 30.0
"""How long a read may take before the server counts as not reachable: its loop never blocks for long."""


class Reply(msgspec.Struct):
    """One line of the server."""

    id: int = 0
    ok: bool = False
    data: msgspec.Raw = msgspec.Raw(b"null")
    error: str = ""
    hint: str = ""
    exit_code: int = 1


class WokenError(LaulimaError):
    """The wait was given up because `wake` could be read; the answer, when it comes, is passed over."""


class RefusedError(LaulimaError):
    """The server said no, with its own words and exit code."""

    def __init__(self, message: str, hint: str, exit_code: int) -> None:
        super().__init__(message, hint)
        self.exit_code = exit_code


_REPLY = msgspec.json.Decoder(Reply)


class Client:
    """A connection to the server of one state directory. Not for several threads."""

    def __init__(self, state: Path) -> None:
        """Connect. Raises `NotReachableError` when no server listens there."""
        self.state = state
        self._number = 0
        self._buffer = bytearray()
        self._socket = connect(state, CONNECT_S)
        self._wake: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def ask(
        self,
        verb: str,
        arguments: dict[str, Any],
        answer: type[T],
        limit_s: float | None = READ_S,
        *,
        wake: int | None = None,
    ) -> T:
        """Ask and wait for the answer, at most `limit_s` seconds (None: as long as it takes), or until the descriptor
        `wake` can be read.

        Raises `RefusedError` when the server says no, `NotReachableError` when it goes away or speaks another
        language, `WaitedTooLongError` when the wait ends first (what was asked for may still happen), `WokenError`.
        """
        self._wake = wake
        self._number += 1
        said = {"id": self._number, "verb": verb, "arguments": arguments, "by": os.environ.get(WHO, "")}
        line = msgspec.json.encode(said) + b"\n"
        deadline = None if limit_s is None else time.monotonic() + limit_s
        try:
            self._socket.settimeout(limit_s)
            self._socket.sendall(line)
            reply = self._reply(verb, deadline, limit_s)
        except TimeoutError:
            raise self._waited_too_long(verb, limit_s or 0.0) from None
        except OSError as error:
            raise _gone(self.state, error.strerror or str(error)) from error
        if not reply.ok:
            raise RefusedError(reply.error or "the server said no", reply.hint, reply.exit_code or 1)
        return self._typed(reply.data, verb, answer)

    def _reply(self, verb: str, deadline: float | None, limit_s: float | None) -> Reply:
        """The answer to the last request; answers to requests that were given up are passed over."""
        while True:
            line = self._line(verb, deadline, limit_s)
            try:
                reply = _REPLY.decode(line)
            except msgspec.MsgspecError as error:
                raise _gone(self.state, f"what listens there does not speak our language: {error}") from error
            if reply.id == self._number:
                return reply

    def _line(self, verb: str, deadline: float | None, limit_s: float | None) -> bytes:
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            if searched > ANSWER_MAX:
                raise _gone(self.state, f"an answer of more than {ANSWER_MAX} bytes")
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise self._waited_too_long(verb, limit_s or 0.0)
            if self._wake is not None:
                ready, _, _ = select.select([self._socket.fileno(), self._wake], [], [], left)
                if self._wake in ready:
                    raise WokenError(f"the wait for the answer to {verb} was given up")
                if not ready:
                    continue
            self._socket.settimeout(left)
            piece = self._socket.recv(1 << 16)
            if not piece:
                raise _gone(self.state, "the server ended before it answered")
            self._buffer += piece
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line

    def _typed(self, data: msgspec.Raw, verb: str, answer: type[T]) -> T:
        try:
            return msgspec.json.decode(data, type=answer)
        except msgspec.MsgspecError as error:
            raise LaulimaError(
                f"the server's answer to {verb} is of another version: {error}",
                "stop the server and start it with this version: laulima shutdown, laulima run FILE",
            ) from error

    def _waited_too_long(self, verb: str, limit_s: float) -> WaitedTooLongError:
        return WaitedTooLongError(
            f"no answer to {verb} within {duration(int(limit_s * 1e9))}; it may still happen",
            "see laulima status; a longer wait: --wait-at-most 10m",
        )

    def wait_closed(self, limit_s: float) -> bool:
        """Whether the server closes this connection within `limit_s` (it does so when it ends)."""
        ready, _, _ = select.select([self._socket], [], [], limit_s)
        try:
            return bool(ready) and not self._socket.recv(1)
        except OSError:
            return True


def _gone(state: Path, why: str) -> NotReachableError:
    return NotReachableError(f"the server of {state} is not reachable: {why}", f"see {state / 'server.log'}")
