"""The Agent machine: one host. Decides whether a job may run here now, and holds every result until acknowledged.

Slots, the queue of a host that was given more than it has slots for (`local`), and the inventory are here; the words of
the superior, the lease and files to wait for are every subordinate's (`subordinate.py`). When a running process must
end, and what its end means, is the keeper's (`keeper.py`).

At `local` the queue is first come, first served. A job that waits for files holds no slot of the agent.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from model.channel import ChannelTimes, ProtocolError
from model.effects import Effect, Notice, ToKeeper, Transmit
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
from model.job import SECOND, AttemptKey, JobSpec, Outcome, Report
from model.job_numbers import number_text
from model.keeper import Exited, Forget, Holding, ListHeld, Recall, Recalled, Renew, Running, Start, stop_as
from model.lanes import PATIENCE_NS, Lanes
from model.messages import Entry, Held, Pong
from model.states import check_move, quick
from model.subordinate import SUPERIOR, Handlers, Subordinate
from model.timers import NEVER_NS

FOREVER_NS = 1 << 62
STILL_NS = SECOND // 5
"""A queue out of which nothing has started for so long is given back to a superior that could give it elsewhere."""
STAND_NS = SECOND
"""So does whatever has stood in it for so long."""

AgentEvent = (
    Delivered | LinkUp | LinkDown | Vouched | WallClock | KeeperUp | KeeperDown | KeeperSaid | FilesSeen | HostDirty
)


_S = quick(AttemptState)


class Agent(Subordinate[HostedAttempt]):
    """See the head of this file; the four methods are described in docs/architecture.md, part 3."""

    BEFORE, AFTER, OVER = _S.BLOCKED_BEFORE, _S.BLOCKED_AFTER, _S.ENDED
    HELD, WAITS = HostedAttempt, _S.QUEUED

    __slots__ = (
        "_blocked",
        "_inquiry",
        "_lanes",
        "_lanes_due_ns",
        "_load",
        "_moved_ns",
        "_queue",
        "_queued",
        "_unheard",
        "busy",
        "gives_back",
    )

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
        gives_back: bool = False,
    ) -> None:
        """`keepers`: every keeper whose holdings are awaited before an inventory is given. `remembers`: the earliest
        life of this agent whose attempts the keepers' logs cover. `gives_back`: of a host behind a controller; what it
        was given beyond its slots it gives back when it cannot start it soon."""
        super().__init__(name, epoch, slots, times, remembers, queue_max)
        self.gives_back = gives_back
        self.busy = 0
        """slots of processes"""
        self._queue: deque[HostedAttempt] | None = None
        """made for the first who waits: a deque is a tenth of an idle host"""
        self._queued = 0
        self._moved_ns = now
        """when something last left the queue for a slot, or the first one came into it"""
        self._blocked = 0
        """slots that are kept for attempts that wait for files; at a host that gives back: elsewhere they hold none"""
        self._lanes = Lanes(self.attempts)
        self._lanes_due_ns: int | None = None
        """when heads that run long are looked for; None: nobody was sent ahead"""
        self._load: dict[int, int] = {}
        """attempts by keeper that can take more"""
        self._unheard = set(keepers)
        self._inquiry: int | None = None
        self._handlers = HANDLERS

    @staticmethod
    def handlers() -> Handlers:
        return {
            **Subordinate.handlers(),
            KeeperSaid: Agent._keeper_said,
            KeeperUp: Agent._keeper_up,
            KeeperDown: Agent._keeper_down,
            Vouched: Agent._vouched,
            HostDirty: Agent._host_dirty,
        }

    # the four methods (`receive` is every subordinate's)

    def advance(self, now: int) -> None:
        """Do what is due: the lease, the ends of waits, the next look at files, repeated words."""
        if self.uplink.lease_ended(now):
            self._lease_ended(now)
        for key in self._timers.take(now):
            self._wait_over(self.attempts[key], now)
        if self._lanes_due_ns is not None and now >= self._lanes_due_ns:
            self._take_back(now)
        if self.gives_back and self._queued and now >= self._patience_ends():
            self._give_back(now)
        self.uplink.advance(now)

    def next_due(self) -> int | None:
        """When `advance` wants to be called (ns)."""
        uplink = self.uplink
        earliest = self._timers.first
        if uplink.resend_at < earliest:
            earliest = uplink.resend_at
        if self._lanes_due_ns is not None and self._lanes_due_ns < earliest:
            earliest = self._lanes_due_ns
        if self.gives_back and self._queued:
            earliest = min(earliest, self._patience_ends())
        if uplink.lease_end_ns is not None and not uplink.vouched and self.attempts:
            earliest = min(earliest, uplink.lease_end_ns)
        return None if earliest == NEVER_NS else earliest

    def drain(self) -> list[Effect]:
        """What the driver is to do, in order."""
        effects, self._effects = self._effects, []
        if self.uplink.outbox:
            effects.append(Transmit(SUPERIOR, self.uplink.seal()))
        return effects

    # the superior

    def _lease_heard(self, before_ns: int | None, now: int) -> None:
        """A new lease holds at the keepers before anything runs there; while the driver vouches theirs has no end."""
        end_ns = self.uplink.lease_end_ns
        if end_ns is not None and end_ns != before_ns and end_ns > now and not self.uplink.vouched:
            self._renew_keepers(end_ns - now)

    def _renew_keepers(self, lease_ns: int) -> None:
        self._effects += [ToKeeper(keeper, Renew(lease_ns)) for keeper in self._load]

    def _inquired(self, number: int, now: int) -> None:
        self._inquiry = number
        self._fill(now)
        self._answer_inquiry(now)

    def _answer_inquiry(self, now: int) -> None:
        if self._inquiry is None or self._unheard:
            return
        entries = tuple(entry_of(attempt, self.name) for attempt in self.attempts.values())
        lease_before = self.uplink.lease_end_ns
        self.uplink.inventory(self._inquiry, entries, self.remembers, self.slots, now, self.gives_back)
        self._inquiry = None
        self._lease_heard(lease_before, now)

    def _running(self) -> int:
        return self.busy

    def _waiting(self) -> int:
        return self._queued

    def _unfit(self, spec: JobSpec) -> Report | None:
        if self.dirty and self.gives_back:
            return Report(Outcome.OVERLOADED, reason=self.dirty, again=True)
        return None

    def _taken(self, attempt: HostedAttempt) -> None:
        if attempt.state is _S.BLOCKED_BEFORE:
            if self.gives_back:
                self._blocked += attempt.spec.slots
            self.uplink.accepted(attempt.key)
        elif attempt.state is _S.QUEUED and not self.gives_back:  # else it starts or goes back in a moment
            self.uplink.accepted(attempt.key)

    def _say_where(self, attempt: HostedAttempt) -> None:
        if attempt.state in WAITING_STATES or attempt.state is _S.STARTING:
            self.uplink.accepted(attempt.key)
        else:
            self.uplink.started(attempt.key, self.name, 0)

    def _forgotten(self, attempt: HostedAttempt) -> None:
        if attempt.keeper >= 0:
            self._effects.append(ToKeeper(attempt.keeper, Forget(*attempt.key)))

    def put_down(self, attempt: HostedAttempt, outcome: Outcome, reason: str, now: int) -> None:
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
        blocked = self._blocked
        self.end(attempt, Report(outcome, reason=reason, ran_for_ns=ran_for, started=before is not None), now)
        if self._blocked < blocked:
            self._fill(now)

    def _vouched(self, event: Vouched, now: int) -> None:
        self.uplink.vouch(event.vouched, event.age_ns, now)
        if event.vouched:
            self._renew_keepers(FOREVER_NS)
        elif (end_ns := self.uplink.lease_end_ns) is not None:
            self._renew_keepers(end_ns - now)

    def _host_dirty(self, event: HostDirty, now: int) -> None:
        if event.reason == self.dirty:
            return
        self.dirty = event.reason
        if self.uplink.open:
            self.uplink.outbox.append(Pong(0, self.busy, self._queued, self.dirty))
        if self.dirty:
            self._close(now)
        else:
            self._fill(now)

    # slots and keepers

    def _enqueue(self, attempt: HostedAttempt, now: int) -> None:
        fits = self.busy + self._blocked + attempt.spec.slots <= self.slots
        if fits and not self._queue and self._load and not self.dirty:
            self._moved_ns = now
            self._start(attempt, now)  # most start when they come, so the queue is not asked
            return
        attempt.wait_from_arrival()
        if not self._queued:
            self._moved_ns = now
        self._line_up().append(attempt)
        self._fill(now)
        if attempt.deadline_ns is not None:  # it waits
            self._timers.set(attempt.key, attempt.deadline_ns)

    def _line_up(self) -> deque[HostedAttempt]:
        """The queue, for one more."""
        if self._queue is None:
            self._queue = deque()
        self._queued += 1
        return self._queue

    def _fill(self, now: int) -> None:
        """Start what may start, in the order in which it came."""
        queue = self._queue
        while queue and self._load and not self.dirty:
            attempt = queue[0]
            if attempt.state is not _S.QUEUED:
                queue.popleft()  # it ended while it waited
                continue
            if self.busy + self._blocked + attempt.spec.slots <= self.slots:
                self._start(attempt, now)
            elif not self._send_ahead(attempt, now):
                return
            queue.popleft()
            self._queued -= 1
            self._moved_ns = now

    def _patience_ends(self) -> int:
        """When the first in the queue is given back (ns). Only if there is one."""
        queue = self._queue
        assert queue is not None
        while queue[0].state is not _S.QUEUED:
            queue.popleft()
        if not self._load:  # its keepers are on their way
            return NEVER_NS
        return min(self._moved_ns + STILL_NS, queue[0].accepted_ns + STAND_NS)

    def _give_back(self, now: int) -> None:
        """What waits here may start sooner elsewhere. It was given beyond the slots, so none of it has a right to one
        here."""
        still = self.dirty or now >= self._moved_ns + STILL_NS
        kept: deque[HostedAttempt] = deque()
        for attempt in self._queue or ():
            if attempt.state is not _S.QUEUED:
                continue
            if not still and now < attempt.accepted_ns + STAND_NS:
                kept.append(attempt)
                continue
            self._queued -= 1
            reason = self.dirty or f"{self.name} had no slot for it soon"
            self.end(attempt, Report(Outcome.OVERLOADED, reason=reason, again=True, given_back=True), now)
        self._queue = kept

    def _close(self, now: int) -> None:
        """The host is dirty: nothing starts. What waits is given back; where nobody else could take it, it waits on."""
        if self.gives_back:
            self._give_back(now)
        for attempt in self._lanes.staged():
            self._recall(attempt)

    def _start(self, attempt: HostedAttempt, now: int) -> None:
        load = self._load
        attempt.keeper = keeper = next(iter(load)) if len(load) == 1 else min(load, key=load.__getitem__)
        self._occupy(attempt, now)
        self._lanes.begin(attempt, now)
        self._move(attempt, _S.STARTING, now)
        job, number = attempt.key
        self._effects.append(ToKeeper(keeper, Start(job, number, attempt.spec)))

    def _occupy(self, attempt: HostedAttempt, now: int) -> None:
        """From now on it takes slots, and waits no longer."""
        attempt.holds = slots = attempt.spec.slots
        waited_ns = now - attempt.accepted_ns
        if waited_ns:
            attempt.waited_ns += waited_ns
        if attempt.deadline_ns is not None:
            attempt.deadline_ns = None
            self._timers.cancel(attempt.key)
        self.busy += slots
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
            self.end(attempt, Report(attempt.ended_as[0], reason=attempt.ended_as[1]), now)
            return
        self._move(attempt, _S.QUEUED, now)
        attempt.keeper, attempt.recalled = -1, False
        self._line_up().appendleft(attempt)
        if attempt.deadline_ns is not None and now >= attempt.deadline_ns:
            self._pending_over(attempt, now)  # else it would be sent ahead again, and recalled again, for ever
        elif attempt.deadline_ns is not None:
            self._timers.set(attempt.key, attempt.deadline_ns)
        if self.dirty and self.gives_back:
            self._give_back(now)
        else:
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
            self._close(now)
        report = completed(attempt, report, self.name)
        block = attempt.spec.block
        if block is not None and attempt.state is not _S.STOPPING and self._wait_for_outputs(attempt, report, now):
            self._move(attempt, _S.BLOCKED_AFTER, now)
        else:
            self.end(attempt, report, now)
        if self._queue:
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

    # waits and ends

    def _unblocked(self, attempt: HostedAttempt, now: int) -> None:
        if not self.gives_back:
            self._move(attempt, _S.QUEUED, now)
            self._enqueue(attempt, now)
            return
        self._move(attempt, _S.QUEUED, now)  # its slots were kept for it, whoever has come meanwhile
        self._line_up().appendleft(attempt)
        self._fill(now)
        if attempt.deadline_ns is not None:
            self._timers.set(attempt.key, attempt.deadline_ns)

    def _pending_over(self, attempt: HostedAttempt, now: int) -> None:
        if attempt.state is _S.STAGED:  # unless it starts this very moment, it comes back and its time is over
            self._recall(attempt)
        else:
            self.put_down(attempt, Outcome.PENDING_TIMEOUT, f"no slot on {self.name} in time", now)

    def end(self, attempt: HostedAttempt, report: Report, now: int) -> None:
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
        if attempt.state is _S.BLOCKED_BEFORE and self.gives_back:
            self._blocked -= attempt.spec.slots
        attempt.state = state
        attempt.since_ns = now

    # explain

    def explain(self, key: AttemptKey) -> Explanation | None:
        """Why an attempt that this host holds does not run, or what it does; None: it is not here."""
        attempt = self.attempts.get(key)
        return None if attempt is None else explain(attempt, self.name, self.busy, self.slots, self.dirty)


HANDLERS: Final = Agent.handlers()
