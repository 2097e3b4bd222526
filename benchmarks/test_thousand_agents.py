"""Goal: one server serves a thousand hosts nearly as well as ten, and they cost it little.

Method: a real server with its journal on the disk, and real connections: light agents (`tests/cluster/light_agents.py`)
in two processes dial in by TLS, each with a certificate and an address of its own. They say of each job in one
batch that it has started and ended, as soon as it comes; nothing is run, so it is the server that is measured: its
queue, its journal, its links. Asked, all beside the work of the light agents on the same machine:

- dispatch: JOBS jobs that come at once, by the journal, from the first acceptance to the last end; with MANY agents and
  with FEW of the same slots, in turns. Required is the median ratio. (FEW agents with as many slots in all as MANY
  have are shown as well: a batch then holds up to a hundred times as many jobs.)
- idle: CPU time of the server over IDLE_SECONDS, all agents linked, pinged every 5 s, and nothing to do.
- memory: what the server's resident memory has grown by since it answered without an agent, for each agent, when all
  are linked; and, after JOBS jobs, by how much it is larger than that of the server with FEW agents after as many.
- a restart: kill -9, and a new start at once; from there until the server says that all hosts are up. The agents pause
  as they do by default (up to 30 s).
"""

from __future__ import annotations

import os
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, Self

import pytest
from msgspec import Struct
from msgspec.structs import astuple
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import Figure
from benchmarks.extent import only_long
from benchmarks.light_agents import LightAgents
from benchmarks.observed import pid_of, resident_bytes, share_of_a_core
from benchmarks.scripted_server import once
from benchmarks.whole_runs import job_phase_ns
from model.configuration import HostDefinition, Link
from model.job import SECOND
from model.task import LinesSource, Periods, TaskDefinition
from shell.certificate_authority import Authority
from tests.cluster.tls_site import TlsSite
from tests.live.running_server import Client, RunningServer, until

MANY = 1_000
FEW = 10
SLOTS = 8
"""Of each host."""
JOBS = 50_000
ROUNDS = 3
IDLE_SECONDS = 20.0
LIMIT = 120.0

DISPATCH_LEAST = 0.80
"""Of the rate with FEW agents."""
IDLE_MOST = 0.10
MEMORY_MOST_KB = 200
BACK_MOST_SECONDS = 30.0

pytestmark = [only_long, pytest.mark.timeout(1200)]


