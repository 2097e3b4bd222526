"""A program of ours on this machine, behind a unix socket in its own folder: called, and started when nobody listens.

`ProcessHost` (`live/link_process.py`) is the agent of a host, `SpawnedController` (`live/controller_spawned.py`) a
controller. `dial` first calls one that is alive (an earlier server may have started it). Belongs here: starting,
watching and, as the last resort, signalling that process.

It gets its own session, so that Ctrl-C in the server's terminal does not reach it; a small environment; its errors go
to a log in its folder, whose last lines are the reason when a start fails.
"""

from __future__ import annotations

import asyncio
import errno
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
from live.scratch_room import FULL_BYTES, free_bytes
from model.errors import NotReachableError

READY: Final = b"ready\n"
"""What the program writes on the descriptor READY_FD once it listens."""
READY_FD: Final = 3
LOG_TAIL_BYTES: Final = 4096
REASON_LINES: Final = 3
ENVIRONMENT: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "USER", "LOGNAME", "TMPDIR")
"""What it gets of the environment of whoever starts it."""


class ProgramLink:
    """Reaches, and if needed starts, one program. Its kinds say which words start it (`_words`)."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        what: str,
        folder: Path,
        *,
        socket_name: str,
        log_name: str,
        turn_to_start: asyncio.Semaphore | None = None,
    ) -> None:
        """`what`: the program, for people. `folder`: its own, made if it isn't there. `turn_to_start`: shared by those
        that must not all start at once."""
        self._loop = loop
        self._what = what
        self._folder = folder.absolute()
        self._socket_name = socket_name
        self._log = self._folder / log_name
        self._log_bytes = 0
        """what others had written to it before the last start"""
        self._turn_to_start = turn_to_start or asyncio.Semaphore(1)
        self._watched: dict[int, int] = {}
        self._gone = asyncio.Event()
        self._gone.set()

    def _words(self) -> list[str]:
        """The module that is run, and its arguments."""
        raise NotImplementedError

    async def dial(self) -> socket.socket:
        """See `Dialer`. Raises NotReachableError when nobody listens and nobody can be started."""
        connected = self._call()
        if connected is None:
            async with self._turn_to_start:
                await self._start()
            connected = self._call()
        if connected is None:
            raise NotReachableError(f"{self._what} left as soon as it had started{self._last_words()}")
        return connected

    @property
    def processes(self) -> tuple[int, ...]:
        """Ids of the processes that are alive (one, as a rule)."""
        return tuple(self._watched)

    @property
    def pids(self) -> str:
        """The same for people."""
        return " ".join(map(str, self._watched))

    async def wait_gone(self, limit_seconds: float) -> bool:
        """Wait until no such process is left; False: one still is."""
        try:
            async with asyncio.timeout(limit_seconds):
                await self._gone.wait()
        except TimeoutError:
            return False
        return True

    def signal(self, number: signal.Signals) -> None:
        """Signal it: TERM leaves what it has to the next one, KILL does so without a farewell."""
        for pidfd in self._watched.values():
            with suppress(ProcessLookupError):  # it has ended, and the loop has not come to it
                signal.pidfd_send_signal(pidfd, number)

    def close(self) -> None:
        """Watch no more. The program stays as it is."""
        for pidfd in self._watched.values():
            self._loop.remove_reader(pidfd)
            os.close(pidfd)
        self._watched.clear()
        self._gone.set()

    # one that listens

    def _call(self) -> socket.socket | None:
        """Connect to the one that listens, if one does."""
        try:
            directory_fd = os.open(self._folder, os.O_PATH | os.O_DIRECTORY)
        except FileNotFoundError:
            return None
        calling = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            calling.connect(socket_address(directory_fd, self._socket_name))
            user = peer_user(calling)
            if user != os.getuid():
                raise NotReachableError(f"{self._what} belongs to another user (id {user})")
            self._watch(peer_process(calling))
        except (ConnectionRefusedError, FileNotFoundError):
            calling.close()
            return None
        except OSError as error:
            calling.close()
            if error.errno == errno.EAGAIN:
                raise NotReachableError(f"{self._what} accepts no connection: it is stopped?") from error
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
        """Start one, and wait until it listens (the caller's time limit holds)."""
        told, tell = os.pipe()
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            process = self._spawn(tell)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise NotReachableError(f"{self._what} did not start: {self._is_full()}") from error
            raise NotReachableError(
                f"{self._what} could not be started: {error.strerror}",
                "the machine is out of processes or memory; it is tried again",
            ) from error
        finally:
            os.close(tell)
            if sys.exc_info()[0] is not None:
                os.close(told)
        self._watch(process)
        try:
            if await self._read_line(told) != READY:
                raise NotReachableError(f"{self._what} did not start{self._last_words()}")
        finally:
            os.close(told)

    def _variables(self) -> tuple[str, ...]:
        """What it gets of the environment here."""
        return ENVIRONMENT

    def _spawn(self, tell: int) -> int:
        command = [
            sys.executable,
            "-P",
            "-m",
            *self._words(),
            f"--ready-fd={READY_FD}",
        ]
        environment = {name: os.environ[name] for name in self._variables() if name in os.environ}
        environment["PYTHONPATH"] = str(Path(live.__file__).parents[1])
        set_aside(self._log)
        self._log_bytes = self._log.stat().st_size if self._log.exists() else 0
        log = str(self._log)
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
        """What it says, or b"" when it ends without a word."""
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

    def _is_full(self) -> str:
        """Bytes or files; where a folder that is not there yet would be, too."""
        return f"the disk of {self._folder} is full (df -h, df -i); it is tried again"

    def _last_words(self) -> str:
        """The end of what it has written to its log, as the rest of a sentence."""
        try:
            with open(self._log, "rb") as log:
                log.seek(max(self._log_bytes, os.fstat(log.fileno()).st_size - LOG_TAIL_BYTES))
                lines = log.read().decode(errors="backslashreplace").split("\n")
            words = [line.strip() for line in lines if line.strip()][-REASON_LINES:]
            if free_bytes(self._folder) < FULL_BYTES:
                words.append(self._is_full())
        except OSError:
            return ""
        return ": " + " / ".join(words) if words else ""
