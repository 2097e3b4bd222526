"""`laulima sim --sweep`: the same worlds with one thing varied, side by side: where is the cliff, which policy is best?

    load=0.5..1.2               the offered load: periods of tasks and sources (or the times of a job log) are scaled
    down=0%..50%                so many of the hosts are down from the beginning to the end, drawn for each seed
    when_down                   every task's policy for a required host that is down: wait, fail, {try: 3}, elsewhere
    tasks.warp.limits.in_flight=10..80      any key of the pipeline, as --set takes it
    cluster.order=fill,strict               the same with values that have no order
    schedulers.north.load=0.1..0.5          where several schedulers use one controller, load, when_down and keys of a
                                            pipeline may be those of one, or of a set of them; load alone: all of them

A range has `POINTS` values (`0.5..1.2:15` so many). Called by `shell/commands/rehearse.py`; worlds are run by
`shell/many_worlds.py`, what they say of each value is `sim/sweeps.py`, how values become worlds `shell/sweep_arms.py`.
"""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from model.errors import ConfigurationError
from shell.expectations import figure_text
from shell.file_errors import refuse_unwritable
from shell.many_worlds import Many, run_arms
from shell.prepared import Asked, Output, prepare
from shell.report.drawing import require_matplotlib
from shell.simulate import NOTHING
from shell.sweep_arms import ArmOf, Varied, arms_of, parse_sweep, possible
from shell.tables import Column, Style, table
from shell.wording import count, duration, number_text
from sim.figures import Unit, find, split
from sim.many import Comparison, Drawn, compare, names_of
from sim.sweeps import KNEE, KNEE_FIGURE, LEAST_WAIT_NS, Band, band, knee

SCHEMA = 1
SHOWN = (
    "ended", "failed", "host_down", "pending_timeout", "timed_out", "lost", "mean_wait", "p95_wait", "p95_response",
    "offered_load", "utilization_nominal", "goodput", "lost_work", "queue_max",
)  # fmt: skip
"""Figures of each value. What no task was ever counted by is left out of the tables."""


NEVER_STARTED = ("pending_timeout", "host_down")
"""Ends of jobs that waited in vain."""
NEVER_TOLD = 0.01
"""Where fewer than this share of the jobs did, waits tell enough."""
SCHEDULERS_SHOWN = 4
"""Schedulers that have columns of their own in the table of a sweep (`--json` has all)."""


class Point(Struct, frozen=True):
    """One value, over all seeds. `bands` by figure; `compared`: with the first value, seed by seed."""

    value: str
    at: float | None
    """its place on the axis; None: values that have no order"""
    good: int
    worlds: tuple[Drawn, ...]
    bands: dict[str, Band]
    compared: tuple[Comparison, ...]
    command: str
    """makes the first seed of it"""


class Swept(Struct, frozen=True):
    """The whole answer, as `--json` gives it."""

    configuration: str
    scenario: str
    what: str
    """the thing that is varied"""
    seeds: tuple[int, ...]
    for_ns: int
    points: tuple[Point, ...]
    ordered: bool
    knee: float | None
    """the value at which the median of `mean_wait` is twice that at the lowest one"""
    again: str
    note: str = ""
    """of values that were left out"""
    schema: int = SCHEMA


def run_sweep(asked: Asked, text: str, many: Many, *, json: bool, style: Style, output: Output = NOTHING) -> int:
    """Simulate all worlds and print. The exit code is 0 when all were good, else 1.

    Raises `ConfigurationError` when a file, the sweep or one of its values is wrong.
    """
    if output.html is not None:
        require_matplotlib()
    refuse_unwritable(output.html, folder=output.csv)
    varied = parse_sweep(text)
    prepared = prepare(asked)
    varied = possible(varied, prepared)
    for warning in prepared.loaded.warnings:
        sys.stderr.write(warning + "\n")
    began = time.perf_counter()
    arms = arms_of(varied, prepared, many)
    names = list(dict.fromkeys([*SHOWN, *names_of(prepared.loaded.scenario, prepared.loaded.task_names)]))
    found = run_arms([arm.prepared for arm in arms], many, names)
    again = shlex.join([*prepared.words(seeds=many.text), "--sweep", text])
    answer = sum_up(prepared.loaded.configuration.path, str(prepared.loaded.path or ""), varied, arms, found, again)
    if json:
        sys.stdout.write(msgspec.json.encode(answer).decode() + "\n")
    else:
        took_s = time.perf_counter() - began
        sys.stdout.write("\n".join(lines_of(answer, took_s, many.jobs, style)) + "\n")
    if output.wanted:
        from shell.report.sweep_page import write_sweep  # noqa: PLC0415 - only where a report is asked for

        write_sweep(output, answer)
    return 0 if all(point.good == len(point.worlds) for point in answer.points) else 1


