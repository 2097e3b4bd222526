"""Goal: when the end of a job is told, no process of it is left, whatever it did to escape (promise P6), and nothing of
another job was touched. Method: real keepers run jobs that ignore TERM, change their session, fork twice, clear
their environment and hold their output open; then /proc is searched for them."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
from pathlib import Path

import pytest

from model.job import JobId, JobSpec, Outcome
from tests.live.keeper_rig import SECOND, exists, marked, rig, sh, wait_until

NASTY = """
import os, signal, sys, time
clear = "clear" in sys.argv
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("main", os.getpid(), flush=True)
if os.fork() == 0:
    os.setsid()
    said, say = os.pipe()
    if os.fork() == 0:
        print("daemon", os.getpid(), flush=True)
        os.write(say, b"x")
        if clear:
            os.closerange(0, 3)
            os.execve("/bin/sleep", ["sleep", "1000"], {})
        signal.pause()
    os.read(said, 1)
    os._exit(0)
if "leave" in sys.argv:
    os.wait()
    sys.exit(7)
while True:
    signal.pause()
"""


def nasty(tmp_path: Path, *arguments: str, **more: object) -> JobSpec:
    (tmp_path / "nasty.py").write_text(NASTY)
    return JobSpec("test", command=(sys.executable, "nasty.py", *arguments), **more)  # type: ignore[arg-type]


def pids(output: bytes) -> list[int]:
    return [int(line.split()[1]) for line in output.splitlines() if line.startswith((b"main", b"daemon"))]


@pytest.mark.parametrize("arguments", [(), ("clear",)])
def test_a_nasty_job_is_gone_whole_after_its_timeout_and_its_output_is_kept(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    async def scene() -> None:
        async with rig(tmp_path) as agent:
            spec = nasty(tmp_path, *arguments, grace_ns=SECOND // 10)
            job, report = await agent.run_out_of_time(spec, lambda output: len(pids(output)) == 2)
            assert report.outcome is Outcome.TIMED_OUT
            assert report.survivors == ()
            assert "TERM" in report.reason
            assert report.ran_for_ns >= SECOND
            found = pids(agent.output(job))
            assert not any(exists(pid) for pid in found)
            assert marked(agent.spool.identity) == []

    asyncio.run(scene())


@pytest.mark.parametrize("arguments", [("leave",), ("leave", "clear")])
def test_a_daemon_does_not_outlive_the_job_that_left_it(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    async def scene() -> None:
        async with rig(tmp_path) as agent:
            report = await agent.run(nasty(tmp_path, *arguments))
            assert (report.outcome, report.exit_code) == (Outcome.EXITED, 7)
            found = pids(agent.output(1))
            assert len(found) == 2
            assert not any(exists(pid) for pid in found)

    asyncio.run(scene())


def test_a_daemon_of_a_running_job_is_left_alone_when_another_job_ends(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "wait")

    async def scene() -> None:
        async with rig(tmp_path) as agent:
            agent.start(1, sh("setsid sh -c 'echo daemon $$; sleep 1000' & sleep 0.01; read never < wait"))
            await agent.until(lambda: 1 in agent.running)
            await agent.until_printed(1, b"\n")
            for number in range(2, 12):
                await agent.run(sh("sleep 1000 & exit 3"), number)
            daemon = pids(agent.output(1))[0]
            assert exists(daemon)
            agent.stop(1)
            assert (await agent.report(1)).outcome is Outcome.KILLED
            assert not exists(daemon)

    asyncio.run(scene())


def test_a_background_process_that_holds_the_output_delays_nothing(tmp_path: Path) -> None:
    async def scene() -> None:
        async with rig(tmp_path) as agent:
            report = await agent.run(sh("sleep 1000 & echo $!"))
            assert report.exit_code == 0
            assert report.ran_for_ns < 100 * SECOND
            assert not exists(int(agent.output(1)))

    asyncio.run(scene())


def test_what_forks_and_exits_without_end_is_caught(tmp_path: Path) -> None:
    runaway = (
        "import os, time\nwhile True:\n    if os.fork():\n        os._exit(0)\n    os.setsid()\n    time.sleep(0.002)\n"
    )
    (tmp_path / "runaway.py").write_text(runaway)

    async def scene() -> None:
        async with rig(tmp_path) as agent:
            report = await agent.run(JobSpec("test", command=(sys.executable, "runaway.py")))
            assert report.survivors == ()
            assert marked(agent.spool.identity) == []

    asyncio.run(scene())


def test_term_reaches_the_whole_tree_and_a_stopped_process_too(tmp_path: Path) -> None:
    child = "trap 'echo child heard; exit 0' TERM; kill -STOP $$; while :; do sleep 0.05; done"
    (tmp_path / "child.sh").write_text(child)

    async def scene() -> None:
        async with rig(tmp_path) as agent:
            script = "trap 'wait; echo main heard; exit 0' TERM; setsid sh child.sh & echo pid $!; wait; wait"
            agent.start(1, sh(script, grace_ns=20 * SECOND))
            await agent.until(lambda: 1 in agent.running)
            await agent.until_printed(1, b"\n")
            pid = int(agent.output(1).split()[1])
            wait_until(lambda: Path(f"/proc/{pid}/stat").read_text().split()[2] == "T")
            agent.stop(1)
            report = await agent.report(1)
            assert report.outcome is Outcome.KILLED
            assert b"child heard" in agent.output(1)
            assert b"main heard" in agent.output(1)

    asyncio.run(scene())


def test_exit_0_after_term_for_the_timeout_is_still_timed_out(tmp_path: Path) -> None:
    async def scene() -> None:
        async with rig(tmp_path) as agent:
            spec = sh("trap 'exit 0' TERM; while :; do sleep 0.02; done", timeout_ns=SECOND // 5)
            report = await agent.run(spec)
            assert (report.outcome, report.exit_code) == (Outcome.TIMED_OUT, None)

    asyncio.run(scene())


def test_a_killed_job_of_a_hundred_is_the_only_one_that_ends(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "wait")

    async def scene() -> None:
        async with rig(tmp_path) as agent:
            for number in range(1, 41):
                agent.start(number, sh("read never < wait"))
            await agent.until(lambda: len(agent.running) == 40)
            agent.stop(17)
            await agent.report(17)
            held = {entry.job: entry.report for entry in (await agent.holding()).entries}
            assert [job for job, report in held.items() if report is not None] == [17]

    asyncio.run(scene())


@pytest.mark.parametrize("limit", [3, 10], ids=["none at all", "some for files that are open"])
def test_a_keeper_without_descriptors_ends_jobs_as_ever_and_escapees_when_it_can_look_again(
    tmp_path: Path, limit: int
) -> None:
    for name in ("gate", "other gate"):
        os.mkfifo(tmp_path / name)

    async def scene() -> None:
        async with rig(tmp_path) as agent:
            agent.start(1, sh("sleep 1000 & read go < gate; exit 3"))
            agent.start(2, sh("setsid sleep 1000 & echo $! > escaped; read go < 'other gate'; exit 4"))
            agent.start(3, sh("trap '' TERM; sleep 1000 & echo deaf; sleep 1000", grace_ns=SECOND // 5))
            agent.start(4, sh("sleep 1000", grace_ns=1000 * SECOND))
            await agent.until(lambda: {1, 2, 3, 4} <= agent.running)
            await agent.until_printed(3, b"deaf\n")
            wait_until(lambda: (tmp_path / "escaped").exists() and (tmp_path / "escaped").read_text().strip())

            keeper = agent.keeper_pid()
            before = resource.prlimit(keeper, resource.RLIMIT_NOFILE)
            resource.prlimit(keeper, resource.RLIMIT_NOFILE, (limit, before[1]))
            for name in ("gate", "other gate"):
                (tmp_path / name).write_text("go\n")
            agent.stop(3)
            agent.stop(4)
            agent.start(5, sh("exit 0"))
            ends = {job: await agent.report(job) for job in (1, 2, 3, 4, 5)}
            assert [ends[job].exit_code for job in (1, 2)] == [3, 4]
            assert [ends[job].outcome for job in (3, 4)] == [Outcome.KILLED] * 2
            assert (ends[5].outcome, ends[5].again) == (Outcome.OVERLOADED, True)
            assert agent.downs == []
            resource.prlimit(keeper, resource.RLIMIT_NOFILE, before)
            assert (await agent.run(sh("exit 6"), 6)).exit_code == 6
            wait_until(lambda: not exists(int((tmp_path / "escaped").read_text())))
            wait_until(lambda: marked(agent.spool.identity) == [])

    asyncio.run(scene())


def test_a_process_that_cannot_be_ended_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel's refusal is put in the place of a process in uninterruptible sleep."""
    from live import trees
    from live.spool import OutputPool

    pool = OutputPool(tmp_path, 0)
    (tmp_path / "pool").mkdir()
    job = trees.RunningJob((JobId(1), 1), sh("x"), pool.lend(), pool.lend())
    watched = trees.Trees("00")
    pid = os.posix_spawn(
        "/bin/sleep", ["sleep", "1000"], {"LAULIMA_SPOOL": "00", "LAULIMA_JOB": "1", "LAULIMA_ATTEMPT": "1"}
    )
    main = os.posix_spawn("/bin/sleep", ["sleep", "1000"], {})
    job.pid = main
    watched._children = _Only({pid, main})  # type: ignore[assignment]
    monkeypatch.setattr(os, "kill", lambda pid, number: None)
    try:
        watched.add(job)
        job.ended_ns = 5
        job.begin_ending(5)
        assert watched.settle([job], 5) == []
        assert watched.settle([job], 5 + trees.KILL_LIMIT_NS) == [job]
        assert job.survivors == (pid,)
    finally:
        monkeypatch.undo()
        for one in (pid, main):
            os.kill(one, signal.SIGKILL)
            os.waitpid(one, 0)


class _Only:
    """Stands for the list of the keeper's children: the test process has others."""

    def __init__(self, pids: set[int]) -> None:
        self._pids = pids

    def read(self) -> set[int]:
        return set(self._pids)
