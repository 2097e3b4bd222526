"""The keeper: starts, watches and ends the processes of a host, and outlives the agent that started it.

It holds for each attempt its exec deadline and the end of its lease, so both limits hold when the agent is dead,
stopped or cut off. It never decides *whether* a job runs; it decides when a running one must end, and what its end
means. `live` runs it in its own process; `sim` runs it inside the modelled operating system of a host.

Agent and keeper live on one host: a unix socket, one clock, no lost messages while both live. After a new agent has
connected it sends `List` and gets `Holding`.
"""

from __future__ import annotations

from enum import Enum

from msgspec import Struct

from model.job import JobId, JobSpec, Report
from model.messages import Entry


class StopReason(Enum):
    """Why a running process tree is ended."""

    KILLED = "killed"
    TIMED_OUT = "timed out"
    LEASE = "lease ended"


# orders of the agent


class Start(Struct, frozen=True, array_like=True, tag="start", gc=False):
    job: JobId
    attempt: int
    spec: JobSpec


class Stop(Struct, frozen=True, array_like=True, tag="stop", gc=False):
    """End it: TERM to the whole tree, after `spec.grace_ns` KILL."""

    job: JobId
    attempt: int


class Renew(Struct, frozen=True, array_like=True, tag="renew", gc=False):
    """All attempts may live for another `lease_ns`."""

    lease_ns: int


class Forget(Struct, frozen=True, array_like=True, tag="forget", gc=False):
    """The end of the attempt was acknowledged."""

    job: JobId
    attempt: int


class ListHeld(Struct, frozen=True, array_like=True, tag="list", gc=False):
    """Say what you hold."""


class Leave(Struct, frozen=True, array_like=True, tag="leave", gc=False):
    """Go away once nothing runs and everything was forgotten; `kill`: end what runs first."""

    kill: bool


Order = Start | Stop | Renew | Forget | ListHeld | Leave


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


class Holding(Struct, frozen=True, array_like=True, tag="holding", gc=False):
    """Attempts that run, and ends that were not forgotten."""

    entries: tuple[Entry, ...]


KeeperMessage = Running | Exited | Holding


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


# what the keeper asks of the operating system (its drained list; every Log comes before what follows from it)


class Log(Struct, frozen=True, gc=False):
    """Append to the status log: `report` None: about to be started; otherwise its end. Ends are durable before any
    `Tell` that follows is sent."""

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


class Tell(Struct, frozen=True, gc=False):
    message: KeeperMessage


KeeperEvent = Order | Spawned | SpawnFailed | Died
KeeperEffect = Log | Spawn | SignalTree | Tell
