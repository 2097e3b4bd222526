"""`trange START STOP [-nmax N] [-exclude]`: the words of a time range, read into a window.

Called by the task commands. All in UTC; both ends are of one form, recognised in this order:

- day of the week: `Mon`, `friday@18`, `Sun@23:30:05`; full or short English names, any case;
- time of day: `6:00`, `23:15:30`;
- date: `2026/11/25`, `2026-11-25,18:00:00`, `2026 11 25`; also `now`, `today`, `today,18:00`, and numbers with a
  suffix: `2h`, `-30m` (from now: d days, h hours, m minutes, s seconds), `2461000.5j` (Julian day), `61000.25J`
  (modified Julian day).

Ends are included, to the second: `6:00 7:00` is open at 07:00:00 and closed at 07:00:01. A day or date without a time
is its midnight as a start and its last second as a stop, so `Mon Fri` is five days. What ends before it starts wraps:
`23:00 1:00` runs over midnight, `Sat Sun` over the week's end. `-exclude` forbids inside. What a window is, is written
in `model/windows.py`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from model.errors import ConfigurationError, LaulimaError
from model.job import SECOND
from model.windows import DAY_S, SPAN_MAX_DAYS, YEARS, Window

WEEK_S = 7 * DAY_S
JOBS_MAX = 10**9
"""The largest `-nmax`."""
USAGE = "trange START STOP [-nmax N] [-exclude], or trange -reset"

_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_TIME = r"(?P<hour>[0-9]{1,2})(?::(?P<minute>[0-9]{1,2})(?::(?P<second>[0-9]{1,2}))?)?"
_WEEKDAY = re.compile(rf"(?P<day>[A-Za-z]{{3,9}})(?:@{_TIME})?")
_CLOCK = re.compile(r"(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{1,2})(?::(?P<second>[0-9]{1,2}))?")
_SEPARATOR = r"[-/.,: T]"
_DATE = re.compile(
    rf"(?:(?P<today>today)|(?P<year>[0-9]{{4}}){_SEPARATOR}(?P<month>[0-9]{{1,2}}){_SEPARATOR}(?P<day>[0-9]{{1,2}}))"
    rf"(?:{_SEPARATOR}{_TIME.replace(':', _SEPARATOR).replace('(?' + _SEPARATOR, '(?:')})?Z?",
    re.IGNORECASE,
)
_SUFFIXED = re.compile(r"(?P<number>[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?P<suffix>[dhmsjJ])")
_SUFFIX_S = {"d": DAY_S, "h": 3600, "m": 60, "s": 1}
_JULIAN_EPOCH_DAYS = {"j": 2_440_587.5, "J": 40_587.0}
"""1970-01-01 00:00 as a Julian day and as a modified one."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class RangeError(LaulimaError, ValueError):
    """The words are no time range; a sentence for people."""


@dataclass(frozen=True, slots=True)
class _End:
    """`form`: "day of the week", "time of day" or "date". `second`: since Monday, since midnight, since 1970.
    `whole_day`: no time was given, it stands for the whole day."""

    form: str
    second: int
    whole_day: bool = False

    @property
    def after(self) -> int:
        """The first second that is behind it, when it is a stop."""
        return self.second + (DAY_S if self.whole_day else 1)


def parse_range(words: Sequence[str], now_wall_ns: int) -> Window:
    """The window of `trange`'s arguments. Raises RangeError with a sentence.

    `now_wall_ns`: the wall time (ns since 1970, UTC) from which `now`, `today` and relative numbers count.
    """
    ends, jobs_max, exclude = _options(words)
    now_s = now_wall_ns // SECOND
    start, stop = (_end(word, now_s) for word in ends)
    if start.form != stop.form:
        raise RangeError(
            f"{ends[0]} is a {start.form}, {ends[1]} a {stop.form}", "both ends of a time range have the same form"
        )
    text = " ".join(ends)
    try:
        if start.form == "date":
            return _dates(start, stop, text, jobs_max, exclude=exclude)
        return _repeated(start, stop, text, jobs_max, exclude=exclude)
    except ConfigurationError as error:
        raise RangeError(str(error), error.hint) from error


def _options(words: Sequence[str]) -> tuple[list[str], int, bool]:
    """The two ends; most jobs in one opening, 0 for any number; whether it forbids."""
    ends: list[str] = []
    jobs_max, exclude = 0, False
    rest = iter(words)
    for word in rest:
        if word == "-exclude":
            exclude = True
        elif word == "-nmax":
            jobs_max = _jobs(next(rest, ""))
        elif word.startswith("-") and not _SUFFIXED.fullmatch(word):
            raise RangeError(f"trange has no option {word}", USAGE)
        else:
            ends.append(word)
    if len(ends) != 2:
        raise RangeError(f"a time range has a start and a stop, not {len(ends)} of them", USAGE)
    return ends, 0 if exclude else jobs_max, exclude


