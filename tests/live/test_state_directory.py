"""Goal: commands find the state directory as git finds its own, one server owns it, and long paths are no trouble.

Method: real folders, locks and sockets in temporary folders; the other owner is another process.
"""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from live.state_directory import (
    NAME,
    SOCKET_PATH_MAX,
    AlreadyRunningError,
    StateDirectory,
    StateDirectoryError,
    connect,
    find_state,
    listen,
    owner_pid,
    state_to_make,
)
from model.errors import NotReachableError


def test_the_nearest_state_directory_upwards_is_found(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    assert find_state(environment={}, start=deep) == tmp_path / NAME
    (tmp_path / "a" / NAME).mkdir()
    assert find_state(environment={}, start=deep) == tmp_path / "a" / NAME


def test_the_option_wins_over_the_variable_and_the_variable_over_the_folder(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()
    named = {"LAULIMA_STATE": "/elsewhere"}
    assert find_state("/given", named, tmp_path) == Path("/given")
    assert find_state(None, named, tmp_path) == Path("/elsewhere")
    assert state_to_make(None, {}, tmp_path / "below") == tmp_path / "below" / NAME


def test_without_any_nothing_is_found(tmp_path: Path) -> None:
    assert find_state(environment={}, start=tmp_path) is None


_OWNER = """
import sys
from pathlib import Path
from live.state_directory import StateDirectory
owner = StateDirectory(Path(sys.argv[1]))
print("owned", flush=True)
sys.stdin.read()
"""


def test_a_second_server_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    state = tmp_path / NAME
    with subprocess.Popen(
        [sys.executable, "-c", _OWNER, str(state)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"owned\n"
        with pytest.raises(AlreadyRunningError, match=f"pid {first.pid}") as caught:
            StateDirectory(state)
        assert caught.value.pid == owner_pid(state) == first.pid
        first.communicate()
    StateDirectory(state).close()
    assert owner_pid(state) is None


def test_who_only_asks_whether_a_server_runs_keeps_none_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / NAME
    StateDirectory(state).close()
    (state / "lock").write_text("4711\n")  # of one that was killed
    asking = os.open(state / "lock", os.O_RDONLY)
    fcntl.flock(asking, fcntl.LOCK_SH)
    monkeypatch.setattr("time.sleep", lambda _: os.close(asking))
    StateDirectory(state).close()


def test_the_directory_is_made_for_its_owner_only_and_refused_when_others_may_write(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path / NAME)
    assert state.path.stat().st_mode & 0o777 == 0o700
    state.close()
    state.path.chmod(0o777)
    with pytest.raises(StateDirectoryError, match="written by others"):
        StateDirectory(state.path)


def test_a_path_that_is_no_directory_is_refused_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateDirectoryError, match="cannot be used"):
        StateDirectory(tmp_path / "file")


def test_a_full_disk_is_named_with_a_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(StateDirectoryError, match="No space left on device") as caught:
        StateDirectory(tmp_path / "state")
    assert caught.value.hint == f"what is free there: df -h {tmp_path}; df -i; or choose another with --state"


@pytest.mark.parametrize("length", [1, SOCKET_PATH_MAX + 20])
def test_the_socket_works_however_long_its_path_is(tmp_path: Path, length: int) -> None:
    state = tmp_path / ("d" * length)
    state.mkdir()
    with listen(state / "control.sock") as listener:
        assert (state / "control.sock").stat().st_mode & 0o777 == 0o600
        client = connect(state, 5.0)
        accepted, _ = listener.accept()
        client.sendall(b"hello")
        assert accepted.recv(5) == b"hello"
        accepted.close()
        client.close()
    with listen(state / "control.sock"):  # what a dead server left is replaced
        connect(state).close()


def test_without_a_server_the_client_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(NotReachableError) as caught:
        connect(tmp_path)
    assert "laulima run" in caught.value.hint
    assert caught.value.exit_code == 3
