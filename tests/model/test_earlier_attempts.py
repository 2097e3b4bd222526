"""Goal: a job's next attempt never begins before the one before it is over, whoever knows of that one, and since when.

Method: the small world; a controller that is silent is given up by the scheduler, and lives on.
"""

from __future__ import annotations

from model.events import LinkDown, LinkUp
from model.job import SECOND
from model.scheduler import CONTROLLER
from model.task import Retry
from tests.model.small_world import SmallWorld, cluster, task
from tests.model.test_lines import given_out, standing


def test_one_whose_earlier_attempt_is_still_being_ended_waits_for_that_beside_its_line() -> None:
    retry = Retry(("crash",), times=1, backoff_ns=SECOND)
    silent = task("t", "run", "1", "0", every=100_000, silent_grace_ns=10 * SECOND, retry=retry)
    world = SmallWorld((task("long", "run", "60", "0", every=100_000, pending=900), silent), cluster(("node1", 1)))
    world.run(1)
    world.scheduler.receive(LinkDown(CONTROLLER, "gone"), world.now)
    world.run(15)
    executor = world.scheduler.executors[CONTROLLER]
    assert list(executor.barred) == [2] and standing(world) == []
    world.scheduler.receive(LinkUp(CONTROLLER), world.now)
    world.settle()
    assert not executor.barred and given_out(world) == [1, 2, 2]
    world.run(60)
    assert world.outcomes() == ["EXITED", "EXITED"]


def test_one_that_stood_in_its_line_leaves_it_when_its_earlier_attempt_is_found_alive() -> None:
    """That attempt was given up while the controller was silent, and begun there meanwhile; a new life of the scheduler
    knows of it only from the controller."""
    retry = Retry(("crash",), times=1, backoff_ns=SECOND)
    silent = task("t", "deaf", "900", every=100_000, silent_grace_ns=10 * SECOND, retry=retry, timeout=900)
    world = SmallWorld((task("long", "run", "15", "0", every=100_000, pending=900), silent), cluster(("node1", 1)))
    world.run(1)
    world.scheduler.receive(LinkDown(CONTROLLER, "gone"), world.now)
    world.run(17)
    assert [end.report.outcome.name for end in world.ends if end.job == 2] == ["CONTROLLER_SILENT"]
    assert (2, 1) in world.hosts["node1"].processes, "it has begun since"
    world.restart_server(joins=False)
    world.run(1)
    assert standing(world) == [2]
    world.link_up()
    world.run(1)
    assert list(world.scheduler.executors[CONTROLLER].barred) == [2]
    assert given_out(world) == [1, 2] and (2, 1) in world.hosts["node1"].processes, "it is being ended, and is deaf"
    world.run(10)
    assert given_out(world) == [1, 2, 2]
    assert list(world.hosts["node1"].processes) == [(2, 2)]
