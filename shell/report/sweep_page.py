"""The report of a sweep: a page with figures over what is varied and the knee, or policies beside each other; and CSV.

Called by `shell/sweeping.py`.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from shell.expectations import figure_text
from shell.file_errors import unwritable
from shell.prepared import Output
from shell.report.again import again
from shell.report.csv_files import in_seconds
from shell.report.drawing import INK, PALETTE, named, picture
from shell.report.html import document, figure, safe, table
from shell.report.making import write_text
from shell.report.spreads import dots, time_ticks
from shell.sweeping import NOTE, Swept, cell, knee_lines, never_started, place_text, rows_of
from shell.wording import count, duration
from sim.figures import Unit, find
from sim.sweeps import HIGH, KNEE_FIGURE, LOW, Band

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANELS = (("mean_wait", "p95_wait"), ("failed", "utilization_nominal"))
"""Figures that are drawn over the values, two a picture."""
COMPARED = ("failed", "p95_wait", "p95_response", "goodput")
"""Figures of values that have no order."""
LEAST_S = 1e-3
"""A shorter wait counts as so long: there is a logarithm of it."""
BAND_OPACITY = 0.3


def write_sweep(output: Output, answer: Swept) -> None:
    """Write what was asked for, and say so on stderr. Raises `LaulimaError` when it cannot be written."""
    if output.csv is not None:
        file = output.csv / "sweep.csv"
        try:
            output.csv.mkdir(parents=True, exist_ok=True)
            with file.open("w", newline="", encoding="utf-8") as opened:
                writer = csv.writer(opened)
                writer.writerow((answer.what, "place", "seed", "good", "hash", *_figures(answer)))
                writer.writerows(_rows(answer))
        except OSError as error:
            raise unwritable(file, error) from error
        sys.stderr.write(f"wrote {file}\n")
    if output.html is not None:
        write_text(output.html, page(answer))
        sys.stderr.write(f"wrote {output.html}\n")


def _figures(answer: Swept) -> list[str]:
    return [*answer.points[0].worlds[0].figures]


def _rows(answer: Swept) -> Iterable[tuple[str | float | None, ...]]:
    """A line a world; times in seconds."""
    names = _figures(answer)
    for point in answer.points:
        for world in point.worlds:
            values = [in_seconds(world.figures.get(name), find(name)) for name in names]
            yield (point.value, point.at, world.seed, int(world.good), world.hash, *values)


def page(answer: Swept) -> str:
    """The whole file."""
    name = Path(answer.scenario or answer.configuration).name
    title = f"{answer.what} of {name}"
    seeds = f"{answer.seeds[0]} to {answer.seeds[-1]}" if len(answer.seeds) > 1 else str(answer.seeds[0])
    head = [
        ("pipeline", Path(answer.configuration).name),
        ("scenario", Path(answer.scenario).name or "none: a usual world"),
        ("values", ", ".join(point.value for point in answer.points) + (f" ({answer.note})" if answer.note else "")),
        ("seeds", f"{len(answer.seeds)}: {seeds}, the same at each value"),
        ("simulated", f"{duration(answer.for_ns)} each"),
    ]
    parts = [f"<h1>{safe(title)}</h1>", f'<p class="verdict">{safe(_verdict(answer))}</p>']
    parts.append("<dl>" + "".join(f"<dt>{word}</dt><dd>{safe(text)}</dd>" for word, text in head) + "</dl>")
    pictures = _over_places(answer) if answer.ordered else [_beside(answer)]
    parts += [figure(svg, caption) for svg, caption in pictures]
    rows = [tuple(map(safe, row)) for row in rows_of(answer)]
    parts += ["<h2>Figures</h2>", table(("figure", *(safe(point.value) for point in answer.points)), rows)]
    parts += ["" if answer.ordered else f"<p>{safe(NOTE)}</p>", *again(answer.again)]
    return document(title, parts)


def _verdict(answer: Swept) -> str:
    good = [point.value for point in answer.points if point.good == len(point.worlds)]
    told = f"All worlds are as expected at {', '.join(good)}" if good else "Nowhere are all worlds as expected"
    if not answer.ordered:
        return told + "."
    (knee,) = knee_lines(answer)
    never = never_started(answer)
    waits = f" Waits are {never}." if never else ""
    return f"{told}. The knee: {knee.removeprefix('knee').strip()}.{waits}"


# pictures


def _over_places(answer: Swept) -> list[tuple[str, str]]:
    drawn = []
    for pair in PANELS:
        with picture(3.2, (1.0, 1.0)) as (_, axes, svg):
            for one, name in zip(axes, pair, strict=True):
                _panel(one, answer, name)
        words = " and ".join(name.replace("_", " ") for name in pair)
        seeds = count(len(answer.seeds), "seed")
        caption = f"{words} over {answer.what}: the median of {seeds}, the band {LOW} to {HIGH} %."
        if KNEE_FIGURE in pair and answer.knee is not None:
            caption += f" Dots: the knee, at {place_text(answer, answer.knee)}."
        drawn.append((svg.text, caption))
    return drawn


def _panel(axes: Axes, answer: Swept, name: str) -> None:
    """One figure over the places."""
    known = [(point.at, found) for point in answer.points if (found := point.bands.get(name, Band())).count]
    is_time = find(name).unit is Unit.TIME
    places = [at for at, _ in known if at is not None]
    lines = [[_drawn(value, is_time) for value in (found.low, found.median, found.high)] for _, found in known]
    if places:
        low, middle, high = ([line[at] for line in lines] for at in range(3))
        axes.fill_between(places, low, high, color=PALETTE[0].colour, alpha=BAND_OPACITY, linewidth=0.0)
        axes.plot(places, middle, "o-", color=PALETTE[0].colour, markeredgecolor=INK, markersize=5, linewidth=1.6)
        if is_time:
            axes.set_yscale("log")
            time_ticks(axes.yaxis, min(low), max(high))
        else:
            axes.set_ylim(bottom=0.0)
            if find(name).unit is Unit.SHARE:
                axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:g} %")
    if answer.knee is not None and name == KNEE_FIGURE:
        axes.axvline(answer.knee, color=INK, linestyle=(0, (1, 2)), linewidth=1.4)
        axes.text(answer.knee, 0.02, f" knee {place_text(answer, answer.knee)}", transform=axes.get_xaxis_transform())
    axes.set_xlabel(named(answer.what))
    axes.set_title(name.replace("_", " "), fontsize=9)


def _drawn(value: float | None, is_time: bool) -> float:
    assert value is not None, "a band with a count has all three"
    return max(value / 1e9, LEAST_S) if is_time else value


def _beside(answer: Swept) -> tuple[str, str]:
    """A panel a figure, in it a row a value, every seed a dot."""
    shown = [name for name in COMPARED if any(_values(answer, name))]
    rows = list(reversed(answer.points))
    with picture(0.9 + 0.42 * len(rows), (1.0,) * max(1, len(shown))) as (_, axes, svg):
        for one, name in zip(axes, shown, strict=False):
            everything = [value for values in _values(answer, name) for value in values]
            low, high = min(everything), max(everything)
            for row, point in enumerate(rows):
                values = [value for world in point.worlds if (value := world.figures.get(name)) is not None]
                look = PALETTE[(len(rows) - 1 - row) % len(PALETTE)]
                dots(one, row, values, (low, high), look, "o")
                middle = point.bands.get(name, Band()).median
                one.text(0.5, row + 0.3, cell(name, middle), fontsize=7, ha="center", va="center")
            one.set_yticks(range(len(rows)), [named(point.value) for point in rows] if one is axes[0] else [])
            one.set_xticks([0.0, 1.0], [figure_text(low, find(name).unit), figure_text(high, find(name).unit)])
            one.set_xlim(-0.08, 1.08)
            one.set_ylim(-0.6, len(rows) - 0.4)
            one.set_title(name.replace("_", " "), fontsize=9)
    seeds = count(len(answer.seeds), "seed")
    text = f"{answer.what}: {seeds}, each a dot; bar {LOW} to {HIGH} %, tick and number the median."
    return svg.text, text


def _values(answer: Swept, name: str) -> Sequence[list[float]]:
    return [
        [value for world in point.worlds if (value := world.figures.get(name)) is not None] for point in answer.points
    ]
