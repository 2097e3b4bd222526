"""Goal: a rehearsal of task scripts that is ended at any moment goes on from its checkpoint as if nothing had been: the
event log is equal to the byte. No checkpoint is made while a script is in the middle of its lines.

Method: scripts that keep something of every kind (macros with static locals, queues, books, files that are half read,
chance, expressions that have become code, jobs of their own) are killed again and again and gone on with by new
objects; once in a process that knows nothing of them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from model.errors import ConfigurationError
from model.job import SECOND
from shell import checkpointing
from shell.checkpointing import checkpoints_of
from shell.config.scenario import LoadedScenario, load_rehearsal, load_scenario_text, with_settings
from shell.prepared import Asked, prepare, scripting_of
from sim.checkpoints import Checkpoints
from sim.shared_measuring import measuring_of
from sim.simulation import SimulationResult, simulate
from tests.sim.test_checkpoints import JUNK, Killed, Rounds

ROOT = Path(__file__).parents[2]
NIGHT = ROOT / "configs" / "scenarios" / "night.yaml"

EVERYTHING = """\
$made = 0
macro counted -c "how often it was called"
  local -static calls
  if ("$calls" == "NULL") set calls = 0
  $calls ++
  $counted = $calls
end
book init pages
parameters connect_time = 17

task work
  host anyhost
  periods -exec 7 -poll 1 -timeout 60
  npending 3
  task.exec
    counted
    $made ++
    $drawn = int(1000*rnd(0)) + ($made % 7) * 3 - ($counted / 2)
    queuepush seen "$made $drawn"
    book newpage pages page$made
    book setword pages page$made drawn $drawn
    scannext lines.txt line
    if ($made % 5 == 0) job own $made
    options page$made
    if ($made % 11 == 0) queuedrop seen -key 0 $counted
    command work $made $drawn $line
  end
  task.exit 0
    queuesize seen -var n
    book npages pages -var pages
    exec echo $counted $n $pages $line >> told
    if ($made > 5) check job 5
  end
  task.exit default
    book delpage pages $options:0
  end
end

controller host add node1 -threads 2
controller host add node2 -threads 1
run
"""
SCENARIO = """\
pipeline: x.pro
for: 24m
tasks: {work: {run: {exponential: 12s}, exit: {0: 3, 1: 1}}}
files: {lines.txt: "a\\nb\\nc\\nd\\ne\\n"}
faults: [node1 down 6m-8m, scheduler restarted 12m+10s]
"""


def loaded_from(folder: Path, script: str = EVERYTHING, scenario: str = SCENARIO) -> LoadedScenario:
    (folder / "x.pro").write_text(script, encoding="utf-8")
    (folder / "s.yaml").write_text(scenario, encoding="utf-8")
    return load_rehearsal(folder / "s.yaml")


def run(loaded: LoadedScenario, **more: object) -> SimulationResult:
    scripting = scripting_of(loaded.configuration, loaded.scenario, quiet=True)
    return simulate(loaded.configuration, loaded.scenario, scripting=scripting, **more)  # type: ignore[arg-type]


def assert_goes_on(loaded: LoadedScenario, folder: Path, every: int, least: int) -> None:
    """Killed at least so often, its log is that of an undisturbed run."""
    world = loaded.configuration, loaded.scenario
    whole = measuring_of(*world)
    result = run(loaded, readers=(whole,))
    path, log, rounds, kills = folder / "checkpoint", folder / "log", Rounds(every), 0
    while True:
        measuring = measuring_of(*world)
        with log.open("r+b" if path.exists() else "wb") as file:
            try:
                again = run(loaded, file=file, readers=(measuring,), checkpoints=Checkpoints(path, "world", rounds.due))
            except Killed:
                kills += 1
                file.write(JUNK)
                continue
        break
    assert kills >= least
    assert (again.hash, again.lines) == (result.hash, result.lines)
    assert measuring.metrics() == whole.metrics()


def test_a_script_that_keeps_everything_goes_on_as_if_nothing_had_been(tmp_path: Path) -> None:
    assert_goes_on(loaded_from(tmp_path), tmp_path, 300, 4)


def test_the_night_of_the_examples(tmp_path: Path) -> None:
    assert_goes_on(with_settings(load_rehearsal(NIGHT), 3, 7200 * SECOND), tmp_path, 450, 3)


def test_scripts_of_several_schedulers(tmp_path: Path) -> None:
    (tmp_path / "cluster.yaml").write_text('cluster: {hosts: [{name: "node[1-2]"}]}\n')
    (tmp_path / "tasks.yaml").write_text(
        "controller: {socket: .laulima-controller}\n"
        "tasks: {work: {command: [w, $m], periods: {exec: 20s}, prepare: 'queuepush q x\\nqueuesize q -var m\\n'}}\n"
    )
    text = "controller: cluster.yaml\npipeline: tasks.yaml\nschedulers: {north: {}, south: {}}\nfor: 20m\n"
    loaded = load_scenario_text(text, tmp_path / "both.yaml")
    assert_goes_on(loaded, tmp_path, 450, 3)


IN_A_NEW_PROCESS = """\
import sys
from pathlib import Path
from sim.checkpoints import Checkpoints
from tests.sim.test_script_checkpoints import load_rehearsal, run
folder = Path(sys.argv[1])
with (folder / "log").open("r+b") as file:
    checkpoints = Checkpoints(folder / "checkpoint", "world", lambda: False)
    print(run(load_rehearsal(folder / "s.yaml"), file=file, checkpoints=checkpoints).hash)
