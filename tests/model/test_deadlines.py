"""Goal: many things that are given the same time are found when it is over, and cost next to nothing until then.

Method: whatever is set, used up before, given up or taken in between, `Deadlines` must say what a look at everything
says. Small tests: that those who wait no more are not kept, and what happens with more durations than have queues.
"""

from __future__ import annotations

from weakref import ref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model import timers
from model.timers import DEAD_KEPT, NEVER_NS, Deadlines, Timers


class Wait:
    """What is waited for, until `due_ns`."""

    def __init__(self, due_ns: int, duration_ns: int = 0) -> None:
        self.due_ns = due_ns
        self.duration_ns = duration_ns
        self.over = False


def due_of(wait: Wait) -> int | None:
    return None if wait.over else wait.due_ns


STEPS = st.one_of(
    st.tuples(st.just("set"), st.sampled_from([5, 7, 40]), st.integers(0, 8)),
    st.tuples(st.just("cancel"), st.integers(0, 100), st.just(0)),
    st.tuples(st.just("later"), st.integers(0, 12), st.just(0)),
)


@given(st.lists(STEPS, max_size=60))
def test_they_say_what_a_look_at_everything_says(steps: list[tuple[str, int, int]]) -> None:
    deadlines: Deadlines[Wait] = Deadlines(due_of)
    waits: list[Wait] = []
    now = 0
    for what, number, used in steps:
        if what == "set":
            wait = Wait(now + max(0, number - used), number)
            waits.append(wait)
            deadlines.set(wait, number, wait.due_ns)
        elif what == "cancel" and waits:
            wait = waits.pop(number % len(waits))
            wait.over = True
            deadlines.cancel(wait, wait.duration_ns)
        elif what == "later":
            now += number
            taken = deadlines.take(now)
            dues = [wait.due_ns for wait in taken]
            assert dues == sorted(dues)
            assert {id(wait) for wait in taken} == {id(wait) for wait in waits if wait.due_ns <= now}
            waits = [wait for wait in waits if wait.due_ns > now]
        assert deadlines.first <= min((wait.due_ns for wait in waits), default=NEVER_NS)
        assert deadlines.next_due() == min((wait.due_ns for wait in waits), default=None)


def test_those_that_wait_no_more_are_not_kept_behind_one_that_does() -> None:
    asked: list[Wait] = []
    deadlines: Deadlines[Wait] = Deadlines(lambda wait: asked.append(wait) or due_of(wait))  # type: ignore[func-returns-value]
    first = Wait(1000)
    deadlines.set(first, 1000, 1000)
    for now in range(1, 2000):
        wait = Wait(1000 + now)
        deadlines.set(wait, 1000, wait.due_ns)
        wait.over = True
        deadlines.cancel(wait, 1000)
    asked.clear()
    first.over = True
    assert deadlines.next_due() is None
    assert len(asked) <= 2 * DEAD_KEPT


def test_of_those_that_leave_in_their_order_few_are_kept_however_many_wait() -> None:
    deadlines: Deadlines[Wait] = Deadlines(due_of)
    waits = [Wait(1000 + number) for number in range(1000)]
    known = [ref(wait) for wait in waits]
    for wait in waits:
        deadlines.set(wait, 1000, wait.due_ns)
    del wait
    for number in range(1, 400):
        waits[0].over = True
        deadlines.cancel(waits.pop(0), 1000)
        assert sum(each() is not None for each in known) <= 1000 - number + DEAD_KEPT + 1
    assert deadlines.next_due() == 1399


def test_more_durations_than_have_queues(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timers, "QUEUES_MAX", 2)
    deadlines: Deadlines[Wait] = Deadlines(due_of)
    waits = [Wait(due_ns) for due_ns in (30, 20, 10)]
    for wait in waits:
        deadlines.set(wait, wait.due_ns, wait.due_ns)
    assert deadlines.next_due() == 10
    assert deadlines.take(25) == [waits[2], waits[1]]
    waits[0].over = True
    deadlines.cancel(waits[0], 30)
    assert deadlines.next_due() is None


def test_nothing_is_due_before_the_first_of_timers_and_it_is_found_when_that_was_cancelled() -> None:
    timers_of_two: Timers[str] = Timers()
    timers_of_two.set("early", 10)
    timers_of_two.set("late", 20)
    timers_of_two.cancel("early")
    assert timers_of_two.first <= 20
    assert timers_of_two.take(10) == []
    assert timers_of_two.first == timers_of_two.next_due() == 20
    timers_of_two.cancel("late")
    assert timers_of_two.first == NEVER_NS and timers_of_two.next_due() is None
