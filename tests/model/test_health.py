"""Goal: a host that ends whatever it gets is set aside and tried again; tasks that are broken everywhere set none so.

Method: the small world in which chosen hosts end each job at once, badly; several tasks, a job of each after the other.
The rule itself (`model/health.py`) is also asked directly, for the cases that a world shows only by luck.
"""

from __future__ import annotations

import pytest

from model.configuration import ClusterDefinition, HostDefinition
from model.effects import Notice
from model.events import HostVerb, OrderHost, Submit
from model.explain import Reason
from model.health import PAUSE_CAP_NS, QUICK_NS, Guard, HealthPolicy, HostHealth, may_set_aside, verdict
from model.host import HostState
from model.job import SECOND, HostWish, JobId, JobSpec, Outcome, Report
from model.keeper import Spawn
from model.records import SET_ASIDE, HostChanged
from model.restored import fold
from model.snapshot import say
from tests.model.small_world import SmallHost, SmallWorld

PAUSE = HealthPolicy().pause_ns // SECOND
GOOD = ("run", "1", "0")


class World(SmallWorld):
    """On the hosts of `broken` every job ends at once with exit 1, on `none_starts` none is found."""

    broken: frozenset[str] = frozenset()
    none_starts: frozenset[str] = frozenset()

    def _spawn(self, host: SmallHost, effect: Spawn) -> None:
        words = effect.spec.command
        if host.name in self.broken:
            words = ("run", "0", "1")
        elif host.name in self.none_starts:
            words = ("missing",)
        spec = JobSpec(effect.spec.task, words, environment=effect.spec.environment)
        super()._spawn(host, Spawn(effect.job, effect.attempt, spec))

    def state(self, name: str) -> HostState:
        return self.controller.hosts[name].state


def world_of(*names: str, **health: int) -> World:
    hosts = tuple(HostDefinition(name, 1) for name in names)
    return World((), ClusterDefinition(hosts=hosts, health=HealthPolicy(**health)))


def submit(world: World, task: str, words: tuple[str, ...] = GOOD, host: str = "", **fields: object) -> int:
    wish = HostWish(host, required=True) if host else HostWish()
    world.give(Submit(1, JobSpec(task, words, host=wish, **fields)))  # type: ignore[arg-type]
    return world.answers[-1].job


def work(world: World, rounds: int, tasks: tuple[str, ...] = ("a", "b", "c"), words: tuple[str, ...] = GOOD) -> None:
    """So many times three jobs of each task, as fast as the hosts take them: the one that is free first gets most."""
    for _ in range(rounds):
        for task in tasks * 3:
            submit(world, task, words)
        world.run(5)


def with_a_black_hole(rounds: int = 4, **health: int) -> World:
    """Three hosts that worked well; then one breaks."""
    world = world_of("node1", "node2", "node3", **health)
    work(world, 2)
    world.broken = frozenset({"node2"})
    work(world, rounds)
    return world


def test_a_host_on_which_all_tasks_fail_is_set_aside() -> None:
    world = with_a_black_hole()
    assert [world.state(f"node{number}").value for number in (1, 2, 3)] == ["up", "aside", "up"]
    work(world, 10)
    assert world.controller.hosts["node2"].failed == 5, "it gets nothing more"


def test_it_says_so_everywhere() -> None:
    world = with_a_black_hole()
    found = world.controller.explain_host("node2", world.now)
    assert found is not None
    assert found.reason is Reason.HOST_ASIDE
    assert found.text == "aside: 5 jobs of 3 tasks failed there in a row, and otherwise these tasks work"
    assert found.until_ns == world.controller.hosts["node2"].health.until_ns
    assert found.changes == ("laulima host on node2",)
    assert Notice("warning", "host node2", f"set aside: {found.text.removeprefix('aside: ')}") in world.notices
    job = submit(world, "a", host="node2")
    waits = world.controller.explain_attempt((JobId(job), 1), world.now)
    assert waits is not None
    assert waits.text.startswith("needs host node2 (required), which is aside: 5 jobs")


def test_commands_that_are_not_found_count() -> None:
    world = world_of("node1", "node2", "node3")
    work(world, 2)
    world.none_starts = frozenset({"node2"})
    work(world, 4)
    assert world.state("node2") is HostState.ASIDE


def test_tasks_that_fail_everywhere_set_no_host_aside() -> None:
    world = world_of("node1", "node2", "node3", "node4")
    work(world, 2)
    work(world, 30, words=("run", "0", "1"))
    assert all(host.state is HostState.UP for host in world.controller.hosts.values())


def test_tasks_that_never_worked_set_no_host_aside() -> None:
    world = world_of("node1", "node2", "node3")
    for _ in range(30):
        for task in ("a", "b", "c", "d"):
            submit(world, task, ("run", "0", "1"), host="node1")
        world.run(1)
    assert world.state("node1") is HostState.UP


