"""Goal: a journal costs a start little however long it has been kept, and no more of the disk than what people may ask
about. Method: journals are written record by record, as a server's would be, and compacted between the transactions by
the very steps that a server does.

Restart: 100,000 jobs that are unfinished and 1,000,000 that are finished; then a real server with two process hosts is
started on it, and the time is from its `exec` to the first end of a job that is on the disk.

Size: 200,000 jobs, with the history kept for a short time, so that all that is left to grow is what should not.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import Struct
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import Figure
from benchmarks.extent import only_long
from benchmarks.observed import peak_bytes, pid_of
from benchmarks.scripted_server import once
from live import compaction
from live.compaction import Compaction
from live.journal import STEP_ROWS, Journal
from live.journal_writer import ROWS_OWED
from live.recovery import recover
from model.job import SECOND, JobId, JobSpec, Outcome, Report
from model.records import (
    AttemptAssigned,
    AttemptEnded,
    AttemptGiven,
    AttemptReturned,
    AttemptStarted,
    ItemsFound,
    ItemsGone,
    JobAccepted,
    Record,
)
from model.task import Periods, TaskDefinition
from tests.live.running_server import RunningServer, cluster, until

UNFINISHED = 100_000
FINISHED = 1_000_000
RESTART_SECONDS_MOST = 5.0
NOISE = 4
"""What is asserted of times: so many times as long is let pass, on a machine that is busy otherwise."""
RESTART_MEGABYTES_MOST = 600
ENDS = 2_000
"""Jobs that end before the memory is read."""
FLAT_JOBS = 200_000
GROWTH_MOST = 1.10
"""The largest size in the second half of the jobs, to that in the first half."""
WAL_MEGABYTES_MOST = 64
STEP_MILLISECONDS_MOST = 10.0
"""The median; a step that meets SQLite's checkpoint waits for the disk as any commit does."""

REPORT = Report(Outcome.EXITED, exit_code=0, host="north", started=True, ran_for_ns=SECOND)

Pair = tuple[str, Record]

pytestmark = [pytest.mark.timeout(900), pytest.mark.benchmark(group="restart")]


class Sizes(Struct):
    """Of the files, in bytes, after a transaction."""

    file: int
    wal: int


