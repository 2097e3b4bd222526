"""The text of an expression, read into a program for a stack; and running it.

Reading never recurses (a shunting yard with its own stack), so no text, however deep, can exhaust Python's. It stops
at the first thing that cannot be mathematics, which for the words of a command line comes soon. Called by
`mathematics.py`; `expression_code.py` turns a program into Python. What operators do is in `arithmetic.py`.

From loose to tight: `a ? b : c`; `||`; `&&`; `< > == != <= >=` and `<<` minimum, `>>` maximum; `& | <~ ~>`; `+ -`; `*
/ % @`; `^`, from right to left; unary `-`; functions and parentheses. All others go from left to right.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Final

from shell.language import arithmetic
from shell.language.arithmetic import DRAWN, OF_TEXT, PAIRED, UNARY, MathsError, Operand, Text, number, settle

EXPRESSION_MAX = 65_536
"""The longest text, in characters, that is tried as mathematics; a longer one is none."""
SLOT: Final = "\0"
"""Stands for a value in the text of a template."""

PRECEDENCES: dict[str, int] = {
    operator: precedence
    for precedence, operators in enumerate(
        (
            ("||",),
            ("&&",),
            ("<", ">", "==", "!=", "<=", ">=", "<<", ">>"),
            ("&", "|", "<~", "~>"),
            ("+", "-"),
            ("*", "/", "%", "@"),
            ("^",),
        ),
        start=1,
    )
    for operator in operators
}
_NEGATIVE = max(PRECEDENCES.values()) + 1
_FUNCTIONS = frozenset({*UNARY, *DRAWN, *PAIRED, *OF_TEXT})

_WORD = r"[^\s\"()+\-*/%@^&|<>=!?~"
_NUMBER = r"(?:0[xX][0-9a-fA-F]++|(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][+-]?[0-9]++)?|inf|nan)"


def _tokens(word: str) -> re.Pattern[str]:
    return re.compile(
        rf"\s*+(?:(?P<number>{_NUMBER})(?!{word})|(?P<quoted>\"[^\"]*+\")|(?P<word>{word}++)"
        r"|(?P<operator>\|\||&&|==|!=|<=|>=|<<|>>|<~|~>|[-+*/%@^&|<>?(),])|(?P<end>\Z))"
    )


_TOKEN = _tokens(_WORD + "]")
_TOKEN_IN_CALL = _tokens(_WORD + ",]")
_OPENING = re.compile(r"\s*+\(")
_SIGNED = re.compile(rf"[+-]?{_NUMBER}")
_PLAIN_WORD = re.compile(_WORD + r",$\\{}]++")
_HALF_NUMBER = re.compile(r"[0-9.]+[eE]")
_BLANK_COLON = ":"


# single operands


def _read_number(text: str) -> int | float | None:
    if not _SIGNED.fullmatch(text):
        return None
    digits = text.lstrip("+-")
    if digits[:2] in {"0x", "0X"}:
        return settle(int(text, 16))
    if not digits.isdigit() or len(digits) > 16:
        return float(text)
    try:
        return settle(int(text, 8 if digits[0] == "0" else 10))
    except ValueError:  # 08: not octal, so C reads on as a floating number
        return float(text)


_remembered_number = lru_cache(maxsize=4096)(_read_number)


def number_of(text: str) -> int | float | None:
    """The number that a text is, whole (decimal, `0x1f`, octal `017`) or floating, with or without a sign; None: it
    is not one."""
    return _remembered_number(text) if len(text) <= 64 else _read_number(text)


@lru_cache(maxsize=4096)
def _plain(text: str) -> Operand | None:
    value = number_of(text)
    if value is not None:
        return value
    word = _PLAIN_WORD.fullmatch(text) and text != _BLANK_COLON and not _HALF_NUMBER.fullmatch(text)
    return Text(text) if word else None


def plain(text: str) -> Operand | None:
    """The operand that a text is wherever it is put unquoted: a number or a word; None: it may be something else
    there."""
    return _plain(text) if len(text) <= 64 else None


_UNQUOTABLE = re.compile(r'["$\\{}]')


def quotable(text: str) -> bool:
    """Whether a text may be put between quotes without being more than text there."""
    return _UNQUOTABLE.search(text) is None


# programs


@dataclass(frozen=True, slots=True)
class Constant:
    """`text`: as written."""

    value: Operand
    text: str


@dataclass(frozen=True, slots=True)
class SlotOperand:
    """The value with this number, as a whole operand."""

    index: int


@dataclass(frozen=True, slots=True)
class QuotedOperand:
    """A quoted text with values in it; `pieces` with the quotes: texts and the numbers of values."""

    pieces: tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Apply:
    """Take the last operands off the stack and put the result. `name`: an operator, a function, `negative` or `? :`."""

    name: str
    operands: int


@dataclass(frozen=True, slots=True)
class ApplyToText:
    """A function of an operand and how it is written, when that operand stands alone between its parentheses."""

    name: str
    operand: Constant | SlotOperand | QuotedOperand


Step = Constant | SlotOperand | QuotedOperand | Apply | ApplyToText
Program = tuple[Step, ...]


@dataclass(slots=True)
class _Open:
    """What waits on the yard's stack: an operator, `?`, `:`, `(` or a function's parenthesis."""

    name: str
    precedence: int = 0
    arguments: int = 0
    start: int = 0
    """of a call: the length of the program at its parenthesis"""


class _Yard:
    """Reads one text. `slots`: the numbers of the values that its SLOT characters stand for, in order."""

    def __init__(self, text: str, slots: Sequence[int]) -> None:
        self.text = text
        self.slots = list(reversed(slots))
        self.steps: list[Step] = []
        self.stack: list[_Open] = []
        self.place = 0
        self.calls: list[bool] = []
        """for each open parenthesis, whether it is a function's, where a comma separates"""

    def read(self) -> Program:
        """The whole text; MathsError where it is not mathematics."""
        wanted = True
        while True:
            pattern = _TOKEN_IN_CALL if self.calls and self.calls[-1] else _TOKEN
            token = pattern.match(self.text, self.place)
            if token is None:
                raise self._refusal("does not belong here")
            kind, start = token.lastgroup, self.place
            self.place = token.end()
            if kind == "end":
                if wanted:
                    raise MathsError(
                        "something is missing at the end" if self.steps else "there is nothing to work out"
                    )
                break
            word = token[str(kind)]
            take = self._operand if wanted else self._operator
            wanted = take(str(kind), word, start)
        self._unwind_to(None)
        return tuple(self.steps)

    def _refusal(self, why: str, at: int | None = None) -> MathsError:
        rest = self.text[self.place if at is None else at :].strip().replace(SLOT, "$...")
        return MathsError(f"'{rest[:20]}{'...' if len(rest) > 20 else ''}' {why}")

    def _operand(self, kind: str, word: str, start: int) -> bool:
        """Take a token where an operand must begin; whether one is still wanted."""
        if kind == "operator":
            return self._prefix(word, start)
        if kind == "word" and word in _FUNCTIONS and (opening := _OPENING.match(self.text, self.place)):
            self.place = opening.end()
            self.calls.append(True)
            self.stack.append(_Open(word, arguments=1, start=len(self.steps) + 1))
            return True
        self.steps.append(self._single(kind, word, start))
        return False

    def _prefix(self, word: str, start: int) -> bool:
        signed = _SIGNED.match(self.text, self.place) if word == "+" else None
        if signed is not None:  # C reads a sign with its number
            return True
        if word == "-":
            self.stack.append(_Open("negative", _NEGATIVE))
        elif word == "(":
            self.calls.append(False)
            self.stack.append(_Open("(", start=len(self.steps) + 1))
        else:
            raise self._refusal("stands where a value is wanted", start)
        return True

    def _single(self, kind: str, word: str, start: int) -> Step:
        if kind == "number":
            value = number_of(word)
            assert value is not None, "the pattern of a token is the pattern of a number"
            return Constant(value, word)
        if SLOT not in word:
            if word == _BLANK_COLON:
                raise self._refusal("stands where a value is wanted", start)
            return Constant(Text(word), word)
        if word == SLOT:
            return SlotOperand(self.slots.pop())
        if kind == "quoted":
            return QuotedOperand(
                tuple(piece if piece != SLOT else self.slots.pop() for piece in re.split(f"({SLOT})", word) if piece)
            )
        raise self._refusal("joins a value to a word", start)

    def _operator(self, kind: str, word: str, start: int) -> bool:
        """Take a token behind an operand; whether an operand is wanted next."""
        if word == ")":
            self._close(start)
            return False
        if word == "," and kind == "operator":
            call = self._unwind_to("(", start)
            if call.name == "(":
                raise self._refusal("stands outside a function's parentheses", start)
            call.arguments += 1
        elif word == "?":
            while self.stack and self.stack[-1].precedence:
                self._apply(self.stack.pop())
            self.stack.append(_Open("?"))
        elif word == _BLANK_COLON and kind == "word":
            self._unwind_to("?", start).name = ":"
        elif kind == "operator" and word in PRECEDENCES:
            precedence = PRECEDENCES[word]
            while self.stack and self.stack[-1].precedence >= precedence + (word == "^"):
                self._apply(self.stack.pop())
            self.stack.append(_Open(word, precedence))
        else:
            raise self._refusal("stands where an operator is wanted", start)
        return True

    def _apply(self, done: _Open) -> None:
        operands = 1 if done.name == "negative" else 3 if done.name == ":" else 2
        self.steps.append(Apply("? :" if done.name == ":" else done.name, operands))

    def _unwind_to(self, what: str | None, at: int = 0) -> _Open:
        """Apply what waits down to a parenthesis (`(`, also a call's), an open `?`, or the beginning (None)."""
        while self.stack:
            top = self.stack[-1]
            if top.start and what == "(":
                return top
            if top.name == "?":
                if what == "?":
                    return top
                raise MathsError("a ' : ' is missing behind a '?'", "a ? b : c needs blanks round its ':'")
            if top.start:
                break
            self._apply(self.stack.pop())
        if what is None and not self.stack:
            return _Open("")
        if what is None:
            raise MathsError("a ')' is missing")
        raise self._refusal("stands alone", at)

    def _close(self, start: int) -> None:
        call = self._unwind_to("(", start)
        self.stack.pop()
        self.calls.pop()
        if call.name == "(":
            return
        name, count = call.name, 2 if call.name in PAIRED else 1
        if call.arguments != count:
            raise MathsError(f"{name}() takes {count} value{'s' if count > 1 else ''}, not {call.arguments}")
        last = self.steps[-1]
        if (
            name in OF_TEXT
            and len(self.steps) == call.start
            and isinstance(last, Constant | SlotOperand | QuotedOperand)
        ):
            self.steps[-1] = ApplyToText(name, last)
        else:
            self.steps.append(Apply(name, count))


