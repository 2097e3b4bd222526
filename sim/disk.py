"""The modelled disk under the journals of one server process, and the order in which things leave that process.

A commit is durable after the time of a sync; a crash loses what is not. The rules are those of `live/loop.py`: one
commit is under way at a time, the next one takes what gathers meanwhile; what a machine wants of the world leaves after
the commit of what it recorded; words between machines of the process pass before, and so does the start of an attempt
whose assignment is on the disk; and while the disk is full, what `model/standstill.py` names. Made by `sim/world.py`;
what effects and records mean is told there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from model.effects import Commit, ToKeeper, Transmit
from model.job import SECOND, AttemptKey
from model.keeper import Start
from model.records import AttemptAssigned, Record
from model.standstill import part
from sim.calendar import REPLY, Calendar
from sim.crashes import Crashes
from sim.keyed import Draws
from sim.node import Node
from sim.scenario import DiskModel

RETRY_NS = SECOND
"""How often a commit is tried again when the disk is full, and how often room is looked for."""
HANGS_NS = 10 * SECOND
"""A sync that takes so long is one that does not end, as live."""
RESERVE_COMMITS = 3
"""Commits for which the reserve has room, so that what runs can end on a full disk."""

Write = Callable[[str, Record], None]
"""The record of the named machine is durable."""


class Disk:
    """The disk of the process that is called `name` and holds the machines of `nodes`."""

    def __init__(
        self,
        name: str,
        nodes: tuple[Node, ...],
        model: DiskModel,
        draws: Draws,
        calendar: Calendar,
        crashes: Crashes,
        write: Write,
        carry_out: Callable[[Node, Sequence[Any]], None],
    ) -> None:
        self.name = name
        self.nodes = nodes
        self.full = 0
        """how many faults fill it"""
        self.hangs = 0
        """how many faults keep its syncs from ending"""
        self.broken = 0
        """how many faults break it"""
        self.stuck = False
        """a commit waits for room, or for a sync that does not end"""
        self.on_stuck: Callable[[Disk], None] = lambda _: None
        """told each time that a commit meets a full disk, and when a sync does not end"""
        self.on_broken: Callable[[Disk], None] = lambda _: None
        """the process leaves"""
        self.receiver_of: Callable[[str, str], str] = lambda _, peer: peer
        """(machine, what it calls another one) -> which one that is"""
        self._names = frozenset(node.name for node in nodes)
        self._model = model
        self._draws = draws
        self._calendar = calendar
        self._crashes = crashes
        self._write = write
        self._carry_out = carry_out
        self._reserve = RESERVE_COMMITS
        self._records: list[tuple[str, Record]] = []
        self._effects: list[tuple[Node, Any]] = []
        """what waits for the next commit"""
        self._written: list[tuple[str, Record]] = []
        self._waiting: deque[tuple[Node, Any]] = deque()
        """what waits for the commit that is under way"""
        self._writing = False
        self._leaving = False
        self._dead = False
        self._unassigned: set[AttemptKey] = set()
        self._late_starts: set[AttemptKey] = set()
        """attempts whose start waits for a commit"""
        self._life = 0
        """grows with each end of the process: an answer of the disk to a dead one is nobody's"""
        self._commits = 0
        self._synced_at = 0
        """when the sync that is under way was begun"""

    def holds(self, sender: str, receiver: str) -> bool:
        """Whether a word from one to the other stays in the process."""
        return sender in self._names and receiver in self._names

    def take(self, node: Node, effects: Iterator[Any]) -> None:
        """A machine of the process was drained. What is left of `effects` when the process ends was not taken."""
        if self._dead:
            self._effects.extend((node, effect) for effect in effects)
            return
        for effect in effects:
            if not self._sort(node, effect):
                return
        self._commit()

    def _sort(self, node: Node, effect: Any) -> bool:
        """Records to the commit, words to a machine of this process to where they go, the rest for after the commit;
        whether the process is still there."""
        kind = type(effect)
        if kind is Commit:
            record = effect.record
            self._records.append((node.name, record))
            if type(record) is AttemptAssigned:
                self._unassigned.add((record.job, record.attempt))
        elif kind is Transmit and self._is_inside(node, effect):
            life = self._life
            self._carry_out(node, (effect,))
            return self._life == life
        elif kind is ToKeeper and type(effect.order) is Start:
            if self._may_leave_early(effect.order):
                return self._leaves_early(node, effect)
            self._late_starts.add((effect.order.job, effect.order.attempt))
            self._effects.append((node, effect))
        elif self.stuck:
            at_once, waits = part(effect)
            if waits is not None:
                self._effects.append((node, waits))
            return at_once is None or self._leaves_early(node, at_once)
        else:
            self._effects.append((node, effect))
        return True

    def _leaves_early(self, node: Node, effect: Any) -> bool:
        """Carry it out before the commit, between two boundaries; whether the process is still there."""
        self._effects.append((node, effect))
        if self._is_over():
            return False
        del self._effects[-1]
        life = self._life
        self._carry_out(node, (effect,))
        return self._life == life and not self._is_over()

    def _may_leave_early(self, start: Start) -> bool:
        """Its assignment is durable, and it overtakes no start that it is to follow."""
        return (start.job, start.attempt) not in self._unassigned and start.after not in self._late_starts

    def _is_inside(self, node: Node, effect: Transmit) -> bool:
        return self.holds(node.name, self.receiver_of(node.name, effect.peer))

    def waiting(self, node: Node) -> list[Any]:
        """What this machine wants of the world and has not got."""
        return [effect for one, effect in (*self._waiting, *self._effects) if one is node]

    def crash(self, kept: int = 0) -> None:
        """The process is gone, and with it all that is not durable; of the commit that is under way the first `kept`
        records are. What its machines still say goes nowhere."""
        self._life += 1
        self._dead = True
        written, self._written = self._written, []
        for name, record in written[:kept]:
            self._write(name, record)
        self._records.clear()
        self.stuck = False

    def begin(self) -> None:
        """A new life of the process."""
        self._dead = self._writing = self._leaving = False
        for waits in (self._records, self._effects, self._written, self._waiting):
            waits.clear()
        self._unassigned.clear()
        self._late_starts.clear()

    # the commit

    def _commit(self) -> None:
        if self._writing or self._leaving or self._dead:
            return
        self._written, self._records = self._records, []
        self._waiting, self._effects = deque(self._effects), []
        if self._written:
            self._writing = True
            self._sync()
        elif self._waiting:
            self._leave()

    def _sync(self) -> None:
        self._commits += 1
        model, life = self._model, self._life
        late = self._draws.one(f"{self.name}/{self._commits}") if model.jitter_ns else 0.0
        delay_ns = model.sync_ns + int(late * model.jitter_ns)
        self._synced_at = self._calendar.now
        self._calendar.call_after(delay_ns, REPLY, lambda: self._answers(life))

    def _answers(self, life: int) -> None:
        """The disk has synced, or says why not."""
        if life != self._life or self._is_over():
            return
        if self.broken:
            self.on_broken(self)
            return
        if self.hangs:
            self._wait(life)
            return
        if self.full and not self._spend_reserve():
            return
        if not self.full:
            self._reserve = RESERVE_COMMITS
        for name, record in self._written:
            self._write(name, record)
            if type(record) is AttemptAssigned:
                self._unassigned.discard((record.job, record.attempt))
        self._written = []
        if self._is_over():  # durable, and nobody was told
            return
        self._writing = self.stuck = False
        self._leave()

    def _spend_reserve(self) -> bool:
        """Whether the commit found room all the same; else it is tried again."""
        self.on_stuck(self)
        if self._reserve:
            self._reserve -= 1
            return True
        self.stuck = True
        self._again(self._life)
        return False

    def _wait(self, life: int) -> None:
        if not self.stuck and self._calendar.now - self._synced_at >= HANGS_NS:
            self.stuck = True
            self.on_stuck(self)
        self._again(life)

    def _again(self, life: int) -> None:
        self._calendar.call_after(RETRY_NS, REPLY, lambda: self._answers(life))

    def _leave(self) -> None:
        """Carry out what waited for the commit. What comes of it meanwhile waits its turn."""
        life, waiting = self._life, self._waiting
        self._leaving = True
        while waiting:
            if self._is_over():
                return
            node, effect = waiting.popleft()
            if type(effect) is ToKeeper and type(effect.order) is Start:
                self._late_starts.discard((effect.order.job, effect.order.attempt))
            self._carry_out(node, (effect,))
            if self._life != life:
                return
        self._leaving = False
        if not self._is_over() and (self._records or self._effects):
            self._commit()

    def _is_over(self) -> bool:
        """The process is at a boundary; whether it is gone."""
        return self._crashes.ends(self.name, len(self._written))
