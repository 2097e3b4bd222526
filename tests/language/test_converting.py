"""Goal: a script's tasks written as YAML mean what the script meant. Method: scripts that measure themselves are
converted, and the YAML with the rest of the script is rehearsed in the script's own scenario.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from model.errors import ConfigurationError
from model.scripting import Stream
from shell.config.loading import load_text
from shell.config.scenario import load_scenario_text
from shell.language.converting import Conversion, convert
from shell.language.machine import Scripts
from sim.simulation import simulate
from sim.world import Scripting
from tests.language.test_whole_scripts import FOLDER, WANTED, results

NOW = 1_772_618_400 * 10**9
"""2026-03-04 10:00 UTC"""


def read(path: str) -> str | None:
    return Path(path).read_text(encoding="utf-8") if Path(path).is_file() else None


def converted(tmp_path: Path, text: str, rest: str = "") -> Conversion:
    script = tmp_path / "x.pro"
    script.write_text(text, encoding="utf-8")
    return convert(script, read, NOW, rest)


@pytest.mark.parametrize(
    "name",
    ["adaptive", "back_pressure", "daily", "exits", "hosts", "limits", "load_and_process", "queue_pipeline",
     "round_robin", "state_machine"],
)  # fmt: skip
def test_what_was_converted_does_the_same(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = convert(FOLDER / f"{name}.pro", read, NOW, "rest.pro")
    (tmp_path / "x.yaml").write_text(made.tasks, encoding="utf-8")
    (tmp_path / "rest.pro").write_text(made.rest, encoding="utf-8")
    scenario = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8").replace(f"{name}.pro", "x.yaml")
    loaded = load_scenario_text(scenario, tmp_path / "scenario.yaml")
    shown: dict[Stream, str] = {Stream.OUT: "", Stream.ERROR: ""}

    def show(stream: Stream, text: str) -> None:
        shown[stream] += text

    result = simulate(loaded.configuration, loaded.scenario, scripting=Scripting(Scripts, show, read))
    assert results(name, shown[Stream.OUT]) == WANTED[name], shown
    assert not result.violation_count


def test_names_periods_and_hosts_in_variables_come_out_as_they_are(tmp_path: Path) -> None:
    made = converted(
        tmp_path,
        "$poll = 0.5\n$where = node7\nmacro stage\n  task night.$1\n    host $where -required\n"
        "    periods -exec $poll -timeout 90\n    command sweep $1 \\$HOME\n  end\nend\nstage one\nstage two\nrun\n",
    )
    configuration = load_text(made.tasks, tmp_path / "x.yaml").configuration
    assert [task.name for task in configuration.tasks] == ["night.one", "night.two"]
    task = configuration.tasks[0]
    assert (task.host.name, task.host.required, task.periods.exec_ns) == ("node7", True, 500_000_000)
    assert task.periods.timeout_ns == 90_000_000_000
    assert "stage one" in made.rest


def test_a_range_over_several_days_becomes_windows_that_are_open_at_the_same_times(tmp_path: Path) -> None:
    made = converted(tmp_path, "task t\n  trange Mon@12:00 Thu@06:00\n  command true\nend\n")
    assert "{zone: UTC, days: [mon], from: 12:00, to: 24:00}" in made.tasks
    assert "{zone: UTC, days: [tue, wed], from: 00:00, to: 24:00}" in made.tasks
    assert "{zone: UTC, days: [thu], from: 00:00, to: 06:00:01}" in made.tasks


def test_shell_lines_are_not_run_and_are_named(tmp_path: Path) -> None:
    made = converted(tmp_path, "$x = `touch made`\ntask t\n  command true\nend\n")
    assert made.notes == ["was answered with nothing: `touch made`"]
    assert not (tmp_path / "made").exists()


def test_a_statement_that_fails_is_told_and_hides_no_later_task(tmp_path: Path) -> None:
    made = converted(tmp_path, "task t\n  command true\nend\necho $nowhere\ntask u\n  command true\nend\n")
    assert "  u:\n" in made.tasks
    assert made.failed
    assert "x.pro:4:" in made.notes[0]
    assert "variable nowhere not found" in made.notes[0]


def test_a_script_without_an_end_is_not_converted(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="does not come to its end"):
        converted(tmp_path, "while (1)\n  sleep 1\nend\n")
