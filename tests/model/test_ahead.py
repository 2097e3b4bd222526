"""Goal: where jobs are brief a host gets the next ones ahead, and nobody pays for it: nobody is passed, nobody waits
for long behind a job that runs long after all, and what is closed to work stays closed.

Method: the small world, whose keepers tell that a job runs only when it is not over within 20 ms, as live ones do. What
was given ahead stands in the controller's records, what has started at the hosts.
"""

from __future__ import annotations

from collections import Counter

import pytest

from model.agent import STILL_NS, Agent
from model.ahead import AHEAD_MAX, BRIEF_NS, SURE, SURER, TASKS_MAX, WAIT_NS, BriefTasks, Lead
from model.channel import ChannelTimes
from model.configuration import ClusterDefinition, Order
from model.controller import Controller
from model.effects import Transmit
from model.events import Delivered, HostDirty, HostVerb, JobVerb, LinkUp, OrderHost, OrderJob, Submit, Vouched
from model.explain import Reason
from model.hosted_attempt import AttemptState
from model.job import SECOND, Block, HostWish, JobId, JobSpec, Outcome, Report
from model.messages import Assign, Batch, Inquire, Inventory, Message, Ping
from model.records import AttemptGiven
from model.resources import CPU, CPUS, Needs
from model.sharing import Terms
from model.superiors import SUPERIOR
from tests.model.shared_world import SharedWorld
from tests.model.small_world import SmallWorld, cluster

BRIEF = ("run", "0.01", "0")


def spec(seconds: float = 0.01, name: str = "brief", code: int = 0, **fields: object) -> JobSpec:
    return JobSpec(name, ("run", str(seconds), str(code)), **fields)  # type: ignore[arg-type]


def submit(world: SmallWorld, *specs: JobSpec) -> list[int]:
    """The numbers of the jobs."""
    first = world.scheduler.next_job
    world.give(*[Submit(1, each) for each in specs])
    return list(range(first, world.scheduler.next_job))


def learnt(*hosts: tuple[str, int], **fields: object) -> SmallWorld:
    """A world that has seen so many brief jobs that it thinks the next one brief, too."""
    world = SmallWorld(definition=cluster(*(hosts or (("node1", 2),)), **fields))
    for _ in range(SURER):
        submit(world, spec())
        world.run(0.1)
    return world


def ahead(world: SmallWorld) -> list[int]:
    """Jobs that were given ahead, in order."""
    return [record.job for record in world.records if isinstance(record, AttemptGiven) and record.ahead]


def in_excess(world: SmallWorld, host: str = "node1") -> int:
    """Slots' worth of jobs that the host has beyond its slots."""
    return max(0, -world.controller.hosts[host].free)


def started(world: SmallWorld) -> list[int]:
    """Jobs in the order in which they started, over all hosts with one slot."""
    return [job for host in world.hosts.values() for job, _ in host.ran]


# what is given ahead, and how much


def test_brief_jobs_are_given_ahead_and_each_runs_once_in_its_slot() -> None:
    world = learnt()
    host = world.hosts["node1"]
    submit(world, *[spec()] * 200)
    assert in_excess(world) == 2  # as many as its slots, until it has shown more
    most = 0
    for _ in range(150):
        world.run(0.01)
        most = max(most, in_excess(world))
        assert len(host.processes) <= 2
    assert 2 < most <= AHEAD_MAX * 2
    assert world.outcomes() == ["EXITED"] * (200 + SURER)
    assert set(host.ran.values()) == {1}


def test_what_is_ahead_is_over_in_a_moment() -> None:
    """A job that goes ahead ends about `WAIT_NS` after it was given, so jobs of 15 ms get a short lead."""
    world = learnt(("node1", 1))
    submit(world, *[spec(0.015)] * 300)
    world.run(2)
    assert 0 < in_excess(world) <= WAIT_NS // 15_000_000 + 1


@pytest.mark.parametrize("seconds", [0.1, 5])
def test_jobs_that_are_not_brief_are_not(seconds: float) -> None:
    world = SmallWorld(definition=cluster(("node1", 2)))
    submit(world, *[spec(seconds)] * 40)
    world.run(30 * seconds)
    assert ahead(world) == []


def test_nor_those_of_a_task_of_which_nothing_is_known() -> None:
    world = learnt()
    submit(world, *[spec(name="other")] * (2 + SURE))
    assert in_excess(world) == 0


