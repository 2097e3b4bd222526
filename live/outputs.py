"""What jobs wrote, wherever it stands: in a spool on this machine, or on a host behind a link.

Used by `live/requests.py` (people) and `live/scripts.py` (`$stdout`). Nothing is kept here; a host that is not
connected is waited for as long as the caller's patience goes.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Protocol

from live.errands import Errands
from live.output_pieces import PIECE_MAX, Fetch, Piece, read_piece
from live.spool import Stream, output_path
from model.errors import NotReachableError, OperatorError
from model.job import LOCAL

READ_SECONDS = 25.0
"""How long one piece may take: a disk or a link that hangs."""


class OutputSource(Protocol):
    """Where the outputs of hosts are got from."""

    def spool_here(self, host: str) -> Path | None:
        """The folder of a host's agent; None: it is on another machine."""

    async def fetch(self, host: str, job: int, attempt: int, stream: Stream, offset: int, size: int) -> Piece:
        """Bytes of what a job wrote there. Raises NotReachableError, OperatorError."""

    async def until_connected(self, host: str) -> None:
        """Wait until it can be asked; for ever, if nobody is there."""


class Outputs:
    """Everything is called in the loop."""

    def __init__(self, local_spool: Path, hosts: OutputSource, errands: Errands) -> None:
        self._local_spool = local_spool
        self._hosts = hosts
        self._errands = errands

    def spool(self, host: str) -> Path | None:
        """The spool of a host; None: it is on another machine."""
        return self._local_spool if host in (LOCAL, "") else self._hosts.spool_here(host)

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
                    found = await self._hosts.fetch(host, job, attempt, stream, offset, size)
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
