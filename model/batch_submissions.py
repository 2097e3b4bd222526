"""What a batch system was given: submissions one at a time, one poll for all, claims. Owned by `batch.py`.

Here is decided when attempts are submitted and together with which, when one may be submitted again, and what marks
and listed states make of it. What they mean for an outcome is `batch_attempt.py`; the channel, files and waits are
`batch.py`.

Nothing is concluded from a batch system that does not answer. What it does not list is looked for through `LAG_NS`,
unless its submission was never confirmed: then its first mark is claimed at once, which decides it.
"""

from __future__ import annotations

from typing import Protocol

from msgspec.structs import replace

from model.batch_attempt import (
    IN_SYSTEM,
    BatchAttempt,
    BatchState,
    Wishes,
    is_doubtful,
    judged_by_mark,
    judged_by_row,
    why_waiting,
    wishes_of,
)
from model.batch_words import (
    LIVING,
    REST,
    BatchEffect,
    BatchStatus,
    Begun,
    CancelElements,
    Claim,
    Claimed,
    Discard,
    Element,
    Finished,
    HeldBatch,
    Keep,
    NotSubmitted,
    Poll,
    Refusal,
    Returned,
    Row,
    Seen,
    Submission,
    Submit,
    Submitted,
    Taken,
    Unseen,
)
from model.configuration import BatchSettings
from model.effects import Effect
from model.job import SECOND, AttemptKey, Outcome, Report
from model.uplink import Uplink

BACKOFF_CAP_NS = 60 * SECOND
"""The longest pause between polls, and between submissions, while the batch system refuses them or is silent."""
LAG_NS = 60 * SECOND
"""How long a mark may stay invisible to us after it was made (caches of network file systems), and how long a batch
system may not list an element before that means that it has forgotten it."""

_S = BatchState


class Owner(Protocol):
    """What submissions ask of the machine."""

    uplink: Uplink

    def begin(self, attempt: BatchAttempt, mark: Begun, now: int) -> None:
        """Its job has started."""

    def is_over(self, attempt: BatchAttempt, report: Report, now: int) -> None:
        """Its job has ended; its outputs may still have to be waited for."""

    def end(self, attempt: BatchAttempt, report: Report, now: int) -> None:
        """It has ended."""

    def move(self, attempt: BatchAttempt, state: BatchState) -> None:
        """Change its state, by the table."""

    def say_where(self, attempt: BatchAttempt, where: str) -> None:
        """Tell above where it waits or runs."""

    def tell_trouble(self, reason: str) -> None:
        """Why no new work is wanted; empty: it is."""