def sum_up(
    configuration: str,
    scenario: str,
    varied: Varied,
    arms: Sequence[ArmOf],
    found: Sequence[Sequence[Drawn]],
    again: str,
) -> Swept:
    """All worlds as one answer."""
    points = tuple(
        Point(
            arm.value,
            arm.at,
            sum(world.good for world in worlds),
            tuple(worlds),
            {name: band(worlds, name) for name in dict.fromkeys(name for world in worlds for name in world.figures)},
            compare(worlds, found[0]) if number else (),
            shlex.join([*arm.prepared.words(seed=worlds[0].seed)]) if arm.by_command else "",
        )
        for number, (arm, worlds) in enumerate(zip(arms, found, strict=True))
    )
    broken = [world for worlds in found for world in worlds if world.error or world.broken]
    for world in broken[:1]:
        raise ConfigurationError(
            f"seed {world.seed}: {world.error or world.first_broken}", "a bug of laulima: please report it"
        )
    places = [point.at for point in points if point.at is not None]
    ordered = len(places) == len(points)
    waits = [point.bands.get(KNEE_FIGURE, Band()).median for point in points]
    return Swept(
        configuration,
        scenario,
        varied.what,
        tuple(world.seed for world in found[0]),
        max(world.ended_ns for worlds in found for world in worlds),
        points,
        ordered,
        knee(places, waits) if ordered else None,
        again,
        varied.note,
    )


# as text


def lines_of(answer: Swept, took_s: float, jobs: int, style: Style) -> list[str]:
    """The answer for a person."""
    name = Path(answer.scenario or answer.configuration).name
    processes = f" in {jobs} processes" if jobs > 1 else ""
    size = f"{count(len(answer.points), 'value')}, {count(len(answer.seeds), 'seed')} each"
    lines = [f"{answer.what} of {name}: {size}, {duration(answer.for_ns)} simulated, {took_s:.1f} s{processes}"]
    lines += [f"values     {answer.note}", ""] if answer.note else [""]
    if answer.ordered:
        lines += table(_columns(answer), answer.points, 0, style)
        of_each = _scheduler_columns(answer)
        lines += ["", *table(of_each, answer.points, 0, style)] if len(of_each) > 1 else []
        never = never_started(answer)
        remark = [f"waits      {never}"] if never else []
        return [*lines, "", *knee_lines(answer), *remark, *_again(answer)]
    rows = rows_of(answer)
    columns: list[Column[tuple[str, ...]]] = [Column("FIGURE", lambda row, _: row[0], most=32)]
    for at, point in enumerate(answer.points, 1):
        columns.append(Column(point.value, lambda row, _, at=at: row[at], right=True))  # type: ignore[misc]
    lines += table(columns, rows, 0, style)
    lines.append(NOTE)
    return [*lines, *_again(answer)]


NOTE = (
    "medians over the seeds; better, worse, more, less: than the first, and larger than the noise at 95 % for all "
    "figures together"
)


def rows_of(answer: Swept) -> list[tuple[str, ...]]:
    """A row a figure, a column a value: the median; where values have no order also whether it is better than that of
    the first one."""
    rows: list[tuple[str, ...]] = []
    for figure in answer.points[0].bands:
        medians = [point.bands.get(figure, Band()).median for point in answer.points]
        if not any(medians):
            continue
        verdicts = [
            next((line.verdict for line in point.compared if line.figure == figure), "") for point in answer.points
        ]
        cells = [
            cell(figure, median) + ("" if answer.ordered or verdict in ("", "same") else f" {verdict}")
            for median, verdict in zip(medians, verdicts, strict=True)
        ]
        rows.append((figure, *cells))
    rows.append(("worlds as expected", *(f"{point.good} of {len(point.worlds)}" for point in answer.points)))
    return rows


