"""Agents that dial in: which host each is, whether it may come, and how it leaves again.

Made by `live/hosts.py` when the configuration says where to listen. A caller is known by its certificate already
(`live/tls_door.py`); here it becomes the link of its host, or a new host within the limits of `cluster.join`, or it is
refused with a sentence. What is decided is said to the controller as the same orders that people give; a host that
came by itself is recorded as one that a person adds, so it is there after a restart of the server.

Leaving: an order OFF, under which a host takes nothing new and goes when nothing of it is left; a host that came by
itself is then deleted, so nothing of it is lost and nothing is left. Who comes back meanwhile is switched on again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from live.complaints import Seldom
from live.host_names import refuse_offer
from live.joining_words import LEAVE, LEFT, JoinAnswer, JoinRequest, line
from live.link_tls import REPLACED, TlsHost
from live.links import Links
from live.tls import Credentials, reason_of, send_all
from live.tls_door import Caller, TlsDoor, listen
from model.configuration import ClusterDefinition, JoinSettings, ListenSettings
from model.effects import Answer, Notice
from model.errors import LaulimaError, OperatorError
from model.events import HostVerb, OrderHost
from model.host import Host, HostOrder, HostState
from model.resources import amount_text, needed_text

LEAVES: Final = "its agent leaves"
"""The reason of an OFF order that a host has given itself."""
LOOK_SECONDS: Final = 0.2
"""How often it is looked whether a host that leaves has ended its last job, which nothing announces."""
CARE_SECONDS: Final = 10.0
"""How often the certificates are looked at when nobody comes."""
SEND_SECONDS: Final = 5.0
"""How long a caller may take to hear an answer."""

MakeOrder = Callable[[Callable[[int], object]], asyncio.Future[Answer]]
"""Gives an order to the controller."""


def credentials_of(settings: ListenSettings, complain: Callable[[str], None]) -> Credentials:
    """A server's. Raises CertificateError; also for files that are not there."""
    folder = Path(settings.certificates)
    try:
        return Credentials(
            ca=folder / "ca.pem",
            certificate=folder / "server.pem",
            key=folder / "server.key",
            denied=folder / "denied",
            is_server=True,
            complain=complain,
        )
    except OSError as error:
        raise LaulimaError(
            f"the certificates of this server cannot be read: {error.filename}: {error.strerror}",
            f"laulima cert init --folder {folder}, or say where they are: cluster: {{listen: {{certificates: ...}}}}",
        ) from error


