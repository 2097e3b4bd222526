"""Each link that a stranger can reach, as something that can be attacked: how one gets to it, how a correct greeting is
said, who must not notice, and how one sees that it still serves.

Used by `test_hostile_peers.py`. Another link is one more class here and one more entry in LINKS.
"""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import resource
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import msgspec
import pytest

from live import accepting, control, hello, keepers, link, listener
from live.keeper_frames import frame_messages
from live.keepers import Keepers
from live.listener import socket_address
from live.spool import Spool, lock_file, write_owner
from live.sweep import owner_of
from model.events import (
    Delivered,
    KeeperDown,
    LinkDown,
    LinkUp,
    OrderHost,
    OrderIntake,
    OrderJob,
    OrderTask,
)
from tests.live.hostile import dialects
from tests.live.hostile.dialects import Dialect, deliver, reply
from tests.live.hostile.site import Site
from tests.live.link_partners import PATIENCE_SECONDS, agent_hello, superior_hello

HURRY_SECONDS = 0.2
"""What the deadlines for strangers are while one is awaited."""
PIECE = 1 << 16


class Line:
    """A raw connection of a stranger."""

    def __init__(self, connected: socket.socket) -> None:
        connected.setblocking(False)
        self.socket = connected

    async def send(self, data: bytes) -> bool:
        """False: the other end takes no more of it."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await asyncio.get_running_loop().sock_sendall(self.socket, data)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    async def hear(self, enough: Callable[[bytes], bool]) -> bytes:
        """What is said, until it is enough or the connection ends."""
        told = b""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not enough(told):
                try:
                    data = await asyncio.get_running_loop().sock_recv(self.socket, PIECE)
                except ConnectionResetError:
                    break
                if not data:
                    break
                told += data
        return told

    async def ended(self) -> bytes:
        """What is said until the other end closes, which it must."""
        told = await self.hear(lambda _: False)
        self.close()
        return told

    def close(self) -> None:
        self.socket.close()


@contextmanager
def no_descriptors() -> Iterator[None]:
    """No more descriptors can be opened by this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))
    filling: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 20, hard))
    full = False
    while not full:
        try:
            filling.append(os.open(os.devnull, os.O_RDONLY))
        except OSError as error:
            full = error.errno == errno.EMFILE
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in filling:
            os.close(descriptor)


class Attacked:
    """One link. `meanwhile`: hosts whose jobs must run while somebody unknown attacks; `spared`: the same while
    somebody does who knows how to greet (and by that may take the place of an honest peer)."""

    name: ClassVar[str]
    dialect: ClassVar[Dialect]
    meanwhile: ClassVar[tuple[str, ...]] = ("n1", "n2", "local")
    spared: ClassVar[tuple[str, ...]] = meanwhile
    counts_lives: ClassVar[bool] = False
    """its greeting says versions, names and lives"""
    can_hurry: ClassVar[bool] = True
    """its deadlines can be shortened from here, and so be waited for"""
    is_called: ClassVar[bool] = True
    """strangers connect to it, as often as they like"""
    tells_paths: ClassVar[bool] = False
    """who answers is told where its agent lives, for that is what it is asked for"""
    marks: ClassVar[tuple[pytest.MarkDecorator, ...]] = ()
    """of its tests: what they need"""

    def __init__(self, site: Site) -> None:
        self.site = site
        self._lines: list[Line] = []

    async def connect(self) -> Line:
        """A connection of a stranger to this link."""
        line = await self._connect()
        self._lines.append(line)
        return line

    async def _connect(self) -> Line:
        raise NotImplementedError

    async def greet(self, line: Line, **changes: Any) -> bytes:
        """Say a correct greeting (but for the changes); what was answered."""
        raise NotImplementedError

    def hurry(self, patch: pytest.MonkeyPatch) -> None:
        """Shorten the deadlines for strangers that connect from now on."""

    def squeeze(self, patch: pytest.MonkeyPatch) -> None:
        """Make the limit of what waits for a peer so small that a test reaches it quickly."""

    def refuse_me(self, patch: pytest.MonkeyPatch) -> bool:
        """Let every peer that connects from now on look as if it were another user's; False: that cannot be done from
        here."""
        return False

    @contextmanager
    def starved(self) -> Iterator[Callable[[], bool]]:
        """The process that listens has no descriptor left for who has just connected; yields whether it has met that
        (or had time to)."""
        met: list[OSError] = []
        pause = accepting.Acceptor._pause

        def noted(acceptor: accepting.Acceptor, error: OSError) -> None:
            met.append(error)
            pause(acceptor, error)

        with pytest.MonkeyPatch.context() as patch, no_descriptors():
            patch.setattr(accepting, "REST_SECONDS", 0.05)
            patch.setattr(accepting.Acceptor, "_pause", noted)
            yield lambda: bool(met)

    async def alive(self) -> None:
        """An honest peer is served."""
        await self.site.work(*self.meanwhile)

    def events_of_strangers(self, events: list[tuple[object, Any]]) -> list[Any]:
        """Those events of machines that no honest peer caused."""
        raise NotImplementedError

    async def tidy(self) -> None:
        """Take away what the attack left on the attacker's side."""
        for line in self._lines:
            line.close()


