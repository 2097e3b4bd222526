"""The seam between the scheduler and what a task *does*: how it prepares a job and how it reacts to a report.

A behaviour either answers at once (declared tasks: pure) or says `LATER`: then the scheduler emits an effect (`Prepare`
or `React`), the driver runs the slow thing outside the dispatch loop with a deadline, and its answer comes back as an
event with the same content. The scheduler cannot tell the two apart otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Protocol

from msgspec import Struct

from model.job import ABNORMAL, Block, JobSpec, Outcome, Report
from model.task import Handler, Retry, TaskDefinition


class Skip(Struct, frozen=True):
    """No job this time, and why; counted by `reason`, and shown with the `detail` of the last time."""

    reason: str
    detail: str = ""


class Later(Enum):
    """The answer comes as an event."""

    LATER = "later"


class Reaction(Struct, frozen=True):
    """What is to follow from a report. The empty reaction: the job is final, nothing else happens."""

    retry: Retry | None = None
    run: tuple[str, ...] = ()
    notify: str = ""
    disable: bool = False
    good: bool | None = None
    """whether downstream tasks get the item; None: when it exited with 0"""
    matched: str = ""
    """which handler spoke, for the story"""


class Behaviour(Protocol):
    """What a task does. One object for each task; it holds no time and no job state."""

    def prepare(self, task: TaskDefinition, job: int, item: str | None) -> JobSpec | Skip | Later:
        """Make the specification of job number `job`."""

    def react(self, task: TaskDefinition, spec: JobSpec, report: Report, retries: int) -> Reaction | Later:
        """Say what follows; `retries` were made already."""


def expand(word: str, values: dict[str, str]) -> str:
    """Replace `$name` and `${name}` of the given values; `$$` is a dollar; anything else stays as it is.

    The result is one word, whatever the value holds.
    """
    if "$" not in word:
        return word
    parts: list[str] = []
    position = 0
    while (dollar := word.find("$", position)) >= 0:
        if dollar > position:
            parts.append(word[position:dollar])
        name, position = _name_at(word, dollar + 1)
        if name == "$":
            parts.append("$")
        elif name in values:
            parts.append(values[name])
        else:
            parts.append(word[dollar:position])
    if position < len(word):
        parts.append(word[position:])
    return "".join(parts)  # of one part alone that part: a million jobs whose word is `$item` have each name once


def _name_at(word: str, start: int) -> tuple[str, int]:
    """The variable's name that begins at `start` (behind the dollar), and the position behind it."""
    if word.startswith("$", start):
        return "$", start + 1
    if word.startswith("{", start):
        close = word.find("}", start)
        return (word[start + 1 : close], close + 1) if close > 0 else ("", start)
    end = start
    while end < len(word) and (word[end].isalnum() or word[end] == "_"):
        end += 1
    return word[start:end], end


def matches(pattern: str, report: Report) -> int:
    """How exactly `pattern` (see `Handler.match`) fits the report: 0 not at all; larger is more exact."""
    pattern = pattern.strip()
    if pattern.startswith("exit "):
        pattern = pattern[5:].strip()
    code = report.exit_code if report.outcome is Outcome.EXITED else None
    if pattern.isdigit():
        return 5 if code == int(pattern) else 0
    low, dash, high = pattern.partition("-")
    if dash and low.isdigit() and high.isdigit():
        return 4 if code is not None and int(low) <= code <= int(high) else 0
    name = pattern.upper().replace("-", "_")
    if name == "TIMEOUT":
        name = "TIMED_OUT"
    if name == report.outcome.name and not (name == "EXITED" and code == 0):
        return 3
    if name == "CRASH":
        return 2 if report.outcome in ABNORMAL else 0
    return 1 if name == "DEFAULT" else 0


def choose_handler(handlers: tuple[Handler, ...], report: Report) -> Handler | None:
    """The most exact handler that matches the report."""
    best: Handler | None = None
    score = 0
    for handler in handlers:
        fit = matches(handler.match, report)
        if fit > score:
            best, score = handler, fit
    return best


def declared_job(task: TaskDefinition, job: int, item: str | None, variables: Mapping[str, str]) -> JobSpec:
    """Job number `job` of a task as its definition says: in its words `$item`, `$job`, `$task` and the names of
    `variables` are replaced. Each word stays one word, and no value is expanded again."""
    values = {**variables, "item": item or "", "job": str(job), "task": task.name}
    block, environment = task.block, task.environment
    if environment:
        environment = tuple([(name, expand(value, values)) for name, value in environment])
    return JobSpec(
        task=task.name,
        command=_expand_all(task.command, values),
        call=task.call,
        arguments=_expand_all(task.arguments, values) if task.arguments else (),
        environment=environment,
        directory=task.directory,
        item=item,
        slots=task.slots,
        nice=task.nice,
        host=task.host,
        timeout_ns=task.periods.timeout_ns,
        pending_ns=task.periods.pending_ns,
        grace_ns=task.grace_ns,
        block=None if block is None else _expand_block(block, values),
        stdout=None if task.stdout is None else expand(task.stdout, values),
        stderr=None if task.stderr is None else expand(task.stderr, values),
        poll_ns=task.periods.poll_ns,
        needs=task.needs,
    )


def same_for_all(task: TaskDefinition) -> JobSpec | None:
    """What all jobs of a task are but for their items, where nothing in its words is to be replaced; else None."""
    block = task.block or Block()
    values = (value for _, value in task.environment)
    words = (*task.command, *task.arguments, *values, *block.before, *block.after, task.stdout or "", task.stderr or "")
    return None if any("$" in word for word in words) else declared_job(task, 0, None, {})


def _expand_all(words: tuple[str, ...], values: dict[str, str]) -> tuple[str, ...]:
    """Each word; where nothing is to be replaced all jobs share the task's own tuple."""
    for word in words:
        if "$" in word:
            return tuple([expand(each, values) for each in words])
    return words


class DeclaredBehaviour:
    """A task whose configuration says everything: `$item` in the command, retries and handlers by table."""

    def prepare(self, task: TaskDefinition, job: int, item: str | None) -> JobSpec | Skip | Later:
        return declared_job(task, job, item, {})

    def react(self, task: TaskDefinition, spec: JobSpec, report: Report, retries: int) -> Reaction | Later:
        handler = choose_handler(task.handlers, report) if task.handlers else None
        retry = task.retry if task.retry and any(matches(on, report) for on in task.retry.on) else None
        if handler is not None and handler.retry is not None:
            retry = handler.retry
        if retry is not None and retries < retry.times:
            return Reaction(retry=retry, matched=handler.match if handler else "retry")
        if handler is None:
            return NO_REACTION
        return Reaction(run=handler.run, notify=handler.notify, disable=handler.disable, matched=handler.match)


def _expand_block(block: Block, values: dict[str, str]) -> Block:
    before = tuple(expand(path, values) for path in block.before)
    return Block(before, tuple(expand(path, values) for path in block.after), block.limit_ns)


NO_REACTION = Reaction()
DECLARED = DeclaredBehaviour()
