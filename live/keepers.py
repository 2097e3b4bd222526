"""The agent's side of its keepers: start them, adopt the ones that live already, talk to them, start dead ones again.

Keepers are started with `multiprocessing` (the forkserver context): one short-lived process takes the lock of each
keeper, makes its socket, forks it and ends; so a keeper is nobody's multiprocessing child, nothing joins it, and it
outlives the agent. A keeper that died is started again under its number, reads the log of the dead one, ends what is
left of its jobs, and holds their ends; so an agent learns everything from `Holding`, whatever happened. Where no agent
does that, the guard that was forked beside the keeper ends what is left (`keeper_guard.py`).

Everything but `_start_keepers` (in that short-lived process) runs in the agent's event loop. Nothing is decided here
about jobs.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from multiprocessing import forkserver
from pathlib import Path

from live import keeper_process
from live.accepting import peer_user
from live.clock import boottime_ns
from live.keeper_frames import BACKLOG_MAX, FrameError, frame_orders, message_frames
from live.keeper_guard import guard
from live.processes import base_environment
from live.spool import VERSION, Spool, SpoolBusyError, lock_file, log_version, read_log, write_owner
from model.errors import LaulimaError
from model.keeper import Forget, KeeperMessage, Leave, Order, Start

START_SECONDS = 30.0
"""How long the start of keepers may take."""
FORGET_PATIENCE_SECONDS = 0.01
"""A keeper is woken to forget something only when nothing else was said to it for so long."""
RETRY_SECONDS = (0.01, 5.0)
"""First and longest pause before a keeper that cannot be reached, or lets its connections go, is tried again."""
STEADY_SECONDS = 10.0
"""A connection to a keeper that lasted so long was a good one: the pauses begin anew."""
BACKLOG = 8
"""Connections that may wait at a keeper's socket."""
PARTIAL_SECONDS = 30.0
"""From the first byte of what a keeper says to its last."""
ERRORS_MAX = 1 << 20
"""Bytes of complaints of a keeper that are kept; then the file is begun anew at its next start."""


class KeeperError(LaulimaError):
    """A keeper cannot be started."""