def test_one_broken_task_alone_sets_no_host_aside() -> None:
    world = world_of("node1", "node2")
    work(world, 2)
    for _ in range(30):
        submit(world, "a", ("run", "0", "1"), host="node1")
        world.run(1)
    assert world.state("node1") is HostState.UP


def test_a_success_between_begins_the_count_anew() -> None:
    world = world_of("node1", "node2")
    work(world, 2)
    for _ in range(10):
        for task in ("a", "b", "c", "a"):
            submit(world, task, ("run", "0", "1"), host="node1")
        submit(world, "b", host="node1")
        world.run(3)
    assert world.state("node1") is HostState.UP


def test_several_hosts_that_break_at_once_are_found() -> None:
    world = world_of(*(f"node{number}" for number in range(1, 7)))
    work(world, 4)
    world.broken = frozenset({"node1", "node2"})
    work(world, 8)
    assert {name for name in world.controller.hosts if world.state(name) is HostState.ASIDE} == world.broken


def test_when_most_hosts_fail_it_is_not_the_hosts() -> None:
    world = world_of("node1", "node2", "node3", "node4")
    work(world, 4)
    world.broken = frozenset({"node1", "node2", "node3"})
    work(world, 20)
    assert all(host.state is HostState.UP for host in world.controller.hosts.values())


def test_at_most_half_of_the_hosts_are_set_aside_and_somebody_is_told() -> None:
    world = world_of("node1", "node2", "node3")
    work(world, 4)
    for broken in ({"node1"}, {"node1", "node2"}):  # one after the other, so that each time the others are well
        world.broken = frozenset(broken)
        work(world, 10)
    assert [host.state.value for host in world.controller.hosts.values()] == ["aside", "up", "up"]
    told = [notice for notice in world.notices if notice.level == "alarm"]
    assert len(told) == 1
    assert "half of the hosts" in told[0].text


def test_off_is_off() -> None:
    assert with_a_black_hole(20, failures=0).state("node2") is HostState.UP


# tried again


def test_after_the_pause_one_job_shows_that_it_is_well() -> None:
    world = with_a_black_hole()
    world.broken = frozenset()
    world.run(PAUSE)
    assert world.state("node2") is HostState.UP
    first, second = (submit(world, "a", host="node2") for _ in range(2))
    world.settle()
    assert world.hosts["node2"].ran[first, 1] == 1
    world.run(1)
    assert world.hosts["node2"].ran[second, 1] == 1
    assert world.controller.hosts["node2"].health.why == ""
    assert any("not set aside any more" in notice.text for notice in world.notices)


def test_only_one_job_is_risked() -> None:
    world = with_a_black_hole()
    world.order_host(OrderHost(1, HostVerb.SLOTS, "node2", 4))
    failed = world.controller.hosts["node2"].failed
    world.run(PAUSE)
    for _ in range(3):
        submit(world, "a", host="node2")
    world.run(5)
    assert world.controller.hosts["node2"].failed == failed + 1
    assert world.state("node2") is HostState.ASIDE


