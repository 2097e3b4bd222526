"""Which machines live in one server process, the disk under its journals, and what the process does when that fails.

Where no disk is modelled a commit is durable at once, and each of scheduler and controller is a process of its own. At
a full disk happens what `live/server.py` does: intake stops, and resumes by itself. Owned by `sim/world.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from model.events import IntakeVerb, OrderIntake
from model.scheduler import Scheduler
from sim.calendar import REPLY, Calendar
from sim.crashes import Crashes
from sim.disk import RETRY_NS, Disk, Write
from sim.keyed import Draws
from sim.network import Network
from sim.node import Node
from sim.scenario import DiskModel
from sim.system import System

LOCAL = "local"
CONTROLLER = "controller"
SCHEDULER = "scheduler"
DISK_FULL = "disk full"
DISK_HANGS = "the disk does not answer"
"""Why the intake is stopped, as live."""
"""The reason of the stop that a full disk makes, as live."""


class Place(Protocol):
    """What processes need of the world."""

    calendar: Calendar
    crashes: Crashes
    network: Network
    nodes: dict[str, Node]
    systems: dict[str, System]

    def stop_node(self, name: str, reason: str, unacknowledged: bool = False) -> None: ...

    def start_node(self, name: str) -> None: ...


class Processes:
    """The server processes of one world."""

    def __init__(self, place: Place, model: DiskModel | None, pairs: Sequence[tuple[str, str]]) -> None:
        """`pairs`: each scheduler, and its own computer, whose agent lives in its process."""
        self.model = model
        self.disks: dict[str, Disk] = {}
        """by machine; empty: a commit is durable at once"""
        self._place = place
        self._schedulers = [scheduler for scheduler, _ in pairs]
        apart = {machine: pair for pair in pairs for machine in pair}
        together = (SCHEDULER, CONTROLLER, LOCAL)
        one = model is not None and model.one_process and len(pairs) == 1
        self._members = dict.fromkeys(together, together) if one else apart

    def of(self, name: str) -> tuple[str, ...]:
        """The machines that live in one process with this one; the first names the process. The agent of the
        scheduler's own computer lives in the scheduler's process, as the controller may."""
        return self._members.get(name, (name,))

    @property
    def inside(self) -> tuple[tuple[str, str], ...]:
        """(sender, receiver) whose words do not leave their process, where that makes a difference."""
        groups = [self.of(name) for name in self._schedulers] if self.model is not None else []
        return tuple((one, other) for group in groups for one in group for other in group if one != other)

    def add_disks(self, seed: int, write: Write, carry_out: Callable[[Node, Sequence[Any]], None]) -> None:
        """All nodes are there: give each process its disk, if disks are modelled."""
        if self.model is None:
            return
        place, draws = self._place, Draws(seed, "disk")
        for name in dict.fromkeys(self.of(name)[0] for name in (*self._schedulers, CONTROLLER)):
            nodes = tuple(place.nodes[one] for one in self.of(name))
            disk = Disk(name, nodes, self.model, draws, place.calendar, place.crashes, write, carry_out)
            disk.receiver_of = lambda name, peer: place.nodes[name].ways[peer].receiver.name
            disk.on_stuck, disk.on_broken = self._on_stuck, self._on_broken
            self.disks |= dict.fromkeys(self.of(name), disk)

    # lives

    def stop(self, name: str, reason: str, *, unacknowledged: bool = False, kept: int = 0) -> None:
        """A process is gone: all its machines at once, and what its disk had not synced but for the first `kept`
        records. `unacknowledged`: see `sim/scenario.py`."""
        if name in self.disks:
            self.disks[name].crash(kept)
        for one in reversed(self.of(name)):
            if self._place.nodes[one].machine is not None:
                self._place.stop_node(one, reason, unacknowledged)

    def start(self, name: str) -> None:
        """A new life of those of its machines that are gone and have power."""
        members, systems = self.of(name), self._place.systems
        gone = [one for one in members if self._place.nodes[one].machine is None]
        if name in self.disks and members[0] in gone:
            self.disks[name].begin()
        for one in gone:
            if one not in systems or not systems[one].off:
                self._place.start_node(one)

    # disks

    def _on_stuck(self, disk: Disk) -> None:
        scheduler = next((node for node in disk.nodes if isinstance(node.machine, Scheduler)), None)
        if scheduler is None or not isinstance(scheduler.machine, Scheduler):
            return
        if scheduler.machine.orders.paused:
            return
        life = scheduler.epoch
        why = DISK_FULL if disk.full else DISK_HANGS
        scheduler.receive(OrderIntake(0, IntakeVerb.PAUSE, why))
        self._place.calendar.call_after(RETRY_NS, REPLY, lambda: self._look_for_room(disk, scheduler, life))

    def _look_for_room(self, disk: Disk, scheduler: Node, life: int) -> None:
        machine = scheduler.machine
        if scheduler.epoch != life or not isinstance(machine, Scheduler):
            return
        if disk.stuck or disk.full:
            self._place.calendar.call_after(RETRY_NS, REPLY, lambda: self._look_for_room(disk, scheduler, life))
        else:
            scheduler.receive(OrderIntake(0, IntakeVerb.CONTINUE))

    def _on_broken(self, disk: Disk) -> None:
        """The process leaves, and its journal stays as it is."""
        self.stop(disk.name, f"connection reset: the disk of the {disk.name} has failed")
