"""A simulated world as plain data: its seed, its network, what its jobs do, what goes wrong, and what must come out.

Made by `shell.config.scenario` from YAML; nothing here knows YAML. Times are ns of true time since the start.
"""

from __future__ import annotations

from enum import Enum

from msgspec import Struct, field

from model.configuration import Configuration
from model.events import OrderHost, OrderIntake, OrderJob, OrderTask
from model.job import SECOND
from model.sharing import Terms
from sim.distributions import Constant, Distribution

DAY = 24 * 3600 * SECOND


class Items(Struct, frozen=True):
    """When the items of an `each` source appear: `names` in order, or made from `pattern` (`%d` is the number, from 1).

    `burst` of them at `first_ns` and then every `every_ns` (0: all at once), `count` in all (0: no end).
    """

    names: tuple[str, ...] = ()
    pattern: str = "item-%06d"
    first_ns: int = 0
    every_ns: int = 60 * SECOND
    burst: int = 1
    count: int = 0


class Arrivals(Struct, frozen=True):
    """Items that appear each at its own time: (when, name), in order. One that has been there for `shown_ns` is gone
    again, so that a long past does not have to be looked at again and again."""

    items: tuple[tuple[int, str], ...]
    shown_ns: int = 60 * SECOND


class TaskWeather(Struct, frozen=True):
    """What the jobs of one task do on a host. Probabilities are 0..1.

    `exits`: (exit code, weight). `crashes`: (signal, probability). Files: how long after the making of a job its
    `block.before` files are visible, and how long after its end the `block.after` files are.
    """

    run: Distribution = Constant(5 * SECOND)
    exits: tuple[tuple[int, float], ...] = ((0, 1.0),)
    exits_in_order: tuple[int, ...] = ()
    """exit codes of the first job, the second, …; later ones get the last. Empty: by the weights of `exits`"""
    crashes: tuple[tuple[int, float], ...] = ()
    out_of_memory: float = 0.0
    never_ends: float = 0.0
    ignores_term: float = 0.0
    not_found: bool = False
    stdout_bytes: Distribution = Constant(0)
    stderr_bytes: Distribution = Constant(0)
    stdout_texts: tuple[str, ...] = ()
    """what the task's jobs print, for scripts that read it: the first job the first text, later ones the last"""
    stderr_texts: tuple[str, ...] = ()
    before: Distribution = Constant(0)
    after: Distribution = Constant(0)
    never_visible: float = 0.0
    items: Items | None = None
    arrivals: Arrivals | None = None
    """instead of `items`: each at a time of its own"""

    @property
    def is_numbered(self) -> bool:
        """Whether it matters which of the task's jobs one is."""
        return max(len(self.stdout_texts), len(self.stderr_texts), len(self.exits_in_order)) > 1


class ShellStub(Struct, frozen=True):
    """What a shell line of a script answers (`exec`, backticks, `list -x`, `queueload -x`).

    `pattern`: shell wildcards over the whole line. `outputs`: of the first, second, … call; later calls get the last
    one. With probability `failing` it ends with `failing_status` instead of `status`.
    """

    pattern: str
    outputs: tuple[str, ...] = ()
    status: int = 0
    takes: Distribution = Constant(0)
    failing: float = 0.0
    failing_status: int = 1


class Host(Struct, frozen=True):
    """One host. `drift_ppb`: how much faster its clock runs, in parts per 10**9; `slots_max`: processes that its
    operating system allows (0: any number)."""

    latency_ns: int | None = None
    jitter_ns: int | None = None
    drift_ppb: int = 0
    processes_max: int = 0
    speed: float = 1.0
    """run times are divided by this"""


class Network(Struct, frozen=True):
    """`latency_ns` one way to a host, plus up to `jitter_ns`; `controller_ns` between scheduler and controller."""

    latency_ns: int = 200_000
    jitter_ns: int = 0
    controller_ns: int = 50_000
    loss: float = 0.0
    doubling: float = 0.0


