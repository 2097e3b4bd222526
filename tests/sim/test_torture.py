"""Goal: `laulima torture` finds, names, keeps and replays; a kept world says what it said, and is small.

Method: a planted bug, searched for by the command in this process; the files that it writes are read back.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from model.errors import ConfigurationError
from shell.commands.torture import torture_command, write_section
from shell.session import Session
from shell.worlds import WrittenWorld, read_world, write_world
from sim.scenario import Fault, Kind
from sim.shrinking import shrink
from sim.swarm import swarm
from sim.torture import NEAR_NS, all_pairs, judge, meetings, torture
from tests.sim.mutants import free_a_slot_twice

DEFAULTS = {
    "files": (),
    "seeds": 2,
    "first": 0,
    "jobs": 1,
    "points": False,
    "pairs": False,
    "worlds": (),
    "every": 1,
    "save": None,
    "write": None,
}


def command(**settings: object) -> int:
    return torture_command(Session("torture"), **{**DEFAULTS, **settings})  # type: ignore[arg-type]


def test_a_clean_search_says_what_it_met(capsys: pytest.CaptureFixture[str]) -> None:
    assert command() == 0
    said = capsys.readouterr().out
    assert "2 worlds" in said
    assert "nothing broken" in said


def test_a_failing_seed_is_named_made_small_kept_and_replayed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        free_a_slot_twice(patch)
        assert command(seeds=1, save=str(tmp_path)) == 1
        assert "again: laulima torture --first 0 --seeds 1" in capsys.readouterr().out
        kept = tmp_path / "seed-0.yaml"
        assert command(files=(str(kept),)) == 1
        assert "capacity" in capsys.readouterr().out
    assert command(files=(str(kept),)) == 0


def test_a_shrunk_world_shows_the_same_with_less(monkeypatch: pytest.MonkeyPatch) -> None:
    free_a_slot_twice(monkeypatch)
    configuration, scenario, runs = shrink(*swarm(0), "capacity")
    assert "capacity" in judge(configuration, scenario).promises
    assert len(configuration.tasks) < 4
    assert scenario.faults == ()
    assert runs > 1


@pytest.mark.parametrize("seed", [0, 2, 19])
def test_a_world_is_the_same_after_it_was_written_and_read(seed: int, tmp_path: Path) -> None:
    configuration, scenario = swarm(seed)
    write_world(WrittenWorld("a sentence", "P1", configuration, scenario, 7), tmp_path / "world.yaml")
    world = read_world(tmp_path / "world.yaml")
    assert (world.about, world.promise, world.plant) == ("a sentence", "P1", 7)
    assert (world.configuration, world.scenario) == (configuration, scenario)


@pytest.mark.parametrize("text", ["[", "just text", "configuration: 3", "scenario: {seed: x}"])
def test_a_file_that_is_no_world_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "none.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError):
        read_world(path)


def test_a_file_without_an_end_is_no_world() -> None:
    with pytest.raises(ConfigurationError, match="is a device and no file: it gives more than 1 MiB"):
        read_world(Path("/dev/zero"))


def test_counters_go_between_the_marks_of_the_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- swarm -->\nold\n<!-- end -->\nafter\n<!-- empty -->\n<!-- end -->\n")
    write_section(page, "empty", ["full"])
    assert command(write=str(page)) == 0
    text = page.read_text()
    assert text.startswith("before\n<!-- swarm -->\n| what | count |")
    assert "old" not in text
    assert text.endswith("\n<!-- end -->\nafter\n<!-- empty -->\nfull\n<!-- end -->\n")
    with pytest.raises(ConfigurationError, match="no section"):
        write_section(page, "other", [])


def test_an_error_of_a_machine_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def raises(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("model.scheduler.Scheduler._started", raises)
    assert torture(0).problems == [("error", "ZeroDivisionError: a bug")]


def test_faults_meet_when_one_begins_before_or_soon_after_the_end_of_the_other() -> None:
    def fault(kind: Kind, begins: int, lasts: int) -> Fault:
        return Fault(kind, at_ns=begins * NEAR_NS, for_ns=lasts * NEAR_NS)

    plan = (fault(Kind.LOST, 5, 1), fault(Kind.DOWN, 0, 4), fault(Kind.DOWN, 1, 1), fault(Kind.FULL, 9, 1))
    assert meetings(plan) == (("down", "down"),)
    assert meetings((*plan, fault(Kind.SLOW, 4, 4))) == (
        ("down", "down"),
        ("down", "slow"),
        ("lost", "slow"),
    )
    assert {*meetings(plan)} <= {*all_pairs()}


def test_the_page_tells_how_often_pairs_of_faults_met(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- swarm -->\n<!-- end -->\n")
    assert command(seeds=10, write=str(page)) == 0
    text = page.read_text()
    assert f"Of {len(all_pairs())} pairs of kinds" in text
    assert "| fault | episodes | met least | in worlds |" in text
