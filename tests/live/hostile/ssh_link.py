"""ssh as something that can be attacked: a server has run ssh, and what answers at the other end of its standard input
and output is no agent. Used by `test_hostile_peers.py`.

The ssh program is a small one that hands its standard input and output, which are one socket, to the test, and stays
until the test has closed the connection. So the server does all that it does with a real one: it starts it, reads its
marked lines, sends its request, gives the socket to a link, and ends and reaps it.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, Final

import msgspec
import pytest

from live import link
from live.first_stage import MARK
from live.ssh_process import NOISE_MAX
from model.configuration import HostDefinition, Link
from model.messages import PROTOCOL
from tests.live.hostile import dialects
from tests.live.hostile.dialects import Dialect
from tests.live.hostile.links import HURRY_SECONDS, Line, ServersEnd
from tests.live.hostile.site import Site
from tests.live.link_partners import PATIENCE_SECONDS

DIAL_SECONDS: Final = 2.0
"""What the limit for the words before the frames is while it is awaited; a program is started within it."""
PROGRAM: Final = """#!{python} -IS
import socket
control = socket.socket(socket.AF_UNIX)
control.connect({path!r})
socket.send_fds(control, [b"x"], [0])
control.recv(1)
"""


def marked(**words: Any) -> bytes:
    return MARK + msgspec.json.encode(words) + b"\n"


BRIDGE: Final = marked(stage="bridge", python="3.11.0", protocol=PROTOCOL)
AGENT: Final = marked(stage="agent", agent=1)
WRONG_WORDS: Final[dict[str, bytes]] = {
    "noise without end": b"Welcome\n" * (NOISE_MAX // 8 + 1),
    "zeros": bytes(NOISE_MAX + 1),
    "frames at once": dialects.CALLING.harmless * (NOISE_MAX // len(dialects.CALLING.harmless) + 1),
    "a marked line without end": MARK + b"x" * NOISE_MAX,
    "a mark and no JSON": MARK + b"hello\n",
    "a mark and a list": MARK + b"[]\n",
    "a nest": MARK + b'{"x":' + b"[" * 60_000 + b"\n",
    "a text that is no UTF-8": MARK + b'{"stage":"\xff"}\n',
    "a huge integer": MARK + b'{"stage":"bridge","agent":' + b"9" * 60_000 + b"}\n",
    "a number for a stage": MARK + b'{"stage":1}\n',
    "another version": marked(stage="bridge", python="3.11.0", protocol=77),
    "an unknown stage": marked(stage="rule"),
    "an old Python": marked(stage="python", python="2.7.18", abi="cp27"),
    "a Python of another machine": marked(stage="python", python="3.11.0", abi="cpython-311-vax"),
    "a Python without a version": marked(stage="python", python="/bin/sh"),
    "no agent, with a terminal's commands": marked(stage="failed", reason="\x1b[2J\x1b]0;x\x07" * 1000),
    "an answer that is none": BRIDGE + MARK + b"[]\n",
    "an answer of a stage that is none": BRIDGE + marked(stage="rule"),
    "frames with the answer": BRIDGE + AGENT + dialects.CALLING.harmless,
}
"""What is said instead of the marked lines."""


class SshLine(Line):
    """The far end of one ssh, which ends when this is closed."""

    def __init__(
        self, connected: socket.socket, control: socket.socket, until_known: Callable[[], Awaitable[None]]
    ) -> None:
        """`until_known()`: until the server knows that this has failed."""
        super().__init__(connected)
        self._control = control
        self._until_known = until_known
        self._known = b""

    async def await_hello(self) -> None:
        """Until the server's hello is here: what is said from then on is said to a link. Who listens hears it first."""
        self._known = await super().hear(lambda told: told.endswith(b"\n"))

    async def hear(self, enough: Callable[[bytes], bool]) -> bytes:
        known, self._known = self._known, b""
        if known and enough(known):
            return known
        return known + await super().hear(lambda told: enough(known + told))

    async def ended(self) -> bytes:
        told = await super().ended()
        await self._until_known()
        return told

    def close(self) -> None:
        super().close()
        self._control.close()


