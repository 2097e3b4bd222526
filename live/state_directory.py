"""The state directory: where a server keeps everything, how it is found, and that only one server owns it.

    .laulima/            0700
      lock               flock of the server, and its pid for people
      identity           names this directory on other machines
      service            what lives here: a server, or a controller that schedulers share
      control.sock       0600, see live/control.py
      schedulers.sock    0600, of a controller: its schedulers, see live/scheduler_door.py
      controller/        of a server with `controller: spawn`: the state directory of its controller
      journal.sqlite     see live/journal.py (with -wal and -shm beside it)
      server.log         output of a detached server
      local/             spool of the server's own machine
      hosts/NAME/        spool and log of the agent of each process host; of others, how they are reached

Called by the server (owns it) and by the command line (finds it, connects to the socket). Nothing here reads what the
files hold.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import stat
import time
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path

from live.clock import monotonic_ns
from model.errors import LaulimaError, NotReachableError, OperatorError
from model.job import SECOND

NAME = ".laulima"
CONTROLLER_NAME = ".laulima-controller"
"""The state directory of a controller that schedulers share, unless it is said."""
SCHEDULERS_NAME = "schedulers.sock"
VARIABLE = "LAULIMA_STATE"
SOCKET_PATH_MAX = 100
"""Bytes of a unix socket's path (the kernel takes 107); a longer one is reached through /proc/self/fd."""

LOOK_NS = 2 * SECOND
"""How long a server that starts waits for those who only ask whether there is one."""
LOOK_AGAIN_SECONDS = 0.005


class StateDirectoryError(LaulimaError):
    """The state directory cannot be used."""


class AlreadyRunningError(OperatorError):
    """Another server owns the state directory. `pid` is None when it did not leave its number."""

    def __init__(self, path: Path, pid: int | None) -> None:
        who = f"with pid {pid}" if pid else "that left no pid"
        super().__init__(
            f"a server {who} already runs on {path}",
            "ask it with `laulima status`, end it with `laulima shutdown`, or choose another directory with --state",
        )
        self.pid = pid


def find_state(
    explicit: str | Path | None = None, environment: Mapping[str, str] | None = None, start: Path | None = None
) -> Path | None:
    """The state directory that a command means: `--state`, then LAULIMA_STATE, then `./.laulima` or the nearest one
    upwards. None: there is none (the first two are returned whether or not they exist)."""
    if explicit:
        return Path(explicit)
    named = (os.environ if environment is None else environment).get(VARIABLE)
    if named:
        return Path(named)
    here = (start or Path.cwd()).absolute()
    for directory in (here, *here.parents):
        candidate = directory / NAME
        if candidate.is_dir():
            return candidate
    return None


def state_to_make(
    explicit: str | Path | None = None, environment: Mapping[str, str] | None = None, start: Path | None = None
) -> Path:
    """The state directory that `run` uses: a new server never takes one that lies further up; without `--state` and
    LAULIMA_STATE it is `./.laulima`."""
    named = (os.environ if environment is None else environment).get(VARIABLE)
    if explicit or named:
        return Path(explicit or str(named))
    return (start or Path.cwd()).absolute() / NAME


def refuse_others(path: Path) -> None:
    """Raise `StateDirectoryError` when somebody else owns `path` or may write to it."""
    found = path.stat()
    if found.st_uid != os.geteuid():
        raise StateDirectoryError(
            f"{path} belongs to user {found.st_uid}, not to user {os.geteuid()} who runs this",
            "run as its owner, or choose another directory with --state",
        )
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise StateDirectoryError(
            f"{path} can be written by others (mode {stat.S_IMODE(found.st_mode):04o})", f"chmod go-w {path}"
        )


class Service(Enum):
    """What lives in a state directory."""

    SERVER = "server"
    CONTROLLER = "controller"


