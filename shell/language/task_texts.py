"""Tasks as lines of text: the table of `status`, its long form, its statistics, and `showtask`.

One task may be known to the scheduler, to the script machine, or to both; the counts are the scheduler's (they survive
a restart), except those of time limits and the run times, which are of this life. A task that makes no job says why on
its line. Reads only; called by `commands/looking.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from model.job import LOCAL, SECOND, HostWish
from model.task import TaskDefinition
from model.task_state import TaskState
from model.view_rows import Machines, task_rows
from model.windows import Window, counted_as, is_open, opened_on
from shell.language.direct_jobs import DIRECT
from shell.language.language import Language
from shell.language.printing import print_body
from shell.language.reports import TaskStatistics, Times
from shell.language.script_tasks import LOCAL_TIMEOUT_NS
from shell.language.task_settings import ScriptTask
from shell.wording import clean, cut

NAME_WIDTH = 20
COMMAND_WIDTH = 40
HEAD = f" AV {'Name':<{NAME_WIDTH}} {'Nrun':>5} {'Njobs':>6} {'Ngood':>6} {'Nfail':>6} {'Ntime':>6}  Command"


@dataclass(frozen=True, slots=True)
class TaskView:
    """One task as the two machines know it. `script` is None for one without statements, `state` for one that the
    scheduler has not heard of yet. `why`: why it makes no job."""

    name: str
    script: ScriptTask | None
    state: TaskState | None
    why: str = ""

    @property
    def own(self) -> ScriptTask | None:
        """The script's task, if its settings are those of a script and not of the configuration."""
        return None if self.script is None or self.script.declared is not None else self.script

    @property
    def statistics(self) -> TaskStatistics:
        return TaskStatistics() if self.script is None else self.script.statistics

    @property
    def definition(self) -> TaskDefinition:
        return TaskDefinition(self.name) if self.state is None else self.state.definition

    @property
    def active(self) -> bool:
        return self.definition.active if self.own is None else self.own.active

    @property
    def windows(self) -> tuple[Window, ...]:
        return self.definition.windows if self.own is None else self.own.windows

    @property
    def command(self) -> tuple[str, ...]:
        """Empty: a macro gives it."""
        own, definition = self.own, self.definition
        if own is not None:
            return () if own.exec_macro is not None else own.command or ()
        return definition.command if definition.call is None else (definition.call, *definition.arguments)

    def counts(self) -> tuple[int, int, int, int, int]:
        """Jobs that have not ended; made, ended well, ended otherwise, ended by their time limit."""
        state, past = self.state, self.statistics
        if state is None:
            return 0, 0, 0, 0, 0
        good, bad = state.done - past.good_before, state.failed - past.bad_before
        return state.in_flight, state.made - past.jobs_before, good, max(0, bad - past.timed_out), past.timed_out


def task_views(language: Language, machines: Machines | None) -> list[TaskView]:
    """The script's tasks in the order of the language, then the others."""
    states = {} if machines is None else dict(machines.scheduler.spawning.tasks)
    states.pop(DIRECT, None)
    why = {} if machines is None else {row.name: row.why for row in task_rows(machines)}
    why |= {name: "active false" for name, state in states.items() if why.get(name) == _INACTIVE and state is not None}
    names = dict.fromkeys((*language.tasks, *states))
    return [TaskView(name, language.tasks.get(name), states.get(name), why.get(name, "")) for name in names]


_INACTIVE = "active: false"


# the table


def table(views: Iterable[TaskView], wall_ns: int) -> Iterator[str]:
    """The task table. Behind the command: how often it made no job, and why it makes none now."""
    yield " Task Status"
    yield HEAD
    for view in views:
        signs = _sign(view.active) + _sign(is_open(view.windows, wall_ns))
        living, made, good, bad, late = view.counts()
        first = view.command[0] if view.command else "(dynamic)"
        line = f" {signs} {clean(view.name):<{NAME_WIDTH}} {living:>5} {made:>6} {good:>6} {bad:>6} {late:>6}"
        yield f"{line}  {cut(clean(first), COMMAND_WIDTH)}{_behind(view)}"


def _sign(good: bool) -> str:
    return "+" if good else "-"


