"""A host that is a batch system (`link: slurm`): its program on this machine, behind a socket in the host's folder.

A `HostLink` of `live/hosts.py`; reached, started and watched as the agent of a process host is. What the program does
is `live/batch_program.py`.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from pathlib import Path

import msgspec

from live.batch.driver import SYSTEMS
from live.batch.host import TOLD_NAME, definition_bytes
from live.batch.ledger import leaves_jobs
from live.link_process import ProcessHost
from live.program_link import ENVIRONMENT
from live.sweep import owner_of
from model.channel import ChannelTimes
from model.configuration import HostDefinition


class BatchLink(ProcessHost):
    """Reaches, and if needed starts, the program of one batch system."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        host: HostDefinition,
        *,
        spool: Path,
        directory: Path,
        times: ChannelTimes,
        turn_to_start: asyncio.Semaphore | None = None,
    ) -> None:
        """`times`: of this host's link, its own lease included."""
        super().__init__(
            loop,
            host.name,
            slots=host.slots,
            spool=spool,
            directory=directory,
            times=times,
            turn_to_start=turn_to_start,
        )
        self._host = host
        self._own = spool

    async def dial(self) -> socket.socket:
        """See `Dialer`. A program that was told otherwise (options, poll) makes room for one that knows better; what is
        in the batch system stays there."""
        other = owner_of(self._own / "lock")
        if other is not None and self._was_told() != definition_bytes(self._host):
            self._watch(other)
            self.signal(signal.SIGTERM)
            await self._gone.wait()  # the caller's time limit holds
        return await super().dial()

    def _was_told(self) -> bytes:
        try:
            return (self._own / TOLD_NAME).read_bytes()
        except FileNotFoundError:
            return b""

    @property
    def agent(self) -> str:
        """The program that is alive, or what it left in the batch system."""
        alive = super().agent
        if not alive and leaves_jobs(self._own):
            return f"no program, but jobs in {SYSTEMS[self._host.link].title}"
        return alive

    def _program(self) -> list[str]:
        definition = msgspec.json.encode(msgspec.structs.replace(self._host, slots=self.slots)).decode()
        return ["live.batch_program", f"--definition={definition}"]

    def _variables(self) -> tuple[str, ...]:
        return (*ENVIRONMENT, *SYSTEMS[self._host.link].variables)
