"""A soak: a real cluster works for minutes or hours with a fault every few seconds, and its resources are watched.

    python -m tests.live.torture.soak --minutes 60        (`make soak MINUTES=60`)

Faults: kill -9 of an agent or a keeper, SIGSTOP of the server, an agent or a keeper until the next look; now and then
kill -9 of the server. Every line is a look at memory, descriptors and threads of the server, of all agents and of all
keepers, and at the size of the write-ahead log. At the end the jobs' own books are compared with the history, and it
is said for each figure whether it stayed flat; the exit status is 1 when one did not.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from model.configuration import ClusterDefinition, Configuration, HostDefinition
from model.job import SECOND
from model.task import Limits, Periods, TaskDefinition
from tests.live.running_server import LOCALLY, Client, RunningServer, until
from tests.live.torture.killing import HOSTS, agents, keepers
from tests.live.torture.witness import check_books, prepare

SERVER_KILLED_EVERY = 20
"""Faults from one kill of the server to the next: its memory is watched over so long a life."""
WARM_UP = 0.2
"""Part of the run whose looks are not compared: pools and caches fill."""
SLACK = {"MiB": 8.0, "descriptors": 8.0, "threads": 3.0}
"""How much more the last third of the looks may have than the first, besides an eighth of it."""
PAGE = os.sysconf("SC_PAGE_SIZE")
WAL_MAX_MIB = 80.0


@dataclass
class Looks:
    """What was seen, by name of the figure, in order."""

    seen: dict[str, list[float]] = field(default_factory=dict)

    def note(self, name: str, value: float) -> None:
        self.seen.setdefault(name, []).append(value)

    def verdicts(self) -> list[tuple[str, float, float, bool]]:
        """(figure, median of the first third, of the last third, whether it stayed flat)."""
        found = []
        for name, values in self.seen.items():
            late = values[int(len(values) * WARM_UP) :]
            third = max(1, len(late) // 3)
            before, after = statistics.median(late[:third]), statistics.median(late[-third:])
            slack = next(value for unit, value in SLACK.items() if name.endswith(unit))
            is_flat = after <= WAL_MAX_MIB if name.startswith("wal") else after <= before * 1.125 + slack
            found.append((name, before, after, is_flat))
        return found


def configuration(server: RunningServer) -> Configuration:
    """Two hosts and the server's own machine, kept busy for ever by brief jobs, some of which fail."""
    periods = Periods(exec_ns=SECOND // 3, timeout_ns=60 * SECOND, pending_ns=0)

    def task(name: str, number: int, seconds: str, **more: object) -> TaskDefinition:
        command = ("./job.sh", str(number), seconds)
        limits = Limits(in_flight=6)
        return TaskDefinition(name, command=command, periods=periods, limits=limits, lost_reruns=99, **more)  # type: ignore[arg-type]

    tasks = (task("brief", 0, "0"), task("slow", 0, "0.5"), task("fails", 1, "0.1"), task("near", 2, "0", host=LOCALLY))
    cluster = ClusterDefinition(
        hosts=tuple(HostDefinition(name, 3) for name in HOSTS), backoff_ns=SECOND // 5, backoff_cap_ns=SECOND
    )
    return server.configuration(*tasks, cluster=cluster)


class Soak:
    """One run in one folder."""

    def __init__(self, folder: Path, seed: int, interval: float) -> None:
        prepare(folder)
        self._server = RunningServer(folder)
        self._configuration = configuration(self._server)
        self._chance = Random(seed)
        self._interval = interval
        self._pause = threading.Event()
        self._stopped = 0
        self.faults: dict[str, int] = {}
        self.looks = Looks()

    def run(self, seconds: float, tell: Callable[[str], None]) -> int:
        """Work for so long; how many jobs became final. AssertionError when the books do not agree."""
        server = self._server
        try:
            server.start(self._configuration)
            end = time.monotonic() + seconds
            number = 0
            while time.monotonic() < end:
                number += 1
                fault = self._do_harm(number)
                self._pause.wait(self._interval)
                self._go_on()
                tell(f"{number:5d}  {fault:<18} {self._look()}")
            return self._drain()
        finally:
            self._go_on()
            server.clean()

    def _do_harm(self, number: int) -> str:
        server = self._server
        assert server.process is not None and server.process.poll() is None, f"it ended: {server.said()}"
        if number % SERVER_KILLED_EVERY == 0:
            server.crash()
            server.start(self._configuration)
            return self._count("kill server")
        kind = self._chance.choice(("kill agent", "kill keeper", "stop server", "stop agent", "stop keeper"))
        verb, _, whom = kind.partition(" ")
        living = {"server": [server.process.pid], "agent": agents(server), "keeper": keepers(server)}[whom]
        if living:
            victim = self._chance.choice(living)
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL if verb == "kill" else signal.SIGSTOP)
                self._stopped = victim if verb == "stop" else 0
        return self._count(kind)

    def _count(self, kind: str) -> str:
        self.faults[kind] = self.faults.get(kind, 0) + 1
        return kind

    def _go_on(self) -> None:
        if self._stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._stopped, signal.SIGCONT)
            self._stopped = 0

    def _look(self) -> str:
        server, looks = self._server, self.looks
        assert server.process is not None
        groups = {"server": [server.process.pid], "agents": agents(server), "keepers": keepers(server)}
        parts = []
        for name, pids in groups.items():
            memory, descriptors, threads = (
                (sum(column) for column in zip(*map(resources, pids), strict=True)) if pids else (0, 0, 0)
            )
            looks.note(f"{name} MiB", memory)
            looks.note(f"{name} descriptors", descriptors)
            looks.note(f"{name} threads", threads)
            parts.append(f"{name} {memory:6.1f} MiB {descriptors:3.0f} fd {threads:2.0f} thr")
        wal = (server.state / "journal.sqlite-wal").stat().st_size / (1 << 20)
        journal = (server.state / "journal.sqlite").stat().st_size / (1 << 20)
        looks.note("wal MiB", wal)
        return " | ".join((*parts, f"wal {wal:5.1f} MiB, journal {journal:5.1f} MiB"))

    def _drain(self) -> int:
        server = self._server
        client = Client(server.state)  # a connection that asks nothing for long is closed
        for task in self._configuration.tasks:
            client.ask("hold", task=task.name)
        until(lambda: self._is_quiet(client), "everything that runs has ended", 120.0)
        client.ask("shutdown", kill=True)
        assert server.ended(120.0) == 0, server.said()
        rows = server.history()
        check_books(server.folder, server.state, rows)
        assert server.nothing_left()
        return sum(row.final for row in rows)

    def _is_quiet(self, client: Client) -> bool:
        return all(row["pending"] + row["running"] == 0 for row in client.ask("tasks"))


def resources(pid: int) -> tuple[float, float, float]:
    """Resident memory in MiB, descriptors and threads of a process; zeros when it has just ended."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * PAGE / (1 << 20), len(os.listdir(f"/proc/{pid}/fd")), len(os.listdir(f"/proc/{pid}/task"))
    except OSError:
        return 0.0, 0.0, 0.0


def main() -> int:
    parser = argparse.ArgumentParser(description="A cluster under faults, its resources watched.")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--interval", type=float, default=10.0, help="seconds between two faults")
    parser.add_argument("--seed", type=int, default=1)
    found = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        soak = Soak(Path(folder), found.seed, found.interval)
        jobs = soak.run(found.minutes * 60, lambda line: print(line, flush=True))
    print(f"{jobs} jobs became final, each once; faults: {soak.faults}")
    verdicts = soak.looks.verdicts()
    for name, before, after, is_flat in verdicts:
        print(f"{name:<22} {before:8.1f} -> {after:8.1f}  {'flat' if is_flat else 'NOT FLAT'}")
    return 0 if all(is_flat for *_, is_flat in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
