"""Goal: a real Slurm runs our jobs, each once, and every end is told as it was, whoever is restarted or lost meanwhile.

Method: daemons of Slurm on this machine (`slurm_cluster.py`), a real server with a host `link: slurm`. Each job notes
its start and its end in a file with one O_APPEND write; the file is compared with the history.
"""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from model.configuration import BatchSettings, ClusterDefinition, HostDefinition, Link
from model.job import SECOND, HostWish
from model.task import FilesSource, LinesSource, Periods, TaskDefinition
from tests.cluster.slurm_cluster import SlurmCluster
from tests.live.running_server import Client, RunningServer, until

pytestmark = [
    pytest.mark.needs("slurmctld", "slurm-wlm"),
    pytest.mark.needs("munged", "munge"),
    pytest.mark.timeout(600),
]

BIG = HostWish("big", required=True)
LIMIT = 200.0
"""Seconds that Slurm may take for all jobs of a test on a loaded machine."""
JOBS = 300
KINDS = 10
"""Job number N of the first test ends by its kind, N modulo KINDS."""
PENDING_NS = 12 * SECOND
"""Of a job that finds no room: within it a loaded machine has to ask Slurm why."""
PERIODS = Periods(exec_ns=SECOND // 20, timeout_ns=0, pending_ns=0)

NOTE = 'echo "start $1" >> ran'
BY_KIND = f"""
{NOTE}
case $(($1 % {KINDS})) in
  1) code=3;;
  2) kill -s SEGV $$$$;;
  3) echo out; echo err >&2; code=0;;
  *) code=0;;
esac
echo "end $1" >> ran
exit $code
"""


@pytest.fixture(scope="module")
def slurm() -> Iterator[SlurmCluster]:
    with SlurmCluster() as cluster:
        yield cluster


@pytest.fixture
def server(tmp_path: Path, slurm: SlurmCluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningServer]:
    monkeypatch.setenv("SLURM_CONF", str(slurm.configuration))
    running = RunningServer(tmp_path)
    yield running
    running.clean()


def big(slots: int = 400, **settings: Any) -> ClusterDefinition:
    """Slurm as a host, and as another one in a partition that it does not have."""
    batch = BatchSettings(poll_ns=SECOND, **settings)
    nowhere = HostDefinition(
        "nowhere", 1, Link.SLURM, python=sys.executable, batch=BatchSettings(options=("--partition=nowhere",))
    )
    return ClusterDefinition(
        hosts=(HostDefinition("big", slots, Link.SLURM, python=sys.executable, batch=batch), nowhere)
    )


def task(name: str, script: str, items: int = 1, **more: Any) -> TaskDefinition:
    more = {"periods": PERIODS, "host": BIG, **more}
    source = LinesSource(("seq", "1", str(items)))
    return TaskDefinition(name, command=("sh", "-c", script, "sh", "$item"), source=source, **more)


def done(client: Client) -> int:
    return sum(row["done"] + row["failed"] for row in client.ask("tasks"))


def explained(client: Client, job: int) -> str:
    return str(client.ask("explain", kind="job", name=str(job)))


def lines(server: RunningServer) -> list[str]:
    path = server.folder / "ran"
    return path.read_text().splitlines() if path.exists() else []


def kill_program(server: RunningServer) -> None:
    """kill -9 of the programs that speak with Slurm."""
    for pid, words in server.processes().items():
        if "live.batch_program" in words:
            os.kill(pid, signal.SIGKILL)


def test_300_jobs_run_once_each_though_slurmctld_the_server_and_its_program_are_restarted(
    server: RunningServer, slurm: SlurmCluster
) -> None:
    configuration = server.configuration(task("many", BY_KIND, JOBS), cluster=big())
    client = server.start(configuration)
    until(lambda: len(lines(server)) > 60, "some have run", LIMIT)
    slurm.restart_controller()
    until(lambda: len(lines(server)) > 200, "more have run", LIMIT)
    server.crash()
    kill_program(server)
    client = server.start(configuration)
    until(lambda: done(client) == JOBS, f"all have ended: {client.ask('tasks')}", LIMIT)
    client.ask("shutdown", kill=True)
    server.ended()

    rows = server.history()
    assert Counter(row.attempt for row in rows) == {1: JOBS}
    starts = Counter(line.split()[1] for line in lines(server) if line.startswith("start"))
    assert starts == Counter(str(number) for number in range(1, JOBS + 1)), "no job twice, none left out"
    for row in rows:
        assert row.item is not None
        kind = int(row.item) % KINDS
        expected = {1: ("EXITED", 3), 2: ("CRASHED", None)}.get(kind, ("EXITED", 0))
        assert (row.outcome, row.exit_code) == expected, row
        assert row.signal == (11 if kind == 2 else None)
        assert (row.stdout_bytes, row.stderr_bytes) == ((4, 4) if kind == 3 else (0, 0)), row
        assert row.host == "big"
    assert slurm.ask("squeue", "--me", "--noheader") == "", "nothing of ours is left there"
    assert server.nothing_left()


def test_every_other_end_is_told_as_it_was(server: RunningServer, slurm: SlurmCluster) -> None:
    short = Periods(exec_ns=SECOND // 20, timeout_ns=2 * SECOND, pending_ns=0)
    impatient = Periods(exec_ns=SECOND // 20, timeout_ns=0, pending_ns=PENDING_NS)
    tasks = (
        task("late", "sleep 100", periods=short, grace_ns=SECOND),
        task("stubborn", "trap '' TERM; while :; do sleep 1; done", periods=short, grace_ns=SECOND),
        task("unheard", "sleep 100", periods=impatient, slots=13),
        task("refused", "true", host=HostWish("nowhere", required=True)),
        task("cancelled", f"{NOTE}; sleep 100"),
        task("killed", f"{NOTE}; sleep 100"),
        TaskDefinition(
            "wide", command=("sleep", "100"), host=BIG, periods=PERIODS, slots=4, source=FilesSource("wide/*")
        ),
        TaskDefinition(
            "absent", command=("/no/such/program",), host=BIG, periods=PERIODS, source=LinesSource(("echo", "1"))
        ),
        task("kept", 'echo "kept $LAULIMA_TASK $LAULIMA_HOST"', stdout="kept.txt"),
    )
    client = server.start(server.configuration(*tasks, cluster=big(slots=50)))
    until(lambda: len(lines(server)) == 2, "both have started", LIMIT)
    (server.folder / "wide").mkdir()
    for number in range(3):
        (server.folder / "wide" / str(number)).touch()
    jobs: dict[str, list[int]] = {}

    def waits() -> bool:
        jobs.clear()
        for row in client.ask("jobs"):
            jobs.setdefault(row["task"], []).append(row["job"])
        return any("Resources" in explained(client, job) for job in jobs.get("wide", ()))

    until(waits, "Slurm's reason is told", LIMIT)
    cancelled = jobs["cancelled"][0]
    until(lambda: " on n" in explained(client, cancelled), "it is told where it runs", LIMIT)
    where = explained(client, cancelled)
    slurm.ask("scancel", where.partition("running (big: ")[2].split()[0])
    client.ask("kill", selection={"jobs": [*jobs["killed"], *jobs["wide"]]})
    until(lambda: done(client) == len(tasks) + 2, f"all have ended: {client.ask('jobs')}", LIMIT)
    client.ask("shutdown", kill=True)
    server.ended()
    rows = {row.task: row for row in server.history()}
    assert "PartitionConfig" in rows["unheard"].reason
    assert "invalid partition" in rows["refused"].reason
    assert {name: (row.outcome, row.exit_code) for name, row in rows.items()} == {
        "late": ("TIMED_OUT", None),
        "stubborn": ("TIMED_OUT", None),
        "unheard": ("PENDING_TIMEOUT", None),
        "refused": ("OVERLOADED", None),
        "cancelled": ("KILLED", None),
        "killed": ("KILLED", None),
        "wide": ("KILLED", None),
        "absent": ("COMMAND_NOT_FOUND", None),
        "kept": ("EXITED", 0),
    }
    assert (server.folder / "kept.txt").read_text() == "kept kept big\n"
    assert server.nothing_left()


def test_a_job_whose_node_is_lost_is_lost_and_runs_again_where_the_policy_says_so(
    server: RunningServer, slurm: SlurmCluster
) -> None:
    script = 'echo "$SLURMD_NODENAME $LAULIMA_ATTEMPT" >> ran; [ "$LAULIMA_ATTEMPT" -gt 1 ] || sleep 1000'
    client = server.start(server.configuration(task("moves", script, lost_reruns=1), cluster=big()))
    until(lambda: len(lines(server)) == 1, "it runs", LIMIT)
    node = lines(server)[0].split()[0]
    slurm.lose(node)
    until(lambda: done(client) == 1, f"Slurm notices, and it runs elsewhere: {client.ask('hosts')}", LIMIT)
    client.ask("shutdown", kill=True)
    server.ended()
    first, second = server.history()
    assert (first.outcome, first.final) == ("LOST", False)
    assert "NODE_FAIL" in first.reason
    assert node in first.reason
    assert (second.outcome, second.exit_code, second.final) == ("EXITED", 0, True)
    assert [line.split()[1] for line in lines(server)] == ["1", "2"]
    assert lines(server)[1].split()[0] != node
