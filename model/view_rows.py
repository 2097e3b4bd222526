"""Fills the rows of `views.py` from the machines: reads them, changes nothing. Called by the control socket's verbs
(and by whoever shows a simulated world); knows no clock, so every function is given the times.

The house rule is kept here: whatever is not running says why, by the same functions as `explain`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from msgspec import Struct, structs

from model.agent import Agent
from model.alarm_kinds import HOST_KINDS, AlarmKind, fault_text, host_text
from model.channel import LinkState
from model.controller import Controller
from model.controller_job import ControllerJob
from model.explain import Explanation, Reason
from model.host import HostState
from model.job import LOCAL, JobId, JobSpec, JobState
from model.job_numbers import EMBEDDED
from model.messages import Held
from model.resources import Stock
from model.scheduled_job import ScheduledJob
from model.scheduler import Scheduler
from model.superiors import peer_of
from model.task_state import TaskState
from model.views import (
    ExecutorRow,
    ExplanationView,
    HistoryRow,
    HostRow,
    JobRow,
    ResourceRow,
    Status,
    SuperiorRow,
    TaskRow,
)

SKIPS_SHOWN = 10
"""Reasons for which a task made no job, the commonest ones."""
REASONS_SAMPLED = 64
"""Waiting jobs of a task that are asked why, for the task's own line."""

_EXECUTOR_WORDS = {
    LinkState.OPEN: "up",
    LinkState.INQUIRING: "connecting",
    LinkState.CLOSED: "down",
    LinkState.SILENT: "silent",
}
_TASK_WORDS = {
    Reason.HELD: "held",
    Reason.FAULTED: "faulted",
    Reason.WINDOW: "window closed",
    Reason.INACTIVE: "inactive",
    Reason.DELETED: "deleted",
}


class Machines(Struct):
    """The machines of one server, and what their clocks show. `local` is None where no agent shares the process.
    `elsewhere`: jobs go to a controller in another process, and the one here has no hosts and no jobs."""

    scheduler: Scheduler
    controller: Controller
    local: Agent | None
    now_ns: int
    """of scheduler and controller"""
    local_now_ns: int = 0
    """of the local agent"""
    elsewhere: bool = False

    @property
    def wall_offset_ns(self) -> int:
        return self.scheduler.spawning.wall_offset_ns


# jobs


def command_text(spec: JobSpec) -> str:
    """The command of a job in one line, for people: never parsed again."""
    return " ".join(spec.command) if spec.call is None else " ".join((spec.call, *spec.arguments))


def explain_chain(machines: Machines, job: ScheduledJob) -> list[Explanation]:
    """Why the job is where it is: what the scheduler knows, and what the executor that has it knows. The nearest reason
    (the one that decides) comes first; times are on the scheduler's clock."""
    found = machines.scheduler.explain_job(job.id, machines.now_ns)
    assert found is not None
    if job.state not in (JobState.ASSIGNED, JobState.PENDING, JobState.RUNNING, JobState.CANCELLING):
        return [found]
    key = (job.id, job.attempt)
    if job.executor == LOCAL and machines.local is not None:
        deeper = machines.local.explain(key)
        if deeper is not None:
            deeper = _shift(deeper, machines.now_ns - machines.local_now_ns)
    elif machines.elsewhere:
        deeper = _as_told(machines.scheduler, job)
    else:
        deeper = machines.controller.explain_attempt(key, machines.now_ns)
    if deeper is not None and deeper.reason is Reason.RUNS and deeper.text.startswith(f"running ({job.host}: "):
        return [deeper]  # a host of many machines says on which one
    if deeper is None or deeper.reason in (Reason.RUNS, Reason.ENDED, Reason.NOT_ANSWERED):
        return [found]
    if deeper.reason is found.reason and found.reason is not Reason.NO_SLOT:
        return [found]
    return [deeper, found]


def _as_told(scheduler: Scheduler, job: ScheduledJob) -> Explanation | None:
    """What the controller in another process last said by itself of where the attempt is."""
    given = scheduler.executors[job.executor].link.given.get((job.id, job.attempt))
    if given is None or not given.why:
        return None
    if given.held is Held.RUNNING:
        return Explanation(Reason.RUNS, f"running ({job.host}: {given.why})", job.since_ns)
    return Explanation(Reason.NO_SLOT, given.why, job.since_ns)


def _shift(found: Explanation, by_ns: int) -> Explanation:
    until = None if found.until_ns is None else found.until_ns + by_ns
    return Explanation(found.reason, found.text, found.since_ns + by_ns, until, found.changes)


