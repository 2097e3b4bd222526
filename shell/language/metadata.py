"""Reads the answers of query programs: blocks of `word TYPE value` lines, or plain columns.

    jobs MULTI                      said of names that may come more than once; nothing to keep
    jobs METADATA                   a block begins
       job_id    S64   12           # a comment
       path      STR   "two words"
    END

Rule: nothing raises and nothing is dropped in silence: every line that cannot be used comes back as a `Trouble`. Used
by `queue2book` only; pages are made there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

_COMMENT = re.compile(r"(?:^|\s)#.*", re.DOTALL)
_QUOTED = re.compile(r'"([^"]*)"\s*(?:#.*)?', re.DOTALL)
_COLUMN = re.compile(r'"([^"]*)"|(\S+)')


@dataclass(slots=True)
class Block:
    """What becomes a page. `line`: where it begins, from 1."""

    name: str
    line: int
    words: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Trouble:
    """A line (from 1) that was not used, and why."""

    line: int
    problem: str
    text: str


class _Reader:
    """The blocks so far, and the one that is open."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.troubles: list[Trouble] = []
        self._open: Block | None = None
        self._skipped = 0
        """how many blocks inside the open one are not closed yet: their lines are not used"""

    def take(self, number: int, text: str) -> None:
        line = text.strip()
        if not line or line[0] == "#":
            return
        # at most three parts: what is behind the type is the value, blanks and all
        word, kind, value = (*line.split(None, 2), "", "")[:3]
        if word.upper() == "END" and not _value(kind):
            self._end(number, line)
        elif kind.upper() == "METADATA" and not _value(value):
            self._begin(number, word, line)
        elif kind.upper() == "MULTI" and not _value(value):
            return
        elif self._skipped:
            self._trouble(number, "inside a block within a block, not used", line)
        elif self._open is None:
            self._trouble(number, "outside of any METADATA block, not used", line)
        elif not _value(kind):
            self._trouble(number, "not WORD TYPE VALUE, not used", line)
        else:
            if word in self._open.words:
                self._trouble(number, f"{word} comes again in this block, the later value is used", line)
            self._open.words[word] = _value(value)

    def finish(self) -> None:
        if self._open is not None:
            self._trouble(self._open.line, "no page made: the block has no END", self._open.name)

    def _begin(self, number: int, name: str, line: str) -> None:
        if self._open is None:
            self._open = Block(name, number)
        else:
            self._skipped += 1
            self._trouble(number, "a block within a block, not used", line)

    def _end(self, number: int, line: str) -> None:
        if self._skipped:
            self._skipped -= 1
        elif self._open is None:
            self._trouble(number, "END without a block", line)
        else:
            self.blocks.append(self._open)
            self._open = None

    def _trouble(self, number: int, problem: str, line: str) -> None:
        self.troubles.append(Trouble(number, problem, line))


def page_blocks(lines: Iterable[str]) -> tuple[list[Block], list[Trouble]]:
    """The complete blocks, in order, and what could not be used. A block without `END` (cut off) is not complete."""
    reader = _Reader()
    for number, line in enumerate(lines, 1):
        reader.take(number, line)
    reader.finish()
    return reader.blocks, reader.troubles


def raw_blocks(lines: Iterable[str]) -> tuple[list[Block], list[Trouble]]:
    """The first line names the columns (a `#` before them is no name), each further line is a block. Empty lines and
    comments are skipped; text in double quotes is one column. A line with another number of columns is not used."""
    names: list[str] | None = None
    blocks: list[Block] = []
    troubles: list[Trouble] = []
    for number, text in enumerate(lines, 1):
        line = text.strip()
        if names is None and line.strip("#"):
            names = line.lstrip("#").split()
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                troubles.append(
                    Trouble(number, f"column {' '.join(twice)} comes more than once, the last is used", line)
                )
        elif names is not None and line and line[0] != "#":
            values = [quoted or plain for quoted, plain in _COLUMN.findall(line)]
            if len(values) == len(names):
                blocks.append(Block(values[0], number, dict(zip(names, values, strict=True))))
            else:
                problem = f"{len(values)} columns instead of {len(names)}, not used"
                troubles.append(Trouble(number, problem, line))
    return blocks, troubles


def _value(text: str) -> str:
    """A value without its quotes, or without the comment behind it. A quote that is not closed is ordinary text."""
    quoted = _QUOTED.fullmatch(text)
    return quoted[1] if quoted else _COMMENT.sub("", text).strip()
