"""Surroundings of a command line: a state directory, a stub of the server, and a way to run a line."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shell.main import main
from tests.shell.stub import Ran, Stub


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty state directory in the current directory, and no variable that would lead elsewhere."""
    monkeypatch.chdir(tmp_path)
    for name in ("LAULIMA_STATE", "COLUMNS", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    directory = tmp_path / ".laulima"
    directory.mkdir(mode=0o700)
    return directory


@pytest.fixture
def server(state: Path) -> Iterator[Stub]:
    stub = Stub(state)
    thread = threading.Thread(target=stub.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield stub
    stub.end()
    thread.join()


@pytest.fixture
def laulima(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Runs one command line in this process."""

    def run(*words: str) -> Ran:
        capsys.readouterr()
        code = main(words)
        out, err = capsys.readouterr()
        return Ran(code, out, err)

    return run
