"""Goal: a link that is half-open, cut in one direction, stuck in the middle of a frame or broken again and again loses
no end, doubles no run and holds up no other host (P1, P3, P8).

Method: real agents; a proxy of the test's own (`proxy.py`) stands before one of them and holds back bytes. A cut lasts
until the other side has noticed it, or until the job was ended at its lease and has begun again elsewhere.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.live.running_server import until
from tests.live.torture import extent
from tests.live.torture.proxy import ProxyProcess, proxied
from tests.live.torture.small_cluster import BRIEF, LONG, PATIENCE, SmallCluster, small_cluster
from tests.live.torture.witness import Mark

HOST = "node1"
"""The one behind the proxy."""
CUTS = {
    "agent does not reach server": ("hold up",),
    "server does not reach agent": ("hold down",),
    "neither reaches the other": ("hold up", "hold down"),
    "in the middle of a frame": ("hold down after 7", "hold up"),
}


@contextlib.contextmanager
def cut_off(folder: Path, lease_ns: int) -> Iterator[tuple[SmallCluster, ProxyProcess, Mark]]:
    """A cluster in which a job runs on a host that is reached through a proxy."""
    with small_cluster(folder, lease_ns) as here:
        here.start()
        here.server.crash()  # so that agents wait, and the next server calls the proxy
        with proxied(here.server.state / "hosts" / HOST) as proxy:
            mark = here.begin_on(HOST)
            yield here, proxy, mark
        here.finish(len({mark.job for mark in here.witness().begun}))


def heal(proxy: ProxyProcess) -> None:
    proxy.order("pass up")
    proxy.order("pass down")


@pytest.mark.parametrize("cut", CUTS)
def test_a_cut_within_the_lease_is_noticed_and_costs_nothing(tmp_path: Path, cut: str) -> None:
    with cut_off(tmp_path, LONG) as (here, proxy, mark):
        for order in CUTS[cut]:
            proxy.order(order)
        until(lambda: here.host(HOST)["state"] == "silent", "the host is called silent", PATIENCE)
        jobs = [here.submit(number) for number in range(10)]
        assert {row.host for row in here.are_final(jobs)} == {"node2"}
        here.open_gate()
        until(lambda: mark in here.witness().ended, "the job ends while its host is cut off", PATIENCE)
        heal(proxy)
        (row,) = here.are_final([mark.job])
        assert (row.attempt, row.outcome, row.host) == (1, "EXITED", HOST)
        until(lambda: here.host(HOST)["state"] == "up", "the host is up again", PATIENCE)


@pytest.mark.parametrize("cut", CUTS if extent.LONG else list(CUTS)[1::2])
def test_beyond_the_lease_the_job_is_ended_before_it_runs_elsewhere(tmp_path: Path, cut: str) -> None:
    with cut_off(tmp_path, BRIEF) as (here, proxy, first):
        for order in CUTS[cut]:
            proxy.order(order)
        here.gone(first)
        second = here.begun(2)[1]
        assert here.host_of(second) == "node2"
        heal(proxy)
        until(lambda: here.host(HOST)["state"] == "up", "the host is up again", PATIENCE)
        here.run_on(second)
        here.open_gate()
        (row,) = here.are_final([first.job])
        assert (row.attempt, row.outcome) == (second.attempt, "EXITED")
        outcomes = [row.outcome for row in here.server.history() if row.job == first.job]
        assert outcomes == ["LOST", "EXITED"]


@pytest.mark.timeout(900)
def test_a_link_that_breaks_in_the_middle_of_its_frames_again_and_again_doubles_and_loses_nothing(
    tmp_path: Path,
) -> None:
    chance = Random(3)
    with cut_off(tmp_path, LONG) as (here, proxy, _):
        jobs: list[int] = []
        for _ in range(extent.BREAKS):
            proxy.order(f"snap {chance.choice(('up', 'down'))} after {chance.randrange(1, 2000)}")
            batch = [here.submit(len(jobs) + number, HOST) for number in range(5)]
            jobs += batch
            here.are_final(batch)
        here.open_gate()
        rows = here.are_final(jobs)
        assert {(row.attempt, row.outcome) for row in rows} == {(1, "EXITED")}
