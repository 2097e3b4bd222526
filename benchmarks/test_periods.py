"""Goal: a task starts as often as its period says, and stays on its grid, however long it goes on.

Method: a real server runs two tasks without scripts, `/bin/true` every 0.2 s and every 0.01 s, for SECONDS (20 s, ten
minutes by `make bench-long`). The journal says when each job was due and when it was accepted, both by the server's
clock. Asked: starts a second from the first to the last; every due time is a point of the first one's grid; and the
drift, which is the median lateness in the last tenth of the run less that in the first tenth. Starts that are missed
(the server was not given a processor for longer than a period) are counted in the rate.
"""

from __future__ import annotations

import sqlite3
import statistics
import time
from pathlib import Path

import msgspec
import pytest
from msgspec import Struct
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import Figure
from benchmarks.extent import LONG
from benchmarks.observed import cpu_seconds, let_work
from benchmarks.scripted_server import once
from model.configuration import ClusterDefinition
from model.job import SECOND
from model.records import JobAccepted, Record
from model.task import Periods, TaskDefinition
from tests.live.running_server import LOCALLY, RunningServer

SECONDS = 600 if LONG else 20
WANTED = {"slow": (SECOND // 5, 4.99), "fast": (SECOND // 100, 99.0)}
"""Period in ns, and starts a second that are asked."""
READ_SECONDS = 10.0
NOISE = 0.5
"""So much of the rate is asserted: a machine that is busy otherwise misses due times."""
DRIFT_MS_MOST = 1.0
DRIFT_MS_PASSED = 20.0
"""What is asserted: lateness by itself changes as much when the machine gets busy."""
MILLISECOND = 1_000_000

pytestmark = [pytest.mark.timeout(SECONDS + 300), pytest.mark.benchmark(group="periods")]


class Starts(Struct):
    """Of one task, in ns: due times by number, and how much later each was accepted."""

    dues: list[int]
    late: list[int]

    def rate(self) -> float:
        return (len(self.dues) - 1) * SECOND / (self.dues[-1] - self.dues[0])

    def drift_ns(self) -> float:
        tenth = len(self.late) // 10
        return statistics.median(self.late[-tenth:]) - statistics.median(self.late[:tenth])


class Reader:
    """What was accepted, read again and again: a journal forgets the records of what has ended, some minutes later."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._decode = msgspec.msgpack.Decoder(Record).decode
        self._last = 0
        self.starts = {name: Starts([], []) for name in WANTED}

    def read(self) -> None:
        """What is new."""
        connection = sqlite3.connect(f"file:{self._path}?mode=ro", uri=True)
        question = "SELECT sequence, clock, body FROM record WHERE kind = 'job accepted' AND sequence > ?"
        try:
            for sequence, clock_ns, body in connection.execute(question, (self._last,)):
                record = self._decode(body)
                assert isinstance(record, JobAccepted)
                starts = self.starts[record.spec.task]
                starts.dues.append(record.due_ns)
                starts.late.append(clock_ns - record.due_ns)
                self._last = sequence
        finally:
            connection.close()


def test_starts_stay_on_the_grid(benchmark: BenchmarkFixture, figure: Figure, tmp_path: Path) -> None:
    server = RunningServer(tmp_path)
    tasks = [
        TaskDefinition(
            name,
            command=("/bin/true",),
            host=LOCALLY,
            periods=Periods(exec_ns=period, timeout_ns=60 * SECOND, pending_ns=600 * SECOND),
        )
        for name, (period, _) in WANTED.items()
    ]
    reader = Reader(server.state / "journal.sqlite")
    shares: list[float] = []

    def measure() -> None:
        client = server.start(server.configuration(*tasks, cluster=ClusterDefinition(local_slots=16)))
        pid = client.ask("status")["pid"]
        begin, spent = time.monotonic(), cpu_seconds(pid)
        while (left := begin + SECONDS - time.monotonic()) > 0:
            let_work(server, min(left, READ_SECONDS))
            reader.read()
        shares.append((cpu_seconds(pid) - spent) / (time.monotonic() - begin))
        assert server.shut_down(kill=True) == 0, server.said()

    try:
        once(benchmark, measure)
    finally:
        server.clean()
    for name, starts in reader.starts.items():
        period, wanted = WANTED[name]
        rate, drift = starts.rate(), starts.drift_ns() / MILLISECOND
        late = statistics.median(starts.late) / MILLISECOND
        words = f"{rate:.2f} starts/s over {SECONDS} s, {late:.1f} ms behind their due times, drift {drift:+.2f} ms"
        what = f"task with exec period {period / SECOND:g} s{' over 10 minutes' if LONG else ''}"
        figure(what, words, f"{wanted:g} starts/s, drift within {DRIFT_MS_MOST:g} ms")
        assert {(due - starts.dues[0]) % period for due in starts.dues} == {0}
        assert rate >= NOISE * wanted
        assert abs(drift) < DRIFT_MS_PASSED
    name = "tasks with exec periods 0.2 s and 0.01 s, their server"
    figure(name, f"{shares[0]:.1%} of a core for 105 starts a second", "")
