"""A host with `link: process`: an agent process on this machine, behind a unix socket in the host's folder.

A `HostLink` of `live/hosts.py`. `dial` first calls an agent that is alive (it may be of an earlier server), and starts
one when nobody listens. Belongs here: starting, watching and, as the last resort, signalling that process. What it
does is `live/agent_program.py`.

The agent gets its own session, so that Ctrl-C in the server's terminal does not reach it; a small environment; its
errors go to `agent.log` in its folder, whose last lines are the reason when a start fails.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

import live
from live.accepting import peer_process, peer_user
from live.complaints import set_aside
from live.listener import socket_address
from live.sweep import sweep
from model.channel import ChannelTimes
from model.errors import NotReachableError

LOG_NAME: Final = "agent.log"
READY: Final = b"ready\n"
"""What the agent writes on the descriptor READY_FD once it listens."""
READY_FD: Final = 3
LOG_TAIL_BYTES: Final = 4096
REASON_LINES: Final = 3
STARTS_MAX: Final = 4
"""Agents that start at one time: each costs a few tenths of a second of a core."""
ENVIRONMENT: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "USER", "LOGNAME", "TMPDIR")
"""What an agent gets of the server's environment."""


class ProcessHost:
    """Reaches, and if needed starts, the agent of one process host."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        name: str,
        *,
        slots: int,
        spool: Path,
        directory: Path,
        times: ChannelTimes,
        turn_to_start: asyncio.Semaphore | None = None,
    ) -> None:
        """`spool`: the host's folder, made if it isn't there. `directory`: where the jobs' relative paths start.
        `turn_to_start`: shared by the hosts of one server, with STARTS_MAX permits."""
        self._loop = loop
        self._name = name
        self.slots = slots
        """with which an agent is started"""
        self._spool = spool.absolute()
        self._directory = directory.absolute()
        self._times = times
        self._turn_to_start = turn_to_start or asyncio.Semaphore(STARTS_MAX)
        self._watched: dict[int, int] = {}
        self._gone = asyncio.Event()
        self._gone.set()

    async def dial(self) -> socket.socket:
        """See `Dialer`. Raises NotReachableError when no agent listens and none can be started."""
        connected = self._call()
        if connected is None:
            async with self._turn_to_start:
                await self._start()
            connected = self._call()
        if connected is None:
            raise NotReachableError(f"the agent of {self._name} left as soon as it had started{self._last_words()}")
        return connected

    def ended(self) -> str:
        """A link, or an attempt to make one, is over: nothing more is known of the reason."""
        return ""

    @property
    def agent(self) -> str:
        """The agents that are alive, for people; empty: none."""
        return f"pid {' '.join(map(str, self._watched))}" if self._watched else ""

    async def end_by_force(self) -> None:
        """Kill the agents and keepers of this host, whoever started them."""
        sweep(self._spool)

    @property
    def processes(self) -> tuple[int, ...]:
        """Ids of the agent processes that are alive (one, as a rule)."""
        return tuple(self._watched)

    async def wait_gone(self, limit_seconds: float) -> bool:
        """Wait until no agent of this host is left; False: one still is."""
        try:
            async with asyncio.timeout(limit_seconds):
                await self._gone.wait()
        except TimeoutError:
            return False
        return True

    def signal(self, number: signal.Signals) -> None:
        """Signal the agent: TERM leaves its keepers and jobs to the next agent, KILL does so without a farewell."""
        for pidfd in self._watched.values():
            with suppress(ProcessLookupError):  # it has ended, and the loop has not come to it
                signal.pidfd_send_signal(pidfd, number)

    def close(self) -> None:
        """Watch no more. The agent stays as it is."""
        for pidfd in self._watched.values():
            self._loop.remove_reader(pidfd)
            os.close(pidfd)
        self._watched.clear()
        self._gone.set()

    # the agent that listens

    def _call(self) -> socket.socket | None:
        """Connect to the agent that listens, if one does."""
        try:
            directory_fd = os.open(self._spool, os.O_PATH | os.O_DIRECTORY)
        except FileNotFoundError:
            return None
        calling = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            calling.connect(socket_address(directory_fd))
            user = peer_user(calling)
            if user != os.getuid():
                raise NotReachableError(f"the agent of {self._name} belongs to another user (id {user})")
            self._watch(peer_process(calling))
        except (ConnectionRefusedError, FileNotFoundError):
            calling.close()
            return None
        except OSError as error:
            calling.close()
            if error.errno == errno.EAGAIN:
                raise NotReachableError(f"the agent of {self._name} accepts no connection: it is stopped?") from error
            raise
        except NotReachableError:
            calling.close()
            raise
        finally:
            os.close(directory_fd)
        return calling

    def _watch(self, process: int) -> None:
        """Know when this process ends, and reap it if it is our child."""
        if process in self._watched:
            return
        try:
            pidfd = os.pidfd_open(process)
        except ProcessLookupError:
            return
        self._watched[process] = pidfd
        self._gone.clear()
        self._loop.add_reader(pidfd, self._process_ended, process)

    def _process_ended(self, process: int) -> None:
        pidfd = self._watched.pop(process)
        self._loop.remove_reader(pidfd)
        try:
            os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
        except ChildProcessError:
            pass  # it was started by an earlier server, and is reaped by its new parent
        finally:
            os.close(pidfd)
        if not self._watched:
            self._gone.set()

    # starting one

    async def _start(self) -> None:
        """Start an agent, and wait until it listens (the caller's time limit holds)."""
        self._spool.mkdir(mode=0o700, parents=True, exist_ok=True)
        told, tell = os.pipe()
        try:
            process = self._spawn(tell)
        except OSError as error:
            raise NotReachableError(
                f"no agent could be started for {self._name}: {error.strerror}",
                "the machine is out of processes or memory; it is tried again",
            ) from error
        finally:
            os.close(tell)
            if sys.exc_info()[0] is not None:
                os.close(told)
        self._watch(process)
        try:
            if await self._read_line(told) != READY:
                raise NotReachableError(f"the agent of {self._name} did not start{self._last_words()}")
        finally:
            os.close(told)

    def _program(self) -> list[str]:
        """The module that is run, and what only it is told."""
        return ["live.agent_program", f"--name={self._name}", f"--slots={self.slots}"]

    def _variables(self) -> tuple[str, ...]:
        """What it gets of the server's environment."""
        return ENVIRONMENT

    def _spawn(self, tell: int) -> int:
        command = [
            sys.executable,
            "-P",
            "-m",
            *self._program(),
            f"--spool={self._spool}",
            f"--directory={self._directory}",
            f"--times={times_text(self._times)}",
            f"--ready-fd={READY_FD}",
        ]
        environment = {name: os.environ[name] for name in self._variables() if name in os.environ}
        environment["PYTHONPATH"] = str(Path(live.__file__).parents[1])
        set_aside(self._spool / LOG_NAME)
        log = str(self._spool / LOG_NAME)
        # A subprocess.Popen would complain when the server leaves before its child; this child is meant to stay.
        return os.posix_spawn(
            sys.executable,
            command,
            environment,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
                (os.POSIX_SPAWN_DUP2, tell, READY_FD),
            ],
            setsid=True,
            setsigmask=(),
            setsigdef=(signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGHUP),
        )

    async def _read_line(self, told: int) -> bytes:
        """What the agent says, or b"" when it ends without a word."""
        os.set_blocking(told, False)
        readable: asyncio.Future[None] = self._loop.create_future()

        def ready() -> None:
            if not readable.done():
                readable.set_result(None)

        self._loop.add_reader(told, ready)
        try:
            await readable
        finally:
            self._loop.remove_reader(told)
        return os.read(told, len(READY))

    def _last_words(self) -> str:
        """The end of the agent's log, as the rest of a sentence."""
        try:
            with open(self._spool / LOG_NAME, "rb") as log:
                log.seek(max(0, os.fstat(log.fileno()).st_size - LOG_TAIL_BYTES))
                lines = log.read().decode(errors="backslashreplace").split("\n")
        except OSError:
            return ""
        words = [line.strip() for line in lines if line.strip()][-REASON_LINES:]
        return ": " + " / ".join(words) if words else ""


def times_text(times: ChannelTimes) -> str:
    """ChannelTimes as an argument of the agent program: a JSON list of ns, in the order of the fields."""
    return json.dumps([times.ping_ns, times.silent_ns, times.lease_ns, times.margin_ns, times.resend_ns])


def times_from_text(text: str) -> ChannelTimes:
    """Raises ValueError for anything that `times_text` does not write."""
    values = json.loads(text)
    if not isinstance(values, list) or len(values) != 5 or not all(type(value) is int for value in values):
        raise ValueError(f"five durations in ns are wanted, not {text!r}")
    return ChannelTimes(*values)
