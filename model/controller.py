"""The Controller machine: the queue, the hosts, and which job goes where.

Upwards it is a subordinate (one `Uplink` to its scheduler), downwards a superior (one `Downlink` in each host). An
attempt is given to one host at most; if it comes back, the scheduler makes another attempt. What happens at one
instant: what came in is taken, then timeouts, then matching.

Records: which attempt was given to which host, before it is given; and that it is returned. The queue itself is not
recorded: after a restart the scheduler gives it again.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

from model.configuration import ClusterDefinition, Order
from model.channel import LinkState
from model.effects import Answer, Commit, Connect, Disconnect, Effect, Notice, Transmit
from model.events import Delivered, HostVerb, LinkDown, LinkUp, OrderHost, Vouched, WallClock
from model.explain import Explanation
from model.explain_controller import explain_attempt, explain_host
from model.host import HOST_MOVES, Host, HostOrder, HostState
from model.job import AttemptKey, HostPolicy, JobSpec, Outcome, Report, Wait
from model.matching import FreeHosts, WaitingJobs
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
from model.records import AttemptGiven, AttemptReturned, HostChanged
from model.restored import RestoredController
from model.states import check_move
from model.timers import Timers
from model.uplink import Uplink

SUPERIOR = "superior"

ControllerEvent = Delivered | LinkUp | LinkDown | Vouched | WallClock | OrderHost


class ControllerJobState(Enum):
    """Where an attempt is, as the controller knows it."""

    QUEUED = "queued"
    GIVEN = "given to its host"
    AT_HOST = "waits on its host"
    RUNNING = "running"
    CANCELLING = "being ended"
    ENDED = "ended"


_S = ControllerJobState
CONTROLLER_MOVES: dict[ControllerJobState, frozenset[ControllerJobState]] = {
    _S.QUEUED: frozenset({_S.GIVEN, _S.ENDED}),
    _S.GIVEN: frozenset({_S.AT_HOST, _S.RUNNING, _S.CANCELLING, _S.ENDED}),
    _S.AT_HOST: frozenset({_S.RUNNING, _S.CANCELLING, _S.ENDED}),
    _S.RUNNING: frozenset({_S.CANCELLING, _S.ENDED}),
    _S.CANCELLING: frozenset({_S.ENDED}),
    _S.ENDED: frozenset(),
}
"""An attempt is forgotten from ENDED, by the scheduler's acknowledgement."""

_CANCEL_OUTCOMES = {
    CancelReason.CONTROLLER_SILENT: Outcome.CONTROLLER_SILENT,
    CancelReason.PENDING_TIMEOUT: Outcome.PENDING_TIMEOUT,
    CancelReason.TIMED_OUT: Outcome.TIMED_OUT,
}


class ControllerJob:
    """One attempt. `queued`, `slots` and `key` are what `matching.py` reads."""

    __slots__ = (
        "accepted",
        "anywhere",
        "arrived_ns",
        "host",
        "key",
        "queued",
        "report",
        "since_ns",
        "slots",
        "spec",
        "state",
        "waited_ns",
    )

    def __init__(self, key: AttemptKey, spec: JobSpec, waited_ns: int, now: int) -> None:
        self.key = key
        self.spec = spec
        self.slots = spec.slots
        self.waited_ns = waited_ns
        self.arrived_ns = now
        self.since_ns = now
        self.state = ControllerJobState.QUEUED
        self.queued = True
        self.anywhere = False
        """whether any host will do"""
        self.accepted = False
        """whether the scheduler was told that it is here"""
        self.host: Host | None = None
        self.report: Report | None = None


