"""Load a scenario: what happens to a pipeline in a simulated world, and what must come out.

A scenario names its pipeline (`pipeline: file`, relative to itself); a pipeline without a scenario gets the default
world. All errors come out together, each at its place. Called by `shell.simulate` and by the live scenario tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec import structs

from model.configuration import Configuration
from model.errors import ConfigurationError
from model.job import SECOND, Outcome
from model.windows import shown_first
from shell.config.changes import load_changed
from shell.config.problems import InvalidConfiguration, KeyPath, Problem
from shell.config.reading import Document, is_script, parse_file, parse_text
from shell.config.scenario_faults import HINT, Known, parse_fault
from shell.config.scenario_plans import PlanError, PlanMaker, parse_groups, plans_of_prefab
from shell.config.scenario_sections import ItemsSection, ScenarioSection, TaskSection
from shell.config.scenario_sharing import Pipelines, load_pipelines
from shell.config.scenario_values import parse_comparison, positive
from shell.config.validation import validate
from shell.config.window_text import parse_zone
from shell.expectations import parse_expectation
from shell.hostset import expand
from shell.wording import nearest
from shell.worlds import is_world, read_world
from sim.distributions import Distribution
from sim.scenario import (
    Arrivals,
    Expectation,
    Fault,
    FaultPlan,
    Host,
    Items,
    Network,
    Plan,
    Scenario,
    Sharer,
    ShellStub,
    TaskWeather,
    Wanted,
)

COUNTS = ("made", "final", "open", "attempts", "retries")
"""What may be expected besides outcomes."""
START = datetime(2026, 1, 1, tzinfo=UTC)
KEYS_HINT = "the keys and their meaning: laulima docs scenario"


@dataclass(frozen=True)
class LoadedScenario:
    """A pipeline and the world in which it is to be simulated. `warnings` are formatted."""

    configuration: Configuration
    scenario: Scenario
    start: datetime
    warnings: tuple[str, ...] = ()
    path: Path | None = None
    """the scenario's file; None: the default world"""
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """the hosts of each group"""

    @property
    def known(self) -> Known:
        """What faults may name."""
        return Known.of(self.configuration, self.groups, tuple(sharer.name for sharer in self.scenario.schedulers))

    @property
    def pipelines(self) -> dict[str, Configuration]:
        """The configuration of each scheduler, by its name; one that is alone has none."""
        shared = {sharer.name: sharer.configuration for sharer in self.scenario.schedulers}
        return shared or {"": self.configuration}

    @property
    def task_names(self) -> list[str]:
        """All tasks, as they are called in figures."""
        shared = self.scenario.schedulers
        named = [sharer.task_of(task.name) for sharer in shared for task in sharer.configuration.tasks]
        return named if shared else [task.name for task in self.configuration.tasks]

    @property
    def weather(self) -> dict[str, TaskWeather]:
        """What jobs do, by the tasks' names in figures."""
        shared = self.scenario.schedulers
        named = {sharer.task_of(name): each for sharer in shared for name, each in sharer.tasks.items()}
        return named if shared else self.scenario.tasks


def _is_scenario(data: Mapping[str, Any]) -> bool:
    """A scenario that forgot its pipeline is told so; taken for a pipeline, all of its keys would be wrong."""
    of_scenarios = {"for", "faults", "plans", "expect", "start", "schedulers"}
    return not {"cluster", "scripts"} & data.keys() and bool(of_scenarios & data.keys())


def names_pipeline(file: Path) -> bool:
    """Whether it is a scenario that may be used for another pipeline, too."""
    return not is_script(file) and "pipeline" in parse_file(file).data