def job_row(machines: Machines, job: ScheduledJob) -> JobRow:
    """One job that is not final."""
    running = job.state is JobState.RUNNING
    why = "" if running else explain_chain(machines, job)[0].text
    return JobRow(
        job.id,
        job.attempt,
        job.spec.task,
        job.spec.item,
        job.state.value,
        job.host,
        machines.now_ns - job.since_ns,
        command_text(job.spec),
        "",
        why,
    )


def final_row(row: HistoryRow, wall_ns: int) -> JobRow:
    """A job that is final, from its last attempt."""
    outcome = f"exit {row.exit_code}" if row.outcome == "EXITED" else row.outcome
    since = max(0, wall_ns - row.ended_at)
    return JobRow(row.job, row.attempt, row.task, row.item, "final", row.host, since, row.command, outcome, row.reason)


# tasks


def task_rows(machines: Machines) -> list[TaskRow]:
    """All tasks, in the order in which they were defined."""
    tasks = machines.scheduler.spawning.tasks
    waiting: dict[str, list[ScheduledJob]] = {name: [] for name in tasks}
    for job in machines.scheduler.jobs.values():
        if job.task is None or job.state is JobState.RUNNING:
            continue
        sample = waiting.get(job.common.task)
        if sample is not None and len(sample) < REASONS_SAMPLED:
            sample.append(job)
    return [_task_row(machines, name, task, waiting[name]) for name, task in tasks.items()]


def _task_row(machines: Machines, name: str, task: TaskState, waiting: list[ScheduledJob]) -> TaskRow:
    found = machines.scheduler.explain_task(name, machines.now_ns)
    assert found is not None
    offset = machines.wall_offset_ns
    return TaskRow(
        name,
        _TASK_WORDS.get(found.reason, "on"),
        task.in_flight - task.running,
        task.running,
        task.definition.limits.in_flight,
        task.done,
        task.failed,
        sum(task.skipped.values()),
        None if task.last_made_ns is None else task.last_made_ns + offset,
        _next_at(task, found, offset),
        len(task.items),
        _task_why(machines, found, task, waiting),
    )


def _next_at(task: TaskState, found: Explanation, offset_ns: int) -> int | None:
    if found.reason in (Reason.PERIOD, Reason.SKIPPED, Reason.NO_ITEM) and task.polls:
        return task.due_ns + offset_ns
    return None if found.until_ns is None else found.until_ns + offset_ns


def _task_why(machines: Machines, found: Explanation, task: TaskState, waiting: list[ScheduledJob]) -> str:
    """Why the task is not doing more: first what keeps its jobs from running, then what keeps it from making more."""
    own = "" if found.reason is Reason.PERIOD else found.text
    if found.reason in _TASK_WORDS or not waiting:
        return own
    reasons = Counter(explain_chain(machines, job)[0].text for job in waiting)
    text, count = reasons.most_common(1)[0]
    pending = task.in_flight - task.running
    if count < len(waiting) or pending > len(waiting):
        text = f"{count} of {len(waiting)}: {text}"
    return text


# hosts and executors


def host_rows(machines: Machines) -> list[HostRow]:
    """All hosts of the controller, and the scheduler's own machine."""
    own = [_local_row(machines, machines.local)] if machines.local is not None else []
    return own + controller_host_rows(machines.controller, machines.now_ns)


def controller_host_rows(controller: Controller, now_ns: int) -> list[HostRow]:
    """All hosts of the controller."""
    rows: list[HostRow] = []
    for name, host in controller.hosts.items():
        queue = controller.placing.queues.get(name)
        found = controller.explain_host(name, now_ns)
        assert found is not None
        why = "" if found.reason is Reason.UP else found.text
        queued = 0 if queue is None else len(queue.all())
        busy = host.busy
        since = now_ns - host.since_ns
        state, resources = host.state.value, resource_rows(host.stock)
        counts = (host.slots, busy, queued, host.done, host.failed)
        rows.append(HostRow(name, state, *counts, since, why, resources, host.labels, host.tries, host.dirty))
    return rows


def controller_job_rows(controller: Controller, jobs: Iterable[ControllerJob], now_ns: int) -> list[JobRow]:
    """Attempts that a controller of several schedulers has, each with its scheduler's own number and name."""
    rows: list[JobRow] = []
    for job in jobs:
        number, attempt = job.superior.outside(job.key)
        found = controller.explain_attempt(job.key, now_ns)
        why = "" if found is None or found.reason in (Reason.RUNS, Reason.ENDED) else found.text
        name = job.superior.name
        task = f"{name}/{job.spec.task}" if name else job.spec.task
        host = "" if job.host is None else job.host.name
        age = now_ns - job.since_ns
        command = command_text(job.spec)
        rows.append(JobRow(number, attempt, task, job.spec.item, job.state.value, host, age, command, "", why))
    return rows


