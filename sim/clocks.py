"""The modelled clock of a node: integer ns since its boot, by its own quartz.

True time is ns since the start of the simulation. A clock that runs too fast by `drift_ppb` parts in 10**9 shows
more. It never stops while the machine is suspended (CLOCK_BOOTTIME), and starts anew with each boot.
"""

from __future__ import annotations

from functools import lru_cache

PER_BILLION = 1_000_000_000
BOOTED_BEFORE = 1_000 * PER_BILLION
"""Every machine booted so long before the start; a clock that shows 0 would hide mistakes about unset times."""


class Clock:
    """What a node's clock shows. It never changes, so nodes that booted at one time have one (`clock_of`)."""

    __slots__ = ("_boot", "_drift_ppb", "ahead_ns")

    def __init__(self, boot: int, drift_ppb: int = 0) -> None:
        self._boot = boot
        self._drift_ppb = drift_ppb
        self.ahead_ns = None if drift_ppb else -boot
        """So much more than true time it shows at any time; None: it drifts. (Where clocks are read a dozen times for
        each job it is asked for, instead of a call for each.)"""

    def read(self, true_ns: int) -> int:
        """What it shows at true time `true_ns`."""
        since = true_ns - self._boot
        return since + since * self._drift_ppb // PER_BILLION if self._drift_ppb else since

    def when(self, shown_ns: int) -> int:
        """The first true time at which it shows `shown_ns` or more."""
        if not self._drift_ppb:
            return shown_ns + self._boot
        since = shown_ns * PER_BILLION // (PER_BILLION + self._drift_ppb) - 2
        while since + since * self._drift_ppb // PER_BILLION < shown_ns:
            since += 1
        return since + self._boot


@lru_cache(maxsize=64)
def clock_of(boot: int, drift_ppb: int) -> Clock:
    """The clock of nodes that booted then: ten thousand hosts look at one that is always at hand."""
    return Clock(boot, drift_ppb)
