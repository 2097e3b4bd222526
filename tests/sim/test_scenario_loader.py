"""Goal: a scenario says what happens in few words, and a wrong word is told with its place and a way out.

Method: small texts as they would stand in a file beside a small pipeline; every refusal by its message and position.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.errors import ConfigurationError
from model.job import SECOND
from shell.config import InvalidConfiguration
from shell.config.scenario import LoadedScenario, load_rehearsal, load_scenario_text, with_faults, with_settings
from shell.config.scenario_faults import Known, parse_fault
from shell.config.scenario_values import durations, parse_moment
from sim.distributions import Choice, Constant, Exponential, Lognormal, Quantiles, Uniform, Weibull
from sim.scenario import Comparison, Expectation, Fault, Kind
from sim.simulation import simulate
from sim.tally import TaskTally

PIPELINE = """\
cluster:
  hosts:
    - {name: "node[1-3]", slots: 2, link: process}
tasks:
  copy: {each: {files: "incoming/*"}, command: [cp, $item, done]}
  warp: {command: [warp], periods: {exec: 5s}}
"""
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pipeline.yaml").write_text(PIPELINE)
    return tmp_path


def load(folder: Path, text: str) -> LoadedScenario:
    return load_scenario_text("pipeline: pipeline.yaml\n" + text, folder / "night.yaml")


def problems(folder: Path, text: str) -> list[tuple[int, str]]:
    """(line of `text`, message) of everything that is wrong."""
    with pytest.raises(InvalidConfiguration) as caught:
        load(folder, text)
    return [(problem.spot.line - 1 if problem.spot else 0, problem.message) for problem in caught.value.problems]


def test_a_whole_scenario(folder: Path) -> None:
    loaded = load(
        folder,
        """\
seed: 7
start: 2026-11-24T18:00
zone: Pacific/Honolulu
for: 12h
network: {latency: 1ms, loss: 0.01}
hosts:
  node[1-2]: {latency: 50ms, drift: -20, speed: 2}
tasks:
  copy: {run: {uniform: [1s, 3s]}, exit: {0: 0.9, 3: 0.1}, items: {every: 10s, count: 5}}
  warp: {crash: {SEGV: 0.5, 6: 0.1}, never_ends: 0.01, stdout: 10k}
faults:
  - node3 down 02:00-04:00
  - controller frozen 10m+5m
expect:
  warp: {HOST_DOWN: ">=1", exit 0: 3}
  "*": {open: 0}
