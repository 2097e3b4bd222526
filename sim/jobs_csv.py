"""`jobs.csv`: a line for each job, Batsim's columns first and with their meaning, so that its tools (evalys) read it.

Times are seconds with nine decimals. Lines come in the order in which jobs became final, those that are still open
last; what a job does not have is an empty cell. A job's number is its item where it has one: for a job log the number
that it has there. Fed by `sim/measuring.py`.

Batsim numbers the processors of a platform; here these are the slots of all hosts, host after host. Hosts have slots
and no numbers for them: a job is given the lowest that are free on its host, which is one right way to draw it.
"""

from __future__ import annotations

import re
from bisect import bisect_left
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
_SPECIAL = re.compile('[,"\r\n]')
"""What a cell is written in quotes for."""
Range = tuple[int, int]
"""The first and the last of numbers in a row."""
_STATES = {
    Outcome.TIMED_OUT: "COMPLETED_WALLTIME_REACHED",
    Outcome.KILLED: "COMPLETED_KILLED",
    Outcome.LOST: "COMPLETED_KILLED",
}
"""Batsim's words for our outcomes; runs that ended by themselves are by their exit, what never ran is REJECTED."""
_NAMES = {outcome: outcome.name for outcome in Outcome}
"""An enum's own `name` is two calls for each job."""


class JobsCsv:
    """Writes to a file that the caller opens (`newline=""`) and closes."""

    def __init__(self, file: IO[str], workload: str) -> None:
        """`workload`: its name, in every line."""
        self.requested: dict[tuple[str, str | None], int] = {}
        """ns that a job log says were asked for, by (task, item) of open jobs; else it is the job's timeout"""
        self._file = file
        file.write(",".join((*BATSIM_COLUMNS, *OUR_COLUMNS)) + "\n")
        self._workload = _cell(workload)
        self._free: dict[str, list[Range]] = {}
        """the numbers of free slots of each host, in order, and no two ranges next to each other"""
        self._sizes: dict[str, int] = {}
        self._numbered = 0
        self._held: dict[AttemptKey, list[Range]] = {}
        self._last: dict[int, list[Range]] = {}
        """the slots of each open job's latest process"""

    def sized(self, host: str, slots: int) -> None:
        """A host is there, or has grown: its new slots get the next numbers."""
        more = slots - self._sizes.get(host, 0)
        if more <= 0:
            return
        free = self._free.setdefault(host, [])
        _give_back(free, (self._numbered, self._numbered + more - 1))
        self._numbered += more
        self._sizes[host] = slots

    def started(self, host: str, key: AttemptKey, slots: int) -> None:
        """A process takes slots; where attempts overlap there may be too few."""
        free = self._free.setdefault(host, [])
        taken: list[Range] = []
        while slots > 0 and free:
            low, high = free[0]
            if high - low < slots:
                taken.append(free.pop(0))
                slots -= high - low + 1
            else:
                taken.append((low, low + slots - 1))
                free[0] = (low + slots, high)
                break
        self._held[key] = self._last[key[0]] = taken

    def ended(self, host: str, key: AttemptKey) -> None:
        """It gives them back."""
        for numbers in self._held.pop(key, ()):
            _give_back(self._free[host], numbers)

    def final(self, job: Observed, record: AttemptEnded | None, handled: int) -> None:
        """The line of a job; without a record it is still open."""
        ran = NONE not in (job.started, job.ended)
        run = job.ended - job.run_began if ran else NONE
        response = job.ended - job.submitted if ran else NONE
        report = None if record is None else record.report
        good = record is not None and record.good
        wait = job.started - job.submitted if job.started != NONE else NONE
        item, task, host = job.item or str(job.job), job.task, job.host
        if not f"{item}{task}{host}".isalnum():
            item, task, host = _cell(item), _cell(task), _cell(host)
        exit_code = signal = None
        outcome = ""
        if report is not None:
            outcome, exit_code, signal = _NAMES[report.outcome], report.exit_code, report.signal
        submitted, started, ran_for, ended, waited, responded, given, handled_at = _seconds(
            job.submitted, job.started, run, job.ended, wait, response, job.given, handled
        )
        assigned = submitted if job.assigned == job.submitted else _seconds(job.assigned)[0]
        requested_ns = self.requested.pop((job.task, job.item), job.timeout_ns)
        cells = (
            item,
            self._workload,
            task,
            submitted,
            str(job.slots),
            _seconds(requested_ns)[0] if requested_ns else "-1",
            "1" if good else "0",
            _state(job, record),
            started,
            ran_for,
            ended,
            waited,
            responded,
            f"{response / run:.6f}" if run > 0 else "",
            intervals(self._last.pop(job.job, [])),
            "",
            str(job.job),
            task,
            host,
            str(job.attempts),
            outcome,
            "" if exit_code is None else str(exit_code),
            "" if signal is None else str(signal),
            assigned,
            given,
            handled_at,
        )
        self._file.write(",".join(cells) + "\n")


def _state(job: Observed, record: AttemptEnded | None) -> str:
    if record is None:
        return "NOT_STARTED" if job.started == NONE else "RUNNING"
    if job.started == NONE:
        return "REJECTED"
    state = _STATES.get(record.report.outcome)
    return state or ("COMPLETED_SUCCESSFULLY" if record.good else "COMPLETED_FAILED")


def _seconds(*times_ns: int) -> list[str]:
    """Exact; empty for what has not happened. (A row has eight: one call for all of them.)"""
    cells = []
    for time_ns in times_ns:
        if time_ns < SECOND:
            cells.append("" if time_ns == NONE else f"0.{time_ns:09d}")
        else:
            digits = str(time_ns)
            cells.append(f"{digits[:-9]}.{digits[-9:]}")
    return cells


def _cell(text: str) -> str:
    """As the module `csv` writes it; rows are put together here, for it looks at each letter of all their numbers."""
    if not _SPECIAL.search(text):
        return text
    return '"' + text.replace('"', '""') + '"'


def _give_back(free: list[Range], numbers: Range) -> None:
    """Put a range of numbers where it belongs, as one with its neighbours."""
    low, high = numbers
    at = bisect_left(free, numbers)
    if at < len(free) and free[at][0] == high + 1:
        high = free.pop(at)[1]
    if at and free[at - 1][1] == low - 1:
        at -= 1
        low = free.pop(at)[0]
    free.insert(at, (low, high))


def intervals(numbers: list[Range]) -> str:
    """Slots as Batsim writes sets of processors: `0-3 7`."""
    return " ".join([str(low) if low == high else f"{low}-{high}" for low, high in numbers])
