"""Goal: the alarms hear of everything that is wrong around the scheduler, wherever its controller is.

Method: the effects of a scheduler with stand-ins for what surrounds it; what was answered is looked at.
"""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from live.scheduler_effects import SchedulerEffects
from model.controller import Controller
from model.effects import LookAround
from model.events import LookedAround
from model.view_rows import controller_status
from model.views import Status
from tests.model.small_world import SmallWorld, cluster

FULL = "the disk of journal.sqlite is full"
SILENT = Status("", "live", "", 0, (), (), (), ("the controller does not answer",))


class Surroundings:
    """Of one scheduler. `told`: what the controller in another process says; None: it is in this one."""

    def __init__(self, controller: Controller, told: Status | None) -> None:
        self.machine = controller
        self._told = told
        self.room = SimpleNamespace(text="")
        self.agent = SimpleNamespace(agent=SimpleNamespace(dirty=""))
        self.answers: list[LookedAround] = []

    async def told(self) -> Status | None:
        return self._told

    def post(self, machine: str, event: LookedAround) -> None:
        self.answers.append(event)

    def add(self, handlers: dict[type, Any]) -> None:
        self.handlers = handlers

    def start(self, work: Any) -> None:
        asyncio.run(work)

    def look(self) -> tuple[list[tuple[str, str]], tuple[str, ...] | None]:
        """(kind and subject of what is wrong, of what nobody knows)."""
        around: Any = self
        SchedulerEffects(around, around, around.agent, around, around, around, around.room)
        self.handlers[LookAround]("scheduler", LookAround(1))
        answer = self.answers[-1]
        return [(each.kind.value, each.subject) for each in answer.troubles], answer.unsure


@pytest.mark.parametrize("away", [False, True], ids=["here", "in another process"])
def test_what_is_wrong_with_hosts_and_disks_is_told_wherever_the_controller_is(away: bool) -> None:
    world = SmallWorld((), cluster(("node1", 2), ("node2", 2), ("node3", 2)))
    world.cut("node1")
    world.run(5)
    world.controller.hosts["node2"].dirty = "the disk is full"
    told = controller_status(world.controller, world.now, "shared.yaml", 0, (), 1, FULL) if away else None
    around = Surroundings(world.controller, told)
    hosts = [("host-down", "host node1"), ("host-broken", "host node2")]
    full = [("disk-full", "disk of the controller")] if away else []
    assert around.look() == ([*hosts, *full], ("host node1",))
    around.room.text = FULL
    around.agent.agent.dirty = "process 7 could not be ended"
    assert around.look()[0] == [*hosts, *full, ("host-broken", "host local"), ("disk-full", "disk")]


def test_of_a_controller_that_does_not_answer_nothing_is_known() -> None:
    world = SmallWorld((), cluster(("node1", 2)))
    assert Surroundings(world.controller, SILENT).look() == ([], None)
