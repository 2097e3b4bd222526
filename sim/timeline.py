"""What happened when: the course of a run for pictures, read from the event log in one pass.

Processes as spans on hosts, slots and waiting jobs over time, why jobs waited and how long, faults, and each job's
wait. Time is cut into at most `BINS` bins, which grow with the run. A reader of `EventLog`; drawn by `shell/report/`.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable
from enum import Enum
from typing import Any

from msgspec import Struct

from model.events import HostVerb
from model.job import LOCAL, SECOND, AttemptKey, JobId
from model.records import AttemptAssigned, AttemptEnded, AttemptGiven, HostChanged, JobAccepted
from sim.faults import SCHEDULER
from sim.host_states import AWAY, NOT_RUNNING, HostStates, host_of
from sim.log import Committed, FaultChanged, Finished, Header, ProcessEnded, ProcessStarted, Sized
from sim.measuring import judge_attempt
from sim.tally import outcome_name

_ON = HostVerb.ON.value
_CLOSED = (HostVerb.DRAIN.value, HostVerb.OFF.value)
BINS = 300
"""Time is cut into at most so many pieces: more cannot be seen in a picture."""
FIRST_BIN_NS = SECOND
NONE = -1


class Reason(Enum):
    """Why a job waits, as far as the log tells."""

    NO_SLOT = "no free slot"
    """the controller has it, and no host (or not the one that it needs) has room"""
    HOST_AWAY = "required host away"
    CONTROLLER_AWAY = "controller away"
    AT_SCHEDULER = "with the scheduler"
    """not given to an executor yet: held, or on its way there"""
    TO_HOST = "on its way to its host"
    """given to a host, and its process has not started: the network, files to wait for"""
    RETRY = "to be tried again"


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


class Series:
    """Sums over time by name, in bins of one width, which doubles when they are full."""

    def __init__(self) -> None:
        self.width_ns = FIRST_BIN_NS
        self.areas: dict[str, list[float]] = {}
        self.peaks: dict[str, list[float]] = {}

    def add(self, name: str, start: int, end: int, weight: float) -> None:
        """`weight` from `start` to `end`."""
        if end <= start or not weight:
            return
        self._reach(end)
        areas = self._of(self.areas, name)
        width = self.width_ns
        first, last = start // width, (end - 1) // width
        if first == last:
            areas[first] += weight * (end - start)
            return
        areas[first] += weight * ((first + 1) * width - start)
        for at in range(first + 1, last):
            areas[at] += weight * width
        areas[last] += weight * (end - last * width)

    def peak(self, name: str, at_ns: int, value: float) -> None:
        """The bin's largest value."""
        self._reach(at_ns + 1)
        peaks = self._of(self.peaks, name)
        at = at_ns // self.width_ns
        peaks[at] = max(peaks[at], value)

    def means(self, name: str, end_ns: int) -> list[float]:
        """The mean in each bin up to `end_ns`."""
        self._reach(end_ns)  # the last thing may have been long ago
        count = max(1, -(-end_ns // self.width_ns))
        areas = self._of(self.areas, name)[:count]
        widths = [min(self.width_ns, max(1, end_ns - at * self.width_ns)) for at in range(count)]
        return [area / width for area, width in zip(areas, widths, strict=True)]

    def _of(self, table: dict[str, list[float]], name: str) -> list[float]:
        values = table.get(name)
        if values is None:
            values = table[name] = [0.0] * BINS
        return values

    def _reach(self, end: int) -> None:
        while end > self.width_ns * BINS:
            half = BINS // 2
            for areas in self.areas.values():
                areas[:] = [areas[2 * at] + areas[2 * at + 1] for at in range(half)] + [0.0] * (BINS - half)
            for peaks in self.peaks.values():
                peaks[:] = [max(peaks[2 * at : 2 * at + 2]) for at in range(half)] + [0.0] * (BINS - half)
            self.width_ns *= 2


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


class _Waiting(Struct):
    """A job that waits for a start. `phase`: of those of `_Phase`, by name; `host`: the one that it needs."""

    task: str
    host: str
    slots: int
    since: int
    phase: str = "scheduler"
    counted: bool = True


class _Level(Struct):
    """So many jobs wait alike, since `since`."""

    jobs: int = 0
    slots: int = 0
    since: int = 0


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
        """times in which a person had a host drained or off (`kind`), by host"""
        self.waits: dict[str, array[int]] = {}
        """of each task: from the making of a job to its first start"""
        self.hurt: Counter[tuple[str, str, str]] = Counter()
        """(task, `Reason`'s value, host): how long jobs waited for that reason, jobs x ns"""
        self.lost: Counter[tuple[str, str]] = Counter()
        """(task, outcome): slots x ns of processes that ended so, for nothing"""
        self.end = 0
        self._task_numbers: dict[str, int] = {}
        self._host_numbers: dict[str, int] = {}
        self._of: dict[AttemptKey, int] = {}
        """processes whose end or whose verdict is not known yet: the row of `spans`"""
        self._waiting: dict[JobId, _Waiting] = {}
        self._started: dict[JobId, bool] = {}
        self._levels: dict[tuple[str, str, str], _Level] = {}
        """(task, phase, host)"""
        self._states = HostStates()
        self._open_faults: dict[tuple[str, tuple[str, ...]], list[FaultSpan]] = {}
        """several of a kind may be at one place at a time: the first that began ends first"""
        self._sized_at: dict[str, int] = {}
        self._off_since: dict[str, int] = {}
        self._submitted: dict[JobId, tuple[str, int, str, int]] = {}
        """open jobs: task, when, the host that it needs, slots"""

    @property
    def table(self) -> dict[type, Callable[[Any], None]]:
        """For `EventLog`: what it wants to read."""
        return {
            Header: self._header,
            Sized: self._sized,
            Committed: self._committed,
            ProcessStarted: self._process_started,
            ProcessEnded: self._process_ended,
            FaultChanged: self._fault,
            Finished: self._finished,
        }

    # hosts and faults

    def _header(self, line: Header) -> None:
        for name, slots in line.slots.items():
            self._size(name, slots, 0)

    def _sized(self, line: Sized) -> None:
        self._size(line.node, line.slots, line.t)

    def _size(self, name: str, slots: int, now: int) -> None:
        if name in self.hosts and name != LOCAL:
            self.series.add("slots", self._sized_at[name], now, self.hosts[name])
        self.hosts[name] = slots
        self._sized_at[name] = now
        self._host_numbers.setdefault(name, len(self._host_numbers))

    def _fault(self, line: FaultChanged) -> None:
        key = (line.kind, line.nodes)
        if line.kind in AWAY:
            self._settle(line.t, host_of(line))
        elif line.kind in NOT_RUNNING:
            self._settle(line.t, None)
        change = self._states.fault(line)
        if line.on:
            span = FaultSpan(line.kind, line.nodes, line.t)
            self._open_faults.setdefault(key, []).append(span)
            self.faults.append(span)
            if change.host and line.kind in AWAY:
                self.down.setdefault(change.host, []).append(span)
        else:
            known = self._open_faults.get(key)
            if known:
                known.pop(0).end = line.t
        if change.power is False:
            self._off_since[change.host] = line.t
        elif change.power:
            since = self._off_since.pop(change.host, line.t)
            self.series.add("down", since, line.t, self.hosts.get(change.host, 0))

    # waiting jobs

    def _reason(self, phase: str, host: str) -> Reason:
        if phase == "retry":
            return Reason.RETRY
        if phase == "host":
            return Reason.TO_HOST
        if phase == "queue" and host and not self._states.answers(host):
            return Reason.HOST_AWAY
        if not self._states.controller_runs:
            return Reason.CONTROLLER_AWAY
        return Reason.NO_SLOT if phase == "queue" else Reason.AT_SCHEDULER

    def _settle(self, now: int, host: str | None) -> None:
        """Why jobs wait may be about to change, of those that need this host, or (None) of all."""
        for key, level in self._levels.items():
            if host is None or key[2] == host:
                self._spend(key, level, now)

    def _spend(self, key: tuple[str, str, str], level: _Level, now: int) -> None:
        if level.jobs and now > level.since:
            task, phase, host = key
            reason = self._reason(phase, host)
            self.hurt[task, reason.value, host] += level.jobs * (now - level.since)
            self.series.add(reason.value, level.since, now, level.jobs)
            self.series.add("pending slots", level.since, now, level.slots)
        level.since = now

    def _shift(self, job: _Waiting, by: int, now: int) -> None:
        key = (job.task, job.phase, job.host)
        level = self._levels.get(key)
        if level is None:
            level = self._levels[key] = _Level(since=now)
        self._spend(key, level, now)
        level.jobs += by
        level.slots += by * job.slots

    def _move(self, number: JobId, phase: str, now: int) -> None:
        job = self._waiting.get(number)
        if job is not None and job.phase != phase:
            self._shift(job, -1, now)
            job.phase = phase
            self._shift(job, 1, now)

    def _begin_waiting(self, number: JobId, phase: str, now: int) -> None:
        task, _, host, slots = self._submitted[number]
        job = self._waiting[number] = _Waiting(task, host, slots, now, phase)
        self.series.peak("oldest", now, now - next(iter(self._waiting.values())).since)
        self._shift(job, 1, now)

    def _waits_no_more(self, number: JobId, now: int) -> None:
        job = self._waiting.pop(number, None)
        if job is None:
            return
        oldest = next(iter(self._waiting.values()), job)
        self.series.peak("oldest", now, now - min(oldest.since, job.since))
        self._shift(job, -1, now)

    # records

    def _committed(self, line: Committed) -> None:
        record = line.record
        if line.node == SCHEDULER:
            if isinstance(record, JobAccepted):
                spec = record.spec
                host = spec.host.name or "" if spec.host.required else ""
                self._submitted[record.job] = (spec.task, line.t, host, spec.slots)
                self._begin_waiting(record.job, "scheduler", line.t)
            elif isinstance(record, AttemptAssigned):
                self._move(record.job, "queue", line.t)
            elif isinstance(record, AttemptEnded):
                self._attempt_ended(record, line.t)
        elif isinstance(record, AttemptGiven):
            self._move(record.job, "host", line.t)
        elif isinstance(record, HostChanged) and record.verb in (_ON, *_CLOSED):
            spans = self.closed.setdefault(record.host, [])
            if spans and spans[-1].end == NONE:
                spans[-1].end = line.t
            if record.verb != _ON:
                spans.append(FaultSpan(record.verb, (record.host,), line.t))

    def _attempt_ended(self, record: AttemptEnded, now: int) -> None:
        number = record.job
        if number not in self._submitted:
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
                self.lost[self._submitted[number][0], outcome_name(record.report)] += used
        if record.final:
            self._waits_no_more(number, now)
            del self._submitted[number]
            self._started.pop(number, None)
        elif number in self._waiting:
            self._move(number, "retry", now)
        else:
            self._begin_waiting(number, "retry", now)

    # processes

    def _process_started(self, line: ProcessStarted) -> None:
        number = JobId(line.job)
        known = self._submitted.get(number)
        task = "" if known is None else known[0]
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
            self.waits.setdefault(task, array("q")).append(line.t - known[1])
        self._waits_no_more(number, line.t)

    def _task_number(self, task: str) -> int:
        number = self._task_numbers.get(task)
        if number is None:
            number = self._task_numbers[task] = len(self.tasks)
            self.tasks.append(task)
        return number

    def _process_ended(self, line: ProcessEnded) -> None:
        key = (JobId(line.job), line.attempt)
        row = self._of.get(key)
        if row is None:
            return
        self.spans.end[row] = line.t
        if self.spans.verdict[row] != _UNKNOWN:
            del self._of[key]

    # the end

    def _finished(self, line: Finished) -> None:
        now = self.end = line.t
        for key, level in self._levels.items():
            self._spend(key, level, now)
        for job in self._waiting.values():
            self.series.peak("oldest", max(0, now - 1), now - job.since)
        for host, since in self._off_since.items():
            self.series.add("down", since, now, self.hosts.get(host, 0))
        for host, slots in self.hosts.items():
            if host != LOCAL:
                self.series.add("slots", self._sized_at[host], now, slots)
        still = [fault for faults in self._open_faults.values() for fault in faults]
        for fault in (*still, *(spans[-1] for spans in self.closed.values() if spans)):
            if fault.end == NONE:
                fault.end = now
        local = self._host_numbers.get(LOCAL, NONE)
        spans = self.spans
        for row in range(len(spans.start)):
            if spans.host[row] != local:
                end = now if spans.end[row] == NONE else spans.end[row]
                self.series.add(VERDICTS[spans.verdict[row]].value, spans.start[row], end, spans.slots[row])
