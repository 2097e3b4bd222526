"""What the journal holds, and recovery as a pure fold over it.

A record says what was decided, in the past tense. The driver adds boot id, wall time and its own clock to each.
The records of a snapshot (last in this file) decide nothing: they stand for all that came before; see
`model/snapshot.py`.
"""

from __future__ import annotations

from msgspec import Struct

from model.job import JobId, JobSpec, Report
from model.remembered import (
    GivenAttempt,
    RestoredAlarm,
    RestoredBook,
    RestoredJob,
    RestoredQueue,
    RestoredTask,
    RestoredVariable,
    Setting,
    Stored,
)
from model.resources import Amounts
from model.sharing import Terms


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
    ahead: bool = False
    """beyond the host's slots"""


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


class JobDoomed(Struct, frozen=True, array_like=True, tag="job doomed", gc=False):
    """A person was told that the job ends as soon as its executor answers. `why`: as of `CancelReason`."""

    job: JobId
    why: str


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


SET_ASIDE = "set aside"
WELL = "well"


class HostChanged(Struct, frozen=True, array_like=True, tag="host changed", gc=False):
    """A person's order about a host (the verb of `events.HostVerb`), or that it was set aside and is well again."""

    host: str
    verb: str
    slots: int = 0
    reason: str = ""
    resources: Amounts | None = None
    """as of `events.OrderHost`"""
    labels: tuple[str, ...] | None = None


class SuperiorKnown(Struct, frozen=True, array_like=True, tag="superior known", gc=False):
    """The controller has a superior of this number and name, on these terms from now on (`model/superiors.py`)."""

    number: int
    name: str
    terms: Terms
    identity: str = ""
    """which journal it writes: jobs of another one would have the same numbers. Empty: not known"""


class SuperiorForgotten(Struct, frozen=True, array_like=True, tag="superior forgotten", gc=False):
    """A person has said that this superior does not come back. Its number is not used again."""

    number: int


class ControllerKnown(Struct, frozen=True, array_like=True, tag="controller known", gc=False):
    """The scheduler gives its jobs to the controller in another process that writes this journal, from now on. Empty:
    to that in its own process."""

    identity: str


class NoticeHeard(Struct, frozen=True, array_like=True, tag="notice heard", gc=False):
    """What a controller in another process told all its schedulers; fields as of `effects.Notice`."""

    level: str
    about: str
    text: str


class IntakeChanged(Struct, frozen=True, array_like=True, tag="intake changed", gc=False):
    """`keep_ns`: the parting lease that was granted with a shutdown."""

    state: str
    reason: str = ""
    keep_ns: int = 0


class HostsParted(Struct, frozen=True, array_like=True, tag="hosts parted", gc=False):
    """The controller ends in order: its hosts are granted the parting lease `keep_ns` for what they have."""

    keep_ns: int


class PersonOrdered(Struct, frozen=True, array_like=True, tag="person ordered", gc=False):
    """Who has ordered what: recorded with whatever follows from it. It decides nothing. `about`: job, task, host or
    server; `name`: which one."""

    by: str
    verb: str
    about: str
    name: str = ""
    reason: str = ""
    job: JobId = JobId(0)


class ConfigurationTaken(Struct, frozen=True, array_like=True, tag="configuration taken", gc=False):
    """A person has set or unset values, or had a file loaded (`what`). `settings` is all that is laid over the file
    from now on, in order."""

    by: str
    what: str
    settings: tuple[Setting, ...] = ()
    reason: str = ""


class AlarmChanged(Struct, frozen=True, array_like=True, tag="alarm changed", gc=False):
    """An alarm has begun, or is `over`. `kind`: the value of an `AlarmKind`. `at`: wall time (ns)."""

    kind: str
    subject: str
    text: str
    at: int
    over: bool = False


class AlarmTold(Struct, frozen=True, array_like=True, tag="alarm told", gc=False):
    """A notifier has confirmed a message. `event`: what it is about; `items`: (event, kind, subject) of what it tells.
    `at`: wall time (ns)."""

    notifier: str
    event: str
    items: tuple[tuple[str, str, str], ...]
    at: int


class HandlerSaid(Struct, frozen=True, array_like=True, tag="handler said", gc=False):
    """A handler wants a notifier to tell this, until an `AlarmTold` of the notifier has an item about it. `at`: wall
    time (ns)."""

    notifier: str
    about: str
    text: str
    at: int


class DeadlineCycle(Struct, frozen=True, array_like=True, tag="deadline cycle", gc=False):
    """A deadline by a time of day: since the last such moment the task had made and done so many jobs; `next_at` (wall
    time, ns) is the next one. `missed_*`: the same of a cycle whose deadline was missed, and still is; 0: none was."""

    task: str
    which: str
    next_at: int
    made: int
    done: int
    missed_at: int = 0
    missed_made: int = 0
    missed_done: int = 0


class JobDue(Struct, frozen=True, array_like=True, tag="job due", gc=False):
    """When a job of a task with a deadline was due (wall time, ns)."""

    job: JobId
    at: int


