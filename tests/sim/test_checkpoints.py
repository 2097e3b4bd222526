"""Goal: a simulation that is ended at any moment goes on from its checkpoint as if nothing had been: the event log is
equal to the byte, and so is what was measured. What does not fit is refused, with a way out.

Method: worlds of the swarm, full of faults, are killed again and again (an exception in the middle of the run, junk
behind the log) and gone on with by new objects from the file; the log is compared with that of an undisturbed run.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from shutil import copy
from typing import Any, ClassVar

import pytest

import sim.checkpoints
import sim.object_graphs
from model.configuration import ClusterDefinition, Configuration, HostDefinition
from model.errors import ConfigurationError
from model.explain import Reason
from model.job import SECOND, JobId
from model.task import Periods, TaskDefinition
from shell.checkpointing import Pace
from sim.calendar import Calendar
from sim.checkpoints import Checkpoints, inputs_digest
from sim.distributions import Constant, Exponential
from sim.job_log import submissions, survey
from sim.measuring import Observed
from sim.object_graphs import UnwritableError, read_graph, write_graph
from sim.scenario import Fault, FaultPlan, Kind, Scenario, Unit
from sim.shared_measuring import measuring_of
from sim.simulation import SimulationResult, simulate
from sim.swarm import swarm
from sim.timeline import Timeline
from sim.views import for_all
from sim.workload import Feed
from tests.sim.test_shared_controller import killed, shared_world
from tests.sim.test_swf import random_log


class Killed(Exception):  # noqa: N818 - it is what happens to a process, no error
    """The process is gone."""


class Rounds:
    """Writes a checkpoint `every` pieces, and is killed right after, each time anew."""

    def __init__(self, every: int) -> None:
        self.every = every
        self.left = every

    def due(self) -> bool:
        self.left -= 1
        if self.left < 0:
            self.left = self.every
            raise Killed
        return self.left == 0


World = tuple[Configuration, Scenario]
JUNK = b'{"event":"half a li' * 100_000
"""What stands behind the checkpoint in a log whose writer was killed later: more than what follows."""


def killed_and_resumed(world: World, folder: Path, every: int, feed: Callable[[], Feed] | None = None) -> Any:
    """(result, metrics, timeline, how often it was killed) of a run that is killed all the time."""
    path, log, rounds, kills = folder / "checkpoint", folder / "log", Rounds(every), 0
    while True:
        measuring, timeline = measuring_of(*world), Timeline()
        checkpoints = Checkpoints(path, "world", rounds.due)
        with log.open("r+b" if path.exists() else "wb") as file:
            try:
                result = simulate(
                    *world, file=file, readers=(measuring, for_all(world[1], timeline)), checkpoints=checkpoints,
                    feed=None if feed is None else feed(),
                )  # fmt: skip
            except Killed:
                kills += 1
                file.write(JUNK)
                continue
        return result, measuring.metrics(), timeline, kills


def undisturbed(world: World, feed: Feed | None = None) -> tuple[SimulationResult, Any, Timeline]:
    measuring, timeline = measuring_of(*world), Timeline()
    readers = (measuring, for_all(world[1], timeline))
    return simulate(*world, readers=readers, feed=feed), measuring.metrics(), timeline


def assert_same(world: World, folder: Path, every: int, *, feed: Callable[[], Feed] | None = None) -> None:
    result, metrics, timeline = undisturbed(world, None if feed is None else feed())
    again, metrics_again, timeline_again, kills = killed_and_resumed(world, folder, every, feed)
    assert kills > 1
    assert (again.hash, again.lines) == (result.hash, result.lines)
    assert blake2b((folder / "log").read_bytes(), digest_size=16).hexdigest() == result.hash
    assert again.tally.tasks == result.tally.tasks
    assert (again.violation_count, again.checked) == (result.violation_count, result.checked)
    assert metrics_again == metrics
    assert (timeline_again.hurt, timeline_again.series.areas) == (timeline.hurt, timeline.series.areas)


@pytest.mark.parametrize("seed", [3, 14])
def test_a_world_full_of_faults_goes_on_as_if_nothing_had_been(tmp_path: Path, seed: int) -> None:
    assert_same(swarm(seed), tmp_path, 600)


def test_several_schedulers_at_one_controller_go_on_alike(tmp_path: Path) -> None:
    assert_same(shared_world(3, killed(3)), tmp_path, 600)


def test_fault_plans_go_on_where_they_were(tmp_path: Path) -> None:
    hosts = tuple(HostDefinition(f"n{number}", 1) for number in range(4))
    task = TaskDefinition("t", ("t",), periods=Periods(exec_ns=20 * SECOND))
    unit = [Unit(host.name, ((host.name,),)) for host in hosts]
    plan = FaultPlan(
        "bad",
        Fault(Kind.DOWN),
        tuple(unit),
        Exponential(60 * SECOND),
        Exponential(300 * SECOND),
        first=Constant(SECOND),
    )
    world = (
        Configuration("x", ".", cluster=ClusterDefinition(hosts=hosts), tasks=(task,)),
        Scenario(for_ns=1200 * SECOND, plans=(plan,)),
    )
    assert_same(world, tmp_path, 600)


def test_a_job_log_goes_on_with_the_job_that_comes_next(tmp_path: Path) -> None:
    found = survey(random_log(tmp_path / "log.swf", 200, 4, 5))
    hosts = (HostDefinition("big", 4),)
    world = (Configuration("x", ".", cluster=ClusterDefinition(hosts=hosts)), Scenario(for_ns=found.horizon_ns))
    assert_same(world, tmp_path, 30, feed=lambda: Feed(submissions(found), ends=True))


def test_what_was_planned_before_still_happens_before_what_is_planned_after(tmp_path: Path) -> None:
    calendar = Calendar(100)
    for number in range(3):
        calendar.after(10, 1, Node(str(number)))
    found = through(Node("calendar", calendar), tmp_path).more["calendar"]
    found.after(10, 1, Node("later"))
    Node.happened.clear()
    found.run_to_end()
    assert Node.happened == ["0", "1", "2", "later"]
    assert (found.now, found.until_ns) == (100, 100)


# what does not fit


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a checkpoint in the middle of a world, and its log."""
    folder = tmp_path_factory.mktemp("kept")
    with (folder / "log").open("wb") as file, pytest.raises(Killed):
        simulate(*swarm(3), file=file, checkpoints=Checkpoints(folder / "checkpoint", "world", Rounds(1000).due))
    return folder


