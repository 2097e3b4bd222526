"""Goal: intervals hold what they promise.

Method: quantiles against published tables; intervals of many drawn samples, which must hold the truth as often as they
say (fixed seeds); small samples worked out by hand.
"""

from __future__ import annotations

from collections.abc import Callable
from math import exp
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.confidence import (
    beyond_noise,
    mean_interval,
    mean_of,
    median_interval,
    share_interval,
    student_interval,
    summary,
    t_quantile,
)


@pytest.mark.parametrize(
    ("freedom", "value"),
    [(1, 12.7062), (2, 4.3027), (4, 2.7764), (10, 2.2281), (30, 2.0423), (100, 1.9840), (1000, 1.9623)],
)
def test_students_t_is_that_of_the_tables(freedom: int, value: float) -> None:
    assert t_quantile(0.975, freedom) == pytest.approx(value, abs=5e-5)


def test_far_out_in_the_tail_too() -> None:
    assert t_quantile(0.9995, 9) == pytest.approx(4.7809, abs=5e-4)


def test_a_small_sample_by_hand() -> None:
    found = summary([1.0, 2.0, 3.0, 6.0])
    assert (found.median, found.low, found.high, found.mean) == (2.5, 1.0, 6.0, 3.0)
    error, reach = (14 / 3) ** 0.5 / 2, 3.1824463  # s / sqrt(4), t(3)
    plain = student_interval([1.0, 2.0, 3.0, 6.0])
    assert plain is not None and found.interval is not None
    assert (plain.low, plain.high) == pytest.approx((3 - reach * error, 3 + reach * error))
    skew = (-8 - 1 + 0 + 27) / 4 / (14 / 4) ** 1.5 / 2  # third moment by the second's power, by sqrt(4)
    for end, expected in ((found.interval.low, reach), (found.interval.high, -reach)):
        t = (3 - end) / error
        assert t + skew * t**2 / 3 + skew**2 * t**3 / 27 + skew / 6 == pytest.approx(expected)
    assert found.median_interval is None  # four values cannot tell


@pytest.mark.parametrize("values", [[3.0, 5.0], [1.0, 2.0, 3.0]])
def test_without_skewness_the_interval_is_students(values: list[float]) -> None:
    plain, found = student_interval(values), mean_interval(values)
    assert plain is not None and found is not None
    assert (found.low, found.high) == pytest.approx((plain.low, plain.high))


@pytest.mark.parametrize("values", [[7.0] * 5, [0.1] * 3])
def test_the_interval_of_equal_values_has_no_width(values: list[float]) -> None:
    found = mean_interval(values)
    assert found is not None
    assert found.low == pytest.approx(values[0]) == found.high


@given(st.lists(st.floats(-1e15, 1e15), min_size=2, max_size=30))
def test_the_mean_lies_in_its_interval(values: list[float]) -> None:
    found = mean_interval(values)
    assert found is not None
    assert found.low <= mean_of(values) <= found.high


def test_one_value_has_no_interval_and_none_has_nothing() -> None:
    assert summary([4.0]).interval is None
    assert summary([]).median is None


SHAPES: dict[str, tuple[Callable[[Random], float], float]] = {
    "normal": (lambda chance: chance.gauss(0.0, 1.0), 0.0),
    "exponential": (lambda chance: chance.expovariate(1.0), 1.0),
    "lognormal": (lambda chance: chance.lognormvariate(0.0, 1.0), exp(0.5)),
}
"""A value, and its mean."""


@pytest.mark.parametrize(
    ("shape", "count", "least", "most", "student_most"),
    [
        ("normal", 10, 940, 970, 970),
        ("normal", 50, 930, 970, 970),
        ("exponential", 10, 925, 965, 920),
        ("exponential", 20, 930, 965, 930),
        ("lognormal", 10, 890, 930, 865),
        ("lognormal", 20, 900, 940, 885),
    ],
)
def test_so_many_of_1000_intervals_hold_the_truth(
    shape: str, count: int, least: int, most: int, student_most: int
) -> None:
    """Of skewed values, too, nearly as many as they say, and more than Student's."""
    value, truth = SHAPES[shape]
    chance, held, held_by_student = Random(7), 0, 0
    for _ in range(1000):
        values = [value(chance) for _ in range(count)]
        found, plain = mean_interval(values), student_interval(values)
        assert found is not None and plain is not None
        held += found.low <= truth <= found.high
        held_by_student += plain.low <= truth <= plain.high
    assert least <= held <= most
    assert held_by_student <= student_most


def test_luck_is_not_called_a_difference_however_skewed_the_values_are() -> None:
    chance, value = Random(7), SHAPES["lognormal"][0]
    wrong = sum(beyond_noise([value(chance) - value(chance) for _ in range(20)]) for _ in range(1000))
    assert wrong <= 60


def test_ninety_five_of_a_hundred_intervals_of_a_median_hold_the_truth() -> None:
    chance, held = Random(7), 0
    for _ in range(1000):
        found = median_interval([chance.expovariate(1.0) for _ in range(40)])
        assert found is not None
        held += found.low <= 0.6931 <= found.high
    assert 940 <= held <= 985


def test_the_share_of_failing_worlds() -> None:
    none = share_interval(0, 1000)
    assert none.low == 0.0
    assert none.high == pytest.approx(3 / 1000, rel=0.01)  # the rule of three
    some = share_interval(12, 1000)
    assert (some.low, some.high) == pytest.approx((0.00687, 0.02088), abs=5e-5)
    assert share_interval(5, 5).high == 1.0


@pytest.mark.parametrize("count", [1, 2, 4, 20])
def test_what_never_failed_fails_no_more_often_than_is_said(count: int) -> None:
    """If it failed as often as the end of the interval says, it would not have been seen in 5 of 100 cases."""
    assert (1.0 - share_interval(0, count).high) ** count == pytest.approx(0.05)
    assert share_interval(count, count).low == pytest.approx(1.0 - share_interval(0, count).high)


def test_two_whole_numbers_that_are_alike_decide_nothing() -> None:
    assert beyond_noise([1.0, 1.0])
    assert not beyond_noise([1.0, 1.0], whole=True)
    assert beyond_noise([1.0] * 5, whole=True)
    assert beyond_noise([-91.0] * 4, 0.99, whole=True)
    assert not beyond_noise([5.0])
    assert not beyond_noise([0.0, 0.0])
