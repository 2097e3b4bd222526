"""Torture: worlds of the swarm, one for each seed, run to their end and judged by everything that can judge them.

What judges: the oracle on the event log, the last look at the machines (`sim/inspection.py`), and the machines
themselves (an impossible move, a stuck turn). Called by `laulima torture` and the tests.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import combinations

from msgspec import Struct, field

from model.configuration import Configuration
from model.job import SECOND
from sim.inspection import inspect
from sim.scenario import Fault, Kind, Scenario
from sim.simulation import simulate
from sim.swarm import swarm
from sim.world import Scripting, World

NEAR_NS = 20 * SECOND
"""Two faults meet when the later one begins before so long after the end of the earlier one: the swarm's lease."""


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
    meetings: tuple[tuple[str, str], ...] = ()
    """kinds of faults that met, each pair once, in order of the alphabet; see `NEAR_NS`"""
    simulated_ns: int = 0
    excused: int = 0

    @property
    def promises(self) -> frozenset[str]:
        """Which promises are seen broken."""
        return frozenset(promise for promise, _ in self.problems)


def meetings(faults: Sequence[Fault]) -> tuple[tuple[str, str], ...]:
    """Which kinds of faults of a plan met each other (a kind may meet itself). One without an end lasts."""
    met: set[tuple[str, str]] = set()
    for one, other in combinations(sorted(faults, key=lambda fault: fault.at_ns), 2):
        if not one.for_ns or other.at_ns < one.at_ns + one.for_ns + NEAR_NS:
            first, second = sorted((one.kind.value, other.kind.value))
            met.add((first, second))
    return tuple(sorted(met))


def all_pairs() -> list[tuple[str, str]]:
    """Every pair of kinds of faults, each kind with itself too."""
    kinds = sorted(kind.value for kind in Kind)
    return [(one, other) for at, one in enumerate(kinds) for other in kinds[at:]]


def judge(
    configuration: Configuration,
    scenario: Scenario,
    scripting: Scripting | None = None,
    look: Callable[[World], Iterable[str]] = inspect,
) -> Verdict:
    """Run a world and say what is wrong with it. An error of a machine is a problem like any other. `look`: the last
    look at a world that was healed and in which no promise was broken; its sentences."""
    verdict = Verdict(scenario.seed, simulated_ns=scenario.for_ns)
    verdict.faults.update(fault.kind.value for fault in scenario.faults)
    verdict.meetings = meetings(scenario.faults)
    worlds: list[World] = []
    try:
        result = simulate(configuration, scenario, prepare=worlds.append, scripting=scripting)
    except Exception as error:  # noqa: BLE001 - whatever a machine raises in any weather is a finding, with its seed
        verdict.problems.append(("error", f"{type(error).__name__}: {error}"))
        return verdict
    verdict.problems += [(violation.promise, str(violation)) for violation in result.violations]
    verdict.lines, verdict.jobs, verdict.excused = result.lines, result.jobs, result.excused
    verdict.attempts = sum(task.attempts for task in result.tally.tasks.values())
    if scenario.healed_ns and not verdict.problems:
        verdict.problems += [("rest", sentence) for sentence in look(worlds[0])]
    return verdict


def torture(seed: int) -> Verdict:
    """The verdict on the world of this seed."""
    return judge(*swarm(seed))
