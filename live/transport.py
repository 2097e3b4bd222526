"""Bytes between one asyncio loop and a pair of file descriptors, never blocking in either direction.

Serves sockets, unix sockets and the pipes of a child process alike; `live/link.py` is the only caller. Knows nothing
of frames. TLS is another class with the same methods.

Rules: reading is paused by the owner, never by a full kernel buffer; what is written leaves at the end of the loop's
turn, so that many small writes of one turn are one system call; an end is told once, with its reason.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Final

READ_BYTES: Final = 64 << 10
"""Bytes taken in one read; what a link may take of a turn is bounded by its owner, in frames."""
WRITE_BYTES: Final = 256 << 10
"""Bytes offered to the kernel in one write."""


class Transport:
    """Moves bytes. `received(data)` gets what was read; `ended(reason)` is called once, unless the owner closed first.

    `outgoing` is shared with the writer: it appends and calls `flush`; the transport deletes from the front.
    """

    __slots__ = (
        "_closed",
        "_emptied",
        "_ended",
        "_flush_planned",
        "_loop",
        "_outgoing",
        "_read_fd",
        "_reading",
        "_received",
        "_release",
        "_write_fd",
        "_writing",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        outgoing: bytearray,
        received: Callable[[bytes], None],
        ended: Callable[[str], None],
    ) -> None:
        self._loop = loop
        self._outgoing = outgoing
        self._received = received
        self._ended = ended
        self._emptied: Callable[[], None] | None = None
        self._release: Callable[[], None] | None = None
        self._read_fd = self._write_fd = -1
        self._reading = self._writing = self._flush_planned = False
        self._closed = True

    def attach_socket(self, connected: socket.socket) -> None:
        """Own this connected socket, and begin to read."""
        connected.setblocking(False)
        if connected.family in (socket.AF_INET, socket.AF_INET6):
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._attach(connected.fileno(), connected.fileno(), connected.close)

    def _attach(self, read_fd: int, write_fd: int, release: Callable[[], None]) -> None:
        self._read_fd, self._write_fd, self._release = read_fd, write_fd, release
        self._closed = False
        self.resume()

    def pause(self) -> None:
        """Read nothing until `resume`."""
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._read_fd)

    def resume(self) -> None:
        if not self._reading and not self._closed:
            self._reading = True
            self._loop.add_reader(self._read_fd, self._readable)

    def _readable(self) -> None:
        try:
            data = os.read(self._read_fd, READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._end(f"the connection broke: {error.strerror}")
            return
        if data:
            self._received(data)
        else:
            self._end("the other end closed the connection")

    def flush(self) -> None:
        """Send what is in `outgoing`, at the end of this turn of the loop."""
        if not self._flush_planned and not self._writing and not self._closed:
            self._flush_planned = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_planned = False
        if self._closed or self._writing:
            return
        self._write()
        if self._outgoing and not self._closed and not self._writing:
            self._writing = True
            self._loop.add_writer(self._write_fd, self._write)

    def _write(self) -> None:
        outgoing = self._outgoing
        try:
            with memoryview(outgoing) as view:
                sent = os.write(self._write_fd, view[:WRITE_BYTES]) if outgoing else 0
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            if not self._reading:
                self._end(f"the connection broke: {error.strerror}")
                return
            sent = len(outgoing)  # nobody will read it; the reader takes the last words that came, and ends the link
        del outgoing[:sent]
        if not outgoing:
            if self._writing:
                self._writing = False
                self._loop.remove_writer(self._write_fd)
            if self._emptied is not None:
                self._emptied()

    def close_when_empty(self, limit_seconds: float) -> None:
        """Read nothing more, send what is there, and close; close anyway after `limit_seconds`."""
        self.pause()
        self._flush()  # now: whoever ends its last link may end its loop next
        if not self._outgoing or self._closed:
            self.close()
            return
        timer = self._loop.call_later(limit_seconds, self.close)

        def emptied() -> None:
            timer.cancel()
            self.close()

        self._emptied = emptied

    def close(self) -> None:
        """Close now. Harmless when closed."""
        if self._closed:
            return
        self.pause()
        if self._writing:
            self._writing = False
            self._loop.remove_writer(self._write_fd)
        self._closed = True
        self._emptied = None
        if self._release is not None:
            self._release()
            self._release = None

    def _end(self, reason: str) -> None:
        self.close()
        self._ended(reason)
