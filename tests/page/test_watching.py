"""Goal: what pages are sent is the whole state once and then only news, at a cost that does not grow with how many look
or how slowly they read.

Method: a source that the test fills, and looks that the test makes; no HTTP.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec
import pytest

from live.lately import Event, Minute, RunTime
from model.errors import LaulimaError, NotReachableError
from model.views import Status
from shell.page import watching as watching_module
from shell.page.watching import QUEUE_MAX, Watching
from tests.page.site import DEADLINE, HOST, TASK, status

SECOND = 1_000_000_000


class Told:
    """A source. What is an error is raised."""

    def __init__(self) -> None:
        self.now_ns = 1_700_000_000 * SECOND
        self.said: dict[str, Any] | LaulimaError = status()
        self.counted: list[Minute] = []
        self.happened: list[Event] = []
        self.after: list[int] = []
        self.journal: LaulimaError | None = None
        self.asked = 0

    async def status(self) -> Status:
        self.asked += 1
        if isinstance(self.said, LaulimaError):
            raise self.said
        return msgspec.convert(self.said, Status)

    async def minutes(self, since_minute: int) -> list[Minute]:
        if self.journal is not None:
            raise self.journal
        return [each for each in self.counted if each.minute >= since_minute]

    async def run_times(self, since_ns: int) -> dict[str, RunTime]:
        return {"warp": RunTime(2 * SECOND, 5 * SECOND)}

    async def events(self, after: int, limit: int) -> tuple[list[Event], int]:
        self.after.append(after)
        last = max((each.sequence for each in self.happened), default=0)
        return [each for each in self.happened if each.sequence > after][-limit:], last


class Reader:
    """A page: takes one delta after the other."""

    def __init__(self, watching: Watching) -> None:
        self._stream = watching.stream()
        self._next: asyncio.Task[bytes] | None = None

    async def begin(self) -> None:
        self._next = asyncio.ensure_future(anext(self._stream))
        await asyncio.sleep(0)

    async def take(self) -> dict[str, Any]:
        assert self._next is not None
        line = await asyncio.wait_for(self._next, DEADLINE)
        await self.begin()
        assert line.startswith(b"data: ")
        assert line.endswith(b"\n\n")
        delta: dict[str, Any] = json.loads(line[6:])
        return delta

    async def end(self) -> None:
        assert self._next is not None
        self._next.cancel()
        await asyncio.gather(self._next, return_exceptions=True)
        await self._stream.aclose()  # type: ignore[attr-defined] - an async generator


def event(sequence: int, text: str = "made by warp") -> Event:
    return Event(sequence, 1_700_000_000 * SECOND, "job", sequence, "warp", "", text, False)


def watched(told: Told) -> Watching:
    return Watching(told, lambda: told.now_ns)


def run(test: Any) -> None:
    asyncio.run(test())


def test_a_look_at_the_same_state_is_no_news() -> None:
    async def test() -> None:
        told = Told()
        watching = watched(told)
        page = Reader(watching)
        await page.begin()
        await watching.look()
        assert (await page.take())["full"]
        told.now_ns += SECOND
        told.said = {**status(), "running_for_ns": 61 * SECOND}  # older by what the clock went on
        await watching.look()
        delta = await page.take()
        assert set(delta) == {"now", "answered", "trouble", "simulated", "points"}
        await page.end()

    run(test)


def test_a_row_that_changed_is_sent_alone_and_one_that_is_gone_is_not_in_the_order() -> None:
    async def test() -> None:
        told = Told()
        others = [{**TASK, "name": name} for name in ("a", "b", "c")]
        told.said = status(tasks=others)
        watching = watched(told)
        page = Reader(watching)
        await page.begin()
        await watching.look()
        await page.take()
        told.said = status(tasks=[others[0], {**others[2], "pending": 9}])
        await watching.look()
        delta = await page.take()
        assert [(row["name"], row["pending"]) for row in delta["tasks"]] == [("c", 9)]
        assert delta["tasks_order"] == ["a", "c"]
        await page.end()

    run(test)


def test_who_comes_later_gets_everything_and_who_was_there_only_news() -> None:
    async def test() -> None:
        told = Told()
        told.happened = [event(1)]
        watching = watched(told)
        first, second = Reader(watching), Reader(watching)
        await first.begin()
        await watching.look()
        await first.take()
        await second.begin()
        told.happened.append(event(2))
        await watching.look()
        assert [each["job"] for each in (await first.take())["events"]] == [2]
        assert [each["job"] for each in (await second.take())["events"]] == [1, 2]
        assert told.after == [0, 1]
        await first.end()
        await second.end()

    run(test)


def test_who_reads_too_slowly_gets_everything_anew_and_nothing_piles_up() -> None:
    async def test() -> None:
        told = Told()
        watching = watched(told)
        slow = watching.stream()
        waiting = asyncio.ensure_future(anext(slow))
        await asyncio.sleep(0)
        await watching.look()
        assert json.loads((await waiting)[6:])["full"]
        for pending in range(QUEUE_MAX + 1):  # one more than it may keep waiting
            told.said = status(tasks=[{**TASK, "pending": pending}])
            await watching.look()
        told.said = status(tasks=[{**TASK, "pending": 77}])
        await watching.look()
        delta = json.loads((await asyncio.wait_for(anext(slow), DEADLINE))[6:])
        assert delta["full"]
        assert [row["pending"] for row in delta["tasks"]] == [77]
        await slow.aclose()  # type: ignore[attr-defined] - an async generator

    run(test)


def test_while_the_server_is_away_the_last_state_stays_with_its_time_and_the_reason() -> None:
    async def test() -> None:
        told = Told()
        watching = watched(told)
        page = Reader(watching)
        await page.begin()
        await watching.look()
        answered = (await page.take())["answered"]
        told.now_ns += 60 * SECOND
        told.said = NotReachableError("no server\x1b[31m runs")
        await watching.look()
        delta = await page.take()
        assert (delta["answered"], delta["now"] - answered) == (answered, 60_000)
        assert delta["trouble"] == "no server\\x1b[31m runs"
        assert "tasks_order" not in delta
        told.said = status()
        await watching.look()
        assert (await page.take())["trouble"] == ""
        await page.end()

    run(test)


def test_a_journal_that_cannot_be_read_is_told_and_the_rest_goes_on() -> None:
    async def test() -> None:
        told = Told()
        told.journal = LaulimaError("the journal cannot be read")
        watching = watched(told)
        page = Reader(watching)
        await page.begin()
        await watching.look()
        delta = await page.take()
        assert delta["trouble"] == "the journal cannot be read"
        assert [row["name"] for row in delta["tasks"]] == ["warp"]
        await page.end()

    run(test)


def test_ends_are_counted_by_minute_and_old_minutes_go() -> None:
    async def test() -> None:
        told = Told()
        now = told.now_ns // (60 * SECOND)
        told.counted = [Minute(now - 59, "warp", "well", 5), Minute(now, "warp", "exit", 1)]
        watching = watched(told)
        page = Reader(watching)
        await page.begin()
        await watching.look()
        assert sorted((await page.take())["minutes"]) == [
            [now - 59, "warp", "well", 5],
            [now, "warp", "exit", 1],
        ]
        told.now_ns += 2 * 60 * SECOND
        told.counted = [Minute(now + 2, "warp", "well", 1)]
        for _ in range(4):
            await watching.look()
        late = Reader(watching)
        await late.begin()
        await watching.look()
        assert [each[0] - now for each in (await late.take())["minutes"]] == [0, 2]
        await page.end()
        await late.end()

    run(test)


def test_a_host_that_changes_its_state_is_an_event_with_its_reason() -> None:
    async def test() -> None:
        told = Told()
        watching = watched(told)
        page = Reader(watching)
        await page.begin()
        await watching.look()
        await page.take()
        told.said = status(hosts=[{**HOST, "state": "down", "why": "killed"}])
        await watching.look()
        (found,) = (await page.take())["events"]
        assert (found["host"], found["text"], found["bad"]) == ("node1", "host node1 is down: killed", True)
        await page.end()

    run(test)


def test_nobody_asks_when_the_last_page_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching_module, "LOOK_S", 0.0)

    async def test() -> None:
        told = Told()
        watching = watched(told)
        looking = asyncio.ensure_future(watching.run())
        await asyncio.sleep(0)
        assert told.asked == 0
        page = Reader(watching)
        await page.begin()
        await page.take()
        await page.take()
        await page.end()
        for _ in range(100):
            await asyncio.sleep(0)
        assert not watching.is_looking
        asked = told.asked
        assert asked >= 2
        for _ in range(100):
            await asyncio.sleep(0)
        assert told.asked == asked
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)

    run(test)
