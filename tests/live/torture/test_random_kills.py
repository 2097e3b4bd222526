"""Goal: whoever is killed with -9 and whenever, what was accepted becomes final once, runs never overlap, and no byte
of output is lost (promises P1-P4).

Method: a real cluster under load; every 0.5 s the server, an agent or a keeper is killed (`killing.py`), and the server
started again. After the last kill everything is let run to its end, and what the jobs wrote down themselves is
compared with the history (`witness.py`). One brief seed here; the long ones by
`make torture-live`.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from model.views import HistoryRow
from tests.live.running_server import RunningServer
from tests.live.torture.extent import JOBS, SEEDS
from tests.live.torture.killing import INTERVAL, Killer, Submitter, configuration
from tests.live.torture.witness import check_books, prepare

LINES = max(30, JOBS // 10)
"""Jobs of the task whose lost attempts are run again; as many follow from it."""
IN_A_BREATH = 8
"""Jobs that are submitted between two kills."""
DRAIN = 240.0
"""Seconds in which everything must be final after the last kill."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    running = RunningServer(tmp_path)
    yield running
    running.clean()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", SEEDS)
def test_what_was_accepted_ends_once_whoever_is_killed(server: RunningServer, seed: int) -> None:
    prepare(server.folder)
    configured = configuration(server, LINES)
    server.start(configured)
    killer = Killer(server, configured, seed, INTERVAL)
    submitter = Submitter(server.state, Random(seed))
    killer.start()
    try:
        submit_all(submitter, killer)
    finally:
        submitter.close()
        killer.stop()
    server.crash()
    rows = server.run_to_idle(configured, DRAIN)
    assert all(killer.kills.values()), killer.kills
    check_books(server.folder, server.state, rows)
    check_promises(submitter, rows)
    assert server.nothing_left()
    print(f"seed {seed}: kills {killer.kills}, {len(submitter.unknown)} answers cut off, {outcomes(rows)}")


def submit_all(submitter: Submitter, killer: Killer) -> None:
    pause = threading.Event()
    number = 0
    while number < JOBS and not killer.failed:
        if submitter.submit(number):
            number += 1
        pause.wait(INTERVAL / IN_A_BREATH)


def check_promises(submitter: Submitter, rows: list[HistoryRow]) -> None:
    finals = {row.job: row for row in rows if row.final}
    submitted = {job: row.command.split()[1] for job, row in finals.items() if row.task == "(submit)"}
    lost = submitter.accepted.items() - submitted.items()
    assert not lost, f"accepted and not final: {lost}"
    unasked = Counter(number for job, number in submitted.items() if job not in submitter.accepted)
    assert set(unasked) <= submitter.unknown, f"final and never submitted: {set(unasked) - submitter.unknown}"
    assert set(unasked.values()) <= {1}, f"submitted once and made twice: {unasked}"
    for task in ("again", "after"):
        ends = [row for row in finals.values() if row.task == task]
        assert Counter(row.item for row in ends) == Counter(str(item) for item in range(1, LINES + 1)), task
        assert {(row.outcome, row.exit_code) for row in ends} == {("EXITED", 0)}, task
    begun = [row for row in rows if row.final or row.outcome != "OVERLOADED" or row.started_at is not None]
    assert {row.outcome for row in begun} <= {"EXITED", "LOST"}, outcomes(rows)  # the rest was given back unstarted


def outcomes(rows: list[HistoryRow]) -> Counter[str]:
    return Counter(row.outcome for row in rows)
