"""The Controller machine: the queue, the hosts, and which job goes where.

Upwards it is a subordinate (one `Uplink` to its scheduler), downwards a superior (one `Downlink` in each host). An
attempt is given to one host at most; if it comes back, the scheduler makes another attempt. What happens at one
instant: what came in is taken, then timeouts, then matching.

Records: which attempt was given to which host, before it is given; and that it is returned. The queue itself is not
recorded: after a restart the scheduler gives it again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import structs

from model.configuration import ClusterDefinition
from model.controller_job import ControllerJob, ControllerJobState
from model.effects import Commit, Effect, Transmit
from model.events import Delivered, LinkDown, LinkUp, OrderHost, Vouched, WallClock
from model.explain import Explanation
from model.explain_controller import explain_attempt, explain_host
from model.host import Host, HostOrder
from model.host_table import HostTable
from model.job import THREADS_WORD, AttemptKey, JobSpec, Outcome, Report
from model.messages import (
    Accepted,
    Acknowledge,
    Assign,
    Batch,
    Cancel,
    CancelReason,
    Ended,
    Entry,
    Held,
    Inquire,
    Parting,
    Ping,
    Pong,
    Started,
    Up,
)
from model.placing import Placing
from model.records import AttemptGiven, AttemptReturned
from model.restored import RestoredController
from model.timers import Timers
from model.uplink import Uplink

SUPERIOR = "superior"

ControllerEvent = Delivered | LinkUp | LinkDown | Vouched | WallClock | OrderHost


_S = ControllerJobState
_CANCEL_OUTCOMES = {
    CancelReason.CONTROLLER_SILENT: Outcome.CONTROLLER_SILENT,
    CancelReason.PENDING_TIMEOUT: Outcome.PENDING_TIMEOUT,
    CancelReason.TIMED_OUT: Outcome.TIMED_OUT,
}


class Controller:
    """See the head of this file; the four methods are described in docs/architecture.md, part 3."""

    def __init__(
        self, epoch: int, now: int, cluster: ClusterDefinition, restored: RestoredController | None = None
    ) -> None:
        self.cluster = cluster
        self.uplink = Uplink(epoch, cluster.times)
        self.jobs: dict[AttemptKey, ControllerJob] = {}
        self.hosts: dict[str, Host] = {}
        self.effects: list[Effect] = []
        self.placing = Placing(self, cluster, self.hosts)
        self.table = HostTable(cluster, epoch, self.effects, self.hosts, self.placing)
        self._overtime: Timers[AttemptKey] = Timers()
        self._handlers: dict[type, Callable[[Any, int], None]] = {
            Delivered: self._delivered,
            LinkUp: self.table.link_up,
            LinkDown: self._link_down,
            Vouched: self._vouched,
            OrderHost: self.table.order,
        }
        for definition in cluster.hosts:
            self.table.add(definition.name, definition.slots, now)
        if restored is not None:
            self._restore(restored, now)

    # the four methods

    def receive(self, event: ControllerEvent, now: int) -> None:
        """Take one event."""
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(event, now)
        self.placing.match(now)

    def advance(self, now: int) -> None:
        """Do what is due: links, connections, overtime, waits and pending timeouts, then matching."""
        self.uplink.advance(now)
        if self.uplink.lease_ended(now):
            self._lease_ended(now)
        for name in self.table.links.take(now):
            host = self.hosts[name]
            self._take_reports(host, host.link.advance(now), now)
            self.table.sync(host, now)
        self.table.advance(now)
        for key in self._overtime.take(now):
            self._overrun(self.jobs[key], now)
        self.placing.advance(now)
        self.placing.match(now)

    def next_due(self) -> int | None:
        """When `advance` wants to be called (ns)."""
        uplink = self.uplink
        earliest = uplink.lease_end_ns if self.jobs and not uplink.vouched else None
        for due in (uplink.next_due(), self.table.next_due(), self._overtime.next_due(), self.placing.next_due()):
            if due is not None and (earliest is None or due < earliest):
                earliest = due
        return earliest

    def drain(self) -> list[Effect]:
        """What the driver is to do, in order: records first."""
        effects = self.effects[:]
        self.effects.clear()
        if len(effects) > 1:
            effects.sort(key=_commits_first)
        for name in self.table.talking:
            host = self.hosts.get(name)
            if host is None:
                continue
            batch = host.link.take()
            if batch is not None:
                effects.append(Transmit(name, batch))
            self.table.watch(host)
        self.table.talking.clear()
        batch = self.uplink.take()
        if batch is not None:
            effects.append(Transmit(SUPERIOR, batch))
        return effects

    def _link_down(self, event: LinkDown, now: int) -> None:
        if event.peer == SUPERIOR:
            self.uplink.closed()
        else:
            self.table.link_down(event, now)

    def _vouched(self, event: Vouched, now: int) -> None:
        if event.peer == SUPERIOR:
            self.uplink.vouch(event.vouched, event.age_ns, now)
        elif event.peer in self.hosts:
            self.hosts[event.peer].link.vouch(event.vouched, now)
            self.table.talking[event.peer] = None

    # the scheduler

    def _delivered(self, event: Delivered, now: int) -> None:
        if event.peer != SUPERIOR:
            host = self.hosts.get(event.peer)
            if host is not None:
                self._from_host(host, event.batch, now)
            return
        for message in self.uplink.receive(event.batch, now):
            kind = type(message)
            if kind is Assign:
                self._assign(message, now)  # type: ignore[arg-type]
            elif kind is Acknowledge:
                self._acknowledge((message.job, message.attempt), now)  # type: ignore[union-attr]
            elif kind is Cancel:
                self._cancel(message, now)  # type: ignore[arg-type]
            elif kind is Ping:
                running = len(self.jobs) - self.placing.queued
                self.uplink.pong(message.number, running, self.placing.queued, "", now)  # type: ignore[union-attr]
            elif kind is Parting:
                for host in self.hosts.values():
                    host.link.part(message.lease_ns)  # type: ignore[union-attr]
                    self.table.talking[host.name] = None
            elif kind is Inquire:
                entries = tuple(self._entry(job) for job in self.jobs.values())
                self.uplink.inventory(message.number, entries, 0, 0, now)  # type: ignore[union-attr]

    def _entry(self, job: ControllerJob) -> Entry:
        number, attempt = job.key
        host = job.host.name if job.host is not None else ""
        if job.state is _S.ENDED:
            return Entry(number, attempt, Held.ENDED, job.spec, host, job.report)
        given = None if job.host is None else job.host.link.given.get(job.key)
        running = given is not None and given.running
        return Entry(number, attempt, Held.RUNNING if running else Held.WAITING, job.spec, host)

    def _assign(self, message: Assign, now: int) -> None:
        key = (message.job, message.attempt)
        job = self.jobs.get(key)
        if job is not None:
            self._say_again(job, now)
            return
        job = ControllerJob(key, message.spec, message.waited_ns, now)
        self.jobs[key] = job
        self.placing.queued += 1
        if not self.uplink.leased:
            self._end_with(job, Report(Outcome.OVERLOADED, reason="the lease is over", again=True), now)
            return
        if self.placing.queued > self.cluster.pending_max:
            self.end(job, Outcome.OVERLOADED, f"{self.cluster.pending_max} jobs wait already (pending_max)", now)
            return
        self.placing.admit(job, now)

    def _say_again(self, job: ControllerJob, now: int) -> None:
        if job.state is _S.ENDED:
            assert job.report is not None
            self.uplink.ended(job.key, job.report, now)
        elif job.state is _S.RUNNING:
            assert job.host is not None
            self.uplink.started(job.key, job.host.name, 0)
        else:
            self.uplink.accepted(job.key)

    def _acknowledge(self, key: AttemptKey, now: int) -> None:
        job = self.jobs.get(key)
        if job is None or job.state is not _S.ENDED:
            return
        del self.jobs[key]
        if job.host is not None:
            self.effects.append(Commit(AttemptReturned(key[0], key[1])))
            job.host.link.acknowledge(key)
            self.table.talking[job.host.name] = None
            job.host.holding -= 1
            if job.host.order is HostOrder.OFF:
                self.table.leave_if_done(job.host, now)

    def _cancel(self, message: Cancel, now: int) -> None:
        key = (message.job, message.attempt)
        job = self.jobs.get(key)
        if job is None:
            self.uplink.deny(key, now)
        elif job.state is _S.ENDED:
            self._say_again(job, now)
        elif job.state is _S.QUEUED:
            self.end(job, _CANCEL_OUTCOMES.get(message.why, Outcome.KILLED), message.why.value, now)
        else:
            self._cancel_at_host(job, message.why, now)

    def _cancel_at_host(self, job: ControllerJob, why: CancelReason, now: int) -> None:
        assert job.host is not None
        if job.state is not _S.CANCELLING:
            job.move(_S.CANCELLING, now)
            self._overtime.cancel(job.key)
        if job.key in job.host.link.given:
            job.host.link.cancel(job.key, why, now)
            self.table.talking[job.host.name] = None

    def _lease_ended(self, now: int) -> None:
        """The scheduler was not heard for the lease: nothing of it may live on."""
        self.uplink.lease_end_ns = None
        for job in list(self.jobs.values()):
            if job.state is _S.QUEUED:
                self.end(job, Outcome.LOST, "lease ended", now)
            elif job.state is not _S.ENDED and job.state is not _S.CANCELLING:
                self._cancel_at_host(job, CancelReason.ORPHAN, now)

    # ends and gifts

    def end(self, job: ControllerJob, outcome: Outcome, reason: str, now: int) -> None:
        """End a job that is not at any host."""
        waited = job.waited_ns + now - job.arrived_ns
        self._end_with(job, Report(outcome, reason=reason, waited_ns=waited), now)

    def _end_with(self, job: ControllerJob, report: Report, now: int) -> None:
        if job.state is _S.QUEUED:
            self.placing.unqueue(job)
        job.move(_S.ENDED, now)
        job.report = report
        self.uplink.ended(job.key, report, now)

    def give(self, job: ControllerJob, host: Host, now: int) -> None:
        """Hand an attempt to a host that has the slots for it."""
        self.placing.unqueue(job)
        job.waited_ns += now - job.arrived_ns
        job.host = host
        host.free -= job.slots
        host.holding += 1
        self.placing.took(host)
        job.move(_S.GIVEN, now)
        self.effects.append(Commit(AttemptGiven(job.key[0], job.key[1], host.name, host.link.peer_epoch, job.spec)))
        host.link.assign(job.key, _for_host(job.spec, host), job.waited_ns, now)
        self.table.talking[host.name] = None

    def why(self, job: ControllerJob, now: int) -> str:
        """Why a queued attempt waits, in one clause."""
        return explain_attempt(self, job, now).text

    def accepted(self, job: ControllerJob) -> None:
        """Tell the scheduler that the attempt waits here."""
        job.accepted = True
        self.uplink.accepted(job.key)

    # what hosts say

    def _from_host(self, host: Host, batch: Batch, now: int) -> None:
        reports = host.link.receive(batch, now)
        self.table.talking[host.name] = None
        self._take_reports(host, reports, now)
        self.table.sync(host, now)

    def _take_reports(self, host: Host, reports: list[Up], now: int) -> None:
        self.table.talking[host.name] = None
        for message in reports:
            kind = type(message)
            if kind is Ended:
                self._ended_at(host, message, now)  # type: ignore[arg-type]
            elif kind is Started:
                self._started_at(host, message, now)  # type: ignore[arg-type]
            elif kind is Accepted:
                job = self._job_at(host, (message.job, message.attempt), now)  # type: ignore[union-attr]
                if job is not None and job.state is _S.GIVEN:
                    job.move(_S.AT_HOST, now)
                    if not job.accepted:
                        self.accepted(job)
            elif kind is Pong and host.dirty != message.dirty:  # type: ignore[union-attr]
                host.dirty = message.dirty  # type: ignore[union-attr]
                self.placing.offer(host, now)

    def _job_at(self, host: Host, key: AttemptKey, now: int) -> ControllerJob | None:
        """The attempt that a host speaks of; one of which the controller knows nothing is taken in, for the scheduler
        to judge. None: it is not at this host, whatever the host says."""
        job = self.jobs.get(key)
        if job is not None:
            return job if job.host is host else None
        given = host.link.given.get(key)
        job = ControllerJob(key, given.spec if given is not None else JobSpec(""), 0, now)
        job.queued = False
        job.host = host
        job.state = _S.GIVEN
        if given is None:
            job.slots = 0
        host.free -= job.slots
        host.holding += 1
        self.placing.offer(host, now)
        self.jobs[key] = job
        return job

    def _started_at(self, host: Host, message: Started, now: int) -> None:
        job = self._job_at(host, (message.job, message.attempt), now)
        if job is not None and job.state in (_S.GIVEN, _S.AT_HOST):
            job.move(_S.RUNNING, now)
            spec = job.spec
            if spec.timeout_ns:
                self._overtime.set(job.key, now + spec.timeout_ns + spec.grace_ns + self.cluster.overtime_ns)
            self.uplink.started(job.key, host.name, message.started_at)

    def _ended_at(self, host: Host, message: Ended, now: int) -> None:
        job = self._job_at(host, (message.job, message.attempt), now)
        if job is None or job.state is _S.ENDED:
            return
        report = message.report
        self._overtime.cancel(job.key)
        host.free += job.slots
        if report.again:
            self.table.press(host, now)
        elif report.started:
            host.pressure_ns = 0
        if report.outcome is Outcome.EXITED and report.exit_code == 0:
            host.done += 1
        else:
            host.failed += 1
        self.placing.offer(host, now)
        self._end_with(job, report, now)

    def _overrun(self, job: ControllerJob, now: int) -> None:
        """Its host should have ended it long ago: ask for its end."""
        if job.state is _S.RUNNING:
            self._cancel_at_host(job, CancelReason.TIMED_OUT, now)

    # after a restart

    def _restore(self, restored: RestoredController, now: int) -> None:
        self.table.restore(restored.hosts, now)
        for key, given in restored.given.items():
            host = self.hosts.get(given.host)
            if host is None:
                host = self.table.add(given.host, given.spec.slots, now)
                host.order = HostOrder.OFF
                host.provisional = True
            job = ControllerJob(key, given.spec, 0, now)
            job.queued = False
            job.host = host
            job.state = _S.GIVEN
            host.free -= job.slots
            host.holding += 1
            host.link.restore(key, given.spec, running=False, sent_to=given.host_epoch)
            self.jobs[key] = job
            self.table.talking[host.name] = None

    # explain

    def explain_attempt(self, key: AttemptKey, now: int) -> Explanation | None:
        """Why an attempt is where it is; None: it is not here."""
        job = self.jobs.get(key)
        return None if job is None else explain_attempt(self, job, now)

    def explain_host(self, name: str, now: int) -> Explanation | None:
        """Why a host is in its state; None: not defined."""
        host = self.hosts.get(name)
        return None if host is None else explain_host(host, now)


def _for_host(spec: JobSpec, host: Host) -> JobSpec:
    """The specification with the host's number of threads where its command asks for it."""
    if THREADS_WORD not in spec.command:
        return spec
    command = tuple([str(host.threads) if word == THREADS_WORD else word for word in spec.command])
    return structs.replace(spec, command=command)


def _commits_first(effect: Effect) -> int:
    return 0 if type(effect) is Commit else 1
