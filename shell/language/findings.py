"""What `laulima validate` says about a script, and the words of a line as far as they are known before it runs.

Used by `validation.py`, `checking_tasks.py` and `checking_names.py`. What is checked does not belong here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from random import Random

from shell.language.lines import BLANKS, closing
from shell.language.mathematics import MathsError, evaluate
from shell.language.tree import Position

# `$x`, `$$ref:n`, `$?x`, `$list:$i` (the inner one is another match). Groups: further `$`, `?`, name.
VARIABLE = re.compile(r"\$(\$*)(\??)([A-Za-z0-9_:]+)")
_ONE_OPERAND = re.compile(r"\$[$?]*[A-Za-z0-9_:][A-Za-z0-9_:$]*")
_BRACES = re.compile(r"(?<!\\)\{([^{}]*)\}")
_QUOTED = re.compile(r'"[^"]*"')
_PART = re.compile(rf"(?:(?<!\\)\{{[^{{}}]*\}}|[^{BLANKS}])+")


class Severity(Enum):
    """How bad a finding is."""

    ERROR = "error"
    """the script cannot do what it says"""
    WARNING = "warning"
    """it probably does something else than its author meant"""
    NOTE = "note"
    """it means something else here than in the historical system"""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing worth saying. `hint`: a way out, or empty."""

    at: Position
    severity: Severity
    text: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.at}: {self.severity.value}: {self.text}" + (f" ({self.hint})" if self.hint else "")


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a line that is not expanded yet. `offset`: where it begins in the line. `dynamic`: what it is will be
    known when the line runs. `fixed`: it will be one word whatever the variables in it hold."""

    text: str
    offset: int
    dynamic: bool
    fixed: bool


def words_of(text: str) -> list[Word]:
    """The words of a command line: quoted text (without the quotes), balanced parentheses, else up to a blank. Empty
    quotes are no word."""
    found: list[Word] = []
    start = 0
    while start < len(text):
        if text[start] in BLANKS:
            start += 1
            continue
        stop, word = _word_at(text, start)
        if word.text:
            found.append(word)
        start = stop
    return found


def _word_at(text: str, start: int) -> tuple[int, Word]:
    if text[start] == '"':
        quoted = _QUOTED.match(text, start)
        if quoted is not None:
            inner = quoted.group()[1:-1]
            return quoted.end(), Word(inner, start, _is_dynamic(inner), True)
    stop = closing(text, start) + 1 if text[start] == "(" else 0
    if not stop:
        part = _PART.match(text, start)
        stop = start + 1 if part is None else part.end()
    inner = text[start:stop]
    dynamic = _is_dynamic(inner) or '"' in inner
    return stop, Word(inner, start, dynamic, "$" not in inner and '"' not in inner)


def _is_dynamic(text: str) -> bool:
    return any(mark in text for mark in "${\\")


def braces(text: str) -> list[tuple[int, str]]:
    """The expressions of `{…}` in a line: (offset of the brace, text between)."""
    return [(match.start(), match.group(1)) for match in _BRACES.finditer(text)]


def maths_problem(text: str) -> str:
    """What is wrong with an expression, if every variable in it holds one number; empty:
    nothing."""
    try:
        evaluate(_ONE_OPERAND.sub("1", text), Random(0))  # noqa: S311 - the value is thrown away
    except MathsError as error:
        return str(error)
    return ""
