"""The numbers of `sim/prefabs.py`, worked out from the archives' failure traces: `python -m tests.sim.fit_prefabs`.

Where the traces are is said by the environment variable of `tests/sim/failure_logs.py`. A node counts from its first
failure on: when it was taken into use is not told. Repair times are taken as they are; times between failures by the
estimator of Kaplan and Meier, for the last one of each node was cut off by the end of the trace. The largest value is
the one with which the mean is that of the trace. Tests compare what is printed with what stands there.
"""

from __future__ import annotations

import sys
from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise
from math import ceil, log

from msgspec import Struct

from sim.fault_traces import FaultTrace, read_trace
from sim.prefabs import SHARES
from tests.sim.failure_logs import GRID5000, LANL, archived

SOURCES = {"lanl-cluster": (LANL, "18"), "lanl-bigsmp": (LANL, "16"), "grid5000": (GRID5000, "")}
TOP_H = 1e6


class Cycles(Struct):
    """What is known of all nodes of a trace together, h."""

    downs: list[float]
    gaps: list[float]
    """from the end of a failure to the next"""
    cut: list[float]
    """from the end of the last one to that of the trace"""

    @property
    def mtbf(self) -> float:
        return (sum(self.gaps) + sum(self.cut)) / len(self.gaps)

    @property
    def mttr(self) -> float:
        return sum(self.downs) / len(self.downs)

    @property
    def availability(self) -> float:
        return self.mtbf / (self.mtbf + self.mttr)


def cycles_of(trace: FaultTrace) -> Cycles:
    found = Cycles([], [], [])
    for node in trace.nodes:
        found.downs += [(end - begin) / 3600 for begin, end in node.spans]
        found.gaps += [(after - end) / 3600 for (_, end), (after, _) in pairwise(node.spans)]
        if node.spans:
            found.cut.append((trace.end_s - node.spans[-1][1]) / 3600)
    return found


def source(name: str) -> Cycles:
    file, system = SOURCES[name]
    return cycles_of(read_trace(archived(file), system))


def kaplan_meier(ended: Sequence[float], cut: Sequence[float]) -> list[tuple[float, float]]:
    """(share that is over by then, value) at each value that ended; those that were cut off lasted longer."""
    values = sorted([(value, False) for value in ended] + [(value, True) for value in cut])
    left, steps = 1.0, list[tuple[float, float]]()
    for place, (value, was_cut) in enumerate(values):
        if not was_cut:
            left *= 1 - 1 / (len(values) - place)
            steps.append((1 - left, value))
    return steps


def mean_of(points: Sequence[tuple[float, float]]) -> float:
    """Of what is drawn between them, on a scale of logarithms."""
    return sum(
        (share - before) * ((high - low) / log(high / low) if high > low else low)
        for (before, low), (share, high) in pairwise(points)
    )


def points_of(steps: Sequence[tuple[float, float]], mean: float) -> list[tuple[float, float]]:
    """(share, value), from 0 to 1, with this mean."""
    shares = [share for share, _ in steps]
    points = [(0.0, steps[0][1])]
    points += [(share, steps[bisect_left(shares, share)][1]) for share in SHARES[1:] if share <= shares[-1]]
    low, high = points[-1][1], TOP_H
    for _ in range(100):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if mean_of([*points, (1.0, middle)]) < mean else (low, middle)
    return [(share, float(f"{value:.4g}")) for share, value in [*points, (1.0, low)]]


def fitted(found: Cycles) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """The points of the times between failures, and of the repair times, h."""
    downs = sorted(found.downs)
    steps = [((at + 1) / len(downs), value) for at, value in enumerate(downs)]
    return points_of(kaplan_meier(found.gaps, found.cut), found.mtbf), points_of(steps, found.mttr)


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest that so many do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, ceil(share * len(ordered)) - 1)]


if __name__ == "__main__":
    for each in SOURCES:
        of = source(each)
        sys.stdout.write(f"{each}: MTBF {of.mtbf:.4g} h, MTTR {of.mttr:.4g} h, available {of.availability:.5f}; ")
        sys.stdout.write(f"TTR p50 {quantile(of.downs, 0.5):.4g} h, p95 {quantile(of.downs, 0.95):.4g} h\n")
        for points in fitted(of):
            sys.stdout.write(f"    {points} mean {mean_of(points):.4g}\n")
