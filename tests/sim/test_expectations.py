"""Goal: what a scenario expects of figures is read, judged, told, and decides the exit code.

Method: small rehearsals whose figures are plain (a host is down for an hour, jobs wait for it); every wrong line is an
error that names its place and a near name.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shell import simulate
from shell.config import InvalidConfiguration
from shell.config.scenario import load_scenario_text
from shell.expectations import figure_text, parse_expectation, parse_limit
from sim.figures import HOST_FIGURES, RUN_FIGURES, TASK_FIGURES, Unit, value
from sim.measuring import Measuring
from sim.scenario import Comparison
from sim.simulation import simulate as run

PIPELINE = """\
cluster:
  hosts: [{name: "node[1-2]", slots: 2}]
tasks:
  warp:
    command: [warp]
    host: {name: node2, required: true}
    periods: {exec: 1m, pending: 30m}
"""
SCENARIO = "pipeline: pipeline.yaml\nfor: 3h\nfaults: [node2 down 1h-2h]\n"


@pytest.fixture
def night(tmp_path: Path) -> Path:
    (tmp_path / "pipeline.yaml").write_text(PIPELINE)
    return tmp_path / "night.yaml"


def test_what_holds_and_what_does_not(night: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = ["max_pending < 40min", "lost <= 1", "tasks.warp.pending_timeout == 0", "hosts.node2.mttr <= 1h"]
    night.write_text(SCENARIO + f"expect: {json.dumps(lines)}\n")
    assert simulate.run(night) == 1
    out = capsys.readouterr().out
    assert "expected   1 expectation of 4 not met" in out
    assert "tasks.warp.pending_timeout == 0" in out.split("NOT AS EXPECTED: ")[1]
    rows = {line.split("  ")[0]: line.split() for line in out.splitlines() if line.endswith(("yes", "NO"))}
    assert rows["max_pending < 40 min"][-1] == "yes"
    assert rows["tasks.warp.pending_timeout == 0"][-1] == "NO"
    assert rows["hosts.node2.mttr <= 60 min"][-3:] == ["60", "min", "yes"]


def test_all_held_is_exit_0_and_the_json_has_the_rows(night: Path, capsys: pytest.CaptureFixture[str]) -> None:
    night.write_text(SCENARIO + "expect: ['ended > 100', 'system_availability < 90 %']\n")
    assert simulate.run(night, json=True) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["holds"] for row in found["expected"]] == [True, True]
    assert found["metrics"] is None  # measured, and not asked for


def test_counts_and_figures_are_one_table(night: Path, capsys: pytest.CaptureFixture[str]) -> None:
    night.write_text(SCENARIO + "expect: {warp: {exit 0: '>=1', LOST: '>=2'}}\n")
    assert simulate.run(night) == 1
    out = capsys.readouterr().out
    assert "warp: exit 0 >= 1" in out
    assert "NOT AS EXPECTED: warp: LOST >= 2 was expected, it is 1" in out


def test_a_figure_that_is_undefined_does_not_hold(night: Path, capsys: pytest.CaptureFixture[str]) -> None:
    night.write_text("pipeline: pipeline.yaml\nfor: 1s\nexpect: ['p95_slowdown < 1000']\n")
    assert simulate.run(night) == 1
    assert "p95_slowdown < 1000 was expected, it is undefined" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("p95_pendng < 3m", "p95_pendng is no figure of a run, did you mean p95_pending?"),
        ("tasks.wrap.p95_wait < 3m", "there is no task wrap, did you mean warp?"),
        ("hosts.node9.mttr < 3m", "there is no host node9, did you mean node2?"),
        ("host.node2.mttr < 3m", "host is none of tasks, hosts, schedulers, did you mean hosts?"),
        ("p95_wait < 3", "p95_wait: a number without a unit; for seconds write 3s"),
        ("lost_work < 5", "lost_work: 5 of all is 500 %; for per cent write 5 %"),
        ("all_up >= 99.9", "all_up: 99.9 of all is 9990 %; for per cent write 99.9 %"),
        ("offered_load < 80", "offered_load: 80 of all is 8000 %"),
        ("lost == 1.5", "lost: expects a whole number, not 1.5"),
        ("fairness > much", 'fairness: expects a number, not "much"'),
        ("throughput > 60/w", 'throughput: expects a rate such as 60/h, not "60/w"'),
        ("p95_wait", "expects a figure, a comparison and a limit, as in p95_wait < 10m"),
        ("tasks.p95_wait < 3m", "expects tasks.NAME.FIGURE"),
        ("exit_256 == 0", "exit_256 is no figure of a run"),
    ],
)
def test_a_wrong_line_is_an_error_at_its_place(night: Path, line: str, said: str) -> None:
    text = f"pipeline: pipeline.yaml\nexpect:\n  - lost == 0\n  - {json.dumps(line)}\n"
    with pytest.raises(InvalidConfiguration) as caught:
        load_scenario_text(text, night)
    assert said in str(caught.value)
    assert f"{night}:4:5" in str(caught.value)


def test_limits_have_the_unit_of_their_figure() -> None:
    assert parse_limit("10min", Unit.TIME) == parse_limit("10m", Unit.TIME) == 600e9
    assert parse_limit("1h30min", Unit.TIME) == 5400e9
    assert parse_limit("5 %", Unit.SHARE) == parse_limit("0.05", Unit.SHARE)
    assert parse_limit("90 / h", Unit.RATE) == parse_limit("1.5/min", Unit.RATE) == parse_limit("0.025", Unit.RATE)
    assert parse_expectation("tasks.a.b.lost>=2", None, None).comparison is Comparison.AT_LEAST
    for text in ("offered_load < 1.5", "utilization_nominal < 150 %", "all_up == 1", "goodput > 0.5"):
        parse_expectation(text, None, None)


def test_every_figure_can_be_taken_from_a_run(night: Path) -> None:
    night.write_text(SCENARIO)
    loaded = load_scenario_text(SCENARIO, night)
    measuring = Measuring()
    run(loaded.configuration, loaded.scenario, readers=(measuring,))
    metrics = measuring.metrics()
    names = [*TASK_FIGURES, *RUN_FIGURES, *(f"hosts.node2.{name}" for name in HOST_FIGURES)]
    names += [f"tasks.warp.{name}" for name in TASK_FIGURES]
    found = {name: value(metrics, name) for name in names}
    assert found["ended"] == found["tasks.warp.ended"] == metrics.total.ended
    assert found["p95_pending"] == found["p95_wait"] == metrics.total.wait.p95
    assert found["hosts.node2.failures"] == 1
    assert found["tasks.warp.pending_timeout"] == metrics.total.outcomes["PENDING_TIMEOUT"]
    assert found["failed"] == found["tasks.warp.pending_timeout"] + found["lost"]
    assert value(metrics, "exit_0") == metrics.total.outcomes["exit 0"]


def test_figures_are_worded_in_one_unit() -> None:
    assert figure_text(817.4e9, Unit.TIME) == "13.6 min"
    assert figure_text(0.4444, Unit.SHARE) == "44.44 %"
    assert figure_text(None, Unit.TIME) == "-"
    assert [figure_text(ns, Unit.TIME) for ns in (0, 0.6, 34, 1e3)] == ["0 ms", "0 ms", "34 ns", "0.001 ms"]
    assert figure_text(1 / 90, Unit.RATE) == "40/h"
    assert figure_text(50 / 9, Unit.RATE) == "20 000/h"
    assert [figure_text(value, Unit.NUMBER) for value in (5.25649, 9999.4, 12345.6)] == ["5.256", "9999", "12 346"]
