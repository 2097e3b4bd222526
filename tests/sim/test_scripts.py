"""Goal: a script in a simulated world gets its answers from the scenario, takes time, and can be made again to the
byte. Method: small scripts and scenarios as texts, simulated whole.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from model.errors import LaulimaError
from model.scripting import Stream
from shell.config.scenario import load_scenario_text
from shell.language.machine import Scripts
from sim.simulation import SimulationResult, simulate
from sim.world import Scripting, World


class Rehearsed:
    """One simulation of a script, and what it showed."""

    def __init__(self, folder: Path, script: str, scenario: str = "", **files: str) -> None:
        (folder / "x.pro").write_text(script, encoding="utf-8")
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
        loaded = load_scenario_text(f"pipeline: x.pro\nfor: 1h\n{scenario}", folder / "scenario.yaml")
        self.out = ""
        self.errors = ""
        self.world: World | None = None
        self.result: SimulationResult = simulate(
            loaded.configuration,
            loaded.scenario,
            scripting=Scripting(Scripts, self._show, self._read),
            prepare=self._keep,
        )

    def _keep(self, world: World) -> None:
        self.world = world

    def _show(self, stream: Stream, text: str) -> None:
        if stream is Stream.OUT:
            self.out += text
        else:
            self.errors += text

    @staticmethod
    def _read(path: str) -> str | None:
        return Path(path).read_text(encoding="utf-8") if Path(path).is_file() else None

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def files(self) -> dict[str, str]:
        assert self.world is not None
        assert self.world.scripts is not None
        return {Path(path).name: text for path, text in self.world.scripts.files.items()}


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_shell_lines_are_answered_by_the_scenario_one_after_the_other(tmp_path: Path) -> None:
    scenario = 'commands:\n  "query *": {output: ["a b", "c"], takes: 2s}\n  "fail": {status: 3}\n'
    script = (
        "date -var t -seconds\n$x = `query one`\n$y = `query two`\n$z = `query three`\n"
        "date -var took -seconds -reftime $t\necho $x / $y / $z took $took\n$w = `fail`\necho status $EXECSTATUS\nquit"
    )
    done = Rehearsed(tmp_path, script, scenario)
    assert done.lines == ["a b / c / c took 6.000000", "status 3"]


def test_a_shell_line_that_nobody_answers_succeeds_and_is_named_once(tmp_path: Path) -> None:
    done = Rehearsed(tmp_path, "exec unheard of\nexec unheard of\necho status $STATUS\nquit")
    assert done.lines == ["status 1"]
    assert done.errors.count("no command of the scenario matches `unheard of`") == 1
    assert done.result.script_status == 0


def test_a_timeout_ends_a_shell_line(tmp_path: Path) -> None:
    script = (
        "break -auto off\ndate -var t -seconds\nexec -timeout 5 slow\ndate -var d -seconds -reftime $t\necho $d\nquit"
    )
    done = Rehearsed(tmp_path, script, "commands: {slow: {takes: 10m}}\n")
    assert done.lines == ["5.000000"]


def test_files_that_the_script_writes_are_not_on_the_disk(tmp_path: Path) -> None:
    script = (
        "input more.pro\nexec echo one >> log.txt\noutput log.txt\necho two\noutput stdout\n"
        "list line -file log.txt\necho $line:n $line:0 $line:1 $from_more\nfile log.txt there\necho there $there\nquit"
    )
    done = Rehearsed(tmp_path, script, "files: {given.txt: x}\n", **{"more.pro": "$from_more = yes\n"})
    assert done.lines == ["2 one two yes", "there 1"]
    assert done.files["log.txt"] == "one\ntwo\n"
    assert not (tmp_path / "log.txt").exists()


def test_a_host_that_a_script_adds_may_fail(tmp_path: Path) -> None:
    script = (
        "controller host add far -threads 2\ntask t\n  host far -required\n  command work @MAX_THREADS@\n  nmax 1\n"
        "  periods -exec 1 -timeout 3600\n"
        "  task.exit default\n    echo $EXIT after $JOB_DTIME\n    quit\n  end\nend\nrun"
    )
    done = Rehearsed(tmp_path, script, "tasks: {t: {run: 10m}}\nfaults: ['far down 1m+30m']\n")
    assert done.lines[0].startswith("HostID"), done.errors
    assert done.lines[1].startswith("LOST after"), done.lines
    assert not done.result.violation_count, done.result.violations


def test_a_macro_without_an_end_costs_time_and_its_own_task_only(tmp_path: Path) -> None:
    script = (
        "$n = 0\ntask bad\n  command true\n  task.exec\n    while (1)\n      $x = 1\n    end\n  end\nend\n"
        "task good\n  command true\n  periods -exec 1\n  task.exec\n    date -var t -seconds\n    echo $t\n"
        "    $n ++\n    if ($n == 5) quit\n  end\nend\nrun"
    )
    done = Rehearsed(tmp_path, script)
    times = [float(line) for line in done.lines]
    steps = [round(later - earlier, 3) for earlier, later in pairwise(times[1:])]
    assert steps == [1.0, 1.0, 1.0]
    assert "used more than" in done.errors


def test_a_loop_at_file_level_that_never_waits_is_an_error_and_no_hang(tmp_path: Path) -> None:
    with pytest.raises(LaulimaError, match="without ever waiting"):
        Rehearsed(tmp_path, "while (1)\n  $x = 1\nend")


def test_a_script_that_fails_makes_the_rehearsal_fail(tmp_path: Path) -> None:
    done = Rehearsed(tmp_path, "echo before\nnonsense\necho behind")
    assert done.lines == ["before"]
    assert not done.result.good


def test_the_same_seed_gives_the_same_log_and_another_one_another(tmp_path: Path) -> None:
    script = (
        "task t\n  host local\n  periods -exec 1 -timeout 60\n  nmax 20\n"
        "  task.exec\n    $r = rnd(0)\n    options $r\n    command w\n"
        "  end\n  task.exit 0\n    echo $options:0\n  end\nend\nrun"
    )
    first = Rehearsed(tmp_path, script, "seed: 5\n")
    second = Rehearsed(tmp_path, script, "seed: 5\n")
    other = Rehearsed(tmp_path, script, "seed: 6\n")
    assert len(first.lines) == 20
    assert first.result.hash == second.result.hash
    assert first.out == second.out
    assert other.out != first.out


def test_a_restart_of_the_scheduler_runs_the_script_again_and_loses_no_job(tmp_path: Path) -> None:
    script = (
        "task t\n  host local\n  periods -exec 60 -timeout 3600\n  nmax 3\n  command work\n"
        "  task.exit 0\n    echo done $JOBID\n  end\nend\nrun"
    )
    done = Rehearsed(tmp_path, script, "tasks: {t: {run: 5m}}\nfaults: ['scheduler restarted 2m30s+10s']\n")
    assert sorted(done.lines) == ["done 1", "done 2", "done 3"]
    assert not done.result.violation_count
