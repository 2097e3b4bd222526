"""Goal: a window is open exactly when its zone's clock shows one of its readings, and every change is foretold exactly.

Method: known days of Europe/Berlin 2026 by hand; then Hypothesis draws windows, zones and instants near changes of the
clock, and a brute-force oracle asks, minute by minute, what the clock shows. The oracle shares no code with the model:
it knows no intervals, no offsets and no pieces.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import structs

from model.errors import ConfigurationError
from model.windows import (
    DAY_S,
    HORIZON_DAYS,
    Calendar,
    Window,
    contradiction,
    counted,
    is_open,
    may_make,
    never_opens,
    next_change,
    next_make,
    opened_on,
    opens,
    shown_first,
    why_closed,
    why_none_left,
)

SECOND = 10**9
HOUR = 3600
BERLIN = ZoneInfo("Europe/Berlin")
MONDAY, TUESDAY, FRIDAY = 0, 1, 4


def at(text: str, zone: tzinfo = UTC, fold: int = 0) -> int:
    """`2026-03-29 02:30` on the zone's clock as ns."""
    return int(datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).timestamp()) * SECOND


def changes(windows: tuple[Window, ...], start: int, end: int) -> list[int]:
    """All changes in (start, end), by asking again and again."""
    found: list[int] = []
    change = next_change(windows, start)
    while change is not None and change < end:
        found.append(change)
        change = next_change(windows, change)
    return found


def minutes_open(windows: tuple[Window, ...], start: int, end: int) -> int:
    return sum(is_open(windows, ns) for ns in range(start, end, 60 * SECOND))


# by hand


def test_without_windows_a_task_may_always_spawn_and_nothing_changes() -> None:
    assert is_open((), 0)
    assert next_change((), 0) is None
    assert never_opens(()) == ""


def test_a_window_opens_at_its_first_second_and_is_closed_at_its_last() -> None:
    windows = (Window(UTC, 8 * HOUR, 9 * HOUR),)
    assert not is_open(windows, at("2026-01-05 08:00") - 1)
    assert is_open(windows, at("2026-01-05 08:00"))
    assert is_open(windows, at("2026-01-05 09:00") - 1)
    assert not is_open(windows, at("2026-01-05 09:00"))


def test_the_next_change_is_exact_and_never_now() -> None:
    windows = (Window(UTC, 8 * HOUR, 9 * HOUR + 1),)
    assert next_change(windows, at("2026-01-05 07:59") + 123) == at("2026-01-05 08:00")
    assert next_change(windows, at("2026-01-05 08:00") - 1) == at("2026-01-05 08:00")
    assert next_change(windows, at("2026-01-05 08:00")) == at("2026-01-05 09:00:01")
    assert next_change(windows, at("2026-01-05 09:00:01") - 1) == at("2026-01-05 09:00:01")


