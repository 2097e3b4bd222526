"""Goal: a host that was given up, and is back with what it had, gets nothing for slots that are not free; what it had
is given back once, and forgotten.

Method: a controller alone; the test is its scheduler and its host.
"""

from __future__ import annotations

from itertools import count

import pytest

from model.configuration import ClusterDefinition, HostDefinition
from model.controller import Controller
from model.effects import Commit, Transmit
from model.events import Delivered, LinkDown, LinkUp, Vouched
from model.job import SECOND, AttemptKey, HostWish, JobId, JobSpec, Outcome, Report
from model.messages import (
    Acknowledge,
    Assign,
    Batch,
    Cancel,
    CancelReason,
    Ended,
    Entry,
    Held,
    Inquire,
    Inventory,
    Message,
    Started,
)
from model.records import AttemptReturned
from model.resources import GPUS, Needs
from model.superiors import SUPERIOR

NODE = "node1"
SPEC = JobSpec("t", ("x",), host=HostWish(NODE, required=True), needs=Needs(((GPUS, 1),)))
ONE, TWO, THREE = JobId(1), JobId(2), JobId(3)
LOST = Report(Outcome.LOST, reason="lease ended", started=True)


class Rig:
    """Two jobs run on a host of two slots and two GPUs. `said` holds what the controller has said to each, since it was
    last asked for."""

    def __init__(self) -> None:
        hosts = (HostDefinition(NODE, 2, resources=((GPUS, 2),)),)
        self.now = SECOND
        cluster = ClusterDefinition(hosts=hosts)
        self.controller = Controller(1, self.now, cluster)
        self._times = cluster.times
        self.said: dict[str, list[Message]] = {NODE: [], SUPERIOR: []}
        self.specs: dict[int, JobSpec] = {}
        """as they were given to the host"""
        self.returned: list[AttemptKey] = []
        self._numbers = {NODE: count(1), SUPERIOR: count(1)}
        self._drain()
        self.say(SUPERIOR, Inquire(1))
        self.controller.receive(Vouched(SUPERIOR, True), self.now)
        self.connect()
        for job in (ONE, TWO):
            self.say(SUPERIOR, Assign(job, 1, SPEC))
            self.say(NODE, Started(job, 1, NODE))
        assert len(self.specs) == 2
        self.take(SUPERIOR), self.take(NODE)

    def say(self, peer: str, *messages: Message) -> None:
        self.controller.receive(Delivered(peer, Batch(1, next(self._numbers[peer]), 1, messages)), self.now)
        self._drain()

    def _drain(self) -> None:
        for effect in self.controller.drain():
            if type(effect) is Transmit:
                self.said[effect.peer] += effect.batch.messages
                self.specs |= {each.job: each.spec for each in effect.batch.messages if type(each) is Assign}
            elif type(effect) is Commit and type(effect.record) is AttemptReturned:
                self.returned.append((effect.record.job, effect.record.attempt))

    def take(self, peer: str) -> list[Message]:
        said, self.said[peer] = self.said[peer], []
        return said

    def connect(self, *held: Entry) -> None:
        self.controller.receive(LinkUp(NODE), self.now)
        self._drain()
        (inquire,) = [message for message in self.take(NODE) if type(message) is Inquire]
        self.say(NODE, Inventory(held, inquire.number, 1, 2))

    def give_up(self) -> None:
        """The host is gone for longer than its lease and the margin."""
        self.controller.receive(LinkDown(NODE, "reset"), self.now)
        end = self.now + 2 * (self._times.lease_ns + self._times.margin_ns)
        while (due := self.controller.next_due()) is not None and due <= end:
            self.now = due
            self.controller.advance(due)
            self._drain()

    def held(self, job: JobId, held: Held) -> Entry:
        return Entry(job, 1, held, self.specs[job], NODE if held is Held.RUNNING else "")

    def back_with(self, held: Held) -> None:
        self.connect(self.held(ONE, held), self.held(TWO, held))

    def given(self) -> list[int]:
        return [message.job for message in self.take(NODE) if type(message) is Assign]

    def ended(self) -> dict[int, Outcome]:
        return {each.job: each.report.outcome for each in self.take(SUPERIOR) if type(each) is Ended}


