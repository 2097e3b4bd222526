"""What is wrong in a file, and where: one `Problem` each, all of them in one `InvalidConfiguration`.

Belongs here: the form in which problems are shown. Does not belong here: finding them (`reading.py`, `validation.py`,
`checks.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from model.errors import ConfigurationError
from shell.wording import clean, cut, width

WIDTH_SHOWN = 100
"""Columns of a source line that are shown around the caret."""

KEYS_HINT = "the keys and their meaning: laulima docs config"

KeyPath = tuple[str | int, ...]
"""Keys and list indexes from the top of the document, such as `("tasks", "warp", "windows", 0, "from")`."""


class Spot(NamedTuple):
    """A place in a text; line and column count from 1, columns in characters."""

    line: int
    column: int


class Problem(NamedTuple):
    """One thing that is wrong. `path` is dotted, or empty; `spot` is None when it is the file as a whole."""

    spot: Spot | None
    path: str
    message: str


class InvalidConfiguration(ConfigurationError):  # noqa: N818 - reads as a sentence where it is caught
    """A file that is not right. `str()` is the full list, sorted by place, each with its line and a caret."""

    def __init__(
        self, name: str, problems: Sequence[Problem], lines: Sequence[str] = (), hint: str = KEYS_HINT
    ) -> None:
        ordered = sorted(dict.fromkeys(problems), key=lambda problem: (problem.spot or Spot(0, 0), problem.path))
        self.name = name
        self.problems = tuple(ordered)
        shown = [show(name, problem, lines) for problem in ordered]
        count = "1 error" if len(ordered) == 1 else f"{len(ordered)} errors"
        super().__init__("\n".join([*shown, f"{count}. Nothing was started."]), hint)

    def rows(self) -> list[dict[str, str | int | None]]:
        """The problems for programs (`--json`), in the order of `str()`."""
        return [
            {
                "line": problem.spot.line if problem.spot else None,
                "column": problem.spot.column if problem.spot else None,
                "path": problem.path,
                "message": clean(problem.message),
            }
            for problem in self.problems
        ]


def show(name: str, problem: Problem, lines: Sequence[str]) -> str:
    """`file:line:column   path   message`, and under it the source line with a caret where there is one."""
    spot = problem.spot
    place = clean(name) if spot is None else f"{clean(name)}:{spot.line}:{spot.column}"
    head = "   ".join(part for part in (place, problem.path, clean(problem.message)) if part)
    if spot is None or not 1 <= spot.line <= len(lines):
        return head
    line, before = _excerpt(lines[spot.line - 1], spot.column - 1)
    if not line.strip():
        return head
    return f"{head}\n    {line}\n    {' ' * before}^"


def dotted(path: KeyPath) -> str:
    """The path as people read it: `tasks.warp.windows[0].from`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += ("." if text else "") + cut(clean(step), 80)
    return text


def _excerpt(line: str, column: int) -> tuple[str, int]:
    """A printable piece of the line around the column, and how many terminal columns stand before the column in it."""
    start = 0 if column < WIDTH_SHOWN - 20 else column - WIDTH_SHOWN // 2
    piece = line[start : start + WIDTH_SHOWN].rstrip()
    shown = [" " if character == "\t" else clean(character) for character in piece]
    lead, trail = ("…" if start else ""), ("…" if len(line.rstrip()) > start + WIDTH_SHOWN else "")
    before = len(lead) + width("".join(shown[: column - start]))
    return lead + "".join(shown) + trail, before
