"""Deadlines of tasks: has something started, or ended, in time. Owned by `model/alarms.py`, which asks at each look.

Two ways to say when (`task.Deadline`): so long after a job was due (or, for a job of an item, made), or by a time of
day. The first is also missed when no job could be made at all: the task is held, stopped, at its limit. A time of day
is a cycle from one such moment to the next: in it a job must have been made and started, or one must have ended well,
and none that was due before is left. A task with items needs none where no item came.

A deadline that is new (a reload) counts for the jobs that are there, too: they are taken up at the next look, and so
are those of an earlier life. Where it is not known when a job was due, it was due when this life made or found it.

Costs nothing for tasks without a deadline; for others one entry for each job until it has started, or ended.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta

from msgspec import Struct

from model.alarm_kinds import AlarmKind, Trouble
from model.explain import Reason
from model.job import SECOND, JobId, JobState
from model.records import DeadlineCycle, JobDue
from model.scheduled_job import ScheduledJob
from model.task import Deadline
from model.task_state import TaskState
from model.windows import shown_first

START, END = "start", "end"
KINDS = {START: AlarmKind.LATE_START, END: AlarmKind.LATE_END}
COUNTED = 1000
"""Late jobs of a task that are counted; more are told as so many and more."""
SWEPT_FROM = 64
"""Entries of a task that may be of jobs that need not be waited for any more, beside those of its open jobs."""
DAYS_AHEAD = 8
"""Days within which some weekday of a deadline comes."""
_EXCUSES = frozenset({Reason.WINDOW, Reason.INACTIVE, Reason.DELETED, Reason.LIMIT_TOTAL})
"""Why a task makes no job, with everything as it should be."""


class _Awaited(Struct):
    """A job of which a deadline speaks. `due_at`: when it was due (wall time, ns)."""

    due_at: int
    job: ScheduledJob


def _has_started(job: ScheduledJob) -> bool:
    state = job.state
    if state is JobState.RUNNING or state is JobState.FINAL or job.special.retries or job.special.reruns:
        return True
    return bool(job.host) or (job.report is not None and job.report.started)


def _has_ended(job: ScheduledJob) -> bool:
    return job.state is JobState.FINAL


_IS_DONE: dict[str, Callable[[ScheduledJob], bool]] = {START: _has_started, END: _has_ended}


def next_moment(deadline: Deadline, second: int, wall_ns: int) -> int:
    """The first moment after `wall_ns` at which the clock of the deadline's zone shows `second` (after midnight), or
    jumps over it, on one of its days, as wall time in ns."""
    today = datetime.fromtimestamp(wall_ns // SECOND, deadline.zone).date()
    for step in range(-1, DAYS_AHEAD):
        day: date = today + timedelta(days=step)
        if deadline.weekdays is not None and day.weekday() not in deadline.weekdays:
            continue
        at = shown_first(datetime.combine(day, time(), deadline.zone) + timedelta(seconds=second))
        moment = int(at.timestamp()) * SECOND
        if moment > wall_ns:
            return moment
    raise AssertionError("some weekday comes within a week")


_Key = tuple[str, str]
"""A task, and START or END."""


class DeadlineWatch:
    """What is awaited, by task."""

    def __init__(
        self,
        tasks: Mapping[str, TaskState],
        jobs: Mapping[JobId, ScheduledJob],
        record: Callable[[DeadlineCycle | JobDue], None],
    ) -> None:
        """`jobs`: all that are not final. `record`: this is to be remembered."""
        self._tasks = tasks
        self._jobs = jobs
        self._record = record
        self._awaited: dict[_Key, deque[_Awaited]] = {}
        """of each deadline that was looked at"""
        self._dues: dict[JobId, int] = {}
        """when jobs were due that are still to be taken up"""
        self._cycles: dict[_Key, DeadlineCycle] = {}
        self._was_late: dict[_Key, None] = {}
        """missed in an earlier life: it stays so while nothing can be started, however long that is"""

    def restore(
        self, cycles: Mapping[_Key, DeadlineCycle], late: Mapping[_Key, None], dues: Mapping[JobId, int]
    ) -> None:
        """Take up what an earlier life knew. `late`: deadlines that were missed; `dues`: when jobs were due."""
        self._cycles = dict(cycles)
        self._was_late = dict(late)
        self._dues = dict(dues)

    def forget(self) -> None:
        """Nobody looks any more."""
        for known in (self._awaited, self._dues, self._cycles, self._was_late):
            known.clear()

    def made(self, job: ScheduledJob, due_at: int) -> None:
        """A job of a task with a deadline is there."""
        assert job.task is not None
        for key in _keys(job.task):
            queue = self._awaited.get(key)
            if queue is None:
                self._dues[job.id] = due_at  # nobody has looked at this deadline yet
            else:
                queue.append(_Awaited(due_at, job))

    def _take_up(self, offset_ns: int) -> None:
        """Deadlines that are new concern all jobs that are there; what has none any more is forgotten."""
        wanted = [key for task in self._tasks.values() for key in _keys(task)]
        if wanted == list(self._awaited):
            return
        old, self._awaited = self._awaited, {}
        for key in wanted:
            self._awaited[key] = old.get(key) or deque()
        self._cycles = {key: cycle for key, cycle in self._cycles.items() if key in self._awaited}
        self._was_late = {key: None for key in self._was_late if key in self._awaited}
        new = {key: list[_Awaited]() for key in wanted if key not in old}
        if not new:
            return
        for job in self._jobs.values():
            keys = () if job.task is None else _keys(job.task)
            if not any(key in new for key in keys):
                continue
            due_at = self._dues.pop(job.id, None)
            if due_at is None:
                due_at = job.made_ns + offset_ns
                if not any(key in old for key in keys):
                    self._record(JobDue(job.id, due_at))
            for key in keys:
                if key in new:
                    new[key].append(_Awaited(due_at, job))
        for key, entries in new.items():
            self._awaited[key].extend(sorted(entries, key=lambda each: each.due_at))
        self._dues = {job: due_at for job, due_at in self._dues.items() if job in self._jobs}

    def late(self, now: int, offset_ns: int, stopped: bool) -> list[Trouble]:
        """Every deadline that is missed now. `stopped`: the intake is, so nothing is made."""
        self._take_up(offset_ns)
        found: list[Trouble] = []
        for name, task in self._tasks.items():
            deadline = task.definition.deadline
            if deadline is None:
                continue
            for which, limit in ((START, deadline.start), (END, deadline.end)):
                if limit is None:
                    continue
                if limit.after_ns:
                    text = self._late_after(task, which, limit.after_ns, now, now + offset_ns)
                else:
                    text = self._late_by(task, deadline, which, limit.by_s, now + offset_ns)
                text = text or self._still_late(task, which, stopped)
                if text:
                    found.append(Trouble(KINDS[which], f"task {name}", f"{text} (deadline.{which}: {limit.text})"))
        return found

    def _left(self, task: TaskState, which: str, before_at: int) -> tuple[int, int]:
        """(how many jobs, the first one) were due before this wall time and have not started, or ended."""
        count, first = 0, 0
        for each in self._open(task.definition.name, which, task.in_flight):
            if count == COUNTED or each.due_at >= before_at:
                break
            if not _IS_DONE[which](each.job):
                first = first or each.job.id
                count += 1
        return count, first

    def _open(self, name: str, which: str, in_flight: int) -> deque[_Awaited]:
        """What is awaited, less what needs it no more at the head."""
        queue = self._awaited[name, which]
        is_done = _IS_DONE[which]
        while queue and is_done(queue[0].job):
            queue.popleft()
        if len(queue) > 2 * in_flight + SWEPT_FROM:
            queue = self._awaited[name, which] = deque([each for each in queue if not is_done(each.job)])
        return queue

    def _late_after(self, task: TaskState, which: str, after_ns: int, now: int, wall: int) -> str:
        name = task.definition.name
        count, first = self._left(task, which, wall - after_ns + 1)
        if count:
            return _jobs_text(name, which, count, first)
        if task.blocked is None or task.blocked[0] in _EXCUSES or (task.sourced and not task.items):
            return ""
        if now - task.blocked_due_ns < after_ns:
            return ""
        return f"task {name}: nothing is started: {task.blocked[1]}"

    def _still_late(self, task: TaskState, which: str, stopped: bool) -> str:
        """Since when nothing could be started is not known after a restart."""
        key = (task.definition.name, which)
        if key not in self._was_late:
            return ""
        if stopped or task.held or task.faulted:
            return f"task {key[0]}: nothing is started: {task.faulted or task.held or 'the intake is stopped'}"
        del self._was_late[key]
        return ""

    # by a time of day

    def _late_by(self, task: TaskState, deadline: Deadline, which: str, second: int, wall: int) -> str:
        key = (task.definition.name, which)
        cycle = self._cycles.get(key)
        if cycle is None or next_moment(deadline, second, cycle.next_at - 1) != cycle.next_at:
            moment = next_moment(deadline, second, wall)
            # the first cycle takes what was before for good
            old = (0, 0) if cycle is None else (cycle.made, cycle.done)
            cycle = self._keep(DeadlineCycle(*key, moment, *old))
        if wall >= cycle.next_at:
            missed = (cycle.missed_at, cycle.missed_made, cycle.missed_done)
            if not cycle.missed_at and not self._is_met(task, which, (cycle.next_at, cycle.made, cycle.done)):
                missed = (cycle.next_at, cycle.made, cycle.done)
            moment = next_moment(deadline, second, wall)
            cycle = self._keep(DeadlineCycle(*key, moment, task.made, task.done, *missed))
        if not cycle.missed_at:
            return ""
        if self._is_met(task, which, (cycle.missed_at, cycle.missed_made, cycle.missed_done)):
            self._keep(DeadlineCycle(*key, cycle.next_at, cycle.made, cycle.done))
            return ""
        count, first = self._left(task, which, cycle.missed_at)
        if count:
            return _jobs_text(key[0], which, count, first)
        if task.items:
            return f"task {key[0]}: {len(task.items)} items have no job yet"
        return f"task {key[0]}: nothing {'was started' if which == START else 'ended well'}"

    def _keep(self, cycle: DeadlineCycle) -> DeadlineCycle:
        self._cycles[cycle.task, cycle.which] = cycle
        self._record(cycle)
        return cycle

    def _is_met(self, task: TaskState, which: str, cycle: tuple[int, int, int]) -> bool:
        """`cycle`: its end (wall time), and how many jobs had been made and done when it began."""
        end_at, made, done = cycle
        if task.items or self._left(task, which, end_at)[0]:
            return False
        return task.sourced or (task.made > made if which == START else task.done > done)


def _keys(task: TaskState) -> list[_Key]:
    """The deadlines of a task."""
    definition, deadline = task.definition, task.definition.deadline
    if deadline is None:
        return []
    return [
        (definition.name, which) for which, limit in ((START, deadline.start), (END, deadline.end)) if limit is not None
    ]


def deadline_lines(deadline: Deadline | None) -> list[str]:
    """For people: which deadlines a task has."""
    if deadline is None:
        return []
    words = (("must have started", deadline.start), ("must have ended", deadline.end))
    return [
        f"deadline: its jobs {text} {f'within {limit.text} of being due' if limit.after_ns else f'by {limit.text}'}"
        for text, limit in words
        if limit is not None
    ]


def _jobs_text(name: str, which: str, count: int, first: int) -> str:
    verb = "started" if which == START else "ended"
    if count == 1:
        return f"task {name}: job {first} has not {verb} in time"
    shown = f"{count} or more" if count == COUNTED else str(count)
    return f"task {name}: {shown} jobs have not {verb} in time, the first is job {first}"
