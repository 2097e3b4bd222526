"""What a rehearsal is made of, loaded once: the pipeline, its world, faults and changes of the command line, a job log.

Called by `shell/simulate.py` (one world) and `shell/many_worlds.py` (a world for each seed, in processes: a `Prepared`
can be pickled).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace as replace_fields

from model.configuration import Configuration, ControllerKind
from model.errors import ConfigurationError
from model.scripting import Stream
from shell.config.scenario import LoadedScenario, load_rehearsal, with_faults, with_prefab, with_settings
from shell.config.script_file import has_scripts, read_script
from shell.durations import format_duration
from shell.replay import Replay, beside, feed, left_out, load, submitted_to, with_warnings
from shell.wording import duration, thousands
from sim.distributions import Constant
from sim.job_log import Survey
from sim.scenario import Fault, FaultPlan, Plan, Scenario
from sim.workload import Feed
from sim.world import Scripting

LATE_SHOWN = 3
"""Faults that never come: so many are named."""


class Asked(Struct, frozen=True):
    """What a person asks to be rehearsed. `file` None: the cluster is that of the job log that `replay` names, and the
    simulation ends with its last job."""

    file: Path | None
    for_ns: int | None = None
    fail: tuple[str, ...] = ()
    seed: int | None = None
    scenario: Path | None = None
    changes: tuple[str, ...] = ()
    """`--set`: keys of the pipeline's file with other values"""
    replay: Replay | None = None
    faults: str | None = None
    """a prefab instead of the scenario's faults"""
    warm_up_ns: int = 0
    """what ends earlier is not measured"""


class Output(Struct, frozen=True):
    """What is written beside the answer: a page with pictures, a folder of CSV files."""

    html: Path | None = None
    csv: Path | None = None

    @property
    def wanted(self) -> bool:
        """Whether anything is."""
        return self.html is not None or self.csv is not None


@dataclass(frozen=True)
class Prepared:
    """A world that can be simulated, any number of times."""

    asked: Asked
    loaded: LoadedScenario
    found: Survey | None = None
    pace: float = 1.0
    """the job log's submissions come so many times as fast"""

    def feed(self, seed: int | None = None) -> Feed | None:
        """The jobs of the log, for one simulation; `seed`: of another world."""
        if self.asked.replay is None or self.found is None:
            return None
        seed = self.loaded.scenario.seed if seed is None else seed
        return feed(self.found, self.asked.replay, seed, alone=self.asked.file is None, pace=self.pace)

    def of_seed(self, seed: int) -> Prepared:
        """The world of another seed."""
        return replace(self, loaded=with_settings(self.loaded, seed, None))

    def words(self, *, seed: int | None = None, seeds: str = "") -> list[str]:
        """The command that makes the same again; `seed`: the world of another seed; `seeds`: of all these."""
        asked, scenario = self.asked, self.loaded.scenario
        words = ["laulima", "sim"]
        if asked.file is not None:
            words.append(str(asked.file))
        if asked.file is not None or asked.for_ns is not None:
            words += ["--for", format_duration(scenario.for_ns)]
        words += ["--seeds", seeds] if seeds else ["--seed", str(scenario.seed if seed is None else seed)]
        if asked.scenario is not None:
            words += ["--scenario", str(asked.scenario)]
        if asked.faults is not None:
            words += ["--faults", asked.faults]
        for line in asked.fail:
            words += ["--fail", line]
        for change in asked.changes:
            words += ["--set", change]
        if asked.warm_up_ns:
            words += ["--warm-up", format_duration(asked.warm_up_ns)]
        return words + (asked.replay.words() if asked.replay is not None else [])


def prepare(asked: Asked) -> Prepared:
    """Load and check everything.

    Raises `ConfigurationError` when a file, a fault or a change is wrong.
    """
    replay, found = asked.replay, None
    if asked.file is None:
        assert replay is not None
        loaded, found = load(replay)
    else:
        loaded = load_rehearsal(asked.file, asked.scenario, asked.changes)
        if replay is not None:
            replay = submitted_to(replay, [sharer.name for sharer in loaded.scenario.schedulers])
            asked = replace_fields(asked, replay=replay)
            found = beside(replay, loaded)
            loaded = with_warnings(loaded, left_out(found))
    if loaded.configuration.controller.kind is ControllerKind.SOCKET:
        raise ConfigurationError(
            "the hosts of this pipeline are those of a shared controller, which a rehearsal does not know",
            "a scenario names its file: `controller: FILE`, and who else uses it: laulima docs scenario",
        )
    if asked.faults is not None:
        loaded = with_prefab(loaded, asked.faults)
    loaded = with_faults(with_settings(loaded, asked.seed, asked.for_ns), asked.fail)
    scenario = loaded.scenario
    _refuse_no_time(asked, scenario.for_ns)
    loaded = with_warnings(loaded, never_begin(scenario.faults, scenario.plans, scenario.for_ns))
    loaded = with_warnings(loaded, never_counted(loaded.configuration, scenario))
    return Prepared(asked, loaded, found)


