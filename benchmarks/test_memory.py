"""Goal: a job in each of its states, and a host, take little of the server's memory.

Method: scheduler and controller as they are in a server, with nothing between them, and hosts that are played here;
what Python has allocated for them is counted (`tracemalloc`), so the figures are the same on each machine. A job is
followed through its life: waiting at the controller, running at a host, ended (of which nothing may stay but its item,
as long as its source may show it again). What a host takes is the difference of two controllers with different numbers
of them. Whole processes are measured in `test_start_up.py` and `test_all_at_once.py`, a million waiting jobs, most of
which stand in a line of the scheduler, in `test_pending_memory.py`.
"""

from __future__ import annotations

import gc
import tracemalloc
from collections import deque

import pytest
from msgspec import Struct
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import Figure
from benchmarks.scripted_server import once
from model.configuration import ClusterDefinition, HostDefinition
from model.controller import Controller
from model.effects import AskSource, Effect, Transmit
from model.events import Delivered, LinkUp, SourceAnswered, Vouched
from model.job import SECOND, AttemptKey, Outcome, Report
from model.messages import Assign, Batch, Ended, Inquire, Inventory, Message, Started
from model.scheduler import CONTROLLER, Scheduler
from model.superiors import SUPERIOR
from model.task import LinesSource, Periods, TaskDefinition

JOBS = 20_000
FEW_HOSTS, MANY_HOSTS = 10, 2_010
HOSTS = 20
WAITING_MOST, RUNNING_MOST, FINISHED_MOST, HOST_MOST = 1_150, 1_500, 400, 3_000
"""Bytes. Of a finished job its item and the item's place stay; tables keep their size until they are filled again."""
GOOD = Report(Outcome.EXITED, 0, started=True)

pytestmark = [pytest.mark.timeout(300), pytest.mark.benchmark(group="memory")]


class Played(Struct):
    """A host: what it says next, and what it was given."""

    name: str
    inquiry: int = 0
    sequence: int = 0


class Rig:
    """Scheduler and controller, and their hosts."""

    def __init__(self, hosts: int, slots: int) -> None:
        self.now = SECOND
        self.hosts = {f"node{number}": Played(f"node{number}") for number in range(hosts)}
        defined = tuple(HostDefinition(name, slots) for name in self.hosts)
        cluster = ClusterDefinition(hosts=defined, front_max=JOBS)
        task = TaskDefinition(
            "work",
            command=("reduce", "--quick", "$item"),
            source=LinesSource(("list",)),
            periods=Periods(exec_ns=3600 * SECOND, timeout_ns=0, pending_ns=0),
        )
        self.scheduler = Scheduler(1, self.now, cluster, (task,))
        self.controller = Controller(1, self.now, cluster)
        self.asked: deque[AskSource] = deque()
        self.given: dict[AttemptKey, str] = {}
        self.controller.receive(LinkUp(SUPERIOR), self.now)
        self.scheduler.receive(LinkUp(CONTROLLER), self.now)
        self.settle()

    def settle(self) -> None:
        """Until nobody has anything to say or to do."""
        while True:
            self.now += 1_000
            self.scheduler.advance(self.now)
            self.controller.advance(self.now)
            down, up = self.scheduler.drain(), self.controller.drain()
            for effect in down:
                self._carry_out(CONTROLLER, effect)
            for effect in up:
                self._carry_out(SUPERIOR, effect)
            due = self.scheduler.next_due()
            if not down and not up and (due is None or due > self.now + SECOND):
                return

    def _carry_out(self, listener: str, effect: Effect) -> None:
        if type(effect) is AskSource:
            self.asked.append(effect)
        elif type(effect) is Transmit and effect.peer == CONTROLLER:
            self.controller.receive(Delivered(SUPERIOR, effect.batch), self.now)
        elif type(effect) is Transmit and effect.peer == SUPERIOR:
            self.scheduler.receive(Delivered(CONTROLLER, effect.batch), self.now)
        elif type(effect) is Transmit and effect.peer in self.hosts:
            for message in effect.batch.messages:
                if type(message) is Assign:
                    self.given[message.job, message.attempt] = effect.peer
                elif type(message) is Inquire:
                    self.hosts[effect.peer].inquiry = message.number

    def connect(self, slots: int) -> None:
        """All hosts come up."""
        for name, host in self.hosts.items():
            self.controller.receive(LinkUp(name), self.now)
            self.settle()
            self.say(name, Inventory((), host.inquiry, 1, slots))
            self.controller.receive(Vouched(name, True), self.now)
        self.settle()

    def say(self, name: str, *messages: Message) -> None:
        host = self.hosts[name]
        host.sequence += 1
        self.controller.receive(Delivered(name, Batch(1, host.sequence, 1, messages)), self.now)
        self.settle()

    def show(self, jobs: int) -> None:
        """The source shows so many items."""
        question = self.asked.popleft()
        items = tuple(f"incoming/{number:07}.fits" for number in range(jobs))
        self.scheduler.receive(SourceAnswered(question.task, question.number, items), self.now)
        self.settle()