def superior_rows(controller: Controller) -> list[SuperiorRow]:
    """The schedulers in other processes that use this controller."""
    return [
        SuperiorRow(
            each.name,
            each.uplink.open,
            each.terms.share,
            each.queued,
            each.terms.pending_max,
            each.in_flight,
            each.terms.in_flight_max,
        )
        for each in controller.superiors.all.values()
        if each.number != EMBEDDED
    ]


def resource_rows(stock: Stock) -> tuple[ResourceRow, ...]:
    """What is declared, and how much of it is given out."""
    return tuple(ResourceRow(name, used, total) for name, used, total in stock.used())


def _local_row(machines: Machines, agent: Agent) -> HostRow:
    executor = machines.scheduler.executors[LOCAL]
    since = executor.away_since_ns
    queued = sum(1 for attempt in agent.attempts.values() if attempt.state.value.startswith("waits for"))
    state = _EXECUTOR_WORDS[executor.link.state]
    age = 0 if since is None else machines.now_ns - since
    return HostRow(LOCAL, state, agent.slots, agent.busy, queued, 0, 0, age, agent.dirty, broken=agent.dirty)


def executor_rows(machines: Machines) -> list[ExecutorRow]:
    """The two executors as the scheduler sees them."""
    scheduler = machines.scheduler
    counts = {name: [0, 0] for name in scheduler.executors}
    for job in scheduler.jobs.values():
        name = job.executor or scheduler.executor_of(job).name
        counts[name][job.state is JobState.RUNNING] += 1
    return [
        ExecutorRow(name, _EXECUTOR_WORDS[executor.link.state], *counts[name])
        for name, executor in scheduler.executors.items()
    ]


def status(
    machines: Machines,
    configuration: str,
    clock: str,
    running_for_ns: int,
    alarms: Iterable[str],
    pid: int = 0,
    elsewhere: Status | None = None,
) -> Status:
    """One screen. `alarms`: sentences of the driver (a full disk), shown before those of the machines. `elsewhere`:
    what the controller in another process answered, whose hosts and resources are shown."""
    hosts = [*host_rows(machines), *(() if elsewhere is None else elsewhere.hosts)]
    tasks = task_rows(machines)
    watched = machines.scheduler.alarms
    standing, notifiers = watched.rows(), watched.notifier_rows()
    found = [
        *alarms,
        *_host_alarms(hosts),
        *(fault_text(row.name, row.why) for row in tasks if row.state == "faulted"),
        *(row.text for row in standing if row.kind not in _TOLD_BY_ROWS),
        *(f"notifier {row.name} fails: {row.error}" for row in notifiers if row.error),
    ]
    intake = machines.scheduler.orders.stopped or "running"
    return Status(
        configuration,
        clock,
        intake,
        running_for_ns,
        tuple(tasks),
        tuple(hosts),
        tuple(executor_rows(machines)),
        tuple(dict.fromkeys(found)),
        pid,
        resources=resource_rows(machines.controller.placing.shared) if elsewhere is None else elsewhere.resources,
        alarm_rows=tuple(standing),
        notifiers=tuple(notifiers),
    )


def controller_status(
    controller: Controller,
    now_ns: int,
    configuration: str,
    running_for_ns: int,
    alarms: Iterable[str],
    pid: int,
    disk: str = "",
) -> Status:
    """The same of a controller that has a process of its own. `disk`: what is wrong with that of its journal."""
    hosts = controller_host_rows(controller, now_ns)
    return Status(
        configuration,
        "live",
        "running",
        running_for_ns,
        (),
        tuple(hosts),
        (),
        (*((disk,) if disk else ()), *alarms, *_host_alarms(hosts)),
        pid,
        resources=resource_rows(controller.placing.shared),
        schedulers=tuple(superior_rows(controller)),
        disk=disk,
    )


def _host_alarms(hosts: Iterable[HostRow]) -> list[str]:
    found: list[str] = []
    for row in hosts:
        if row.state in _BAD_HOSTS:
            found.append(host_text(row.name, row.state, row.why))
        elif row.broken and row.state != HostState.CONNECTING.value:
            found.append(host_text(row.name, "broken", row.broken))
    return found


