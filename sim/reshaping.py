"""A log once more, a little different: shaken, or with its days or its users drawn again. One replay of one log may
show what is an accident of it.

Shaking (Tsafrir, Ouaknine, Feitelson 2007): every gap between two submissions and every run time is multiplied by a
factor of its own, evenly from 1 - share to 1 + share. Resampling (Zakay, Feitelson 2014): the days of the log, or its
users, are drawn with replacement, so loads and mixtures come that were not there; what a day or a user did stays
together. A day takes the place of one of the same weekday where the log has two of them; the second copy of a user is
moved by whole weeks, so that hours and weekdays stay.

All draws are made by name and seed. Called by `sim/job_log.py` (job logs) and `shell/past_jobs.py` (the own history).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from msgspec import Struct

from model.job import SECOND
from sim.keyed import Draws

DAY_NS = 24 * 3600 * SECOND
WEEK_NS = 7 * DAY_NS


class Resample(Enum):
    """What is drawn again."""

    DAYS = "days"
    USERS = "users"


class Reshape(Struct, frozen=True):
    """What is done to a log. `shake`: 0.1 is up to 10 % more or less; 0: nothing."""

    shake: float = 0.0
    resample: Resample | None = None

    def __bool__(self) -> bool:
        return self.shake > 0.0 or self.resample is not None


class Again(Struct, frozen=True):
    """A job of the log that is submitted: which one, when (ns), and which copy of it, from 0."""

    index: int
    at_ns: int
    copy: int


class Factors:
    """How much longer gaps and runs are, by the name of the job."""

    def __init__(self, share: float, seed: int) -> None:
        self._share = share
        self._draws = Draws(seed, "shake")

    def of(self, name: str) -> tuple[float, float]:
        """(of the gap before it, of its run time)."""
        gap, run, _, _ = self._draws.four(name)
        return 1.0 + self._share * (2.0 * gap - 1.0), 1.0 + self._share * (2.0 * run - 1.0)


def shaken(times: Sequence[int], names: Sequence[str], factors: Factors) -> list[int]:
    """The times, in order, with other gaps; their order stays."""
    made: list[int] = []
    at = before = times[0] if times else 0
    for time, name in zip(times, names, strict=True):
        at += round((time - before) * factors.of(name)[0])
        before = time
        made.append(at)
    return made


def days_again(times: Sequence[int], origin_ns: int, seed: int) -> list[Again]:
    """Each day of the log is one of its days. `origin_ns`: a midnight. Times in any order."""
    by_day: dict[int, list[int]] = {}
    for index, at in enumerate(times):
        by_day.setdefault((at - origin_ns) // DAY_NS, []).append(index)
    if not by_day:
        return []
    every = range(min(by_day), max(by_day) + 1)
    draws = Draws(seed, "resample days")
    copies: dict[int, int] = {}
    made: list[Again] = []
    for day in every:
        same = [other for other in every if (other - day) % 7 == 0]
        known = same if len(same) > 1 else every
        source = known[int(draws.one(str(day)) * len(known))]
        copy = copies.get(source, 0)
        copies[source] = copy + 1
        moved_ns = (day - source) * DAY_NS
        made += [Again(index, times[index] + moved_ns, copy) for index in by_day.get(source, ())]
    return sorted(made, key=lambda one: one.at_ns)


def users_again(times: Sequence[int], users: Sequence[str], seed: int) -> list[Again]:
    """As many users as the log has, drawn from them."""
    by_user: dict[str, list[int]] = {}
    for index, user in enumerate(users):
        by_user.setdefault(user, []).append(index)
    if not by_user:
        return []
    first = min(times)
    weeks = (max(times) - first) // WEEK_NS + 1
    draws = Draws(seed, "resample users")
    names = sorted(by_user)
    copies: dict[str, int] = {}
    made: list[Again] = []
    for place in range(len(names)):
        which, week, _, _ = draws.four(str(place))
        user = names[int(which * len(names))]
        copy = copies.get(user, 0)
        copies[user] = copy + 1
        moved_ns = int(week * weeks) * WEEK_NS if copy else 0
        made += [
            Again(index, first + (times[index] - first + moved_ns) % (weeks * WEEK_NS), copy) for index in by_user[user]
        ]
    return sorted(made, key=lambda one: one.at_ns)


def again(times: Sequence[int], users: Sequence[str], how: Resample | None, origin_ns: int, seed: int) -> list[Again]:
    """The log resampled, or in the order of its times as it is."""
    if how is Resample.DAYS:
        return days_again(times, origin_ns, seed)
    if how is Resample.USERS:
        return users_again(times, users, seed)
    ordered = sorted(range(len(times)), key=lambda index: times[index])
    return [Again(index, times[index], 0) for index in ordered]


def copy_name(item: str, copy: int) -> str:
    """What the item of a copy is called."""
    return item if not copy else f"{item} copy {copy}"
