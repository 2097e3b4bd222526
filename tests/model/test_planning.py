"""Goal: a plan foretells what the tasks do, and looking ahead changes nothing.

Method: the small world, whose jobs end at once; what it then does is compared with what was foretold, start by start.
"""

from __future__ import annotations

from datetime import UTC

import pytest

from model import planning
from model.events import OrderTask, TaskVerb, WallClock
from model.job import SECOND
from model.planning import Plan
from model.task import DoneSource, FilesSource, Limits, Missed, TaskDefinition
from model.views import PlanRow
from model.windows import Window
from tests.model.small_world import SmallWorld, task

HOUR = 3600
MIDNIGHT = 1_700_006_400 * SECOND
"""2023-11-15 00:00 UTC"""
QUICK = ("run", "0", "0")


def world_of(*tasks: TaskDefinition, hour: float = 0) -> SmallWorld:
    world = SmallWorld(tasks)
    world.give(WallClock(MIDNIGHT + int(hour * HOUR) * SECOND - world.now))
    return world


def plan(world: SmallWorld, hours: float) -> dict[str, PlanRow]:
    rows = Plan(world.scheduler.spawning, world.now).run(int(hours * HOUR) * SECOND)
    return {row.task: row for row in rows}


def starts(world: SmallWorld, name: str, hours: float) -> list[int]:
    """When the task makes jobs in the next hours, in hours since midnight."""
    spawning, found = world.scheduler.spawning, []
    end = world.now + int(hours * HOUR) * SECOND
    made = spawning.tasks[name].made
    while world.now < end:
        world.run(300)
        for _ in range(spawning.tasks[name].made - made):
            last = spawning.tasks[name].last_made_ns
            assert last is not None
            found.append(last + spawning.wall_offset_ns)
        made = spawning.tasks[name].made
    return found


WINDOW = Window(UTC, 6 * HOUR, 7 * HOUR)
TASKS = {
    "period": task("t", *QUICK, every=600),
    "window": task("t", *QUICK, every=600, windows=(WINDOW,)),
    "jobs in a window": task("t", *QUICK, every=600, windows=(Window(UTC, 6 * HOUR, 7 * HOUR, jobs_max=2),)),
    "total": task("t", *QUICK, every=1200, limits=Limits(total=5)),
    "in flight": task("t", *QUICK, every=600, limits=Limits(in_flight=1)),
    "elastic": task("t", *QUICK, every=900, missed=Missed.ELASTIC),
}


@pytest.mark.parametrize("name", TASKS)
def test_what_is_foretold_is_what_happens(name: str) -> None:
    world = world_of(TASKS[name], hour=5.5)
    world.run(300)
    hours = 25.25 if name == "jobs in a window" else 2.5
    row = plan(world, hours)["t"]
    happened = starts(world, "t", hours)
    assert happened
    assert (row.starts, row.more) == (len(happened), False)
    assert (row.first_at, row.last_at) == (happened[0], happened[-1])
    assert row.times == tuple(happened[:10])


def test_a_hold_with_an_end_is_waited_for_and_one_without_is_told() -> None:
    world = world_of(task("t", *QUICK, every=600), task("u", *QUICK, every=600))
    world.give(OrderTask(1, TaskVerb.HOLD, "t", "a moment", 2 * HOUR * SECOND))
    world.give(OrderTask(2, TaskVerb.HOLD, "u", "mail loop"))
    found = plan(world, 4)
    assert (found["u"].starts, found["u"].why) == (0, "held: mail loop")
    assert found["t"].why == "held: a moment"
    happened = starts(world, "t", 4)
    assert found["t"].times == tuple(happened[:10])
    assert happened[0] >= MIDNIGHT + 2 * HOUR * SECOND


def test_a_running_job_is_taken_as_ended_and_the_limit_is_told() -> None:
    world = world_of(task("t", "run", "100000", "0", every=600, timeout=0, limits=Limits(in_flight=1)))
    world.run(1)
    row = plan(world, 1)["t"]
    assert row.starts > 0
    assert "limits.in_flight=1" in row.why


def test_items_that_wait_are_told_and_what_sources_will_show_is_not_guessed() -> None:
    world = world_of(
        task("s", *QUICK, every=600, source=FilesSource("*.fits"), limits=Limits(in_flight=1)),
        task("d", *QUICK, source=DoneSource("s")),
    )
    world.items["s"] = ("a", "b", "c")
    world.scheduler.spawning.tasks["s"].in_flight = 1
    world.run(601)
    found = plan(world, 1000)
    assert (found["s"].starts, found["s"].items) == (0, 3)
    assert "each item that its source shows" in found["s"].why
    assert found["d"].why == "a job for each item that s finishes"


def test_looking_ahead_changes_nothing_and_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "STARTS_MAX", 100)
    counted = Window(UTC, jobs_max=5)
    world = world_of(
        task("t", *QUICK, every=1), task("u", *QUICK, every=3600), task("w", *QUICK, every=60, windows=(counted,))
    )
    world.run(70)
    spawning = world.scheduler.spawning

    def state() -> list[object]:
        return [
            (one.made, one.due_ns, one.blocked, dict(one.skipped), dict(one.openings))
            for one in spawning.tasks.values()
        ]

    before = state()
    found = plan(world, 24)
    assert (found["t"].starts, found["t"].more) == (33, True)
    assert (found["u"].starts, found["u"].more) == (24, False)
    assert found["w"].starts == 3 + 2  # what is left of today, and two of tomorrow
    assert list(found) == ["t", "w", "u"]
    assert state() == before
    assert not world.scheduler.drain()
