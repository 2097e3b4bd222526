"""The modelled network: links between a superior and its subordinates, each with two directions of its own weather.

A link carries connections, one after the other, as TCP does: while one stands, batches come in order unless a fault
says otherwise; when it ends, what is under way is lost (a reordering fault lets it arrive later all the same). Whether
an attempt to connect succeeds is seen here; when one is made is the controller's business, and the driver's between
the scheduler and its executors.

A link that is open, with both ends running and no fault on it, is *vouched* for once a Pong has passed: its heartbeats
are arithmetic (`model/downlink.py`), not events.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from model.channel import ChannelTimes, LinkState
from model.downlink import Downlink
from model.effects import Transmit
from model.events import Delivered, LinkDown, LinkUp, Vouched
from model.job import SECOND
from model.messages import Batch, Pong
from model.sharing import Terms
from sim.calendar import FAULT, REPLY, Calendar
from sim.keyed import Draws
from sim.log import Dropped, EventLog, LinkChanged, Sent
from sim.node import Node

NO_ROUTE_NS = 3 * SECOND
"""How long a kernel looks for a machine that is not there."""
HELLO_NS = 5 * SECOND
"""How long a connected peer may take for its first word."""
GONE_NS = 45 * SECOND
"""How long what was sent may stay unconfirmed: then the system ends the connection, as `live/tls.py` and ssh ask it."""
BEHIND_MAX_NS = 30 * SECOND
"""A server that is overloaded is never further behind: it takes more at once then."""
RECONNECT_NS = SECOND
"""How often the driver tries again to connect the scheduler to an executor."""


class Service:
    """A receiver that takes one batch after the other, and some time for each."""

    __slots__ = ("free_ns", "takes_ns")

    def __init__(self) -> None:
        self.takes_ns = 0
        """for each batch, as long as all faults together make it"""
        self.free_ns = 0
        """when it has done with all that came until now"""

    def take(self, at_ns: int) -> int:
        """When a batch that comes at `at_ns` is done."""
        self.free_ns = max(at_ns, min(self.free_ns, at_ns + BEHIND_MAX_NS)) + self.takes_ns
        return self.free_ns


class Direction:
    """One direction of a link, and what is wrong with it."""

    __slots__ = (
        "as_peer",
        "blocked",
        "doubling",
        "echo_ns",
        "extra_ns",
        "jitter_ns",
        "last_ns",
        "latency_ns",
        "link",
        "loss",
        "name",
        "network",
        "plain",
        "receiver",
        "sent",
        "service",
        "spread_ns",
        "usual_doubling",
        "usual_loss",
    )

    def __init__(self, network: Network, link: Link, sender: str, receiver: Node, as_peer: str) -> None:
        self.network = network
        self.link = link
        self.receiver = receiver
        self.as_peer = as_peer
        """what the receiver calls the sender"""
        self.name = f"{sender}>{receiver.name}"
        self.latency_ns = 0
        self.jitter_ns = 0
        self.last_ns = 0
        """when the last batch arrives that was sent"""
        self.usual_loss = self.loss = 0.0
        self.usual_doubling = self.doubling = 0.0
        self.spread_ns = 0
        """messages overtake each other by up to so much, and outlive their connection"""
        self.echo_ns = 0
        """what comes twice comes again up to so much later, and outlives its connection"""
        self.extra_ns = 0
        self.blocked = 0
        """how many faults let nothing through"""
        self.sent = 0
        self.service: Service | None = None
        """how its receiver takes what comes; None: at once"""
        self.plain = True
        """nothing but latency: no draw is needed"""

    def changed(self) -> None:
        """Work out `plain` again."""
        self.plain = not (
            self.blocked or self.loss or self.doubling or self.jitter_ns or self.spread_ns or self.service
        )

    def serve(self, service: Service | None) -> None:
        """From now on its receiver takes what comes in this way."""
        self.service = service
        self.changed()

    @property
    def faultless(self) -> bool:
        """Whether every message gets through, once, in good time."""
        return not (self.blocked or self.loss or self.doubling or self.spread_ns or self.service)

    def arrivals(self, now: int) -> tuple[int, ...]:
        """When a batch that is sent now arrives, where more than latency is at work."""
        base = now + self.latency_ns + self.extra_ns
        if self.blocked:
            return ()
        self.sent += 1
        lost, late, twice, later = self.network.draws.four(f"{self.name}/{self.sent}")
        if lost < self.loss:
            return ()
        first = base + int(late * (self.jitter_ns + self.spread_ns))
        if self.service is not None:
            first = self.service.take(first)
        if not self.spread_ns:
            first = self.last_ns = max(first, self.last_ns)
        if twice < self.doubling:
            return (first, first + int(later * (self.jitter_ns + self.spread_ns + self.echo_ns)))
        return (first,)


class Delivery(Struct, eq=False, gc=False):
    """A batch that is under way. Nothing but the calendar refers to it, so the collector need not look at it."""

    way: Direction
    batch: Batch
    generation: int
    """of the link, when it was sent"""

    def happens(self) -> None:
        """It arrives."""
        way, batch = self.way, self.batch
        link = way.link
        if self.generation != link.generation and not (link.connected and (way.spread_ns or way.echo_ns)):
            way.network.drop(way, batch)
            return
        if link.vouched or way is link.down or not any(type(message) is Pong for message in batch.messages):
            way.receiver.receive_last(Delivered(way.as_peer, batch))
        else:
            way.receiver.receive(Delivered(way.as_peer, batch))
            way.network.vouch(link)


class Link:
    """Between a superior and one subordinate. `peer` is what the superior calls it, `upward` what it calls the
    superior."""

    __slots__ = (
        "connected",
        "down",
        "generation",
        "kept",
        "peer",
        "subordinate",
        "superior",
        "terms",
        "times",
        "tries",
        "unaware",
        "up",
        "upward",
        "vouched",
        "vouched_at",
    )

    def __init__(
        self,
        network: Network,
        superior: Node,
        subordinate: Node,
        peer: str,
        times: ChannelTimes,
        upward: str = "superior",
        terms: Terms | None = None,
    ) -> None:
        """`terms`: on which the superior uses the subordinate, where it does not do so alone."""
        self.superior = superior
        self.subordinate = subordinate
        self.peer = peer
        self.upward = upward
        self.times = times
        self.terms = terms
        self.down = Direction(network, self, superior.name, subordinate, upward)
        self.up = Direction(network, self, subordinate.name, superior, peer)
        self.connected = False
        self.generation = 0
        """grows with each connection and each end of one"""
        self.kept = False
        """whether the driver connects it again by itself: the controller does so for its hosts"""
        self.tries = 0
        self.unaware: list[str] = []
        """ends that do not know that the last connection is gone: nothing could be told them"""
        self.vouched = False
        self.vouched_at = 0

    @property
    def healthy(self) -> bool:
        """Whether the driver can vouch for it."""
        down, up = self.down, self.up
        under_way = sum(way.latency_ns + way.extra_ns + way.jitter_ns for way in (down, up))
        return (
            self.connected
            and self.superior.running
            and self.subordinate.running
            and down.faultless
            and up.faultless
            and under_way < self.times.ping_ns
        )


class Network:
    """All links; who may speak to whom, and what becomes of what they say."""

    def __init__(
        self,
        calendar: Calendar,
        log: EventLog,
        seed: int,
        connect_ns: int,
        downlink_of: Callable[[Link], Downlink | None],
    ) -> None:
        self._calendar = calendar
        self._downlink_of = downlink_of
        self._connect_ns = connect_ns
        self._log = log
        self.draws = Draws(seed, "network")
        self.links: dict[tuple[str, str], Link] = {}
        """by (superior's name, subordinate's name)"""
        self.of_node: dict[str, list[Link]] = {}
        self._services: dict[str, Service] = {}
        """by the name of the receiver's process"""
        self._serving: dict[str, Service | None] = {}
        """of each machine that is, or was, overloaded: how it takes what comes now"""

    def add(self, link: Link) -> None:
        """One more link."""
        self.links[link.superior.name, link.subordinate.name] = link
        link.superior.ways[link.peer] = link.down
        link.subordinate.ways[link.upward] = link.up
        for node in (link.superior, link.subordinate):
            self.of_node.setdefault(node.name, []).append(link)
        link.down.serve(self._serving.get(link.subordinate.name))
        link.up.serve(self._serving.get(link.superior.name))

    def send(self, node: Node, effect: Transmit) -> None:
        """Carry out a Transmit: one event, or none when nothing stands between the two."""
        calendar, batch, name = self._calendar, effect.batch, node.name
        now = calendar.now
        direction = node.ways[effect.peer]
        link = direction.link
        if link.connected:
            if direction.plain:
                at = now + direction.latency_ns + direction.extra_ns
                if at >= direction.last_ns:
                    direction.last_ns = at
                else:
                    at = direction.last_ns  # a connection keeps the order, also when it becomes quicker
                self._log.add(Sent(now, name, direction.receiver.name, (at,), batch))
                calendar.at(at, REPLY, Delivery(direction, batch, link.generation))
                return
            arrivals = direction.arrivals(now)
        else:
            arrivals = ()
            self._reset(link, direction)
        self._log.add(Sent(now, name, direction.receiver.name, arrivals, batch))
        for at in arrivals:
            calendar.at(at, REPLY, Delivery(direction, batch, link.generation))

    def _reset(self, link: Link, direction: Direction) -> None:
        """Who speaks into a connection that ended without its knowledge is told so, once an answer can come back."""
        if not link.unaware or link.down.blocked or link.up.blocked or link.subordinate.powerless:
            return
        delay = link.down.latency_ns + link.up.latency_ns
        if direction is link.down and "superior" in link.unaware:
            link.unaware.remove("superior")
            event = LinkDown(link.peer, "connection reset by peer", self._chance(link))
            self._calendar.call_after(delay, REPLY, lambda: link.superior.receive(event))
        elif direction is link.up and "subordinate" in link.unaware:
            link.unaware.remove("subordinate")
            self._calendar.call_after(delay, REPLY, lambda: link.subordinate.receive(LinkDown(link.upward, "reset")))

    def drop(self, direction: Direction, batch: Batch) -> None:
        """A batch did not arrive: its connection is gone."""
        sender = direction.link.superior if direction is direction.link.down else direction.link.subordinate
        self._log.add(Dropped(self._calendar.now, sender.name, direction.receiver.name, batch.sequence))

    def serve(self, members: tuple[str, ...], more_ns: int) -> None:
        """The machines of one process take so much longer for each batch that comes to any of them; 0 in all: they are
        as before, once they are through with what came. Until then nobody may vouch for their links."""
        service = self._services.setdefault(members[0], Service())
        service.takes_ns += more_ns
        if service.takes_ns:
            self._attend(members, service)
        else:
            self._go_on(members, service)

    def _go_on(self, members: tuple[str, ...], service: Service) -> None:
        wait_ns = service.free_ns - self._calendar.now
        if service.takes_ns:
            return
        if wait_ns > 0:
            self._calendar.call_after(wait_ns, FAULT, lambda: self._go_on(members, service))
        else:
            self._attend(members, None)

    def _attend(self, members: tuple[str, ...], service: Service | None) -> None:
        for name in members:
            self._serving[name] = service
            for link in self.of_node.get(name, ()):
                (link.up if link.superior.name == name else link.down).serve(service)

    # connections

    def connect(self, link: Link) -> None:
        """Carry out a Connect."""
        if link.connected:
            self.disconnect(link, "replaced by a new connection", tell_superior=False)
        delay = link.down.latency_ns + link.up.latency_ns + link.down.extra_ns + link.up.extra_ns
        obstacle = self._obstacle(link)
        life = link.superior.epoch
        if obstacle is not None:
            reason, delay = obstacle[0], obstacle[1]
            self._calendar.call_after(delay, REPLY, lambda: self._refused(link, life, reason))
        else:
            self._calendar.call_after(delay, REPLY, lambda: self._established(link, life))

    def _obstacle(self, link: Link) -> tuple[str, int] | None:
        """Why an attempt to connect fails, and after how long."""
        if link.down.blocked or link.up.blocked:
            return "connection timed out", self._connect_ns
        if link.subordinate.machine is None:
            return "no route to host", min(NO_ROUTE_NS, self._connect_ns)
        if link.subordinate.frozen:
            return f"no word from its agent within {HELLO_NS // SECOND} s", min(HELLO_NS, self._connect_ns)
        return None

    def _refused(self, link: Link, life: int, reason: str) -> None:
        if link.superior.epoch != life or link.superior.machine is None or link.connected:
            return
        self._log.add(LinkChanged(self._calendar.now, link.superior.name, link.peer, "refused", reason))
        if link.kept:
            self._calendar.call_after(RECONNECT_NS, REPLY, lambda: self.keep(link))
        else:
            link.superior.receive(LinkDown(link.peer, reason, self._chance(link)))

    def keep(self, link: Link) -> None:
        """Connect a link that the driver keeps, as soon as both ends live; until then their starts come here again."""
        link.kept = True
        if not link.connected and link.superior.machine is not None and link.subordinate.machine is not None:
            self.connect(link)

    def _established(self, link: Link, life: int) -> None:
        if link.superior.epoch != life or link.superior.machine is None or link.connected:
            return
        obstacle = self._obstacle(link)
        if obstacle is not None:  # it came while the two were greeting each other
            self._refused(link, life, obstacle[0])
            return
        link.connected = True
        link.generation += 1
        if "subordinate" in link.unaware:
            link.subordinate.receive(LinkDown(link.upward, "replaced by a new connection"))
        link.unaware.clear()
        self._log.add(LinkChanged(self._calendar.now, link.superior.name, link.peer, "up"))
        link.subordinate.receive(LinkUp(link.upward, link.terms))
        link.superior.receive(LinkUp(link.peer))

    def _chance(self, link: Link) -> float:
        link.tries += 1
        return self.draws.one(f"try/{link.superior.name}/{link.peer}/{link.tries}")

    def disconnect(self, link: Link, reason: str, *, tell_superior: bool) -> None:
        """A connection ends; each end that lives and can know is told."""
        if not link.connected:
            return
        self.unvouch(link)
        link.connected = False
        link.generation += 1
        self._log.add(LinkChanged(self._calendar.now, link.superior.name, link.peer, "down", reason))
        cut = link.down.blocked or link.up.blocked
        if link.subordinate.powerless:  # nothing is left there that could be told, or tell
            cut = True
            link.unaware = ["superior"]
            self._give_up_later(link)
        elif cut:
            link.unaware = ["subordinate", "superior"] if tell_superior else ["subordinate"]
        else:
            link.subordinate.receive(LinkDown(link.upward, reason))
        if tell_superior and (link.kept or not cut):
            link.superior.receive(LinkDown(link.peer, reason, self._chance(link)))
        if link.kept:
            self._calendar.call_after(RECONNECT_NS, REPLY, lambda: self.keep(link))

    def _give_up_later(self, link: Link) -> None:
        """The superior's system ends the connection by itself when nothing has come back for long."""
        life, generation = link.superior.epoch, link.generation

        def give_up() -> None:
            if (link.superior.epoch, link.generation) == (life, generation) and "superior" in link.unaware:
                link.unaware.remove("superior")
                link.superior.receive(LinkDown(link.peer, "connection timed out", self._chance(link)))

        self._calendar.call_after(GONE_NS, REPLY, give_up)

    # vouching

    def vouch(self, link: Link) -> None:
        """Give the word for a link, when it can be given: its superior must know it as open, and await nothing."""
        if link.vouched or not link.healthy:
            return
        believed = self._downlink_of(link)
        if believed is None or believed.state is not LinkState.OPEN or believed.silent_at is not None:
            return
        link.vouched = True
        link.vouched_at = self._calendar.now
        self._log.add(LinkChanged(self._calendar.now, link.superior.name, link.peer, "vouched"))
        link.subordinate.receive(Vouched(link.upward, True))
        link.superior.receive(Vouched(link.peer, True))

    def unvouch(self, link: Link) -> None:
        """Take the word back, before what makes it untrue; both ends hear it in their last good moment.

        The subordinate's lease is that of a heartbeat: its last Pong but one was sent up to two ping periods ago.
        """
        if not link.vouched:
            return
        link.vouched = False
        ping = link.times.ping_ns
        age = ping + (self._calendar.now - link.vouched_at) % ping
        self._log.add(LinkChanged(self._calendar.now, link.superior.name, link.peer, "not vouched"))
        link.superior.receive(Vouched(link.peer, False))
        link.superior.turn()
        link.subordinate.receive(Vouched(link.upward, False, age))
        link.subordinate.turn()

    def unvouch_node(self, name: str) -> None:
        """Take the word back for every link of a node."""
        for link in self.of_node.get(name, ()):
            self.unvouch(link)
