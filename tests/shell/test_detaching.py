"""Goal: what a detached server writes is kept below a size, never while one still writes it, and a start that fails is
told in the words of that start alone.

Method: the server is a program of the test that says a sentence and ends. Full disks are a pretence.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from live.complaints import LOG_MAX
from model.errors import LaulimaError
from shell import detaching
from shell.session import Session

OLD = b"of an earlier life\n"
NEW = "the port is taken"


@pytest.fixture(autouse=True)
def failing(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(file: Path, state: Path, words: Sequence[str], output: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", f"print({NEW!r}); exit(1)"], stdout=output)

    monkeypatch.setattr(detaching, "start_server", start)


def start(state: Path) -> None:
    with pytest.raises(LaulimaError, match=f"^the server did not start:\n{NEW}$"):
        detaching.start_detached(Session("run"), Path("pipeline.yaml"), state, ())


def logs(state: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in state.iterdir()}


def test_a_log_that_is_not_long_is_gone_on_with(tmp_path: Path) -> None:
    (tmp_path / "server.log").write_bytes(OLD)
    start(tmp_path)
    start(tmp_path)
    assert logs(tmp_path) == {"server.log": OLD + f"{NEW}\n".encode() * 2}


def test_a_long_log_is_set_aside_at_the_next_start_and_two_are_kept(tmp_path: Path) -> None:
    long = OLD * (LOG_MAX // len(OLD) + 1)
    (tmp_path / "server.log").write_bytes(long)
    (tmp_path / "server.log.1").write_bytes(b"before that\n")
    start(tmp_path)
    assert logs(tmp_path) == {"server.log": f"{NEW}\n".encode(), "server.log.1": long}


def test_the_log_of_a_server_that_runs_stays_in_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detaching, "owner_pid", lambda _: 1)
    long = OLD * (LOG_MAX // len(OLD) + 1)
    (tmp_path / "server.log").write_bytes(long)
    start(tmp_path)
    assert logs(tmp_path) == {"server.log": long + f"{NEW}\n".encode()}


def test_a_start_that_can_say_nothing_on_a_full_disk_has_that_said_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detaching, "free_bytes", lambda _: 0)
    start(tmp_path)
    (tmp_path / "server.log").unlink()
    (tmp_path / "server.log").symlink_to("/dev/null")  # is not followed, so nothing can be said at all
    with pytest.raises(LaulimaError, match=r"server\.log cannot be written"):
        detaching.start_detached(Session("run"), Path("pipeline.yaml"), tmp_path, ())
    empty = tmp_path / "empty.log"
    empty.touch()
    assert detaching._tail(empty, 0) == f"(it could say nothing: the disk of {tmp_path} is full)"


def test_a_state_directory_that_cannot_be_made_is_named_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LaulimaError, match=r"File exists|Not a directory") as caught:
        detaching.start_detached(Session("run"), Path("pipeline.yaml"), tmp_path / "file" / "state", ())
    assert str(tmp_path / "file") in str(caught.value) and caught.value.hint
