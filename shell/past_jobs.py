"""The past of a server as a world to be simulated: its jobs, each at its time and with the run time that was measured.

How a job comes again is decided for each task by what its definition is in both configurations that are compared:

    ARRIVES    its item arrives when it was found (or made) then; a job of a task without a source is an item, too. So
               limits, windows, hosts and slots of the task decide anew when it is made and where it runs
    FOLLOWS    its item comes when the task before it has finished it: closed loop
    POLLED     the task polls by itself from the beginning: its period or its windows are what was changed, or it is
               about the future; its n-th job takes as long as the n-th did
    SUBMITTED  as it was, at its time (open loop): jobs of people, and of tasks that are in no configuration

What an attempt does is what it did, where that is known. The rest is drawn, by task and item, from what `shell/fitting`
finds in the history: so it is the same under both configurations. Hosts are away when they were, and are tried again
when they were: one that lost what ran there was without power, another one was cut off. Called by `shell/whatif.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import Enum

from msgspec import Struct, field
from msgspec.structs import replace

from live.host_outages import Outage
from live.past import Past, PastJob
from model.behaviour import declared_job
from model.configuration import Configuration, LanguageSettings
from model.events import HostVerb, OrderHost
from model.job import LOCAL, SECOND, HostWish, JobSpec, Outcome
from model.records import HostChanged
from model.task import DoneSource, FilesSource, Limits, LinesSource, TaskDefinition
from shell.fitting import fit_jobs
from sim.distributions import Distribution
from sim.faults import CONTROLLER
from sim.job_log import LEAD_NS
from sim.keyed import Draws
from sim.reshaping import DAY_NS, Factors, Reshape, again, copy_name, shaken
from sim.retelling import JobLife
from sim.scenario import Arrivals, Fault, Items, Kind, Network, Ordered, Scenario, TaskWeather
from sim.weather import Fate
from sim.workload import Submission

TAIL_NS = 24 * 3600 * SECOND
"""How long after the last arrival the simulation may go on, for what is not over then."""
GRID_NS = SECOND // 1000
"""How often a task looks for items that arrive at the instant at which they were found."""
LATENCY_MAX_NS = SECOND // 100
SHOWN_NS = 60 * SECOND
SETTLED_NS = SECOND // 10
"""What runs now is with its host after so long; then hosts are off, drained or away, and later others may begin."""
SHORTEST_NS = SECOND // 1000
"""Of the time for which a host was away: a fault of no time would last to the end."""
CAREFUL_NS = 1 << 61
"""Items of tasks with windows stay: nobody looks while those are closed."""


class Way(Enum):
    """How a task's jobs come again; see the head of this file."""

    ARRIVES = "arrives"
    FOLLOWS = "follows"
    POLLED = "polled"
    SUBMITTED = "submitted"


class Retold(Struct):
    """A past, ready to be simulated under either configuration. Times of `arrivals`, `lives` and `arrived_ns` are ns
    since the beginning of that past; the simulation begins `LEAD_NS` earlier."""

    begin_at: int
    """wall time"""
    span_ns: int
    ways: dict[str, Way]
    weather: dict[str, TaskWeather]
    arrivals: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    submissions: list[tuple[int, JobSpec]] = field(default_factory=list)
    fates: dict[str, tuple[Fate, ...]] = field(default_factory=dict)
    lives: dict[str, JobLife] = field(default_factory=dict)
    """what really became of them, by name; without those that were there at the beginning"""
    arrived_ns: dict[str, int] = field(default_factory=dict)
    earlier: set[str] = field(default_factory=set)
    """names of the jobs that were there at the beginning"""
    measured: int = 0
    """jobs whose run time is known"""
    drawn: int = 0
    censored: int = 0
    """attempts that were ended by their timeout: how long they would have run is not known"""
    unseen: int = 0
    """items of which it is known when their jobs were made, and not when they themselves came"""
    orders: list[Ordered] = field(default_factory=list)
    """what people did to hosts"""
    faults: list[Fault] = field(default_factory=list)
    """when hosts were away"""
    retries: list[Ordered] = field(default_factory=list)
    """when they were found again"""
    away: list[tuple[str, int]] = field(default_factory=list)
    """hosts that are away now, and for how long they stay so, which nobody knows"""
    held: dict[str, str] = field(default_factory=dict)
    """tasks that start nothing now, and why"""
    held_jobs: int = 0
    """that wait for a person now, and are left out"""
    latency_ns: int = 0
    """one way to a host, so that a start takes as long as the quickest ones did"""
    made: dict[str, int] = field(default_factory=dict)
    """jobs that count against the `total` of tasks from the beginning on"""


