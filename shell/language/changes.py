"""What runs have changed in queues and books, so that the changes of a run that went wrong can be undone.

Rule: between `begin(run)` and its `commit` or `undo`, everything that is changed while that run is `current` leaves its
inverse in the run's log. Other runs may go on where this one waits, and change the same things; so an inverse names
what it works on by identity (this entry, this page, this value that I wrote), never by its place, and does nothing
where somebody else has been there since. The script machine says which run is current; `queues.py`, `books.py` and
`named.py` keep the logs. Variables are not undone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol


class Unsettled(Protocol):
    """What inverses leave out of order for the moment; put right once, when all of them are done."""

    def settle(self) -> None: ...


class Changes:
    """Undo logs of runs. `log` is the one to append to now: `(function, argument, ...)`, or None when nobody records.

    An inverse is called with `log` None; it returns None, or something to `settle()` when all of them were called.
    """

    __slots__ = ("_current", "_logs", "_when_quiet", "log")

    def __init__(self) -> None:
        self._logs: dict[int, list[tuple[Any, ...]]] = {}
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
        self.log = self._logs.get(run)

    @property
    def recording(self) -> bool:
        """Whether some run may still be undone, be it current or not."""
        return bool(self._logs)

    def begin(self, run: int) -> None:
        """From now on record what `run` (a number above 0) changes while it is current."""
        assert run > 0
        assert run not in self._logs, f"run {run} is recorded already"
        self._logs[run] = []
        self.current = self._current

    def commit(self, run: int) -> None:
        """What `run` has changed stays. A run that never began is none of our business."""
        self._logs.pop(run, None)
        self._ended()

    def undo(self, run: int) -> None:
        """Take back what `run` has changed, latest first, where nobody else has changed it since."""
        log = self._logs.pop(run, None)
        if log:
            self.log = None
            unsettled: dict[int, Unsettled] = {}
            for function, *arguments in reversed(log):
                left = function(*arguments)
                if left is not None:
                    unsettled[id(left)] = left
            for left in unsettled.values():
                left.settle()
        self._ended()

    def when_quiet(self, call: Callable[[], None]) -> None:
        """Call it whenever no run can be undone any more: what was only kept for that can go."""
        self._when_quiet.append(call)

    def _ended(self) -> None:
        self.current = self._current
        if not self._logs:
            for call in self._when_quiet:
                call()
