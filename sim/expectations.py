"""What a scenario expects of a run, held against what came of it.

Two kinds: counts of a task's jobs (`Expectation`), and figures of the metrics (`Wanted`). Called by `shell.simulate`
and `sim/many.py`; how people write them is in `shell/expectations.py`.
"""

from __future__ import annotations

from msgspec import Struct

from sim.figures import find, value
from sim.metrics import Metrics
from sim.scenario import Scenario, Wanted, compares
from sim.simulation import count_of
from sim.tally import Tally


class Judged(Struct, frozen=True):
    """One expectation. `unit`: of `limit` and `found`, one of `sim.figures.Unit`; `found` None: undefined."""

    expected: str
    """without its limit: `p95_wait <`"""
    unit: str
    limit: float
    found: float | None
    held: bool


def judge_expectations(scenario: Scenario, tally: Tally, metrics: Metrics | None) -> tuple[Judged, ...]:
    """Every expectation of the scenario, in its order. A figure that is undefined does not hold; `metrics` may be None
    where no figure is expected."""
    judged = []
    for count in scenario.expect:
        found = count_of(tally, count)
        name = f"{count.task}: {count.outcome} {count.comparison.value}"
        judged.append(Judged(name, "count", count.count, found, count.holds(found)))
    for wanted in scenario.wanted:
        assert metrics is not None, "figures are expected and nothing was measured"
        judged.append(_judge(wanted, value(metrics, wanted.figure)))
    return tuple(judged)


def _judge(wanted: Wanted, found: float | None) -> Judged:
    held = found is not None and compares(found, wanted.comparison, wanted.limit)
    name = f"{wanted.figure} {wanted.comparison.value}"
    return Judged(name, find(wanted.figure).unit.value, wanted.limit, found, held)
