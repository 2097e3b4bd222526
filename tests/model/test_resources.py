"""Goal: a host never has more given out than it was declared to have, what fits runs, and nobody waits for ever.

Method: the small world with declared hosts; each test shows one rule. Any sequence of things is in `test_matching.py`.
"""

from __future__ import annotations

import pytest

from model import shapes
from model.configuration import Order
from model.events import HostVerb, OrderHost
from model.explain import Reason
from model.job import SECOND, HostPolicy, HostWish, JobId, Wait
from model.records import AttemptGiven
from model.resources import GIBIBYTE, Needs, Place, Stock, amount_text
from tests.model.resource_world import host, hosts_of, kill, needs, submit, why, world_of
from tests.model.small_world import SmallWorld

# amounts


def test_a_host_has_no_more_given_out_than_it_has() -> None:
    world = world_of(host("node1", cpus=3000, memory=8 * GIBIBYTE))
    first, second = (submit(world, needs(cpus=2000), seconds=10) for _ in range(2))
    assert hosts_of(world) == {first: "node1"}
    world.run(11)
    assert hosts_of(world) == {second: "node1"}


def test_each_resource_counts() -> None:
    world = world_of(host("node1", cpus=8000, memory=4 * GIBIBYTE, tape=1))
    first = submit(world, needs(memory=3 * GIBIBYTE))
    submit(world, needs(memory=2 * GIBIBYTE))
    third = submit(world, needs(tape=1))
    submit(world, needs(tape=1))
    assert set(hosts_of(world)) == {first, third}


def test_slots_count_as_well() -> None:
    world = world_of(host("node1", 2, cpus=8000))
    for _ in range(3):
        submit(world, needs(cpus=1000))
    assert len(hosts_of(world)) == 2


def test_a_host_that_declares_nothing_takes_nobody_who_needs_something() -> None:
    world = world_of(host("node1"), host("node2", cpus=1000))
    first, second = (submit(world, needs(cpus=1000)) for _ in range(2))
    assert hosts_of(world) == {first: "node2"}
    assert why(world, second)[0] is Reason.NO_RESOURCE


def test_a_small_job_passes_one_that_does_not_fit() -> None:
    world = world_of(host("node1", cpus=4000))
    first, _, third = (submit(world, needs(cpus=cpus)) for cpus in (3000, 2000, 1000))
    assert set(hosts_of(world)) == {first, third}


def test_in_strict_order_it_does_not() -> None:
    world = world_of(host("node1", cpus=4000), order=Order.STRICT)
    first, second, third = (submit(world, needs(cpus=cpus), seconds=10) for cpus in (3000, 2000, 1000))
    assert set(hosts_of(world)) == {first}
    world.run(11)
    assert set(hosts_of(world)) == {second, third}


def test_labels_are_all_asked_for() -> None:
    world = world_of(host("node1", 8, "fast"), host("node2", 8, "fast", "ssd"))
    job = submit(world, needs("fast", "ssd"))
    assert hosts_of(world) == {job: "node2"}


def test_avoided_hosts_get_nothing() -> None:
    world = world_of(host("node1"), host("node2", 1))
    first, second = (submit(world, needs(avoid=("node1",))) for _ in range(2))
    assert hosts_of(world) == {first: "node2"}
    assert second not in hosts_of(world)


def test_what_the_cluster_shares_counts_over_all_hosts() -> None:
    world = world_of(host("node1"), host("node2"), resources=(("licence", 3),))
    jobs = [submit(world, needs(licence=1), seconds=10) for _ in range(4)]
    assert set(hosts_of(world)) == set(jobs[:3])
    assert why(world, jobs[3]) == (Reason.NO_RESOURCE, "needs 1 licence of the cluster, 0 of 3 free")
    world.run(11)
    assert set(hosts_of(world)) == {jobs[3]}


def test_what_comes_free_on_one_host_is_given_to_a_job_that_waits_for_another() -> None:
    world = world_of(host("node1"), host("node2"), resources=(("licence", 1),))
    first = submit(world, needs(licence=1), seconds=10, host=HostWish("node1", required=True))
    second = submit(world, needs(licence=1), host=HostWish("node2", required=True))
    assert hosts_of(world) == {first: "node1"}
    world.run(11)
    assert hosts_of(world) == {second: "node2"}


