"""What the journal holds, and recovery as a pure fold over it.

A record says what was decided, in the past tense. The driver adds boot id, wall time and its own clock to each.
The records of a snapshot (last in this file) decide nothing: they stand for all that came before; see
`model/snapshot.py`.
"""

from __future__ import annotations

from msgspec import Struct

from model.job import JobId, JobSpec, Report
from model.remembered import GivenAttempt, RestoredJob, RestoredTask


class JobAccepted(Struct, frozen=True, array_like=True, tag="job accepted", gc=False):
    """A job exists. It counts against the limits of its task, and its item is given out."""

    job: JobId
    spec: JobSpec
    due_ns: int = 0
    """the due time of the poll that made it (scheduler's clock)"""
    parent: JobId = JobId(0)
    """the job of which this is a person's retry, or whose handler runs this"""
    plain: bool = False
    """no handlers, no limits (a handler's own command)"""


class AttemptAssigned(Struct, frozen=True, array_like=True, tag="attempt assigned", gc=False):
    """The scheduler gives the attempt to an executor (`controller`, `local`)."""

    job: JobId
    attempt: int
    executor: str


class AttemptGiven(Struct, frozen=True, array_like=True, tag="attempt given", gc=False):
    """The controller gives the attempt to a host, in the host's life `host_epoch`."""

    job: JobId
    attempt: int
    host: str
    host_epoch: int
    spec: JobSpec


class AttemptReturned(Struct, frozen=True, array_like=True, tag="attempt returned", gc=False):
    """The controller is told that the end of the attempt is recorded: it no longer holds it."""

    job: JobId
    attempt: int


class AttemptStarted(Struct, frozen=True, array_like=True, tag="attempt started", gc=False):
    job: JobId
    attempt: int
    host: str


class AttemptEnded(Struct, frozen=True, array_like=True, tag="attempt ended", gc=False):
    """The end of an attempt, and in the same record what follows from it.

    `final`: the job is final, with this report. Otherwise the next attempt follows after `wait_ns` (or the job is
    held, when `held` says why). `attempt` 0: the job ended before any attempt.
    """

    job: JobId
    attempt: int
    report: Report
    final: bool
    good: bool = False
    """the item counts as finished well and goes downstream"""
    retries: int = 0
    """retries used, this one included"""
    reruns: int = 0
    rooms: int = 0
    """starts that failed for want of room, in a row"""
    wait_ns: int = 0
    held: str = ""
    silent: bool = False
    """deleted or flushed: no handler runs"""


class JobHeld(Struct, frozen=True, array_like=True, tag="job held", gc=False):
    """`reason` empty: released."""

    job: JobId
    reason: str
    for_ns: int = 0


class ItemsFound(Struct, frozen=True, array_like=True, tag="items found", gc=False):
    """New items of a task, in the order in which they will be given out."""

    task: str
    items: tuple[str, ...]


class ItemsGone(Struct, frozen=True, array_like=True, tag="items gone", gc=False):
    """Items whose job is final and which the source no longer shows: the same name would be a new item."""

    task: str
    items: tuple[str, ...]


class TaskChanged(Struct, frozen=True, array_like=True, tag="task changed", gc=False):
    """`held`: reason of a person, empty when released. `faulted`: reason why it disabled itself. `deleted`."""

    task: str
    held: str = ""
    faulted: str = ""
    deleted: bool = False
    for_ns: int = 0


class WindowCounted(Struct, frozen=True, array_like=True, tag="window counted", gc=False):
    """So many jobs a task has made in the opening of a window (`windows.counted_as`) that began on this day. Goes
    before the record of the job itself."""

    task: str
    window: str
    day: int
    jobs: int


class HostChanged(Struct, frozen=True, array_like=True, tag="host changed", gc=False):
    """A person's order about a host (the verb of `events.HostVerb`)."""

    host: str
    verb: str
    slots: int = 0
    reason: str = ""


class IntakeChanged(Struct, frozen=True, array_like=True, tag="intake changed", gc=False):
    """`keep_ns`: the parting lease that was granted with a shutdown."""

    state: str
    reason: str = ""
    keep_ns: int = 0


class SnapshotBegun(Struct, frozen=True, array_like=True, tag="snapshot begun", gc=False):
    """What was recorded before this is said again, as a state, by the parts that follow until `SnapshotEnded`."""

    next_job: int
    intake: str
    intake_reason: str
    keep_ns: int
    hosts: tuple[HostChanged, ...]


class SnapshotTasks(Struct, frozen=True, array_like=True, tag="snapshot of tasks", gc=False):
    """Counts and reasons of tasks; their items follow in parts of their own."""

    tasks: dict[str, RestoredTask]


class SnapshotItems(Struct, frozen=True, array_like=True, tag="snapshot of items", gc=False):
    """Items of a task that a part before has named, each with `snapshot.KNOWN` and so on."""

    task: str
    items: dict[str, int]


class SnapshotJobs(Struct, frozen=True, array_like=True, tag="snapshot of jobs", gc=False):
    """Unfinished jobs of the scheduler."""

    jobs: dict[JobId, RestoredJob]


class SnapshotGiven(Struct, frozen=True, array_like=True, tag="snapshot of given", gc=False):
    """Attempts that the controller gave to hosts."""

    given: tuple[tuple[JobId, int, GivenAttempt], ...]


class SnapshotEnded(Struct, frozen=True, array_like=True, tag="snapshot ended", gc=False):
    """The snapshot is complete when so many parts came since its begin."""

    parts: int


Record = (
    JobAccepted
    | AttemptAssigned
    | AttemptGiven
    | AttemptReturned
    | AttemptStarted
    | AttemptEnded
    | JobHeld
    | ItemsFound
    | ItemsGone
    | TaskChanged
    | WindowCounted
    | HostChanged
    | IntakeChanged
    | SnapshotBegun
    | SnapshotTasks
    | SnapshotItems
    | SnapshotJobs
    | SnapshotGiven
    | SnapshotEnded
)
