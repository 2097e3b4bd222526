"""What a job, a look at a source or a byte costs as there is more of everything: the measuring of `test_growth.py`.

Each curve is a function of a size that gives one cost. A curve's sizes are measured in turns, from the smallest to the
largest and again, and the best of the rounds counts: CPU time of others' caches and clocks only ever adds.
"""

from __future__ import annotations

import asyncio
import gc
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from benchmarks.test_journal import lives
from benchmarks.test_matching import HOSTS, JOBS, cost
from benchmarks.test_wire import BATCHES, batches, linked
from benchmarks.whole_runs import dispatch_rate
from live.journal import Journal
from live.link import encode_batch
from model.configuration import ClusterDefinition
from model.job import LOCAL, SECOND, HostWish
from tests.model.busy_controller import BusyController
from tests.model.looking_tasks import LookingTasks
from tests.model.waiting_jobs import IN_ONE_TURN, Server

SHAPES = 5
LOOKS = 20_000
"""At least so many looks at sources make one figure."""
JOURNAL_JOBS = 250
"""In one transaction."""
BATCH_BYTES = 1 << 22
"""About so many bytes go over the link for one figure."""


class Curve(Struct, frozen=True):
    """`cost(size)` in `unit`. `over`: what the size is. `rounds`: how often each size is measured."""

    name: str
    over: str
    unit: str
    sizes: tuple[int, ...]
    cost: Callable[[int], float]
    rounds: int = 3


class Measured(Struct, frozen=True):
    """The best cost at each size of a curve."""

    name: str
    over: str
    unit: str
    costs: tuple[tuple[int, float], ...]

    @property
    def growth(self) -> float:
        """The last cost in times of the first."""
        return self.costs[-1][1] / self.costs[0][1]


def powers(first: int, last: int) -> tuple[int, ...]:
    """10 ** first … 10 ** last."""
    return tuple(10**power for power in range(first, last + 1))


def queued(jobs: int) -> float:
    controller = BusyController(HOSTS, jobs, SHAPES)
    return min(cost(controller) for _ in range(3)) * 1e6


def hosted(hosts: int) -> float:
    controller = BusyController(hosts, JOBS, SHAPES)
    return min(cost(controller) for _ in range(3)) * 1e6


def looked_at(tasks: int) -> float:
    """A source that has nothing new, in the scheduler."""
    world, looks = LookingTasks(tasks, 10 * SECOND), max(LOOKS, 2 * tasks)
    begin = time.process_time()
    world.look(looks)
    return (time.process_time() - begin) / looks * 1e6


def accepted(jobs: int) -> float:
    """From the order to the place in the controller's queue."""
    server = Server()
    begin = time.process_time()
    server.submit(max(jobs, IN_ONE_TURN), item=True)
    return (time.process_time() - begin) / max(jobs, IN_ONE_TURN) * 1e6


def waiting_bytes(jobs: int) -> float:
    server = Server()
    gc.collect()
    tracemalloc.start()
    try:
        server.submit(jobs, item=True)
        gc.collect()
        return tracemalloc.get_traced_memory()[0] / jobs
    finally:
        tracemalloc.stop()


def journalled(jobs: int) -> float:
    """The records of whole lives, on the disk, by the clock on the wall."""
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder) / "journal.sqlite")
        spent = 0.0
        try:
            each = min(jobs, JOURNAL_JOBS)
            for first in range(1, jobs, each):
                batch = lives(first, each)
                begin = time.perf_counter()
                journal.append(batch)
                spent += time.perf_counter() - begin
        finally:
            journal.close()
    return spent / jobs * 1e6


def sent(jobs: int) -> float:
    """A byte over a link, in batches of so many jobs: encoding, sending, receiving, decoding, by the clock."""
    size = len(encode_batch(batches(jobs, 1)[0]))
    said = batches(jobs, max(3, min(BATCHES, BATCH_BYTES // size)))
    return asyncio.run(linked(said, jobs)) / (len(said) * size) * 1e9


def lived(jobs: int) -> float:
    """A `/bin/true` through a real server, by the clock: from the first job accepted to the last end on the disk."""
    with tempfile.TemporaryDirectory() as folder:
        cluster, host = ClusterDefinition(local_slots=64), HostWish(LOCAL, required=True)
        return 1e6 / dispatch_rate(Path(folder) / "run", cluster, host, jobs)


CURVES = (
    Curve("controller: a job's whole life there", "jobs that wait", "us of CPU", powers(2, 6), queued, 2),
    Curve("controller: a job's whole life there", "hosts", "us of CPU", powers(0, 4), hosted, 2),
    Curve("scheduler and controller: a job is accepted and queued", "jobs", "us of CPU", powers(3, 6), accepted, 2),
    Curve("memory of a job that waits, with an item", "jobs that wait", "bytes", powers(3, 5), waiting_bytes, 1),
    Curve("scheduler: a look at a source", "tasks", "us of CPU", powers(0, 4), looked_at),
    Curve("journal: the four records of a job", "jobs in the journal", "us", powers(2, 6), journalled, 1),
    Curve("link: a byte", "jobs in a batch", "ns", powers(0, 4), sent),
    Curve("real server: a local /bin/true", "jobs", "us", powers(2, 4), lived, 2),
)


def measure(curve: Curve) -> Measured:
    """All sizes, in turns."""
    rounds = [[_cost(curve, size) for size in curve.sizes] for _ in range(curve.rounds)]
    best = tuple((size, min(costs)) for size, *costs in zip(curve.sizes, *rounds, strict=True))
    return Measured(curve.name, curve.over, curve.unit, best)


def _cost(curve: Curve, size: int) -> float:
    """The collector is switched off, as in simulation: what it costs is the heap's size, not this work's doing."""
    gc.collect()
    gc.disable()
    try:
        return curve.cost(size)
    finally:
        gc.enable()
