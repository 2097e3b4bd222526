"""One server and two process hosts whose links are judged within a second or so, and jobs that a test holds at a gate.

What happens to a job is read from its own ticks and from the witness file (`witness.py`), never from the time that
passed: a test waits for what must happen while a process stands still or a link is cut.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from model.channel import ChannelTimes
from model.configuration import ClusterDefinition, Configuration, HostDefinition
from model.job import SECOND
from model.task import LinesSource, Periods, TaskDefinition
from model.views import HistoryRow
from tests.live.keeper_rig import exists
from tests.live.running_server import Client, RunningServer, until
from tests.live.torture.witness import Mark, Witness, check_books, prepare

LONG, BRIEF = 300 * SECOND, 4 * SECOND
"""Leases: one that no test outlasts, and one that every test about its end waits for."""
MANY_TICKS = 30
"""Ticks of a job that take longer than the silence after which a peer is called silent."""
PATIENCE = 90.0


class SmallCluster:
    """The server of one test with hosts node1 and node2, two slots each."""

    def __init__(self, folder: Path, lease_ns: int) -> None:
        prepare(folder)
        self.server = RunningServer(folder)
        self.folder = folder
        self._lease_ns = lease_ns
        self.client: Client

    def configuration(self, *tasks: TaskDefinition) -> Configuration:
        times = ChannelTimes(SECOND // 10, SECOND, self._lease_ns, SECOND, SECOND // 2)

        hosts = ClusterDefinition(
            hosts=(HostDefinition("node1", 2), HostDefinition("node2", 2)),
            local_slots=1,
            backoff_ns=SECOND // 10,
            backoff_cap_ns=SECOND // 2,
            times=times,
            local_times=times if self._lease_ns == LONG else ClusterDefinition().local_times,
        )
        return self.server.configuration(*tasks, cluster=hosts)

    def start(self, *tasks: TaskDefinition) -> None:
        self.client = self.server.start(self.configuration(*tasks))
        until(lambda: {"up"} == {self.host(name)["state"] for name in ("node1", "node2")}, "both hosts are up")

    def host(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = next(row for row in self.client.ask("hosts") if row["name"] == name)
        return found

    def begin_at_gate(self, items: int = 1) -> list[Mark]:
        """Start a server with a task of `items` jobs for any host, which run again when they are lost; their begins."""
        self.start(gated(items))
        return self.begun(items)

    def begin_on(self, host: str) -> Mark:
        """Start a server, and a job on this host that waits at the gate and runs elsewhere when it is lost."""
        self.start(gated(0))
        self.client.ask("submit", command=["./job.sh", "0", "gate"], like="gated", host=host)
        (mark,) = self.begun(1)
        assert self.host_of(mark) == host
        return mark

    def witness(self) -> Witness:
        return Witness(self.folder)

    def begun(self, count: int) -> list[Mark]:
        """Wait for the begins of `count` attempts."""
        until(lambda: len(self.witness().begun) >= count, f"{count} attempts begin", PATIENCE)
        return self.witness().begun

    def ticks(self, mark: Mark) -> int:
        path = self.folder / f"ticks.{mark.job}.{mark.attempt}"
        return path.stat().st_size // len("tick\n") if path.exists() else 0

    def run_on(self, mark: Mark) -> None:
        """Wait until this attempt has run on for longer than a peer may be silent."""
        goal = self.ticks(mark) + MANY_TICKS
        until(lambda: self.ticks(mark) >= goal, f"{mark} runs on", PATIENCE)

    def gone(self, mark: Mark) -> None:
        until(lambda: not exists(mark.pid), f"{mark} is ended", PATIENCE)

    def host_of(self, mark: Mark) -> str:
        """Where this attempt runs, as soon as the server has heard it."""

        def told() -> str:
            rows = self.client.ask("jobs")
            return next((row["host"] for row in rows if (row["job"], row["attempt"]) == (mark.job, mark.attempt)), "")

        host: str = until(told, f"the server knows where {mark} runs", PATIENCE)
        return host

    def other(self, host: str) -> str:
        return "node2" if host == "node1" else "node1"

    def submit(self, number: int, host: str | None = None) -> int:
        """A brief job for any host, or for just this one."""
        where = {} if host is None else {"host": host, "required": True}
        return int(self.client.ask("submit", command=["./job.sh", str(number), "0"], **where)["job"])

    def are_final(self, jobs: list[int]) -> list[HistoryRow]:
        """Wait until these jobs are final; their last rows."""

        def rows() -> list[HistoryRow]:
            found = [row for row in self.server.history() if row.final and row.job in jobs]
            return found if len(found) == len(jobs) else []

        found: list[HistoryRow] = until(rows, f"jobs {jobs} are final", PATIENCE)
        return found

    def open_gate(self) -> None:
        (self.folder / "gate").touch()

    def finish(self, count: int) -> list[HistoryRow]:
        """Open the gate, wait until `count` jobs are final, compare the books, end the server; all rows."""
        self.open_gate()
        history = self.server.history
        until(lambda: len([row for row in history() if row.final]) >= count, f"{count} are final", PATIENCE)
        self.client.ask("shutdown", kill=True)
        assert self.server.ended() == 0, self.server.said()
        rows = history()
        assert len([row for row in rows if row.final]) == count, rows
        check_books(self.folder, self.server.state, rows)
        assert self.server.nothing_left()
        return rows


def gated(items: int) -> TaskDefinition:
    """A task of `items` jobs that wait at the gate, for any host; what is lost is run again."""
    return TaskDefinition(
        "gated",
        command=("./job.sh", "0", "gate"),
        periods=Periods(exec_ns=SECOND // 50, timeout_ns=0, pending_ns=0),
        source=LinesSource(("seq", str(items))),
        active=items > 0,
        lost_reruns=9,
    )


@contextlib.contextmanager
def small_cluster(folder: Path, lease_ns: int = LONG) -> Iterator[SmallCluster]:
    """Nothing of it is left at the end of the block, whatever the test did."""
    made = SmallCluster(folder, lease_ns)
    try:
        yield made
    finally:
        made.server.clean()


def parent(pid: int) -> int:
    """The process that started this one."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@contextlib.contextmanager
def standing_still(pid: int) -> Iterator[None]:
    """The process is stopped by SIGSTOP for as long as the block lasts."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