def _behind(view: TaskView) -> str:
    skipped = _skipped(view)
    notes = [f"Nskip {skipped}"] if skipped else []
    if view.why:
        notes.append(clean(_in_its_words(view)))
    return f"   ({'; '.join(notes)})" if notes else ""


def _in_its_words(view: TaskView) -> str:
    """Why a task makes no job; a script's task has its limits from `nmax` and `npending`."""
    own = view.own
    if own is not None and own.nmax and view.why.startswith("limits.total="):
        return f"nmax {own.nmax} reached"
    if own is not None and own.npending and view.why.startswith("limits.in_flight="):
        return f"npending {own.npending} reached"
    return view.why


def _skipped(view: TaskView) -> int:
    """How often task.exec said no, or failed; due times that passed for another reason are not meant."""
    skipped = {} if view.state is None else view.state.skipped
    return sum(count for reason, count in skipped.items() if reason.startswith(("declined", "failed at")))


# the long form


def long_form(view: TaskView, wall_ns: int) -> Iterator[str]:
    """What stands below a task's line in `status -taskinfo`."""
    own, definition = view.own, view.definition
    periods = definition.periods
    exec_ns, poll_ns = (periods.exec_ns, periods.poll_ns) if own is None else (own.exec_ns, own.poll_ns)
    timeout = seconds(periods.timeout_ns) if own is None else _timeout(own)
    yield f"    spawn period: {seconds(exec_ns)}   polling period: {seconds(poll_ns)}   timeout: {timeout}"
    for window in view.windows:
        yield f"    {_range(view, window, wall_ns)}"
    yield f"    Nskip exec: {_skipped(view)}"
    if view.state is not None:
        yield from (f"      {count} x {clean(reason)}" for reason, count in view.state.skipped.most_common(5))
    yield f"    host: {_where(own, definition.host)}"


def seconds(ns: int) -> str:
    """A duration as the language writes it: seconds, without useless zeros."""
    return f"{ns / SECOND:.12g}"


def _timeout(task: ScriptTask) -> str:
    if task.timeout_ns is None:
        return f"{seconds(LOCAL_TIMEOUT_NS) if task.is_local else 'none'} (default)"
    return seconds(task.timeout_ns) if task.timeout_ns else "none"


def _range(view: TaskView, window: Window, wall_ns: int) -> str:
    if window.exclude:
        return f"avoid : {_ends(window)}"
    if not window.jobs_max:
        return f"active : {_ends(window)}"
    day, made = (-1, 0) if view.state is None else view.state.openings.get(counted_as(window), (-1, 0))
    return f"active : {_ends(window)} ({made if opened_on(window, wall_ns) == day else 0} of {window.jobs_max})"


def _ends(window: Window) -> str:
    return " - ".join(window.text.split(" ", 1)) if window.text.count(" ") == 1 else window.text


def _where(own: ScriptTask | None, wish: HostWish) -> str:
    name = wish.name if own is None else own.host
    required = wish.required if own is None else own.host_required
    if name is None:
        return "anyhost"
    return name + (" (required)" if required and name != LOCAL else "")


# statistics


def statistics_table(views: Iterable[TaskView]) -> Iterator[str]:
    """Numbers and run times (s) of jobs that ended: all, success, failure; NONE before the first."""
    kinds = "".join(f" | {kind:^35}" for kind in ("all jobs", "success", "failure"))
    heads = f" | {'Njobs':>8} {'Tmin':>8} {'Tave':>8} {'Tmax':>8}" * 3
    yield f" {'':<{NAME_WIDTH}}{kinds}".rstrip()
    yield f" {'Name':<{NAME_WIDTH}}{heads}"
    for view in views:
        past = view.statistics
        cells = "".join(f" | {_times(times)}" for times in (_together(past.good, past.bad), past.good, past.bad))
        yield f" {clean(view.name):<{NAME_WIDTH}}{cells}"


def _times(times: Times) -> str:
    if not times.count:
        return f"{0:>8} {'NONE':>8} {'NONE':>8} {'NONE':>8}"
    return f"{times.count:>8} {times.least:>8.3f} {times.average:>8.3f} {times.most:>8.3f}"


def _together(one: Times, other: Times) -> Times:
    if not one.count or not other.count:
        return one if one.count else other
    return Times(
        one.count + other.count, one.total + other.total, min(one.least, other.least), max(one.most, other.most)
    )


