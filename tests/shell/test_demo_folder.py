"""Goal: the demo touches nothing but its own folder, its files arrive whole, and its proof finds every kind of damage.

Method: real folders; the pipeline's work is done here, by hand, and then damaged. The whole demo runs in
`test_demo.py`.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from model.errors import OperatorError
from shell import demo_check
from shell.demo_check import Findings, check_result
from shell.demo_folder import FEEDING, ODD_NAME, Arrivals, Folder, choose_inputs, standard_sources


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path / "demo")
    made.prepare()
    return made


def test_a_folder_that_is_not_the_demos_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(OperatorError, match="no folder of the demo"):
        Folder(tmp_path).prepare()
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_an_empty_folder_is_taken_and_an_old_demo_is_emptied_but_for_what_is_not_its_own(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.prepare()
    (folder.packed / "old.gz").touch()
    (tmp_path / "notes.txt").write_text("mine")
    folder.prepare()
    assert not list(folder.packed.iterdir())
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert "check:" in folder.pipeline.read_text()


def test_a_link_in_the_demos_folder_is_removed_and_what_it_points_to_is_not(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "demo")
    folder.prepare()
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "data").touch()
    folder.packed.rmdir()
    folder.packed.symlink_to(precious)
    folder.prepare()
    assert (precious / "data").exists()
    assert not folder.packed.is_symlink()


def test_a_demo_that_runs_is_not_emptied(folder: Folder) -> None:
    from live.state_directory import StateDirectory

    owned = StateDirectory(folder.state)
    try:
        with pytest.raises(OperatorError, match="a demo runs"):
            folder.prepare()
    finally:
        owned.close()
    assert folder.pipeline.exists()


def test_files_arrive_in_bursts_whole_and_the_last_burst_says_so(folder: Folder) -> None:
    arrivals = Arrivals(folder, 50, 8)
    seen = []
    while not arrivals.complete:
        assert (folder.incoming / FEEDING).exists()
        assert not folder.arrived.exists()
        arrivals.next_burst()
        seen.append(arrivals.arrived)
    assert (len(seen), seen[-1]) == (8, 50)
    assert not (folder.incoming / FEEDING).exists()
    assert sorted(folder.arrived.read_text().splitlines()) == sorted(path.name for path in folder.incoming.iterdir())
    assert len(set(arrivals.names)) == 50
    assert ODD_NAME in arrivals.names
    assert sum(path.stat().st_size for path in folder.incoming.iterdir()) == arrivals.bytes_total


@pytest.mark.parametrize("files", [1, 2, 7, 320, 3000])
def test_inputs_have_distinct_names_however_many_are_wanted(files: int) -> None:
    sources = standard_sources()
    names = [name for name, _ in choose_inputs(sources, files)]
    assert (len(names), len(set(names))) == (files, files)
    assert all("/" not in name and not name.startswith(".") for name in names)


@pytest.fixture
def done(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> tuple[Folder, list[str]]:
    """A folder in which the pipeline has done its work."""
    arrivals = Arrivals(folder, 5, 1)
    arrivals.next_burst()
    for name in arrivals.names:
        content = (folder.incoming / name).read_bytes()
        (folder.packed / f"{name}.gz").write_bytes(gzip.compress(content))
        (folder.lines / name).write_text(f"{hashlib.sha256(content).hexdigest()}  incoming/{name}\n")
    monkeypatch.setattr(demo_check, "_counts", lambda _: (1, {"check": 5}, {"node1": 6}))
    return folder, arrivals.names


def test_the_catalogue_is_in_the_form_of_sha256sum_sorted_by_name(done: tuple[Folder, list[str]]) -> None:
    folder, names = done
    findings = check_result(folder, names)
    assert (findings.catalogued, findings.verified, findings.problems) == (5, 5, ())
    lines = folder.catalogue.read_text().splitlines()
    assert [line[66:] for line in lines] == sorted(f"incoming/{name}" for name in names)


def lose(folder: Folder, name: str) -> None:
    (folder.lines / name).unlink()


def falsify(folder: Folder, name: str) -> None:
    (folder.lines / name).write_text(f"{'0' * 64}  incoming/{name}\n")


def truncate(folder: Folder, name: str) -> None:
    packed = folder.packed / f"{name}.gz"
    packed.write_bytes(packed.read_bytes()[:-9])


def repack(folder: Folder, name: str) -> None:
    (folder.packed / f"{name}.gz").write_bytes(gzip.compress(b"something else"))


def add(folder: Folder, name: str) -> None:
    (folder.lines / "stranger").write_text(f"{'0' * 64}  incoming/stranger\n")
    lose(folder, name)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lose, "is not in the catalogue"),
        (falsify, "checksum in the catalogue is wrong"),
        (truncate, "cannot be read"),
        (repack, "holds something else"),
        (add, "never arrived"),
    ],
)
def test_every_damage_is_found(
    done: tuple[Folder, list[str]], damage: Callable[[Folder, str], None], said: str
) -> None:
    folder, names = done
    damage(folder, names[3])
    findings: Findings = check_result(folder, names)
    assert findings.verified == 4
    assert any(said in problem for problem in findings.problems)
