"""Goal: another configuration is taken whole, and what runs is not hurt by it. Method: differences of small
configurations; their orders given to the small world.
"""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from model.alarm_kinds import host_troubles
from model.configuration import ClusterDefinition, Configuration, HostDefinition, OnExit
from model.events import DefineTask, HostVerb, JobVerb, OrderHost, OrderJob
from model.host import HostState
from model.job import HostPolicy, HostWish, Wait
from model.reloading import difference, host_orders, task_orders
from model.task import Limits, TaskDefinition
from tests.model.small_world import SmallHost, SmallWorld, task


def configured(*tasks: TaskDefinition, hosts: dict[str, int] | None = None, **more: Any) -> Configuration:
    definitions = tuple(HostDefinition(name, slots) for name, slots in (hosts or {"node1": 1}).items())
    return Configuration("x.yaml", "/", tasks=tasks, cluster=ClusterDefinition(hosts=definitions), **more)


def world_of(configuration: Configuration, *machines: str) -> SmallWorld:
    """A world that runs it, with computers for hosts that come later."""
    world = SmallWorld(configuration.tasks, configuration.cluster)
    for name in machines:
        world.hosts[name] = SmallHost(name, 1, world.cluster, world.now)
    world.run(1)
    return world


def reload(world: SmallWorld, old: Configuration, new: Configuration) -> None:
    found = difference(old, new)
    for order in task_orders(found):
        world.give(order)
    for host_order in host_orders(old, found, frozenset(world.controller.hosts)):
        world.order_host(host_order)


def test_the_same_configuration_differs_in_nothing() -> None:
    found = difference(configured(task("a")), configured(task("a"), digest="of another file"))
    assert (found.changes, task_orders(found)) == ((), [])


def test_every_setting_that_differs_is_named_with_its_two_values() -> None:
    old = configured(task("a", every=5, limits=Limits(in_flight=3)), task("b"))
    new = configured(task("a", every=9, limits=Limits(in_flight=4)), task("c"), hosts={"node1": 2, "node9": 1})
    told = [(change.about, change.setting, change.before, change.after) for change in difference(old, new).changes]
    assert told == [
        ("task b", "", "defined", ""),
        ("task a", "periods.exec_ns", "5000000000", "9000000000"),
        ("task a", "limits.in_flight", "3", "4"),
        ("task c", "", "", "defined"),
        ("host node1", "slots", "1", "2"),
        ("host node9", "", "", "defined"),
    ]


def test_what_waits_for_the_next_start_is_told_so() -> None:
    old = configured(on_exit=OnExit.KEEP)
    new = replace(old, cluster=replace(old.cluster, local_slots=9), on_exit=OnExit.KILL)
    found = {change.setting: change.at_once for change in difference(old, new).changes}
    assert found == {"cluster.local_slots": False, "on_exit": True}


def test_a_task_that_is_gone_makes_nothing_more_and_its_jobs_end() -> None:
    old = configured(task("a", "run", "50", "0", every=1000), task("b", "run", "1", "0", every=1))
    world = world_of(old)
    reload(world, old, configured(task("b", "run", "1", "0", every=1)))
    assert "a" in world.scheduler.spawning.tasks, "its last job runs"
    world.run(60)
    assert "a" not in world.scheduler.spawning.tasks
    assert world.outcomes().count("EXITED") == len(world.outcomes())


def test_a_reload_never_makes_up_for_starts_and_keeps_the_grid() -> None:
    old = configured(task("a", "run", "1", "0", every=100))
    world = world_of(old)
    world.run(30)
    reload(world, old, configured(task("a", "run", "1", "0", every=100, limits=Limits(in_flight=7))))
    world.run(60)
    assert len(world.made) == 1
    world.run(15)
    assert len(world.made) == 2


def test_hosts_come_grow_and_go_while_their_jobs_run() -> None:
    wish = HostWish("node1", required=True)
    definition = task("a", "run", "20", "0", every=1, host=wish)
    old = configured(definition, hosts={"node1": 1, "node2": 1})
    world = world_of(old, "node3")
    new = configured(definition, hosts={"node1": 3, "node3": 2})
    reload(world, old, new)
    world.run(5)
    assert world.controller.hosts["node1"].slots == 3
    assert len(world.hosts["node1"].processes) == 3
    assert "node2" not in world.controller.hosts
    assert world.controller.hosts["node3"].state is HostState.UP
    reload(world, new, old)
    world.run(1)
    assert world.controller.hosts["node2"].state is HostState.UP, "it is back in the file"
    assert "node3" not in world.controller.hosts
    world.run(60)
    assert set(world.outcomes()) == {"EXITED"}
    assert len(world.hosts["node1"].processes) <= 1


