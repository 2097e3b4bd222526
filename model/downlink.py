"""The superior's end of the job channel: what it believes is below, and how it finds out what is.

One for each subordinate: the scheduler has one to each executor, the controller one to each host. The rules are told
in `channel.py`.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from model.channel import ChannelTimes, End, LinkState, ProtocolError
from model.job import AttemptKey, JobSpec, Outcome, Report
from model.messages import (
    Accepted,
    Acknowledge,
    Assign,
    Batch,
    Cancel,
    CancelReason,
    Ended,
    Entry,
    Heard,
    Held,
    Inquire,
    Inventory,
    Message,
    Notices,
    Parting,
    Ping,
    Pong,
    Started,
    Up,
)
from model.quick_struct import quick_to_set
from model.states import quick
from model.timers import NEVER_NS

_L = quick(LinkState)
_WAITING, _RUNNING, _ENDED = Held.WAITING, Held.RUNNING, Held.ENDED
_SAYS: dict[type, Held] = {Accepted: _WAITING, Started: _RUNNING, Ended: _ENDED}
"""Where the subordinate has an attempt, by what it says of it."""

PING_STEPS = 10
"""Pings are due at multiples of a tenth of their period, so that those of many hosts, and the answers, come together:
each alone would be a turn of its owner, and a hundred idle hosts cost twice as much."""


@quick_to_set
class Given(Struct, eq=False, gc=False):
    """What a superior believes about one attempt that it gave down. (A struct, not tracked by the garbage collector:
    the scheduler has one for each job that waits.)"""

    spec: JobSpec
    waited_ns: int
    sent_ns: int
    sent_to: int
    """the life of the subordinate to which it was given"""
    awaited: int = 0
    """not 0: given and not answered, or cancelled and not ended; said again every `resend_ns`, by these numbers"""
    held: Held | None = None
    """where the subordinate has it, as far as was heard; None: it has not answered. One that has ended may wait for its
    acknowledgement, but never runs again."""
    cancel: CancelReason | None = None
    doubtful: bool = False
    """our own superior may know of its end already: see `restore`"""
    why: str = ""
    """what the subordinate last said of where it is; see `Accepted.why`"""


class Downlink(End):
    """The superior's end.

    `receive`, `advance`, and `closed` return the messages that the owner must handle: Accepted, Started, Ended,
    Pong and Notices, each fresh. An inventory is turned into such messages; a loss becomes an Ended with outcome LOST.
    """

    __slots__ = (
        "_awaited",
        "_awaited_last",
        "_granted_until",
        "_inquire_at",
        "_inquiry",
        "_judge_after",
        "_lost_judged",
        "_number",
        "_parted_until",
        "_ping_at",
        "_resend_at",
        "_taken_over",
        "_unanswered_since",
        "given",
        "gives_back",
        "last_pong",
        "last_pong_ns",
        "name",
        "slots",
        "state",
        "times",
        "vouched",
        "wanted_slots",
    )

    def __init__(self, name: str, epoch: int, times: ChannelTimes, now: int) -> None:
        super().__init__(epoch)
        self.name = name
        self.times = times
        self.state = _L.CLOSED
        self.given: dict[AttemptKey, Given] = {}
        self._awaited = 0
        """how many of them are awaited. (A table of those would be one more in which each job comes and goes.)"""
        self._awaited_last = 0
        """the last `Given.awaited`"""
        self.slots = 0
        self.gives_back = False
        """whether the subordinate gives back what it cannot start soon; see `Inventory`"""
        self.wanted_slots = 0
        """slots that the subordinate is told to have; 0: as it was started"""
        self.vouched = False
        self.last_pong_ns = now
        """nothing is judged lost before the superior's own start + lease + margin"""
        self.last_pong = 0
        self._number = 0
        self._inquiry = 0
        """number of the Inquire whose answer is awaited"""
        self._ping_at: int | None = None
        self._inquire_at: int | None = None
        self._resend_at = NEVER_NS
        """when what was not answered is said again; `NEVER_NS`: everything was"""
        self._unanswered_since: int | None = None
        self._judge_after = 0
        self._parted_until = 0
        """an earlier life has granted a lease; with the margin it is over then"""
        self._granted_until = 0
        """the same of this life"""
        self._taken_over = 0
        """number of the first Ping whose answer shows that this life of it has our own lease instead; 0: none yet"""
        self._lost_judged = False

    # what the transport says

    def opened(self, now: int) -> None:
        """The transport is connected: ask for everything before anything is assigned."""
        self.state = _L.INQUIRING
        self.outbox.clear()
        self._inquire(now)

    def forsake(self, why: str) -> list[Up]:
        """The subordinate is another one from now on: what the former one holds is lost, and its lives do not count."""
        lost: list[Up] = [self._lost(key, why) for key, given in self.given.items() if given.held is not _ENDED]
        self.given.clear()  # nothing of it is to be said to the new one
        self._awaited = 0
        self.peer_epoch = self.heard_sequence = 0
        return lost

    def resize(self, slots: int, now: int) -> None:
        """From now on the subordinate has so many slots. It is told with an inquiry, so it is told until it answers."""
        self.wanted_slots = slots
        if self.state is _L.OPEN:
            self.state = _L.INQUIRING
            self._inquire(now)

    def closed(self, now: int) -> None:
        """The transport is gone. What was given may still run there until its lease ends."""
        if self.vouched:
            self.vouch(False, now)
        self.state = _L.CLOSED
        self.outbox.clear()
        self._ping_at = self._inquire_at = self._unanswered_since = None
        self._resend_at = NEVER_NS

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
                self.last_pong_ns = max(self.last_pong_ns, last)
                self._ping_at = last + ping
            age = now - self.last_pong_ns
            self._unanswered_since = None
            if self._taken_over:
                self._parted_until = 0
        self.vouched = vouched
        return age

    # what the owner says

    @property
    def ready(self) -> bool:
        """Whether something may be assigned now."""
        return self.state is _L.OPEN

    def restore(self, key: AttemptKey, spec: JobSpec, *, running: bool, sent_to: int, doubtful: bool = False) -> None:
        """After a restart of the owner: this attempt was given, to the life `sent_to` of the subordinate, in an
        earlier life of ours, and has not ended.

        `doubtful`: ends pass through the owner, which does not record them, and no record of its superior's is at hand.
        So one that never began may have ended and be recorded as such above, and then have been forgotten both here and
        below, where such an end is in no file: it is not handed down again, but given back for another attempt.
        """
        given = self.given[key] = Given(spec, 0, 0, sent_to)
        given.held = _RUNNING if running else _WAITING
        given.doubtful = doubtful

    def assign(self, key: AttemptKey, spec: JobSpec, waited_ns: int, now: int) -> None:
        """Hand an attempt down. Only while `ready`."""
        if self.state is not _L.OPEN:
            raise ValueError(f"{self.name} is {self.state.value}: nothing can be assigned")
        self._awaited += 1
        self._awaited_last = last = self._awaited_last + 1
        self.given[key] = Given(spec, waited_ns, now, self.peer_epoch, last)
        self.outbox.append(Assign(key[0], key[1], spec, waited_ns))
        if self._resend_at == NEVER_NS:
            self._resend_at = now + self.times.resend_ns

    def cancel(self, key: AttemptKey, why: CancelReason, now: int) -> None:
        """End an attempt; said again until its end is reported."""
        given = self.given[key]
        given.cancel = why
        given.sent_ns = now
        self._await(given)
        if self.state is _L.OPEN or self.state is _L.SILENT:
            self.outbox.append(Cancel(key[0], key[1], why))
            if self._resend_at == NEVER_NS:
                self._resend_at = now + self.times.resend_ns

    def refuse(self, key: AttemptKey, why: CancelReason) -> None:
        """End an attempt of which this superior knows nothing."""
        if self.state is _L.OPEN:
            self.outbox.append(Cancel(key[0], key[1], why))

    def disown(self, key: AttemptKey) -> None:
        """What the subordinate claims of this attempt does not count any more."""
        given = self.given.pop(key, None)
        if given is not None and given.awaited:
            self._answered(given)
        self.refuse(key, CancelReason.ORPHAN)

    def acknowledge(self, key: AttemptKey) -> None:
        """Its end is recorded where it must be: both ends may forget it."""
        given = self.given.pop(key, None)
        if given is not None and given.awaited:
            self._answered(given)
        if self.state is _L.OPEN or self.state is _L.SILENT:
            self.outbox.append(Acknowledge(key[0], key[1]))

    def heard(self, number: int) -> None:
        """The subordinate's notices up to this number have come."""
        if self.state is _L.OPEN:
            self.outbox.append(Heard(number))

    def part(self, lease_ns: int, now: int) -> None:
        """The last word before a clean stop: what runs may go on for `lease_ns`; this life cannot take that back."""
        if self.state is _L.OPEN:
            self.outbox.append(Parting(lease_ns))
            self._granted_until = now + lease_ns + self.times.margin_ns

    def parted(self, keep_ns: int, now: int) -> None:
        """An earlier life has granted a parting lease: nothing is judged lost before that and the margin are over, from
        now on, unless the subordinate is known to have a lease of this life instead."""
        self._parted_until = max(self._parted_until, now + keep_ns + self.times.margin_ns)

    # what comes in

    def receive(self, batch: Batch, now: int) -> list[Up]:
        """Take one batch from the subordinate."""
        if self.state is _L.CLOSED:
            self.stale["no connection"] += 1
            return []
        if batch.receiver_epoch not in (0, self.epoch):
            self.stale["meant for an earlier life"] += 1
            return []
        earlier_life = self.peer_epoch
        if not self.fresh(batch):
            return []
        if self.peer_epoch != earlier_life:
            self._taken_over = 0
            if self.state is _L.OPEN:
                self.state = _L.INQUIRING
                self._inquire(now)
        return self._take(batch.messages, now)

    def _take(self, messages: Iterable[Message], now: int) -> list[Up]:
        """Note what the subordinate says; what of it the owner must handle."""
        given_of = self.given.get
        fresh: list[Up] = []
        for message in messages:
            held = _SAYS.get(type(message))
            if held is None:
                fresh += self._take_other(message, now)
                continue
            word: Accepted | Started | Ended = message  # type: ignore[assignment]
            given = given_of((word.job, word.attempt))
            if given is not None:
                if held is not _ENDED:
                    before = given.held
                    if before is not None and (  # the first word is always new
                        before is _ENDED
                        or (before is held and given.why == word.why)  # type: ignore[union-attr]
                        or (before is _RUNNING and held is _WAITING)
                    ):
                        continue
                    given.why = word.why  # type: ignore[union-attr]
                given.held = held
                if given.awaited and (given.cancel is None or held is _ENDED):
                    given.awaited = 0
                    self._awaited -= 1
            fresh.append(word)
        if not self._awaited:
            self._resend_at = NEVER_NS
        return fresh

    def _take_other(self, message: Message, now: int) -> list[Up]:
        """What is said of no single attempt."""
        kind = type(message)
        if kind is Inventory:
            return self._reconcile(message, now)  # type: ignore[arg-type]
        if kind is Pong:
            self._heard_pong(message.number, now)  # type: ignore[union-attr]
            if self._parted_until and 0 < self._taken_over <= message.number:  # type: ignore[union-attr]
                self._parted_until = 0
        elif kind is not Notices:
            raise ProtocolError(f"{self.name} sent {kind.__name__}, which only a superior may say")
        return [message]  # type: ignore[list-item]

    def _await(self, given: Given) -> None:
        """What was said of this is said again until it is answered."""
        if not given.awaited:
            self._awaited += 1
            self._awaited_last = given.awaited = self._awaited_last + 1

    def _answered(self, given: Given) -> None:
        """This need not be said again. When nothing need be, no time for it is left: else each job of a host that has
        few would make its link wake up once more for nothing."""
        given.awaited = 0
        self._awaited -= 1
        if not self._awaited:
            self._resend_at = NEVER_NS

    def _heard_pong(self, number: int, now: int) -> None:
        """An answer, and nothing less, shows that the subordinate hears us as well as we hear it."""
        if not self.last_pong < number <= self._number:
            return  # said before; or to no question of ours, and then a true answer would look old
        self.last_pong = number
        self.last_pong_ns = now
        self._lost_judged = False
        self._judge_after = 0
        self._unanswered_since = None
        if self.state is _L.SILENT:
            self.state = _L.INQUIRING
            self._inquire(now)

    def _reconcile(self, inventory: Inventory, now: int) -> list[Up]:
        """One inventory says everything: what it lists is there, what it does not list is not."""
        if self.state is not _L.INQUIRING or inventory.number != self._inquiry:
            return []  # no answer to what we asked last
        self.state = _L.OPEN
        self.slots = inventory.slots
        self.gives_back = inventory.gives_back
        self._inquire_at = None
        self._heard_pong(inventory.number, now)
        self._ping_at = self._next_ping(now)
        self._taken_over = self._number + 1
        self._ping(now)
        listed = {(entry.job, entry.attempt): self._word_of(entry) for entry in inventory.entries}
        found = self._take(listed.values(), now)
        for key, given in self.given.items():
            if key in listed or given.held is _ENDED:
                continue
            if given.held is _RUNNING or given.sent_to < inventory.remembers:
                found.append(self._lost(key, "its host came back without it"))
            elif given.cancel is None and given.doubtful:
                found.append(self._given_back(key))
            elif given.cancel is None:
                given.sent_ns, given.sent_to = now, self.peer_epoch
                given.held = None
                self._await(given)
                self.outbox.append(Assign(key[0], key[1], given.spec, given.waited_ns))
        for key, given in self.given.items():
            if given.cancel is not None and given.held is not _ENDED:
                given.sent_ns = now
                self._await(given)
                self.outbox.append(Cancel(key[0], key[1], given.cancel))
        if self._awaited:
            self._resend_at = now + self.times.resend_ns
        return found

    def _word_of(self, entry: Entry) -> Accepted | Started | Ended:
        """What the subordinate would say of this attempt if it were not in an inventory."""
        key = (entry.job, entry.attempt)
        if entry.held is _ENDED:
            if entry.report is None:
                raise ProtocolError(f"{self.name} holds the end of attempt {key} and does not say how it ended")
            return Ended(entry.job, entry.attempt, entry.report)
        given = self.given.get(key)
        if given is None:
            self.given[key] = Given(entry.spec, 0, 0, self.peer_epoch)
        elif given.cancel is CancelReason.ORPHAN and given.held is not _ENDED:
            given.held = None  # of one that was given up it is news each time that it is there
        if entry.held is _RUNNING:
            return Started(entry.job, entry.attempt, entry.host, why=entry.why)
        return Accepted(entry.job, entry.attempt, entry.why)

    def _lost(self, key: AttemptKey, why: str) -> Ended:
        given = self.given[key]
        if given.awaited:
            self._answered(given)
        given.cancel = CancelReason.ORPHAN  # never to be handed down again, nor to live if it still does
        report = Report(Outcome.LOST, reason=why, host=self.name, started=True)
        return Ended(key[0], key[1], report)

    def _given_back(self, key: AttemptKey) -> Ended:
        """It never began there, and nobody here knows whether it was to."""
        self.given[key].held = _ENDED
        reason = "neither its host nor the controller know it after their restarts"
        return Ended(key[0], key[1], Report(Outcome.OVERLOADED, reason=reason, host=self.name, again=True))

    # time

    @property
    def lost_at(self) -> int:
        """When everything given is lost, if nothing is heard before (ns)."""
        lost_at = self.last_pong_ns + self.times.lease_ns + self.times.margin_ns
        return max(lost_at, self._judge_after, self._parted_until, self._granted_until)

    @property
    def silent_at(self) -> int | None:
        """When an open link is called silent, if nothing is heard before (ns)."""
        if self._unanswered_since is None or self.state not in (_L.OPEN, _L.INQUIRING):
            return None
        return self._unanswered_since + self.times.silent_ns

    def next_due(self) -> int:
        """When `advance` wants to be called (ns); `NEVER_NS`: not of itself."""
        earliest = self._resend_at
        if self.vouched and self._inquire_at is None and self._unanswered_since is None:
            return earliest  # the usual case: nothing else is awaited on a healthy link
        inquire_at, silent_at = self._inquire_at, self.silent_at
        if inquire_at is not None and inquire_at < earliest:
            earliest = inquire_at
        if silent_at is not None and silent_at < earliest:
            earliest = silent_at
        if self.vouched:
            return earliest
        if self._ping_at is not None and self._ping_at < earliest:
            earliest = self._ping_at
        if self.given and not self._lost_judged and self.lost_at < earliest:
            earliest = self.lost_at
        return earliest

    def advance(self, now: int) -> list[Up]:
        """Ping, ask again, judge silence and loss, and say again what is not lost, as far as they are due."""
        if self.state is not _L.CLOSED:
            self._advance_connected(now)
        lost = self._judge_loss(now)
        if now >= self._resend_at:
            self._resend(now)
        return lost

    def _judge_loss(self, now: int) -> list[Up]:
        if self.given and not self.vouched and not self._lost_judged and now >= self.lost_at:
            if now - self.lost_at >= self.times.ping_ns:  # we stood still ourselves: the peer may have spoken since
                self._judge_after = now + self.times.silent_ns
                return []
            return self.give_up("its host was not heard for the lease and the margin")
        return []

    def give_up(self, why: str) -> list[Up]:
        """All that it has is lost, whatever its lease."""
        self._lost_judged = True
        return [self._lost(key, why) for key in self.given]

    def _advance_connected(self, now: int) -> None:
        self.notice_stall(now)
        if self._ping_at is not None and not self.vouched and now >= self._ping_at:
            self._ping_at = self._next_ping(now)
            self._ping(now)
        silent_at = self.silent_at
        if silent_at is not None and now >= silent_at:
            self.state = _L.SILENT
            self._inquire_at = None
        if self._inquire_at is not None and now >= self._inquire_at:
            self._inquire(now)

    def notice_stall(self, now: int) -> bool:
        """Whether we stood still ourselves: a ping is late by a whole period. Then the peer gets its full time to
        speak before it is judged; and it is asked what it holds before it is given anything, for the lease of what it
        gets may be all but over. Called before anything that came meanwhile is taken."""
        if self._ping_at is None or self.vouched or now - self._ping_at < self.times.ping_ns:
            return False
        self._unanswered_since = None
        self._judge_after = now + self.times.silent_ns
        self._ping_at = self._next_ping(now)
        if self.state is _L.SILENT:
            self._ping(now)
        else:
            self.state = _L.INQUIRING
            self._inquire(now)
        return True

    def _inquire(self, now: int) -> None:
        self._number = self._inquiry = self._number + 1
        self.outbox.append(Inquire(self._number, self.wanted_slots))
        self._inquire_at = now + self.times.resend_ns
        if self._unanswered_since is None:
            self._unanswered_since = now
        if self._ping_at is None:
            self._ping_at = self._next_ping(now)

    def _next_ping(self, now: int) -> int:
        """When to ping after `now`: a period later or, so as to have company, up to a tenth of it earlier."""
        ping_ns = self.times.ping_ns
        step_ns = max(1, ping_ns // PING_STEPS)
        return (now + ping_ns) // step_ns * step_ns

    def _ping(self, now: int) -> None:
        self._number += 1
        self.outbox.append(Ping(self._number, self.times.lease_ns, self.last_pong))
        if self._unanswered_since is None and not self.vouched:
            self._unanswered_since = now

    def _resend(self, now: int) -> None:
        self._resend_at = NEVER_NS
        if not self._awaited or self.state is not _L.OPEN:
            return
        resend_ns = self.times.resend_ns
        oldest = now
        awaited = [(given.awaited, key, given) for key, given in self.given.items() if given.awaited]
        for _, key, given in sorted(awaited):
            if now - given.sent_ns >= resend_ns:
                given.sent_ns = now
                if given.cancel is not None:
                    self.outbox.append(Cancel(key[0], key[1], given.cancel))
                else:
                    self.outbox.append(Assign(key[0], key[1], given.spec, given.waited_ns))
            elif given.sent_ns < oldest:
                oldest = given.sent_ns
        self._resend_at = oldest + resend_ns

    def seal(self) -> Batch:
        """As of `End`; while it inquires it does not know whether that life is still there."""
        return self._seal(0 if self.state is _L.INQUIRING else self.peer_epoch)
