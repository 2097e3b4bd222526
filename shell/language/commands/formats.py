"""C's printf conversions for `sprintf` and `fprintf`: a format and words in, text out.

A pure leaf, called by `text.py` and `output.py`. Flags `- + blank # 0`, width, precision and length letters (ignored)
as in C11 7.21.6.1; conversions `d i u o x X e E f F g G c s %`. Left out on purpose: `*` (a width from the values),
`%n`, `%p`, `%a`.
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple

from shell.language.calls import Data, Failure, Mixed

TEXT_MAX = 16 << 20
"""Characters of a text that a command makes."""
WIDTH_MAX = 1_000_000
"""Largest width and precision of a conversion."""

_CONVERSION = re.compile(r"%([-+ #0]*)([0-9]*)(?:\.([0-9]*))?(?:hh|h|ll|l|L|q|j|z|t)?(.?)", re.DOTALL)
_SIGNED = frozenset("di")
_UNSIGNED = frozenset("uoxX")
_FLOATING = frozenset("eEfFgG")
_ORDINARY_WORD = re.compile(r"[\w.:/+,=@%^-]*")


class _Conversion(NamedTuple):
    """`width` and `precision`: None where not given."""

    flags: str
    width: int | None
    precision: int | None
    letter: str

    def written(self, letter: str, *, flags: str | None = None, precision: bool = True) -> str:
        """The conversion as Python's `%` operator reads it."""
        width = "" if self.width is None else str(self.width)
        dot = f".{self.precision}" if precision and self.precision is not None else ""
        return f"%{self.flags if flags is None else flags}{width}{dot}{letter}"


def fill(command: str, form: str, values: list[str]) -> str:
    """`form` with its conversions filled by `values`, one each. Failure (in the name of `command`) when the numbers of
    both differ, for an unknown conversion, a value that is no number where one is wanted, or a text above `TEXT_MAX`.
    """
    pieces = _cut(command, form)
    conversions = [piece for piece in pieces if not isinstance(piece, str)]
    wanted = len(conversions)
    if wanted != len(values):
        raise Failure(
            f"{command}: the format wants {wanted} values, there are {len(values)}",
            hint="an empty value vanishes from the line" if wanted > len(values) else "quote a value that holds blanks",
        )
    # asked before anything is made: a short line could ask for gigabytes of blanks
    if sum((piece.width or 0) + (piece.precision or 0) for piece in conversions) > TEXT_MAX:
        raise Failure(f"{command}: the text would be longer than {TEXT_MAX} characters")
    rest = iter(values)
    text = "".join(piece if isinstance(piece, str) else _one(command, piece, next(rest)) for piece in pieces)
    if len(text) > TEXT_MAX:
        raise Failure(f"{command}: the text is longer than {TEXT_MAX} characters")
    return derived(text, form, *values)


def derived(text: str, *sources: str) -> str:
    """`text`, which a command made from `sources`. What comes from a job's output stays `Data`, unless it is one
    ordinary word (a number, a name, a path): nothing could be parsed into that, and it can be calculated with."""
    if any(isinstance(source, Data | Mixed) for source in sources) and _ORDINARY_WORD.fullmatch(text) is None:
        return Data(text)
    return str(text)


def _cut(command: str, form: str) -> list[str | _Conversion]:
    pieces: list[str | _Conversion] = []
    done = 0
    for found in _CONVERSION.finditer(form):
        pieces.append(form[done : found.start()])
        done = found.end()
        flags, width, precision, letter = found.groups()
        if found.group() == "%%":
            pieces.append("%")
            continue
        if letter not in _SIGNED | _UNSIGNED | _FLOATING | {"s", "c"} or not letter:
            raise Failure(f"{command}: unknown conversion {found.group()}", hint="a percent sign is written %%")
        # an empty precision (`%.f`) is 0, as in C
        conversion = _Conversion(
            flags,
            _size(command, width) if width else None,
            _size(command, precision or "0") if precision is not None else None,
            letter,
        )
        pieces.append(conversion)
    pieces.append(form[done:])
    return pieces


def _size(command: str, digits: str) -> int:
    # compared by length first: Python refuses to read thousands of digits
    if len(digits) > 9 or int(digits) > WIDTH_MAX:
        raise Failure(f"{command}: a width or precision above {WIDTH_MAX}")
    return int(digits)


def _one(command: str, conversion: _Conversion, word: str) -> str:
    letter = conversion.letter
    if letter == "s":
        return conversion.written("s") % str(word)
    if letter == "c":
        return conversion.written("s", precision=False) % _character(word)
    if letter in _FLOATING:
        return conversion.written(letter) % _number(command, word, letter)
    value = _integer(command, word, letter)
    flags = conversion.flags
    if conversion.precision is not None:
        flags = flags.replace("0", "")  # C: a precision says how many digits, so no other zeros
    if letter in _SIGNED:
        return conversion.written("d", flags=flags) % value
    return _unsigned(conversion, flags, value)


def _unsigned(conversion: _Conversion, flags: str, value: int) -> str:
    letter = conversion.letter
    if value < 0:  # as C shows the bits of an int, or of a long long where it needs one
        value += 1 << 32 if value >= -(1 << 31) else 1 << max(64, value.bit_length() + 1)
    flags = flags.replace("+", "").replace(" ", "")
    if letter == "o" and "#" in flags:  # C's octal mark is one more zero, Python's is `0o`
        digits = f"{value:o}"
        least = len(digits) + (value != 0)
        conversion = conversion._replace(precision=max(least, conversion.precision or 0))
        return conversion.written("o", flags=flags.replace("#", "").replace("0", "")) % value
    if value == 0 or letter == "u":
        flags = flags.replace("#", "")
    return conversion.written("d" if letter == "u" else letter, flags=flags) % value


def _character(word: str) -> str:
    """A number from 32 on is a character's code, everything else gives its first character."""
    if word.isdecimal() and word.isascii() and len(word) <= 7 and 32 <= int(word) <= 0x10FFFF:
        return chr(int(word))
    return word[:1]


def _integer(command: str, word: str, letter: str) -> int:
    """Decimal or `0x…`; a fraction is cut off."""
    text = word.strip()
    if re.fullmatch(r"[-+]?[0-9]{1,4000}", text):
        return int(text)
    if re.fullmatch(r"[-+]?0[xX][0-9a-fA-F]+", text):
        return int(text, 16)
    number = _number(command, word, letter)
    if not math.isfinite(number):
        raise Failure(f"{command}: %{letter} cannot show {word}")
    return int(number)


def _number(command: str, word: str, letter: str) -> float:
    text = word.strip()
    try:
        if re.fullmatch(r"[-+]?0[xX][0-9a-fA-F]+", text):
            return float(int(text, 16))
        if "_" not in text:  # Python would read `1_0` as ten
            return float(text)
    except (ValueError, OverflowError):
        pass  # the sentence below says what is wrong
    shown = word if len(word) <= 40 else word[:40] + "..."
    raise Failure(f"{command}: %{letter} wants a number, not {shown}")