def ways_of(base: Configuration, changed: Configuration, *, future: bool) -> dict[str, Way]:
    """By task, for all tasks that are in both."""
    others = {task.name: task for task in changed.tasks}
    return {task.name: _way(task, others[task.name], future) for task in base.tasks if task.name in others}


def _way(one: TaskDefinition, other: TaskDefinition, future: bool) -> Way:
    if isinstance(one.source, DoneSource) or isinstance(other.source, DoneSource):
        return Way.FOLLOWS if one.source == other.source else Way.SUBMITTED
    if (one.source is None) != (other.source is None):
        return Way.SUBMITTED
    same = one.periods.exec_ns == other.periods.exec_ns and one.windows == other.windows
    if one.source is None and (future or not same):
        return Way.POLLED
    return Way.ARRIVES


def retell(past: Past, base: Configuration, changed: Configuration, begin_at: int, end_at: int) -> Retold:
    """What was between the two wall times, once more."""
    fits = fit_jobs(past.jobs)
    ways = ways_of(base, changed, future=False)
    made = Retold(begin_at, end_at - begin_at, ways, {one.task: one.weather() for one in fits})
    well = {
        (job.spec.task, job.spec.item) for job in past.jobs if (row := job.final) is not None and row.exit_code == 0
    }
    upstream = {task.name: task.source.task for task in base.tasks if isinstance(task.source, DoneSource)}
    polled: dict[str, int] = {}
    seen: set[str] = set()
    for job in past.jobs:
        if job.plain:
            continue  # the handlers of the replay make their own
        task, item = job.spec.task, job.spec.item
        way = Way.SUBMITTED if job.parent else ways.get(task, Way.SUBMITTED)
        if way is Way.FOLLOWS and (upstream.get(task, ""), item) not in well:
            way = Way.SUBMITTED
        if way is Way.POLLED:
            polled[task] = polled.get(task, 0) + 1
            name = f"{task}/{polled[task]}"
        else:
            item = f"job {job.number}" if item is None or way is Way.SUBMITTED else item
            item = f"{item} again {job.number}" if f"{task}/{item}" in seen else item
            name = f"{task}/{item}"
        seen.add(name)
        found_at = past.found_at.get((task, job.spec.item or ""), job.accepted_at)
        at_ns = max(0, min(found_at, job.accepted_at) - begin_at)
        if way is Way.ARRIVES:
            made.unseen += job.spec.item is not None and (task, job.spec.item) not in past.found_at
            made.arrivals.setdefault(task, []).append((at_ns, str(item)))
            made.arrived_ns[name] = at_ns
        elif way is Way.SUBMITTED:
            spec = replace(job.spec, item=item)
            made.submissions.append((max(0, job.accepted_at - begin_at), spec))
        _note(made, job, name, at_ns)
    made.orders = _host_orders(past, begin_at, end_at)
    for outage in past.outages:
        fault = _fault(outage, base, begin_at, end_at)
        if fault is not None:
            made.faults.append(fault)
            if fault.for_ns:  # it was tried again then, not when its turn would have come
                retry = OrderHost(0, HostVerb.RETRY, outage.host)
                made.retries.append(Ordered(fault.at_ns + fault.for_ns + SHORTEST_NS, host=retry))
    made.latency_ns = _latency(past)
    return made


def _fault(outage: Outage, base: Configuration, begin_at: int, end_at: int) -> Fault | None:
    """The same in the simulation; None: it was before or after it. What did not answer went that much earlier. It was
    cut off, unless what ran there was lost sooner than its lease: then it had no power."""
    times = base.cluster.times
    went_at = outage.begin_at - (times.silent_ns if outage.silent else 0)
    if not outage.noticed:
        went_at -= times.lease_ns + times.margin_ns
    if went_at >= end_at or (outage.end_at is not None and outage.end_at <= begin_at):
        return None
    at_ns = max(0, went_at - begin_at)
    for_ns = 0 if outage.end_at is None else max(SHORTEST_NS, outage.end_at - begin_at - at_ns)
    if outage.lost and not outage.silent:
        return Fault(Kind.REBOOT if for_ns else Kind.DOWN, (outage.host,), at_ns + LEAD_NS, for_ns)
    if outage.lost and 0 < for_ns <= times.lease_ns:
        return Fault(Kind.DOWN, (outage.host,), at_ns + LEAD_NS, for_ns)
    return Fault(Kind.LOST, (CONTROLLER, outage.host), at_ns + LEAD_NS, for_ns)


