"""Goal: the past that a recording of decisions tells is the one that the journal tells: jobs, attempts, and when a host
was away.

Method: a real server with a real host whose agent is killed; its journal and its recording, compared. Instants differ
by what a commit takes.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from live.past import Past, read_past
from live.past_recording import recorded_past
from model.errors import ConfigurationError
from model.job import SECOND, HostWish
from model.task import Limits, TaskDefinition
from tests.live.running_server import QUICK, RunningServer, cluster, until
from tests.live.test_decisions import first_attempt_fails, recorded, recording

LIMIT = 60.0
COMMIT_NS = int(LIMIT * SECOND)
"""What a commit, or the start of a job, may take on a loaded machine."""


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningServer, Past]]:
    """A server that is idle: a job was tried again, another one outlived the agent of its host; and the past that its
    recording told while that job ran."""
    running = RunningServer(tmp_path_factory.mktemp("server"))
    gate = running.folder / "gate"
    os.mkfifo(gate)
    held = TaskDefinition(
        "held",
        command=("sh", "-c", "read line < gate"),
        host=HostWish("node1", required=True),
        periods=QUICK,
        limits=Limits(total=1),
    )
    tasks = (first_attempt_fails("retried", 2, HostWish("node1", required=True)), held)
    running.begin(running.configuration(*tasks, cluster=cluster("node1")), until_idle=True, before=recorded(running))
    client = running.client()
    until(
        lambda: [row for row in client.ask("jobs") if row["task"] == "held" and row["state"] == "running"],
        "held",
        LIMIT,
    )
    os.kill(running.agent("node1"), signal.SIGKILL)
    until(lambda: outages_of(read_past(running.state / "journal.sqlite", 0)), "the journal tells of it", LIMIT)
    while_it_ran, _ = recorded_past(recording(running))
    os.close(os.open(gate, os.O_WRONLY))
    assert running.ended(LIMIT) == 0, running.said()
    yield running, while_it_ran
    running.clean()


def outages_of(past: Past) -> list[tuple[str, bool]]:
    return [(outage.host, outage.lost) for outage in past.outages]


def test_a_recording_and_a_journal_tell_the_same(night: tuple[RunningServer, Past]) -> None:
    server, _ = night
    journal = read_past(server.state / "journal.sqlite", 0)
    past, end_at = recorded_past(recording(server))
    assert [(job.number, job.spec, job.plain) for job in past.jobs] == [
        (job.number, job.spec, job.plain) for job in journal.jobs
    ]
    same = ("job", "attempt", "task", "item", "host", "outcome", "exit_code", "reason", "ran_for_ns", "final")
    rows, others = [[row for job in each.jobs for row in job.attempts] for each in (past, journal)]
    assert len(rows) == 5
    assert [[getattr(row, name) for name in same] for row in rows] == [
        [getattr(row, name) for name in same] for row in others
    ]
    assert outages_of(past) == outages_of(journal) == [("node1", False)]
    assert past.outages[0].end_at is not None
    assert past.found_at.keys() == journal.found_at.keys()
    assert past.made == journal.made
    assert all(row.accepted_at <= row.ended_at <= end_at for row in rows)
    for name in ("accepted_at", "started_at", "ended_at"):
        apart = [abs(getattr(row, name) - getattr(other, name)) for row, other in zip(rows, others, strict=True)]
        assert max(apart) < COMMIT_NS, name


def test_what_runs_is_known_while_it_runs(night: tuple[RunningServer, Past]) -> None:
    _, past = night
    (job,) = (job for job in past.jobs if job.spec.task == "held")
    assert (job.final, job.host) == (None, "node1")
    assert job.started_at is not None
    assert 0 <= job.started_at - job.accepted_at < COMMIT_NS


def test_what_is_no_recording_is_refused(night: tuple[RunningServer, Past], tmp_path: Path) -> None:
    server, _ = night
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        recorded_past(tmp_path / "none")
    with pytest.raises(ConfigurationError, match="it is no recording of decisions"):
        recorded_past(server.folder / "configuration.json")
