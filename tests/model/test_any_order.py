"""Goal: whatever is said to a machine, in whatever order, it answers or refuses and stays in order itself; and whatever
happens to a whole installation, everything becomes final once nothing happens any more.

Method: Hypothesis. Each machine alone is told anything that its peers, its driver and people can say: words of any life
and number, about attempts that it has and has not, from a right or a wrong sender. It may raise `ProtocolError`, which
closes a connection, and nothing else. The small world gets faults and orders as rules, in any order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from msgspec.structs import replace

from model.agent import Agent
from model.channel import ChannelTimes, ProtocolError
from model.controller import Controller
from model.controller_job import ControllerJobState
from model.events import (
    Delivered,
    FilesSeen,
    HostDirty,
    HostVerb,
    IntakeVerb,
    JobVerb,
    KeeperDown,
    KeeperSaid,
    KeeperUp,
    LinkDown,
    LinkUp,
    OrderHost,
    OrderIntake,
    OrderJob,
    OrderTask,
    SourceAnswered,
    Submit,
    TaskVerb,
    Vouched,
    WallClock,
)
from model.job import SECOND, Block, HostWish, JobId, JobSpec, JobState, Outcome, Report
from model.keeper import (
    Died,
    Exited,
    Forget,
    Holding,
    Keeper,
    Leave,
    ListHeld,
    Recall,
    Recalled,
    Renew,
    Running,
    Spawn,
    Spawned,
    SpawnFailed,
    Start,
    Stop,
)
from model.messages import (
    Accepted,
    Acknowledge,
    Assign,
    Batch,
    Cancel,
    CancelReason,
    Ended,
    Entry,
    Held,
    Inquire,
    Inventory,
    Parting,
    Ping,
    Pong,
    Started,
)
from model.scheduler import Scheduler
from model.task import FilesSource, Limits, Retry
from tests.model.small_world import SmallWorld, cluster, task

EXAMPLES = max(150, settings.get_profile(settings.get_current_profile_name()).max_examples)
"""Orders that each machine meets; each has up to `EVENTS_MAX` events."""
EVENTS_MAX = 40
TIMES = ChannelTimes(SECOND, 3 * SECOND, 20 * SECOND, 7 * SECOND, 2 * SECOND)
CLUSTER = cluster(("node1", 2), ("node2", 1), times=TIMES, local_times=TIMES, backoff_cap_ns=8 * SECOND)

# what can be said


def often(*weighed: tuple[int, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    """One of these, each as often as its weight says (`one_of` counts a strategy that comes twice once)."""
    return st.sampled_from([each for weight, each in weighed for _ in range(weight)]).flatmap(lambda each: each)


jobs = st.sampled_from((1, 1, 2, 3)).map(JobId)
attempts = st.sampled_from((1, 1, 1, 2, 0))
numbers = st.integers(0, 6)
wishes = st.sampled_from(
    (HostWish(), HostWish(), HostWish("node1", True), HostWish("node2", False, 5 * SECOND), HostWish("moon"))
)
specs = st.builds(
    JobSpec,
    st.just("t"),
    st.just(("run", "5", "0")),
    slots=st.integers(1, 3),
    host=wishes,
    timeout_ns=st.sampled_from((0, 3 * SECOND)),
    pending_ns=st.sampled_from((0, 9 * SECOND)),
    block=st.sampled_from((None, Block(("a",), ("b",), 5 * SECOND))),
)
reports = st.builds(
    Report,
    st.sampled_from(Outcome),
    exit_code=st.sampled_from((None, 0, 3)),
    started=st.booleans(),
    again=st.booleans(),
    ran_for_ns=st.sampled_from((0, SECOND // 100, SECOND)),
)
entries = st.one_of(
    st.builds(Entry, jobs, attempts, st.sampled_from((Held.WAITING, Held.RUNNING)), specs, st.just("node1")),
    st.builds(Entry, jobs, attempts, st.just(Held.ENDED), specs, st.just("node1"), reports),
)
listed = st.lists(entries, max_size=3, unique_by=lambda entry: (entry.job, entry.attempt)).map(tuple)
assign = st.builds(Assign, jobs, attempts, specs, st.sampled_from((0, 5 * SECOND)))
down = often(
    (6, assign),
    (2, st.builds(Cancel, jobs, attempts, st.sampled_from(CancelReason))),
    (2, st.builds(Acknowledge, jobs, attempts)),
    (1, st.builds(Inquire, numbers, st.integers(0, 3))),
    (2, st.builds(Ping, numbers, st.just(20 * SECOND), numbers)),
    (1, st.builds(Parting, st.sampled_from((0, 60 * SECOND)))),
)
up = often(
    (2, st.builds(Accepted, jobs, attempts)),
    (3, st.builds(Started, jobs, attempts, st.just("node1"))),
    (4, st.builds(Ended, jobs, attempts, reports)),
    (1, st.builds(Inventory, listed, numbers, st.integers(0, 3), st.integers(1, 3))),
    (2, st.builds(Pong, numbers, dirty=st.sampled_from(("", "", "survivors")))),
)
steps = st.sampled_from((0,) * 10 + (SECOND // 10,) * 10 + (SECOND,) * 3 + (5 * SECOND, 30 * SECOND))
"""how long after the event before"""


NEXT = 0
"""As a life or a sequence number: that of the sender now, and the one that follows his last."""


def words(messages: st.SearchStrategy[Any], likely: st.SearchStrategy[Any]) -> st.SearchStrategy[Batch]:
    """Batches, mostly of the right direction, of the sender's present life, and in order."""
    said = st.lists(often((9, likely), (1, messages)), min_size=1, max_size=3).map(tuple)
    lives, sequences = (NEXT,) * 9 + (1, 2), (NEXT,) * 9 + (1, 5, 40)
    return st.builds(
        Batch, st.sampled_from(lives), st.sampled_from(sequences), st.sampled_from((1,) * 9 + (0, 2)), said
    )


