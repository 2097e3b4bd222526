"""A rehearsal that fails, made small: what is not needed for the failure is taken away, and the rest kept as a file.

`laulima sim FILE --shrink small.yaml`. What is taken away is `sim/shrinking.py`'s; the file is a world
(`shell/worlds.py`) that `laulima sim small.yaml` rehearses. Called by `shell/simulate.py` and `shell/many_worlds.py`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from msgspec.structs import replace

from model.configuration import Configuration
from model.errors import LaulimaError
from shell.expectations import expected_line
from shell.file_errors import unwritable
from shell.prepared import Prepared, scripted
from shell.wording import count
from shell.worlds import WrittenWorld, write_world
from sim.expectations import Judged, judge_expectations
from sim.missed_polls import with_missed
from sim.scenario import Scenario
from sim.shared_measuring import measuring_of
from sim.shrinking import shrink_while
from sim.simulation import simulate

RUNS_MAX = 200
"""Worlds that are tried: a rehearsal takes longer than a world of the swarm."""


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
    small, world, runs = shrink_while(configuration, kept, lambda *pair: wanted in failures(*pair), RUNS_MAX)
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
    return text if judged.found is not None else f"{text}, undefined"


def _only(scenario: Scenario, wanted: str) -> Scenario:
    """With this expectation alone: others may fail or not on the way."""
    expect = tuple(one for one in scenario.expect if str(one) == wanted)
    figures = tuple(
        one for one in scenario.wanted
        if wanted.startswith(f"{one.figure} {one.comparison.value} ")
    )  # fmt: skip
    return replace(scenario, expect=expect, wanted=figures)
