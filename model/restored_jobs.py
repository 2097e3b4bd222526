"""The unfinished jobs that recovery remembers, by number: those that were never given out take little.

Most of a million unfinished jobs have been accepted and nothing else. Of such a job its specification is all that
there is to remember, kept small (`kept_specs.py`); it becomes a `RestoredJob` when something happens to it. Part of the
state of `restored.py`, and of `snapshot.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping

from model.job import NO_JOB, JobId, JobSpec
from model.kept_specs import Kept, SpecKeeper, spec_of
from model.remembered import RestoredJob


class RestoredJobs(MutableMapping[JobId, RestoredJob]):
    """As a dictionary. What `[…]` and `get` give may be changed; what `items` and `values` give is for reading."""

    __slots__ = ("_jobs", "_specs")

    def __init__(self, jobs: Mapping[JobId, RestoredJob] = {}) -> None:
        self._jobs: dict[JobId, RestoredJob | Kept] = {}
        self._specs = SpecKeeper()
        self.update(jobs)

    def accept(self, number: JobId, spec: JobSpec, parent: JobId, plain: bool) -> None:
        """The job is there, and was never given out."""
        if parent == NO_JOB and not plain:
            self._jobs[number] = self._specs.keep(spec)
        else:
            self._jobs[number] = RestoredJob(spec, parent, plain)

    def get(self, number: JobId, default: RestoredJob | None = None) -> RestoredJob | None:  # type: ignore[override]
        """As of a dictionary."""
        found = self._jobs.get(number)
        if type(found) is RestoredJob:
            return found
        return default if found is None else self[number]

    def __getitem__(self, number: JobId) -> RestoredJob:
        found = self._jobs[number]
        if type(found) is RestoredJob:
            return found
        job = self._jobs[number] = _untouched(found)  # type: ignore[arg-type]  # mypy knows no `type(…) is`
        return job

    def __setitem__(self, number: JobId, job: RestoredJob) -> None:
        if job == RestoredJob(job.spec, NO_JOB, False):
            self._jobs[number] = self._specs.keep(job.spec)
        else:
            self._jobs[number] = job

    def __delitem__(self, number: JobId) -> None:
        del self._jobs[number]

    def __contains__(self, number: object) -> bool:
        return number in self._jobs

    def __iter__(self) -> Iterator[JobId]:
        return iter(self._jobs)

    def __len__(self) -> int:
        return len(self._jobs)

    def items(self) -> Iterator[tuple[JobId, RestoredJob]]:  # type: ignore[override]
        """All, oldest first."""
        for number, job in self._jobs.items():
            yield number, job if type(job) is RestoredJob else _untouched(job)  # type: ignore[arg-type]

    def values(self) -> Iterator[RestoredJob]:  # type: ignore[override]
        """As of `items`."""
        return (job for _, job in self.items())

    def __repr__(self) -> str:
        return f"RestoredJobs({dict(self.items())!r})"


def _untouched(kept: Kept) -> RestoredJob:
    return RestoredJob(spec_of(kept), NO_JOB, False)
