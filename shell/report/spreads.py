"""Pictures of distributions: how long jobs waited, how they ended, and many worlds beside each other.

Called by `shell/report/page.py` and `shell/report/sweep_page.py`.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from shell.expectations import figure_text
from shell.report.drawing import FREE, INK, PALETTE, Look, key_of, legend, look_of, named, picture, rectangles
from shell.wording import count, thousands
from sim.figures import find
from sim.many import Comparison, Drawn
from sim.metrics import TaskMetrics
from sim.sweeps import band_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

TASKS_SHOWN = 8
"""Lines of waits: of the tasks with the most jobs."""
TASKS_BARRED = 30
POINTS_MAX = 200
"""Of a line; between them nothing can be seen."""
FIGURES_SHOWN = ("p95_wait", "failed", "lost_work", "p95_response", "queue_max", "goodput")
"""Of many worlds; those that some expectation speaks of come first."""
PANELS_MAX = 6
LINES = ("-", "--", "-.", ":")
CLOSE = 200.0
"""Times that are not so many times apart have more ticks."""
_CLOSER = ((2, "2 s"), (5, "5 s"), (20, "20 s"), (120, "2 min"), (300, "5 min"), (1200, "20 min"), (7200, "2 h"),
           (18000, "5 h"))  # fmt: skip
DONE = "exit 0"
OPEN = "open at the end"
OUTCOMES = (DONE, "other exits", "CRASHED", "TIMED_OUT", "PENDING_TIMEOUT", "HOST_DOWN", "LOST", "others", OPEN)


def waits(found: Mapping[str, array[int]], limits: Mapping[str, int], order: Sequence[str] = ()) -> tuple[str, str]:
    """SVG and caption: the share of a task's jobs that waited longer. `limits`: pending timeouts by task, ns; `order`:
    of the tasks, which decides their colours in all pictures."""
    numbers = {task: at for at, task in enumerate(dict.fromkeys((*order, *found)))}
    tasks = sorted((name for name in found if len(found[name])), key=lambda name: -len(found[name]))[:TASKS_SHOWN]
    if not tasks:
        return "", ""
    with picture(3.3) as (_, (axes,), svg):
        for task in tasks:
            at = numbers[task]
            ordered = sorted(found[task])
            places = _places(len(ordered))
            seconds = [max(ordered[place] / 1e9, 1e-3) for place in places]
            left = [(len(ordered) - place) / len(ordered) for place in places]
            colour, style = PALETTE[at % len(PALETTE)].colour, LINES[at % len(LINES)]
            label = f"{named(task)} ({thousands(len(ordered))})"
            axes.step(seconds, left, style, where="post", color=colour, linewidth=1.6, label=label)
            for share, mark in ((0.5, "o"), (0.05, "s"), (0.01, "^")):
                rank = min(len(ordered) - 1, max(0, -int(-(1 - share) * len(ordered) // 1) - 1))
                axes.plot(max(ordered[rank] / 1e9, 1e-3), share, mark, color=colour, markeredgecolor=INK, markersize=5)
        for limit in sorted({limits[task] for task in tasks if limits.get(task)}):
            axes.axvline(limit / 1e9, color=INK, linestyle=(0, (1, 3)), linewidth=1.0)
        axes.set_xscale("log")
        axes.set_yscale("log")
        time_ticks(axes.xaxis, 1e-3, max(max(found[task]) for task in tasks) / 1e9)
        least = 0.5 / max(len(found[task]) for task in tasks)
        axes.set_ylim(bottom=least, top=1.3)
        shares = [10.0**-power for power in range(10) if 10.0**-power >= least]
        axes.set_yticks(shares, [f"{100 * share:.7g} %" for share in shares])
        axes.set_yticks([], minor=True)
        axes.set_ylabel("share that waited longer")
        handles, _ = axes.get_legend_handles_labels()
        legend(axes, handles, 4)
    more = f" The {len(tasks)} largest of {len(found)} tasks." if len(tasks) < len(found) else ""
    marks = "circle, square, triangle: p50, p95, p99; vertical dots: the pending timeout; below 1 ms counts as 1 ms"
    return svg.text, f"Waits: how bad is the tail? A line a task ({marks}).{more}"


def _places(length: int) -> list[int]:
    """Ranks at which the line is drawn: fewer than all, and every one at the tail."""
    if length <= POINTS_MAX:
        return list(range(length))
    tail = [length - back for back in range(1, POINTS_MAX // 2)]
    body = [at * length * 2 // POINTS_MAX for at in range(POINTS_MAX // 2)]
    return sorted({*tail, *body})


def time_ticks(axis: Axis, low: float, high: float) -> None:
    """Ticks of a logarithmic axis of seconds."""
    marks: tuple[tuple[float, str], ...]
    marks = ((1e-3, "1 ms"), (1e-2, "10 ms"), (0.1, "100 ms"), (1, "1 s"), (10, "10 s"), (60, "1 min"), (600, "10 min"),
             (3600, "1 h"), (36000, "10 h"), (360000, "100 h"), (3.6e6, "1000 h"))  # fmt: skip
    if high < low * CLOSE:
        marks = tuple(sorted({*marks, *_CLOSER}))
    shown = [mark for mark in marks if low <= mark[0] <= max(high, low) * 3] or [marks[0]]
    axis.set_ticks([at for at, _ in shown], labels=[text for _, text in shown])
    axis.set_ticks([], minor=True)


def outcomes(tasks: Sequence[TaskMetrics]) -> tuple[str, str]:
    """SVG and caption: a bar a task, how its jobs ended."""
    shown = sorted(tasks, key=lambda task: -(task.ended + task.open))[:TASKS_BARRED]
    if not shown:
        return "", ""
    with picture(1.2 + 0.3 * len(shown)) as (_, (axes,), svg):
        used: dict[str, bool] = {}
        for row, task in enumerate(reversed(shown)):
            total, left = max(1, task.ended + task.open), 0.0
            for at, (name, number) in enumerate(_grouped(task).items()):
                if number:
                    used[name] = True
                    rectangles(axes, [(left, row - 0.4, number / total, 0.8)], _outcome_look(at), linewidth=0.3)
                    left += number / total
            axes.text(1.01, row, thousands(task.ended + task.open), va="center", fontsize=8)
        axes.set_xlim(0.0, 1.12)
        axes.set_xticks([0.0, 0.25, 0.5, 0.75, 1.0], ["0 %", "25 %", "50 %", "75 %", "100 %"])
        axes.set_yticks(range(len(shown)), [named(task.task) for task in reversed(shown)])
        axes.set_ylim(-0.6, len(shown) - 0.4)
        legend(axes, [key_of(_outcome_look(at), name) for at, name in enumerate(OUTCOMES) if name in used], 5)
    more = f" {len(shown)} of {count(len(tasks), 'task')}, those with the most jobs." if len(shown) < len(tasks) else ""
    return svg.text, f"Outcomes: what failed, and how? At the end of a bar its number of jobs.{more}"


def _outcome_look(at: int) -> Look:
    return FREE if OUTCOMES[at] == OPEN else look_of(at)


def _grouped(task: TaskMetrics) -> dict[str, int]:
    counts = dict.fromkeys(OUTCOMES, 0)
    for name, number in task.outcomes.items():
        if name in counts:
            counts[name] += number
        else:
            counts["other exits" if name.startswith("exit ") else "others"] += number
    counts[OPEN] += task.open
    return counts


def many(
    worlds: Sequence[Drawn], baseline: Sequence[Drawn], comparisons: Sequence[Comparison], names: tuple[str, str]
) -> tuple[str, str]:
    """SVG and caption: every seed as a dot, median and 5 to 95 %; beside it the paired differences."""
    wanted = [one.expected.partition(" ")[0] for one in worlds[0].judged if ":" not in one.expected]
    figures = [
        name for name in dict.fromkeys(name.replace("_pending", "_wait") for name in [*wanted, *FIGURES_SHOWN])
        if any(world.figures.get(name) is not None for world in worlds)
    ][:PANELS_MAX]  # fmt: skip
    if not figures or len(worlds) < 2:
        return "", ""
    both = bool(baseline)
    with picture(0.5 + len(figures) * (0.95 if both else 0.75), (2.0, 1.4) if both else (1.0,)) as (_, axes, svg):
        rows = list(reversed(figures))
        for row, name in enumerate(rows):
            sets = [(worlds, PALETTE[0], "o")] + ([(baseline, PALETTE[1], "s")] if both else [])
            values = [[v for world in some if (v := world.figures.get(name)) is not None] for some, _, _ in sets]
            everything = [value for some in values for value in some]
            if not everything:
                continue
            low, high = min(everything), max(everything)
            for at, ((_, look, mark), some) in enumerate(zip(sets, values, strict=True)):
                dots(axes[0], row + (0.2 - 0.4 * at if both else 0.0), some, (low, high), look, mark)
            unit = find(name).unit
            axes[0].text(0.0, row + 0.44, figure_text(low, unit), fontsize=7, ha="left", va="center")
            axes[0].text(1.0, row + 0.44, figure_text(high, unit), fontsize=7, ha="right", va="center")
        axes[0].set_yticks(range(len(rows)), rows)
        axes[0].set_xticks([])
        axes[0].set_xlim(-0.04, 1.04)
        axes[0].set_ylim(-0.6, len(rows) - 0.3)
        axes[0].spines["bottom"].set_visible(False)
        if both:
            texts = (f"{named(names[0])}: upper", f"{named(names[1])}: lower")
            legend(axes[0], [key_of(PALETTE[at], text) for at, text in enumerate(texts)], 2)
            _differences(axes[1], rows, comparisons)
    text = (
        f"{count(len(worlds), 'world')}: each seed a dot, a row on a scale of its own; bar 5 to 95 %, tick the median."
    )
    if both:
        text += " Right: the paired difference with its 95 % interval, and the line of no difference."
    return svg.text, text


def dots(axes: Axes, row: float, values: Sequence[float], scale: tuple[float, float], look: Look, mark: str) -> None:
    """A row of seeds between the ends of `scale`: each a dot, 5 to 95 % a bar, the median a tick."""
    if not values:
        return
    low, high = scale
    width = (high - low) or 1.0
    ordered = [(value - low) / width if high > low else 0.5 for value in sorted(values)]
    found = band_of(ordered)
    assert found.low is not None
    assert found.median is not None
    assert found.high is not None
    few = min(len(ordered), POINTS_MAX)
    shown = [ordered[at * len(ordered) // few] for at in range(few)]
    axes.plot([found.low, found.high], [row, row], "-", color=INK, linewidth=1.0)
    axes.plot([found.median], [row], "|", color=INK, markersize=12, markeredgewidth=2.0)
    axes.plot(shown, [row] * len(shown), mark, color=look.colour, markersize=4, alpha=0.7, markeredgewidth=0.0)


def _differences(axes: Axes, rows: Sequence[str], comparisons: Sequence[Comparison]) -> None:
    """Each on a scale of its own: 0 in the middle, the farther end of its interval at the edge."""
    known = {line.figure: line for line in comparisons}
    axes.axvline(0.0, color=INK, linewidth=0.8)
    for row, name in enumerate(rows):
        line = known.get(name)
        if line is None or line.difference is None:
            continue
        interval, unit = line.interval, find(name).unit
        ends = [line.difference] if interval is None else [interval.low, interval.high]
        reach = max(map(abs, [*ends, line.difference])) or 1.0
        axes.plot([end / reach for end in ends], [row] * len(ends), "-", color=INK, linewidth=2.0)
        axes.plot([line.difference / reach], [row], "D", color=PALETTE[6].colour, markeredgecolor=INK, markersize=6)
        sign = "+" if line.difference > 0 else "-" if line.difference < 0 else ""
        text = f"{sign}{figure_text(abs(line.difference), unit)} {line.verdict or 'may be luck'}"
        axes.text(0.0, row + 0.34, text, fontsize=7, ha="center", va="center")
    axes.set_yticks([])
    axes.set_xticks([])
    axes.set_xlim(-1.15, 1.15)
    axes.set_ylim(-0.6, len(rows) - 0.3)