class Sender:
    """Numbers what one peer says."""

    def __init__(self) -> None:
        self.life = self.sequence = 1

    def number(self, batch: Batch) -> Batch:
        """The batch with numbers for those that are to follow."""
        self.life = max(self.life, batch.epoch)
        self.sequence = max(self.sequence + 1, batch.sequence) if batch.sequence == NEXT else self.sequence
        return replace(batch, epoch=batch.epoch or self.life, sequence=batch.sequence or self.sequence)


def many(things: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    """Long lists as likely as short ones."""
    return st.integers(0, EVENTS_MAX).flatmap(lambda count: st.lists(things, min_size=count, max_size=count))


def told(events: st.SearchStrategy[Any]) -> st.SearchStrategy[list[tuple[int, Any]]]:
    return many(st.tuples(steps, events))


def tell(machine: Any, events: list[tuple[int, Any]], check: Callable[[], None], opening: tuple[Any, ...]) -> None:
    """Tell it all that, as a driver does: what is due first, then the event, then what it asks for is taken."""
    now, senders = 1000 * SECOND, defaultdict[str, Sender](Sender)
    for wait_ns, said in (*((0, event) for event in opening), *events):
        now += wait_ns
        event = said
        if isinstance(said, Delivered):
            event = replace(said, batch=senders[said.peer].number(said.batch))
        for _ in range(100):
            due = machine.next_due()
            if due is None or due > now:
                break
            machine.advance(now)
        else:
            raise AssertionError("it wants to be called again and again")
        with suppress(ProtocolError):  # the driver closes that connection
            machine.receive(event, now)
        machine.drain()
        check()


# each machine alone

peers = st.sampled_from(("node1", "node2", "superior"))
links = st.one_of(st.builds(LinkUp, peers), st.builds(LinkDown, peers, st.just("gone"), st.just(0.5)))

from_superior = st.builds(Delivered, st.just("superior"), words(up, down))
said_by_keeper = often(
    (3, st.builds(Running, jobs, attempts, st.just(0))),
    (3, st.builds(Exited, jobs, attempts, reports)),
    (1, st.builds(Recalled, jobs, attempts)),
    (1, st.builds(Holding, listed.map(lambda found: tuple(one for one in found if one.held is not Held.WAITING)))),
)
agent_events = often(
    (6, from_superior),
    (6, st.builds(KeeperSaid, st.just(0), said_by_keeper)),
    (1, st.builds(LinkDown, st.just("superior"), st.just("gone"))),
    (1, st.builds(Vouched, st.just("superior"), st.booleans(), st.sampled_from((0, SECOND)))),
    (1, st.builds(KeeperUp, st.just(0))),
    (1, st.builds(KeeperDown, st.just(0))),
    (2, st.builds(FilesSeen, jobs, attempts, st.sampled_from((None, "a")))),
    (1, st.builds(HostDirty, st.sampled_from(("", "its disk is full")))),
)


@settings(max_examples=EXAMPLES)
@given(told(agent_events))
def test_an_agent_is_in_order_whatever_it_is_told(events: list[tuple[int, Any]]) -> None:
    agent = Agent("node1", 1, 1000 * SECOND, 2, TIMES, (0,), 1)

    def check() -> None:
        assert agent.busy == sum(attempt.holds for attempt in agent.attempts.values())

    opening = (KeeperUp(0), KeeperSaid(0, Holding(())), Delivered("superior", Batch(1, 1, 0, (Inquire(1),))))
    tell(agent, events, check, opening)


from_below = st.builds(Delivered, st.sampled_from(("node1", "node1", "node2")), words(down, up))
hosts = st.sampled_from(("node1", "node2", "node3"))
controller_events = often(
    (8, from_superior),
    (8, from_below),
    (1, links),
    (1, st.builds(Vouched, peers, st.booleans())),
    (1, st.builds(OrderHost, numbers, st.sampled_from(HostVerb), hosts)),
)


@settings(max_examples=EXAMPLES)
@given(told(controller_events))
def test_a_controller_is_in_order_whatever_it_is_told(events: list[tuple[int, Any]]) -> None:
    controller = Controller(1, 1000 * SECOND, CLUSTER)

    def check() -> None:
        for name, host in controller.hosts.items():
            at_it = [job for job in controller.jobs.values() if job.host is host]
            assert host.holding == len(at_it), name
            used = sum(job.slots for job in at_it if job.state is not ControllerJobState.ENDED)
            assert host.free == host.slots - used, name
        queued = [job for job in controller.jobs.values() if job.state is ControllerJobState.QUEUED]
        assert controller.queued == len(queued)

    opening = (
        Delivered("superior", Batch(1, 1, 0, (Inquire(1), Ping(2, 20 * SECOND, 1)))),
        LinkUp("node1"),
        Delivered("node1", Batch(1, 1, 1, (Inventory((), 1, 1, 2),))),
    )
    tell(controller, events, check, opening)


def test_a_host_of_a_new_life_that_breaks_the_protocol_gets_nothing() -> None:
    controller, job = Controller(1, 1000 * SECOND, CLUSTER), JobSpec("t", ("run", "5", "0"))
    scheduler, host = Sender(), Sender()

    def say(peer: str, sender: Sender, batch: Batch) -> None:
        controller.receive(Delivered(peer, sender.number(batch)), 1000 * SECOND)

    say("superior", scheduler, Batch(NEXT, NEXT, 1, (Inquire(1), Ping(2, 20 * SECOND, 1))))
    controller.receive(LinkUp("node1"), 1000 * SECOND)
    say("node1", host, Batch(NEXT, NEXT, 1, (Inventory((), 1, 1, 2),)))
    with pytest.raises(ProtocolError):
        say("node1", host, Batch(2, NEXT, 1, (Assign(JobId(1), 1, job),)))
    say("superior", scheduler, Batch(NEXT, NEXT, 1, (Assign(JobId(1), 1, job),)))
    assert controller.jobs[JobId(1), 1].state is ControllerJobState.QUEUED


def test_an_attempt_that_was_ended_and_forgotten_can_be_queued_again() -> None:
    controller, key = Controller(1, 1000 * SECOND, CLUSTER), (JobId(1), 1)
    sender, job = Sender(), JobSpec("t", ("run", "5", "0"))
    for said in (
        (Inquire(1), Ping(2, 20 * SECOND, 1)),
        (Assign(*key, job), Cancel(*key, CancelReason.KILLED)),
        (Acknowledge(*key), Assign(*key, job)),
    ):
        controller.receive(Delivered("superior", sender.number(Batch(NEXT, NEXT, 1, said))), 1000 * SECOND)
    assert controller.jobs[key].state is ControllerJobState.QUEUED


executors = st.sampled_from(("controller", "local"))
scheduler_events = often(
    (10, st.builds(Delivered, executors, words(down, up))),
    (1, st.builds(LinkUp, executors)),
    (1, st.builds(LinkDown, executors, st.just("gone"))),
    (1, st.builds(Vouched, executors, st.booleans())),
    (1, st.builds(WallClock, st.integers(-(10**18), 10**18))),
    (1, st.builds(SourceAnswered, st.just("items"), numbers, st.sampled_from(((), ("a",), ("a", "b"))))),
    (1, st.builds(Submit, numbers, specs)),
    (2, st.builds(OrderJob, numbers, st.sampled_from(JobVerb), jobs)),
    (1, st.builds(OrderTask, numbers, st.sampled_from(TaskVerb), st.sampled_from(("t", "items", "none")))),
    (1, st.builds(OrderIntake, numbers, st.sampled_from(IntakeVerb))),
)


@settings(max_examples=EXAMPLES)
@given(told(scheduler_events))
def test_a_scheduler_is_in_order_whatever_it_is_told(events: list[tuple[int, Any]]) -> None:
    definitions = (
        task("t", every=5, retry=Retry(("crash",), 1, SECOND), limits=Limits(in_flight=2), lost_reruns=1),
        task("items", "run", "1", "0", every=3, source=FilesSource("*")),
    )
    scheduler = Scheduler(1, 1000 * SECOND, CLUSTER, definitions)

    def check() -> None:
        for name, state in scheduler.spawning.tasks.items():
            of_it = [job for job in scheduler.jobs.values() if job.task is state]
            assert state.in_flight == len(of_it), name
            running = sum(1 for job in of_it if job.state is JobState.RUNNING or job.host)
            assert state.running <= running, name
            assert state.running >= 0, name

    opening = (LinkUp("controller"), Delivered("controller", Batch(1, 1, 1, (Inventory((), 1, 1),))))
    tell(scheduler, events, check, opening)


after = st.sampled_from((None, (JobId(1), 1), (JobId(2), 1)))
keeper_events = often(
    (5, st.builds(Start, jobs, attempts, specs, after)),
    (1, st.builds(Recall, jobs, attempts)),
    (2, st.builds(Stop, jobs, attempts)),
    (2, st.builds(Renew, st.sampled_from((-SECOND, 0, 5 * SECOND, 1 << 62)))),
    (2, st.builds(Forget, jobs, attempts)),
    (1, st.just(ListHeld())),
    (1, st.builds(Leave, st.booleans())),
    (8, st.sampled_from(("starts", "starts", "has no room", "is not there", "ends", "is killed"))),
)


@settings(max_examples=EXAMPLES)
@given(told(keeper_events))
def test_a_keeper_is_in_order_whatever_it_is_told(events: list[tuple[int, Any]]) -> None:
    """The operating system answers what it was asked, late, and in the order in which it was asked."""
    keeper, now = Keeper(1000 * SECOND, 20 * SECOND), 1000 * SECOND
    asked: list[tuple[JobId, int]] = []
    alive: list[tuple[JobId, int]] = []
    for wait_ns, event in events:
        now += wait_ns
        keeper.advance(now)
        if not isinstance(event, str):
            keeper.receive(event, now)
        elif event in ("ends", "is killed"):
            if alive:
                killed = event == "is killed"
                keeper.receive(Died(*alive.pop(0), None if killed else 0, 9 if killed else None), now)
        elif asked:
            key = asked.pop(0)
            if event == "starts":
                alive.append(key)
                keeper.receive(Spawned(*key, 4711, 0), now)
            else:
                keeper.receive(SpawnFailed(*key, event == "has no room", event), now)
        started = [(effect.job, effect.attempt) for effect in keeper.drain() if isinstance(effect, Spawn)]
        assert not set(started) & {*asked, *alive}, "one attempt is never started beside itself"
        asked += started
        assert keeper.alive == sum(1 for attempt in keeper.attempts.values() if attempt.report is None)


# all together


class AnyOrder(RuleBasedStateMachine):
    """Faults and orders of people, in any order; then peace."""

    def __init__(self) -> None:
        super().__init__()
        tasks = (
            task("t", "run", "4", "0", every=7, lost_reruns=2, retry=Retry(("crash",), 2, SECOND)),
            task("deaf", "deaf", "30", every=11, timeout=9, limits=Limits(in_flight=2)),
            task("here", "run", "3", "3", every=13, host=HostWish("local", True)),
            task("there", "signal", "2", "11", every=9, pending=60, host=HostWish("node1", True)),
            task("rather", "run", "3", "0", every=8, host=HostWish("node2", False, 6 * SECOND)),
        )
        self.world = SmallWorld(tasks, CLUSTER)
        self.stopped = False

    nodes = st.sampled_from(("node1", "node2"))

    @rule(seconds=st.sampled_from((1, 2, 5, 15, 40)))
    def time_passes(self, seconds: int) -> None:
        self.world.run(seconds)

    @rule(name=nodes)
    def cut(self, name: str) -> None:
        self.world.cut(name)

    @rule(name=nodes)
    def mend(self, name: str) -> None:
        self.world.mend(name)

    @rule(name=nodes)
    def reboot(self, name: str) -> None:
        self.world.reboot(name)

    @rule(name=nodes)
    def restart_agent(self, name: str) -> None:
        self.world.restart_agent(name)

    @rule(name=nodes)
    def freeze_agent(self, name: str) -> None:
        self.world.hosts[name].frozen = True

    @rule(name=nodes)
    def thaw_agent(self, name: str) -> None:
        self.world.hosts[name].frozen = False
        self.world.settle()

    @rule()
    def restart_server(self) -> None:
        self.world.restart_server()

    @rule(name=nodes, verb=st.sampled_from((HostVerb.DRAIN, HostVerb.ON, HostVerb.RETRY)))
    def order_host(self, name: str, verb: HostVerb) -> None:
        self.world.order_host(OrderHost(1, verb, name))

    @rule(job=st.integers(1, 30), verb=st.sampled_from(JobVerb))
    def order_job(self, job: int, verb: JobVerb) -> None:
        self.world.give(OrderJob(2, verb, job))

    @rule(
        name=st.sampled_from(("t", "there", "rather")),
        verb=st.sampled_from((TaskVerb.HOLD, TaskVerb.RELEASE, TaskVerb.FLUSH)),
    )
    def order_task(self, name: str, verb: TaskVerb) -> None:
        self.world.give(OrderTask(3, verb, name))

    @invariant()
    def no_host_is_too_full(self) -> None:
        for host in self.world.hosts.values():
            assert len(host.processes) <= host.slots

    @invariant()
    def no_attempt_runs_twice_and_no_job_beside_itself(self) -> None:
        alive = [key for host in self.world.hosts.values() for key in host.processes]
        assert len({job for job, _ in alive}) == len(alive)
        for host in self.world.hosts.values():
            assert all(times == 1 for times in host.ran.values())

    @invariant()
    def a_job_is_final_once(self) -> None:
        final = [end.job for end in self.world.ends if end.final]
        assert len(final) == len(set(final))

    def teardown(self) -> None:
        """Everything is well again, nothing new is made: all that was made becomes final, and nothing is left."""
        world = self.world
        for name, host in world.hosts.items():
            host.frozen = False
            if name != "local":
                world.mend(name)
                world.order_host(OrderHost(1, HostVerb.ON, name))
        world.settle()
        world.give(OrderIntake(4, IntakeVerb.STOP))
        for job in list(world.scheduler.jobs):
            world.give(OrderJob(5, JobVerb.RELEASE, job))
        world.run(900)
        assert world.scheduler.jobs == {}
        assert world.controller.jobs == {}
        for host in world.hosts.values():
            assert host.processes == {}
            assert host.agent.attempts == {}
            assert host.agent.busy == 0
        for host in world.controller.hosts.values():
            assert host.free == host.slots


AnyOrder.TestCase.settings = settings(max_examples=30, stateful_step_count=30)
TestAnyOrder = AnyOrder.TestCase
