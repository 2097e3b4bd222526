"""Goal: what is fitted to values is what they were drawn from, also where the long ones were cut off; and where no
family fits, nobody is told that one does.

Method: values drawn by the distributions of `sim/distributions.py` at fixed chances, fitted again. How far estimates
may be off comes from their standard errors: four of them, so that the test speaks of errors and not of luck.
"""

from __future__ import annotations

from math import sqrt
from random import Random

import pytest

from shell.fitting import TaskFit, fit_lines
from shell.tables import Style
from sim.distributions import Choice, Constant, Distribution, Exponential, Lognormal, Weibull
from sim.fitting import CHANCE, fit

SECOND = 10**9
NUMBER = 2000
ERRORS = 4.0


def drawn(distribution: Distribution, number: int = NUMBER) -> list[int]:
    chance = Random("fitting")
    return [distribution.sample(chance.random()) for _ in range(number)]


def cut(values: list[int], share: float) -> tuple[list[int], list[int]]:
    """(those that end before a timeout, the others, cut off by it)."""
    timeout = sorted(values)[int(share * len(values))]
    return [value for value in values if value < timeout], [timeout for value in values if value >= timeout]


@pytest.mark.parametrize("censored", [False, True])
def test_a_lognormal_is_found_again(censored: bool) -> None:
    values, longer = cut(drawn(Lognormal(30 * SECOND, 0.8)), 0.8 if censored else 1.0 - 1e-9)
    found = fit(values, longer)
    assert isinstance(found.distribution, Lognormal)
    assert found.distribution.sigma == pytest.approx(0.8, rel=ERRORS / sqrt(NUMBER))
    assert found.distribution.median == pytest.approx(30 * SECOND, rel=ERRORS * 0.9 / sqrt(NUMBER))
    assert found.distance <= found.by_chance
    assert found.censored == len(longer)


@pytest.mark.parametrize("shape", [0.6, 1.7, 8.0])
@pytest.mark.parametrize("censored", [False, True])
def test_a_weibull_is_found_again(shape: float, censored: bool) -> None:
    values, longer = cut(drawn(Weibull(shape, 60 * SECOND)), 0.8 if censored else 1.0 - 1e-9)
    found = fit(values, longer)
    assert isinstance(found.distribution, Weibull)
    assert found.distribution.shape == pytest.approx(shape, rel=ERRORS * 0.9 / sqrt(NUMBER))
    assert found.distribution.scale == pytest.approx(60 * SECOND, rel=ERRORS * 1.2 / shape / sqrt(NUMBER))
    assert found.distance <= found.by_chance


def test_an_exponential_is_preferred_to_a_weibull_that_says_no_more() -> None:
    found = fit(drawn(Exponential(5 * SECOND)))
    assert isinstance(found.distribution, Exponential)
    assert found.distribution.mean == pytest.approx(5 * SECOND, rel=ERRORS / sqrt(NUMBER))
    assert found.candidates[0].name == "exponential"


def test_leaving_out_what_was_cut_off_would_be_wrong() -> None:
    values, longer = cut(drawn(Exponential(5 * SECOND)), 0.6)
    assert fit(values, longer).distribution.sample(0.9) == pytest.approx(Exponential(5 * SECOND).sample(0.9), rel=0.15)
    assert fit(values).distribution.sample(0.9) < 0.6 * Exponential(5 * SECOND).sample(0.9)


def test_values_of_two_kinds_are_no_family_and_their_quantiles_are_taken() -> None:
    values = [*drawn(Lognormal(SECOND, 0.1), 600), *drawn(Lognormal(100 * SECOND, 0.1), 400)]
    found = fit(values)
    assert found.name == "data"
    assert isinstance(found.distribution, Choice)
    assert min(one.distance for one in found.candidates) > found.by_chance
    drawn_again = [found.distribution.sample((place + 0.5) / 1000) for place in range(1000)]
    assert sum(value < 10 * SECOND for value in drawn_again) == pytest.approx(600, abs=50)


def test_one_value_again_and_again_is_a_constant_and_a_few_are_themselves() -> None:
    assert fit([5 * SECOND] * 20).distribution == Constant(5 * SECOND)
    few = fit([SECOND, 2 * SECOND, 4 * SECOND])
    assert few.distribution == Choice((SECOND, 2 * SECOND, 4 * SECOND), (1.0, 1.0, 1.0))
    assert fit([0, 0, 0]).distribution.sample(0.5) >= 0


