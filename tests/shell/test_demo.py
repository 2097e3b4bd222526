"""Goal: the demo does real work on real files, ends by itself, proves its result, and leaves no process behind.

Method: the whole demo as a person runs it, with fewer files; its catalogue is compared with sha256sum.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from pathlib import Path

import pytest

from shell.detaching import command_line
from tests.live.running_server import until
from tests.shell.leftovers import left_of, processes_of

FILES = 40
PATIENCE = 120.0
"""Seconds that anything may take here on a loaded machine."""


def environment(tmp_path: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LAULIMA_")}
    return {**kept, "PWD": str(tmp_path)}


def demo(tmp_path: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command_line(["demo", "--files", str(FILES), *words]),
        cwd=tmp_path,
        env=environment(tmp_path),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_catalogue_equals_an_independent_sha256sum_and_nothing_is_left_running(tmp_path: Path) -> None:
    out, err = (child := demo(tmp_path)).communicate(timeout=PATIENCE)
    assert child.returncode == 0, err
    folder = tmp_path / "demo"
    names = sorted(str(path.relative_to(folder)) for path in (folder / "incoming").iterdir())
    sums = subprocess.run(["sha256sum", *names], cwd=folder, capture_output=True, text=True, check=True).stdout
    assert (folder / "catalogue.txt").read_text() == sums
    assert (folder / "count.txt").read_text() == f"{FILES}\n"
    facts = {line[:20].strip(): line[20:26].strip() for line in out.splitlines()[1:]}
    assert facts["files in"] == facts["files catalogued"] == facts["checksums verified"] == str(FILES)
    assert facts["lost"] == "0"
    assert int(facts["jobs done"]) >= 3 * FILES + 1
    assert left_of(folder) == []


def test_a_demo_that_is_ended_leaves_no_process_and_can_run_again(tmp_path: Path) -> None:
    child = demo(tmp_path)
    assert child.stderr is not None
    wait_for(tmp_path / "demo" / "checked", child)
    child.send_signal(signal.SIGTERM)
    _, err = child.communicate(timeout=PATIENCE)
    assert child.returncode == 128 + signal.SIGTERM, err
    assert left_of(tmp_path / "demo") == []
    out, err = (child := demo(tmp_path)).communicate(timeout=PATIENCE)
    assert child.returncode == 0, err
    assert "lost                     0   nothing" in out


def test_the_catalogue_is_complete_although_the_agent_of_its_host_was_killed(tmp_path: Path) -> None:
    child = demo(tmp_path)
    wait_for(tmp_path / "demo" / "catalogue", child)
    child.send_signal(signal.SIGSTOP)  # no more files come, so the server does not end
    try:
        os.kill(until(lambda: agent_of(tmp_path, "node3"), "its agent lives", PATIENCE), signal.SIGKILL)
        log = tmp_path / "demo" / ".laulima" / "server.log"
        until(lambda: "node3: down" in log.read_text(), "that is noticed", PATIENCE)
    finally:
        child.send_signal(signal.SIGCONT)
    out, err = child.communicate(timeout=PATIENCE)
    assert child.returncode == 0, err
    assert "lost                     0   nothing" in out
    assert left_of(tmp_path / "demo") == []


def test_a_demo_that_is_killed_takes_its_server_with_it(tmp_path: Path) -> None:
    child = demo(tmp_path)
    wait_for(tmp_path / "demo" / "checked", child)
    child.kill()
    child.communicate(timeout=PATIENCE)
    assert left_of(tmp_path / "demo") == []


def agent_of(tmp_path: Path, host: str) -> int | None:
    """Process id of its agent; None as long as there is none, or a child of it beside it, not yet another program."""
    found = [int(line.split()[0]) for line in processes_of(tmp_path / "demo") if f"--name={host} " in line]
    return found[0] if len(found) == 1 else None


def wait_for(folder: Path, child: subprocess.Popen[str]) -> None:
    """Until a file of the first step is there: the pipeline is at work."""
    pidfd = os.pidfd_open(child.pid)
    try:
        deadline = time.monotonic() + PATIENCE
        while not (folder.is_dir() and any(folder.iterdir())):
            assert time.monotonic() < deadline
            ended, _, _ = select.select([pidfd], [], [], 0.05)
            assert not ended
    finally:
        os.close(pidfd)


@pytest.mark.parametrize("name", ["thesis", ".hidden"])
def test_a_folder_with_something_else_in_it_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / name).write_text("years of work")
    _, err = (child := demo(tmp_path)).communicate(timeout=PATIENCE)
    assert child.returncode == 1
    assert "nothing was touched" in err
    assert [path.name for path in (tmp_path / "demo").iterdir()] == [name]
