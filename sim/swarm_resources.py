"""Swarm, with resources: a share of its worlds has hosts with resources and labels, shared counters, and tasks that
need them; in some of these a host fails whatever it gets. Called by `swarm.py`; the dice are its own, so the other
worlds are the same with and without it.
"""

from __future__ import annotations

from random import Random

from msgspec import structs

from model.configuration import PASSED_MAX, ClusterDefinition, HostDefinition
from model.health import HealthPolicy
from model.job import LOCAL, SECOND
from model.resources import CPU, CPUS, GIBIBYTE, GPUS, MEMORY, Amounts, Needs, Place
from model.task import TaskDefinition
from sim.scenario import Fault, Kind, Scenario

SHARE = 0.3
"""Of the worlds."""
COUNTER = "licence_x"


def with_resources(
    seed: int, cluster: ClusterDefinition, tasks: tuple[TaskDefinition, ...]
) -> tuple[ClusterDefinition, tuple[TaskDefinition, ...]]:
    """The same world, or one whose hosts have more than slots and whose tasks need it."""
    chance = Random(f"{seed}/resources")  # noqa: S311 - chance of a simulation
    if chance.random() >= SHARE:
        return cluster, tasks
    hosts = tuple(_host(chance, host) for host in cluster.hosts)
    cluster = structs.replace(
        cluster,
        hosts=hosts,
        resources=((COUNTER, chance.randint(1, 4)),),
        place=chance.choice((Place.SPREAD, Place.PACK)),
        passed_max=chance.choice((0, 1, 4, PASSED_MAX)),
        health=HealthPolicy(
            chance.choice((0, 2, 5)), chance.randint(1, 3), 600 * SECOND, chance.randint(2, 60) * SECOND
        ),
    )
    return cluster, tuple(_task(chance, task, hosts) for task in tasks)


def with_a_failing_host(seed: int, cluster: ClusterDefinition, scenario: Scenario) -> Scenario:
    """In half of those worlds a host ends whatever it gets, for a while in the first minutes."""
    chance = Random(f"{seed}/failing")  # noqa: S311 - chance of a simulation
    if not cluster.resources or chance.random() < 0.5:
        return scenario
    name = chance.choice(cluster.hosts).name
    fault = Fault(Kind.FAILING, (name,), chance.randrange(10, 90) * SECOND, chance.randrange(20, 90) * SECOND)
    return structs.replace(scenario, faults=(*scenario.faults, fault))


def _host(chance: Random, host: HostDefinition) -> HostDefinition:
    resources: Amounts = (
        (CPUS, chance.randint(1, 8) * CPU // 2),
        (GPUS, chance.randint(1, 3)),
        (MEMORY, chance.randint(1, 8) * GIBIBYTE),
    )
    labels = tuple(label for label in ("fast", "ssd") if chance.random() < 0.6)
    return structs.replace(host, resources=resources[: chance.randint(1, 3)], labels=labels)


def _task(chance: Random, task: TaskDefinition, hosts: tuple[HostDefinition, ...]) -> TaskDefinition:
    if task.host.name == LOCAL or chance.random() < 0.2:
        return task
    resources: Amounts = (
        (CPUS, chance.randint(1, 6) * CPU // 2),
        (GPUS, chance.randint(1, 2)),
        (COUNTER, chance.randint(1, 2)),
        (MEMORY, chance.randint(1, 4) * GIBIBYTE),
    )
    needs = Needs(
        tuple(each for each in resources if chance.random() < 0.5),
        tuple(label for label in ("fast",) if chance.random() < 0.2),
        tuple(host.name for host in hosts if chance.random() < 0.15),
        chance.choice((None, Place.SPREAD, Place.PACK)),
    )
    return structs.replace(task, needs=None if needs == Needs() else needs)
