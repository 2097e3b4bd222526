"""Processes of this machine: start one, see the tree below it, signal it, reap it. Linux only.

Starting is `os.posix_spawn` (vfork inside: its cost does not grow with the keeper's memory, as fork's does: measured
60/s against 1,500/s at 500 MB). It has no working directory, so the caller, a single thread, changes its own first.

Called by `keeper_process.py` and `trees.py`. Nothing here knows of attempts, time limits or spools; what a process
belongs to is decided by the caller from the evidence that is read here.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import stat
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from model.errors import LaulimaError

_PR_SET_CHILD_SUBREAPER = 36
_PF_EXITING = 0x4
"""In the flags of /proc/PID/stat."""
_ROOM = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EBADF, errno.ENOSPC, errno.ETXTBSY})
"""What may be otherwise in a moment: no room for a process, a file or its memory; a program that is being written.
EBADF is the C library's word for a descriptor beyond the limit."""
NO_DESCRIPTOR = frozenset({errno.EMFILE, errno.ENFILE})
"""Nothing can be opened now: the limit of this process, or of the machine."""
_RESET = tuple(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})
"""A job gets the default of every signal, whatever the keeper, Python in it, or whoever started us ignores."""
_ENVIRONMENT = ("PATH", "HOME", "LANG", "TZ", "USER")
DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"
NICE_MIN, NICE_MAX = -20, 19
"""What the kernel knows; it takes anything beyond for these."""
OPEN_FILES_MAX = 256
"""Descriptors of a process that are looked at for evidence."""


class StartError(LaulimaError):
    """The command could not be started. `again`: for want of room; the same start may succeed in a moment."""

    def __init__(self, message: str, again: bool = False) -> None:
        super().__init__(message)
        self.again = again


def start_error(error: OSError, what: str) -> StartError:
    """The same fault, sorted by whether trying again makes sense."""
    return StartError(f"{what}: {error.strerror}", error.errno in _ROOM)


def base_environment(own: Mapping[str, str]) -> dict[str, str]:
    """The small environment that every job gets, taken from our `own` by name, never by accident."""
    environment = {name: own[name] for name in _ENVIRONMENT if name in own}
    environment.setdefault("PATH", DEFAULT_PATH)
    return environment


def become_subreaper() -> None:
    """Orphans of what this process starts become its children, not init's. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "prctl(PR_SET_CHILD_SUBREAPER)")


# starting


def find_program(name: str, path: str) -> str:
    """The program that a shell would run for `name`; relative names are relative to the working directory of this
    process. Raises StartError, which says what is wrong with the best candidate."""
    candidates = [name] if "/" in name else [f"{directory or '.'}/{name}" for directory in path.split(":")]
    fault = "not found" if "/" in name else f"not found in PATH {path}"
    for candidate in candidates:
        try:
            found = os.stat(candidate)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR) or len(candidates) == 1:
                fault = f"{error.strerror} ({candidate})"
            continue
        if stat.S_ISDIR(found.st_mode):
            fault = f"{candidate} is a directory"
        elif not os.access(candidate, os.X_OK):
            fault = f"{candidate} is not executable"
        else:
            return candidate
    raise StartError(f"{name}: {fault}")


def start(
    command: tuple[str, ...],
    environment: Mapping[str, str],
    directory: str,
    descriptors: tuple[int, int, int],
    nice: int,
) -> int:
    """Start a command in its own session with these descriptors as 0, 1 and 2, and return its process id.

    Changes the working directory of this process. Every other descriptor of ours must be close-on-exec. Raises
    StartError. `nice` is set when the process runs already, for its whole group; what leaves the group in that instant
    keeps ours.
    """
    if not command or not command[0]:
        raise StartError("there is no command")
    try:
        os.chdir(directory)
    except OSError as error:
        raise start_error(error, f"working directory {directory}") from error
    except ValueError as error:  # a NUL byte inside
        raise StartError(f"working directory {directory!r}: {error}") from error
    program = command[0]
    if "/" not in program:
        program = _found(program, environment)
    actions = [(os.POSIX_SPAWN_DUP2, own, number) for number, own in enumerate(descriptors)]
    try:
        pid = os.posix_spawn(
            program, command, environment, file_actions=actions, setsid=True, setsigdef=_RESET, setsigmask=()
        )
    except OSError as error:
        _found(program, environment)  # says what is wrong with the file; looked at only now, for nearly all are well
        raise _exec_error(error, program) from error
    except ValueError as error:  # a NUL byte inside
        raise StartError(f"{program!r}: {error}") from error
    if nice:
        _set_nice(pid, nice)
    return pid


def _found(name: str, environment: Mapping[str, str]) -> str:
    """The program of this name. Raises StartError."""
    try:
        return find_program(name, environment.get("PATH", DEFAULT_PATH))
    except ValueError as error:
        raise StartError(f"{name!r}: {error}") from error


def _exec_error(error: OSError, program: str) -> StartError:
    if error.errno == errno.ENOENT:  # the program is there, so it is its interpreter that is not
        return StartError(f"{program}: the interpreter that its first line names was not found")
    if error.errno == errno.ENOEXEC:
        return StartError(f"{program}: it is no program of this machine, and no script with a #! line")
    return start_error(error, program)


def _set_nice(pid: int, nice: int) -> None:
    try:
        os.setpriority(os.PRIO_PGRP, pid, min(max(nice, NICE_MIN), NICE_MAX))
    except ProcessLookupError:
        return  # it is over already
    except PermissionError as error:
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED)
        raise StartError(f"nice {nice}: {error.strerror}") from error


# looking


class Row(NamedTuple):
    """One process, as /proc tells it."""

    state: str
    parent: int
    group: int
    session: int
    started: int
    """clock ticks since the boot: with the pid, the name of a process in this boot"""


def look(pid: int) -> Row | None:
    """None: there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            text = file.read(1024)
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text[text.rindex(b")") + 2 :].split()
    return Row(fields[0].decode(), int(fields[1]), int(fields[2]), int(fields[3]), int(fields[19]))


