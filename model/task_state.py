"""A task while it lives: its counts, its items, and the grid of times at which it is asked for a job.

Arithmetic only; what happens when a task is due is decided in `spawning.py`.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator

from msgspec import structs

from model.behaviour import DECLARED, Behaviour, Later, Skip, same_for_all
from model.effects import Notice
from model.events import SourceAnswered
from model.explain import Reason
from model.job import JobSpec, within_bounds
from model.task import DoneSource, TaskDefinition


class TaskState:
    """`due_ns` is the next point of the grid at which the task is asked; the grid starts when the task does."""

    __slots__ = (
        "alike",
        "asked",
        "behaviour",
        "blocked",
        "blocked_due_ns",
        "blocked_since_ns",
        "blocked_until_ns",
        "definition",
        "deleted",
        "done",
        "due_ns",
        "failed",
        "faulted",
        "goes_on_ns",
        "held",
        "held_until_ns",
        "in_flight",
        "items",
        "known",
        "last_made_ns",
        "last_skip",
        "made",
        "may_fill",
        "openings",
        "preparing",
        "preparing_due_ns",
        "running",
        "settled",
        "since_ns",
        "skipped",
        "spread_ns",
        "trouble",
    )

    def __init__(self, definition: TaskDefinition, behaviour: Behaviour, now: int) -> None:
        self.define(definition, behaviour)
        self.due_ns = now
        self.since_ns = now
        self.in_flight = 0
        """jobs that are not final"""
        self.running = 0
        self.made = 0
        self.done = 0
        self.failed = 0
        self.skipped: Counter[str] = Counter()
        """due times at which nothing was spawned, by reason"""
        self.items: deque[str] = deque()
        """items that wait to be given out"""
        self.known: dict[str, bool] = {}
        """every item that the source may show again: True when its job is final"""
        self.asked = 0
        """number of the question to the source that is open; 0: none"""
        self.preparing: str | None = None
        """item (or empty) for which a slow behaviour prepares a job"""
        self.preparing_due_ns = 0
        """the due time for which it does"""
        self.goes_on_ns: int | None = None
        """when it goes on with making jobs of its items: there were more than one turn makes"""
        self.spread_ns = 0
        """from its first look at its source to the second, where that differs from the period"""
        self.settled = 0
        """answers of the source in a row that brought nothing new"""
        self.trouble = ""
        """what was wrong with its source when that answered last"""
        self.last_made_ns: int | None = None
        self.openings: dict[str, tuple[int, int]] = {}
        """jobs made in the last openings of its windows (`windows.Counts`)"""
        self.last_skip = ""
        """why its behaviour made no job when it was asked last; empty: it made one, or was not asked yet"""
        self.held = ""
        self.held_until_ns: int | None = None
        self.faulted = ""
        self.blocked: tuple[Reason, str] | None = None
        """why nothing was spawned when it was due, or items wait"""
        self.blocked_since_ns = now
        self.blocked_due_ns = now
        """the first due time that passed while blocked"""
        self.blocked_until_ns: int | None = None

    def define(self, definition: TaskDefinition, behaviour: Behaviour) -> None:
        """From now on it is this."""
        self.definition = definition
        self.behaviour = behaviour
        self.deleted = False
        limits = definition.limits
        self.may_fill = behaviour is not DECLARED or bool(limits.in_flight or limits.total or definition.windows)
        """whether it may be blocked by its own jobs: after one it must be asked whether another one may be made"""
        alike = same_for_all(definition) if behaviour is DECLARED else None
        self.alike = None if alike is None else within_bounds(alike)
        """what all its jobs are but for their items; None: each is another one"""

    def prepare(self, job: int, item: str | None) -> JobSpec | Skip | Later:
        """Ask its behaviour for a job. Where all are alike it need not be asked for each: 3 % of a simulated job."""
        if self.alike is None:
            return self.behaviour.prepare(self.definition, job, item)
        return self.alike if item is None else structs.replace(self.alike, item=item)

    def foreseen(self) -> TaskState:
        """A copy to look ahead with: as if its jobs had ended, nobody were asked and no item were there."""
        other = TaskState(self.definition, DECLARED, self.due_ns)
        for name in self.__slots__:
            if name != "behaviour":
                setattr(other, name, getattr(self, name))
        other.items, other.known, other.skipped, other.openings = deque(), {}, Counter(), dict(self.openings)
        other.in_flight = other.running = other.asked = 0
        other.preparing = other.goes_on_ns = None
        return other

    @property
    def sourced(self) -> bool:
        """Whether jobs are made from items."""
        return self.definition.source is not None

    def heard(self, answer: SourceAnswered) -> Iterator[Notice]:
        """What people are to be told of it: a source that fails is asked again and again, and says the same each
        time."""
        if answer.error == self.trouble:
            return
        self.trouble = answer.error
        failed = "its source failed in part" if answer.items else "its source failed"
        level, text = ("warning", f"{failed}: {answer.error}") if answer.error else ("info", "its source answers well")
        yield Notice(level, f"task {self.definition.name}", text)

    @property
    def nothing_new(self) -> str:
        """Why its source brought nothing, for people."""
        return f"its source failed: {self.trouble}" if self.trouble else "its source showed nothing new"

    @property
    def polls(self) -> bool:
        """Whether the task is asked at the times of its grid (items of a `done` source come by themselves)."""
        return not isinstance(self.definition.source, DoneSource)

    def first_due_from(self, when_ns: int) -> int:
        """The first point of the grid that is not before `when_ns`."""
        if when_ns <= self.due_ns:
            return self.due_ns
        period = self.definition.periods.exec_ns
        return self.due_ns + -(-(when_ns - self.due_ns) // period) * period

    def passed(self, now: int) -> int:
        """How many points of the grid have come, `due_ns` included, until `now`."""
        if now < self.due_ns:
            return 0
        return (now - self.due_ns) // self.definition.periods.exec_ns + 1

    @property
    def limit_reached(self) -> tuple[Reason, str] | None:
        """Which limit forbids another job."""
        limits = self.definition.limits
        if limits.total and self.made >= limits.total:
            return Reason.LIMIT_TOTAL, f"limits.total={limits.total} reached"
        if limits.in_flight and self.in_flight >= limits.in_flight:
            return Reason.LIMIT_IN_FLIGHT, f"limits.in_flight={limits.in_flight}, {self.in_flight} not final"
        return None
