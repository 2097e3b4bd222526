"""What every host owes its superior, whatever runs its jobs: an agent with keepers (`agent.py`), or a batch system
(`batch.py`).

The words of the job channel, results that are held until they are acknowledged, files that are waited for before a
start and after an end, and the lease. What starting and ending a job takes is the owner's: the methods at the end of
the class.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, Generic, TypeVar

from msgspec import Struct

from model.channel import ChannelTimes
from model.effects import Look
from model.events import Delivered, FilesSeen, LinkDown
from model.job import AttemptKey, JobSpec, Outcome, Report
from model.messages import CANCELLED_AS, Acknowledge, Assign, Cancel, Inquire, Ping
from model.states import State
from model.timers import Timers
from model.uplink import Uplink

SUPERIOR = "superior"

Handlers = Mapping[type, Callable[[Any, Any, int], None]]
"""(the subordinate, event, now)"""


class HeldAttempt(Struct, eq=False):
    """An attempt on its host, from its arrival to the acknowledgement of its end."""

    key: AttemptKey
    spec: JobSpec
    waited_ns: int
    """waited before it came here; after its start: in all"""
    accepted_ns: int
    state: Any
    deadline_ns: int | None = None
    """while it waits: when that ends (ns)"""
    missing: str = ""
    """the file that it waits for, as last seen"""
    report: Report | None = None
    ended_as: tuple[Outcome, str] | None = None
    """what its end means when it was ended from here"""

    def wait_from_arrival(self) -> None:
        """What is left of its pending timeout begins (or goes on) as it was counted above."""
        pending_ns = self.spec.pending_ns
        self.deadline_ns = self.accepted_ns + max(0, pending_ns - self.waited_ns) if pending_ns else None


A = TypeVar("A", bound=HeldAttempt)


class Subordinate(ABC, Generic[A]):
    """Base of the machines that hold attempts for a superior; see the head of this file."""

    BEFORE: ClassVar[State]
    AFTER: ClassVar[State]
    OVER: ClassVar[State]
    """the owner's states of an attempt that waits for files before its start, after its end, and that has ended"""
    HELD: ClassVar[type[Any]]
    WAITS: ClassVar[State]
    """the owner's attempts, and their state when they arrive"""

    __slots__ = (
        "_effects",
        "_handlers",
        "_timers",
        "attempts",
        "dirty",
        "name",
        "queue_max",
        "remembers",
        "slots",
        "uplink",
    )

    def __init__(self, name: str, epoch: int, slots: int, times: ChannelTimes, remembers: int, queue_max: int) -> None:
        """`remembers`: the earliest life whose attempts would all be known still. `queue_max`: how many may wait."""
        self.name = name
        self.slots = slots
        self.remembers = remembers
        self.queue_max = queue_max
        self.uplink = Uplink(epoch, times)
        self.attempts: dict[AttemptKey, A] = {}
        self.dirty = ""
        """why no new work is wanted here"""
        self._timers: Timers[AttemptKey] = Timers()
        """ends of waits, and next looks at files"""
        self._effects: list[Any] = []
        self._handlers = HANDLERS

    def receive(self, event: object, now: int) -> None:
        """Take one event. The lease is judged first: a word that comes after its end revives nothing."""
        uplink = self.uplink
        if not uplink.vouched and uplink.lease_ended(now):
            self._lease_ended(now)
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(self, event, now)

    @staticmethod
    def handlers() -> Handlers:
        """What is done with each event that is taken: one table for all subordinates of a class."""
        return {
            Delivered: Subordinate._delivered,
            LinkDown: Subordinate._link_down,
            FilesSeen: Subordinate._files_seen,
        }

    # the superior

    def _delivered(self, event: Delivered, now: int) -> None:
        uplink = self.uplink
        lease_before = uplink.lease_end_ns
        messages = uplink.receive(event.batch, now)
        self._lease_heard(lease_before, now)
        for message in messages:
            kind = type(message)
            if kind is Assign:
                self._assign(message, now)  # type: ignore[arg-type]
            elif kind is Acknowledge:
                self._acknowledge((message.job, message.attempt))  # type: ignore[union-attr]
            elif kind is Cancel:
                self._cancel(message, now)  # type: ignore[arg-type]
            elif kind is Ping:
                uplink.pong(message.number, self._running(), self._waiting(), self.dirty, now)  # type: ignore[union-attr]
            elif kind is Inquire:
                if message.slots > 0:  # type: ignore[union-attr]
                    self.slots = message.slots  # type: ignore[union-attr]
                self._inquired(message.number, now)  # type: ignore[union-attr]

    def _link_down(self, event: LinkDown, now: int) -> None:
        self.uplink.closed()

    def _lease_ended(self, now: int) -> None:
        """The superior was not heard for the lease: nothing here may live on."""
        self.uplink.lease_end_ns = None
        for attempt in list(self.attempts.values()):
            if attempt.state is not self.OVER:
                self.put_down(attempt, Outcome.LOST, "lease ended", now)

    def _assign(self, message: Assign, now: int) -> None:
        key = (message.job, message.attempt)
        known = self.attempts.get(key)
        if known is not None:
            self._say_again(known, now)
            return
        if self.uplink.results and self.uplink.says_again(key):
            return  # it was denied: who hands it down has crashed since it gave it up
        spec = message.spec
        self.attempts[key] = attempt = self.HELD(key, spec, message.waited_ns, now, self.WAITS)
        refusal = self._refusal(spec)
        if refusal is not None:
            self.end(attempt, refusal, now)
            return
        if spec.block is not None and spec.block.before:
            attempt.state = self.BEFORE
            attempt.deadline_ns = now + spec.block.limit_ns
            self._look(attempt, spec.block.before)
        else:
            self._enqueue(attempt, now)
        self._taken(attempt)

    def _refusal(self, spec: JobSpec) -> Report | None:
        """Why this job cannot be taken, if so."""
        if spec.slots > self.slots:
            reason = f"it needs {spec.slots} slots, {self.name} has {self.slots}"
            return Report(Outcome.OVERLOADED, reason=reason)
        unfit = self._unfit(spec)
        if unfit is not None:
            return unfit
        if not self.uplink.leased:
            return Report(Outcome.OVERLOADED, reason="its superior has granted no lease", again=True)
        if self._waiting() >= self.queue_max:
            return Report(Outcome.OVERLOADED, reason=f"{self._waiting()} jobs wait for {self.name} already")
        return None

    def _say_again(self, attempt: A, now: int) -> None:
        if attempt.state is self.OVER:
            assert attempt.report is not None
            self.uplink.ended(attempt.key, attempt.report, now)
        else:
            self._say_where(attempt)

    def _acknowledge(self, key: AttemptKey) -> None:
        attempt = self.attempts.get(key)
        if attempt is None or attempt.state is not self.OVER:
            return
        del self.attempts[key]
        self._forgotten(attempt)

    def _cancel(self, message: Cancel, now: int) -> None:
        key = (message.job, message.attempt)
        attempt = self.attempts.get(key)
        if attempt is None:
            self.uplink.deny(key, message.why, now)
        elif attempt.state is self.OVER:
            self._say_again(attempt, now)
        else:
            self.put_down(attempt, CANCELLED_AS.get(message.why, Outcome.KILLED), message.why.value, now)

    # files and waits

    def _look(self, attempt: A, paths: tuple[str, ...]) -> None:
        self._effects.append(Look(*attempt.key, paths, attempt.spec.directory))
        assert attempt.deadline_ns is not None
        self._timers.set(attempt.key, attempt.deadline_ns)

    def _files_seen(self, event: FilesSeen, now: int) -> None:
        attempt = self.attempts.get((event.job, event.attempt))  # type: ignore[arg-type]
        if attempt is None or attempt.state not in (self.BEFORE, self.AFTER):
            return
        assert attempt.deadline_ns is not None
        if event.missing is not None:
            attempt.missing = event.missing
            self._timers.set(attempt.key, min(now + attempt.spec.poll_ns, attempt.deadline_ns))
            return
        attempt.missing = ""
        if attempt.state is self.AFTER:
            assert attempt.report is not None
            self.end(attempt, attempt.report, now)
            return
        self._timers.cancel(attempt.key)
        attempt.wait_from_arrival()
        self._unblocked(attempt, now)

    def _wait_for_outputs(self, attempt: A, report: Report, now: int) -> bool:
        """Whether the files that a job that went well has to leave are waited for. Then `report` is kept until they are
        seen, and the caller moves the attempt to `AFTER`."""
        block = attempt.spec.block
        if block is None or not block.after or report.outcome is not Outcome.EXITED or report.exit_code != 0:
            return False
        attempt.report = report
        attempt.deadline_ns = now + block.limit_ns
        self._look(attempt, block.after)
        return True

    def _wait_over(self, attempt: A, now: int) -> None:
        """A wait's timer fired: look at the files again, or the wait's limit has passed."""
        assert attempt.deadline_ns is not None
        if attempt.state not in (self.BEFORE, self.AFTER):
            self._pending_over(attempt, now)
            return
        block = attempt.spec.block
        assert block is not None
        before = attempt.state is self.BEFORE
        paths = block.before if before else block.after
        if now < attempt.deadline_ns:
            self._look(attempt, paths)
            return
        when = "before the start" if before else "after the end"
        self.put_down(attempt, Outcome.FILES_MISSING, f"{attempt.missing or paths[0]} {when}", now)

    # what differs

    @abstractmethod
    def _lease_heard(self, before_ns: int | None, now: int) -> None:
        """The lease may have been renewed; it ended at `before_ns`."""

    @abstractmethod
    def _inquired(self, number: int, now: int) -> None:
        """Answer with an inventory, now or as soon as everything is known."""

    @abstractmethod
    def _running(self) -> int:
        """What a Pong says is running."""

    @abstractmethod
    def _waiting(self) -> int:
        """How many attempts wait here for their turn."""

    @abstractmethod
    def _unfit(self, spec: JobSpec) -> Report | None:
        """Why this host in particular cannot take such a job now, if so."""

    @abstractmethod
    def _enqueue(self, attempt: A, now: int) -> None:
        """It waits for its turn from now on (`wait_from_arrival`), or starts at once."""

    @abstractmethod
    def _unblocked(self, attempt: A, now: int) -> None:
        """The files are there: into the queue."""

    @abstractmethod
    def _taken(self, attempt: A) -> None:
        """It was taken: say so, unless something better is said already."""

    @abstractmethod
    def _say_where(self, attempt: A) -> None:
        """Say above where one is that has not ended."""

    @abstractmethod
    def _forgotten(self, attempt: A) -> None:
        """Its end was acknowledged."""

    @abstractmethod
    def _pending_over(self, attempt: A, now: int) -> None:
        """It has waited for its turn as long as it may."""

    @abstractmethod
    def put_down(self, attempt: A, outcome: Outcome, reason: str, now: int) -> None:
        """End an attempt wherever it is; one that runs ends when whoever runs it says so."""

    @abstractmethod
    def end(self, attempt: A, report: Report, now: int) -> None:
        """It has ended: keep the report, and say it until it is acknowledged."""


HANDLERS: Final = Subordinate.handlers()
