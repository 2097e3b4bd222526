"""The shapes of jobs, and for each shape the hosts that fit it now. Owned by `placing.py`.

A shape is what a job needs of a host: slots, resources, labels, hosts to avoid, and how to choose. Tasks are few
against jobs, so shapes are few: `SHAPES_MAX` that need more than slots, waiting ones and such that waited last. A
change of a host is one word in a list; whether the host fits a shape is worked out when a job of that looks, from what
has changed since its last look. Where all hosts are full but one, only that one is looked at. So nothing here grows
with jobs or hosts.
"""

from __future__ import annotations

from model.host import Host
from model.matching import FreeHosts
from model.resources import NO_NEEDS, Amounts, Needs, Place, Stock

SHAPES_MAX = 200
"""Shapes that need more than slots. Jobs of one more wait outside (`Placing`) until all jobs of one are gone."""
CHANGES_KEPT = 1_000
"""Changes of hosts in the list that all shapes read. When it is full, each shape gets those that it has not read."""


class Shape:
    """One of them. `own` are resources of the host itself, `shared` those of the cluster. A plain one needs slots
    only; the hosts with room for it are in one index for all plain ones."""

    __slots__ = (
        "avoid",
        "fitting",
        "hopeless",
        "key",
        "labels",
        "own",
        "pack",
        "plain",
        "seen",
        "shared",
        "slots",
        "stale",
        "waiting",
    )

    def __init__(self, slots: int, needs: Needs, own: Amounts, shared: Amounts, pack: bool) -> None:
        self.key = (slots, needs)
        self.slots = slots
        self.own = own
        self.shared = shared
        self.labels = needs.labels
        self.avoid = needs.avoid
        self.pack = pack
        self.plain = not (own or shared or needs.labels or needs.avoid)
        self.fitting = FreeHosts()
        """not for plain ones: hosts that fit, but for those that are marked"""
        self.stale: dict[str, None] = {}
        """not for plain ones: hosts that changed since they were looked at, and before the list of changes begins"""
        self.seen = 0
        """not for plain ones: so many of the list of changes were looked at"""
        self.waiting = 0
        """not for plain ones: jobs that wait"""
        self.hopeless = False
        """not one host would do, were it empty: found when one was looked for, until the hosts change"""

    def could(self, host: Host) -> bool:
        """Whether the host would do if nothing ran there."""
        return (
            host.slots >= self.slots
            and (not self.own or host.stock.could(self.own))
            and (not self.labels or all(label in host.labels for label in self.labels))
            and host.name not in self.avoid
        )

    def fits(self, host: Host) -> bool:
        """Whether the host has what it takes free, its state and what the cluster shares aside."""
        return host.free >= self.slots and self.fits_but_for_slots(host)

    def fits_but_for_slots(self, host: Host) -> bool:
        """The same for a host whose slots become free in a moment."""
        return (
            host.slots >= self.slots
            and (not self.own or host.stock.has(self.own))
            and (not self.labels or all(label in host.labels for label in self.labels))
            and host.name not in self.avoid
        )


UNSHAPED = Shape(1, NO_NEEDS, (), (), False)
"""Of an attempt that never stood in the queue of this controller."""


