"""Goal: what a person may order, and what a restart must keep. Method: the small world, whose server dies."""

from __future__ import annotations

import pytest

from model.behaviour import DECLARED
from model.effects import Answer, Transmit
from model.events import (
    DefineTask,
    Delivered,
    HostVerb,
    IntakeVerb,
    JobVerb,
    OrderHost,
    OrderIntake,
    OrderJob,
    OrderTask,
    Submit,
    TakeSettings,
    TaskVerb,
)
from model.host import HostState
from model.job import SECOND, HostPolicy, HostWish, JobSpec, Outcome
from model.records import AttemptGiven, ConfigurationTaken, HostChanged, PersonOrdered
from model.remembered import Setting
from model.task import DoneSource, FilesSource, Handler, Limits, Missed, Retry
from tests.model.small_world import SmallWorld, cluster, task


def needs(name: str, **policies: HostPolicy) -> HostWish:
    return HostWish(name, required=True, **policies)


def submit(world: SmallWorld, *words: str, **fields: object) -> int:
    """An ad-hoc job; its number."""
    world.give(Submit(1, JobSpec("adhoc", words, **fields)))  # type: ignore[arg-type]
    return world.answers[-1].job


# what a person may do


def test_a_submission_of_a_workload_is_not_answered() -> None:
    world = SmallWorld()
    world.give(Submit(0, JobSpec("adhoc", ("run", "1", "0"))))
    assert not world.answers and len(world.scheduler.jobs) == 1
    assert submit(world, "run", "1", "0") == 2


def test_a_killed_job_runs_its_handler_and_a_deleted_one_does_not() -> None:
    for verb, notices in ((JobVerb.KILL, 1), (JobVerb.DELETE, 0)):
        world = SmallWorld((task("t", "run", "100", "0", every=1000, handlers=(Handler("killed", notify="me"),)),))
        world.run(1)
        world.give(OrderJob(1, verb, 1))
        assert world.outcomes() == ["KILLED"]
        assert len([notice for notice in world.notices if notice.level == "alarm"]) == notices


def test_a_job_killed_between_two_attempts_keeps_the_end_of_the_first() -> None:
    retry = Retry(("exit 75",), times=2, backoff_ns=100 * SECOND)
    world = SmallWorld((task("t", "run", "1", "75", every=10_000, retry=retry),))
    world.run(5)
    world.give(OrderJob(1, JobVerb.KILL, 1))
    assert [(end.attempt, end.report.outcome.name, end.final) for end in world.ends] == [
        (1, "EXITED", False),
        (0, "KILLED", True),
    ]


def test_a_host_that_is_switched_off_gets_its_acknowledgements_first() -> None:
    world = SmallWorld(definition=cluster(("node1", 1)))
    submit(world, "run", "10", "0")
    world.run(1)
    world.order_host(OrderHost(1, HostVerb.OFF, "node1"))
    world.run(20)
    assert world.controller.hosts["node1"].state is HostState.OFF
    assert not world.hosts["node1"].agent.attempts


def test_a_held_job_waits_and_is_released() -> None:
    world = SmallWorld(definition=cluster(("node1", 1)))
    submit(world, "run", "10", "0")
    submit(world, "run", "1", "0")
    world.give(OrderJob(2, JobVerb.HOLD, 2, "look at it first"))
    assert world.answers[-1].ok
    world.run(60)
    assert world.hosts["node1"].ran == {(1, 1): 1}
    found = world.scheduler.explain_job(2, world.now)
    assert found is not None and "look at it first" in found.text
    world.give(OrderJob(3, JobVerb.RELEASE, 2))
    world.run(2)
    assert world.outcomes() == ["EXITED", "EXITED"]


def test_a_running_job_cannot_be_held() -> None:
    world = SmallWorld()
    submit(world, "run", "10", "0")
    world.run(1)
    world.give(OrderJob(2, JobVerb.HOLD, 1))
    assert not world.answers[-1].ok and "running" in world.answers[-1].text


def test_a_hold_of_a_task_ends_by_itself_and_makes_up_for_nothing() -> None:
    world = SmallWorld((task("t", "run", "1", "0", every=10),))
    world.run(5)
    world.give(OrderTask(1, TaskVerb.HOLD, "t", "mail loop", 95 * SECOND))
    world.run(94)
    assert len(world.made) == 1
    world.run(6)
    assert len(world.made) == 2
    assert world.scheduler.spawning.tasks["t"].skipped["held"] == 9


