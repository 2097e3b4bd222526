"""A host as the controller sees it: its state, its link, what it holds, and when to try it again.

Which job goes to which host is decided in `matching.py`; what becomes of jobs when a host changes, in `controller.py`.
"""

from __future__ import annotations

from enum import Enum
from itertools import islice

from model.ahead import Lead
from model.channel import ChannelTimes, LinkState
from model.downlink import Downlink
from model.health import HostHealth
from model.resources import GPUS, Amounts, Stock
from model.states import State, quick
from model.timers import NEVER_NS


class HostState(State):
    """OFF by a person; DOWN: no connection; CONNECTING: being tried or asked what it holds; UP: gets work; SILENT:
    connected, not answering; DRAINING: finishes what it has, takes nothing; ASIDE: jobs failed there in a row, so it
    takes nothing for a while (`health.py`)."""

    OFF = "off"
    DOWN = "down"
    CONNECTING = "connecting"
    UP = "up"
    SILENT = "silent"
    DRAINING = "draining"
    ASIDE = "aside"


_H = quick(HostState)
_L = quick(LinkState)
HOST_MOVES: dict[HostState, frozenset[HostState]] = {
    _H.OFF: frozenset({_H.CONNECTING}),
    _H.DOWN: frozenset({_H.CONNECTING, _H.OFF}),
    _H.CONNECTING: frozenset({_H.UP, _H.ASIDE, _H.DRAINING, _H.SILENT, _H.DOWN, _H.OFF}),
    _H.UP: frozenset({_H.ASIDE, _H.DRAINING, _H.SILENT, _H.CONNECTING, _H.DOWN, _H.OFF}),
    _H.SILENT: frozenset({_H.CONNECTING, _H.DOWN, _H.OFF}),
    _H.DRAINING: frozenset({_H.UP, _H.SILENT, _H.CONNECTING, _H.DOWN, _H.OFF}),
    _H.ASIDE: frozenset({_H.UP, _H.DRAINING, _H.SILENT, _H.CONNECTING, _H.DOWN, _H.OFF}),
}
"""A host leaves the table by `host delete`, from OFF or DOWN; by itself from OFF when nobody wants it any more."""


class HostOrder(Enum):
    """What a person wants of a host."""

    ON = "on"
    DRAIN = "drain"
    OFF = "off"


_ON = HostOrder.ON


class Host:
    """One host. `free` counts slots that are not given out, whatever the state; below 0: jobs were given ahead
    (`ahead.py`), or it has fewer slots than before."""

    __slots__ = (
        "backoff_ns",
        "dirty",
        "done",
        "failed",
        "free",
        "gpus_used",
        "health",
        "holding",
        "labels",
        "lead",
        "leaves",
        "link",
        "name",
        "next_try_ns",
        "order",
        "order_reason",
        "overrun_ns",
        "pressure_ns",
        "pressure_until_ns",
        "provisional",
        "reason",
        "since_ns",
        "slots",
        "state",
        "stock",
        "threads",
        "tries",
        "up_since_ns",
    )

    def __init__(self, name: str, slots: int, epoch: int, times: ChannelTimes, now: int) -> None:
        self.name = name
        self.slots = slots
        self.free = slots
        self.holding = 0
        """attempts that were given to it and are not forgotten"""
        self.link = Downlink(name, epoch, times, now)
        self.state = HostState.OFF
        self.since_ns = now
        self.reason = ""
        """why it is in its state, for people"""
        self.order = HostOrder.ON
        self.order_reason = ""
        self.tries = 0
        """attempts to connect that failed since it was last up"""
        self.backoff_ns = 0
        self.next_try_ns: int | None = None
        self.up_since_ns: int | None = None
        self.dirty = ""
        self.pressure_ns = 0
        self.pressure_until_ns = 0
        """until when it gets nothing, because starts failed there for want of room"""
        self.done = 0
        self.failed = 0
        self.overrun_ns = NEVER_NS
        """when the first of its attempts should have been ended, or before that; `NEVER_NS`: none runs with a limit"""
        self.threads = 1
        """what `job.THREADS_WORD` stands for here"""
        self.leaves = False
        """nobody wants it any more: it is forgotten when it is off"""
        self.provisional = False
        """nobody in this life has defined it yet; it is there for attempts of an earlier one"""
        self.stock = Stock()
        """the resources that it is declared to have"""
        self.labels: tuple[str, ...] = ()
        self.gpus_used: dict[int, int] = {}
        """indices of GPUs that are given out, and to how many: after a restart also to such as ended meanwhile"""
        self.health = HostHealth()
        self.lead = Lead()

    def resize(self, slots: int, now: int) -> None:
        """It has so many slots from now on; more attempts than that end as they would."""
        self.free += slots - self.slots
        self.slots = slots
        self.link.resize(slots, now)

    def declare(self, resources: Amounts, labels: tuple[str, ...]) -> None:
        """It has these resources and labels from now on."""
        self.stock.resize(resources)
        self.labels = labels

    def choose_gpus(self, count: int) -> tuple[int, ...]:
        """GPUs for a job: those with the lowest indices that nobody has."""
        free = (index for index in range(self.stock.total.get(GPUS, 0)) if index not in self.gpus_used)
        return tuple(islice(free, count))

    def take_gpus(self, indices: tuple[int, ...]) -> None:
        """A job has these GPUs."""
        for index in indices:
            self.gpus_used[index] = self.gpus_used.get(index, 0) + 1

    def give_back_gpus(self, indices: tuple[int, ...]) -> None:
        """A job has them no longer."""
        for index in indices:
            self.gpus_used[index] -= 1
            if not self.gpus_used[index]:
                del self.gpus_used[index]

    @property
    def busy(self) -> int:
        """Slots that are in use: those that are given out, but for what was given ahead."""
        return max(self.lead.long, self.slots - max(0, self.free))

    @property
    def room_ahead(self) -> int:
        """Slots' worth of brief jobs that may be given to it beyond its slots, its state aside."""
        if not self.link.gives_back or self.health.why:
            return 0
        return self.lead.room(self.slots, self.free)

    def takes_work(self, now: int) -> bool:
        """Whether a job may be given to it now, slots and resources aside."""
        return self.state is _H.UP and not self.dirty and now >= self.pressure_until_ns and not self.health.closed

    def state_by_link(self) -> HostState:
        """The state that link and order make, while there is a connection."""
        link = self.link.state
        if link is _L.OPEN:
            if self.order is not _ON:
                return _H.DRAINING
            return _H.ASIDE if self.health.aside else _H.UP
        if link is _L.SILENT:
            return _H.SILENT
        return _H.CONNECTING

    def wait_before_next_try(self, first_ns: int, cap_ns: int, chance: float, now: int) -> int:
        """Exponential back-off with up to a quarter of jitter; starts anew only after the host was up for `cap_ns`,
        so a host that flaps gets ever longer pauses."""
        if self.up_since_ns is not None and now - self.up_since_ns >= cap_ns:
            self.backoff_ns = 0
        self.backoff_ns = min(cap_ns, 2 * self.backoff_ns) if self.backoff_ns else first_ns
        return self.backoff_ns + int(self.backoff_ns * chance / 4)
