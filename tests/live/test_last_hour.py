"""Goal: `status` says how the attempts of each task ended in the last hour, from the journal, and never waits long
for it.

Method: a journal with ends at chosen moments of a wall clock that the test moves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from live import journal, last_hour
from live.journal import Journal
from live.last_hour import LastHour
from live.lately import MINUTE_NS
from model.job import JobId, JobSpec, Outcome, Report
from model.records import AttemptEnded, JobAccepted
from model.views import TaskRow
from shell.tables import TASKS, Style, table, task_columns
from tests.shell.rows import task_row

NOON = 1_700_000_000_000_000_000 // MINUTE_NS * MINUTE_NS


class Ends:
    """A journal whose clock the test sets."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.minute = self.ticks = self.ages = 0
        monkeypatch.setattr(journal, "wall_ns", self.wall_ns)
        monkeypatch.setattr(last_hour, "wall_ns", self.wall_ns)
        monkeypatch.setattr(last_hour, "monotonic_ns", self.monotonic_ns)
        self.journal = Journal(path)
        self._job = 0

    def wall_ns(self) -> int:
        """Two moments are never the same."""
        self.ticks += 1
        return NOON + self.minute * MINUTE_NS + self.ticks

    def monotonic_ns(self) -> int:
        """Every count is too old when the next one is asked for."""
        self.ages += 2 * last_hour.AGAIN_NS
        return self.ages

    def end(self, task: str, exit_code: int, times: int = 1) -> None:
        for _ in range(times):
            self._job += 1
            job, report = JobId(self._job), Report(Outcome.EXITED, exit_code=exit_code, started=True)
            self.journal.append([("scheduler", JobAccepted(job, JobSpec(task, ("true",))))])
            self.journal.append([("scheduler", AttemptEnded(job, 1, report, final=True))])


@pytest.fixture
def ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ends]:
    tmp_path.chmod(0o700)
    made = Ends(tmp_path / "journal.sqlite", monkeypatch)
    yield made
    made.journal.close()


async def at_once(question: Callable[[], Any]) -> Any:
    return question()


async def of(hour: LastHour, *names: str) -> list[tuple[int | None, int | None]]:
    rows = await hour.lay([task_row(name) for name in names])
    return [(row.done_1h, row.failed_1h) for row in rows]


def test_what_ended_is_counted_by_task_for_an_hour(ends: Ends) -> None:
    async def play() -> None:
        hour = LastHour(ends.journal.path, at_once)
        ends.end("copy", 0, 3)
        ends.end("warp", 3)
        assert await of(hour, "copy", "warp", "idle") == [(3, 0), (0, 1), (0, 0)]
        ends.end("copy", 0)  # in a minute that was counted before
        assert await of(hour, "copy") == [(4, 0)]
        ends.minute = 30
        ends.end("copy", 1)
        [row] = await hour.lay([task_row("copy")])
        assert (row.done_1h, row.failed_1h, row.course_1h) == (4, 1, (0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 1))
        ends.minute = 61
        assert await of(hour, "copy") == [(0, 1)], "the first ones are longer ago"
        ends.minute = 20  # the clock is set back, also to before what was counted
        ends.end("copy", 0, 2)
        assert await of(hour, "copy") == [(6, 0)]

    asyncio.run(play())


def test_an_answer_does_not_wait_for_a_count_that_takes_long(ends: Ends) -> None:
    async def play() -> None:
        ends.end("copy", 0)
        gate = asyncio.Event()

        async def slow(question: Callable[[], Any]) -> Any:
            await gate.wait()
            return question()

        hour = LastHour(ends.journal.path, slow)
        assert await of(hour, "copy") == [(None, None)]
        gate.set()
        async with asyncio.timeout(20):
            while await of(hour, "copy") != [(1, 0)]:
                pass  # it waits for the count, a little each time

    asyncio.run(play())


def test_a_journal_that_is_not_there_is_not_counted(tmp_path: Path) -> None:
    async def play() -> None:
        assert await of(LastHour(tmp_path / "none.sqlite", at_once), "copy") == [(None, None)]

    asyncio.run(play())


def test_the_columns_are_there_when_it_was_counted_and_there_is_room() -> None:
    row: TaskRow = task_row("copy", done_1h=803, failed_1h=4, course_1h=(1, 0, 2), last_at=1, next_at=1, why="w" * 30)
    wide = table(task_columns([row], TASKS), [row], 2, Style(0))
    assert wide[0].split("  ")[0] == "TASK"
    assert "DONE 1h  FAIL 1h  LAST HOUR" in wide[0]
    assert "803" in wide[1]
    narrow = table(task_columns([row], TASKS), [row], 2, Style(80))
    assert "1h" not in narrow[0]
    assert narrow[0].split() == ["TASK", "STATE", "PEND", "RUN/MAX", "DONE", "FAIL", "LAST", "NEXT", "WHY"]
    not_counted = [task_row("copy")]
    assert task_columns(not_counted, TASKS) == TASKS
