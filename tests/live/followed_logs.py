"""`laulima logs -f` on a job that runs, wherever that is: the steps that the tests of each kind of link share.

The job writes to both streams, waits at a gate (a named pipe), and writes once more. What it has written must come
while it runs.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from model.configuration import ClusterDefinition
from model.job import HostWish
from model.task import Limits, TaskDefinition
from tests.live.running_server import QUICK, RunningServer, until

SCRIPT = "echo one; echo wrong >&2; read x < gate; echo two"
PATIENCE = 60.0


def follow_a_job(server: RunningServer, cluster: ClusterDefinition, *, here: bool) -> None:
    """On the one host of the cluster. `here`: what it writes stands on this machine; else the server fetches it."""
    gate = server.folder / "gate"
    os.mkfifo(gate)
    host = HostWish(cluster.hosts[0].name, required=True)
    talk = TaskDefinition("talk", ("sh", "-c", SCRIPT), host=host, periods=QUICK, limits=Limits(total=1))
    client = server.start(server.configuration(talk, cluster=cluster))
    until(lambda: client.ask("jobs", selection={"state": "running"}), "it runs", PATIENCE)
    assert (client.ask("logs", job=1)["path"] is not None) is here
    with subprocess.Popen(
        [sys.executable, "-m", "shell.main", "logs", "last", "-f", "--both"],
        cwd=server.folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
    ) as following:  # fmt: skip
        assert following.stdout is not None
        assert following.stderr is not None
        assert following.stdout.readline() == b"one\n"
        assert following.stderr.readline() == b"wrong\n"
        gate.write_text("go\n")
        told = following.communicate(timeout=PATIENCE)
        assert told == (b"two\n", b""), told
        assert following.returncode == 0
    client.ask("shutdown", kill=True)
    assert server.ended(PATIENCE) == 0, server.said()
