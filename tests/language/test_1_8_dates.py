"""The command date, on a clock that the test sets.

Method: the wall time is given to the language; the zone is set by TZ for the tests of local time.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from model.job import SECOND
from shell.language.calls import Failure
from tests.language.ordinary_world import World

WALL_SECONDS = 1_772_712_305
"""Thursday 2026-03-05 12:05:05 UTC."""


@pytest.fixture
def world() -> World:
    world = World()
    world.language.wall_offset_ns = WALL_SECONDS * SECOND
    world.language.now_ns = 250_000_400
    return world


@pytest.fixture
def honolulu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "HST10")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("honolulu")
def test_date_is_the_local_time_as_text(world: World) -> None:
    assert world.call("date")
    assert world.call("date", "-var", "now")
    assert world.out == "Thu Mar  5 02:05:05 2026\n"
    assert world.variables["now"] == "Thu Mar  5 02:05:05 2026"


def test_seconds_are_those_since_1970_with_microseconds(world: World) -> None:
    assert world.value("date", "-seconds") == "1772712305.250000"


def test_a_reference_time_makes_rates_measurable(world: World) -> None:
    start = world.value("date", "-seconds")
    world.language.now_ns += 1_500_000
    assert world.value("date", "-seconds", "-reftime", start) == "0.001500"
    assert world.value("date", "-reftime", start) == "0.001500"


def test_a_reference_time_may_lie_ahead(world: World) -> None:
    assert world.value("date", "-seconds", "-reftime", "1772712306") == "-0.750000"


@pytest.mark.parametrize("word", ["yesterday", "nan", "snan", "inf", "1e999999999", "-1e13"])
def test_a_reference_time_that_is_none_is_refused(world: World, word: str) -> None:
    with pytest.raises(Failure, match="date: -reftime"):
        world.call("date", "-seconds", "-reftime", word)


def test_other_words_are_refused(world: World) -> None:
    with pytest.raises(Failure, match="USAGE: date"):
        world.call("date", "tomorrow")
