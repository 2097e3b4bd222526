"""Goal: in simulated worlds no host and no shared counter is ever overused, and bugs that would do so are seen.

Method: the swarm's worlds that have resources; bugs planted into the machines, each of which must be found within some
worlds; single lines of a log that break one promise each; a host that ends whatever it gets.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from model.configuration import ClusterDefinition, Configuration, HostDefinition
from model.controller import Controller
from model.events import HostVerb, OrderHost
from model.health import HealthPolicy
from model.host import Host
from model.job import SECOND, JobId, JobSpec, Outcome, Report
from model.placing import Placing
from model.records import SET_ASIDE, AttemptGiven, HostChanged, Record
from model.resources import Needs
from model.task import FilesSource, Periods, TaskDefinition
from shell.config import load
from sim.distributions import Constant
from sim.log import Committed, Declared, EventLog, FaultChanged, Line, ProcessEnded, ProcessStarted
from sim.oracle import Oracle
from sim.scenario import Fault, Items, Kind, Ordered, Scenario, TaskWeather
from sim.simulation import simulate
from sim.swarm import swarm
from sim.torture import torture

ROOT = Path(__file__).parents[2]
WORLDS = 60
SEARCHED = 60
"""Worlds in which a planted bug must be seen."""

Patch = pytest.MonkeyPatch


def seeds(count: int) -> Iterator[int]:
    """The first worlds of the swarm that have resources."""
    seed = 0
    while count:
        if swarm(seed)[0].cluster.resources:
            count -= 1
            yield seed
        seed += 1


# whole worlds


def test_in_worlds_with_resources_every_promise_holds() -> None:
    for seed in seeds(WORLDS):
        assert torture(seed).problems == [], f"seed {seed}"


def test_those_worlds_are_not_dull() -> None:
    """Resources of each kind are given out, labels are asked for, hosts are set aside."""
    seen: Counter[str] = Counter()

    def read(line: Committed) -> None:
        seen.update(kinds_of(line.record))

    for seed in seeds(40):
        configuration, scenario = swarm(seed)
        simulate(configuration, scenario, check=False, prepare=lambda world: add_reader(world.log, {Committed: read}))
    for kind in ("gpus", "licence_x", "memory", "cpus", "labels"):
        assert seen[kind] > 20, kind
    assert seen["aside"] > 2


def kinds_of(record: Record) -> list[str]:
    if isinstance(record, HostChanged):
        return ["aside"] if record.verb == SET_ASIDE else []
    if not isinstance(record, AttemptGiven) or record.spec.needs is None:
        return []
    needs = record.spec.needs
    return [*(name for name, _ in needs.resources), *(["labels"] if needs.labels else [])]


def add_reader(log: EventLog, table: dict[type, Callable[[Any], None]]) -> None:
    for kind, read in table.items():
        if kind is Committed:
            log._of_records = {record: (*known, read) for record, known in log._of_records.items()}
        else:
            log._readers[kind] += (read,)


def test_the_log_of_such_a_world_does_not_depend_on_the_hash_seed() -> None:
    chosen = list(seeds(3))
    program = f"""
