"""The course of a run as lines for a terminal: jobs that wait, slots in use and hosts away over time, as bars.

Plain text without colours; where the terminal has no bars, ASCII. Called by `shell/simulate.py`; pictures of the same
are `shell/report/`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from shell.tables import Style
from shell.wording import count, duration, sparkline
from sim.series import Most
from sim.timeline import NONE, VERDICTS, Timeline
from sim.unused_slots import CLOSED, DOWN, SLOTS, UNREACHED
from sim.waiting import BRIEF_NS, OF_JOBS

MARKS = 60
"""Bars of a line, where it is wide enough."""
MARKS_MIN = 10
HEAD, TAIL = 11, 30
"""Columns before and behind the bars."""
THINNEST = 0.002
"""What is less of a whole bar cannot be told from nothing."""
ENDS = 12
"""Bars of a task's ends, as those of `history --stats`."""
DAY_NS = 24 * 3600 * 10**9


def course_lines(timeline: Timeline, start: datetime, style: Style) -> list[str]:
    """Six lines at most; none where nothing ever waited, or ran on a host (the scheduler's own computer is none).
    `start`: of the run, on its wall."""
    series, end = timeline.series, timeline.end
    waiting = _sums(timeline, [reason.value for reason in OF_JOBS])
    busy = _sums(timeline, [verdict.value for verdict in VERDICTS])
    if not end or not any((*waiting, *busy)):
        return []
    marks = min(MARKS, max(MARKS_MIN, style.columns - HEAD - TAIL)) if style.columns else MARKS
    marks = min(marks, len(waiting))
    unicode = style.ellipsis == "…"
    slots = max(series.means(SLOTS, end), default=0.0)
    lines = [
        f"course     {_clock(start, 0, end)} to {_clock(start, end, end)}, each mark {duration(end // marks)}",
        f"waiting    {_bars(waiting, marks, unicode, least=1.0)}  {_most_waiting(timeline, start)}",
    ]
    if slots:
        lines.append(f"busy       {_bars(busy, marks, unicode, slots)}  of {count(round(slots), 'slot')}")
    for head, name in (("no power", DOWN), ("no answer", UNREACHED), ("closed", CLOSED)):
        away = series.means(name, end)
        if any(away):
            most = _most(timeline.most_slots[name], "slot", timeline, start)
            lines.append(f"{head:<10} {_bars(away, marks, unicode, slots)}  {most}")
    return lines


def ends_by_task(timeline: Timeline) -> dict[str, list[int]]:
    """How many processes of each task ended in each twelfth of the run."""
    found = {task: [0] * ENDS for task in timeline.tasks}
    spans = timeline.spans
    for task, end in zip(spans.task, spans.end, strict=True):
        if end != NONE:
            found[timeline.tasks[task]][min(ENDS - 1, end * ENDS // max(1, timeline.end))] += 1
    return found


def _sums(timeline: Timeline, names: Sequence[str]) -> list[float]:
    """The means of several series together, in each bin."""
    return [sum(parts) for parts in zip(*(timeline.series.means(name, timeline.end) for name in names), strict=True)]


def _bars(values: Sequence[float], marks: int, unicode: bool, least: float) -> str:
    """So many bars, each the mean of its part. A whole one is the largest, or `least` if that is more."""
    parts = [
        values[at * len(values) // marks : max(at * len(values) // marks + 1, (at + 1) * len(values) // marks)]
        for at in range(marks)
    ]
    means = [sum(part) / len(part) for part in parts]
    whole = max(least, *means)
    levels = [-int(-8 * mean / whole // 1) if mean > whole * THINNEST else 0 for mean in means]
    return sparkline(levels, top=8, unicode=unicode)


def _most_waiting(timeline: Timeline, start: datetime) -> str:
    if not timeline.most_waiting.value:
        return f"never a job for {duration(BRIEF_NS)}"
    return _most(timeline.most_waiting, "job", timeline, start)


def _most(most: Most, what: str, timeline: Timeline, start: datetime) -> str:
    return f"most {count(most.value, what)}, {_clock(start, most.at, timeline.end)}"


def _clock(start: datetime, at_ns: int, end_ns: int) -> str:
    moment = start + timedelta(seconds=at_ns // 10**9)
    return moment.strftime("%H:%M" if end_ns <= DAY_NS else "%m-%d %H:%M")
