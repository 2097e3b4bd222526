"""A script's tasks as YAML: what `laulima convert` writes.

The script is run as `validate` cannot: its definitions are carried out, so that a task whose name, period or host
stands in a variable comes out as it would be. Nothing is started, no file is changed, no shell line is run (each is
answered with nothing, and named in the notes). `task.exec` becomes `prepare`, `task.exit` becomes `on`, in the same
language. What stands outside of tasks (macros, variables, `run`) is given back as a script, to be named under
`scripts:`.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.scalarstring import LiteralScalarString

from model.behaviour import Behaviour
from model.configuration import ClusterDefinition, LanguageSettings
from model.controller import Controller
from model.effects import Answer
from model.errors import ConfigurationError
from model.events import WallClock
from model.scheduler import Scheduler
from model.scripting import (
    MAIN_SESSION,
    Execute,
    Executed,
    FileUsed,
    FileVerb,
    Give,
    Leave,
    RunFile,
    SessionRan,
    Show,
    Stream,
    UseFile,
)
from model.view_rows import Machines
from model.windows import DAY_S, Window
from shell.config.script_file import LOCAL_SLOTS
from shell.durations import format_duration
from shell.language.machine import Scripts
from shell.language.parsing import parse
from shell.language.printing import print_body
from shell.language.script_tasks import ScriptTasks
from shell.language.task_settings import ScriptTask
from shell.language.tree import TaskBlock, TaskExec, TaskExit

STEPS_MAX = 100_000
"""Slices that a script may take before it is given up: a conversion runs definitions, not a pipeline."""
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Conversion(NamedTuple):
    """`tasks`: the YAML. `rest`: the statements outside of tasks. `notes`: what a person should look at."""

    tasks: str
    rest: str
    notes: list[str]
    failed: bool
    """a statement of the script failed, so something may be missing"""


def convert(path: Path, read: Callable[[str], str | None], wall_ns: int, rest_name: str = "") -> Conversion:
    """The tasks that the script `path` defines itself. `rest_name`: the script file that YAML shall name for the rest.

    Raises `ConfigurationError` when the script does not run to its end.
    """
    name = str(path.absolute())
    driver = _Driver(name, read, wall_ns)
    driver.run()
    tasks = driver.machine.language.tasks
    own = [task for task in tasks.values() if task.at is not None and Path(task.at.file).absolute() == path.absolute()]
    others = [task.name for task in tasks.values() if task not in own]
    if others:
        driver.notes.append(f"tasks of files that it loads are not converted: {', '.join(others)}")
    notes = driver.notes
    document = CommentedMap()
    if rest_name:
        document["scripts"] = [rest_name]
    document["cluster"] = _flow_map(local=_flow_map(slots=LOCAL_SLOTS))
    document["tasks"] = CommentedMap((task.name, _task(task, tasks, notes)) for task in own)
    script = parse(read(name) or "", path.name)
    rest = print_body(tuple(statement for statement in script.body if not isinstance(statement, TaskBlock)))
    return Conversion(_dump(document), rest, notes, driver.failed)


class _Driver:
    """Answers the script machine so that definitions, and nothing else, happen."""

    def __init__(self, path: str, read: Callable[[str], str | None], wall_ns: int) -> None:
        self.notes: list[str] = []
        self._path = path
        self._read = read
        self.failed = False
        self._ran: SessionRan | None = None
        self._left = False
        behaviours: dict[str, Behaviour] = {}
        cluster = ClusterDefinition()
        self._scheduler = Scheduler(1, 0, cluster, (), behaviours=behaviours)
        self._controller = Controller(1, 0, cluster)
        machines = Machines(self._scheduler, self._controller, None, 0)
        self.machine = Scripts(
            0,
            directory=str(Path.cwd()),
            seed=1,
            machines=lambda: machines,
            behaviours=behaviours,
            settings=LanguageSettings(),
            tasks=(),
            environment={},
        )
        self.machine.receive(WallClock(wall_ns), 0)
        # what fails for want of a real pipeline, such as a look into a book that is empty, must not hide later tasks
        self.machine.language.going_on.add(MAIN_SESSION)

    def run(self) -> None:
        """Until the file is done, or has said `quit`."""
        now = 0
        self.machine.receive(RunFile(MAIN_SESSION, 1, self._path), now)
        for _ in range(STEPS_MAX):
            self.machine.advance(now)
            for effect in self.machine.drain():
                answer = self._answer(effect)
                if answer is not None:
                    self.machine.receive(answer, now)
            if self._ran is not None or self._left:
                break
            due = self.machine.next_due()
            if due is None:
                break
            now = max(now, due)
        if self._left:
            return
        if self._ran is None:
            raise ConfigurationError(
                f"{self._path} does not come to its end", "convert takes scripts that define tasks"
            )

    def _answer(self, effect: Any) -> Any:
        if isinstance(effect, Execute):
            self.notes.append(f"was answered with nothing: `{effect.command}`")
            return Executed(effect.run, 0)
        if isinstance(effect, UseFile):
            return self._file(effect)
        if isinstance(effect, Give):
            return self._give(effect)
        if isinstance(effect, Show) and effect.stream is Stream.ERROR:
            self.failed = True
            self.notes.append(effect.text.rstrip("\n"))
        elif isinstance(effect, SessionRan):
            self._ran = effect
        elif isinstance(effect, Leave):
            self._left = True
        return None

    def _give(self, effect: Give) -> Answer | None:
        """The order is carried out on machines that nobody advances: nothing is spawned or connected."""
        machine = self._scheduler if effect.to == "scheduler" else self._controller
        machine.receive(effect.event, 0)
        answers = [done for done in machine.drain() if isinstance(done, Answer)]
        return answers[0] if answers else None

    def _file(self, effect: UseFile) -> FileUsed:
        if effect.verb in (FileVerb.APPEND, FileVerb.WRITE, FileVerb.MAKE_DIRECTORY):
            return FileUsed(effect.run, True)
        text = self._read(effect.path)
        if text is None:
            return FileUsed(effect.run, False, error=f"{effect.path}: No such file or directory")
        return FileUsed(effect.run, True, text, (effect.path,), (("size", str(len(text))),))


# one task


def _task(task: ScriptTask, tasks: ScriptTasks, notes: list[str]) -> CommentedMap:
    """What the task's settings and macros say, as the configuration's keys."""
    section = CommentedMap()
    prepare = "" if task.exec_macro is None else _statements(task.exec_macro.block)
    if task.options and "options" not in prepare:
        prepare = "options " + " ".join(f'"{word}"' for word in task.options) + "\n" + prepare
    if prepare:
        section["prepare"] = LiteralScalarString(prepare)
    if task.command is not None:
        section["command"] = _flow([word.replace("$", "$$") for word in task.command])
    section["host"] = _host(task, tasks)
    timeout_ns = tasks.timeout_ns(task)
    section["periods"] = _flow_map(
        exec=format_duration(task.exec_ns),
        poll=format_duration(task.poll_ns),
        timeout=format_duration(timeout_ns) if timeout_ns else "none",
        pending=format_duration(task.pending_ns) if task.pending_ns else "none",
    )
    limits = {"in_flight": task.npending, "total": task.nmax}
    if any(limits.values()):
        section["limits"] = _flow_map(**{name: number for name, number in limits.items() if number})
    windows = _merged([part for window in task.windows for part in _windows(window, task.name, notes)])
    if windows:
        section["windows"] = CommentedSeq(_flow_map(**window) for window in windows)
    if task.block is not None:
        limit = format_duration(task.block.limit_ns)
        section["block"] = _flow_map(before=list(task.block.before), after=list(task.block.after), limit=limit)
    for name, value, plain in (("nice", task.nice, 0), ("stdout", task.stdout, None), ("stderr", task.stderr, None)):
        if value != plain:
            section[name] = value
    if not task.active:
        section["active"] = False
    if task.exit_macros:
        ends = CommentedMap()
        for end, macro in task.exit_macros.items():
            text = _statements(macro.block)
            ends[int(end) if end.isdigit() else end] = LiteralScalarString(text) if text else _flow_map()
        section["on"] = ends
    return section


def _statements(block: TaskExec | TaskExit) -> str:
    return print_body(block.body)


def _host(task: ScriptTask, tasks: ScriptTasks) -> Any:
    wish = task.wish(tasks.wanted_wait_ns)
    if wish.name is None:
        return "any"
    if task.is_local:
        return "local"
    if wish.required:
        return _flow_map(name=wish.name, required=True, when_unknown=wish.when_unknown.action.value)
    return _flow_map(name=wish.name, wait=format_duration(wish.wait_ns), when_unknown=wish.when_unknown.action.value)


def _merged(windows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Windows that differ in their days only are one with all of these days; not where jobs are counted in each."""
    merged: list[dict[str, Any]] = []
    for window in windows:
        alike = [
            other
            for other in merged
            if "days" in window and "jobs" not in window and {**other, "days": None} == {**window, "days": None}
        ]
        if alike:
            alike[0]["days"] = [day for day in DAYS if day in {*alike[0]["days"], *window["days"]}]
        else:
            merged.append(window)
    return merged


