"""An attempt on its host, from its arrival at the agent to the acknowledgement of its end, and why it is there."""

from __future__ import annotations

from msgspec import structs

from model.explain import Explanation, Reason
from model.job import Outcome, Report
from model.messages import Entry, Held
from model.quick_struct import quick_to_set
from model.states import State, quick
from model.subordinate import HeldAttempt


class AttemptState(State):
    """Where an attempt is on its host."""

    BLOCKED_BEFORE = "waits for files before its start"
    QUEUED = "waits for a slot"
    STAGED = "next in its slot"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "being ended"
    BLOCKED_AFTER = "waits for files after its end"
    ENDED = "ended"


_S = quick(AttemptState)
AGENT_MOVES: dict[AttemptState, frozenset[AttemptState]] = {
    _S.BLOCKED_BEFORE: frozenset({_S.QUEUED, _S.ENDED}),
    _S.QUEUED: frozenset({_S.STAGED, _S.STARTING, _S.ENDED}),
    _S.STAGED: frozenset({_S.QUEUED, _S.STARTING, _S.STOPPING, _S.ENDED}),
    _S.STARTING: frozenset({_S.RUNNING, _S.STOPPING, _S.BLOCKED_AFTER, _S.ENDED}),
    _S.RUNNING: frozenset({_S.STOPPING, _S.BLOCKED_AFTER, _S.ENDED}),
    _S.STOPPING: frozenset({_S.ENDED}),
    _S.BLOCKED_AFTER: frozenset({_S.ENDED}),
    _S.ENDED: frozenset(),
}
"""An attempt is forgotten from ENDED, by the acknowledgement of its end."""

PROCESS_STATES = frozenset({_S.STARTING, _S.RUNNING, _S.STOPPING})
WAITING_STATES = frozenset({_S.BLOCKED_BEFORE, _S.QUEUED, _S.STAGED})


@quick_to_set
class HostedAttempt(HeldAttempt, eq=False, gc=False):
    """One attempt on a host with keepers. (Nothing that it refers to refers to it.)"""

    since_ns: int | None = None
    """of its state; None: since its arrival"""
    keeper: int = -1
    holds: int = 0
    """slots that it takes now"""
    recalled: bool = False
    """STAGED: its keeper was asked to give it back"""


def explain(attempt: HostedAttempt, host: str, busy: int, slots: int, dirty: str) -> Explanation:
    """Why the attempt does not run, or what it does; `busy` of the host's `slots` are in use.
    `dirty`: why nothing starts there."""
    state, spec = attempt.state, attempt.spec
    since = attempt.accepted_ns if attempt.since_ns is None else attempt.since_ns
    if dirty and state in (_S.QUEUED, _S.STAGED):
        return Explanation(Reason.HOST_PRESSURE, f"{host} is dirty: {dirty}", since, attempt.deadline_ns)
    if state in (_S.QUEUED, _S.STAGED):
        text = f"{busy} of {slots} slots of {host} are in use, it needs {spec.slots}"
        return Explanation(Reason.NO_SLOT, text, since, attempt.deadline_ns, ("a job there ends",))
    if state in (_S.BLOCKED_BEFORE, _S.BLOCKED_AFTER):
        assert spec.block is not None
        files = spec.block.before if state is _S.BLOCKED_BEFORE else spec.block.after
        missing = attempt.missing or files[0]
        text = f"{state.value}: {missing} is not visible on {host}"
        return Explanation(Reason.FILES, text, since, attempt.deadline_ns, (f"{missing} becomes visible",))
    if state is _S.ENDED:
        return Explanation(Reason.ENDED, "its end waits to be acknowledged", since)
    reason = Reason.STOPPING if state is _S.STOPPING else Reason.RUNS
    return Explanation(reason, f"{state.value} on {host}", since)


def entry_of(attempt: HostedAttempt, host: str) -> Entry:
    """The attempt in an inventory."""
    job, number = attempt.key
    if attempt.state is _S.ENDED:
        return Entry(job, number, Held.ENDED, attempt.spec, host, attempt.report)
    if attempt.state in WAITING_STATES or attempt.state is _S.STARTING:
        return Entry(job, number, Held.WAITING, attempt.spec)
    return Entry(job, number, Held.RUNNING, attempt.spec, host)


def completed(attempt: HostedAttempt, report: Report, host: str) -> Report:
    """The keeper's report with what the agent knows: the host, the wait, and whose wish the end was."""
    ended_as = attempt.ended_as
    if ended_as is not None and report.outcome is Outcome.KILLED:
        report = structs.replace(report, outcome=ended_as[0], reason=ended_as[1])
    return structs.replace(report, host=host, waited_ns=attempt.waited_ns)


def told(attempt: HostedAttempt, report: Report, host: str, now: int) -> Report:
    """The agent's own report of an end, with the host and the wait."""
    waited = attempt.waited_ns if report.started else attempt.waited_ns + now - attempt.accepted_ns
    return structs.replace(report, host=host, waited_ns=waited)
