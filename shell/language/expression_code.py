"""A program of `expressions.py` as a Python function, for expressions that run often.

The source holds names made here, slot numbers and integers, nothing else of what a person wrote: floating numbers and
texts are handed over as objects. It does the commonest operations in place and calls `arithmetic.py` for the others,
so results are the same; where a value is a text that an operation does not take, Python's TypeError sends the caller
back to `expressions.run`, which has the sentence. Called by `mathematics.py` only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, NamedTuple

from shell.language.arithmetic import (
    BINARY,
    DRAWN,
    OF_TEXT,
    PAIRED,
    UNARY,
    WHOLE_MAX,
    WHOLE_MIN,
    Operand,
    Text,
    settle,
)
from shell.language.calls import Data
from shell.language.expressions import (
    PRECEDENCES,
    Apply,
    ApplyToText,
    Constant,
    Program,
    QuotedOperand,
    SlotOperand,
    plain,
    quotable,
    written,
)

Value = int | float | str
Function = Callable[[Sequence[Value], Random], Any]

STEPS_MAX = 200
"""Longer programs stay programs."""

_IN_PLACE = {"+", "-", "*"}
_COMPARISONS = {"<", ">", "<=", ">=", "==", "!="}


class NotPlainError(Exception):
    """A value is more than one operand where it is put; the expression must be read with the value in its text."""


def operand_of(value: Value) -> Operand:
    """A value as an unquoted operand. Raises NotPlainError. Job output is a text whatever it holds."""
    if isinstance(value, str):
        operand = Text(value) if isinstance(value, Data) else plain(value)
        if operand is None:
            raise NotPlainError
        return operand
    return settle(int(value)) if isinstance(value, int) else value


def text_of(value: Value) -> str:
    """A value as it is written, unquoted. Raises NotPlainError."""
    operand_of(value)
    return value if isinstance(value, str) else written(value)


def quoted(value: Value) -> str:
    """A value as part of a quoted text. Raises NotPlainError."""
    if not isinstance(value, str):
        return written(value)
    if not isinstance(value, Data) and not quotable(value):
        raise NotPlainError
    return value


def checked(operand: Operand) -> int | float:
    """The operand if it is a number, TypeError if it is a text."""
    if isinstance(operand, Text):
        raise TypeError("a text is no number")
    return operand


_NAMES = {
    "Text": Text,
    "checked": checked,
    "settle": settle,
    "operand_of": operand_of,
    "text_of": text_of,
    "quoted": quoted,
}
"""What the source may call besides what is handed over for it."""


class _Made(NamedTuple):
    """What a name of the source holds. `kind`: "number", "truth" (a bool), "text" (a str), or "any" (a number or a
    `Text`)."""

    name: str
    kind: str


class _Writer:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.names: dict[str, Any] = dict(_NAMES)
        self.stack: list[_Made] = []
        self.slots: dict[int, _Made] = {}

    def write(self, program: Program, *, condition: bool) -> Function:
        for step in program:
            if isinstance(step, Apply):
                arguments = self.stack[-step.operands :]
                del self.stack[-step.operands :]
                self.stack.append(self._apply(step.name, arguments))
            elif isinstance(step, ApplyToText):
                self.stack.append(self._apply_to_text(step))
            else:
                self.stack.append(self._operand(step))
        (result,) = self.stack
        self.lines.append(f"return {self._returned(result, condition)}")
        source = "def expression(values, random):\n" + "".join(f"    {line}\n" for line in self.lines)
        exec(compile(source, "<expression>", "exec"), self.names)  # noqa: S102 - see the head of the file
        function: Function = self.names["expression"]
        return function

    def _returned(self, result: _Made, condition: bool) -> str:
        if condition:
            return {"truth": result.name, "number": f"{result.name} != 0"}.get(
                result.kind, f"not not {self._any(result)}"
            )
        if result.kind == "any":
            return f"{result.name}.text if {result.name}.__class__ is Text else {result.name}"
        return result.name if result.kind == "text" else self._number(result)

    def _make(self, kind: str, source: str) -> _Made:
        name = f"t{len(self.lines)}"
        self.lines.append(f"{name} = {source}")
        return _Made(name, kind)

    def _given(self, value: Any) -> str:
        name = f"k{len(self.names)}"
        self.names[name] = value
        return name

    # operands

    def _operand(self, step: Constant | SlotOperand | QuotedOperand) -> _Made:
        if isinstance(step, Constant):
            if isinstance(step.value, Text):
                return _Made(self._given(step.text), "text")
            return _Made(f"({step.value})" if isinstance(step.value, int) else self._given(step.value), "number")
        if isinstance(step, SlotOperand):
            if step.index not in self.slots:
                made = self._make("any", f"values[{step.index}]")
                self.lines.append(f"if {made.name}.__class__ is not int: {made.name} = operand_of({made.name})")
                self.slots[step.index] = made
            return self.slots[step.index]
        return self._make("text", " + ".join(self._piece(piece) for piece in step.pieces))

    def _piece(self, piece: str | int) -> str:
        return self._given(piece) if isinstance(piece, str) else f"quoted(values[{piece}])"

    def _apply_to_text(self, step: ApplyToText) -> _Made:
        operand = self._any(self._operand(step.operand))
        match step.operand:
            case Constant(text=text):
                text = self._given(text)
            case SlotOperand(index=index):
                text = f"text_of(values[{index}])"
            case _:
                text = f"{operand}.text"
        return self._make("number", f"{self._given(OF_TEXT[step.name])}({operand}, {text})")

    def _number(self, made: _Made) -> str:
        """The source of something for an operation on numbers; a `Text` there makes Python raise TypeError."""
        return f"(1 if {made.name} else 0)" if made.kind == "truth" else self._any(made)

    def _any(self, made: _Made) -> str:
        if made.kind == "truth":
            return self._number(made)
        return f"Text({made.name})" if made.kind == "text" else made.name

    # operations

    def _apply(self, name: str, arguments: list[_Made]) -> _Made:
        if name in _IN_PLACE or name == "negative":
            terms = [self._number(argument) for argument in arguments]
            source = f"{terms[0]} {name} {terms[1]}" if name in _IN_PLACE else f"-{terms[0]}"
            result = self._make("number", source)
            self.lines.append(
                f"if not {WHOLE_MIN} <= {result.name} <= {WHOLE_MAX}: {result.name} = settle({result.name})"
            )
            return result
        if name in _COMPARISONS:
            return self._compare(name, *arguments)
        if name in {"&&", "||"}:
            left, right = (self._make("truth", self._truth(argument)) for argument in arguments)
            return self._make("truth", f"{left.name} {'and' if name == '&&' else 'or'} {right.name}")
        if name == "not":
            return self._make("truth", f"not {self._any(arguments[0])}")
        if name == "? :":
            condition, first, second = (self._make("number", self._checked(argument)).name for argument in arguments)
            return self._make("number", f"{first} if {condition} else {second}")
        return self._call(name, arguments)

    def _compare(self, name: str, left: _Made, right: _Made) -> _Made:
        if left.kind == right.kind == "text" and name in {"==", "!="}:
            return self._make("truth", f"{left.name} {name} {right.name}")
        return self._make("truth", f"{self._any(left)} {name} {self._any(right)}")

    def _truth(self, made: _Made) -> str:
        return made.name if made.kind == "truth" else f"not not {self._any(made)}"

    def _checked(self, made: _Made) -> str:
        return self._number(made) if made.kind in {"number", "truth"} else f"checked({self._any(made)})"

    def _call(self, name: str, arguments: list[_Made]) -> _Made:
        if name in OF_TEXT:
            operand = self._any(arguments[0])
            return self._make("number", f"{self._given(OF_TEXT[name])}({operand}, {self._given(written)}({operand}))")
        if name in DRAWN:
            self.lines.append(self._checked(arguments[0]))
            return self._make("number", f"{self._given(DRAWN[name])}(random)")
        table: dict[str, Callable[..., Any]] = BINARY if name in PRECEDENCES else UNARY if name in UNARY else PAIRED
        terms = ", ".join(self._checked(argument) for argument in arguments)
        return self._make("number", f"{self._given(table[name])}({terms})")


def write(program: Program, *, condition: bool) -> Function:
    """The function of a program: (values, random) -> number or text; with `condition`, -> bool.

    It raises NotPlainError for a value that cannot be an operand, TypeError or MathsError for an operation that is
    not defined.
    """
    return _Writer().write(program, condition=condition)