@pytest.mark.parametrize(
    ("place", "expected"), [(Place.SPREAD, ["node1", "node2", "node1"]), (Place.PACK, ["node2", "node2", "node1"])]
)
@pytest.mark.parametrize("wanted", [None, needs(cpus=1000)], ids=["slots", "cpus"])
def test_spread_takes_the_freest_host_and_pack_the_fullest(
    place: Place, expected: list[str], wanted: Needs | None
) -> None:
    world = world_of(host("node1", 3, cpus=3000), host("node2", 2, cpus=2000), place=place)
    jobs = [submit(world, wanted) for _ in range(3)]
    assert [hosts_of(world)[job] for job in jobs] == expected


def test_a_task_can_say_otherwise_than_the_cluster() -> None:
    world = world_of(host("node1", 3), host("node2", 2))
    jobs = [submit(world, needs(place=Place.PACK)), submit(world)]
    assert [hosts_of(world)[job] for job in jobs] == ["node2", "node1"]


# GPUs, and what a job is told


def given_of(world: SmallWorld, job: int) -> AttemptGiven:
    return next(one for one in world.records if isinstance(one, AttemptGiven) and one.job == job)


def test_a_job_is_told_its_share() -> None:
    world = world_of(host("node1", cpus=2500, memory=8 * GIBIBYTE, gpus=2))
    job = submit(world, needs(cpus=2500, memory=GIBIBYTE, gpus=2), environment=(("A", "1"),))
    assert dict(given_of(world, job).spec.environment) == {
        "A": "1",
        "LAULIMA_CPUS": "2.5",
        "LAULIMA_MEMORY": str(GIBIBYTE),
        "LAULIMA_GPUS": "0,1",
        "CUDA_VISIBLE_DEVICES": "0,1",
    }


def test_two_jobs_never_have_the_same_gpu() -> None:
    world = world_of(host("node1", gpus=3))
    first, second = submit(world, needs(gpus=1), seconds=10), submit(world, needs(gpus=2))
    third = submit(world, needs(gpus=1))
    world.run(11)
    found = [given_of(world, job).spec.needs for job in (first, second, third)]
    assert [one.gpus for one in found if one is not None] == [(0,), (1, 2), (0,)]


def test_a_gpu_that_two_records_name_is_free_when_both_have_ended() -> None:
    """A controller dies between the end of one job and the start of the next on the same GPU."""
    world = world_of(host("node1", gpus=2))
    one = world.controller.hosts["node1"]
    one.take_gpus((0,))
    one.take_gpus((0,))
    one.give_back_gpus((0,))
    assert one.choose_gpus(1) == (1,)
    one.give_back_gpus((0,))
    assert one.choose_gpus(2) == (0, 1)


def test_a_restart_forgets_nothing_that_is_given_out() -> None:
    world = world_of(host("node1", gpus=2, cpus=4000), resources=(("licence", 1),))
    submit(world, needs(gpus=1, cpus=3000, licence=1))
    world.restart_server()
    world.run(1)
    one = world.controller.hosts["node1"]
    assert one.stock.free == {"cpus": 1000, "gpus": 1}
    assert world.controller.placing.shared.free == {"licence": 0}
    second = submit(world, needs(gpus=1))
    found = given_of(world, second).spec.needs
    assert found is not None
    assert found.gpus == (1,)


# hosts that change


def test_more_of_a_resource_lets_a_waiting_job_start() -> None:
    world = world_of(host("node1", cpus=1000))
    job = submit(world, needs(cpus=2000))
    assert why(world, job)[0] is Reason.NEVER_FITS
    world.order_host(OrderHost(1, HostVerb.SLOTS, "node1", 8, resources=(("cpus", 2000),)))
    assert hosts_of(world) == {job: "node1"}


def test_less_of_it_ends_nothing_and_gives_nothing_new() -> None:
    world = world_of(host("node1", cpus=4000))
    first = submit(world, needs(cpus=3000), seconds=10)
    world.order_host(OrderHost(1, HostVerb.SLOTS, "node1", 8, resources=(("cpus", 2000),)))
    second = submit(world, needs(cpus=1000))
    assert hosts_of(world) == {first: "node1"}
    world.run(11)
    assert hosts_of(world) == {second: "node1"}


