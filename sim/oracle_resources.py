"""The oracle's part for what jobs need beside slots: reads the event log, and nothing else, like `oracle.py`.

At every instant the processes that live on a host take no more of a resource than the host was declared to have, and
all together no more than the cluster shares; no two of them have the same GPU; a host has the labels that its jobs ask
for, and is none that they avoid. What lives on where its whole machine stood still past its lease is not counted: its
host could not end it. `declare` writes the lines from which all this is judged.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from model.configuration import ClusterDefinition
from model.job import AttemptKey
from model.records import AttemptGiven
from model.resources import GPUS, Amounts, Needs
from sim.log import Committed, Declared, EventLog, FaultChanged, ProcessEnded, ProcessStarted

Broken = Callable[[str, str], None]


def declare(log: EventLog, t: int, cluster: ClusterDefinition, old: ClusterDefinition | None = None) -> None:
    """Say what the cluster and its hosts have beside slots; where nothing is declared there is no line. `old`: only
    what differs from this."""
    if old is None and cluster.resources:
        log.add(Declared(t, "", cluster.resources))
    before = {} if old is None else {host.name: (host.resources, host.labels) for host in old.hosts}
    for host in cluster.hosts:
        if (host.resources, host.labels) != before.get(host.name, ((), ())):
            log.add(Declared(t, host.name, host.resources, host.labels))


class ResourceOracle:
    """Takes the lines that `table` names; complains by `broken(promise, sentence)`."""

    def __init__(self, broken: Broken) -> None:
        self._broken = broken
        self._shared: dict[str, int] = {}
        self._total: dict[str, dict[str, int]] = {}
        self._labels: dict[str, tuple[str, ...]] = {}
        self._needs: dict[AttemptKey, Needs] = {}
        """of what was given and has not begun"""
        self._alive: dict[AttemptKey, tuple[str, Needs]] = {}
        """processes that need something, with their host"""
        self._used: dict[tuple[str, str], int] = {}
        """(host or nothing, resource) -> what its processes take"""
        self.table: dict[type, Callable[[Any], None]] = {
            Declared: self._declared,
            Committed: self._committed,
            ProcessStarted: self._started,
            ProcessEnded: self._ended,
            FaultChanged: self._fault,
        }

    def _declared(self, line: Declared) -> None:
        if not line.node:
            self._shared = dict(line.resources)
            return
        self._total[line.node] = dict(line.resources)
        self._labels[line.node] = line.labels

    def _committed(self, line: Committed) -> None:
        record = line.record
        if type(record) is not AttemptGiven or record.spec.needs is None:
            return
        needs = record.spec.needs
        self._needs[record.job, record.attempt] = needs
        lacks = [label for label in needs.labels if label not in self._labels.get(record.host, ())]
        if lacks or record.host in needs.avoid:
            why = f"which has no label {lacks[0]}" if lacks else "which it avoids"
            self._broken("needs", f"attempt {(record.job, record.attempt)} was given to {record.host}, {why}")

    def _started(self, line: ProcessStarted) -> None:
        key = (line.job, line.attempt)
        needs = self._needs.pop(key, None)
        if needs is None:
            return
        for other, (host, their) in self._alive.items():
            both = [gpu for gpu in needs.gpus if gpu in their.gpus]
            if host == line.node and both:
                self._broken("needs", f"attempts {key} and {other} have GPU {both[0]} of {host} at once")
        self._alive[key] = (line.node, needs)
        self._add(line.node, needs.resources, 1)
        for name, amount in needs.resources:
            shared = name in self._shared
            host, most = (
                ("", self._shared[name]) if shared else (line.node, self._total.get(line.node, {}).get(name, 0))
            )
            used = self._used[host, name]
            if used > most:
                where = "of the cluster" if shared else f"on {host}"
                self._broken(
                    "needs", f"attempt {key} takes {amount} {name} {where}: {used} are in use, there are {most}"
                )
            if name == GPUS and len(needs.gpus) != amount:
                self._broken("needs", f"attempt {key} needs {amount} GPUs and was given {list(needs.gpus)}")

    def _ended(self, line: ProcessEnded) -> None:
        found = self._alive.pop((line.job, line.attempt), None)
        if found is not None:
            self._add(found[0], found[1].resources, -1)

    def _add(self, host: str, resources: Amounts, sign: int) -> None:
        for name, amount in resources:
            place = ("" if name in self._shared else host, name)
            self._used[place] = self._used.get(place, 0) + sign * amount

    def _fault(self, line: FaultChanged) -> None:
        """What stood still with its whole machine does not count any more."""
        if line.kind != "suspended" or not line.on:
            return
        for key, (host, needs) in list(self._alive.items()):
            if host in line.nodes:
                del self._alive[key]
                self._add(host, needs.resources, -1)
