"""Goal: a job whose attempt was ended because of a hold or a shutdown, or was given up, is not over when the server
crashes before it has heard of that end: the next life knows nothing of what the earlier one wanted. And what a person
was told will be ended is ended, whoever crashes meanwhile. Method: the small world; words leave, and the server dies.
"""

from __future__ import annotations

from typing import Any

import pytest

from model.events import Delivered, IntakeVerb, JobVerb, LinkDown, OrderIntake, OrderJob, OrderTask, TaskVerb
from model.job import SECOND, Block, JobState
from model.messages import Batch, Cancel, CancelReason
from model.restored import fold
from model.scheduler import CONTROLLER
from model.snapshot import say
from model.task import Retry
from tests.model.small_world import SmallWorld, cluster, task

FOR_LONG = 1_000_000
WAITS_FOR_A_FILE = Block(("a.in",), (), 500 * SECOND)


def world_of_one(**fields: Any) -> SmallWorld:
    world = SmallWorld((task("t", "run", "50", "0", every=FOR_LONG, **fields),), cluster(("node1", 1)))
    world.run(2)
    return world


def crash_after(world: SmallWorld, event: object) -> None:
    """The words that follow from this arrive at the host; the server dies before it hears an answer."""
    world.scheduler.receive(event, world.now)  # type: ignore[arg-type]
    for effect in world.scheduler.drain():
        world._scheduler_effect(effect)
    for effect in world.controller.drain():
        world._controller_effect(effect)
    world.restart_server()


def test_a_job_that_was_to_be_held_lives_on() -> None:
    world = world_of_one(block=WAITS_FOR_A_FILE)
    crash_after(world, OrderJob(1, JobVerb.HOLD, 1, "a look at it"))
    world.run(3)
    assert [(end.report.reason, end.final) for end in world.ends] == [("held", False)]
    world.hosts["node1"].files.add("a.in")
    world.run(100)
    assert world.outcomes() == ["EXITED"] and world.hosts["node1"].ran == {(1, 2): 1}


@pytest.mark.parametrize(("reruns", "outcomes"), [(1, ["EXITED"]), (0, ["KILLED"])])
def test_what_a_shutdown_has_ended_is_run_again_as_often_as_its_task_allows(reruns: int, outcomes: list[str]) -> None:
    world = world_of_one(lost_reruns=reruns)
    crash_after(world, OrderIntake(1, IntakeVerb.SHUTDOWN_KILL, "an upgrade"))
    world.run(100)
    assert world.ends[0].report.reason == "shutdown"
    assert world.outcomes() == outcomes


def test_what_a_shutdown_has_kept_from_beginning_begins_in_the_next_life() -> None:
    world = world_of_one(block=WAITS_FOR_A_FILE)
    crash_after(world, OrderIntake(1, IntakeVerb.SHUTDOWN_KILL, "an upgrade"))
    world.hosts["node1"].files.add("a.in")
    world.run(100)
    assert world.outcomes() == ["EXITED"]


def test_one_that_was_given_up_before_it_began_gets_another_attempt_without_a_rerun() -> None:
    world = world_of_one(block=WAITS_FOR_A_FILE)
    word = Batch(1, world.scheduler.executors[CONTROLLER].link.sequence + 1, 1, (Cancel(1, 1, CancelReason.ORPHAN),))  # type: ignore[arg-type]
    world.controller.receive(Delivered("superior", word), world.now)
    for effect in world.controller.drain():
        world._controller_effect(effect)
    world.restart_server()
    world.hosts["node1"].files.add("a.in")
    world.run(100)
    assert [end.report.outcome.name for end in world.ends] == ["LOST", "EXITED"]


def out_of_reach() -> SmallWorld:
    world = world_of_one()
    assert list(world.hosts["node1"].processes) == [(1, 1)]
    world.scheduler.receive(LinkDown(CONTROLLER, "gone"), world.now)
    return world


@pytest.mark.parametrize("verb", [JobVerb.KILL, JobVerb.DELETE])
@pytest.mark.parametrize("snapshot", [False, True])
def test_a_job_whose_end_a_person_was_told_of_ends_also_in_the_next_life(verb: JobVerb, snapshot: bool) -> None:
    world = out_of_reach()
    world.give(OrderJob(1, verb, 1, "wrong"))
    assert world.answers[-1].ok and "it ends when that is back" in world.answers[-1].text
    if snapshot:
        folded = fold(world.records)
        world.records += say(folded.scheduler, folded.controller)
    world.restart_server(joins=False)
    assert world.scheduler.jobs[1].state is JobState.CANCELLING  # type: ignore[index]
    world.link_up()
    world.run(3)
    assert world.outcomes() == ["KILLED"] and not world.hosts["node1"].processes
    assert world.ends[-1].silent is (verb is JobVerb.DELETE)


def test_the_attempt_after_the_one_that_a_person_had_ended_is_not_to_be_ended() -> None:
    world = world_of_one(retry=Retry(("killed",), times=1))
    world.scheduler.receive(LinkDown(CONTROLLER, "gone"), world.now)
    world.give(OrderJob(1, JobVerb.KILL, 1, "wrong"))
    for _ in range(2):
        world.restart_server()
        world.run(30)
    world.run(60)
    assert [end.report.outcome.name for end in world.ends] == ["KILLED", "EXITED"]


def test_what_was_flushed_out_of_reach_ends_also_in_the_next_life() -> None:
    world = world_of_one(block=WAITS_FOR_A_FILE)
    world.scheduler.receive(LinkDown(CONTROLLER, "gone"), world.now)
    world.give(OrderTask(1, TaskVerb.FLUSH, "t"))
    assert world.answers[-1].text == "task t: 1 jobs flushed"
    world.restart_server()
    world.run(3)
    assert world.outcomes() == ["KILLED"]
    assert world.scheduler.executors[CONTROLLER].waiting == 0


def test_one_that_has_ended_by_itself_meanwhile_says_how() -> None:
    world = out_of_reach()
    world.give(OrderJob(1, JobVerb.KILL, 1, "wrong"))
    world.restart_server(joins=False)
    world.run(60)
    world.link_up()
    world.run(3)
    assert world.outcomes() == ["EXITED"]


def test_a_kill_by_a_person_is_final_whoever_crashes() -> None:
    world = world_of_one(block=WAITS_FOR_A_FILE, lost_reruns=1)
    crash_after(world, OrderJob(1, JobVerb.KILL, 1, "wrong"))
    world.run(3)
    assert world.outcomes() == ["KILLED"]
