"""Goal: what surrounds the machine of a batch system keeps its promises: records, commands and what they say.

Method: the driver and whole servers work with a pretend Slurm (`fake_slurm.py`) that is slow, fails, talks nonsense,
gives an id twice and starts things again. A real Slurm: `tests/cluster/test_slurm.py`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.batch import driver as driver_module
from live.batch.driver import BatchDriver
from live.batch.ledger import Ledger, LedgerError, leaves_jobs
from live.batch.slurm import Slurm
from live.batch.system import Order
from live.clock import wall_ns
from live.spool import Spool, SpoolError, output_path
from model.batch_attempt import Wishes
from model.batch_words import (
    REST,
    BatchStatus,
    Begun,
    Claim,
    Claimed,
    Forgotten,
    Keep,
    NotSubmitted,
    Over,
    Poll,
    Refusal,
    Seen,
    Settle,
    Submission,
    Submit,
    Submitted,
    Taken,
    Unseen,
)
from model.configuration import BatchSettings, ClusterDefinition, HostDefinition, Link, OnExit
from model.job import SECOND, HostWish, JobId, JobSpec, Outcome, Report
from model.task import LinesSource, Periods, TaskDefinition
from tests.live import fake_slurm
from tests.live.followed_logs import follow_a_job
from tests.live.running_server import RunningServer, until

LONG = 60.0


def submission(*specs: JobSpec, number: int = 7) -> Submission:
    keys = tuple((JobId(index + 1), 1) for index in range(len(specs)))
    return Submission(number, keys, specs, (0,) * len(specs))


def shell(script: str, **more: Any) -> JobSpec:
    return JobSpec("task", ("sh", "-c", script), **more)


# the records


def test_records_are_there_again_and_a_torn_line_is_not(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    first = ledger.held.last_number
    ledger.append(submission(shell("a"), shell("b"), number=first + 1))
    ledger.append(Taken(first + 1, "12"))
    ledger.append(Over(JobId(1), 1, Report(Outcome.LOST)))
    ledger.sync()
    ledger.close()
    with (tmp_path / "batch.log").open("ab") as file:
        file.write(b'{"type":"forgotten","job":2')
    again = Ledger(tmp_path)
    assert {key[0]: held.report is None for key, held in again.held.attempts.items()} == {1: False, 2: True}
    assert again.held.taken == {first + 1: "12"}
    again.append(Forgotten(JobId(1), 1))
    again.sync()
    again.close()
    third = Ledger(tmp_path)
    assert [(key[0], held.element) for key, held in third.held.attempts.items()] == [(2, (first + 1, 1))]
    assert leaves_jobs(tmp_path)
    third.append(Forgotten(JobId(2), 1))
    third.sync()
    third.close()
    assert Ledger(tmp_path).held.last_number == first + 1, "a number is never given twice"
    assert not leaves_jobs(tmp_path)


def test_records_that_cannot_be_read_are_not_guessed(tmp_path: Path) -> None:
    Ledger(tmp_path).close()
    with (tmp_path / "batch.log").open("ab") as file:
        file.write(b"rubbish\n")
    with pytest.raises(LedgerError, match="2 is no record"):
        Ledger(tmp_path)


def test_new_records_do_not_begin_with_numbers_that_lost_ones_may_have_given(tmp_path: Path) -> None:
    before = wall_ns() // SECOND
    assert Ledger(tmp_path).held.last_number >= before


def test_a_spool_of_a_batch_system_is_no_agents(tmp_path: Path) -> None:
    Spool(tmp_path / "spool", "batch system").close()
    with pytest.raises(SpoolError, match="another kind"):
        Spool(tmp_path / "spool")
    Spool(tmp_path / "spool", "batch system").close()


# Slurm's words

SLURM = Slurm()
WISHES = Wishes(2, 180, 0, (("cpus", 2500), ("gpus", 1), ("memory", (1 << 30) + 1)))


def test_what_a_job_wishes_is_said_to_sbatch() -> None:
    script = Path("/spool/submissions/7/script")
    order = Order("name", "laulima/x/7", 5, WISHES, ("--partition=night",), script, Path("/spool/log"))
    command = SLURM.submit_command(order)
    wanted = (
        "--array=0-4",
        "--no-requeue",
        "--cpus-per-task=3",
        "--mem=1025M",
        "--gres=gpu:1",
        "--time=3",
        "--chdir=/spool",
    )
    for word in (*wanted, "--comment=laulima/x/7", "--partition=night"):
        assert word in command
    assert command[0] == "sbatch"
    assert command[-1] == str(script)


@pytest.mark.parametrize(
    ("complaint", "refusal"),
    [
        (fake_slurm.TIMED_OUT, Refusal.UNCLEAR),
        (
            "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)",
            Refusal.UNCLEAR,
        ),
        ("sbatch: error: Batch job submission failed: Invalid partition name specified", Refusal.REFUSED),
        ("sbatch: unrecognized option '--nope'", Refusal.REFUSED),
        ("sbatch: error: QOSMaxSubmitJobPerUserLimit", Refusal.LATER),
        (
            "Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size)",
            Refusal.LATER,
        ),
    ],
)
def test_each_complaint_of_sbatch_is_sorted(complaint: str, refusal: Refusal) -> None:
    assert SLURM.judge(complaint) is refusal


def test_lines_of_squeue_are_read_and_those_of_others_left_out() -> None:
    text = (
        "12|3|RUNNING|None|0|n1|laulima/me/7|\n"
        "13|0|FAILED|NonZeroExitCode|768|n2|laulima/me/8|\n"
        "14|0|COMPLETED|None|0|n2|laulima/other/8|\n"
        "15|N/A|CANCELLED|Resources|0||laulima/me/9|\n"
        "16|1|NEW_WORD|None|139|n2|laulima/me/9|\n"
    )
    rows = SLURM.read_poll(text, "laulima/me/")
    assert [(row.number, row.index, row.status) for row in rows] == [
        (7, 3, BatchStatus.RUNNING),
        (8, 0, BatchStatus.EXITED),
        (9, REST, BatchStatus.CANCELLED),
        (9, 1, BatchStatus.UNKNOWN),
    ]
    assert [row.identity for row in rows] == ["12_3", "13_0", "15", "16_1"]
    assert [(row.exit_code, row.signal) for row in rows] == [(0, None), (3, None), (0, None), (0, 11)]


@pytest.mark.parametrize(
    "line",
    ["", "12|3|RUNNING", "slurm_load_jobs error: Unable to contact", "x|3|RUNNING|None|0|n1|laulima/me/7|", "12|3|RUN"],
)
def test_anything_else_from_squeue_is_not_understood(line: str) -> None:
    with pytest.raises(ValueError, match="squeue wrote"):
        SLURM.read_poll(f"12|3|RUNNING|None|0|n1|laulima/me/7|\n{line}\n", "laulima/me/")


@pytest.mark.parametrize(("output", "name"), [("12\n", "12"), ("12;cluster\n", "12")])
def test_the_answer_of_sbatch_is_an_id(output: str, name: str) -> None:
    assert SLURM.read_submitted(output) == name


@pytest.mark.parametrize("output", ["", "Submitted batch job 12", "12 13", "-1", "9" * 30])
def test_anything_else_from_sbatch_is_no_id(output: str) -> None:
    with pytest.raises(ValueError, match="no job id"):
        SLURM.read_submitted(output)


@given(st.lists(st.text(st.sampled_from("019|_/\n\tNA-laulimePENDING "), max_size=60) | st.text(max_size=30)))
def test_no_text_of_squeue_does_more_than_not_being_understood(lines: list[str]) -> None:
    text = "".join(f"{line}|laulima/me/7|\n" for line in lines)
    for readable in (text, "\n".join(lines)):
        try:
            rows = SLURM.read_poll(readable, "laulima/me/")
        except ValueError:
            continue
        assert len(rows) <= len(readable.splitlines())


# the driver, with a pretend Slurm


class Rig:
    """A driver whose answers are collected."""

    def __init__(self, folder: Path) -> None:
        self.slurm = folder / "slurm"
        bin_folder = fake_slurm.install(self.slurm)
        environment = {"PATH": f"{bin_folder}:{os.environ['PATH']}"}
        spool = folder / "spool"
        (spool / "output").mkdir(parents=True)
        host = HostDefinition("big", 8, Link.SLURM, python=sys.executable)
        loop = asyncio.get_running_loop()
        self.answers: asyncio.Queue[Any] = asyncio.Queue()
        self.failures: list[BaseException] = []
        self.driver = BatchDriver(
            loop,
            host,
            spool,
            Ledger(spool),
            "identity",
            folder,
            post=self.answers.put_nowait,
            notice=lambda _: None,
            failed=self.failures.append,
            environment=environment,
        )

    async def ask(self, effect: Any) -> Any:
        """The answer to one effect."""
        self.driver.carry_out(effect)
        async with asyncio.timeout(LONG):
            answer = await self.answers.get()
        assert not self.failures
        return answer

    async def submit(self, *specs: JobSpec, number: int = 7) -> Any:
        made = submission(*specs, number=number)
        self.driver.carry_out(Keep(made))
        self.driver.carry_out(Settle())
        return await self.ask(Submit(made))


def driven(tmp_path: Path, scenario: Any) -> None:
    """Run a scenario with a rig."""

    async def whole() -> None:
        rig = Rig(tmp_path)
        try:
            await rig.driver.begin()
            await scenario(rig)
        finally:
            rig.driver.close()

    asyncio.run(whole())


def test_a_submission_is_made_and_listed(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        fake_slurm.order(rig.slurm, "sbatch hold")
        assert await rig.submit(shell("true"), shell("true")) == Submitted(7, "1")
        seen = await rig.ask(Poll())
        assert isinstance(seen, Seen)
        assert [(row.number, row.index, row.status, row.reason) for row in seen.rows] == [
            (7, 0, BatchStatus.WAITING, "Priority"),
            (7, 1, BatchStatus.WAITING, "Priority"),
        ]
        assert await rig.ask(Claim(7, 0)) == Claimed(7, 0, True)
        assert (await rig.ask(Poll())).marks == (Begun(7, 0, ""),)
        assert (await rig.ask(Poll())).marks == (), "each mark is told once"

    driven(tmp_path, scenario)


@pytest.mark.parametrize(
    ("order", "refusal"),
    [
        ("sbatch fail sbatch: error: Batch job submission failed: Invalid account", Refusal.REFUSED),
        ("sbatch lose", Refusal.UNCLEAR),
        ("sbatch garbage", Refusal.UNCLEAR),
        ("sbatch hang", Refusal.UNCLEAR),
    ],
)
def test_what_sbatch_fails_with_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: str, refusal: Refusal
) -> None:
    if "hang" in order:
        monkeypatch.setattr(driver_module, "SUBMIT_SECONDS", 1.0)

    async def scenario(rig: Rig) -> None:
        fake_slurm.order(rig.slurm, order)
        answer = await rig.submit(shell("true"))
        assert isinstance(answer, NotSubmitted)
        assert answer.refusal is refusal, answer

    driven(tmp_path, scenario)


@pytest.mark.parametrize(
    "order", ["squeue fail slurm_load_jobs error: Unable to contact", "squeue garbage", "squeue hang"]
)
def test_a_list_that_does_not_come_or_makes_no_sense_is_no_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    async def scenario(rig: Rig) -> None:
        fake_slurm.order(rig.slurm, "sbatch hold", order)
        await rig.submit(shell("true"))
        await rig.ask(Claim(7, 0))  # its mark is there before the list fails
        with monkeypatch.context() as patience:
            if "hang" in order:
                patience.setattr(driver_module, "POLL_SECONDS", 1.0)
            answer = await rig.ask(Poll())
        assert isinstance(answer, Unseen)
        assert "squeue" in answer.reason or "Unable to contact" in answer.reason
        fake_slurm.obey_no_more(rig.slurm)  # what hangs may have been ended before it had read that it is to
        answer = await rig.ask(Poll())
        assert isinstance(answer, Seen)
        assert answer.marks == (Begun(7, 0, ""),), "nothing was lost with the list"

    driven(tmp_path, scenario)


def test_without_slurms_commands_it_is_said(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        for name in ("sbatch", "squeue"):
            (rig.slurm / "bin" / name).unlink()
        rig.driver._environment["PATH"] = str(rig.slurm / "bin")
        os.environ["PATH"], before = str(rig.slurm / "bin"), os.environ["PATH"]
        try:
            answer = await rig.submit(shell("true"))
        finally:
            os.environ["PATH"] = before
        assert isinstance(answer, NotSubmitted)
        assert "sbatch could not be started" in answer.reason

    driven(tmp_path, scenario)


# whole servers, with a pretend Slurm

BIG = HostWish("big", required=True)
NOTE = 'echo "$LAULIMA_JOB $LAULIMA_ATTEMPT" >> ran; '


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningServer]:
    bin_folder = fake_slurm.install(tmp_path / "slurm")
    monkeypatch.setenv("PATH", f"{bin_folder}:{os.environ['PATH']}")
    running = RunningServer(tmp_path)
    yield running
    running.clean()


def configured(server: RunningServer, script: str, items: int, **more: Any) -> Any:
    batch = BatchSettings(poll_ns=SECOND // 5, window_ns=SECOND // 10)
    host = HostDefinition("big", 20, Link.SLURM, python=sys.executable, batch=batch)
    periods = Periods(exec_ns=SECOND // 20, timeout_ns=0, pending_ns=0)
    source = LinesSource(("seq", "1", str(items)))
    command = ("sh", "-c", script)
    task = TaskDefinition("far", command=command, host=BIG, periods=periods, source=source, **more)
    return server.configuration(task, cluster=ClusterDefinition(hosts=(host,)))


def with_host(configuration: Any, host: HostDefinition) -> Any:
    cluster = msgspec.structs.replace(configuration.cluster, hosts=(host,))
    return msgspec.structs.replace(configuration, cluster=cluster)


def ran(server: RunningServer) -> list[str]:
    path = server.folder / "ran"
    return sorted(path.read_text().splitlines()) if path.exists() else []


def submissions(server: RunningServer) -> list[str]:
    return [call for call in fake_slurm.calls(server.folder / "slurm") if call.startswith("sbatch")]


def programs(server: RunningServer) -> list[int]:
    return [pid for pid, words in server.processes().items() if "live.batch_program" in words]


def program(server: RunningServer) -> int:
    [pid] = programs(server)
    return pid


def test_jobs_go_through_the_batch_system_to_their_end(server: RunningServer) -> None:
    fake_slurm.order(server.folder / "slurm", "squeue garbage", "squeue fail error: Unable to contact slurm controller")
    shared = server.folder / "shared"
    configuration = configured(server, NOTE + "echo out; exit 4", 5)
    [host] = configuration.cluster.hosts
    configuration = with_host(configuration, msgspec.structs.replace(host, spool=str(shared)))
    rows = server.run_to_idle(configuration)
    assert [(row.outcome, row.exit_code, row.host, row.attempt) for row in rows] == [("EXITED", 4, "big", 1)] * 5
    assert ran(server) == [f"{job} 1" for job in range(1, 6)]
    assert len(submissions(server)) == 1
    assert output_path(server.state / "hosts" / "big", 3, 1, "stdout").read_text() == "out\n"
    assert [path.name for path in shared.glob("*/output/*/3.1.*")] == ["3.1.stdout"]
    assert not list(shared.glob("*/submissions/*")), "nothing is kept that nobody needs"
    assert server.nothing_left()


def test_both_streams_of_a_job_are_followed_while_it_runs(server: RunningServer) -> None:
    """Its outputs stand on the file system that the batch system shares with us."""
    follow_a_job(server, configured(server, "", 0).cluster, here=True)


def test_a_submission_whose_answer_was_lost_is_found_by_its_mark(server: RunningServer) -> None:
    fake_slurm.order(server.folder / "slurm", "sbatch lose")
    rows = server.run_to_idle(configured(server, NOTE, 3))
    assert [(row.outcome, row.attempt) for row in rows] == [("EXITED", 1)] * 3
    assert ran(server) == ["1 1", "2 1", "3 1"]
    assert len(submissions(server)) == 1


def test_an_id_that_is_given_twice_confuses_nobody(server: RunningServer) -> None:
    client = server.start(configured(server, NOTE, 1))
    until(lambda: client.ask("tasks")[0]["done"] == 1, "the first has ended")
    fake_slurm.order(server.folder / "slurm", "sbatch same")
    client.ask("submit", command=["sh", "-c", NOTE + "exit 6"], host="big")
    until(lambda: len(ran(server)) == 2, "the second ran")
    until(lambda: {row.exit_code for row in server.history()} == {0, 6}, "both have ended, each in its own way")
    client.ask("shutdown", kill=True)
    assert server.ended() == 0


def test_what_the_batch_system_starts_again_runs_once(server: RunningServer) -> None:
    slurm = server.folder / "slurm"
    client = server.start(configured(server, NOTE + "exec sleep 100", 1))
    until(lambda: ran(server), "it runs")
    [script] = (server.state / "hosts" / "big" / "submissions").glob("*/script")
    fake_slurm.begin_again(slurm, "1_0", script)
    fake_slurm.set_state(slurm, "1_0", "PENDING")
    [row] = until(server.history, "it has ended")
    assert row.outcome == "LOST"
    assert "put back into the queue" in row.reason
    assert ran(server) == ["1 1"]
    client.ask("shutdown", kill=True)
    assert server.ended() == 0


def test_after_kill_9_of_everything_its_jobs_are_found_and_not_submitted_again(server: RunningServer) -> None:
    gate = server.folder / "gate"
    os.mkfifo(gate)
    configuration = configured(server, NOTE + "read line < gate", 3)
    server.start(configuration)
    until(lambda: len(ran(server)) == 3, "all run")
    server.crash()
    os.kill(program(server), signal.SIGKILL)
    client = server.start(configuration, until_idle=True)
    until(lambda: client.ask("tasks")[0]["running"] == 3, "all are found")
    writer = os.open(gate, os.O_RDWR)
    os.write(writer, b"go\n" * 3)
    assert server.ended() == 0
    os.close(writer)
    assert [(row.outcome, row.attempt) for row in server.history()] == [("EXITED", 1)] * 3
    assert len(submissions(server)) == 1
    assert ran(server) == ["1 1", "2 1", "3 1"]


def test_changed_options_hold_for_what_comes_and_what_runs_goes_on(server: RunningServer) -> None:
    configuration = configured(server, NOTE + "exec sleep 100", 1)
    client = server.start(configuration)
    until(lambda: ran(server), "it runs")
    before = program(server)
    server.crash()
    [host] = configuration.cluster.hosts
    batch = msgspec.structs.replace(host.batch, options=("--partition=night",))
    client = server.start(with_host(configuration, msgspec.structs.replace(host, batch=batch)))
    until(lambda: client.ask("tasks")[0]["running"] == 1, "what ran is there")
    until(lambda: programs(server) and before not in programs(server), "another program speaks for it")
    client.ask("submit", command=["sh", "-c", NOTE], host="big", required=True)
    until(lambda: len(ran(server)) == 2, "the new one ran")
    assert ["--partition=night" in call for call in submissions(server)] == [False, True]
    client.ask("shutdown", kill=True)
    assert server.ended() == 0


def test_jobs_are_left_to_the_next_server_or_ended_where_none_runs(server: RunningServer) -> None:
    configuration = configured(server, NOTE + "exec sleep 100", 1)
    client = server.start(msgspec.structs.replace(configuration, on_exit=OnExit.KEEP))
    until(lambda: ran(server), "it runs")
    client.ask("shutdown", kill=False)
    assert server.ended() == 0
    os.kill(program(server), signal.SIGKILL)
    assert any("sleep 100" in words for words in server.processes().values())
    assert server.end_leftovers() == 0
    assert [row.outcome for row in server.history()] == ["KILLED"]
    assert server.nothing_left()


def test_a_silent_batch_system_says_so_in_explain(server: RunningServer) -> None:
    slurm = server.folder / "slurm"
    client = server.start(configured(server, NOTE + "exec sleep 100", 1))
    until(lambda: client.ask("tasks")[0]["running"] == 1, "it runs")
    fake_slurm.order(slurm, *["squeue fail slurm_load_jobs error: Unable to contact slurm controller"] * 1000)
    until(lambda: "Unable to contact" in str(client.ask("explain", name="big", about="host")), "it says why")
    assert client.ask("tasks")[0]["running"] == 1
    fake_slurm.obey_no_more(slurm)
    until(lambda: "Unable to contact" not in str(client.ask("explain", name="big", about="host")), "it is well again")
    client.ask("shutdown", kill=True)
    assert server.ended() == 0
    assert server.nothing_left()
