"""Goal: whatever was found once is not there again, and the search is worth something: bugs that are planted are seen.

Method: every file of tests/regress/ is a small world, told explicitly. As the code is, nothing in it is broken. A file
that names a planted bug is run a second time with that bug in place of one method, and must show the promise broken
that it names. How many seeds it takes to find each bug anew is counted by `make torture` (docs/reliability.md).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from shell.worlds import read_world
from sim.torture import judge
from tests.sim.mutants import MUTANTS

FOLDER = Path(__file__).parents[1] / "regress"
FILES = sorted(FOLDER.glob("*.yaml"))
PLANTED = [file for file in FILES if file.name.startswith("planted-")]
BY_NUMBER = {mutant.number: mutant for mutant in MUTANTS}
FOUND_AT_LEAST = 36


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_world_that_once_showed_a_bug_is_clean(file: Path) -> None:
    world = read_world(file)
    assert judge(world.configuration, world.scenario).problems == []


@pytest.mark.parametrize("file", PLANTED, ids=lambda file: file.stem)
def test_a_planted_bug_is_seen_in_its_world(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = read_world(file)
    BY_NUMBER[world.plant].plant(monkeypatch)
    verdict = judge(world.configuration, world.scenario)
    assert world.promise in verdict.promises
    assert "error" not in verdict.promises or world.promise == "error", f"the bug does not fit the code: {verdict}"


def test_enough_planted_bugs_have_a_world() -> None:
    assert len(PLANTED) >= FOUND_AT_LEAST
    assert len({read_world(file).plant for file in PLANTED}) == len(PLANTED)


def test_numbers_of_planted_bugs_are_names() -> None:
    assert len(BY_NUMBER) == len(MUTANTS)
