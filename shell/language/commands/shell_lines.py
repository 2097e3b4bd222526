"""The command exec, and how words become a line of the shell (also for `list -x`)."""

from __future__ import annotations

import math
from collections.abc import Iterable

from model.job import SECOND
from model.scripting import Executed
from shell.language.calls import Call, Command, Failure, Waiting, shell_text

_TIMEOUT_MAX = 1e9
"""Seconds; a longer limit (31 years) is a mistake."""
_SHOWN = 200
"""Characters of a line that an error sentence repeats."""

_EXEC = "exec [-timeout SECONDS] WORD ..."


def shell_line(words: Iterable[str]) -> str:
    """Words joined by one blank, for the shell to read. What a job wrote is quoted: the shell takes it as text."""
    return " ".join([shell_text(word) for word in words])


def failed_because(line: str, limit: str, reply: Executed) -> str:
    """A clause that says how a line ended; empty if with status 0. `limit`: its seconds, as they were written."""
    shown = line if len(line) <= _SHOWN else line[:_SHOWN] + "..."
    if reply.timed_out:
        return f"not done within {limit} s and ended: {shown}"
    if reply.error:
        return f"{reply.error}: {shown}"
    if reply.status < 0:
        return f"ended by signal {-reply.status}: {shown}"
    return f"status {reply.status}: {shown}" if reply.status else ""


def _exec(call: Call) -> Waiting:
    words = call.words[1:]
    limit = ""
    # only in front: behind the command's name `-timeout` is a word of that command
    if words[:1] == ["-timeout"]:
        if len(words) < 2:
            raise Failure(f"USAGE: {_EXEC}")
        limit = words[1]
        del words[:2]
    if not words:
        raise Failure(f"USAGE: {_EXEC}")
    line = shell_line(words)
    reply = yield from call.execute(line, _nanoseconds(limit) if limit else 0, capture=False)
    complaint = failed_because(line, limit, reply)
    if complaint:
        raise Failure(f"exec: {complaint}")
    return True


def _nanoseconds(word: str) -> int:
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not 0 < value <= _TIMEOUT_MAX:
        raise Failure(f"exec: -timeout wants seconds above 0, not {word}")
    return max(1, round(value * SECOND))


COMMANDS = (
    Command(
        "exec",
        _exec,
        _EXEC,
        "run a line by the shell and wait for it; succeeds if its status is 0",
        waits=True,
        least=1,
    ),
)
