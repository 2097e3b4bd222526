"""`laulima check`: all about one job, task or host: why it is where it is, what is so, its last events.

Reads the machines, the history and the last notices, and changes nothing. What the file says is not known here: the
command adds it. Made and called by `live/requests.py`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any, Protocol

from live.clock import wall_ns
from live.history import ChangeQuestion, History, HistoryQuestion
from live.story import ordered_words, told
from model import view_rows
from model.effects import Notice
from model.errors import OperatorError
from model.explain import held_text
from model.job import SECOND, HostWish, JobId, JobSpec, JobState
from model.remembered import Setting
from model.resources import amount_text
from model.scheduled_job import ScheduledJob
from model.view_rows import Machines, command_text
from model.views import ChangeRow, CheckView, EventRow, ExplanationView, HistoryRow, HostRow, JobRow, Status, TaskRow

EVENTS_MAX = 10
"""Last events that are told."""
JOBS_NAMED_MAX = 20
"""Jobs of a host or task that are named; the others are counted."""


class Reloaded(Protocol):
    """See `live/reloading.py`."""

    @property
    def settings(self) -> tuple[Setting, ...]: ...
    @property
    def file(self) -> str: ...


class Checking:
    """Everything is called in the loop. `past` asks the history beside it."""

    def __init__(
        self,
        machines: Callable[[], Machines],
        history: History,
        notices: Iterable[tuple[int, Notice]],
        reloaded: Reloaded,
        *,
        explain: Callable[[str, str], Awaitable[ExplanationView]],
        status: Callable[[], Awaitable[Status]],
        past: Callable[[Callable[[], Any]], Awaitable[Any]],
    ) -> None:
        self._machines = machines
        self._history = history
        self._notices = notices
        self._reloaded = reloaded
        self._explain = explain
        self._status = status
        self._past = past

    async def do(self, about: str | None, name: str) -> CheckView:
        """Raises OperatorError when there is no such thing."""
        found = await self._explain(about or "", name)
        kind, _, rest = found.about.partition(" ")
        number = rest.partition(" ")[0]
        if kind == "job":
            return await self._job(found, int(number))
        return await (self._task(found, rest) if kind == "task" else self._host(found, rest))

    def _view(
        self, kind: str, name: str, found: ExplanationView, facts: Iterable[tuple[str, str]], events: list[EventRow],
        row: JobRow | TaskRow | HostRow | None, task: str = "",
    ) -> CheckView:  # fmt: skip
        file, settings = self._reloaded.file, self._reloaded.settings
        prefix = {"task": f"tasks.{name}.", "host": f"hosts.{name}.", "job": f"tasks.{task}."}[kind]
        prefixes = (prefix,) if kind == "host" else (prefix, "defaults.")
        mine = tuple(each for each in settings if each.key.startswith(prefixes))
        rows = {kind: row}
        return CheckView(
            kind, name, task, found, {fact: text for fact, text in facts if text}, tuple(events[-EVENTS_MAX:]),
            file, mine, rows.get("job"), rows.get("task"), rows.get("host"),  # type: ignore[arg-type]
        )  # fmt: skip

    # one job

    async def _job(self, found: ExplanationView, number: int) -> CheckView:
        machines = self._machines()
        job = machines.scheduler.jobs.get(JobId(number))
        story = await self._past(lambda: self._history.story(number))
        events = [EventRow(wall, text) for wall, record in story if (text := told(record))]
        tries: list[HistoryRow] = await self._past(
            lambda: self._history.attempts(HistoryQuestion(job=number, limit=EVENTS_MAX))
        )
        spec: JobSpec | None = job.spec if job is not None else await self._past(lambda: self._history.spec(number))
        if job is not None:
            row = view_rows.job_row(machines, job)
        elif tries:
            row = view_rows.final_row(tries[-1], wall_ns())
        else:
            raise OperatorError(f"job {number}: {'; '.join(found.reasons)}", f"laulima explain {number}")
        facts = [*_of_spec(spec), *_of_job(job), *_of_tries(tries)]
        return self._view("job", str(number), found, facts, events, row, row.task)

    # one task

    async def _task(self, found: ExplanationView, name: str) -> CheckView:
        machines = self._machines()
        row = next((each for each in view_rows.task_rows(machines) if each.name == name), None)
        if row is None:
            raise OperatorError(f"there is no task {name}", "see laulima tasks")
        jobs = [job for job in machines.scheduler.jobs.values() if job.task is not None and job.common.task == name]
        facts = [
            ("jobs", f"{row.pending} pending, {row.running} running{f' of at most {row.limit}' if row.limit else ''}"),
            ("unfinished", _named(job.id for job in jobs)),
            ("ended", f"{row.done} well, {row.failed} not"),
            ("items", f"{row.items} wait" if row.items else ""),
            ("skipped", f"{row.skipped} times no job was made" if row.skipped else ""),
        ]
        events = await self._events("task", name, HistoryQuestion(task=name, limit=EVENTS_MAX, final=True))
        return self._view("task", name, found, facts, events, row)

    # one host

    async def _host(self, found: ExplanationView, name: str) -> CheckView:
        row = next((each for each in (await self._status()).hosts if each.name == name), None)
        if row is None:
            raise OperatorError(f"there is no host {name}", "see laulima hosts")
        jobs = [job.id for job in self._machines().scheduler.jobs.values() if job.host == name]
        resources = [
            f"{each.name} {amount_text(each.name, each.used)}/{amount_text(each.name, each.total)}"
            for each in row.resources
        ]
        facts = [
            ("slots", f"{row.busy} of {row.slots} in use"),
            ("resources", "  ".join(resources)),
            ("labels", " ".join(row.labels)),
            ("jobs", _named(jobs)),
            ("waiting", f"{row.queued} jobs for just this host" if row.queued else ""),
            ("ended", f"{row.done} well, {row.failed} not" if row.done or row.failed else ""),
        ]
        events = await self._events("host", name, HistoryQuestion(host=name, limit=EVENTS_MAX))
        return self._view("host", name, found, facts, events, row)

    async def _events(self, about: str, name: str, question: HistoryQuestion) -> list[EventRow]:
        """What people ordered, what was noticed, and how jobs ended, by time."""
        asked = ChangeQuestion(about, name, EVENTS_MAX)
        changes: list[ChangeRow] = await self._past(lambda: self._history.changes(asked))
        ends: list[HistoryRow] = await self._past(lambda: self._history.attempts(question))
        events = [EventRow(each.at, ordered_words(each.verb, each.by, each.reason)) for each in changes]
        events += [EventRow(each.over_at, _end_text(each)) for each in ends]
        events += [EventRow(at, said.text) for at, said in self._notices if said.about == f"{about} {name}"]
        return sorted(events, key=lambda event: event.at)


def _of_spec(spec: JobSpec | None) -> Iterator[tuple[str, str]]:
    if spec is None:
        return
    yield "command", command_text(spec)
    yield "item", spec.item or ""
    yield "directory", spec.directory or ""
    yield "host", _wish_text(spec.host)
    needs = [f"{name}={amount_text(name, amount)}" for name, amount in spec.needs.resources] if spec.needs else []
    yield "needs", " ".join([f"{spec.slots} slots" if spec.slots != 1 else "1 slot", *needs])
    limits = [("run", spec.timeout_ns), ("wait", spec.pending_ns)]
    yield "limits", ", ".join(f"{what} at most {limit / 1e9:g} s" for what, limit in limits if limit)


def _wish_text(wish: HostWish) -> str:
    if wish.name is None:
        return "any"
    return f"{wish.name}, {'required' if wish.required else 'preferred'}"


def _of_job(job: ScheduledJob | None) -> Iterator[tuple[str, str]]:
    if job is None:
        return
    special = job.special
    yield "held", held_text(special.held) if special.held and job.state is JobState.HELD else ""
    tries = f"{special.retries} retries, {special.reruns} runs again"
    yield "tries", tries if special.retries or special.reruns else ""


def _of_tries(tries: list[HistoryRow]) -> Iterator[tuple[str, str]]:
    for row in tries:
        yield f"attempt {row.attempt}", _end_text(row, job=False)


def _end_text(row: HistoryRow, *, job: bool = True) -> str:
    end = f"exit {row.exit_code}" if row.outcome == "EXITED" else row.outcome
    text = f"{end}{f' on {row.host}' if row.host else ''} after {_time_text(row.ran_for_ns)}"
    text = f"job {row.job}: {text}" if job else text
    return f"{text} ({row.reason})" if row.reason else text


def _time_text(time_ns: int) -> str:
    return f"{time_ns / 1e6:.3g} ms" if time_ns < SECOND else f"{time_ns / 1e9:.4g} s"


def _named(jobs: Iterable[int]) -> str:
    numbers = sorted(jobs)
    more = f" and {len(numbers) - JOBS_NAMED_MAX} more" if len(numbers) > JOBS_NAMED_MAX else ""
    return " ".join(map(str, numbers[:JOBS_NAMED_MAX])) + more
