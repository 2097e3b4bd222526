"""Where queued attempts wait, the policies for their hosts, and giving them out. Owned by the controller.

The indexes are in `matching.py` and `shapes.py`; what keeps a large job from waiting for ever is in `reserving.py`.
Nothing here scans all jobs or all hosts for each job; a change of a host for the worse looks at the jobs that wait for
just that host.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from model.ahead import BRIEF_NS, BriefTasks, Pace
from model.configuration import ClusterDefinition, Order
from model.controller_job import ControllerJob, ControllerJobState
from model.host import Host, HostState
from model.job import AttemptKey, HostPolicy, JobSpec, Outcome, Report, Wait
from model.matching import WaitingJobs, anything, is_before
from model.reserving import Reserving
from model.resources import GPUS, Needs, Stock
from model.shapes import Shape, Shapes
from model.sharing import Sharing
from model.states import quick
from model.superiors import Superior
from model.timers import Deadlines, Timers

_S = quick(ControllerJobState)
_FILL, _STRICT = Order.FILL, Order.STRICT
_LONG, _BRIEF, _AHEAD = Pace.LONG, Pace.BRIEF, Pace.AHEAD


class Owner(Protocol):
    """What placing asks of the controller."""

    jobs: dict[AttemptKey, ControllerJob]

    def end(self, job: ControllerJob, outcome: Outcome, reason: str, now: int) -> None:
        """End an attempt that is at no host."""

    def give(self, job: ControllerJob, host: Host, pace: Pace, now: int) -> None:
        """Hand an attempt to a host that has the slots for it, or may get it ahead."""

    def why(self, job: ControllerJob, now: int) -> str:
        """Why a queued attempt waits, in one clause."""


class Placing:
    """The queue."""

    def __init__(self, owner: Owner, cluster: ClusterDefinition, hosts: dict[str, Host]) -> None:
        self.cluster = cluster
        self.any_queue = WaitingJobs()
        """STRICT: all jobs; FILL: those for which any host will do"""
        self.queues: dict[str, WaitingJobs] = {}
        """jobs that wait for one host, by its name, which need not be defined"""
        self.outside: deque[ControllerJob] = deque()
        """jobs of more shapes than there may be (`shapes.SHAPES_MAX`): they queue up when one has gone"""
        self.shared = Stock(cluster.resources)
        """what all hosts share"""
        self.shapes = Shapes(hosts, self.shared, cluster.place)
        self.reserving = Reserving(hosts, self.shapes, cluster.passed_max, cluster.order is _STRICT)
        self.sharing = Sharing()
        self.brief = BriefTasks()
        self._kept = self.reserving.kept
        self._owner = owner
        self._hosts = hosts
        self._changed: dict[str, None] = {}
        """hosts that may have become able to take a job of their own queue"""
        self._sharing: dict[str, None] = {}
        """those of whose own jobs some need what all hosts share"""
        self._arrived: list[ControllerJob] = []
        self._stirred = False
        """whether a job may go where it could not before"""
        self._roomy: dict[int, Superior] = {}
        """superiors that were full and are not, and are behind at hosts, by number"""
        self._pending: Deadlines[ControllerJob] = Deadlines(self.pending_ends)
        self._waits: Timers[AttemptKey] = Timers()

    # time

    def next_due(self) -> int:
        """When `advance` wants to be called (ns); `NEVER_NS`: not of itself."""
        pending, waits = self._pending.first, self._waits.first
        return pending if pending < waits else waits

    def advance(self, now: int) -> None:
        """Waits for a preferred host that are over, and pending timeouts."""
        for key in self._waits.take(now):
            job = self._owner.jobs[key]
            if job.state is _S.QUEUED:
                self._go_anywhere(job)
        for job in self._pending.take(now):
            if job.state is _S.QUEUED:
                self._owner.end(job, Outcome.PENDING_TIMEOUT, self._owner.why(job, now), now)

    @staticmethod
    def pending_ends(job: ControllerJob) -> int | None:
        """When the pending timeout of a queued attempt comes (ns)."""
        pending_ns = job.spec.pending_ns
        return job.since_ns + max(0, pending_ns - job.waited_ns) if job.queued and pending_ns else None

    def preference_ends(self, key: AttemptKey) -> int | None:
        """When a queued attempt stops waiting for its preferred host (ns)."""
        return self._waits.at(key)

    # waiting

    def arrive(self, superior: Superior) -> None:
        """A job of the superior has come."""
        if not superior.queued:
            self.sharing.awaken(superior)
        superior.queued += 1

    def look_again(self, superior: Superior) -> None:
        """The superior may have more jobs at hosts than before."""
        self._stirred = True
        self._roomy[superior.number] = superior

    def admit(self, job: ControllerJob, now: int) -> None:
        """Put a job where it waits, or end it by the policy for its host."""
        spec = job.spec
        shape = self.shapes.of(job.slots, spec.needs)
        if shape is None:
            self.outside.append(job)
        elif not self._stand(job, shape, now):
            return
        self._arrived.append(job)

    def _stand(self, job: ControllerJob, shape: Shape, now: int) -> bool:
        """Let it stand in the queues that are its own; False: its policy has ended it instead."""
        wish = job.spec.host
        if wish.name is not None and self._refused(job, now):
            return False
        job.shape = shape
        if not shape.plain:
            self.shapes.waits(shape)
        if self.cluster.order is _STRICT:
            self.any_queue.add(job)
        if wish.name is None:
            self._go_anywhere(job)
        else:
            self._wait_for_host(job, wish.name, now)
        return True

    def _let_in(self, now: int) -> None:
        """Jobs that stood outside, as long as there is room for their shapes."""
        while self.outside:
            job = self.outside[0]
            if job.queued:
                shape = self.shapes.of(job.slots, job.spec.needs)
                if shape is None:
                    return
                self._stand(job, shape, now)
            self.outside.popleft()

    def _wait_for_host(self, job: ControllerJob, name: str, now: int) -> None:
        wish = job.spec.host
        queue = self.queues.get(name)
        if queue is None:
            queue = self.queues[name] = WaitingJobs()
        queue.add(job)
        self._changed[name] = None
        if job.shape.shared:
            self._sharing[name] = None
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
            if self.cluster.order is _FILL:
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

    def waits_for(self, name: str) -> bool:
        """Whether a job waits for just this host."""
        queue = self.queues.get(name)
        return queue is not None and any(not self._owner.jobs[waiting.key].anywhere for waiting in queue.all())

    def unqueue(self, job: ControllerJob, now: int) -> None:
        """The attempt waits no longer, whatever becomes of it."""
        job.queued = False
        job.superior.queued -= 1
        if job.spec.pending_ns and job.accepted:
            self._pending.cancel(job, job.spec.pending_ns)
        if job.spec.host.name is not None:
            self._waits.cancel(job.key)
        if not job.shape.plain:
            self.shapes.leaves(job.shape)
        if job.kept:
            self._release(job, now)

    # what attempts take

    def take(self, job: ControllerJob, host: Host, now: int) -> None:
        """The attempt is at the host from now on: its slots, its resources and those of the cluster are taken."""
        host.free -= job.slots
        if job.pace is _LONG:
            host.lead.long += job.slots
        superior = job.superior
        superior.in_flight += 1
        if superior.terms.in_flight_max:
            superior.see_if_full()
        needs = job.spec.needs
        if needs is not None and needs.resources:
            own, shared = self.shapes.split(needs.resources)
            host.stock.take(own)
            self.shared.take(shared)
            # one that has been there since an earlier life of the controller has its GPUs already
            job.gpus = needs.gpus
            if not job.gpus and GPUS in host.stock.total:
                job.gpus = host.choose_gpus(dict(own).get(GPUS, 0))
            if job.gpus:
                host.take_gpus(job.gpus)
        self._note(host, now)

    def claimed(self, spec: JobSpec, host: Host) -> JobSpec:
        """What an attempt takes that only its host knows: slots and resources of that host, and nothing that others
        share, whatever the host says that it needs."""
        needs = spec.needs
        if needs is not None:
            needs = Needs(self.shapes.split(needs.resources)[0], gpus=needs.gpus)
        return JobSpec("", slots=min(max(spec.slots, 0), host.slots), needs=needs)

    def give_back(self, job: ControllerJob, host: Host) -> None:
        """The attempt is gone from the host, and what it took is free. Whoever calls this offers the host work then,
        once for all attempts that have ended there."""
        host.free += job.slots
        if job.pace is _LONG:
            host.lead.long -= job.slots
        superior = job.superior
        if superior.is_full:
            self.look_again(superior)
        superior.in_flight -= 1
        if superior.terms.in_flight_max:
            superior.see_if_full()
        needs = job.spec.needs
        if needs is not None and needs.resources:
            own, shared = self.shapes.split(needs.resources)
            host.stock.give_back(own)
            if shared:
                self.shared.give_back(shared)
                self._stirred = True
                self._changed.update(self._sharing)
            if job.gpus:
                host.give_back_gpus(job.gpus)
                job.gpus = ()

    def ended(self, job: ControllerJob, host: Host, report: Report, now: int) -> None:
        """The host has said how an attempt ended: what that tells of its task's jobs, and of how much the host may have
        ahead."""
        lead = host.lead
        if report.given_back:
            lead.given_back()
        if not report.started:
            return
        lead.failing = report.outcome is not Outcome.EXITED or report.exit_code != 0
        if self.brief.ends or report.ran_for_ns <= BRIEF_NS:
            self.brief.ran(job.superior.number, job.spec.task, report.ran_for_ns)
        if job.pace is _AHEAD:
            lead.ended(job.since_ns, host.slots, now)

    def runs(self, job: ControllerJob, host: Host, now: int) -> None:
        """The attempt is not over in a moment: its host says that it runs, or it is being ended."""
        if job.pace is not _LONG:
            job.pace = _LONG
            host.lead.long += job.slots
            self._note(host, now)

    # matching

    def match(self, now: int) -> None:
        """Give out what can be given out now."""
        if self.outside and not self.shapes.is_full:
            self._let_in(now)
        while self._changed or self._stirred or (self._roomy and self._is_behind()):
            changed, self._changed, self._stirred = self._changed, {}, False
            if self.cluster.order is _STRICT:
                self._match_strictly(now)
            else:
                self._match_filling(changed, now)
        if self._arrived:
            for job in self._arrived:
                if job.state is _S.QUEUED and not job.accepted:
                    job.accepted = True
                    job.superior.uplink.accepted(job.key)
                    if pending_ns := job.spec.pending_ns:  # not of those that were given out at once
                        left_ns = pending_ns - job.waited_ns
                        self._pending.set(job, pending_ns, job.since_ns + (left_ns if left_ns > 0 else 0))
            self._arrived.clear()

    def _is_behind(self) -> bool:
        """Whether a superior that is full no more may get something at a host of whose own queue it got nothing. Such
        hosts are looked at one by one, for the first may make it full again."""
        while self._roomy:
            number, superior = next(iter(self._roomy.items()))
            if superior.behind and not superior.is_full:
                name = next(iter(superior.behind))
                del superior.behind[name]
                self._changed[name] = None
                return True
            del self._roomy[number]
        return False

    def _match_kept(self, now: int) -> None:
        """Jobs for which hosts are kept, where they fit now."""
        for name in list(self._kept):
            job = self._kept.get(name)
            if job is None or job.superior.is_full or not self.reserving.fits(name):
                continue
            if self.cluster.order is _STRICT and self.any_queue.first_of(job.superior) is not job:
                self._release(job, now)  # one that comes before it has come meanwhile
            else:
                self._owner.give(job, self._hosts[name], self._pace(job), now)
                self.sharing.charge(job.superior, job.slots)

    def _match_filling(self, changed: dict[str, None], now: int) -> None:
        shapes = self.shapes
        if self._kept:
            self._match_kept(now)
        for name in changed:
            if name in self.queues:
                self._match_host(name, self.queues[name], now)
        self._give_alike(now)
        while shapes.free.most > 0:  # nobody has to look for a job where there is no room for any
            job = self.any_queue.first(shapes.able)
            if job is None:
                break
            wish = job.spec.host.name
            name = wish if wish is not None and shapes.fits(job.shape, wish) else shapes.choose(job.shape)
            self._give(job, self._hosts[name], now)
        if shapes.ahead.most > 0:
            for name in changed:
                if name in self.queues:
                    self._give_ahead(name, now)
            while shapes.ahead.most > 0 and self._give_ahead(shapes.ahead.freest(), now):
                pass

    def _give_alike(self, now: int) -> None:
        """The usual case: all that wait are of one superior and need as many slots, so nobody can be passed."""
        alike, free = self.any_queue.alike(), self.shapes.free
        if alike is None or not alike[1].plain or self.queues or self._kept:
            return
        superior, shape, waiting = alike
        slots = shape.slots or 1
        while free.most >= slots and not superior.is_full:
            if (job := waiting.first()) is None:
                return
            pace = self._pace(job) if self.brief.ends else _LONG
            name = free.fullest(slots) if shape.pack else free.freest()
            self._owner.give(job, self._hosts[name], pace, now)
            self.sharing.charge(superior, job.slots)

    def _pace(self, job: ControllerJob) -> Pace:
        """What is thought of a job that gets slots of its own."""
        spec = job.spec
        return _BRIEF if spec.block is None and self.brief.has(job.superior.number, spec.task) else _LONG

    def _may_go_ahead(self, job: ControllerJob, host: Host) -> bool:
        """Not the second attempt of any job: the first one may have come back from where it was ahead. And none that
        needs more than slots: what others wait for is not held by somebody who waits himself."""
        return (
            job.shape.plain
            and job.key[1] == 1
            and 0 < job.slots <= self.shapes.ahead.free(host.name)
            and self._pace(job) is _BRIEF
        )

    def _give_ahead(self, name: str, now: int) -> bool:
        """Give a host more than it has slots for, as long as whoever is next of those that only slots keep from going
        there is brief: nobody is passed, so nobody waits longer than what is ahead takes. Whether something was given.
        """
        host = self._hosts[name]
        own, given = self.queues.get(name), False

        def able(shape: Shape) -> bool:
            return self.shapes.lacks_slots(shape, host)

        while self.shapes.ahead.free(name) > 0:
            job = self.any_queue.next(able)
            mine = None if own is None else own.next(able)
            if mine is not None and (job is None or is_before(mine, job)):
                job = mine
            elif name != self.shapes.ahead.freest():
                break  # it may go anywhere, and elsewhere there is more room
            if job is None or not self._may_go_ahead(job, host):
                break
            self._give(job, host, now, _AHEAD)
            given = True
        return given

    def _match_host(self, name: str, queue: WaitingJobs, now: int) -> None:
        """The host gets jobs as long as some of its own queue fits."""

        def fits(shape: Shape) -> bool:
            return self.shapes.fits(shape, name)

        while self.shapes.free.free(name) > 0:
            own = queue.first(fits)
            if own is None:
                break
            other = self.any_queue.first(fits)
            self._give(own if other is None or is_before(own, other) else other, self._hosts[name], now)
        queue.note_full(name)
        if name in self._sharing and not queue.is_sharing:
            del self._sharing[name]

    def _give(self, job: ControllerJob, host: Host, now: int, pace: Pace | None = None) -> None:
        """Hand it over, and see who was passed: when that was too often, a host is kept."""
        self._owner.give(job, host, self._pace(job) if pace is None else pace, now)
        own = self.queues.get(host.name)
        if own is not None and self.cluster.order is _FILL:
            for kept in self.reserving.passed(own, job, host, now):
                self._note(kept, now)
        if own is not None or self.any_queue.has_choice:
            for kept in self.reserving.passed(self.any_queue, job, None, now):
                self._note(kept, now)
        self.sharing.charge(job.superior, job.slots)
        if job.superior.is_full:
            for passed in [each for each in self._kept.values() if each.superior is job.superior]:
                self._release(passed, now)  # it cannot go there before one of its superior ends

    def _match_strictly(self, now: int) -> None:
        """In each superior's line nobody passes the first one; when that cannot go, another superior's may.

        Nothing goes ahead: at its host a narrower one may find room first, and what is given back is passed meanwhile.
        """
        if self._kept:
            self._match_kept(now)
        while (found := self._next_strictly()) is not None:
            job, host = found
            self._give(job, host, now)

    def _next_strictly(self) -> tuple[ControllerJob, Host] | None:
        shapes = self.shapes
        for line in self.any_queue.lines():
            job = None if line.superior.is_full else line.first(anything)
            if job is None:
                continue
            wish = job.spec.host.name
            if wish is not None and shapes.fits(job.shape, wish):
                return job, self._hosts[wish]
            if job.anywhere and shapes.able(job.shape):
                return job, self._hosts[shapes.choose(job.shape)]
        return None

    def _release(self, job: ControllerJob, now: int) -> None:
        """The host that was kept for the job is for all again."""
        host = self.reserving.release(job)
        if host is not None:
            self.offer(host, now)

    # hosts

    def withdraw(self, host: str, now: int) -> None:
        """This host takes nothing now."""
        self.shapes.changed(host, 0)
        if host in self._kept:
            self._release(self._kept[host], now)

    def announce(self, host: str) -> None:
        """A host of this name is defined now, or has other resources: jobs may wait for it already."""
        self._changed[host] = None
        self.shapes.hosts_changed()

    def offer(self, host: Host, now: int) -> None:
        """The host may be able to take more than before, or nothing any more."""
        if host.name in self._kept and not host.takes_work(now):
            self.reserving.release(self._kept[host.name])
        self._note(host, now)
        self._changed[host.name] = None

    def _note(self, host: Host, now: int) -> None:
        """What this host can take now is as it says."""
        if host.takes_work(now) and host.name not in self._kept:
            self.shapes.changed(host.name, host.free, host.room_ahead if host.free <= 0 else 0)
        else:
            self.shapes.changed(host.name, 0)
