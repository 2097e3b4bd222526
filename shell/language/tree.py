"""The tree of a script: what a parser can know before anything runs.

Variables are expanded as text when a statement runs, before it is split into words, so a statement keeps its text as
written (without the blanks around it); only blocks, assignments and inline conditions are told apart here. Every node
has its position. Made by `parsing.py`, written back by `printing.py`, run by the interpreter.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple


class Position(NamedTuple):
    """Lines and columns count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Line:
    """A command: expanded, split into words and looked up each time that it runs."""

    at: Position
    text: str


@dataclass(frozen=True, slots=True)
class Assignment:
    """`$target operator value`; `target` is without its first `$` (`x`, `$ref`, `list:$i`). `operator`: `=`, `+=`,
    `-=`, `++`, `--` (the last two without a value)."""

    at: Position
    target: str
    operator: str
    value: str


@dataclass(frozen=True, slots=True)
class InlineIf:
    """`if (condition) statement`; `condition` is with its parentheses."""

    at: Position
    condition: str
    statement: Statement


@dataclass(frozen=True, slots=True)
class If:
    at: Position
    condition: str
    then: Body
    otherwise: Body | None


@dataclass(frozen=True, slots=True)
class For:
    """`arguments`: the text after `for` (`i 0 $n -incl`)."""

    at: Position
    arguments: str
    body: Body


@dataclass(frozen=True, slots=True)
class ForEach:
    at: Position
    arguments: str
    body: Body


@dataclass(frozen=True, slots=True)
class While:
    at: Position
    condition: str
    body: Body


@dataclass(frozen=True, slots=True)
class ListBlock:
    """`elements`: one line each, raw; comment lines and empty lines are not among them."""

    at: Position
    arguments: str
    elements: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MacroBlock:
    """`arguments`: name and options (`tidy -c "help"`), without `create`."""

    at: Position
    arguments: str
    body: Body


@dataclass(frozen=True, slots=True)
class TaskBlock:
    """`body` holds `Line`, `TaskExec`, `TaskExit` and whatever else was written (refused when it runs)."""

    at: Position
    arguments: str
    body: Body


@dataclass(frozen=True, slots=True)
class TaskExec:
    at: Position
    body: Body


@dataclass(frozen=True, slots=True)
class TaskExit:
    """`arguments`: which end (`0`, `default`, `$EXIT_OK`)."""

    at: Position
    arguments: str
    body: Body


@dataclass(frozen=True, slots=True)
class Malformed:
    """What cannot be run: fails with `problem` when it is reached. `hint`: a way out, or empty."""

    at: Position
    text: str
    problem: str
    hint: str = field(default="", compare=False)


Statement = (
    Line
    | Assignment
    | InlineIf
    | If
    | For
    | ForEach
    | While
    | ListBlock
    | MacroBlock
    | TaskBlock
    | TaskExec
    | TaskExit
    | Malformed
)
Body = tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong that can be seen without running. `hint`: a way out, or empty. `unfinished`: more text might
    mend it (a block is open)."""

    at: Position
    text: str
    hint: str = ""
    unfinished: bool = False


@dataclass(frozen=True, slots=True)
class Script:
    name: str
    body: Body
    problems: tuple[Problem, ...] = ()
