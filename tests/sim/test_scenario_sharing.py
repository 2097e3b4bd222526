"""Goal: a scenario names in few words who uses a controller together, on what terms, and what goes wrong with whom.

Method: small files beside each other, as a person would write them; every refusal by its message.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from model.errors import ConfigurationError
from model.job import SECOND
from model.sharing import Terms
from shell.config.scenario import LoadedScenario, load_rehearsal, load_scenario_text, with_faults
from shell.prepared import Asked, prepare, scripting_of
from shell.replay import Replay
from sim.distributions import Constant
from sim.log import EventLog
from sim.scenario import Fault, Kind
from sim.simulation import simulate
from sim.world import World
from tests.sim.job_logs import line, write_log

CLUSTER = """\
cluster:
  pending_max: 500
  hosts: [{name: "node[1-2]", slots: 2, link: process}]
  schedulers: {north: {share: 3, in_flight_max: 5}}
"""
TASKS = """\
controller: {socket: .laulima-controller, name: south}
tasks:
  warp: {command: [warp]}
  copy: {command: [cp], host: local}
"""
OTHER = "controller: {socket: .laulima-controller}\ntasks: {stack: {command: [stack]}}\n"
BOTH = "controller: cluster.yaml\npipeline: tasks.yaml\nschedulers: {north: {}, south: {}}\n"
MINUTE = 60 * SECOND


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = {"cluster": CLUSTER, "tasks": TASKS, "other": OTHER, "whole": CLUSTER + TASKS.partition("\n")[2]}
    for name, text in files.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    return tmp_path


def load(folder: Path, text: str) -> LoadedScenario:
    return load_scenario_text(text, folder / "night.yaml")


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(folder, text)
    return str(caught.value)


def test_schedulers_have_pipelines_terms_and_weather(folder: Path) -> None:
    loaded = load(
        folder,
        """\
controller: cluster.yaml
pipeline: tasks.yaml
tasks: {warp: {run: 7s}}
schedulers:
  north: {tasks: {warp: {run: 9s}}}
  "team[1-2]": {share: 2}
  stacks: {pipeline: other.yaml}
