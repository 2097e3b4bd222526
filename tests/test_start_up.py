"""Goal: the commands that people type all day start at once: nothing is imported that they do not use.

Method: each command runs in a process of its own, as a person runs it, with a stub where it asks a server, and says at
its end what it has imported. Packages are compared with a list, modules are counted, and what is
executed is counted too (calls of functions), which no busy machine changes. The times are in
`benchmarks/test_start_up.py`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from tests.shell.rows import host_row, job_row, status_of, task_row
from tests.shell.stub import Stub

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = """
import sys
calls = 0
def count(frame, event, argument):
    global calls
    if event == "call" and not frame.f_code.co_filename.startswith("<frozen importlib"):
        calls += 1
before = set(sys.modules)
sys.setprofile(count)
WHAT
sys.setprofile(None)
sys.stderr.write(" ".join([str(calls), *sorted(set(sys.modules) - before)]))
"""
COMMAND = """
from shell.main import main
assert main(sys.argv[1:]) == 0
"""
AGENT = """
import live.agent_program
"""

HEAVY = frozenset(
    {
        "asyncio", "concurrent", "ctypes", "email", "http", "json", "logging", "matplotlib", "multiprocessing",
        "prompt_toolkit", "pydantic", "rich", "rpyc", "ruamel", "secrets", "simpy", "sqlite3", "ssl", "starlette",
        "subprocess", "tempfile", "tzdata", "uvicorn", "xml",
    }
)  # fmt: skip
"""Packages that take from 2 to 100 ms each."""
OURS_MOST = 24
"""Modules of ours that `laulima status` takes: 19 when this was written. One more is one more file to find and read;
let it be imported where it is used."""
AGENT_STRANGERS = frozenset(
    {"click", "matplotlib", "prompt_toolkit", "pydantic", "rich", "ruamel", "simpy", "sqlite3", "starlette", "uvicorn"}
)
"""What an agent must not need: it has rpyc, msgspec and the standard library."""
MODULES_MOST = 145
"""Of all packages: it was 135 when this was written."""
CALLS_MOST = 25_000
"""Of Python functions from the first import on: it was 22,200 for the help and 19,800 for `status`, most of them in the
making of structures and enumerations, and in click."""


class Start(Struct, frozen=True):
    out: str
    calls: int
    modules: frozenset[str]

    @property
    def packages(self) -> frozenset[str]:
        return frozenset(name.partition(".")[0] for name in self.modules)

    @property
    def ours(self) -> frozenset[str]:
        """Modules, without the packages that they are in."""
        names = {name for name in self.modules if name.partition(".")[0] in {"model", "live", "shell", "sim"}}
        return frozenset(name for name in names if "." in name and not any(n.startswith(f"{name}.") for n in names))


def started(what: str, *words: str, state: Path | None = None) -> Start:
    """Do `what` in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100"}
    if state is not None:
        environment["LAULIMA_STATE"] = str(state)
    done = subprocess.run(
        [sys.executable, "-P", "-c", PROGRAM.replace("WHAT", what), *words],
        capture_output=True, text=True, timeout=60, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    calls, *modules = done.stderr.split()
    return Start(done.stdout, int(calls), frozenset(modules))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Stub]:
    """A stub that knows what a small server would say."""
    state = tmp_path / ".laulima"
    state.mkdir(mode=0o700)
    stub = Stub(state)
    stub.answers = {
        "status": status_of([task_row("warp")], [host_row("node1")]),
        "jobs": [job_row(7)],
        "tasks": [task_row("warp")],
        "hosts": [host_row("node1")],
    }
    thread = threading.Thread(target=stub.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield stub
    stub.end()
    thread.join()


def judged(start: Start) -> dict[str, Any]:
    """What is wrong with it, by what it is."""
    found = {
        "heavy packages": sorted(start.packages & HEAVY),
        "modules of ours": sorted(start.ours) if len(start.ours) > OURS_MOST else [],
        "modules": len(start.modules) if len(start.modules) > MODULES_MOST else 0,
        "calls": start.calls if start.calls > CALLS_MOST else 0,
    }
    return {name: what for name, what in found.items() if what}


def test_help_takes_what_it_shows() -> None:
    start = started(COMMAND, "--help")
    assert "rehearse" in start.out
    assert judged(start) == {}


@pytest.mark.parametrize("verb", ["status", "jobs", "tasks", "hosts"])
def test_a_question_takes_a_socket_and_a_table(server: Stub, tmp_path: Path, verb: str) -> None:
    start = started(COMMAND, verb, state=tmp_path / ".laulima")
    assert "warp" in start.out or "node1" in start.out
    assert [asked for asked, _ in server.requests] == [verb]
    assert judged(start) == {}


def test_an_agent_takes_nothing_of_the_server() -> None:
    start = started(AGENT)
    assert sorted(start.packages & AGENT_STRANGERS) == []
    assert not start.packages & {"shell", "sim"}
