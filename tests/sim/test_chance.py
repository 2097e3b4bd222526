"""Goal: chance is keyed, distributions are what they are called, clocks and items are arithmetic.

Method: properties with Hypothesis, and samples at even steps of the uniform number instead of random ones.
"""

from __future__ import annotations

from statistics import mean, median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.job import SECOND, Block, JobId, JobSpec
from model.records import JobAccepted
from sim.clocks import Clock
from sim.distributions import Choice, Constant, Distribution, Exponential, Lognormal, Uniform, Weibull
from sim.keyed import Draws
from sim.scenario import Items, TaskWeather
from sim.weather import FOREVER, ItemStream, Weather

STEPS = [(step + 0.5) / 2000 for step in range(2000)]


@given(st.integers(0, 1 << 60), st.text(), st.text())
def test_a_draw_depends_on_seed_purpose_and_key_only(seed: int, purpose: str, key: str) -> None:
    if any(0xD800 <= ord(character) < 0xE000 for character in purpose + key):
        return
    draws = Draws(seed, purpose)
    first = draws.four(key)
    draws.four("something else")
    assert draws.four(key) == first == Draws(seed, purpose).four(key)
    assert all(0.0 <= number < 1.0 for number in first)
    assert Draws(seed + 1, purpose).four(key) != first


def test_draws_are_spread_evenly() -> None:
    numbers = [number for key in range(2000) for number in Draws(1, "even").four(str(key))]
    assert mean(numbers) == pytest.approx(0.5, abs=0.02)
    assert sum(number < 0.1 for number in numbers) / len(numbers) == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize(
    ("distribution", "expected_mean", "expected_median"),
    [
        (Constant(7 * SECOND), 7.0, 7.0),
        (Uniform(2 * SECOND, 4 * SECOND), 3.0, 3.0),
        (Exponential(10 * SECOND), 10.0, 6.93),
        (Lognormal(10 * SECOND, 0.5), 11.33, 10.0),
        (Weibull(1.0, 10 * SECOND), 10.0, 6.93),
        (Choice((SECOND, 9 * SECOND), (3.0, 1.0)), 3.0, 1.0),
    ],
)
def test_a_distribution_has_its_mean_and_median(
    distribution: Distribution, expected_mean: float, expected_median: float
) -> None:
    values = [distribution.sample(step) / SECOND for step in STEPS]
    assert mean(values) == pytest.approx(expected_mean, rel=0.02)
    assert median(values) == pytest.approx(expected_median, rel=0.02)


@given(st.floats(0.0, 1.0, exclude_max=True))
def test_a_sample_is_never_negative_nor_infinite(chance: float) -> None:
    for distribution in (Exponential(SECOND), Lognormal(SECOND, 2.0), Weibull(0.4, SECOND), Uniform(0, 0)):
        assert 0 <= distribution.sample(chance) < 1 << 90


@given(st.integers(-(10**6), 10**6), st.integers(0, 10**16), st.integers(0, 10**13))
def test_a_clock_shows_a_time_first_when_it_says(drift_ppb: int, shown: int, boot: int) -> None:
    clock = Clock(boot, drift_ppb)
    when = clock.when(shown)
    assert clock.read(when) >= shown > clock.read(when - 1)


@given(st.integers(-(10**13), 10**13), st.integers(0, 10**16))
def test_a_clock_that_does_not_drift_is_always_as_far_ahead(boot: int, true_ns: int) -> None:
    clock = Clock(boot)
    assert clock.ahead_ns is not None
    assert clock.read(true_ns) == true_ns + clock.ahead_ns
    assert clock.when(clock.read(true_ns)) == true_ns
    assert Clock(boot, 1).ahead_ns is None


def weather_of(seed: int, task: TaskWeather) -> Weather:
    return Weather(seed, {"warp": task, "other": task})


def test_what_a_job_does_is_not_changed_by_other_tasks() -> None:
    task = TaskWeather(run=Uniform(0, 100 * SECOND), exits=((0, 1.0), (1, 1.0)))
    alone, crowded = weather_of(1, task), weather_of(1, task)
    alone.accepted(JobAccepted(JobId(1), JobSpec("warp")), 0)
    for job in range(1, 6):
        crowded.accepted(JobAccepted(JobId(job), JobSpec("other")), 0)
    crowded.accepted(JobAccepted(JobId(6), JobSpec("warp")), 0)
    assert alone.fate("warp", JobId(1), 1) == crowded.fate("warp", JobId(6), 1)


def test_another_attempt_takes_as_long_and_may_end_otherwise() -> None:
    weather = weather_of(1, TaskWeather(run=Uniform(0, 100 * SECOND), exits=((0, 1.0), (1, 1.0))))
    weather.accepted(JobAccepted(JobId(1), JobSpec("warp")), 0)
    fates = [weather.fate("warp", JobId(1), attempt) for attempt in range(1, 20)]
    assert len({fate.run_ns for fate in fates}) == 1
    assert {fate.exit_code for fate in fates} == {0, 1}


def test_files_are_visible_after_their_lag_or_never() -> None:
    weather = weather_of(1, TaskWeather(before=Constant(5 * SECOND), after=Constant(SECOND)))
    waiting = JobSpec("warp", block=Block(("a",), ("a",)))
    weather.accepted(JobAccepted(JobId(1), waiting), 2 * SECOND)
    assert weather.visible_at(JobId(1), "a", None) == 7 * SECOND
    assert weather.visible_at(JobId(1), "a", 10 * SECOND) == 11 * SECOND
    never = weather_of(1, TaskWeather(never_visible=1.0))
    never.accepted(JobAccepted(JobId(1), waiting), 0)
    assert never.visible_at(JobId(1), "a", None) == FOREVER


@given(st.integers(0, 50), st.integers(0, 20), st.integers(1, 4), st.integers(0, 30), st.integers(0, 300))
def test_nothing_new_comes_while_a_source_is_quiet(first: int, every: int, burst: int, count: int, now: int) -> None:
    stream = ItemStream(Items(first_ns=first, every_ns=every, burst=burst, count=count))
    here, quiet = stream.arrived(now), stream.quiet_ns(now)
    assert quiet > 0
    assert stream.arrived(now + min(quiet, 10**4) - 1) == here
    if quiet < FOREVER:
        assert len(stream.arrived(now + quiet)) > len(here)
    if count:
        assert len(stream.arrived(10**6)) == count


def test_items_keep_their_names_and_their_order() -> None:
    stream = ItemStream(Items(names=("b", "a", "c"), every_ns=10))
    assert stream.arrived(0) == ("b",)
    assert stream.arrived(15) == ("b", "a")
    assert stream.arrived(1000) == ("b", "a", "c")
