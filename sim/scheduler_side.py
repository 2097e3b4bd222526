"""One scheduler of a simulated world, and what is its own: tasks, a computer (`local`), a weather, sources, scripts.

A world has one of them, with the configuration of its controller, or those that the scenario names (`Sharer`). Made by
`sim/world.py`, which starts and stops its nodes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from model.agent import Agent
from model.behaviour import NO_REACTION, Behaviour, Skip
from model.channel import ChannelTimes
from model.configuration import Configuration
from model.controller import Controller
from model.effects import AskSource, Prepare, React
from model.events import IntakeVerb, OrderIntake, Prepared, Reacted, SourceAnswered
from model.job import JobId
from model.job_numbers import own_number, superior_of
from model.records import SuperiorKnown
from model.remembered import RestoredData
from model.restored import RestoredScheduler
from model.scheduler import Scheduler
from model.scripting import MAIN_SESSION, RunFile, ScriptFactory, ScriptMachine
from model.sharing import Terms
from model.superiors import SUPERIOR, peer_of
from model.view_rows import Machines
from sim.calendar import REPLY
from sim.log import Committed
from sim.node import Node
from sim.processes import CONTROLLER, LOCAL, SCHEDULER
from sim.scenario import Scenario, Sharer, node_of
from sim.scripts import SCRIPTS, PacedScripts, ScriptDriver
from sim.weather import ArrivalStream, Fate, ItemStream, Weather, stream_of

if TYPE_CHECKING:
    from sim.world import Scripting, World

BEGIN_NS = 10_000_000
"""How long after its start a server begins to read its scripts: the links inside of it are up then."""


class SchedulerSide:
    """`name`: empty where there is one scheduler only."""

    def __init__(self, world: World, name: str, configuration: Configuration, weather: Weather, terms: Terms | None):
        """Its nodes are not there yet."""
        self.name = name
        self.node = node_of(SCHEDULER, name)
        self.local = node_of(LOCAL, name)
        self.scripts_node = node_of(SCRIPTS, name)
        self.upward = peer_of(name) if name else SUPERIOR
        """what the controller calls it"""
        self.configuration = configuration
        self.weather = weather
        self.terms = terms
        self.driver: ScriptDriver | None = None
        """of its scripts; None: it has none"""
        self._factory: ScriptFactory | None = None
        self._world = world
        self._behaviours: dict[str, Behaviour] = {}
        self._streams: dict[str, ItemStream | ArrivalStream] = {}

    def task_of(self, task: str) -> str:
        """What its task is called where the tasks of all schedulers are told."""
        return f"{self.name}.{task}" if self.name else task

    @classmethod
    def all_of(cls, world: World, configuration: Configuration, scenario: Scenario) -> tuple[SchedulerSide, ...]:
        """Those of a world; `configuration` is the controller's."""
        seed = scenario.seed
        if not scenario.schedulers:
            return (cls(world, "", configuration, Weather(seed, scenario.tasks), None),)
        return tuple(
            cls(
                world,
                sharer.name,
                sharer.configuration,
                Weather(seed, sharer.tasks, sharer.name),
                terms_of(sharer, configuration),
            )
            for sharer in scenario.schedulers
        )

    @property
    def local_times(self) -> ChannelTimes:
        """Of the link to its own computer."""
        return self.configuration.cluster.local_times

    # lives

    def begin_with(self, scripting: Scripting) -> None:
        """Its scripts are run."""
        self._factory = scripting.factory
        self.driver = ScriptDriver(self._world, self, scripting.show, scripting.read_file)

    def machine(self, epoch: int, now: int, known: RestoredScheduler | None) -> tuple[Scheduler, ScriptMachine | None]:
        """A new life of its two machines."""
        configuration = self.configuration
        scripts = self._make_scripts(known.scripts if known is not None and known.scripts.begun else None)
        cluster, tasks = configuration.cluster, configuration.tasks
        return Scheduler(epoch, now, cluster, tasks, known, self._behaviours, configuration.alarms), scripts

    def _make_scripts(self, data: RestoredData | None) -> ScriptMachine | None:
        """The script machine lives and dies with the scheduler, which is given its behaviours: so it is made first."""
        if self._factory is None:
            return None
        world, configuration = self._world, self.configuration
        node = world.nodes.get(self.scripts_node) or world.add_scripts_node(self.scripts_node)
        node.epoch += 1
        self._behaviours.clear()
        return self._factory(
            node.clock.read(world.calendar.now),
            directory=configuration.directory,
            seed=world.scenario.seed,
            machines=self._machines,
            behaviours=self._behaviours,
            settings=configuration.language,
            tasks=configuration.tasks,
            environment={"HOME": "/", "PID": "1"},
            configuration=configuration.path,
            restored=data,
        )

    def start_scripts(self, machine: ScriptMachine) -> None:
        """While its files are read nothing is spawned and no end is reacted to; they say when to begin."""
        world = self._world
        if self.configuration.language.scripts:
            order = OrderIntake(0, IntakeVerb.HALT, "its scripts have not said `run`", lasting=False)
            world.nodes[self.node].receive(order)
        node = world.nodes[self.scripts_node]
        node.start(PacedScripts(machine))
        world.tell_wall_clock(node)
        life = node.epoch
        world.calendar.call_after(BEGIN_NS, REPLY, lambda: self._run_files(node, life))

    def _run_files(self, node: Node, life: int) -> None:
        if node.epoch != life:
            return
        for number, path in enumerate(self.configuration.language.scripts, 1):
            node.receive(RunFile(MAIN_SESSION, number, path))

    @property
    def at_rest(self) -> bool:
        """Whether none of its scripts is under way."""
        node = self._world.nodes.get(self.scripts_node)
        machine = None if node is None else node.machine
        return not isinstance(machine, PacedScripts) or machine.at_rest

    def _machines(self) -> Machines | None:
        """What scripts may look at."""
        nodes, true_ns = self._world.nodes, self._world.calendar.now
        scheduler, controller, local = nodes[self.node], nodes[CONTROLLER], nodes[self.local]
        if not isinstance(scheduler.machine, Scheduler) or not isinstance(controller.machine, Controller):
            return None
        agent = local.machine if isinstance(local.machine, Agent) else None
        return Machines(
            scheduler.machine, controller.machine, agent, scheduler.clock.read(true_ns), local.clock.read(true_ns)
        )

    # what its scheduler asks for

    def ask_source(self, node: Node, effect: AskSource) -> None:
        """Carry out an AskSource."""
        life = node.epoch
        self._world.calendar.call_after(0, REPLY, lambda: self._answer_source(node, life, effect))

    def _answer_source(self, node: Node, life: int, effect: AskSource) -> None:
        if node.epoch != life:
            return
        stream = self._streams.get(effect.task)
        if stream is None:
            stream = self._streams[effect.task] = stream_of(self.weather.of(effect.task))
        now = self._world.calendar.now
        node.receive(SourceAnswered(effect.task, effect.number, stream.arrived(now), quiet_ns=stream.quiet_ns(now)))

    def to_scripts(self, node: Node, effect: Prepare | React | object) -> None:
        """Carry out a Prepare, a React, or an answer to its scripts."""
        world = self._world
        if self.driver is not None:
            world.calendar.call_after(0, REPLY, lambda: world.nodes[self.scripts_node].receive(effect))
            return
        refusal = "this simulation runs no scripts"
        answer: Prepared | Reacted
        if isinstance(effect, Prepare):
            answer = Prepared(effect.task, effect.number, Skip(refusal), refusal)
        elif isinstance(effect, React):
            answer = Reacted(effect.job, effect.attempt, NO_REACTION, refusal)
        else:
            return
        world.calendar.call_after(0, REPLY, lambda: node.receive(answer))


def terms_of(sharer: Sharer, controller: Configuration) -> Terms:
    """On what terms it uses the controller of this configuration."""
    return sharer.terms or controller.cluster.terms_of(sharer.name)


class WeatherBelow:
    """The weather of jobs by their numbers below the controller, of whichever scheduler they are."""

    def __init__(self, sides: tuple[SchedulerSide, ...]) -> None:
        self._by_name = {side.name: side.weather for side in sides}
        self._by_number: dict[int, Weather] = {}
        self.table: dict[type, Callable[[Any], None]] = {SuperiorKnown: self._known}
        """for `EventLog`: what it wants to read"""

    def _known(self, line: Committed) -> None:
        record: SuperiorKnown = line.record  # type: ignore[assignment]
        self._by_number[record.number] = self._by_name[record.name]

    def fate(self, task: str, job: JobId, attempt: int) -> Fate | None:
        """As `Weather.fate`."""
        return self._by_number[superior_of(job)].fate(task, JobId(own_number(job)), attempt)

    def visible_at(self, job: JobId, path: str, ended_ns: int | None) -> int:
        """As `Weather.visible_at`."""
        return self._by_number[superior_of(job)].visible_at(JobId(own_number(job)), path, ended_ns)
