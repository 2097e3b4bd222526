"""Whole runs of a real server, timed by its own journal: from the first job accepted to the last end on the disk.

Called by the dispatch benchmarks. The journal says when, so nothing polls the server while it works, and neither its
start nor its end is in the time.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from model.configuration import ClusterDefinition
from model.job import SECOND, HostWish
from model.task import LinesSource, Periods, TaskDefinition
from tests.live.running_server import RunningServer

LIMIT_SECONDS = 100.0
"""The longest that one run may take, start and end of the server included."""


def many_jobs(jobs: int, host: HostWish) -> TaskDefinition:
    """A task that runs `/bin/true` once for each of `jobs` lines, all of which come in one answer."""
    return TaskDefinition(
        "true",
        command=("/bin/true",),
        source=LinesSource(("seq", str(jobs))),
        host=host,
        periods=Periods(exec_ns=2 * SECOND, timeout_ns=60 * SECOND, pending_ns=600 * SECOND),
    )


def dispatch_rate(folder: Path, cluster: ClusterDefinition, host: HostWish, jobs: int, *, before: str = "") -> float:
    """Jobs a second of a fresh server in `folder`; asserts that each ran once and ended well. `before`: Python that the
    server runs first."""
    folder.mkdir()
    server = RunningServer(folder)
    try:
        server.begin(server.configuration(many_jobs(jobs, host), cluster=cluster), until_idle=True, before=before)
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
