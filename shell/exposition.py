"""A server's status as metrics: families of samples, and their text in the Prometheus exposition format 0.0.4.

`laulima metrics` prints it (`shell/commands/reads.py`), and the page serves it at `/metrics` (`shell/page/app.py`). The
names are a promise to whoever has built alerts and pictures on them: one may be added, none changes its meaning. Units
are in the names (`_seconds`, `_bytes`; nothing: pieces).

Counters end with `_total`. Those of tasks' jobs come from the journal and go on over restarts; those of hosts, and the
skipped starts, begin at 0 with each life of the server, which `rate()` and `increase()` allow for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Literal

from msgspec import Struct

from model.host import HostState
from model.job import LOCAL, SECOND
from model.resources import CPU, CPUS, MEMORY
from model.views import HostRow, ResourceRow, Status, SuperiorRow, TaskRow
from shell.wording import clean

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Of the text, for HTTP."""
TASK_STATES = ("on", "held", "faulted", "window closed", "inactive", "deleted")
"""The words for `TaskRow.state`."""

Labels = dict[str, str]


class Sample(Struct, frozen=True):
    labels: Labels
    value: float


class Family(Struct, frozen=True):
    """All samples of one name."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    samples: tuple[Sample, ...]


def families(shown: Status | None) -> list[Family]:
    """Every family that has a sample. None: the server is away, which is all that can be said."""
    up = [_gauge("laulima_up", "Whether the server answers.", [({}, shown is not None)])]
    if shown is None:
        return up
    found = [*up, *_server(shown), *_tasks(shown.tasks), *_hosts(shown.hosts), *_shared(shown)]
    return [family for family in found if family.samples]


def text(found: Iterable[Family]) -> str:
    """The families in the exposition format."""
    return "".join(f"{line}\n" for family in found for line in _lines(family))


def _lines(family: Family) -> Iterator[str]:
    yield f"# HELP {family.name} {family.help}"
    yield f"# TYPE {family.name} {family.kind}"
    for sample in family.samples:
        named = ",".join(f'{name}="{_escaped(value)}"' for name, value in sample.labels.items())
        value = int(sample.value) if sample.value == int(sample.value) else sample.value
        yield f"{family.name}{f'{{{named}}}' if named else ''} {value}"


def _escaped(value: str) -> str:
    """A label's value. What a terminal would obey is shown as an escape first: the text is for people, too."""
    return clean(value).replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


Given = Iterable[tuple[Labels, float]]


def _gauge(name: str, about: str, samples: Given) -> Family:
    return Family(name, "gauge", about, tuple(Sample(labels, float(value)) for labels, value in samples))


def _counter(name: str, about: str, samples: Given) -> Family:
    return Family(name, "counter", about, tuple(Sample(labels, float(value)) for labels, value in samples))


def _server(shown: Status) -> list[Family]:
    executors = shown.executors
    return [
        _gauge("laulima_info", "What runs; always 1.", [({"configuration": shown.configuration}, 1)]),
        _gauge("laulima_uptime_seconds", "How long the server runs.", [({}, shown.running_for_ns / SECOND)]),
        _gauge(
            "laulima_intake_open",
            "Whether new jobs are made: 0 while somebody has stopped or halted the server, or its disk is full.",
            [({}, shown.intake in ("running", "resume"))],
        ),
        _gauge("laulima_alarms", "Alarms of laulima status.", [({}, len(shown.alarms))]),
        *_alarms(shown),
        _gauge(
            "laulima_executor_up",
            "Whether the scheduler hears this executor.",
            [({"executor": row.name}, row.state.lower() == "up") for row in executors],
        ),
        _gauge(
            "laulima_executor_jobs",
            "Jobs that are not final, by who has them.",
            [
                ({"executor": row.name, "state": state}, number)
                for row in executors
                for state, number in (("pending", row.pending), ("running", row.running))
            ],
        ),
    ]


def _alarms(shown: Status) -> list[Family]:
    """What is wrong, where alarms are watched, and whether whoever is to be told can be."""
    rows, notifiers = shown.alarm_rows, shown.notifiers
    return [
        _gauge(
            "laulima_alarm", "This is wrong, by what notify and deadlines watch; always 1.",
            [({"kind": row.kind, "subject": row.subject}, 1) for row in rows],
        ),
        _gauge(
            "laulima_alarm_since_timestamp_seconds", "Since when it is.",
            [({"kind": row.kind, "subject": row.subject}, row.since_at / SECOND) for row in rows],
        ),
        _counter(
            "laulima_notifications_total", "Messages that the notifier took, or did not, in this life of the server.",
            [
                ({"notifier": row.name, "result": result}, number)
                for row in notifiers
                for result, number in (("sent", row.sent), ("failed", row.failed))
            ],
        ),
        _gauge(
            "laulima_notifier_up", "Whether the notifier took the last message.",
            [({"notifier": row.name}, not row.error) for row in notifiers],
        ),
    ]  # fmt: skip


