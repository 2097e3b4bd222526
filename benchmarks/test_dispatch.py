"""Goal: between a job that may run and its process stands as little as possible. Method: fresh servers, with their
journals on the disk (WAL, FULL), run thousands of `/bin/true`; between them, before the first and after the last, as
many bare starter processes as there are keepers (`bare_spawn.py`) run the same number, with and without two output
files for each job. A figure is the median of the ratios of each run to the mean of its two neighbours.

Required of local dispatch: 85 % of the bare starts whose output goes to files, for so much every job here can do, with
enough slots that a keeper always has a start to carry out; and to be ahead of `xargs -P2`, which keeps nothing. That
row has more jobs than the others: two keepers take 0.1 s to start, once in the life of a server, and neither that nor
what the file system is busy with for a moment is to decide it. The share of bare starts without files is shown beside
it: what files cost depends much on the file system and on who else writes to it. Few slots and process hosts are shown,
not judged (docs/performance.md, part 7).
"""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.bare_spawn import spawn_rate
from benchmarks.conftest import Figure
from benchmarks.extent import only_long
from benchmarks.whole_runs import dispatch_rate
from live.agent_host import KEEPERS_MAX
from model.configuration import ClusterDefinition, HostDefinition
from model.job import LOCAL, HostWish

JOBS = 3_000
JUDGED_JOBS = 10_000
"""Where 85 % are asked."""
ROUNDS = 5
REQUIRED = 0.85
"""Of bare starts with files, for local dispatch with many slots."""
HOSTS_REQUIRED = 0.90
"""Asked of four process hosts, of the local rate; shown, not judged."""
LEAST = 0.02
"""Of the bare rate, for the others: beneath it something waits that should not."""
SLOTS = 64
LOCALLY = HostWish(LOCAL, required=True)

pytestmark = pytest.mark.timeout(900)


class Measured:
    """The medians of one row."""

    def __init__(self, rates: list[float], to_files: list[float], to_bare: list[float]) -> None:
        self.rate = statistics.median(rates)
        self.to_files = statistics.median(to_files)
        self.to_bare = statistics.median(to_bare)

    def __str__(self) -> str:
        return (
            f"{self.to_files:.0%} of bare starts with files, {self.to_bare:.0%} of those without "
            f"({self.rate:,.0f} jobs/s)"
        )


def measure(benchmark: BenchmarkFixture, run: Callable[[int], float], keepers: int, jobs: int = JOBS) -> Measured:
    """`run(number)` is one run of `jobs` jobs, and gives jobs a second."""
    rates: list[float] = []
    bare: list[float] = []
    files: list[float] = []

    def bare_starts() -> None:
        bare.append(spawn_rate(keepers, jobs))
        files.append(spawn_rate(keepers, jobs, files=True))

    def one_round() -> None:
        rates.append(run(len(rates)))
        bare_starts()

    bare_starts()
    benchmark.pedantic(one_round, rounds=ROUNDS)  # type: ignore[no-untyped-call]
    found = Measured(rates, to_neighbours(rates, files), to_neighbours(rates, bare))
    benchmark.extra_info.update(
        jobs_a_second=round(found.rate), ratio_to_files=round(found.to_files, 2), ratio_to_bare=round(found.to_bare, 2)
    )
    return found


def to_neighbours(rates: list[float], others: list[float]) -> list[float]:
    """Each rate in terms of the mean of the other before and the other after it."""
    return [2 * rate / sum(pair) for rate, pair in zip(rates, pairwise(others), strict=True)]


@pytest.mark.benchmark(group="dispatch")
@pytest.mark.parametrize(
    ("slots", "required"),
    [
        pytest.param(2, LEAST, marks=only_long),
        pytest.param(8, LEAST, marks=only_long),
        pytest.param(32, LEAST, marks=only_long),
        (SLOTS, REQUIRED),
    ],
)
def test_jobs_of_the_local_host(
    benchmark: BenchmarkFixture, figure: Figure, tmp_path: Path, slots: int, required: float
) -> None:
    cluster = ClusterDefinition(local_slots=slots)
    keepers = min(slots, KEEPERS_MAX)
    jobs = JUDGED_JOBS if required == REQUIRED else JOBS

    def run(number: int) -> float:
        return dispatch_rate(tmp_path / f"{number}", cluster, LOCALLY, jobs)

    found = measure(benchmark, run, keepers, jobs)
    asked = f"{required:.0%} of bare starts with files" if required == REQUIRED else ""
    figure(f"dispatch, local, {slots} slots, {keepers} keepers", str(found), asked)
    assert found.to_files >= required