class Cluster:
    """A server, and light agents."""

    def __init__(self, folder: Path, certificates: Path, count: int, slots: int) -> None:
        folder.mkdir()
        self.server = RunningServer(folder)
        self.site = TlsSite(self.server, folder=certificates)
        self._items = folder / "items"
        self._items.touch()
        task = TaskDefinition(
            "light",
            command=("/bin/true",),
            source=LinesSource(("cat", str(self._items))),
            periods=Periods(exec_ns=2 * SECOND, timeout_ns=600 * SECOND, pending_ns=600 * SECOND),
        )
        hosts = tuple(HostDefinition(f"h{number}", slots, Link.TLS) for number in range(count))
        self._configuration = self.server.configuration(task, cluster=self.site.cluster_of(hosts))
        self._agents: LightAgents | None = None
        self._count, self._slots = count, slots

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._agents is not None:
            self._agents.close()
        self.server.clean()

    def start(self) -> int:
        """Start the server, then the agents. Its resident memory in kB before they came."""
        self.server.start(self._configuration)
        before = self.resident_kb()
        self._agents = LightAgents(self.site, self._count, self._slots)
        self._agents.until(self._count)
        self.all_up()
        return before

    def all_up(self) -> None:
        """Wait until the server says so of all hosts."""
        until(self._are_up, "all hosts are up", LIMIT)

    def _are_up(self) -> bool:
        return all(row["state"] == "up" for row in self._ask("hosts"))

    def _ask(self, verb: str) -> Any:
        """On a connection of its own: one that is idle is closed."""
        with closing(Client(self.server.state)) as client:
            return client.ask(verb)

    def rate(self) -> float:
        """Jobs a second, of JOBS that come at once."""
        fresh = self._items.with_suffix(".new")
        fresh.write_text("".join(f"{number}\n" for number in range(JOBS)))
        os.replace(fresh, self._items)
        until(lambda: self._ask("tasks")[0]["done"] == JOBS, "all jobs are done", LIMIT)
        until(lambda: len(self.server.history()) == JOBS, "all ends are on the disk", LIMIT)
        return JOBS * SECOND / job_phase_ns(self.server.state / "journal.sqlite", JOBS)

    def idle_share(self) -> float:
        """CPU time of the server over IDLE_SECONDS, as a share of a core."""
        return share_of_a_core(self.server, IDLE_SECONDS)

    def restart_seconds(self) -> float:
        """From a new start after kill -9 until all hosts are up."""
        assert self._agents is not None
        self.server.crash()
        self._agents.until(0)
        began = time.monotonic()
        self.server.start(self._configuration)
        self._agents.until(self._count)
        self.all_up()
        return time.monotonic() - began

    def resident_kb(self) -> int:
        return resident_bytes(pid_of(self.server)) // 1024


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an authority, and of a certificate for each light agent."""
    folder = tmp_path_factory.mktemp("authority") / "tls"
    authority = Authority(folder)
    authority.begin()
    with ThreadPoolExecutor(os.cpu_count()) as making:
        list(making.map(authority.issue, (f"h{number}" for number in range(MANY))))
    return folder


class Round(Struct):
    """What one round has found; times in s, memory in kB."""

    few_rate: float
    wide_rate: float
    many_rate: float
    idle_share: float
    linked_kb: float
    worked_kb: float
    back_seconds: float


def one_round(folder: Path, certificates: Path) -> Round:
    with Cluster(folder / "few", certificates, FEW, SLOTS) as few:
        few.start()
        few_rate, few_kb = few.rate(), few.resident_kb()
    with Cluster(folder / "wide", certificates, FEW, SLOTS * MANY // FEW) as wide:
        wide.start()
        wide_rate = wide.rate()
    with Cluster(folder / "many", certificates, MANY, SLOTS) as many:
        before = many.start()
        idle_share, linked_kb = many.idle_share(), many.resident_kb() - before
        many_rate, worked_kb = many.rate(), many.resident_kb() - few_kb
        back = many.restart_seconds()
    return Round(few_rate, wide_rate, many_rate, idle_share, linked_kb / MANY, worked_kb / (MANY - FEW), back)


@pytest.mark.benchmark(group="thousand agents")
def test_a_thousand_agents(benchmark: BenchmarkFixture, figure: Figure, tmp_path: Path, certificates: Path) -> None:
    rounds: list[Round] = []

    def measure() -> None:
        for number in range(ROUNDS):
            folder = tmp_path / f"{number}"
            folder.mkdir()
            rounds.append(one_round(folder, certificates))

    once(benchmark, measure)
    few, wide, many, idle, linked, worked, back = map(statistics.median, zip(*map(astuple, rounds), strict=True))
    ratio = statistics.median(found.many_rate / found.few_rate for found in rounds)
    wide_ratio = statistics.median(found.many_rate / found.wide_rate for found in rounds)
    name = f"{MANY:,} agents over TLS"
    figure(
        f"{name}, dispatch against {FEW} with the same {SLOTS} slots",
        f"{ratio:.0%} ({many:,.0f} against {few:,.0f} jobs/s)",
        f"{DISPATCH_LEAST:.0%}",
    )
    figure(
        f"{name}, dispatch against {FEW} with as many slots in all",
        f"{wide_ratio:.0%} ({many:,.0f} against {wide:,.0f} jobs/s)",
        "",
    )
    figure(f"{name}, idle server", f"{idle:.1%} of a core", f"under {IDLE_MOST:.0%}")
    figure(
        f"{name}, server memory for each",
        f"{linked:.0f} kB; {worked:.0f} kB after {JOBS:,} jobs",
        f"under {MEMORY_MOST_KB} kB",
    )
    figure(f"{name}, all back after kill -9", f"{back:.1f} s after the start", f"{BACK_MOST_SECONDS:g} s")
    assert ratio >= DISPATCH_LEAST, rounds
    assert idle < IDLE_MOST, rounds
    assert max(linked, worked) < MEMORY_MOST_KB, rounds
    assert back <= BACK_MOST_SECONDS, rounds
