"""What came of one scenario, read from the records of either driver, and how two of them differ.

Both drivers keep the same records: the simulation in its event log, the server in its journal. So the code here that
reads them knows neither clock nor host. What cannot be the same twice (numbers of jobs, instants, which of two free
hosts, attempts that came back before they ran) is left out, or compared as the promise that it is: starts of a task by
windows of its own grid, slots by their limit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b

from msgspec import Struct, field

from model.job import SECOND, JobId, Report
from model.records import AttemptEnded, AttemptStarted, JobAccepted, Record

WINDOW_NS = 2 * SECOND
"""In how long a stretch the starts of a task are counted."""
SPAWNS_MAX = 1
"""By how many starts a window of the one may differ from that of the other."""
WROTE = ("EXITED", "CRASHED")
"""After these ends all that a job had to print is printed; how far the others got is a matter of moments."""


class Attempt(Struct, frozen=True):
    """How one attempt ended. `output`: BLAKE2 of what it wrote; empty: nobody knows."""

    outcome: str
    exit_code: int | None
    signal: int | None
    started: bool
    stdout_bytes: int
    stderr_bytes: int
    output: str = ""


class Life(Struct):
    """One job: its attempts that ended, and whether the last one was final. `wanted`: the host that it was to have."""

    wanted: str = ""
    ended: list[Attempt] = field(default_factory=list)
    final: bool = False


class Night(Struct):
    """Everything that is compared."""

    jobs: dict[str, Life] = field(default_factory=dict)
    """by task and number there, or item; a handler's command by the job whose end it follows"""
    due: dict[str, list[int]] = field(default_factory=dict)
    """by task: when the starts were due, in ns since the first one; what was made up for, where it was missed"""
    most: dict[str, int] = field(default_factory=dict)
    """by host: the most slots that were in use at once"""
    begun: frozenset[tuple[str, int]] = frozenset()
    """(job, attempt) of what was started"""
    over: frozenset[tuple[str, int]] = frozenset()
    """(job, attempt) of what ended"""


Output = Callable[[str, int, AttemptEnded], str]
"""(task, which of its jobs, from 1; the end of an attempt) -> BLAKE2 of what the attempt wrote; empty: unknown."""


def digest_of(text: bytes) -> str:
    return blake2b(text, digest_size=8).hexdigest()


def read(records: Iterable[tuple[str, Record]], periods: dict[str, int], output: Output) -> Night:
    """The night that the scheduler's records, in order, tell. `periods`: how often each task
    starts whose starts depend on the clock alone, ns."""
    night = Night()
    names: dict[JobId, str] = {}
    made: Counter[str] = Counter()
    specs: dict[JobId, tuple[str, int, int]] = {}
    first_due: dict[str, int] = {}
    together: Counter[tuple[str, int]] = Counter()
    running: dict[tuple[JobId, int], str] = {}
    used: Counter[str] = Counter()
    begun: set[tuple[str, int]] = set()
    over: set[tuple[str, int]] = set()
    for node, record in records:
        if node != "scheduler":
            continue
        if isinstance(record, JobAccepted):
            name = names[record.job] = _name(record, names, made)
            spec = record.spec
            specs[record.job] = (spec.task, 0 if record.plain else made[spec.task], spec.slots)
            night.jobs[name] = Life((spec.host.name or "") if spec.host.required else "")
            if record.due_ns and not record.plain and spec.task in periods:
                since = record.due_ns - first_due.setdefault(spec.task, record.due_ns)
                together[spec.task, since] += 1  # starts that are made up for say the due time of the first of them
                missed_ns = (together[spec.task, since] - 1) * periods[spec.task]
                night.due.setdefault(spec.task, []).append(since + missed_ns)
        elif isinstance(record, AttemptStarted):
            begun.add((names[record.job], record.attempt))
            running[record.job, record.attempt] = record.host
            used[record.host] += specs[record.job][2]
            night.most[record.host] = max(night.most.get(record.host, 0), used[record.host])
        elif isinstance(record, AttemptEnded):
            name = names[record.job]
            over.add((name, record.attempt))
            host = running.pop((record.job, record.attempt), None)
            if host is not None:
                used[host] -= specs[record.job][2]
            if record.report.again and not (record.report.started or record.final):
                continue  # it came back before anything ran: a matter of what was under way when somebody died
            life = night.jobs[name]
            task, number, _ = specs[record.job]
            life.ended.append(_attempt(record.report, output(task, number, record) if number else ""))
            life.final = record.final
    night.begun, night.over = frozenset(begun), frozenset(over)
    return night


def _name(record: JobAccepted, names: dict[JobId, str], made: Counter[str]) -> str:
    if record.plain:
        return f"after {names[record.parent]}"
    task, item = record.spec.task, record.spec.item
    made[task] += 1
    return f"{task}/{made[task] if item is None else item}"


def _attempt(report: Report, output: str) -> Attempt:
    return Attempt(
        report.outcome.value,
        report.exit_code,
        report.signal,
        report.started,
        report.stdout_bytes,
        report.stderr_bytes,
        output,
    )


# comparing


def differences(simulated: Night, live: Night, slots: dict[str, int]) -> list[str]:
    """What is not the same, in sentences; and hosts with more in use than they have."""
    return [*_jobs(simulated, live), *_starts(simulated, live), *_slots(simulated, live, slots)]


def _jobs(simulated: Night, live: Night) -> Iterator[str]:
    for name in dict.fromkeys((*simulated.jobs, *live.jobs)):
        one, other = simulated.jobs.get(name), live.jobs.get(name)
        if one is None or other is None:
            yield f"{name} was made {'live' if one is None else 'in simulation'} only"
        elif not (one.final and other.final):
            yield f"{name} is not final {'in simulation' if other.final else 'live'}"
        elif name.startswith("after "):
            continue  # what a handler's command does is said by no scenario
        elif one.wanted != other.wanted:
            yield f"{name} was to run on {one.wanted or 'any host'} in simulation, on {other.wanted or 'any'} live"
        elif len(one.ended) != len(other.ended):
            yield f"{name} had the attempts {_told(one)} in simulation, {_told(other)} live"
        else:
            for number, (first, second) in enumerate(zip(one.ended, other.ended, strict=True), 1):
                yield from _ends(f"attempt {number} of {name}", first, second)


def _ends(what: str, one: Attempt, other: Attempt) -> Iterator[str]:
    for part in Attempt.__struct_fields__:
        first, second = getattr(one, part), getattr(other, part)
        if part == "output" and not (first and second):
            continue
        if part.endswith("_bytes") and one.outcome not in WROTE:
            continue
        if first != second:
            yield f"{what}: {part} is {first} in simulation, {second} live"


def _told(life: Life) -> str:
    return ", ".join(attempt.outcome for attempt in life.ended) or "none"


def _starts(simulated: Night, live: Night) -> Iterator[str]:
    for task in dict.fromkeys((*simulated.due, *live.due)):
        one, other = (Counter(due // WINDOW_NS for due in night.due.get(task, ())) for night in (simulated, live))
        for window in sorted({*one, *other}):
            if abs(one[window] - other[window]) > SPAWNS_MAX:
                from_s = window * WINDOW_NS // SECOND
                yield f"{task} was started {one[window]} times from {from_s} s on in simulation, {other[window]} live"


def _slots(simulated: Night, live: Night, slots: dict[str, int]) -> Iterator[str]:
    for where, night in (("in simulation", simulated), ("live", live)):
        for host, most in night.most.items():
            if most > slots.get(host, 0):
                yield f"{most} slots of {host} were in use {where}, it has {slots.get(host, 0)}"