def test_a_deleted_task_spawns_nothing_and_is_forgotten_after_its_last_job() -> None:
    world = SmallWorld((task("t", "run", "30", "0", every=10),))
    world.run(15)
    world.give(OrderTask(1, TaskVerb.DELETE, "t"))
    world.run(16)
    assert "t" in world.scheduler.spawning.tasks
    world.run(10)
    assert "t" not in world.scheduler.spawning.tasks
    assert len(world.made) == 2 and world.outcomes() == ["EXITED"] * 2


def test_flush_ends_what_does_not_run() -> None:
    world = SmallWorld((task("t", "run", "30", "0", every=1),), cluster(("node1", 2)))
    world.run(10)
    world.give(OrderTask(1, TaskVerb.FLUSH, "t"))
    assert set(world.outcomes()) == {"KILLED"} and len(world.outcomes()) == 9
    assert len(world.hosts["node1"].processes) == 2


def test_a_flush_is_answered_when_the_jobs_that_an_executor_has_are_gone() -> None:
    world = SmallWorld((task("t", "run", "30", "0", every=1),), cluster(("node1", 2)))
    world.run(10)
    waiting = len(world.scheduler.jobs) - 2
    world.scheduler.receive(OrderTask(7, TaskVerb.FLUSH, "t"), world.now)
    first = world.scheduler.drain()
    assert not [effect for effect in first if isinstance(effect, Answer)], "the controller has not confirmed anything"
    for effect in first:
        if isinstance(effect, Transmit):
            world.controller.receive(Delivered("superior", effect.batch), world.now)
    world.settle()
    [answer] = [answer for answer in world.answers if answer.request == 7]
    assert (answer.ok, answer.text) == (True, f"task t: {waiting} jobs flushed")


# who it was


def ordered(world: SmallWorld) -> list[tuple[str, str, str, str]]:
    rows = [record for record in world.records if isinstance(record, PersonOrdered)]
    return [(row.by, row.verb, row.about, row.name) for row in rows]


def test_who_orders_is_recorded_and_shown_with_the_reason() -> None:
    world = SmallWorld((task("t", "run", "30", "0", every=1),), cluster(("node1", 2)))
    world.run(3)
    world.give(OrderTask(1, TaskVerb.HOLD, "t", "mail loop", by="ann@head"))
    found = world.scheduler.explain_task("t", world.now)
    assert found is not None and found.text == "held by ann@head: mail loop"
    world.give(OrderJob(2, JobVerb.KILL, 1, "stuck", by="ann@head"))
    world.order_host(OrderHost(3, HostVerb.DRAIN, "node1", reason="new disk", by="bob@head"))
    world.give(OrderIntake(4, IntakeVerb.STOP, by="bob@head"))
    assert ordered(world) == [
        ("ann@head", "hold", "task", "t"),
        ("ann@head", "kill", "job", "1"),
        ("bob@head", "drain", "host", "node1"),
        ("bob@head", "stop", "server", ""),
    ]
    [change] = [record for record in world.records if isinstance(record, HostChanged)]
    assert change.reason == "by bob@head: new disk", "so the next life knows it, too"
    assert world.scheduler.orders.stopped == "intake stopped: by bob@head"


def test_an_order_that_is_refused_and_one_of_a_script_are_recorded_for_nobody() -> None:
    world = SmallWorld((task("t", "run", "30", "0", every=1),), cluster(("node1", 2)))
    world.give(OrderTask(1, TaskVerb.HOLD, "nothing", by="ann@head"))
    world.give(OrderJob(2, JobVerb.RETRY, 99, by="ann@head"))
    world.order_host(OrderHost(3, HostVerb.OFF, "nowhere", by="ann@head"))
    world.give(OrderTask(4, TaskVerb.HOLD, "t"))
    assert ordered(world) == []


def test_a_configuration_that_was_taken_is_recorded_with_what_is_laid_over_its_file() -> None:
    world = SmallWorld()
    setting = Setting("tasks.t.limits.in_flight", "4", "ann@head", 7, "/data/p.yaml")
    world.give(TakeSettings(1, "set tasks.t.limits.in_flight=4", (setting,), "ann@head"))
    [record] = [record for record in world.records if isinstance(record, ConfigurationTaken)]
    assert record.settings == (setting,)
    assert world.answers[-1].ok


