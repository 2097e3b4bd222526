"""Decision replay: fresh machines are given what others were given, and must ask for the same, effect by effect.

The entries are those of `model/decisions.py`, of any number of lives one after another. The first effect that is not
the same is named, with the event before it; nothing is compared after it, for from there on the two have different
pasts. Called by `shell/commands/decisions.py` and by tests.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from model.behaviour import DECLARED, Behaviour, Later, Reaction, Skip
from model.channel import ProtocolError
from model.decisions import (
    SCHEMA,
    Advanced,
    BehaviourAnswered,
    BehaviourFound,
    Decoding,
    Drained,
    Entry,
    LifeBegun,
    LifeEnded,
    Machine,
    MachineMade,
    Outside,
    Received,
    Refused,
    encode_effects,
)
from model.errors import ConfigurationError
from model.job import JobSpec, Report
from model.restored import Fold, fold
from model.task import TaskDefinition

SHOWN_MAX = 2000
"""Characters of an event or an effect that are shown."""


class Difference(Struct, frozen=True):
    """The first thing that was decided otherwise. `live` and `now` empty: nothing."""

    life: int
    """from 1"""
    machine: str
    event: int
    """the number of the last event before it, of all machines of all lives, from 1; 0: it came before any"""
    last: str
    """that event, or the call after it"""
    effect: int
    """which of the effects that were drained then, from 1; 0: the difference is no effect"""
    live: str
    now: str

    def __str__(self) -> str:
        what = f"effect {self.effect} after" if self.effect else "after"
        lines = [f"life {self.life}, {self.machine}, {what} event {self.event}: {self.last or 'the making of it'}"]
        return "\n".join([*lines, f"  live: {self.live or 'nothing'}", f"  now:  {self.now or 'nothing'}"])


class Replayed(Struct):
    """What came of it."""

    lives: int = 0
    machines: dict[str, int] = {}
    """events of each machine"""
    events: int = 0
    effects: int = 0
    """that were the same"""
    ends: list[str] = []
    """why recordings ended that did not end with their process"""
    difference: Difference | None = None


class DecisionsError(ConfigurationError):
    """The entries are not such as a recording has."""


class _Differs(Exception):  # noqa: N818 - a way out, not an error
    def __init__(self, live: str, now: str, effect: int = 0) -> None:
        super().__init__(live, now)
        self.live, self.now, self.effect = live, now, effect


def replay(entries: Iterable[Entry], decoding: Decoding) -> Replayed:
    """Go through the entries. Raises DecisionsError when they cannot be gone through."""
    return _Replay(decoding).go(entries)


class _Replay:
    def __init__(self, decoding: Decoding) -> None:
        self.done = Replayed(machines={}, ends=[])
        self._decoding = decoding
        self._machines: dict[str, Machine] = {}
        self._restored = Fold()
        self._outside = _Outside(decoding)
        self._last: dict[str, str] = {}
        self._refusal: str | None = None
        """with what words the machine has refused the event just now"""
        self._advanced = ""
        """the machine that was advanced just now: what it asks for is drained before anything else"""

    def go(self, entries: Iterable[Entry]) -> Replayed:
        for entry, outside in _with_outside(entries):
            machine = str(getattr(entry, "machine", ""))
            self._outside.begin(outside)
            try:
                if self._advanced:
                    advanced, self._advanced = self._advanced, ""
                    if not isinstance(entry, LifeBegun | Drained):  # a life that began: the last one broke off
                        machine = advanced
                        self._drain(Drained(advanced, ()))
                        machine = str(getattr(entry, "machine", ""))
                self._step(entry)
                self._outside.end()
            except _Differs as found:
                done = self.done
                done.difference = Difference(
                    done.lives, machine, done.events, self._last.get(machine, ""), found.effect, found.live, found.now
                )
                return done
            except (KeyError, msgspec.MsgspecError) as error:
                raise DecisionsError(
                    f"event {self.done.events}: an entry cannot be read by this version: {error}",
                    "replay it with the version that wrote it",
                ) from error
        return self.done

    def _step(self, entry: Entry) -> None:
        if self._refusal is not None and not isinstance(entry, Refused):
            raise _Differs("", f"refused: {self._refusal}")
        if isinstance(entry, Received):
            self._receive(entry)
        elif isinstance(entry, Advanced):
            _run(lambda: self._machine(entry.machine).advance(entry.now))
            self._advanced = entry.machine
        elif isinstance(entry, Drained):
            self._drain(entry)
        elif isinstance(entry, Refused):
            refusal, self._refusal = self._refusal, None
            if refusal is None:
                raise _Differs(f"refused: {entry.why}", "")
        elif isinstance(entry, LifeBegun):
            self._begin(entry)
        elif isinstance(entry, MachineMade):
            self._make(entry)
        elif isinstance(entry, LifeEnded) and entry.why:
            self.done.ends.append(entry.why)

    def _begin(self, entry: LifeBegun) -> None:
        if entry.schema != SCHEMA:
            raise DecisionsError(
                f"it was written by another version of laulima (schema {entry.schema}, this one reads {SCHEMA})",
                "replay it with the version that wrote it",
            )
        self.done.lives += 1
        self._machines.clear()
        self._last.clear()
        self._restored = fold(entry.restored)

    def _make(self, entry: MachineMade) -> None:
        self._last[entry.machine] = ""
        made: list[Machine] = []
        _run(lambda: made.append(entry.of.make(self._restored, self._outside)))
        self._machines[entry.machine] = made[0]
        self.done.machines.setdefault(entry.machine, 0)

    def _machine(self, name: str) -> Machine:
        found = self._machines.get(name)
        if found is None:
            raise DecisionsError(f"event {self.done.events}: there is no machine {name} yet", "the file is damaged")
        return found

    def _receive(self, entry: Received) -> None:
        machine, done = self._machine(entry.machine), self.done
        done.events += 1
        done.machines[entry.machine] += 1
        self._last[entry.machine] = f"{entry.kind} {text_of(entry.event)}"
        event = self._decoding.event(entry)
        try:
            _run(lambda: machine.receive(event, entry.now))
        except ProtocolError as error:
            self._refusal = str(error)

    def _drain(self, entry: Drained) -> None:
        drained = encode_effects(self._machine(entry.machine).drain())
        for place, ((kind, live), (kind_now, now)) in enumerate(zip(entry.effects, drained, strict=False), 1):
            if kind != kind_now or bytes(live) != bytes(now):
                raise _Differs(_effect_text((kind, live)), _effect_text((kind_now, now)), place)
            self.done.effects += 1
        both = min(len(entry.effects), len(drained))
        if len(entry.effects) != len(drained):
            live_rest, now_rest = entry.effects[both:], drained[both:]
            raise _Differs(
                _effect_text(live_rest[0]) if live_rest else "",
                _effect_text(now_rest[0]) if now_rest else "",
                both + 1,
            )


def _run(step: Any) -> None:
    """Let a machine do something; a failure of it is a difference, for it did not fail then."""
    try:
        step()
    except (ProtocolError, _Differs):
        raise
    except Exception as error:
        raise _Differs("it went on", f"it failed: {type(error).__name__}: {error}") from error


def _with_outside(entries: Iterable[Entry]) -> Iterator[tuple[Entry, list[Outside]]]:
    """Each entry with the outside's answers that were given while it was carried out."""
    current: Entry | None = None
    outside: list[Outside] = []
    for entry in entries:
        if isinstance(entry, BehaviourFound | BehaviourAnswered):
            outside.append(entry)
            continue
        if current is not None:
            yield current, outside
        current, outside = entry, []
    if current is not None:
        yield current, outside


