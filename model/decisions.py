"""What the machines of a process were told and what they asked for, as entries that can be kept and gone through again.

A machine decides from what it is made of, the events that it receives and the clock readings that come with them, and
from nothing else. So whoever writes these down, and what was drained after them, can give the same to fresh machines,
of this version of the code or of another one, and see whether they decide the same (`model/replaying.py`).

`Watched` stands around a machine and writes entries; it decides nothing and changes nothing. What a script's task
answers the scheduler on the spot comes from outside of the machine, as events do: `WatchedBehaviours` writes that.
Called by `live/decisions.py`, which keeps the entries in a file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta, timezone, tzinfo
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from model import events
from model.agent import Agent
from model.alarm_kinds import AlarmSettings
from model.behaviour import DECLARED, Behaviour, Later, Reaction, Skip
from model.channel import ChannelTimes, ProtocolError
from model.configuration import ClusterDefinition
from model.controller import Controller
from model.effects import Effect
from model.events import Prepared
from model.job import JobSpec, Report
from model.records import Record, ScriptRecord
from model.remembered import RestoredData
from model.restored import Fold
from model.scheduler import Scheduler
from model.snapshot import say
from model.task import TaskDefinition

SCHEMA = 1
"""Version of the entries below."""


class Machine(Protocol):
    """The four methods of every machine."""

    def receive(self, event: Any, now: int) -> None: ...
    def advance(self, now: int) -> None: ...
    def next_due(self) -> int | None: ...
    def drain(self) -> Sequence[Effect]: ...


# what a machine is made of


class SchedulerMade(Struct, frozen=True, array_like=True, tag="scheduler"):
    """The arguments of a `Scheduler`, less what was restored."""

    epoch: int
    now: int
    cluster: ClusterDefinition
    tasks: tuple[TaskDefinition, ...]
    alarms: AlarmSettings = AlarmSettings()

    def make(self, restored: Fold, behaviours: Mapping[str, Behaviour]) -> Scheduler:
        return Scheduler(self.epoch, self.now, self.cluster, self.tasks, restored.scheduler, behaviours, self.alarms)


class ControllerMade(Struct, frozen=True, array_like=True, tag="controller"):
    """The arguments of a `Controller`, less what was restored."""

    epoch: int
    now: int
    cluster: ClusterDefinition

    def make(self, restored: Fold, behaviours: Mapping[str, Behaviour]) -> Controller:
        return Controller(self.epoch, self.now, self.cluster, restored.controller)


class AgentMade(Struct, frozen=True, array_like=True, tag="agent"):
    """The arguments of an `Agent`."""

    name: str
    epoch: int
    now: int
    slots: int
    times: ChannelTimes
    keepers: tuple[int, ...]
    remembers: int
    queue_max: int

    def make(self, restored: Fold, behaviours: Mapping[str, Behaviour]) -> Agent:
        return Agent(
            self.name,
            self.epoch,
            self.now,
            self.slots,
            self.times,
            self.keepers,
            self.remembers,
            self.queue_max,
        )


MadeOf = SchedulerMade | ControllerMade | AgentMade


# the entries


class LifeBegun(Struct, frozen=True, array_like=True, tag="life"):
    """A process begins. `restored`: what it knows of earlier lives, said as a snapshot's records."""

    schema: int
    configuration: str
    digest: str
    """of the configuration's text"""
    began_at: int
    """wall time, for people"""
    restored: tuple[Record, ...]


class MachineMade(Struct, frozen=True, array_like=True, tag="made"):
    """The machine of this name is made."""

    machine: str
    of: MadeOf


class Received(Struct, frozen=True, array_like=True, tag="receive", gc=False):
    """An event, encoded; `kind` says which one."""

    machine: str
    now: int
    kind: str
    event: msgspec.Raw


class Refused(Struct, frozen=True, array_like=True, tag="refuse", gc=False):
    """The machine refused the event that it has just received: its sender broke the protocol."""

    machine: str
    why: str


class Advanced(Struct, frozen=True, array_like=True, tag="advance", gc=False):
    machine: str
    now: int


