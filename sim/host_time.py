"""What the hosts of a run were there for: slots over time, power, and how faults were found and got over.

A part of `sim/measuring.py`, which tells it of sizes, faults and the length of the queue.
"""

from __future__ import annotations

from array import array

from msgspec import Struct

from sim.faults import CONTROLLER
from sim.metrics import HostMetrics, ratio
from sim.tally import NO_POWER

AWAY = NO_POWER | {"silent", "suspended", "lost"}
"""Faults after which a host does not answer."""
NOT_RUNNING = frozenset({"frozen", "restarted", "crashed"})
"""Faults after which a server process does not."""
BACK_PER_CENT = 110
"""The queue is as before a fault when no more jobs wait than so much of those that waited then."""


class Grounds(Struct, frozen=True):
    """A fault by its kind and its place."""

    kind: str
    nodes: tuple[str, ...]

    @property
    def host(self) -> str:
        """The host that it is at; for one at a link, its lower end."""
        return next((name for name in self.nodes if name != CONTROLLER), "")


class _Power(Struct):
    """One host within the window."""

    slots: int
    off: int = 0
    """how many faults keep it without power"""
    since: int = 0
    """of the last change of it"""
    up_ns: int = 0
    off_ns: int = 0
    failures: int = 0
    repairs: int = 0


class HostTime:
    """All hosts of the controller. Nothing is counted before the window is open."""

    def __init__(self) -> None:
        self.nominal = 0
        """slots x ns"""
        self.up = 0
        """slots x ns of hosts with power"""
        self.all_up = 0
        """ns in which every host had power"""
        self.controller_away = 0
        """ns"""
        self.detections: array[int] = array("q")
        self.undetected = 0
        self.recoveries: array[int] = array("q")
        self.recovering: list[tuple[int, int]] = []
        """(end of a fault, the most jobs that may wait) until so few do"""
        self._hosts: dict[str, _Power] = {}
        self._begin: int | None = None
        self._at = 0
        self._slots = 0
        self._slots_up = 0
        self._hosts_off = 0
        self._unseen: dict[str, int] = {}
        """hosts that are away, since when, and the controller does not know"""
        self._levels: dict[Grounds, int] = {}
        """jobs that waited when the fault began"""
        self._controller_faults = 0

    def open_window(self, begin: int) -> None:
        """Count from here on."""
        self._begin = self._at = begin
        for host in self._hosts.values():
            host.since = begin

    def size(self, name: str, slots: int, now: int) -> None:
        """A host is there, or has another number of slots."""
        self._pass(now)
        host = self._hosts.get(name)
        if host is None:
            host = self._hosts[name] = _Power(0, since=max(now, self._begin or 0))
        self._slots += slots - host.slots
        if not host.off:
            self._slots_up += slots - host.slots
        host.slots = slots

    def _pass(self, now: int) -> None:
        if self._begin is None or now <= self._at:
            return
        passed, self._at = now - self._at, now
        self.nominal += self._slots * passed
        self.up += self._slots_up * passed
        if not self._hosts_off:
            self.all_up += passed
        if self._controller_faults:
            self.controller_away += passed

    # faults

    def fault(self, grounds: Grounds, on: bool, now: int, pending: int) -> None:
        """A fault begins or ends, while so many jobs wait."""
        self._pass(now)
        if grounds.kind in NOT_RUNNING and grounds.nodes == (CONTROLLER,):
            self._controller_faults += 1 if on else -1
        host = self._hosts.get(grounds.host)
        if host is not None and grounds.kind in NO_POWER:
            self._power(host, on, now)
        if host is not None and grounds.kind in AWAY:
            self._away(grounds.host, on, now)
        if on:
            self._levels[grounds] = pending
        else:
            self.recovering.append((now, self._levels.pop(grounds, pending) * BACK_PER_CENT // 100))
            self.pending_is(pending, now)

    def _power(self, host: _Power, on: bool, now: int) -> None:
        host.off += 1 if on else -1
        if host.off != (1 if on else 0):
            return  # another fault keeps it without power
        counts = self._begin is not None and now >= self._begin
        self._settle(host, now, was_off=not on)
        if on:
            self._hosts_off += 1
            self._slots_up -= host.slots
            host.failures += counts
        else:
            self._hosts_off -= 1
            self._slots_up += host.slots
            host.repairs += counts

    def _settle(self, host: _Power, now: int, *, was_off: bool) -> None:
        """Count the time since the last change."""
        if self._begin is None or now <= host.since:
            return
        passed, host.since = now - host.since, now
        if was_off:
            host.off_ns += passed
        else:
            host.up_ns += passed

    def _away(self, name: str, on: bool, now: int) -> None:
        if on:
            self._unseen.setdefault(name, now)
        elif self._unseen.pop(name, None) is not None:
            self.undetected += 1

    def known_away(self, name: str, now: int) -> None:
        """The controller says that a host is down or silent."""
        since = self._unseen.pop(name, None)
        if since is not None:
            self.detections.append(now - since)

    def pending_is(self, pending: int, now: int) -> None:
        """So many jobs wait."""
        left = []
        for ended, most in self.recovering:
            if pending <= most:
                self.recoveries.append(now - ended)
            else:
                left.append((ended, most))
        self.recovering = left

    # the end

    def close(self, now: int) -> None:
        """The window is over."""
        self._pass(now)
        for host in self._hosts.values():
            self._settle(host, now, was_off=host.off > 0)

    def rows(self) -> tuple[HostMetrics, ...]:
        """One line for each host."""
        return tuple(
            HostMetrics(
                name,
                ratio(host.up_ns, host.up_ns + host.off_ns),
                host.failures,
                ratio(host.up_ns, host.failures),
                ratio(host.off_ns, host.repairs),
            )
            for name, host in self._hosts.items()
        )
