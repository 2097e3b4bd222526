"""Goal: that everything is on the disk before it is acted upon costs little. Method: whole runs of a real server with
its journal as it is (WAL, `synchronous=FULL`), in turns with runs whose journal takes records and writes nothing. The
figure is the median of the ratios of each run to the mean of its two neighbours without a journal.

A server without a journal may well be the slower one: it waits for nothing, so it wakes up for less at a time, and the
number of wake-ups decides (docs/performance.md, part 3). Not judged is what a slower disk does: a commit waits for one
sync, and what is decided meanwhile goes into the next.
"""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import Figure
from benchmarks.whole_runs import LIMIT_SECONDS, begin_with_hosts, dispatch_rate, many_jobs
from model.configuration import ClusterDefinition
from model.job import LOCAL, HostWish
from tests.live.running_server import RunningServer

JOBS = 4_000
ROUNDS = 5
COST_MOST = 0.25
LOCALLY = HostWish(LOCAL, required=True)
CLUSTER = ClusterDefinition(local_slots=64)

NOTHING_WRITTEN = f"""
import sys, time
from pathlib import Path
from live.journal import Journal
from model.records import AttemptEnded, JobAccepted
begin, ends = 0, 0
def append(journal, records):
    global begin, ends
    begin = begin or any(type(record) is JobAccepted for _, record in records) and time.monotonic_ns()
    ends += sum(type(record) is AttemptEnded and record.final for _, record in records)
    if begin and ends >= {JOBS}:
        Path(sys.argv[2], "phase").write_text(f"{{ends}} {{time.monotonic_ns() - begin}}")
Journal.append = append
"""
"""Python that a server runs first: its journal takes records, and tells at the last one how many ends came in how many
ns. (It tells nothing before: a file written at each commit cost more than the journal.)"""

pytestmark = [pytest.mark.timeout(900), pytest.mark.benchmark(group="durability")]


def rate_without_journal(folder: Path) -> float:
    """Jobs a second of a server that keeps nothing."""
    folder.mkdir()
    server = RunningServer(folder)
    try:
        configuration = server.configuration(many_jobs(JOBS, LOCALLY), cluster=CLUSTER)
        begin_with_hosts(server, configuration, NOTHING_WRITTEN)
        assert server.ended(LIMIT_SECONDS) == 0, server.said()
        ends, spent_ns = map(int, (server.state / "phase").read_text().split())
    finally:
        server.clean()
    assert ends == JOBS
    return ends * 1e9 / spent_ns


def test_what_durability_costs(benchmark: BenchmarkFixture, figure: Figure, tmp_path: Path) -> None:
    bare = [rate_without_journal(tmp_path / "bare")]
    rates: list[float] = []
    ratios: list[float] = []

    def one_round() -> None:
        number = len(rates)
        rates.append(dispatch_rate(tmp_path / f"{number}", CLUSTER, LOCALLY, JOBS))
        bare.append(rate_without_journal(tmp_path / f"bare {number}"))
        ratios.append(2 * rates[-1] / (bare[-2] + bare[-1]))

    benchmark.pedantic(one_round, rounds=ROUNDS)  # type: ignore[no-untyped-call]
    cost = 1 - statistics.median(ratios)
    benchmark.extra_info.update(cost=round(cost, 3), jobs_a_second=round(statistics.median(rates)))
    words = (
        f"{max(0.0, cost):.0%} of the dispatch rate ({statistics.median(rates):,.0f} jobs/s, without a journal "
        f"{statistics.median(bare):,.0f}; ratios {min(ratios):.2f} to {max(ratios):.2f})"
    )
    figure("durability, local, 64 slots", words, f"at most {COST_MOST:.0%}")
    assert cost <= COST_MOST
