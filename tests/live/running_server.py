"""A real server in a child process, for tests: started from a Configuration, asked over its control socket.

Every process that belongs to it (agents, keepers, jobs) has the test's own folder in its PATH, so `processes` finds
them all, wherever they hang in the process tree.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from live.history import History, HistoryQuestion
from live.state_directory import connect
from model.configuration import ClusterDefinition, Configuration, HostDefinition, OnExit
from model.errors import NotReachableError
from model.job import LOCAL, SECOND, HostWish
from model.task import Periods, TaskDefinition
from model.views import HistoryRow

DEADLINE = 60.0
"""Seconds that anything here may take on a loaded machine. It costs nothing where all is well."""
STEP = 0.02

LOCALLY = HostWish(LOCAL, required=True)
QUICK = Periods(exec_ns=SECOND // 20, timeout_ns=60 * SECOND, pending_ns=60 * SECOND)

_PROGRAM = """
import sys
from pathlib import Path
import msgspec
from live.server import end_leftovers, serve
from model.configuration import Configuration
from model.errors import LaulimaError
try:
    if sys.argv[1] == "end":
        sys.exit(end_leftovers(Path(sys.argv[2])))
    configuration = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Configuration)
    for_ns = int(sys.argv[4]) or None
    sys.exit(serve(configuration, Path(sys.argv[2]), until_idle=sys.argv[3] == "idle", for_ns=for_ns))
except LaulimaError as error:
    sys.exit(f"{error}\\n{error.hint}")
"""


def until(condition: Callable[[], Any], what: str, limit: float = DEADLINE) -> Any:
    """The first true value of `condition()`; fails after `limit` seconds."""
    deadline = time.monotonic() + limit
    waiting = threading.Event()
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {limit:g} s: {what}"
        waiting.wait(STEP)
    return value


def cluster(*hosts: str, slots: int = 2, **more: Any) -> ClusterDefinition:
    """A cluster of process hosts."""
    return ClusterDefinition(hosts=tuple(HostDefinition(name, slots) for name in hosts), **more)


class Client:
    """A raw client of the control socket."""

    def __init__(self, state: Path) -> None:
        self._socket = connect(state, DEADLINE)
        self._lines = self._socket.makefile("rb")
        self._number = 0

    def ask(self, verb_: str, **arguments: Any) -> Any:
        """The data of the answer; AssertionError with the server's sentence when it says no."""
        answer = self.answer(verb_, **arguments)
        assert answer["ok"], answer
        return answer["data"]

    def answer(self, verb_: str, **arguments: Any) -> dict[str, Any]:
        self._number += 1
        request = {"id": self._number, "verb": verb_, "arguments": arguments}
        self._socket.sendall(json.dumps(request).encode() + b"\n")
        answer: dict[str, Any] = json.loads(self._lines.readline())
        assert answer["id"] == self._number
        return answer

    def close(self) -> None:
        self._lines.close()
        self._socket.close()


