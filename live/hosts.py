"""The hosts of a server and how each is reached: process hosts for now, one folder each below the state directory.

Used by `live/outward.py` (connect) and `live/server.py` (what is left when it leaves). Which host gets a connection,
and when, is the controller's business.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection
from pathlib import Path

from live.hello import Hello
from live.link_process import STARTS_MAX, ProcessHost
from live.links import Links
from live.state_directory import StateDirectory
from live.sweep import sweep
from model.configuration import ClusterDefinition
from model.job import SECOND
from model.messages import Batch

GOODBYE_SECONDS = 2.0
"""How long agents get to leave after a goodbye; then it is said again,"""
GOODBYES = 3
"""so often at most; with `kill`, whoever is still there then is killed."""


class Hosts:
    """Dialers and links by host name."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        epoch: int,
        cluster: ClusterDefinition,
        state: StateDirectory,
        directory: Path,
        *,
        up: Callable[[str, Hello], None],
        down: Callable[[str, str], None],
        batch: Callable[[str, Batch], None],
    ) -> None:
        """`directory`: where the jobs' relative paths start. `up`, `down`, `batch`: see `live.links.Links`."""
        self._loop = loop
        self._state = state
        self._cluster = cluster
        self._directory = directory
        self._up = up
        self._connected = asyncio.Event()
        """set with each connection"""
        self._turn_to_start = asyncio.Semaphore(STARTS_MAX)
        self._dialers: dict[str, ProcessHost] = {}
        self.slots = {host.name: host.slots for host in cluster.hosts}
        """slots with which a host's agent is started"""
        seconds = cluster.connect_ns / SECOND
        self.links = Links(loop, epoch, connect_seconds=seconds, up=self._link_up, down=down, batch=batch)

    def _link_up(self, host: str, agent: Hello) -> None:
        self._connected.set()
        self._up(host, agent)

    def define(self, host: str, slots: int) -> None:
        """A host that is added while the server runs, perhaps not for the first time."""
        self.slots[host] = slots
        known = self._dialers.get(host)
        if known is not None and not known.processes:
            known.close()
            self.links.forget(host)
            del self._dialers[host]

    def connect(self, host: str) -> None:
        """Begin to connect; an agent is started where none listens."""
        if host not in self._dialers:
            dialer = ProcessHost(
                self._loop,
                host,
                slots=self.slots.get(host, 1),
                spool=self._state.host_spool(host),
                directory=self._directory,
                times=self._cluster.times,
                turn_to_start=self._turn_to_start,
            )
            self._dialers[host] = dialer
            self.links.define(host, dialer)
        self.links.connect(host)

    def processes(self, host: str) -> tuple[int, ...]:
        """Ids of the agent processes of a host that are alive."""
        dialer = self._dialers.get(host)
        return () if dialer is None else dialer.processes

    @property
    def agents(self) -> dict[str, tuple[int, ...]]:
        """Agent processes that are alive, by host."""
        return {name: dialer.processes for name, dialer in self._dialers.items() if dialer.processes}

    async def leave(self, kill: bool, busy: Collection[str]) -> None:
        """Say goodbye to all. `kill`: return when no agent is left, if need be by force. Otherwise those that have
        nothing to do (all but the `busy`) get a moment to leave."""
        leaving = [name for name in self._dialers if kill or name not in busy]
        await self.links.close(goodbye=True)
        for _ in range(GOODBYES):
            leaving = await self._still_there(leaving, GOODBYE_SECONDS)
            if not leaving:
                break
            await self._say_goodbye_again(leaving)
        if kill:
            for spool in sorted(self._state.hosts.glob("*/")):  # also of hosts that are no longer configured
                sweep(spool)
        await self._still_there(leaving, GOODBYE_SECONDS)

    async def _still_there(self, names: list[str], limit_seconds: float) -> list[str]:
        """Those of the hosts that still have an agent after so long."""
        gone = await asyncio.gather(*(self._dialers[name].wait_gone(limit_seconds) for name in names))
        return [name for name, is_gone in zip(names, gone, strict=True) if not is_gone]

    async def _say_goodbye_again(self, names: list[str]) -> None:
        """A goodbye is lost when the agent was just writing while its link closed; then it waits for another server."""
        for name in names:
            self.links.connect(name)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_SECONDS):
                await self._all_connected(names)
        await self.links.close(goodbye=True)

    async def _all_connected(self, names: list[str]) -> None:
        while not all(self.links.connected(name) for name in names):
            self._connected.clear()
            await self._connected.wait()

    def close(self) -> None:
        """Watch no more; agents stay as they are."""
        for dialer in self._dialers.values():
            dialer.close()
