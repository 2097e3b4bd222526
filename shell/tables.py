"""Rows to a table of text: plain, aligned, as wide as the terminal and no wider.

Called by the commands that print lists. Which columns a list has is said here as data; the words in the cells come
from `wording.py`. When the room is too small, columns that matter least are left out first, then the last one is cut.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

from msgspec import Struct

from model.resources import amount_text
from model.views import (
    ChangeRow,
    HistoryRow,
    HostRow,
    JobRow,
    NoticeRow,
    NotifierRow,
    PlanRow,
    ResourceRow,
    SuperiorRow,
    TaskRow,
)
from shell.wording import ago, clean, clock, coming, cut, duration, moment, sparkline, thousands, width

Row = TypeVar("Row")
GAP = "  "
LAST_MIN = 20
"""Columns that the last cell keeps at least; before it gets less, other columns are left out."""
SPARE = 0
"""The weight of columns that are there only when nothing has to be cut for them."""
NAME_MAX = 24
"""Columns that one cell may take, other than the last one's, before it is cut."""
RESOURCES_MAX = 48
"""The same for the resources of a host."""


class Column(Struct, Generic[Row], frozen=True):
    """`cell(row, now_ns)` gives the text. `weight`: columns with the smallest are left out first when the terminal is
    narrow; 9 stays always. `right`: aligned to the right."""

    head: str
    cell: Callable[[Row, int], str]
    right: bool = False
    weight: int = 9
    most: int = NAME_MAX


class Style(Struct, frozen=True):
    """How wide a table may be (0: as wide as it wants), and how a text is coloured (state -> ANSI code), if at all."""

    columns: int = 80
    colour: bool = False
    ellipsis: str = "…"


PLAIN = Style()

_COLOURS = {
    "on": "32", "up": "32", "running": "32", "exit 0": "32",
    "held": "33", "draining": "33", "silent": "33", "aside": "33", "connecting": "33", "window closed": "33",
    "retrying": "33",
    "down": "31", "faulted": "31", "off": "2", "inactive": "2", "deleted": "2",
}  # fmt: skip


def table(columns: Sequence[Column[Row]], rows: Iterable[Row], now_ns: int, style: Style = PLAIN) -> list[str]:
    """The lines of a table, head first. The last column takes what is left; no line has blanks at its end."""
    cells = [[clean(column.cell(row, now_ns)) for column in columns] for row in rows]
    heads = [column.head for column in columns]
    widths = [
        min(max(width(line[at]) for line in [heads, *cells]), 10_000 if at == len(columns) - 1 else column.most)
        for at, column in enumerate(columns)
    ]
    shown = _fitting(columns, widths, style.columns)
    return [
        _line(columns, widths, shown, line, style, colour=style.colour and number > 0)
        for number, line in enumerate([heads, *cells])
    ]


def _fitting(columns: Sequence[Column[Row]], widths: list[int], room: int) -> list[int]:
    """Which columns to show; narrows the last one in `widths` to what is left for it."""
    shown = list(range(len(columns)))
    last = shown[-1]
    if room <= 0:
        return shown
    while True:
        spare = any(columns[at].weight == SPARE for at in shown)
        needed = widths[last] if spare else min(widths[last], LAST_MIN)
        left = room - sum(widths[at] + len(GAP) for at in shown[:-1])
        droppable = [at for at in shown[:-1] if columns[at].weight < 9]
        if left >= needed or not droppable:
            widths[last] = max(1, min(widths[last], left))
            return shown
        lightest = min(columns[at].weight for at in droppable)
        if lightest == SPARE:  # they belong together
            shown = [at for at in shown if columns[at].weight != SPARE]
            continue
        shown.remove(max(at for at in droppable if columns[at].weight == lightest))


def _line(
    columns: Sequence[Column[Row]], widths: list[int], shown: list[int], line: list[str], style: Style, *, colour: bool
) -> str:
    parts: list[str] = []
    for at in shown:
        text = cut(line[at], widths[at], style.ellipsis)
        blanks = " " * (widths[at] - width(text))
        code = _COLOURS.get(text) if colour else None
        if code:
            text = f"\x1b[{code}m{text}\x1b[0m"
        parts.append(blanks + text if columns[at].right else text + blanks)
    return GAP.join(parts).rstrip()


