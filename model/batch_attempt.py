"""An attempt that a batch system runs: its states, why it waits, and what its marks and the batch system's word about
it mean for its outcome. Pure judgements; what is done about them is `batch.py`."""

from __future__ import annotations

from msgspec import Struct, structs

from model.batch_words import BatchStatus, Element, Finished, Row, Stopped
from model.job import JobSpec, Outcome, Report
from model.messages import Entry, Held
from model.states import State
from model.subordinate import HeldAttempt

CLAIMED_SIGNAL = 12
"""A runner that may not start its element (it was claimed, or was started before) ends itself with SIGUSR2, so that the
batch system's word shows it."""
_KILL = 9
_FROM_OUTSIDE = frozenset({1, 2, _KILL, 15, 24})
"""HUP, INT, KILL, TERM, XCPU: what a batch system sends to end a job. It may reach the job before its runner; and of a
shell first the command that it runs, whose signal it passes on as an exit status (POSIX, 2.8.2: more than 128)."""
_SHELLS_WORD = frozenset(128 + number for number in _FROM_OUTSIDE)


class BatchState(State):
    """Where an attempt is, as the machine of its batch system knows it."""

    BLOCKED_BEFORE = "waits for files before its start"
    WAITING = "waits to be submitted"
    SUBMITTED = "submitted, not confirmed"
    QUEUED = "waits in the batch system"
    RUNNING = "running"
    STOPPING = "being ended"
    BLOCKED_AFTER = "waits for files after its end"
    ENDED = "ended"


_S = BatchState
BATCH_MOVES: dict[BatchState, frozenset[BatchState]] = {
    _S.BLOCKED_BEFORE: frozenset({_S.WAITING, _S.ENDED}),
    _S.WAITING: frozenset({_S.SUBMITTED, _S.ENDED}),
    _S.SUBMITTED: frozenset({_S.WAITING, _S.QUEUED, _S.RUNNING, _S.STOPPING, _S.BLOCKED_AFTER, _S.ENDED}),
    _S.QUEUED: frozenset({_S.WAITING, _S.RUNNING, _S.STOPPING, _S.BLOCKED_AFTER, _S.ENDED}),
    _S.RUNNING: frozenset({_S.STOPPING, _S.BLOCKED_AFTER, _S.ENDED}),
    _S.STOPPING: frozenset({_S.RUNNING, _S.ENDED}),
    _S.BLOCKED_AFTER: frozenset({_S.ENDED}),
    _S.ENDED: frozenset(),
}
"""An attempt is forgotten from ENDED, by the acknowledgement of its end. It goes back to WAITING when certainly
its submission can never start it, and from STOPPING to RUNNING when it started in the moment in which it seemed that it
never would."""

IN_SYSTEM = frozenset({_S.SUBMITTED, _S.QUEUED, _S.RUNNING, _S.STOPPING})
"""The batch system may have it."""


class BatchAttempt(HeldAttempt, eq=False):
    """One attempt of a batch system."""

    element: Element | None = None
    begun: bool = False
    """its runner has taken it"""
    claiming: bool = False
    """whether its runner can still take it is being decided"""
    returns: bool = False
    """claimed so that it can be submitted once more"""
    finished: Finished | None = None
    """how its job ended, by its runner; the batch system's word about why may be awaited"""
    identity: str = ""
    """what the batch system calls it"""
    node: str = ""
    where: str = ""
    """what people are told about where it is in the batch system"""
    missing_ns: int | None = None
    """since when the batch system does not list it, or its result is not there though it should"""
    provisional: bool = False
    """`ended_as` holds only if it has not begun"""

    @property
    def why(self) -> str:
        """What people are told about where it is, and why."""
        return f"{self.state.value}: {self.missing}" if self.missing else self.where


class Wishes(Struct, frozen=True):
    """What the batch system is asked for: attempts with equal ones may be submitted together."""

    slots: int
    limit_s: int
    """longest run in seconds, rounded up to a minute, with the grace and a minute to spare; 0: none"""
    nice: int
    resources: tuple[tuple[str, int], ...]


