"""Goal: the few that failed are found among the many that did not without looking at those, also in the journals of
earlier versions; those of later ones are left alone; and a question may be about final attempts only.

Method: a small journal; SQLite is asked how it would look for the answer.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from live.history import History, HistoryQuestion, _terms
from live.journal import SCHEMA, Journal, JournalError
from live.lately import Lately
from live.past import read_past
from live.selection import Selection
from model.errors import OperatorError
from model.job import JobId, JobSpec, Outcome, Report
from model.records import AttemptAssigned, AttemptEnded, JobAccepted, Record

ENDS = (
    (1, 1, Outcome.EXITED, 75, False),
    (1, 2, Outcome.EXITED, 0, True),
    (2, 1, Outcome.TIMED_OUT, None, True),
    (3, 1, Outcome.EXITED, 0, True),
    (4, 1, Outcome.EXITED, 3, True),
)
"""job, attempt, outcome, exit code, final"""


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    tmp_path.chmod(0o700)
    path = tmp_path / "journal.sqlite"
    one = Journal(path)
    for job, attempt, outcome, code, final in ENDS:
        records: list[tuple[str, Record]] = []
        if attempt == 1:
            records.append(("scheduler", JobAccepted(JobId(job), JobSpec("reduce", ("true",)))))
        records.append(("scheduler", AttemptAssigned(JobId(job), attempt, "controller")))
        report = Report(outcome, exit_code=code, host="node1", started=True)
        records.append(("scheduler", AttemptEnded(JobId(job), attempt, report, final=final, good=code == 0)))
        one.append(records)
    one.close()
    return path


def found(path: Path, question: HistoryQuestion) -> list[tuple[int, int]]:
    return [(row.job, row.attempt) for row in History(path).attempts(question)]


def index_of(path: Path, question: HistoryQuestion) -> str:
    """By which index SQLite looks for attempts that fit."""
    terms, values = _terms(question)
    query = (
        f"EXPLAIN QUERY PLAN SELECT * FROM attempt WHERE {' AND '.join(terms)} ORDER BY ended_at DESC, job DESC LIMIT 9"
    )
    connection = sqlite3.connect(path)
    try:
        return str(connection.execute(query, values).fetchall()[0][3]).partition("USING INDEX ")[2].split()[0]
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("outcome", "attempts"),
    [
        ("failed", [(1, 1), (2, 1), (4, 1)]),
        ("exit 3", [(4, 1)]),
        ("exit 0", [(1, 2), (3, 1)]),
        ("timed-out", [(2, 1)]),
        ("EXITED", [(1, 1), (1, 2), (3, 1), (4, 1)]),
    ],
)
def test_outcomes_are_found_and_failures_by_their_own_index(
    path: Path, outcome: str, attempts: list[tuple[int, int]]
) -> None:
    assert found(path, HistoryQuestion(outcome=outcome)) == attempts
    failures = outcome not in {"exit 0", "EXITED"}
    assert index_of(path, HistoryQuestion(outcome=outcome)) == ("attempt_failed" if failures else "attempt_ended")


def test_a_rare_task_is_found_by_an_index_and_its_failures_by_that_of_failures(path: Path) -> None:
    assert found(path, HistoryQuestion(task="reduce", outcome="exit 3")) == [(4, 1)]
    assert index_of(path, HistoryQuestion(task="reduce")) == "attempt_task"
    assert index_of(path, HistoryQuestion(task="reduce", outcome="exit 0")) == "attempt_task"
    assert index_of(path, HistoryQuestion(task="reduce", outcome="failed")) == "attempt_failed"


def test_a_journal_of_an_earlier_version_gets_the_index_with_the_next_life(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("DROP INDEX attempt_failed")
    connection.execute("DROP INDEX attempt_task")
    connection.close()
    assert found(path, HistoryQuestion(outcome="failed")) == [(1, 1), (2, 1), (4, 1)]
    one = Journal(path)
    one.epoch()
    one.close()
    assert index_of(path, HistoryQuestion(outcome="failed")) == "attempt_failed"
    assert index_of(path, HistoryQuestion(task="reduce")) == "attempt_task"


@pytest.mark.parametrize("word", ["faild", "exit", "exit x", "exited 0", ""])
def test_an_outcome_that_there_is_not_is_refused(word: str) -> None:
    with pytest.raises(OperatorError, match=r"^no job ends as " + repr(word)):
        HistoryQuestion(outcome=word)


def test_a_near_miss_of_an_outcome_is_named() -> None:
    with pytest.raises(OperatorError, match=r"did you mean failed\?$"):
        HistoryQuestion(outcome="faild")
    with pytest.raises(OperatorError, match=r"^no job is ever 'runing', did you mean running\?$"):
        Selection(state="runing")


@pytest.mark.parametrize(
    "word", ["running", "Pending", "waits on its host", "final", "exit 3", "timed-out", "TIMED_OUT"]
)
def test_every_state_of_a_job_may_be_asked_for(path: Path, word: str) -> None:
    found = [row.job for row in Selection(last=True, state=word).final_rows(History(path))]
    assert found == {"final": [4], "exit 3": [4], "timed-out": [2], "TIMED_OUT": [2]}.get(word, [])


@pytest.mark.parametrize(
    "ask",
    [
        lambda path: History(path).attempts(HistoryQuestion()),
        lambda path: Lately(path).events(0, 10),
        lambda path: read_past(path, 0),
    ],
    ids=["history", "page", "past"],
)
def test_a_journal_of_a_later_version_is_not_misread(path: Path, ask: Callable[[Path], object]) -> None:
    assert ask(path)
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version={SCHEMA + 1}")
    connection.close()
    with pytest.raises(JournalError, match=f"written by another version .schema {SCHEMA + 1}, this one"):
        ask(path)


def test_a_question_may_be_about_final_attempts_only_and_any_number_are_counted(path: Path) -> None:
    assert found(path, HistoryQuestion(outcome="failed", final=True)) == [(2, 1), (4, 1)]
    assert found(path, HistoryQuestion(final=True, limit=1)) == [(4, 1)]
    assert len(list(History(path).ends(HistoryQuestion()))) == 5
    assert [end.outcome for end in History(path).ends(HistoryQuestion(outcome="timed-out"))] == ["TIMED_OUT"]
