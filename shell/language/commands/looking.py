"""Commands that show the scheduler and its tasks: `status` in all its forms, `showtask`.

The lines of tasks are made in `task_texts.py`, those of the controller's jobs in `stacks.py`. Nothing is changed here
but the statistics by `-taskstatsreset`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from model.channel import LinkState
from model.events import IntakeVerb
from model.job import SECOND, JobState, Outcome
from model.scheduled_job import ScheduledJob
from model.scheduler import CONTROLLER
from model.view_rows import Machines, command_text, job_row
from shell.language.calls import Call, Command, Failure
from shell.language.commands.controller import run_level
from shell.language.commands.scheduling import machines_of
from shell.language.defining import announce
from shell.language.stacks import controller_jobs, status_lines
from shell.language.task_texts import TaskView, long_form, show_task, statistics_table, table, task_views
from shell.wording import clean, cut, nearest

JOBS_SHOWN = 200
"""Jobs that a bare `status` lists."""
JOBS_MOST = 10_000
"""Jobs that `status -jobs` lists; the scheduler waits meanwhile."""
_DETAILS = ("-taskinfo", "-info", "-v", "-verbose", "-details")
_CONTROLLER = ("-c", "-control", "-controller")


def status(call: Call) -> bool:
    """`status`: the scheduler, the controller, the tasks and the jobs; with an option, that part only (long form: with
    its head)."""
    reset, reset_pattern = _pattern(call, "-taskstatsreset")
    shown, pattern = _pattern(call, "-taskstats")
    details, tasks = call.flag(*_DETAILS), call.flag("-tasks")
    jobs, controller = call.flag("-jobs"), call.flag(*_CONTROLLER)
    call.arguments(0, 0, STATUS)
    machines = machines_of(call)
    views = task_views(call.language, machines)
    if reset:
        for view in _matching(views, reset_pattern):
            _reset(call, view)
        if not shown:
            return True
    if shown:
        _say(call, statistics_table(_matching(views, pattern)))
        return True
    if not tasks:
        _say(call, head(machines))
    wall_ns = call.language.wall_ns()
    if details:
        _say(call, _long_table(views, wall_ns))
    elif not jobs or tasks:
        _say(call, table(views, wall_ns))
    if not (tasks or details) or jobs:
        _say(call, job_lines(machines, JOBS_MOST if jobs else JOBS_SHOWN))
    if controller:
        busy = [job for job in controller_jobs(machines, []) if job.state == "BUSY"]
        _say(call, iter(status_lines(machines, busy, None)))
    return True


def _say(call: Call, lines: Iterator[str]) -> None:
    call.say("\n".join(lines))


def _long_table(views: list[TaskView], wall_ns: int) -> Iterator[str]:
    lines = table(views, wall_ns)
    yield from islice(lines, 2)
    for view, line in zip(views, lines, strict=True):
        yield line
        yield from long_form(view, wall_ns)


# the first lines


def head(machines: Machines) -> Iterator[str]:
    """Whether scheduler and controller act, and why not."""
    orders = machines.scheduler.orders
    states = {
        IntakeVerb.RESUME: "running",
        IntakeVerb.STOP: "stopped, harvesting jobs",
        IntakeVerb.HALT: "stopped",
    }
    verb, why = orders.verb, orders.reason
    if orders.paused and verb is IntakeVerb.RESUME:
        verb, why = IntakeVerb.STOP, orders.paused
    yield f"Scheduler is {states.get(verb, 'shutting down')}{f'   ({clean(why)})' if why else ''}"
    yield f"Controller is {_controller(machines)}"


def _controller(machines: Machines) -> str:
    executor = machines.scheduler.executors[CONTROLLER]
    if executor.link.state is not LinkState.OPEN:
        since = (
            "" if executor.away_since_ns is None else f" for {(machines.now_ns - executor.away_since_ns) // SECOND} s"
        )
        return f"stopped   (it does not answer: {executor.link.state.value}{since})"
    level = run_level(machines)
    if level != "all":
        return f"stopped   (run level {level}: no job is started; `controller run all`)"
    return "running"


# jobs


def job_lines(machines: Machines, most: int) -> Iterator[str]:
    """The jobs that have not ended, at most so many of them."""
    jobs = machines.scheduler.jobs
    yield " Jobs in Pantasks Queue"
    for count, job in enumerate(islice(jobs.values(), most), 1):
        row = job_row(machines, job)
        name = clean(command_text(job.spec).split(" ", 1)[0])
        why = f"   ({clean(row.why)})" if row.why else f"   ({clean(job.host)})" if job.host else ""
        yield f" {count:>5} {job.id:>7} {clean(job.spec.task):<20} {_state(job):<8} {cut(name, 40)}{why}"
    if len(jobs) > most:
        more = "`status -jobs` shows more" if most < JOBS_MOST else "`laulima jobs` shows them all"
        yield f" … and {len(jobs) - most} more ({more})"


def _state(job: ScheduledJob) -> str:
    """BUSY, PENDING, EXIT or CRASH (ended, and its task's reaction is awaited)."""
    if job.state in (JobState.RUNNING, JobState.CANCELLING):
        return "BUSY"
    if job.state is JobState.REACTING and job.report is not None:
        return "EXIT" if job.report.outcome is Outcome.EXITED else "CRASH"
    return "PENDING"


# statistics


def _pattern(call: Call, option: str) -> tuple[bool, str]:
    """Whether the option was given, and the regular expression behind it (empty: all)."""
    if option not in call.words[1:]:
        return False, ""
    place = call.words.index(option, 1)
    behind = call.words[place + 1 : place + 2]
    pattern = behind[0] if behind and not behind[0].startswith("-") else ""
    del call.words[place : place + 1 + bool(pattern)]
    return True, pattern


def _matching(views: list[TaskView], pattern: str) -> list[TaskView]:
    try:
        wanted = re.compile(pattern)
    except re.error as error:
        raise Failure(f"status: {pattern} is no regular expression: {error}") from error
    found = [view for view in views if wanted.search(view.name)]
    if pattern and not found:
        raise Failure(f"status: no task matches {pattern}")
    return found


def _reset(call: Call, view: TaskView) -> None:
    """Count from here. The scheduler is told, where the definition depends on it."""
    if view.script is None:
        return
    state = view.state
    view.script.statistics.reset(*((0, 0, 0) if state is None else (state.made, state.done, state.failed)))
    if view.own is not None:
        announce(call.language, view.own)


# showtask


def showtask(call: Call) -> bool:
    """`showtask NAME`: all settings and macros of a task, as lines that define it."""
    (name,) = call.arguments(1, 1, SHOW)
    views = {view.name: view for view in task_views(call.language, call.language.machines())}
    if name not in views:
        raise Failure(f"task {name} not found{nearest(name, list(views))}")
    _say(call, show_task(views[name]))
    return True


STATUS = "status [-tasks] [-taskinfo] [-jobs] [-controller] [-taskstats [REGEX]] [-taskstatsreset [REGEX]]"
SHOW = "showtask NAME"
COMMANDS: tuple[Command, ...] = (
    Command("status", status, STATUS, "the scheduler, its tasks and jobs; why something does not run", most=6),
    Command("showtask", showtask, SHOW, "all settings and macros of a task", least=1, most=1),
)
"""What `table.py` joins to the language's commands."""
