"""A rehearsal that fails, made small: what is not needed for the failure is taken away, and the rest kept as a file.

`laulima sim FILE --shrink small.yaml`. What is taken away is `sim/shrinking.py`'s; the file is a world
(`shell/worlds.py`) that `laulima sim small.yaml` rehearses. Called by `shell/simulate.py` and `shell/many_worlds.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from model.configuration import Configuration
from model.errors import LaulimaError
from shell.expectations import expected_line, figure_text
from shell.file_errors import unwritable
from shell.prepared import Prepared, scripted
from shell.wording import count
from shell.worlds import WrittenWorld, write_world
from sim.expectations import Judged, judge_expectations
from sim.figures import Unit, find
from sim.missed_polls import with_missed
from sim.scenario import Comparison, Expectation, Scenario, Wanted
from sim.shared_measuring import measuring_of
from sim.shrinking import shrink_while
from sim.simulation import simulate

RUNS_MAX = 200
"""Worlds that are tried: a rehearsal takes longer than a world of the swarm."""
UNDEFINED_TOO = ", undefined"
"""Behind an expectation that is missed because no job tells the figure."""


def shrink_to(path: Path, prepared: Prepared) -> None:
    """Write a smaller world that fails as this one does, and say what was done on stderr.

    Raises `LaulimaError` when there is none to write, or no place for it.
    """
    configuration, scenario = prepared.loaded.configuration, prepared.loaded.scenario
    if scripted(configuration, scenario):
        raise LaulimaError("a world with task scripts is not made small", "their tasks as YAML: laulima convert")
    failure = failures(configuration, scenario)
    if not failure:
        raise LaulimaError(f"seed {scenario.seed} does not fail", "a world that fails: --seeds 1-1000 --until expect")
    wanted = failure[0]
    kept = _only(scenario, wanted)
    small, world, runs = shrink_while(configuration, kept, _alike(configuration, kept, wanted), RUNS_MAX)
    about = f"seed {scenario.seed} of {Path(configuration.path).name}: {wanted}"
    try:
        write_world(WrittenWorld(about, wanted, small, world), path)
    except OSError as error:
        raise unwritable(path, error) from error
    owners = (small, *(sharer.configuration for sharer in world.schedulers))
    faults, tasks, hosts = len(world.faults), sum(len(one.tasks) for one in owners), len(small.cluster.hosts)
    sys.stderr.write(
        f"wrote {path} ({count(runs, 'world')} tried): {count(tasks, 'task')}, {count(hosts, 'host')}, "
        f"{count(faults, 'fault')}; laulima sim {path}\n"
    )


def tell_nothing_fails(path: Path) -> None:
    """Say on stderr why there is no small world."""
    sys.stderr.write(f"{path} is not written: nothing failed; more seeds: --seeds 1-1000 --until expect\n")


def failures(configuration: Configuration, scenario: Scenario) -> list[str]:
    """What of this world fails: promises by name, expectations as they are written. An error of a machine is one."""
    measuring = measuring_of(configuration, scenario)
    try:
        result = simulate(configuration, scenario, readers=(measuring,))
    except LaulimaError:
        return []  # a world that cannot be: a fault at a host that was taken away
    except Exception as error:  # noqa: BLE001 - whatever a machine raises in any weather is a finding
        return [f"error: {type(error).__name__}"]
    found = [violation.promise for violation in result.violations]
    judged = judge_expectations(scenario, result.tally, with_missed(measuring.metrics(), result.missed))
    return [*found, *(_missed(one) for one in judged if not one.held)]


def _missed(judged: Judged) -> str:
    """A figure that is undefined fails in another way than one that is too large: a world without jobs is no answer."""
    text = expected_line(judged).expected
    return text if judged.found is not None else f"{text}{UNDEFINED_TOO}"


def _only(scenario: Scenario, wanted: str) -> Scenario:
    """With this expectation alone: others may fail or not on the way."""
    missed = wanted.removesuffix(UNDEFINED_TOO)
    expect = tuple(
        one
        for one in scenario.expect
        if f"{one.task}: {one.outcome} {one.comparison.value} {figure_text(one.count, Unit.COUNT)}" == missed
    )
    figures = tuple(
        one for one in scenario.wanted
        if f"{one.figure} {one.comparison.value} {figure_text(one.limit, find(one.figure).unit)}" == missed
    )  # fmt: skip
    return replace(scenario, expect=expect, wanted=figures)


def _alike(configuration: Configuration, scenario: Scenario, wanted: str) -> Callable[[Configuration, Scenario], bool]:
    """Whether a smaller world fails as this one does, which has one expectation at most.

    An expectation that is met here without faults must be met there without faults, too: else hosts or time that are
    too few were another failure. What has to be reached is missed wherever less happens: if it is not even reached
    here, nothing that runs is taken away.
    """
    expected: tuple[Expectation | Wanted, ...] = (*scenario.expect, *scenario.wanted)
    if expected and wanted not in failures(configuration, _without_faults(scenario)):
        return lambda small, world: (
            wanted in failures(small, world) and not failures(small, _without_faults(world))
        )  # fmt: skip
    if not any(_is_to_be_reached(one) for one in expected):
        return lambda *pair: wanted in failures(*pair)
    return lambda small, world: (
        (small, world.for_ns, world.schedulers) == (configuration, scenario.for_ns, scenario.schedulers)
        and wanted in failures(small, world)
    )


def _is_to_be_reached(one: Expectation | Wanted) -> bool:
    limit = one.count if isinstance(one, Expectation) else one.limit
    return one.comparison in (Comparison.MORE, Comparison.AT_LEAST) or (
        one.comparison is Comparison.EQUAL and limit > 0
    )  # fmt: skip


def _without_faults(scenario: Scenario) -> Scenario:
    return replace(scenario, faults=(), plans=(), orders=())
