"""How the slots of a controller went to the schedulers that use it, against what their shares say; read from the log.

What a share promises counts while several ask: of each slot that is given to a host while jobs of at least two
schedulers wait at the controller, each of those has its part due (its share by the sum of theirs), and one of them gets
it. Slots are counted as they are given, as the controller does (`model/sharing.py`). A scheduler asks while attempts of
it wait at the controller, it was heard within the lease, and it has fewer at hosts than its terms allow; what waits for
a host of its own choice asks, too. Used by `sim/shared_measuring.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct, field

from model.job import AttemptKey, JobId
from model.job_numbers import own_number, superior_of
from model.messages import Accepted, Ended, Held, Inventory
from model.records import AttemptEnded, AttemptGiven, SuperiorKnown
from sim.log import Committed, Life, LinkChanged, Sent
from sim.paths import CONTROLLER, SCHEDULER
from sim.scenario import node_of


class _Sharer(Struct):
    """What is known of one scheduler."""

    share: int = 1
    most: int = 0
    """attempts that it may have at hosts; 0: any number"""
    waiting: dict[AttemptKey, None] = field(default_factory=dict)
    """its attempts in the controller's queue, by its own numbers"""
    given: dict[AttemptKey, None] = field(default_factory=dict)
    """those that were given to a host and have not ended for it"""
    heard_ns: int = 0
    vouched: bool = False
    due: float = 0.0
    got: int = 0
    """slots that were given while several asked: what it had to get, and what it got"""


class Shares:
    """Takes the lines that `table` names. Nothing is counted before `from_ns`."""

    def __init__(self, names: tuple[str, ...], lease_ns: int, from_ns: int = 0) -> None:
        """`names`: of the schedulers. `lease_ns`: so long the controller keeps jobs of one that it does not hear."""
        self.of = {name: _Sharer() for name in names}
        self._lease_ns = lease_ns
        self._from_ns = from_ns
        self._at_node = {node_of(SCHEDULER, name): sharer for name, sharer in self.of.items()}
        self._numbers: dict[int, _Sharer] = {}
        self.table: dict[type, Callable[[Any], None]] = {
            SuperiorKnown: self._known,
            AttemptGiven: self._given,
            AttemptEnded: self._ended,
            Sent: self._sent,
            LinkChanged: self._link_changed,
            Life: self._life,
        }

    def parts(self) -> dict[str, tuple[float | None, float | None]]:
        """(due, got) of each, as parts of all slots that were given while several asked; None: that never was."""
        due, got = (sum(getattr(one, what) for one in self.of.values()) for what in ("due", "got"))
        return {name: (one.due / due if due else None, one.got / got if got else None) for name, one in self.of.items()}

    def _known(self, line: Committed) -> None:
        record: SuperiorKnown = line.record  # type: ignore[assignment]
        sharer = self._numbers[record.number] = self.of[record.name]
        sharer.share, sharer.most = record.terms.share, record.terms.in_flight_max

    def _given(self, line: Committed) -> None:
        record: AttemptGiven = line.record  # type: ignore[assignment]
        getter = self._numbers[superior_of(record.job)]
        key = (JobId(own_number(record.job)), record.attempt)
        asking = [one for one in self._numbers.values() if one is getter or self._asks(one, line.t)]
        getter.waiting.pop(key, None)
        if key in getter.given:
            return
        getter.given[key] = None
        if len(asking) > 1 and line.t >= self._from_ns:
            slots, shares = record.spec.slots or 1, sum(one.share for one in asking)
            getter.got += slots
            for one in asking:
                one.due += slots * one.share / shares

    def _asks(self, sharer: _Sharer, now: int) -> bool:
        if not sharer.waiting or 0 < sharer.most <= len(sharer.given):
            return False
        return sharer.vouched or now - sharer.heard_ns <= self._lease_ns

    def _ended(self, line: Committed) -> None:
        record: AttemptEnded = line.record  # type: ignore[assignment]
        self._over(self._at_node[line.node], (record.job, record.attempt))

    @staticmethod
    def _over(sharer: _Sharer, key: AttemptKey) -> None:
        sharer.waiting.pop(key, None)
        sharer.given.pop(key, None)

    def _sent(self, line: Sent) -> None:
        if line.to == CONTROLLER and line.arrives:
            sharer = self._at_node.get(line.node)
            if sharer is not None:
                sharer.heard_ns = line.t
            return
        sharer = self._at_node.get(line.to) if line.node == CONTROLLER else None
        if sharer is None:
            return
        for message in line.batch.messages:
            if type(message) is Accepted:
                if (message.job, message.attempt) not in sharer.given:
                    sharer.waiting[message.job, message.attempt] = None
            elif type(message) is Ended:
                self._over(sharer, (message.job, message.attempt))
            elif type(message) is Inventory:
                held = [entry for entry in message.entries if entry.held is not Held.ENDED]
                listed = {(entry.job, entry.attempt): None for entry in held}
                sharer.waiting = {key: None for key in sharer.waiting if key in listed}

    def _link_changed(self, line: LinkChanged) -> None:
        sharer = self._at_node.get(line.node)
        if sharer is not None and line.peer == CONTROLLER:
            sharer.vouched = line.state == "vouched"
            sharer.heard_ns = line.t

    def _life(self, line: Life) -> None:
        """A new life of the controller: its queue is empty."""
        if line.node == CONTROLLER:
            for sharer in self.of.values():
                sharer.waiting.clear()
