"""Ports on loopback for servers that are told where to listen: sshd, Slurm's daemons, our own.

Between the look at a port and the server that binds it nobody holds it. So none is chosen of those that the kernel
gives to whoever connects, or asks for any port: with many tests beside this one, it would soon be somebody else's.
"""

from __future__ import annotations

import contextlib
import random
import socket
from pathlib import Path

LOWEST, HIGHEST = 10_000, 65_535
RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
TRIES_MAX = 1_000
"""Ports that are looked at: so many that are all taken are no accident."""


def free_ports(count: int) -> list[int]:
    """Different ports at which nobody listens, chosen at random: another test chooses at the same time."""
    first, last = map(int, RANGE.read_text().split())
    outside = [port for port in range(LOWEST, HIGHEST + 1) if not first <= port <= last]
    choice = random.SystemRandom()
    with contextlib.ExitStack() as held:
        ports: list[int] = []
        for _ in range(TRIES_MAX):
            looking = held.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                looking.bind(("127.0.0.1", choice.choice(outside) if outside else 0))
                ports.append(looking.getsockname()[1])
            if len(ports) == count:
                return ports
    raise AssertionError(f"no {count} free ports among {TRIES_MAX}")


def free_port() -> int:
    """One such port."""
    (port,) = free_ports(1)
    return port
