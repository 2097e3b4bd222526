"""Goal: links lose, delay, double, reorder and cut as they are told, keep the order otherwise, and are vouched for only
while they and both of their ends are well.

Method: two stub machines that note what they are told, on a real calendar; no machine of `model` is involved.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from model.channel import ChannelTimes, LinkState
from model.downlink import Downlink
from model.effects import Effect, Transmit
from model.events import Delivered, LinkDown, LinkUp, Vouched
from model.job import SECOND
from model.messages import Batch, Inquire, Message, Pong
from sim.calendar import FAULT, TURN, Calendar
from sim.clocks import Clock
from sim.log import LINES, Dropped, EventLog, Line, Sent
from sim.network import HELLO_NS, NO_ROUTE_NS, RECONNECT_NS, Link, Network
from sim.node import Node

LATENCY = 1_000_000
CONNECT_NS = 20 * SECOND


class Stub:
    """Notes what it is told, and when."""

    def __init__(self) -> None:
        self.told: list[tuple[int, Any]] = []

    def receive(self, event: Any, now: int) -> None:
        self.told.append((now, event))

    def advance(self, now: int) -> None:
        pass

    def next_due(self) -> int | None:
        return None

    def drain(self) -> list[Effect]:
        return []

    def of(self, kind: type) -> list[Any]:
        return [event for _, event in self.told if type(event) is kind]

    @property
    def sequences(self) -> list[int]:
        return [event.batch.sequence for event in self.of(Delivered)]


class Keeps:
    """Keeps the lines of a log."""

    def __init__(self, lines: list[Line]) -> None:
        self.table: dict[type, Callable[[Any], None]] = dict.fromkeys(LINES, lines.append)


class Rig:
    """A superior and a host, with a link between them."""

    def __init__(self, until_ns: int = 100 * SECOND) -> None:
        self.calendar = Calendar(until_ns)
        self.lines: list[Line] = []
        self.believed = Downlink("host", 1, ChannelTimes(), 0)
        self.believed.state = LinkState.OPEN
        log = EventLog(None, (Keeps(self.lines),))
        self.network = Network(self.calendar, log, 1, CONNECT_NS, lambda _: self.believed)
        self.superior, self.host = Stub(), Stub()
        clock = Clock(0)
        self.nodes = [Node(name, self.calendar, clock, TURN, lambda *_: None, False) for name in ("controller", "host")]
        self.nodes[0].start(self.superior)
        self.nodes[1].start(self.host)
        self.link = Link(self.network, self.nodes[0], self.nodes[1], "host", ChannelTimes())
        for direction in (self.link.down, self.link.up):
            direction.latency_ns = LATENCY
        self.network.add(self.link)

    def at(self, when_ns: int, action: Any) -> None:
        self.calendar.call_after(when_ns, FAULT, action)

    def say(self, when_ns: int, sequence: int, message: Message | None = None, *, up: bool = False) -> None:
        batch = Batch(1, sequence, 1, (message or Inquire(1),))
        node, peer = (self.nodes[1], "superior") if up else (self.nodes[0], "host")
        self.at(when_ns, lambda: self.network.send(node, Transmit(peer, batch)))

    def connected(self) -> Rig:
        self.network.connect(self.link)
        return self

    def run(self) -> Rig:
        self.calendar.run_to_end()
        return self


def test_a_connection_is_told_to_both_ends_after_a_round_trip() -> None:
    rig = Rig().connected().run()
    assert rig.superior.told == [(2 * LATENCY, LinkUp("host"))]
    assert rig.host.told == [(2 * LATENCY, LinkUp("superior"))]


def test_what_is_said_arrives_after_the_latency_in_order() -> None:
    rig = Rig().connected()
    for number in range(1, 4):
        rig.say(SECOND, number)
    rig.run()
    arrived = [(now, event.batch.sequence) for now, event in rig.host.told if type(event) is Delivered]
    assert arrived == [(SECOND + LATENCY, 1), (SECOND + LATENCY, 2), (SECOND + LATENCY, 3)]


def test_a_link_that_becomes_quicker_keeps_the_order() -> None:
    rig = Rig().connected()
    rig.at(SECOND, lambda: setattr(rig.link.down, "extra_ns", 5 * SECOND))
    rig.say(2 * SECOND, 1)
    rig.at(3 * SECOND, lambda: setattr(rig.link.down, "extra_ns", 0))
    rig.say(4 * SECOND, 2)
    assert rig.run().host.sequences == [1, 2]


def test_jitter_delays_but_keeps_the_order() -> None:
    rig = Rig().connected()
    rig.link.down.jitter_ns = SECOND
    rig.link.down.changed()
    for number in range(1, 50):
        rig.say(SECOND + number, number)
    assert rig.run().host.sequences == list(range(1, 50))


def test_without_a_connection_nothing_arrives() -> None:
    rig = Rig()
    rig.say(SECOND, 1)
    assert rig.run().host.told == []
    assert [line.arrives for line in rig.lines if isinstance(line, Sent)] == [()]


def test_a_cut_link_swallows_one_way_only() -> None:
    rig = Rig().connected()

    def cut() -> None:
        rig.link.down.blocked = 1
        rig.link.down.changed()

    rig.at(SECOND, cut)
    rig.say(2 * SECOND, 1)
    rig.say(2 * SECOND, 1, up=True)
    rig.run()
    assert rig.host.of(Delivered) == []
    assert len(rig.superior.of(Delivered)) == 1
    assert rig.superior.of(LinkDown) == []


@pytest.mark.parametrize(("loss", "doubling", "least", "most"), [(0.5, 0.0, 60, 140), (0.0, 0.5, 260, 340)])
def test_messages_are_lost_or_doubled_as_often_as_said(loss: float, doubling: float, least: int, most: int) -> None:
    rig = Rig().connected()
    rig.link.down.loss, rig.link.down.doubling = loss, doubling
    rig.link.down.changed()
    for number in range(1, 201):
        rig.say(SECOND + number, number)
    assert least <= len(rig.run().host.sequences) <= most


def test_reordered_messages_overtake_each_other() -> None:
    rig = Rig().connected()
    rig.link.down.spread_ns = SECOND
    rig.link.down.changed()
    for number in range(1, 50):
        rig.say(SECOND + number, number)
    sequences = rig.run().host.sequences
    assert sequences != sorted(sequences)
    assert sorted(sequences) == list(range(1, 50))


def test_what_is_under_way_dies_with_its_connection() -> None:
    rig = Rig().connected()
    rig.say(SECOND, 1)
    rig.at(SECOND + LATENCY // 2, lambda: rig.network.disconnect(rig.link, "broken", tell_superior=True))
    rig.run()
    assert rig.host.sequences == []
    assert [line.sequence for line in rig.lines if isinstance(line, Dropped)] == [1]
    assert [event.reason for event in rig.superior.of(LinkDown)] == ["broken"]
    assert [event.reason for event in rig.host.of(LinkDown)] == ["broken"]


def test_a_machine_that_is_gone_refuses_a_standing_one_is_late_and_a_cut_link_times_out() -> None:
    for prepare, wait_ns in (
        (lambda rig: rig.nodes[1].stop(), NO_ROUTE_NS),
        (lambda rig: setattr(rig.nodes[1], "frozen", 1), HELLO_NS),
        (lambda rig: setattr(rig.link.up, "blocked", 1), CONNECT_NS),
    ):
        rig = Rig()
        prepare(rig)
        rig.connected().run()
        ((now, event),) = rig.superior.told
        assert (now, type(event)) == (wait_ns, LinkDown)
        assert 0.0 <= event.chance < 1.0


def test_a_kept_link_is_connected_again_by_the_driver() -> None:
    rig = Rig()
    rig.at(0, lambda: rig.network.keep(rig.link))
    rig.at(SECOND, lambda: rig.network.disconnect(rig.link, "broken", tell_superior=True))
    rig.run()
    assert [now for now, event in rig.superior.told if type(event) is LinkUp] == [
        2 * LATENCY,
        SECOND + RECONNECT_NS + 2 * LATENCY,
    ]


def test_an_end_that_could_not_be_told_learns_it_when_it_speaks() -> None:
    rig = Rig().connected()
    rig.at(SECOND, lambda: setattr(rig.link.down, "blocked", 1))
    rig.at(2 * SECOND, lambda: rig.network.disconnect(rig.link, "gone", tell_superior=True))
    rig.at(3 * SECOND, lambda: setattr(rig.link.down, "blocked", 0))
    rig.say(4 * SECOND, 1)
    rig.run()
    assert [now for now, event in rig.superior.told if type(event) is LinkDown] == [4 * SECOND + 2 * LATENCY]


def pong(rig: Rig, when_ns: int, sequence: int) -> None:
    rig.say(when_ns, sequence, Pong(1), up=True)


def test_a_link_is_vouched_for_after_a_pong_and_not_while_it_is_ill() -> None:
    rig = Rig().connected()
    pong(rig, SECOND, 1)
    rig.at(2 * SECOND, lambda: rig.network.unvouch(rig.link))
    rig.at(2 * SECOND, lambda: setattr(rig.link.down, "loss", 0.1))
    pong(rig, 3 * SECOND, 2)
    rig.run()
    ping = rig.link.times.ping_ns
    assert rig.superior.of(Vouched) == [Vouched("host", True), Vouched("host", False)]
    assert rig.host.of(Vouched) == [
        Vouched("superior", True),
        Vouched("superior", False, ping + SECOND - LATENCY),
    ]


def test_a_link_that_its_superior_does_not_know_as_open_is_not_vouched_for() -> None:
    rig = Rig().connected()
    rig.believed.state = LinkState.SILENT
    pong(rig, SECOND, 1)
    assert rig.run().superior.of(Vouched) == []


def test_who_stands_still_gets_everything_when_it_moves_again() -> None:
    rig = Rig().connected()
    rig.at(SECOND, lambda: setattr(rig.nodes[1], "frozen", 1))
    rig.say(2 * SECOND, 1)
    rig.say(3 * SECOND, 2)
    rig.at(9 * SECOND, rig.nodes[1].thaw)
    rig.run()
    assert [now for now, event in rig.host.told if type(event) is Delivered] == [9 * SECOND, 9 * SECOND]
    assert rig.host.sequences == [1, 2]
