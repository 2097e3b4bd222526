"""What hurt: where the time of jobs and slots went, largest first, with the line of the file that could change it.

Called by `shell/report/page.py`; the reasons are those of `sim/waiting.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from msgspec import Struct

from model.errors import ConfigurationError
from shell.config.problems import KeyPath, dotted
from shell.config.reading import Document, parse_file
from shell.wording import count
from sim.metrics import Metrics
from sim.timeline import Timeline
from sim.waiting import OF_ITEMS, Reason

WAITS_SHOWN, LOST_SHOWN, FAILED_SHOWN = 5, 3, 3
LEAST_NS = 60 * 10**9
"""What took less of all jobs together is not told."""


TaskFiles = Mapping[str, tuple[str, str]]
"""A task as figures call it -> its file, and what it is called there."""


class Cause(Struct, frozen=True):
    """One line. `where`: the key of the file, with its line where it is written."""

    what: str
    where: str


def causes(timeline: Timeline, metrics: Metrics, file: str, tasks: TaskFiles = MappingProxyType({})) -> list[Cause]:
    """Waiting, then lost work, then jobs that failed. `file`: of the pipeline; `tasks`: those of other files."""
    locate = _locator(file, tasks)
    found = [
        Cause(_waited(task, reason, host, spent), locate(_keys_of_wait(task, reason, host)))
        for (task, reason, host), spent in timeline.hurt.most_common()
        if spent >= LEAST_NS and reason != Reason.TO_HOST.value
    ][:WAITS_SHOWN]
    found += [
        Cause(f"{_hours(spent)} of slots lost by {task}: jobs {outcome}", locate(_keys_of_end(task, outcome)))
        for (task, outcome), spent in timeline.lost.most_common(LOST_SHOWN) if spent >= LEAST_NS
    ]  # fmt: skip
    ends = [
        (number, task.task, outcome) for task in metrics.tasks for outcome, number in task.outcomes.items()
        if outcome != "exit 0"
    ]  # fmt: skip
    for number, task, outcome in sorted(ends, key=lambda end: (-end[0], end[1], end[2]))[:FAILED_SHOWN]:
        found.append(Cause(f"{count(number, 'job')} of {task} ended {outcome}", locate(_keys_of_end(task, outcome))))
    return found


def _waited(task: str, reason: str, host: str, spent: int) -> str:
    if Reason(reason) in OF_ITEMS:
        return f"items of {task} waited {_hours(spent)} in all for their job: {_OF_ITEMS[Reason(reason)]}"
    whole = f"jobs of {task} waited {_hours(spent)} in all"
    match Reason(reason):
        case Reason.HOST_AWAY:
            return f"{whole} for {host}, which they require and which was away"
        case Reason.NO_SLOT:
            return f"{whole} for a free slot" + (f" of {host}, which they require" if host else "")
        case Reason.HOST_CLOSED:
            return f"{whole} for {host}, which they require and which was drained, off or set aside"
        case Reason.HOST_UNKNOWN:
            return f"{whole} for {host}, which they require and which the cluster does not have"
        case Reason.AT_SCHEDULER:
            return f"{whole} at the scheduler, behind others of their kind"
        case Reason.HELD:
            return f"{whole} because a person held them"
        case Reason.CONTROLLER_AWAY:
            return f"{whole} while the controller was away"
        case Reason.RETRY:
            return f"{whole} to be tried again"
        case _:
            return f"{whole}: {reason}"


_OF_ITEMS = {
    Reason.TASK_LIMIT: "the task had as many jobs as its limits allow",
    Reason.TASK_HELD: "the task was held, or had stopped itself",
    Reason.TASK_CLOSED: "the task made none (its window, a stopped intake, a slow script)",
}


def _hours(spent_ns: int) -> str:
    """Of many jobs together: always hours, so that the lines compare."""
    return f"{spent_ns / 3600e9:.3g} h"


def _keys_of_wait(task: str, reason: str, host: str) -> KeyPath:
    match Reason(reason):
        case Reason.HOST_AWAY:
            return ("tasks", task, "host", "when_down")
        case Reason.HOST_UNKNOWN:
            return ("tasks", task, "host", "when_unknown")
        case Reason.HOST_CLOSED:
            return ("tasks", task, "host")
        case Reason.NO_SLOT:
            return ("tasks", task, "host") if host else ("cluster", "hosts")
        case Reason.RETRY:
            return ("tasks", task, "retry")
        case Reason.AT_SCHEDULER:
            return ("cluster", "hosts")
        case Reason.TASK_LIMIT:
            return ("tasks", task, "limits")
        case Reason.TASK_CLOSED:
            return ("tasks", task, "windows")
        case Reason.HELD | Reason.TASK_HELD:
            return ("tasks", task)
        case _:
            return ("cluster",)


def _keys_of_end(task: str, outcome: str) -> KeyPath:
    keys: dict[str, tuple[str, ...]] = {
        "TIMED_OUT": ("periods", "timeout"),
        "PENDING_TIMEOUT": ("periods", "pending"),
        "HOST_DOWN": ("host", "when_down"),
        "HOST_UNKNOWN": ("host", "when_unknown"),
        "COMMAND_NOT_FOUND": ("command",),
        "FILES_MISSING": ("block",),
        "LOST": ("retry",),
    }
    return ("tasks", task, *keys.get(outcome, ("retry",)))


def _document(file: str) -> Document | None:
    try:
        return parse_file(Path(file))
    except ConfigurationError:
        return None  # a job log, or a script: there are no keys to name


def _locator(central: str, tasks: TaskFiles) -> Callable[[KeyPath], str]:
    """How a key is named: `tasks.warp.host pipeline.yaml:7`, or where it would stand, or what all have instead."""
    documents = {file: _document(file) for file in dict.fromkeys((central, *(file for file, _ in tasks.values())))}

    def locate(path: KeyPath) -> str:
        file = central
        if path[0] == "tasks" and path[1] in tasks:
            file, name = tasks[str(path[1])]
            path = ("tasks", name, *path[2:])
        document = documents[file]
        if document is None:
            return ""
        usual = ("defaults", *path[2:]) if path[0] == "tasks" else path
        for keys in (path, usual):
            spot = document.position(keys)
            if spot is not None:
                return f"{dotted(keys)}   {Path(file).name}:{spot.line}"
        return f"{dotted(path)}   {Path(file).name}:{document.nearest(path).line} (not set there)"

    return locate
