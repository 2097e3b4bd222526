"""What a person may order of the scheduler, about jobs, tasks and the intake. Owned by the scheduler.

Every order is answered once (but for a submission that asks for none): with what happened, or with why it cannot be
done. The answer to an order that ends jobs comes when they have ended; if their executor is silent, at once, with that
said. One that says who gives it is recorded (`PersonOrdered`) with what follows from it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from model.effects import Answer, Commit, Idle
from model.events import (
    DefineTask,
    IntakeVerb,
    JobVerb,
    OrderIntake,
    OrderJob,
    OrderTask,
    Submit,
    TakeSettings,
    TaskVerb,
)
from model.explain import attributed
from model.job import LOCAL, NO_JOB, HostWish, JobId, JobSpec, JobState, Report
from model.messages import CancelReason
from model.near_miss import nearest
from model.records import ConfigurationTaken, IntakeChanged, JobDoomed, JobHeld, PersonOrdered
from model.scheduled_job import AT_EXECUTOR

if TYPE_CHECKING:
    from model.scheduled_job import ScheduledJob
    from model.scheduler import Scheduler
    from model.task_state import TaskState

_S = JobState
NOT_STARTED = frozenset({_S.READY, _S.HELD, _S.ASSIGNED, _S.PENDING, _S.RETRYING})
"""States of jobs that do not run: they can be held, and a flush ends them."""


class Orders:
    """The state that orders make: what is stopped, what is shutting down."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self.verb = IntakeVerb.RESUME
        self.reason = ""
        self.paused = ""
        """why the driver wants nothing new for now; empty: it does. Nobody's order is lifted by it, or lifts it"""
        self.stopped = ""
        """why nothing is spawned; empty: it is"""
        self.halted = False
        """whether ends are not reacted to"""
        self.assigning_stopped = False
        """whether jobs that exist already are not given out either"""
        self.kills_all = False
        """a shutdown that kills is under way: `look_for_idle` is to be called whenever something has ended"""
        self._flushing: dict[int, tuple[int, str]] = {}
        """by request: how many of its jobs have not ended yet, and what is answered when they have"""

    def _record(self, by: str, verb: str, about: str, name: str, reason: str = "", job: JobId = NO_JOB) -> None:
        if by:
            self._scheduler.effects.append(Commit(PersonOrdered(by, verb, about, name, reason, job)))

    def _set(self, verb: IntakeVerb, reason: str) -> None:
        """From now on this holds for the intake. (What follows from it is worked out here: it is asked for several
        times in the life of each job.)"""
        self.verb, self.reason = verb, reason
        self._stop()
        self.halted = verb is IntakeVerb.HALT
        self.assigning_stopped = verb in (IntakeVerb.HALT, IntakeVerb.SHUTDOWN, IntakeVerb.SHUTDOWN_KILL)

    def _stop(self) -> None:
        """Why nothing is spawned: what was ordered, else what the driver says."""
        self.stopped = f"intake stopped: {self.paused}" if self.paused else ""
        if self.verb is not IntakeVerb.RESUME:
            self.stopped = f"intake {_WORDS[self.verb]}" + (f": {self.reason}" if self.reason else "")
        self._scheduler.spawning.intake_stopped = self.stopped

    # jobs

    def submit(self, order: Submit, now: int) -> None:
        """An ad-hoc job, or a person's retry of a final one. Request 0: nobody waits for an answer, as those who give
        the jobs of a workload."""
        scheduler = self._scheduler
        if self.stopped:
            self._refuse(order.request, self.stopped, now)
            return
        job = scheduler.accept(order.spec, now, parent=JobId(order.parent))
        task = scheduler.spawning.tasks.get(order.spec.task)
        if task is not None:
            job.task = task
            task.made += 1
            task.in_flight += 1
        if order.by:
            self._record(order.by, "retry" if order.parent else "submit", "job", str(job.id), "", job.id)
        if order.request:
            again = f", again for job {order.parent}" if order.parent else ""
            scheduler.effects.append(Answer(order.request, True, f"job {job.id} accepted{again}", job.id))
        scheduler.make_ready(job, now)

    def job(self, order: OrderJob, now: int) -> None:
        """Kill, delete, hold, release or hurry one job."""
        job = self._scheduler.jobs.get(JobId(order.job))
        if job is None:
            self._refuse(order.request, f"there is no job {order.job} that is not final", now)
            return
        handler = {
            JobVerb.KILL: self._kill,
            JobVerb.DELETE: self._kill,
            JobVerb.HOLD: self._hold,
            JobVerb.RELEASE: self._release,
            JobVerb.RETRY: self._hurry,
        }[order.verb]
        problem = handler(job, order, now)
        if problem:
            self._refuse(order.request, problem, now)
        else:
            self._record(order.by, order.verb.value, "job", str(job.id), order.reason, job.id)

    def _kill(self, job: ScheduledJob, order: OrderJob, now: int) -> str:
        scheduler = self._scheduler
        delete = order.verb is JobVerb.DELETE
        job.note(silently=job.special.silently or delete)
        if job.state is _S.REACTING:
            return f"job {job.id} has ended already, its task's reaction is awaited"
        executor = scheduler.executor_of(job)
        why = CancelReason.DELETED if delete else CancelReason.KILLED
        if job.state in AT_EXECUTOR and executor.away_since_ns is not None:
            text = f"job {job.id}: asked for, {executor.name} does not answer; it ends when that is back"
            scheduler.effects += (Commit(JobDoomed(job.id, why.value)), Answer(order.request, True, text, job.id))
        else:
            job.note(requests=(*job.special.requests, order.request))
        scheduler.cancel(job, why, now)
        return ""

    def _hold(self, job: ScheduledJob, order: OrderJob, now: int) -> str:
        if job.state not in NOT_STARTED:
            return f"job {job.id} is {job.state.value}: only a job that does not run can be held"
        scheduler = self._scheduler
        job.note(held=attributed(order.reason, order.by) or "by a person")
        if order.until_ns is not None:
            scheduler.hold_until(job, now + order.until_ns)
        if job.state in (_S.ASSIGNED, _S.PENDING):
            job.note(requests=(*job.special.requests, order.request))
            scheduler.cancel(job, CancelReason.HELD, now)
            return ""
        scheduler.assigning.leave(job)
        if job.state is not _S.HELD:
            scheduler.move(job, _S.HELD, now)
            scheduler.hold_until(job, None if order.until_ns is None else now + order.until_ns)
        scheduler.effects.append(Commit(JobHeld(job.id, job.special.held, order.until_ns or 0)))
        scheduler.effects.append(Answer(order.request, True, f"job {job.id} is held", job.id))
        return ""

    def _release(self, job: ScheduledJob, order: OrderJob, now: int) -> str:
        if job.state is not _S.HELD:
            return f"job {job.id} is not held, it is {job.state.value}"
        scheduler = self._scheduler
        scheduler.effects.append(Commit(JobHeld(job.id, "")))
        scheduler.effects.append(Answer(order.request, True, f"job {job.id} is released", job.id))
        scheduler.make_ready(job, now)
        return ""

    def _hurry(self, job: ScheduledJob, order: OrderJob, now: int) -> str:
        if job.state is not _S.RETRYING:
            return f"job {job.id} is {job.state.value}: it does not wait for a retry"
        scheduler = self._scheduler
        scheduler.effects.append(Answer(order.request, True, f"job {job.id} is tried again now", job.id))
        scheduler.make_ready(job, now)
        return ""

    def done(self, job: ScheduledJob, text: str) -> None:
        """Answer the orders that waited for this."""
        for request in job.special.requests:
            left, flushed = self._flushing.pop(request, (1, text))
            if left > 1:
                self._flushing[request] = left - 1, flushed
            else:
                self._scheduler.effects.append(Answer(request, True, flushed, job.id))
        if job.special.requests:
            job.note(requests=())

    def look_for_idle(self) -> None:
        """After a shutdown that kills: say so once no executor holds anything."""
        if self.kills_all and not any(executor.link.given for executor in self._scheduler.executors.values()):
            self.kills_all = False
            self._scheduler.effects.append(Idle())

    def handler_spec(self, job: ScheduledJob, command: tuple[str, ...], report: Report) -> JobSpec:
        """The job that runs a handler's command on the scheduler's machine; it learns the report by variables."""
        environment = (
            ("LAULIMA_PARENT", str(job.id)),
            ("LAULIMA_OUTCOME", report.outcome.name),
            ("LAULIMA_EXIT", "" if report.exit_code is None else str(report.exit_code)),
            ("LAULIMA_ITEM", job.spec.item or ""),
        )
        return JobSpec(
            task=job.spec.task,
            command=command,
            environment=environment,
            directory=job.spec.directory,
            item=job.spec.item,
            host=HostWish(LOCAL, required=True),
            timeout_ns=job.spec.timeout_ns,
        )

    # tasks

    def task(self, order: OrderTask, now: int) -> None:
        """Delete, hold, release or flush a task."""
        scheduler = self._scheduler
        task = scheduler.spawning.tasks.get(order.task)
        if task is None:
            meant = nearest(order.task, scheduler.spawning.tasks)
            self._refuse(order.request, f"there is no task {order.task}{meant}", now)
            return
        if order.verb is TaskVerb.FLUSH:
            self._flush(task, order, now)
            return
        if order.verb is TaskVerb.HOLD:
            reason = attributed(order.reason, order.by) or "by a person"
            scheduler.spawning.change(task, now, held=reason, for_ns=order.until_ns)
            text = f"task {order.task} is held"
        elif order.verb is TaskVerb.RELEASE:
            scheduler.spawning.change(task, now, held="", faulted="")
            text = f"task {order.task} is released"
        else:
            scheduler.spawning.change(task, now, deleted=True)
            text = f"task {order.task} is deleted" + (f", {task.in_flight} jobs end" if task.in_flight else "")
            if not task.in_flight:
                scheduler.spawning.forget(order.task)
        self._record(order.by, order.verb.value, "task", order.task, order.reason)
        scheduler.effects.append(Answer(order.request, True, text))

    def _flush(self, task: TaskState, order: OrderTask, now: int) -> None:
        """End the jobs that do not run; those that an executor has end when it says so."""
        scheduler = self._scheduler
        self._record(order.by, order.verb.value, "task", order.task, order.reason)
        jobs = [job for job in scheduler.jobs.values() if job.task is task and job.state in NOT_STARTED]
        waits = 0
        for job in jobs:
            job.note(silently=True)
            if job.state in AT_EXECUTOR and scheduler.executors[job.executor].away_since_ns is None:
                job.note(requests=(*job.special.requests, order.request))
                waits += 1
            elif job.state in AT_EXECUTOR:
                scheduler.effects.append(Commit(JobDoomed(job.id, CancelReason.DELETED.value)))
            scheduler.cancel(job, CancelReason.DELETED, now)
        text = f"task {order.task}: {len(jobs)} jobs flushed"
        if waits:
            self._flushing[order.request] = waits, text
        else:
            scheduler.effects.append(Answer(order.request, True, text))

    def define(self, order: DefineTask, now: int) -> None:
        """A new task, or a new definition of one."""
        self._scheduler.define(order.definition, now)
        self._scheduler.effects.append(Answer(order.request, True, f"task {order.definition.name} is defined"))

    def settings(self, order: TakeSettings, _: int) -> None:
        """Another configuration was taken."""
        record = ConfigurationTaken(order.by, order.what, order.settings, order.reason)
        self._scheduler.effects.append(Commit(record))
        self._scheduler.effects.append(Answer(order.request, True, order.what))

    # intake

    def intake(self, order: OrderIntake, now: int) -> None:
        """Stop, resume, halt, shut down; or the driver stops, and goes on."""
        scheduler = self._scheduler
        if order.verb in (IntakeVerb.PAUSE, IntakeVerb.CONTINUE):
            self._pause(order.reason if order.verb is IntakeVerb.PAUSE else "", now)
            scheduler.effects.append(Answer(order.request, True, self.stopped or "running"))
            return
        self._set(order.verb, attributed(order.reason, order.by))
        self._record(order.by, order.verb.value, "server", "", order.reason)
        keep_ns = order.keep_ns if order.verb is IntakeVerb.SHUTDOWN else 0
        if order.verb is not IntakeVerb.RESUME:
            stays = order.lasting and order.verb in (IntakeVerb.STOP, IntakeVerb.HALT)
            scheduler.effects.append(
                Commit(IntakeChanged(order.verb.value if stays else "running", self.reason, keep_ns))
            )
        else:
            scheduler.effects.append(Commit(IntakeChanged("running")))
            self._take_up(now)
        scheduler.effects.append(Answer(order.request, True, self.stopped or "running"))
        if order.verb is IntakeVerb.SHUTDOWN:
            for executor in scheduler.executors.values():
                executor.link.part(keep_ns, now)
            scheduler.effects.append(Idle())
        elif order.verb is IntakeVerb.SHUTDOWN_KILL:
            self._end_all(now)

    def _pause(self, why: str, now: int) -> None:
        if why == self.paused:
            return
        self.paused = why
        self._stop()
        if self.verb is IntakeVerb.RESUME:
            self._scheduler.effects.append(Commit(IntakeChanged("running", why)))
            if not why:
                self._take_up(now)

    def _take_up(self, now: int) -> None:
        """After a stop or halt: react to what ended meanwhile, give out what waits, look at the tasks."""
        scheduler = self._scheduler
        halted, scheduler.halted = scheduler.halted, {}
        for number in halted:
            job = scheduler.jobs.get(number)
            if job is not None:
                scheduler.ending.react(job, now)
        for executor in scheduler.executors.values():
            scheduler.assigning.flush(executor, now)
        scheduler.spawning.wake_all(now)

    def _end_all(self, now: int) -> None:
        """Ask for the end of everything that an executor has; `Idle` follows when all is confirmed."""
        scheduler = self._scheduler
        self.kills_all = True
        for job in list(scheduler.jobs.values()):
            if job.state in (_S.ASSIGNED, _S.PENDING, _S.RUNNING):
                scheduler.cancel(job, CancelReason.SHUTDOWN, now)
        for executor in scheduler.executors.values():
            executor.link.part(0, now)  # whatever else runs there, nobody's any more, ends too
        self.look_for_idle()

    def restore(self, state: str, reason: str) -> None:
        """Take up a stop or halt of an earlier life."""
        self._set(IntakeVerb(state) if state != "running" else IntakeVerb.RESUME, reason)

    def _refuse(self, request: int, why: str, now: int) -> None:
        self._scheduler.effects.append(Answer(request, False, why))


_WORDS = {
    IntakeVerb.RESUME: "running",
    IntakeVerb.STOP: "stopped",
    IntakeVerb.HALT: "halted",
    IntakeVerb.SHUTDOWN: "shutting down",
    IntakeVerb.SHUTDOWN_KILL: "shutting down",
}