def _tasks(rows: tuple[TaskRow, ...]) -> list[Family]:
    states = Counter(row.state for row in rows)
    return [
        _gauge(
            "laulima_tasks",
            "Tasks, by state.",
            [({"state": state}, states[state]) for state in dict.fromkeys((*TASK_STATES, *states))] if rows else [],
        ),
        _gauge(
            "laulima_task_state", "The state that the task is in; always 1.",
            [({"task": row.name, "state": row.state}, 1) for row in rows],
        ),
        _gauge(
            "laulima_task_jobs",
            "Jobs of the task that are not final; pending: made and not running.",
            [
                ({"task": row.name, "state": state}, number)
                for row in rows
                for state, number in (("pending", row.pending), ("running", row.running))
            ],
        ),
        _gauge(
            "laulima_task_jobs_limit", "Most jobs of the task that may be in flight; absent where there is no limit.",
            [({"task": row.name}, row.limit) for row in rows if row.limit],
        ),
        _gauge(
            "laulima_task_items", "Items that wait to be given out.", [({"task": row.name}, row.items) for row in rows]
        ),
        _counter(
            "laulima_task_jobs_ended_total",
            "Final jobs of the task, over all lives of the server.",
            [
                ({"task": row.name, "result": result}, number)
                for row in rows
                for result, number in (("done", row.done), ("failed", row.failed))
            ],
        ),
        _counter(
            "laulima_task_starts_skipped_total", "Due times at which the task made no job.",
            [({"task": row.name}, row.skipped) for row in rows],
        ),
        _gauge(
            "laulima_task_last_job_timestamp_seconds", "When the last job of the task was made.",
            [({"task": row.name}, row.last_at / SECOND) for row in rows if row.last_at is not None],
        ),
        _gauge(
            "laulima_task_next_timestamp_seconds", "When the task is asked again by itself.",
            [({"task": row.name}, row.next_at / SECOND) for row in rows if row.next_at is not None],
        ),
    ]  # fmt: skip


def _hosts(rows: tuple[HostRow, ...]) -> list[Family]:
    states = Counter(row.state for row in rows)
    known = [state.value for state in HostState]
    counted = [row for row in rows if row.name != LOCAL]  # nobody counts the ends on the server's own machine
    return [
        _gauge(
            "laulima_hosts",
            "Hosts, by state.",
            [({"state": state}, states[state]) for state in dict.fromkeys((*known, *states))] if rows else [],
        ),
        _gauge(
            "laulima_host_up", "Whether the host gets work.",
            [({"host": row.name}, row.state == HostState.UP.value) for row in rows],
        ),
        _gauge(
            "laulima_host_state", "The state that the host is in; always 1.",
            [({"host": row.name, "state": row.state}, 1) for row in rows],
        ),
        _gauge("laulima_host_slots", "Slots of the host.", [({"host": row.name}, row.slots) for row in rows]),
        _gauge("laulima_host_slots_busy", "Slots in use.", [({"host": row.name}, row.busy) for row in rows]),
        _gauge(
            "laulima_host_jobs_queued", "Jobs that wait for just this host.",
            [({"host": row.name}, row.queued) for row in rows],
        ),
        _counter(
            "laulima_host_jobs_ended_total",
            "Attempts that ended on the host, in this life of its controller.",
            [
                ({"host": row.name, "result": result}, number)
                for row in counted
                for result, number in (("done", row.done), ("failed", row.failed))
            ],
        ),
        *_resources("laulima_host", "of the host", [({"host": row.name}, row.resources) for row in rows]),
    ]  # fmt: skip


def _resources(start: str, whose: str, rows: Iterable[tuple[Labels, tuple[ResourceRow, ...]]]) -> Iterator[Family]:
    """Declared resources in their units: cpus, bytes of memory, and pieces of everything else."""
    found = [(labels, each) for labels, resources in rows for each in resources]
    for name, part, unit in ((CPUS, "cpus", CPU), (MEMORY, "memory_bytes", 1), ("", "resource", 1)):
        chosen = [
            ({**labels, **({} if name else {"resource": each.name})}, each)
            for labels, each in found
            if (each.name == name if name else each.name not in (CPUS, MEMORY))
        ]
        what = name or "Pieces of a resource"
        about = f"{what.capitalize()} {whose}"
        yield _gauge(f"{start}_{part}", f"{about}, as declared.", [(at, each.total / unit) for at, each in chosen])
        yield _gauge(f"{start}_{part}_used", f"{about}, given out.", [(at, each.used / unit) for at, each in chosen])


def _shared(shown: Status) -> Iterator[Family]:
    """What the whole cluster shares, and who shares it."""
    yield from _resources("laulima_shared", "of all hosts together", [({}, shown.resources)])
    rows: tuple[SuperiorRow, ...] = shown.schedulers
    yield _gauge(
        "laulima_scheduler_connected", "Whether this scheduler of the controller is there.",
        [({"scheduler": row.name}, row.listens) for row in rows],
    )  # fmt: skip
    yield _gauge(
        "laulima_scheduler_jobs",
        "Jobs of the scheduler at this controller.",
        [
            ({"scheduler": row.name, "state": state}, number)
            for row in rows
            for state, number in (("waiting", row.waiting), ("at_hosts", row.at_hosts))
        ],
    )
