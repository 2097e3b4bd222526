"""One simulation from beginning to end: `simulate(configuration, scenario)` gives a `SimulationResult`.

Called by `shell.simulate`, the benchmarks and the tests. Showing the result does not belong here.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import IO

from msgspec import Struct

from model.configuration import Configuration
from sim.log import EventLog, Reader
from sim.oracle import Oracle, Violation
from sim.scenario import Expectation, Scenario
from sim.tally import Tally, TaskTally
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
) -> SimulationResult:
    """Run the scenario to its end. `file` gets the event log; `prepare` may look at or change the world before;
    `scripting` runs the configuration's task scripts; `feed` submits the jobs of a workload; `readers` read the log
    while it is made.

    Raises `ConfigurationError` for a fault at something that does not exist. Broken promises are in the result.
    """
    tally = Tally()
    oracle = Oracle()
    own: tuple[Reader, ...] = (tally, oracle) if check else (tally,)
    log = EventLog(file, (*own, *readers) if feed is None else (*own, *readers, feed))
    oracle.listen(lambda: log.count)
    world = World(configuration, scenario, log, scripting)
    if prepare is not None:
        prepare(world)
    if feed is not None:
        feed.begin(world)
    collects = gc.isenabled()
    gc.disable()  # nearly everything dies by its reference count; a full collection looks at every pending job
    try:
        world.run()
    finally:
        if collects:
            gc.enable()
    tally.finish(world.calendar.now)
    digest = log.close()
    found = [(expectation, count_of(tally, expectation)) for expectation in scenario.expect]
    return SimulationResult(
        scenario=scenario,
        hash=digest,
        lines=log.count,
        tally=tally,
        violations=tuple(oracle.violations),
        violation_count=oracle.count,
        checked=log.count if check else 0,
        excused=oracle.excused,
        ended_ns=world.calendar.now,
        unmet=tuple((expectation, count) for expectation, count in found if not expectation.holds(count)),
        script_status=None if world.scripts is None else world.scripts.status,
        script_failed=world.scripts is not None and world.scripts.failed,
    )


def count_of(tally: Tally, expectation: Expectation) -> int:
    """What an expectation speaks of, as it was."""
    name = expectation.task
    tasks = list(tally.tasks.values()) if name == "*" else [tally.tasks.get(name, TaskTally())]
    what = expectation.outcome
    if what in ("made", "final", "open", "attempts", "retries"):
        return sum(int(getattr(task, what)) for task in tasks)
    return sum(task.outcomes[what] for task in tasks)
