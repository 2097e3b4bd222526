"""The words with which people name jobs, tasks and hosts: `81231`, `12-20`, `last`, `task=warp state=failed`.

Also what they say that a host has. Called by the commands; a result is an argument of the control socket. Whether such
jobs exist is the server's to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from model.errors import LaulimaError
from model.resources import Amounts
from shell.wording import nearest

JOBS_MAX = 100_000
"""Jobs that one command line may name by number."""
FILTERS = ("task", "state", "host")
ABOUT = ("job", "task", "host")

_NUMBER = re.compile(r"[0-9]{1,18}")
_RANGE = re.compile(r"([0-9]{1,18})-([0-9]{1,18})")


class UsageError(LaulimaError):
    """The command line makes no sense; nothing was asked of the server."""

    exit_code = 2


def offered(resources: Sequence[str], labels: Sequence[str]) -> tuple[Amounts, tuple[str, ...]]:
    """What a host has, in the words of a command line: `cpus=8 memory=32GiB`, `gpu`. Raises `UsageError`."""
    if not resources and not labels:
        return (), ()
    from shell.config.resource_sections import amounts_of_words, labels_of_words  # noqa: PLC0415 - takes long to import

    try:
        return amounts_of_words(resources), labels_of_words(labels)
    except ValueError as error:
        raise UsageError(f"--resource, --label: {error}", "as in a pipeline: --resource cpus=8 --label ssd") from None


def selection(words: Iterable[str], *, everything: bool = False) -> dict[str, Any]:
    """The selection that `words` make. All parts must hold: `task=warp state=failed` are warp's failed jobs.

    Raises `UsageError` for a word that is none.
    """
    chosen: dict[str, Any] = {}
    jobs: list[int] = []
    for word in words:
        key, equals, value = word.partition("=")
        if equals:
            _add_filter(chosen, key, value)
        elif word == "last":
            chosen["last"] = True
        elif _NUMBER.fullmatch(word):
            jobs.append(int(word))
        elif span := _RANGE.fullmatch(word):
            jobs.extend(_range(int(span[1]), int(span[2]), word))
        elif word == "all":
            chosen["all"] = True
        else:
            raise UsageError(
                f"{word!r} names no job", "a job is a number, a range 12-20, `last`, or task=NAME state=NAME host=NAME"
            )
    if len(jobs) > JOBS_MAX:
        raise UsageError(f"{len(jobs)} jobs are more than the {JOBS_MAX} that one command may name")
    if jobs:
        chosen["jobs"] = jobs
    if everything:
        chosen["all"] = True
    return chosen


def _add_filter(chosen: dict[str, Any], key: str, value: str) -> None:
    if key not in FILTERS:
        raise UsageError(f"{key}= is no filter{nearest(key, FILTERS)}", f"filters: {', '.join(FILTERS)}")
    if not value:
        raise UsageError(f"{key}= needs a value")
    if key in chosen:
        raise UsageError(f"{key}= is given twice")
    chosen[key] = value


def _range(first: int, last: int, word: str) -> range:
    if last < first:
        raise UsageError(f"{word} runs backwards")
    if last - first >= JOBS_MAX:
        raise UsageError(f"{word} is more than the {JOBS_MAX} jobs that one command may name")
    return range(first, last + 1)


def names_and_states(words: Iterable[str]) -> tuple[list[str], list[str]]:
    """Of tasks or hosts: those that are named, and the states (`state=down`) of which they may be."""
    names: list[str] = []
    states: list[str] = []
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            names.append(word)
        elif key != "state":
            raise UsageError(f"{key}= is no filter here{nearest(key, ['state'])}", "names, or state=NAME")
        elif not value:
            raise UsageError("state= needs a value")
        else:
            states.append(value.lower())
    return names, states


def needed(chosen: dict[str, Any], verb: str) -> dict[str, Any]:
    """The selection, if it selects at all: a change never means everything unless that was said."""
    if not chosen:
        raise UsageError(f"which jobs should {verb} take?", f"laulima {verb} 12 13, {verb} task=NAME, or {verb} --all")
    return chosen


def about(words: Sequence[str], verb: str = "explain") -> dict[str, Any]:
    """The argument of `explain` and `check`: `[job|task|host] NAME`."""
    if len(words) == 1:
        return {"about": "job" if _NUMBER.fullmatch(words[0]) else None, "name": words[0]}
    if len(words) == 2 and words[0] in ABOUT:
        return {"about": words[0], "name": words[1]}
    raise UsageError(f"{verb} takes one name", f"laulima {verb} 81231, {verb} task warp, {verb} host node3")


def task_or_jobs(words: Sequence[str], verb: str) -> dict[str, Any]:
    """What hold and release act on: one task by its name, or jobs by a selection."""
    if len(words) == 1 and "=" not in words[0] and words[0] not in {"last", "all"}:
        word = words[0]
        if not (_NUMBER.fullmatch(word) or _RANGE.fullmatch(word)):
            return {"task": word}
    return {"selection": needed(selection(words), verb)}
