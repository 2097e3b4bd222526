"""Goal: schedulers that share a controller get slots by their shares, within 10 % over 2,000 jobs; nobody waits for
ever, and nobody is paid back more than a little for what it could not use.

Method: the shared world, where whose jobs were given to hosts is read from the controller's records, in order; and the
arithmetic alone, against any sequence of gifts.
"""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.channel import ChannelTimes
from model.configuration import Order
from model.events import JobVerb, OrderJob
from model.explain import Reason
from model.matching import WaitingJobs
from model.sharing import CATCH_UP_SLOTS, UNIT, Sharing, Terms
from model.superiors import Superior
from tests.model.shared_world import SharedWorld, below, on
from tests.model.small_world import cluster

JOBS = 2_000
WITHIN = 0.1
A, B, C = "a", "b", "c"


def shares(names: list[str]) -> dict[str, float]:
    counts = Counter(names)
    return {name: count / len(names) for name, count in counts.items()}


def why(world: SharedWorld, name: str, job: int) -> tuple[Reason, str]:
    found = world.controller.explain_attempt((below(world.superior(name), job), 1), world.now)
    assert found is not None
    return found.reason, found.text


# shares


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        ({A: 1, B: 1}, {A: 1 / 2, B: 1 / 2}),
        ({A: 3, B: 1}, {A: 3 / 4, B: 1 / 4}),
        ({A: 1, B: 2, C: 5}, {A: 1 / 8, B: 2 / 8, C: 5 / 8}),
    ],
)
@pytest.mark.parametrize("order", list(Order))
def test_over_2000_jobs_everybody_gets_its_share(
    terms: dict[str, int], expected: dict[str, float], order: Order
) -> None:
    world = SharedWorld(cluster(("node1", 20), ("node2", 20), order=order), **{n: Terms(s) for n, s in terms.items()})
    for name in terms:
        world.submit(name, 1, count=JOBS)
    before = len(world.given())  # the first one had asked alone
    while len(world.given()) < before + JOBS:
        world.run(1)
    found = shares(world.given()[before : before + JOBS])
    for name, share in expected.items():
        assert abs(found[name] - share) <= WITHIN * share, found


def test_a_job_counts_by_its_slots() -> None:
    world = SharedWorld(cluster(("node1", 12)), a=Terms(), b=Terms())
    world.submit(A, 1, count=400, slots=3)
    world.submit(B, 1, count=400)
    world.run(30)
    found = Counter(world.given())
    assert abs(3 * found[A] - found[B]) <= WITHIN * found[B], found
    assert found[B] > 150


def test_what_one_does_not_want_the_others_get() -> None:
    world = SharedWorld(cluster(("node1", 4)), a=Terms(), b=Terms(9))
    world.submit(A, 1, count=20)
    assert world.given() == [A] * 4
    world.run(3)
    assert world.given() == [A] * 16


def test_who_comes_late_is_not_paid_for_the_time_before() -> None:
    world = SharedWorld(cluster(("node1", 4)), a=Terms(), b=Terms())
    world.submit(A, 1, count=400)
    world.run(50)
    before = len(world.given())
    world.submit(B, 1, count=400)
    world.run(20)
    found = shares(world.given()[before:])
    assert abs(found[A] - 0.5) < 0.05, found


def test_within_one_scheduler_the_order_is_that_of_its_jobs() -> None:
    world = SharedWorld(cluster(("node1", 3)), a=Terms(2), b=Terms())
    for name in (A, B):
        world.submit(name, 1, count=50)
    world.run(60)
    for name in (A, B):
        started = [key for key in world.ran() if key[0] == world.superior(name).number]
        assert len(started) == 50
        assert started == sorted(started)


def test_jobs_for_one_host_and_jobs_for_any_take_turns_there() -> None:
    world = SharedWorld(cluster(("node1", 2)), a=Terms(), b=Terms())
    world.submit(A, 1, count=100, host=on("node1"))
    world.submit(B, 1, count=100)
    world.run(40)
    found = shares(world.given())
    assert abs(found[A] - 0.5) < 0.05, found


# nobody waits for ever


