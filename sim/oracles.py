"""The oracle of a world: one, or where several schedulers use one controller one for each, which sees the log as its
scheduler alone would have, and one for what hosts run for all of them. Called by `sim/simulation.py`.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from sim.log import Reader
from sim.oracle import VIOLATIONS_MAX, Oracle, Violation
from sim.scenario import Scenario
from sim.views import Capacity, View


class Oracles:
    """All of one world."""

    def __init__(self, scenario: Scenario, *, scripted: bool) -> None:
        """`scripted`: task scripts are run."""
        self._of = {sharer.name: Oracle() for sharer in scenario.schedulers} or {"": Oracle()}
        self._number: Callable[[], int] = lambda: 0
        self._capacity_broken: list[Violation] = []
        self.readers: tuple[Reader, ...] = tuple(self._of.values())
        """for `EventLog`"""
        if scenario.schedulers:
            views = [View(sharer, self._of[sharer.name], scripted=scripted) for sharer in scenario.schedulers]
            self.readers = (*views, Capacity(self._broken))

    def listen(self, number: Callable[[], int]) -> None:
        """`number` gives the number of the line that is being read."""
        self._number = number
        for oracle in self._of.values():
            oracle.listen(number)

    def _broken(self, t: int, promise: str, text: str) -> None:
        self._capacity_broken.append(Violation(self._number(), t, promise, text))

    @property
    def violations(self) -> tuple[Violation, ...]:
        """In the order of the log; of several schedulers each names its own."""
        found = [
            replace(violation, text=f"{name}: {violation.text}") if name else violation
            for name, oracle in self._of.items()
            for violation in oracle.violations
        ]
        return tuple(sorted([*found, *self._capacity_broken], key=lambda one: one.line)[:VIOLATIONS_MAX])

    @property
    def count(self) -> int:
        """Violations, also those that are not kept."""
        return sum(oracle.count for oracle in self._of.values()) + len(self._capacity_broken)

    @property
    def excused(self) -> int:
        """Overlaps of attempts whose host stood still past its lease."""
        return sum(oracle.excused for oracle in self._of.values())
