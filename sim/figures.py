"""The figures of a run by name: one number each, as expectations, comparisons and reports speak of them.

    p95_wait, mean_run, max_response, queue_max, utilization_nominal      of all tasks together
    tasks.warp.p95_wait, tasks.warp.exit_3, tasks.warp.lost               of one task
    hosts.node3.availability, hosts.node3.mttr                            of one host
    at_least_12_up                                                        the share of time with so many hosts up
    schedulers.night.p95_wait, schedulers.night.share_ratio               of one of several schedulers

Every name is one of `sim/metrics.py`: there stands what it means. `pending` is another word for `wait`; the name of an
outcome in small letters counts the jobs that ended so. Called by `sim/expectations.py`, `sim/many.py` and shell/.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from enum import Enum
from math import fsum

from msgspec import Struct

from model.job import Outcome
from sim.metrics import HostMetrics, Metrics, SchedulerMetrics, Spread, TaskMetrics


class Unit(Enum):
    """What a figure counts in."""

    TIME = "time"
    """ns"""
    SHARE = "share"
    """0..1"""
    COUNT = "count"
    RATE = "rate"
    """a second"""
    NUMBER = "number"


class Better(Enum):
    """Which way is good."""

    LOWER = "lower"
    HIGHER = "higher"
    NEITHER = ""


class Figure(Struct, frozen=True):
    """One figure of `Metrics`, of a task or of a host."""

    unit: Unit
    better: Better
    of: Callable[..., float | None]


STATISTICS = ("mean", "p50", "p95", "p99", "max")
_SPREADS = {
    "wait": ("wait", Unit.TIME),
    "pending": ("wait", Unit.TIME),
    "giving": ("giving", Unit.TIME),
    "queueing": ("queueing", Unit.TIME),
    "dispatch": ("dispatch", Unit.TIME),
    "run": ("run", Unit.TIME),
    "response": ("response", Unit.TIME),
    "due_to_handled": ("due_to_handled", Unit.TIME),
    "lateness": ("lateness", Unit.TIME),
    "slowdown": ("slowdown", Unit.NUMBER),
    "bounded_slowdown": ("bounded_slowdown", Unit.NUMBER),
}
DONE = "exit 0"


def _statistic(spread: str, statistic: str) -> Callable[[object], float | None]:
    def of(holder: object) -> float | None:
        found: Spread = getattr(holder, spread)
        value: float | None = getattr(found, statistic)
        return value

    return of


def _field(name: str) -> Callable[[object], float | None]:
    def of(holder: object) -> float | None:
        value: float | None = getattr(holder, name)
        return value

    return of


def _failed(task: TaskMetrics) -> float:
    return task.ended - task.outcomes.get(DONE, 0)


def _missed_polls(task: TaskMetrics) -> float:
    return sum(task.missed.values())


def _outcome(name: str) -> Callable[[TaskMetrics], float | None]:
    return lambda task: task.outcomes.get(name, 0)


def _task_figures() -> dict[str, Figure]:
    found: dict[str, Figure] = {}
    for spread, (attribute, unit) in _SPREADS.items():
        better = Better.NEITHER if spread == "run" else Better.LOWER
        for statistic in STATISTICS:
            found[f"{statistic}_{spread}"] = Figure(unit, better, _statistic(attribute, statistic))
    found["submitted"] = Figure(Unit.COUNT, Better.NEITHER, _field("submitted"))
    found["ended"] = Figure(Unit.COUNT, Better.HIGHER, _field("ended"))
    found["open"] = Figure(Unit.COUNT, Better.LOWER, _field("open"))
    found["failed"] = Figure(Unit.COUNT, Better.LOWER, _failed)
    found["missed_polls"] = Figure(Unit.COUNT, Better.NEITHER, _missed_polls)
    for outcome in Outcome:
        if outcome is not Outcome.EXITED:
            found[outcome.name.lower()] = Figure(Unit.COUNT, Better.LOWER, _outcome(outcome.name))
    return found


TASK_FIGURES = _task_figures()
"""Of one task, or of all together."""

RUN_FIGURES: dict[str, Figure] = {
    "makespan": Figure(Unit.TIME, Better.LOWER, _field("makespan")),
    "throughput": Figure(Unit.RATE, Better.HIGHER, _field("throughput")),
    "offered_load": Figure(Unit.SHARE, Better.NEITHER, _field("offered_load")),
    "utilization_nominal": Figure(Unit.SHARE, Better.NEITHER, _field("utilization_nominal")),
    "utilization_available": Figure(Unit.SHARE, Better.NEITHER, _field("utilization_available")),
    "goodput": Figure(Unit.SHARE, Better.HIGHER, _field("goodput")),
    "lost_work": Figure(Unit.SHARE, Better.LOWER, _field("lost_work")),
    "queue_mean": Figure(Unit.NUMBER, Better.LOWER, _field("queue_mean")),
    "queue_max": Figure(Unit.COUNT, Better.LOWER, _field("queue_max")),
    "oldest": Figure(Unit.TIME, Better.LOWER, _field("oldest")),
    "attempts": Figure(Unit.COUNT, Better.NEITHER, _field("attempts")),
    "orphans": Figure(Unit.COUNT, Better.LOWER, _field("orphans")),
    "duplicates": Figure(Unit.COUNT, Better.LOWER, _field("duplicates")),
    "system_availability": Figure(Unit.SHARE, Better.NEITHER, _field("system_availability")),
    "all_up": Figure(Unit.SHARE, Better.NEITHER, _field("all_up")),
    "controller_availability": Figure(Unit.SHARE, Better.HIGHER, _field("controller_availability")),
    "controller_running": Figure(Unit.SHARE, Better.NEITHER, _field("controller_running")),
    "undetected": Figure(Unit.COUNT, Better.LOWER, _field("undetected")),
    "unrecovered": Figure(Unit.COUNT, Better.LOWER, _field("unrecovered")),
    "alarms": Figure(Unit.COUNT, Better.LOWER, _field("alarms")),
    "deadlines_missed": Figure(Unit.COUNT, Better.LOWER, _field("deadlines_missed")),
    "notifications": Figure(Unit.COUNT, Better.LOWER, _field("notifications")),
    "fairness": Figure(Unit.NUMBER, Better.HIGHER, _field("fairness")),
    "share_fairness": Figure(Unit.NUMBER, Better.HIGHER, _field("share_fairness")),
    **{
        f"{statistic}_{spread}": Figure(Unit.TIME, Better.LOWER, _statistic(spread, statistic))
        for spread in ("detection", "recovery")
        for statistic in STATISTICS
    },
}
"""Of a run as a whole, beside those of all tasks together."""

HOST_FIGURES: dict[str, Figure] = {
    "availability": Figure(Unit.SHARE, Better.HIGHER, _field("availability")),
    "failures": Figure(Unit.COUNT, Better.LOWER, _field("failures")),
    "mtbf": Figure(Unit.TIME, Better.HIGHER, _field("mtbf")),
    "mttr": Figure(Unit.TIME, Better.LOWER, _field("mttr")),
}

SCHEDULER_FIGURES: dict[str, Figure] = {
    "share_due": Figure(Unit.SHARE, Better.NEITHER, _field("share_due")),
    "share_got": Figure(Unit.SHARE, Better.NEITHER, _field("share_got")),
    "share_ratio": Figure(Unit.NUMBER, Better.NEITHER, _field("share_ratio")),
    **{
        name: RUN_FIGURES[name]
        for name in (
            "throughput",
            "offered_load",
            "goodput",
            "queue_mean",
            "queue_max",
            "oldest",
            "controller_availability",
        )
    },
}
"""Of one of several schedulers, beside those of all its tasks together."""

_AT_LEAST = re.compile(r"at_least_([0-9]{1,6})_up")
TASKS, HOSTS, SCHEDULERS = "tasks", "hosts", "schedulers"
_TABLES: dict[str, dict[str, Figure]] = {
    "": {**TASK_FIGURES, **RUN_FIGURES},
    TASKS: TASK_FIGURES,
    HOSTS: HOST_FIGURES,
    SCHEDULERS: {**TASK_FIGURES, **SCHEDULER_FIGURES},
}
_CALLED = {"": "a run", TASKS: "a task", HOSTS: "a host", SCHEDULERS: "a scheduler"}


class UnknownFigureError(ValueError):
    """No figure has this name. `near` are names among which the right one may be."""

    def __init__(self, sentence: str, name: str, near: Sequence[str]) -> None:
        super().__init__(sentence)
        self.name = name
        self.near = near


def split(name: str) -> tuple[str, str, str]:
    """`tasks.warp.p95_wait` is (tasks, warp, p95_wait); a name without a dot stands last."""
    group, dot, rest = name.partition(".")
    if not dot:
        return "", "", name
    owner, _, figure = rest.rpartition(".")
    return group, owner, figure


def find(name: str) -> Figure:
    """The figure of this name. Raises `UnknownFigureError`."""
    group, owner, figure = split(name)
    if group not in _TABLES:
        known = (TASKS, HOSTS, SCHEDULERS)
        raise UnknownFigureError(f"{group} is none of {', '.join(known)}", group, known)
    if group and not owner:
        raise UnknownFigureError(f"{name}: expects {group}.NAME.FIGURE", figure, ())
    table = _TABLES[group]
    found = table.get(figure)
    if found is None and group != HOSTS:
        found = _exit_figure(figure)
    if found is None and not group:
        found = _hosts_figure(figure)
    if found is None:
        raise UnknownFigureError(f"{figure} is no figure of {_CALLED[group]}", figure, tuple(table))
    return found


def _hosts_figure(name: str) -> Figure | None:
    """`at_least_3_up`: the share of time in which so many hosts had power."""
    match = _AT_LEAST.fullmatch(name)
    if match is None:
        return None
    least = int(match[1])

    def of(metrics: Metrics) -> float | None:
        if not metrics.hosts_up:
            return None
        fewer = [share for hosts, share in metrics.hosts_up.items() if hosts < least]
        return 1.0 - fsum(fewer) if len(fewer) < len(metrics.hosts_up) else 0.0  # 1 is 1: shares have been rounded

    return Figure(Unit.SHARE, Better.HIGHER, of)


def _exit_figure(name: str) -> Figure | None:
    """`exit_3`."""
    word, _, code = name.partition("_")
    if word != "exit" or not code.isdecimal() or len(code) > 3 or int(code) > 255:
        return None
    better = Better.LOWER if int(code) else Better.HIGHER
    return Figure(Unit.COUNT, better, _outcome(f"exit {int(code)}"))


def value(metrics: Metrics, name: str) -> float | None:
    """The figure of this run; None: undefined, or there is no such task or host. Raises `UnknownFigureError`."""
    group, owner, figure = split(name)
    found = find(name)
    holder: Metrics | TaskMetrics | HostMetrics | SchedulerMetrics | None
    if not group:
        of_the_run = figure in RUN_FIGURES or _AT_LEAST.fullmatch(figure) is not None
        holder = metrics if of_the_run else metrics.total
    else:
        holder = _row(metrics, group, owner)
        if isinstance(holder, SchedulerMetrics) and figure not in SCHEDULER_FIGURES:
            holder = holder.total
        if holder is None:
            return 0 if found.unit is Unit.COUNT else None
    return found.of(holder)


def _row(metrics: Metrics, group: str, owner: str) -> TaskMetrics | HostMetrics | SchedulerMetrics | None:
    if group == TASKS:
        return next((row for row in metrics.tasks if row.task == owner), None)
    if group == HOSTS:
        return next((row for row in metrics.hosts if row.host == owner), None)
    return next((row for row in metrics.schedulers if row.scheduler == owner), None)
