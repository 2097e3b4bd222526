"""Which jobs a person means: a selection, applied to the unfinished jobs of the scheduler and to the history.

All parts of a selection must hold. Called by `live/requests.py` and `live/controller_requests.py`; the words
are made by `shell/selections.py`.
"""

from __future__ import annotations

from itertools import islice

from msgspec import Struct

from live.history import LIMIT_MAX, History, HistoryQuestion, is_end
from model.controller import Controller
from model.controller_job import ControllerJob, ControllerJobState
from model.errors import OperatorError
from model.job import JobId, JobState, Outcome
from model.near_miss import nearest
from model.scheduled_job import ScheduledJob
from model.scheduler import Scheduler
from model.views import HistoryRow

FINAL_WORDS = frozenset({"final", "done", "failed", "ended"}) | {outcome.value.lower() for outcome in Outcome}
"""Values of `state` that only final jobs have."""
_UNFINISHED = tuple(state.value for state in (*JobState, *ControllerJobState))


class Selection(Struct, frozen=True):
    """`all`: no other part narrows it. Empty: nothing was said. Raises OperatorError for a state that no job has."""

    jobs: tuple[int, ...] = ()
    last: bool = False
    task: str | None = None
    state: str | None = None
    host: str | None = None
    all: bool = False

    def __post_init__(self) -> None:
        if self.state is None or is_end(self.state) or (word := self.state.lower()) in (*_UNFINISHED, *FINAL_WORDS):
            return
        raise OperatorError(
            f"no job is ever {self.state!r}{nearest(word, (*_UNFINISHED, *FINAL_WORDS))}",
            f"states: {', '.join(state.value for state in JobState)}, done, failed, an outcome, exit N",
        )

    @property
    def empty(self) -> bool:
        return self == Selection()

    def final_rows(self, history: History, most: int | None = None) -> list[HistoryRow]:
        """The last attempts of the final jobs that are meant, oldest first: the last `most` of them."""
        state = (self.state or "").lower()
        if state and state not in FINAL_WORDS and not is_end(state):
            return []
        if self.jobs:
            rows = [row for number in self.jobs if (row := history.final(number)) is not None]
        else:
            limit = 1 if self.last else LIMIT_MAX if most is None else most
            outcome = None if state in ("", "final", "ended") else "exit 0" if state == "done" else state
            question = HistoryQuestion(task=self.task, host=self.host, outcome=outcome, limit=limit, final=True)
            rows = history.attempts(question)
        return [row for row in rows if self._fits(row, state)]

    def _fits(self, row: HistoryRow, state: str) -> bool:
        good = row.outcome == Outcome.EXITED.value and row.exit_code == 0
        by_state = (
            state in ("", "final", "ended")
            or (state == "done" and good)
            or (state == "failed" and not good)
            or state.replace("-", "_") == row.outcome.lower()
            or state == f"exit {row.exit_code}"
        )
        return by_state and self.task in (None, row.task) and self.host in (None, row.host)


def wants_final(selection: Selection) -> bool:
    """Whether final jobs are meant too: they are when named by number or by a state that only they have."""
    state = (selection.state or "").lower()
    return bool(selection.jobs) or selection.last or state in FINAL_WORDS or is_end(state)


def live_jobs(scheduler: Scheduler, selection: Selection) -> list[ScheduledJob]:
    """The unfinished jobs that are meant, by number."""
    if selection.jobs:
        named = {JobId(number) for number in selection.jobs}
        jobs = [job for number in sorted(named) if (job := scheduler.jobs.get(number)) is not None]
    else:
        jobs = [scheduler.jobs[number] for number in sorted(scheduler.jobs)]
    return [job for job in jobs if _fits(job, selection)]


def _fits(job: ScheduledJob, selection: Selection) -> bool:
    return (
        selection.task in (None, job.common.task)
        and selection.host in (None, job.host)
        and (selection.state is None or selection.state.lower() in (job.state.value, _WIDER.get(job.state.value)))
    )


def at_controller(controller: Controller, selection: Selection, most: int) -> list[ControllerJob]:
    """The attempts at a controller of several schedulers that are meant, at most `most`, in the order of their
    schedulers and numbers. `task` is one of any scheduler, or SCHEDULER/TASK."""
    found = (job for _, job in sorted(controller.jobs.items()) if _fits_there(job, selection))
    return list(islice(found, most))


def _fits_there(job: ControllerJob, selection: Selection) -> bool:
    state, running = job.state, job.state is ControllerJobState.RUNNING
    words = (state.value, "running" if running else "pending")
    return (
        state is not ControllerJobState.ENDED
        and (not selection.jobs or job.superior.outside(job.key)[0] in selection.jobs)
        and selection.task in (None, job.spec.task, f"{job.superior.name}/{job.spec.task}")
        and selection.host in (None, job.host.name if job.host is not None else "")
        and (selection.state is None or selection.state.lower() in words)
    )


_WIDER = {"ready": "pending", "assigned": "pending", "cancelling": "running"}
"""What the status table counts these states as."""
