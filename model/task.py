"""What a task is: the named recipe that is polled and spawns jobs. Plain data, made by the configuration loader.

The state of a task while it lives (counts, next due time) belongs to `scheduler.py`.
"""

from __future__ import annotations

from datetime import UTC, tzinfo
from enum import Enum

from msgspec import Struct

from model.job import SECOND, Block, HostWish
from model.resources import Needs
from model.windows import Window


class Missed(Enum):
    """What becomes of starts whose time passed while the scheduler could not act (it was down or stopped)."""

    SKIP = "skip"
    ONCE = "once"
    ALL = "all"
    ELASTIC = "elastic"
    """also where a limit, a window or a person kept it from starting: it is asked at once when that is over, and its
    grid begins anew there (the historical rule, for scripts)"""


class Periods(Struct, frozen=True):
    """Durations in ns. `exec_ns`: how often the task is asked for a job. `poll_ns`: how often a job is looked at where
    nothing reports by itself. `timeout_ns`: longest run, 0 no limit. `pending_ns`: longest wait, 0 no limit."""

    exec_ns: int = 30 * SECOND
    poll_ns: int = SECOND
    timeout_ns: int = 600 * SECOND
    pending_ns: int = 3600 * SECOND


class Limits(Struct, frozen=True):
    """0 means no limit. `in_flight`: jobs of the task that are not final. `total`: jobs in its whole life."""

    in_flight: int = 0
    total: int = 0


class FilesSource(Struct, frozen=True, tag="files"):
    """One item for each path that matches `pattern` (relative to the configuration's directory)."""

    pattern: str


class LinesSource(Struct, frozen=True, tag="lines"):
    """One item for each line that `command` prints."""

    command: tuple[str, ...]


class DoneSource(Struct, frozen=True, tag="done"):
    """One item for each item that task `task` finished well."""

    task: str


Source = FilesSource | LinesSource | DoneSource


class Retry(Struct, frozen=True):
    """New attempts of the same job. `on`: what to match, see `Handler.match`; the n-th retry waits
    `backoff_ns * factor**(n-1)`, at most `cap_ns`, plus up to `jitter` (0..1) of itself."""

    on: tuple[str, ...] = ()
    times: int = 3
    backoff_ns: int = 10 * SECOND
    factor: float = 2.0
    cap_ns: int = 3600 * SECOND
    jitter: float = 0.0


class Handler(Struct, frozen=True):
    """What to do when an attempt ended so.

    `match`: `"0"`, `"3-7"` (exit codes), an outcome's name in lower case with hyphens (`timed-out`, `lost`), `crash`
    (any abnormal end that nobody asked for) or `default`. The most exact one that matches wins, in this order.
    """

    match: str
    retry: Retry | None = None
    run: tuple[str, ...] = ()
    """a command that runs on the scheduler's machine, as a job without handlers"""
    notify: str = ""
    """name of a notifier of the configuration, told with a sentence"""
    disable: bool = False
    """the task spawns nothing more until a person releases it"""
    script: str = ""
    """statements of the task language that run then"""
    script_line: int = 1
    """where they begin in the configuration's file"""


class TimeLimit(Struct, frozen=True):
    """So long after something was due (`after_ns`), or else the time of day `by_s` (seconds after midnight). `text`: as
    written, for people."""

    text: str
    after_ns: int = 0
    by_s: int = 0


class Deadline(Struct, frozen=True):
    """When the jobs of a task must have started, and ended; what is later is an alarm (`model/deadline_watch.py`).
    `zone` and `weekdays` (0 Monday; None: all): of times of day."""

    start: TimeLimit | None = None
    end: TimeLimit | None = None
    zone: tzinfo = UTC
    weekdays: frozenset[int] | None = None


class TaskDefinition(Struct, frozen=True):
    """One task as configured."""

    name: str
    command: tuple[str, ...] = ()
    """words may hold `$item`, `$job`, `$task`; each word stays one argument"""
    call: str | None = None
    arguments: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    directory: str | None = None
    slots: int = 1
    nice: int = 0
    host: HostWish = HostWish()
    periods: Periods = Periods()
    limits: Limits = Limits()
    windows: tuple[Window, ...] = ()
    missed: Missed = Missed.ONCE
    source: Source | None = None
    grace_ns: int = 5 * SECOND
    """between TERM and KILL"""
    block: Block | None = None
    stdout: str | None = None
    stderr: str | None = None
    retry: Retry | None = None
    lost_reruns: int = 0
    """attempts that a lost host may cost before LOST is the job's outcome (`when_lost: {rerun: N}`)"""
    silent_grace_ns: int | None = None
    """how long the controller may be silent before a job not known to run ends CONTROLLER_SILENT; None: the pending
    period"""
    handlers: tuple[Handler, ...] = ()
    active: bool = True
    prepare: str = ""
    """statements of the task language that run before each job; they may decline it"""
    prepare_line: int = 1
    needs: Needs | None = None
    """what its jobs need of their host beside slots"""
    deadline: Deadline | None = None
