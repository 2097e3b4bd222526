"""Goal: what people type all day answers before they notice, and what stands on every host takes little.

Method: whole processes by the clock on the wall, in turns with a Python that does nothing: `laulima --help`, and
`laulima status` of a server that runs, has three tasks and a host. TIMES each; the medians count. Absolute times are
asked of this class of machine; the ratio to the bare interpreter is shown, and the processor time (user and system),
because they stay when the machine is busy.
The memory is what `/proc` calls resident: of the program of an agent that waits for work, and of the server beside it.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest
from msgspec import Struct
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import Figure
from benchmarks.observed import pid_of, resident_bytes
from benchmarks.scripted_server import once
from benchmarks.whole_runs import all_up
from model.job import SECOND
from model.task import FilesSource, Periods, TaskDefinition
from tests.live.running_server import RunningServer, cluster, until

TIMES = 15
HELP_MS_MOST, STATUS_MS_MOST = 120, 150
TIMES_BARE_MOST = 20.0
"""Asserted: so many starts of a bare interpreter, on a machine of any load."""
AGENT_MB_MOST = 35

pytestmark = [pytest.mark.timeout(300), pytest.mark.benchmark(group="start-up")]


class Took(Struct, frozen=True):
    """In ms: from the start of a process to its end; its processor time."""

    wall: float
    cpu: float


def run(words: list[str], **environment: str) -> Took:
    """A process, from its start to its end."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.perf_counter()
    ran = subprocess.run(words, capture_output=True, text=True, check=False, env={**os.environ, **environment})
    took = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert ran.returncode == 0, ran.stderr
    return Took(1000 * took, 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime))


def test_commands_and_agents_start_light(benchmark: BenchmarkFixture, figure: Figure, tmp_path: Path) -> None:
    server = RunningServer(tmp_path)
    periods = Periods(exec_ns=3600 * SECOND)
    tasks = [TaskDefinition(f"t{number}", source=FilesSource(f"in{number}/*"), periods=periods) for number in range(3)]
    laulima = [sys.executable, "-m", "shell.main"]
    bare: list[Took] = []
    help_: list[Took] = []
    status: list[Took] = []
    sizes: list[float] = []

    def measure() -> None:
        client = server.start(server.configuration(*tasks, cluster=cluster("north")))
        until(lambda: all_up(client), "all hosts are up")
        for _ in range(TIMES):
            bare.append(run([sys.executable, "-c", "pass"]))
            help_.append(run([*laulima, "--help"]))
            status.append(run([*laulima, "status"], LAULIMA_STATE=str(server.state)))
        sizes.extend(resident_bytes(pid) / 2**20 for pid in (server.agent("north"), pid_of(server)))

    try:
        once(benchmark, measure)
        assert server.shut_down(kill=True) == 0
    finally:
        server.clean()
    start = statistics.median(one.wall for one in bare)
    for name, found, most in (("--help", help_, HELP_MS_MOST), ("status", status, STATUS_MS_MOST)):
        took, spent = statistics.median(one.wall for one in found), statistics.median(one.cpu for one in found)
        words = (
            f"{took:.0f} ms ({spent:.0f} ms of processor time), {took / start:.1f} times a bare Python ({start:.0f} ms)"
        )
        figure(f"start-up, laulima {name}, whole process", words, f"{most} ms")
        benchmark.extra_info[name] = round(took)
        assert took < TIMES_BARE_MOST * start
    agent, own = sizes
    figure("memory, agent program that waits", f"{agent:.0f} MB resident", f"under {AGENT_MB_MOST} MB")
    figure("memory, server that waits", f"{own:.0f} MB resident", "")
    assert agent < AGENT_MB_MOST
