"""Why jobs wait, and for how long: folded from the event log, for pictures and for what hurt.

A part of `sim/timeline.py`, which tells it of records, sizes, faults and processes. Jobs (and items) that wait alike
are counted together, and their time is spent whenever the reason may be about to change.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable
from enum import Enum
from heapq import merge
from typing import Any

from msgspec import Struct

from model.events import HostVerb
from model.job import SECOND, JobId
from model.records import (
    SET_ASIDE,
    WELL,
    AttemptAssigned,
    AttemptEnded,
    HostChanged,
    ItemsFound,
    JobAccepted,
    JobHeld,
    TaskChanged,
)
from model.states import State
from sim.host_states import AWAY, CUT, NOT_RUNNING, HostStates, host_of, scheduler_of
from sim.log import FaultChanged
from sim.series import Most, Series, most_of

BRIEF_NS = SECOND // 10
"""A shorter wait is none where people ask how many waited: every job takes some ms to its host."""
_SHUT = frozenset({SET_ASIDE, HostVerb.DRAIN.value, HostVerb.OFF.value})
_OPEN = frozenset({WELL, HostVerb.ON.value})
"""What is recorded of a host that is given nothing new from now on, and of one that is."""


class Reason(Enum):
    """Why a job waits, as far as the log tells; or (`OF_ITEMS`) why an item that a source has shown is no job yet."""

    NO_SLOT = "no free slot"
    """the controller has it, and no host (or not the one that it needs) has room"""
    HOST_AWAY = "required host away"
    HOST_CLOSED = "required host closed"
    """a person has it drained or off, or it was set aside"""
    HOST_UNKNOWN = "required host unknown"
    CONTROLLER_AWAY = "controller away"
    """it does not run, or its scheduler cannot reach it"""
    AT_SCHEDULER = "with the scheduler"
    """not given to an executor yet: as many of its kind wait there as may, or intake was halted"""
    HELD = "held"
    """by a person"""
    TO_HOST = "on its way to its host"
    """given to a host, and its process has not started: the network, files to wait for"""
    RETRY = "to be tried again"
    TASK_LIMIT = "task limit"
    """its task has as many jobs as its limits allow"""
    TASK_HELD = "task held"
    """by a person, or by itself (faulted)"""
    TASK_CLOSED = "task makes no job"
    """for another reason, which the log does not tell: its window is closed, intake was stopped, its script takes long,
    or its limits are a script's"""


OF_ITEMS = (Reason.TASK_LIMIT, Reason.TASK_HELD, Reason.TASK_CLOSED)
"""A job has passed the limits of its task, or it would not have been made: what they keep waiting are items."""
OF_JOBS = tuple(reason for reason in Reason if reason not in OF_ITEMS)


class _Phase(State):
    """How far it has come. An item is no job yet."""

    ITEM = "item"
    SCHEDULER = "scheduler"
    HELD = "held"
    QUEUE = "queue"
    HOST = "host"
    RETRY = "retry"


_ALWAYS = {_Phase.RETRY: Reason.RETRY, _Phase.HOST: Reason.TO_HOST, _Phase.HELD: Reason.HELD}
"""Phases that are a reason by themselves."""


class Submitted(Struct, frozen=True):
    """A job that is not final. `host`: the one that it needs; `plain`: it does not count for its task."""

    task: str
    at: int
    host: str
    slots: int
    plain: bool


class _Wait(Struct):
    """A job that waits for a start."""

    job: Submitted
    since: int
    phase: _Phase


class _Limits(Struct):
    """Of a task whose definition the log tells (0: no limit), and what it has of them."""

    in_flight_max: int
    total: int
    in_flight: int = 0
    made: int = 0

    @property
    def reached(self) -> bool:
        """Whether the task may make no further job."""
        return 0 < self.total <= self.made or 0 < self.in_flight_max <= self.in_flight


_Key = tuple[str, _Phase, str]
"""(task, phase, the host that is needed)"""


class _Level(Struct):
    """So many jobs (or items) wait alike, since `since`."""

    jobs: int = 0
    slots: int = 0
    since: int = 0


