"""Goal: somebody is told of what is wrong: once, soon, again when it lasts, that it is over; few messages, none lost.

Method: a small world whose notifiers write down what they get. What is wrong is made wrong: hosts are cut off, jobs
fail, tasks stop themselves. Times are those of the rules.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from model.alarm_kinds import (
    AGAIN,
    ALARM,
    HEARTBEAT,
    RECOVERED,
    SUMMARY,
    AlarmKind,
    AlarmSettings,
    ChannelRules,
    NotifyRules,
    host_troubles,
    row_troubles,
)
from model.alarms import SETTLE_NS
from model.decisions import encode_event
from model.events import HostVerb, JobVerb, LookedAround, OrderHost, OrderJob, OrderTask, SetAlarms, TaskVerb
from model.health import HealthPolicy
from model.job import SECOND, HostWish
from model.notifying import GATHER_NS, SAID_KEPT
from model.records import AlarmChanged, AlarmTold
from model.restored import Fold, fold
from model.snapshot import say
from model.task import Handler
from model.view_rows import controller_host_rows
from tests.model.small_world import SmallWorld, cluster, task

MINUTE = 60
HOUR = 3600
ALL = tuple(AlarmKind)
EVENTS = (AlarmKind.JOB_FAILED, AlarmKind.PENDING_TIMEOUT)


def told_all(*, clear: int = 900, backlog: int = 0, **rules: Any) -> AlarmSettings:
    """One notifier, `ops`, that is told everything; times in seconds."""
    given: dict[str, Any] = {"kinds": ALL, "after_ns": 0, "again_ns": 0}
    for name, value in rules.items():
        given[name] = value * SECOND if name.endswith("_ns") else value
    return AlarmSettings((ChannelRules("ops", NotifyRules(**given)),), backlog, clear * SECOND)


def quiet(*hosts: tuple[str, int], **fields: Any) -> Any:
    """A world with these hosts where nothing happens by itself."""
    return SmallWorld(
        (task(every=10**6),), cluster(*(hosts or (("node1", 2), ("node2", 2))), **fields.pop("of", {})), **fields
    )


def words(world: SmallWorld) -> list[tuple[str, str]]:
    """(event, text) of all messages, in order."""
    return [(message.event, message.text) for _, message in world.told]


def kinds_told(world: SmallWorld) -> list[tuple[str, str, str]]:
    """(event, kind, subject) of everything that was told, in order."""
    return [(item.event, item.kind, item.subject) for _, message in world.told for item in message.items]


# one alarm


def test_a_host_that_is_down_is_told_once_and_so_is_that_it_is_over() -> None:
    world = quiet(alarms=told_all())
    world.run(10)
    assert world.told == []
    world.cut("node1")
    world.run(HOUR)  # it is tried again all the time: down, connecting, down
    assert kinds_told(world) == [(ALARM, "host-down", "host node1")]
    assert words(world)[0][1].startswith("host node1 is down: ")
    world.mend("node1")
    world.run(2 * MINUTE)
    assert kinds_told(world)[1:] == [(RECOVERED, "host-down", "host node1")]
    assert words(world)[1][1].startswith("over: host node1 is down")
    world.run(HOUR)
    assert len(world.told) == 2
    changed = [(record.kind, record.over) for record in world.records if isinstance(record, AlarmChanged)]
    assert changed == [("host-down", False), ("host-down", True)]


def test_an_alarm_that_is_over_soon_is_not_told_and_one_that_comes_back_soon_was_not_over() -> None:
    world = quiet(alarms=told_all(after_ns=120), of={"backoff_cap_ns": SECOND})
    for _ in range(20):
        world.cut("node1")
        world.run(60)
        world.mend("node1")
        world.run(60)
    assert world.told == []
    world.cut("node1")
    world.run(150)
    assert [event for event, _ in words(world)] == [ALARM]
    for _ in range(20):
        world.mend("node1")
        world.run(60)
        world.cut("node1")
        world.run(150)
    assert [event for event, _ in words(world)] == [ALARM]
    world.mend("node1")
    world.run(150)
    assert [event for event, _ in words(world)] == [ALARM, RECOVERED]


def test_what_lasts_is_told_again() -> None:
    world = quiet(alarms=told_all(again_ns=HOUR, recovered=False))
    world.cut("node1")
    world.run(3.5 * HOUR)
    assert [event for event, _ in words(world)] == [ALARM, AGAIN, AGAIN, AGAIN]
    world.mend("node1")
    world.run(HOUR)
    assert len(world.told) == 4  # recovered: false


def test_each_kind_is_found() -> None:
    handlers = (Handler("9", disable=True),)
    tasks = (
        task("bad", "run", "1", "3", every=100),
        task("mad", "run", "1", "9", every=100, handlers=handlers),
        task("late", "run", "1", "0", every=100, pending=30, host=HostWish("node1", required=True)),
        task("many", "run", "9999", "0", every=20, timeout=99999),
    )
    hosts = cluster(("node1", 1), ("node2", 1), ("node3", 1), health=HealthPolicy())
    world = SmallWorld(tasks, hosts, alarms=told_all(backlog=3))
    world.cut("node1")
    world.hosts["node2"].frozen = True
    world.disk_full = True
    world.run(10 * MINUTE)
    world.controller.hosts["node3"].dirty = "the disk is full"
    world.run(MINUTE)
    world.controller_frozen = True
    world.run(2 * MINUTE)
    found = {kind for event, kind, _ in kinds_told(world) if event == ALARM}
    assert found >= {kind.value for kind in ALL} - {"host-aside", "late-start", "late-end"}, found


def test_a_channel_hears_of_its_kinds_and_tasks_only() -> None:
    tasks = (task("a", "run", "1", "3", every=100), task("b", "run", "1", "3", every=100))
    channels = (
        ChannelRules("hosts", NotifyRules(kinds=(AlarmKind.HOST_DOWN,), after_ns=0)),
        ChannelRules("b", NotifyRules(kinds=ALL, tasks=("b",), after_ns=0)),
    )
    world = SmallWorld(tasks, alarms=AlarmSettings(channels))
    world.cut("node1")
    world.run(MINUTE)
    heard = {(name, item.subject) for name, message in world.told for item in message.items}
    assert heard == {("hosts", "host node1"), ("b", "task b"), ("b", "host node1")}


def test_failures_are_one_alarm_until_none_has_happened_for_long() -> None:
    world = SmallWorld((task("bad", "run", "1", "3", every=60),), alarms=told_all(clear=600))
    world.run(HOUR)
    assert kinds_told(world) == [(ALARM, "job-failed", "task bad")]
    row = world.scheduler.alarms.rows()[0]
    assert row.text == "task bad: 60 jobs have failed, the last is job 60: exit 3" and row.told == ("ops",)
    world.give(OrderTask(1, TaskVerb.HOLD, "bad"))
    world.run(590)
    assert len(world.told) == 1
    world.run(60)
    assert kinds_told(world)[1:] == [(RECOVERED, "job-failed", "task bad")]


def test_a_job_that_a_person_killed_has_not_failed() -> None:
    world = SmallWorld((task("long", "run", "1000", "0", every=10**6),), alarms=told_all())
    world.run(20)
    world.give(OrderTask(1, TaskVerb.FLUSH, "long"))
    world.give(OrderJob(2, JobVerb.KILL, 1))
    world.run(MINUTE)
    assert world.outcomes() == ["KILLED"] and world.told == []


def test_rows_of_a_controller_elsewhere_tell_the_same_of_hosts() -> None:
    world = quiet(*[(f"node{number}", 1) for number in range(4)], alarms=told_all())
    world.cut("node1")
    world.hosts["node2"].frozen = True
    world.order_host(OrderHost(1, HostVerb.OFF, "node3"))
    world.run(5 * MINUTE)
    world.controller.hosts["node0"].dirty = "the disk is full"
    for _ in range(3):  # down, and connecting
        found, unsure = host_troubles(world.controller.hosts.values())
        told, not_known = row_troubles(controller_host_rows(world.controller, world.now))
        assert [(each.kind, each.subject) for each in told] == [(each.kind, each.subject) for each in found]
        assert not_known == unsure == ["host node1", "host node2"]
        assert [each.kind.value for each in told] == ["host-broken", "host-down", "host-silent"]
        world.controller.advance(world.controller.next_due() or world.now)


# many


def many_down(count: int, **rules: Any) -> SmallWorld:
    world = quiet(*[(f"node{number}", 1) for number in range(count)], alarms=told_all(**rules))
    world.run(10)
    for number in range(count):
        world.cut(f"node{number}")
    return world


def test_many_at_once_are_one_message() -> None:
    world = many_down(12)
    world.run(20)
    ((_, message),) = world.told
    assert message.event == SUMMARY and len(message.items) == 12
    expected = (
        "12 messages in one: 12 x host-down (host node0, host node1, host node2, host node3, host node4 and 7 more)"
    )
    assert message.text == expected


def test_the_rest_of_an_hour_is_one_summary_and_nothing_is_lost() -> None:
    world = quiet(*[(f"node{number}", 1) for number in range(30)], alarms=told_all(hour_max=5))
    world.run(10)
    for number in range(30):  # one after the other
        world.cut(f"node{number}")
        world.run(30)
    counts = [len(message.items) for _, message in world.told]
    assert counts[:4] == [1, 1, 1, 1] and world.told[4][1].event == SUMMARY
    assert len(counts) == 5  # 15 minutes, at most 5 messages in an hour
    world.run(HOUR)
    assert sum(len(message.items) for _, message in world.told) == 30
    assert len(world.told) == 6


def test_what_came_and_went_while_nothing_could_be_told_is_counted() -> None:
    world = quiet(
        *[(f"node{number}", 1) for number in range(4)], alarms=told_all(hour_max=1), of={"backoff_cap_ns": SECOND}
    )
    world.cut("node0")
    world.run(10)
    world.cut("node1")
    world.run(MINUTE)
    world.mend("node1")
    world.run(MINUTE)
    assert [event for event, _ in words(world)] == [ALARM]
    world.cut("node2")
    world.run(HOUR)
    assert world.told[1][1].unsaid == 1 and "1 more came and went" in world.told[1][1].text


def test_the_last_message_of_an_hour_waits_a_little_for_others() -> None:
    world = quiet(*[(f"node{number}", 1) for number in range(4)], alarms=told_all(hour_max=2))
    for number in range(2):
        world.cut(f"node{number}")
        world.run(10)
    assert len(world.told) == 1
    world.cut("node2")
    world.run(GATHER_NS / SECOND)
    assert [len(message.items) for _, message in world.told] == [1, 2]


# notifiers that fail


def test_a_notifier_that_fails_is_tried_again_with_what_is_true_then_and_makes_no_alarm() -> None:
    world = quiet(alarms=told_all())
    world.failing["ops"] = "exit code 1"
    world.cut("node1")
    world.run(10 * MINUTE)
    tries = len(world.told)
    assert 5 <= tries <= 8  # 10, 20, 40, 80, 160, 320 s
    assert world.scheduler.alarms.notifier_rows()[0].error == "exit code 1"
    assert [notice.text for notice in world.notices if "notifier" in notice.text] == [
        "notifier ops failed: exit code 1"
    ]
    assert {kind for _, kind, _ in kinds_told(world)} == {"host-down"}
    assert not [record for record in world.records if isinstance(record, AlarmTold)]
    world.cut("node2")
    world.run(MINUTE)
    world.failing.clear()
    world.run(10 * MINUTE)
    assert [len(message.items) for _, message in world.told[tries:]][-1] == 1
    assert {subject for _, _, subject in kinds_told(world)} == {"host node1", "host node2"}
    assert world.notices[-1].text == "notifier ops works again" or any(
        notice.text == "notifier ops works again" for notice in world.notices
    )
    assert world.scheduler.alarms.notifier_rows()[0].error == ""


def test_what_handlers_say_comes_at_once_in_order_and_is_bounded() -> None:
    handlers = (Handler("3", notify="ops"),)
    tasks = (task("bad", "run", "1", "3", every=2, handlers=handlers),)
    world = SmallWorld(tasks, alarms=AlarmSettings((ChannelRules("ops", NotifyRules(hour_max=100)),)))
    world.run(2)
    assert words(world) == [("handler", "bad job 1: exit 3")]
    assert world.scheduler.alarms.due_ns is None  # nothing is watched: no look
    world.failing["ops"] = "no"
    world.run(2 * (SAID_KEPT + 20))
    world.failing.clear()
    before = len(world.told)
    world.run(10 * MINUTE)
    first = world.told[before][1]
    assert first.event == SUMMARY and first.unsaid > 20 and len(first.items) == SAID_KEPT
    assert first.items[0].text == f"bad job {first.unsaid + 2}: exit 3"
    said = [item.subject for _, message in world.told[before:] for item in message.items]
    assert len(said) == len(set(said))


def test_a_driver_that_does_not_answer_keeps_nobody_from_being_told() -> None:
    world = quiet(alarms=told_all())
    world._look_around = lambda effect: None  # type: ignore[method-assign, misc]  # the driver hangs
    world.give(OrderTask(1, TaskVerb.HOLD, "reduce"))
    world.scheduler.spawning.change(world.scheduler.spawning.tasks["reduce"], world.now, faulted="bad")
    world.run(90)
    assert kinds_told(world) == [(ALARM, "task-faulted", "task reduce")]


def test_what_nobody_can_say_is_not_over() -> None:
    world = quiet(alarms=told_all())
    world.cut("node1")
    world.run(20)
    assert [event for event, _ in words(world)] == [ALARM]
    for unsure in (None, ("host node1",)):
        world._look_around = lambda effect, unsure=unsure: world.scheduler.receive(  # type: ignore[method-assign, misc]
            LookedAround(effect.number, (), unsure), world.now
        )
        world.run(10 * MINUTE)
        assert [event for event, _ in words(world)] == [ALARM]


# what costs nothing, restarts, reloads


def test_where_nothing_is_watched_nothing_is_looked_at() -> None:
    world = quiet(alarms=AlarmSettings((ChannelRules("ops", NotifyRules()),)))
    assert world.scheduler.alarms.due_ns is None
    world.cut("node1")
    world.run(HOUR)
    assert world.told == [] and world.scheduler.alarms.standing == {}


def test_what_was_told_is_not_told_again_after_a_restart_and_what_is_over_is() -> None:
    world = quiet(("node1", 1), ("node2", 1), ("node3", 1), alarms=told_all())
    world.cut("node1")
    world.cut("node2")
    world.run(MINUTE)
    assert len(world.told) == 2
    world.mend("node2")
    world.failing["ops"] = "no"
    world.cut("node3")
    world.run(20)
    before = len(world.told)
    world.restart_server()
    world.failing.clear()
    world.run(SETTLE_NS / SECOND - 20)
    events = kinds_told(world)[before:]
    assert events == [(ALARM, "host-down", "host node3")]  # node2 may still be connecting, for all that is known
    world.run(2 * MINUTE)
    assert kinds_told(world)[before + 1 :] == [(RECOVERED, "host-down", "host node2")]
    assert world.scheduler.alarms.standing[AlarmKind.HOST_DOWN, "host node1"].told


@pytest.mark.parametrize("after_s", [1, 4, 5, 6, 9, 10, 11, 14, 15, 16, 21, 30])
def test_a_restart_at_any_moment_tells_each_thing_once(after_s: int) -> None:
    tasks = (task("bad", "run", "1", "3", every=10**6), task("idle", every=10**6))
    world = SmallWorld(tasks, alarms=told_all())
    world.cut("node1")
    world.run(after_s)
    world.restart_server()
    world.run(20 * MINUTE)
    told = Counter(kinds_told(world))
    assert told[ALARM, "host-down", "host node1"] == 1
    assert told[ALARM, "job-failed", "task bad"] == 1 and max(told.values()) == 1
    assert told[RECOVERED, "job-failed", "task bad"] == 1


def test_what_a_handler_wants_told_outlives_a_restart_and_is_told_once() -> None:
    tasks = (task("bad", "run", "1", "3", every=2, handlers=(Handler("3", notify="ops"),)),)
    world = SmallWorld(tasks, alarms=AlarmSettings((ChannelRules("ops", NotifyRules(hour_max=100)),)))
    world.run(4)
    assert [item.subject for _, message in world.told for item in message.items] == ["job 1", "job 2"]
    world.failing["ops"] = "no"
    world.run(4)
    world.give(OrderTask(1, TaskVerb.HOLD, "bad"))
    world.run(4)
    read = fold(world.records)
    again = Fold()
    for record in say(read.scheduler, read.controller):
        again.add(record)
    assert again.scheduler.alarms.said == read.scheduler.alarms.said
    left = [said.text for said in read.scheduler.alarms.said["ops"]]
    assert left == ["bad job 3: exit 3", "bad job 4: exit 3", "bad job 5: exit 3"]
    for expected in (left, []):
        world.restart_server()
        world.failing.clear()
        before = len(world.told)
        world.run(MINUTE)
        assert [item.text for _, message in world.told[before:] for item in message.items] == expected
    assert fold(world.records).scheduler.alarms.said["ops"] == []


def test_a_snapshot_says_the_same() -> None:
    world = quiet(alarms=told_all())
    world.cut("node1")
    world.run(MINUTE)
    read = fold(world.records)
    again = Fold()
    for record in say(read.scheduler, read.controller):
        again.add(record)
    assert again.scheduler.alarms == read.scheduler.alarms
    assert again.scheduler.alarms.standing["host-down", "host node1"].told.keys() == {"ops"}


def test_a_reload_changes_who_is_told() -> None:
    world = quiet(alarms=told_all())
    world.cut("node1")
    world.run(MINUTE)
    rules = NotifyRules(kinds=ALL, after_ns=0)
    world.give(SetAlarms(AlarmSettings((ChannelRules("other", rules), ChannelRules("ops", rules)))))
    world.run(MINUTE)
    assert [name for name, _ in world.told] == ["ops", "other"]
    world.give(SetAlarms(AlarmSettings()))
    assert world.scheduler.alarms.rows() == [] and fold(world.records).scheduler.alarms.standing == {}
    world.cut("node2")
    world.run(HOUR)
    assert len(world.told) == 2 and world.scheduler.alarms.due_ns is None


def test_a_new_life_that_watches_nothing_forgets_what_stood() -> None:
    world = quiet(alarms=told_all())
    world.cut("node1")
    world.run(MINUTE)
    world.alarms = AlarmSettings()
    world.restart_server()
    assert world.scheduler.alarms.rows() == [] and fold(world.records).scheduler.alarms.standing == {}


def test_a_heartbeat_comes_when_nothing_else_does() -> None:
    world = quiet(alarms=told_all(heartbeat_ns=600, hour_max=1))
    world.run(HOUR)
    assert [event for event, _ in words(world)] == [HEARTBEAT] * 6
    world.cut("node1")
    world.run(20)
    assert words(world)[-1][0] == ALARM  # heartbeats take nobody's place


def test_settings_and_answers_can_be_written_down() -> None:
    kind, _ = encode_event(SetAlarms(told_all()))
    assert kind == "SetAlarms"


def test_a_look_is_as_often_as_it_says() -> None:
    world = quiet(alarms=told_all())
    world.run(3)
    due = world.scheduler.alarms.due_ns
    world.run(5)
    assert due is not None and world.scheduler.alarms.due_ns == due + 5 * SECOND
