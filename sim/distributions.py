"""Distributions of durations and sizes, as plain data: one uniform number in, one integer out.

Sampled by the inverse of the distribution function, so that one draw gives one value and two scenarios with the same
seed stay comparable (common random numbers). Durations are ns; results are rounded to whole microseconds, so that the
last bit of a mathematical library does not decide the order of two events.
"""

from __future__ import annotations

from bisect import bisect_right
from math import exp, log
from statistics import NormalDist

from msgspec import Struct

_GRAIN = 1000
_NORMAL = NormalDist()
_EDGE = 1e-12
"""Draws nearer than this to 0 or 1 are moved here: the tails of the inverse functions stay finite."""


class Constant(Struct, frozen=True, tag="constant"):
    value: int

    def sample(self, chance: float) -> int:
        """Always `value`."""
        return self.value


class Uniform(Struct, frozen=True, tag="uniform"):
    low: int
    high: int

    def sample(self, chance: float) -> int:
        """Between `low` and `high`, each as likely."""
        return _rounded(self.low + chance * (self.high - self.low))


class Exponential(Struct, frozen=True, tag="exponential"):
    mean: int

    def sample(self, chance: float) -> int:
        """Memoryless, with mean `mean`."""
        return _rounded(-log(1.0 - min(chance, 1.0 - _EDGE)) * self.mean)


class Lognormal(Struct, frozen=True, tag="lognormal"):
    """`sigma`: standard deviation of the natural logarithm."""

    median: int
    sigma: float

    def sample(self, chance: float) -> int:
        """Around `median`, with a long tail to the right."""
        return _rounded(self.median * exp(self.sigma * _NORMAL.inv_cdf(min(max(chance, _EDGE), 1.0 - _EDGE))))


class Weibull(Struct, frozen=True, tag="weibull"):
    """Shape below 1: many short ones and few very long ones (times between the failures of real machines)."""

    shape: float
    scale: int

    def sample(self, chance: float) -> int:
        """With scale `scale` and shape `shape`."""
        return _rounded(self.scale * (-log(1.0 - min(chance, 1.0 - _EDGE))) ** (1.0 / self.shape))


class Choice(Struct, frozen=True, tag="choice"):
    """Some values, each with its weight (any positive numbers)."""

    values: tuple[int, ...]
    weights: tuple[float, ...]

    def sample(self, chance: float) -> int:
        """One of `values`."""
        rest = chance * sum(self.weights)
        for value, weight in zip(self.values, self.weights, strict=True):
            rest -= weight
            if rest < 0.0:
                return value
        return self.values[-1]


class Quantiles(Struct, frozen=True, tag="quantiles"):
    """Data by points of its quantile function: with the chance `shares[n]` it is no more than `values[n]`. Both grow;
    shares from 0 to 1. Between two points it is drawn evenly on a scale of logarithms."""

    shares: tuple[float, ...]
    values: tuple[int, ...]
    """above 0"""

    def sample(self, chance: float) -> int:
        """By its points."""
        at = min(max(1, bisect_right(self.shares, chance)), len(self.shares) - 1)
        low, high = self.values[at - 1], self.values[at]
        part = (chance - self.shares[at - 1]) / (self.shares[at] - self.shares[at - 1])
        return _rounded(low * exp(part * log(high / low)))


Distribution = Constant | Uniform | Exponential | Lognormal | Weibull | Choice | Quantiles


def _rounded(value: float) -> int:
    return max(0, round(value / _GRAIN)) * _GRAIN
