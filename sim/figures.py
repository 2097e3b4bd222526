"""The figures of a run by name: one number each, as expectations, comparisons and reports speak of them.

    p95_wait, mean_run, max_response, queue_max, utilization_nominal      of all tasks together
    tasks.warp.p95_wait, tasks.warp.exit_3, tasks.warp.lost               of one task
    hosts.node3.availability, hosts.node3.mttr                            of one host

Every name is one of `sim/metrics.py`: there stands what it means. `pending` is another word for `wait`; the name of an
outcome in small letters counts the jobs that ended so. Called by `sim/expectations.py`, `sim/many.py` and shell/.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum

from msgspec import Struct

from model.job import Outcome
from sim.metrics import HostMetrics, Metrics, Spread, TaskMetrics


class Unit(Enum):
    """What a figure counts in."""

    TIME = "time"
    """ns"""
    SHARE = "share"
    """0..1"""
    COUNT = "count"
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
    for outcome in Outcome:
        if outcome is not Outcome.EXITED:
            found[outcome.name.lower()] = Figure(Unit.COUNT, Better.LOWER, _outcome(outcome.name))
    return found


TASK_FIGURES = _task_figures()
"""Of one task, or of all together."""

RUN_FIGURES: dict[str, Figure] = {
    "makespan": Figure(Unit.TIME, Better.LOWER, _field("makespan")),
    "throughput": Figure(Unit.NUMBER, Better.HIGHER, _field("throughput")),
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
    "system_availability": Figure(Unit.SHARE, Better.NEITHER, _field("system_availability")),
    "all_up": Figure(Unit.SHARE, Better.NEITHER, _field("all_up")),
    "controller_availability": Figure(Unit.SHARE, Better.NEITHER, _field("controller_availability")),
    "undetected": Figure(Unit.COUNT, Better.LOWER, _field("undetected")),
    "unrecovered": Figure(Unit.COUNT, Better.LOWER, _field("unrecovered")),
    "alarms": Figure(Unit.COUNT, Better.LOWER, _field("alarms")),
    "deadlines_missed": Figure(Unit.COUNT, Better.LOWER, _field("deadlines_missed")),
    "notifications": Figure(Unit.COUNT, Better.LOWER, _field("notifications")),
    "fairness": Figure(Unit.NUMBER, Better.HIGHER, _field("fairness")),
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

TASKS, HOSTS = "tasks", "hosts"


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
    if group not in ("", TASKS, HOSTS):
        raise UnknownFigureError(f"{group} is neither {TASKS} nor {HOSTS}", group, (TASKS, HOSTS))
    if group and not owner:
        raise UnknownFigureError(f"{name}: expects {group}.NAME.FIGURE", figure, ())
    table = HOST_FIGURES if group == HOSTS else TASK_FIGURES
    found = table.get(figure)
    if found is None and not group:
        found = RUN_FIGURES.get(figure)
    if found is None and group != HOSTS:
        found = _exit_figure(figure)
    if found is None:
        whose = "a host" if group == HOSTS else "a task" if group else "a run"
        known = table if group else {**table, **RUN_FIGURES}
        raise UnknownFigureError(f"{figure} is no figure of {whose}", figure, tuple(known))
    return found


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
    holder: Metrics | TaskMetrics | HostMetrics | None
    if not group:
        holder = metrics if figure in RUN_FIGURES else metrics.total
    else:
        rows: Sequence[TaskMetrics | HostMetrics] = metrics.tasks if group == TASKS else metrics.hosts
        holder = next((row for row in rows if (row.task if isinstance(row, TaskMetrics) else row.host) == owner), None)
        if holder is None:
            return 0 if found.unit is Unit.COUNT else None
    return found.of(holder)
