"""The clocks of this machine: the only place that reads them, so that tests can put others in their place.

Durations come from a monotonic clock, wall time is for display and time windows only (docs/architecture.md, part 3).
Called by every driver in `live/`; nothing here waits.
"""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path


def monotonic_ns() -> int:
    """CLOCK_MONOTONIC in ns: stands still while the machine is suspended. For servers."""
    return time.monotonic_ns()


def boottime_ns() -> int:
    """CLOCK_BOOTTIME in ns: goes on while the machine is suspended, so leases end in sleep. For agents and keepers;
    equal in all processes of one boot."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def wall_ns() -> int:
    """Wall time in ns since 1970, UTC. It may jump."""
    return time.time_ns()


@cache
def boot_id() -> str:
    """Which boot of the machine this is: process ids, start times and boot time mean nothing in another one."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