def load_rehearsal(file: Path, scenario: Path | None = None, changes: tuple[str, ...] = ()) -> LoadedScenario:
    """`file` is a pipeline, or a scenario that names one; `scenario` is a scenario for the pipeline `file`; `changes`
    are keys of the pipeline with other values (`changes.py`).

    Raises `InvalidConfiguration` with every error of the file that is wrong.
    """
    if scenario is not None:
        return _load(parse_file(scenario), scenario, file, changes)
    if not is_script(file):
        document = parse_file(file)
        if "pipeline" in document.data or _is_scenario(document.data):
            return _load(document, file, None, changes)
        if is_world(document.data):
            if changes:
                raise ConfigurationError(
                    f"{file} is a world that --shrink (or torture) has written: it has no keys for --set or --sweep",
                    "change that file itself, or the pipeline and scenario of which it was made",
                )
            written = read_world(file)
            start = datetime.fromtimestamp(written.scenario.start_wall_ns // SECOND, UTC)
            return LoadedScenario(written.configuration, written.scenario, start, path=file)
    changed = load_changed(file, changes)
    loaded = changed.loaded
    world = Scenario(start_wall_ns=_wall_ns(START), digest="default", orders=changed.orders)
    return LoadedScenario(loaded.configuration, world, START, loaded.warnings)


def load_scenario_text(text: str, path: Path, pipeline: Path | None = None) -> LoadedScenario:
    """Load a scenario's text as if it stood in the file `path`."""
    return _load(parse_text(text, str(path)), path, pipeline)


def with_faults(loaded: LoadedScenario, lines: tuple[str, ...]) -> LoadedScenario:
    """The same with more faults (`--fail`). Raises `ConfigurationError`."""
    scenario = loaded.scenario
    found: list[Fault | FaultPlan] = []
    for line in lines:
        try:
            found += parse_fault(line, loaded.start, loaded.known)
        except ValueError as error:
            raise ConfigurationError(f"--fail '{line}': {error}", HINT) from error
    faults, plans = _sorted_out(found)
    more = _changed(scenario, faults=(*scenario.faults, *faults), plans=(*scenario.plans, *plans))
    return replace(loaded, scenario=more)


def with_prefab(loaded: LoadedScenario, text: str) -> LoadedScenario:
    """The same with this prefab's faults instead of its own (`--faults`). Raises `ConfigurationError`."""
    try:
        plans = plans_of_prefab(text, loaded.known, loaded.start)
    except PlanError as error:
        raise ConfigurationError(f"--faults '{text}': {error}", "what they are: laulima docs faults") from error
    return replace(loaded, scenario=_changed(loaded.scenario, faults=(), plans=plans))


def _sorted_out(found: list[Fault | FaultPlan]) -> tuple[tuple[Fault, ...], tuple[FaultPlan, ...]]:
    faults = tuple(one for one in found if isinstance(one, Fault))
    return faults, tuple(one for one in found if isinstance(one, FaultPlan))


def _changed(scenario: Scenario, **changes: Any) -> Scenario:
    fields = {name: getattr(scenario, name) for name in scenario.__struct_fields__}
    return Scenario(**{**fields, **changes})


def with_settings(loaded: LoadedScenario, seed: int | None, for_ns: int | None) -> LoadedScenario:
    """The same with another seed or length."""
    changes: dict[str, Any] = {}
    if seed is not None:
        changes["seed"] = seed
    if for_ns is not None:
        changes["for_ns"] = for_ns
    return replace(loaded, scenario=_changed(loaded.scenario, **changes))


def _load(document: Document, path: Path, pipeline: Path | None, changes: tuple[str, ...] = ()) -> LoadedScenario:
    sections, problems = validate(document, ScenarioSection)
    problems = [*document.problems, *problems]
    if sections is None or problems:
        raise InvalidConfiguration(document.name, problems, document.lines, KEYS_HINT)
    found = load_pipelines(document, sections, path.parent, pipeline, changes)
    maker = _Maker(document, sections, found, path.parent)
    scenario = _changed(maker.make(), orders=found.orders)
    if maker.problems:
        raise InvalidConfiguration(document.name, maker.problems, document.lines, KEYS_HINT)
    warnings = (*found.warnings, *maker.warnings)
    return LoadedScenario(found.configuration, scenario, maker.start, warnings, path, maker.groups)


class _Maker:
    """Converts the sections, and checks them against the pipeline."""

    def __init__(self, document: Document, sections: ScenarioSection, found: Pipelines, directory: Path) -> None:
        self.problems: list[Problem] = []
        self.warnings: list[str] = []
        self.groups: dict[str, tuple[str, ...]] = {}
        self.start = START
        self._directory = directory
        self._document = document
        self._sections = sections
        configuration = self._configuration = found.configuration
        self._sharers = found.sharers
        self._tasks = found.task_names
        """as the scenario calls them where it speaks of all"""
        self._complete = found.complete
        self._hosts = [*(host.name for host in configuration.cluster.hosts), *configuration.language.hosts]

    def make(self) -> Scenario:
        """The scenario; what is wrong is in `problems`."""
        sections = self._sections
        self.start = self._start()
        self.groups = self._make_groups()
        faults, share_plans = self._make_faults()
        network = sections.network
        return Scenario(
            seed=sections.seed,
            start_wall_ns=_wall_ns(self.start),
            for_ns=sections.length,
            network=Network(network.latency, network.jitter, network.controller, network.loss, network.doubling),
            hosts=self._make_hosts(),
            tasks={} if self._sharers else self._make_tasks(("tasks",), sections.tasks, self._tasks),
            schedulers=self._make_schedulers(),
            commands=tuple(
                ShellStub(
                    pattern, stub.output, stub.status, _as_distribution(stub.takes), stub.failing, stub.failing_status
                )
                for pattern, stub in sections.commands.items()
            ),
            files=dict(sections.files),
            faults=faults,
            plans=(*share_plans, *self._make_plans()),
            expect=self._make_expectations(),
            wanted=self._make_wanted(),
            title=sections.title,
            digest=self._document.digest,
        )

    def _wrong(self, path: KeyPath, message: str, *, key: bool = False) -> None:
        self.problems.append(self._document.problem(path, message, key=key))

    def _start(self) -> datetime:
        try:
            zone = parse_zone(self._sections.zone)
        except ValueError as error:
            self._wrong(("zone",), str(error))
            zone = UTC
        try:
            moment = datetime.fromisoformat(self._sections.start)
        except ValueError:
            self._wrong(("start",), f"expects a date and time such as 2026-11-24T18:00, not {self._sections.start}")
            return START
        return moment if moment.tzinfo is not None else shown_first(moment.replace(tzinfo=zone))

    def _make_hosts(self) -> dict[str, Host]:
        made: dict[str, Host] = {}
        known = [*self._hosts, *self._known().owners]
        for text, section in self._sections.hosts.items():
            try:
                names = (text,) if "/" in text else expand(text)
            except ConfigurationError as error:
                self._wrong(("hosts", text), str(error), key=True)
                continue
            for name in names:
                if name not in known and self._complete:
                    self._wrong(("hosts", text), f"the pipeline has no host {name}{nearest(name, known)}", key=True)
                made[name] = Host(
                    section.latency, section.jitter, round(section.drift * 1000), section.processes, section.speed
                )
        return made

    def _make_tasks(self, at: KeyPath, sections: Mapping[str, TaskSection], known: list[str]) -> dict[str, TaskWeather]:
        made: dict[str, TaskWeather] = {}
        for name, section in sections.items():
            if name not in known and self._complete:
                self._wrong((*at, name), f"the pipeline has no task {name}{nearest(name, known)}", key=True)
            made[name] = self._weather((*at, name), section)
        return made

    def _make_schedulers(self) -> tuple[Sharer, ...]:
        """With the weather of their tasks: what the scenario says for all, and what it says for each."""
        own = {sharer.name: [task.name for task in sharer.configuration.tasks] for sharer in self._sharers}
        every = list(dict.fromkeys(task for tasks in own.values() for task in tasks))
        usual = self._make_tasks(("tasks",), self._sections.tasks, every) if self._sharers else {}
        made = {sharer.name: sharer for sharer in self._sharers}
        for text, section in self._sections.schedulers.items():
            for name in expand(text):
                weather = self._make_tasks(("schedulers", text, "tasks"), section.tasks, own[name])
                known = {task: each for task, each in usual.items() if task in own[name] or not self._complete}
                made[name] = structs.replace(made[name], tasks={**known, **weather})
        if not self._sections.schedulers:
            made = {name: structs.replace(sharer, tasks=usual) for name, sharer in made.items()}
        return tuple(made.values())

    def _known(self, groups: Mapping[str, tuple[str, ...]] | None = None) -> Known:
        """What faults may name."""
        return Known.of(self._configuration, groups, tuple(sharer.name for sharer in self._sharers))

    def _weather(self, path: KeyPath, section: TaskSection) -> TaskWeather:
        items = section.items
        listed = section.exit if isinstance(section.exit, tuple) else ()
        if isinstance(section.exit, tuple) and not listed:
            self._wrong((*path, "exit"), "expects at least one exit code")
        in_order = tuple(code for text in listed for code, _ in self._exits((*path, "exit"), text))
        return TaskWeather(
            run=_as_distribution(section.run),
            exits=((0, 1.0),) if isinstance(section.exit, tuple) else self._exits((*path, "exit"), section.exit),
            exits_in_order=in_order,
            crashes=self._crashes((*path, "crash"), section.crash),
            out_of_memory=section.out_of_memory,
            never_ends=section.never_ends,
            ignores_term=section.ignores_term,
            not_found=section.not_found,
            stdout_bytes=_as_distribution(section.stdout),
            stderr_bytes=_as_distribution(section.stderr),
            stdout_texts=section.prints,
            stderr_texts=section.complains,
            before=_as_distribution(section.before),
            after=_as_distribution(section.after),
            never_visible=section.never_visible,
            items=_items(items),
            arrivals=Arrivals(()) if items == () else None,  # a list without a name: none ever comes
        )

    def _exits(self, path: KeyPath, value: dict[str, str] | str) -> tuple[tuple[int, float], ...]:
        weights = {value: "1"} if isinstance(value, str) else value
        exits: list[tuple[int, float]] = []
        for text, weight in weights.items():
            if not text.isdecimal() or int(text) > 255:
                self._wrong(path, f"expects an exit code from 0 to 255, not {text}")
                continue
            try:
                exits.append((int(text), positive(weight)))
            except ValueError as error:
                self._wrong((*path, text), str(error))
        return tuple(exits) or ((0, 1.0),)

    def _crashes(self, path: KeyPath, value: dict[str, float]) -> tuple[tuple[int, float], ...]:
        crashes: list[tuple[int, float]] = []
        for text, chance in value.items():
            number = SIGNALS.get(text.upper().removeprefix("SIG"), int(text) if text.isdecimal() else 0)
            if not 0 < number < 65:
                guess = nearest(text.upper().removeprefix("SIG"), list(SIGNALS))
                self._wrong((*path, text), f"{text} is no signal{guess}", key=True)
            crashes.append((number, chance))
        return tuple(crashes)

    def _make_groups(self) -> dict[str, tuple[str, ...]]:
        try:
            return parse_groups(self._sections.groups, self._known())
        except PlanError as error:
            self._wrong(("groups", error.key), str(error), key=True)
            return {}

    def _make_faults(self) -> tuple[tuple[Fault, ...], tuple[FaultPlan, ...]]:
        found: list[Fault | FaultPlan] = []
        for at, line in enumerate(self._sections.faults):
            try:
                found += parse_fault(line, self.start, self._known(self.groups))
            except (ValueError, ConfigurationError) as error:
                self._wrong(("faults", at), f"{error}")
        return _sorted_out(found)

    def _make_plans(self) -> list[Plan]:
        maker = PlanMaker(self._known(self.groups), self.start, self._directory)
        plans: list[Plan] = []
        for at, section in enumerate(self._sections.plans):
            path: KeyPath = ("plans", at)
            try:
                plans += maker.make(section)
            except PlanError as error:
                self._wrong((*path, error.key) if error.key else path, str(error))
            except ConfigurationError as error:
                hint = f" ({error.hint})" if error.hint else ""
                self._wrong((*path, "trace"), f"{error}{hint}")
        self.warnings += maker.warnings
        return plans

    def _make_wanted(self) -> tuple[Wanted, ...]:
        lines, schedulers = self._sections.expect, [sharer.name for sharer in self._sharers]
        wanted: list[Wanted] = []
        for at, line in enumerate(lines if isinstance(lines, tuple) else ()):
            try:
                tasks, hosts = (self._tasks, self._hosts) if self._complete else (None, None)
                wanted.append(parse_expectation(line, tasks, hosts, schedulers))
            except ValueError as error:
                self._wrong(("expect", at), str(error))
        return tuple(wanted)

    def _make_expectations(self) -> tuple[Expectation, ...]:
        expectations: list[Expectation] = []
        expected = self._sections.expect
        for task, counts in (expected if isinstance(expected, dict) else {}).items():
            if task not in ("*", *self._tasks) and self._complete:
                guess = nearest(task, self._tasks)
                self._wrong(("expect", task), f"the pipeline has no task {task}{guess}", key=True)
            for outcome, text in counts.items():
                path = ("expect", task, outcome)
                if not _is_countable(outcome):
                    known = [name.name for name in Outcome]
                    guess = nearest(outcome, [*known, *COUNTS])
                    known_counts = ", ".join(COUNTS)
                    self._wrong(path, f"{outcome} is neither an outcome nor one of {known_counts}{guess}", key=True)
                try:
                    comparison, count = parse_comparison(text)
                except ValueError as error:
                    self._wrong(path, str(error))
                    continue
                expectations.append(Expectation(task, outcome, comparison, count))
        return tuple(expectations)


SIGNALS = {
    "HUP": 1, "INT": 2, "QUIT": 3, "ILL": 4, "TRAP": 5, "ABRT": 6, "BUS": 7, "FPE": 8, "KILL": 9, "USR1": 10,
    "SEGV": 11, "USR2": 12, "PIPE": 13, "ALRM": 14, "TERM": 15, "XCPU": 24, "XFSZ": 25, "SYS": 31,
}  # fmt: skip
"""By their numbers on Linux: a scenario means the same on every machine."""


def _is_countable(outcome: str) -> bool:
    word, _, code = outcome.partition(" ")
    if word == "exit":
        return code.isdecimal() and int(code) < 256
    return outcome in COUNTS or (outcome in Outcome.__members__ and outcome != Outcome.EXITED.name)


def _items(section: ItemsSection | tuple[str, ...] | None) -> Items | None:
    if section is None:
        return None
    if isinstance(section, tuple):
        return Items(names=section, every_ns=0)
    return Items(section.names, section.pattern, section.first, section.every, section.burst, section.count)


def _as_distribution(value: object) -> Distribution:
    assert isinstance(value, Distribution)
    return value


def _wall_ns(moment: datetime) -> int:
    return int(moment.timestamp()) * SECOND
