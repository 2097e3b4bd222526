"""A figure over the values of something that is varied: the median and the spread of its seeds at each, and the knee.

Pure arithmetic over worlds that have run; called by `shell/sweeping.py`, which makes the worlds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from msgspec import Struct

from model.job import SECOND
from sim.figures import find
from sim.many import Drawn

LOW, HIGH = 5, 95
"""Per cent: the band of the seeds."""
KNEE = 2.0
"""The knee is where the wait is so many times that at the lowest value."""
KNEE_FIGURE = "mean_wait"
LEAST_WAIT_NS = SECOND
"""At the knee a shorter wait counts as so long: twice nearly nothing is no cliff."""


class Band(Struct, frozen=True):
    """A figure over seeds: median, and `LOW` and `HIGH` per cent (nearest rank). None: defined in no seed."""

    median: float | None = None
    low: float | None = None
    high: float | None = None
    count: int = 0


def band(worlds: Sequence[Drawn], figure: str) -> Band:
    """Of these worlds."""
    find(figure)
    return band_of(value for world in worlds if (value := world.figures.get(figure)) is not None)


def band_of(some: Iterable[float]) -> Band:
    """Of these values."""
    values = sorted(some)
    if not values:
        return Band()
    half = len(values) // 2
    median = values[half] if len(values) % 2 else (values[half - 1] + values[half]) / 2
    low, high = (values[-(-len(values) * share // 100) - 1] for share in (LOW, HIGH))
    return Band(median, low, high, len(values))


def knee(places: Sequence[float], waits: Sequence[float | None]) -> float | None:
    """Where the wait (ns) is first twice that at the lowest place, between two places on the line through them; None:
    nowhere, or nobody waited for a start."""
    points = [(at, wait) for at, wait in sorted(zip(places, waits, strict=True)) if wait is not None]
    if len(points) < 2:
        return None
    limit = KNEE * max(points[0][1], LEAST_WAIT_NS)
    for (before, low), (at, wait) in pairwise(points):
        if wait >= limit:
            return at if wait == low else before + (at - before) * max(0.0, limit - low) / (wait - low)
    return None
