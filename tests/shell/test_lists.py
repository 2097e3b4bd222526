"""Goal: a list shows as much as a person reads, says what it leaves out, and how to see that; and a plan is a table.

Method: command lines against the stub of a server, which has as many rows as it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from shell.wording import moment
from tests.shell.rows import job_row, plan_row
from tests.shell.stub import Ran, Stub

Laulima = Callable[..., Ran]


def test_a_plan_is_a_table_of_what_would_start_when(server: Stub, laulima: Laulima) -> None:
    hour, day = 3600 * 10**9, 86_400 * 10**9
    times = tuple(50_000 * day + number * day for number in range(6))  # far from any day on which this runs
    server.answers["plan"] = [
        plan_row("copy", starts=9, first_at=times[0], last_at=50_009 * day, times=times),
        plan_row("each", items=3, why="a job for each item that copy finishes"),
        plan_row("stack", why='held: "mail loop"'),
    ]
    head, copied, each, held = laulima("plan", "--for", "9h", "--wide").out.splitlines()
    assert server.requests == [("plan", {"for_ns": 9 * hour})]
    assert head.split() == ["TASK", "STARTS", "NEXT", "WHEN", "ITEMS", "WHY"]
    shown = [moment(at, 0) for at in (*times[:4], 50_009 * day)]
    assert f"{' '.join(shown[:4])} … {shown[4]}" in copied
    assert each.split()[:5] == ["each", "0", "-", "-", "3"]
    assert held.endswith('held: "mail loop"')


def many(server: Stub, count: int) -> None:
    """A server on which so many jobs wait."""
    server.answers["count_jobs"] = {"jobs": count}
    server.answers["jobs"] = lambda given: [job_row(job) for job in range(1, count + 1)][: given["limit"]]


def test_jobs_shows_a_hundred_and_says_how_many_more_there_are(server: Stub, laulima: Laulima) -> None:
    many(server, 10_000)
    lines = laulima("jobs", "task=warp").out.splitlines()
    assert [line.split()[0] for line in lines[1:-1]] == [str(job) for job in range(1, 101)]
    assert lines[-1].startswith("and 9900 more: --all shows all, -n 1000 ")
    asked = {"selection": {"task": "warp"}}
    assert server.requests == [("jobs", {**asked, "limit": 101}), ("count_jobs", asked)]


@pytest.mark.parametrize(
    ("words", "count", "shown", "more"),
    [
        ("jobs", 100, 100, False),
        ("jobs -n 3", 100, 3, True),
        ("jobs -n 100", 100, 100, False),
        ("jobs --all", 300, 300, False),
    ],
)
def test_so_many_jobs_are_shown_as_one_asks_for(
    server: Stub, laulima: Laulima, words: str, count: int, shown: int, more: bool
) -> None:
    many(server, count)
    lines = laulima(*words.split()).out.splitlines()
    assert len(lines) == 1 + shown + more
    assert lines[-1].startswith("and ") is more


def test_jobs_as_json_are_all_of_them_unless_it_is_said(server: Stub, laulima: Laulima) -> None:
    many(server, 300)
    assert len(laulima("jobs", "--json").json["jobs"]) == 300
    assert len(laulima("jobs", "--json", "-n", "3").json["jobs"]) == 3
    ran = laulima("jobs", "--all", "-n", "3")
    assert (ran.code, ran.out) == (2, "")


def test_of_jobs_that_ended_the_last_ones_are_shown_and_none_is_counted(server: Stub, laulima: Laulima) -> None:
    server.answers["jobs"] = [job_row(job, state="final", outcome="exit 3") for job in (7, 8, 9)]
    lines = laulima("jobs", "state=failed", "-n", "2").out.splitlines()
    assert [line.split()[0] for line in lines[1:-1]] == ["8", "9"]
    assert lines[-1].startswith("and more: --all ")
    assert [verb for verb, _ in server.requests] == ["jobs"]
