"""Goal: what goes wrong around a server (no descriptors left, a wall clock that jumps, a damaged or failing disk,
agents of another version, a reboot) is said in a sentence, costs no job, and ends when its cause does.

Method: real servers and agents. Descriptors are taken away from running processes by prlimit; clocks and disk errors
are put into a server's process before it starts; what a reboot leaves is made from what a kill leaves.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import sqlite3
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from live.clock import boot_id
from live.spool import DESCRIPTORS_LEFT
from model.job import SECOND, HostWish, Outcome
from model.messages import PROTOCOL
from model.task import LinesSource, Periods, Retry, TaskDefinition
from tests.live.keeper_rig import rig, sh
from tests.live.running_server import LOCALLY, QUICK, Client, RunningServer, cluster, until
from tests.live.torture.killing import agents, keepers
from tests.live.torture.small_cluster import PATIENCE, small_cluster
from tests.live.torture.witness import check_books, prepare


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    running = RunningServer(tmp_path)
    prepare(tmp_path)
    yield running
    running.clean()


@contextlib.contextmanager
def no_descriptors(*pids: int) -> Iterator[None]:
    """These processes can open nothing more for as long as the block lasts."""
    before = {pid: resource.prlimit(pid, resource.RLIMIT_NOFILE) for pid in pids}
    for pid, (_, hard) in before.items():
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, hard))
    try:
        yield
    finally:
        for pid, limits in before.items():
            resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)


def test_a_server_without_descriptors_goes_on_and_answers_again(tmp_path: Path) -> None:
    with small_cluster(tmp_path) as here:
        mark = here.begin_on("node1")
        assert here.server.process is not None
        with no_descriptors(here.server.process.pid):
            jobs = [here.submit(number) for number in range(8)]
            here.are_final(jobs)
            here.run_on(mark)
        newcomer = Client(here.server.state)
        assert newcomer.ask("status")["pid"] == here.server.process.pid
        newcomer.close()
        rows = here.finish(9)
        assert {(row.attempt, row.outcome) for row in rows} == {(1, "EXITED")}


def test_an_agent_without_descriptors_is_reached_again_once_it_has_some(tmp_path: Path) -> None:
    with small_cluster(tmp_path) as here:
        mark = here.begin_on("node1")
        with no_descriptors(here.server.agent("node1")):
            here.server.crash()
            here.client = here.server.start(here.configuration())
            until(lambda: here.host("node2")["state"] == "up", "the other host is up", PATIENCE)
            here.run_on(mark)
            assert here.host("node1")["state"] != "up"
        until(lambda: here.host("node1")["state"] == "up", "the host is up", PATIENCE)
        (row,) = here.finish(1)
        assert (row.attempt, row.outcome) == (1, "EXITED")


def test_what_a_keeper_without_descriptors_cannot_start_comes_back_for_want_of_room(tmp_path: Path) -> None:
    with small_cluster(tmp_path) as here:
        mark = here.begin_on("node1")
        with no_descriptors(*keepers(here.server)):
            (row,) = here.are_final([here.submit(3)])
            assert (row.outcome, row.started_at) == ("OVERLOADED", None)
            here.run_on(mark)
        (row,) = here.are_final([here.submit(4)])
        assert (row.outcome, row.exit_code) == ("EXITED", 4)
        rows = here.finish(3)
        assert [(row.attempt, row.outcome) for row in rows if row.job == mark.job] == [(1, "EXITED")]


def test_a_keeper_that_uses_up_its_descriptors_refuses_the_rest_and_can_still_end_what_runs(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "gate")

    async def scene() -> None:
        async with rig(tmp_path) as agent:
            _, hard = resource.prlimit(agent.keeper_pid(), resource.RLIMIT_NOFILE)
            resource.prlimit(agent.keeper_pid(), resource.RLIMIT_NOFILE, (DESCRIPTORS_LEFT + 40, hard))
            jobs = range(1, 41)
            for job in jobs:
                agent.start(job, sh("read never < gate", grace_ns=SECOND // 10))
            await agent.until(lambda: len(agent.running) + len(agent.reports) == len(jobs))
            assert agent.running
            assert {(report.outcome, report.again) for report in agent.reports.values()} == {(Outcome.OVERLOADED, True)}
            first = min(agent.running)
            agent.stop(first)
            assert (await agent.report(first)).outcome is Outcome.KILLED
            assert agent.downs == []

    asyncio.run(scene())


JUMPING = """
import itertools, time
import live.clock
years = itertools.cycle((0, 10, -10, 3, -30, 70))
live.clock.wall_ns = lambda: time.time_ns() + next(years) * 365 * 86400 * 10**9
import live.server
live.server.WALL_LOOK_SECONDS = 0.02
"""


def test_a_wall_clock_that_jumps_by_decades_changes_no_timeout_and_no_period(server: RunningServer) -> None:
    periods = Periods(exec_ns=SECOND // 50, timeout_ns=60 * SECOND, pending_ns=60 * SECOND)
    short = Periods(exec_ns=SECOND // 50, timeout_ns=SECOND // 2, pending_ns=60 * SECOND)
    retry = Retry(on=("exit 1",), times=2, backoff_ns=SECOND // 20)

    def task(name: str, number: int, seconds: str, when: Periods, **more: object) -> TaskDefinition:
        command = ("./job.sh", str(number), seconds)
        source = LinesSource(("seq", "5"))
        return TaskDefinition(name, command=command, periods=when, source=source, **more)  # type: ignore[arg-type]

    tasks = (
        task("far", 0, "0.1", periods),
        task("near", 1, "0", periods, host=LOCALLY, retry=retry),
        task("long", 0, "100", short, host=LOCALLY),
    )
    server.begin(server.configuration(*tasks, cluster=cluster("node1")), until_idle=True, before=JUMPING)
    assert server.ended(PATIENCE) == 0, server.said()
    ends = [(row.task, row.attempt, row.outcome, row.exit_code) for row in server.history()]
    assert sorted(ends, key=str) == sorted(
        [("far", 1, "EXITED", 0)] * 5
        + [("near", attempt, "EXITED", 1) for attempt in (1, 2, 3)] * 5
        + [("long", 1, "TIMED_OUT", None)] * 5,
        key=str,
    )
    assert all(0 <= row.waited_ns < 60 * SECOND and 0 <= row.ran_for_ns < 60 * SECOND for row in server.history())


FAILING = """
import live.journal
from live.journal import Journal, JournalBrokenError
def append(self, records, original=Journal.append, passed=[]):
    passed.append(1)
    if len(passed) > 6:  # a slow machine has few commits for many jobs
        raise JournalBrokenError(f"{self.path}: disk I/O error", "check the disk")
    original(self, records)
