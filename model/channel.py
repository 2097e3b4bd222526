"""The two ends of the job channel: `Downlink` at the superior, `Uplink` at the subordinate.

All rules about lost, doubled, late and reordered messages, about leases and about reconnection are here, once, for
both hops. The owner (a machine) sees only fresh messages and says only what it means.

The lease, and why it holds whatever the network does. The superior's Ping names the last Pong that it heard. The
subordinate may keep attempts alive until (the moment at which it *sent* that Pong) + lease. The superior waits until
(the moment at which it *heard* that Pong) + lease + margin. Sending comes before hearing, so the subordinate's end is
always the earlier one, however long a message was under way; the margin covers clock drift and the killing itself.
"""

from __future__ import annotations

from collections import Counter
from enum import Enum

from msgspec import Struct

from model.errors import LaulimaError
from model.job import SECOND, AttemptKey, JobSpec, Outcome, Report
from model.messages import (
    Accepted,
    Acknowledge,
    Assign,
    Batch,
    Cancel,
    CancelReason,
    Down,
    Ended,
    Entry,
    Held,
    Inquire,
    Inventory,
    Message,
    Ping,
    Pong,
    Started,
    Up,
)

PONGS_REMEMBERED = 16
"""How many of its own last Pongs a subordinate can tie a lease to."""


class ChannelTimes(Struct, frozen=True):
    """Durations in ns that govern one link (DESIGN 5.5 gives the defaults)."""

    ping_ns: int = 5 * SECOND
    silent_ns: int = 15 * SECOND
    """unanswered for so long: the peer is called silent, and gets nothing new"""
    lease_ns: int = 300 * SECOND
    margin_ns: int = 30 * SECOND
    resend_ns: int = 10 * SECOND
    """what was not answered is said again after so long"""


class ProtocolError(LaulimaError):
    """The peer said something that no correct peer says; its connection is to be closed."""


class LinkState(Enum):
    """A link as its superior sees it."""

    CLOSED = "closed"
    INQUIRING = "inquiring"
    """connected; the inventory has not come yet, so nothing is assigned"""
    OPEN = "open"
    SILENT = "silent"
    """connected, and not answering"""


LINK_MOVES: dict[LinkState, frozenset[LinkState]] = {
    LinkState.CLOSED: frozenset({LinkState.INQUIRING}),
    LinkState.INQUIRING: frozenset({LinkState.OPEN, LinkState.SILENT, LinkState.CLOSED}),
    LinkState.OPEN: frozenset({LinkState.SILENT, LinkState.CLOSED, LinkState.INQUIRING}),
    LinkState.SILENT: frozenset({LinkState.INQUIRING, LinkState.CLOSED}),
}


class _End:
    """What both ends share: numbering what goes out, recognising what is stale."""

    __slots__ = ("epoch", "heard_sequence", "outbox", "peer_epoch", "sequence", "stale")

    def __init__(self, epoch: int) -> None:
        if epoch < 1:
            raise ValueError("an epoch counts from 1")
        self.epoch = epoch
        self.sequence = 0
        self.peer_epoch = 0
        self.heard_sequence = 0
        self.outbox: list[Message] = []
        self.stale: Counter[str] = Counter()
        """batches that were dropped, by reason"""

    def _seal(self, receiver_epoch: int) -> Batch | None:
        if not self.outbox:
            return None
        self.sequence += 1
        batch = Batch(self.epoch, self.sequence, receiver_epoch, tuple(self.outbox))
        self.outbox.clear()
        return batch

    def _fresh(self, batch: Batch) -> bool:
        """Whether the batch may be obeyed; notes a new life of the peer."""
        if batch.epoch < self.peer_epoch:
            self.stale["earlier life of the sender"] += 1
            return False
        if batch.epoch > self.peer_epoch:
            self.peer_epoch = batch.epoch
            self.heard_sequence = 0
        if batch.sequence <= self.heard_sequence:
            self.stale["old sequence number"] += 1
            return False
        self.heard_sequence = batch.sequence
        return True


