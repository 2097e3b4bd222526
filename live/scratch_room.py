"""Whether the disk of a host's spool has room. One that has none gets no work: what starts there writes nothing, fails,
and the next one after it.

Made by `live/agent_host.py`; looks beside the loop, since a disk may hang. What a host that must not get work does with
what it has is the machine's business (`HostDirty`).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from live.errands import Errands
from model.errors import LaulimaError
from model.events import HostDirty

LOOK_SECONDS: Final = 5.0
LIMIT_SECONDS: Final = 20.0
"""A look that takes longer says nothing."""
FULL_BYTES: Final = 256 << 10
"""With less there is no room: a keeper's log, and some words of each job."""
AGAIN_BYTES: Final = 1 << 20
"""From so much on there is room again."""


class ScratchRoom:
    """Everything is called in the loop, from `begin` to `close`."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        spool: Path,
        post: Callable[[HostDirty], None],
        dirty: Callable[[], str],
        free: Callable[[Path], int] | None = None,
    ) -> None:
        """`dirty()`: why the host gets no work now. `free`: see `free_bytes`."""
        self._loop = loop
        self._spool = spool
        self._post = post
        self._dirty = dirty
        self._free = free or free_bytes
        self._errands = Errands(loop, threads_max=1)
        self._timer: asyncio.TimerHandle | None = None
        self._text = f"its disk is full: {spool}"

    def begin(self) -> None:
        """Look, and go on looking."""
        self._timer = None
        self._errands.run(lambda: self._free(self._spool), LIMIT_SECONDS).add_done_callback(self._looked)

    def close(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
        self._errands.close()

    def _looked(self, look: asyncio.Future[int]) -> None:
        if look.cancelled():
            return
        error = look.exception()
        if error is None:
            self._judge(look.result())
        elif not isinstance(error, OSError | LaulimaError):
            raise error
        self._timer = self._loop.call_later(LOOK_SECONDS, self.begin)

    def _judge(self, free: int) -> None:
        """What is wrong with the host for another reason stays so."""
        if free < FULL_BYTES and not self._dirty():
            self._post(HostDirty(self._text))
        elif free >= AGAIN_BYTES and self._dirty() == self._text:
            self._post(HostDirty(""))


def free_bytes(folder: Path) -> int:
    """How much may be written there; 0 where no file can be made any more. Raises OSError. Blocks as the disk does."""
    found = os.statvfs(folder)
    blocks = found.f_bfree if os.geteuid() == 0 else found.f_bavail
    if found.f_files and not found.f_ffree:
        return 0
    return blocks * found.f_frsize
