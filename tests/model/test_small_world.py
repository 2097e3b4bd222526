"""Goal: the machines together do what a pipeline needs, on good days. Method: the small world, a virtual clock."""

from __future__ import annotations

from model.events import IntakeVerb, JobVerb, OrderIntake, OrderJob, Submit
from model.job import LOCAL, HostWish, JobSpec
from model.task import DoneSource, FilesSource, Limits
from tests.model.small_world import SmallWorld, cluster, task


def test_a_periodic_task_runs_a_job_at_each_due_time() -> None:
    world = SmallWorld((task(every=10),))
    world.run(34)
    assert [record.job for record in world.made] == [1, 2, 3, 4]
    assert world.outcomes() == ["EXITED"] * 3
    world.run(1)
    assert world.scheduler.jobs == {} and world.controller.jobs == {}
    assert all(not host.agent.attempts for host in world.hosts.values())


def test_a_local_task_runs_on_the_schedulers_machine_only() -> None:
    world = SmallWorld((task(host=HostWish(LOCAL, required=True)),))
    world.run(8)
    assert world.outcomes() == ["EXITED"]
    assert world.ends[0].report.host == "local"
    assert world.hosts["local"].ran == {(1, 1): 1}


def test_items_flow_through_three_tasks_each_once() -> None:
    files = (f"f{n}" for n in range(30))
    tasks = (
        task("check", "run", "1", "0", every=1, source=FilesSource("incoming/*")),
        task("compress", "run", "2", "0", source=DoneSource("check"), limits=Limits(in_flight=3)),
        task("catalogue", "run", "1", "0", source=DoneSource("compress")),
    )
    world = SmallWorld(tasks)
    world.items["check"] = tuple(files)
    world.run(120)
    done = [(record.spec.task, record.spec.item) for record in world.made]
    assert len(done) == len(set(done)) == 90
    assert world.outcomes() == ["EXITED"] * 90
    assert world.scheduler.idle


def test_slots_are_never_exceeded_and_all_are_used() -> None:
    world = SmallWorld((task("t", "run", "7", "0", every=1),), cluster(("node1", 2), ("node2", 3)))
    for _ in range(100):
        world.run(1)
        for host in world.hosts.values():
            assert host.agent.busy == len(host.processes) <= host.slots
    assert world.hosts["node1"].agent.busy == 2 and world.hosts["node2"].agent.busy == 3


def test_a_submitted_job_is_answered_and_a_kill_is_answered_when_it_has_ended() -> None:
    world = SmallWorld()
    world.give(Submit(1, JobSpec("adhoc", ("run", "100", "0"))))
    assert world.answers[-1].ok and world.answers[-1].job == 1
    world.run(1)
    world.give(OrderJob(2, JobVerb.KILL, 1))
    assert world.answers[-1].request == 2 and world.answers[-1].ok
    assert world.outcomes() == ["KILLED"]


def test_a_shutdown_that_kills_leaves_nothing_running_and_says_when_it_is_done() -> None:
    world = SmallWorld((task("t", "deaf", "1000", every=1),))
    world.run(3)
    world.give(OrderIntake(1, IntakeVerb.SHUTDOWN_KILL))
    assert world.idle == 0
    world.run(10)
    assert world.idle == 1
    assert not any(host.processes for host in world.hosts.values())


def test_after_a_restart_of_the_server_running_jobs_are_harvested_once() -> None:
    world = SmallWorld((task("t", "run", "30", "0", every=20),))
    world.run(5)
    world.restart_server()
    world.run(26)
    assert world.hosts["node1"].ran[1, 1] + world.hosts["node2"].ran[1, 1] == 1
    assert [end.job for end in world.ends] == [1]
    assert world.outcomes() == ["EXITED"]
