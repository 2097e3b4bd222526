"""A Controller whose hosts are full, and those that speak to it: for what a job costs there, in calls and in time.

Called by `test_cost_of_decisions.py` and by the benchmarks of matching and growth.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import count

from model.channel import ChannelTimes
from model.configuration import ClusterDefinition, HostDefinition
from model.controller import Controller
from model.effects import Effect, Transmit
from model.events import Delivered, LinkUp, Vouched
from model.job import SECOND, AttemptKey, JobId, JobSpec, Outcome, Report
from model.messages import Acknowledge, Assign, Batch, Ended, Inquire, Inventory, Message, Ping, Started
from model.resources import CPU, CPUS, GIBIBYTE, MEMORY, Needs
from model.superiors import SUPERIOR

SLOTS = 4
"""Of each host."""
GOOD = Report(Outcome.EXITED, 0, started=True)


class BusyController:
    """A controller whose hosts are full, and those that speak to it."""

    def __init__(self, hosts: int, pending: int, shapes: int, brief: bool = False) -> None:
        """`brief`: the jobs end before their hosts have said that they run, so that more are given ahead."""
        self.brief = brief
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
            self._say(name, Inventory((), self._inquiry, 1, SLOTS, gives_back=brief))
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

    def work(self, cycles: int) -> None:
        """So many whole lives: a host says that a job started and ended, gets the next one, the scheduler acknowledges
        the end and hands down another job."""
        for _ in range(cycles):
            self.now += 1000
            host, (job, attempt) = self.running.popleft()
            end = Ended(job, attempt, GOOD)
            self._say(host, *((end,) if self.brief else (Started(job, attempt, host), end)))
            self._say(SUPERIOR, Acknowledge(job, attempt))
            self._assign()
