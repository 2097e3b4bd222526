"""When tasks spawn: the grid of due times, sources of items, windows, limits, skips with reasons, missed starts.

Owned by the scheduler; makes jobs through it. An idle poll costs nothing between its due times, and a task that is
blocked is not polled at all: the polls that passed are counted when it wakes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from model.behaviour import DECLARED, Behaviour, Later, Skip
from model.effects import AskSource, Commit, Effect, Notice, Prepare
from model.events import Prepared, SourceAnswered
from model.explain import Explanation, Reason, held_text
from model.job import SECOND, JobSpec
from model.records import ItemsFound, ItemsGone, TaskChanged, WindowCounted
from model.restored import RestoredTask
from model.task import DoneSource, FilesSource, LinesSource, Missed, TaskDefinition
from model.task_state import TaskState
from model.timers import Timers
from model.windows import counted, is_open, may_make, next_make, opens_at, why_closed, why_none_left

MISSED_MAX = 1000
"""Most starts that `missed: all` makes up for at once."""
CATCH_UP_NS = SECOND // 4
"""How late an elastic task may be and still make up for each start."""
ASK_LIMIT_NS = 60 * SECOND
"""How long a source or a slow behaviour may take to answer."""
GIVEN_MAX = 500
"""Items of one task that become jobs in one turn. The others do in the next ones: a million items must not hold back
the first start, the answers to people and the leases of hosts until the last of them is accepted."""
TOGETHER_MAX = 100
"""So many tasks may have their sources looked at in the same moment; those of more are spread over their periods, so
that no turn is held by ten thousand looks and every other start is on time."""
SPREAD_STEP_NS = SECOND // 50
"""Looks are spread over moments that are so far apart: a turn of the driver for each one would cost five times as much
as the look itself."""
SPREAD = 0x9E3779B97F4A7C15
"""The golden ratio in 64 bits: its multiples fill an interval evenly, however many they are."""

MakeJob = Callable[[TaskState, JobSpec, int, int], None]
"""(task, specification, due time, now)"""


class Spawning:
    """The tasks by name, and when each is asked next."""

    def __init__(self, effects: list[Effect], make_job: MakeJob, next_job: Callable[[], int]) -> None:
        self.tasks: dict[str, TaskState] = {}
        self.intake_stopped = ""
        """why nothing is spawned at all; empty: spawning"""
        self.wall_offset_ns = 0
        self._effects = effects
        self._make_job = make_job
        self._next_job = next_job
        self._timers: Timers[str] = Timers()
        self._last: tuple[TaskState, int] | None = None
        """the task whose timer was set last, and when it is due: setting it again would change nothing"""
        self._answers: Timers[str] = Timers()
        self._number = 0
        self._looked_at = 0
        """tasks so far whose sources are looked at in a grid of their own"""
        self.downstream: dict[str, list[str]] = {}
        """by task: those that get its items when it is done with them"""

    # definitions

    def define(self, definition: TaskDefinition, now: int, behaviours: Mapping[str, Behaviour] | None = None) -> None:
        """Add a task, or give one a new definition; its counts, items and grid stay. Never makes up for anything."""
        behaviour = (behaviours or {}).get(definition.name, DECLARED)
        task = self.tasks.get(definition.name)
        if task is None:
            task = self.tasks[definition.name] = TaskState(definition, behaviour, now)
            if isinstance(definition.source, DoneSource):
                self.downstream.setdefault(definition.source.task, []).append(definition.name)
            elif task.sourced:
                self._spread(task)
        else:
            if task.definition.periods.exec_ns != definition.periods.exec_ns:
                task.due_ns = now + definition.periods.exec_ns
            relink = task.definition.source != definition.source
            task.define(definition, behaviour)
            if relink:
                self._link_sources()
        self._unblock(task, now)
        if task.polls:
            self._set_timer(task, task.due_ns)

    def _spread(self, task: TaskState) -> None:
        """Beyond `TOGETHER_MAX`: the first look at its source is at once, the others are in a grid of their own."""
        self._looked_at += 1
        if self._looked_at > TOGETHER_MAX:
            share = self._looked_at * SPREAD % (1 << 64)
            task.spread_ns = (share * task.definition.periods.exec_ns >> 64) // SPREAD_STEP_NS * SPREAD_STEP_NS

    def _link_sources(self) -> None:
        self.downstream = {}
        for name, task in self.tasks.items():
            source = task.definition.source
            if isinstance(source, DoneSource):
                self.downstream.setdefault(source.task, []).append(name)

    def restore(self, restored: Mapping[str, RestoredTask], now: int) -> None:
        """Take up counts, items and reasons of an earlier life."""
        for name, old in restored.items():
            task = self.tasks.get(name)
            if task is None:
                continue
            task.made, task.done, task.failed = old.made, old.done, old.failed
            task.held, task.faulted, task.deleted = old.held, old.faulted, old.deleted
            task.openings = dict(old.openings)
            task.known = {item: item in old.finished for item in old.items}
            task.items.extend(item for item, given in old.items.items() if not given)
            if old.last_due_ns is not None and not task.sourced:
                period = task.definition.periods.exec_ns
                task.due_ns = old.last_due_ns + period
                task.due_ns = min(task.due_ns, now + period)
                self._set_timer(task, task.due_ns)
            if task.items:
                self._set_timer(task, now)

    def forget(self, name: str) -> None:
        """A deleted task has no job any more."""
        del self.tasks[name]
        self._timers.cancel(name)
        self._last = None
        self._answers.cancel(name)
        self._link_sources()

    # time

    def next_due(self) -> int:
        """When `advance` wants to be called (ns); `NEVER_NS`: not of itself."""
        timers, answers = self._timers.first, self._answers.first
        return timers if timers < answers else answers

    def advance(self, now: int) -> None:
        """Ask the tasks that are due; give up on answers that did not come."""
        for name in self._answers.take(now):
            self._no_answer(self.tasks[name], now)
        taken = self._timers.take(now)
        if taken:
            self._last = None
        for name in taken:
            task = self.tasks[name]
            if task.held_until_ns is not None and now >= task.held_until_ns:
                self.change(task, now, held="")
            else:
                self._due(task, now)

    def _due(self, task: TaskState, now: int) -> None:
        if task.blocked is not None:
            self._unblock(task, now)
        if not task.polls:
            self._give_items(task, now)
            return
        if now >= task.due_ns:
            self._poll(task, now)
        elif task.items:
            self._give_items(task, now)
        self._rearm(task)

    def _rearm(self, task: TaskState) -> None:
        if task.deleted:
            return
        if task.blocked is None:
            if task.goes_on_ns is not None:
                self._set_timer(task, task.goes_on_ns)
            elif task.polls:
                self._set_timer(task, task.due_ns)
            return
        dues = [due for due in (task.blocked_until_ns, task.held_until_ns) if due is not None]
        if task.sourced and task.polls and task.blocked[0] in (Reason.LIMIT_IN_FLIGHT, Reason.BEHAVIOUR):
            dues.append(task.due_ns)
        if dues:
            self._set_timer(task, min(dues))
        else:
            self._timers.cancel(task.definition.name)
            self._last = None

    def _set_timer(self, task: TaskState, due_ns: int) -> None:
        self._timers.set(task.definition.name, due_ns)
        self._last = task, due_ns

    def _poll(self, task: TaskState, now: int) -> None:
        """A due time has come (or several have, while nobody could act)."""
        due = task.due_ns
        passed = task.passed(now)
        task.due_ns = due + passed * task.definition.periods.exec_ns
        if task.sourced:
            self._ask(task)
            if task.spread_ns:
                task.due_ns, task.spread_ns = now + task.spread_ns, 0
            self._give_items(task, now)
            return
        if passed > 1 and task.definition.missed is Missed.ELASTIC:
            self._catch_up(task, due, passed, now)
        starts = self._starts(task, passed)
        kept = due  # the first due time that was not counted as missed
        if task.definition.missed is not Missed.ELASTIC:
            kept += (passed - starts) * task.definition.periods.exec_ns
        for _ in range(starts):
            if self._block(task, kept, now):
                return
            self._prepare(task, None, due, now)

    @staticmethod
    def _starts(task: TaskState, passed: int) -> int:
        """How many jobs to ask for, when `passed` due times have come, all but the last one unnoticed."""
        if passed <= 1:
            return passed
        missed = task.definition.missed
        if missed is Missed.ALL:
            return min(passed, MISSED_MAX)
        if missed is Missed.ELASTIC:
            return 1
        starts = 1 if missed is Missed.ONCE else 0
        task.skipped["missed"] += passed - starts
        return starts

    @staticmethod
    def _catch_up(task: TaskState, due_ns: int, passed: int, now: int) -> None:
        """An elastic task is late: a short stall is made up for, one start after the other, so that a rate holds;
        after a long one its grid begins anew."""
        period = task.definition.periods.exec_ns
        if now - due_ns <= CATCH_UP_NS:
            task.due_ns = due_ns + period
        else:
            task.due_ns = now + period
            task.skipped["missed"] += passed - 1

    # blocked or not

    def _obstacle(self, task: TaskState, now: int) -> tuple[Reason, str, int | None] | None:
        """Why the task may not spawn now, and until when at the earliest (ns) if that is known."""
        definition = task.definition
        if task.deleted:
            return Reason.DELETED, "deleted, its last jobs end", None
        if self.intake_stopped:
            return Reason.INTAKE_STOPPED, self.intake_stopped, None
        if task.faulted:
            return Reason.FAULTED, task.faulted, None
        if task.held:
            return Reason.HELD, held_text(task.held), task.held_until_ns
        if not definition.active:
            return Reason.INACTIVE, "active: false", None
        if definition.windows:
            wall = now + self.wall_offset_ns
            if not may_make(definition.windows, wall, task.openings):
                return self._closed(task, wall)
        limit = task.limit_reached
        if limit is not None:
            return (*limit, None)
        if task.preparing is not None:
            return Reason.BEHAVIOUR, "its preparation runs", None
        return None

    def _closed(self, task: TaskState, wall: int) -> tuple[Reason, str, int | None]:
        windows = task.definition.windows
        change = next_make(windows, wall, task.openings)
        why = why_none_left(windows, wall, task.openings) if is_open(windows, wall) else why_closed(windows, wall)
        text = f"{opens_at(windows, wall, change)} ({why})"
        return Reason.WINDOW, text, None if change is None else change - self.wall_offset_ns

    def _count_in_windows(self, task: TaskState, now: int) -> None:
        """A job is about to be made: the open windows that count have one more, also after a restart."""
        windows = task.definition.windows
        for window, (day, jobs) in counted(windows, now + self.wall_offset_ns, task.openings).items():
            task.openings[window] = (day, jobs)
            self._effects.append(Commit(WindowCounted(task.definition.name, window, day, jobs)))

    def _block(self, task: TaskState, due_ns: int, now: int) -> bool:
        """Note why the task spawns nothing at this due time, if so."""
        obstacle = self._obstacle(task, now)
        if obstacle is None:
            return False
        reason, text, until = obstacle
        if task.blocked is None or task.blocked[0] is not reason:
            task.blocked_since_ns = now
        if task.blocked is None:
            task.blocked_due_ns = due_ns
        task.blocked = (reason, text)
        task.blocked_until_ns = until
        return True

    def _unblock(self, task: TaskState, now: int) -> None:
        """Something changed: if the obstacle is gone, count the due times that passed and go back to the grid."""
        if task.blocked is None:
            return
        reason = task.blocked[0]
        obstacle = self._obstacle(task, now)
        if obstacle is not None:
            if obstacle[0] is not reason:
                task.blocked_since_ns = now
            task.blocked, task.blocked_until_ns = obstacle[:2], obstacle[2]
            self._rearm(task)
            return
        task.blocked = task.blocked_until_ns = None
        task.since_ns = now
        if not task.polls or task.sourced:
            if task.polls:
                task.due_ns = task.first_due_from(now)
            return
        period = task.definition.periods.exec_ns
        if task.definition.missed is Missed.ELASTIC:
            stalled = reason is Reason.BEHAVIOUR and now - task.blocked_due_ns <= CATCH_UP_NS
            task.due_ns = task.blocked_due_ns if stalled else max(now, task.blocked_due_ns)
            return
        if reason is Reason.INTAKE_STOPPED:
            task.due_ns = min(task.due_ns, task.blocked_due_ns)  # missed starts: the policy decides
            return
        passed = max(0, (now - 1 - task.blocked_due_ns) // period + 1) if now > task.blocked_due_ns else 0
        task.skipped[reason.value] += passed
        task.due_ns = max(task.due_ns, task.blocked_due_ns + passed * period)

    def wake(self, task: TaskState, now: int) -> None:
        """Something that the task may have waited for has happened: a job ended, a person released it."""
        if task.blocked is None and not task.items and self._last == (task, task.due_ns):
            return  # it waits for its next due time only: of a hundred jobs that end at once, all but the first
        self._unblock(task, now)
        if task.blocked is None:
            if task.items:
                self._give_items(task, now)
            self._rearm(task)

    def wake_all(self, now: int) -> None:
        """The same for all: intake resumed, the wall clock was set."""
        for task in list(self.tasks.values()):
            self.wake(task, now)

    # sources and items

    def _ask(self, task: TaskState) -> None:
        source = task.definition.source
        if task.asked or (task.blocked is not None and task.blocked[0] is not Reason.LIMIT_IN_FLIGHT):
            return
        assert isinstance(source, FilesSource | LinesSource)
        self._number += 1
        task.asked = self._number
        name = task.definition.name
        self._effects.append(AskSource(name, task.asked, source, ASK_LIMIT_NS))
        self._answers.set(name, task.due_ns - task.definition.periods.exec_ns + ASK_LIMIT_NS)

    def answered(self, event: SourceAnswered, now: int) -> None:
        """A source has answered."""
        task = self.tasks.get(event.task)
        if task is None or task.asked != event.number:
            return
        task.asked = 0
        self._answers.cancel(event.task)
        self._effects.extend(task.heard(event))
        if event.error and not event.items:
            task.skipped["source failed"] += 1
            return
        if event.quiet_ns:
            later = task.first_due_from(now + event.quiet_ns)
            task.skipped[Reason.NO_ITEM.value] += (later - task.due_ns) // task.definition.periods.exec_ns
            task.due_ns = later
            self._rearm(task)
        self._take_items(task, event.items, now)

    def _take_items(self, task: TaskState, shown: Sequence[str], now: int) -> None:
        name = task.definition.name
        known = task.known
        new = tuple(dict.fromkeys([item for item in shown if item not in known]))
        if len(known) > len(shown) or not new:
            there = set(shown)
            gone = tuple(item for item, final in known.items() if final and item not in there)
            if gone:
                self._effects.append(Commit(ItemsGone(name, gone)))
                for item in gone:
                    del known[item]
        if not new:
            task.settled += 1
            if not task.items:
                task.skipped[Reason.NO_ITEM.value] += 1
            return
        task.settled = 0
        self.add_items(task, new, now)

    def add_items(self, task: TaskState, items: tuple[str, ...], now: int) -> None:
        """Items to be given out, each once."""
        self._effects.append(Commit(ItemsFound(task.definition.name, items)))
        for item in items:
            task.known[item] = False
            task.items.append(item)
        self._give_items(task, now)

    def finished(self, task: TaskState, item: str, now: int) -> None:
        """A job of the task ended well: tasks with `each: {done: …}` get the item."""
        for name in self.downstream.get(task.definition.name, ()):
            follower = self.tasks[name]
            if item not in follower.known and not follower.deleted:
                self.add_items(follower, (item,), now)

    def _give_items(self, task: TaskState, now: int) -> None:
        if task.goes_on_ns is not None and now < task.goes_on_ns:
            return  # those of this turn are given: each end of a job in it comes by here, too
        task.goes_on_ns = None
        given = 0
        while task.items:
            if (task.may_fill or not given) and self._block(task, now, now):
                self._rearm(task)
                return
            task.blocked = task.blocked_until_ns = None
            if given == GIVEN_MAX:
                task.goes_on_ns = now + 1
                self._rearm(task)
                return
            given += 1
            if not self._prepare(task, task.items.popleft(), task.due_ns, now):
                return

    # behaviours

    def _prepare(self, task: TaskState, item: str | None, due_ns: int, now: int) -> bool:
        """Ask the behaviour for a job; whether another one may be asked for at once."""
        job = self._next_job()
        answer = task.prepare(job, item)
        if isinstance(answer, JobSpec) or not isinstance(answer, Later):
            return self._take_answer(task, answer, item, due_ns, now)
        self._number += 1
        task.asked, task.preparing, task.preparing_due_ns = self._number, item or "", due_ns
        name = task.definition.name
        self._effects.append(Prepare(name, task.asked, job, item, ASK_LIMIT_NS))
        self._answers.set(name, now + ASK_LIMIT_NS)
        return False

    def _take_answer(self, task: TaskState, answer: JobSpec | Skip, item: str | None, due_ns: int, now: int) -> bool:
        if not isinstance(answer, JobSpec):  # (mostly it is: to ask for what it is takes a fifth of the other question)
            task.skipped[answer.reason] += 1
            task.last_skip = f"{answer.reason}, {answer.detail}" if answer.detail else answer.reason
            if item is not None:
                task.items.appendleft(item)
            return False
        task.last_made_ns = now
        task.last_skip = ""
        if task.definition.windows:
            self._count_in_windows(task, now)
        self._make_job(task, answer, due_ns, now)
        return True

    def prepared(self, event: Prepared, now: int) -> None:
        """A slow behaviour has answered."""
        self._effects.extend([Commit(change) for change in event.changes])
        task = self.tasks.get(event.task)
        if task is None or task.asked != event.number or task.preparing is None:
            return
        item = task.preparing or None
        task.asked, task.preparing = 0, None
        self._answers.cancel(event.task)
        if event.error:
            self.change(task, now, faulted=f"its preparation failed: {event.error}")
            if item is not None:
                task.items.appendleft(item)
        else:
            self._take_answer(task, event.answer, item, task.preparing_due_ns, now)
        self.wake(task, now)

    def _no_answer(self, task: TaskState, now: int) -> None:
        """The driver did not answer in time: a fault of the task's behaviour, a passing one of its source."""
        name = task.definition.name
        if task.preparing is None:
            task.asked = 0
            task.skipped["source silent"] += 1
            self._effects.append(Notice("warning", f"task {name}", "its source did not answer in time"))
            return
        if task.preparing:
            task.items.appendleft(task.preparing)
        task.asked, task.preparing = 0, None
        self.change(task, now, faulted="its preparation did not answer in time")

    # changes by a person or a handler

    def change(
        self,
        task: TaskState,
        now: int,
        *,
        held: str | None = None,
        faulted: str | None = None,
        deleted: bool | None = None,
        for_ns: int | None = None,
    ) -> None:
        """Hold, release, fault or delete a task, recorded."""
        if held is not None:
            task.held = held
            task.held_until_ns = now + for_ns if held and for_ns else None
        if faulted is not None:
            task.faulted = faulted
            if faulted:
                self._effects.append(Notice("alarm", f"task {task.definition.name}", f"stopped: {faulted}"))
        if deleted is not None:
            task.deleted = deleted
        name = task.definition.name
        self._effects.append(Commit(TaskChanged(name, task.held, task.faulted, task.deleted, for_ns or 0)))
        if not self._block(task, task.due_ns, now):
            self.wake(task, now)
        self._rearm(task)

    def may_spawn(self, task: TaskState) -> bool:
        """Whether no person, fault or limit for good keeps the task from spawning (windows aside)."""
        limits = task.definition.limits
        stopped = task.deleted or task.held or task.faulted or not task.definition.active
        return not stopped and not (limits.total and task.made >= limits.total)

    def foreseen(self, make_job: MakeJob, effects: list[Effect], now: int) -> Spawning:
        """A copy that shares nothing with this one and has a life of its own, to look ahead with."""
        other = Spawning(effects, make_job, lambda: 0)
        other.intake_stopped, other.wall_offset_ns = self.intake_stopped, self.wall_offset_ns
        other.tasks = {name: task.foreseen() for name, task in self.tasks.items()}
        other._link_sources()
        other.wake_all(now)
        return other

    # explain

    def explain(self, task: TaskState, now: int) -> Explanation:
        """Why the task spawns nothing now, and when it can change."""
        obstacle = self._obstacle(task, now)
        name = task.definition.name
        if obstacle is not None:
            reason, text, until = obstacle
            since = task.blocked_since_ns if task.blocked and task.blocked[0] is reason else now
            changes = [change.replace("TASK", name) for change in _CHANGES.get(reason, ())]
            if task.behaviour is not DECLARED:  # written in a script: no file has a value of it
                changes = [change for change in changes if not change.startswith("laulima set")]
            return Explanation(reason, text, since, until, tuple(changes))
        if task.asked and not task.trouble:
            return Explanation(Reason.NO_ITEM, "its source is being asked", task.since_ns, self._answers.at(name))
        source = task.definition.source
        if isinstance(source, DoneSource):
            text = f"no item: {source.task} finished nothing new"
            return Explanation(Reason.NO_ITEM, text, task.since_ns, None, (f"{source.task} finishes an item",))
        if task.sourced:
            return Explanation(Reason.NO_ITEM, task.nothing_new, task.since_ns, task.due_ns)
        if task.last_skip:
            text = f"{task.last_skip}: no job when it was asked last"
            return Explanation(Reason.SKIPPED, text, task.since_ns, task.due_ns)
        return Explanation(Reason.PERIOD, "waits for its next due time", task.since_ns, task.due_ns)


_CHANGES: dict[Reason, tuple[str, ...]] = {
    Reason.HELD: ("laulima release TASK",),
    Reason.FAULTED: ("laulima release TASK",),
    Reason.INTAKE_STOPPED: ("laulima resume",),
    Reason.LIMIT_IN_FLIGHT: ("one of its jobs ends", "laulima set tasks.TASK.limits.in_flight=MORE"),
    Reason.LIMIT_TOTAL: ("a larger limits.total in the configuration", "laulima set tasks.TASK.limits.total=MORE"),
    Reason.INACTIVE: ("active: true in the configuration", "laulima set tasks.TASK.active=true"),
}
