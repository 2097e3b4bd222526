"""Goal: `history --stats` says of each task what became of its attempts and how long they took, from the journal alone.

Method: attempts as the journal says them, counted; and a journal that is written here, which no server serves.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from live.history import Ended
from live.journal import Journal
from model.job import JobId, JobSpec, Outcome, Report
from model.records import AttemptAssigned, AttemptEnded, JobAccepted, Record
from shell.commands import reads
from shell.commands.statistics import Tally, statistics_lines
from shell.tables import Style
from tests.shell.rows import HOUR, MINUTE, SECOND
from tests.shell.stub import Ran

Laulima = Callable[..., Ran]


def ended(task: str = "warp", **more: Any) -> Ended:
    fields: dict[str, Any] = {
        "outcome": "EXITED", "exit_code": 0, "signal": None, "final": 1, "started": 1, "ended_at": SECOND,
        "waited_ns": 0, "ran_for_ns": SECOND, **more,
    }  # fmt: skip
    return Ended(task, **fields)


def night() -> list[Ended]:
    ran = [
        ended(ran_for_ns=number * SECOND, ended_at=number * SECOND, waited_ns=number * MINUTE)
        for number in range(100, 0, -1)
    ]
    return [
        *ran,
        ended(exit_code=75, final=0),
        ended(outcome="TIMED_OUT", exit_code=None),
        ended(outcome="HOST_DOWN", exit_code=None, started=0, ran_for_ns=HOUR),
        ended("copy", outcome="CRASHED", exit_code=None, signal=11),
    ]


def test_each_task_is_counted_and_measured() -> None:
    tally = Tally()
    tally.count(night()[:50])
    tally.count(night()[50:])
    copy, warp = tally.rows()
    assert (copy.task, copy.good, copy.failed, copy.outcomes) == ("copy", 0, 1, {"CRASHED 11": 1})
    assert (warp.attempts, warp.good, warp.failed, warp.retried) == (103, 100, 2, 1)
    assert warp.outcomes == {"exit 0": 100, "exit 75": 1, "TIMED_OUT": 1, "HOST_DOWN": 1}
    ran = (warp.ran_p50_ns, warp.ran_p95_ns, warp.ran_p99_ns, warp.ran_max_ns)
    assert ran == (
        49 * SECOND,
        95 * SECOND,
        99 * SECOND,
        100 * SECOND,
    )  # of 102: the one that did not begin ran no time
    waited = (warp.waited_p50_ns, warp.waited_p95_ns, warp.waited_p99_ns, warp.waited_max_ns)
    assert waited == (49 * MINUTE, 95 * MINUTE, 99 * MINUTE, 100 * MINUTE)
    assert (warp.first_at, warp.last_at, sum(warp.ends)) == (SECOND, 100 * SECOND, 103)


def test_the_table_fits_80_columns_and_keeps_what_matters() -> None:
    tally = Tally()
    tally.count(night())
    head, *lines = statistics_lines(tally.rows(), Style(80), 200 * SECOND)
    assert head.split()[:4] == ["TASK", "DONE", "FAIL", "RAN"]
    assert max(len(line) for line in [head, *lines]) <= 80
    wide = statistics_lines(tally.rows(), Style(0), 200 * SECOND)[0]
    words = "TASK DONE FAIL AGAIN RAN p50 p95 p99 max WAITED p50 p95 p99 max FIRST LAST ENDS OUTCOMES"
    assert " ".join(wide.split()) == words


@pytest.fixture
def journal(state: Path) -> Path:
    """Three jobs of copy and two of warp, of which one failed; no server."""
    records: list[tuple[str, Record]] = []
    for number, task, code in ((1, "copy", 0), (2, "copy", 0), (3, "warp", 3), (4, "copy", 0), (5, "warp", 0)):
        job = JobId(number)
        report = Report(Outcome.EXITED, exit_code=code, host="node1", started=True, ran_for_ns=number * SECOND)
        records += [
            ("scheduler", JobAccepted(job, JobSpec(task, ("true",)))),
            ("scheduler", AttemptAssigned(job, 1, "controller")),
            ("scheduler", AttemptEnded(job, 1, report, final=True, good=code == 0)),
        ]
    path = state / "journal.sqlite"
    one = Journal(path)
    one.append(records)
    one.close()
    return path


def statistics(laulima: Laulima, *words: str) -> dict[str, tuple[int, int]]:
    """Of each task how many ended well and how many did not."""
    rows = laulima("history", "--stats", "--json", *words).json["statistics"]
    return {row["task"]: (row["good"], row["failed"]) for row in rows}


def test_statistics_come_from_the_journal_and_of_a_selection(journal: Path, laulima: Laulima) -> None:
    assert statistics(laulima) == {"copy": (3, 0), "warp": (1, 1)}
    assert statistics(laulima, "task=warp") == {"warp": (1, 1)}
    assert statistics(laulima, "outcome=failed", "--since", "1h") == {"warp": (0, 1)}
    assert statistics(laulima, "outcome=exit 3", "host=node1") == {"warp": (0, 1)}
    assert statistics(laulima, "1", "3-4") == {"copy": (2, 0), "warp": (0, 1)}
    assert statistics(laulima, "task=none") == {}


def test_that_only_the_last_attempts_are_counted_is_said(
    journal: Path, laulima: Laulima, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = laulima("history", "--stats")
    assert (ran.out.splitlines()[1].split()[0], ran.err) == ("copy", "")
    monkeypatch.setattr(reads, "STATISTICS_DEFAULT", 2)
    ran = laulima("history", "--stats")
    assert "the last 2 attempts" in ran.err
    assert "--limit 20" in ran.err
    assert len(ran.out.splitlines()) == 3
    assert laulima("history", "--stats", "task=none").err.startswith("nothing that ended fits")
