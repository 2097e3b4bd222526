"""Goal: the alarms hear of everything that is wrong around the scheduler, wherever its controller is; what a look at a
source found comes to the scheduler, and a bug of ours ends the server.

Method: the effects of a scheduler with stand-ins for what surrounds it; what was answered is looked at.
"""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from live.outward import Outward
from live.scheduler_effects import SchedulerEffects
from live.sources import Looked
from model.controller import Controller
from model.effects import AskSource, LookAround
from model.errors import LaulimaError
from model.events import LookedAround, SourceAnswered
from model.job import SECOND
from model.task import FilesSource
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


class SourceOf:
    """Stands for sources of which each look ends as the test says."""

    def __init__(self) -> None:
        self.looks: list[asyncio.Future[Looked]] = []

    def ask(self, question: AskSource) -> asyncio.Future[Looked]:
        self.looks.append(asyncio.get_running_loop().create_future())
        return self.looks[-1]


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (Looked(("a", "b")), SourceAnswered("t", 7, ("a", "b"))),
        (Looked(("a",), "bad name"), SourceAnswered("t", 7, ("a",), "bad name")),
        (LaulimaError("no folder"), SourceAnswered("t", 7, error="no folder")),
        (FileNotFoundError(2, "No such file", "in"), SourceAnswered("t", 7, error="in: No such file")),
        (KeyError("a bug"), None),
    ],
)
def test_what_a_look_found_is_told_and_a_bug_ends_the_server(
    found: Looked | Exception, said: SourceAnswered | None
) -> None:
    async def whole() -> None:
        loop = asyncio.get_running_loop()
        posted: list[object] = []
        turns: Any = SimpleNamespace(post=lambda machine, event: posted.append(event), failed=loop.create_future())
        outward, source, other = Outward(loop, str), SourceOf(), Surroundings(SmallWorld(()).controller, None)
        outward.join(turns)
        around: Any = other
        SchedulerEffects(outward, turns, around.agent, source, around, around, around.room)  # type: ignore[arg-type]
        outward.carry_out("scheduler", AskSource("t", 7, FilesSource("*"), SECOND))
        assert posted == []
        if isinstance(found, Exception):
            source.looks[0].set_exception(found)
        else:
            source.looks[0].set_result(found)
        await asyncio.wait([source.looks[0], turns.failed], return_when=asyncio.FIRST_COMPLETED)
        if said is not None:
            assert posted == [said]
            assert not turns.failed.done()
        else:
            with pytest.raises(KeyError, match="a bug"):
                await asyncio.wait_for(turns.failed, 20)

    asyncio.run(whole())