class StateDirectory:
    """A state directory that this process owns until `close`. `service`: what it is for; None: for whatever it was.
    Raises AlreadyRunningError, StateDirectoryError."""

    def __init__(self, path: Path, service: Service | None = Service.SERVER) -> None:
        self.path = path.absolute()
        self._lock: int | None = None
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            refuse_others(self.path)
            self._lock = self._take_lock()
            if service is not None:
                self._claim(service)
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            hint = f"what is free there: df -h {self.path.parent}; df -i; or choose" if full else "choose"
            raise StateDirectoryError(
                f"the state directory {self.path} cannot be used: {error.strerror}", f"{hint} another with --state"
            ) from error
        except StateDirectoryError:
            self.close()
            raise

    def _claim(self, service: Service) -> None:
        """Say what lives here; a journal of something else is not read."""
        file = self.path / "service"
        there = file.read_text(encoding="utf-8").strip() if file.exists() else ""
        if not there and self.journal.exists():
            there = Service.SERVER.value  # it was made before there were others
        if there not in ("", service.value):
            raise StateDirectoryError(
                f"{self.path} is the state directory of a {there}, not of a {service.value}",
                "choose another with --state",
            )
        file.write_text(f"{service.value}\n", encoding="utf-8")

    @property
    def journal(self) -> Path:
        return self.path / "journal.sqlite"

    @property
    def control(self) -> Path:
        return self.path / "control.sock"

    @property
    def schedulers(self) -> Path:
        """Where a controller listens for schedulers."""
        return self.path / SCHEDULERS_NAME

    @property
    def controller(self) -> Path:
        """The state directory of the controller that a server starts."""
        return self.path / "controller"

    @property
    def local_spool(self) -> Path:
        return self.path / "local"

    @property
    def hosts(self) -> Path:
        return self.path / "hosts"

    def host_spool(self, host: str) -> Path:
        return self.hosts / host

    def identity(self) -> str:
        """A name that no other state directory has, for what is kept on other machines; made once."""
        file = self.path / "identity"
        if not file.exists():
            fresh = file.with_suffix(".new")
            fresh.write_text(os.urandom(6).hex() + "\n", encoding="ascii")
            fresh.replace(file)
        return file.read_text(encoding="ascii").strip()

    def _take_lock(self) -> int:
        lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        until = monotonic_ns() + LOOK_NS
        while not _try_lock(lock, fcntl.LOCK_EX):
            if not _try_lock(lock, fcntl.LOCK_SH) or monotonic_ns() > until:
                pid = _read_pid(lock)
                os.close(lock)
                raise AlreadyRunningError(self.path, pid)
            fcntl.flock(lock, fcntl.LOCK_UN)
            time.sleep(LOOK_AGAIN_SECONDS)  # no server has it: somebody asks whether one has (`owner_pid`)
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        return lock

    def close(self) -> None:
        """Let another server have it."""
        if self._lock is not None:
            os.ftruncate(self._lock, 0)
            os.close(self._lock)
            self._lock = None


def _try_lock(lock: int, how: int) -> bool:
    try:
        fcntl.flock(lock, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def owner_pid(state: Path) -> int | None:
    """The pid of the server that owns `state` now; None: no server does."""
    try:
        lock = os.open(state / "lock", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        return None if _try_lock(lock, fcntl.LOCK_SH) else _read_pid(lock)
    finally:
        os.close(lock)


def _read_pid(lock: int) -> int | None:
    text = os.pread(lock, 32, 0).decode("ascii", "replace").strip()
    return int(text) if text.isdigit() else None


@contextlib.contextmanager
def socket_address(path: Path) -> Iterator[str]:
    """An address for bind() or connect() that the kernel takes however long `path` is; valid inside the `with`."""
    if len(os.fsencode(path)) <= SOCKET_PATH_MAX:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


def listen(path: Path) -> socket.socket:
    """A listening unix socket at `path`, mode 0600, non-blocking. Only the owner of the lock may call this: a socket
    file that is there already is a dead server's and is removed."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        before = os.umask(0o177)
        try:
            with socket_address(path) as address:
                listener.bind(address)
        finally:
            os.umask(before)
        listener.listen(64)
    except BaseException:
        listener.close()
        raise
    return listener


def connect(state: Path, timeout_seconds: float | None = None) -> socket.socket:
    """A blocking connection to the control socket of the server that owns `state`. Raises NotReachableError."""
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    client.settimeout(timeout_seconds)
    try:
        with socket_address(state.absolute() / "control.sock") as address:
            client.connect(address)
    except OSError as error:
        client.close()
        if error.errno in (errno.ENOENT, errno.ECONNREFUSED, errno.ENOTDIR):
            raise NotReachableError(
                f"no server runs on {state}", f"start one: laulima run FILE --state {state}"
            ) from None
        raise NotReachableError(
            f"the server on {state} does not answer: {error.strerror or error}", "look at its log, or end it by its pid"
        ) from error
    return client
