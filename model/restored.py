"""Recovery: what a machine must know after a restart, as a pure fold over the journal's records.

The fold is the only reader of old records, in `sim` and `live` alike. It keeps what is unfinished and what counts;
a finished job leaves only its item and its place in the counts. A complete snapshot takes the place of all records
before it: the state is the same whether they were read, or some of them, or none.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import structs

from model import script_data
from model.alarm_kinds import HANDLER, RECOVERED
from model.events import HostVerb
from model.job import Outcome, Report
from model.notifying import SAID_KEPT
from model.records import (
    SET_ASIDE,
    WELL,
    AlarmChanged,
    AlarmTold,
    AttemptAssigned,
    AttemptEnded,
    AttemptGiven,
    AttemptReturned,
    AttemptStarted,
    ConfigurationTaken,
    ControllerKnown,
    DeadlineCycle,
    HandlerSaid,
    HostChanged,
    HostsParted,
    IntakeChanged,
    ItemsFound,
    ItemsGone,
    JobAccepted,
    JobDoomed,
    JobDue,
    JobHeld,
    Record,
    ScriptsBegun,
    ScriptsChanged,
    ScriptsForgotten,
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
    SuperiorForgotten,
    SuperiorKnown,
    TaskChanged,
    WindowCounted,
)
from model.remembered import GivenAttempt, RestoredAlarm, RestoredJob, RestoredTask
from model.snapshot import RestoredController, RestoredScheduler, Taking


class Fold:
    """Records in, in the order of the journal; `scheduler` and `controller` out. Records are never changed."""

    def __init__(self) -> None:
        self.scheduler = RestoredScheduler()
        self.controller = RestoredController({}, [])
        self.since = 0
        """records since the begin of the last complete snapshot, or of the journal"""
        self.snapshots = 0
        """complete snapshots that were taken up"""
        self._taking: Taking | None = None

    def task(self, name: str) -> RestoredTask:
        """The task's part, made when it is first heard of."""
        found = self.scheduler.tasks.get(name)
        if found is None:
            found = self.scheduler.tasks[name] = RestoredTask(items={}, finished={}, openings={})
        return found

    def add(self, record: Record) -> None:
        """Take one record."""
        kind = type(record)
        if kind in _SNAPSHOT_RECORDS:
            self._snapshot(record)
            return
        self.since += 1
        if self._taking is not None:
            self._taking.rest.append(record)
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
        elif kind is JobDoomed:
            job = self.scheduler.jobs.get(record.job)  # type: ignore[union-attr]
            if job is not None:
                job.doomed = record.why  # type: ignore[union-attr]
        else:
            self._other(record)

    def _snapshot(self, record: Record) -> None:
        if isinstance(record, SnapshotBegun):  # a begin without an end before it was cut short: it means nothing
            self._taking = Taking(record)
        elif self._taking is None:
            return
        elif not isinstance(record, SnapshotEnded):
            self._taking.take(record)
        else:
            taken, self._taking = self._taking, None
            if taken.is_complete(record):
                self.scheduler, self.controller = taken.scheduler, taken.controller
                self.since = 0
                self.snapshots += 1
                for later in taken.rest:
                    self.add(later)

    def _accepted(self, record: JobAccepted) -> None:
        self.scheduler.next_job = max(self.scheduler.next_job, record.job + 1)
        self.scheduler.jobs.accept(record.job, record.spec, record.parent, record.plain)
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
            above = self.scheduler.jobs.get(record.job)
            is_open = above is not None and above.assigned and above.attempt == record.attempt
            given = GivenAttempt(record.host, record.host_epoch, record.spec, is_open)
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
        given = self.controller.given.get((record.job, record.attempt))
        if given is not None:
            given.open_above = False
        if not record.final:
            job.assigned = job.running = False
            job.doomed = ""
            job.retries, job.reruns, job.rooms = record.retries, record.reruns, record.rooms
            job.wait_ns, job.held = record.wait_ns, record.held
            return
        del self.scheduler.jobs[record.job]
        self.scheduler.alarms.dues.pop(record.job, None)
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
        if isinstance(record, ItemsFound | ItemsGone):
            self._items(record)
        elif isinstance(record, TaskChanged):
            task = self.task(record.task)
            task.held, task.faulted, task.deleted = record.held, record.faulted, record.deleted
        elif isinstance(record, WindowCounted):
            self.task(record.task).openings[record.window] = (record.day, record.jobs)
        elif isinstance(record, ScriptsChanged | ScriptsBegun | ScriptsForgotten):
            script_data.add(self.scheduler.scripts, record)
        elif isinstance(record, HostChanged):
            self._host(record)
        elif isinstance(record, SuperiorKnown | SuperiorForgotten | ControllerKnown):
            self._processes(record)
        elif isinstance(record, IntakeChanged):
            self.scheduler.intake, self.scheduler.intake_reason = record.state, record.reason
            self.scheduler.keep_ns = record.keep_ns
        elif isinstance(record, HostsParted):
            for given in self.controller.given.values():
                given.keep_ns = record.keep_ns
        elif isinstance(record, ConfigurationTaken):
            self.scheduler.settings = record.settings
        elif isinstance(record, AlarmChanged | AlarmTold | HandlerSaid | DeadlineCycle | JobDue):
            self._alarm(record)

    def _items(self, record: ItemsFound | ItemsGone) -> None:
        task = self.task(record.task)
        for item in record.items:
            if isinstance(record, ItemsFound):
                task.items.setdefault(item, False)
            else:
                task.items.pop(item, None)
                task.finished.pop(item, None)

    def _alarm(self, record: AlarmChanged | AlarmTold | HandlerSaid | DeadlineCycle | JobDue) -> None:
        """What stands, and who knows it."""
        alarms = self.scheduler.alarms
        if isinstance(record, DeadlineCycle):
            alarms.cycles[record.task, record.which] = record
        elif isinstance(record, JobDue):
            alarms.dues[record.job] = record.at
        elif isinstance(record, HandlerSaid):
            said = alarms.said.setdefault(record.notifier, [])
            said.append(record)
            del said[:-SAID_KEPT]
        elif isinstance(record, AlarmTold):
            for event, kind, subject in record.items:
                if event == HANDLER:
                    self._is_told(alarms.said.get(record.notifier, []), subject)
                    continue
                alarm = alarms.standing.get((kind, subject))
                if alarm is not None and event == RECOVERED:
                    alarm.told.pop(record.notifier, None)
                elif alarm is not None:
                    alarm.told[record.notifier] = record.at
        elif record.over:
            alarms.standing.pop((record.kind, record.subject), None)
        else:
            alarms.standing[record.kind, record.subject] = RestoredAlarm(record.text, record.at)

    def _is_told(self, said: list[HandlerSaid], about: str) -> None:
        """The first sentence about it is."""
        told = next((each for each in said if each.about == about), None)
        if told is not None:
            said.remove(told)

    def _processes(self, record: SuperiorKnown | SuperiorForgotten | ControllerKnown) -> None:
        """Schedulers and controllers in other processes."""
        if isinstance(record, SuperiorKnown):
            self.controller.superiors[record.number] = record
            self.controller.following = max(self.controller.following, record.number + 1)
        elif isinstance(record, SuperiorForgotten):
            self.controller.superiors.pop(record.number, None)
        else:
            self.scheduler.controller = record.identity

    def _host(self, record: HostChanged) -> None:
        """Keep the orders that still mean something, so that they do not grow with the journal: of a host the last
        deletion, the last addition after it, the last state after that, and that it is set aside. To try again means
        nothing in another life."""
        outdone = _OUTDONE.get(record.verb)
        if outdone is None:
            return
        hosts = self.controller.hosts
        if record.verb == HostVerb.SLOTS.value:
            for old in hosts:
                if old.host == record.host and old.verb == record.verb:
                    record = _with_what_stays(record, old)
        hosts[:] = [old for old in hosts if old.host != record.host or old.verb not in outdone]
        if record.verb != WELL:
            hosts.append(record)