def _jobs(word: str) -> int:
    if not re.fullmatch(r"[0-9]{1,10}", word) or int(word) > JOBS_MAX:
        raise RangeError(f"-nmax takes a whole number up to {JOBS_MAX}, not '{word}'", USAGE)
    return int(word)


def _end(word: str, now_s: int) -> _End:
    if found := _WEEKDAY.fullmatch(word):
        short = found["day"].lower()
        days = [number for number, day in enumerate(_DAYS) if short in (day, day[:3])]
        if days:
            return _End("day of the week", days[0] * DAY_S + _time(found, word), found["hour"] is None)
    if found := _CLOCK.fullmatch(word):
        return _End("time of day", _time(found, word))
    return _date(word, now_s)


def _time(found: re.Match[str], word: str) -> int:
    """Seconds after midnight of a match with hour, minute and second (0 where they are missing)."""
    hour, minute, second = (int(found[name] or 0) for name in ("hour", "minute", "second"))
    if minute > 59 or second > 59 or hour * 3600 + minute * 60 + second > DAY_S:
        raise RangeError(f"{word} is no time of a day", "00:00:00 to 24:00:00")
    return hour * 3600 + minute * 60 + second


def _date(word: str, now_s: int) -> _End:
    if word.lower() == "now":
        return _End("date", now_s)
    if found := _SUFFIXED.fullmatch(word):
        number, suffix = float(found["number"]), found["suffix"]
        julian = _JULIAN_EPOCH_DAYS.get(suffix)
        second = now_s + number * _SUFFIX_S[suffix] if julian is None else (number - julian) * DAY_S
        return _End("date", _in_calendar(second, word))
    found = _DATE.fullmatch(word)
    if found is None:
        raise RangeError(
            f"'{word[:40]}' is no end of a time range",
            "a day (Mon@18:00), a time (23:15), a date (2026/11/25,18:00:00, today, now) or 2h, 30m, 1d, 90s",
        )
    if found["today"]:
        midnight = now_s - now_s % DAY_S
    else:
        try:
            day = date(int(found["year"]), int(found["month"]), int(found["day"]))
        except ValueError as error:
            raise RangeError(f"{word} is no date: {error}") from error
        midnight = (day - _EPOCH.date()).days * DAY_S
    return _End("date", _in_calendar(midnight + _time(found, word), word), found["hour"] is None)


def _in_calendar(second: float, word: str) -> int:
    first, last = (int((datetime(year, 1, 1, tzinfo=UTC) - _EPOCH).total_seconds()) for year in (YEARS[0], YEARS[-1]))
    if not math.isfinite(second) or not first <= second < last:
        raise RangeError(f"{word} is too far away", f"years {YEARS[0]} to {YEARS[-1] - 1}")
    return math.floor(second)


def _repeated(start: _End, stop: _End, text: str, jobs_max: int, *, exclude: bool) -> Window:
    """Every week or every day; a stop before the start is in the next one."""
    weekly = start.form == "day of the week"
    period_s = WEEK_S if weekly else DAY_S
    lasts_s = min(stop.after - start.second, period_s)
    if lasts_s <= 0:
        lasts_s += period_s
    day, from_s = divmod(start.second, DAY_S)
    weekdays = frozenset({day % 7}) if weekly else None
    return Window(UTC, from_s, from_s + lasts_s, weekdays=weekdays, exclude=exclude, text=text, jobs_max=jobs_max)


def _dates(start: _End, stop: _End, text: str, jobs_max: int, *, exclude: bool) -> Window:
    """Once."""
    lasts_s = stop.after - start.second
    if lasts_s <= 0:
        raise RangeError(
            f"the time range {text} ends before it starts", "dates do not wrap: give the earlier one first"
        )
    if lasts_s > SPAN_MAX_DAYS * DAY_S - DAY_S:
        raise RangeError(f"the time range {text} lasts longer than {SPAN_MAX_DAYS - 1} days")
    opens = _EPOCH + timedelta(seconds=start.second)
    from_s = start.second % DAY_S
    day = opens.date()
    return Window(UTC, from_s, from_s + lasts_s, first=day, last=day, exclude=exclude, text=text, jobs_max=jobs_max)
