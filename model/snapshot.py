"""A snapshot: the state of recovery said as records, from which the same state is made again.

`SnapshotBegun`, parts, `SnapshotEnded` stand for all records before the first of them. Other records may stand between
them: they come after the snapshot. One that is not complete means nothing. It is in parts so that each is
small (`PART_ENTRIES`): whoever writes them may do something else after each one.

A snapshot grows with what is unfinished, and with the items that tasks know: one entry for each unfinished job, each
attempt at a host, each item that a source still shows or whose job is not final (`ItemsGone` takes the others), and
each variable, line of a queue and page of a book that scripts have, each alarm that stands. Finished jobs are not in
it. Of a task or window
that is in no configuration any more its counts stay: about 100 bytes.

Called by `model/restored.py` (taking up) and by drivers that compact their journal (saying).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

from msgspec import Struct, field, structs

from model import script_data
from model.job import AttemptKey, JobId
from model.records import (
    DeadlineCycle,
    HandlerSaid,
    HostChanged,
    JobDue,
    Record,
    SnapshotAlarms,
    SnapshotBegun,
    SnapshotBook,
    SnapshotEnded,
    SnapshotGiven,
    SnapshotItems,
    SnapshotJobs,
    SnapshotQueue,
    SnapshotSuperiors,
    SnapshotTasks,
    SnapshotVariables,
    SuperiorKnown,
)
from model.remembered import GivenAttempt, RestoredAlarm, RestoredData, RestoredTask, Setting
from model.restored_jobs import RestoredJobs

Entry = TypeVar("Entry")

PART_ENTRIES = 250
"""Jobs, attempts, items, variables, lines or words of one part at most."""

KNOWN, GIVEN_OUT, FINISHED = 1, 2, 4
"""What a snapshot says of an item: it is known, it was given out, its job is final."""


class RestoredController(Struct):
    """What the controller was about to do."""

    given: dict[AttemptKey, GivenAttempt]
    hosts: list[HostChanged]
    """people's orders that still mean something, and what is set aside, oldest first: at most four for each host"""
    superiors: dict[int, SuperiorKnown] = field(default_factory=dict)
    """by number"""
    following: int = 1
    """the number of the next superior"""


class RestoredAlarms(Struct):
    """Alarms that stand, by (kind, subject), cycles of deadlines, by (task, which), when unfinished jobs of tasks with
    a deadline were due (wall time), and what handlers have said that nobody was told yet, by notifier."""

    standing: dict[tuple[str, str], RestoredAlarm] = field(default_factory=dict)
    cycles: dict[tuple[str, str], DeadlineCycle] = field(default_factory=dict)
    dues: dict[JobId, int] = field(default_factory=dict)
    said: dict[str, list[HandlerSaid]] = field(default_factory=dict)


class RestoredScheduler(Struct):
    """What the scheduler was about to do."""

    jobs: RestoredJobs = field(default_factory=RestoredJobs)
    tasks: dict[str, RestoredTask] = field(default_factory=dict)
    next_job: int = 1
    intake: str = "running"
    intake_reason: str = ""
    keep_ns: int = 0
    """the parting lease of the last clean stop; 0 after a crash"""
    controller: str = ""
    """which journal the controller writes that was last used; empty: the one in the same process"""
    settings: tuple[Setting, ...] = ()
    """what people have laid over the configuration's file: for the driver"""
    alarms: RestoredAlarms = field(default_factory=RestoredAlarms)
    scripts: RestoredData = field(default_factory=RestoredData)
    """the data of scripts: for their machine, not for the scheduler, which only records what changes in it"""


def entries(scheduler: RestoredScheduler, controller: RestoredController) -> int:
    """How many entries a snapshot of this state has; its bytes grow with them."""
    items = sum(len(task.items) for task in scheduler.tasks.values())
    unfinished = len(scheduler.jobs) + len(controller.given)
    return unfinished + len(scheduler.tasks) + items + script_data.entries(scheduler.scripts)


def say(scheduler: RestoredScheduler, controller: RestoredController) -> Iterator[Record]:
    """The records of a snapshot, in order. The state must not change before the last one was taken."""
    yield SnapshotBegun(
        scheduler.next_job,
        scheduler.intake,
        scheduler.intake_reason,
        scheduler.keep_ns,
        tuple(controller.hosts),
        scheduler.controller,
        scheduler.settings,
    )
    parts = 0
    for part in _parts(scheduler, controller):
        yield part
        parts += 1
    yield SnapshotEnded(parts)


