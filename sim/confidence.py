"""What a sample of independent runs says of all runs: intervals for a mean, a difference, a median and a share.

Pure arithmetic, called by `sim/many.py` and the report. Sources: for means Student's t, corrected for skewness by
Hall's transformation (On the removal of skewness by transformation, J. R. Statist. Soc. B 54, 1992); order statistics
(binomial) for medians; Wilson (1927) for shares.

Waits, queues and counts are skewed to the right: of 10 to 20 exponential values Student's interval holds the mean in 90
to 92 % of cases, of lognormal ones (sigma 1) in 84 to 86 %, and nearly always fails by being too low. Corrected it does
so in 93 to 94 and in 91 to 92 %, and in 95 % of normal ones. A bootstrap-t does no better, and draws.

Differences of pairs have Student's interval: where nothing differs they are symmetric, and a correction for skewness
that is not there takes luck for a difference up to twice as often as said (9 % instead of 5 %, lognormal ones).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import cbrt, ceil, exp, floor, lgamma, log, sqrt

from msgspec import Struct

LEVEL = 0.95
"""How often an interval holds what it is for."""
Z = 1.959963984540054
"""The normal distribution's quantile for `LEVEL`, both sides."""
GRAIN = sqrt(1 / 12)
"""Standard deviation of what rounding to whole numbers takes away (Sheppard)."""
_STEPS = 200
_TINY = 1e-300


class Interval(Struct, frozen=True):
    """From `low` to `high`."""

    low: float
    high: float


class Summary(Struct, frozen=True):
    """Some values, one for each run: `count` of them; None: there are too few to say."""

    count: int
    median: float | None = None
    low: float | None = None
    """the smallest"""
    high: float | None = None
    """the largest"""
    mean: float | None = None
    interval: Interval | None = None
    """of the mean"""
    median_interval: Interval | None = None


def summary(values: Sequence[float]) -> Summary:
    """Median and mean with their intervals, and the range."""
    if not values:
        return Summary(0)
    ordered = sorted(values)
    half = len(ordered) // 2
    median = ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2
    mean = mean_of(values)
    return Summary(
        len(values), median, ordered[0], ordered[-1], mean, mean_interval(values), median_interval(values)
    )  # fmt: skip


def mean_of(values: Sequence[float]) -> float:
    """Of at least one value."""
    return sum(values) / len(values)


def deviation(values: Sequence[float]) -> float:
    """The sample's standard deviation, of at least two values."""
    mean = mean_of(values)
    return sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))


def skewness(values: Sequence[float]) -> float:
    """The sample's third standardised moment; 0: all are equal."""
    mean = mean_of(values)
    spread = sqrt(mean_of([(value - mean) ** 2 for value in values]))
    return mean_of([((value - mean) / spread) ** 3 for value in values]) if spread else 0.0


def mean_interval(values: Sequence[float]) -> Interval | None:
    """For the mean of all runs; None: one run says nothing of how much runs differ."""
    if len(values) < 2:
        return None
    mean, error, reach = mean_of(values), *_error_and_reach(values)
    skew = skewness(values) / sqrt(len(values))
    return Interval(mean - _unskewed(reach, skew) * error, mean - _unskewed(-reach, skew) * error)


def _unskewed(value: float, skew: float) -> float:
    """The t at which Hall's t + skew t^2 / 3 + skew^2 t^3 / 27 + skew / 6, which is distributed as if there were no
    skewness, has this value."""
    shifted = value - skew / 6.0
    root = cbrt(1.0 + skew * shifted)
    return 3.0 * shifted / (root * root + root + 1.0)


def student_interval(values: Sequence[float]) -> Interval | None:
    """The same for what is not skewed: differences of pairs, means of batches."""
    if len(values) < 2:
        return None
    mean, error, reach = mean_of(values), *_error_and_reach(values)
    return Interval(mean - reach * error, mean + reach * error)


def beyond_noise(differences: Sequence[float], level: float = LEVEL, *, whole: bool = False) -> bool:
    """Whether the mean of these differences is not 0 by luck alone. `whole`: of whole numbers; that two of them are
    alike does not say that all are, so they vary by their grain at least."""
    if len(differences) < 2:
        return False
    error, reach = _error_and_reach(differences, level)
    return abs(mean_of(differences)) > reach * max(error, GRAIN / sqrt(len(differences)) if whole else 0.0)


def _error_and_reach(values: Sequence[float], level: float = LEVEL) -> tuple[float, float]:
    """The standard error of the mean, and how many of it Student's interval reaches to each side."""
    return deviation(values) / sqrt(len(values)), t_quantile((1.0 + level) / 2.0, len(values) - 1)


def median_interval(values: Sequence[float]) -> Interval | None:
    """For the median of all runs, whatever their distribution; None: too few runs (below 6)."""
    if len(values) < 6:
        return None
    ordered, count = sorted(values), len(values)
    reach = Z * sqrt(count) / 2
    return Interval(ordered[max(0, floor(count / 2 - reach))], ordered[min(count - 1, ceil(count / 2 + reach))])


def share_interval(hits: int, count: int) -> Interval:
    """For a probability that was met `hits` times in `count` runs. Never or always: exact, to one side (about 3 / count
    from there), for Wilson's interval would be too narrow there."""
    if not count:
        return Interval(0.0, 1.0)
    share, square = hits / count, Z * Z
    middle = share + square / (2 * count)
    half = Z * sqrt(share * (1 - share) / count + square / (4 * count * count))
    whole = 1 + square / count
    if not hits:
        return Interval(0.0, 1.0 - (1.0 - LEVEL) ** (1.0 / count))
    if hits == count:
        return Interval((1.0 - LEVEL) ** (1.0 / count), 1.0)
    return Interval((middle - half) / whole, (middle + half) / whole)


@lru_cache(maxsize=1024)
def t_quantile(probability: float, freedom: int) -> float:
    """Student's t: the value that is not passed with this probability (above 0.5)."""
    low, high = 0.0, 1.0
    while _t_below(high, freedom) < probability:
        low, high = high, high * 2.0
    for _ in range(_STEPS):
        middle = (low + high) / 2.0
        if middle in (low, high):
            break
        if _t_below(middle, freedom) < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2.0


def _t_below(value: float, freedom: int) -> float:
    """The probability that t is at most `value` (not negative)."""
    return 1.0 - 0.5 * _beta(freedom / (freedom + value * value), freedom / 2.0, 0.5)


def _beta(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function, by its continued fraction (Lentz)."""
    if x <= 0.0 or x >= 1.0:
        return min(max(x, 0.0), 1.0)
    if x > (a + 1.0) / (a + b + 2.0):
        return 1.0 - _beta(1.0 - x, b, a)
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log(1.0 - x)) / a
    c, d = 1.0, 1.0 / _not_zero(1.0 - (a + b) * x / (a + 1.0))
    found = d
    for step in range(1, _STEPS):
        even = step * (b - step) * x / ((a + 2 * step - 1) * (a + 2 * step))
        odd = -(a + step) * (a + b + step) * x / ((a + 2 * step) * (a + 2 * step + 1))
        before = found
        for part in (even, odd):
            d = 1.0 / _not_zero(1.0 + part * d)
            c = _not_zero(1.0 + part / c)
            found *= c * d
        if abs(found - before) <= 1e-15 * abs(found):
            break
    return front * found


def _not_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
