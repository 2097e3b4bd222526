"""The subordinate's end of the job channel: what it still has to say, and how long it may live without a word.

One for each agent, and in a controller one for each of its superiors. The rules are told in `channel.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

from model.channel import ChannelTimes, End, ProtocolError
from model.job import AttemptKey, Outcome, Report
from model.messages import (
    BEGINS_ANEW,
    Accepted,
    Acknowledge,
    Assign,
    Batch,
    Cancel,
    CancelReason,
    Down,
    Ended,
    Entry,
    Heard,
    Inquire,
    Inventory,
    Message,
    Parting,
    Ping,
    Pong,
    Started,
)
from model.timers import NEVER_NS

_OF_A_LIFE = frozenset({Assign, Acknowledge, Cancel, Heard})
_DOWN = frozenset({*_OF_A_LIFE, Inquire, Ping, Parting})
PONGS_REMEMBERED = 16
"""How many of its own last Pongs a subordinate can tie a lease to."""


class Uplink(End):
    """The subordinate's end. `receive` returns Assign, Cancel, Acknowledge, Inquire, Ping and Heard, each fresh; the
    owner answers Inquire by `inventory` and Ping by `pong`."""

    __slots__ = ("_base", "_parted_by", "_pongs", "lease_end_ns", "open", "resend_at", "results", "times", "vouched")

    def __init__(self, epoch: int, times: ChannelTimes, base: int = 0) -> None:
        """`base`: of the numbers that the owner gives to jobs of this superior (`job_numbers.py`); what is said of them
        has the superior's own numbers."""
        super().__init__(epoch)
        self._base = base
        self.times = times
        self.open = False
        """whether the superior has inquired in this connection: until then nothing is said"""
        self.vouched = False
        self.lease_end_ns: int | None = None
        """until when attempts may live without another word from the superior; None: no superior yet"""
        self.results: dict[AttemptKey, tuple[Ended, int]] = {}
        """ends that are not acknowledged, and when each was last said"""
        self._pongs: dict[int, int] = {}
        self._parted_by = 0
        """the life of the superior that granted a parting lease; it holds until a later one grants its own; 0: none"""
        self.resend_at = NEVER_NS
        """when ends that are not acknowledged are said again; `NEVER_NS`: there are none, or nobody listens"""

    def closed(self) -> None:
        """The transport is gone; the lease goes on."""
        self.open = False
        self.outbox.clear()
        self.resend_at = NEVER_NS

    def vouch(self, vouched: bool, age_ns: int, now: int) -> None:
        """See `Downlink.vouch`; `age_ns` is what that returned."""
        if self.vouched and not vouched:
            end, parted_ns = now - age_ns + self.times.lease_ns, self.lease_end_ns
            if parted_ns is None or not self._parted_by or self._parted_by != self.peer_epoch or end > parted_ns:
                self._parted_by, self.lease_end_ns = 0, end
        self.vouched = vouched

    def receive(self, batch: Batch, now: int) -> Sequence[Down]:
        """Take one batch from the superior."""
        if not self.fresh(batch):
            return ()
        messages = batch.messages
        if not self.open or batch.receiver_epoch != self.epoch:
            messages = self._meant_for_this_life(batch)
        results = self.results
        for message in messages:
            kind = type(message)
            if kind is Assign:
                continue
            if kind is Acknowledge:
                results.pop((message.job, message.attempt), None)  # type: ignore[union-attr]
            elif kind is Ping:
                self._renew(message, now)  # type: ignore[arg-type]
            elif kind is Parting:
                self.lease_end_ns = now + message.lease_ns  # type: ignore[union-attr]
                self._parted_by = self.peer_epoch
            elif kind not in _DOWN:
                raise ProtocolError(f"a superior sent {kind.__name__}, which only a subordinate may say")
        if not results:
            self.resend_at = NEVER_NS
        return messages  # type: ignore[return-value]

    def _meant_for_this_life(self, batch: Batch) -> tuple[Message, ...]:
        """Without what is said to a life that is over, or before the inquiry of this connection."""
        known = batch.receiver_epoch == self.epoch
        meant: list[Message] = []
        for message in batch.messages:
            kind = type(message)
            if kind is Inquire:
                self.open = True
            elif kind in _OF_A_LIFE and not (known and self.open):
                self.stale["meant for an earlier life"] += 1
                continue
            meant.append(message)
        return tuple(meant)

    def _renew(self, ping: Ping, now: int) -> None:
        sent_ns = self._pongs.get(ping.heard)
        if sent_ns is None:
            return
        end, lease_end_ns = sent_ns + ping.lease_ns, self.lease_end_ns
        if lease_end_ns is not None and self._parted_by not in (0, self.peer_epoch):
            self._parted_by = 0
            self.lease_end_ns = end  # also an earlier one: from now on its superior counts on no longer one
        elif end > now and (lease_end_ns is None or end > lease_end_ns):
            self.lease_end_ns = end

    def inventory(
        self,
        number: int,
        entries: tuple[Entry, ...],
        remembers: int,
        slots: int,
        now: int,
        gives_back: bool = False,
    ) -> None:
        """Answer an Inquire. Everything still to be said about attempts is in it."""
        self.outbox.clear()
        self._remember_pong(number, now)
        if self.lease_end_ns is None and not entries:
            # nothing is here yet, and nothing is given before this answer was heard: a lease that is counted from now
            # ends before the superior's own count
            self.lease_end_ns = now + self.times.lease_ns
        for key, (ended, _) in self.results.items():
            self.results[key] = (ended, now)
        self.resend_at = now + self.times.resend_ns if self.results else NEVER_NS
        self.outbox.append(Inventory(entries, number, remembers, slots, gives_back))

    def pong(self, number: int, running: int, waiting: int, dirty: str, now: int) -> None:
        """Answer a Ping, also before the superior has inquired: so it learns that it may."""
        self._remember_pong(number, now)
        self.outbox.append(Pong(number, running, waiting, dirty))

    def _remember_pong(self, number: int, now: int) -> None:
        self._pongs[number] = now
        while len(self._pongs) > PONGS_REMEMBERED:
            del self._pongs[next(iter(self._pongs))]

    def outside(self, key: AttemptKey) -> AttemptKey:
        """What the superior calls an attempt of its own."""
        return (key[0] ^ self._base, key[1]) if self._base else key  # type: ignore[return-value]  # JobId() is a call

    def accepted(self, key: AttemptKey, why: str = "") -> None:
        """The attempt is here and waits."""
        if self.open:
            job = key[0] ^ self._base if self._base else key[0]  # else a new object for the same number
            self.outbox.append(Accepted(job, key[1], why))  # type: ignore[arg-type]  # as above

    def started(self, key: AttemptKey, host: str, started_at: int, why: str = "") -> None:
        """The attempt runs."""
        if self.open:
            job = key[0] ^ self._base if self._base else key[0]
            self.outbox.append(Started(job, key[1], host, started_at, why))  # type: ignore[arg-type]  # as above

    def ended(self, key: AttemptKey, report: Report, now: int) -> None:
        """The attempt ended; kept, and said again, until it is acknowledged."""
        if self._base:
            key = self.outside(key)
        ended = Ended(key[0], key[1], report)
        self.results[key] = (ended, now)
        if self.open:
            self.outbox.append(ended)
            if self.resend_at == NEVER_NS:
                self.resend_at = now + self.times.resend_ns

    def deny(self, key: AttemptKey, why: CancelReason, now: int) -> None:
        """Answer a Cancel of an attempt that is not here: certainly nothing runs, nor will. Whoever had given it up,
        and has forgotten that (a crash, before it was on the disk), makes another attempt."""
        if not self.says_again(key):
            outcome = Outcome.LOST if why is CancelReason.ORPHAN else Outcome.KILLED
            self.ended(key, Report(outcome, reason="it was not here", again=why in BEGINS_ANEW), now)

    def says_again(self, key: AttemptKey) -> bool:
        """Whether the end of an attempt was said and is not acknowledged; then it is said again."""
        known = self.results.get(self.outside(key))
        if known is None:
            return False
        if self.open:
            self.outbox.append(known[0])
        return True

    @property
    def leased(self) -> bool:
        """Whether there is a lease: without one nothing new may begin here."""
        return self.lease_end_ns is not None or self.vouched

    def lease_ended(self, now: int) -> bool:
        """Whether attempts must end because the superior was not heard for too long."""
        return self.lease_end_ns is not None and not self.vouched and now >= self.lease_end_ns

    def advance(self, now: int) -> None:
        """Say unacknowledged ends again."""
        if now < self.resend_at:
            return
        self.resend_at = NEVER_NS
        if not self.open or not self.results:
            return
        resend_ns = self.times.resend_ns
        for key, (ended, said_ns) in self.results.items():
            if now - said_ns >= resend_ns:
                self.results[key] = (ended, now)
                self.outbox.append(ended)
        self.resend_at = min(said for _, said in self.results.values()) + resend_ns
