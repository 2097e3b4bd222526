"""Distributions fitted to what was measured: by maximum likelihood, the best by AIC, with how well it fits.

Runs that were ended before their own end (a timeout, a kill, a lost host) are not thrown away, for the long ones would
be missing: of such a run it is known that it takes longer than it did (right censoring). For Weibull and exponential
the likelihood says so directly, for lognormal by expectation and maximisation. What may be fitted is what a scenario
can say (`sim/distributions.py`). Called by `shell/fitting.py`.

The Kolmogorov-Smirnov distance is the largest difference between the shares that the data and the distribution have
below any value. Up to `CHANCE` / sqrt(n) chance alone explains it in 95 of 100 cases: as the parameters come from the
same data that is less than the 1.36 of tables, by the family (Lilliefors 1967; Stephens 1974; Chandra, Singpurwalla,
Stephens 1981). Where runs were ended early, the share of the data below a value is the estimate of Kaplan and Meier
(1958): what such a run stands for is spread over the longer ones. Where nothing fits, the data are the distribution:
the means of some twenty parts of them, finer where the few long ones are, so that their mean stays.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from itertools import pairwise
from math import erfc, exp, inf, isfinite, log, pi, sqrt
from statistics import NormalDist, fmean, pstdev

from msgspec import Struct

from sim.distributions import Choice, Constant, Distribution, Exponential, Lognormal, Weibull

LEAST = 1000
"""Smaller values count as this: ns, below which nothing is measured. The logarithm wants something above 0."""
NEEDED = 8
"""With fewer values nothing is fitted; they are all that is known."""
STEPS_MAX = 200
QUANTILES = 20
"""Equal parts of the data that a distribution is made of."""
TAIL_SHARES = (0.975, 0.99, 0.995)
"""The last of them is cut here, too: the longest runs are few, and most of the time may lie in them."""
KS_AT_ONCE = 0.1
"""A distance above this, and above what chance explains, is no fit: the data themselves are taken."""
CHANCE = {"exponential": 1.094, "weibull": 0.874, "lognormal": 0.895}
"""By family, for many values; for few ones it is a little less."""
UNKNOWN_MOST = 0.01
"""Where more than this share is longer than the longest run of which the end is known, the data are no distribution."""
NARROW = 1e-3
"""A standard deviation of less than this share of the mean is no spread."""

_NORMAL = NormalDist()


class Candidate(Struct, frozen=True):
    """One family with its most likely parameters. `aic`: smaller is better."""

    name: str
    distribution: Distribution
    aic: float
    distance: float
    """Kolmogorov and Smirnov's"""


class Fit(Struct, frozen=True):
    """What was found for one set of values. `candidates`: the best one first; empty: nothing was fitted."""

    distribution: Distribution
    name: str
    values: int
    censored: int
    """of them: ended before their own end"""
    distance: float
    by_chance: float
    """the distance that chance alone explains, of the best family; 0: none was fitted"""
    candidates: tuple[Candidate, ...] = ()

    @property
    def poor(self) -> bool:
        """Whether no family fits, and the data could not be taken."""
        return self.name != "data" and self.distance > max(KS_AT_ONCE, self.by_chance)


def fit(values: Sequence[int], censored: Sequence[int] = ()) -> Fit:
    """The distribution of `values`, and of more that are known to be longer than `censored`. At least one value."""
    measured = sorted(max(LEAST, value) for value in values)
    longer = sorted(max(LEAST, value) for value in censored)
    total = len(measured) + len(longer)
    mean = fmean(measured)
    if pstdev(measured) <= NARROW * mean and (not longer or longer[-1] <= mean):
        return Fit(Constant(round(mean)), "constant", total, len(longer), 0.0, 0.0)
    if len(measured) < NEEDED:
        return Fit(_parts_of(measured, _even(len(measured))), "data", total, len(longer), 0.0, 0.0)
    found = sorted((each(measured, longer) for each in FAMILIES), key=lambda one: (one.aic, one.name))
    best = found[0]
    by_chance = CHANCE[best.name] / sqrt(total)
    below = _below(measured, longer)
    if best.distance > max(KS_AT_ONCE, by_chance) and below[-1] >= 1.0 - UNKNOWN_MOST:
        distance = _distance_of_parts(measured, below)
        return Fit(_parts_of(measured, below), "data", total, len(longer), distance, by_chance, tuple(found))
    return Fit(best.distribution, best.name, total, len(longer), best.distance, by_chance, tuple(found))


def quantiles(values: Sequence[int]) -> Distribution:
    """The data as they are: a constant, or the means of their parts."""
    ordered = sorted(values)
    return Constant(ordered[0]) if ordered[0] == ordered[-1] else _parts_of(ordered, _even(len(ordered)))


def _even(count: int) -> list[float]:
    """Which share of so many ordered values is before each, and at last all."""
    return [place / count for place in range(count + 1)]


def _below(measured: Sequence[int], longer: Sequence[int]) -> list[float]:
    """The same of `measured` where others are known to be longer than `longer` (Kaplan and Meier). A run that was ended
    at a measured value is longer than that."""
    if not longer:
        return _even(len(measured))
    shares, left, ended = [0.0], 1.0, 0
    for place, value in enumerate(measured):
        while ended < len(longer) and longer[ended] < value:
            ended += 1
        left *= 1.0 - 1.0 / (len(measured) - place + len(longer) - ended)
        shares.append(1.0 - left)
    return shares


def _parts_of(ordered: Sequence[int], below: Sequence[float]) -> Distribution:
    """Of each part of the data its mean, as likely as it has values."""
    counted: dict[int, float] = {}
    for first, last in _parts(below):
        value = round(_mean(ordered, below, first, last))
        weight = round((below[last] - below[first]) * len(ordered), 9)
        counted[value] = counted.get(value, 0.0) + weight
    return Choice(tuple(counted), tuple(counted.values()))


