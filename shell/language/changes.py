"""What runs have changed in queues and books: so that the changes of a run that went wrong can be undone, and those of
one that went well be recorded.

Rule: between `begin(run)` and its `commit` or `undo`, everything that is changed while that run is `current` leaves an
entry in the run's log: what kind of change it was, and on what. A kind says how the change is taken back, and which
places it has touched (`touched.py`). Other runs may go on where this one waits, and change the same things; so an
entry names what it works on by identity (this line, this page, this value that I wrote), never by its place in the
order, and its inverse does nothing where somebody else has been there since. The script machine says which run is
current; `queues.py`, `books.py` and `named.py` keep the logs, `recording.py` reads them. Variables are not undone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

from shell.language.touched import Touched


class Unsettled(Protocol):
    """What inverses leave out of order for the moment; put right once, when all of them are done."""

    def settle(self) -> None: ...


class Kind(NamedTuple):
    """One kind of change. Both functions get the entry's arguments, the thing that was changed first."""

    undo: Callable[..., Unsettled | None]
    """takes the change back; answers what is to be settled when all of them were"""
    note: Callable[..., None]
    """(touched, ...): notes what the change has touched, and what is there since"""


class Log:
    """The changes of one run: `entries` are `(kind, thing, argument, ...)`, oldest first."""

    __slots__ = ("_noted", "_touched", "entries")

    def __init__(self) -> None:
        self.entries: list[tuple[Any, ...]] = []
        self._noted = 0
        self._touched = Touched()

    def touched(self) -> Touched:
        """What the run has touched until now; each entry is read once."""
        entries, touched = self.entries, self._touched
        for place in range(self._noted, len(entries)):
            kind, *arguments = entries[place]
            kind.note(touched, *arguments)
        self._noted = len(entries)
        return touched


class Changes:
    """Logs of runs. `log` holds the entries to append to now, `(kind, thing, argument, ...)`; None: nobody records."""

    __slots__ = ("_current", "_logs", "_when_quiet", "log")

    def __init__(self) -> None:
        self._logs: dict[int, Log] = {}
        self._current = 0
        self._when_quiet: list[Callable[[], None]] = []
        self.log: list[tuple[Any, ...]] | None = None

    @property
    def current(self) -> int:
        """The number of the run that goes on now; 0: nobody, nothing is recorded."""
        return self._current

    @current.setter
    def current(self, run: int) -> None:
        self._current = run
        log = self._logs.get(run)
        self.log = None if log is None else log.entries

    @property
    def recording(self) -> bool:
        """Whether some run may still be undone, be it current or not."""
        return bool(self._logs)

    def begin(self, run: int) -> None:
        """From now on record what `run` (a number above 0) changes while it is current."""
        assert run > 0
        assert run not in self._logs, f"run {run} is recorded already"
        self._logs[run] = Log()
        self.current = self._current

    def commit(self, run: int) -> None:
        """What `run` has changed stays. A run that never began is none of our business."""
        self._logs.pop(run, None)
        self._ended()

    def undo(self, run: int) -> None:
        """Take back what `run` has changed, latest first, where nobody else has changed it since."""
        log = self._logs.pop(run, None)
        if log is not None:
            self.log = None
            unsettled: dict[int, Unsettled] = {}
            for kind, *arguments in reversed(log.entries):
                left = kind.undo(*arguments)
                if left is not None:
                    unsettled[id(left)] = left
            for left in unsettled.values():
                left.settle()
        self._ended()

    def touched(self, run: int) -> Touched | None:
        """What a run that is recorded has touched until now; None: it is not."""
        log = self._logs.get(run)
        return None if log is None else log.touched()

    def touched_by_others(self, run: int) -> Iterator[Touched]:
        """The same of all runs that are recorded, but this one."""
        for number, log in self._logs.items():
            if number != run:
                yield log.touched()

    def when_quiet(self, call: Callable[[], None]) -> None:
        """Call it whenever no run can be undone any more: what was only kept for that can go."""
        self._when_quiet.append(call)

    def _ended(self) -> None:
        self.current = self._current
        if not self._logs:
            for call in self._when_quiet:
                call()
