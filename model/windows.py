"""Windows: when, by the wall clock, a task may spawn jobs.

The rule is *as the clock shows*: a window is a set of clock readings of its zone, and it is open whenever the clock
there shows one of them. A reading that daylight saving skips is never shown, one that it repeats is shown twice: in
Europe/Berlin `01:30-02:30` is open for 30 minutes on the spring day, 90 on the autumn day, 60 on all others.
Nothing but a window and a deadline ever looks at the wall clock, so a wrong clock moves these only, no period and no
timeout.

Called by `scheduler.py` (is a task allowed, when does that change), by the configuration loader (does a window never
open) and for people's texts. Not here: how a person writes a window (`shell`), and where the time comes from (drivers).

How it is computed: UTC is cut into pieces of 28 days. For each piece the instants at which the combined result changes
are worked out once, with integers only, and remembered; every question is then a binary search.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache

from msgspec import Struct

from model.errors import ConfigurationError
from model.job import SECOND

DAY_S = 86_400
HORIZON_DAYS = 5 * 366
"""How far `next_change` looks ahead."""
SPAN_MAX_DAYS = 36_600
"""The longest time, in days, for which one opening may last."""
YEARS = range(1900, 2201)
"""The years that a window or calendar may name."""
_PIECE_DAYS = 28
_PIECE_S = _PIECE_DAYS * DAY_S
_PIECES_REMEMBERED = 16_384
_STEPS_MAX = 1000
_YEAR_DAYS = 400
"""Longer than a year: whatever depends on weekdays and daylight saving alone shows itself within it."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_EPOCH_WEEKDAY = date(1970, 1, 1).weekday()

_Span = tuple[int, int]
"""Seconds [from, to)"""


class Calendar(Struct, frozen=True, cache_hash=True):
    """A named set of dates (`calendars:` in the configuration)."""

    name: str
    dates: frozenset[date]

    def __post_init__(self) -> None:
        for day in sorted(self.dates):
            _check_year(day)


class Window(Struct, frozen=True, cache_hash=True):
    """A stretch of time that opens on some days, at `from_s` seconds after local midnight (0 .. 86399), and lasts until
    `to_s` seconds after the same midnight, which is not part of it.

    `to_s <= from_s` runs over midnight into the next day. `to_s > 86400` runs over as many midnights as it says, so
    Monday 12:00 to Tuesday 13:00 is `weekdays={0}, from_s=12 h, to_s=24 h + 13 h`, and a range between two dates is
    `first = last = the day on which it opens`. Weekdays, dates and calendar are asked about the day on which it opens,
    never about those that it runs into. All of them that are given must agree.

    Raises `ConfigurationError` for numbers out of range.
    """

    zone: tzinfo
    """of whole seconds, as all zones of the tz database are"""
    from_s: int = 0
    to_s: int = DAY_S
    weekdays: frozenset[int] | None = None
    """0 Monday .. 6 Sunday; None: every day"""
    first: date | None = None
    last: date | None = None
    """both are days on which it may open; None: no bound"""
    calendar: Calendar | None = None
    exclude: bool = False
    """it forbids while it is open, whatever others allow"""
    text: str = ""
    """as written, for people"""
    jobs_max: int = 0
    """most jobs in one opening; 0: no limit. Means nothing for an excluding window."""

    def __post_init__(self) -> None:
        if not 0 <= self.from_s < DAY_S:
            raise ConfigurationError(f"a window cannot open {self.from_s} s after midnight", "from: 00:00 to 23:59")
        if not 0 <= self.to_s <= SPAN_MAX_DAYS * DAY_S:
            raise ConfigurationError(
                f"a window cannot close {self.to_s} s after the midnight before it",
                f"to: 00:00 to 24:00, or at most {SPAN_MAX_DAYS} days later",
            )
        if self.weekdays is not None and not self.weekdays <= frozenset(range(7)):
            raise ConfigurationError("a weekday is a number from 0, Monday, to 6, Sunday", "days: mon-fri")
        for day in (self.first, self.last):
            if day is not None:
                _check_year(day)
        if self.jobs_max < 0:
            raise ConfigurationError(f"{self.jobs_max} jobs in one opening are too few", "1 or more, or 0: no limit")

    @property
    def closes_s(self) -> int:
        """When it closes, in seconds after the midnight before it opened; always after `from_s`."""
        return self.to_s if self.to_s > self.from_s else self.to_s + DAY_S


