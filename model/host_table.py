"""The hosts: connecting, following their links, and what a person orders about them. Owned by the controller.

What hosts report about attempts is the controller's (`controller.py`); which job goes where is `placing.py`.
"""

from __future__ import annotations

from collections.abc import Iterable

from model.aside import Asides
from model.channel import ChannelTimes, LinkState
from model.configuration import ClusterDefinition
from model.effects import Answer, Commit, Connect, Disconnect, Effect, Notice, Transmit
from model.events import HostVerb, LinkDown, LinkUp, OrderHost
from model.explain import attributed
from model.host import HOST_MOVES, Host, HostOrder, HostState
from model.job import SECOND
from model.messages import Up
from model.near_miss import nearest
from model.placing import Placing
from model.records import SET_ASIDE, HostChanged, HostsParted, PersonOrdered
from model.resources import Amounts
from model.states import check_move
from model.timers import NEVER_NS, Timers

_CLOSED, _OFF = LinkState.CLOSED, HostState.OFF
VOUCHED_FOR = "a person says that nothing runs there any more"
LEFT_LOOK_NS = 60 * SECOND
"""How often it is looked whether a job still waits for a host that has left."""
_DONE = {
    HostVerb.ADD: "is added",
    HostVerb.ON: "is on",
    HostVerb.OFF: "is off",
    HostVerb.RETRY: "is tried again now",
    HostVerb.LOST: "has lost what it had; if it comes back, that is ended there",
}


