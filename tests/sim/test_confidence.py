"""Goal: intervals hold what they promise.

Method: quantiles against published tables; intervals of many drawn samples, which must hold the truth as often as they
say (fixed seeds); small samples worked out by hand.
"""

from __future__ import annotations

from random import Random

import pytest

from sim.confidence import beyond_noise, mean_interval, median_interval, share_interval, summary, t_quantile


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
    half = 3.1824463 * (14 / 3) ** 0.5 / 2  # t(3) x s / sqrt(4)
    assert found.interval is not None
    assert (found.interval.low, found.interval.high) == pytest.approx((3 - half, 3 + half))
    assert found.median_interval is None  # four values cannot tell


def test_one_value_has_no_interval_and_none_has_nothing() -> None:
    assert summary([4.0]).interval is None
    assert summary([]).median is None


def test_ninety_five_of_a_hundred_intervals_hold_the_truth() -> None:
    chance, held, medians = Random(7), 0, 0
    for _ in range(1000):
        values = [chance.expovariate(1.0) for _ in range(40)]
        interval, middle = mean_interval(values), median_interval(values)
        assert interval is not None
        assert middle is not None
        held += interval.low <= 1.0 <= interval.high
        medians += middle.low <= 0.6931 <= middle.high
    assert 910 <= held <= 965  # the exponential is skew, so a little below 950
    assert 940 <= medians <= 985


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
