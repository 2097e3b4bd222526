"""Goal: the course of a run is what happened: sums over time, why jobs waited and for how long, what was lost.

Method: series against sums by hand; small worlds in which each reason has its own known hours; sums that must agree
with the metrics of the same run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from model.configuration import ClusterDefinition, Configuration, HostDefinition
from model.events import HostVerb, OrderHost
from model.job import LOCAL, SECOND, HostWish
from model.records import SET_ASIDE, WELL, HostChanged
from model.task import Limits, Periods, TaskDefinition
from shell.report.courses import _away_ns, free_slots
from sim.distributions import Constant
from sim.log import Committed, FaultChanged, Finished, Header, ProcessEnded, ProcessStarted
from sim.measuring import Measuring
from sim.metrics import Metrics
from sim.scenario import Fault, Kind, Network, Ordered, Scenario, TaskWeather
from sim.series import BINS, Series
from sim.simulation import simulate
from sim.timeline import NONE, VERDICTS, Timeline, Verdict
from sim.unused_slots import UnusedSlots
from sim.waiting import Reason

MINUTE = 60 * SECOND
HOUR = 60 * MINUTE


def test_a_series_keeps_its_sum_while_its_bins_grow() -> None:
    series = Series()
    series.add("a", 0, 10 * SECOND, 2)
    series.add("a", 5 * SECOND, 6 * SECOND, 1)
    series.add("a", 10_000 * SECOND, 10_007 * SECOND, 3)
    assert series.width_ns == 64 * SECOND
    assert sum(series.areas["a"]) == pytest.approx((20 + 1 + 21) * SECOND)
    means = series.means("a", 10_007 * SECOND)
    assert means[0] == pytest.approx(21 / 64)
    assert len(means) == -(-10_007 // 64)
    assert means[-1] == pytest.approx(21 / (10_007 - 64 * 156))  # the last bin is shorter


def test_a_series_keeps_its_peaks() -> None:
    series = Series()
    for second in range(10 * BINS):
        series.peak("a", second * SECOND, second % 100)
    peaks = [peak for peak in series.peaks["a"] if peak]
    assert len(peaks) == 10 * BINS // (series.width_ns // SECOND) + (10 * BINS % (series.width_ns // SECOND) > 0)
    assert max(peaks) == 99


def watch(tasks: tuple[TaskDefinition, ...], scenario: Scenario, hosts: int = 1) -> tuple[Timeline, Metrics]:
    """What was seen and measured of a run on hosts of one slot."""
    cluster = ClusterDefinition(hosts=tuple(HostDefinition(f"node{number}") for number in range(1, hosts + 1)))
    timeline, measuring = Timeline(), Measuring()
    simulate(Configuration("small", "/", tasks, cluster), scenario, readers=(timeline, measuring))
    return timeline, measuring.metrics()


def task(name: str, *, every: int, host: str = "", total: int = 0, timeout: int = 0) -> TaskDefinition:
    wish = HostWish(host, required=True) if host else HostWish()
    periods = Periods(exec_ns=every, timeout_ns=timeout, pending_ns=0)
    return TaskDefinition(name, command=("x",), host=wish, periods=periods, limits=Limits(total=total))


def world(for_ns: int, *faults: Fault, **runs: int) -> Scenario:
    weather = {name: TaskWeather(run=Constant(run)) for name, run in runs.items()}
    return Scenario(for_ns=for_ns, network=Network(0, 0, 0), tasks=weather, faults=faults)


def hours(timeline: Timeline, reason: Reason) -> float:
    return sum(spent for (_, why, _), spent in timeline.hurt.items() if why == reason.value) / HOUR


def test_jobs_that_wait_for_a_slot() -> None:
    """Two jobs an hour apart, each runs 90 min on the one slot: the second waits half an hour."""
    timeline, metrics = watch((task("a", every=HOUR, total=2),), world(4 * HOUR, a=90 * MINUTE))
    assert hours(timeline, Reason.NO_SLOT) == pytest.approx(0.5, abs=0.01)
    assert hours(timeline, Reason.HOST_AWAY) == 0
    assert metrics.total.wait.max == pytest.approx(30 * MINUTE, rel=0.01)
    assert max(timeline.waits["a"]) == metrics.total.wait.max


def test_jobs_that_wait_for_a_host_that_is_down_and_then_for_its_slot() -> None:
    """Down from minute 59 to 179; jobs of half an hour come each hour, so two wait when it is back: 119 and 59 min."""
    fault = Fault(Kind.DOWN, ("node1",), HOUR - MINUTE, 2 * HOUR)
    timeline, _ = watch((task("a", every=HOUR, host="node1", total=3),), world(6 * HOUR, fault, a=30 * MINUTE))
    assert timeline.hurt["a", Reason.HOST_AWAY.value, "node1"] == pytest.approx((119 + 59) * MINUTE, rel=0.001)
    assert hours(timeline, Reason.NO_SLOT) == pytest.approx(0.5, abs=0.05)
    (span,) = timeline.down["node1"]
    assert (span.start, span.end) == (HOUR - MINUTE, 3 * HOUR - MINUTE)


def test_slots_without_power_and_slots_in_use_over_time() -> None:
    fault = Fault(Kind.DOWN, ("node2",), HOUR, HOUR)
    timeline, metrics = watch((task("a", every=10 * MINUTE),), world(4 * HOUR, fault, a=5 * MINUTE), hosts=2)
    series = timeline.series
    assert sum(series.areas["down"]) == pytest.approx(HOUR)
    assert sum(series.areas["slots"]) == pytest.approx(2 * 4 * HOUR)
    used = sum(sum(series.areas.get(verdict.value, [0.0])) for verdict in VERDICTS)
    assert used == pytest.approx(metrics.total.slot_time.busy)
    assert sum(series.areas["good"]) == pytest.approx(metrics.total.slot_time.good)


class Moments:
    """What each host's slots are, from each line of the log to the next, worked out host by host."""

    def __init__(self) -> None:
        kinds = (HostChanged, FaultChanged, ProcessStarted, ProcessEnded, Finished)
        self.table: dict[type, Callable[[Any], None]] = {Header: self._header, **dict.fromkeys(kinds, self._read)}
        self.areas: dict[str, list[tuple[int, int, int]]] = {}
        """of each use, (begin, end, slots)"""
        self._at = 0
        self._hosts: dict[str, int] = {}
        self._runs: Counter[str] = Counter()
        self._shut: dict[str, str] = {}
        self._faults: Counter[tuple[str, bool]] = Counter()

    def _header(self, line: Header) -> None:
        self._hosts = {name: slots for name, slots in line.slots.items() if name != LOCAL}

    def _read(self, line: Any) -> None:
        for name, slots in self._hosts.items():
            busy = self._runs[name]
            if line.t > self._at:
                assert busy == 0 or not self._faults[name, True]  # nothing runs without power
            use = "free"
            if self._faults[name, True]:
                use = "down"
            elif self._shut.get(name, "on") != "on":
                use = "closed"
            elif self._faults[name, False]:
                use = "unreached"
            self.areas.setdefault("busy", []).append((self._at, line.t, busy))
            self.areas.setdefault(use, []).append((self._at, line.t, slots - busy))
        self._at = line.t
        if isinstance(line, ProcessStarted):
            self._runs[line.node] += line.slots
        elif isinstance(line, ProcessEnded):
            self._runs[line.node] -= line.slots
        elif isinstance(line, FaultChanged):
            (name,) = [node for node in line.nodes if node != "controller"]
            self._faults[name, line.kind == "down"] += 1 if line.on else -1
        elif isinstance(line, Committed):
            self._shut[line.record.host] = line.record.verb  # type: ignore[union-attr]


