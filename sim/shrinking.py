"""A failing world made small: what is not needed for the failure is taken away, piece by piece.

Time first (where nobody says when all must be over), then faults, orders, schedulers, tasks, hosts, jobs, and what
makes the weather rich; a piece stays away when the world still fails without it: the same promise is broken, or the
same expectation not met. Chance is drawn by names, so what stays meets the same weather. Called by `laulima torture`,
`laulima sim --shrink` and by whoever writes tests/regress/.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from msgspec import structs

from model.configuration import Configuration
from model.job import SECOND
from sim.fault_plans import drawn
from sim.scenario import Network, Scenario
from sim.torture import judge

RUNS_MAX = 400
"""Worlds that are tried."""
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
    best, runs, smaller = (configuration, drawn(scenario)), 0, True
    while smaller:
        smaller = False
        for candidate in _smaller(*best):
            if runs == runs_max:
                return (*best, runs)
            runs += 1
            if fails(*candidate):
                best, smaller = candidate, True
                break
    return (*best, runs)


def _smaller(configuration: Configuration, scenario: Scenario) -> Iterator[Pair]:
    yield from _shorter(configuration, scenario)
    for faults in _without_some(scenario.faults):
        yield configuration, structs.replace(scenario, faults=faults)
    for orders in _without_some(scenario.orders):
        yield configuration, structs.replace(scenario, orders=orders)
    for schedulers in _without_some(scenario.schedulers):
        if schedulers:
            yield configuration, structs.replace(scenario, schedulers=schedulers)
    for tasks in _without_some(configuration.tasks):
        names = [task.name for task in tasks]
        weather = {name: scenario.tasks[name] for name in names if name in scenario.tasks}
        yield structs.replace(configuration, tasks=tasks), structs.replace(scenario, tasks=weather)
    yield from _fewer_hosts(configuration, scenario)
    yield from _fewer_jobs(configuration, scenario)
    yield from _plainer(configuration, scenario)


def _shorter(configuration: Configuration, scenario: Scenario) -> Iterator[Pair]:
    """Where nobody says when all must be over: it ends earlier, with the faults and orders that it still has."""
    if scenario.healed_ns:
        return
    for share in (2, 4, 7):
        for_ns = scenario.for_ns * share // 8 // SECOND * SECOND
        if for_ns >= SHORTEST_NS:
            faults = tuple(fault for fault in scenario.faults if fault.at_ns < for_ns)
            orders = tuple(order for order in scenario.orders if order.at_ns < for_ns)
            yield configuration, structs.replace(scenario, for_ns=for_ns, faults=faults, orders=orders)


def _without_some(things: tuple[Thing, ...]) -> Iterator[tuple[Thing, ...]]:
    """Without a half of them, then without each one."""
    half = len(things) // 2
    if half > 1:
        yield things[:half]
        yield things[half:]
    for at in range(len(things)):
        yield things[:at] + things[at + 1 :]


def _fewer_hosts(configuration: Configuration, scenario: Scenario) -> Iterator[Pair]:
    cluster = configuration.cluster
    needed = {name for fault in scenario.faults for name in fault.nodes}
    needed |= {task.host.name or "" for task in configuration.tasks if task.host.required}
    for at, host in enumerate(cluster.hosts):
        if host.name not in needed:
            hosts = cluster.hosts[:at] + cluster.hosts[at + 1 :]
            yield structs.replace(configuration, cluster=structs.replace(cluster, hosts=hosts)), scenario


def _fewer_jobs(configuration: Configuration, scenario: Scenario) -> Iterator[Pair]:
    for at, task in enumerate(configuration.tasks):
        total = task.limits.total
        for fewer in (total // 2, total - 1):
            if 0 < fewer < total:
                small = structs.replace(task, limits=structs.replace(task.limits, total=fewer))
                tasks = (*configuration.tasks[:at], small, *configuration.tasks[at + 1 :])
                yield structs.replace(configuration, tasks=tasks), scenario


def _plainer(configuration: Configuration, scenario: Scenario) -> Iterator[Pair]:
    if scenario.network != Network():
        yield configuration, structs.replace(scenario, network=Network())
    if scenario.hosts:
        yield configuration, structs.replace(scenario, hosts={})
    if scenario.disk is not None:
        yield configuration, structs.replace(scenario, disk=None)
