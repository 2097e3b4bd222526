"""One simulation from beginning to end: `simulate(configuration, scenario)` gives a `SimulationResult`.

Called by `shell.simulate`, the benchmarks and the tests. Showing the result does not belong here.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import IO

from msgspec import Struct

from model.configuration import Configuration
from sim.checkpoints import PIECES, Checkpoints
from sim.log import EventLog, Reader
from sim.oracle import Violation
from sim.oracles import Oracles
from sim.scenario import Expectation, Scenario
from sim.tally import Tally, TaskTally
from sim.views import for_all, with_shown
from sim.workload import Feed
from sim.world import Scripting, World


class SimulationResult(Struct):
    """What came of it. `hash`: BLAKE2 of the event log (32 hexadecimal digits), the same for the same inputs."""

    scenario: Scenario
    hash: str
    lines: int
    """lines of the event log"""
    tally: Tally
    violations: tuple[Violation, ...]
    violation_count: int
    checked: int
    """lines that the oracle read; 0: it did not look"""
    excused: int
    """overlaps of attempts on a host that stood still past its lease"""
    unmet: tuple[tuple[Expectation, int], ...]
    """expectations that do not hold, and what was found instead"""
    ended_ns: int
    """the simulation's end; earlier than the scenario's when a script or the end of a workload ended it"""
    missed: dict[str, Counter[str]]
    """polls that did not take place, by task and reason"""
    script_status: int | None = None
    """with what status a script ended the simulation; None: none did"""
    script_failed: bool = False
    """a script file did not run to its end"""

    @property
    def jobs(self) -> int:
        """Final jobs of all tasks."""
        return sum(task.final for task in self.tally.tasks.values())

    @property
    def open(self) -> int:
        """Jobs that are not final at the end."""
        return sum(task.open for task in self.tally.tasks.values())

    @property
    def good(self) -> bool:
        """No promise broken, every expectation met, every script read."""
        return not self.violation_count and not self.unmet and not self.script_failed and not self.script_status


def simulate(
    configuration: Configuration,
    scenario: Scenario,
    *,
    file: IO[bytes] | None = None,
    check: bool = True,
    prepare: Callable[[World], None] | None = None,
    scripting: Scripting | None = None,
    feed: Feed | None = None,
    readers: tuple[Reader, ...] = (),
    checkpoints: Checkpoints | None = None,
) -> SimulationResult:
    """Run the scenario to its end. `file` gets the event log; `prepare` may look at or change the world before;
    `scripting` runs the configuration's task scripts; `feed` submits the jobs of a workload; `readers` read the log
    while it is made; `checkpoints` keep it, and go on from one that was found (`file`, `feed` and `readers` are as they
    were then; `file` holds the log).

    Raises `ConfigurationError` for a fault at something that does not exist. Broken promises are in the result.
    """
    collects = gc.isenabled()
    gc.disable()  # nearly everything dies by its reference count; a collection looks at every host and waiting job
    try:
        return _simulated(configuration, scenario, file, check, prepare, scripting, feed, readers, checkpoints)
    finally:
        if collects:
            gc.enable()


def _simulated(
    configuration: Configuration,
    scenario: Scenario,
    file: IO[bytes] | None,
    check: bool,
    prepare: Callable[[World], None] | None,
    scripting: Scripting | None,
    feed: Feed | None,
    readers: tuple[Reader, ...],
    checkpoints: Checkpoints | None,
) -> SimulationResult:
    tally = Tally()
    oracle = Oracles(scenario, scripted=scripting is not None)
    own: tuple[Reader, ...] = (for_all(scenario, tally), *(oracle.readers if check else ()))
    every = own + readers if feed is None else (*own, *readers, feed)
    seen = with_shown(readers)
    kept = (tally, oracle, *seen) if feed is None else (tally, oracle, *seen, feed)
    if checkpoints is not None and checkpoints.find():
        log, world = EventLog(), World.__new__(World)
        checkpoints.restore((world, log, *kept), log, file)
        go = world.go_on
    else:
        log = EventLog(file, every)
        oracle.listen(lambda: log.count)
        world = World(configuration, scenario, log, scripting)
        if prepare is not None:
            prepare(world)
        if feed is not None:
            feed.begin(world)
        go = world.run
    if checkpoints is None:
        go()
    else:
        go(scenario.for_ns // PIECES + 1, partial(checkpoints.save_if_due, (world, log, *kept), log, world))
    tally.finish(world.calendar.now)
    digest = log.close()
    scripts = [side.driver for side in world.sides if side.driver is not None]
    found = [(expectation, count_of(tally, expectation)) for expectation in scenario.expect]
    return SimulationResult(
        scenario=scenario,
        hash=digest,
        lines=log.count,
        tally=tally,
        violations=oracle.violations,
        violation_count=oracle.count,
        checked=log.count if check else 0,
        excused=oracle.excused,
        ended_ns=world.calendar.now,
        missed=world.missed.by_task,
        unmet=tuple((expectation, count) for expectation, count in found if not expectation.holds(count)),
        script_status=next((one.status for one in scripts if one.status is not None), None),
        script_failed=any(one.failed for one in scripts),
    )


def count_of(tally: Tally, expectation: Expectation) -> int:
    """What an expectation speaks of, as it was."""
    name = expectation.task
    tasks = list(tally.tasks.values()) if name == "*" else [tally.tasks.get(name, TaskTally())]
    what = expectation.outcome
    if what in ("made", "final", "open", "attempts", "retries"):
        return sum(int(getattr(task, what)) for task in tasks)
    return sum(task.outcomes[what] for task in tasks)
