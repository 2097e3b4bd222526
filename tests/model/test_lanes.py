"""Goal: brief jobs follow each other without a pause, and nobody waits behind a long one. Method: the small world's
local host, whose keeper answers within the instant; what was sent ahead is seen at the keeper.
"""

from __future__ import annotations

import pytest

from model.agent import Agent
from model.events import JobVerb, OrderJob, Submit
from model.hosted_attempt import AttemptState
from model.job import LOCAL, SECOND, HostWish, JobId, JobSpec
from model.keeper import ProcessState
from model.lanes import PATIENCE_NS, STAGED_MAX
from tests.model.small_world import SmallWorld, cluster

HERE = HostWish(LOCAL, required=True)


def world_with(*seconds: float, slots: int = 1, pending: float = 0) -> SmallWorld:
    """A local host that knows one brief run, and then gets a job for each number."""
    world = SmallWorld(definition=cluster(local_slots=slots))
    world.give(Submit(1, JobSpec("brief", ("run", "0.01", "0"), host=HERE)))
    world.run(1)
    for number in seconds:
        spec = JobSpec("brief", ("run", str(number), "0"), host=HERE, pending_ns=round(pending * SECOND))
        world.give(Submit(1, spec))
    return world


def waiting(world: SmallWorld) -> list[int]:
    """Jobs that wait at the keeper, in order."""
    kept = world.hosts["local"].keeper.attempts.values()
    return [each.key[0] for each in kept if each.state is ProcessState.WAITING]


def test_brief_jobs_are_sent_ahead_up_to_a_limit_and_run_in_their_order() -> None:
    world = world_with(*[0.01] * 40)
    assert waiting(world) == list(range(3, 3 + STAGED_MAX))
    world.run(0.405)
    assert [end.job for end in world.ends] == list(range(1, 42))
    assert world.outcomes() == ["EXITED"] * 41


def test_no_slot_is_taken_twice() -> None:
    world = world_with(*[0.01, 0.03, 0.02] * 20, slots=3)
    host = world.hosts["local"]
    for _ in range(60):
        world.run(0.01)
        assert len(host.processes) <= 3
        assert host.agent.busy == len(host.processes)
    assert world.outcomes() == ["EXITED"] * 61


def test_behind_one_that_runs_long_after_all_nobody_stays() -> None:
    world = world_with(100, 0.01, 0.01)
    assert waiting(world) == [3, 4]
    world.run(PATIENCE_NS / SECOND)
    assert waiting(world) == []
    states = [world.hosts["local"].agent.attempts[JobId(job), 1].state for job in (3, 4)]
    assert states == [AttemptState.QUEUED] * 2
    world.run(101)
    assert [end.job for end in world.ends] == [1, 2, 3, 4]


def test_one_that_was_sent_ahead_can_be_ended_and_never_runs() -> None:
    world = world_with(0.05, 0.01, 0.01)
    world.give(OrderJob(2, JobVerb.KILL, 3))
    world.run(1)
    assert {end.job: end.report.outcome.name for end in world.ends}[3] == "KILLED"
    assert (3, 1) not in world.hosts["local"].ran
    assert world.outcomes().count("EXITED") == 3


def test_a_restart_of_the_agent_starts_each_once() -> None:
    world = world_with(*[0.05] * 12)
    world.run(0.12)
    world.restart_server()
    host = world.hosts["local"]
    host.epoch += 1
    host.new_agent(world.now, remembers=1)
    world.scheduler.executors[LOCAL].link.closed(world.now)
    world.scheduler.executors[LOCAL].link.opened(world.now)
    world.settle()
    world.run(30)
    assert world.outcomes() == ["EXITED"] * 13
    assert all(count == 1 for count in host.ran.values())


def test_a_pending_timeout_reaches_one_that_was_sent_ahead() -> None:
    world = world_with(60, 0.01, pending=2)
    world.run(3)
    assert world.outcomes()[-1] == "PENDING_TIMEOUT"
    assert (3, 1) not in world.hosts["local"].ran


def test_one_whose_time_is_over_before_its_head_runs_long_is_not_sent_ahead_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The head still counts as brief, so there is a place behind it: whoever is called back for good would go there."""
    world = world_with(100, 0.01, pending=PATIENCE_NS / SECOND / 2)
    assert waiting(world) == [3]
    turns, advance = [0], Agent.advance

    def counted(agent: Agent, now: int) -> None:
        turns[0] += 1
        assert turns[0] < 1000, "it goes round and round at one instant"
        advance(agent, now)

    monkeypatch.setattr(Agent, "advance", counted)
    world.run(PATIENCE_NS / SECOND * 0.75)
    assert world.outcomes()[-1] == "PENDING_TIMEOUT"
    assert waiting(world) == []
    assert (3, 1) not in world.hosts["local"].ran
