"""Whether the controller answers its schedulers in time, as the log tells it: a part of its availability.

A question is a Ping or an Inquire, and the answer its Pong or Inventory. A scheduler that asks at some moment, and goes
on asking until it hears, hears at the first answer to a question that was put then or later. That moment is well served
when this takes no longer than after which the scheduler calls the controller silent (`times.silent`). While the network
vouches for the link there are no questions in the log, for all of them would be answered. Times in which the scheduler
itself does not run are nobody's. A part of `sim/measuring.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct, field

from model.messages import Inquire, Inventory, Ping, Pong
from sim.host_states import NOT_RUNNING
from sim.log import FaultChanged, Life, LinkChanged, Sent
from sim.metrics import ratio
from sim.paths import CONTROLLER

_ENDS_IT = NOT_RUNNING | {"disk_broken"}
_QUESTIONS, _ANSWERS = (Ping, Inquire), (Pong, Inventory)


class _Asker(Struct):
    """One scheduler. Times are true ns."""

    patience_ns: int
    served_until: int = 0
    """what was asked until then has been judged"""
    asked: dict[int, int] = field(default_factory=dict)
    """open questions, by number: when they were put"""
    vouched: bool = False
    faults: int = 0
    """how many keep it from running"""
    unserved_ns: int = 0
    away_ns: int = 0
    """time in which it did not run"""


class Answers:
    """Counts from `open_window` on; `shares` says what came of it, after `close`."""

    def __init__(self, patience_ns: Mapping[str, int]) -> None:
        """`patience_ns`: of each scheduler (its node), after how long without an answer the controller is silent."""
        self._of = {node: _Asker(patience) for node, patience in patience_ns.items()}
        self._unvouched = len(self._of)
        self._begin: int | None = None
        self._end = 0

    @property
    def table(self) -> dict[type, Callable[[Any], None]]:
        """For `EventLog`; faults are told by `fault`."""
        return {Sent: self._sent, LinkChanged: self._link_changed, Life: self._life}

    def open_window(self, begin: int) -> None:
        """Count from here on."""
        self._begin = begin

    def _sent(self, line: Sent) -> None:
        if not self._unvouched:
            return  # nearly always
        if line.to == CONTROLLER:
            asker = self._of.get(line.node)
            if asker is not None and not asker.vouched:
                for message in line.batch.messages:
                    if isinstance(message, _QUESTIONS):
                        asker.asked.setdefault(message.number, line.t)
        elif line.node == CONTROLLER:
            asker = self._of.get(line.to)
            if asker is not None and not asker.vouched and line.arrives:
                for message in line.batch.messages:
                    if isinstance(message, _ANSWERS):
                        self._heard(asker, message.number, min(line.arrives))

    def _heard(self, asker: _Asker, number: int, at_ns: int) -> None:
        asked_ns = asker.asked.pop(number, None)
        if asked_ns is not None:
            self._judge(asker, asked_ns, at_ns)

    def _judge(self, asker: _Asker, until: int, heard_ns: int) -> None:
        """Moments up to `until` that are not judged yet were served at `heard_ns`."""
        late = min(until, heard_ns - asker.patience_ns)
        if self._begin is not None:
            asker.unserved_ns += max(0, late - max(asker.served_until, self._begin))
        asker.served_until = max(asker.served_until, until)

    def _link_changed(self, line: LinkChanged) -> None:
        asker = self._of.get(line.node)
        if asker is None or line.peer != CONTROLLER:
            return
        if line.state == "vouched":
            self._judge(asker, line.t, line.t)
            asker.vouched = True
            self._unvouched -= 1
        elif line.state == "not vouched":
            asker.vouched = False
            self._unvouched += 1
            asker.served_until = max(asker.served_until, line.t)

    def _life(self, line: Life) -> None:
        """A new life of a scheduler counts its questions anew."""
        asker = self._of.get(line.node)
        if asker is not None:
            asker.asked.clear()

    def fault(self, line: FaultChanged) -> None:
        """A scheduler does not run for a while."""
        asker = self._of.get(line.nodes[0]) if len(line.nodes) == 1 and line.kind in _ENDS_IT else None
        if asker is None:
            return
        if line.on and not asker.faults:
            self._judge(asker, line.t, line.t)
        elif not line.on and asker.faults == 1:
            self._pass_over(asker, line.t)
        asker.faults += 1 if line.on else -1

    def _pass_over(self, asker: _Asker, until: int) -> None:
        if self._begin is not None:
            asker.away_ns += max(0, until - max(asker.served_until, self._begin))
        asker.served_until = max(asker.served_until, until)

    def close(self, now: int) -> None:
        """The window is over: what is not answered yet may still be in time, or is too late already."""
        self._end = now
        for asker in self._of.values():
            if asker.faults:
                self._pass_over(asker, now)
            elif not asker.vouched:
                self._judge(asker, now, now)

    def shares(self) -> dict[str, float | None]:
        """Of each scheduler: the share of its time in which it was served; None: it had none."""
        found: dict[str, float | None] = {}
        for node, asker in self._of.items():
            time_ns = self._end - (self._end if self._begin is None else self._begin) - asker.away_ns
            found[node] = ratio(time_ns - asker.unserved_ns, time_ns)
        return found

    def mean(self) -> float | None:
        """Of all schedulers that had time."""
        known = [share for share in self.shares().values() if share is not None]
        return sum(known) / len(known) if known else None
