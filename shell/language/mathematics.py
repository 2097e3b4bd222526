"""Mathematics of the language: what an assignment, `{…}` or a condition is worth.

Called by the interpreter and by commands that take an expression. Two ways to one result: `evaluate` takes the whole
text, in which every variable has been replaced; `compile_template` reads a text once in which variables stand as
operands, and is then given their values. The second is a shortcut for the first and refuses (None, or NotPlainError
for given values) whatever it could read differently. What is an expression is written in `expressions.py`, what
operators do, also where mathematics has no result, in `arithmetic.py`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from random import Random

from shell.language.arithmetic import MathsError, Operand, Text
from shell.language.calls import Data
from shell.language.expression_code import STEPS_MAX, Function, NotPlainError, Value, operand_of, quoted, text_of, write
from shell.language.expressions import (
    SLOT,
    Apply,
    ApplyToText,
    Constant,
    Program,
    QuotedOperand,
    SlotOperand,
    number_of,
    plain,
    read,
    run,
    written,
)

__all__ = [
    "CompiledExpression",
    "MathsError",
    "NotPlainError",
    "Slot",
    "Value",
    "compile_template",
    "evaluate",
    "evaluate_text",
    "format_number",
    "is_plain",
    "number_of",
    "truth",
]

_HALF_EXPONENT = re.compile(r"[0-9.][eE][+-]\Z")
"""A number that the value behind it would end: `2e-$x`"""
_REMEMBERED_CHARACTERS = 256
"""Longer texts are read anew each time."""
_RUNS_BEFORE_CODE = 3
"""So often a template runs before Python code is made of it (about 0.2 ms)."""


def evaluate(text: str, random: Random) -> Value:
    """What an expression is worth: a whole number, a floating one, or, when it is a single text, that text, quotes
    included.

    Raises MathsError if the text is not mathematics or an operation is not defined.
    """
    result = run(_program(text), (), (), random)
    return result.text if isinstance(result, Text) else result


def evaluate_text(text: str, random: Random) -> str | int:
    """What an assignment stores: a single number or text as it was typed, else whole numbers as they are and floating
    ones as text.

    Raises MathsError as `evaluate` does; the assignment then stores the text itself.
    """
    text = text.strip()
    if number_of(text) is not None:
        return text
    return _stored(run(_program(text), (), (), random))


def _stored(result: Operand) -> str | int:
    return result if isinstance(result, int) else written(result)


def truth(value: Value) -> bool:
    """Whether a condition holds: a number that is not zero. Raises MathsError for a text."""
    if isinstance(value, str):
        shown = value if len(value) <= 40 else value[:37] + "..."
        raise MathsError(f"{shown} is no condition", "a condition is a number or a comparison")
    return value != 0


def format_number(value: float) -> str:
    """A number as the language prints it: whole numbers in full, floating ones as C's `%.12g` (3.0 is `3`)."""
    return written(value)


def is_plain(value: Value) -> bool:
    """Whether a value is one operand wherever a variable stands outside quotes: a number, a single word, or job
    output."""
    return not isinstance(value, str) or isinstance(value, Data) or plain(value) is not None


def _program(text: str) -> Program:
    program = _remembered(text) if len(text) <= _REMEMBERED_CHARACTERS else _read(text)
    if isinstance(program, MathsError):
        raise MathsError(str(program), program.hint)
    return program


def _read(text: str) -> Program | MathsError:
    try:
        return read(text)
    except MathsError as error:  # handed on as a value: refusals are remembered, too
        return error.with_traceback(None)


_remembered = lru_cache(maxsize=4096)(_read)


# templates


@dataclass(frozen=True, slots=True)
class Slot:
    """Where the value with this number stands in a template."""

    index: int


