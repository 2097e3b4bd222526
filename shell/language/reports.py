"""What is counted of a script's task, for `status`: numbers and run times of its jobs that have ended.

Filled where a job's end is reacted to; shown by `commands/looking.py`. Not here: how many jobs were made and how many
run (the scheduler knows), and layout.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from model.job import SECOND, Outcome, Report


@dataclass(slots=True)
class Times:
    """How many jobs, and their run times in seconds."""

    count: int = 0
    total: float = 0.0
    least: float = 0.0
    most: float = 0.0

    def add(self, seconds: float) -> None:
        """One more job that ran so long."""
        self.least = seconds if self.count == 0 else min(self.least, seconds)
        self.most = max(self.most, seconds)
        self.total += seconds
        self.count += 1

    @property
    def average(self) -> float:
        return self.total / self.count if self.count else 0.0


@dataclass(slots=True)
class TaskStatistics:
    """Ends of one task's jobs since the server began, or since `reset`."""

    good: Times = field(default_factory=Times)
    """exit 0"""
    bad: Times = field(default_factory=Times)
    """any other end, those by their time limit included; not those that a person ended"""
    timed_out: int = 0
    jobs_before: int = 0
    """jobs that the task had made when its statistics were reset"""
    good_before: int = 0
    bad_before: int = 0

    def record(self, report: Report) -> None:
        """A job has ended for good."""
        if report.outcome is Outcome.KILLED:
            return
        good = report.outcome is Outcome.EXITED and report.exit_code == 0
        (self.good if good else self.bad).add(report.ran_for_ns / SECOND)
        if report.outcome is Outcome.TIMED_OUT:
            self.timed_out += 1

    def reset(self, made: int, good: int, bad: int) -> None:
        """Count from here: so many jobs were made until now, so many ended well, and not."""
        self.good, self.bad = Times(), Times()
        self.timed_out = 0
        self.jobs_before, self.good_before, self.bad_before = made, good, bad
