"""The Controller machine: the queue, the hosts, and which job goes where.

Upwards it is a subordinate (one `Superior` with an `Uplink` for each scheduler that uses it; usually there is one),
downwards a superior (one `Downlink` in each host). An attempt is given to one host at most; if it comes back, the
scheduler makes another attempt. What happens at one instant: what came in is taken, then timeouts, then matching.

Records: which attempt was given to which host, before it is given; and that it is returned; which superiors there are.
The queue itself is not recorded: after a restart its schedulers give it again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import structs

from model.ahead import Pace
from model.channel import ProtocolError
from model.configuration import ClusterDefinition, times_of
from model.controller_job import ControllerJob, ControllerJobState, for_host, with_share
from model.effects import Commit, Effect, Transmit, records_first
from model.events import (
    Delivered,
    ForgetSuperior,
    LinkDown,
    LinkUp,
    OrderHost,
    PartFromHosts,
    SetTerms,
    Vouched,
    WallClock,
)
from model.explain import Explanation
from model.explain_controller import explain_attempt, explain_host
from model.host import Host, HostOrder
from model.host_table import HostTable
from model.job import THREADS_WORD, AttemptKey, JobSpec, Outcome, Report
from model.job_numbers import EMBEDDED
from model.messages import (
    CANCELLED_AS,
    Accepted,
    Acknowledge,
    Assign,
    Batch,
    Cancel,
    CancelReason,
    Ended,
    Heard,
    Held,
    Inquire,
    Notices,
    Parting,
    Ping,
    Pong,
    Started,
    Up,
)
from model.placing import Placing
from model.records import AttemptGiven, AttemptReturned
from model.reloading import GONE
from model.restored import RestoredController
from model.states import quick
from model.superiors import Superior, Superiors, is_superior, peer_of
from model.timers import NEVER_NS, Timers

ControllerEvent = (
    Delivered | LinkUp | LinkDown | Vouched | WallClock | OrderHost | PartFromHosts | SetTerms | ForgetSuperior
)
HELD_MAX = 100_000
"""Attempts of which one host may claim that it holds them."""

_S = quick(ControllerJobState)
_EXITED, _OFF, _AHEAD, _LONG = Outcome.EXITED, HostOrder.OFF, Pace.AHEAD, Pace.LONG


class Controller:
    """See the head of this file; the four methods are described in docs/architecture.md, part 3."""

    def __init__(
        self, epoch: int, now: int, cluster: ClusterDefinition, restored: RestoredController | None = None
    ) -> None:
        self.cluster = cluster
        self.jobs: dict[AttemptKey, ControllerJob] = {}
        """of all superiors"""
        self._alive: dict[AttemptKey, bool] = {}
        """those that ended as lost and that their host has all the same: whether that end is acknowledged"""
        self.hosts: dict[str, Host] = {}
        self.effects: list[Effect] = []
        self.superiors = Superiors(epoch, cluster.times, cluster.pending_max, self.effects)
        self.placing = Placing(self, cluster, self.hosts)
        self.table = HostTable(cluster, epoch, self.effects, self.hosts, self.placing)
        self._overtime: Timers[str] = Timers()
        """`Host.overrun_ns` of the hosts: one for each attempt would come and go with it, and hardly one is ever due"""
        self._handlers: dict[type, Callable[[Any, int], None]] = {
            Delivered: self._delivered,
            LinkUp: self._link_up,
            LinkDown: self._link_down,
            Vouched: self._vouched,
            OrderHost: self._order_host,
            PartFromHosts: lambda event, now: self.table.part(event.keep_ns, now),
            SetTerms: self._set_terms,
            ForgetSuperior: self._forget_superior,
        }
        self._now = now
        for definition in cluster.hosts:
            times = times_of(definition, cluster.times)
            self.table.add(definition.name, definition.slots, now, definition.resources, definition.labels, times)
        if restored is not None:
            self._restore(restored, now)

    # the four methods

    def receive(self, event: ControllerEvent, now: int) -> None:
        """Take one event."""
        self._now = now
        if self.table.links.first <= now - self.cluster.times.ping_ns:  # a link waits to be looked at for that long
            self.table.notice_stall(now)
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(event, now)
        self.placing.match(now)

    def advance(self, now: int) -> None:
        """Do what is due: links, connections, overtime, waits and pending timeouts, then matching."""
        self._now = now
        for superior in self.superiors.all.values():
            superior.uplink.advance(now)
            if superior.uplink.lease_ended(now):
                self._lease_ended(superior, now)
        for name in self.table.links.take(now):
            host = self.table.talking[name] = self.hosts[name]
            self._take_reports(host, host.link.advance(now), now)
            self.table.sync(host, now)
        self.table.advance(now)
        for name in self._overtime.take(now):
            if name in self.hosts:
                self._end_overruns(self.hosts[name], now)
        self.placing.advance(now)
        self.placing.match(now)

    def next_due(self) -> int | None:
        """When `advance` wants to be called (ns)."""
        due = self._overtime.first
        for part in (self.superiors, self.table, self.placing):
            first = part.next_due()
            if first < due:
                due = first
        return None if due == NEVER_NS else due

    def drain(self) -> list[Effect]:
        """What the driver is to do, in order: records first."""
        effects, superiors = self.effects[:], self.superiors.all
        self.effects.clear()
        if len(superiors) > 1:
            self.superiors.tell(effects, self._now)
        if len(effects) > 1:
            effects = records_first(effects)
        talking = self.table.talking
        if talking:
            for host in talking.values():
                if host.link.outbox:
                    effects.append(Transmit(host.name, host.link.seal()))
                self.table.watch(host)
            talking.clear()
        for superior in superiors.values():
            if superior.uplink.outbox:
                effects.append(Transmit(superior.peer, superior.uplink.seal()))
        return effects

    @property
    def queued(self) -> int:
        """Attempts that wait here, of all superiors."""
        return sum(superior.queued for superior in self.superiors.all.values())

    def _link_up(self, event: LinkUp, now: int) -> None:
        if is_superior(event.peer):
            superior = self.superiors.link_up(event)
            if superior is not None:
                self.placing.look_again(superior)
        else:
            self.table.link_up(event, now)

    def _link_down(self, event: LinkDown, now: int) -> None:
        superior = self.superiors.by_peer.get(event.peer)
        if superior is not None:
            superior.closed()
        else:
            self.table.link_down(event, now)

    def _vouched(self, event: Vouched, now: int) -> None:
        superior = self.superiors.by_peer.get(event.peer)
        if superior is not None:
            superior.uplink.vouch(event.vouched, event.age_ns, now)
        elif event.peer in self.hosts:
            host = self.table.talking[event.peer] = self.hosts[event.peer]
            host.link.vouch(event.vouched, now)

    # the superiors

    def _delivered(self, event: Delivered, now: int) -> None:
        superior = self.superiors.by_peer.get(event.peer)
        if superior is None:
            host = self.hosts.get(event.peer)
            if host is not None:
                self._from_host(host, event.batch, now)
            return
        for message in superior.uplink.receive(event.batch, now):
            kind = type(message)
            if kind is Assign:
                self._assign(superior, message, now)  # type: ignore[arg-type]
            elif kind is Acknowledge:
                self._acknowledge(superior.key_of(message.job, message.attempt), now)  # type: ignore[union-attr]
            elif kind is Cancel:
                self._cancel(superior, message, now)  # type: ignore[arg-type]
            elif kind is Ping:
                superior.pong(message, now)  # type: ignore[arg-type]
            elif kind is Parting and superior.number == EMBEDDED:
                self.table.part(message.lease_ns, now)  # type: ignore[union-attr]
            elif kind is Inquire:
                superior.inventory(message, self.jobs.values(), now)  # type: ignore[arg-type]
            elif kind is Heard:
                superior.telling.heard(message.number)  # type: ignore[union-attr]

    def _set_terms(self, event: SetTerms, now: int) -> None:
        superior = self.superiors.set_terms(event)
        if superior is not None:
            self.placing.look_again(superior)

    def _forget_superior(self, event: ForgetSuperior, now: int) -> None:
        """Nobody will ever fetch the ends of its jobs: when only ends are left, they go with it."""
        superior = self.superiors.by_peer.get(peer_of(event.name))
        if superior is not None and superior.number != EMBEDDED and not superior.uplink.open:
            left = [job for job in self.jobs.values() if job.superior is superior]
            if all(job.state is _S.ENDED for job in left):
                for job in left:
                    self._acknowledge(job.key, now)
        self.superiors.forget(event)

    def _order_host(self, order: OrderHost, now: int) -> None:
        if lost := self.table.order(order, now):
            self._take_reports(self.hosts[order.host], lost, now)

    def _assign(self, superior: Superior, message: Assign, now: int) -> None:
        key = superior.key_of(message.job, message.attempt)
        job = self.jobs.get(key)
        if job is not None and job.stray:
            self._give_way(job, now)
        elif job is not None:
            self._say_again(job, now)
            return
        elif superior.uplink.results and superior.uplink.says_again(key):
            return
        job = self._take_in(superior, key, message.spec, message.waited_ns, now)
        self.placing.arrive(superior)
        if not superior.uplink.leased:
            self._end_with(job, Report(Outcome.OVERLOADED, reason="the lease is over", again=True), now)
            return
        pending_max = superior.terms.pending_max
        if superior.queued > pending_max:
            self.end(job, Outcome.OVERLOADED, f"{pending_max} jobs wait already (pending_max)", now)
            return
        self.placing.admit(job, now)

    def _take_in(self, superior: Superior, key: AttemptKey, spec: JobSpec, waited_ns: int, now: int) -> ControllerJob:
        self.jobs[key] = job = ControllerJob(superior, key, spec, spec.slots, waited_ns, now)
        superior.held += 1
        return job

    def _give_way(self, job: ControllerJob, now: int) -> None:
        """A host claimed this attempt before it was given to anybody: only the scheduler's word makes an attempt."""
        host = job.host
        assert host is not None
        if job.state is not _S.ENDED or self._alive.pop(job.key, None) is not None:
            self.placing.give_back(job, host)
            self.placing.offer(host, now)
        host.holding -= 1
        host.link.disown(job.key)
        self.table.talking[host.name] = host
        job.superior.take_back(job.key)
        del self.jobs[job.key]
        job.superior.held -= 1

    def _say_again(self, job: ControllerJob, now: int) -> None:
        if job.state is _S.ENDED:
            assert job.report is not None
            job.superior.uplink.ended(job.key, job.report, now)
        elif job.state is _S.RUNNING:
            assert job.host is not None
            job.superior.uplink.started(job.key, job.host.name, 0)
        else:
            job.superior.uplink.accepted(job.key)

    def _acknowledge(self, key: AttemptKey, now: int) -> None:
        job = self.jobs.get(key)
        if job is None or job.state is not _S.ENDED:
            return
        if self._alive and key in self._alive:
            self._alive[key] = True
            return
        del self.jobs[job.key]
        job.superior.held -= 1
        host = job.host
        if host is not None:
            self.effects.append(Commit(AttemptReturned(key[0], key[1])))
            host.link.acknowledge(key)
            self.table.talking[host.name] = host
            host.holding -= 1
            if host.order is _OFF:
                self.table.leave_if_done(host, now)

    def _cancel(self, superior: Superior, message: Cancel, now: int) -> None:
        key = superior.key_of(message.job, message.attempt)
        job = self.jobs.get(key)
        if job is None:
            superior.uplink.deny(key, message.why, now)
        elif job.state is _S.ENDED:
            self._say_again(job, now)
        elif job.state is _S.QUEUED:
            self.end(job, CANCELLED_AS.get(message.why, Outcome.KILLED), message.why.value, now)
        else:
            self._cancel_at_host(job, message.why, now)

    def _cancel_at_host(self, job: ControllerJob, why: CancelReason, now: int) -> None:
        assert job.host is not None
        if job.state is not _S.CANCELLING:
            job.move(_S.CANCELLING, now)
            self.placing.runs(job, job.host, now)
        if job.key in job.host.link.given:
            job.host.link.cancel(job.key, why, now)
            self.table.talking[job.host.name] = job.host

    def _lease_ended(self, superior: Superior, now: int) -> None:
        """The scheduler was not heard for the lease: nothing of it may live on. What waits here never began: when the
        scheduler is back, it makes another attempt."""
        superior.uplink.lease_end_ns = None
        for job in [each for each in self.jobs.values() if each.superior is superior]:
            if job.state is _S.QUEUED:
                waited = job.waited_ns + now - job.since_ns
                self._end_with(job, Report(Outcome.LOST, reason="lease ended", waited_ns=waited, again=True), now)
            elif job.state is not _S.ENDED and job.state is not _S.CANCELLING:
                self._cancel_at_host(job, CancelReason.ORPHAN, now)

    # ends and gifts

    def end(self, job: ControllerJob, outcome: Outcome, reason: str, now: int) -> None:
        """End a job that is not at any host."""
        waited = job.waited_ns + now - job.since_ns
        self._end_with(job, Report(outcome, reason=reason, waited_ns=waited), now)

    def _end_with(self, job: ControllerJob, report: Report, now: int) -> None:
        if job.state is _S.QUEUED:
            self.placing.unqueue(job, now)
        job.move(_S.ENDED, now)
        job.report = report
        job.superior.uplink.ended(job.key, report, now)

    def give(self, job: ControllerJob, host: Host, pace: Pace, now: int) -> None:
        """Hand an attempt to a host that has the slots for it, or may get it ahead."""
        self.placing.unqueue(job, now)
        job.waited_ns = waited_ns = job.waited_ns + now - job.since_ns
        job.host = host
        job.pace = pace
        key, link = job.key, host.link
        host.holding += 1
        if host.health.why:
            self.table.health.given(host, key)
        self.placing.take(job, host, now)
        job.move(_S.GIVEN, now)
        spec = job.spec if job.spec.needs is None else with_share(job)
        if THREADS_WORD in spec.command:
            spec = for_host(spec, host)
        self.effects.append(Commit(AttemptGiven(key[0], key[1], host.name, link.peer_epoch, spec, pace is _AHEAD)))
        link.assign(key, spec, waited_ns, now)
        self.table.talking[host.name] = host

    def why(self, job: ControllerJob, now: int) -> str:
        """Why a queued attempt waits, in one clause."""
        return explain_attempt(self, job, now).text

    # what hosts say

    def _from_host(self, host: Host, batch: Batch, now: int) -> None:
        self.table.talking[host.name] = host
        try:
            self._take_reports(host, host.link.receive(batch, now), now)
        finally:  # a batch that is refused may have closed the host to new attempts before the word that is wrong
            self.table.sync(host, now)

    def _take_reports(self, host: Host, reports: list[Up], now: int) -> None:
        jobs, is_freer = self.jobs, False
        for message in reports:
            kind = type(message)
            if kind is Ended or kind is Started or kind is Accepted:
                key = (message.job, message.attempt)  # type: ignore[union-attr]
                job = jobs.get(key)
                if job is None:
                    job = self._claimed(host, key, now)
                if job is None or job.host is not host:
                    continue  # it is not at this host, whatever the host says
                if job.state is _S.ENDED:
                    is_freer |= self._after_the_end(host, job, kind is Ended, now)
                elif kind is Started:
                    self._started_at(host, job, message, now)  # type: ignore[arg-type]
                elif kind is Accepted:
                    self._accepted_at(job, message, now)  # type: ignore[arg-type]
                else:
                    self._ended_at(host, job, message.report, now)  # type: ignore[union-attr]
                    is_freer = True
            elif kind is Pong and host.dirty != message.dirty:  # type: ignore[union-attr]
                host.dirty = message.dirty  # type: ignore[union-attr]
                is_freer = True
            elif kind is Notices:
                raise ProtocolError(f"{host.name} sent Notices, which only a controller may say")
        if is_freer:
            self.placing.offer(host, now)

    def _claimed(self, host: Host, key: AttemptKey, now: int) -> ControllerJob | None:
        """A host speaks of an attempt of which the controller knows nothing: it is taken in, for its superior to judge.
        None: it is nobody's, and is to end there."""
        if host.holding >= HELD_MAX:
            raise ProtocolError(f"{host.name} claims to hold more than {HELD_MAX} attempts")
        superior = self.superiors.of(key[0])
        if superior is None:
            host.link.disown(key)
            host.link.acknowledge(key)
            return None
        given = host.link.given.get(key)
        spec = JobSpec("", slots=0) if given is None else self.placing.claimed(given.spec, host)
        job = self._take_in(superior, key, spec, 0, now)
        job.stray = True
        job.queued = False
        job.host = host
        job.state = _S.GIVEN
        host.holding += 1
        self.placing.take(job, host, now)
        return job

    def _after_the_end(self, host: Host, job: ControllerJob, ended: bool, now: int) -> bool:
        """A host that was given up is back with the attempt: its end was told and stands, but until the host has ended
        it, or is given up again, it takes what it took before and is not forgotten. Whether it has gone now."""
        given, acknowledged = host.link.given.get(job.key), self._alive.get(job.key)
        if acknowledged is None and not ended and given is not None and given.held is not Held.ENDED:
            self._alive[job.key] = False
            job.spec, job.pace = given.spec, Pace.LONG
            self.placing.take(job, host, now)
        if acknowledged is None or not ended:
            return False
        del self._alive[job.key]
        self.placing.give_back(job, host)
        if acknowledged:
            self._acknowledge(job.key, now)
        return True

    def _accepted_at(self, job: ControllerJob, message: Accepted, now: int) -> None:
        if job.state not in (_S.GIVEN, _S.AT_HOST):
            return
        if job.state is _S.GIVEN:
            job.move(_S.AT_HOST, now)
            if not job.accepted:
                job.accepted = True
                job.superior.uplink.accepted(job.key)
        if message.why and job.superior.number != EMBEDDED:  # a scheduler in this process can ask why
            job.superior.uplink.accepted(job.key, message.why)

    def _started_at(self, host: Host, job: ControllerJob, message: Started, now: int) -> None:
        superior = job.superior
        if job.state is _S.GIVEN or job.state is _S.AT_HOST:
            job.move(_S.RUNNING, now)
            spec = job.spec
            if self.placing.brief.ends:
                self.placing.brief.runs(superior.number, spec.task)
            if job.pace is not _LONG:
                self.placing.runs(job, host, now)
            if spec.timeout_ns:
                due_ns = now + spec.timeout_ns + spec.grace_ns + self.cluster.overtime_ns
                if due_ns < host.overrun_ns:
                    host.overrun_ns = due_ns
                    self._overtime.set(host.name, due_ns)
            superior.uplink.started(job.key, host.name, message.started_at, message.why)
        elif job.state is _S.RUNNING and message.why and superior.number != EMBEDDED:
            superior.uplink.started(job.key, host.name, message.started_at, message.why)

    def _ended_at(self, host: Host, job: ControllerJob, report: Report, now: int) -> None:
        """An attempt has ended at the host, to which its slots are given back, and which is to be offered work then."""
        if report.host and report.host != host.name:
            report = structs.replace(report, host=host.name)  # the name of a folder, too: no host speaks for another
        if report.again and report.outcome is Outcome.OVERLOADED and not (report.given_back and job.pace is _AHEAD):
            self.table.press(host, now)
        elif report.started:
            host.pressure_ns = 0
        if report.outcome is _EXITED and report.exit_code == 0:
            host.done += 1
        elif not report.given_back:
            host.failed += 1
        self.table.health.ended(host, job.key, job.spec.task, report, now)
        self.placing.ended(job, host, report, now)
        self.placing.give_back(job, host)
        self._end_with(job, report, now)

    def _end_overruns(self, host: Host, now: int) -> None:
        """Ask for the ends of attempts that their host should have ended long ago."""
        following_ns = NEVER_NS
        for key in host.link.given:
            job = self.jobs.get(key)
            if job is not None and job.host is host and job.state is _S.RUNNING and job.spec.timeout_ns:
                due_ns = job.since_ns + job.spec.timeout_ns + job.spec.grace_ns + self.cluster.overtime_ns
                if due_ns <= now:
                    self._cancel_at_host(job, CancelReason.TIMED_OUT, now)
                elif due_ns < following_ns:
                    following_ns = due_ns
        host.overrun_ns = following_ns
        if following_ns != NEVER_NS:
            self._overtime.set(host.name, following_ns)

    # after a restart

    def _restore(self, restored: RestoredController, now: int) -> None:
        self.superiors.restore(restored.superiors.values(), restored.following, now)
        self.table.restore(restored.hosts, now)
        for key, given in restored.given.items():
            host = self.hosts.get(given.host)
            if host is None:
                host = self.table.add(given.host, given.spec.slots, now)
                host.order, host.order_reason = HostOrder.OFF, GONE
                host.provisional = host.leaves = True
            superior = self.superiors.of(key[0])
            assert superior is not None, f"{key} is of a superior that was forgotten while it was here"
            job = self._take_in(superior, key, given.spec, 0, now)
            job.queued = False
            job.host = host
            job.state = _S.GIVEN
            host.holding += 1
            self.placing.take(job, host, now)
            host.link.restore(key, given.spec, running=False, sent_to=given.host_epoch, doubtful=not given.open_above)
            if given.keep_ns:
                host.link.parted(given.keep_ns, now)
            self.table.talking[host.name] = host

    # explain

    def explain_attempt(self, key: AttemptKey, now: int) -> Explanation | None:
        """Why an attempt is where it is; None: it is not here."""
        job = self.jobs.get(key)
        return None if job is None else explain_attempt(self, job, now)

    def explain_host(self, name: str, now: int) -> Explanation | None:
        """Why a host is in its state; None: not defined."""
        host = self.hosts.get(name)
        return None if host is None else explain_host(host, now)
