"""A job: its names, what it asks for, the states it passes through, and the one way in which it ended.

Belongs here: values that travel (`JobSpec`, `Report`), the closed list of outcomes, the scheduler's transition table.
Does not belong here: decisions about jobs (`scheduler.py`, `controller.py`, `agent.py`).
"""

from __future__ import annotations

from enum import Enum
from typing import NewType

from msgspec import Struct, structs

from model.bounds import NUMBER_MAX, Count, Number
from model.resources import Needs
from model.states import State

JobId = NewType("JobId", Number)
"""A job's number, given by its scheduler in ascending order and never used again."""


NO_JOB = JobId(0)
"""In the place of a job's number: there is none."""

AttemptKey = tuple[JobId, int]
"""(job, attempt): the name of one thing that runs, for ever. Attempts count from 1."""

SECOND = 1_000_000_000
"""Nanoseconds in a second: all times and durations of the model are integer nanoseconds."""

THREADS_WORD = "@MAX_THREADS@"
"""A word of a command that the controller replaces by the number of threads of the job's host."""

LOCAL = "local"
"""Name of the scheduler's own machine, which is not on the controller."""


class Outcome(State):
    """The one way in which an attempt ended (closed list)."""

    EXITED = "EXITED"
    CRASHED = "CRASHED"
    TIMED_OUT = "TIMED_OUT"
    PENDING_TIMEOUT = "PENDING_TIMEOUT"
    COMMAND_NOT_FOUND = "COMMAND_NOT_FOUND"
    HOST_DOWN = "HOST_DOWN"
    HOST_UNKNOWN = "HOST_UNKNOWN"
    OVERLOADED = "OVERLOADED"
    CONTROLLER_SILENT = "CONTROLLER_SILENT"
    LOST = "LOST"
    FILES_MISSING = "FILES_MISSING"
    KILLED = "KILLED"


class Wait(Enum):
    """What to do with a job whose required host cannot take it now."""

    WAIT = "wait"
    """stay in the queue until the pending timeout"""
    FAIL = "fail"
    """end at once, HOST_DOWN or HOST_UNKNOWN"""
    TRY = "try"
    """end HOST_DOWN after `tries` failed attempts to reach the host"""
    ELSEWHERE = "elsewhere"
    """any host will do"""


class HostPolicy(Struct, frozen=True, array_like=True, gc=False):
    """A `Wait` with its count (`tries` means something for TRY only)."""

    action: Wait = Wait.WAIT
    tries: Number = 0


class HostWish(Struct, frozen=True, array_like=True, gc=False):
    """Where a job wants to run. `name=None`: any host of the controller; `name="local"`: the scheduler's machine."""

    name: str | None = None
    required: bool = False
    wait_ns: Number = 0
    """preferred host only: how long to wait for it before any host will do"""
    when_down: HostPolicy = HostPolicy(Wait.WAIT)
    when_silent: HostPolicy = HostPolicy(Wait.WAIT)
    when_unknown: HostPolicy = HostPolicy(Wait.FAIL)


class Block(Struct, frozen=True, array_like=True, gc=False):
    """Files to wait for: `before` the start, `after` the end; `limit_ns` bounds each of the two waits."""

    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    limit_ns: Number = 120 * SECOND


class JobSpec(Struct, frozen=True, array_like=True, gc=False):
    """All that an executor must know to run a job. Exactly one of `command` and `call` is set."""

    task: str
    command: tuple[str, ...] = ()
    """argument vector; never passed to a shell"""
    call: str | None = None
    """Python callable, `package.module:function`, called with `arguments`"""
    arguments: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    """variables added to the small environment that a host gives"""
    directory: str | None = None
    """working directory on the host; None: the directory of the configuration"""
    item: str | None = None
    """the item of an `each` source for which this job was made"""
    slots: Count = 1
    nice: Number = 0
    host: HostWish = HostWish()
    timeout_ns: Number = 0
    """longest run; 0: no limit"""
    pending_ns: Number = 0
    """longest wait for a start, counted by each executor from its acceptance of what is left; 0: no limit"""
    grace_ns: Number = 5 * SECOND
    """between TERM and KILL"""
    block: Block | None = None
    stdout: str | None = None
    """file to which the output is appended when the attempt has ended"""
    stderr: str | None = None
    poll_ns: Number = SECOND
    """how often what does not report by itself is looked at: files of `block`"""
    options: tuple[str, ...] = ()
    """private words of a script's task, seen again when it reacts to the end"""
    needs: Needs | None = None
    """what it needs of its host beside slots; None: nothing"""


_NUMBERS = ("slots", "nice", "timeout_ns", "pending_ns", "grace_ns", "poll_ns")


