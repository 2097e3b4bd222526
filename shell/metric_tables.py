"""The metrics of a simulation as tables of text. Called by `shell.simulate`; what they mean: `sim/metrics.py`."""

from __future__ import annotations

from msgspec import Struct

from shell.durations import format_duration
from shell.expectations import figure_text
from shell.tables import Column, Style, table
from shell.wording import duration, number_text, share_text, thousands
from sim.figures import Unit
from sim.metrics import Metrics, Spread, TaskMetrics
from sim.steadiness import FIRST_JOBS, unsteady
from sim.timeline import Timeline

UNDEFINED = "-"
HOSTS_UP_SHOWN = 3
"""Numbers of hosts that were up, of which the share of time is told: the largest."""
AFTER_LAST_TOLD = 0.01
"""The time after the last job came is told when it is more than this share of the window."""
TASKS_SHOWN = 30
"""Tasks in the table: those that asked for the most."""


class _Row(Struct, frozen=True):
    name: str
    spread: Spread
    time: bool


class _Figure(Struct, frozen=True):
    name: str
    value: str


def metric_lines(metrics: Metrics, style: Style, timeline: Timeline | None = None) -> list[str]:
    """How job times are spread, each task in one line if there are several, single figures, and what is still open.
    `timeline`: of the same run; with it the beginning is judged."""
    window = f"window     {duration(metrics.end - metrics.begin)} from the first submit"
    if metrics.warm_up:
        window = f"window     {duration(metrics.end - metrics.begin)} after {duration(metrics.warm_up)} to warm up"
    remarks = [] if timeline is None else [f"           {text}" for text in beginning_texts(metrics, timeline)]
    if metrics.begin:
        remarks.append("           (for what follows; the tables above are of the whole run)")
    lines = [window + after_last_text(metrics), *remarks, "", *table(_SPREADS, _rows(metrics), 0, style)]
    if len(metrics.tasks) > 1:
        shown = sorted(metrics.tasks, key=lambda task: -(task.asked or 0))[:TASKS_SHOWN]
        lines += ["", *table(_TASKS, [*shown, metrics.total], 0, style)]
        if len(metrics.tasks) > len(shown):
            lines.append(f"and {thousands(len(metrics.tasks) - len(shown))} tasks more (--json has all)")
    lines += ["", *table(_FIGURES, _figures(metrics), 0, style)]
    lines += ["", f"polls missed, in the whole run: {missed_text(metrics.total)}"]
    if metrics.total.open:
        lines += ["", f"still open: {thousands(metrics.total.open)}"]
        for job in metrics.open_jobs:
            name = f"{job.task} {job.item}" if job.item else job.task
            lines.append(f"  job {job.job} ({name}) {job.state}, submitted {duration(job.age)} before the end")
        if metrics.total.open > len(metrics.open_jobs):
            lines.append(f"  and {thousands(metrics.total.open - len(metrics.open_jobs))} more")
    return lines


def _rows(metrics: Metrics) -> list[_Row]:
    total = metrics.total
    rows = [
        _Row("wait", total.wait, True),
        _Row("  giving", total.giving, True),
        _Row("  queueing", total.queueing, True),
        _Row("  dispatch", total.dispatch, True),
        _Row("run", total.run, True),
        _Row("response", total.response, True),
        _Row("slowdown", total.slowdown, False),
        _Row(f"bounded slowdown, {duration(metrics.tau)}", total.bounded_slowdown, False),
        _Row("due to handled", total.due_to_handled, True),
        _Row("poll lateness", total.lateness, True),
        _Row("fault to host known down", metrics.detection, True),
        _Row("fault end to old queue", metrics.recovery, True),
    ]
    return [row for row in rows if row.spread.count or row.name in ("wait", "run", "response")]


def _figures(metrics: Metrics) -> list[_Figure]:
    attempts = metrics.attempts
    ends = ", ".join(
        f"{name} {thousands(number)} ({100 * number / attempts:.2g} %)" for name, number in metrics.timeouts.items()
    )
    pairs = [
        ("jobs submitted / ended / open", _counts(metrics.total)),
        ("makespan", _time(metrics.makespan)),
        ("throughput (jobs that ended)", figure_text(metrics.throughput, Unit.RATE)),
        ("offered load", _load(metrics.offered_load)),
        ("utilization, of all slots", _share(metrics.utilization_nominal)),
        ("utilization, of slots with power", _share(metrics.utilization_available)),
        ("goodput, of all slots", _share(metrics.goodput)),
        ("lost work, of all slots", _share(metrics.lost_work)),
        ("jobs waiting, mean / most", f"{_number(metrics.queue_mean)} / {thousands(metrics.queue_max)}"),
        ("longest wait", _time(metrics.oldest)),
        ("attempts that did not end by themselves", ends or "none"),
        ("ends that nobody waited for", thousands(metrics.orphans)),
        ("processes of a job at the same time", thousands(metrics.duplicates)),
        ("slots with power", _share(metrics.system_availability)),
        ("time with all hosts up", _share(metrics.all_up)),
        ("time with at least so many hosts", hosts_up_text(metrics)),
        ("controller answering in time / running",
         f"{_share(metrics.controller_availability)} / {_share(metrics.controller_running)}"),
        ("fairness over tasks (Jain)", _number(metrics.fairness)),
    ]  # fmt: skip
    if metrics.undetected:
        pairs.append(("host faults over before they were known", thousands(metrics.undetected)))
    if metrics.unrecovered:
        pairs.append(("faults after which the queue stayed long", thousands(metrics.unrecovered)))
    return [_Figure(name, value) for name, value in pairs]


