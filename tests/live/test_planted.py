"""Goal: the tests with real processes see bugs that are planted where simulation has no kernel.

Method: what a keeper must not leave, and what it must not touch, as functions that answer True when all is well; each
is asked of the code as it is, and with the bug of `planted.py` in it. Keepers are forked from this process here, so
that they have the bug as well.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from live import keepers, processes, trees
from live.keeper_process import Settings
from model.job import JobSpec
from tests.live.keeper_rig import SECOND, exists, rig
from tests.live.planted import LIVE_MUTANTS, LiveMutant
from tests.sim.mutants import MUTANTS

DAEMON = """
import os, signal, sys
if os.fork() == 0:
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print(os.getpid(), flush=True)
    while True:
        signal.pause()
while True:
    signal.pause()
"""
MARKS = {"LAULIMA_SPOOL": "planted", "LAULIMA_KEEPER": "0"}


def nothing_outlives_a_job(tmp_path: Path) -> bool:
    """A job leaves a daemon that ignores TERM; when its end is told, the daemon is gone."""
    tmp_path.chmod(0o700)
    (tmp_path / "daemon.py").write_text(DAEMON)

    async def scene() -> bool:
        async with rig(tmp_path) as agent:
            spec = JobSpec("test", command=(sys.executable, "daemon.py"), grace_ns=SECOND // 10)
            job, _ = await agent.run_out_of_time(spec, lambda output: output.endswith(b"\n"))
            left = int(agent.output(job))

            try:
                return not exists(left)
            finally:
                if exists(left):
                    os.kill(left, signal.SIGKILL)

    return asyncio.run(scene())


def a_stranger_is_spared(_: Path) -> bool:
    """A dead keeper's process has ended, and its number belongs to a stranger, before the signal for it is sent."""
    stranger = subprocess.Popen(["/bin/sleep", "1000"], start_new_session=True)
    row = processes.look(stranger.pid)
    assert row is not None
    earlier = processes.Row(row.state, row.parent, row.session, row.group, row.started - 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "scan", lambda: {stranger.pid: earlier})
        patch.setattr(processes, "environment_of", lambda _: MARKS)
        trees.end_marked(MARKS["LAULIMA_SPOOL"], int(MARKS["LAULIMA_KEEPER"]), [None])
    try:
        # a signal that was sent is taken before the next one of the same sender
        stranger.send_signal(signal.SIGUSR1)
        return stranger.wait() == -signal.SIGUSR1
    finally:
        stranger.kill()


FINDERS: dict[int, Callable[[Path], bool]] = {21: nothing_outlives_a_job, 22: a_stranger_is_spared}


def start_here(settings: Settings, numbers: list[int]) -> None:
    """Start keepers as forks of this process, which have all that it has, not of a fresh one."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            keepers._start_keepers(settings, numbers)
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.fixture(autouse=True)
def keepers_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keepers, "_run_starter", start_here)


@pytest.mark.parametrize("number", FINDERS)
def test_all_is_well_without_the_bug(number: int, tmp_path: Path) -> None:
    assert FINDERS[number](tmp_path)


@pytest.mark.parametrize("mutant", LIVE_MUTANTS, ids=lambda mutant: mutant.plant.__name__)
def test_a_planted_bug_is_seen(mutant: LiveMutant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant.plant(monkeypatch)
    assert not FINDERS[mutant.number](tmp_path)


def test_numbers_of_planted_bugs_are_names_in_both_lists() -> None:
    numbers = [mutant.number for mutant in (*MUTANTS, *LIVE_MUTANTS)]
    assert len(set(numbers)) == len(numbers)
    assert set(FINDERS) == {mutant.number for mutant in LIVE_MUTANTS}