def call(directory: str | os.PathLike[str], name: str) -> Line:
    """Connect to a unix socket, however long its path is."""
    directory_fd = os.open(directory, os.O_PATH)
    try:
        calling = socket.socket(socket.AF_UNIX)
        try:
            calling.setblocking(False)
            calling.connect(socket_address(directory_fd, name))
        except BaseException:
            calling.close()
            raise
    finally:
        os.close(directory_fd)
    return Line(calling)


async def call_patiently(directory: str | os.PathLike[str], name: str) -> Line:
    """The same where the kernel's queue may be full: then others get their turn."""
    while True:
        try:
            return call(directory, name)
        except BlockingIOError:
            await asyncio.sleep(0)


class AgentsDoor(Attacked):
    """The socket on which an agent waits for its server."""

    name = "an agent's door"
    dialect = dialects.CALLED
    spared = ("n2", "local")
    counts_lives = True

    async def _connect(self) -> Line:
        return await call_patiently(self.site.state.host_spool("n1"), listener.SOCKET_NAME)

    async def greet(self, line: Line, **changes: Any) -> bytes:
        word = msgspec.structs.replace(superior_hello("n1", self.site.epoch), **changes)
        await line.send(deliver(hello.encode(word)))
        return await line.hear(lambda told: told.endswith(b"\n"))

    def hurry(self, patch: pytest.MonkeyPatch) -> None:
        patch.setattr(link, "HELLO_SECONDS", HURRY_SECONDS)
        patch.setattr(link, "PARTIAL_SECONDS", HURRY_SECONDS)

    def refuse_me(self, patch: pytest.MonkeyPatch) -> bool:
        patch.setattr(listener, "peer_user", lambda _: os.getuid() + 1)
        return True

    async def alive(self) -> None:
        """The server comes back, and its host works."""
        await self.site.bring_back("n1")
        await super().alive()

    def events_of_strangers(self, events: list[tuple[object, Any]]) -> list[Any]:
        turns = self.site.agents["n1"]._turns
        return [event for who, event in events if who is turns and isinstance(event, LinkUp | LinkDown)]


