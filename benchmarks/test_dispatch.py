"""Goal: between a job that may run and its process stands as little as possible. Method: fresh servers, with their
journals on the disk (WAL, FULL), run thousands of `/bin/true`; before and after each, as many bare starter processes
as there are keepers (`bare_spawn.py`) run the same number. The figure is the median of the ratios of each run to the
mean of its two neighbours.

Required of local dispatch: 60 % of the bare rate of the same number of keepers, with enough slots that a keeper always
has a start to carry out. With few slots each start waits for the way that word of an end takes (keeper, disk, agent,
and back), each commit holds one or two jobs instead of ten, and that is what is measured; it is shown, not judged.
"""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.bare_spawn import spawn_rate
from benchmarks.conftest import Figure
from benchmarks.whole_runs import dispatch_rate
from live.agent_host import KEEPERS_MAX
from model.configuration import ClusterDefinition, HostDefinition
from model.job import LOCAL, HostWish

JOBS = 3_000
ROUNDS = 3
REQUIRED = 0.60
"""Of the bare rate, for local dispatch."""
LEAST = 0.02
"""Of the bare rate, for the others: beneath it something waits that should not."""

pytestmark = pytest.mark.timeout(600)


def measure(
    benchmark: BenchmarkFixture, folder: Path, cluster: ClusterDefinition, host: HostWish, keepers: int
) -> tuple[float, str]:
    """The median ratio, and the figure in words."""
    rates: list[float] = []
    ratios: list[float] = []

    def one_round() -> None:
        before = spawn_rate(keepers, JOBS)
        rates.append(dispatch_rate(folder / f"{len(rates)}", cluster, host, JOBS))
        ratios.append(2 * rates[-1] / (before + spawn_rate(keepers, JOBS)))

    benchmark.pedantic(one_round, rounds=ROUNDS)  # type: ignore[no-untyped-call]
    rate, ratio = statistics.median(rates), statistics.median(ratios)
    benchmark.extra_info.update(jobs_a_second=round(rate), ratio_to_bare=round(ratio, 2))
    return ratio, f"{ratio:.0%} of bare starts ({rate:,.0f} jobs/s)"


@pytest.mark.benchmark(group="dispatch")
@pytest.mark.parametrize(("slots", "required"), [(2, LEAST), (8, LEAST), (32, LEAST), (64, REQUIRED)])
def test_jobs_of_the_local_host(
    benchmark: BenchmarkFixture, figure: Figure, tmp_path: Path, slots: int, required: float
) -> None:
    cluster = ClusterDefinition(local_slots=slots)
    ratio, words = measure(benchmark, tmp_path, cluster, HostWish(LOCAL, required=True), min(slots, KEEPERS_MAX))
    asked = f"{required:.0%} of bare starts" if required == REQUIRED else ""
    figure(f"dispatch, local, {slots} slots, {min(slots, KEEPERS_MAX)} keepers", words, asked)
    assert ratio >= required


@pytest.mark.benchmark(group="dispatch")
@pytest.mark.parametrize("slots", [2, 16])
def test_jobs_of_two_process_hosts(benchmark: BenchmarkFixture, figure: Figure, tmp_path: Path, slots: int) -> None:
    """Over two rpyc links, and both hops of the job channel."""
    hosts = (HostDefinition("left", slots), HostDefinition("right", slots))
    ratio, words = measure(benchmark, tmp_path, ClusterDefinition(hosts=hosts), HostWish(), 2 * min(slots, KEEPERS_MAX))
    figure(f"dispatch, 2 process hosts of {slots} slots", words, "")
    assert ratio >= LEAST
