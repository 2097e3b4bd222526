"""A stub of the control socket for tests of the command line: it answers from a table and remembers what it was asked.

The real server speaks the same protocol (`live/control.py`); the tests that use both are in `test_end_to_end.py`.
"""

from __future__ import annotations

import contextlib
import socket
import socketserver
from pathlib import Path
from typing import Any

import msgspec


class Stub(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """`answers`: verb -> data, or a function of the arguments that gives the data, or a `No`; a verb that
    is absent is never answered."""

    daemon_threads = False
    block_on_close = True

    def __init__(self, state: Path) -> None:
        self.answers: dict[str, Any] = {}
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.connections: list[socket.socket] = []
        super().__init__(str(state / "control.sock"), Talk)

    def end(self) -> None:
        """Hang up on everybody and stop."""
        self.shutdown()
        for connection in self.connections:
            with contextlib.suppress(OSError):  # it may be closed already
                connection.shutdown(socket.SHUT_RDWR)
        self.server_close()


class Talk(socketserver.StreamRequestHandler):
    server: Stub

    def handle(self) -> None:
        self.server.connections.append(self.connection)
        while line := self.rfile.readline():
            request = msgspec.json.decode(line)
            verb, arguments = request["verb"], request["arguments"]
            self.server.requests.append((verb, arguments))
            if verb not in self.server.answers:
                continue
            data = self.server.answers[verb]
            if callable(data):
                data = data(arguments)
            said = {"ok": False, **data.said} if isinstance(data, No) else {"ok": True, "data": data}
            self.wfile.write(msgspec.json.encode({"id": request["id"], **said}) + b"\n")


class No:
    """A refusal."""

    def __init__(self, error: str, hint: str = "", exit_code: int = 1) -> None:
        self.said = {"error": error, "hint": hint, "exit_code": exit_code}


class Ran:
    """What one command line did."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.out)
