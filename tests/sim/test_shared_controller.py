"""Goal: what a scheduler is promised holds when others use the same controller, in any weather, and where one dies.

Method: worlds of the swarm in which three schedulers use the controller, the first with the swarm's tasks and items,
the others with most of these tasks under other names; one of them is killed and started again in the middle. The oracle
reads what each scheduler alone would have seen of the log, and afterwards nothing is left anywhere.
"""

from __future__ import annotations

from collections import Counter

import pytest
from msgspec.structs import replace

from model.configuration import Configuration
from model.controller import Controller
from model.job import SECOND
from model.job_numbers import JOBS_BITS, superior_of
from model.scheduler import Scheduler
from model.superiors import Superior
from model.task import TaskDefinition
from sim.faults import CONTROLLER, LOCAL, SCHEDULER
from sim.log import Header, ProcessEnded, ProcessStarted
from sim.scenario import Fault, Kind, Scenario, Sharer, node_of
from sim.simulation import SimulationResult, simulate
from sim.swarm import swarm
from sim.views import Capacity
from sim.world import World

MORNING, EVENING, NIGHT = "morning", "evening", "night"
SEEDS = range(1, 25)


def tasks_of(name: str, tasks: tuple[TaskDefinition, ...]) -> tuple[TaskDefinition, ...]:
    """The same under other names, without items."""
    return tuple(replace(task, name=f"{name}-{task.name}") for task in tasks if task.source is None)


def sharer(name: str, configuration: Configuration, scenario: Scenario) -> Sharer:
    """One of the others."""
    own = replace(configuration, tasks=tasks_of(name, configuration.tasks))
    return Sharer(name, own, {f"{name}-{task}": weather for task, weather in scenario.tasks.items()})


def shared_world(seed: int, *more: Fault) -> tuple[Configuration, Scenario]:
    """A world of the swarm, whose scheduler is `morning` now; `more` faults."""
    configuration, scenario = swarm(seed)
    own = {node: node_of(node, MORNING) for node in (SCHEDULER, LOCAL)}
    faults = tuple(
        replace(fault, nodes=tuple(own.get(node, node) for node in fault.nodes)) for fault in scenario.faults
    )
    schedulers = (
        Sharer(MORNING, configuration, scenario.tasks),
        *(sharer(name, configuration, scenario) for name in (EVENING, NIGHT)),
    )
    disk = None if scenario.disk is None else replace(scenario.disk, one_process=False)
    return configuration, replace(scenario, schedulers=schedulers, faults=(*faults, *more), disk=disk, tasks={})


class Starts:
    """Processes that were started on hosts, by superior."""

    def __init__(self) -> None:
        self.begun: Counter[int] = Counter()
        self.table = {ProcessStarted: self._started}

    def _started(self, line: ProcessStarted) -> None:
        self.begun[superior_of(line.job)] += 1


def killed(seed: int) -> Fault:
    """Night's scheduler is killed, and started again."""
    at_ns, for_ns = (20 + 3 * seed) * SECOND, (5 + seed % 4 * 20) * SECOND
    return Fault(Kind.CRASHED, (node_of(SCHEDULER, NIGHT),), at_ns, for_ns)


def run(seed: int, *more: Fault) -> tuple[SimulationResult, World, Counter[int]]:
    worlds: list[World] = []
    starts = Starts()
    result = simulate(*shared_world(seed, *more), prepare=worlds.append, readers=(starts,))
    return result, worlds[0], starts.begun


@pytest.mark.parametrize("seed", SEEDS)
def test_each_scheduler_is_kept_what_it_was_promised(seed: int) -> None:
    result, world, _ = run(seed, killed(seed))
    assert not result.violations
    for side in world.sides:
        machine = world.nodes[side.node].machine
        assert isinstance(machine, Scheduler) and not machine.jobs
    controller = world.nodes[CONTROLLER].machine
    assert isinstance(controller, Controller)
    assert controller.jobs == {}
    assert {superior.name for superior in controller.superiors.all.values()} == {"", MORNING, EVENING, NIGHT}
    assert {superior.in_flight for superior in controller.superiors.all.values()} == {0}


def test_the_same_world_makes_the_same_log() -> None:
    first, again, calm = (run(3, *faults) for faults in ((killed(3),), (killed(3),), ()))
    assert first[0].hash == again[0].hash != calm[0].hash
    assert all(first[2][number] > 10 for number in (1, 2, 3)), "everybody's jobs ran"


def test_the_views_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    """A controller that hands an end to the wrong scheduler is found."""
    honest = Superior.key_of
    monkeypatch.setattr(Superior, "key_of", lambda self, job, attempt: honest(self, job ^ 1, attempt))
    assert run(1)[0].violations


def test_the_slots_of_a_host_are_counted_for_all() -> None:
    broken: list[tuple[int, str, str]] = []
    capacity = Capacity(lambda *told: broken.append(told))
    capacity.table[Header](Header(1, "", "", {"node1": 2}))
    first, second = (number << JOBS_BITS | 7 for number in (1, 2))
    capacity.table[ProcessStarted](ProcessStarted(3, "node1", first, 1, 1, 1))
    capacity.table[ProcessStarted](ProcessStarted(4, "node1", second, 1, 2, 1))
    assert not broken
    capacity.table[ProcessEnded](ProcessEnded(5, "node1", first, 1, 1, 0, None))
    capacity.table[ProcessStarted](ProcessStarted(6, "node1", first, 2, 3, 2))
    assert [told[:2] for told in broken] == [(6, "capacity")]


def test_a_schedulers_own_computer_starts_no_agent_without_its_server() -> None:
    """The computer boots while the server is gone: the agent begins with the server, and its jobs are done."""
    faults = (Fault(Kind.REBOOT, (node_of(LOCAL, MORNING),), 119 * SECOND, 31 * SECOND),
              Fault(Kind.RESTARTED, (node_of(SCHEDULER, MORNING),), 125 * SECOND, 47 * SECOND))  # fmt: skip
    result, world, _ = run(1074, *faults)
    assert not result.violations
    assert world.nodes[node_of(LOCAL, MORNING)].epoch == world.nodes[node_of(SCHEDULER, MORNING)].epoch
