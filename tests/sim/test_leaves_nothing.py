"""Goal: of a world that is over nothing stays, however it ended: who rehearses a thousand worlds does not grow.

Method: worlds are cut off in the middle of everything; then the collector's own list is asked for parts of them.
"""

from __future__ import annotations

import gc
from collections import Counter

import pytest

from model.configuration import ClusterDefinition, Configuration, HostDefinition
from model.job import SECOND
from model.task import FilesSource, Periods, TaskDefinition
from sim.distributions import Constant
from sim.scenario import Items, Scenario, TaskWeather
from sim.simulation import simulate
from sim.swarm import swarm


def parts() -> Counter[str]:
    """How many of each class of ours the collector sees, after a collection."""
    gc.collect()
    kinds = (type(each) for each in gc.get_objects())
    # (Of some classes that are not ours `__module__` is no text.)
    return Counter(kind.__qualname__ for kind in kinds if str(kind.__module__).startswith(("model.", "sim.")))


def more(after: Counter[str], before: Counter[str]) -> dict[str, int]:
    """What there is more of."""
    return dict(after - before)


def cut_off(at_ns: int) -> None:
    """Words are under way, jobs run and wait, deadlines are set."""
    task = TaskDefinition(
        "work", command=("true",), source=FilesSource("incoming/*"), periods=Periods(SECOND, timeout_ns=600 * SECOND)
    )
    cluster = ClusterDefinition(hosts=tuple(HostDefinition(f"node{number}", 4) for number in range(5)))
    weather = TaskWeather(run=Constant(10 * SECOND), items=Items(burst=100, count=100))
    result = simulate(Configuration("", "/", (task,), cluster), Scenario(for_ns=at_ns, tasks={"work": weather}))
    assert result.open > 0


@pytest.mark.parametrize("at_ns", [SECOND // 1000, SECOND + SECOND // 500, 12 * SECOND])
def test_nothing_stays_of_a_world_that_was_cut_off(at_ns: int) -> None:
    cut_off(at_ns)  # what is made once for all worlds is there
    before = parts()
    cut_off(at_ns)
    assert more(parts(), before) == {}


def test_nothing_stays_of_worlds_with_faults() -> None:
    worlds = [swarm(seed) for seed in (3, 21, 25)]
    for _ in range(2):
        before = parts()
        for world in worlds:
            simulate(*world)
    assert more(parts(), before) == {}
