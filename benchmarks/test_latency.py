"""Goal: on an idle server a job starts at once, and its end is known at once. Method: one job after another is
submitted over the control socket with `wait`; each prints the wall time at which it runs. The way there is from the
sending of the order to that time (two commits, a spawn and the start of `date` are in it), the way back from it to the
answer (the end of `date`, the keeper's log and the journal on the disk are in it). The baseline is the same `date`,
started and waited for by this process, in turns with them; latencies are given in times of that, too.
"""

from __future__ import annotations

import statistics
import subprocess
import time
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import Figure
from tests.live.running_server import Client, RunningServer

JOBS = 200
MOST = 100
"""Times the bare `date` at most: beyond it something polls that should be told."""
COMMAND = ("date", "+%s%N")
MILLISECOND = 1_000_000

pytestmark = pytest.mark.timeout(300)


def bare() -> int:
    """ns from the order to the known end of the same program without us."""
    begin = time.time_ns()
    assert int(subprocess.run(COMMAND, check=True, capture_output=True).stdout) >= begin
    return time.time_ns() - begin


def submitted(client: Client) -> tuple[int, int]:
    """ns to the job's own first breath, and from there to the answer."""
    begin = time.time_ns()
    answer = client.ask("submit", command=COMMAND, wait=True)
    end = time.time_ns()
    assert answer["report"]["exit_code"] == 0
    started = int(Path(answer["stdout"]).read_text())
    assert begin <= started <= end
    return started - begin, end - started


def percentiles(values: list[int]) -> str:
    """p50 and p99 in ms."""
    ordered = sorted(values)
    worst = ordered[len(ordered) * 99 // 100]
    return f"p50 {statistics.median(ordered) / MILLISECOND:.1f} ms, p99 {worst / MILLISECOND:.1f} ms"


@pytest.mark.benchmark(group="latency")
def test_latency_of_an_idle_server(benchmark: BenchmarkFixture, figure: Figure, tmp_path: Path) -> None:
    server = RunningServer(tmp_path)
    try:
        client = server.start(server.configuration())
        there: list[int] = []
        back: list[int] = []
        baseline: list[int] = []

        def one_round() -> None:
            baseline.append(bare())
            way, home = submitted(client)
            there.append(way)
            back.append(home)

        benchmark.pedantic(one_round, rounds=JOBS, warmup_rounds=3)  # type: ignore[no-untyped-call]
        client.ask("shutdown", kill=True)
        assert server.ended() == 0
    finally:
        server.clean()
    times = statistics.median(map(sum, zip(there, back, strict=True))) / statistics.median(baseline)
    benchmark.extra_info.update(there=percentiles(there), back=percentiles(back), times_bare=round(times, 1))
    figure("latency, submit to start", percentiles(there), "")
    figure("latency, start to known", percentiles(back), "")
    figure("latency, submit to known", f"{times:.1f} times a bare start and wait ({percentiles(baseline)})", "")
    assert times < MOST
