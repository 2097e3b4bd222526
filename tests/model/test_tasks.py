"""Goal: limits, order, files, retries and handlers do what the configuration says. Method: the small world."""

from __future__ import annotations

from datetime import UTC
from typing import Any

import pytest

from model.alarm_kinds import AlarmSettings, ChannelRules, NotifyRules
from model.configuration import Order
from model.effects import AskSource, Effect, Notice
from model.events import (
    SourceAnswered,
    Submit,
    WallClock,
)
from model.explain import Reason
from model.job import SECOND, Block, HostPolicy, HostWish, JobSpec, JobState
from model.spawning import Spawning
from model.task import FilesSource, Handler, Limits, Retry
from model.windows import Window
from tests.model.small_world import SmallWorld, cluster, task


def needs(name: str, **policies: HostPolicy) -> HostWish:
    return HostWish(name, required=True, **policies)


def submit(world: SmallWorld, *words: str, **fields: object) -> int:
    """An ad-hoc job; its number."""
    world.give(Submit(1, JobSpec("adhoc", words, **fields)))  # type: ignore[arg-type]
    return world.answers[-1].job


# limits, order, several slots


def test_of_tasks_that_are_due_at_once_the_one_whose_job_ended_last_is_asked_last() -> None:
    made: list[str] = []
    spawning = Spawning([], lambda of, *_: made.append(of.definition.name), lambda: 1)
    for name in ("one", "other"):
        spawning.define(task(name, "run", "1", "0", every=10), 0)
    one, other = spawning.tasks.values()
    spawning.advance(0)
    spawning.wake(one, 1)
    spawning.advance(10 * SECOND)
    for ended in (other, one, one, other, other):
        spawning.wake(ended, 11 * SECOND)
    spawning.advance(20 * SECOND)
    spawning.advance(30 * SECOND)
    assert made == ["one", "other", "other", "one", "one", "other", "one", "other"]


def test_a_source_that_fails_says_so_once_and_wherever_somebody_asks() -> None:
    effects: list[Effect] = []
    spawning = Spawning(effects, lambda *_: None, lambda: 1)
    spawning.define(task("t", "run", "1", "0", every=10, source=FilesSource("in/*")), 0)
    state = spawning.tasks["t"]

    def answer(at: int, *items: str, error: str = "") -> list[tuple[str, str]]:
        effects.clear()
        spawning.advance(at * SECOND)
        asked = next(effect for effect in effects if isinstance(effect, AskSource))
        spawning.answered(SourceAnswered("t", asked.number, items, error), at * SECOND)
        return [(effect.level, effect.text) for effect in effects if isinstance(effect, Notice)]

    assert answer(0, error="in: no descriptors") == [("warning", "its source failed: in: no descriptors")]
    assert answer(10, error="in: no descriptors") == []
    spawning.advance(20 * SECOND)
    assert spawning.explain(state, 20 * SECOND).text == "its source failed: in: no descriptors"  # also while asked
    spawning.answered(SourceAnswered("t", state.asked, error="in: no descriptors"), 20 * SECOND)
    assert answer(30, "a", error="a bad name") == [("warning", "its source failed in part: a bad name")]
    assert list(state.known) == ["a"] and state.skipped["source failed"] == 3
    assert answer(40, "a") == [("info", "its source answers well")]
    assert answer(50, "a") == []
    assert spawning.explain(state, 51 * SECOND).text == "its source showed nothing new"


def test_in_flight_and_total_limits_hold_and_say_so() -> None:
    world = SmallWorld((task("t", "run", "100", "0", every=1, timeout=0, limits=Limits(in_flight=2, total=3)),))
    world.run(50)
    assert len(world.made) == 2
    found = world.scheduler.explain_task("t", world.now)
    assert found is not None and found.reason is Reason.LIMIT_IN_FLIGHT
    world.run(60)
    assert len(world.made) == 3
    found = world.scheduler.explain_task("t", world.now)
    assert found is not None and found.reason is Reason.LIMIT_TOTAL


