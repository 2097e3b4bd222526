"""Goal: a disk that is full or hangs stops intake with one clear message, loses nothing, ends nothing that runs, and
intake resumes by itself.

Method: a real server whose state lies on a small tmpfs (mounted in the test, which needs to be root), filled and
emptied by the test, or whose commits hang; jobs run on the server's own machine, or on a process host.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from model.alarm_kinds import AlarmKind, NotifyRules
from model.channel import ChannelTimes
from model.configuration import Notifier
from model.job import SECOND, HostWish
from model.task import Limits, Periods, TaskDefinition
from tests.live.running_server import LOCALLY, RunningServer, cluster, until

SIZE_MIB = 16
TIMES = ChannelTimes(SECOND // 5, silent_ns=3 * SECOND, lease_ns=6 * SECOND, margin_ns=SECOND, resend_ns=SECOND)
HANGS = """
import os, time
from live import loop
from live.journal import Journal
loop.STANDSTILL_SECONDS = 1.0
append = Journal.append
def hang(self, records):
    while os.path.exists({marker!r}):
        time.sleep(0.02)
    append(self, records)
Journal.append = hang
"""


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


def waiter(name: str, marker: Path, jobs: int) -> TaskDefinition:
    """Jobs on node1 that run until the file is there."""
    wait = f"until test -e {marker}; do sleep 0.1; done"
    periods, host = Periods(exec_ns=SECOND // 50), HostWish("node1", required=True)
    return TaskDefinition(name, command=("sh", "-c", wait), periods=periods, limits=Limits(total=jobs), host=host)


def outlast_the_lease() -> None:
    over = time.monotonic() + (TIMES.lease_ns + 2 * TIMES.margin_ns) / SECOND
    until(lambda: time.monotonic() > over, "the lease would be over")


def test_jobs_on_hosts_outlive_a_full_disk_that_lasts_longer_than_their_lease(server: RunningServer) -> None:
    """The disk is filled again when the reserve is free, and then one job ends: its record finds no room. People are
    told all the same."""
    soon, later = server.folder / "soon", server.folder / "later"
    beat = TaskDefinition("beat", command=("true",), periods=Periods(exec_ns=SECOND // 20), host=LOCALLY)
    tasks = (beat, waiter("first", soon, 1), waiter("others", later, 2))
    told = server.folder / "told"
    rules = NotifyRules(kinds=(AlarmKind.DISK_FULL,), after_ns=SECOND, recovered=False)
    operator = Notifier("operator", command=("sh", "-c", f"cat >> {told}"), rules=rules)
    hosts = cluster("node1", slots=3, times=TIMES)
    client = server.start(server.configuration(*tasks, cluster=hosts, notifiers=(operator,)))

    def running() -> dict[str, int]:
        return {row["name"]: row["running"] for row in client.ask("tasks")}

    until(lambda: running() | {"beat": 0} == {"beat": 0, "first": 1, "others": 2}, "they run")
    disk = server.state.parent
    fill(disk / "ballast")
    until(lambda: "disk full" in client.ask("status")["intake"], "intake is stopped")
    until(lambda: running()["beat"] == 0, "what ran here has ended")
    fill(disk / "more")
    soon.touch()
    until(lambda: running()["first"] == 0, "one has ended")
    outlast_the_lease()
    assert running()["others"] == 2
    until(told.exists, "somebody is told")
    assert "disk full" in client.ask("status")["intake"]
    for name in ("ballast", "more"):
        (disk / name).unlink()
    until(lambda: client.ask("status")["alarms"] == [], "there is room")
    later.touch()
    until(lambda: running()["others"] == 0, "they have ended")
    client.ask("shutdown", kill=True)
    assert server.ended() == 0
    ends = sorted((row.task, row.outcome, row.exit_code) for row in server.history() if row.task != "beat")
    assert [json.loads(line)["level"] for line in told.read_text().splitlines()] == ["alarm"]
    assert ends == [("first", "EXITED", 0), ("others", "EXITED", 0), ("others", "EXITED", 0)]


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


def test_a_disk_that_does_not_answer_is_as_a_full_one(tmp_path: Path) -> None:
    """Commits hang, by a journal that was changed in the server's process, while a file is there."""
    server = RunningServer(tmp_path)
    marker, later = tmp_path / "hang", tmp_path / "later"
    beat = TaskDefinition("beat", command=("true",), periods=Periods(exec_ns=SECOND // 20), host=LOCALLY)
    configuration = server.configuration(beat, waiter("long", later, 2), cluster=cluster("node1", times=TIMES))
    try:
        client = server.start(configuration, before=HANGS.format(marker=str(marker)))
        until(lambda: client.ask("tasks")[1]["running"] == 2, "they run")
        marker.touch()
        until(lambda: "the disk does not answer" in client.ask("status")["intake"], "intake is stopped")
        done = client.ask("tasks")[0]["done"]
        outlast_the_lease()
        assert client.ask("tasks")[1]["running"] == 2
        marker.unlink()
        until(lambda: client.ask("tasks")[0]["done"] > done + 3, "it beats again")
        later.touch()
        until(lambda: client.ask("tasks")[1]["running"] == 0, "they have ended")
        client.ask("shutdown", kill=True)
        assert server.ended() == 0
        assert [(row.outcome, row.exit_code) for row in server.history() if row.task == "long"] == [("EXITED", 0)] * 2
    finally:
        server.clean()