def _windows(window: Window, name: str, notes: list[str]) -> list[dict[str, Any]]:
    """A time range of a script, always in UTC; one that runs over midnights as a window for each day of it."""
    days = -(-window.closes_s // DAY_S)
    if days > 2 and window.jobs_max:
        notes.append(f"task {name}: the range {window.text} becomes {days} windows; -nmax now counts in each of them")
    if days <= 2:
        return [_window(window, 0, window.from_s, window.closes_s % DAY_S or DAY_S)]
    parts = [_window(window, 0, window.from_s, DAY_S)]
    if window.weekdays is not None:
        parts += [_window(window, day, 0, DAY_S) for day in range(1, min(days, 7) - 1)]
    else:
        parts.append(_window(window, 1, 0, DAY_S, last=days - 2))
    return [*parts, _window(window, days - 1, 0, window.closes_s - (days - 1) * DAY_S)]


def _window(window: Window, day: int, from_s: int, to_s: int, last: int | None = None) -> dict[str, Any]:
    """The part of a range on its `day`-th day, from 0 (to its `last`-th one)."""
    section: dict[str, Any] = {"zone": "UTC"}
    if window.weekdays is not None:
        section["days"] = [DAYS[(start + day) % 7] for start in sorted(window.weekdays)]
    if window.first is not None and window.last is not None:
        first, until = window.first + timedelta(day), window.last + timedelta(day if last is None else last)
        section["dates"] = f"{first.isoformat()}..{until.isoformat()}"
    section["from"], section["to"] = _clock(from_s), _clock(to_s)
    if window.exclude:
        section["exclude"] = True
    if window.jobs_max:
        section["jobs"] = window.jobs_max
    return section


def _clock(second: int) -> str:
    minutes, seconds = divmod(second, 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}" + (f":{seconds:02d}" if seconds else "")


# YAML


def _flow(values: list[str]) -> CommentedSeq:
    sequence = CommentedSeq(values)
    sequence.fa.set_flow_style()
    return sequence


def _flow_map(**values: Any) -> CommentedMap:
    mapping = CommentedMap((name, _flow(value) if isinstance(value, list) else value) for name, value in values.items())
    mapping.fa.set_flow_style()
    return mapping


def _dump(document: CommentedMap) -> str:
    yaml = YAML()
    yaml.width = 110
    yaml.indent(mapping=2, sequence=4, offset=2)
    out = io.StringIO()
    yaml.dump(document, out)
    return out.getvalue()
