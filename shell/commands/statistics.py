"""`history --stats`: counts, run times, waits and a sparkline for each task, from the attempts that ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from msgspec import Struct

from model.views import HistoryRow
from shell.tables import Column, Style, outcome_word, table
from shell.wording import duration, quantile, sparkline, thousands

BARS = 12
"""Bars of a sparkline: the time from the first to the last end, in equal parts."""


class TaskStatistics(Struct, frozen=True):
    """Of one task's attempts that ended. Times in ns; `ends`: how many ended in each twelfth of the whole time."""

    task: str
    attempts: int
    good: int
    failed: int
    retried: int
    ran_p50_ns: int
    ran_p95_ns: int
    waited_p50_ns: int
    waited_p95_ns: int
    ends: tuple[int, ...]
    outcomes: dict[str, int]


COLUMNS: tuple[Column[TaskStatistics], ...] = (
    Column("TASK", lambda row, _: row.task),
    Column("DONE", lambda row, _: thousands(row.good), right=True),
    Column("FAIL", lambda row, _: thousands(row.failed), right=True),
    Column("AGAIN", lambda row, _: thousands(row.retried), right=True, weight=3),
    Column("RAN p50", lambda row, _: duration(row.ran_p50_ns), right=True),
    Column("p95", lambda row, _: duration(row.ran_p95_ns), right=True, weight=5),
    Column("WAITED p50", lambda row, _: duration(row.waited_p50_ns), right=True, weight=4),
    Column("p95", lambda row, _: duration(row.waited_p95_ns), right=True, weight=4),
    Column("ENDS", lambda row, _: sparkline(row.ends), weight=2),
    Column("OUTCOMES", lambda row, _: ", ".join(f"{word} {number}" for word, number in row.outcomes.items())),
)


def statistics_rows(rows: Sequence[HistoryRow]) -> list[TaskStatistics]:
    """One for each task, by name."""
    first = min((row.ended_at for row in rows), default=0)
    last = max((row.ended_at for row in rows), default=0)
    by_task: dict[str, list[HistoryRow]] = {}
    for row in rows:
        by_task.setdefault(row.task, []).append(row)
    return [_of_task(task, by_task[task], first, last) for task in sorted(by_task)]


def _of_task(task: str, rows: list[HistoryRow], first: int, last: int) -> TaskStatistics:
    ran = sorted(row.ran_for_ns for row in rows if row.started_at is not None)
    waited = sorted(row.waited_ns for row in rows)
    bars = [0] * BARS
    for row in rows:
        bars[min(BARS - 1, (row.ended_at - first) * BARS // max(1, last - first))] += 1
    words = Counter(outcome_word(row) for row in rows)
    return TaskStatistics(
        task=task,
        attempts=len(rows),
        good=words["exit 0"],
        failed=sum(row.final for row in rows) - sum(row.final and outcome_word(row) == "exit 0" for row in rows),
        retried=sum(not row.final for row in rows),
        ran_p50_ns=quantile(ran, 0.5),
        ran_p95_ns=quantile(ran, 0.95),
        waited_p50_ns=quantile(waited, 0.5),
        waited_p95_ns=quantile(waited, 0.95),
        ends=tuple(bars),
        outcomes=dict(words.most_common()),
    )


def statistics_lines(rows: Sequence[HistoryRow], style: Style, now: int) -> list[str]:
    return table(COLUMNS, statistics_rows(rows), now, style)
