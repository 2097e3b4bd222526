"""How durations, times, counts and foreign text are worded for people: the one place for it.

Called by everything that prints. Foreign text (names, items, commands, output, reasons) passes `clean` before it
reaches a terminal (`live/display.py`). Layout does not belong here (`tables.py`), nor the durations that people write
(`durations.py`).
"""

from __future__ import annotations

import math
import time
import unicodedata
from collections.abc import Sequence

from live.display import clean, clean_lines
from model.near_miss import nearest

__all__ = ["clean", "clean_lines", "nearest"]  # taken from here by all of shell/, with what follows

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
LEAST_IN_MS = 1_000
"""What is shorter is told in ns where it is measured: 0.0002 ms cannot be read."""

ROUNDED = 1e-12
"""So much may be lost where shares are added up."""

_BARS = "▁▂▃▄▅▆▇█"
_ASCII_BARS = ".:-=+*#@"


def width(text: str) -> int:
    """Columns that a clean text takes in a terminal."""
    if text.isascii():
        return len(text)
    return sum(_columns(character) for character in text)


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def cut(text: str, columns: int, ellipsis: str = "…") -> str:
    """`text` in at most `columns`; what was cut off shows as an ellipsis."""
    if width(text) <= columns:
        return text
    room = columns - width(ellipsis)
    if room <= 0:
        return ellipsis[:columns]
    kept: list[str] = []
    for character in text:
        room -= _columns(character)
        if room < 0:
            break
        kept.append(character)
    return "".join(kept).rstrip() + ellipsis


def duration(ns: int) -> str:
    """A duration in two parts at most: `850 ms`, `12 s`, `4 min`, `2 h 05`, `3d 04:12`."""
    if ns < 0:
        return f"-{duration(-ns)}"
    if ns < SECOND:
        return f"{ns // 1_000_000} ms"
    if ns < 10 * SECOND:
        return f"{ns / SECOND:.1f} s".replace(".0 s", " s")
    if ns < 2 * MINUTE:
        return f"{ns // SECOND} s"
    if ns < 2 * HOUR:
        return f"{ns // MINUTE} min"
    if ns < DAY:
        return f"{ns // HOUR} h {ns % HOUR // MINUTE:02d}"
    return f"{ns // DAY}d {ns % DAY // HOUR:02d}:{ns % HOUR // MINUTE:02d}"


def measured(ns: float) -> str:
    """A duration in one unit with three digits, for figures that are compared: `850 ms`, `13.6 min`, `2.75 h`."""
    if ns < 0:
        return f"-{measured(-ns)}"
    for unit_ns, name, least in ((DAY, "d", 2 * DAY), (HOUR, "h", 2 * HOUR), (MINUTE, "min", 2 * MINUTE)):
        if ns >= least:
            return f"{_digits(ns / unit_ns)} {name}"
    if ns < LEAST_IN_MS:
        return f"{_digits(ns)} ns" if ns >= 1 else "0 ms"
    return f"{_digits(ns / SECOND)} s" if ns >= SECOND else f"{_digits(ns / 1e6)} ms"


def _digits(number: float) -> str:
    """Three digits that count, never an exponent (it would have one below 0.0001)."""
    return f"{number:.3g}" if number < 999.5 else f"{number:.0f}"


def ago(at_ns: int | None, now_ns: int) -> str:
    """When something happened (wall time): `now`, `12 s ago`, `14:02`, `Mon 14:02`, `2026-03-01`; `-` for never."""
    if at_ns is None:
        return "-"
    passed = now_ns - at_ns
    if passed < SECOND:
        return "now" if passed > -MINUTE else moment(at_ns, now_ns)
    if passed < 2 * HOUR:
        return f"{_whole(passed)} ago"
    return moment(at_ns, now_ns)


def coming(at_ns: int | None, now_ns: int) -> str:
    """When something will happen: `now`, `in 3 s`, `18:00`, `Tue 18:00`; `-` for not by itself."""
    if at_ns is None:
        return "-"
    left = at_ns - now_ns
    if left < SECOND // 2:
        return "now"
    if left < 2 * HOUR:
        return f"in {_whole(left + SECOND // 2)}"
    return moment(at_ns, now_ns)


def _whole(ns: int) -> str:
    """Seconds or minutes without fractions: a clock that people watch must not flicker."""
    return duration(max(SECOND, ns - ns % SECOND))


def moment(at_ns: int, now_ns: int) -> str:
    """A wall time as short as it can be without being ambiguous, in the local zone."""
    at, now = time.localtime(at_ns / SECOND), time.localtime(now_ns / SECOND)
    if at[:3] == now[:3]:
        return time.strftime("%H:%M", at)
    if abs(at_ns - now_ns) < 6 * DAY:
        return time.strftime("%a %H:%M", at)
    return time.strftime("%Y-%m-%d", at)


def stamp(at_ns: int) -> str:
    """A wall time in full, local zone: `2026-03-01 14:02:11`."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at_ns / SECOND))


def clock(at_ns: int, now_ns: int) -> str:
    """A wall time to the second; with the day where it is not today."""
    at, now = time.localtime(at_ns / SECOND), time.localtime(now_ns / SECOND)
    return time.strftime("%H:%M:%S" if at[:3] == now[:3] else "%m-%d %H:%M:%S", at)


def count(number: int, noun: str, plural: str = "") -> str:
    """`1 job`, `2 jobs`, `12 345 jobs`."""
    return f"{thousands(number)} {noun if number == 1 else plural or noun + 's'}"


def thousands(number: int) -> str:
    return f"{number:,}".replace(",", " ") if abs(number) >= 10_000 else str(number)


def number_text(value: float) -> str:
    """Four digits of a number that need not be whole; all before the point of a large one, and no powers of ten."""
    return thousands(round(value)) if abs(value) >= 9999.5 else f"{value:.4g}"


def size(count_of_bytes: int) -> str:
    """`512 B`, `4.1 kB`, `41 MB` (powers of 1000)."""
    number = float(count_of_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if number < 999.5:
            return f"{number:.0f} {unit}" if unit == "B" or number >= 10 else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def percent(part: int, whole: int) -> str:
    return f"{100 * part // whole} %" if whole else "-"


def share_text(share: float, form: str = ".2f") -> str:
    """A share (0..1) in per cent; what is less than all never reads 100 %: `99.9994 %`."""
    text = f"{100 * share:{form}}"
    missing = 1.0 - share
    if missing > ROUNDED and float(text) == 100.0:
        text = f"{100 * share:.{math.ceil(-math.log10(missing))}f}".rstrip("0")
    return f"{text} %"


def quantile(ordered: Sequence[int], share: float) -> int:
    """The smallest value that at least `share` (0..1) of the ordered values do not pass (nearest rank); 0 for none."""
    if not ordered:
        return 0
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def sparkline(values: Sequence[int], *, top: int = 0, unicode: bool = True) -> str:
    """One bar for each value, scaled to the largest, or to `top`; a zero is a blank."""
    top = max(top, *values, 0)
    bars = _BARS if unicode else _ASCII_BARS
    return "".join(" " if value <= 0 else bars[min(7, (value * 8 - 1) // top)] for value in values)
