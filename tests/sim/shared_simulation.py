"""A simulated world in which several schedulers use one controller, and what each of them sees of its event log.

The world's own scheduler is superior 0; the others are nodes `scheduler/NAME` with tasks and journals of their own, and
no computer of their own. `View` makes of the whole log the one that a scheduler alone would have made, with its own
numbers of jobs, so that the oracle can judge what it was promised; `Capacity` judges what hosts run for all of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from msgspec.structs import replace

from model.configuration import Configuration
from model.job_numbers import JOBS_BITS, JOBS_MAX
from model.messages import Accepted, Acknowledge, Assign, Batch, Cancel, Ended, Inventory, Message, Started
from model.records import AttemptEnded, AttemptGiven, AttemptReturned, JobAccepted, Record
from model.restored import fold
from model.scheduler import Scheduler
from model.superiors import peer_of
from model.task import TaskDefinition
from sim.calendar import REPLY, TURN
from sim.faults import CONTROLLER, SCHEDULER
from sim.log import (
    Committed,
    EventLog,
    Header,
    Life,
    Line,
    LinkChanged,
    ProcessEnded,
    ProcessStarted,
    Sent,
    Sized,
)
from sim.oracle import Oracle
from sim.scenario import Scenario
from sim.world import World

OF_JOBS = (Accepted, Acknowledge, Assign, Cancel, Ended, Started)


def node_of(name: str) -> str:
    """The node of the scheduler of this name; empty: the world's own."""
    return f"{SCHEDULER}/{name}" if name else SCHEDULER


class SharedSimulation(World):
    """`others`: the tasks of each further scheduler. They connect in this order, so that is the order of their
    numbers."""

    def __init__(
        self,
        configuration: Configuration,
        scenario: Scenario,
        log: EventLog,
        others: Mapping[str, tuple[TaskDefinition, ...]],
    ) -> None:
        self.others = {node_of(name): (number, name, tasks) for number, (name, tasks) in enumerate(others.items(), 1)}
        super().__init__(configuration, scenario, log)
        for number, node in enumerate(self.others):
            self.calendar.call_after(number, REPLY, self._starter(node))

    def _starter(self, node: str) -> Callable[[], None]:
        return lambda: self.start_node(node)

    def _build(self) -> None:
        super()._build()
        controller = self.nodes[CONTROLLER]
        for node, (_, name, _) in self.others.items():
            scheduler = self._add_node(node, TURN)
            self._add_link(
                scheduler, controller, CONTROLLER, self.scenario.network.controller_ns, 0, upward=peer_of(name)
            )
            scheduler.journal = []
        controller.journal = controller.journal or []

    def start_node(self, name: str) -> None:
        if name not in self.others:
            super().start_node(name)
            if name == CONTROLLER:
                for node in self.others:
                    self.network.keep(self.network.links[node, CONTROLLER])
            return
        node = self.nodes[name]
        node.epoch += 1
        self.log.add(Life(self.calendar.now, name, node.epoch))
        restored = fold(node.journal or ()).scheduler
        now = node.clock.read(self.calendar.now)
        node.start(Scheduler(node.epoch, now, self.configuration.cluster, self.others[name][2], restored))
        self._tell_wall_clock(node)
        self.network.keep(self.network.links[name, CONTROLLER])

    def _durable(self, name: str, record: Record) -> None:
        if name not in self.others:
            super()._durable(name, record)
            return
        base = self.others[name][0] << JOBS_BITS
        self.log.add(Committed(self.calendar.now, name, record))
        journal = self.nodes[name].journal
        assert journal is not None
        journal.append(record)
        if isinstance(record, JobAccepted):  # below everybody knows the job by its other number
            self.weather.accepted(replace(record, job=base | record.job), self.calendar.now)
        elif isinstance(record, AttemptEnded) and record.final:
            self.weather.final(base | record.job)  # type: ignore[arg-type]

    def crash(self, name: str, at_ns: int, for_ns: int) -> None:
        """The scheduler of this name is killed then, and started again."""
        node = node_of(name)

        def stop() -> None:
            if self.nodes[node].machine is not None:
                self.stop_node(node, "connection reset: killed")

        def start() -> None:
            if self.nodes[node].machine is None:
                self.start_node(node)

        self.calendar.call_after(at_ns, REPLY, stop)
        self.calendar.call_after(at_ns + for_ns, REPLY, start)

    def jobs_left(self) -> dict[str, int]:
        """Unfinished jobs of each of the others."""
        found: dict[str, int] = {}
        for node in self.others:
            machine = self.nodes[node].machine
            found[node] = len(machine.jobs) if isinstance(machine, Scheduler) else -1
        return found


