"""`history --stats`: counts, run times, waits, first and last end, and a sparkline for each task, from the attempts
that ended. Called by `reads.py`, which reads them from the journal.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Sequence

from msgspec import Struct, field

from live.history import Ended
from shell.tables import Column, Style, end_word, table
from shell.wording import clock, duration, quantile, sparkline, thousands

BARS = 12
"""Bars of a sparkline: the time from the first to the last end of all tasks, in equal parts."""
GOOD = "exit 0"


class TaskStatistics(Struct, frozen=True):
    """Of one task's attempts that ended. `good`, `failed`: jobs that ended so, `retried`: attempts that were not their
    job's last. Times in ns, run times of attempts that began; `first_at`, `last_at`: their first and last end;
    `ends`: how many ended in each twelfth of the whole time."""

    task: str
    attempts: int
    good: int
    failed: int
    retried: int
    ran_p50_ns: int
    ran_p95_ns: int
    ran_p99_ns: int
    ran_max_ns: int
    waited_p50_ns: int
    waited_p95_ns: int
    waited_p99_ns: int
    waited_max_ns: int
    first_at: int
    last_at: int
    ends: tuple[int, ...]
    outcomes: dict[str, int]


COLUMNS: tuple[Column[TaskStatistics], ...] = (
    Column("TASK", lambda row, _: row.task),
    Column("DONE", lambda row, _: thousands(row.good), right=True),
    Column("FAIL", lambda row, _: thousands(row.failed), right=True),
    Column("AGAIN", lambda row, _: thousands(row.retried), right=True, weight=4),
    Column("RAN p50", lambda row, _: duration(row.ran_p50_ns), right=True),
    Column("p95", lambda row, _: duration(row.ran_p95_ns), right=True, weight=7),
    Column("p99", lambda row, _: duration(row.ran_p99_ns), right=True, weight=5),
    Column("max", lambda row, _: duration(row.ran_max_ns), right=True, weight=5),
    Column("WAITED p50", lambda row, _: duration(row.waited_p50_ns), right=True, weight=6),
    Column("p95", lambda row, _: duration(row.waited_p95_ns), right=True, weight=6),
    Column("p99", lambda row, _: duration(row.waited_p99_ns), right=True, weight=3),
    Column("max", lambda row, _: duration(row.waited_max_ns), right=True, weight=3),
    Column("FIRST", lambda row, now: clock(row.first_at, now), weight=1),
    Column("LAST", lambda row, now: clock(row.last_at, now), weight=1),
    Column("ENDS", lambda row, _: sparkline(row.ends), weight=2),
    Column("OUTCOMES", lambda row, _: ", ".join(f"{word} {number}" for word, number in row.outcomes.items())),
)


class _Ends(Struct):
    """What is kept of one task's attempts: 24 bytes each, so that a million can be looked at."""

    ran: array[int] = field(default_factory=lambda: array("q"))
    waited: array[int] = field(default_factory=lambda: array("q"))
    ended: array[int] = field(default_factory=lambda: array("q"))
    kinds: Counter[tuple[str, int | None, int | None, int]] = field(default_factory=Counter)
    """by outcome, exit code, signal and whether it was final"""


class Tally:
    """Attempts that ended, counted task by task."""

    def __init__(self) -> None:
        self.attempts = 0
        self._tasks: dict[str, _Ends] = {}

    def count(self, ends: Iterable[Ended]) -> None:
        """Count these, too."""
        tasks = self._tasks
        for task, outcome, exit_code, signal, final, started, ended_at, waited_ns, ran_for_ns in ends:
            kept = tasks.get(task)
            if kept is None:
                kept = tasks[task] = _Ends()
            if started:
                kept.ran.append(ran_for_ns)
            kept.waited.append(waited_ns)
            kept.ended.append(ended_at)
            kept.kinds[outcome, exit_code, signal, final] += 1
        self.attempts = sum(len(kept.ended) for kept in tasks.values())

    def rows(self) -> list[TaskStatistics]:
        """One for each task, by name."""
        first = min((min(kept.ended) for kept in self._tasks.values()), default=0)
        last = max((max(kept.ended) for kept in self._tasks.values()), default=0)
        return [_of_task(task, self._tasks[task], first, last) for task in sorted(self._tasks)]


def _of_task(task: str, kept: _Ends, first: int, last: int) -> TaskStatistics:
    ran, waited = sorted(kept.ran), sorted(kept.waited)
    bars = [0] * BARS
    for ended_at in kept.ended:
        bars[min(BARS - 1, (ended_at - first) * BARS // max(1, last - first))] += 1
    words: Counter[str] = Counter()
    good = failed = 0
    for (outcome, exit_code, signal, final), number in kept.kinds.items():
        word = end_word(outcome, exit_code, signal)
        words[word] += number
        good += number if final and word == GOOD else 0
        failed += number if final and word != GOOD else 0
    return TaskStatistics(
        task=task,
        attempts=len(kept.ended),
        good=good,
        failed=failed,
        retried=len(kept.ended) - good - failed,
        ran_p50_ns=quantile(ran, 0.5),
        ran_p95_ns=quantile(ran, 0.95),
        ran_p99_ns=quantile(ran, 0.99),
        ran_max_ns=quantile(ran, 1.0),
        waited_p50_ns=quantile(waited, 0.5),
        waited_p95_ns=quantile(waited, 0.95),
        waited_p99_ns=quantile(waited, 0.99),
        waited_max_ns=quantile(waited, 1.0),
        first_at=min(kept.ended),
        last_at=max(kept.ended),
        ends=tuple(bars),
        outcomes=dict(words.most_common()),
    )


def statistics_lines(rows: Sequence[TaskStatistics], style: Style, now: int) -> list[str]:
    return table(COLUMNS, rows, now, style)
