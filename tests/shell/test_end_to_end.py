"""Goal: the commands and the real server fit together, from `run --detach` to `shutdown --kill`.

Method: a real server in the background, started and ended by the command line; nothing of it may be left.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import jsonschema
import msgspec
import pytest

from model.views import HistoryRow, Status
from shell.detaching import command_line
from tests.shell.leftovers import left_of
from tests.shell.stub import Ran

Laulima = Callable[..., Ran]

PIPELINE = """\
cluster:
  local: {slots: 2}
  hosts: [{name: "node[1-2]", slots: 2}]
defaults:
  periods: {exec: 100ms, timeout: 1m}
tasks:
  copy:
    each: {files: "in/*"}
    command: [cp, $item, out]
  stopped:
    command: [sleep, "1000"]
    limits: {total: 1}
    host: {name: node2, required: true}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("LAULIMA_STATE", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "pipeline.yaml").write_text(PIPELINE)
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.fixture
def running(folder: Path) -> Iterator[Path]:
    """A folder with a server that answers."""
    words = command_line(["run", "pipeline.yaml", "--detach"])
    started = subprocess.run(words, capture_output=True, text=True, timeout=90, check=False)
    assert started.returncode == 0, started.stderr
    yield folder
    subprocess.run(command_line(["shutdown", "--kill"]), capture_output=True, timeout=90, check=False)
    assert left_of(folder) == []


def test_a_detached_server_answers_and_ends_when_it_is_told(running: Path, laulima: Laulima) -> None:
    ran = laulima("status", "--json")
    assert ran.code == 0
    jsonschema.validate(ran.json, msgspec.json.schema(Status))
    pid = ran.json["pid"]
    second = laulima("run", "pipeline.yaml", "--detach")
    assert second.code == 1
    assert str(pid) in second.err
    assert laulima("shutdown", "--kill").code == 0
    words = command_line(["run", "pipeline.yaml", "--detach"])  # its place is free: it has really left
    again = subprocess.run(words, capture_output=True, text=True, timeout=90, check=False)
    assert again.returncode == 0, again.stderr
    assert laulima("shutdown", "--kill").code == 0
    ran = laulima("status")
    assert ran.code == 3
    assert "laulima run" in ran.err
    history = laulima("history", "--json", "--task", "stopped")
    assert [msgspec.convert(row, HistoryRow).outcome for row in history.json["history"]] == ["KILLED"]


def test_every_list_explanation_and_log_of_a_real_server_can_be_shown(running: Path, laulima: Laulima) -> None:
    done = laulima("submit", "--wait", "--", "sh", "-c", "printf 'out\\0put'; echo errors >&2; exit 3")
    assert (done.code, done.out, done.err) == (3, "out\0put", "errors\n")
    for words in (["status"], ["tasks"], ["jobs"], ["hosts"], ["history"], ["history", "--stats"]):
        ran = laulima(*words)
        assert (ran.code, ran.err) == (0, ""), words
        assert ran.out.count("\n") >= 2
        assert laulima(*words, "--json").json["schema"] == 1
    assert laulima("logs", "last").out == "out\0put"
    assert laulima("logs", "last", "--stderr").out == "errors\n"
    assert laulima("explain", "stopped").out.startswith("task stopped")
    assert laulima("explain", "host", "node2").code == 0
    assert laulima("explain", "nobody").code == 1


def test_changes_take_effect_and_say_so(running: Path, laulima: Laulima) -> None:
    assert laulima("hold", "copy", "--reason", "mail loop").code == 0
    [row] = laulima("status", "copy", "--json").json["tasks"]
    assert row["state"] == "held"
    assert "mail loop" in row["why"]
    assert laulima("release", "copy").code == 0
    assert laulima("submit", "--wait", "--host", "node1", "--required", "--", "true").code == 0
    job = laulima("submit", "--host", "node1", "--", "sleep", "1000").out.strip()
    assert laulima("kill", job, "-r", "enough").code == 0
    assert laulima("history", job, "--json").json["history"][0]["outcome"] == "KILLED"
    assert laulima("host", "drain", "node1").code == 0
    assert laulima("hosts", "node1", "--json").json["hosts"][0]["state"] == "draining"
    assert laulima("kill", "999999").code == 1