def wishes_of(spec: JobSpec) -> Wishes:
    """The batch system's own limit comes after the runner's, so that it acts only when the runner could not."""
    limit_s = 0
    if spec.timeout_ns:
        minutes = -(-(spec.timeout_ns + spec.grace_ns) // 60_000_000_000) + 1
        limit_s = minutes * 60
    return Wishes(spec.slots, limit_s, spec.nice, () if spec.needs is None else spec.needs.resources)


def entry_of(attempt: BatchAttempt, host: str) -> Entry:
    """The attempt in an inventory."""
    job, number = attempt.key
    if attempt.state is _S.ENDED:
        return Entry(job, number, Held.ENDED, attempt.spec, host, attempt.report)
    if attempt.begun:
        return Entry(job, number, Held.RUNNING, attempt.spec, host, why=attempt.why)
    return Entry(job, number, Held.WAITING, attempt.spec, why=attempt.why)


def why_waiting(row: Row) -> str:
    """`slurm 12_3: Resources`."""
    known = row.reason and row.reason.lower() not in ("none", "n/a")
    return f"{row.identity}: {row.reason if known else row.word}"


_BY_STATUS: dict[BatchStatus, tuple[Outcome, Outcome, str]] = {
    BatchStatus.TIMED_OUT: (Outcome.TIMED_OUT, Outcome.PENDING_TIMEOUT, "the time limit of the batch system"),
    BatchStatus.OUT_OF_MEMORY: (Outcome.CRASHED, Outcome.LOST, "out of memory"),
    BatchStatus.NODE_FAILED: (Outcome.LOST, Outcome.LOST, "its node failed"),
    BatchStatus.CANCELLED: (Outcome.KILLED, Outcome.KILLED, "cancelled in the batch system"),
    BatchStatus.PREEMPTED: (Outcome.LOST, Outcome.LOST, "preempted"),
    BatchStatus.DEADLINE: (Outcome.TIMED_OUT, Outcome.PENDING_TIMEOUT, "its deadline in the batch system"),
    BatchStatus.NOT_STARTED: (Outcome.LOST, Outcome.LOST, "it could not be started"),
}
"""What each end means: for an attempt that had begun, for one that had not, and in words."""


def is_doubtful(finished: Finished) -> bool:
    """Whether only the batch system can say why the job ended: it got a signal that we did not send."""
    if finished.stopped is not None:
        return finished.stopped is Stopped.TOLD
    return finished.report.signal in _FROM_OUTSIDE or finished.report.exit_code in _SHELLS_WORD


def judged_by_mark(attempt: BatchAttempt, finished: Finished) -> Report:
    """The end of a job as its runner tells it, with whose wish it was."""
    report = finished.report
    if finished.stopped is Stopped.TIMEOUT:
        return _as(report, Outcome.TIMED_OUT, "")
    by_signal = report.outcome is Outcome.CRASHED or report.exit_code in _SHELLS_WORD
    if attempt.ended_as is not None and (finished.stopped is not None or by_signal):
        return _as(report, *attempt.ended_as)
    if finished.stopped is Stopped.LEASE:
        return _as(report, Outcome.LOST, "lease ended")
    return report


def judged_by_row(attempt: BatchAttempt, row: Row) -> Report:
    """The end of an attempt that the batch system lists as over. A runner's word about a signal from outside, where
    there is one, tells how long it ran and what it printed; the batch system's word tells why."""
    finished = attempt.finished
    if row.status is BatchStatus.EXITED:
        return _by_exit(attempt, row) if finished is None else judged_by_mark(attempt, finished)
    begun, waiting, text = _BY_STATUS[row.status]
    reason = f"{text} ({_place(row)})"
    outcome = begun if attempt.begun else waiting
    if attempt.ended_as is not None:
        outcome, reason = attempt.ended_as
    oom = row.status is BatchStatus.OUT_OF_MEMORY and outcome is Outcome.CRASHED
    plain = Report(outcome, signal=_KILL if oom else None, oom=oom, reason=reason, started=attempt.begun)
    if finished is None:
        return plain
    told = finished.report
    return structs.replace(
        plain, ran_for_ns=told.ran_for_ns, stdout_bytes=told.stdout_bytes, stderr_bytes=told.stderr_bytes
    )


def _by_exit(attempt: BatchAttempt, row: Row) -> Report:
    """The runner ended and left no word: what the batch system saw of it."""
    if attempt.ended_as is not None:
        return Report(attempt.ended_as[0], reason=attempt.ended_as[1], started=attempt.begun)
    if row.signal == CLAIMED_SIGNAL:
        text = f"the batch system started it once more, and it was not run a second time ({_place(row)})"
        return Report(Outcome.LOST, reason=text, started=attempt.begun)
    if not attempt.begun:
        how = f"signal {row.signal}" if row.signal else f"exit {row.exit_code}"
        text = f"its runner did not start ({_place(row)}, {how}): see runner.log in the host's folder"
        return Report(Outcome.COMMAND_NOT_FOUND, reason=text)
    text = f"by the word of the batch system ({_place(row)}): its own result was not left"
    if row.signal:
        return Report(Outcome.CRASHED, signal=row.signal, reason=text, started=True)
    if row.exit_code is None:
        return Report(Outcome.LOST, reason=text, started=True)
    return Report(Outcome.EXITED, exit_code=row.exit_code, reason=text, started=True)


def _place(row: Row) -> str:
    where = f" on {row.node}" if row.node else ""
    why = f", {row.reason}" if row.reason and row.reason.lower() not in ("none", "n/a", row.word.lower()) else ""
    return f"{row.identity}{where}: {row.word}{why}"


def _as(report: Report, outcome: Outcome, reason: str) -> Report:
    if outcome is Outcome.CRASHED:
        return report
    return structs.replace(report, outcome=outcome, exit_code=None, signal=None, reason=reason)
