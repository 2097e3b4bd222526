"""A modelled batch system under a real `BatchAgent`, with a real `Downlink` as its superior: for `test_batch.py`.

Everything that can go wrong there is a method: commands that fail before or after they took effect, lists that do not
come, elements that start twice or are forgotten, marks that appear late, the agent killed between any two turns. What
was kept (`Keep`) survives a kill; everything else is gone. `ran` counts what really ran.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from msgspec import Struct

from model.batch import BatchAgent
from model.batch_submissions import LAG_NS
from model.batch_words import (
    BatchStatus,
    Begun,
    CancelElements,
    Claim,
    Claimed,
    Discard,
    Finished,
    GrantLease,
    HeldBatch,
    Keep,
    Mark,
    NotSubmitted,
    Poll,
    Refusal,
    Row,
    Seen,
    Settle,
    Stopped,
    Submit,
    Submitted,
    Unseen,
    fold,
)
from model.channel import ChannelTimes
from model.configuration import BatchSettings
from model.downlink import Downlink
from model.effects import Look, Notice, Transmit
from model.events import Delivered, FilesSeen, LinkDown
from model.job import SECOND, AttemptKey, JobId, JobSpec, Outcome, Report
from model.messages import Accepted, CancelReason, Ended, Started

HOST = "big"
SETTINGS = BatchSettings(poll_ns=SECOND, window_ns=SECOND // 4, array_max=3)
TIMES = ChannelTimes(lease_ns=3600 * SECOND)


class Element(Struct):
    """One element as the batch system has it."""

    number: int
    index: int
    identity: str
    status: BatchStatus = BatchStatus.WAITING
    runs: bool = False
    """its job runs now, started by this copy of it"""
    reason: str = "Resources"
    exit_code: int | None = None
    signal: int | None = None


class World:
    """See the head of this file."""

    def __init__(self, settings: BatchSettings = SETTINGS, times: ChannelTimes = TIMES) -> None:
        self.now = 1_000 * SECOND
        self.settings = settings
        self.times = times
        self.kept = HeldBatch()
        self.epoch = 1
        self.superior = Downlink(HOST, 1, times, self.now)
        self.elements: list[Element] = []
        """what the batch system lists"""
        self.submissions: dict[int, tuple[tuple[AttemptKey, JobSpec], ...]] = {}
        """folders that are there"""
        self.specs: dict[int, tuple[tuple[AttemptKey, JobSpec], ...]] = {}
        """what was in every folder that ever was"""
        self.begun: dict[tuple[int, int], str] = {}
        """first marks; empty: a claim"""
        self.finished: dict[tuple[int, int], Finished] = {}
        self.told: set[tuple[int, int, bool]] = set()
        self.ran: Counter[AttemptKey] = Counter()
        self.exits: dict[AttemptKey, int] = {}
        """exit codes of jobs that ended by themselves"""
        self.words: list[Accepted | Started] = []
        self.ends: dict[AttemptKey, Report] = {}
        self.notices: list[Notice] = []
        self.looks: list[Look] = []
        self.to_submit: list[Submit] = []
        self.to_claim: list[Claim] = []
        self.cancelled: list[str] = []
        self.polls = 0
        """polls that wait for an answer"""
        self.leases: list[int] = []
        self._identities = 0
        self.agent = self._new_agent()
        self.connect()

    def _new_agent(self) -> BatchAgent:
        slots, remembers = 100, 1
        return BatchAgent(HOST, self.epoch, self.now, slots, self.times, remembers, self.settings, self.kept)

    # the superior

    def connect(self) -> None:
        self.superior.opened(self.now)
        self.settle()

    def assign(self, number: int, attempt: int = 1, **wishes: object) -> AttemptKey:
        key = (JobId(number), attempt)
        spec = JobSpec("task", ("true",), **wishes)  # type: ignore[arg-type]
        self.superior.assign(key, spec, 0, self.now)
        self.settle()
        return key

    def cancel(self, key: AttemptKey, why: CancelReason = CancelReason.KILLED) -> None:
        self.superior.cancel(key, why, self.now)
        self.settle()

    def acknowledge(self, key: AttemptKey) -> None:
        self.superior.acknowledge(key)
        self.settle()

    def settle(self) -> None:
        """Messages go both ways until nobody says anything."""
        for _ in range(20):
            down = self.superior.take()
            if down is not None:
                self.agent.receive(Delivered("superior", down), self.now)
            self.agent.advance(self.now)
            if not self._drain() and down is None:
                return
        raise AssertionError("they never stop talking")

    def _drain(self) -> bool:
        said = False
        effects = self.agent.drain()
        keeps = sum(isinstance(effect, Keep) for effect in effects)
        assert all(isinstance(effect, Keep) for effect in effects[:keeps]), "what is to be kept comes first"
        assert not keeps or isinstance(effects[keeps], Settle), "and is on the disk before the rest"
        for effect in effects:
            if isinstance(effect, Keep):
                fold(self.kept, effect.record)
            elif isinstance(effect, Transmit):
                said = True
                self._heard(effect)
            elif isinstance(effect, Submit):
                submission = effect.submission
                pairs = tuple(zip(submission.attempts, submission.specs, strict=True))
                self.submissions[submission.number] = self.specs[submission.number] = pairs
                self.to_submit.append(effect)
            elif isinstance(effect, Claim):
                self.to_claim.append(effect)
            elif isinstance(effect, Poll):
                self.polls += 1
                assert self.polls == 1, "one poll at a time"
            elif isinstance(effect, CancelElements):
                self.cancelled += effect.identities
                self._obey(effect.identities)
            elif isinstance(effect, Discard):
                self._discard(effect.number)
            elif isinstance(effect, GrantLease):
                self.leases.append(effect.lease_ns)
            elif isinstance(effect, Look):
                self.looks.append(effect)
            elif isinstance(effect, Notice):
                self.notices.append(effect)
        return said

    def _heard(self, effect: Transmit) -> None:
        for message in self.superior.receive(effect.batch, self.now):
            if isinstance(message, Ended):
                key = (message.job, message.attempt)
                assert self.ends.setdefault(key, message.report) == message.report, "an end is said in one way only"
            elif isinstance(message, Accepted | Started):
                self.words.append(message)

    def why(self, key: AttemptKey) -> str:
        """What the superior knows of where it is."""
        return self.superior.given[key].why

    # the batch system

    def take(self, number: int, reason: str = "Resources") -> str:
        """The submission is taken; its name there."""
        self._identities += 1
        name = str(100 + self._identities)
        for index in range(len(self.specs[number])):
            self.elements.append(Element(number, index, f"{name}_{index}", reason=reason))
        return name

    def answer_submit(self, answer: Refusal | None, *, taken: bool = False) -> int:
        """`None`: it worked. The number of the submission."""
        submission = self.to_submit.pop(0).submission
        name = self.take(submission.number) if taken or answer is None else ""
        if answer is None:
            self.tell(Submitted(submission.number, name))
        else:
            self.tell(NotSubmitted(submission.number, answer, "it said no"))
        return submission.number

    def tell(self, event: object) -> None:
        self.agent.receive(event, self.now)  # type: ignore[arg-type]
        self.settle()

    def key_of(self, element: Element) -> AttemptKey:
        return self.specs[element.number][element.index][0]

    def start(self, element: Element, node: str = "n1") -> bool:
        """Its runner begins; whether the job runs."""
        place = (element.number, element.index)
        element.status = BatchStatus.RUNNING
        if element.number not in self.submissions or place in self.begun:
            element.status, element.exit_code, element.signal = BatchStatus.EXITED, 0, 12
            return False
        self.begun[place] = node
        element.runs = True
        self.ran[self.key_of(element)] += 1
        return True

    def end(self, element: Element, exit_code: int = 0, *, stopped: Stopped | None = None, number: int = 0) -> None:
        """Its job ends by itself, or by the signal `number`."""
        assert element.runs
        element.runs = False
        report = Report(Outcome.EXITED, exit_code=exit_code, ran_for_ns=SECOND, started=True)
        if number:
            report = Report(Outcome.CRASHED, signal=number, ran_for_ns=SECOND, started=True)
        elif stopped is None:
            self.exits[self.key_of(element)] = exit_code
        if element.number in self.submissions:
            place = (element.number, element.index)
            self.finished[place] = Finished(*place, report, stopped, "n1")
        element.status = BatchStatus.EXITED
        element.exit_code, element.signal = (None, number) if number else (exit_code, None)

    def fail(self, element: Element, status: BatchStatus) -> None:
        """It is over for a reason of the batch system, and its runner has left no word."""
        element.runs = False
        element.status = status

    def _obey(self, identities: tuple[str, ...]) -> None:
        for element in self.elements:
            if element.identity in identities and element.status in (BatchStatus.WAITING, BatchStatus.RUNNING):
                if element.runs:
                    self.end(element, stopped=Stopped.TOLD, number=15)
                element.status = BatchStatus.CANCELLED

    def _discard(self, number: int) -> None:
        if self.submissions.pop(number, None) is None:
            return
        for index in range(len(self.specs[number])):
            self.begun.pop((number, index), None)
            self.finished.pop((number, index), None)

    def answer_claim(self) -> None:
        claim = self.to_claim.pop(0)
        place = (claim.number, claim.index)
        ours = claim.number not in self.submissions or self.begun.setdefault(place, "") == ""
        self.tell(Claimed(claim.number, claim.index, ours))

    def answer_claims(self) -> None:
        while self.to_claim:
            self.answer_claim()

    def answer_poll(self, *, silent: bool = False, late_marks: bool = False) -> None:
        """The list and the new marks, or nothing. `late_marks`: the shared file system shows no mark yet."""
        self.polls -= 1
        if silent:
            self.tell(Unseen("slurm does not answer"))
            return
        rows = tuple(
            Row(
                one.number,
                one.index,
                one.status,
                one.status.name,
                one.identity,
                one.reason,
                "n1",
                one.exit_code,
                one.signal,
            )
            for one in self.elements
        )
        self.tell(Seen(rows, () if late_marks else tuple(self._new_marks())))

    def _new_marks(self) -> list[Mark]:
        found: list[Mark] = [
            Begun(*place, node, 5) for place, node in self.begun.items() if (*place, False) not in self.told
        ]
        found += [mark for place, mark in self.finished.items() if (*place, True) not in self.told]
        self.told |= {(mark.number, mark.index, isinstance(mark, Finished)) for mark in found}
        return found

    def answer_looks(self, missing: str | None = None) -> None:
        looks, self.looks = self.looks, []
        for look in looks:
            self.tell(FilesSeen(look.job, look.attempt, missing))

    # time and crashes

    def pass_time(self, duration_ns: int = SECOND) -> None:
        """Both ends live on; nothing else answers."""
        end = self.now + duration_ns
        while self.now < end:
            dues = [due for due in (self.agent.next_due(), self.superior.next_due()) if due is not None]
            self.now = max(self.now + 1, min([end, *dues]))
            self.superior.advance(self.now)
            self.settle()

    def crash(self) -> None:
        """kill -9 of the agent. The next one begins from what was kept, and deletes folders that are not in it."""
        self.epoch += 1
        self.told.clear()
        self.to_submit.clear()
        self.to_claim.clear()
        self.polls = 0
        self.superior.closed(self.now)
        wanted = {one.element[0] for one in self.kept.attempts.values()}
        for number in set(self.submissions) - wanted:
            self._discard(number)
        self.agent = self._new_agent()
        self.connect()

    def cut(self) -> None:
        """The superior goes away."""
        self.superior.closed(self.now)
        self.agent.receive(LinkDown("superior", "cut"), self.now)
        self.settle()

    def work(self, until: Callable[[], bool], start: bool = True) -> None:
        """A healthy batch system does its work until `until`."""
        for _ in range(400):
            if until():
                return
            while self.to_submit:
                self.answer_submit(None)
            self.answer_claims()
            for element in self.elements:
                if element.status is BatchStatus.WAITING and start:
                    self.start(element)
                elif element.runs and start:
                    self.end(element)
            if self.polls:
                self.answer_poll()
            self.answer_looks()
            self.pass_time(SECOND)
        raise AssertionError(f"it never comes: {self.agent.attempts.values()}")


LONG_NS = LAG_NS + 2 * SECOND
"""After so long the batch system has forgotten what it does not list."""
