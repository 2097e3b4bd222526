"""Who waits for an executor, how many it has, and who is given out next. Owned by the scheduler.

Jobs that need the same of a host stand in one line (`lines.py`). Of each line an executor has the first ones: at most
`front_max` that do not run yet, or as many as run if these are more, so that it has enough to give when all of them end
at once. When some start or end the line moves up, in the same turn. So a million jobs take little, wherever the
executor is, and it chooses as if it had them all: whoever is first in any order it looks at is there. A job with a
smaller number than one that was given out already (a retry, one that was released) has its turn at once.

An executor that is away, or to which nothing may be given, has the same lines: they move up when it is back. While jobs
stand here their pending timeouts are watched here, by the same rules, and they count as waiting for `pending_max`.
With silence of an executor its jobs lose patience one by one, wherever they are.
"""

from __future__ import annotations

from collections.abc import Collection
from heapq import nlargest
from typing import TYPE_CHECKING, Final

from model.channel import LinkState
from model.configuration import Order, two_hops
from model.downlink import Downlink
from model.effects import Commit, Notice
from model.explain import Explanation, Reason
from model.job import LOCAL, JobId, JobSpec, JobState, Outcome, Report
from model.kept_specs import SpecKeeper, spec_of
from model.lines import CONTROLLER, LONG, SOON, Executor, Line
from model.messages import CancelReason
from model.records import AttemptAssigned
from model.scheduled_job import NOTHING_SPECIAL, ScheduledJob
from model.states import quick
from model.timers import NEVER_NS, Deadlines, Timers

if TYPE_CHECKING:
    from model.scheduler import Scheduler

LINES_MAX: Final = 1000
"""Lines that are kept; with more those in which nobody stands, waits or runs are forgotten. (Each host that jobs name
has one.)"""
NEVER_STARTED = frozenset({JobState.READY, JobState.ASSIGNED, JobState.PENDING})
_S = quick(JobState)
_OPEN = quick(LinkState).OPEN
_NEEDS_NOTHING = JobSpec("")


