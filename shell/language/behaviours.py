"""What the scheduler asks about tasks that have statements: nearly always "later", and the machine answers.

A task without a macro for the question is answered at once, without a run. The scheduler holds these objects in the
dictionary that it was given; `ScriptTasks` holds what they read. Called by the scheduler only. Not here: running
macros (`machine.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from model.behaviour import DECLARED, NO_REACTION, Later, Reaction, Skip, choose_handler, declared_job
from model.job import Block, JobSpec, Report
from model.task import Handler, TaskDefinition
from shell.language.calls import Data, Failure

if TYPE_CHECKING:
    from shell.language.script_tasks import ScriptTasks
    from shell.language.task_settings import ScriptTask


class ScriptedBehaviour:
    """A task of a script. Its macros and settings are those of now: a task that is opened again changes what its
    running jobs meet at their end, as it always did."""

    def __init__(self, tasks: ScriptTasks, *, always_later: bool = False) -> None:
        """`always_later`: the machine is asked in any case (it delays starts at random)."""
        self._tasks = tasks
        self._always_later = always_later

    def prepare(self, task: TaskDefinition, job: int, item: str | None) -> JobSpec | Skip | Later:
        script_task = self._tasks.get(task.name)
        if script_task is None:
            return Skip("no script defines the task any more")
        if script_task.exec_macro is not None or self._always_later:
            return Later.LATER
        return static_job(self._tasks, script_task, item)

    def react(self, task: TaskDefinition, spec: JobSpec, report: Report, retries: int) -> Reaction | Later:
        script_task = self._tasks.of_job(task.name)
        if script_task is None:
            return NO_REACTION
        name = script_task.exit_for(report)
        if name is not None:
            return Later.LATER
        script_task.statistics.record(report)
        return NO_REACTION


class PreparedBehaviour:
    """A task of the configuration with `prepare` statements, or with handlers that have statements."""

    def prepare(self, task: TaskDefinition, job: int, item: str | None) -> JobSpec | Skip | Later:
        return Later.LATER if task.prepare else DECLARED.prepare(task, job, item)

    def react(self, task: TaskDefinition, spec: JobSpec, report: Report, retries: int) -> Reaction | Later:
        reaction = DECLARED.react(task, spec, report, retries)
        return Later.LATER if handler_to_run(task, report, reaction) is not None else reaction


def static_job(tasks: ScriptTasks, task: ScriptTask, item: str | None) -> JobSpec | Skip:
    """The next job of a task as its settings are, or why there is none."""
    try:
        return tasks.specification(task, item)
    except Failure as failure:
        return Skip(str(failure))


def handler_to_run(task: TaskDefinition, report: Report, reaction: Reaction | Later) -> Handler | None:
    """The handler whose statements are to run; an attempt that is tried again calls none."""
    if isinstance(reaction, Reaction) and reaction.retry is not None:
        return None
    handler = choose_handler(task.handlers, report)
    return handler if handler is not None and handler.script else None


def prepared_job(task: TaskDefinition, job: int, item: str | None, variables: Mapping[str, str | int]) -> JobSpec:
    """A job of a declared task after its `prepare` statements ran: any `$name` of its words may be a variable of the
    language."""
    known = {name: _unquoted(variables[name]) for name in _names_in(task) if name in variables}
    return declared_job(task, job, item, known)


def _unquoted(value: str | int) -> str:
    """A value as one word: the quotes that `$x = "a b"` keeps have done their work here, as they would in a line."""
    text = str(value)
    quoted = len(text) > 1 and text[0] == text[-1] == '"' and '"' not in text[1:-1]
    return text[1:-1] if quoted and not isinstance(value, Data) else text


def _names_in(task: TaskDefinition) -> set[str]:
    """Every name that stands behind a dollar in the task's words."""
    block = task.block or Block()
    texts = [*task.command, *task.arguments, *block.before, *block.after, task.stdout or "", task.stderr or ""]
    texts += [value for _, value in task.environment]
    found: set[str] = set()
    for text in texts:
        for piece in text.split("$")[1:]:
            if piece.startswith("{"):
                found.add(piece[1:].partition("}")[0])
                continue
            end = 0
            while end < len(piece) and (piece[end].isalnum() or piece[end] == "_"):
                end += 1
            found.add(piece[:end])
    return found