# questions of the machines


def is_open(windows: tuple[Window, ...], wall_ns: int) -> bool:
    """Whether a task with these windows may spawn at this wall time (ns since 1970, UTC).

    It may when one of the allowing windows is open, or there are none, and no excluding window is open.
    """
    if not windows:
        return True
    second = wall_ns // SECOND
    return _state(windows, second)


def next_change(windows: tuple[Window, ...], wall_ns: int) -> int | None:
    """The first wall time (ns) after `wall_ns` at which `is_open` changes, exactly; None: not within `HORIZON_DAYS`."""
    if not windows:
        return None
    second = wall_ns // SECOND
    piece = second // _PIECE_S
    starts_open, changes = _changes(windows, piece)
    place = bisect_right(changes, second)
    if place < len(changes):
        return changes[place] * SECOND
    state = starts_open ^ (len(changes) % 2 == 1)
    for later in range(piece + 1, piece + HORIZON_DAYS // _PIECE_DAYS + 2):
        starts_open, changes = _changes(windows, later)
        if starts_open != state:
            return later * _PIECE_S * SECOND
        if changes:
            return changes[0] * SECOND
    return None


def why_closed(windows: tuple[Window, ...], wall_ns: int) -> str:
    """A clause for people, such as `outside mon-fri 18:00-06:00` or `excluded by holidays`; empty when it is open."""
    if is_open(windows, wall_ns):
        return ""
    for window in windows:
        if window.exclude and is_open((_alone(window),), wall_ns):
            return f"excluded by {_name(window)}"
    return "outside " + ", ".join(_name(window) for window in windows if not window.exclude)


def opens(windows: tuple[Window, ...], wall_ns: int) -> str:
    """When a closed task may spawn again, for people: `opens Tue 18:00`, or with the date when that is not within six
    days. In the zone of the first window, for that is the clock by which the person wrote. Empty when it is open."""
    if is_open(windows, wall_ns):
        return ""
    return opens_at(windows, wall_ns, next_change(windows, wall_ns))


def opens_at(windows: tuple[Window, ...], wall_ns: int, change: int | None) -> str:
    """The same, of an instant that is known (None: there is none)."""
    if change is None:
        return f"does not open within {HORIZON_DAYS // 366} years"
    zone = windows[0].zone
    then, now = _reading(zone, change // SECOND), _reading(zone, wall_ns // SECOND)
    day = f"{then:%a}" if then - now < timedelta(days=6) else f"{then:%Y-%m-%d}"
    return f"opens {day} {then:%H:%M:%S}" if then.second else f"opens {day} {then:%H:%M}"


# jobs counted in each opening

Counts = Mapping[str, tuple[int, int]]
"""What was made in the last opening of each window that counts its jobs: `counted_as(window)` -> (the day on which it
opened, jobs). A day is a proleptic ordinal of the window's zone: an hour that the clock repeats is the same opening."""


def opened_on(window: Window, wall_ns: int) -> int | None:
    """The day (a proleptic ordinal in its zone) on which the opening that lasts at this wall time began; the latest one
    where several do. None: it is closed."""
    second = wall_ns // SECOND
    shown = second + _offset(window.zone, second)
    today = _EPOCH_ORDINAL + shown // DAY_S
    first = date.fromordinal(today - (window.closes_s - 1) // DAY_S)
    for day in reversed(list(_opening_days(window, first, date.fromordinal(today)))):
        midnight = (day - _EPOCH_ORDINAL) * DAY_S
        if midnight + window.from_s <= shown < midnight + window.closes_s:
            return day
    return None


def counted_as(window: Window) -> str:
    """The name under which jobs of a window are counted: another text or limit does not begin a new count."""
    days = "" if window.weekdays is None else "".join(map(str, sorted(window.weekdays)))
    calendar = "" if window.calendar is None else window.calendar.name
    return f"{window.zone} {window.from_s}-{window.closes_s} {days} {window.first}..{window.last} {calendar}"


def may_make(windows: tuple[Window, ...], wall_ns: int, counts: Counts) -> bool:
    """Whether a task may spawn: `is_open`, and some window that allows it has not had all its jobs in this opening."""
    if not is_open(windows, wall_ns):
        return False
    if not any(window.jobs_max for window in windows):
        return True
    days = [
        (window, opened_on(window, wall_ns)) for window in windows
    ]  # an excluding one is closed, or nothing is open
    return any(day is not None and not _had_all(window, day, counts) for window, day in days)


def next_make(windows: tuple[Window, ...], wall_ns: int, counts: Counts) -> int | None:
    """The first wall time (ns) after `wall_ns` at which a task that may not spawn may; None: not within `HORIZON_DAYS`.

    After `_STEPS_MAX` changes in vain it is the last one of them: ask again then.
    """
    counting = [window for window in windows if window.jobs_max and not window.exclude]
    for _ in range(_STEPS_MAX):
        then = [next_change(windows, wall_ns), *(_next_opening(window, wall_ns) for window in counting)]
        known = [when for when in then if when is not None]
        if not known:
            return None
        wall_ns = min(known)
        if may_make(windows, wall_ns, counts):
            break
    return wall_ns


def counted(windows: tuple[Window, ...], wall_ns: int, counts: Counts) -> dict[str, tuple[int, int]]:
    """The entries of `counts` that change when one more job is made at this wall time."""
    changed: dict[str, tuple[int, int]] = {}
    for window in windows:
        if window.jobs_max and not window.exclude and (day := opened_on(window, wall_ns)) is not None:
            changed[counted_as(window)] = (day, _made(window, day, counts) + 1)
    return changed


def why_none_left(windows: tuple[Window, ...], wall_ns: int, counts: Counts) -> str:
    """A clause for people: which open windows have had their jobs (`06:00-07:00 has had its 3 jobs`)."""
    used = [
        f"{_name(window)} has had its {window.jobs_max} job{'s' if window.jobs_max > 1 else ''}"
        for window in windows
        if not window.exclude and (day := opened_on(window, wall_ns)) is not None and _had_all(window, day, counts)
    ]
    return ", ".join(used)


def _made(window: Window, day: int, counts: Counts) -> int:
    opened, made = counts.get(counted_as(window), (day, 0))
    return made if opened == day else 0


def _had_all(window: Window, day: int, counts: Counts) -> bool:
    return 0 < window.jobs_max <= _made(window, day, counts)


def _next_opening(window: Window, wall_ns: int) -> int | None:
    """The first wall time (ns) after `wall_ns` at which an opening begins, or goes on at the border of a piece or where
    the clock is changed."""
    second = wall_ns // SECOND
    for piece in range(second // _PIECE_S, second // _PIECE_S + HORIZON_DAYS // _PIECE_DAYS + 2):
        starts = [start for _, start, _ in _openings(window, piece) if start > second]
        if starts:
            return min(starts) * SECOND
    return None


# a single time of the wall clock


def shown_first(reading: datetime) -> datetime:
    """When the clock of its zone shows a reading for the first time or, where the clock jumps over it, the instant of
    that jump, at which windows open, too. For deadlines, and for what a person says of a scenario."""
    zone, moment = reading.tzinfo, reading.replace(fold=0)
    before, behind = int(moment.replace(fold=1).timestamp()), int(moment.timestamp())
    if zone is None or before >= behind:
        return moment
    return _reading(zone, _changed_at(zone, before, behind))


# questions of the configuration loader


def contradiction(window: Window) -> str:
    """Why this window alone can never open, for people; empty when it can.

    A range of dates that is over is no contradiction: a file that was right yesterday loads today. For the same reason
    an excluding window may have an empty calendar.
    """
    first, last, weekdays, calendar = window.first, window.last, window.weekdays, window.calendar
    clause = ""
    if weekdays is not None and not weekdays:
        clause = "no weekday is left"
    elif first is not None and last is not None and first > last:
        clause = f"its first day, {first}, is after its last, {last}"
    elif first is not None and last is not None and not any(_admits(weekdays, day) for day in _days(first, last)[:7]):
        clause = f"none of its weekdays lies between {first} and {last}"
    elif calendar is not None and not calendar.dates:
        clause = "" if window.exclude else f"calendar {calendar.name} has no dates"
    elif calendar is not None and next(_opening_days(window, min(calendar.dates), max(calendar.dates)), None) is None:
        clause = f"calendar {calendar.name} has no date that its weekdays and dates admit"
    return clause


def never_opens(windows: tuple[Window, ...]) -> str:
    """Why a task with these windows could never spawn, for people; empty when it can, or could in the past.

    Names the first window that contradicts itself, allowing or excluding; else says so if the exclusions cover every
    opening. All times that can matter are looked at: from 400 days before the earliest date that is named until
    400 days after the latest, since beyond them only weekdays and daylight saving count. Without any named date the
    years from 2024 stand for all.
    """
    for window in windows:
        clause = contradiction(window)
        if clause:
            return f"{_name(window)} never opens: {clause}"
    named = [day for window in windows for day in _named_dates(window)] or [date(2024, 1, 1)]
    span_days = max((window.closes_s for window in windows), default=0) // DAY_S
    start_s = (min(named).toordinal() - _EPOCH_ORDINAL - _YEAR_DAYS) * DAY_S
    end_s = (max(named).toordinal() - _EPOCH_ORDINAL + _YEAR_DAYS + span_days) * DAY_S
    for piece in range(start_s // _PIECE_S, end_s // _PIECE_S + 1):
        starts_open, changes = _changes(windows, piece)
        if starts_open or changes:
            return ""
    return "what is excluded covers every opening" if windows else ""


# how it is worked out


@lru_cache(maxsize=_PIECES_REMEMBERED)
def _changes(windows: tuple[Window, ...], piece: int) -> tuple[bool, tuple[int, ...]]:
    """Whether a piece of 28 days starts open, and the UTC seconds after its start at which that changes, ascending."""
    start, end = piece * _PIECE_S, (piece + 1) * _PIECE_S
    allowing = [window for window in windows if not window.exclude]
    allowed = _union(span for window in allowing for span in _spans(window, piece)) if allowing else [(start, end)]
    forbidden = _union(span for window in windows if window.exclude for span in _spans(window, piece))
    edges = [edge for span in _without(allowed, forbidden) for edge in span]
    starts_open = bool(edges) and edges[0] == start
    return starts_open, tuple(edge for edge in edges if start < edge < end)


def _state(windows: tuple[Window, ...], second: int) -> bool:
    starts_open, changes = _changes(windows, second // _PIECE_S)
    return starts_open ^ (bisect_right(changes, second) % 2 == 1)


def _spans(window: Window, piece: int) -> Iterator[_Span]:
    """The UTC seconds of a piece during which the window is open; they may overlap, and come in no order."""
    for _, start, end in _openings(window, piece):
        yield start, end


def _openings(window: Window, piece: int) -> Iterator[tuple[int, int, int]]:
    """The same, each behind the day on which it opened."""
    opens_s, closes_s = window.from_s, window.closes_s
    reach_days = (closes_s - 1) // DAY_S
    for start, end, offset in _offsets(window.zone, piece):
        shown_first, shown_end = start + offset, end + offset
        day_first = date.fromordinal(_EPOCH_ORDINAL + shown_first // DAY_S - reach_days)
        day_last = date.fromordinal(_EPOCH_ORDINAL + (shown_end - 1) // DAY_S)
        for day in _opening_days(window, day_first, day_last):
            midnight = (day - _EPOCH_ORDINAL) * DAY_S
            shown_from, shown_to = max(midnight + opens_s, shown_first), min(midnight + closes_s, shown_end)
            if shown_from < shown_to:
                yield day, shown_from - offset, shown_to - offset


def _opening_days(window: Window, first: date, last: date) -> Iterator[int]:
    """The days (proleptic ordinals) from `first` to `last`, both included, on which the window opens."""
    low = first if window.first is None else max(first, window.first)
    high = last if window.last is None else min(last, window.last)
    calendar = window.calendar
    for day in _days(low, high):
        if _admits(window.weekdays, day) and (calendar is None or date.fromordinal(day) in calendar.dates):
            yield day


def _days(first: date, last: date) -> range:
    return range(first.toordinal(), last.toordinal() + 1)


def _admits(weekdays: frozenset[int] | None, day: int) -> bool:
    return weekdays is None or (day - _EPOCH_ORDINAL + _EPOCH_WEEKDAY) % 7 in weekdays


@lru_cache(maxsize=_PIECES_REMEMBERED)
def _offsets(zone: tzinfo, piece: int) -> tuple[tuple[int, int, int], ...]:
    """The piece cut where the zone's clock is changed: (start, end, offset from UTC), all in seconds.

    Looks once in each day and then halves. Two changes of one zone within a day would be missed; in the tz database
    no two since 1970 are less than six days apart.
    """
    parts: list[tuple[int, int, int]] = []
    start = piece * _PIECE_S
    offset = _offset(zone, start)
    for day_start in range(start, start + _PIECE_S, DAY_S):
        later_offset = _offset(zone, day_start + DAY_S)
        part_start = parts[-1][1] if parts else start
        if later_offset != offset:
            parts.append((part_start, _changed_at(zone, day_start, day_start + DAY_S), offset))
            offset = later_offset
    end = start + _PIECE_S
    part_start = parts[-1][1] if parts else start
    return (*parts, (part_start, end, offset)) if part_start < end else tuple(parts)


def _changed_at(zone: tzinfo, low: int, high: int) -> int:
    """The UTC second after `low`, and at most `high`, at which the zone's clock is changed: once."""
    offset = _offset(zone, low)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _offset(zone, middle) == offset else (low, middle)
    return high


def _offset(zone: tzinfo, second: int) -> int:
    offset = _reading(zone, second).utcoffset()
    assert offset is not None, "a zone gives an offset to every instant"
    return offset // timedelta(seconds=1)


def _reading(zone: tzinfo, second: int) -> datetime:
    """What the zone's clock shows at a UTC second."""
    return (_EPOCH + timedelta(seconds=second)).astimezone(zone)


def _union(spans: Iterable[_Span]) -> list[_Span]:
    """The same seconds in ascending spans that do not touch."""
    merged: list[_Span] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _without(spans: list[_Span], holes: list[_Span]) -> Iterator[_Span]:
    """`spans` less `holes`; both ascending and disjoint, so is the result."""
    place = 0
    for start, end in spans:
        cursor = start
        while place < len(holes) and holes[place][1] <= cursor:
            place += 1
        at = place
        while at < len(holes) and holes[at][0] < end:
            if holes[at][0] > cursor:
                yield cursor, holes[at][0]
            cursor = holes[at][1]
            at += 1
        if cursor < end:
            yield cursor, end


def _named_dates(window: Window) -> Iterator[date]:
    if window.first is not None:
        yield window.first
    if window.last is not None:
        yield window.last
    if window.calendar is not None:
        yield from window.calendar.dates


def _check_year(day: date) -> None:
    if day.year not in YEARS:
        raise ConfigurationError(f"{day} is too far away", f"years {YEARS[0]} to {YEARS[-1]}")


def _alone(window: Window) -> Window:
    """The same stretch of time, as one that allows."""
    return Window(window.zone, window.from_s, window.to_s, window.weekdays, window.first, window.last, window.calendar)


def _name(window: Window) -> str:
    if window.text:
        return window.text
    return window.calendar.name if window.calendar is not None else "a window"
