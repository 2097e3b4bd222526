"""A controller in another process, as the server sees it whose scheduler uses it: a link, and its control socket.

Made by `live/controller_choice.py`. The link is one of the job channel, as to a host: it is dialled again for as long
as the server lives, and what its loss means is the scheduler's business (`model/scheduler.py`). What people ask of
hosts and orders to them goes to the controller's control socket, beside the loop and with a deadline: when it is away,
they are told so.
"""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path
from typing import Any, Final

import msgspec

from live import control_client
from live.accepting import peer_user
from live.clock import monotonic_ns
from live.control import asked_by
from live.controller_side import ByHost
from live.controller_spawned import SpawnedController
from live.hello import Hello, Side, own_hello
from live.links import Links
from live.loop import Turns
from live.output_pieces import Piece
from live.outward import CONTROLLER, SCHEDULER, Outward
from live.spool import Stream
from live.state_directory import socket_address
from model.configuration import ClusterDefinition, Configuration, HostDefinition
from model.controller import Controller
from model.effects import Notice
from model.errors import NotReachableError, OperatorError
from model.events import LinkDown, LinkUp, OrderHost
from model.job import SECOND
from model.views import ExplanationView, Status

LOOK_SECONDS: Final = 2.0
"""How long a look at it may take."""
ORDER_SECONDS: Final = 25.0
"""How long an order to a host, or a piece of an output, may take."""
LEAVE_SECONDS: Final = 90.0
"""How long a controller that was started here may take to end."""
FIRST_WAIT_SECONDS: Final = 0.1
"""From the loss of the link to the next attempt; it doubles,"""
WAIT_SECONDS_MAX: Final = 2.0
"""up to this: a unix socket costs next to nothing."""


class ExistingController:
    """A `Dialer`: a controller that somebody else has started."""

    def __init__(self, path: Path) -> None:
        """`path`: its socket."""
        self._path = path

    async def dial(self) -> socket.socket:
        calling = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            with socket_address(self._path) as address:
                calling.connect(address)
            if peer_user(calling) != os.geteuid():
                raise NotReachableError(f"{self._path} belongs to another user (id {peer_user(calling)})")
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
            calling.close()
            raise NotReachableError(f"no controller listens at {self._path}", "laulima controller FILE") from None
        except BaseException:
            calling.close()
            raise
        return calling


