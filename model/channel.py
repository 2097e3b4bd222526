"""The job channel's rules that both ends share. `downlink.py` is the superior's end, `uplink.py` the subordinate's.

All rules about lost, doubled, late and reordered messages, about leases and about reconnection are in these three
files, once, for both hops. The owner (a machine) sees only fresh messages and says only what it means.

The lease, and why it holds whatever the network does. The superior's Ping names the last Pong that it heard. The
subordinate may keep attempts alive until (the moment at which it *sent* that Pong) + lease. The superior waits until
(the moment at which it *heard* that Pong) + lease + margin. Sending comes before hearing, so the subordinate's end is
always the earlier one, however long a message was under way; the margin covers clock drift and the killing itself.
"""

from __future__ import annotations

from collections import Counter

from msgspec import Struct

from model.errors import LaulimaError
from model.job import SECOND
from model.messages import Batch, Message
from model.states import State


class ChannelTimes(Struct, frozen=True):
    """Durations in ns that govern one link."""

    ping_ns: int = 5 * SECOND
    silent_ns: int = 15 * SECOND
    """unanswered for so long: the peer is called silent, and gets nothing new"""
    lease_ns: int = 300 * SECOND
    margin_ns: int = 30 * SECOND
    resend_ns: int = 10 * SECOND
    """what was not answered is said again after so long"""


class ProtocolError(LaulimaError):
    """The peer said something that no correct peer says; its connection is to be closed."""


class LinkState(State):
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


class End:
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
        """what is to be sent when the owner is drained"""
        self.stale: Counter[str] = Counter()
        """batches that were dropped, by reason"""

    def seal(self) -> Batch:
        """All that is to be sent now, as one batch for the life of the peer that is known. Only when there is something
        in `outbox`."""
        return self._seal(self.peer_epoch)

    def _seal(self, receiver_epoch: int) -> Batch:
        self.sequence = sequence = self.sequence + 1
        batch = Batch(self.epoch, sequence, receiver_epoch, tuple(self.outbox))
        self.outbox.clear()
        return batch

    def take(self) -> Batch | None:
        """The same, if there is something."""
        return self.seal() if self.outbox else None

    def fresh(self, batch: Batch) -> bool:
        """Whether the batch may be obeyed; notes a new life of the peer."""
        if batch.epoch != self.peer_epoch:
            if batch.epoch < self.peer_epoch:
                self.stale["earlier life of the sender"] += 1
                return False
            self.peer_epoch = batch.epoch
            self.heard_sequence = 0
        if batch.sequence <= self.heard_sequence:
            self.stale["old sequence number"] += 1
            return False
        self.heard_sequence = batch.sequence
        return True