def test_a_large_job_for_any_host_is_not_passed_for_ever_by_jobs_for_one_host() -> None:
    world = SharedWorld(cluster(("node1", 4), passed_max=20), a=Terms())
    for delay in range(4):
        world.submit(A, 1 + delay / 4, host=on("node1"))
    world.submit(A, 1, slots=4)
    for _ in range(40):
        world.submit(A, 1, count=5, host=on("node1"))
        world.run(1)
    assert world.superior(A).queued > 20, "jobs for the host never ran short"
    assert world.members[A].outcomes()[5] == "EXITED"


@pytest.mark.parametrize("order", list(Order))
def test_a_large_job_is_not_passed_for_ever_by_small_ones_of_another(order: Order) -> None:
    world = SharedWorld(cluster(("node1", 4), order=order, passed_max=20), a=Terms(), b=Terms())
    for delay in range(4):  # so that the host is never empty by itself
        world.submit(B, 1 + delay / 4)
    world.submit(B, 1, count=400)
    world.submit(A, 1, slots=4)
    world.run(40)
    assert A in world.given(), "it never got its host"
    assert world.members[A].outcomes() == {1: "EXITED"}


def test_the_large_job_of_one_is_kept_a_host_though_its_own_small_ones_and_others_take_turns() -> None:
    world = SharedWorld(cluster(("node1", 4), passed_max=20), a=Terms(), b=Terms())
    for delay in range(4):
        world.submit(B, 1 + delay / 4)
    world.submit(A, 1, slots=4)
    world.submit(A, 1, count=400)
    world.submit(B, 1, count=400)
    world.run(60)
    assert 1 in world.members[A].outcomes()


def test_waiting_for_its_turn_is_not_being_passed() -> None:
    world = SharedWorld(cluster(("node1", 4), passed_max=1), a=Terms(50), b=Terms(1))
    world.submit(B, 1, count=100, slots=2)
    world.submit(A, 1, count=400)
    for _ in range(200):
        world.run(0.25)
        assert all(job.superior.name == A for job in world.controller.placing.reserving.kept.values())


def test_one_whose_first_job_cannot_go_keeps_nobody_else_back_in_strict_order() -> None:
    world = SharedWorld(cluster(("node1", 2), ("node2", 2), order=Order.STRICT), a=Terms(), b=Terms())
    world.hosts["node2"].reachable = False
    world.cut("node2")
    world.submit(A, 1, host=on("node2"))
    world.submit(A, 1)
    world.submit(B, 1, count=5)
    world.run(10)
    assert world.given() == [B] * 5
    assert why(world, A, 2) == (Reason.NOT_ITS_TURN, "order: strict, job 1 of a came before it")


def test_a_host_that_is_kept_in_strict_order_is_for_the_first_job_of_its_scheduler() -> None:
    world = SharedWorld(cluster(("node1", 4), order=Order.STRICT, passed_max=10), a=Terms(), b=Terms())
    for delay in range(4):
        world.submit(B, 1 + delay / 4)
    world.submit(B, 1, count=400)
    world.submit(A, 1, count=2, slots=4)
    world.order(A, OrderJob(1, JobVerb.HOLD, 1))
    while not world.controller.placing.reserving.kept:
        world.run(0.25)
    world.order(A, OrderJob(2, JobVerb.RELEASE, 1))
    world.run(60)
    assert list(world.members[A].outcomes()) == [1, 2]


def test_one_that_could_use_nothing_for_long_catches_up_a_little_and_no_more() -> None:
    world = SharedWorld(cluster(("node1", 4), ("node2", 1)), a=Terms(), b=Terms())
    world.hosts["node2"].reachable = False
    world.cut("node2")
    world.submit(A, 1, count=3, host=on("node2"))
    world.submit(B, 1, count=2000)
    world.run(100)
    before = len(world.given())
    assert before >= 400
    world.submit(A, 1, count=1000)
    world.run(100)
    found = Counter(world.given()[before:])
    assert found[A] - found[B] <= CATCH_UP_SLOTS + 8, found
    assert found[A] > found[B]


# limits of one


