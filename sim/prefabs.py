"""Named fault plans with numbers that were fitted to the failure traces of real machines.

Fits by maximum likelihood to the published traces; hosts that failed less than twice do not count, so that these hosts
fail somewhat more often than the real ones. Made into plans by `shell.config.scenario_plans`.

LANL: failures of Los Alamos National Laboratory's machines, 1996-2005 (LA-UR-05-7318); B. Schroeder, G. A. Gibson, "A
large-scale study of failures in high-performance computing systems", DSN 2006, found the same kinds of distributions.
Grid'5000: node availability, 2005-2006, from the Failure Trace Archive; D. Kondo, B. Javadi, A. Iosup, D. Epema, "The
Failure Trace Archive: enabling comparative analysis of failures in diverse distributed systems", CCGrid 2010.
"""

from __future__ import annotations

from math import exp, gamma

from msgspec import Struct

from model.job import SECOND
from sim.distributions import Distribution, Exponential, Lognormal, Weibull
from sim.scenario import Counted

HOUR = 3600 * SECOND


class Prefab(Struct, frozen=True):
    """How often a host is down, and for how long."""

    interval: Distribution
    lasts: Distribution
    about: str
    """what it was fitted to, in a few words"""
    counted: Counted = Counted.FROM_END


def _weibull_of_mean(shape: float, mean_h: float) -> Weibull:
    return Weibull(shape, round(mean_h * HOUR / gamma(1.0 + 1.0 / shape)))


def _lognormal(mu: float, sigma: float) -> Lognormal:
    """`mu`: mean of the logarithm of hours."""
    return Lognormal(round(exp(mu) * HOUR), sigma)


PREFABS: dict[str, Prefab] = {
    "lanl-cluster": Prefab(
        _weibull_of_mean(0.67, 4125.0),
        _lognormal(0.10, 1.22),
        "LANL's system 18 (1,024 nodes): half a year between failures, repaired in 1.1 h (median), 2.3 h (mean)",
    ),
    "lanl-bigsmp": Prefab(
        _weibull_of_mean(0.65, 227.0),
        _lognormal(-0.17, 1.43),
        "LANL's system 16 (16 big SMPs): nine days between failures, repaired in 0.8 h (median), 2.3 h (mean)",
    ),
    "grid5000": Prefab(
        Weibull(0.48, round(13.7 * HOUR)),
        Weibull(0.35, round(0.47 * HOUR)),
        "Grid'5000's nodes: up for 6.4 h (median), 30 h (mean), away for 10 min (median), 2.4 h (mean)",
    ),
}
NONE = "none"
"""The prefab without faults, for the run to compare with."""


def exponential(mtbf_ns: int, mttr_ns: int) -> Prefab:
    """Without memory: as textbooks have it, and no real machine."""
    return Prefab(Exponential(mtbf_ns), Exponential(mttr_ns), "exponential")
