"""Rooms: what the controller has given to which host, as the log tells it, and who waits for a room.

Judges the capacity of what is given, that a closed host gets nothing, and that nobody waits where there is room: an
attempt that the controller has accepted is given out while a host that it may go to can take it. So a preferred host
is waited for no longer than the job says. Owned by `sim/oracle.py`, which reads the log; asks no machine.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from msgspec import Struct

from model.ahead import AHEAD_MAX
from model.job import AttemptKey, HostWish
from model.records import SET_ASIDE, WELL, HostChanged
from sim.log import FaultChanged, Header
from sim.paths import LOCAL, Paths

_ROOM_NS = 12 * 10**9
"""For so long a room may stay empty, besides the controller's own back-off: what a host said is on its way, is said
again once, and what the controller decided waits for the disk."""
STANDS_STILL = frozenset({"disk_full", "disk_hangs"})
"""Faults in which a process records nothing."""
_NO_ROOM = frozenset({"full", "overloaded"})
"""Faults of a host that takes nothing new."""

Broken = Callable[[str, str], None]


class _Waiting(Struct):
    """An attempt in the controller's queue. Times are true ns."""

    since_ns: int
    wish: HostWish
    slots: int


class _Host:
    """What the log tells of one host. `slots`: -1: nobody has said. `used`: of what was given and is not known to be
    over."""

    __slots__ = ("again", "ahead", "aside", "closed", "faults", "held", "over", "risen_ns", "slots", "used")

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.held: dict[AttemptKey, int] = {}
        self.ahead: dict[AttemptKey, int] = {}
        """of these, what was given beyond its slots"""
        self.used = 0
        self.again: dict[AttemptKey, int] = {}
        """what it was handed once more, as it had not listed it: it may be over, and may take slots"""
        self.over: dict[AttemptKey, None] = {}
        """what it has said to be over while no record said that it was given, and what was not acknowledged yet"""
        self.closed = ""
        """the order of a person that keeps new work away"""
        self.aside = False
        """its health keeps it away, most of the time"""
        self.faults = 0
        self.risen_ns: dict[int, int] = {}
        """since when at least so many slots are free, as long as they are"""

    @property
    def free(self) -> int:
        """Slots that are certainly free."""
        return self.slots - self.used - sum(self.again.values())


