"""Swarm: a seed draws a whole small world, its shape, its times (shrunk), its tasks and a random set of its faults.

Five recipes stand beside faults that come independently of each other: a storm, in which all of them begin within a
short time, so that they meet; rows of restarts, in which a process is gone again as soon as it is back; restarts of an
end of a bad link, so that what an earlier life said arrives in a later one, or never; and a controller that is silent
for so long that its jobs are given up, by a scheduler that has forgotten it when the controller is heard again; and a
server that ends in order while a host cannot be reached, before, meanwhile or soon after.

Phases: a short warm-up; chaos; then everything is healed (`HEALED_NS`: links, disks, hosts; what crashed last comes
back a little later); then time enough for every job to become final, `LIVENESS_NS`. The oracle names what is not.
Used by the tests and by whoever looks for a bug; each seed is its own reproduction.
"""

from __future__ import annotations

from random import Random

from msgspec import structs

from model.channel import ChannelTimes
from model.configuration import FRONT_MAX, ClusterDefinition, Configuration, HostDefinition, Order
from model.events import HostVerb, IntakeVerb, JobVerb, OrderHost, OrderIntake, OrderJob, OrderTask, TaskVerb
from model.job import SECOND, Block, HostPolicy, HostWish, Wait
from model.task import FilesSource, Handler, Limits, Periods, Retry, TaskDefinition
from sim.distributions import Constant, Lognormal, Uniform
from sim.scenario import DiskModel, Fault, Host, Items, Kind, Network, Ordered, Scenario, TaskWeather
from sim.swarm_resources import with_a_failing_host, with_resources

WARM_UP_NS = 10 * SECOND
CHAOS_NS = 150 * SECOND
FAULT_MAX_NS = 60 * SECOND
LIVENESS_NS = 4000 * SECOND
"""More than: pending + lease + margin + largest back-off + the longest job, for each of the attempts of a job."""
MARGIN_NS = 7 * SECOND
"""Must be longer than the grace (5 s) of jobs that ignore TERM: at the end of the lease they still get it."""
HEALED_NS = WARM_UP_NS + CHAOS_NS + FAULT_MAX_NS
KEEPER_AWAY_MAX_NS = 5 * SECOND
"""A keeper holds the end of the lease: whoever replaces it must do so within the margin (docs/reliability.md)."""
FAULTS_MAX = 10
ORDERS_MAX = 6
CRASH_STEPS_MAX = 120
"""A crash comes at most so many boundaries after its time."""
STORM_NS = 20 * SECOND
"""In a storm all faults begin within so long: as long as a lease."""
ROW_MAX = 4
"""Restarts in a row."""
BETWEEN_MAX_NS = 6 * SECOND
"""From one restart of a row to the next."""
TWO_DISKS = DiskModel(100_000, 1_000_000, one_process=False)
LEASE_NS = 20 * SECOND
LOCAL_LEASE_NS = 40 * SECOND
IMPATIENT_NS = 5 * SECOND
"""So long the least patient tasks wait for a silent controller: shorter than a lease."""
GIVEN_UP_NS = 10 * SECOND
"""A controller that is not heard for longer has lost the jobs of those tasks."""
GIVEN_UP_SHARE = 0.05
"""Of the worlds: in so many it is."""
STOPPED_SHARE = 0.05
"""Of the worlds: in so many the server ends in order, and comes back."""
JOBS_OF_TASK = 12
BRIEF_SHARE = 0.4
"""Of the worlds: so many have a task whose jobs are brief, most of them, and come in crowds; of these some are given to
hosts ahead (`model/ahead.py`)."""

_HOST_FAULTS = (
    Kind.DOWN,
    Kind.SILENT,
    Kind.SUSPENDED,
    Kind.FLAPPING,
    Kind.REBOOT,
    Kind.AGENT_RESTART,
    Kind.FULL,
    Kind.SLOW,
    Kind.OVERLOADED,
    Kind.KEEPER_CRASHED,
)
_SERVER_FAULTS = (Kind.FROZEN, Kind.RESTARTED, Kind.DISK_FULL, Kind.DISK_BROKEN)
_OTHER_FAULTS = (Kind.CRASHED, Kind.WALL_STEP)
_LINK_FAULTS = (Kind.LOST, Kind.ONE_WAY, Kind.SLOW, Kind.LOSSY, Kind.DOUBLED, Kind.REORDERED, Kind.BROKEN)
_LATE = frozenset({Kind.DOUBLED, Kind.REORDERED})
"""Faults by which messages come much later than others that were sent after them."""
_IN_ROWS = frozenset({Kind.RESTARTED, Kind.CRASHED, Kind.AGENT_RESTART, Kind.BROKEN})
"""Faults that may come several times in a row."""


