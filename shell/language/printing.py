"""A tree written back as text: one statement a line, blocks indented by two blanks.

`parse(print_script(script))` is the same tree apart from positions. Comments and empty lines of the source are not in
the tree and so not in the text. Used by `showtask`, by the conversion to YAML and by tests. What parsing could not
understand is written as it was found.
"""

from __future__ import annotations

from shell.language.statements import MACRO_VERBS
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
    Script,
    Statement,
    TaskBlock,
    TaskExec,
    TaskExit,
    While,
)

INDENT = "  "


def print_script(script: Script) -> str:
    """The whole script; ends with a newline unless it is empty."""
    return print_body(script.body)


def print_body(body: Body, depth: int = 0) -> str:
    """Statements, `depth` levels indented, each ended by a newline."""
    lines: list[str] = []
    _write_body(body, depth, lines)
    return "".join(f"{line}\n" for line in lines)


def _write_body(body: Body, depth: int, lines: list[str]) -> None:
    for statement in body:
        _write(statement, depth, lines)


def _write(statement: Statement, depth: int, lines: list[str]) -> None:
    if isinstance(statement, Line | Assignment | InlineIf | Malformed):
        lines.append(INDENT * depth + print_line(statement))
        return
    lines.append((INDENT * depth + heading(statement)).rstrip(" "))
    if isinstance(statement, ListBlock):
        lines.extend(INDENT * (depth + 1) + element for element in statement.elements)
    elif isinstance(statement, If):
        _write_body(statement.then, depth + 1, lines)
        if statement.otherwise is not None:
            lines.append(INDENT * depth + "else")
            _write_body(statement.otherwise, depth + 1, lines)
    else:
        _write_body(statement.body, depth + 1, lines)
    lines.append(INDENT * depth + "end")


def print_line(statement: Statement) -> str:
    """A statement that is no block, without indentation; of a block its first line. (A Malformed may hold several
    lines.)"""
    conditions = ""
    while isinstance(statement, InlineIf):
        conditions += f"if {statement.condition} "
        statement = statement.statement
    if isinstance(statement, Assignment):
        # `$x =#f` is a value that begins with `#`; behind a blank it would be a comment.
        gap = "" if not statement.value or statement.value.startswith("#") else " "
        return f"{conditions}${statement.target} {statement.operator}{gap}{statement.value}"
    if isinstance(statement, Line | Malformed):
        return conditions + statement.text
    return conditions + heading(statement)


def heading(statement: Statement) -> str:
    """The first line of a block."""
    match statement:
        case If():
            return f"if {statement.condition}"
        case While():
            return f"while {statement.condition}"
        case For():
            return f"for {statement.arguments}"
        case ForEach():
            return f"foreach {statement.arguments}"
        case ListBlock():
            return f"list {statement.arguments}"
        case MacroBlock():
            create = "create " if statement.arguments.split(maxsplit=1)[:1] in [[verb] for verb in MACRO_VERBS] else ""
            return f"macro {create}{statement.arguments}"
        case TaskBlock():
            return f"task {statement.arguments}"
        case TaskExec():
            return "task.exec"
        case TaskExit():
            return f"task.exit {statement.arguments}"
        case Line() | Assignment() | InlineIf() | Malformed():
            return print_line(statement)
