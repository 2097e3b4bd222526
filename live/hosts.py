"""The hosts of a server and how each is reached: one entry of KINDS for each kind of link.

Used by `live/outward.py` (connect) and `live/server.py` (what is left when it leaves). Which host gets a connection,
and when, is the controller's business. What a server must know of a host beyond its link to it is `HostLink`.

A host on another machine leaves a file in its folder here as long as an agent may live there: a later life ends it, or
finds what an earlier life gave to it, also when the configuration names that host no more.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec

from live import link_ssh, link_tls
from live.batch.link import BatchLink
from live.hello import Hello
from live.joining import Joining, MakeOrder
from live.link_process import STARTS_MAX, ProcessHost
from live.link_ssh import SshHost
from live.link_tls import TlsHost
from live.links import DIALS_MAX, Dialer, Links
from live.state_directory import StateDirectory
from live.sweep import is_alive, sweep
from model.configuration import BATCH_SYSTEMS, ClusterDefinition, HostDefinition, Link, times_of
from model.effects import Notice
from model.errors import LaulimaError, OperatorError
from model.host import Host
from model.job import SECOND
from model.messages import Batch

GOODBYE_SECONDS = 2.0
"""How long agents get to leave after a goodbye; then it is said again,"""
GOODBYES = 3
"""so often at most; with `kill`, whoever is still there then is killed."""
DEFINITION_NAME = "definition.json"
"""In the folder of a host on another machine: its `HostDefinition`."""


class HostLink(Dialer, Protocol):
    """One host as a server sees it."""

    def ended(self) -> str:
        """A link, or an attempt to make one, is over; what is known of the reason, for people."""

    @property
    def agent(self) -> str:
        """The agent that is alive, or may be, for people; empty: there is none."""

    async def wait_gone(self, limit_seconds: float) -> bool:
        """Wait until no agent of this host is left; False: one still is, or may be."""

    async def end_by_force(self) -> None:
        """Kill whatever of an agent is there. Raises LaulimaError when that cannot be done."""

    def close(self) -> None:
        """Let go. The agent stays as it is."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all hosts of one server share."""

    loop: asyncio.AbstractEventLoop
    state: StateDirectory
    directory: Path
    """where the jobs' relative paths start"""
    cluster: ClusterDefinition
    turn_to_start: asyncio.Semaphore


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of link."""

    make: Callable[[Surroundings, HostDefinition], HostLink]
    is_here: bool
    """the agent's folder is on this machine, and so is what its jobs wrote"""
    leaves: bool = False
    """something of it may live on where no process of this machine shows it: its definition is kept for later lives"""
    dials_max: int = DIALS_MAX
    """hosts of this kind that are dialled at one time"""
    calls: bool = False
    """its agent makes the connection: there is no use in trying again before it has"""


def _process_host(around: Surroundings, host: HostDefinition) -> HostLink:
    return ProcessHost(
        around.loop,
        host.name,
        slots=host.slots,
        spool=around.state.host_spool(host.name),
        directory=Path(host.directory).expanduser() if host.directory else around.directory,
        times=around.cluster.times,
        turn_to_start=around.turn_to_start,
    )


def _ssh_host(around: Surroundings, host: HostDefinition) -> HostLink:
    return SshHost(
        around.loop,
        host,
        server=around.state.identity(),
        directory=str(around.directory),
        times=around.cluster.times,
        connect_seconds=around.cluster.connect_ns / SECOND,
        perhaps=_definition_file(around.state.path, host.name).exists(),
    )


def _tls_host(around: Surroundings, host: HostDefinition) -> HostLink:
    return TlsHost(
        around.loop,
        host,
        directory=str(around.directory),
        times=around.cluster.times,
        perhaps=_definition_file(around.state.path, host.name).exists(),
    )


def _batch_system(around: Surroundings, host: HostDefinition) -> HostLink:
    return BatchLink(
        around.loop,
        host,
        spool=around.state.host_spool(host.name),
        directory=Path(host.directory).expanduser() if host.directory else around.directory,
        times=times_of(host, around.cluster.times),
        turn_to_start=around.turn_to_start,
    )


KINDS: dict[Link, Kind] = {
    Link.PROCESS: Kind(_process_host, is_here=True),
    Link.SSH: Kind(_ssh_host, is_here=False, leaves=True, dials_max=link_ssh.DIALS_MAX),
    Link.TLS: Kind(_tls_host, is_here=False, leaves=True, dials_max=link_tls.WAITS_MAX, calls=True),
    **{link: Kind(_batch_system, is_here=True, leaves=True) for link in Link if link in BATCH_SYSTEMS},
}


