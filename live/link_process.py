"""A host with `link: process`: an agent process on this machine, behind a unix socket in the host's folder.

A `HostLink` of `live/hosts.py`. How the process is reached, started and watched is `live/program_link.py`; what it does
is `live/agent_program.py`.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Final

from live.listener import SOCKET_NAME
from live.program_link import ProgramLink
from live.sweep import sweep
from model.channel import ChannelTimes

LOG_NAME: Final = "agent.log"
STARTS_MAX: Final = 4
"""Agents that start at one time: each costs a few tenths of a second of a core."""


class ProcessHost(ProgramLink):
    """Reaches, and if needed starts, the agent of one process host."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        name: str,
        *,
        slots: int,
        spool: Path,
        directory: Path,
        times: ChannelTimes,
        turn_to_start: asyncio.Semaphore | None = None,
    ) -> None:
        """`spool`: the host's folder, made if it isn't there. `directory`: where the jobs' relative paths start.
        `turn_to_start`: shared by the hosts of one server, with STARTS_MAX permits."""
        super().__init__(
            loop,
            f"the agent of {name}",
            spool,
            socket_name=SOCKET_NAME,
            log_name=LOG_NAME,
            turn_to_start=turn_to_start,
        )
        self._name = name
        self.slots = slots
        """with which an agent is started"""
        self._directory = directory.absolute()
        self._times = times

    def ended(self) -> str:
        """A link, or an attempt to make one, is over: nothing more is known of the reason."""
        return ""

    @property
    def agent(self) -> str:
        """The agents that are alive, for people; empty: none."""
        return f"pid {self.pids}" if self.processes else ""

    async def end_by_force(self) -> None:
        """Kill the agents and keepers of this host, whoever started them."""
        sweep(self._folder)

    def _program(self) -> list[str]:
        """The module that is run, and what only it is told."""
        return ["live.agent_program", f"--name={self._name}", f"--slots={self.slots}"]

    def _words(self) -> list[str]:
        return [
            *self._program(),
            f"--spool={self._folder}",
            f"--directory={self._directory}",
            f"--times={times_text(self._times)}",
        ]


def times_text(times: ChannelTimes) -> str:
    """ChannelTimes as an argument of the agent program: a JSON list of ns, in the order of the fields."""
    return json.dumps([times.ping_ns, times.silent_ns, times.lease_ns, times.margin_ns, times.resend_ns])


def times_from_text(text: str) -> ChannelTimes:
    """Raises ValueError for anything that `times_text` does not write."""
    values = json.loads(text)
    if not isinstance(values, list) or len(values) != 5 or not all(type(value) is int for value in values):
        raise ValueError(f"five durations in ns are wanted, not {text!r}")
    return ChannelTimes(*values)
