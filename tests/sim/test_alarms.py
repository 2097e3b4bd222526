"""Goal: a rehearsal says who would have been told of what, and a scenario can expect it.

Method: configs/notify.yaml, and small files of its kind, on a bad night; restarts and a full disk as faults.
"""

from __future__ import annotations

import json
import random
from datetime import timedelta
from pathlib import Path

import pytest

from shell import simulate
from shell.config.scenario import load_scenario_text
from sim.simulation import simulate as run

NOTIFY = Path(__file__).parents[2] / "configs" / "notify.yaml"
PIPELINE = """\
zone: UTC
notify:
  ops: {command: [x], of: all, after: 0s, again: never}
cluster: {hosts: [{name: node1, slots: 1}, {name: node2, slots: 1}]}
tasks:
  warp:
    command: [x]
    host: {name: node2, required: true}
    periods: {exec: 10m, timeout: 5m, pending: 3h}
    deadline: {end: 30m}
"""


OUTAGE = {"host-silent": 1, "host-down": 1, "job-failed": 1}
"""A host without power is silent, then its connection ends; a job that it was given meanwhile is lost."""


LOGGED = (
    "host-silent x 1, host-down x 1, handler x 1, job-failed x 1, over: job-failed x 1, over: host-silent x 1, "
    "over: host-down x 1"
)


def _words(text: str) -> list[str]:
    return text.split()


def and_over(told: dict[str, int]) -> dict[str, int]:
    return told | {f"over: {about}": times for about, times in told.items()}