class Controller:
    """See the head of this file; the four methods are described in docs/architecture.md, part 3."""

    def __init__(
        self, epoch: int, now: int, cluster: ClusterDefinition, restored: RestoredController | None = None
    ) -> None:
        self.cluster = cluster
        self.uplink = Uplink(epoch, cluster.times)
        self.epoch = epoch
        self.jobs: dict[AttemptKey, ControllerJob] = {}
        self.hosts: dict[str, Host] = {}
        self.queues: dict[str, WaitingJobs] = {}
        """jobs that wait for one host, by its name, which need not be defined"""
        self.any_queue = WaitingJobs()
        """STRICT: all jobs; FILL: those for which any host will do"""
        self.queued = 0
        self._free = FreeHosts()
        self._changed: dict[str, None] = {}
        """hosts that may have become able to take a job of their own queue"""
        self._arrived: list[ControllerJob] = []
        self._stirred = False
        """whether a job may go where it could not before"""
        self._pending: Timers[AttemptKey] = Timers()
        self._waits: Timers[AttemptKey] = Timers()
        self._overtime: Timers[AttemptKey] = Timers()
        self._links: Timers[str] = Timers()
        self._tries: Timers[str] = Timers()
        self._pressure: Timers[str] = Timers()
        self._effects: list[Effect] = []
        self._talking: dict[str, None] = {}
        """hosts for which something may be ready to be sent"""
        self._handlers: dict[type, Callable[[Any, int], None]] = {
            Delivered: self._delivered,
            LinkUp: self._link_up,
            LinkDown: self._link_down,
            Vouched: self._vouched,
            OrderHost: self._order_host,
        }
        for definition in cluster.hosts:
            self._add_host(definition.name, definition.slots, now)
        if restored is not None:
            self._restore(restored, now)

    # the four methods

    def receive(self, event: ControllerEvent, now: int) -> None:
        """Take one event."""
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(event, now)
        self._match(now)

    def advance(self, now: int) -> None:
        """Do what is due: links, connections, pending timeouts, waits for a preferred host, overtime."""
        self.uplink.advance(now)
        if self.uplink.lease_ended(now):
            self._lease_ended(now)
        for name in self._links.take(now):
            host = self.hosts[name]
            self._take_reports(host, host.link.advance(now), now)
            self._sync_host(host, now)
        for name in self._tries.take(now):
            self._connect(self.hosts[name], now)
        for name in self._pressure.take(now):
            self._offer(self.hosts[name], now)
        for key in self._overtime.take(now):
            self._overrun(self.jobs[key], now)
        for key in self._waits.take(now):
            self._wait_over(self.jobs[key])
        for key in self._pending.take(now):
            self._pending_over(self.jobs[key], now)
        self._match(now)

    def next_due(self) -> int | None:
        """When `advance` wants to be called (ns)."""
        dues = [
            due
            for due in (
                self.uplink.next_due(),
                self._links.next_due(),
                self._tries.next_due(),
                self._pressure.next_due(),
                self._overtime.next_due(),
                self._waits.next_due(),
                self._pending.next_due(),
            )
            if due is not None
        ]
        if self.jobs and self.uplink.lease_end_ns is not None and not self.uplink.vouched:
            dues.append(self.uplink.lease_end_ns)
        return min(dues) if dues else None

    def drain(self) -> list[Effect]:
        """What the driver is to do, in order: records first."""
        effects, self._effects = self._effects, []
        if len(effects) > 1:
            effects.sort(key=_commits_first)
        for name in self._talking:
            host = self.hosts.get(name)
            if host is None:
                continue
            batch = host.link.take()
            if batch is not None:
                effects.append(Transmit(name, batch))
            self._watch_link(host)
        self._talking.clear()
        batch = self.uplink.take()
        if batch is not None:
            effects.append(Transmit(SUPERIOR, batch))
        return effects

    def _watch_link(self, host: Host) -> None:
        due = host.link.next_due()
        at = self._links.at(host.name)
        if due is None:
            self._links.cancel(host.name)
        elif at is None or due < at:
            self._links.set(host.name, due)

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
                running = len(self.jobs) - self.queued
                self.uplink.pong(message.number, running, self.queued, "", now)  # type: ignore[union-attr]
            elif kind is Parting:
                for host in self.hosts.values():
                    host.link.part(message.lease_ns)  # type: ignore[union-attr]
                    self._talking[host.name] = None
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
        self.queued += 1
        if self.queued > self.cluster.pending_max:
            self._end(job, Outcome.OVERLOADED, f"{self.cluster.pending_max} jobs wait already (pending_max)", now)
            return
        self._admit(job, now)

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
            self._effects.append(Commit(AttemptReturned(key[0], key[1])))
            job.host.link.acknowledge(key)
            self._talking[job.host.name] = None
            job.host.holding -= 1
            if job.host.order is HostOrder.OFF:
                self._leave_if_done(job.host, now)

    def _cancel(self, message: Cancel, now: int) -> None:
        key = (message.job, message.attempt)
        job = self.jobs.get(key)
        if job is None:
            self.uplink.deny(key, now)
        elif job.state is _S.ENDED:
            self._say_again(job, now)
        elif job.state is _S.QUEUED:
            self._end(job, _CANCEL_OUTCOMES.get(message.why, Outcome.KILLED), message.why.value, now)
        else:
            self._cancel_at_host(job, message.why, now)

    def _cancel_at_host(self, job: ControllerJob, why: CancelReason, now: int) -> None:
        assert job.host is not None
        if job.state is not _S.CANCELLING:
            self._move(job, _S.CANCELLING, now)
            self._overtime.cancel(job.key)
        if job.key in job.host.link.given:
            job.host.link.cancel(job.key, why, now)
            self._talking[job.host.name] = None

    def _lease_ended(self, now: int) -> None:
        """The scheduler was not heard for the lease: nothing of it may live on."""
        self.uplink.lease_end_ns = None
        for job in list(self.jobs.values()):
            if job.state is _S.QUEUED:
                self._end(job, Outcome.LOST, "lease ended", now)
            elif job.state is not _S.ENDED and job.state is not _S.CANCELLING:
                self._cancel_at_host(job, CancelReason.ORPHAN, now)

    # the queue

    def _admit(self, job: ControllerJob, now: int) -> None:
        """Put a job where it waits, or end it by the policy for its host."""
        spec = job.spec
        wish = spec.host
        if self.cluster.order is Order.STRICT:
            self.any_queue.add(job)
        if wish.name is None:
            self._go_anywhere(job)
        elif self._refused(job, now):
            return
        else:
            self._wait_for_host(job, wish.name, now)
        if spec.pending_ns:
            self._pending.set(job.key, now + max(0, spec.pending_ns - job.waited_ns))
        self._arrived.append(job)

    def _wait_for_host(self, job: ControllerJob, name: str, now: int) -> None:
        wish = job.spec.host
        queue = self.queues.get(name)
        if queue is None:
            queue = self.queues[name] = WaitingJobs()
        queue.add(job)
        self._changed[name] = None
        host = self.hosts.get(name)
        if wish.required:
            policy = self._policy(job, host)
            if policy is not None and policy.action is Wait.ELSEWHERE:
                self._go_anywhere(job)
        elif wish.wait_ns > job.waited_ns and host is not None and host.state in (HostState.UP, HostState.CONNECTING):
            self._waits.set(job.key, now + wish.wait_ns - job.waited_ns)
        else:
            self._go_anywhere(job)

    def _go_anywhere(self, job: ControllerJob) -> None:
        if not job.anywhere:
            job.anywhere = True
            self._stirred = True
            if self.cluster.order is Order.FILL:
                self.any_queue.add(job)

    @staticmethod
    def _policy(job: ControllerJob, host: Host | None) -> HostPolicy | None:
        """The policy that applies to a required host in this state; None: nothing is wrong with it."""
        wish = job.spec.host
        if host is None:
            return wish.when_unknown
        if host.state is HostState.DOWN or (host.state is HostState.CONNECTING and host.tries):
            return wish.when_down
        if host.state is HostState.SILENT:
            return wish.when_silent
        return None

    def _refused(self, job: ControllerJob, now: int) -> bool:
        """End the job if its policy says that it must not wait for its required host; whether it did."""
        wish = job.spec.host
        assert wish.name is not None
        if not wish.required:
            return False
        host = self.hosts.get(wish.name)
        policy = self._policy(job, host)
        if policy is None:
            return False
        if policy.action is Wait.FAIL:
            if host is None:
                self._end(job, Outcome.HOST_UNKNOWN, f"host {wish.name} is not defined", now)
            else:
                self._end(job, Outcome.HOST_DOWN, f"host {wish.name} is {host.state.value}: {host.reason}", now)
            return True
        if policy.action is Wait.TRY and host is not None and host.tries >= policy.tries:
            self._end(job, Outcome.HOST_DOWN, f"host {wish.name} did not answer {host.tries} times: {host.reason}", now)
            return True
        return False

    def _judge_waiting(self, name: str, now: int) -> None:
        """A host changed for the worse: apply the policies of the jobs that wait for just it."""
        queue = self.queues.get(name)
        if queue is None:
            return
        host = self.hosts.get(name)
        for waiting in queue.all():
            job = self.jobs[waiting.key]
            if not job.spec.host.required:
                self._waits.cancel(job.key)
                self._go_anywhere(job)
            elif not self._refused(job, now):
                policy = self._policy(job, host)
                if policy is not None and policy.action is Wait.ELSEWHERE:
                    self._go_anywhere(job)

    def _wait_over(self, job: ControllerJob) -> None:
        if job.state is _S.QUEUED:
            self._go_anywhere(job)

    def _pending_over(self, job: ControllerJob, now: int) -> None:
        if job.state is _S.QUEUED:
            why = explain_attempt(self, job, now).text
            self._end(job, Outcome.PENDING_TIMEOUT, why, now)

    def _end(self, job: ControllerJob, outcome: Outcome, reason: str, now: int) -> None:
        """End a job that is not at any host."""
        waited = job.waited_ns + now - job.arrived_ns
        self._end_with(job, Report(outcome, reason=reason, waited_ns=waited), now)

    def _end_with(self, job: ControllerJob, report: Report, now: int) -> None:
        if job.state is _S.QUEUED:
            self._unqueue(job)
        self._move(job, _S.ENDED, now)
        job.report = report
        self.uplink.ended(job.key, report, now)

    def _unqueue(self, job: ControllerJob) -> None:
        job.queued = False
        self.queued -= 1
        self._pending.cancel(job.key)
        self._waits.cancel(job.key)

    # matching

    def _match(self, now: int) -> None:
        """Give out what can be given out now."""
        if self._changed or self._stirred:
            self._stirred = False
            if self.cluster.order is Order.STRICT:
                self._match_strictly(now)
            else:
                self._match_filling(now)
            self._changed.clear()
        if self._arrived:
            for job in self._arrived:
                if job.state is _S.QUEUED and not job.accepted:
                    job.accepted = True
                    self.uplink.accepted(job.key)
            self._arrived.clear()

    def _match_filling(self, now: int) -> None:
        free = self._free
        for name in self._changed:
            queue = self.queues.get(name)
            if queue is None:
                continue
            while (room := free.free(name)) > 0:
                own = queue.first(room)
                if own is None:
                    break
                other = self.any_queue.first(room)
                chosen = own if other is None or own.key <= other.key else other
                self._give(chosen, self.hosts[name], now)  # type: ignore[arg-type]
        while (room := free.most()) > 0:
            waiting = self.any_queue.first(room)
            if waiting is None:
                break
            job: ControllerJob = waiting  # type: ignore[assignment]
            wish = job.spec.host.name
            name = wish if wish is not None and free.free(wish) >= job.slots else free.freest()
            self._give(job, self.hosts[name], now)

    def _match_strictly(self, now: int) -> None:
        free = self._free
        while (waiting := self.any_queue.first(1 << 30)) is not None:
            job: ControllerJob = waiting  # type: ignore[assignment]
            wish = job.spec.host.name
            if wish is not None and free.free(wish) >= job.slots:
                self._give(job, self.hosts[wish], now)
            elif job.anywhere and free.most() >= job.slots:
                self._give(job, self.hosts[free.freest()], now)
            else:
                return

    def _give(self, job: ControllerJob, host: Host, now: int) -> None:
        self._unqueue(job)
        job.waited_ns += now - job.arrived_ns
        job.host = host
        host.free -= job.slots
        host.holding += 1
        self._free.set(host.name, host.free)
        self._move(job, _S.GIVEN, now)
        self._effects.append(Commit(AttemptGiven(job.key[0], job.key[1], host.name, host.link.peer_epoch, job.spec)))
        host.link.assign(job.key, job.spec, job.waited_ns, now)
        self._talking[host.name] = None

    def _offer(self, host: Host, now: int) -> None:
        """Tell the index what this host can take now."""
        self._free.set(host.name, host.free if host.takes_work(now) else 0)
        self._changed[host.name] = None

    # what hosts say

    def _from_host(self, host: Host, batch: Batch, now: int) -> None:
        reports = host.link.receive(batch, now)
        self._talking[host.name] = None
        self._take_reports(host, reports, now)
        self._sync_host(host, now)

    def _take_reports(self, host: Host, reports: list[Up], now: int) -> None:
        self._talking[host.name] = None
        for message in reports:
            kind = type(message)
            if kind is Ended:
                self._ended_at(host, message, now)  # type: ignore[arg-type]
            elif kind is Started:
                self._started_at(host, message, now)  # type: ignore[arg-type]
            elif kind is Accepted:
                job = self._job_at(host, (message.job, message.attempt), now)  # type: ignore[union-attr]
                if job is not None and job.state is _S.GIVEN:
                    self._move(job, _S.AT_HOST, now)
                    if not job.accepted:
                        job.accepted = True
                        self.uplink.accepted(job.key)
            elif kind is Pong and host.dirty != message.dirty:  # type: ignore[union-attr]
                host.dirty = message.dirty  # type: ignore[union-attr]
                self._offer(host, now)

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
        self._offer(host, now)
        self.jobs[key] = job
        return job

    def _started_at(self, host: Host, message: Started, now: int) -> None:
        job = self._job_at(host, (message.job, message.attempt), now)
        if job is not None and job.state in (_S.GIVEN, _S.AT_HOST):
            self._move(job, _S.RUNNING, now)
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
            self._press(host, now)
        elif report.started:
            host.pressure_ns = 0
        if report.outcome is Outcome.EXITED and report.exit_code == 0:
            host.done += 1
        else:
            host.failed += 1
        self._offer(host, now)
        self._end_with(job, report, now)

    def _press(self, host: Host, now: int) -> None:
        """A start failed there for want of room: no new job for a while, longer each time."""
        host.pressure_ns = min(2 * host.pressure_ns or self.cluster.backoff_ns, self.cluster.backoff_cap_ns)
        host.pressure_until_ns = now + host.pressure_ns
        self._pressure.set(host.name, host.pressure_until_ns)

    def _overrun(self, job: ControllerJob, now: int) -> None:
        """Its host should have ended it long ago: ask for its end."""
        if job.state is _S.RUNNING:
            self._cancel_at_host(job, CancelReason.TIMED_OUT, now)

    # the hosts

    def _add_host(self, name: str, slots: int, now: int) -> Host:
        host = Host(name, slots, self.epoch, self.cluster.times, now)
        self.hosts[name] = host
        self._connect(host, now)
        return host

    def _connect(self, host: Host, now: int) -> None:
        host.next_try_ns = None
        self._tries.cancel(host.name)
        self._set_state(host, HostState.CONNECTING, host.reason, now)
        self._effects.append(Connect(host.name))

    def _link_up(self, event: LinkUp, now: int) -> None:
        host = self.hosts.get(event.peer)
        if host is None or host.state is HostState.OFF:
            self._effects.append(Disconnect(event.peer))
            return
        host.link.opened(now)
        self._tries.cancel(host.name)
        host.next_try_ns = None
        self._talking[host.name] = None
        self._sync_host(host, now)

    def _link_down(self, event: LinkDown, now: int) -> None:
        if event.peer == SUPERIOR:
            self.uplink.closed()
            return
        host = self.hosts.get(event.peer)
        if host is None or host.state is HostState.OFF:
            return
        host.link.closed(now)
        self._talking[host.name] = None
        cluster = self.cluster
        wait = host.wait_before_next_try(cluster.backoff_ns, cluster.backoff_cap_ns, event.chance, now)
        host.up_since_ns = None
        host.tries += 1
        host.next_try_ns = now + wait
        self._tries.set(host.name, host.next_try_ns)
        self._set_state(host, HostState.DOWN, event.reason, now)
        self._free.set(host.name, 0)
        self._judge_waiting(host.name, now)
        if host.order is HostOrder.OFF:
            self._leave_if_done(host, now)

    def _vouched(self, event: Vouched, now: int) -> None:
        if event.peer == SUPERIOR:
            self.uplink.vouch(event.vouched, event.age_ns, now)
        elif event.peer in self.hosts:
            self.hosts[event.peer].link.vouch(event.vouched, now)
            self._talking[event.peer] = None

    def _sync_host(self, host: Host, now: int) -> None:
        """Let the host's state follow its link."""
        if host.link.state is LinkState.CLOSED or host.state is HostState.OFF:
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
            self._judge_waiting(host.name, now)
        else:
            self._set_state(host, state, "asked what it holds", now)
        self._offer(host, now)

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

    def _leave_if_done(self, host: Host, now: int) -> None:
        """An OFF order is carried out once nothing of ours is there."""
        if host.state is HostState.OFF or host.holding:
            return
        if host.link.state is not LinkState.CLOSED:
            host.link.closed(now)
            self._effects.append(Disconnect(host.name))
        self._tries.cancel(host.name)
        self._links.cancel(host.name)
        host.next_try_ns = None
        self._set_state(host, HostState.OFF, host.order_reason, now)
        self._free.set(host.name, 0)

    # orders of a person

    def _order_host(self, order: OrderHost, now: int) -> None:
        if order.verb is HostVerb.ADD:
            problem = self._order_add(order, now)
        elif order.host not in self.hosts:
            problem = f"there is no host {order.host}"
        else:
            problem = self._order_change(self.hosts[order.host], order, now)
        if problem:
            self._effects.append(Answer(order.request, False, problem))
            return
        self._effects.append(Commit(HostChanged(order.host, order.verb.value, order.slots, order.reason)))
        self._effects.append(Answer(order.request, True, f"host {order.host}: {order.verb.value}"))

    def _order_add(self, order: OrderHost, now: int) -> str:
        if order.host in self.hosts:
            return f"host {order.host} is there already"
        self._add_host(order.host, order.slots, now)
        self._changed[order.host] = None
        return ""

    def _order_change(self, host: Host, order: OrderHost, now: int) -> str:
        verb = order.verb
        if verb is HostVerb.DELETE:
            return self._order_delete(host, now)
        if verb is HostVerb.RETRY:
            if host.state is not HostState.DOWN:
                return f"host {host.name} is {host.state.value}, only a host that is down can be tried again"
            self._connect(host, now)
            return ""
        host.order = HostOrder(verb.value)
        host.order_reason = order.reason
        if host.order is HostOrder.ON and host.state is HostState.OFF:
            host.backoff_ns = 0
            self._connect(host, now)
        elif host.order is HostOrder.OFF and host.state in (HostState.DOWN, HostState.CONNECTING):
            self._leave_if_done(host, now)
        self._sync_host(host, now)
        if host.order is HostOrder.OFF:
            self._leave_if_done(host, now)
        self._talking[host.name] = None
        return ""

    def _order_delete(self, host: Host, now: int) -> str:
        if host.state not in (HostState.OFF, HostState.DOWN):
            return f"host {host.name} is {host.state.value}: switch it off first (host off {host.name})"
        if host.holding:
            return f"jobs of host {host.name} are not ended yet"
        del self.hosts[host.name]
        for timers in (self._links, self._tries, self._pressure):
            timers.cancel(host.name)
        self._free.set(host.name, 0)
        self._judge_waiting(host.name, now)
        return ""

    # after a restart

    def _restore(self, restored: RestoredController, now: int) -> None:
        for change in restored.hosts:
            self._restore_host(change, now)
        for key, given in restored.given.items():
            host = self.hosts.get(given.host)
            if host is None:
                host = self._add_host(given.host, given.spec.slots, now)
                host.order = HostOrder.OFF
            job = ControllerJob(key, given.spec, 0, now)
            job.queued = False
            job.host = host
            job.state = _S.GIVEN
            host.free -= job.slots
            host.holding += 1
            host.link.restore(key, given.spec, running=False, sent_to=given.host_epoch)
            self.jobs[key] = job
            self._talking[host.name] = None

    def _restore_host(self, change: HostChanged, now: int) -> None:
        if change.verb == HostVerb.ADD.value and change.host not in self.hosts:
            self._add_host(change.host, change.slots, now)
            return
        host = self.hosts.get(change.host)
        if host is None or change.verb == HostVerb.RETRY.value:
            return
        if change.verb == HostVerb.DELETE.value:
            del self.hosts[change.host]
            self._effects = [effect for effect in self._effects if effect != Connect(change.host)]
        else:
            host.order = HostOrder(change.verb)
            host.order_reason = change.reason

    def _move(self, job: ControllerJob, state: ControllerJobState, now: int) -> None:
        if state not in CONTROLLER_MOVES[job.state]:
            check_move(CONTROLLER_MOVES, job.state, state, f"attempt {job.key} at the controller")
        job.state = state
        job.since_ns = now

    # explain

    def pending_ends(self, key: AttemptKey) -> int | None:
        """When the pending timeout of a queued attempt comes (ns)."""
        return self._pending.at(key)

    def preference_ends(self, key: AttemptKey) -> int | None:
        """When a queued attempt stops waiting for its preferred host (ns)."""
        return self._waits.at(key)

    def explain_attempt(self, key: AttemptKey, now: int) -> Explanation | None:
        """Why an attempt is where it is; None: it is not here."""
        job = self.jobs.get(key)
        return None if job is None else explain_attempt(self, job, now)

    def explain_host(self, name: str, now: int) -> Explanation | None:
        """Why a host is in its state; None: not defined."""
        host = self.hosts.get(name)
        return None if host is None else explain_host(host, now)


def _commits_first(effect: Effect) -> int:
    return 0 if type(effect) is Commit else 1
