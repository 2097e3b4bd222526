"""Which jobs the words of a command line mean, for commands that look at one job after another: `logs`, `explain`,
`check`. A number is taken as it is; everything else is asked of the server.
"""

from __future__ import annotations

from collections.abc import Sequence

from model.errors import OperatorError
from model.views import HistoryRow, JobRow
from shell.client import Client
from shell.selections import UsageError, selection
from shell.wording import count

JOBS_MAX = 20
"""Jobs that one command shows one after another."""


def jobs_meant(client: Client, words: Sequence[str]) -> list[int]:
    """The numbers of the jobs, the last one that was made for `last`. Raises OperatorError when there is none, or when
    there are more than JOBS_MAX; UsageError for words that name no jobs."""
    chosen = selection(words)
    if not chosen:
        raise UsageError("which job?", "a number, last, or task=NAME state=NAME host=NAME")
    numbers = list(chosen.get("jobs", ()))
    if chosen == {"last": True}:
        numbers = _last(client)
    elif set(chosen) != {"jobs"}:
        numbers = [row.job for row in client.ask("jobs", {"selection": chosen, "limit": JOBS_MAX + 1}, list[JobRow])]
        if not numbers:
            raise OperatorError("no job fits", "what there is: laulima jobs; what ended: laulima history")
    if len(numbers) > JOBS_MAX:
        raise OperatorError(f"more than {count(JOBS_MAX, 'job')} fit", "add task=NAME, state=NAME, host=NAME or last")
    return numbers


def _last(client: Client) -> list[int]:
    rows = client.ask("jobs", {"selection": {"last": True}}, list[JobRow])
    past = client.ask("history", {"limit": 1}, list[HistoryRow])
    numbers = [row.job for row in rows] + [row.job for row in past]
    if not numbers:
        raise OperatorError("there is no job yet", "see laulima tasks")
    return [max(numbers)]


def names_jobs(words: Sequence[str]) -> bool:
    """Whether these are words of a selection, not the name of a task or host."""
    return all("=" in word or word in ("last", "all") or word.replace("-", "", 1).isdigit() for word in words)