class ServersEnd(Attacked):
    """The end of the server that calls an agent: the stranger listens where a host's agent should."""

    name = "a server's end of a link"
    dialect = dialects.CALLING
    counts_lives = True
    is_called = False
    _numbers = itertools.count(1)

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.host = f"evil{next(self._numbers)}"
        spool = site.state.host_spool(self.host)
        spool.mkdir(mode=0o700)
        self._listening = listener.listen(spool)
        self._is_known = False

    async def _connect(self) -> Line:
        verb = "retry" if self._is_known else "add"
        if self._is_known:
            await self.site.until(lambda: self._state() == "down", f"{self.host} is down")
        await self.site.client.ask("host", verb=verb, name=self.host, slots=2)
        self._is_known = True
        connected, _ = await asyncio.get_running_loop().sock_accept(self._listening)
        return Line(connected)

    def _state(self) -> str:
        return self.site.server.controller.hosts[self.host].state.value

    async def greet(self, line: Line, **changes: Any) -> bytes:
        told = await line.hear(lambda told: told.endswith(b"\n"))
        word = msgspec.structs.replace(agent_hello(self.host, 5), **changes)
        await line.send(reply(hello.encode(word)))
        if not changes:
            told += await line.hear(lambda told: told.endswith(b"\n"))
            assert b"inquire" in told, "the server takes it for an agent"
        return told

    def hurry(self, patch: pytest.MonkeyPatch) -> None:
        patch.setattr(link, "HELLO_SECONDS", HURRY_SECONDS)
        patch.setattr(link, "PARTIAL_SECONDS", HURRY_SECONDS)

    def events_of_strangers(self, events: list[tuple[object, Any]]) -> list[Any]:
        """That the host was refused or went is told; nothing else."""
        return [event for _, event in events if isinstance(event, LinkUp | Delivered) and event.peer.startswith("evil")]

    async def tidy(self) -> None:
        """The host is switched off; what it claimed to hold must not make the server start a real agent for it."""
        await super().tidy()
        site = self.site
        if self._is_known:
            await site.client.ask("host", verb="off", name=self.host)
            await site.until(lambda: self._state() in ("off", "down"), f"{self.host} is down or off")
            site.server.controller.table._tries.cancel(self.host)
        self._listening.close()
        site.server._side.hosts.links.forget(self.host)
        dialer = site.server._side.hosts._hosts.pop(self.host, None)
        if dialer is not None:
            dialer.close()


class PeoplesDoor(Attacked):
    """The control socket."""

    name = "the control socket"
    dialect = dialects.LINES

    async def _connect(self) -> Line:
        return await call_patiently(self.site.state.path, "control.sock")

    async def greet(self, line: Line, **changes: Any) -> bytes:
        await line.send(dialects.line(id=1, verb="hosts"))
        return await line.hear(lambda told: told.endswith(b"\n"))

    def hurry(self, patch: pytest.MonkeyPatch) -> None:
        patch.setattr(control, "FIRST_SECONDS", HURRY_SECONDS)
        patch.setattr(control, "REQUEST_SECONDS", HURRY_SECONDS)

    def squeeze(self, patch: pytest.MonkeyPatch) -> None:
        patch.setattr(control, "OUT_MAX", 1 << 16)

    def refuse_me(self, patch: pytest.MonkeyPatch) -> bool:
        patch.setattr(control, "peer_user", lambda _: os.getuid() + 1)
        return True

    async def alive(self) -> None:
        told = b""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while b'"ok":true' not in told:  # who has gone may not be noticed yet, and the door still be full
                line = await self.connect()
                told = await self.greet(line)
                line.close()
        await super().alive()

    def events_of_strangers(self, events: list[tuple[object, Any]]) -> list[Any]:
        return [event for _, event in events if isinstance(event, OrderHost | OrderIntake | OrderJob | OrderTask)]


class PeoplesPrompt(PeoplesDoor):
    """A prompt on the control socket."""

    name = "a prompt"

    async def greet(self, line: Line, **changes: Any) -> bytes:
        await line.send(dialects.line(id=1, verb="shell_open"))
        return await line.hear(lambda told: told.endswith(b"\n"))


