"""Goal: ten thousand tasks that look at folders cost little, and each start is on time.

Method: a real server with TASKS tasks, each with a folder of its own, looked at every 10 s (the looks are spread over
the period, `model/spawning.py`), and a few tasks that start by the clock. CPU time of the server (user and system) over
PERIODS periods, as a share of a core; the baseline is what the looks cost bare, `stat` of the same folders by this
process. Then files come, one in each of some folders, and each task is asked when it looks next (`explain`): how much
later than that its job has started, by the journal. The same of the tasks that start by the clock, by their due times.
"""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

import pytest
from msgspec import Struct
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import Figure
from benchmarks.extent import LONG
from benchmarks.observed import let_work, share_of_a_core
from benchmarks.scripted_server import milliseconds, once, percentile
from live.journal import Journal
from model.configuration import ClusterDefinition
from model.job import SECOND
from model.records import JobAccepted
from model.task import FilesSource, Missed, Periods, TaskDefinition
from tests.live.running_server import LOCALLY, Client, RunningServer, until

TASKS = 10_000
CLOCKED = 10
"""Tasks beside them that start a job every 10 s."""
PERIOD_NS = 10 * SECOND
PERIODS = 6 if LONG else 2
FOUND = 20
"""Folders in which a file appears."""
SHARE_MOST = 0.25
LATE_MS_MOST = 50
NOISE = 3
"""Medians up to so many times the figure are let pass: a machine that is busy otherwise starts processes late."""
LIMIT = 120.0

pytestmark = [pytest.mark.timeout(600), pytest.mark.benchmark(group="many tasks")]


class Seen(Struct):
    """`share` of a core; ns behind the due times."""

    share: float
    bare: float
    looked: list[int]
    clocked: list[int]


def tasks() -> list[TaskDefinition]:
    periods = Periods(exec_ns=PERIOD_NS, timeout_ns=60 * SECOND, pending_ns=600 * SECOND)
    looking = [
        TaskDefinition(
            f"look{number}",
            command=("/bin/true",),
            source=FilesSource(f"in/{number}/*"),
            host=LOCALLY,
            periods=periods,
        )
        for number in range(TASKS)
    ]
    clocked = [
        TaskDefinition(f"clock{number}", command=("/bin/true",), host=LOCALLY, periods=periods, missed=Missed.ALL)
        for number in range(CLOCKED)
    ]
    return looking + clocked


def bare_share(folder: Path) -> float:
    """Of a core: what the looks cost that this process does."""
    begin = time.process_time()
    for number in range(TASKS):
        os.stat(folder / "in" / str(number))
    return (time.process_time() - begin) * SECOND / PERIOD_NS


def found_files(server: RunningServer, client: Client) -> list[int]:
    """For each file that came: ns from when its task looked to the start of its job."""
    dues: dict[str, int] = {}
    for number in range(0, TASKS, TASKS // FOUND):
        (server.folder / "in" / str(number) / "file").touch()
        view = client.ask("explain", name=f"look{number}", about="task")
        dues[f"look{number}"] = time.time_ns() + (view["until_ns"] or 0)
    journal = sqlite3.connect(f"file:{server.state / 'journal.sqlite'}?mode=ro", uri=True)
    try:
        question = "SELECT task, started_at FROM attempt WHERE task LIKE 'look%'"
        rows = until(lambda: len(all_ := journal.execute(question).fetchall()) == FOUND and all_, "all started", LIMIT)
    finally:
        journal.close()
    return [started - dues[task] for task, started in rows]


def clocked_starts(path: Path) -> list[int]:
    """ns from the due time of each start by the clock to the start of its process."""
    dues: dict[int, int] = {}
    journal = Journal(path)
    try:
        for header, record in journal.replay("scheduler"):
            if type(record) is JobAccepted and record.due_ns and record.spec.task.startswith("clock"):
                dues[record.job] = record.due_ns + header.wall_ns - header.clock_ns
    finally:
        journal.close()
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        rows = connection.execute(
            "SELECT job, started_at FROM attempt WHERE task LIKE 'clock%' ORDER BY job"
        ).fetchall()
    finally:
        connection.close()
    # the first ones start with the server, and all folders are looked at then
    return [started - dues[job] for job, started in rows[CLOCKED:]]


def measured(server: RunningServer) -> Seen:
    for number in range(TASKS):
        (server.folder / "in" / str(number)).mkdir(parents=True)
    server.begin(server.configuration(*tasks(), cluster=ClusterDefinition(local_slots=16)))
    began = time.monotonic()
    client = until(lambda: answering(server), "it answers", LIMIT)
    let_work(server, 1.5 * PERIOD_NS / SECOND - (time.monotonic() - began))
    share = share_of_a_core(server, PERIODS * PERIOD_NS / SECOND)
    looked = found_files(server, client)
    client.ask("shutdown", kill=True)
    client.close()
    assert server.ended() == 0
    return Seen(share, bare_share(server.folder), looked, clocked_starts(server.state / "journal.sqlite"))


def answering(server: RunningServer) -> Client | None:
    """A client that has got an answer. One that is silent for a while is hung up on, so it is made anew later."""
    client = server._try_to_connect()
    if client is not None:
        client.ask("status")
    return client


def test_ten_thousand_tasks(benchmark: BenchmarkFixture, figure: Figure, tmp_path: Path) -> None:
    server = RunningServer(tmp_path)
    seen: list[Seen] = []
    try:
        once(benchmark, lambda: seen.append(measured(server)))
    finally:
        server.clean()
    found = seen[0]
    assert len(found.clocked) >= CLOCKED * PERIODS
    name = f"{TASKS:,} tasks polled every {PERIOD_NS // SECOND} s"
    looks = TASKS * SECOND / PERIOD_NS
    words = f"{found.share:.1%} of a core, {found.share / looks * 1e6:.0f} us a look (a bare `stat`: {found.bare:.1%})"
    figure(name, words, f"under {SHARE_MOST:.0%}")
    figure(f"{name}, starts of files behind their looks", milliseconds(found.looked), f"within {LATE_MS_MOST} ms")
    figure(f"{name}, starts by the clock behind their due times", milliseconds(found.clocked), f"{LATE_MS_MOST} ms")
    benchmark.extra_info.update(share=round(found.share, 3))
    assert found.share < SHARE_MOST
    assert percentile(found.looked, 0.5) < NOISE * LATE_MS_MOST * 1_000_000
    assert percentile(found.clocked, 0.5) < NOISE * LATE_MS_MOST * 1_000_000