def test_the_exit_code_of_a_job_that_cannot_start_or_takes_too_long(running: Path, laulima: Laulima) -> None:
    assert laulima("submit", "--wait", "--", "/no/such/command").code == 127
    assert laulima("submit", "--wait", "--timeout", "100ms", "--", "sleep", "1000").code == 124
    assert laulima("submit", "--wait", "--", "sh", "-c", "kill -9 $$").code == 137


def test_run_until_idle_does_the_work_and_ends_with_0(folder: Path) -> None:
    text = PIPELINE.replace('[sleep, "1000"]', '["true"]') + "shutdown: {on_exit: kill}\n"
    (folder / "pipeline.yaml").write_text(text)
    for number in range(20):
        (folder / "in" / f"file {number}").write_text(str(number))
    words = command_line(["run", "pipeline.yaml", "--until-idle"])
    done = subprocess.run(words, capture_output=True, text=True, timeout=90, check=False, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert len(list((folder / "out").iterdir())) == 20
    assert left_of(folder) == []


@pytest.mark.parametrize("words", [["run"], ["run", "--detach"], ["validate"], ["sim"]])
def test_a_file_with_mistakes_starts_nothing(folder: Path, laulima: Laulima, words: list[str]) -> None:
    (folder / "pipeline.yaml").write_text("tasks:\n  copy:\n    comand: [cp]\n  ../x:\n    command: [ls]\n")
    ran = laulima(words[0], "pipeline.yaml", *words[1:])
    assert (ran.code, ran.out) == (1, "")
    assert "pipeline.yaml:3:5" in ran.err
    assert "did you mean command" in ran.err
    assert "pipeline.yaml:4:3" in ran.err
    assert not (folder / ".laulima").exists()


def test_a_file_that_is_not_there_is_told_with_a_way_out(folder: Path, laulima: Laulima) -> None:
    ran = laulima("run", "pipelin.yaml")
    assert ran.code == 1
    assert "laulima init" in ran.err


def test_init_writes_a_valid_pipeline_and_never_overwrites(folder: Path, laulima: Laulima) -> None:
    assert laulima("init", "mine.yaml").out == "wrote mine.yaml\n"
    assert laulima("validate", "mine.yaml", "--strict").code == 0
    assert laulima("validate", "mine.yaml", "--json").json == {
        "schema": 1, "file": "mine.yaml", "valid": True, "errors": [], "warnings": [],
    }  # fmt: skip
    before = (folder / "mine.yaml").read_bytes()
    assert laulima("init", "mine.yaml").code == 1
    assert (folder / "mine.yaml").read_bytes() == before


def test_validate_as_json_holds_the_errors(folder: Path, laulima: Laulima) -> None:
    (folder / "pipeline.yaml").write_text("tasks:\n  copy:\n    comand: [cp]\n")
    ran = laulima("validate", "pipeline.yaml", "--json")
    assert (ran.code, ran.json["valid"]) == (1, False)
    assert any("pipeline.yaml:3:5" in line for line in ran.json["errors"])


def test_a_warning_is_told_and_strict_takes_it_as_an_error(folder: Path, laulima: Laulima) -> None:
    host = "host: {name: node9, required: true, when_unknown: wait}"
    (folder / "pipeline.yaml").write_text(PIPELINE + f"  waiting:\n    command: [ls]\n    {host}\n")
    ran = laulima("validate", "pipeline.yaml")
    assert ran.code == 0
    assert "node9" in ran.err
    assert laulima("validate", "pipeline.yaml", "--strict").code == 1


def test_sim_rehearses_the_same_file_with_a_fault(folder: Path, laulima: Laulima) -> None:
    words = ("pipeline.yaml", "--for", "2h", "--fail", "node2 down 00:10-01:00", "--seed", "3")
    ran = laulima("sim", *words, "--json")
    assert (ran.code, ran.json["schema"]) == (0, 1)
    assert laulima("sim", *words, "--json").json == ran.json
    assert laulima("sim", "pipeline.yaml", "--fail", "node7 down 00:10-01:00").code == 1


def test_docs_has_a_text_on_every_topic_and_names_near_misses(laulima: Laulima) -> None:
    topics = [line.split()[0] for line in laulima("docs").out.splitlines()]
    assert {"start", "outcomes", "config.tasks"} <= set(topics)
    for topic in topics:
        assert laulima("docs", topic).out.strip()
    assert "did you mean outcomes?" in laulima("docs", "outcome").err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_for_the_shell(laulima: Laulima, shell: str) -> None:
    ran = laulima("completion", shell)
    assert ran.code == 0
    assert "_LAULIMA_COMPLETE" in ran.out