def test_one_that_runs_long_after_all_ends_it() -> None:
    world = learnt(("node1", 1))
    submit(world, spec(0.2))
    world.run(0.3)
    submit(world, *[spec()] * 5)
    assert in_excess(world) == 0


def test_behind_one_that_is_said_to_run_nothing_more_is_given() -> None:
    world = learnt(("node1", 2))
    submit(world, spec(60), spec(60))
    assert in_excess(world) == 0
    world.run(0.1)
    submit(world, *[spec()] * 5)
    assert in_excess(world) == 0


def test_a_job_that_needs_more_than_slots_is_not_given_ahead() -> None:
    world = learnt()
    world.controller.hosts["node1"].declare(((CPUS, 20 * CPU),), ())
    world.controller.placing.announce("node1")
    submit(world, *[spec(needs=Needs(((CPUS, CPU),)))] * 8)
    assert in_excess(world) == 0


def test_a_job_that_waits_for_files_is_not_given_ahead() -> None:
    world = learnt()
    submit(world, *[spec(block=Block(("in",), ()))] * 8)
    assert in_excess(world) == 0


def test_where_the_last_job_failed_nothing_is_given_ahead() -> None:
    world = learnt()
    submit(world, spec(code=1))
    world.run(0.1)
    submit(world, *[spec()] * 8)
    assert in_excess(world) == 0
    world.run(0.1)
    submit(world, *[spec()] * 8)
    assert in_excess(world) > 0


def test_a_host_on_trial_gets_nothing_ahead() -> None:
    world = learnt()
    submit(world, *[spec()] * 2)
    host = world.controller.hosts["node1"]
    assert host.room_ahead == 2
    host.health.why = "jobs failed there"
    assert host.room_ahead == 0


def test_jobs_for_one_host_are_given_ahead_to_it() -> None:
    world = learnt(("node1", 2), ("node2", 2))
    jobs = submit(world, *[spec(host=HostWish("node1", required=True))] * 20)
    assert in_excess(world) == 2
    world.run(1)
    assert ahead(world)
    assert {job for job, _ in world.hosts["node1"].ran} >= set(jobs)


def test_a_free_slot_comes_first() -> None:
    world = learnt(("node1", 2), ("node2", 2))
    submit(world, *[spec()] * 4)
    assert ahead(world) == []
    submit(world, *[spec()] * 2)
    assert [in_excess(world, name) for name in ("node1", "node2")] == [1, 1]


def test_a_host_that_does_not_give_back_gets_no_more_than_its_slots() -> None:
    world = learnt()
    world.hosts["node1"].agent.gives_back = False
    world.cut("node1")
    world.mend("node1")
    world.run(30)
    submit(world, *[spec()] * 20)
    assert in_excess(world) == 0


# nobody is passed


@pytest.mark.parametrize("order", list(Order))
def test_jobs_start_in_their_order(order: Order) -> None:
    world = learnt(("node1", 1), order=order)
    jobs = submit(world, *[spec(2 if number in (10, 30) else 0.01) for number in range(60)])
    world.run(20)
    assert world.outcomes() == ["EXITED"] * (60 + SURER)
    first = [job for job, attempt in world.hosts["node1"].ran if job in jobs]
    # behind a long one those that were ahead come back, and are given again in their order
    assert first == jobs


def test_while_another_task_is_next_nothing_goes_ahead() -> None:
    world = learnt(("node1", 1))
    jobs = submit(world, spec(), spec(0.01, "other"), *[spec()] * 10)
    assert in_excess(world) == 0
    world.run(0.005)
    assert ahead(world) == []
    world.run(2)
    assert [job for job, _ in world.hosts["node1"].ran][SURER:] == jobs


def test_in_strict_order_nothing_goes_ahead() -> None:
    world = learnt(("node1", 2), order=Order.STRICT)
    submit(world, *[spec()] * 60)
    world.run(5)
    assert world.outcomes() == ["EXITED"] * (60 + SURER)
    assert not any(isinstance(record, AttemptGiven) and record.ahead for record in world.records)


def test_a_large_job_is_not_passed_by_jobs_that_go_ahead() -> None:
    world = learnt(("node1", 4))
    submit(world, *[spec()] * 30)
    (large,) = submit(world, spec(0.01, "large", slots=4))
    submit(world, *[spec()] * 300)
    world.run(3)
    before = [record.job for record in world.records if isinstance(record, AttemptGiven)]
    passed = [record.job for record in world.records if isinstance(record, AttemptGiven) and record.ahead]
    assert all(job < large for job in passed if job in before[: before.index(large)])
    assert world.outcomes() == ["EXITED"] * (331 + SURER)