class Submissions:
    """See the head of this file."""

    def __init__(
        self, owner: Owner, settings: BatchSettings, held: HeldBatch, effects: list[Effect | BatchEffect], now: int
    ) -> None:
        self.waiting: dict[AttemptKey, BatchAttempt] = {}
        """to be submitted, in the order in which they came"""
        self._unwanted = False
        """the last poll listed elements that nobody wants"""
        self._owner = owner
        self._settings = settings
        self._effects = effects
        self._elements: dict[Element, BatchAttempt] = {}
        self._left: dict[int, int] = {}
        """attempts of each submission that are not forgotten"""
        self._taken = dict(held.taken)
        self._unclear: dict[int, None] = {}
        """submissions of which it is not known whether the batch system has them"""
        self._number = held.last_number
        self._submitting = 0
        """number of the submission that is under way"""
        self._submit_due_ns: int | None = None
        self._refusals = 0
        self._no_room = ""
        self._silence = ""
        self._failed_polls = 0
        self._polling: dict[int, None] | None = None
        """while a poll is under way: the submissions that were unclear when it began"""
        self._poll_due_ns: int | None = now if held.last_number else None

    @property
    def is_busy(self) -> bool:
        """A submission is under way, or the batch system has what nobody wants."""
        return bool(self._submitting) or self._unwanted

    def next_due(self) -> int | None:
        """When `advance` wants to be called (ns)."""
        submit = None if self._submitting else self._submit_due_ns
        poll = None if self._polling is not None else self._poll_due_ns
        if submit is None or poll is None:
            return poll if submit is None else submit
        return min(submit, poll)

    def advance(self, now: int) -> None:
        """A submission and a poll, when they are due."""
        if self._no_room and not (self.waiting or self._unclear or self._submitting or self._any_returns()):
            self._no_room = ""  # nobody is left by whom it would be found out
            self._tell_trouble()
        if self._submit_due_ns is not None and now >= self._submit_due_ns and not self._submitting:
            self._submit(now)
        if self._poll_due_ns is not None and now >= self._poll_due_ns and self._polling is None:
            self._poll_due_ns = None
            self._polling = dict(self._unclear)
            self._effects.append(Poll())

    def restore(self, attempt: BatchAttempt, element: Element) -> None:
        """Take up what an earlier life wrote down."""
        self._enter(attempt, element)
        if attempt.state is not _S.ENDED and element[0] not in self._taken:
            self._unclear[element[0]] = None

    # submitting

    def _any_returns(self) -> bool:
        return any(attempt.returns for attempt in self._elements.values())

    def add(self, attempt: BatchAttempt, now: int) -> None:
        """To be submitted, within the window."""
        self.waiting[attempt.key] = attempt
        attempt.where = ""
        if self._submit_due_ns is None:
            self._submit_due_ns = now + self._settings.window_ns

    def _submit(self, now: int) -> None:
        """One submission: the attempt that came first, and all that wish the same."""
        self._submit_due_ns = None
        if not self.waiting or not self._owner.uplink.leased:
            return
        wishes: Wishes | None = None
        together: list[BatchAttempt] = []
        for attempt in self.waiting.values():
            own = wishes_of(attempt.spec)
            if wishes is None:
                wishes = own
            if own == wishes:
                together.append(attempt)
                if len(together) >= self._settings.array_max:
                    break
        self._number = number = self._number + 1
        waited = []
        for index, attempt in enumerate(together):
            del self.waiting[attempt.key]
            self._enter(attempt, (number, index))
            waited.append(attempt.waited_ns + now - attempt.accepted_ns)
            self._owner.move(attempt, _S.SUBMITTED)
        keys, specs = tuple(one.key for one in together), tuple(one.spec for one in together)
        submission = Submission(number, keys, specs, tuple(waited))
        self._submitting = number
        self._effects += [Keep(submission), Submit(submission)]
        if self.waiting:
            self._submit_due_ns = now  # as soon as this one is answered

    def _enter(self, attempt: BatchAttempt, element: Element) -> None:
        attempt.element = element
        attempt.missing_ns = None
        self._elements[element] = attempt
        self._left[element[0]] = self._left.get(element[0], 0) + 1

    def leave(self, attempt: BatchAttempt) -> None:
        """It has nothing to do with its submission any more."""
        assert attempt.element is not None
        number = attempt.element[0]
        del self._elements[attempt.element]
        attempt.element = None
        self._left[number] -= 1
        if not self._left[number] and number != self._submitting:
            self._discard(number)

    def _discard(self, number: int) -> None:
        self._left.pop(number, None)
        self._taken.pop(number, None)
        self._unclear.pop(number, None)
        self._effects.append(Discard(number))

    def submitted(self, event: Submitted, now: int) -> None:
        """The batch system has it."""
        self._taken[event.number] = event.identity
        self._effects.append(Keep(Taken(event.number, event.identity)))
        self._refusals = 0
        self._no_room = ""
        self._tell_trouble()
        self._submission_answered(event.number)
        self._poll_within(self._settings.poll_ns, now)

    def not_submitted(self, event: NotSubmitted, now: int) -> None:
        """Nothing of it is submitted again, and nothing ends, before its elements are claimed."""
        if event.refusal is not Refusal.REFUSED:
            self._refusals += 1
            pause_ns = min(SECOND << min(self._refusals, 10), BACKOFF_CAP_NS)
            self._submit_due_ns = max(self._submit_due_ns or 0, now + pause_ns)
            self._no_room = event.reason
            self._tell_trouble()
        if event.refusal is Refusal.UNCLEAR:
            self._unclear[event.number] = None
            self.poll_soon(now)
        else:
            for attempt in self._of_submission(event.number):
                if event.refusal is Refusal.REFUSED and attempt.ended_as is None:
                    attempt.ended_as = (Outcome.OVERLOADED, event.reason)
                    self._owner.move(attempt, _S.STOPPING)
                attempt.returns = attempt.ended_as is None
                self.claim(attempt)
        self._submission_answered(event.number)

    def _submission_answered(self, number: int) -> None:
        if number == self._submitting:
            self._submitting = 0
            if number in self._left and not self._left[number]:
                self._discard(number)

    def _of_submission(self, number: int) -> list[BatchAttempt]:
        found = [attempt for element, attempt in self._elements.items() if element[0] == number]
        return [attempt for attempt in found if attempt.state is not _S.ENDED]

    def claim(self, attempt: BatchAttempt) -> None:
        """Decide whether its runner can still start it."""
        assert attempt.element is not None
        if not attempt.claiming and not attempt.begun:
            attempt.claiming = True
            self._effects.append(Claim(*attempt.element))

    def claimed(self, event: Claimed, now: int) -> None:
        """It never starts now, or it has started."""
        attempt = self._elements.get((event.number, event.index))
        if attempt is None or attempt.state is _S.ENDED or not attempt.claiming:
            return
        attempt.claiming = False
        if not event.ours:
            attempt.returns = False
            if attempt.provisional:
                attempt.ended_as, attempt.provisional = None, False
            self.poll_soon(now)
        elif attempt.returns:
            self._return(attempt, now)
        else:
            outcome, reason = attempt.ended_as or (Outcome.LOST, "the batch system has forgotten it before it started")
            self._owner.end(attempt, Report(outcome, reason=reason), now)
            self.poll_soon(now)  # what nobody wants any more is cancelled there

    def _return(self, attempt: BatchAttempt, now: int) -> None:
        """It can certainly not be started any more from its submission: submit it once more."""
        self._effects.append(Keep(Returned(*attempt.key)))
        self.leave(attempt)
        attempt.returns = False
        attempt.identity = ""
        self._owner.move(attempt, _S.WAITING)
        self.add(attempt, now)

    # polling

    def _poll_within(self, pause_ns: int, now: int) -> None:
        if self._poll_due_ns is None or self._poll_due_ns > now + pause_ns:
            self._poll_due_ns = now + pause_ns

    def poll_soon(self, now: int) -> None:
        """Something waits for the batch system's word; while it is silent it is not asked more often for that."""
        if not self._failed_polls:
            self._poll_within(0, now)

    def unseen(self, event: Unseen, now: int) -> None:
        """The batch system is silent: everything stays as it is known."""
        self._polling = None
        self._failed_polls += 1
        pause_ns = min(self._settings.poll_ns << min(self._failed_polls, 10), BACKOFF_CAP_NS)
        self._poll_due_ns = now + max(pause_ns, self._settings.poll_ns)
        self._silence = event.reason
        self._tell_trouble()

    def seen(self, event: Seen, now: int) -> None:
        """Everything that the batch system and the runners say now."""
        unclear, self._polling = self._polling or {}, None
        self._failed_polls = 0
        self._silence = ""
        self._tell_trouble()
        for mark in event.marks:
            attempt = self._elements.get((mark.number, mark.index))
            if attempt is None or attempt.state is _S.ENDED:
                continue
            if isinstance(mark, Begun):
                self._begun(attempt, mark, now)
            else:
                self._finished(attempt, mark, now)
        unwanted: list[str] = []
        listed: dict[Element, Row] = {}
        for row in event.rows:
            listed[row.number, row.index] = row
            if row.index != REST:
                self._row(row, unwanted, now)
        for element, attempt in list(self._elements.items()):
            if element not in listed and element[0] != self._submitting and attempt.state in IN_SYSTEM:
                rest = listed.get((element[0], REST))
                if rest is None:
                    self._not_listed(attempt, element[0] in unclear, now)
                else:
                    self._row(replace(rest, index=element[1]), unwanted, now)
        if unwanted:
            self._effects.append(CancelElements(tuple(unwanted)))
        self._unwanted = bool(unwanted)
        if unwanted or any(attempt.state in IN_SYSTEM for attempt in self._elements.values()):
            self._poll_within(self._settings.poll_ns, now)

    def _note_taken(self, number: int, identity: str) -> None:
        self._unclear.pop(number, None)
        if number not in self._taken:
            self._taken[number] = identity
            self._effects.append(Keep(Taken(number, identity)))

    def _begun(self, attempt: BatchAttempt, mark: Begun, now: int) -> None:
        if not mark.node:  # a claim of an earlier life, which did not come to what it was made for
            if not attempt.claiming and not attempt.begun:
                attempt.claiming = True
                attempt.returns = attempt.ended_as is None
                self.claimed(Claimed(mark.number, mark.index, True), now)
        elif not attempt.begun:
            self._note_taken(mark.number, "")
            self._owner.begin(attempt, mark, now)

    def _finished(self, attempt: BatchAttempt, mark: Finished, now: int) -> None:
        if mark.report.started and not attempt.begun:
            self._begun(attempt, Begun(mark.number, mark.index, mark.node), now)
        attempt.finished = mark
        if not is_doubtful(mark) or attempt.ended_as is not None:
            self._owner.is_over(attempt, judged_by_mark(attempt, mark), now)

    def _row(self, row: Row, unwanted: list[str], now: int) -> None:
        attempt = self._elements.get((row.number, row.index))
        if attempt is not None:
            self._note_taken(row.number, row.identity.partition("_")[0])
        if attempt is None or attempt.state is _S.ENDED or attempt.state is _S.BLOCKED_AFTER:
            is_leaving = row.status is BatchStatus.ENDING or (attempt is not None and attempt.finished is not None)
            if row.status in LIVING and not is_leaving and row.number != self._submitting:
                unwanted.append(row.identity)
            return
        if row.status not in LIVING:
            self._row_ended(attempt, row, now)
            return
        attempt.missing_ns = None
        attempt.identity = row.identity
        if row.status is BatchStatus.WAITING and attempt.begun and attempt.state is _S.RUNNING:
            reason = f"{row.identity} was put back into the queue of the batch system"
            self._owner.is_over(attempt, Report(Outcome.LOST, reason=reason, started=True), now)
            unwanted.append(row.identity)
        elif attempt.state is _S.STOPPING:
            if attempt.begun and row.status is not BatchStatus.ENDING:
                unwanted.append(row.identity)
        elif not attempt.begun:
            self._waits(attempt, row)
        elif attempt.where != (where := f"{row.identity} on {attempt.node}"):
            self._owner.say_where(attempt, where)

    def _waits(self, attempt: BatchAttempt, row: Row) -> None:
        if attempt.state is _S.SUBMITTED:
            self._owner.move(attempt, _S.QUEUED)
        why = why_waiting(row)
        if why != attempt.where:
            self._owner.say_where(attempt, why)

    def _row_ended(self, attempt: BatchAttempt, row: Row, now: int) -> None:
        """The batch system says that it is over; a mark that should be there gets the time to become visible."""
        attempt.identity = row.identity
        mark_is_due = row.status is BatchStatus.EXITED and attempt.finished is None and row.signal is None
        if mark_is_due and not self._has_lagged(attempt, now):
            return
        report = judged_by_row(attempt, row)
        if attempt.begun:
            self._owner.is_over(attempt, report, now)
        else:
            if attempt.ended_as is None:
                attempt.ended_as, attempt.provisional = (report.outcome, report.reason), True
            if attempt.state is not _S.STOPPING:
                self._owner.move(attempt, _S.STOPPING)
            self.claim(attempt)

    def _has_lagged(self, attempt: BatchAttempt, now: int) -> bool:
        if attempt.missing_ns is None:
            attempt.missing_ns = now
        return now - attempt.missing_ns >= LAG_NS

    def _not_listed(self, attempt: BatchAttempt, unclear: bool, now: int) -> None:
        """The batch system does not list it: it never had it, it is over and forgotten there, or the list was short."""
        if attempt.claiming:
            return
        number = attempt.element[0] if attempt.element is not None else 0
        if not attempt.begun and number not in self._taken:
            if unclear:
                attempt.returns = attempt.ended_as is None
                self.claim(attempt)
            return
        if not self._has_lagged(attempt, now):
            return
        if not attempt.begun:
            self.claim(attempt)
        elif attempt.finished is not None:
            self._owner.is_over(attempt, judged_by_mark(attempt, attempt.finished), now)
        else:
            lost = (Outcome.LOST, f"the batch system has forgotten it ({attempt.where}), and it left no result")
            outcome, reason = attempt.ended_as or lost
            self._owner.is_over(attempt, Report(outcome, reason=reason, started=True), now)

    def _tell_trouble(self) -> None:
        self._owner.tell_trouble(self._silence or self._no_room)
