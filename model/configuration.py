"""A whole configuration as plain data: what the YAML file says, checked and converted. Both drivers start from it.

Made by `shell.config` only; nothing here knows YAML.
"""

from __future__ import annotations

from enum import Enum

from msgspec import Struct, structs
from msgspec.structs import replace

from model.alarm_kinds import AlarmSettings, ChannelRules, NotifyRules
from model.channel import ChannelTimes
from model.health import HealthPolicy
from model.job import SECOND
from model.resources import Amounts, Place
from model.sharing import Terms
from model.task import TaskDefinition

PASSED_MAX = 1000
"""How often a job may be passed by later ones unless the configuration says otherwise: some minutes of a busy
cluster, and far more than in a pipeline whose jobs all find room."""

FRONT_MAX = 10_000
"""As `ClusterDefinition.front_max`: what a hundred hosts start in some ten seconds, and 10 MB."""


class Order(Enum):
    """`FILL`: a job that cannot start yet does not keep later ones from starting. `STRICT`: no job passes one that
    came before it."""

    FILL = "fill"
    STRICT = "strict"


class Link(Enum):
    """How a host is reached."""

    PROCESS = "process"
    """an agent process on this machine, behind a real rpyc link"""
    SSH = "ssh"
    TLS = "tls"
    """its agent dials in"""
    SLURM = "slurm"
    """a cluster under Slurm, as one host of many slots; its program is on this machine"""


BATCH_SYSTEMS = frozenset({Link.SLURM})
"""Links to hosts that are batch systems."""


class SshSettings(Struct, frozen=True):
    """What the site's ssh program is told beside its own configuration."""

    host: str = ""
    """whom ssh calls; empty: the host's name"""
    user: str = ""
    port: int = 0
    """0: as ssh's configuration says"""
    options: tuple[str, ...] = ()
    """as in ssh's configuration: `ProxyJump=gate`"""
    config: str = ""
    """another configuration file than the user's own"""


class BatchSettings(Struct, frozen=True):
    """How a batch system (`link: slurm`) is used."""

    options: tuple[str, ...] = ()
    """more words for the command that submits: `--partition=night`"""
    poll_ns: int = 5 * SECOND
    """how often it is asked for the states of all jobs"""
    window_ns: int = SECOND // 4
    """jobs that come within it are submitted together"""
    array_max: int = 1000
    """how many together at most (Slurm's MaxArraySize is 1001 unless its configuration says otherwise)"""
    lease_ns: int = 24 * 3600 * SECOND
    """how long jobs there run on when no server is heard"""


class HostDefinition(Struct, frozen=True):
    """One host, and how its agent is reached and started."""

    name: str
    slots: int = 1
    link: Link = Link.PROCESS
    ssh: SshSettings = SshSettings()
    python: str = "python3"
    """the Python that runs the agent there (ssh), or each job's runner on the nodes (batch systems)"""
    ship: bool = True
    """the agent's code is sent there when it is not there yet; False: that Python has laulima installed (ssh)"""
    spool: str = ""
    """where agents keep their folders there; empty: below the home directory (ssh)"""
    directory: str = ""
    """where relative paths of jobs start there; empty: the same as here"""
    resources: Amounts = ()
    labels: tuple[str, ...] = ()
    batch: BatchSettings = BatchSettings()


def times_of(host: HostDefinition, times: ChannelTimes) -> ChannelTimes:
    """The times of the link to this host: a batch system's jobs live longer without a word than an agent's."""
    return replace(times, lease_ns=host.batch.lease_ns) if host.link in BATCH_SYSTEMS else times


def two_hops(cluster: ClusterDefinition) -> ChannelTimes:
    """The controller's lease may end while it cannot reach a host, whose own lease then still runs: what is there is
    lost only after both leases and both margins."""
    times = cluster.times
    lease_ns = max([times_of(host, times).lease_ns for host in cluster.hosts], default=times.lease_ns)
    return structs.replace(times, margin_ns=2 * times.margin_ns + lease_ns)


class OnExit(Enum):
    """What becomes of running jobs when the server ends."""

    KEEP = "keep"
    KILL = "kill"


class ListenSettings(Struct, frozen=True):
    """Where a server waits for agents that dial in."""

    address: str
    port: int
    certificates: str
    """the folder with ca.pem, server.pem, server.key and the deny list"""


class JoinSettings(Struct, frozen=True):
    """Hosts that may come and go by themselves."""

    names: tuple[str, ...]
    hosts_max: int
    slots_max: int
    resources: Amounts = ()
    """how much they may have together; what is not named they may not have"""
    labels: tuple[str, ...] = ()
    """which they may have"""


class ControllerKind(Enum):
    """Where the controller is that a server's jobs go to."""

    EMBEDDED = "embedded"
    """in the server's own process"""
    SPAWN = "spawn"
    """in a process that the server starts, and ends with itself"""
    SOCKET = "socket"
    """in a process that is there, and that other servers use as well"""


class ControllerPlace(Struct, frozen=True):
    """Which controller a server uses. `socket`: where it listens (SOCKET only). `name`: what this server is called
    there."""

    kind: ControllerKind = ControllerKind.EMBEDDED
    socket: str = ""
    name: str = ""