class Shapes:
    """All shapes, and the hosts that take work."""

    def __init__(self, hosts: dict[str, Host], shared: Stock, place: Place) -> None:
        self.free = FreeHosts()
        """hosts that take work, with their free slots"""
        self.ahead = FreeHosts()
        """those of them that may have more than their slots, with how many more (`ahead.py`)"""
        self.shared = shared
        self.held_back: dict[str, Shape | None] = {}
        """resources of the cluster that are for one shape alone, or for nobody in the queue (`reserving.py`)"""
        self._hosts = hosts
        self._pack = place is Place.PACK
        self._plain: dict[tuple[int, bool], Shape] = {}
        self._special: dict[tuple[int, Needs], Shape] = {}
        self._idle: dict[tuple[int, Needs], None] = {}
        """special shapes of which no job waits, the one that is so for longest first"""
        self._changes: list[str] = []
        """hosts in the order in which they changed, perhaps several times; each special shape knows how far it has
        looked. (A mark of each change in each shape costs ten times as much, and more where hosts are many: then each
        mark is a new one, and no cache holds the marks of 50 shapes.)"""

    def of(self, slots: int, needs: Needs | None) -> Shape | None:
        """The shape of a job, made when it is the first of it. None: there are too many."""
        if needs is None:
            shape = self._plain.get((slots, self._pack))
            return self._plain_one(slots, self._pack) if shape is None else shape
        if needs.gpus:
            needs = Needs(needs.resources, needs.labels, needs.avoid, needs.place)
        pack = self._pack if needs.place is None else needs.place is Place.PACK
        if not (needs.resources or needs.labels or needs.avoid):
            return self._plain_one(slots, pack)
        key = (slots, needs)
        shape = self._special.get(key)
        if shape is None:
            if len(self._special) >= SHAPES_MAX and not self._drop_one():
                return None
            shape = self._special[key] = Shape(slots, needs, *self.split(needs.resources), pack)
            shape.stale = dict.fromkeys(self.free.names())
            shape.seen = len(self._changes)
        return shape

    @property
    def is_full(self) -> bool:
        """Whether there is no room for one more."""
        return len(self._special) >= SHAPES_MAX and not self._idle

    def _plain_one(self, slots: int, pack: bool) -> Shape:
        shape = self._plain.get((slots, pack))
        if shape is None:
            shape = self._plain[slots, pack] = Shape(slots, NO_NEEDS, (), (), pack)
        return shape

    def _drop_one(self) -> bool:
        if not self._idle:
            return False
        key = next(iter(self._idle))
        del self._idle[key], self._special[key]
        return True

    def waits(self, shape: Shape) -> None:
        """One more job of it waits. Not for plain ones."""
        shape.waiting += 1
        self._idle.pop(shape.key, None)

    def leaves(self, shape: Shape) -> None:
        """One of its jobs waits no more. Not for plain ones."""
        shape.waiting -= 1
        if not shape.waiting:
            self._idle[shape.key] = None

    def split(self, resources: Amounts) -> tuple[Amounts, Amounts]:
        """What of it is a host's own, and what the cluster shares."""
        total = self.shared.total
        if not total:
            return resources, ()
        own = tuple([each for each in resources if each[0] not in total])
        return own, tuple([each for each in resources if each[0] in total])

    # hosts

    def changed(self, host: str, free: int, ahead: int = 0) -> None:
        """The host has so many free slots for work, 0: it takes none; its resources may be others as well. `ahead`:
        how much more than its slots it may get."""
        self.free.set(host, free)
        if ahead or self.ahead.most:
            self.ahead.set(host, ahead)
        if self._special:
            self._changes.append(host)
            if len(self._changes) >= CHANGES_KEPT:
                self._begin_anew()

    def _begin_anew(self) -> None:
        """Give each shape the changes that it has not looked at, and begin the list anew."""
        for shape in self._special.values():
            shape.stale.update(dict.fromkeys(self._changes[shape.seen :]))
            shape.seen = 0
        self._changes.clear()

    def hosts_changed(self) -> None:
        """Hosts came, went or have other resources: what was hopeless may be no more."""
        for shapes in (self._plain, self._special):
            for shape in shapes.values():
                shape.hopeless = False

    def fits(self, shape: Shape, name: str) -> bool:
        """Whether this host can take one now."""
        if shape.plain:
            return self.free.free(name) >= shape.slots
        return (
            self.free.free(name) > 0 and shape.fits(self._hosts[name]) and (not shape.shared or self._has_shared(shape))
        )

    def lacks_slots(self, shape: Shape, host: Host) -> bool:
        """Whether a job of this shape could go to the host if slots became free there."""
        return shape.fits_but_for_slots(host) and (not shape.shared or self._has_shared(shape))

    def _has_shared(self, shape: Shape) -> bool:
        if self.held_back and any(self.held_back.get(name, shape) is not shape for name, _ in shape.shared):
            return False
        return self.shared.has(shape.shared)

    def able(self, shape: Shape) -> bool:
        """Whether some host can take one now."""
        if shape.plain:
            return self.free.most >= shape.slots
        if shape.shared and not self._has_shared(shape):
            return False
        if shape.stale or shape.seen < len(self._changes):
            self._look(shape)
        return shape.fitting.most > 0

    def choose(self, shape: Shape) -> str:
        """The host for one. Only if the shape is able."""
        hosts = self.free if shape.plain else shape.fitting
        return hosts.fullest(shape.slots) if shape.pack else hosts.freest()

    def _look(self, shape: Shape) -> None:
        """Bring the hosts that fit up to date. Of those with equally many free slots the one that changed first since
        the last look stands first."""
        free, fitting = self.free, shape.fitting
        if free.has_several:
            changed = [*shape.stale, *self._changes[shape.seen :]]
            gone, come = fitting.those_of(changed), list(dict.fromkeys(free.those_of(changed)))
        else:  # of whatever has changed at most this one is left, so there is no order to be found out
            gone, come = fitting.names(), free.names()
        shape.seen = len(self._changes)
        if shape.stale:
            shape.stale = {}
        for name in gone:
            if not free.free(name):
                fitting.set(name, 0)
        for name in come:
            fitting.set(name, free.free(name) if shape.fits(self._hosts[name]) else 0)