def swarm(seed: int) -> tuple[Configuration, Scenario]:
    """The world of this seed."""
    shape = Random(f"{seed}/shape")  # noqa: S311 - chance of a simulation
    hosts = tuple(HostDefinition(f"node{number}", shape.randint(1, 3)) for number in range(1, shape.randint(2, 6)))
    front = Random(f"{seed}/front")  # noqa: S311 - as above
    cluster = ClusterDefinition(
        hosts=hosts,
        local_slots=2,
        front_max=front.choice((FRONT_MAX, FRONT_MAX, FRONT_MAX, 1, 2)),
        order=shape.choice((Order.FILL, Order.FILL, Order.STRICT)),
        times=ChannelTimes(SECOND, 3 * SECOND, LEASE_NS, MARGIN_NS, 2 * SECOND),
        local_times=ChannelTimes(SECOND, 3 * SECOND, LOCAL_LEASE_NS, MARGIN_NS, 2 * SECOND),
        backoff_ns=SECOND,
        backoff_cap_ns=8 * SECOND,
        connect_ns=5 * SECOND,
        overtime_ns=5 * SECOND,
    )
    tasks = _tasks(shape, hosts)
    cluster, tasks = with_resources(seed, cluster, tasks)
    scenario = _with_what_is_stuck(seed, hosts, _scenario(seed, shape, hosts, tasks))
    scenario = _with_a_disk_that_hangs(seed, scenario)
    tasks, scenario = _with_brief_jobs(seed, hosts, tasks, scenario)
    tasks, scenario = _with_a_controller_given_up(seed, hosts, tasks, scenario)
    scenario = _with_a_stop_in_order(seed, hosts, scenario)
    configuration = Configuration(path=f"swarm {seed}", directory="/", tasks=tasks, cluster=cluster)
    return configuration, with_a_failing_host(seed, cluster, scenario)


def _tasks(shape: Random, hosts: tuple[HostDefinition, ...]) -> tuple[TaskDefinition, ...]:
    """Four tasks: one for any host, one for a required host, one with items and files, one of the scheduler's host."""
    retry = Retry(("crash", "exit 3"), shape.randint(0, 3), shape.randint(1, 10) * SECOND)
    policy = shape.choice(
        (HostPolicy(Wait.WAIT), HostPolicy(Wait.FAIL), HostPolicy(Wait.TRY, 2), HostPolicy(Wait.ELSEWHERE))
    )
    limits = Limits(in_flight=shape.choice((0, 2, 5)), total=JOBS_OF_TASK)
    patience_ns = shape.choice((None, IMPATIENT_NS, LEASE_NS))  # what was given up within a lease may still begin

    def periods(timeout: int) -> Periods:
        return Periods(shape.randint(1, 10) * SECOND, SECOND, timeout * SECOND, 120 * SECOND)

    anywhere = TaskDefinition(
        name="anywhere",
        command=("work",),
        periods=periods(90),
        limits=limits,
        retry=retry,
        lost_reruns=2,
        silent_grace_ns=patience_ns,
    )
    required = TaskDefinition(
        name="required",
        command=("work",),
        periods=periods(60),
        limits=limits,
        host=HostWish(hosts[0].name, True, when_down=policy, when_silent=shape.choice((HostPolicy(), policy))),
        handlers=(Handler("host-down", retry=retry), Handler("default", run=("echo", "$job"))),
    )
    items = TaskDefinition(
        name="items",
        command=("work", "$item"),
        periods=Periods(2 * SECOND, SECOND, 60 * SECOND, 120 * SECOND),
        limits=Limits(in_flight=shape.choice((0, 3))),
        source=FilesSource("incoming/*"),
        block=Block(("$item.in",), ("$item.out",), 20 * SECOND),
        host=HostWish(hosts[-1].name, False, wait_ns=shape.randint(0, 20) * SECOND),
        lost_reruns=1,
        silent_grace_ns=patience_ns,
    )
    here = TaskDefinition(
        name="here", command=("work",), periods=periods(30), limits=limits, host=HostWish("local", True), retry=retry
    )
    return anywhere, required, items, here


