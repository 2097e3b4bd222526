"""Recovery: what a machine must know after a restart, as a pure fold over the journal's records.

The fold is the only reader of old records, in `sim` and `live` alike. It keeps what is unfinished and what counts;
a finished job leaves only its item and its place in the counts.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from model.job import AttemptKey, JobId, JobSpec, Outcome, Report
from model.records import (
    AttemptAssigned,
    AttemptEnded,
    AttemptGiven,
    AttemptReturned,
    AttemptStarted,
    HostChanged,
    IntakeChanged,
    ItemsFound,
    ItemsGone,
    JobAccepted,
    JobHeld,
    Record,
    TaskChanged,
    WindowCounted,
)


class GivenAttempt(Struct):
    """An attempt that the controller gave to a host."""

    host: str
    host_epoch: int
    spec: JobSpec


class RestoredController(Struct):
    """What the controller was about to do."""

    given: dict[AttemptKey, GivenAttempt]
    hosts: list[HostChanged]


class RestoredJob(Struct):
    """An unfinished job of the scheduler."""

    spec: JobSpec
    parent: JobId
    plain: bool
    attempt: int = 0
    """the last attempt that was assigned"""
    executor: str = ""
    assigned: bool = False
    """whether that attempt has not ended"""
    running: bool = False
    host: str = ""
    retries: int = 0
    reruns: int = 0
    rooms: int = 0
    wait_ns: int = 0
    held: str = ""


class RestoredTask(Struct):
    """What is known of a task by name."""

    made: int = 0
    done: int = 0
    failed: int = 0
    last_due_ns: int | None = None
    items: dict[str, bool] = {}
    """every item that is known: True when it was given out"""
    finished: dict[str, None] = {}
    """items whose job is final"""
    openings: dict[str, tuple[int, int]] = {}
    """`windows.Counts`"""
    held: str = ""
    faulted: str = ""
    deleted: bool = False


class RestoredScheduler(Struct):
    """What the scheduler was about to do."""

    jobs: dict[JobId, RestoredJob]
    tasks: dict[str, RestoredTask]
    next_job: int = 1
    intake: str = "running"
    intake_reason: str = ""
    keep_ns: int = 0
    """the parting lease of the last clean stop; 0 after a crash"""


class Fold:
    """Records in, in the order of the journal; `scheduler` and `controller` out."""

    def __init__(self) -> None:
        self.scheduler = RestoredScheduler({}, {})
        self.controller = RestoredController({}, [])

    def task(self, name: str) -> RestoredTask:
        """The task's part, made when it is first heard of."""
        found = self.scheduler.tasks.get(name)
        if found is None:
            found = self.scheduler.tasks[name] = RestoredTask(items={}, finished={}, openings={})
        return found

    def add(self, record: Record) -> None:
        """Take one record."""
        kind = type(record)
        if kind is JobAccepted:
            self._accepted(record)  # type: ignore[arg-type]
        elif kind is AttemptEnded:
            self._ended(record)  # type: ignore[arg-type]
        elif kind in _ATTEMPT_RECORDS:
            self._attempt(record)
        elif kind is JobHeld:
            job = self.scheduler.jobs.get(record.job)  # type: ignore[union-attr]
            if job is not None:
                job.held = record.reason  # type: ignore[union-attr]
        else:
            self._other(record)

    def _accepted(self, record: JobAccepted) -> None:
        self.scheduler.next_job = max(self.scheduler.next_job, record.job + 1)
        self.scheduler.jobs[record.job] = RestoredJob(record.spec, record.parent, record.plain)
        if record.plain:
            return
        task = self.task(record.spec.task)
        task.made += 1
        if record.due_ns:
            task.last_due_ns = record.due_ns
        if record.spec.item is not None:
            task.items[record.spec.item] = True

    def _attempt(self, record: Record) -> None:
        if isinstance(record, AttemptGiven):
            given = GivenAttempt(record.host, record.host_epoch, record.spec)
            self.controller.given[record.job, record.attempt] = given
        elif isinstance(record, AttemptReturned):
            self.controller.given.pop((record.job, record.attempt), None)
        elif isinstance(record, AttemptAssigned):
            job = self.scheduler.jobs.get(record.job)
            if job is not None:
                job.attempt, job.executor, job.assigned, job.running = record.attempt, record.executor, True, False
        elif isinstance(record, AttemptStarted):
            job = self.scheduler.jobs.get(record.job)
            if job is not None and job.attempt == record.attempt:
                job.running, job.host = True, record.host

    def _ended(self, record: AttemptEnded) -> None:
        job = self.scheduler.jobs.get(record.job)
        if job is None:
            return
        if not record.final:
            job.assigned = job.running = False
            job.retries, job.reruns, job.rooms = record.retries, record.reruns, record.rooms
            job.wait_ns, job.held = record.wait_ns, record.held
            return
        del self.scheduler.jobs[record.job]
        if job.plain:
            return
        task = self.task(job.spec.task)
        if record.good:
            task.done += 1
        else:
            task.failed += 1
        if job.spec.item is not None:
            task.finished[job.spec.item] = None

    def _other(self, record: Record) -> None:
        if isinstance(record, ItemsFound):
            items = self.task(record.task).items
            for item in record.items:
                items.setdefault(item, False)
        elif isinstance(record, ItemsGone):
            task = self.task(record.task)
            for item in record.items:
                task.items.pop(item, None)
                task.finished.pop(item, None)
        elif isinstance(record, TaskChanged):
            task = self.task(record.task)
            task.held, task.faulted, task.deleted = record.held, record.faulted, record.deleted
        elif isinstance(record, WindowCounted):
            self.task(record.task).openings[record.window] = (record.day, record.jobs)
        elif isinstance(record, HostChanged):
            self.controller.hosts.append(record)
        elif isinstance(record, IntakeChanged):
            self.scheduler.intake, self.scheduler.intake_reason = record.state, record.reason
            self.scheduler.keep_ns = record.keep_ns


_ATTEMPT_RECORDS = frozenset({AttemptAssigned, AttemptGiven, AttemptReturned, AttemptStarted})


def fold(records: Iterable[Record]) -> Fold:
    """All records of a journal, oldest first."""
    folded = Fold()
    for record in records:
        folded.add(record)
    return folded


def is_good(report: Report) -> bool:
    """Whether an end counts as well done when no handler says otherwise."""
    return report.outcome is Outcome.EXITED and report.exit_code == 0