def test_every_slot_is_work_or_has_one_reason_to_be_empty_at_every_moment() -> None:
    """Five hosts of two slots: one is always well, one drained, one switched off, one cut off, one without power, while
    jobs run there; the one that is off loses its power, too, and the drained one is not heard for a while."""
    cluster = ClusterDefinition(hosts=tuple(HostDefinition(f"node{number}", 2) for number in range(1, 6)))
    orders = (
        Ordered(21 * MINUTE, host=OrderHost(1, HostVerb.DRAIN, "node2")),
        Ordered(22 * MINUTE, host=OrderHost(2, HostVerb.OFF, "node3")),
        Ordered(80 * MINUTE, host=OrderHost(3, HostVerb.ON, "node2")),
        Ordered(90 * MINUTE, host=OrderHost(4, HostVerb.ON, "node3")),
    )
    faults = (
        Fault(Kind.LOST, ("controller", "node4"), 23 * MINUTE, 30 * MINUTE),
        Fault(Kind.DOWN, ("node5",), 24 * MINUTE, 45 * MINUTE),
        Fault(Kind.SILENT, ("node2",), 30 * MINUTE, 5 * MINUTE),
        Fault(Kind.DOWN, ("node3",), 40 * MINUTE, 10 * MINUTE),
    )
    timeline, moments = Timeline(), Moments()
    scenario = Scenario(
        for_ns=2 * HOUR, orders=orders, faults=faults, tasks={"a": TaskWeather(run=Constant(7 * MINUTE + 13 * SECOND))}
    )
    configuration = Configuration("small", "/", (task("a", every=50 * SECOND),), cluster)
    simulate(configuration, scenario, readers=(timeline, moments))
    by_hand = Series()
    for use, areas in moments.areas.items():
        for begin, end, slots in areas:
            by_hand.add(use, begin, end, slots)
    running = [timeline.series.means(verdict.value, timeline.end) for verdict in VERDICTS]
    seen = {name: timeline.series.means(name, timeline.end) for name in ("closed", "unreached", "down")}
    seen |= {"busy": [sum(parts) for parts in zip(*running, strict=True)], "free": free_slots(timeline)}
    for use, means in seen.items():
        assert max(means) > 0, use
        assert means == pytest.approx(by_hand.means(use, timeline.end), abs=1e-6), use
    for parts in zip(*seen.values(), strict=True):
        assert sum(parts) == pytest.approx(10)