def _scenario(
    seed: int, shape: Random, hosts: tuple[HostDefinition, ...], tasks: tuple[TaskDefinition, ...]
) -> Scenario:
    weather = {task.name: _weather(shape) for task in tasks}
    faults = Random(f"{seed}/faults")  # noqa: S311 - chance of a simulation
    plan = _plan(faults, hosts)
    return Scenario(
        seed=seed,
        for_ns=HEALED_NS + LIVENESS_NS + SECOND,
        network=Network(jitter_ns=shape.choice((0, 100_000, 20_000_000))),
        hosts={host.name: Host(drift_ppb=shape.randint(-50_000, 50_000)) for host in hosts},
        tasks=weather,
        faults=plan,
        disk=_disk(shape, plan),
        orders=_orders(faults, hosts, tasks),
        healed_ns=HEALED_NS,
        bound_ns=LIVENESS_NS,
        title=f"swarm {seed}",
    )


def _plan(chance: Random, hosts: tuple[HostDefinition, ...]) -> tuple[Fault, ...]:
    """The faults of a world: of few kinds or of many, all over its time or in a storm, some of them in rows."""
    share = chance.choice((0.15, 0.4))
    kinds = [
        kind for kind in (*_HOST_FAULTS, *_SERVER_FAULTS, *_LINK_FAULTS, *_OTHER_FAULTS) if chance.random() < share
    ]
    first_ns, within_ns = WARM_UP_NS, CHAOS_NS
    if chance.random() < 0.4:
        first_ns, within_ns = WARM_UP_NS + chance.randrange(CHAOS_NS - STORM_NS), STORM_NS
    plan = _restarts_on_a_bad_link(chance, hosts) if chance.random() < 0.25 else []
    for _ in range(chance.randint(1, FAULTS_MAX) if kinds else 0):
        fault = _fault(chance, chance.choice(kinds), hosts, first_ns + chance.randrange(within_ns))
        plan.append(fault)
        if fault.kind in _IN_ROWS and chance.random() < 0.3:
            plan += _row(chance, fault)
    return tuple(plan)


