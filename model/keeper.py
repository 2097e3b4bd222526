"""The keeper: starts, watches and ends the processes of a host, and outlives the agent that started it.

It holds for each attempt its exec deadline and the end of its lease, so both limits hold when the agent is dead,
stopped or cut off. It never decides *whether* a job runs; it decides when a running one must end, and what its end
means. `live` runs it in its own process; `sim` runs it inside the modelled operating system of a host.

Agent and keeper live on one host: a unix socket, one clock, no lost messages while both live. After a new agent has
connected it sends `ListHeld` and gets `Holding`.

Here is what agent, keeper and operating system say to each other, and the machine; how a process is started or found
is not (`live/`, or the modelled operating system of `sim/`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum
from typing import Any, Final

from msgspec import Struct

from model.job import AttemptKey, JobId, JobSpec, Outcome, Report
from model.messages import Entry, Held
from model.states import State, check_move, quick
from model.timers import NEVER_NS

TERM, KILL = 15, 9
"""Signal numbers, the same on every Linux."""


class StopReason(Enum):
    """Why a running process tree is ended."""

    KILLED = "killed"
    TIMED_OUT = "timed out"
    LEASE = "lease ended"


# orders of the agent


class Start(Struct, frozen=True, array_like=True, tag="start", gc=False):
    """Run it: now, or in the slots of the attempt `after`, in the turn in which that is gone."""

    job: JobId
    attempt: int
    spec: JobSpec
    after: tuple[JobId, int] | None = None


class Recall(Struct, frozen=True, array_like=True, tag="recall", gc=False):
    """Give back an attempt that waits behind another one. No answer when it waits no longer."""

    job: JobId
    attempt: int


class Stop(Struct, frozen=True, array_like=True, tag="stop", gc=False):
    """End it: TERM to the whole tree, after `spec.grace_ns` KILL. `why` is what the log says, if nobody is there to say
    better."""

    job: JobId
    attempt: int
    why: StopReason = StopReason.KILLED


class Renew(Struct, frozen=True, array_like=True, tag="renew", gc=False):
    """All attempts may live for another `lease_ns`, counted from the receipt; it replaces what was granted before."""

    lease_ns: int


class Forget(Struct, frozen=True, array_like=True, tag="forget", gc=False):
    """The end of the attempt was acknowledged."""

    job: JobId
    attempt: int


class ListHeld(Struct, frozen=True, array_like=True, tag="list", gc=False):
    """Say what you hold."""


class Leave(Struct, frozen=True, array_like=True, tag="leave", gc=False):
    """Go away once nothing runs and everything was forgotten, or the agent is gone (ends that were not forgotten are
    in the log); `kill`: end what runs first. A later `Start` takes it back, and so does the next agent (`ListHeld`)."""

    kill: bool


Order = Start | Recall | Stop | Renew | Forget | ListHeld | Leave


# what the keeper says


class Running(Struct, frozen=True, array_like=True, tag="running", gc=False):
    job: JobId
    attempt: int
    started_at: int
    """wall time, for display"""


class Exited(Struct, frozen=True, array_like=True, tag="exited", gc=False):
    job: JobId
    attempt: int
    report: Report


class Recalled(Struct, frozen=True, array_like=True, tag="recalled", gc=False):
    """It was not started, and is here no more."""

    job: JobId
    attempt: int


class Holding(Struct, frozen=True, array_like=True, tag="holding", gc=False):
    """Attempts that run, and ends that were not forgotten."""

    entries: tuple[Entry, ...]


KeeperMessage = Running | Exited | Recalled | Holding


# what the operating system tells the keeper


class Spawned(Struct, frozen=True, gc=False):
    job: JobId
    attempt: int
    pid: int
    started_at: int


class SpawnFailed(Struct, frozen=True, gc=False):
    """`again`: for want of room (EAGAIN, ENOMEM, EMFILE); otherwise the host cannot start this command at all."""

    job: JobId
    attempt: int
    again: bool
    text: str


class Died(Struct, frozen=True, gc=False):
    """The main process ended, and its whole tree was ended after it; `survivors` could not be."""

    job: JobId
    attempt: int
    exit_code: int | None
    signal: int | None
    core: bool = False
    oom: bool = False
    stdout_bytes: int = 0
    stderr_bytes: int = 0
    survivors: tuple[int, ...] = ()
    note: str = ""
    """what went wrong with its output, for people"""
    ended_ns: int = 0
    """when the main process ended, on the keeper's clock; 0: now. What was asked for later did not end it"""