@pytest.mark.parametrize("order", list(Order))
def test_superiors_get_their_shares(order: Order) -> None:
    world = SharedWorld(cluster(("node1", 4), ("node2", 4), order=order), a=Terms(3), b=Terms(1))
    for name in ("a", "b"):
        world.submit(name, 0.01, count=1000)
    world.run(0.5)
    given = world.given()
    world.run(0.3)
    counts = Counter(world.given()[len(given) :])
    went_ahead = any(isinstance(record, AttemptGiven) and record.ahead for record in world.records)
    assert went_ahead == (order is Order.FILL)
    assert abs(counts["a"] / counts["b"] - 3) < 0.3, counts


@pytest.mark.parametrize("order", list(Order))
def test_while_another_superior_is_next_nothing_goes_ahead(order: Order) -> None:
    world = SharedWorld(cluster(("node1", 1), order=order), a=Terms(), b=Terms())
    for _ in range(SURER):
        world.submit("a", 0.01)
        world.run(0.1)
    world.submit("a", 0.01, count=2)
    assert in_excess(world) == (order is Order.FILL)
    world.run(0.1)
    world.submit("a", 0.01)
    world.submit("b", 5)
    world.submit("a", 0.01, count=10)
    assert in_excess(world) == 0


def test_one_has_no_more_jobs_at_hosts_than_it_may() -> None:
    world = SharedWorld(cluster(("node1", 2)), a=Terms(in_flight_max=3))
    world.submit("a", 0.01, count=200)
    for _ in range(100):
        world.run(0.01)
        assert world.superior("a").in_flight <= 3
    assert ahead(world)


# what is given back


def behind_a_long_one() -> tuple[SmallWorld, list[int]]:
    """One host with one slot, where a job that was thought brief runs for a minute, and one stands behind it."""
    world = learnt(("node1", 1), ("node2", 1))
    world.order_host(OrderHost(1, HostVerb.DRAIN, "node2"))
    jobs = submit(world, spec(60), *[spec()] * 3)
    assert ahead(world) == [jobs[1]]
    return world, jobs


def test_behind_a_long_one_nobody_stays() -> None:
    world, jobs = behind_a_long_one()
    world.order_host(OrderHost(2, HostVerb.ON, "node2"))
    world.run(0.5)
    ends = {end.job: end for end in world.ends if end.final and end.job in jobs}
    assert sorted(ends) == jobs[1:]
    back = [end for end in world.ends if not end.final]
    assert [(end.job, end.report.outcome, end.report.given_back) for end in back] == [
        (jobs[1], Outcome.OVERLOADED, True)
    ]
    assert (back[0].retries, back[0].rooms, back[0].wait_ns) == (0, 0, 0)
    assert ends[jobs[1]].attempt == 2


def test_what_comes_back_says_nothing_about_the_room_of_the_host() -> None:
    world, _ = behind_a_long_one()
    world.run(0.5)
    assert world.controller.hosts["node1"].pressure_until_ns == 0
    assert in_excess(world) == 0


def test_the_second_attempt_of_a_job_is_not_given_ahead() -> None:
    world, jobs = behind_a_long_one()
    world.run(61)
    assert jobs[1] not in ahead(world)[1:]
    assert all(count == 1 for count in world.hosts["node1"].ran.values())
    assert world.outcomes() == ["EXITED"] * (4 + SURER)


def test_a_host_that_gives_back_all_the_time_is_taken_for_one_without_room() -> None:
    """Whatever it says: the second time it counts as any other refusal, so nothing turns for ever."""
    world, jobs = behind_a_long_one()
    world.run(0.5)
    job = world.scheduler.jobs[JobId(jobs[1])]
    job.report = Report(Outcome.OVERLOADED, again=True, given_back=True)
    world.scheduler.move(job, type(job.state).REACTING, world.now)
    world.scheduler.ending.react(job, world.now)
    assert job.special.rooms == 1


def test_one_of_those_behind_can_be_ended() -> None:
    world, jobs = behind_a_long_one()
    world.give(OrderJob(2, JobVerb.KILL, jobs[1]))
    assert {end.job: end.report.outcome.name for end in world.ends}[jobs[1]] == "KILLED"
    assert (jobs[1], 1) not in world.hosts["node1"].ran