class CompiledExpression:
    """A template, read. The three questions are those of `evaluate`, `evaluate_text` and `truth(evaluate())`, of the
    text in which each slot is replaced by its value.

    They raise NotPlainError when a value cannot stand as it is in its place (blanks or operators outside quotes; a
    quote, `$`, `\\`, `{` or `}` inside): the caller makes the text and asks `evaluate`. They raise MathsError as
    `evaluate` does. Values may be ints, floats, text, `Data`.
    """

    __slots__ = ("_condition", "_function", "_program", "_runs", "_single")

    def __init__(self, program: Program) -> None:
        self._program = program
        self._function: Function | None = None
        self._condition: Function | None = None
        self._runs = 0
        self._single: int | str | None = None
        if len(program) == 1 and isinstance(program[0], SlotOperand):
            self._single = program[0].index
        elif len(program) == 1 and isinstance(program[0], Constant):
            self._single = program[0].text

    def __getstate__(self) -> tuple[Program, int, int | str | None]:
        """For a checkpoint: without the code, which is made again after the next run."""
        return self._program, min(self._runs, _RUNS_BEFORE_CODE - 1), self._single

    def __setstate__(self, state: tuple[Program, int, int | str | None]) -> None:
        self._program, self._runs, self._single = state
        self._function = self._condition = None

    def evaluate(self, values: Sequence[Value], random: Random) -> Value:
        """What the expression is worth with these values."""
        function = self._function
        if function is not None:
            try:
                result: Value = function(values, random)
            except TypeError:
                pass  # an operation on a text: said below
            else:
                return result
        worked_out = self._work_out(values, random)
        return worked_out.text if isinstance(worked_out, Text) else worked_out

    def evaluate_text(self, values: Sequence[Value], random: Random) -> str | int:
        """What an assignment stores."""
        single = self._single
        if single is None:
            result = self.evaluate(values, random)
            return f"{result:.12g}" if isinstance(result, float) else result
        if isinstance(single, str):
            return single
        value = values[single]
        return value if isinstance(value, int) else text_of(value)

    def test(self, values: Sequence[Value], random: Random) -> bool:
        """Whether it holds, as a condition."""
        function = self._condition
        if function is not None:
            try:
                holds: bool = function(values, random)
            except TypeError:
                pass
            else:
                return holds
        worked_out = self._work_out(values, random)
        return truth(worked_out.text if isinstance(worked_out, Text) else worked_out)

    def _work_out(self, values: Sequence[Value], random: Random) -> Operand:
        """By the program itself; makes code of it when it has run often enough."""
        self._runs += 1
        if self._runs == _RUNS_BEFORE_CODE and len(self._program) <= STEPS_MAX:
            self._function = write(self._program, condition=False)
            self._condition = write(self._program, condition=True)
        operands: list[Operand] = [0] * len(values)
        texts = [""] * len(values)
        for step in self._program:
            operand = step.operand if isinstance(step, ApplyToText) else step
            if isinstance(operand, SlotOperand):
                index = operand.index
                operands[index], texts[index] = operand_of(values[index]), text_of(values[index])
            elif isinstance(operand, QuotedOperand):
                for piece in operand.pieces:
                    if isinstance(piece, int):
                        texts[piece] = quoted(values[piece])
        return run(self._program, operands, texts, random)


def compile_template(parts: Sequence[str | Slot]) -> CompiledExpression | None:
    """Read a text with slots. None: it is not mathematics, or some slot is not a whole operand nor inside a quoted
    text."""
    text = "".join(part if isinstance(part, str) else SLOT for part in parts)
    slots = [part.index for part in parts if isinstance(part, Slot)]
    for before, part in pairwise(parts):
        if isinstance(part, Slot) and isinstance(before, str) and _HALF_EXPONENT.search(before):
            return None
    if not slots and number_of(text.strip()) is not None:
        return CompiledExpression((Constant(operand_of(text.strip()), text.strip()),))
    try:
        program = read(text, slots)
    except MathsError:
        return None
    if slots and len(program) == 2 and program[-1] == Apply("negative", 1):
        return None  # with its value it may be a number as typed: -007
    return CompiledExpression(program)
