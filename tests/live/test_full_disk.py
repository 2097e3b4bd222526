"""Goal: a full disk stops intake with one clear message, loses nothing, and intake resumes by itself.

Method: a real server whose state lies on a small tmpfs (mounted in the test, which needs to be root), filled and
emptied by the test; jobs run on the server's own machine.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from model.job import SECOND
from model.task import Periods, TaskDefinition
from tests.live.running_server import LOCALLY, RunningServer, until

SIZE_MIB = 16


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    if os.geteuid() != 0:
        pytest.skip("mounting a tmpfs needs root")
    disk = tmp_path / "disk"
    disk.mkdir(mode=0o700)
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MIB}m,mode=700", "tmpfs", str(disk)]
    mounted = subprocess.run(command, capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no tmpfs here: {mounted.stderr.decode(errors='replace').strip()}")
    running = RunningServer(tmp_path)
    running.state = disk / "state"
    try:
        yield running
    finally:
        running.clean()
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(path: Path) -> None:
    """Write until nothing fits any more."""
    with path.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            try:
                while file.write(b"\0" * size):
                    pass
            except OSError:
                continue


def test_intake_stops_on_a_full_disk_and_resumes_when_there_is_room(server: RunningServer) -> None:
    periods = Periods(exec_ns=SECOND // 50)
    task = TaskDefinition("beat", command=("true",), periods=periods, host=LOCALLY)
    client = server.start(server.configuration(task))
    until(lambda: client.ask("tasks")[0]["done"] > 3, "it beats")
    ballast = server.state.parent / "ballast"
    fill(ballast)
    status = until(lambda: (now := client.ask("status"))["alarms"] and now, "the full disk is noticed")
    assert "disk" in status["alarms"][0]
    until(lambda: "disk full" in client.ask("status")["intake"], "intake is stopped")
    until(lambda: client.ask("tasks")[0]["running"] + client.ask("tasks")[0]["pending"] == 0, "what ran has ended")
    assert server.said().count("intake stopped (disk)") == 1
    before = client.ask("tasks")[0]["done"]
    ballast.unlink()
    until(lambda: client.ask("tasks")[0]["done"] > before, "it beats again")
    assert client.ask("status")["alarms"] == []
    client.ask("shutdown", kill=True)
    assert server.ended() == 0
    rows = server.history()
    assert {(row.outcome, row.exit_code) for row in rows} <= {("EXITED", 0), ("KILLED", None)}
    assert sorted({row.job for row in rows}) == list(range(1, len(rows) + 1))
