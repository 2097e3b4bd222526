"""The world around one Agent machine: its spool, its keepers, and the files that it waits for.

`AgentHost` makes the machine, carries out what it asks for (all but `Transmit`, which needs a link), and posts what
happens. Who drives the machine is another matter: `live/agent_turns.py` in an agent's own program, the turns of the
server for its `local` agent. Decides nothing about jobs.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from live.agent_life import Life, begin_life
from live.clock import boottime_ns
from live.keepers import Keepers
from live.looks import Looks
from live.scratch_room import ScratchRoom
from live.spool import AGENT_SPOOL, Spool, SpoolBusyError
from live.sweep import owner_of
from model.agent import Agent, AgentEvent
from model.channel import ChannelTimes
from model.effects import Effect, Look, Notice, ToKeeper
from model.events import KeeperDown, KeeperSaid, KeeperUp
from model.hosted_attempt import AttemptState
from model.job import SECOND
from model.keeper import KeeperMessage, Leave, Order

KEEPERS_MAX: Final = 2
"""Keepers of one host: two reach the rate at which the kernel starts processes (benchmarks/RESULTS.md)."""
SPOOL_PAUSE_SECONDS: Final = 0.05
"""How often a spool that another one is just leaving is tried."""


class Orders(Protocol):
    """What takes the orders for keepers (`live.keepers.Keepers`)."""

    def send(self, number: int, order: Order) -> None: ...


class AgentHost:
    """One host's parts, from `start` to `close`. Everything is called in the loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        name: str,
        slots: int,
        spool: Path,
        directory: Path,
        times: ChannelTimes,
        post: Callable[[AgentEvent], None],
        notice: Callable[[Notice], None],
        queue_max: int = 100_000,
        gives_back: bool = False,
    ) -> None:
        """`directory`: where relative paths of jobs start. `post(event)` brings an event to the machine, in a later
        turn (it may come before the machine is made). `notice` shows a sentence to people. `queue_max`,
        `gives_back`: see `Agent`."""
        self._name = name
        self._slots = slots
        self._path = spool
        self._directory = directory
        self._times = times
        self._post = post
        self._notice = notice
        self._queue_max = queue_max
        self._gives_back = gives_back
        self._looks = Looks(loop, directory, post)
        self._room = ScratchRoom(loop, spool, post, self._dirty)
        self._spool: Spool | None = None
        self._keepers: Keepers | None = None
        self._orders: Orders | None = None
        self.life: Life | None = None
        self.agent: Agent | None = None
        self.made: tuple[str, int, int, int, ChannelTimes, tuple[int, ...], int, int] | None = None
        """what the machine was made of"""

    async def start(self, wait_seconds: float = 0.0) -> Agent:
        """Own the spool, adopt or start the keepers, make the machine. `wait_seconds`: patience with another agent that
        is just leaving the spool. Raises SpoolError, KeeperError, LifeError, OSError; `close` follows in any case."""
        self._spool = spool = await own_spool(self._path, wait_seconds)
        self.life = life = begin_life(spool.path)
        self._orders = self._keepers = keepers = Keepers(
            spool,
            self._name,
            self._directory,
            min(self._slots, KEEPERS_MAX),
            on_message=self._keeper_said,
            on_up=lambda keeper: self._post(KeeperUp(keeper)),
            on_down=lambda keeper: self._post(KeeperDown(keeper)),
            on_trouble=lambda text: self._notice(Notice("warning", f"host {self._name}", text)),
        )
        await keepers.start()
        self.made = (
            self._name,
            life.epoch,
            boottime_ns(),
            self._slots,
            self._times,
            keepers.numbers,
            life.remembers,
            self._queue_max,
        )
        self.agent = Agent(*self.made, gives_back=self._gives_back)
        self._room.begin()
        return self.agent

    def _dirty(self) -> str:
        return "" if self.agent is None else self.agent.dirty

    def _keeper_said(self, keeper: int, message: KeeperMessage) -> None:
        self._post(KeeperSaid(keeper, message))

    def carry_out(self, effect: Effect) -> None:
        """Do what the machine asked for. Raises TypeError for what an Agent never asks for."""
        kind = type(effect)
        if kind is ToKeeper:
            assert self._orders is not None
            self._orders.send(effect.keeper, effect.order)  # type: ignore[union-attr]
        elif kind is Look:
            self._looks.look(effect)  # type: ignore[arg-type]
        elif kind is Notice:
            self._notice(effect)  # type: ignore[arg-type]
        else:
            raise TypeError(f"an agent's driver was asked for {kind.__name__}")

    @property
    def holds_nothing(self) -> bool:
        """No attempt is here, and no end waits to be acknowledged."""
        return self.agent is None or not (self.agent.attempts or self.agent.uplink.results)

    @property
    def is_busy(self) -> bool:
        """Whether an attempt is here that has not ended."""
        attempts = self.agent.attempts.values() if self.agent is not None else ()
        return any(attempt.state is not AttemptState.ENDED for attempt in attempts)

    @property
    def processes(self) -> tuple[int, ...]:
        """Ids of the keepers that are alive."""
        if self._keepers is None:
            return ()
        pids = (owner_of(self._path / f"keeper-{number}.lock") for number in self._keepers.numbers)
        return tuple(pid for pid in pids if pid is not None)

    async def dismiss_keepers(self, kill: bool, limit_seconds: float) -> bool:
        """Tell the keepers to go, once nothing runs and everything was forgotten, or (`kill`) with all that runs.
        False: not all were gone within the limit."""
        if self._keepers is None:
            return True
        processes = self.processes
        for number in self._keepers.numbers:
            self._keepers.send(number, Leave(kill))
        try:
            async with asyncio.timeout(limit_seconds):
                await self._keepers.gone()
                for process in processes:  # one that has said goodbye still takes a moment to end
                    await _ended(process)
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        """Let go of everything; keepers and jobs stay as they are."""
        self._looks.close()
        self._room.close()
        if self._keepers is not None:
            await self._keepers.close()
            self._keepers = self._orders = None
        if self._spool is not None:
            self._spool.close()
            self._spool = None


async def _ended(process: int) -> None:
    """Wait until a process has ended."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    try:
        pidfd = os.pidfd_open(process)
    except ProcessLookupError:
        return
    loop.add_reader(pidfd, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(pidfd)
        os.close(pidfd)


async def own_spool(path: Path, wait_seconds: float, kind: str = AGENT_SPOOL) -> Spool:
    """A spool of this kind, for which another agent that is just leaving is waited for. Raises SpoolError, OSError."""
    deadline = boottime_ns() + int(wait_seconds * SECOND)
    while True:
        try:
            return Spool(path, kind)
        except SpoolBusyError:
            if boottime_ns() >= deadline:
                raise
        await asyncio.sleep(SPOOL_PAUSE_SECONDS)
