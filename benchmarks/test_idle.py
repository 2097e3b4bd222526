"""Goal: who has nothing to do costs nothing. Method: a server whose 100 tasks each look at a folder every second, all
of whose files are done; the CPU time (user and system) of the server process over 20 seconds, as a share of one core.
Once alone, and once with 100 hosts that dial in by TLS (`tests/cluster/light_agents.py`), each of which is pinged every
5 s. (Alone by `make bench-long` only.)

Required: under 1 % with the hosts; three times that is let pass, because a busy machine makes everything dearer. The
baseline is what the looks themselves cost: the same folders listed in this process.
"""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from msgspec.structs import replace
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import Figure
from benchmarks.extent import only_long
from benchmarks.light_agents import LightAgents
from benchmarks.observed import share_of_a_core
from benchmarks.scripted_server import once
from benchmarks.whole_runs import all_up
from model.configuration import ClusterDefinition, HostDefinition, Link
from model.job import SECOND
from model.task import FilesSource, Periods, TaskDefinition
from shell.certificate_authority import Authority
from tests.cluster.tls_site import TlsSite
from tests.live.running_server import LOCALLY, Client, RunningServer, until

TASKS = 100
FILES = 3
"""In each folder; each was a job, which is over when the measuring begins."""
SECONDS = 20.0
HOSTS = 100
REQUIRED = 0.01
PASSED = 0.03
"""What is asserted."""

pytestmark = pytest.mark.timeout(180)


def polling_task(folder: Path, number: int) -> TaskDefinition:
    """A task over a folder of its own with a few files."""
    incoming = folder / f"in{number}"
    incoming.mkdir()
    for file in range(FILES):
        (incoming / f"file{file}").touch()
    return TaskDefinition(
        f"look{number}",
        command=("/bin/true",),
        source=FilesSource(f"in{number}/*"),
        host=LOCALLY,
        periods=Periods(exec_ns=SECOND, timeout_ns=60 * SECOND, pending_ns=60 * SECOND),
    )


def listing_share(folder: Path) -> float:
    """Share of a core that it costs to stat the folders and list them, once a second."""
    begin = time.process_time()
    for number in range(TASKS):
        os.stat(folder / f"in{number}")
        assert len(os.listdir(folder / f"in{number}")) == FILES + 1
    return time.process_time() - begin


def all_done(client: Client, files: int) -> bool:
    """Whether so many files of each folder were jobs that ended."""
    return len(client.ask("history", limit=TASKS * files)) == TASKS * files


@pytest.mark.benchmark(group="idle")
@pytest.mark.parametrize("hosts", [pytest.param(0, marks=only_long), HOSTS])
def test_a_hundred_tasks_with_nothing_to_do(
    benchmark: BenchmarkFixture, figure: Figure, tmp_path: Path, hosts: int
) -> None:
    server = RunningServer(tmp_path)
    tasks = [polling_task(tmp_path, number) for number in range(TASKS)]
    cluster = ClusterDefinition(local_slots=16)
    shares: list[float] = []
    with ExitStack() as ending:
        ending.callback(server.clean)
        site = None
        if hosts:
            folder = tmp_path / "tls"
            authority = Authority(folder)
            authority.begin()
            for number in range(hosts):
                authority.issue(f"h{number}")
            site = TlsSite(server, folder=folder)
            dialling = tuple(HostDefinition(f"h{number}", 8, Link.TLS) for number in range(hosts))
            cluster = replace(site.cluster_of(dialling), local_slots=16)
        client = server.start(server.configuration(*tasks, cluster=cluster))
        if site is not None:
            agents = LightAgents(site, hosts, 8)
            ending.callback(agents.close)
            agents.until(hosts)
            until(lambda: all_up(client), "all hosts are up", 60.0)
        until(lambda: all_done(client, FILES), "all files are done", 60.0)
        once(benchmark, lambda: shares.append(share_of_a_core(server, SECONDS)))
        assert len(client.ask("history", limit=2 * TASKS * FILES)) == TASKS * FILES, "no file was done twice"
        for number in range(TASKS):
            (tmp_path / f"in{number}" / "late").touch()
        until(lambda: all_done(client, FILES + 1), "it looked all the time: what is new is found", 10.0)
        client.ask("shutdown", kill=True)
        assert server.ended() == 0
    share, listing = shares[0], listing_share(tmp_path)
    benchmark.extra_info.update(share_of_a_core=round(share, 4), share_of_listing=round(listing, 4))
    words = f"{share:.2%} of a core (listing the folders alone: {listing:.2%})"
    name = f"idle server, {TASKS} tasks polled every second{f', {hosts} hosts' if hosts else ''}"
    figure(name, words, f"under {REQUIRED:.0%}")
    assert share < PASSED