@pytest.mark.parametrize(
    ("bounds", "made"),
    [
        ({}, 6),
        ({"limits": Limits(in_flight=2)}, 2),
        ({"limits": Limits(total=3)}, 3),
        ({"windows": (Window(UTC, jobs_max=4),)}, 4),
    ],
    ids=["no limit", "in flight", "total", "window"],
)
def test_of_items_that_are_shown_at_once_no_more_become_jobs_than_may(bounds: dict[str, Any], made: int) -> None:
    world = SmallWorld((task("t", "run", "1000", "0", every=10, source=FilesSource("*"), **bounds),))
    world.items["t"] = tuple("abcdef")
    world.run(25)
    assert len(world.made) == made


def test_a_job_that_takes_no_slot_waits_where_none_is_free() -> None:
    world = SmallWorld(definition=cluster())
    submit(world, "run", "1", "0", slots=0)
    world.run(5)
    assert [job.state for job in world.scheduler.jobs.values()] == [JobState.PENDING]


def test_a_job_of_several_slots_gets_them_on_one_host() -> None:
    world = SmallWorld(definition=cluster(("node1", 4), ("node2", 4)))
    for _ in range(3):
        submit(world, "run", "10", "0", slots=3)
    world.run(1)
    assert sorted(host.agent.busy for host in world.hosts.values()) == [0, 3, 3]
    world.run(30)
    assert world.outcomes() == ["EXITED"] * 3


def test_fill_lets_small_jobs_pass_a_large_one_and_strict_does_not() -> None:
    for order, expected in ((Order.FILL, [3, 1, 2]), (Order.STRICT, [1, 2, 3])):
        world = SmallWorld(definition=cluster(("node1", 4), order=order))
        submit(world, "run", "10", "0", slots=3)
        submit(world, "run", "10", "0", slots=4)
        submit(world, "run", "1", "0", slots=1)
        world.run(60)
        assert [end.job for end in world.ends] == expected, order


# files, retries, handlers


def test_a_job_waits_for_its_files_before_the_start_and_after_the_end() -> None:
    world = SmallWorld(definition=cluster(("node1", 1)))
    submit(world, "run", "5", "0", block=Block(("in",), ("out",), 60 * SECOND))
    world.run(10)
    assert world.hosts["node1"].ran == {}
    world.hosts["node1"].files.add("in")
    world.run(10)
    assert world.hosts["node1"].ran == {(1, 1): 1} and world.outcomes() == []
    world.hosts["node1"].files.add("out")
    world.run(2)
    assert world.outcomes() == ["EXITED"]


def test_files_are_looked_for_once_in_a_poll_period() -> None:
    world = SmallWorld(definition=cluster(("node1", 1)))
    submit(world, "run", "5", "0", block=Block(("in",), (), 60 * SECOND), poll_ns=10 * SECOND)
    world.run(45)
    assert world.looks == 5


@pytest.mark.parametrize(("there", "which"), [((), "in before the start"), (("in",), "out after the end")])
def test_files_that_do_not_come_are_named(there: tuple[str, ...], which: str) -> None:
    world = SmallWorld(definition=cluster(("node1", 1)))
    world.hosts["node1"].files.update(there)
    submit(world, "run", "5", "0", block=Block(("in",), ("out",), 60 * SECOND))
    world.run(70)
    assert world.outcomes() == ["FILES_MISSING"]
    assert world.ends[0].report.reason == which


