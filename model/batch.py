"""The machine of one batch system: a host of many slots to its superior, the jobs of a cluster below it.

It speaks the job channel as an agent does (`subordinate.py`), so leases, acknowledgements, explanations and restarts
are the same. Instead of keepers it has a batch system, which is told in submissions (attempts that come within one
window and wish the same) and asked by one poll for all. What the words between machine and driver mean:
`batch_words.py`; what marks and states mean for an outcome: `batch_attempt.py`.

How nothing is run twice. A submission is written down before the batch system is told of it. An attempt leaves a
submission, to be submitted again or to end unstarted, only when its first mark was claimed: that mark is made once,
and a runner that finds it made does not start the job. So a submission that was lost or taken twice, an element that
the batch system starts again, a number that it gives twice, all lead to no second run; and nothing is concluded from a
batch system that does not answer.

What becomes of jobs without a superior: they run on until the lease is over, which each runner holds for itself; then
they are ended, and what waits does not start.
"""

from __future__ import annotations

from typing import Final

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
from model.effects import Effect, Notice, Transmit
from model.events import Delivered, FilesSeen, LinkDown, LinkUp, Vouched, WallClock
from model.job import AttemptKey, JobSpec, Outcome, Report
from model.messages import Pong
from model.states import check_move
from model.subordinate import SUPERIOR, Handlers, Subordinate
from model.timers import NEVER_NS

LEASE_STEPS = 20
"""A lease is passed on to the runners when it has grown by this part: each time is a write on a network file system."""

BatchEvent = Delivered | LinkUp | LinkDown | Vouched | WallClock | FilesSeen | BatchWord

_S = BatchState


class BatchAgent(Subordinate[BatchAttempt]):
    """See the head of this file; the four methods are described in docs/architecture.md, part 3."""

    BEFORE, AFTER, OVER = _S.BLOCKED_BEFORE, _S.BLOCKED_AFTER, _S.ENDED
    HELD, WAITS = BatchAttempt, _S.WAITING

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
        super().__init__(name, epoch, slots, times, remembers, queue_max)
        self._granted_ns: int | None = None
        """the end of the lease that the runners know"""
        self.submissions = Submissions(self, settings, held, self._effects, now)
        self._handlers = HANDLERS
        for key, element in held.attempts.items():
            self._restore(key, element, now)

    @staticmethod
    def handlers() -> Handlers:
        return {
            **Subordinate.handlers(),
            Submitted: lambda agent, event, now: agent.submissions.submitted(event, now),
            NotSubmitted: lambda agent, event, now: agent.submissions.not_submitted(event, now),
            Seen: lambda agent, event, now: agent.submissions.seen(event, now),
            Unseen: lambda agent, event, now: agent.submissions.unseen(event, now),
            Claimed: lambda agent, event, now: agent.submissions.claimed(event, now),
        }

    # the four methods (`receive` is every subordinate's)

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
        uplink = self.uplink
        lease = uplink.lease_end_ns if self.attempts else None
        dues = (lease, self._timers.next_due(), self.submissions.next_due())
        earliest = min((due for due in dues if due is not None), default=NEVER_NS)
        earliest = min(earliest, uplink.resend_at)
        return None if earliest == NEVER_NS else earliest

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

    def _lease_heard(self, before_ns: int | None, now: int) -> None:
        """Pass a lease on to the runners when it has grown enough, and at once when it is shorter than they know."""
        end_ns = self.uplink.lease_end_ns
        if end_ns is None or end_ns <= now:
            return
        granted_ns = self._granted_ns
        if granted_ns is None or end_ns < granted_ns or end_ns - granted_ns >= (end_ns - now) // LEASE_STEPS:
            self._granted_ns = end_ns
            self._effects.append(GrantLease(end_ns - now))

    def _inquired(self, number: int, now: int) -> None:
        lease_before = self.uplink.lease_end_ns
        entries = tuple(entry_of(attempt, self.name) for attempt in self.attempts.values())
        self.uplink.inventory(number, entries, self.remembers, self.slots, now)
        self._lease_heard(lease_before, now)

    def _running(self) -> int:
        return sum(1 for attempt in self.attempts.values() if attempt.state is _S.RUNNING)

    def _waiting(self) -> int:
        return len(self.submissions.waiting)

    def _unfit(self, spec: JobSpec) -> Report | None:
        if spec.call is None:
            return None
        reason = "a Python callable cannot be given to a batch system: write a command"
        return Report(Outcome.COMMAND_NOT_FOUND, reason=reason)

    def _taken(self, attempt: BatchAttempt) -> None:
        self.uplink.accepted(attempt.key, attempt.why)

    def _say_where(self, attempt: BatchAttempt) -> None:
        if attempt.begun:
            self.uplink.started(attempt.key, self.name, 0, attempt.why)
        else:
            self.uplink.accepted(attempt.key, attempt.why)

    def _forgotten(self, attempt: BatchAttempt) -> None:
        if attempt.element is not None:
            self._effects.append(Keep(Forgotten(*attempt.key)))
            self.submissions.leave(attempt)

    def put_down(self, attempt: BatchAttempt, outcome: Outcome, reason: str, now: int) -> None:
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
        self._granted_ns = None
        super()._lease_ended(now)

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
        attempt.where = where
        self._say_where(attempt)

    def begin(self, attempt: BatchAttempt, mark: Begun, now: int) -> None:
        """Its job has started."""
        attempt.begun = True
        attempt.node = mark.node
        attempt.waited_ns += now - attempt.accepted_ns
        attempt.deadline_ns = None
        self._timers.cancel(attempt.key)
        attempt.where = f"{attempt.identity} on {mark.node}".strip()
        if attempt.ended_as is None:
            self.move(attempt, _S.RUNNING)
        self.uplink.started(attempt.key, self.name, mark.at_ns, attempt.why)

    # waits and ends

    def _unblocked(self, attempt: BatchAttempt, now: int) -> None:
        self.move(attempt, _S.WAITING)
        self._enqueue(attempt, now)

    def _enqueue(self, attempt: BatchAttempt, now: int) -> None:
        attempt.wait_from_arrival()
        if attempt.deadline_ns is not None:
            self._timers.set(attempt.key, attempt.deadline_ns)
        self.submissions.add(attempt, now)

    def _pending_over(self, attempt: BatchAttempt, now: int) -> None:
        attempt.deadline_ns = None
        self.put_down(attempt, Outcome.PENDING_TIMEOUT, attempt.why or f"{self.name} did not take it in time", now)

    def is_over(self, attempt: BatchAttempt, report: Report, now: int) -> None:
        """Its job has ended; its outputs may still have to be waited for."""
        if attempt.state is _S.STOPPING or not self._wait_for_outputs(attempt, report, now):
            self.end(attempt, report, now)
            return
        if not attempt.begun:
            attempt.waited_ns += now - attempt.accepted_ns
        attempt.where = ""
        self.move(attempt, _S.BLOCKED_AFTER)

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
        else:
            attempt.wait_from_arrival()
            if attempt.deadline_ns is not None:
                self._timers.set(key, attempt.deadline_ns)
        self.submissions.restore(attempt, held.element)


HANDLERS: Final = BatchAgent.handlers()
