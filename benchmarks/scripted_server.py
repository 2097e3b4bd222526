"""A server that runs one script, as `laulima run script.pro` does, and what can be seen of it from outside: when it
says a line, which of its processes live, its memory and CPU time, and its journal.

Called by the benchmarks of scripted tasks. What a figure means is told there; nothing is judged here.
"""

from __future__ import annotations

import contextlib
import os
import select
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.observed import cpu_seconds, pid_of, resident_bytes
from shell.detaching import command_line
from tests.live.running_server import RunningServer

CHUNK_BYTES = 1 << 16
MILLISECOND = 1_000_000
START_LIMIT = 30.0
"""Seconds that a server may take to start and to end, besides its work."""


class ScriptedServer(RunningServer):
    """The server of one script in a folder of its own. What the script echoes comes with the time of its coming."""

    def run(self, text: str) -> None:
        """Start; does not wait for anything."""
        assert self.process is None
        (self.folder / "script.pro").write_text(text)
        environment = dict(os.environ, PATH=f"{os.environ['PATH']}:{self.mark}")
        with self.errors.open("ab") as errors:
            self.process = subprocess.Popen(
                command_line(["run", "script.pro", "--state", str(self.state)]),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=self.folder,
                env=environment,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Of the server."""
        return pid_of(self)

    def lines(self, limit: float, step: float = 0.0) -> Iterator[tuple[int, str]]:
        """(wall time of its coming in ns, line), until the server closes its stdout; fails after `limit` seconds.

        `step`: an empty line whenever nothing came for so many seconds.
        """
        assert self.process is not None
        assert self.process.stdout is not None
        descriptor, rest = self.process.stdout.fileno(), b""
        deadline = time.monotonic() + limit
        while True:
            left = deadline - time.monotonic()
            assert left > 0, f"the script goes on after {limit:g} s: {self.said()}"
            ready, _, _ = select.select([descriptor], [], [], min(left, step or left))
            if not ready:
                yield time.time_ns(), ""
                continue
            chunk = os.read(descriptor, CHUNK_BYTES)
            came = time.time_ns()
            if not chunk:
                return
            *whole, rest = (rest + chunk).split(b"\n")
            for line in whole:
                yield came, line.decode()

    def answers(self, limit: float) -> dict[str, float]:
        """Run to the end: what the lines `RESULT NAME NUMBER …` say, by name."""
        found: dict[str, float] = {}
        for _, line in self.lines(limit):
            found.update(results(line))
        self.ended_well()
        return found

    def ended_well(self) -> None:
        """It has quit, and nothing of it is left."""
        assert self.process is not None
        stdout = self.process.stdout
        assert self.ended() == 0, self.said()
        assert stdout is not None
        stdout.close()
        assert self.nothing_left()

    def cpu_seconds(self) -> float:
        """User and system time of the server process until now, to 1/100 s."""
        return cpu_seconds(self.pid)

    def resident_kilobytes(self) -> int:
        """Resident memory of the server process."""
        return resident_bytes(self.pid) // 1024

    def living(self, words: str) -> int:
        """How many processes of ours live with just that command line."""
        return sum(line.strip() == words for line in self.processes().values())

    def ask_journal(self, question: str) -> list[tuple[int, ...]]:
        """Rows of a query of the journal, at any time."""
        with contextlib.closing(
            sqlite3.connect(f"file:{self.state / 'journal.sqlite'}?mode=ro", uri=True)
        ) as connection:
            return connection.execute(question).fetchall()


@contextmanager
def scripted_server(folder: Path, text: str) -> Iterator[ScriptedServer]:
    """It runs the script; at the end everything of it is ended by force."""
    folder.mkdir(exist_ok=True)
    server = ScriptedServer(folder)
    server.run(text)
    process = server.process
    assert process is not None
    try:
        yield server
    finally:
        server.clean()
        assert process.stdout is not None
        process.stdout.close()


def once(benchmark: BenchmarkFixture, measure: Callable[[], None]) -> None:
    """One round: what a script measures is a mean over its own run."""
    benchmark.pedantic(measure, rounds=1)  # type: ignore[no-untyped-call]


def results(line: str) -> dict[str, float]:
    """What a line `RESULT NAME NUMBER …` says; nothing for other lines."""
    words = line.split()
    if words[:1] != ["RESULT"]:
        return {}
    return {name: float(value) for name, value in zip(words[1::2], words[2::2], strict=True)}


def percentile(values: list[int], share: float) -> int:
    """The smallest value that at least `share` of all are not above."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def milliseconds(values: list[int]) -> str:
    """p50, p99 and the worst of ns, in ms."""
    p50, p99 = percentile(values, 0.5), percentile(values, 0.99)
    return f"p50 {p50 / MILLISECOND:.1f} ms, p99 {p99 / MILLISECOND:.1f} ms, worst {max(values) / MILLISECOND:.1f} ms"
