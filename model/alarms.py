"""Alarms: what is wrong now, and who is told of it. Owned by the scheduler.

At each look (`alarms.look`) everything that is wrong is found anew: of its tasks and jobs the scheduler knows it, of
hosts and disks the driver says it (`LookAround`, answered by `LookedAround`). What is found and was not there before
begins an alarm; what is gone for long enough is over. So nothing depends on having heard of a change, a restart finds
the same again, and all that is recorded is which alarms stand, who was told of them, and what handlers want told
(`AlarmChanged`, `AlarmTold`, `HandlerSaid`): what an earlier life has told is not told again. Failures of jobs and
pending timeouts happen at a moment; they are recorded at once, and are alarms until they have not happened for `clear`.

Who is told when is `model/notifying.py`'s. A message is recorded as told when the notifier has confirmed it, so a crash
between makes it told twice, never lost. That a notifier fails is never an alarm: `status` says it.

Where nothing is watched (no notifier with `of`, no deadline, no `alarms.backlog`) there are no looks.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from msgspec import Struct

from model.alarm_kinds import (
    AGAIN,
    ALARM,
    HANDLER,
    LATE,
    OUTSIDE,
    RECOVERED,
    AlarmKind,
    AlarmSettings,
    Item,
    Trouble,
    fault_text,
)
from model.channel import LinkState
from model.deadline_watch import DeadlineWatch, deadline_lines
from model.effects import Commit, LookAround, Notice, Notify
from model.ending import describe
from model.events import LookedAround, Notified, SetAlarms
from model.job import SECOND, Outcome, Report
from model.notifying import LIMIT_NS, Channel, Key, Standing
from model.records import AlarmChanged, AlarmTold, HandlerSaid, JobDue
from model.scheduled_job import ScheduledJob
from model.snapshot import RestoredAlarms
from model.views import AlarmRow, NotifierRow

if TYPE_CHECKING:
    from model.scheduler import Scheduler

ANSWER_NS = 60 * SECOND
"""How long a driver may take to look around; then what it was asked for is not known."""
SETTLE_NS = 120 * SECOND
"""After a start no alarm of an earlier life is over: hosts are connected first."""
_OF_TASKS = (AlarmKind.JOB_FAILED, AlarmKind.PENDING_TIMEOUT)


class _Happened(Struct):
    """What happens at moments: how often since it began, and when last (ns)."""

    count: int
    last_ns: int
    text: str


class Alarms:
    """`due_ns`: when `advance` wants to be called; None: nothing is watched."""

    def __init__(self, scheduler: Scheduler, settings: AlarmSettings, now: int) -> None:
        self.due_ns: int | None = None
        self.settings = settings
        self.standing: dict[Key, Standing] = {}
        self.channels: dict[str, Channel] = {}
        self._scheduler = scheduler
        self._tasks = scheduler.spawning.tasks
        self._effects = scheduler.effects
        self._deadlines = DeadlineWatch(
            self._tasks, scheduler.jobs, lambda record: self._effects.append(Commit(record))
        )
        self._happened: dict[Key, _Happened] = {}
        self._next_look_ns: int | None = None
        self._asked = 0
        """number of the question to the driver that is open; 0: none"""
        self._asked_ns = 0
        self._number = 0
        self._began_ns = now
        self._settled_ns = now + SETTLE_NS

    # what is watched

    def set(self, event: SetAlarms, now: int) -> None:
        """Other rules, from now on."""
        self.settings = event.settings
        self.rearm(now)

    def rearm(self, now: int) -> None:
        """Tasks or settings have changed: look, or look no more."""
        old = self.channels
        self.channels = {}
        for each in self.settings.channels:
            channel = self.channels[each.name] = old.get(each.name) or Channel(each.name, each.rules, now)
            channel.rules = each.rules
        for standing in self.standing.values():
            standing.told = {name: at for name, at in standing.told.items() if name in self.channels}
            standing.waiting = {}
        if not self._watches():
            self._next_look_ns = None
            self._forget_all()
        elif self._next_look_ns is None:
            self._next_look_ns = now + self.settings.look_ns
        self._set_due()

    def _forget_all(self) -> None:
        """Nobody looks any more, so nobody would see when it is over."""
        for (kind, subject), standing in self.standing.items():
            record = AlarmChanged(kind.value, subject, standing.text, standing.since_at, over=True)
            self._effects.append(Commit(record))
        self.standing.clear()
        self._happened.clear()
        self._deadlines.forget()

    def _watches(self) -> bool:
        told = any(each.rules.kinds or each.rules.heartbeat_ns for each in self.settings.channels)
        if told or self.settings.backlog:
            return True
        return any(task.definition.deadline is not None for task in self._tasks.values())

    def restore(self, old: RestoredAlarms, now: int) -> None:
        """Take up what an earlier life has found and told, and the jobs that it has left."""
        for (word, subject), alarm in old.standing.items():
            kind = AlarmKind(word)
            told = {name: at for name, at in alarm.told.items() if name in self.channels}
            restored = Standing(kind, subject, alarm.text, alarm.at, now, restored=True, told=told)
            self.standing[kind, subject] = restored
            if kind in _OF_TASKS:
                self._happened[kind, subject] = _Happened(0, now, alarm.text)
        late = {
            (subject.removeprefix("task "), kind.value.removeprefix("late-")): None
            for kind, subject in self.standing
            if kind in LATE
        }
        for name, said in old.said.items():
            for each in said if name in self.channels else ():
                self.channels[name].say(_item(each))
        self._set_due()
        if self._next_look_ns is None:
            self._forget_all()
        else:
            self._deadlines.restore(old.cycles, late, old.dues)

    # what happens

    def made(self, job: ScheduledJob, due_ns: int, now: int) -> None:
        """A task with a deadline has made a job. (A job of an item is due when it is made.)"""
        assert job.task is not None
        due_at = (now if job.task.sourced else due_ns) + self._offset_ns
        self._effects.append(Commit(JobDue(job.id, due_at)))
        self._deadlines.made(job, due_at)

    def failed(self, job: ScheduledJob, report: Report, now: int) -> None:
        """A job of a task has failed for good."""
        if report.outcome is not Outcome.KILLED:
            what = f"the last is job {job.id}: {describe(report)}"
            self._happens(AlarmKind.JOB_FAILED, job.spec.task, "failed", what, now)

    def timed_out(self, job: ScheduledJob, now: int) -> None:
        """A job of a task has waited for too long."""
        self._happens(AlarmKind.PENDING_TIMEOUT, job.spec.task, "waited for too long", f"the last is job {job.id}", now)

    def _happens(self, kind: AlarmKind, task: str, how: str, what: str, now: int) -> None:
        if self._next_look_ns is None:
            return
        key = (kind, f"task {task}")
        known = self._happened.get(key)
        count = 1 if known is None else known.count + 1
        jobs = "1 job has" if count == 1 else f"{count} jobs have"
        happened = self._happened[key] = _Happened(count, now, f"task {task}: {jobs} {how}, {what}")
        self._stands(key, happened.text, now)  # recorded with the end: no restart finds it again by looking

    def say(self, notifier: str, about: str, text: str, now: int) -> None:
        """A handler's `notify`."""
        channel = self.channels.get(notifier)
        if channel is None:
            self._effects.append(Notice("warning", about, f"notifier {notifier} is not defined"))
            return
        said = HandlerSaid(notifier, about, text, now + self._offset_ns)
        self._effects.append(Commit(said))
        channel.say(_item(said))
        self._decide(channel, now)
        self._set_due()

    # time

    @property
    def _offset_ns(self) -> int:
        return self._scheduler.spawning.wall_offset_ns

    def advance(self, now: int) -> None:
        """Look, when it is time."""
        for channel in self.channels.values():
            if channel.is_overdue(now):
                self._not_delivered(channel, "its driver did not answer", now)
            due = channel.next_due()
            if due is not None and due <= now:
                self._decide(channel, now)
        if self._asked and now - self._asked_ns >= ANSWER_NS:
            self._asked = 0
            self._judge((), None, now)
        if self._next_look_ns is not None and self._next_look_ns <= now:
            self._next_look_ns = now + self.settings.look_ns
            self._look(now)
        self._set_due()

    def _set_due(self) -> None:
        dues = [self._next_look_ns, *[channel.next_due() for channel in self.channels.values()]]
        self.due_ns = min([due for due in dues if due is not None], default=None)

    def _look(self, now: int) -> None:
        if self._asked:
            return
        if not any(kind in OUTSIDE for each in self.settings.channels for kind in each.rules.kinds):
            self._judge((), None, now)
            return
        self._number += 1
        self._asked, self._asked_ns = self._number, now
        self._effects.append(LookAround(self._asked))

    def looked_around(self, event: LookedAround, now: int) -> None:
        """The driver has looked at what is outside of the scheduler."""
        if event.number == self._asked:
            self._asked = 0
            self._judge(event.troubles, event.unsure, now)
            self._set_due()

    # what stands

    def _found(self, now: int) -> Iterable[Trouble]:
        """What the scheduler knows by itself to be wrong."""
        waiting = 0
        for name, task in self._tasks.items():
            waiting += task.in_flight - task.running
            if task.faulted:
                yield Trouble(AlarmKind.TASK_FAULTED, f"task {name}", fault_text(name, task.faulted))
        for name, executor in self._scheduler.executors.items():
            since, state = executor.away_since_ns, executor.link.state
            if since is not None and state is not LinkState.INQUIRING and not self._may_still_come(since, now):
                text = f"{name} is {state.value}: its jobs wait"
                yield Trouble(AlarmKind.CONTROLLER_SILENT, name, text)
        if 0 < self.settings.backlog < waiting:
            text = f"{waiting} jobs wait, more than {self.settings.backlog} (alarms.backlog)"
            yield Trouble(AlarmKind.BACKLOG, "queue", text)
        stopped = bool(self._scheduler.spawning.intake_stopped)
        yield from self._deadlines.late(now, self._offset_ns, stopped)
        for (kind, subject), happened in list(self._happened.items()):
            if now - happened.last_ns >= self.settings.clear_ns:
                del self._happened[kind, subject]
            else:
                yield Trouble(kind, subject, happened.text)

    def _may_still_come(self, away_since_ns: int, now: int) -> bool:
        """After a start an executor has some time to come for the first time."""
        return away_since_ns <= self._began_ns and now < self._settled_ns

    def _judge(self, outside: Iterable[Trouble], unsure: tuple[str, ...] | None, now: int) -> None:
        """Everything is known that can be. `unsure`: subjects that may be wrong or not; None: nothing is known of what
        is outside."""
        found: dict[Key, str] = {}
        for trouble in (*self._found(now), *outside):
            found[trouble.kind, trouble.subject] = trouble.text
        for key, text in found.items():
            self._stands(key, text, now)
        for key, standing in self.standing.items():
            if key in found or standing.gone_since_ns is not None or (standing.restored and now < self._settled_ns):
                continue
            if key[0] in OUTSIDE and (unsure is None or key[1] in unsure):
                continue
            standing.gone_since_ns = now
        for channel in self.channels.values():
            self._decide(channel, now)
        self._forget_what_is_over(now)

    def _stands(self, key: Key, text: str, now: int) -> None:
        standing = self.standing.get(key)
        if standing is None:
            wall = now + self._offset_ns
            self.standing[key] = Standing(*key, text, wall, now)
            self._effects.append(Commit(AlarmChanged(key[0].value, key[1], text, wall)))
            return
        standing.text = text
        if standing.gone_since_ns is not None:
            standing.gone_since_ns, standing.bad_since_ns = None, now

    def _forget_what_is_over(self, now: int) -> None:
        after_ns = max([channel.rules.after_ns for channel in self.channels.values()], default=0)
        for key, standing in list(self.standing.items()):
            if standing.gone_since_ns is None or now - standing.gone_since_ns < after_ns:
                continue
            if any(channel.owes(standing) for channel in self.channels.values()):
                continue
            del self.standing[key]
            for channel in self.channels.values():
                channel.ended(standing)
            wall = now + self._offset_ns
            self._effects.append(Commit(AlarmChanged(key[0].value, key[1], standing.text, wall, over=True)))

    # telling

    def _decide(self, channel: Channel, now: int) -> None:
        message = channel.decide(self.standing.values(), now, now + self._offset_ns)
        if message is not None:
            self._effects.append(Notify(channel.name, channel.number, message, LIMIT_NS))

    def notified(self, event: Notified, now: int) -> None:
        """A notifier has been told, or not."""
        channel = self.channels.get(event.notifier)
        if channel is None or channel.flying is None or channel.number != event.number:
            return
        if event.error:
            self._not_delivered(channel, event.error, now)
        else:
            self._delivered(channel, now)
        self._decide(channel, now)
        self._set_due()

    def _delivered(self, channel: Channel, now: int) -> None:
        wall = now + self._offset_ns
        if channel.error:
            self._effects.append(Notice("info", "", f"notifier {channel.name} works again"))
        message = channel.delivered(now, wall)
        for item in message.items:
            if item.event in (ALARM, AGAIN, RECOVERED):
                self._is_told(channel.name, item, wall)
        items = tuple((item.event, item.kind, item.subject) for item in message.items)
        self._effects.append(Commit(AlarmTold(channel.name, message.event, items, wall)))

    def _is_told(self, notifier: str, item: Item, wall: int) -> None:
        standing = self.standing.get((AlarmKind(item.kind), item.subject))
        if standing is None:
            return
        standing.waiting.pop(notifier, None)
        if item.event == RECOVERED:
            standing.told.pop(notifier, None)
        else:
            standing.told[notifier] = wall

    def _not_delivered(self, channel: Channel, error: str, now: int) -> None:
        if channel.not_delivered(error, now):
            self._effects.append(Notice("warning", "", f"notifier {channel.name} failed: {error}"))

    # for people

    def rows(self) -> list[AlarmRow]:
        """What is wrong now, in the order of the kinds."""
        order = list(AlarmKind)
        stands = [each for each in self.standing.values() if each.gone_since_ns is None]
        stands.sort(key=lambda each: (order.index(each.kind), each.subject))
        return [AlarmRow(each.kind.value, each.subject, each.text, each.since_at, tuple(each.told)) for each in stands]

    def notifier_rows(self) -> list[NotifierRow]:
        """Who is told."""
        return [
            NotifierRow(each.name, each.sent, each.failed, each.last_at, each.error) for each in self.channels.values()
        ]

    def task_lines(self, task: str, *, of_job: bool = False) -> list[str]:
        """What there is to say of a task: its deadlines, and what of it is an alarm. `of_job`: to whom asks for a job,
        which is only concerned by missed deadlines."""
        found = self._tasks.get(task)
        lines = deadline_lines(None if found is None else found.definition.deadline)
        kinds = [kind.value for kind in (LATE if of_job else AlarmKind)]
        told = [row for row in self.rows() if row.subject == f"task {task}" and row.kind in kinds]
        return lines + [f"alarm: {row.text}" for row in told]


def _item(said: HandlerSaid) -> Item:
    return Item(HANDLER, HANDLER, said.about, said.text, said.at)
