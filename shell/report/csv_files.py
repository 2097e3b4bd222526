"""The numbers behind a report as CSV files in a folder: one for each picture, and one for the figures.

Called by `shell/report/making.py`. Times are seconds since the start of the simulation.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from shell.file_errors import unwritable
from shell.many_worlds import ManyWorlds
from shell.report.courses import free_slots
from sim.figures import HOST_FIGURES, RUN_FIGURES, SCHEDULER_FIGURES, TASK_FIGURES, Figure, Unit, find
from sim.metrics import Metrics
from sim.timeline import NONE, VERDICTS, Timeline
from sim.unused_slots import CLOSED, DOWN, FREE, SLOTS, UNREACHED
from sim.waiting import Reason

Cell = str | int | float | None


def write_csv(folder: Path, metrics: Metrics, timeline: Timeline, many: ManyWorlds | None) -> list[str]:
    """Write all; gives the names. Raises `LaulimaError` when that is not possible."""
    tables: dict[str, tuple[Sequence[str], Iterable[tuple[Cell, ...]]]] = {
        "figures.csv": (("figure", "value"), _figures(metrics)),
        "jobs-on-hosts.csv": (("host", "task", "start", "end", "slots", "verdict"), _spans(timeline)),
        "slots.csv": (("start", "end", *_SLOTS), _slots(timeline)),
        "queue.csv": (("start", "end", *(reason.value for reason in Reason), "oldest"), _queue(timeline)),
        "waits.csv": (("task", "wait"), _waits(timeline)),
        "outcomes.csv": (("task", "outcome", "jobs"), _outcomes(metrics)),
        "away.csv": (("host", "fault", "start", "end"), _away(timeline)),
    }
    if many is not None:
        tables["worlds.csv"] = (("arm", "seed", "hash", "good", *_names(many)), _worlds(many))
        if many.comparisons:
            columns = ("figure", "pairs", "baseline", "this", "difference", "low", "high", "verdict")
            tables["comparison.csv"] = (columns, _comparisons(many))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, (head, rows) in tables.items():
            with (folder / name).open("w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                writer.writerow(head)
                writer.writerows(rows)
    except OSError as error:
        raise unwritable(folder / "figures.csv", error) from error
    return list(tables)


_SLOTS = (*(verdict.value for verdict in VERDICTS), FREE, CLOSED, UNREACHED, "without power", SLOTS, "pending slots")
"""All but the last two together are `SLOTS`."""


def _figures(metrics: Metrics) -> Iterable[tuple[Cell, ...]]:
    yield from _of("", RUN_FIGURES, metrics)
    yield from _of("", TASK_FIGURES, metrics.total)
    for task in metrics.tasks:
        yield from _of(f"tasks.{task.task}.", TASK_FIGURES, task)
    for row in metrics.schedulers:
        own = f"schedulers.{row.scheduler}."
        yield from _of(own, SCHEDULER_FIGURES, row)
        yield from _of(own, TASK_FIGURES, row.total)
    for host in metrics.hosts:
        yield from _of(f"hosts.{host.host}.", HOST_FIGURES, host)


def _of(owner: str, figures: Mapping[str, Figure], holder: object) -> Iterable[tuple[Cell, ...]]:
    yield from ((owner + name, in_seconds(figure.of(holder), figure)) for name, figure in figures.items())


def in_seconds(value: float | None, figure: Figure) -> float | None:
    """Times in s, all others as they are."""
    return value / 1e9 if value is not None and figure.unit is Unit.TIME else value


def _spans(timeline: Timeline) -> Iterable[tuple[Cell, ...]]:
    hosts, spans = list(timeline.hosts), timeline.spans
    for at in range(len(spans.start)):
        host = hosts[spans.host[at]] if spans.host[at] < len(hosts) else ""
        verdict = VERDICTS[spans.verdict[at]].value
        yield host, timeline.tasks[spans.task[at]], _s(spans.start[at]), _s(spans.end[at]), spans.slots[at], verdict


def _slots(timeline: Timeline) -> Iterable[tuple[Cell, ...]]:
    ran: list[Sequence[float]] = [timeline.series.means(verdict.value, timeline.end) for verdict in VERDICTS]
    others = (CLOSED, UNREACHED, DOWN, SLOTS, "pending slots")
    rest = [timeline.series.means(name, timeline.end) for name in others]
    yield from _rows(timeline, [*ran, free_slots(timeline), *rest])


def _queue(timeline: Timeline) -> Iterable[tuple[Cell, ...]]:
    series = timeline.series
    columns = [series.means(reason.value, timeline.end) for reason in Reason]
    oldest = [age / 1e9 for age in series.peaks.get("oldest", [0.0] * len(columns[0]))]
    yield from _rows(timeline, [*columns, oldest[: len(columns[0])]])


def _rows(timeline: Timeline, columns: Sequence[Sequence[float]]) -> Iterable[tuple[Cell, ...]]:
    width = timeline.series.width_ns
    for at, values in enumerate(zip(*columns, strict=True)):
        yield _s(at * width), _s(min((at + 1) * width, timeline.end)), *values


def _waits(timeline: Timeline) -> Iterable[tuple[Cell, ...]]:
    for task, waits in timeline.waits.items():
        yield from ((task, _s(wait)) for wait in waits)


def _outcomes(metrics: Metrics) -> Iterable[tuple[Cell, ...]]:
    for task in metrics.tasks:
        yield from ((task.task, outcome, number) for outcome, number in task.outcomes.items())
        if task.open:
            yield task.task, "open", task.open


def _away(timeline: Timeline) -> Iterable[tuple[Cell, ...]]:
    for host, spans in timeline.down.items():
        yield from ((host, span.kind, _s(span.start), _s(span.end)) for span in spans)


def _names(many: ManyWorlds) -> list[str]:
    return [line.figure for line in many.figures]


def _worlds(many: ManyWorlds) -> Iterable[tuple[Cell, ...]]:
    names = _names(many)
    for arm, worlds in (("this", many.worlds), ("baseline", many.baseline)):
        for world in worlds:
            cells = (in_seconds(world.figures.get(name), find(name)) for name in names)
            yield arm, world.seed, world.hash, int(world.good), *cells


def _comparisons(many: ManyWorlds) -> Iterable[tuple[Cell, ...]]:
    for line in many.comparisons:
        ends = (None, None) if line.interval is None else (line.interval.low, line.interval.high)
        figure = find(line.figure)
        cells = (in_seconds(value, figure) for value in (line.baseline, line.first, line.difference, *ends))
        yield line.figure, line.pairs, *cells, line.verdict


def _s(time_ns: int) -> str:
    """Exact seconds; empty for what has not happened."""
    return "" if time_ns == NONE else f"{time_ns // 10**9}.{time_ns % 10**9:09d}"
