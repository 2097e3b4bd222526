"""Goal: what can wait a moment travels in company, in order, and waits no longer. Method: a real keeper; the frames
that its agent sends are looked at, with a patience that the test sets."""

from __future__ import annotations

import asyncio
from collections import deque
from pathlib import Path
from types import SimpleNamespace

import pytest

from live import keeper_frames, keepers
from live.keeper_process import NAME_AFTER_NS, RUNNING_PATIENCE_NS, KeeperProcess
from live.spool import OutputFile
from live.trees import RunningJob
from model.job import AttemptKey, JobId, Outcome, Report
from model.keeper import Exited, Forget, KeeperMessage, ListHeld, Order, Running
from tests.live.keeper_rig import rig, sh


@pytest.fixture
def frames(monkeypatch: pytest.MonkeyPatch) -> list[list[Order]]:
    """What is sent to keepers, frame by frame."""
    sent: list[list[Order]] = []
    frame = keeper_frames.frame_orders

    def noting(orders: list[Order], now: int) -> bytes:
        sent.append(orders)
        return frame(orders, now)

    monkeypatch.setattr(keepers, "frame_orders", noting)
    return sent


def test_what_may_be_forgotten_rides_along_with_the_next_order(
    tmp_path: Path, frames: list[list[Order]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keepers, "FORGET_PATIENCE_SECONDS", 3600.0)

    async def scene() -> None:
        async with rig(tmp_path) as agent:
            await agent.run(sh("exit 0"), 1)
            frames.clear()
            agent.forget(1)
            for _ in range(5):
                await asyncio.sleep(0)  # turns in which it could have been sent
            assert frames == []
            assert (await agent.holding()).entries == ()
            assert frames == [[Forget(JobId(1), 1), ListHeld()]]

    asyncio.run(scene())


def test_what_may_be_forgotten_is_said_by_itself_when_nothing_else_is(
    tmp_path: Path, frames: list[list[Order]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keepers, "FORGET_PATIENCE_SECONDS", 0.001)

    async def scene() -> None:
        async with rig(tmp_path) as agent:
            await agent.run(sh("exit 0"), 1)
            frames.clear()
            agent.forget(1)
            async with asyncio.timeout(30):
                while not frames:  # noqa: ASYNC110 - no event tells that something was sent
                    await asyncio.sleep(0)
            assert frames == [[Forget(JobId(1), 1)]]

    asyncio.run(scene())


def test_a_job_that_goes_on_is_told_to_run(tmp_path: Path) -> None:
    async def scene() -> None:
        async with rig(tmp_path) as agent:
            agent.start(1, sh("exec sleep 600"))
            await agent.until(lambda: 1 in agent.running)
            assert not agent.reports
            agent.stop(1)
            await agent.report(1)

    asyncio.run(scene())


def test_a_job_that_is_over_by_then_is_not_told_to_run() -> None:
    """A keeper's own bookkeeping, without processes: whether one is over in time is the machine's business."""
    told: list[KeeperMessage] = []
    keeper = KeeperProcess.__new__(KeeperProcess)
    keeper._runs = {}
    keeper._ledger = SimpleNamespace(tell=told.append)  # type: ignore[assignment]
    brief, other = Running(JobId(1), 1, 5), Running(JobId(2), 1, 6)
    over = Exited(JobId(1), 1, Report(Outcome.EXITED, 0, started=True))
    keeper._tell(brief)
    keeper._tell(other)
    keeper._tell(over)
    assert told == [over]
    due_ns = keeper._runs[2, 1][0]
    keeper._runs[3, 1] = (due_ns + RUNNING_PATIENCE_NS // 2, third := Running(JobId(3), 1, 7))
    keeper._runs[4, 1] = (due_ns + RUNNING_PATIENCE_NS // 2 + 1, Running(JobId(4), 1, 8))
    keeper._tell_runs(due_ns - 1)
    assert told == [over]
    keeper._tell_runs(due_ns)
    assert told == [over, other, third]
    assert list(keeper._runs) == [(4, 1)]


def test_nobody_is_woken_to_name_the_output_of_a_job_that_is_over() -> None:
    """Half of a busy keeper's turns were that, a moment after each job."""
    keeper = KeeperProcess.__new__(KeeperProcess)
    named: list[AttemptKey] = []
    keeper._name_output = lambda job: named.append(job.key)  # type: ignore[method-assign]
    nothing = OutputFile(-1, "")
    jobs = [RunningJob((JobId(number), 1), sh("true"), nothing, nothing) for number in range(4)]
    keeper._unnamed = deque((NAME_AFTER_NS + number, job) for number, job in enumerate(jobs))
    jobs[0].ended_ns = jobs[1].ended_ns = 1
    keeper._name_outputs(2)
    assert [job for _, job in keeper._unnamed] == jobs[2:], "the next one to wake up for still runs"
    keeper._name_outputs(NAME_AFTER_NS + 2)
    assert named[-1] == (2, 1)
    assert [job for _, job in keeper._unnamed] == jobs[3:]
