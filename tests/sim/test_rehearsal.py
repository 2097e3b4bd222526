"""Goal: `laulima sim` says what came of the night, how to see it again, and exits with 1 when it was not good.

Method: `shell.simulate.run` on small files, its output captured; a fault that hurts, an expectation that fails.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from model.errors import ConfigurationError, LaulimaError
from model.job import SECOND
from shell import simulate
from shell.main import main

PIPELINE = """\
cluster:
  hosts:
    - {name: "node[1-2]", slots: 2, link: process}
tasks:
  warp:
    command: [warp]
    host: {name: node2, required: true, when_down: fail}
    periods: {exec: 1m}
"""


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    path = tmp_path / "pipeline.yaml"
    path.write_text(PIPELINE)
    return path


def answer(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    value = json.loads(capsys.readouterr().out)
    assert isinstance(value, dict)
    return value


def test_a_quiet_day(pipeline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate.run(pipeline) == 0
    out = capsys.readouterr().out
    assert "1440 ended well, 0 otherwise, 0 are open; 0 faults" in out
    assert "every promise held" in out
    assert f"again      laulima sim {pipeline} --for 1d --seed 1" in out
    assert "exit 0 x 1440" in out


def test_a_fault_shows_in_tasks_and_hosts(pipeline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate.run(pipeline, fail=("node2 down 02:00-04:00",), for_ns=24 * 3600 * SECOND, json=True) == 0
    found = answer(capsys)
    task = found["tasks"][0]  # type: ignore[index]
    assert 100 <= task["outcomes"]["HOST_DOWN"] <= 125
    hosts = {host["host"]: host for host in found["hosts"]}  # type: ignore[attr-defined]
    assert hosts["node2"]["available"] == pytest.approx(22 / 24)
    assert hosts["node1"]["available"] == 1.0
    assert found["schema"] == 1


def test_the_seed_decides_and_the_log_is_written(
    pipeline: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hashes = []
    for number, seed in enumerate((3, 3)):
        log = tmp_path / f"{number}.jsonl"
        simulate.run(pipeline, seed=seed, for_ns=3600 * SECOND, log=log, json=True)
        hashes.append(answer(capsys)["hash"])
        assert json.loads(log.read_text().splitlines()[0])["seed"] == 3
    assert hashes[0] == hashes[1]
    assert (tmp_path / "0.jsonl").read_bytes() == (tmp_path / "1.jsonl").read_bytes()


def test_an_expectation_that_fails_is_told_and_the_exit_code_is_1(
    pipeline: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scenario = tmp_path / "night.yaml"
    scenario.write_text("pipeline: pipeline.yaml\nfor: 1h\nexpect: {warp: {LOST: '>=1'}}\n")
    assert simulate.run(scenario) == 1
    assert "NOT AS EXPECTED: warp: LOST >= 1 was expected, it is 0" in capsys.readouterr().out


def test_a_scenario_says_how_long_unless_the_person_does(
    pipeline: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scenario = tmp_path / "night.yaml"
    scenario.write_text("pipeline: pipeline.yaml\nfor: 1h\n")
    lengths = []
    for for_ns in (None, 24 * 3600 * SECOND, 7200 * SECOND):
        simulate.run(scenario, for_ns=for_ns, json=True)
        lengths.append(answer(capsys)["for_ns"])
    assert lengths == [3600 * SECOND, 24 * 3600 * SECOND, 7200 * SECOND]


def test_a_fault_that_never_comes_is_told(pipeline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    late = ("node1 down 90m-2h", "50% of hosts slow 23:00-23:30", "node1 down 50m-2h")
    simulate.run(pipeline, for_ns=3600 * SECOND, fail=late, json=True)
    assert capsys.readouterr().err.splitlines() == [
        "node1 down never comes: it would begin 90 min after the start, and 60 min are simulated",
        "hosts slow never comes: it would begin 23 h 00 after the start, and 60 min are simulated",
    ]


def test_a_wrong_fault_starts_nothing(pipeline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigurationError, match="there is no node3, did you mean node"):
        simulate.run(pipeline, fail=("node3 down",))
    assert capsys.readouterr().out == ""


def test_a_log_that_cannot_be_written_is_told(pipeline: Path, tmp_path: Path) -> None:
    with pytest.raises(LaulimaError, match="cannot be written"):
        simulate.run(pipeline, log=tmp_path / "missing" / "log.jsonl")


def test_a_host_was_busy_with_what_still_runs_and_with_what_was_lost_there(
    pipeline: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of two slots one is taken for an hour of four by a job that is lost, and from then on by one that never ends."""
    night = tmp_path / "night.yaml"
    tasks = "tasks: {warp: {run: 100h}}"
    night.write_text(f"pipeline: pipeline.yaml\nfor: 4h\n{tasks}\nfaults: [node2 reboot 01:00]\n")
    changes = ("tasks.warp.limits={in_flight: 1}", "tasks.warp.periods={exec: 1m, timeout: 4d}")
    assert simulate.run(night, changes=changes, json=True) == 0
    found = answer(capsys)
    hosts = {host["host"]: host["busy"] for host in found["hosts"]}  # type: ignore[attr-defined]
    assert hosts["node2"] == pytest.approx(0.5, abs=0.01)
    assert hosts["node1"] == 0.0
    assert found["tasks"][0]["outcomes"] == {"LOST": 1}  # type: ignore[index]
    assert found["tasks"][0]["run_p50_ns"] is None, "nobody knows how long it would have run"  # type: ignore[index]


@pytest.mark.parametrize("words", [["--report", "."], ["--csv", "pipeline.yaml"], ["--report", "nowhere/page.html"]])
@pytest.mark.parametrize("more", [[], ["--seeds", "1-2"], ["--sweep", "load=0.1,0.2", "--seeds", "1"]])
def test_what_cannot_be_written_is_told_before_anything_is_simulated(
    words: list[str],
    more: list[str],
    pipeline: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(pipeline.parent)
    assert main(["sim", "pipeline.yaml", *words, *more]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "cannot be written: " in err