def _parts(scheduler: RestoredScheduler, controller: RestoredController) -> Iterator[Record]:
    for tasks in _batches(scheduler.tasks.items()):
        yield SnapshotTasks({name: _without_items(task) for name, task in tasks})
    for name, task in scheduler.tasks.items():
        for items in _batches(_items(task)):
            yield SnapshotItems(name, dict(items))
    for jobs in _batches(scheduler.jobs.items()):
        yield SnapshotJobs({number: structs.replace(job) for number, job in jobs})
    for given in _batches(controller.given.items()):
        yield SnapshotGiven(tuple((job, attempt, structs.replace(one)) for (job, attempt), one in given))
    if controller.following > 1:
        yield SnapshotSuperiors(tuple(controller.superiors.values()), controller.following)
    for standing in _batches(scheduler.alarms.standing.items()):
        yield SnapshotAlarms(tuple((*key, _with_own_told(alarm)) for key, alarm in standing))
    for cycles in _batches(scheduler.alarms.cycles.values()):
        yield SnapshotAlarms((), tuple(cycles))
    for dues in _batches(scheduler.alarms.dues.items()):
        yield SnapshotAlarms((), (), tuple(JobDue(job, at) for job, at in dues))
    for said in _batches([each for one in scheduler.alarms.said.values() for each in one]):
        yield SnapshotAlarms((), (), (), tuple(said))
    yield from script_data.parts(scheduler.scripts, PART_ENTRIES)


def _with_own_told(alarm: RestoredAlarm) -> RestoredAlarm:
    return structs.replace(alarm, told=dict(alarm.told))


def _without_items(task: RestoredTask) -> RestoredTask:
    return structs.replace(task, items={}, finished={}, openings=dict(task.openings))


def _items(task: RestoredTask) -> Iterator[tuple[str, int]]:
    """Each item with what is to be said of it. Their order is the one in which they are given out."""
    finished = task.finished
    for item, given in task.items.items():
        yield item, KNOWN | (GIVEN_OUT if given else 0) | (FINISHED if item in finished else 0)
    for item in finished:
        if item not in task.items:
            yield item, FINISHED


def _batches(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    source = iter(entries)
    while batch := list(islice(source, PART_ENTRIES)):
        yield batch


class Taking:
    """A snapshot as its parts come in. `rest` are the other records since its begin."""

    def __init__(self, begun: SnapshotBegun) -> None:
        self.scheduler = RestoredScheduler(
            next_job=begun.next_job, intake=begun.intake, intake_reason=begun.intake_reason, keep_ns=begun.keep_ns
        )
        self.scheduler.controller, self.scheduler.settings = begun.controller, begun.settings
        self.controller = RestoredController({}, list(begun.hosts))
        self.rest: list[Record] = []
        self._parts = 0

    def take(self, part: Record) -> None:
        """One part; it is left as it is."""
        self._parts += 1
        if isinstance(part, SnapshotJobs):
            for number, unfinished in part.jobs.items():
                self.scheduler.jobs[number] = structs.replace(unfinished)
        elif isinstance(part, SnapshotGiven):
            for job, attempt, given in part.given:
                self.controller.given[job, attempt] = structs.replace(given)
        elif isinstance(part, SnapshotSuperiors):
            self.controller.superiors.update((one.number, one) for one in part.superiors)
            self.controller.following = part.following
        elif isinstance(part, SnapshotTasks):
            self.scheduler.tasks.update((name, _without_items(task)) for name, task in part.tasks.items())
        elif isinstance(part, SnapshotItems):
            self._take_items(self.scheduler.tasks.setdefault(part.task, RestoredTask()), part.items)
        elif isinstance(part, SnapshotAlarms):
            alarms = self.scheduler.alarms
            alarms.standing.update(((kind, subject), _with_own_told(alarm)) for kind, subject, alarm in part.alarms)
            alarms.cycles.update(((cycle.task, cycle.which), cycle) for cycle in part.cycles)
            alarms.dues.update((due.job, due.at) for due in part.dues)
            for said in part.said:
                alarms.said.setdefault(said.notifier, []).append(said)
        elif isinstance(part, SnapshotVariables | SnapshotQueue | SnapshotBook):
            script_data.take(self.scheduler.scripts, part)

    def _take_items(self, task: RestoredTask, items: dict[str, int]) -> None:
        for item, what in items.items():
            if what & KNOWN:
                task.items[item] = bool(what & GIVEN_OUT)
            if what & FINISHED:
                task.finished[item] = None

    def is_complete(self, ended: SnapshotEnded) -> bool:
        """Whether this is the end of it and no part is missing."""
        return ended.parts == self._parts
