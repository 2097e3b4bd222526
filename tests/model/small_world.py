"""A whole installation in one process, for tests of the machines: scheduler, controller, agents and keepers, wired
without delay, on a virtual clock. Tests say what happens; the world carries out drained lists.

Commands are words: `("run", "5", "0")` runs five seconds and exits 0; `("signal", "5", "11")` dies by a signal;
`("missing",)` cannot be started; `("busy",)` fails for want of room; `("deaf", "5")` ignores TERM.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from model.agent import Agent
from model.alarm_kinds import AlarmKind, AlarmSettings, Message, Trouble, host_troubles
from model.behaviour import Behaviour
from model.configuration import ClusterDefinition, HostDefinition
from model.controller import Controller
from model.effects import (
    Answer,
    AskSource,
    Commit,
    Connect,
    Disconnect,
    Effect,
    Idle,
    Look,
    LookAround,
    Notice,
    Notify,
    Prepare,
    React,
    ToKeeper,
    Transmit,
)
from model.events import (
    Delivered,
    FilesSeen,
    KeeperSaid,
    KeeperUp,
    LinkDown,
    LinkUp,
    LookedAround,
    Notified,
    SourceAnswered,
)
from model.job import LOCAL, SECOND, HostWish
from model.keeper import Died, Keeper, KeeperMessage, Log, Running, SignalTree, Spawn, Spawned, SpawnFailed
from model.records import AttemptEnded, JobAccepted, Record
from model.restored import fold
from model.scheduler import Scheduler
from model.task import Periods, TaskDefinition

ANY = HostWish()
BRIEF_NS = SECOND // 50
"""So long keepers wait before they tell that a job runs."""


def task(name: str = "reduce", *words: str, every: int = 10, **fields: Any) -> TaskDefinition:
    """A plain periodic task with short periods."""
    periods = Periods(
        exec_ns=every * SECOND,
        timeout_ns=fields.pop("timeout", 60) * SECOND,
        pending_ns=fields.pop("pending", 600) * SECOND,
    )
    return TaskDefinition(name=name, command=words or ("run", "5", "0"), periods=periods, **fields)


def cluster(*hosts: tuple[str, int], **fields: Any) -> ClusterDefinition:
    return ClusterDefinition(hosts=tuple(HostDefinition(name, slots) for name, slots in hosts), **fields)


class SmallHost:
    """Agent and one keeper, and processes that end by the clock."""

    def __init__(self, name: str, slots: int, cluster: ClusterDefinition, now: int) -> None:
        self.name = name
        self.times = cluster.times
        self.slots = slots
        self.epoch = 1
        self.reachable = True
        self.connected = False
        self.frozen = False
        self.boot(now)

    def boot(self, now: int) -> None:
        self.keeper = Keeper(now, self.times.lease_ns)
        self.processes: dict[tuple[int, int], tuple[int, int | None, int | None]] = {}
        self.ran: Counter[tuple[int, int]] = Counter()
        self.files: set[str] = set()
        self.new_agent(now, remembers=self.epoch)

    def new_agent(self, now: int, remembers: int) -> None:
        gives_back = self.name != LOCAL
        self.agent = Agent(self.name, self.epoch, now, self.slots, self.times, (0,), remembers, gives_back=gives_back)
        self.agent.receive(KeeperUp(0), now)


class SmallWorld:
    """`run(seconds)` advances the clock; `records`, `notices`, `answers` hold what came out."""

    def __init__(
        self,
        tasks: tuple[TaskDefinition, ...] = (),
        definition: ClusterDefinition | None = None,
        behaviours: Mapping[str, Behaviour] | None = None,
        alarms: AlarmSettings = AlarmSettings(),  # noqa: B008 - frozen
    ) -> None:
        self.now = 1_000 * SECOND
        self.cluster = definition or cluster(("node1", 2), ("node2", 2))
        self.tasks = tasks
        self.records: list[Record] = []
        self.notices: list[Notice] = []
        self.answers: list[Answer] = []
        self.asked: list[Prepare | React] = []
        """what slow behaviours were asked; a test answers"""
        self.printed: dict[tuple[int, int], tuple[int, int]] = {}
        """how many bytes an attempt writes to its output and its errors"""
        self.looks = 0
        self.idle = 0
        self.items: dict[str, tuple[str, ...]] = {}
        self.controller_frozen = False
        self.epoch = 1
        self.hosts = {h.name: SmallHost(h.name, h.slots, self.cluster, self.now) for h in self.cluster.hosts}
        self.hosts["local"] = SmallHost("local", self.cluster.local_slots, self.cluster, self.now)
        self.alarms = alarms
        self.told: list[tuple[str, Message]] = []
        """(notifier, what it was given), also when it failed"""
        self.failing: dict[str, str] = {}
        """notifiers that take nothing, and what they say"""
        self.disk_full = False
        self.scheduler = Scheduler(1, self.now, self.cluster, tasks, behaviours=behaviours, alarms=alarms)
        self.controller = Controller(1, self.now, self.cluster)
        self.link_up()
        self.settle()

    def link_up(self) -> None:
        self.scheduler.receive(LinkUp("controller"), self.now)
        self.scheduler.receive(LinkUp("local"), self.now)
        self.hosts["local"].connected = True

    # time

    def run(self, seconds: float) -> None:
        """Let so much time pass, event by event."""
        end = self.now + int(seconds * SECOND)
        while True:
            due = self._next()
            if due is None or due > end:
                break
            self.now = max(self.now, due)
            self._processes()
            self._advance()
            self.settle()
        self.now = end
        self.settle()

    def _machines(self) -> list[Any]:
        machines: list[Any] = [self.scheduler]
        if not self.controller_frozen:
            machines.append(self.controller)
        for host in self.hosts.values():
            if not host.frozen:
                machines += [host.agent]
            machines += [host.keeper]
        return machines

    def _next(self) -> int | None:
        dues = [due for machine in self._machines() if (due := machine.next_due()) is not None]
        dues += [end for host in self.hosts.values() for end, _, _ in host.processes.values()]
        return min(dues) if dues else None

    def _advance(self) -> None:
        for machine in self._machines():
            due = machine.next_due()
            if due is not None and due <= self.now:
                machine.advance(self.now)

    def _processes(self) -> None:
        for host in self.hosts.values():
            for key, (end, code, signal) in list(host.processes.items()):
                if end <= self.now:
                    del host.processes[key]
                    printed = self.printed.get(key, (0, 0))
                    host.keeper.receive(Died(*key, code, signal, False, False, *printed), self.now)

    # effects

    def settle(self) -> None:
        """Carry out drained lists until nothing is left to do at this instant."""
        for _ in range(10_000):
            if not self._settle_once():
                return
        raise AssertionError("the machines never come to rest")

    def _settle_once(self) -> bool:
        busy = False
        for effect in self.scheduler.drain():
            busy = True
            self._scheduler_effect(effect)
        if not self.controller_frozen:
            for effect in self.controller.drain():
                busy = True
                self._controller_effect(effect)
        for host in self.hosts.values():
            if not host.frozen:
                for effect in host.agent.drain():
                    busy = True
                    self._agent_effect(host, effect)
            for effect in host.keeper.drain():
                busy = True
                self._keeper_effect(host, effect)
        return busy

    def _scheduler_effect(self, effect: Effect) -> None:
        if isinstance(effect, Transmit):
            if effect.peer == "local":
                self._to_agent(self.hosts["local"], effect)
            elif not self.controller_frozen:
                self.controller.receive(Delivered("superior", effect.batch), self.now)
        elif isinstance(effect, AskSource):
            shown = self.items.get(effect.task, ())
            self.scheduler.receive(SourceAnswered(effect.task, effect.number, shown), self.now)
        elif isinstance(effect, LookAround):
            self._look_around(effect)
        elif isinstance(effect, Notify):
            self.told.append((effect.notifier, effect.message))
            error = self.failing.get(effect.notifier, "")
            self.scheduler.receive(Notified(effect.notifier, effect.number, error), self.now)
        else:
            self._note(effect)

    def _look_around(self, effect: LookAround) -> None:
        troubles, unsure = host_troubles(self.controller.hosts.values())
        if self.disk_full:
            troubles.append(Trouble(AlarmKind.DISK_FULL, "disk", "the disk is full"))
        known = None if self.controller_frozen else tuple(unsure)
        self.scheduler.receive(LookedAround(effect.number, tuple(troubles), known), self.now)

    def _controller_effect(self, effect: Effect) -> None:
        if isinstance(effect, Transmit):
            if effect.peer == "superior":
                self.scheduler.receive(Delivered("controller", effect.batch), self.now)
            else:
                self._to_agent(self.hosts[effect.peer], effect)
        elif isinstance(effect, Connect):
            host = self.hosts.get(effect.host)
            if host is not None and host.reachable:
                host.connected = True
                self.controller.receive(LinkUp(effect.host), self.now)
            else:
                self.controller.receive(LinkDown(effect.host, "No route to host"), self.now)
        elif isinstance(effect, Disconnect):
            self.hosts[effect.host].connected = False
            self.hosts[effect.host].agent.receive(LinkDown("superior", "closed"), self.now)
        else:
            self._note(effect)

    def _to_agent(self, host: SmallHost, effect: Transmit) -> None:
        if host.connected and not host.frozen:
            host.agent.receive(Delivered("superior", effect.batch), self.now)

    def _agent_effect(self, host: SmallHost, effect: Effect) -> None:
        if isinstance(effect, Transmit):
            if not host.connected:
                return
            if host.name == "local":
                self.scheduler.receive(Delivered("local", effect.batch), self.now)
            elif not self.controller_frozen:
                self.controller.receive(Delivered(host.name, effect.batch), self.now)
        elif isinstance(effect, ToKeeper):
            host.keeper.receive(effect.order, self.now)
        elif isinstance(effect, Look):
            self.looks += 1
            missing = next((path for path in effect.paths if path not in host.files), None)
            host.agent.receive(FilesSeen(effect.job, effect.attempt, missing), self.now)
        else:
            self._note(effect)

    def _keeper_effect(self, host: SmallHost, effect: Any) -> None:
        if isinstance(effect, KeeperMessage):
            if isinstance(effect, Running) and self._is_brief(host, effect):
                return
            if not host.frozen:
                host.agent.receive(KeeperSaid(0, effect), self.now)
        elif isinstance(effect, Spawn):
            self._spawn(host, effect)
        elif isinstance(effect, SignalTree):
            self._signal(host, effect)
        else:
            assert isinstance(effect, Log)

    def _is_brief(self, host: SmallHost, running: Running) -> bool:
        """That a job runs is not told when it is over in a moment, as live."""
        end = host.processes.get((running.job, running.attempt))
        return end is not None and end[0] - self.now <= BRIEF_NS

    def _spawn(self, host: SmallHost, effect: Spawn) -> None:
        key = (effect.job, effect.attempt)
        verb, *rest = effect.spec.command
        if verb in ("missing", "busy"):
            host.keeper.receive(SpawnFailed(*key, verb == "busy", f"{verb}: no such command"), self.now)
            return
        host.ran[key] += 1
        seconds = float(rest[0])
        code = int(rest[1]) if verb == "run" and len(rest) > 1 else (0 if verb != "signal" else None)
        signal = int(rest[1]) if verb == "signal" else None
        host.processes[key] = (self.now + int(seconds * SECOND), code, signal)
        self._deaf = getattr(self, "_deaf", set())
        if verb == "deaf":
            self._deaf.add(key)
        host.keeper.receive(Spawned(*key, 4711, 0), self.now)

    def _signal(self, host: SmallHost, effect: SignalTree) -> None:
        key = (effect.job, effect.attempt)
        if key in host.processes and (effect.number == 9 or key not in self._deaf):
            del host.processes[key]
            printed = self.printed.get(key, (0, 0))
            host.keeper.receive(Died(*key, None, effect.number, False, False, *printed), self.now)

    def _note(self, effect: Effect) -> None:
        if isinstance(effect, Commit):
            self.records.append(effect.record)
        elif isinstance(effect, Notice):
            self.notices.append(effect)
        elif isinstance(effect, Answer):
            self.answers.append(effect)
        elif isinstance(effect, Idle):
            self.idle += 1
        elif isinstance(effect, Prepare | React):
            self.asked.append(effect)
        else:
            raise AssertionError(f"nothing carries out {effect}")

    # what a test asks for

    def give(self, *events: Any) -> None:
        """Orders to the scheduler."""
        for event in events:
            self.scheduler.receive(event, self.now)
        self.settle()

    def order_host(self, event: Any) -> None:
        self.controller.receive(event, self.now)
        self.settle()

    def cut(self, name: str, reason: str = "Connection reset") -> None:
        """The host can no longer be reached; its jobs go on."""
        host = self.hosts[name]
        host.reachable = host.connected = False
        host.agent.receive(LinkDown("superior", reason), self.now)
        self.controller.receive(LinkDown(name, reason), self.now)
        self.settle()

    def mend(self, name: str) -> None:
        self.hosts[name].reachable = True

    def reboot(self, name: str) -> None:
        """Processes, keepers and agent are gone; the host comes back empty."""
        host = self.hosts[name]
        self.cut(name)
        host.epoch += 1
        host.boot(self.now)
        self.mend(name)

    def restart_agent(self, name: str) -> None:
        """The agent dies and is replaced; keepers and processes stay."""
        host = self.hosts[name]
        self.cut(name)
        host.epoch += 1
        host.new_agent(self.now, remembers=1)
        self.mend(name)

    def restart_server(self, joins: bool = True) -> None:
        """Scheduler and controller die and come back from the records. `joins`: they find each other at once."""
        self.epoch += 1
        folded = fold(self.records)
        for host in self.hosts.values():
            host.connected = False
            host.agent.receive(LinkDown("superior", "closed"), self.now)
        self.scheduler = Scheduler(self.epoch, self.now, self.cluster, self.tasks, folded.scheduler, alarms=self.alarms)
        self.controller = Controller(self.epoch, self.now, self.cluster, folded.controller)
        if joins:
            self.link_up()
        self.settle()

    @property
    def made(self) -> list[JobAccepted]:
        return [record for record in self.records if isinstance(record, JobAccepted)]

    @property
    def ends(self) -> list[AttemptEnded]:
        return [record for record in self.records if isinstance(record, AttemptEnded)]

    def outcomes(self) -> list[str]:
        """Outcomes of final jobs, in order."""
        return [record.report.outcome.name for record in self.ends if record.final]
