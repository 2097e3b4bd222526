"""Goal: `laulima notify` says who was told and whether that works; `--test` what came back, with a server or a file.

Method: a stub of the server for what it answers; a file with notifiers that work and fail, tried from here. (A real
server is asked in `test_yaml_alone.py`.)
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from live.notifying import Tried
from model.views import NotifierRow
from tests.shell.stub import Ran, Stub

Laulima = Callable[..., Ran]
PIPELINE = """\
notify:
  good: {command: [sh, -c, "cat >> told"]}
  bad: {command: [sh, -c, "echo no room; exit 3"]}
tasks: {a: {command: [x]}}
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "pipeline.yaml"
    path.write_text(PIPELINE)
    return path


def test_who_is_told_and_whether_that_works(server: Stub, laulima: Laulima) -> None:
    server.answers["notify"] = [NotifierRow("good", 3, 0, 1), NotifierRow("bad", 0, 2, None, "exit code 3\x1b[2J")]
    ran = laulima("notify")
    assert ran.code == 1
    assert [line.split()[:3] for line in ran.out.splitlines()[1:]] == [["good", "3", "0"], ["bad", "0", "2"]]
    assert "works" in ran.out and r"fails: exit code 3\x1b[2J" in ran.out
    server.answers["notify"] = []
    assert "nobody is told" in laulima("notify").out


def test_a_test_through_the_server(server: Stub, laulima: Laulima) -> None:
    server.answers["notify"] = [
        Tried("good", "sh", 12_000_000, ""),
        Tried("bad", "webhook https://a.b", 1, "no\x1b[2J"),
    ]
    ran = laulima("notify", "--test")
    assert ran.code == 1
    assert ran.out.splitlines() == [
        "good (sh)  took it in 12 ms",
        r"bad (webhook https://a.b)  FAILED: no\x1b[2J",
    ]
    assert laulima("notify", "--test", "--json").json["tested"][1]["error"] == "no\x1b[2J"


def test_a_test_of_a_file_needs_no_server(file: Path, laulima: Laulima) -> None:
    ran = laulima("notify", "--test", str(file))
    assert ran.code == 1
    assert "good (sh)  took it in" in ran.out and "bad (sh)  FAILED: `sh` ended with exit code 3: no room" in ran.out
    assert '"event": "test"' in (file.parent / "told").read_text()
    assert laulima("notify", "--test", str(file), "--only", "good").code == 0


def test_what_makes_no_sense_is_said(file: Path, laulima: Laulima) -> None:
    ran = laulima("notify", str(file))
    assert ran.code == 2 and "laulima notify --test FILE" in ran.err
    ran = laulima("notify", "--test", str(file), "--only", "god")
    assert ran.code == 1 and "has no notifier god, did you mean good?" in ran.err