@only_long
@pytest.mark.benchmark(group="dispatch")
@pytest.mark.parametrize("slots", [2, 16])
def test_jobs_of_two_process_hosts(benchmark: BenchmarkFixture, figure: Figure, tmp_path: Path, slots: int) -> None:
    """Over two rpyc links, and both hops of the job channel. (As many starters as there are processors.)"""
    cluster = ClusterDefinition(hosts=(HostDefinition("left", slots), HostDefinition("right", slots)))

    def run(number: int) -> float:
        return dispatch_rate(tmp_path / f"{number}", cluster, HostWish(), JOBS)

    found = measure(benchmark, run, KEEPERS_MAX)
    figure(f"dispatch, 2 process hosts of {slots} slots", str(found), "")
    assert found.to_bare >= LEAST


@pytest.mark.benchmark(group="dispatch")
def test_four_process_hosts_against_the_local_one(benchmark: BenchmarkFixture, figure: Figure, tmp_path: Path) -> None:
    """With as many slots in all, in turns."""
    hosts = ClusterDefinition(hosts=tuple(HostDefinition(f"host{number}", SLOTS // 4) for number in range(4)))
    locally = ClusterDefinition(local_slots=SLOTS)
    rates: list[float] = []
    local = [dispatch_rate(tmp_path / "local", locally, LOCALLY, JOBS)]

    def one_round() -> None:
        number = len(rates)
        rates.append(dispatch_rate(tmp_path / f"{number}", hosts, HostWish(), JOBS))
        local.append(dispatch_rate(tmp_path / f"local {number}", locally, LOCALLY, JOBS))

    benchmark.pedantic(one_round, rounds=ROUNDS)  # type: ignore[no-untyped-call]
    ratio, rate = statistics.median(to_neighbours(rates, local)), statistics.median(rates)
    benchmark.extra_info.update(jobs_a_second=round(rate), ratio_to_local=round(ratio, 2))
    words = f"{ratio:.0%} of the local rate ({rate:,.0f} of {statistics.median(local):,.0f} jobs/s)"
    figure(f"dispatch, 4 process hosts of {SLOTS // 4} slots", words, f"{HOSTS_REQUIRED:.0%} of the local rate")
    assert ratio >= LEAST


def xargs_rate() -> float:
    """Jobs a second of two processes at a time, of which nothing is kept."""
    words = "".join(f"{number}\n" for number in range(JOBS))
    begin = time.perf_counter()
    subprocess.run(["xargs", "-P2", "-n1", "/bin/true"], input=words, text=True, check=True)
    return JOBS / (time.perf_counter() - begin)


@pytest.mark.benchmark(group="dispatch")
def test_local_jobs_against_xargs(benchmark: BenchmarkFixture, figure: Figure, tmp_path: Path) -> None:
    cluster = ClusterDefinition(local_slots=SLOTS)
    rates: list[float] = []
    peer = [xargs_rate()]

    def one_round() -> None:
        rates.append(dispatch_rate(tmp_path / f"{len(rates)}", cluster, LOCALLY, JOBS))
        peer.append(xargs_rate())

    benchmark.pedantic(one_round, rounds=ROUNDS)  # type: ignore[no-untyped-call]
    ratio = statistics.median(to_neighbours(rates, peer))
    benchmark.extra_info.update(ratio_to_xargs=round(ratio, 2))
    words = f"{ratio:.0%} of it ({statistics.median(rates):,.0f} against {statistics.median(peer):,.0f} jobs/s)"
    figure(f"dispatch, local, {SLOTS} slots, against xargs -P2", words, "100%")
    assert ratio >= 1
