"""Where queued attempts wait, the policies for their hosts, and giving them out. Owned by the controller.

The indexes are in `matching.py`. Nothing here scans all jobs or all hosts for each job; a change of a host for the
worse looks at the jobs that wait for just that host.
"""

from __future__ import annotations

from typing import Protocol

from model.configuration import ClusterDefinition, Order
from model.controller_job import ControllerJob, ControllerJobState
from model.host import Host, HostState
from model.job import AttemptKey, HostPolicy, Outcome, Wait
from model.matching import FreeHosts, WaitingJobs
from model.timers import Timers

_S = ControllerJobState


class Owner(Protocol):
    """What placing asks of the controller."""

    jobs: dict[AttemptKey, ControllerJob]

    def end(self, job: ControllerJob, outcome: Outcome, reason: str, now: int) -> None:
        """End an attempt that is at no host."""

    def give(self, job: ControllerJob, host: Host, now: int) -> None:
        """Hand an attempt to a host that has the slots for it."""

    def why(self, job: ControllerJob, now: int) -> str:
        """Why a queued attempt waits, in one clause."""

    def accepted(self, job: ControllerJob) -> None:
        """Tell the scheduler that the attempt waits here."""


class Placing:
    """The queue."""

    def __init__(self, owner: Owner, cluster: ClusterDefinition, hosts: dict[str, Host]) -> None:
        self.cluster = cluster
        self.any_queue = WaitingJobs()
        """STRICT: all jobs; FILL: those for which any host will do"""
        self.queues: dict[str, WaitingJobs] = {}
        """jobs that wait for one host, by its name, which need not be defined"""
        self.queued = 0
        self._owner = owner
        self._hosts = hosts
        self._free = FreeHosts()
        self._changed: dict[str, None] = {}
        """hosts that may have become able to take a job of their own queue"""
        self._arrived: list[ControllerJob] = []
        self._stirred = False
        """whether a job may go where it could not before"""
        self._pending: Timers[AttemptKey] = Timers()
        self._waits: Timers[AttemptKey] = Timers()

    # time

    def next_due(self) -> int | None:
        """When `advance` wants to be called (ns)."""
        first, second = self._pending.next_due(), self._waits.next_due()
        if first is None or second is None:
            return first if second is None else second
        return min(first, second)

    def advance(self, now: int) -> None:
        """Waits for a preferred host that are over, and pending timeouts."""
        for key in self._waits.take(now):
            job = self._owner.jobs[key]
            if job.state is _S.QUEUED:
                self._go_anywhere(job)
        for key in self._pending.take(now):
            job = self._owner.jobs[key]
            if job.state is _S.QUEUED:
                self._owner.end(job, Outcome.PENDING_TIMEOUT, self._owner.why(job, now), now)

    def pending_ends(self, key: AttemptKey) -> int | None:
        """When the pending timeout of a queued attempt comes (ns)."""
        return self._pending.at(key)

    def preference_ends(self, key: AttemptKey) -> int | None:
        """When a queued attempt stops waiting for its preferred host (ns)."""
        return self._waits.at(key)

    # waiting

    def admit(self, job: ControllerJob, now: int) -> None:
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
        host = self._hosts.get(name)
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
        host = self._hosts.get(wish.name)
        policy = self._policy(job, host)
        if policy is None:
            return False
        if policy.action is Wait.FAIL:
            if host is None:
                self._owner.end(job, Outcome.HOST_UNKNOWN, f"host {wish.name} is not defined", now)
            else:
                self._owner.end(job, Outcome.HOST_DOWN, f"host {wish.name} is {host.state.value}: {host.reason}", now)
            return True
        if policy.action is Wait.TRY and host is not None and host.tries >= policy.tries:
            self._owner.end(
                job, Outcome.HOST_DOWN, f"host {wish.name} did not answer {host.tries} times: {host.reason}", now
            )
            return True
        return False

    def judge_waiting(self, name: str, now: int) -> None:
        """A host changed for the worse: apply the policies of the jobs that wait for just it."""
        queue = self.queues.get(name)
        if queue is None:
            return
        host = self._hosts.get(name)
        for waiting in queue.all():
            job = self._owner.jobs[waiting.key]
            if not job.spec.host.required:
                self._waits.cancel(job.key)
                self._go_anywhere(job)
            elif not self._refused(job, now):
                policy = self._policy(job, host)
                if policy is not None and policy.action is Wait.ELSEWHERE:
                    self._go_anywhere(job)

    def unqueue(self, job: ControllerJob) -> None:
        """The attempt waits no longer, whatever becomes of it."""
        job.queued = False
        self.queued -= 1
        self._pending.cancel(job.key)
        self._waits.cancel(job.key)

    # matching

    def match(self, now: int) -> None:
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
                    self._owner.accepted(job)
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
                self._owner.give(chosen, self._hosts[name], now)  # type: ignore[arg-type]
        while (room := free.most()) > 0:
            waiting = self.any_queue.first(room)
            if waiting is None:
                break
            job: ControllerJob = waiting  # type: ignore[assignment]
            wish = job.spec.host.name
            name = wish if wish is not None and free.free(wish) >= job.slots else free.freest()
            self._owner.give(job, self._hosts[name], now)

    def _match_strictly(self, now: int) -> None:
        free = self._free
        while (waiting := self.any_queue.first(1 << 30)) is not None:
            job: ControllerJob = waiting  # type: ignore[assignment]
            wish = job.spec.host.name
            if wish is not None and free.free(wish) >= job.slots:
                self._owner.give(job, self._hosts[wish], now)
            elif job.anywhere and free.most() >= job.slots:
                self._owner.give(job, self._hosts[free.freest()], now)
            else:
                return

    def took(self, host: Host) -> None:
        """A job was given to the host."""
        self._free.set(host.name, host.free)

    def withdraw(self, host: str) -> None:
        """This host takes nothing now."""
        self._free.set(host, 0)

    def announce(self, host: str) -> None:
        """A host of this name is defined now: jobs may wait for it already."""
        self._changed[host] = None

    def offer(self, host: Host, now: int) -> None:
        """Take note of what this host can take now."""
        self._free.set(host.name, host.free if host.takes_work(now) else 0)
        self._changed[host.name] = None