def test_a_host_that_is_dirty_gives_back_at_once() -> None:
    world, jobs = behind_a_long_one()
    world.hosts["node1"].agent.receive(HostDirty("disk full"), world.now)
    world.settle()
    assert [(end.job, end.report.reason) for end in world.ends if not end.final] == [(jobs[1], "disk full")]


def test_a_drained_host_gets_nothing_more_and_is_empty_soon() -> None:
    world = learnt()
    submit(world, *[spec()] * 100)
    world.run(0.1)
    had = world.controller.hosts["node1"].holding
    assert had > 2
    given = len([record for record in world.records if isinstance(record, AttemptGiven)])
    world.order_host(OrderHost(1, HostVerb.DRAIN, "node1"))
    world.run(1)
    assert world.controller.hosts["node1"].holding == 0
    assert len([record for record in world.records if isinstance(record, AttemptGiven)]) == given


def test_a_pending_timeout_reaches_one_that_was_given_ahead() -> None:
    world = learnt(("node1", 1))
    submit(world, spec(60))
    submit(world, spec(pending_ns=SECOND // 10))
    world.run(1)
    assert world.outcomes()[-1] == "PENDING_TIMEOUT"


def test_it_is_said_where_one_that_was_given_ahead_waits() -> None:
    world, jobs = behind_a_long_one()
    found = world.controller.explain_attempt((JobId(jobs[1]), 1), world.now)
    assert found is not None
    assert (found.reason, found.text) == (
        Reason.NO_SLOT,
        "given ahead to node1: it starts there behind brief jobs, or comes back",
    )
    host = world.controller.explain_host("node1", world.now)
    assert host is not None
    assert host.text == "up, 1 of 1 slots in use"


# restarts


@pytest.mark.parametrize("who", ["server", "agent"])
def test_a_restart_starts_each_once(who: str) -> None:
    world = learnt(("node1", 2), ("node2", 1))
    submit(world, *[spec(0.015)] * 200)
    for _ in range(6):
        world.run(0.1)
        assert any(in_excess(world, name) for name in ("node1", "node2")) or who == "server"
        if who == "server":
            world.restart_server()
        else:
            world.restart_agent("node1")
        world.run(1)
    world.run(60)
    assert world.outcomes() == ["EXITED"] * (200 + SURER)
    ran = world.hosts["node1"].ran + world.hosts["node2"].ran
    assert set(ran.values()) == {1}


# the agent alone


def agent(slots: int = 2, **fields: bool) -> Agent:
    """One with a lease and a keeper that has not said anything yet."""
    machine = Agent("node1", 1, 0, slots, ChannelTimes(), (), 1, **fields)
    machine._load[0] = 0
    machine.receive(LinkUp("superior"), 0)
    machine.receive(Delivered("superior", Batch(1, 1, 1, (Inquire(1), Ping(1, 10**15, 1)))), 0)
    machine.drain()
    return machine


def state_of(machine: Agent, job: int) -> AttemptState:
    state: AttemptState = machine.attempts[JobId(job), 1].state
    return state


def hand(machine: Agent, sequence: int, now: int, *specs: JobSpec) -> None:
    first = len(machine.attempts) + 1
    words = tuple(Assign(JobId(first + number), 1, each) for number, each in enumerate(specs))
    machine.receive(Delivered("superior", Batch(1, sequence, 1, words)), now)


def test_an_agent_says_that_it_gives_back_and_the_local_one_does_not() -> None:
    for gives_back in (False, True):
        machine = Agent("node1", 1, 0, 1, ChannelTimes(), (), 1, gives_back=gives_back)
        machine.receive(LinkUp("superior"), 0)
        machine.receive(Delivered("superior", Batch(1, 1, 1, (Inquire(1),))), 0)
        (said,) = [effect.batch.messages[-1] for effect in machine.drain() if isinstance(effect, Transmit)]
        assert isinstance(said, Inventory)
        assert said.gives_back is gives_back


def test_the_queue_is_given_back_when_nothing_leaves_it() -> None:
    machine = agent(gives_back=True)
    hand(machine, 2, 0, *[spec(60)] * 5)
    assert machine.next_due() == STILL_NS
    machine.advance(STILL_NS - 1)
    assert state_of(machine, 3) is AttemptState.QUEUED
    machine.advance(STILL_NS)
    assert [state_of(machine, job) for job in range(1, 6)] == [AttemptState.STARTING] * 2 + [AttemptState.ENDED] * 3
    assert all(machine.attempts[JobId(job), 1].report.given_back for job in (3, 4, 5))  # type: ignore[union-attr]


def test_the_local_queue_is_not() -> None:
    machine = agent()
    hand(machine, 2, 0, *[spec(60)] * 5)
    machine.advance(100 * SECOND)
    assert state_of(machine, 5) is AttemptState.QUEUED


def test_a_slot_is_kept_for_one_that_waits_for_files_though_others_have_come() -> None:
    machine = agent(gives_back=True)
    hand(machine, 2, 0, spec(block=Block(("in",), ())), *[spec(60)] * 3)
    states = [state_of(machine, job) for job in range(1, 5)]
    assert states == [AttemptState.BLOCKED_BEFORE, AttemptState.STARTING, AttemptState.QUEUED, AttemptState.QUEUED]
    machine.put_down(machine.attempts[JobId(1), 1], Outcome.KILLED, "", 0)
    assert state_of(machine, 3) is AttemptState.STARTING  # nobody needs it any more


# the arithmetic


def test_what_is_known_of_tasks_is_bounded_and_forgotten_by_a_long_run() -> None:
    brief = BriefTasks()
    for _ in range(SURE - 1):
        brief.ran(0, "a", BRIEF_NS)
    assert not brief.has(0, "a")
    brief.ran(0, "a", BRIEF_NS)
    assert brief.has(0, "a")
    assert not brief.has(1, "a")
    brief.ran(0, "a", BRIEF_NS + 1)
    assert not brief.has(0, "a")
    for number in range(TASKS_MAX + 5):
        brief.ran(0, str(number), 0)
    assert len(brief.ends) <= TASKS_MAX


def test_jobs_that_are_told_to_be_running_are_soon_brief_no_more() -> None:
    brief = BriefTasks()
    for _ in range(100):
        brief.ran(0, "a", 0)
    told = 0
    while brief.has(0, "a"):
        brief.runs(0, "a")
        told += 1
    assert told <= SURER // 2


def test_the_lead_of_a_host_follows_what_it_takes() -> None:
    lead = Lead()
    assert lead.room(4, 0) == 4
    for now in range(WAIT_NS, WAIT_NS + 10):
        lead.ended(now - WAIT_NS // 2, 4, now)
    assert lead.room(4, 0) == 8  # what was given before the last change says nothing about it
    for now in range(2 * WAIT_NS, 10 * WAIT_NS, WAIT_NS):
        lead.ended(now - WAIT_NS // 2, 4, now)
    assert lead.room(4, 0) == AHEAD_MAX * 4
    assert lead.room(4, -10) == AHEAD_MAX * 4 - 10
    lead.long = 3
    assert lead.room(4, 0) == AHEAD_MAX
    lead.long = 4
    assert lead.room(4, 0) == 0
    lead.long = 0
    lead.ended(20 * WAIT_NS, 4, 22 * WAIT_NS)
    assert lead.room(4, 0) == AHEAD_MAX * 4 // 2
    lead.ended(30 * WAIT_NS, 4, 60 * WAIT_NS)
    assert lead.room(4, 0) == 4
    assert lead.room(4, 1) == 0  # slots of its own come first


# the controller alone


class Alone:
    """A controller with one host of two slots, whose task is known to have brief jobs, and that gets so many."""

    def __init__(self, pending: int, attempt: int = 1) -> None:
        times = ChannelTimes(lease_ns=10**15)
        self.controller = Controller(1, SECOND, ClusterDefinition(times=times))
        self.say(SUPERIOR, 1, Inquire(1), Ping(1, 10**15, 1))
        self.controller.receive(OrderHost(1, HostVerb.ADD, "node1", slots=2), SECOND)
        self.controller.receive(LinkUp("node1"), SECOND)
        self.say("node1", 1, Inventory((), 1, 1, 2, gives_back=True))
        self.controller.receive(Vouched("node1", True), SECOND)
        self.controller.placing.brief.ends[0, "brief"] = SURER
        words = tuple(Assign(JobId(number + 1), attempt, spec()) for number in range(pending))
        self.say(SUPERIOR, 2, *words)

    def say(self, peer: str, sequence: int, *words: Message) -> None:
        self.controller.receive(Delivered(peer, Batch(1, sequence, 1, words)), SECOND)

    @property
    def given(self) -> int:
        return self.controller.hosts["node1"].holding


def test_a_host_gets_as_many_ahead_as_it_has_slots_however_many_wait() -> None:
    assert [Alone(pending).given for pending in (3, 100, 1000)] == [3, 4, 4]


def test_no_second_attempt_is_given_ahead() -> None:
    assert Alone(100, attempt=2).given == 2
