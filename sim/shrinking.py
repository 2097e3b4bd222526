"""A failing world made small: what is not needed for the failure is taken away, piece by piece.

Time first (where nobody says when all must be over), then faults, orders, schedulers, tasks, hosts, jobs, and what
makes the weather rich; a piece stays away when the world still fails without it: the same promise is broken, or the
same expectation not met. Of many things a half is tried first, then smaller pieces, down to single ones (Zeller and
Hildebrandt, 2002), and all of it again until nothing more goes. Chance is drawn by names, so what stays meets the same
weather. Called by `laulima torture`, `laulima sim --shrink` and by whoever writes tests/regress/.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from msgspec import structs

from model.configuration import Configuration, HostDefinition
from model.job import SECOND
from model.task import TaskDefinition
from sim.fault_plans import drawn
from sim.scenario import Network, Scenario, Sharer
from sim.torture import judge

RUNS_MAX = 400
"""Worlds that are tried."""
LENGTHS = (0.25, 0.5, 0.875, 0.97)
"""Shares of its time that are tried."""
SHORTEST_NS = 10 * SECOND
"""No world is made shorter: hosts must connect before anything can fail."""

Thing = TypeVar("Thing")
Pair = tuple[Configuration, Scenario]


def shrink(configuration: Configuration, scenario: Scenario, promise: str) -> tuple[Configuration, Scenario, int]:
    """A smaller world in which this promise is broken, too, and how many worlds were tried for it."""
    return shrink_while(configuration, scenario, lambda *world: promise in judge(*world).promises)


def shrink_while(
    configuration: Configuration,
    scenario: Scenario,
    fails: Callable[[Configuration, Scenario], bool],
    runs_max: int = RUNS_MAX,
) -> tuple[Configuration, Scenario, int]:
    """A smaller world that fails, too, and how many worlds were tried for it. What fault plans draw becomes single
    faults, so that each can be taken away."""
    best = _Best(configuration, drawn(scenario), fails, runs_max)
    smaller = True
    while smaller:
        smaller = False
        for step in _STEPS:
            smaller |= step(best)
    return best.configuration, best.scenario, best.runs


class _Best:
    """The smallest world so far."""

    def __init__(
        self,
        configuration: Configuration,
        scenario: Scenario,
        fails: Callable[[Configuration, Scenario], bool],
        runs_max: int,
    ) -> None:
        self.configuration = configuration
        self.scenario = scenario
        self.runs = 0
        self._fails = fails
        self._runs_max = runs_max

    def try_(self, configuration: Configuration, scenario: Scenario) -> bool:
        """Whether this one is another one and fails, too: then it is the best. No more are tried than may be."""
        if self.runs == self._runs_max or (configuration, scenario) == (self.configuration, self.scenario):
            return False
        self.runs += 1
        fails = self._fails(configuration, scenario)
        if fails:
            self.configuration, self.scenario = configuration, scenario
        return fails


def _shorter(best: _Best) -> bool:
    """Where nobody says when all must be over: it ends earlier, with the faults and orders that it still has."""
    smaller = False
    while not best.scenario.healed_ns and any(_ends_earlier(best, share) for share in LENGTHS):
        smaller = True
    return smaller


def _ends_earlier(best: _Best, share: float) -> bool:
    scenario = best.scenario
    for_ns = round(scenario.for_ns * share) // SECOND * SECOND
    if for_ns < SHORTEST_NS:
        return False
    faults = tuple(fault for fault in scenario.faults if fault.at_ns < for_ns)
    orders = tuple(order for order in scenario.orders if order.at_ns < for_ns)
    return best.try_(best.configuration, structs.replace(scenario, for_ns=for_ns, faults=faults, orders=orders))


def _fewer(
    best: _Best, of: Callable[[_Best], tuple[Thing, ...]], put: Callable[[_Best, tuple[Thing, ...]], Pair]
) -> bool:
    """Take away what can be spared of what `of` gives. `put`: the world with these only."""
    smaller, size = False, max(1, len(of(best)) // 2)
    while True:
        at = 0
        while at < len(things := of(best)):
            if best.try_(*put(best, things[:at] + things[at + size :])):
                smaller = True
            else:
                at += size
        if size == 1:
            return smaller
        size //= 2


def _fewer_faults(best: _Best) -> bool:
    return _fewer(
        best,
        lambda best: best.scenario.faults,
        lambda best, faults: (best.configuration, structs.replace(best.scenario, faults=faults)),
    )


def _fewer_orders(best: _Best) -> bool:
    return _fewer(
        best,
        lambda best: best.scenario.orders,
        lambda best, orders: (best.configuration, structs.replace(best.scenario, orders=orders)),
    )


def _fewer_schedulers(best: _Best) -> bool:
    """One stays: without any it would be another kind of world."""

    def put(best: _Best, schedulers: tuple[Sharer, ...]) -> Pair:
        kept = schedulers or best.scenario.schedulers
        return best.configuration, structs.replace(best.scenario, schedulers=kept)

    return _fewer(best, lambda best: best.scenario.schedulers, put)


def _fewer_tasks(best: _Best) -> bool:
    return _fewer(best, lambda best: best.configuration.tasks, _with_tasks)


def _with_tasks(best: _Best, tasks: tuple[TaskDefinition, ...]) -> Pair:
    weather = best.scenario.tasks
    kept = {task.name: weather[task.name] for task in tasks if task.name in weather}
    return structs.replace(best.configuration, tasks=tasks), structs.replace(best.scenario, tasks=kept)


def _fewer_hosts(best: _Best) -> bool:
    """Those that no task needs go with their faults: where all are down, one that stays up would help."""
    required = {task.host.name for task in best.configuration.tasks if task.host.required}

    def spare(best: _Best) -> tuple[HostDefinition, ...]:
        return tuple(host for host in best.configuration.cluster.hosts if host.name not in required)

    def put(best: _Best, kept: tuple[HostDefinition, ...]) -> Pair:
        cluster = best.configuration.cluster
        hosts = tuple(host for host in cluster.hosts if host.name in required or host in kept)
        gone = {host.name for host in cluster.hosts} - {host.name for host in hosts}
        faults = tuple(fault for fault in best.scenario.faults if gone.isdisjoint(fault.nodes))
        configuration = structs.replace(best.configuration, cluster=structs.replace(cluster, hosts=hosts))
        return configuration, structs.replace(best.scenario, faults=faults)

    return _fewer(best, spare, put)


def _fewer_jobs(best: _Best) -> bool:
    """A task makes half as many, or one less."""
    smaller = False
    for at in range(len(best.configuration.tasks)):
        while (total := best.configuration.tasks[at].limits.total) > 1 and any(
            _with_total(best, at, fewer) for fewer in (total // 2, total - 1)
        ):
            smaller = True
    return smaller


def _with_total(best: _Best, at: int, total: int) -> bool:
    tasks = best.configuration.tasks
    small = structs.replace(tasks[at], limits=structs.replace(tasks[at].limits, total=total))
    tasks = (*tasks[:at], small, *tasks[at + 1 :])
    return best.try_(structs.replace(best.configuration, tasks=tasks), best.scenario)


def _plainer(best: _Best) -> bool:
    plain: tuple[dict[str, object], ...] = ({"network": Network()}, {"hosts": {}}, {"disk": None})
    tried = [best.try_(best.configuration, structs.replace(best.scenario, **change)) for change in plain]
    return any(tried)


_STEPS = (
    _shorter, _fewer_faults, _fewer_orders, _fewer_schedulers, _fewer_tasks, _fewer_hosts, _fewer_jobs, _plainer,
)  # fmt: skip