class Kind(Enum):
    """What can go wrong (closed list)."""

    # a host
    DOWN = "down"
    """without power: processes are gone, and nobody is told, so it is known by its silence, until the systems at the
    other ends of its connections end them; it boots when the fault ends"""
    SILENT = "silent"
    """its agent stands still; keepers and processes go on"""
    SUSPENDED = "suspended"
    """the whole machine stands still, its clock does not"""
    FLAPPING = "flapping"
    """down and up in turn, `every_ns` each"""
    REBOOT = "reboot"
    """in order: it ends its connections first; else as DOWN"""
    AGENT_RESTART = "agent_restart"
    """the agent alone is gone for `for_ns`; keepers and processes go on"""
    FULL = "full"
    """its disk is full"""
    SLOW = "slow"
    """what starts meanwhile runs `factor` times as long; on a link: messages take `delay_ns` more"""
    FAILING = "failing"
    """whatever starts there ends at once with exit 1: a lost mount, a full scratch disk"""
    OVERLOADED = "overloaded"
    """no more than `limit` processes can be started; the controller or the scheduler: each batch of messages that comes
    to it takes `delay_ns` of its time, one after the other (at most 30 s behind)"""
    HUNG = "hung"
    """what runs there or starts meanwhile (`limit`: at most so many processes) hangs: it ends no more by itself"""
    # the scheduler or the controller
    FROZEN = "frozen"
    RESTARTED = "restarted"
    DISK_FULL = "disk_full"
    """the disk of its journal has no room"""
    DISK_HANGS = "disk_hangs"
    """a sync of the disk of its journal does not end before the fault does"""
    DISK_BROKEN = "disk_broken"
    """the disk of its journal fails: the process leaves at its next commit, and is started again when the fault ends"""
    # any process
    CRASHED = "crashed"
    """it is gone at the `limit`-th boundary of what it does from then on (0: at once), and comes back after `for_ns`"""
    KEEPER_CRASHED = "keeper_crashed"
    """the same of a host's keeper; the next one ends what the dead one left"""
    # a link
    LOST = "lost"
    """nothing passes, and nobody is told"""
    ONE_WAY = "one_way"
    """nothing passes from the first to the second end"""
    LOSSY = "lossy"
    """messages are lost with probability `chance`"""
    DOUBLED = "doubled"
    """messages come twice with probability `chance`, the second time up to `delay_ns` later"""
    REORDERED = "reordered"
    """messages are late by up to `delay_ns`, overtake each other, and outlive their connection"""
    BROKEN = "broken"
    """the connection breaks once, and can be made again"""
    # a clock
    WALL_STEP = "wall_step"
    """the wall clock of every node jumps by `delay_ns` (may be negative)"""


class Fault(Struct, frozen=True):
    """One thing that goes wrong: at `at_ns`, for `for_ns` (0: until the end; for a restart: how long it is away).

    `nodes`: one host, `controller`, `scheduler`, or the two ends of a link, superior first or last.
    """

    kind: Kind
    nodes: tuple[str, ...] = ()
    at_ns: int = 0
    for_ns: int = 0
    factor: float = 10.0
    chance: float = 0.5
    delay_ns: int = 0
    every_ns: int = 10 * SECOND
    limit: int = 0
    spool_lost: bool = False
    """REBOOT, DOWN: the host comes back with an empty disk"""
    unacknowledged: bool = False
    """CRASHED: what the process said last still arrives, and is answered to nobody; otherwise it is lost with it"""
    kept: int = 0
    """CRASHED: so many records of the commit that was under way are durable all the same"""


class Unit(Struct, frozen=True):
    """What fails together: one host, a group of hosts, a server process. `name`: under which its chance is drawn.

    `nodes`: of each single fault, as in `Fault`.
    """

    name: str
    nodes: tuple[tuple[str, ...], ...]


class Counted(Enum):
    """From where to where the interval of a plan is."""

    FROM_BEGIN = "begin to begin"
    FROM_END = "end to begin"


class FaultPlan(Struct, frozen=True, tag="plan"):
    """One kind of fault that comes again and again to each of `units` by itself: interval x duration x scope.

    `fault`: its kind and settings; where and when are drawn (`sim/fault_plans.py`). It begins within `from_ns` and
    `until_ns` (0: the end of the simulation).
    """

    name: str
    """draws are made under this name"""
    fault: Fault
    units: tuple[Unit, ...]
    lasts: Distribution = Constant(0)
    interval: Distribution | None = None
    """None: it comes once"""
    counted: Counted = Counted.FROM_END
    first: Distribution | None = None
    """from `from_ns` to the first one; None: it has been going on for ever, so that the first interval has any age"""
    share: float = 1.0
    """below 1: each time so many of the places of a unit are drawn, at least one"""
    from_ns: int = 0
    until_ns: int = 0


class NodeOutages(Struct, frozen=True):
    """When a node of a trace was down: (begin, end) in ns since the trace's beginning; in order, and apart."""

    nodes: tuple[str, ...]
    spans: tuple[tuple[int, int], ...]


class TracePlan(Struct, frozen=True, tag="trace"):
    """Faults that come as they did in a failure trace. `offset_ns`: of the trace's time when the simulation starts.

    `length_ns`: after so long the trace begins again; 0: it does not.
    """

    name: str
    fault: Fault
    outages: tuple[NodeOutages, ...]
    offset_ns: int = 0
    length_ns: int = 0


