"""Measures a run: reads the event log in one pass, keeps what is open, and gives `Metrics` at the end.

A reader of `EventLog`, or fed with the lines of a file. What a job's process did is taken from the true life of
processes, not from what machines believe of it. What each figure means is said in `sim/metrics.py`.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from msgspec import Struct
from msgspec.structs import replace

from model.alarm_kinds import LATE
from model.job import LOCAL, SECOND, AttemptKey, JobId, Outcome, Report
from model.records import AlarmChanged, AlarmTold, AttemptAssigned, AttemptEnded, AttemptGiven, JobAccepted
from sim.answers import Answers
from sim.clocks import BOOTED_BEFORE
from sim.faults import CONTROLLER, SCHEDULER
from sim.host_time import HostTime
from sim.log import Committed, FaultChanged, Finished, Header, Line, Noticed, ProcessEnded, ProcessStarted, Sized
from sim.metrics import TAU_NS, Metrics, OpenJob, SlotTime, Spread, TaskMetrics, jain, ratio
from sim.tally import outcome_name

OPEN_SHOWN = 20
"""Jobs that are still open: so many of the oldest are named."""
BY_ITSELF = frozenset({Outcome.EXITED, Outcome.CRASHED})
NONE = -1
"""ns: it has not happened."""


class Observed(Struct, gc=False):
    """One job that is not final yet. Times are true ns since the start, `NONE` before they are."""

    job: JobId
    task: str
    item: str | None
    slots: int
    asks: int
    """slots of the controller's hosts; 0: it is for the scheduler's own computer"""
    timeout_ns: int
    submitted: int
    due: int
    assigned: int = NONE
    given: int = NONE
    started: int = NONE
    """first start of a process"""
    run_began: int = NONE
    """start of its latest process"""
    ended: int = NONE
    """end of its latest process"""
    host: str = ""
    waits: bool = True
    """for a start"""
    waits_since: int = 0
    attempts: int = 0
    alive: int = 0
    """processes"""


class Writer(Protocol):
    """Who is told of each job that is final, and of those that never are (`sim/jobs_csv.py`)."""

    def sized(self, host: str, slots: int) -> None: ...

    def started(self, host: str, key: AttemptKey, slots: int) -> None: ...

    def ended(self, host: str, key: AttemptKey) -> None: ...

    def final(self, job: Observed, record: AttemptEnded | None, handled: int) -> None: ...


@dataclass(slots=True)  # as those of the tally
class _Task:
    """What is known of one task so far."""

    submitted: int = 0
    ended: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    waits: array[int] = field(default_factory=lambda: array("q"))
    giving: array[int] = field(default_factory=lambda: array("q"))
    queueing: array[int] = field(default_factory=lambda: array("q"))
    dispatch: array[int] = field(default_factory=lambda: array("q"))
    runs: array[int] = field(default_factory=lambda: array("q"))
    responses: array[int] = field(default_factory=lambda: array("q"))
    """of the same jobs as `runs`: slowdowns are worked out of both at the end"""
    due_to_handled: array[int] = field(default_factory=lambda: array("q"))
    lateness: array[int] = field(default_factory=lambda: array("q"))
    good: int = 0
    rejected: int = 0
    lost: int = 0
    running: int = 0
    undecided: int = 0
    asked: int = 0
    """slots x ns of the controller's hosts, of jobs that came within the window and ended by themselves"""
    unknown_slots: int = 0
    """such slots of jobs of which it is not known how long they would have run"""
    known_ns: int = 0
    known: int = 0
    """runs that ended by themselves, and their times together"""
    open: int = 0


_LATE = frozenset(kind.value for kind in LATE)
"""Kinds of alarms that are missed deadlines."""


