"""Which processes have to do with a folder: for tests that say that none is left."""

from __future__ import annotations

import os
import select
import time
from pathlib import Path

LEAVE_S = 60.0
"""A process that is about to leave (it reads the end of a pipe of one that has left) may take so long."""


def left_of(folder: Path) -> list[str]:
    """Processes of `folder` that do not leave by themselves within LEAVE_S."""
    deadline = time.monotonic() + LEAVE_S
    while (found := processes_of(folder)) and time.monotonic() < deadline:
        try:
            process = os.pidfd_open(int(found[0].split()[0]))
        except ProcessLookupError:
            continue
        try:
            select.select([process], [], [], deadline - time.monotonic())
        finally:
            os.close(process)
    return found


def processes_of(folder: Path) -> list[str]:
    """Processes other than this one that work in `folder`, or name it in their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            place = os.readlink(entry / "cwd")
        except OSError:
            continue  # it has ended meanwhile, or is a zombie without a place
        if str(folder) in words or Path(place).is_relative_to(folder):
            found.append(f"{entry.name} in {place}: {words}")
    return found