"""


def test_a_process_that_knows_nothing_of_it_goes_on(tmp_path: Path) -> None:
    loaded = loaded_from(tmp_path)
    with (tmp_path / "log").open("wb") as file, pytest.raises(Killed):
        run(loaded, file=file, checkpoints=Checkpoints(tmp_path / "checkpoint", "world", Rounds(1200).due))
    done = subprocess.run(
        [sys.executable, "-c", IN_A_NEW_PROCESS, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=True,
        timeout=120, env={**os.environ, "PYTHONHASHSEED": "99"},
    )  # fmt: skip
    assert done.stdout.split() == [run(loaded).hash]


def test_nothing_is_written_in_the_middle_of_a_script_s_lines_and_that_is_told_once(tmp_path: Path) -> None:
    """Its file sleeps for the first of four quarters, and once more when the scheduler is restarted in the middle."""
    loaded = loaded_from(tmp_path, f"exec sleep 360\n{EVERYTHING}")
    told: list[int] = []
    asked: list[bool] = []

    def due() -> bool:
        asked.append(len(asked) % 100 == 0)
        return asked[-1]

    path = tmp_path / "checkpoint"
    checkpoints = Checkpoints(path, "world", due, put_off=lambda: told.append(checkpoints.written))
    with (tmp_path / "log").open("wb") as file:
        run(loaded, file=file, checkpoints=checkpoints)
    assert told == [0]
    assert 500 < len(asked) < 1010
    assert checkpoints.written == sum(asked)


def test_a_checkpoint_of_scripts_is_of_the_very_code_that_runs_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded_from(tmp_path)
    prepared = prepare(Asked(tmp_path / "s.yaml"))
    path, log = tmp_path / "checkpoint", tmp_path / "log"
    first = checkpoints_of(prepared, path, log, ())
    monkeypatch.setattr(first, "_due", Rounds(100).due)
    with log.open("wb") as file, pytest.raises(Killed):
        run(prepared.loaded, file=file, checkpoints=first)
    assert checkpoints_of(prepared, path, log, ()).find()
    monkeypatch.setattr(checkpointing, "shell_digest", lambda: "of a later version")
    with pytest.raises(ConfigurationError, match="another version"):
        checkpoints_of(prepared, path, log, ()).find()
