"""Goal: what can be varied and replayed for one scheduler can be so where several use one controller: for all of them,
or for one by its name, and the others stay as they are.

Method: two observatories with the same pipeline, whose loads are known (30 s a minute on one of four slots: an eighth),
by the command line.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from shell.main import main
from tests.sim.job_logs import line, write_log

CLUSTER = """\
cluster:
  hosts: [{name: "node[1-4]", slots: 1}]
"""
PIPELINE = """\
controller: {socket: .laulima-controller}
tasks:
  need:
    command: [need]
    host: {name: node2, required: true}
    periods: {exec: 1m, timeout: 10m, pending: 20m}
"""
BOTH = """\
controller: cluster.yaml
pipeline: pipeline.yaml
for: 2h
tasks: {need: {run: 30s}}
schedulers: {north: {}, south: {}}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, text in (("cluster", CLUSTER), ("pipeline", PIPELINE), ("both", BOTH)):
        (tmp_path / f"{name}.yaml").write_text(text)
    return tmp_path


def medians(capsys: pytest.CaptureFixture[str], sweep: str, *figures: str, more: tuple[str, ...] = ()) -> list[Any]:
    """Of each figure, at each value."""
    main(["sim", "both.yaml", "--sweep", sweep, "--seeds", "1", "--json", *more])
    points = json.loads(capsys.readouterr().out)["points"]
    return [[point["bands"][figure]["median"] for point in points] for figure in figures]


OFFERED = ("offered_load", "schedulers.north.offered_load", "schedulers.south.offered_load")
LOADS = "expect: [offered_load > 0, schedulers.north.offered_load > 0, schedulers.south.offered_load > 0]\n"


def test_the_load_of_all_schedulers_or_of_one(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "both.yaml").write_text(BOTH + LOADS)
    every, north, south = medians(capsys, "load=0.1,0.2", *OFFERED)
    assert every == pytest.approx([0.1, 0.2], rel=0.03)
    assert north == pytest.approx([0.05, 0.1], rel=0.03)
    assert south == pytest.approx(north, rel=0.03)
    every, north, south = medians(capsys, "schedulers.north.load=5%,10%", *OFFERED)
    assert north == pytest.approx([0.05, 0.1], rel=0.03)
    assert south == pytest.approx([0.125, 0.125], rel=0.03)
    assert every == pytest.approx([0.175, 0.225], rel=0.03)


def test_a_policy_of_one_scheduler_only(capsys: pytest.CaptureFixture[str]) -> None:
    figures = ("host_down", "schedulers.north.failed", "schedulers.south.failed")
    down, north, south = medians(
        capsys, "schedulers.north.when_down=wait,fail", *figures, more=("--fail", "node2 down 30m-60m")
    )
    assert down[0] == 0
    assert 28 <= down[1] <= 31
    assert north[1] > north[0]
    assert south[0] > 8
    assert abs(south[1] - south[0]) <= 3
    down, _, _ = medians(capsys, "when_down=wait,fail", *figures, more=("--fail", "node2 down 30m-60m"))
    assert 56 <= down[1] <= 62


def test_a_key_of_one_scheduler_s_pipeline_and_the_table_of_both(capsys: pytest.CaptureFixture[str]) -> None:
    sweep = "schedulers.north.tasks.need.periods.exec=1m,2m"
    assert (
        main(["sim", "both.yaml", "--sweep", "schedulers.north.tasks.need.limits.in_flight=1..2", "--seeds", "1"]) == 0
    )
    said = capsys.readouterr().out
    assert "north WAIT mean" in said and "south ENDED" in said
    north, south = medians(capsys, sweep, "schedulers.north.ended", "schedulers.south.ended")
    assert north == [120, 60]
    assert south == pytest.approx([120, 120], abs=1)  # the last may wait for the slot


@pytest.mark.parametrize(
    ("sweep", "why"),
    [
        ("schedulers.nort.load=0.1..0.2", "there is no scheduler nort, did you mean north?"),
        ("schedulers.nort.when_down", "there is no scheduler nort"),
        ("schedulers.north.tasks.wrap.slots=1,2", "there is no task wrap"),
        ("schedulers.north.share=1,2", "--set cluster.schedulers.north.share=1"),
    ],
)
def test_what_cannot_be_varied_is_told_with_a_way_out(sweep: str, why: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sim", "both.yaml", "--sweep", sweep, "--seeds", "1"])
    assert why in capsys.readouterr().err


def test_a_scheduler_that_is_alone_has_no_name(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "whole.yaml").write_text(CLUSTER + PIPELINE.partition("\n")[2])
    assert main(["sim", "whole.yaml", "--sweep", "schedulers.north.load=0.1..0.2", "--seeds", "1"])
    assert "there is one scheduler only" in capsys.readouterr().err


def test_a_job_log_for_one_of_them_is_replayed_beside_what_both_do(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Six jobs of 300 s, a minute apart, one of them wider than any host."""
    write_log(folder / "a.swf", *(line(number, 60 * number, 300, 1 + (number == 3)) for number in range(1, 7)))
    words = ["both.yaml", "--workload", "a.swf", "--scheduler", "south"]
    assert main(["sim", *words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["workload"]["given"], found["workload"]["scheduler"]) == (5, "south")
    tasks = {task["task"]: task for task in found["tasks"]}
    assert tasks["south.log"]["outcomes"] == {"exit 0": 5}
    assert tasks["south.log"]["run_p50_ns"] == 300 * 10**9
    assert "north.log" not in tasks
    assert tasks["north.need"]["made"] == tasks["south.need"]["made"] == 120
    assert "--workload a.swf --scheduler south" in found["command"]
    main(["sim", *words])
    assert "5 jobs of a.swf, submitted by south, in the pipeline's order" in capsys.readouterr().out


def test_the_load_of_whom_a_job_log_is_given_scales_its_times(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A job of 120 s each minute: half of four slots, and an eighth by the pipeline."""
    write_log(folder / "a.swf", *(line(number, 60 * number, 120) for number in range(1, 131)))
    (folder / "both.yaml").write_text(BOTH + LOADS)
    more = ("--workload", "a.swf", "--scheduler", "north")
    _, north, south = medians(capsys, "schedulers.north.load=0.2,0.4", *OFFERED, more=more)
    assert north == pytest.approx([0.2, 0.4], rel=0.05)
    assert south == pytest.approx([0.125, 0.125], rel=0.03)
