"""Goal: the eight possible errors of configs/scenarios show the same outcomes on real process hosts as in simulation.

Method: each scenario's pipeline runs live until it is idle, with its fault made for real; the history is compared with
the `expect` of the scenario file. They run side by side, because most of their time is waiting. (`no-room-to-fork`
needs an operating system without room, and is simulated only.)
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import msgspec
import pytest

from model.configuration import OnExit
from model.job import SECOND
from model.views import HistoryRow
from shell.config import load
from shell.config.reading import read_document
from tests.live.running_server import RunningServer, until

SCENARIOS = Path(__file__).parents[2] / "configs" / "scenarios"
NAMES = (
    "controller-not-responding", "machine-down", "command-not-found", "too-many-processes",
    "takes-too-long-to-start", "timed-out", "crashed", "exit-status",
)  # fmt: skip
LIMIT = 200.0

CONNECT_NS = 60 * SECOND
"""Eight servers start their agents on one machine: a slow start is no fault of these scenarios."""

_FREEZE = """
import live.controller_here, model.decisions
from model.controller import Controller
from model.events import Vouched
from model.scheduler import Scheduler

class NotVouchedFor(Scheduler):
    # The server vouches for a controller of its own process; this one may be silent.
    def receive(self, event, now):
        if type(event) is not Vouched:
            super().receive(event, now)

class Frozen(Controller):
    # Stands still for 15 s once a job has ended; what comes meanwhile it gets afterwards.
    def __init__(self, *rest):
        super().__init__(*rest)
        self.freeze, self.thaw, self.kept, self.still = None, 0, [], False
    def receive(self, event, now):
        if type(event) is not Vouched:
            self.kept.append(event)
            self.catch_up(now)
    def catch_up(self, now):
        self.still = self.freeze is not None and now < self.thaw
        if not self.still:
            kept, self.kept = self.kept, []
            for event in kept:
                super().receive(event, now)
    def advance(self, now):
        self.catch_up(now)
        if not self.still:
            super().advance(now)
            if self.freeze is None and any(host.done for host in self.hosts.values()):
                self.freeze, self.thaw = now, now + 15_000_000_000
    def next_due(self):
        return self.thaw if self.still else super().next_due()
    def drain(self):
        return [] if self.still else super().drain()

model.decisions.Scheduler, live.controller_here.Controller = NotVouchedFor, Frozen
"""


def take_down_node2(server: RunningServer) -> None:
    """A file where the host's folder should be: no agent can start there."""
    hosts = server.state / "hosts"
    hosts.mkdir(parents=True, mode=0o700)
    server.state.chmod(0o700)
    (hosts / "node2").touch()


FAULTS: dict[str, Callable[[RunningServer], None]] = {"machine-down": take_down_node2}
PATCHES = {"controller-not-responding": _FREEZE}


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, RunningServer]]:
    started: dict[str, RunningServer] = {}
    try:
        for name in NAMES:
            server = started[name] = RunningServer(tmp_path_factory.mktemp("live"))
            configuration = msgspec.structs.replace(
                (found := load(SCENARIOS / "pipelines" / f"{name}.yaml").configuration),
                directory=str(server.folder),
                on_exit=OnExit.KILL,
                cluster=msgspec.structs.replace(found.cluster, connect_ns=CONNECT_NS),
            )
            FAULTS.get(name, lambda _: None)(server)
            server.begin(configuration, until_idle=True, before=PATCHES.get(name, ""))
            until(partial(is_up_or_over, server), "it answers, or has ended already")
        yield started
    finally:
        for server in started.values():
            server.clean()


def is_up_or_over(server: RunningServer) -> bool:
    assert server.process is not None
    return server.process.poll() is not None or (server.state / "control.sock").exists()


def holds(count: int, wanted: str) -> bool:
    """`3` or `>=3`."""
    found = re.fullmatch(r"(>=)?\s*(\d+)", wanted)
    assert found, wanted
    return count >= int(found[2]) if found[1] else count == int(found[2])


def counted(rows: list[HistoryRow], what: str) -> int:
    """What a line of `expect` counts."""
    finals = [row for row in rows if row.final]
    numbers = {"attempts": len(rows), "final": len(finals), "open": len({row.job for row in rows}) - len(finals)}
    if what in numbers:
        return numbers[what]
    return Counter(f"exit {row.exit_code}" if row.outcome == "EXITED" else row.outcome for row in finals)[what]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.timeout(300)
def test_the_outcomes_are_those_of_the_scenario(servers: dict[str, RunningServer], name: str) -> None:
    server = servers[name]
    assert server.ended(LIMIT) == 0, server.said()
    history = server.history()
    expected = read_document(SCENARIOS / f"{name}.yaml", name).data["expect"]
    assert expected
    for task, wanted in expected.items():
        rows = [row for row in history if row.task == task]
        for what, number in wanted.items():
            shown = [(row.job, row.attempt, row.outcome, row.exit_code, row.reason) for row in rows]
            assert holds(counted(rows, what), str(number)), f"{task}: {what} is to be {number}: {shown}"
    assert server.nothing_left()
