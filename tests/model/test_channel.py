"""Goal: whatever the network does, an attempt runs at most once, its end arrives, and a lease never outlives what the
superior believes. Method: both ends of the channel with a subordinate of a few lines, and a network that Hypothesis
loses, doubles, delays and reorders.
"""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from model.channel import ChannelTimes, LinkState, ProtocolError
from model.downlink import Downlink
from model.job import SECOND, AttemptKey, JobId, JobSpec, Outcome, Report
from model.messages import (
    Accepted,
    Acknowledge,
    Assign,
    Batch,
    Cancel,
    CancelReason,
    Ended,
    Entry,
    Held,
    Inquire,
    Ping,
    Pong,
    Started,
)
from model.timers import NEVER_NS
from model.uplink import Uplink

TIMES = ChannelTimes()
SPEC = JobSpec("t", ("true",))
KEEP_NS = 3600 * SECOND
"""a parting lease"""


class Subordinate:
    """Runs what it is assigned until told to end it; remembers everything over its own restarts."""

    def __init__(self, now: int) -> None:
        self.uplink = Uplink(1, TIMES)
        self.running: dict[AttemptKey, None] = {}
        self.ended: dict[AttemptKey, Report] = {}
        self.started: list[AttemptKey] = []
        self.kept_ns: int | None = None
        """until when the keepers go on, as an earlier life told them; this one has told them nothing yet"""

    @property
    def lease_end_ns(self) -> int | None:
        """Until when what runs goes on."""
        return self.kept_ns if self.uplink.lease_end_ns is None else self.uplink.lease_end_ns

    def receive(self, batch: Batch, now: int) -> None:
        self.judge_lease(now)
        for message in self.uplink.receive(batch, now):
            if isinstance(message, Assign):
                self._assign((message.job, message.attempt), now)
            elif isinstance(message, Cancel):
                key = (message.job, message.attempt)
                if key in self.running:
                    self.end(key, Report(Outcome.KILLED, started=True), now)
                else:
                    self.uplink.deny(key, message.why, now)
            elif isinstance(message, Acknowledge):
                self.ended.pop((message.job, message.attempt), None)
            elif isinstance(message, Inquire):
                entries = [Entry(*key, Held.RUNNING, SPEC, "host") for key in self.running]
                entries += [Entry(*key, Held.ENDED, SPEC, "host", report) for key, report in self.ended.items()]
                self.uplink.inventory(message.number, tuple(entries), 0, 1, now)
            elif isinstance(message, Ping):
                self.uplink.pong(message.number, len(self.running), 0, "", now)

    def _assign(self, key: AttemptKey, now: int) -> None:
        if key in self.running:
            self.uplink.started(key, "host", 0)
        elif key in self.ended:
            self.uplink.ended(key, self.ended[key], now)
        else:
            self.started.append(key)
            self.running[key] = None
            self.uplink.started(key, "host", 0)

    def end(self, key: AttemptKey, report: Report, now: int) -> None:
        del self.running[key]
        self.ended[key] = report
        self.uplink.ended(key, report, now)

    def judge_lease(self, now: int) -> None:
        if self.lease_end_ns is not None and now >= self.lease_end_ns:
            self.uplink.lease_end_ns = self.kept_ns = None
            for key in list(self.running):
                self.end(key, Report(Outcome.LOST, started=True), now)

    def restart(self) -> None:
        self.kept_ns = self.lease_end_ns
        self.uplink = Uplink(self.uplink.epoch + 1, TIMES)
        for key, report in self.ended.items():
            self.uplink.results[key] = (Ended(*key, report), 0)