def _with_what_stays(change: HostChanged, before: HostChanged) -> HostChanged:
    """A change that says nothing of resources or labels leaves them as an earlier one has said."""
    return structs.replace(
        change,
        resources=before.resources if change.resources is None else change.resources,
        labels=before.labels if change.labels is None else change.labels,
    )


_ATTEMPT_RECORDS = frozenset({AttemptAssigned, AttemptGiven, AttemptReturned, AttemptStarted})
_SNAPSHOT_RECORDS = frozenset(
    {
        SnapshotBegun,
        SnapshotTasks,
        SnapshotItems,
        SnapshotJobs,
        SnapshotGiven,
        SnapshotSuperiors,
        SnapshotAlarms,
        SnapshotVariables,
        SnapshotQueue,
        SnapshotBook,
        SnapshotEnded,
    }
)

_STATES = frozenset({HostVerb.ON.value, HostVerb.OFF.value, HostVerb.DRAIN.value})
_OUTDONE: dict[str, frozenset[str]] = {
    **dict.fromkeys(_STATES, _STATES),
    HostVerb.SLOTS.value: frozenset({HostVerb.SLOTS.value}),
    HostVerb.ADD.value: _STATES | {HostVerb.ADD.value, HostVerb.SLOTS.value, SET_ASIDE},
    HostVerb.DELETE.value: _STATES | {HostVerb.ADD.value, HostVerb.SLOTS.value, HostVerb.DELETE.value, SET_ASIDE},
    SET_ASIDE: frozenset({SET_ASIDE}),
    WELL: frozenset({SET_ASIDE}),
}
"""Which earlier orders about the same host mean nothing any more after one of this verb."""


def fold(records: Iterable[Record]) -> Fold:
    """All records of a journal, oldest first."""
    folded = Fold()
    for record in records:
        folded.add(record)
    return folded


_EXITED = Outcome.EXITED


def is_good(report: Report) -> bool:
    """Whether an end counts as well done when no handler says otherwise."""
    return report.outcome is _EXITED and report.exit_code == 0


__all__ = [
    "Fold",
    "GivenAttempt",
    "RestoredController",
    "RestoredJob",
    "RestoredScheduler",
    "RestoredTask",
    "fold",
    "is_good",
]
