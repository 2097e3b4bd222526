"""What a rehearsal took for granted, in sentences: distributions, network, faults, and what is not modelled at all.

Called by `shell/report/page.py`.
"""

from __future__ import annotations

from shell.config.scenario import LoadedScenario
from shell.wording import count, measured, size
from sim.distributions import Choice, Constant, Distribution, Quantiles
from sim.fault_plans import mean_of, places_of
from sim.faults import MOMENTS
from sim.scenario import Counted, Plan, TaskWeather, TracePlan

TASKS_TOLD = 20
PLANS_TOLD = 20
VALUES_TOLD = 6
"""Of a distribution that has more of them, only median and mean are told."""
NOT_MODELLED = (
    "Not modelled: how jobs slow each other down, the bandwidth of network and disks, and what jobs do outside. A host "
    "is slow or full only where a fault says so."
)


def assumptions(loaded: LoadedScenario, *, open_loop: bool) -> list[str]:
    """The sentences. `open_loop`: jobs of a log are submitted at its times."""
    tasks = loaded.weather
    told = [f"{name}: {_weather(weather)}." for name, weather in list(tasks.items())[:TASKS_TOLD]]
    if len(tasks) > TASKS_TOLD:
        told.append(f"{count(len(tasks) - TASKS_TOLD, 'more task')} as the scenario says.")
    silent = [name for name in loaded.task_names if name not in tasks]
    if silent:
        usual = TaskWeather()
        names = ", ".join(silent[:TASKS_TOLD]) + (" …" if len(silent) > TASKS_TOLD else "")
        told.append(
            f"Nothing is said of {names}: their jobs {_weather(usual)}, and items of their sources come one a minute."
        )
    network = loaded.scenario.network
    loss = f", {100 * network.loss:.3g} % of messages lost" if network.loss else ""
    told.append(f"Network: {measured(network.latency_ns)} to a host, one way{loss}.")
    plans = loaded.scenario.plans
    told += [_plan(plan) for plan in plans[:PLANS_TOLD]]
    if len(plans) > PLANS_TOLD:
        told.append(f"{count(len(plans) - PLANS_TOLD, 'more plan')} of faults as the scenario says.")
    if open_loop:
        told.append(
            "Jobs of the log come at its times, whatever became of earlier ones (open loop): with hosts that are too "
            "slow the queue grows without bound, as no user reacts."
        )
    if loaded.task_names:
        told.append("Tasks poll as they do live, and their limits hold back what would be too much (closed loop).")
    return [*told, NOT_MODELLED]


def _plan(plan: Plan) -> str:
    """`Faults grid5000: down at 4 places, each by itself, quantiles, … from one to the next, each for …`."""
    places = count(len(places_of(plan)), "place")
    begin = f"Faults {plan.name}: {plan.fault.kind.value} at {places}"
    if isinstance(plan, TracePlan):
        return f"{begin}, when the trace says so."
    how = "each by itself"
    if plan.share < 1.0:
        how = f"{100 * plan.share:.3g} % of them, drawn each time"
    elif any(len(unit.nodes) > 1 for unit in plan.units):
        how = f"in {count(len(plan.units), 'group')}, each of which fails as a whole"
    lasts = "to the end" if plan.lasts == Constant(0) else f"for {distribution_text(plan.lasts)}"
    if plan.fault.kind in MOMENTS:
        lasts = "for a moment"
    if plan.interval is None:
        return f"{begin}, {how}, once, {lasts}."
    where = "from the end of one to the next" if plan.counted is Counted.FROM_END else "from one to the next"
    return f"{begin}, {how}, {lasts}; {where} {distribution_text(plan.interval)}."


def _weather(weather: TaskWeather) -> str:
    parts = [f"run {distribution_text(weather.run)}"]
    exits = [code for code, _ in weather.exits]
    total = sum(weight for _, weight in weather.exits) or 1.0
    if weather.exits_in_order:
        parts.append(f"exit {', '.join(map(str, weather.exits_in_order))} in turn, the last for all later ones")
    elif exits == [0]:
        parts.append("exit 0")
    else:
        parts.append(", ".join(f"exit {code} in {100 * weight / total:.3g} %" for code, weight in weather.exits))
    parts += [f"ended by signal {number} in {100 * chance:.3g} %" for number, chance in weather.crashes]
    for chance, what in (
        (weather.out_of_memory, "out of memory"),
        (weather.never_ends, "never end"),
        (weather.never_visible, "lose their files"),
    ):
        if chance:
            parts.append(f"{what} in {100 * chance:.3g} %")
    if weather.not_found:
        parts.append("their command does not exist")
    return ", ".join(parts)


def distribution_text(found: Distribution, *, of_bytes: bool = False) -> str:
    """`lognormal, median 30 s, sigma 0.8`."""
    if isinstance(found, Constant):
        return _value(found.value, of_bytes)
    parts = []
    if isinstance(found, Choice | Quantiles) and len(found.values) > VALUES_TOLD:
        median, mean = _value(found.sample(0.5), of_bytes), _value(round(mean_of(found)), of_bytes)
        return f"{type(found).__name__.lower()} of {len(found.values)} values, median {median}, mean {mean}"
    for name in found.__struct_fields__:
        value = getattr(found, name)
        if isinstance(value, int):
            parts.append(f"{name} {_value(value, of_bytes)}")
        elif isinstance(value, tuple):
            each = [_value(one, of_bytes) if isinstance(one, int) else f"{one:g}" for one in value]
            parts.append(f"{name} {', '.join(each)}")
        else:
            parts.append(f"{name} {value:g}")
    return ", ".join([type(found).__name__.lower(), *parts])


def _value(value: int, of_bytes: bool) -> str:
    return size(value) if of_bytes else measured(value)