def leftover_hosts(state: Path) -> tuple[HostDefinition, ...]:
    """Hosts of which an earlier server of `state` may have left an agent."""
    found = []
    for spool in sorted(state.glob("hosts/*/")):
        definition = _remembered(state, spool.name)
        if is_alive(spool) and (definition is None or not KINDS[definition.link].is_here):
            definition = HostDefinition(spool.name)
        if definition is not None:
            found.append(definition)
    return tuple(found)


def _definition_file(state: Path, host: str) -> Path:
    return state / "hosts" / host / DEFINITION_NAME


def _remembered(state: Path, host: str) -> HostDefinition | None:
    try:
        return msgspec.json.decode(_definition_file(state, host).read_bytes(), type=HostDefinition)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise LaulimaError(
            f"{_definition_file(state, host)} does not say how {host} is reached: {error}",
            "remove it once no agent of that host runs",
        ) from error


class Hosts:
    """Links by host name."""

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
        self._around = Surroundings(loop, state, directory, cluster, asyncio.Semaphore(STARTS_MAX))
        self._state = state
        self._added = cluster.added
        self._up = up
        self._connected = asyncio.Event()
        """set with each connection"""
        self._turns = {kind: asyncio.Semaphore(KINDS[kind].dials_max) for kind in KINDS}
        self._hosts: dict[str, HostLink] = {}
        self._former: list[HostLink] = []
        """of hosts that are reached in another way meanwhile"""
        self._definitions = {host.name: host for host in cluster.hosts}
        seconds = cluster.connect_ns / SECOND
        self.links = Links(loop, epoch, connect_seconds=seconds, up=self._link_up, down=down, batch=batch)

        self.joining: Joining | None = None
        """the agents that dial in, where the configuration says that they may"""

    def listen(self, order: MakeOrder, hosts: Callable[[], dict[str, Host]], say: Callable[[Notice], None]) -> None:
        """Let agents dial in, if the configuration says where. `order` gives an order to the controller, `hosts` are as
        it has them. Raises LaulimaError."""
        if self._around.cluster.listen is not None:
            self.joining = Joining(
                self._around.loop,
                self._around.cluster,
                self.links,
                order=order,
                hosts=hosts,
                dialled_in=self.dialled_in,
                add=self.add,
                forget=self.forget,
                say=say,
            )

    async def stop_listening(self) -> None:
        """Nobody can dial in any more. Harmless when nobody could."""
        if self.joining is not None:
            await self.joining.close()
            self.joining = None

    def _link_up(self, host: str, agent: Hello) -> None:
        self._connected.set()
        self._up(host, agent)

    # which hosts there are

    def define(self, definition: HostDefinition) -> None:
        """How a host is reached from now on. A link that was made in another way ends, and is told to be down."""
        name = definition.name
        former = self._hosts.get(name)
        before = self._definition(name)
        self._definitions[name] = definition
        if former is None:
            return
        if msgspec.structs.replace(before, slots=definition.slots) != definition:
            del self._hosts[name]
            self._former.append(former)
            self.links.fail(name, "it is reached in another way from now on")
        elif not former.agent:  # the next agent is started with the new slots
            del self._hosts[name]
            self._former.append(former)

    def add(self, name: str, slots: int) -> None:
        """A host that a person, a script or its agent adds, perhaps not for the first time."""
        added = self._added
        if self._around.cluster.join is not None and name in self._around.cluster.join.names:
            added = HostDefinition(name, link=Link.TLS)
        known = self._definitions.get(name, added)
        self.define(msgspec.structs.replace(known, name=name, slots=slots))

    def restore(self, name: str, slots: int) -> None:
        """A host that was added in an earlier life; the configuration may know it meanwhile."""
        if name not in self._definitions:
            self.add(name, slots)

    def connect(self, host: str) -> None:
        """Begin to connect; an agent is started where none listens."""
        self._made(host)
        self.links.connect(host)

    def _made(self, host: str) -> HostLink:
        if host in self._hosts:
            return self._hosts[host]
        definition = self._definition(host)
        kind = KINDS[definition.link]
        made = self._hosts[host] = kind.make(self._around, definition)
        if kind.leaves:
            self._remember(definition)
        self.links.define(host, made, turn=self._turns[definition.link], ended=made.ended)
        return made

    def dialled_in(self, host: str) -> TlsHost:
        """The host of an agent that has dialled in. Raises OperatorError when that is not how it is reached."""
        made = self._made(host)
        if not isinstance(made, TlsHost):
            raise OperatorError(f"host {host} is reached by link: {self._definition(host).link.value}, not by tls")
        return made

    def calls(self, host: str) -> bool:
        """Whether the host's agent makes the connection."""
        return KINDS[self._definition(host).link].calls

    def forget(self, host: str) -> None:
        """The host has left for good."""
        self.links.forget(host)
        known = self._hosts.pop(host, None)
        if known is not None:
            known.close()
        self._definitions.pop(host, None)
        _definition_file(self._state.path, host).unlink(missing_ok=True)

    def _definition(self, host: str) -> HostDefinition:
        """Also of a host that nobody defines any more, and that may still hold what an earlier life gave to it."""
        known = self._definitions.get(host) or _remembered(self._state.path, host)
        return known or HostDefinition(host)

    def _remember(self, definition: HostDefinition) -> None:
        file = _definition_file(self._state.path, definition.name)
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.write_bytes(msgspec.json.encode(definition))

    def spool_here(self, host: str) -> Path | None:
        """The folder of a host's agent; None: it is on another machine."""
        return self._state.host_spool(host) if self._is_here(host) else None

    def _is_here(self, host: str) -> bool:
        return KINDS[self._definition(host).link].is_here

    async def until_connected(self, host: str) -> None:
        """Wait until both ends have said hello; for ever, if nobody is there."""
        while not self.links.connected(host):
            self._connected.clear()
            await self._connected.wait()

    # what is left

    @property
    def agents(self) -> dict[str, str]:
        """Agents that are alive, by host, for people."""
        return {name: host.agent for name, host in self._hosts.items() if host.agent}

    async def leave(self, kill: bool, busy: Collection[str]) -> list[str]:
        """Say goodbye to all. `kill`: return when no agent is left, if need be by force; returns sentences about those
        that could not be ended. Otherwise those that have nothing to do (all but the `busy`) get a moment to leave."""
        leaving = [name for name in self._hosts if kill or name not in busy]
        staying = [name for name in self._hosts if name not in leaving and not self._is_here(name)]
        await self.links.close(goodbye=True)
        # Where an agent stays on another machine, the last words (a lease for its jobs) are still on their way.
        leaving, _ = await asyncio.gather(self._say_goodbye(leaving), self._still_there(staying, GOODBYE_SECONDS))
        troubles: list[str] = []
        if kill:
            sweep(*sorted(self._state.hosts.glob("*/")))  # also of hosts that are no longer configured
            troubles = [text for text in await asyncio.gather(*map(self._end_by_force, leaving)) if text]
        leaving = await self._still_there(leaving, GOODBYE_SECONDS)
        for name in self._hosts:
            if not self._hosts[name].agent and KINDS[self._definition(name).link].leaves:
                _definition_file(self._state.path, name).unlink(missing_ok=True)
        return troubles

    async def _say_goodbye(self, leaving: list[str]) -> list[str]:
        """Until they have left, or it was said often enough; those that are still there."""
        for _ in range(GOODBYES):
            leaving = await self._still_there(leaving, GOODBYE_SECONDS)
            if not leaving:
                break
            await self._say_goodbye_again(leaving)
        return leaving

    async def _still_there(self, names: list[str], limit_seconds: float) -> list[str]:
        """Those of the hosts that still have an agent after so long."""
        gone = await asyncio.gather(*(self._hosts[name].wait_gone(limit_seconds) for name in names))
        return [name for name, is_gone in zip(names, gone, strict=True) if not is_gone]

    async def _say_goodbye_again(self, names: list[str]) -> None:
        """A goodbye is lost when the agent was just writing while its link closed; then it waits for another server."""
        for name in names:
            self.links.connect(name)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_SECONDS):
                for name in names:
                    await self.until_connected(name)
        await self.links.close(goodbye=True)

    async def _end_by_force(self, name: str) -> str:
        """What could not be done; nothing: it is done."""
        try:
            async with (
                self._turns[self._definition(name).link],
                asyncio.timeout(self._around.cluster.connect_ns / SECOND),
            ):
                await self._hosts[name].end_by_force()
        except (LaulimaError, OSError, TimeoutError) as error:
            return f"host {name}: an agent may be left, and could not be ended: {error or 'no answer'}"
        return ""

    def close(self) -> None:
        """Watch no more; agents stay as they are."""
        for host in (*self._hosts.values(), *self._former):
            host.close()
