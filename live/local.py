"""The server's own host: its spool, its keepers and the Agent machine that the server drives in its own turns.

Used by `live/server.py`. On other hosts the same parts are `live/agent_program.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

from live.agent_life import begin_life
from live.clock import boottime_ns
from live.keepers import Keepers
from live.looks import Looks
from live.spool import Spool
from live.sweep import owner_of
from model.agent import Agent, AgentEvent
from model.configuration import ClusterDefinition
from model.effects import Look, Notice, ToKeeper
from model.events import KeeperDown, KeeperSaid, KeeperUp
from model.hosted_attempt import AttemptState
from model.job import LOCAL
from model.keeper import Leave

KEEPERS_MAX = 2
"""Two keepers reach what the kernel can start (PERFORMANCE)."""


class LocalAgent:
    """The parts of the local host, from start to leaving."""

    def __init__(
        self,
        path: Path,
        directory: Path,
        cluster: ClusterDefinition,
        post: Callable[[AgentEvent], None],
        notice: Callable[[Notice], None],
    ) -> None:
        """`path`: the spool. `directory`: where relative paths of jobs start. `post`: an event for the machine."""
        self._path = path
        self._directory = directory
        self._cluster = cluster
        self._post = post
        self._notice = notice
        self._spool: Spool | None = None
        self._keepers: Keepers | None = None
        self._looks: Looks | None = None
        self.agent: Agent | None = None

    async def start(self, loop: asyncio.AbstractEventLoop) -> Agent:
        """Own the spool, start or adopt the keepers, make the machine. Raises SpoolError, KeeperError, LifeError."""
        self._path.mkdir(mode=0o700, exist_ok=True)
        self._spool = spool = Spool(self._path)
        life = begin_life(self._path)
        cluster, post = self._cluster, self._post
        self._looks = Looks(loop, self._directory, post)
        self._keepers = keepers = Keepers(
            spool,
            LOCAL,
            self._directory,
            min(cluster.local_slots, KEEPERS_MAX),
            on_message=lambda keeper, message: post(KeeperSaid(keeper, message)),
            on_up=lambda keeper: post(KeeperUp(keeper)),
            on_down=lambda keeper: post(KeeperDown(keeper)),
            on_trouble=lambda text: self._notice(Notice("warning", f"host {LOCAL}", text)),
        )
        self.agent = Agent(
            LOCAL,
            life.epoch,
            boottime_ns(),
            cluster.local_slots,
            cluster.local_times,
            keepers.numbers,
            life.remembers,
            cluster.pending_local_max,
        )
        await keepers.start()
        return self.agent

    def carry_out(self, effect: ToKeeper | Look) -> None:
        """Do what the machine asked for."""
        if isinstance(effect, ToKeeper):
            assert self._keepers is not None
            self._keepers.send(effect.keeper, effect.order)
        else:
            assert self._looks is not None
            self._looks.look(effect)

    @property
    def processes(self) -> tuple[int, ...]:
        """Ids of the keepers that are alive."""
        if self._keepers is None:
            return ()
        pids = (owner_of(self._path / f"keeper-{number}.lock") for number in self._keepers.numbers)
        return tuple(pid for pid in pids if pid is not None)

    @property
    def is_busy(self) -> bool:
        """Whether an attempt is here that has not ended."""
        attempts = self.agent.attempts.values() if self.agent is not None else ()
        return any(attempt.state is not AttemptState.ENDED for attempt in attempts)

    async def leave(self, kill: bool, limit_seconds: float) -> None:
        """Tell the keepers to go, when nothing runs and everything was forgotten, or (`kill`) with all that runs; they
        get `limit_seconds` for it."""
        if self._keepers is None:
            return
        for keeper in self._keepers.numbers:
            self._keepers.send(keeper, Leave(kill))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_seconds):
                await self._keepers.gone()

    async def close(self) -> None:
        """Let go; keepers stay as they are."""
        if self._looks is not None:
            self._looks.close()
        if self._keepers is not None:
            await self._keepers.close()
        if self._spool is not None:
            self._spool.close()
            self._spool = None
