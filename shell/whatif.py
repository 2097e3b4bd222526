"""`laulima whatif`: the own past once more under another configuration, beside what it was under the one of now.

Three columns: what really happened, the unchanged replay, the changed one. The second says how far the third may be
trusted: both are simulated from the same times and run times, and what had to be drawn is drawn alike. Worlds are
simulated for some seeds; a difference stands where they say that it is one, at 95 % for all figures together, else it
may be luck. Called by `shell/commands/past.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from model.configuration import Configuration
from shell.config.scenario import LoadedScenario, with_faults, with_prefab
from shell.many_worlds import PAIRS_TEXT
from shell.past_jobs import Retold, Way, begins_with, configuration_of, reshaped, scenario_of, submissions_of
from shell.tables import Column, Style, table
from shell.wording import count, duration, measured, share_text, thousands
from sim.confidence import LEVEL, beyond_noise
from sim.job_log import AS_IT_IS, LEAD_NS
from sim.many import Pair, both_known, seeds_with
from sim.reshaping import Reshape
from sim.retelling import JobLife, LifeReader, Sums, sums
from sim.scenario import Fault, Ordered, Plan, Scenario
from sim.simulation import simulate
from sim.workload import Feed
from sim.world import World

ALL = "(all)"
TASKS_SHOWN = 12
"""Tasks with rows of their own: those with the most jobs."""
SAME_SEEDS = 2
"""When so many seeds give the very same, the others are not tried."""
TIME, NUMBER = "time", "number"
REALLY, PAIRS = "REALLY", "PAIRS"
"""Columns that are not always there."""
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
    as_it_was: bool = True
    """hosts are away when they really were"""


def changed_side(
    made: Retold, configuration: Configuration, orders: tuple[Ordered, ...], fail: tuple[str, ...], prefab: str | None
) -> Side:
    """The changed configuration, with more faults (`--fail`), or others than there really were (`--faults`). Raises
    `ConfigurationError`."""
    start = datetime.fromtimestamp((made.begin_at - LEAD_NS) / 1e9).astimezone()
    loaded = LoadedScenario(configuration, Scenario(for_ns=LEAD_NS + made.span_ns), start)
    if prefab is not None:
        loaded = with_prefab(loaded, prefab)
    scenario = with_faults(loaded, fail).scenario
    return Side(configuration, orders, scenario.faults, scenario.plans, as_it_was=prefab is None)


class Line(Struct, frozen=True):
    """One figure. `pairs`: seeds in which both have it, over which the means are; None: undefined. `seeds`: those in
    which one of them has. `differs`: the difference is larger than the noise."""

    task: str
    figure: str
    kind: str
    seeds: int
    pairs: int
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
    outages: int
    """times that a host was away, and is in the replay"""
    ways: dict[str, str]
    lines: tuple[Line, ...]
    calibration: Calibration | None
    warnings: tuple[str, ...]
    schema: int = 1


class Compared(Struct, frozen=True):
    """The answer, and what it is made of, for pictures: what became of jobs, by name; of simulations for each seed."""

    answer: WhatIf
    really: dict[str, JobLife]
    """empty: nothing can be compared with what really happened"""
    baseline: tuple[dict[str, JobLife], ...]
    changed: tuple[dict[str, JobLife], ...]


def world_of(made: Retold, side: Side, seed: int) -> dict[str, JobLife]:
    """What becomes of the jobs under one configuration, by name; of those that were made within the span."""
    whole = configuration_of(made, side.configuration)
    at_first, polling = begins_with(made, whole)
    scenario = scenario_of(made, whole.tasks, (*side.orders, *polling), seed)
    hosts = {host.name for host in whole.cluster.hosts}
    if side.as_it_was:
        past = [fault for fault in made.faults if fault.nodes[-1] in hosts]
        scenario = replace(scenario, faults=(*past, *side.faults), orders=(*scenario.orders, *made.retries))
    else:
        scenario = replace(scenario, faults=side.faults)
    scenario = replace(scenario, plans=side.plans)
    expected = len(made.submissions) + sum(map(len, made.arrivals.values()))
    reader = LifeReader(LEAD_NS, made.arrived_ns, made.span_ns, expected)

    def tell(world: World) -> None:
        for name, fates in made.fates.items():
            world.weather.tell_attempts(name, fates)
        reader.end = world.calendar.end

    feed = Feed(submissions_of(made), ends=False)
    simulate(at_first, scenario, check=False, prepare=tell, feed=feed, readers=(reader,))
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
) -> Compared:
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
    by_chance = _is_by_chance(made, changed, len(pairs), varies=any(pair != pairs[0] for pair in pairs))
    lines = figure_lines(
        real, pairs, (ALL, *(sorted(shown) if len(tasks) > 1 else ())), by_chance=by_chance or bool(reshape)
    )
    answer = WhatIf(
        begin_at=made.begin_at,
        span_ns=made.span_ns,
        seeds=tuple(seeds[: len(pairs)]),
        jobs=made.measured + made.drawn,
        measured=made.measured,
        drawn=made.drawn,
        outages=len(made.faults),
        ways={task: way.value for task, way in made.ways.items()},
        lines=lines,
        calibration=_calibrate(real, pairs[0][0]) if real else None,
        warnings=(*warnings, *_warnings(made, baseline.configuration)),
    )
    return Compared(answer, real, tuple(one for one, _ in pairs), tuple(other for _, other in pairs))


def _of(lives: dict[str, JobLife], task: str) -> Sums:
    return sums(life for life in lives.values() if task in (ALL, life.task))


def _is_by_chance(made: Retold, changed: Side, seeds: int, *, varies: bool) -> bool:
    """Whether another seed may give something else. Several that give the same say no; one says nothing itself."""
    if seeds >= SAME_SEEDS:
        return varies
    return bool(made.drawn or changed.plans or Way.POLLED in made.ways.values())


def figure_lines(
    real: dict[str, JobLife],
    pairs: Sequence[tuple[dict[str, JobLife], dict[str, JobLife]]],
    tasks: Sequence[str],
    *,
    by_chance: bool,
) -> tuple[Line, ...]:
    """Every figure of these tasks. `pairs`: both configurations, for each seed; `by_chance`: others may give others."""
    rows = []
    for task in tasks:
        then = _of(real, task) if real else None
        both = [(_of(one, task), _of(other, task)) for one, other in pairs]
        rows += [(task, figure, kind, then, _both(both, figure)) for figure, kind in FIGURES]
    differing = sum(any(one != other for one, other in both_known(found)) for *_, found in rows)
    level = 1.0 - (1.0 - LEVEL) / max(1, differing)
    lines = []
    for task, figure, kind, then, found in rows:
        known = both_known(found)
        differences = [other - one for one, other in known]
        differs = beyond_noise(differences, level, whole=kind == NUMBER) if by_chance else any(differences)
        really = None if then is None else getattr(then, figure)
        means = _mean([one for one, _ in known]), _mean([other for _, other in known])
        lines.append(Line(task, figure, kind, seeds_with(found), len(known), really, *means, differs))
    return tuple(lines)


def _both(both: Sequence[tuple[Sums, Sums]], figure: str) -> list[Pair]:
    return [(_float(getattr(one, figure)), _float(getattr(other, figure))) for one, other in both]


def _float(value: float | None) -> float | None:
    return None if value is None else float(value)


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
    told = {host.name for host in configuration.cluster.hosts}
    unknown = sorted({fault.nodes[-1] for fault in made.faults} - told)
    if unknown:
        warnings.append(f"{', '.join(unknown[:5])}: hosts that were away, and are not in the configuration")
    for host, away_ns in made.away:
        warnings.append(
            f"{host} is away since {duration(away_ns)}: here it comes back after as long again, which is a guess"
        )
    if made.held or made.held_jobs:
        names = ", ".join([*list(made.held)[:5], *(["…"] if len(made.held) > 5 else [])])
        jobs = f"{count(made.held_jobs, 'job')} that wait for a person" if made.held_jobs else ""
        tasks = f"{names}: held, faulted or deleted now" if names else ""
        warnings.append(f"left out: {'; '.join(part for part in (tasks, jobs) if part)}")
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
    if answer.outages:
        lines.append(
            f"{count(answer.outages, 'time')} a host was away come again in both, unless --faults says otherwise"
        )
    lines.append(f"baseline   {names[0]}")
    lines += [f"changed    {names[1]}", ""]
    heads, rows = figure_table(answer)
    lines += table([_column(at, head) for at, head in enumerate(heads)], rows, 0, style)
    lines += ["", *([PAIRS_TEXT] if PAIRS in heads else [])]
    if answer.calibration is not None:
        lines.append(calibration_text(answer.calibration))
    lines += [f"warning    {text}" for text in answer.warnings]
    return lines


def calibration_text(found: Calibration) -> str:
    """How well the unchanged replay tells what really happened, in a sentence."""
    if not found.jobs or found.same_outcome is None:
        return "calibration: no job ended both really and in the replay: nothing is known of how good it is"
    parts = [f"of {count(found.jobs, 'job')} {share_text(found.same_outcome, '.1f')} ended in the same way"]
    for what, then, again in (
        ("mean wait", found.mean_wait_really_ns, found.mean_wait_replayed_ns),
        ("makespan", found.makespan_really_ns, found.makespan_replayed_ns),
    ):
        if then is not None and again is not None:
            parts.append(f"{what} {measured(again)}, really {measured(then)} ({_relative(then, again)})")
    return f"calibration: the unchanged replay: {'; '.join(parts)}"


def _relative(then: float, again: float) -> str:
    return f"{100 * (again - then) / then:+.1f} %" if then else ("the same" if again == then else "from nothing")


def figure_table(answer: WhatIf) -> tuple[list[str], list[tuple[str, ...]]]:
    """Heads and rows: the figures that one of the two has in some seed. What really happened is a column where it is
    known; so is of how many pairs a row is, where one is not of all."""
    lines = [line for line in answer.lines if line.seeds]
    left_out = [REALLY] if answer.calibration is None else []
    left_out += [PAIRS] if all(line.pairs == len(answer.seeds) for line in lines) else []
    heads = [head for head in _CELLS if head not in left_out]
    return heads, [tuple(_CELLS[head](line) for head in heads) for line in lines]


def _cell(line: Line, value: float | None) -> str:
    if value is None:
        return "-"
    if line.kind == TIME:
        return measured(value)
    return thousands(round(value)) if value == int(value) else f"{value:.1f}"


def difference_text(line: Line) -> str:
    """The last cell of its row."""
    if line.baseline is None or line.changed is None:
        return "-"
    difference = line.changed - line.baseline
    if not difference or (line.kind == TIME and abs(difference) < 1.0):  # simulated time is whole nanoseconds
        return "same"
    sign = "+" if difference > 0 else "-"
    relative = f" ({100 * difference / line.baseline:+.1f} %)" if line.baseline else ""
    return f"{sign}{_cell(line, abs(difference))}{relative}{'' if line.differs else ' may be luck'}"


_WORDS = {
    "jobs": "jobs", "good": "ended well", "failed": "ended otherwise", "open": "open", "mean_wait_ns": "wait, mean",
    "p95_wait_ns": "wait, p95", "mean_response_ns": "arrival to end, mean", "p95_response_ns": "arrival to end, p95",
    "makespan_ns": "makespan",
}  # fmt: skip
_CELLS: dict[str, Callable[[Line], str]] = {
    "TASK": lambda line: line.task,
    "FIGURE": lambda line: _WORDS[line.figure],
    PAIRS: lambda line: str(line.pairs),
    REALLY: lambda line: _cell(line, line.really),
    "BASELINE": lambda line: _cell(line, line.baseline),
    "CHANGED": lambda line: _cell(line, line.changed),
    "DIFFERENCE": difference_text,
}


def _column(at: int, head: str) -> Column[tuple[str, ...]]:
    return Column(head, lambda cells, _: cells[at], right=head in (PAIRS, REALLY, "BASELINE", "CHANGED"))
