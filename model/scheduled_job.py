"""A job as its scheduler holds it, until it is final; and why it is where it is."""

from __future__ import annotations

from model.explain import Explanation, Reason
from model.job import JobId, JobSpec, JobState, Report
from model.messages import CancelReason
from model.task_state import TaskState

AT_EXECUTOR = frozenset({JobState.ASSIGNED, JobState.PENDING, JobState.RUNNING, JobState.CANCELLING})
"""States in which an executor has the job's last attempt."""


class ScheduledJob:
    """One job that is not final."""

    __slots__ = (
        "acknowledge",
        "asked",
        "attempt",
        "before",
        "cancel",
        "executor",
        "held",
        "host",
        "id",
        "made_ns",
        "parent",
        "plain",
        "ready_ns",
        "report",
        "requests",
        "reruns",
        "retries",
        "rooms",
        "silently",
        "since_ns",
        "spec",
        "state",
        "task",
        "wake_ns",
    )

    def __init__(self, number: JobId, spec: JobSpec, now: int, parent: JobId, plain: bool) -> None:
        self.id = number
        self.spec = spec
        self.parent = parent
        self.plain = plain
        """a handler's own command: no handlers, no limits"""
        self.made_ns = now
        self.ready_ns = now
        """since when this attempt waits (its pending time counts from here)"""
        self.since_ns = now
        self.state = JobState.READY
        self.before = JobState.READY
        self.attempt = 0
        """the last attempt that was assigned"""
        self.executor = ""
        self.host = ""
        """where it runs; empty while it does not"""
        self.task: TaskState | None = None
        self.retries = 0
        self.reruns = 0
        self.rooms = 0
        self.wake_ns: int | None = None
        self.held = ""
        self.cancel: CancelReason | None = None
        self.silently = False
        """deleted or flushed: no handler runs"""
        self.report: Report | None = None
        self.acknowledge = True
        """whether an executor waits for the acknowledgement of the report"""
        self.asked = False
        """a slow behaviour is reacting"""
        self.requests: list[int] = []
        """orders that are answered at its end"""

    def story(self) -> str:
        """What happened to it last, for an error message."""
        report = f", last report {self.report.outcome.name}" if self.report is not None else ""
        return f"attempt {self.attempt} at {self.executor or 'nobody'}, before that {self.before.value}{report}"


def explain_job(
    job: ScheduledJob, executor: str, away_since_ns: int | None, patience_ns: int | None, stopped: str
) -> Explanation:
    """Why the job is where it is, as far as the scheduler knows. `patience_ns`: when it ends CONTROLLER_SILENT."""
    state, since = job.state, job.since_ns
    release = f"laulima release {job.id}"
    if state is JobState.HELD:
        return Explanation(Reason.HELD, f"held: {job.held}", since, job.wake_ns, (release,))
    if state is JobState.RETRYING:
        text = f"waits for its back-off before attempt {job.attempt + 1}"
        return Explanation(Reason.BACK_OFF, text, since, job.wake_ns, (f"laulima retry {job.id}",))
    if state is JobState.RUNNING:
        return Explanation(Reason.RUNS, f"runs on {job.host}", since)
    if state is JobState.CANCELLING:
        why = job.cancel.value if job.cancel is not None else ""
        return Explanation(Reason.STOPPING, f"being ended ({why}), {executor} has not confirmed it", since)
    if state is JobState.REACTING:
        return Explanation(Reason.BEHAVIOUR, "ended, its task's reaction is awaited", since)
    if away_since_ns is not None:
        text = f"{executor} does not answer"
        return Explanation(
            Reason.EXECUTOR_SILENT, text, max(since, away_since_ns), patience_ns, (f"{executor} answers",)
        )
    if state is JobState.READY:
        if stopped:
            return Explanation(Reason.INTAKE_STOPPED, stopped, since, None, ("laulima resume",))
        return Explanation(Reason.STOPPING, "its earlier attempt is still being ended", since)
    if state is JobState.ASSIGNED:
        return Explanation(Reason.NOT_ANSWERED, f"given to {executor}, not answered yet", since)
    return Explanation(Reason.NO_SLOT, f"waits at {executor}", since)