from sim.simulation import simulate
from sim.swarm import swarm
print(*[simulate(*swarm(seed)).hash for seed in {chosen}])
"""
    found = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
            timeout=100,
        ).stdout
        for hash_seed in ("0", "1")
    ]
    assert found[0] == found[1]


def test_worlds_without_resources_declare_nothing() -> None:
    configuration, scenario = swarm(next(seed for seed in range(99) if not swarm(seed)[0].cluster.resources))
    lines: list[Line] = []
    simulate(configuration, scenario, prepare=lambda world: add_reader(world.log, {Declared: lines.append}))
    assert not lines
    assert all(task.needs is None for task in configuration.tasks)


# planted bugs


def free_a_resource_twice(patch: Patch) -> None:
    give_back = Placing.give_back

    def mutant(self: Placing, job: Any, host: Host) -> None:
        give_back(self, job, host)
        if job.spec.needs is not None:
            own, shared = self.shapes.split(job.spec.needs.resources)
            host.stock.give_back(own)
            self.shared.give_back(shared)

    patch.setattr(Placing, "give_back", mutant)


def forget_resources_over_a_restart(patch: Patch) -> None:
    take = Placing.take

    def mutant(self: Placing, job: Any, host: Host, now: int) -> None:
        needs = job.spec.needs
        if needs is not None and needs.gpus:
            job.spec = structs.replace(job.spec, needs=None)
        take(self, job, host, now)

    patch.setattr(Placing, "take", mutant)


def a_lost_attempt_keeps_its_resources(patch: Patch) -> None:
    ended_at = Controller._ended_at

    def mutant(self: Controller, host: Host, job: Any, report: Report, now: int) -> None:
        if report.outcome is Outcome.LOST:
            job.spec = structs.replace(job.spec, needs=None)
        ended_at(self, host, job, report, now)

    patch.setattr(Controller, "_ended_at", mutant)


def ignore_labels(patch: Patch) -> None:
    split = Placing.admit

    def mutant(self: Placing, job: Any, now: int) -> None:
        spec = job.spec
        if spec.needs is not None:
            job.spec = structs.replace(spec, needs=structs.replace(spec.needs, labels=(), avoid=()))
        split(self, job, now)
        job.spec = spec

    patch.setattr(Placing, "admit", mutant)


@pytest.mark.parametrize(
    ("plant", "promise"),
    [
        (free_a_resource_twice, "needs"),
        (forget_resources_over_a_restart, "needs"),
        (a_lost_attempt_keeps_its_resources, "rest"),
        (ignore_labels, "needs"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_planted_bug_is_seen(plant: Callable[[Patch], None], promise: str, monkeypatch: Patch) -> None:
    plant(monkeypatch)
    assert any(promise in torture(seed).promises for seed in seeds(SEARCHED))


# single lines


def broken(*lines: Line) -> list[str]:
    """What the oracle says of these lines."""
    oracle = Oracle()
    oracle.read(lines)
    return [violation.text for violation in oracle.violations if violation.promise == "needs"]


def given(job: int, host: str, *resources: tuple[str, int], **fields: Any) -> Committed:
    needs = Needs(resources, **fields)
    return Committed(0, "controller", AttemptGiven(JobId(job), 1, host, 1, JobSpec("t", needs=needs)))


def starts(job: int, host: str, t: int = 1) -> ProcessStarted:
    return ProcessStarted(t, host, job, 1, 1000 + job, 1)


def ends(job: int, host: str, t: int = 2) -> ProcessEnded:
    return ProcessEnded(t, host, job, 1, 1, 0, None)


def test_more_than_the_host_has() -> None:
    lines = (Declared(0, "a", (("cpus", 3),)), given(1, "a", ("cpus", 2)), given(2, "a", ("cpus", 2)))
    assert broken(*lines, starts(1, "a"), ends(1, "a"), starts(2, "a")) == []
    assert broken(*lines, starts(1, "a"), starts(2, "a")) == [
        "attempt (2, 1) takes 2 cpus on a: 4 are in use, there are 3"
    ]


def test_more_than_the_cluster_shares() -> None:
    lines = (Declared(0, "", (("x", 1),)), given(1, "a", ("x", 1)), given(2, "b", ("x", 1)))
    assert "of the cluster: 2 are in use" in broken(*lines, starts(1, "a"), starts(2, "b"))[0]


def test_one_gpu_for_two() -> None:
    lines = (
        Declared(0, "a", (("gpus", 2),)),
        given(1, "a", ("gpus", 1), gpus=(0,)),
        given(2, "a", ("gpus", 1), gpus=(0,)),
    )
    assert broken(*lines, starts(1, "a"), starts(2, "a")) == ["attempts (2, 1) and (1, 1) have GPU 0 of a at once"]
    short = broken(Declared(0, "a", (("gpus", 2),)), given(1, "a", ("gpus", 2), gpus=(0,)), starts(1, "a"))
    assert short == ["attempt (1, 1) needs 2 GPUs and was given [0]"]


def test_a_label_that_is_not_there_and_a_host_that_is_avoided() -> None:
    declared = Declared(0, "a", (), ("ssd",))
    assert broken(declared, given(1, "a", labels=("ssd",))) == []
    assert broken(declared, given(1, "a", labels=("fast",))) == [
        "attempt (1, 1) was given to a, which has no label fast"
    ]
    assert broken(declared, given(1, "a", avoid=("a",))) == ["attempt (1, 1) was given to a, which it avoids"]


def test_what_stood_still_with_its_machine_does_not_count() -> None:
    lines = (Declared(0, "a", (("cpus", 1),)), given(1, "a", ("cpus", 1)), given(2, "a", ("cpus", 1)))
    suspended = FaultChanged(1, "suspended", ("a",), True)
    assert broken(*lines, starts(1, "a"), suspended, starts(2, "a"), ends(1, "a")) == []


# a host that ends everything


HOSTS = 4
JOBS = 240
"""Of each of the three tasks, one a minute."""
HOUR = 3600 * SECOND


def night(health: HealthPolicy, *faults: Fault, orders: tuple[Ordered, ...] = ()) -> tuple[Counter[str], int]:
    """A day of three busy tasks on four hosts: ends, and jobs that began on node2."""
    tasks = tuple(
        TaskDefinition(
            name,
            command=("work", "$item"),
            source=FilesSource(f"{name}/*"),
            periods=Periods(SECOND, timeout_ns=0, pending_ns=0),
        )
        for name in ("reduce", "warp", "stack")
    )
    cluster = ClusterDefinition(hosts=tuple(HostDefinition(f"node{one + 1}", 2) for one in range(HOSTS)), health=health)
    weather = TaskWeather(run=Constant(60 * SECOND), items=Items(every_ns=60 * SECOND, count=JOBS))
    scenario = Scenario(
        for_ns=8 * HOUR, tasks={task.name: weather for task in tasks}, faults=faults, orders=orders, title="night"
    )
    configuration = Configuration("night.yaml", "/", tasks, cluster)
    began: list[ProcessStarted] = []
    result = simulate(
        configuration, scenario, prepare=lambda world: add_reader(world.log, {ProcessStarted: began.append})
    )
    assert result.good
    total: Counter[str] = Counter()
    for tally in result.tally.tasks.values():
        total.update(tally.outcomes)
    return total, sum(1 for line in began if line.node == "node2" and HOUR < line.t < 3 * HOUR)


FAILS = Fault(Kind.FAILING, ("node2",), HOUR, 2 * HOUR)


def test_a_black_hole_eats_the_queue_without_the_guard_and_nearly_nothing_with_it() -> None:
    unguarded, _ = night(HealthPolicy(failures=0), FAILS)
    guarded, there = night(HealthPolicy(), FAILS)
    assert unguarded["exit 1"] > 60
    assert guarded["exit 1"] <= 12, "five to find it, and one probe after each pause: 5, 10, 20, 40, 60 minutes"
    assert there <= guarded["exit 1"] + 10
    assert guarded["exit 0"] + guarded["exit 1"] == 3 * JOBS


def test_after_the_fault_it_works_again() -> None:
    quiet, before = night(HealthPolicy())
    assert quiet == {"exit 0": 3 * JOBS}
    on = Ordered(3 * HOUR + SECOND, host=OrderHost(1, HostVerb.ON, "node2"))
    ended, _ = night(HealthPolicy(), FAILS, orders=(on,))
    assert ended["exit 0"] > 3 * JOBS - 20
    assert before > 0


def test_the_example_runs_in_simulation() -> None:
    configuration = load(ROOT / "configs" / "resources.yaml").configuration
    weather = TaskWeather(run=Constant(500 * SECOND), items=Items(every_ns=60 * SECOND, count=100))
    scenario = Scenario(for_ns=24 * HOUR, tasks=dict.fromkeys(("calibrate", "train", "solve"), weather))
    most: Counter[str] = Counter()
    alive: dict[int, str] = {}

    def begin(line: ProcessStarted) -> None:
        alive[line.job] = line.node
        for name, count in Counter(alive.values()).items():
            most[name] = max(most[name], count)

    def end(line: ProcessEnded) -> None:
        del alive[line.job]

    result = simulate(
        configuration,
        scenario,
        prepare=lambda world: add_reader(world.log, {ProcessStarted: begin, ProcessEnded: end}),
    )
    assert result.violations == ()
    assert result.tally.tasks["train"].outcomes == {"exit 0": 100}
    assert result.tally.tasks["solve"].outcomes == {"exit 0": 100}
    assert most["gpu1"] == 2, "two GPUs, and nobody else goes there"