@pytest.mark.parametrize(
    ("day", "minutes"),
    [("2026-03-28", 60), ("2026-03-29", 30), ("2026-03-30", 60), ("2026-10-24", 60), ("2026-10-25", 90)],
)
def test_the_hour_from_half_past_one_lasts_as_long_as_the_clock_shows_it(day: str, minutes: int) -> None:
    windows = (Window(BERLIN, 3 * HOUR // 2, 5 * HOUR // 2),)
    midnight, noon = at(f"{day} 00:00", BERLIN), at(f"{day} 12:00", BERLIN)
    assert minutes_open(windows, midnight, noon) == minutes


def test_a_repeated_hour_opens_the_window_twice() -> None:
    windows = (Window(BERLIN, 3 * HOUR // 2, 5 * HOUR // 2),)
    assert changes(windows, at("2026-10-25 00:00", BERLIN), at("2026-10-26 00:00", BERLIN)) == [
        at("2026-10-25 01:30", BERLIN),
        at("2026-10-25 02:30", BERLIN, fold=0),
        at("2026-10-25 02:00", BERLIN, fold=1),
        at("2026-10-25 02:30", BERLIN, fold=1),
    ]


def test_a_window_inside_the_skipped_hour_stays_closed_that_day() -> None:
    windows = (Window(BERLIN, 2 * HOUR, 3 * HOUR),)
    assert next_change(windows, at("2026-03-28 12:00", BERLIN)) == at("2026-03-30 02:00", BERLIN)


def test_over_midnight_the_day_of_opening_counts() -> None:
    windows = (Window(UTC, 18 * HOUR, 6 * HOUR, weekdays=frozenset({FRIDAY})),)
    friday = at("2026-01-09 00:00")
    assert changes(windows, friday, friday + 7 * DAY_S * SECOND) == [at("2026-01-09 18:00"), at("2026-01-10 06:00")]
    assert not is_open(windows, at("2026-01-09 03:00")), "Friday's early morning belongs to Thursday's window"


def test_equal_ends_last_for_a_day() -> None:
    windows = (Window(UTC, 6 * HOUR, 6 * HOUR, first=date(2026, 1, 5), last=date(2026, 1, 5)),)
    assert changes(windows, 0 + at("2025-12-01 00:00"), at("2027-01-01 00:00")) == [
        at("2026-01-05 06:00"),
        at("2026-01-06 06:00"),
    ]


def test_nights_that_touch_are_one_opening() -> None:
    windows = (Window(UTC, 18 * HOUR, 6 * HOUR), Window(UTC, 6 * HOUR, 7 * HOUR))
    assert next_change(windows, at("2026-01-05 19:00")) == at("2026-01-06 07:00")
    assert next_change((Window(UTC),), at("2026-01-05 19:00")) is None


def test_from_monday_noon_to_tuesday_one_o_clock() -> None:
    windows = (Window(UTC, 12 * HOUR, DAY_S + 13 * HOUR, weekdays=frozenset({MONDAY})),)
    monday = at("2026-01-05 00:00")
    assert changes(windows, monday, monday + 7 * DAY_S * SECOND) == [at("2026-01-05 12:00"), at("2026-01-06 13:00")]


def test_an_absolute_range_is_one_opening_of_many_days() -> None:
    day = date(2026, 1, 5)
    windows = (Window(BERLIN, 12 * HOUR, 200 * DAY_S, first=day, last=day),)
    assert changes(windows, at("2024-01-01 00:00"), at("2030-01-01 00:00")) == [
        at("2026-01-05 12:00", BERLIN),
        at("2026-07-24 00:00", BERLIN),
    ]


def test_an_exclusion_forbids_whatever_others_allow() -> None:
    holiday = Calendar("holidays", frozenset({date(2026, 1, 6)}))
    windows = (Window(UTC, 8 * HOUR, 18 * HOUR), Window(UTC, calendar=holiday, exclude=True))
    assert changes(windows, at("2026-01-05 09:00"), at("2026-01-07 09:00")) == [
        at("2026-01-05 18:00"),
        at("2026-01-07 08:00"),
    ]


def test_only_exclusions_leave_the_rest_open() -> None:
    windows = (Window(UTC, 8 * HOUR, 9 * HOUR, exclude=True),)
    assert is_open(windows, at("2026-01-05 07:00"))
    assert next_change(windows, at("2026-01-05 07:00")) == at("2026-01-05 08:00")


def test_a_change_at_the_seam_of_two_pieces_is_seen() -> None:
    seam_s = 28 * DAY_S * 750
    day = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seam_s)).date()
    windows = (Window(UTC, first=day),)
    assert not is_open(windows, seam_s * SECOND - 1)
    assert next_change(windows, seam_s * SECOND - 1) == seam_s * SECOND
    assert is_open(windows, seam_s * SECOND)


def test_a_first_day_beyond_the_horizon_is_no_change_yet() -> None:
    windows = (Window(UTC, first=date(2036, 1, 1)),)
    assert next_change(windows, at("2026-01-01 00:00")) is None
    assert next_change(windows, at("2036-01-01 00:00") - (HORIZON_DAYS - 1) * DAY_S * SECOND) == at("2036-01-01 00:00")


def test_a_day_that_the_zone_skipped_opens_nothing() -> None:
    apia = ZoneInfo("Pacific/Apia")
    skipped = date(2011, 12, 30)
    assert changes((Window(apia, first=skipped, last=skipped),), at("2011-12-01 00:00"), at("2012-02-01 00:00")) == []
    assert minutes_open((Window(apia, last=skipped),), at("2011-12-30 09:59"), at("2011-12-30 10:02")) == 1


def test_a_wall_clock_before_1970_is_answered() -> None:
    windows = (Window(UTC, 8 * HOUR, 9 * HOUR),)
    assert next_change(windows, at("1969-12-31 08:30")) == at("1969-12-31 09:00")
    assert next_change(windows, at("1969-12-31 23:30")) == at("1970-01-01 08:00")


# what never opens


@pytest.mark.parametrize(
    ("window", "clause"),
    [
        (Window(UTC, weekdays=frozenset()), "no weekday is left"),
        (Window(UTC, first=date(2026, 2, 1), last=date(2026, 1, 1)), "is after its last"),
        (
            Window(UTC, first=date(2026, 1, 5), last=date(2026, 1, 6), weekdays=frozenset({FRIDAY})),
            "none of its weekdays lies between 2026-01-05 and 2026-01-06",
        ),
        (Window(UTC, calendar=Calendar("runs", frozenset())), "calendar runs has no dates"),
        (
            Window(UTC, calendar=Calendar("runs", frozenset({date(2026, 1, 5)})), weekdays=frozenset({FRIDAY})),
            "calendar runs has no date that its weekdays and dates admit",
        ),
        (
            Window(UTC, calendar=Calendar("runs", frozenset({date(2026, 1, 5)})), first=date(2026, 1, 6)),
            "calendar runs has no date that its weekdays and dates admit",
        ),
    ],
)
def test_a_window_that_contradicts_itself_says_how(window: Window, clause: str) -> None:
    assert clause in contradiction(window)
    assert clause in never_opens((Window(UTC), window)), "also when another window would open"


def test_what_is_over_is_no_contradiction() -> None:
    assert never_opens((Window(UTC, first=date(1999, 1, 1), last=date(1999, 1, 2)),)) == ""


def test_what_was_open_before_the_earliest_date_that_is_named_counts() -> None:
    day = date(1970, 1, 1) + timedelta(days=28 * 750)
    excluded = Window(UTC, calendar=Calendar("holidays", frozenset({day})), exclude=True)
    assert never_opens((Window(UTC, last=day), excluded)) == ""


def test_an_exclusion_without_dates_harms_nothing() -> None:
    assert never_opens((Window(UTC, calendar=Calendar("holidays", frozenset()), exclude=True),)) == ""


@pytest.mark.parametrize(
    "windows",
    [
        (Window(UTC, exclude=True),),
        (Window(UTC, 8 * HOUR, 9 * HOUR), Window(UTC, 7 * HOUR, 10 * HOUR, exclude=True)),
        (
            Window(UTC, calendar=Calendar("runs", frozenset({date(2026, 1, 5), date(2026, 9, 5)}))),
            Window(UTC, calendar=Calendar("holidays", frozenset({date(2026, 1, 5), date(2026, 9, 5)})), exclude=True),
        ),
    ],
)
def test_exclusions_that_cover_everything_are_found(windows: tuple[Window, ...]) -> None:
    assert never_opens(windows) == "what is excluded covers every opening"


def test_an_opening_that_only_daylight_saving_leaves_is_found() -> None:
    berlin_night = Window(BERLIN, 3 * HOUR // 2, 5 * HOUR // 2)
    standard_time = Window(UTC, HOUR // 2, 3 * HOUR // 2, exclude=True)
    assert never_opens((berlin_night, standard_time)) == "", "in summer it is open at 23:30-00:30 UTC"


@pytest.mark.parametrize(
    "make",
    [
        lambda: Window(UTC, from_s=DAY_S),
        lambda: Window(UTC, from_s=-1),
        lambda: Window(UTC, to_s=-1),
        lambda: Window(UTC, to_s=36_601 * DAY_S),
        lambda: Window(UTC, weekdays=frozenset({7})),
        lambda: Window(UTC, first=date(1, 1, 1)),
        lambda: Calendar("far", frozenset({date(9999, 1, 1)})),
    ],
)
def test_numbers_out_of_range_are_refused_with_a_way_out(make: object) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make()  # type: ignore[operator]
    assert caught.value.hint


# for people


def test_a_closed_task_says_outside_what_it_is_and_when_it_opens() -> None:
    windows = (Window(BERLIN, 18 * HOUR, 6 * HOUR, frozenset({TUESDAY}), text="tue 18:00-06:00"),)
    monday = at("2026-07-06 12:00", BERLIN)
    assert why_closed(windows, monday) == "outside tue 18:00-06:00"
    assert opens(windows, monday) == "opens Tue 18:00"
    assert opens(windows, at("2026-07-08 06:00", BERLIN)) == "opens 2026-07-14 18:00"


def test_an_exclusion_is_named_before_the_windows_that_would_allow() -> None:
    holidays = Window(UTC, calendar=Calendar("holidays", frozenset({date(2026, 1, 6)})), exclude=True)
    windows = (Window(UTC, 8 * HOUR, 9 * HOUR, text="8-9"), holidays)
    assert why_closed(windows, at("2026-01-06 08:30")) == "excluded by holidays"
    assert why_closed(windows, at("2026-01-07 07:30")) == "outside 8-9"
    assert why_closed(windows, at("2026-01-07 08:30")) == ""
    assert opens(windows, at("2026-01-07 08:30")) == ""


def test_what_will_not_open_says_so() -> None:
    windows = (Window(UTC, last=date(2020, 1, 1)),)
    assert opens(windows, at("2026-01-01 00:00")) == "does not open within 5 years"


# against the oracle

ZONES = ("UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/New_York", "Asia/Kathmandu", "Africa/Casablanca")
CLOCK_CHANGES = (
    "2026-03-29 01:00",  # Europe, forward
    "2026-10-25 01:00",  # Europe, back
    "2026-04-04 15:00",  # Lord Howe, back by half an hour
    "2026-10-03 15:30",  # Lord Howe, forward by half an hour
    "2026-03-08 07:00",  # New York, forward
    "2026-11-01 06:00",  # New York, back
    "2026-02-15 02:00",  # Casablanca, back for Ramadan
    "2026-03-22 02:00",  # Casablanca, forward
    "2026-07-01 00:00",  # nobody
)


def oracle_is_open(windows: tuple[Window, ...], second: int) -> bool:
    """By the words of the rule, looking at one instant."""

    def shown(window: Window) -> bool:
        clock = datetime.fromtimestamp(second, window.zone)
        since_midnight = clock.hour * HOUR + clock.minute * 60 + clock.second
        for days_ago in range(10):
            day = clock.date() - timedelta(days=days_ago)
            age = since_midnight + days_ago * DAY_S
            lasts_to = window.to_s + (DAY_S if window.to_s <= window.from_s else 0)
            if (
                window.from_s <= age < lasts_to
                and (window.weekdays is None or day.weekday() in window.weekdays)
                and (window.first is None or window.first <= day)
                and (window.last is None or day <= window.last)
                and (window.calendar is None or day in window.calendar.dates)
            ):
                return True
        return False

    allowing = [window for window in windows if not window.exclude]
    return (not allowing or any(map(shown, allowing))) and not any(shown(w) for w in windows if w.exclude)


# jobs counted in each opening


def spend(windows: tuple[Window, ...], times: list[int]) -> dict[str, tuple[int, int]]:
    """What is counted after a job at each of these times."""
    counts: dict[str, tuple[int, int]] = {}
    for ns in times:
        counts.update(counted(windows, ns, counts))
    return counts


def test_a_window_that_had_its_jobs_is_closed_until_its_next_opening() -> None:
    windows = (Window(UTC, 6 * HOUR, 7 * HOUR, text="6-7", jobs_max=2),)
    counts = spend(windows, [at("2026-01-05 06:00")])
    assert may_make(windows, at("2026-01-05 06:10"), counts)
    counts |= counted(windows, at("2026-01-05 06:10"), counts)
    assert not may_make(windows, at("2026-01-05 06:20"), counts)
    assert why_none_left(windows, at("2026-01-05 06:20"), counts) == "6-7 has had its 2 jobs"
    assert next_make(windows, at("2026-01-05 06:20"), counts) == at("2026-01-06 06:00")
    assert may_make(windows, at("2026-01-06 06:00"), counts)


def test_openings_that_touch_are_counted_one_by_one() -> None:
    windows = (Window(UTC, jobs_max=1),)  # the whole day, every day: it never closes
    counts = spend(windows, [at("2026-01-05 18:00")])
    assert not may_make(windows, at("2026-01-05 23:59"), counts)
    assert next_make(windows, at("2026-01-05 23:59"), counts) == at("2026-01-06 00:00")


def test_a_window_that_had_its_jobs_forbids_nothing_to_others() -> None:
    early, late = Window(UTC, 6 * HOUR, 8 * HOUR, jobs_max=1), Window(UTC, 7 * HOUR, 9 * HOUR, jobs_max=2)
    counts = spend((early, late), [at("2026-01-05 06:30")])
    assert not may_make((early, late), at("2026-01-05 06:40"), counts)
    assert next_make((early, late), at("2026-01-05 06:40"), counts) == at("2026-01-05 07:00")
    assert may_make((early, late), at("2026-01-05 07:00"), counts)
    unlimited = (early, Window(UTC, 6 * HOUR, 7 * HOUR))
    assert may_make(unlimited, at("2026-01-05 06:40"), spend(unlimited, [at("2026-01-05 06:30")]))


def test_a_job_counts_in_every_window_that_is_open_and_in_no_other() -> None:
    windows = tuple(Window(UTC, hour * HOUR, (hour + 2) * HOUR, jobs_max=5) for hour in (6, 7, 9))
    counts = spend(windows, [at("2026-01-05 07:30"), at("2026-01-05 07:40"), at("2026-01-05 08:30")])
    assert sorted(jobs for _, jobs in counts.values()) == [2, 3]


def test_the_next_time_is_not_inside_an_exclusion() -> None:
    windows = (Window(UTC, 6 * HOUR, 8 * HOUR, jobs_max=1), Window(UTC, 5 * HOUR, 7 * HOUR, exclude=True))
    counts = spend(windows, [at("2026-01-05 07:30")])
    assert next_make(windows, at("2026-01-05 07:40"), counts) == at("2026-01-06 07:00")


def test_what_opens_only_once_has_no_next_time() -> None:
    day = date(2026, 1, 5)
    windows = (Window(UTC, 6 * HOUR, 7 * HOUR, first=day, last=day, jobs_max=1),)
    assert next_make(windows, at("2026-01-05 06:40"), spend(windows, [at("2026-01-05 06:30")])) is None


def test_an_hour_that_the_clock_repeats_is_the_same_opening() -> None:
    windows = (Window(BERLIN, 3 * HOUR // 2, 5 * HOUR // 2, jobs_max=1),)
    counts = spend(windows, [at("2026-10-25 01:45", BERLIN)])
    again = at("2026-10-25 02:15", BERLIN, fold=1)
    assert is_open(windows, again) and not may_make(windows, again, counts)
    assert next_make(windows, at("2026-10-25 01:50", BERLIN), counts) == at("2026-10-26 01:30", BERLIN)


def test_a_window_over_several_days_is_one_opening() -> None:
    window = Window(UTC, 12 * HOUR, 3 * DAY_S, weekdays=frozenset({MONDAY}), jobs_max=1)
    monday = date(2026, 1, 5).toordinal()
    assert opened_on(window, at("2026-01-05 11:59")) is None
    assert [opened_on(window, at(f"2026-01-0{day} 12:00")) for day in (5, 6, 7)] == [monday] * 3
    assert opened_on(window, at("2026-01-08 00:00")) is None


def test_another_text_or_limit_does_not_begin_a_new_count() -> None:
    counts = spend((Window(UTC, 6 * HOUR, 7 * HOUR, text="a", jobs_max=1),), [at("2026-01-05 06:30")])
    assert not may_make((Window(UTC, 6 * HOUR, 7 * HOUR, text="b", jobs_max=1),), at("2026-01-05 06:40"), counts)
    assert may_make((Window(UTC, 6 * HOUR, 7 * HOUR, jobs_max=2),), at("2026-01-05 06:40"), counts)
    with pytest.raises(ConfigurationError):
        Window(UTC, jobs_max=-1)


@pytest.mark.parametrize(
    ("reading", "instant"),
    [
        ("2026-03-29 01:59:59", "2026-03-29 00:59:59"),
        ("2026-03-29 02:00", "2026-03-29 01:00"),  # from here on the clock jumps over it
        ("2026-03-29 02:59:59", "2026-03-29 01:00"),
        ("2026-03-29 03:00", "2026-03-29 01:00"),
        ("2026-03-29 03:30", "2026-03-29 01:30"),
        ("2026-10-25 02:30", "2026-10-25 00:30"),  # the first of two
    ],
)
def test_a_reading_that_the_clock_skips_is_the_instant_of_its_jump(reading: str, instant: str) -> None:
    shown = shown_first(datetime.fromisoformat(reading).replace(tzinfo=BERLIN))
    assert shown.astimezone(UTC) == datetime.fromisoformat(instant).replace(tzinfo=UTC)


MINUTE = st.integers(0, 24 * 60 - 1).map(lambda minute: minute * 60)


@st.composite
def cases(draw: st.DrawFn) -> tuple[tuple[Window, ...], int]:
    """Up to four windows, and a second within two days of an instant at which some zone changes its clock."""
    start = at(draw(st.sampled_from(CLOCK_CHANGES))) // SECOND
    near = datetime.fromtimestamp(start, UTC).date()
    days = st.integers(-4, 4).map(lambda shift: near + timedelta(days=shift))
    windows = st.builds(
        Window,
        zone=st.sampled_from(ZONES).map(ZoneInfo),
        from_s=MINUTE,
        to_s=MINUTE | st.just(DAY_S) | MINUTE.map(lambda s: s + DAY_S) | MINUTE.map(lambda s: s + 3 * DAY_S),
        weekdays=st.none() | st.frozensets(st.integers(0, 6)),
        first=st.none() | days,
        last=st.none() | days,
        calendar=st.none() | st.builds(Calendar, st.just("calendar"), st.frozensets(days)),
        exclude=st.booleans(),
    )
    return tuple(draw(st.lists(windows, min_size=1, max_size=4))), start + draw(st.integers(-2 * DAY_S, DAY_S))


@settings(deadline=None, max_examples=150)
@given(cases())
@example(((Window(BERLIN, 3 * HOUR // 2, 5 * HOUR // 2),), at("2026-10-25 00:30") // SECOND))
def test_it_is_open_in_exactly_the_minutes_of_the_oracle(case: tuple[tuple[Window, ...], int]) -> None:
    windows, second = case
    first = second - second % 60
    for minute in range(first, first + DAY_S // 2, 60):
        assert is_open(windows, minute * SECOND) == oracle_is_open(windows, minute), datetime.fromtimestamp(minute, UTC)


@settings(deadline=None, max_examples=150)
@given(cases())
def test_the_next_change_is_the_first_one_that_the_oracle_sees(case: tuple[tuple[Window, ...], int]) -> None:
    windows, second = case
    state = oracle_is_open(windows, second)
    assert is_open(windows, second * SECOND) == state
    change = next_change(windows, second * SECOND)
    looked_to = second - second % 60 + DAY_S // 2
    expected = next(
        (
            minute
            for minute in range(second - second % 60 + 60, looked_to, 60)
            if oracle_is_open(windows, minute) != state
        ),
        None,
    )
    if expected is not None:
        assert change == expected * SECOND
    else:
        assert change is None or change >= looked_to * SECOND
    if change is not None:
        assert oracle_is_open(windows, change // SECOND) != state
        assert oracle_is_open(windows, change // SECOND - 1) == state


@settings(deadline=None, max_examples=150)
@given(cases())
def test_an_opening_lasts_exactly_while_its_window_is_open_and_the_next_one_begins_when_foretold(
    case: tuple[tuple[Window, ...], int],
) -> None:
    windows, second = case
    window = structs.replace(windows[0], exclude=False, jobs_max=1)
    first = second - second % 60
    counts = counted((window,), first * SECOND, {})
    seen = [opened_on(window, minute * SECOND) for minute in range(first, first + DAY_S // 2, 60)]
    assert [day is not None for day in seen] == [
        oracle_is_open((window,), minute) for minute in range(first, first + DAY_S // 2, 60)
    ]
    foretold = next_make((window,), first * SECOND, counts)
    expected = next(
        (index for index, day in enumerate(seen) if index and day is not None and day != seen[0]),
        None,
    )
    if expected is not None and seen[0] is not None:
        assert foretold == (first + 60 * expected) * SECOND


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(CLOCK_CHANGES), st.sampled_from(ZONES), st.integers(-DAY_S // 60, DAY_S // 60))
def test_a_reading_is_first_shown_in_the_minute_that_the_oracle_sees(change: str, zone: str, shift: int) -> None:
    around = at(change) // SECOND
    reading = datetime.fromtimestamp(around, UTC).replace(tzinfo=ZoneInfo(zone)) + timedelta(minutes=shift)
    minutes = (datetime.fromtimestamp(second, UTC) for second in range(around - 3 * DAY_S, around + 3 * DAY_S, 60))
    expected = next(one for one in minutes if one.astimezone(ZoneInfo(zone)) >= reading)
    assert shown_first(reading).astimezone(UTC) == expected