def cell(figure: str, value: float | None) -> str:
    """A figure's value; the median of counts may lie between two of them."""
    unit = find(figure).unit
    if unit is Unit.COUNT and value is not None and value != int(value):
        return number_text(value)
    return figure_text(value, unit)


def _median(point: Point, figure: str) -> str:
    return cell(figure, point.bands.get(figure, Band()).median)


def _range(point: Point, figure: str) -> str:
    found = point.bands.get(figure, Band())
    return "-" if found.count < 2 else f"{cell(figure, found.low)} to {cell(figure, found.high)}"


def _value_column(answer: Swept) -> Column[Point]:
    return Column(answer.what.rpartition(".")[2].upper(), lambda point, _: point.value, right=True)


def _scheduler_columns(answer: Swept) -> list[Column[Point]]:
    """What each of several schedulers had at each value, for as many as there is room for."""
    figures = [name for name in answer.points[0].bands if name.startswith("schedulers.")]
    names = list(dict.fromkeys(split(figure)[1] for figure in figures))[:SCHEDULERS_SHOWN]
    columns = [_value_column(answer)]
    for name in names:
        for figure, head in (("mean_wait", "WAIT mean"), ("ended", "ENDED")):
            columns.append(
                Column(
                    f"{name} {head}",
                    lambda point, _, of=f"schedulers.{name}.{figure}": _median(point, of),  # type: ignore[misc]
                    right=True,
                )
            )
    return columns


def _columns(answer: Swept) -> list[Column[Point]]:
    return [
        _value_column(answer),
        Column("OFFERED", lambda point, _: _median(point, "offered_load"), right=True, weight=6),
        Column("WAIT mean", lambda point, _: _median(point, "mean_wait"), right=True),
        Column("5 to 95 %", lambda point, _: _range(point, "mean_wait"), right=True, weight=3, most=32),
        Column("p95", lambda point, _: _median(point, "p95_wait"), right=True),
        Column("BUSY", lambda point, _: _median(point, "utilization_nominal"), right=True, weight=5),
        Column("ENDED", lambda point, _: _median(point, "ended"), right=True, weight=4),
        Column("FAILED", lambda point, _: _median(point, "failed"), right=True, weight=7),
        Column("AS EXPECTED", lambda point, _: f"{point.good} of {len(point.worlds)}", right=True, weight=2),
    ]


def knee_lines(answer: Swept) -> list[str]:
    """What is said of the knee."""
    waits = [(point.value, wait) for point in answer.points if (wait := point.bands[KNEE_FIGURE].median) is not None]
    if len(waits) < 2:
        return ["knee       -: no job was started at two values"]
    low, wait = min(zip((point.at or 0.0 for point in answer.points), waits, strict=False))[1]
    lowest = figure_text(wait, Unit.TIME)
    least = f"{KNEE:g} x the {lowest} at {low}"
    if wait < LEAST_WAIT_NS:
        least = f"{KNEE:g} x {duration(LEAST_WAIT_NS)}, as which the {lowest} at {low} counts"
    if answer.knee is None:
        return [f"knee       none: the mean wait stays below {least}"]
    return [f"knee       at {place_text(answer, answer.knee)}: there the mean wait reaches {least}"]


def never_started(answer: Swept) -> str:
    """What waits do not tell: at which value most jobs ended without a start. Empty: there were next to none."""
    counts = []
    for point in answer.points:
        ended, *never = (point.bands.get(name, Band()).median or 0.0 for name in ("ended", *NEVER_STARTED))
        counts.append((sum(never) / max(1.0, ended), sum(never), ended, point.value))
    share, number, ended, place = max(counts)
    if share <= NEVER_TOLD:
        return ""
    return f"of jobs that started; at {place} {number_text(number)} of {number_text(ended)} ended without a start"


def place_text(answer: Swept, at: float) -> str:
    """A place of the axis, as its values are written."""
    unit = answer.points[0].value.lstrip("0123456789.")
    return f"{at:.3g}{unit}" if unit else f"{at:.3g}"


def _again(answer: Swept) -> list[str]:
    return [f"again      {answer.again}"]
