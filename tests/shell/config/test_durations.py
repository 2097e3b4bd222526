"""Durations as people write them. Method: examples by table, and the writer and the reader against each other."""

from __future__ import annotations

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shell.durations import MAXIMUM_NS, PATTERN, format_duration, parse_duration

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("text", "expected_ns"),
    [
        ("10m", 600 * SECOND),
        ("1h30m", 5400 * SECOND),
        ("500ms", SECOND // 2),
        ("1.5s", 3 * SECOND // 2),
        ("2d", 172_800 * SECOND),
        ("0s", 0),
        ("1h 5m", 3900 * SECOND),
        ("0.1s", SECOND // 10),
        ("7us", 7000),
    ],
)
def test_a_duration_is_read_exactly(text: str, expected_ns: int) -> None:
    assert parse_duration(text) == expected_ns
    assert re.search(PATTERN, text)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("10", "for seconds write 10s"),
        ("1.5", "for seconds write 1.5s"),
        ("-3", "not negative"),
        ("", "but is empty"),
        ("10x", "such as 10m"),
        ("m", "such as 10m"),
        ("-10m", "such as 10m"),
        ("10m1h", "from large to small"),
        ("1s1s", "each once"),
        ("0.5ns", "whole number of nanoseconds"),
        ("99999999d", "at most"),
        ("1e3s", "such as 10m"),
        ("\u0661s", "such as 10m"),
        ("1h" * 40, "such as 10m"),
    ],
)
def test_what_is_no_duration_is_refused_in_plain_words(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        parse_duration(text)


@given(st.integers(0, MAXIMUM_NS))
def test_what_is_written_is_read_back(duration_ns: int) -> None:
    assert parse_duration(format_duration(duration_ns)) == duration_ns


@given(st.text(max_size=30))
def test_any_text_is_a_duration_or_a_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert 0 <= parse_duration(text) <= MAXIMUM_NS
