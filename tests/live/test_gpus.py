"""Goal: real jobs are told which GPUs they have, and no two at a time have the same, over the death of the server, too.

Method: each job makes a folder with the name of its GPU, which must not be there, and takes it away at its end; a job
that meets another one on its GPU, or is told something wrong, fails.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from model.configuration import ClusterDefinition, HostDefinition, OnExit
from model.resources import CPU, CPUS, GIBIBYTE, GPUS, MEMORY, Needs
from model.task import LinesSource, TaskDefinition
from tests.live.running_server import QUICK, RunningServer, until

ITEMS = 16
ALONE = """
[ "$CUDA_VISIBLE_DEVICES" = "$LAULIMA_GPUS" ] && [ "$LAULIMA_CPUS $LAULIMA_MEMORY" = "0.5 1073741824" ] || exit 3
mkdir "gpu$LAULIMA_GPUS" || exit 4
echo "$LAULIMA_GPUS" >> used
sleep 0.2
rmdir "gpu$LAULIMA_GPUS"
"""
CLUSTER = ClusterDefinition(
    hosts=(HostDefinition("node1", 6, resources=((CPUS, 4 * CPU), (GPUS, 3), (MEMORY, 8 * GIBIBYTE))),)
)
TASK = TaskDefinition(
    "train",
    command=("sh", "-c", ALONE, "sh", "$item"),
    periods=QUICK,
    source=LinesSource(("seq", "1", str(ITEMS))),
    needs=Needs(((CPUS, CPU // 2), (GPUS, 1), (MEMORY, GIBIBYTE))),
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    running = RunningServer(tmp_path)
    yield running
    running.clean()


def used(server: RunningServer) -> Counter[str]:
    """How often each GPU was used."""
    path = server.folder / "used"
    return Counter(path.read_text().split()) if path.exists() else Counter()


def test_jobs_have_their_gpus_for_themselves(server: RunningServer) -> None:
    rows = server.run_to_idle(server.configuration(TASK, cluster=CLUSTER))
    assert [row.exit_code for row in rows] == [0] * ITEMS
    assert set(used(server)) <= {"0", "1", "2"}
    assert used(server).total() == ITEMS


def test_also_when_the_server_dies_and_comes_back_meanwhile(server: RunningServer) -> None:
    configuration = server.configuration(TASK, cluster=CLUSTER, on_exit=OnExit.KEEP)
    server.start(configuration)
    until(lambda: used(server).total() >= 4, "some jobs run")
    server.crash()
    rows = server.run_to_idle(configuration)
    assert [row.exit_code for row in rows if row.final] == [0] * ITEMS
    assert used(server).total() == ITEMS
