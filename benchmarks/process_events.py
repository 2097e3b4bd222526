"""When processes began and ended, as the kernel says it: its process connector (netlink) tells of each `exec` and each
exit with the monotonic time in ns at which it happened.

It is for root only, and in the first network namespace of a machine only; elsewhere `process_events` gives None, and a
benchmark stamps what it sees itself. Called by the benchmark of latencies.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from struct import Struct
from typing import Final

NETLINK_CONNECTOR: Final = 11
CN_IDX_PROC, CN_VAL_PROC = 1, 1
LISTEN, IGNORE = 1, 2
"""PROC_CN_MCAST_LISTEN and PROC_CN_MCAST_IGNORE of linux/cn_proc.h."""
NLMSG_DONE: Final = 3
HEADER: Final = Struct("=IHHII")
"""nlmsghdr: length, type, flags, sequence, port."""
CONNECTOR: Final = Struct("=IIIIHH")
"""cn_msg: index, value, sequence, acknowledgement, length, flags."""
OPERATION: Final = Struct("=I")
EVENT: Final = Struct("=IIQII")
"""proc_event: what, processor, time, then of both events that are wanted the thread and the process."""
EXEC, EXIT = 0x00000002, 0x80000000
SO_RCVBUFFORCE: Final = 33
BUFFER_BYTES: Final = 8 << 20
"""Of what was not read yet: some 10,000 events of the whole machine."""


class ProcessEvents:
    """What has happened since it was made, of the whole machine. One event that did not fit in raises OSError."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._times: dict[tuple[int, int], int] = {}

    def began(self, pid: int, limit_seconds: float = 5.0) -> int:
        """When the process last became the program that it is (monotonic, ns)."""
        return self._await((EXEC, pid), limit_seconds)

    def ended(self, pid: int, limit_seconds: float = 5.0) -> int:
        """When the process was over (monotonic, ns)."""
        return self._await((EXIT, pid), limit_seconds)

    def forget(self) -> None:
        """What was told until now: process ids come again."""
        self._times.clear()

    def _await(self, wanted: tuple[int, int], limit_seconds: float) -> int:
        deadline = time.monotonic() + limit_seconds
        while wanted not in self._times:
            left = deadline - time.monotonic()
            assert left > 0, f"the kernel did not tell of event {wanted[0]:#x} of process {wanted[1]}"
            self._connection.settimeout(left)
            self._take(self._connection.recv(4096))
        return self._times[wanted]

    def _take(self, packet: bytes) -> None:
        """Note the event, when it is one of the two, and of a process: threads begin and end as well."""
        what, _, at, thread, process = EVENT.unpack_from(packet, HEADER.size + CONNECTOR.size)
        if what in (EXEC, EXIT) and thread == process:
            self._times[what, process] = at


@contextmanager
def process_events() -> Iterator[ProcessEvents | None]:
    """The events of this machine from now on; None: nobody may hear them here."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, NETLINK_CONNECTOR) as connection:
        try:
            connection.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
            connection.bind((0, CN_IDX_PROC))
            _order(connection, LISTEN)
            heard = _hears(connection)
        except PermissionError:
            heard = False
        yield ProcessEvents(connection) if heard else None
        if heard:
            _order(connection, IGNORE)


def _order(connection: socket.socket, operation: int) -> None:
    body = OPERATION.pack(operation)
    message = CONNECTOR.pack(CN_IDX_PROC, CN_VAL_PROC, 0, 0, len(body), 0) + body
    connection.send(HEADER.pack(HEADER.size + len(message), NLMSG_DONE, 0, 0, connection.getsockname()[0]) + message)


def _hears(connection: socket.socket) -> bool:
    """Whether a process that this one starts is told of: a namespace may be deaf without saying so."""
    pid = os.posix_spawn("/bin/true", ("true",), {})
    os.waitid(os.P_PID, pid, os.WEXITED)
    try:
        ProcessEvents(connection).ended(pid, 1.0)
    except (AssertionError, TimeoutError):
        return False
    return True