_BAD_HOSTS = frozenset(state.value for state in HOST_KINDS)
_NOT_OF_HOSTS = (AlarmKind.TASK_FAULTED, AlarmKind.CONTROLLER_SILENT, AlarmKind.DISK_FULL)
_TOLD_BY_ROWS = frozenset(kind.value for kind in (*_NOT_OF_HOSTS, *HOST_KINDS.values()))
"""Kinds of which `status` tells as well where nobody watches: of hosts and tasks by their rows, of executors and the
disk in a line of their own."""


# explain


def explain_job(machines: Machines, number: int) -> ExplanationView | None:
    """Why a job that is not final is where it is; None: there is none of this number."""
    job = machines.scheduler.jobs.get(JobId(number))
    if job is None:
        return None
    about = f"job {number} ({job.spec.task})"
    view = _view(about, job.state.value, explain_chain(machines, job), machines.now_ns)
    watched = () if job.task is None else machines.scheduler.alarms.task_lines(job.spec.task, of_job=True)
    return structs.replace(view, reasons=(*view.reasons, *watched))


def explain_task(machines: Machines, name: str) -> ExplanationView | None:
    """Why a task makes no job now, and why its jobs do not run; None: no such task."""
    found = machines.scheduler.explain_task(name, machines.now_ns)
    if found is None:
        return None
    chain = [found]
    jobs = [job for job in machines.scheduler.jobs.values() if job.task is not None and job.common.task == name]
    waiting = [job for job in jobs if job.state is not JobState.RUNNING]
    seen: dict[str, Explanation] = {}
    for job in waiting[:REASONS_SAMPLED]:
        nearest = explain_chain(machines, job)[0]
        seen.setdefault(nearest.text, nearest)
    view = _view(f"task {name}", _TASK_WORDS.get(found.reason, "on"), [*chain, *seen.values()], machines.now_ns)
    skipped = machines.scheduler.spawning.tasks[name].skipped.most_common(SKIPS_SHOWN)
    story = tuple(f"{count} x no job: {reason}" for reason, count in skipped)
    return structs.replace(view, reasons=(*view.reasons, *machines.scheduler.alarms.task_lines(name)), story=story)


def first_elsewhere(machines: Machines, task: str) -> ScheduledJob | None:
    """The first of the task's jobs that wait at a controller in another process."""
    jobs = machines.scheduler.jobs.values() if machines.elsewhere else ()
    waiting = (job for job in jobs if job.state is JobState.PENDING and job.executor != LOCAL)
    return next((job for job in waiting if job.task is not None and job.common.task == task), None)


def explain_host(machines: Machines, name: str) -> ExplanationView | None:
    """Why a host is in its state; None: not defined."""
    if name == LOCAL and machines.local is not None:
        row = _local_row(machines, machines.local)
        text = row.why or f"{row.busy} of {row.slots} slots in use"
        return ExplanationView(f"host {LOCAL}", row.state, (text,), row.since_ns, None, ())
    return explain_controller_host(machines.controller, name, machines.now_ns)


def explain_controller_host(controller: Controller, name: str, now_ns: int) -> ExplanationView | None:
    """The same of the controller's hosts alone."""
    found = controller.explain_host(name, now_ns)
    return None if found is None else _view(f"host {name}", controller.hosts[name].state.value, [found], now_ns)


def explain_controller_job(
    controller: Controller, scheduler: str, job: int, attempt: int, now_ns: int
) -> ExplanationView | None:
    """Why an attempt of a scheduler in another process is where it is; None: it is not here."""
    superior = controller.superiors.by_peer.get(peer_of(scheduler))
    key = None if superior is None else superior.key_of(job, attempt)
    held = None if key is None else controller.jobs.get(key)
    found = None if key is None else controller.explain_attempt(key, now_ns)
    if held is None or found is None:
        return None
    return _view(f"job {job} of {scheduler}", held.state.value, [found], now_ns)


def _view(about: str, state: str, chain: list[Explanation], now: int) -> ExplanationView:
    untils = [found.until_ns for found in chain if found.until_ns is not None]
    return ExplanationView(
        about,
        state,
        tuple(found.text for found in chain),
        max(0, now - chain[0].since_ns),
        max(0, min(untils) - now) if untils else None,
        tuple(dict.fromkeys(change for found in chain for change in found.changes)),
    )


def explain_final(row: HistoryRow, wall_ns: int) -> ExplanationView:
    """How a job ended that is final."""
    where = f" on {row.host}" if row.host else ""
    ended = f"ended{where}: {final_row(row, wall_ns).outcome}"
    reasons = (ended, row.reason) if row.reason else (ended,)
    return ExplanationView(
        f"job {row.job} ({row.task})", "final", reasons, max(0, wall_ns - row.ended_at), None,
        (f"laulima retry {row.job}",),
    )  # fmt: skip
