"""What the operators and functions of the language do to values: whole numbers, floating numbers and texts.

The rule of every one of them is here, once, as a function of its values; `expressions.py` decides which one is meant,
and `expression_code.py` writes the commonest of them as Python, to the same result. Not here: reading text.

Numbers. `+ - * %`, comparisons and logic of whole numbers give whole numbers; `/` and `^` always give floating ones.
A whole number outside -2^31 .. 2^31-1 goes on as a floating one. Where mathematics has no result we give what the C
library gives, and nothing ever stops: `1/0` is `inf`, `0/0`, `5 % 0`, `sqrt(-1)` and `asin(2)` are `nan`, `ln(0)` is
`-inf`, what is too large is `inf`.

Texts. Only `==` and `!=` take them, and a text never equals a number.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random

from model.errors import LaulimaError

WHOLE_MAX = 2**31 - 1
"""The largest whole number; larger ones are floating numbers."""
WHOLE_MIN = -(2**31)


class MathsError(LaulimaError):
    """The text is not mathematics, or an operation is not defined for its values."""


class Text:
    """A text as an operand, quotes included. It compares with its like and has no arithmetic: Python itself refuses
    the rest."""

    __slots__ = ("text",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, text: str) -> None:
        self.text = text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Text) and self.text == other.text

    def __bool__(self) -> bool:
        raise TypeError("a text is neither true nor false")


Number = int | float
Operand = int | float | Text


def settle(number: Number) -> Number:
    """A result as the language holds it: whole numbers out of range become floating ones."""
    if isinstance(number, float) or WHOLE_MIN <= number <= WHOLE_MAX:
        return number
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def whole(number: Number) -> Number:
    """A floating number without a fraction, as a whole one where it fits; `inf` and `nan` stay."""
    return settle(int(number)) if math.isfinite(number) else number


# two numbers


def divide(left: Number, right: Number) -> float:
    """`left / right`, never an error: a zero divisor gives `inf`, `-inf` or `nan`."""
    if right:
        try:
            return left / right
        except OverflowError:
            return float(settle(left)) / float(settle(right))
    if not left or left != left:  # noqa: PLR0124 - nan
        return math.nan
    return math.copysign(math.inf, left) * math.copysign(1.0, right)


def remainder(left: Number, right: Number) -> Number:
    """What C's `%` and `fmod` leave, with the sign of `left`; `nan` for a zero divisor."""
    if not right or not math.isfinite(left):
        return math.nan
    if isinstance(left, int) and isinstance(right, int):
        rest = abs(left) % abs(right)
        return -rest if left < 0 else rest
    return math.fmod(left, right)


def power(base: Number, exponent: Number) -> float:
    """C's `pow`."""
    base, exponent = float(base), float(exponent)
    odd = exponent % 2 == 1
    try:
        return math.pow(base, exponent)
    except OverflowError:
        return -math.inf if base < 0 and odd else math.inf
    except ValueError:
        if base:
            return math.nan
        return math.copysign(math.inf, base) if odd else math.inf


def _bits(number: Number, name: str) -> int:
    if not math.isfinite(number):
        raise MathsError(f"operator {name} is not defined for {number}", "bit operations take whole numbers")
    return int(number)


def _and(left: Number, right: Number) -> Number:
    return settle(_bits(left, "&") & _bits(right, "&"))


def _or(left: Number, right: Number) -> Number:
    return settle(_bits(left, "|") | _bits(right, "|"))


def _count(number: Number, name: str) -> int:
    count = _bits(number, name)
    if count < 0:
        raise MathsError(f"operator {name} cannot shift by {count} bits", "the number of bits is 0 or more")
    return min(count, 2000)


def shift_left(left: Number, right: Number) -> Number:
    """`left <~ right`; a floating number when it is too large for a whole one."""
    return settle(_bits(left, "<~") << _count(right, "<~"))


def shift_right(left: Number, right: Number) -> Number:
    """`left ~> right`, the sign kept."""
    return settle(_bits(left, "~>") >> _count(right, "~>"))


def _angle(left: Number, right: Number) -> float:
    return math.degrees(math.atan2(left, right))


BINARY: dict[str, Callable[[Number, Number], Number]] = {
    "||": lambda left, right: int(bool(left) or bool(right)),
    "&&": lambda left, right: int(bool(left) and bool(right)),
    "<": lambda left, right: int(left < right),
    ">": lambda left, right: int(left > right),
    "<=": lambda left, right: int(left <= right),
    ">=": lambda left, right: int(left >= right),
    "==": lambda left, right: int(left == right),
    "!=": lambda left, right: int(left != right),
    "<<": lambda left, right: settle(min(left, right)),
    ">>": lambda left, right: settle(max(left, right)),
    "&": _and,
    "|": _or,
    "<~": shift_left,
    "~>": shift_right,
    "+": lambda left, right: settle(left + right),
    "-": lambda left, right: settle(left - right),
    "*": lambda left, right: settle(left * right),
    "/": divide,
    "%": remainder,
    "@": _angle,
    "^": power,
}
"""Operators by their names, on two numbers."""


# functions


