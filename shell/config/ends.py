"""How an attempt ended, as people write it: `0`, `1-3`, `exit 75`, `timeout`, `LOST`, `crash`, `default`.

Used for the keys of `on:` and for `retry.on`; gives the one spelling that `model.task.Handler.match` describes.
"""

from __future__ import annotations

import re

from model.job import Outcome
from shell.wording import clean, cut, nearest


def name_of(outcome: Outcome) -> str:
    """How people write it: `pending-timeout`."""
    return outcome.value.lower().replace("_", "-")


OUTCOMES = tuple(map(name_of, Outcome))
SHORTHANDS = {"timeout": "timed-out", "not-found": "command-not-found"}
CODE_MAX = 255
PATTERN = r"^(exit +)?[0-9]{1,3}(-[0-9]{1,3})?$|^[A-Za-z][A-Za-z_-]*$"
"""For the JSON schema."""


def parse_end(text: str, *, default: bool = True) -> str:
    """The pattern in its one spelling. Raises `ValueError`; `default` says whether that word is allowed here."""
    word = text.strip()
    codes = re.fullmatch(r"(?:exit +)?([0-9]{1,9})(?: *- *([0-9]{1,9}))?", word)
    if codes is not None:
        return _codes(int(codes[1]), None if codes[2] is None else int(codes[2]))
    name = word.lower().replace("_", "-")
    name = SHORTHANDS.get(name, name)
    if name in OUTCOMES or name == "crash" or (default and name == "default"):
        return name
    known = [*OUTCOMES, "timeout", "crash", *(["default"] if default else [])]
    hint = nearest(name, known) or "; an end is an exit code (0), a range (1-3), crash or an outcome"
    raise ValueError(f'"{cut(clean(text), 40)}" is not an end of a job{hint}')


def _codes(low: int, high: int | None) -> str:
    if max(low, high or 0) > CODE_MAX:
        raise ValueError(f"exit codes go from 0 to {CODE_MAX}")
    if high is None or low == high:
        return str(low)
    if high < low:
        raise ValueError(f"the range {low}-{high} runs backwards")
    return f"{low}-{high}"