class Rooms:
    """See the head of this file. Every `t` is true time in ns."""

    def __init__(self, broken: Broken, paths: Paths) -> None:
        self._broken = broken
        self._paths = paths
        self._hosts: dict[str, _Host] = {}
        self._roomy: dict[str, int] = {}
        """hosts with a free slot that take work, in order of since when"""
        self._waiting: dict[AttemptKey, _Waiting] = {}
        self._patience_ns: int | None = None
        """None: who waits is not judged"""
        self._disks_full = 0
        self._disk_ns = 0
        """when the last journal had room again"""
        self._filled: dict[str, None] = {}
        """hosts that were given something at the instant `_filled_ns`, and were not looked at since"""
        self._filled_ns = 0
        self._crashed_ns = -1
        """when the controller's process was last gone"""

    # the frame

    def header(self, line: Header) -> None:
        for name, slots in line.slots.items():
            if name != LOCAL:
                self.resize(0, name, slots)
        if line.backoff_ns and not line.strict:  # in strict order one that waits keeps back all behind it
            self._patience_ns = line.backoff_ns + _ROOM_NS

    def resize(self, t: int, name: str, slots: int) -> None:
        host = self._host(name)
        free = host.free
        host.slots = slots
        self._changed(t, name, host, free)

    def fault(self, line: FaultChanged, gone: bool) -> None:
        """`gone`: the fault ends a server process."""
        if gone and line.on:
            self._crashed_ns = line.t
        elif line.kind in STANDS_STILL:
            self._disks_full += 1 if line.on else -1
            self._disk_ns = line.t
        elif line.kind in _NO_ROOM:
            host = self._host(line.nodes[0])
            host.faults += 1 if line.on else -1
            self._look(line.t, line.nodes[0], host)

    def link_changed(self, t: int, name: str) -> None:
        """The way from the controller to this host is whole now, or no more."""
        if name in self._hosts:
            self._look(t, name, self._hosts[name])

    def controller_began(self) -> None:
        """A new life of the controller: its queue is empty, and it is told all ends again."""
        self._waiting.clear()
        for host in self._hosts.values():
            host.over.clear()

    def finish(self, t: int) -> None:
        self.look_at_filled()
        for key in list(self._waiting):
            self.leave(t, key)

    # what hosts hold

    def _host(self, name: str) -> _Host:
        host = self._hosts.get(name)
        if host is None:
            host = self._hosts[name] = _Host(-1)
        return host

    def order(self, t: int, record: HostChanged) -> None:
        """A person has said whether a host may get work."""
        host = self._host(record.host)
        if record.verb in ("drain", "off"):
            host.closed = record.verb
        elif record.verb == "on":
            host.closed = ""
        elif record.verb in (SET_ASIDE, WELL):
            host.aside = record.verb == SET_ASIDE
        self._look(t, record.host, host)

    def give(self, t: int, key: AttemptKey, name: str, slots: int, ahead: bool = False) -> None:
        """The controller has recorded that it gives this attempt to this host."""
        self.leave(t, key)
        if t != self._filled_ns:
            self.look_at_filled()
            self._filled_ns = t
        host = self._host(name)
        if host.closed:
            self._broken("orders", f"attempt {key} was given to {name}, which has the order {host.closed}")
        free = host.free
        if key not in host.over:  # else it was over before the disk took the record that it was given
            host.used += slots - host.held.get(key, 0)
            host.held[key] = slots
            if ahead:
                host.ahead[key] = slots
        self._filled[name] = None
        self._changed(t, name, host, free)

    def look_at_filled(self) -> None:
        """At the end of an instant: in one turn of the controller what it gives is recorded before what it frees."""
        if not self._filled:
            return
        if self._crashed_ns == self._filled_ns:  # its last word on what is free was not said
            self._filled.clear()
        for name in self._filled:
            host = self._hosts[name]
            ahead = sum(host.ahead.values()) if host.ahead else 0
            if 0 <= host.slots < host.used - ahead:
                self._broken("capacity", f"{host.used - ahead} slots of {name} are given out, it has {host.slots}")
            if 0 <= (1 + AHEAD_MAX) * host.slots < ahead:
                self._broken("capacity", f"{ahead} slots of {name} are given ahead, it has {host.slots}")
        self._filled.clear()

    def pass_time(self, t: int) -> None:
        """Something is said at `t`."""
        if self._filled and t != self._filled_ns:
            self.look_at_filled()

    def free(self, t: int, name: str, key: AttemptKey) -> None:
        """The attempt is over there, or was judged lost."""
        host = self._hosts.get(name)
        if host is None or (key not in host.held and key not in host.again):
            return
        free = host.free
        host.used -= host.held.pop(key, 0)
        host.ahead.pop(key, None)
        host.again.pop(key, None)
        self._changed(t, name, host, free)

    def said_over(self, t: int, name: str, key: AttemptKey) -> None:
        """Its host has said that the attempt is over."""
        host = self._host(name)
        if key in host.held or key in host.again:
            self.free(t, name, key)
        else:
            host.over[key] = None

    def acknowledged(self, name: str, key: AttemptKey) -> None:
        """The controller has told the host that it knows that end."""
        if name in self._hosts:
            self._hosts[name].over.pop(key, None)

    def hand_again(self, t: int, name: str, key: AttemptKey, slots: int) -> None:
        """The controller hands it to the host, which may have it already."""
        host = self._hosts.get(name)
        if host is not None and key not in host.held:
            host.again[key] = slots
            self._look(t, name, host)

    def keep(self, t: int, name: str, keys: Collection[AttemptKey]) -> None:
        """An inventory: from now on the controller counts what is listed, at the most."""
        host = self._hosts.get(name)
        if host is None:
            return
        free = host.free
        host.held = {key: slots for key, slots in (host.held | host.again).items() if key in keys}
        host.ahead = {key: slots for key, slots in host.ahead.items() if key in host.held}
        host.used = sum(host.held.values())
        host.again.clear()
        self._changed(t, name, host, free)

    def _changed(self, t: int, name: str, host: _Host, free: int) -> None:
        """The host had `free` slots free before."""
        for number in range(max(0, free) + 1, host.free + 1):
            host.risen_ns[number] = t
        self._look(t, name, host)

    def _look(self, t: int, name: str, host: _Host) -> None:
        """Whether it takes work."""
        if host.free > 0 and not host.closed and not host.aside and not host.faults and self._paths.reaches(name):
            self._roomy.setdefault(name, t)
        else:
            self._roomy.pop(name, None)

    # who waits

    def wait(self, t: int, key: AttemptKey, wish: HostWish, slots: int) -> None:
        """The controller has said that the attempt waits in its queue."""
        if self._patience_ns is not None and key not in self._waiting:
            self._waiting[key] = _Waiting(t, wish, slots)

    def leave(self, t: int, key: AttemptKey) -> None:
        """The attempt waits no longer: it was given out, or is over. Was there room for it all the time?"""
        waiting = self._waiting.pop(key, None)
        if waiting is None or self._patience_ns is None or self._disks_full:
            return
        to_controller = self._paths.to_controller_ns
        if to_controller is None:
            return  # it may have left before; nobody could be told
        since = max(waiting.since_ns, to_controller, self._disk_ns)
        if t - since < self._patience_ns:
            return
        wish = waiting.wish
        if wish.name is not None:
            self._judge(t, key, wish.name, since, waiting)
        if not wish.required:
            for name in self._roomy:
                if not self._judge(t, key, name, since + wish.wait_ns, waiting):
                    return  # those that follow have had room for less long

    def _judge(self, t: int, key: AttemptKey, name: str, since: int, waiting: _Waiting) -> bool:
        """Whether it was worth looking: the host took work since long ago."""
        assert self._patience_ns is not None
        roomy_since = self._roomy.get(name)
        if roomy_since is None or t - max(since, roomy_since) < self._patience_ns:
            return False
        host = self._hosts[name]
        if host.free >= waiting.slots:
            room_ns = t - max(since, roomy_since, host.risen_ns.get(waiting.slots, 0))
            if room_ns >= self._patience_ns:
                waited_s, room_s = (t - waiting.since_ns) / 1e9, room_ns / 1e9
                self._broken("room", f"attempt {key} waited {waited_s} s, {name} had room for it for {room_s} s")
                return False
        return True