def test_retries_back_off_and_stop_after_their_count() -> None:
    retry = Retry(("exit 75",), times=2, backoff_ns=10 * SECOND, factor=3)
    world = SmallWorld((task("t", "run", "1", "75", every=10_000, retry=retry),))
    world.run(100)
    assert [(end.attempt, end.final, end.wait_ns // SECOND) for end in world.ends] == [
        (1, False, 10),
        (2, False, 30),
        (3, True, 0),
    ]


def test_an_exit_that_is_not_listed_is_not_retried() -> None:
    world = SmallWorld((task("t", "run", "1", "4", every=10_000, retry=Retry(("exit 75", "LOST"))),))
    world.run(100)
    assert [end.final for end in world.ends] == [True]


def test_the_most_exact_handler_speaks() -> None:
    handlers = (
        Handler("default", notify="operator"),
        Handler("3-5", disable=True),
        Handler("4", run=("run", "1", "0")),
    )
    world = SmallWorld((task("t", "run", "1", "4", every=100, handlers=handlers),))
    world.run(5)
    assert [record.plain for record in world.made] == [False, True]
    assert world.made[1].parent == 1 and world.ends[1].report.host == "local"
    assert not world.scheduler.spawning.tasks["t"].faulted
    world = SmallWorld((task("t", "run", "1", "5", every=10, handlers=handlers),))
    world.run(100)
    assert len(world.made) == 1
    found = world.scheduler.explain_task("t", world.now)
    assert found is not None and found.reason is Reason.FAULTED and "3-5" in found.text
    told = AlarmSettings((ChannelRules("operator", NotifyRules()),))
    world = SmallWorld((task("t", "run", "1", "9", every=1000, handlers=handlers),), alarms=told)
    world.run(5)
    assert [(name, message.text) for name, message in world.told] == [("operator", "t job 1: exit 9")]


# windows that count their jobs

HOURLY = 3600


def counting_world(*windows: Window, every: int = 600) -> SmallWorld:
    """The wall clock shows 1970-01-01 00:00 at the start."""
    world = SmallWorld((task("t", "run", "1", "0", every=every, windows=windows),))
    world.give(WallClock(-world.now))
    return world


def started_at(world: SmallWorld) -> list[int]:
    """Hours and minutes, as one number, of the due times of all jobs."""
    return [
        due // HOURLY * 100 + due % HOURLY // 60 for due in (record.due_ns // SECOND - 1000 for record in world.made)
    ]


def test_a_window_gives_so_many_jobs_in_each_of_its_openings() -> None:
    world = counting_world(Window(UTC, 6 * HOURLY, 7 * HOURLY, jobs_max=2))
    world.run(53 * HOURLY)
    assert started_at(world) == [600, 610, 3000, 3010]


def test_a_window_that_had_its_jobs_says_so_and_when_it_opens_again() -> None:
    world = counting_world(Window(UTC, 6 * HOURLY, 7 * HOURLY, text="6:00 7:00", jobs_max=2))
    world.run(6.5 * HOURLY)
    found = world.scheduler.explain_task("t", world.now)
    assert found is not None and found.reason is Reason.WINDOW
    assert found.text == "opens Fri 06:00 (6:00 7:00 has had its 2 jobs)"
    assert found.until_ns == (1000 + 30 * HOURLY) * SECOND


def test_a_full_window_leaves_the_others_alone() -> None:
    world = counting_world(
        Window(UTC, 6 * HOURLY, 8 * HOURLY, jobs_max=1), Window(UTC, 7 * HOURLY, 8 * HOURLY, jobs_max=2)
    )
    world.run(10 * HOURLY)
    assert started_at(world) == [600, 700, 710]


def test_the_count_of_an_opening_survives_a_restart() -> None:
    world = counting_world(Window(UTC, 6 * HOURLY, 7 * HOURLY, jobs_max=2))
    world.run(6 * HOURLY + 60)
    assert started_at(world) == [600]
    world.restart_server()
    world.give(WallClock(-1000 * SECOND))
    world.run(12 * HOURLY)
    assert started_at(world) == [600, 610]
    world.restart_server()
    world.give(WallClock(-1000 * SECOND))
    world.run(HOURLY)
    assert len(world.made) == 2
    world.run(12 * HOURLY)
    assert len(world.made) == 4


def test_a_task_that_is_asked_often_makes_no_more_than_its_window_gives() -> None:
    world = counting_world(Window(UTC, 6 * HOURLY, 7 * HOURLY, jobs_max=2), every=60)
    world.run(8 * HOURLY)
    assert started_at(world) == [600, 601]
