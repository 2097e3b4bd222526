"""Goal: whoever asks gets an answer at once, also with a million jobs in the history and ten thousand that wait, and
the server goes on meanwhile.

Method: a journal is written record by record, as a server's would be, and a real server is started on it, whose hosts
are full; then each command is run as a person runs it, as a process of its own, and the median of its times counts.
Meanwhile another client asks the server something that costs nothing, again and again: its longest wait is how long
the loop was held, by the command and by the rest of the machine.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest
from msgspec import Struct, structs
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import Figure
from benchmarks.extent import only_long
from benchmarks.scripted_server import once
from benchmarks.test_restart import Pair, waiting, whole_lives, writer
from model.job import SECOND, JobSpec
from model.records import JobAccepted
from model.task import Periods, TaskDefinition
from tests.live.running_server import Client, RunningServer, cluster, until

FINISHED = 1_000_000
SLOTS = 16
"""of each of two hosts: so many jobs run"""
PENDING = 10_000
TIMES = 5
ANSWER_MILLISECONDS_MOST = 300
HELD_MILLISECONDS_MOST = 150
"""One piece of work is 5 ms; it once was 3 s."""
NOISE = 4
"""What is asserted: so many times as long is let pass, on a machine that is busy otherwise."""
STEP_SECONDS = 0.002

ANSWERS = (
    "status",
    "tasks",
    "explain task check",
    "check task check",
    f"check {FINISHED // 2}",
    f"explain {PENDING - 1}",
    f"explain {FINISHED // 2}",
    "history",
    "plan --for 1d",
    "history outcome=failed",
    "history task=rare",
    f"history {FINISHED // 2}",
    "jobs",
    "jobs last",
    "jobs state=failed",
)
"""Each within `ANSWER_MILLISECONDS_MOST`."""
LONG_ANSWERS = ("jobs --all", "jobs --json", "history --stats")
"""As many rows as there are: no time is asked of the command, but the server is not to be held by it."""

pytestmark = [only_long, pytest.mark.timeout(900), pytest.mark.benchmark(group="answers")]


class Asked(Struct):
    """A command: the median of its times, and the longest wait of another client, in ms."""

    took: float
    held: float


class Bystander:
    """A client that asks for what costs nothing."""

    def __init__(self, state: Path) -> None:
        self._client = Client(state)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self.worst = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._client.close()

    def _ask(self) -> None:
        while not self._ended.wait(STEP_SECONDS):
            begin = time.perf_counter()
            self._client.answer("no such verb")
            self.worst = max(self.worst, 1000 * (time.perf_counter() - begin))


def sleeping(records: list[Pair]) -> list[Pair]:
    """The same jobs with a command that goes on."""
    return [
        (node, structs.replace(record, spec=_asleep(record)) if isinstance(record, JobAccepted) else record)
        for node, record in records
    ]


def _asleep(record: JobAccepted) -> JobSpec:
    return structs.replace(record.spec, command=("/bin/sleep", "3600"), timeout_ns=24 * 3600 * SECOND)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    """One with a long past and full hosts."""
    running = RunningServer(tmp_path)
    unfinished = PENDING + 2 * SLOTS
    with writer(running.state / "journal.sqlite") as one:
        for first in range(1, unfinished, 500):
            one.write(sleeping(waiting(first, min(500, unfinished + 1 - first))))
        for first in range(unfinished + 1, unfinished + FINISHED, 200):
            one.write(whole_lives(first, 200))
        one.compact()
    task = TaskDefinition("check", command=("/bin/true",), periods=Periods(exec_ns=3600 * SECOND))
    try:
        client = running.start(running.configuration(task, cluster=cluster("north", "south", slots=SLOTS)))
        until(lambda: sum(host["busy"] for host in client.ask("hosts")) == 2 * SLOTS, "the hosts are full", 60.0)
        assert client.ask("tasks")[0]["pending"] >= PENDING
        yield running
    finally:
        running.clean()


def run(words: str, state: Path) -> float:
    """How long the command takes, in ms."""
    environment = {**os.environ, "LAULIMA_STATE": str(state)}
    command = [sys.executable, "-m", "shell.main", *words.split()]
    begin = time.perf_counter()
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    took = 1000 * (time.perf_counter() - begin)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout or "nothing that ended" in ran.stderr or "no such jobs" in ran.stderr
    return took


def interpreter() -> float:
    """How long Python takes that does nothing, in ms."""
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    return 1000 * (time.perf_counter() - begin)


def ask(words: str, state: Path) -> Asked:
    with Bystander(state) as bystander:
        took = statistics.median(run(words, state) for _ in range(TIMES))
    return Asked(took, bystander.worst)


def test_answers_come_at_once_and_hold_nobody_up(
    benchmark: BenchmarkFixture, figure: Figure, server: RunningServer
) -> None:
    found: dict[str, Asked] = {}

    def ask_all() -> None:
        found.update({words: ask(words, server.state) for words in (*ANSWERS, *LONG_ANSWERS)})

    once(benchmark, ask_all)
    start = statistics.median(interpreter() for _ in range(TIMES))
    benchmark.extra_info.update(start=round(start), **{words: round(one.took) for words, one in found.items()})
    for words, one in found.items():
        asked = f"{ANSWER_MILLISECONDS_MOST} ms" if words in ANSWERS else ""
        measured = f"{one.took:.0f} ms ({start / one.took:.0%} of it Python's start), loop held {one.held:.0f} ms"
        figure(f"answer, {FINISHED:,} jobs finished, {PENDING:,} pending: laulima {words}", measured, asked)
    slow = {words: one.took for words, one in found.items() if one.took > NOISE * ANSWER_MILLISECONDS_MOST}
    assert not slow.keys() & set(ANSWERS)
    assert max(one.held for one in found.values()) < NOISE * HELD_MILLISECONDS_MOST
