"""From the tree to statements that run: `compile_body`. Done once for each macro, task macro and file; run many times.

A statement that needs no time is a function of the run without any generator; see `interpreter.py` for what it answers.
Blocks are here and in `blocks.py`, command lines in `command_lines.py`, assignments and conditions in `assigning.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from types import GeneratorType
from typing import Any

from shell.language.assigning import Condition, assignment
from shell.language.blocks import ForEachLoop, ForLoop, ListNode, WhileLoop
from shell.language.calls import Call, Failure
from shell.language.command_lines import command_line, waited_for
from shell.language.expansion import words_of
from shell.language.interpreter import Compiled, Result, Statement, Steps, failed, run_statements
from shell.language.language import Macro
from shell.language.parsing import parse
from shell.language.runs import Run
from shell.language.tree import (
    Assignment,
    Body,
    For,
    ForEach,
    If,
    InlineIf,
    Line,
    ListBlock,
    MacroBlock,
    Malformed,
    TaskBlock,
    TaskExec,
    TaskExit,
    While,
)
from shell.language.tree import Statement as Node

TEXTS_KEPT = 256
"""Compiled texts that are kept; loading the same file again costs nothing."""
REMEMBERED_MOST = 1024 * 1024
"""Characters of a text that is kept."""


def compile_body(body: Body) -> Compiled:
    """Make statements of a body. Never fails: what is wrong is told when it is reached."""
    return Compiled([compile_statement(node) for node in body], body)


def compile_text(text: str, name: str, first_line: int = 1) -> Compiled:
    """Parse and compile a text; the last ones are remembered."""
    return (_remembered if len(text) <= REMEMBERED_MOST else _compiled)(text, name, first_line)


def _compiled(text: str, name: str, first_line: int) -> Compiled:
    return compile_body(parse(text, name, first_line=first_line).body)


_remembered = lru_cache(maxsize=TEXTS_KEPT)(_compiled)


def compile_statement(node: Node) -> Statement:
    """One statement."""
    return _MAKERS[type(node)](node)


def _inline_if(node: InlineIf) -> Statement:
    holds = Condition(node.condition).holds
    statement = compile_statement(node.statement)
    inner = node.statement

    def execute(run: Run) -> Result:
        if not holds(run):
            run.variables["STATUS"] = 1
            return None
        try:
            result = statement(run)
        except Failure as failure:
            return failed(run, inner, failure)
        return _located(run, result, inner) if result.__class__ is GeneratorType else result

    return execute


def _located(run: Run, steps: Steps, node: Node) -> Steps:
    try:
        return (yield from steps)
    except Failure as failure:
        return failed(run, node, failure)


def _if(node: If) -> Statement:
    holds = Condition(node.condition).holds
    then = compile_body(node.then)
    otherwise = compile_body(node.otherwise or ())

    def execute(run: Run) -> Result:
        return run_statements(run, then if holds(run) else otherwise, deferring=True)

    return execute


def _macro(node: MacroBlock) -> Statement:
    body = compile_body(node.body)

    def execute(run: Run) -> Result:
        call = Call(run.language, run, node.at, ["macro", *words_of(run, node.at, node.arguments)])
        help_text = call.option("-c") or ""
        (name,) = call.arguments(1, 1, 'macro NAME [-c "help text"]')
        command = run.language.commands.get(name)
        if command is not None and not command.yields:
            raise Failure(f"macro {name}: there is a command of this name")
        run.language.define(Macro(name, node, body, help_text))
        run.variables["STATUS"] = 1
        return None

    return execute


def _task(node: TaskBlock) -> Statement:
    def execute(run: Run) -> Result:
        call = Call(run.language, run, node.at, ["task"])
        return waited_for(run, run.language.tasks.define(call, node), node.at)

    return execute


def _refused(problem: str, hint: str = "") -> Statement:
    def execute(_: Run) -> Result:
        raise Failure(problem, hint=hint)

    return execute


_MAKERS: dict[type, Callable[[Any], Statement]] = {
    Line: command_line,
    Assignment: assignment,
    InlineIf: _inline_if,
    If: _if,
    For: lambda node: ForLoop(node, compile_body(node.body)).execute,
    ForEach: lambda node: ForEachLoop(node, compile_body(node.body)).execute,
    While: lambda node: WhileLoop(node, compile_body(node.body)).execute,
    ListBlock: lambda node: ListNode(node).execute,
    MacroBlock: _macro,
    TaskBlock: _task,
    TaskExec: lambda _: _refused("task.exec outside of a task"),
    TaskExit: lambda _: _refused("task.exit outside of a task"),
    Malformed: lambda node: _refused(node.problem, node.hint),
}
