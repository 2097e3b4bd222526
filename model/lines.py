"""Lines of jobs that wait for an executor: in each those that need the same of a host, in the order of their numbers.

An executor has the first ones of each line, so it can choose as if it had them all; the others stand here. Belongs
here: the order in one line, and its counts. Who is given out when is decided in `assigning.py`. A line knows numbers
only: jobs refer to their lines, and are not looked at by the garbage collector.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterator
from heapq import heapify, heappop, heappush

from model.downlink import Downlink
from model.job import NO_JOB, JobId
from model.notices import Hearing

CONTROLLER = "controller"
"""Name of the executor that has the hosts."""
SOON, LONG = 1, 2
"""How a job stands in its line: it is given out as soon as its executor takes anything; or it has to wait for others,
so it is kept small, and its pending timeout is watched here."""
DEAD_KEPT = 128
"""Numbers of jobs that left a line by another way stay in it until they surface, or until there are so many."""


class Executor:
    """An executor as the scheduler uses it: its link, and how many jobs wait for it."""

    __slots__ = ("away_since_ns", "barred", "hearing", "link", "name", "overdue", "standing", "waiting")

    def __init__(self, name: str, link: Downlink, now: int) -> None:
        self.name = name
        self.link = link
        self.barred: dict[JobId, None] = {}
        """jobs whose earlier attempt is still being ended there"""
        self.overdue: dict[JobId, None] = {}
        """jobs in its lines that have waited for too long, while it could get nothing"""
        self.standing = 0
        """jobs in its lines"""
        self.waiting = 0
        """jobs that it has and of which none is known to run"""
        self.away_since_ns: int | None = now
        """since when nothing can be assigned; None: something can"""
        self.hearing = Hearing()


class Line:
    """Jobs that need the same of the same executor. `is_here`, where it is asked for: whether a job still stands in its
    line."""

    __slots__ = ("_again", "_fresh", "_limit", "executor", "farthest", "running", "standing", "waiting")

    def __init__(self, executor: Executor) -> None:
        self.executor = executor
        self.standing = 0
        """jobs that stand here"""
        self.waiting = 0
        """jobs that the executor has, and that are not known to run"""
        self.running = 0
        self.farthest = NO_JOB
        """the largest number that was ever given out: a smaller one has its turn before all that stand here"""
        self._fresh: deque[JobId] = deque()
        """those that came in the order of their numbers, and some that have left meanwhile"""
        self._again: list[JobId] = []
        """a heap of those that came after a larger one"""
        self._limit = DEAD_KEPT
        """length at which the dead are thrown out"""

    @property
    def is_idle(self) -> bool:
        """Nobody stands here, waits at the executor, or runs."""
        return not (self.standing or self.waiting or self.running)

    def join(self, number: JobId, is_here: Callable[[JobId], bool]) -> None:
        """It stands here from now on: O(1), for one that comes late O(log n)."""
        fresh = self._fresh
        if not fresh or fresh[-1] < number:
            fresh.append(number)
        else:
            heappush(self._again, number)
        self.standing += 1
        if len(fresh) + len(self._again) > self._limit:
            self._throw_out(is_here)

    def _throw_out(self, is_here: Callable[[JobId], bool]) -> None:
        """The dead leave; of a line that has only grown there are none, and nobody is looked at."""
        if len(self._fresh) + len(self._again) > self.standing:
            self._fresh = deque([each for each in self._fresh if is_here(each)])
            self._again = [each for each in self._again if is_here(each)]
            heapify(self._again)
        self._limit = 2 * (len(self._fresh) + len(self._again)) + DEAD_KEPT

    def take_first(self, is_here: Callable[[JobId], bool], beyond: bool) -> JobId | None:
        """The smallest number, which does not stand here any more. None: it stays, for it is larger than all that were
        given out, and it is not to go `beyond`. Only while somebody stands here."""
        fresh, again = self._fresh, self._again
        while fresh and not is_here(fresh[0]):
            fresh.popleft()
        while again and not is_here(again[0]):
            heappop(again)
        is_fresh = not again or (fresh and fresh[0] <= again[0])
        number = fresh[0] if is_fresh else again[0]
        if not beyond and number > self.farthest:
            return None
        return fresh.popleft() if is_fresh else heappop(again)

    def numbers(self, is_here: Callable[[JobId], bool]) -> Iterator[JobId]:
        """All that stand here, in no order; one that has left and come again perhaps twice."""
        for number in (*self._fresh, *self._again):
            if is_here(number):
                yield number

    def before(self, number: JobId) -> int:
        """How many stand before this one; of those that have left some may be counted."""
        return bisect_left(self._fresh, number) + sum(each < number for each in self._again)
