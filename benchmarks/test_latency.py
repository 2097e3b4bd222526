"""Goal: on an idle server a job starts at once, its end is known at once, and what is to follow from it follows.

Method: one job after another is submitted over the control socket with `wait`; each prints the wall time at which it
runs. The way there is from the sending of the order to that time (two commits, a spawn and the start of `date` are in
it), the way back from it to the answer (the end of `date`, the keeper's log and the journal on the disk are in it). The
baseline is the same `date`, started and waited for by this process, in turns with them; latencies are given in times of
that, too.

Reaction: a task runs `date` every 50 ms, and its handler for exit 0 runs another one. From what the job prints, just
before its end, to what the handler prints: the end of a process, the way up, a commit with both records, the way down
and the start of a process are in it. The baseline is this process, which starts the second `date` when the first one
has ended, before and after.
"""

from __future__ import annotations

import sqlite3
import statistics
import subprocess
import time
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import Figure
from benchmarks.observed import let_work
from benchmarks.scripted_server import once
from live.spool import output_path
from model.job import SECOND
from model.records import JobAccepted, Record
from model.task import Handler, Limits, Periods, TaskDefinition
from tests.live.running_server import LOCALLY, Client, RunningServer, until

JOBS = 200
ASKED = "p50 under 3 ms, p99 under 10 ms"
"""Shown, not judged: a busy machine has others' time slices in it."""
MOST = 100
"""Times the bare `date` at most: beyond it something polls that should be told."""
COMMAND = ("date", "+%s%N")
EVERY_NS = SECOND // 20
"""Between jobs whose ends have handlers."""
LIMIT = 60.0
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
    figure("latency, submit to start", percentiles(there), ASKED)
    figure("latency, start to known", percentiles(back), "")
    figure("latency, submit to known", f"{times:.1f} times a bare start and wait ({percentiles(baseline)})", "")
    assert times < MOST


def bare_reaction() -> int:
    """ns from what one program prints to what the next one prints, which is started when the first has ended."""
    first, second = (int(subprocess.run(COMMAND, check=True, capture_output=True).stdout) for _ in range(2))
    return second - first


def reactions(server: RunningServer) -> list[int]:
    """ns from what each job printed to what its handler printed."""
    decode = msgspec.msgpack.Decoder(Record).decode
    with closing(sqlite3.connect(f"file:{server.state / 'journal.sqlite'}?mode=ro", uri=True)) as journal:
        bodies = journal.execute("SELECT body FROM record WHERE kind = 'job accepted'").fetchall()
    accepted = [record for (body,) in bodies if isinstance(record := decode(body), JobAccepted)]
    said = {
        record.job: int(output_path(server.state / "local", record.job, 1, "stdout").read_text()) for record in accepted
    }
    return [said[record.job] - said[record.parent] for record in accepted if record.parent]


@pytest.mark.benchmark(group="latency")
def test_a_handler_follows_an_end(benchmark: BenchmarkFixture, figure: Figure, tmp_path: Path) -> None:
    server = RunningServer(tmp_path)
    task = TaskDefinition(
        "brief",
        command=COMMAND,
        host=LOCALLY,
        handlers=(Handler("0", run=COMMAND),),
        limits=Limits(total=JOBS),
        periods=Periods(exec_ns=EVERY_NS, timeout_ns=60 * SECOND, pending_ns=60 * SECOND),
    )
    baseline = [bare_reaction() for _ in range(JOBS // 2)]

    def measure() -> None:
        server.begin(server.configuration(task))
        let_work(server, JOBS * EVERY_NS / SECOND)
        until(lambda: len(server.history()) == 2 * JOBS, "all jobs and their handlers have ended", LIMIT)

    try:
        once(benchmark, measure)
        late = reactions(server)
        assert server.shut_down(kill=True) == 0
    finally:
        server.clean()
    baseline += [bare_reaction() for _ in range(JOBS // 2)]
    assert len(late) == JOBS
    assert min(late) > 0
    times = statistics.median(late) / statistics.median(baseline)
    benchmark.extra_info.update(reaction=percentiles(late), times_bare=round(times, 1))
    words = f"{percentiles(late)}; {times:.1f} times a bare end and start ({percentiles(baseline)})"
    figure("latency, end of a process to the start of its handler", words, ASKED)
    assert times < MOST