class ControllerAway:
    """A `ControllerSide`. Everything is called in the loop."""

    elsewhere = True

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        configuration: Configuration,
        name: str,
        epoch: int,
        identity: str,
        outward: Outward,
        turns: Turns,
        dialer: ExistingController | SpawnedController,
        state: Path,
    ) -> None:
        """`name`: what this server is called there. `identity`: of its journal. `state`: the state directory of the
        controller."""
        self.machine = Controller(epoch, monotonic_ns(), ClusterDefinition())
        self.epoch = epoch
        self._loop = loop
        self._name = name
        self._outward = outward
        self._turns = turns
        self._dialer = dialer
        self._spawned = dialer if isinstance(dialer, SpawnedController) else None
        self._state = state
        self._links = Links(
            loop,
            epoch,
            connect_seconds=configuration.cluster.connect_ns / SECOND,
            up=self._up,
            down=self._down,
            batch=lambda _, batch: turns.deliver(SCHEDULER, CONTROLLER, batch),
            hello=lambda _: own_hello(Side.SCHEDULER, name, epoch, identity),
        )
        self._wait_seconds = FIRST_WAIT_SECONDS
        self._again: asyncio.TimerHandle | None = None
        self._connected = asyncio.Event()
        self._trouble = "it was not called yet"
        self._closed = False
        outward.speak[SCHEDULER] = self._links.send
        outward.blame[SCHEDULER] = self._end_link

    def begin(self) -> None:
        self._links.define(CONTROLLER, self._dialer)
        self._links.connect(CONTROLLER)

    def open_doors(self) -> None:
        """It has its own."""

    def define_host(self, definition: HostDefinition) -> None:
        """Hosts are the business of the controller's own configuration."""
        raise OperatorError(f"host {definition.name} is not reached from here")

    # the link

    def _up(self, _: str, peer: Hello) -> None:
        self._trouble = ""
        self._wait_seconds = FIRST_WAIT_SECONDS
        self._connected.set()
        self._turns.post(SCHEDULER, LinkUp(CONTROLLER, identity=peer.identity))

    def _down(self, _: str, reason: str) -> None:
        if self._closed:
            return
        if self._connected.is_set():
            self._connected.clear()
            self._turns.post(SCHEDULER, LinkDown(CONTROLLER, reason))
        if reason != self._trouble:
            self._outward.say(Notice("warning", CONTROLLER, f"no link to the controller: {reason}; it is tried again"))
        self._trouble = reason
        self._again = self._loop.call_later(self._wait_seconds, self._links.connect, CONTROLLER)
        self._wait_seconds = min(2 * self._wait_seconds, WAIT_SECONDS_MAX)

    def _end_link(self, _: str, reason: str) -> None:
        self._outward.say_link_closed(CONTROLLER, reason)
        self._links.fail(CONTROLLER, reason)

    # outputs

    def spool_here(self, host: str) -> Path | None:
        return None

    async def fetch(self, host: str, job: int, attempt: int, stream: Stream, offset: int, size: int) -> Piece:
        said = {
            "scheduler": self._name,
            "host": host,
            "job": job,
            "attempt": attempt,
            "stream": stream,
            "offset": offset,
            "size": size,
        }
        found = await self._ask("output", said, ORDER_SECONDS)
        return msgspec.convert({"number": 0, "data": found["data"], "total": found["total"], "kind": "piece"}, Piece)

    async def until_connected(self, host: str) -> None:
        await self._connected.wait()

    # what people and scripts ask and order

    async def _ask(self, verb: str, arguments: dict[str, Any], seconds: float) -> Any:
        try:
            return await control_client.ask(self._state, verb, arguments, seconds)
        except NotReachableError as error:
            raise NotReachableError(f"the controller at {self._state} does not answer: {error}", error.hint) from None

    async def told(self) -> Status | None:
        """Its status; of one that does not answer an empty one, with the alarm that says so."""
        try:
            found = await self._ask("status", {}, LOOK_SECONDS)
        except NotReachableError as error:
            return Status("", "live", "", 0, (), (), (), (f"{error}: its hosts are not shown",))
        return msgspec.convert(found, Status)

    async def order_host(self, given: ByHost) -> str:
        said = msgspec.structs.replace(given, by=given.by or asked_by())
        done = await self._ask("host", msgspec.to_builtins(said), ORDER_SECONDS)
        return str(done["text"])

    def script_orders(self, order: OrderHost) -> None:
        raise OperatorError(
            f"host {order.host}: a script changes no hosts of a controller with a process of its own",
            "name them in the configuration of the controller",
        )

    async def explain_host(self, name: str) -> ExplanationView | None:
        try:
            return msgspec.convert(await self._ask("explain", {"name": name}, LOOK_SECONDS), ExplanationView)
        except OperatorError:
            return None  # it has no such host

    async def explain_attempt(self, job: int, attempt: int) -> ExplanationView | None:
        said = {"scheduler": self._name, "job": job, "attempt": attempt}
        try:
            return msgspec.convert(await self._ask("explain_attempt", said, LOOK_SECONDS), ExplanationView)
        except (OperatorError, NotReachableError):
            return None  # the scheduler's own words must do

    def last_alarms(self) -> list[str]:
        return [f"no link to the controller: {self._trouble}"] if self._trouble else []

    # the end

    def left_behind(self) -> list[str]:
        return []

    async def leave(self, kill: bool) -> list[str]:
        self._closed = True
        if self._again is not None:
            self._again.cancel()
        await self._links.close(goodbye=True)
        if self._spawned is None or not self._spawned.processes:
            return []
        try:
            await self._ask("shutdown", {"kill": kill}, LEAVE_SECONDS)
        except (NotReachableError, OperatorError) as error:
            return [f"the controller that was started here may be left (pid {self._spawned.pids}): {error}"]
        if not await self._spawned.wait_gone(LEAVE_SECONDS):
            return [f"the controller that was started here has not ended (pid {self._spawned.pids})"]
        return []

    async def close(self) -> None:
        self._closed = True
        if self._again is not None:
            self._again.cancel()
        await self._links.close(goodbye=False)
        if self._spawned is not None:
            self._spawned.close()
