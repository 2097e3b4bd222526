"""One life of a program of ours that serves: when it leaves, and how.

The first signal, a request or the program itself says that it is enough: then it leaves in order. A second signal
leaves at once: the journal is right at every instant, so that is a crash like any other. Used by `live/server.py` and
`live/controller_program.py`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import sys
from collections.abc import Callable, Coroutine
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, TextIO

from live.clock import wall_ns
from live.complaints import put
from live.control import asked_by
from live.display import clean_lines
from live.journal import Journal
from live.loop import Turns
from live.state_directory import Service, StateDirectory
from live.systemd import Systemd
from model.job import SECOND

PART_SECONDS = 15.0
"""How long the record of the last words, and so these, may take on a disk that is slow: longer than it takes to know
one that stands still (`loop.STANDSTILL_SECONDS`)."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Life:
    """Made and used inside the event loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        turns: Turns,
        tell: Callable[[str], None],
        state: Path,
        kills: Callable[[], bool],
        systemd: Systemd,
    ) -> None:
        """`kills()`: what is done when nobody has said whether with kill."""
        self.systemd = systemd
        self._loop = loop
        self._turns = turns
        self._tell = tell
        self._state = state
        self._kills = kills
        self.leaving: bool | None = None
        """whether with kill, once it is decided to leave"""
        self.by = ""
        """the person who has asked for it"""
        self.exit_status = 0
        """of one that leaves in order"""
        self.wanted: asyncio.Future[None] = loop.create_future()
        """it was decided to leave"""
        self.left: asyncio.Future[str] = loop.create_future()
        """it has left, and what stays"""
        self.at_once: asyncio.Future[int] = loop.create_future()
        """the exit status of a second signal"""

    def want_leave(self, kill: bool | None, status: int = 0) -> None:
        """Leave soon. The first decision stands, unless it was to keep; so does the first exit status that is not
        0."""
        self.exit_status = self.exit_status or status
        if kill is None:
            kill = self._kills()
        self.leaving = bool(self.leaving) or kill
        if not self.wanted.done():
            self.wanted.set_result(None)

    async def leave_by_request(self, kill: bool) -> str:
        """The same for somebody who waits until it has left; what was left."""
        self.by = self.by or asked_by()
        self.want_leave(kill or None)
        return await asyncio.shield(self.left)

    def on_signal(self, number: signal.Signals) -> None:
        """The first ends in order, the second at once."""
        if self.leaving is None:
            self._tell(f"{number.name}: ending; once more ends at once")
            self.want_leave(None)
        elif not self.at_once.done():
            self._tell(f"{number.name}: ending at once; what runs is adopted by the next one on {self._state}")
            self.at_once.set_result(128 + number)

    async def unless_at_once(self, work: Coroutine[Any, Any, None]) -> None:
        """Do the work; a second signal cuts it short, and so does a failure of a machine or the journal, which is
        raised."""
        task = self._loop.create_task(work)
        if not self.at_once.done():
            ends: tuple[asyncio.Future[Any], ...] = (task, self._turns.failed, self.at_once)
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        else:
            task.result()
        if self._turns.failed.done():
            self._turns.failed.result()

    def begin(self, in_short: Callable[[], str]) -> None:
        """It has started, and answers."""
        if self.leaving is None:
            self.systemd.ready(self._loop, self._turns, in_short)

    def close(self) -> None:
        """Nobody hears of it any more."""
        for future in (self.left, self.at_once, self.wanted):
            future.cancel()


class Living(Protocol):
    """What has a life."""

    @property
    def life(self) -> Life: ...

    async def start(self) -> None:
        """Begin. Raises LaulimaError."""

    async def run(self) -> None:
        """Work until somebody or something says that it is enough."""

    def in_short(self) -> str:
        """What it does, on one line; called every few seconds, so it is quick."""

    async def leave(self) -> None:
        """In order."""

    async def close(self) -> None:
        """Let go of everything, in any state."""


async def live_out(living: Living) -> int:
    """Start, run, leave and close; the exit status."""
    loop, life = asyncio.get_running_loop(), living.life
    for number in SIGNALS:
        loop.add_signal_handler(number, life.on_signal, number)
    try:
        await life.unless_at_once(living.start())
        life.begin(living.in_short)
        await life.unless_at_once(living.run())
        life.systemd.stopping()
        await life.unless_at_once(living.leave())
        return life.at_once.result() if life.at_once.done() else life.exit_status
    finally:
        await living.close()
        life.systemd.close()
        for number in SIGNALS:
            loop.remove_signal_handler(number)


def live_on(
    path: Path,
    service: Service | None,
    begin: Callable[[StateDirectory, Journal, Systemd, int], Coroutine[Any, Any, int]],
) -> int:
    """Own the state directory and its journal, and run `begin(state, journal, systemd, the user's umask)` in a
    loop of its own. `service` None: whatever lived there. Raises LaulimaError."""
    systemd = Systemd.taken(os.environ, tell)
    before = os.umask(0o077)
    owned = StateDirectory(path, service)
    try:
        journal = Journal(owned.journal)
        try:
            return asyncio.run(begin(owned, journal, systemd, before))
        finally:
            journal.close()
    finally:
        owned.close()
        os.umask(before)


def tell(text: str) -> None:
    """Show lines to people; in a file, which is read later, with the time."""
    at = ""
    if _is_file(sys.stderr):
        at = f"{datetime.fromtimestamp(wall_ns() / SECOND).astimezone().isoformat(sep=' ', timespec='seconds')[:19]}  "
    put(sys.stderr, f"{at}{clean_lines(text)}\n")


def _is_file(stream: TextIO) -> bool:
    """Whether it goes to a file on a disk (and to no terminal, pipe or service manager)."""
    try:
        return stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
    except (OSError, ValueError):
        return False