class Measuring:
    """Takes the lines of one log; `finish` gives the metrics."""

    def __init__(
        self,
        *,
        warm_up_ns: int = 0,
        tau_ns: int = TAU_NS,
        writer: Writer | None = None,
        answers: Answers | None = None,
        until_last: bool = False,
    ) -> None:
        """`warm_up_ns`: what ends before is not counted. `answers`: those of the controller are looked at.
        `until_last`: no job can come after the last one, so the load is offered until then; how long it takes to do the
        rest is no part of it."""
        self._warm_up_ns = warm_up_ns
        self._tau_ns = tau_ns
        self._writer = writer
        self._begin: int | None = None
        self._end = 0
        self._jobs: dict[JobId, Observed] = {}
        self._tasks: dict[str, _Task] = {}
        self._running: dict[AttemptKey, tuple[int, int, str, str]] = {}
        """(start, slots, task, host) of each process"""
        self._ran: dict[AttemptKey, tuple[int, str]] = {}
        """(slot-time, task) of processes that have ended, and whose end the scheduler does not know yet"""
        self._judged: dict[AttemptKey, str] = {}
        """attempts that ended for the scheduler while their process ran on"""
        self._hosts = HostTime(warm_up_ns)
        self._answers = answers
        self._until_last = until_last
        self._grounds: Counter[str] = Counter()
        self._attempts = 0
        self._orphans = 0
        self._duplicates = 0
        self._first_submit: int | None = None
        self._last_submit: int | None = None
        self._last_end = NONE
        self._pending = 0
        self._pending_max = 0
        self._pending_area = 0
        self._pending_at = 0
        self._oldest = NONE
        self._alarms = self._deadlines_missed = self._notifications = 0

    @property
    def table(self) -> dict[type, Callable[[Any], None]]:
        """For `EventLog`: what it wants to read."""
        return {
            **({} if self._answers is None else self._answers.table),
            Header: self._header,
            Sized: self._sized,
            JobAccepted: self._accepted,
            AttemptAssigned: self._assigned,
            AttemptGiven: self._given,
            AttemptEnded: self._attempt_ended,
            AlarmChanged: self._alarm_changed,
            AlarmTold: self._alarm_told,
            ProcessStarted: self._process_started,
            ProcessEnded: self._process_ended,
            FaultChanged: self._fault,
            Noticed: self._noticed,
            Finished: self._finished,
        }

    def read(self, lines: Iterable[Line]) -> None:
        """All lines of a log."""
        table = self.table
        for line in lines:
            reader = table.get(type(line.record) if isinstance(line, Committed) else type(line))
            if reader is not None:
                reader(line)

    # hosts

    def _header(self, line: Header) -> None:
        for name, slots in line.slots.items():
            self._size(name, slots, 0)

    def _sized(self, line: Sized) -> None:
        self._size(line.node, line.slots, line.t)

    def _size(self, name: str, slots: int, now: int) -> None:
        if name != LOCAL:
            self._hosts.size(name, slots, now)
        if self._writer is not None:
            self._writer.sized(name, slots)

    def _fault(self, line: FaultChanged) -> None:
        self._hosts.fault(line, self._pending)
        if self._answers is not None:
            self._answers.fault(line)

    def _noticed(self, line: Noticed) -> None:
        if line.node == CONTROLLER and line.about.startswith("host ") and line.text.startswith(("down", "silent")):
            self._hosts.known_away(line.about[5:], line.t)

    # jobs

    def _alarm_changed(self, line: Committed) -> None:
        record: AlarmChanged = line.record  # type: ignore[assignment]
        if not record.over and line.t >= self._warm_up_ns:
            self._alarms += 1
            self._deadlines_missed += record.kind in _LATE

    def _alarm_told(self, line: Committed) -> None:
        self._notifications += line.t >= self._warm_up_ns

    def _assigned(self, line: Committed) -> None:
        job = self._jobs.get(line.record.job)  # type: ignore[union-attr]
        if job is not None and job.assigned == NONE:
            job.assigned = line.t

    def _given(self, line: Committed) -> None:
        job = self._jobs.get(line.record.job)  # type: ignore[union-attr]
        if job is not None and job.given == NONE:
            job.given = line.t

    def _accepted(self, line: Committed) -> None:
        if line.node != SCHEDULER:
            return
        record: JobAccepted = line.record  # type: ignore[assignment]
        now = line.t
        if self._begin is None:
            self._open_window(max(now, self._warm_up_ns))
        if self._first_submit is None:
            self._first_submit = now
        self._last_submit = now
        spec = record.spec
        due = NONE
        if record.due_ns:  # (of an item the record has the time of the next look at its source)
            due = record.due_ns - BOOTED_BEFORE if spec.item is None else now
        asks = 0 if spec.host.name == LOCAL else spec.slots
        job = Observed(record.job, spec.task, spec.item, spec.slots, asks, spec.timeout_ns, now, due, waits_since=now)
        self._jobs[record.job] = job
        task = self._tasks.get(spec.task)
        if task is None:
            task = self._tasks[spec.task] = _Task()
        if now >= (self._begin or 0):
            task.submitted += 1
        self._change_pending(1, now)

    def _open_window(self, begin: int) -> None:
        self._begin = self._pending_at = begin
        self._hosts.open_window(begin)
        if self._answers is not None:
            self._answers.open_window(begin)

    def _change_pending(self, by: int, now: int) -> None:
        passed = now - self._pending_at
        if passed > 0:
            self._pending_area += self._pending * passed
            self._pending_at = now
            if self._pending > self._pending_max:  # when the window opened
                self._pending_max = self._pending
        self._pending = pending = self._pending + by
        if passed >= 0 and pending > self._pending_max:
            self._pending_max = pending
        if self._hosts.recovering:
            self._hosts.pending_is(pending, now)

    def _waits_no_more(self, job: Observed, now: int) -> None:
        job.waits = False
        age = now - job.waits_since
        if age > self._oldest and now >= self._warm_up_ns:
            self._oldest = age
        self._change_pending(-1, now)

    # processes

    def _process_started(self, line: ProcessStarted) -> None:
        job = self._jobs.get(line.job)
        task = "" if job is None else job.task
        key = (line.job, line.attempt)
        if (job is not None and job.alive) or key in self._running or key in self._ran:
            self._duplicates += 1
        self._running[key] = (line.t, line.slots, task, line.node)
        if self._writer is not None:
            self._writer.started(line.node, key, line.slots)
        if job is None:
            return
        if job.started == NONE:
            job.started = line.t
        job.alive += 1
        job.run_began, job.ended, job.host = line.t, NONE, line.node
        if job.waits:
            self._waits_no_more(job, line.t)

    def _process_ended(self, line: ProcessEnded) -> None:
        key = (line.job, line.attempt)
        start, slots, task, host = self._running.pop(key)
        if self._writer is not None:
            self._writer.ended(host, key)
        self._last_end = line.t  # lines come in order
        job = self._jobs.get(key[0])
        if job is not None:
            job.ended = line.t
            job.alive -= 1
        judged = self._judged.pop(key, None) if self._judged else None
        known = judged is not None or job is None
        self._orphans += known and line.t >= self._warm_up_ns
        if host == LOCAL:
            return
        used = self._used(start, line.t, slots)
        if known:
            self._spend(task, judged or "lost", used)
        else:
            self._ran[key] = (used, task)

    def _used(self, start: int, end: int, slots: int) -> int:
        """Slot-time within the window."""
        begin = end if self._begin is None else self._begin
        return (end - start if start >= begin else max(0, end - begin)) * slots

    def _spend(self, name: str, what: str, used: int) -> None:
        task = self._tasks.get(name)
        if task is None:
            task = self._tasks[name] = _Task()
        setattr(task, what, getattr(task, what) + used)

    # ends

    def _attempt_ended(self, line: Committed) -> None:
        record: AttemptEnded = line.record  # type: ignore[assignment]
        job = self._jobs.get(record.job)
        if job is None or line.node != SCHEDULER:
            return
        now = line.t
        key, report = (record.job, record.attempt), record.report
        job.attempts += 1
        if now >= self._warm_up_ns:
            self._attempts += 1
            if report.outcome not in BY_ITSELF:
                self._grounds[report.outcome.name] += 1
        judged = judge_attempt(record)
        if key in self._running:
            self._judged[key] = judged
        else:
            ran = self._ran.pop(key, None)
            if ran is not None:
                self._spend(ran[1], judged, ran[0])
        if record.final:
            del self._jobs[record.job]
            if job.waits:
                self._waits_no_more(job, now)
            if now >= (self._begin or 0):
                self._count(job, report, now)
            if self._writer is not None:
                self._writer.final(job, record, now)
        elif not job.waits:
            job.waits, job.waits_since = True, now
            self._change_pending(1, now)

    def _count(self, job: Observed, report: Report, now: int) -> None:
        """A job is final within the window. What it asked for counts where it was submitted within it."""
        task = self._tasks[job.task]
        asks = job.asks if job.submitted >= (self._begin or 0) else 0
        task.ended += 1
        task.outcomes[outcome_name(report)] += 1
        if job.due != NONE:
            task.due_to_handled.append(now - job.due)
            if job.item is None:
                task.lateness.append(job.submitted - job.due)
        if job.started == NONE:
            task.unknown_slots += asks
            return
        task.waits.append(job.started - job.submitted)
        if NONE < job.submitted <= job.assigned <= job.given <= job.started:
            task.giving.append(job.assigned - job.submitted)
            task.queueing.append(job.given - job.assigned)
            task.dispatch.append(job.started - job.given)
        if job.ended == NONE:
            task.unknown_slots += asks
            return
        run, response = job.ended - job.run_began, job.ended - job.submitted
        task.runs.append(run)
        task.responses.append(response)
        if report.outcome in BY_ITSELF:
            if job.asks:
                task.asked += run * asks
                task.known_ns += run
                task.known += 1
        else:
            task.unknown_slots += asks

    # the end

    def _finished(self, line: Finished) -> None:
        self._end = line.t
        if self._begin is None:
            self._open_window(line.t)
        self._change_pending(0, line.t)
        self._hosts.close(line.t)
        if self._answers is not None:
            self._answers.close(line.t)
        for start, slots, name, host in self._running.values():
            if host != LOCAL:
                self._spend(name, "running", self._used(start, line.t, slots))
        for used, name in self._ran.values():
            self._spend(name, "undecided", used)
        for job in self._jobs.values():
            task = self._tasks[job.task]
            task.open += 1
            if job.submitted >= (self._begin or 0):
                task.unknown_slots += job.asks
            if job.waits:
                self._oldest = max(self._oldest, line.t - job.waits_since)
            if self._writer is not None:
                self._writer.final(job, None, NONE)

    def metrics(self) -> Metrics:
        """After the last line: what was measured."""
        begin = self._end if self._begin is None else min(self._begin, self._end)
        span = self._end - begin
        tasks = [(name, task) for name, task in self._tasks.items() if name]
        every = list(self._tasks.values())
        tau_ns = self._tau_ns
        lines = tuple(_task_metrics(name, [task], tau_ns) for name, task in tasks)
        alone = lines and len(lines) == len(every) == 1
        total = replace(lines[0], task="*") if alone else _task_metrics("*", every, tau_ns)
        hosts, slot_time = self._hosts, total.slot_time
        served = [line.served for line in lines]
        oldest_first = sorted(self._jobs.values(), key=lambda job: (job.submitted, job.job))
        return Metrics(
            begin=begin,
            end=self._end,
            warm_up=self._warm_up_ns,
            tau=self._tau_ns,
            makespan=self._makespan(),
            last_submit=self._last_submit,
            throughput=ratio(total.ended * SECOND, span),
            offered_load=None if total.asked is None else ratio(total.asked, hosts.nominal * self._offered(begin)),
            utilization_nominal=ratio(slot_time.busy, hosts.nominal),
            utilization_available=ratio(slot_time.busy, hosts.up),
            goodput=ratio(slot_time.good, hosts.nominal),
            lost_work=ratio(slot_time.lost, hosts.nominal),
            queue_mean=ratio(self._pending_area, span),
            queue_max=self._pending_max,
            oldest=None if self._oldest == NONE else self._oldest,
            timeouts=dict(self._grounds.most_common()),
            attempts=self._attempts,
            orphans=self._orphans,
            duplicates=self._duplicates,
            system_availability=ratio(hosts.up, hosts.nominal),
            all_up=ratio(hosts.all_up, span),
            hosts_up={number: time / span for number, time in sorted(hosts.hosts_up.items(), reverse=True) if span},
            controller_availability=None if self._answers is None else self._answers.mean(),
            controller_running=ratio(span - hosts.controller_away, span),
            hosts=hosts.rows(),
            detection=Spread.of([hosts.detections]),
            undetected=hosts.undetected,
            recovery=Spread.of([hosts.recoveries]),
            unrecovered=len(hosts.recovering),
            fairness=jain([share for share in served if share is not None]),
            total=total,
            tasks=lines,
            open_jobs=tuple(_open_job(job, self._end) for job in oldest_first[:OPEN_SHOWN]),
            alarms=self._alarms,
            deadlines_missed=self._deadlines_missed,
            notifications=self._notifications,
        )

    def _offered(self, begin: int) -> float:
        """The share of the window in which jobs may have come."""
        if not self._until_last or self._last_submit is None or self._end <= begin:
            return 1.0
        return max(0, self._last_submit - begin) / (self._end - begin)

    def _makespan(self) -> int | None:
        if self._first_submit is None or self._last_end == NONE:
            return None
        return self._last_end - self._first_submit


