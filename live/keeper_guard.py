"""The guard: a process that does nothing until a keeper dies, and then ends what that keeper left running.

The attempts of a dead keeper are LOST, whatever its processes do; its successor ends them. But an agent that has died,
too, or that stands still, starts no successor, and nobody else holds the end of their lease: they would run on beside
the attempts that took their place elsewhere. So whoever starts keepers starts a guard with them.

Who ends what is left is decided by the dead keeper's lock: the guard does nothing without it, and nobody becomes the
successor meanwhile. (The successor's own processes carry the same marks.)

A guard leaves with the last of its keepers. Started by `keepers.py`.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Mapping
from pathlib import Path

from live.keeper_recovery import pauses
from live.spool import SpoolBusyError, lock_file, write_owner
from live.trees import end_marked


def guard(spool: Path, identity: str, keepers: Mapping[int, int]) -> None:
    """Watch these keepers (a pidfd for each number) until all have gone. Raises OSError."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # what ends its keepers by name or session must not end it first
    numbers = {pidfd: number for number, pidfd in keepers.items()}
    poll = select.poll()
    for pidfd in numbers:
        poll.register(pidfd, select.POLLIN)
    while numbers:
        for pidfd, _ in poll.poll():
            poll.unregister(pidfd)
            os.close(pidfd)
            _end_what_is_left(spool, identity, numbers.pop(pidfd))


def _end_what_is_left(spool: Path, identity: str, number: int) -> None:
    try:
        lock = lock_file(spool / f"keeper-{number}.lock")
    except SpoolBusyError:
        return  # its successor was faster, and has ended what was left before it did anything else
    except FileNotFoundError:
        end_marked(identity, number, pauses())  # the whole spool was removed: there will be no successor
        return
    try:
        write_owner(lock, os.getpid())
        end_marked(identity, number, pauses())
    finally:
        os.close(lock)
