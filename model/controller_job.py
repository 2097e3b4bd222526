"""An attempt as the controller holds it, from its arrival to the acknowledgement of its end."""

from __future__ import annotations

from msgspec import Struct, structs

from model.ahead import Pace
from model.host import Host
from model.job import THREADS_WORD, AttemptKey, JobSpec, Report
from model.messages import Entry, Held
from model.quick_struct import quick_to_set
from model.resources import environment
from model.shapes import UNSHAPED, Shape
from model.states import State, check_move, quick
from model.superiors import Superior


class ControllerJobState(State):
    """Where an attempt is, as the controller knows it."""

    QUEUED = "queued"
    GIVEN = "given to its host"
    AT_HOST = "waits on its host"
    RUNNING = "running"
    CANCELLING = "being ended"
    ENDED = "ended"


_S = quick(ControllerJobState)
_LONG = Pace.LONG
CONTROLLER_MOVES: dict[ControllerJobState, frozenset[ControllerJobState]] = {
    _S.QUEUED: frozenset({_S.GIVEN, _S.ENDED}),
    _S.GIVEN: frozenset({_S.AT_HOST, _S.RUNNING, _S.CANCELLING, _S.ENDED}),
    _S.AT_HOST: frozenset({_S.RUNNING, _S.CANCELLING, _S.ENDED}),
    _S.RUNNING: frozenset({_S.CANCELLING, _S.ENDED}),
    _S.CANCELLING: frozenset({_S.ENDED}),
    _S.ENDED: frozenset(),
}
"""An attempt is forgotten from ENDED, by its superior's acknowledgement."""


@quick_to_set
class ControllerJob(Struct, eq=False, gc=False):
    """One attempt. `queued`, `shape`, `superior` and `key` are what `matching.py` reads. (A struct, not tracked by the
    garbage collector: a million may wait, and nothing that it holds refers to it.)"""

    superior: Superior
    key: AttemptKey
    """its name below, see `superiors.py`"""
    spec: JobSpec
    slots: int
    """as in `spec`"""
    waited_ns: int
    since_ns: int
    shape: Shape = UNSHAPED
    """what it needs of a host, while it waits"""
    kept: bool = False
    """whether a host is kept for it (`reserving.py`)"""
    gpus: tuple[int, ...] = ()
    """which GPUs of its host it has"""
    pace: Pace = _LONG
    """while it is at a host"""
    state: ControllerJobState = _S.QUEUED
    queued: bool = True
    anywhere: bool = False
    """whether any host will do"""
    accepted: bool = False
    """whether its superior was told that it is here"""
    stray: bool = False
    """whether it is known by its host's word only"""
    host: Host | None = None
    report: Report | None = None

    def __lt__(self, other: ControllerJob) -> bool:
        """Among two of one key in a queue: the other one has left it, and only waits to be thrown out."""
        return self.queued and not other.queued

    @property
    def words(self) -> str:
        """What people call the job."""
        name = self.superior.name
        return f"job {self.superior.outside(self.key)[0]}" + (f" of {name}" if name else "")

    def entry(self, name: AttemptKey) -> Entry:
        """Where it is, for an inventory. `name`: what its superior calls it."""
        number, attempt = name
        host = self.host.name if self.host is not None else ""
        if self.state is _S.ENDED:
            return Entry(number, attempt, Held.ENDED, self.spec, host, self.report)
        given = None if self.host is None else self.host.link.given.get(self.key)
        running = given is not None and given.held is Held.RUNNING
        return Entry(number, attempt, Held.RUNNING if running else Held.WAITING, self.spec, host)

    def move(self, state: ControllerJobState, now: int) -> None:
        """Change the state, by the table."""
        if state not in CONTROLLER_MOVES[self.state]:
            check_move(CONTROLLER_MOVES, self.state, state, f"attempt {self.key} at the controller")
        self.state = state
        self.since_ns = now


def with_share(job: ControllerJob) -> JobSpec:
    """The specification with what the job was given of the host's resources, for itself and for later lives."""
    spec = job.spec
    assert spec.needs is not None
    if not spec.needs.resources:
        return spec
    needs = structs.replace(spec.needs, gpus=job.gpus)
    return structs.replace(spec, needs=needs, environment=(*spec.environment, *environment(needs)))


def for_host(spec: JobSpec, host: Host) -> JobSpec:
    """The specification with the host's number of threads where its command asks for it."""
    command = tuple([str(host.threads) if word == THREADS_WORD else word for word in spec.command])
    return structs.replace(spec, command=command)
