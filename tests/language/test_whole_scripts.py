"""Goal: whole scripts, as people write them, mean the same live and rehearsed. Method: each script of `scripts/`
measures and checks itself, prints lines that begin with RESULT, and quits; they are compared with what its author
wants, once on the virtual clock (its scenario stands beside it) and once by `laulima run` with real processes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from model.scripting import Stream
from shell.config.scenario import load_rehearsal
from shell.language.machine import Scripts
from sim.simulation import simulate
from sim.world import Scripting

FOLDER = Path(__file__).parent / "scripts"
LIMIT_SECONDS = 60

WANTED: dict[str, list[str]] = {
    "adaptive": ["tries 21 done 20"],
    "back_pressure": ["gone 12 left 0"],
    "daily": ["run 1"],
    "exits": [
        "crashes crash CRASH",
        "missing not-found COMMAND_NOT_FOUND",
        "slow timeout TIMEOUT",
        "ten limit 10",
        "three default 3",
        "zero 0 0",
    ],
    "guarded": ["2026T12 poll 0.05 found 3"],
    "hosts": ["alpha 3 beta 3 elsewhere 0 seen 8"],
    "limits": ["spawned 40 worst 5"],
    "load_and_process": [
        "pages 3 done 2 failed 1",
        "label deep field",
        "11:1 DONE",
        "12:1 FAILED",
        "12:2 DONE",
    ],
    "memory": ["memory ok"],
    "on_off": ["a began after b had run"],
    "once": [
        "north-7",
        "/data/d4/img.fits img.fits cde 6 13",
        "3 xacd",
        "n 6",
        "sum 10 mean 2.5",
        "one two status 0",
        "some text",
        "status 1",
    ],
    "output_data": ["same", "lines 4", "words 14", "kept 4"],
    "queue_pipeline": ["raw 8", "finished 8"],
    "rate": ["rate ok"],
    "round_robin": ["4 4 4"],
    "state_machine": ["order a b c"],
    "windows": ["open enough counted 3 never 0 excluded 0"],
}
"""What each script must print, in any order where ends of jobs decide it."""
ANY_ORDER = {"exits"}
MEASURES_TIME = {"rate"}
STATUS = {"once": 7}
ECHOED = {"queue_pipeline": ["item-000 ok", "item-007 ok", "finished"], "hosts": ["alpha", "beta"]}
"""Other texts that must be among what it prints."""
HELPERS = {"site"}


def results(name: str, text: str) -> list[str]:
    lines = [line.removeprefix("RESULT ") for line in text.splitlines() if line.startswith("RESULT ")]
    return sorted(lines) if name in ANY_ORDER else lines


def test_every_script_is_run() -> None:
    assert {path.stem for path in FOLDER.glob("*.pro")} - HELPERS == set(WANTED)


@pytest.mark.parametrize("name", sorted(WANTED))
def test_a_script_means_what_its_author_meant_when_it_is_rehearsed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FOLDER)
    loaded = load_rehearsal(FOLDER / f"{name}.yaml")
    shown: dict[Stream, str] = {Stream.OUT: "", Stream.ERROR: ""}

    def show(stream: Stream, text: str) -> None:
        shown[stream] += text

    def read(path: str) -> str | None:
        return Path(path).read_text(encoding="utf-8") if Path(path).is_file() else None

    result = simulate(loaded.configuration, loaded.scenario, scripting=Scripting(Scripts, show, read))
    assert results(name, shown[Stream.OUT]) == WANTED[name], shown
    assert not result.violation_count, result.violations
    assert not result.script_failed, shown[Stream.ERROR]
    assert (result.script_status or 0) == STATUS.get(name, 0), shown
    for text in ECHOED.get(name, ()):
        assert text in shown[Stream.OUT]


@pytest.mark.parametrize("name", sorted(WANTED))
def test_a_script_means_what_its_author_meant_when_it_is_run(name: str, tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path / "s")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-m", "shell.main", "run", f"{name}.pro", "--state", str(tmp_path / "state")],
        cwd=tmp_path / "s",
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    found = results(name, done.stdout)
    if name in MEASURES_TIME:  # on a busy machine it says what it measured; the benchmarks ask for the figure
        assert [line.split()[0] for line in found] == [line.split()[0] for line in WANTED[name]], done.stdout
    else:
        assert found == WANTED[name], done.stdout + done.stderr
    assert done.returncode == STATUS.get(name, 0), done.stderr
    for text in ECHOED.get(name, ()):
        assert text in done.stdout
