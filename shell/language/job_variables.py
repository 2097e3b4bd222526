"""The variables and queues in which a task's exit macro finds its job: `$taskarg:N`, `$options:N`, `$EXIT`, the queue
`stdout` …

They are set before each exit macro, whatever the end, so that nothing of an earlier job is taken for this one's. They
are global, as the language wants it; but where one reaction waits and another one runs, each finds its own again. The
queues are emptied behind the macro. Made by `work.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from model.effects import React
from model.job import LOCAL, Outcome, Report
from model.scripting import OutputFetched
from shell.language.calls import Data

if TYPE_CHECKING:
    from shell.language.language import Language

STREAMS = ("stdout", "stderr")
_STATUS = {Outcome.CRASHED: "CRASH", Outcome.TIMED_OUT: "TIMEOUT"}
"""Historical words; any other end is called by its own name."""


def exit_word(report: Report) -> str | int:
    """`$EXIT`: the exit number, `CRASH`, `TIMEOUT`, or the outcome's name."""
    if report.outcome is Outcome.EXITED:
        return report.exit_code or 0
    return _STATUS.get(report.outcome, report.outcome.name)


class JobVariables:
    """What one reaction is shown."""

    def __init__(self, event: React) -> None:
        report, spec = event.report, event.spec
        status = exit_word(report)
        seconds = f"{report.ran_for_ns / 1e9:.12g}"
        host = "localhost" if LOCAL in (report.host, spec.host.name) else report.host
        self._words: dict[str, Sequence[str]] = {
            "taskarg": spec.command or ((spec.call or ""), *spec.arguments),
            "options": spec.options,
        }
        self._values: dict[str, str | int] = {
            "EXIT": status,
            "JOB_STATUS": status,
            "JOB_HOSTNAME": host or "NONE",
            "JOB_DTIME": seconds,
            "JOBID": event.job,
            "JOB_ATTEMPT": event.attempt,
            "JOB_OUTCOME": report.outcome.name,
            "JOB_SIGNAL": report.signal or 0,
            "stdout": Data(""),
            "stderr": Data(""),
        }
        self._queued = dict.fromkeys(STREAMS, "")

    def take_output(self, output: OutputFetched) -> None:
        """What the job wrote: whole as `$stdout`, by lines in the queue; lines end at newlines only."""
        for name, text in zip(STREAMS, (output.stdout, output.stderr), strict=True):
            self._values[name] = Data(text)
            self._queued[name] = text

    def install(self, language: Language) -> None:
        """Set all variables and both queues."""
        variables = language.variables
        variables.update(self._values)
        for name, words in self._words.items():
            _set_list(variables, name, words)
        for name, text in self._queued.items():
            language.queues.fill(name, text)

    def put_away(self, language: Language) -> None:
        """Keep what the macro left in the queues, for when it goes on."""
        for name in STREAMS:
            queue = language.queues.get(name)
            self._queued[name] = "".join([line + "\n" for line in queue or ()])

    @staticmethod
    def empty_queues(language: Language) -> None:
        for name in STREAMS:
            language.queues.init(name)


def _set_list(variables: dict[str, str | int], name: str, words: Sequence[str]) -> None:
    """`name:0` … and `name:n`; elements of a longer list before it are taken away."""
    before = variables.get(f"{name}:n", 0)
    for place in range(len(words), before if isinstance(before, int) else 0):
        variables.pop(f"{name}:{place}", None)
    for place, word in enumerate(words):
        variables[f"{name}:{place}"] = word
    variables[f"{name}:n"] = len(words)