# what the keeper asks of the operating system (its drained list; every Log comes before what follows from it)


class Log(Struct, frozen=True, gc=False):
    """Append to the status log: `report` None: about to be started; otherwise its end. An end outlives the keeper
    before any message that follows is sent; the machine's disk has it soon, unless it is forgotten before. `spec` is
    given with a start, and with an end that had no start (a refusal)."""

    job: JobId
    attempt: int
    report: Report | None
    spec: JobSpec | None = None


class Spawn(Struct, frozen=True, gc=False):
    """Start it; answer with Spawned or SpawnFailed, later with Died."""

    job: JobId
    attempt: int
    spec: JobSpec


class SignalTree(Struct, frozen=True, gc=False):
    """Send the signal to every process of the attempt's tree. KILL is repeated by the operating system's side until
    none is left or its limit is reached, then `Died` names the survivors."""

    job: JobId
    attempt: int
    number: int


KeeperEvent = Order | Spawned | SpawnFailed | Died
KeeperEffect = Log | Spawn | SignalTree | KeeperMessage
"""A message is to be told the agent."""


# the machine


class ProcessState(State):
    """Where an attempt is, for its keeper."""

    WAITING = "waiting"
    """behind another attempt, in whose slots it will run; not logged"""
    STARTING = "starting"
    """logged, and the operating system was asked"""
    RUNNING = "running"
    ENDING = "ending"
    """its tree was sent TERM"""
    KILLING = "killing"
    """its tree was sent KILL"""
    ENDED = "ended"
    """kept until it is forgotten"""


_S = quick(ProcessState)
_O = quick(Outcome)
KEEPER_MOVES: dict[ProcessState, frozenset[ProcessState]] = {
    _S.WAITING: frozenset({_S.STARTING, _S.ENDED}),
    _S.STARTING: frozenset({_S.RUNNING, _S.ENDED}),
    _S.RUNNING: frozenset({_S.ENDING, _S.ENDED}),
    _S.ENDING: frozenset({_S.KILLING, _S.ENDED}),
    _S.KILLING: frozenset({_S.ENDED}),
    _S.ENDED: frozenset(),
}

_STOP_OUTCOMES = {
    StopReason.KILLED: (Outcome.KILLED, ""),
    StopReason.TIMED_OUT: (Outcome.TIMED_OUT, ""),
    StopReason.LEASE: (Outcome.LOST, "lease ended"),
}
_STOP_REASONS = {outcome: why for why, (outcome, _) in _STOP_OUTCOMES.items()}


def stop_as(key: AttemptKey, outcome: Outcome) -> Stop:
    """The order to end an attempt that is to be told with this outcome."""
    return Stop(key[0], key[1], _STOP_REASONS.get(outcome, StopReason.KILLED))


class KeptAttempt(Struct, eq=False, gc=False):
    """One attempt that a keeper started, until it is forgotten. (A struct is made in half the time of an object.)"""

    key: AttemptKey
    spec: JobSpec
    state: ProcessState = _S.STARTING
    after: AttemptKey | None = None
    """WAITING: behind whom"""
    started_ns: int = 0
    """own clock"""
    started_at: int = 0
    """wall time"""
    stopped: StopReason | None = None
    """why it is being ended; the first reason stays"""
    stopped_ns: int = 0
    due_ns: int = NEVER_NS
    """until it has ended: its exec deadline, or the end of its grace"""
    report: Report | None = None


