"""Deadlines, for the machines: by key, to set, move, cancel and take, each O(log n) (`Timers`); and of many things that
are all given the same time and seldom use it up, O(1) and without an object for each (`Deadlines`)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from heapq import heapify, heappop, heappush, heapreplace
from typing import Generic, TypeVar

Key = TypeVar("Key")
Item = TypeVar("Item")

NEVER_NS = 1 << 62
"""The deadline of nothing: later than any time."""
QUEUES_MAX = 1000
"""Different durations that have a queue of their own in `Deadlines`."""
HEAP_KEPT = 64
"""So many entries of `Timers` are never looked through for dead ones."""
DEAD_KEPT = 128
"""So many that do not wait any more may stand in the queues of `Deadlines`, and as many as still wait."""


class Timers(Generic[Key]):
    """A heap of (due, order, key); equal dues come out in the order in which they were set.

    A cancelled or moved entry stays in the heap until it surfaces, or until the heap is twice as long as what counted
    in it when it was looked through last.
    """

    __slots__ = ("_due", "_heap", "_limit", "_order", "first")

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Key]] = []
        self._due: dict[Key, tuple[int, int, Key]] = {}
        """the entry of the heap that counts, for each key"""
        self._order = 0
        self._limit = HEAP_KEPT
        """length of the heap at which it is looked for what is dead"""
        self.first = NEVER_NS
        """nothing is due before (ns); `NEVER_NS`: nothing is set. It may be that of a deadline that was cancelled or
        moved since: then `take` is called once for nothing, and finds the next one. (So a machine, which looks at all
        its timers in each turn, looks at an attribute of each, and cancelling searches nothing: 15 % of a simulation.)
        """

    def __len__(self) -> int:
        return len(self._due)

    def set(self, key: Key, due_ns: int) -> None:
        """Set or move the deadline of `key`."""
        self._order = order = self._order + 1
        heap = self._heap
        self._due[key] = entry = (due_ns, order, key)
        heappush(heap, entry)
        if due_ns < self.first:
            self.first = due_ns
        if len(heap) > self._limit:
            self._throw_out()

    def _throw_out(self) -> None:
        heap, due = self._heap, self._due
        if len(heap) > 2 * len(due):
            heap[:] = due.values()
            heapify(heap)
        self._limit = max(HEAP_KEPT, 2 * len(due))

    def cancel(self, key: Key) -> None:
        """Forget the deadline of `key`; nothing happens if there is none."""
        due = self._due
        if due.pop(key, None) is not None and not due:
            self._heap.clear()
            self.first = NEVER_NS

    def at(self, key: Key) -> int | None:
        """The deadline of `key` in ns, if it has one."""
        entry = self._due.get(key)
        return None if entry is None else entry[0]

    def next_due(self) -> int | None:
        """The earliest deadline in ns, exactly."""
        self._look()
        return None if self.first == NEVER_NS else self.first

    def _look(self) -> None:
        heap, due = self._heap, self._due
        while heap:
            entry = heap[0]
            if due.get(entry[2]) is entry:
                self.first = entry[0]
                return
            heappop(heap)
        self.first = NEVER_NS

    def take(self, now: int) -> list[Key]:
        """Remove and return the keys whose deadline is not after `now`, earliest first."""
        taken: list[Key] = []
        if self.first > now:
            return taken
        heap, due = self._heap, self._due
        while heap and heap[0][0] <= now:
            entry = heappop(heap)
            key = entry[2]
            if due.get(key) is entry:
                del due[key]
                taken.append(key)
        self._look()
        return taken


class _Queue(Generic[Item]):
    """Items that were given the same time, in the order in which it ends. Never empty."""

    __slots__ = ("items", "last_ns")

    def __init__(self) -> None:
        self.items: deque[Item] = deque()
        self.last_ns = 0
        """when the last item is due"""


class Deadlines(Generic[Item]):
    """For each duration a queue: what begins its wait later ends it later. An item takes 8 bytes and no heap operation,
    against 190 bytes in `Timers`: a million jobs may wait.

    The items know their deadlines. Whoever has a smaller one than the item before it (it has waited elsewhere already)
    stands in `Timers` all the same.
    """

    __slots__ = ("_dead", "_due_of", "_fronts", "_others", "_queues", "_size", "first")

    def __init__(self, due_of: Callable[[Item], int | None]) -> None:
        """`due_of`: when an item that was set is due (ns), always the same; None: it does not wait any more."""
        self._due_of = due_of
        self._queues: dict[int, _Queue[Item]] = {}
        """by duration"""
        self._fronts: list[tuple[int, int]] = []
        """a heap of (when its first item is due, or was, duration), one for each queue"""
        self._others: Timers[Item] = Timers()
        self._size = 0
        self._dead = 0
        self.first = NEVER_NS
        """nothing is due before (ns), as of `Timers`"""

    def set(self, item: Item, duration_ns: int, due_ns: int) -> None:
        """The item waits until `due_ns` at most; `duration_ns` is what such items are given, or the part of it in which
        they differ."""
        if due_ns < self.first:
            self.first = due_ns
        queue = self._queues.get(duration_ns)
        if queue is None:
            if len(self._queues) >= QUEUES_MAX:
                self._others.set(item, due_ns)
                return
            queue = self._queues[duration_ns] = _Queue()
            heappush(self._fronts, (due_ns, duration_ns))
        elif due_ns < queue.last_ns:
            self._others.set(item, due_ns)
            return
        queue.items.append(item)
        queue.last_ns = due_ns
        self._size += 1

    def cancel(self, item: Item, duration_ns: int) -> None:
        """An item that was set with this duration does not wait any more, and says so itself by now."""
        if self._others.first != NEVER_NS:
            self._others.cancel(item)
        self._dead += 1
        if self._dead > DEAD_KEPT:
            self._drop_first(duration_ns)
            if 2 * self._dead > self._size:
                self._bury()

    def _drop_first(self, duration_ns: int) -> None:
        """Let those go that wait no more and stand before all that do: mostly that is all of them, and half a million
        jobs that are kept until they are half of all keep their specifications and reports."""
        queue, due_of = self._queues.get(duration_ns), self._due_of
        if queue is None or due_of(queue.items[0]) is not None:
            return
        items = queue.items
        before = len(items)
        while len(items) > 1 and due_of(items[0]) is None:
            items.popleft()
        self._size -= before - len(items)
        self._dead -= before - len(items)

    def _bury(self) -> None:
        self._dead = self._size = 0
        for duration, queue in list(self._queues.items()):
            queue.items = deque([item for item in queue.items if self._due_of(item) is not None])
            if not queue.items:
                del self._queues[duration]
            self._size += len(queue.items)
        self._fronts = [(due, duration) for due, duration in self._fronts if duration in self._queues]
        heapify(self._fronts)

    def next_due(self) -> int | None:
        """The earliest deadline in ns, exactly."""
        self._look()
        return None if self.first == NEVER_NS else self.first

    def _look(self) -> None:
        first, other = self._first(), self._others.next_due()
        known = [due for due in (first, other) if due is not None]
        self.first = min(known, default=NEVER_NS)

    def _first(self) -> int | None:
        """The earliest deadline in the queues."""
        fronts = self._fronts
        while fronts:
            noted, duration = fronts[0]
            items = self._queues[duration].items
            due = self._due_of(items[0])
            while due is None:
                items.popleft()
                self._size -= 1
                self._dead -= 1
                if not items:
                    break
                due = self._due_of(items[0])
            if due is None:
                heappop(fronts)
                del self._queues[duration]
            elif due == noted:
                return due
            else:
                heapreplace(fronts, (due, duration))
        return None

    def take(self, now: int) -> list[Item]:
        """Remove and return the items whose deadline is not after `now`, earliest first; of equal ones that of the
        shorter duration first, and those of one duration in the order in which they were set."""
        if self.first > now:
            return []
        found = [(self._due_of(item), item) for item in self._others.take(now)]
        while (due := self._first()) is not None and due <= now:
            duration = self._fronts[0][1]
            items = self._queues[duration].items
            found.append((due, items.popleft()))
            self._size -= 1
            if items:
                following = self._due_of(items[0])
                heapreplace(self._fronts, (due if following is None else following, duration))
            else:
                heappop(self._fronts)
                del self._queues[duration]
        self._look()
        found.sort(key=_due)
        return [item for _, item in found]


def _due(pair: tuple[int | None, object]) -> int:
    return pair[0] or 0