def test_each_pause_is_longer_than_the_one_before() -> None:
    world = with_a_black_hole()
    health = world.controller.hosts["node2"].health
    pauses = [health.pause_ns]
    for _ in range(5):
        world.run(health.pause_ns // SECOND + 1)
        submit(world, "a", host="node2")
        work(world, 1)
        pauses.append(health.pause_ns)
    first = HealthPolicy().pause_ns
    assert pauses == [first, 2 * first, 4 * first, 8 * first, PAUSE_CAP_NS, PAUSE_CAP_NS]


def test_a_probe_that_a_person_kills_says_nothing() -> None:
    world = with_a_black_hole()
    world.run(PAUSE)
    health = world.controller.hosts["node2"].health
    world.broken = frozenset()
    submit(world, "a", ("run", "1000", "0"), host="node2", timeout_ns=5 * SECOND)
    world.run(20)
    assert (health.why != "", health.probe, health.aside) == (True, None, False)
    submit(world, "a", host="node2")
    world.run(2)
    assert health.why == ""


def test_a_person_can_end_it() -> None:
    world = with_a_black_hole()
    world.order_host(OrderHost(1, HostVerb.ON, "node2", reason="the disk was replaced"))
    assert world.state("node2") is HostState.UP
    assert world.controller.hosts["node2"].health.why == ""
    assert any(notice.text.endswith("the disk was replaced") for notice in world.notices)


def test_drained_and_on_again_it_is_as_any_other() -> None:
    world = with_a_black_hole()
    world.order_host(OrderHost(1, HostVerb.DRAIN, "node2"))
    assert world.state("node2") is HostState.DRAINING
    world.order_host(OrderHost(1, HostVerb.ON, "node2"))
    assert world.state("node2") is HostState.UP


def test_it_is_set_aside_still_when_its_connection_was_gone() -> None:
    world = with_a_black_hole()
    world.cut("node2")
    world.mend("node2")
    world.run(10)
    assert world.state("node2") is HostState.ASIDE


# restarts


def test_a_restart_does_not_feed_it_again() -> None:
    world = with_a_black_hole()
    world.restart_server()
    assert world.state("node2") is HostState.ASIDE
    world.broken = frozenset()
    world.run(PAUSE)
    submit(world, "a", host="node2")
    world.run(2)
    world.restart_server()
    assert world.state("node2") is HostState.UP


def test_a_snapshot_knows_it() -> None:
    world = with_a_black_hole()
    before = fold(world.records)
    after = fold(say(before.scheduler, before.controller))
    assert after.controller.hosts == before.controller.hosts
    assert [change.verb for change in after.controller.hosts] == [SET_ASIDE]


def test_a_host_that_was_deleted_and_added_again_is_as_any_other() -> None:
    world = with_a_black_hole()
    for verb in (HostVerb.OFF, HostVerb.DELETE, HostVerb.ADD):
        world.order_host(OrderHost(1, verb, "node2"))
    assert world.controller.hosts["node2"].health.why == ""
    assert not [one for one in fold(world.records).controller.hosts if one.verb == SET_ASIDE]


def test_a_preferred_host_that_is_set_aside_is_not_waited_for() -> None:
    world = with_a_black_hole()
    wish = HostWish("node2", wait_ns=600 * SECOND)
    world.give(Submit(1, JobSpec("a", GOOD, host=wish)))
    world.run(2)
    assert world.outcomes()[-1] == "EXITED"
    assert world.ends[-1].report.host != "node2"


def test_nor_by_a_job_that_waits_for_it_already() -> None:
    hosts = tuple(HostDefinition(name, 2) for name in ("node1", "node2", "node3"))
    world = World((), ClusterDefinition(hosts=hosts))
    work(world, 2)
    submit(world, "a", ("run", "1000", "0"), host="node2")
    waits = submit(world, "a", host="node2", slots=2)
    world.give(Submit(1, JobSpec("a", GOOD, host=HostWish("node2", wait_ns=600 * SECOND), slots=2)))
    world.broken = frozenset({"node2"})
    work(world, 4)
    assert world.state("node2") is HostState.ASIDE
    assert [one.report.host for one in world.ends if one.job == waits + 1] != ["node2"]
    assert len([one for one in world.ends if one.job == waits + 1]) == 1


# the rule


@pytest.mark.parametrize(
    ("report", "says"),
    [
        (Report(Outcome.EXITED, 0), True),
        (Report(Outcome.EXITED, 1), False),
        (Report(Outcome.EXITED, 1, ran_for_ns=QUICK_NS), False),
        (Report(Outcome.EXITED, 1, ran_for_ns=QUICK_NS + 1), None),
        (Report(Outcome.CRASHED, signal=11), False),
        (Report(Outcome.CRASHED, signal=11, ran_for_ns=QUICK_NS + 1), None),
        (Report(Outcome.COMMAND_NOT_FOUND), False),
        *((Report(outcome), None) for outcome in Outcome if outcome.name in "TIMED_OUT KILLED LOST OVERLOADED"),
    ],
)
def test_which_ends_say_something_about_a_host(report: Report, says: bool | None) -> None:
    assert verdict(report) is says


def test_half_of_the_hosts() -> None:
    assert [may_set_aside(aside, hosts) for aside, hosts in ((0, 1), (0, 2), (1, 3), (1, 4), (2, 5))] == [
        False,
        True,
        False,
        True,
        False,
    ]


def test_bad_ends_of_long_ago_do_not_count() -> None:
    policy = HealthPolicy(failures=3, tasks=1, window_ns=100)
    guard, health = Guard(policy), HostHealth()
    guard.note("other", HostHealth(), "a", True, 0)
    assert [guard.note("node1", health, "a", False, now) for now in (0, 60, 120, 130)][:3] == ["", "", ""]
    assert guard.note("node1", health, "a", False, 140)


def test_a_task_that_has_begun_to_fail_elsewhere_is_not_blamed_on_the_host() -> None:
    policy = HealthPolicy(failures=2, tasks=1)
    guard, health = Guard(policy), HostHealth()
    guard.note("other", HostHealth(), "a", True, 0)
    guard.note("other", HostHealth(), "a", False, 1)
    assert [guard.note("node1", health, "a", False, now) for now in (2, 3, 4)] == ["", "", ""]
    guard.note("third", HostHealth(), "a", True, 5)
    assert guard.note("node1", health, "a", False, 6)


def test_a_pause_begins_anew_after_the_host_was_well_for_as_long() -> None:
    health = HostHealth()
    health.set_aside("x", 100, 0)
    health.recover(50)
    health.set_aside("x", 100, 60)
    assert health.pause_ns == 200
    health.recover(70)
    health.set_aside("x", 100, 270)
    assert health.pause_ns == 100


def test_records_of_a_healthy_world_say_nothing_of_health() -> None:
    world = world_of("node1", "node2")
    work(world, 5)
    assert not [record for record in world.records if isinstance(record, HostChanged)]
