"""Goal: errands cost little in company, and one that hangs holds up nobody.

Method: the class itself in a loop of the test; wake-ups of the loop and threads are counted; a call that hangs waits
until the test lets it go.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any
from unittest.mock import Mock

import pytest

from live.errands import ErrandError, Errands

MANY = 500


def with_errands(body: Callable[[Errands], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        errands = Errands(asyncio.get_running_loop())
        try:
            async with asyncio.timeout(30):
                await body(errands)
        finally:
            errands.close()

    asyncio.run(whole())


class QuickLoop:
    """Stands for a loop that is always quicker than the threads: what wakes it is done at once. Its timers go off when
    the test says so."""

    def __init__(self) -> None:
        self.wake_ups = 0
        self.timers: list[Callable[[], None]] = []

    def get_debug(self) -> bool:
        return False

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)  # type: ignore[arg-type]

    def call_soon(self, call: Callable[..., object], *arguments: Any, context: object = None) -> None:
        call(*arguments)

    def call_soon_threadsafe(self, call: Callable[[], object]) -> None:
        self.wake_ups += 1
        call()

    def call_later(self, seconds: float, call: Callable[..., None], *arguments: Any) -> Mock:
        if seconds < 1.0:  # not a deadline
            self.timers.append(lambda: call(*arguments))
        return Mock()


def test_errands_in_company_do_not_wake_the_loop_each() -> None:
    loop = QuickLoop()
    errands = Errands(loop, threads_max=1)  # type: ignore[arg-type]
    all_given, last_told = threading.Event(), threading.Event()
    futures = [errands.run(lambda: all_given.wait(20.0), 20.0)]
    futures += [errands.run(partial(abs, number), 20.0) for number in range(MANY)]
    all_done = threading.Event()
    futures.append(errands.run(all_done.set, 20.0))
    futures[-1].add_done_callback(lambda _: last_told.set())
    all_given.set()
    assert all_done.wait(20.0)
    assert len(loop.timers) == 1
    loop.timers[0]()
    assert last_told.wait(20.0)  # by the timer, or by its thread if that was later
    assert [future.result() for future in futures] == [True, *range(MANY), None]
    assert loop.wake_ups <= 1
    errands.close()


def test_one_that_hangs_holds_up_none_of_those_given_with_it() -> None:
    async def body(errands: Errands) -> None:
        let_go = threading.Event()
        hanging = errands.run(lambda: let_go.wait(20.0), 20.0)
        others = [errands.run(partial(abs, number), 20.0) for number in range(MANY)]
        assert await asyncio.gather(*others) == list(range(MANY))
        assert not hanging.done()
        let_go.set()
        assert await hanging is True

    with_errands(body)


def test_when_all_threads_hang_the_next_one_is_done_when_the_first_is_let_go() -> None:
    async def whole() -> None:
        errands = Errands(asyncio.get_running_loop(), threads_max=2)
        let_go = threading.Event()
        hanging = [errands.run(lambda: let_go.wait(20.0), 20.0) for _ in range(2)]
        others = [errands.run(partial(abs, number), 20.0) for number in range(3)]
        done, _ = await asyncio.wait([*hanging, *others], timeout=0.05)
        assert not done
        let_go.set()
        assert await asyncio.gather(*others) == [0, 1, 2]
        assert await asyncio.gather(*hanging) == [True, True]
        errands.close()

    asyncio.run(whole())


def test_deadlines_of_many_cost_one_timer_and_each_is_kept() -> None:
    async def body(errands: Errands) -> None:
        let_go = threading.Event()
        loop = asyncio.get_running_loop()
        begun = loop.time()
        slow = [errands.run(lambda: let_go.wait(20.0), limit) for limit in (20.0, 0.3, 0.1)]
        done = await asyncio.gather(*(errands.run(partial(abs, number), 20.0) for number in range(MANY)))
        assert done == list(range(MANY))
        assert len([each for each in loop._scheduled if not each.cancelled()]) < 10  # type: ignore[attr-defined]
        for future, limit in ((slow[2], 0.1), (slow[1], 0.3)):
            with pytest.raises(ErrandError, match=f"no answer within {limit:g} s"):
                await future
            assert loop.time() - begun >= limit
        assert not slow[0].done()
        let_go.set()
        assert await slow[0] is True

    with_errands(body)


def test_one_that_was_given_up_and_comes_back_disturbs_nobody() -> None:
    async def body(errands: Errands) -> None:
        let_go = threading.Event()
        for _ in range(3):
            with pytest.raises(ErrandError):
                await errands.run(lambda: let_go.wait(20.0), 0.01)
        let_go.set()
        assert await errands.run(lambda: 5, 20.0) == 5
        assert await asyncio.gather(*(errands.run(partial(abs, number), 20.0) for number in range(MANY)))

    with_errands(body)


def test_answers_are_not_kept() -> None:
    class Answer:
        pass

    async def body(errands: Errands) -> None:
        kept = weakref.WeakSet[Answer]()
        for _ in range(3):
            answer = await errands.run(Answer, 20.0)
            kept.add(answer)
            del answer
        while len(kept) > 0:  # a thread that has not let go yet does so when it gets on, or does something else
            await errands.run(lambda: None, 20.0)

    with_errands(body)
