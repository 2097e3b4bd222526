"""What a batch system's machine (`batch.py`) and its driver say to each other, and what it has written down.

An **element** is one attempt inside one submission: (number of the submission, index in it). Both are ours and never
used again in one spool, so nothing is known by a number that the batch system gives twice. Each element has two marks,
files that its runner leaves beside the job: `Begun`, which can be made once only, by the runner or (as a claim) by us,
and `Finished`. What runs is known by marks; what waits, and why a mark never came, is known by the batch system.
"""

from __future__ import annotations

from enum import Enum

from msgspec import Struct, field

from model.job import AttemptKey, JobId, JobSpec, Report

Element = tuple[int, int]
"""(number of a submission, index in it), each from 1 and from 0 on."""


class BatchStatus(Enum):
    """What the batch system says of an element (closed list; each system's words are mapped to it)."""

    WAITING = "waiting"
    RUNNING = "running"
    ENDING = "ending"
    """its end is under way there; nothing is concluded yet"""
    UNKNOWN = "unknown"
    """a word that we do not know; nothing is concluded"""
    EXITED = "exited"
    """its runner ended by itself; exit code and signal say how"""
    TIMED_OUT = "timed out"
    OUT_OF_MEMORY = "out of memory"
    NODE_FAILED = "node failed"
    CANCELLED = "cancelled"
    PREEMPTED = "preempted"
    DEADLINE = "deadline"
    NOT_STARTED = "not started"
    """it could not be started there"""


LIVING = frozenset({BatchStatus.WAITING, BatchStatus.RUNNING, BatchStatus.ENDING, BatchStatus.UNKNOWN})
"""What may still change by itself."""


REST = -1
"""In the place of an index: every element of the submission that is not listed by itself."""


class Row(Struct, frozen=True, gc=False):
    """One element as the batch system lists it now."""

    number: int
    index: int
    """or `REST`"""
    status: BatchStatus
    word: str
    """the batch system's own word for the status"""
    identity: str
    """what the batch system calls it: `1234_5`"""
    reason: str = ""
    """why it waits, in the batch system's words"""
    node: str = ""
    exit_code: int | None = None
    signal: int | None = None


class Begun(Struct, frozen=True, gc=False):
    """The first mark: the runner has taken the element and starts the job. `node` empty: it is a claim of ours."""

    number: int
    index: int
    node: str
    at_ns: int = 0
    """wall time, for display"""


class Stopped(Enum):
    """Why a runner ended its job."""

    TIMEOUT = "timeout"
    LEASE = "lease"
    TOLD = "told"
    """it got a signal from outside: the batch system, or a person there"""


class Finished(Struct, frozen=True, gc=False):
    """The second mark: how the job ended, by its runner."""

    number: int
    index: int
    report: Report
    """EXITED, CRASHED or COMMAND_NOT_FOUND"""
    stopped: Stopped | None = None
    node: str = ""


Mark = Begun | Finished


# events


class Submitted(Struct, frozen=True):
    """The batch system has taken a submission, under this name."""

    number: int
    identity: str


class Refusal(Enum):
    """What became of a submission that was not confirmed."""

    REFUSED = "refused"
    """the batch system said no, and will say so again"""
    LATER = "later"
    """it said: not now"""
    UNCLEAR = "unclear"
    """it may have been taken: the answer did not come, or could not be read"""


class NotSubmitted(Struct, frozen=True):
    number: int
    refusal: Refusal
    reason: str


class Seen(Struct, frozen=True):
    """The answer to `Poll`: all of our elements that the batch system lists, and the marks that are new since the last
    answer (all of them in the first)."""

    rows: tuple[Row, ...]
    marks: tuple[Mark, ...]


class Unseen(Struct, frozen=True):
    """The answer to `Poll` when the batch system, or the spool, did not answer or made no sense: nothing is known."""

    reason: str


class Claimed(Struct, frozen=True):
    """The answer to `Claim`. `ours`: the runner can never start this element now."""

    number: int
    index: int
    ours: bool


BatchWord = Submitted | NotSubmitted | Seen | Unseen | Claimed


# effects, carried out in order


class Submission(Struct, frozen=True, tag="submission"):
    """Attempts with equal wishes, written down before they are submitted together."""

    number: int
    attempts: tuple[tuple[JobId, int], ...]
    specs: tuple[JobSpec, ...]
    waited: tuple[int, ...]
    """ns that each had waited for a start by then"""
    indices: tuple[int, ...] = ()
    """of the attempts, where some of the submission are forgotten; otherwise their places"""


class Taken(Struct, frozen=True, tag="taken"):
    """The batch system has this submission, whatever is heard later."""

    number: int
    identity: str = ""


class Over(Struct, frozen=True, tag="over"):
    """The end of an attempt, written down before it is said."""

    job: JobId
    attempt: int
    report: Report


class Returned(Struct, frozen=True, tag="returned"):
    """Certainly never to be started from its submission: the attempt waits for another one."""

    job: JobId
    attempt: int


class Forgotten(Struct, frozen=True, tag="forgotten"):
    """The end of an attempt is recorded above: forget it."""

    job: JobId
    attempt: int


BatchRecord = Submission | Taken | Over | Returned | Forgotten


class Keep(Struct, frozen=True):
    record: BatchRecord


class Settle(Struct, frozen=True):
    """All that is to be kept is on the disk before anything that follows."""


class Submit(Struct, frozen=True):
    """Submit; answer with `Submitted` or `NotSubmitted`."""

    submission: Submission


class Poll(Struct, frozen=True):
    """Ask for everything of ours; answer with `Seen` or `Unseen`."""


class Claim(Struct, frozen=True):
    """Make the first mark of an element, so that its runner cannot; answer with `Claimed`."""

    number: int
    index: int


class CancelElements(Struct, frozen=True):
    """Tell the batch system to end these. Nothing is answered: the next poll shows it."""

    identities: tuple[str, ...]


class GrantLease(Struct, frozen=True):
    """Runners may keep jobs alive, and start them, for so long from now."""

    lease_ns: int


class Discard(Struct, frozen=True):
    """Nothing of this submission is wanted any more: its marks and specifications go."""

    number: int


BatchEffect = Keep | Settle | Submit | Poll | Claim | CancelElements | GrantLease | Discard


class HeldElement(Struct):
    """One attempt as the records tell it, after a restart."""

    spec: JobSpec
    waited_ns: int
    element: Element
    report: Report | None = None
    """its end"""


class HeldBatch(Struct):
    """What a machine begins with after a restart: the fold of its records."""

    attempts: dict[AttemptKey, HeldElement] = field(default_factory=dict)
    taken: dict[int, str] = field(default_factory=dict)
    """submissions that the batch system is known to have, and its name for each"""
    last_number: int = 0
    """the highest number of a submission that was ever given"""


def fold(held: HeldBatch, record: BatchRecord) -> None:
    """Add what one more record says."""
    if isinstance(record, Submission):
        held.last_number = max(held.last_number, record.number)
        indices = record.indices or range(len(record.attempts))
        for key, spec, waited, index in zip(record.attempts, record.specs, record.waited, indices, strict=True):
            held.attempts[key] = HeldElement(spec, waited, (record.number, index))
    elif isinstance(record, Taken):
        held.taken[record.number] = record.identity
    elif isinstance(record, Over):
        known = held.attempts.get((record.job, record.attempt))
        if known is not None:
            known.report = record.report
    else:
        held.attempts.pop((record.job, record.attempt), None)
