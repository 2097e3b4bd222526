"""Goal: starting, finding and signalling processes does what it says, and touches no stranger. Method: real processes,
and tables of processes written by hand."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from live import processes
from live.processes import Row, StartError
from live.trees import end_marked
from tests.live.keeper_rig import exists, wait_until


@pytest.fixture
def here(tmp_path: Path) -> Iterator[str]:
    """A working directory that the test process comes back from."""
    before = os.getcwd()
    yield str(tmp_path)
    os.chdir(before)


def start(here: str, *command: str, environment: dict[str, str] | None = None) -> int:
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    try:
        return processes.start(command, environment or {"PATH": "/usr/bin:/bin"}, here, (null, null, null), 0)
    finally:
        os.close(null)


def test_a_process_has_its_own_session_and_is_reaped_once(here: str) -> None:
    pid = start(here, "sleep", "1000")
    assert processes.reap(pid) is None
    row = processes.look(pid)
    assert row is not None
    assert (row.session, row.group, row.parent) == (pid, pid, os.getpid())
    assert pid in processes.Children().read()
    assert processes.send(pid, row.started, signal.SIGTERM)
    wait_until(lambda: not exists(pid))
    result = processes.reap(pid)
    assert result is not None
    assert result.si_status == signal.SIGTERM
    with pytest.raises(ChildProcessError):
        processes.reap(pid)
    assert processes.look(pid) is None


def test_another_process_with_the_same_pid_gets_no_signal(here: str) -> None:
    pid = start(here, "sleep", "1000")
    row = processes.look(pid)
    assert row is not None
    processes.send(pid, row.started + 1, signal.SIGKILL)
    assert exists(pid)
    processes.send(pid, row.started, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert processes.send(pid, row.started, signal.SIGKILL), "gone is as good as ended"


def test_the_jobs_own_path_decides_which_program_runs(here: str, tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    (tmp_path / "first" / "tool").write_text("not executable")
    (tmp_path / "second" / "tool").write_text("#!/bin/sh\nexit 0\n")
    (tmp_path / "second" / "tool").chmod(0o755)
    path = f"{tmp_path}/first:{tmp_path}/second"
    assert processes.find_program("tool", path) == f"{tmp_path}/second/tool"
    with pytest.raises(StartError, match="is not executable"):
        processes.find_program("tool", f"{tmp_path}/first:{tmp_path}/absent")


def test_a_tree_is_roots_session_and_all_below(here: str) -> None:
    def row(parent: int, session: int) -> Row:
        return Row("S", parent, session, session, 0)

    rows = {
        10: row(1, 10),
        11: row(10, 10),
        12: row(11, 12),  # another session, but below
        13: row(1, 10),  # orphan of the session
        14: row(13, 14),
        20: row(1, 20),
        21: row(20, 20),
        30: row(1, 30),
    }
    assert sorted(processes.tree(rows, [10], 10)) == [10, 11, 12, 13, 14]
    assert sorted(processes.tree(rows, [10, 30], 10)) == [10, 11, 12, 13, 14, 30]


def test_evidence_is_read_from_a_process(here: str, tmp_path: Path) -> None:
    pid = start(here, "sleep", "1000", environment={"MARK": "a=b", "PATH": "/bin"})
    wait_until(lambda: len(processes.environment_of(pid)) > 1)
    assert processes.environment_of(pid) == {"MARK": "a=b", "PATH": "/bin", "": ""}
    assert "/dev/null" in processes.open_files_of(pid)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert processes.environment_of(pid) == {}
    assert processes.open_files_of(pid) == set()


def test_only_what_carries_the_mark_of_the_dead_keeper_is_ended(here: str) -> None:
    def marks(spool: str, keeper: str) -> dict[str, str]:
        return {"PATH": "/bin:/usr/bin", "LAULIMA_SPOOL": spool, "LAULIMA_KEEPER": keeper}

    ours = start(here, "sh", "-c", "env -i sleep 1000", environment=marks("test-7f", "1"))
    others = [start(here, "sleep", "1000", environment=marks(*pair)) for pair in (("test-7f", "2"), ("test-80", "1"))]
    try:
        wait_until(lambda: len(processes.tree(processes.scan(), [ours], ours)) == 2)
        family = processes.tree(processes.scan(), [ours], ours)

        def steps() -> Iterator[None]:
            for _ in range(3):
                yield None
                wait_until(lambda: not any(exists(pid) for pid in family))

        assert end_marked("test-7f", 1, steps()) == ()
        assert all(exists(pid) for pid in others)
    finally:
        for pid in (ours, *others):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def test_only_named_variables_are_taken_over() -> None:
    own = {"PATH": "/p", "HOME": "/h", "SSH_AUTH_SOCK": "x", "LD_PRELOAD": "x", "PYTHONPATH": "x"}
    assert processes.base_environment(own) == {"PATH": "/p", "HOME": "/h"}
    assert processes.base_environment({})["PATH"] == processes.DEFAULT_PATH


def test_nice_that_is_refused_leaves_no_process(here: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(which: int, who: int, priority: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "setpriority", refuse)
    null = os.open(os.devnull, os.O_RDWR)
    before = processes.Children().read()
    with pytest.raises(StartError, match="nice -5"):
        processes.start((sys.executable, "-c", ""), {}, here, (null, null, null), -5)
    assert processes.Children().read() == before
    os.close(null)
