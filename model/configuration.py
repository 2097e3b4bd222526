"""A whole configuration as plain data: what the YAML file says, checked and converted. Both drivers start from it.

Made by `shell.config` only; nothing here knows YAML.
"""

from __future__ import annotations

from enum import Enum

from msgspec import Struct

from model.channel import ChannelTimes
from model.job import SECOND
from model.task import TaskDefinition


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


class HostDefinition(Struct, frozen=True):
    name: str
    slots: int = 1
    link: Link = Link.PROCESS


class OnExit(Enum):
    """What becomes of running jobs when the server ends."""

    KEEP = "keep"
    KILL = "kill"


class ClusterDefinition(Struct, frozen=True):
    hosts: tuple[HostDefinition, ...] = ()
    local_slots: int = 2
    order: Order = Order.FILL
    pending_max: int = 100_000
    """jobs that the controller's queue holds; one more is refused: OVERLOADED"""
    pending_local_max: int = 100_000
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


class Notifier(Struct, frozen=True):
    """A command that gets one JSON object on its standard input for each notice."""

    name: str
    command: tuple[str, ...]


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


class Configuration(Struct, frozen=True):
    path: str
    """the file, for messages"""
    directory: str
    """relative paths of tasks and jobs start here"""
    tasks: tuple[TaskDefinition, ...] = ()
    cluster: ClusterDefinition = ClusterDefinition()
    notifiers: tuple[Notifier, ...] = ()
    on_exit: OnExit = OnExit.KEEP
    keep_for_ns: int = 24 * 3600 * SECOND
    """the parting lease (`shutdown: {keep_for: 24h}`)"""
    language: LanguageSettings = LanguageSettings()
    digest: str = ""
    """BLAKE2 of the file's bytes"""
