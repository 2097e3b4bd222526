"""One task of a script: its settings as the commands left them, and its macros.

A `ScriptTask` is mutable, as in the language: what `command`, `options`, `host`, `periods`, `stdout`, `stderr` say in
an exec macro stays for later jobs. Read and changed by the commands of tasks, `defining.py` and `machine.py`. Not
here: the list of tasks and what the scheduler is told (`script_tasks.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from model.job import LOCAL, SECOND, Block, HostPolicy, HostWish, Outcome, Report, Wait
from model.task import TaskDefinition
from model.windows import Window
from shell.config.ends import SHORTHANDS, name_of
from shell.language.calls import Failure
from shell.language.reports import TaskStatistics
from shell.language.tree import Position, TaskExec, TaskExit

_NAMED: dict[str, Outcome] = {
    name_of(outcome): outcome for outcome in Outcome if outcome not in (Outcome.EXITED, Outcome.CRASHED)
}
EXIT_OUTCOMES: dict[str, Outcome] = _NAMED | {short: _NAMED[name] for short, name in SHORTHANDS.items()}
"""The names of exits that stand for one outcome; `crash` and `default` stand for several."""
EXIT_NAMES = (*EXIT_OUTCOMES, "crash", "default")


def exit_name(word: str) -> str:
    """The one spelling of an exit: a number without leading zeros, an outcome's name, `crash` or `default`.

    Raises `Failure` for anything else. (The historical system took a misspelt word for exit 0.)
    """
    name = word.strip().lower().replace("_", "-")
    if name.isascii() and name.isdigit():
        return str(int(name))
    if name in EXIT_OUTCOMES:
        return name_of(EXIT_OUTCOMES[name])
    if name in EXIT_NAMES:
        return name
    near = get_close_matches(name, EXIT_NAMES, 1)
    hint = f"did you mean {near[0]}?" if near else f"a number, {', '.join(EXIT_NAMES)}"
    raise Failure(f"task.exit {word}: no such exit ({hint})", hint)


@dataclass(slots=True)
class TaskMacro:
    """`task.exec` or one `task.exit` of a task: as written, and as the interpreter made it ready to run."""

    block: TaskExec | TaskExit
    body: Any


@dataclass(slots=True)
class FailedLine:
    """A line of a task's macros that failed: how often, and what was said last."""

    count: int = 0
    text: str = ""
    told_ns: int | None = None
    """when a notice told of it last"""


@dataclass(slots=True)
class TaskDefaults:
    """What a new task starts with; `periods` outside a task changes it for tasks defined later. Durations in ns."""

    exec_ns: int = SECOND
    poll_ns: int = SECOND
    timeout_ns: int | None = None
    """None: 1 s for local jobs, no limit for those of the controller"""
    pending_ns: int = 0


@dataclass(slots=True)
class ScriptTask:
    """One task. `command` is None until one is said."""

    name: str
    exec_ns: int = SECOND
    poll_ns: int = SECOND
    timeout_ns: int | None = None
    pending_ns: int = 0
    command: tuple[str, ...] | None = None
    options: tuple[str, ...] = ()
    host: str | None = LOCAL
    """None: any host of the controller"""
    host_required: bool = False
    nice: int = 0
    nmax: int = 0
    npending: int = 0
    active: bool = True
    windows: tuple[Window, ...] = ()
    stdout: str | None = None
    stderr: str | None = None
    block: Block | None = None
    exec_macro: TaskMacro | None = None
    exit_macros: dict[str, TaskMacro] = field(default_factory=dict)
    """by `exit_name`, in the order of definition"""
    open: bool = False
    """its block `task … end` is being carried out"""
    at: Position | None = None
    """where it was defined last"""
    statistics: TaskStatistics = field(default_factory=TaskStatistics)
    failed_lines: dict[str, FailedLine] = field(default_factory=dict)
    """by position; bounded by the lines of the script"""
    declared: TaskDefinition | None = None
    """of the configuration, when the task is not a script's own"""
    said: set[str] = field(default_factory=set)
    """of a declared task: the settings that its statements changed (`command`, `host`, …)"""
    given: TaskDefinition | None = None
    """what the scheduler was told last"""

    @property
    def is_local(self) -> bool:
        return self.host == LOCAL

    def exit_for(self, report: Report) -> str | None:
        """The exit whose macro is to run: a number, then the outcome's name, then `crash`, then `default`; None: none.

        What a person ended calls none but `killed`.
        """
        macros = self.exit_macros
        name = name_of(report.outcome)
        if report.outcome is Outcome.EXITED:
            order = [str(report.exit_code), "default"]
        elif report.outcome is Outcome.KILLED:
            order = [name]
        else:
            order = [name, "crash", "default"]
        return next((each for each in order if each in macros), None)

    def wish(self, wanted_wait_ns: int) -> HostWish:
        """Where a job of the task wants to run, as the settings are now."""
        if self.host is None or self.is_local:
            return HostWish(self.host)
        if self.host_required:
            return HostWish(self.host, True, when_unknown=HostPolicy(Wait.WAIT))
        return HostWish(self.host, False, wanted_wait_ns)

    def overrides(self, wanted_wait_ns: int) -> dict[str, Any]:
        """The fields of a declared task's job that its statements said otherwise."""
        values: dict[str, Any] = {
            "command": self.command,
            "options": self.options,
            "host": self.wish(wanted_wait_ns),
            "nice": self.nice,
            "stdout": self.stdout,
            "stderr": self.stderr,
            "block": self.block,
        }
        return {name: values[name] for name in values if name in self.said}

    def count_failure(self, at: str, text: str) -> FailedLine:
        """Note that the line at `at` failed."""
        line = self.failed_lines.setdefault(at, FailedLine())
        line.count += 1
        line.text = text
        return line