def test_slots_that_a_person_changes_leave_the_resources_alone() -> None:
    world = world_of(host("node1", 1, "fast", cpus=4000))
    world.order_host(OrderHost(1, HostVerb.SLOTS, "node1", 4))
    one = world.controller.hosts["node1"]
    assert (one.slots, one.stock.total, one.labels) == (4, {"cpus": 4000}, ("fast",))


# who was passed


def small_jobs(world: SmallWorld, count: int, **fields: object) -> None:
    """Small ones, two seconds each, one a second: there are always two of them."""
    for _ in range(count):
        submit(world, needs(cpus=1000), seconds=2, **fields)
        world.run(1)


@pytest.mark.parametrize(("passed_max", "starts"), [(5, True), (0, False)])
def test_a_large_job_gets_a_host_after_it_was_passed_so_often(passed_max: int, starts: bool) -> None:
    world = world_of(host("node1", cpus=4000), passed_max=passed_max)
    small_jobs(world, 2)
    large = submit(world, needs(cpus=4000))
    small_jobs(world, 20)
    assert (large in hosts_of(world)) == starts


def test_so_does_one_that_needs_just_this_host() -> None:
    world = world_of(host("node1", 4), passed_max=5)
    wish = HostWish("node1", required=True)
    for _ in range(2):
        submit(world, seconds=2)
        world.run(1)
    large = submit(world, slots=4, host=wish)
    for _ in range(15):
        submit(world, seconds=2)
        world.run(1)
    assert large in hosts_of(world)


def test_one_that_needs_a_lot_of_what_the_cluster_shares_gets_it() -> None:
    world = world_of(host("node1"), host("node2"), resources=(("licence", 4),), passed_max=5)
    for _ in range(2):
        submit(world, needs(licence=1), seconds=2)
        world.run(1)
    large = submit(world, needs(licence=4))
    for _ in range(15):
        submit(world, needs(licence=1), seconds=2)
        world.run(1)
    assert large in hosts_of(world)


def passed_too_often() -> tuple[SmallWorld, int]:
    """Two hosts, both with a long job; one is kept for a large one."""
    world = world_of(host("node1", cpus=4000), host("node2", cpus=4000), passed_max=2)
    for _ in range(2):
        submit(world, needs(cpus=2000))
    large = submit(world, needs(cpus=4000))
    for _ in range(3):
        submit(world, needs(cpus=500))
    return world, large


def test_the_host_that_is_kept_is_named_to_all_who_wait() -> None:
    world, large = passed_too_often()
    (name,) = world.controller.placing.reserving.kept
    assert f"host {name} is kept for it" in why(world, large)[1]
    last = [submit(world, needs(cpus=1500)) for _ in range(2)][-1]
    plain = submit(world, slots=8)
    assert last not in hosts_of(world)
    assert f"{name} is kept for job {large}" in why(world, plain)[1]


@pytest.mark.parametrize("how", ["killed", "host down", "host off"])
def test_a_host_is_kept_no_longer_than_it_is_of_use(how: str) -> None:
    world, large = passed_too_often()
    reserving = world.controller.placing.reserving
    (name,) = reserving.kept
    if how == "killed":
        kill(world, large)
    elif how == "host down":
        world.cut(name)
    else:
        world.order_host(OrderHost(1, HostVerb.DRAIN, name))
    assert name not in reserving.kept
    if how == "killed":
        job = submit(world, needs(cpus=1500))
        assert hosts_of(world)[job] == name


def test_a_job_that_no_host_could_take_keeps_none() -> None:
    world = world_of(host("node1", cpus=4000), passed_max=2)
    submit(world, needs(cpus=8000))
    fits = submit(world, needs(cpus=4000))
    kill(world, fits)
    small_jobs(world, 10)
    assert not world.controller.placing.reserving.kept


# too many shapes


def test_jobs_of_too_many_shapes_wait_outside_and_get_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes, "SHAPES_MAX", 2)
    world = world_of(host("node1", cpus=1000))
    jobs = [submit(world, needs(cpus=1000 - number), seconds=10) for number in range(4)]
    assert set(hosts_of(world)) == {jobs[0]}
    assert why(world, jobs[3])[1] == "jobs of 200 other kinds of needs wait already"
    for job in jobs[1:]:
        world.run(10.5)
        assert set(hosts_of(world)) == {job}


