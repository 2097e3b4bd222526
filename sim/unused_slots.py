"""What the slots were that ran nothing: without power, closed by a person, not to be reached, or free.

A part of `sim/timeline.py`, which tells it of sizes and of what becomes of hosts, and at the end what ran where. With
what ran, that is every slot there is, at every moment: what runs on a drained host is work, what is empty there is not
free. The scheduler's own computer is not counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from model.events import HostVerb
from model.job import LOCAL
from model.records import SET_ASIDE, WELL
from sim.series import Most, Series, most_of

SLOTS, DOWN, CLOSED, UNREACHED = "slots", "down", "closed", "unreached"
"""Names of series: all slots that hosts have; without power; empty on a host that is drained, off, deleted or set
aside; empty on one that does not answer."""
NOT_FREE = (CLOSED, UNREACHED, DOWN)
FREE = "free"
_PERSON = (HostVerb.DRAIN.value, HostVerb.OFF.value, HostVerb.DELETE.value)
_SHUT = (*_PERSON, SET_ASIDE)
_OPENED = {
    **dict.fromkeys(_PERSON, _PERSON),
    HostVerb.ON.value: _SHUT,
    HostVerb.ADD.value: _SHUT,
    SET_ASIDE: (SET_ASIDE,),
    WELL: (SET_ASIDE,),
}
"""What is over when this is recorded: a host is in one state by a person's order, and may be set aside as well."""


class _Stretch(Struct, gc=False):
    """A time in which a host's empty slots were all the same."""

    begin: int
    end: int
    slots: int
    use: str


class _Host(Struct):
    """As it is since `since`; the stretches before."""

    slots: int = 0
    since: int = 0
    power: bool = True
    answers: bool = True
    shut: tuple[str, ...] = ()
    """what keeps it closed"""
    past: list[_Stretch] = []

    @property
    def use(self) -> str:
        """What an empty slot is there. What is without power could not answer, and what a person closed is closed."""
        if not self.power:
            return DOWN
        if self.shut:
            return CLOSED
        return FREE if self.answers else UNREACHED

    def settle(self, now: int) -> None:
        """It is about to change."""
        if now > self.since:
            self.past.append(_Stretch(self.since, now, self.slots, self.use))
            self.since = now


class UnusedSlots:
    """Of all hosts, in the order in which they came."""

    def __init__(self) -> None:
        self.most: dict[str, Most] = {}
        """the most slots at once, of each of `NOT_FREE` that there was; after `add_to`"""
        self._hosts: dict[str, _Host] = {}

    def _settled(self, name: str, now: int) -> _Host:
        host = self._hosts.get(name)
        if host is None:
            host = self._hosts[name] = _Host(since=now)
        host.settle(now)
        return host

    def size(self, name: str, slots: int, now: int) -> None:
        """A host is there, or has another number of slots; 0: it is gone."""
        self._settled(name, now).slots = slots

    def changed(self, name: str, verb: str, now: int) -> None:
        """What is recorded of a host: a person's order, or that it is set aside, or well."""
        over = _OPENED.get(verb)
        if over is not None:
            host = self._settled(name, now)
            host.shut = (*(one for one in host.shut if one not in over), *((verb,) if verb in _SHUT else ()))

    def fault(self, name: str, power: bool | None, answers: bool | None, now: int) -> None:
        """A host loses its power or gets it back, answers no more or again. None: that does not change."""
        host = self._settled(name, now)
        host.power = host.power if power is None else power
        host.answers = host.answers if answers is None else answers

    def finish(self, now: int) -> list[str]:
        """The run is over. Gives the hosts with slots that were empty and not free: `add_to` wants to know what ran."""
        for host in self._hosts.values():
            host.settle(now)
        return [name for name, host in self._hosts.items() if any(stretch.use != FREE for stretch in host.past)]

    def add_to(self, series: Series, changes: Mapping[str, list[tuple[int, int]]]) -> None:
        """`series` gets `SLOTS`, `DOWN`, `CLOSED` and `UNREACHED`; what is left of `SLOTS` beside what ran is free.

        `changes`: (when, by how many slots) what runs on a host gets more or less; of each host that `finish` gave."""
        found: dict[str, list[tuple[int, int]]] = {}
        for name, host in self._hosts.items():
            if name == LOCAL:
                continue
            for stretch in host.past:
                series.add(SLOTS, stretch.begin, stretch.end, stretch.slots)
            if name in changes:
                for use, begin, end, slots in _empty(host.past, sorted(changes[name])):
                    series.add(use, begin, end, slots)
                    found.setdefault(use, []).extend(((begin, slots), (end, -slots)))
        self.most = {use: most_of(sorted(of_all)) for use, of_all in found.items()}


def _empty(stretches: Sequence[_Stretch], changes: Sequence[tuple[int, int]]) -> Iterator[tuple[str, int, int, int]]:
    """What was empty and not free of one host: (use, begin, end, slots). A host that was made smaller may run more than
    it has."""
    running = at = 0
    for stretch in stretches:
        begin = stretch.begin
        while at < len(changes) and changes[at][0] < stretch.end:
            when, by = changes[at]
            if stretch.use != FREE:
                yield stretch.use, begin, when, max(0, stretch.slots - running)
            begin = max(begin, when)
            running += by
            at += 1
        if stretch.use != FREE:
            yield stretch.use, begin, stretch.end, max(0, stretch.slots - running)
