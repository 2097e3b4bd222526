"""Goal: the oracle is worth something. Bugs that are planted in the machines are found, by their event log alone.

Method: each mutant replaces one method of a machine; seeds of the swarm (mixed faults) are run until the oracle
complains. Without a mutant the same seeds break no promise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec import structs

from model.agent import FOREVER_NS, Agent
from model.channel import ChannelTimes
from model.controller import Controller
from model.effects import Commit, Effect
from model.messages import Ended
from model.records import AttemptEnded
from model.scheduler import Scheduler
from sim.simulation import simulate
from sim.swarm import swarm

SEEDS_MAX = 60
"""Within so many seeds each mutant is found."""

Plant = Callable[[pytest.MonkeyPatch], None]


def acknowledge_before_commit(patch: pytest.MonkeyPatch) -> None:
    """1: the end of an attempt is acknowledged, and recorded afterwards."""
    drain = Scheduler.drain

    def mutant(self: Scheduler) -> list[Effect]:
        effects = drain(self)
        return sorted(effects, key=lambda effect: type(effect) is Commit and type(effect.record) is AttemptEnded)

    patch.setattr(Scheduler, "drain", mutant)


def ignore_attempt(patch: pytest.MonkeyPatch) -> None:
    """4: an end is taken for the current attempt's, whatever attempt it names."""
    take_reports = Scheduler._take_reports

    def mutant(self: Scheduler, executor: Any, reports: list[Any], now: int) -> None:
        blind = [
            Ended(message.job, self.jobs[message.job].attempt, message.report)
            if type(message) is Ended and message.job in self.jobs
            else message
            for message in reports
        ]
        take_reports(self, executor, blind, now)

    patch.setattr(Scheduler, "_take_reports", mutant)


def count_an_end_twice(patch: pytest.MonkeyPatch) -> None:
    """10: an end that comes again, because its acknowledgement was lost, is recorded again."""
    stale = Scheduler._stale

    def mutant(self: Scheduler, executor: Any, key: Any, job: Any, ended: bool, now: int) -> None:
        if ended and key in self.seen_ends:  # type: ignore[attr-defined]
            report = self.seen_ends[key]  # type: ignore[attr-defined]
            self.effects.append(Commit(AttemptEnded(key[0], key[1], report, final=True)))
        stale(self, executor, key, job, ended, now)

    take_reports = Scheduler._take_reports

    def remember(self: Scheduler, executor: Any, reports: list[Any], now: int) -> None:
        if not hasattr(self, "seen_ends"):
            self.seen_ends = {}  # type: ignore[attr-defined]
        take_reports(self, executor, reports, now)
        for message in reports:
            if type(message) is Ended:
                self.seen_ends[message.job, message.attempt] = message.report  # type: ignore[attr-defined]

    patch.setattr(Scheduler, "_stale", mutant)
    patch.setattr(Scheduler, "_take_reports", remember)


def ignore_the_lease(patch: pytest.MonkeyPatch) -> None:
    """15: a host lets its attempts live on although its superior was not heard for the lease."""
    make = Agent.__init__

    def mutant(self: Agent, name: str, epoch: int, now: int, slots: int, times: ChannelTimes, *rest: Any) -> None:
        make(self, name, epoch, now, slots, structs.replace(times, lease_ns=FOREVER_NS), *rest)

    patch.setattr(Agent, "__init__", mutant)


def free_a_slot_twice(patch: pytest.MonkeyPatch) -> None:
    """19: the controller counts a slot as free twice when a job ends."""
    ended_at = Controller._ended_at

    def mutant(self: Controller, host: Any, message: Ended, now: int) -> None:
        job = self.jobs.get((message.job, message.attempt))
        fresh = job is not None and job.report is None and job.host is host
        ended_at(self, host, message, now)
        if fresh and job is not None:
            host.free += job.slots
            self.placing.offer(host, now)

    patch.setattr(Controller, "_ended_at", mutant)


MUTANTS: tuple[Plant, ...] = (
    acknowledge_before_commit,
    ignore_attempt,
    count_an_end_twice,
    ignore_the_lease,
    free_a_slot_twice,
)


def seeds_until_found(promises: tuple[str, ...]) -> int | None:
    """How many seeds it takes until one of these promises is seen broken."""
    for seed in range(SEEDS_MAX):
        result = simulate(*swarm(seed))
        if any(violation.promise in promises for violation in result.violations):
            return seed + 1
    return None


@pytest.mark.parametrize("plant", MUTANTS, ids=lambda plant: plant.__name__)
def test_a_planted_bug_is_found(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    expected: dict[Plant, tuple[str, ...]] = {
        acknowledge_before_commit: ("P2",),
        ignore_attempt: ("P1", "P2"),
        count_an_end_twice: ("P2",),
        ignore_the_lease: ("P3",),
        free_a_slot_twice: ("capacity",),
    }
    plant(monkeypatch)
    found = seeds_until_found(expected[plant])
    assert found is not None, f"not found in {SEEDS_MAX} seeds"
