"""Whole runs of a real server, timed by its own journal: from the first job accepted to the last end on the disk.

Called by the dispatch benchmarks. The journal says when, so nothing polls the server while it works. Neither its start
nor its end is in the time, nor that of its hosts: the jobs come when all are up. (Keepers start with the first job, and
are in it.)
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from model.configuration import ClusterDefinition, Configuration
from model.job import SECOND, HostWish
from model.task import Limits, LinesSource, Periods, TaskDefinition
from tests.live.running_server import Client, RunningServer, until

LIMIT_SECONDS = 100.0
"""The longest that one run may take, start and end of the server included."""
GO = "go"
"""A file in the folder: the jobs may come."""


def all_up(client: Client) -> bool:
    """Whether every host is."""
    return all(row["state"] == "up" for row in client.ask("hosts"))


def begin_with_hosts(server: RunningServer, configuration: Configuration, before: str) -> None:
    """Start a server with `many_jobs`, and let them come when its hosts are there. It ends when all is done. `before`:
    Python that it runs first."""
    client = server.start(configuration, until_idle=True, before=before)
    until(lambda: all_up(client), "all hosts are up", LIMIT_SECONDS)
    (server.folder / GO).touch()


def many_jobs(jobs: int, host: HostWish) -> TaskDefinition:
    """A task that runs `/bin/true` once for each of `jobs` lines, all of which come in one answer, as soon as the file
    GO is there. More are not wanted, so nothing looks at the source while they run, and nobody waits for its next look
    at the end."""
    return TaskDefinition(
        "true",
        command=("/bin/true",),
        source=LinesSource(("sh", "-c", f"until test -e {GO}; do sleep 0.02; done; seq {jobs}")),
        host=host,
        limits=Limits(total=jobs),
        periods=Periods(exec_ns=2 * SECOND, timeout_ns=60 * SECOND, pending_ns=600 * SECOND),
    )


def dispatch_rate(folder: Path, cluster: ClusterDefinition, host: HostWish, jobs: int, *, before: str = "") -> float:
    """Jobs a second of a fresh server in `folder`; asserts that each ran once and ended well. `before`: Python that the
    server runs first."""
    folder.mkdir()
    server = RunningServer(folder)
    try:
        begin_with_hosts(server, server.configuration(many_jobs(jobs, host), cluster=cluster), before)
        assert server.ended(LIMIT_SECONDS) == 0, server.said()
        assert server.nothing_left()
    finally:
        server.clean()
    return jobs * 1e9 / job_phase_ns(server.state / "journal.sqlite", jobs)


def job_phase_ns(journal: Path, jobs: int) -> int:
    """From the first job's acceptance to the last end, both on the disk."""
    connection = sqlite3.connect(f"file:{journal}?mode=ro", uri=True)
    try:
        ends = connection.execute(
            "SELECT count(*), count(DISTINCT job), count(DISTINCT item) FROM attempt "
            "WHERE outcome = 'EXITED' AND exit_code = 0 AND final"
        ).fetchone()
        assert ends == (jobs, jobs, jobs), f"ends, jobs and items: {ends}"
        begin: int = connection.execute("SELECT min(clock) FROM record WHERE kind = 'job accepted'").fetchone()[0]
        end: int = connection.execute("SELECT max(clock) FROM record WHERE kind = 'attempt ended'").fetchone()[0]
    finally:
        connection.close()
    return end - begin
