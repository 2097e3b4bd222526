"""Time ranges of tasks: `trange START STOP [-nmax N] [-exclude]`.

Goal: each form of an end, ends that are included, ranges that wrap, exclusion, and what is refused.
Method: words are read into a window, which is asked at chosen instants (in UTC) whether it is open; a second oracle
for the repeating forms counts seconds and knows no windows.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.windows import Window, is_open
from shell.language.ranges import RangeError, parse_range

SECOND = 10**9
NOW = "2026-11-25 18:30:00"  # a Wednesday
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * SECOND


def trange(*words: str) -> Window:
    return parse_range(words, at(NOW))


def is_open_at(window: Window, text: str) -> bool:
    return is_open((window,), at(text))


@pytest.mark.parametrize(
    ("words", "inside", "outside"),
    [
        (
            "6:00:00 7:00:00",
            ["2026-11-25 06:00:00", "2026-11-26 07:00:00"],
            ["2026-11-25 05:59:59", "2026-11-25 07:00:01"],
        ),
        ("06:00 7:00", ["2026-11-25 06:30"], ["2026-11-25 07:00:01"]),
        ("23:00 1:00", ["2026-11-25 23:00", "2026-11-26 00:00", "2026-11-26 01:00:00"], ["2026-11-26 01:00:01"]),
        ("7:00 7:00", ["2026-11-25 07:00:00"], ["2026-11-25 07:00:01"]),
        ("0:00 24:00", ["2026-11-25 00:00", "2026-11-25 23:59:59"], []),
        ("00:00:00 23:59:59", ["2026-11-25 00:00", "2026-11-25 23:59:59"], []),
        ("22:00 24:00", ["2026-11-25 23:59:59", "2026-11-26 00:00:00"], ["2026-11-26 00:00:01"]),
        ("Mon Fri", ["2026-11-23 00:00", "2026-11-27 23:59:59"], ["2026-11-28 00:00", "2026-11-22 23:59:59"]),
        ("Sat Sun", ["2026-11-28 00:00", "2026-11-29 23:59:59"], ["2026-11-27 23:59:59", "2026-11-30 00:00"]),
        ("sun monday", ["2026-11-29 00:00", "2026-11-30 23:59:59"], ["2026-11-28 12:00", "2026-12-01 00:00"]),
        ("Wed Wed", ["2026-11-25 00:00", "2026-11-25 23:59:59"], ["2026-11-26 00:00"]),
        ("Mon Sun", ["2026-11-25 00:00", "2026-11-29 23:59:59"], []),
        ("Tue Mon", ["2026-11-23 12:00", "2026-11-24 00:00"], []),
        (
            "Mon@12 TUESDAY@13:30",
            ["2026-11-23 12:00", "2026-11-24 13:30:00"],
            ["2026-11-23 11:59", "2026-11-24 13:30:01"],
        ),
        (
            "Fri@18:00:00 Mon@6",
            ["2026-11-27 18:00", "2026-11-30 06:00:00"],
            ["2026-11-30 06:00:01", "2026-11-27 17:59"],
        ),
        (
            "2026/11/25 2026/11/26",
            ["2026-11-25 00:00", "2026-11-26 23:59:59"],
            ["2026-11-27 00:00", "2027-11-25 12:00"],
        ),
        (
            "2026-11-25,18:00:00 2026-11-27,06:00:00",
            ["2026-11-25 18:00", "2026-11-27 06:00:00"],
            ["2026-11-27 06:00:01"],
        ),
        ("2026/11/25,18 2026/11/25,19:30", ["2026-11-25 18:00", "2026-11-25 19:30:00"], ["2026-11-25 19:30:01"]),
        ("today today", ["2026-11-25 00:00", "2026-11-25 23:59:59"], ["2026-11-26 00:00"]),
        ("today,20:00 today,21:00:00", ["2026-11-25 20:00", "2026-11-25 21:00:00"], ["2026-11-26 20:30"]),
        ("now 2h", ["2026-11-25 18:30:00", "2026-11-25 20:30:00"], ["2026-11-25 18:29:59", "2026-11-25 20:30:01"]),
        ("-30m 1.5d", ["2026-11-25 18:00:00", "2026-11-27 06:30:00"], ["2026-11-25 17:59:59", "2026-11-27 06:30:01"]),
        ("10s 20s", ["2026-11-25 18:30:10"], ["2026-11-25 18:30:09", "2026-11-25 18:30:21"]),
        (
            "2461369.5j 61370J",
            ["2026-11-25 00:00", "2026-11-26 00:00:00"],
            ["2026-11-24 23:59:59", "2026-11-26 00:00:01"],
        ),
    ],
)
def test_a_range_is_open_from_its_start_to_its_stop_both_included(
    words: str, inside: list[str], outside: list[str]
) -> None:
    window = trange(*words.split())
    assert [is_open_at(window, when) for when in inside] == [True] * len(inside)
    assert [is_open_at(window, when) for when in outside] == [False] * len(outside)
    assert window.text == words


@given(st.integers(0, 86_399), st.integers(0, 86_399), st.integers(0, 10**6))
def test_a_time_of_day_counts_seconds_round_the_clock(start: int, stop: int, then: int) -> None:
    window = trange(clock(start), clock(stop))
    now = then % 86_400
    inside = start <= now <= stop if start <= stop else now >= start or now <= stop
    assert is_open((window,), then * SECOND) is (inside or (stop + 1) % 86_400 == start)


@given(st.integers(0, 7 * 86_400 - 1), st.integers(0, 7 * 86_400 - 1), st.integers(0, 10**7))
def test_a_day_of_the_week_counts_seconds_round_the_week(start: int, stop: int, then: int) -> None:
    window = trange(*(f"{DAYS[second // 86_400]}@{clock(second % 86_400)}" for second in (start, stop)))
    now = (then + 3 * 86_400) % (7 * 86_400)  # 1970 began on a Thursday
    inside = start <= now <= stop if start <= stop else now >= start or now <= stop
    assert is_open((window,), then * SECOND) is (inside or (stop + 1) % (7 * 86_400) == start)


def clock(second: int) -> str:
    return f"{second // 3600}:{second // 60 % 60:02d}:{second % 60:02d}"


def test_an_excluding_range_forbids_inside() -> None:
    window = trange("12:00", "13:00", "-exclude")
    assert not is_open_at(window, "2026-11-25 12:30")
    assert is_open_at(window, "2026-11-25 14:00")


def test_two_ranges_add_up_and_an_excluding_one_cuts_out() -> None:
    windows = (trange("6:00", "9:00"), trange("18:00", "20:00"), trange("Wed", "Wed", "-exclude"))
    assert is_open(windows, at("2026-11-24 07:00")) and is_open(windows, at("2026-11-24 19:00"))
    assert not is_open(windows, at("2026-11-24 12:00")) and not is_open(windows, at("2026-11-25 07:00"))


def test_the_most_jobs_of_an_opening_are_read_wherever_the_option_stands() -> None:
    assert trange("6:00", "7:00", "-nmax", "3").jobs_max == 3
    assert trange("-nmax", "3", "6:00", "7:00").jobs_max == 3
    assert trange("6:00", "7:00").jobs_max == 0
    assert trange("6:00", "7:00", "-nmax", "3", "-exclude").jobs_max == 0  # it has no jobs to count


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("Mon 7:00", "Mon is a day of the week, 7:00 a time of day"),
        ("now 7:00", "now is a date, 7:00 a time of day"),
        ("6:00", "a start and a stop, not 1"),
        ("6:00 7:00 8:00", "a start and a stop, not 3"),
        ("", "a start and a stop, not 0"),
        ("Mox Tue", "'Mox' is no end of a time range"),
        ("25:00 26:00", "25:00 is no time of a day"),
        ("6:60 7:00", "6:60 is no time of a day"),
        ("24:00:01 25:00", "24:00:01 is no time of a day"),
        ("2026/02/30 2026/03/01", "2026/02/30 is no date"),
        ("2026/03/02 2026/03/01", "ends before it starts"),
        ("1900/01/01 2199/01/01", "lasts longer"),
        ("1e400s 2s", "'1e400s' is no end"),
        (f"now {'9' * 400}d", "too far away"),
        ("6:00 7:00 -nmax", "-nmax takes a whole number"),
        ("6:00 7:00 -nmax -2", "-nmax takes a whole number"),
        ("6:00 7:00 -nmax many", "-nmax takes a whole number"),
        ("6:00 7:00 -include", "trange has no option -include"),
    ],
)
def test_what_is_no_range_is_refused_with_a_sentence(words: str, sentence: str) -> None:
    with pytest.raises(RangeError) as error:
        trange(*words.split())
    assert sentence in str(error.value)


@given(
    st.lists(st.one_of(st.text(max_size=12), st.sampled_from(["Mon", "6:00", "now", "1e9d", "-nmax", "5"])), max_size=5)
)
def test_any_words_are_a_range_or_are_refused(words: list[str]) -> None:
    try:
        window = parse_range(words, at(NOW))
    except RangeError:
        return
    is_open((window,), at(NOW))