class _Outside(Mapping[str, Behaviour]):
    """The behaviours of scripts as they answered then."""

    def __init__(self, decoding: Decoding) -> None:
        self._decoding = decoding
        self._answers: deque[Outside] = deque()

    def begin(self, answers: list[Outside]) -> None:
        """These were given during the next step."""
        self._answers = deque(answers)

    def end(self) -> None:
        """The step is over."""
        if self._answers:
            raise _Differs(f"it asked a script: {_outside_text(self._answers[0])}", "it did not ask")

    def __getitem__(self, task: str) -> Behaviour:
        found = self._answers.popleft() if self._answers else None
        if not isinstance(found, BehaviourFound) or found.task != task:
            raise _Differs(_outside_text(found), f"it looks for the behaviour of task {task}")
        return self if found.by_script else DECLARED

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 1

    def _answer(self, question: str) -> Any:
        found = self._answers.popleft() if self._answers else None
        if not isinstance(found, BehaviourAnswered):
            raise _Differs(_outside_text(found), f"it asks the script of {question}")
        return self._decoding.answer(found)

    def prepare(self, task: TaskDefinition, job: int, item: str | None) -> JobSpec | Skip | Later:
        answer: JobSpec | Skip | Later = self._answer(f"task {task.name} to prepare job {job}")
        return answer

    def react(self, task: TaskDefinition, spec: JobSpec, report: Report, retries: int) -> Reaction | Later:
        answer: Reaction | Later = self._answer(f"task {task.name} to react to {report.outcome.value}")
        return answer


def _outside_text(entry: Outside | None) -> str:
    if entry is None:
        return "it asked no script"
    if isinstance(entry, BehaviourFound):
        return f"it looked for the behaviour of task {entry.task}"
    return f"a script answered: {entry.kind} {text_of(entry.answer)}"


def _effect_text(effect: tuple[str, msgspec.Raw]) -> str:
    return f"{effect[0]} {text_of(effect[1])}"


def text_of(encoded: msgspec.Raw) -> str:
    """What is encoded there as one line of JSON, cut where it is long."""
    text = msgspec.json.encode(msgspec.msgpack.decode(encoded)).decode()
    return text if len(text) <= SHOWN_MAX else f"{text[:SHOWN_MAX]}..."