def allocated() -> int:
    """Bytes that Python's objects take now."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def bytes_of_jobs() -> dict[str, float]:
    """Of a job in each state."""
    rig = Rig(HOSTS, JOBS // HOSTS)
    start = allocated()
    rig.show(JOBS)
    assert rig.controller.queued == JOBS
    found = {"waiting": (allocated() - start) / JOBS}
    rig.connect(JOBS // HOSTS)
    assert len(rig.given) == JOBS, len(rig.given)
    for name in rig.hosts:
        keys = [key for key, host in rig.given.items() if host == name]
        rig.say(name, *(Started(job, attempt, name) for job, attempt in keys))
    assert sum(job.host != "" for job in rig.scheduler.jobs.values()) == JOBS
    own = sum(map(_size, rig.given))
    found["running"] = (allocated() - start - own) / JOBS
    for name in rig.hosts:
        keys = [key for key, host in rig.given.items() if host == name]
        rig.say(name, *(Ended(job, attempt, GOOD) for job, attempt in keys))
    assert not rig.scheduler.jobs
    rig.given.clear()
    found["finished"] = (allocated() - start) / JOBS
    return found


def _size(key: AttemptKey) -> int:
    """What the rig itself keeps of a job: a pair, and its place in a table."""
    return key.__sizeof__() + 16 + 100


def bytes_of_a_host() -> float:
    """Connected, with nothing to do."""
    sizes = []
    for hosts in (FEW_HOSTS, MANY_HOSTS):
        before = allocated()
        rig = Rig(hosts, 8)
        rig.connect(8)
        sizes.append(allocated() - before)
        del rig
    return (sizes[1] - sizes[0]) / (MANY_HOSTS - FEW_HOSTS)


def test_what_jobs_and_hosts_take(benchmark: BenchmarkFixture, figure: Figure) -> None:
    found: dict[str, float] = {}

    def measure() -> None:
        tracemalloc.start()
        try:
            found.update(bytes_of_jobs())
            found["host"] = bytes_of_a_host()
        finally:
            tracemalloc.stop()

    once(benchmark, measure)
    benchmark.extra_info.update({name: round(size) for name, size in found.items()})
    for state, most in (("waiting", WAITING_MOST), ("running", RUNNING_MOST), ("finished", FINISHED_MOST)):
        words = f"{found[state]:.0f} bytes in scheduler and controller, its item's name and place included"
        figure(f"memory of a job with an item, {state}", words, f"under {most:,} bytes")
    words = f"{found['host']:,.0f} bytes in the controller"
    figure("memory of a connected host, idle", words, f"under {HOST_MOST:,} bytes")
    assert found["waiting"] < WAITING_MOST
    assert found["running"] < RUNNING_MOST
    assert found["finished"] < FINISHED_MOST
    assert found["host"] < HOST_MOST
