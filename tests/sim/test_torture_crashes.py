"""Goal: `laulima torture --crash-points` and `--crash-pairs` go through what they say, tell what they find with its
place, and write their counters.

Method: the commands in this process, with few of their points; a planted bug is to be found.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from model.errors import OperatorError
from shell.commands.torture import torture_command
from shell.session import Session
from sim.crash_points import CrashPoint
from tests.sim.mutants import nothing_waits_for_the_sync

DEFAULTS = {
    "files": (), "seeds": 2, "first": 0, "jobs": 1, "points": False, "pairs": False, "worlds": (), "every": 1,
    "save": None, "write": None,
}  # fmt: skip


def command(**settings: object) -> int:
    return torture_command(Session("torture"), **{**DEFAULTS, **settings})  # type: ignore[arg-type]


def test_a_few_crash_points_by_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert command(points=True, every=6000) == 0
    assert "14 worlds, 2 layouts" in capsys.readouterr().out


def test_a_few_crash_points_of_one_world_by_command(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- crash points -->\nold\n<!-- end -->\n")
    assert command(points=True, worlds=("reload",), every=600, write=str(page)) == 0
    assert "1 world, 2 layouts, " in capsys.readouterr().out
    assert re.search(r"^\| reload \| \d+ \| \d{4} \| 1\d \| \d+ \| \d+ \| 0 \|$", page.read_text(), re.MULTILINE)


def test_another_world_for_crash_points_is_named() -> None:
    with pytest.raises(OperatorError, match="no world 'relaod'") as raised:
        command(points=True, worlds=("relaod",))
    assert "reload" in raised.value.hint


def test_a_few_pairs_of_crashes_by_command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shell.commands.torture_crashes.first_points", lambda one_process: [CrashPoint("scheduler", 9)])
    assert command(pairs=True, every=100) == 0
    assert re.search(r"^\d pairs of crashes .*nothing broken$", capsys.readouterr().out, re.MULTILINE)


def test_what_a_crash_breaks_is_told_with_its_place(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing_waits_for_the_sync(monkeypatch)
    assert command(points=True, worlds=("local jobs",), every=200) == 1
    assert re.search(r"^local jobs, one process: scheduler@\d+.*: P\d", capsys.readouterr().out, re.MULTILINE)
