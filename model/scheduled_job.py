"""A job as its scheduler holds it, until it is final; and why it is where it is."""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from model.explain import Explanation, Reason, held_text
from model.job import JobId, JobSpec, JobState, Report
from model.kept_specs import Kept, common_of, spec_of
from model.lines import Line
from model.messages import CancelReason
from model.quick_struct import quick_to_set
from model.task_state import TaskState

AT_EXECUTOR = frozenset({JobState.ASSIGNED, JobState.PENDING, JobState.RUNNING, JobState.CANCELLING})
"""States in which an executor has the job's last attempt."""
RESUME = ("laulima resume",)
_READY = JobState.READY


class Special(Struct, frozen=True, gc=False):
    """What happens to few jobs."""

    retries: int = 0
    reruns: int = 0
    rooms: int = 0
    wake_ns: int | None = None
    held: str = ""
    cancel: CancelReason | None = None
    silently: bool = False
    """deleted or flushed: no handler runs"""
    acknowledge: bool = True
    """whether an executor waits for the acknowledgement of the report"""
    requests: tuple[int, ...] = ()
    """orders that are answered at its end"""


NOTHING_SPECIAL = Special()
"""Of most jobs: they share it."""


@quick_to_set
class ScheduledJob(Struct, eq=False, gc=False):
    """One job that is not final. (A struct, not tracked by the garbage collector: a million may wait, and nothing that
    it holds refers to it.)"""

    id: JobId
    kept: Kept
    """its specification (`spec`), as small as it can be while the job stands in a line"""
    made_ns: int
    ready_ns: int
    """since when this attempt waits (its pending time counts from here)"""
    since_ns: int
    plain: bool
    """a handler's own command: no handlers, no limits"""
    state: JobState = _READY
    before: JobState = _READY
    attempt: int = 0
    """the last attempt that was assigned"""
    executor: str = ""
    host: str = ""
    """where it runs; empty while it does not"""
    line: Line | None = None
    """where it stands, or stood, before its executor"""
    in_line: int = 0
    """how it stands there now: `lines.SOON` or `LONG`; 0: it does not"""
    task: TaskState | None = None
    report: Report | None = None
    special: Special = NOTHING_SPECIAL
    """(apart, so that a job that waits takes 64 bytes less)"""

    @property
    def spec(self) -> JobSpec:
        """What it asks for. Of a job in a line it is made anew each time: see `common`."""
        kept = self.kept
        return kept if type(kept) is JobSpec else spec_of(kept)

    @property
    def common(self) -> JobSpec:
        """The same but for what jobs of one task may have of their own (`kept_specs.OWN`): for whoever looks at many
        jobs, and at no such field."""
        kept = self.kept
        return kept if type(kept) is JobSpec else common_of(kept)

    @property
    def is_new(self) -> bool:
        """Nothing has happened to it since it was made ready."""
        return not self.attempt and self.special is NOTHING_SPECIAL

    def note(self, **changes: Any) -> None:
        """Something special has happened to it, or is over: fields of `Special` with their new values."""
        self.special = replace(self.special, **changes)

    def story(self) -> str:
        """What happened to it last, for an error message."""
        report = f", last report {self.report.outcome.name}" if self.report is not None else ""
        return f"attempt {self.attempt} at {self.executor or 'nobody'}, before that {self.before.value}{report}"


def explain_job(
    job: ScheduledJob,
    executor: str,
    away_since_ns: int | None,
    patience_ns: int | None,
    stopped: str,
    in_line: Explanation | None,
    *,
    halted: bool,
) -> Explanation:
    """Why the job is where it is, as far as the scheduler knows. `patience_ns`: when it ends CONTROLLER_SILENT.
    `in_line`: why it stands in its line, when that is before an executor that takes jobs. `halted`: its end came during
    a halt that goes on."""
    state, since = job.state, job.since_ns
    release = f"laulima release {job.id}"
    if state is JobState.HELD:
        return Explanation(Reason.HELD, held_text(job.special.held), since, job.special.wake_ns, (release,))
    if state is JobState.RETRYING:
        text = f"waits for its back-off before attempt {job.attempt + 1}"
        return Explanation(Reason.BACK_OFF, text, since, job.special.wake_ns, (f"laulima retry {job.id}",))
    if state is JobState.RUNNING:
        return Explanation(Reason.RUNS, f"runs on {job.host}", since)
    if state is JobState.CANCELLING:
        why = job.special.cancel.value if job.special.cancel is not None else ""
        return Explanation(Reason.STOPPING, f"being ended ({why}), {executor} has not confirmed it", since)
    if state is JobState.REACTING:
        if halted:
            return Explanation(Reason.INTAKE_STOPPED, f"ended, nothing reacts to it: {stopped}", since, None, RESUME)
        return Explanation(Reason.BEHAVIOUR, "ended, its task's reaction is awaited", since)
    if away_since_ns is not None:
        text = f"{executor} does not answer"
        return Explanation(
            Reason.EXECUTOR_SILENT, text, max(since, away_since_ns), patience_ns, (f"{executor} answers",)
        )
    if state is JobState.READY:
        if in_line is not None:
            return in_line
        if stopped:
            return Explanation(Reason.INTAKE_STOPPED, stopped, since, None, RESUME)
        return Explanation(Reason.STOPPING, "its earlier attempt is still being ended", since)
    if state is JobState.ASSIGNED:
        return Explanation(Reason.NOT_ANSWERED, f"given to {executor}, not answered yet", since)
    return Explanation(Reason.NO_SLOT, f"waits at {executor}", since)
