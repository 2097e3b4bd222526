"""Goal: each verb of the control socket does what it says to real jobs, and its rows say why nothing happens.

Method: one server whose jobs wait at a gate (a named pipe) until the test lets them go; asked over its socket.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import msgspec
import pytest

from live.state_directory import connect
from model.configuration import OnExit
from model.job import SECOND, HostWish
from model.task import Limits, Retry, TaskDefinition
from model.views import ExplanationView, HistoryRow, HostRow, JobRow, PlanRow, Status, TaskRow
from tests.live.running_server import DEADLINE, LOCALLY, QUICK, Client, RunningServer, cluster, until


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    running = RunningServer(tmp_path)
    os.mkfifo(tmp_path / "gate")
    yield running
    running.clean()


def gated(name: str, jobs: int, **more: Any) -> TaskDefinition:
    """Jobs of this machine that wait at the gate."""
    command = ("sh", "-c", "echo begun; read line < gate")
    more.setdefault("host", LOCALLY)
    return TaskDefinition(name, command=command, periods=QUICK, limits=Limits(total=jobs), **more)


def states(client: Client, **selection: Any) -> dict[int, str]:
    return {row["job"]: row["state"] for row in client.ask("jobs", selection=selection)}


def start(server: RunningServer, *tasks: TaskDefinition) -> Client:
    return server.start(server.configuration(*tasks, cluster=cluster("node1", slots=1, local_slots=1)))


def test_every_read_has_the_shape_of_its_row(server: RunningServer) -> None:
    client = start(server, gated("one", 2))
    until(lambda: states(client) == {1: "running", 2: "pending"}, "one runs, one waits")
    client.ask("submit", command=["true"], host="node1", wait=True)
    shapes: list[tuple[str, dict[str, Any], Any]] = [
        ("status", {}, Status),
        ("tasks", {}, list[TaskRow]),
        ("hosts", {}, list[HostRow]),
        ("jobs", {"selection": {}}, list[JobRow]),
        ("history", {"limit": 10}, list[HistoryRow]),
        ("plan", {"for_ns": 3600 * SECOND}, list[PlanRow]),
        ("explain", {"name": "2"}, ExplanationView),
        ("explain", {"name": "one"}, ExplanationView),
        ("explain", {"name": "node1"}, ExplanationView),
        ("explain", {"name": "local", "about": "host"}, ExplanationView),
        ("explain", {"name": "3"}, ExplanationView),
    ]
    for verb, arguments, shape in shapes:
        found = msgspec.convert(client.ask(verb, **arguments), shape)
        assert found
    waiting = client.ask("jobs", selection={"jobs": [2]})[0]
    assert "1 of 1 slots" in waiting["why"]
    assert client.ask("tasks")[0]["why"]
    story = client.ask("explain", name="3")["story"]
    assert "final" in story[-1]


def test_what_is_not_there_is_said_with_a_way_out(server: RunningServer) -> None:
    client = start(server)
    for verb, arguments in (
        ("explain", {"name": "nothing"}),
        ("explain", {"name": "77"}),
        ("kill", {"selection": {"jobs": [77]}}),
        ("kill", {}),
        ("retry", {"selection": {"jobs": [77]}}),
        ("hold", {"task": "nothing"}),
        ("logs", {"job": 77}),
        ("host", {"verb": "off", "name": "nowhere"}),
        ("host", {"verb": "explode", "name": "node1"}),
        ("submit", {"command": []}),
        ("submit", {"command": ["true"], "like": "nothing"}),
        ("submit", {"command": "true"}),
    ):
        answer = client.answer(verb, **arguments)
        assert not answer["ok"], (verb, arguments)
        assert answer["error"]
        assert answer["exit_code"] == 1


def test_a_list_of_jobs_may_be_short_and_a_count_says_how_many_there_are(server: RunningServer) -> None:
    client = start(server, gated("one", 5), gated("two", 2))
    until(lambda: len(states(client)) == 7, "all are there")
    every = [row["job"] for row in client.ask("jobs")]
    assert [row["job"] for row in client.ask("jobs", limit=3)] == every[:3]
    assert client.ask("count_jobs") == {"jobs": 7}
    assert client.ask("count_jobs", selection={"task": "two"}) == {"jobs": 2}
    assert [row["job"] for row in client.ask("jobs", selection={"last": True})] == [7]
    for job in every[:3]:
        client.ask("kill", selection={"jobs": [job]})
    until(lambda: len(server.history()) == 3, "three ended")
    ended = [row.job for row in server.history()]
    assert [row["job"] for row in client.ask("jobs", selection={"state": "failed"}, limit=2)] == sorted(ended[-2:])
    assert client.ask("jobs", selection={"state": "done"}, limit=2) == []


def test_while_a_long_list_of_jobs_is_made_others_are_answered(server: RunningServer) -> None:
    one_job = "import live.requests\nlive.requests.PIECE_NS = 0\n"
    configuration = server.configuration(gated("one", 12), cluster=cluster("node1", slots=1, local_slots=1))
    client = server.start(configuration, before=one_job)
    until(lambda: len(states(client)) == 12, "all are there")
    with contextlib.closing(connect(server.state, DEADLINE)) as connected, connected.makefile("rb") as lines:
        connected.sendall(b'{"id": 1, "verb": "jobs"}\n{"id": 2, "verb": "tasks"}\n')  # both are there at once
        answers = [json.loads(lines.readline()) for _ in range(2)]
    assert [answer["id"] for answer in answers] == [2, 1]
    assert len(answers[1]["data"]) == 12


def test_kill_ends_a_running_job_and_a_waiting_one(server: RunningServer) -> None:
    client = start(server, gated("one", 2))
    until(lambda: states(client) == {1: "running", 2: "pending"}, "one runs, one waits")
    assert "KILLED" in client.ask("kill", selection={"jobs": [2]})["text"]
    client.ask("kill", selection={"task": "one"}, reason="enough")
    assert states(client) == {}
    rows = server.history()
    assert [(row.job, row.outcome, row.final) for row in rows] == [(2, "KILLED", True), (1, "KILLED", True)]
    assert states(client, jobs=[1]) == {1: "final"}


def test_hold_keeps_a_job_from_starting_until_it_is_released(server: RunningServer) -> None:
    client = start(server, gated("one", 2))
    until(lambda: states(client) == {1: "running", 2: "pending"}, "one runs, one waits")
    client.ask("hold", selection={"jobs": [2]}, reason="mail loop")
    row = client.ask("jobs", selection={"jobs": [2]})[0]
    assert (row["state"], "mail loop" in row["why"]) == ("held", True)
    client.ask("kill", selection={"jobs": [1]})
    assert states(client) == {2: "held"}
    client.ask("release", selection={"jobs": [2]})
    until(lambda: states(client) == {2: "running"}, "it runs")


def test_a_hold_for_a_time_ends_by_itself(server: RunningServer) -> None:
    client = start(server, gated("one", 2))
    until(lambda: states(client) == {1: "running", 2: "pending"}, "one runs, one waits")
    client.ask("hold", selection={"jobs": [2]}, reason="a moment", for_ns=SECOND // 5)
    client.ask("kill", selection={"jobs": [1]})
    until(lambda: states(client) == {2: "running"}, "it runs")


def test_a_held_task_makes_no_job_and_says_so_and_a_deleted_one_is_gone(server: RunningServer) -> None:
    task = TaskDefinition("beat", command=("true",), periods=QUICK, host=LOCALLY)
    client = start(server, task)
    until(lambda: client.ask("tasks")[0]["done"] > 0, "it beats")
    client.ask("hold", task="beat", reason="maintenance")
    row = client.ask("tasks")[0]
    assert (row["state"], "maintenance" in row["why"]) == ("held", True)
    client.ask("release", task="beat")
    until(lambda: client.ask("tasks")[0]["done"] > row["done"] + 1, "it beats again")
    client.ask("delete_task", task="beat")
    until(lambda: client.ask("tasks") == [], "it is gone")


def test_flush_drops_what_does_not_run_yet(server: RunningServer) -> None:
    client = start(server, gated("one", 3))
    until(lambda: list(states(client).values()) == ["running", "pending", "pending"], "one runs, two wait")
    assert "2 jobs" in client.ask("flush", task="one")["text"]
    until(lambda: states(client) == {1: "running"}, "the others are gone")


def test_retry_hurries_a_job_that_waits_and_makes_a_final_one_anew(server: RunningServer) -> None:
    retry = Retry(on=("exit 1",), times=1, backoff_ns=3600 * SECOND)
    command = ("sh", "-c", "echo $LAULIMA_JOB $LAULIMA_ATTEMPT >> ran; exit 1")
    task = TaskDefinition(
        "fails",
        command=command,
        periods=QUICK,
        limits=Limits(total=1),
        retry=retry,
        host=HostWish("node1", required=True),
    )
    client = start(server, task)
    until(lambda: states(client) == {1: "retrying"}, "it waits for its retry")
    client.ask("retry", selection={"last": True})
    until(lambda: states(client) == {}, "it is final")
    assert states(client, state="failed") == {1: "final"}
    assert len(client.ask("jobs", selection={"state": "failed"})) == 1
    client.ask("retry", selection={"jobs": [1]})
    until(lambda: states(client) == {2: "retrying"}, "it was made anew, with its task's rules")
    assert (server.folder / "ran").read_text() == "1 1\n1 2\n2 1\n"


def test_logs_name_the_file_while_the_job_runs_and_after_its_end(server: RunningServer) -> None:
    client = start(server, gated("one", 1))
    found = until(lambda: (log := client.ask("logs", job=1))["bytes"] and log, "it has written")
    assert found["running"]
    assert Path(found["path"]).read_text() == "begun\n"
    client.ask("kill", selection={"jobs": [1]})
    after = client.ask("logs", job=1, stream="stdout")
    assert (after["path"], after["bytes"], after["running"]) == (found["path"], 6, False)
    assert client.ask("logs", job=1, stream="stderr")["bytes"] == 0


SLOW_DISK = """
import os, time
from live.journal import Journal
def append(self, records, original=Journal.append):
    records = list(records)
    while os.path.exists({held!r}) and any(type(record).__name__ == "AttemptEnded" for _, record in records):
        time.sleep(0.01)
    original(self, records)
