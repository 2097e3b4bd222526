"""The last resort of a server that ends with `kill`: whoever still owns a spool of its hosts, or waits for it, is
killed.

Everything was ended in order before (jobs by the machines, agents by a goodbye, keepers by `Leave`); what can be left
is an agent that an earlier server started and no server ever reached, or one that hangs. Called by `live/hosts.py`; the
questions about owners by whoever asks what is left.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path

from live.spool import SpoolBusyError, lock_file

PROGRAMS = (b"live.agent_program", b"live.batch_program")
"""What runs for a host on this machine."""
GONE_MILLISECONDS = 5000
"""How long the kernel may take to end a killed process."""


def owner_of(lock: Path) -> int | None:
    """The process that holds a lock file of `live.spool.lock_file`; None: nobody, or it left no number."""
    if not lock.exists():
        return None
    try:
        os.close(lock_file(lock))
    except SpoolBusyError as error:
        return error.pid
    return None


def is_alive(spool: Path) -> bool:
    """Whether an agent or a keeper owns (a part of) the spool."""
    return any(owner_of(lock) is not None for lock in (spool / "lock", *spool.glob("keeper-*.lock")))


def sweep(*spools: Path) -> list[int]:
    """Kill the agents and keepers of these spools; their process ids. Blocks for a moment: all processes of the machine
    are looked at once, however many spools there are."""
    killed = [pid for pid in _agents(spools) if _kill(pid)]
    for spool in spools:
        for lock in (spool / "lock", *sorted(spool.glob("keeper-*.lock"))):
            pid = owner_of(lock)
            if pid is not None and pid != os.getpid() and _kill(pid):
                killed.append(pid)
    return killed


def _agents(spools: Iterable[Path]) -> Iterator[int]:
    """Agent programs that were started for these spools, whether or not they own them yet."""
    wanted = {f"--spool={spool}".encode() for spool in spools}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it ended meanwhile, or is another user's
                words = (entry / "cmdline").read_bytes().split(b"\0")
                if not wanted.isdisjoint(words) and any(program in words for program in PROGRAMS):
                    yield int(entry.name)


def _kill(pid: int) -> bool:
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        poll.poll(GONE_MILLISECONDS)
    except ProcessLookupError:
        return False
    finally:
        os.close(pidfd)
    return True
