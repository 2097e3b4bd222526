"""Goal: what all of ours costs for a job, without its process. Method: whole runs of a real server with its journal on
the disk; its one host is reached by rpyc over a unix socket and is the agent program as it is, but that its jobs end at
once (`null_agent.py`). The baseline is the disk alone: the same records, written by the same journal in commits of 100
jobs, in turns with the runs.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import Figure
from benchmarks.whole_runs import dispatch_rate
from live.journal import Journal
from model.configuration import ClusterDefinition, HostDefinition
from model.job import HostWish, JobId, JobSpec, Outcome, Report
from model.records import AttemptAssigned, AttemptEnded, AttemptGiven, AttemptReturned, JobAccepted, Record

JOBS = 20_000
ROUNDS = 5
SLOTS = 512
COMMIT = 100
"""Jobs in one commit of the baseline."""
REQUIRED = 12_000
"""Jobs a second, asked of a quiet 2-core machine; shown, and not judged: absolute rates differ from hour to hour."""
LEAST = 0.05
"""Of the baseline: beneath it something waits that should not."""

NO_PROCESSES = """
from live.link_process import ProcessHost
def _program(host):
    return ["benchmarks.null_agent", f"--name={host._name}", f"--slots={host.slots}"]
ProcessHost._program = _program
"""
"""Python that the server runs first: its host's agent is the null one."""

pytestmark = [pytest.mark.timeout(600), pytest.mark.benchmark(group="dispatch")]


def recording_rate(folder: Path) -> float:
    """Jobs a second of a journal that is given the records of whole lives."""
    folder.mkdir()
    journal = Journal(folder / "journal.sqlite")
    spec = JobSpec("true", command=("/bin/true",), item="1")
    report = Report(Outcome.EXITED, 0, host="null", started=True)
    begin = time.perf_counter()
    for first in range(1, JOBS + 1, COMMIT):
        jobs = [JobId(first + number) for number in range(COMMIT)]
        records: list[tuple[str, Record]] = [
            *(("scheduler", JobAccepted(job, spec)) for job in jobs),
            *(("scheduler", AttemptAssigned(job, 1, "controller")) for job in jobs),
            *(("controller", AttemptGiven(job, 1, "null", 1, spec)) for job in jobs),
            *(("scheduler", AttemptEnded(job, 1, report, final=True)) for job in jobs),
            *(("controller", AttemptReturned(job, 1)) for job in jobs),
        ]
        journal.append(records)
    spent = time.perf_counter() - begin
    journal.close()
    return JOBS / spent


def test_the_protocol_alone(benchmark: BenchmarkFixture, figure: Figure, tmp_path: Path) -> None:
    cluster = ClusterDefinition(hosts=(HostDefinition("null", SLOTS),))
    bare = [recording_rate(tmp_path / "bare")]
    rates: list[float] = []
    ratios: list[float] = []

    def one_round() -> None:
        number = len(rates)
        rates.append(dispatch_rate(tmp_path / f"{number}", cluster, HostWish(), JOBS, before=NO_PROCESSES))
        bare.append(recording_rate(tmp_path / f"bare {number}"))
        ratios.append(2 * rates[-1] / (bare[-2] + bare[-1]))

    benchmark.pedantic(one_round, rounds=ROUNDS)  # type: ignore[no-untyped-call]
    rate, ratio = statistics.median(rates), statistics.median(ratios)
    benchmark.extra_info.update(jobs_a_second=round(rate), ratio_to_journal=round(ratio, 2))
    words = f"{rate:,.0f} jobs/s ({ratio:.0%} of the journal alone, {statistics.median(bare):,.0f} jobs/s)"
    figure("dispatch, protocol alone (null process port, rpyc, journal)", words, f"{REQUIRED:,} jobs/s")
    assert ratio >= LEAST
