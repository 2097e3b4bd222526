"""Queued jobs and hosts with room, in indexes: nothing that scans all jobs or all hosts for each job.

Jobs are kept by their shape (what they need of a host). Cost for each job: O(1) (O(log n) in the jobs of one
shape in one queue for one that comes late), a bucket operation (O(log s) in the number of different free slot counts),
and a look at the first job of each shape that waits. Which shapes there are, and which hosts fit them, is in
`shapes.py`. The order among jobs of one superior is that of their numbers: whoever comes first is served first. Each
superior stands in a line of its own; which line is next is decided in `sharing.py`, and costs O(s log s) in the number
s of superiors that wait.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Collection
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

from model.job import AttemptKey

if TYPE_CHECKING:
    from model.controller_job import ControllerJob
    from model.shapes import Shape
    from model.superiors import Superior

DEAD_KEPT = 128
"""Entries of jobs that left a queue by another way stay in it until they surface, or until there are so many."""
EMPTY_KEPT = 16
"""So many different numbers of free slots that no host has now are not forgotten: with the next job one has it."""
HOLES_KEPT = 64
"""Places of hosts that have left an index: whoever goes through it passes over them, until there are more than that and
than twice the hosts."""


class Waiting:
    """Jobs of one shape in a line, and some that have left meanwhile: those that came in the order of their numbers,
    and in a heap those that came after a larger one."""

    __slots__ = ("_again", "_fresh", "_last", "_limit")

    def __init__(self) -> None:
        self._fresh: deque[ControllerJob] = deque()
        self._again: list[tuple[AttemptKey, ControllerJob]] = []
        self._last: AttemptKey | None = None
        """the number of the last fresh one"""
        self._limit = DEAD_KEPT
        """length at which the dead are thrown out"""

    def add(self, job: ControllerJob) -> None:
        """Put a job in: O(1), for one that came late O(log n)."""
        fresh = self._fresh
        if self._last is None or self._last < job.key:
            fresh.append(job)
            self._last = job.key
        else:
            heappush(self._again, (job.key, job))
        if len(fresh) + len(self._again) > self._limit:
            self._fresh = deque([each for each in fresh if each.queued])
            self._again = [item for item in self._again if item[1].queued]
            heapify(self._again)
            self._limit = 2 * (len(self._fresh) + len(self._again)) + DEAD_KEPT

    def first(self) -> ControllerJob | None:
        """The earliest one, left in place."""
        fresh, again = self._fresh, self._again
        while fresh and not fresh[0].queued:
            fresh.popleft()
        if not again:
            return fresh[0] if fresh else None
        while again and not again[0][1].queued:
            heappop(again)
        if not again or (fresh and fresh[0].key <= again[0][0]):
            return fresh[0] if fresh else None
        return again[0][1]

    def all(self) -> list[tuple[AttemptKey, ControllerJob]]:
        """Every job that still waits, in no order."""
        fresh = [(job.key, job) for job in self._fresh if job.queued]
        return fresh + [item for item in self._again if item[1].queued]


class Line:
    """Jobs of one superior in one queue, in the order of their numbers, by shape."""

    __slots__ = ("_passed", "_passed_key", "superior", "waiting")

    def __init__(self, superior: Superior) -> None:
        self.superior = superior
        self.waiting: dict[Shape, Waiting] = {}
        """by shape: the jobs here, and some that have left meanwhile"""
        self._passed_key: AttemptKey | None = None
        self._passed = 0

    def first(self, able: Callable[[Shape], bool]) -> ControllerJob | None:
        """The earliest job whose shape is able, left in place: O(k) in the number k of shapes that wait here."""
        best: ControllerJob | None = None
        empty: list[Shape] | None = None
        for shape, waiting in self.waiting.items():
            job = waiting.first()
            if job is None:
                empty = [shape] if empty is None else [*empty, shape]
            elif (best is None or job.key < best.key) and able(shape):
                best = job
        if empty is not None:
            for shape in empty:
                del self.waiting[shape]
        return best

    def next(self, able: Callable[[Shape], bool]) -> ControllerJob | None:
        """The same, jobs aside for which a host is kept: they wait for that one."""
        best: ControllerJob | None = None
        for shape, waiting in self.waiting.items():
            job = waiting.first()
            if job is not None and not job.kept and (best is None or job.key < best.key) and able(shape):
                best = job
        return best

    def passes(self, job: ControllerJob, most: int) -> bool:
        """A later one goes before this job, the earliest here; whether that was so `most` times in a row."""
        if job.key != self._passed_key:
            self._passed_key, self._passed = job.key, 0
        self._passed += 1
        if self._passed < most:
            return False
        self._passed = 0
        return True

    def all(self) -> list[tuple[AttemptKey, ControllerJob]]:
        """Every job that still waits here, in no order."""
        return [item for waiting in self.waiting.values() for item in waiting.all()]


class WaitingJobs:
    """One queue: a line for each superior that has jobs in it. A job may stand in several queues; it is taken from all
    of them by `queued = False`."""

    __slots__ = ("_lines",)

    def __init__(self) -> None:
        self._lines: dict[int, Line] = {}
        """by the superior's number"""

    def add(self, job: ControllerJob) -> None:
        """Put a job in, O(log n) or less."""
        line = self._lines.get(job.superior.number)
        if line is None:
            line = self._lines[job.superior.number] = Line(job.superior)
        waiting = line.waiting.get(job.shape)
        if waiting is None:
            waiting = line.waiting[job.shape] = Waiting()
        waiting.add(job)

    def lines(self) -> Collection[Line]:
        """All of them, the one that is to be served next first."""
        lines = self._lines
        return lines.values() if len(lines) < 2 else self._sorted()

    def _sorted(self) -> list[Line]:
        for line in list(self._lines.values()):
            if not line.waiting:
                del self._lines[line.superior.number]
        return sorted(self._lines.values(), key=_rank)

    def first(self, able: Callable[[Shape], bool]) -> ControllerJob | None:
        """The job that is next of those whose shape is able and whose superior may have one more at hosts, left in
        place."""
        lines = self._lines
        for line in lines.values() if len(lines) < 2 else self._sorted():
            if not line.superior.is_full:
                job = line.first(able)
                if job is not None:
                    return job
        return None

    def alike(self) -> tuple[Superior, Shape, Waiting] | None:
        """Whose jobs wait here, what they need, and the jobs, if they are all of one superior and one shape."""
        if len(self._lines) == 1:
            (line,) = self._lines.values()
            if len(line.waiting) == 1:
                ((shape, waiting),) = line.waiting.items()
                return line.superior, shape, waiting
        return None

    def next(self, able: Callable[[Shape], bool]) -> ControllerJob | None:
        """The same, jobs aside for which a host is kept."""
        for line in self.lines():
            if not line.superior.is_full:
                job = line.next(able)
                if job is not None:
                    return job
        return None

    def first_of(self, superior: Superior) -> ControllerJob | None:
        """The earliest job of this superior, whatever it needs."""
        line = self._lines.get(superior.number)
        return None if line is None else line.first(anything)

    def note_full(self, host: str) -> None:
        """This host's own queue was served, and superiors that are full got nothing from it."""
        for line in self._lines.values():
            if line.superior.is_full and line.waiting:
                line.superior.behind[host] = None

    @property
    def has_choice(self) -> bool:
        """Whether jobs of several shapes or superiors wait, so that one may pass another."""
        if len(self._lines) > 1:
            return True
        for line in self._lines.values():
            return len(line.waiting) > 1
        return False

    @property
    def is_sharing(self) -> bool:
        """Whether some job here needs what the cluster shares."""
        return any(shape.shared for line in self._lines.values() for shape in line.waiting)

    def all(self) -> list[ControllerJob]:
        """Every job that still waits here, in the order of their numbers: for changes of a host, never for each job."""
        found = [item for line in self._lines.values() for item in line.all()]
        found.sort(key=lambda item: item[0])
        return [job for _, job in found]


