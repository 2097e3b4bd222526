"""Torture: worlds of the swarm, one for each seed, run to their end and judged by everything that can judge them.

What judges: the oracle on the event log, the last look at the machines (`sim/inspection.py`), and the machines
themselves (an impossible move, a stuck turn). Called by `laulima torture` and the tests.
"""

from __future__ import annotations

from collections import Counter

from msgspec import Struct, field

from model.configuration import Configuration
from sim.inspection import inspect
from sim.scenario import Scenario
from sim.simulation import simulate
from sim.swarm import swarm
from sim.world import World


class Verdict(Struct):
    """What came of one world. `problems`: (promise, sentence); none: nothing was found."""

    seed: int
    problems: list[tuple[str, str]] = field(default_factory=list)
    lines: int = 0
    """lines of the event log"""
    jobs: int = 0
    """final jobs"""
    attempts: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    """faults of the plan, by kind"""
    simulated_ns: int = 0
    excused: int = 0

    @property
    def promises(self) -> frozenset[str]:
        """Which promises are seen broken."""
        return frozenset(promise for promise, _ in self.problems)


def judge(configuration: Configuration, scenario: Scenario) -> Verdict:
    """Run a world and say what is wrong with it. An error of a machine is a problem like any other."""
    verdict = Verdict(scenario.seed, simulated_ns=scenario.for_ns)
    verdict.faults.update(fault.kind.value for fault in scenario.faults)
    worlds: list[World] = []
    try:
        result = simulate(configuration, scenario, prepare=worlds.append)
    except Exception as error:  # noqa: BLE001 - whatever a machine raises in any weather is a finding, with its seed
        verdict.problems.append(("error", f"{type(error).__name__}: {error}"))
        return verdict
    verdict.problems += [(violation.promise, str(violation)) for violation in result.violations]
    verdict.lines, verdict.jobs, verdict.excused = result.lines, result.jobs, result.excused
    verdict.attempts = sum(task.attempts for task in result.tally.tasks.values())
    if scenario.healed_ns and not verdict.problems:
        verdict.problems += [("rest", sentence) for sentence in inspect(worlds[0])]
    return verdict


def torture(seed: int) -> Verdict:
    """The verdict on the world of this seed."""
    return judge(*swarm(seed))
