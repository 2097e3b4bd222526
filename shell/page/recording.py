"""A simulated run, read from its event log, as the page shows it at any moment of it.

The log is read once: what machines say to each other is passed over, the rest is kept as small entries in the order of
time. The state at a moment is what the entries before it make of the state at the last checkpoint. Hosts' slots are
taken from the true life of processes, tasks from what the scheduler recorded. Times are ms since the start of the run.

Served by `playback.py`.
"""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Iterator
from copy import copy
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from live.lately import event
from model.errors import ConfigurationError
from model.job import LOCAL, JobSpec, Outcome
from model.records import AttemptEnded, AttemptStarted, JobAccepted, Record
from shell.file_errors import unreadable
from shell.page.snapshots import EVENTS_MAX, MINUTE_MS, MINUTES, Row
from sim.log import (
    LINE_MAX,
    Committed,
    FaultChanged,
    Finished,
    Header,
    Line,
    LinkChanged,
    Noticed,
    ProcessEnded,
    ProcessStarted,
    Sized,
)
from sim.tally import SCHEDULER

PASSED_OVER = (b'{"event":"send"', b'{"event":"drop"')
CHECKPOINT = 20_000
"""Entries from one kept state to the next: some 20 ms of work."""
NS_IN_MS = 1_000_000
POINTS_MAX = 20_000
FIRST_STEP_MS = 10_000
HOST_STATES = frozenset({"up", "down", "connecting", "silent", "draining", "off", "aside"})
STORY_MAX = 200
_CLASSES = {
    Outcome.CRASHED: "crash", Outcome.TIMED_OUT: "timeout", Outcome.LOST: "lost", Outcome.HOST_DOWN: "lost",
}  # fmt: skip

Entry = Line
"""What is kept of a log are its own lines; `PASSED_OVER` and those that no table here names are not."""


class TaskState(Struct):
    pending: int = 0
    running: int = 0
    done: int = 0
    failed: int = 0
    last_ms: int | None = None


class HostState(Struct):
    slots: int
    state: str = "connecting"
    why: str = ""
    since_ms: int = 0
    busy: int = 0
    done: int = 0
    failed: int = 0