def test_a_drained_host_finishes_and_takes_nothing_and_off_ends_the_link() -> None:
    world = SmallWorld((task("t", "run", "20", "0", every=5),))
    world.run(6)
    world.order_host(OrderHost(1, HostVerb.DRAIN, "node1", reason="new disk"))
    world.order_host(OrderHost(2, HostVerb.OFF, "node2", reason="moved"))
    world.run(60)
    before = {name: sum(host.ran.values()) for name, host in world.hosts.items()}
    world.run(60)
    assert {name: sum(host.ran.values()) for name, host in world.hosts.items()} == before
    assert world.controller.hosts["node1"].state is HostState.DRAINING
    assert world.controller.hosts["node2"].state is HostState.OFF
    world.order_host(OrderHost(3, HostVerb.ON, "node2"))
    world.run(5)
    assert world.controller.hosts["node2"].state is HostState.UP
    world.order_host(OrderHost(4, HostVerb.DELETE, "node2"))
    assert not world.answers[-1].ok and "off first" in world.answers[-1].text


def test_stop_harvests_and_resume_makes_up_once() -> None:
    world = SmallWorld((task("t", "run", "5", "0", every=10, missed=Missed.ONCE),))
    world.run(1)
    world.give(OrderIntake(1, IntakeVerb.STOP, "maintenance"))
    world.run(48)
    assert world.outcomes() == ["EXITED"] and len(world.made) == 1
    world.give(OrderIntake(2, IntakeVerb.RESUME))
    world.run(0.5)
    assert len(world.made) == 2
    assert world.scheduler.spawning.tasks["t"].skipped["missed"] == 3


def test_a_disk_that_stands_still_lifts_nobodys_stop() -> None:
    world = SmallWorld((task("t", "run", "5", "0", every=10),))
    world.give(OrderIntake(1, IntakeVerb.STOP, "maintenance", by="ann@head"))
    world.give(OrderIntake(0, IntakeVerb.PAUSE, "disk full"))
    world.give(OrderIntake(0, IntakeVerb.CONTINUE))
    world.run(60)
    assert not world.made
    assert world.scheduler.orders.stopped == "intake stopped: by ann@head: maintenance"
    world.restart_server()
    assert world.scheduler.orders.stopped == "intake stopped: by ann@head: maintenance"
    world.give(OrderIntake(2, IntakeVerb.RESUME))
    world.run(1)
    assert len(world.made) == 1


def test_nobodys_resume_lifts_what_the_disk_has_stopped() -> None:
    world = SmallWorld((task("t", "run", "5", "0", every=10),))
    world.give(OrderIntake(1, IntakeVerb.STOP, "maintenance"))
    world.give(OrderIntake(0, IntakeVerb.PAUSE, "disk full"))
    world.give(OrderIntake(2, IntakeVerb.RESUME))
    assert world.answers[-1].text == "intake stopped: disk full"
    world.run(60)
    assert not world.made
    world.give(OrderIntake(0, IntakeVerb.CONTINUE))
    world.run(1)
    assert len(world.made) == 1


def test_a_disk_that_stands_still_neither_ends_a_halt_nor_a_shutdown() -> None:
    world = SmallWorld((task("t", "run", "5", "0", every=100),))
    world.run(1)
    world.give(OrderIntake(1, IntakeVerb.HALT))
    world.give(OrderIntake(0, IntakeVerb.PAUSE, "disk full"))
    world.run(10)
    world.give(OrderIntake(0, IntakeVerb.CONTINUE))
    world.run(10)
    assert world.outcomes() == []  # it has ended, and nobody has reacted
    world.give(OrderIntake(2, IntakeVerb.SHUTDOWN))
    world.give(OrderIntake(0, IntakeVerb.PAUSE, "disk full"))
    world.give(OrderIntake(0, IntakeVerb.CONTINUE))
    assert world.scheduler.orders.assigning_stopped


@pytest.mark.parametrize(("missed", "jobs"), [(Missed.SKIP, 1), (Missed.ONCE, 2), (Missed.ALL, 5)])
def test_missed_starts_follow_their_policy(missed: Missed, jobs: int) -> None:
    world = SmallWorld((task("t", "run", "1", "0", every=10, missed=missed),))
    world.run(1)
    world.give(OrderIntake(1, IntakeVerb.STOP))
    world.run(48)
    world.give(OrderIntake(2, IntakeVerb.RESUME))
    world.run(0.5)
    assert len(world.made) == jobs
    world.run(1)
    assert len(world.made) == jobs + 1


def test_halt_reacts_to_nothing_until_resumed() -> None:
    world = SmallWorld((task("t", "run", "5", "0", every=100),))
    world.run(1)
    world.give(OrderIntake(1, IntakeVerb.HALT))
    world.run(20)
    assert world.outcomes() == []
    (job,) = world.scheduler.jobs.values()
    found = world.scheduler.explain_job(job.id, world.now)
    assert found is not None
    assert (found.text, found.changes) == ("ended, nothing reacts to it: intake halted", ("laulima resume",))
    world.give(OrderIntake(2, IntakeVerb.RESUME))
    assert world.outcomes() == ["EXITED"]