def after_last_text(metrics: Metrics) -> str:
    """How much of the window is after the last job came, where that is more than a little: averages count it."""
    if metrics.last_submit is None or metrics.end <= metrics.begin:
        return ""
    after = metrics.end - max(metrics.last_submit, metrics.begin)
    if after <= AFTER_LAST_TOLD * (metrics.end - metrics.begin):
        return ""
    return f"; no job came in the last {duration(after)} of it, which averages count"


def beginning_texts(metrics: Metrics, timeline: Timeline) -> list[str]:
    """Which averages the beginning changes, with empty hosts, and what to do; nothing where a warm-up was cut off."""
    return [
        f"the beginning counts: {line.figure} {number_text(line.whole)} on average, {number_text(line.after)} after "
        f"the first {FIRST_JOBS:.0%} of the jobs: --warm-up {format_duration(line.cut_ns)}".replace("%", " %")
        for line in (() if metrics.warm_up else unsteady(timeline))
    ]


def missed_text(task: TaskMetrics) -> str:
    """Why it was not asked for a job when it was due."""
    return ", ".join(f"{reason} {thousands(number)}" for reason, number in task.missed.items()) or "none"


def hosts_up_text(metrics: Metrics) -> str:
    """The shares of the largest numbers of hosts, until one that is always reached."""
    shown, share = [], 0.0
    for number, exactly in metrics.hosts_up.items():
        share += exactly
        shown.append(f"{thousands(number)}: {share_text(share, '.3g')}")
        if len(shown) == HOSTS_UP_SHOWN:
            break
    return ", ".join(shown) or UNDEFINED


def _counts(task: TaskMetrics) -> str:
    return f"{thousands(task.submitted)} / {thousands(task.ended)} / {thousands(task.open)}"


def _time(value: float | None) -> str:
    return UNDEFINED if value is None else duration(round(value))


def _number(value: float | None) -> str:
    return UNDEFINED if value is None else number_text(value)


def _share(value: float | None) -> str:
    return UNDEFINED if value is None else share_text(value)


def _load(value: float | None) -> str:
    if value is None:
        return UNDEFINED
    return share_text(value) + (": more than there are slots for, the queue must grow" if value > 1 else "")


def _cell(row: _Row, value: float | None) -> str:
    return _time(value) if row.time else _number(value)


_SPREADS: tuple[Column[_Row], ...] = (
    Column("METRIC", lambda row, _: row.name, most=32),
    Column("N", lambda row, _: thousands(row.spread.count), right=True, weight=7),
    Column("MEAN", lambda row, _: _cell(row, row.spread.mean), right=True),
    Column("p50", lambda row, _: _cell(row, row.spread.p50), right=True, weight=6),
    Column("p95", lambda row, _: _cell(row, row.spread.p95), right=True, weight=8),
    Column("p99", lambda row, _: _cell(row, row.spread.p99), right=True, weight=5),
    Column("MAX", lambda row, _: _cell(row, row.spread.max), right=True),
)

_TASKS: tuple[Column[TaskMetrics], ...] = (
    Column("TASK", lambda row, _: "all" if row.task == "*" else row.task),
    Column("ENDED", lambda row, _: thousands(row.ended), right=True),
    Column("OPEN", lambda row, _: thousands(row.open), right=True, weight=7),
    Column("WAIT mean", lambda row, _: _time(row.wait.mean), right=True),
    Column("p95", lambda row, _: _time(row.wait.p95), right=True, weight=6),
    Column("RESPONSE mean", lambda row, _: _time(row.response.mean), right=True, weight=5),
    Column("BOUNDED SLOWDOWN", lambda row, _: _number(row.bounded_slowdown.mean), right=True, weight=5),
    Column("GOOD/ASKED", lambda row, _: _share(row.served), right=True),
)

_FIGURES: tuple[Column[_Figure], ...] = (
    Column("FIGURE", lambda row, _: row.name, most=48),
    Column("VALUE", lambda row, _: row.value),
)
