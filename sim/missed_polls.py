"""Polls that did not take place: due times at which a task was not even asked for a job, by reason.

The scheduler counts them while it runs (`model/spawning.py`), for people; nothing of it is in the log, so the world
gathers the counts of all its lives, and they are laid beside what was measured. A poll that found no item, or whose
script made no job, did take place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from msgspec.structs import replace

from model.explain import Reason
from model.scheduler import Scheduler
from model.task import Missed
from model.task_state import TaskState
from sim.metrics import Metrics, SchedulerMetrics, TaskMetrics

LATE = "missed"
"""the scheduler's own word for due times that passed while it did not run, or stood still"""
REASONS = {
    Reason.LIMIT_IN_FLIGHT.value: "limit in flight",
    Reason.LIMIT_TOTAL.value: "limit of jobs",
    Reason.WINDOW.value: "window closed",
    Reason.HELD.value: "held",
    Reason.FAULTED.value: "faulted",
    Reason.INACTIVE.value: "inactive",
    Reason.INTAKE_STOPPED.value: "intake stopped",
    Reason.BEHAVIOUR.value: "preparation slow",
    LATE: "scheduler away",
    "source silent": "source silent",
}
"""The scheduler's reasons -> what they are called here. With a limit of one job in flight the first is an overlap."""


class MissedPolls:
    """Gathers the counts of all lives of the schedulers of a world."""

    def __init__(self) -> None:
        self.by_task: dict[str, Counter[str]] = {}
        """by task, by reason"""
        self._again: dict[str, tuple[str, int]] = {}
        """what stood in a task's way when its scheduler's last life ended, and how many polls it had cost since: the
        next life counts its due times from its last job on, so it finds them missed"""

    def count(self, scheduler: Scheduler, now: int, called: Callable[[str], str], *, goes_on: bool) -> None:
        """A life is over, at `now` by its clock. `called`: what figures call a task; `goes_on`: another one follows."""
        for own_name, task in scheduler.spawning.tasks.items():
            name = called(own_name)
            counts = Counter({REASONS[word]: number for word, number in task.skipped.items() if word in REASONS})
            word, before = self._again.pop(name, ("", 0))
            before = min(before, counts[REASONS[LATE]])
            if before:
                counts[REASONS[LATE]] -= before
                counts[word] += before
            word, number = _not_counted_yet(task, now)
            if goes_on:
                self._again[name] = (word, number)
            elif number:
                counts[word] += number
            self.by_task.setdefault(name, Counter()).update(+counts)


def _not_counted_yet(task: TaskState, now: int) -> tuple[str, int]:
    """The polls that an obstacle has cost which is still there: they are counted when it is gone."""
    definition = task.definition
    if task.blocked is None or task.sourced or definition.missed is Missed.ELASTIC or now <= task.blocked_due_ns:
        return "", 0
    word = REASONS.get(task.blocked[0].value, "")
    return word, ((now - 1 - task.blocked_due_ns) // definition.periods.exec_ns + 1 if word else 0)


def with_missed(metrics: Metrics, missed: Mapping[str, Mapping[str, int]]) -> Metrics:
    """The metrics of a run with its missed polls. A task that never made a job has a line of its own."""
    known = {task.task for task in metrics.tasks}
    more = tuple(TaskMetrics.nothing(name) for name, counts in missed.items() if name not in known and counts)
    total: Counter[str] = Counter()
    for counts in missed.values():
        total.update(counts)
    rows = tuple(_with_own(row, missed) for row in metrics.schedulers)
    tasks = tuple(replace(task, missed=dict(missed.get(task.task, {}))) for task in (*metrics.tasks, *more))
    total_line = replace(metrics.total, missed=dict(total.most_common()))
    return replace(metrics, tasks=tasks, total=total_line, schedulers=rows)


def _with_own(row: SchedulerMetrics, missed: Mapping[str, Mapping[str, int]]) -> SchedulerMetrics:
    """One of several schedulers, with those of its tasks, which are called by its name and theirs."""
    own: Counter[str] = Counter()
    for name, counts in missed.items():
        if name.startswith(f"{row.scheduler}."):
            own.update(counts)
    return replace(row, total=replace(row.total, missed=dict(own.most_common())))
