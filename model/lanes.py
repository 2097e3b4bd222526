"""Lanes: which waiting attempts stand directly behind a running one, at its keeper, so that a slot is never idle.

The way from an end over the disk to the agent and back to a keeper takes longer than many a job. So where jobs are
brief, the next ones are sent ahead: the keeper starts each in the turn in which the one before it is gone, in the
slots of that one. Only tasks whose last run was brief are sent ahead, and only behind such; a head that runs long
after all gives those behind it back (`slow`). On a host with many slots somebody ends all the time, and nothing is
sent ahead. Owned by the agent, which says who stands where; nothing is decided about a job's fate here.
"""

from __future__ import annotations

from collections.abc import Mapping

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
"""Tasks of which it is remembered that their last run was brief."""


_GOING_ON = frozenset({AttemptState.STAGED, AttemptState.STARTING, AttemptState.RUNNING})


class Lane(Struct, eq=False, gc=False):
    """Those who follow one that runs, in order: a few, and a deque is ten times as large as a list."""

    staged: list[HostedAttempt]
    is_slow: bool = False
    """its head runs long"""


def _takes(tail: HostedAttempt, slots: int) -> bool:
    """Whether one more may stand behind the last. Not behind one that is ended or called back: when word of the new one
    comes, the keeper may know that one no more, and would start it."""
    return tail.state in _GOING_ON and not tail.recalled and tail.spec.slots >= slots


class Lanes:
    """All lanes of a host, by their heads and by those who follow. Most heads never have one behind them, and no lane
    is made for those."""

    __slots__ = ("_attempts", "_brief", "_heads", "_lanes", "_staged")

    def __init__(self, attempts: Mapping[AttemptKey, HostedAttempt]) -> None:
        """`attempts`: all that are on the host."""
        self._attempts = attempts
        self._heads: dict[AttemptKey, int] = {}
        """who has a slot of its own, and since when, in the order in which they got it"""
        self._lanes: dict[AttemptKey, Lane] = {}
        self._staged: dict[AttemptKey, Lane] = {}
        self._brief: dict[str, None] = {}
        """tasks whose last run was brief: mostly there are none, and a set is three times as large"""

    @property
    def any_staged(self) -> bool:
        """Whether anybody was sent ahead."""
        return bool(self._staged)

    def staged(self) -> list[HostedAttempt]:
        """Whoever was sent ahead, the last ones first."""
        return [attempt for key in self._heads if key in self._lanes for attempt in reversed(self._lanes[key].staged)]

    def begin(self, head: HostedAttempt, now: int) -> None:
        """An attempt was given a slot of its own."""
        self._heads[head.key] = now

    def ran(self, task: str, ran_for_ns: int) -> None:
        """A run of the task is over."""
        if ran_for_ns > BRIEF_NS:
            self._brief.pop(task, None)
            return
        if len(self._brief) >= TASKS_MAX:
            self._brief.clear()
        self._brief[task] = None

    def place(self, attempt: HostedAttempt) -> HostedAttempt | None:
        """Put the attempt at the end of a lane; behind whom. None: there is no place for it."""
        if len(self._heads) > LANES_MAX or attempt.spec.task not in self._brief:
            return None
        best: AttemptKey | None = None
        last, length = attempt, STAGED_MAX
        for key in self._heads:
            head, lane = self._attempts[key], self._lanes.get(key)
            staged = () if lane is None else lane.staged
            if len(staged) >= length or (lane is not None and lane.is_slow) or head.spec.task not in self._brief:
                continue
            tail = staged[-1] if staged else head
            if _takes(tail, attempt.spec.slots):
                best, last, length = key, tail, len(staged)
        if best is None:
            return None
        lane = self._lanes.setdefault(best, Lane([]))
        lane.staged.append(attempt)
        self._staged[attempt.key] = lane
        return last

    def end(self, head: HostedAttempt, now: int) -> HostedAttempt | None:
        """A head has ended; who follows it now."""
        self._heads.pop(head.key, None)
        lane = self._lanes.pop(head.key, None) if self._lanes else None
        if lane is None or not lane.staged:
            return None
        following = lane.staged.pop(0)
        del self._staged[following.key]
        self._heads[following.key] = now
        if lane.staged:
            lane.is_slow = False
            self._lanes[following.key] = lane
        return following

    def leave(self, attempt: HostedAttempt) -> None:
        """One who followed does so no more."""
        lane = self._staged.pop(attempt.key, None)
        if lane is not None:
            lane.staged.remove(attempt)

    def slow(self, now: int) -> list[HostedAttempt]:
        """Those who follow a head that runs long, the last ones first."""
        found: list[HostedAttempt] = []
        for key, since_ns in self._heads.items():
            lane = self._lanes.get(key)
            if lane is not None and lane.staged and now - since_ns >= PATIENCE_NS:
                lane.is_slow = True
                found.extend(reversed(lane.staged))
        return found