class KeepersDoor(Attacked):
    """The socket on which a keeper waits for its agent."""

    name = "a keeper's door"
    dialect = dialects.FRAMES
    spared = ("n1", "n2")
    can_hurry = False

    async def _connect(self) -> Line:
        return await call_patiently(self.site.state.local_spool, "keeper-0.sock")

    async def greet(self, line: Line, **changes: Any) -> bytes:
        told = await line.hear(bool)
        await line.send(dialects.ORDERS)
        return told

    @contextmanager
    def starved(self) -> Iterator[Callable[[], bool]]:
        keeper = owner_of(self.site.state.local_spool / "keeper-0.lock")
        assert keeper is not None
        soft, hard = resource.prlimit(keeper, resource.RLIMIT_NOFILE)
        highest = max(int(name) for name in os.listdir(f"/proc/{keeper}/fd"))
        resource.prlimit(keeper, resource.RLIMIT_NOFILE, (highest + 1, hard))
        looks = itertools.count()
        try:
            yield lambda: next(looks) > 20  # what another process meets cannot be seen
        finally:
            resource.prlimit(keeper, resource.RLIMIT_NOFILE, (soft, hard))

    async def alive(self) -> None:
        await self.site.work(*self.meanwhile)
        line = await self.connect()
        assert await line.hear(bool), "the keeper greets"
        line.close()

    def events_of_strangers(self, events: list[tuple[object, Any]]) -> list[Any]:
        """The agent keeps its keepers, whoever else calls them."""
        return [event for _, event in events if isinstance(event, KeeperDown)]


class AgentsEnd(Attacked):
    """The end of an agent that calls its keeper: the stranger has the keeper's socket and lock."""

    name = "an agent's end to its keeper"
    dialect = Dialect(
        first={**dialects.RUBBISH_OF_FRAMES, "what only an agent says": dialects.ORDERS},
        later=dialects.RUBBISH_OF_FRAMES,
        begun=b"\0\0\xff\xff",
        harmless=frame_messages([]),
    )
    is_called = False
    _numbers = itertools.count(1)

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.heard: list[Any] = []
        self._open: list[tuple[Keepers, asyncio.Task[None], Spool, int, socket.socket]] = []

    async def _connect(self) -> Line:
        site = self.site
        spool = Spool(site.folder / f"spool{next(self._numbers)}")
        lock = lock_file(spool.path / "keeper-0.lock")
        write_owner(lock, os.getpid())
        listening = keepers._listen(spool.path, 0)
        listening.setblocking(False)
        called = Keepers(
            spool,
            "x",
            site.folder,
            1,
            on_message=lambda _, message: self.heard.append(message),
            on_up=lambda _: None,
            on_down=lambda _: None,
        )
        starting = site.loop.create_task(called.start())
        connected, _ = await site.loop.sock_accept(listening)
        self._open.append((called, starting, spool, lock, listening))
        return Line(connected)

    async def greet(self, line: Line, **changes: Any) -> bytes:
        await line.send(frame_messages([]))
        return await line.hear(bool)

    def hurry(self, patch: pytest.MonkeyPatch) -> None:
        patch.setattr(keepers, "START_SECONDS", HURRY_SECONDS)
        patch.setattr(keepers, "PARTIAL_SECONDS", HURRY_SECONDS)

    def refuse_me(self, patch: pytest.MonkeyPatch) -> bool:
        patch.setattr(keepers, "peer_user", lambda _: os.geteuid() + 1)
        return True

    def events_of_strangers(self, events: list[tuple[object, Any]]) -> list[Any]:
        return self.heard

    async def tidy(self) -> None:
        for called, starting, spool, lock, listening in self._open:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            await called.close()  # before the stranger goes, or a real keeper takes its place
            listening.close()
            os.close(lock)
            spool.close()
        self._open.clear()
        await super().tidy()


LINKS: tuple[type[Attacked], ...] = (AgentsDoor, ServersEnd, PeoplesDoor, PeoplesPrompt, KeepersDoor, AgentsEnd)
