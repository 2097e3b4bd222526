"""Goal: durations, times and foreign text look the same everywhere and never command a terminal.

Method: tables of examples, and a property over all of Unicode for the cleaning.
"""

from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as some

from shell.expectations import figure_text
from shell.wording import (
    ROUNDED,
    ago,
    clean,
    coming,
    count,
    cut,
    duration,
    nearest,
    quantile,
    share_text,
    size,
    sparkline,
    thousands,
    width,
)
from sim.figures import Unit

MS, SECOND, MINUTE, HOUR, DAY = 10**6, 10**9, 60 * 10**9, 3600 * 10**9, 86400 * 10**9


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0 ms"),
        (999 * MS, "999 ms"),
        (SECOND, "1 s"),
        (1_500 * MS, "1.5 s"),
        (12 * SECOND, "12 s"),
        (119 * SECOND, "119 s"),
        (26 * MINUTE, "26 min"),
        (2 * HOUR + 5 * MINUTE, "2 h 05"),
        (3 * DAY + 4 * HOUR + 12 * MINUTE, "3d 04:12"),
        (-SECOND, "-1 s"),
    ],
)
def test_a_duration_has_two_parts_at_most(ns: int, text: str) -> None:
    assert duration(ns) == text


def test_what_happened_is_told_as_long_ago_and_later_as_a_time() -> None:
    now = int(time.mktime((2026, 11, 24, 14, 30, 0, 0, 0, -1))) * SECOND
    assert [ago(now - ns, now) for ns in (0, 12 * SECOND, 90 * MINUTE)] == ["now", "12 s ago", "90 min ago"]
    assert ago(now - 3 * HOUR, now) == "11:30"
    assert ago(now - 2 * DAY, now) == "Sun 14:30"
    assert ago(now - 60 * DAY, now) == "2026-09-25"
    assert ago(None, now) == "-"


def test_what_will_happen_is_told_as_a_wait_and_later_as_a_time() -> None:
    now = int(time.mktime((2026, 11, 24, 14, 30, 0, 0, 0, -1))) * SECOND
    assert [coming(now + ns, now) for ns in (-SECOND, 0, 3 * SECOND, 4 * MINUTE)] == [
        "now",
        "now",
        "in 3 s",
        "in 4 min",
    ]
    assert coming(now + 4 * HOUR, now) == "18:30"
    assert coming(now + DAY, now) == "Wed 14:30"
    assert coming(None, now) == "-"


@pytest.mark.parametrize(
    ("foreign", "shown"),
    [
        ("plain text", "plain text"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("two\nlines\r", "two\\nlines\\r"),
        ("\x9b2J", "\\x9b2J"),
        ("abc\u202etxt.exe", "abc\\u202etxt.exe"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("no utf-8: \udcff", "no utf-8: \\xff"),
        ("Zürich 星", "Zürich 星"),
    ],
)
def test_foreign_text_cannot_command_the_terminal(foreign: str, shown: str) -> None:
    assert clean(foreign) == shown


@given(some.text())
def test_nothing_that_a_terminal_obeys_is_left_in_a_cleaned_text(foreign: str) -> None:
    shown = clean(foreign)
    assert all(unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Zl", "Zp"} for character in shown)
    assert clean(shown) == shown


@given(some.text(), some.integers(min_value=1, max_value=40))
def test_a_cut_text_fits(text: str, columns: int) -> None:
    shown = cut(clean(text), columns)
    assert width(shown) <= columns
    assert width(clean(text)) > columns or shown == clean(text)


def test_wide_characters_take_two_columns_and_combining_ones_none() -> None:
    assert (width("星"), width("e\u0301"), width("abc")) == (2, 1, 3)
    assert cut("星星星", 5) == "星星…"


def test_numbers_are_grouped_when_they_are_long() -> None:
    assert (thousands(9999), thousands(12345), count(1, "job"), count(0, "job")) == (
        "9999",
        "12 345",
        "1 job",
        "0 jobs",
    )
    assert (size(512), size(4100), size(41_000_000), size(999_999)) == ("512 B", "4.1 kB", "41 MB", "1.0 MB")


@given(some.floats(0.0, 1.0), some.sampled_from((".0f", ".1f", ".2f", ".3g", ".4g")))
def test_only_all_of_it_is_a_hundred_per_cent(share: float, form: str) -> None:
    text = share_text(share, form)
    assert text.endswith(" %")
    assert (float(text[:-2]) == 100.0) == (1.0 - share <= ROUNDED)
    assert abs(float(text[:-2]) - 100 * share) <= 0.5, "it is rounded, and nothing else"


def test_availability_has_as_many_nines_as_it_has() -> None:
    assert [share_text(share, ".1f") for share in (1.0, 0.9999942, 0.9999, 0.999, 0.5)] == [
        "100.0 %", "99.99942 %", "99.99 %", "99.9 %", "50.0 %",
    ]  # fmt: skip
    assert figure_text(0.99999, Unit.SHARE) == "99.999 %"


def test_a_quantile_is_the_value_that_so_many_do_not_pass() -> None:
    ordered = list(range(1, 101))
    assert [quantile(ordered, share) for share in (0.5, 0.95, 1.0)] == [50, 95, 100]
    assert (quantile([7], 0.95), quantile([], 0.5)) == (7, 0)


def test_a_sparkline_reaches_its_top_only_at_the_largest_value() -> None:
    assert sparkline([0, 1, 4, 8]) == " ▁▄█"
    assert sparkline([]) == ""


def test_a_near_miss_is_named_and_a_far_one_is_not() -> None:
    assert nearest("wrap", ["warp", "copy"]) == ", did you mean warp?"
    assert nearest("xyzzy", ["warp", "copy"]) == ""
