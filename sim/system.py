"""The modelled operating system of one host: its keeper, its processes, its spool, and what can be wrong with them.

The keeper is the very machine of `model/keeper.py`; the processes do what the weather says. Suspension, reboots
and the death of processes are true here, whatever any machine believes about them. (Several keepers use more cores of a
real host; here they would only cost time.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from msgspec import Struct
from msgspec.structs import replace

from model.effects import Look
from model.events import FilesSeen, KeeperDown, KeeperSaid, KeeperUp
from model.job import AttemptKey, JobId, JobSpec, Outcome, Report
from model.keeper import (
    Died,
    Exited,
    Forget,
    Holding,
    Keeper,
    KeeperEvent,
    KeeperMessage,
    Log,
    Order,
    Recalled,
    Running,
    SignalTree,
    Spawn,
    Spawned,
    SpawnFailed,
)
from model.messages import Entry, Held
from sim.calendar import END, REPLY, TURN, Alarm, Calendar
from sim.crashes import Crashes
from sim.log import EventLog, ProcessEnded, ProcessStarted
from sim.node import Node
from sim.weather import Fate

TERM = 15
KILL = 9
KEEPER = 0
"""What the agent calls the keeper."""
DEATH_NS = 1_000_000
"""From a signal to the end of the process that it kills."""
LOOK_NS = 1_000_000
"""To list a directory."""
BRIEF_NS = 20_000_000
"""That a job runs is not told when it is over by then, as live."""
FAILS_AT_ONCE = Fate(1_000_000, 1, None, False, False, False, 0, 0)
"""What becomes of a job on a host that ends everything."""


class WeatherHere(Protocol):
    """What is known of jobs on this host, by their numbers there."""

    def fate(self, task: str, job: JobId, attempt: int) -> Fate | None: ...

    def visible_at(self, job: JobId, path: str, ended_ns: int | None) -> int: ...


class Hang:
    """A fault by which processes hang. `room`: how many more; None: all."""

    __slots__ = ("room",)

    def __init__(self, limit: int) -> None:
        self.room: int | None = limit or None

    def takes(self) -> bool:
        """Whether one more hangs."""
        if self.room is None:
            return True
        if not self.room:
            return False
        self.room -= 1
        return True


class Process(Struct, eq=False):
    """The process tree of one attempt; in the calendar it is its own end, which happens if it was not moved meanwhile.
    `ends_at` None: it does not end by itself."""

    system: System
    key: AttemptKey
    slots: int
    keeper: ModelledKeeper
    pid: int
    fate: Fate
    ends_at: int | None = None
    suspended_ns: int = 0

    def happens(self) -> None:
        """It ends."""
        system = self.system
        if system.suspended or self.ends_at != system.calendar.now or system.processes.get(self.key) is not self:
            return
        fate = self.fate
        system.gone(self, fate.exit_code, fate.signal)
        job, attempt = self.key
        self.keeper.receive(
            Died(job, attempt, fate.exit_code, fate.signal, fate.core, fate.oom, fate.stdout_bytes, fate.stderr_bytes)
        )


class ModelledKeeper:
    """The keeper machine of a host."""

    __slots__ = ("_alarm", "_calendar", "_events", "_machine", "_system", "_working", "dead")

    def __init__(self, system: System, calendar: Calendar, lease_ns: int) -> None:
        self.dead = 0
        """how many faults have killed it that are not over, the last of them for good"""
        self._system = system
        self._calendar = calendar
        self._machine = Keeper(system.node.clock.read(calendar.now), lease_ns)
        self._alarm = Alarm(calendar, TURN, self._rings)
        self._events: list[KeeperEvent] = []
        """what came while it worked, or while its machine stood still"""
        self._working = False

    def receive(self, event: KeeperEvent) -> None:
        """A word of the operating system; all that follows at once is done, or will be, when it comes in the middle of
        that."""
        if self._working or self._system.suspended:
            self._events.append(event)
        elif not self.dead:
            self.work((event,))

    def take(self, orders: Sequence[Order]) -> None:
        """What the agent orders of this keeper in one turn, each with all that follows from it at once."""
        if self._working or self._system.suspended:
            self._events.extend(orders)
        elif not self.dead:
            self.work(orders)

    def restore(self, ended: list[Entry]) -> None:
        """Hold what its predecessor's log tells."""
        self._machine.restore(ended)

    def work(self, given: Sequence[KeeperEvent]) -> None:
        """Take these events, then do what the machine asks for, then take what came of that, and so on."""
        machine, system = self._machine, self._system
        clock, true_ns = system.node.clock, self._calendar.now
        ahead_ns = clock.ahead_ns
        now = clock.read(true_ns) if ahead_ns is None else true_ns + ahead_ns
        self._working = True
        if system.crashes is not None:
            if not self._work_by_steps(given, now):
                return
            given = ()
        while given:
            for event in given:
                machine.receive(event, now)
            effects = machine.effects
            if effects:
                for effect in effects:
                    _ACTIONS[type(effect)](system, effect)
                effects.clear()
            given = self._events
            if given:
                self._events = []
        self._working = False
        due = machine.next_due()
        if due is not None:
            when = clock.when(due)
            if when < self._alarm.at:
                self._alarm.want(max(when, true_ns))

    def _work_by_steps(self, given: Sequence[KeeperEvent], now: int) -> bool:
        """The same one after the other, where each step may be the last one; False: it was."""
        for each in given:
            event = each
            while True:
                self._machine.receive(event, now)
                if not self._carry_out():
                    return False
                if not self._events:
                    break
                event = self._events.pop(0)
        return True

    def _rings(self) -> None:
        if self.dead or self._system.suspended or self._system.keeper is not self:
            return
        machine = self._machine
        now = self._system.node.clock.read(self._calendar.now)
        due = machine.next_due()
        if due is not None and due <= now:
            machine.advance(now)
            if not self._carry_out():
                return
        if self._events:
            self.work((self._events.pop(0),))
        else:
            due = machine.next_due()
            if due is not None:
                self._alarm.want(max(self._system.node.clock.when(due), self._calendar.now))

    def _carry_out(self) -> bool:
        """Do what the machine asks for; False: the keeper died over it."""
        system = self._system
        crashes, effects = system.crashes, self._machine.drain()
        if crashes is None:
            for effect in effects:
                _ACTIONS[type(effect)](system, effect)
            return not self.dead
        name = keeper_process(system.node.name)
        for effect in effects:
            if crashes.ends(name) or self.dead:
                return False
            _ACTIONS[type(effect)](system, effect)
        return not (self.dead or (effects and crashes.ends(name)))

    def wake(self) -> None:
        """The machine was suspended and goes on."""
        if not self.dead:
            self.work((self._events.pop(0),) if self._events else ())
        self._rings()


