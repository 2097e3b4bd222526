"""Goal: what a job costs the controller does not grow with the jobs that wait or with the hosts, whatever jobs need.

Method: the Controller machine alone, all hosts full and so many jobs waiting. One cycle is a whole life there: a host
says that a job started and ended, the next one is given, the scheduler acknowledges the end and hands down another job.
CPU time for each cycle; small and large are measured in turns in the same run, the collector switched off as in
simulation (what it costs is the heap's size, not the controller's doing), and the best of the rounds is compared.

Required: at most 20 % more with 1,000,000 waiting jobs than with 1,000, and with 10,000 hosts than with 10, for jobs
of 1, 5 and 50 shapes. What a shape costs is shown, and not judged: a mark for each one at each change of a host.
"""

from __future__ import annotations

import gc
import time
from collections import deque
from collections.abc import Iterator
from itertools import count

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import Figure
from model.channel import ChannelTimes
from model.configuration import ClusterDefinition, HostDefinition
from model.controller import Controller
from model.effects import Effect, Transmit
from model.events import Delivered, LinkUp, Vouched
from model.job import SECOND, AttemptKey, JobId, JobSpec, Outcome, Report
from model.messages import Acknowledge, Assign, Batch, Ended, Inquire, Inventory, Message, Ping, Started
from model.resources import CPU, CPUS, GIBIBYTE, MEMORY, Needs
from model.superiors import SUPERIOR

GROWTH_MOST = 1.2
"""Cost for each job, large against small."""
CYCLES = 4_000
"""In one round."""
ROUNDS = 7
SLOTS = 4
FEW_JOBS, MANY_JOBS = 1_000, 1_000_000
FEW_HOSTS, MANY_HOSTS = 10, 10_000
HOSTS = 100
"""Where the waiting jobs are varied."""
JOBS = 20_000
"""Waiting, where the hosts are varied: the same number for both, more than a round takes."""
GOOD = Report(Outcome.EXITED, 0, started=True)

pytestmark = pytest.mark.timeout(600)


class Rig:
    """A controller whose hosts are full, and those that speak to it."""

    def __init__(self, hosts: int, pending: int, shapes: int) -> None:
        names = [f"node{number}" for number in range(hosts)]
        resources = ((CPUS, SLOTS * 2 * CPU), (MEMORY, SLOTS * 2 * GIBIBYTE))
        cluster = ClusterDefinition(
            hosts=tuple(HostDefinition(name, SLOTS, resources=resources) for name in names),
            pending_max=1 << 40,
            times=ChannelTimes(lease_ns=1000 * 3600 * SECOND),
        )
        self.now = SECOND
        self.specs = [self._spec(number) for number in range(shapes)] if shapes else [JobSpec("t", ("x",))]
        self.controller = Controller(1, self.now, cluster)
        self.running: deque[tuple[str, AttemptKey]] = deque()
        self.jobs = 0
        self._sequence: dict[str, Iterator[int]] = {}
        self._hear(self.controller.drain())
        self._say(SUPERIOR, Inquire(1), Ping(1, 1000 * 3600 * SECOND, 1))
        for name in names:
            self.controller.receive(LinkUp(name), self.now)
            self._hear(self.controller.drain())
            self._say(name, Inventory((), self._inquiry, 1, SLOTS))
            self.controller.receive(Vouched(name, True), self.now)
        for _ in range(hosts * SLOTS + pending):
            self._assign()
        assert len(self.running) == hosts * SLOTS
        assert self.controller.queued == pending

    @staticmethod
    def _spec(number: int) -> JobSpec:
        """Some two fit into a slot's share of the resources, so slots and resources both decide."""
        needs = Needs(((CPUS, CPU + 7 * number), (MEMORY, GIBIBYTE + (number << 20))))
        return JobSpec("t", ("x",), needs=needs)

    _inquiry = 1

    def _say(self, peer: str, *messages: Message) -> None:
        numbers = self._sequence.setdefault(peer, count(1))
        self.controller.receive(Delivered(peer, Batch(1, next(numbers), 1, messages)), self.now)
        self._hear(self.controller.drain())

    def _hear(self, effects: list[Effect]) -> None:
        for effect in effects:
            if type(effect) is Transmit and effect.peer != SUPERIOR:
                for message in effect.batch.messages:
                    if type(message) is Assign:
                        self.running.append((effect.peer, (message.job, message.attempt)))
                    elif type(message) is Inquire:
                        self._inquiry = message.number

    def _assign(self) -> None:
        self.jobs += 1
        spec = self.specs[self.jobs % len(self.specs)]
        self._say(SUPERIOR, Assign(JobId(self.jobs), 1, spec))

    def cost(self) -> float:
        """CPU seconds of one life, over a round."""
        begin = time.process_time()
        for _ in range(CYCLES):
            self.now += 1000
            host, (job, attempt) = self.running.popleft()
            self._say(host, Started(job, attempt, host), Ended(job, attempt, GOOD))
            self._say(SUPERIOR, Acknowledge(job, attempt))
            self._assign()
        return (time.process_time() - begin) / CYCLES


@pytest.fixture
def uncollected() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def measured(small: Rig, large: Rig) -> tuple[float, float]:
    """Seconds for a job of both, in turns."""
    pairs = [(small.cost(), large.cost()) for _ in range(ROUNDS)]
    for rig in (small, large):
        assert len(rig.running) == len(rig.controller.hosts) * SLOTS, "the hosts stayed full"
    return min(first for first, _ in pairs), min(second for _, second in pairs)


@pytest.mark.usefixtures("uncollected")
@pytest.mark.benchmark(group="matching")
@pytest.mark.parametrize("shapes", [0, 1, 5, 50])
@pytest.mark.parametrize("varied", ["jobs", "hosts"])
def test_what_a_job_costs_does_not_grow(benchmark: BenchmarkFixture, figure: Figure, varied: str, shapes: int) -> None:
    if varied == "jobs":
        rigs = Rig(HOSTS, FEW_JOBS, shapes), Rig(HOSTS, MANY_JOBS, shapes)
        sizes = f"{FEW_JOBS:,} to {MANY_JOBS:,} waiting jobs"
    else:
        rigs = Rig(FEW_HOSTS, JOBS, shapes), Rig(MANY_HOSTS, JOBS, shapes)
        sizes = f"{FEW_HOSTS:,} to {MANY_HOSTS:,} hosts"
    found: list[tuple[float, float]] = []
    benchmark.pedantic(lambda: found.append(measured(*rigs)), rounds=1)  # type: ignore[no-untyped-call]
    small, large = found[0]
    growth = large / small
    benchmark.extra_info.update(growth=round(growth, 3), microseconds=round(small * 1e6, 1))
    what = "slots only" if not shapes else "1 shape" if shapes == 1 else f"{shapes} shapes"
    words = f"{small * 1e6:.0f} to {large * 1e6:.0f} us a job, x {growth:.2f}"
    figure(f"controller, {sizes}, {what}", words, f"x {GROWTH_MOST}")
    assert growth <= GROWTH_MOST
