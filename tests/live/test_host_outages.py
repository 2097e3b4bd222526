"""Goal: when a host was away, and whether it lost what ran there, is read from what a history knows of it.

Method: notices and attempts by hand.
"""

from __future__ import annotations

from live.host_outages import TRY_NS, HeardOf, Outage, outages
from model.job import LOCAL, SECOND
from model.records import NoticeHeard

MINUTE = 60 * SECOND


def down(host: str = "node1") -> NoticeHeard:
    return NoticeHeard("warning", f"host {host}", "down: connection reset")


def silent(host: str = "node1") -> NoticeHeard:
    return NoticeHeard("warning", f"host {host}", "silent: connected, but it does not answer")


def tried(host: str = "node1") -> NoticeHeard:
    return NoticeHeard("info", f"host {host}", "connecting: connection reset")


def test_a_host_is_away_until_it_is_heard_of_again() -> None:
    """It was back when the last try did not fail."""
    notices = [(10 * MINUTE, down()), (11 * MINUTE, tried()), (11 * MINUTE + SECOND, down()), (13 * MINUTE, tried())]
    heard = [HeardOf("node1", 5 * MINUTE, 9 * MINUTE), HeardOf("node1", 20 * MINUTE, 21 * MINUTE)]
    (outage,) = outages(notices, heard)
    assert outage == Outage("node1", 10 * MINUTE, 13 * MINUTE)


def test_what_ran_there_says_whether_it_was_down_or_cut_off() -> None:
    notices = [(10 * MINUTE, down()), (12 * MINUTE, tried())]
    kept = HeardOf("node1", 9 * MINUTE, 13 * MINUTE)
    lost = HeardOf("node1", 8 * MINUTE, 12 * MINUTE + SECOND, lost=True)
    later = HeardOf("node1", 14 * MINUTE, 15 * MINUTE, lost=True)
    assert [outage.lost for outage in outages(notices, [kept])] == [False]
    assert [outage.lost for outage in outages(notices, [kept, lost])] == [True]
    assert [outage.lost for outage in outages(notices, [kept, later])] == [False]


def test_a_host_that_was_silent_is_back_when_it_is_heard_of() -> None:
    (outage,) = outages([(10 * MINUTE, silent())], [HeardOf("node1", 9 * MINUTE, 11 * MINUTE)])
    assert outage == Outage("node1", 10 * MINUTE, 11 * MINUTE, silent=True)


def test_a_host_that_goes_again_long_after_a_try_was_back_in_between() -> None:
    again = 12 * MINUTE + TRY_NS + SECOND
    found = outages([(10 * MINUTE, down()), (12 * MINUTE, tried()), (again, down())], [])
    assert found == [Outage("node1", 10 * MINUTE, 12 * MINUTE), Outage("node1", again, None)]


def test_a_host_of_which_nothing_was_heard_is_away() -> None:
    assert outages([(10 * MINUTE, down())], [HeardOf("node2", 11 * MINUTE)]) == [Outage("node1", 10 * MINUTE, None)]
    (outage,) = outages([(10 * MINUTE, down()), (11 * MINUTE, tried())], [])
    assert outage.end_at == 11 * MINUTE


def test_without_notices_the_loss_of_an_attempt_says_it() -> None:
    heard = [HeardOf("node1", 5 * MINUTE, 9 * MINUTE, lost=True), HeardOf("node1", 12 * MINUTE)]
    assert outages([], heard) == [Outage("node1", 9 * MINUTE, 12 * MINUTE, lost=True, noticed=False)]
    assert outages([(MINUTE, down("node2"))], heard) == [Outage("node2", MINUTE, None)]
    assert outages([], [HeardOf(LOCAL, MINUTE, 2 * MINUTE, lost=True)]) == []


def test_other_notices_say_nothing() -> None:
    others = [NoticeHeard("alarm", "host node1", "keeper 0 is gone"), NoticeHeard("warning", "task a", "down: no")]
    assert outages([(MINUTE, other) for other in others], []) == []
