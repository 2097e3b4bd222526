"""Records as sentences for people: a job's own story for `explain` (`live/requests.py`), and what happened lately, of
whatever it is, for the page (`live/lately.py`)."""

from __future__ import annotations

from datetime import datetime

from model.events import HostVerb, IntakeVerb
from model.explain import held_text
from model.job import Report
from model.records import (
    AttemptAssigned,
    AttemptEnded,
    AttemptGiven,
    AttemptReturned,
    AttemptStarted,
    ConfigurationTaken,
    HostChanged,
    IntakeChanged,
    JobAccepted,
    JobDoomed,
    JobHeld,
    NoticeHeard,
    PersonOrdered,
    Record,
    TaskChanged,
)
from model.scheduler import describe

TOLD_BY_ANOTHER = frozenset({"hold", "release", "delete", *(verb.value for verb in (*HostVerb, *IntakeVerb))})
"""Orders about no job of which another record of the same turn tells what came of them, and who gave them."""


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
        return f"task {record.task}: {held_text(record.held)}" if record.held else f"task {record.task}: released"
    if isinstance(record, HostChanged):
        return f"host {record.host}: {record.verb}{f': {record.reason}' if record.reason else ''}"
    if isinstance(record, IntakeChanged):
        return f"intake: {record.state}{f': {record.reason}' if record.reason else ''}"
    if isinstance(record, ConfigurationTaken):
        return f"configuration: {record.what}, by {record.by}{f': {record.reason}' if record.reason else ''}"
    if isinstance(record, PersonOrdered) and record.verb not in TOLD_BY_ANOTHER:
        return f"{f'{record.about} {record.name}'.strip()}: {_ordered(record)}"
    return f"{record.about}: {record.text}" if isinstance(record, NoticeHeard) else ""


def _ordered(record: PersonOrdered) -> str:
    return ordered_words(record.verb, record.by, record.reason)


def ordered_words(verb: str, by: str, reason: str) -> str:
    """Who has ordered what: `drain by ann@head: new disk`."""
    return f"{verb} by {by}{f': {reason}' if reason else ''}"


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
        return f"attempt {record.attempt}: given {'ahead ' if record.ahead else ''}to host {record.host}"
    if isinstance(record, AttemptStarted):
        return f"attempt {record.attempt}: started on {record.host}"
    if isinstance(record, AttemptEnded):
        return f"attempt {record.attempt}: {_end(record.report)}{_what_follows(record)}"
    if isinstance(record, JobHeld):
        return held_text(record.reason) if record.reason else "released"
    if isinstance(record, JobDoomed):
        return f"to be ended as soon as its executor answers: {record.why}"
    if isinstance(record, PersonOrdered):
        return "" if record.verb == "hold" else _ordered(record)
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
