"""Fault plans as people write them: a scenario's `groups:` and `plans:`, and `--faults PREFAB`.

    plans:
      - lanl-cluster                                     a prefab, at each host by itself
      - {fault: slow factor=3, at: rack1, every: 1d, for: {uniform: [10m, 2h]}}
      - {fault: down, scope: group, gap: {weibull: {shape: 0.7, scale: 30d}}, for: 1h}
      - {trace: failures.csv.gz, system: 18, begin: 2003-06-01}

Called by `scenario.py`. What a line of `fault:` and `at:` means is `scenario_faults.py`'s; drawing is
`sim/fault_plans.py`'s.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PlainValidator

from model.errors import ConfigurationError
from model.job import SECOND
from shell.config.fields import Flag, Word
from shell.config.scenario_faults import (
    ALL,
    KINDS,
    RESERVED,
    Known,
    Place,
    parse_places,
    parse_settings,
    parse_share,
)
from shell.config.scenario_values import durations, parse_moment
from shell.config.validation import Section
from shell.durations import parse_duration
from shell.fault_words import PREFABS as PREFAB_WORDS
from shell.hostset import HOST_NAME
from shell.wording import count, nearest
from sim.distributions import Constant, Distribution
from sim.fault_plans import mean_of
from sim.fault_traces import FaultTrace, read_trace
from sim.faults import AWAY_A_WHILE, MOMENTS, RESTART_NS
from sim.prefabs import NONE, PREFABS, Prefab, exponential
from sim.scenario import Counted, Fault, FaultPlan, Kind, NodeOutages, Plan, TracePlan, Unit

CYCLE_MIN_NS = SECOND
"""A fault and the time to the next one take so long at least, on the average: a year of shorter ones has no end."""
_EXPONENTIAL = re.compile(r"exponential\(([^,()]{1,40}),([^,()]{1,40})\)")
_OF_DRAWN = ("every", "gap", "for", "first", "from", "until", "scope")
_OF_TRACE = ("system", "begin", "repeat")
_OF_PREFAB = ("fault", "every", "gap", "for", "first")


def _first(value: object) -> object:
    """A moment (its text), or a distribution."""
    return value if isinstance(value, str) else durations(value)


Text = Annotated[str, Word()]
Durations = Annotated[Any, PlainValidator(durations)]


class PlanSection(Section):
    """Faults that come again and again: interval x duration x scope, a prefab, or a trace."""

    prefab: Text | None = None
    """lanl-cluster, lanl-bigsmp, grid5000, 'exponential(MTBF, MTTR)' or none"""
    fault: Text = "down"
    """what happens, with its settings: `slow factor=3`"""
    at: Text = ALL
    """hosts (a host set, names of groups, or `hosts` for all), a server, or two ends of a link"""
    scope: Text = "host"
    """host: each by itself; group: all hosts of a group at once; N%: so many of them, drawn each time"""
    every: Durations | None = None
    """from the beginning of one to the beginning of the next"""
    gap: Durations | None = None
    """from the end of one to the beginning of the next"""
    length: Durations | None = Field(default=None, alias="for")
    """how long each lasts"""
    first: Annotated[Any, PlainValidator(_first)] | None = None
    """when the first one begins; else at a random age, as if it had been going on for ever"""
    begins: Text | None = Field(default=None, alias="from")
    """none begins earlier than this"""
    until: Text | None = None
    """none begins later than this"""
    name: Text | None = None
    """its chance is drawn under this name (else under its fault's)"""
    trace: Text | None = None
    """a file with a failure trace, relative to the scenario; node after node is given to host after host"""
    system: Text = ""
    """which of the trace's systems or sites"""
    begin: Text | None = None
    """of the trace's time, when the simulation starts: a date, or a duration after the trace's first failure"""
    repeat: Annotated[bool, Flag()] = False
    """when the trace is over, it begins again"""

    @property
    def said(self) -> frozenset[str]:
        """The keys that are there, as they are written."""
        names = {"length": "for", "begins": "from"}
        return frozenset(names.get(name, name) for name in self.model_fields_set)


def parse_groups(texts: Mapping[str, Sequence[str]], known: Known) -> dict[str, tuple[str, ...]]:
    """The hosts of each group; a group may hold the ones before it. Raises `PlanError`."""
    groups: dict[str, tuple[str, ...]] = {}
    for name, parts in texts.items():
        if not HOST_NAME.fullmatch(name) or name in RESERVED or name in known.hosts or name in KINDS:
            raise PlanError(f"{name} cannot be the name of a group: it is a host's, or a word for a place", name)
        inside = replace(known, groups=groups)
        try:
            hosts = tuple(dict.fromkeys(host for part in parts for host in inside.expand(part)))
            for host in hosts:
                inside.check(host, f"group {name}")
        except (ValueError, ConfigurationError) as error:
            raise PlanError(str(error), name) from error
        groups[name] = hosts
    return groups


class PlanError(ValueError):
    """What is wrong with a plan or group, and at which of its keys."""

    def __init__(self, message: str, key: str = "") -> None:
        super().__init__(message)
        self.key = key


class PlanMaker:
    """Makes plans of sections, one after the other. `warnings`: what a person should know about traces."""

    def __init__(self, known: Known, start: datetime, directory: Path) -> None:
        self.warnings: list[str] = []
        self._known = known
        self._start = start
        self._directory = directory
        self._names: Counter[str] = Counter()

    def make(self, section: PlanSection) -> list[Plan]:
        """The plans of one section. Raises `PlanError`, `ConfigurationError` for a trace that cannot be read."""
        if section.trace is not None:
            self._refuse(section, ("prefab", *_OF_DRAWN), "trace", "the trace says it")
            return [self._of_trace(section, section.trace)]
        self._refuse(section, _OF_TRACE, "trace", "it is about a trace", missing=True)
        if section.prefab is None:
            return [self._of_intervals(section)]
        self._refuse(section, _OF_PREFAB, "prefab", "the prefab says it")
        prefab = parse_prefab(section.prefab, "prefab")
        return [] if prefab is None else [self._of_prefab(section, section.prefab, prefab)]

    @staticmethod
    def _refuse(section: PlanSection, keys: tuple[str, ...], other: str, why: str, *, missing: bool = False) -> None:
        for key in keys:
            if key in section.said:
                raise PlanError(f"{key} {'without' if missing else 'beside'} {other}: {why}", key)

    # drawn

    def _of_prefab(self, section: PlanSection, text: str, prefab: Prefab) -> FaultPlan:
        fault, units, share = self._scope(section)
        return FaultPlan(
            self._name(section, text.replace(" ", "")),
            fault,
            units,
            prefab.lasts,
            prefab.interval,
            prefab.counted,
            share=share,
            from_ns=self._moment(section.begins, "from", 0),
            until_ns=self._moment(section.until, "until", 0),
        )

    def _of_intervals(self, section: PlanSection) -> FaultPlan:
        fault, units, share = self._scope(section)
        if section.every is not None and section.gap is not None:
            raise PlanError("every and gap: one of them says how often", "gap")
        interval = section.every if section.every is not None else section.gap
        if interval is None and section.first is None:
            raise PlanError("says not how often: every (begin to begin), gap (end to begin), or only first (once)")
        from_ns = self._moment(section.begins, "from", 0)
        first = section.first
        if isinstance(first, str):
            first = Constant(self._moment(first, "first", from_ns) - from_ns)
        plan = FaultPlan(
            self._name(section, section.fault),
            fault,
            units,
            self._lasts(section, fault.kind, once=interval is None),
            interval,
            Counted.FROM_END if section.every is None else Counted.FROM_BEGIN,
            first=first,
            share=share,
            from_ns=from_ns,
            until_ns=self._moment(section.until, "until", from_ns),
        )
        _check_cycle(plan)
        return plan

    def _lasts(self, section: PlanSection, kind: Kind, *, once: bool) -> Distribution:
        lasts = section.length
        if kind in MOMENTS:
            if lasts is not None:
                raise PlanError(f"{kind.value} lasts no time: leave out for", "for")
            return Constant(0)
        if lasts is None:
            if kind in AWAY_A_WHILE:
                return Constant(RESTART_NS)
            if once:
                return Constant(0)
            raise PlanError("for is missing: how long it lasts")
        if mean_of(lasts) <= 0.0:
            raise PlanError("for is no time at all", "for")
        assert isinstance(lasts, Constant | Distribution)
        return lasts

    def _moment(self, text: str | None, key: str, not_before_ns: int) -> int:
        if text is None:
            return 0
        try:
            moment_ns = parse_moment(text, self._start, not_before_ns)
        except ValueError as error:
            raise PlanError(str(error), key) from error
        if moment_ns < not_before_ns:
            raise PlanError(f"{text} is before the plan's beginning", key)
        return moment_ns

    def _name(self, section: PlanSection, otherwise: str) -> str:
        if section.name is not None:
            return section.name
        self._names[otherwise] += 1
        number = self._names[otherwise]
        return otherwise if number == 1 else f"{otherwise}#{number}"

    # where

    def _places(self, section: PlanSection, at: str) -> tuple[Fault, tuple[tuple[str, ...], ...]]:
        word, *rest = section.fault.replace("-", "_", 1).split() or [""]
        if word not in KINDS:
            raise PlanError(f"{word} is no fault{nearest(word, list(KINDS))}; known: {', '.join(KINDS)}", "fault")
        names = [] if KINDS[word] is Kind.WALL_STEP and at == ALL else at.split()
        try:
            settings = parse_settings(rest)
        except ValueError as error:
            raise PlanError(str(error), "fault") from error
        try:
            places: list[Place] = parse_places(names, word, self._known)
        except (ValueError, ConfigurationError) as error:
            raise PlanError(str(error), "at") from error
        if not places:
            raise PlanError(f"there are no hosts in {at}", "at")
        kind = places[0][0]
        if any(other is not kind for other, _ in places):
            raise PlanError(f"{word} is another fault at a server than at a host: two plans", "at")
        return Fault(kind, **settings), tuple(nodes for _, nodes in places)  # type: ignore[arg-type]

    def _scope(self, section: PlanSection) -> tuple[Fault, tuple[Unit, ...], float]:
        """(the fault, what fails together, which share of it)."""
        scope, groups = section.scope, self._known.groups
        if scope == "group":
            names = list(groups) if section.at == ALL else section.at.replace(",", " ").split()
            wrong = next((name for name in names if name not in groups), "")
            if wrong or not names:
                why = f"{wrong} is no group{nearest(wrong, list(groups))}" if names else "there is no group"
                raise PlanError(f"{why}: `groups:` names them", "at" if names else "scope")
            found = [(name, *self._places(section, name)) for name in names]
            return found[0][1], tuple(Unit(name, places) for name, _, places in found), 1.0
        fault, places = self._places(section, section.at)
        if scope == "host":
            return fault, tuple(Unit(" ".join(nodes), (nodes,)) for nodes in places), 1.0
        try:
            share, _ = parse_share([scope, "of", ALL])
        except ValueError as error:
            raise PlanError(str(error), "scope") from error
        if share is None:
            raise PlanError(f"expects host, group or a share such as 20%, not {scope}", "scope")
        return fault, (Unit("share", places),), share

    # told by a trace

    def _of_trace(self, section: PlanSection, file: str) -> TracePlan:
        fault, places = self._places(section, section.at)
        trace = read_trace(self._directory / file, section.system)
        begin_s = _trace_moment(section.begin, trace)
        if len(trace.nodes) != len(places):
            told = (
                f"{count(len(places) - len(trace.nodes), 'host')} without faults"
                if len(trace.nodes) < len(places)
                else f"the first {len(places)} of them count"
            )
            self.warnings.append(f"{file}: {count(len(trace.nodes), 'node')} for {count(len(places), 'host')}: {told}")
        for why, number in trace.left_out.items():
            self.warnings.append(f"{file}: {count(number, 'record')} left out: {why}")
        outages = [
            NodeOutages(
                nodes,
                tuple(((begin - trace.begin_s) * SECOND, (end - trace.begin_s) * SECOND) for begin, end in node.spans),
            )
            for nodes, node in zip(places, trace.nodes, strict=False)
        ]
        return TracePlan(
            self._name(section, file),
            fault,
            tuple(outages),
            (begin_s - trace.begin_s) * SECOND,
            trace.length_ns if section.repeat else 0,
        )


def _trace_moment(text: str | None, trace: FaultTrace) -> int:
    """s since 1970 of the trace's time at which the simulation starts."""
    if text is None:
        return trace.begin_s
    first, last = (datetime.fromtimestamp(at, UTC).isoformat(" ", "minutes") for at in (trace.begin_s, trace.end_s))
    try:
        if re.match(r"[0-9]{4}-", text):
            moment = datetime.fromisoformat(text)
            found = round((moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp())
        else:
            found = trace.begin_s + parse_duration(text) // SECOND
    except ValueError:
        raise PlanError(f"expects a date such as 2003-06-01, or a duration such as 30d, not {text}", "begin") from None
    if not trace.begin_s <= found < trace.end_s:
        raise PlanError(f"{text} is not within the trace, which goes from {first} to {last} (UTC)", "begin")
    return found


def _check_cycle(plan: FaultPlan) -> None:
    if plan.interval is None:
        return
    interval, lasts = mean_of(plan.interval), mean_of(plan.lasts)
    if plan.counted is Counted.FROM_BEGIN:
        if interval <= lasts:
            raise PlanError("every: it is over only when the next one begins; a longer one, or gap", "every")
    else:
        interval += lasts
    if interval < CYCLE_MIN_NS:
        key = "every" if plan.counted is Counted.FROM_BEGIN else "gap"
        raise PlanError("comes more often than once a second on the average", key)


def parse_prefab(text: str, key: str = "") -> Prefab | None:
    """The prefab of this name; None: `none`. Raises `PlanError`."""
    if text == NONE:
        return None
    match = _EXPONENTIAL.fullmatch(text.replace(" ", ""))
    if match is not None:
        try:
            mtbf_ns, mttr_ns = parse_duration(match[1]), parse_duration(match[2])
        except ValueError as error:
            raise PlanError(f"{text}: {error}", key) from error
        if mtbf_ns < CYCLE_MIN_NS or not mttr_ns:
            raise PlanError(f"{text}: expects times such as exponential(30d, 4h)", key)
        return exponential(mtbf_ns, mttr_ns)
    if text not in PREFABS:
        raise PlanError(f"{text} is no prefab{nearest(text, [*PREFABS, NONE])}; known: {PREFAB_WORDS}", key)
    return PREFABS[text]


def plans_of_prefab(text: str, known: Known, start: datetime) -> tuple[Plan, ...]:
    """`--faults PREFAB`: at every host by itself. Raises `PlanError`."""
    return tuple(PlanMaker(known, start, Path()).make(PlanSection(prefab=text)))