class QueueChange(Struct, frozen=True, array_like=True, gc=False):
    """Part of `ScriptsChanged`. `floor`: entries with a smaller serial are gone; -1: none for that reason. `removed`:
    the queue is, with all its entries; but when there is a floor and entries above it, others have made it again."""

    name: str
    number: int
    floor: int = -1
    removed: bool = False
    put: dict[int, str] = {}
    """lines that are new or different, by their serials"""
    taken: tuple[int, ...] = ()


class PageChange(Struct, frozen=True, array_like=True, gc=False):
    """Part of `BookChange`. `order` -1: as it was (of a new page: its key). `words`: None: there is no such word."""

    key: int
    name: str
    order: int = -1
    gone: bool = False
    words: dict[str, str | None] = {}


class BookChange(Struct, frozen=True, array_like=True, gc=False):
    """Part of `ScriptsChanged`; fields as of a queue."""

    name: str
    number: int
    floor: int = -1
    removed: bool = False
    pages: tuple[PageChange, ...] = ()


class ScriptsChanged(Struct, frozen=True, array_like=True, tag="scripts changed", gc=False):
    """What one run of a script has changed in the data of the task language. A large change is several of these in one
    transaction. `initial`: of variables that were not recorded since the script files were read, what these had made of
    them."""

    variables: dict[str, Stored] = {}
    initial: dict[str, Stored] = {}
    queues: tuple[QueueChange, ...] = ()
    books: tuple[BookChange, ...] = ()


class ScriptsBegun(Struct, frozen=True, array_like=True, tag="scripts begun", gc=False):
    """The script files of a life were read, and the data of earlier lives laid over what they made. Names and digests
    of what they filled in where that has changed."""

    variables: tuple[str, ...] = ()
    """what the files make of these has changed, so it counts"""
    filled_queues: dict[str, str] = {}
    """the content of the files counts; records of the same turn have said it"""
    filled_books: dict[str, str] = {}
    kept_queues: dict[str, str] = {}
    """the content of earlier lives counts all the same"""
    kept_books: dict[str, str] = {}


class ScriptsForgotten(Struct, frozen=True, array_like=True, tag="scripts forgotten", gc=False):
    """The data of earlier lives does not count any more: somebody wants to begin afresh, or there was none."""


ScriptRecord = ScriptsChanged | ScriptsBegun | ScriptsForgotten
"""What the script machine wants to be recorded; the scheduler records it (`events.Reacted.changes`)."""


class SnapshotBegun(Struct, frozen=True, array_like=True, tag="snapshot begun", gc=False):
    """What was recorded before this is said again, as a state, by the parts that follow until `SnapshotEnded`."""

    next_job: int
    intake: str
    intake_reason: str
    keep_ns: int
    hosts: tuple[HostChanged, ...]
    controller: str = ""
    """see `ControllerKnown`"""
    settings: tuple[Setting, ...] = ()
    """see `ConfigurationTaken`"""


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


class SnapshotSuperiors(Struct, frozen=True, array_like=True, tag="snapshot of superiors", gc=False):
    """The controller's superiors, and the number of the next one. Only when there ever was one."""

    superiors: tuple[SuperiorKnown, ...]
    following: int


class SnapshotAlarms(Struct, frozen=True, array_like=True, tag="snapshot of alarms", gc=False):
    """Alarms that stand, as (kind, subject, what is remembered), the cycles of deadlines, when jobs were due, and what
    handlers have said that nobody was told yet."""

    alarms: tuple[tuple[str, str, RestoredAlarm], ...]
    cycles: tuple[DeadlineCycle, ...] = ()
    dues: tuple[JobDue, ...] = ()
    said: tuple[HandlerSaid, ...] = ()


class SnapshotVariables(Struct, frozen=True, array_like=True, tag="snapshot of variables", gc=False):
    """Variables of scripts. There is one of these at least when scripts have data. `begun`: see `RestoredData`."""

    variables: dict[str, RestoredVariable]
    begun: bool = True


class SnapshotQueue(Struct, frozen=True, array_like=True, tag="snapshot of queue", gc=False):
    """A queue of scripts with some of its lines; others follow in parts of their own."""

    name: str
    queue: RestoredQueue


class SnapshotBook(Struct, frozen=True, array_like=True, tag="snapshot of book", gc=False):
    """A book of scripts with some of its pages; a page with many words comes in several parts."""

    name: str
    book: RestoredBook


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
    | JobDoomed
    | ItemsFound
    | ItemsGone
    | TaskChanged
    | WindowCounted
    | HostChanged
    | SuperiorKnown
    | SuperiorForgotten
    | ControllerKnown
    | NoticeHeard
    | IntakeChanged
    | HostsParted
    | PersonOrdered
    | ConfigurationTaken
    | AlarmChanged
    | AlarmTold
    | HandlerSaid
    | DeadlineCycle
    | JobDue
    | ScriptsChanged
    | ScriptsBegun
    | ScriptsForgotten
    | SnapshotBegun
    | SnapshotTasks
    | SnapshotItems
    | SnapshotJobs
    | SnapshotGiven
    | SnapshotSuperiors
    | SnapshotAlarms
    | SnapshotVariables
    | SnapshotQueue
    | SnapshotBook
    | SnapshotEnded
)
