"""Goal: jobs that go to a Slurm through us take little longer than the same jobs in a plain `sbatch` array.

Method: a real Slurm on this machine (`tests/cluster/slurm_cluster.py`, 12 pretend CPUs, untuned: some 23 jobs/s), JOBS
jobs of 0.5 s, and of 1 s. Plain: from `sbatch` until squeue lists none any more. Ours: from the moment at which the
items of a task appear until the last end is recorded. In turns, PAIRS pairs; what counts is the median of the ratios,
one poll period taken off ours (an end is noticed at the next poll). Looking whether it is over costs both sides little.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import Figure
from benchmarks.extent import only_long
from benchmarks.scripted_server import once
from benchmarks.whole_runs import all_up
from model.configuration import BatchSettings, ClusterDefinition, HostDefinition, Link
from model.job import SECOND, HostWish
from model.task import LinesSource, Periods, TaskDefinition
from tests.cluster.slurm_cluster import SlurmCluster
from tests.live.running_server import RunningServer, until

JOBS = 180
PAIRS = 3
POLL_NS = SECOND
OVERHEAD_MOST = 1.10
LIMIT = 120.0

LOOK_SECONDS = 0.25
"""Pause between looks whether all is over."""

Command = tuple[str, str, str]


def _wait(is_over: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT
    pause = threading.Event()
    while not is_over():
        assert time.monotonic() < deadline, "it does not end"
        pause.wait(LOOK_SECONDS)


def plain_array(cluster: SlurmCluster, folder: Path, command: Command, jobs: int = JOBS) -> float:
    """Seconds from `sbatch` of so many until squeue lists none any more."""
    script = folder / "plain.sh"
    script.write_text(f"#!/bin/sh\nexec {command[0]} {command[1]} '{command[2]}'\n")
    began = time.monotonic()
    cluster.ask("sbatch", "--parsable", "--no-requeue", f"--array=0-{jobs - 1}", "--output=/dev/null", str(script))
    wanted = "--states=PENDING,RUNNING,COMPLETING,CONFIGURING"

    def all_over() -> bool:
        return not cluster.ask("squeue", "--me", "--noheader", "--array", wanted, "--format=%i")

    _wait(all_over)
    return time.monotonic() - began


def _ours(server: RunningServer, command: Command) -> float:
    items = server.folder / "items"
    items.touch()
    batch = BatchSettings(poll_ns=POLL_NS)
    host = HostDefinition("big", 2 * JOBS, Link.SLURM, python=sys.executable, batch=batch)
    task = TaskDefinition(
        "far",
        command=command,
        host=HostWish("big", required=True),
        periods=Periods(exec_ns=SECOND // 20, timeout_ns=600 * SECOND, pending_ns=0),
        source=LinesSource(("cat", str(items))),
    )
    client = server.start(server.configuration(task, cluster=ClusterDefinition(hosts=(host,))))
    until(lambda: all_up(client), "all hosts are up", LIMIT)
    fresh = items.with_suffix(".new")
    fresh.write_text("".join(f"{number}\n" for number in range(JOBS)))
    began = time.monotonic()
    os.replace(fresh, items)
    _wait(lambda: client.ask("tasks")[0]["done"] == JOBS)
    seconds = time.monotonic() - began
    client.ask("shutdown", kill=True)
    server.ended()
    assert {row.outcome for row in server.history()} == {"EXITED"}
    return seconds


@only_long
@pytest.mark.skipif(shutil.which("slurmctld") is None, reason="needs slurmctld, of Debian package slurm-wlm")
@pytest.mark.skipif(shutil.which("munged") is None, reason="needs munged, of Debian package munge")
@pytest.mark.timeout(900)
@pytest.mark.parametrize("job_seconds", [0.5, 1.0])
def test_jobs_through_us_take_little_longer_than_a_plain_array(
    benchmark: BenchmarkFixture, figure: Figure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, job_seconds: float
) -> None:
    pairs: list[tuple[float, float]] = []
    command = ("sh", "-c", f"sleep {job_seconds:g}")

    def measure() -> None:
        with SlurmCluster() as cluster:
            monkeypatch.setenv("SLURM_CONF", str(cluster.configuration))
            plain_array(cluster, tmp_path, command)  # the first submission of a new Slurm waits for its nodes
            for pair in range(PAIRS):
                plain = plain_array(cluster, tmp_path, command)
                folder = tmp_path / str(pair)
                folder.mkdir()
                server = RunningServer(folder)
                try:
                    pairs.append((plain, _ours(server, command)))
                finally:
                    server.clean()

    once(benchmark, measure)
    poll_seconds = POLL_NS / SECOND
    ratio = statistics.median((ours - poll_seconds) / plain for plain, ours in pairs)
    shown = ", ".join(f"{plain:.1f} s to {ours:.1f} s" for plain, ours in pairs)
    figure(
        f"slurm, {JOBS} jobs of {job_seconds:g} s, plain array to ours",
        f"x {ratio:.2f} (less one poll of {poll_seconds:g} s; {shown})",
        f"x {OVERHEAD_MOST}",
    )
    assert ratio <= OVERHEAD_MOST, shown