Journal.append = append
"""
"""A commit with an end takes as long as the file is there."""


@pytest.mark.parametrize("question", [("logs", {"job": 1}), ("explain", {"kind": "job", "name": "1"})])
def test_a_job_whose_end_is_just_being_written_is_there(
    server: RunningServer, question: tuple[str, dict[str, Any]]
) -> None:
    held = server.folder / "held"
    client = server.start(server.configuration(), before=SLOW_DISK.format(held=str(held)))
    held.touch()
    client.ask("submit", command=["true"], host="local", required=True)
    until(lambda: not client.ask("jobs"), "it is with the machines no more")
    assert not client.ask("history"), "it is not in the history yet"
    verb, arguments = question
    with ThreadPoolExecutor() as asking:
        answer = asking.submit(client.ask, verb, **arguments)
        wait([answer], timeout=1)  # the answer is long there if nothing is waited for
        held.unlink()
        assert answer.result()


def test_while_the_disk_stands_still_a_job_that_has_ended_is_told_of(server: RunningServer) -> None:
    held = server.folder / "held"
    soon = "from live import loop\nloop.STANDSTILL_SECONDS = 0.2\n"
    client = server.start(server.configuration(), before=soon + SLOW_DISK.format(held=str(held)))
    held.touch()
    client.ask("submit", command=["echo", "done"], host="local", required=True)
    until(lambda: client.ask("status")["alarms"], "the standstill is noticed")
    found = client.ask("explain", name="1")
    assert (found["about"], found["state"]) == ("job 1", "final")
    assert found["reasons"] == ["ended on local: exit 0", "that is not on the disk yet: laulima status says why"]
    told = client.ask("logs", job=1)
    assert Path(told["path"]).read_text() == "done\n" and not told["running"]
    assert "not on the disk yet" in client.answer("check", about="job", name="1")["error"]
    assert "there is no job 2" in client.answer("explain", name="2")["error"]
    assert "job 1 has no attempt 7" in client.answer("logs", job=1, attempt=7)["error"]
    held.unlink()
    until(lambda: client.ask("history"), "it is written")
    assert client.ask("explain", name="1")["reasons"] == ["ended on local: exit 0"]


@pytest.mark.parametrize("known", [True, False])
def test_what_stays_is_said_to_have_a_parting_lease_only_where_the_disk_took_it(
    server: RunningServer, known: bool
) -> None:
    """Known: the disk stands still. Else it is slow, and is waited for."""
    held = server.folder / "held"
    times = f"live.loop.STANDSTILL_SECONDS = {0.2 if known else 60}; live.server.SETTLE_SECONDS = 0.0\n"
    before = "import live.loop, live.server\n" + times + SLOW_DISK.format(held=str(held))
    before = before.replace('"AttemptEnded"', '"IntakeChanged"')
    configuration = server.configuration(on_exit=OnExit.KEEP)
    client = server.start(configuration, before=before)
    client.ask("submit", command=["sh", "-c", "read line < gate"], host="local", required=True)
    until(lambda: [row["state"] for row in client.ask("jobs")] == ["running"], "it runs")
    held.touch()
    with ThreadPoolExecutor() as asking:
        other = Client(server.state)
        if known:
            asking.submit(other.answer, "stop")
            until(lambda: client.ask("status")["alarms"], "the standstill is noticed")
        answer = asking.submit(client.ask, "shutdown")
        if not known:
            looking = Client(server.state)
            until(lambda: "shutting down" in looking.ask("status")["intake"], "it ends")
            looking.close()
            held.unlink()
        text = answer.result()["text"]
        held.unlink(missing_ok=True)
    other.close()
    server.ended()
    assert ("no parting lease was given" in server.said()) == known
    assert ("without a parting lease" in text, "for at most 24 h" in text) == (known, not known)


def test_a_submitted_job_is_like_a_task_and_runs_where_it_is_told_to(server: RunningServer) -> None:
    retry = Retry(on=("exit 1",), times=1, backoff_ns=SECOND // 50)
    task = TaskDefinition("model", command=("false",), periods=QUICK, active=False, retry=retry, host=LOCALLY)
    client = start(server, task)
    done = client.ask("submit", command=["sh", "-c", "echo $COLOUR; exit 1"], like="model", wait=True,
                      environment={"COLOUR": "blue"})  # fmt: skip
    assert (done["attempt"], done["report"]["exit_code"], done["report"]["host"]) == (2, 1, "local")
    assert Path(done["stdout"]).read_text() == "blue\n"
    done = client.ask("submit", command=["pwd"], host="node1", required=True, directory="/", wait=True)
    assert (Path(done["stdout"]).read_text(), done["report"]["host"]) == ("/\n", "node1")
    timed = client.ask("submit", command=["sleep", "60"], timeout_ns=SECOND // 5, wait=True)
    assert timed["report"]["outcome"] == "TIMED_OUT"