Journal.append = append
"""


def test_a_disk_that_fails_ends_the_server_with_a_sentence_and_the_next_one_finds_all(server: RunningServer) -> None:
    source = LinesSource(("seq", "12"))
    task = TaskDefinition("work", command=("./job.sh", "0", "0.1"), periods=QUICK, source=source)
    configuration = server.configuration(task, cluster=cluster("node1"))
    server.begin(configuration, until_idle=True, before=FAILING)
    assert server.ended() == 1
    assert "disk I/O error" in server.said()
    assert "check the disk" in server.said()
    rows = server.run_to_idle(configuration)
    assert [(row.attempt, row.outcome, row.exit_code) for row in rows] == [(1, "EXITED", 0)] * 12
    check_books(server.folder, server.state, rows)


@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_damaged_page_is_named_and_left_as_it_is(server: RunningServer, position: int) -> None:
    """Flipped are bytes of the pages that hold the records: at a start that reads them, not before."""
    source = LinesSource(("seq", "50"))
    task = TaskDefinition("work", command=("true",), periods=QUICK, host=LOCALLY, source=source)
    configuration = server.configuration(task)
    server.run_to_idle(configuration)
    journal = server.state / "journal.sqlite"
    with contextlib.closing(sqlite3.connect(journal)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (size,) = connection.execute("PRAGMA page_size").fetchone()
        (root,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'record'").fetchone()
    damaged = bytearray(journal.read_bytes())
    begin = (root - 1) * size
    place = (begin, begin + 3, begin + size - 40)[position]
    damaged[place : place + 40] = bytes(255 - byte for byte in damaged[place : place + 40])
    journal.write_bytes(damaged)
    server.begin(configuration, until_idle=True)
    assert server.ended() == 1
    said = server.said()
    assert str(journal) in said
    assert "Traceback" not in said
    assert "left as it is" in said or "left as it was" in said
    assert journal.read_bytes()[begin : begin + size] == bytes(damaged[begin : begin + size])
    assert server.nothing_left()


OTHER_VERSION = """
import model.messages
model.messages.PROTOCOL = 99
"""


def test_agents_of_another_version_are_named_and_keep_their_jobs(tmp_path: Path) -> None:
    with small_cluster(tmp_path) as here:
        mark = here.begin_on("node1")
        here.server.crash()
        here.client = here.server.start(here.configuration(), before=OTHER_VERSION)
        why = until(lambda: here.host("node1")["why"], "a reason is there", PATIENCE)
        until(lambda: "protocol 99" in here.host("node1")["why"], f"both versions are named; now: {why}", PATIENCE)
        assert f"protocol {PROTOCOL})" in here.host("node1")["why"]
        here.run_on(mark)
        here.server.crash()
        here.client = here.server.start(here.configuration())
        until(lambda: here.host("node1")["state"] == "up", "the host is up", PATIENCE)
        (row,) = here.finish(1)
        assert (row.attempt, row.outcome) == (1, "EXITED")


def test_after_a_reboot_what_ran_is_lost_with_its_output_and_runs_again_by_policy(server: RunningServer) -> None:
    """Everything is killed at once, as a power cut does, and the spools are made to be of another boot."""
    source = LinesSource(("seq", "2"))

    def task(name: str, host: HostWish) -> TaskDefinition:
        command = ("./job.sh", "0", "gate")
        return TaskDefinition(name, command=command, periods=QUICK, host=host, source=source, lost_reruns=1)

    tasks = (task("far", HostWish("node1", required=True)), task("near", LOCALLY))
    configuration = server.configuration(*tasks, cluster=cluster("node1", backoff_ns=SECOND // 10))
    witness = server.folder / "witness"
    server.start(configuration)
    until(lambda: witness.read_text().count("begin") == 4, "four jobs run")
    server.crash()
    for pid in (*agents(server), *keepers(server), *server.processes()):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert server.nothing_left()
    for spool in (server.state / "local", server.state / "hosts" / "node1"):
        reboot(spool)
    (server.folder / "gate").touch()
    rows = server.run_to_idle(configuration)
    lost = [row for row in rows if row.outcome == "LOST"]
    assert [row.reason for row in lost] == ["its host was restarted"] * 4
    assert sorted((row.task, row.attempt, row.outcome) for row in rows if row.final) == [
        *[("far", 2, "EXITED")] * 2,
        *[("near", 2, "EXITED")] * 2,
    ]
    check_books(server.folder, server.state, rows)


def reboot(spool: Path) -> None:
    """Make a spool, and the first record of each of its status logs, be of another boot of this machine."""
    this, another = boot_id().encode(), boot_id()[:-4].encode() + b"beef"
    marker = spool / "boot"
    assert marker.read_bytes() == this
    marker.write_bytes(another)
    for log in spool.glob("keeper-*.log"):
        data = log.read_bytes()
        end = 8 + int.from_bytes(data[:4], "little")
        assert this in data[8:end]
        header = data[8:end].replace(this, another)
        log.write_bytes(data[:4] + zlib.crc32(header).to_bytes(4, "little") + header + data[end:])