@pytest.mark.parametrize("held", [Held.RUNNING, Held.WAITING])
@pytest.mark.parametrize("acknowledged", ["before it is back", "while it is back", "afterwards"])
def test_what_is_back_takes_its_slots_until_it_has_ended(acknowledged: str, held: Held) -> None:
    rig = Rig()
    rig.give_up()
    assert rig.ended() == {ONE: Outcome.LOST, TWO: Outcome.LOST}
    if acknowledged == "before it is back":
        rig.say(SUPERIOR, Acknowledge(ONE, 1), Acknowledge(TWO, 1))
    rig.back_with(held)
    if acknowledged == "while it is back":
        rig.say(SUPERIOR, Acknowledge(ONE, 1), Acknowledge(TWO, 1))
    elif acknowledged == "before it is back":  # it learns of them as of nobody's, and wants none of them
        rig.say(SUPERIOR, Cancel(ONE, 1, CancelReason.ORPHAN), Cancel(TWO, 1, CancelReason.ORPHAN))
    assert {each.job for each in rig.take(NODE) if type(each) is Cancel} == {ONE, TWO}
    host = rig.controller.hosts[NODE]
    assert (host.free, host.stock.free[GPUS], host.gpus_used) == (0, 0, {0: 1, 1: 1})
    rig.say(SUPERIOR, Assign(THREE, 1, SPEC))
    assert rig.given() == []
    rig.say(NODE, Ended(TWO, 1, LOST))
    assert rig.given() == [THREE]
    assert rig.specs[THREE].needs == rig.specs[TWO].needs, "the GPU that is free"
    rig.say(NODE, Ended(ONE, 1, LOST), Ended(THREE, 1, Report(Outcome.EXITED, 0, started=True)))
    for job in (ONE, TWO, THREE):
        rig.say(SUPERIOR, Acknowledge(job, 1))
    assert not rig.controller.jobs and host.holding == 0
    assert (host.free, host.stock.free[GPUS], host.gpus_used) == (2, 2, {})
    assert set(rig.returned) == {(ONE, 1), (TWO, 1), (THREE, 1)}


def test_what_is_back_and_given_up_again_takes_nothing_any_more() -> None:
    rig = Rig()
    rig.give_up()
    rig.back_with(Held.RUNNING)
    rig.say(SUPERIOR, Acknowledge(ONE, 1), Acknowledge(TWO, 1))
    assert len(rig.controller.jobs) == 2
    rig.take(SUPERIOR)
    rig.give_up()
    assert not rig.ended() and not rig.controller.jobs
    assert rig.controller.hosts[NODE].free == 2


def test_what_is_not_back_takes_nothing() -> None:
    rig = Rig()
    rig.give_up()
    rig.connect(rig.held(TWO, Held.RUNNING))
    assert rig.controller.hosts[NODE].free == 1
    rig.say(SUPERIOR, Assign(THREE, 1, SPEC))
    assert rig.given() == [THREE]


def test_a_word_after_the_end_of_an_attempt_takes_nothing() -> None:
    rig = Rig()
    over = Report(Outcome.EXITED, 0, started=True)
    rig.say(NODE, Ended(ONE, 1, over))
    rig.say(SUPERIOR, Assign(THREE, 1, SPEC))
    rig.say(NODE, Ended(THREE, 1, over))
    rig.say(NODE, Started(ONE, 1, NODE), Started(THREE, 1, NODE))
    assert rig.controller.hosts[NODE].free == 1
    rig.say(SUPERIOR, Acknowledge(ONE, 1), Acknowledge(THREE, 1))
    assert list(rig.controller.jobs) == [(TWO, 1)]
