"""The machine of one batch system: a host of many slots to its superior, the jobs of a cluster below it.

It speaks the job channel as an agent does (`uplink.py`), so leases, acknowledgements, explanations and restarts are
the same. Instead of keepers it has a batch system, which is told in submissions (attempts that come within one window
and wish the same) and asked by one poll for all. What the words between machine and driver mean: `batch_words.py`; what
marks and states mean for an outcome: `batch_attempt.py`.

How nothing is run twice. A submission is written down before the batch system is told of it. An attempt leaves a
submission, to be submitted again or to end unstarted, only when its first mark was claimed: that mark is made once,
and a runner that finds it made does not start the job. So a submission that was lost or taken twice, an element that
the batch system starts again, a number that it gives twice, all lead to no second run; and nothing is concluded from a
batch system that does not answer.

What becomes of jobs without a superior: they run on until the lease is over, which each runner holds for itself; then
they are ended, and what waits does not start.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import structs

from model.batch_attempt import BATCH_MOVES, IN_SYSTEM, BatchAttempt, BatchState, entry_of
from model.batch_submissions import Submissions
from model.batch_words import (
    BatchEffect,
    BatchWord,
    Begun,
    Claimed,
    Forgotten,
    GrantLease,
    HeldBatch,
    HeldElement,
    Keep,
    NotSubmitted,
    Over,
    Seen,
    Settle,
    Submitted,
    Unseen,
)
from model.channel import ChannelTimes
from model.configuration import BatchSettings
from model.effects import Effect, Look, Notice, Transmit
from model.events import Delivered, FilesSeen, LinkDown, LinkUp, Vouched, WallClock
from model.job import AttemptKey, JobSpec, Outcome, Report
from model.messages import Acknowledge, Assign, Cancel, CancelReason, Inquire, Ping, Pong
from model.states import check_move
from model.timers import Timers
from model.uplink import Uplink

SUPERIOR = "superior"
LEASE_STEPS = 20
"""A lease is passed on to the runners when it has grown by this part: each time is a write on a network file system."""

BatchEvent = Delivered | LinkUp | LinkDown | Vouched | WallClock | FilesSeen | BatchWord

_S = BatchState
_CANCEL_OUTCOMES = {
    CancelReason.TIMED_OUT: Outcome.TIMED_OUT,
    CancelReason.PENDING_TIMEOUT: Outcome.PENDING_TIMEOUT,
    CancelReason.CONTROLLER_SILENT: Outcome.CONTROLLER_SILENT,
}


class BatchAgent:
    """See the head of this file; the four methods are described in docs/architecture.md, part 3."""

    def __init__(
        self,
        name: str,
        epoch: int,
        now: int,
        slots: int,
        times: ChannelTimes,
        remembers: int,
        settings: BatchSettings,
        held: HeldBatch,
        queue_max: int = 100_000,
    ) -> None:
        """`held`: what the records of earlier lives say. `remembers`: the earliest life that they cover."""
        self.name = name
        self.slots = slots
        self.remembers = remembers
        self.queue_max = queue_max
        self.uplink = Uplink(epoch, times)
        self.attempts: dict[AttemptKey, BatchAttempt] = {}
        self.dirty = ""
        """why no new work is wanted: the batch system is silent, or takes no more"""
        self._granted_ns: int | None = None
        """the end of the lease that the runners know"""
        self._timers: Timers[AttemptKey] = Timers()
        self._effects: list[Effect | BatchEffect] = []
        self.submissions = submissions = Submissions(self, settings, held, self._effects, now)
        self._handlers: dict[type, Callable[[Any, int], None]] = {
            Delivered: self._delivered,
            LinkDown: self._link_down,
            FilesSeen: self._files_seen,
            Submitted: submissions.submitted,
            NotSubmitted: submissions.not_submitted,
            Seen: submissions.seen,
            Unseen: submissions.unseen,
            Claimed: submissions.claimed,
        }
        for key, element in held.attempts.items():
            self._restore(key, element, now)

    # the four methods

    def receive(self, event: BatchEvent, now: int) -> None:
        """Take one event. The lease is judged first: a word that comes after its end revives nothing."""
        if self.uplink.lease_ended(now):
            self._lease_ended(now)
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(event, now)

    def advance(self, now: int) -> None:
        """Do what is due: the lease, waits, a submission, a poll, repeated words."""
        if self.uplink.lease_ended(now):
            self._lease_ended(now)
        for key in self._timers.take(now):
            self._wait_over(self.attempts[key], now)
        self.submissions.advance(now)
        self.uplink.advance(now)

    def next_due(self) -> int | None:
        """When `advance` wants to be called (ns)."""
        lease = self.uplink.lease_end_ns if self.attempts else None
        dues = (lease, self._timers.next_due(), self.uplink.next_due(), self.submissions.next_due())
        return min((due for due in dues if due is not None), default=None)

    def drain(self) -> list[Effect | BatchEffect]:
        """What the driver is to do, in order: what is to be kept first."""
        keeps = [effect for effect in self._effects if type(effect) is Keep]
        others = [effect for effect in self._effects if type(effect) is not Keep]
        self._effects.clear()
        effects: list[Effect | BatchEffect] = [*keeps, Settle(), *others] if keeps else others
        batch = self.uplink.take()
        if batch is not None:
            effects.append(Transmit(SUPERIOR, batch))
        return effects

    @property
    def is_busy(self) -> bool:
        """Whether an attempt is here that has not ended, or the batch system still has what nobody wants."""
        return self.submissions.is_busy or any(attempt.state is not _S.ENDED for attempt in self.attempts.values())

    # the superior

    def _link_down(self, event: LinkDown, now: int) -> None:
        self.uplink.closed()

    def _delivered(self, event: Delivered, now: int) -> None:
        uplink = self.uplink
        for message in uplink.receive(event.batch, now):
            kind = type(message)
            if kind is Assign:
                self._grant(now)
                self._assign(message, now)  # type: ignore[arg-type]
            elif kind is Acknowledge:
                self._acknowledge((message.job, message.attempt))  # type: ignore[union-attr]
            elif kind is Cancel:
                self._cancel(message, now)  # type: ignore[arg-type]
            elif kind is Ping:
                running = sum(1 for attempt in self.attempts.values() if attempt.state is _S.RUNNING)
                waiting = len(self.submissions.waiting)
                uplink.pong(message.number, running, waiting, self.dirty, now)  # type: ignore[union-attr]
            elif kind is Inquire:
                if message.slots > 0:  # type: ignore[union-attr]
                    self.slots = message.slots  # type: ignore[union-attr]
                entries = tuple(entry_of(attempt, self.name) for attempt in self.attempts.values())
                uplink.inventory(message.number, entries, self.remembers, self.slots, now)  # type: ignore[union-attr]
        self._grant(now)

    def _grant(self, now: int) -> None:
        """Pass a lease on to the runners when it has grown enough, and at once when it is shorter than they know."""
        end_ns = self.uplink.lease_end_ns
        if end_ns is None or end_ns <= now:
            return
        granted_ns = self._granted_ns
        if granted_ns is None or end_ns < granted_ns or end_ns - granted_ns >= (end_ns - now) // LEASE_STEPS:
            self._granted_ns = end_ns
            self._effects.append(GrantLease(end_ns - now))

    def _assign(self, message: Assign, now: int) -> None:
        key = (message.job, message.attempt)
        known = self.attempts.get(key)
        if known is not None:
            self._say_again(known, now)
            return
        spec = message.spec
        attempt = BatchAttempt(key, spec, message.waited_ns, now, _S.WAITING)
        refusal = self._refusal(spec)
        self.attempts[key] = attempt
        if refusal is not None:
            self.end(attempt, refusal, now)
            return
        if spec.block is not None and spec.block.before:
            attempt.state = _S.BLOCKED_BEFORE
            attempt.deadline_ns = now + spec.block.limit_ns
            self._look(attempt, spec.block.before)
        else:
            self._enqueue(attempt, now)
        self.uplink.accepted(key, attempt.why)

    def _refusal(self, spec: JobSpec) -> Report | None:
        """Why this job cannot be taken, if so."""
        if spec.call is not None:
            reason = "a Python callable cannot be given to a batch system: write a command"
            return Report(Outcome.COMMAND_NOT_FOUND, reason=reason)
        if spec.slots > self.slots:
            reason = f"it needs {spec.slots} slots, {self.name} has {self.slots}"
            return Report(Outcome.OVERLOADED, reason=reason)
        if not self.uplink.leased:
            return Report(Outcome.OVERLOADED, reason="its superior has granted no lease", again=True)
        if len(self.submissions.waiting) >= self.queue_max:
            return Report(
                Outcome.OVERLOADED, reason=f"{len(self.submissions.waiting)} jobs wait for {self.name} already"
            )
        return None

    def _say_again(self, attempt: BatchAttempt, now: int) -> None:
        if attempt.state is _S.ENDED:
            assert attempt.report is not None
            self.uplink.ended(attempt.key, attempt.report, now)
        elif attempt.begun:
            self.uplink.started(attempt.key, self.name, 0, attempt.why)
        else:
            self.uplink.accepted(attempt.key, attempt.why)

    def _acknowledge(self, key: AttemptKey) -> None:
        attempt = self.attempts.get(key)
        if attempt is None or attempt.state is not _S.ENDED:
            return
        del self.attempts[key]
        if attempt.element is not None:
            self._effects.append(Keep(Forgotten(*key)))
            self.submissions.leave(attempt)

    def _cancel(self, message: Cancel, now: int) -> None:
        key = (message.job, message.attempt)
        attempt = self.attempts.get(key)
        if attempt is None:
            self.uplink.deny(key, now)
        elif attempt.state is _S.ENDED:
            self._say_again(attempt, now)
        else:
            self._put_down(attempt, _CANCEL_OUTCOMES.get(message.why, Outcome.KILLED), message.why.value, now)

    def _put_down(self, attempt: BatchAttempt, outcome: Outcome, reason: str, now: int) -> None:
        """End an attempt wherever it is. One that has begun ends when its mark, or the batch system, says so."""
        if attempt.state not in IN_SYSTEM:
            before = attempt.report
            ran_for = 0 if before is None else before.ran_for_ns
            self.end(attempt, Report(outcome, reason=reason, ran_for_ns=ran_for, started=attempt.begun), now)
            return
        if attempt.ended_as is None or attempt.provisional:
            attempt.ended_as = (outcome, reason)
            attempt.provisional = outcome is Outcome.PENDING_TIMEOUT
        attempt.returns = False
        if attempt.state is not _S.STOPPING:
            self.move(attempt, _S.STOPPING)
        if not attempt.begun:
            self.submissions.claim(attempt)
        self.submissions.poll_soon(now)

    def _lease_ended(self, now: int) -> None:
        """The superior was not heard for the lease: nothing here may live on."""
        self.uplink.lease_end_ns = None
        self._granted_ns = None
        for attempt in list(self.attempts.values()):
            if attempt.state is not _S.ENDED:
                self._put_down(attempt, Outcome.LOST, "lease ended", now)

    # what submissions ask for (`batch_submissions.Owner`)

    def tell_trouble(self, reason: str) -> None:
        """Why no new work is wanted; empty: it is."""
        if reason == self.dirty:
            return
        level, text = ("warning", reason) if reason else ("info", "it answers, and takes jobs again")
        self._effects.append(Notice(level, f"host {self.name}", text))
        self.dirty = reason
        if self.uplink.open:
            self.uplink.outbox.append(Pong(0, 0, len(self.submissions.waiting), reason))

    def say_where(self, attempt: BatchAttempt, where: str) -> None:
        """Tell above where it waits or runs."""
        attempt.why = where
        if attempt.begun:
            self.uplink.started(attempt.key, self.name, 0, where)
        else:
            self.uplink.accepted(attempt.key, where)

    def begin(self, attempt: BatchAttempt, mark: Begun, now: int) -> None:
        """Its job has started."""
        attempt.begun = True
        attempt.node = mark.node
        attempt.waited_ns += now - attempt.accepted_ns
        attempt.deadline_ns = None
        self._timers.cancel(attempt.key)
        attempt.why = f"{attempt.identity} on {mark.node}".strip()
        if attempt.ended_as is None:
            self.move(attempt, _S.RUNNING)
        self.uplink.started(attempt.key, self.name, mark.at_ns, attempt.why)

    # files, waits, ends

    def _look(self, attempt: BatchAttempt, paths: tuple[str, ...]) -> None:
        self._effects.append(Look(*attempt.key, paths, attempt.spec.directory))
        assert attempt.deadline_ns is not None
        self._timers.set(attempt.key, attempt.deadline_ns)

    def _files_seen(self, event: FilesSeen, now: int) -> None:
        attempt = self.attempts.get((event.job, event.attempt))  # type: ignore[arg-type]
        if attempt is None or attempt.state not in (_S.BLOCKED_BEFORE, _S.BLOCKED_AFTER):
            return
        assert attempt.deadline_ns is not None
        if event.missing is not None:
            attempt.why = f"{attempt.state.value}: {event.missing}"
            self._timers.set(attempt.key, min(now + attempt.spec.poll_ns, attempt.deadline_ns))
            return
        self._timers.cancel(attempt.key)
        attempt.deadline_ns = None
        if attempt.state is _S.BLOCKED_AFTER:
            assert attempt.report is not None
            self.end(attempt, attempt.report, now)
            return
        self.move(attempt, _S.WAITING)
        self._enqueue(attempt, now)

    def _enqueue(self, attempt: BatchAttempt, now: int) -> None:
        if attempt.spec.pending_ns:
            attempt.deadline_ns = attempt.accepted_ns + max(0, attempt.spec.pending_ns - attempt.waited_ns)
            self._timers.set(attempt.key, attempt.deadline_ns)
        self.submissions.add(attempt, now)

    def _wait_over(self, attempt: BatchAttempt, now: int) -> None:
        """A wait's timer fired: look at the files again, or the wait's limit has passed."""
        assert attempt.deadline_ns is not None
        if attempt.state not in (_S.BLOCKED_BEFORE, _S.BLOCKED_AFTER):
            reason = attempt.why or f"{self.name} did not take it in time"
            attempt.deadline_ns = None
            self._put_down(attempt, Outcome.PENDING_TIMEOUT, reason, now)
            return
        block = attempt.spec.block
        assert block is not None
        before = attempt.state is _S.BLOCKED_BEFORE
        paths = block.before if before else block.after
        if now < attempt.deadline_ns:
            self._look(attempt, paths)
            return
        missing = attempt.why.partition(": ")[2] or paths[0]
        when = "before the start" if before else "after the end"
        self._put_down(attempt, Outcome.FILES_MISSING, f"{missing} {when}", now)

    def is_over(self, attempt: BatchAttempt, report: Report, now: int) -> None:
        """Its job has ended; its outputs may still have to be waited for."""
        block = attempt.spec.block
        went_well = report.outcome is Outcome.EXITED and report.exit_code == 0
        if block is None or not block.after or not went_well or attempt.state is _S.STOPPING:
            self.end(attempt, report, now)
            return
        if not attempt.begun:
            attempt.waited_ns += now - attempt.accepted_ns
        attempt.report = report
        attempt.why = ""
        attempt.deadline_ns = now + block.limit_ns
        self.move(attempt, _S.BLOCKED_AFTER)
        self._look(attempt, block.after)

    def end(self, attempt: BatchAttempt, report: Report, now: int) -> None:
        self._timers.cancel(attempt.key)
        self.submissions.waiting.pop(attempt.key, None)
        attempt.deadline_ns = None
        waited = attempt.waited_ns if attempt.begun else attempt.waited_ns + now - attempt.accepted_ns
        report = structs.replace(report, host=self.name, waited_ns=waited)
        attempt.report = report
        self.move(attempt, _S.ENDED)
        if attempt.element is not None:
            self._effects.append(Keep(Over(*attempt.key, report)))
        self.uplink.ended(attempt.key, report, now)

    def move(self, attempt: BatchAttempt, state: BatchState) -> None:
        check_move(BATCH_MOVES, attempt.state, state, f"attempt {attempt.key} on {self.name}")
        attempt.state = state

    # after a restart

    def _restore(self, key: AttemptKey, held: HeldElement, now: int) -> None:
        """Take up what an earlier life wrote down. What it did not write down it had not submitted: the superior gives
        that again."""
        attempt = BatchAttempt(key, held.spec, held.waited_ns, now, _S.SUBMITTED)
        self.attempts[key] = attempt
        if held.report is not None:
            attempt.begun = held.report.started
            attempt.state = _S.ENDED
            attempt.report = held.report
            self.uplink.ended(key, held.report, now)
        elif held.spec.pending_ns:
            attempt.deadline_ns = now + max(0, held.spec.pending_ns - held.waited_ns)
            self._timers.set(key, attempt.deadline_ns)
        self.submissions.restore(attempt, held.element)
