"""A controller that several schedulers share, in one process: the small world with more schedulers, each with a name
and a journal of its own. The small world's own scheduler is superior 0 and has nothing to do.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from model.configuration import ClusterDefinition
from model.controller import Controller
from model.effects import Answer, Commit, Disconnect, Effect, Notice, Transmit
from model.events import Delivered, ForgetSuperior, LinkDown, LinkUp, Submit
from model.job import HostWish, JobId, JobSpec
from model.job_numbers import JOBS_BITS
from model.messages import Batch, Message
from model.records import AttemptEnded, AttemptGiven, Record
from model.restored import fold
from model.scheduler import Scheduler
from model.sharing import Terms
from model.superiors import Superior, peer_of
from tests.model.small_world import SmallWorld


class Member:
    """One scheduler, through all its lives."""

    def __init__(self, name: str, terms: Terms) -> None:
        self.name = name
        self.terms = terms
        self.epoch = 0
        self.scheduler: Scheduler | None = None
        self.connected = False
        self.records: list[Record] = []
        self.notices: list[Notice] = []
        self.answers: list[Answer] = []
        self.heard: list[Message] = []
        """what the controller has said to it, in order"""

    @property
    def machine(self) -> Scheduler:
        assert self.scheduler is not None, f"{self.name} does not live"
        return self.scheduler

    def told(self) -> list[Notice]:
        """Notices of the controller: its own are about its executors."""
        return [notice for notice in self.notices if notice.about != "controller"]

    def outcomes(self) -> dict[int, str]:
        """Of its final jobs."""
        ends = [record for record in self.records if isinstance(record, AttemptEnded)]
        return {record.job: record.report.outcome.name for record in ends if record.final}


class SharedWorld(SmallWorld):
    """`join` brings a scheduler; `crash`, `start`, `cut_off` and `connect` are what may happen to it."""

    def __init__(self, definition: ClusterDefinition, **terms: Terms) -> None:
        self.members: dict[str, Member] = {}
        self.lose_up = False
        """what the controller says to them is lost"""
        self.to_hosts: list[tuple[str, Message]] = []
        """what the controller has said to hosts"""
        super().__init__((), definition)
        for name, these in terms.items():
            self.join(name, these)

    # schedulers

    def join(self, name: str, terms: Terms | None = None) -> Member:
        member = self.members[name] = Member(name, terms or Terms())
        self.start(name)
        return member

    def start(self, name: str) -> None:
        """A new life from its journal."""
        member = self.members[name]
        member.epoch += 1
        restored = fold(member.records).scheduler if member.records else None
        member.scheduler = Scheduler(member.epoch, self.now, self.cluster, (), restored)
        self.connect(name)

    def connect(self, name: str) -> None:
        member = self.members[name]
        member.connected = True
        self.controller.receive(LinkUp(peer_of(name), member.terms), self.now)
        member.machine.receive(LinkUp("controller"), self.now)
        self.settle()

    def cut_off(self, name: str) -> None:
        """The connection ends, and both live on."""
        member = self.members[name]
        member.connected = False
        self.controller.receive(LinkDown(peer_of(name), "reset"), self.now)
        if member.scheduler is not None:
            member.scheduler.receive(LinkDown("controller", "reset"), self.now)
        self.settle()

    def crash(self, name: str) -> None:
        self.members[name].scheduler = None
        self.cut_off(name)

    def submit(self, name: str, seconds: float = 5, count: int = 1, **fields: Any) -> None:
        for _ in range(count):
            spec = JobSpec("work", ("run", str(seconds), "0"), **fields)
            self.members[name].machine.receive(Submit(0, spec), self.now)
        self.settle()

    def order(self, name: str, event: Any) -> None:
        self.members[name].machine.receive(event, self.now)
        self.settle()

    def superior(self, name: str) -> Superior:
        return self.controller.superiors.by_peer[peer_of(name)]

    def tell_controller(self, event: Any) -> None:
        self.controller.receive(event, self.now)
        self.settle()

    def forget(self, name: str) -> Answer:
        self.tell_controller(ForgetSuperior(7, name))
        return self.answers[-1]

    def restart_controller(self) -> None:
        """It dies, and comes back from its records."""
        self.epoch += 1
        for host in self.hosts.values():
            if host.name != "local":
                host.connected = False
                host.agent.receive(LinkDown("superior", "closed"), self.now)
        self.controller = Controller(self.epoch, self.now, self.cluster, fold(self.records).controller)
        for member in self.members.values():
            if member.scheduler is not None and member.connected:
                member.scheduler.receive(LinkDown("controller", "reset"), self.now)
                self.connect(member.name)
        self.settle()

    # what came of it

    def given(self) -> list[str]:
        """Whose jobs were given to hosts, in order."""
        names = {superior.number: superior.name for superior in self.controller.superiors.all.values()}
        return [names[record.job >> JOBS_BITS] for record in self.records if isinstance(record, AttemptGiven)]

    def ran(self) -> Counter[tuple[int, int, int]]:
        """How often each (superior, job, attempt) began."""
        found: Counter[tuple[int, int, int]] = Counter()
        for host in self.hosts.values():
            for (job, attempt), times in host.ran.items():
                found[job >> JOBS_BITS, job & ((1 << JOBS_BITS) - 1), attempt] += times
        return found

    # wiring

    def _living(self) -> list[Member]:
        return [member for member in self.members.values() if member.scheduler is not None]

    def _machines(self) -> list[Any]:
        return [*super()._machines(), *(member.scheduler for member in self._living())]

    def _settle_once(self) -> bool:
        busy = super()._settle_once()
        for member in self._living():
            for effect in member.machine.drain():
                busy = True
                self._member_effect(member, effect)
        return busy

    def _member_effect(self, member: Member, effect: Effect) -> None:
        if isinstance(effect, Transmit):
            if effect.peer == "controller" and member.connected and not self.controller_frozen:
                self.controller.receive(Delivered(peer_of(member.name), effect.batch), self.now)
        elif isinstance(effect, Commit):
            member.records.append(effect.record)
        elif isinstance(effect, Notice):
            member.notices.append(effect)
        elif isinstance(effect, Answer):
            member.answers.append(effect)

    def _controller_effect(self, effect: Effect) -> None:
        if isinstance(effect, Transmit):
            member = next((one for one in self.members.values() if peer_of(one.name) == effect.peer), None)
            if member is not None:
                self._to_member(member, effect.batch)
                return
            self.to_hosts += [(effect.peer, message) for message in effect.batch.messages]
        elif isinstance(effect, Disconnect) and effect.host not in self.hosts:
            assert not any(member.connected and peer_of(member.name) == effect.host for member in self.members.values())
            return
        super()._controller_effect(effect)

    def _to_member(self, member: Member, batch: Batch) -> None:
        if member.scheduler is not None and member.connected and not self.lose_up:
            member.heard += batch.messages
            member.scheduler.receive(Delivered("controller", batch), self.now)


def on(host: str) -> HostWish:
    return HostWish(host, required=True)


def below(superior: Superior, job: int) -> JobId:
    """What hosts call a job of a superior."""
    return superior.key_of(job, 1)[0]
