"""Goal: who has nothing to do costs nothing. Method: a server whose 100 tasks each look at a folder every second, all
of whose files are done; the CPU time (user and system) of the server process over 20 seconds, as a share of one core.

Required: under 3 %. The baseline is what the looks themselves cost: the same folders listed in this process.
"""

from __future__ import annotations

import os
import select
import time
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import Figure
from model.configuration import ClusterDefinition
from model.job import SECOND
from model.task import FilesSource, Periods, TaskDefinition
from tests.live.running_server import LOCALLY, Client, RunningServer, until

TASKS = 100
FILES = 3
"""In each folder; each was a job, which is over when the measuring begins."""
SECONDS = 20.0
REQUIRED = 0.03
TICKS = os.sysconf("SC_CLK_TCK")

pytestmark = pytest.mark.timeout(180)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process until now, to 1/100 s."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


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
def test_a_hundred_tasks_with_nothing_to_do(benchmark: BenchmarkFixture, figure: Figure, tmp_path: Path) -> None:
    server = RunningServer(tmp_path)
    tasks = [polling_task(tmp_path, number) for number in range(TASKS)]
    shares: list[float] = []
    try:
        client = server.start(server.configuration(*tasks, cluster=ClusterDefinition(local_slots=16)))
        until(lambda: all_done(client, FILES), "all files are done", 60.0)
        assert server.process is not None
        pid = server.process.pid
        pidfd = os.pidfd_open(pid)

        def measure() -> None:
            begin, spent = time.monotonic(), cpu_seconds(pid)
            ended, _, _ = select.select([pidfd], [], [], SECONDS)
            assert not ended, f"the server ended: {server.said()}"
            shares.append((cpu_seconds(pid) - spent) / (time.monotonic() - begin))

        benchmark.pedantic(measure, rounds=1)  # type: ignore[no-untyped-call]
        os.close(pidfd)
        assert client.ask("status")["pid"] == pid
        assert len(client.ask("history", limit=2 * TASKS * FILES)) == TASKS * FILES, "no file was done twice"
        for number in range(TASKS):
            (tmp_path / f"in{number}" / "late").touch()
        until(lambda: all_done(client, FILES + 1), "it looked all the time: what is new is found", 10.0)
        client.ask("shutdown", kill=True)
        assert server.ended() == 0
    finally:
        server.clean()
    share, listing = shares[0], listing_share(tmp_path)
    benchmark.extra_info.update(share_of_a_core=round(share, 4), share_of_listing=round(listing, 4))
    words = f"{share:.2%} of a core (listing the folders alone: {listing:.2%})"
    figure(f"idle server, {TASKS} tasks polled every second", words, f"under {REQUIRED:.0%}")
    assert share < REQUIRED