class Drained(Struct, frozen=True, array_like=True, tag="drain", gc=False):
    """Everything that the machine asked for since the last time: (kind, the effect, encoded), in order."""

    machine: str
    effects: tuple[tuple[str, msgspec.Raw], ...]


class BehaviourFound(Struct, frozen=True, array_like=True, tag="behaviour", gc=False):
    """The scheduler looked for a task's behaviour: whether a script has one."""

    task: str
    by_script: bool


class BehaviourAnswered(Struct, frozen=True, array_like=True, tag="answer", gc=False):
    """What a script's task answered on the spot: `job`, `skip`, `reaction` (encoded), or `later`."""

    kind: str
    answer: msgspec.Raw


class LifeEnded(Struct, frozen=True, array_like=True, tag="end", gc=False):
    """The recording ended in order. `why` empty: with its process."""

    why: str = ""


Outside = BehaviourFound | BehaviourAnswered
"""What a machine asked its surroundings for while it did something; follows the entry of what it did."""
Entry = (
    LifeBegun | MachineMade | Received | Refused | Advanced | Drained | BehaviourFound | BehaviourAnswered | LifeEnded
)
Write = Callable[[Entry], None]

FindZone = Callable[[str], tzinfo]
"""The time zone of a name of the tz database; the driver's business, for it reads files."""


def _zone_text(value: object) -> str | int:
    """A time zone by its name, or by its offset from UTC in seconds."""
    if not isinstance(value, tzinfo):
        raise NotImplementedError(f"a {type(value).__name__} is nothing that machines are told")
    offset = value.utcoffset(None)
    return str(getattr(value, "key", "")) or int((offset or timedelta()).total_seconds())


_encode = msgspec.msgpack.Encoder(enc_hook=_zone_text).encode
encode_entry: Callable[[Entry], bytes] = _encode


def life_begun(configuration: str, digest: str, began_at: int, restored: Fold) -> LifeBegun:
    """The first entry of a life. Called before the machines are made: they may keep parts of `restored`."""
    scheduler = msgspec.structs.replace(restored.scheduler, scripts=RestoredData())  # no machine here needs it
    records = tuple(say(scheduler, restored.controller))
    return LifeBegun(SCHEMA, configuration, digest, began_at, records)


# events


class _JobPrepared(Struct, frozen=True):
    """`Prepared` with a job."""

    task: str
    number: int
    answer: JobSpec
    error: str
    changes: tuple[ScriptRecord, ...]


class _SkipPrepared(Struct, frozen=True):
    """`Prepared` without one."""

    task: str
    number: int
    answer: Skip
    error: str
    changes: tuple[ScriptRecord, ...]


EVENTS: tuple[type[Struct], ...] = (
    events.Delivered,
    events.LinkUp,
    events.LinkDown,
    events.Vouched,
    events.WallClock,
    events.SourceAnswered,
    events.Reacted,
    events.ScriptsRan,
    events.LookedAround,
    events.Notified,
    events.SetAlarms,
    events.Submit,
    events.OrderJob,
    events.OrderTask,
    events.DefineTask,
    events.OrderIntake,
    events.TakeSettings,
    events.OrderHost,
    events.PartFromHosts,
    events.SetTerms,
    events.ForgetSuperior,
    events.KeeperUp,
    events.KeeperDown,
    events.KeeperSaid,
    events.FilesSeen,
    events.HostDirty,
)
"""What machines receive, besides `Prepared`, whose two kinds of answers are told apart by the kind of the entry."""
_JOB_PREPARED, _SKIP_PREPARED = "Prepared job", "Prepared skip"
_KINDS = {kind: kind.__name__ for kind in EVENTS}
_ANSWERS: dict[type, str] = {JobSpec: "job", Skip: "skip", Reaction: "reaction"}
_NOTHING = msgspec.Raw(_encode(None))


def encode_event(event: object) -> tuple[str, msgspec.Raw]:
    """(kind, bytes). Raises KeyError for what is no event of a machine."""
    if type(event) is Prepared:
        has_job = isinstance(event.answer, JobSpec)
        parts = (event.task, event.number, event.answer, event.error, event.changes)
        split = _JobPrepared(*parts) if has_job else _SkipPrepared(*parts)  # type: ignore[arg-type]
        return _JOB_PREPARED if has_job else _SKIP_PREPARED, msgspec.Raw(_encode(split))
    return _KINDS[type(event)], msgspec.Raw(_encode(event))  # type: ignore[index]


