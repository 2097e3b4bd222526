"""What one scheduler alone would have seen of the event log of a world in which several use one controller, and the log
of all of them as that of one.

`View` shows a reader the lines of one scheduler, as if it were alone, under its own numbers of jobs and the plain names
of its nodes: so the oracle judges what that scheduler was promised, and its waits are measured as ever. `Everybody`
shows a reader all jobs as those of one scheduler, of which each task is called `SCHEDULER.TASK`. `Capacity` judges what
hosts run for all of them. Nothing is asked of a machine. Called by `sim/oracles.py`, `sim/simulation.py` and
`sim/shared_measuring.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast, get_args

from msgspec.structs import replace

from model.job import LOCAL
from model.job_numbers import JOBS_BITS, own_number, superior_of
from model.messages import Accepted, Acknowledge, Assign, Batch, Cancel, Ended, Inventory, Message, Started
from model.records import AttemptGiven, AttemptReturned, ItemsFound, JobAccepted, Record, SuperiorKnown, TaskChanged
from sim.log import (
    Committed,
    FaultChanged,
    Header,
    Life,
    Line,
    LineReader,
    LinkChanged,
    Noticed,
    ProcessEnded,
    ProcessStarted,
    Reader,
    Sent,
    Shared,
    Sized,
)
from sim.paths import CONTROLLER, SCHEDULER
from sim.scenario import Scenario, Sharer, node_of

OF_JOBS = (Accepted, Acknowledge, Assign, Cancel, Ended, Started)
"""Messages about one attempt."""
_OF_CONTROLLER = (AttemptGiven, AttemptReturned)
"""Records of the controller about one attempt."""
_RECORDS = frozenset(get_args(Record))


def for_all(scenario: Scenario, reader: Reader) -> Reader:
    """Let a reader that knows one scheduler read the log of this world."""
    return Everybody(scenario.schedulers, reader) if scenario.schedulers else reader


def with_shown(readers: Iterable[Reader]) -> tuple[Reader, ...]:
    """These readers, and those to which translators among them show lines: all whose state somebody may look at."""
    return tuple(each for one in readers for each in ((one, one.reader) if isinstance(one, Translator) else (one,)))


Translation = Callable[[Any], Line | None]
"""A line as it is shown; None: not at all."""


class Translator:
    """Shows `reader` each line that it wants as `of` translates lines of its kind (those that are not named: as they
    are); all records by `of[Committed]`."""

    def __init__(self, reader: Reader, of: Mapping[type, Translation]) -> None:
        self._names: dict[int, str] = {}
        """of schedulers, by their numbers at the controller"""
        self.reader = reader
        self.table: dict[type, LineReader] = {
            kind: _translated(of.get(Committed if kind in _RECORDS else kind), read)
            for kind, read in reader.table.items()
        }
        """for `EventLog`"""
        then = self.table.get(SuperiorKnown)
        self.table[SuperiorKnown] = self._known if then is None else _both(self._known, then)

    def _known(self, line: Committed) -> None:
        record: SuperiorKnown = line.record  # type: ignore[assignment]
        self._names[record.number] = record.name


def _translated(of: Translation | None, read: LineReader) -> LineReader:
    if of is None:
        return read

    def show(line: Any) -> None:
        seen = of(line)
        if seen is not None:
            read(seen)

    return show


class View(Translator):
    """One scheduler's."""

    def __init__(self, sharer: Sharer, reader: Reader, *, scripted: bool) -> None:
        """`scripted`: it runs task scripts, which may change limits."""
        self._name = sharer.name
        self._own = {node_of(word, sharer.name): word for word in (SCHEDULER, LOCAL)}
        tasks = () if scripted else sharer.configuration.tasks
        self._limits = {task.name: (task.limits.in_flight, task.limits.total) for task in tasks}
        of: dict[type, Translation] = dict.fromkeys((LinkChanged, Life, Noticed, Sized, Shared), self._named)
        of |= {Header: self._header, Committed: self._committed, Sent: self._sent, FaultChanged: self._fault}
        super().__init__(reader, of | dict.fromkeys((ProcessStarted, ProcessEnded), self._process))

    def _own_name(self, node: str) -> str | None:
        """What the node is called where there is one scheduler only; None: it is another scheduler's."""
        return self._own.get(node) if "/" in node else node

    def _header(self, line: Header) -> Header:
        """Who waits is not judged: others may be in the room."""
        slots = {own: number for node, number in line.slots.items() if (own := self._own_name(node)) is not None}
        inside = tuple(self._own[one] for pair in line.inside for one in pair if one in self._own)
        pairs = tuple(zip(inside[::2], inside[1::2], strict=True))
        return replace(line, slots=slots, inside=pairs, limits=self._limits, backoff_ns=0)

    def _named(self, line: Any) -> Line | None:
        name = self._own_name(line.node)
        return None if name is None else replace(line, node=name)

    def _fault(self, line: FaultChanged) -> FaultChanged | None:
        nodes = tuple(self._own_name(node) for node in line.nodes)
        return None if None in nodes else replace(line, nodes=cast("tuple[str, ...]", nodes))

    def _job(self, below: int) -> int | None:
        return own_number(below) if self._names.get(superior_of(below)) == self._name else None

    def _committed(self, line: Committed) -> Line | None:
        if line.node == CONTROLLER and isinstance(line.record, _OF_CONTROLLER):
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
            return None if job is None else replace(message, job=job)
        if isinstance(message, Inventory):
            mine = [(entry, self._job(entry.job)) for entry in message.entries]
            entries = tuple(replace(entry, job=job) for entry, job in mine if job is not None)
            return replace(message, entries=entries)
        return message

    def _process(self, line: Any) -> Line | None:
        own = self._own_name(line.node)
        if own is None:
            return None
        if own == LOCAL:
            return cast("Line", replace(line, node=own))
        job = self._job(line.job)
        return None if job is None else replace(line, job=job)


