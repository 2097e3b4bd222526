"""Goal: what task scripts need of the machines: hosts that get slots one by one, the thread word, tasks that are
defined after the start, a halt that is forgotten. Method: the small world.
"""

from __future__ import annotations

from msgspec import structs

from model.events import DefineTask, HostVerb, IntakeVerb, OrderHost, OrderIntake
from model.host import HostState
from model.job import SECOND, HostWish, JobSpec
from model.messages import Assign
from model.task import Limits, Missed, Periods
from tests.model.small_world import SmallHost, SmallWorld, cluster, task

ADD = HostVerb.ADD


def world_with_spare(**fields: object) -> SmallWorld:
    """A world in which `spare` is a machine that nobody has defined."""
    world = SmallWorld(definition=cluster(("node1", 1)), **fields)  # type: ignore[arg-type]
    world.hosts["spare"] = SmallHost("spare", 1, world.cluster, world.now)
    return world


def running(world: SmallWorld, host: str) -> int:
    return len(world.hosts[host].processes)


def test_a_host_that_is_added_again_gets_one_slot_more_and_its_agent_learns_it() -> None:
    world = world_with_spare()
    for request in (1, 2, 3):
        world.order_host(OrderHost(request, ADD, "spare", more=True))
    world.run(1)
    assert world.controller.hosts["spare"].slots == 3
    assert world.hosts["spare"].agent.slots == 3
    world.give(DefineTask(4, task("t", "run", "100", "0", every=1, host=HostWish("spare", required=True))))
    world.run(10)
    assert running(world, "spare") == 3


def test_a_host_grows_while_its_jobs_run_and_none_of_them_is_lost() -> None:
    world = world_with_spare()
    world.order_host(OrderHost(1, ADD, "spare", more=True))
    world.give(DefineTask(2, task("t", "run", "50", "0", every=1, host=HostWish("spare", required=True))))
    world.run(5)
    assert running(world, "spare") == 1
    world.order_host(OrderHost(3, ADD, "spare", more=True))
    world.run(5)
    assert running(world, "spare") == 2
    world.run(60)
    assert set(world.outcomes()) == {"EXITED"}
    assert all(count == 1 for count in world.hosts["spare"].ran.values())


def test_a_person_who_adds_a_host_twice_is_told() -> None:
    world = world_with_spare()
    world.order_host(OrderHost(1, ADD, "spare"))
    world.order_host(OrderHost(2, ADD, "spare"))
    assert not world.answers[-1].ok
    assert "there already" in world.answers[-1].text


def test_what_a_script_added_is_not_recorded_and_counts_once_in_the_next_life() -> None:
    world = world_with_spare()
    for request in (1, 2):
        world.order_host(OrderHost(request, ADD, "spare", more=True))
    world.give(DefineTask(3, task("t", "run", "500", "0", every=1, host=HostWish("spare", required=True))))
    world.run(5)
    world.restart_server()
    world.run(1)
    assert world.controller.hosts["spare"].provisional
    for request in (4, 5):
        world.order_host(OrderHost(request, ADD, "spare", more=True))
    world.run(5)
    host = world.controller.hosts["spare"]
    assert (host.slots, host.free, host.state) == (2, 0, HostState.UP)


def test_the_thread_word_is_the_number_of_the_host_that_runs_the_job() -> None:
    world = world_with_spare()
    world.order_host(OrderHost(1, ADD, "spare", more=True, threads=4))
    spec = ("run", "5", "@MAX_THREADS@")
    world.give(DefineTask(2, task("t", *spec, every=100, host=HostWish("spare", required=True))))
    world.run(1)
    (attempt,) = world.hosts["spare"].agent.attempts.values()
    assert attempt.spec.command == ("run", "5", "4")
    (job,) = world.scheduler.jobs.values()
    assert job.spec.command == spec, "the scheduler keeps what was asked for: another attempt may go to another host"


def test_a_task_that_is_defined_after_a_restart_takes_up_its_jobs_and_counts() -> None:
    definition = task("late", "run", "40", "0", every=10, limits=Limits(total=2))
    world = SmallWorld(definition=cluster(("node1", 4)))
    world.give(DefineTask(1, definition))
    world.run(15)
    assert world.scheduler.spawning.tasks["late"].made == 2
    world.restart_server()
    assert [job.task for job in world.scheduler.jobs.values()] == [None, None]
    world.give(DefineTask(2, definition))
    state = world.scheduler.spawning.tasks["late"]
    assert (state.made, state.in_flight) == (2, 2)
    world.run(200)
    assert state.in_flight == 0
    assert len(world.scheduler.jobs) == 0
    assert state.made == 2, "its limit of jobs in all counts those of the life before"
    assert state.done == 2


def test_a_halt_that_does_not_last_is_over_after_a_restart() -> None:
    world = SmallWorld((task("t", every=1),))
    world.give(OrderIntake(1, IntakeVerb.HALT, "its scripts are read", lasting=False))
    world.run(5)
    made = world.scheduler.spawning.tasks["t"].made
    assert world.scheduler.orders.stopped
    world.restart_server()
    world.run(5)
    assert world.scheduler.spawning.tasks["t"].made > made


def test_the_options_of_a_job_stay_with_it() -> None:
    spec = JobSpec("t", ("true",), options=("page 1", ""))
    assert Assign(1, 1, spec).spec.options == ("page 1", "")  # type: ignore[arg-type]


def starts(world: SmallWorld, name: str) -> list[float]:
    """When the task's jobs were accepted, in seconds since the world began."""
    return [(record.due_ns - 1_000 * SECOND) / SECOND for record in world.made if record.spec.task == name]


def test_an_elastic_task_is_asked_as_soon_as_its_limit_allows_and_keeps_its_period_from_there() -> None:
    for missed, wanted in ((Missed.ELASTIC, [0, 7, 14, 21, 28]), (Missed.ONCE, [0, 10, 20, 30])):
        limits = Limits(in_flight=1)
        world = SmallWorld((task("t", "run", "7", "0", every=5, limits=limits, missed=missed),))
        world.run(30)
        assert starts(world, "t") == wanted


def test_an_elastic_task_that_nothing_hinders_stays_on_its_grid() -> None:
    world = SmallWorld((task("t", "run", "1", "0", every=5, missed=Missed.ELASTIC),))
    world.run(21)
    assert starts(world, "t") == [0, 5, 10, 15, 20]


def test_an_elastic_task_starts_when_the_intake_is_resumed() -> None:
    world = SmallWorld((task("t", "run", "1", "0", every=100, missed=Missed.ELASTIC),))
    world.run(1)
    world.give(OrderIntake(1, IntakeVerb.STOP))
    world.run(249)
    world.give(OrderIntake(2, IntakeVerb.RESUME))
    world.run(120)
    assert starts(world, "t") == [0, 250, 350]


def test_a_short_stall_costs_an_elastic_task_no_start_and_a_long_one_begins_its_grid_anew() -> None:
    for stall, made_up in ((0.2, True), (20, False)):
        definition = structs.replace(
            task("t", "run", "1", "0", missed=Missed.ELASTIC), periods=Periods(exec_ns=SECOND // 20, timeout_ns=0)
        )
        world = SmallWorld((definition,))
        world.run(1)
        world.now += int(stall * SECOND)  # nobody could act meanwhile
        world.run(1)
        dues = starts(world, "t")
        if made_up:
            assert dues == [round(0.05 * number, 2) for number in range(45)], "each point of the grid has its start"
        else:
            assert len(dues) == 21 + 21
