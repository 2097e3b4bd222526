"""Hosts that are kept for a job which was passed too often: small jobs do not keep a large one waiting for ever.

Owned by `placing.py`. With `order: fill` a job that fits goes before an earlier one that does not. When the earliest
job of a queue was passed `passed_max` times, a host that could take it is kept for it: it gets nothing else, until the
job fits there, or has gone elsewhere, or its wait is over, or the host takes no work. Resources of the cluster that it
needs are held back for it as well. Each queue (that of all hosts, and each single host's) keeps one host at a time for
each superior.

Passed is a job by a later one of its own superior, and by one of another superior whose turn it was not (`sharing.py`).
With `order: strict` there is only the latter.
"""

from __future__ import annotations

from model.controller_job import ControllerJob
from model.host import Host
from model.matching import Line, WaitingJobs, anything
from model.shapes import Shape, Shapes


class Reserving:
    """Who was passed, and which host is kept for whom."""

    def __init__(self, hosts: dict[str, Host], shapes: Shapes, passed_max: int, strict: bool) -> None:
        self.kept: dict[str, ControllerJob] = {}
        """by host"""
        self._hosts = hosts
        self._shapes = shapes
        self._passed_max = passed_max
        self._strict = strict

    def host_of(self, job: ControllerJob) -> str | None:
        """The host that is kept for the job."""
        return next((name for name, kept in self.kept.items() if kept is job), None)

    def passed(self, queue: WaitingJobs, given: ControllerJob, only: Host | None, now: int) -> list[Host]:
        """A job was given, and its superior is not charged yet; the earliest of each line in the queue may have been
        passed. The hosts that are kept for them from now on. `only`: the queue is that of this host."""
        if not self._passed_max:
            return []
        kept: list[Host] = []
        for line in queue.lines():
            found = self._passed_in(line, given, only, now)
            if found is not None:
                kept.append(found)
        return kept

    def _passed_in(self, line: Line, given: ControllerJob, only: Host | None, now: int) -> Host | None:
        superior = line.superior
        if superior is not given.superior and (superior.is_full or superior.rank > given.superior.rank):
            return None
        if self._strict:
            job = line.first(anything)
        else:
            job = line.first(_hopeful if only is None else lambda shape: shape.could(only))
        if job is None or job.kept or job.shape.hopeless:
            return None
        if (job.key > given.key and superior is given.superior) or not line.passes(job, self._passed_max):
            return None
        found = self._choose(job, now) if only is None else only
        if found is None or found.name in self.kept or not found.takes_work(now):
            return None
        self.kept[found.name] = job
        job.kept = True
        for name, _ in job.shape.shared:
            self._shapes.held_back[name] = job.shape if only is None else None
        return found

    def _choose(self, job: ControllerJob, now: int) -> Host | None:
        """Of the hosts that take work and could take it, the one with the most free slots: one look at all hosts in
        every `passed_max` gifts."""
        shape = job.shape
        if not job.anywhere:
            wanted = self._hosts.get(job.spec.host.name or "")
            return wanted if wanted is not None and shape.could(wanted) and wanted.takes_work(now) else None
        best: Host | None = None
        hopeless = True
        for host in self._hosts.values():
            if host.name not in self.kept and shape.could(host):
                hopeless = False
                if (best is None or host.free > best.free) and host.takes_work(now):
                    best = host
        shape.hopeless = hopeless and not self.kept
        return best

    def fits(self, name: str) -> bool:
        """Whether the job that this host is kept for can go there now."""
        shape, host = self.kept[name].shape, self._hosts[name]
        return shape.fits(host) and self._shapes.shared.has(shape.shared)

    def release(self, job: ControllerJob) -> Host | None:
        """The job needs its host no longer: the host is for all again."""
        name = self.host_of(job)
        if name is None:
            return None
        del self.kept[name]
        job.kept = False
        held = self._shapes.held_back
        held.clear()
        for other in self.kept.values():
            for resource, _ in other.shape.shared:
                held[resource] = None if other.spec.host.required else other.shape
        return self._hosts.get(name)


def _hopeful(shape: Shape) -> bool:
    return not shape.hopeless
