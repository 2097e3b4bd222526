"""Goal: queues whose theory is known, built from our jobs and hosts, agree with that theory: M/M/1, M/M/c, M/G/1.

Method: Poisson arrivals are submitted to one host; the mean wait is taken as batch means (batches long against the
time in which a queue forgets), and the theory's value must lie within their confidence interval. The seed is fixed, so
a run is the same every time; of 100 seeds 95 to 99 have the theory within the interval of 99 %.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from math import factorial, sqrt
from statistics import fmean, stdev

import pytest

from model.configuration import ClusterDefinition, Configuration, HostDefinition, Order
from model.job import SECOND, JobSpec
from sim.measuring import Measuring, Observed
from sim.metrics import Metrics
from sim.scenario import Network, Scenario
from sim.simulation import simulate
from sim.workload import Feed, Submission

JOBS = 9_000
WARM_UP = 500
"""Jobs that the queue takes to be as full as it usually is."""
BATCHES = 20
STUDENT = 2.861
"""Of 19 degrees of freedom, for 99 %."""
MEAN_RUN_S = 10.0
SEED = 1
Draw = Callable[[random.Random], float]


class Waits:
    """Notes the wait of each job, in the order of submission."""

    def __init__(self) -> None:
        self.by_item: dict[int, int] = {}

    def sized(self, host: str, slots: int) -> None: ...

    def started(self, host: str, key: object, slots: int) -> None: ...

    def ended(self, host: str, key: object) -> None: ...

    def final(self, job: Observed, record: object, handled: int) -> None:
        self.by_item[int(job.item or "")] = job.started - job.submitted


def arrivals(rate: float, run: Draw) -> Iterator[Submission]:
    """Jobs at exponential distances, `rate` a second."""
    draw = random.Random(SEED)
    at_s = 60.0
    for number in range(JOBS):
        at_s += draw.expovariate(rate)
        spec = JobSpec("queue", ("serve",), item=str(number))
        yield Submission(round(at_s * SECOND), spec, round(run(draw) * SECOND))


def served(slots: int, load: float, run: Draw) -> tuple[list[float], Metrics]:
    """The waits of all jobs (s), and the metrics."""
    waits = Waits()
    measuring = Measuring(writer=waits)
    cluster = ClusterDefinition(hosts=(HostDefinition("one", slots),), order=Order.STRICT, pending_max=JOBS)
    result = simulate(
        Configuration("queue", "/", cluster=cluster),
        Scenario(for_ns=10**9 * SECOND, network=Network(latency_ns=0, controller_ns=0)),
        feed=Feed(arrivals(load * slots / MEAN_RUN_S, run), ends=True),
        readers=(measuring,),
        check=False,
    )
    assert result.jobs == JOBS
    return [waits.by_item[number] / SECOND for number in range(JOBS)], measuring.metrics()


def confidence(values: list[float]) -> tuple[float, float]:
    """(mean, half of the width of its confidence interval) by batch means."""
    kept = values[WARM_UP:]
    size = len(kept) // BATCHES
    means = [fmean(kept[at * size : (at + 1) * size]) for at in range(BATCHES)]
    return fmean(means), STUDENT * stdev(means) / sqrt(BATCHES)


def exponential(draw: random.Random) -> float:
    return draw.expovariate(1 / MEAN_RUN_S)


def erlang_c(servers: int, load: float) -> float:
    """The probability that a job of M/M/c has to wait."""
    offered = servers * load
    waiting = offered**servers / factorial(servers) / (1 - load)
    return waiting / (sum(offered**number / factorial(number) for number in range(servers)) + waiting)


def agrees(slots: int, load: float, run: Draw, theory_s: float) -> Metrics:
    """The theory's mean wait lies in the interval, and the interval is narrow enough to say something."""
    values, metrics = served(slots, load, run)
    mean, half = confidence(values)
    assert mean - half < theory_s < mean + half, f"{mean:.2f} +- {half:.2f} s, theory {theory_s:.2f} s"
    assert half < 0.6 * theory_s
    return metrics


def test_mm1() -> None:
    load = 0.6
    metrics = agrees(1, load, exponential, load / (1 - load) * MEAN_RUN_S)
    assert metrics.utilization_nominal == pytest.approx(load, rel=0.05)
    assert metrics.queue_mean == pytest.approx(load * load / (1 - load), rel=0.2)  # by Little's law


@pytest.mark.parametrize("slots", [2, 5])
def test_mmc(slots: int) -> None:
    load = 0.7
    agrees(slots, load, exponential, erlang_c(slots, load) * MEAN_RUN_S / (slots * (1 - load)))


def test_md1() -> None:
    load = 0.6
    agrees(1, load, lambda _: MEAN_RUN_S, load / (2 * (1 - load)) * MEAN_RUN_S)


def test_mg1() -> None:
    """Runs of 2 s, one in ten of 82 s: their second moment is 676 s^2 (Pollaczek and Khinchine)."""
    load = 0.5
    rate = load / MEAN_RUN_S
    second_moment = 0.9 * 2.0**2 + 0.1 * 82.0**2
    agrees(
        1, load, lambda draw: 82.0 if draw.random() < 0.1 else 2.0, rate * second_moment / (2 * (1 - load))
    )  # fmt: skip


def test_a_wrong_theory_is_seen() -> None:
    """M/M/1's formula for constant runs: twice the truth."""
    with pytest.raises(AssertionError, match="theory"):
        agrees(1, 0.6, lambda _: MEAN_RUN_S, 0.6 / 0.4 * MEAN_RUN_S)