def encode_effects(effects: Sequence[Effect]) -> tuple[tuple[str, msgspec.Raw], ...]:
    """Each with its kind. Equal effects have equal bytes: they hold no sets, and dicts in the order of their making."""
    return tuple([(type(effect).__name__, msgspec.Raw(_encode(effect))) for effect in effects])


# writing


class Watched:
    """A machine all of whose events and effects are written; drivers use it in its place."""

    def __init__(self, name: str, machine: Machine, write: Write) -> None:
        self._name = name
        self._machine = machine
        self._write = write
        self.next_due = machine.next_due

    def receive(self, event: Any, now: int) -> None:
        kind, encoded = encode_event(event)
        self._write(Received(self._name, now, kind, encoded))
        try:
            self._machine.receive(event, now)
        except ProtocolError as error:
            self._write(Refused(self._name, str(error)))
            raise

    def advance(self, now: int) -> None:
        self._write(Advanced(self._name, now))
        self._machine.advance(now)

    def drain(self) -> Sequence[Effect]:
        effects = self._machine.drain()
        if effects:
            self._write(Drained(self._name, encode_effects(effects)))
        return effects


class WatchedBehaviours(Mapping[str, Behaviour]):
    """The behaviours that scripts give to tasks, for a scheduler; what it finds there and what they answer is
    written."""

    def __init__(self, found: Mapping[str, Behaviour], write: Write) -> None:
        """`found` may change at any time."""
        self._found = found
        self._write = write

    def __getitem__(self, task: str) -> Behaviour:
        inner = self._found.get(task)
        self._write(BehaviourFound(task, inner is not None))
        return DECLARED if inner is None else _WatchedBehaviour(inner, self._write)

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return max(1, len(self._found))  # it always counts as one that has something to say


class _WatchedBehaviour:
    """One of them."""

    def __init__(self, inner: Behaviour, write: Write) -> None:
        self._inner = inner
        self._write = write

    def prepare(self, task: TaskDefinition, job: int, item: str | None) -> JobSpec | Skip | Later:
        answer = self._inner.prepare(task, job, item)
        self._write(encode_answer(answer))
        return answer

    def react(self, task: TaskDefinition, spec: JobSpec, report: Report, retries: int) -> Reaction | Later:
        answer = self._inner.react(task, spec, report, retries)
        self._write(encode_answer(answer))
        return answer


def encode_answer(answer: JobSpec | Skip | Reaction | Later) -> BehaviourAnswered:
    """As an entry."""
    if isinstance(answer, Later):
        return BehaviourAnswered("later", _NOTHING)
    return BehaviourAnswered(_ANSWERS[type(answer)], msgspec.Raw(_encode(answer)))


# reading


class Decoding:
    """Entries, events and answers as they were. Its methods raise KeyError and msgspec.MsgspecError."""

    def __init__(self, find_zone: FindZone) -> None:
        def decoder(kind: Any) -> Callable[[bytes | msgspec.Raw], Any]:
            return msgspec.msgpack.Decoder(kind, dec_hook=zone).decode

        def zone(_: type, value: Any) -> tzinfo:
            return timezone(timedelta(seconds=value)) if isinstance(value, int) else find_zone(str(value))

        self.entry: Callable[[bytes], Entry] = decoder(Entry)
        self._events = {name: decoder(kind) for kind, name in _KINDS.items()}
        self._events[_JOB_PREPARED] = decoder(_JobPrepared)
        self._events[_SKIP_PREPARED] = decoder(_SkipPrepared)
        self._answers = {name: decoder(kind) for kind, name in _ANSWERS.items()}

    def event(self, entry: Received) -> object:
        found = self._events[entry.kind](entry.event)
        if isinstance(found, _JobPrepared | _SkipPrepared):
            return Prepared(found.task, found.number, found.answer, found.error, found.changes)
        return found

    def answer(self, entry: BehaviourAnswered) -> Any:
        return Later.LATER if entry.kind == "later" else self._answers[entry.kind](entry.answer)
