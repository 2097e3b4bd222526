"""Goal: a million jobs may wait. Method: the two machines of a server, scheduler and controller, speak to each other
in a process of its own, no host has room, and so many jobs are accepted; what the process has grown by is divided by
them. The controller gets the first 10,000, the others stand in a line of the scheduler.

Jobs that are equal (a program that is to run so many times), jobs each with an item of its own, and jobs whose command
holds the item as well are measured. The item's name is part of that. What else a server keeps of them (its journal's
state, the table of the source's items) is measured in `test_all_at_once.py`.
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
KINDS = {
    "equal": "equal ones",
    "item": "each with its own item",
    "command": "each with its own item, which its command holds",
}

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
    server.submit(jobs, item=kind != "equal", in_command=kind == "command")
    print((resident_bytes() - before) / jobs)


@pytest.mark.parametrize("kind", list(KINDS))
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
    figure(f"memory of a waiting job, 1,000,000 of them, {KINDS[kind]}", f"{found:.0f} bytes", f"{GOAL} bytes")
    assert found < GOAL
