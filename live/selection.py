"""Which jobs a person means: a selection, applied to the unfinished jobs of the scheduler and to the history.

All parts of a selection must hold. Called by `live/requests.py`; the words are made by `shell/selections.py`.
"""

from __future__ import annotations

from msgspec import Struct

from live.history import LIMIT_MAX, History, HistoryQuestion
from model.job import JobId, Outcome
from model.scheduled_job import ScheduledJob
from model.scheduler import Scheduler
from model.views import HistoryRow

FINAL_WORDS = frozenset({"final", "done", "failed", "ended"}) | {outcome.value.lower() for outcome in Outcome}
"""Values of `state` that only final jobs have."""


class Selection(Struct, frozen=True):
    """`all`: no other part narrows it. Empty: nothing was said."""

    jobs: tuple[int, ...] = ()
    last: bool = False
    task: str | None = None
    state: str | None = None
    host: str | None = None
    all: bool = False

    @property
    def empty(self) -> bool:
        return self == Selection()

    def final_rows(self, history: History, most: int | None = None) -> list[HistoryRow]:
        """The last attempts of the final jobs that are meant, oldest first: the last `most` of them."""
        state = (self.state or "").lower()
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
    return bool(selection.jobs) or selection.last or state in FINAL_WORDS or state.startswith("exit ")


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
        selection.task in (None, job.spec.task)
        and selection.host in (None, job.host)
        and (selection.state is None or selection.state.lower() in (job.state.value, _WIDER.get(job.state.value)))
    )


_WIDER = {"ready": "pending", "assigned": "pending", "cancelling": "running"}
"""What the status table counts these states as."""