class Given:
    """What a superior believes about one attempt that it gave down."""

    __slots__ = ("cancel", "confirmed", "running", "sent_ns", "sent_to", "spec", "waited_ns")

    def __init__(self, spec: JobSpec, waited_ns: int, sent_ns: int, sent_to: int) -> None:
        self.spec = spec
        self.waited_ns = waited_ns
        self.sent_ns = sent_ns
        self.sent_to = sent_to
        """the life of the subordinate to which it was given"""
        self.confirmed = False
        self.running = False
        self.cancel: CancelReason | None = None


class Downlink(_End):
    """The superior's end.

    `receive`, `advance`, and `closed` return the messages that the owner must handle: Accepted, Started, Ended and
    Pong, each fresh. An inventory is turned into such messages; a loss becomes an Ended with outcome LOST.
    """

    __slots__ = (
        "_inquire_at",
        "_judge_after",
        "_lost_judged",
        "_number",
        "_ping_at",
        "_resend_at",
        "_unanswered_since",
        "given",
        "last_heard_ns",
        "last_pong",
        "last_pong_ns",
        "name",
        "slots",
        "state",
        "times",
        "unconfirmed",
        "vouched",
    )

    def __init__(self, name: str, epoch: int, times: ChannelTimes, now: int) -> None:
        super().__init__(epoch)
        self.name = name
        self.times = times
        self.state = LinkState.CLOSED
        self.given: dict[AttemptKey, Given] = {}
        self.unconfirmed: dict[AttemptKey, Given] = {}
        """given and not answered, or cancelled and not ended: said again every `resend_ns`"""
        self.slots = 0
        self.vouched = False
        self.last_heard_ns = now
        self.last_pong_ns = now
        """nothing is judged lost before the superior's own start + lease + margin"""
        self.last_pong = 0
        self._number = 0
        self._ping_at: int | None = None
        self._inquire_at: int | None = None
        self._resend_at: int | None = None
        self._unanswered_since: int | None = None
        self._judge_after = 0
        self._lost_judged = False

    # what the transport says

    def opened(self, now: int) -> None:
        """The transport is connected: ask for everything before anything is assigned."""
        self.state = LinkState.INQUIRING
        self.outbox.clear()
        self.last_heard_ns = now
        self._inquire(now)

    def closed(self, now: int) -> None:
        """The transport is gone. What was given may still run there until its lease ends."""
        if self.vouched:
            self.vouch(False, now)
        self.state = LinkState.CLOSED
        self.outbox.clear()
        self._ping_at = self._inquire_at = self._resend_at = self._unanswered_since = None

    def vouch(self, vouched: bool, now: int) -> int:
        """The driver knows (or no longer knows) that both ends and the wire between them work.

        While it vouches no ping is sent: a healthy link's heartbeat is arithmetic on the grid of its due times.
        Returns the age in ns of the last exchange on that grid, when the word is taken back.
        """
        age = 0
        if not vouched and self.vouched and self._ping_at is not None:
            ping = self.times.ping_ns
            missed = max(0, (now - self._ping_at) // ping + 1)
            last = self._ping_at + (missed - 1) * ping
            if missed:
                self.last_heard_ns = self.last_pong_ns = max(self.last_pong_ns, last)
                self._ping_at = last + ping
            age = now - self.last_pong_ns
            self._unanswered_since = None
        self.vouched = vouched
        return age

    # what the owner says

    @property
    def ready(self) -> bool:
        """Whether something may be assigned now."""
        return self.state is LinkState.OPEN

    def restore(self, key: AttemptKey, spec: JobSpec, running: bool, sent_to: int) -> None:
        """After a restart of the owner: this attempt was given, to the life `sent_to` of the subordinate, in an
        earlier life of ours, and has not ended."""
        given = Given(spec, 0, 0, sent_to)
        given.confirmed = True
        given.running = running
        self.given[key] = given

    def assign(self, key: AttemptKey, spec: JobSpec, waited_ns: int, now: int) -> None:
        """Hand an attempt down. Only while `ready`."""
        if self.state is not LinkState.OPEN:
            raise ValueError(f"{self.name} is {self.state.value}: nothing can be assigned")
        given = Given(spec, waited_ns, now, self.peer_epoch)
        self.given[key] = self.unconfirmed[key] = given
        self.outbox.append(Assign(key[0], key[1], spec, waited_ns))
        if self._resend_at is None:
            self._resend_at = now + self.times.resend_ns

    def cancel(self, key: AttemptKey, why: CancelReason, now: int) -> None:
        """End an attempt; said again until its end is reported."""
        given = self.given[key]
        given.cancel = why
        given.sent_ns = now
        self.unconfirmed[key] = given
        if self.state is LinkState.OPEN or self.state is LinkState.SILENT:
            self.outbox.append(Cancel(key[0], key[1], why))
            if self._resend_at is None:
                self._resend_at = now + self.times.resend_ns

    def refuse(self, key: AttemptKey, why: CancelReason) -> None:
        """End an attempt of which this superior knows nothing."""
        if self.state is LinkState.OPEN:
            self.outbox.append(Cancel(key[0], key[1], why))

    def acknowledge(self, key: AttemptKey) -> None:
        """Its end is recorded where it must be: both ends may forget it."""
        self.given.pop(key, None)
        self.unconfirmed.pop(key, None)
        if self.state is LinkState.OPEN or self.state is LinkState.SILENT:
            self.outbox.append(Acknowledge(key[0], key[1]))

    def part(self, lease_ns: int) -> None:
        """The last word before a clean stop: what runs may go on for `lease_ns`."""
        if self.state is LinkState.OPEN:
            self._number += 1
            self.outbox.append(Ping(self._number, lease_ns, self.last_pong))

    # what comes in

    def receive(self, batch: Batch, now: int) -> list[Up]:
        """Take one batch from the subordinate."""
        if self.state is LinkState.CLOSED:
            self.stale["no connection"] += 1
            return []
        if batch.receiver_epoch not in (0, self.epoch):
            self.stale["meant for an earlier life"] += 1
            return []
        earlier_life = self.peer_epoch
        if not self._fresh(batch):
            return []
        self.last_heard_ns = now
        self._unanswered_since = None
        if self.state is LinkState.SILENT or (self.state is LinkState.OPEN and self.peer_epoch != earlier_life):
            self.state = LinkState.INQUIRING
            self._inquire(now)
        fresh: list[Up] = []
        for message in batch.messages:
            kind = type(message)
            if kind is Ended:
                self._note_end((message.job, message.attempt))  # type: ignore[union-attr]
                fresh.append(message)  # type: ignore[arg-type]
            elif kind is Started or kind is Accepted:
                if self._confirm((message.job, message.attempt), kind is Started):  # type: ignore[union-attr]
                    fresh.append(message)  # type: ignore[arg-type]
            elif kind is Pong:
                self._heard_pong(message.number, now)  # type: ignore[union-attr]
                fresh.append(message)  # type: ignore[arg-type]
            elif kind is Inventory:
                if self.state is LinkState.INQUIRING and message.number == self._number:  # type: ignore[union-attr]
                    fresh.extend(self._reconcile(message, now))  # type: ignore[arg-type]
            else:
                raise ProtocolError(f"{self.name} sent {kind.__name__}, which only a superior may say")
        return fresh

    def _note_end(self, key: AttemptKey) -> None:
        self.unconfirmed.pop(key, None)
        given = self.given.get(key)
        if given is not None:
            given.confirmed = True

    def _confirm(self, key: AttemptKey, running: bool) -> bool:
        """Note that the subordinate has the attempt; whether this is news."""
        given = self.given.get(key)
        if given is None:
            return True
        if given.running or (given.confirmed and not running):
            return False
        given.confirmed = True
        given.running = running
        if given.cancel is None:
            self.unconfirmed.pop(key, None)
        return True

    def _heard_pong(self, number: int, now: int) -> None:
        if number > self.last_pong:
            self.last_pong = number
            self.last_pong_ns = now
            self._lost_judged = False

    def _reconcile(self, inventory: Inventory, now: int) -> list[Up]:
        """One inventory says everything: what it lists is there, what it does not list is not."""
        self.state = LinkState.OPEN
        self.slots = inventory.slots
        self._inquire_at = None
        self._heard_pong(inventory.number, now)
        self._ping_at = now + self.times.ping_ns
        self._ping(now)
        found: list[Up] = []
        listed: set[AttemptKey] = set()
        for entry in inventory.entries:
            key = (entry.job, entry.attempt)
            listed.add(key)
            found.extend(self._found(key, entry))
        for key, given in list(self.given.items()):
            if key in listed:
                continue
            if given.running or given.sent_to < inventory.remembers:
                found.append(self._lost(key, given, "its host came back without it"))
            elif given.cancel is None:
                given.sent_ns, given.sent_to = now, self.peer_epoch
                given.confirmed = False
                self.unconfirmed[key] = given
                self.outbox.append(Assign(key[0], key[1], given.spec, given.waited_ns))
        for key, given in self.given.items():
            if given.cancel is not None:
                given.sent_ns = now
                self.unconfirmed[key] = given
                self.outbox.append(Cancel(key[0], key[1], given.cancel))
        if self.unconfirmed:
            self._resend_at = now + self.times.resend_ns
        return found

    def _found(self, key: AttemptKey, entry: Entry) -> list[Up]:
        if entry.held is Held.ENDED:
            assert entry.report is not None
            self._note_end(key)
            return [Ended(entry.job, entry.attempt, entry.report)]
        running = entry.held is Held.RUNNING
        if not self._confirm(key, running):
            return []
        return [Started(entry.job, entry.attempt, entry.host) if running else Accepted(entry.job, entry.attempt)]

    def _lost(self, key: AttemptKey, given: Given, why: str) -> Ended:
        self.unconfirmed.pop(key, None)
        report = Report(Outcome.LOST, reason=why, host=self.name, started=True)
        return Ended(key[0], key[1], report)

    # time

    @property
    def lost_at(self) -> int:
        """When everything given is lost, if nothing is heard before (ns)."""
        return max(self.last_pong_ns + self.times.lease_ns + self.times.margin_ns, self._judge_after)

    @property
    def silent_at(self) -> int | None:
        """When an open link is called silent, if nothing is heard before (ns)."""
        if self._unanswered_since is None or self.state not in (LinkState.OPEN, LinkState.INQUIRING):
            return None
        return self._unanswered_since + self.times.silent_ns

    def next_due(self) -> int | None:
        """When `advance` wants to be called (ns)."""
        dues = [due for due in (self._inquire_at, self._resend_at, self.silent_at) if due is not None]
        if self._ping_at is not None and not self.vouched:
            dues.append(self._ping_at)
        if self.given and not self.vouched and not self._lost_judged:
            dues.append(self.lost_at)
        return min(dues) if dues else None

    def advance(self, now: int) -> list[Up]:
        """Ping, ask again, say again, and judge silence and loss, as far as they are due."""
        if self.state is not LinkState.CLOSED:
            self._advance_connected(now)
        if self.given and not self.vouched and not self._lost_judged and now >= self.lost_at:
            if now - self.lost_at >= self.times.ping_ns:  # we stood still ourselves: the peer may have spoken since
                self._judge_after = now + self.times.silent_ns
                return []
            self._lost_judged = True
            why = "its host was not heard for the lease and the margin"
            return [self._lost(key, given, why) for key, given in self.given.items()]
        return []

    def _advance_connected(self, now: int) -> None:
        times = self.times
        if self._ping_at is not None and not self.vouched and now >= self._ping_at:
            if now - self._ping_at >= times.ping_ns:
                self._unanswered_since = None  # we stood still ourselves: the peer gets its full time to speak
            self._ping_at = now + times.ping_ns
            self._ping(now)
        silent_at = self.silent_at
        if silent_at is not None and now >= silent_at:
            self.state = LinkState.SILENT
            self._inquire_at = None
        if self._inquire_at is not None and now >= self._inquire_at:
            self._inquire(now)
        if self._resend_at is not None and now >= self._resend_at:
            self._resend(now)

    def _inquire(self, now: int) -> None:
        self._number += 1
        self.outbox.append(Inquire(self._number))
        self._inquire_at = now + self.times.resend_ns
        if self._unanswered_since is None:
            self._unanswered_since = now
        if self._ping_at is None:
            self._ping_at = now + self.times.ping_ns

    def _ping(self, now: int) -> None:
        self._number += 1
        self.outbox.append(Ping(self._number, self.times.lease_ns, self.last_pong))
        if self._unanswered_since is None and not self.vouched:
            self._unanswered_since = now

    def _resend(self, now: int) -> None:
        self._resend_at = None
        if self.state is not LinkState.OPEN or not self.unconfirmed:
            return
        resend_ns = self.times.resend_ns
        for key, given in self.unconfirmed.items():
            if now - given.sent_ns < resend_ns:
                continue
            given.sent_ns = now
            if given.cancel is not None:
                self.outbox.append(Cancel(key[0], key[1], given.cancel))
            else:
                self.outbox.append(Assign(key[0], key[1], given.spec, given.waited_ns))
        oldest = min(given.sent_ns for given in self.unconfirmed.values())
        self._resend_at = oldest + resend_ns

    def take(self) -> Batch | None:
        """What is to be sent now, as one batch."""
        return self._seal(0 if self.state is LinkState.INQUIRING else self.peer_epoch) if self.outbox else None


class Uplink(_End):
    """The subordinate's end. `receive` returns Assign, Cancel, Acknowledge, Inquire and Ping, each fresh; the owner
    answers Inquire by `inventory` and Ping by `pong`."""

    __slots__ = ("_pongs", "_resend_at", "lease_end_ns", "open", "results", "times", "vouched")

    def __init__(self, epoch: int, times: ChannelTimes) -> None:
        super().__init__(epoch)
        self.times = times
        self.open = False
        """whether the superior has inquired in this connection: until then nothing is said"""
        self.vouched = False
        self.lease_end_ns: int | None = None
        """until when attempts may live without another word from the superior; None: no superior yet"""
        self.results: dict[AttemptKey, tuple[Ended, int]] = {}
        """ends that are not acknowledged, and when each was last said"""
        self._pongs: dict[int, int] = {}
        self._resend_at: int | None = None

    def closed(self) -> None:
        """The transport is gone; the lease goes on."""
        self.open = False
        self.outbox.clear()
        self._resend_at = None

    def vouch(self, vouched: bool, age_ns: int, now: int) -> None:
        """See `Downlink.vouch`; `age_ns` is what that returned."""
        if self.vouched and not vouched:
            self.lease_end_ns = now - age_ns + self.times.lease_ns
        self.vouched = vouched

    def receive(self, batch: Batch, now: int) -> list[Down]:
        """Take one batch from the superior."""
        if not self._fresh(batch):
            return []
        unknown = batch.receiver_epoch != self.epoch
        fresh: list[Down] = []
        for message in batch.messages:
            kind = type(message)
            if kind is Inquire:
                self.open = True
                fresh.append(message)  # type: ignore[arg-type]
            elif kind is Ping:
                self._renew(message)  # type: ignore[arg-type]
                fresh.append(message)  # type: ignore[arg-type]
            elif kind is Assign or kind is Cancel or kind is Acknowledge:
                if unknown or not self.open:
                    self.stale["meant for an earlier life"] += 1
                    continue
                if kind is Acknowledge:
                    self.results.pop((message.job, message.attempt), None)  # type: ignore[union-attr]
                fresh.append(message)  # type: ignore[arg-type]
            else:
                raise ProtocolError(f"a superior sent {kind.__name__}, which only a subordinate may say")
        return fresh

    def _renew(self, ping: Ping) -> None:
        sent_ns = self._pongs.get(ping.heard)
        if sent_ns is not None and ping.lease_ns:
            end = sent_ns + ping.lease_ns
            if self.lease_end_ns is None or end > self.lease_end_ns:
                self.lease_end_ns = end

    def inventory(self, number: int, entries: tuple[Entry, ...], remembers: int, slots: int, now: int) -> None:
        """Answer an Inquire. Everything still to be said about attempts is in it."""
        self.outbox.clear()
        self._remember_pong(number, now)
        if self.lease_end_ns is None:
            self.lease_end_ns = now + self.times.lease_ns
        for key, (ended, _) in self.results.items():
            self.results[key] = (ended, now)
        self._resend_at = now + self.times.resend_ns if self.results else None
        self.outbox.append(Inventory(entries, number, remembers, slots))

    def pong(self, number: int, running: int, waiting: int, dirty: str, now: int) -> None:
        """Answer a Ping."""
        self._remember_pong(number, now)
        if self.open:
            self.outbox.append(Pong(number, running, waiting, dirty))

    def _remember_pong(self, number: int, now: int) -> None:
        self._pongs[number] = now
        while len(self._pongs) > PONGS_REMEMBERED:
            del self._pongs[next(iter(self._pongs))]

    def accepted(self, key: AttemptKey) -> None:
        """The attempt is here and waits."""
        if self.open:
            self.outbox.append(Accepted(key[0], key[1]))

    def started(self, key: AttemptKey, host: str, started_at: int) -> None:
        """The attempt runs."""
        if self.open:
            self.outbox.append(Started(key[0], key[1], host, started_at))

    def ended(self, key: AttemptKey, report: Report, now: int) -> None:
        """The attempt ended; kept, and said again, until it is acknowledged."""
        ended = Ended(key[0], key[1], report)
        self.results[key] = (ended, now)
        if self.open:
            self.outbox.append(ended)
            if self._resend_at is None:
                self._resend_at = now + self.times.resend_ns

    def deny(self, key: AttemptKey, now: int) -> None:
        """Answer a Cancel or a message about an attempt that is not here: certainly nothing runs."""
        known = self.results.get(key)
        if known is not None:
            self.outbox.append(known[0])
        else:
            self.ended(key, Report(Outcome.KILLED, reason="it was not here"), now)

    def next_due(self) -> int | None:
        """When `advance` wants to be called (ns)."""
        return self._resend_at

    def lease_ended(self, now: int) -> bool:
        """Whether attempts must end because the superior was not heard for too long."""
        return self.lease_end_ns is not None and not self.vouched and now >= self.lease_end_ns

    def advance(self, now: int) -> None:
        """Say unacknowledged ends again."""
        if self._resend_at is None or now < self._resend_at:
            return
        self._resend_at = None
        if not self.open or not self.results:
            return
        resend_ns = self.times.resend_ns
        for key, (ended, said_ns) in self.results.items():
            if now - said_ns >= resend_ns:
                self.results[key] = (ended, now)
                self.outbox.append(ended)
        self._resend_at = min(said for _, said in self.results.values()) + resend_ns

    def take(self) -> Batch | None:
        """What is to be sent now, as one batch."""
        return self._seal(self.peer_epoch) if self.outbox else None
