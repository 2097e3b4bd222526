"""Queued jobs and hosts with room, in indexes: nothing that scans all jobs or all hosts for each job.

Jobs are kept by their shape (what they need of a host). Cost for each job: a heap operation (O(log n) in the jobs of
one shape in one queue), a bucket operation (O(log s) in the number of different free slot counts), and a look at the
first job of each shape that waits. Which shapes there are, and which hosts fit them, is in `shapes.py`. The order among
jobs of one superior is that of their numbers: whoever comes first is served first. Each superior stands in a line of
its own; which line is next is decided in `sharing.py`, and costs O(s log s) in the number s of superiors that wait.
"""

from __future__ import annotations

from bisect import bisect_left, insort
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


class Line:
    """Jobs of one superior in one queue, in the order of their numbers, by shape."""

    __slots__ = ("_limits", "_passed", "_passed_key", "heaps", "superior")

    def __init__(self, superior: Superior) -> None:
        self.superior = superior
        self.heaps: dict[Shape, list[tuple[AttemptKey, ControllerJob]]] = {}
        """by shape: the jobs here, and some that have left meanwhile"""
        self._limits: dict[Shape, int] = {}
        """length of a heap at which the dead are thrown out"""
        self._passed_key: AttemptKey | None = None
        self._passed = 0

    def add(self, job: ControllerJob) -> None:
        """Put a job in, O(log n)."""
        shape = job.shape
        heap = self.heaps.get(shape)
        if heap is None:
            heap = self.heaps[shape] = []
        heappush(heap, (job.key, job))
        if len(heap) > self._limits.get(shape, DEAD_KEPT):
            heap[:] = [item for item in heap if item[1].queued]
            heapify(heap)
            self._limits[shape] = 2 * len(heap) + DEAD_KEPT

    def first(self, able: Callable[[Shape], bool]) -> ControllerJob | None:
        """The earliest job whose shape is able, left in place: O(k) in the number k of shapes that wait here."""
        best: tuple[AttemptKey, ControllerJob] | None = None
        empty: list[Shape] | None = None
        for shape, heap in self.heaps.items():
            while heap and not heap[0][1].queued:
                heappop(heap)
            if not heap:
                empty = [shape] if empty is None else [*empty, shape]
            elif (best is None or heap[0][0] < best[0]) and able(shape):
                best = heap[0]
        if empty is not None:
            for shape in empty:
                del self.heaps[shape]
                self._limits.pop(shape, None)
        return None if best is None else best[1]

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
        return [item for heap in self.heaps.values() for item in heap if item[1].queued]


class WaitingJobs:
    """One queue: a line for each superior that has jobs in it. A job may stand in several queues; it is taken from all
    of them by `queued = False`."""

    __slots__ = ("_lines",)

    def __init__(self) -> None:
        self._lines: dict[int, Line] = {}
        """by the superior's number"""

    def add(self, job: ControllerJob) -> None:
        """Put a job in, O(log n)."""
        line = self._lines.get(job.superior.number)
        if line is None:
            line = self._lines[job.superior.number] = Line(job.superior)
        line.add(job)

    def lines(self) -> Collection[Line]:
        """All of them, the one that is to be served next first."""
        lines = self._lines
        return lines.values() if len(lines) < 2 else self._sorted()

    def _sorted(self) -> list[Line]:
        for line in list(self._lines.values()):
            if not line.heaps:
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

    def first_of(self, superior: Superior) -> ControllerJob | None:
        """The earliest job of this superior, whatever it needs."""
        line = self._lines.get(superior.number)
        return None if line is None else line.first(anything)

    def note_full(self, host: str) -> None:
        """This host's own queue was served, and superiors that are full got nothing from it."""
        for line in self._lines.values():
            if line.superior.is_full and line.heaps:
                line.superior.behind[host] = None

    @property
    def has_choice(self) -> bool:
        """Whether jobs of several shapes or superiors wait, so that one may pass another."""
        if len(self._lines) > 1:
            return True
        for line in self._lines.values():
            return len(line.heaps) > 1
        return False

    @property
    def is_sharing(self) -> bool:
        """Whether some job here needs what the cluster shares."""
        return any(shape.shared for line in self._lines.values() for shape in line.heaps)

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

    __slots__ = ("_buckets", "_counts", "_free")

    def __init__(self) -> None:
        self._buckets: dict[int, dict[str, None]] = {}
        self._counts: list[int] = []
        self._free: dict[str, int] = {}

    def set(self, host: str, free: int) -> None:
        """`host` has `free` slots for work now; 0 or less: it takes none."""
        old = self._free.get(host, 0)
        if old == free:
            return
        if old > 0:
            self._remove(host, old)
        if free <= 0:
            self._free.pop(host, None)
            return
        self._free[host] = free
        bucket = self._buckets.get(free)
        if bucket is None:
            bucket = self._buckets[free] = {}
            insort(self._counts, free)
        bucket[host] = None

    def _remove(self, host: str, free: int) -> None:
        bucket = self._buckets[free]
        del bucket[host]
        if not bucket:
            del self._buckets[free]
            del self._counts[bisect_left(self._counts, free)]

    def most(self) -> int:
        """The largest number of free slots on one host."""
        return self._counts[-1] if self._counts else 0

    def freest(self) -> str:
        """A host with `most()` free slots: of those the one that has been so for longest. Only if there is one."""
        return next(iter(self._buckets[self._counts[-1]]))

    def fullest(self, slots: int) -> str:
        """A host with the fewest free slots that are enough. Only if there is one (`most() >= slots`)."""
        return next(iter(self._buckets[self._counts[bisect_left(self._counts, slots)]]))

    def free(self, host: str) -> int:
        """Free slots of a host that takes work, else 0."""
        return self._free.get(host, 0)

    def names(self) -> list[str]:
        """All of them: for a new shape, never for each job."""
        return list(self._free)
