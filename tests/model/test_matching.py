"""Goal: whatever happens in whatever order, the indexes of the queue say what a look at everything would say.

Method: one property drives a small world with any sequence of jobs, kills, time, hosts that are cut off, mended and
changed, and restarts; after each step its stocks and indexes are compared with plain loops over jobs and hosts.
"""

from __future__ import annotations

from itertools import pairwise

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model.configuration import Order
from model.events import HostVerb, OrderHost
from model.job import SECOND, AttemptKey, HostWish
from model.records import AttemptGiven
from model.resources import Amounts, Needs, Place
from model.shapes import Shape
from tests.model.resource_world import host, kill, needs, submit, world_of
from tests.model.small_world import SmallWorld

AMOUNTS = st.fixed_dictionaries({}, optional={"cpus": st.integers(1, 4), "gpus": st.integers(1, 2)})
NEEDS = st.builds(
    lambda amounts, licence, label, avoid, place: Needs(
        tuple(sorted({**amounts, **({"licence": licence} if licence else {})}.items())), label, avoid, place
    ),
    AMOUNTS,
    st.integers(0, 2),
    st.sampled_from([(), (), ("fast",)]),
    st.sampled_from([(), (), ("node1",)]),
    st.sampled_from([None, Place.PACK]),
)
WISHES = st.sampled_from([HostWish(), HostWish(), HostWish("node1", required=True), HostWish("node2", wait_ns=SECOND)])
STEPS = st.one_of(
    st.tuples(st.just("submit"), st.none() | NEEDS, st.integers(1, 3), WISHES),
    st.tuples(st.just("kill"), st.integers(1, 12)),
    st.tuples(st.just("run"), st.sampled_from([0.5, 2, 5])),
    st.tuples(st.just("cut"), st.sampled_from(["node1", "node2"])),
    st.tuples(st.just("mend"), st.sampled_from(["node1", "node2"])),
    st.tuples(st.just("size"), st.sampled_from(["node1", "node2"]), st.integers(1, 4), AMOUNTS),
    st.tuples(st.just("restart")),
)


def amounts(world: SmallWorld, name: str) -> Amounts:
    """What the jobs take that the controller counts at this host."""
    total: dict[str, int] = {}
    for job in world.controller.jobs.values():
        if job.host is not None and job.host.name == name and job.report is None and job.spec.needs is not None:
            for resource, amount in job.spec.needs.resources:
                total[resource] = total.get(resource, 0) + amount
    return tuple(sorted(total.items()))


def check_indexes(world: SmallWorld) -> None:
    """What the indexes say is what a look at everything says."""
    controller = world.controller
    placing = controller.placing
    shared: dict[str, int] = {}
    for name, one in controller.hosts.items():
        taken = dict(amounts(world, name))
        for resource, used, total in one.stock.used():
            assert used == taken.get(resource, 0), f"{resource} of {name}"
            assert total - used == one.stock.free[resource]
        shared["licence"] = shared.get("licence", 0) + taken.get("licence", 0)
    assert placing.shared.free == {"licence": 3 - shared["licence"]}
    assert placing.shared.free["licence"] >= 0
    for shape in placing.shapes._special.values():
        assert placing.shapes.able(shape) == any(fits(world, shape, name) for name in controller.hosts), shape.key


def fits(world: SmallWorld, shape: Shape, name: str) -> bool:
    placing, one = world.controller.placing, world.controller.hosts[name]
    kept = {other for job in placing.reserving.kept.values() for other, _ in job.shape.shared}
    if any(resource in kept and placing.shapes.held_back[resource] is not shape for resource, _ in shape.shared):
        return False
    return (
        one.takes_work(world.now)
        and name not in placing.reserving.kept
        and one.free >= shape.slots
        and all(one.stock.free.get(resource, 0) >= amount for resource, amount in shape.own)
        and all(placing.shared.free[resource] >= amount for resource, amount in shape.shared)
        and all(label in one.labels for label in shape.labels)
        and name not in shape.avoid
    )


def take_step(world: SmallWorld, step: tuple[object, ...]) -> None:
    verb, *rest = step
    match verb:
        case "submit":
            submit(world, rest[0], 3, slots=rest[1], host=rest[2])  # type: ignore[arg-type]
        case "kill":
            kill(world, rest[0])  # type: ignore[arg-type]
        case "run":
            world.run(rest[0])  # type: ignore[arg-type]
        case "cut" if world.hosts[rest[0]].connected:  # type: ignore[index]
            world.cut(rest[0])  # type: ignore[arg-type]
        case "mend":
            world.mend(rest[0])  # type: ignore[arg-type]
        case "size":
            found = tuple(sorted(rest[2].items()))  # type: ignore[attr-defined]
            world.order_host(OrderHost(1, HostVerb.SLOTS, rest[0], rest[1], resources=found))  # type: ignore[arg-type]
        case "restart":
            world.restart_server()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEPS, max_size=40), st.sampled_from([0, 1, 3]), st.sampled_from([Order.FILL, Order.STRICT]))
def test_the_indexes_agree_with_a_look_at_everything(
    steps: list[tuple[object, ...]], passed_max: int, order: Order
) -> None:
    world = world_of(
        host("node1", 3, "fast", cpus=4, gpus=2),
        host("node2", 2, cpus=3),
        resources=(("licence", 3),),
        passed_max=passed_max,
        order=order,
    )
    for step in steps:
        take_step(world, step)
        check_indexes(world)
    for name in ("node1", "node2"):
        world.mend(name)
    for number in range(1, 50):
        kill(world, number)
    world.run(2000)
    check_indexes(world)
    for one in world.controller.hosts.values():
        assert one.free == one.slots
        assert not one.gpus_used
        assert all(used == 0 for _, used, _ in one.stock.used())
    assert not world.controller.placing.reserving.kept
    assert all(shape.waiting == 0 for shape in world.controller.placing.shapes._special.values())


def test_the_order_of_jobs_of_one_shape_is_that_of_their_numbers() -> None:
    world = world_of(host("node1", 2, cpus=2000), host("node2", 2, cpus=2000))
    for _ in range(20):
        submit(world, needs(cpus=2000), seconds=1)
    world.run(30)
    given: list[AttemptKey] = [(one.job, one.attempt) for one in world.records if isinstance(one, AttemptGiven)]
    assert all(before < after for before, after in pairwise(given))
    assert len(given) == 20