def anything(_: Shape) -> bool:
    """Whatever a job needs."""
    return True


def is_before(one: ControllerJob, other: ControllerJob) -> bool:
    """Whether `one` is to be served before `other`."""
    if one.superior is other.superior:
        return one.key <= other.key
    return one.superior.rank < other.superior.rank


def _rank(line: Line) -> tuple[int, int]:
    return line.superior.rank


class FreeHosts:
    """Hosts that take work, by the number of their free slots."""

    __slots__ = ("_buckets", "_counts", "_free", "_holes", "most")

    def __init__(self) -> None:
        self.most = 0
        """the largest number of free slots on one host"""
        self._buckets: dict[int, dict[str, None]] = {}
        """by free slots; an empty one is thrown out when it is come across, if there are more than a few"""
        self._counts: list[int] = []
        """of the buckets, in order"""
        self._free: dict[str, int] = {}
        self._holes = 0
        """places in it of those that have left"""

    def set(self, host: str, free: int) -> None:
        """`host` has `free` slots for work now; 0 or less: it takes none."""
        old = self._free.get(host, 0)
        if old == free:
            return
        buckets = self._buckets
        if free > 0:
            self._free[host] = free
            same = buckets.get(free)
            if same is None:
                same = buckets[free] = {}
                insort(self._counts, free)
            same[host] = None
            if free > self.most:
                self.most = free
        else:
            self._free.pop(host, None)
            self._holes += 1
            if self._holes > HOLES_KEPT and self._holes > 2 * len(self._free):
                self._free = dict(self._free)
                self._holes = 0
        if old > 0:
            bucket = buckets[old]
            del bucket[host]
            if not bucket:
                bucket.clear()  # else the places of those that have left stand before the first one for ever
                if old != self.most:
                    return
                if free == old - 1:
                    self.most = free  # there is no number between them
                else:
                    self._look()

    def _look(self) -> None:
        """Find the largest number of free slots, where no host has as many as before."""
        counts, buckets = self._counts, self._buckets
        while len(counts) > EMPTY_KEPT and not buckets[counts[-1]]:
            del buckets[counts.pop()]
        for count in reversed(counts):
            if buckets[count]:
                self.most = count
                return
        self.most = 0

    def freest(self) -> str:
        """A host with `most` free slots: of those the one that has been so for longest. Only if there is one."""
        return next(iter(self._buckets[self.most]))

    def fullest(self, slots: int) -> str:
        """A host with the fewest free slots that are enough. Only if there is one (`most >= slots`)."""
        counts, buckets = self._counts, self._buckets
        at = bisect_left(counts, slots)
        while not buckets[counts[at]]:
            del buckets[counts.pop(at)]
        return next(iter(buckets[counts[at]]))

    def free(self, host: str) -> int:
        """Free slots of a host that takes work, else 0."""
        return self._free.get(host, 0)

    @property
    def has_several(self) -> bool:
        """Whether more than one takes work."""
        return len(self._free) > 1

    def those_of(self, hosts: list[str]) -> list[str]:
        """Those of them that take work, in their order, as often as they are named."""
        free = self._free
        return [host for host in hosts if host in free]

    def names(self) -> list[str]:
        """All of them: for a new shape, or where they are few, never for each job."""
        return list(self._free)
