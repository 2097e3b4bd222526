"""What a driver tells a machine, besides what the job channel brings.

Operators' orders carry a `request` number; the machine answers each with one `Answer` effect, when the effect has
happened or is certain to happen.
"""

from __future__ import annotations

from enum import Enum

from msgspec import Struct

from model.alarm_kinds import AlarmSettings, Trouble
from model.behaviour import Reaction, Skip
from model.job import JobSpec
from model.keeper import KeeperMessage
from model.messages import Batch
from model.records import ScriptRecord
from model.remembered import Setting
from model.resources import Amounts
from model.sharing import Terms
from model.task import TaskDefinition


class Delivered(Struct, frozen=True, gc=False):
    """A batch came from `peer` (a host, an executor, or the superior: "scheduler", "controller")."""

    peer: str
    batch: Batch


class LinkUp(Struct, frozen=True):
    """The transport to `peer` is connected and both ends speak the same version. `terms`: to the controller, of a
    superior in another process (`superiors.peer_of`): on what terms it comes; None: as before. `identity`: of a
    superior, or of a controller, in another process: which journal it writes; empty: not known."""

    peer: str
    terms: Terms | None = None
    identity: str = ""


class LinkDown(Struct, frozen=True):
    """The transport to `peer` is gone, or the attempt to make it failed. `chance` (0..1) is drawn by the driver and
    spreads the next attempt. `calls`: the peer makes the connection, so there is no next attempt until a RETRY, which
    the driver orders when the peer has come."""

    peer: str
    reason: str
    chance: float = 0.0
    calls: bool = False


class Vouched(Struct, frozen=True):
    """The driver knows (`vouched`) or no longer knows that the link to `peer` and its two ends work; see
    `channel.Downlink.vouch`. `age_ns` goes to the subordinate when the word is taken back."""

    peer: str
    vouched: bool
    age_ns: int = 0


class WallClock(Struct, frozen=True):
    """Wall time minus the machine's own clock, in ns: given at the start and after each step of the wall clock."""

    offset_ns: int


# to the scheduler


class SourceAnswered(Struct, frozen=True):
    """The items that a source has now, in order, old ones included; or `error`. With both, these and some that cannot
    be given.

    `quiet_ns` > 0: the driver knows that nothing new comes for so long (sim), so polls until then are arithmetic.
    """

    task: str
    number: int
    items: tuple[str, ...] = ()
    error: str = ""
    quiet_ns: int = 0


class Prepared(Struct, frozen=True):
    """A slow behaviour has prepared (or declined) a job."""

    task: str
    number: int
    answer: JobSpec | Skip
    error: str = ""
    changes: tuple[ScriptRecord, ...] = ()
    """what its script changed; recorded with what follows from the answer, and also when nothing does"""


class Reacted(Struct, frozen=True):
    """A slow behaviour has reacted to a report."""

    job: int
    attempt: int
    reaction: Reaction
    error: str = ""
    changes: tuple[ScriptRecord, ...] = ()
    """as of `Prepared`"""


class ScriptsRan(Struct, frozen=True):
    """A script changed its data, for no task: a session, or the beginning. To be recorded."""

    changes: tuple[ScriptRecord, ...]


class LookedAround(Struct, frozen=True):
    """What is wrong outside of the scheduler. `unsure`: subjects of which nobody can say now that they are well; None:
    nothing is known at all."""

    number: int
    troubles: tuple[Trouble, ...] = ()
    unsure: tuple[str, ...] | None = ()


class Notified(Struct, frozen=True):
    """A notifier has taken a message; or why not."""

    notifier: str
    number: int
    error: str = ""


class SetAlarms(Struct, frozen=True):
    """Other notifiers, and other things to be told of."""

    settings: AlarmSettings


class Submit(Struct, frozen=True):
    """An ad-hoc job. Its `spec.task` names the task whose handlers it gets, or is no task at all (no handlers)."""

    request: int
    """0: nobody waits for an answer, and there is none"""
    spec: JobSpec
    parent: int = 0
    """the final job of which this is a person's retry"""
    by: str = ""
    """of this and every other order: the person, `ann@head`; then it is recorded who ordered what. Empty: a script"""


class JobVerb(Enum):
    KILL = "kill"
    DELETE = "delete"
    HOLD = "hold"
    RELEASE = "release"
    RETRY = "retry"
    """do not wait for the back-off any longer; a final job is tried again by `Submit` with `parent`"""


