"""Python callables as jobs: a warm worker imports their modules once and forks a fresh process for each.

    keeper --> worker    Run (with two descriptors: stdout, stderr), Reap
    keeper <-- worker    Forked (with a pidfd), Refused, Retired, Reaped

The worker is a Python program of its own, single-threaded, so its forks are safe; one for each working directory. It
stays the parent of what it forks and reaps only when the keeper says so, so no process id is used again while the
keeper still looks at it. A forked process waits until its keeper was told of it: what was not told never ran. When the
import of a module starts threads, or its file changes, the worker retires and a new one takes its place.

The worker's half runs in that program (`serve`); `Worker` is the keeper's half. Time limits and signals are not here.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from live import processes

MESSAGE_MAX = 160_000
"""Bytes of one message: the smallest send buffer that Linux gives a socket by default holds it."""


class Run(Struct, frozen=True, array_like=True, tag="run"):
    number: int
    call: str
    arguments: tuple[str, ...]
    environment: dict[str, str]
    nice: int
    cold: bool
    """import the module in the new process: its import starts threads"""


class Reap(Struct, frozen=True, array_like=True, tag="reap"):
    pid: int


class Forked(Struct, frozen=True, array_like=True, tag="forked"):
    number: int
    pid: int


class Refused(Struct, frozen=True, array_like=True, tag="refused"):
    """`again`: for want of room."""

    number: int
    again: bool
    text: str


class Retired(Struct, frozen=True, array_like=True, tag="retired"):
    """Ask another worker; this one is about to go. `cold`: see `Run.cold`."""

    number: int
    cold: bool


class Reaped(Struct, frozen=True, array_like=True, tag="reaped"):
    """As `waitid` says it."""

    pid: int
    code: int
    status: int


Answer = Forked | Refused | Retired | Reaped

_encode = msgspec.msgpack.Encoder().encode
_decode_request = msgspec.msgpack.Decoder(Run | Reap).decode
_decode_answer = msgspec.msgpack.Decoder(Answer).decode


# the keeper's half


class Worker:
    """A running worker. Every method raises OSError when it is gone or does not read."""

    def __init__(self, directory: str, environment: Mapping[str, str], diagnostics: int) -> None:
        """Start one in `directory`; what it prints while it imports goes to the descriptor `diagnostics`. Raises
        StartError."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.directory = directory
        self.running = 0
        """processes that it forked and has not reaped"""
        self.waiting: dict[int, Run] = {}
        """requests without an answer, by number"""
        try:
            program = f"import sys; sys.path[:] = {sys.path!r}; from live.callables import serve; sys.exit(serve())"
            command = (sys.executable, "-c", program)
            self.pid = processes.start(command, environment, directory, (theirs.fileno(), diagnostics, diagnostics), 0)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        ours.setblocking(False)
        self.socket = ours

    def ask(self, run: Run, stdout: int, stderr: int) -> None:
        message = _encode(run)
        if len(message) > MESSAGE_MAX:
            raise processes.StartError(f"{run.call}: its arguments and environment take more than {MESSAGE_MAX} bytes")
        socket.send_fds(self.socket, [message], [stdout, stderr])
        self.waiting[run.number] = run

    def reap(self, pid: int) -> None:
        self.socket.send(_encode(Reap(pid)))

    def answer(self) -> tuple[Answer, int]:
        """One answer and its pidfd (-1: none). Raises BlockingIOError when there is none, EOFError at the end."""
        message, descriptors, _, _ = socket.recv_fds(self.socket, MESSAGE_MAX, 1)
        if not message:
            raise EOFError
        return _decode_answer(message), descriptors[0] if descriptors else -1

    def close(self) -> None:
        """It goes away when it notices; what it forked becomes its keeper's child."""
        self.socket.close()


# the worker's half


def serve() -> int:
    """The worker program; its socket is descriptor 0. Returns in every forked process too, with its exit status."""
    link = socket.socket(fileno=os.dup(0))
    nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    os.dup2(nothing, 0)
    sys.path.insert(0, os.getcwd())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    imports = _Imports()
    while True:
        try:
            message, descriptors, _, _ = socket.recv_fds(link, MESSAGE_MAX, 2)
        except ConnectionResetError:
            return 0
        if not message:
            return 0
        request = _decode_request(message)
        if isinstance(request, Reap):
            result = os.waitid(os.P_PID, request.pid, os.WEXITED)
            assert result is not None
            link.send(_encode(Reaped(request.pid, result.si_code, result.si_status)))
            continue
        target = imports.find(request)
        if isinstance(target, Refused | Retired):
            link.send(_encode(target))
        else:
            job = _fork(link, request, target, descriptors)
            if job is not None:
                return job()
        for descriptor in descriptors:
            os.close(descriptor)
        if isinstance(target, Retired):
            return 0


