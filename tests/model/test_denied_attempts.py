"""Goal: an attempt that was denied never runs, and who gave it up by mistake makes another one.

A superior whose disk stands still says that nobody may have an attempt any more before anything is recorded; when it
crashes then, its next life hands the same attempt down. Method: an agent and a controller are told the same words.
"""

from __future__ import annotations

from typing import Any

import pytest

from model.agent import Agent
from model.channel import ChannelTimes
from model.configuration import ClusterDefinition
from model.controller import Controller
from model.effects import Effect, Transmit
from model.events import Delivered, KeeperUp
from model.job import SECOND, JobId, JobSpec, Outcome, Report
from model.messages import (
    Accepted,
    Acknowledge,
    Assign,
    Batch,
    Cancel,
    CancelReason,
    Down,
    Ended,
    Inquire,
    Ping,
    Started,
    Up,
)

NOW = 1_000 * SECOND
JOB = JobId(7)
ASSIGN = Assign(JOB, 1, JobSpec("t", ("true",)))


class Told:
    """A machine with a superior, and what it says about attempts."""

    def __init__(self, machine: Any) -> None:
        self.machine = machine
        self.sequence = 0
        self.say(Inquire(1), Ping(2, 20 * SECOND, 0))
        self.said: list[Up] = []

    def say(self, *words: Down, epoch: int = 1) -> None:
        self.sequence += 1
        self.machine.receive(Delivered("superior", Batch(epoch, self.sequence, 1, words)), NOW)
        effects: list[Effect] = self.machine.drain()
        answers = [word for effect in effects if type(effect) is Transmit for word in effect.batch.messages]
        self.said = [word for word in answers if type(word) in (Accepted, Started, Ended)]


def agent() -> Told:
    machine = Agent("node1", 1, NOW, 2, ChannelTimes(), (0,), 1)
    machine.receive(KeeperUp(0), NOW)
    return Told(machine)


def controller() -> Told:
    return Told(Controller(1, NOW, ClusterDefinition()))


@pytest.mark.parametrize("make", [agent, controller])
def test_what_was_denied_is_not_taken_when_it_is_handed_down_again(make: Any) -> None:
    told = make()
    told.say(Cancel(JOB, 1, CancelReason.ORPHAN))
    denial = Ended(JOB, 1, Report(Outcome.LOST, reason="it was not here", again=True))
    assert told.said == [denial]
    told.say(Inquire(3), Ping(4, 20 * SECOND, 2), epoch=2)
    told.say(ASSIGN, epoch=2)
    assert told.said == [denial]
    told.say(Acknowledge(JOB, 1), epoch=2)
    told.say(Assign(JOB, 2, ASSIGN.spec), epoch=2)
    assert [type(word) for word in told.said] == [Accepted]


@pytest.mark.parametrize("make", [agent, controller])
@pytest.mark.parametrize("why", [CancelReason.HELD, CancelReason.SHUTDOWN])
def test_what_was_to_be_ended_for_no_fault_of_its_job_gets_another_attempt(make: Any, why: CancelReason) -> None:
    told = make()
    told.say(Cancel(JOB, 1, why))
    assert told.said == [Ended(JOB, 1, Report(Outcome.KILLED, reason="it was not here", again=True))]


@pytest.mark.parametrize("make", [agent, controller])
def test_what_somebody_wanted_ended_and_is_not_here_is_killed_and_not_tried_again(make: Any) -> None:
    told = make()
    told.say(Cancel(JOB, 1, CancelReason.KILLED))
    assert told.said == [Ended(JOB, 1, Report(Outcome.KILLED, reason="it was not here"))]
    told.say(Cancel(JOB, 1, CancelReason.KILLED))
    assert len(told.said) == 1
