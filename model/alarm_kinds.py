"""What an alarm is: the closed list of kinds, what somebody is told about them, and how channels may be set.

The one list of words: the configuration (`notify`, `of:`), the records, `status`, metrics and messages all use the
values of `AlarmKind`. When one begins and ends, and who is told when, is decided in `model/alarms.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from msgspec import Struct

from model.host import Host, HostState
from model.job import SECOND
from model.views import HostRow

HOUR_NS = 3600 * SECOND


class AlarmKind(Enum):
    """In the order in which people are shown them."""

    DISK_FULL = "disk-full"
    CONTROLLER_SILENT = "controller-silent"
    """the controller, or the agent of the own machine, does not answer"""
    TASK_FAULTED = "task-faulted"
    """a task stopped itself"""
    LATE_START = "late-start"
    """`deadline: {start: …}` was missed"""
    LATE_END = "late-end"
    """`deadline: {end: …}` was missed"""
    JOB_FAILED = "job-failed"
    """jobs of a task failed for good"""
    PENDING_TIMEOUT = "pending-timeout"
    """jobs of a task waited for too long"""
    BACKLOG = "backlog"
    """more jobs wait than `alarms.backlog`"""
    HOST_DOWN = "host-down"
    HOST_SILENT = "host-silent"
    HOST_ASIDE = "host-aside"
    """jobs failed there in a row"""
    HOST_BROKEN = "host-broken"
    """its disk is full, or processes cannot be ended there"""


HOST_KINDS = {
    HostState.DOWN: AlarmKind.HOST_DOWN,
    HostState.SILENT: AlarmKind.HOST_SILENT,
    HostState.ASIDE: AlarmKind.HOST_ASIDE,
}
"""States of a host that are alarms."""
OUTSIDE = frozenset({AlarmKind.DISK_FULL, AlarmKind.HOST_BROKEN, *HOST_KINDS.values()})
"""Kinds that the scheduler does not know by itself: its driver looks."""
LATE = (AlarmKind.LATE_START, AlarmKind.LATE_END)
"""Kinds that are missed deadlines."""
HANDLER = "handler"
"""The kind of a message that a handler's `notify` asks for."""

ALARM, AGAIN, RECOVERED, SUMMARY, HEARTBEAT, TEST = "alarm", "again", "recovered", "summary", "heartbeat", "test"
"""What a message is about: an alarm has begun, still lasts, is over; several of these; that the server lives; a test.
(A handler's message says `handler`.)"""


class Trouble(Struct, frozen=True):
    """Something is so now. `subject`: `task NAME`, `host NAME`, `controller`, `disk`, …; with the kind it names the
    alarm. `text`: a sentence."""

    kind: AlarmKind
    subject: str
    text: str


class NotifyRules(Struct, frozen=True):
    """What one notifier is told, and how often. Durations in ns; 0: never."""

    kinds: tuple[AlarmKind, ...] = ()
    """besides what handlers tell it"""
    tasks: tuple[str, ...] = ()
    """alarms of other tasks are not for it; empty: all are"""
    after_ns: int = 30 * SECOND
    """an alarm that is over sooner is not told; one that comes back sooner was not over"""
    again_ns: int = 4 * HOUR_NS
    hour_max: int = 20
    """messages in an hour"""
    recovered: bool = True
    heartbeat_ns: int = 0


class ChannelRules(Struct, frozen=True):
    """The rules of a notifier, with its name."""

    name: str
    rules: NotifyRules


class AlarmSettings(Struct, frozen=True):
    """What the scheduler is told of `notify` and `alarms` of a configuration."""

    channels: tuple[ChannelRules, ...] = ()
    backlog: int = 0
    """more waiting jobs are an alarm; 0: never"""
    clear_ns: int = 900 * SECOND
    """jobs that failed, or waited for too long, are an alarm until it has not happened for so long"""
    look_ns: int = 5 * SECOND
    """how often everything is looked at"""


class Item(Struct, frozen=True):
    """One thing that a message says. `event`: ALARM, AGAIN, RECOVERED, or HANDLER. `since_at`: wall time, ns."""

    event: str
    kind: str
    subject: str
    text: str
    since_at: int = 0


class Message(Struct, frozen=True):
    """What somebody is told. `items`: all that it is about."""

    event: str
    text: str
    items: tuple[Item, ...] = ()
    unsaid: int = 0
    """alarms that came and went while no more messages were allowed"""


def host_text(name: str, state: str, why: str) -> str:
    """The sentence about a host in a bad state."""
    return f"host {name} is {state}: {why.removeprefix(f'{state}: ')}" if why else f"host {name} is {state}"


def fault_text(task: str, why: str) -> str:
    """The sentence about a task that stopped itself."""
    return f"task {task} is faulted: {why}"


_UP = HostState.UP
_SURE = frozenset({HostState.UP, HostState.DRAINING, HostState.OFF, HostState.ASIDE})


def host_troubles(hosts: Iterable[Host]) -> tuple[list[Trouble], list[str]]:
    """(what is wrong with the controller's hosts, subjects of which nobody can say that they are well)."""
    found: list[Trouble] = []
    unsure: list[str] = []
    for host in hosts:
        if host.state is _UP and not host.dirty:
            continue  # nearly all of them
        _judge_state(host.name, host.state, host.tries, host.reason, found, unsure)
        if host.dirty and host.state in _SURE:
            found.append(broken_host(host.name, host.dirty))
    return found, unsure


def row_troubles(rows: Iterable[HostRow]) -> tuple[list[Trouble], list[str]]:
    """The same of the rows of a controller in another process."""
    found: list[Trouble] = []
    unsure: list[str] = []
    for row in rows:
        state = HostState(row.state)
        _judge_state(row.name, state, row.tries, row.why, found, unsure)
        if row.broken and state in _SURE:
            found.append(broken_host(row.name, row.broken))
    return found, unsure


def broken_host(name: str, why: str) -> Trouble:
    """It is there and can be given nothing."""
    return Trouble(AlarmKind.HOST_BROKEN, f"host {name}", host_text(name, "broken", why))


def _judge_state(name: str, state: HostState, tries: int, why: str, found: list[Trouble], unsure: list[str]) -> None:
    """A host that is connected again after failures in vain is down for people; at its first attempt it is neither
    down nor well."""
    if state is HostState.CONNECTING and tries:
        state = HostState.DOWN
    kind = HOST_KINDS.get(state)
    if kind is not None:
        found.append(Trouble(kind, f"host {name}", host_text(name, state.value, why)))
    if state not in _SURE:
        unsure.append(f"host {name}")