def judge_attempt(record: AttemptEnded) -> str:
    """For what the attempt's slot-time was: the name of a sum of its task."""
    outcome = record.report.outcome
    if record.final and record.good:
        return "good"
    return "rejected" if outcome in BY_ITSELF else "lost"


def _open_job(job: Observed, now: int) -> OpenJob:
    state = "pending" if job.waits else "running" if job.ended == NONE else "ended"
    return OpenJob(job.job, job.task, job.item, state, now - job.submitted)


def _task_metrics(name: str, tasks: list[_Task], tau_ns: int) -> TaskMetrics:
    """The metrics of these tasks together."""
    outcomes: Counter[str] = Counter()
    for task in tasks:
        outcomes.update(task.outcomes)
    good, rejected, lost, running, undecided = (
        sum(getattr(task, what) for task in tasks) for what in ("good", "rejected", "lost", "running", "undecided")
    )
    return TaskMetrics(
        task=name,
        submitted=sum(task.submitted for task in tasks),
        ended=sum(task.ended for task in tasks),
        open=sum(task.open for task in tasks),
        outcomes=dict(sorted(outcomes.items(), key=lambda pair: (-pair[1], pair[0]))),
        wait=Spread.of([task.waits for task in tasks]),
        giving=Spread.of([task.giving for task in tasks]),
        queueing=Spread.of([task.queueing for task in tasks]),
        dispatch=Spread.of([task.dispatch for task in tasks]),
        run=Spread.of([task.runs for task in tasks]),
        response=Spread.of([task.responses for task in tasks]),
        due_to_handled=Spread.of([task.due_to_handled for task in tasks]),
        lateness=Spread.of([task.lateness for task in tasks]),
        slowdown=Spread.of([_slowdowns(task) for task in tasks]),
        bounded_slowdown=Spread.of([_bounded_slowdowns(task, tau_ns) for task in tasks]),
        slot_time=SlotTime(
            good + rejected + lost + running + undecided, good, rejected, lost, running, undecided
        ),
        asked=_asked(tasks),
    )  # fmt: skip


def _slowdowns(task: _Task) -> list[float]:
    return [response / run for response, run in zip(task.responses, task.runs, strict=True) if run]


def _bounded_slowdowns(task: _Task, tau_ns: int) -> list[float]:
    times = zip(task.responses, task.runs, strict=True)
    ratios = [response / (run if run > tau_ns else tau_ns) for response, run in times]
    return [ratio if ratio > 1.0 else 1.0 for ratio in ratios]


def _asked(tasks: list[_Task]) -> int | None:
    """None: a task has jobs of which nobody knows how long they would run."""
    asked = 0
    for task in tasks:
        asked += task.asked
        if task.unknown_slots:
            if not task.known:
                return None
            asked += task.unknown_slots * task.known_ns // task.known
    return asked