class Moment(Struct):
    """The state after so many entries."""

    tasks: dict[str, TaskState] = field(default_factory=dict)
    hosts: dict[str, HostState] = field(default_factory=dict)
    jobs: dict[int, tuple[str, bool]] = field(default_factory=dict)
    """of each job that is not final: its task, and whether it runs"""
    faults: dict[str, int] = field(default_factory=dict)
    """those that are there now, and since when (ms)"""

    def copy(self) -> Moment:
        """One that goes on for itself."""
        return Moment(
            {name: copy(task) for name, task in self.tasks.items()},
            {name: copy(host) for name, host in self.hosts.items()},
            dict(self.jobs),
            dict(self.faults),
        )

    def take(self, line: Entry) -> None:
        """One more entry."""
        match line:
            case Committed(record=record):
                self._record(record, line.t // NS_IN_MS)
            case ProcessStarted():
                self.hosts[line.node].busy += line.slots
            case ProcessEnded():
                self.hosts[line.node].busy -= line.slots
            case Noticed():
                self._notice(line)
            case LinkChanged():
                self._link(line)
            case Sized():
                self.hosts.setdefault(line.node, HostState(0)).slots = line.slots
            case FaultChanged():
                name = fault_name(line)
                if line.on:
                    self.faults[name] = line.t // NS_IN_MS
                else:
                    self.faults.pop(name, None)

    def _record(self, record: Record, now_ms: int) -> None:
        if isinstance(record, JobAccepted):
            task = self.tasks.setdefault(record.spec.task, TaskState())
            task.pending += 1
            task.last_ms = now_ms
            self.jobs[record.job] = (record.spec.task, False)
            return
        if not isinstance(record, AttemptStarted | AttemptEnded):
            return
        name, running = self.jobs.get(record.job, ("", False))
        if not name:
            return  # its beginning is not in the log
        task = self.tasks[name]
        if isinstance(record, AttemptStarted):
            if not running:
                task.pending, task.running = task.pending - 1, task.running + 1
            self.jobs[record.job] = (name, True)
            return
        good = class_of(record) == "well"
        host = self.hosts.get(record.report.host)
        if host is not None:
            host.done, host.failed = host.done + good, host.failed + (not good)
        if running:
            task.running -= 1
        else:
            task.pending -= 1
        if record.final:
            task.done, task.failed = task.done + good, task.failed + (not good)
            del self.jobs[record.job]
        else:
            task.pending += 1
            self.jobs[record.job] = (name, False)

    def _notice(self, line: Noticed) -> None:
        about, _, name = line.about.partition(" ")
        state = line.text.partition(":")[0]
        if about == "host" and name in self.hosts and state in HOST_STATES:
            self._set(name, state, line.text.partition(": ")[2], line.t)

    def _link(self, line: LinkChanged) -> None:
        of_host = line.node == "controller" or (line.node == SCHEDULER and line.peer == LOCAL)
        if of_host and line.peer in self.hosts and line.state in ("up", "down"):
            self._set(line.peer, line.state, line.reason, line.t)

    def _set(self, name: str, state: str, why: str, now_ns: int) -> None:
        host = self.hosts[name]
        if host.state != state:
            host.since_ms = now_ns // NS_IN_MS
        host.state, host.why = state, why


def class_of(record: AttemptEnded) -> str:
    """The same words as of the journal's minutes (`live/lately.py`)."""
    if record.report.outcome is Outcome.EXITED:
        return "well" if record.report.exit_code == 0 else "exit"
    return _CLASSES.get(record.report.outcome, "other")


def fault_name(line: FaultChanged) -> str:
    return f"{line.kind} {' '.join(line.nodes)}".strip()


class Recording:
    """The run in the log file at `path`. Raises ConfigurationError when that is no event log."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.header: Header | None = None
        self.end_ms = 0
        self._entries: list[Entry] = []
        self._times: list[int] = []
        self._specs: dict[tuple[str, str | None], JobSpec] = {}
        self._checkpoints: list[Moment] = []
        self._points: list[Row] = []
        self._step_ms = FIRST_STEP_MS
        self._minutes: dict[int, Counter[tuple[str, str]]] = {}
        self._read()

    def _read(self) -> None:
        moment = Moment()
        for line in self._lines():
            if isinstance(line, Header):
                self.header = line
                moment.hosts = {name: HostState(slots) for name, slots in line.slots.items()}
                continue
            if isinstance(line, Finished):
                self.end_ms = line.t // NS_IN_MS
                continue
            if not _is_kept(line):
                continue
            now_ms = line.t // NS_IN_MS
            self._add_points(moment, now_ms)
            if len(self._entries) % CHECKPOINT == 0:
                self._checkpoints.append(moment.copy())
            self._entries.append(self._small(line))
            self._times.append(now_ms)
            if isinstance(line, Committed) and isinstance(line.record, AttemptEnded):
                name = moment.jobs.get(line.record.job, ("", False))[0]
                self._minutes.setdefault(now_ms // MINUTE_MS, Counter())[name, class_of(line.record)] += 1
            moment.take(line)
        if self.header is None:
            raise ConfigurationError(f"{self.path} is no event log", "make one: laulima sim FILE --log RUN.jsonl")
        self.end_ms = max(self.end_ms, self._times[-1] if self._times else 0)
        self._checkpoints = self._checkpoints or [moment]

    def _lines(self) -> Iterator[Line]:
        decoder = msgspec.json.Decoder(Line)
        number = 0
        try:
            with self.path.open("rb") as file:
                for number, text in enumerate(iter(lambda: file.readline(LINE_MAX), b""), 1):  # noqa: B007 - told in the error
                    if not text.startswith(PASSED_OVER):
                        yield decoder.decode(text)
        except OSError as error:
            raise unreadable(self.path, error, "make one: laulima sim FILE --log RUN.jsonl") from error
        except (msgspec.MsgspecError, ValueError) as error:
            raise ConfigurationError(
                f"{self.path}:{number} is no line of an event log: {error}",
                "make one: laulima sim FILE --log RUN.jsonl",
            ) from error

    def _small(self, line: Entry) -> Entry:
        """The same without what is never shown: of a job's specification, all but its task and item."""
        if not isinstance(line, Committed) or not isinstance(line.record, JobAccepted):
            return line
        spec = line.record.spec
        known = self._specs.setdefault((spec.task, spec.item), JobSpec(spec.task, item=spec.item))
        return Committed(line.t, line.node, replace(line.record, spec=known))

    def _add_points(self, moment: Moment, now_ms: int) -> None:
        """The points of the charts up to now. When there are too many every second one goes."""
        next_ms = self._points[-1]["at"] + self._step_ms if self._points else 0
        while next_ms < now_ms:
            self._points.append(_point(moment, next_ms))
            next_ms += self._step_ms
            if len(self._points) > POINTS_MAX:
                self._points = self._points[::2]
                self._step_ms *= 2
                next_ms = self._points[-1]["at"] + self._step_ms

    def _upto(self, at_ms: int) -> int:
        """How many entries there are until then."""
        return bisect.bisect_right(self._times, at_ms)

    def moment(self, at_ms: int) -> Moment:
        """The state then."""
        upto = self._upto(at_ms)
        start = min(upto // CHECKPOINT, len(self._checkpoints) - 1)
        found = self._checkpoints[start].copy()
        for line in self._entries[start * CHECKPOINT : upto]:
            found.take(line)
        return found

    def frame(self, at_ms: int) -> Row:
        """What the page shows then: a whole delta (`snapshots.py`)."""
        at_ms = min(max(0, at_ms), self.end_ms)
        found = self.moment(at_ms)
        return {
            "full": True,
            "now": at_ms,
            "answered": at_ms,
            "trouble": "",
            "simulated": True,
            "strip": self._strip(found),
            "tasks": [self._task(name, task) for name, task in found.tasks.items()],
            "tasks_order": list(found.tasks),
            "hosts": [_host(name, host) for name, host in found.hosts.items()],
            "hosts_order": list(found.hosts),
            "points": self._points_until(at_ms),
            "minutes": self._minutes_until(at_ms),
            "events": self._events_until(at_ms),
        }

    def _strip(self, found: Moment) -> Row:
        assert self.header is not None
        return {
            "configuration": str(self.path),
            "clock": "simulated",
            "intake": "running",
            "since": 0,
            "pid": 0,
            "executors": [],
            "resources": [],
            "alarms": [f"fault: {name}" for name in found.faults],
        }

    def _task(self, name: str, task: TaskState) -> Row:
        assert self.header is not None
        return {
            "name": name, "state": "on", "pending": task.pending, "running": task.running,
            "limit": self.header.limits.get(name, (0, 0))[0], "done": task.done, "failed": task.failed, "skipped": 0,
            "items": 0, "last": task.last_ms, "next": None, "p50": None, "p95": None, "why": "",
        }  # fmt: skip

    def _points_until(self, at_ms: int) -> list[Row]:
        upto = bisect.bisect_right(self._points, at_ms, key=lambda point: point["at"])
        first = bisect.bisect_left(self._points, at_ms - MINUTES * MINUTE_MS, key=lambda point: point["at"])
        return self._points[first:upto]

    def _minutes_until(self, at_ms: int) -> list[list[Any]]:
        last = at_ms // MINUTE_MS
        return [
            [minute, *key, count]
            for minute in range(max(0, last - MINUTES), last + 1)
            for key, count in self._minutes.get(minute, Counter()).items()
        ]

    def _events_until(self, at_ms: int) -> list[Row]:
        """The last ones."""
        rows: list[Row] = []
        for line in reversed(self._entries[: self._upto(at_ms)]):
            row = _event(line)
            if row is not None:
                rows.append(row)
            if len(rows) >= EVENTS_MAX:
                break
        return rows[::-1]

    def story(self, job: int, until_ms: int) -> list[str]:
        """What happened with a job until then, each with its time."""
        lines = (line for line in self._entries[: self._upto(until_ms)] if _job(line) == job)
        rows = [row for line in lines if (row := _event(line)) is not None]
        return [f"{moment_text(row['at'])}  {row['text']}" for row in rows[-STORY_MAX:]]


def moment_text(at_ms: int) -> str:
    """A moment of the run: `day 2 03:12:00`."""
    seconds = at_ms // 1000
    return f"day {seconds // 86400 + 1} {seconds // 3600 % 24:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def _is_kept(line: Line) -> bool:
    if isinstance(line, Committed):
        return line.node == SCHEDULER and isinstance(line.record, JobAccepted | AttemptStarted | AttemptEnded)
    return isinstance(line, ProcessStarted | ProcessEnded | Noticed | LinkChanged | Sized | FaultChanged)


def _job(line: Line) -> int:
    if isinstance(line, Committed):
        return int(getattr(line.record, "job", 0))
    return line.job if isinstance(line, ProcessStarted | ProcessEnded) else 0


def _event(line: Line) -> Row | None:
    at = getattr(line, "t", 0) // NS_IN_MS
    row = {"at": at, "kind": "server", "job": 0, "task": "", "host": "", "text": "", "bad": False}
    if isinstance(line, Committed):
        found = event(0, 0, line.record)
        if found is None:
            return None
        return {
            **row, "kind": found.kind, "job": found.job, "task": found.task, "host": found.host, "text": found.text,
            "bad": found.bad,
        }  # fmt: skip
    if isinstance(line, Noticed):
        about, _, name = line.about.partition(" ")
        host = {"kind": "host", "host": name} if about == "host" else {}
        return {**row, **host, "text": f"{line.about}: {line.text}", "bad": line.level != "info"}
    if isinstance(line, FaultChanged):
        return {**row, "text": f"fault {'begins' if line.on else 'ends'}: {fault_name(line)}", "bad": line.on}
    return None


def _host(name: str, host: HostState) -> Row:
    return {
        "name": name, "state": host.state, "slots": host.slots, "busy": host.busy, "queued": 0, "done": host.done,
        "failed": host.failed, "since": host.since_ms, "why": host.why, "labels": [], "resources": [],
    }  # fmt: skip


def _point(moment: Moment, at_ms: int) -> Row:
    up = [host for host in moment.hosts.values() if host.state == "up"]
    return {
        "at": at_ms,
        "busy": sum(host.busy for host in moment.hosts.values()),
        "idle": sum(max(0, host.slots - host.busy) for host in up),
        "away": sum(host.slots for host in moment.hosts.values() if host.state != "up"),
        "pending": [[name, task.pending] for name, task in moment.tasks.items() if task.pending],
    }
