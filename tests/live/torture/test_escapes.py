"""Goal: when the end of a job is told, no process of it is left, whatever it did to get away (P6).

Method: jobs that draw their escapes by a seed: new sessions, forks of forks, deafness to TERM, a cleared environment,
closed descriptors, stopped processes, and processes that fork and exit all the time. Every process notes its pid in a
file before it does anything else. The jobs end by themselves, by their timeout, or because they are stopped; five run
at a time on two keepers. What left its session and cleared its environment, and what it started, is nobody's for
certain while other jobs of the keeper run (docs/architecture.md, part 11): it goes when the last of them is gone.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from live import processes
from live.spool import OutputPool
from live.trees import RunningJob, Trees
from model.job import JobId, JobSpec, Outcome, Report
from tests.live.keeper_rig import SECOND, Rig, exists, marked, rig, wait_until
from tests.live.torture.extent import FORKERS

AT_A_TIME = 5

ESCAPER = """
import os, random, signal, sys
job = os.environ["LAULIMA_JOB"]
chance = random.Random(int(job))
notes = os.open("pids." + job, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
def note():
    os.write(notes, b"%d\\n" % os.getpid())
def escape(depth):
    note()
    if chance.random() < 0.7:
        os.setsid() if os.getpid() != os.getsid(0) else None
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    if depth and os.fork() == 0:
        escape(depth - 1)
    kind = chance.choice(("wait", "clear", "stop", "run", "leave"))
    if kind == "leave" and depth:
        os._exit(0)
    if kind == "clear":
        os.write(notes, b"cleared\\n")
        os.closerange(0, 256)
        os.execve("/bin/sleep", ["sleep", "1000"], {})
    if kind == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    if kind == "run":
        for _ in range(2000):
            if os.fork():
                os._exit(0)
            note()
            signal.sigtimedwait([], 0.003)
    while True:
        signal.pause()
note()
print("begun", flush=True)
if os.fork() == 0:
    escape(chance.randrange(3))
if sys.argv[1] == "leaves":
    sys.exit(7)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
while True:
    signal.pause()
"""
ENDS = ("leaves", "is too long", "is stopped")


def left_of(folder: Path, job: int) -> list[int]:
    """Processes of a job that live: those that it noted, unless the number is another program's by now."""
    return [pid for pid in noted(folder, job) if exists(pid) and is_here(pid, folder)]


def noted(folder: Path, job: int) -> list[int]:
    return [int(word) for word in notes(folder, job).split() if word.isdigit()]


def notes(folder: Path, job: int) -> str:
    """Empty where a job was over before its program had begun."""
    path = folder / f"pids.{job}"
    return path.read_text() if path.exists() else ""


def is_here(pid: int, folder: Path) -> bool:
    try:
        return os.readlink(f"/proc/{pid}/cwd") == str(folder)
    except OSError:
        return False


def is_hidden(folder: Path, job: int) -> bool:
    """Something of the job cleared its environment; what that started cannot be told from another job's, either."""
    return "cleared" in notes(folder, job)


async def escape(agent: Rig, folder: Path, job: int) -> None:
    end = ENDS[job % len(ENDS)]
    spec = JobSpec(
        "test",
        command=(sys.executable, "escaper.py", end),
        timeout_ns=SECOND if end == "is too long" else 0,
        grace_ns=SECOND // 10,
    )
    keeper = job % 2
    agent.start(job, spec, keeper)
    if end == "is stopped":
        await agent.until(lambda: job in agent.running)
        await agent.until_printed(job, b"begun\n")
        agent.stop(job, keeper)
    report = await agent.report(job)
    assert expected(end, report), (end, report)
    assert report.survivors == ()
    if not is_hidden(folder, job):
        assert left_of(folder, job) == [], f"job {job} ({end}) of {noted(folder, job)}"
    agent.forget(job, keeper)


def expected(end: str, report: Report) -> bool:
    if end == "leaves":
        return (report.outcome, report.exit_code) == (Outcome.EXITED, 7)
    return report.outcome is (Outcome.TIMED_OUT if end == "is too long" else Outcome.KILLED)


def all_gone(folder: Path, jobs: range) -> None:
    """Wait until nothing of these jobs is left; says what is."""
    try:
        wait_until(lambda: not any(left_of(folder, job) for job in jobs))
    except AssertionError as error:
        left = {job: [processes.look(pid) for pid in left_of(folder, job)] for job in jobs}
        raise AssertionError(f"left, by job: {left}") from error


@pytest.mark.timeout(1800)
def test_nothing_of_a_job_outlives_its_end_however_it_tries_to_get_away(tmp_path: Path) -> None:
    (tmp_path / "escaper.py").write_text(ESCAPER)

    async def scene() -> None:
        async with rig(tmp_path, 2) as agent:
            for first in range(1, FORKERS + 1, AT_A_TIME):
                jobs = range(first, min(first + AT_A_TIME, FORKERS + 1))
                await asyncio.gather(*(escape(agent, tmp_path, job) for job in jobs))
                all_gone(tmp_path, jobs)
        assert marked(agent.spool.identity) == []

    asyncio.run(scene())


def test_what_a_process_started_just_before_it_ended_by_itself_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list of children is read, then the one in it ends, and only now what it had started is in the list."""
    (tmp_path / "pool").mkdir()
    pool = OutputPool(tmp_path, 0)
    job = RunningJob((JobId(1), 1), JobSpec("test", command=("x",)), pool.lend(), pool.lend())
    job.pid, parent, child = 10, 11, 12
    marks = {"LAULIMA_SPOOL": "00", "LAULIMA_JOB": "1", "LAULIMA_ATTEMPT": "1"}
    killed: list[int] = []
    monkeypatch.setattr(processes, "reap", lambda pid: "it ended" if pid == parent else None)
    monkeypatch.setattr(os, "getsid", lambda pid: pid)
    monkeypatch.setattr(processes, "environment_of", lambda pid: marks)
    monkeypatch.setattr(os, "kill", lambda pid, number: killed.append(pid))
    watched = Trees("00")
    watched._children = Lists([{job.pid, parent}, {job.pid, child}])  # type: ignore[assignment]
    watched.add(job)
    job.begin_ending(1)
    assert watched.settle([job], 1) == []
    assert killed == [child]


def test_who_is_on_its_way_out_and_has_lost_its_marks_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the end of its memory and its end a process has no environment and no files, and its children are still
    its own. Another job runs, so it could be of that one."""
    (tmp_path / "pool").mkdir()
    pool = OutputPool(tmp_path, 0)
    watched = Trees("00")
    jobs = [
        RunningJob((JobId(number), 1), JobSpec("test", command=("x",)), pool.lend(), pool.lend()) for number in (1, 2)
    ]
    for job, pid in zip(jobs, (10, 20), strict=True):
        job.pid = pid
        watched.add(job)
    parent, child = 11, 12
    looks = iter([None, "it ended"])
    marks = {"LAULIMA_SPOOL": "00", "LAULIMA_JOB": "1", "LAULIMA_ATTEMPT": "1"}
    killed: list[int] = []
    monkeypatch.setattr(processes, "reap", lambda pid: next(looks) if pid == parent else None)
    monkeypatch.setattr(processes, "is_exiting", lambda pid: pid == parent)
    monkeypatch.setattr(processes, "environment_of", lambda pid: marks if pid == child else {})
    monkeypatch.setattr(processes, "open_files_of", lambda pid: set())
    monkeypatch.setattr(os, "getsid", lambda pid: pid)
    monkeypatch.setattr(os, "kill", lambda pid, number: killed.append(pid))
    mains = {10, 20}
    watched._children = Lists([mains | {parent}, mains | {parent}, mains | {child}])  # type: ignore[assignment]
    jobs[0].ended_ns = 1
    jobs[0].begin_ending(1)
    assert watched.settle([jobs[0]], 1) == []
    assert killed == [child]


class Lists:
    """The list of children, as it is read one time after another; the last one stays."""

    def __init__(self, lists: list[set[int]]) -> None:
        self._lists = lists

    def read(self) -> set[int]:
        return self._lists.pop(0) if len(self._lists) > 1 else self._lists[0]
