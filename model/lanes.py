"""Lanes: which waiting attempts stand directly behind a running one, at its keeper, so that a slot is never idle.

The way from an end over the disk to the agent and back to a keeper takes longer than many a job. So where jobs are
brief, the next ones are sent ahead: the keeper starts each in the turn in which the one before it is gone, in the
slots of that one. Only tasks whose last run was brief are sent ahead, and only behind such; a head that runs long
after all gives those behind it back (`slow`). On a host with many slots somebody ends all the time, and nothing is
sent ahead. Owned by the agent, which says who stands where; nothing is decided about a job's fate here.
"""

from __future__ import annotations

from msgspec import Struct

from model.hosted_attempt import AttemptState, HostedAttempt
from model.job import SECOND, AttemptKey

BRIEF_NS = SECOND // 20
"""A run of at most this is brief."""
PATIENCE_NS = SECOND // 10
"""How long a head may run before those behind it are taken back."""
STAGED_MAX = 32
"""Attempts behind one head: what starts while word of the first end is under way."""
LANES_MAX = 16
"""With more running attempts than this nobody is sent ahead."""
TASKS_MAX = 10_000
"""Tasks whose last run is remembered."""


_GOING_ON = frozenset({AttemptState.STAGED, AttemptState.STARTING, AttemptState.RUNNING})


class Lane(Struct, eq=False, gc=False):
    """A running attempt, and those that follow it, in order."""

    head: HostedAttempt
    since_ns: int
    is_slow: bool = False
    """its head runs long"""
    staged: list[HostedAttempt] = []  # a few; most lanes never have one, and a deque is ten times as large

    @property
    def tail(self) -> HostedAttempt:
        """The last in the lane."""
        return self.staged[-1] if self.staged else self.head

    def takes(self, slots: int) -> bool:
        """Whether one more may stand behind the last. Not when the head runs long, nor behind one that is ended or
        called back: when word of the new one comes, the keeper may know that one no more, and would start it."""
        tail = self.tail
        return not self.is_slow and tail.state in _GOING_ON and not tail.recalled and tail.spec.slots >= slots


class Lanes:
    """All lanes of a host, by their heads and by those who follow."""

    def __init__(self) -> None:
        self._lanes: dict[AttemptKey, Lane] = {}
        self._staged: dict[AttemptKey, Lane] = {}
        self._brief: dict[str, bool] = {}

    @property
    def any_staged(self) -> bool:
        """Whether anybody was sent ahead."""
        return bool(self._staged)

    def staged(self) -> list[HostedAttempt]:
        """Whoever was sent ahead, the last ones first."""
        return [attempt for lane in self._lanes.values() for attempt in reversed(lane.staged)]

    def begin(self, head: HostedAttempt, now: int) -> None:
        """An attempt was given a slot of its own."""
        self._lanes[head.key] = Lane(head, now)

    def ran(self, task: str, ran_for_ns: int) -> None:
        """A run of the task is over."""
        if len(self._brief) >= TASKS_MAX:
            self._brief.clear()
        self._brief[task] = ran_for_ns <= BRIEF_NS

    def place(self, attempt: HostedAttempt) -> HostedAttempt | None:
        """Put the attempt at the end of a lane; behind whom. None: there is no place for it."""
        if len(self._lanes) > LANES_MAX or not self._brief.get(attempt.spec.task):
            return None
        best: Lane | None = None
        for lane in self._lanes.values():
            if len(lane.staged) >= (STAGED_MAX if best is None else len(best.staged)):
                continue
            if self._brief.get(lane.head.spec.task) and lane.takes(attempt.spec.slots):
                best = lane
        if best is None:
            return None
        tail = best.tail
        best.staged.append(attempt)
        self._staged[attempt.key] = best
        return tail

    def end(self, head: HostedAttempt, now: int) -> HostedAttempt | None:
        """A head has ended; who follows it now."""
        lane = self._lanes.pop(head.key, None)
        if lane is None or not lane.staged:
            return None
        lane.head = lane.staged.pop(0)
        lane.since_ns = now
        lane.is_slow = False
        del self._staged[lane.head.key]
        self._lanes[lane.head.key] = lane
        return lane.head

    def leave(self, attempt: HostedAttempt) -> None:
        """One who followed does so no more."""
        lane = self._staged.pop(attempt.key, None)
        if lane is not None:
            lane.staged.remove(attempt)

    def slow(self, now: int) -> list[HostedAttempt]:
        """Those who follow a head that runs long, the last ones first."""
        found: list[HostedAttempt] = []
        for lane in self._lanes.values():
            if lane.staged and now - lane.since_ns >= PATIENCE_NS:
                lane.is_slow = True
                found.extend(reversed(lane.staged))
        return found