class _Imports:
    """The modules that this worker has imported for callables."""

    def __init__(self) -> None:
        self._before = set(sys.modules)
        self._seen: dict[str, tuple[int, int]] = {}
        """file -> (time, size) when it was first seen imported"""

    def find(self, run: Run) -> Callable[..., object] | str | Refused | Retired:
        """The function; its name when it is to be imported cold; or why not."""
        if run.cold:
            return run.call
        if self._changed():
            return Retired(run.number, cold=False)
        try:
            target = load(run.call)
        except BaseException as error:  # noqa: BLE001 - user's code: whatever it raises while it is imported is said
            return Refused(run.number, False, f"{run.call}: {type(error).__name__}: {error}")
        finally:
            _flush()
        if len(os.listdir("/proc/self/task")) > 1:
            return Retired(run.number, cold=True)
        self._remember()
        return target

    def _remember(self) -> None:
        here = sys.path[0] + os.sep
        for name in set(sys.modules) - self._before:
            path = getattr(sys.modules[name], "__file__", None)
            if path and path.startswith(here) and path not in self._seen:
                self._seen[path] = _version(path)
        self._before |= set(sys.modules)

    def _changed(self) -> bool:
        return any(_version(path) != seen for path, seen in self._seen.items())


def _version(path: str) -> tuple[int, int]:
    try:
        found = os.stat(path)
    except OSError:
        return (0, 0)
    return (found.st_mtime_ns, found.st_size)


def load(call: str) -> Callable[..., object]:
    """The function named `package.module:function`. Raises whatever its import raises, AttributeError, TypeError."""
    module, _, name = call.partition(":")
    target: Any = importlib.import_module(module)
    for part in name.split("."):
        target = getattr(target, part)
    if not callable(target):
        raise TypeError(f"{call} cannot be called")
    return target  # type: ignore[no-any-return]


def _fork(
    link: socket.socket, run: Run, target: Callable[..., object] | str, descriptors: list[int]
) -> Callable[[], int] | None:
    """None in the worker; in the new process what it is to do."""
    wait, go = os.pipe()
    try:
        pid = os.fork()
    except OSError as error:
        os.close(wait)
        os.close(go)
        link.send(_encode(Refused(run.number, True, f"fork: {error.strerror}")))
        return None
    if pid == 0:
        os.close(go)
        return lambda: _be_job(link, run, target, descriptors, wait)
    os.close(wait)
    handle = os.pidfd_open(pid)
    socket.send_fds(link, [_encode(Forked(run.number, pid))], [handle])
    os.write(go, b"g")
    os.close(go)
    os.close(handle)
    return None


def _be_job(
    link: socket.socket, run: Run, target: Callable[..., object] | str, descriptors: list[int], wait: int
) -> int:
    """The life of the new process. It returns to the interpreter, whose normal end joins threads and flushes."""
    if os.read(wait, 1) != b"g":
        os._exit(1)  # the worker died before it could tell
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.dup2(descriptors[0], 1)
    os.dup2(descriptors[1], 2)
    link.detach()
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.environ.clear()
    os.environ.update(run.environment)
    sys.argv = [run.call, *run.arguments]
    try:
        if run.nice:
            os.setpriority(os.PRIO_PROCESS, 0, run.nice)
        function = load(target) if isinstance(target, str) else target
        return exit_code(function(*run.arguments))
    except SystemExit as leaving:
        return exit_code(leaving.code)
    except BaseException:  # noqa: BLE001 - the end of a user's program: as the interpreter does it
        _hide_own_frames()
        return 1


def _hide_own_frames() -> None:
    """Print the traceback as the interpreter would, from the user's function on."""
    kind, error, trace = sys.exc_info()
    while trace is not None and trace.tb_frame.f_globals is globals():
        trace = trace.tb_next
    traceback.print_exception(kind, error, trace)


def exit_code(result: object) -> int:
    """What `sys.exit(result)` would make of it; 0..255."""
    if result is None:
        return 0
    if isinstance(result, int):
        return int(result) & 0xFF
    print(result, file=sys.stderr)
    return 1


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # the import may have replaced or closed it
            stream.flush()