@pytest.mark.parametrize("order", list(Order))
def test_one_has_no_more_jobs_at_hosts_than_it_may(order: Order) -> None:
    world = SharedWorld(cluster(("node1", 4), ("node2", 4), order=order), a=Terms(in_flight_max=3), b=Terms())
    world.submit(A, 1, count=30)
    most = 0
    for _ in range(60):
        world.run(0.25)
        most = max(most, world.superior(A).in_flight)
    assert most == 3
    assert len(world.members[A].outcomes()) == 30


def test_why_a_job_waits_for_the_limit_of_its_scheduler() -> None:
    world = SharedWorld(cluster(("node1", 4)), a=Terms(in_flight_max=1))
    world.submit(A, 1, count=2)
    text = "1 jobs of its scheduler are at hosts, and no more may be (in_flight_max)"
    assert why(world, A, 2) == (Reason.NOT_ITS_TURN, text)


@pytest.mark.parametrize("also_anywhere", [False, True])
def test_jobs_for_one_host_go_on_when_the_limit_of_their_scheduler_allows_it(also_anywhere: bool) -> None:
    """Nothing changes at their hosts meanwhile: it is the end of a job elsewhere that lets them go."""
    hosts = [(f"node{number}", 1) for number in range(1, 6)]
    world = SharedWorld(cluster(*hosts), a=Terms(in_flight_max=1))
    for name, _ in hosts:
        world.submit(A, 1, host=on(name))
        if also_anywhere:
            world.submit(A, 1)
    world.run(12)
    assert list(world.members[A].outcomes().values()) == ["EXITED"] * (10 if also_anywhere else 5)


def test_a_host_is_kept_no_longer_for_one_that_may_have_no_more() -> None:
    world = SharedWorld(cluster(("node1", 2), ("node2", 1), passed_max=2), a=Terms(in_flight_max=1), b=Terms())
    world.submit(B, 100, host=on("node1"))
    world.submit(B, 5, host=on("node2"))
    world.submit(B, 1, count=30)
    world.submit(A, 1, slots=2)
    world.run(4)
    assert list(world.controller.placing.reserving.kept) == ["node1"]
    world.submit(A, 100, host=on("node2"))
    world.run(10)
    assert world.superior(A).is_full
    assert not world.controller.placing.reserving.kept
    assert len(world.members[B].outcomes()) > 8, "they go on at the host that was kept"


# the arithmetic


def superior(number: int, share: int) -> Superior:
    return Superior(number, f"s{number}", Terms(share), 1, ChannelTimes())


@given(
    st.lists(st.integers(1, 20), min_size=2, max_size=6),
    st.lists(st.integers(1, 8), min_size=1, max_size=200),
)
@settings(deadline=None)
def test_those_who_always_ask_are_never_further_apart_than_one_job(weights: list[int], slots: list[int]) -> None:
    sharing = Sharing()
    superiors = [superior(number, share) for number, share in enumerate(weights, 1)]
    got: Counter[int] = Counter()
    for each in superiors:
        sharing.awaken(each)
    for size in slots:
        best = min(superiors, key=lambda each: each.rank)
        sharing.charge(best, size)
        got[best.number] += size
    normal = [got[each.number] / each.terms.share for each in superiors]
    assert max(normal) - min(normal) <= 8 / min(weights) + 0.001


@given(st.integers(1, 100_000))
def test_the_debt_of_the_others_to_one_that_could_not_go_is_bounded(gifts: int) -> None:
    sharing, one, other = Sharing(), superior(1, 1), superior(2, 1)
    other.service = gifts * UNIT
    sharing.charge(other, 1)
    sharing.charge(one, 1)
    assert other.service - one.service <= CATCH_UP_SLOTS * UNIT


def test_a_line_that_is_empty_costs_nothing_for_long() -> None:
    world = SharedWorld(cluster(("node1", 4)), a=Terms(), b=Terms())
    for name in (A, B):
        world.submit(name, 1, count=4)
    world.run(10)
    world.submit(A, 1, count=4)
    queue: WaitingJobs = world.controller.placing.any_queue
    assert len(queue.lines()) <= 1
