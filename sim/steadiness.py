"""Whether the beginning of a run, with hosts that are still empty, makes its averages others than they are afterwards.

Averages over time are compared with what they are without the time in which the first jobs ended. How much they vary
by chance is told by batch means (Conway 1963; Law, Simulation Modeling and Analysis): a mean over twenty stretches of
equal length, each long enough to depend little on the one before. A reader of `sim/timeline.py`, called by
`shell/metric_tables.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from sim.confidence import Interval, mean_of, student_interval
from sim.timeline import NONE, VERDICTS, Timeline
from sim.waiting import OF_JOBS

FIRST_JOBS = 0.05
"""Which share of the jobs makes the beginning."""
JOBS_MIN = 100
"""With fewer ends nothing can be said."""
BATCHES = 20
BINS_MIN = 2 * BATCHES
"""The same of pieces of time after the beginning."""
TOLD = 0.02
"""A difference below so much of the average itself is never told: it changes no decision."""


class Unsteady(Struct, frozen=True):
    """An average that the beginning changes by more than chance would. `cut_ns`: where the first jobs have ended."""

    figure: str
    whole: float
    after: float
    cut_ns: int


def unsteady(timeline: Timeline) -> list[Unsteady]:
    """Averages of the whole run that are not what they are after its beginning."""
    series, end = timeline.series, timeline.end
    first = _beginning(timeline)
    if first is None:
        return []
    found = []
    for figure, names in (
        ("slots in use", [verdict.value for verdict in VERDICTS]),
        ("jobs waiting", [reason.value for reason in OF_JOBS]),
    ):
        levels = [sum(parts) for parts in zip(*(series.means(name, end) for name in names), strict=True)]
        interval = _noise(levels[first:])
        last = (end - (len(levels) - 1) * series.width_ns) / series.width_ns  # the last bin may be shorter
        weights = [1.0] * (len(levels) - 1) + [last]
        whole, after = _mean(levels, weights), _mean(levels[first:], weights[first:])
        if interval is None or interval.low <= whole <= interval.high or abs(whole - after) <= TOLD * after:
            continue
        found.append(Unsteady(figure, whole, after, first * series.width_ns))
    return found


def _beginning(timeline: Timeline) -> int | None:
    """How many bins it takes until the first jobs have ended; None: too little is left behind them, or ended at all."""
    width = timeline.series.width_ns
    bins = max(1, -(-timeline.end // width))
    ends = [0] * bins
    for end in timeline.spans.end:
        if end != NONE:
            ends[min(bins - 1, end // width)] += 1
    total = seen = sum(ends)
    if total < JOBS_MIN:
        return None
    for at in reversed(range(bins)):
        seen -= ends[at]
        if seen < FIRST_JOBS * total:
            return at + 1 if bins - at - 1 >= BINS_MIN else None
    return None


def _noise(levels: Sequence[float]) -> Interval | None:
    """Where the mean of such a stretch would be by chance."""
    size = len(levels) // BATCHES
    rest = len(levels) - size * BATCHES
    return student_interval([mean_of(levels[at : at + size]) for at in range(rest, len(levels), size)])


def _mean(levels: Sequence[float], weights: Sequence[float]) -> float:
    return sum(level * weight for level, weight in zip(levels, weights, strict=True)) / sum(weights)
