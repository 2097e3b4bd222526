"""Goal: however a server is told to end, it ends in time, with right records, and leaves what was promised: nothing, or
the running jobs with what holds them, named.

Method: real servers with jobs that run until the test lets them go; the processes that are left are found by the test's
own mark in their environment (`running_server.py`).
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from model.configuration import Configuration, OnExit
from model.job import SECOND, HostWish
from model.task import Limits, TaskDefinition
from tests.live.running_server import LOCALLY, QUICK, Client, RunningServer, cluster, until

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
GRACE_NS = 600 * SECOND


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    running = RunningServer(tmp_path)
    os.mkfifo(tmp_path / "gate")
    yield running
    running.clean()


def busy(server: RunningServer, on_exit: OnExit) -> Configuration:
    """One job here and one on a host, both wait at the gate; a third one waits for a slot of that host."""

    def task(name: str, host: HostWish, jobs: int) -> TaskDefinition:
        command = ("sh", "-c", "echo begun; read line < gate; echo done")
        return TaskDefinition(name, command=command, host=host, periods=QUICK, limits=Limits(total=jobs))

    tasks = (task("near", LOCALLY, 1), task("far", HostWish("node1", required=True), 2))
    return server.configuration(*tasks, cluster=cluster("node1", "node2", slots=1), on_exit=on_exit)


def begin(server: RunningServer, on_exit: OnExit) -> Client:
    client = server.start(busy(server, on_exit))
    until(lambda: counts(client) == {"near": (1, 0), "far": (1, 1)}, "two run, one waits")
    return client


def counts(client: Client) -> dict[str, tuple[int, int]]:
    return {row["name"]: (row["running"], row["pending"]) for row in client.ask("tasks")}


def open_gate(server: RunningServer, times: int) -> int:
    writer = os.open(server.folder / "gate", os.O_RDWR)
    os.write(writer, b"go\n" * times)
    return writer


@pytest.mark.parametrize("number", NUMBERS)
def test_with_on_exit_kill_a_signal_ends_everything_and_records_it(
    server: RunningServer, number: signal.Signals
) -> None:
    begin(server, OnExit.KILL)
    server.signal(number)
    assert server.ended() == 0
    assert server.nothing_left()
    rows = server.history()
    assert [(row.outcome, row.reason) for row in rows if row.started_at] == [("KILLED", "shutdown")] * 2
    assert all(row.outcome == "KILLED" for row in rows)


@pytest.mark.parametrize("number", NUMBERS)
def test_with_on_exit_keep_only_running_jobs_and_what_holds_them_are_left_and_named(
    server: RunningServer, number: signal.Signals
) -> None:
    begin(server, OnExit.KEEP)
    agent = server.agent("node1")
    server.signal(number)
    assert server.ended() == 0
    until(lambda: not any("--name=node2" in words for words in server.processes().values()), "the idle agent left")
    left = server.processes()
    assert len([words for words in left.values() if "read line" in words]) == 2
    assert agent in left
    said = server.said()
    assert f"agent of node1: pid {agent}" in said
    assert "(near) on local" in said
    assert "(far) on node1" in said
    assert f"laulima shutdown --kill --state {server.state}" in said
    assert server.history() == []


def test_the_next_server_harvests_what_was_kept(server: RunningServer) -> None:
    begin(server, OnExit.KEEP)
    server.signal(signal.SIGTERM)
    assert server.ended() == 0
    client = server.start(busy(server, OnExit.KILL), until_idle=True)
    until(lambda: counts(client) == {"near": (1, 0), "far": (1, 1)}, "what ran still runs, what waited still waits")
    writer = open_gate(server, 3)
    assert server.ended() == 0
    os.close(writer)
    rows = server.history()
    assert sorted((row.task, row.attempt, row.outcome, row.exit_code) for row in rows) == [
        ("far", 1, "EXITED", 0),
        ("far", 1, "EXITED", 0),
        ("near", 1, "EXITED", 0),
    ]
    assert {row.stdout_bytes for row in rows} == {len("begun\ndone\n")}
    assert server.nothing_left()


def test_an_end_between_two_servers_is_harvested_too(server: RunningServer) -> None:
    begin(server, OnExit.KEEP)
    server.signal(signal.SIGTERM)
    assert server.ended() == 0
    writer = open_gate(server, 3)
    until(lambda: not any("read line" in words for words in server.processes().values()), "the jobs ended")
    rows = server.run_to_idle(busy(server, OnExit.KILL))
    os.close(writer)
    assert [(row.attempt, row.outcome, row.exit_code) for row in rows] == [(1, "EXITED", 0)] * 3
    assert server.nothing_left()


def test_what_was_kept_is_ended_by_the_command_that_was_named(server: RunningServer) -> None:
    begin(server, OnExit.KEEP)
    server.signal(signal.SIGTERM)
    assert server.ended() == 0
    assert server.processes()
    assert server.end_leftovers() == 0
    assert server.nothing_left()
    rows = server.history()
    assert {(row.task, row.outcome) for row in rows} == {("near", "KILLED"), ("far", "KILLED")}
    assert all(row.final == (row.started_at is not None) for row in rows), "what only waited is not ended for good"


def test_a_second_signal_leaves_at_once_and_no_record_is_wrong(server: RunningServer) -> None:
    """The job ignores TERM, so an orderly end with `kill` would take its grace, which is long; the second signal does
    not wait. Its end was asked for or not, when the server left: the next one finds it killed, or still running."""
    command = ("sh", "-c", "trap '' TERM; echo begun; read line < gate; read line < gate")
    limits = Limits(total=1)
    task = TaskDefinition("stubborn", command=command, host=LOCALLY, periods=QUICK, limits=limits, grace_ns=GRACE_NS)
    configuration = server.configuration(task)
    client = server.start(configuration)
    until(lambda: counts(client) == {"stubborn": (1, 0)}, "it runs")
    server.signal(signal.SIGTERM)
    until(lambda: "once more ends at once" in server.said(), "the first signal is heard")
    server.signal(signal.SIGTERM)
    assert server.ended(limit=30.0) == 128 + signal.SIGTERM
    assert server.history() == []
    writer = open_gate(server, 2)
    (row,) = server.run_to_idle(configuration)
    os.close(writer)
    assert (row.attempt, row.outcome) in {(1, "KILLED"), (1, "EXITED")}, row
    assert server.nothing_left()


@pytest.mark.parametrize(("kill", "left"), [(True, 0), (False, 2)])
def test_the_shutdown_verb_answers_when_everything_is_down(server: RunningServer, kill: bool, left: int) -> None:
    client = begin(server, OnExit.KEEP)
    text = client.ask("shutdown", kill=kill)["text"]
    jobs = [words for words in server.processes().values() if "read line" in words]
    assert len(jobs) == left
    assert ("everything has ended" in text) == kill
    assert server.ended() == 0
    if kill:
        assert server.nothing_left()


def test_a_server_that_was_shut_down_works_again_when_it_is_started_again(server: RunningServer) -> None:
    client = server.start(server.configuration())
    client.ask("shutdown")
    assert server.ended() == 0
    client = server.start(server.configuration())
    assert client.ask("status")["intake"] == "running"
    assert client.ask("submit", command=["true"], wait=True)["report"]["exit_code"] == 0


def test_a_stop_is_kept_over_a_restart_and_resume_undoes_it(server: RunningServer) -> None:
    client = server.start(server.configuration())
    client.ask("stop", reason="maintenance")
    server.crash()
    client = server.start(server.configuration())
    assert "maintenance" in client.ask("status")["intake"]
    assert not client.answer("submit", command=["true"])["ok"]
    client.ask("resume")
    assert client.ask("submit", command=["true"], wait=True)["report"]["exit_code"] == 0