class Writer:
    """Writes a journal as a server does that is never idle, and notes how long what takes."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = path
        self.journal = Journal(path)
        self.compaction = Compaction(self.journal, recover(self.journal))
        self.steps: list[float] = []
        self.sizes: list[Sizes] = []
        self._wal = path.with_name(path.name + "-wal")

    def write(self, records: list[Pair]) -> None:
        self.journal.append(records)
        self.compaction.committed(records)
        owed = ROWS_OWED * len(records)
        while owed > 0 and self.compaction.is_due:
            begin = time.perf_counter()
            self.compaction.step()
            self.steps.append(1000 * (time.perf_counter() - begin))
            owed -= STEP_ROWS
        self.sizes.append(Sizes(self.path.stat().st_size, self._wal.stat().st_size))

    def compact(self) -> None:
        while self.compaction.is_due:
            self.compaction.step()


@contextlib.contextmanager
def writer(path: Path) -> Iterator[Writer]:
    one = Writer(path)
    try:
        yield one
    finally:
        one.journal.close()


def spec(number: int) -> JobSpec:
    item = f"incoming/night/{number:07d}.fits"
    return JobSpec("check", ("/bin/true", item), item=item, timeout_ns=60 * SECOND)


def waiting(first: int, count: int) -> list[Pair]:
    """Jobs that the controller was asked to run and has given to nobody."""
    records: list[Pair] = []
    for number in range(first, first + count):
        records.append(("scheduler", JobAccepted(JobId(number), spec(number))))
        records.append(("scheduler", AttemptAssigned(JobId(number), 1, "controller")))
    return records


def whole_lives(first: int, count: int) -> list[Pair]:
    """Jobs from the finding of their items to their vanishing."""
    records: list[Pair] = []
    for number in range(first, first + count):
        job, what = JobId(number), spec(number)
        items = (what.item or "",)
        records += [
            ("scheduler", ItemsFound("check", items)),
            ("scheduler", JobAccepted(job, what)),
            ("scheduler", AttemptAssigned(job, 1, "controller")),
            ("controller", AttemptGiven(job, 1, "north", 1, what)),
            ("scheduler", AttemptStarted(job, 1, "north")),
            ("scheduler", AttemptEnded(job, 1, REPORT, final=True, good=True)),
            ("controller", AttemptReturned(job, 1)),
            ("scheduler", ItemsGone("check", items)),
        ]
    return records


@only_long
def test_a_restart_with_a_long_past_dispatches_soon(
    benchmark: BenchmarkFixture, figure: Figure, tmp_path: Path
) -> None:
    server = RunningServer(tmp_path)
    path = server.state / "journal.sqlite"
    with writer(path) as one:
        for first in range(1, UNFINISHED, 500):
            one.write(waiting(first, 500))
        for first in range(UNFINISHED + 1, UNFINISHED + FINISHED, 200):
            one.write(whole_lives(first, 200))
        snapshots = one.compaction.snapshots
    assert snapshots > FINISHED * 8 / compaction.SNAPSHOT_EVERY / 4
    seen: list[float] = []

    def restart() -> None:
        task = TaskDefinition("check", command=("/bin/true",), periods=Periods(exec_ns=3600 * SECOND))
        journal = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        count = "SELECT count(*) FROM attempt WHERE job <= ?"
        begin = time.monotonic()
        server.begin(server.configuration(task, cluster=cluster("north", "south", slots=16)))

        def ended(number: int) -> bool:
            return bool(journal.execute(count, (UNFINISHED,)).fetchone()[0] >= number)

        try:
            until(lambda: ended(1), f"a job ends; the server said: {server.said()}", 60.0)
            seen.append(time.monotonic() - begin)
            until(lambda: ended(ENDS), f"{ENDS} jobs end; the server said: {server.said()}", 60.0)
            seen.append(peak_bytes(pid_of(server)) / 2**20)
        finally:
            journal.close()

    try:
        once(benchmark, restart)
    finally:
        server.clean()
    seconds, megabytes = seen
    benchmark.extra_info.update(seconds=round(seconds, 2), megabytes=round(megabytes))
    words = f"{seconds:.1f} s to the first end, {megabytes:.0f} MB at most"
    asked = f"{RESTART_SECONDS_MOST:g} s, {RESTART_MEGABYTES_MOST} MB"
    figure(f"restart, {UNFINISHED:,} jobs unfinished, {FINISHED:,} finished", words, asked)
    assert seconds < NOISE * RESTART_SECONDS_MOST
    assert megabytes < RESTART_MEGABYTES_MOST


def test_files_stay_as_large_as_they_are(
    benchmark: BenchmarkFixture, figure: Figure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "HISTORY_KEPT_NS", SECOND)

    def write() -> None:
        with writer(tmp_path / "state" / "journal.sqlite") as one:
            for first in range(1, FLAT_JOBS, 50):
                one.write(whole_lives(first, 50))
            sizes.extend(one.sizes)
            steps.extend(sorted(one.steps))

    sizes: list[Sizes] = []
    steps: list[float] = []
    once(benchmark, write)
    half = len(sizes) // 2
    before, after = max(size.file for size in sizes[:half]), max(size.file for size in sizes[half:])
    wal = max(size.wal for size in sizes) / 2**20
    growth = after / before
    benchmark.extra_info.update(growth=round(growth, 3), wal_megabytes=round(wal, 1))
    words = f"{before / 2**20:.0f} MB in the first half, {after / 2**20:.0f} MB in the second; log {wal:.0f} MB at most"
    asked = f"{GROWTH_MOST:.0%} of the first half, log {WAL_MEGABYTES_MOST} MB"
    figure(f"journal's files, {FLAT_JOBS:,} jobs", words, asked)
    median, late = steps[len(steps) // 2], steps[len(steps) * 99 // 100]
    words = f"p50 {median:.2f} ms, p99 {late:.1f} ms, worst {steps[-1]:.0f} ms"
    figure("journal, a commit's wait for a step of compaction", words, f"p50 {STEP_MILLISECONDS_MOST:g} ms")
    assert growth < GROWTH_MOST
    assert wal < WAL_MEGABYTES_MOST
    assert median < NOISE * STEP_MILLISECONDS_MOST