class ClusterDefinition(Struct, frozen=True):
    hosts: tuple[HostDefinition, ...] = ()
    added: HostDefinition = HostDefinition("")
    """how a host is reached that a person or a script adds by its name"""
    local_slots: int = 2
    order: Order = Order.FILL
    pending_max: int = 100_000
    """jobs that the controller's queue holds; one more is refused: OVERLOADED"""
    pending_local_max: int = 100_000
    front_max: int = FRONT_MAX
    """jobs that an executor has and that do not run yet, of those that need the same; the others stand in a line of the
    scheduler (`model/lines.py`)"""
    rooms_max: int = 5
    """starts in a row that may fail for want of room before the outcome is OVERLOADED"""
    backoff_ns: int = SECOND
    """first wait before a host is tried again; doubles up to `backoff_cap_ns`"""
    backoff_cap_ns: int = 60 * SECOND
    connect_ns: int = 20 * SECOND
    """how long an attempt to connect may take (drivers)"""
    overtime_ns: int = 60 * SECOND
    """how much longer than its timeout and grace a job may run before the controller asks for its end as well"""
    times: ChannelTimes = ChannelTimes()
    local_times: ChannelTimes = ChannelTimes(lease_ns=3600 * SECOND)
    resources: Amounts = ()
    """what all hosts share, such as licences"""
    place: Place = Place.SPREAD
    passed_max: int = PASSED_MAX
    """FILL: how often a job may be passed by later ones before a host is kept for it; 0: any number of times"""
    health: HealthPolicy = HealthPolicy()
    listen: ListenSettings | None = None
    join: JoinSettings | None = None
    directory: str = ""
    """where relative paths of jobs start, of a scheduler whose hosts are those of a shared controller: that knows its
    own folder only; empty: where the hosts say"""
    schedulers: tuple[tuple[str, Terms], ...] = ()
    """on what terms schedulers use a controller of their own process, by name; others get the defaults"""

    def terms_of(self, scheduler: str) -> Terms:
        """On what terms the scheduler of this name is here."""
        return dict(self.schedulers).get(scheduler, Terms(pending_max=self.pending_max))


class Secret(Struct, frozen=True):
    """A text that may stand elsewhere than in the configuration: in a variable of the server's environment, or in a
    file. `prefix` goes before it."""

    text: str = ""
    env: str = ""
    file: str = ""
    prefix: str = ""


class Webhook(Struct, frozen=True):
    """Where a message is sent by HTTP POST, with which headers."""

    url: Secret
    headers: tuple[tuple[str, Secret], ...] = ()
    plain_http: bool = False
    """not encrypted, to other machines as well"""


class Notifier(Struct, frozen=True):
    """Who is told something: a command that gets one JSON object on its standard input, or a webhook that gets it as
    the body of a request; and of what, how often."""

    name: str
    command: tuple[str, ...] = ()
    webhook: Webhook | None = None
    rules: NotifyRules = NotifyRules()


class LanguageSettings(Struct, frozen=True):
    """How task scripts are run."""

    scripts: tuple[str, ...] = ()
    """script files that are run, in order, when a server or a simulation starts"""
    hosts: tuple[str, ...] = ()
    """hosts that the scripts are known to add, so that a rehearsal has their machines and may let them fail"""
    tasks: tuple[str, ...] = ()
    """tasks that the scripts are known to define"""
    complete: bool = True
    """False: the scripts may add and define more, under names that only running them tells"""
    controller_timeout_ignored: bool = False
    """a script's `periods -timeout` limits nothing for jobs of the controller"""
    jitter: float = 0.0
    """0..1: how much of its exec period each start of a script's task may be late, at random"""


def without_tasks(configuration: Configuration) -> Configuration:
    """What a controller of its own process takes of it."""
    return replace(configuration, tasks=(), notifiers=(), language=LanguageSettings())


class Configuration(Struct, frozen=True):
    path: str
    """the file, for messages"""
    directory: str
    """relative paths of tasks and jobs start here"""
    tasks: tuple[TaskDefinition, ...] = ()
    cluster: ClusterDefinition = ClusterDefinition()
    notifiers: tuple[Notifier, ...] = ()
    backlog: int = 0
    """`alarm_kinds.AlarmSettings`"""
    clear_ns: int = AlarmSettings().clear_ns
    look_ns: int = AlarmSettings().look_ns
    on_exit: OnExit = OnExit.KEEP
    keep_for_ns: int = 24 * 3600 * SECOND
    """the parting lease (`shutdown: {keep_for: 24h}`)"""
    language: LanguageSettings = LanguageSettings()
    digest: str = ""
    """BLAKE2 of the file's bytes"""
    controller: ControllerPlace = ControllerPlace()

    @property
    def alarms(self) -> AlarmSettings:
        """What the scheduler is told of it."""
        channels = tuple(ChannelRules(notifier.name, notifier.rules) for notifier in self.notifiers)
        return AlarmSettings(channels, self.backlog, self.clear_ns, self.look_ns)
