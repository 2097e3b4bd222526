"""Goal: a host whose link swallows everything in the middle of a word delays nobody else (promise P8).

Method: 20 hosts, each with jobs that want just this one; the link of one of them lets nothing through any more. What
the event log says of the 19 others (what they are given, what they start, when it ends, what is recorded of it, each
word on their links) is compared, byte by byte, with the same world in which that host is well, in which it is drained,
and, but for the numbers of jobs, in which there is no such host. Then jobs for any host: there the black hole costs
exactly its slots.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import cache

import msgspec
import pytest

from model.channel import ChannelTimes
from model.configuration import ClusterDefinition, Configuration, HostDefinition
from model.events import HostVerb, OrderHost
from model.job import SECOND, HostWish
from model.messages import Acknowledge, Ping
from model.records import AttemptGiven, JobAccepted
from model.task import Limits, Periods, TaskDefinition
from sim.distributions import Uniform
from sim.log import Committed, Line, LinkChanged, ProcessEnded, ProcessStarted, Sent
from sim.scenario import Fault, Kind, Network, Ordered, Scenario, TaskWeather
from tests.sim.event_lines import event_lines

HOSTS = tuple(f"node{number:02d}" for number in range(1, 21))
HOLE = "node20"
FROM_NS = 60 * SECOND
FOR_NS = 240 * SECOND
TIMES = ChannelTimes(5 * SECOND, 15 * SECOND, 60 * SECOND, 10 * SECOND, 5 * SECOND)
BLACK_HOLE = Fault(Kind.LOST, ("controller", HOLE), FROM_NS)
DEAF = Fault(Kind.ONE_WAY, ("controller", HOLE), FROM_NS)
MUTE = Fault(Kind.ONE_WAY, (HOLE, "controller"), FROM_NS)
DRAINED = Ordered(0, host=OrderHost(1, HostVerb.DRAIN, HOLE))


def configured(tasks: tuple[TaskDefinition, ...], hosts: tuple[str, ...], slots: int) -> Configuration:
    cluster = ClusterDefinition(hosts=tuple(HostDefinition(name, slots) for name in hosts), times=TIMES)
    return Configuration("", "/", tasks, cluster)


@cache
def own_jobs(*faults: Fault, orders: tuple[Ordered, ...] = (), hosts: tuple[str, ...] = HOSTS) -> list[Line]:
    """A task of its own for each host: 4 s or so of work every 3 s and some, on two slots. No two tasks make a job at
    the same instant, so the numbers of jobs are the same whatever happens to them."""
    tasks = tuple(
        TaskDefinition(
            name=f"for-{host}",
            command=("work",),
            periods=Periods(3 * SECOND + number * 7_654_321, SECOND, 100 * SECOND, 200 * SECOND),
            host=HostWish(host, True),
        )
        for number, host in enumerate(hosts, 1)
    )
    scenario = Scenario(
        for_ns=FOR_NS,
        network=Network(jitter_ns=SECOND // 100),
        tasks={task.name: TaskWeather(run=Uniform(SECOND, 7 * SECOND), exits=((0, 0.8), (1, 0.2))) for task in tasks},
        faults=faults,
        orders=orders,
    )
    return event_lines(configured(tasks, hosts, 2), scenario)


def of_others(lines: list[Line]) -> Iterator[bytes]:
    """Everything that is said of, by and to the hosts that are well, as it stands in the log. Of the words between
    scheduler and controller, which speak of many hosts at once, those about their jobs."""
    others = frozenset(HOSTS) - {HOLE}
    theirs = {
        line.record.job
        for line in lines
        if isinstance(line, Committed) and isinstance(line.record, JobAccepted) and line.record.spec.host.name != HOLE
    }
    for line in lines:
        if isinstance(line, ProcessStarted | ProcessEnded):
            chosen = line.node in others
        elif isinstance(line, LinkChanged):
            chosen = line.peer in others
        elif isinstance(line, Committed):
            chosen = getattr(line.record, "job", 0) in theirs
        elif isinstance(line, Sent) and not {line.node, line.to} & {*others, HOLE}:
            for message in line.batch.messages:
                if getattr(message, "job", 0) in theirs:
                    yield msgspec.json.encode((line.t, line.node, message))
            continue
        else:
            chosen = isinstance(line, Sent) and bool({line.node, line.to} & others)
        if chosen:
            yield msgspec.json.encode(line)


def test_the_hole_swallows() -> None:
    """What is compared below is another night for the host itself."""
    lines = own_jobs(BLACK_HOLE)
    ends = [line.t for line in lines if isinstance(line, ProcessEnded) and line.node == HOLE]
    assert max(ends) < FROM_NS + TIMES.lease_ns + 10 * SECOND
    assert [line.state for line in lines if isinstance(line, LinkChanged) and line.peer == HOLE][-1] == "not vouched"


@pytest.mark.parametrize(
    "fault", [BLACK_HOLE, DEAF, MUTE], ids=["nothing passes", "nothing gets in", "nothing comes out"]
)
def test_the_others_are_exactly_as_if_the_host_were_well(fault: Fault) -> None:
    well, hole = own_jobs(), own_jobs(fault)
    expected, found = [*of_others(well)], [*of_others(hole)]
    assert len(expected) > 10_000
    assert found == expected


def test_the_others_are_exactly_as_if_the_host_were_drained() -> None:
    assert [*of_others(own_jobs(BLACK_HOLE))] == [*of_others(own_jobs(orders=(DRAINED,)))]


def lives(lines: list[Line]) -> list[tuple[object, ...]]:
    """When each job of the hosts that are well was made, given, started, ended, by its task and its number there."""
    names: dict[int, tuple[str, int]] = {}
    made: Counter[str] = Counter()
    told: list[tuple[object, ...]] = []
    for line in lines:
        if isinstance(line, Committed) and isinstance(line.record, JobAccepted):
            task = line.record.spec.task
            made[task] += 1
            names[line.record.job] = (task, made[task])
        job = getattr(line.record if isinstance(line, Committed) else line, "job", 0)
        if job in names and HOLE not in names[job][0]:
            kind = type(line.record if isinstance(line, Committed) else line).__name__
            told.append((line.t, line.node, kind, *names[job]))  # type: ignore[union-attr]
    return told


def test_the_others_are_exactly_as_if_there_were_no_such_host() -> None:
    without, hole = own_jobs(hosts=HOSTS[:-1]), own_jobs(BLACK_HOLE)
    assert len(lives(without)) > 5_000
    assert lives(hole) == lives(without)


def test_what_is_said_into_the_hole_is_little() -> None:
    """Nothing piles up for a host that does not hear: once its silence is noticed, it is pinged, and that
    its lost jobs need not be told is said once."""
    into = [line for line in own_jobs(BLACK_HOLE) if isinstance(line, Sent) and line.to == HOLE and line.t > FROM_NS]
    late = [line for line in into if line.t > FROM_NS + TIMES.silent_ns + TIMES.ping_ns]
    assert len(into) - len(late) < 10
    assert 10 < len(late) <= (FOR_NS - FROM_NS) // TIMES.ping_ns
    assert {type(message) for line in late for message in line.batch.messages} <= {Ping, Acknowledge}


# a pool


@cache
def pool(*faults: Fault) -> list[Line]:
    """Jobs for any host: more than there are slots, and none of the first ones ends before the hole opens."""
    first = TaskDefinition("first", ("work",), periods=Periods(SECOND // 10, SECOND, 0, 0), limits=Limits(total=20))
    more = TaskDefinition("more", ("work",), periods=Periods(SECOND // 2, SECOND, 0, 0), limits=Limits(total=300))
    weather = {
        "first": TaskWeather(run=Uniform(70 * SECOND, 80 * SECOND)),
        "more": TaskWeather(run=Uniform(2 * SECOND, 9 * SECOND)),
    }
    scenario = Scenario(for_ns=600 * SECOND, tasks=weather, faults=faults, network=Network(jitter_ns=SECOND // 100))
    return event_lines(configured((first, more), HOSTS, 1), scenario)


def lives_on_others(lines: list[Line]) -> list[bytes]:
    """What is true of the processes of the hosts that are well, as it stands in the log."""
    return [
        msgspec.json.encode(line)
        for line in lines
        if isinstance(line, ProcessStarted | ProcessEnded) and line.node != HOLE
    ]


def given(lines: list[Line]) -> list[tuple[int, str, int]]:
    """(when, host, job) of everything that the controller gives to hosts that are well."""
    return [
        (line.t, line.record.host, line.record.job)
        for line in lines
        if isinstance(line, Committed) and isinstance(line.record, AttemptGiven) and line.record.host != HOLE
    ]


def test_in_a_pool_a_black_hole_costs_the_others_nothing_but_its_slots() -> None:
    """To the others it is the same whether it swallows everything or is known to be gone; and its slots are missed."""
    well, gone, hole = pool(), pool(Fault(Kind.DOWN, (HOLE,), FROM_NS)), pool(BLACK_HOLE)
    assert given(hole) == given(gone)
    assert lives_on_others(hole) == lives_on_others(gone)
    assert len(given(hole)) > len(given(well))
    assert max(given(hole))[0] > max(given(well))[0]


def test_in_a_pool_no_slot_of_the_others_stands_empty_while_jobs_wait() -> None:
    """From an end to the next start on the same host: the way there and back, and nothing more."""
    lines = pool(BLACK_HOLE)
    over_ns = max(given(lines))[0]
    ended: dict[str, int] = {}
    gaps = []
    for line in lines:
        if isinstance(line, ProcessEnded) and line.node != HOLE:
            ended[line.node] = line.t
        elif isinstance(line, ProcessStarted) and line.node in ended and line.t < over_ns:
            gaps.append(line.t - ended[line.node])
    assert len(gaps) > 200
    assert max(gaps) < SECOND // 10