""",
    )
    scenario = loaded.scenario
    assert (scenario.seed, scenario.for_ns) == (7, 12 * HOUR)
    assert scenario.start_wall_ns == int(datetime(2026, 11, 25, 4, tzinfo=UTC).timestamp()) * SECOND
    assert scenario.hosts["node2"].drift_ppb == -20_000
    assert scenario.tasks["copy"].exits == ((0, 0.9), (3, 0.1))
    assert scenario.tasks["warp"].crashes == ((11, 0.5), (6, 0.1))
    assert scenario.tasks["warp"].stdout_bytes == Constant(10_000)
    assert [(fault.kind, fault.at_ns, fault.for_ns) for fault in scenario.faults] == [
        (Kind.DOWN, 8 * HOUR, 2 * HOUR),
        (Kind.FROZEN, 10 * MINUTE, 5 * MINUTE),
    ]
    assert scenario.expect == (
        Expectation("warp", "HOST_DOWN", Comparison.AT_LEAST, 1),
        Expectation("warp", "exit 0", Comparison.EQUAL, 3),
        Expectation("*", "open", Comparison.EQUAL, 0),
    )


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("tasks:\n  wrap: {run: 1s}", 2, "the pipeline has no task wrap, did you mean warp?"),
        ("tasks:\n  warp: {rum: 1s}", 2, "unknown key, did you mean run?"),
        ("tasks:\n  warp: {run: 10}", 2, "a number without a unit; for seconds write 10s"),
        ("tasks:\n  warp: {run: {unifrm: [1s, 2s]}}", 2, "unifrm is no distribution, did you mean uniform?"),
        ("tasks:\n  warp: {exit: 256}", 2, "expects an exit code from 0 to 255, not 256"),
        ("tasks:\n  warp: {crash: {SIGSEG: 1}}", 2, "SIGSEG is no signal, did you mean SEGV?"),
        ("tasks:\n  warp: {never_ends: 2}", 2, 'expects a probability from 0 to 1, not "2"'),
        ("hosts:\n  node4: {}", 2, "the pipeline has no host node4, did you mean node3?"),
        ("hosts:\n  'node[1-': {}", 2, "the [ is not closed"),
        ("faults:\n  - node3 donw 1h", 2, "says no fault, did you mean down?"),
        ("faults:\n  - node4 down 1h", 2, "down: there is no node4, did you mean node3?"),
        ("faults:\n  - node3 frozen 1h", 2, "frozen: there is no node3"),
        ("faults:\n  - node1 node2 lost 1h", 2, "there is no link between node1 and node2"),
        ("faults:\n  - node3 one_way 1h", 2, "one_way is at a link: name its two ends"),
        ("faults:\n  - node3 down 2h-1h", 2, "2h-1h ends before it begins"),
        ("faults:\n  - node3 down 25:00", 2, "expects a time of day from 00:00 to 24:00, not 25:00"),
        ("faults:\n  - node3 slow 1h fator=3", 2, "fator=3 is not understood, did you mean factor?"),
        ("expect:\n  wrap: {open: 0}", 2, "the pipeline has no task wrap, did you mean warp?"),
        ("expect:\n  warp: {HOST_DWN: 1}", 2, "HOST_DWN is neither an outcome nor one of"),
        ("expect:\n  warp: {open: none}", 2, 'expects a count such as 5 or >=1, not "none"'),
        ("start: yesterday", 1, "expects a date and time such as 2026-11-24T18:00, not yesterday"),
        ("zone: Berlin", 1, "did you mean Europe/Berlin?"),
    ],
)
def test_a_wrong_word_is_told_with_its_place(folder: Path, text: str, line: int, message: str) -> None:
    ((found_line, found_message),) = problems(folder, text)
    assert found_line == line
    assert message in found_message


def test_all_that_is_wrong_comes_out_at_once(folder: Path) -> None:
    found = problems(folder, "tasks:\n  wrap: {run: 1s}\nfaults:\n  - node9 down 1h\nexpect:\n  warp: {nothing: 1}")
    assert [line for line, _ in found] == [2, 4, 6]


def test_a_pipeline_alone_gets_the_default_world(folder: Path) -> None:
    loaded = load_rehearsal(folder / "pipeline.yaml")
    assert loaded.path is None
    assert loaded.scenario.faults == ()
    assert [task.name for task in loaded.configuration.tasks] == ["copy", "warp"]


def test_a_scenario_for_a_pipeline_may_stand_anywhere(folder: Path, tmp_path: Path) -> None:
    scenario = tmp_path / "other.yaml"
    scenario.write_text("seed: 3\n")
    assert load_rehearsal(folder / "pipeline.yaml", scenario).scenario.seed == 3


def test_a_scenario_without_a_pipeline_is_refused(folder: Path) -> None:
    with pytest.raises(InvalidConfiguration, match="pipeline"):
        load_scenario_text("seed: 3\n", folder / "night.yaml")


def test_a_pipeline_that_is_wrong_is_told_as_itself(folder: Path) -> None:
    (folder / "pipeline.yaml").write_text(PIPELINE.replace("exec: 5s", "exec: 5"))
    with pytest.raises(InvalidConfiguration, match=r"pipeline\.yaml:6"):
        load(folder, "seed: 1\n")


def test_faults_and_settings_of_the_command_line_are_added(folder: Path) -> None:
    loaded = with_settings(with_faults(load(folder, "faults: [node1 reboot 1h]\n"), ("node2 full 2h",)), 9, 5 * HOUR)
    assert [fault.kind for fault in loaded.scenario.faults] == [Kind.REBOOT, Kind.FULL]
    assert (loaded.scenario.seed, loaded.scenario.for_ns) == (9, 5 * HOUR)
    with pytest.raises(ConfigurationError, match="--fail 'node7 full'") as caught:
        with_faults(loaded, ("node7 full",))
    assert "node3 down 02:00-04:00" in caught.value.hint


START = datetime(2026, 11, 24, 18, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("line", "faults"),
    [
        ("node3 down", [Fault(Kind.DOWN, ("node3",))]),
        ("node[1-2] silent 1m+2m", [Fault(Kind.SILENT, (f"node{n}",), MINUTE, 2 * MINUTE) for n in (1, 2)]),
        ("node1 flapping 0s-1h every=30s", [Fault(Kind.FLAPPING, ("node1",), 0, HOUR, every_ns=30 * SECOND)]),
        ("controller restarted 23:00", [Fault(Kind.RESTARTED, ("controller",), 5 * HOUR)]),
        ("controller node3 lost 10m-20m", [Fault(Kind.LOST, ("controller", "node3"), 10 * MINUTE, 10 * MINUTE)]),
        ("node3 controller one-way 1h", [Fault(Kind.ONE_WAY, ("node3", "controller"), HOUR)]),
        ("controller node1 slow 1h delay=2s", [Fault(Kind.SLOW, ("controller", "node1"), HOUR, delay_ns=2 * SECOND)]),
        ("controller node[1-2] broken 1h", [Fault(Kind.BROKEN, ("controller", f"node{n}"), HOUR) for n in (1, 2)]),
        ("node1 overloaded 0s limit=2", [Fault(Kind.OVERLOADED, ("node1",), limit=2)]),
        ("node1 reboot 1h spool=lost", [Fault(Kind.REBOOT, ("node1",), HOUR, spool_lost=True)]),
        ("wall_step 1h delay=-2h", [Fault(Kind.WALL_STEP, (), HOUR, delay_ns=-2 * HOUR)]),
    ],
)  # fmt: skip
def test_one_line_is_one_fault_or_one_for_each_host(folder: Path, line: str, faults: list[Fault]) -> None:
    assert parse_fault(line, START, load_rehearsal(folder / "pipeline.yaml").known) == faults


def test_a_time_of_day_is_the_next_one() -> None:
    assert parse_moment("18:00", START) == 0
    assert parse_moment("17:59", START) == 24 * HOUR - MINUTE
    assert parse_moment("02:00", START) == 8 * HOUR
    assert parse_moment("04:00", START, 30 * HOUR) == 34 * HOUR
    assert parse_moment("24:00", START) == 6 * HOUR


def test_distributions_are_read() -> None:
    assert durations("90s") == Constant(90 * SECOND)
    assert durations({"uniform": ["1s", "2s"]}) == Uniform(SECOND, 2 * SECOND)
    assert durations({"exponential": "3s"}) == Exponential(3 * SECOND)
    assert durations({"lognormal": {"median": "3s", "sigma": "0.5"}}) == Lognormal(3 * SECOND, 0.5)
    assert durations({"weibull": {"shape": "0.7", "scale": "1h"}}) == Weibull(0.7, HOUR)
    assert durations({"choice": {"1s": "9", "1h": "1"}}) == Choice((SECOND, HOUR), (9.0, 1.0))
    drawn = durations({"quantiles": {"0": "1s", "0.5": "1m", "1": "1h"}})
    assert drawn == Quantiles((0.0, 0.5, 1.0), (SECOND, MINUTE, HOUR))
    assert [drawn.sample(chance) for chance in (0.0, 0.25, 0.5, 1.0)] == [SECOND, 7_745_967_000, MINUTE, HOUR]
    for points, why in (
        ({"0": "1s"}, "the first is"),
        ({"0": "1s", "1": "0s"}, "grow"),
        ({"0": "0s", "1": "1s"}, "above"),
    ):
        with pytest.raises(ValueError, match=f"quantiles: .*{why}"):
            durations({"quantiles": points})


@given(st.text(max_size=60))
def test_no_text_makes_the_fault_reader_fall(text: str) -> None:
    try:
        parse_fault(text, START, Known(()))
    except (ValueError, ConfigurationError):
        return


def test_of_a_source_without_a_name_nothing_comes(folder: Path) -> None:
    loaded = load(folder, "for: 1h\ntasks: {copy: {items: []}}\n")
    assert simulate(loaded.configuration, loaded.scenario).tally.tasks.get("copy", TaskTally()).made == 0
