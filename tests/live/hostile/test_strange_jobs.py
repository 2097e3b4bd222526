"""Goal: no specification of a job harms the keeper that is to start it, nor the jobs that run there.

Method: a real keeper with a job that runs all the time; each strange specification ends as one that could not be
started (or runs, where it can), and the keeper is the same process afterwards.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from model.job import JobSpec, Outcome
from tests.live.keeper_rig import Rig, rig, sh

STRANGE: dict[str, JobSpec] = {
    "a NUL in the directory": JobSpec("t", command=("true",), directory="a\0b"),
    "a NUL in the command": JobSpec("t", command=("tr\0ue",)),
    "a NUL in an argument": JobSpec("t", command=("true", "\0")),
    "a NUL in the environment": JobSpec("t", command=("true",), environment=(("A", "\0"),)),
    "a NUL in PATH": JobSpec("t", command=("true",), environment=(("PATH", "/bin\0:/usr/bin"),)),
    "an equals sign in a variable's name": JobSpec("t", command=("true",), environment=(("A=B", "x"),)),
    "a variable without a name": JobSpec("t", command=("true",), environment=(("", "x"),)),
    "no command at all": JobSpec("t"),
    "an empty command": JobSpec("t", command=("",)),
    "niceness beyond any": JobSpec("t", command=("true",), nice=1 << 40),
    "niceness below any": JobSpec("t", command=("true",), nice=-(1 << 40)),
    "an argument that is too long": JobSpec("t", command=("true", "x" * 300_000)),
    "more arguments than fit": JobSpec("t", command=("true", *["x" * 1000] * 4000)),
    "a folder with a name that is too long": JobSpec("t", command=("true",), directory="d" * 5000),
    "a callable without a module": JobSpec("t", call=":f"),
    "a callable without a name": JobSpec("t", call="os"),
    "a callable with a NUL": JobSpec("t", call="os:a\0b"),
    "a callable with two dots": JobSpec("t", call="..os:getcwd"),
    "a callable and a NUL in its folder": JobSpec("t", call="os:getcwd", directory="a\0b"),
    "a callable and a NUL in its environment": JobSpec("t", call="os:getcwd", environment=(("A", "\0"),)),
    "output into a file with a NUL": JobSpec("t", command=("echo", "x"), stdout="a\0b"),
    "output into a name that is too long": JobSpec("t", command=("echo", "x"), stdout="d" * 5000),
    "a time limit below nothing": JobSpec("t", command=("true",), timeout_ns=-(1 << 62)),
    "a time limit beyond all": JobSpec("t", command=("true",), timeout_ns=1 << 62, grace_ns=1 << 62),
    "a grace below nothing": JobSpec("t", command=("true",), grace_ns=-(1 << 62)),
    "more slots than numbers": JobSpec("t", command=("true",), slots=1 << 62),
}


def run(tmp_path: Path, body: Callable[[Rig], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with rig(tmp_path) as one:
            await body(one)

    asyncio.run(whole())


@pytest.mark.parametrize("name", STRANGE)
def test_a_strange_job_costs_itself_only(name: str, tmp_path: Path) -> None:
    async def body(one: Rig) -> None:
        one.start(1, sh("echo begun; exec sleep 1000"))
        await one.until(lambda: 1 in one.running)
        keeper = one.keeper_pid()
        report = await one.run(STRANGE[name], 2)
        assert report.outcome in (Outcome.COMMAND_NOT_FOUND, Outcome.OVERLOADED, Outcome.EXITED, Outcome.TIMED_OUT), (
            report
        )
        assert (await one.run(sh("exit 3"), 3)).exit_code == 3
        assert one.keeper_pid() == keeper
        assert 1 not in one.reports
        one.stop(1)
        await one.report(1)

    run(tmp_path, body)
