"""The world around the machine of one batch system: its folders, its records, its driver. Beside `AgentHost`, the world
of a host that starts its jobs itself; both live in the program of `live/agent_program.py`.

Its own folder (lock, socket, records) is on this machine. What nodes must see (`marks.py`, outputs) is in the same
folder, or below the host's `spool` where the nodes do not share this one; then `output` here is a link to there.

Decides nothing about jobs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from live.agent_host import own_spool
from live.agent_life import begin_life
from live.batch.driver import BatchDriver
from live.batch.ledger import Ledger
from live.clock import boottime_ns
from live.spool import Spool
from model.batch import BatchAgent
from model.batch_words import BatchEffect
from model.channel import ChannelTimes
from model.configuration import HostDefinition
from model.effects import Effect, Notice

TOLD_NAME = "told.json"
"""In the host's folder: how the program that owns it was told to use the batch system."""
BATCH_SPOOL = "batch system"
"""The kind of spool: an agent that starts jobs itself does not take it over, nor the other way round."""


def definition_bytes(host: HostDefinition) -> bytes:
    """A definition as it is compared: slots are told to a program that runs."""
    return msgspec.json.encode(msgspec.structs.replace(host, slots=0))


class BatchHost:
    """One batch system, from `start` to `close`. Everything is called in the loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        host: HostDefinition,
        *,
        spool: Path,
        directory: Path,
        times: ChannelTimes,
        post: Callable[[Any], None],
        notice: Callable[[Notice], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        """`directory`: where relative paths of jobs start. `post(event)` brings an event to the machine, in a later
        turn. `failed` hears of a bug of ours."""
        self._loop = loop
        self._host = host
        self._path = spool
        self._directory = directory
        self._times = times
        self._post = post
        self._notice = notice
        self._failed = failed
        self._spool: Spool | None = None
        self._ledger: Ledger | None = None
        self._driver: BatchDriver | None = None
        self.agent: BatchAgent | None = None

    async def start(self, wait_seconds: float = 0.0) -> BatchAgent:
        """Own the spool, read the records, make the machine. `wait_seconds`: patience with another one that is just
        leaving the spool. Raises LaulimaError, OSError; `close` follows in any case."""
        self._spool = spool = await own_spool(self._path, wait_seconds, BATCH_SPOOL)
        life = begin_life(spool.path)
        (spool.path / TOLD_NAME).write_bytes(definition_bytes(self._host))
        self._ledger = ledger = Ledger(spool.path)
        self._driver = driver = BatchDriver(
            self._loop,
            self._host,
            self._shared(spool),
            ledger,
            spool.identity,
            self._directory,
            post=self._post,
            notice=self._notice,
            failed=self._failed,
        )
        await driver.begin()
        self.agent = BatchAgent(
            self._host.name,
            life.epoch,
            boottime_ns(),
            self._host.slots,
            self._times,
            life.remembers,
            self._host.batch,
            ledger.held,
        )
        return self.agent

    def _shared(self, spool: Spool) -> Path:
        """The folder that the nodes share. Raises OSError."""
        if not self._host.spool:
            return spool.path
        shared = Path(self._host.spool).expanduser() / f"laulima-{self._host.name}-{spool.identity}"
        (shared / "output").mkdir(mode=0o700, parents=True, exist_ok=True)
        output = spool.path / "output"
        if not output.is_symlink():
            output.rmdir()
            output.symlink_to(shared / "output")
        return shared

    def carry_out(self, effect: Effect | BatchEffect) -> None:
        """Do what the machine asked for."""
        assert self._driver is not None
        self._driver.carry_out(effect)

    @property
    def holds_nothing(self) -> bool:
        """No attempt is here, and no end waits to be acknowledged."""
        return self.agent is None or not (self.agent.attempts or self.agent.uplink.results)

    @property
    def is_busy(self) -> bool:
        """Whether an attempt is here that has not ended, or something of ours is still in the batch system."""
        return self.agent is not None and self.agent.is_busy

    async def dismiss_keepers(self, kill: bool, limit_seconds: float) -> bool:
        """There are none: what runs is in the batch system's hands."""
        return True

    async def close(self) -> None:
        """Let go of everything; what is in the batch system stays."""
        if self._driver is not None:
            self._driver.close()
            self._driver = None
        if self._ledger is not None:
            self._ledger.close()
            self._ledger = None
        if self._spool is not None:
            self._spool.close()
            self._spool = None