def is_exiting(pid: int) -> bool:
    """Whether the process is on its way out: its memory and files are gone perhaps, its children are still its own.
    False when it cannot be seen."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            text = file.read(1024)
    except OSError:  # gone, or there is no descriptor to look with
        return False
    return bool(int(text[text.rindex(b")") + 2 :].split()[6]) & _PF_EXITING)


def scan() -> dict[int, Row]:
    """All processes of the machine that we may see: about 15 us each, so only when something must be ended."""
    rows = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            row = look(int(name))
            if row is not None:
                rows[int(name)] = row
    return rows


def tree(rows: Mapping[int, Row], roots: Iterable[int], session: int) -> list[int]:
    """`roots`, all members of `session`, and everything below them, parents before children."""
    below: dict[int, list[int]] = {}
    for pid, row in rows.items():
        below.setdefault(row.parent, []).append(pid)
    found: dict[int, None] = {}
    todo = [pid for pid in roots if pid in rows]
    todo += [pid for pid, row in rows.items() if row.session == session]
    while todo:
        pid = todo.pop(0)
        if pid not in found:
            found[pid] = None
            todo += below.get(pid, ())
    return list(found)


class Children:
    """Our own children, by one read of a kernel list (1 us), or, on a kernel without it, by a scan."""

    def __init__(self) -> None:
        pid = os.getpid()
        self._pid = pid
        try:
            self._list = os.open(f"/proc/{pid}/task/{pid}/children", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            self._list = -1

    def read(self) -> set[int]:
        """Their process ids, zombies included."""
        if self._list < 0:
            return {pid for pid, row in scan().items() if row.parent == self._pid}
        text, offset = b"", 0
        while part := os.pread(self._list, 65536, offset):
            text += part
            offset += len(part)
        return set(map(int, text.split()))


def environment_of(pid: int) -> dict[str, str]:
    """The environment with which the program of `pid` began (it may have overwritten it); empty if unreadable."""
    try:
        with open(f"/proc/{pid}/environ", "rb", buffering=0) as file:
            text = file.read(1 << 20)
    except OSError:  # gone, a zombie, or another user's: no evidence
        return {}
    pairs = (entry.partition("=") for entry in text.decode(errors="replace").split("\0"))
    return {name: value for name, _, value in pairs}


def open_files_of(pid: int) -> set[str]:
    """Paths of the files that `pid` has open, as far as they can be read."""
    paths = set()
    try:
        for name in os.listdir(f"/proc/{pid}/fd")[:OPEN_FILES_MAX]:
            paths.add(os.readlink(f"/proc/{pid}/fd/{name}"))
    except OSError:  # gone meanwhile, or another user's: no more evidence
        return paths
    return paths


# ending


def send(pid: int, started: int, number: int) -> bool:
    """Send a signal to the process that had this pid and start time, and to no other. False: we may not."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        row = look(pid)
        if row is not None and row.started == started:
            signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    finally:
        os.close(handle)
    return True


def reap(pid: int) -> os.waitid_result | None:
    """How our child ended; None when it has not. Raises ChildProcessError when it is no child of ours."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG)


class OomKills:
    """The kernel's count of processes that it killed for want of memory. Its file stays open, so that it can be read
    when there is no descriptor left."""

    def __init__(self) -> None:
        self._file = os.open("/proc/vmstat", os.O_RDONLY | os.O_CLOEXEC)

    def read(self) -> int:
        """How many since the boot; 0 when the kernel does not say."""
        _, found, rest = os.pread(self._file, 1 << 16, 0).partition(b"\noom_kill ")
        return int(rest.split(None, 1)[0]) if found else 0
