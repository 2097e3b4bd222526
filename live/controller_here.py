"""The controller in this process, with the hosts that it reaches.

Made by `live/controller_choice.py` (a server's own) and `live/controller_program.py` (one that schedulers share). It
carries out what the controller wants of the world, and brings what the hosts say.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from random import Random

from live.clock import monotonic_ns
from live.control import asked_by
from live.controller_side import ByHost
from live.hello import Hello
from live.host_names import refuse_host, refuse_offer
from live.hosts import Hosts
from live.loop import Turns
from live.output_pieces import Piece
from live.outward import CONTROLLER, Outward
from live.spool import Stream
from live.state_directory import StateDirectory
from model import view_rows
from model.configuration import ClusterDefinition
from model.controller import Controller
from model.decisions import ControllerMade
from model.effects import Connect, Disconnect
from model.errors import OperatorError
from model.events import HostVerb, LinkDown, LinkUp, OrderHost
from model.messages import Batch
from model.restored import RestoredController
from model.views import ExplanationView, Status


class ControllerHere:
    """A `ControllerSide`. Everything is called in the loop."""

    elsewhere = False

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        cluster: ClusterDefinition,
        state: StateDirectory,
        directory: Path,
        epoch: int,
        restored: RestoredController,
        outward: Outward,
        turns: Turns,
    ) -> None:
        """`directory`: where the jobs' relative paths start."""
        made = ControllerMade(epoch, monotonic_ns(), cluster)
        if turns.recorder is not None:
            turns.recorder.made(CONTROLLER, made)
        self.machine = Controller(epoch, made.now, cluster, restored)
        self.epoch = epoch
        self._outward = outward
        self._turns = turns
        self._random = Random()  # noqa: S311 - spreads the reconnections of many hosts, no secret
        self.hosts = Hosts(
            loop, epoch, cluster, state, directory, up=self._link_up, down=self._link_down, batch=self._link_batch
        )
        self.define_host = self.hosts.define
        added = (change for change in restored.hosts if change.verb == HostVerb.ADD.value)
        self._added = [(change.host, change.slots) for change in added]
        outward.add({Connect: self._connect, Disconnect: self._disconnect})
        outward.speak[CONTROLLER] = self.hosts.links.send
        outward.blame[CONTROLLER] = self.end_link

    def begin(self) -> None:
        """Drive the machine."""
        for host, slots in self._added:
            self.hosts.restore(host, slots)
        self._turns.add(CONTROLLER, self.machine)

    def open_doors(self) -> None:
        """See `Hosts.listen`."""
        outward = self._outward
        self.hosts.listen(lambda make: outward.order(CONTROLLER, make), lambda: self.machine.hosts, outward.say)

    # what the machine wants, and what hosts say

    def _connect(self, machine: str, effect: Connect) -> None:
        self.hosts.connect(effect.host)

    def _disconnect(self, machine: str, effect: Disconnect) -> None:
        self.hosts.links.disconnect(effect.host)

    def _link_up(self, host: str, agent: Hello) -> None:
        self._turns.post(CONTROLLER, LinkUp(host))

    def _link_down(self, host: str, reason: str) -> None:
        self._turns.post(CONTROLLER, LinkDown(host, reason, self._random.random(), self.hosts.calls(host)))

    def _link_batch(self, host: str, batch: Batch) -> None:
        self._turns.deliver(CONTROLLER, host, batch)

    def end_link(self, host: str, reason: str) -> None:
        """A host said what no correct one says."""
        self._outward.say_link_closed(f"host {host}", reason)
        self.hosts.links.fail(host, reason)

    # outputs

    def spool_here(self, host: str) -> Path | None:
        return self.hosts.spool_here(host)

    async def fetch(self, host: str, job: int, attempt: int, stream: Stream, offset: int, size: int) -> Piece:
        return await self.hosts.links.fetch(host, job, attempt, stream, offset, size)

    async def until_connected(self, host: str) -> None:
        await self.hosts.until_connected(host)

    # what people and scripts ask and order

    async def told(self) -> Status | None:
        return None

    async def order_host(self, given: ByHost) -> str:
        answer = await self._outward.order(CONTROLLER, self._made(given))
        if not answer.ok:
            raise OperatorError(answer.text)
        return answer.text

    def _made(self, given: ByHost) -> Callable[[int], OrderHost]:
        refuse_host(given.name, given.slots)
        resources, labels, by = given.resources, given.labels, given.by or asked_by()
        if given.verb is not HostVerb.ADD and (resources is not None or labels is not None):
            raise OperatorError("resources and labels are said when a host is added", "laulima host add")
        refuse_offer(resources or (), labels or (), [name for name, _ in self.machine.cluster.resources])
        if given.verb is HostVerb.ADD and given.name not in self.machine.hosts:
            self.hosts.add(given.name, given.slots)
        return lambda request: OrderHost(
            request, given.verb, given.name, given.slots, given.reason, resources=resources, labels=labels, by=by
        )

    def script_orders(self, order: OrderHost) -> None:
        if order.verb is HostVerb.ADD:
            refuse_host(order.host, order.slots)
            known = self.machine.hosts.get(order.host)
            if known is None or known.provisional:
                self.hosts.add(order.host, order.slots)
        self._turns.post(CONTROLLER, order)

    async def explain_host(self, name: str) -> ExplanationView | None:
        return view_rows.explain_controller_host(self.machine, name, monotonic_ns())

    async def explain_attempt(self, job: int, attempt: int) -> ExplanationView | None:
        return None

    def last_alarms(self) -> list[str]:
        expiry = self.hosts.joining.warning() if self.hosts.joining is not None else ""
        return [expiry] if expiry else []

    # the end

    def left_behind(self) -> list[str]:
        return [f"agent of {name}: {agent}" for name, agent in self.hosts.agents.items()]

    async def leave(self, kill: bool) -> list[str]:
        busy = {job.host.name for job in self.machine.jobs.values() if job.host is not None}
        return await self.hosts.leave(kill, busy)

    async def close(self) -> None:
        await self.hosts.stop_listening()
        await self.hosts.links.close(goodbye=False)
        self.hosts.close()
