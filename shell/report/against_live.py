"""The picture of what was simulated beside what really happened: can the simulation be trusted?

Left: jobs that had ended, over time. Right: how long each job waited, really and simulated, and the quantiles of both.
Called by `shell/report/past_page.py`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from shell.report.drawing import BAD, INK, LOST, USEFUL, TimeAxis, legend, picture
from shell.report.spreads import time_ticks
from shell.wording import count
from sim.retelling import JobLife

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Lives = Mapping[str, JobLife]
"""What became of jobs, by name."""
PLACES = 240
"""Places of the time axis at which ended jobs are counted."""
DOTS_MAX = 1500
"""Jobs that are drawn as dots; of more every n-th by its wait."""
QUANTILES = 100
BAND = (0.05, 0.95)
LEAST_S = 1e-3
"""A shorter wait counts as so long: there is a logarithm of it."""


def ended_and_waited(
    really: Lives, baseline: Sequence[Lives], changed: Sequence[Lives], time: TimeAxis
) -> tuple[str, str]:
    """SVG and caption. `baseline` and `changed`: a world for each seed. Empty when nothing really happened."""
    if not really or not baseline:
        return "", ""
    with picture(3.6, (1.5, 1.0)) as (_, (left, right), svg):
        _ended(left, really, baseline, changed, time)
        pairs = _pairs(really, baseline[0])
        if pairs:
            _waited(right, pairs)
        else:
            right.set_axis_off()
    worlds = f"{count(len(baseline), 'seed')}: the band is 5 to 95 % of them" if len(baseline) > 1 else "one world"
    dots = f"; a dot a job ({count(len(pairs), 'job')} that started in both)" if pairs else ""
    return svg.text, (
        f"Simulated against live: can the simulation be trusted? Left: jobs that have ended ({worlds}). Right: waits, "
        f"simulated over real{dots}; crosses are the percentiles of both. On the line they are the same."
    )


def _ended(axes: Axes, really: Lives, baseline: Sequence[Lives], changed: Sequence[Lives], time: TimeAxis) -> None:
    places = [time.end_ns * at // PLACES for at in range(PLACES + 1)]
    hours = [time.hours(at) for at in places]
    worlds = [_counts(lives, places) for lives in baseline]
    low, high = ([_quantile(column, share) for column in zip(*worlds, strict=True)] for share in BAND)
    axes.fill_between(hours, low, high, step="post", color=USEFUL.colour, alpha=0.35, linewidth=0.0)
    middle = [_quantile(column, 0.5) for column in zip(*worlds, strict=True)]
    axes.step(hours, middle, "-", where="post", color=USEFUL.colour, linewidth=1.4, label="baseline, simulated")
    others = [_counts(lives, places) for lives in changed]
    if others and others != worlds:
        middle = [_quantile(column, 0.5) for column in zip(*others, strict=True)]
        axes.step(hours, middle, "--", where="post", color=LOST.colour, linewidth=1.4, label="changed, simulated")
    axes.step(hours, _counts(really, places), ":", where="post", color=INK, linewidth=1.8, label="live")
    axes.set_ylabel("jobs that have ended")
    axes.set_ylim(bottom=0.0)
    time.put_on(axes)
    legend(axes, axes.get_legend_handles_labels()[0], 3)


def _counts(lives: Lives, places: Sequence[int]) -> list[int]:
    """How many jobs had ended at each place."""
    ends = sorted(life.ended_ns for life in lives.values() if life.ended_ns is not None)
    return [bisect_right(ends, place) for place in places]


def _quantile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _pairs(really: Lives, simulated: Lives) -> list[tuple[float, float]]:
    """The waits of each job that started in both, s."""
    found = [(one.wait_ns, other.wait_ns) for name, one in really.items() if (other := simulated.get(name)) is not None]
    return [
        (max(one / 1e9, LEAST_S), max(other / 1e9, LEAST_S))
        for one, other in found if one is not None and other is not None
    ]  # fmt: skip


def _waited(axes: Axes, pairs: Sequence[tuple[float, float]]) -> None:
    every = max(1, -(-len(pairs) // DOTS_MAX))
    shown = sorted(pairs)[::every]
    axes.plot(*zip(*shown, strict=True), "o", color=BAD.colour, markersize=3, alpha=0.4, markeredgewidth=0.0)
    live, simulated = (sorted(side) for side in zip(*pairs, strict=True))
    ranks = sorted({min(len(live) - 1, at * len(live) // QUANTILES) for at in range(QUANTILES + 1)})
    axes.plot([live[at] for at in ranks], [simulated[at] for at in ranks], "+", color=INK, markersize=6, zorder=4)
    low, high = min(live[0], simulated[0]), max(live[-1], simulated[-1])
    axes.plot([low, high], [low, high], "-", color=INK, linewidth=0.8)
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        time_ticks(axis, low, high)
    axes.set_xlim(low / 1.5, high * 1.5)
    axes.set_ylim(low / 1.5, high * 1.5)
    axes.set_xlabel("wait, live")
    axes.set_ylabel("wait, simulated")