def _with_what_is_stuck(seed: int, hosts: tuple[HostDefinition, ...], scenario: Scenario) -> Scenario:
    """In a third of the worlds jobs hang on a host, a server is overloaded, or both. By a chance of its own: the other
    faults stay as they are."""
    chance = Random(f"{seed}/stuck")  # noqa: S311 - chance of a simulation
    if chance.random() < 0.67:
        return scenario
    stuck: list[Fault] = []
    which = chance.choice(("hung", "overloaded", "both"))
    if which != "overloaded":
        at_ns, for_ns = WARM_UP_NS + chance.randrange(CHAOS_NS), chance.randrange(1, FAULT_MAX_NS)
        stuck.append(Fault(Kind.HUNG, (chance.choice(hosts).name,), at_ns, for_ns, limit=chance.randint(0, 2)))
    if which != "hung":
        at_ns, for_ns = WARM_UP_NS + chance.randrange(CHAOS_NS), chance.randrange(SECOND, FAULT_MAX_NS)
        server, delay_ns = chance.choice(("controller", "scheduler")), chance.randrange(SECOND // 100, 2 * SECOND)
        stuck.append(Fault(Kind.OVERLOADED, (server,), at_ns, for_ns, delay_ns=delay_ns))
    return structs.replace(scenario, faults=(*scenario.faults, *stuck))


def _with_a_disk_that_hangs(seed: int, scenario: Scenario) -> Scenario:
    """In every sixth world. By a chance of its own, as above."""
    chance = Random(f"{seed}/hangs")  # noqa: S311 - chance of a simulation
    if chance.random() < 5 / 6:
        return scenario
    at_ns, for_ns = WARM_UP_NS + chance.randrange(CHAOS_NS), chance.randrange(SECOND, FAULT_MAX_NS)
    fault = Fault(Kind.DISK_HANGS, (chance.choice(("controller", "scheduler")),), at_ns, for_ns)
    return structs.replace(scenario, faults=(*scenario.faults, fault))


def _with_a_controller_given_up(
    seed: int, hosts: tuple[HostDefinition, ...], tasks: tuple[TaskDefinition, ...], scenario: Scenario
) -> tuple[tuple[TaskDefinition, ...], Scenario]:
    """In a twentieth of the worlds the controller is not heard until impatient tasks have given up what it has, but not
    for as long as a lease, so that all of it lives on, and for long, as jobs hang; and the scheduler, a process of its
    own, is gone just before the controller is heard again. By a chance of its own, as above."""
    chance = Random(f"{seed}/given up")  # noqa: S311 - chance of a simulation
    if chance.random() >= GIVEN_UP_SHARE:
        return tasks, scenario
    tasks = tuple(structs.replace(task, silent_grace_ns=IMPATIENT_NS) if task.lost_reruns else task for task in tasks)
    at_ns, for_ns = WARM_UP_NS + chance.randrange(CHAOS_NS // 2), chance.randrange(GIVEN_UP_NS, LEASE_NS)
    hung = (Fault(Kind.HUNG, (host.name,), max(0, at_ns - for_ns), for_ns) for host in hosts)
    silence = Fault(Kind.LOST, ("controller", "scheduler"), at_ns, for_ns)
    gone_ns = at_ns + for_ns - chance.randrange(1, SECOND)
    gone = Fault(Kind.CRASHED, ("scheduler",), gone_ns, chance.randrange(1, SECOND))
    disk = TWO_DISKS if scenario.disk is not None and scenario.disk.one_process else scenario.disk
    return tasks, structs.replace(scenario, faults=(*scenario.faults, *hung, silence, gone), disk=disk)


def _with_a_stop_in_order(seed: int, hosts: tuple[HostDefinition, ...], scenario: Scenario) -> Scenario:
    """In a twentieth of the worlds the server, which is one process, ends in order, with a parting lease that is longer
    than lease and margin, and comes back; the link to a host is cut just before that, meanwhile, or soon after, so that
    its next life does not hear of what runs there, or hears of it once; for long, as jobs hang. By a chance of its own,
    as above."""
    chance = Random(f"{seed}/stopped")  # noqa: S311 - chance of a simulation
    if chance.random() >= STOPPED_SHARE:
        return scenario
    at_ns, away_ns = WARM_UP_NS + chance.randrange(CHAOS_NS // 2), chance.randrange(SECOND, LEASE_NS)
    keep_ns = chance.randrange(LEASE_NS + MARGIN_NS, 10 * LEASE_NS)
    stop = Ordered(at_ns, intake=OrderIntake(8, IntakeVerb.SHUTDOWN, "an upgrade", keep_ns))
    gone = Fault(Kind.RESTARTED, ("scheduler",), at_ns + chance.randrange(SECOND // 10, SECOND), away_ns)
    cut_ns, for_ns = at_ns + chance.randrange(-SECOND, away_ns + SECOND), chance.randrange(LEASE_NS, FAULT_MAX_NS)
    name = chance.choice(hosts).name
    hung = Fault(Kind.HUNG, (name,), at_ns - WARM_UP_NS, 2 * WARM_UP_NS)
    cut = Fault(Kind.LOST, ("controller", name), cut_ns, for_ns)
    disk = scenario.disk if scenario.disk is not None and scenario.disk.one_process else DiskModel()
    faults, orders = (*scenario.faults, hung, gone, cut), (*scenario.orders, stop)
    return structs.replace(scenario, faults=faults, orders=orders, disk=disk)


def _with_brief_jobs(
    seed: int, hosts: tuple[HostDefinition, ...], tasks: tuple[TaskDefinition, ...], scenario: Scenario
) -> tuple[tuple[TaskDefinition, ...], Scenario]:
    """By a chance of its own, as above."""
    chance = Random(f"{seed}/brief")  # noqa: S311 - chance of a simulation
    if chance.random() >= BRIEF_SHARE:
        return tasks, scenario
    wish = chance.choice((HostWish(), HostWish(), HostWish(hosts[0].name, True)))
    brief = TaskDefinition(
        name="brief",
        command=("work", "$item"),
        periods=Periods(2 * SECOND, SECOND, 60 * SECOND, 120 * SECOND),
        source=FilesSource("crowd/*"),
        host=wish,
        lost_reruns=2,
        retry=Retry(("crash", "exit 3"), chance.randint(0, 2), SECOND),
    )
    weather = TaskWeather(
        run=Lognormal(chance.choice((3_000_000, 12_000_000)), chance.choice((0.5, 1.5))),
        exits=chance.choice((((0, 1.0),), ((0, 0.9), (3, 0.1)))),
        ignores_term=chance.choice((0.0, 0.3)),
        items=Items(
            pattern="crowd-%03d", first_ns=SECOND, every_ns=chance.randint(5, 30) * SECOND, burst=40, count=200
        ),
    )
    return (*tasks, brief), structs.replace(scenario, tasks={**scenario.tasks, "brief": weather})


def _restarts_on_a_bad_link(chance: Random, hosts: tuple[HostDefinition, ...]) -> list[Fault]:
    """A link whose messages come late for a while or are lost, and restarts of one of its ends meanwhile."""
    link = chance.choice((("scheduler", "controller"), ("controller", chance.choice(hosts).name)))
    kind = chance.choice((Kind.DOUBLED, Kind.REORDERED, Kind.LOST, Kind.ONE_WAY))
    lengths = (LEASE_NS, FAULT_MAX_NS) if kind in _LATE else (SECOND, LEASE_NS)
    at_ns, for_ns = WARM_UP_NS + chance.randrange(CHAOS_NS), chance.randrange(*lengths)
    bad = Fault(kind, link, at_ns, for_ns, chance=0.5, delay_ns=chance.randrange(SECOND, LEASE_NS))
    end, limit = chance.choice(link), chance.randint(0, CRASH_STEPS_MAX)
    crash_ns = at_ns + chance.randrange(min(for_ns, LEASE_NS))
    first = Fault(Kind.CRASHED, (end,), crash_ns, chance.randrange(1, SECOND), limit=limit)
    return [bad, first, *_row(chance, first)]


def _row(chance: Random, first: Fault) -> list[Fault]:
    """The same again and again, each soon after the one before."""
    row, last = [], first
    for _ in range(chance.randint(1, ROW_MAX - 1)):
        at_ns = min(last.at_ns + last.for_ns + chance.randrange(BETWEEN_MAX_NS), HEALED_NS - SECOND)
        limit = chance.randint(0, CRASH_STEPS_MAX) if first.kind is Kind.CRASHED else first.limit
        last = structs.replace(first, at_ns=at_ns, for_ns=chance.randrange(1, SECOND), limit=limit)
        row.append(last)
    return row


def _disk(shape: Random, plan: tuple[Fault, ...]) -> DiskModel | None:
    """None, where no fault needs one: a commit is durable at once."""
    model = shape.choice(
        (
            None,
            DiskModel(5_000_000, 20_000_000, one_process=True),
            TWO_DISKS,
            DiskModel(300_000_000, 2 * SECOND, one_process=True),
        )
    )
    if model is None and any(fault.kind in (Kind.DISK_FULL, Kind.DISK_BROKEN) for fault in plan):
        return DiskModel(one_process=False)
    return model


def _orders(
    chance: Random, hosts: tuple[HostDefinition, ...], tasks: tuple[TaskDefinition, ...]
) -> tuple[Ordered, ...]:
    """What people do meanwhile. What they closed for a while they open again."""
    orders: list[Ordered] = []
    for _ in range(chance.choice((0, 0, chance.randint(1, ORDERS_MAX)))):
        at_ns = WARM_UP_NS + chance.randrange(CHAOS_NS)
        until_ns = at_ns + chance.randrange(SECOND, FAULT_MAX_NS)
        what, host, task = chance.randrange(6), chance.choice(hosts).name, chance.choice(tasks).name
        if what == 0:
            orders.append(Ordered(at_ns, host=OrderHost(1, HostVerb.DRAIN, host)))
            orders.append(Ordered(HEALED_NS + until_ns, host=OrderHost(2, HostVerb.ON, host)))
        elif what == 1:
            orders.append(Ordered(at_ns, task=OrderTask(3, TaskVerb.HOLD, task, "a look at it")))
            orders.append(Ordered(HEALED_NS + until_ns, task=OrderTask(4, TaskVerb.RELEASE, task)))
        elif what == 2 and chance.random() < 0.3:
            orders.append(Ordered(at_ns, task=OrderTask(5, TaskVerb.DELETE, task)))
        elif what == 3:
            orders.append(Ordered(at_ns, task=OrderTask(6, TaskVerb.FLUSH, task)))
        else:
            verb = chance.choice((JobVerb.KILL, JobVerb.DELETE, JobVerb.RETRY))
            orders.append(Ordered(at_ns, job=OrderJob(7, verb, chance.randint(1, 4 * JOBS_OF_TASK))))
    return tuple(orders)


def _weather(shape: Random) -> TaskWeather:
    return TaskWeather(
        run=shape.choice(
            (
                Constant(SECOND),
                Constant(30 * SECOND),  # as long as the timeout of one task
                Lognormal(5 * SECOND, 1.0),
                Uniform(10 * SECOND, 70 * SECOND),
                Uniform(0, 3 * SECOND),
            )
        ),
        exits=shape.choice((((0, 1.0),), ((0, 0.7), (1, 0.1), (3, 0.2)))),
        crashes=shape.choice(((), ((11, 0.1),))),
        never_ends=shape.choice((0.0, 0.1)),
        ignores_term=shape.choice((0.0, 0.3, 1.0)),
        before=shape.choice((Constant(0), Uniform(0, 30 * SECOND))),
        after=shape.choice((Constant(0), Uniform(0, 10 * SECOND))),
        items=Items(pattern="file-%02d", every_ns=5 * SECOND, count=JOBS_OF_TASK),
    )


def _fault(faults: Random, kind: Kind, hosts: tuple[HostDefinition, ...], at_ns: int) -> Fault:
    """Shorter than any patience, of any length, or longer than a lease; what makes messages late lasts a while."""
    lengths = ((1, SECOND), (1, SECOND), (SECOND, FAULT_MAX_NS), (LEASE_NS, FAULT_MAX_NS))
    for_ns = faults.randrange(*faults.choice(lengths[2:] if kind in _LATE else lengths))
    host = faults.choice(hosts).name
    on_link = kind in _LINK_FAULTS and (kind is not Kind.SLOW or faults.random() < 0.5)
    limit = faults.randint(0, 1)
    if kind in (Kind.CRASHED, Kind.KEEPER_CRASHED):
        limit = faults.randint(0, CRASH_STEPS_MAX)
    delay_ns = faults.randrange(SECOND // 100, 10 * SECOND)
    if kind is Kind.WALL_STEP:
        delay_ns = faults.choice((-1, 1)) * faults.randrange(10 * 365 * 86400 * SECOND)
        nodes: tuple[str, ...] = ()
    elif kind is Kind.CRASHED:
        nodes = (faults.choice(("controller", "scheduler", host)),)
    elif kind is Kind.KEEPER_CRASHED:
        nodes = (faults.choice((host, "local")),)
        for_ns = min(for_ns, KEEPER_AWAY_MAX_NS)
    elif kind in _SERVER_FAULTS:
        nodes = (faults.choice(("controller", "scheduler")),)
    elif on_link:
        pairs = [("scheduler", "controller"), ("controller", host), ("controller", host), ("scheduler", "local")]
        nodes = faults.choice(pairs)
        if faults.random() < 0.5:
            nodes = nodes[::-1]
    else:
        nodes = (host,)
    return Fault(
        kind,
        nodes,
        at_ns,
        for_ns,
        factor=3.0,
        chance=faults.choice((0.1, 0.5)),
        delay_ns=delay_ns,
        every_ns=faults.randrange(SECOND, 5 * SECOND),
        limit=limit,
        spool_lost=faults.random() < 0.3,
    )
