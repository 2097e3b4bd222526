"""Goal: the eight possible errors of the original system show themselves as eight outcomes.

Method: every file in configs/scenarios/ is loaded and simulated; what it expects must come out. One of them is made
wrong, to show that an expectation can fail.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from shell.config.scenario import load_rehearsal, load_scenario_text
from shell.prepared import scripting_of
from sim.expectations import judge_expectations
from sim.shared_measuring import measuring_of
from sim.simulation import simulate

SCENARIOS = Path(__file__).parents[2] / "configs" / "scenarios"
FILES = sorted(SCENARIOS.glob("*.yaml"))
EIGHT = {
    "controller-not-responding": "CONTROLLER_SILENT",
    "machine-down": "HOST_DOWN",
    "command-not-found": "COMMAND_NOT_FOUND",
    "too-many-processes": "OVERLOADED",
    "takes-too-long-to-start": "PENDING_TIMEOUT",
    "timed-out": "TIMED_OUT",
    "crashed": "CRASHED",
    "exit-status": "exit 3",
}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_scenario_shows_what_it_expects(file: Path) -> None:
    loaded = load_rehearsal(file)
    scripting = scripting_of(loaded.configuration, loaded.scenario, quiet=True)
    measuring = measuring_of(loaded.configuration, loaded.scenario)
    result = simulate(loaded.configuration, loaded.scenario, scripting=scripting, readers=(measuring,))
    assert not result.script_failed
    assert [str(violation) for violation in result.violations] == []
    judged = judge_expectations(loaded.scenario, result.tally, measuring.metrics())
    assert judged
    assert [f"{one.expected} {one.limit}, not {one.found}" for one in judged if not one.held] == []


def test_each_of_the_eight_errors_has_a_scenario_that_expects_its_outcome() -> None:
    for name, outcome in EIGHT.items():
        expected = {expectation.outcome for expectation in load_rehearsal(SCENARIOS / f"{name}.yaml").scenario.expect}
        assert outcome in expected


def test_an_expectation_that_does_not_hold_is_told() -> None:
    path = SCENARIOS / "crashed.yaml"
    text = path.read_text().replace("{CRASHED: 2}", "{CRASHED: 3}")
    loaded = load_scenario_text(text, path)
    result = simulate(loaded.configuration, loaded.scenario)
    assert [(str(expected), found) for expected, found in result.unmet] == [("segfault: CRASHED == 3", 2)]
    assert not result.good