@pytest.mark.parametrize(
    ("distribution", "family"),
    [
        (Exponential(5 * SECOND), "exponential"),
        (Weibull(0.7, 60 * SECOND), "weibull"),
        (Lognormal(30 * SECOND, 1.2), "lognormal"),
    ],
)
def test_what_chance_explains_is_of_fitted_parameters(distribution: Distribution, family: str) -> None:
    """In about 95 of 100 samples, not in nearly all, as by the tables for parameters that are known before."""
    chance, number, samples = Random(family), 40, 250
    within = 0
    for _ in range(samples):
        found = fit([distribution.sample(chance.random()) for _ in range(number)])
        own = next(one for one in found.candidates if one.name == family)
        within += own.distance <= CHANCE[family] / sqrt(number)
    assert 0.91 * samples <= within <= 0.985 * samples


def test_few_and_long_runs_stay_where_no_family_fits() -> None:
    """Of 500 runs of a second and 5 of an hour the mean is 37 s."""
    values = [SECOND] * 500 + [3600 * SECOND] * 5
    found = fit(values)
    assert found.name == "data"
    assert isinstance(found.distribution, Choice)
    mean = sum(v * w for v, w in zip(found.distribution.values, found.distribution.weights, strict=True)) / len(values)
    assert mean == pytest.approx(sum(values) / len(values))
    assert found.distribution.sample(0.999) == 3600 * SECOND
    assert found.distribution.sample(0.96) == SECOND


def mean_of(found: Distribution) -> float:
    assert isinstance(found, Choice)
    return sum(v * w for v, w in zip(found.values, found.weights, strict=True)) / sum(found.weights)


TWO_KINDS = [10 * SECOND] * 250 + [100 * SECOND] * 250


@pytest.mark.parametrize("longer", [[5 * SECOND], [100 * SECOND] * 5, [1]])
def test_a_run_that_was_ended_early_does_not_make_a_family_fit(longer: list[int]) -> None:
    """One killed run of 501 made an exponential of runs of two kinds, at a distance of 0.000."""
    found = fit(TWO_KINDS, longer)
    assert found.name == "data"
    assert found.censored == len(longer)
    assert min(one.distance for one in found.candidates) > found.by_chance
    assert mean_of(found.distribution) == pytest.approx(sum(TWO_KINDS) / len(TWO_KINDS), rel=0.02)


def test_what_was_ended_early_is_spread_over_the_longer_ones() -> None:
    """125 of those that would take 100 s were killed at 50 s: still half of them all take so long."""
    found = fit([10 * SECOND] * 250 + [100 * SECOND] * 125, [50 * SECOND] * 125)
    assert mean_of(found.distribution) == pytest.approx(55 * SECOND)


def test_where_many_were_ended_early_the_data_are_not_taken_and_a_poor_fit_is_told() -> None:
    found = fit(TWO_KINDS, [100 * SECOND + 1] * 100)
    assert found.name != "data"
    assert found.poor
    told = fit_lines([TaskFit("warp", 600, 600, run=found)], Style(columns=0))
    assert told[-1].startswith("warp: no family fits (the best is ")


def test_one_value_stays_one_where_a_run_was_ended_earlier() -> None:
    assert fit([5 * SECOND] * 20, [SECOND]).distribution == Constant(5 * SECOND)


def test_how_far_the_data_are_from_their_parts_is_told() -> None:
    values = [*drawn(Lognormal(SECOND, 0.1), 600), *drawn(Lognormal(100 * SECOND, 0.1), 400)]
    found = fit(values)
    assert isinstance(found.distribution, Choice)
    ordered = sorted(values)
    most = 0.0
    for x in (*ordered, *(value + 1 for value in ordered), *found.distribution.values):
        ours = sum(w for v, w in zip(found.distribution.values, found.distribution.weights, strict=True) if v <= x)
        most = max(most, abs(ours - sum(value <= x for value in ordered)) / len(ordered))
    assert found.distance == pytest.approx(most, abs=2 / len(ordered))