def test_a_new_definition_does_not_fire_and_is_used_from_then_on() -> None:
    world = SmallWorld((task("t", "run", "1", "0", every=100),))
    world.run(50)
    world.give(DefineTask(1, task("t", "run", "1", "7", every=30)))
    assert len(world.made) == 1
    world.run(35)
    assert [end.report.exit_code for end in world.ends] == [0, 7]


# restarts


def test_a_restart_neither_skips_nor_repeats_an_item() -> None:
    tasks = (
        task("check", "run", "7", "0", every=2, source=FilesSource("*"), limits=Limits(in_flight=4)),
        task("next", "run", "3", "0", source=DoneSource("check")),
    )
    world = SmallWorld(tasks)
    for start in range(0, 60, 6):
        world.items["check"] = tuple(f"f{n}" for n in range(start + 6))
        world.run(13)
        world.restart_server()
    world.run(200)
    for name in ("check", "next"):
        given = [record.spec.item for record in world.made if record.spec.task == name]
        assert sorted(given) == sorted({f"f{n}" for n in range(60)})
    assert world.outcomes() == ["EXITED"] * 120
    assert all(count == 1 for host in world.hosts.values() for count in host.ran.values())


def test_an_attempt_that_was_given_and_never_reached_its_host_is_handed_down_again() -> None:
    world = SmallWorld((task("t", "run", "1", "0", every=1000),))
    for host in world.hosts.values():
        host.frozen = True  # what is sent there from now on is lost with the server
    world.run(1)
    assert [record for record in world.records if isinstance(record, AttemptGiven)]
    for host in world.hosts.values():
        host.frozen = False
    world.restart_server()
    world.run(30)
    assert [(record.attempt, record.report.outcome, record.final) for record in world.ends] == [
        (1, Outcome.EXITED, True)
    ]


def test_limits_holds_and_orders_survive_a_restart() -> None:
    world = SmallWorld((task("t", "run", "1", "0", every=10, limits=Limits(total=3)), task("u", every=10)))
    world.give(OrderTask(1, TaskVerb.HOLD, "u", "not now"))
    world.order_host(OrderHost(2, HostVerb.DRAIN, "node1", reason="new disk"))
    world.run(15)
    world.restart_server()
    world.run(100)
    assert len([record for record in world.made if record.spec.task == "t"]) == 3
    assert len([record for record in world.made if record.spec.task == "u"]) == 0
    assert world.controller.hosts["node1"].state is HostState.DRAINING


def test_after_a_shutdown_that_killed_only_what_ran_is_ended_and_the_rest_runs_next_time() -> None:
    world = SmallWorld((task("t", "run", "100", "0", every=1),), cluster(("node1", 1)))
    world.run(3.5)
    world.give(OrderIntake(1, IntakeVerb.SHUTDOWN_KILL))
    world.run(1)
    assert world.idle == 1
    assert [(end.job, end.final) for end in world.ends if end.final] == [(1, True)]
    world.restart_server()
    world.run(125)
    assert world.hosts["node1"].ran == {(1, 1): 1, (2, 2): 1, (3, 2): 1, (4, 2): 1}


def test_a_job_ended_by_a_shutdown_runs_again_if_lost_ones_may() -> None:
    world = SmallWorld((task("t", "run", "20", "0", every=1000, lost_reruns=1),))
    world.run(1)
    world.give(OrderIntake(1, IntakeVerb.SHUTDOWN_KILL))
    world.restart_server()
    world.run(21)
    assert [(end.attempt, end.report.outcome.name) for end in world.ends] == [(1, "KILLED"), (2, "EXITED")]


def test_job_numbers_are_never_used_again() -> None:
    world = SmallWorld((task("t", "run", "1", "0", every=10),))
    world.run(25)
    world.restart_server()
    world.run(25)
    numbers = [record.job for record in world.made]
    assert len(numbers) == len(set(numbers))


def test_the_declared_behaviour_expands_one_word_to_one_word() -> None:
    definition = task("t", "cp", "$item", "out/${item}.gz", "$$HOME", "$other")
    spec = DECLARED.prepare(definition, 7, "a b;$(rm)")
    assert isinstance(spec, JobSpec)
    assert spec.command == ("cp", "a b;$(rm)", "out/a b;$(rm).gz", "$HOME", "$other")
