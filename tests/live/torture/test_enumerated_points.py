"""Goal: a server that dies at one exact point of its work (before or after its k-th commit, before its k-th effect)
leaves a journal from which the next one ends with just the history that an undisturbed run has (promises P1-P4).

Method: a small pipeline with two executors, retries and a task that follows another. The server's process is
prepared to kill itself with -9 at point k; a second server runs on its state to the end. An undisturbed run says how
many points there are; a sample of them, spread evenly, is tried here, all by
`make torture-live`.
"""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path

import pytest

from model.configuration import Configuration
from model.job import SECOND, HostWish
from model.task import DoneSource, LinesSource, Periods, Retry, TaskDefinition
from model.views import HistoryRow
from tests.live.running_server import LOCALLY, RunningServer, cluster
from tests.live.torture.extent import POINTS
from tests.live.torture.witness import check_books, prepare

KINDS = ("before commit", "after commit", "before effect")
EXPECTED = Counter({("far", 1, 0, True): 3, ("near", 1, 1, False): 2, ("near", 2, 1, True): 2, ("next", 1, 2, True): 3})
"""(task, attempt, exit code, final) of an undisturbed run."""

DEATH = """
import atexit, os, signal
from live.journal import Journal
from live.outward import Outward
KIND, POINT, COUNTS = {kind!r}, {point}, {counts!r}
passed = dict.fromkeys({kinds!r}, 0)
def reach(kind):
    passed[kind] += 1
    if kind == KIND and passed[kind] == POINT:
        os.kill(os.getpid(), signal.SIGKILL)
def append(self, records, original=Journal.append):
    reach("before commit")
    original(self, records)
    reach("after commit")
def carry_out(self, machine, effect, original=Outward.carry_out):
    reach("before effect")
    original(self, machine, effect)
Journal.append, Outward.carry_out = append, carry_out
atexit.register(lambda: open(COUNTS, "w").write(" ".join(str(passed[kind]) for kind in {kinds!r})))
"""


def death(folder: Path, kind: str = "", point: int = 0) -> str:
    """Python that makes a server's process kill itself at the `point`-th point of `kind`, and count all points."""
    return DEATH.format(kind=kind, point=point, counts=str(folder / "counts"), kinds=KINDS)


def pipeline(server: RunningServer) -> Configuration:
    periods = Periods(exec_ns=SECOND // 50, timeout_ns=60 * SECOND, pending_ns=60 * SECOND)

    def task(
        name: str, number: int, host: HostWish, source: LinesSource | DoneSource, **more: object
    ) -> TaskDefinition:
        command = ("./job.sh", str(number), "0")
        return TaskDefinition(name, command=command, host=host, periods=periods, source=source, **more)  # type: ignore[arg-type]

    retry = Retry(on=("exit 1",), times=1, backoff_ns=SECOND // 50)
    far = task("far", 0, HostWish("node1", required=True), LinesSource(("seq", "3")))
    near = task("near", 1, LOCALLY, LinesSource(("seq", "2")), retry=retry)
    following = task("next", 2, LOCALLY, DoneSource("far"))
    hosts = cluster("node1", backoff_ns=SECOND // 20, backoff_cap_ns=SECOND)
    return server.configuration(far, near, following, cluster=hosts)


def points_of(server: RunningServer) -> dict[str, int]:
    """How many points of each kind an undisturbed run passes; its history is the expected one."""
    server.begin(pipeline(server), until_idle=True, before=death(server.folder))
    assert server.ended() == 0, server.said()
    assert tally(server.history()) == EXPECTED
    counts = (server.folder / "counts").read_text().split()
    return dict(zip(KINDS, map(int, counts), strict=True))


def tally(rows: list[HistoryRow]) -> Counter[tuple[str, int, int | None, bool]]:
    return Counter((row.task, row.attempt, row.exit_code, row.final) for row in rows)


@pytest.fixture(scope="module")
def points(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    server = RunningServer(tmp_path_factory.mktemp("whole"))
    prepare(server.folder)
    try:
        return points_of(server)
    finally:
        server.clean()


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", KINDS)
def test_whatever_point_the_server_dies_at_the_history_is_that_of_an_undisturbed_run(
    tmp_path: Path, points: dict[str, int], kind: str
) -> None:
    count = points[kind]
    tried = min(count, POINTS)
    for point in sorted({1 + index * count // tried for index in range(tried)}):
        folder = tmp_path / str(point)
        folder.mkdir()
        server = RunningServer(folder)
        prepare(folder)
        try:
            die_and_recover(server, kind, point)
        finally:
            server.clean()


def die_and_recover(server: RunningServer, kind: str, point: int) -> None:
    server.begin(pipeline(server), until_idle=True, before=death(server.folder, kind, point))
    status = server.ended()
    if status == 0:  # groups of commits differ from run to run: this one had fewer points
        assert tally(server.history()) == EXPECTED, f"{kind} {point}"
        return
    assert status == -signal.SIGKILL, server.said()
    rows = server.run_to_idle(pipeline(server))
    assert tally(rows) == EXPECTED, f"{kind} {point}"
    check_books(server.folder, server.state, rows)
    assert server.nothing_left()