def _mean(ordered: Sequence[int], below: Sequence[float], first: int, last: int) -> float:
    """Of a part of the data, each as likely as it is."""
    total = below[last] - below[first]
    return sum(ordered[at] * ((below[at + 1] - below[at]) / total) for at in range(first, last))


def _parts(below: Sequence[float]) -> list[tuple[int, int]]:
    """Where the ordered values are cut; each alone where they are few."""
    count = len(below) - 1
    if count <= QUANTILES:
        return [(at, at + 1) for at in range(count)]
    shares = sorted((*(part / QUANTILES for part in range(QUANTILES)), *TAIL_SHARES))
    cuts = {min(count, bisect_left(below, share - 0.5 / count)) for share in shares}
    return list(pairwise(sorted({*cuts, 0, count})))


def _distance_of_parts(ordered: Sequence[int], below: Sequence[float]) -> float:
    """Of the data to the means of their parts."""
    most = 0.0
    for first, last in _parts(below):
        mean = _mean(ordered, below, first, last)
        under, over = below[bisect_left(ordered, mean)], below[bisect_right(ordered, mean)]
        most = max(most, under - below[first], below[last] - over)
    return most


# the families


def _exponential(measured: Sequence[int], longer: Sequence[int]) -> Candidate:
    mean = (sum(measured) + sum(longer)) / len(measured)
    likelihood = -len(measured) * log(mean) - (sum(measured) + sum(longer)) / mean
    return _candidate(
        "exponential", Exponential(round(mean)), likelihood, 1, measured, longer, lambda x: exp(-x / mean)
    )


def _weibull(measured: Sequence[int], longer: Sequence[int]) -> Candidate:
    """The shape is where the derivative of the likelihood, with the best scale for each shape, is 0: by bisection, for
    it falls with the shape."""
    top = max(measured[-1], longer[-1] if longer else 0)
    logs = [log(value / top) for value in measured]
    everything = [*logs, *(log(value / top) for value in longer)]
    mean_log = fmean(logs)

    def slope(shape: float) -> float:
        powers = [exp(shape * each) for each in everything]
        return 1.0 / shape + mean_log - sum(p * each for p, each in zip(powers, everything, strict=True)) / sum(powers)

    low, high = 1e-3, 1e3
    for _ in range(STEPS_MAX):
        shape = sqrt(low * high)
        if high / low < 1.0 + 1e-9:
            break
        low, high = (shape, high) if slope(shape) > 0.0 else (low, shape)
    total = sum(exp(shape * each) for each in everything)
    scale = top * (total / len(measured)) ** (1.0 / shape)
    likelihood = sum(log(shape / scale) + (shape - 1.0) * log(value / scale) for value in measured)
    likelihood -= sum((value / scale) ** shape for value in (*measured, *longer))
    return _candidate(
        "weibull", Weibull(shape, round(scale)), likelihood, 2, measured, longer, lambda x: exp(-((x / scale) ** shape))
    )


def _lognormal(measured: Sequence[int], longer: Sequence[int]) -> Candidate:
    logs = [log(value) for value in measured]
    open_logs = [log(value) for value in longer]
    mu, sigma = fmean(logs), max(pstdev(logs), 1e-9)
    total, squares = sum(logs), sum(each * each for each in logs)
    count = len(logs) + len(open_logs)
    for _ in range(STEPS_MAX if open_logs else 0):
        first = second = 0.0
        for each in open_logs:  # the expectation of what the value is, and of its square, above what is known
            beta = (each - mu) / sigma
            hazard = _hazard(beta)
            first += mu + sigma * hazard
            second += mu * mu + sigma * sigma + sigma * (each + mu) * hazard
        before = mu, sigma
        mu = (total + first) / count
        sigma = sqrt(max((squares + second) / count - mu * mu, 1e-18))
        if abs(mu - before[0]) + abs(sigma - before[1]) < 1e-9:
            break
    likelihood = sum(-((each - mu) ** 2) / (2 * sigma * sigma) - log(sigma) - each for each in logs)
    likelihood -= len(logs) * 0.5 * log(2 * pi)
    likelihood += sum(log(max(_above((each - mu) / sigma), 1e-300)) for each in open_logs)
    return _candidate(
        "lognormal",
        Lognormal(round(exp(mu)), sigma),
        likelihood,
        2,
        measured,
        longer,
        lambda x: _above((log(x) - mu) / sigma),
    )


FAMILIES: tuple[Callable[[Sequence[int], Sequence[int]], Candidate], ...] = (_exponential, _weibull, _lognormal)


def _above(z: float) -> float:
    """The share of a standard normal distribution above `z`."""
    return 0.5 * erfc(z / sqrt(2.0))


def _hazard(z: float) -> float:
    """Density by the share above, of the standard normal distribution; for large `z` by its series."""
    return _NORMAL.pdf(z) / _above(z) if z < 30.0 else z + 1.0 / z


def _candidate(
    name: str,
    distribution: Distribution,
    likelihood: float,
    parameters: int,
    measured: Sequence[int],
    longer: Sequence[int],
    above: Callable[[float], float],
) -> Candidate:
    aic = 2.0 * parameters - 2.0 * likelihood
    return Candidate(name, distribution, aic if isfinite(aic) else inf, _distance(measured, longer, above))


def _distance(measured: Sequence[int], longer: Sequence[int], above: Callable[[float], float]) -> float:
    """Up to the longest value that is known whole."""
    most = 0.0
    for value, (before, after) in zip(measured, pairwise(_below(measured, longer)), strict=True):
        share = 1.0 - above(value)
        most = max(most, abs(share - before), abs(after - share))
    return most
