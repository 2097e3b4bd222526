"""The Scheduler machine: jobs, from the moment at which a task makes one to the moment at which its end is recorded.

Tasks and their due times are in `spawning.py`, orders of a person in `orders.py`. The scheduler is the superior of two
executors, `controller` and `local`, and cannot tell which is which. It alone makes attempts.

Records, each before the message that follows from it: job accepted, attempt assigned, started, ended (with what
follows), changes by a person. An end is acknowledged only in the same drained list as its record.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from model.alarm_kinds import AlarmSettings
from model.alarms import Alarms
from model.assigning import Assigning
from model.behaviour import Behaviour
from model.channel import LinkState
from model.configuration import ClusterDefinition
from model.effects import Commit, Effect, Notice, Transmit, records_first
from model.ending import Ending, describe
from model.events import (
    DefineTask,
    Delivered,
    LinkDown,
    LinkUp,
    LookedAround,
    Notified,
    OrderIntake,
    OrderJob,
    OrderTask,
    Prepared,
    Reacted,
    ScriptsRan,
    SetAlarms,
    SourceAnswered,
    Submit,
    TakeSettings,
    Vouched,
    WallClock,
)
from model.explain import Explanation
from model.job import (
    JOB_MOVES,
    LOCAL,
    NO_JOB,
    AttemptKey,
    JobId,
    JobSpec,
    JobState,
    Outcome,
    Report,
    in_directory,
    within_bounds,
)
from model.lines import CONTROLLER, Executor
from model.messages import Batch, CancelReason, Ended, Notices, Pong, Started, Up
from model.orders import Orders
from model.records import AttemptStarted, ControllerKnown, JobAccepted, NoticeHeard
from model.restored import RestoredScheduler, RestoredTask
from model.scheduled_job import AT_EXECUTOR, NOTHING_SPECIAL, ScheduledJob, explain_job
from model.spawning import Spawning
from model.states import check_move, quick
from model.taking_up import take_up
from model.task import TaskDefinition
from model.task_state import TaskState
from model.timers import NEVER_NS, Timers

SchedulerEvent = (
    Delivered
    | LinkUp
    | LinkDown
    | Vouched
    | WallClock
    | SourceAnswered
    | Prepared
    | Reacted
    | ScriptsRan
    | LookedAround
    | Notified
    | SetAlarms
    | Submit
    | OrderJob
    | OrderTask
    | OrderIntake
    | DefineTask
    | TakeSettings
)

_S = quick(JobState)
_AT_EXECUTOR = frozenset({_S.ASSIGNED, _S.PENDING, _S.RUNNING})
_OPEN = LinkState.OPEN


class Scheduler:
    """See the head of this file; the four methods are described in docs/architecture.md, part 3."""

    def __init__(
        self,
        epoch: int,
        now: int,
        cluster: ClusterDefinition,
        tasks: Sequence[TaskDefinition],
        restored: RestoredScheduler | None = None,
        behaviours: Mapping[str, Behaviour] | None = None,
        alarms: AlarmSettings = AlarmSettings(),  # noqa: B008 - frozen
    ) -> None:
        self.cluster = cluster
        self.jobs: dict[JobId, ScheduledJob] = {}
        """jobs that are not final"""
        self.next_job = 1
        self._last = JobSpec(""), JobSpec("")
        """the last specification as it came, and as it was taken: jobs that are equal share one"""
        self.halted: dict[JobId, Report] = {}
        """ends to which nothing reacted, because of `halt`"""
        self.effects: list[Effect] = []
        self.assigning = Assigning(self, epoch, now)
        self.executors = self.assigning.executors
        self._both = tuple(self.executors.values())
        self.spawning = Spawning(self.effects, self._made, lambda: self.next_job)
        self.orders = Orders(self)
        self.ending = Ending(self)
        self.alarms = Alarms(self, alarms, now)
        self.wakes: Timers[JobId] = Timers()
        """ends of back-offs and of holds"""
        self._handlers: dict[type, Callable[[Any, int], None]] = {
            Delivered: self._delivered,
            SourceAnswered: self.spawning.answered,
            Prepared: self.spawning.prepared,
            Reacted: self.ending.reacted,
            ScriptsRan: self._scripts_ran,
            LookedAround: self.alarms.looked_around,
            Notified: self.alarms.notified,
            SetAlarms: self.alarms.set,
            LinkUp: self._link_up,
            LinkDown: self._link_down,
            Vouched: self._vouched,
            WallClock: self._wall_clock,
            Submit: self.orders.submit,
            OrderJob: self.orders.job,
            OrderTask: self.orders.task,
            OrderIntake: self.orders.intake,
            DefineTask: self.orders.define,
            TakeSettings: self.orders.settings,
        }
        self._controller = "" if restored is None else restored.controller
        """which journal the controller writes; empty: it is in this process, or none is known yet"""
        self._behaviours = {} if behaviours is None else behaviours
        self._undefined: dict[str, RestoredTask] = {}
        """what is known of tasks of an earlier life that nobody has defined in this one"""
        for definition in tasks:
            self.spawning.define(definition, now, self._behaviours)
        self.alarms.rearm(now)
        if restored is not None:
            self._undefined = take_up(self, restored, now)

    # the four methods

    def receive(self, event: SchedulerEvent, now: int) -> None:
        """Take one event."""
        for executor in self._both:
            if not executor.link.vouched and executor.link.notice_stall(now):
                self.assigning.sync(executor, now)
        self._handlers[type(event)](event, now)
        if self.assigning.stirred or self.assigning.refused:
            self.assigning.settle(now)

    def advance(self, now: int) -> None:
        """Do what is due: links, patience with silence, back-offs, then polls."""
        for executor in self._both:
            if executor.link.next_due() <= now:
                self._take_reports(executor, executor.link.advance(now), now)
                self.assigning.sync(executor, now)
        self.assigning.advance(now)
        self.ending.advance(now)
        for job_id in self.wakes.take(now):
            job = self.jobs[job_id]
            if job.state is _S.RETRYING or job.state is _S.HELD:
                self.make_ready(job, now)
        self.spawning.advance(now)
        due = self.alarms.due_ns
        if due is not None and due <= now:
            self.alarms.advance(now)
        if self.assigning.stirred or self.assigning.refused:
            self.assigning.settle(now)

    def next_due(self) -> int | None:
        """When `advance` wants to be called (ns)."""
        due = self.ending.reactions.first
        if self.wakes.first < due:
            due = self.wakes.first
        alarms = self.alarms.due_ns
        if alarms is not None and alarms < due:
            due = alarms
        first = self.spawning.next_due()
        if first < due:
            due = first
        first = self.assigning.next_due()
        if first < due:
            due = first
        for executor in self._both:
            first = executor.link.next_due()
            if first < due:
                due = first
        return None if due == NEVER_NS else due

    def drain(self) -> list[Effect]:
        """What the driver is to do, in order: records first."""
        effects: list[Effect] = []
        if self.effects:
            effects += self.effects
            self.effects.clear()
            if len(effects) > 1:
                effects = records_first(effects)
        for executor in self._both:
            if executor.link.outbox:
                effects.append(Transmit(executor.name, executor.link.seal()))
        return effects

    def _scripts_ran(self, event: ScriptsRan, _: int) -> None:
        self.effects.extend([Commit(change) for change in event.changes])

    @property
    def idle(self) -> bool:
        """Nothing is under way: no job that is not final, no item that waits, no question that is open, and each
        source has shown twice in a row that it has nothing new."""
        if self.jobs:
            return False
        for task in self.spawning.tasks.values():
            if task.items or task.preparing is not None:
                return False
            if task.sourced and task.polls and task.settled < 2 and self.spawning.may_spawn(task):
                return False
        return True

    def define(self, definition: TaskDefinition, now: int) -> None:
        """Add a task, or change one. A task of an earlier life takes up its counts and its jobs again."""
        self.spawning.define(definition, now, self._behaviours)
        if definition.deadline is not None:
            self.alarms.rearm(now)
        name = definition.name
        old = self._undefined.pop(name, None)
        if old is None:
            return
        self.spawning.restore({name: old}, now)
        task = self.spawning.tasks[name]
        for job in self.jobs.values():
            if job.task is None and not job.plain and job.common.task == name:
                job.task = task
                task.in_flight += 1
                task.running += job.state is _S.RUNNING

    # making and assigning jobs

    def _made(self, task: TaskState, spec: JobSpec, due_ns: int, now: int) -> None:
        job = self.accept(spec, now, due_ns=due_ns, task=task)
        task.made += 1
        task.in_flight += 1
        if task.definition.deadline is not None:
            self.alarms.made(job, due_ns, now)
        self.assigning.assign(job, now)

    def accept(
        self,
        spec: JobSpec,
        now: int,
        *,
        due_ns: int = 0,
        parent: JobId = NO_JOB,
        plain: bool = False,
        task: TaskState | None = None,
    ) -> ScheduledJob:
        """Make a job and record it; it is not assigned yet."""
        number = JobId(self.next_job)
        self.next_job += 1
        alike = None if task is None else task.alike
        if alike is None or spec.command is not alike.command or self.cluster.directory:
            spec = self._fit(spec)  # else it is made from `alike`, and that was done with the task's definition
        line = self.assigning.line_of(spec)
        job = self.jobs[number] = ScheduledJob(number, spec, now, now, now, plain, line=line, task=task)
        self.effects.append(Commit(JobAccepted(number, spec, due_ns, parent, plain)))
        return job

    def _fit(self, spec: JobSpec) -> JobSpec:
        """As it is taken."""
        if spec != self._last[0]:
            taken = within_bounds(spec)
            if self.cluster.directory and spec.host.name != LOCAL:
                taken = in_directory(taken, self.cluster.directory)
            self._last = spec, taken
        return self._last[1]

    def executor_of(self, job: ScheduledJob) -> Executor:
        """Who gets this job."""
        assert job.line is not None
        return job.line.executor

    def make_ready(self, job: ScheduledJob, now: int) -> None:
        """The job may be assigned; it is, if its executor can take it."""
        if job.state is not _S.READY:
            self.move(job, _S.READY, now)
        if job.special is not NOTHING_SPECIAL:
            if job.special.wake_ns is not None:
                self.wakes.cancel(job.id)
            job.note(wake_ns=None, held="")
        job.ready_ns = now
        self.assigning.assign(job, now)

    # what executors say

    def _delivered(self, event: Delivered, now: int) -> None:
        executor = self.executors[event.peer]
        batch: Batch = event.batch
        self._take_reports(executor, executor.link.receive(batch, now), now)
        self.assigning.sync(executor, now)

    def _take_reports(self, executor: Executor, reports: list[Up], now: int) -> None:
        for message in reports:
            kind = type(message)
            if kind is Pong:
                continue
            if kind is Notices:
                for notice in executor.hearing.take(message, executor.link.peer_epoch, executor.name):  # type: ignore[arg-type]
                    self.effects += (Commit(NoticeHeard(notice.level, notice.about, notice.text)), notice)
                executor.link.heard(message.number)  # type: ignore[union-attr]
                continue
            job = self.jobs.get(message.job)  # type: ignore[union-attr]
            if (
                job is None
                or job.attempt != message.attempt  # type: ignore[union-attr]
                or job.executor != executor.name
                or job.state not in AT_EXECUTOR
            ):
                key = (message.job, message.attempt)  # type: ignore[union-attr]
                self._stale(executor, key, job, kind is Ended, now)
            elif kind is Ended:
                self.ended(job, message.report, now)  # type: ignore[union-attr]
            elif kind is Started:
                self._started(job, message.host, now)  # type: ignore[union-attr]
            elif job.state is _S.ASSIGNED:
                self.move(job, _S.PENDING, now)
        if self.orders.kills_all:
            self.orders.look_for_idle()

    def _stale(self, executor: Executor, key: AttemptKey, job: ScheduledJob | None, ended: bool, now: int) -> None:
        """A word about an attempt that is over for us: its end is acknowledged, its life is ended."""
        link = executor.link
        if job is not None and job.state is _S.REACTING and job.attempt == key[1]:
            return  # its end is being reacted to, and is acknowledged then
        if ended:
            link.acknowledge(key)
            if job is not None and job.id in executor.barred:
                del executor.barred[job.id]
                self.assigning.assign(job, now)
        elif key in link.given:
            link.cancel(key, CancelReason.ORPHAN, now)
        else:
            link.refuse(key, CancelReason.ORPHAN)

    def _started(self, job: ScheduledJob, host: str, now: int) -> None:
        if job.state is _S.CANCELLING or job.state is _S.RUNNING:
            if not job.host and job.task is not None:
                job.task.running += 1  # its end counts it off
            job.host = host
            return
        job.host = host
        self.move(job, _S.RUNNING, now)
        if job.task is not None:
            job.task.running += 1
        if self.assigning.silent.first != NEVER_NS:
            self.assigning.silent.cancel(job.id)
        self.effects.append(Commit(AttemptStarted(job.id, job.attempt, host)))

    def _link_up(self, event: LinkUp, now: int) -> None:
        executor = self.executors[event.peer]
        if executor.name == CONTROLLER and event.identity != self._controller:
            if self._controller:
                reason = "another controller is there, or it has lost its journal"
                lost = executor.link.forsake(reason)
                if lost:
                    self.effects.append(Notice("alarm", CONTROLLER, f"{reason}: {len(lost)} attempts are lost"))
                self._take_reports(executor, lost, now)
            self._controller = event.identity
            self.effects.append(Commit(ControllerKnown(event.identity)))
        executor.link.opened(now)

    def _link_down(self, event: LinkDown, now: int) -> None:
        executor = self.executors[event.peer]
        executor.link.closed(now)
        self.assigning.sync(executor, now)

    def _vouched(self, event: Vouched, now: int) -> None:
        self.executors[event.peer].link.vouch(event.vouched, now)

    # ends

    def ended(self, job: ScheduledJob, report: Report, now: int, *, by_executor: bool = True) -> None:
        """An attempt has ended (or the job without one): decide what follows."""
        if job.state is _S.RUNNING or (job.state is _S.CANCELLING and job.host):
            if job.task is not None and job.host:
                job.task.running -= 1
        else:
            self.assigning.silent.cancel(job.id)
            if report.outcome is Outcome.PENDING_TIMEOUT and job.task is not None:
                self.alarms.timed_out(job, now)
        if job.host and not report.started:  # a host that lost its memory says that it was never there
            report = replace(report, started=True)
        if job.state is _S.CANCELLING and job.special.cancel is CancelReason.HELD and not report.started:
            self.ending.back_to_hold(job, report, now)
            return
        job.report = report
        if job.special.acknowledge is not by_executor:
            job.note(acknowledge=by_executor)
        self.move(job, _S.REACTING, now)
        if self.orders.halted:
            self.halted[job.id] = report
        else:
            self.ending.react(job, now)

    def end_now(self, job: ScheduledJob, outcome: Outcome, reason: str, now: int) -> None:
        """End a job that no executor has."""
        self.assigning.leave(job)
        self.wakes.cancel(job.id)
        report = Report(outcome, reason=reason, waited_ns=now - job.ready_ns)
        self.ended(job, report, now, by_executor=False)

    def cancel(self, job: ScheduledJob, why: CancelReason, now: int) -> None:
        """End a job wherever it is; one that an executor has ends when that confirms it."""
        if job.state is _S.CANCELLING:
            return
        job.note(cancel=why)
        if job.state in AT_EXECUTOR:
            self.move(job, _S.CANCELLING, now)
            self.assigning.silent.cancel(job.id)
            self.executors[job.executor].link.cancel((job.id, job.attempt), why, now)
        elif job.state is not _S.REACTING:
            self.end_now(job, Outcome.KILLED, why.value, now)

    def hold_until(self, job: ScheduledJob, when_ns: int | None) -> None:
        """Let the hold of a job end by itself."""
        job.note(wake_ns=when_ns)
        if when_ns is None:
            self.wakes.cancel(job.id)
        else:
            self.wakes.set(job.id, when_ns)

    # the rest

    def _wall_clock(self, event: WallClock, now: int) -> None:
        self.spawning.wall_offset_ns = event.offset_ns
        self.spawning.wake_all(now)

    def move(self, job: ScheduledJob, state: JobState, now: int) -> None:
        """Change a job's state, by the table."""
        if state not in JOB_MOVES[job.state]:
            check_move(JOB_MOVES, job.state, state, f"job {job.id} ({job.spec.task})", job.story())
        job.before = before = job.state
        job.state = state
        job.since_ns = now
        if before in _AT_EXECUTOR and state is not _S.PENDING:
            self.assigning.moved(job, before, state)

    # explain

    def explain_job(self, number: int, now: int) -> Explanation | None:
        """Why a job that is not final is where it is, as far as the scheduler knows; None: not here."""
        job = self.jobs.get(JobId(number))
        if job is None:
            return None
        executor = self.executor_of(job)
        patience_ns, in_line = self.assigning.silent.at(job.id), self.assigning.explain(job)
        return explain_job(
            job, executor.name, executor.away_since_ns, patience_ns, self.orders.stopped, in_line,
            halted=job.id in self.halted,
        )  # fmt: skip

    def explain_task(self, name: str, now: int) -> Explanation | None:
        """Why a task spawns nothing now; None: no such task."""
        task = self.spawning.tasks.get(name)
        return None if task is None else self.spawning.explain(task, now)


__all__ = ["CONTROLLER", "Executor", "Scheduler", "SchedulerEvent", "describe"]
