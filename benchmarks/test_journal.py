"""Goal: durability costs little next to the start of a process. Method: `Journal.append` of the records of whole lives
of jobs, in transactions of different sizes, against the same number of bare rows by `executemany` with the same
settings of SQLite (WAL, FULL) on the same disk, in turns with it.
"""

from __future__ import annotations

import sqlite3
import statistics
import time
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import Figure
from live.journal import Journal
from model.job import JobId, JobSpec, Outcome, Report
from model.records import AttemptAssigned, AttemptEnded, AttemptStarted, JobAccepted, Record

ROUNDS = 5
SPEC = JobSpec("check", command=("sha256sum", "incoming/file"), item="incoming/file")
REPORT = Report(Outcome.EXITED, exit_code=0, host="local", started=True)
LIFE = 4
"""Records of one job's life."""
LEAST = 0.10
"""Of the rate of bare rows: beneath it something other than the disk has become the limit."""

Pair = tuple[str, Record]


def lives(first: int, count: int) -> list[Pair]:
    """The records of the scheduler about `count` jobs."""
    records: list[Pair] = []
    for number in range(first, first + count):
        job = JobId(number)
        life: tuple[Record, ...] = (
            JobAccepted(job, SPEC),
            AttemptAssigned(job, 1, "local"),
            AttemptStarted(job, 1, "local"),
            AttemptEnded(job, 1, REPORT, final=True, good=True),
        )
        records.extend(("scheduler", record) for record in life)
    return records


def journal_rate(path: Path, jobs: int, transactions: int) -> float:
    """Records a second, `jobs` whole lives in each transaction."""
    journal = Journal(path)
    try:
        batches = [lives(1 + number * jobs, jobs) for number in range(transactions)]
        begin = time.perf_counter()
        for batch in batches:
            journal.append(batch)
        spent = time.perf_counter() - begin
        assert sum(1 for _ in journal.replay()) == LIFE * jobs * transactions
    finally:
        journal.close()
    return LIFE * jobs * transactions / spent


def bare_rate(path: Path, rows: int, transactions: int) -> float:
    """Rows a second of a bare table with the same settings."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE row (number INTEGER PRIMARY KEY, body BLOB NOT NULL)")
        batch = [(bytes(100),)] * rows
        begin = time.perf_counter()
        for _ in range(transactions):
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT INTO row (body) VALUES (?)", batch)
            connection.execute("COMMIT")
        spent = time.perf_counter() - begin
        assert connection.execute("SELECT count(*) FROM row").fetchone() == (rows * transactions,)
    finally:
        connection.close()
    return rows * transactions / spent


@pytest.mark.benchmark(group="journal")
@pytest.mark.parametrize(("jobs", "transactions"), [(1, 500), (25, 100), (250, 20)])
def test_records_on_the_disk(
    benchmark: BenchmarkFixture, figure: Figure, tmp_path: Path, jobs: int, transactions: int
) -> None:
    tmp_path.chmod(0o700)
    rates: list[float] = []
    ratios: list[float] = []

    def one_round() -> None:
        number = len(rates)
        bare = bare_rate(tmp_path / f"bare-{number}.sqlite", LIFE * jobs, transactions)
        rates.append(journal_rate(tmp_path / f"journal-{number}.sqlite", jobs, transactions))
        ratios.append(rates[-1] / bare)

    benchmark.pedantic(one_round, rounds=ROUNDS)  # type: ignore[no-untyped-call]
    rate, ratio = statistics.median(rates), statistics.median(ratios)
    benchmark.extra_info.update(records_a_second=round(rate), ratio_to_bare_rows=round(ratio, 2))
    name = f"journal, {LIFE * jobs} records a transaction"
    figure(name, f"{rate:,.0f} records/s, {ratio:.0%} of bare rows", f"{LEAST:.0%} of bare rows")
    assert ratio >= LEAST
