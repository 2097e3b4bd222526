"""Goal: a log that is shaken or drawn again is the same log as far as was promised, and another one for another seed.

Method: made-up times and users for the rules; the archive's format for the whole way through a replay.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from model.configuration import Order
from model.errors import ConfigurationError
from model.job import SECOND
from shell.replay import Replay, load, parse_reshape
from sim.job_log import submissions
from sim.reshaping import DAY_NS, WEEK_NS, Factors, Resample, days_again, shaken, users_again

HOUR = 3600 * SECOND
JOBS = 400


def test_shaking_keeps_the_order_and_the_size_of_gaps() -> None:
    times = [place * HOUR for place in range(1000)]
    names = [str(place) for place in range(1000)]
    moved = shaken(times, names, Factors(0.1, 1))
    gaps = [late - early for early, late in pairwise(moved)]
    assert all(0.9 * HOUR <= gap <= 1.1 * HOUR for gap in gaps)
    assert max(gaps) - min(gaps) > 0.19 * HOUR
    assert sum(gaps) == pytest.approx(999 * HOUR, rel=0.01)
    assert moved == shaken(times, names, Factors(0.1, 1)) != shaken(times, names, Factors(0.1, 2))
    assert shaken(times, names, Factors(0.0, 1)) == times


def test_drawn_days_keep_weekday_and_time_of_day_and_what_belongs_together() -> None:
    times = [day * DAY_NS + job * HOUR for day in range(28) for job in range(day % 5 + 1)]
    drawn = days_again(times, 0, 1)
    assert [one.at_ns for one in drawn] == sorted(one.at_ns for one in drawn)
    by_day: dict[int, set[int]] = {}
    for one in drawn:
        assert (one.at_ns - times[one.index]) % WEEK_NS == 0
        by_day.setdefault(one.at_ns // DAY_NS, set()).add(times[one.index] // DAY_NS)
    assert sorted(by_day) == list(range(28))
    assert all(len(sources) == 1 for sources in by_day.values())
    assert len({(one.index, one.copy) for one in drawn}) == len(drawn)
    assert drawn != days_again(times, 0, 2)


def test_drawn_users_bring_all_their_jobs_and_keep_hours() -> None:
    users = [f"user{place % 20}" for place in range(JOBS)]
    times = [place * HOUR for place in range(JOBS)]
    drawn = users_again(times, users, 3)
    counted: dict[str, int] = {}
    for one in drawn:
        counted[users[one.index]] = counted.get(users[one.index], 0) + 1
        assert (one.at_ns - times[one.index]) % WEEK_NS == 0
    assert len(drawn) == JOBS
    assert all(number % 20 == 0 for number in counted.values())
    assert len(counted) < 20 < max(counted.values())


def small_log(folder: Path) -> Path:
    path = folder / "small.swf"
    rows = [
        f"{job} {job * 1800} 0 {60 + job % 7 * 30} 1 -1 -1 1 3600 -1 1 {job % 9} 1 1 1 1 -1 -1"
        for job in range(1, JOBS)
    ]
    path.write_text("\n".join(["; MaxProcs: 4", "; UnixStartTime: 1000000000", *rows]) + "\n")
    return path


def test_a_job_just_a_week_after_the_first_stays_there() -> None:
    assert [one.at_ns for one in users_again([0, WEEK_NS], ["only", "only"], 1)] == [0, WEEK_NS]


@pytest.mark.parametrize(("shake", "resample"), [("10%", None), (None, "days"), (None, "users"), ("20%", "users")])
def test_a_reshaped_log_is_submitted_in_order_under_names_of_its_own(
    tmp_path: Path, shake: str | None, resample: str | None
) -> None:
    replay = Replay(small_log(tmp_path), order=Order.FILL, reshape=parse_reshape(shake, resample))
    _, found = load(replay)
    plain = list(submissions(found))
    one, same, other = (list(submissions(found, replay.by, replay.reshape, seed)) for seed in (1, 1, 2))
    assert one == same != other
    assert one != plain
    assert [job.at_ns for job in one] == sorted(job.at_ns for job in one)
    assert len({job.spec.item for job in one}) == len(one)
    assert one[0].at_ns >= plain[0].at_ns
    assert sum(job.run_ns or 0 for job in one) == pytest.approx(sum(job.run_ns or 0 for job in plain), rel=0.15)
    assert replay.words()[2:] == [
        *(["--order", "fill"]),
        *(["--shake", shake] if shake else []),
        *(["--resample", resample] if resample else []),
    ]


@pytest.mark.parametrize("text", ["10", "ten%", "0%", "100%", "-5%"])
def test_a_share_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="--shake"):
        parse_reshape(text, None)


def test_only_what_was_asked_for_is_done() -> None:
    assert not parse_reshape(None, None)
    assert parse_reshape("5%", "users").resample is Resample.USERS
