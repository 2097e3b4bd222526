"""A disk that is full, or does not answer, as a state: said once, tried again, and over when there is room for the
reserve.

What stands still meanwhile is `live/loop.py`'s; what else is to stop is whoever made this (`live/server.py`,
`live/controller_program.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from live.journal import Journal, JournalBrokenError, JournalWaitsError
from live.loop import Turns
from model.effects import Notice

ROOM_LOOK_SECONDS = 5.0
"""How often a full disk is tried."""


class DiskRoom:
    """Everything is called in the loop. `text`: what `status` says; empty: there is room."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        journal: Journal,
        turns: Turns,
        say: Callable[[Notice], None],
        *,
        stop: Callable[[str], None] = lambda _: None,
        resume: Callable[[], None] = lambda: None,
    ) -> None:
        """`stop` and `resume`: what it means beyond the journal; `stop` is told the state, in some words."""
        self.text = ""
        self._trouble = ""
        self._loop = loop
        self._journal = journal
        self._turns = turns
        self._say = say
        self._stop = stop
        self._resume = resume

    def stands_still(self, error: JournalWaitsError) -> None:
        """A commit met it. Called each time."""
        if self.text:
            return
        self.text = f"intake stopped (disk): {error}"
        self._say(Notice("alarm", "", f"{self.text}; {error.hint}; it goes on by itself then"))
        self._stop(error.state)
        self._loop.call_later(ROOM_LOOK_SECONDS, self._look)

    def _look(self) -> None:
        if self._turns.closed:
            return
        if self._turns.stuck or not self._has_room():
            self._loop.call_later(ROOM_LOOK_SECONDS, self._look)
            return
        self.text = ""
        self._say(Notice("info", "", "the disk takes records again: what it had stopped goes on"))
        self._resume()

    def _has_room(self) -> bool:
        """Whether the reserve could be set aside. What else is wrong with that is told once, and tried again: whether
        the journal is broken is for its commits to say."""
        try:
            room = self._journal.keep_reserve()
        except JournalBrokenError as error:
            if self._trouble != str(error):
                self._trouble = str(error)
                self._say(Notice("warning", "", f"no room is set aside: {error}; {error.hint}"))
            return False
        self._trouble = ""
        return room