""",
    )
    north, team1, team2, stacks = loaded.scenario.schedulers
    assert [one.name for one in (north, team1, team2, stacks)] == ["north", "team1", "team2", "stacks"]
    assert loaded.configuration.tasks == () and len(loaded.configuration.cluster.hosts) == 2
    assert [one.terms for one in (north, team2, stacks)] == [None, Terms(2, 500), None]
    assert loaded.configuration.cluster.terms_of("north") == Terms(3, 500, 5)
    assert north.tasks["warp"].run == Constant(9 * SECOND) and team2.tasks["warp"].run == Constant(7 * SECOND)
    assert stacks.tasks == {} and loaded.scenario.tasks == {}
    assert loaded.task_names == [
        "north.warp", "north.copy", "team1.warp", "team1.copy", "team2.warp", "team2.copy", "stacks.stack"
    ]  # fmt: skip
    assert dict(loaded.weather) == {f"{one.name}.warp": one.tasks["warp"] for one in (north, team1, team2)}


def test_terms_of_the_scenario_change_what_they_name(folder: Path) -> None:
    text = "controller: cluster.yaml\npipeline: tasks.yaml\nschedulers: {north: {pending_max: 9}}\n"
    assert load(folder, text).scenario.schedulers[0].terms == Terms(3, 9, 5)


def test_copies_of_a_whole_pipeline_share_its_own_hosts(folder: Path) -> None:
    loaded = load(folder, 'pipeline: whole.yaml\nschedulers: {"copy[1-3]": {}}\n')
    assert [one.name for one in loaded.scenario.schedulers] == ["copy1", "copy2", "copy3"]
    assert len(loaded.configuration.cluster.hosts) == 2 and loaded.configuration.tasks == ()


def test_a_pipeline_is_rehearsed_alone_at_its_controller(folder: Path) -> None:
    (folder / "alone.yaml").write_text("controller: cluster.yaml\npipeline: tasks.yaml\ntasks: {warp: {run: 1s}}\n")
    loaded = load_rehearsal(folder / "alone.yaml")
    (south,) = loaded.scenario.schedulers
    assert south.name == "south" and south.tasks["warp"].run == Constant(SECOND)
    with pytest.raises(ConfigurationError, match="shared controller") as caught:
        prepare(Asked(folder / "tasks.yaml"))
    assert "controller: FILE" in caught.value.hint


def test_changes_of_a_scheduler_are_made_to_its_own_pipeline(folder: Path) -> None:
    (folder / "teams.yaml").write_text(
        'controller: cluster.yaml\npipeline: tasks.yaml\nschedulers: {north: {}, "team[1-3]": {}}\n'
    )
    changes = (
        "schedulers.north.tasks.warp.limits.in_flight=7",
        "schedulers.team[1-2].tasks.warp.limits.in_flight=9",
        "cluster.schedulers.north.share=1",
    )
    loaded = load_rehearsal(folder / "teams.yaml", changes=changes)
    limits = [one.configuration.tasks[0].limits.in_flight for one in loaded.scenario.schedulers]
    assert limits[:3] == [7, 9, 9] and limits[3] not in (7, 9)
    assert loaded.configuration.cluster.terms_of("north").share == 1
    digests = [one.configuration.digest for one in loaded.scenario.schedulers]
    assert digests[1] == digests[2] and len(set(digests)) == 3


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("schedulers.nort.tasks.warp.slots=2", "there is no scheduler nort, did you mean north?"),
        ("schedulers.north.tasks.wrap.slots=2", "--set schedulers.north.tasks.wrap.slots=2: there is no task wrap"),
        ("schedulers.north.share=2", "share is no key of a pipeline"),
        ("schedulers.north.hosts.node1=off", "the hosts are the controller's"),
        ("schedulers.north=2", "expects schedulers.NAME.KEY=VALUE"),
        ("schedulers.north.tasks", "expects KEY=VALUE"),
    ],
)
def test_a_change_of_a_scheduler_that_cannot_be_is_told_with_a_way_out(folder: Path, change: str, said: str) -> None:
    (folder / "both.yaml").write_text(BOTH)
    with pytest.raises(ConfigurationError) as caught:
        load_rehearsal(folder / "both.yaml", changes=(change,))
    assert said in str(caught.value) and "--set " in caught.value.hint


def test_changes_are_made_to_the_controllers_file(folder: Path) -> None:
    (folder / "both.yaml").write_text(BOTH)
    changes = ("cluster.schedulers.north.share=1", "hosts.node2=off")
    loaded = load_rehearsal(folder / "both.yaml", changes=changes)
    assert loaded.configuration.cluster.terms_of("north").share == 1
    assert [ordered.host.host for ordered in loaded.scenario.orders if ordered.host] == ["node2"]


@pytest.mark.parametrize(
    ("line", "faults"),
    [
        ("scheduler/north restarted 1m+5s", [Fault(Kind.RESTARTED, ("scheduler/north",), MINUTE, 5 * SECOND)]),
        ("scheduler/north silent 1m", [Fault(Kind.FROZEN, ("scheduler/north",), MINUTE)]),
        ("schedulers disk_full 1m", [Fault(Kind.DISK_FULL, (f"scheduler/{n}",), MINUTE) for n in ("north", "south")]),
        ("scheduler/north,south frozen 1m", [Fault(Kind.FROZEN, (f"scheduler/{n}",), MINUTE)
                                               for n in ("north", "south")]),
        ("scheduler/south split 1m", [Fault(Kind.LOST, ("scheduler/south", "controller"), MINUTE)]),
        ("controller split 1m", [Fault(Kind.LOST, (f"scheduler/{n}", "controller"), MINUTE)
                                 for n in ("north", "south")]),
        ("controller overloaded 1m delay=1s", [Fault(Kind.OVERLOADED, ("controller",), MINUTE, delay_ns=SECOND)]),
        ("controller scheduler/south one_way 1m", [Fault(Kind.ONE_WAY, ("controller", "scheduler/south"), MINUTE)]),
        ("local/north down 1m", [Fault(Kind.DOWN, ("local/north",), MINUTE)]),
        ("local/north split 1m", [Fault(Kind.LOST, ("scheduler/north", "local/north"), MINUTE)]),
        ("node1 split 1m", [Fault(Kind.LOST, ("controller", "node1"), MINUTE)]),
    ],
)  # fmt: skip
def test_faults_name_one_scheduler_or_all(folder: Path, line: str, faults: list[Fault]) -> None:
    assert list(with_faults(load(folder, BOTH), (line,)).scenario.faults) == faults


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("faults: [scheduler frozen 1m]", "of which scheduler? scheduler/north, scheduler/south; or schedulers"),
        ("faults: [local down 1m]", "local of which scheduler? local/north, local/south"),
        ("faults: [scheduler/nort frozen 1m]", "there is no scheduler/nort, did you mean scheduler/north?"),
        ("faults: [controller scheduler/nort slow 1m]", "no link between controller and scheduler/nort, did you mean"),
        ("expect: [schedulers.nort.open == 0]", "there is no scheduler nort, did you mean north?"),
        ("expect: [schedulers.north.mttr < 1m]", "mttr is no figure of a scheduler"),
        ("expect: [tasks.warp.open == 0]", "there is no task warp"),
        ("expect: {warp: {open: 0}}", "the pipeline has no task warp"),
        ("tasks: {wrap: {run: 1s}}", "the pipeline has no task wrap, did you mean warp?"),
    ],
)
def test_what_is_not_there_is_told_with_a_way_out(folder: Path, more: str, said: str) -> None:
    assert said in refusal(folder, f"{BOTH}{more}\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("controller: cluster.yaml\nschedulers: {north: {}}\n", "names no pipeline, and the scenario has none for all"),
        ("controller: nowhere.yaml\npipeline: tasks.yaml\n", "there is no file nowhere.yaml beside this one"),
        ("controller: cluster.yaml\n", "nobody uses it: `pipeline` or `schedulers` are missing"),
        ("pipeline: tasks.yaml\nschedulers: {north: {}}\n", "`controller` names that one's file"),
        ("schedulers: {north: {pipeline: tasks.yaml}}\n", "the file of the controller"),
        (BOTH.replace("south: {}", '"team[1-2]": {}, team2: {}'), "there are two schedulers team2"),
        (BOTH.replace("north: {}", "north: {share: 0}"), "share"),
        (BOTH.replace("north: {}", "north: {tasks: {wrap: {}}}"), "no task wrap, did you mean warp?"),
        (BOTH.replace("north: {}", "a/b: {}"), "a/b"),
    ],
)
def test_a_wrong_scheduler_is_refused(folder: Path, text: str, said: str) -> None:
    assert said in refusal(folder, text)


def test_the_computer_of_a_scheduler_has_a_clock_of_its_own(folder: Path) -> None:
    loaded = load(folder, f"{BOTH}hosts: {{local/north: {{drift: 1000}}}}\n")
    world = World(loaded.configuration, loaded.scenario, EventLog())
    hour = 60 * MINUTE
    shown = {name: node.clock.read(hour) for name, node in world.nodes.items()}
    assert shown["scheduler/north"] == shown["local/north"] > shown["scheduler/south"] == shown["controller"]


def test_a_job_log_is_submitted_to_one_scheduler_which_is_named_if_there_are_several(folder: Path) -> None:
    (folder / "both.yaml").write_text(BOTH)
    (folder / "alone.yaml").write_text("controller: cluster.yaml\npipeline: tasks.yaml\n")
    log = write_log(folder / "jobs.swf", line(1, 0, 60))
    with pytest.raises(ConfigurationError, match="submitted to one of the schedulers: north, south") as refused:
        prepare(Asked(folder / "both.yaml", replay=Replay(log)))
    assert refused.value.hint.startswith("as in --scheduler north")
    with pytest.raises(ConfigurationError, match="there is none of this name, did you mean south"):
        prepare(Asked(folder / "both.yaml", replay=Replay(log, scheduler="soth")))
    named = prepare(Asked(folder / "both.yaml", replay=Replay(log, scheduler="south")))
    assert named.words()[-4:] == ["--workload", str(log), "--scheduler", "south"]
    only = prepare(Asked(folder / "alone.yaml", replay=Replay(log)))
    assert only.asked.replay is not None and only.asked.replay.scheduler == "south"
    with pytest.raises(ConfigurationError, match="there is one scheduler only"):
        prepare(Asked(folder / "whole.yaml", replay=Replay(log, scheduler="south")))


SCRIPTED = """\
controller: {socket: .laulima-controller}
tasks:
  work:
    command: [work, $mark]
    periods: {exec: 10s}
    limits: {total: 5}
    prepare: |
      queuepush made x
      $mark = x
    on:
      0: |
        queuesize made -var made
        exec echo $made >> ended
"""


def test_each_scheduler_runs_its_own_scripts(folder: Path) -> None:
    """What the scripts of one keep is nothing to those of the other, also when one begins anew."""
    (folder / "scripted.yaml").write_text(SCRIPTED)
    loaded = load(
        folder,
        "controller: cluster.yaml\npipeline: scripted.yaml\nschedulers: {north: {}, south: {}}\nfor: 10m\n"
        "faults: [scheduler/south restarted 16s+2s]\n",
    )
    worlds: list[World] = []
    scripting = scripting_of(loaded.configuration, loaded.scenario, quiet=True)
    result = simulate(loaded.configuration, loaded.scenario, scripting=scripting, prepare=worlds.append)
    assert result.good and result.jobs == 10
    for side in worlds[0].sides:
        assert side.driver is not None
        (ended,) = side.driver.files.values()
        assert ended.split() == ["1", "2", "3", "4", "5"], side.name
