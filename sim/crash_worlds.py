"""The small worlds whose every crash point is gone through: thirteen of some fifty jobs, each of another character, and
one of twelve jobs for pairs of crashes. (One more is `sim/crash_scripts.py`.)

Told by hand rather than drawn, so that each holds what its name says: what a crash must not disturb is under way in
every one of them. Whatever goes wrong besides the crash is over long before `HEALED_NS`. Used by `sim/crash_points.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC
from typing import Any

from msgspec.structs import replace

from model.channel import ChannelTimes
from model.configuration import ClusterDefinition, Configuration, HostDefinition, LanguageSettings, Order
from model.events import (
    HostVerb,
    IntakeVerb,
    JobVerb,
    OrderHost,
    OrderIntake,
    OrderJob,
    OrderTask,
    TaskVerb,
)
from model.job import SECOND, Block, HostPolicy, HostWish, Wait
from model.task import DoneSource, FilesSource, Handler, Limits, Missed, Periods, Retry, TaskDefinition
from model.windows import Window
from sim.distributions import Constant, Uniform
from sim.faults import CONTROLLER, LOCAL, SCHEDULER
from sim.scenario import DiskModel, Fault, Host, Items, Kind, Ordered, Scenario, TaskWeather

HOSTS = ("node1", "node2")
HEALED_NS = 300 * SECOND
BOUND_NS = 1500 * SECOND
START_S = 8 * 3600
"""The wall clock's time of day at the start, in seconds: that of `Scenario.start_wall_ns`."""
HERE = HostWish(LOCAL, required=True)
EXITS = ((0, 0.7), (3, 0.3))

Pair = tuple[Configuration, Scenario]


def _task(
    name: str, every_s: float, jobs: int = 0, *, timeout_s: int = 60, pending_s: int = 300, **more: Any
) -> TaskDefinition:
    """A task of so many jobs (0: as many as it has items)."""
    periods = Periods(int(every_s * SECOND), SECOND, timeout_s * SECOND, pending_s * SECOND)
    more.setdefault("limits", Limits(total=jobs))
    return TaskDefinition(name=name, command=(name,), periods=periods, **more)


def made_world(
    title: str, tasks: dict[TaskDefinition, TaskWeather], *, cluster: dict[str, Any] | None = None, **more: Any
) -> Pair:
    """These tasks with their weather on a small cluster with short leases, and a disk that syncs."""
    times = ChannelTimes(SECOND, 3 * SECOND, 20 * SECOND, 7 * SECOND, 2 * SECOND)
    settings: dict[str, Any] = {
        "hosts": tuple(HostDefinition(name, 2) for name in HOSTS),
        "times": times,
        "local_times": times,
        "backoff_cap_ns": 4 * SECOND,
        "connect_ns": 5 * SECOND,
        "overtime_ns": 5 * SECOND,
    }
    configuration = Configuration(
        path=title, directory="/", tasks=tuple(tasks), cluster=ClusterDefinition(**settings | (cluster or {}))
    )
    scenario = Scenario(
        seed=1,
        for_ns=HEALED_NS + BOUND_NS + SECOND,
        tasks={task.name: weather for task, weather in tasks.items()},
        disk=DiskModel(5_000_000, 20_000_000),
        healed_ns=HEALED_NS,
        bound_ns=BOUND_NS,
        title=title,
        **more,
    )
    return configuration, scenario


def _fault(kind: Kind, at_s: float, for_s: float, *nodes: str, **more: Any) -> Fault:
    return Fault(kind, nodes, int(at_s * SECOND), int(for_s * SECOND), **more)


def _items(every_s: float, count: int) -> Items:
    return Items(pattern="file-%02d", every_ns=int(every_s * SECOND), count=count)


