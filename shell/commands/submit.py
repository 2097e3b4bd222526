"""`laulima submit -- COMMAND`: a job of its own; with `--wait` it behaves like the command itself.

Exit codes with `--wait`: the job's own; 128 + N when signal N ended it, 124 timed out, 127 command not found (as
shells and `timeout` have it), and 125 when the job ended in any other way.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from model.job import Outcome
from shell.client import Client
from shell.commands.logs import Log, Printer, copy_file, copy_output
from shell.selections import UsageError
from shell.session import Session, is_terminal
from shell.wording import clean, duration

NEVER_RAN = 125
CODES = {Outcome.TIMED_OUT: 124, Outcome.COMMAND_NOT_FOUND: 127}


class EndedReport(Struct, frozen=True):
    """What the command line needs of a report (`model.job.Report`)."""

    outcome: Outcome
    exit_code: int | None = None
    signal: int | None = None
    reason: str = ""
    host: str = ""
    ran_for_ns: int = 0


class Waited(Struct, frozen=True):
    """The answer to `submit` with `wait`. `stdout`, `stderr`: files, None when nothing was written, or it stands on
    another machine (`elsewhere`)."""

    job: int
    attempt: int
    report: EndedReport
    stdout: str | None = None
    stderr: str | None = None
    elsewhere: bool = False


def submit(
    session: Session,
    *,
    command: Sequence[str],
    like: str | None,
    host: str | None,
    required: bool,
    slots: int | None,
    timeout_ns: int | None,
    pending_ns: int | None,
    environment: Sequence[str],
    directory: str | None,
    wait: bool,
    wait_at_most: int | None,
) -> int:
    if required and not host:
        raise UsageError("--required needs --host")
    if wait_at_most is not None and not wait:
        raise UsageError("--wait-at-most needs --wait")
    arguments: dict[str, Any] = {
        "command": list(command),
        "like": like,
        "host": host,
        "required": required,
        "slots": slots,
        "timeout_ns": timeout_ns,
        "pending_ns": pending_ns,
        "environment": dict(_assignment(word) for word in environment),
        "directory": directory,
        "wait": wait,
    }
    if not wait:
        made = session.ask(arguments, dict[str, Any])
        session.say(str(made["job"]))
        session.note(f"job {made['job']}: laulima explain {made['job']}, laulima logs {made['job']} -f")
        return 0
    with session.client() as client:
        try:
            ended = client.ask("submit", arguments, Waited, None if wait_at_most is None else wait_at_most / 1e9)
        except KeyboardInterrupt:
            session.note("the job goes on: laulima jobs last, laulima kill last")
            raise
        return show(session, client, ended)


def _assignment(word: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    if not equals or not name:
        raise UsageError(f"--env takes NAME=VALUE, not {word!r}")
    return name, value


def show(session: Session, client: Client, ended: Waited) -> int:
    """The job's output and errors as they are, and its exit code."""
    for stream, path, to, raw in (
        ("stdout", ended.stdout, sys.stdout.buffer, not is_terminal()),
        ("stderr", ended.stderr, sys.stderr.buffer, not sys.stderr.isatty()),
    ):
        printer = Printer(raw=raw, to=to)
        if ended.elsewhere:
            found = client.ask("logs", {"job": ended.job, "attempt": ended.attempt, "stream": stream}, Log)
            copy_output(client, ended.job, stream, found, 0, printer)
        elif path is not None and Path(path).exists():
            copy_file(path, 0, Path(path).stat().st_size, printer)
        printer.write(b"", last=True)
    report = ended.report
    if report.outcome is Outcome.EXITED:
        return report.exit_code or 0
    why = f": {clean(report.reason)}" if report.reason else ""
    session.note(f"job {ended.job} {report.outcome.value} after {duration(report.ran_for_ns)}{why}")
    if report.outcome is Outcome.CRASHED and report.signal:
        return 128 + report.signal
    return CODES.get(report.outcome, NEVER_RAN)
