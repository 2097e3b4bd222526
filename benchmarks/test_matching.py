"""Goal: what a job costs the controller does not grow with the jobs that wait or with the hosts, whatever jobs need.

Method: the Controller machine alone, all hosts full and so many jobs waiting. One cycle is a whole life there: a host
says that a job started and ended, the next one is given, the scheduler acknowledges the end and hands down another job.
CPU time for each cycle; small and large are measured in turns in the same run, the collector switched off as in
simulation (what it costs is the heap's size, not the controller's doing), and the best of the rounds is compared.

Required: at most 20 % more with 1,000,000 waiting jobs than with 1,000, and with 10,000 hosts than with 10, for jobs
of 1, 5 and 50 shapes. What a shape costs is shown, and not judged: the first job of each is looked at for each gift.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import Figure
from benchmarks.extent import only_long
from tests.model.busy_controller import SLOTS, BusyController

GROWTH_MOST = 1.2
"""Cost for each job, large against small."""
PASSED = 1.5
"""What is asserted: with 10,000 hosts and 50 shapes no cache holds it all, and how much that costs depends on who else
uses them. Whatever grows with the hosts or with the jobs is beyond it by far."""
CYCLES = 4_000
"""In one round."""
ROUNDS = 7
FEW_JOBS, MANY_JOBS = 1_000, 1_000_000
FEW_HOSTS, MANY_HOSTS = 10, 10_000
HOSTS = 100
"""Where the waiting jobs are varied."""
JOBS = 20_000
"""Waiting, where the hosts are varied: the same number for both, more than a round takes."""

CASES = [
    *(pytest.param("jobs", shapes, marks=() if shapes == 1 else only_long) for shapes in (0, 1, 5, 50)),
    *(("hosts", shapes) for shapes in (0, 1, 5, 50)),
]
"""A million jobs that wait take half a minute to make: by `make bench` once."""

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def uncollected() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def cost(controller: BusyController) -> float:
    """CPU seconds of one life, over a round."""
    begin = time.process_time()
    controller.work(CYCLES)
    return (time.process_time() - begin) / CYCLES


def measured(small: BusyController, large: BusyController) -> tuple[float, float]:
    """Seconds for a job of both, in turns."""
    pairs = [(cost(small), cost(large)) for _ in range(ROUNDS)]
    for rig in (small, large):
        assert len(rig.running) == len(rig.controller.hosts) * SLOTS, "the hosts stayed full"
    return min(first for first, _ in pairs), min(second for _, second in pairs)


@pytest.mark.usefixtures("uncollected")
@pytest.mark.benchmark(group="matching")
@pytest.mark.parametrize(("varied", "shapes"), CASES)
def test_what_a_job_costs_does_not_grow(benchmark: BenchmarkFixture, figure: Figure, varied: str, shapes: int) -> None:
    if varied == "jobs":
        rigs = BusyController(HOSTS, FEW_JOBS, shapes), BusyController(HOSTS, MANY_JOBS, shapes)
        sizes = f"{FEW_JOBS:,} to {MANY_JOBS:,} waiting jobs"
    else:
        rigs = BusyController(FEW_HOSTS, JOBS, shapes), BusyController(MANY_HOSTS, JOBS, shapes)
        sizes = f"{FEW_HOSTS:,} to {MANY_HOSTS:,} hosts"
    found: list[tuple[float, float]] = []
    benchmark.pedantic(lambda: found.append(measured(*rigs)), rounds=1)  # type: ignore[no-untyped-call]
    small, large = found[0]
    growth = large / small
    benchmark.extra_info.update(growth=round(growth, 3), microseconds=round(small * 1e6, 1))
    what = "slots only" if not shapes else "1 shape" if shapes == 1 else f"{shapes} shapes"
    words = f"{small * 1e6:.0f} to {large * 1e6:.0f} us a job, x {growth:.2f}"
    figure(f"controller, {sizes}, {what}", words, f"x {GROWTH_MOST}")
    assert growth <= PASSED