def _undefined_is_nan(function: Callable[[float], float]) -> Callable[[Number], Number]:
    """A function of `math` that never raises: `nan` outside its domain, `inf` where it is too large."""

    def total(number: Number) -> float:
        try:
            return function(float(number))
        except ValueError:
            return math.nan
        except OverflowError:
            return math.inf

    return total


def _of_degrees(function: Callable[[float], float]) -> Callable[[Number], Number]:
    return _undefined_is_nan(lambda degrees: function(math.radians(degrees)))


def _in_degrees(function: Callable[[float], float]) -> Callable[[Number], Number]:
    return _undefined_is_nan(lambda number: math.degrees(function(number)))


def _logarithm(function: Callable[[float], float]) -> Callable[[Number], Number]:
    total = _undefined_is_nan(function)
    return lambda number: total(number) if number else -math.inf


def _log_gamma(number: float) -> float:
    return math.inf if number <= 0 and number == math.floor(number) else math.lgamma(number)


def _sinh(number: float) -> float:
    try:
        return math.sinh(number)
    except OverflowError:
        return math.copysign(math.inf, number)


def _round(number: float) -> float:
    """Halves away from zero, as C's `round`."""
    nearer = math.trunc(number)
    return nearer + math.copysign(1, number) if abs(number - nearer) >= 0.5 else nearer


def _rounding(function: Callable[[float], float]) -> Callable[[Number], Number]:
    return lambda number: whole(function(number)) if isinstance(number, float) and math.isfinite(number) else number


UNARY: dict[str, Callable[[Number], Number]] = {
    "not": lambda number: int(not number),
    "abs": lambda number: settle(abs(number)),
    "int": whole,
    "floor": _rounding(math.floor),
    "ceil": _rounding(math.ceil),
    "round": _rounding(_round),
    "rint": _rounding(round),
    "exp": _undefined_is_nan(math.exp),
    "ten": lambda number: power(10, number),
    "log": _logarithm(math.log10),
    "ln": _logarithm(math.log),
    "sqrt": _undefined_is_nan(math.sqrt),
    "erf": _undefined_is_nan(math.erf),
    "sin": _undefined_is_nan(math.sin),
    "cos": _undefined_is_nan(math.cos),
    "tan": _undefined_is_nan(math.tan),
    "asin": _undefined_is_nan(math.asin),
    "acos": _undefined_is_nan(math.acos),
    "atan": _undefined_is_nan(math.atan),
    "dsin": _of_degrees(math.sin),
    "dcos": _of_degrees(math.cos),
    "dtan": _of_degrees(math.tan),
    "dasin": _in_degrees(math.asin),
    "dacos": _in_degrees(math.acos),
    "datan": _in_degrees(math.atan),
    "sinh": _undefined_is_nan(_sinh),
    "cosh": _undefined_is_nan(math.cosh),
    "asinh": _undefined_is_nan(math.asinh),
    "acosh": _undefined_is_nan(math.acosh),
    "lgamma": _undefined_is_nan(_log_gamma),
    "isinf": lambda number: int(math.isinf(number)),
    "isnan": lambda number: int(math.isnan(number)),
}
"""Functions of one number; those that say so take and give radians, the ones that begin with `d` degrees. `log` is to
base 10, `ten` its inverse. `round` and `rint` had names but no effect in the original; they round halves away from
zero and to even."""

DRAWN: dict[str, Callable[[Random], Number]] = {
    "rnd": lambda random: random.random(),
    "drnd": lambda random: random.random(),
    "lrnd": lambda random: random.getrandbits(31),
}
"""Functions that draw: evenly from 0 (included) to 1, or a whole number below 2^31. Their argument is worked out and
means nothing."""

PAIRED: dict[str, Callable[[Number, Number], Number]] = {
    "max": BINARY[">>"],
    "min": BINARY["<<"],
    "atan2": math.atan2,
    "datan2": _angle,
}
"""Functions of two numbers."""

OF_TEXT: dict[str, Callable[[Operand, str], int]] = {
    "isword": lambda operand, _text: int(isinstance(operand, Text)),
    "isnum": lambda operand, _text: int(not isinstance(operand, Text)),
    "isint": lambda operand, _text: int(isinstance(operand, int)),
    "isflt": lambda operand, _text: int(isinstance(operand, float)),
    "length": lambda _operand, text: len(text),
}
"""Functions of any operand: its value, and how it was written (quotes count)."""


def binary(name: str, left: Operand, right: Operand) -> Number:
    """An operator on any two operands; MathsError where it is not defined."""
    if isinstance(left, Text) or isinstance(right, Text):
        if name == "==":
            return int(left == right)
        if name == "!=":
            return int(left != right)
        raise MathsError(f"operator {name} is not defined for text", _which(left, right))
    return BINARY[name](left, right)


def negative(operand: Operand) -> Number:
    """`-operand`."""
    return settle(-number(operand, "-"))


def number(operand: Operand, name: str) -> Number:
    """The operand as a number; MathsError, in the name of an operator or function, if it is a text."""
    if isinstance(operand, Text):
        raise MathsError(f"{name} is not defined for text", _which(operand))
    return operand


def _which(*operands: Operand) -> str:
    texts = [operand.text for operand in operands if isinstance(operand, Text)]
    shown = ", ".join(text if len(text) <= 40 else text[:37] + "..." for text in texts)
    return f"{shown} is no number; texts can only be compared, by == and !="
