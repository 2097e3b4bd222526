"""What happened when: the course of a run for pictures, read from the event log in one pass.

Processes as spans on hosts, slots and waiting jobs over time, why jobs waited and how long, faults, and each job's
wait. A reader of `EventLog`; why jobs wait is folded by `sim/waiting.py`. Drawn by `shell/report/`.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable
from enum import Enum
from typing import Any

from msgspec import Struct

from model.events import HostVerb
from model.job import LOCAL, AttemptKey, JobId
from model.records import SET_ASIDE, WELL, AttemptEnded, AttemptGiven, HostChanged
from sim.faults import MOMENTS, SCHEDULER
from sim.host_states import AWAY, HostStates
from sim.log import Committed, FaultChanged, Finished, Header, ProcessEnded, ProcessStarted, Sized
from sim.measuring import judge_attempt
from sim.series import Most, Series
from sim.tally import outcome_name
from sim.unused_slots import UnusedSlots
from sim.waiting import Waiting

_PERSON = (HostVerb.DRAIN.value, HostVerb.OFF.value)
_CLOSED = (*_PERSON, SET_ASIDE)
_OVER = {**dict.fromkeys(_PERSON, _PERSON), HostVerb.ON.value: _CLOSED, SET_ASIDE: (SET_ASIDE,), WELL: (SET_ASIDE,)}
"""Which spans of `Timeline.closed` end with what is recorded of a host."""
_OVER_AT_ONCE = frozenset(kind.value for kind in MOMENTS)
NONE = -1


class Verdict(Enum):
    """For what a process ran."""

    GOOD = "good"
    REJECTED = "rejected"
    LOST = "lost"
    RUNNING = "running"
    """at the end, or its end is not known to the scheduler"""


VERDICTS = tuple(Verdict)
_CODES = {verdict.value: code for code, verdict in enumerate(VERDICTS)}
_UNKNOWN = _CODES[Verdict.RUNNING.value]


class Spans(Struct):
    """Processes: columns of one table. `end` NONE: it runs at the end."""

    host: array[int]
    task: array[int]
    start: array[int]
    end: array[int]
    slots: array[int]
    verdict: array[int]
    """an index of `VERDICTS`"""

    @classmethod
    def none(cls) -> Spans:
        """Of a run that has just begun."""
        return cls(array("l"), array("l"), array("q"), array("q"), array("l"), array("b"))


class FaultSpan(Struct):
    """A fault, from its beginning to its end."""

    kind: str
    nodes: tuple[str, ...]
    start: int
    end: int = NONE


class Timeline:
    """Takes the lines of a log while they are made; what was seen is in its attributes, after the last line."""

    def __init__(self) -> None:
        self.hosts: dict[str, int] = {}
        """slots of each host, `local` included"""
        self.tasks: list[str] = []
        self.spans = Spans.none()
        self.series = Series()
        self.faults: list[FaultSpan] = []
        self.down: dict[str, list[FaultSpan]] = {}
        """times in which a host did not answer, by host; overlapping ones too"""
        self.closed: dict[str, list[FaultSpan]] = {}
        """times in which a person had a host drained or off, or it was set aside (`kind`), by host"""
        self.waits: dict[str, array[int]] = {}
        """of each task: from the making of a job to its first start"""
        self.lost: Counter[tuple[str, str]] = Counter()
        """(task, outcome): slots x ns of processes that ended so, for nothing"""
        self.end = 0
        self._task_numbers: dict[str, int] = {}
        self._host_numbers: dict[str, int] = {}
        self._of: dict[AttemptKey, int] = {}
        """processes whose end or whose verdict is not known yet: the row of `spans`"""
        self._started: dict[JobId, bool] = {}
        self._states = HostStates()
        self._open_faults: dict[tuple[str, tuple[str, ...]], list[FaultSpan]] = {}
        """several of a kind may be at one place at a time: the first that began ends first"""
        self._unused = UnusedSlots()
        self._waiting = Waiting(self.series, self._states)

    @property
    def hurt(self) -> Counter[tuple[str, str, str]]:
        """(task, `Reason`'s value, host): how long jobs waited for that reason, jobs x ns."""
        return self._waiting.hurt

    @property
    def most_waiting(self) -> Most:
        """Jobs that waited at once, each for `sim.waiting.BRIEF_NS` or longer; after the last line."""
        return self._waiting.most

    @property
    def most_slots(self) -> dict[str, Most]:
        """That were away at once, by `NOT_FREE`."""
        return self._unused.most

    @property
    def table(self) -> dict[type, Callable[[Any], None]]:
        """For `EventLog`: what it wants to read."""
        return {
            Header: self._header,
            Sized: self._sized,
            **dict.fromkeys(self._waiting.records, self._decided),
            AttemptEnded: self._attempt_ended,
            AttemptGiven: self._given,
            HostChanged: self._host_changed,
            ProcessStarted: self._process_started,
            ProcessEnded: self._process_ended,
            FaultChanged: self._fault,
            Finished: self._finished,
        }

    # hosts and faults

    def _header(self, line: Header) -> None:
        self._waiting.limit(line.limits)
        for name, slots in line.slots.items():
            self._size(name, slots, 0)

    def _sized(self, line: Sized) -> None:
        self._size(line.node, line.slots, line.t)

    def _size(self, name: str, slots: int, now: int) -> None:
        self._waiting.has_host(name, now)
        self._unused.size(name, slots, now)
        self.hosts[name] = slots
        self._host_numbers.setdefault(name, len(self._host_numbers))

    def _fault(self, line: FaultChanged) -> None:
        key = (line.kind, line.nodes)
        self._waiting.fault(line)
        change = self._states.fault(line)
        if line.on:
            span = FaultSpan(line.kind, line.nodes, line.t)
            self.faults.append(span)
            if line.kind in _OVER_AT_ONCE:
                span.end = line.t
            else:
                self._open_faults.setdefault(key, []).append(span)
            if change.host and line.kind in AWAY:
                self.down.setdefault(change.host, []).append(span)
        else:
            known = self._open_faults.get(key)
            if known:
                known.pop(0).end = line.t
        if change.power is not None or change.answers is not None:
            self._unused.fault(change.host, change.power, change.answers, line.t)

    # records

    def _decided(self, line: Committed) -> None:
        if line.node == SCHEDULER:
            self._waiting.decided(line.record, line.t)

    def _given(self, line: Committed) -> None:
        self._waiting.given(line.record.job, line.t)  # type: ignore[union-attr]

    def _host_changed(self, line: Committed) -> None:
        record: HostChanged = line.record  # type: ignore[assignment]
        now = line.t
        self._waiting.host_changed(record, now)
        self._unused.changed(record.host, record.verb, now)
        over = _OVER.get(record.verb)
        if over is not None:
            spans = self.closed.setdefault(record.host, [])
            for span in spans:
                if span.end == NONE and span.kind in over:
                    span.end = now
            if record.verb in _CLOSED:
                spans.append(FaultSpan(record.verb, (record.host,), now))

    def _attempt_ended(self, line: Committed) -> None:
        record: AttemptEnded = line.record  # type: ignore[assignment]
        number, now = record.job, line.t
        job = self._waiting.jobs.get(number)
        if job is None or line.node != SCHEDULER:
            return
        judged = judge_attempt(record)
        row = self._of.get((number, record.attempt))
        if row is not None:
            self.spans.verdict[row] = _CODES[judged]
            if self.spans.end[row] != NONE:
                del self._of[number, record.attempt]
            if judged == Verdict.LOST.value:
                end = self.spans.end[row] if self.spans.end[row] != NONE else now
                used = (end - self.spans.start[row]) * self.spans.slots[row]
                self.lost[job.task, outcome_name(record.report)] += used
        if record.final:
            self._started.pop(number, None)
        self._waiting.decided(record, now)

    # processes

    def _process_started(self, line: ProcessStarted) -> None:
        number = line.job
        known = self._waiting.jobs.get(number)
        task = "" if known is None else known.task
        spans = self.spans
        self._of[number, line.attempt] = len(spans.start)
        spans.host.append(self._host_numbers.setdefault(line.node, len(self._host_numbers)))
        spans.task.append(self._task_number(task))
        spans.start.append(line.t)
        spans.end.append(NONE)
        spans.slots.append(line.slots)
        spans.verdict.append(_UNKNOWN)
        if known is not None and number not in self._started:
            self._started[number] = True
            self.waits.setdefault(task, array("q")).append(line.t - known.at)
        self._waiting.started(number, line.t)

    def _task_number(self, task: str) -> int:
        number = self._task_numbers.get(task)
        if number is None:
            number = self._task_numbers[task] = len(self.tasks)
            self.tasks.append(task)
        return number

    def _process_ended(self, line: ProcessEnded) -> None:
        key = (line.job, line.attempt)
        row = self._of.get(key)
        if row is None:
            return
        self.spans.end[row] = line.t
        if self.spans.verdict[row] != _UNKNOWN:
            del self._of[key]

    # the end

    def _finished(self, line: Finished) -> None:
        now = self.end = line.t
        self._waiting.finish(now)
        still = [fault for faults in self._open_faults.values() for fault in faults]
        for fault in (*still, *(span for spans in self.closed.values() for span in spans)):
            if fault.end == NONE:
                fault.end = now
        local = self._host_numbers.get(LOCAL, NONE)
        changes: dict[int, list[tuple[int, int]]] = {self._host_numbers[name]: [] for name in self._unused.finish(now)}
        spans = self.spans
        for row in range(len(spans.start)):
            host = spans.host[row]
            if host != local:
                start, end = spans.start[row], now if spans.end[row] == NONE else spans.end[row]
                self.series.add(VERDICTS[spans.verdict[row]].value, start, end, spans.slots[row])
                if host in changes:
                    changes[host] += ((start, spans.slots[row]), (end, -spans.slots[row]))
        names = list(self._host_numbers)
        self._unused.add_to(self.series, {names[host]: found for host, found in changes.items()})