def read(text: str, slots: Sequence[int] = ()) -> Program:
    """The program of a text, in which each SLOT character stands for the value with the number in `slots`.

    Raises MathsError if it is not mathematics.
    """
    if len(text) > EXPRESSION_MAX:
        raise MathsError(f"mathematics has at most {EXPRESSION_MAX} characters, this has {len(text)}")
    if text.count(SLOT) != len(slots):
        raise MathsError("a NUL character is no part of mathematics")
    return _Yard(text, slots).read()


def run(program: Program, operands: Sequence[Operand], texts: Sequence[str], random: Random) -> Operand:
    """The result of a program. `operands` and `texts` are the values of its slots: as operands, and as they are
    written.

    Raises MathsError for an operation that is not defined.
    """
    stack: list[Operand] = []
    for step in program:
        if isinstance(step, Apply):
            arguments = stack[-step.operands :]
            del stack[-step.operands :]
            stack.append(_applied(step.name, arguments, random))
        elif isinstance(step, ApplyToText):
            stack.append(OF_TEXT[step.name](*_written(step.operand, operands, texts)))
        else:
            stack.append(_written(step, operands, texts)[0])
    (result,) = stack
    return result


def _written(
    step: Constant | SlotOperand | QuotedOperand, operands: Sequence[Operand], texts: Sequence[str]
) -> tuple[Operand, str]:
    if isinstance(step, Constant):
        return step.value, step.text
    if isinstance(step, SlotOperand):
        return operands[step.index], texts[step.index]
    text = "".join(piece if isinstance(piece, str) else texts[piece] for piece in step.pieces)
    return Text(text), text


def _applied(name: str, arguments: list[Operand], random: Random) -> Operand:
    if name == "negative":
        return arithmetic.negative(arguments[0])
    if name == "? :":
        condition, first, second = (number(argument, name) for argument in arguments)
        return first if condition else second
    if name in PRECEDENCES:
        return arithmetic.binary(name, arguments[0], arguments[1])
    if name in OF_TEXT:
        return OF_TEXT[name](arguments[0], written(arguments[0]))
    numbers = [number(argument, f"{name}()") for argument in arguments]
    if name in DRAWN:
        return DRAWN[name](random)
    return UNARY[name](numbers[0]) if name in UNARY else PAIRED[name](numbers[0], numbers[1])


def written(operand: Operand) -> str:
    """An operand as text: whole numbers in full, floating ones as C's `%.12g`, texts as they are."""
    if isinstance(operand, Text):
        return operand.text
    return str(operand) if isinstance(operand, int) else f"{operand:.12g}"
