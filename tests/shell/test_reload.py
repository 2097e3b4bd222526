"""Goal: `diff` tells and `reload` does, whole or not at all, while jobs run. Method: the command line and a detached
server with real files.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shell.detaching import command_line
from tests.shell.leftovers import left_of
from tests.shell.stub import Ran

Laulima = Callable[..., Ran]
LIMIT = 60.0
BEFORE = """\
tasks:
  long: {command: [sleep, "600"], host: local, periods: {exec: 1h, timeout: none}}
  gone: {command: ["true"], host: local, periods: {exec: 1h}}
"""
AFTER = """\
cluster: {local: {slots: 7}}
tasks:
  long: {command: [sleep, "600"], host: local, periods: {exec: 30m, timeout: none}, limits: {in_flight: 1}}
  scripted:
    prepare: |
      $n ++
      queuepush seen $n
    command: [touch, "made-$n"]
    host: local
    periods: {exec: 200ms}
    limits: {total: 3}
"""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a detached server that runs BEFORE."""
    monkeypatch.chdir(tmp_path)
    for name in ("LAULIMA_STATE", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "before.yaml").write_text(BEFORE)
    (tmp_path / "after.yaml").write_text(AFTER)
    subprocess.run(command_line(["run", "before.yaml", "--detach"]), check=True, capture_output=True, timeout=LIMIT)
    yield tmp_path
    subprocess.run(command_line(["shutdown", "--kill"]), capture_output=True, timeout=LIMIT, check=False)
    assert left_of(tmp_path) == []


def until(condition: Callable[[], bool], pause: Callable[[], object]) -> None:
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline
        pause()


def test_diff_tells_and_reload_does_it_while_jobs_go_on(server: Path, laulima: Laulima) -> None:
    told = laulima("diff", "after.yaml")
    assert told.code == 1
    assert told.out.splitlines() == [
        "- task gone",
        "~ task long: periods.exec 60 min -> 30 min",
        "~ task long: limits.in_flight 0 -> 1",
        "+ task scripted",
        "~ configuration: cluster.local_slots 2 -> 7   (counts from the next start on)",
    ]
    until(lambda: laulima("jobs", "state=running", "--json").json["jobs"] != [], lambda: laulima("status"))
    job = laulima("jobs", "task=long", "--json").json["jobs"][0]["job"]

    assert laulima("reload", "after.yaml").out == told.out
    until((server / "made-3").exists, lambda: laulima("status"))
    assert {path.name for path in server.glob("made-*")} == {"made-1", "made-2", "made-3"}
    names = [task["name"] for task in laulima("tasks", "--json").json["tasks"]]
    assert sorted(names) == ["long", "scripted"]
    assert laulima("jobs", "task=long", "--json").json["jobs"][0]["job"] == job, "what ran runs on"

    again = laulima("diff", "after.yaml")
    assert again.out.splitlines() == [
        "~ configuration: cluster.local_slots 2 -> 7   (counts from the next start on)"
    ], "what waits for the next start is told until then"


def test_a_file_that_is_wrong_changes_nothing(server: Path, laulima: Laulima) -> None:
    (server / "after.yaml").write_text(AFTER.replace("200ms", "200 parsecs"))
    refused = laulima("reload", "after.yaml")
    assert refused.code == 1
    assert "after.yaml:10:" in refused.err
    assert laulima("diff", "before.yaml").out == "nothing differs\n"
    assert laulima("diff", "before.yaml").code == 0
