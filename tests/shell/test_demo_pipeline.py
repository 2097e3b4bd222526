"""Goal: the jobs of configs/demo.yaml do their work with standard tools, whatever a file is called, and may run again.

Method: the shipped file is loaded, its jobs are prepared as the scheduler does it, and run here one after the other.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from model.behaviour import DECLARED
from model.job import JobSpec
from shell import demo_check
from shell.config import load
from shell.demo_check import check_result
from shell.demo_folder import Arrivals, Folder

STEPS = ("check", "compress", "catalogue")


class Hands:
    """Runs jobs of the demo's pipeline in its folder."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.tasks = {task.name: task for task in load(folder.pipeline).configuration.tasks}

    def run(self, task: str, item: str | None, attempt: int = 2) -> int:
        spec = DECLARED.prepare(self.tasks[task], 1, item)
        assert isinstance(spec, JobSpec)
        environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LAULIMA_ATTEMPT": str(attempt)}
        done = subprocess.run(
            spec.command,
            check=False,
            cwd=self.folder.path,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
        )
        return done.returncode


@pytest.fixture
def hands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hands:
    folder = Folder(tmp_path / "demo")
    folder.prepare()
    monkeypatch.setattr(demo_check, "_counts", lambda _: (0, {}, {}))
    return Hands(folder)


def test_the_three_steps_catalogue_every_file_and_may_all_run_again(hands: Hands) -> None:
    arrivals = Arrivals(hands.folder, 12, 1)
    arrivals.next_burst()
    for attempt in (2, 3):
        for name in arrivals.names:
            assert [hands.run(step, f"incoming/{name}", attempt) for step in STEPS] == [0, 0, 0]
        findings = check_result(hands.folder, arrivals.names)
        assert (findings.catalogued, findings.verified, findings.problems) == (12, 12, ())


def test_compress_fails_at_the_first_attempt_for_some_files_always_the_same(hands: Hands) -> None:
    arrivals = Arrivals(hands.folder, 64, 1)
    arrivals.next_burst()
    codes = [hands.run("compress", f"incoming/{name}", attempt=1) for name in arrivals.names]
    assert set(codes) == {0, 75}
    assert codes.count(75) < 16
    unlucky = arrivals.names[codes.index(75)]
    assert hands.run("compress", f"incoming/{unlucky}", attempt=1) == 75
    assert hands.run("compress", f"incoming/{unlucky}", attempt=2) == 0


def test_catalogue_refuses_a_packed_file_that_is_not_what_arrived(hands: Hands) -> None:
    arrivals = Arrivals(hands.folder, 1, 1)
    arrivals.next_burst()
    item = f"incoming/{arrivals.names[0]}"
    assert hands.run("check", item) == 0
    assert hands.run("compress", item) == 0
    (hands.folder.path / item).write_text("somebody changed it")
    assert hands.run("check", item) == 0
    assert hands.run("catalogue", item) == 1
    assert not list(hands.folder.lines.glob("[!.]*"))


def test_the_last_two_tasks_work(hands: Hands) -> None:
    Arrivals(hands.folder, 3, 1).next_burst()
    (hands.folder.packed / ".a.1").touch()
    assert hands.run("count", None) == 0
    assert hands.run("tidy", None) == 0
    assert (hands.folder.packed / ".a.1").exists(), "it is younger than an hour"
