"""When `run --until-idle` is done: nothing is left that would happen by itself.

Precisely, all of these hold:
1. no job is unfinished, and no executor holds an attempt whose end it has not confirmed;
2. no task has an item that waits to be given out;
3. each task with a `files` or `lines` source was asked twice in a row, after its last new item, and had nothing new,
   and no feeder says that more will come (`live/sources.py`, the file `.feeding`);
4. each task without a source has reached `limits.total`.
A task that cannot go on now by itself (held, faulted, deleted, not active, its window closed) counts as done for 2-4:
waiting for a person, or until tomorrow evening, is not work. A periodic task without `limits.total` never is done, so
such a pipeline never becomes idle; `endless` names those tasks, for a warning.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from live.sources import feeding
from model.explain import Reason
from model.scheduler import Scheduler
from model.task import FilesSource, TaskDefinition
from model.task_state import TaskState

SETTLED = 2
"""Answers in a row that bring nothing new, after which a source counts as exhausted."""

_CANNOT_GO_ON = frozenset(
    {Reason.HELD, Reason.FAULTED, Reason.DELETED, Reason.INACTIVE, Reason.WINDOW, Reason.LIMIT_TOTAL}
)


def is_idle(scheduler: Scheduler, directory: Path) -> bool:
    """See the head of this file. Costs O(tasks) when no job is unfinished, O(1) otherwise."""
    if scheduler.jobs or any(executor.link.given for executor in scheduler.executors.values()):
        return False
    return all(_is_done(task, directory) for task in scheduler.spawning.tasks.values())


def _is_done(task: TaskState, directory: Path) -> bool:
    definition = task.definition
    if task.held or task.faulted or task.deleted or not definition.active:
        return True
    if task.blocked is not None and task.blocked[0] in _CANNOT_GO_ON:
        return True
    if task.limit_reached is not None and task.limit_reached[0] is Reason.LIMIT_TOTAL:
        return True
    if not task.sourced:
        return False
    if task.items:
        return False
    if not task.polls:
        return True
    if task.settled < SETTLED:
        return False
    source = definition.source
    return not (isinstance(source, FilesSource) and feeding(source.pattern, directory))


def endless(tasks: Iterable[TaskDefinition]) -> list[str]:
    """Names of the tasks for which a pipeline never becomes idle."""
    return [task.name for task in tasks if task.active and task.source is None and not task.limits.total]
