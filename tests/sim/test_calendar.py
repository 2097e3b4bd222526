"""Goal: what happens in a simulation happens by time, by priority, then in the order in which it was put there.

Method: any happenings, some of which put others into the calendar, now or later; the order is that of a plain list that
is sorted for each step. SimPy's own events, and a run in pieces, stand in the same order.
"""

from __future__ import annotations

import simpy
from hypothesis import given
from hypothesis import strategies as st

from sim.calendar import END, FAULT, MATCH, REPLY, TURN, Calendar

PRIORITIES = st.sampled_from([FAULT, END, REPLY, TURN, MATCH])
PUT = st.tuples(st.integers(0, 3), PRIORITIES, st.lists(st.tuples(st.integers(0, 2), PRIORITIES), max_size=3))


@given(st.lists(PUT, max_size=12), st.integers(0, 4))
def test_the_order_is_that_of_times_priorities_and_coming(
    puts: list[tuple[int, int, list[tuple[int, int]]]], piece: int
) -> None:
    calendar = Calendar(100)
    expected: list[tuple[int, int, int]] = []  # (time, priority, order) of what has not happened
    happened: list[tuple[int, int, int]] = []
    count = 0

    def put(delay: int, priority: int, following: list[tuple[int, int]]) -> None:
        nonlocal count
        count += 1
        entry = (calendar.now + delay, priority, count)
        expected.append(entry)

        def happens() -> None:
            assert calendar.now == entry[0]
            assert entry == min(expected)
            expected.remove(entry)
            happened.append(entry)
            for later, other in following:
                put(later, other, [])

        calendar.call_after(delay, priority, happens)

    for delay, priority, following in puts:
        put(delay, priority, following)
    calendar.run_to_end(piece)
    assert not expected
    assert len(happened) == count


def test_simpys_own_events_stand_in_the_same_calendar() -> None:
    calendar = Calendar(100)
    told: list[object] = []
    calendar.call_after(5, TURN, lambda: told.append(("ours", calendar.now)))
    timeout = simpy.Timeout(calendar, 7, "theirs")
    assert timeout.callbacks is not None
    timeout.callbacks.append(lambda event: told.append((event.value, calendar.now)))
    assert calendar.peek() == 5
    calendar.run(until=50)
    assert told == [("ours", 5), ("theirs", 7)]
    assert calendar.now == 50
