"""An agent whose jobs cost nothing: the agent program as it is, but what it orders from its keepers is done at once.

`test_protocol_alone.py` has its servers start it in place of `live.agent_program`, so what is measured is all of ours
but the processes: scheduler, controller, journal, rpyc over a unix socket, agent. Its keeper says of each start that it
has ended well; it holds nothing, so nothing here outlives it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

from live.agent_host import own_spool
from live.agent_life import begin_life
from live.agent_program import Household, Settings, read_arguments, run_program
from live.clock import boottime_ns
from live.spool import Spool
from model.agent import Agent
from model.effects import Notice, ToKeeper
from model.events import KeeperSaid, KeeperUp
from model.job import Outcome, Report
from model.keeper import Exited, Holding, ListHeld, Start

KEEPER = 0
WENT_WELL = Report(Outcome.EXITED, 0, started=True, ran_for_ns=1)


class NullHost:
    """A `Household` without processes."""

    def __init__(self, settings: Settings, post: Callable[[Any], None]) -> None:
        self._settings = settings
        self._post = post
        self._spool: Spool | None = None
        self.agent: Agent | None = None

    async def start(self, wait_seconds: float, /) -> Agent:
        settings = self._settings
        self._spool = await own_spool(settings.spool, wait_seconds)
        life = begin_life(settings.spool)
        self.agent = Agent(
            settings.name,
            life.epoch,
            boottime_ns(),
            settings.slots,
            settings.times,
            (KEEPER,),
            life.remembers,
            gives_back=True,
        )
        self._post(KeeperUp(KEEPER))
        return self.agent

    def carry_out(self, effect: Any, /) -> None:
        if not isinstance(effect, ToKeeper):
            return
        order = effect.order
        if type(order) is Start:
            self._post(KeeperSaid(KEEPER, Exited(order.job, order.attempt, WENT_WELL)))
        elif type(order) is ListHeld:
            self._post(KeeperSaid(KEEPER, Holding(())))

    @property
    def is_busy(self) -> bool:
        return False

    @property
    def holds_nothing(self) -> bool:
        return True

    async def dismiss_keepers(self, kill: bool, limit_seconds: float, /) -> bool:
        return True

    async def close(self) -> None:
        if self._spool is not None:
            self._spool.close()


def household(
    loop: asyncio.AbstractEventLoop,
    settings: Settings,
    post: Callable[[Any], None],
    notice: Callable[[Notice], None],
    failed: Callable[[BaseException], None],
) -> Household:
    """See `NullHost`."""
    return NullHost(settings, post)


if __name__ == "__main__":
    sys.exit(run_program(read_arguments(sys.argv[1:]), household))
