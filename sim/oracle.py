"""The oracle: reads the event log, and nothing else, and says which promise was broken at which line.

P1 nothing is lost; P2 results once, and acknowledged only after they were recorded; P3 two attempts of a job never
overlap in true life; capacity of every host, in truth and in what the controller gives; reports that agree with the
truth. Who waits where there is room is judged in `rooms.py`, what lives on after its end in `afterlife.py`, what jobs
need beside slots in `oracle_resources.py`. What is not finished is held, and nothing else, so logs may have any length.
`model` is no witness: nothing is asked of a machine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from msgspec import Struct

from model.job import LOCAL, AttemptKey, JobId, Outcome, Report
from model.messages import Accepted, Acknowledge, Assign, Ended, Held, Inventory, Message
from model.records import (
    AttemptAssigned,
    AttemptEnded,
    AttemptGiven,
    AttemptReturned,
    AttemptStarted,
    HostChanged,
    ItemsGone,
    JobAccepted,
    TaskChanged,
)
from sim.afterlife import Afterlife
from sim.log import (
    Committed,
    FaultChanged,
    Finished,
    Header,
    Healed,
    Life,
    Line,
    LinkChanged,
    ProcessEnded,
    ProcessStarted,
    Sent,
    Sized,
)
from sim.oracle_resources import ResourceOracle
from sim.paths import CONTROLLER, SCHEDULER, Paths
from sim.rooms import STANDS_STILL, Rooms

_ENDS_WITHOUT_ATTEMPT = (Outcome.KILLED, Outcome.PENDING_TIMEOUT, Outcome.CONTROLLER_SILENT, Outcome.HOST_UNKNOWN)
"""How a job can end while it waits for its next attempt; the record then names its last one."""
_ENDS_A_PROCESS = frozenset({"crashed", "restarted", "disk_broken"})
_CLOCKS_DIFFER = 0.999
"""Clocks of two machines differ by less than a thousandth."""
_SYNCS_NS = 5 * 10**9
"""From a decision to its record takes less, unless a disk is full, or hangs."""
VIOLATIONS_MAX = 100
"""Violations that are kept; the others are counted."""


class Violation(Struct, frozen=True):
    """A broken promise. `line` counts the lines of the log from 1; `t` is true time in ns."""

    line: int
    t: int
    promise: str
    text: str

    def __str__(self) -> str:
        return f"line {self.line}, {self.t / 1e9:.3f} s: {self.promise}: {self.text}"


class _Job:
    """An accepted job that is not final."""

    __slots__ = ("attempt", "counted", "open", "pending_ns", "ready_ns", "retries", "spec", "task", "timeout_ns")

    def __init__(self, record: JobAccepted, t: int) -> None:
        spec = record.spec
        self.attempt = 0
        self.task = spec.task
        self.counted = bool(record.due_ns)
        """whether its task made it, so that it counts against the limits that the header tells"""
        self.ready_ns = t
        """since when it may wait for a start, at the earliest"""
        self.pending_ns = spec.pending_ns
        self.timeout_ns = spec.timeout_ns
        self.retries = 0
        self.open = False
        """whether `attempt` was assigned and has not ended"""
        self.spec = spec


class Oracle:
    """Takes the lines of a log in order: by `read`, or while they are made, through its `table`."""

    def __init__(self) -> None:
        self.violations: list[Violation] = []
        self.count = 0
        """violations, also those that are not kept"""
        self.accepted = 0
        self.finished = 0
        self.excused = 0
        """overlaps of attempts whose host stood still past its lease: foreseen, counted"""
        self._line: Line | None = None
        """the line that is being looked at"""
        self._number: Callable[[], int] = lambda: 0
        """the number of that line, counted by whoever brings the lines"""
        self._jobs: dict[JobId, _Job] = {}
        self._last_job = 0
        self._slots: dict[str, int] = {}
        self._running: dict[str, int] = {}
        self._alive: dict[JobId, dict[int, str]] = {}
        """processes that live: job -> attempt -> host"""
        self._truth: dict[AttemptKey, ProcessEnded] = {}
        """true ends whose report was not recorded yet"""
        self._begun: dict[AttemptKey, str] = {}
        """attempts whose process was started, until their end is recorded"""
        self._given: dict[AttemptKey, str] = {}
        """attempt -> host, until its end is recorded"""
        paths = Paths()
        self._rooms = Rooms(self._broken, paths)
        self._heard = (0, 0)
        """life and number of the controller's last word; an older one that had to wait for the disk says nothing"""
        self._afterlife = Afterlife(self._broken, paths)
        self._unheard: dict[AttemptKey, int] = {}
        """attempts that were ended because their executor did not answer, which may begin in good faith; their grace"""
        self._items: dict[tuple[str, str], JobId] = {}
        self._stood_still: set[AttemptKey] = set()
        """attempts that lived while their whole machine stood still"""
        self._inside: frozenset[tuple[str, str]] = frozenset()
        """(sender, receiver) whose words do not leave their process"""
        self._limits: dict[str, tuple[int, int]] = {}
        self._in_flight: Counter[str] = Counter()
        self._made: Counter[str] = Counter()
        self._resting: dict[str, str] = {}
        """tasks that a person holds or has deleted, and which"""
        self._start_ns: dict[AttemptKey, int] = {}
        """when the processes of `_begun` were started"""
        self._ended_now: tuple[int, dict[AttemptKey, None]] = (-1, {})
        """(when, the attempts whose end became durable then): words that waited for the same commit leave after it"""
        self._disk_stood_still = False
        self._healed: Healed | None = None
        self.table: dict[type, Callable[[Any], None]] = {
            Committed: self._committed,
            Sent: self._sent,
            ProcessStarted: self._process_started,
            ProcessEnded: self._process_ended,
            Header: self._header,
            FaultChanged: self._fault_changed,
            LinkChanged: self._link_changed(paths),
            Life: self._life,
            Sized: self._sized,
            Healed: self._heal,
            Finished: self._finished,
        }
        for kind, check in ResourceOracle(self._broken).table.items():
            own = self.table.get(kind)
            self.table[kind] = check if own is None else _both(own, check)
        self._records: dict[type, Callable[[Any], None]] = {
            JobAccepted: self._job_accepted,
            AttemptAssigned: self._attempt_assigned,
            AttemptStarted: self._attempt_started,
            AttemptEnded: self._attempt_ended,
            AttemptGiven: self._attempt_given,
            AttemptReturned: self._attempt_returned,
            ItemsGone: self._items_gone,
            TaskChanged: self._task_changed,
            HostChanged: self._host_changed,
        }

    @property
    def open(self) -> int:
        """Accepted jobs that are not final."""
        return len(self._jobs)

    def listen(self, number: Callable[[], int]) -> None:
        """Lines come one by one, through `table`; `number()` says which one it is, from 1."""
        self._number = number

    def read(self, lines: Iterable[Line]) -> int:
        """All lines of a log; returns how many there were."""
        table, count = self.table, 0
        self._number = lambda: count
        for line in lines:
            count += 1
            check = table.get(type(line))
            if check is not None:
                check(line)
        return count

    def _broken(self, promise: str, text: str) -> None:
        self.count += 1
        if len(self.violations) < VIOLATIONS_MAX:
            self.violations.append(Violation(self._number(), self._now, promise, text))

    @property
    def _now(self) -> int:
        """True time of the line that is being looked at."""
        return 0 if self._line is None or isinstance(self._line, Header) else self._line.t

    # the frame

    def _finished(self, line: Finished) -> None:
        self._line = line
        self._rooms.finish(line.t)
        self._afterlife.finish(line.t)
        healed = self._healed
        if healed is None or line.t < healed.t + healed.bound_ns:
            return
        for number, job in self._jobs.items():
            self._broken(
                "P16", f"job {number} of {job.task} is not final {healed.bound_ns // 10**9} s after all faults"
            )
        for number, attempts in self._alive.items():
            if number not in self._jobs:
                self._broken("P6", f"attempt {min(attempts)} of job {number}, which is final, still runs")

    def _heal(self, line: Healed) -> None:
        self._healed = line

    def _header(self, line: Header) -> None:
        self._slots = dict(line.slots)
        self._rooms.header(line)
        self._limits = dict(line.limits)
        self._inside = frozenset(line.inside)

    def _sized(self, line: Sized) -> None:
        self._slots[line.node] = line.slots
        self._rooms.resize(line.t, line.node, line.slots)

    def _life(self, line: Life) -> None:
        if line.node == CONTROLLER:
            self._rooms.controller_began()

    def _link_changed(self, paths: Paths) -> Callable[[LinkChanged], None]:
        def change(line: LinkChanged) -> None:
            paths.change(line)
            self._rooms.link_changed(line.t, line.peer)

        return change

    def _fault_changed(self, line: FaultChanged) -> None:
        self._rooms.fault(line, line.kind in _ENDS_A_PROCESS)
        if line.kind in STANDS_STILL:
            self._disk_stood_still = True
        if line.kind == "suspended" and line.on:
            for job, attempts in self._alive.items():
                for attempt, host in attempts.items():
                    if host in line.nodes:
                        self._stood_still.add((job, attempt))

    # records

    def _committed(self, line: Committed) -> None:
        record = line.record
        check = self._records.get(type(record))
        if check is not None:
            self._line = line
            check(record)

    def _job_accepted(self, record: JobAccepted) -> None:
        job = record.job
        if job <= self._last_job:
            self._broken("P1", f"job {job} is not a new number: {self._last_job} was given out before")
            return
        self._last_job = job
        self.accepted += 1
        self._jobs[job] = _Job(record, self._now)
        if record.due_ns and record.spec.task in self._limits:
            self._check_spawn(record.spec.task, job)
        item = record.spec.item
        if item is not None and not record.parent:
            name = (record.spec.task, item)
            earlier = self._items.get(name)
            if earlier is not None:
                self._broken("P1", f"item {item} of {record.spec.task} was given out twice: jobs {earlier} and {job}")
            self._items[name] = job

    def _check_spawn(self, task: str, job: JobId) -> None:
        """A task has made a job: it may, and its limits hold."""
        in_flight, total = self._limits[task]
        self._made[task] += 1
        self._in_flight[task] += 1
        if task in self._resting:
            self._broken("orders", f"job {job} of {task}, which a person has {self._resting[task]}")
        if total and self._made[task] > total:
            self._broken("limits", f"job {job} is the {self._made[task]}. of {task}, whose total is {total}")
        if in_flight and self._in_flight[task] > in_flight:
            self._broken("limits", f"job {job}: {self._in_flight[task]} of {task} are in flight, {in_flight} may be")

    def _task_changed(self, record: TaskChanged) -> None:
        if record.deleted or record.held:
            self._resting[record.task] = "deleted" if record.deleted else "held"
        else:
            self._resting.pop(record.task, None)

    def _host_changed(self, record: HostChanged) -> None:
        self._rooms.order(self._now, record)

    def _items_gone(self, record: ItemsGone) -> None:
        for item in record.items:
            self._items.pop((record.task, item), None)

    def _attempt_assigned(self, record: AttemptAssigned) -> None:
        job = self._jobs.get(record.job)
        if job is None:
            self._broken("P1", f"attempt {record.attempt} of job {record.job}, which is final or was never accepted")
            return
        if job.open or record.attempt != job.attempt + 1:
            self._broken("P1", f"attempt {record.attempt} of job {record.job} after attempt {job.attempt}")
        job.attempt = record.attempt
        job.open = True
        if record.executor == LOCAL:
            self._given[record.job, record.attempt] = LOCAL

    def _attempt_started(self, record: AttemptStarted) -> None:
        job = self._jobs.get(record.job)
        if job is None or not job.open or job.attempt != record.attempt:
            self._broken("P2", f"start of attempt {record.attempt} of job {record.job} recorded, which is not open")

    def _attempt_ended(self, record: AttemptEnded) -> None:
        job = self._jobs.get(record.job)
        key, now = (record.job, record.attempt), self._now
        if job is None:
            self._broken("P2", f"end of attempt {record.attempt} of job {record.job} recorded after its final state")
            return
        if job.open:
            if record.attempt != job.attempt:
                self._broken("P2", f"end of attempt {record.attempt} recorded while attempt {job.attempt} is open")
            job.open = False
            if self._ended_now[0] != now:
                self._ended_now = (now, {})
            self._ended_now[1][key] = None
            self._rooms.leave(now, key)
            self._compare(key, record.report, job)
            host = self._alive.get(record.job, {}).get(record.attempt)
            if host is not None:
                self._afterlife.begin(now, key, host, job.spec.grace_ns)
            elif record.report.outcome is Outcome.CONTROLLER_SILENT:
                self._unheard[key] = job.spec.grace_ns
        elif record.attempt and not (record.final and record.attempt == job.attempt and self._waits_again(record)):
            self._broken("P2", f"end of attempt {record.attempt} of job {record.job} recorded twice")
        if record.retries < job.retries:
            self._broken("P1", f"job {record.job} has used {record.retries} retries, before it was {job.retries}")
        waited_ns = now - job.ready_ns + _SYNCS_NS
        if (
            record.report.outcome is Outcome.PENDING_TIMEOUT
            and waited_ns < job.pending_ns * _CLOCKS_DIFFER
            and not self._disk_stood_still
        ):
            waited = (now - job.ready_ns) / 1e9
            self._broken("P9", f"job {record.job} is said to have waited too long, after {waited} s")
        job.retries, job.ready_ns = record.retries, now
        if record.final:
            del self._jobs[record.job]
            self.finished += 1
            if job.counted and job.task in self._limits:
                self._in_flight[job.task] -= 1

    @staticmethod
    def _waits_again(record: AttemptEnded) -> bool:
        """A job that waited for its next attempt may be ended by a person, or by its time."""
        return record.report.outcome in _ENDS_WITHOUT_ATTEMPT

    def _compare(self, key: AttemptKey, report: Report, job: _Job) -> None:
        """What was recorded against what was true."""
        host = self._given.pop(key, None)
        if host is not None:
            self._rooms.free(self._now, host, key)
        truth = self._truth.pop(key, None)
        begun = self._begun.pop(key, None)
        started_ns = self._start_ns.pop(key, 0)
        if report.outcome is Outcome.TIMED_OUT and truth is not None and truth.exit_code is not None:
            ran_ns = truth.t - started_ns
            if ran_ns < job.timeout_ns * _CLOCKS_DIFFER or (begun == LOCAL and ran_ns <= job.timeout_ns):
                self._broken("P2", f"attempt {key} is recorded as timed out, in truth it ended in time: {_told(truth)}")
        if report.outcome is Outcome.EXITED and (truth is None or truth.exit_code != report.exit_code):
            self._broken("P2", f"attempt {key} is recorded with exit {report.exit_code}, in truth: {_told(truth)}")
        elif report.outcome is Outcome.CRASHED and (truth is None or truth.signal != report.signal):
            self._broken("P2", f"attempt {key} is recorded with signal {report.signal}, in truth: {_told(truth)}")
        elif not report.started and begun is not None and report.outcome is not Outcome.CONTROLLER_SILENT:
            self._broken("P2", f"attempt {key} is recorded as never started, in truth it ran on {begun}")

    # what the controller gives, and what hosts have

    def _attempt_given(self, record: AttemptGiven) -> None:
        key = (record.job, record.attempt)
        earlier = self._given.get(key)
        if earlier is not None:
            self._broken("P3", f"attempt {key} was given to {earlier} and then to {record.host}")
        self._given[key] = record.host
        if record.ahead and record.attempt > 1:
            self._broken("orders", f"attempt {key} was given ahead, and it is not the first of its job")
        self._rooms.give(self._now, key, record.host, record.spec.slots, record.ahead)

    def _attempt_returned(self, record: AttemptReturned) -> None:
        key = (record.job, record.attempt)
        self._rooms.leave(self._now, key)
        host = self._given.pop(key, None)
        if host is not None:  # it was over before the disk took the record that it was given
            self._rooms.free(self._now, host, key)

    def _sent(self, line: Sent) -> None:
        batch = line.batch
        self._line = line
        self._rooms.pass_time(line.t)
        if line.node == SCHEDULER:
            if (SCHEDULER, line.to) in self._inside:
                return
            self._said_by_scheduler(batch.messages)
        elif line.to == SCHEDULER:
            if line.node == CONTROLLER and (batch.epoch, batch.sequence) > self._heard:
                self._heard = batch.epoch, batch.sequence
                self._said_by_controller(batch.messages)
        elif line.node != CONTROLLER:
            self._said_by_host(line.node, batch.messages)
        else:
            self._said_to_host(line.to, batch.messages)

    def _said_by_scheduler(self, messages: tuple[Message, ...]) -> None:
        for message in messages:
            kind = type(message)
            if kind is Acknowledge:
                self._acknowledged((message.job, message.attempt))  # type: ignore[union-attr]
            elif kind is Assign:
                self._assigned((message.job, message.attempt))  # type: ignore[union-attr]

    def _said_by_controller(self, messages: tuple[Message, ...]) -> None:
        for message in messages:
            kind = type(message)
            if kind is Ended:
                key = (message.job, message.attempt)  # type: ignore[union-attr]
                self._rooms.leave(self._now, key)
                host = self._given.get(key)
                if host is not None:
                    self._rooms.free(self._now, host, key)
            elif kind is Accepted:
                self._queued((message.job, message.attempt))  # type: ignore[union-attr]

    def _queued(self, key: AttemptKey) -> None:
        """The controller has the attempt; it waits there, unless it was given to a host that says so, or its end was
        recorded while the controller did not answer."""
        job = self._jobs.get(key[0])
        if job is None or not job.open or job.attempt != key[1]:
            return
        if key not in self._given and job.spec.needs is None:
            self._rooms.wait(self._now, key, job.spec.host, job.spec.slots)

    def _said_by_host(self, host: str, messages: tuple[Message, ...]) -> None:
        for message in messages:
            kind = type(message)
            if kind is Ended:
                self._rooms.said_over(self._now, host, (message.job, message.attempt))  # type: ignore[union-attr]
            elif kind is Inventory:
                entries = message.entries  # type: ignore[union-attr]
                listed = {(entry.job, entry.attempt) for entry in entries if entry.held is not Held.ENDED}
                self._rooms.keep(self._now, host, listed)

    def _said_to_host(self, host: str, messages: tuple[Message, ...]) -> None:
        for message in messages:
            if type(message) is Acknowledge:
                self._rooms.acknowledged(host, (message.job, message.attempt))
            elif type(message) is Assign and self._given.get((message.job, message.attempt)) == host:
                self._rooms.hand_again(self._now, host, (message.job, message.attempt), message.spec.slots)

    def _acknowledged(self, key: AttemptKey) -> None:
        job = self._jobs.get(key[0])
        if job is not None and (key[1] > job.attempt or (job.open and key[1] == job.attempt)):
            self._broken("P2", f"the end of attempt {key} was acknowledged before it was recorded")

    def _assigned(self, key: AttemptKey) -> None:
        job = self._jobs.get(key[0])
        if self._ended_now[0] == self._now and key in self._ended_now[1]:
            return
        if job is None or not job.open or job.attempt != key[1]:
            self._broken("P1", f"attempt {key} was handed down before it was recorded, or after its end")

    # true life

    def _process_started(self, line: ProcessStarted) -> None:
        self._line = line
        job, key, host = line.job, (line.job, line.attempt), line.node
        alive = self._alive.get(job)
        if job > self._last_job:
            self._broken("P1", f"attempt {key} was started before its job was recorded")
        if alive:
            for attempt, other in alive.items():
                if (job, attempt) in self._stood_still:
                    self.excused += 1
                else:
                    text = f"attempt {line.attempt} of job {job} starts on {host}, attempt {attempt} lives on {other}"
                    self._broken("P3", text)
        if key in self._begun or key in self._truth:
            self._broken("P3", f"attempt {key} was started twice")
        unknown = self._jobs.get(job)
        if unknown is None or line.attempt < unknown.attempt or (line.attempt == unknown.attempt and not unknown.open):
            self._begun_after_its_end(key, host)
        elif self._given.get(key) != host:
            given = self._given.get(key, "nobody")
            if line.attempt > unknown.attempt:
                self._broken("P1", f"attempt {key} was started before it was recorded")
            else:
                self._broken("P3", f"attempt {key} starts on {host}, it was given to {given}")
        else:
            self._begun[key] = host
            self._start_ns[key] = line.t
        self._alive.setdefault(job, {})[line.attempt] = host
        running = self._running.get(host, 0) + line.slots
        self._running[host] = running
        if running > self._slots.get(host, running):
            self._broken("capacity", f"{running} slots run on {host}, it has {self._slots[host]}")

    def _begun_after_its_end(self, key: AttemptKey, host: str) -> None:
        """Only where the scheduler gave up what it could not reach somebody may not know yet that it is over."""
        grace_ns = self._unheard.pop(key, None)
        if grace_ns is not None:
            self._afterlife.begin(self._now, key, host, grace_ns)
        elif key[0] <= self._last_job:
            self._broken("P3", f"attempt {key} starts on {host} after its end was recorded")

    def _process_ended(self, line: ProcessEnded) -> None:
        self._line = line
        job, key = line.job, (line.job, line.attempt)
        alive = self._alive.get(job)
        if alive is None or alive.pop(line.attempt, None) is None:
            self._broken("P3", f"the process of attempt {key} ended twice, or never began")
            return
        self._afterlife.end(line.t, key)
        if not alive:
            del self._alive[job]
        self._running[line.node] -= line.slots
        if self._stood_still:
            self._stood_still.discard(key)
        if key in self._begun:
            self._truth[key] = line


def _both(first: Callable[[Any], None], second: Callable[[Any], None]) -> Callable[[Any], None]:
    def check(line: Any) -> None:
        first(line)
        second(line)

    return check


def _told(truth: ProcessEnded | None) -> str:
    if truth is None:
        return "it did not end"
    return f"exit {truth.exit_code}" if truth.signal is None else f"signal {truth.signal}"
