"""What a person is shown, as data: one row type for each list, the same for the command line, the page and `--json`.

Times are wall time in ns since 1970 (`*_at`) or durations in ns (`*_ns`). The functions that fill the rows read the
machines and change nothing.
"""

from __future__ import annotations

from msgspec import Struct

from model.remembered import Setting

SCHEMA = 1
"""Version of these types; stands in every `--json` answer."""


class TaskRow(Struct, frozen=True):
    name: str
    state: str
    """on, held, faulted, window closed, inactive, deleted"""
    pending: int
    """jobs made and not running"""
    running: int
    limit: int
    """limits.in_flight; 0: none"""
    done: int
    failed: int
    skipped: int
    last_at: int | None
    """when its last job was made"""
    next_at: int | None
    """when it is asked again; None: not by itself"""
    items: int
    """items that wait to be given out"""
    why: str
    """why it is not doing more"""
    done_1h: int | None = None
    """attempts that ended well in the last hour; None: not counted yet"""
    failed_1h: int | None = None
    course_1h: tuple[int, ...] = ()
    """attempts that ended, by five minutes, the oldest first"""


class JobRow(Struct, frozen=True):
    job: int
    attempt: int
    task: str
    item: str | None
    state: str
    host: str
    since_ns: int
    """how long it has been in this state"""
    command: str
    outcome: str
    """of a final job: `exit 0`, `TIMED_OUT`, …"""
    why: str


class ResourceRow(Struct, frozen=True):
    """A declared resource; cpus in thousandths, memory in bytes, everything else in pieces."""

    name: str
    used: int
    total: int


class HostRow(Struct, frozen=True):
    name: str
    state: str
    slots: int
    busy: int
    """slots in use"""
    queued: int
    """jobs that wait for just this host"""
    done: int
    failed: int
    since_ns: int
    why: str
    resources: tuple[ResourceRow, ...] = ()
    labels: tuple[str, ...] = ()
    tries: int = 0
    """attempts to connect that failed since it was up"""
    broken: str = ""
    """why it gets nothing although it is there: its disk is full, processes cannot be ended"""


class SuperiorRow(Struct, frozen=True):
    """A scheduler in another process, as the controller that it shares sees it."""

    name: str
    listens: bool
    """connected, and has asked what is here"""
    share: int
    waiting: int
    """jobs"""
    waiting_most: int
    at_hosts: int
    """jobs"""
    at_hosts_most: int
    """0: any number"""


class ExecutorRow(Struct, frozen=True):
    """`controller` or `local` as the scheduler sees it."""

    name: str
    state: str
    pending: int
    running: int


class AlarmRow(Struct, frozen=True):
    """Something that is wrong now, where alarms are watched (`notify`, deadlines). `kind`: the value of an
    `AlarmKind`; `told`: the notifiers that know it."""

    kind: str
    subject: str
    text: str
    since_at: int
    told: tuple[str, ...] = ()


class NotifierRow(Struct, frozen=True):
    """Who is told of alarms. `error`: why the last message could not be delivered; empty: it was."""

    name: str
    sent: int
    """in this life of the server, as `failed`"""
    failed: int
    last_at: int | None
    """when a message was delivered last"""
    error: str = ""


class Status(Struct, frozen=True):
    configuration: str
    clock: str
    """`live` or `simulated`"""
    intake: str
    running_for_ns: int
    tasks: tuple[TaskRow, ...]
    hosts: tuple[HostRow, ...]
    executors: tuple[ExecutorRow, ...]
    alarms: tuple[str, ...]
    pid: int = 0
    schema: int = SCHEMA
    resources: tuple[ResourceRow, ...] = ()
    """what all hosts share"""
    schedulers: tuple[SuperiorRow, ...] = ()
    """of a controller with a process of its own: who uses it"""
    alarm_rows: tuple[AlarmRow, ...] = ()
    notifiers: tuple[NotifierRow, ...] = ()
    disk: str = ""
    """of a controller with a process of its own: what is wrong with the disk of its journal"""


class HistoryRow(Struct, frozen=True):
    """One attempt that ended: who ran what, when, where, and how it ended."""

    job: int
    attempt: int
    task: str
    item: str | None
    command: str
    host: str
    outcome: str
    exit_code: int | None
    signal: int | None
    reason: str
    accepted_at: int
    started_at: int | None
    ended_at: int
    """when the end was recorded, which questions and the order go by"""
    waited_ns: int
    ran_for_ns: int
    """as its host measured it; 0: not known"""
    final: bool
    stdout_bytes: int
    stderr_bytes: int

    @property
    def over_at(self) -> int:
        """When the process ended: its run time after its start, where both are known, and at the latest when that was
        heard of. Only the server's wall clock counts, so a host's may be wrong; and however the server's own was set
        meanwhile, a job does not end before it started."""
        if self.started_at is None:
            return self.ended_at
        if not self.ran_for_ns:
            return max(self.started_at, self.ended_at)
        return max(self.started_at, min(self.started_at + self.ran_for_ns, self.ended_at))


class PlanRow(Struct, frozen=True):
    """When one task would start jobs, were it left alone."""

    task: str
    starts: int
    """jobs that the time itself makes"""
    more: bool
    """it goes on after `last_at`: no more starts were looked for"""
    first_at: int | None
    last_at: int | None
    times: tuple[int, ...]
    """the first starts"""
    items: int
    """items that wait to be given out: jobs beside the `starts`"""
    why: str
    """what keeps it now, or makes its jobs"""


class ChangeRow(Struct, frozen=True):
    """What a person has ordered."""

    at: int
    by: str
    verb: str
    about: str
    """job, task, host, scheduler, server or configuration"""
    name: str
    reason: str


class NoticeRow(Struct, frozen=True):
    """What a shared controller told its schedulers."""

    told_at: int
    level: str
    about: str
    text: str


class EventRow(Struct, frozen=True):
    """Something that happened to what was asked about."""

    at: int
    text: str


class ExplanationView(Struct, frozen=True):
    """`explain` for people: the chain of reasons, nearest first."""

    about: str
    state: str
    reasons: tuple[str, ...]
    since_ns: int
    until_ns: int | None
    """how long from now until it can change by itself"""
    changes: tuple[str, ...]
    story: tuple[str, ...] = ()
    schema: int = SCHEMA


class CheckView(Struct, frozen=True):
    """All about one job, task or host. `task`: of a job. `facts`: what is so, in words.
    `file`: the configuration's; `settings`: what is laid over it, of this task or host."""

    about: str
    name: str
    task: str
    explanation: ExplanationView
    facts: dict[str, str]
    events: tuple[EventRow, ...]
    """the last ones, oldest first"""
    file: str
    settings: tuple[Setting, ...] = ()
    job_row: JobRow | None = None
    task_row: TaskRow | None = None
    host_row: HostRow | None = None
    schema: int = SCHEMA