def in_directory(spec: JobSpec, base: str) -> JobSpec:
    """With a working directory that means the same wherever it is read."""
    own = spec.directory or ""
    if own.startswith("/"):
        return spec
    return structs.replace(spec, directory=f"{base}/{own}" if own else base)


def within_bounds(spec: JobSpec) -> JobSpec:
    """The same with every number as large as others take it (`bounds.py`): beyond that a time is for ever anyway, and a
    host that cannot read one job could not be told of any other."""
    fit = spec
    bits = spec.slots | spec.nice | spec.timeout_ns | spec.pending_ns | spec.grace_ns | spec.poll_ns
    if not 0 <= bits < NUMBER_MAX:  # else each of them is so, for `NUMBER_MAX` is a power of two: the usual case
        bounded = {name: _bounded(getattr(spec, name)) for name in _NUMBERS}
        bounded["slots"] = max(bounded["slots"], 0)
        if bounded != {name: getattr(spec, name) for name in _NUMBERS}:
            fit = structs.replace(spec, **bounded)
    needs = spec.needs
    if needs is not None and not all(0 <= amount <= NUMBER_MAX for _, amount in needs.resources):
        resources = tuple((name, max(0, _bounded(amount))) for name, amount in needs.resources)
        fit = structs.replace(fit, needs=structs.replace(needs, resources=resources))
    if spec.host.wait_ns and abs(spec.host.wait_ns) > NUMBER_MAX:
        fit = structs.replace(fit, host=structs.replace(fit.host, wait_ns=_bounded(fit.host.wait_ns)))
    if spec.block is not None and abs(spec.block.limit_ns) > NUMBER_MAX:
        fit = structs.replace(fit, block=structs.replace(spec.block, limit_ns=_bounded(spec.block.limit_ns)))
    return fit


def _bounded(number: int) -> int:
    return min(max(number, -NUMBER_MAX), NUMBER_MAX)


class Report(Struct, frozen=True, array_like=True, gc=False):
    """How one attempt ended."""

    outcome: Outcome
    exit_code: Number | None = None
    """EXITED: 0..255"""
    signal: Number | None = None
    """CRASHED: the signal number"""
    core: bool = False
    oom: bool = False
    reason: str = ""
    """one clause for people: why it ended so, where the outcome alone does not say it"""
    host: str = ""
    """where it ran; empty when it never started"""
    waited_ns: Number = 0
    ran_for_ns: Number = 0
    started: bool = False
    """False: certainly nothing ran"""
    again: bool = False
    """the executor had no room for it now: the same job may be tried again without counting as a retry"""
    stdout_bytes: Number = 0
    stderr_bytes: Number = 0
    survivors: tuple[Number, ...] = ()
    """process ids that could not be ended (their host is dirty)"""
    given_back: bool = False
    """with `again`: its host was given more than it has slots for, and could not start it soon; it says nothing about
    the host's room, and another attempt follows at once"""


class JobState(State):
    """Where a job is, as its scheduler knows it."""

    READY = "ready"
    """made and recorded; no executor has been asked"""
    HELD = "held"
    """a person said: not yet"""
    ASSIGNED = "assigned"
    """an executor was asked, no answer yet"""
    PENDING = "pending"
    """the executor has it and waits for a host, a slot or a file"""
    RUNNING = "running"
    CANCELLING = "cancelling"
    """its end was asked for, and is not confirmed"""
    REACTING = "reacting"
    """its attempt ended; what follows is not decided yet"""
    RETRYING = "retrying"
    """an attempt ended; the next one waits for its back-off"""
    FINAL = "final"


_S = JobState
JOB_MOVES: dict[JobState, frozenset[JobState]] = {
    _S.READY: frozenset({_S.HELD, _S.ASSIGNED, _S.REACTING}),
    _S.HELD: frozenset({_S.READY, _S.REACTING}),
    _S.ASSIGNED: frozenset({_S.PENDING, _S.RUNNING, _S.CANCELLING, _S.REACTING}),
    _S.PENDING: frozenset({_S.RUNNING, _S.CANCELLING, _S.REACTING}),
    _S.RUNNING: frozenset({_S.CANCELLING, _S.REACTING}),
    _S.CANCELLING: frozenset({_S.HELD, _S.REACTING}),
    _S.REACTING: frozenset({_S.RETRYING, _S.FINAL}),
    _S.RETRYING: frozenset({_S.READY, _S.HELD, _S.REACTING}),
    _S.FINAL: frozenset(),
}
"""The scheduler's table of a job's moves. The diagram in docs/reference/states.md is generated from it."""

ABNORMAL = frozenset(Outcome) - {Outcome.EXITED, Outcome.KILLED}
"""Outcomes that the handler name `crash` stands for: any abnormal end that nobody asked for."""
