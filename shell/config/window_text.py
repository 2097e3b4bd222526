"""Days, dates and zones as people write them: `mon-fri`, `2026-01-01..2026-03-31`, `Pacific/Honolulu`."""

from __future__ import annotations

import re
from datetime import UTC, date, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from model.windows import YEARS
from shell.config.fields import parse_date
from shell.wording import clean, cut, nearest

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAYS_PATTERN = r"^[A-Za-z, -]+$"
CALENDAR_RANGE_MAX = 3660
"""Days that one range in a calendar may have."""


def parse_days(text: str) -> frozenset[int]:
    """`mon-fri`, `sat-mon`, `mon,wed`: 0 Monday .. 6 Sunday. Raises `ValueError`."""
    days: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        low = _day(first, part)
        high = _day(last, part) if dash else low
        days.update((low + step) % 7 for step in range((high - low) % 7 + 1))
    return frozenset(days)


def _day(word: str, part: str) -> int:
    short = word.strip().lower()
    for number, day in enumerate(DAYS):
        if short == day or (len(short) > 3 and short == LONG_DAYS[number]):
            return number
    hint = nearest(short, [*DAYS, *LONG_DAYS])
    raise ValueError(f'expects days such as mon-fri or sat, not "{cut(clean(part.strip()), 40)}"{hint}')


LONG_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def parse_dates(text: str) -> tuple[date, date]:
    """`2026-01-01..2026-03-31`, both ends included, or one date. Raises `ValueError`."""
    first_text, dots, last_text = text.partition("..")
    first = parse_date(first_text.strip())
    last = parse_date(last_text.strip()) if dots else first
    if last < first:
        raise ValueError(f"the dates {text.strip()} run backwards")
    for day in (first, last):
        if day.year not in YEARS:
            raise ValueError(f"{day} is too far away: years {YEARS[0]} to {YEARS[-1]}")
    return first, last


def calendar_days(text: str) -> frozenset[date]:
    """Every day of a date or range. Raises `ValueError`."""
    first, last = parse_dates(text)
    count = (last - first).days + 1
    if count > CALENDAR_RANGE_MAX:
        raise ValueError(f"a range in a calendar has at most {CALENDAR_RANGE_MAX} days, not {count}")
    return frozenset(first + timedelta(days=step) for step in range(count))


def parse_zone(text: str) -> tzinfo:
    """A zone of the tz database by its name. Raises `ValueError` with the near miss."""
    if text.upper() in ("UTC", "Z"):
        return UTC
    if re.fullmatch(r"[A-Za-z0-9_+/-]{1,64}", text):
        try:
            return ZoneInfo(text)
        except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: a folder of the database, such as `Europe`
            pass  # the sentence below says it
    known = sorted(available_timezones())
    cities = {zone.rpartition("/")[2].lower(): zone for zone in known}
    exact = cities.get(text.lower().replace(" ", "_"))
    hint = f", did you mean {exact}?" if exact else nearest(text, known) or "; zones look like Europe/Berlin"
    raise ValueError(f'"{cut(clean(text), 40)}" is not a time zone{hint}')
