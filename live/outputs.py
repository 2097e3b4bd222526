"""What jobs wrote, wherever it stands: in a spool on this machine, or on a host behind a link.

Used by `live/requests.py` (people) and `live/scripts.py` (`$stdout`). Nothing is kept here; a host that is not
connected is waited for as long as the caller's patience goes.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from live.errands import Errands
from live.hosts import Hosts
from live.output_pieces import PIECE_MAX, Fetch, Piece, read_piece
from live.spool import Stream, output_path
from live.state_directory import StateDirectory
from model.errors import NotReachableError, OperatorError
from model.job import LOCAL

READ_SECONDS = 25.0
"""How long one piece may take: a disk or a link that hangs."""


class Outputs:
    """Everything is called in the loop."""

    def __init__(self, state: StateDirectory, hosts: Hosts, errands: Errands) -> None:
        self._state = state
        self._hosts = hosts
        self._errands = errands

    def spool(self, host: str) -> Path | None:
        """The spool of a host; None: it is on another machine."""
        return self._state.local_spool if host in (LOCAL, "") else self._hosts.spool_here(host)

    async def piece(
        self, host: str, job: int, attempt: int, stream: Stream, offset: int, size: int = PIECE_MAX
    ) -> Piece:
        """Bytes from `offset` on, at most PIECE_MAX, and how many there are. Raises OperatorError."""
        spool = self.spool(host)
        try:
            if spool is not None:
                wish = Fetch(0, job, attempt, stream, offset, size)
                found: Piece = await self._errands.run(lambda: read_piece(spool, wish), READ_SECONDS)
            else:
                async with asyncio.timeout(READ_SECONDS):
                    found = await self._hosts.links.fetch(host, job, attempt, stream, offset, size)
        except NotReachableError as error:
            raise OperatorError(
                f"what job {job} wrote stands on {host}: {error}",
                "it can be read when that host is back: laulima hosts",
            ) from error
        except TimeoutError:
            raise OperatorError(f"{host} did not send what job {job} wrote within {READ_SECONDS:g} s") from None
        if found.error:
            raise OperatorError(f"what job {job} wrote cannot be read on {host}: {found.error}")
        return found

    async def size(self, host: str, job: int, attempt: int, stream: Stream) -> tuple[str | None, int]:
        """(file on this machine, if it stands here and is there; bytes)."""
        spool = self.spool(host)
        if spool is None:
            return None, (await self.piece(host, job, attempt, stream, 0, 0)).total
        path = output_path(spool, job, attempt, stream)
        try:
            return str(path), path.stat().st_size
        except FileNotFoundError:
            return None, 0

    async def text(self, host: str, job: int, attempt: int, stream: Stream, bytes_max: int) -> tuple[bytes, int]:
        """(the first `bytes_max` bytes at most, how many are left out). Waits for a host that is not connected.
        Raises OperatorError."""
        if self.spool(host) is None:
            await self._hosts.until_connected(host)
        data = bytearray()
        while True:
            piece = await self.piece(host, job, attempt, stream, len(data), min(PIECE_MAX, bytes_max - len(data)))
            data += piece.data
            if not piece.data or len(data) >= bytes_max:
                return bytes(data), max(0, piece.total - len(data))
