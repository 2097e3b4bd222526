"""The driver loop: brings events to the machines, commits what they decided, then carries out what they asked for.

A *turn* delivers everything that has arrived, advances what is due, and lets the machines of this process settle among
themselves. What they recorded is then made durable in one transaction, by the journal's own thread; and what they
want of the world leaves only after that (docs/architecture.md, part 3, promise 3). What one machine says to another one
of the same process may pass before the commit: both forget it together if the process dies, because nothing of it
has left. One effect may leave early: the start of an attempt whose assignment is on the disk already (the local agent
had it in its queue); so a slow disk does not keep processors idle.

Many messages make one turn: `post` only notes the event, and the turn runs once after the loop has read everything
that was ready. Many turns make one commit: while one is under way, the next ones gather, up to a bound. A full disk is
a commit that lasts until there is room. While that is so, or a sync does not end, only what `model/standstill.py` names
leaves, heartbeats above all; what else would be said to others counts as lost on the way, and is said again.

Called by `live/server.py`, which says what each effect does. No decision about jobs is made here.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from live.clock import monotonic_ns
from live.decisions import Recorder
from live.journal import Journal, JournalFullError, JournalHangsError, JournalWaitsError
from live.journal_writer import JournalWriter
from model.channel import ProtocolError
from model.decisions import Machine
from model.effects import Commit, Effect, ToKeeper, Transmit
from model.events import Delivered
from model.job import SECOND, AttemptKey, Report
from model.keeper import Start
from model.messages import Batch
from model.records import AttemptAssigned, AttemptEnded, Record
from model.standstill import part

INBOX_MAX = 200_000
"""Events that may wait for a turn while the disk is full; further batches are dropped (their senders say them again).
"""
ROUNDS_MAX = 64
"""How often machines of one process may answer each other before the turn commits and others get the loop."""
GATHERED_MAX = 5_000
"""Records that gather for the next commit. With more the next turn waits until the one that is under way is durable:
else, where a million jobs are accepted, each commit would be larger than the one before it, and the start of the first
job be on the disk with the acceptance of the last."""
STANDSTILL_SECONDS = 10.0
"""A commit that is under way for so long is one that does not end."""
STANDSTILL_MAX = 200_000
"""`GATHERED_MAX` while the disk stands still. With more, heartbeats stop, and what runs elsewhere ends with its lease.
"""
RETRY_SECONDS = 1.0
"""How often a commit is tried again when the disk is full."""
SPIN_NS = 1_000_000
"""The earliest next turn when a machine says that it is due already."""

Clock = Callable[[], int]
"""Monotonic, in ns."""

Handler = Callable[[str, Effect], None]
"""Carries out one effect of the named machine."""


Inward = Callable[[Any], tuple[str, object] | None]
"""(machine, event) for an effect that is for another machine of this process; None: it leaves the process."""


class Turns:
    """Drives the machines of one process. All methods belong to the loop's thread."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        journal: Journal,
        carry_out: Handler,
    ) -> None:
        """`carry_out` gets every effect that leaves the process, in order, after its records are durable."""
        self._loop = loop
        self._journal = journal
        self._carry_out = carry_out
        self._machines: dict[str, tuple[Machine, Clock]] = {}
        self._inside: dict[tuple[str, str], tuple[str, str]] = {}
        self.inward: dict[type, Inward] = {}
        """effects that are for another machine of this process"""
        self._inbox: deque[tuple[str, object]] = deque()
        self._records: list[tuple[str, Record]] = []
        self._effects: list[tuple[str, Effect]] = []
        """what waits for the next commit"""
        self._written: list[tuple[str, Record]] = []
        self._waiting: list[tuple[str, Effect]] = []
        """what waits for the commit that is under way"""
        self._writing = False
        self._begun_at = 0.0
        """when the commit that is under way was begun, by the loop's clock"""
        self._unassigned: set[AttemptKey] = set()
        """attempts whose assignment is not on the disk yet"""
        self._late_starts: set[AttemptKey] = set()
        """attempts whose start waits for a commit"""
        self._writer = JournalWriter(loop, journal, self._committed)
        self._durable: list[asyncio.Future[None]] = []
        """who waits for the commit that is under way"""
        self._durable_next: list[asyncio.Future[None]] = []
        """who waits for the one after it"""
        self._scheduled = False
        self._held = False
        """a turn waits for the commit that is under way"""
        self._begun = False
        self._timer: asyncio.TimerHandle | None = None
        self._finals: dict[int, list[asyncio.Future[tuple[AttemptKey, Report]]]] = {}
        self.on_protocol_error: Callable[[str, str, ProtocolError], None] | None = None
        """told the machine, the peer and the error; the peer's connection is to be closed"""
        self.on_disk: Callable[[JournalWaitsError], None] | None = None
        """told that the disk is full, each time that a commit meets it, or that it does not answer"""
        self.after_turn: Callable[[], None] | None = None
        self.recorder: Recorder | None = None
        """records what the machines decide; None: nobody wants to know"""
        self.failed: asyncio.Future[None] = loop.create_future()
        """gets the exception when a machine or the journal fails; nothing is done after it"""
        self.stuck = False
        """the commit that is under way waits for room on the disk, or for a sync that does not end"""
        self.closed = False
        self.turns = 0
        self.commits = 0
        self.dropped = 0
        """batches that came while the disk was full and the inbox as well"""

    def add(self, name: str, machine: Machine, clock: Clock = monotonic_ns) -> None:
        """Drive `machine` under this name, by this clock, from `begin` on."""
        self._machines[name] = (machine if self.recorder is None else self.recorder.watch(name, machine), clock)

    def begin(self) -> None:
        """All machines are there: what was posted before is delivered in the first turn."""
        self._begun = True
        self.schedule()

    def join(self, superior: str, subordinate: str) -> None:
        """The two machines of this process speak to each other directly: `superior` calls the other by its name, and is
        called `superior`."""
        self._inside[superior, subordinate] = (subordinate, "superior")
        self._inside[subordinate, "superior"] = (superior, subordinate)

    def post(self, machine: str, event: object) -> None:
        """An event for the machine; it is delivered in the next turn."""
        if self.stuck and len(self._inbox) >= INBOX_MAX and type(event) is Delivered:
            self.dropped += 1
            return
        self._inbox.append((machine, event))
        self.schedule()

    def deliver(self, machine: str, peer: str, batch: Batch) -> None:
        """A batch from outside the process."""
        self.post(machine, Delivered(peer, batch))

    def note(self, machine: str, record: Record) -> None:
        """A record of what a machine has told people, which it need not know itself: it goes with the next commit."""
        self._records.append((machine, record))
        self.schedule()

    def schedule(self) -> None:
        """Have a turn as soon as the loop has read what is ready."""
        if self._scheduled or not self._begun or self.closed:
            return
        if self._writing and len(self._records) >= (STANDSTILL_MAX if self.stuck else GATHERED_MAX):
            if not self._held:
                self._held = True
                self._loop.call_later(STANDSTILL_SECONDS, self._look_at_disk)
            return
        self._scheduled = True
        self._loop.call_soon(self._run)

    def when_final(self, job: int) -> asyncio.Future[tuple[AttemptKey, Report]]:
        """A future that gets the last attempt and its report once the end of the job is on the disk."""
        future: asyncio.Future[tuple[AttemptKey, Report]] = self._loop.create_future()
        self._finals.setdefault(job, []).append(future)
        return future

    def when_durable(self) -> asyncio.Future[None]:
        """A future that is done once everything that was decided until now is on the disk."""
        future: asyncio.Future[None] = self._loop.create_future()
        if self._records:
            self._durable_next.append(future)
        elif self._writing:
            self._durable.append(future)
        else:
            future.set_result(None)
        return future

    def unwritten_end(self, job: int) -> AttemptEnded | None:
        """The end of a job that is final, but not on the disk."""
        for _, record in (*self._written, *self._records):
            if type(record) is AttemptEnded and record.job == job and record.final:
                return record
        return None

    def close(self) -> None:
        """No more turns. The commit that is under way is waited for; what came after it is forgotten, as by a crash."""
        self.closed = True
        self._writer.close()
        if self._timer is not None:
            self._timer.cancel()
        waiters: list[asyncio.Future[Any]] = [*self._durable, *self._durable_next]
        for finals in self._finals.values():
            waiters.extend(finals)
        for future in waiters:
            future.cancel()
        if not self.failed.done():
            self.failed.cancel()

    # one turn

    def _run(self) -> None:
        self._scheduled = False
        if self.closed or self.failed.done():
            return
        try:
            self._look_at_disk()
            self._settle()
            self._arm()
            self._commit()
        except Exception as error:  # noqa: BLE001 - a bug of ours: handed to the server, which leaves
            self.failed.set_exception(error)
            return
        if self.after_turn is not None:
            self.after_turn()

    def _settle(self) -> None:
        """Deliver, advance and drain until the machines have nothing to say to each other."""
        self.turns += 1
        inbox = self._inbox
        machines = [(name, machine, clock()) for name, (machine, clock) in self._machines.items()]
        times = {name: now for name, _, now in machines}
        for _ in range(ROUNDS_MAX):
            touched = set()
            while inbox:
                name, event = inbox.popleft()
                touched.add(name)
                self._receive(name, event, times[name])
            for name, machine, now in machines:
                due = machine.next_due()
                if name in touched or (due is not None and due <= now):
                    machine.advance(now)
                    self._sort(name, machine.drain())
            if not inbox:
                return
        self.schedule()

    def _receive(self, name: str, event: object, now: int) -> None:
        try:
            self._machines[name][0].receive(event, now)
        except ProtocolError as error:
            if self.on_protocol_error is None or not isinstance(event, Delivered):
                raise
            self.on_protocol_error(name, event.peer, error)

    def _sort(self, name: str, effects: Sequence[Effect]) -> None:
        """Records to the commit, words to a machine of this process into the inbox, the rest for after the commit."""
        inside = self._inside
        for effect in effects:
            kind = type(effect)
            if kind is Commit:
                record = effect.record  # type: ignore[union-attr]
                self._records.append((name, record))
                if type(record) is AttemptAssigned:
                    self._unassigned.add((record.job, record.attempt))
            elif kind is Transmit and (name, effect.peer) in inside:  # type: ignore[union-attr]
                receiver, sender = inside[name, effect.peer]  # type: ignore[union-attr]
                self._inbox.append((receiver, Delivered(sender, effect.batch)))  # type: ignore[union-attr]
            elif kind in self.inward and (passed := self.inward[kind](effect)) is not None:
                self._inbox.append(passed)
            elif kind is ToKeeper and type(start := effect.order) is Start:  # type: ignore[union-attr]
                if self._may_leave_early(start):
                    self._carry_out(name, effect)
                else:
                    self._late_starts.add((start.job, start.attempt))
                    self._effects.append((name, effect))
            elif self.stuck:
                self._part(name, effect)
            else:
                self._effects.append((name, effect))

    def _part(self, name: str, effect: Effect) -> None:
        at_once, waits = part(effect)
        if at_once is not None:
            self._carry_out(name, at_once)
        if waits is not None:
            self._effects.append((name, waits))

    def _may_leave_early(self, start: Start) -> bool:
        """See the head of this file. Only starts: the order of the others among themselves means something. One that
        is to follow another attempt does not overtake the start of that: the keeper would let it run beside it."""
        return (start.job, start.attempt) not in self._unassigned and start.after not in self._late_starts

    def _arm(self) -> None:
        """Set the one timer to the earliest due time of all machines. One that fires before that stays: it costs a turn
        now and then, and not a timer for each turn."""
        waits = [due - clock() for machine, clock in self._machines.values() if (due := machine.next_due()) is not None]
        if not waits or self.closed:
            return
        when = self._loop.time() + max(min(waits), SPIN_NS) / SECOND
        if self._timer is not None:
            if self._timer.when() <= when:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._timer_fired)

    def _timer_fired(self) -> None:
        self._timer = None
        self.schedule()

    # the commit

    def _commit(self) -> None:
        """Begin a commit of what has gathered, unless one is under way; what needs none leaves at once."""
        if self._writing:
            return
        self._written, self._records = self._records, []
        self._waiting, self._effects = self._effects, []
        self._durable, self._durable_next = self._durable_next, []
        if self._written:
            self._write()
        else:
            self._leave()

    def _write(self) -> None:
        self._writing = True
        self._begun_at = self._loop.time()
        self._writer.commit(self._written)

    def _committed(self, error: Exception | None) -> None:
        """The journal's thread has finished a transaction."""
        self._writing = False
        if self.closed or self.failed.done():
            return
        if isinstance(error, JournalFullError):
            self._wait_for_room(error)
            return
        try:
            if error is not None:
                raise error
            self.stuck = False
            self.commits += 1
            self._note_durable()
            self._leave()
            self._commit()
            if self._held:
                self._held = False
                self.schedule()
        except Exception as failure:  # noqa: BLE001 - a broken disk or a bug of ours: handed to the server, which leaves
            self.failed.set_exception(failure)

    def _note_durable(self) -> None:
        for _, record in self._written:
            kind = type(record)
            if kind is AttemptAssigned:
                self._unassigned.discard((record.job, record.attempt))  # type: ignore[union-attr]
            elif kind is AttemptEnded and record.final and self._finals:  # type: ignore[union-attr]
                self._tell_final(record)  # type: ignore[arg-type]
        self._written = []

    def _tell_final(self, record: AttemptEnded) -> None:
        for future in self._finals.pop(record.job, ()):
            if not future.done():
                future.set_result(((record.job, record.attempt), record.report))

    def _leave(self) -> None:
        """Carry out what waited for the commit that has succeeded."""
        effects, self._waiting = self._waiting, []
        for name, effect in effects:
            if type(effect) is ToKeeper and type(start := effect.order) is Start:
                self._late_starts.discard((start.job, start.attempt))
            self._carry_out(name, effect)
        if self._durable:
            durable, self._durable = self._durable, []
            for future in durable:
                if not future.done():
                    future.set_result(None)

    # a disk that stands still

    def _look_at_disk(self) -> None:
        """Whether the commit that is under way does not end. Called before each turn, and when turns are held."""
        if not self._writing or self.stuck or self._loop.time() - self._begun_at < STANDSTILL_SECONDS:
            return
        seconds = f"{STANDSTILL_SECONDS:g}"
        text = f"the disk of {self._journal.path} has not finished a sync for {seconds} s"
        self._stand_still(JournalHangsError(text, "look at the disk"))

    def _stand_still(self, error: JournalWaitsError) -> None:
        self.stuck = True
        if self.on_disk is not None:
            self.on_disk(error)
        if self._held:
            self._held = False
            self.schedule()

    def _wait_for_room(self, error: JournalFullError) -> None:
        """First the reserve is spent, so that what already runs can end; then the same commit is tried until there is
        room."""
        if self._journal.spend_reserve():
            if self.on_disk is not None:
                self.on_disk(error)
            self._write()
            return
        self._writing = True
        self._loop.call_later(RETRY_SECONDS, self._try_again)
        self._stand_still(error)

    def _try_again(self) -> None:
        if not self.closed:
            self._write()