class Assigning:
    """The executors and the lines before them."""

    def __init__(self, scheduler: Scheduler, epoch: int, now: int) -> None:
        cluster = scheduler.cluster
        self.executors = {
            CONTROLLER: Executor(CONTROLLER, Downlink(CONTROLLER, epoch, two_hops(cluster), now), now),
            LOCAL: Executor(LOCAL, Downlink(LOCAL, epoch, cluster.local_times, now), now),
        }
        self.silent: Timers[JobId] = Timers()
        """ends of the patience with a silent executor"""
        self.stirred: dict[Line, None] = {}
        """lines that may move up: one of its jobs that the executor has does not wait any more"""
        self.refused: dict[JobId, None] = {}
        """jobs that were too many, to be ended: making one must not end another one in the middle"""
        self._scheduler = scheduler
        self._jobs = scheduler.jobs
        self._most = {
            # a controller that others share has terms of its own, and sees what was given out only
            CONTROLLER: NEVER_NS if cluster.directory else cluster.pending_max,
            LOCAL: cluster.pending_local_max,
        }
        self._front_max = cluster.front_max
        self._is_strict = cluster.order is Order.STRICT
        self._lines: dict[tuple[object, ...], Line] = {}
        self._lines_kept = LINES_MAX
        self._last = _NEEDS_NOTHING
        """the last specification whose line was looked for: most are those of one task in a row"""
        self._last_line = self._find_line(_NEEDS_NOTHING)
        self._specs = SpecKeeper()
        self._pending: Deadlines[ScheduledJob] = Deadlines(_pending_ends)
        """pending timeouts of jobs that came into a line new"""
        self._again: Timers[JobId] = Timers()
        """those of jobs that came into it once more"""

    # time

    def next_due(self) -> int:
        """When `advance` wants to be called (ns); `NEVER_NS`: not of itself, 0: at once."""
        if self.refused:
            return 0
        due = self.silent.first
        if self._pending.first < due:
            due = self._pending.first
        if self._again.first < due:
            due = self._again.first
        return due

    def advance(self, now: int) -> None:
        """Patience that is over, and pending timeouts."""
        for number in self.silent.take(now):
            self._patience_over(self._jobs[number], now)
        if self._pending.first <= now:
            for job in self._pending.take(now):
                self._waited_too_long(job, now)
        if self._again.first <= now:
            for number in self._again.take(now):
                self._waited_too_long(self._jobs[number], now)

    def settle(self, now: int) -> None:
        """At the end of a turn: what has changed in it lets lines move up, and what was too many ends."""
        stirred, self.stirred = self.stirred, {}
        self._move_up(stirred, now)
        refused, self.refused = self.refused, {}
        for number in refused:
            job = self._jobs.get(number)
            if job is not None and job.state is _S.READY and not job.in_line:
                assert job.line is not None
                reason = f"{self._most[job.line.executor.name]} jobs wait already (pending_max)"
                self._scheduler.end_now(job, Outcome.OVERLOADED, reason, now)

    # lines

    def line_of(self, spec: JobSpec) -> Line:
        """Where jobs of this specification stand."""
        last = self._last
        if spec.host is last.host and spec.slots == last.slots and spec.needs is last.needs:
            return self._last_line
        self._last, self._last_line = spec, self._find_line(spec)
        return self._last_line

    def _find_line(self, spec: JobSpec) -> Line:
        name = LOCAL if spec.host.name == LOCAL else CONTROLLER
        if self._is_strict and name == CONTROLLER:
            key: tuple[object, ...] = (name,)  # there nobody passes one that came before it, whatever it needs
        else:
            key = (name, spec.slots, spec.needs, spec.host)
        line = self._lines.get(key)
        if line is None:
            if len(self._lines) >= self._lines_kept:
                self._lines = {key: line for key, line in self._lines.items() if not line.is_idle}
                self._lines_kept = max(LINES_MAX, 2 * len(self._lines))
            line = self._lines[key] = Line(self.executors[name])
        return line

    def is_here(self, number: JobId) -> bool:
        """Whether the job stands in its line."""
        job = self._jobs.get(number)
        return job is not None and job.in_line > 0

    def assign(self, job: ScheduledJob, now: int) -> None:
        """A job is ready: it is given out, or stands in its line."""
        line = job.line
        assert line is not None
        executor = line.executor
        if _lives_there(job, executor):
            executor.barred[job.id] = None
        elif executor.link.state is not _OPEN or self._scheduler.orders.assigning_stopped:
            self._join(job, line, now)
        elif job.id <= line.farthest or (not line.standing and line.waiting < self._most_out(line)):
            self._give(job, line, now)
            return
        elif executor.standing + executor.waiting >= self._most[executor.name]:
            self.refused[job.id] = None
            return
        else:
            self._join(job, line, now)
        if executor.away_since_ns is not None:
            self._lose_patience(job, now)

    def _takes(self, executor: Executor) -> bool:
        return executor.link.state is _OPEN and not self._scheduler.orders.assigning_stopped

    def _most_out(self, line: Line) -> int:
        return self._front_max if self._front_max > line.running else line.running

    def _join(self, job: ScheduledJob, line: Line, now: int) -> None:
        job.in_line = SOON if line.standing + line.waiting < self._front_max else LONG
        line.join(job.id, self.is_here)
        line.executor.standing += 1
        if job.in_line == SOON:
            return
        job.kept = self._specs.keep(job.spec)
        pending_ns = job.common.pending_ns
        if not pending_ns:
            return
        if job.is_new:
            self._pending.set(job, pending_ns, job.ready_ns + pending_ns)
        else:
            self._again.set(job.id, job.ready_ns + pending_ns)

    def leave(self, job: ScheduledJob) -> None:
        """The job does not wait here any more, whatever becomes of it."""
        line = job.line
        assert line is not None
        executor = line.executor
        if executor.barred:
            executor.barred.pop(job.id, None)
        how, job.in_line = job.in_line, 0
        if not how:
            return
        line.standing -= 1
        executor.standing -= 1
        if how == SOON:
            return
        if job.id in executor.overdue:
            del executor.overdue[job.id]
        elif pending_ns := job.common.pending_ns:
            if self._again.at(job.id) is not None:
                self._again.cancel(job.id)
            else:
                self._pending.cancel(job, pending_ns)

    def _give(self, job: ScheduledJob, line: Line, now: int) -> None:
        scheduler, executor = self._scheduler, line.executor
        job.attempt += 1
        job.executor = executor.name
        spec = job.kept
        if type(spec) is not JobSpec:
            spec = job.kept = spec_of(spec)
        line.waiting += 1
        executor.waiting += 1
        if job.id > line.farthest:
            line.farthest = job.id
        scheduler.move(job, _S.ASSIGNED, now)
        scheduler.effects.append(Commit(AttemptAssigned(job.id, job.attempt, executor.name)))
        executor.link.assign((job.id, job.attempt), spec, now - job.ready_ns, now)

    def _move_up(self, lines: Collection[Line], now: int) -> None:
        """The first ones of these lines are given out, as many as may be, in the order of their numbers."""
        given: list[ScheduledJob] = []
        for line in lines:
            if not line.standing or not self._takes(line.executor):
                continue
            room = self._most_out(line) - line.waiting
            while line.standing:
                number = line.take_first(self.is_here, room > 0)
                if number is None:
                    break
                job = self._jobs[number]
                self.leave(job)
                if _lives_there(job, line.executor):  # it stood here before its executor said so
                    line.executor.barred[number] = None
                    continue
                given.append(job)
                room -= 1
        if len(lines) > 1:
            given.sort(key=_number)
        for job in given:
            assert job.line is not None
            self._give(job, job.line, now)

    def moved(self, job: ScheduledJob, before: JobState, state: JobState) -> None:
        """A job that an executor has runs now, or does neither run nor wait any more."""
        line = job.line
        assert line is not None
        if before is _S.RUNNING:
            line.running -= 1
            return
        line.waiting -= 1
        line.executor.waiting -= 1
        if state is _S.RUNNING:
            line.running += 1
        if line.standing:
            self.stirred[line] = None

    def restored(self, job: ScheduledJob) -> None:
        """An executor has this job since an earlier life."""
        line = job.line
        assert line is not None
        line.farthest = max(line.farthest, job.id)
        if job.state is _S.RUNNING:
            line.running += 1
        else:
            line.waiting += 1
            line.executor.waiting += 1

    # an executor that comes and goes

    def sync(self, executor: Executor, now: int) -> None:
        """Follow the link: a silent executor's jobs lose patience one by one, a ready one gets what waited."""
        ready = executor.link.state is _OPEN
        effects = self._scheduler.effects
        if ready and executor.away_since_ns is not None:
            effects.append(Notice("info", executor.name, f"{executor.name} answers"))
            executor.away_since_ns = None
            self.silent = Timers()
            for other in self.executors.values():
                if other.away_since_ns is not None:
                    self._all_lose_patience(other, now)
            self.flush(executor, now)
        elif not ready and executor.away_since_ns is None:
            state = executor.link.state.value
            effects.append(Notice("warning", executor.name, f"{executor.name} is {state}: its jobs wait"))
            executor.away_since_ns = now
            self._all_lose_patience(executor, now)

    def flush(self, executor: Executor, now: int) -> None:
        """The executor can take jobs again (or a person lets it): its lines move up."""
        for number in list(executor.overdue):
            self._waited_too_long(self._jobs[number], now)
        barred, executor.barred = executor.barred, {}
        for number in barred:
            self.assign(self._jobs[number], now)
        lines = [line for line in self._lines.values() if line.executor is executor and line.standing]
        self._move_up(lines, now)
        most = self._most[executor.name]
        over = executor.standing + executor.waiting - most
        if over > 0 and self._takes(executor):
            standing = dict.fromkeys(number for line in lines for number in line.numbers(self.is_here))
            for number in sorted(nlargest(over, standing)):
                self.leave(self._jobs[number])
                self.refused[number] = None

    # silence

    def _all_lose_patience(self, executor: Executor, now: int) -> None:
        since = executor.away_since_ns
        assert since is not None
        for job in self._jobs.values():
            if job.state in NEVER_STARTED and job.line is not None and job.line.executor is executor:
                self._lose_patience(job, max(since, job.since_ns if job.state is _S.READY else since))

    def _lose_patience(self, job: ScheduledJob, since_ns: int) -> None:
        grace = job.common.pending_ns
        if job.task is not None and job.task.definition.silent_grace_ns is not None:
            grace = job.task.definition.silent_grace_ns
        if grace and self.silent.at(job.id) is None:
            self.silent.set(job.id, since_ns + grace)

    def _patience_over(self, job: ScheduledJob, now: int) -> None:
        """The executor was silent for the job's grace, and it is not known to run."""
        if job.state not in NEVER_STARTED:
            return
        assert job.line is not None
        executor = job.line.executor
        self.leave(job)
        if job.state is not _S.READY:
            executor.link.cancel((job.id, job.attempt), CancelReason.CONTROLLER_SILENT, now)
        report = Report(
            Outcome.CONTROLLER_SILENT, reason=f"{executor.name} did not answer", waited_ns=now - job.ready_ns
        )
        self._scheduler.ended(job, report, now, by_executor=False)

    def _waited_too_long(self, job: ScheduledJob, now: int) -> None:
        """The pending timeout of a job in its line: it ends, unless nobody could have started it."""
        if not job.in_line:
            return
        assert job.line is not None
        executor = job.line.executor
        executor.overdue[job.id] = None
        if self._takes(executor):
            reason = f"{executor.name} had others of its line, {job.line.waiting} of them waited there"
            self._scheduler.end_now(job, Outcome.PENDING_TIMEOUT, reason, now)

    # explain

    def explain(self, job: ScheduledJob) -> Explanation | None:
        """Why a job is in its line that could be given out; None: it is not."""
        line = job.line
        if line is None or not job.in_line or not self._takes(line.executor):
            return None
        before = line.before(job.id) + line.waiting
        text = f"stands behind {before} of its kind, of which {line.executor.name} has {line.waiting}"
        until = job.ready_ns + job.common.pending_ns if job.common.pending_ns else None
        return Explanation(Reason.NOT_ITS_TURN, text, job.since_ns, until, ("those before it start",))


def _lives_there(job: ScheduledJob, executor: Executor) -> bool:
    """Whether its earlier attempt is still being ended, so that the next one has to wait."""
    return job.attempt > 0 and (job.id, job.attempt) in executor.link.given


def _number(job: ScheduledJob) -> JobId:
    return job.id


def _pending_ends(job: ScheduledJob) -> int | None:
    if job.in_line != LONG or job.attempt or job.special is not NOTHING_SPECIAL:  # (`is_new` would be a call for each)
        return None
    return job.ready_ns + job.common.pending_ns
