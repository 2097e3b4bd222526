"""Distributions of durations and sizes, as plain data: one uniform number in, one integer out.

Sampled by the inverse of the distribution function, so that one draw gives one value and two scenarios with the same
seed stay comparable (common random numbers). Durations are ns; results are rounded to whole microseconds, so that the
last bit of a mathematical library does not decide the order of two events.
"""

from __future__ import annotations

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


Distribution = Constant | Uniform | Exponential | Lognormal | Weibull | Choice


def _rounded(value: float) -> int:
    return max(0, round(value / _GRAIN)) * _GRAIN
