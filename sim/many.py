"""Many worlds of one scenario: a world for each seed, what each came to in a few numbers, and what all say together.

Two scenarios under the same seeds meet the same weather (common random numbers), so they are compared seed by seed: the
difference varies far less than each of them. Called by `shell/many_worlds.py`, which runs worlds in processes.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from model.configuration import Configuration
from model.errors import LaulimaError
from sim.confidence import LEVEL, Interval, Summary, beyond_noise, deviation, mean_of, student_interval, summary
from sim.expectations import Judged, judge_expectations
from sim.figures import Better, Unit, find, value
from sim.metrics import Metrics
from sim.missed_polls import with_missed
from sim.scenario import Scenario
from sim.shared_measuring import measuring_of
from sim.simulation import SimulationResult, simulate
from sim.workload import Feed
from sim.world import Scripting

SHOWN = (
    "ended", "failed", "open", "lost", "mean_wait", "p50_wait", "p95_wait", "max_wait", "p95_response",
    "mean_bounded_slowdown", "throughput", "utilization_nominal", "goodput", "lost_work", "queue_mean", "queue_max",
    "oldest", "p95_recovery", "system_availability",
)  # fmt: skip
"""Figures of every run that many worlds are summed up by."""
OF_EACH_TASK = ("p95_wait", "failed")
OF_EACH_SCHEDULER = ("ended", "failed", "mean_wait", "p95_wait", "share_ratio")
TASKS_MAX = 20
"""With more tasks than these none is summed up on its own."""


class Drawn(Struct):
    """One world: what its seed came to. `error`: it did not run to its end, and why."""

    seed: int
    hash: str = ""
    jobs: int = 0
    open: int = 0
    ended_ns: int = 0
    broken: int = 0
    """promises of laulima itself that were seen broken"""
    first_broken: str = ""
    judged: tuple[Judged, ...] = ()
    figures: dict[str, float | None] = {}
    script_failed: bool = False
    error: str = ""

    @property
    def unmet(self) -> int:
        """Expectations that do not hold."""
        return sum(not one.held for one in self.judged)

    @property
    def good(self) -> bool:
        """Nothing broken, every expectation met."""
        return not (self.broken or self.unmet or self.script_failed or self.error)


def names_of(scenario: Scenario, tasks: Sequence[str]) -> tuple[str, ...]:
    """The figures to keep of each world."""
    names = [*SHOWN, *(wanted.figure for wanted in scenario.wanted)]
    names += [f"schedulers.{sharer.name}.{figure}" for sharer in scenario.schedulers for figure in OF_EACH_SCHEDULER]
    names += ["share_fairness"] if scenario.schedulers else []
    if 1 < len(tasks) <= TASKS_MAX:
        names += [f"tasks.{task}.{figure}" for task in tasks for figure in OF_EACH_TASK]
    return tuple(dict.fromkeys(names))


def draw(
    configuration: Configuration,
    scenario: Scenario,
    seed: int,
    names: Sequence[str],
    *,
    scripting: Scripting | None = None,
    feed: Feed | None = None,
    warm_up_ns: int = 0,
) -> Drawn:
    """The world of this seed. What a machine raises in it is a finding, with its seed; `LaulimaError` (a scenario that
    cannot be) is raised."""
    world = replace(scenario, seed=seed)
    measuring = measuring_of(configuration, world, warm_up_ns=warm_up_ns, feed=feed)
    try:
        result = simulate(configuration, world, scripting=scripting, feed=feed, readers=(measuring,))
    except LaulimaError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a machine raises in any weather is a finding, with its seed
        return Drawn(seed, error=f"{type(error).__name__}: {error}")
    return drawn(seed, result, with_missed(measuring.metrics(), result.missed), names)


def drawn(seed: int, result: SimulationResult, metrics: Metrics, names: Sequence[str]) -> Drawn:
    """What a run came to."""
    return Drawn(
        seed,
        result.hash,
        result.jobs,
        result.open,
        result.ended_ns,
        result.violation_count,
        str(result.violations[0]) if result.violations else "",
        judge_expectations(result.scenario, result.tally, metrics),
        {name: value(metrics, name) for name in names},
        result.script_failed or bool(result.script_status),
    )


class FigureSummary(Struct, frozen=True):
    """One figure over all seeds. `worst`: the seed in which it was worst; None: neither way is worse, or all are equal.
    `undefined`: seeds in which it has no value."""

    figure: str
    summary: Summary
    worst: int | None
    undefined: int


def summaries(worlds: Sequence[Drawn]) -> tuple[FigureSummary, ...]:
    """Each figure of these worlds."""
    names = list(dict.fromkeys(name for world in worlds for name in world.figures))
    return tuple(_summarise(name, worlds) for name in names)


def _summarise(name: str, worlds: Sequence[Drawn]) -> FigureSummary:
    known = [(found, world.seed) for world in worlds if (found := world.figures.get(name)) is not None]
    better = find(name).better
    worst: int | None = None
    if known and better is not Better.NEITHER and len({found for found, _ in known}) > 1:
        sign = 1 if better is Better.LOWER else -1
        worst = max(known, key=lambda pair: (sign * pair[0], -pair[1]))[1]
    return FigureSummary(name, summary([found for found, _ in known]), worst, len(worlds) - len(known))


def worst_world(worlds: Sequence[Drawn]) -> Drawn | None:
    """The one to look at first: with an error, broken promises, the most unmet expectations, else the longest p95 of
    the waits, then the most jobs that failed; the first of equals."""
    if not worlds:
        return None
    return max(worlds, key=lambda world: (*_badness(world), -world.seed))


def _badness(world: Drawn) -> tuple[bool, bool, int, float, float]:
    figures = world.figures
    waits, failed = figures.get("p95_wait"), figures.get("failed")
    return (bool(world.error), world.broken > 0, world.unmet, -1.0 if waits is None else waits, failed or 0.0)


class Comparison(Struct, frozen=True):
    """One figure under both scenarios, seed by seed. `difference` is first less baseline: its mean, and its interval.

    `pairs`: seeds in which both have it, of which all the rest is told; `seeds`: those in which one of them has.
    `verdict`: `better` or `worse` (or `more`, `less` where neither way is good) when the difference is larger than the
    noise; `same` when no seed differs; empty: it may be luck.
    """

    figure: str
    seeds: int
    pairs: int
    baseline: float | None
    first: float | None
    difference: float | None
    interval: Interval | None
    verdict: str
    gain: float | None
    """how many times fewer seeds are needed than if the two had not met the same weather; None: it cannot be told"""


def compare(first: Sequence[Drawn], baseline: Sequence[Drawn]) -> tuple[Comparison, ...]:
    """Pairs of worlds with equal seeds. To be called larger than the noise a difference must be so at 95 % for all
    figures together (Bonferroni): of 20 figures one would be at 5 % by luck alone."""
    others = {world.seed: world for world in baseline}
    pairs = [(world, others[world.seed]) for world in first if world.seed in others]
    names = [
        name for name in dict.fromkeys(name for world in first for name in world.figures)
        if any(name in other.figures for _, other in pairs)
    ]  # fmt: skip
    found = {name: [(world.figures.get(name), other.figures.get(name)) for world, other in pairs] for name in names}
    values = {name: both_known(of_name) for name, of_name in found.items()}
    differing = sum(any(one != other for one, other in known) for known in values.values())
    level = 1.0 - (1.0 - LEVEL) / max(1, differing)
    return tuple(_compare(name, seeds_with(found[name]), known, level) for name, known in values.items())


Pair = tuple[float | None, float | None]
"""A figure under both scenarios, of one seed; None: undefined."""


def both_known(pairs: Sequence[Pair]) -> list[tuple[float, float]]:
    """Those that can be compared."""
    return [(one, other) for one, other in pairs if one is not None and other is not None]


def seeds_with(pairs: Sequence[Pair]) -> int:
    """In how many one of the two is defined."""
    return sum(pair != (None, None) for pair in pairs)


def _compare(name: str, seeds: int, values: list[tuple[float, float]], level: float) -> Comparison:
    if not values:
        return Comparison(name, seeds, 0, None, None, None, None, "", None)
    differences = [one - other for one, other in values]
    mean = mean_of(differences)
    figure, verdict = find(name), "same"
    if any(differences):
        larger = beyond_noise(differences, level, whole=figure.unit is Unit.COUNT)
        verdict = _verdict(figure.better, mean) if larger else ""
    return Comparison(
        name,
        seeds,
        len(values),
        mean_of([other for _, other in values]),
        mean_of([one for one, _ in values]),
        mean,
        student_interval(differences),
        verdict,
        _gain(values, differences),
    )


def _verdict(better: Better, difference: float) -> str:
    if better is Better.NEITHER:
        return "more" if difference > 0 else "less"
    return "better" if (difference < 0) == (better is Better.LOWER) else "worse"


def _gain(values: list[tuple[float, float]], differences: list[float]) -> float | None:
    """The variance of a difference of independent worlds by that of the paired ones."""
    if len(values) < 3:
        return None
    paired = deviation(differences) ** 2
    apart = deviation([one for one, _ in values]) ** 2 + deviation([other for _, other in values]) ** 2
    return apart / paired if paired > 0.0 else None