class Joining:
    """All that dial in to one server. Everything is called in the loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        cluster: ClusterDefinition,
        links: Links,
        *,
        order: MakeOrder,
        hosts: Callable[[], dict[str, Host]],
        dialled_in: Callable[[str], TlsHost],
        add: Callable[[str, int], None],
        forget: Callable[[str], None],
        say: Callable[[Notice], None],
    ) -> None:
        """`hosts()`: as the controller has them. `dialled_in`, `add`, `forget`: of `live.hosts.Hosts`. Listens from now
        on; raises LaulimaError when that cannot be."""
        assert cluster.listen is not None
        self._loop = loop
        self._configured = frozenset(host.name for host in cluster.hosts)
        self._join = cluster.join
        self._links = links
        self._order = order
        self._hosts = hosts
        self._dialled_in = dialled_in
        self._add = add
        self._forget = forget
        self._say = say
        self._complain = Seldom(self._warn).say
        self._serving: dict[str, asyncio.Task[None]] = {}
        """by name: a JOIN that waits for the controller's answer"""
        self._leaving: dict[str, asyncio.Task[None]] = {}
        self._warned = ""
        self._credentials = credentials_of(cluster.listen, self._warn)
        try:
            listening = listen(cluster.listen.address, cluster.listen.port)
        except OSError as error:
            raise LaulimaError(
                f"cannot listen at {cluster.listen.address} port {cluster.listen.port}: {reason_of(error)}",
                "name another address or port in cluster.listen",
            ) from error
        self.address: tuple[str, int] = listening.getsockname()[:2]
        """where it listens"""
        self._door = TlsDoor(loop, listening, self._credentials, self._admit, self._warn)
        self._care_timer = loop.call_soon(self._care)

    def warning(self) -> str:
        """What people should see in `status`; empty: nothing."""
        return self._credentials.warning()

    async def close(self) -> None:
        """Listen no more."""
        self._care_timer.cancel()
        await self._door.close()
        tasks = [*self._serving.values(), *self._leaving.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _warn(self, text: str) -> None:
        self._say(Notice("warning", "cluster.listen", text))

    def _care(self) -> None:
        """Take changed files up, end links of certificates that are revoked meanwhile, warn of one that expires."""
        before = self._credentials.denied
        self._credentials.context()
        if self._credentials.denied != before:
            for name in self._hosts():
                self._end_if_denied(name)
        warning = self._credentials.warning()
        if warning and warning != self._warned:
            self._warn(warning)
        self._warned = warning
        self._care_timer = self._loop.call_later(CARE_SECONDS, self._care)

    def _end_if_denied(self, name: str) -> None:
        if self._links.connected(name):
            try:
                host = self._dialled_in(name)
            except OperatorError:
                return  # it is reached in another way
            if host.fingerprint in self._credentials.denied:
                self._links.fail(name, "its certificate is revoked")

    # who comes

    def _admit(self, caller: Caller) -> None:
        """Serve the caller; of each name one at a time, the newest."""
        leaves = caller.request.what == LEAVE
        tasks = self._leaving if leaves else self._serving
        name = caller.request.name
        former = tasks.get(name)
        if former is not None:
            former.cancel()
        task = tasks[name] = self._loop.create_task(self._serve(caller, leaves), name=f"{caller.request.what} {name}")
        task.add_done_callback(lambda done: tasks.pop(name) if tasks.get(name) is done else None)

    async def _serve(self, caller: Caller, leaves: bool) -> None:
        name = caller.request.name
        try:
            if leaves:
                await self._leave(name)
                async with asyncio.timeout(SEND_SECONDS):
                    await send_all(caller.connected, line(JoinAnswer(LEFT)))
                caller.connected.close()
            else:
                await self._come(caller)
        except LaulimaError as error:
            self._complain(f"host {name} at {caller.address} was refused: {error}")
            caller.refuse(str(error))
        except OSError:
            caller.connected.close()  # it does not wait for the answer
        except BaseException:
            caller.connected.close()
            raise

    async def _come(self, caller: Caller) -> None:
        """Make it the link of its host. Raises OperatorError with the sentence to show."""
        request = caller.request
        name, leaving = request.name, request.leaving
        host = self._hosts().get(name)
        if host is None or host.provisional:
            if leaving and host is None:
                raise OperatorError(f"host {name} has left")
            await self._take_as_it_is(HostVerb.ADD, request)
            host = self._hosts()[name]
        target = self._dialled_in(name)
        if host.order is HostOrder.OFF and not leaving:
            if host.order_reason != LEAVES:
                raise OperatorError(f"host {name} is switched off here ({host.order_reason or 'by a person'})")
            await self._ask(HostVerb.ON, name)
        if self._comes_by_itself(name) and not leaving and _is_another(request, host):
            await self._take_as_it_is(HostVerb.SLOTS, request)
            target = self._dialled_in(name)
        target.called(caller)
        if self._links.connected(name):
            self._links.fail(name, REPLACED)
        # In a later step: the end of the former link is told first. A host that is connecting takes who waits.
        self._loop.call_soon(self._try_now, name)

    def _try_now(self, name: str) -> None:
        answered = self._order(lambda request: OrderHost(request, HostVerb.RETRY, name, lasting=False))
        answered.add_done_callback(lambda done: done.cancelled() or done.exception())

    def _comes_by_itself(self, name: str) -> bool:
        """Whether the host is here because it has dialled in, and for no other reason that the configuration knows."""
        return self._join is not None and name in self._join.names and name not in self._configured

    async def _take_as_it_is(self, verb: HostVerb, request: JoinRequest) -> None:
        """ADD the host, or SLOTS: with the slots, resources and labels that it says it has. Raises OperatorError."""
        self._judge(request)
        self._add(request.name, request.slots)
        await self._ask(
            verb,
            request.name,
            slots=request.slots,
            lasting=True,
            resources=request.resources,
            labels=request.labels,
        )

    def _judge(self, request: JoinRequest) -> None:
        """Whether a host that is in no configuration may come, with what it has. Raises OperatorError."""
        join, name, slots = self._join, request.name, request.slots
        if join is None or name not in join.names:
            raise OperatorError(f"host {name} is not in the configuration, and not among the names of cluster.join")
        others = [host for host in self._hosts().values() if self._comes_by_itself(host.name) and host.name != name]
        if len(others) >= join.hosts_max:
            raise OperatorError(f"{len(others)} hosts have joined already (cluster.join.hosts_max)")
        taken = sum(host.slots for host in others)
        if taken + slots > join.slots_max:
            raise OperatorError(
                f"{slots} slots are too many: {taken} of {join.slots_max} have joined (cluster.join.slots_max)"
            )
        self._judge_offer(join, request, others)

    def _judge_offer(self, join: JoinSettings, request: JoinRequest, others: list[Host]) -> None:
        """The same for resources and labels."""
        refuse_offer(request.resources, request.labels)
        limits = dict(join.resources)
        for resource, amount in request.resources:
            taken = sum(host.stock.total.get(resource, 0) for host in others)
            if taken + amount > limits.get(resource, 0):
                raise OperatorError(
                    f"{needed_text(resource, amount)} are too many: {amount_text(resource, taken)} of "
                    f"{amount_text(resource, limits.get(resource, 0))} have joined (cluster.join.resources)"
                )
        for label in request.labels:
            if label not in join.labels:
                raise OperatorError(f"label {label} is not among those of cluster.join.labels")

    # who leaves

    async def _leave(self, name: str) -> None:
        """Take nothing new there, wait for the last end, and forget the host. Raises OperatorError."""
        host = self._hosts().get(name)
        if host is None:
            return
        if host.order is not HostOrder.OFF:
            await self._ask(HostVerb.OFF, name, reason=LEAVES)
        while host.state is not HostState.OFF:
            if host.order is not HostOrder.OFF or self._hosts().get(name) is not host:
                raise OperatorError(f"host {name} has been switched on again")
            await asyncio.sleep(LOOK_SECONDS)
        if self._comes_by_itself(name):
            await self._ask(HostVerb.DELETE, name, lasting=True)
            self._forget(name)

    async def _ask(self, verb: HostVerb, name: str, *, lasting: bool = False, **words: Any) -> None:
        """Give an order (`words`: more fields of it). Raises OperatorError when the controller says no."""
        answer = await self._order(lambda request: OrderHost(request, verb, name, lasting=lasting, **words))
        if not answer.ok:
            raise OperatorError(answer.text)


def _is_another(request: JoinRequest, host: Host) -> bool:
    """Whether the host says that it has something else than what is known of it."""
    there = (host.slots, host.stock.total, frozenset(host.labels))
    return there != (request.slots, dict(request.resources), frozenset(request.labels))
