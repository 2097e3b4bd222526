"""Goal: what the page says happened lately is what the journal holds, in a bounded number of rows.

Method: a journal that is written by the journal itself, and read while it is open.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from live import journal as journal_module
from live.journal import Journal
from live.lately import Lately, RunTime, run_time
from model.errors import NotReachableError
from model.job import JobId, JobSpec, Outcome, Report
from model.records import (
    AttemptAssigned,
    AttemptEnded,
    AttemptStarted,
    HostChanged,
    JobAccepted,
    Record,
    TaskChanged,
)

MINUTE = 60 * 1_000_000_000


Life = list[tuple[str, Record]]


def life(job: int, outcome: Outcome = Outcome.EXITED, code: int | None = 0, ran_ns: int = 5) -> Life:
    """The records of a job that ran once on node1."""
    name = JobId(job)
    report = Report(outcome, exit_code=code, host="node1", started=True, ran_for_ns=ran_ns)
    return [
        ("scheduler", JobAccepted(name, JobSpec("warp", ("true",)))),
        ("scheduler", AttemptAssigned(name, 1, "controller")),
        ("scheduler", AttemptStarted(name, 1, "node1")),
        ("scheduler", AttemptEnded(name, 1, report, final=True, good=code == 0)),
    ]


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The wall time of what is written next, in its only entry."""
    moment = [100 * MINUTE]
    monkeypatch.setattr(journal_module, "wall_ns", lambda: moment[0])
    return moment


@pytest.fixture
def journal(tmp_path: Path, now: list[int]) -> Iterator[Journal]:
    tmp_path.chmod(0o700)
    opened = Journal(tmp_path / "journal.sqlite")
    yield opened
    opened.close()


def test_ends_are_counted_by_minute_and_kind(journal: Journal, now: list[int]) -> None:
    journal.append([*life(1), *life(2, code=3), *life(3, code=4)])
    now[0] += MINUTE
    journal.append([*life(4), *life(5, Outcome.LOST, None), *life(6, Outcome.TIMED_OUT, None)])
    lately = Lately(journal.path)
    assert [(each.minute, each.outcome, each.count) for each in lately.minutes(100)] == [
        (100, "exit", 2), (100, "well", 1), (101, "lost", 1), (101, "timeout", 1), (101, "well", 1),
    ]  # fmt: skip
    assert {each.minute for each in lately.minutes(101)} == {101}


def test_every_outcome_belongs_to_a_kind(journal: Journal) -> None:
    journal.append([record for job, outcome in enumerate(Outcome, 1) for record in life(job, outcome, None)])
    assert sum(each.count for each in Lately(journal.path).minutes(0)) == len(Outcome)


def test_run_times_are_of_what_ended_by_itself(journal: Journal) -> None:
    journal.append([record for job in range(1, 101) for record in life(job, ran_ns=job)])
    journal.append(life(200, Outcome.TIMED_OUT, None, ran_ns=10**9))
    assert Lately(journal.path).run_times(0) == {"warp": RunTime(51, 96)}
    assert Lately(journal.path).run_times(101 * MINUTE) == {}
    assert run_time([7]) == RunTime(7, 7)


def test_events_say_who_what_where_and_whether_it_is_bad(journal: Journal) -> None:
    journal.append(life(1, code=3))
    journal.append([("scheduler", TaskChanged("warp", held="mail loop"))])
    journal.append([("controller", HostChanged("node1", "drain", reason="new disk"))])
    events, last = Lately(journal.path).events(0, 100)
    assert [(each.kind, each.job, each.task, each.host, each.text, each.bad) for each in events] == [
        ("job", 1, "warp", "", "made by warp", False),
        ("job", 1, "", "node1", "attempt 1: started on node1", False),
        ("job", 1, "", "node1", "attempt 1: ended on node1: exit 3; final", True),
        ("task", 0, "warp", "", "task warp: held: mail loop", False),
        ("host", 0, "", "node1", "host node1: drain: new disk", False),
    ]
    assert Lately(journal.path).events(last, 100) == ([], last)


def test_of_many_events_the_last_ones_come_and_none_comes_twice(journal: Journal) -> None:
    journal.append([record for job in range(1, 101) for record in life(job)])
    lately = Lately(journal.path)
    events, last = lately.events(0, 5)
    assert [each.job for each in events] == [99, 99, 100, 100, 100]
    journal.append(life(101))
    assert [each.job for each in lately.events(last, 5)[0]] == [101, 101, 101]


def test_without_a_journal_the_answer_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(NotReachableError, match="no journal"):
        Lately(tmp_path / "journal.sqlite").minutes(0)
