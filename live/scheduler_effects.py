"""What the scheduler, its local agent and its scripts want of the world: sources, notifiers, keepers, script runs.

Made by `live/server.py`; its table of handlers goes to `live/outward.py`.
"""

from __future__ import annotations

import asyncio
from typing import Any

from live.agent_host import AgentHost
from live.clock import wall_ns
from live.loop import Turns
from live.outward import Outward
from live.sources import Notifiers, Sources
from model.behaviour import Reaction, Skip
from model.effects import AskSource, Idle, Look, Notice, Prepare, React, ToKeeper
from model.events import Prepared, Reacted

NO_SCRIPTS = "this server runs no scripts"


class SchedulerEffects:
    """Everything is called in the loop."""

    def __init__(
        self, outward: Outward, turns: Turns, local: AgentHost, sources: Sources, notifiers: Notifiers
    ) -> None:
        self._outward = outward
        self._turns = turns
        self._local = local
        self._sources = sources
        self._notifiers = notifiers
        self.idle = asyncio.Event()
        """the scheduler has said all that it had to say before it ends"""
        outward.notify = self._notify
        outward.add(
            {
                AskSource: self._ask_source,
                Idle: self._idle,
                Look: self._to_keeper,
                Prepare: self._prepare,
                React: self._react,
                ToKeeper: self._to_keeper,
            }
        )

    async def _notify(self, notice: Notice) -> str:
        return await self._notifiers.tell(notice, wall_ns())

    def _ask_source(self, machine: str, effect: AskSource) -> None:
        self._outward.start(self._asked(machine, effect))

    async def _asked(self, machine: str, effect: AskSource) -> None:
        self._turns.post(machine, await self._sources.answer(effect))

    def _idle(self, machine: str, effect: Idle) -> None:
        self.idle.set()

    def _to_keeper(self, machine: str, effect: Any) -> None:
        self._local.carry_out(effect)

    # a server with scripts passes these on to their machine (`scripts.inward`)

    def _prepare(self, machine: str, effect: Prepare) -> None:
        self._turns.post(machine, Prepared(effect.task, effect.number, Skip(NO_SCRIPTS), NO_SCRIPTS))

    def _react(self, machine: str, effect: React) -> None:
        self._turns.post(machine, Reacted(effect.job, effect.attempt, Reaction(), NO_SCRIPTS))
