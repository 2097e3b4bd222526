"""The controller that a server has started (`controller: spawn`): in `controller/` of the server's state directory.

A `Dialer` of `live/controller_away.py`: `dial` first calls the one that is alive (it outlives a server that crashed)
and starts one when nobody listens, so one that was killed is there again with the next attempt to connect.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from pathlib import Path
from typing import Final

import msgspec

from live.controller_program import CONFIGURATION_NAME
from live.program_link import ProgramLink
from live.state_directory import SCHEDULERS_NAME
from model.configuration import Configuration, OnExit, without_tasks

LOG_NAME: Final = "controller.log"


class SpawnedController(ProgramLink):
    """Reaches, and if needed starts, the controller of one server."""

    def __init__(self, loop: asyncio.AbstractEventLoop, folder: Path, configuration: Configuration | None) -> None:
        """`configuration` None: it is what the one before was told."""
        super().__init__(loop, "the controller", folder, socket_name=SCHEDULERS_NAME, log_name=LOG_NAME)
        self._wanted: bytes | None = None
        if configuration is not None:  # with `kill` it ends only when the server says so
            told = msgspec.structs.replace(without_tasks(configuration), on_exit=OnExit.KEEP)
            self._wanted = msgspec.json.encode(told)

    async def dial(self) -> socket.socket:
        """See `Dialer`. One that was told of another cluster makes room for one that knows better; its hosts keep what
        they have."""
        connected, wanted = self._call(), self._wanted
        told_otherwise = wanted is not None and self._was_told() != wanted
        if connected is not None and not told_otherwise:
            return connected
        if connected is not None:
            connected.close()
            self.signal(signal.SIGTERM)
            await self._gone.wait()  # the caller's time limit holds
        if wanted is not None and told_otherwise:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            fresh = self._folder / f"{CONFIGURATION_NAME}.new"
            fresh.write_bytes(wanted)
            fresh.replace(self._folder / CONFIGURATION_NAME)
        return await super().dial()

    def _was_told(self) -> bytes:
        try:
            return (self._folder / CONFIGURATION_NAME).read_bytes()
        except FileNotFoundError:
            return b""

    def _variables(self) -> tuple[str, ...]:
        """All of them: it reaches hosts as the server would (the agent of ssh, settings of Slurm)."""
        return tuple(os.environ)

    def _words(self) -> list[str]:
        return ["live.controller_program", f"--state={self._folder}"]
