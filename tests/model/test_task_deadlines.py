"""Goal: what has not started, or not ended, in time is an alarm, also when no job was ever made; and it is over when
that has happened after all.

Method: tasks of a small world that are kept from starting or ending. The wall clock of the world is told; times of day
are those of its zone.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import replace

from model.alarm_kinds import AlarmKind, AlarmSettings, ChannelRules, NotifyRules
from model.channel import ChannelTimes
from model.configuration import ClusterDefinition
from model.deadline_watch import next_moment
from model.events import DefineTask, OrderTask, TaskVerb, WallClock
from model.job import SECOND, HostWish
from model.records import DeadlineCycle, JobDue
from model.restored import Fold, fold
from model.snapshot import say
from model.task import Deadline, FilesSource, Handler, Limits, Retry, TaskDefinition, TimeLimit
from model.view_rows import Machines, explain_job, explain_task
from tests.model.small_world import SmallWorld, cluster, task

MINUTE, HOUR, DAY = 60, 3600, 86400
FIVE = TimeLimit("5m", after_ns=5 * MINUTE * SECOND)
TOLD = AlarmSettings((ChannelRules("ops", NotifyRules(kinds=(AlarmKind.LATE_START, AlarmKind.LATE_END), after_ns=0)),))
MONDAY = datetime(2026, 11, 23, tzinfo=UTC)


def rarely(*hosts: tuple[str, int]) -> ClusterDefinition:
    """Hosts that are asked every ten minutes whether they are there: days pass quickly."""
    times = ChannelTimes(600 * SECOND, 1800 * SECOND, 7200 * SECOND)
    return cluster(*hosts, times=times, local_times=times)


def at(text: str) -> TimeLimit:
    hours, minutes = text.split(":")
    return TimeLimit(text, by_s=int(hours) * HOUR + int(minutes) * MINUTE)


def world_of(*tasks: Any, start: datetime = MONDAY, hosts: Any = None) -> SmallWorld:
    world = SmallWorld(tasks, hosts or rarely(("node1", 1)), alarms=TOLD)
    tell_wall_clock(world, start)
    return world


def tell_wall_clock(world: SmallWorld, shows: datetime) -> None:
    world.scheduler.receive(WallClock(int(shows.timestamp()) * SECOND - world.now), world.now)


def late(world: SmallWorld) -> dict[str, str]:
    """What is late now: kind -> sentence."""
    return {row.kind: row.text for row in world.scheduler.alarms.rows() if row.kind.startswith("late-")}


def events(world: SmallWorld) -> list[str]:
    return [f"{item.event} {item.kind}" for _, message in world.told for item in message.items]


# so long after it was due


def test_a_job_that_waits_for_too_long_is_late_until_it_starts() -> None:
    wish = HostWish("node1", required=True)
    fields: dict[str, Any] = {"host": wish, "timeout": 2000, "pending": 10**6, "deadline": Deadline(FIVE)}
    world = world_of(task("t", "run", "1000", "0", every=600, **fields))
    world.run(600 + 4 * MINUTE)  # the second job waits behind the first
    assert late(world) == {}
    world.run(2 * MINUTE)
    assert late(world) == {"late-start": "task t: job 2 has not started in time (deadline.start: 5m)"}
    world.run(5 * MINUTE)
    assert late(world) == {}
    assert events(world) == ["alarm late-start", "recovered late-start"]


def test_many_late_jobs_are_one_alarm() -> None:
    world = world_of(
        task("t", "run", "99999", "0", every=10, timeout=99999, pending=10**6, deadline=Deadline(FIVE, FIVE))
    )
    world.run(6 * MINUTE)
    found = late(world)
    assert found["late-start"] == "task t: 6 jobs have not started in time, the first is job 2 (deadline.start: 5m)"
    assert found["late-end"] == "task t: 7 jobs have not ended in time, the first is job 1 (deadline.end: 5m)"


def test_a_task_that_makes_no_job_at_all_is_late() -> None:
    for what in ("held", "faulted"):
        world = world_of(task("t", every=60, deadline=Deadline(FIVE)))
        world.run(MINUTE)
        world.scheduler.spawning.change(world.scheduler.spawning.tasks["t"], world.now, **{what: "mail loop"})
        world.run(7 * MINUTE)
        assert "nothing is started" in late(world)["late-start"] and "mail loop" in late(world)["late-start"]
        world.give(OrderTask(1, TaskVerb.RELEASE, "t"))
        world.run(2 * MINUTE)
        assert late(world) == {}
        assert events(world) == ["alarm late-start", "recovered late-start"]


def test_a_task_at_its_limit_of_jobs_in_all_is_not_late() -> None:
    world = world_of(task("t", every=60, limits=Limits(total=1), deadline=Deadline(FIVE, FIVE)))
    world.run(HOUR)
    assert late(world) == {}


def test_a_retry_has_started_once() -> None:
    retry = Retry(("exit 75",), times=1, backoff_ns=HOUR * SECOND)
    world = world_of(task("t", "run", "1", "75", every=10**6, retry=retry, deadline=Deadline(FIVE, FIVE)))
    world.run(10 * MINUTE)
    assert set(late(world)) == {"late-end"}


def test_finished_jobs_leave_nothing_behind_a_stuck_one() -> None:
    stuck = Handler("default")
    deadline = Deadline(end=TimeLimit("1d", after_ns=DAY * SECOND))
    fields: dict[str, Any] = {"handlers": (stuck,), "deadline": deadline, "timeout": DAY}
    world = world_of(task("t", "run", "1", "0", every=2, **fields), hosts=rarely(("node1", 2)))
    host = world.hosts["node1"]
    world.run(0.5)
    ((key, (_, code, signal)),) = host.processes.items()
    host.processes[key] = (world.now + DAY * SECOND, code, signal)  # the first job hangs
    world.run(1000)
    assert len(world.outcomes()) > 400
    assert len(world.scheduler.alarms._deadlines._awaited["t", "end"]) < 100


# by a time of day


def test_moments_are_those_of_the_zone_and_its_days() -> None:
    berlin = Deadline(end=at("06:00"), zone=ZoneInfo("Europe/Berlin"))
    wall = int(datetime(2026, 3, 28, 12, tzinfo=UTC).timestamp()) * SECOND  # the night before summer time
    found = next_moment(berlin, 6 * HOUR, wall)
    assert datetime.fromtimestamp(found // SECOND, UTC) == datetime(2026, 3, 29, 4, tzinfo=UTC)
    skipped = next_moment(Deadline(end=at("02:30"), zone=ZoneInfo("Europe/Berlin")), 2 * HOUR + 30 * MINUTE, wall)
    assert datetime.fromtimestamp(skipped // SECOND, UTC) == datetime(2026, 3, 29, 1, tzinfo=UTC)  # the clock's jump
    weekend = Deadline(end=at("06:00"), weekdays=frozenset({5, 6}), zone=timezone(timedelta(hours=-10)))
    found = next_moment(weekend, 6 * HOUR, int(MONDAY.timestamp()) * SECOND)
    assert datetime.fromtimestamp(found // SECOND, UTC) == datetime(2026, 11, 28, 16, tzinfo=UTC)
    assert next_moment(weekend, 6 * HOUR, found) - found == DAY * SECOND
    assert next_moment(weekend, 6 * HOUR, found - 1) == found


def test_nothing_ended_well_by_the_time_of_day() -> None:
    world = world_of(task("t", "run", "1", "3", every=HOUR, deadline=Deadline(end=at("06:00"))))
    world.run(6 * HOUR - 10)
    assert late(world) == {}
    world.run(MINUTE)
    assert late(world) == {"late-end": "task t: nothing ended well (deadline.end: 06:00)"}
    world.run(4 * HOUR)
    assert events(world)[0] == "alarm late-end" and "recovered late-end" not in events(world)


@pytest.mark.parametrize("which", ["start", "end"])
def test_what_comes_late_ends_the_alarm_and_the_next_day_is_another(which: str) -> None:
    deadline = Deadline(start=at("06:00")) if which == "start" else Deadline(end=at("06:00"))
    world = world_of(task("t", "run", "60", "0", every=600, deadline=deadline), start=MONDAY + timedelta(hours=1))
    world.give(OrderTask(1, TaskVerb.HOLD, "t"))
    world.run(30)
    world.run(2 * MINUTE)  # the one that it had made has ended, and does not count
    world.scheduler.alarms._deadlines._cycles.clear()
    task_state = world.scheduler.spawning.tasks["t"]
    task_state.made = task_state.done = 0
    world.run(5 * HOUR + MINUTE)
    assert set(late(world)) == {f"late-{which}"}
    world.give(OrderTask(1, TaskVerb.RELEASE, "t"))
    world.run(20 * MINUTE)
    assert late(world) == {}
    world.run(DAY)
    assert events(world) == [f"alarm late-{which}", f"recovered late-{which}"]


def test_a_job_that_still_runs_at_the_time_of_day_is_late_and_one_that_came_after_it_is_not() -> None:
    long = task("t", "run", str(10 * HOUR), "0", every=10 * DAY, timeout=DAY, deadline=Deadline(end=at("06:00")))
    world = world_of(long)
    world.run(6 * HOUR + MINUTE)
    assert late(world) == {"late-end": "task t: job 1 has not ended in time (deadline.end: 06:00)"}
    world.run(5 * HOUR)
    assert late(world) == {}


def test_a_task_with_items_needs_none_where_none_came() -> None:
    world = world_of(task("t", every=60, source=FilesSource("*"), deadline=Deadline(at("06:00"), at("06:00"))))
    world.run(7 * HOUR)
    assert late(world) == {}
    world = world_of(
        task("t", every=60, pending=10**6, source=FilesSource("*"), deadline=Deadline(at("06:00"), at("06:00")))
    )
    world.cut("node1")
    world.items["t"] = ("a",)
    world.run(7 * HOUR)
    assert set(late(world)) == {"late-start", "late-end"}


def test_windows_and_days_off_excuse() -> None:
    weekdays = Deadline(end=at("06:00"), weekdays=frozenset({0, 1, 2, 3, 4}))
    world = world_of(task("t", "run", "1", "3", every=HOUR, deadline=weekdays), start=MONDAY - timedelta(days=1))
    world.run(DAY + 5 * HOUR)  # Sunday 06:00 was none
    assert late(world) == {}
    world.run(2 * HOUR)
    assert set(late(world)) == {"late-end"}


# restarts


def test_what_is_late_stays_late_over_a_restart_and_is_told_once() -> None:
    wish = HostWish("node1", required=True)
    waits = task("t", "run", "99", "0", every=300, host=wish, pending=10**6, timeout=10**6, deadline=Deadline(FIVE))
    world = world_of(waits)
    world.run(MINUTE)
    world.cut("node1")
    world.run(15 * MINUTE)
    assert events(world) == ["alarm late-start"]
    world.restart_server()
    tell_wall_clock(world, MONDAY + timedelta(minutes=16))
    world.give(OrderTask(1, TaskVerb.HOLD, "t"))  # no new job is late
    world.run(4 * MINUTE)
    assert set(late(world)) == {"late-start"} and events(world) == ["alarm late-start"]
    world.mend("node1")
    world.run(20 * MINUTE)
    world.give(OrderTask(1, TaskVerb.RELEASE, "t"))
    world.run(20)
    assert events(world) == ["alarm late-start", "recovered late-start"]


def test_the_cycle_of_a_day_outlives_a_restart() -> None:
    world = world_of(task("t", "run", "1", "0", every=DAY, deadline=Deadline(end=at("06:00"))))
    world.run(5 * HOUR)  # its job of the day has ended well
    world.restart_server()
    tell_wall_clock(world, MONDAY + timedelta(hours=5))
    world.run(2 * HOUR)
    assert late(world) == {}
    read = fold(world.records)
    assert isinstance(read.scheduler.alarms.cycles["t", "end"], DeadlineCycle)
    again = Fold()
    for record in say(read.scheduler, read.controller):
        again.add(record)
    assert again.scheduler.alarms == read.scheduler.alarms


def test_a_server_that_was_away_at_the_time_of_day_says_so() -> None:
    world = world_of(task("t", "run", "1", "3", every=DAY, deadline=Deadline(end=at("06:00"))))
    world.run(5 * HOUR)
    world.now += 3 * HOUR * SECOND
    world.restart_server()
    tell_wall_clock(world, MONDAY + timedelta(hours=8))
    world.run(MINUTE)
    assert set(late(world)) == {"late-end"}


# reloads


def redefine(world: SmallWorld, definition: TaskDefinition) -> None:
    """As a reload of the file does."""
    world.tasks = (definition,)
    world.give(DefineTask(0, definition))


def test_a_deadline_that_a_reload_brings_counts_for_the_jobs_that_are_there() -> None:
    wish = HostWish("node1", required=True)
    plain = task("t", "run", "99999", "0", every=600, host=wish, pending=10**6, timeout=10**6)
    world = world_of(plain)
    world.run(12 * MINUTE)  # job 1 runs, job 2 waits behind it for two minutes
    redefine(world, replace(plain, deadline=Deadline(FIVE)))
    world.run(2 * MINUTE)
    assert late(world) == {}
    world.run(2 * MINUTE)
    assert late(world) == {"late-start": "task t: job 2 has not started in time (deadline.start: 5m)"}
    dues = [(record.job, record.at) for record in world.records if isinstance(record, JobDue)]
    offset = world.scheduler.spawning.wall_offset_ns
    assert dues == [(record.job, record.due_ns + offset) for record in world.made]
    redefine(world, replace(plain, deadline=Deadline(FIVE, FIVE)))
    world.run(10)
    assert late(world)["late-end"] == "task t: 2 jobs have not ended in time, the first is job 1 (deadline.end: 5m)"
    assert len([record for record in world.records if isinstance(record, JobDue)]) == 2, (
        "it is known when they were due"
    )
    world.restart_server()
    tell_wall_clock(world, MONDAY + timedelta(seconds=world.now // SECOND))
    world.run(10)
    assert set(late(world)) == {"late-start", "late-end"}, "no later for a restart"


def test_a_deadline_that_a_reload_takes_away_is_missed_no_more() -> None:
    fields: dict[str, Any] = {"pending": 10**6, "timeout": 10**6}
    dated = task("t", "run", "9999999", "0", every=10**6, deadline=Deadline(end=at("06:00")), **fields)
    other = task("u", every=600, deadline=Deadline(FIVE))
    world = world_of(dated, other, hosts=rarely(("node1", 2)))
    world.run(7 * HOUR)
    assert set(late(world)) == {"late-end"}
    world.give(DefineTask(0, replace(dated, deadline=None)))
    world.run(2 * MINUTE)
    assert late(world) == {} and events(world) == ["alarm late-end", "recovered late-end"]
    world.run(23 * HOUR)
    world.give(DefineTask(0, replace(dated, deadline=Deadline(end=at("06:00")))))
    world.run(2 * MINUTE)
    assert late(world) == {}, "of the day without a deadline nothing is missed"


def test_jobs_of_a_task_with_a_deadline_are_taken_up_from_a_life_without_one() -> None:
    plain = task("t", "run", "99999", "0", every=10**6, pending=10**6, timeout=10**6)
    world = world_of(plain)
    world.run(10 * MINUTE)
    world.tasks = (replace(plain, deadline=Deadline(end=FIVE)),)
    for _ in range(2):  # each life begins three minutes after the one before
        world.restart_server()
        tell_wall_clock(world, MONDAY + timedelta(seconds=world.now // SECOND))
        world.run(3 * MINUTE)
    assert late(world) == {"late-end": "task t: job 1 has not ended in time (deadline.end: 5m)"}


# for people


def test_explain_of_a_job_tells_of_its_tasks_deadlines() -> None:
    world = world_of(task("t", "run", "9999", "0", every=10**6, timeout=99999, deadline=Deadline(end=FIVE)))
    world.run(6 * MINUTE)
    found = explain_job(Machines(world.scheduler, world.controller, None, world.now), 1)
    assert found is not None
    assert found.reasons[-2:] == (
        "deadline: its jobs must have ended within 5m of being due",
        "alarm: task t: job 1 has not ended in time (deadline.end: 5m)",
    )


def test_explain_tells_of_deadlines() -> None:
    world = world_of(task("t", "run", "1", "3", every=HOUR, deadline=Deadline(FIVE, at("06:00"))))
    world.run(7 * HOUR)
    found = explain_task(Machines(world.scheduler, world.controller, None, world.now), "t")
    assert found is not None
    assert found.reasons[1:] == (
        "deadline: its jobs must have started within 5m of being due",
        "deadline: its jobs must have ended by 06:00",
        "alarm: task t: nothing ended well (deadline.end: 06:00)",
    )
