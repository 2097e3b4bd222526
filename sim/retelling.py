"""What became of jobs, as a history tells it and as a simulation of it does, in the same few words.

`LifeReader` reads them from the event log while it is made; `sums` counts either of them. Called by `shell/whatif.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from msgspec import Struct

from model.job import SECOND, JobId
from model.records import AttemptEnded, AttemptStarted, JobAccepted
from sim.log import Committed
from sim.tally import outcome_name

SCHEDULER = "scheduler"
QUIET_NS = 120 * SECOND


class JobLife(Struct):
    """One job. Times in ns since the same beginning; None: it did not come to that."""

    task: str
    arrived_ns: int
    """when there was something to do: its item came, or it was made"""
    accepted_ns: int
    started_ns: int | None = None
    """of its first attempt"""
    ended_ns: int | None = None
    """when it was final"""
    outcome: str = ""
    good: bool = False

    @property
    def wait_ns(self) -> int | None:
        """From its making to its first start."""
        return None if self.started_ns is None else self.started_ns - self.accepted_ns

    @property
    def response_ns(self) -> int | None:
        """From its arrival to its end."""
        return None if self.ended_ns is None else self.ended_ns - self.arrived_ns


class Sums(Struct, frozen=True):
    """Some jobs together. Times in ns; None: there are none of them."""

    jobs: int
    good: int
    failed: int
    open: int
    mean_wait_ns: float | None
    p95_wait_ns: int | None
    mean_response_ns: float | None
    p95_response_ns: int | None
    makespan_ns: int | None
    """from the first arrival to the last end"""


def sums(lives: Iterable[JobLife]) -> Sums:
    """Count them."""
    every = list(lives)
    waits = sorted(wait for one in every if (wait := one.wait_ns) is not None)
    responses = sorted(response for one in every if (response := one.response_ns) is not None)
    ends = [one.ended_ns for one in every if one.ended_ns is not None]
    good = sum(one.good for one in every if one.ended_ns is not None)
    return Sums(
        jobs=len(every),
        good=good,
        failed=len(ends) - good,
        open=len(every) - len(ends),
        mean_wait_ns=sum(waits) / len(waits) if waits else None,
        p95_wait_ns=_p95(waits),
        mean_response_ns=sum(responses) / len(responses) if responses else None,
        p95_response_ns=_p95(responses),
        makespan_ns=max(ends) - min(one.arrived_ns for one in every) if ends else None,
    )


def _p95(ordered: list[int]) -> int | None:
    return ordered[min(len(ordered) - 1, max(0, -(-95 * len(ordered) // 100) - 1))] if ordered else None


class LifeReader:
    """A reader of the log (`sim.log.Reader`). `begin_ns`: of the simulation's time, from which lives are counted."""

    def __init__(self, begin_ns: int, arrived_ns: Mapping[str, int], span_ns: int = 0, expected: int = 0) -> None:
        """`arrived_ns`: when the item of a job arrived, by the job's name (`task/item`), since the beginning.

        Of what arrived within `span_ns` every end is waited for, of at least `expected` jobs; then `end` is called.
        """
        self.end: Callable[[], None] | None = None
        self._span_ns = span_ns
        self._expected = expected
        self._unfinished = 0
        """jobs that arrived within the span"""
        self._quiet_since_ns: int | None = None
        self.lives: dict[str, JobLife] = {}
        """by name: `task/item`, or `task/N` for the N-th job of a task without items"""
        self._begin_ns = begin_ns
        self._arrived_ns = arrived_ns
        self._open: dict[JobId, JobLife] = {}
        self._made: dict[str, int] = {}

    @property
    def table(self) -> dict[type, Callable[[Any], None]]:
        """For `EventLog`: what it wants to read."""
        return {JobAccepted: self._accepted, AttemptStarted: self._started, AttemptEnded: self._ended}

    def _accepted(self, line: Committed) -> None:
        record: JobAccepted = line.record  # type: ignore[assignment]
        if line.node != SCHEDULER or record.plain:
            return
        task, item = record.spec.task, record.spec.item
        if item is None:
            self._made[task] = self._made.get(task, 0) + 1
        name = f"{task}/{self._made[task] if item is None else item}"
        at = line.t - self._begin_ns
        life = self.lives[name] = self._open[record.job] = JobLife(task, self._arrived_ns.get(name, at), at)
        if life.arrived_ns <= self._span_ns:
            self._unfinished += 1
            self._expected -= 1
        self._look_for_end(at)

    def _started(self, line: Committed) -> None:
        life = self._open.get(line.record.job) if line.node == SCHEDULER else None  # type: ignore[union-attr]
        if life is not None and life.started_ns is None:
            life.started_ns = line.t - self._begin_ns

    def _ended(self, line: Committed) -> None:
        record: AttemptEnded = line.record  # type: ignore[assignment]
        if line.node == SCHEDULER and record.final:
            life = self._open.pop(record.job, None)
            if life is not None:
                life.ended_ns, life.good = line.t - self._begin_ns, record.good
                life.outcome = outcome_name(record.report)
                self._unfinished -= life.arrived_ns <= self._span_ns
                self._look_for_end(line.t - self._begin_ns)

    def _look_for_end(self, at: int) -> None:
        """All have ended, and for a while nothing has followed from it: what comes now belongs to later times."""
        if self._unfinished or self._expected > 0 or at <= self._span_ns:
            self._quiet_since_ns = None
        elif self._quiet_since_ns is None:
            self._quiet_since_ns = at
        elif at > self._quiet_since_ns + QUIET_NS and self.end is not None:
            self.end()
