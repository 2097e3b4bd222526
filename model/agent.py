"""The Agent machine: one host. Decides whether a job may run here now, and holds every result until acknowledged.

Slots, files to wait for, the queue of a host that was given more than it has slots for (`local`), the lease, and the
inventory are here. When a running process must end, and what its end means, is the keeper's (`keeper.py`).

At `local` the queue is first come, first served. A job that waits for files holds no slot of the agent.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from model.channel import ChannelTimes, ProtocolError
from model.effects import Effect, Look, Notice, ToKeeper, Transmit
from model.events import (
    Delivered,
    FilesSeen,
    HostDirty,
    KeeperDown,
    KeeperSaid,
    KeeperUp,
    LinkDown,
    LinkUp,
    Vouched,
    WallClock,
)
from model.explain import Explanation
from model.hosted_attempt import (
    AGENT_MOVES,
    PROCESS_STATES,
    WAITING_STATES,
    AttemptState,
    HostedAttempt,
    completed,
    entry_of,
    explain,
    told,
)
from model.job import AttemptKey, JobSpec, Outcome, Report
from model.job_numbers import number_text
from model.keeper import Exited, Forget, Holding, ListHeld, Recall, Recalled, Renew, Running, Start, stop_as
from model.lanes import PATIENCE_NS, Lanes
from model.messages import Acknowledge, Assign, Cancel, CancelReason, Entry, Held, Inquire, Ping, Pong
from model.states import check_move, quick
from model.timers import Timers
from model.uplink import Uplink

FOREVER_NS = 1 << 62
SUPERIOR = "superior"

AgentEvent = (
    Delivered | LinkUp | LinkDown | Vouched | WallClock | KeeperUp | KeeperDown | KeeperSaid | FilesSeen | HostDirty
)


_S = quick(AttemptState)
_EXITED = Outcome.EXITED
_CANCEL_OUTCOMES = {
    CancelReason.TIMED_OUT: Outcome.TIMED_OUT,
    CancelReason.PENDING_TIMEOUT: Outcome.PENDING_TIMEOUT,
    CancelReason.CONTROLLER_SILENT: Outcome.CONTROLLER_SILENT,
}


class Agent:
    """See the head of this file; the four methods are described in docs/architecture.md, part 3."""

    def __init__(
        self,
        name: str,
        epoch: int,
        now: int,
        slots: int,
        times: ChannelTimes,
        keepers: tuple[int, ...],
        remembers: int,
        queue_max: int = 100_000,
    ) -> None:
        """`keepers`: every keeper whose holdings are awaited before an inventory is given. `remembers`: the earliest
        life of this agent whose attempts the keepers' logs cover."""
        self.name = name
        self.slots = slots
        self.remembers = remembers
        self.queue_max = queue_max
        self.uplink = Uplink(epoch, times)
        self.attempts: dict[AttemptKey, HostedAttempt] = {}
        self.busy = 0
        """slots of processes"""
        self.dirty = ""
        self._queue: deque[HostedAttempt] = deque()
        self._queued = 0
        self._lanes = Lanes()
        self._lanes_due_ns: int | None = None
        """when heads that run long are looked for; None: nobody was sent ahead"""
        self._load: dict[int, int] = {}
        """attempts by keeper that can take more"""
        self._unheard = set(keepers)
        self._inquiry: int | None = None
        self._timers: Timers[AttemptKey] = Timers()
        self._effects: list[Effect] = []
        self._handlers: dict[type, Callable[[Any, int], None]] = {
            Delivered: self._delivered,
            KeeperSaid: self._keeper_said,
            FilesSeen: self._files_seen,
            KeeperUp: self._keeper_up,
            KeeperDown: self._keeper_down,
            Vouched: self._vouched,
            LinkDown: self._link_down,
            HostDirty: self._host_dirty,
        }

    # the four methods

    def receive(self, event: AgentEvent, now: int) -> None:
        """Take one event. The lease is judged first: a word that comes after its end revives nothing."""
        if self.uplink.lease_ended(now):
            self._lease_ended(now)
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(event, now)

    def advance(self, now: int) -> None:
        """Do what is due: the lease, the ends of waits, the next look at files, repeated words."""
        if self.uplink.lease_ended(now):
            self._lease_ended(now)
        for key in self._timers.take(now):
            self._wait_over(self.attempts[key], now)
        if self._lanes_due_ns is not None and now >= self._lanes_due_ns:
            self._take_back(now)
        self.uplink.advance(now)

    def next_due(self) -> int | None:
        """When `advance` wants to be called (ns)."""
        uplink = self.uplink
        earliest = uplink.lease_end_ns if self.attempts and not uplink.vouched else None
        for due in (self._timers.next_due(), uplink.next_due(), self._lanes_due_ns):
            if due is not None and (earliest is None or due < earliest):
                earliest = due
        return earliest

    def drain(self) -> list[Effect]:
        """What the driver is to do, in order."""
        effects, self._effects = self._effects, []
        batch = self.uplink.take()
        if batch is not None:
            effects.append(Transmit(SUPERIOR, batch))
        return effects

    # the superior

    def _delivered(self, event: Delivered, now: int) -> None:
        uplink = self.uplink
        lease_before = uplink.lease_end_ns
        messages = uplink.receive(event.batch, now)
        self._pass_lease_on(lease_before, now)
        for message in messages:
            kind = type(message)
            if kind is Assign:
                self._assign(message, now)  # type: ignore[arg-type]
            elif kind is Acknowledge:
                self._acknowledge((message.job, message.attempt))  # type: ignore[union-attr]
            elif kind is Cancel:
                self._cancel(message, now)  # type: ignore[arg-type]
            elif kind is Ping:
                uplink.pong(message.number, self.busy, self._queued, self.dirty, now)  # type: ignore[union-attr]
            elif kind is Inquire:
                self._inquiry = message.number  # type: ignore[union-attr]
                if message.slots > 0:  # type: ignore[union-attr]
                    self.slots = message.slots  # type: ignore[union-attr]
                    self._fill(now)
                self._answer_inquiry(now)

    def _pass_lease_on(self, before_ns: int | None, now: int) -> None:
        """A new lease holds at the keepers before anything runs there; while the driver vouches theirs has no end."""
        end_ns = self.uplink.lease_end_ns
        if end_ns is not None and end_ns != before_ns and end_ns > now and not self.uplink.vouched:
            self._renew_keepers(end_ns - now)

    def _renew_keepers(self, lease_ns: int) -> None:
        self._effects += [ToKeeper(keeper, Renew(lease_ns)) for keeper in self._load]

    def _answer_inquiry(self, now: int) -> None:
        if self._inquiry is None or self._unheard:
            return
        entries = tuple(entry_of(attempt, self.name) for attempt in self.attempts.values())
        lease_before = self.uplink.lease_end_ns
        self.uplink.inventory(self._inquiry, entries, self.remembers, self.slots, now)
        self._inquiry = None
        self._pass_lease_on(lease_before, now)

    def _assign(self, message: Assign, now: int) -> None:
        key = (message.job, message.attempt)
        known = self.attempts.get(key)
        if known is not None:
            self._say_again(known, now)
            return
        spec = message.spec
        attempt = HostedAttempt(key, spec, message.waited_ns, now, _S.QUEUED)
        refusal = self._refusal(spec)
        if refusal is not None:
            self.attempts[key] = attempt
            self._end(attempt, refusal, now)
            return
        self.attempts[key] = attempt
        if spec.pending_ns:
            attempt.deadline_ns = now + max(0, spec.pending_ns - message.waited_ns)
        if spec.block is not None and spec.block.before:
            attempt.state = _S.BLOCKED_BEFORE
            attempt.deadline_ns = now + spec.block.limit_ns
            self._look(attempt, spec.block.before, now)
            self.uplink.accepted(key)
            return
        self._enqueue(attempt, now)
        if attempt.state is _S.QUEUED:
            self.uplink.accepted(key)

    def _refusal(self, spec: JobSpec) -> Report | None:
        """Why this job cannot be taken, if so."""
        if spec.slots > self.slots:
            reason = f"it needs {spec.slots} slots, {self.name} has {self.slots}"
            return Report(Outcome.OVERLOADED, reason=reason)
        if self.dirty:
            return Report(Outcome.OVERLOADED, reason=self.dirty, again=True)
        if not self.uplink.leased:
            return Report(Outcome.OVERLOADED, reason="its superior has granted no lease", again=True)
        if self._queued >= self.queue_max:
            return Report(Outcome.OVERLOADED, reason=f"{self._queued} jobs wait on {self.name} already")
        return None

    def _say_again(self, attempt: HostedAttempt, now: int) -> None:
        if attempt.state is _S.ENDED:
            assert attempt.report is not None
            self.uplink.ended(attempt.key, attempt.report, now)
        elif attempt.state in WAITING_STATES or attempt.state is _S.STARTING:
            self.uplink.accepted(attempt.key)
        else:
            self.uplink.started(attempt.key, self.name, 0)

    def _acknowledge(self, key: AttemptKey) -> None:
        attempt = self.attempts.get(key)
        if attempt is None or attempt.state is not _S.ENDED:
            return
        del self.attempts[key]
        if attempt.keeper >= 0:
            self._effects.append(ToKeeper(attempt.keeper, Forget(key[0], key[1])))

    def _cancel(self, message: Cancel, now: int) -> None:
        key = (message.job, message.attempt)
        attempt = self.attempts.get(key)
        if attempt is None:
            self.uplink.deny(key, now)
        elif attempt.state is _S.ENDED:
            self._say_again(attempt, now)
        else:
            outcome = _CANCEL_OUTCOMES.get(message.why, Outcome.KILLED)
            self._put_down(attempt, outcome, message.why.value, now)

    def _put_down(self, attempt: HostedAttempt, outcome: Outcome, reason: str, now: int) -> None:
        """End an attempt wherever it is; a running one ends when its keeper says so."""
        if attempt.state in PROCESS_STATES or attempt.state is _S.STAGED:
            if attempt.state is not _S.STOPPING:
                self._move(attempt, _S.STOPPING, now)
                self._effects.append(ToKeeper(attempt.keeper, stop_as(attempt.key, outcome)))
            attempt.ended_as = attempt.ended_as or (outcome, reason)
            return
        if attempt.state is _S.QUEUED:
            self._queued -= 1
        before = attempt.report
        ran_for = 0 if before is None else before.ran_for_ns
        self._end(attempt, Report(outcome, reason=reason, ran_for_ns=ran_for, started=before is not None), now)

    def _lease_ended(self, now: int) -> None:
        """The superior was not heard for the lease: nothing here may live on."""
        self.uplink.lease_end_ns = None
        for attempt in list(self.attempts.values()):
            if attempt.state is not _S.ENDED:
                self._put_down(attempt, Outcome.LOST, "lease ended", now)

    def _vouched(self, event: Vouched, now: int) -> None:
        self.uplink.vouch(event.vouched, event.age_ns, now)
        if event.vouched:
            self._renew_keepers(FOREVER_NS)
        elif (end_ns := self.uplink.lease_end_ns) is not None:
            self._renew_keepers(end_ns - now)

    def _link_down(self, event: LinkDown, now: int) -> None:
        self.uplink.closed()

    def _host_dirty(self, event: HostDirty, now: int) -> None:
        if event.reason == self.dirty:
            return
        self.dirty = event.reason
        if self.uplink.open:
            self.uplink.outbox.append(Pong(0, self.busy, self._queued, self.dirty))

    # slots and keepers

    def _enqueue(self, attempt: HostedAttempt, now: int) -> None:
        self._queue.append(attempt)
        self._queued += 1
        self._fill(now)
        if attempt.deadline_ns is not None:  # it waits
            self._timers.set(attempt.key, attempt.deadline_ns)

    def _fill(self, now: int) -> None:
        """Start what may start, in the order in which it came."""
        queue = self._queue
        while queue and self._load:
            attempt = queue[0]
            if attempt.state is not _S.QUEUED:
                queue.popleft()  # it ended while it waited
                continue
            if self.busy + attempt.spec.slots <= self.slots:
                self._start(attempt, now)
            elif not self._send_ahead(attempt, now):
                return
            queue.popleft()
            self._queued -= 1

    def _start(self, attempt: HostedAttempt, now: int) -> None:
        attempt.keeper = min(self._load, key=self._load.__getitem__)
        self._occupy(attempt, now)
        self._lanes.begin(attempt, now)
        self._move(attempt, _S.STARTING, now)
        self._effects.append(ToKeeper(attempt.keeper, Start(attempt.key[0], attempt.key[1], attempt.spec)))

    def _occupy(self, attempt: HostedAttempt, now: int) -> None:
        """From now on it takes slots, and waits no longer."""
        attempt.holds = attempt.spec.slots
        attempt.waited_ns += now - attempt.accepted_ns
        if attempt.deadline_ns is not None:
            attempt.deadline_ns = None
            self._timers.cancel(attempt.key)
        self.busy += attempt.holds
        if attempt.keeper in self._load:
            self._load[attempt.keeper] += 1

    def _vacate(self, attempt: HostedAttempt, now: int) -> None:
        """Its slots are free, or those of the next in its lane."""
        if not attempt.holds:
            self._lanes.leave(attempt)
            return
        self.busy -= attempt.holds
        attempt.holds = 0
        if attempt.keeper in self._load:
            self._load[attempt.keeper] -= 1
        following = self._lanes.end(attempt, now)
        if following is not None:
            self._occupy(following, now)
            if following.state is _S.STAGED:
                self._move(following, _S.STARTING, now)

    def _send_ahead(self, attempt: HostedAttempt, now: int) -> bool:
        """Let it stand directly behind a brief one, if there is a place."""
        before = self._lanes.place(attempt)
        if before is None or before.keeper not in self._load:
            self._lanes.leave(attempt)
            return False
        attempt.keeper = before.keeper
        self._move(attempt, _S.STAGED, now)
        self._effects.append(ToKeeper(attempt.keeper, Start(attempt.key[0], attempt.key[1], attempt.spec, before.key)))
        if self._lanes_due_ns is None:
            self._lanes_due_ns = now + PATIENCE_NS
        return True

    def _take_back(self, now: int) -> None:
        """A head that was thought brief runs long: those behind it go where a slot gets free first."""
        for attempt in self._lanes.slow(now):
            self._recall(attempt)
        self._lanes_due_ns = now + PATIENCE_NS if self._lanes.any_staged else None

    def _recall(self, attempt: HostedAttempt) -> None:
        if attempt.state is _S.STAGED and not attempt.recalled:
            attempt.recalled = True
            self._effects.append(ToKeeper(attempt.keeper, Recall(*attempt.key)))

    def _recalled(self, attempt: HostedAttempt, now: int) -> None:
        self._lanes.leave(attempt)
        if attempt.state is _S.STOPPING:
            assert attempt.ended_as is not None
            self._end(attempt, Report(attempt.ended_as[0], reason=attempt.ended_as[1]), now)
            return
        self._move(attempt, _S.QUEUED, now)
        attempt.keeper, attempt.recalled = -1, False
        self._queue.appendleft(attempt)
        self._queued += 1
        if attempt.deadline_ns is not None:
            self._timers.set(attempt.key, attempt.deadline_ns)
        self._fill(now)

    def _keeper_up(self, event: KeeperUp, now: int) -> None:
        self._unheard.add(event.keeper)
        self._effects.append(ToKeeper(event.keeper, ListHeld()))

    def _keeper_down(self, event: KeeperDown, now: int) -> None:
        self._load.pop(event.keeper, None)
        self._effects.append(Notice("alarm", f"host {self.name}", f"keeper {event.keeper} is gone"))

    def _keeper_said(self, event: KeeperSaid, now: int) -> None:
        message = event.message
        kind = type(message)
        if kind is Running:
            attempt = self.attempts.get((message.job, message.attempt))  # type: ignore[union-attr]
            if attempt is not None and attempt.state is _S.STARTING:
                self._move(attempt, _S.RUNNING, now)
                self.uplink.started(attempt.key, self.name, message.started_at)  # type: ignore[union-attr]
        elif kind is Exited:
            attempt = self.attempts.get((message.job, message.attempt))  # type: ignore[union-attr]
            if attempt is not None and (attempt.state in PROCESS_STATES or attempt.state is _S.STAGED):
                self._exited(attempt, message.report, now)  # type: ignore[union-attr]
        elif kind is Recalled:
            attempt = self.attempts.get((message.job, message.attempt))  # type: ignore[union-attr]
            if attempt is not None and not attempt.holds and attempt.state in (_S.STAGED, _S.STOPPING):
                self._recalled(attempt, now)
        elif kind is Holding:
            self._holding(event.keeper, message.entries, now)  # type: ignore[union-attr]
        else:
            raise ProtocolError(f"keeper {event.keeper} said {kind.__name__}")

    def _exited(self, attempt: HostedAttempt, report: Report, now: int) -> None:
        self._vacate(attempt, now)
        if report.started:
            self._lanes.ran(attempt.spec.task, report.ran_for_ns)
        if report.survivors:
            pids = " ".join(map(str, report.survivors))
            self.dirty = f"processes of job {number_text(attempt.key[0])} could not be ended: {pids}"
            self._effects.append(Notice("alarm", f"host {self.name}", self.dirty))
        report = completed(attempt, report, self.name)
        block = attempt.spec.block
        went_well = report.outcome is _EXITED and report.exit_code == 0
        if block is not None and block.after and went_well and attempt.state is not _S.STOPPING:
            attempt.report = report
            attempt.deadline_ns = now + block.limit_ns
            self._move(attempt, _S.BLOCKED_AFTER, now)
            self._look(attempt, block.after, now)
        else:
            self._end(attempt, report, now)
        self._fill(now)

    def _holding(self, keeper: int, entries: tuple[Entry, ...], now: int) -> None:
        """What a keeper (or the reader of a dead one's log) holds: adopt it, and notice what it does not have."""
        listed: set[AttemptKey] = set()
        for entry in entries:
            key = (entry.job, entry.attempt)
            listed.add(key)
            self._adopt(keeper, key, entry, now)
        mine = [attempt for attempt in self.attempts.values() if attempt.keeper == keeper and attempt.key not in listed]
        for attempt in reversed(mine):
            if attempt.state in PROCESS_STATES and attempt.holds:
                self._exited(attempt, Report(Outcome.LOST, reason="its keeper lost it", started=True), now)
            elif attempt.state is _S.STAGED or attempt.state is _S.STOPPING:
                self._recalled(attempt, now)
        self._load[keeper] = sum(1 for attempt in self.attempts.values() if attempt.keeper == keeper and attempt.holds)
        if self.uplink.vouched:
            self._effects.append(ToKeeper(keeper, Renew(FOREVER_NS)))
        elif self.uplink.lease_end_ns is not None:
            self._effects.append(ToKeeper(keeper, Renew(self.uplink.lease_end_ns - now)))
        self._unheard.discard(keeper)
        self._answer_inquiry(now)
        self._fill(now)

    def _adopt(self, keeper: int, key: AttemptKey, entry: Entry, now: int) -> None:
        attempt = self.attempts.get(key)
        if attempt is None:
            attempt = HostedAttempt(key, entry.spec, 0, now, _S.RUNNING)
            attempt.keeper = keeper
            self.attempts[key] = attempt
            attempt.holds = entry.spec.slots
            self.busy += attempt.holds
        if entry.held is Held.ENDED:
            assert entry.report is not None
            if attempt.state in PROCESS_STATES:
                self._exited(attempt, entry.report, now)
        elif attempt.state is _S.STARTING:
            self._move(attempt, _S.RUNNING, now)
            self.uplink.started(key, self.name, 0)

    # files, waits, ends

    def _look(self, attempt: HostedAttempt, paths: tuple[str, ...], now: int) -> None:
        job, number = attempt.key
        self._effects.append(Look(job, number, paths, attempt.spec.directory))
        assert attempt.deadline_ns is not None
        self._timers.set(attempt.key, attempt.deadline_ns)

    def _files_seen(self, event: FilesSeen, now: int) -> None:
        attempt = self.attempts.get((event.job, event.attempt))  # type: ignore[arg-type]
        if attempt is None or attempt.state not in (_S.BLOCKED_BEFORE, _S.BLOCKED_AFTER):
            return
        assert attempt.deadline_ns is not None
        if event.missing is not None:
            attempt.ended_as = (Outcome.FILES_MISSING, event.missing)
            self._timers.set(attempt.key, min(now + attempt.spec.poll_ns, attempt.deadline_ns))
            return
        attempt.ended_as = None
        if attempt.state is _S.BLOCKED_AFTER:
            assert attempt.report is not None
            self._end(attempt, attempt.report, now)
            return
        self._timers.cancel(attempt.key)
        pending_ns = attempt.spec.pending_ns
        attempt.deadline_ns = attempt.accepted_ns + max(0, pending_ns - attempt.waited_ns) if pending_ns else None
        self._move(attempt, _S.QUEUED, now)
        self._enqueue(attempt, now)

    def _wait_over(self, attempt: HostedAttempt, now: int) -> None:
        """A wait's timer fired: look at the files again, or the wait's limit has passed."""
        assert attempt.deadline_ns is not None
        block = attempt.spec.block
        if attempt.state is _S.STAGED:  # unless it starts this very moment, it comes back and its time is over
            self._recall(attempt)
            return
        if attempt.state is _S.QUEUED:
            self._put_down(attempt, Outcome.PENDING_TIMEOUT, f"no slot on {self.name} in time", now)
            return
        assert block is not None
        before = attempt.state is _S.BLOCKED_BEFORE
        if now < attempt.deadline_ns:
            self._look(attempt, block.before if before else block.after, now)
            return
        missing = attempt.ended_as[1] if attempt.ended_as else (block.before if before else block.after)[0]
        attempt.ended_as = None
        when = "before the start" if before else "after the end"
        self._put_down(attempt, Outcome.FILES_MISSING, f"{missing} {when}", now)

    def _end(self, attempt: HostedAttempt, report: Report, now: int) -> None:
        if attempt.deadline_ns is not None:
            self._timers.cancel(attempt.key)
            attempt.deadline_ns = None
        if not report.host:
            report = told(attempt, report, self.name, now)
        attempt.report = report
        self._move(attempt, _S.ENDED, now)
        self.uplink.ended(attempt.key, report, now)

    def _move(self, attempt: HostedAttempt, state: AttemptState, now: int) -> None:
        if state not in AGENT_MOVES[attempt.state]:
            check_move(AGENT_MOVES, attempt.state, state, f"attempt {attempt.key} on {self.name}")
        attempt.state = state
        attempt.since_ns = now

    # explain

    def explain(self, key: AttemptKey) -> Explanation | None:
        """Why an attempt that this host holds does not run, or what it does; None: it is not here."""
        attempt = self.attempts.get(key)
        return None if attempt is None else explain(attempt, self.name, self.busy, self.slots)
