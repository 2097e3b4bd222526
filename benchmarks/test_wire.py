"""Goal: the wire is no limit. Method: two ends of one link in one loop, over a socket pair; batches of assignments go
one after the other, several under way at a time, until the other end has had them all. The baseline does what cannot
be avoided (encode, send, receive, decode) with the same batches, in turns with it.
"""

from __future__ import annotations

import asyncio
import socket
import statistics
import time

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import Figure
from live.hello import Hello, Side, own_hello
from live.link import Link, decode_batch, encode_batch
from live.output_pieces import Fetch, Piece
from model.job import JobId, JobSpec
from model.messages import Assign, Batch

BATCHES = 300
UNDER_WAY = 16
"""Batches that are sent before the loop gets a turn."""
ROUNDS = 5
LEAST = 0.02
SPEC = JobSpec("check", command=("sha256sum", "incoming/file"), item="incoming/file")


class Owner:
    """One end: counts what comes, and says when all is there."""

    def __init__(self, loop: asyncio.AbstractEventLoop, awaited: int) -> None:
        self.up: asyncio.Future[None] = loop.create_future()
        self.done: asyncio.Future[None] = loop.create_future()
        self.jobs: list[int] = []
        self._awaited = awaited

    def link_up(self, link: Link, peer: Hello) -> None:
        self.up.set_result(None)

    def link_batch(self, link: Link, batch: Batch) -> None:
        self.jobs.extend(message.job for message in batch.messages if isinstance(message, Assign))
        if len(self.jobs) == self._awaited:
            self.done.set_result(None)

    def link_aside(self, link: Link, message: Fetch | Piece) -> None:
        raise AssertionError(message)

    def link_down(self, link: Link, reason: str) -> None:
        raise AssertionError(reason)


def batches(jobs: int, count: int = BATCHES) -> list[Batch]:
    """What a superior in its first life would say, `jobs` in each batch."""
    return [
        Batch(1, number + 1, 1, tuple(Assign(JobId(number * jobs + job), 1, SPEC) for job in range(jobs)))
        for number in range(count)
    ]


async def linked(said: list[Batch], jobs: int) -> float:
    """Seconds from the first batch to the last."""
    loop = asyncio.get_running_loop()
    superior, agent = Owner(loop, 0), Owner(loop, len(said) * jobs)
    above, below = socket.socketpair()
    down = Link(loop, own_hello(Side.SUPERIOR, "host", 1), superior, dials=True)
    up = Link(loop, own_hello(Side.AGENT, "host", 1), agent, dials=False)
    up.start(below)
    down.start(above)
    await asyncio.gather(superior.up, agent.up)
    begin = time.perf_counter()
    for number, batch in enumerate(said):
        down.send(batch)
        if number % UNDER_WAY == UNDER_WAY - 1:
            await asyncio.sleep(0)
    await agent.done
    spent = time.perf_counter() - begin
    down.close()
    up.close()
    assert agent.jobs == list(range(len(said) * jobs))
    return spent


def unlinked(said: list[Batch]) -> float:
    """Seconds for the bare minimum, one batch after the other."""
    above, below = socket.socketpair()
    with above, below:
        begin = time.perf_counter()
        for batch in said:
            data = encode_batch(batch)
            above.sendall(data)
            assert decode_batch(below.recv(1 << 20), Side.AGENT) == batch
        return time.perf_counter() - begin


@pytest.mark.benchmark(group="wire")
@pytest.mark.parametrize("jobs", [1, 100])
def test_batches_over_one_link(benchmark: BenchmarkFixture, figure: Figure, jobs: int) -> None:
    said = batches(jobs)
    rates: list[float] = []
    ratios: list[float] = []

    def one_round() -> None:
        bare = unlinked(said)
        spent = asyncio.run(linked(said, jobs))
        rates.append(BATCHES * jobs / spent)
        ratios.append(bare / spent)

    benchmark.pedantic(one_round, rounds=ROUNDS)  # type: ignore[no-untyped-call]
    rate, ratio = statistics.median(rates), statistics.median(ratios)
    benchmark.extra_info.update(jobs_a_second=round(rate), ratio_to_bare=round(ratio, 2))
    figure(f"link, {jobs} jobs a batch", f"{rate:,.0f} jobs/s, {ratio:.0%} of encode, send, receive, decode", "")
    assert ratio >= LEAST
