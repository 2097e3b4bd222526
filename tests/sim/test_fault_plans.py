"""Goal: drawn faults come as often and last as long as their plan says, to whom it says, and only the seed and their
own name decide when.

Method: plans drawn far ahead without a run, their figures held against theory within a confidence interval (the seeds
are fixed: such a test always says the same); a few runs, whose faults are read from the event log.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from math import erf, exp, gamma, log, sqrt
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pytest

from model.configuration import ClusterDefinition, Configuration, HostDefinition
from model.errors import ConfigurationError
from model.job import SECOND
from sim.distributions import Choice, Constant, Distribution, Exponential, Lognormal, Quantiles, Uniform, Weibull
from sim.fault_plans import drawn, faults_of, mean_of
from sim.log import EventLog, FaultChanged
from sim.prefabs import HOUR, PREFABS, exponential
from sim.scenario import Counted, Fault, FaultPlan, Kind, NodeOutages, Scenario, TracePlan, Unit
from sim.simulation import simulate
from sim.world import World
from tests.sim.fit_prefabs import fitted, quantile, source

ROOT = Path(__file__).parents[2]
DAY = 24 * HOUR
YEAR = 365 * DAY
SURE = 3.89
"""Half-width of a 99.99 % confidence interval, in standard errors."""


def hosts(number: int) -> tuple[Unit, ...]:
    return tuple(Unit(f"node{at}", ((f"node{at}",),)) for at in range(1, number + 1))


def plan(units: tuple[Unit, ...], interval: Distribution | None, lasts: Distribution, **more: object) -> FaultPlan:
    kind = more.pop("kind", Kind.DOWN)
    name = str(more.pop("name", "plan"))
    return FaultPlan(name, Fault(kind), units, lasts, interval, **more)  # type: ignore[arg-type]


def by_host(made: FaultPlan | TracePlan, until_ns: int, seed: int = 1) -> dict[str, list[tuple[int, int]]]:
    """(begin, how long) of the faults of each host."""
    found: dict[str, list[tuple[int, int]]] = {}
    for fault in faults_of(made, seed, until_ns):
        found.setdefault(fault.nodes[-1], []).append((fault.at_ns, fault.for_ns))
    return found


def within(values: Sequence[float], mean: float) -> bool:
    """Whether a mean is within the confidence interval of the mean of these values."""
    return abs(fmean(values) - mean) < SURE * stdev(values) / sqrt(len(values))


def half_below(values: Sequence[float], median: float) -> bool:
    """Whether so many values lie below a median as chance allows."""
    below = sum(value < median for value in values)
    return abs(below - len(values) / 2) < SURE * sqrt(len(values)) / 2


# prefabs

TRACES = {
    # of the traces, in hours (tests/sim/fit_prefabs.py): mean and median time from the end of a failure to the next;
    # mean, median and p95 of repairs
    "lanl-cluster": (6607.0, 4029.0, 2.986, 0.9667, 9.483),
    "lanl-bigsmp": (234.0, 90.85, 9.335, 0.7, 7.917),
    "grid5000": (31.74, 6.388, 7.946, 0.04583, 19.92),
}
AGREES = 0.025
"""A prefab agrees with its trace within so much."""


@pytest.mark.parametrize("name", PREFABS)
def test_a_prefab_agrees_with_its_trace(name: str) -> None:
    interval, lasts = PREFABS[name].interval, PREFABS[name].lasts
    mtbf, median_gap, mttr, median_repair, p95_repair = TRACES[name]
    assert mean_of(interval) / HOUR == pytest.approx(mtbf, rel=AGREES)
    assert interval.sample(0.5) / HOUR == pytest.approx(median_gap, rel=AGREES)
    assert mean_of(lasts) / HOUR == pytest.approx(mttr, rel=AGREES)
    assert lasts.sample(0.5) / HOUR == pytest.approx(median_repair, rel=AGREES)
    assert lasts.sample(0.95) / HOUR == pytest.approx(p95_repair, rel=AGREES)
    down, whole = mean_of(lasts), mean_of(interval) + mean_of(lasts)
    assert down / whole == pytest.approx(mttr / (mtbf + mttr), rel=2 * AGREES)


@pytest.mark.parametrize("name", PREFABS)
def test_a_prefab_has_the_numbers_of_the_archives_trace(name: str) -> None:
    found = source(name)
    repairs = [quantile(found.downs, share) for share in (0.5, 0.95)]
    assert [found.mtbf, found.mttr, *repairs] == pytest.approx([TRACES[name][at] for at in (0, 2, 3, 4)], rel=0.001)
    for points, distribution in zip(fitted(found), (PREFABS[name].interval, PREFABS[name].lasts), strict=True):
        assert isinstance(distribution, Quantiles)
        assert distribution.shares == tuple(share for share, _ in points)
        assert distribution.values == tuple(round(value * HOUR) for _, value in points)


@pytest.mark.parametrize("name", PREFABS)
def test_the_drawn_intervals_of_a_prefab_have_its_mean_and_median(name: str) -> None:
    prefab = PREFABS[name]
    mean_gap, mean_repair = mean_of(prefab.interval), mean_of(prefab.lasts)
    median_gap, median_repair = prefab.interval.sample(0.5), prefab.lasts.sample(0.5)
    cycles = 60
    made = plan(hosts(400), prefab.interval, prefab.lasts, counted=prefab.counted)
    found = by_host(made, int((cycles + 40) * (mean_gap + mean_repair)))
    # so many of the first whole cycles of each host: to take all up to a moment would prefer the short ones
    gaps = [
        after - begin - length
        for row in found.values()
        for (begin, length), (after, _) in list(pairwise(row[1:]))[:cycles]
    ]
    repairs = [length for row in found.values() for _, length in row[1 : cycles + 1]]
    assert len(gaps) > 0.9 * 400 * cycles
    assert within(gaps, mean_gap) and half_below(gaps, median_gap)
    assert within(repairs, mean_repair) and half_below(repairs, median_repair)


def test_an_exponential_prefab_has_the_mean_times_that_it_is_given() -> None:
    prefab = exponential(30 * DAY, 4 * HOUR)
    assert (prefab.interval, prefab.lasts) == (Exponential(30 * DAY), Exponential(4 * HOUR))


@pytest.mark.parametrize(
    ("distribution", "mean"),
    [
        (Constant(5 * HOUR), 5.0),
        (Uniform(HOUR, 4 * HOUR), 2.5),
        (Exponential(3 * HOUR), 3.0),
        (Lognormal(HOUR, 1.43), exp(1.43**2 / 2)),
        (Weibull(0.48, 10 * HOUR), 10 * gamma(1 + 1 / 0.48)),
        (Choice((HOUR, 10 * HOUR), (0.75, 0.25)), 3.25),
        (Choice((1000 * HOUR, HOUR), (0.001, 0.999)), 1.999),
        (Quantiles((0.0, 0.5, 1.0), (HOUR, HOUR, 10 * HOUR)), 0.5 + 0.5 * 9 / log(10)),
    ],
)
def test_means_of_distributions(distribution: Distribution, mean: float) -> None:
    assert mean_of(distribution) == pytest.approx(mean * HOUR, rel=0.002)


# how hosts begin


@pytest.mark.parametrize("name", PREFABS)
def test_hosts_begin_at_a_random_age(name: str) -> None:
    """In the first twentieth of a mean interval as many hosts fail as later: new ones of these shapes would fail three
    times as often."""
    prefab = PREFABS[name]
    cycle = int(mean_of(prefab.interval) + mean_of(prefab.lasts))
    part = cycle // 20
    found = by_host(plan(hosts(4000), prefab.interval, prefab.lasts), cycle)
    count = Counter(begin // part for row in found.values() for begin, _ in row if begin)
    expected = 4000 / 20
    assert abs(count[0] - expected) < SURE * sqrt(2 * expected)  # in bursts, so that it varies more than Poisson's
    new = by_host(plan(hosts(4000), prefab.interval, prefab.lasts, first=prefab.interval), part)
    assert sum(map(len, new.values())) > 2 * expected


def test_so_many_hosts_are_down_at_the_start_as_on_the_average() -> None:
    made = plan(hosts(3000), Exponential(30 * HOUR), Lognormal(2 * HOUR, 1.5))
    down = mean_of(made.lasts)
    share = down / (down + 30 * HOUR)
    at_start = [row[0][1] for row in by_host(made, 1).values()]
    assert abs(len(at_start) - 3000 * share) < SURE * sqrt(3000 * share)
    # what is left of a repair that one meets: E[X^2] / 2 E[X]
    left = (2 * HOUR) ** 2 * exp(2 * 1.5**2) / 2 / down
    assert fmean(at_start) > down
    assert half_below(at_start, _median_left(2 * HOUR, 1.5)), (fmean(at_start), left)


def _median_left(median: float, sigma: float) -> float:
    """Half of the repairs that one meets last no longer: the integral of the survival function, cut in half."""

    def alive(time: float) -> float:
        return 0.5 - 0.5 * erf(log(time / median) / sigma / sqrt(2))

    mean, sum_, step, time = median * exp(sigma**2 / 2), 0.0, median / 200, 0.0
    while sum_ < mean / 2:
        time += step
        sum_ += alive(time - step / 2) * step
    return time


# to whom


def test_one_more_host_changes_nothing_for_the_others() -> None:
    few, many = (by_host(plan(hosts(number), Weibull(0.7, 5 * DAY), Exponential(HOUR)), YEAR) for number in (5, 9))
    assert {name: many[name] for name in few} == few
    assert few["node1"] != few["node2"]


def test_another_seed_or_name_is_another_weather() -> None:
    one, same, named = (
        by_host(plan(hosts(2), Exponential(DAY), Exponential(HOUR), name=name), YEAR, seed)
        for seed, name in ((1, "plan"), (2, "plan"), (1, "other"))
    )
    assert one not in (same, named)
    assert one == by_host(plan(hosts(2), Exponential(DAY), Exponential(HOUR)), YEAR)


def test_all_hosts_of_a_group_fail_at_once() -> None:
    groups = (Unit("rack1", (("node1",), ("node2",))), Unit("rack2", (("node3",), ("node4",))))
    found = by_host(plan(groups, Exponential(DAY), Exponential(HOUR)), YEAR)
    assert found["node1"] == found["node2"] != found["node3"] == found["node4"]


def test_a_share_of_hosts_is_drawn_each_time() -> None:
    def struck(number: int) -> dict[int, set[str]]:
        unit = Unit("share", tuple(unit.nodes[0] for unit in hosts(number)))
        found: dict[int, set[str]] = {}
        for fault in faults_of(plan((unit,), Exponential(DAY), Exponential(HOUR), share=0.2), 1, YEAR):
            found.setdefault(fault.at_ns, set()).add(fault.nodes[0])
        return found

    ten, eleven = struck(10), struck(11)
    assert {len(names) for names in ten.values()} == {2}
    assert len(set.union(*ten.values())) == 10
    # one more host is drawn with its share, and takes the place of one
    assert list(ten) == list(eleven)
    assert max(len(ten[at] - eleven[at]) for at in ten) == 1
    assert {len(names) for names in struck(2).values()} == {1}


# when


def test_every_keeps_its_grid_and_a_gap_begins_at_an_end() -> None:
    grid = plan(hosts(1), Constant(DAY), Constant(HOUR), counted=Counted.FROM_BEGIN, first=Constant(2 * HOUR))
    assert [begin for begin, _ in by_host(grid, 4 * DAY)["node1"]] == [2 * HOUR + day * DAY for day in range(4)]
    gap = plan(hosts(1), Constant(DAY), Constant(HOUR), first=Constant(2 * HOUR))
    assert [begin for begin, _ in by_host(gap, 4 * DAY)["node1"]] == [2 * HOUR + day * 25 * HOUR for day in range(4)]


def test_a_fault_that_is_drawn_longer_than_its_interval_is_not_interrupted() -> None:
    made = plan(hosts(50), Exponential(2 * HOUR), Exponential(HOUR), counted=Counted.FROM_BEGIN)
    rows = by_host(made, 100 * DAY).values()
    assert all(begin + length <= after for row in rows for (begin, length), (after, _) in pairwise(row))
    assert any(begin + length == after for row in rows for (begin, length), (after, _) in pairwise(row))


def test_a_plan_has_a_beginning_and_an_end() -> None:
    made = plan(hosts(20), Exponential(2 * HOUR), Exponential(HOUR), from_ns=DAY, until_ns=2 * DAY)
    begins = [begin for row in by_host(made, YEAR).values() for begin, _ in row]
    assert min(begins) == DAY  # who is down already
    assert 2 * DAY - 2 * HOUR < max(begins) < 2 * DAY


def test_a_fault_may_come_once() -> None:
    once = plan(hosts(2), None, Constant(HOUR), first=Exponential(DAY))
    rows = by_host(once, YEAR)
    assert [len(row) for row in rows.values()] == [1, 1]
    assert rows["node1"] != rows["node2"]


def test_the_faults_of_a_plan_come_in_the_order_of_time() -> None:
    for made in (
        plan(hosts(30), Exponential(DAY), Exponential(HOUR)),
        TracePlan(
            "told", Fault(Kind.DOWN), tuple(NodeOutages(u.nodes[0], ((5, 9), (20, 30))) for u in hosts(3)), 0, 40
        ),
    ):
        begins = [fault.at_ns for fault in faults_of(made, 1, 10 * DAY if isinstance(made, FaultPlan) else 400)]
        assert begins == sorted(begins) and len(begins) > 50


# runs


def run_of(
    *plans: FaultPlan | TracePlan, until_ns: int = 10 * DAY, seed: int = 1, written: bool = False
) -> list[object]:
    """What changed in a run, from its log."""
    lines: list[object] = []
    cluster = ClusterDefinition(hosts=tuple(HostDefinition(f"node{at}", 1) for at in range(1, 5)))
    scenario = Scenario(seed=seed, for_ns=until_ns, plans=plans)

    class Listener:
        @property
        def table(self) -> dict[type, Callable[[Any], None]]:
            return {FaultChanged: lines.append}

    result = simulate(
        Configuration("", "/", cluster=cluster), drawn(scenario) if written else scenario, readers=(Listener(),)
    )
    assert result.good
    return lines


MIXED = (
    plan(hosts(4), Exponential(2 * DAY), Lognormal(HOUR, 1.0)),
    plan(hosts(3), Exponential(DAY), Exponential(HOUR), kind=Kind.SILENT, name="silent"),
    plan(
        (Unit("servers", (("controller",),)),), Exponential(DAY), Constant(60 * SECOND), kind=Kind.RESTARTED, name="r"
    ),
    TracePlan("told", Fault(Kind.SLOW), (NodeOutages(("node1",), ((HOUR, 2 * HOUR),)),), 0, DAY),
)


def test_a_run_has_the_faults_of_its_plans() -> None:
    lines = run_of(*MIXED)
    counts = Counter((line.kind, line.on) for line in lines if isinstance(line, FaultChanged))
    assert counts["slow", True] == counts["slow", False] == 10
    assert counts["down", True] > 5 and counts["silent", True] > 10 and counts["restarted", True] > 4
    down = [line.t for line in lines if isinstance(line, FaultChanged) and line.on and line.kind == "down"]
    assert down == [fault.at_ns for fault in faults_of(MIXED[0], 1, 10 * DAY)]


def test_a_plan_that_is_written_down_is_the_same_world() -> None:
    assert run_of(*MIXED, until_ns=4 * DAY, written=True) == run_of(*MIXED, until_ns=4 * DAY)
    assert run_of(*MIXED, until_ns=DAY, seed=2) != run_of(*MIXED, until_ns=DAY)


@pytest.mark.parametrize("kind", [Kind.CRASHED, Kind.FLAPPING, Kind.BROKEN, Kind.KEEPER_CRASHED, Kind.WALL_STEP])
def test_every_sort_of_fault_may_be_planned(kind: Kind) -> None:
    """Those that the others do not show: rows of faults, faults at a boundary, at a moment, everywhere."""
    places = {Kind.CRASHED: ("scheduler",), Kind.BROKEN: ("controller", "node1"), Kind.WALL_STEP: ()}
    unit = Unit("it", (places.get(kind, ("node1",)),))
    lasts = Constant(0 if kind in (Kind.BROKEN, Kind.WALL_STEP) else 60 * SECOND)
    lines = run_of(plan((unit,), Constant(6 * HOUR), lasts, kind=kind), until_ns=2 * DAY)
    assert len(lines) >= 7


def test_a_plan_at_nothing_is_refused() -> None:
    made = plan((Unit("node9", (("node9",),)),), Constant(DAY), Constant(HOUR))
    with pytest.raises(ConfigurationError, match="fault down at node9: there is no such thing"):
        World(Configuration("", "/"), Scenario(plans=(made,)), EventLog())


TOLD = """\
from tests.sim.test_fault_plans import DAY, MIXED, Exponential, HOUR, Unit, faults_of, hosts, plan
places = tuple(unit.nodes[0] for unit in hosts(20))
share = plan((Unit("share", places),), Exponential(DAY), Exponential(HOUR), share=0.3)
print([(f.kind.value, f.nodes, f.at_ns, f.for_ns) for made in (*MIXED, share) for f in faults_of(made, 1, 40 * DAY)])
"""


def test_faults_do_not_depend_on_the_hash_seed() -> None:
    told = [
        subprocess.run(
            [sys.executable, "-c", TOLD],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert told[0] == told[1]
    assert told[0].count("'down'") > 100
