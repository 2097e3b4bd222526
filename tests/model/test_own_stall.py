"""Goal: a server that stood still itself gives nothing to a host whose lease is all but over: such a job would be ended
by its keeper and reported LOST for nothing. Method: the whole installation in one process; the server does nothing for
almost a lease, while the host's job ends, and the word of its end is the first thing that the server takes.
"""

from __future__ import annotations

import pytest

from model.channel import LinkState
from model.events import Submit
from model.job import LOCAL, SECOND, HostWish, JobSpec
from tests.model.small_world import SmallWorld, cluster

ALMOST_NS = SECOND
"""What is left of the lease when the server wakes."""


def world_with_two_jobs(host: str) -> SmallWorld:
    """One job runs on the host's only slot, another one waits for it."""
    world = SmallWorld((), cluster(("node1", 1), local_slots=1))
    wish = HostWish(host, required=True)
    for number in (1, 2):
        world.give(Submit(number, JobSpec("", ("run", "100", "0"), host=wish)))
    world.run(10)
    return world


@pytest.mark.parametrize("host", ["node1", LOCAL])
def test_after_a_stall_a_job_starts_with_a_whole_lease(host: str) -> None:
    world = world_with_two_jobs(host)
    keeper = world.hosts[host].keeper
    times = world.cluster.local_times if host == LOCAL else world.cluster.times
    assert keeper.lease_end_ns is not None
    assert list(world.hosts[host].processes) == [(1, 1)]
    world.now = keeper.lease_end_ns - ALMOST_NS
    world._processes()
    world.settle()
    assert list(world.hosts[host].processes) == [(2, 1)]
    assert keeper.lease_end_ns == world.now + times.lease_ns
    world.run(200)
    assert world.outcomes() == ["EXITED", "EXITED"]


def test_a_host_is_asked_what_it_holds_before_it_gets_anything() -> None:
    world = world_with_two_jobs("node1")
    link = world.controller.hosts["node1"].link
    world.hosts["node1"].frozen = True
    world.now += 3 * world.cluster.times.ping_ns
    wish = HostWish("node1", required=True)
    world.give(Submit(3, JobSpec("", ("run", "1", "0"), host=wish)))
    assert link.state is LinkState.INQUIRING


def test_a_short_pause_changes_nothing() -> None:
    world = world_with_two_jobs("node1")
    link = world.controller.hosts["node1"].link
    world.now += world.cluster.times.ping_ns
    world._advance()
    world.settle()
    assert link.state is LinkState.OPEN
    assert not [notice for notice in world.notices if "wait" in notice.text]
