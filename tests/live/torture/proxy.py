"""A proxy between a server and one agent's unix socket, in a process of its own, told line by line what to let through.

    python -m tests.live.torture.proxy SPOOL

It puts itself in the place of SPOOL/agent.sock. Each line of standard input is one order, answered with a line once it
is obeyed: `hold up`, `hold down` (up: agent to server; nothing of that direction is read any more, so the link is
half-open and nobody is told), `pass up`, `pass down`, `hold down after N` bytes, `snap down after N` bytes (then every
connection is closed, perhaps in the middle of a frame), `leave` (the socket is put back, and the proxy ends).
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

READ = 1 << 16
NAME, ASIDE = "agent.sock", "agent.behind"
Direction = Literal["up", "down"]


class Proxy:
    """See the head of this file."""

    def __init__(self, spool: Path) -> None:
        os.chdir(spool)  # so that addresses are short however long the path of the spool is
        os.rename(NAME, ASIDE)
        self._selector = selectors.DefaultSelector()
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(NAME)
        self._listening.listen()
        self._selector.register(self._listening, selectors.EVENT_READ, None)
        self._selector.register(sys.stdin.fileno(), selectors.EVENT_READ, None)
        self._open: dict[socket.socket, tuple[socket.socket, str]] = {}
        """each end with the end that it is passed on to, and the direction of what is read from it"""
        self._held: set[str] = set()
        self._after: dict[str, tuple[str, int]] = {}
        """direction -> what happens after so many bytes more"""
        self._over = False

    def run(self) -> None:
        while not self._over:
            for key, _ in self._selector.select():
                if key.fileobj == sys.stdin.fileno():
                    self._obey(sys.stdin.readline().split())
                elif key.fileobj is self._listening:
                    self._accept()
                elif isinstance(key.fileobj, socket.socket) and key.fileobj in self._open:
                    self._carry(key.fileobj)

    def _accept(self) -> None:
        server, _ = self._listening.accept()
        agent = socket.socket(socket.AF_UNIX)
        try:
            agent.connect(ASIDE)
        except OSError:  # the agent has gone: so does its caller
            agent.close()
            server.close()
            return
        self._open[server], self._open[agent] = (agent, "down"), (server, "up")
        self._watch()

    def _watch(self) -> None:
        """Read from those ends only whose direction is not held."""
        watched = {key.fileobj for key in self._selector.get_map().values()}
        for end, (_, direction) in self._open.items():
            if direction in self._held and end in watched:
                self._selector.unregister(end)
            elif direction not in self._held and end not in watched:
                self._selector.register(end, selectors.EVENT_READ, None)

    def _carry(self, end: socket.socket) -> None:
        other, direction = self._open[end]
        what, room = self._after.get(direction, ("", READ))
        try:
            data = end.recv(min(room, READ))
            other.sendall(data)
        except OSError:
            data = b""
        if not data:
            self._close(end)
        elif what:
            self._after[direction] = (what, room - len(data))
            if room == len(data):
                del self._after[direction]
                self._happen(what, direction)

    def _happen(self, what: str, direction: str) -> None:
        if what == "hold":
            self._held.add(direction)
            self._watch()
        else:
            for end in list(self._open):
                self._close(end)

    def _close(self, end: socket.socket) -> None:
        for one in (end, self._open[end][0] if end in self._open else end):
            if self._open.pop(one, None) is not None:
                with contextlib.suppress(KeyError):
                    self._selector.unregister(one)
                one.close()

    def _obey(self, words: list[str]) -> None:
        match words:
            case ["hold" | "snap" as what, direction, "after", count]:
                self._after[direction] = (what, int(count))
            case ["hold", direction]:
                self._held.add(direction)
            case ["pass", direction]:
                self._held.discard(direction)
                self._after.pop(direction, None)
            case _:  # `leave`, or the test is gone
                os.rename(ASIDE, NAME)
                self._over = True
        self._watch()
        print("done", flush=True)


class ProxyProcess:
    """The test's side: the proxy, and its orders."""

    def __init__(self, spool: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.live.torture.proxy", str(spool)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def order(self, words: str) -> None:
        """Returns once it is obeyed."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(words + "\n")
        assert self._process.stdout.readline() == "done\n", words

    def close(self) -> None:
        """End it by force, if it has not left."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()


@contextlib.contextmanager
def proxied(spool: Path) -> Iterator[ProxyProcess]:
    """The proxy stands before the agent of `spool` once it answers; at the end of the block it has left."""
    proxy = ProxyProcess(spool)
    try:
        proxy.order("pass up")
        yield proxy
        proxy.order("leave")
    finally:
        proxy.close()


if __name__ == "__main__":
    Proxy(Path(sys.argv[1])).run()