def test_a_host_that_is_set_aside_is_closed_until_it_is_well() -> None:
    unused, series = UnusedSlots(), Series()
    unused.size("node1", 2, 0)
    unused.changed("node1", SET_ASIDE, 10 * SECOND)
    unused.changed("node1", HostVerb.DRAIN.value, 20 * SECOND)
    unused.changed("node1", WELL, 30 * SECOND)
    unused.changed("node1", HostVerb.ON.value, 40 * SECOND)
    unused.size("node1", 1, 50 * SECOND)
    unused.changed("node1", HostVerb.OFF.value, 50 * SECOND)
    assert unused.finish(60 * SECOND) == ["node1"]
    unused.add_to(series, {"node1": [(55 * SECOND, -1), (5 * SECOND, 1)]})
    assert series.means("slots", 60 * SECOND) == [2.0] * 50 + [1.0] * 10
    assert series.means("closed", 60 * SECOND) == [0.0] * 10 + [1.0] * 30 + [0.0] * 15 + [1.0] * 5


def test_what_a_timeout_ends_is_lost() -> None:
    timeline, _ = watch((task("a", every=HOUR, total=1, timeout=MINUTE),), world(2 * HOUR, a=30 * MINUTE))
    assert [VERDICTS[code] for code in timeline.spans.verdict] == [Verdict.LOST]
    assert timeline.lost["a", "TIMED_OUT"] == pytest.approx(MINUTE, rel=0.01)


def test_what_runs_and_waits_at_the_end_is_told() -> None:
    timeline, metrics = watch((task("a", every=HOUR, total=2),), world(3 * HOUR, a=9 * HOUR))
    assert list(timeline.spans.end) == [NONE]
    assert hours(timeline, Reason.NO_SLOT) == pytest.approx(2, abs=0.01)
    assert metrics.total.open == 2
    assert max(timeline.series.peaks["oldest"]) == pytest.approx(2 * HOUR, rel=0.01)


