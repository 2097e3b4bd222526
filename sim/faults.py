"""Faults: what each kind does to the world when it begins, and when it ends.

A fault is a switch on something modelled (power, a freeze counter, a direction of a link); no machine is told of it.
Every kind may overlap with any other, and with itself: switches are counters, or lists of what each fault says, so what
one fault does is over when the last fault that does it ends, and all is exactly as it was before the first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from math import prod
from typing import Protocol

from msgspec.structs import replace

from model.errors import ConfigurationError
from model.events import HostDirty
from sim.calendar import FAULT, Calendar
from sim.crashes import Crashes
from sim.disk import Disk
from sim.fault_plans import FaultRow, places_of
from sim.log import EventLog, FaultChanged
from sim.network import Link, Network
from sim.node import Node
from sim.processes import Processes
from sim.scenario import Fault, Kind, Scenario
from sim.system import Hang, System, keeper_process

LOCAL = "local"
CONTROLLER = "controller"
SCHEDULER = "scheduler"
RESTART_NS = 1_000_000_000
"""How long a restart takes when the fault does not say."""
NO_PROCESS = -1
"""A limit of processes under which nothing can be started."""
SERVICE_NS = 100_000_000
"""How long an overloaded server takes for each batch when the fault does not say."""

HOST_KINDS = frozenset(
    {Kind.DOWN, Kind.SILENT, Kind.SUSPENDED, Kind.FLAPPING, Kind.REBOOT, Kind.AGENT_RESTART, Kind.FULL, Kind.SLOW,
     Kind.FAILING, Kind.OVERLOADED, Kind.KEEPER_CRASHED, Kind.HUNG}
)  # fmt: skip
DISK_KINDS = frozenset({Kind.DISK_FULL, Kind.DISK_HANGS, Kind.DISK_BROKEN})
SERVER_KINDS = DISK_KINDS | {Kind.FROZEN, Kind.RESTARTED, Kind.CRASHED, Kind.OVERLOADED}
LINK_KINDS = frozenset({Kind.LOST, Kind.ONE_WAY, Kind.SLOW, Kind.LOSSY, Kind.DOUBLED, Kind.REORDERED, Kind.BROKEN})
MOMENTS = frozenset({Kind.BROKEN, Kind.WALL_STEP})
"""Faults that last no time."""
AWAY_A_WHILE = frozenset({Kind.RESTARTED, Kind.REBOOT, Kind.AGENT_RESTART, Kind.CRASHED, Kind.KEEPER_CRASHED})
"""Faults after which what is gone comes back by itself: after `RESTART_NS`, when they do not say."""
RESTARTS = frozenset({Kind.RESTARTED, Kind.CRASHED, Kind.DISK_BROKEN})
"""Faults after which a server process reads its journal."""
CRASHES = frozenset({Kind.CRASHED, Kind.KEEPER_CRASHED})
"""Faults that wait for their boundary."""


class Place(Protocol):
    """What faults need of the world."""

    calendar: Calendar
    log: EventLog
    network: Network
    nodes: dict[str, Node]
    systems: dict[str, System]
    processes: Processes
    crashes: Crashes

    @property
    def servers(self) -> tuple[str, ...]: ...

    def stop_node(self, name: str, reason: str, unacknowledged: bool = False, powerless: bool = False) -> None: ...

    def start_node(self, name: str) -> None: ...

    def boot_host(self, name: str) -> None: ...

    def step_wall_clock(self, by_ns: int) -> None: ...


class Faults:
    """Carries out a fault plan."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._begin: dict[Kind, Callable[[Fault], None]] = {
            Kind.DOWN: self._power_off,
            Kind.SILENT: self._freeze,
            Kind.SUSPENDED: self._suspend,
            Kind.REBOOT: self._power_off,
            Kind.AGENT_RESTART: self._stop_agent,
            Kind.FULL: self._fill_disk,
            Kind.SLOW: self._slow_down,
            Kind.FAILING: self._fail_jobs,
            Kind.OVERLOADED: self._overload,
            Kind.HUNG: self._hang,
            Kind.FROZEN: self._freeze,
            Kind.RESTARTED: self._stop_server,
            Kind.LOST: self._block,
            Kind.ONE_WAY: self._block,
            Kind.LOSSY: self._weather_on,
            Kind.DOUBLED: self._weather_on,
            Kind.REORDERED: self._weather_on,
            Kind.BROKEN: self._break,
            Kind.WALL_STEP: self._step,
            Kind.DISK_FULL: self._fill_journal,
            Kind.DISK_HANGS: self._hang_journal,
            Kind.DISK_BROKEN: self._break_journal,
            Kind.CRASHED: self._await_crash,
            Kind.KEEPER_CRASHED: self._await_crash,
        }
        self._end: dict[Kind, Callable[[Fault], None]] = {
            Kind.DOWN: self._power_on,
            Kind.SILENT: self._thaw,
            Kind.SUSPENDED: self._resume,
            Kind.REBOOT: self._power_on,
            Kind.AGENT_RESTART: self._start_agent,
            Kind.FULL: self._free_disk,
            Kind.SLOW: self._speed_up,
            Kind.FAILING: self._fail_no_jobs,
            Kind.OVERLOADED: self._unload,
            Kind.HUNG: self._hang_no_more,
            Kind.FROZEN: self._thaw,
            Kind.RESTARTED: self._start_server,
            Kind.LOST: self._unblock,
            Kind.ONE_WAY: self._unblock,
            Kind.LOSSY: self._weather_off,
            Kind.DOUBLED: self._weather_off,
            Kind.REORDERED: self._weather_off,
            Kind.DISK_FULL: self._empty_journal,
            Kind.DISK_HANGS: self._free_journal,
            Kind.DISK_BROKEN: self._mend_journal,
        }
        self._agents_away: Counter[str] = Counter()
        self._servers_away: Counter[str] = Counter()
        """by the first machine of the process"""
        self._hangs: dict[Fault, list[Hang]] = {}
        self._process_limits: dict[str, list[int]] = {}
        """by host, its own first: 0: none"""
        self._factors: dict[str, list[float]] = {}
        """how slow: by host, its own first"""
        self._chances: dict[tuple[Kind, str, str], list[float]] = {}
        """of the faults that are at a link: the kind, and its two ends"""

    def plan(self, scenario: Scenario) -> None:
        """Put every fault into the calendar; of each plan its next one, so that their number does not matter. Raises
        `ConfigurationError` for one that cannot be."""
        for fault in scenario.faults:
            self._check(fault)
            self._put(fault)
        for plan in scenario.plans:
            for nodes in places_of(plan):
                self._check(replace(plan.fault, nodes=nodes))
            self._await(FaultRow(plan, scenario.seed, self._place.calendar.until_ns))

    def _await(self, faults: FaultRow) -> None:
        fault = faults.next()
        if fault is None:
            return

        def come() -> None:
            self._put(fault)
            self._await(faults)

        self._place.calendar.call_after(fault.at_ns - self._place.calendar.now, FAULT, come)

    def _put(self, fault: Fault) -> None:
        for at_ns, for_ns, kind in self._episodes(fault):
            episode = replace(fault, kind=kind, at_ns=at_ns, for_ns=for_ns)
            self._at(at_ns, episode, True)
            if for_ns and kind not in CRASHES:
                self._at(at_ns + for_ns, episode, False)

    def _episodes(self, fault: Fault) -> list[tuple[int, int, Kind]]:
        """(at, for, kind) of each stretch; flapping is a row of short outages."""
        if fault.kind is Kind.FLAPPING:
            until = fault.at_ns + fault.for_ns if fault.for_ns else self._place.calendar.until_ns
            starts = range(fault.at_ns, until, 2 * fault.every_ns)
            return [(start, min(fault.every_ns, until - start), Kind.DOWN) for start in starts]
        for_ns = fault.for_ns
        if fault.kind in (Kind.RESTARTED, Kind.REBOOT, Kind.AGENT_RESTART) and not for_ns:
            for_ns = RESTART_NS
        return [(fault.at_ns, for_ns, fault.kind)]

    def _at(self, at_ns: int, fault: Fault, on: bool) -> None:
        place = self._place

        def happen() -> None:
            if fault.kind not in CRASHES:  # which are told when they happen
                place.log.add(FaultChanged(place.calendar.now, fault.kind.value, fault.nodes, on))
            table = self._begin if on else self._end
            action = table.get(fault.kind)
            if action is not None:
                action(fault)

        place.calendar.call_after(at_ns - place.calendar.now, FAULT, happen)

    def _check(self, fault: Fault) -> None:
        """Whether the fault names what is there."""
        names = fault.nodes
        kind = fault.kind
        if kind is Kind.WALL_STEP:
            return
        if len(names) == 2 and kind in LINK_KINDS:
            self._link(fault)
            return
        known = list(self._place.servers) if kind in SERVER_KINDS else []
        if kind in HOST_KINDS or kind is Kind.CRASHED:
            known += self._place.systems
        if len(names) != 1 or names[0] not in known:
            raise ConfigurationError(
                f"fault {kind.value} at {' '.join(names) or 'nothing'}: there is no such thing",
                f"it may be at: {', '.join(known)}",
            )

    def _link(self, fault: Fault) -> Link:
        one, other = fault.nodes
        links = self._place.network.links
        link = links.get((one, other)) or links.get((other, one))
        if link is None:
            raise ConfigurationError(
                f"fault {fault.kind.value}: there is no link between {one} and {other}",
                "links go from each scheduler to the controller and to its local, and from the controller to each host",
            )
        return link

    # hosts

    def _system(self, fault: Fault) -> System:
        return self._place.systems[fault.nodes[0]]

    def _power_off(self, fault: Fault) -> None:
        name, system = fault.nodes[0], self._system(fault)
        system.off += 1
        if system.off == 1:
            powerless = fault.kind is Kind.DOWN
            reason = "the host went down" if powerless else "connection reset: the host went down"
            self._place.stop_node(name, reason, powerless=powerless)
            system.power_off()
        if fault.spool_lost:
            system.lose_spool()

    def _power_on(self, fault: Fault) -> None:
        system = self._system(fault)
        system.off -= 1
        if not system.off:
            self._place.boot_host(fault.nodes[0])

    def _stop_agent(self, fault: Fault) -> None:
        name = fault.nodes[0]
        self._agents_away[name] += 1
        if self._place.nodes[name].machine is not None:
            self._place.stop_node(name, "connection reset: its agent is gone", fault.unacknowledged)

    def _start_agent(self, fault: Fault) -> None:
        name = fault.nodes[0]
        self._agents_away[name] -= 1
        node = self._place.nodes[name]
        if not self._agents_away[name] and not self._system(fault).off and node.machine is None:
            self._place.start_node(name)

    def _suspend(self, fault: Fault) -> None:
        self._freeze(fault)
        self._system(fault).suspend()

    def _resume(self, fault: Fault) -> None:
        self._system(fault).resume()
        self._thaw(fault)

    def _fill_disk(self, fault: Fault) -> None:
        system = self._system(fault)
        system.full += 1
        self._place.nodes[fault.nodes[0]].receive(HostDirty("its disk is full"))

    def _free_disk(self, fault: Fault) -> None:
        system = self._system(fault)
        system.full -= 1
        if not system.full:
            self._place.nodes[fault.nodes[0]].receive(HostDirty(""))

    def _slow_down(self, fault: Fault) -> None:
        if len(fault.nodes) == 2:
            self._delay(fault, fault.delay_ns)
        else:
            factors = self._factors.setdefault(fault.nodes[0], [self._system(fault).slowness])
            factors.append(fault.factor)
            self._system(fault).slowness = prod(factors)

    def _speed_up(self, fault: Fault) -> None:
        if len(fault.nodes) == 2:
            self._delay(fault, -fault.delay_ns)
        else:
            factors = self._factors[fault.nodes[0]]
            factors.remove(fault.factor)
            self._system(fault).slowness = prod(factors)

    def _fail_jobs(self, fault: Fault) -> None:
        self._system(fault).failing += 1

    def _fail_no_jobs(self, fault: Fault) -> None:
        self._system(fault).failing -= 1

    def _overload(self, fault: Fault) -> None:
        if fault.nodes[0] in self._place.servers:
            self._serve(fault.nodes[0], fault.delay_ns or SERVICE_NS)
        else:
            limits = self._process_limits.setdefault(fault.nodes[0], [self._system(fault).processes_max])
            limits.append(fault.limit or NO_PROCESS)
            self._limit_processes(fault, limits)

    def _unload(self, fault: Fault) -> None:
        if fault.nodes[0] in self._place.servers:
            self._serve(fault.nodes[0], -(fault.delay_ns or SERVICE_NS))
        else:
            limits = self._process_limits[fault.nodes[0]]
            limits.remove(fault.limit or NO_PROCESS)
            self._limit_processes(fault, limits)

    def _limit_processes(self, fault: Fault, limits: list[int]) -> None:
        """What the host allows itself and what faults leave it: the strictest of them."""
        strict = [limit for limit in limits if limit]
        self._system(fault).processes_max = NO_PROCESS if NO_PROCESS in strict else min(strict, default=0)

    def _serve(self, name: str, more_ns: int) -> None:
        """Every batch takes so much more (or less) time of the process in which this machine lives."""
        members = self._in_one_process(name)
        for member in members:
            self._place.network.unvouch_node(member)
        self._place.network.serve(members, more_ns)

    def _hang(self, fault: Fault) -> None:
        hang = Hang(fault.limit)
        self._hangs.setdefault(fault, []).append(hang)
        self._system(fault).hang(hang)

    def _hang_no_more(self, fault: Fault) -> None:
        self._system(fault).hangs.remove(self._hangs[fault].pop())

    # machines that stand still or are gone

    def _freeze(self, fault: Fault) -> None:
        for name in self._in_one_process(fault.nodes[0]):
            self._place.network.unvouch_node(name)
            self._place.nodes[name].frozen += 1

    def _thaw(self, fault: Fault) -> None:
        for name in self._in_one_process(fault.nodes[0]):
            self._place.nodes[name].thaw()

    def _in_one_process(self, name: str) -> tuple[str, ...]:
        """The machines that stand still or are gone together."""
        return self._place.processes.of(name)

    def _stop_server(self, fault: Fault) -> None:
        name = fault.nodes[0]
        reason = f"connection reset: the {name} is gone"
        self._servers_away[self._in_one_process(name)[0]] += 1
        self._place.processes.stop(name, reason, unacknowledged=fault.unacknowledged, kept=fault.kept)

    def _start_server(self, fault: Fault) -> None:
        self._servers_away[self._in_one_process(fault.nodes[0])[0]] -= 1
        self._start_if_none_away(fault.nodes[0])

    def _start_if_none_away(self, name: str) -> None:
        if not self._servers_away[self._in_one_process(name)[0]]:
            self._place.processes.start(name)

    # crashes at a boundary

    def _await_crash(self, fault: Fault) -> None:
        if fault.limit:
            name = fault.nodes[0]
            process = keeper_process(name) if fault.kind is Kind.KEEPER_CRASHED else self._in_one_process(name)[0]
            self._place.crashes.arm(process, fault.limit, lambda: self._crash(fault))
        else:
            self._crash(fault)

    def _crash(self, fault: Fault) -> None:
        """It is gone here and now, and comes back."""
        place = self._place
        back = self._crash_keeper(fault) if fault.kind is Kind.KEEPER_CRASHED else self._crash_process(fault)
        if back is None:
            return
        place.log.add(FaultChanged(place.calendar.now, fault.kind.value, fault.nodes, True))

        def come_back() -> None:
            place.log.add(FaultChanged(place.calendar.now, fault.kind.value, fault.nodes, False))
            back()

        place.calendar.call_after(fault.for_ns or RESTART_NS, FAULT, come_back)

    def _crash_keeper(self, fault: Fault) -> Callable[[], None] | None:
        system = self._system(fault)
        dead = system.kill_keeper()
        return None if dead is None else lambda: system.replace_keeper(dead)

    def _crash_process(self, fault: Fault) -> Callable[[], None]:
        if self._in_one_process(fault.nodes[0])[0] in self._place.servers:
            self._stop_server(fault)
            return lambda: self._start_server(fault)
        self._stop_agent(fault)
        return lambda: self._start_agent(fault)

    # the journals' disks

    def _disk(self, fault: Fault) -> Disk:
        return self._place.processes.disks[fault.nodes[0]]

    def _fill_journal(self, fault: Fault) -> None:
        self._disk(fault).full += 1

    def _empty_journal(self, fault: Fault) -> None:
        self._disk(fault).full -= 1

    def _hang_journal(self, fault: Fault) -> None:
        self._disk(fault).hangs += 1

    def _free_journal(self, fault: Fault) -> None:
        self._disk(fault).hangs -= 1

    def _break_journal(self, fault: Fault) -> None:
        self._disk(fault).broken += 1

    def _mend_journal(self, fault: Fault) -> None:
        disk = self._disk(fault)
        disk.broken -= 1
        if not disk.broken:
            self._start_if_none_away(fault.nodes[0])

    # links

    def _block(self, fault: Fault) -> None:
        self._switch(fault, 1)

    def _unblock(self, fault: Fault) -> None:
        self._switch(fault, -1)

    def _switch(self, fault: Fault, by: int) -> None:
        link = self._link(fault)
        self._place.network.unvouch(link)
        for direction in (link.down, link.up):
            sender = link.superior if direction is link.down else link.subordinate
            if fault.kind is Kind.LOST or sender.name == fault.nodes[0]:
                direction.blocked += by
                direction.changed()

    def _delay(self, fault: Fault, by_ns: int) -> None:
        link = self._link(fault)
        self._place.network.unvouch(link)
        link.down.extra_ns += by_ns
        link.up.extra_ns += by_ns

    def _weather_on(self, fault: Fault) -> None:
        self._set_weather(fault, 1)

    def _weather_off(self, fault: Fault) -> None:
        self._set_weather(fault, -1)

    def _set_weather(self, fault: Fault, sign: int) -> None:
        link = self._link(fault)
        self._place.network.unvouch(link)
        chances = self._chances.setdefault((fault.kind, link.superior.name, link.subordinate.name), [])
        if sign > 0:
            chances.append(fault.chance)
        else:
            chances.remove(fault.chance)
        for direction in (link.down, link.up):
            if fault.kind is Kind.LOSSY:
                direction.loss = max(chances, default=direction.usual_loss)
            elif fault.kind is Kind.DOUBLED:
                direction.doubling = max(chances, default=direction.usual_doubling)
                direction.echo_ns += sign * fault.delay_ns
            else:
                direction.spread_ns += sign * (fault.delay_ns or RESTART_NS)
            direction.changed()

    def _break(self, fault: Fault) -> None:
        link = self._link(fault)
        self._place.network.disconnect(link, "connection reset by the network", tell_superior=True)

    # clocks

    def _step(self, fault: Fault) -> None:
        self._place.step_wall_clock(fault.delay_ns)
