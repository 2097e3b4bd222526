"""Goal: `laulima sim --seeds` gives the same worlds in one process or two, tells the worst with its command, compares
with another pipeline seed by seed, ends at the first failure, and makes a failing world small.

Method: a pipeline of one task on two hosts, rehearsed for an hour; the command line, its output captured.
"""

from __future__ import annotations

import json
import os
import resource
import shlex
import signal
import threading
from collections.abc import Generator
from multiprocessing import active_children
from pathlib import Path

import pytest

from model.errors import ConfigurationError, LaulimaError
from shell.commands import many_worlds
from shell.finished_worlds import FinishedWorlds
from shell.main import main
from shell.many_worlds import parse_seeds
from shell.world_runs import Runs
from sim.many import Drawn
from tests.sim.job_logs import line, write_log

PIPELINE = """\
cluster:
  hosts: [{name: "node[1-2]", slots: 1}]
tasks:
  warp:
    command: [warp]
    host: {name: node2, required: true}
    periods: {exec: 1m, pending: 30m}
  other:
    command: [other]
    periods: {exec: 10m}
"""
SCENARIO = """\
pipeline: pipeline.yaml
for: 1h
tasks: {warp: {run: {exponential: 35s}}}
faults: [node2 down 10m-20m, node1 down 5m-6m]
expect: [max_pending < 11min]
"""


