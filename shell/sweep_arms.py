"""What `--sweep` varies, and how each value becomes a world: the load, hosts that are down, a policy, any key.

Where several schedulers use one controller, load and policies are those of all of them, or of some. Called by
`shell/sweeping.py`, whose head has the forms.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace as copied

from msgspec import Struct
from msgspec.structs import replace

from model.configuration import Configuration
from model.errors import ConfigurationError
from model.job import LOCAL, HostPolicy, Wait
from model.task import DoneSource, TaskDefinition
from shell.config.scenario import LoadedScenario
from shell.hostset import expand
from shell.many_worlds import Many, run_arms
from shell.prepared import Prepared, prepare
from shell.wording import count, nearest
from sim.distributions import Constant
from sim.scenario import Fault, FaultPlan, Items, Kind, Scenario, Sharer, TaskWeather, Unit

LOAD, DOWN, WHEN_DOWN = "load", "down", "when_down"
OFFERED = "offered_load"
POINTS, POINTS_MAX = 8, 200
"""Values of a range that does not say how many."""
LOAD_MAX = 100.0
POLICIES = ("wait", "fail", "{try: 3}", "elsewhere")
HINT = "as in --sweep load=0.5..1.2, --sweep down=0%..50%, --sweep when_down, --sweep tasks.warp.limits.in_flight=1..8"
_RANGE = re.compile(r"([0-9]+(?:\.[0-9]+)?)([a-z%]*)\.\.([0-9]+(?:\.[0-9]+)?)([a-z%]*)(?::([0-9]{1,4}))?")
_OF_SCHEDULERS = re.compile(r"schedulers\.([^.]+)\.(load|when_down)")
_TRY = re.compile(r"\{?\s*try:?\s*([1-9][0-9]{0,3})\s*\}?")


class Varied(Struct, frozen=True):
    """What is varied, and its values. `places`: on an axis; empty: the values have no order. `note`: of values that
    were left out."""

    what: str
    values: tuple[str, ...]
    places: tuple[float, ...] = ()
    note: str = ""

    @property
    def kind(self) -> str:
        """`what`, whichever schedulers it is of."""
        return kind_of(self.what)

    @property
    def owners(self) -> str:
        """The schedulers whose it is: a name or a set of them; empty: all of them."""
        match = _OF_SCHEDULERS.fullmatch(self.what)
        return match[1] if match is not None else ""


def kind_of(what: str) -> str:
    """`schedulers.north.load` is `load`."""
    match = _OF_SCHEDULERS.fullmatch(what)
    return match[2] if match is not None else what


class ArmOf(Struct, frozen=True):
    """One value, and its world. `by_command`: its own command says all of it."""

    value: str
    at: float | None
    prepared: Prepared
    by_command: bool


def parse_sweep(text: str) -> Varied:
    """Raises `ConfigurationError`."""
    what, equals, rest = (part.strip() for part in text.partition("="))
    if kind_of(what) == WHEN_DOWN and not rest:
        return Varied(what, POLICIES)
    if not what or not equals or not rest:
        raise ConfigurationError(f"--sweep {text}: expects what is varied, and its values", HINT)
    match = _RANGE.fullmatch(rest)
    if match is not None:
        return _range(what, text, match)
    values = tuple(dict.fromkeys(_split(rest)))
    if len(values) < 2:
        raise ConfigurationError(f"--sweep {text}: expects at least two values, or a range", HINT)
    places = [_place(value) for value in values]
    known = [place for place in places if place is not None]
    same_unit = len({value.lstrip("0123456789.") for value in values}) == 1
    return Varied(what, values, tuple(known) if same_unit and len(known) == len(values) else ())


def _place(value: str) -> float | None:
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)[a-z%]*", value)
    return None if match is None else float(match[1])


def _range(what: str, text: str, match: re.Match[str]) -> Varied:
    low, high, unit = float(match[1]), float(match[3]), match[4] or match[2]
    if (match[2] and match[2] != unit) or low >= high:
        raise ConfigurationError(f"--sweep {text}: expects a range from low to high, with one unit", HINT)
    number = int(match[5]) if match[5] else POINTS
    if not 2 <= number <= POINTS_MAX:
        raise ConfigurationError(f"--sweep {text}: expects 2 to {POINTS_MAX} values", HINT)
    places = [low + (high - low) * at / (number - 1) for at in range(number)]
    if "." not in match[1] + match[3] and kind_of(what) not in (LOAD, DOWN):
        places = [*map(float, dict.fromkeys(round(place) for place in places))]
    places = [float(f"{place:.3g}") for place in places]
    return Varied(what, tuple(f"{place:g}{unit}" for place in places), tuple(places))


def _split(text: str) -> list[str]:
    """At commas that are in no brackets and no quotes."""
    parts, depth, quote = [""], 0, ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        else:
            depth += (letter in "[{") - (letter in "]}")
        if letter == "," and not depth and not quote:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts if part.strip()]


def possible(varied: Varied, prepared: Prepared) -> Varied:
    """Without the values that make the same world as another one. Raises `ConfigurationError`."""
    return _numbers_down(varied, len(prepared.loaded.configuration.cluster.hosts)) if varied.kind == DOWN else varied


def arms_of(varied: Varied, prepared: Prepared, many: Many) -> list[ArmOf]:
    """A world for each value. Raises `ConfigurationError` for a value that cannot be."""
    make = {LOAD: _loads, DOWN: _downs, WHEN_DOWN: _policies}.get(varied.kind, _keys)
    worlds = make(varied, prepared, many)
    places: tuple[float | None, ...] = varied.places or (None,) * len(varied.values)
    by_command = make is _keys
    return [ArmOf(value, at, world, by_command) for value, at, world in zip(varied.values, places, worlds, strict=True)]


def _names(varied: Varied, prepared: Prepared) -> tuple[str, ...]:
    """The schedulers that it is about; one that is alone has no name. Raises `ConfigurationError`."""
    every = tuple(prepared.loaded.pipelines)
    if not varied.owners:
        return every
    if every == ("",):
        hint = f"without its name: --sweep {varied.kind}"
        raise ConfigurationError(f"--sweep {varied.what}: there is one scheduler only", hint)
    names = expand(varied.owners)
    for name in names:
        if name not in every:
            raise ConfigurationError(
                f"--sweep {varied.what}: there is no scheduler {name}{nearest(name, every)}",
                f"known: {', '.join(every)}",
            )
    return names


def _keys(varied: Varied, prepared: Prepared, _: Many) -> list[Prepared]:
    asked = prepared.asked
    return [
        prepare(replace(asked, changes=(*asked.changes, f"{varied.what}={value}"))) for value in varied.values
    ]  # fmt: skip


# the load


def _loads(varied: Varied, prepared: Prepared, many: Many) -> list[Prepared]:
    """Offered load is proportional to the rate at which jobs come: one world as it is says the factor."""
    if not all(0.0 < place <= LOAD_MAX for place in varied.places) or not varied.places:
        raise ConfigurationError(f"--sweep {LOAD}: expects loads above 0, such as 0.5..1.2 (1: all slots busy)", HINT)
    unit = 100.0 if varied.values[0].endswith("%") else 1.0
    names, first = _names(varied, prepared), copied_many(many)
    figures = [f"schedulers.{name}.{OFFERED}" for name in names] if varied.owners else [OFFERED]
    ((world,),) = run_arms([prepared], first, figures)
    loads = [world.figures.get(figure) for figure in figures]
    load = sum(found for found in loads if found is not None)
    if not load or None in loads:
        whose = f"scheduler {varied.owners}" if varied.owners else "this pipeline"
        raise ConfigurationError(
            f"the offered load of {whose} is not known (seed {world.seed}): no job ended by itself, or hosts are "
            "missing",
            "rehearse it as it is first, longer: laulima sim FILE --for 2d",
        )
    return [with_load(prepared, place / unit / load, names) for place in varied.places]


def copied_many(many: Many) -> Many:
    """The first seed only, and nothing of it kept."""
    return replace(many, text=str(many.seeds[0]), jobs=1, until=False, checkpoint=None)


def with_load(prepared: Prepared, factor: float, names: Sequence[str] = ("",)) -> Prepared:
    """Jobs of these schedulers come `factor` times as often, those of a job log that one of them gets as well."""
    loaded, replay = prepared.loaded, prepared.asked.replay
    configuration, scenario = loaded.configuration, loaded.scenario
    if scenario.schedulers:
        scenario = replace(scenario, schedulers=tuple(
            _busier(sharer, factor) if sharer.name in names else sharer for sharer in scenario.schedulers
        ))  # fmt: skip
    else:
        tasks, weather = _more_jobs(configuration.tasks, scenario.tasks, factor)
        configuration, scenario = replace(configuration, tasks=tasks), replace(scenario, tasks=weather)
    if prepared.asked.file is None:  # a job log alone: all of it, however long it takes
        scenario = replace(scenario, for_ns=round(scenario.for_ns * max(1.0, 1.0 / factor)))
    paced = replay is not None and replay.scheduler in names
    return copied(
        prepared,
        loaded=copied(loaded, configuration=configuration, scenario=scenario),
        pace=prepared.pace * factor if paced else prepared.pace,
    )


def _busier(sharer: Sharer, factor: float) -> Sharer:
    tasks, weather = _more_jobs(sharer.configuration.tasks, sharer.tasks, factor)
    return replace(sharer, configuration=replace(sharer.configuration, tasks=tasks), tasks=weather)


def _more_jobs(
    definitions: Sequence[TaskDefinition], weather: Mapping[str, TaskWeather], factor: float
) -> tuple[tuple[TaskDefinition, ...], dict[str, TaskWeather]]:
    """The tasks of a pipeline, and what its jobs do."""
    tasks = tuple(_faster(task, factor) for task in definitions)
    found = {task.name: weather.get(task.name, TaskWeather()) for task in tasks if _has_items(task)}
    return tasks, {**weather, **{name: _more_items(each, factor) for name, each in found.items()}}


def _faster(task: TaskDefinition, factor: float) -> TaskDefinition:
    """A task that is polled for jobs; one with a source has as many as there are items."""
    if task.source is not None:
        return task
    periods = task.periods
    return replace(task, periods=replace(periods, exec_ns=max(1, round(periods.exec_ns / factor))))


def _has_items(task: TaskDefinition) -> bool:
    """Of its own: those of other tasks come as these finish."""
    return task.source is not None and not isinstance(task.source, DoneSource)


def _more_items(weather: TaskWeather, factor: float) -> TaskWeather:
    items = weather.items or Items()
    if not items.every_ns:
        return weather
    return replace(weather, items=replace(items, every_ns=max(1, round(items.every_ns / factor))))


# hosts that are down


def _numbers_down(varied: Varied, hosts: int) -> Varied:
    """As many hosts as the shares come to, each number once, by the share that it is: of four hosts 10 % are none."""
    if not varied.places or any(place > 100.0 for place in varied.places) or varied.values[0][-1] != "%":
        raise ConfigurationError(f"--sweep {DOWN}: expects shares of the hosts, such as 0%..50%", HINT)
    if not hosts:
        raise ConfigurationError(f"--sweep {DOWN}: the pipeline has no hosts", HINT)
    numbers = sorted(dict.fromkeys(int(place / 100.0 * hosts + 0.5) for place in varied.places))
    if len(numbers) == 1:
        raise ConfigurationError(
            f"--sweep {DOWN}: all these shares of {count(hosts, 'host')} are {numbers[0]}", f"larger ones, {HINT}"
        )
    shares = tuple(100.0 * number / hosts for number in numbers)
    left_out = len(varied.places) - len(numbers)
    note = ""
    if left_out:
        of_hosts = ", ".join(map(str, numbers))
        note = (
            f"of {count(hosts, 'host')} these {len(varied.places)} shares are only {of_hosts}: "
            f"{count(left_out, 'value')} left out, the others stand as the share that they are"
        )
    return Varied(varied.what, tuple(f"{share:.3g}%" for share in shares), shares, note)


def _downs(varied: Varied, prepared: Prepared, _: Many) -> list[Prepared]:
    hosts = prepared.loaded.configuration.cluster.hosts
    unit = Unit("share", tuple((host.name,) for host in hosts))
    fault = Fault(Kind.DOWN)

    def of(share: float) -> Prepared:
        if not share:
            return prepared
        plan = FaultPlan("down for good", fault, (unit,), first=Constant(0), share=share)
        return _changed(prepared, scenario=lambda world: replace(world, plans=(*world.plans, plan)))

    return [of(place / 100.0) for place in varied.places]


# policies


def _policies(varied: Varied, prepared: Prepared, _: Many) -> list[Prepared]:
    names, pipelines = _names(varied, prepared), prepared.loaded.pipelines
    if not any(_requires_a_host(task) for name in names for task in pipelines[name].tasks):
        raise ConfigurationError(
            f"--sweep {varied.what}: no task of this pipeline requires a host",
            "a task does so with host: {name: node3, required: true}",
        )
    return [_with_policy(prepared, _policy(value), names) for value in varied.values]


def _requires_a_host(task: TaskDefinition) -> bool:
    return task.host.required and task.host.name not in (None, LOCAL)


def _policy(value: str) -> HostPolicy:
    tries = _TRY.fullmatch(value)
    if tries is not None:
        return HostPolicy(Wait.TRY, int(tries[1]))
    if value not in ("wait", "fail", "elsewhere"):
        raise ConfigurationError(f"--sweep {WHEN_DOWN}: {value} is no policy", f"known: {', '.join(POLICIES)}")
    return HostPolicy(Wait(value))


def _with_policy(prepared: Prepared, policy: HostPolicy, names: Sequence[str]) -> Prepared:
    """Tasks of these schedulers that require a host have this policy for one that is down."""

    def change(configuration: Configuration) -> Configuration:
        tasks = tuple(
            replace(task, host=replace(task.host, when_down=policy)) if _requires_a_host(task) else task
            for task in configuration.tasks
        )
        return replace(configuration, tasks=tasks)

    if not prepared.loaded.scenario.schedulers:
        return _changed(prepared, configuration=change)
    sharers = tuple(
        replace(sharer, configuration=change(sharer.configuration)) if sharer.name in names else sharer
        for sharer in prepared.loaded.scenario.schedulers
    )
    return _changed(prepared, scenario=lambda world: replace(world, schedulers=sharers))


def _changed(
    prepared: Prepared,
    *,
    configuration: Callable[[Configuration], Configuration] = lambda it: it,
    scenario: Callable[[Scenario], Scenario] = lambda it: it,
) -> Prepared:
    loaded: LoadedScenario = prepared.loaded
    return copied(
        prepared,
        loaded=copied(
            loaded, configuration=configuration(loaded.configuration), scenario=scenario(loaded.scenario)
        ),
    )  # fmt: skip
