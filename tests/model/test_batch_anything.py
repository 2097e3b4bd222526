"""Goal: whatever happens in whatever order between us and a batch system, no job runs twice, an end is one end, and in
the end everything has ended and nothing is left.

Method: Hypothesis does anything to the modelled batch system of `batch_world.py`, kills of the agent at any moment
included; then the world is healed.
"""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from model.batch_words import BatchStatus, Refusal
from model.job import SECOND, AttemptKey, Outcome
from model.messages import CancelReason
from tests.model.batch_world import Element, World


class AnythingHappens(RuleBasedStateMachine):
    """Every event at any time; `teardown` heals the world, and then all must end."""

    @initialize()
    def begin(self) -> None:
        self.world = World()
        self.number = 0
        self.given: list[AttemptKey] = []

    def _waiting(self) -> list[Element]:
        return [one for one in self.world.elements if one.status is BatchStatus.WAITING]

    def _running(self) -> list[Element]:
        return [one for one in self.world.elements if one.runs]

    @precondition(lambda self: self.number < 8 and self.world.superior.ready and self.world.agent.uplink.leased)
    @rule(slots=st.sampled_from([1, 1, 2]), pending=st.sampled_from([0, 20]))
    def assign(self, slots: int, pending: int) -> None:
        self.number += 1
        self.given.append(self.world.assign(self.number, slots=slots, pending_ns=pending * SECOND))

    @precondition(lambda self: self.given and self.world.superior.ready)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(self.given))
        if key in self.world.superior.given and key not in self.world.ends:
            self.world.cancel(key, CancelReason.KILLED)

    @precondition(lambda self: self.world.ends and self.world.superior.ready)
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        self.world.acknowledge(data.draw(st.sampled_from(list(self.world.ends))))

    @rule(seconds=st.sampled_from([1, 1, 3, 10, 70]))
    def wait(self, seconds: int) -> None:
        self.world.pass_time(seconds * SECOND)

    @precondition(lambda self: self.world.to_submit)
    @rule(answer=st.sampled_from([None, None, *Refusal]), taken=st.booleans())
    def answer_submit(self, answer: Refusal | None, taken: bool) -> None:
        self.world.answer_submit(answer, taken=taken and answer is Refusal.UNCLEAR)

    @precondition(lambda self: self.world.specs and len(self.world.elements) < 20)
    @rule(data=st.data())
    def take_once_more(self, data: st.DataObject) -> None:
        self.world.take(data.draw(st.sampled_from(list(self.world.specs))))

    @precondition(lambda self: self._waiting())
    @rule(data=st.data())
    def start(self, data: st.DataObject) -> None:
        self.world.start(data.draw(st.sampled_from(self._waiting())))

    @precondition(lambda self: self._running())
    @rule(data=st.data(), code=st.integers(0, 3))
    def end(self, data: st.DataObject, code: int) -> None:
        self.world.end(data.draw(st.sampled_from(self._running())), code)

    @precondition(lambda self: self._waiting() or self._running())
    @rule(
        data=st.data(),
        status=st.sampled_from(
            [BatchStatus.NODE_FAILED, BatchStatus.CANCELLED, BatchStatus.TIMED_OUT, BatchStatus.WAITING]
        ),
    )
    def fail(self, data: st.DataObject, status: BatchStatus) -> None:
        self.world.fail(data.draw(st.sampled_from(self._waiting() + self._running())), status)

    @precondition(lambda self: self.world.elements)
    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        over = [one for one in self.world.elements if one.status not in (BatchStatus.WAITING, BatchStatus.RUNNING)]
        if over:
            self.world.elements.remove(data.draw(st.sampled_from(over)))

    @precondition(lambda self: self.world.polls)
    @rule(silent=st.booleans(), late=st.booleans())
    def answer_poll(self, silent: bool, late: bool) -> None:
        self.world.answer_poll(silent=silent, late_marks=late)

    @precondition(lambda self: self.world.to_claim)
    @rule()
    def answer_claim(self) -> None:
        self.world.answer_claim()

    @rule()
    def crash(self) -> None:
        self.world.crash()

    @invariant()
    def nothing_runs_twice(self) -> None:
        if hasattr(self, "world"):
            assert all(count == 1 for count in self.world.ran.values()), self.world.ran

    @invariant()
    def what_certainly_did_not_run_did_not(self) -> None:
        for key, report in self.world.ends.items() if hasattr(self, "world") else ():
            assert report.started or not self.world.ran[key], (key, report)
            if report.outcome is Outcome.EXITED:
                assert self.world.exits[key] == report.exit_code

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        world = self.world
        world.work(lambda: all(key in world.ends for key in self.given))
        self.nothing_runs_twice()
        self.what_certainly_did_not_run_did_not()
        for key in self.given:
            world.acknowledge(key)
        world.work(lambda: not world.agent.is_busy)
        assert not world.agent.attempts
        assert not world.kept.attempts
        assert not world.submissions


AnythingHappens.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestAnythingHappens = AnythingHappens.TestCase
