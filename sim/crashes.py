"""Crashes at a chosen boundary: before or after a commit, an effect, a line of a keeper's log.

What a process does is counted from the start of the world; between any two things there is a boundary, and each
boundary is a place where it may die. So "crash it anywhere" is a number, and all of them can be gone through.
Asked by whoever carries something out (`sim/disk.py`, `sim/world.py`, `sim/system.py`); armed by `sim/faults.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable


class Crashes:
    """The boundaries that every process has passed, and where which one is to end."""

    def __init__(self) -> None:
        self.passed: Counter[str] = Counter()
        """boundaries by process"""
        self.unsynced: dict[str, dict[int, int]] = {}
        """at which boundaries of a process a commit was under way, of how many records"""
        self.at_crash: list[Counter[str]] = []
        """what every process had passed when one crashed, for each crash"""
        self._armed: dict[str, dict[int, Callable[[], None]]] = {}
        self._disarmed = False

    def arm(self, name: str, steps: int, crash: Callable[[], None]) -> None:
        """Let `crash` happen at the `steps`-th boundary of the process from now on (at least 1)."""
        self._armed.setdefault(name, {})[self.passed[name] + steps] = crash

    def disarm(self) -> None:
        """No process crashes any more, and nothing is counted."""
        self._disarmed = True

    def ends(self, name: str, unsynced: int = 0) -> bool:
        """The process is at a boundary, with so many records on their way to its disk; whether it is gone."""
        if self._disarmed:
            return False
        self.passed[name] += 1
        if unsynced:
            self.unsynced.setdefault(name, {})[self.passed[name]] = unsynced
        armed = self._armed.get(name)
        if not armed:
            return False
        crash = armed.pop(self.passed[name], None)
        if crash is None:
            return False
        self.at_crash.append(self.passed.copy())
        crash()
        return True
