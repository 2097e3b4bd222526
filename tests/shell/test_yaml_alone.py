"""Goal: a task of every handler type, a window, a calendar, required hosts, retries, deadlines and notifications work
from YAML alone, with no script; and what was told is not told again after a crash of the server.

Method: configs/night.yaml is run by the real server, in the background; what its jobs and handlers leave in the folder,
the history and what the notifier got is compared with what the file says. Nothing of it may be left.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shell.detaching import command_line
from tests.live.running_server import until
from tests.shell.leftovers import left_of
from tests.shell.stub import Ran

Laulima = Callable[..., Ran]
NIGHT = Path(__file__).parents[2] / "configs" / "night.yaml"
LIMIT = 60.0
MADE = {
    "raw-m31", "raw-m33", "reduced-m31", "reduced-m33", "archived", "calibrated", "focus-crashed", "seeing-3",
    "mosaic-has-no-host", "spectra-made", "flat-gave-up", "day-made",
}  # fmt: skip
NOT_MADE = {"mosaic-made", "flat-made", "survey-made", "twilight-made"}
ENDS = {
    "expose": {"exit 0": 2},
    "reduce": {"exit 0": 2, "exit 75": 2},
    "calibrate": {"exit 3": 1, "exit 4": 1},
    "guide": {"TIMED_OUT": 1},
    "focus": {"CRASHED": 1},
    "dome": {"COMMAND_NOT_FOUND": 1},
    "weather": {"exit 9": 1},
    "mosaic": {"HOST_DOWN": 1},
    "spectra": {"exit 0": 1},
    "flat": {"PENDING_TIMEOUT": 1},
    "day": {"exit 0": 1},
}
OF_HANDLERS = (
    "touch focus-crashed", "touch mosaic-has", "touch flat-gave-up", 'sh -c echo "exit ', 'sh -c echo "$LAULIMA_ITEM',
)  # fmt: skip
TOLD = {
    ("alarm", "host-down", "host gone"),
    ("alarm", "task-faulted", "task dome"),
    ("alarm", "pending-timeout", "task flat"),
    ("alarm", "late-end", "task stack"),
    *(
        ("alarm", "job-failed", f"task {name}")
        for name in ("calibrate", "guide", "focus", "dome", "weather", "mosaic", "flat")
    ),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    for name in ("LAULIMA_STATE", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    shutil.copy(NIGHT, tmp_path)
    yield tmp_path
    subprocess.run(command_line(["shutdown", "--kill"]), capture_output=True, timeout=90, check=False)
    assert left_of(tmp_path) == []


def start(folder: Path) -> None:
    words = command_line(["run", "night.yaml", "--detach"])
    started = subprocess.run(words, capture_output=True, text=True, timeout=90, check=False, cwd=folder)
    assert started.returncode == 0, started.stderr


def told(folder: Path) -> list[tuple[str, str, str]]:
    """(event, kind, subject) of everything that somebody was told."""
    path = folder / "told.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [(each["event"], each["kind"], each["subject"]) for line in lines for each in json.loads(line)["alarms"]]


def ends(laulima: Laulima) -> dict[str, dict[str, int]]:
    """How the attempts of each task ended; commands of handlers are not counted."""
    found: dict[str, Counter[str]] = {}
    for row in laulima("history", "--json", "-n", "1000").json["history"]:
        if row["command"].startswith(OF_HANDLERS):
            continue
        outcome = f"exit {row['exit_code']}" if row["outcome"] == "EXITED" else row["outcome"]
        found.setdefault(row["task"], Counter())[outcome] += 1
    return {task: dict(counts) for task, counts in found.items()}


def test_a_night_works_from_yaml_alone(folder: Path, laulima: Laulima) -> None:
    start(folder)
    until(lambda: {path.name for path in folder.iterdir()} >= MADE, "everything is made", LIMIT)
    until(lambda: set(told(folder)) >= TOLD, f"everything is told: {told(folder)}", LIMIT)
    assert not {path.name for path in folder.iterdir()} & NOT_MADE
    until(lambda: (folder / "archived").read_text().split() in (["m31", "m33"], ["m33", "m31"]), "both items", LIMIT)
    assert (folder / "calibrated").read_text() == "exit 4\n"
    until(lambda: ends(laulima) == ENDS, f"everything has ended: {ends(laulima)}", LIMIT)
    status = laulima("status", "--json").json
    states = {row["name"]: row["state"] for row in status["tasks"]}
    assert (states["survey"], states["twilight"], states["dome"]) == ("window closed", "window closed", "faulted")
    assert "excluded by maintenance" in next(row["why"] for row in status["tasks"] if row["name"] == "survey")
    assert [row["error"] for row in status["notifiers"]] == [""]
    assert "host gone is down" in " ".join(status["alarms"]) and "task stack: job" in " ".join(status["alarms"])
    assert "has not ended in time" in laulima("explain", "stack").out
    tested = laulima("notify", "--test")
    assert tested.code == 0 and "operator (sh)  took it in" in tested.out
    handlers = [each for each in told(folder) if each[0] == "handler"]
    assert len(handlers) == 1 and handlers[0][1] == "handler"  # guide's
    until(
        lambda: all(row["told"] for row in laulima("status", "--json").json["alarm_rows"]),
        "it is known who knows",
        LIMIT,
    )
    before = Counter(told(folder))
    assert max(before.values()) == 1

    os.kill(status["pid"], signal.SIGKILL)
    start(folder)
    until(lambda: "host gone is down" in laulima("status").out, "the host is tried again", LIMIT)
    fresh = laulima("submit", "--host", "local", "--", "touch", "after")
    assert fresh.code == 0
    rows = {(row["kind"], row["subject"]) for row in laulima("status", "--json").json["alarm_rows"]}
    assert ("host-down", "host gone") in rows and ("late-end", "task stack") in rows
    until((folder / "after").exists, "the new life works", LIMIT)
    again = Counter(told(folder)) - before
    assert not again, f"told again: {again}"