class View:
    """Reads the whole log, and shows an oracle the part of one scheduler."""

    def __init__(self, number: int, name: str, tasks: tuple[TaskDefinition, ...]) -> None:
        self.oracle = Oracle()
        self.lines = 0
        self.oracle.listen(lambda: self.lines)
        self._number = number
        self._node = node_of(name)
        self._limits = {task.name: (task.limits.in_flight, task.limits.total) for task in tasks}
        everything = dict.fromkeys(self.oracle.table, self._pass)
        own: dict[type, Callable[[Any], Line | None]] = {
            Header: self._header,
            Committed: self._committed,
            Sent: self._sent,
            ProcessStarted: self._process,
            ProcessEnded: self._process,
            LinkChanged: self._named,
            Life: self._named,
        }
        self.table: dict[type, Callable[[Any], None]] = {
            kind: self._reader(own.get(kind, check)) for kind, check in everything.items()
        }

    def _reader(self, of: Callable[[Any], Line | None]) -> Callable[[Any], None]:
        def read(line: Any) -> None:
            seen = of(line)
            if seen is not None:
                self.lines += 1
                self.oracle.table[type(seen)](seen)

        return read

    def _pass(self, line: Line) -> Line:
        return line

    def _header(self, line: Header) -> Header:
        """Who waits is not judged: others may be in the room."""
        return replace(line, limits=self._limits, backoff_ns=0)

    def _own_name(self, node: str) -> str | None:
        """What the node is called where there is one scheduler only; None: it is another scheduler."""
        if node == self._node:
            return SCHEDULER
        return None if node.startswith(SCHEDULER) else node

    def _named(self, line: Any) -> Line | None:
        name = self._own_name(line.node)
        return None if name is None else replace(line, node=name)

    def _job(self, below: int) -> int | None:
        return below & (JOBS_MAX - 1) if below >> JOBS_BITS == self._number else None

    def _committed(self, line: Committed) -> Line | None:
        if line.node == CONTROLLER and isinstance(line.record, AttemptGiven | AttemptReturned):
            job = self._job(line.record.job)
            return None if job is None else replace(line, record=replace(line.record, job=job))
        return self._named(line)

    def _sent(self, line: Sent) -> Line | None:
        node, to = self._own_name(line.node), self._own_name(line.to)
        if node is None or to is None:
            return None
        if SCHEDULER in (node, to):
            return replace(line, node=node, to=to)
        messages = [self._message(message) for message in line.batch.messages]
        kept = tuple(message for message in messages if message is not None)
        return replace(line, batch=Batch(line.batch.epoch, line.batch.sequence, line.batch.receiver_epoch, kept))

    def _message(self, message: Message) -> Message | None:
        if isinstance(message, OF_JOBS):
            job = self._job(message.job)
            return None if job is None else replace(message, job=job)  # type: ignore[arg-type]
        if isinstance(message, Inventory):
            mine = [(entry, self._job(entry.job)) for entry in message.entries]
            entries = tuple(replace(entry, job=job) for entry, job in mine if job is not None)
            return replace(message, entries=entries)
        return message

    def _process(self, line: Any) -> Line | None:
        job = self._job(line.job)
        return None if job is None else replace(line, job=job)


class Capacity:
    """No host runs more than it has slots, whosever jobs they are; and nothing is started twice."""

    def __init__(self) -> None:
        self.broken: list[str] = []
        self.begun: Counter[int] = Counter()
        """processes that were started, by superior"""
        self._slots: dict[str, int] = {}
        self._running: Counter[str] = Counter()
        self._ran: set[tuple[int, int]] = set()
        self.table: dict[type, Callable[[Any], None]] = {
            Header: self._header,
            Sized: self._sized,
            ProcessStarted: self._started,
            ProcessEnded: self._ended,
        }

    def _header(self, line: Header) -> None:
        self._slots = dict(line.slots)

    def _sized(self, line: Sized) -> None:
        self._slots[line.node] = line.slots

    def _started(self, line: ProcessStarted) -> None:
        self.begun[line.job >> JOBS_BITS] += 1
        self._running[line.node] += line.slots
        if self._running[line.node] > self._slots[line.node]:
            self.broken.append(f"{self._running[line.node]} slots run on {line.node}")
        if (line.job, line.attempt) in self._ran:
            self.broken.append(f"attempt {line.attempt} of {line.job} was started twice")
        self._ran.add((line.job, line.attempt))

    def _ended(self, line: ProcessEnded) -> None:
        self._running[line.node] -= line.slots
