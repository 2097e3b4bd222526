"""What leaves the server's machines: each effect carried out, each answer brought back as an event.

One object for each server. The order of effects is kept; what takes time (a source, a connection, a notifier) runs
beside the loop and answers later. Called by `live/loop.py` after the commit; made by `live/server.py`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any

from live.agent_host import AgentHost
from live.clock import wall_ns
from live.hello import Hello
from live.hosts import Hosts
from live.loop import Turns
from live.scripts import ScriptDriver, inward
from live.sources import Notifiers, Sources
from model.behaviour import Reaction, Skip
from model.channel import ProtocolError
from model.effects import (
    Answer,
    AskSource,
    Connect,
    Disconnect,
    Effect,
    Idle,
    Look,
    Notice,
    Prepare,
    React,
    ToKeeper,
    Transmit,
)
from model.errors import LaulimaError
from model.events import LinkDown, LinkUp, Prepared, Reacted
from model.messages import Batch

SCHEDULER, CONTROLLER, LOCAL = "scheduler", "controller", "local"
"""The machines of a server, by the names under which their loop and their journal know them."""
NO_SCRIPTS = "this server runs no scripts"
NOTICES_KEPT = 200
"""The last notices, for whoever asks."""


class Outward:
    """Carries out effects. Everything is called in the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, tell: Callable[[str], None]) -> None:
        """`tell` shows one line to people (the server's stderr)."""
        self._loop = loop
        self._tell = tell
        self._random = Random()  # noqa: S311 - spreads the reconnections of many hosts, no secret
        self._errands: set[asyncio.Task[None]] = set()
        self._answers: dict[int, asyncio.Future[Answer]] = {}
        self._request = 0
        self.notices: deque[tuple[int, Notice]] = deque(maxlen=NOTICES_KEPT)
        """(wall time, notice), the newest last"""
        self.idle = asyncio.Event()
        """the scheduler has said all that it had to say before it ends"""
        self._handlers: dict[type, Callable[[str, Any], None]] = {
            Transmit: self._transmit,
            ToKeeper: self._to_host,
            Look: self._to_host,
            Answer: self._answer,
            AskSource: self._ask_source,
            Notice: self._notice,
            Connect: self._connect,
            Disconnect: self._disconnect,
            Idle: self._idle,
            Prepare: self._prepare,
            React: self._react,
        }

    def join(self, turns: Turns, hosts: Hosts, local: AgentHost, sources: Sources, notifiers: Notifiers) -> None:
        """Where effects go."""
        self._turns = turns
        self._hosts = hosts
        self._local = local
        self._sources = sources
        self._notifiers = notifiers

    def join_scripts(self, scripts: ScriptDriver) -> None:
        """This server has a script machine."""
        self._handlers |= scripts.handlers()
        self._turns.inward |= inward()

    def carry_out(self, machine: str, effect: Effect) -> None:
        """Do what the machine asked for."""
        self._handlers[type(effect)](machine, effect)

    async def close(self) -> None:
        """Whoever waits for an answer is told that none will come; errands are given up."""
        for future in self._answers.values():
            future.cancel()
        errands = list(self._errands)
        for errand in errands:
            errand.cancel()
        await asyncio.gather(*errands, return_exceptions=True)

    # orders of people and their answers

    def order(self, machine: str, make: Callable[[int], object]) -> asyncio.Future[Answer]:
        """Give an order (`make(request)` is its event); the future gets the machine's answer."""
        self._request += 1
        future: asyncio.Future[Answer] = self._loop.create_future()
        self._answers[self._request] = future
        self._turns.post(machine, make(self._request))
        return future

    def _answer(self, _: str, effect: Answer) -> None:
        future = self._answers.pop(effect.request, None)
        if future is not None and not future.done():
            future.set_result(effect)

    # sources and notices

    def _ask_source(self, machine: str, effect: AskSource) -> None:
        self._start(self._asked(machine, effect))

    async def _asked(self, machine: str, effect: AskSource) -> None:
        self._turns.post(machine, await self._sources.answer(effect))

    def _notice(self, machine: str, effect: Notice) -> None:
        self.say(effect)
        if effect.to:
            self._start(self._notify(effect))

    def say(self, notice: Notice) -> None:
        """Show a notice, and keep it for whoever asks."""
        self.notices.append((wall_ns(), notice))
        about = f"{notice.about}: " if notice.about else ""
        self._tell(f"{notice.level}: {about}{notice.text}")

    async def _notify(self, notice: Notice) -> None:
        trouble = await self._notifiers.tell(notice, wall_ns())
        if trouble:
            self.say(Notice("warning", notice.about, trouble))

    def _start(self, work: Any) -> None:
        task = self._loop.create_task(work)
        self._errands.add(task)
        task.add_done_callback(self._errand_done)

    def _errand_done(self, task: asyncio.Task[None]) -> None:
        self._errands.discard(task)
        if not task.cancelled() and task.exception() is not None and not self._turns.failed.done():
            self._turns.failed.set_exception(task.exception() or RuntimeError())

    # a server with scripts passes these on to their machine (`inward`)

    def _prepare(self, machine: str, effect: Prepare) -> None:
        self._turns.post(machine, Prepared(effect.task, effect.number, Skip(NO_SCRIPTS), NO_SCRIPTS))

    def _react(self, machine: str, effect: React) -> None:
        self._turns.post(machine, Reacted(effect.job, effect.attempt, Reaction(), NO_SCRIPTS))

    def _idle(self, machine: str, effect: Idle) -> None:
        self.idle.set()

    # hosts

    def _transmit(self, machine: str, effect: Transmit) -> None:
        self._hosts.links.send(effect.peer, effect.batch)

    def _to_host(self, machine: str, effect: ToKeeper | Look) -> None:
        self._local.carry_out(effect)

    def _connect(self, machine: str, effect: Connect) -> None:
        self._hosts.connect(effect.host)

    def _disconnect(self, machine: str, effect: Disconnect) -> None:
        self._hosts.links.disconnect(effect.host)

    def link_up(self, host: str, agent: Hello) -> None:
        """A host answers."""
        self._turns.post(CONTROLLER, LinkUp(host))

    def link_down(self, host: str, reason: str) -> None:
        """A host cannot be reached, or its link ended."""
        self._turns.post(CONTROLLER, LinkDown(host, reason, self._random.random(), self._hosts.calls(host)))

    def link_batch(self, host: str, batch: Batch) -> None:
        """A host said something."""
        self._turns.deliver(CONTROLLER, host, batch)

    def protocol_error(self, machine: str, peer: str, error: ProtocolError) -> None:
        """A peer said what no correct peer says: its link ends, nothing else."""
        if machine != CONTROLLER:
            raise LaulimaError(f"{peer} broke the protocol inside this server: {error}") from error
        self.say(Notice("warning", f"host {peer}", f"its link was closed: {error}"))
        self._hosts.links.fail(peer, str(error))
