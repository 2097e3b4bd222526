"""Questions about one job, task or host: why it is where it is, and what it wrote.

A job that is final is with the machines no more, and in the history once its end is on the disk. In between, which is
an instant unless the disk stands still, its end is known to the loop alone; so that is asked, too.

Made and called by `live/requests.py`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from live.clock import wall_ns
from live.controller_side import ControllerSide
from live.errands import Errands
from live.history import History, HistoryQuestion
from live.loop import Turns
from live.outputs import Outputs
from live.outward import CONTROLLER
from live.spool import Stream
from live.story import story_lines
from model import view_rows
from model.errors import OperatorError
from model.job import LOCAL, JobId, JobState
from model.job_numbers import number_text
from model.near_miss import nearest
from model.records import AttemptEnded
from model.scheduled_job import AT_EXECUTOR, ScheduledJob
from model.scheduler import describe
from model.view_rows import Machines
from model.views import ExplanationView, HistoryRow

READ_SECONDS = 25.0
"""How long a question to the history may take."""
WRITTEN_SECONDS = 0.1
"""How long a question to the history waits for what is being written at that moment."""
JOB_WRITTEN_SECONDS = 10.0
"""The same of a question about one job: that there is no such job must not be said of one that has just ended."""
JOB_NUMBER = re.compile("[0-9]{1,18}")
"""A name that can only be a job's."""
_STREAMS: dict[str, Stream] = {"stdout": "stdout", "stderr": "stderr"}


class ByName(Struct, frozen=True):
    name: str
    about: str | None = None


class ByOutput(Struct, frozen=True):
    job: int
    attempt: int | None = None
    stream: str = "stdout"


class ByPiece(Struct, frozen=True):
    """Bytes of what one attempt wrote, from `offset` on; as many as one piece holds."""

    job: int
    attempt: int
    host: str
    stream: str = "stdout"
    offset: Annotated[int, Meta(ge=0)] = 0