def _latency(past: Past) -> int:
    """Half of the quickest start: from the making of a job until its host had said that it runs are two ways. Others
    may have waited for a slot."""
    starts = [(job.accepted_at, job.attempts[0].started_at) for job in past.jobs if job.attempts]
    waits = (started - accepted for accepted, started in starts if started is not None and started >= accepted)
    return min(LATENCY_MAX_NS, max(Network().latency_ns, min(waits, default=0) // 2))


def _note(made: Retold, job: PastJob, name: str, at_ns: int) -> None:
    """What is known of what it did."""
    fates = _fates(made, job)
    if fates:
        made.fates[name] = fates
        made.measured += 1
    else:
        made.drawn += 1
    if job.accepted_at < made.begin_at:
        made.earlier.add(name)
        return
    life = JobLife(job.spec.task, at_ns, job.accepted_at - made.begin_at)
    starts = [row.started_at for row in job.attempts if row.started_at is not None]
    if starts or job.started_at is not None:
        life.started_ns = (starts[0] if starts else job.started_at or 0) - made.begin_at
    row = job.final
    if row is not None:
        life.ended_ns = row.ended_at - made.begin_at
        life.outcome = f"exit {row.exit_code}" if row.outcome == Outcome.EXITED.value else row.outcome
        life.good = row.outcome == Outcome.EXITED.value and row.exit_code == 0
    made.lives[name] = life


def _fates(made: Retold, job: PastJob) -> tuple[Fate, ...]:
    """What its attempts did, as far as it was seen. One that ran at the beginning has so much less to do; one that was
    lost would have done what the one after it did."""
    fates: list[Fate] = []
    lost = 0
    for row in job.attempts:
        if row.started_at is None or row.ended_at < made.begin_at:
            continue
        run_ns = row.ran_for_ns
        if row.started_at < made.begin_at:
            run_ns = row.ended_at - made.begin_at
        if row.outcome in (Outcome.EXITED.value, Outcome.CRASHED.value):
            fate = Fate(run_ns, row.exit_code, row.signal, False, False, False, row.stdout_bytes, row.stderr_bytes)
        elif row.outcome == Outcome.TIMED_OUT.value:
            made.censored += 1
            fate = Fate(None, None, None, False, False, False, row.stdout_bytes, row.stderr_bytes)
        else:
            lost += row.outcome == Outcome.LOST.value
            continue
        fates += [fate] * (lost + 1)
        lost = 0
    return tuple(fates)


_OFF, _DRAIN = HostVerb.OFF.value, HostVerb.DRAIN.value
_STATES = {verb.value: verb for verb in (HostVerb.ON, HostVerb.OFF, HostVerb.DRAIN)}


def _host_orders(past: Past, begin_at: int, end_at: int) -> list[Ordered]:
    """Hosts that a person switched off and on again, and drained; at the beginning those that were so then."""
    before: dict[str, HostChanged] = {}
    later: list[tuple[int, HostChanged]] = []
    for at, change in past.hosts:
        if change.verb not in _STATES or at >= end_at:
            continue
        if at < begin_at:
            before[change.host] = change
        else:
            later.append((at - begin_at, change))
    told = {change.host for _, change in past.hosts if change.verb in _STATES}
    before |= {now.host: now for now in past.host_orders if now.verb in _STATES and now.host not in told}
    at_once = [(0, change) for change in before.values() if change.verb != HostVerb.ON.value]
    return [_ordered(at, change) for at, change in (*at_once, *later)]


def _ordered(at: int, change: HostChanged) -> Ordered:
    return Ordered(at + LEAD_NS, host=OrderHost(0, _STATES[change.verb], change.host, reason=change.reason))


def reshaped(made: Retold, reshape: Reshape, seed: int) -> Retold:
    """The same past, shaken or with its days drawn again. What really happened is no measure of it any more."""
    entries: list[tuple[int, str, str | JobSpec]] = [
        (at, task, item) for task, items in made.arrivals.items() for at, item in items
    ]
    entries += [(at, spec.task, spec) for at, spec in made.submissions]
    midnight_ns = -(made.begin_at + _ahead_ns(made.begin_at)) % DAY_NS
    drawn = again([entry[0] for entry in entries], [entry[1] for entry in entries], reshape.resample, midnight_ns, seed)
    names = [copy_name(f"{entries[one.index][1]}/{_item(entries[one.index][2])}", one.copy) for one in drawn]
    factors = Factors(reshape.shake, seed)
    fates = dict(made.fates)  # also of jobs that are not submitted: those that follow others
    arrivals: dict[str, list[tuple[int, str]]] = {}
    submissions: list[tuple[int, JobSpec]] = []
    for one, name, at in zip(drawn, names, shaken([one.at_ns for one in drawn], names, factors), strict=True):
        _, task, what = entries[one.index]
        known = made.fates.get(f"{task}/{_item(what)}")
        if known is not None:
            fates[name] = tuple(_longer(fate, factors.of(name)[1]) for fate in known)
        if isinstance(what, str):
            arrivals.setdefault(task, []).append((max(0, at), copy_name(what, one.copy)))
        else:
            submissions.append((max(0, at), replace(what, item=copy_name(_item(what), one.copy))))
    span_ns = max([made.span_ns, *(at for items in arrivals.values() for at, _ in items)])
    return replace(
        made, span_ns=span_ns, arrivals=arrivals, submissions=submissions, fates=fates, lives={},
        arrived_ns={f"{task}/{item}": at for task, items in arrivals.items() for at, item in items}, earlier=set(),
    )  # fmt: skip


def _ahead_ns(at: int) -> int:
    """How far the zone of this machine, where days begin for its people, is ahead of UTC then."""
    ahead = datetime.fromtimestamp(at // SECOND).astimezone().utcoffset()
    return 0 if ahead is None else ahead // timedelta(microseconds=1) * 1000


def _item(what: str | JobSpec) -> str:
    return what if isinstance(what, str) else what.item or ""


def _longer(fate: Fate, factor: float) -> Fate:
    return fate if fate.run_ns is None else replace(fate, run_ns=round(fate.run_ns * factor))


# from now on


def go_on(past: Past, base: Configuration, changed: Configuration, now_at: int, for_ns: int, seed: int) -> Retold:
    """What is not finished now, and what is likely to come within `for_ns`. What runs stays on its host; a host that is
    away now is so for as long again as it has been, which is a guess; what waits for a person goes on waiting."""
    fits = fit_jobs(past.jobs)
    ways = ways_of(base, changed, future=True)
    made = Retold(now_at, for_ns, ways, {one.task: one.weather() for one in fits})
    made.latency_ns = _latency(past)
    _as_it_stands(made, past, now_at)
    _unfinished(made, past, now_at, Draws(seed, "remaining"))
    definitions = {task.name: task for task in base.tasks}
    for task, items in past.waiting.items():
        if task in made.held:
            continue
        if ways.get(task) is Way.ARRIVES:
            made.arrivals[task] = [(2 * SETTLED_NS, item) for item in items]
        elif task in definitions:
            made.submissions += [(2 * SETTLED_NS, declared_job(definitions[task], 0, item, {})) for item in items]
    for one in fits:
        if ways.get(one.task) is Way.ARRIVES and one.items is not None and one.task not in made.held:
            made.arrivals.setdefault(one.task, []).extend(_coming(one.items, for_ns))
    return made


def from_now(orders: Sequence[Ordered]) -> tuple[Ordered, ...]:
    """What is ordered at the beginning of a future: when that which runs is with its host, which finishes it."""
    return tuple(replace(ordered, at_ns=LEAD_NS + SETTLED_NS) for ordered in orders)


def _as_it_stands(made: Retold, past: Past, now_at: int) -> None:
    """What tasks have made, who holds what, and which hosts are off, drained or away."""
    made.made = dict(past.made)
    made.held = dict(past.held)
    made.orders = [_ordered(SETTLED_NS, change) for change in past.host_orders if change.verb in (_OFF, _DRAIN)]
    for outage in past.outages:
        if outage.end_at is None:
            away_ns = max(SECOND, now_at - outage.begin_at)
            made.away.append((outage.host, away_ns))
            made.faults.append(Fault(Kind.LOST, (CONTROLLER, outage.host), LEAD_NS + SETTLED_NS, away_ns))


def _unfinished(made: Retold, past: Past, now_at: int, draws: Draws) -> None:
    """Jobs that run or wait. What those that run still have to do is drawn."""
    for job in past.jobs:
        if job.plain or job.final is not None:
            continue
        if job.held:
            made.held_jobs += 1
            continue
        item = f"now {job.number}"
        name = f"{job.spec.task}/{item}"
        spec = replace(job.spec, item=item)
        weather = made.weather.get(job.spec.task, TaskWeather())
        if job.started_at is not None:
            if job.host and job.host != LOCAL:
                spec = replace(spec, host=HostWish(job.host, required=True))
            left_ns = _left(weather.run, now_at - job.started_at, draws.four(name)[0])
            made.fates[name] = (Fate(left_ns, 0, None, False, False, False, 0, 0),)
        made.drawn += 1
        made.arrived_ns[name] = 0
        made.submissions.append((0 if job.started_at is not None else 2 * SETTLED_NS, spec))


def _left(run: Distribution, elapsed_ns: int, chance: float) -> int:
    """How long a run goes on that has gone on for so long: drawn from what is left of the distribution."""
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if run.sample(middle) <= elapsed_ns else (low, middle)
    return max(1000, run.sample(min(high + chance * (1.0 - high), 1.0 - 1e-12)) - elapsed_ns)


def _coming(items: Items, for_ns: int) -> list[tuple[int, str]]:
    if not items.every_ns:
        return []
    times = range(items.every_ns, for_ns, items.every_ns)
    return [(at, f"coming {number}") for number, at in enumerate((at for at in times for _ in range(items.burst)), 1)]


# the world


def configuration_of(made: Retold, configuration: Configuration) -> Configuration:
    """The configuration as it is simulated: without scripts, and with tasks that take what arrives."""
    tasks = tuple(_definition(made, task) for task in configuration.tasks)
    return replace(configuration, tasks=tasks, language=LanguageSettings(), notifiers=())


def begins_with(made: Retold, configuration: Configuration) -> tuple[Configuration, tuple[Ordered, ...]]:
    """The configuration of the first `LEAD_NS`, in which hosts connect, and how it becomes this one: until the past
    begins a task that polls by itself makes nothing."""
    later = tuple(task for task in configuration.tasks if made.ways.get(task.name) is not Way.POLLED)
    if len(later) == len(configuration.tasks):
        return configuration, ()
    return replace(configuration, tasks=later), (Ordered(LEAD_NS, reload=configuration),)


def _definition(made: Retold, task: TaskDefinition) -> TaskDefinition:
    handlers = tuple(replace(handler, script="", notify="") for handler in task.handlers)
    task = replace(task, prepare="", handlers=handlers, block=None)
    way = made.ways.get(task.name, Way.SUBMITTED)
    if task.name in made.held:
        way = Way.SUBMITTED  # it starts nothing by itself
    if way is Way.POLLED:
        total, made_before = task.limits.total, made.made.get(task.name, 0)
        if not total or not made_before:
            return task
        limits = Limits(task.limits.in_flight, max(1, total - made_before))
        return replace(task, limits=limits, active=task.active and total > made_before)
    if way is Way.FOLLOWS:
        return replace(task, limits=Limits(task.limits.in_flight))
    if way is Way.SUBMITTED:
        return replace(task, active=False)
    periods = replace(task.periods, exec_ns=GRID_NS)
    source = task.source if isinstance(task.source, FilesSource | LinesSource) else LinesSource(("past",))
    return replace(task, periods=periods, source=source, limits=Limits(task.limits.in_flight), active=True)


def scenario_of(made: Retold, tasks: Sequence[TaskDefinition], orders: Sequence[Ordered], seed: int) -> Scenario:
    """The world. `orders`: what `--set hosts.NAME=off` means."""
    weather: dict[str, TaskWeather] = dict(made.weather)
    for task in tasks:
        own = replace(weather.get(task.name, TaskWeather()), items=None)
        if made.ways.get(task.name) is Way.ARRIVES:
            shown_ns = CAREFUL_NS if task.windows else SHOWN_NS
            items = [(at + LEAD_NS, name) for at, name in sorted(made.arrivals.get(task.name, ()), key=_when)]
            own = replace(own, arrivals=Arrivals(tuple(items), shown_ns))
        weather[task.name] = own
    return Scenario(
        seed=seed,
        start_wall_ns=made.begin_at - LEAD_NS,
        for_ns=LEAD_NS + made.span_ns + TAIL_NS,
        network=Network(latency_ns=made.latency_ns or Network().latency_ns),
        tasks=weather,
        orders=(*orders, *made.orders),
        digest="past",
    )


def _when(pair: tuple[int, object]) -> int:
    return pair[0]  # and nothing else: at one instant their old order stays


def submissions_of(made: Retold) -> list[Submission]:
    """What is submitted, in order. What a job does is told by `fates`, or drawn."""
    ordered = sorted(made.submissions, key=_when)
    return [Submission(at + LEAD_NS, spec, None) for at, spec in ordered]
