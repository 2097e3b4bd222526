"""Deadlines by key, for the machines: set, move, cancel, and take what is due, each O(log n)."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import Generic, TypeVar

Key = TypeVar("Key")


class Timers(Generic[Key]):
    """A heap of (due, order, key); equal dues come out in the order in which they were set.

    A cancelled or moved entry stays in the heap until it surfaces or until more than half of the heap is dead.
    """

    __slots__ = ("_due", "_heap", "_order")

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Key]] = []
        self._due: dict[Key, tuple[int, int]] = {}
        self._order = 0

    def __len__(self) -> int:
        return len(self._due)

    def set(self, key: Key, due_ns: int) -> None:
        """Set or move the deadline of `key`."""
        self._order = order = self._order + 1
        self._due[key] = (due_ns, order)
        heappush(self._heap, (due_ns, order, key))
        if len(self._heap) > 64 and len(self._heap) > 2 * len(self._due):
            self._heap = [(due, number, name) for name, (due, number) in self._due.items()]
            heapify(self._heap)

    def cancel(self, key: Key) -> None:
        """Forget the deadline of `key`; nothing happens if there is none."""
        self._due.pop(key, None)

    def at(self, key: Key) -> int | None:
        """The deadline of `key` in ns, if it has one."""
        entry = self._due.get(key)
        return None if entry is None else entry[0]

    def next_due(self) -> int | None:
        """The earliest deadline in ns."""
        heap = self._heap
        if not heap:
            return None
        due = self._due
        while heap:
            first = heap[0]
            if due.get(first[2]) == first[:2]:
                return first[0]
            heappop(heap)
        return None

    def has_due(self, now: int) -> bool:
        """Whether some deadline is not after `now`: costs next to nothing when none is."""
        heap = self._heap
        if not heap or heap[0][0] > now:
            return False
        due = self.next_due()
        return due is not None and due <= now

    def take(self, now: int) -> list[Key]:
        """Remove and return the keys whose deadline is not after `now`, earliest first."""
        heap, due = self._heap, self._due
        taken: list[Key] = []
        while heap and heap[0][0] <= now:
            when, order, key = heappop(heap)
            if due.get(key) == (when, order):
                del due[key]
                taken.append(key)
        return taken