class Questions:
    """Everything is called in the loop. `history` is asked beside it."""

    def __init__(
        self,
        machines: Callable[[], Machines],
        controller: ControllerSide,
        history: History,
        errands: Errands,
        turns: Turns,
        outputs: Outputs,
    ) -> None:
        self._machines = machines
        self._controller = controller
        self._history = history
        self._errands = errands
        self._turns = turns
        self._outputs = outputs

    async def past(self, question: Callable[[], Any]) -> Any:
        """What this question to the history, or another one that takes long, finds."""
        return await self._errands.run(question, READ_SECONDS)

    async def written(self, limit: float = WRITTEN_SECONDS) -> None:
        """Let the history have what ended before the question came: a job that is final is with the machines no more.
        With a full disk, or commits without a pause, the answer is what is there."""
        if not self._turns.stuck:
            await asyncio.wait([self._turns.when_durable()], timeout=limit)

    async def explain(self, given: ByName) -> ExplanationView:
        machines, name = self._machines(), given.name
        if given.about in (None, "job") and (JOB_NUMBER.fullmatch(name) or name == "last"):
            number = max(machines.scheduler.jobs, default=0) if name == "last" else int(name)
            return await self._explain_job(machines, number)
        found = await self._explain_task(machines, name) if given.about in (None, "task") else None
        if found is None and given.about in (None, "host"):
            found = view_rows.explain_host(machines, name) or await self._controller.explain_host(name)
        if found is None:
            known = [] if given.about == "host" else [*machines.scheduler.spawning.tasks]
            if given.about != "task":
                known += machines.controller.hosts
            what = f"{given.about or 'job, task or host'} {name}{nearest(name, known)}"
            raise OperatorError(f"there is no {what}", "what there is: laulima tasks, laulima hosts, laulima jobs")
        return found

    async def _explain_task(self, machines: Machines, name: str) -> ExplanationView | None:
        """A controller in another process knows why the first of the task's jobs waits there."""
        found = view_rows.explain_task(machines, name)
        first = view_rows.first_elsewhere(machines, name)
        if found is None or first is None:
            return found
        deeper = await self._controller.explain_attempt(first.id, first.attempt)
        return found if deeper is None else _with_first(found, first, deeper)

    async def _explain_job(self, machines: Machines, number: int) -> ExplanationView:
        found = view_rows.explain_job(machines, number)
        job = machines.scheduler.jobs.get(JobId(number))
        if found is not None and job is not None and job.state in AT_EXECUTOR and job.executor == CONTROLLER:
            deeper = await self._controller.explain_attempt(job.id, job.attempt)
            found = found if deeper is None else _with_deeper(found, deeper)
        if found is None:
            await self.written(JOB_WRITTEN_SECONDS)
            end = self._turns.unwritten_end(number)
            found = None if end is None else _ended(end)
        story = story_lines(await self.past(lambda: self._history.story(number)))
        if found is None:
            row: HistoryRow | None = await self.past(lambda: self._history.final(number))
            if row is None:
                raise OperatorError(f"there is no job {number}", "see laulima jobs, laulima history")
            found = view_rows.explain_final(row, wall_ns())
        return msgspec.structs.replace(found, story=story)

    async def logs(self, given: ByOutput) -> dict[str, Any]:
        stream = _stream(given.stream)
        job = self._machines().scheduler.jobs.get(JobId(given.job))
        attempt, host = given.attempt, ""
        running, waits = False, ""
        if job is not None and (attempt is None or attempt == job.attempt):
            attempt, host = job.attempt, job.host or (LOCAL if job.executor == LOCAL else "")
            running = job.state in (JobState.RUNNING, JobState.CANCELLING)
            waits = "" if running else view_rows.job_row(self._machines(), job).why or job.state.value
        if not running:
            end: AttemptEnded | None = None
            if job is None:
                await self.written(JOB_WRITTEN_SECONDS)
                end = self._turns.unwritten_end(given.job)
            is_meant = end is not None and attempt in (None, end.attempt)
            if end is not None and is_meant:
                attempt, host = end.attempt, end.report.host
            question = HistoryQuestion(job=given.job, limit=1000)
            rows: list[HistoryRow] = await self.past(lambda: self._history.attempts(question))
            wanted = [row for row in rows if given.attempt is None or row.attempt == given.attempt]
            if not wanted and job is None and not is_meant:
                if not rows and end is None:
                    raise OperatorError(f"there is no job {given.job}", "what there is: laulima jobs, laulima history")
                tries = f"its attempts: laulima history {given.job}"
                raise OperatorError(f"job {given.job} has no attempt {given.attempt}", tries)
            if wanted and not host:
                attempt, host = wanted[-1].attempt, wanted[-1].host
        path, size = None, 0
        if host:
            path, size = await self._outputs.size(host, given.job, attempt or 0, stream)
        found = {"path": path, "bytes": size, "running": running, "host": host, "attempt": attempt or 0}
        return {**found, "waits": waits}

    async def output(self, given: ByPiece) -> dict[str, Any]:
        """For what stands on another machine; the rest is read where `logs` says that it is."""
        stream = _stream(given.stream)
        piece = await self._outputs.piece(given.host, given.job, given.attempt, stream, given.offset)
        return {"data": piece.data, "total": piece.total}


def _ended(end: AttemptEnded) -> ExplanationView:
    """Of a job that is final, by a record that is not on the disk yet."""
    where = f" on {end.report.host}" if end.report.host else ""
    reasons = (f"ended{where}: {describe(end.report)}", "that is not on the disk yet: laulima status says why")
    return ExplanationView(f"job {end.job}", "final", reasons, 0, None, ())


def _with_deeper(found: ExplanationView, deeper: ExplanationView) -> ExplanationView:
    """What the controller says goes first: it decides."""
    untils = [until for until in (found.until_ns, deeper.until_ns) if until is not None]
    return msgspec.structs.replace(
        found,
        reasons=tuple(dict.fromkeys((*deeper.reasons, *found.reasons))),
        until_ns=min(untils) if untils else None,
        changes=tuple(dict.fromkeys((*deeper.changes, *found.changes))),
    )


def _with_first(found: ExplanationView, first: ScheduledJob, deeper: ExplanationView) -> ExplanationView:
    """Why the task makes no job goes first, then what the controller says of the first of its jobs."""
    told = tuple(f"job {number_text(first.id)}, the first: {reason}" for reason in deeper.reasons)
    return msgspec.structs.replace(_with_deeper(found, deeper), reasons=(*found.reasons[:1], *told, *found.reasons[1:]))


def _stream(name: str) -> Stream:
    stream = _STREAMS.get(name)
    if stream is None:
        raise OperatorError(f"there is no stream {name}", "a job has stdout and stderr")
    return stream
