"""Goal: whatever is not running says why, and `until` is true: let nothing else happen until that instant, and the
state or the reason is another one. Method: a situation for each reason, in the small world; then only time passes.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC

import pytest

from model.events import HostDirty, JobVerb, OrderJob, OrderTask, Submit, TaskVerb, WallClock
from model.explain import Explanation, Reason
from model.hosted_attempt import AttemptState
from model.job import LOCAL, SECOND, Block, HostPolicy, HostWish, JobId, JobSpec, Wait
from model.task import DoneSource, FilesSource, Limits, Retry
from model.windows import Window
from tests.model.small_world import SmallWorld, cluster, task

FULL = ("run", "1000", "0")


def explain_job(world: SmallWorld, job: int) -> Explanation | None:
    """As a person gets it: what the scheduler says, and behind it what the executor and the host say."""
    found = world.scheduler.explain_job(job, world.now)
    if found is None or found.reason is not Reason.NO_SLOT:
        return found
    key = (JobId(job), world.scheduler.jobs[JobId(job)].attempt)
    return world.hosts["local"].agent.explain(key) or world.controller.explain_attempt(key, world.now) or found


def submit(world: SmallWorld, *words: str, **fields: object) -> int:
    world.give(Submit(1, JobSpec("adhoc", words or FULL, **fields)))  # type: ignore[arg-type]
    return world.answers[-1].job


def pending_timeout(world: SmallWorld) -> int:
    submit(world)
    return submit(world, pending_ns=100 * SECOND)


def pending_timeout_of_a_local_job(world: SmallWorld) -> int:
    for _ in range(world.cluster.local_slots):
        submit(world, host=HostWish(LOCAL, required=True))
    return submit(world, host=HostWish(LOCAL, required=True), pending_ns=100 * SECOND)


def preferred_host(world: SmallWorld) -> int:
    submit(world)
    return submit(world, host=HostWish("node1", wait_ns=50 * SECOND))


def host_down(world: SmallWorld) -> int:
    world.cut("node1")
    world.run(20)
    return submit(world, host=HostWish("node1", required=True, when_down=HostPolicy(Wait.TRY, 20)))


def back_off(world: SmallWorld) -> int:
    retry = Retry(("crash",), times=1, backoff_ns=77 * SECOND)
    world.scheduler.spawning.define(task("r", "missing", every=10_000, retry=retry), world.now)
    world.run(1)
    return 1


def held_for_a_while(world: SmallWorld) -> int:
    submit(world)
    job = submit(world)
    world.give(OrderJob(2, JobVerb.HOLD, job, "wait", 30 * SECOND))
    return job


def silent_controller(world: SmallWorld) -> int:
    world.controller_frozen = True
    world.run(40)
    return submit(world, pending_ns=100 * SECOND)


@pytest.mark.parametrize(
    ("situation", "reason"),
    [
        (pending_timeout, Reason.NO_SLOT),
        (pending_timeout_of_a_local_job, Reason.NO_SLOT),
        (preferred_host, Reason.NO_SLOT),
        (host_down, Reason.HOST_DOWN),
        (back_off, Reason.BACK_OFF),
        (held_for_a_while, Reason.HELD),
        (silent_controller, Reason.EXECUTOR_SILENT),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_job_is_elsewhere_or_waits_for_another_reason_at_its_until(
    situation: Callable[[SmallWorld], int], reason: Reason
) -> None:
    world = SmallWorld(definition=cluster(("node1", 1)))
    world.run(0.5)
    job = situation(world)
    before = explain_job(world, job)
    assert before is not None and before.reason is reason
    assert before.until_ns is not None and before.until_ns > world.now
    world.run((before.until_ns - world.now) / SECOND - 0.001)
    same = explain_job(world, job)
    assert same is not None and same.reason is before.reason and same.text == before.text
    world.run(0.001)
    after = explain_job(world, job)
    assert after is None or (after.reason, after.text) != (before.reason, before.text)


@pytest.mark.parametrize(("there", "missing"), [((), "in"), (("in",), "out")])
def test_a_job_that_waits_for_files_says_which_and_until_when(there: tuple[str, ...], missing: str) -> None:
    world = SmallWorld(definition=cluster(("node1", 1)))
    world.hosts["node1"].files.update(there)
    submit(world, "run", "1", "0", block=Block(("in",), ("out",), 60 * SECOND))
    world.run(5)
    found = world.hosts["node1"].agent.explain((JobId(1), 1))
    assert found is not None and found.reason is Reason.FILES and f": {missing} " in found.text
    assert found.until_ns is not None
    world.run((found.until_ns - world.now) / SECOND)
    assert world.hosts["node1"].agent.explain((JobId(1), 1)) is None


@pytest.mark.parametrize(
    ("definition", "reason"),
    [
        (task("t", "run", "1", "0", every=10), Reason.PERIOD),
        (task("t", *FULL, every=10, timeout=35, limits=Limits(in_flight=1)), Reason.LIMIT_IN_FLIGHT),
        (task("t", every=10, limits=Limits(total=1)), Reason.LIMIT_TOTAL),
        (task("t", every=10, active=False), Reason.INACTIVE),
        (task("t", every=10, source=FilesSource("*")), Reason.NO_ITEM),
        (task("t", every=10, source=DoneSource("other")), Reason.NO_ITEM),
        (task("t", every=10, windows=(Window(UTC, 3600, 7200),)), Reason.WINDOW),
    ],
    ids=lambda value: value.value if isinstance(value, Reason) else "",
)
def test_a_task_that_spawns_nothing_says_why(definition: object, reason: Reason) -> None:
    world = SmallWorld((definition,))  # type: ignore[arg-type]
    world.give(WallClock(-world.now))
    world.run(2)
    found = world.scheduler.explain_task("t", world.now)
    assert found is not None and found.reason is reason and found.text
    made = len(world.made)
    if found.until_ns is None:
        assert reason in (Reason.LIMIT_IN_FLIGHT, Reason.LIMIT_TOTAL, Reason.INACTIVE, Reason.NO_ITEM)
        return
    world.run((found.until_ns - world.now) / SECOND)
    later = world.scheduler.explain_task("t", world.now)
    assert later is not None
    assert len(world.made) > made or later.until_ns != found.until_ns


def test_a_held_task_says_who_waits_for_what_and_is_back_at_its_until() -> None:
    world = SmallWorld((task("t", every=10),))
    world.give(OrderTask(1, TaskVerb.HOLD, "t", "mail loop", 60 * SECOND))
    found = world.scheduler.explain_task("t", world.now)
    assert found is not None and "mail loop" in found.text and found.until_ns == world.now + 60 * SECOND
    world.run(60)
    later = world.scheduler.explain_task("t", world.now)
    assert later is not None and later.reason is not Reason.HELD


def test_local_jobs_wait_while_the_own_host_is_dirty_and_what_runs_goes_on() -> None:
    """There is no other host that could take them."""
    world = SmallWorld((), cluster(("node1", 1), local_slots=1))
    agent = world.hosts["local"].agent
    seconds = [0.01] * 31 + [1.0, 1.0]  # so many brief ones that the next one is sent ahead

    def local(number: int, run: float) -> Submit:
        return Submit(number, JobSpec("brief", ("run", str(run), "0"), host=HostWish(LOCAL), timeout_ns=60 * SECOND))

    def disk(why: str) -> None:
        agent.receive(HostDirty(why), world.now)
        world.settle()

    for number, run in enumerate(seconds, 1):
        world.give(local(number, run))
    while len(world.outcomes()) < 30:
        world.run(0.01)
    assert any(attempt.state is AttemptState.STAGED for attempt in agent.attempts.values())
    disk("its disk is full")
    world.run(20)
    assert len(world.outcomes()) == 31, "what ran has ended"
    found = agent.explain((JobId(32), 1))
    assert found is not None
    assert (found.reason, found.text) == (Reason.HOST_PRESSURE, "local is dirty: its disk is full")
    disk("")
    world.run(5)
    assert len(world.outcomes()) == 33
    disk("its disk is full")
    world.give(local(34, 1.0))
    world.run(5)
    assert len(world.outcomes()) == 33, "it came when nothing was there"
    disk("")
    world.run(5)
    assert world.outcomes() == ["EXITED"] * 34


def test_a_host_says_when_it_is_tried_again() -> None:
    world = SmallWorld()
    world.cut("node1", "No route to host")
    world.run(10)
    found = world.controller.explain_host("node1", world.now)
    assert found is not None and found.reason is Reason.HOST_DOWN and "No route to host" in found.text
    assert found.until_ns is not None
    world.mend("node1")
    world.run((found.until_ns - world.now) / SECOND)
    later = world.controller.explain_host("node1", world.now)
    assert later is not None and later.reason is Reason.UP