Plan = FaultPlan | TracePlan


class Comparison(Enum):
    EQUAL = "=="
    AT_LEAST = ">="
    AT_MOST = "<="
    MORE = ">"
    LESS = "<"


def compares(found: float, comparison: Comparison, limit: float) -> bool:
    """Whether `found` compares so with `limit`."""
    match comparison:
        case Comparison.EQUAL:
            return found == limit
        case Comparison.AT_LEAST:
            return found >= limit
        case Comparison.AT_MOST:
            return found <= limit
        case Comparison.MORE:
            return found > limit
        case Comparison.LESS:
            return found < limit


class Wanted(Struct, frozen=True):
    """A figure of the run (`sim/figures.py`) compares so with `limit`; times are ns, shares 0..1. One that is undefined
    does not."""

    figure: str
    comparison: Comparison
    limit: float


class Expectation(Struct, frozen=True):
    """`task`'s count of `outcome` (an outcome's name, `exit N`, `made`, `final`, `open`, `attempts` or `retries`)
    compares so with `count`.

    `task` `*`: all tasks together.
    """

    task: str
    outcome: str
    comparison: Comparison
    count: int

    def holds(self, found: int) -> bool:
        """Whether `found` is as expected."""
        return compares(found, self.comparison, self.count)

    def __str__(self) -> str:
        return f"{self.task}: {self.outcome} {self.comparison.value} {self.count}"


class DiskModel(Struct, frozen=True):
    """The disk under the journals. A commit is durable after `sync_ns` plus up to `jitter_ns`.

    `one_process`: scheduler and controller are one process with one disk, as live; otherwise each is its own."""

    sync_ns: int = 5_000_000
    jitter_ns: int = 0
    one_process: bool = True


class Ordered(Struct, frozen=True):
    """What a person orders, and when: one of these. Nobody hears it when its machine is gone."""

    at_ns: int
    host: OrderHost | None = None
    job: OrderJob | None = None
    task: OrderTask | None = None
    intake: OrderIntake | None = None
    reload: Configuration | None = None
    """another configuration; a server that is gone reads it at its next start"""


def node_of(word: str, scheduler: str) -> str:
    """What the node `word` (`scheduler`, `local`, `scripts`) is called that belongs to the scheduler of this name; one
    that is alone has none."""
    return f"{word}/{scheduler}" if scheduler else word


class Sharer(Struct, frozen=True):
    """A scheduler of a world in which several use one controller: a server process with a journal, a computer (`local`)
    and tasks of its own. No two have the same name."""

    name: str
    configuration: Configuration
    """its own: of the hosts below `cluster` nothing counts, they are the controller's"""
    tasks: dict[str, TaskWeather] = field(default_factory=dict)
    """what its jobs do, by task name"""
    terms: Terms | None = None
    """on what terms it uses the controller; None: as the controller's configuration says"""

    def task_of(self, task: str) -> str:
        """What its task is called where the tasks of all schedulers are told."""
        return f"{self.name}.{task}"


class Scenario(Struct, frozen=True):
    """A world. `start_wall_ns`: wall time of the start, ns since 1970, for windows."""

    seed: int = 1
    start_wall_ns: int = 1_800_000_000 * SECOND
    for_ns: int = DAY
    network: Network = Network()
    hosts: dict[str, Host] = field(default_factory=dict)
    """by host name; missing: `Host()`"""
    tasks: dict[str, TaskWeather] = field(default_factory=dict)
    """by task name; missing: `TaskWeather()`"""
    commands: tuple[ShellStub, ...] = ()
    """what scripts' shell lines answer; the first that matches counts"""
    files: dict[str, str] = field(default_factory=dict)
    """texts of files that scripts read, by path (relative: to the configuration's directory)"""
    faults: tuple[Fault, ...] = ()
    plans: tuple[Plan, ...] = ()
    """faults that are drawn, or that a trace tells"""
    disk: DiskModel | None = None
    """None: a commit is durable at once, unless a fault is at a disk"""
    orders: tuple[Ordered, ...] = ()
    schedulers: tuple[Sharer, ...] = ()
    """those that use the controller together, in the order in which they start; the configuration is the controller's
    then, and `tasks` counts for none. Empty: one scheduler, with the configuration of the controller"""
    healed_ns: int = 0
    """from then on nothing goes wrong any more, and everything is final within `bound_ns`; 0: nobody says so"""
    bound_ns: int = 0
    expect: tuple[Expectation, ...] = ()
    wanted: tuple[Wanted, ...] = ()
    title: str = ""
    digest: str = ""
    """BLAKE2 of the scenario's text"""