def run_of_limit(row: TaskRow) -> str:
    return f"{row.running}/{row.limit}" if row.limit else str(row.running)


def words(command: str, item: str | None) -> str:
    """What a job does, in one cell: its item says more than its command, which all jobs of a task share."""
    return item or command


def outcome_word(row: HistoryRow) -> str:
    return end_word(row.outcome, row.exit_code, row.signal)


def end_word(outcome: str, exit_code: int | None, signal: int | None) -> str:
    """`exit 0`, `CRASHED 11`, `TIMED_OUT`: the outcome with what makes it one."""
    if exit_code is not None and outcome == "EXITED":
        return f"exit {exit_code}"
    return f"{outcome} {signal}" if signal else outcome


TASKS: tuple[Column[TaskRow], ...] = (
    Column("TASK", lambda row, _: row.name),
    Column("STATE", lambda row, _: row.state),
    Column("PEND", lambda row, _: thousands(row.pending), right=True),
    Column("RUN/MAX", lambda row, _: run_of_limit(row), right=True),
    Column("DONE", lambda row, _: thousands(row.done), right=True, weight=5),
    Column("FAIL", lambda row, _: thousands(row.failed), right=True, weight=7),
    Column("LAST", lambda row, now: ago(row.last_at, now), weight=2),
    Column("NEXT", lambda row, now: coming(row.next_at, now), weight=3),
    Column("WHY", lambda row, _: row.why),
)

LATELY: tuple[Column[TaskRow], ...] = (
    Column("DONE 1h", lambda row, _: _counted(row.done_1h), right=True, weight=SPARE),
    Column("FAIL 1h", lambda row, _: _counted(row.failed_1h), right=True, weight=SPARE),
    Column("LAST HOUR", lambda row, _: sparkline(row.course_1h), weight=SPARE),
)
"""Where there is room, and the server has counted."""


def _counted(number: int | None) -> str:
    return "-" if number is None else thousands(number)


def task_columns(rows: Iterable[TaskRow], columns: tuple[Column[TaskRow], ...]) -> tuple[Column[TaskRow], ...]:
    """The columns of a table of tasks, with the last hour's behind the counts."""
    if all(row.done_1h is None for row in rows):
        return columns
    at = [column.head for column in columns].index("LAST")
    return (*columns[:at], *LATELY, *columns[at:])


TASKS_FULL: tuple[Column[TaskRow], ...] = (
    *TASKS[:4],
    Column("ITEMS", lambda row, _: thousands(row.items), right=True, weight=4),
    *TASKS[4:6],
    Column("SKIP", lambda row, _: thousands(row.skipped), right=True, weight=4),
    *TASKS[6:],
)

JOBS: tuple[Column[JobRow], ...] = (
    Column("JOB", lambda row, _: str(row.job), right=True),
    Column("TRY", lambda row, _: str(row.attempt), right=True, weight=1),
    Column("TASK", lambda row, _: row.task, most=16),
    Column("STATE", lambda row, _: row.outcome or row.state),
    Column("HOST", lambda row, _: row.host or "-", weight=5, most=16),
    Column("SINCE", lambda row, _: duration(row.since_ns), right=True, weight=3),
    Column("ITEM", lambda row, _: words(row.command, row.item), weight=2),
    Column("WHY", lambda row, _: row.why),
)

HOSTS: tuple[Column[HostRow], ...] = (
    Column("HOST", lambda row, _: row.name),
    Column("STATE", lambda row, _: row.state),
    Column("BUSY", lambda row, _: f"{row.busy}/{row.slots}", right=True),
    Column("QUEUED", lambda row, _: thousands(row.queued), right=True, weight=4),
    Column("DONE", lambda row, _: thousands(row.done), right=True, weight=5),
    Column("FAIL", lambda row, _: thousands(row.failed), right=True, weight=6),
    Column("SINCE", lambda row, _: duration(row.since_ns), right=True, weight=3),
    Column("WHY", lambda row, _: row.why),
)


def resources_text(resources: Iterable[ResourceRow]) -> str:
    """Used and declared, short: `cpus 6/8  memory 12GiB/32GiB`."""
    return "  ".join(
        f"{row.name} {amount_text(row.name, row.used)}/{amount_text(row.name, row.total)}" for row in resources
    )


