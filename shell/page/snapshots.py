"""What the page shows, as small rows of plain JSON, and what changed between two looks.

The rows are made of `model/views.py` and of the history; times are wall milliseconds, for JavaScript counts exactly to
2^53. `Picture` keeps what was shown last and gives each look's *delta*: rows that are new or different, names that are
gone, points and events that are new. A delta with `full` begins anew. Pure: knows no clock, asks nobody; called by
`watching.py` and `playback.py`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from live.lately import Event, Minute, RunTime
from model.views import HostRow, Status, SuperiorRow, TaskRow

Row = dict[str, Any]

MILLISECOND = 1_000_000
MINUTE_MS = 60_000
MINUTES = 60
"""How far back the charts and sparklines go."""
POINT_MS = 5_000
"""Points of a chart are so far apart; the newest one moves until then."""
EVENTS_MAX = 300
"""Events that are kept for whoever opens the page later: so many of jobs that go well, and as many of everything else,
which is rarer and matters more."""
PENDING_TASKS_MAX = 20
"""Tasks that a point of the chart of pending jobs tells apart, the largest ones; the rest is one."""
SAME_MS = 3_000
"""A beginning is told by an age, so it seems to move a little from look to look; by less it has not moved."""
OTHERS = "(others)"


def task_row(row: TaskRow, run: RunTime | None) -> Row:
    return {
        "name": row.name,
        "state": row.state,
        "pending": row.pending,
        "running": row.running,
        "limit": row.limit,
        "done": row.done,
        "failed": row.failed,
        "skipped": row.skipped,
        "items": row.items,
        "last": None if row.last_at is None else row.last_at // MILLISECOND,
        "next": None if row.next_at is None else row.next_at // MILLISECOND,
        "p50": None if run is None else run.p50_ns // MILLISECOND,
        "p95": None if run is None else run.p95_ns // MILLISECOND,
        "why": row.why,
    }


def host_row(row: HostRow, now_ms: int) -> Row:
    return {
        "name": row.name,
        "state": row.state.lower(),
        "slots": row.slots,
        "busy": row.busy,
        "queued": row.queued,
        "done": row.done,
        "failed": row.failed,
        "since": now_ms - row.since_ns // MILLISECOND,
        "why": row.why,
        "labels": list(row.labels),
        "resources": [[each.name, each.used, each.total] for each in row.resources],
    }


def strip(status: Status, now_ms: int) -> Row:
    """The top line."""
    return {
        "configuration": status.configuration,
        "clock": status.clock,
        "intake": {"resume": "running", "": "running"}.get(status.intake, status.intake),
        "since": now_ms - status.running_for_ns // MILLISECOND,
        "pid": status.pid,
        "executors": [[each.name, each.state.lower(), each.pending, each.running] for each in status.executors],
        "resources": [[each.name, each.used, each.total] for each in status.resources],
        "alarms": list(status.alarms),
        "schedulers": [scheduler_row(row) for row in status.schedulers],
    }


def scheduler_row(row: SuperiorRow) -> Row:
    return {
        "name": row.name,
        "state": "connected" if row.listens else "away",
        "share": row.share,
        "waiting": row.waiting,
        "waiting_most": row.waiting_most,
        "at_hosts": row.at_hosts,
        "at_hosts_most": row.at_hosts_most,
    }


def point(status: Status, now_ms: int) -> Row:
    """One moment of the charts."""
    up = [host for host in status.hosts if host.state.lower() == "up"]
    busy = sum(host.busy for host in status.hosts)
    waiting = [(task.pending, task.name) for task in status.tasks]
    waiting += [(each.waiting, each.name) for each in status.schedulers]  # of a controller, which has no tasks
    pending = sorted((each for each in waiting if each[0]), reverse=True)
    told = [[name, number] for number, name in pending[:PENDING_TASKS_MAX]]
    rest = sum(number for number, _ in pending[PENDING_TASKS_MAX:])
    return {
        "at": now_ms // POINT_MS * POINT_MS,
        "busy": busy,
        "idle": max(0, sum(host.slots - host.busy for host in up)),
        "away": sum(host.slots for host in status.hosts if host.state.lower() != "up"),
        "pending": [*told, [OTHERS, rest]] if rest else told,
    }


def event_row(event: Event) -> Row:
    return {
        "at": event.wall_ns // MILLISECOND,
        "kind": event.kind,
        "job": event.job,
        "task": event.task,
        "host": event.host,
        "text": event.text,
        "bad": event.bad,
    }


class Picture:
    """What a page that opens now would show. Each `put_…` takes news; `delta` gives what is new since the last one."""

    def __init__(self) -> None:
        self._strip: Row = {}
        self._tasks: dict[str, Row] = {}
        self._hosts: dict[str, Row] = {}
        self._points: deque[Row] = deque(maxlen=MINUTES * MINUTE_MS // POINT_MS)
        self._minutes: dict[tuple[int, str, str], int] = {}
        self._usual: deque[Row] = deque(maxlen=EVENTS_MAX)
        self._unusual: deque[Row] = deque(maxlen=EVENTS_MAX)
        self._news: Row = {}

    def put_status(self, status: Status, run_times: Mapping[str, RunTime], now_ms: int) -> None:
        """What the server answered at `now_ms`."""
        top = strip(status, now_ms)
        _keep_beginning(top, self._strip)
        if top != self._strip:
            self._strip = self._news["strip"] = top
        tasks = [task_row(row, run_times.get(row.name)) for row in status.tasks]
        hosts = [host_row(row, now_ms) for row in status.hosts]
        for row in hosts:
            _keep_beginning(row, self._hosts.get(row["name"], {}))
        self._see_changes(tasks, hosts, now_ms)
        self._tasks = self._put_rows("tasks", self._tasks, tasks)
        self._hosts = self._put_rows("hosts", self._hosts, hosts)
        newest = point(status, now_ms)
        if self._points and self._points[-1]["at"] == newest["at"]:
            self._points.pop()
        self._points.append(newest)
        self._news["points"] = [newest]

    def _put_rows(self, name: str, before: dict[str, Row], rows: list[Row]) -> dict[str, Row]:
        now = {row["name"]: row for row in rows}
        changed = [row for row in rows if before.get(row["name"]) != row]
        if changed:
            self._news[name] = changed
        if list(now) != list(before):
            self._news[f"{name}_order"] = list(now)
        return now

    def _see_changes(self, tasks: list[Row], hosts: list[Row], now_ms: int) -> None:
        """States that changed are events too: the journal has orders and jobs, not what the network did."""
        for kind, rows, before in (("task", tasks, self._tasks), ("host", hosts, self._hosts)):
            for row in rows:
                old = before.get(row["name"])
                if old is None or old["state"] == row["state"]:
                    continue
                reason = row["why"].removeprefix(f"{row['state']}: ")
                why = f": {reason}" if reason else ""
                good = row["state"] in ("up", "on", "connecting")
                text = f"{kind} {row['name']} is {row['state']}{why}"
                self.put_events([Event(0, now_ms * MILLISECOND, kind, 0, "", "", text, not good)], kind, row["name"])

    def put_minutes(self, counts: Iterable[Minute], now_ms: int) -> None:
        """Ends of jobs by minute, task and outcome."""
        changed = []
        for each in counts:
            key = (each.minute, each.task, each.outcome)
            if self._minutes.get(key) != each.count:
                self._minutes[key] = each.count
                changed.append([*key, each.count])
        if changed:
            self._news["minutes"] = changed
        oldest = now_ms // MINUTE_MS - MINUTES
        for key in [key for key in self._minutes if key[0] < oldest]:
            del self._minutes[key]

    def put_events(self, events: Iterable[Event], kind: str = "", name: str = "") -> None:
        """`kind` and `name`: the task or host that all of them are about."""
        rows = [{**event_row(event), **({kind: name} if kind else {})} for event in events]
        if rows:
            for row in rows:
                (self._usual if is_usual(row) else self._unusual).append(row)
            self._news["events"] = [*self._news.get("events", []), *rows]

    def delta(self) -> Row:
        """What is new since the last call."""
        news, self._news = self._news, {}
        return news

    def full(self) -> Row:
        """Everything."""
        return {
            "full": True,
            "strip": self._strip,
            "tasks": list(self._tasks.values()),
            "tasks_order": list(self._tasks),
            "hosts": list(self._hosts.values()),
            "hosts_order": list(self._hosts),
            "points": list(self._points),
            "minutes": [[*key, count] for key, count in self._minutes.items()],
            "events": sorted((*self._usual, *self._unusual), key=lambda row: row["at"]),
        }


def is_usual(row: Row) -> bool:
    """Whether an event's row is one of the many."""
    return row["kind"] == "job" and not row["bad"]


def _keep_beginning(row: Row, before: Row) -> None:
    """A beginning that did not really move stays what it was, so that the row is no news."""
    old = before.get("since")
    if old is not None and before.get("state") == row.get("state") and abs(row["since"] - old) < SAME_MS:
        row["since"] = old
