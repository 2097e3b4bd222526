"""The block `task NAME … end`: opening a task, carrying out its lines, checking it at the end.

The lines directly in the block are expanded and carried out when it runs; the bodies of `task.exec` and `task.exit`
are only made ready. A bad line is complained about and skipped, and does not end the definition. A task that could
never give a command is not kept. Called by the interpreter through `ScriptTasks.define`. Not here: what the commands
do (`commands/tasks.py`).
"""

from __future__ import annotations

from collections.abc import Generator
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from model.behaviour import DECLARED
from model.events import DefineTask, OrderTask, TaskVerb
from model.scripting import Give
from shell.language.calls import Call, Failure
from shell.language.compiling import compile_body
from shell.language.expansion import expand_words
from shell.language.task_settings import ScriptTask, TaskMacro, exit_name
from shell.language.tree import (
    Body,
    For,
    ForEach,
    If,
    InlineIf,
    Line,
    Malformed,
    Statement,
    TaskBlock,
    TaskExec,
    TaskExit,
    While,
)

if TYPE_CHECKING:
    from shell.language.language import Language
    from shell.language.script_tasks import ScriptTasks

TASK_WORDS = frozenset(
    {
        "active",
        "block",
        "command",
        "host",
        "nice",
        "nmax",
        "npending",
        "option",
        "options",
        "periods",
        "stderr",
        "stdout",
        "trange",
    }
)
"""The commands that a task block may hold; compared without case, never abbreviated there."""
MACROS_FOLLOWED = 100
"""How many macros are looked through for a `command`."""


def define(tasks: ScriptTasks, call: Call, block: TaskBlock) -> Generator[Any, Any, bool]:
    """Define a task, or change one that there is. What was wrong in it is complained about; the statement succeeds."""
    words = expand_words(call.language, call.run, block.at, block.arguments)
    if len(words) != 1 or words[0].startswith("-"):
        raise Failure("USAGE: task NAME … end")
    name = words[0]
    task = tasks.get(name) or _of_configuration(tasks, call, name) or tasks.new(name)
    outer, call.run.task, task.open = call.run.task, task, True
    try:
        yield from _carry_out(call, task, block.body)
    finally:
        call.run.task, task.open = outer, False
    if task.declared is None and task.command is None and not _may_command(call.language, task):
        text = f"task {name} has no command: say `command …` in it or in its task.exec; it is not kept"
        call.language.complain(call.run, f"{block.at}: {text}")
        return True
    task.at = block.at
    tasks.add(task)
    _check_host(call, task)
    announce(call.language, task)
    _release(call.language, task, block)
    return True


def announce(language: Language, task: ScriptTask) -> None:
    """Tell the scheduler what changed, if something did; nobody waits for its answer."""
    definition = language.tasks.changed_definition(task)
    if definition is not None:
        language.effects.append(Give("scheduler", DefineTask(language.next_number(), definition)))


def _carry_out(call: Call, task: ScriptTask, body: Body) -> Generator[Any, Any, None]:
    for statement in body:
        try:
            if isinstance(statement, TaskExec | TaskExit) and task.declared is not None:
                raise Failure(f"task {task.name} is the configuration's: its statements stand in `prepare` and `on`")
            if isinstance(statement, TaskExec):
                task.exec_macro = TaskMacro(statement, compile_body(statement.body))
            elif isinstance(statement, TaskExit):
                _add_exit(call, task, statement)
            elif isinstance(statement, Line):
                yield from _run_line(call, statement)
            else:
                raise _refusal(statement)
        except Failure as failure:
            call.language.complain(call.run, f"{statement.at}: {failure}")


def _add_exit(call: Call, task: ScriptTask, statement: TaskExit) -> None:
    words = expand_words(call.language, call.run, statement.at, statement.arguments)
    if len(words) != 1:
        raise Failure("USAGE: task.exit NUMBER|default|crash|timeout|… … end")
    name = exit_name(words[0])
    task.exit_macros.pop(name, None)
    task.exit_macros[name] = TaskMacro(statement, compile_body(statement.body))


