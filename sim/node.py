"""A node: one machine of `model`, its clock, its journal, and its turns.

A turn is what the live loop does too: what has arrived is taken first, then what is due, then the drained list is
carried out in order, records first. Nothing is decided here; `world.py` says what effects mean.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from model.errors import LaulimaError
from model.records import Record
from sim.calendar import NEVER, PRIORITY_BITS, Alarm, Calendar
from sim.clocks import Clock

if TYPE_CHECKING:
    from sim.network import Direction

TURNS_MAX = 10_000
"""A machine that still has something to do after so many turns at one instant is stuck: a bug of the model."""


class StuckError(LaulimaError):
    """A machine asks to be called again and again at one instant: a bug of ours."""


class Machine(Protocol):
    """The four methods (docs/architecture.md, part 3)."""

    def receive(self, event: Any, now: int) -> None: ...

    def advance(self, now: int) -> None: ...

    def next_due(self) -> int | None: ...

    def drain(self) -> Sequence[Any]: ...


CarryOut = Callable[["Node", Sequence[Any]], None]


class Node:
    """One place where a machine lives, through all its lives."""

    __slots__ = (
        "_alarm",
        "_calendar",
        "_carry_out",
        "_due",
        "_in_turn",
        "_more",
        "_now",
        "_priority",
        "_turn_wanted",
        "_turns",
        "_turns_at",
        "clock",
        "epoch",
        "frozen",
        "inbox",
        "journal",
        "machine",
        "name",
        "powerless",
        "ways",
    )

    def __init__(
        self, name: str, calendar: Calendar, clock: Clock, priority: int, carry_out: CarryOut, keeps_journal: bool
    ) -> None:
        self.name = name
        self.clock = clock
        self.machine: Machine | None = None
        """None: it does not run"""
        self.epoch = 0
        """which life of the node this is"""
        self.frozen = 0
        """how many faults keep it standing still"""
        self.inbox: list[object] = []
        """what came while it stood still"""
        self.powerless = False
        """not even an operating system answers for it"""
        self.journal: list[Record] | None = [] if keeps_journal else None
        """its durable records; None: this world never restarts it"""
        self.ways: dict[str, Direction] = {}
        """the way of its words, by what it calls who gets them"""
        self._calendar = calendar
        self._carry_out = carry_out
        self._alarm = Alarm(calendar, priority, self._wakes)
        self._priority = priority
        self._due = NEVER
        """when the machine wanted to be called, by its clock, as of its last turn"""
        self._in_turn = False
        self._now = 0
        """by its clock, in a turn"""
        self._turn_wanted = False
        self._more = False
        self._turns = 0
        self._turns_at = -1

    @property
    def running(self) -> bool:
        """Whether its machine lives and does not stand still."""
        return self.machine is not None and not self.frozen

    def start(self, machine: Machine) -> None:
        """A new life begins."""
        self.machine = machine
        self.powerless = False
        self._due = 0  # whatever is due at its start is done in its first turn
        self._want_turn()

    def stop(self) -> None:
        """Its machine is gone, with all that was not carried out."""
        self.machine = None
        self.inbox.clear()

    def receive(self, event: object) -> None:
        """An event comes to the machine: at once, or when it moves again, or never."""
        machine = self.machine
        if machine is None:
            return
        if self.frozen:
            self.inbox.append(event)
            return
        machine.receive(event, self.clock.read(self._calendar.now))
        self._more = True
        if not self._in_turn and not self._turn_wanted:
            self._want_turn()

    def receive_last(self, event: object | None) -> None:
        """The same, when the caller has nothing else to do at this instant: the turn needs no place in the calendar
        if nothing else has one before it. None: no event, only the turn of a machine that runs (`turn`).

        A turn: do what is due, then carry out everything that the machine asks for."""
        machine = self.machine
        if machine is None or self.frozen:
            self.receive(event)
            return
        if self._in_turn:
            if event is not None:
                machine.receive(event, self._now)
                self._more = True
            return
        calendar = self._calendar
        true_ns = calendar.now
        ahead_ns = self.clock.ahead_ns
        now = self.clock.read(true_ns) if ahead_ns is None else true_ns + ahead_ns
        if event is not None:
            machine.receive(event, now)
            if self._turn_wanted:
                return
            if calendar.moments and calendar.moments[0] >> PRIORITY_BITS <= true_ns:
                self._want_turn()
                return
        self._in_turn = True
        self._now = now
        if self._due <= now:
            machine.advance(now)
        carry_out = self._carry_out  # (a method's place would be looked for: this is none)
        while effects := machine.drain():
            self._more = False
            carry_out(self, effects)
            if not self._more or self.machine is not machine:  # what it did may have been its last
                break
        self._in_turn = False
        due = machine.next_due()
        if due is None or self.machine is not machine:
            self._due = NEVER
        elif due != self._due or self._alarm.at == NEVER:
            self._due = due
            self._want_alarm(true_ns)

    def thaw(self) -> None:
        """One fault fewer keeps it standing still; when it was the last one, what came meanwhile is taken."""
        self.frozen -= 1
        if self.frozen or self.machine is None:
            return
        events, self.inbox = self.inbox, []
        for event in events:
            self.receive(event)
        self._want_turn()

    def _want_turn(self) -> None:
        self._turn_wanted = True
        calendar = self._calendar
        calendar.at(calendar.now, self._priority, self)

    def happens(self) -> None:
        """In the calendar a node is the turn that it wants."""
        self._turn_wanted = False
        if self.machine is not None and not self.frozen:
            self.receive_last(None)

    def turn(self) -> None:
        """Do what is due, then carry out everything that the machine asks for."""
        if self.machine is not None and not self.frozen:
            self.receive_last(None)

    def _want_alarm(self, true_ns: int) -> None:
        ahead_ns = self.clock.ahead_ns
        when = self.clock.when(self._due) if ahead_ns is None else self._due - ahead_ns
        if when <= true_ns:
            self._check_progress(true_ns)
            when = true_ns
        if when < self._alarm.at:
            self._alarm.want(when)

    def _wakes(self) -> None:
        """The alarm rings. What it was set for may be settled meanwhile, or may have been moved: then there is no turn,
        for a machine that was asked nothing and for which nothing is due has nothing to say. (Each job sets four alarms
        for words that are to be said again if they are not answered, and nearly all are: 10 % of a run.)"""
        if self.machine is None or self.frozen or (self._due == NEVER and not self._turn_wanted):
            return
        true_ns = self._calendar.now
        ahead_ns = self.clock.ahead_ns
        now = self.clock.read(true_ns) if ahead_ns is None else true_ns + ahead_ns
        if self._due <= now or self._turn_wanted:
            self.receive_last(None)
        else:
            self._want_alarm(true_ns)

    def _check_progress(self, true_ns: int) -> None:
        if self._turns_at != true_ns:
            self._turns_at, self._turns = true_ns, 0
        self._turns += 1
        if self._turns > TURNS_MAX:
            raise StuckError(
                f"{self.name} had {TURNS_MAX} turns at {true_ns} ns and still wants another",
                "this is a bug; the seed and the scenario make it again",
            )
