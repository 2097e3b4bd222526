"""`laulima whatif`: the own past once more under another configuration, beside what it was under the one of now.

Three columns: what really happened, the unchanged replay, the changed one. The second says how far the third may be
trusted: both are simulated from the same times and run times, and what had to be drawn is drawn alike. Worlds are
simulated for some seeds; a difference is marked where all of them agree that it is one (95 %). Called by
`shell/commands/past.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from model.configuration import Configuration
from shell.past_jobs import Retold, Way, configuration_of, reshaped, scenario_of, submissions_of
from shell.tables import Column, Style, table
from shell.wording import count, duration, thousands
from sim.confidence import mean_interval
from sim.job_log import AS_IT_IS, LEAD_NS
from sim.reshaping import Reshape
from sim.retelling import JobLife, LifeReader, Sums, sums
from sim.scenario import Fault, Ordered, Plan
from sim.simulation import simulate
from sim.workload import Feed
from sim.world import World

ALL = "(all)"
TASKS_SHOWN = 12
"""Tasks with rows of their own: those with the most jobs."""
SAME_SEEDS = 2
"""When so many seeds give the very same, the others are not tried."""
TIME, NUMBER = "time", "number"
FIGURES = (
    ("jobs", NUMBER), ("good", NUMBER), ("failed", NUMBER), ("open", NUMBER), ("mean_wait_ns", TIME),
    ("p95_wait_ns", TIME), ("mean_response_ns", TIME), ("p95_response_ns", TIME), ("makespan_ns", TIME),
)  # fmt: skip


class Side(Struct, frozen=True):
    """One of the two configurations, and what is ordered when it begins (`--set hosts.node3=off`) or goes wrong."""

    configuration: Configuration
    orders: tuple[Ordered, ...] = ()
    faults: tuple[Fault, ...] = ()
    plans: tuple[Plan, ...] = ()


class Line(Struct, frozen=True):
    """One figure. Means over the seeds; None: undefined. `differs`: the difference is larger than the noise."""

    task: str
    figure: str
    kind: str
    really: float | None
    baseline: float | None
    changed: float | None
    differs: bool


class Calibration(Struct, frozen=True):
    """How well the unchanged replay tells what really happened, of the jobs that ended in both (None: of none)."""

    jobs: int
    mean_wait_really_ns: float | None
    mean_wait_replayed_ns: float | None
    makespan_really_ns: int | None
    makespan_replayed_ns: int | None
    same_outcome: float | None
    """share of jobs"""


class WhatIf(Struct, frozen=True):
    """The whole answer, as `--json` gives it."""

    begin_at: int
    span_ns: int
    seeds: tuple[int, ...]
    jobs: int
    measured: int
    drawn: int
    ways: dict[str, str]
    lines: tuple[Line, ...]
    calibration: Calibration | None
    warnings: tuple[str, ...]
    schema: int = 1


def world_of(made: Retold, side: Side, seed: int) -> dict[str, JobLife]:
    """What becomes of the jobs under one configuration, by name; of those that were made within the span."""
    configuration = configuration_of(made, side.configuration)
    scenario = scenario_of(made, configuration.tasks, side.orders, seed)
    scenario = replace(scenario, faults=side.faults, plans=side.plans)
    expected = len(made.submissions) + sum(map(len, made.arrivals.values()))
    reader = LifeReader(LEAD_NS, made.arrived_ns, made.span_ns, expected)

    def tell(world: World) -> None:
        for name, fates in made.fates.items():
            world.weather.tell_attempts(name, fates)
        reader.end = world.calendar.end

    feed = Feed(submissions_of(made), ends=False)
    simulate(configuration, scenario, check=False, prepare=tell, feed=feed, readers=(reader,))
    return {
        name: life
        for name, life in reader.lives.items()
        if name not in made.earlier and life.arrived_ns <= made.span_ns
    }


def compare(
    made: Retold,
    baseline: Side,
    changed: Side,
    seeds: Sequence[int],
    warnings: Sequence[str],
    reshape: Reshape = AS_IT_IS,
) -> WhatIf:
    """Simulate both for each seed; with `reshape` each seed has a past of its own."""
    pairs: list[tuple[dict[str, JobLife], dict[str, JobLife]]] = []
    for seed in seeds:
        past = reshaped(made, reshape, seed) if reshape else made
        pairs.append((world_of(past, baseline, seed), world_of(past, changed, seed)))
        if len(pairs) == SAME_SEEDS and all(pair == pairs[0] for pair in pairs):
            break  # nothing had to be drawn
    real = {} if reshape else made.lives
    tasks = sorted({life.task for lives in (real, *pairs[0]) for life in lives.values()})
    sizes = {task: sum(life.task == task for life in pairs[0][0].values()) for task in tasks}
    shown = sorted(tasks, key=lambda task: (-sizes[task], task))[:TASKS_SHOWN]
    lines: list[Line] = []
    for task in (ALL, *(sorted(shown) if len(tasks) > 1 else ())):
        then = _of(real, task) if real else None
        both = [(_of(one, task), _of(other, task)) for one, other in pairs]
        lines += [_line(task, figure, kind, then, both) for figure, kind in FIGURES]
    return WhatIf(
        begin_at=made.begin_at,
        span_ns=made.span_ns,
        seeds=tuple(seeds[: len(pairs)]),
        jobs=made.measured + made.drawn,
        measured=made.measured,
        drawn=made.drawn,
        ways={task: way.value for task, way in made.ways.items()},
        lines=tuple(lines),
        calibration=_calibrate(real, pairs[0][0]) if real else None,
        warnings=(*warnings, *_warnings(made, baseline.configuration)),
    )


def _of(lives: dict[str, JobLife], task: str) -> Sums:
    return sums(life for life in lives.values() if task in (ALL, life.task))


def _line(task: str, figure: str, kind: str, then: Sums | None, both: list[tuple[Sums, Sums]]) -> Line:
    pairs = [(getattr(one, figure), getattr(other, figure)) for one, other in both]
    known = [(float(one), float(other)) for one, other in pairs if one is not None and other is not None]
    differences = [other - one for one, other in known]
    if len(set(differences)) > 1:
        interval = mean_interval(differences)
        differs = interval is not None and interval.excludes_zero
    else:  # nothing was drawn, or nothing depends on it
        differs = any(differences)
    really = None if then is None else getattr(then, figure)
    return Line(task, figure, kind, really, _mean([one for one, _ in known]), _mean([o for _, o in known]), differs)


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _calibrate(real: dict[str, JobLife], replayed: dict[str, JobLife]) -> Calibration:
    common = [
        (one, other)
        for name, one in real.items()
        if (other := replayed.get(name)) is not None and one.ended_ns is not None and other.ended_ns is not None
    ]
    waited = [(one.wait_ns, other.wait_ns) for one, other in common]
    known = [(one, other) for one, other in waited if one is not None and other is not None]
    really, again = sums(one for one, _ in common), sums(other for _, other in common)
    same = sum(one.outcome == other.outcome for one, other in common)
    return Calibration(
        len(common),
        _mean([float(one) for one, _ in known]),
        _mean([float(other) for _, other in known]),
        really.makespan_ns,
        again.makespan_ns,
        same / len(common) if common else None,
    )


def _warnings(made: Retold, configuration: Configuration) -> list[str]:
    warnings: list[str] = []
    if made.censored:
        warnings.append(
            f"{count(made.censored, 'run')} ended by a timeout: how long they would have run is not known; here"
            " they never end by themselves, so a longer timeout looks worse than it may be"
        )
    if made.unseen:
        warnings.append(
            f"of {count(made.unseen, 'item')} the journal knows only when their jobs were made: a wider limit than"
            " then shows less than it would"
        )
    submitted = sorted({spec.task for _, spec in made.submissions})
    if submitted:
        warnings.append(
            f"open loop: jobs of {', '.join(submitted[:5])}{' and others' if len(submitted) > 5 else ''} are submitted"
            " as they were, whatever has become of earlier ones; limits of their tasks do not hold them back"
        )
    polled = [task for task, way in made.ways.items() if way is Way.POLLED]
    if polled and made.lives:
        warnings.append(f"{', '.join(polled)}: polled from the beginning, under both configurations")
    if any(task.prepare or any(handler.script for handler in task.handlers) for task in configuration.tasks):
        warnings.append("statements of tasks are not run: their jobs are made as the configuration says")
    if any(task.block is not None for task in configuration.tasks):
        warnings.append("files of `block` are there at once")
    return warnings


# for a person


def lines_of(answer: WhatIf, names: tuple[str, str], style: Style) -> list[str]:
    """The answer as text. `names`: of the two configurations."""
    known = f"{thousands(answer.measured)} with the run times that were measured, {thousands(answer.drawn)} drawn"
    lines = [f"{count(answer.jobs, 'job')} in {duration(answer.span_ns)}: {known}; {count(len(answer.seeds), 'seed')}"]
    lines.append(f"baseline   {names[0]}")
    lines += [f"changed    {names[1]}", ""]
    really = answer.calibration is not None
    columns = tuple(column for column in _COLUMNS if really or column.head != "REALLY")
    lines += table(columns, [line for line in answer.lines if line.baseline is not None], 0, style)
    lines.append("")
    if answer.calibration is not None:
        lines += _calibration_text(answer.calibration)
    lines += [f"warning    {text}" for text in answer.warnings]
    return lines


def _calibration_text(found: Calibration) -> list[str]:
    if not found.jobs or found.same_outcome is None:
        return ["calibration: no job ended both really and in the replay: nothing is known of how good it is"]
    parts = [f"of {count(found.jobs, 'job')} {100 * found.same_outcome:.1f} % ended in the same way"]
    for what, then, again in (
        ("mean wait", found.mean_wait_really_ns, found.mean_wait_replayed_ns),
        ("makespan", found.makespan_really_ns, found.makespan_replayed_ns),
    ):
        if then is not None and again is not None:
            parts.append(f"{what} {duration(round(again))}, really {duration(round(then))} ({_relative(then, again)})")
    return [f"calibration: the unchanged replay: {'; '.join(parts)}"]


def _relative(then: float, again: float) -> str:
    return f"{100 * (again - then) / then:+.1f} %" if then else ("the same" if again == then else "from nothing")


def _cell(line: Line, value: float | None) -> str:
    if value is None:
        return "-"
    if line.kind == TIME:
        return duration(round(value))
    return thousands(round(value)) if value == int(value) else f"{value:.1f}"


def _difference(line: Line) -> str:
    if line.baseline is None or line.changed is None:
        return "-"
    difference = line.changed - line.baseline
    if not difference:
        return "same"
    sign = "+" if difference > 0 else "-"
    relative = f" ({100 * difference / line.baseline:+.1f} %)" if line.baseline else ""
    return f"{sign}{_cell(line, abs(difference))}{relative}{'' if line.differs else ' may be luck'}"


_WORDS = {
    "jobs": "jobs", "good": "ended well", "failed": "ended otherwise", "open": "open", "mean_wait_ns": "wait, mean",
    "p95_wait_ns": "wait, p95", "mean_response_ns": "arrival to end, mean", "p95_response_ns": "arrival to end, p95",
    "makespan_ns": "makespan",
}  # fmt: skip
_COLUMNS: tuple[Column[Line], ...] = (
    Column("TASK", lambda line, _: line.task),
    Column("FIGURE", lambda line, _: _WORDS[line.figure]),
    Column("REALLY", lambda line, _: _cell(line, line.really), right=True),
    Column("BASELINE", lambda line, _: _cell(line, line.baseline), right=True),
    Column("CHANGED", lambda line, _: _cell(line, line.changed), right=True),
    Column("DIFFERENCE", lambda line, _: _difference(line)),
)
