"""Goal: what a scheduler is promised holds when others use the same controller, in any weather, and when one is killed.

Method: worlds of the swarm with a second and a third scheduler; one of them is killed and started again in the middle.
The oracle reads what each scheduler alone would have seen of the log, and afterwards nothing is left anywhere.
"""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from model.controller import Controller
from model.job import SECOND
from model.superiors import Superior
from model.task import TaskDefinition
from sim.faults import CONTROLLER
from sim.log import EventLog
from sim.scenario import Scenario
from sim.swarm import swarm
from tests.sim.shared_simulation import Capacity, SharedSimulation, View

EVENING, NIGHT = "evening", "night"
SEEDS = range(1, 25)


def tasks_of(name: str, tasks: tuple[TaskDefinition, ...]) -> tuple[TaskDefinition, ...]:
    """The same under other names, without what runs on the scheduler's own computer (handlers too) and items."""
    own = [task for task in tasks if task.host.name != "local" and task.source is None]
    return tuple(replace(task, name=f"{name}-{task.name}", handlers=()) for task in own)


def weather_of(name: str, scenario: Scenario) -> dict[str, object]:
    return {f"{name}-{task}": weather for task, weather in scenario.tasks.items()}


class Run:
    """One world, run to its end."""

    def __init__(self, seed: int, crash: tuple[int, int] | None) -> None:
        configuration, scenario = swarm(seed)
        others = {name: tasks_of(name, configuration.tasks) for name in (EVENING, NIGHT)}
        weather = {**scenario.tasks}
        for name in others:
            weather |= weather_of(name, scenario)  # type: ignore[arg-type]
        self.views = [View(0, "", configuration.tasks)]
        self.views += [View(number, name, tasks) for number, (name, tasks) in enumerate(others.items(), 1)]
        self.capacity = Capacity()
        log = EventLog(None, (*self.views, self.capacity))
        self.world = SharedSimulation(configuration, replace(scenario, tasks=weather), log, others)
        if crash is not None:
            self.world.crash(NIGHT, *crash)
        self.world.run()
        self.hash = log.close()

    def problems(self) -> list[str]:
        found = [f"{view}: {each}" for view, one in enumerate(self.views) for each in one.oracle.violations]
        return found + self.capacity.broken


@pytest.mark.parametrize("seed", SEEDS)
def test_each_scheduler_is_kept_what_it_was_promised(seed: int) -> None:
    run = Run(seed, ((20 + 3 * seed) * SECOND, (5 + seed % 4 * 20) * SECOND))
    assert not run.problems()
    assert set(run.world.jobs_left().values()) == {0}
    controller = run.world.nodes[CONTROLLER].machine
    assert isinstance(controller, Controller)
    assert controller.jobs == {}
    assert [superior.name for superior in controller.superiors.all.values()] == ["", EVENING, NIGHT]
    assert {superior.in_flight for superior in controller.superiors.all.values()} == {0}


def test_the_same_world_makes_the_same_log() -> None:
    crash = (30 * SECOND, 25 * SECOND)
    first, again, calm = Run(3, crash), Run(3, crash), Run(3, None)
    assert first.hash == again.hash != calm.hash
    assert all(first.capacity.begun[number] > 10 for number in (0, 1, 2)), "everybody's jobs ran"


def test_the_views_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    """A controller that hands an end to the wrong scheduler is found."""
    honest = Superior.key_of
    monkeypatch.setattr(Superior, "key_of", lambda self, job, attempt: honest(self, job ^ 1, attempt))
    assert Run(1, None).problems()