def retries_and_handlers() -> Pair:
    """A little of everything: retries, handlers, items, files, all three kinds of hosts."""
    tasks = {
        _task("warp", 4, 12, retry=Retry(("exit 3",), 2, SECOND), lost_reruns=2): TaskWeather(
            run=Uniform(SECOND, 8 * SECOND), exits=EXITS
        ),
        _task(
            "check",
            3,
            source=FilesSource("incoming/*"),
            block=Block(("$item.in",), ("$item.out",), 30 * SECOND),
            limits=Limits(in_flight=3),
            lost_reruns=2,
        ): TaskWeather(
            run=Constant(2 * SECOND),
            before=Uniform(0, 3 * SECOND),
            after=Uniform(0, 2 * SECOND),
            items=_items(3, 10),
        ),
        _task("near", 5, 8, host=HostWish("node2", True), handlers=(Handler("3", run=("tell", "$job")),)): TaskWeather(
            run=Constant(3 * SECOND), exits=EXITS
        ),
        _task("here", 4, 10, host=HERE): TaskWeather(run=Constant(SECOND)),
    }
    return made_world("retries and handlers", tasks)


def brief_jobs() -> Pair:
    """Many jobs of a moment, which agents send ahead to their keepers."""
    tasks = {
        _task("brief", 0.1, 40, lost_reruns=1): TaskWeather(run=Uniform(SECOND // 100, SECOND // 10)),
        _task("local", 0.2, 16, host=HERE): TaskWeather(run=Constant(SECOND // 20)),
    }
    hosts = (HostDefinition("node1", 1), HostDefinition("node2", 2))
    return made_world("many brief jobs", tasks, cluster={"hosts": hosts})


def wanted_hosts() -> Pair:
    """Required and preferred hosts under every policy, wide jobs in strict order; one host has no power meanwhile."""
    down = {policy: HostPolicy(policy, 2) for policy in Wait}
    tasks = {
        _task("try", 3, 8, host=HostWish("node1", True, when_down=down[Wait.TRY])): TaskWeather(run=Constant(SECOND)),
        _task("fail", 4, 8, host=HostWish("node1", True, when_down=down[Wait.FAIL])): TaskWeather(
            run=Constant(2 * SECOND)
        ),
        _task("elsewhere", 4, 8, host=HostWish("node1", True, when_down=down[Wait.ELSEWHERE]), slots=2): TaskWeather(
            run=Uniform(SECOND, 3 * SECOND)
        ),
        _task("wait", 5, 6, host=HostWish("node1", True), lost_reruns=1): TaskWeather(run=Constant(SECOND)),
        _task("prefer", 3, 10, host=HostWish("node2", False, 4 * SECOND), slots=2): TaskWeather(
            run=Uniform(SECOND, 6 * SECOND)
        ),
        _task("nowhere", 9, 3, host=HostWish("node9", True)): TaskWeather(),
        _task("impatient", 6, 5, pending_s=8, host=HostWish("node1", True)): TaskWeather(run=Constant(SECOND)),
    }
    faults = (_fault(Kind.DOWN, 20, 12, "node1"),)
    return made_world("required and preferred hosts", tasks, cluster={"order": Order.STRICT}, faults=faults)


def items_and_files() -> Pair:
    """Items, files that are late or never come, and a task that lives on what another one finished well."""
    tasks = {
        _task(
            "copy",
            1,
            source=FilesSource("incoming/*"),
            block=Block(("$item.in",), ("$item.out",), 6 * SECOND),
            limits=Limits(in_flight=4),
            retry=Retry(("files-missing",), 1, SECOND),
            lost_reruns=1,
        ): TaskWeather(
            run=Constant(SECOND),
            before=Uniform(0, 4 * SECOND),
            after=Uniform(0, 4 * SECOND),
            never_visible=0.15,
            items=_items(1, 24),
        ),
        _task("stack", 1, source=DoneSource("copy"), lost_reruns=1, host=HostWish("node2", False, SECOND)): TaskWeather(
            run=Uniform(SECOND, 2 * SECOND), exits=EXITS
        ),
        _task("register", 1, source=DoneSource("stack"), host=HERE): TaskWeather(run=Constant(SECOND // 2)),
    }
    return made_world("items and files", tasks)


def windows() -> Pair:
    """Windows that open and close, one that counts its jobs; starts that were missed, in each way of taking them."""

    def window(first_s: int, last_s: int, jobs: int = 0) -> tuple[Window, ...]:
        return (Window(UTC, START_S + first_s, START_S + last_s, jobs_max=jobs),)

    tasks = {
        _task("once", 2, 14, windows=window(5, 45), missed=Missed.ONCE): TaskWeather(run=Constant(SECOND)),
        _task("skip", 2, 14, windows=window(10, 45), missed=Missed.SKIP): TaskWeather(run=Constant(2 * SECOND)),
        _task("all", 2, 14, windows=window(0, 60), missed=Missed.ALL): TaskWeather(run=Constant(SECOND)),
        _task("five", 1, windows=window(8, 40, 5), missed=Missed.ELASTIC, limits=Limits(in_flight=1)): TaskWeather(
            run=Constant(3 * SECOND)
        ),
        _task("few", 1, 8, windows=window(3, 60), missed=Missed.ALL, limits=Limits(1, 8), host=HERE): TaskWeather(
            run=Constant(3 * SECOND)
        ),
    }
    return made_world("windows and missed starts", tasks, faults=(_fault(Kind.FROZEN, 20, 5, SCHEDULER),))


def orders() -> Pair:
    """A person drains, closes, holds, kills, deletes and flushes. What must be undone is said twice: a server that is
    away hears nothing."""
    tasks = {
        _task("steady", 1, 30, lost_reruns=1): TaskWeather(run=Uniform(SECOND, 5 * SECOND)),
        _task("held", 2, 10, retry=Retry(("exit 3",), 2, 4 * SECOND)): TaskWeather(run=Constant(SECOND), exits=EXITS),
        _task("first", 3, 8, host=HostWish("node1", True)): TaskWeather(run=Constant(2 * SECOND)),
        _task("deleted", 2, 20, host=HERE): TaskWeather(run=Constant(4 * SECOND)),
    }
    people = [
        Ordered(6 * SECOND, host=OrderHost(1, HostVerb.DRAIN, "node1")),
        Ordered(9 * SECOND, task=OrderTask(2, TaskVerb.HOLD, "held", "a look at it")),
        Ordered(18 * SECOND, host=OrderHost(3, HostVerb.OFF, "node2")),
        Ordered(20 * SECOND, intake=OrderIntake(4, IntakeVerb.STOP, "lunch")),
        Ordered(25 * SECOND, task=OrderTask(5, TaskVerb.FLUSH, "steady")),
        Ordered(27 * SECOND, task=OrderTask(6, TaskVerb.DELETE, "deleted")),
    ]
    verbs = (JobVerb.KILL, JobVerb.DELETE, JobVerb.RETRY, JobVerb.KILL)
    people += [Ordered((3 + 2 * at) * SECOND, job=OrderJob(10 + at, verbs[at % 4], 2 + 3 * at)) for at in range(12)]
    for at_s in (30, 34):
        people += [Ordered(at_s * SECOND, host=OrderHost(7, HostVerb.ON, name)) for name in HOSTS]
        people.append(Ordered(at_s * SECOND, task=OrderTask(8, TaskVerb.RELEASE, "held")))
        people.append(Ordered(at_s * SECOND, intake=OrderIntake(9, IntakeVerb.RESUME)))
    return made_world("orders of people", tasks, orders=tuple(people))


def local_jobs() -> Pair:
    """Everything on the scheduler's own machine: no controller, handlers that run commands, jobs that take too long."""
    tasks = {
        _task("loop", 0.5, 24, host=HERE, retry=Retry(("exit 3",), 1, SECOND)): TaskWeather(
            run=Uniform(0, 2 * SECOND), exits=EXITS
        ),
        _task(
            "slow", 3, 8, timeout_s=4, host=HERE, handlers=(Handler("timed-out", run=("tell", "$job")),)
        ): TaskWeather(run=Uniform(SECOND, 7 * SECOND), ignores_term=0.5),
        _task("file", 1, source=FilesSource("incoming/*"), host=HERE, block=Block(("$item.in",), (), 10 * SECOND)): (
            TaskWeather(run=Constant(SECOND), before=Uniform(0, 3 * SECOND), items=_items(2, 12))
        ),
    }
    return made_world("local jobs", tasks)


def reload() -> Pair:
    """Another configuration while everything runs: a task changed, one gone, one new, a host more, one with more slots;
    and a second one that takes a host away again."""
    kept = _task("kept", 1, 24, lost_reruns=1)
    gone = _task("gone", 1, 30, host=HostWish("node2", True))
    new = _task("new", 1, 12, pending_s=10, host=HostWish("node3", True, when_unknown=HostPolicy(Wait.WAIT)))
    run = Uniform(SECOND, 4 * SECOND)
    found, scenario = made_world("reload", {kept: TaskWeather(run=run), gone: TaskWeather(run=run)})
    configuration = replace(found, language=LanguageSettings(hosts=("node3",)))  # so that it may crash, too
    changed = replace(kept, command=("kept", "anew"), retry=Retry(("exit 3",), 2, SECOND))
    cluster, more = configuration.cluster, (HostDefinition("node1", 3), HostDefinition("node2", 2))
    second = replace(
        configuration,
        tasks=(changed, new),
        cluster=replace(cluster, hosts=(*more, HostDefinition("node3", 1))),
    )
    third = replace(second, tasks=(changed,), cluster=replace(cluster, hosts=more))
    people = (Ordered(9 * SECOND, reload=second), Ordered(30 * SECOND, reload=third))
    tasks = {"kept": TaskWeather(run=run, exits=EXITS), "gone": TaskWeather(run=run), "new": TaskWeather(run=run)}
    return configuration, replace(scenario, tasks=tasks, orders=people)


def full_disk() -> Pair:
    """The journal's disk is full twice, once for longer than its reserve lasts; a host's disk as well."""
    tasks = {
        _task("any", 1, 30, lost_reruns=1): TaskWeather(run=Uniform(SECOND, 5 * SECOND)),
        _task("first", 2, 12, host=HostWish("node1", True)): TaskWeather(run=Constant(2 * SECOND), exits=EXITS),
        _task("here", 2, 12, host=HERE): TaskWeather(run=Constant(SECOND)),
    }
    faults = (
        _fault(Kind.DISK_FULL, 8, 12, SCHEDULER),
        _fault(Kind.DISK_FULL, 9, 12, CONTROLLER),
        _fault(Kind.FULL, 12, 15, "node1"),
        _fault(Kind.DISK_FULL, 30, 0.5, SCHEDULER),
    )
    return made_world("a full disk", tasks, faults=faults)


def cut_off() -> Pair:
    """A host is cut off for longer than its lease while it runs long jobs, some of which do not mind TERM; the link of
    another one is deaf on one side, loses, doubles and reorders."""
    tasks = {
        _task("long", 2, 16, lost_reruns=3): TaskWeather(run=Uniform(5 * SECOND, 40 * SECOND), ignores_term=0.3),
        _task("first", 3, 12, host=HostWish("node1", True, when_silent=HostPolicy(Wait.ELSEWHERE))): TaskWeather(
            run=Uniform(SECOND, 12 * SECOND)
        ),
        _task("brief", 2, 20): TaskWeather(run=Constant(SECOND)),
    }
    faults = (
        _fault(Kind.LOST, 10, 45, CONTROLLER, "node1"),
        _fault(Kind.ONE_WAY, 20, 6, "node2", CONTROLLER),
        _fault(Kind.LOSSY, 30, 10, CONTROLLER, "node2", chance=0.3),
        _fault(Kind.DOUBLED, 30, 10, CONTROLLER, "node2", chance=0.5),
        _fault(Kind.REORDERED, 42, 10, CONTROLLER, "node2", delay_ns=2 * SECOND),
    )
    hosts = {"node1": Host(drift_ppb=40_000), "node2": Host(drift_ppb=-40_000)}
    return made_world("cut off for longer than the lease", tasks, faults=faults, hosts=hosts)


def lost_hosts() -> Pair:
    """Hosts that reboot, once with an empty disk, agents and keepers that die: what is lost runs again, or is said to
    be lost."""
    tasks = {
        _task("again", 1, 24, lost_reruns=4): TaskWeather(run=Uniform(2 * SECOND, 9 * SECOND)),
        _task("once", 2, 14, handlers=(Handler("lost", run=("tell", "$job")),)): TaskWeather(
            run=Uniform(SECOND, 6 * SECOND)
        ),
        _task("here", 3, 8, host=HERE, lost_reruns=1): TaskWeather(run=Constant(2 * SECOND)),
    }
    faults = (
        _fault(Kind.AGENT_RESTART, 5, 2, "node1"),
        _fault(Kind.REBOOT, 12, 3, "node2"),
        _fault(Kind.KEEPER_CRASHED, 18, 1, "node1"),
        _fault(Kind.REBOOT, 25, 4, "node1", spool_lost=True),
        _fault(Kind.KEEPER_CRASHED, 30, 1, LOCAL),
    )
    return made_world("lost hosts", tasks, faults=faults)


def all_ends() -> Pair:
    """The ways in which a job can end: codes, signals, too long, no memory, no command, no room, nobody to start it."""
    tasks = {
        _task("codes", 2, 12, retry=Retry(("exit 3", "crash"), 2, SECOND)): TaskWeather(
            run=Uniform(0, 3 * SECOND), exits=EXITS, crashes=((11, 0.2),), out_of_memory=0.1
        ),
        _task("endless", 4, 8, timeout_s=5, handlers=(Handler("timed-out", run=("tell", "$job")),)): TaskWeather(
            run=Constant(2 * SECOND), never_ends=0.5, ignores_term=0.4
        ),
        _task("absent", 4, 6, handlers=(Handler("command-not-found", disable=True),)): TaskWeather(not_found=True),
        _task("missing", 5, 5, host=HERE): TaskWeather(not_found=True),
        _task("queue", 1, 14, pending_s=6, slots=2): TaskWeather(run=Uniform(SECOND, 6 * SECOND)),
    }
    faults = (_fault(Kind.OVERLOADED, 10, 8, "node1"), _fault(Kind.OVERLOADED, 14, 8, "node2"))
    return made_world("every kind of end", tasks, faults=faults, cluster={"rooms_max": 2})


def short_lines() -> Pair:
    """More jobs at once than an executor is given: they stand in lines before it, are tried again, wait for too long,
    and are held, released and killed there; and the controller is cut off meanwhile."""
    tasks = {
        _task("any", 60, source=FilesSource("incoming/*"), retry=Retry(("exit 3",), 1, SECOND), lost_reruns=2): (
            TaskWeather(
                run=Uniform(SECOND, 4 * SECOND),
                exits=EXITS,
                items=Items(pattern="file-%02d", every_ns=20 * SECOND, burst=12, count=24),
            )
        ),
        _task("near", 1, 10, pending_s=6, host=HostWish("node1", True), lost_reruns=1): TaskWeather(
            run=Uniform(SECOND, 5 * SECOND)
        ),
        _task("here", 1, 12, host=HERE): TaskWeather(run=Constant(4 * SECOND)),
    }
    verbs = (JobVerb.HOLD, JobVerb.KILL, JobVerb.HOLD)
    people = [Ordered((4 + at) * SECOND, job=OrderJob(10 + at, verbs[at % 3], 6 + 4 * at)) for at in range(9)]
    for at_s in (30, 34):
        people += [Ordered(at_s * SECOND, job=OrderJob(20 + at, JobVerb.RELEASE, 6 + 4 * at)) for at in range(9)]
    faults = (_fault(Kind.LOST, 12, 6, SCHEDULER, CONTROLLER),)
    return made_world(
        "short lines", tasks, orders=tuple(people), faults=faults, cluster={"front_max": 1, "local_slots": 1}
    )


def twelve_jobs() -> Pair:
    """Few jobs, so that all pairs of crashes can be gone through: any host, a required one, this one, a retry, a
    handler."""
    tasks = {
        _task("any", 2, 4, retry=Retry(("exit 3",), 1, SECOND), lost_reruns=2): TaskWeather(
            run=Uniform(SECOND, 3 * SECOND), exits=((0, 0.5), (3, 0.5))
        ),
        _task("near", 3, 3, host=HostWish("node1", True), handlers=(Handler("3", run=("tell", "$job")),)): TaskWeather(
            run=Constant(2 * SECOND), exits=((0, 0.5), (3, 0.5))
        ),
        _task("here", 3, 4, host=HERE): TaskWeather(run=Constant(SECOND)),
    }
    return made_world("twelve jobs", tasks, cluster={"hosts": (HostDefinition("node1", 2),)})


def _by_title(*makers: Callable[[], Pair]) -> dict[str, Callable[[], Pair]]:
    return {maker()[1].title: maker for maker in makers}


WORLDS = _by_title(
    retries_and_handlers, brief_jobs, wanted_hosts, items_and_files, windows, orders, local_jobs, reload, full_disk,
    cut_off, lost_hosts, all_ends, short_lines,
)  # fmt: skip
"""By title, in the order in which they are told."""
PAIRED = twelve_jobs()[1].title
