"""What the scheduler asks for its alarms, answered from the simulated world: what is wrong outside of it, and messages.

What `live/scheduler_effects.py` and `live/notifying.py` do. Nobody is told anything: which messages would have been
sent is in the event log, as `AlarmTold`. Made by `sim/world.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from model.agent import Agent
from model.alarm_kinds import AlarmKind, Trouble, broken_host, host_troubles
from model.controller import Controller
from model.effects import LookAround, Notify
from model.events import LookedAround, Notified
from sim.calendar import REPLY, Calendar
from sim.node import Node
from sim.processes import CONTROLLER, LOCAL, Processes
from sim.scenario import node_of

NOTIFIER_NS = 1_000_000_000
"""How long a notifier takes to take a message; all of them take every one."""


class Place(Protocol):
    """What is needed of the world."""

    calendar: Calendar
    nodes: dict[str, Node]
    processes: Processes


class AlarmAnswers:
    """`effects`: who carries out what."""

    def __init__(self, place: Place) -> None:
        self.effects: dict[type, Callable[[Node, Any], None]] = {LookAround: self._look_around, Notify: self._notify}
        self._place = place

    def _look_around(self, node: Node, effect: LookAround) -> None:
        self._answer(node, 0, lambda: LookedAround(effect.number, *self._outside(node)))

    def _outside(self, node: Node) -> tuple[tuple[Trouble, ...], tuple[str, ...] | None]:
        """What is wrong with the hosts, and with the scheduler's own computer and disk; and of what nobody knows."""
        controller, own = self._place.nodes[CONTROLLER], self._own_troubles(node)
        if not controller.running or not isinstance(controller.machine, Controller):
            return own, None
        troubles, unsure = host_troubles(controller.machine.hosts.values())
        return (*troubles, *own), tuple(unsure)

    def _own_troubles(self, node: Node) -> tuple[Trouble, ...]:
        """Of the computer on which the scheduler runs."""
        found: list[Trouble] = []
        local = self._place.nodes[node_of(LOCAL, node.name.partition("/")[2])].machine
        if isinstance(local, Agent) and local.dirty:
            found.append(broken_host(LOCAL, local.dirty))
        disk = self._place.processes.disks.get(node.name)
        if disk is not None and (disk.full or disk.stuck):
            text = "the disk is full" if disk.full else "the disk does not answer"
            found.append(Trouble(AlarmKind.DISK_FULL, "disk", text))
        return tuple(found)

    def _notify(self, node: Node, effect: Notify) -> None:
        self._answer(node, NOTIFIER_NS, lambda: Notified(effect.notifier, effect.number))

    def _answer(self, node: Node, delay_ns: int, answer: Callable[[], object]) -> None:
        """For the same life only."""
        life = node.epoch
        self._place.calendar.call_after(delay_ns, REPLY, lambda: node.receive(answer()) if node.epoch == life else None)