def never_begin(faults: Sequence[Fault], plans: Sequence[Plan], for_ns: int) -> list[str]:
    """Warnings: single faults that would begin later than all is over. (`22:00` is the next one after the start.)"""
    late = [(fault.at_ns, fault.kind.value, fault.nodes) for fault in faults if fault.at_ns >= for_ns]
    for plan in plans:
        if isinstance(plan, FaultPlan) and plan.interval is None and isinstance(plan.first, Constant):
            at_ns = plan.from_ns + plan.first.value
            late += [(at_ns, plan.fault.kind.value, (unit.name,)) for unit in plan.units if at_ns >= for_ns]
    lines = [
        f"{' '.join(nodes)} {kind} never comes: it would begin {duration(at_ns)} after the start, and "
        f"{duration(for_ns)} are simulated"
        for at_ns, kind, nodes in late[:LATE_SHOWN]
    ]
    more = len(late) - LATE_SHOWN
    return [*lines, f"and {thousands(more)} more faults never come"] if more > 0 else lines


def never_counted(configuration: Configuration, scenario: Scenario) -> list[str]:
    """Expectations about alarms that are met whatever happens, for nothing is looked at. (Scripts may do more.)"""
    if scripted(configuration, scenario):
        return []
    sides = [sharer.configuration for sharer in scenario.schedulers] or [configuration]
    settings = [side.alarms for side in sides]
    rules = [channel.rules for one in settings for channel in one.channels]
    tasks = [task for side in sides for task in side.tasks]
    deadlines = any(task.deadline is not None for task in tasks)
    told = any(rule.kinds or rule.heartbeat_ns for rule in rules)
    why = {}
    if not deadlines:
        why["deadlines_missed"] = "no task has a `deadline`"
    if not told and not any(handler.notify for task in tasks for handler in task.handlers):
        why["notifications"] = "no notifier has `of` or `heartbeat`, and no handler tells one"
    if not told and not deadlines and not any(one.backlog for one in settings):
        why["alarms"] = "nothing is looked at without a notifier with `of`, a deadline or `alarms.backlog`"
    names = dict.fromkeys(one.figure for one in scenario.wanted)
    return [f"{name} is expected, and it is always 0: {why[name]}" for name in names if name in why]


def _refuse_no_time(asked: Asked, for_ns: int) -> None:
    """Where nothing would be simulated, or nothing measured of it."""
    if for_ns <= 0:
        raise ConfigurationError("0s is no time to simulate", "as in --for 24h, or `for: 24h` in a scenario")
    if asked.warm_up_ns >= for_ns:
        raise ConfigurationError(
            f"--warm-up {format_duration(asked.warm_up_ns)}: nothing would be measured of the "
            f"{format_duration(for_ns)} that are simulated",
            "a shorter one, or a longer --for",
        )


def scripted(configuration: Configuration, scenario: Scenario) -> bool:
    """Whether task scripts are run in this world."""
    return any(map(has_scripts, (configuration, *(sharer.configuration for sharer in scenario.schedulers))))


def scripting_of(configuration: Configuration, scenario: Scenario, *, quiet: bool) -> Scripting | None:
    """How the simulation runs task scripts; None: there are none. What they print goes where it goes live, unless
    `quiet`: then only their errors are shown."""
    if not scripted(configuration, scenario):
        return None
    from shell.language.machine import Scripts  # noqa: PLC0415 - only for pipelines with scripts

    def show(stream: Stream, text: str) -> None:
        if stream is Stream.ERROR:
            sys.stderr.write(text)
        elif not quiet:
            sys.stdout.write(text)

    return Scripting(Scripts, show, _read_file)


def _read_file(name: str) -> str | None:
    """A real file, for scripts that load it; never changed."""
    try:
        return read_script(Path(name)) if Path(name).is_file() else None
    except ConfigurationError:
        return None  # it is not there, or not for us: so it is for the script
