"""What each verb of the control socket does: reads of the machines and of the history, orders and their answers.

Made by `live/server.py`, called by `live/control.py`. A change returns when the machine has answered, which is when the
effect has happened or is certain to happen. The verbs and the shape of their data are the contract with the command
line; rows are those of `model/views.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from msgspec import Struct

from live.checking import Checking
from live.clock import monotonic_ns, wall_ns
from live.control import Verb, asked_by, typed
from live.controller_side import ByHost, ControllerSide
from live.errands import Errands
from live.history import ChangeQuestion, History, HistoryQuestion
from live.last_hour import LastHour
from live.loop import Turns
from live.notifying import Tried
from live.outputs import Outputs
from live.outward import SCHEDULER, Outward
from live.questions import ByName, ByOutput, ByPiece, Questions
from live.reloading import ByFile, BySettings, Reloading
from live.selection import Selection, live_jobs, wants_final
from live.spool import Stream, output_path
from live.state_directory import StateDirectory
from live.submission import Submission, specification
from model import view_rows
from model.bounds import Count
from model.effects import Answer
from model.errors import OperatorError
from model.events import (
    IntakeVerb,
    JobVerb,
    OrderIntake,
    OrderJob,
    OrderTask,
    Submit,
    TaskVerb,
)
from model.job import JobId, JobState
from model.orders import NOT_STARTED
from model.planning import Plan
from model.scheduled_job import ScheduledJob
from model.view_rows import Machines
from model.views import ChangeRow, HistoryRow, JobRow, NoticeRow, PlanRow, Status

PIECE_NS = 5_000_000
"""How long the loop is held by one piece of a list of jobs; then the server has its turns."""
FAILURES_SHOWN = 5


class Nothing(Struct, frozen=True, forbid_unknown_fields=True):
    """No arguments."""


class ByJobs(Struct, frozen=True):
    selection: Selection = Selection()
    reason: str = ""


class ByJobsShown(Struct, frozen=True):
    """`limit`: so many rows at most: those of the smallest numbers, and of final jobs those that ended last."""

    selection: Selection = Selection()
    limit: Count | None = None


class ByTaskOrJobs(Struct, frozen=True):
    task: str | None = None
    selection: Selection = Selection()
    reason: str = ""
    for_ns: Count | None = None


class ByTask(Struct, frozen=True):
    task: str
    reason: str = ""


class ByCount(Struct, frozen=True):
    limit: int = 100


class ByTime(Struct, frozen=True):
    for_ns: Count


class ByReason(Struct, frozen=True):
    reason: str = ""


class ByNotifier(Struct, frozen=True):
    notifier: str | None = None
    test: bool = False


class ByEnd(Struct, frozen=True):
    kill: bool = False


class Requests:
    """The verbs of one server. Everything is called in the loop."""

    def __init__(
        self,
        outward: Outward,
        machines: Callable[[], Machines],
        state: StateDirectory,
        errands: Errands,
        turns: Turns,
        outputs: Outputs,
        controller: ControllerSide,
        *,
        status: Callable[[], Awaitable[Status]],
        test_notifiers: Callable[[str | None], Awaitable[list[Tried]]],
        leave: Callable[[bool], Awaitable[str]],
        reloading: Reloading,
    ) -> None:
        """`machines` gives them with the time of now. `leave(kill)` ends the
        server, and returns what was left."""
        self._outward = outward
        self._machines = machines
        self._outputs = outputs
        self._turns = turns
        self._status = status
        self._test_notifiers = test_notifiers
        self._controller = controller
        self._leave = leave
        self._reloading = reloading
        self._history = History(state.journal)
        self._questions = Questions(machines, controller, self._history, errands, turns, outputs)
        self._last_hour = LastHour(state.journal, self._questions.past)
        self._checking = Checking(
            machines,
            self._history,
            outward.notices,
            reloading,
            explain=lambda about, name: self._questions.explain(ByName(name, about or None)),
            status=status,
            past=self._questions.past,
        )

    def verbs(self) -> dict[str, Verb]:
        """Every verb by its name."""
        return {
            "status": typed(Nothing, self._do_status),
            "notify": typed(ByNotifier, self._do_notify),
            "tasks": typed(Nothing, self._do_tasks),
            "hosts": typed(Nothing, self._do_hosts),
            "jobs": typed(ByJobsShown, self._do_jobs),
            "count_jobs": typed(ByJobs, self._do_count_jobs),
            "explain": typed(ByName, self._questions.explain),
            "check": typed(ByName, lambda given: self._checking.do(given.about, given.name)),
            "history": typed(HistoryQuestion, self._do_history),
            "plan": typed(ByTime, self._do_plan),
            "notices": typed(ByCount, self._do_notices),
            "logs": typed(ByOutput, self._questions.logs),
            "output": typed(ByPiece, self._questions.output),
            "kill": typed(ByJobs, lambda given: self._do_to_jobs(JobVerb.KILL, given)),
            "delete": typed(ByJobs, lambda given: self._do_to_jobs(JobVerb.DELETE, given)),
            "retry": typed(ByJobs, self._do_retry),
            "hold": typed(ByTaskOrJobs, lambda given: self._do_hold(TaskVerb.HOLD, JobVerb.HOLD, given)),
            "release": typed(ByTaskOrJobs, lambda given: self._do_hold(TaskVerb.RELEASE, JobVerb.RELEASE, given)),
            "flush": typed(ByTaskOrJobs, self._do_flush),
            "delete_task": typed(ByTask, lambda given: self._do_to_task(TaskVerb.DELETE, given.task, given.reason)),
            "host": typed(ByHost, self._do_host),
            "submit": typed(Submission, self._do_submit),
            "stop": typed(ByReason, lambda given: self._do_intake(IntakeVerb.STOP, given.reason)),
            "resume": typed(ByReason, lambda given: self._do_intake(IntakeVerb.RESUME, given.reason)),
            "halt": typed(ByReason, lambda given: self._do_intake(IntakeVerb.HALT, given.reason)),
            "shutdown": typed(ByEnd, self._do_shutdown),
            "reload": typed(ByFile, self._reloading.do),
            "set": typed(BySettings, self._reloading.set),
            "changes": typed(ChangeQuestion, self._do_changes),
        }

    # reads

    async def _do_status(self, given: Nothing) -> Status:
        shown = await self._status()
        return msgspec.structs.replace(shown, tasks=await self._last_hour.lay(shown.tasks))

    async def _do_notify(self, given: ByNotifier) -> Any:
        """The notifiers; or send each a test message, which no journal has."""
        known = self._machines().scheduler.alarms.notifier_rows()
        if given.notifier is not None and given.notifier not in [row.name for row in known]:
            raise OperatorError(f"there is no notifier {given.notifier}", "see laulima notify")
        if given.test:
            return await self._test_notifiers(given.notifier)
        return [row for row in known if given.notifier in (None, row.name)]

    async def _do_tasks(self, given: Nothing) -> Any:
        return view_rows.task_rows(self._machines())

    async def _do_hosts(self, given: Nothing) -> Any:
        return (await self._status()).hosts

    async def _do_jobs(self, given: ByJobsShown) -> list[JobRow]:
        chosen = given.selection
        jobs = live_jobs(self._machines().scheduler, chosen)
        rows = await self._job_rows(jobs[-1:] if chosen.last else jobs[: given.limit])
        if wants_final(chosen):
            await self._questions.written()
            past: list[HistoryRow] = await self._questions.past(lambda: chosen.final_rows(self._history, given.limit))
            there = {row.job for row in rows}
            now = wall_ns()
            rows.extend(view_rows.final_row(row, now) for row in past if row.job not in there)
        if chosen.last and len(rows) > 1:
            rows = [max(rows, key=lambda row: row.job)]
        return sorted(rows, key=lambda row: row.job)[: given.limit]

    async def _job_rows(self, jobs: list[ScheduledJob]) -> list[JobRow]:
        """Rows of jobs that are not final, made in pieces; those that ended between two pieces are left out."""
        rows: list[JobRow] = []
        left = iter(jobs)
        while len(rows) < len(jobs):
            machines, until = self._machines(), monotonic_ns() + PIECE_NS
            for job in left:
                if machines.scheduler.jobs.get(job.id) is job:
                    rows.append(view_rows.job_row(machines, job))
                if monotonic_ns() >= until:
                    break
            else:
                break
            await asyncio.sleep(0)
        return rows

    async def _do_count_jobs(self, given: ByJobs) -> dict[str, int]:
        """How many jobs that are not final fit."""
        return {"jobs": len(live_jobs(self._machines().scheduler, given.selection))}

    async def _do_history(self, given: HistoryQuestion) -> list[HistoryRow]:
        rows: list[HistoryRow] = await self._questions.past(lambda: self._history.attempts(given))
        return rows

    async def _do_changes(self, given: ChangeQuestion) -> list[ChangeRow]:
        await self._questions.written()
        rows: list[ChangeRow] = await self._questions.past(lambda: self._history.changes(given))
        return rows

    async def _do_plan(self, given: ByTime) -> list[PlanRow]:
        machines = self._machines()
        plan = Plan(machines.scheduler.spawning, machines.now_ns)
        rows: list[PlanRow] = await self._questions.past(lambda: plan.run(given.for_ns))
        return rows

    async def _do_notices(self, given: ByCount) -> list[NoticeRow]:
        rows: list[NoticeRow] = await self._questions.past(lambda: self._history.notices(given.limit))
        return rows

    def _output_here(self, host: str, job: int, attempt: int, stream: Stream) -> str | None:
        """The file with what an attempt wrote, if it stands on this machine."""
        spool = self._outputs.spool(host) if host else None
        path = None if spool is None else output_path(spool, job, attempt, stream)
        return str(path) if path is not None and path.exists() else None

    # orders

    async def _order(self, machine: str, make: Callable[[int], object]) -> Answer:
        answer = await self._outward.order(machine, make)
        if not answer.ok:
            raise OperatorError(answer.text)
        return answer

    async def _do_to_jobs(self, verb: JobVerb, given: ByJobs, for_ns: int | None = None) -> dict[str, Any]:
        jobs = self._chosen(given.selection)
        orders = [self._order_job(verb, job.id, given.reason, for_ns) for job in jobs]
        return _summed(await asyncio.gather(*orders))

    def _order_job(
        self, verb: JobVerb, job: int, reason: str = "", for_ns: int | None = None
    ) -> asyncio.Future[Answer]:
        by = asked_by()
        return self._outward.order(SCHEDULER, lambda request: OrderJob(request, verb, job, reason, for_ns, by))

    def _chosen(self, selection: Selection) -> list[ScheduledJob]:
        """The unfinished jobs that a change is for; OperatorError when there is none, or none was named."""
        if selection.empty:
            raise OperatorError("no job was named", "name jobs by number, `last`, task=NAME, state=…, or --all")
        scheduler = self._machines().scheduler
        jobs = live_jobs(scheduler, selection)
        if selection.last:
            jobs = jobs[-1:]
        missing = sorted(set(selection.jobs) - {job.id for job in jobs})
        if missing:
            raise OperatorError(
                f"no unfinished job {', '.join(map(str, missing[:FAILURES_SHOWN]))}",
                "what there is: laulima jobs; what ended: laulima history",
            )
        if not jobs:
            raise OperatorError("no unfinished job fits", "what there is: laulima jobs; what ended: laulima history")
        return jobs

    async def _do_retry(self, given: ByJobs) -> dict[str, Any]:
        """Jobs that wait for their back-off are tried now; final ones are made anew, naming the old one as parent."""
        selection = given.selection
        if selection.empty:
            raise OperatorError("no job was named", "name jobs by number, `last`, task=NAME, state=failed")
        machines = self._machines()
        waiting = [job for job in live_jobs(machines.scheduler, selection) if job.state is JobState.RETRYING]
        busy = [
            job.id for job in live_jobs(machines.scheduler, selection)
            if job.id in selection.jobs and job.state is not JobState.RETRYING
        ]  # fmt: skip
        if busy:
            raise OperatorError(
                f"job {busy[0]} is not final, and does not wait for a retry", f"laulima explain {busy[0]}"
            )
        past: list[HistoryRow] = await self._questions.past(lambda: selection.final_rows(self._history))
        if selection.last:
            past = past[-1:] if not waiting else []
        if not waiting and not past:
            raise OperatorError("no job fits that is final or waits for a retry", "see laulima history")
        orders = [self._order_job(JobVerb.RETRY, job.id) for job in waiting]
        orders.extend([await self._again(row.job) for row in past])
        return _summed(await asyncio.gather(*orders))

    async def _again(self, number: int) -> asyncio.Future[Answer]:
        spec = await self._questions.past(lambda: self._history.spec(number))
        if spec is None:
            raise OperatorError(f"what job {number} did is not known any more", "submit it anew")
        by = asked_by()
        return self._outward.order(SCHEDULER, lambda request: Submit(request, spec, number, by))

    async def _do_hold(self, task_verb: TaskVerb, job_verb: JobVerb, given: ByTaskOrJobs) -> dict[str, Any]:
        if given.task is not None:
            return await self._do_to_task(task_verb, given.task, given.reason, given.for_ns)
        return await self._do_to_jobs(job_verb, ByJobs(given.selection, given.reason), given.for_ns)

    async def _do_flush(self, given: ByTaskOrJobs) -> dict[str, Any]:
        """A task's jobs that do not run, or those of a selection."""
        if given.task is not None:
            return await self._do_to_task(TaskVerb.FLUSH, given.task, given.reason)
        waiting = [job for job in self._chosen(given.selection) if job.state in NOT_STARTED]
        if not waiting:
            raise OperatorError("every job that fits has started", "to end it: laulima kill")
        return _summed(
            await asyncio.gather(*(self._order_job(JobVerb.DELETE, job.id, given.reason) for job in waiting))
        )

    async def _do_to_task(
        self, verb: TaskVerb, task: str, reason: str = "", for_ns: int | None = None
    ) -> dict[str, Any]:
        by = asked_by()
        answer = await self._order(SCHEDULER, lambda request: OrderTask(request, verb, task, reason, for_ns, by))
        return {"text": answer.text}

    async def _do_host(self, given: ByHost) -> dict[str, Any]:
        return {"text": await self._controller.order_host(given)}

    async def _do_intake(self, verb: IntakeVerb, reason: str) -> dict[str, Any]:
        by = asked_by()
        answer = await self._order(SCHEDULER, lambda request: OrderIntake(request, verb, reason, by=by))
        return {"text": answer.text}

    async def _do_shutdown(self, given: ByEnd) -> dict[str, Any]:
        return {"text": await self._leave(given.kill)}

    async def _do_submit(self, given: Submission) -> dict[str, Any]:
        spec = specification(given, self._machines())
        by = asked_by()
        answer = await self._order(SCHEDULER, lambda request: Submit(request, spec, by=by))
        if not given.wait:
            return {"job": answer.job, "text": answer.text}
        attempt, report = await self._end_of(answer.job)
        host = str(report["host"])
        return {
            "job": answer.job,
            "attempt": attempt,
            "report": report,
            "stdout": self._output_here(host, answer.job, attempt, "stdout"),
            "stderr": self._output_here(host, answer.job, attempt, "stderr"),
            "elsewhere": bool(host) and self._outputs.spool(host) is None,
        }

    async def _end_of(self, job: int) -> tuple[int, dict[str, Any]]:
        """The last attempt of a job and its report, once that is on the disk."""
        final = self._turns.when_final(job)
        if JobId(job) not in self._machines().scheduler.jobs:
            await self._turns.when_durable()
        if JobId(job) in self._machines().scheduler.jobs or final.done():
            key, report = await final
            return key[1], msgspec.structs.asdict(report)
        final.cancel()
        row: HistoryRow | None = await self._questions.past(lambda: self._history.final(job))
        if row is None:
            raise OperatorError(f"the end of job {job} is not recorded yet", "the disk may be full: laulima status")
        return row.attempt, msgspec.structs.asdict(row)


def _summed(answers: list[Answer]) -> dict[str, Any]:
    """Many answers as one; OperatorError when one was a refusal."""
    refused = [answer.text for answer in answers if not answer.ok]
    if refused:
        more = f" (and {len(refused) - FAILURES_SHOWN} more)" if len(refused) > FAILURES_SHOWN else ""
        done = f"; {len(answers) - len(refused)} others were done" if len(refused) < len(answers) else ""
        raise OperatorError("; ".join(refused[:FAILURES_SHOWN]) + more + done)
    if len(answers) <= FAILURES_SHOWN:
        return {"text": "; ".join(answer.text for answer in answers)}
    return {"text": f"{len(answers)} jobs: {answers[0].text}, …"}