def host_columns(rows: Iterable[HostRow]) -> tuple[Column[HostRow], ...]:
    """The columns of the list of hosts: resources and labels where some host has any."""
    rows = list(rows)
    more: list[Column[HostRow]] = []
    if any(row.resources for row in rows):
        more.append(Column("RESOURCES", lambda row, _: resources_text(row.resources), weight=8, most=RESOURCES_MAX))
    if any(row.labels for row in rows):
        more.append(Column("LABELS", lambda row, _: " ".join(row.labels), weight=2))
    return (*HOSTS[:3], *more, *HOSTS[3:])


SCHEDULERS: tuple[Column[SuperiorRow], ...] = (
    Column("SCHEDULER", lambda row, _: row.name),
    Column("STATE", lambda row, _: "connected" if row.listens else "away"),
    Column("SHARE", lambda row, _: str(row.share), right=True, weight=5),
    Column("WAITING", lambda row, _: f"{row.waiting}/{row.waiting_most}", right=True),
    Column("AT HOSTS", lambda row, _: f"{row.at_hosts}/{row.at_hosts_most or '-'}", right=True),
)

PLAN_TIMES = 4
"""Starts of one task that a plan names."""


def start_times(row: PlanRow, now: int) -> str:
    """The first starts of a task to the minute, each minute once, and the last one."""
    shown = list(dict.fromkeys(moment(at, now) for at in row.times))[:PLAN_TIMES]
    if row.starts > len(shown) and row.last_at is not None:
        shown.append(f"… {moment(row.last_at, now)}")
    return " ".join(shown) or "-"


PLAN: tuple[Column[PlanRow], ...] = (
    Column("TASK", lambda row, _: row.task),
    Column("STARTS", lambda row, _: f"{thousands(row.starts)}{'+' if row.more else ''}", right=True),
    Column("NEXT", lambda row, now: coming(row.first_at, now), weight=5),
    Column("WHEN", start_times, most=56),
    Column("ITEMS", lambda row, _: thousands(row.items) if row.items else "-", right=True, weight=3),
    Column("WHY", lambda row, _: row.why),
)

CHANGES: tuple[Column[ChangeRow], ...] = (
    Column("WHEN", lambda row, now: clock(row.at, now)),
    Column("WHO", lambda row, _: row.by),
    Column("WHAT", lambda row, _: row.verb, most=60),
    Column("ABOUT", lambda row, _: f"{row.about} {row.name}".strip()),
    Column("REASON", lambda row, _: row.reason or "-"),
)

NOTIFIERS: tuple[Column[NotifierRow], ...] = (
    Column("NOTIFIER", lambda row, _: row.name),
    Column("TOLD", lambda row, _: thousands(row.sent), right=True),
    Column("FAILED", lambda row, _: thousands(row.failed), right=True),
    Column("LAST", lambda row, now: ago(row.last_at, now)),
    Column("NOW", lambda row, _: f"fails: {row.error}" if row.error else "works" if row.sent else "told nothing yet"),
)

NOTICES: tuple[Column[NoticeRow], ...] = (
    Column("TOLD", lambda row, now: clock(row.told_at, now)),
    Column("LEVEL", lambda row, _: row.level, weight=5),
    Column("ABOUT", lambda row, _: row.about or "-"),
    Column("NOTICE", lambda row, _: row.text),
)

HISTORY: tuple[Column[HistoryRow], ...] = (
    Column("JOB", lambda row, _: str(row.job), right=True),
    Column("TRY", lambda row, _: str(row.attempt), right=True, weight=6),
    Column("TASK", lambda row, _: row.task, most=16),
    Column("OUTCOME", lambda row, _: outcome_word(row)),
    Column("HOST", lambda row, _: row.host or "-", most=16),
    Column("ENDED", lambda row, now: clock(row.over_at, now), weight=5),
    Column("WAITED", lambda row, _: duration(row.waited_ns), right=True, weight=3),
    Column("RAN", lambda row, _: "-" if row.started_at is None else duration(row.ran_for_ns), right=True, weight=4),
    Column("ITEM", lambda row, _: words(row.command, row.item) + (f"  ({row.reason})" if row.reason else "")),
)
