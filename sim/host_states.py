"""Which hosts have power and answer, and whether the controller runs: what the log says of faults, folded.

Several faults may be at one host at a time; what counts is when it changes. A part of each reader of the log that wants
to know it: `sim/tally.py`, `sim/host_time.py`, `sim/timeline.py`.
"""

from __future__ import annotations

from collections import Counter

from msgspec import Struct

from sim.faults import CONTROLLER, SCHEDULER
from sim.log import FaultChanged

NO_POWER = frozenset({"down", "reboot"})
AWAY = NO_POWER | {"silent", "suspended", "lost"}
"""Faults after which a host does not answer."""
NOT_RUNNING = frozenset({"frozen", "restarted", "crashed"})
"""Faults after which a server process does not."""
CUT = frozenset({"lost", "one_way"})
"""Faults of a link through which nothing is answered."""


class Change(Struct, frozen=True, gc=False):
    """What a fault has changed at `host` (see `host_of`). None: nothing."""

    host: str
    power: bool | None = None
    answers: bool | None = None
    controller: bool | None = None
    """whether it runs"""


class HostStates:
    """How many faults of each kind are at a host or the controller."""

    def __init__(self) -> None:
        self._off: Counter[str] = Counter()
        self._away: Counter[str] = Counter()
        self._stopped: Counter[str] = Counter()

    def fault(self, line: FaultChanged) -> Change:
        """A fault begins or ends."""
        host = host_of(line)
        return Change(
            host,
            _counted(self._off, host, line.on) if host and line.kind in NO_POWER else None,
            _counted(self._away, host, line.on) if host and line.kind in AWAY else None,
            _counted(self._stopped, CONTROLLER, line.on)
            if line.kind in NOT_RUNNING and line.nodes == (CONTROLLER,)
            else None,
        )

    def has_power(self, host: str) -> bool:
        return self._off[host] <= 0

    def answers(self, host: str) -> bool:
        return self._away[host] <= 0

    @property
    def controller_runs(self) -> bool:
        return self._stopped[CONTROLLER] <= 0


def host_of(line: FaultChanged) -> str:
    """The host that a fault is at; for one at a link, its lower end; empty: at none."""
    names = (name for name in line.nodes if name != CONTROLLER and name.partition("/")[0] != SCHEDULER)
    return next(names, "")


def scheduler_of(line: FaultChanged) -> str:
    """The scheduler (its node) whose link to the controller the fault is at; empty: it is at none."""
    names = [name for name in line.nodes if name != CONTROLLER]
    return names[0] if len(line.nodes) == 2 and len(names) == 1 and names[0].partition("/")[0] == SCHEDULER else ""


def _counted(counts: Counter[str], name: str, on: bool) -> bool | None:
    """Whether that is over now, or has begun (False); None: another fault does the same."""
    counts[name] += 1 if on else -1
    return not on if counts[name] == on else None
