"""Which queued job goes to which host: indexes, and nothing that scans all jobs or all hosts.

Cost for each job: a heap operation (O(log n) in the jobs of one queue) and a bucket operation (O(log s) in the number
of different slot counts). The order among jobs is that of their numbers, whoever comes first is served first.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from heapq import heapify, heappop, heappush
from typing import Protocol

from model.job import AttemptKey

DEAD_KEPT = 128
"""Entries of jobs that left a queue by another way stay in it until they surface, or until there are so many."""


class Waiting(Protocol):
    """A job in a queue. It may stand in several queues; it is taken from all of them by `queued = False`."""

    key: AttemptKey
    queued: bool
    slots: int


class WaitingJobs:
    """Jobs in the order of their numbers, by the number of slots that they need.

    `first(free)` is the earliest job that needs at most `free` slots: O(k) in the number k of different slot needs.
    """

    __slots__ = ("_heaps", "_limits")

    def __init__(self) -> None:
        self._heaps: dict[int, list[tuple[AttemptKey, Waiting]]] = {}
        self._limits: dict[int, int] = {}
        """length of a heap at which the dead are thrown out"""

    def add(self, job: Waiting) -> None:
        """Put a job in, O(log n)."""
        slots = job.slots
        heap = self._heaps.get(slots)
        if heap is None:
            heap = self._heaps[slots] = []
        heappush(heap, (job.key, job))
        if len(heap) > self._limits.get(slots, DEAD_KEPT):
            heap[:] = [item for item in heap if item[1].queued]
            heapify(heap)
            self._limits[slots] = 2 * len(heap) + DEAD_KEPT

    def first(self, free: int) -> Waiting | None:
        """The earliest job that fits into `free` slots, left in place."""
        best: tuple[AttemptKey, Waiting] | None = None
        for slots in list(self._heaps):
            heap = self._heaps[slots]
            while heap and not heap[0][1].queued:
                heappop(heap)
            if not heap:
                del self._heaps[slots]
            elif slots <= free and (best is None or heap[0][0] < best[0]):
                best = heap[0]
        return None if best is None else best[1]

    def all(self) -> list[Waiting]:
        """Every job that still waits here, in order: for changes of a host, never for each job."""
        found = [item for heap in self._heaps.values() for item in heap if item[1].queued]
        found.sort(key=lambda item: item[0])
        return [job for _, job in found]


class FreeHosts:
    """Hosts that take work, by the number of their free slots. The freest host is chosen first (jobs spread)."""

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

    def free(self, host: str) -> int:
        """Free slots of a host that takes work, else 0."""
        return self._free.get(host, 0)
