"""Goal: a server runs a pipeline on real hosts to its end, nothing is lost or done twice, whoever dies meanwhile.

Method: real servers, agents, keepers and jobs (`running_server.py`); jobs note each of their runs in a file with one
O_APPEND write, which is compared with the history.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from live.state_directory import owner_pid
from model.job import SECOND, Block, HostWish
from model.task import DoneSource, FilesSource, Limits, LinesSource, Retry, TaskDefinition
from tests.live.running_server import LOCALLY, QUICK, RunningServer, cluster, until

NOTE = 'echo "$LAULIMA_JOB $LAULIMA_ATTEMPT $1" >> ran'
"""Shell: note this run, with its item."""


ANYWHERE = HostWish()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    running = RunningServer(tmp_path)
    yield running
    running.clean()


def noting(name: str, items: int, host: HostWish = ANYWHERE, more: str = "", **rest: object) -> TaskDefinition:
    """A task with one job for each of `items` lines, which notes its run and then does `more`."""
    command = ("sh", "-c", f"{NOTE}; {more}", "sh", "$item")
    source = LinesSource(("seq", "1", str(items)))
    return TaskDefinition(name, command=command, host=host, periods=QUICK, source=source, **rest)  # type: ignore[arg-type]


def runs(server: RunningServer) -> Counter[str]:
    """How often each item ran."""
    lines = (server.folder / "ran").read_text().splitlines()
    return Counter(line.split(maxsplit=2)[2] for line in lines)


def test_a_pipeline_runs_to_its_end_and_leaves_nothing_but_its_history(server: RunningServer) -> None:
    tasks = (
        noting("spread", 30),
        TaskDefinition("after", command=("true",), periods=QUICK, host=LOCALLY, source=DoneSource("spread")),
        TaskDefinition(
            "fails",
            command=("sh", "-c", 'echo out; echo err >&2; [ "$LAULIMA_ATTEMPT" -gt 2 ]'),
            host=HostWish("node2", required=True),
            periods=QUICK,
            limits=Limits(total=1),
            retry=Retry(on=("exit 1",), times=5, backoff_ns=SECOND // 20),
        ),
    )
    rows = server.run_to_idle(server.configuration(*tasks, cluster=cluster("node1", "node2")))
    assert Counter(row.task for row in rows if row.final) == {"spread": 30, "after": 30, "fails": 1}
    assert {row.outcome for row in rows} == {"EXITED"}
    assert runs(server) == Counter(str(item) for item in range(1, 31))
    assert {row.host for row in rows if row.task == "spread"} <= {"node1", "node2"}
    assert {row.host for row in rows if row.task == "after"} == {"local"}
    fails = [row for row in rows if row.task == "fails"]
    assert [(row.attempt, row.exit_code, row.final) for row in fails] == [(1, 1, False), (2, 1, False), (3, 0, True)]
    assert {(row.host, row.stdout_bytes, row.stderr_bytes) for row in fails} == {("node2", 4, 4)}
    assert server.nothing_left()
    assert not (server.state / "control.sock").exists()


def test_a_server_whose_log_is_full_goes_on(server: RunningServer) -> None:
    """On the disk of the journal it is full when that is."""
    full = "import os\nos.dup2(os.open('/dev/full', os.O_WRONLY), 2)\n"
    configuration = server.configuration(noting("one", 3), cluster=cluster("node1"))
    server.begin(configuration, until_idle=True, before=full)
    assert server.ended() == 0
    assert [row.outcome for row in server.history()] == ["EXITED"] * 3


def test_a_second_server_on_the_same_state_is_refused_with_the_pid_of_the_first(server: RunningServer) -> None:
    client = server.start(server.configuration())
    first = server.process
    assert first is not None
    assert owner_pid(server.state) == first.pid == client.ask("status")["pid"]
    server.process = None
    server.begin(server.configuration())
    second, server.process = server.process, first
    assert second is not None
    assert second.wait() == 1
    assert f"pid {first.pid}" in server.said()
    assert client.ask("status")["pid"] == first.pid


def test_a_restart_neither_skips_nor_repeats_a_file(server: RunningServer) -> None:
    folder = server.folder / "incoming"
    folder.mkdir()
    command = ("sh", "-c", NOTE, "sh", "$item")
    task = TaskDefinition("take", command=command, periods=QUICK, host=LOCALLY, source=FilesSource("incoming/*"))
    expected: set[str] = set()
    for life in range(3):
        for number in range(5):
            (folder / f"{life}.{number}").touch()
            expected.add(f"incoming/{life}.{number}")
        server.run_to_idle(server.configuration(task))
        assert runs(server) == Counter(expected)


def test_after_kill_9_of_the_server_its_jobs_go_on_and_are_harvested_once(server: RunningServer) -> None:
    gate = server.folder / "gate"
    os.mkfifo(gate)
    tasks = (
        noting("far", 4, more="read line < gate"),
        noting("near", 2, LOCALLY, more="read line < gate"),
    )
    configuration = server.configuration(*tasks, cluster=cluster("node1", "node2"))
    client = server.start(configuration)
    until(lambda: sum(row["running"] for row in client.ask("tasks")) == 6, "all run")
    server.crash()
    assert len([words for words in server.processes().values() if "gate" in words]) == 6
    client = server.start(configuration, until_idle=True)
    until(lambda: sum(row["running"] for row in client.ask("tasks")) == 6, "all are adopted")
    writer = os.open(gate, os.O_RDWR)
    os.write(writer, b"go\n" * 6)
    assert server.ended() == 0
    os.close(writer)
    rows = server.history()
    assert [(row.attempt, row.outcome, row.exit_code) for row in rows] == [(1, "EXITED", 0)] * 6
    assert runs(server) == Counter({"1": 2, "2": 2, "3": 1, "4": 1})
    assert server.nothing_left()


@pytest.mark.parametrize("kills", [3])
def test_a_server_that_is_killed_again_and_again_does_everything_once(server: RunningServer, kills: int) -> None:
    tasks = (noting("far", 60), noting("near", 60, LOCALLY))
    configuration = server.configuration(*tasks, cluster=cluster("node1", slots=4))
    ran = server.folder / "ran"
    ran.touch()
    for number in range(1, kills + 1):
        server.begin(configuration, until_idle=True)
        until(lambda goal=number * 25: len(ran.read_text().splitlines()) >= goal, "jobs run")  # type: ignore[misc]
        server.crash()
    rows = server.run_to_idle(configuration)
    assert Counter(row.task for row in rows if row.final) == {"far": 60, "near": 60}
    given_back = [row for row in rows if row.outcome == "OVERLOADED" and row.started_at is None]
    assert not any(row.final for row in given_back), "a server that died between the record and the handing down"
    assert {row.outcome for row in rows if row not in given_back} == {"EXITED"}
    assert set(runs(server).values()) == {2}  # each item once in each of the two tasks
    assert server.nothing_left()


def test_kill_9_of_an_agent_in_the_middle_loses_no_item(server: RunningServer) -> None:
    """Its keepers go on, the next agent adopts them; what could not be adopted is LOST and run again by policy."""
    task = noting("work", 40, more="sleep 0.05", lost_reruns=3)
    server.begin(server.configuration(task, cluster=cluster("node1", "node2")), until_idle=True)
    ran = server.folder / "ran"
    until(lambda: ran.exists() and len(ran.read_text().splitlines()) >= 8, "jobs run")
    os.kill(server.agent("node1"), signal.SIGKILL)
    assert server.ended() == 0, server.said()
    rows = server.history()
    finals = [row for row in rows if row.final]
    assert Counter((row.outcome, row.exit_code) for row in finals) == {("EXITED", 0): 40}
    assert {row.outcome for row in rows if not row.final} <= {"LOST"}
    assert set(runs(server)) == {str(item) for item in range(1, 41)}
    assert server.nothing_left()


def test_a_job_waits_for_a_file_that_comes_late(server: RunningServer) -> None:
    block = Block(before=("late",), limit_ns=60 * SECOND)
    task = TaskDefinition(
        "wait",
        command=("cat", "late"),
        periods=QUICK,
        limits=Limits(total=1),
        block=block,
        host=HostWish("node1", True),
    )
    client = server.start(server.configuration(task, cluster=cluster("node1")), until_idle=True)
    row = until(lambda: [row for row in client.ask("jobs") if row["state"] == "pending"], "it waits")[0]
    why = client.ask("explain", about="job", name=str(row["job"]))
    assert (row["why"], why["reasons"]) != ("", [])
    (server.folder / "late").write_text("here\n")
    assert server.ended() == 0
    (done,) = server.history()
    assert (done.outcome, done.exit_code, done.stdout_bytes) == ("EXITED", 0, 5)


def test_a_host_is_added_used_drained_and_taken_away_while_the_server_runs(server: RunningServer) -> None:
    client = server.start(server.configuration(cluster=cluster("node1", slots=1)))
    assert "node2" in client.ask("host", verb="add", name="node2", slots=3)["text"]
    done = client.ask("submit", command=["sh", "-c", "echo hello"], host="node2", required=True, wait=True)
    assert done["report"]["host"] == "node2"
    assert Path(done["stdout"]).read_text() == "hello\n"
    client.ask("host", verb="drain", name="node2", reason="new disk")
    state = {row["name"]: (row["state"], row["slots"], row["why"]) for row in client.ask("hosts")}
    assert state["node2"][:2] == ("draining", 3)
    assert "new disk" in state["node2"][2]
    client.ask("host", verb="off", name="node2")
    until(lambda: {row["name"]: row["state"] for row in client.ask("hosts")}["node2"] == "off", "it is off")
    client.ask("host", verb="delete", name="node2")
    assert {row["name"] for row in client.ask("hosts")} == {"local", "node1"}
    for name in ("../x", "local", "a b", ""):
        assert not client.answer("host", verb="add", name=name)["ok"]


def test_hosts_that_were_added_are_there_after_a_restart(server: RunningServer) -> None:
    client = server.start(server.configuration())
    client.ask("host", verb="add", name="node7", slots=3)
    server.crash()
    client = server.start(server.configuration())
    until(lambda: {row["name"]: row["state"] for row in client.ask("hosts")}["node7"] == "up", "it is up again")
    assert {row["name"]: row["slots"] for row in client.ask("hosts")}["node7"] == 3


def test_a_server_without_hosts_and_tasks_runs_what_is_submitted(server: RunningServer) -> None:
    client = server.start(server.configuration(cluster=cluster(local_slots=1)))
    done = client.ask("submit", command=["sh", "-c", "echo out; echo err >&2; exit 7"], wait=True)
    assert (done["report"]["outcome"], done["report"]["exit_code"]) == ("EXITED", 7)
    assert Path(done["stdout"]).read_text() == "out\n"
    assert Path(done["stderr"]).read_text() == "err\n"
    missing = client.ask("submit", command=["/no/such/command"], wait=True)
    assert missing["report"]["outcome"] == "COMMAND_NOT_FOUND"
    unknown = client.ask("submit", command=["true"], host="nowhere", required=True, wait=True)
    assert unknown["report"]["outcome"] == "HOST_UNKNOWN"


def test_a_run_for_a_time_ends_then(server: RunningServer) -> None:
    server.begin(server.configuration(), for_ns=SECOND // 2)
    assert server.ended() == 0
    assert server.nothing_left()


def test_a_start_that_is_refused_for_a_damaged_journal_changes_nothing_in_it(server: RunningServer) -> None:
    """Not the epoch, either: the copy that is restored later and this file must not differ in what they say."""
    task = TaskDefinition("work", command=("true",), periods=QUICK, host=LOCALLY, limits=Limits(total=1))
    configuration = server.configuration(task)
    server.run_to_idle(configuration)
    journal = server.state / "journal.sqlite"
    with contextlib.closing(sqlite3.connect(journal, isolation_level=None)) as connection:
        connection.execute("UPDATE record SET body = x'c1' WHERE sequence = 2")
        before = list(connection.iterdump())
    server.begin(configuration, until_idle=True)
    assert server.ended() == 1
    assert "record 2 cannot be read" in server.said()
    with contextlib.closing(sqlite3.connect(journal)) as connection:
        assert list(connection.iterdump()) == before