NOT_CALLED: Final = "a stranger does not connect here: each connection is an ssh that the server has started"
SENSELESS: Final[dict[str, str]] = {
    **dict.fromkeys(("silent in a crowd", "comes and goes", "comes in a crowd", "a doubled session"), NOT_CALLED),
    "takes every descriptor": f"{NOT_CALLED}, and one that cannot be started is a host that is down",
    "an earlier life": "it is the server that names its life; an agent of an earlier life is the true one, come back",
    "another user": "sshd says who somebody is, not the socket",
    "never reads": "what waits for an agent is bounded at 64 MiB on every link; the suite fills no such limit",
}
"""Peers of the suite that mean nothing on ssh, and why."""


class SshFrames(ServersEnd):
    """The server's end of ssh, once the marked lines are over: the frames."""

    name = "ssh stdio"
    senseless: ClassVar[dict[str, str]] = SENSELESS
    counts_lives = True
    _count = itertools.count(1)

    def __init__(self, site: Site) -> None:  # not that of ServersEnd, whose host is on this machine
        self.site = site
        self._lines: list[Line] = []
        self._is_known = False
        self.host = f"evil-ssh{next(self._count)}"
        folder = site.folder / self.host
        folder.mkdir()
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(folder / "control"))
        self._listening.listen()
        self._listening.setblocking(False)
        program = folder / "ssh"
        program.write_text(PROGRAM.format(python=sys.executable, path=str(folder / "control")))
        program.chmod(0o700)
        self._patch = pytest.MonkeyPatch()
        self._patch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        site.server._side.hosts.define(HostDefinition(self.host, 2, Link.SSH))

    async def _connect(self) -> Line:
        line = await self._called()
        await self._introduce(line)
        await line.await_hello()
        return line

    async def _called(self) -> SshLine:
        """The far end of an ssh of the server's."""
        if self._is_known:
            await self.site.until(lambda: self._state() == "down", f"{self.host} is down")
        await self.site.client.ask("host", verb="retry" if self._is_known else "add", name=self.host, slots=2)
        self._is_known = True
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                control, _ = await loop.sock_accept(self._listening)
                ready = loop.create_future()
                loop.add_reader(control, ready.set_result, None)
                await ready
                loop.remove_reader(control)
                _, descriptors, *_ = socket.recv_fds(control, 1, 1)
                if descriptors:
                    return SshLine(socket.socket(fileno=descriptors[0]), control, self._until_down)
                control.close()  # that ssh was ended meanwhile

    async def _until_down(self) -> None:
        host = self.site.server.controller.hosts[self.host]
        await self.site.until(lambda: self._state() == "down" or host.tries, f"{self.host} is down, and why is told")

    async def _introduce(self, line: Line) -> None:
        """The marked lines, said correctly."""
        await line.send(BRIDGE)
        assert b'"what":"link"' in await line.hear(lambda told: told.endswith(b"\n"))
        await line.send(AGENT)

    async def tidy(self) -> None:
        await super().tidy()
        self.site.server._side.hosts.forget(self.host)
        self._patch.undo()


class SshWords(SshFrames):
    """The same before the frames: what login scripts, a wrong Python, or a wrong program would say."""

    name = "ssh stdio before the frames"
    senseless: ClassVar[dict[str, str]] = SENSELESS | dict.fromkeys(
        ("another version", "another host's name"),
        "said in the marked lines (WRONG_WORDS) or the frames (SshFrames)",
    )
    counts_lives = False
    tells_paths = True
    dialect = Dialect(first=WRONG_WORDS, later={}, begun=MARK + b'{"stage":"', harmless=BRIDGE)

    async def _connect(self) -> Line:
        return await self._called()

    async def greet(self, line: Line, **changes: Any) -> bytes:
        await self._introduce(line)
        return await super().greet(line, **changes)

    def hurry(self, patch: pytest.MonkeyPatch) -> None:
        patch.setattr(self.site.server._side.hosts.links, "_connect_seconds", DIAL_SECONDS)
        patch.setattr(link, "PARTIAL_SECONDS", HURRY_SECONDS)


ON_SSH: Final[tuple[type[SshFrames], ...]] = (SshFrames, SshWords)