def rehearsed(folder: Path, scenario: str, capsys: pytest.CaptureFixture[str], *, code: int = 0) -> dict[str, object]:
    (folder / "pipeline.yaml").write_text(PIPELINE)
    (folder / "scenario.yaml").write_text(f"pipeline: pipeline.yaml\n{scenario}")
    assert simulate.run(folder / "scenario.yaml", json=True) == code
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_the_example_tells_of_a_bad_night(capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate.run(NOTIFY, for_ns=4 * 3600 * 10**9, fail=("node2 down 01:00-02:00",)) == 0
    out = capsys.readouterr().out
    assert "alarms     host-down x 1, host-silent x 1, job-failed x 1" in out
    assert [line.split() for line in out.splitlines() if line.startswith(("log ", "operator ", "chat "))] == [
        ["chat", "6", *_words("heartbeat x 4, job-failed x 1, over: job-failed x 1")],
        ["log", "7", *_words(LOGGED)],
        ["operator", "2", "host-down", "x", "1,", "over:", "host-down", "x", "1"],
    ]


def test_a_missed_deadline_is_counted_and_can_be_expected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    faults = (
        "for: 4h\nfaults: [node2 down 01:00-02:00]\nexpect: [deadlines_missed == 1, alarms == 4, notifications <= 8]\n"
    )
    found = rehearsed(tmp_path, faults, capsys)
    assert found["alarms"] == OUTAGE | {"late-end": 1}
    (line,) = found["notifiers"]  # type: ignore[misc]
    assert line["messages"] == 8
    assert line["about"] == and_over(OUTAGE | {"late-end": 1})
    found = rehearsed(tmp_path, faults.replace("deadlines_missed == 1", "deadlines_missed == 0"), capsys, code=1)
    assert found["unmet"] == ["deadlines_missed == 0 was expected, it is 1"]


def test_a_restart_tells_nothing_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    faults = (
        "for: 4h\nfaults: [node2 down 01:00-02:00, scheduler restarted 01:20-01:21, scheduler restarted 01:50-01:51]\n"
    )
    found = rehearsed(tmp_path, faults, capsys)
    (line,) = found["notifiers"]  # type: ignore[misc]
    assert line["about"] == and_over(OUTAGE | {"late-end": 1})


@pytest.mark.parametrize("seed", range(6))
def test_wherever_it_is_restarted_each_thing_is_told_once(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    tasks = """\
  late: {command: [x], host: {name: node1, required: true}, periods: {exec: 4h, timeout: 3h}, deadline: {end: "00:40"}}
  bad: {command: [x], host: node1, periods: {exec: 2h}}
"""
    (tmp_path / "pipeline.yaml").write_text(PIPELINE + tasks)
    times = [timedelta(seconds=at) for at in sorted(chance.sample(range(60, 3 * 3600, 15), 4))]
    restarts = [f"scheduler restarted {at}-{at + timedelta(seconds=3)}" for at in times]
    text = f"""\
pipeline: pipeline.yaml
for: 4h
seed: {seed}
start: 2026-11-24T00:00
tasks: {{late: {{run: 2h}}, bad: {{exit: {{3: 1}}}}}}
faults: [node2 down 00:20-01:30, {", ".join(restarts)}]
"""
    loaded = load_scenario_text(text, tmp_path / "scenario.yaml")
    found = run(loaded.configuration, loaded.scenario)
    assert not found.violations
    assert found.tally.told["ops"].about == and_over(OUTAGE | {"late-end": 2, "job-failed": 3})


def test_a_full_disk_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = rehearsed(tmp_path, "for: 2h\nfaults: [scheduler disk-full 00:30-01:00]\n", capsys)
    assert "disk-full" in found["alarms"]  # type: ignore[operator]


@pytest.mark.parametrize("host", ["local", "node1"])
def test_the_scheduler_s_own_computer_is_broken_like_any_other(
    host: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = rehearsed(tmp_path, f"for: 2h\nfaults: [{host} full 00:30-01:00]\n", capsys)
    assert found["alarms"] == {"host-broken": 1}
    (line,) = found["notifiers"]  # type: ignore[misc]
    assert line["about"] == {"host-broken": 1, "over: host-broken": 1}


def test_of_several_schedulers_each_is_told_of_its_own_computer(tmp_path: Path) -> None:
    (tmp_path / "cluster.yaml").write_text("cluster: {hosts: [{name: node1, slots: 1}, {name: node2, slots: 1}]}\n")
    pipeline = "".join(line for line in PIPELINE.splitlines(keepends=True) if not line.startswith("cluster"))
    (tmp_path / "pipeline.yaml").write_text(f"controller: {{socket: .laulima-controller}}\n{pipeline}")
    text = """\
controller: cluster.yaml
pipeline: pipeline.yaml
for: 2h
schedulers: {north: {}, south: {}}
faults: [local/south full 00:30-01:00]
"""
    loaded = load_scenario_text(text, tmp_path / "scenario.yaml")
    assert run(loaded.configuration, loaded.scenario).tally.alarms == {"host-broken": 1}


def test_the_same_seed_tells_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    faults = "for: 2h\nfaults: [node2 down 00:30-01:00]\n"
    first, second = (rehearsed(tmp_path, faults, capsys)["hash"] for _ in range(2))
    assert first == second


def test_where_nothing_is_watched_the_log_is_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "pipeline.yaml").write_text(PIPELINE.replace(", of: all", "").replace("    deadline: {end: 30m}\n", ""))
    text = "pipeline: pipeline.yaml\nfor: 1h\nfaults: [node2 down 00:10-00:20]\n"
    loaded = load_scenario_text(text, tmp_path / "scenario.yaml")
    assert not run(loaded.configuration, loaded.scenario).tally.alarms


def test_an_expectation_that_nothing_could_miss_is_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expect = "for: 1h\nexpect: [deadlines_missed == 0, alarms == 0, notifications == 0]\n"
    (tmp_path / "scenario.yaml").write_text(f"pipeline: pipeline.yaml\n{expect}")

    def warned(pipeline: str) -> list[str]:
        (tmp_path / "pipeline.yaml").write_text(pipeline)
        assert simulate.run(tmp_path / "scenario.yaml") == 0
        said = capsys.readouterr().err.splitlines()
        return [line.split()[0] for line in said if "is expected, and it is always 0" in line]

    calm = PIPELINE.replace("    deadline: {end: 30m}\n", "")
    silent = "".join(line for line in calm.splitlines(keepends=True) if "notify" not in line and "ops" not in line)
    assert warned(PIPELINE) == []
    assert warned(calm) == ["deadlines_missed"]
    assert warned(silent) == ["deadlines_missed", "alarms", "notifications"]
    assert warned(silent + "alarms: {backlog: 5}\n") == ["deadlines_missed", "notifications"]
    assert warned(calm.replace(" of: all,", "")) == ["deadlines_missed", "alarms", "notifications"]
    told_by_a_handler = calm.replace(" of: all,", "") + "    on: {crash: {notify: ops}}\n"
    assert warned(told_by_a_handler) == ["deadlines_missed", "alarms"]