class Keeper:
    """See the head of this file; the four methods are described in docs/architecture.md, part 3.

    The lease: none is granted at first, and attempts live. `Renew` grants one; when it is over, everything is ended,
    and nothing is started until the next `Renew` (or until an agent that has just connected lists what is held).
    """

    __slots__ = ("_first_due_ns", "_followers", "alive", "attempts", "effects", "lease_end_ns", "lease_over", "leaving")

    def __init__(self, now: int, lease_ns: int | None = None) -> None:
        """`lease_ns` is the lease that is granted at the start; None: no limit until the first `Renew`."""
        self.lease_end_ns: int | None = None if lease_ns is None else now + lease_ns
        self.lease_over = self.leaving = False
        self.alive = 0
        """attempts that were started and have not ended"""
        self.attempts: dict[AttemptKey, KeptAttempt] = {}
        self._followers: dict[AttemptKey, KeptAttempt] = {}
        """who waits directly behind an attempt, by its key"""
        self._first_due_ns = NEVER_NS
        """no attempt is due before; its own may have ended since. (They are few, and looked through when it comes: a
        timer for each is 0.6 % of a simulated job.)"""
        self.effects: list[KeeperEffect] = []  # whoever carries them out at once may clear them instead of draining

    def restore(self, ended: Iterable[Entry]) -> None:
        """Hold these ends of an earlier life, which its log tells."""
        for entry in ended:
            assert entry.report is not None, "a restored attempt has ended"
            key = (entry.job, entry.attempt)
            self.attempts[key] = KeptAttempt(key, entry.spec, _S.ENDED, report=entry.report)

    @property
    def may_leave(self) -> bool:
        """It was told to leave, and holds nothing any more."""
        return self.leaving and not self.attempts

    @property
    def waiting(self) -> int:
        """How many wait here for the end of another attempt."""
        return len(self._followers)

    # the four methods

    def receive(self, event: KeeperEvent, now: int) -> None:
        """Take one event. Ends are taken whatever the time is; before anything else the lease is judged, so that a
        word that comes after its end revives nothing."""
        kind = type(event)
        if kind is not Died and self.lease_end_ns is not None and now >= self.lease_end_ns:
            self._end_lease(now)
        HANDLERS[kind](self, event, now)

    def advance(self, now: int) -> None:
        """Do what is due by `now`: the lease, exec deadlines, ends of grace."""
        if self.lease_end_ns is not None and now >= self.lease_end_ns:
            self._end_lease(now)
        if now < self._first_due_ns:
            return
        alive = [attempt for attempt in self.attempts.values() if attempt.report is None]
        for attempt in sorted([each for each in alive if each.due_ns <= now], key=lambda each: each.due_ns):
            attempt.due_ns = NEVER_NS
            if attempt.state is _S.RUNNING:
                self._end(attempt, StopReason.TIMED_OUT, now)
            else:
                self._move(attempt, _S.KILLING)
                self.effects.append(SignalTree(*attempt.key, KILL))
        self._first_due_ns = min([attempt.due_ns for attempt in alive], default=NEVER_NS)

    def next_due(self) -> int | None:
        """When `advance` wants to be called (ns); the lease counts only while something lives."""
        due, lease_end_ns = self._first_due_ns, self.lease_end_ns
        if lease_end_ns is not None and lease_end_ns < due and self.alive:
            return lease_end_ns
        return None if due == NEVER_NS else due

    def drain(self) -> list[KeeperEffect]:
        """What the driver is to do, in order."""
        effects, self.effects = self.effects, []
        return effects

    # orders

    def _start(self, order: Start, _now: int) -> None:
        key = (order.job, order.attempt)
        known = self.attempts.get(key)
        if known is not None:
            self._say(known)
            return
        self.leaving = False
        before = None if order.after is None else self.attempts.get(order.after)
        attempt = self.attempts[key] = KeptAttempt(key, order.spec)
        self.alive += 1
        if self.lease_over:
            reason = "the lease of its host is over"
            self._finish(attempt, Report(_O.OVERLOADED, reason=reason, again=True), order.spec)
        elif before is None or before.report is not None:
            self._begin(attempt)
        else:
            while before.key in self._followers:
                before = self._followers[before.key]
            attempt.state = _S.WAITING
            attempt.after = before.key
            self._followers[before.key] = attempt

    def _begin(self, attempt: KeptAttempt) -> None:
        job, number = attempt.key
        self.effects += (Log(job, number, None, attempt.spec), Spawn(job, number, attempt.spec))

    def _recall(self, order: Recall, _now: int) -> None:
        attempt = self.attempts.get((order.job, order.attempt))
        if attempt is not None and attempt.state is _S.WAITING:
            self._drop(attempt)
            self.effects.append(Recalled(order.job, order.attempt))

    def _drop(self, attempt: KeptAttempt) -> None:
        """Forget an attempt that waits; it was never started."""
        self._step_out(attempt)
        del self.attempts[attempt.key]
        self.alive -= 1

    def _step_out(self, attempt: KeptAttempt) -> None:
        """It waits no longer; who waited behind it moves up."""
        assert attempt.after is not None
        del self._followers[attempt.after]
        follower = self._followers.pop(attempt.key, None)
        if follower is not None:
            follower.after = attempt.after
            self._followers[attempt.after] = follower
        attempt.after = None

    def _say(self, attempt: KeptAttempt) -> None:
        """Answer a doubled `Start` with what is known; while it is being started the answer comes by itself."""
        job, number = attempt.key
        if attempt.report is not None:
            self.effects.append(Exited(job, number, attempt.report))
        elif attempt.state not in (_S.WAITING, _S.STARTING):
            self.effects.append(Running(job, number, attempt.started_at))

    def _stop(self, order: Stop, now: int) -> None:
        """An attempt that is not known has no answer: the agent learns that from `Holding`."""
        attempt = self.attempts.get((order.job, order.attempt))
        if attempt is not None and attempt.report is not None:
            self._say(attempt)
        elif attempt is not None:
            self._end(attempt, order.why, now)

    def _renew(self, order: Renew, now: int) -> None:
        self.lease_end_ns = now + order.lease_ns
        self.lease_over = False
        if order.lease_ns <= 0:
            self._end_lease(now)

    def _forget(self, order: Forget, _now: int) -> None:
        attempt = self.attempts.get((order.job, order.attempt))
        if attempt is not None and attempt.state is _S.ENDED:
            del self.attempts[attempt.key]

    def _list(self, _order: ListHeld, _now: int) -> None:
        self.lease_over = self.leaving = False
        for attempt in [each for each in self.attempts.values() if each.state is _S.WAITING]:
            self._drop(attempt)  # whoever asks does not count on it: it is given anew
        entries = [
            Entry(*each.key, Held.RUNNING if each.report is None else Held.ENDED, each.spec, "", each.report)
            for each in self.attempts.values()
        ]
        self.effects.append(Holding(tuple(entries)))

    def _leave(self, order: Leave, now: int) -> None:
        self.leaving = True
        if order.kill:
            self._end_all(StopReason.KILLED, now)

    # what the operating system says

    def _spawned(self, event: Spawned, now: int) -> None:
        attempt = self.attempts[event.job, event.attempt]
        self._move(attempt, _S.RUNNING)
        attempt.started_ns = now
        attempt.started_at = event.started_at
        self.effects.append(Running(event.job, event.attempt, event.started_at))
        if attempt.stopped is not None:
            self._terminate(attempt, now)
        elif attempt.spec.timeout_ns:
            self._set_due(attempt, now + attempt.spec.timeout_ns)

    def _set_due(self, attempt: KeptAttempt, due_ns: int) -> None:
        attempt.due_ns = due_ns
        if due_ns < self._first_due_ns:
            self._first_due_ns = due_ns

    def _spawn_failed(self, event: SpawnFailed, _now: int) -> None:
        attempt = self.attempts[event.job, event.attempt]
        if attempt.stopped is not None:
            outcome, reason = _STOP_OUTCOMES[attempt.stopped]
            report = Report(outcome, reason=reason)
        elif event.again:
            report = Report(Outcome.OVERLOADED, reason=event.text, again=True)
        else:
            report = Report(Outcome.COMMAND_NOT_FOUND, reason=event.text)
        self._finish(attempt, report)

    def _died(self, event: Died, now: int) -> None:
        attempt = self.attempts[event.job, event.attempt]
        code, signal, core, oom = event.exit_code, event.signal, event.core, event.oom
        ended_ns = event.ended_ns or now
        if attempt.stopped is not None and (not event.ended_ns or attempt.stopped_ns < ended_ns):
            outcome, reason = _STOP_OUTCOMES[attempt.stopped]
            if attempt.state is _S.KILLING and not reason:
                reason = "it did not heed TERM"
            code, signal, core = None, None, False
        elif signal is not None:
            outcome, reason = _O.CRASHED, "out of memory" if oom else ""
        elif code is not None:
            outcome, reason = _O.EXITED, ""
        else:
            outcome, reason = _O.LOST, "its end could not be read"
        if event.note:
            reason = f"{reason}; {event.note}" if reason else event.note
        ran_for_ns = ended_ns - attempt.started_ns if ended_ns > attempt.started_ns else 0
        report = Report(
            outcome, code, signal, core, oom, reason, "", 0, ran_for_ns, True, False,
            event.stdout_bytes, event.stderr_bytes, event.survivors,
        )  # fmt: skip
        self._finish(attempt, report)

    # ends

    def _end_lease(self, now: int) -> None:
        self.lease_end_ns = None
        self.lease_over = True
        self._end_all(StopReason.LEASE, now)

    def _end_all(self, why: StopReason, now: int) -> None:
        for attempt in self.attempts.values():
            if attempt.report is None:
                self._end(attempt, why, now)

    def _end(self, attempt: KeptAttempt, why: StopReason, now: int) -> None:
        """Have it end: one that waits at once, one that is being started when it runs."""
        if attempt.state is _S.WAITING:
            outcome, reason = _STOP_OUTCOMES[why]
            self._step_out(attempt)
            self._finish(attempt, Report(outcome, reason=reason), attempt.spec)
        elif attempt.stopped is None:
            attempt.stopped = why
            attempt.stopped_ns = now
            if attempt.state is _S.RUNNING:
                self._terminate(attempt, now)

    def _terminate(self, attempt: KeptAttempt, now: int) -> None:
        self._move(attempt, _S.ENDING)
        self.effects.append(SignalTree(*attempt.key, TERM))
        self._set_due(attempt, now + attempt.spec.grace_ns)

    def _finish(self, attempt: KeptAttempt, report: Report, spec: JobSpec | None = None) -> None:
        self._move(attempt, _S.ENDED)
        attempt.report = report
        self.alive -= 1
        if not self.alive:
            self._first_due_ns = NEVER_NS
        job, number = attempt.key
        self.effects += (Log(job, number, report, spec), Exited(job, number, report))
        follower = self._followers.pop(attempt.key, None)
        if follower is not None:
            follower.after = None
            self._move(follower, _S.STARTING)
            self._begin(follower)

    def _move(self, attempt: KeptAttempt, new: ProcessState) -> None:
        if new not in KEEPER_MOVES[attempt.state]:
            check_move(KEEPER_MOVES, attempt.state, new, "attempt {}.{}".format(*attempt.key))
        attempt.state = new

    @staticmethod
    def handlers() -> dict[type, Callable[[Keeper, Any, int], None]]:
        """What each event is for: one table for all keepers, for a simulation may have ten thousand of them."""
        return {
            Start: Keeper._start,
            Recall: Keeper._recall,
            Stop: Keeper._stop,
            Renew: Keeper._renew,
            Forget: Keeper._forget,
            ListHeld: Keeper._list,
            Leave: Keeper._leave,
            Spawned: Keeper._spawned,
            SpawnFailed: Keeper._spawn_failed,
            Died: Keeper._died,
        }


HANDLERS: Final = Keeper.handlers()