class HostTable:
    """The hosts by name, their connections and their orders."""

    def __init__(
        self, cluster: ClusterDefinition, epoch: int, effects: list[Effect], hosts: dict[str, Host], placing: Placing
    ) -> None:
        self.hosts = hosts
        self.talking: dict[str, Host] = {}
        """hosts for which something may be ready to be sent"""
        self.links: Timers[str] = Timers()
        """when each link wants to be advanced"""
        self.placing = placing
        self.health = Asides(cluster.health, hosts, effects, self._health_changed)
        self._cluster = cluster
        self._epoch = epoch
        self._effects = effects
        self._tries: Timers[str] = Timers()
        self._pressure: Timers[str] = Timers()
        self._leaving: Timers[str] = Timers()
        self._said = 0
        """batches to a forgotten host, at most: one of the same name goes on from there, since its agent may live on"""

    def next_due(self) -> int:
        """When something of `links` or `advance` is due (ns); `NEVER_NS`: nothing is."""
        due = self.links.first
        if self._tries.first < due:
            due = self._tries.first
        if self._pressure.first < due:
            due = self._pressure.first
        if self._leaving.first < due:
            due = self._leaving.first
        if self.health.pauses.first < due:
            due = self.health.pauses.first
        return due

    def advance(self, now: int) -> None:
        """Connect again what is due, offer work again where there was no room, and forget who has left."""
        for name in self._tries.take(now):
            self._connect(self.hosts[name], now)
        for name in self._pressure.take(now):
            self.placing.offer(self.hosts[name], now)
        for name in self._leaving.take(now):
            self._look_who_left(self.hosts[name], now)
        self.health.advance(now)

    def notice_stall(self, now: int) -> None:
        """When the controller itself stood still, its hosts are asked what they hold before they get anything."""
        for host in self.hosts.values():
            if host.link.notice_stall(now):
                self.talking[host.name] = host
                self.sync(host, now)

    def part(self, keep_ns: int, now: int) -> None:
        """This process is about to end: the last word to each host, as of `Parting`, for the next life to know."""
        if keep_ns:
            self._effects.append(Commit(HostsParted(keep_ns)))
        for host in self.hosts.values():
            host.link.part(keep_ns, now)
            self.talking[host.name] = host

    def watch(self, host: Host) -> None:
        """Note when the host's link wants to be advanced."""
        due = host.link.next_due()
        if due == NEVER_NS:
            if self.links.first != NEVER_NS:  # else nothing is set, as of hosts that have few jobs after each word
                self.links.cancel(host.name)
            return
        at = self.links.at(host.name)
        if at is None or due < at:
            self.links.set(host.name, due)

    def press(self, host: Host, now: int) -> None:
        """A start failed there for want of room: no new job for a while, longer each time."""
        cluster = self._cluster
        host.pressure_ns = min(2 * host.pressure_ns or cluster.backoff_ns, cluster.backoff_cap_ns)
        host.pressure_until_ns = now + host.pressure_ns
        self._pressure.set(host.name, host.pressure_until_ns)

    # connections

    def add(
        self,
        name: str,
        slots: int,
        now: int,
        resources: Amounts = (),
        labels: tuple[str, ...] = (),
        times: ChannelTimes | None = None,
    ) -> Host:
        """A host is defined, and connected to. `times`: of its link (default: the cluster's)."""
        host = Host(name, slots, self._epoch, times or self._cluster.times, now)
        host.link.sequence = self._said
        host.declare(resources, labels)
        self.hosts[name] = host
        self._connect(host, now)
        return host

    def _connect(self, host: Host, now: int) -> None:
        host.next_try_ns = None
        self._tries.cancel(host.name)
        self._set_state(host, HostState.CONNECTING, host.reason, now)
        self._effects.append(Connect(host.name))

    def link_up(self, event: LinkUp, now: int) -> None:
        host = self.hosts.get(event.peer)
        if host is None or host.state is HostState.OFF:
            self._effects.append(Disconnect(event.peer))
            return
        host.link.opened(now)
        self._tries.cancel(host.name)
        host.next_try_ns = None
        self.talking[host.name] = host
        self.sync(host, now)

    def link_down(self, event: LinkDown, now: int) -> None:
        host = self.hosts.get(event.peer)
        if host is None or host.state is HostState.OFF:
            return
        host.link.closed(now)
        self.talking[host.name] = host
        cluster = self._cluster
        wait = host.wait_before_next_try(cluster.backoff_ns, cluster.backoff_cap_ns, event.chance, now)
        host.up_since_ns = None
        host.tries += 1
        if not event.calls:
            host.next_try_ns = now + wait
            self._tries.set(host.name, host.next_try_ns)
        self._set_state(host, HostState.DOWN, event.reason, now)
        self.placing.withdraw(host.name, now)
        self.placing.judge_waiting(host.name, now)
        if host.order is HostOrder.OFF:
            self.leave_if_done(host, now)

    def sync(self, host: Host, now: int) -> None:
        """Let the host's state follow its link."""
        if host.link.state is _CLOSED or host.state is _OFF:
            return
        state = host.state_by_link()
        if state is host.state:
            return
        if state is HostState.UP or state is HostState.DRAINING:
            host.tries = 0
            host.up_since_ns = now
            self._set_state(host, state, host.order_reason, now)
        elif state is HostState.SILENT:
            self._set_state(host, state, "connected, but it does not answer", now)
            self.placing.judge_waiting(host.name, now)
        elif state is HostState.ASIDE:
            host.tries = 0
            self._set_state(host, state, host.health.why, now)
            self.placing.judge_waiting(host.name, now)
        else:
            self._set_state(host, state, "asked what it holds", now)
        self.placing.offer(host, now)

    def _health_changed(self, host: Host, now: int) -> None:
        """It was set aside, is tried again, or is well."""
        self.sync(host, now)
        self.placing.offer(host, now)

    def _set_state(self, host: Host, state: HostState, reason: str, now: int) -> None:
        if state is host.state:
            host.reason = reason
            return
        if state not in HOST_MOVES[host.state]:
            check_move(HOST_MOVES, host.state, state, f"host {host.name}")
        if HostState.DOWN in (state, host.state) or state is HostState.SILENT:
            level = "info" if state is HostState.CONNECTING else "warning"
            self._effects.append(
                Notice(level, f"host {host.name}", f"{state.value}: {reason}" if reason else state.value)
            )
        host.state = state
        host.since_ns = now
        host.reason = reason

    def leave_if_done(self, host: Host, now: int) -> None:
        """An OFF order is carried out once nothing of ours is there."""
        if host.state is HostState.OFF or host.holding:
            return
        if host.link.state is not LinkState.CLOSED:
            last_words = host.link.take()  # acknowledgements
            if last_words is not None:
                self._effects.append(Transmit(host.name, last_words))
            host.link.closed(now)
            self._effects.append(Disconnect(host.name))
        self._tries.cancel(host.name)
        self.links.cancel(host.name)
        host.next_try_ns = None
        self._set_state(host, HostState.OFF, host.order_reason, now)
        self.placing.withdraw(host.name, now)
        if host.leaves:
            self._leaving.set(host.name, now)

    def _look_who_left(self, host: Host, now: int) -> None:
        """Forget a host that is off, unless a job waits for just it: that would find its host unknown."""
        if self.placing.waits_for(host.name):
            self._leaving.set(host.name, now + LEFT_LOOK_NS)
        else:
            self._forget(host, now)

    # orders of a person

    def order(self, order: OrderHost, now: int) -> list[Up]:
        """Do it, and answer; what comes of it for the owner to take."""
        if order.verb is HostVerb.ADD:
            problem = self._order_add(order, now)
        elif order.host not in self.hosts:
            problem = f"there is no host {order.host}{nearest(order.host, self.hosts)}"
        else:
            problem = self._order_change(self.hosts[order.host], order, now)
        if problem:
            self._effects.append(Answer(order.request, False, problem))
            return []
        if order.lasting and not order.more:
            reason = attributed(order.reason, order.by)
            record = HostChanged(order.host, order.verb.value, order.slots, reason, order.resources, order.labels)
            self._effects.append(Commit(record))
        if order.by:
            self._effects.append(Commit(PersonOrdered(order.by, order.verb.value, "host", order.host, order.reason)))
        self._effects.append(Answer(order.request, True, f"host {order.host}: {self._done(order)}"))
        return self.hosts[order.host].link.give_up(VOUCHED_FOR) if order.verb is HostVerb.LOST else []

    def _done(self, order: OrderHost) -> str:
        """What has changed, for the person who ordered it."""
        host = self.hosts.get(order.host)
        if host is None:
            return "is deleted"
        if order.verb is HostVerb.DRAIN:
            return f"takes nothing more, jobs that it has: {host.holding}"
        if order.verb is HostVerb.OFF and host.state is not HostState.OFF:
            return f"takes nothing more, and is off when its jobs have ended: {host.holding}"
        if order.verb is HostVerb.SLOTS:
            return f"has {host.slots} slots"
        return _DONE[order.verb]

    def _order_add(self, order: OrderHost, now: int) -> str:
        host = self.hosts.get(order.host)
        if host is None:
            host = self.add(order.host, order.slots, now, order.resources or (), order.labels or ())
        elif host.provisional:
            host.provisional = False
            host.resize(order.slots, now)
            self._switch(host, HostOrder.ON, attributed(order.reason, order.by), now)
        elif order.more:
            self._resize(host, host.slots + order.slots, now)
        else:
            return f"host {order.host} is there already (other slots: laulima host slots {order.host} --slots N)"
        if order.resources is not None or order.labels is not None:
            self._declare(host, order, now)
        host.threads = order.threads or host.threads
        self.placing.announce(order.host)
        return ""

    def _declare(self, host: Host, order: OrderHost, now: int) -> None:
        resources = tuple(host.stock.total.items()) if order.resources is None else order.resources
        host.declare(resources, host.labels if order.labels is None else order.labels)
        self.placing.announce(host.name)
        self.placing.offer(host, now)

    def _resize(self, host: Host, slots: int, now: int) -> None:
        host.resize(slots, now)
        self.talking[host.name] = host
        self.sync(host, now)

    def _order_change(self, host: Host, order: OrderHost, now: int) -> str:
        verb = order.verb
        if verb is HostVerb.DELETE:
            return self._order_delete(host, now)
        if verb is HostVerb.SLOTS:
            self._resize(host, order.slots, now)
            self._declare(host, order, now)
            return ""
        if verb is HostVerb.LOST:
            answers = host.link.state is LinkState.OPEN
            return f"host {host.name} answers: what it has can be ended (laulima kill JOB)" if answers else ""
        if verb is HostVerb.RETRY:
            if host.state is not HostState.DOWN:
                return f"host {host.name} is {host.state.value}, only a host that is down can be tried again"
            self._connect(host, now)
            return ""
        host.leaves = host.leaves or order.leaves
        self._switch(host, HostOrder(verb.value), attributed(order.reason, order.by), now)
        return ""

    def _switch(self, host: Host, wanted: HostOrder, reason: str, now: int) -> None:
        host.order = wanted
        host.order_reason = reason
        if wanted is not HostOrder.OFF:
            host.leaves = False
            self._leaving.cancel(host.name)
        if wanted is HostOrder.ON:
            self.health.recover(host, reason or "a person says so", now)
        if host.order is HostOrder.ON and host.state is HostState.OFF:
            host.backoff_ns = 0
            self._connect(host, now)
        elif host.order is HostOrder.OFF and host.state in (HostState.DOWN, HostState.CONNECTING):
            self.leave_if_done(host, now)
        self.sync(host, now)
        if host.order is HostOrder.OFF:
            self.leave_if_done(host, now)
        self.talking[host.name] = host

    def _order_delete(self, host: Host, now: int) -> str:
        if host.state not in (HostState.OFF, HostState.DOWN):
            return f"host {host.name} is {host.state.value}: switch it off first (laulima host off {host.name})"
        if host.holding:
            return f"jobs of host {host.name} are not ended yet"
        self._forget(host, now)
        return ""

    def _forget(self, host: Host, now: int) -> None:
        del self.hosts[host.name]
        self._said = max(self._said, host.link.sequence)
        self.talking.pop(host.name, None)
        for timers in (self.links, self._tries, self._pressure, self._leaving):
            timers.cancel(host.name)
        self.health.forget(host.name)
        self.placing.withdraw(host.name, now)
        self.placing.announce(host.name)
        self.placing.judge_waiting(host.name, now)

    # after a restart

    def restore(self, changes: Iterable[HostChanged], now: int) -> None:
        """Take up the orders of an earlier life, oldest first."""
        for change in changes:
            self._restore_one(change, now)

    def _restore_one(self, change: HostChanged, now: int) -> None:
        if change.verb == HostVerb.ADD.value:
            if change.host not in self.hosts:  # else somebody has written it into the configuration meanwhile
                self.add(change.host, change.slots, now, change.resources or (), change.labels or ())
            return
        host = self.hosts.get(change.host)
        if host is None or change.verb in (HostVerb.RETRY.value, HostVerb.LOST.value):
            return
        if change.verb == HostVerb.DELETE.value:
            del self.hosts[change.host]
            self._effects.remove(Connect(change.host))
        elif change.verb == HostVerb.SLOTS.value:
            host.resize(change.slots, now)
            resources = tuple(host.stock.total.items()) if change.resources is None else change.resources
            host.declare(resources, host.labels if change.labels is None else change.labels)
        elif change.verb == SET_ASIDE:
            self.health.restore(host, change.reason, now)
        else:
            host.order = HostOrder(change.verb)
            host.order_reason = change.reason
