"""One scenario under both drivers: `Simulated` and `live` give what came of it, as `compare.py` reads it.

The faults of a scenario are made for real, each as soon as everything runs that ran in simulation when it came; so
neither the speed of the machine nor its load matters, as long as the jobs that a fault is to meet run for longer than
it takes to carry it out.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
from msgspec.structs import replace

from live.spool import output_path
from model.configuration import Configuration, OnExit
from model.job import LOCAL, SECOND
from model.records import AttemptEnded, Record
from model.task import DoneSource
from shell.config.scenario import LoadedScenario, load_rehearsal
from sim.log import Committed
from sim.scenario import DiskModel, Kind
from tests.differential.compare import WROTE, Night, digest_of, read
from tests.live.running_server import RunningServer, until
from tests.sim.event_lines import event_lines

LIMIT = 120.0
"""Seconds that a step may take on a loaded machine."""
CONNECT_NS = 60 * SECOND
_RECORD = msgspec.msgpack.Decoder(Record)


def load(path: Path) -> LoadedScenario:
    """The scenario; its server is one process with a disk, as it is live."""
    loaded = load_rehearsal(path)
    return LoadedScenario(loaded.configuration, replace(loaded.scenario, disk=DiskModel()), loaded.start)


def periods_of(configuration: Configuration) -> dict[str, int]:
    """Of those tasks whose starts wait for no end of another job."""
    clocked = [
        task for task in configuration.tasks if not (task.limits.in_flight or isinstance(task.source, DoneSource))
    ]
    return {task.name: task.periods.exec_ns for task in clocked}


def slots_of(configuration: Configuration) -> dict[str, int]:
    cluster = configuration.cluster
    return {LOCAL: cluster.local_slots} | {host.name: host.slots for host in cluster.hosts}


class Simulated:
    """A scenario in simulation."""

    def __init__(self, loaded: LoadedScenario) -> None:
        self._tasks = loaded.scenario.tasks
        self._periods = periods_of(loaded.configuration)
        self._lines = event_lines(loaded.configuration, loaded.scenario)

    @property
    def took_ns(self) -> int:
        """When its last job became final."""
        ends = [line for line in self._lines if isinstance(line, Committed) and isinstance(line.record, AttemptEnded)]
        return ends[-1].t

    def night(self, until_ns: int | None = None) -> Night:
        """All of it, or what had happened before this instant."""
        lines = [line for line in self._lines if isinstance(line, Committed)]
        records = ((line.node, line.record) for line in lines if until_ns is None or line.t < until_ns)
        return read(records, self._periods, self._said)

    def _said(self, task: str, number: int, ended: AttemptEnded) -> str:
        """What the scenario says that the job prints."""
        texts = self._tasks[task].stdout_texts if task in self._tasks else ()
        if not texts or ended.report.outcome.value not in WROTE:
            return ""
        return digest_of(texts[min(number, len(texts)) - 1].encode())


class Live:
    """A scenario on real hosts, in a folder of its own."""

    def __init__(self, loaded: LoadedScenario, folder: Path) -> None:
        self._loaded = loaded
        self._server = server = RunningServer(folder)
        found = loaded.configuration
        self._configuration = replace(
            found,
            directory=str(folder),
            on_exit=OnExit.KILL,
            cluster=replace(found.cluster, connect_ns=CONNECT_NS),
        )
        self._state = server.state
        self._begin: dict[Kind, Callable[[str], None]] = {
            Kind.DOWN: self._power_off,
            Kind.AGENT_RESTART: self._kill_agent,
            Kind.KEEPER_CRASHED: self._kill_keepers,
            Kind.RESTARTED: lambda _: server.crash(),
        }
        self._end: dict[Kind, Callable[[str], None]] = {
            Kind.DOWN: self._power_on,
            Kind.RESTARTED: lambda _: self._start(),
        }

    def night(self, simulated: Simulated) -> Night:
        """Run it to its end, with its faults; leaves nothing behind."""
        server = self._server
        try:
            self._start()
            for fault in sorted(self._loaded.scenario.faults, key=lambda each: each.at_ns):
                self._await(simulated.night(fault.at_ns), str(fault.kind))
                self._begin[fault.kind](fault.nodes[0])
                if fault.kind in self._end:
                    self._end[fault.kind](fault.nodes[0])
            assert server.ended(LIMIT) == 0, server.said()
            assert server.nothing_left()
            return self._read()
        finally:
            server.clean()

    def _start(self) -> None:
        self._server.begin(self._configuration, until_idle=True)

    def _await(self, then: Night, what: str) -> None:
        """Wait until everything has begun that runs `then`."""
        runs = then.begun - then.over
        assert runs, f"{what} meets nothing that runs"
        until(lambda: runs <= self._read().begun, f"{runs} begin; the server said: {self._server.said()}", LIMIT)

    def _read(self) -> Night:
        return read(self._records(), periods_of(self._configuration), self._wrote)

    def _records(self) -> Iterator[tuple[str, Record]]:
        path = self._state / "journal.sqlite"
        if not path.exists():
            return
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            try:
                rows = connection.execute("SELECT node, body FROM record ORDER BY sequence").fetchall()
            except sqlite3.OperationalError:
                return  # its tables are being made
        for node, body in rows:
            yield node, _RECORD.decode(body)

    def _wrote(self, task: str, number: int, ended: AttemptEnded) -> str:
        """What its spool has of the attempt's output."""
        host = ended.report.host
        if not ended.report.started:
            return ""
        spool = self._state / "local" if host == LOCAL else self._state / "hosts" / host
        path = output_path(spool, ended.job, ended.attempt, "stdout")
        return digest_of(path.read_bytes() if path.exists() else b"")

    # faults

    def _kill(self, *pids: int) -> None:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _kill_agent(self, host: str) -> None:
        self._kill(self._server.agent(host))

    def _kill_keepers(self, host: str) -> None:
        self._kill(*self._keepers(host))

    def _keepers(self, host: str) -> list[int]:
        living = self._server.processes()
        texts = [lock.read_text().strip() for lock in self._state.glob(f"hosts/{host}/keeper-*.lock")]
        return sorted({int(text) for text in texts if text.isdigit()} & living.keys())

    def _power_off(self, host: str) -> None:
        """No process of the host is left, and no agent can start there."""
        agent, keepers, folder = self._server.agent(host), self._keepers(host), self._state / "hosts" / host
        folder.rename(self._away(host))
        folder.touch()
        self._kill(agent, *keepers)
        self._kill(*(pid for pid in self._server.processes() if f"LAULIMA_HOST={host}\0".encode() in environment(pid)))

    def _away(self, host: str) -> Path:
        return self._state / "hosts" / f"{host}.away"

    def _power_on(self, host: str) -> None:
        folder = self._state / "hosts" / host
        folder.unlink()
        self._away(host).rename(folder)


def environment(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""
