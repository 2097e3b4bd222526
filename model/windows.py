"""Windows: when, by the wall clock, a task may spawn jobs."""

from __future__ import annotations

from datetime import date, tzinfo

from msgspec import Struct


class Calendar(Struct, frozen=True):
    """A named set of dates (`calendars:` in the configuration)."""

    name: str
    dates: frozenset[date]


class Window(Struct, frozen=True):
    """A stretch of the day on some days; `from_s`, `to_s` in seconds after local midnight (0..86400).

    `to_s <= from_s` runs over midnight and belongs to the day on which it opens.
    """

    zone: tzinfo
    from_s: int = 0
    to_s: int = 86400
    weekdays: frozenset[int] | None = None
    """0 Monday .. 6 Sunday; None: every day"""
    first: date | None = None
    last: date | None = None
    calendar: Calendar | None = None
    exclude: bool = False
    text: str = ""
    """as written, for people"""


def is_open(windows: tuple[Window, ...], wall_ns: int) -> bool:
    """Whether a task with these windows may spawn at this wall time."""
    raise NotImplementedError


def next_change(windows: tuple[Window, ...], wall_ns: int) -> int | None:
    """The first wall time after `wall_ns` at which `is_open` changes; None: never (within `HORIZON_DAYS`)."""
    raise NotImplementedError
