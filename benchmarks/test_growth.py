"""Goal: what one thing costs does not grow with how many there are. Method: the curves of `growth_curves.py`, each over
several powers of ten, by `make growth` or `make bench-long`. They are written to `growth.md` as tables and drawn
into `growth.svg` (matplotlib, the `report` extra; without it there are the tables). Nothing is asserted but that each
curve has been measured: what is required of growth is asserted by the benchmarks of the parts (`test_matching.py`, …),
in turns in one run, and by counts of calls in CI.
"""

from __future__ import annotations

import datetime as dt
import importlib.util
from pathlib import Path
from typing import Final

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import busy, machine
from benchmarks.extent import only_long
from benchmarks.growth_curves import CURVES, Measured, measure
from benchmarks.scripted_server import once

TABLE: Final = Path(__file__).with_name("growth.md")
PICTURE: Final = Path(__file__).with_name("growth.svg")
GROWTH_MOST: Final = 1.2
"""Drawn as a line: so many times the cost at the smallest size."""
HEAD = """\
# Growth

Written by `make growth`: {day}, {machine}.

What one thing costs, from the smallest to the largest number of them; the best of up to three rounds. Times of one
machine differ by a third from hour to hour: read along a row. The last column is the cost at the largest size in times
of that at the smallest; below 1 the smallest pays for what is done once.

![costs over sizes](growth.svg)

"""

pytestmark = [only_long, pytest.mark.timeout(3600), pytest.mark.benchmark(group="growth")]


def table(curves: list[Measured], where: str) -> str:
    """One table for each curve: sizes in its head. `where` it was measured."""
    parts = [HEAD.format(day=dt.datetime.now(tz=dt.UTC).date().isoformat(), machine=where)]
    for curve in curves:
        sizes = " | ".join(f"{size:,}" for size, _ in curve.costs)
        costs = " | ".join(f"{cost:,.{0 if cost >= 100 else 1}f}" for _, cost in curve.costs)
        parts.append(f"| {curve.name}, in {curve.unit} | {sizes} {curve.over} | growth |\n")
        parts.append("|---" * (len(curve.costs) + 2) + "|\n")
        parts.append(f"| | {costs} | x {curve.growth:.2f} |\n\n")
    return "".join(parts).rstrip("\n") + "\n"


def draw(curves: list[Measured], path: Path) -> None:
    """One panel for each curve: sizes by powers of ten, costs from zero on, and the line of what is allowed."""
    import matplotlib as mpl  # noqa: PLC0415 - the `report` extra, asked for by who draws
    from matplotlib.figure import Figure  # noqa: PLC0415

    with mpl.rc_context({"svg.hashsalt": "growth", "svg.fonttype": "none", "font.size": 8}):
        figure = Figure(figsize=(9, 2.3 * ((len(curves) + 1) // 2)), layout="constrained")
        for number, curve in enumerate(curves, 1):
            panel = figure.add_subplot((len(curves) + 1) // 2, 2, number)
            sizes, costs = zip(*curve.costs, strict=True)
            panel.plot(sizes, costs, "o-", color="#1f5f99", markersize=3)
            panel.axhline(costs[0], color="#888888", linewidth=0.7)
            panel.axhline(GROWTH_MOST * costs[0], color="#888888", linewidth=0.7, linestyle="--")
            panel.set_xscale("log")
            panel.set_ylim(0, 1.15 * max(*costs, GROWTH_MOST * costs[0]))
            panel.set_title(f"{curve.name}: x {curve.growth:.2f}", fontsize=8)
            panel.set_xlabel(curve.over)
            panel.set_ylabel(curve.unit)
        figure.suptitle(f"solid: the cost at the smallest size; dashed: {GROWTH_MOST} times that")
        figure.savefig(path, metadata={"Date": None, "Creator": None})


def test_growth(benchmark: BenchmarkFixture) -> None:
    found: list[Measured] = []
    where = machine() + busy()
    once(benchmark, lambda: found.extend(measure(curve) for curve in CURVES))
    assert [len(curve.costs) for curve in found] == [len(curve.sizes) for curve in CURVES]
    assert min(cost for curve in found for _, cost in curve.costs) > 0
    benchmark.extra_info.update({f"{curve.name}, {curve.over}": round(curve.growth, 2) for curve in found})
    TABLE.write_text(table(found, where))
    if importlib.util.find_spec("matplotlib") is None:
        PICTURE.unlink(missing_ok=True)
        pytest.skip(f"the table is in {TABLE.name}; a picture needs matplotlib, of the extra `report`")
    draw(found, PICTURE)