class Keepers:
    """The keepers of one spool. `numbers` are those that must be heard before it is known what runs here: the wanted
    ones and those of an earlier life that still hold something. All methods belong to the loop's thread."""

    def __init__(
        self,
        spool: Spool,
        host: str,
        directory: Path,
        count: int,
        *,
        on_message: Callable[[int, KeeperMessage], None],
        on_up: Callable[[int], None],
        on_down: Callable[[int], None],
        on_trouble: Callable[[str], None] = lambda _text: None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """`host`: LAULIMA_HOST of the jobs. `directory`: where jobs run that name no directory. `environment`: from
        which their small environment is taken (default: ours)."""
        self._spool = spool
        self._settings = keeper_process.Settings(
            spool=str(spool.path),
            identity=spool.identity,
            host=host,
            directory=str(directory.absolute()),
            environment=base_environment(os.environ if environment is None else environment),
        )
        self.on_message = on_message
        self.on_up = on_up
        self.on_down = on_down
        self.on_trouble = on_trouble
        wanted = set(range(count))
        self.numbers = tuple(sorted(wanted | {number for number in spool.keepers() if self._holds_something(number)}))
        self._links: dict[int, _Link] = {}
        self._pauses: dict[int, float] = {}
        """by number, in s: the last one before a keeper that lives was called again"""
        self._leaving: dict[int, Leave] = {}
        """what those were told that are to go; one that is being started meanwhile hears it, too"""
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self._directory = os.open(spool.path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._gone = asyncio.Event()

    def _holds_something(self, number: int) -> bool:
        """A keeper that lives, or a log with attempts in it. Raises KeeperError when it is of another version."""
        version = log_version(self._spool.path / f"keeper-{number}.log")
        if version != VERSION:
            raise KeeperError(
                f"keeper {number} of {self._spool.path} is of another version (what it says is of version {version}, "
                f"here {VERSION} is understood); its jobs go on",
                "let them end with the version that started them, or end them with it: laulima shutdown --kill",
            )
        try:
            os.close(lock_file(self._spool.path / f"keeper-{number}.lock"))
        except SpoolBusyError:
            return True
        contents = read_log(self._spool.path / f"keeper-{number}.log")
        return bool(contents.begun or contents.ended)

    async def start(self) -> None:
        """Adopt or start all `numbers`; on_up is called for each. Raises KeeperError when one does not come."""
        await self._bring_up(list(self.numbers))

    def send(self, number: int, order: Order) -> None:
        """Orders of one turn of the loop travel together. One for a keeper that is down is dropped: what it holds is
        said by its successor, and what it does not hold was not started."""
        if isinstance(order, Leave):
            self._leaving[number] = order
        elif isinstance(order, Start):
            self._leaving.pop(number, None)
        link = self._links.get(number)
        if link is not None:
            link.send(order)

    async def gone(self) -> None:
        """Wait until every keeper has gone away, after `Leave` was sent to all of them."""
        while self._links or self._tasks:
            self._gone.clear()
            await self._gone.wait()

    async def close(self) -> None:
        """Leave the keepers to themselves. What was sent is given to the kernel first, within a second."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        links = list(self._links.values())
        for link in links:
            link.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                await asyncio.gather(*(link.lost for link in links))
        for link in links:
            link.abort()
        os.close(self._directory)

    # bringing up

    async def _bring_up(self, numbers: list[int]) -> None:
        pause = RETRY_SECONDS[0]
        try:
            async with asyncio.timeout(START_SECONDS):
                missing = [number for number in numbers if not await self._connect(number)]
                while missing:
                    await asyncio.to_thread(_run_starter, self._settings, missing)
                    missing = [number for number in missing if not await self._connect(number)]
                    if missing:
                        await asyncio.sleep(pause)  # one that is going away still holds its lock, or its log is read
                        pause = min(2 * pause, RETRY_SECONDS[1])
        except TimeoutError:
            names = ", ".join(map(str, numbers))
            raise KeeperError(
                f"keeper {names} did not start within {START_SECONDS:g} s", f"see keeper-*.err in {self._spool.path}"
            ) from None

    async def _connect(self, number: int) -> bool:
        """False: nobody listens. A connection counts once the keeper has greeted: one that is just dying may still have
        its socket."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            connection.connect(_socket_path(self._directory, number))
            owner = peer_user(connection)
        except OSError:
            connection.close()
            return False
        if owner != os.geteuid():
            connection.close()
            raise KeeperError(f"keeper {number} belongs to another user (id {owner})", f"see {self._spool.path}")
        loop = asyncio.get_running_loop()
        _, link = await loop.create_unix_connection(lambda: _Link(self, number), sock=connection)
        try:
            await asyncio.wait((link.greeted, link.lost), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            link.abort()
            raise
        if link.lost.done():
            return False
        self._links[number] = link
        self.on_up(number)
        if number in self._leaving:
            link.send(self._leaving[number])
        return True

    def _lost(self, number: int, link: _Link) -> None:
        if self._links.get(number) is not link:
            return
        del self._links[number]
        self._gone.set()
        if self._closed or number in self._leaving:
            return
        self.on_down(number)
        if link.lasted_seconds >= STEADY_SECONDS:
            self._pauses.pop(number, None)
        task = asyncio.get_running_loop().create_task(self._restart(number))
        self._tasks.add(task)
        task.add_done_callback(self._restarted)

    def _restarted(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._gone.set()

    async def _restart(self, number: int) -> None:
        """Call it again, or start it where it does not live: then at once, for what it held is to be ended."""
        if not self._lives(number):
            self._pauses.pop(number, None)
        else:  # it lives, and talks rubbish or closes: who calls such a one without a pause does nothing else
            self._pauses[number] = min(2 * self._pauses.get(number, RETRY_SECONDS[0] / 2), RETRY_SECONDS[1])
            await self._wait(self._pauses[number])
        pause = RETRY_SECONDS[0]
        while True:
            try:
                await self._bring_up([number])
            except KeeperError as error:
                self.on_trouble(f"{error}; {error.hint}")
                if number in self._leaving:
                    return
                await self._wait(pause)
                pause = min(2 * pause, RETRY_SECONDS[1])
            else:
                return

    def _lives(self, number: int) -> bool:
        """Whether the process is there that left its number last. Its lock is not tried: its guard may want it now."""
        try:
            text = (self._spool.path / f"keeper-{number}.lock").read_bytes().strip()
            os.kill(int(text), 0)
        except (FileNotFoundError, ValueError, ProcessLookupError, PermissionError):
            return False  # nobody left one, or whoever has the number now is another user's process
        return True

    async def _wait(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class _Link(asyncio.Protocol):
    """The connection to one keeper."""

    def __init__(self, keepers: Keepers, number: int) -> None:
        self._keepers = keepers
        self._number = number
        self._loop = asyncio.get_running_loop()
        self._frames = message_frames()
        self._orders: list[Order] = []
        self._hurries = False
        self._flushing: asyncio.TimerHandle | None = None
        self._partial: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self.greeted: asyncio.Future[None] = self._loop.create_future()
        self.lost: asyncio.Future[None] = self._loop.create_future()
        self._began = self._loop.time()

    @property
    def lasted_seconds(self) -> float:
        """How long ago it was made."""
        return self._loop.time() - self._began

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(high=BACKLOG_MAX)
        self._transport = transport
        transport.write(frame_orders([], boottime_ns()))  # who says nothing is no agent

    def data_received(self, data: bytes) -> None:
        try:
            frames = self._frames.feed(data)
        except FrameError as error:
            self._keepers.on_trouble(f"keeper {self._number}: {error}")
            self.abort()
            return
        if frames and not self.greeted.done():
            self.greeted.set_result(None)
        for messages in frames:
            for message in messages:
                self._keepers.on_message(self._number, message)
        self._watch_partial(bool(frames))

    def _watch_partial(self, is_new: bool) -> None:
        """A frame that has begun must end in time."""
        if self._partial is not None and (is_new or not self._frames.partial):
            self._partial.cancel()
            self._partial = None
        if self._partial is None and self._frames.partial:
            self._partial = self._loop.call_later(PARTIAL_SECONDS, self._partial_late)

    def _partial_late(self) -> None:
        self._partial = None
        self._keepers.on_trouble(f"keeper {self._number}: a frame was not complete within {PARTIAL_SECONDS:g} s")
        self.abort()

    def pause_writing(self) -> None:
        self._keepers.on_trouble(f"keeper {self._number} does not read; its connection is closed")
        self.abort()

    def connection_lost(self, _exc: Exception | None) -> None:
        self._transport = None
        if self._partial is not None:
            self._partial.cancel()
            self._partial = None
        if not self.lost.done():
            self.lost.set_result(None)
        self._keepers._lost(self._number, self)  # noqa: SLF001 - two halves of one thing

    def send(self, order: Order) -> None:
        """In order, at the end of this turn of the loop; only what may be forgotten can wait for company."""
        self._orders.append(order)
        if type(order) is Forget:
            if self._flushing is None:
                self._flushing = self._loop.call_later(FORGET_PATIENCE_SECONDS, self._flush)
        elif not self._hurries:
            self._hurries = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        self._hurries = False
        orders, self._orders = self._orders, []
        if self._transport is not None and orders:
            self._transport.write(frame_orders(orders, boottime_ns()))

    def close(self) -> None:
        self._flush()
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()


def _socket_path(directory: int, number: int) -> str:
    """A unix socket's path may have 107 bytes; through the descriptor of its directory it is short wherever that is."""
    return f"/proc/self/fd/{directory}/keeper-{number}.sock"


_ENVIRONMENT = threading.Lock()
"""Held while the environment of this process is another one for a moment."""


@contextlib.contextmanager
def _found_as_here() -> Iterator[None]:
    """Programs that are started meanwhile find modules where this process does. multiprocessing's own would look into
    the working directory first: a folder of a user with a `json.py` or `live/` in it would be taken for ours."""
    ours = {"PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


# in the short-lived process


def _run_starter(settings: keeper_process.Settings, numbers: list[int]) -> None:
    """Start the keepers that do not live. Blocks for some 0.1 s. Raises KeeperError."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["live.keepers"])
    with _ENVIRONMENT, _found_as_here():
        forkserver.ensure_running()
    starter = context.Process(target=_start_keepers, args=(settings, numbers), name="laulima-starter")
    starter.start()
    starter.join(START_SECONDS)
    code = starter.exitcode
    if code is None:
        starter.kill()
        starter.join()
    starter.close()
    if code != 0:
        raise KeeperError(f"keepers could not be started (status {code})", f"see keeper-*.err in {settings.spool}")


def _start_keepers(settings: keeper_process.Settings, numbers: list[int]) -> None:
    """Fork a keeper for each number that is free, and one guard for all of them."""
    for ignored in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(ignored, signal.SIG_IGN)  # before there is a keeper, so it is deaf from its first instant
    spool = Path(settings.spool)
    keepers: dict[int, int] = {}
    for number in numbers:
        try:
            lock = lock_file(spool / f"keeper-{number}.lock")
        except SpoolBusyError:
            continue  # it lives, or is about to be gone
        listener = _listen(spool, number)
        pid = os.fork()
        if pid == 0:
            kept = {listener.fileno(), lock}
            _be("laulima-keeper", spool, number, kept, partial(keeper_process.main, number, settings, listener, lock))
        keepers[number] = os.pidfd_open(pid)
        write_owner(lock, pid)
        os.close(lock)
        listener.close()
    if keepers and os.fork() == 0:
        kept = set(keepers.values())
        _be("laulima-guard", spool, min(keepers), kept, partial(guard, spool, settings.identity, keepers))


def _listen(spool: Path, number: int) -> socket.socket:
    (spool / f"keeper-{number}.sock").unlink(missing_ok=True)
    directory = os.open(spool, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        listener.bind(_socket_path(directory, number))
        listener.listen(BACKLOG)
    finally:
        os.umask(mask)
        os.close(directory)
    return listener


def _be(name: str, spool: Path, number: int, keep: set[int], work: Callable[[], None]) -> None:
    """Be a process of this name and do this work; never returns. What was inherited from multiprocessing is closed, so
    nothing of it is kept alive."""
    status = 1
    try:
        os.setsid()
        _close_inherited(spool / f"keeper-{number}.err", keep)
        with open("/proc/self/comm", "w", encoding="ascii") as comm:
            comm.write(name)
        work()
        status = 0
    except BaseException:  # noqa: BLE001 - the last words of a process that ends here
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(status)


def _close_inherited(errors: Path, keep: set[int]) -> None:
    """Standard input from nothing, output and errors to a file, everything else closed."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
    complaints = os.open(errors, flags, 0o600)
    if os.fstat(complaints).st_size > ERRORS_MAX:
        os.ftruncate(complaints, 0)
    nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    os.dup2(nothing, 0)
    os.dup2(complaints, 1)
    os.dup2(complaints, 2)
    start = 3
    for kept in sorted(keep):
        os.closerange(start, kept)
        start = kept + 1
    os.closerange(start, os.sysconf("SC_OPEN_MAX"))
