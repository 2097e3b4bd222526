"""Goal: a million jobs may wait. Method: the two machines of a server, scheduler and controller, speak to each other
in a process of its own, no host has room, and so many jobs are accepted; what the process has grown by is divided by
them.

Jobs that are equal (a program that is to run so many times) and jobs each with an item of its own are measured. Of the
latter the item's name and its entry in the task's table are part, which stay when the job is over.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import Figure
from tests.model.waiting_jobs import Server

JOBS = 1_000_000
GOAL = 700
BYTES_MOST = {"equal": GOAL, "item": 1_050}
"""What is asserted. Of 680 bytes of equal jobs the two structures of a job take 270, its belief about the executor 96,
its two names (tuples) 160, three dictionaries 125. With items of their own the goal is not reached: each job then has a
specification of its own (170 bytes, all but the item the same as in the others of its task), its item, and an entry."""

pytestmark = pytest.mark.timeout(600)


def resident_bytes() -> int:
    """What this process has in memory."""
    gc.collect()
    status = Path("/proc/self/status").read_text()
    return 1024 * next(int(row.split()[1]) for row in status.splitlines() if row.startswith("VmRSS"))


def print_cost(kind: str, jobs: int) -> None:
    """In a process of its own."""
    server = Server()
    before = resident_bytes()
    server.submit(jobs, kind == "item")
    print((resident_bytes() - before) / jobs)


@pytest.mark.parametrize("kind", ["equal", "item"])
def test_what_a_waiting_job_takes(benchmark: BenchmarkFixture, figure: Figure, kind: str) -> None:
    root = Path(__file__).resolve().parent.parent
    program = f"from benchmarks.test_pending_memory import print_cost; print_cost({kind!r}, {JOBS})"
    told: list[str] = []

    def in_a_process() -> None:
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=root, env={**os.environ, "PYTHONPATH": str(root)}, capture_output=True, text=True, check=True,
            timeout=500,
        )  # fmt: skip
        told.append(done.stdout)

    benchmark.pedantic(in_a_process, rounds=1)  # type: ignore[no-untyped-call]
    found = float(told[0])
    what = "equal ones" if kind == "equal" else "each with its own item"
    figure(f"memory of a waiting job, 1,000,000 of them, {what}", f"{found:.0f} bytes", f"{GOAL} bytes")
    assert found < BYTES_MOST[kind]