class Everybody(Translator):
    """All of them as one. A job's number is made of its scheduler's place in `sharers`, from 1, and its own number.
    Only for readers of records, processes, sizes and faults; computers of schedulers are `local` together. The limits
    of tasks are told that no script can change."""

    def __init__(self, sharers: tuple[Sharer, ...], reader: Reader) -> None:
        self._places = {sharer.name: place << JOBS_BITS for place, sharer in enumerate(sharers, 1)}
        self._of_node = {node_of(SCHEDULER, sharer.name): sharer for sharer in sharers}
        self._locals = {node_of(LOCAL, sharer.name): sharer.name for sharer in sharers}
        self._limits = {
            sharer.task_of(task.name): (task.limits.in_flight, task.limits.total)
            for sharer in sharers if not sharer.configuration.language.scripts
            for task in sharer.configuration.tasks
            if not task.prepare and not any(handler.script for handler in task.handlers)
        }  # fmt: skip
        of: dict[type, Translation] = {Header: self._header, Committed: self._committed}
        super().__init__(reader, of | dict.fromkeys((ProcessStarted, ProcessEnded), self._process))

    def _header(self, line: Header) -> Header:
        slots = {LOCAL: sum(line.slots.get(node, 0) for node in self._locals)}
        slots |= {node: number for node, number in line.slots.items() if node not in self._locals}
        return replace(line, slots=slots, limits=self._limits)

    def _below(self, job: int) -> int:
        return self._places[self._names[superior_of(job)]] | own_number(job)

    def _committed(self, line: Committed) -> Line | None:
        record: Any = line.record
        sharer = self._of_node.get(line.node)
        if sharer is None:
            if isinstance(record, _OF_CONTROLLER):
                return replace(line, record=replace(record, job=self._below(record.job)))
            return line
        if hasattr(record, "job"):
            record = replace(record, job=self._places[sharer.name] | record.job)
        if isinstance(record, JobAccepted):
            spec = record.spec
            record = replace(record, spec=replace(spec, task=sharer.task_of(spec.task)))
        elif isinstance(record, ItemsFound | TaskChanged):
            record = replace(record, task=sharer.task_of(record.task))
        return Committed(line.t, SCHEDULER, record)

    def _process(self, line: Any) -> Line | None:
        name = self._locals.get(line.node)
        if name is None:
            return cast("Line", replace(line, job=self._below(line.job)))
        return cast("Line", replace(line, node=LOCAL, job=self._places[name] | line.job))


class Capacity:
    """No host runs more than it has slots, whosever jobs they are."""

    def __init__(self, broken: Callable[[int, str, str], None]) -> None:
        """`broken`: told when (ns), which promise, and how."""
        self._broken = broken
        self._slots: dict[str, int] = {}
        self._running: Counter[str] = Counter()
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
        self._running[line.node] += line.slots
        running, slots = self._running[line.node], self._slots[line.node]
        if running > slots:
            self._broken(line.t, "capacity", f"{running} slots run on {line.node} for all schedulers, it has {slots}")

    def _ended(self, line: ProcessEnded) -> None:
        self._running[line.node] -= line.slots


def _both(first: LineReader, second: LineReader) -> LineReader:
    def read(line: Any) -> None:
        first(line)
        second(line)

    return read
