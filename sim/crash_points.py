"""All crash points of one small world: every process, every boundary of what it does, one run for each.

The world is run once without a crash, and every process's boundaries are counted (`sim/crashes.py`: before and after
each effect, before a commit is durable, between its durability and what waits for it). Then each number is a run: the
process dies there, comes back, and everything is judged as in the swarm. Called by `laulima torture --crash-points` and
the tests.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct, structs

from model.channel import ChannelTimes
from model.configuration import ClusterDefinition, Configuration, HostDefinition
from model.job import SECOND, Block, HostWish
from model.task import FilesSource, Handler, Limits, Periods, Retry, TaskDefinition
from sim.distributions import Constant, Uniform
from sim.faults import LOCAL
from sim.scenario import DiskModel, Fault, Items, Kind, Scenario, TaskWeather
from sim.simulation import simulate
from sim.system import keeper_process
from sim.torture import Verdict, judge
from sim.world import World

HOSTS = ("node1", "node2")
AWAY_NS = 2 * SECOND
"""How long a crashed process is away: less than any lease."""
KEEPER_AWAY_NS = SECOND
HEALED_NS = 300 * SECOND
BOUND_NS = 1500 * SECOND
NEVER = 1 << 40
"""A boundary that no process reaches: it is counted, and nothing happens."""


class CrashPoint(Struct, frozen=True):
    """`node`'s process (or, `keeper`, that of its keeper) dies at its `boundary`-th boundary, from 1."""

    node: str
    keeper: bool
    boundary: int

    @property
    def fault(self) -> Fault:
        """The crash as a fault."""
        kind, away_ns = (Kind.KEEPER_CRASHED, KEEPER_AWAY_NS) if self.keeper else (Kind.CRASHED, AWAY_NS)
        return Fault(kind, (self.node,), 0, away_ns, limit=self.boundary)


def base_world(*, one_process: bool = True) -> tuple[Configuration, Scenario]:
    """Some forty jobs that meet retries, handlers, items, files and all three kinds of hosts; a disk that syncs."""
    times = ChannelTimes(SECOND, 3 * SECOND, 20 * SECOND, 7 * SECOND, 2 * SECOND)
    cluster = ClusterDefinition(
        hosts=tuple(HostDefinition(name, 2) for name in HOSTS),
        times=times,
        local_times=times,
        backoff_cap_ns=4 * SECOND,
        connect_ns=5 * SECOND,
    )
    retry = Retry(("exit 3",), 2, SECOND)

    def periods(every_s: int) -> Periods:
        return Periods(every_s * SECOND, SECOND, 60 * SECOND, 300 * SECOND)

    tasks = (
        TaskDefinition(
            name="warp", command=("warp",), periods=periods(4), limits=Limits(total=12), retry=retry, lost_reruns=2
        ),
        TaskDefinition(
            name="check",
            command=("check", "$item"),
            periods=periods(3),
            source=FilesSource("incoming/*"),
            block=Block(("$item.in",), ("$item.out",), 30 * SECOND),
            limits=Limits(in_flight=3),
            lost_reruns=2,
        ),
        TaskDefinition(
            name="near",
            command=("near",),
            periods=periods(5),
            limits=Limits(total=8),
            host=HostWish("node2", True),
            handlers=(Handler("3", run=("tell", "$job")),),
        ),
        TaskDefinition(
            name="here", command=("here",), periods=periods(4), limits=Limits(total=10), host=HostWish(LOCAL, True)
        ),
    )
    exits = ((0, 0.7), (3, 0.3))
    scenario = Scenario(
        seed=1,
        for_ns=HEALED_NS + BOUND_NS + SECOND,
        tasks={
            "warp": TaskWeather(run=Uniform(SECOND, 8 * SECOND), exits=exits),
            "check": TaskWeather(
                run=Constant(2 * SECOND),
                before=Uniform(0, 3 * SECOND),
                after=Uniform(0, 2 * SECOND),
                items=Items(pattern="file-%02d", every_ns=3 * SECOND, count=10),
            ),
            "near": TaskWeather(run=Constant(3 * SECOND), exits=exits),
            "here": TaskWeather(run=Constant(SECOND)),
        },
        disk=DiskModel(5_000_000, 20_000_000, one_process=one_process),
        healed_ns=HEALED_NS,
        bound_ns=BOUND_NS,
        title="crash points",
    )
    return Configuration(path="crash points", directory="/", tasks=tasks, cluster=cluster), scenario


def crash_points(*, one_process: bool = True) -> Iterator[CrashPoint]:
    """All of them, process by process."""
    configuration, scenario = base_world(one_process=one_process)
    worlds: list[World] = []
    counting = structs.replace(scenario, faults=(CrashPoint("scheduler", False, NEVER).fault,))
    simulate(configuration, counting, prepare=worlds.append)
    passed = worlds[0].crashes.passed
    servers = ("scheduler",) if one_process else ("scheduler", "controller")
    for node in (*servers, *HOSTS):
        yield from (CrashPoint(node, False, boundary) for boundary in range(1, passed[node] + 1))
    for node in (*HOSTS, LOCAL):
        name = keeper_process(node)
        yield from (CrashPoint(node, True, boundary) for boundary in range(1, passed[name] + 1))


def crash_at(point: CrashPoint, *, one_process: bool = True) -> Verdict:
    """The verdict on the world in which just this crash happens."""
    configuration, scenario = base_world(one_process=one_process)
    return judge(configuration, structs.replace(scenario, faults=(point.fault,)))
