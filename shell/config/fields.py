"""What the text of a scalar means, by the kind of its field: number, duration, word, name, choice, date, time of day.

Each class annotates a field of a `Section` (`slots: Annotated[int, Whole(1, 4096)]`); it converts text and describes
itself in the JSON schema. A wrong text is a `ValueError` with a sentence for people, which `validation.py` places.

Not here: meaning that needs other fields (`sections.py`, `checks.py`).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any

from pydantic import BeforeValidator, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import core_schema

from shell.config.validation import found
from shell.durations import PATTERN, format_duration, parse_duration
from shell.hostset import HOST_NAME
from shell.wording import clean, cut, nearest

NAME = HOST_NAME
"""Names of tasks, calendars and notifiers follow the rule for hosts: they become file names."""

LOCAL_NAMES = ("local", "any")
"""Host names that mean something else."""


class Scalar:
    """Base: one scalar of the file. `convert` gets its text and raises `ValueError` when it is not right."""

    expects = "a value"

    def convert(self, text: str) -> object:
        """The value that the text stands for."""
        raise NotImplementedError

    def json_schema(self) -> dict[str, Any]:
        """What an editor should accept; it reads bare numbers, `true` and `false` as such."""
        raise NotImplementedError

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self._validate)

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {**self.json_schema(), "$comment": self.expects}

    def _validate(self, value: object) -> object:
        if not isinstance(value, str):
            raise ValueError(f"expects {self.expects}, {found(value)}")
        return self.convert(value)


@dataclass(frozen=True)
class Whole(Scalar):
    """A whole number from `least` to `most`; with `word`, that word stands for 0, and 0 itself is refused."""

    least: int
    most: int
    word: str = ""
    expects = "a whole number"

    def convert(self, text: str) -> int:
        if self.word and text == self.word:
            return 0
        if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
            other = f" or {self.word}" if self.word else ""
            raise ValueError(f"expects {self.expects}{other}, {found(text)}")
        number = int(text)
        if number == 0 and self.word:
            raise ValueError(f"0 is not a limit: write {self.word} for no limit")
        if not self.least <= number <= self.most:
            raise ValueError(f"expects {self.expects} from {self.least} to {self.most}, not {number}")
        return number

    def json_schema(self) -> dict[str, Any]:
        number = {"type": "integer", "minimum": self.least, "maximum": self.most}
        return {"anyOf": [number, {"const": self.word}]} if self.word else number


@dataclass(frozen=True)
class Fraction(Scalar):
    """A decimal number from `least` to `most`."""

    least: float
    most: float
    expects = "a number"

    def convert(self, text: str) -> float:
        if not re.fullmatch(r"[+-]?[0-9]{1,12}(\.[0-9]{1,12})?", text):
            raise ValueError(f"expects a number such as {self.most if self.most <= 1 else '2.0'}, {found(text)}")
        number = float(text)
        if not self.least <= number <= self.most:
            raise ValueError(f"expects a number from {self.least:g} to {self.most:g}, not {text}")
        return number

    def json_schema(self) -> dict[str, Any]:
        return {"type": "number", "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True)
class Flag(Scalar):
    """`true` or `false`."""

    expects = "true or false"

    def convert(self, text: str) -> bool:
        if text not in ("true", "false"):
            raise ValueError(f"expects true or false, {found(text)}")
        return text == "true"

    def json_schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


@dataclass(frozen=True)
class Duration(Scalar):
    """A duration in ns, at least `least_ns`; with `word`, that word stands for 0 (no limit)."""

    least_ns: int = 1
    word: str = ""
    expects = "a duration such as 10m"

    def convert(self, text: str) -> int:
        if self.word and text == self.word:
            return 0
        duration_ns = parse_duration(text)
        if duration_ns < self.least_ns:
            if duration_ns == 0:
                other = f"; write {self.word} for no limit" if self.word else ""
                raise ValueError(f"expects a duration longer than nothing{other}")
            raise ValueError(f"expects at least {format_duration(self.least_ns)}, not {text}")
        return duration_ns

    def json_schema(self) -> dict[str, Any]:
        duration = {"type": "string", "pattern": PATTERN}
        return {"anyOf": [duration, {"const": self.word}]} if self.word else duration


@dataclass(frozen=True)
class Word(Scalar):
    """Any text that is not empty."""

    expects = "a word"
    empty: bool = False

    def convert(self, text: str) -> str:
        if not text and not self.empty:
            raise ValueError(f"expects {self.expects}, but is empty")
        return text

    def json_schema(self) -> dict[str, Any]:
        return {"type": ["string", "number", "boolean"]} if self.empty else _WORD


_WORD: dict[str, Any] = {"type": ["string", "number", "boolean"], "minLength": 1}


@dataclass(frozen=True)
class Name(Scalar):
    """The name of a task, host, calendar or notifier."""

    expects = "a name"

    def convert(self, text: str) -> str:
        return check_name(text)

    def json_schema(self) -> dict[str, Any]:
        return {"type": ["string", "integer"], "pattern": f"^{NAME.pattern}$"}


@dataclass(frozen=True)
class Choice(Scalar):
    """One of some words; `hints` says more about a word that is not among them."""

    words: tuple[str, ...]
    hints: tuple[tuple[str, str], ...] = ()

    @property
    def expects(self) -> str:  # type: ignore[override]  # the base's text, worked out
        return f"one of {', '.join(self.words)}"

    def convert(self, text: str) -> str:
        if text in self.words:
            return text
        hint = dict(self.hints).get(text)
        if hint is not None:
            raise ValueError(hint)
        raise ValueError(f"expects {self.expects}, {found(text)}{nearest(text, list(self.words))}")

    def json_schema(self) -> dict[str, Any]:
        return {"enum": list(self.words)}


@dataclass(frozen=True)
class TimeOfDay(Scalar):
    """Seconds after midnight; `24:00` (the end of the day) where `end`."""

    end: bool = False
    expects = "a time of day such as 18:00"

    def convert(self, text: str) -> int:
        parts = re.fullmatch(r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?", text)
        if parts is None:
            raise ValueError(f"expects {self.expects}, {found(text)}")
        hours, minutes, seconds = int(parts[1]), int(parts[2]), int(parts[3] or 0)
        total_s = hours * 3600 + minutes * 60 + seconds
        if minutes > 59 or seconds > 59 or total_s > 86400 or (total_s == 86400 and not self.end):
            last = "24:00" if self.end else "23:59:59"
            raise ValueError(f"expects a time of day from 00:00 to {last}, not {text}")
        return total_s

    def json_schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": "^[0-9]{1,2}:[0-9]{2}(:[0-9]{2})?$"}


@dataclass(frozen=True)
class Counted:
    """One of some words, or a mapping of `key` to a count: `wait`, `{try: 3}`. Gives (word or key, count or 0)."""

    words: tuple[str, ...]
    key: str
    most: int = 1000

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self._validate)

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        count = {"type": "integer", "minimum": 1, "maximum": self.most}
        mapping = {"type": "object", "properties": {self.key: count}, "required": [self.key]}
        return {"anyOf": [{"enum": list(self.words)}, {**mapping, "additionalProperties": False}]}

    def _validate(self, value: object) -> tuple[str, int]:
        if isinstance(value, str) and value in self.words:
            return value, 0
        if isinstance(value, dict) and list(value) == [self.key]:
            count = value[self.key]
            if not isinstance(count, str):
                raise ValueError(f"{self.key} expects a whole number, {found(count)}")
            return self.key, Whole(1, self.most).convert(count)
        hint = nearest(value, list(self.words)) if isinstance(value, str) else ""
        expected = f"expects {', '.join(self.words)} or {{{self.key}: N}}"
        if value == self.key:
            raise ValueError(f"{self.key} needs a count: {{{self.key}: 3}}")
        raise ValueError(f"{expected}, {found(value)}{hint}")


@dataclass(frozen=True)
class Checked(Scalar):
    """A word that a function must accept; the function raises `ValueError`."""

    check: Callable[[str], object]
    expects: str = "a word"
    pattern: str = ""
    integers: bool = False

    def convert(self, text: str) -> object:
        return self.check(text)

    def json_schema(self) -> dict[str, Any]:
        schema: dict[str, Any] = {"type": ["string", "integer"] if self.integers else "string"}
        return {**schema, "pattern": self.pattern} if self.pattern else schema


def check_name(text: str) -> str:
    """The text if it is a name, else `ValueError`."""
    if not NAME.fullmatch(text) or ".." in text:
        shown = cut(clean(text), 40)
        raise ValueError(
            f'"{shown}" is not a name: letters, digits, _ . and -, at most 64, beginning with a letter, digit or _, '
            'without ".."'
        )
    return text


def parse_date(text: str) -> date:
    """`2026-12-25`, else `ValueError`."""
    try:
        if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
            raise ValueError
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"expects a date such as 2026-12-25, {found(text)}") from None


def _command_is_a_list(value: object) -> object:
    """A command as one text is refused, and shown as the list that it probably means: no shell reads it."""
    if not isinstance(value, str):
        return value
    try:
        words = shlex.split(value)
    except ValueError:
        words = value.split()
    special = any(mark in value for mark in "|<>;&*`")
    listed = ["sh", "-c", value] if special else words
    shown = ", ".join('"' + clean(word).replace("\\", "\\\\").replace('"', '\\"') + '"' for word in listed)
    raise ValueError(f"expects a list of words: [{shown}]")


Command = Annotated[tuple[Annotated[str, Word(empty=True)], ...], BeforeValidator(_command_is_a_list)]
"""An argument vector; its first word is the program."""
