"""The past of a server as jobs, from a recording of its decisions instead of its journal: the same `Past`.

A recording says what each machine was told, by its own clock, and what it asked for; wall times are those of the
beginning of its life plus what that clock says since. Called by `shell/commands/past.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from live.decisions import Recording
from live.host_outages import HeardOf, outages
from live.outward import ABOUT_HOST
from live.past import Past, PastJob, note_unfinished
from model.decisions import Advanced, Drained, Entry, LifeBegun, MachineMade, Received
from model.effects import Commit, Notice
from model.errors import ConfigurationError
from model.records import (
    AttemptEnded,
    AttemptStarted,
    HostChanged,
    ItemsFound,
    JobAccepted,
    NoticeHeard,
    Record,
)
from model.restored import Fold
from model.view_rows import command_text
from model.views import HistoryRow

SCHEDULER: Final = "scheduler"
CONTROLLER: Final = "controller"
_COMMIT: Final = msgspec.msgpack.Decoder(Commit).decode
_NOTICE: Final = msgspec.msgpack.Decoder(Notice).decode


def recorded_past(path: Path) -> tuple[Past, int]:
    """All that it tells, and the wall time of its end. Raises ConfigurationError when it is none, or cannot be read."""
    reading = _Reading()
    try:
        for entry in Recording(path).entries():
            reading.take(entry)
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be read: {error.strerror}", "laulima run FILE --decisions RECORDING makes one"
        ) from error
    except (msgspec.MsgspecError, KeyError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}", "it was made by another version") from error
    return reading.past(), reading.end_at


class _Reading:
    """What is known while the entries are gone through."""

    def __init__(self) -> None:
        self.at = self.end_at = 0
        """wall time of the last entry that had a clock; the latest of them (machines do not begin at one instant)"""
        self._began_at = 0
        self._fold = Fold()
        self._past = Past()
        self._jobs: dict[int, PastJob] = {}
        self._started: dict[tuple[int, int], int] = {}
        self._offsets: dict[str, int] = {}
        """of each machine: from its clock to wall time"""
        self._notices: list[tuple[int, NoticeHeard]] = []
        self._heard: list[HeardOf] = []

    def take(self, entry: Entry) -> None:
        match entry:
            case LifeBegun():
                self._began_at = self.at = entry.began_at
                for record in entry.restored:
                    self._fold.add(record)
            case MachineMade():
                self._offsets[entry.machine] = self._began_at - entry.of.now
            case Received() | Advanced():
                self.at = self._offsets[entry.machine] + entry.now
                self.end_at = max(self.end_at, self.at)
            case Drained():
                for kind, effect in entry.effects:
                    if kind == "Commit":
                        self._record(entry.machine, _COMMIT(effect).record)
                    elif kind == "Notice" and entry.machine == CONTROLLER:
                        notice = _NOTICE(effect)
                        self._notices.append((self.at, NoticeHeard(notice.level, notice.about, notice.text)))

    def _record(self, machine: str, record: Record) -> None:
        self._fold.add(record)
        if isinstance(record, HostChanged):
            self._past.hosts.append((self.at, record))
        elif isinstance(record, NoticeHeard) and record.about.startswith(ABOUT_HOST):
            self._notices.append((self.at, record))
        elif machine != SCHEDULER:
            return
        elif isinstance(record, ItemsFound):
            for item in record.items:
                self._past.found_at.setdefault((record.task, item), self.at)
        elif isinstance(record, JobAccepted):
            self._jobs[record.job] = PastJob(record.job, record.spec, self.at, record.parent, record.plain)
        elif isinstance(record, AttemptStarted):
            self._started[record.job, record.attempt] = self.at
            self._heard.append(HeardOf(record.host, self.at))
        elif isinstance(record, AttemptEnded):
            self._ended(record)

    def _ended(self, record: AttemptEnded) -> None:
        job, report = self._jobs.get(record.job), record.report
        if job is None:
            return  # accepted before the recording began
        started_at = self._started.pop((record.job, record.attempt), None)
        if started_at is None and report.started:
            started_at = self.at - report.ran_for_ns
        if started_at is not None:
            self._heard.append(HeardOf(report.host, started_at, self.at, report.outcome.value == "LOST"))
        row = HistoryRow(
            record.job, record.attempt, job.spec.task, job.spec.item, command_text(job.spec), report.host,
            report.outcome.value, report.exit_code, report.signal, report.reason, job.accepted_at, started_at, self.at,
            report.waited_ns, report.ran_for_ns, record.final, report.stdout_bytes, report.stderr_bytes,
        )  # fmt: skip
        job.attempts.append(row)

    def past(self) -> Past:
        """All of it."""
        past = self._past
        note_unfinished(past, self._jobs, self._fold, lambda job, attempt: self._started.get((job, attempt)))
        past.jobs = [self._jobs[number] for number in sorted(self._jobs)]
        past.outages = outages(self._notices, self._heard)
        return past
