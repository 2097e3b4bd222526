"""Goal: what the machines of a server do for each job and for each look at a source does not creep up unnoticed, and
does not grow with what else is there.

Method: counts instead of times, so that no busy machine changes them: calls of functions (the interpreter's profiler
counts them), as the difference of two runs of different length, so that nothing but what is repeated is in them. Other
versions of Python differ by a little; the limits leave some 15 %. `benchmarks/` has the times and the large sizes.
"""

from __future__ import annotations

import cProfile
import pstats
from collections.abc import Callable

import pytest

from model.job import SECOND
from tests.model.busy_controller import BusyController
from tests.model.looking_tasks import LookingTasks
from tests.model.waiting_jobs import IN_ONE_TURN, Server

CYCLES = 200
CALLS_OF_A_CYCLE = {0: 246, 5: 345}
"""At most, of a whole life of a job in a controller with 20 hosts, by the number of shapes (0: slots
only). It was 214 and 300 when this was written."""
CALLS_OF_A_BRIEF_CYCLE = 308
"""The same for jobs that are given ahead. It was 268."""
MANY_SHAPES = 50
GROWTH_MOST = 1.05
"""Calls, large against small."""
CALLS_OF_A_LOOK = 49
"""At most, of a source that is looked at and has nothing new. It was 40, and 43 where looks are spread."""
CALLS_OF_A_JOB_THAT_WAITS = 90
"""At most, of a job that is accepted, handed to the controller and stands in its queue. It was 78."""


def calls_of(what: Callable[[], object]) -> int:
    """Of functions, builtin ones included."""
    profile = cProfile.Profile()
    profile.runcall(what)
    return int(pstats.Stats(profile).total_calls)  # type: ignore[attr-defined]


def calls_of_a_cycle(hosts: int, pending: int, shapes: int, brief: bool = False) -> float:
    controller = BusyController(hosts, pending, shapes, brief)
    controller.work(CYCLES)  # what is made once for each host and shape is made
    few, many = calls_of(lambda: controller.work(CYCLES)), calls_of(lambda: controller.work(3 * CYCLES))
    return (many - few) / (2 * CYCLES)


@pytest.mark.parametrize("shapes", sorted(CALLS_OF_A_CYCLE))
def test_a_life_of_a_job_in_the_controller(shapes: int) -> None:
    assert calls_of_a_cycle(20, 1_000, shapes) <= CALLS_OF_A_CYCLE[shapes]


@pytest.mark.parametrize(("hosts", "pending"), [(20, 8_000), (400, 2_000)])
def test_it_does_not_grow_with_jobs_that_wait_or_with_hosts(hosts: int, pending: int) -> None:
    small = calls_of_a_cycle(20, 1_000, 5)
    assert calls_of_a_cycle(hosts, pending, 5) <= GROWTH_MOST * small


def test_it_does_not_grow_with_hosts_where_jobs_are_of_many_shapes() -> None:
    assert calls_of_a_cycle(400, 2_000, MANY_SHAPES) <= GROWTH_MOST * calls_of_a_cycle(20, 2_000, MANY_SHAPES)


def test_a_life_of_a_job_that_is_given_ahead() -> None:
    small = calls_of_a_cycle(20, 2_000, 0, brief=True)
    assert small <= CALLS_OF_A_BRIEF_CYCLE
    assert calls_of_a_cycle(20, 8_000, 0, brief=True) <= GROWTH_MOST * small
    assert calls_of_a_cycle(100, 4_000, 0, brief=True) <= GROWTH_MOST * small


def calls_of_looks(tasks: int, periods: int) -> int:
    """So many tasks, for so many periods."""
    world = LookingTasks(tasks, SECOND)
    return calls_of(lambda: world.look(tasks * periods))


@pytest.mark.parametrize("tasks", [50, 1_000])
def test_a_look_at_a_source(tasks: int) -> None:
    """The larger number is looked at one by one, spread over the second."""
    assert (calls_of_looks(tasks, 6) - calls_of_looks(tasks, 2)) / (4 * tasks) <= CALLS_OF_A_LOOK


def test_a_job_that_waits() -> None:
    server = Server()
    few = calls_of(lambda: server.submit(IN_ONE_TURN, item=True))
    other = Server()
    many = calls_of(lambda: other.submit(4 * IN_ONE_TURN, item=True))
    assert (many - few) / (3 * IN_ONE_TURN) <= CALLS_OF_A_JOB_THAT_WAITS
