"""Measures a run: one scheduler by `Measuring`; where several use one controller, each of them, and all together.

`measuring_of` is what everybody calls who wants metrics. What a scheduler's figures are: `sim/metrics.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from msgspec.structs import replace

from model.configuration import Configuration
from sim.answers import Answers
from sim.log import LineReader, Reader
from sim.measuring import Measuring, Writer
from sim.metrics import Metrics, SchedulerMetrics, jain
from sim.paths import SCHEDULER
from sim.scenario import Scenario, node_of
from sim.scheduler_side import terms_of
from sim.shares import Shares
from sim.views import Everybody, View
from sim.workload import Feed


class Measures(Protocol):
    """A reader of the log that has metrics at its end."""

    @property
    def table(self) -> dict[type, Callable[[Any], None]]: ...

    def metrics(self) -> Metrics: ...


def measuring_of(
    configuration: Configuration,
    scenario: Scenario,
    *,
    warm_up_ns: int = 0,
    writer: Writer | None = None,
    feed: Feed | None = None,
) -> Measures:
    """What measures a run of this world, and of these jobs. `writer` is told of each job."""
    if scenario.schedulers:
        return SharedMeasuring(configuration, scenario, warm_up_ns, writer)
    answers = Answers({SCHEDULER: configuration.cluster.times.silent_ns})
    alone = feed is not None and feed.ends
    return Measuring(warm_up_ns=warm_up_ns, writer=writer, answers=answers, until_last=alone)


class SharedMeasuring:
    """Of a world in which several schedulers use one controller, whose configuration this is."""

    def __init__(
        self, configuration: Configuration, scenario: Scenario, warm_up_ns: int = 0, writer: Writer | None = None
    ) -> None:
        sharers = scenario.schedulers
        self._weights = {sharer.name: terms_of(sharer, configuration).share for sharer in sharers}
        patience = {node_of(SCHEDULER, one.name): one.configuration.cluster.times.silent_ns for one in sharers}
        self._answers = Answers(patience)
        self._all = Measuring(warm_up_ns=warm_up_ns, writer=writer, answers=self._answers)
        self._each = {sharer.name: Measuring(warm_up_ns=warm_up_ns) for sharer in sharers}
        self._shares = Shares(tuple(self._each), configuration.cluster.times.lease_ns, warm_up_ns)
        views = [View(sharer, self._each[sharer.name], scripted=False) for sharer in sharers]
        readers: tuple[Reader, ...] = (Everybody(sharers, self._all), *views, self._shares)
        self.table: dict[type, Callable[[Any], None]] = {}
        """for `EventLog`"""
        for kind in dict.fromkeys(kind for reader in readers for kind in reader.table):
            self.table[kind] = _each(tuple(reader.table[kind] for reader in readers if kind in reader.table))

    def metrics(self) -> Metrics:
        """After the last line."""
        parts = self._shares.parts()
        rows = tuple(self._row(name, *parts[name]) for name in self._each)
        ratios = [row.share_ratio for row in rows if row.share_ratio is not None]
        return replace(self._all.metrics(), schedulers=rows, share_fairness=jain(ratios))

    def _row(self, name: str, due: float | None, got: float | None) -> SchedulerMetrics:
        found = self._each[name].metrics()
        return SchedulerMetrics(
            scheduler=name,
            weight=self._weights[name],
            share_due=due,
            share_got=got,
            share_ratio=got / due if due and got is not None else None,
            throughput=found.throughput,
            offered_load=found.offered_load,
            goodput=found.goodput,
            queue_mean=found.queue_mean,
            queue_max=found.queue_max,
            oldest=found.oldest,
            controller_availability=self._answers.shares()[node_of(SCHEDULER, name)],
            total=found.total,
        )


def _each(reads: tuple[LineReader, ...]) -> LineReader:
    if len(reads) == 1:
        return reads[0]

    def read(line: Any) -> None:
        for one in reads:
            one(line)

    return read
