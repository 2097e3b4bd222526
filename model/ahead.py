"""Ahead: what of a controller's jobs is brief, and how much of it a host may have beyond its slots.

A host that gets no more than its slots stands still between the end of a job and the start of the next one, for as
long as the way up and down takes; and each end goes up, and each start comes down, alone. So where jobs are brief a
host gets the next ones ahead. Three rules keep this from doing harm: only a job that is next in its queue goes ahead,
so nobody is passed (`placing.py`); how many, follows from how long the last ones took from the gift to the end, so what
is ahead is some `WAIT_NS` of work; and what a host cannot start soon it gives back, for another attempt (`agent.py`),
which never goes ahead. In strict order nothing does, for hosts do not keep it. Owned by `placing.py`; no clock here.
"""

from __future__ import annotations

from enum import Enum

from model.job import SECOND

BRIEF_NS = SECOND // 20
"""A run of at most this is brief."""
SURE = 3
"""Brief runs in a row, about, after which a task's jobs are thought brief."""
SURER = 8
"""More than that are not counted: so soon it is noticed that they are brief no more."""
DOUBT = 2
"""So many brief runs are outweighed by one job that was told to be running before it had ended."""
TASKS_MAX = 10_000
"""Tasks of which that is remembered."""
WAIT_NS = SECOND // 4
"""A host gets so much ahead that the last of it ends about so long after it was given, the way there and back
included."""
AHEAD_MAX = 16
"""Slots' worth of jobs ahead for each slot, at most; as many as its slots it may always have."""


class Pace(Enum):
    """What is thought of an attempt at a host."""

    LONG = "long"
    """for as long as it is there, its slots are taken"""
    BRIEF = "brief"
    """it is over in a moment, and others may stand behind it"""
    AHEAD = "ahead"
    """the same, and it was given beyond the host's slots"""


class BriefTasks:
    """Which tasks of which superiors have jobs that are brief, as far as their last ends tell."""

    __slots__ = ("ends",)

    def __init__(self) -> None:
        self.ends: dict[tuple[int, str], int] = {}
        """brief runs in a row, about"""

    def has(self, superior: int, task: str) -> bool:
        """Whether the next job is thought brief."""
        return self.ends.get((superior, task), 0) >= SURE

    def ran(self, superior: int, task: str, ran_for_ns: int) -> None:
        """A run is over."""
        ends = self.ends
        if ran_for_ns > BRIEF_NS:
            if ends:
                ends.pop((superior, task), None)
            return
        key = superior, task
        count = ends.get(key, 0)
        if count >= SURER:
            return
        if not count and len(ends) >= TASKS_MAX:
            ends.clear()
        ends[key] = count + 1

    def runs(self, superior: int, task: str) -> None:
        """A job has not ended for so long that its host says that it runs."""
        if not self.ends:
            return
        key = (superior, task)
        count = self.ends.get(key, 0) - DOUBT
        if count > 0:
            self.ends[key] = count
        else:
            self.ends.pop(key, None)


class Lead:
    """How much one host may have ahead."""

    __slots__ = ("_changed_ns", "_slots_ahead", "failing", "long")

    def __init__(self) -> None:
        self.long = 0
        """slots of attempts that are not thought brief"""
        self.failing = False
        """its last end was a bad one: nothing goes ahead to where jobs may end for the host's own reasons"""
        self._slots_ahead = 0
        """that it may have when all its slots have brief jobs; fewer than its slots: as many as those"""
        self._changed_ns = 0
        """when that was changed"""

    def ended(self, given_ns: int, slots: int, now: int) -> None:
        """One that was given ahead has ended, and when it was given; the host has `slots`. What was given before the
        last change says nothing about that."""
        took_ns, now_ahead = now - given_ns, max(self._slots_ahead, slots)
        if given_ns < self._changed_ns or WAIT_NS // 2 < took_ns <= WAIT_NS:
            return
        wanted = now_ahead * WAIT_NS // took_ns if took_ns > WAIT_NS else 2 * now_ahead
        self._slots_ahead = min(max(wanted, slots), AHEAD_MAX * slots)
        self._changed_ns = now

    def given_back(self) -> None:
        """The host could not start one soon."""
        self._slots_ahead = 0

    def room(self, slots: int, free: int) -> int:
        """Slots' worth of brief jobs that it may get now beyond its `slots`, of which `free` are not given out."""
        lanes = slots - self.long
        if lanes <= 0 or free > 0 or self.failing:
            return 0
        return max(self._slots_ahead, slots) * lanes // slots + free