def test_every_job_s_waiting_is_in_some_reason() -> None:
    fault = Fault(Kind.DOWN, ("node1",), HOUR, HOUR)
    tasks = (task("a", every=4 * MINUTE, host="node1"), task("b", every=6 * MINUTE))
    timeline, metrics = watch(tasks, world(6 * HOUR, fault, a=5 * MINUTE, b=3 * MINUTE), hosts=2)
    assert metrics.queue_mean is not None
    assert sum(timeline.hurt.values()) == pytest.approx(metrics.queue_mean * (metrics.end - metrics.begin), rel=1e-6)


def test_two_faults_at_once_are_one_time_without_power_for_whoever_counts_it() -> None:
    """Down from 10 to 40 min, and again from 20 to 30 min: half an hour, one failure."""
    cluster = ClusterDefinition(hosts=(HostDefinition("node1"), HostDefinition("node2")))
    faults = (
        Fault(Kind.DOWN, ("node1",), 10 * MINUTE, 30 * MINUTE),
        Fault(Kind.REBOOT, ("node1",), 20 * MINUTE, 10 * MINUTE),
        Fault(Kind.LOST, ("controller", "node2"), 50 * MINUTE, 5 * MINUTE),
    )
    timeline, measuring = Timeline(), Measuring()
    tasks = (task("a", every=60 * SECOND),)
    scenario = Scenario(for_ns=HOUR, faults=faults, tasks={"a": TaskWeather(run=Constant(SECOND))})
    result = simulate(Configuration("small", "/", tasks, cluster), scenario, readers=(timeline, measuring))
    assert result.tally.hosts["node1"].off_ns == 30 * MINUTE
    assert result.tally.faults == 3
    assert sum(timeline.series.areas["down"]) == pytest.approx(30 * MINUTE)
    node1, node2 = measuring.metrics().hosts
    assert (node1.availability, node1.failures) == (pytest.approx(0.5, rel=0.01), 1)
    assert (node2.availability, node2.failures) == (1.0, 0)
    assert [span.kind for span in timeline.down["node2"]] == ["lost"]


def test_of_two_faults_of_one_kind_at_one_host_each_has_its_end() -> None:
    """Down from 10 to 40 min, and again from 20 to 30 min, as a rack and a plan may have it."""
    faults = (
        Fault(Kind.DOWN, ("node1",), 10 * MINUTE, 30 * MINUTE),
        Fault(Kind.DOWN, ("node1",), 20 * MINUTE, 10 * MINUTE),
    )
    timeline, _ = watch((task("a", every=MINUTE),), world(HOUR, *faults, a=SECOND))
    assert sorted(span.end for span in timeline.down["node1"]) == [30 * MINUTE, 40 * MINUTE]
    assert _away_ns(timeline, "node1") == 30 * MINUTE


def test_a_drained_host_is_closed_until_it_is_on_again() -> None:
    orders = (
        Ordered(10 * MINUTE, host=OrderHost(1, HostVerb.DRAIN, "node1")),
        Ordered(20 * MINUTE, host=OrderHost(2, HostVerb.OFF, "node1")),
        Ordered(30 * MINUTE, host=OrderHost(3, HostVerb.ON, "node1")),
        Ordered(40 * MINUTE, host=OrderHost(4, HostVerb.DRAIN, "node2")),
    )
    timeline, _ = watch((task("a", every=60 * SECOND),), Scenario(for_ns=HOUR, orders=orders), hosts=2)
    found = {host: [(span.kind, span.start, span.end) for span in spans] for host, spans in timeline.closed.items()}
    assert found == {
        "node1": [("drain", 10 * MINUTE, 20 * MINUTE), ("off", 20 * MINUTE, 30 * MINUTE)],
        "node2": [("drain", 40 * MINUTE, HOUR)],
    }


def test_a_fault_of_a_moment_does_not_last_to_the_end() -> None:
    faults = (Fault(Kind.WALL_STEP, (), MINUTE, delay_ns=HOUR), Fault(Kind.BROKEN, ("controller", "node1"), 2 * MINUTE))
    timeline, _ = watch((task("a", every=MINUTE),), world(HOUR, *faults, a=SECOND))
    assert [(span.start, span.end) for span in timeline.faults] == [(MINUTE, MINUTE), (2 * MINUTE, 2 * MINUTE)]
