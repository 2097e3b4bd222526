"""The tally: reads the event log and counts, for each task and host, what came of the jobs. Decides and checks nothing.

Waits and run times are kept as 8 bytes each, so that percentiles of millions of jobs are exact.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from model.alarm_kinds import AGAIN, RECOVERED
from model.job import JobId, Outcome, Report
from model.records import AlarmChanged, AlarmTold, AttemptEnded, AttemptStarted, JobAccepted
from sim.host_states import HostStates
from sim.log import Committed, FaultChanged, Header, ProcessEnded, ProcessStarted, Sized

SCHEDULER = "scheduler"
BEGUN = -1
"""In the place of a time: the job has been started once."""
_EXITED = Outcome.EXITED


_EXITS: dict[int | None, str] = {code: f"exit {code}" for code in range(256)}


def outcome_name(report: Report) -> str:
    """How people call an end: `exit 3`, or the outcome's name."""
    if report.outcome is _EXITED:
        return _EXITS.get(report.exit_code) or f"exit {report.exit_code}"
    return report.outcome.name


@dataclass(slots=True)  # of few objects, which change with each job: a field of a struct is stored in the general way
class TaskTally:
    """One task's jobs. Times in ns: `waits` from the making of a job to its first start, `runs` of each attempt that is
    known to have run so long: of one that was lost with its host nothing is."""

    made: int = 0
    final: int = 0
    attempts: int = 0
    retries: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    """final outcomes"""
    waits: array[int] = field(default_factory=lambda: array("q"))
    runs: array[int] = field(default_factory=lambda: array("q"))

    @property
    def open(self) -> int:
        """Jobs that are not final."""
        return self.made - self.final


@dataclass(slots=True)
class HostTally:
    """One host: attempts that ended there, and how long it was without power (ns). `busy_ns`: slots x ns of processes,
    lost ones and those that still run at the end included."""

    slots: int = 0
    done: int = 0
    failed: int = 0
    busy_ns: int = 0
    running: int = 0
    """slots of processes; while they run `busy_ns` holds their starts, taken off"""
    off_ns: int = 0
    off_since: int | None = None


@dataclass(slots=True)
class NotifierTally:
    """What one notifier would have been told: messages, and what they were about (`host-down`, `over: host-down`)."""

    messages: int = 0
    about: Counter[str] = field(default_factory=Counter)


def told_as(event: str, kind: str) -> str:
    """How people call what a message tells."""
    return {AGAIN: "still: ", RECOVERED: "over: "}.get(event, "") + kind


def percentile(values: array[int], share: float) -> int | None:
    """The smallest value that at least `share` (0..1) of the values do not exceed; None when there are none."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -int(-share * len(ordered) // 1) - 1))]


class Tally:
    """Takes the lines of a log while they are made, through its `table`."""

    def __init__(self) -> None:
        self.tasks: dict[str, TaskTally] = {}
        self.hosts: dict[str, HostTally] = {}
        self.faults = 0
        self._states = HostStates()
        self.alarms: Counter[str] = Counter()
        """alarms that have begun, by kind"""
        self.told: dict[str, NotifierTally] = {}
        """by notifier"""
        self._open: dict[JobId, tuple[TaskTally, int]] = {}
        """job -> (its task's, made at or `BEGUN`)"""
        self._made = (TaskTally(), 0)
        """that of the last one: jobs of a task that are made in one turn share it"""

    @property
    def table(self) -> dict[type, Callable[[Any], None]]:
        """For `EventLog`: what it wants to read."""
        return {
            Header: self._header,
            JobAccepted: self._accepted,
            AttemptStarted: self._started,
            AttemptEnded: self._ended,
            AlarmChanged: self._alarm,
            AlarmTold: self._told,
            FaultChanged: self._fault,
            Sized: self._sized,
            ProcessStarted: self._process_started,
            ProcessEnded: self._process_ended,
        }

    def _header(self, line: Header) -> None:
        self.hosts = {name: HostTally(slots) for name, slots in line.slots.items()}

    def _sized(self, line: Sized) -> None:
        self.hosts.setdefault(line.node, HostTally(0)).slots = line.slots

    def finish(self, until_ns: int) -> None:
        """The end of the log: close what is open."""
        for host in self.hosts.values():
            host.busy_ns += host.running * until_ns
            host.running = 0
            if host.off_since is not None:
                host.off_ns += until_ns - host.off_since
                host.off_since = None

    def _accepted(self, line: Committed) -> None:
        if line.node != SCHEDULER:
            return
        record: JobAccepted = line.record  # type: ignore[assignment]
        task = record.spec.task
        tally = self.tasks.get(task)
        if tally is None:
            tally = self.tasks[task] = TaskTally()
        tally.made += 1
        made = self._made
        if made[1] != line.t or made[0] is not tally:
            made = self._made = (tally, line.t)
        self._open[record.job] = made

    def _started(self, line: Committed) -> None:
        if line.node != SCHEDULER:
            return
        record: AttemptStarted = line.record  # type: ignore[assignment]
        job = self._open.get(record.job)
        if job is not None and job[1] != BEGUN:
            self._open[record.job] = job[0], BEGUN
            job[0].waits.append(line.t - job[1])

    def _ended(self, line: Committed) -> None:
        if line.node != SCHEDULER:
            return
        record: AttemptEnded = line.record  # type: ignore[assignment]
        job = self._open.get(record.job)
        if job is None:
            return
        tally = job[0]
        report = record.report
        name = outcome_name(report)
        tally.attempts += 1
        if record.final:
            tally.final += 1
            tally.outcomes[name] += 1
            del self._open[record.job]
        else:
            tally.retries += 1
        if report.started:
            if report.ran_for_ns or report.outcome is not Outcome.LOST:
                tally.runs.append(report.ran_for_ns)
            host = self.hosts.get(report.host)
            if host is not None:
                if name == "exit 0":
                    host.done += 1
                else:
                    host.failed += 1

    def _process_started(self, line: ProcessStarted) -> None:
        host = self.hosts[line.node]
        host.running += line.slots
        host.busy_ns -= line.slots * line.t

    def _process_ended(self, line: ProcessEnded) -> None:
        host = self.hosts[line.node]
        host.running -= line.slots
        host.busy_ns += line.slots * line.t

    def _alarm(self, line: Committed) -> None:
        record: AlarmChanged = line.record  # type: ignore[assignment]
        if not record.over:
            self.alarms[record.kind] += 1

    def _told(self, line: Committed) -> None:
        record: AlarmTold = line.record  # type: ignore[assignment]
        tally = self.told.setdefault(record.notifier, NotifierTally())
        tally.messages += 1
        tally.about.update([told_as(event, kind) for event, kind, _ in record.items] or [record.event])

    def _fault(self, line: FaultChanged) -> None:
        self.faults += line.on
        change = self._states.fault(line)
        host = self.hosts.get(change.host)
        if host is None or change.power is None:
            return
        if not change.power:
            host.off_since = line.t
        elif host.off_since is not None:
            host.off_ns += line.t - host.off_since
            host.off_since = None
