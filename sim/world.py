"""The world: every node, link, host and fault of one simulation, put together, and what each effect means in it.

The only place that knows all parts. It decides nothing: machines decide, the weather and the faults happen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from model.agent import Agent
from model.configuration import PASSED_MAX, Configuration, Order
from model.controller import Controller
from model.downlink import Downlink
from model.effects import (
    Answer,
    AskSource,
    Commit,
    Connect,
    Disconnect,
    Idle,
    Look,
    Notice,
    Prepare,
    React,
    ToKeeper,
    Transmit,
)
from model.events import HostDirty, KeeperSaid, KeeperUp, WallClock
from model.keeper import Order as KeeperOrder
from model.keeper import Renew
from model.records import Record
from model.reloading import difference, host_orders, task_orders
from model.restored import fold
from model.scheduler import Scheduler
from model.scripting import ScriptFactory, ScriptMachine, Stream
from model.superiors import SUPERIOR
from sim.alarm_answers import AlarmAnswers
from sim.calendar import FAULT, MATCH, REPLY, TURN, Calendar
from sim.clocks import BOOTED_BEFORE, clock_of
from sim.crashes import Crashes
from sim.faults import CONTROLLER, CRASHES, DISK_KINDS, LOCAL, RESTARTS, Faults
from sim.log import Committed, EventLog, Finished, Header, Healed, Life, Noticed, Shared, Sized
from sim.missed_polls import MissedPolls
from sim.network import Link, Network
from sim.node import CarryOut, Machine, Node
from sim.oracle_resources import declare
from sim.processes import Processes
from sim.scenario import DiskModel, Host, Ordered, Scenario
from sim.scheduler_side import SchedulerSide, WeatherBelow
from sim.scripts import EFFECTS as SCRIPT_EFFECTS
from sim.scripts import ReadFile, ScriptDriver
from sim.system import KEEPER, System
from sim.weather import Weather


class Scripting(Struct, frozen=True):
    """How a simulation runs task scripts: who makes their machine, who is shown what they print, which files are there
    to read."""

    factory: ScriptFactory
    show: Callable[[Stream, str], None]
    read_file: ReadFile


class World:
    """One simulation, from the configuration and the scenario to the end of the log."""

    def __init__(
        self,
        configuration: Configuration,
        scenario: Scenario,
        log: EventLog,
        scripting: Scripting | None = None,
    ) -> None:
        """Put everything together; nothing has happened yet. `scripting`: how task scripts are run."""
        self.configuration = configuration
        self.scenario = scenario
        self.calendar = Calendar(scenario.for_ns)
        self.log = log
        self.sides = SchedulerSide.all_of(self, configuration, scenario)
        self._sides = {name: side for side in self.sides for name in (side.node, side.local, side.scripts_node)}
        for side in self.sides:
            log.tell(side.weather)
        self.network = Network(self.calendar, log, scenario.seed, configuration.cluster.connect_ns, self._downlink_of)
        self.nodes: dict[str, Node] = {}
        self.systems: dict[str, System] = {}
        self.answers: list[Answer] = []
        """the answers to operators' orders, in order"""
        self.missed = MissedPolls()
        self.idle = False
        self._slots: dict[str, int] = {}
        self._wall_step_ns = 0
        kinds = {fault.kind for fault in scenario.faults} | {plan.fault.kind for plan in scenario.plans}
        model = DiskModel(one_process=False) if scenario.disk is None and kinds & DISK_KINDS else scenario.disk
        self.processes = Processes(self, model, [(side.node, side.local) for side in self.sides])
        self._keeps_journals = model is not None or bool(kinds & RESTARTS)
        self._counts = bool(kinds & CRASHES)
        self.crashes = Crashes()
        self._scripting = scripting
        self._for_hosts: CarryOut = self._carry_out_of_host
        """one object for all of them"""
        self._undone: dict[str, Iterator[Any]] = {}
        """what is left of the effects that a node's last turn asked for"""
        self._effects: dict[type, Callable[[Node, Any], None]] = {
            Transmit: self.network.send,
            Commit: self._commit,
            ToKeeper: self._to_keeper,
            Look: self._look,
            AskSource: lambda node, effect: self._sides[node.name].ask_source(node, effect),
            Connect: self._connect,
            Disconnect: self._disconnect,
            Notice: self._notice,
            Answer: self._answer,
            Idle: self._is_idle,
            Prepare: lambda node, effect: self._sides[node.name].to_scripts(node, effect),
            React: lambda node, effect: self._sides[node.name].to_scripts(node, effect),
            **AlarmAnswers(self).effects,
        }
        if scripting is not None:
            for side in self.sides:
                side.begin_with(scripting)
            self._effects |= dict.fromkeys(SCRIPT_EFFECTS, self._of_scripts)
        self._weather_below = WeatherBelow(self.sides) if scenario.schedulers else self.weather
        if isinstance(self._weather_below, WeatherBelow):
            log.tell(self._weather_below)
        self._build()
        self.faults = Faults(self)
        self.faults.plan(scenario)
        for ordered in scenario.orders:
            self._plan_order(ordered)
        if scenario.healed_ns:
            self.calendar.call_after(scenario.healed_ns, FAULT, self._heal)

    @property
    def weather(self) -> Weather:
        """Of the only scheduler; of several, the first one's."""
        return self.sides[0].weather

    @property
    def scripts(self) -> ScriptDriver | None:
        """The same of scripts."""
        return self.sides[0].driver

    @property
    def servers(self) -> tuple[str, ...]:
        """The nodes of the controller and of schedulers."""
        return CONTROLLER, *(side.node for side in self.sides)

    @property
    def at_rest(self) -> bool:
        """Whether no script is in the middle of its lines, between two events."""
        return all(side.at_rest for side in self.sides)

    # putting together

    def _build(self) -> None:
        cluster = self.configuration.cluster
        slots = {host.name: host.slots for host in cluster.hosts}
        self._slots = {side.local: side.configuration.cluster.local_slots for side in self.sides} | slots
        self._write_header()
        schedulers = [self._add_node(side.node, TURN, self._carry_out_now) for side in self.sides]
        controller = self._add_node(CONTROLLER, MATCH, self._carry_out_now)
        for side, scheduler in zip(self.sides, schedulers, strict=True):
            self._add_machine(side.local)
            self._add_link(scheduler, self.nodes[side.local], LOCAL, 0, 0)
            self._add_link(scheduler, controller, CONTROLLER, self.scenario.network.controller_ns, 0, side)
        for name in (*slots, *self.configuration.language.hosts):
            if name not in self.systems:
                self._add_host(name)
        self.processes.add_disks(self.scenario.seed, self._durable, self._carry_out_now)

    def _write_header(self) -> None:
        scenario, cluster = self.scenario, self.configuration.cluster
        fixed = () if self._scripting is not None else self.configuration.tasks
        limits = {task.name: (task.limits.in_flight, task.limits.total) for task in fixed}
        header = Header(
            scenario.seed,
            self.configuration.digest,
            scenario.digest,
            self._slots,
            1,
            limits,
            self.processes.inside,
            cluster.order is Order.STRICT,
            cluster.backoff_cap_ns if cluster.passed_max in (0, PASSED_MAX) else 0,
        )
        self.log.add(header)
        declare(self.log, self.calendar.now, cluster)
        for side in self.sides:
            if side.terms is not None:
                self.log.add(Shared(self.calendar.now, side.node, side.configuration.digest, side.terms.share))

    def _add_machine(self, name: str) -> None:
        """A host's computer: its node and its operating system."""
        cluster = self.configuration.cluster
        node = self._add_node(name, TURN, self._for_hosts)
        side = self._sides.get(name)
        times = cluster.times if side is None else side.local_times
        weather = self._weather_below if side is None else side.weather
        system = System(node, self.calendar, self.log, weather, times.lease_ns)
        host = self.scenario.hosts.get(name, Host())
        if host.speed != 1.0:
            system.slowness = 1.0 / host.speed
        system.processes_max = host.processes_max
        system.crashes = self.crashes if self._counts else None
        self.systems[name] = system

    def _add_host(self, name: str) -> None:
        """A computer of the controller's, and the wire to it."""
        self._add_machine(name)
        host, network = self.scenario.hosts.get(name, Host()), self.scenario.network
        latency = network.latency_ns if host.latency_ns is None else host.latency_ns
        jitter = network.jitter_ns if host.jitter_ns is None else host.jitter_ns
        self._add_link(self.nodes[CONTROLLER], self.nodes[name], name, latency, jitter)

    def size_host(self, name: str, slots: int, more: bool) -> None:
        """A script or a reload adds a host: its computer is there from now on, if it was not before."""
        known = self._slots.get(name)
        if known is not None and not more:
            return  # the controller will refuse it
        self._slots[name] = (known or 0) + slots
        self.log.add(Sized(self.calendar.now, name, self._slots[name]))
        if name not in self.systems:
            self._add_host(name)
            self.boot_host(name)

    def _downlink_of(self, link: Link) -> Downlink | None:
        """What the superior believes of a link; None: it knows no such subordinate."""
        machine = link.superior.machine
        if isinstance(machine, Controller):
            host = machine.hosts.get(link.peer)
            return None if host is None else host.link
        return machine.executors[link.peer].link if isinstance(machine, Scheduler) else None

    def _add_node(self, name: str, priority: int, at_once: CarryOut) -> Node:
        careful = self._counts or self.processes.model is not None
        return self._place_node(name, priority, self._carry_out if careful else at_once)

    def add_scripts_node(self, name: str) -> Node:
        """Where a script machine lives: nothing that it says waits for a disk."""
        return self._place_node(name, TURN, self._carry_out_now)

    def _place_node(self, name: str, priority: int, carry_out: CarryOut) -> Node:
        side = self._sides.get(name)
        computer = side.local if side is not None and side.name else name
        clock = clock_of(-BOOTED_BEFORE, self.scenario.hosts.get(computer, Host()).drift_ppb)
        node = self.nodes[name] = Node(name, self.calendar, clock, priority, carry_out, self._keeps_journals)
        return node

    def _add_link(
        self,
        superior: Node,
        subordinate: Node,
        peer: str,
        latency_ns: int,
        jitter_ns: int,
        user: SchedulerSide | None = None,
    ) -> None:
        """`user`: the scheduler, of its link to the controller."""
        side = self._sides.get(subordinate.name)
        times = self.configuration.cluster.times if side is None else side.local_times
        upward, terms = (SUPERIOR, None) if user is None else (user.upward, user.terms)
        link = Link(self.network, superior, subordinate, peer, times, upward, terms)
        remote = superior.name == CONTROLLER
        for direction in (link.down, link.up):
            direction.latency_ns = latency_ns
            direction.jitter_ns = jitter_ns
            direction.usual_loss = direction.loss = self.scenario.network.loss if remote else 0.0
            direction.usual_doubling = direction.doubling = self.scenario.network.doubling if remote else 0.0
            direction.changed()
        self.network.add(link)

    def run(self, piece_ns: int = 0, pause: Callable[[], None] | None = None) -> None:
        """Everything starts, and goes on to the end; `pause` is called between pieces of this length."""
        for name in self.systems:
            self.boot_host(name)
        self.start_node(CONTROLLER)
        for side in self.sides:
            self.start_node(side.node)
        self.go_on(piece_ns, pause)

    def go_on(self, piece_ns: int = 0, pause: Callable[[], None] | None = None) -> None:
        """To the end, of a world that runs already."""
        self.calendar.run_to_end(piece_ns, pause)
        for side in self.sides:
            self._count_missed_polls(self.nodes[side.node], goes_on=False)
        self.log.add(Finished(self.calendar.now))

    # lives

    def boot_host(self, name: str) -> None:
        """A host has power: its clock, its keepers and its agent start."""
        system, node = self.systems[name], self.nodes[name]
        if self.calendar.now:
            node.clock = clock_of(self.calendar.now, self.scenario.hosts.get(name, Host()).drift_ppb)
        system.boot()
        process = self.processes.of(name)[0]
        if process == name or self.nodes[process].machine is not None or not self.calendar.now:
            self._start_agent(name)  # that of a scheduler's own computer lives, and begins, with the scheduler

    def start_node(self, name: str) -> None:
        """A new life of a machine; what is kept is its journal, or on a host its keepers."""
        if name in self.systems:
            self._start_agent(name)
            return
        node = self.nodes[name]
        node.epoch += 1
        now = node.clock.read(self.calendar.now)
        self.log.add(Life(self.calendar.now, name, node.epoch))
        restored = fold(node.journal) if node.journal else None
        machine: Machine
        scripts: ScriptMachine | None = None
        side = self._sides.get(name)
        if side is None:
            machine = Controller(node.epoch, now, self.configuration.cluster, restored.controller if restored else None)
        else:
            machine, scripts = side.machine(node.epoch, now, restored.scheduler if restored else None)
        node.start(machine)
        self.tell_wall_clock(node)
        if side is not None:
            if scripts is not None:
                side.start_scripts(scripts)
            self.network.keep(self.network.links[name, side.local])
        for user in self.sides if side is None else (side,):
            self.network.keep(self.network.links[user.node, CONTROLLER])

    def _start_agent(self, name: str) -> None:
        node, system = self.nodes[name], self.systems[name]
        cluster, side = self.configuration.cluster, self._sides.get(name)
        node.epoch += 1
        now = node.clock.read(self.calendar.now)
        self.log.add(Life(self.calendar.now, name, node.epoch))
        keeper = system.keeper
        keepers = () if keeper is None else (KEEPER,)
        called, times = (name, cluster.times) if side is None else (LOCAL, side.local_times)
        slots = self._slots.get(name, 1)
        remembers = system.remembers or node.epoch
        node.start(Agent(called, node.epoch, now, slots, times, keepers, remembers, gives_back=side is None))
        system.remembers = system.remembers or node.epoch
        self.tell_wall_clock(node)
        left = system.left()
        if left is not None:
            node.receive(KeeperSaid(KEEPER, left))
        if keeper is not None and not keeper.dead:
            node.receive(KeeperUp(KEEPER))
        if system.full:
            node.receive(HostDirty("its disk is full"))
        if side is not None:
            self.network.keep(self.network.links[side.node, name])

    def stop_node(self, name: str, reason: str, unacknowledged: bool = False, powerless: bool = False) -> None:
        """A machine is gone; those at the other ends of its connections see them end: at once, or (`unacknowledged`)
        when what it said last has arrived, or (`powerless`) by its silence, and at the latest when it answers again."""
        node = self.nodes[name]
        for link in self.network.of_node.get(name, ()):
            self.network.unvouch(link)
        if name in self.systems and node.machine is not None:
            self._grant_last(node)
        self._count_missed_polls(node, goes_on=True)
        node.stop()
        node.powerless = powerless
        side = self._sides.get(name)
        if side is not None and name == side.node and side.scripts_node in self.nodes:
            self.nodes[side.scripts_node].stop()
        for link in self.network.of_node.get(name, ()):
            said = link.down if link.superior is node else link.up
            wait_ns = said.last_ns - self.calendar.now
            if unacknowledged and link.connected and wait_ns >= 0:
                self._hang_up_after(wait_ns, link, reason)
            else:
                self.network.disconnect(link, reason, tell_superior=True)

    def _count_missed_polls(self, node: Node, *, goes_on: bool) -> None:
        """A life of a scheduler is over, or the simulation is."""
        machine, side = node.machine, self._sides.get(node.name)
        if isinstance(machine, Scheduler) and side is not None:
            self.missed.count(machine, node.clock.read(self.calendar.now), side.task_of, goes_on=goes_on)

    def _hang_up_after(self, wait_ns: int, link: Link, reason: str) -> None:
        generation = link.generation

        def hang_up() -> None:
            if link.generation == generation:
                self.network.disconnect(link, reason, tell_superior=True)

        self.calendar.call_after(wait_ns, REPLY, hang_up)

    def _grant_last(self, node: Node) -> None:
        """What the heartbeats of a vouched link, which are no events, have granted its keepers until now: a process
        that dies in the middle of its turn has granted it all the same."""
        disk = self.processes.disks.get(node.name)
        waits = [] if disk is None else disk.waiting(node)
        machine = node.machine
        assert machine is not None
        for effect in (*waits, *self._undone.get(node.name, ()), *machine.drain()):
            if type(effect) is ToKeeper and type(effect.order) is Renew:
                self._to_keeper(node, effect)

    # clocks

    def wall_ns(self, true_ns: int) -> int:
        """What wall clocks show at true time `true_ns`, ns since 1970."""
        return self.scenario.start_wall_ns + true_ns + self._wall_step_ns

    def tell_wall_clock(self, node: Node) -> None:
        """The node's machine hears what wall clocks show."""
        true_ns = self.calendar.now
        node.receive(WallClock(self.wall_ns(true_ns) - node.clock.read(true_ns)))

    def step_wall_clock(self, by_ns: int) -> None:
        """The wall clock of every node jumps."""
        self._wall_step_ns += by_ns
        for node in self.nodes.values():
            self.tell_wall_clock(node)

    # a person, and the end of all faults

    def _plan_order(self, ordered: Ordered) -> None:
        node = self.nodes[self.sides[0].node if ordered.host is None else CONTROLLER]
        order = ordered.host or ordered.job or ordered.task or ordered.intake
        new = ordered.reload
        happens = (lambda: node.receive(order)) if new is None else (lambda: self._reload(new))
        self.calendar.call_after(ordered.at_ns, REPLY, happens)

    def _reload(self, new: Configuration) -> None:
        """What `live/reloading.py` does: all orders in one turn. The next life of a server starts with the new one."""
        old, controller = self.configuration, self.nodes[CONTROLLER]
        found = difference(old, new)
        known = frozenset(controller.machine.hosts) if isinstance(controller.machine, Controller) else frozenset()
        for host in found.hosts:
            if host.name in self.systems:
                self._slots[host.name] = host.slots
                self.log.add(Sized(self.calendar.now, host.name, host.slots))
            else:
                self.size_host(host.name, host.slots, False)
        declare(self.log, self.calendar.now, new.cluster, old.cluster)
        for order in task_orders(found):
            self.nodes[self.sides[0].node].receive(order)
        for host_order in host_orders(old, found, known):
            controller.receive(host_order)
        self.configuration = replace(new, cluster=replace(old.cluster, hosts=new.cluster.hosts))
        self.sides[0].configuration = self.configuration

    def _heal(self) -> None:
        self.crashes.disarm()
        self.log.add(Healed(self.calendar.now, self.scenario.bound_ns))

    # effects

    def _carry_out(self, node: Node, effects: Sequence[Any]) -> None:
        """Where disks or crashes are modelled: what leaves a server process waits for its disk, and anything may be
        the last thing that its process does."""
        disk = self.processes.disks.get(node.name)
        self._undone[node.name] = rest = iter(effects)
        if disk is not None:
            disk.take(node, rest)
            return
        machine, name, table = node.machine, self.processes.of(node.name)[0], self._effects
        while node.machine is machine and not (self._counts and self.crashes.ends(name)):
            effect = next(rest, None)
            if effect is None:
                return
            table[type(effect)](node, effect)

    def _carry_out_now(self, node: Node, effects: Sequence[Any]) -> None:
        if effects and type(effects[0]) is Commit:  # most are, and they come first; as of `_durable`
            count = self.log.commit_all(self.calendar.now, node.name, effects)
            if node.journal is not None:
                node.journal += [each.record for each in effects[:count]]
            if count == len(effects):
                return
            effects = effects[count:]
        for effect in effects:
            self._effects[type(effect)](node, effect)

    def _carry_out_of_host(self, node: Node, effects: Sequence[Any]) -> None:
        """The same for an agent, which commits nothing: orders that follow each other are handed on in one go."""
        orders: list[KeeperOrder] = []
        for effect in effects:
            if type(effect) is ToKeeper:
                orders.append(effect.order)
                continue
            if orders:
                self.systems[node.name].order(orders)
                orders = []
            self._effects[type(effect)](node, effect)
        if orders:
            self.systems[node.name].order(orders)

    def _commit(self, node: Node, effect: Commit) -> None:
        self._durable(node.name, effect.record)

    def _durable(self, name: str, record: Record) -> None:
        """The record of a machine is on the disk."""
        self.log.commit(Committed(self.calendar.now, name, record))
        if self._keeps_journals:
            journal = self.nodes[name].journal
            assert journal is not None
            journal.append(record)

    def _to_keeper(self, node: Node, effect: ToKeeper) -> None:
        self.systems[node.name].order((effect.order,))

    def _look(self, node: Node, effect: Look) -> None:
        self.systems[node.name].look(effect)

    def _connect(self, node: Node, effect: Connect) -> None:
        link = self.network.links.get((node.name, effect.host))
        if link is None:  # a host that an order added while running: the scenario has no such machine
            self._notice(node, Notice("warning", f"host {effect.host}", "the scenario has no such machine"))
            return
        self.network.connect(link)

    def _disconnect(self, node: Node, effect: Disconnect) -> None:
        link = self.network.links.get((node.name, effect.host))
        if link is not None:
            self.network.disconnect(link, "closed by the controller", tell_superior=False)

    def _notice(self, node: Node, effect: Notice) -> None:
        self.log.add(Noticed(self.calendar.now, node.name, effect.level, effect.about, effect.text))

    def notice(self, name: str, notice: Notice) -> None:
        """A notice of the node `name`."""
        self._notice(self.nodes[name], notice)

    def _answer(self, node: Node, effect: Answer) -> None:
        if effect.request < 0:
            self._sides.get(node.name, self.sides[0]).to_scripts(node, effect)
        elif effect.request > 0:
            self.answers.append(effect)

    def _is_idle(self, node: Node, effect: Idle) -> None:
        self.idle = True

    def _of_scripts(self, node: Node, effect: Any) -> None:
        driver = self._sides[node.name].driver
        assert driver is not None, "only scripts ask for this"
        driver.effects[type(effect)](node, effect)