def _run_line(call: Call, line: Line) -> Generator[Any, Any, None]:
    if _first_word(line).startswith("#"):
        return
    words = expand_words(call.language, call.run, line.at, line.text)
    if not words:
        return
    name = words[0].lower()
    command = call.language.commands.get(name) if name in TASK_WORDS else None
    if command is None:
        raise _unknown(words[0])
    inner = Call(call.language, call.run, line.at, [name, *words[1:]])
    result = command.run(inner)
    if command.waits:
        yield from result


def _first_word(statement: Statement) -> str:
    """Of a line as it is written; empty for anything else."""
    words = statement.text.split(None, 1) if isinstance(statement, Line) else []
    return words[0].lower() if words else ""


def _unknown(word: str) -> Failure:
    near = get_close_matches(word.lower(), sorted(TASK_WORDS | {"task.exec", "task.exit"}), 1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    return Failure(f"unknown task command {word}{hint}, skipped")


def _refusal(statement: Statement) -> Failure:
    if isinstance(statement, Malformed):
        return Failure(statement.problem, hint=statement.hint)
    words = {If: "if", InlineIf: "if", For: "for", ForEach: "foreach", While: "while"}
    word = words.get(type(statement), "an assignment or block")
    return Failure(f"unknown task command {word}: statements belong into task.exec or task.exit; skipped")


def _check_host(call: Call, task: ScriptTask) -> None:
    """A required host that the controller does not know is waited for; somebody should hear of it at once."""
    if not task.host_required or task.host is None or task.is_local or call.language.machines() is None:
        return
    if call.language.known_host(task.host) is None:
        unknown = f"task {task.name} requires host {task.host}, which the controller does not know (yet)"
        call.complain(f"{unknown}: its jobs wait for it")


def _of_configuration(tasks: ScriptTasks, call: Call, name: str) -> ScriptTask | None:
    """A task of the configuration that has no statements, opened for the first time."""
    machines = call.language.machines()
    state = None if machines is None else machines.scheduler.spawning.tasks.get(name)
    return tasks.declare(state.definition) if state is not None and state.behaviour is DECLARED else None


def _release(language: Language, task: ScriptTask, block: TaskBlock) -> None:
    """A task that a fault stopped goes on when its macros are said anew or it is switched on: so it is mended."""
    machines = language.machines()
    state = None if machines is None else machines.scheduler.spawning.tasks.get(task.name)
    mended = any(
        isinstance(statement, TaskExec | TaskExit) or _first_word(statement) == "active" for statement in block.body
    )
    if state is not None and state.faulted and not state.held and task.active and mended:
        order = OrderTask(language.next_number(), TaskVerb.RELEASE, task.name)
        language.effects.append(Give("scheduler", order))


# whether a task can ever give a command


def _may_command(language: Language, task: ScriptTask) -> bool:
    """Whether its task.exec names `command` somewhere: at any depth, behind an inline `if`, in a macro that it calls,
    or by a statement that starts with a variable. (The historical check saw whole lines only.)"""
    if task.exec_macro is None:
        return False
    return _names_command(language, task.exec_macro.block.body, set())


def _names_command(language: Language, body: Body, seen: set[str]) -> bool:
    return any(_statement_commands(language, statement, seen) for statement in body)


def _statement_commands(language: Language, statement: Statement, seen: set[str]) -> bool:
    if isinstance(statement, InlineIf):
        return _statement_commands(language, statement.statement, seen)
    if isinstance(statement, If):
        return _names_command(language, statement.then + (statement.otherwise or ()), seen)
    if isinstance(statement, For | ForEach | While):
        return _names_command(language, statement.body, seen)
    if not isinstance(statement, Line):
        return False
    word = (statement.text.split(None, 1) or [""])[0]
    if word == "command" or word.startswith("$"):
        return True
    macro = language.macros.get(word)
    if macro is None or word in seen or len(seen) >= MACROS_FOLLOWED:
        return False
    seen.add(word)
    return _names_command(language, macro.block.body, seen)