def test_whoever_waits_outside_is_ended_by_his_time_and_by_a_person(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes, "SHAPES_MAX", 1)
    world = world_of(host("node1", cpus=1000))
    submit(world, needs(cpus=1000))
    submit(world, needs(cpus=1000))
    submit(world, needs(cpus=900), pending_ns=5 * SECOND)
    killed = submit(world, needs(cpus=800))
    kill(world, killed)
    world.run(6)
    assert world.outcomes() == ["KILLED", "PENDING_TIMEOUT"]


def test_a_policy_for_hosts_holds_for_those_outside_when_they_come_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes, "SHAPES_MAX", 1)
    world = world_of(host("node1", cpus=1000))
    first = submit(world, needs(cpus=1000), seconds=10)
    submit(world, needs(cpus=1000), seconds=10)
    submit(world, needs(cpus=900), host=HostWish("nowhere", True, when_unknown=HostPolicy(Wait.FAIL)))
    assert first in hosts_of(world)
    world.run(12)
    assert world.outcomes() == ["EXITED", "HOST_UNKNOWN"]


# explain


def test_explain_says_which_resource_is_short_on_how_many_hosts() -> None:
    world = world_of(host("node1", gpus=2, cpus=8000), host("node2", gpus=2, cpus=8000), host("node3", cpus=8000))
    for cpus in (1000, 1000, 7000):
        submit(world, needs(gpus=1, cpus=cpus))
    job = submit(world, needs(gpus=2, cpus=2000))
    reason, text = why(world, job)
    assert reason is Reason.NO_RESOURCE
    assert text.startswith("needs 1 slot, 2 cpus, 2 gpus on one host; of 2 hosts that have them ")
    assert "2 are short of gpus, 1 of cpus" in text


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        (needs(gpus=3), "needs 1 slot, 3 gpus on one host, and none has that; the nearest, node2, has 2 gpus"),
        (needs("ssd"), "needs 1 slot, label ssd on one host, and none has that; the nearest, node1, has no label ssd"),
        (needs(licence=4), "needs 4 licence of the cluster, which has 3"),
    ],
)
def test_explain_says_what_the_nearest_host_lacks(wanted: Needs, text: str) -> None:
    world = world_of(host("node1", gpus=1), host("node2", gpus=2), resources=(("licence", 3),))
    assert why(world, submit(world, wanted)) == (Reason.NEVER_FITS, text)


def test_explain_says_when_those_that_have_it_take_no_work() -> None:
    world = world_of(host("node1", gpus=1), host("node2"))
    world.cut("node1")
    job = submit(world, needs(gpus=1))
    found = world.controller.explain_attempt((JobId(job), 1), world.now)
    assert found is not None
    assert found.text == "the one host that has what it needs takes no work"
    assert found.until_ns == world.controller.hosts["node1"].next_try_ns


def test_explain_of_a_host_tells_what_is_in_use() -> None:
    world = world_of(host("node1", cpus=8000, memory=32 * GIBIBYTE))
    submit(world, needs(cpus=1500, memory=4 * GIBIBYTE))
    found = world.controller.explain_host("node1", world.now)
    assert found is not None
    assert found.text == "up, 1 of 8 slots in use, 1.5 of 8 cpus, 4GiB of 32GiB memory"


@pytest.mark.parametrize(
    ("name", "amount", "text"),
    [("cpus", 500, "0.5"), ("cpus", -500, "-0.5"), ("memory", GIBIBYTE, "1GiB"), ("memory", 0, "0B"), ("gpus", 2, "2")],
)
def test_amounts_for_people(name: str, amount: int, text: str) -> None:
    assert amount_text(name, amount) == text


def test_a_stock_that_shrinks_below_what_is_given_out_is_short_until_it_comes_back() -> None:
    stock = Stock((("cpus", 4),))
    stock.take((("cpus", 3),))
    stock.resize((("cpus", 2), ("gpus", 1)))
    assert stock.free == {"cpus": -1, "gpus": 1}
    stock.give_back((("cpus", 3),))
    assert stock.free == {"cpus": 2, "gpus": 1}
    assert stock.has((("cpus", 2), ("gpus", 1)))
