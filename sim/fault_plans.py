"""Fault plans: interval x duration x scope, drawn or told by a trace, as a row of single faults in the order of time.

Each unit (a host, a group that fails together, a server) has a stream of its own, drawn by (seed, plan, unit, number),
so that one more host changes nothing for the others. `sim/faults.py` asks for one fault after the other; `drawn` writes
them all down, for whoever wants to take some of them away.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from functools import lru_cache
from heapq import merge
from itertools import accumulate, count, islice, pairwise

from msgspec.structs import replace

from sim.distributions import Choice, Constant, Distribution
from sim.keyed import Draws
from sim.scenario import Counted, Fault, FaultPlan, NodeOutages, Plan, Scenario, TracePlan, Unit

SHORTEST_NS = 1000
"""A fault that is drawn lasts so long at least: one of no time would last to the end."""
HALVINGS = 40
"""The ages table looks at the longest 2**-40 of all intervals no closer."""
CELLS = 64
"""Places in each half of what is left in the ages table."""
FOR_NO_TIME = Constant(0)
"""How long a fault lasts that is over at once, or never."""


def faults_of(plan: Plan, seed: int, until_ns: int) -> Iterator[Fault]:
    """The single faults of a plan that begin before `until_ns`, the earliest first."""
    rows: list[Iterator[Fault]]
    if isinstance(plan, TracePlan):
        rows = [_told(plan, node, until_ns) for node in plan.outages]
    else:
        until_ns = min(until_ns, plan.until_ns or until_ns)
        draws = Draws(seed, f"faults/{plan.name}")
        rows = [_drawn(plan, unit, draws, until_ns) for unit in plan.units]
    return merge(*rows, key=_begin)


class FaultRow:
    """The faults of a plan, to be taken one after the other; knows how far it is, so that a checkpoint can hold it."""

    def __init__(self, plan: Plan, seed: int, until_ns: int) -> None:
        self.__setstate__((plan, seed, until_ns, 0))

    def next(self) -> Fault | None:
        """None: there are no more."""
        self._taken += 1
        return next(self._faults, None)

    def __getstate__(self) -> tuple[Plan, int, int, int]:
        return (*self._recipe, self._taken)

    def __setstate__(self, state: tuple[Plan, int, int, int]) -> None:
        self._taken = state[3]
        self._recipe: tuple[Plan, int, int] = (state[0], state[1], state[2])
        self._faults = islice(faults_of(*self._recipe), self._taken, None)


def places_of(plan: Plan) -> list[tuple[str, ...]]:
    """Every place at which a plan has faults."""
    if isinstance(plan, TracePlan):
        return [node.nodes for node in plan.outages]
    return [nodes for unit in plan.units for nodes in unit.nodes]


def drawn(scenario: Scenario) -> Scenario:
    """The same world without plans: every fault of them stands in `faults`."""
    found = [fault for plan in scenario.plans for fault in faults_of(plan, scenario.seed, scenario.for_ns)]
    return replace(scenario, faults=(*scenario.faults, *found), plans=())


def _begin(fault: Fault) -> int:
    return fault.at_ns


# from a trace


def _told(plan: TracePlan, node: NodeOutages, until_ns: int) -> Iterator[Fault]:
    for again in count():
        shift = again * plan.length_ns - plan.offset_ns
        for begin, end in node.spans:
            if begin + shift >= until_ns:
                return
            if end + shift > 0:
                begins = max(0, begin + shift)
                yield replace(plan.fault, nodes=node.nodes, at_ns=begins, for_ns=end + shift - begins)
        if not plan.length_ns or not node.spans:
            return


# drawn


def _drawn(plan: FaultPlan, unit: Unit, draws: Draws, until_ns: int) -> Iterator[Fault]:
    for number, begin, for_ns in _spans(plan, unit, draws, until_ns):
        for nodes in _struck(plan, unit, draws, number):
            yield replace(plan.fault, nodes=nodes, at_ns=begin, for_ns=for_ns)


def _spans(plan: FaultPlan, unit: Unit, draws: Draws, until_ns: int) -> Iterator[tuple[int, int, int]]:
    """(number, begin, how long) of each fault of a unit."""
    interval = plan.interval
    if interval is not None and plan.first is None:
        left_ns, begin = _of_any_age(plan, interval, draws.four(f"{unit.name}/age"))
        if left_ns:
            yield -1, plan.from_ns, left_ns
    else:
        begin = 0 if plan.first is None else plan.first.sample(draws.one(f"{unit.name}/first"))
    begin += plan.from_ns
    for number in count():
        if begin >= until_ns:
            return
        gap, length, _, _ = draws.four(f"{unit.name}/{number}")
        lasts_ns = _lasts_ns(plan, length)
        yield number, begin, lasts_ns
        if interval is None:
            return
        gap_ns = interval.sample(gap)
        begin += lasts_ns + gap_ns if plan.counted is Counted.FROM_END else max(lasts_ns, gap_ns)


def _lasts_ns(plan: FaultPlan, chance: float) -> int:
    return 0 if plan.lasts == FOR_NO_TIME else max(SHORTEST_NS, plan.lasts.sample(chance))


def _of_any_age(plan: FaultPlan, interval: Distribution, chances: tuple[float, float, float, float]) -> tuple[int, int]:
    """How a unit is found that has had faults for ever: (how long its present fault still lasts, or 0, and when the
    next one begins). So hosts do not fail together at the start, as new ones of a Weibull shape below 1 would."""
    which, age, state, other = chances
    if plan.counted is Counted.FROM_END:
        on, off = mean_of(plan.lasts), mean_of(interval)
        if state * (on + off) < on:
            left_ns = max(SHORTEST_NS, round(_met(plan.lasts, which) * age))
            return left_ns, left_ns + interval.sample(other)
        return 0, round(_met(interval, which) * age)
    whole_ns = _met(interval, which)
    to_come_ns = round(whole_ns * age)
    left_ns = max(0, _lasts_ns(plan, other) - (whole_ns - to_come_ns))
    return left_ns, max(left_ns, to_come_ns)


def _struck(plan: FaultPlan, unit: Unit, draws: Draws, number: int) -> tuple[tuple[str, ...], ...]:
    """The places of a unit that this fault is at."""
    if plan.share >= 1.0:
        return unit.nodes
    most = max(1, round(plan.share * len(unit.nodes)))
    ranked = sorted((draws.one(f"{unit.name}/{number}/{' '.join(nodes)}"), nodes) for nodes in unit.nodes)
    return tuple(nodes for _, nodes in ranked[:most])


# the interval that one meets


@lru_cache(maxsize=64)
def _cells(distribution: Distribution) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """(chance, sum of `chance x value` up to there) at places that lie closer and closer towards chance 1: where the
    long ones are, which are few and make up most of the time. A value that is one of some has a cell of its own."""
    edges = [0.0]
    if isinstance(distribution, Choice):
        edges += [
            sum(distribution.weights[:at]) / sum(distribution.weights) for at in range(1, len(distribution.weights))
        ]
        edges.append(1.0)
    else:
        for half in range(HALVINGS):
            low, width = 1.0 - 2.0**-half, 2.0 ** -(half + 1)
            edges += [low + width * cell / CELLS for cell in range(1, CELLS + 1)]
    weights = [(high - low) * distribution.sample((low + high) / 2) for low, high in pairwise(edges)]
    return tuple(edges), tuple(accumulate(weights, initial=0.0))


def mean_of(distribution: Distribution) -> float:
    """Its mean, to about a thousandth."""
    return _cells(distribution)[1][-1]


def _met(distribution: Distribution, chance: float) -> int:
    """How long the interval is in which one arrives at any time: a long one is met more often, by its length."""
    edges, sums = _cells(distribution)
    wanted = chance * sums[-1]
    at = min(max(1, bisect_left(sums, wanted)), len(sums) - 1)
    part = (wanted - sums[at - 1]) / (sums[at] - sums[at - 1]) if sums[at] > sums[at - 1] else 0.5
    return distribution.sample(edges[at - 1] + part * (edges[at] - edges[at - 1]))
