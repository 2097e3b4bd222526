"""Goal: a Python callable is a job like any other: a fresh process, a true report, its tree ended. Method: real keepers
call functions of modules that the tests write."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from model.job import JobSpec, Outcome, Report
from tests.live.keeper_rig import exists, rig, wait_until

MODULE = """
import os, subprocess, sys, threading
count = 0
def nothing(): print("printed"); print("complained", file=sys.stderr)
def number(text): return int(text)
def text(): return "what is wrong"
def leave(): sys.exit(6)
def fail(): raise ValueError("on purpose")
def crash(): os.abort()
def counted():
    global count
    count += 1
    print(count, os.getpid(), os.getsid(0) == os.getpid(), os.getcwd(), os.environ["LAULIMA_JOB"], sys.argv)
def threads():
    threading.Thread(target=lambda: print("from a thread")).start()
def long():
    child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    print(child.pid, flush=True)
    open("wait").read()
def killer(): os.kill(os.getppid(), 9); open("wait").read()
thing = 5
class Group:
    @staticmethod
    def inner(): return 12
"""


def call(name: str, *arguments: str, **more: object) -> JobSpec:
    return JobSpec("test", call=name, arguments=arguments, **more)  # type: ignore[arg-type]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "jobs.py").write_text(MODULE)
    os.mkfifo(tmp_path / "wait")
    return tmp_path


def test_what_a_function_returns_is_its_exit_status(directory: Path) -> None:
    cases = {
        ("nothing",): 0,
        ("number", "5"): 5,
        ("number", "256"): 0,
        ("text",): 1,
        ("leave",): 6,
        ("fail",): 1,
        ("threads",): 0,
        ("Group.inner",): 12,
    }

    async def scene() -> None:
        async with rig(directory) as agent:
            for number, (words, code) in enumerate(cases.items(), 1):
                report = await agent.run(call(f"jobs:{words[0]}", *words[1:]), number)
                assert (report.outcome, report.exit_code) == (Outcome.EXITED, code), words
            assert agent.output(1) == b"printed\n"
            assert agent.output(1, "stderr") == b"complained\n"
            assert agent.output(4, "stderr") == b"what is wrong\n"
            trace = agent.output(6, "stderr").decode()
            assert "ValueError: on purpose" in trace
            assert "callables.py" not in trace
            assert agent.output(7) == b"from a thread\n"
            report = await agent.run(call("jobs:crash"), 20)
            assert (report.outcome, report.signal) == (Outcome.CRASHED, signal.SIGABRT)

    asyncio.run(scene())


def test_every_call_has_a_process_and_a_module_of_its_own(directory: Path) -> None:
    (directory / "below").mkdir()
    (directory / "below" / "jobs.py").write_text("def counted(): print('another module')\n")

    async def scene() -> None:
        async with rig(directory) as agent:
            for number in (1, 2, 3):
                await agent.run(call("jobs:counted"), number)
            words = [agent.output(number).decode().split() for number in (1, 2, 3)]
            assert [line[0] for line in words] == ["1", "1", "1"]
            assert len({line[1] for line in words}) == 3
            assert [line[2:5] for line in words] == [["True", str(directory), str(number)] for number in (1, 2, 3)]
            await agent.run(call("jobs:counted", directory="below"), 4)
            assert agent.output(4) == b"another module\n"

    asyncio.run(scene())


def test_what_cannot_be_called_is_not_found(directory: Path) -> None:
    (directory / "broken.py").write_text("import does_not_exist_xyz\n")
    (directory / "leaves.py").write_text("raise SystemExit(3)\n")
    names = ["absent:f", "jobs:absent", "jobs:thing", "jobs", "broken:f", "leaves:f", "bad name:f"]

    async def scene() -> None:
        async with rig(directory) as agent:
            for number, name in enumerate(names, 1):
                report = await agent.run(call(name), number)
                assert (report.outcome, report.started) == (Outcome.COMMAND_NOT_FOUND, False), name
                assert name in report.reason
            assert (await agent.run(call("jobs:nothing"), 50)).exit_code == 0

    asyncio.run(scene())


def test_a_changed_module_is_imported_anew(directory: Path) -> None:
    async def scene() -> None:
        async with rig(directory) as agent:
            assert (await agent.run(call("jobs:number", "1"), 1)).exit_code == 1
            (directory / "jobs.py").write_text("def number(text): return 77\n")
            assert (await agent.run(call("jobs:number", "1"), 2)).exit_code == 77

    asyncio.run(scene())


def test_a_module_whose_import_starts_threads_works(directory: Path) -> None:
    (directory / "threaded.py").write_text(
        "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\ndef f(): return 9\n"
    )

    async def scene() -> None:
        async with rig(directory) as agent:
            for number in (1, 2):
                assert (await agent.run(call("threaded:f"), number)).exit_code == 9

    asyncio.run(scene())


def test_a_call_that_is_too_long_ends_with_all_that_it_started(directory: Path) -> None:
    async def scene() -> None:
        async with rig(directory) as agent:
            job, report = await agent.run_out_of_time(call("jobs:long"), lambda output: output.endswith(b"\n"))
            assert report.outcome is Outcome.TIMED_OUT
            child = int(agent.output(job))
            wait_until(lambda: not exists(child))
            assert (await agent.run(call("jobs:nothing"), job + 1)).exit_code == 0

    asyncio.run(scene())


def test_a_call_outlives_its_worker_and_the_next_one_gets_another(directory: Path) -> None:
    async def scene() -> None:
        async with rig(directory) as agent:
            agent.start(1, call("jobs:killer"))
            await agent.until(lambda: 1 in agent.running)
            report: Report = await agent.run(call("jobs:nothing"), 2)
            while report.again:  # asked in the instant in which the worker died
                report = await agent.run(call("jobs:nothing"), len(agent.reports) + 10)
            assert report.exit_code == 0
            (directory / "wait").write_text("")
            last = await agent.report(1)
            assert (last.outcome, last.exit_code) == (Outcome.EXITED, 0)

    asyncio.run(scene())


def test_a_hundred_calls_at_once(directory: Path) -> None:
    async def scene() -> None:
        async with rig(directory, 2) as agent:
            for number in range(1, 101):
                agent.start(number, call("jobs:number", str(number)), keeper=number % 2)
            for number in range(1, 101):
                assert (await agent.report(number)).exit_code == number

    asyncio.run(scene())