class RunningServer:
    """One folder with one state directory, and the servers that run on it one after another."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / ".laulima"
        self.mark = str(folder / "mark")
        self.process: subprocess.Popen[bytes] | None = None
        self.errors = folder / "stderr"
        self._client: Client | None = None

    def configuration(self, *tasks: TaskDefinition, **more: Any) -> Configuration:
        more.setdefault("on_exit", OnExit.KILL)
        return Configuration(str(self.folder / "pipeline.yaml"), str(self.folder), tasks=tasks, **more)

    def begin(
        self, configuration: Configuration, *, until_idle: bool = False, for_ns: int = 0, before: str = ""
    ) -> None:
        """Start a server; does not wait for it. `before`: Python that its process runs first."""
        assert self.process is None
        path = self.folder / "configuration.json"
        path.write_bytes(msgspec.json.encode(configuration))
        self.process = self._run([str(path), str(self.state), "idle" if until_idle else "", str(for_ns)], before)

    def _run(self, words: list[str], before: str = "") -> subprocess.Popen[bytes]:
        environment = dict(os.environ, PATH=f"{os.environ['PATH']}:{self.mark}")
        with self.errors.open("ab") as errors:
            return subprocess.Popen(
                [sys.executable, "-c", before + _PROGRAM, *words],
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                env=environment,
                start_new_session=True,
            )

    def start(self, configuration: Configuration, **more: Any) -> Client:
        """Start a server and wait until it answers."""
        self.begin(configuration, **more)
        return self.client()

    def client(self) -> Client:
        """The client of the server that runs, once it answers."""
        if self._client is None:
            self._client = until(self._try_to_connect, f"the server answers; it said: {self.said()}")
            assert self._client is not None
        return self._client

    def _try_to_connect(self) -> Client | None:
        assert self.process is not None
        assert self.process.poll() is None, f"the server ended: {self.said()}"
        try:
            client = Client(self.state)
        except NotReachableError:
            return None
        try:
            client.answer("tasks")  # who asks nothing in the first seconds is closed, and a test may look elsewhere
        except ConnectionResetError:  # a server that was killed while it forked listens a moment longer, in its child
            client.close()
            return None
        return client

    def said(self) -> str:
        """What all servers of this folder wrote to stderr."""
        return self.errors.read_text() if self.errors.exists() else ""

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def ended(self, limit: float = DEADLINE) -> int:
        """Wait for the end of the server; its exit status."""
        process = self.process
        assert process is not None
        if process.poll() is None:
            pidfd = os.pidfd_open(process.pid)
            try:
                ready, _, _ = select.select([pidfd], [], [], limit)
                assert ready, f"the server did not end within {limit:g} s; it said: {self.said()}"
            finally:
                os.close(pidfd)
        self._forget()
        return process.wait()

    def shut_down(self, limit: float = DEADLINE, **how: Any) -> int:
        """Ask for the end, hang up (a server gives clients that stay a second), and wait; the exit status."""
        client, self._client = self.client(), None
        client.ask("shutdown", **how)
        client.close()
        return self.ended(limit)

    def _forget(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None
        self.process = None

    def crash(self) -> None:
        """kill -9 of the server alone."""
        self.signal(signal.SIGKILL)
        self.ended()

    def run_to_idle(self, configuration: Configuration, limit: float = DEADLINE) -> list[HistoryRow]:
        """Run until nothing is left to do; the whole history."""
        self.begin(configuration, until_idle=True)
        assert self.ended(limit) == 0, self.said()
        return self.history()

    def end_leftovers(self) -> int:
        """What `laulima shutdown --kill` does where no server runs."""
        self.process = self._run(["end", str(self.state)])
        return self.ended()

    def history(self) -> list[HistoryRow]:
        return History(self.state / "journal.sqlite").attempts(HistoryQuestion(limit=100_000))

    def processes(self) -> dict[int, str]:
        """All living processes of this folder's servers, agents, keepers and jobs: pid -> command line."""
        return dict(self._processes())

    def _processes(self) -> Iterator[tuple[int, str]]:
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            with contextlib.suppress(OSError):
                if self.mark.encode() in (entry / "environ").read_bytes():
                    words = (entry / "cmdline").read_bytes().split(b"\0")
                    yield int(entry.name), b" ".join(words).decode(errors="replace")

    def nothing_left(self) -> bool:
        """Wait until no process of ours or of a job is left."""
        until(lambda: not self.processes(), f"left: {self.processes()}")
        return True

    def agent(self, host: str) -> int:
        """Process id of the agent of a host."""
        pid: int = until(lambda: self._agent(host), f"an agent of {host}")
        return pid

    def _agent(self, host: str) -> int:
        found = [pid for pid, words in self.processes().items() if f"--name={host} " in words]
        return found[0] if found else 0

    def clean(self) -> None:
        """End everything by force."""
        if self._client is not None:
            self._client.close()
        for _ in range(50):
            left = self.processes()
            if not left:
                break
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        if self.process is not None:
            self.process.kill()
            self.process.wait()
