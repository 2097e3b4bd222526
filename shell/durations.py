"""Durations as people write them: `10m`, `1h30m`, `500ms`, `1.5s`, `2d`. Integer nanoseconds inside.

One place reads them and one place writes them; the two are inverse. A bare number is refused: it has no unit.
"""

from __future__ import annotations

import re
from decimal import Decimal

UNITS_NS = {
    "d": 86_400_000_000_000,
    "h": 3_600_000_000_000,
    "m": 60_000_000_000,
    "s": 1_000_000_000,
    "ms": 1_000_000,
    "us": 1_000,
    "ns": 1,
}
"""Largest first. `m` is a minute; a day is 24 h."""

MAXIMUM_NS = 36_500 * UNITS_NS["d"]
"""A hundred years: sums of durations stay within 64 bits."""

PATTERN = r"^\s*(\d+(\.\d+)?\s*(d|h|ms|m|us|s|ns)\s*)+$"
"""For the JSON schema; `parse_duration` is stricter (each unit once, largest first)."""

_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(d|h|ms|m|us|s|ns)\s*")
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
_LENGTH_MAX = 64


def parse_duration(text: str) -> int:
    """Nanoseconds. Raises `ValueError` with a sentence for people. `0s` is a duration; nothing is negative."""
    text = text.strip()
    if _NUMBER.fullmatch(text):
        if text.startswith("-"):
            raise ValueError(f"a duration is not negative: {text}")
        raise ValueError(f"a number without a unit; for seconds write {text.lstrip('+')}s (units: d h m s ms us ns)")
    total = Decimal(0)
    position, last = 0, len(UNITS_NS)
    order = list(UNITS_NS)
    while position < len(text):
        part = _PART.match(text, position)
        if part is None or len(text) > _LENGTH_MAX:
            raise ValueError(f'expects a duration such as 10m, 1h30m or 500ms, not "{text[:40]}"')
        rank = order.index(part[2])
        if position and rank <= last:
            raise ValueError(f'the units of a duration go from large to small, each once: not "{text[:40]}"')
        total += Decimal(part[1]) * UNITS_NS[part[2]]
        position, last = part.end(), rank
    if not text:
        raise ValueError("expects a duration such as 10m, 1h30m or 500ms, but is empty")
    if total > MAXIMUM_NS:
        raise ValueError(f"a duration is at most {MAXIMUM_NS // UNITS_NS['d']}d")
    if total != int(total):
        raise ValueError("a duration is a whole number of nanoseconds")
    return int(total)


def format_duration(duration_ns: int) -> str:
    """The shortest exact text that `parse_duration` reads back: `1h30m`, `500ms`, `0s`."""
    if duration_ns < 0:
        return "-" + format_duration(-duration_ns)
    parts: list[str] = []
    rest = duration_ns
    for unit, size in UNITS_NS.items():
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
