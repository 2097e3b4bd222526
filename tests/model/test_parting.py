"""Goal: after a clean stop what runs goes on for the parting lease, and is not run again beside itself: neither where
its host is not heard by the next life, nor where it was heard and is lost later. Method: the small world, and both
ends of a channel.
"""

from __future__ import annotations

import pytest

from model.channel import ChannelTimes
from model.controller import Controller
from model.downlink import Downlink
from model.events import HostVerb, IntakeVerb, OrderHost, OrderIntake, PartFromHosts
from model.job import SECOND, JobId, JobSpec, Outcome
from model.messages import Batch, Down, Entry, Held, Inquire, Parting, Ping
from model.records import AttemptGiven, HostsParted, PersonOrdered
from model.restored import fold
from model.snapshot import say
from model.uplink import Uplink
from tests.model.small_world import SmallWorld, cluster, task

KEEP_SECONDS = 3600
LOST_SECONDS = 340
"""more than lease and margin"""
TIMES = ChannelTimes()
SPEC = JobSpec("t", ("true",))


def batch(epoch: int, sequence: int, *words: Down) -> Batch:
    return Batch(epoch, sequence, 1, words)


def stopped_in_order() -> SmallWorld:
    """One job that runs for long on node1; the server has said its last word."""
    long = task("t", "run", "90000", "0", every=1_000_000, timeout=0, lost_reruns=2)
    world = SmallWorld((long,), cluster(("node1", 1), ("node2", 1)))
    world.run(2)
    assert list(world.hosts["node1"].processes) == [(1, 1)]
    world.give(OrderIntake(1, IntakeVerb.SHUTDOWN, "an upgrade", KEEP_SECONDS * SECOND))
    return world


@pytest.mark.parametrize("lives", [1, 2])
def test_what_an_unheard_host_runs_is_not_run_again_while_its_parting_lease_holds(lives: int) -> None:
    world = stopped_in_order()
    world.cut("node1")
    for _ in range(lives):
        world.restart_server()
        world.run(LOST_SECONDS)
    assert list(world.hosts["node1"].processes) == [(1, 1)] and not world.hosts["node2"].processes
    world.run(KEEP_SECONDS)
    assert not world.hosts["node1"].processes and list(world.hosts["node2"].processes) == [(1, 2)]


def test_a_person_who_has_made_sure_that_a_host_is_dead_need_not_wait_for_its_lease() -> None:
    world = stopped_in_order()
    world.reboot("node1")
    world.cut("node1")
    world.restart_server()
    world.run(LOST_SECONDS)
    assert not world.hosts["node2"].processes
    world.order_host(OrderHost(2, HostVerb.LOST, "node1", by="ann"))
    world.run(1)
    assert list(world.hosts["node2"].processes) == [(1, 2)]
    assert world.ends[-1].report.outcome is Outcome.LOST and "a person says" in world.ends[-1].report.reason
    assert PersonOrdered("ann", "lost", "host", "node1", "") in world.records
    world.order_host(OrderHost(3, HostVerb.LOST, "node2"))
    world.run(1)
    assert not world.answers[-1].ok and "host node2 answers" in world.answers[-1].text
    assert list(world.hosts["node2"].processes) == [(1, 2)]
    world.restart_server()
    world.run(10)
    assert len(world.ends) == 1, "the order is for once"


def test_what_was_called_lost_and_lives_on_is_ended_when_its_host_is_back() -> None:
    world = stopped_in_order()
    world.cut("node1")
    world.restart_server()
    world.run(10)
    world.order_host(OrderHost(2, HostVerb.LOST, "node1"))
    world.run(1)
    assert list(world.hosts["node1"].processes) == [(1, 1)] and list(world.hosts["node2"].processes) == [(1, 2)]
    world.mend("node1")
    world.run(120)
    assert not world.hosts["node1"].processes and list(world.hosts["node2"].processes) == [(1, 2)]


def test_a_host_that_the_next_life_has_heard_has_the_usual_lease_again() -> None:
    world = stopped_in_order()
    world.restart_server()
    world.run(10)
    world.cut("node1")
    world.run(LOST_SECONDS)
    assert not world.hosts["node1"].processes and list(world.hosts["node2"].processes) == [(1, 2)]


def test_a_ping_of_the_life_that_parted_takes_nothing_back() -> None:
    uplink = Uplink(1, TIMES)
    uplink.receive(batch(1, 1, Inquire(1)), 0)
    uplink.inventory(1, (), 1, 1, 0)
    uplink.receive(batch(1, 2, Parting(KEEP_SECONDS * SECOND)), 0)
    uplink.receive(batch(1, 3, Ping(2, TIMES.lease_ns, 1)), 0)
    assert uplink.lease_end_ns == KEEP_SECONDS * SECOND