class Waiting:
    """`series` gets the waiting jobs and items by reason, `pending slots`, and the age of the `oldest` job."""

    def __init__(self, series: Series, states: HostStates) -> None:
        """`states`: of hosts and the controller; who has them tells of each fault here first."""
        self.jobs: dict[JobId, Submitted] = {}
        self.hurt: Counter[tuple[str, str, str]] = Counter()
        """(task, `Reason`'s value, host): how long jobs waited for that reason, jobs x ns"""
        self.most = Most()
        """jobs at once that waited for `BRIEF_NS` or longer; after `finish`"""
        self._begun = array("q")
        self._over = array("q")
        """ns, of each such wait"""
        self._series = series
        self._states = states
        self._waiting: dict[JobId, _Wait] = {}
        self._levels: dict[_Key, _Level] = {}
        self._limits: dict[str, _Limits] = {}
        self._resting: dict[str, None] = {}
        """tasks that a person holds, or that have stopped themselves"""
        self._cut: Counter[str] = Counter()
        """how many faults are between a scheduler and the controller: by what the names of its tasks begin with"""
        self._known: dict[str, None] = {}
        """hosts that the controller has"""
        self._shut: dict[str, None] = {}
        """those that are drained, off or set aside"""
        self._records: dict[type, Callable[[Any, int], None]] = {
            JobAccepted: self._accepted,
            AttemptAssigned: self._assigned,
            JobHeld: self._held,
            ItemsFound: self._items_found,
            TaskChanged: self._task_changed,
            AttemptEnded: self._attempt_ended,
        }

    # what may change the reason

    def limit(self, limits: dict[str, tuple[int, int]]) -> None:
        """Limits of tasks, as of the log's header."""
        self._limits = {task: _Limits(*both) for task, both in limits.items()}

    def has_host(self, name: str, now: int) -> None:
        """The controller has this host."""
        self._settle(now, name)
        self._known[name] = None

    def host_changed(self, record: HostChanged, now: int) -> None:
        """A person's order about a host, or that it was set aside or is well."""
        host, verb = record.host, record.verb
        self._settle(now, host)
        if verb in _SHUT:
            self._shut[host] = None
        elif verb in _OPEN:
            self._shut.pop(host, None)
        elif verb == HostVerb.ADD.value:
            self._known[host] = None
        elif verb == HostVerb.DELETE.value:
            self._known.pop(host, None)

    def fault(self, line: FaultChanged) -> None:
        """A fault is about to begin or end: `states` does not know it yet."""
        if line.kind in AWAY:
            self._settle(line.t, host_of(line))
        elif line.kind in NOT_RUNNING:
            self._settle(line.t, None)
        scheduler = scheduler_of(line) if line.kind in CUT else ""
        if scheduler:
            self._settle(line.t, None)
            name = scheduler.partition("/")[2]
            self._cut[f"{name}." if name else ""] += 1 if line.on else -1

    def _reason(self, task: str, phase: _Phase, host: str) -> Reason:
        always = _ALWAYS.get(phase)
        if always is not None:
            return always
        if phase is _Phase.ITEM:
            return self._reason_of_items(task)
        if phase is _Phase.QUEUE and host:
            if host not in self._known:
                return Reason.HOST_UNKNOWN
            if not self._states.answers(host):
                return Reason.HOST_AWAY
        if not self._states.controller_runs:
            return Reason.CONTROLLER_AWAY
        if phase is _Phase.QUEUE:
            return Reason.HOST_CLOSED if host in self._shut else Reason.NO_SLOT
        cut = any(faults > 0 and task.startswith(name) for name, faults in self._cut.items())
        return Reason.CONTROLLER_AWAY if cut else Reason.AT_SCHEDULER

    def _reason_of_items(self, task: str) -> Reason:
        if task in self._resting:
            return Reason.TASK_HELD
        limits = self._limits.get(task)
        return Reason.TASK_LIMIT if limits is not None and limits.reached else Reason.TASK_CLOSED

    # time is spent

    def _settle(self, now: int, host: str | None) -> None:
        """Why jobs wait may be about to change, of those that need this host, or (None) of all."""
        for key, level in self._levels.items():
            if host is None or key[2] == host:
                self._spend(key, level, now)

    def _spend(self, key: _Key, level: _Level, now: int) -> None:
        if level.jobs and now > level.since:
            task, phase, host = key
            reason = self._reason(task, phase, host)
            self.hurt[task, reason.value, host] += level.jobs * (now - level.since)
            self._series.add(reason.value, level.since, now, level.jobs)
            self._series.add("pending slots", level.since, now, level.slots)
        level.since = now

    def _shift(self, wait: _Wait, by: int, now: int) -> None:
        job = wait.job
        key = (job.task, wait.phase, job.host)
        level = self._levels.get(key)
        if level is None:
            level = self._levels[key] = _Level(since=now)
        self._spend(key, level, now)
        level.jobs += by
        level.slots += by * job.slots

    def _move(self, number: JobId, phase: _Phase, now: int) -> None:
        wait = self._waiting.get(number)
        if wait is not None and wait.phase is not phase:
            self._shift(wait, -1, now)
            wait.phase = phase
            self._shift(wait, 1, now)

    def _begin(self, number: JobId, phase: _Phase, now: int) -> None:
        wait = self._waiting[number] = _Wait(self.jobs[number], now, phase)
        self._series.peak("oldest", now, now - next(iter(self._waiting.values())).since)
        self._shift(wait, 1, now)

    def _end(self, number: JobId, now: int) -> None:
        wait = self._waiting.pop(number, None)
        if wait is None:
            return
        self._note(wait, now)
        oldest = next(iter(self._waiting.values()), wait)
        self._series.peak("oldest", now, now - min(oldest.since, wait.since))
        self._shift(wait, -1, now)

    def _note(self, wait: _Wait, now: int) -> None:
        """Its wait is over, or the log is."""
        if now - wait.since >= BRIEF_NS:
            self._begun.append(wait.since)
            self._over.append(now)

    # jobs

    @property
    def records(self) -> tuple[type, ...]:
        """Those of a scheduler that `decided` is to be told of."""
        return tuple(self._records)

    def decided(self, record: object, now: int) -> None:
        """One of `records`. The end of an attempt only if its job is one of `jobs`."""
        self._records[type(record)](record, now)

    def _accepted(self, record: JobAccepted, now: int) -> None:
        spec = record.spec
        host = spec.host.name or "" if spec.host.required else ""
        job = self.jobs[record.job] = Submitted(spec.task, now, host, spec.slots, record.plain)
        if spec.item is not None and record.due_ns:
            self._shift_items(spec.task, -1, now)
        self._count(job, 1, now)
        self._begin(record.job, _Phase.SCHEDULER, now)

    def _assigned(self, record: AttemptAssigned, now: int) -> None:
        self._move(record.job, _Phase.QUEUE, now)

    def _held(self, record: JobHeld, now: int) -> None:
        self._move(record.job, _Phase.HELD if record.reason else _Phase.SCHEDULER, now)

    def given(self, number: JobId, now: int) -> None:
        """The controller has given it to a host."""
        self._move(number, _Phase.HOST, now)

    def started(self, number: JobId, now: int) -> None:
        """Its process runs."""
        self._end(number, now)

    def _attempt_ended(self, record: AttemptEnded, now: int) -> None:
        number = record.job
        if record.final:
            self._end(number, now)
            self._count(self.jobs.pop(number), -1, now)
            return
        phase = _Phase.HELD if record.held else _Phase.RETRY
        if number in self._waiting:
            self._move(number, phase, now)
        else:
            self._begin(number, phase, now)

    # tasks and items

    def _count(self, job: Submitted, by: int, now: int) -> None:
        """A job counts against the limits of its task, or no more."""
        limits = self._limits.get(job.task)
        if limits is None or job.plain:
            return
        self._shift_items(job.task, 0, now)
        limits.in_flight += by
        limits.made += max(0, by)

    def _shift_items(self, task: str, by: int, now: int) -> None:
        """So many items more wait to become jobs (0: only the reason may be about to change)."""
        key = (task, _Phase.ITEM, "")
        level = self._levels.get(key)
        if level is None:
            if by <= 0:
                return
            level = self._levels[key] = _Level(since=now)
        self._spend(key, level, now)
        level.jobs = max(0, level.jobs + by)

    def _items_found(self, record: ItemsFound, now: int) -> None:
        self._shift_items(record.task, len(record.items), now)

    def _task_changed(self, record: TaskChanged, now: int) -> None:
        self._shift_items(record.task, 0, now)
        if record.held or record.faulted:
            self._resting[record.task] = None
        else:
            self._resting.pop(record.task, None)
        level = self._levels.get((record.task, _Phase.ITEM, ""))
        if record.deleted and level is not None:
            level.jobs = 0  # nobody waits for them any more

    # the end

    def finish(self, now: int) -> None:
        """The log is over."""
        self._settle(now, None)
        for wait in self._waiting.values():
            self._note(wait, now)
            self._series.peak("oldest", max(0, now - 1), now - wait.since)
        ends, begins = ((at, -1) for at in sorted(self._over)), ((at, 1) for at in sorted(self._begun))
        self.most = most_of(merge(ends, begins))
