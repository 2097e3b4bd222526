"""Goal: ours is ahead of every system that keeps what became of a job, and of those that keep nothing as well.

Method: every peer of `systems.py` runs `/bin/true` so many times with two places for jobs; ours runs as many in the
same run, in turns with it, its journal on the disk and each job's output in files: with 2 slots, as the peer has, and
with 64, which is two keepers that always have a start to carry out (two processes, as the peers have). What counts is
the median of the ratios over ROUNDS. Ours is measured by its journal, from the first job accepted to the last end on
the disk (`whole_runs.py`).
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import Figure
from benchmarks.peers.installing import NotThereError, only_peers
from benchmarks.peers.systems import MANY, PEERS, Peer
from benchmarks.scripted_server import once
from benchmarks.whole_runs import dispatch_rate
from model.configuration import ClusterDefinition
from model.job import LOCAL, HostWish

ROUNDS = 5
SLOTS = (2, 64)

pytestmark = [only_peers, pytest.mark.timeout(3600), pytest.mark.benchmark(group="peers")]


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_against(benchmark: BenchmarkFixture, figure: Figure, tmp_path: Path, peer: Peer) -> None:
    rates: list[float] = []
    ours: list[tuple[float, ...]] = []
    version = ""

    def measure() -> None:
        nonlocal version
        for number in range(ROUNDS):
            with tempfile.TemporaryDirectory(prefix="peer-") as folder:
                run = peer.go(Path(folder), peer.jobs)
            rates.append(peer.jobs / run.seconds)
            version = run.version
            ours.append(tuple(our_rate(tmp_path / f"{number}-{slots}", slots) for slots in SLOTS))

    name = f"peer, {peer.name}"
    try:
        once(benchmark, measure)
    except NotThereError as error:
        pytest.skip(f"{peer.name}: {error}")
    times = [
        statistics.median(own[place] / rate for own, rate in zip(ours, rates, strict=True))
        for place in range(len(SLOTS))
    ]
    own = [statistics.median(rate) for rate in zip(*ours, strict=True)]
    benchmark.extra_info.update(version=version, peer=round(statistics.median(rates)), ours=[round(one) for one in own])
    shown = ", ".join(f"ours with {slots} slots {one:,.0f}: {many:.1f} times" for slots, one, many in
                      zip(SLOTS, own, times, strict=True))  # fmt: skip
    figure(
        name, f"version {version}, keeps {peer.keeps}: {statistics.median(rates):,.0f} jobs/s; {shown}", "ours ahead"
    )
    if peer.records:
        assert max(times) > 1.0


def our_rate(folder: Path, slots: int) -> float:
    """Jobs a second of a fresh server of ours."""
    return dispatch_rate(folder, ClusterDefinition(local_slots=slots), HostWish(LOCAL, required=True), MANY)