class OrderJob(Struct, frozen=True):
    request: int
    verb: JobVerb
    job: int
    reason: str = ""
    until_ns: int | None = None
    """HOLD: released by itself after so long (a duration)"""
    by: str = ""


class TaskVerb(Enum):
    DELETE = "delete"
    HOLD = "hold"
    RELEASE = "release"
    FLUSH = "flush"
    """end the jobs that do not run yet"""


class OrderTask(Struct, frozen=True):
    request: int
    verb: TaskVerb
    task: str
    reason: str = ""
    until_ns: int | None = None
    by: str = ""


class DefineTask(Struct, frozen=True):
    """Add a task, or change the definition of one; running jobs keep what they were given."""

    request: int
    definition: TaskDefinition


class IntakeVerb(Enum):
    RESUME = "resume"
    STOP = "stop"
    """spawn nothing new, harvest what runs"""
    HALT = "halt"
    """do not react to ends either"""
    SHUTDOWN = "shutdown"
    """spawn nothing new, grant parting leases"""
    SHUTDOWN_KILL = "shutdown kill"
    """spawn nothing new, end everything that runs"""
    PAUSE = "pause"
    """the driver's: its disk stands still. Spawn nothing new; whatever else was ordered stays in force beside it"""
    CONTINUE = "continue"
    """the end of a PAUSE"""


class OrderIntake(Struct, frozen=True):
    request: int
    verb: IntakeVerb
    reason: str = ""
    keep_ns: int = 0
    """SHUTDOWN: the parting lease"""
    lasting: bool = True
    """STOP and HALT: also for later lives, until somebody resumes"""
    by: str = ""


class TakeSettings(Struct, frozen=True):
    """The driver has taken a configuration, and gives the orders that make it so in the same turn: to be recorded.
    `settings`: all that is laid over the file from now on; `what`: what the person asked for."""

    request: int
    what: str
    settings: tuple[Setting, ...]
    by: str = ""
    reason: str = ""


# to the controller


class HostVerb(Enum):
    ADD = "add"
    ON = "on"
    OFF = "off"
    """no link, what runs there is ended by its lease or finishes and is reported later; see the controller"""
    DRAIN = "drain"
    """finish what runs, take nothing new"""
    DELETE = "delete"
    RETRY = "retry"
    """try to connect now"""
    LOST = "lost"
    """a person has made sure that nothing runs there: what it has is lost at once, not when its lease is over"""
    SLOTS = "slots"
    """it has so many slots from now on; what runs goes on"""


class OrderHost(Struct, frozen=True):
    request: int
    verb: HostVerb
    host: str
    slots: int = 1
    """ADD and SLOTS only"""
    reason: str = ""
    lasting: bool = True
    """also for later lives; False: whoever orders it says it again in each life"""
    more: bool = False
    """ADD by a script: a host that is there gets so many slots more; never for later lives"""
    threads: int = 0
    """ADD only: what `job.THREADS_WORD` stands for on this host; 0: 1, or what was said before"""
    resources: Amounts | None = None
    """ADD and SLOTS only: what it has beside slots; None: none, or what was said before"""
    labels: tuple[str, ...] | None = None
    by: str = ""
    leaves: bool = False
    """OFF only: nobody wants the host any more, so it is forgotten once it is off and no job waits for just it"""


class PartFromHosts(Struct, frozen=True):
    """The controller is about to be stopped: say the last word to its hosts, so that what runs goes on for `keep_ns`.
    The parting of a superior says nothing to them, but for that of the one in the controller's own process."""

    keep_ns: int


class SetTerms(Struct, frozen=True):
    """From now on the scheduler of this name is here on these terms. Of one that is not known nothing is kept: its
    `LinkUp` says them."""

    name: str
    terms: Terms


class ForgetSuperior(Struct, frozen=True):
    """The scheduler of this name does not come back: forget it, if nothing of it is left."""

    request: int
    name: str
    by: str = ""


# to the agent


class KeeperUp(Struct, frozen=True):
    """A keeper is connected; it is asked what it holds."""

    keeper: int


class KeeperDown(Struct, frozen=True):
    """A keeper is gone. What it held comes back as a `Holding` from whoever reads its log."""

    keeper: int


class KeeperSaid(Struct, frozen=True, gc=False):
    keeper: int
    message: KeeperMessage


class FilesSeen(Struct, frozen=True):
    """Whether all files that the agent asked to look for are visible now; `missing` names the first that is not."""

    job: int
    attempt: int
    missing: str | None


class HostDirty(Struct, frozen=True):
    """Why this host must not get work (a full disk, processes that cannot be ended); empty: it may again."""

    reason: str