class Ends:
    """Both ends of a link, after a clean stop, and before the superior's next life has heard anything."""

    def __init__(self) -> None:
        self.now = 1000 * SECOND
        self.kept_until = self.now + KEEP_SECONDS * SECOND + TIMES.margin_ns
        self.up = Uplink(1, TIMES)
        self.up.receive(batch(1, 1, Inquire(1)), self.now)
        self.up.receive(batch(1, 2, Parting(KEEP_SECONDS * SECOND)), self.now)
        self.down = Downlink("node1", 2, TIMES, self.now)
        self.down.restore((JobId(1), 1), SPEC, running=True, sent_to=1)
        self.down.parted(KEEP_SECONDS * SECOND, self.now)
        self.down.opened(self.now)

    def answer(self, said: Batch, inventory: bool = True) -> None:
        """The subordinate hears this, and its answers are heard."""
        for message in self.up.receive(said, self.now):
            if isinstance(message, Inquire) and inventory:
                runs = Entry(JobId(1), 1, Held.RUNNING, SPEC, "node1")
                self.up.inventory(message.number, (runs,), 1, 1, self.now)
            elif isinstance(message, Ping):
                self.up.pong(message.number, 1, 0, "", self.now)
        answer = self.up.take()
        if answer is not None:
            self.down.receive(answer, self.now)

    def a_period_passes(self) -> None:
        self.now += TIMES.ping_ns
        self.down.advance(self.now)


def test_the_parting_lease_counts_until_the_next_life_knows_that_its_own_has_arrived() -> None:
    ends = Ends()
    ends.answer(ends.down.seal(), inventory=False)
    ends.a_period_passes()
    ends.answer(ends.down.seal(), inventory=False)
    assert ends.down.last_pong and ends.down.lost_at == ends.kept_until, "it names no pong"
    ends.a_period_passes()
    ends.a_period_passes()
    ends.answer(ends.down.seal())
    ping = ends.down.seal()
    assert ends.down.lost_at == ends.kept_until, "the ping is still under way"
    ends.now += 2 * TIMES.ping_ns
    assert ends.down.notice_stall(ends.now)
    assert ends.down.lost_at == ends.kept_until
    ends.answer(ping)
    assert ends.up.lease_end_ns is not None
    assert ends.up.lease_end_ns < ends.down.lost_at == ends.now + TIMES.lease_ns + TIMES.margin_ns


def test_the_answer_of_another_life_of_the_subordinate_shows_nothing_of_what_its_keepers_have() -> None:
    ends = Ends()
    ends.answer(ends.down.seal())
    ends.down.seal()  # the ping is lost, and so is that life
    ends.up = Uplink(2, TIMES)
    ends.a_period_passes()
    ends.answer(ends.down.seal())
    assert ends.down.last_pong > 2 and not ends.up.leased
    assert ends.down.lost_at == ends.kept_until
    ends.answer(ends.down.seal())
    assert not ends.up.leased and ends.down.lost_at == ends.kept_until
    ends.answer(ends.down.seal())
    assert ends.up.leased and ends.down.lost_at < ends.kept_until


def test_a_controller_of_its_own_process_knows_from_its_own_journal_that_it_has_parted() -> None:
    definition = cluster(("node1", 1), ("node2", 1))
    controller = Controller(1, 0, definition)
    controller.drain()
    controller.receive(PartFromHosts(KEEP_SECONDS * SECOND), 0)
    parted = [effect.record for effect in controller.drain() if hasattr(effect, "record")]
    assert parted == [HostsParted(KEEP_SECONDS * SECOND)]
    before, after = AttemptGiven(JobId(1), 1, "node1", 1, SPEC), AttemptGiven(JobId(2), 1, "node2", 1, SPEC)
    folded = fold([before, *parted, after])
    restored = fold(say(folded.scheduler, folded.controller)).controller
    hosts = Controller(2, 0, definition, restored).hosts
    assert hosts["node1"].link.lost_at == KEEP_SECONDS * SECOND + TIMES.margin_ns
    assert hosts["node2"].link.lost_at == TIMES.lease_ns + TIMES.margin_ns


def test_a_parting_lease_outlives_a_link_that_the_driver_vouched_for() -> None:
    now = 1000 * SECOND
    up = Uplink(1, TIMES)
    up.receive(batch(1, 1, Inquire(1)), now)
    up.vouch(True, 0, now)
    up.receive(batch(1, 2, Parting(KEEP_SECONDS * SECOND)), now)
    up.vouch(False, 0, now)
    assert up.lease_end_ns == now + KEEP_SECONDS * SECOND
    up.receive(batch(2, 1, Inquire(1)), now)
    up.vouch(True, 0, now)
    up.vouch(False, 0, now)
    assert up.lease_end_ns == now + TIMES.lease_ns


def test_it_counts_also_when_the_driver_vouched_before_anything_was_heard() -> None:
    ends = Ends()
    ends.down.vouch(True, ends.now)
    ends.down.vouch(False, ends.now)
    assert ends.down.lost_at == ends.kept_until
    ends.down.vouch(True, ends.now)
    ends.answer(ends.down.seal())
    ends.down.vouch(False, ends.now)
    assert ends.down.lost_at < ends.kept_until


def test_one_that_has_parted_and_lives_on_counts_what_it_granted() -> None:
    ends = Ends()
    ends.answer(ends.down.seal())
    ends.answer(ends.down.seal())
    assert ends.down.lost_at < ends.kept_until
    ends.down.part(KEEP_SECONDS * SECOND, ends.now)
    ends.answer(ends.down.seal())
    ends.a_period_passes()
    ends.answer(ends.down.seal())
    assert ends.up.lease_end_ns == ends.kept_until - TIMES.margin_ns
    assert ends.down.lost_at == ends.kept_until
