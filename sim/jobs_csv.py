"""`jobs.csv`: a line for each job, Batsim's columns first and with their meaning, so that its tools (evalys) read it.

Times are seconds with nine decimals. Lines come in the order in which jobs became final, those that are still open
last; what a job does not have is an empty cell. A job's number is its item where it has one: for a job log the number
that it has there. Fed by `sim/measuring.py`.

Batsim numbers the processors of a platform; here these are the slots of all hosts, host after host. Hosts have slots
and no numbers for them: a job is given the lowest that are free on its host, which is one right way to draw it.
"""

from __future__ import annotations

import csv
from heapq import heapify, heappop, heappush
from typing import IO

from model.job import SECOND, AttemptKey, Outcome
from model.records import AttemptEnded
from sim.measuring import NONE, Observed

BATSIM_COLUMNS = (
    "job_id", "workload_name", "profile", "submission_time", "requested_number_of_resources", "requested_time",
    "success", "final_state", "starting_time", "execution_time", "finish_time", "waiting_time", "turnaround_time",
    "stretch", "allocated_resources", "consumed_energy",
)  # fmt: skip
OUR_COLUMNS = ("job", "task", "host", "attempts", "outcome", "exit_code", "signal", "assigned_time", "given_time",
               "handled_time")  # fmt: skip
_STATES = {
    Outcome.TIMED_OUT: "COMPLETED_WALLTIME_REACHED",
    Outcome.KILLED: "COMPLETED_KILLED",
    Outcome.LOST: "COMPLETED_KILLED",
}
"""Batsim's words for our outcomes; runs that ended by themselves are by their exit, what never ran is REJECTED."""


class JobsCsv:
    """Writes to a file that the caller opens (`newline=""`) and closes."""

    def __init__(self, file: IO[str], workload: str) -> None:
        """`workload`: its name, in every line."""
        self._rows = csv.writer(file, lineterminator="\n")
        self._rows.writerow((*BATSIM_COLUMNS, *OUR_COLUMNS))
        self._workload = workload
        self._free: dict[str, list[int]] = {}
        """the numbers of free slots of each host, a heap"""
        self._sizes: dict[str, int] = {}
        self._numbered = 0
        self._held: dict[AttemptKey, list[int]] = {}
        self._last: dict[int, list[int]] = {}
        """the slots of each open job's latest process"""

    def sized(self, host: str, slots: int) -> None:
        """A host is there, or has grown: its new slots get the next numbers."""
        more = slots - self._sizes.get(host, 0)
        if more <= 0:
            return
        free = self._free.setdefault(host, [])
        free.extend(range(self._numbered, self._numbered + more))
        heapify(free)
        self._numbered += more
        self._sizes[host] = slots

    def started(self, host: str, key: AttemptKey, slots: int) -> None:
        """A process takes slots; where attempts overlap there may be too few."""
        free = self._free.setdefault(host, [])
        taken = [heappop(free) for _ in range(min(slots, len(free)))]
        self._held[key] = self._last[key[0]] = taken

    def ended(self, host: str, key: AttemptKey) -> None:
        """It gives them back."""
        for number in self._held.pop(key, ()):
            heappush(self._free[host], number)

    def final(self, job: Observed, record: AttemptEnded | None, handled: int) -> None:
        """The line of a job; without a record it is still open."""
        ran = NONE not in (job.started, job.ended)
        run = job.ended - job.run_began if ran else NONE
        response = job.ended - job.submitted if ran else NONE
        report = None if record is None else record.report
        good = record is not None and record.good
        self._rows.writerow(
            (
                job.item or job.job,
                self._workload,
                job.task,
                _seconds(job.submitted),
                job.slots,
                _seconds(job.timeout_ns) if job.timeout_ns else -1,
                int(good),
                _state(job, record),
                _seconds(job.started),
                _seconds(run),
                _seconds(job.ended),
                _seconds(job.started - job.submitted if job.started != NONE else NONE),
                _seconds(response),
                f"{response / run:.6f}" if run > 0 else "",
                intervals(self._last.pop(job.job, [])),
                "",
                job.job,
                job.task,
                job.host,
                job.attempts,
                "" if report is None else report.outcome.name,
                "" if report is None or report.exit_code is None else report.exit_code,
                "" if report is None or report.signal is None else report.signal,
                _seconds(job.assigned),
                _seconds(job.given),
                _seconds(handled),
            )
        )


def _state(job: Observed, record: AttemptEnded | None) -> str:
    if record is None:
        return "NOT_STARTED" if job.started == NONE else "RUNNING"
    if job.started == NONE:
        return "REJECTED"
    state = _STATES.get(record.report.outcome)
    return state or ("COMPLETED_SUCCESSFULLY" if record.good else "COMPLETED_FAILED")


def _seconds(time_ns: int) -> str:
    """Exact; empty for what has not happened."""
    return "" if time_ns == NONE else f"{time_ns // SECOND}.{time_ns % SECOND:09d}"


def intervals(numbers: list[int]) -> str:
    """Slots as Batsim writes sets of processors: `0-3 7`."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and parts[-1][1] == number - 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return " ".join(str(low) if low == high else f"{low}-{high}" for low, high in parts)
