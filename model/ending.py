"""What follows from the end of an attempt: policies first, then the task's behaviour; recorded, then acknowledged.

Owned by the scheduler. The order of the rules: given back, or no room -> again; never started because of a shutdown ->
again, in the next life; lost, or ended by a shutdown -> rerun, as often as the task allows; then the task's retries and
handlers. A deleted job has none of it. An attempt that an earlier life wanted ended for no fault of its job (a hold, a
shutdown, one that was given up), and that comes in now, as that life crashed, is ended as that life would have had it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from model.behaviour import NO_REACTION, Reaction
from model.effects import Commit, Notice, React
from model.events import Reacted
from model.job import JobId, JobState, Outcome, Report
from model.messages import BEGINS_ANEW, CancelReason
from model.records import AttemptEnded
from model.restored import is_good
from model.scheduled_job import AT_EXECUTOR, ScheduledJob
from model.spawning import ASK_LIMIT_NS
from model.states import quick
from model.task import Retry
from model.task_state import TaskState
from model.timers import Timers

if TYPE_CHECKING:
    from model.scheduler import Scheduler

_S = quick(JobState)
_LOST, _SHUTDOWN = Outcome.LOST, CancelReason.SHUTDOWN
_ENDED_FOR_US = frozenset({Outcome.LOST, Outcome.KILLED})
_OF_AN_EARLIER_LIFE = {why.value: why for why in BEGINS_ANEW}


class Ending:
    """Reactions that are under way, and the rules."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self.reactions: Timers[JobId] = Timers()
        """jobs to whose ends slow behaviours are reacting"""

    def advance(self, now: int) -> None:
        """Give up on slow behaviours that did not answer."""
        for number in self.reactions.take(now):
            job = self._scheduler.jobs[number]
            self._settle(job, Reaction(matched="its reaction did not answer in time"), now)

    def react(self, job: ScheduledJob, now: int) -> None:
        """Let the policies, then the task's behaviour, say what follows from the report."""
        report = job.report
        assert report is not None
        if report.given_back and job.attempt == 1 and job.special.cancel is None:  # no second one is given ahead
            self._try_again(job, report, 0, now)
            return
        if report.again and job.special.cancel is None and job.special.rooms < self._scheduler.cluster.rooms_max:
            cluster = self._scheduler.cluster
            wait = min(cluster.backoff_cap_ns, cluster.backoff_ns << job.special.rooms)
            job.note(rooms=job.special.rooms + 1)
            self._try_again(job, report, wait, now)
            return
        task = job.task
        cancel = job.special.cancel
        if cancel is None and report.outcome in _ENDED_FOR_US:
            cancel = _OF_AN_EARLIER_LIFE.get(report.reason)
        if cancel in BEGINS_ANEW and not report.started:
            self._try_again(job, report, 0, now)
            return
        lost = report.outcome is _LOST or cancel is _SHUTDOWN
        if lost and task is not None and job.special.reruns < task.definition.lost_reruns:
            job.note(reruns=job.special.reruns + 1)
            self._try_again(job, report, 0, now)
            return
        if task is None or job.plain or job.special.silently:
            self._settle(job, NO_REACTION, now)
            return
        reaction = task.behaviour.react(task.definition, job.spec, report, job.special.retries)
        if isinstance(reaction, Reaction):
            self._settle(job, reaction, now)
            return
        name, spec, retries = task.definition.name, job.spec, job.special.retries
        self._scheduler.effects.append(React(name, job.id, job.attempt, spec, report, retries, ASK_LIMIT_NS))
        self.reactions.set(job.id, now + ASK_LIMIT_NS)

    def reacted(self, event: Reacted, now: int) -> None:
        """A slow behaviour has reacted."""
        self._scheduler.effects.extend([Commit(change) for change in event.changes])
        job = self._scheduler.jobs.get(JobId(event.job))
        if job is None or self.reactions.at(job.id) is None or job.attempt != event.attempt:
            return
        self.reactions.cancel(job.id)
        if event.error and job.task is not None:
            self._scheduler.spawning.change(job.task, now, faulted=f"its reaction failed: {event.error}")
        self._settle(job, event.reaction, now)

    def _settle(self, job: ScheduledJob, reaction: Reaction, now: int) -> None:
        report = job.report
        assert report is not None
        if reaction.retry is not None:
            job.note(retries=job.special.retries + 1, rooms=0)
            self._try_again(job, report, _retry_wait(reaction.retry, job), now)
            return
        good = is_good(report) if reaction.good is None else reaction.good
        self._scheduler.effects.append(self._end_record(job, report, final=True, good=good))
        self._acknowledge(job)
        self._scheduler.move(job, _S.FINAL, now)
        del self._scheduler.jobs[job.id]
        if job.special.wake_ns is not None:
            self._scheduler.wakes.cancel(job.id)
        if job.special.requests:
            self._scheduler.orders.done(job, f"job {job.id} ended: {report.outcome.name}")
        if job.task is not None:
            self._count_final(job, job.task, good, now)
        if reaction is not NO_REACTION:
            self._carry_out(job, reaction, report, now)

    def _count_final(self, job: ScheduledJob, task: TaskState, good: bool, now: int) -> None:
        task.in_flight -= 1
        item = job.spec.item
        if good:
            task.done += 1
        else:
            task.failed += 1
            assert job.report is not None
            self._scheduler.alarms.failed(job, job.report, now)
        if item is not None and item in task.known:
            task.known[item] = True
        if good and self._scheduler.spawning.downstream:
            self._scheduler.spawning.finished(task, item if item is not None else str(job.id), now)
        if task.deleted and task.in_flight == 0:
            self._scheduler.spawning.forget(task.definition.name)
        else:
            self._scheduler.spawning.wake(task, now)

    def _carry_out(self, job: ScheduledJob, reaction: Reaction, report: Report, now: int) -> None:
        """What a handler wants besides: disable the task, tell somebody, run a command here."""
        about = f"{job.spec.task} job {job.id}" + (f" ({job.spec.item})" if job.spec.item else "")
        if reaction.notify:
            text = f"{about}: {describe(report)}"
            self._scheduler.effects.append(Notice("alarm", f"job {job.id}", text))
            self._scheduler.alarms.say(reaction.notify, f"job {job.id}", text, now)
        if reaction.disable and job.task is not None:
            self._scheduler.spawning.change(job.task, now, faulted=f"disabled by on: {reaction.matched} ({about})")
        if reaction.run:
            spec = self._scheduler.orders.handler_spec(job, reaction.run, report)
            self._scheduler.make_ready(self._scheduler.accept(spec, now, parent=job.id, plain=True), now)

    def _try_again(self, job: ScheduledJob, report: Report, wait_ns: int, now: int) -> None:
        self._scheduler.effects.append(self._end_record(job, report, final=False, wait_ns=wait_ns))
        self._acknowledge(job)
        job.host = ""
        self._scheduler.move(job, _S.RETRYING, now)
        job.note(cancel=None, wake_ns=now + wait_ns)
        self._scheduler.wakes.set(job.id, now + wait_ns)
        self._scheduler.orders.done(job, f"job {job.id} is tried again by its task's rules")

    def _end_record(
        self, job: ScheduledJob, report: Report, *, final: bool, good: bool = False, wait_ns: int = 0, held: str = ""
    ) -> Commit:
        special = job.special
        before = job.before if job.state is _S.REACTING else job.state
        attempt = job.attempt if before in AT_EXECUTOR else 0  # 0: none was under way, an earlier one's end stands
        return Commit(
            AttemptEnded(
                job.id,
                attempt,
                report,
                final,
                good,
                special.retries,
                special.reruns,
                special.rooms,
                wait_ns,
                held,
                special.silently,
            )
        )

    def _acknowledge(self, job: ScheduledJob) -> None:
        if not job.special.acknowledge:
            job.note(acknowledge=True)
        elif job.executor:
            self._scheduler.executors[job.executor].link.acknowledge((job.id, job.attempt))

    def back_to_hold(self, job: ScheduledJob, report: Report, now: int) -> None:
        """The executor gave the job back because a person holds it."""
        self._scheduler.effects.append(self._end_record(job, report, final=False, held=job.special.held))
        self._acknowledge(job)
        job.note(cancel=None)
        self._scheduler.move(job, _S.HELD, now)
        self._scheduler.orders.done(job, f"job {job.id} is held")


def _retry_wait(retry: Retry, job: ScheduledJob) -> int:
    """The back-off before the next retry, ns. The jitter is drawn from the names, so it is the same in every run."""
    wait = min(float(retry.cap_ns), retry.backoff_ns * retry.factor ** (job.special.retries - 1))
    chance = (job.id * 2654435761 + job.attempt * 40503 & 0xFFFF) / 0x10000
    return int(wait * (1 + retry.jitter * chance))


def describe(report: Report) -> str:
    """A report in one clause, for people."""
    if report.outcome is Outcome.EXITED:
        return f"exit {report.exit_code}"
    detail = f" signal {report.signal}" if report.signal is not None else ""
    return report.outcome.name + detail + (f": {report.reason}" if report.reason else "")
