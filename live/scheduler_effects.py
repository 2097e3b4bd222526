"""What the scheduler, its local agent and its scripts want of the world: sources, notifiers, keepers, script runs.

Made by `live/server.py`; its table of handlers goes to `live/outward.py`.
"""

from __future__ import annotations

import asyncio
from typing import Any

from live.agent_host import AgentHost
from live.controller_side import ControllerSide
from live.disk_room import DiskRoom
from live.loop import Turns
from live.notifying import Notifying
from live.outward import Outward
from live.sources import Sources, answered
from model.alarm_kinds import AlarmKind, Trouble, broken_host, host_troubles, row_troubles
from model.behaviour import Reaction, Skip
from model.effects import AskSource, Idle, Look, LookAround, Notify, Prepare, React, ToKeeper
from model.events import LookedAround, Prepared, Reacted
from model.job import LOCAL

NO_SCRIPTS = "this server runs no scripts"


class SchedulerEffects:
    """Everything is called in the loop."""

    def __init__(
        self,
        outward: Outward,
        turns: Turns,
        local: AgentHost,
        sources: Sources,
        notifying: Notifying,
        side: ControllerSide,
        room: DiskRoom,
    ) -> None:
        self._outward = outward
        self._turns = turns
        self._local = local
        self._sources = sources
        self._notifying = notifying
        self._side = side
        self._room = room
        self.idle = asyncio.Event()
        """the scheduler has said all that it had to say before it ends"""
        outward.add(
            {
                AskSource: self._ask_source,
                Idle: self._idle,
                Look: self._to_keeper,
                LookAround: self._look_around,
                Notify: self._notify,
                Prepare: self._prepare,
                React: self._react,
                ToKeeper: self._to_keeper,
            }
        )

    def _notify(self, machine: str, effect: Notify) -> None:
        self._outward.start(self._notifying.notify(effect))

    def _look_around(self, machine: str, effect: LookAround) -> None:
        self._outward.start(self._looked_around(machine, effect))

    async def _looked_around(self, machine: str, effect: LookAround) -> None:
        """What is wrong with hosts and the disk, wherever the controller is."""
        told = await self._side.told()
        unsure: list[str] | None
        if told is None:
            troubles, unsure = host_troubles(self._side.machine.hosts.values())
        elif told.pid:
            troubles, unsure = row_troubles(told.hosts)
            if told.disk:
                troubles.append(Trouble(AlarmKind.DISK_FULL, "disk of the controller", f"controller: {told.disk}"))
        else:
            troubles, unsure = [], None  # it does not answer
        if self._local.agent is not None and self._local.agent.dirty:
            troubles.append(broken_host(LOCAL, self._local.agent.dirty))
        if self._room.text:
            troubles.append(Trouble(AlarmKind.DISK_FULL, "disk", self._room.text))
        found = LookedAround(effect.number, tuple(troubles), None if unsure is None else tuple(unsure))
        self._turns.post(machine, found)

    def _ask_source(self, machine: str, effect: AskSource) -> None:
        self._outward.when_done(
            self._sources.ask(effect), lambda looked: self._turns.post(machine, answered(effect, looked))
        )

    def _idle(self, machine: str, effect: Idle) -> None:
        self.idle.set()

    def _to_keeper(self, machine: str, effect: Any) -> None:
        self._local.carry_out(effect)

    # a server with scripts passes these on to their machine (`scripts.inward`)

    def _prepare(self, machine: str, effect: Prepare) -> None:
        self._turns.post(machine, Prepared(effect.task, effect.number, Skip(NO_SCRIPTS), NO_SCRIPTS))

    def _react(self, machine: str, effect: React) -> None:
        self._turns.post(machine, Reacted(effect.job, effect.attempt, Reaction(), NO_SCRIPTS))
