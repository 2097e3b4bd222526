"""Records as sentences for people: a job's own story for `explain` (`live/requests.py`), and what happened lately, of
whatever it is, for the page (`live/lately.py`)."""

from __future__ import annotations

from datetime import datetime

from model.job import Report
from model.records import (
    AttemptAssigned,
    AttemptEnded,
    AttemptGiven,
    AttemptReturned,
    AttemptStarted,
    HostChanged,
    IntakeChanged,
    JobAccepted,
    JobHeld,
    NoticeHeard,
    Record,
    TaskChanged,
)
from model.scheduler import describe


def story_lines(story: list[tuple[int, Record]]) -> tuple[str, ...]:
    """One line for each record of the job, with the server's local time."""
    return tuple(f"{_time(wall)}  {text}" for wall, record in story if (text := _text(record)))


def told(record: Record) -> str:
    """What any record says, in a sentence. Empty: no news to people."""
    return _text(record) if getattr(record, "job", 0) else _news(record)


def _news(record: Record) -> str:
    """Of a record that is about no job. Empty: no news to people."""
    if isinstance(record, TaskChanged):
        if record.deleted:
            return f"task {record.task}: deleted"
        if record.faulted:
            return f"task {record.task}: faulted: {record.faulted}"
        return f"task {record.task}: held: {record.held}" if record.held else f"task {record.task}: released"
    if isinstance(record, HostChanged):
        return f"host {record.host}: {record.verb}{f': {record.reason}' if record.reason else ''}"
    if isinstance(record, IntakeChanged):
        return f"intake: {record.state}{f': {record.reason}' if record.reason else ''}"
    return f"{record.about}: {record.text}" if isinstance(record, NoticeHeard) else ""


def _time(wall_ns: int) -> str:
    return datetime.fromtimestamp(wall_ns / 1e9).astimezone().isoformat(sep=" ", timespec="milliseconds")[:23]


def _text(record: Record) -> str:
    """Empty for a record that is no news to people."""
    if isinstance(record, JobAccepted):
        item = f" for {record.spec.item}" if record.spec.item is not None else ""
        parent = f", again for job {record.parent}" if record.parent else ""
        return f"made by {record.spec.task}{item}{parent}"
    if isinstance(record, AttemptAssigned):
        return f"attempt {record.attempt}: handed to {record.executor}"
    if isinstance(record, AttemptGiven):
        return f"attempt {record.attempt}: given to host {record.host}"
    if isinstance(record, AttemptStarted):
        return f"attempt {record.attempt}: started on {record.host}"
    if isinstance(record, AttemptEnded):
        return f"attempt {record.attempt}: {_end(record.report)}{_what_follows(record)}"
    if isinstance(record, JobHeld):
        return f"held: {record.reason}" if record.reason else "released"
    return "" if isinstance(record, AttemptReturned) else type(record).__name__


def _end(report: Report) -> str:
    where = f" on {report.host}" if report.host else ""
    return f"ended{where}: {describe(report)}"


def _what_follows(record: AttemptEnded) -> str:
    if record.final:
        return "; final"
    if record.held:
        return f"; held: {record.held}"
    return f"; tried again after {record.wait_ns / 1e9:g} s" if record.wait_ns else "; tried again"
