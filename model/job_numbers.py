"""A job's number below a controller that several schedulers share, and the scheduler's own number of it.

Each scheduler counts its jobs from 1. Below the controller a job is `superior << JOBS_BITS | job`, so that agents,
keepers and spools see unique integers; superior 0 is the scheduler in the controller's own process, whose numbers are
the same on both sides. What a job and people are told is the scheduler's own number. Used by `superiors.py` and by
whoever shows a number to a job or to people.
"""

from __future__ import annotations

EMBEDDED = 0
"""The number of the superior in the controller's own process."""
JOBS_BITS = 40
JOBS_MAX = 1 << JOBS_BITS
"""A superior's jobs have smaller numbers than this."""


def superior_of(number: int) -> int:
    """Whose job it is."""
    return number >> JOBS_BITS


def own_number(number: int) -> int:
    """What its scheduler calls it."""
    return number & (JOBS_MAX - 1)


def number_text(number: int) -> str:
    """A job's number below the controller, for people."""
    superior, job = superior_of(number), own_number(number)
    return str(job) if superior == EMBEDDED else f"{job} (of superior {superior})"


NUMBER_MARKS = ("LAULIMA_JOB", "LAULIMA_ATTEMPT", "LAULIMA_SUPERIOR")


def number_marks(number: int, attempt: int) -> dict[str, str]:
    """The variables by which a job knows which one it is, and by which its processes are found."""
    marks = {"LAULIMA_JOB": str(own_number(number)), "LAULIMA_ATTEMPT": str(attempt)}
    superior = superior_of(number)
    return marks if superior == EMBEDDED else {**marks, "LAULIMA_SUPERIOR": str(superior)}