@pytest.fixture
def kept(made: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    for file in made.iterdir():
        copy(file, tmp_path)
    return tmp_path / "checkpoint"


def go_on(folder: Path, inputs: str = "world") -> None:
    with (folder / "log").open("r+b") as file:
        simulate(*swarm(3), file=file, checkpoints=Checkpoints(folder / "checkpoint", inputs, lambda: False))


@pytest.mark.usefixtures("kept")
def test_the_checkpoint_of_another_world_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="another rehearsal") as refused:
        go_on(tmp_path, "another world")
    assert refused.value.hint.startswith("to begin anew: rm ")


@pytest.mark.usefixtures("kept")
def test_the_checkpoint_of_other_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sim.checkpoints, "code_digest", lambda: "a later version")
    with pytest.raises(ConfigurationError, match="another version"):
        go_on(tmp_path)


@pytest.mark.usefixtures("kept")
def test_a_log_that_ends_before_the_checkpoint_is_refused(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(log.read_bytes()[:500])
    with pytest.raises(ConfigurationError, match="has only 500 bytes of the"):
        go_on(tmp_path)


@pytest.mark.parametrize("cut", [1, 5000])
def test_a_damaged_checkpoint_is_refused(kept: Path, tmp_path: Path, cut: int) -> None:
    path = kept
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(ConfigurationError, match="is damaged"):
        go_on(tmp_path)


def test_a_file_that_is_no_checkpoint_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    path.write_text("precious\n")
    (tmp_path / "log").touch()
    with pytest.raises(ConfigurationError, match="is no checkpoint"):
        go_on(tmp_path)
    assert path.read_text() == "precious\n"


def test_a_checkpoint_that_others_can_write_is_not_trusted(kept: Path, tmp_path: Path) -> None:
    assert kept.stat().st_mode & 0o777 == 0o600
    kept.chmod(0o660)
    with pytest.raises(ConfigurationError, match="can be written by others"):
        go_on(tmp_path)


def test_every_input_is_in_the_digest() -> None:
    configuration, scenario = swarm(3)
    digests = {
        inputs_digest(configuration, scenario, []),
        inputs_digest(configuration, scenario, ["--metrics"]),
        inputs_digest(configuration, swarm(4)[1], []),
        inputs_digest(swarm(4)[0], scenario, []),
    }
    assert len(digests) == 4


# when


@pytest.mark.parametrize(("takes_s", "gap_s"), [(0.5, 60), (10.0, 200)])
def test_a_checkpoint_is_written_each_minute_and_takes_a_twentieth_of_the_time_at_most(
    takes_s: float, gap_s: int
) -> None:
    now = 0.0
    pace = Pace(lambda: now)
    ends: list[float] = []
    gaps: list[float] = []
    while len(gaps) < 3:
        now += 1.0
        if pace.due():
            gaps += [now - ends[-1]] if ends else []
            now += takes_s
            ends.append(now)
    assert gaps == pytest.approx([gap_s] * 3, abs=22.0)
    assert sum(gaps) >= 19 * 3 * takes_s


# graphs


class Node:
    """Something of ours with an identity."""

    happened: ClassVar[list[str]] = []

    def __init__(self, name: str, *more: Any) -> None:
        self.name = name
        self.next: Node | None = None
        self.more: dict[str, Any] = dict.fromkeys((name,), *more) if more else {}

    def happens(self) -> None:
        """In a calendar."""
        self.happened.append(self.name)


Node.__module__ = sim.object_graphs.__name__
sim.object_graphs.Node = Node  # type: ignore[attr-defined]


def through(node: Node, folder: Path) -> Node:
    path = folder / "graph"
    with path.open("wb") as file:
        write_graph(file, [node])
    again = Node("")
    read_graph(path.read_bytes(), [again])
    return again


def test_cycles_identities_and_kinds_of_containers_come_back(tmp_path: Path) -> None:
    node, other = Node("one"), Node("two")
    node.next, other.next = other, node
    shared = [1, 2]
    observed = Observed(JobId(1), "t", None, 1, 1, 0, 5, 6)
    node.more = {
        "shared": shared, "again": shared, "by": {JobId(3): other}, "deque": deque([other], 3), "set": {3, 4},
        "counter": Counter(a=2), "default": defaultdict(list, x=[1]), "call": other.more.get, "reason": Reason.HELD,
        "observed": observed, "pair": (other, observed),
    }  # fmt: skip
    found = through(node, tmp_path)
    assert found.next is not None
    assert found.next.next is found
    more = found.more
    assert more["shared"] is more["again"]
    assert more["by"][3] is found.next
    assert more["deque"].maxlen == 3
    assert more["counter"] == Counter(a=2)
    assert more["default"]["y"] == []
    assert more["reason"] is Reason.HELD
    assert more["pair"][1] is more["observed"]
    assert more["observed"] == observed
    found.next.more["new"] = 7
    assert more["call"]("new") == 7


def test_a_long_chain_is_no_deep_recursion(tmp_path: Path) -> None:
    first = node = Node("0")
    for number in range(1, 5_000):
        node.next = Node(str(number))
        node = node.next
    found: Node | None = through(first, tmp_path)
    length = 0
    while found is not None:
        assert found.name == str(length)
        found, length = found.next, length + 1
    assert length == 5_000


def test_a_constant_of_a_module_is_the_same_one_again(tmp_path: Path) -> None:
    node = Node("x")
    node.more["kind"] = 7, sim.object_graphs._CELL
    assert through(node, tmp_path).more["kind"][1] is sim.object_graphs._CELL


def test_what_cannot_be_written_is_named(tmp_path: Path) -> None:
    node = Node("x")
    node.more["rows"] = (number for number in range(3))
    with pytest.raises(UnwritableError, match="generator stands in the way"):
        through(node, tmp_path)
