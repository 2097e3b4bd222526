"""Goal: while a disk stands still, exactly what no record must precede leaves, and nothing gathers."""

from __future__ import annotations

import pytest

from model.alarm_kinds import ALARM, Message
from model.effects import Connect, Disconnect, Effect, LookAround, Notice, Notify, ToKeeper, Transmit
from model.job import JobId, JobSpec, Outcome, Report
from model.keeper import Renew, Stop
from model.messages import (
    Acknowledge,
    Assign,
    Batch,
    Cancel,
    CancelReason,
    Down,
    Ended,
    Inquire,
    Parting,
    Ping,
    Pong,
    Started,
    Up,
)
from model.standstill import part

JOB = JobId(1)


def batch(*messages: Down | Up) -> Transmit:
    return Transmit("node1", Batch(3, 7, 2, messages))


@pytest.mark.parametrize(
    "word",
    [Ping(4, 5, 3), Pong(4), Cancel(JOB, 1, CancelReason.ORPHAN)],
    ids=lambda word: type(word).__name__,
)
def test_what_no_record_goes_before_leaves_with_the_number_of_its_batch(word: Down | Up) -> None:
    said = batch(Assign(JOB, 1, JobSpec("t")), word, Acknowledge(JOB, 1))
    assert part(said) == (batch(word), None)


@pytest.mark.parametrize(
    "word",
    [
        Assign(JOB, 1, JobSpec("t")),
        Acknowledge(JOB, 1),
        Cancel(JOB, 1, CancelReason.KILLED),
        Inquire(1),
        Parting(9),
        Started(JOB, 1, "node1"),
        Ended(JOB, 1, Report(Outcome.EXITED, 0)),
    ],
    ids=lambda word: type(word).__name__,
)
def test_other_words_are_as_lost(word: Down | Up) -> None:
    assert part(batch(word)) == (None, None)


@pytest.mark.parametrize(
    "effect",
    [Connect("node1"), ToKeeper(0, Renew(5)), LookAround(1), Notify("operator", 1, Message(ALARM, "full"), 2)],
    ids=lambda each: type(each).__name__,
)
def test_transports_are_made_leases_of_keepers_renewed_and_people_told(effect: Effect) -> None:
    assert part(effect) == (effect, None)


@pytest.mark.parametrize(
    "effect",
    [Notice("info", "", "text"), Disconnect("node1"), ToKeeper(0, Stop(JOB, 1))],
    ids=lambda each: type(each).__name__,
)
def test_everything_else_waits_for_the_commit(effect: Effect) -> None:
    assert part(effect) == (None, effect)
