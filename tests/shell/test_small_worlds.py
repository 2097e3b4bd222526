"""Goal: a small world fails as the large one does: its expectation is there, and what has to be reached is not missed
just because nothing runs any more. What does not matter is found in few tries.

Method: two tasks on three hosts, rehearsed by the command line; the file that `--shrink` writes is read back.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from model.configuration import ClusterDefinition, Configuration, HostDefinition
from shell.main import main
from shell.worlds import WrittenWorld, read_world
from sim.scenario import Fault, Kind, Scenario
from sim.shrinking import shrink_while

PIPELINE = """\
cluster:
  hosts: [{name: "node[1-3]", slots: 2}]
tasks:
  warp: {command: [warp], periods: {exec: 20s}}
  other: {command: [other], periods: {exec: 5m}}
"""
SCENARIO = """\
pipeline: pipeline.yaml
for: 1h
tasks: {warp: {run: 20s}}
faults: [node1 down 10m-11m, hosts down 15m-55m]
"""


@pytest.fixture
def night(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pipeline.yaml").write_text(PIPELINE)
    return tmp_path


def shrunk(night: Path, expect: str) -> WrittenWorld:
    (night / "night.yaml").write_text(SCENARIO + expect)
    assert main(["sim", "night.yaml", "--shrink", "small.yaml"]) == 1
    assert main(["sim", "small.yaml"]) == 1
    return read_world(night / "small.yaml")


def test_a_large_count_is_still_expected_of_the_small_world(night: Path) -> None:
    """It is told with a gap between its thousands."""
    small = shrunk(night, 'expect: {warp: {"exit 0": ">=10000"}}')
    assert [str(one) for one in small.scenario.expect] == ["warp: exit 0 >= 10000"]


def test_what_has_to_be_reached_is_reached_in_the_small_world_but_for_its_faults(
    night: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = shrunk(night, "expect: [tasks.warp.ended > 150]")
    assert [task.name for task in small.configuration.tasks] == ["warp"]
    assert {fault.kind.value for fault in small.scenario.faults} == {"down"}
    assert all(fault.for_ns == 2400 * 10**9 for fault in small.scenario.faults)
    capsys.readouterr()
    (night / "well.yaml").write_text((night / "small.yaml").read_text().partition("  faults:")[0] + WANTED)
    assert main(["sim", "well.yaml"]) == 0


WANTED = "  wanted: [{figure: tasks.warp.ended, comparison: '>', limit: 150.0}]\n"


def test_what_was_never_to_be_reached_keeps_all_that_runs(night: Path) -> None:
    small = shrunk(night, "expect: [tasks.warp.ended > 1000]")
    assert len(small.configuration.tasks) == 2
    assert len(small.configuration.cluster.hosts) == 3
    assert small.scenario.for_ns == 3600 * 10**9
    assert not small.scenario.faults


def test_what_only_faults_bring_about_needs_a_fault_in_the_small_world(night: Path) -> None:
    """Without any host a deadline is missed, too, and that is not what happened."""
    pipeline = PIPELINE.replace("{exec: 20s}}", "{exec: 20s}, deadline: {start: 15m}}")
    (night / "pipeline.yaml").write_text(pipeline)
    small = shrunk(night, "expect: [deadlines_missed == 0]")
    assert [fault.at_ns for fault in small.scenario.faults] == [15 * 60 * 10**9]
    assert small.configuration.cluster.hosts


def test_few_worlds_are_tried_for_the_few_of_many_things_that_matter() -> None:
    """The 9th and the 50th of 64 faults bring it about, on the host that both of them name."""
    faults = tuple(Fault(Kind.DOWN, (f"node{at % 8}",), at_ns=at * 10**9, for_ns=1) for at in range(64))
    hosts = tuple(HostDefinition(f"node{at}", 1) for at in range(100))
    wanted = {faults[9], faults[49]}
    configuration = Configuration("pipeline.yaml", "/", cluster=ClusterDefinition(hosts=hosts))
    scenario = Scenario(for_ns=100 * 10**9, faults=faults)
    small, world, runs = shrink_while(configuration, scenario, lambda _, world: wanted <= set(world.faults), 60)
    assert set(world.faults) == wanted
    assert [host.name for host in small.cluster.hosts] == ["node1"]
    assert world.for_ns < 52 * 10**9
    assert runs < 60