@pytest.fixture
def night(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pipeline.yaml").write_text(PIPELINE)
    (tmp_path / "night.yaml").write_text(SCENARIO)
    return tmp_path


def run(words: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = main(shlex.split(words))
    said = capsys.readouterr()
    return code, said.out, said.err


def test_one_process_or_two_give_the_same_worlds(night: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answers = []
    for jobs in (1, 2):
        code, out, _ = run(f"sim night.yaml --seeds 1-6 --jobs {jobs} --json", capsys)
        answers.append(json.loads(out))
        assert code == (1 if answers[-1]["failing"] else 0)
    assert answers[0] == answers[1]
    hashes = [world["hash"] for world in answers[0]["worlds"]]
    assert len(set(hashes)) == 6
    _, out, _ = run("sim night.yaml --seed 4 --json", capsys)
    assert json.loads(out)["hash"] == hashes[3]


def test_a_person_reads_the_verdict_and_the_command_of_the_worst(
    night: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run("sim night.yaml --seeds 1-12", capsys)
    assert code == 1
    again = next(line for line in out.splitlines() if line.startswith("again"))
    worst = int(again.rpartition("--seed ")[2])
    assert f"worst      seed {worst}: max_pending < 11 min was expected, it is " in out
    code, one, _ = run(again.partition("laulima ")[2], capsys)
    assert code == 1
    assert "NOT AS EXPECTED: max_pending" in one


def test_until_the_first_that_fails(night: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run("sim night.yaml --seeds 1-12 --json", capsys)
    first = json.loads(out)["failing"][0]
    for jobs in (1, 2):
        code, out, _ = run(f"sim night.yaml --seeds 1-40 --until expect --jobs {jobs} --json", capsys)
        found = json.loads(out)
        assert (code, found["failing"], found["seeds"][-1]) == (1, [first], first)


def test_the_same_pipeline_does_not_differ_from_itself(night: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fail = "--faults grid5000 --fail 'node1 down 30m-31m' --for 50m"  # what the person says holds for both
    _, out, _ = run(f"sim night.yaml {fail} --seeds 1-3 --against night.yaml --json", capsys)
    assert {line["verdict"] for line in json.loads(out)["comparisons"] if line["pairs"]} == {"same"}
    assert [world["hash"] for world in json.loads(out)["worlds"]] == [
        world["hash"] for world in json.loads(out)["baseline"]
    ]


def test_another_pipeline_is_compared_in_the_same_world(night: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("other.yaml").write_text(Path("pipeline.yaml").read_text())
    _, out, err = run("sim night.yaml --seeds 1-2 --against other.yaml --json", capsys)
    assert [world["hash"] for world in json.loads(out)["worlds"]] == [
        world["hash"] for world in json.loads(out)["baseline"]
    ]
    assert json.loads(out)["against"] == "other.yaml"
    assert "compared with" not in err


def test_times_that_differ_are_told(night: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("long.yaml").write_text(Path("night.yaml").read_text().replace("for: 1h", "for: 2h"))
    _, _, err = run("sim night.yaml --seeds 1-2 --against long.yaml", capsys)
    assert "1h are compared with 2h: what is counted tells little; --for 1h is for both" in err
    _, _, err = run("sim night.yaml --seeds 1-2 --against long.yaml --for 1h", capsys)
    assert "compared with" not in err


def test_a_change_that_helps_is_told_from_noise(night: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change = "--set 'tasks.warp.host={name: node2, wait: 1m}'"
    code, out, _ = run(f"sim night.yaml --seeds 1-8 {change} --against night.yaml", capsys)
    assert code == 0
    verdicts = {line.split()[0]: line.split()[-1] for line in out.splitlines() if line.split()[-1:] != []}
    assert verdicts["max_wait"] == "better"
    assert verdicts["tasks.warp.p95_wait"] == "better"
    assert "tasks.warp.host={name: node2, wait: 1m} against night.yaml, the same 8 seeds each" in out


def test_a_row_says_of_how_many_seeds_it_is(night: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a host that is back nothing recovers, so there is no time in which it does."""
    (night / "calm.yaml").write_text(SCENARIO.partition("faults")[0])
    _, out, _ = run("sim calm.yaml --seeds 1-3 --against night.yaml", capsys)
    lines = [line.split() for line in out.splitlines()]
    heads = next(words for words in lines if words[:1] == ["FIGURE"] and "VERDICT" in words)
    rows = {words[0]: words for words in lines if len(words) > 2}
    assert heads[:2] == ["FIGURE", "PAIRS"]
    assert rows["p95_recovery"] == ["p95_recovery", "0", "-", "-", "-"]
    assert rows["p95_wait"][1] == "3"
    assert "pairs: seeds in which both have the figure; a row is of these alone" in out
    _, out, _ = run("sim night.yaml --seeds 1-3 --against night.yaml --set 'tasks.warp.periods.exec=2m'", capsys)
    assert "PAIRS" not in out and "SEEDS" not in out  # all have all


def test_a_failing_world_is_made_small_and_fails_alike(night: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run("sim night.yaml --seeds 1-40 --until expect --shrink small.yaml", capsys)
    assert code == 1
    assert "wrote small.yaml" in err
    assert ": 2 tasks, 1 host, 1 fault; laulima sim small.yaml" in err
    code, out, _ = run("sim small.yaml", capsys)
    assert code == 1
    assert "NOT AS EXPECTED: max_pending < 11 min was expected, it is " in out
    assert "undefined" not in out
    code, _, err = run("sim small.yaml --set cluster.order=strict", capsys)
    assert code == 1
    assert "it has no keys for --set" in err


def test_a_world_that_is_good_is_not_made_small(night: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (night / "night.yaml").write_text(SCENARIO.replace("11min", "50min"))
    code, _, err = run("sim night.yaml --seeds 1-2 --shrink small.yaml", capsys)
    assert code == 0
    assert "small.yaml is not written: nothing failed" in err
    assert not (night / "small.yaml").exists()


def test_what_is_not_measured_is_said_in_the_commands_that_make_it_again(
    night: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, out, _ = run("sim night.yaml --seeds 1-2 --warm-up 20m --json", capsys)
    answer = json.loads(out)
    assert answer["again"] == "laulima sim night.yaml --for 1h --seeds 1-2 --warm-up 20m"
    _, again, _ = run(answer["command"].removeprefix("laulima ") + " --metrics --json", capsys)
    figures = next(world["figures"] for world in answer["worlds"] if world["seed"] == answer["worst"])
    assert json.loads(again)["metrics"]["total"]["ended"] == figures["ended"]


def wait_for_ever(number: int) -> int:
    """In a process of its own; 0 is answered at once."""
    if number:
        threading.Event().wait()
    return number


def end_by_force(_: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def test_who_takes_no_more_answers_does_not_wait_for_those_that_are_made() -> None:
    answers = many_worlds.each(wait_for_ever, [0, 1, 2, 3], 2, chunk=1)
    assert next(iter(answers)) == 0
    assert isinstance(answers, Generator)
    answers.close()
    assert not active_children()


def test_a_worker_that_somebody_else_ends_is_an_error_with_a_way_out() -> None:
    with pytest.raises(LaulimaError, match="ended by signal 9") as caught:
        list(many_worlds.each(end_by_force, [0, 1], 2, chunk=1))
    assert "fewer --jobs" in caught.value.hint


@pytest.mark.parametrize(("kept", "told"), [("", "are lost: --checkpoint FILE"), ("--checkpoint worlds", "in worlds")])
def test_who_breaks_it_off_is_told_what_becomes_of_finished_worlds(
    night: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kept: str, told: str
) -> None:
    whole = Runs.run

    def until_ctrl_c(arm_and_seed: tuple[int, int]) -> Drawn:
        if arm_and_seed[1] == 3:
            raise KeyboardInterrupt
        return whole(arm_and_seed)

    monkeypatch.setattr(Runs, "run", until_ctrl_c)
    code, _, err = run(f"sim night.yaml --seeds 1-5 {kept}", capsys)
    assert code == 130
    assert "2 of 5 worlds were finished" in err
    assert told in err


def test_finished_worlds_are_read_line_by_line(tmp_path: Path) -> None:
    kept = tmp_path / "worlds"
    finished = FinishedWorlds(kept, "inputs")
    finished.add(0, Drawn(1))
    finished.close(done=False)
    with kept.open("ab") as file:
        file.write(b'{"cut off')
    again = FinishedWorlds(kept, "inputs")
    again.close(done=False)
    assert list(again.worlds) == [(0, 1)]
    assert kept.read_bytes().count(b"\n") == 2 and kept.read_bytes().endswith(b"\n")
    with pytest.raises(ConfigurationError, match="holds no finished worlds"):
        FinishedWorlds(Path("/dev/zero"), "inputs")


def test_finished_worlds_of_which_the_disk_takes_no_more_are_an_error_and_the_others_stay(tmp_path: Path) -> None:
    finished = FinishedWorlds(tmp_path / "worlds", "inputs")
    finished.add(0, Drawn(1))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / "worlds").stat().st_size + 10, hard))
    try:
        with pytest.raises(LaulimaError, match="cannot be written"):
            finished.add(0, Drawn(2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        finished.close(done=False)
    again = FinishedWorlds(tmp_path / "worlds", "inputs")
    assert [seed for _, seed in again.worlds] == [1]
    again.close(done=True)


def test_progress_and_the_time_left_are_told_on_stderr(
    night: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(many_worlds, "TELL_S", 0.0)
    _, out, err = run("sim night.yaml --seeds 1-3 --json", capsys)
    assert len(json.loads(out)["seeds"]) == 3
    assert [line.partition(", about ")[0] for line in err.splitlines()] == ["1 of 3 worlds", "2 of 3 worlds"]
    assert all(line.endswith(" left") for line in err.splitlines())


def test_a_job_log_in_many_worlds(night: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_log(night / "jobs.swf", *(line(number, 60 * number, 100) for number in range(1, 8)))
    answers = []
    for jobs in (1, 2):
        code, out, err = run(f"sim --workload jobs.swf --seeds 1-2 --jobs {jobs} --json", capsys)
        assert code == 0, err
        answers.append(json.loads(out))
    assert answers[0] == answers[1]
    assert [world["jobs"] for world in answers[0]["worlds"]] == [7, 7]


def test_seeds_as_people_write_them() -> None:
    assert parse_seeds("7") == (7,)
    assert parse_seeds("1-3,10,2") == (1, 2, 3, 10)


@pytest.mark.parametrize("text", ["", "a", "1-", "3-1", "1-9999999", "-4", "1-2-3"])
def test_wrong_seeds_are_an_error_with_a_way_out(text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_seeds(text)
    assert "--seeds" in str(caught.value)
    assert "1-1000" in (caught.value.hint or "")


@pytest.mark.parametrize(
    "words",
    [
        "sim pipeline.yaml --jobs 2",
        "sim pipeline.yaml --until expect",
        "sim pipeline.yaml --seeds 1-3 --seed 4",
        "sim pipeline.yaml --seeds 1-3 --log x",
        "sim --workload x.swf --set cluster.order=fill",
    ],
)
def test_what_makes_no_sense_is_a_usage_error(night: Path, capsys: pytest.CaptureFixture[str], words: str) -> None:
    (night / "x.swf").write_text("")
    assert run(words, capsys)[0] == 2