# showtask


def show_task(view: TaskView) -> Iterator[str]:
    """The task as it is now, in the language: a script's task can be defined again from these lines."""
    own = view.own
    yield f"task {view.name}"
    if own is None:
        yield from _declared_lines(view)
    else:
        yield from _setting_lines(own)
        for place, line in own.failed_lines.items():
            yield f"  # failed {line.count} time{'s' if line.count != 1 else ''} at {place}: {clean(line.text)}"
        if own.exec_macro is not None:
            yield "  task.exec"
            yield from _body(own.exec_macro.block.body)
        for name, macro in own.exit_macros.items():
            yield f"  task.exit {name}"
            yield from _body(macro.block.body)
    yield "end"


def _body(body: object) -> Iterator[str]:
    yield from print_body(body, 2).splitlines()  # type: ignore[arg-type]
    yield "  end"


def _setting_lines(task: ScriptTask) -> Iterator[str]:
    if task.command is not None:
        yield f"  command {words(task.command)}"
    if task.options:
        yield f"  options {words(task.options)}"
    required = " -required" if task.host_required else ""
    yield f"  host {task.host or 'anyhost'}{required}"
    yield from _number_lines(task)
    for window in task.windows:
        limit = f" -nmax {window.jobs_max}" if window.jobs_max else ""
        yield f"  trange {_range_words(window)}{limit}{' -exclude' if window.exclude else ''}"
    yield f"  stdout {words((task.stdout or 'NULL',))}"
    yield f"  stderr {words((task.stderr or 'NULL',))}"
    if task.block is not None:
        after = "".join(f" -after {words((path,))}" for path in task.block.after)
        yield f"  block {words(task.block.before)}{after} -limit {seconds(task.block.limit_ns)}"


def _range_words(window: Window) -> str:
    """Both ends; those of a date in full, since `now` or `2h` would mean another date by now."""
    day = window.first
    if day is None or day != window.last:
        return window.text
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    ends = (midnight + timedelta(seconds=second) for second in (window.from_s, window.closes_s - 1))
    return " ".join(f"{end:%Y/%m/%d,%H:%M:%S}" for end in ends)


def _number_lines(task: ScriptTask) -> Iterator[str]:
    timeout = "" if task.timeout_ns is None else f" -timeout {seconds(task.timeout_ns)}"
    pending = f" -pending {seconds(task.pending_ns)}" if task.pending_ns else ""
    yield f"  periods -exec {seconds(task.exec_ns)} -poll {seconds(task.poll_ns)}{timeout}{pending}"
    for name, value in (("nmax", task.nmax), ("npending", task.npending), ("nice", task.nice)):
        if value:
            yield f"  {name} {value}"
    yield f"  active {'true' if task.active else 'false'}"


def _declared_lines(view: TaskView) -> Iterator[str]:
    """A task of the configuration's file: the lines that have a word here."""
    definition = view.definition
    yield "  # defined in the configuration's file; `laulima explain` says more"
    yield f"  command {words(view.command)}"
    yield f"  host {definition.host.name or 'anyhost'}{' -required' if definition.host.required else ''}"
    periods = definition.periods
    numbers = (
        (periods.exec_ns, "exec"),
        (periods.poll_ns, "poll"),
        (periods.timeout_ns, "timeout"),
        (periods.pending_ns, "pending"),
    )
    yield "  periods " + " ".join(f"-{name} {seconds(ns)}" for ns, name in numbers)
    for name, value in (("nmax", definition.limits.total), ("npending", definition.limits.in_flight)):
        if value:
            yield f"  {name} {value}"
    yield f"  active {'true' if definition.active else 'false'}"
    if definition.prepare:
        yield "  task.exec"
        yield from (f"    {line.strip()}" for line in definition.prepare.splitlines() if line.strip())
        yield "  end"
    for handler in definition.handlers:
        if handler.script:
            yield f"  task.exit {handler.match}"
            yield from (f"    {line.strip()}" for line in handler.script.splitlines() if line.strip())
            yield "  end"


def words(given: Iterable[str]) -> str:
    """Words as the language reads them again: in quotes where they hold blanks or parentheses."""
    return " ".join(f'"{clean(word)}"' if any(mark in word for mark in " \t();") else clean(word) for word in given)
