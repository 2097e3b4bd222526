"""A workload: jobs with their submit times and run times, given to the scheduler of a simulated world as a person's
`submit` would, each at its time, whatever has become of the earlier ones (open loop).

They go through the scheduler, the controller and the agents like all other jobs; only what their processes do is said
by the workload instead of the scenario. One entry of the calendar for the whole workload: the next job is read when
the last one has been given, so a workload may be a stream of any length. Called by `sim/simulation.py`; job logs
become workloads in `sim/job_log.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from msgspec import Struct

from model.errors import ConfigurationError
from model.events import Submit
from model.job import JobSpec
from model.records import AttemptEnded
from sim.calendar import REPLY
from sim.log import Committed
from sim.scheduler_side import SchedulerSide
from sim.world import World


class Submission(Struct, frozen=True, gc=False):
    """A job, when it is submitted (true ns since the start), and how long its process runs and with what it exits;
    None: that is drawn as for other jobs.

    The item of its specification names it: no two jobs of a task have the same one.
    """

    at_ns: int
    spec: JobSpec
    run_ns: int | None
    exit_code: int = 0
    requested_ns: int | None = None
    """what its user said that it would take at most, where somebody knows; nobody is held to it"""


class Feed:
    """Gives a workload's jobs to the scheduler; a reader of the log, to know when all of them are final."""

    def __init__(self, submissions: Iterable[Submission], *, ends: bool, scheduler: str = "") -> None:
        """`ends`: there are no other jobs, and the simulation is over when all of these are. `scheduler`: the name of
        the one that gets them, of several."""
        self.given = 0
        self.unheard = 0
        """jobs that were submitted while there was no scheduler to take them"""
        self._submissions = iter(submissions)
        self.ends = ends
        self.requested: dict[tuple[str, str | None], int] | None = None
        """(task, item) -> what its user said that it would take, until it is taken out; None: nobody reads it"""
        self._final = 0
        self._next: Submission | None = None
        self._world: World | None = None
        self._scheduler = scheduler
        self._side: SchedulerSide | None = None

    @property
    def table(self) -> dict[type, Callable[[Any], None]]:
        """For `EventLog`: what it wants to read."""
        return {AttemptEnded: self._ended}

    def __getstate__(self) -> tuple[Any, ...]:
        taken = self.given + (self._next is not None)
        place = self._world, self._scheduler, self._side
        return taken, self.given, self.unheard, self.ends, self._final, self._next, place

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """For a feed of the same jobs: those that were taken before are passed over."""
        taken, self.given, self.unheard, self.ends, self._final, self._next, place = state
        self._world, self._scheduler, self._side = place
        for _ in range(taken):
            next(self._submissions)

    def begin(self, world: World) -> None:
        """The world is there; the first job comes at its time."""
        self._world = world
        self._side = next(side for side in world.sides if side.name == self._scheduler)
        self._next = next(self._submissions, None)
        self._plan(world)

    def _plan(self, world: World) -> None:
        """The calendar has the time of the next job."""
        calendar, coming = world.calendar, self._next
        if coming is not None and coming.at_ns < calendar.until_ns:
            calendar.at(coming.at_ns, REPLY, self)

    def happens(self) -> None:
        """Submit all jobs whose time is now."""
        world, side = self._world, self._side
        assert world is not None
        assert side is not None
        node, now = world.nodes[side.node], world.calendar.now
        last: Submit | None = None
        while (job := self._next) is not None and job.at_ns == now:
            if last is not None:
                node.receive(last)
                last = None
            self.given += 1
            if node.machine is None:
                self.unheard += 1
            else:
                spec = job.spec
                if self.requested is not None and job.requested_ns is not None:
                    self.requested[spec.task, spec.item] = job.requested_ns
                if job.run_ns is not None:
                    side.weather.foretell(f"{spec.task}/{spec.item}", job.run_ns, job.exit_code)
                last = Submit(0, spec)
            self._next = coming = next(self._submissions, None)
            if coming is not None and coming.at_ns < now:
                raise ConfigurationError(f"job {coming.spec.item} of the workload is to be submitted in the past")
        self._plan(world)
        if last is not None:
            node.receive_last(last)
        if self._next is None:
            self._look_for_end()

    def _ended(self, line: Committed) -> None:
        record: AttemptEnded = line.record  # type: ignore[assignment]
        if record.final and self._side is not None and line.node == self._side.node:
            self._final += 1
            if self._next is None:
                self._look_for_end()

    def _look_for_end(self) -> None:
        """All jobs have been given."""
        if self.ends and self._final >= self.given - self.unheard and self._world is not None:
            self._world.calendar.end()