def keeper_process(host: str) -> str:
    """What a host's keeper is called where boundaries are counted."""
    return f"{host}/keeper"


class System:
    """One host's operating system, through all its boots."""

    __slots__ = (
        "_lease_ns",
        "_left",
        "_log",
        "_pids",
        "_suspended_at",
        "_weather",
        "calendar",
        "crashes",
        "failing",
        "full",
        "hangs",
        "keeper",
        "node",
        "off",
        "processes",
        "processes_max",
        "remembers",
        "slowness",
        "spool",
        "suspended",
    )

    def __init__(self, node: Node, calendar: Calendar, log: EventLog, weather: WeatherHere, lease_ns: int) -> None:
        self.node = node
        self.keeper: ModelledKeeper | None = None
        """None: it has no power"""
        self.processes: dict[AttemptKey, Process] = {}
        self.suspended = 0
        """how many faults keep the whole machine standing still"""
        self.off = 0
        """how many faults keep it without power"""
        self.slowness = 1.0
        """run times are multiplied by this"""
        self.processes_max = 0
        """0: any number"""
        self.failing = 0
        """how many faults end whatever starts there at once"""
        self.hangs: list[Hang] = []
        """the faults by which what runs or starts there hangs"""
        self.full = 0
        """how many faults fill its disk"""
        self.remembers = 0
        """the earliest life of the agent whose attempts the spool covers; 0: there is none yet"""
        self.crashes: Crashes | None = None
        """counts the boundaries of its keeper; None: nobody wants to know"""
        self.spool: dict[AttemptKey, tuple[JobSpec, Report | None, int]] = {}
        """the keepers' logs: (spec, report of the end, when it ended in true ns)"""
        self._left: dict[AttemptKey, None] = {}
        """what is in logs of keepers of earlier boots"""
        self.calendar = calendar
        self._log = log
        self._weather = weather
        self._lease_ns = lease_ns
        self._pids = 1000
        self._suspended_at = 0

    # power

    def boot(self) -> None:
        """Start a new keeper. What the logs of the earlier ones hold has ended, whatever it was."""
        self.keeper = ModelledKeeper(self, self.calendar, self._lease_ns)
        for key, (spec, report, ended_ns) in self.spool.items():
            ended = report or Report(Outcome.LOST, reason="its host was booted anew", started=True)
            self.spool[key] = (spec, ended, ended_ns)
            self._left[key] = None

    def left(self) -> Holding | None:
        """What logs of earlier boots hold: every new agent reads them."""
        entries: list[Entry] = []
        for job, attempt in self._left:
            spec, report, _ = self.spool[job, attempt]
            entries.append(Entry(job, attempt, Held.ENDED, spec, self.node.name, report))
        return Holding(tuple(entries)) if entries else None

    def power_off(self) -> None:
        """All processes are gone at once, the keeper with them."""
        self.keeper = None
        for process in list(self.processes.values()):
            self.gone(process, None, KILL)

    def lose_spool(self) -> None:
        """The disk is empty: nothing is known of what ran here before."""
        self.spool.clear()
        self._left.clear()
        self.remembers = 0

    def kill_keeper(self) -> ModelledKeeper | None:
        """A keeper is gone, its processes go on. None: there is none to kill."""
        keeper = self.keeper
        if keeper is not None:
            keeper.dead += 1
            if keeper.dead == 1:
                self.node.receive(KeeperDown(KEEPER))
        return keeper

    def replace_keeper(self, dead: ModelledKeeper) -> None:
        """A new one ends what the dead one left, and holds what the log says, before it listens to anybody."""
        if dead.dead > 1:
            dead.dead -= 1  # another fault keeps it gone
            return
        if self.keeper is not dead:
            return  # the host was booted meanwhile
        for process in [one for one in self.processes.values() if one.keeper is dead]:
            self.gone(process, None, KILL)
        ended: list[Entry] = []
        for key, (spec, report, ended_ns) in self.spool.items():
            told = report or Report(Outcome.LOST, reason="its keeper died", started=True)
            self.spool[key] = (spec, told, ended_ns)
            self._left.pop(key, None)
            ended.append(Entry(*key, Held.ENDED, spec, "", told))
        self.keeper = keeper = ModelledKeeper(self, self.calendar, self._lease_ns)
        keeper.restore(ended)
        self.node.receive(KeeperUp(KEEPER))

    def suspend(self) -> None:
        """The whole machine stands still."""
        self.suspended += 1
        if self.suspended == 1:
            self._suspended_at = self.calendar.now

    def resume(self) -> None:
        """It goes on; what ran has lost the time."""
        self.suspended -= 1
        if self.suspended:
            return
        away = self.calendar.now - self._suspended_at
        for process in self.processes.values():
            process.suspended_ns += away
            if process.ends_at is not None:
                self._end_after(process, process.ends_at + away - self.calendar.now)
        if self.keeper is not None:
            self.keeper.wake()

    # what the keeper is asked for, and asks for

    def order(self, orders: Sequence[Order]) -> None:
        """What the agent orders in one turn. The keeper has it in one go: a turn of many jobs reads the clock and asks
        for what is due once, not for each."""
        for order in orders:
            if type(order) is Forget:
                self.spool.pop((order.job, order.attempt), None)
                if self._left:
                    self._left.pop((order.job, order.attempt), None)
        if self.keeper is not None:
            self.keeper.take(orders)

    def tell_run(self, message: Running) -> None:
        """A word to the agent, unless it is over in a moment."""
        process = self.processes.get((message.job, message.attempt))
        if process is None or process.ends_at is None or process.ends_at - self.calendar.now > BRIEF_NS:
            self.node.receive_last(KeeperSaid(KEEPER, message))

    def tell(self, message: KeeperMessage) -> None:
        """Another word to the agent."""
        self.node.receive_last(KeeperSaid(KEEPER, message))

    def write_log(self, entry: Log) -> None:
        """The log is durable at once."""
        key = (entry.job, entry.attempt)
        if entry.report is None:
            assert entry.spec is not None
            self.spool[key] = (entry.spec, None, 0)
            return
        begun = self.spool.get(key)
        if begun is not None:
            self.spool[key] = (begun[0], entry.report, self.calendar.now)

    def spawn(self, effect: Spawn) -> None:
        """Start a process, or say why not."""
        keeper = self.keeper
        assert keeper is not None, "it has asked for it"
        spec, job, attempt = effect.spec, effect.job, effect.attempt
        if self.processes_max and len(self.processes) >= self.processes_max:  # (none at all: it is less than 0)
            keeper.receive(SpawnFailed(job, attempt, True, "Resource temporarily unavailable"))
            return
        fate = self._weather.fate(spec.task, job, attempt)
        if fate is None:
            command = spec.command[0] if spec.command else spec.call or ""
            keeper.receive(SpawnFailed(job, attempt, False, f"{command}: No such file or directory"))
            return
        calendar = self.calendar
        now, key, slots = calendar.now, (job, attempt), spec.slots
        self._pids = pid = self._pids + 1
        if self.failing:
            fate = FAILS_AT_ONCE
        if self.hangs and any(hang.takes() for hang in self.hangs):
            fate = replace(fate, run_ns=None)
        run_ns, ends_at = fate.run_ns, None
        if run_ns is not None:
            ends_at = now
            if run_ns > 0:
                ends_at += run_ns if self.slowness == 1.0 else int(run_ns * self.slowness)
        self.processes[key] = process = Process(self, key, slots, keeper, pid, fate, ends_at)
        self._log.add(ProcessStarted(now, self.node.name, job, attempt, pid, slots))
        if ends_at is not None and ends_at < calendar.until_ns:
            calendar.at(ends_at, END, process)
        keeper.receive(Spawned(job, attempt, pid, 0))

    def hang(self, hang: Hang) -> None:
        """Processes that run hang, the oldest first, and so do those that start until the fault ends."""
        self.hangs.append(hang)
        for process in self.processes.values():
            if process.fate.run_ns is None:
                continue  # it hangs already, or a signal ends it
            if not hang.takes():
                return
            self._hold(process)

    @staticmethod
    def _hold(process: Process) -> None:
        process.ends_at = None
        process.fate = replace(process.fate, run_ns=None)

    def signal(self, effect: SignalTree) -> None:
        """TERM ends what does not ignore it; KILL ends everything."""
        process = self.processes.get((effect.job, effect.attempt))
        if process is None or (effect.number == TERM and process.fate.ignores_term):
            return
        fate = process.fate
        process.fate = Fate(None, None, effect.number, False, False, True, fate.stdout_bytes, fate.stderr_bytes)
        self._end_after(process, DEATH_NS)

    def _end_after(self, process: Process, delay_ns: int) -> None:
        at = self.calendar.now
        if delay_ns > 0:
            at += delay_ns
        process.ends_at = at
        if at < self.calendar.until_ns:
            self.calendar.at(at, END, process)

    def gone(self, process: Process, exit_code: int | None, signal: int | None) -> None:
        """A process is over."""
        del self.processes[process.key]
        job, attempt = process.key
        self._log.add(
            ProcessEnded(
                self.calendar.now, self.node.name, job, attempt, process.slots, exit_code, signal, process.suspended_ns
            )
        )

    # files

    def look(self, effect: Look) -> None:
        """Say after a moment which file is not visible."""
        self.calendar.call_after(LOOK_NS, REPLY, lambda: self._seen(effect))

    def _seen(self, effect: Look) -> None:
        logged = self.spool.get((JobId(effect.job), effect.attempt))
        ended_ns = None if logged is None or logged[1] is None else logged[2]
        now = self.calendar.now
        for path in effect.paths:
            if self._weather.visible_at(JobId(effect.job), path, ended_ns) > now:
                self.node.receive(FilesSeen(effect.job, effect.attempt, path))
                return
        self.node.receive(FilesSeen(effect.job, effect.attempt, None))


_ACTIONS: Final[dict[type, Callable[[System, Any], None]]] = {
    Running: System.tell_run,
    Exited: System.tell,
    Recalled: System.tell,
    Holding: System.tell,
    Log: System.write_log,
    Spawn: System.spawn,
    SignalTree: System.signal,
}
"""What is done for a keeper that asks for it."""
