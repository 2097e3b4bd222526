"""Jobs that a script gives to the controller itself, by the command `job`, without a task of its own.

The scheduler forgets a job when it is final, but scripts ask for its status and output afterwards. So all these jobs
belong to one task that makes none by itself, and its behaviour keeps how each of them ended: here, in memory, the last
`ENDS_KEPT`. Used by `commands/controller.py` and `commands/scheduling.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from model.behaviour import NO_REACTION, Later, Reaction, Skip
from model.job import JobId, JobSpec, Report
from model.task import Missed, Periods, TaskDefinition
from model.view_rows import Machines

if TYPE_CHECKING:
    from shell.language.language import Language

DIRECT = "controller.job"
"""The task to which they belong."""
ENDS_KEPT = 10_000
"""Ended jobs of which the report is kept; older ones are in `laulima history`."""
_NEVER_NS = 100 * 366 * 86_400 * 1_000_000_000

DEFINITION = TaskDefinition(
    DIRECT, ("job",), periods=Periods(_NEVER_NS, timeout_ns=0, pending_ns=0), missed=Missed.SKIP
)
"""It is asked once, when the intake first runs, and then in a hundred years."""


@dataclass(frozen=True, slots=True)
class End:
    """How a job ended, and with which of its attempts."""

    number: int
    attempt: int
    spec: JobSpec
    report: Report


class DirectJobs:
    """The behaviour of the task `DIRECT`. It is told of an end without the job's number, so each job has a word of its
    own in its options, which no job of an earlier life has either."""

    def __init__(self, machines: Callable[[], Machines | None], life: int) -> None:
        """`life`: a number that another life of the server has not (its wall time of now)."""
        self._machines = machines
        self._life = life
        self._count = 0
        self._words: dict[int, str] = {}
        self._numbers: dict[str, int] = {}
        self._ends: dict[str, tuple[int, JobSpec, Report]] = {}

    # what the scheduler asks

    def prepare(self, task: TaskDefinition, job: int, item: str | None) -> JobSpec | Skip | Later:
        return Skip("its jobs are made by the command `job` only")

    def react(self, task: TaskDefinition, spec: JobSpec, report: Report, retries: int) -> Reaction | Later:
        word = "".join(spec.options)
        self._ends[word] = (self._attempt(word), spec, report)
        if len(self._ends) > ENDS_KEPT:
            del self._ends[next(iter(self._ends))]
        return NO_REACTION

    def _attempt(self, word: str) -> int:
        machines = self._machines()
        if machines is None:
            return 1
        jobs = machines.scheduler.jobs
        job = jobs.get(JobId(self._numbers.get(word, 0)))
        if job is None:  # it ended before its number was told
            job = next(
                (job for job in jobs.values() if job.common.task == DIRECT and job.spec.options == (word,)), None
            )
        return 1 if job is None else job.attempt

    # what the commands ask

    def word(self) -> str:
        """The option of the next job."""
        self._count += 1
        return f"{self._life}.{self._count}"

    def made(self, number: int, word: str) -> None:
        """The job with this option has this number."""
        self._words[number] = word
        self._numbers[word] = number
        if len(self._words) > 2 * ENDS_KEPT:
            self._forget()

    def _forget(self) -> None:
        machines = self._machines()
        living = {} if machines is None else machines.scheduler.jobs
        self._words = {
            number: word for number, word in self._words.items() if word in self._ends or JobId(number) in living
        }
        self._numbers = {word: number for number, word in self._words.items()}

    def end(self, number: int) -> End | None:
        """How the job ended; None: it has not, or it was none of these, or it is too long ago."""
        word = self._words.get(number)
        end = None if word is None else self._ends.get(word)
        return None if end is None else End(number, *end)

    def ends(self) -> list[End]:
        """All that are kept, by number."""
        return [end for number in sorted(self._words) if (end := self.end(number)) is not None]

    def drop(self, number: int) -> bool:
        """Forget how a job ended; whether it was known."""
        word = self._words.get(number)
        if word is None or word not in self._ends:
            return False
        del self._ends[word], self._words[number], self._numbers[word]
        return True


def direct_jobs(language: Language) -> DirectJobs:
    """Those of one script machine."""
    found: DirectJobs | None = language.kept.get(DIRECT)
    if found is None:
        found = language.kept[DIRECT] = DirectJobs(language.machines, language.wall_ns())
    return found


def adopt(language: Language) -> None:
    """Let the scheduler find their behaviour when it is given `DEFINITION`."""
    language.tasks.put_behaviour(DIRECT, direct_jobs(language))
