"""Goal: a scenario comes out the same in simulation and for real: how each job ended, in how many attempts, with which
output; how often each task started; and no host ever had more to do than its slots.

Method: each file of `scenarios/` runs under both drivers, and the same code (`compare.py`) reads the records of both.
The servers run side by side, because most of their time is waiting; `make torture-live` does it several times. What the
comparison can see is tested on nights that are made different by hand.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from msgspec.structs import replace

from model.job import SECOND, JobId, JobSpec, Outcome, Report
from model.records import AttemptEnded, JobAccepted, Record
from tests.differential.compare import Attempt, Life, Night, differences, read
from tests.differential.drivers import Live, Simulated, load, slots_of
from tests.live.torture import extent

SCENARIOS = {path.stem: path for path in sorted((Path(__file__).parent / "scenarios").glob("*.yaml"))}
ROUNDS = range(10 if extent.LONG else 1)
SIDE_BY_SIDE = 6
LONGEST_NS = 12 * SECOND
"""So that all of them together take no more than half a minute, waits and starts included."""


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[tuple[str, int], Future[Night]]]:
    """What came of each scenario for real."""
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        yield {
            (name, number): pool.submit(live, name, tmp_path_factory.mktemp("live"))
            for number in ROUNDS
            for name in SCENARIOS
        }


def live(name: str, folder: Path) -> Night:
    loaded = load(SCENARIOS[name])
    return Live(loaded, folder).night(Simulated(loaded))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", ROUNDS)
@pytest.mark.parametrize("name", SCENARIOS)
def test_both_drivers_tell_the_same(nights: dict[tuple[str, int], Future[Night]], name: str, number: int) -> None:
    loaded = load(SCENARIOS[name])
    found = nights[name, number].result()
    assert differences(Simulated(loaded).night(), found, slots_of(loaded.configuration)) == []


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_is_short_and_comes_to_its_end(name: str) -> None:
    simulated = Simulated(load(SCENARIOS[name]))
    assert all(life.final for life in simulated.night().jobs.values())
    assert simulated.took_ns < LONGEST_NS


# what the comparison sees

ENDED = Attempt("EXITED", 0, None, True, 6, 0, "4ad30d407a645613")


def night(**changes: object) -> Night:
    """Two jobs of a task, on a host of two slots."""
    lives = {"warp/1": Life("node1", [ENDED], True), "warp/2": Life("node1", [ENDED], True)}
    return replace(Night(lives, {"warp": [0, 10**9]}, {"node1": 2}), **changes)


def seen(live: Night) -> str:
    return "; ".join(differences(night(), live, {"node1": 2}))


def with_end(**changes: object) -> Night:
    return night(jobs={**night().jobs, "warp/2": Life("node1", [replace(ENDED, **changes)], True)})


def test_equal_nights_do_not_differ() -> None:
    assert seen(night()) == ""


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"exit_code": 3}, "attempt 1 of warp/2: exit_code is 0 in simulation, 3 live"),
        ({"outcome": "LOST"}, "attempt 1 of warp/2: outcome is EXITED in simulation, LOST live"),
        ({"signal": 9}, "attempt 1 of warp/2: signal is None in simulation, 9 live"),
        ({"stdout_bytes": 5}, "attempt 1 of warp/2: stdout_bytes is 6 in simulation, 5 live"),
        ({"output": "0"}, "attempt 1 of warp/2: output is 4ad30d407a645613 in simulation, 0 live"),
        ({"started": False}, "attempt 1 of warp/2: started is True in simulation, False live"),
        ({"output": ""}, ""),
    ],
)
def test_another_end_is_seen(changes: dict[str, object], sentence: str) -> None:
    assert seen(with_end(**changes)) == sentence


def test_another_number_of_attempts_is_seen() -> None:
    twice = night(jobs={**night().jobs, "warp/2": Life("node1", [ENDED, ENDED], True)})
    assert seen(twice) == "warp/2 had the attempts EXITED in simulation, EXITED, EXITED live"


def test_a_job_that_is_missing_or_open_or_wants_another_host_is_seen() -> None:
    jobs = night().jobs
    assert seen(night(jobs={"warp/1": jobs["warp/1"]})) == "warp/2 was made in simulation only"
    assert seen(night(jobs={**jobs, "warp/3": jobs["warp/1"]})) == "warp/3 was made live only"
    assert seen(night(jobs={**jobs, "warp/2": Life("node1", [ENDED])})) == "warp/2 is not final live"
    assert "was to run on node1 in simulation, on any live" in seen(
        night(jobs={**jobs, "warp/2": Life("", [ENDED], True)})
    )


def test_one_start_more_or_less_in_a_window_is_admitted_and_two_are_not() -> None:
    assert seen(night(due={"warp": [0, 10**9, 10**9]})) == ""
    assert seen(night(due={"warp": [0]})) == ""
    assert seen(night(due={"warp": [0, 1, 2, 3]})) == "warp was started 2 times from 0 s on in simulation, 4 live"
    assert "from 4 s on" in seen(night(due={"warp": [0, 10**9, 5 * 10**9, 5 * 10**9]}))


def test_more_in_use_than_there_are_slots_is_seen() -> None:
    assert seen(night(most={"node1": 3})) == "3 slots of node1 were in use live, it has 2"


def test_an_attempt_that_came_back_before_it_ran_is_left_out() -> None:
    back = Report(Outcome.OVERLOADED, again=True)
    records: list[Record] = [
        JobAccepted(JobId(1), JobSpec("warp"), 1),
        AttemptEnded(JobId(1), 1, back, False),
        AttemptEnded(JobId(1), 2, Report(Outcome.EXITED, 0, started=True), True),
    ]
    told = read((("scheduler", record) for record in records), {}, lambda *_: "")
    assert [attempt.outcome for attempt in told.jobs["warp/1"].ended] == ["EXITED"]
    final = [records[0], AttemptEnded(JobId(1), 1, back, True)]
    told = read((("scheduler", record) for record in final), {}, lambda *_: "")
    assert [attempt.outcome for attempt in told.jobs["warp/1"].ended] == ["OVERLOADED"]
