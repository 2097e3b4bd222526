"""Goal: from the first job that a host is given, its keepers have a lease; so an agent that dies or freezes before it
was pinged once more cannot let a job outlive the time after which its superior runs it elsewhere (P3).

Method: one Agent is inquired for the first time and given a job at once; its drained list shows what its keepers knew.
"""

from __future__ import annotations

from model.agent import Agent
from model.channel import ChannelTimes
from model.effects import ToKeeper
from model.events import Delivered, KeeperSaid, KeeperUp, LinkUp
from model.job import SECOND, JobId, JobSpec
from model.keeper import Holding, Keeper, Renew, Start
from model.messages import Assign, Batch, Inquire


def test_the_first_job_of_a_host_comes_to_keepers_that_have_a_lease() -> None:
    times = ChannelTimes(lease_ns=10 * SECOND)
    agent = Agent("node1", 1, 0, 1, times, (0,), 1)
    agent.receive(KeeperUp(0), 0)
    agent.receive(KeeperSaid(0, Holding(())), 0)
    agent.receive(LinkUp("superior"), 0)
    agent.receive(Delivered("superior", Batch(7, 1, 0, (Inquire(1),))), SECOND)
    keeper = Keeper(0)
    granted = [effect.order for effect in agent.drain() if isinstance(effect, ToKeeper)]
    assert Renew in map(type, granted)
    for order in granted:
        keeper.receive(order, SECOND)
    agent.receive(Delivered("superior", Batch(7, 2, 1, (Assign(JobId(1), 1, JobSpec("t", ("true",))),))), 2 * SECOND)
    (start,) = [effect.order for effect in agent.drain() if isinstance(effect, ToKeeper)]
    assert isinstance(start, Start)
    keeper.receive(start, 2 * SECOND)
    assert keeper.next_due() == SECOND + times.lease_ns
