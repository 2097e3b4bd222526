"""Bytes between one asyncio loop and a connected socket, never blocking in either direction.

Serves unix sockets, TCP and TLS sockets alike; `live/link.py` is the only caller. Knows nothing of frames.

Rules: reading is paused by the owner, never by a full kernel buffer; what is written leaves when the owner says so, who
gathers what one turn has to say; an end is told once, with its reason.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Final

READ_BYTES: Final = 64 << 10
"""Bytes taken in one read; what a link may take of a turn is bounded by its owner, in frames. Not less than a TLS
record (16 KiB), so that nothing stays in OpenSSL's buffer, of which the loop would not hear."""
WRITE_BYTES: Final = 256 << 10
"""Bytes offered to the kernel in one write."""
NOT_NOW: Final = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
"""There is nothing to read, or no room to write, until the loop says so."""


class Transport:
    """Moves bytes. `received(data)` gets what was read; `ended(reason)` is called once, unless the owner closed first.

    `outgoing` is shared with the writer: it appends and calls `flush`; the transport deletes from the front.
    """

    __slots__ = (
        "_closed",
        "_descriptor",
        "_emptied",
        "_ended",
        "_loop",
        "_outgoing",
        "_reading",
        "_received",
        "_socket",
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
        self._socket: socket.socket | None = None
        self._descriptor = -1
        self._reading = self._writing = False
        self._closed = True

    def attach_socket(self, connected: socket.socket) -> None:
        """Own this connected socket, and begin to read."""
        connected.setblocking(False)
        if connected.family in (socket.AF_INET, socket.AF_INET6):
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket, self._descriptor = connected, connected.fileno()
        self._closed = False
        self.resume()

    def pause(self) -> None:
        """Read nothing until `resume`."""
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._descriptor)

    def resume(self) -> None:
        if not self._reading and not self._closed:
            self._reading = True
            self._loop.add_reader(self._descriptor, self._readable)

    def _readable(self) -> None:
        assert self._socket is not None
        try:
            data = self._socket.recv(READ_BYTES)
        except NOT_NOW:
            return
        except OSError as error:
            self._end(f"the connection broke: {error.strerror}")
            return
        if data:
            self._received(data)
        else:
            self._end("the other end closed the connection")

    def flush(self) -> None:
        """Send what is in `outgoing`, as far as the kernel takes it; the rest when it does."""
        if self._closed or self._writing:
            return
        self._write()
        if self._outgoing and not self._closed and not self._writing:
            self._writing = True
            self._loop.add_writer(self._descriptor, self._write)

    def _write(self) -> None:
        assert self._socket is not None
        outgoing = self._outgoing
        try:
            with memoryview(outgoing) as view, view[:WRITE_BYTES] as piece:
                sent = self._socket.send(piece) if outgoing else 0
        except NOT_NOW:
            return  # TLS wants the same bytes again: `outgoing` only grows at its end
        except OSError as error:
            if not self._reading:
                self._end(f"the connection broke: {error.strerror}")
                return
            sent = len(outgoing)  # nobody will read it; the reader takes the last words that came, and ends the link
        del outgoing[:sent]
        if not outgoing:
            if self._writing:
                self._writing = False
                self._loop.remove_writer(self._descriptor)
            if self._emptied is not None:
                self._emptied()

    def close_when_empty(self, limit_seconds: float) -> None:
        """Read nothing more, send what is there, and close; close anyway after `limit_seconds`."""
        self.pause()
        self.flush()  # now: whoever ends its last link may end its loop next
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
            self._loop.remove_writer(self._descriptor)
        self._closed = True
        self._emptied = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _end(self, reason: str) -> None:
        self.close()
        self._ended(reason)
