"""Goal: what is done for each record on its way to the disk, and for each message on its way to a host, does not creep
up unnoticed.

Method: counts instead of times: calls of functions for each record and for each batch, as the difference of two runs
of different length, and the statements that SQLite gets. What a record or a message costs beside calls (bytes) is
counted, too. The limits leave some 15 %. The times are in `benchmarks/test_journal.py` and `benchmarks/test_wire.py`.
"""

from __future__ import annotations

import asyncio
import cProfile
import gc
import pstats
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from live import journal
from live.hello import Hello, Side, own_hello
from live.history import History, HistoryQuestion
from live.journal import Journal
from live.link import Link, decode_batch, encode_batch
from model.job import JobId, JobSpec, Outcome, Report
from model.messages import Assign, Batch
from model.records import AttemptAssigned, AttemptEnded, AttemptStarted, JobAccepted, Record

SPEC = JobSpec("check", command=("sha256sum", "incoming/file"), item="incoming/file")
REPORT = Report(Outcome.EXITED, exit_code=0, host="local", started=True)
FEW, MANY = 20, 120
CALLS_OF_A_RECORD = 8.6
"""At most, as a mean over the four records of a job's life. It was 7.5 when this was written."""
BYTES_OF_AN_ASSIGNMENT = 130
"""At most, of a job on its way to a host. It was 113."""
CALLS_OF_A_BATCH = 540
"""At most, from the sender's machine to the receiver's, both ends in one loop. It was 471."""


def calls_of(what: Callable[[], object]) -> int:
    """Of functions, builtin ones included; not of what the garbage collector calls (Hypothesis, if it is there)."""
    profile = cProfile.Profile()
    gc.disable()
    try:
        profile.runcall(what)
    finally:
        gc.enable()
    return int(pstats.Stats(profile).total_calls)  # type: ignore[attr-defined]


def lives(first: int, count: int) -> list[tuple[str, Record]]:
    """The records of the scheduler about so many jobs."""
    records: list[tuple[str, Record]] = []
    for number in range(first, first + count):
        job = JobId(number)
        life: tuple[Record, ...] = (
            JobAccepted(job, SPEC),
            AttemptAssigned(job, 1, "local"),
            AttemptStarted(job, 1, "local"),
            AttemptEnded(job, 1, REPORT, final=True, good=True),
        )
        records.extend(("scheduler", record) for record in life)
    return records


def test_a_record_on_its_way_to_the_disk(tmp_path: Path) -> None:
    one = Journal(tmp_path / "journal.sqlite")
    try:
        one.append(lives(1, 1))
        few = calls_of(lambda: one.append(lives(2, FEW)))
        many = calls_of(lambda: one.append(lives(1_000, MANY)))
    finally:
        one.close()
    making = calls_of(lambda: lives(1, MANY)) - calls_of(lambda: lives(1, FEW))
    assert (many - few - making) / (4 * (MANY - FEW)) <= CALLS_OF_A_RECORD


def assigned(first: int, jobs: int) -> tuple[Assign, ...]:
    return tuple(Assign(JobId(first + number), 1, SPEC) for number in range(jobs))


def test_a_message_is_written_and_read_without_a_call_for_each() -> None:
    def there_and_back(batch: Batch) -> None:
        assert decode_batch(encode_batch(batch), Side.AGENT).sequence == batch.sequence

    small, large = (Batch(1, 1, 1, assigned(1, jobs)) for jobs in (1, 1_000))
    assert calls_of(lambda: there_and_back(large)) == calls_of(lambda: there_and_back(small))
    assert (len(encode_batch(large)) - len(encode_batch(small))) / 999 <= BYTES_OF_AN_ASSIGNMENT


class Owner:
    """One end of a link: counts what comes, and says when all is there."""

    def __init__(self, loop: asyncio.AbstractEventLoop, awaited: int) -> None:
        self.up: asyncio.Future[None] = loop.create_future()
        self.done: asyncio.Future[None] = loop.create_future()
        self._awaited = awaited

    def link_up(self, link: Link, peer: Hello) -> None:
        self.up.set_result(None)

    def link_batch(self, link: Link, batch: Batch) -> None:
        self._awaited -= 1
        if not self._awaited:
            self.done.set_result(None)

    def link_down(self, link: Link, reason: str) -> None:
        raise AssertionError(reason)


async def calls_of_batches(batches: int) -> int:
    """That go over a link one after the other, each when the last one is there, so that the loop turns as often for
    each of them, whatever the machine does."""
    loop = asyncio.get_running_loop()
    superior, agent = Owner(loop, 0), Owner(loop, 1)
    above, below = socket.socketpair()
    down = Link(loop, own_hello(Side.SUPERIOR, "host", 1), superior, dials=True)
    up = Link(loop, own_hello(Side.AGENT, "host", 1), agent, dials=False)
    up.start(below)
    down.start(above)
    profile = cProfile.Profile()
    try:
        async with asyncio.timeout(30):
            await asyncio.gather(superior.up, agent.up)
            profile.enable()
            for number in range(batches):
                agent.done, agent._awaited = loop.create_future(), 1
                down.send(Batch(1, number + 1, 1, assigned(number, 10)))
                await agent.done
            profile.disable()
    finally:
        down.close()
        up.close()
    return int(pstats.Stats(profile).total_calls)  # type: ignore[attr-defined]


def test_a_batch_on_its_way_to_a_host() -> None:
    few, many = (min(asyncio.run(calls_of_batches(count)) for _ in range(3)) for count in (FEW, MANY))
    assert (many - few) / (MANY - FEW) <= CALLS_OF_A_BATCH


def test_of_more_jobs_than_are_remembered_the_first_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They end first. To forget the oldest for each new one would cost a walk over all that were forgotten before."""
    monkeypatch.setattr(journal, "REMEMBERED_JOBS_MAX", FEW)
    one = Journal(tmp_path / "journal.sqlite")
    records = lives(1, MANY)
    try:
        one.append([pair for pair in records if not isinstance(pair[1], AttemptEnded)])
        assert list(one._accepted) == list(range(1, FEW + 1))
        one.append([pair for pair in records if isinstance(pair[1], AttemptEnded)])
        assert not one._accepted
    finally:
        one.close()
    rows = History(tmp_path / "journal.sqlite").attempts(HistoryQuestion(limit=2 * MANY))
    assert sorted(row.job for row in rows) == list(range(1, MANY + 1))
    assert {(row.task, row.item, row.command) for row in rows} == {("check", SPEC.item, " ".join(SPEC.command))}