class Channel(RuleBasedStateMachine):
    """The network holds batches in flight; every rule is something that a network or a machine may do."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 100 * SECOND
        self.down = Downlink("host", 1, TIMES, self.now)
        self.sub = Subordinate(self.now)
        self.to_sub: list[Batch] = []
        self.to_down: list[Batch] = []
        self.arrived: list[tuple[list[Batch], Batch]] = []
        self.next_job = 1
        self.assigned: set[AttemptKey] = set()
        self.ends: dict[AttemptKey, Report] = {}
        self.down.opened(self.now)
        self._collect()
        self.network_works()

    @rule()
    def network_works(self) -> None:
        """Everything that is under way arrives, in order, and so do the answers."""
        while self.to_sub or self.to_down:
            flight = self.to_sub or self.to_down
            self._arrive(flight, flight.pop(0))

    def _collect(self) -> None:
        connected = self.down.state is not LinkState.CLOSED
        for end, flight in ((self.down, self.to_sub), (self.sub.uplink, self.to_down)):
            batch = end.take()  # type: ignore[attr-defined]
            if batch is not None and connected:
                flight.append(batch)

    def _heard(self, messages: list[object]) -> None:
        for message in messages:
            if isinstance(message, Ended):
                key = (message.job, message.attempt)
                self.ends.setdefault(key, message.report)
                self.down.acknowledge(key)
            elif isinstance(message, Started) and (message.job, message.attempt) in self.ends:
                self.down.refuse((message.job, message.attempt), CancelReason.ORPHAN)

    @precondition(lambda self: self.down.ready)
    @rule()
    def assign(self) -> None:
        key = (JobId(self.next_job), 1)
        self.next_job += 1
        self.assigned.add(key)
        self.down.assign(key, SPEC, 0, self.now)
        self._collect()

    @precondition(lambda self: self.down.given)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.down.given)))
        self.down.cancel(key, CancelReason.KILLED, self.now)
        self._collect()

    @precondition(lambda self: self.sub.running)
    @rule(data=st.data())
    def job_ends(self, data: st.DataObject) -> None:
        self.sub.end(data.draw(st.sampled_from(sorted(self.sub.running))), Report(Outcome.EXITED, 0), self.now)
        self._collect()

    @precondition(lambda self: self.to_sub or self.to_down)
    @rule(data=st.data(), lost=st.booleans())
    def one_batch(self, data: st.DataObject, lost: bool) -> None:
        """Any one that is under way arrives, past the others, or is lost."""
        flight = data.draw(st.sampled_from([flight for flight in (self.to_sub, self.to_down) if flight]))
        batch = flight.pop(data.draw(st.integers(0, len(flight) - 1)))
        if not lost:
            self._arrive(flight, batch)

    @precondition(lambda self: self.arrived)
    @rule(data=st.data())
    def an_old_batch_arrives_again(self, data: st.DataObject) -> None:
        flight, batch = data.draw(st.sampled_from(self.arrived[-8:]))
        self._arrive(flight, batch)

    @rule()
    def all_under_way_is_lost(self) -> None:
        self.to_sub.clear()
        self.to_down.clear()

    def _arrive(self, flight: list[Batch], batch: Batch) -> None:
        self.arrived.append((flight, batch))
        if flight is self.to_sub:
            self.sub.receive(batch, self.now)
        else:
            self._heard(list(self.down.receive(batch, self.now)))
        self._collect()

    @rule(seconds=st.sampled_from([1, 4, 11, 40, 200, 400]))
    def time_passes(self, seconds: int) -> None:
        end = self.now + seconds * SECOND
        while True:
            dues = [self.down.next_due(), self.sub.uplink.resend_at]
            if self.sub.lease_end_ns is not None and self.sub.running:
                dues.append(self.sub.lease_end_ns)
            due = min(dues)
            if due > end:
                break
            self.now = max(self.now, due)
            self.sub.judge_lease(self.now)
            self.sub.uplink.advance(self.now)
            self._heard(list(self.down.advance(self.now)))
            self._collect()
        self.now = end

    @rule()
    def connection_breaks_and_returns(self) -> None:
        self.down.closed(self.now)
        self.sub.uplink.closed()
        self.down.opened(self.now)
        self._collect()

    @rule()
    def subordinate_restarts(self) -> None:
        self.sub.restart()
        self.down.closed(self.now)
        self.down.opened(self.now)
        self._collect()

    @rule(hears_it=st.booleans(), stays_away=st.sampled_from([1, 400]))
    def superior_is_stopped_in_order_and_comes_back(self, hears_it: bool, stays_away: int) -> None:
        if hears_it:
            self.network_works()
        self.down.part(KEEP_NS, self.now)
        self._collect()
        if hears_it:
            self.network_works()
        self.sub.uplink.closed()
        self.now += stays_away * SECOND
        self.sub.judge_lease(self.now)
        former, self.down = self.down, Downlink("host", self.down.epoch + 1, TIMES, self.now)
        for key, given in former.given.items():
            self.down.restore(key, SPEC, running=given.held is Held.RUNNING, sent_to=given.sent_to)
        self.down.parted(KEEP_NS, self.now)
        self.down.opened(self.now)
        self._collect()

    @invariant()
    def nothing_runs_twice(self) -> None:
        assert len(self.sub.started) == len(set(self.sub.started))

    @invariant()
    def the_lease_ends_before_the_superior_gives_up(self) -> None:
        lease_end = self.sub.lease_end_ns
        if lease_end is not None and self.sub.running and self.down.given:
            assert lease_end <= self.down.lost_at

    @invariant()
    def what_is_awaited_is_counted(self) -> None:
        awaited = [given for given in self.down.given.values() if given.awaited]
        assert self.down._awaited == len(awaited) == len({given.awaited for given in awaited})
        if awaited and self.down.state is LinkState.OPEN:
            assert self.down._resend_at <= min(given.sent_ns for given in awaited) + TIMES.resend_ns

    @invariant()
    def nothing_runs_that_was_declared_ended_as_lost(self) -> None:
        for key, report in self.ends.items():
            if report.outcome is Outcome.LOST:
                assert key not in self.sub.running

    def teardown(self) -> None:
        """After healing, every attempt that was assigned has its end at the superior, and nobody holds anything."""
        self.to_sub.clear()
        self.to_down.clear()
        for _ in range(90):
            self.network_works()
            for key in list(self.sub.running):
                self.sub.end(key, Report(Outcome.EXITED, 0), self.now)
            self._collect()
            self.time_passes(1)
        assert set(self.ends) >= self.assigned
        assert not self.down.given
        assert not self.sub.running and not self.sub.ended


def joined(now: int) -> tuple[Downlink, Subordinate]:
    """Both ends, after the inquiry and the first ping."""
    down, sub = Downlink("host", 1, TIMES, now), Subordinate(now)
    down.opened(now)
    for _ in range(3):
        batch = down.take()
        if batch is not None:
            sub.receive(batch, now)
        answer = sub.uplink.take()
        if answer is not None:
            down.receive(answer, now)
    return down, sub


TestChannel = Channel.TestCase
TestChannel.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)


def test_an_end_says_only_what_its_side_may_say() -> None:
    now = SECOND
    down, up = Downlink("host", 1, TIMES, now), Uplink(1, TIMES)
    down.opened(now)
    with pytest.raises(ProtocolError, match="only a superior"):
        down.receive(Batch(1, 1, 0, (Ping(1, 1, 1),)), now)
    with pytest.raises(ProtocolError, match="only a subordinate"):
        up.receive(Batch(1, 1, 1, (Pong(1),)), now)


def test_a_batch_of_an_earlier_life_is_counted_and_not_obeyed() -> None:
    up = Uplink(3, TIMES)
    up.receive(Batch(5, 1, 0, (Inquire(1),)), 0)
    up.inventory(1, (), 3, 1, 0)
    assert not up.receive(Batch(4, 9, 3, (Assign(JobId(1), 1, SPEC),)), 0)
    assert not up.receive(Batch(5, 1, 3, (Assign(JobId(1), 1, SPEC),)), 0)
    assert not up.receive(Batch(5, 2, 2, (Assign(JobId(1), 1, SPEC),)), 0)
    assert up.stale == {"earlier life of the sender": 1, "old sequence number": 1, "meant for an earlier life": 1}
    assert up.receive(Batch(5, 3, 3, (Assign(JobId(1), 1, SPEC),)), 0)


def test_a_ping_that_was_delayed_for_hours_renews_nothing() -> None:
    up = Uplink(1, TIMES)
    up.receive(Batch(1, 1, 0, (Inquire(1),)), 0)
    up.inventory(1, (), 1, 1, 0)
    up.receive(Batch(1, 2, 1, (Ping(2, TIMES.lease_ns, 1),)), TIMES.lease_ns - 1)
    assert up.lease_ended(TIMES.lease_ns)
    up.lease_end_ns = None
    up.receive(Batch(1, 3, 1, (Ping(3, TIMES.lease_ns, 1),)), TIMES.lease_ns + 1)
    assert not up.leased


def test_a_lease_is_counted_from_the_pong_that_was_heard() -> None:
    up = Uplink(1, TIMES)
    up.receive(Batch(1, 1, 0, (Inquire(1),)), 0)
    up.inventory(1, (), 1, 1, 0)
    up.receive(Batch(1, 2, 1, (Ping(2, TIMES.lease_ns, 1),)), TIMES.lease_ns - 1)
    assert up.lease_end_ns == TIMES.lease_ns


def test_a_subordinate_that_talks_but_answers_no_ping_is_silent() -> None:
    now = 0
    down, sub = joined(now)
    while now < 60 * SECOND:
        now += SECOND
        down.advance(now)
        down.take()
        sub.uplink.ended((JobId(now), 1), Report(Outcome.EXITED, 0), now)
        answer = sub.uplink.take()
        assert answer is not None
        down.receive(answer, now)
    assert down.state is LinkState.SILENT


def test_a_superior_that_stood_still_declares_nothing_lost_at_once() -> None:
    now = 0
    down, _ = joined(now)
    down.assign((JobId(1), 1), SPEC, 0, now)
    later = 3 * TIMES.lease_ns
    assert down.advance(later) == []
    assert down.state is LinkState.INQUIRING
    assert down.lost_at > later


def test_what_was_not_answered_is_said_again_in_the_order_in_which_it_was_first_said() -> None:
    now = 0
    down, _ = joined(now)
    down.vouch(True, now)
    down.assign((JobId(1), 1), SPEC, 0, now)
    down.receive(Batch(1, 10, 1, (Started(JobId(1), 1, "host"),)), now)
    assert down.next_due() == NEVER_NS
    down.assign((JobId(2), 1), SPEC, 0, now)
    down.cancel((JobId(1), 1), CancelReason.KILLED, now)
    again = [Assign(JobId(2), 1, SPEC), Cancel(JobId(1), 1, CancelReason.KILLED)]
    for _ in range(2):
        down.outbox.clear()
        now = down.next_due()
        assert down.advance(now) == []
        assert down.outbox == again
    assert now == 2 * TIMES.resend_ns
    end = Ended(JobId(1), 1, Report(Outcome.KILLED, started=True))
    assert down.receive(Batch(1, 11, 1, (Accepted(JobId(2), 1), end)), now) == [Accepted(JobId(2), 1), end]
    assert down.next_due() == NEVER_NS


def test_the_owner_hears_of_an_attempt_what_is_new() -> None:
    down, _ = joined(0)
    waits, other = Accepted(JobId(1), 1), Accepted(JobId(1), 1, "no room")
    runs, elsewhere = Started(JobId(1), 1, "host"), Started(JobId(1), 1, "host", why="c17")
    end = Ended(JobId(1), 1, Report(Outcome.EXITED, 0))
    down.assign((JobId(1), 1), SPEC, 0, 0)
    said = (waits, waits, other, other, runs, runs, waits, other, elsewhere, elsewhere, end, end, runs, waits)
    assert down.receive(Batch(1, 10, 1, said), 0) == [waits, other, runs, elsewhere, end, end]


def test_a_vouched_link_sends_nothing_and_knows_its_last_exchange_afterwards() -> None:
    now = 0
    down, _ = joined(now)
    down.vouch(True, now)
    assert down.next_due() == NEVER_NS
    later = 1003 * SECOND
    age = down.vouch(False, later)
    assert age == 3 * SECOND
    assert down.next_due() == 1005 * SECOND


def test_pings_of_many_links_come_together_and_none_is_late() -> None:
    """Each of a hundred hosts that have connected when they would is pinged every period, and never later; but the
    superior need not wake up for each of them."""
    wakes: set[int] = set()
    for number in range(100):
        last = 100 * SECOND + number * 71_000_001
        down, sub = joined(last)
        for _ in range(20):
            due = down.next_due()
            assert 0.9 * TIMES.ping_ns <= due - last <= TIMES.ping_ns
            wakes.add(due)
            last, now = due, due + 300_000
            down.advance(now)
            sent = down.take()
            assert sent is not None
            assert [type(message) for message in sent.messages] == [Ping]
            sub.receive(sent, now)
            answer = sub.uplink.take()
            assert answer is not None
            down.receive(answer, now)
        assert last - down.last_pong_ns < SECOND
    seconds = 20 * TIMES.ping_ns // SECOND
    assert len(wakes) <= 3 * seconds, "two a second, and those of the links that were first or last"
