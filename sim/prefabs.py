"""Named fault plans with the numbers of the failure traces of real machines.

No family has the traces' tails, in which most of the time lies: with fits by maximum likelihood the mean repair was a
quarter to three quarters of the traces'. So these are quantiles of the traces themselves, h, worked out by
`tests/sim/fit_prefabs.py`: repairs as they are, times between failures by the estimator of Kaplan and Meier. A node
counts from its first failure on. Made into plans by `shell.config.scenario_plans`.

LANL: failures of Los Alamos National Laboratory's machines, 1996-2005 (LA-UR-05-7318); B. Schroeder, G. A. Gibson, "A
large-scale study of failures in high-performance computing systems", DSN 2006, found the same kinds of distributions.
Grid'5000: node availability, 2005-2006, from the Failure Trace Archive; D. Kondo, B. Javadi, A. Iosup, D. Epema, "The
Failure Trace Archive: enabling comparative analysis of failures in diverse distributed systems", CCGrid 2010.
"""

from __future__ import annotations

from msgspec import Struct

from model.job import SECOND
from sim.distributions import Distribution, Exponential, Quantiles
from sim.scenario import Counted

HOUR = 3600 * SECOND


class Prefab(Struct, frozen=True):
    """How often a host is down, and for how long."""

    interval: Distribution
    lasts: Distribution
    about: str
    """what its numbers are of, in a few words"""
    counted: Counted = Counted.FROM_END


SHARES = (
    0.0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.925, 0.95, 0.97, 0.98, 0.99, 0.995,
)  # fmt: skip
"""Quantiles that stand below, in this order, and then the largest value."""


def _quantiles(*hours: float) -> Quantiles:
    """As many of `SHARES` as are known, and the largest value."""
    return Quantiles((*SHARES[: len(hours) - 1], 1.0), tuple(round(each * HOUR) for each in hours))


_LANL_CLUSTER_UP = (
    0.08333, 1.117, 19.83, 107.9, 570.1, 1371, 2457, 4029, 5895, 8463, 10220, 12390, 15730, 18740, 20780, 25300,
    25300,
)  # fmt: skip
_LANL_CLUSTER_DOWN = (
    0.01667, 0.08333, 0.2167, 0.2833, 0.4, 0.5333, 0.7333, 0.9667, 1.35, 1.933, 2.367, 2.867, 3.617, 5, 6.433,
    9.483, 14.37, 21.1, 32.08, 51.67, 253.1,
)  # fmt: skip
_LANL_BIGSMP_UP = (
    0.01667, 0.3167, 1.883, 6.083, 17.28, 29.25, 53.5, 90.85, 136.5, 184.3, 238, 316.2, 434.6, 598.8, 749.9, 960.6,
    1375, 1768, 2353, 2844, 2844,
)  # fmt: skip
_LANL_BIGSMP_DOWN = (
    0.01667, 0.08333, 0.1167, 0.1667, 0.25, 0.3333, 0.4833, 0.7, 1.083, 1.667, 2.117, 2.667, 3.55, 4.5, 5.25, 7.917,
    16.7, 26.73, 100, 126.7, 4903,
)  # fmt: skip
_GRID5000_UP = (
    0.0002778, 0.01278, 0.07611, 0.1167, 0.5144, 1.302, 2.834, 6.388, 12.09, 19.65, 24.12, 32.93, 49.31, 73.84,
    95.71, 130.9, 191.7, 269.7, 409.5, 620.3, 1352,
)  # fmt: skip
_GRID5000_DOWN = (
    0.0002778, 0.0125, 0.02611, 0.02778, 0.03028, 0.03417, 0.04, 0.04583, 0.07028, 0.09944, 0.1794, 0.58, 1.898,
    7.25, 12.75, 19.92, 50.32, 81.49, 168.2, 328.6, 1160,
)  # fmt: skip

PREFABS: dict[str, Prefab] = {
    "lanl-cluster": Prefab(
        _quantiles(*_LANL_CLUSTER_UP),
        _quantiles(*_LANL_CLUSTER_DOWN),
        "LANL's system 18 (1,024 nodes): nine months between failures, repaired in 1 h (median), 3 h (mean)",
    ),
    "lanl-bigsmp": Prefab(
        _quantiles(*_LANL_BIGSMP_UP),
        _quantiles(*_LANL_BIGSMP_DOWN),
        "LANL's system 16 (16 big SMPs): ten days between failures, repaired in 0.7 h (median), 9 h (mean)",
    ),
    "grid5000": Prefab(
        _quantiles(*_GRID5000_UP),
        _quantiles(*_GRID5000_DOWN),
        "Grid'5000's nodes: up for 6.4 h (median), 32 h (mean), away for 3 min (median), 8 h (mean)",
    ),
}
NONE = "none"
"""The prefab without faults, for the run to compare with."""


def exponential(mtbf_ns: int, mttr_ns: int) -> Prefab:
    """Without memory: as textbooks have it, and no real machine."""
    return Prefab(Exponential(mtbf_ns), Exponential(mttr_ns), "exponential")
