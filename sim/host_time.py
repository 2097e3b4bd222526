"""What the hosts of a run were there for: slots over time, power, and how faults were found and got over.

A part of `sim/measuring.py`, which tells it of sizes, faults and the length of the queue.
"""

from __future__ import annotations

from array import array
from collections import Counter

from msgspec import Struct

from sim.host_states import HostStates
from sim.log import FaultChanged
from sim.metrics import HostMetrics, ratio

BACK_PER_CENT = 110
"""The queue is as before a fault when no more jobs wait than so much of those that waited then."""


class _Power(Struct):
    """One host within the window."""

    slots: int
    since: int = 0
    """of the last change of it"""
    up_ns: int = 0
    off_ns: int = 0
    failures: int = 0
    repairs: int = 0


class HostTime:
    """All hosts of the controller. Nothing is counted before the window is open."""

    def __init__(self, warm_up_ns: int = 0) -> None:
        """`warm_up_ns`: what becomes known, or is over, before is not counted."""
        self._warm_up_ns = warm_up_ns
        self.nominal = 0
        """slots x ns"""
        self.up = 0
        """slots x ns of hosts with power"""
        self.all_up = 0
        """ns in which every host had power"""
        self.hosts_up: Counter[int] = Counter()
        """ns with exactly so many hosts that had power"""
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
        self._levels: dict[tuple[str, tuple[str, ...]], int] = {}
        """jobs that waited when the fault of this kind began there"""
        self._states = HostStates()

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
            self._hosts_off += not self._states.has_power(name)
        self._slots += slots - host.slots
        if self._states.has_power(name):
            self._slots_up += slots - host.slots
        host.slots = slots

    def _pass(self, now: int) -> None:
        if self._begin is None or now <= self._at:
            return
        passed, self._at = now - self._at, now
        self.nominal += self._slots * passed
        self.up += self._slots_up * passed
        self.hosts_up[len(self._hosts) - self._hosts_off] += passed
        if not self._hosts_off:
            self.all_up += passed
        if not self._states.controller_runs:
            self.controller_away += passed

    # faults

    def fault(self, line: FaultChanged, pending: int) -> None:
        """A fault begins or ends, while so many jobs wait."""
        now, key = line.t, (line.kind, line.nodes)
        self._pass(now)
        change = self._states.fault(line)
        host = self._hosts.get(change.host)
        if host is not None and change.power is not None:
            self._power(host, change.power, now)
        if host is not None and change.answers is not None:
            self._answers(change.host, change.answers, now)
        if line.on:
            self._levels[key] = pending
        else:
            self.recovering.append((now, self._levels.pop(key, pending) * BACK_PER_CENT // 100))
            self.pending_is(pending, now)

    def _power(self, host: _Power, on: bool, now: int) -> None:
        counts = self._begin is not None and now >= self._begin
        self._settle(host, now, was_off=on)
        if on:
            self._hosts_off -= 1
            self._slots_up += host.slots
            host.repairs += counts
        else:
            self._hosts_off += 1
            self._slots_up -= host.slots
            host.failures += counts

    def _settle(self, host: _Power, now: int, *, was_off: bool) -> None:
        """Count the time since the last change."""
        if self._begin is None or now <= host.since:
            return
        passed, host.since = now - host.since, now
        if was_off:
            host.off_ns += passed
        else:
            host.up_ns += passed

    def _answers(self, name: str, again: bool, now: int) -> None:
        if not again:
            self._unseen[name] = now
        elif self._unseen.pop(name, None) is not None:
            self.undetected += now >= self._warm_up_ns

    def known_away(self, name: str, now: int) -> None:
        """The controller says that a host is down or silent."""
        since = self._unseen.pop(name, None)
        if since is not None and now >= self._warm_up_ns:
            self.detections.append(now - since)

    def pending_is(self, pending: int, now: int) -> None:
        """So many jobs wait."""
        left = []
        for ended, most in self.recovering:
            if pending <= most:
                if now >= self._warm_up_ns:
                    self.recoveries.append(now - ended)
            else:
                left.append((ended, most))
        self.recovering = left

    # the end

    def close(self, now: int) -> None:
        """The window is over."""
        self._pass(now)
        for name, host in self._hosts.items():
            self._settle(host, now, was_off=not self._states.has_power(name))

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
