"""Goal: a real job log is replayed in seconds, and a workload's length costs no memory of its own.

Method: a log of the given length is written here, with the load and the widths of a small cluster, and replayed through
scheduler, controller and agents, metrics and `jobs.csv` included, without the oracle; CPU time, survey included. The
archive's NASA and LCG logs are replayed where they are at hand (`tests/sim/job_logs.py`), the latter by `make
bench-long`. Memory is that of a process of its own.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import Figure
from benchmarks.extent import only_long
from benchmarks.observed import peak_bytes
from benchmarks.scripted_server import once
from model.configuration import Configuration, Order
from sim.job_log import KEPT_MAX, cluster_of, submissions, survey
from sim.jobs_csv import JobsCsv
from sim.measuring import Measuring
from sim.scenario import Scenario
from sim.simulation import simulate
from sim.workload import Feed
from tests.sim.job_logs import LCG, NASA, archived, line

JOBS = 20_000
SLOTS = 200
REQUIRED = 1_500
"""Jobs a second of CPU time."""
BYTES_A_JOB = 400
"""What a job of which nothing but its figures is left may cost."""

pytestmark = pytest.mark.timeout(900)


def write(path: Path, jobs: int) -> Path:
    """A log at 70 % of `SLOTS`: half of the jobs serial, runs of 50 s on average."""
    draw = random.Random(1)
    submit = 0.0
    with path.open("w") as file:
        file.write(f"; MaxProcs: {SLOTS}\n")
        for number in range(1, jobs + 1):
            width = draw.choice((1, 1, 1, 2, 4, 8))
            file.write(line(number, round(submit), round(draw.expovariate(1 / 50.0)), width) + "\n")
            submit += draw.expovariate(1.0)
    return path


def replayed(path: Path, order: Order, table: Path) -> tuple[int, float]:
    """(jobs, CPU seconds)."""
    begin = time.process_time()
    found = survey(path)
    with table.open("w", newline="") as file:
        measuring = Measuring(writer=JobsCsv(file, path.name))
        result = simulate(
            Configuration(str(path), "/", cluster=cluster_of(found, order)),
            Scenario(for_ns=found.horizon_ns),
            feed=Feed(submissions(found), ends=True),
            readers=(measuring,),
            check=False,
        )
    metrics = measuring.metrics()
    spent = time.process_time() - begin
    assert result.jobs == metrics.total.ended == found.jobs
    assert result.open == 0
    return found.jobs, spent


def test_a_written_log(benchmark: BenchmarkFixture, figure: Figure, tmp_path: Path) -> None:
    path = write(tmp_path / "log.swf", JOBS)
    rates: list[float] = []

    def one_round() -> None:
        jobs, spent = replayed(path, Order.FILL, tmp_path / "jobs.csv")
        rates.append(jobs / spent)

    benchmark.pedantic(one_round, rounds=2)  # type: ignore[no-untyped-call]
    words = f"{max(rates):,.0f} jobs/s of processor time"
    figure(f"job log, {JOBS:,} jobs on one host of {SLOTS}", words, f"{REQUIRED:,}/s")
    assert max(rates) >= REQUIRED


@pytest.mark.parametrize(("name", "order"), [(NASA, Order.STRICT), pytest.param(LCG, Order.FILL, marks=only_long)])
def test_logs_of_the_archive(
    benchmark: BenchmarkFixture, figure: Figure, tmp_path: Path, name: str, order: Order
) -> None:
    path = archived(name)
    jobs, spent = benchmark.pedantic(lambda: replayed(path, order, tmp_path / "jobs.csv"))  # type: ignore[no-untyped-call]
    words = f"{jobs / spent:,.0f} jobs/s ({jobs:,} jobs in {spent:.1f} s of processor time)"
    figure(f"job log {name.partition('.')[0]}", words, "")


def test_memory_grows_by_the_figures_only(benchmark: BenchmarkFixture, figure: Figure, tmp_path: Path) -> None:
    """Two lengths, each in a process of its own: the difference is what a finished job costs. (Both are read twice; a
    shorter log would be kept while it is simulated.)"""
    few_jobs, many_jobs = KEPT_MAX + JOBS // 4, KEPT_MAX + 2 * JOBS
    peaks: list[int] = []

    def measure() -> None:
        peaks.extend(peak_of_replay(write(tmp_path / f"{jobs}.swf", jobs), tmp_path) for jobs in (few_jobs, many_jobs))

    once(benchmark, measure)
    few, many = peaks
    cost = (many - few) / (many_jobs - few_jobs)
    figure("job log, memory of a finished job", f"{cost:.0f} bytes (of {many / 1e6:.0f} MB)", f"{BYTES_A_JOB} bytes")
    assert cost < BYTES_A_JOB


def peak_of_replay(path: Path, folder: Path) -> int:
    """The most memory that a replay in a process of its own has had."""
    program = (
        "import sys; from pathlib import Path; from benchmarks.test_swf import peak_of; "
        "print(peak_of(Path(sys.argv[1]), Path(sys.argv[2])))"
    )
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run(
        [sys.executable, "-c", program, str(path), str(folder / "jobs.csv")],
        cwd=root, env={**os.environ, "PYTHONPATH": str(root)}, capture_output=True, text=True, timeout=600, check=True,
    )  # fmt: skip
    return int(done.stdout)


def peak_of(path: Path, table: Path) -> int:
    """Replay, in this process, and its most memory in bytes."""
    replayed(path, Order.FILL, table)
    return peak_bytes(os.getpid())
