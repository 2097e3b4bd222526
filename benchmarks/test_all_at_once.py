"""Goal: whoever submits a million jobs at once gets them accepted soon, the first starts at once, and the last is
accepted as fast as the first; and they take little memory while they wait.

Method: a real server, its journal on the disk, whose source shows JOBS items in one answer. It has one process host of
two slots, whose jobs sleep, so all others wait. The journal says when each job was accepted (the commit that holds it,
by the server's clock) and when the first one started. The rate is given by the wall and by the processor time of the
server, which stays the same beside others' work; the first and the last fifth are compared by processor time. Memory is
what the server's process has resident when all wait, less what it had before the first.

100,000 jobs by `make bench`, 1,000,000 as well by `make bench-long`.
"""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import pytest
from msgspec import Struct
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import Figure
from benchmarks.extent import only_long
from benchmarks.observed import cpu_seconds, let_work, pid_of, resident_bytes
from benchmarks.scripted_server import once
from benchmarks.whole_runs import all_up
from model.configuration import ClusterDefinition, HostDefinition
from model.job import SECOND
from model.task import LinesSource, Periods, TaskDefinition
from tests.live.running_server import RunningServer, until

FEW, MANY = 100_000, 1_000_000
SHOW = "until test -e go; do sleep 0.05; done; cat items"
"""The source: its one answer comes when the host is up."""
LOOK_SECONDS = 0.25
LIMIT = 600.0
RATE_LEAST = 20_000
"""Accepted a second."""
SERVER_MB_MOST = 200
"""With FEW pending jobs."""
BYTES_MOST = 700
"""For each job, of MANY."""
FLAT_LEAST = 0.8
"""The rate of the last fifth, of that of the first."""
FIRST_SECONDS_PASSED = 30.0
"""What is asserted; on a quiet machine it is a third of a second."""
NOISE = 4
"""What is asserted of absolute figures: so many times worse is let pass, on a machine that is busy otherwise."""

pytestmark = [pytest.mark.timeout(900), pytest.mark.benchmark(group="all at once")]


class Look(Struct):
    """At one moment: jobs accepted, processor time of the server."""

    jobs: int
    cpu_seconds: float


class Found(Struct):
    """`first_ns`: from the first acceptance to the record of the first start."""

    wall_seconds: float
    cpu_seconds: float
    flat: float
    first_ns: int
    before_bytes: int
    waiting_bytes: int


def ask(journal: Path, question: str) -> int:
    connection = sqlite3.connect(f"file:{journal}?mode=ro", uri=True)
    try:
        return int(connection.execute(question).fetchone()[0] or 0)
    finally:
        connection.close()


def watched(server: RunningServer, jobs: int) -> list[Look]:
    """The server at work, until all are accepted."""
    pid, journal = pid_of(server), server.state / "journal.sqlite"
    looks: list[Look] = []
    deadline = time.monotonic() + LIMIT
    while not looks or looks[-1].jobs < jobs:
        assert time.monotonic() < deadline, f"{looks[-1].jobs} are accepted, not {jobs}"
        let_work(server, LOOK_SECONDS)
        looks.append(Look(ask(journal, "SELECT max(job) FROM record WHERE job > 0"), cpu_seconds(pid)))
    return looks


def share_of_rates(looks: list[Look], jobs: int) -> float:
    """Jobs a second of processor time in the last fifth, against the first fifth."""
    inside = [look for look in looks if look.jobs > 0]
    first = [look for look in inside if look.jobs <= jobs // 5]
    last = [look for look in inside if look.jobs >= jobs - jobs // 5]
    if min(len(first), len(last)) < 2:
        return 0.0  # too fast for so few looks
    early, late = (
        (some[-1].jobs - some[0].jobs) / max(1e-9, some[-1].cpu_seconds - some[0].cpu_seconds) for some in (first, last)
    )
    return late / early


def measured(server: RunningServer, jobs: int) -> Found:
    (server.folder / "items").write_text("".join(f"incoming/{number:07}.fits\n" for number in range(jobs)))
    task = TaskDefinition(
        "work",
        command=("/bin/sleep", "3600"),
        source=LinesSource(("sh", "-c", SHOW)),
        periods=Periods(exec_ns=24 * 3600 * SECOND, timeout_ns=0, pending_ns=0),
    )
    hosts = (HostDefinition("north", 2),)
    client = server.start(server.configuration(task, cluster=ClusterDefinition(hosts=hosts, pending_max=2 * MANY)))
    until(lambda: all_up(client), "all hosts are up")
    pid, journal = pid_of(server), server.state / "journal.sqlite"
    before, spent = resident_bytes(pid), cpu_seconds(pid)
    (server.folder / "go").touch()
    looks = watched(server, jobs)
    first = ask(journal, "SELECT min(clock) FROM record WHERE kind = 'job accepted'")
    last = ask(journal, "SELECT max(clock) FROM record WHERE kind = 'job accepted'")
    started = ask(journal, "SELECT min(clock) FROM record WHERE kind = 'attempt started'")
    until(lambda: client.ask("tasks")[0]["pending"] >= jobs - 2, "all wait", LIMIT)
    waiting = resident_bytes(pid)
    cpu = looks[-1].cpu_seconds - spent
    return Found((last - first) / SECOND, cpu, share_of_rates(looks, jobs), started - first, before, waiting)


@pytest.mark.parametrize("jobs", [FEW, pytest.param(MANY, marks=only_long)])
def test_so_many_at_once(benchmark: BenchmarkFixture, figure: Figure, tmp_path: Path, jobs: int) -> None:
    server = RunningServer(tmp_path)
    seen: list[Found] = []
    try:
        once(benchmark, lambda: seen.append(measured(server, jobs)))
    finally:
        server.clean()
    found = seen[0]
    rate, each = jobs / found.wall_seconds, jobs / found.cpu_seconds
    size = (found.waiting_bytes - found.before_bytes) / jobs
    name = f"{jobs:,} jobs at once"
    words, asked = f"{rate:,.0f}/s, {each:,.0f} for each second of the server's processor time", f"{RATE_LEAST:,}/s"
    if found.flat:
        words += f", in the last fifth {found.flat:.0%} of the first"
        asked += f", last fifth {FLAT_LEAST:.0%} of the first"
    figure(f"{name}, accepted", words, asked)
    figure(f"{name}, first start", f"{found.first_ns / SECOND:.2f} s after the first is accepted", "at once")
    words = f"{found.waiting_bytes / 2**20:.0f} MB resident, {size:.0f} bytes for each that waits"
    asked = f"under {SERVER_MB_MOST} MB" if jobs == FEW else f"under {BYTES_MOST} bytes each"
    figure(f"{name}, memory of the server", words, asked)
    benchmark.extra_info.update(accepted_a_second=round(rate), bytes_each=round(size))
    assert each >= RATE_LEAST / NOISE
    assert found.first_ns < FIRST_SECONDS_PASSED * SECOND
    assert found.flat == 0.0 or found.flat >= FLAT_LEAST / 2
