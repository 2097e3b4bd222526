"""What a new life of the scheduler takes up of an earlier one: its jobs, tasks and orders. Called at its start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from model.job import JobState
from model.messages import CancelReason
from model.restored import RestoredScheduler, RestoredTask
from model.scheduled_job import ScheduledJob, Special

if TYPE_CHECKING:
    from model.scheduler import Scheduler


def take_up(scheduler: Scheduler, restored: RestoredScheduler, now: int) -> dict[str, RestoredTask]:
    """Jobs that are at an executor are awaited, others wait as they did, or are given out. What is known of tasks that
    nobody has defined in this life."""
    scheduler.next_job = restored.next_job
    tasks = scheduler.spawning.tasks
    scheduler.spawning.restore(restored.tasks, now)
    scheduler.orders.restore(restored.intake, restored.intake_reason)
    for number, old in restored.jobs.items():
        job = ScheduledJob(number, old.spec, now, now, now, old.plain)
        job.attempt, job.executor = old.attempt, old.executor
        job.host = old.host if old.running else ""  # an earlier attempt's host is not where this one runs
        if old.retries or old.reruns or old.rooms or old.held:
            job.special = Special(old.retries, old.reruns, old.rooms, held=old.held)
        job.line = scheduler.assigning.line_of(old.spec)
        scheduler.jobs[number] = job
        job.task = None if old.plain else tasks.get(old.spec.task)
        if job.task is not None:
            job.task.in_flight += 1
        if old.assigned:
            job.state = JobState.RUNNING if old.running else JobState.PENDING
            if old.running and job.task is not None:
                job.task.running += 1
            scheduler.assigning.restored(job)
            link = scheduler.executors[old.executor].link
            link.restore((number, old.attempt), old.spec, running=old.running, sent_to=1 << 62)
            if old.doomed:
                why = CancelReason(old.doomed)
                job.note(silently=why is CancelReason.DELETED)
                scheduler.cancel(job, why, now)
        elif old.held:
            job.state = JobState.HELD
        elif old.wait_ns:
            job.state = JobState.RETRYING
            job.note(wake_ns=now + old.wait_ns)
            scheduler.wakes.set(number, now + old.wait_ns)
        else:
            scheduler.make_ready(job, now)
    if restored.keep_ns:
        for executor in scheduler.executors.values():
            executor.link.parted(restored.keep_ns, now)
    scheduler.alarms.restore(restored.alarms, now)
    return {name: old for name, old in restored.tasks.items() if name not in tasks}
