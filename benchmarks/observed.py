"""What is seen of a process from outside while it works: its processor time and memory, by `/proc`; and waiting beside
it without disturbing it.

Called by the benchmarks of whole servers. What a figure means is told there.
"""

from __future__ import annotations

import os
import select
import time
from pathlib import Path

from tests.live.running_server import RunningServer

TICKS = os.sysconf("SC_CLK_TCK")


def pid_of(server: RunningServer) -> int:
    """Of a server that runs."""
    assert server.process is not None
    return server.process.pid


def cpu_seconds(pid: int) -> float:
    """User and system time of a process until now, to 1/100 s."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_bytes(pid: int) -> int:
    """What a process has in memory now."""
    return _status_bytes(pid, "VmRSS")


def peak_bytes(pid: int) -> int:
    """The most that a process ever had in memory. (`ru_maxrss` of a child is at least that of whoever started it.)"""
    return _status_bytes(pid, "VmHWM")


def _status_bytes(pid: int, name: str) -> int:
    rows = Path(f"/proc/{pid}/status").read_text().splitlines()
    return 1024 * next(int(row.split()[1]) for row in rows if row.startswith(f"{name}:"))


def let_work(server: RunningServer, seconds: float) -> None:
    """Nobody asks the server anything for so long. It must not end meanwhile."""
    pidfd = os.pidfd_open(pid_of(server))
    try:
        ended, _, _ = select.select([pidfd], [], [], max(0.0, seconds))
    finally:
        os.close(pidfd)
    assert not ended, f"the server ended: {server.said()}"


def share_of_a_core(server: RunningServer, seconds: float) -> float:
    """Processor time of the server, for each second of so many that it is left alone."""
    pid = pid_of(server)
    begin, spent = time.monotonic(), cpu_seconds(pid)
    let_work(server, seconds)
    return (cpu_seconds(pid) - spent) / (time.monotonic() - begin)
