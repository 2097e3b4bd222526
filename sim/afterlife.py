"""What lives on although its end is recorded: it must be over soon, once there is a way to end it (promise P6).

A scheduler may record an end that nobody told it: a host that was not heard for too long, a controller that did not
answer. What runs there then is an orphan, and is ended as soon as it is heard of. Owned by `sim/oracle.py`.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from model.job import AttemptKey
from sim.paths import Paths

_ENDING_NS = 20 * 10**9
"""From whole ways to the end of an orphan, besides its grace: it is heard of and refused, twice if need be, each word
waits for a disk, and its keeper may be replaced meanwhile."""


class _Orphan(Struct):
    since_ns: int
    """since when its end is recorded and it lives"""
    host: str
    grace_ns: int


class Afterlife:
    """Processes whose attempt is over for the scheduler. Every `t` is true time in ns."""

    def __init__(self, broken: Callable[[str, str], None], paths: Paths) -> None:
        self._broken = broken
        self._paths = paths
        self._orphans: dict[AttemptKey, _Orphan] = {}

    def begin(self, t: int, key: AttemptKey, host: str, grace_ns: int) -> None:
        """The end of this attempt is recorded, and its process lives."""
        self._orphans.setdefault(key, _Orphan(t, host, grace_ns))

    def end(self, t: int, key: AttemptKey) -> None:
        """Its process has ended, or nobody looks any further: was it in time?"""
        orphan = self._orphans.pop(key, None)
        if orphan is None:
            return
        whole_ns = self._paths.whole_since(orphan.host)
        if whole_ns is None:
            return
        lived_ns = t - max(orphan.since_ns, whole_ns)
        if lived_ns > orphan.grace_ns + _ENDING_NS:
            text = f"attempt {key} lived on {orphan.host} for {lived_ns / 1e9} s after its end was recorded"
            self._broken("P6", text + ", and could have been ended")

    def finish(self, t: int) -> None:
        """Nobody looks any further."""
        for key in list(self._orphans):
            self.end(t, key)