def test_a_host_that_is_gone_ends_what_it_has_and_one_that_is_down_is_nobodys_trouble_any_more() -> None:
    definition = task("a", "run", "20", "0", every=100, host=HostWish("node2", required=True))
    old = configured(definition, hosts={"node1": 1, "node2": 1, "node3": 1})
    world = world_of(old)
    world.cut("node3")
    assert host_troubles(world.controller.hosts.values())[0], "it is down"
    reload(world, old, configured(definition, hosts={"node1": 1}))
    node2, node3 = world.controller.hosts["node2"], world.controller.hosts["node3"]
    assert (node2.state, node3.state) == (HostState.DRAINING, HostState.OFF)
    assert host_troubles(world.controller.hosts.values()) == ([], [])
    world.run(30)
    assert world.outcomes() == ["EXITED"]
    assert (node2.state, node2.reason) == (HostState.OFF, "not in the configuration any more")
    assert list(world.controller.hosts) == ["node1"]


@pytest.mark.parametrize(
    ("meanwhile", "stays"), [(None, False), (HostVerb.OFF, False), (HostVerb.DRAIN, True), (HostVerb.ON, True)]
)
def test_a_host_that_is_gone_is_there_as_long_as_a_job_waits_for_just_it(
    meanwhile: HostVerb | None, stays: bool
) -> None:
    """Else that job would find its host unknown. Who orders something else of it wants it."""
    wish = HostWish("node2", required=True, when_down=HostPolicy(Wait.WAIT))
    definition = task("a", "run", "2", "0", every=1000, host=wish)
    old, new = configured(definition, hosts={"node1": 1, "node2": 1}), configured(definition, hosts={"node1": 1})
    world = SmallWorld(definition=old.cluster)
    world.cut("node2")
    world.give(DefineTask(1, definition))
    world.run(2)
    assert world.made and not world.outcomes()
    reload(world, old, new)
    world.run(200)
    assert world.controller.hosts["node2"].state is HostState.OFF and not world.outcomes()
    if meanwhile:
        world.order_host(OrderHost(2, meanwhile, "node2"))
        world.order_host(OrderHost(3, HostVerb.OFF, "node2"))
    world.give(OrderJob(4, JobVerb.KILL, world.made[0].job))
    world.run(70)
    assert ("node2" in world.controller.hosts) is stays


def test_a_host_that_is_gone_and_is_switched_on_meanwhile_stays() -> None:
    definition = task("a", "run", "20", "0", every=1000, host=HostWish("node2", required=True))
    old = configured(definition, hosts={"node1": 1, "node2": 1})
    world = world_of(old)
    world.run(1)
    reload(world, old, configured(definition, hosts={"node1": 1}))
    world.order_host(OrderHost(1, HostVerb.ON, "node2"))
    world.run(60)
    assert world.controller.hosts["node2"].state is HostState.UP
    world.order_host(OrderHost(2, HostVerb.OFF, "node2"))
    world.run(60)
    assert world.controller.hosts["node2"].state is HostState.OFF, "a person's order alone lets no host be forgotten"


def test_a_host_of_an_earlier_configuration_is_forgotten_when_its_last_job_has_ended() -> None:
    definition = task("a", "run", "20", "0", every=1000, host=HostWish("node2", required=True))
    world = world_of(configured(definition, hosts={"node1": 1, "node2": 1}))
    world.run(1)
    world.cluster = configured(hosts={"node1": 1}).cluster
    world.restart_server()
    world.run(1)
    assert world.controller.hosts["node2"].holding == 1
    world.run(60)
    assert world.outcomes() == ["EXITED"]
    assert list(world.controller.hosts) == ["node1"]


def test_a_host_that_was_deleted_and_is_added_again_answers_at_once() -> None:
    """Its agent has lived on, and takes what the controller said before for newer than what begins from one again."""
    world = world_of(configured(hosts={"node1": 1, "node2": 1}))
    world.run(60)
    world.order_host(OrderHost(1, HostVerb.OFF, "node2"))
    world.order_host(OrderHost(2, HostVerb.DELETE, "node2"))
    world.order_host(OrderHost(3, HostVerb.ADD, "node2"))
    assert all(answer.ok for answer in world.answers)
    world.run(1)
    assert world.controller.hosts["node2"].state is HostState.UP


def test_nothing_of_a_reload_is_kept_for_later_lives_which_read_the_file() -> None:
    old = configured(hosts={"node1": 1, "node2": 1})
    world = world_of(old)
    reload(world, old, configured(hosts={"node1": 2}))
    world.restart_server()
    world.run(30)
    assert world.controller.hosts["node1"].slots == 1
    assert world.controller.hosts["node2"].state is HostState.UP


def test_slots_that_a_person_gave_are_there_in_later_lives() -> None:
    world = world_of(configured())
    world.order_host(OrderHost(1, HostVerb.SLOTS, "node1", slots=5))
    assert world.answers[-1].ok
    world.restart_server()
    world.run(30)
    assert (world.controller.hosts["node1"].slots, world.hosts["node1"].agent.slots) == (5, 5)


def test_a_host_that_was_added_and_then_written_into_the_configuration_is_there_once() -> None:
    world = world_of(configured(), "node7")
    world.order_host(OrderHost(1, HostVerb.ADD, "node7", slots=1))
    world.cluster = replace(world.cluster, hosts=(*world.cluster.hosts, HostDefinition("node7", 4)))
    world.restart_server()
    world.run(30)
    assert world.controller.hosts["node7"].slots == 4
    assert world.controller.hosts["node7"].state is HostState.UP
