"""Goal: in a rehearsal several schedulers get of a controller what their shares say, whatever happens to it or to them,
and the figures that say so are right.

Method: a log of a few lines whose figures are worked out by hand; the two observatories of configs/scenarios; and the
situation of the live test (tests/cluster/test_shared_controller.py), whose figures are compared with the same bounds.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from model.configuration import ClusterDefinition, Configuration, HostDefinition
from model.events import HostVerb, OrderHost
from model.job import SECOND, JobId, JobSpec
from model.job_numbers import JOBS_BITS
from model.messages import Accepted, Batch
from model.records import AttemptEnded, AttemptGiven, SuperiorKnown
from model.sharing import Sharing, Terms
from model.task import LinesSource, Periods, TaskDefinition
from shell.config.scenario import load_rehearsal, with_settings
from shell.report.csv_files import write_csv
from shell.report.page import Told, page
from shell.simulate import rehearsal, report
from shell.tables import Style
from sim.distributions import Constant, Uniform
from sim.expectations import judge_expectations
from sim.figures import value
from sim.log import Committed, Life, Sent
from sim.metrics import Metrics
from sim.scenario import Items, Ordered, Scenario, Sharer, TaskWeather
from sim.shared_measuring import measuring_of
from sim.shares import Shares
from sim.simulation import SimulationResult, simulate
from sim.timeline import Timeline
from sim.views import for_all

OBSERVATORIES = Path(__file__).parents[2] / "configs" / "scenarios" / "two-observatories.yaml"
NORTH, SOUTH = "north", "south"
MINUTE = 60 * SECOND
TENTH = 0.1
"""By so much a share may differ from what was promised, as in the live test."""


# by hand


class Log:
    """Lines of a controller that two schedulers use, 3 to 1, told to `Shares`."""

    def __init__(self, lease_s: int = 300, south_max: int = 0) -> None:
        self.shares = Shares((NORTH, SOUTH), lease_s * SECOND)
        self.now = 0
        for number, (name, terms) in enumerate(((NORTH, Terms(3)), (SOUTH, Terms(1, in_flight_max=south_max))), 1):
            self.tell(Committed(0, "controller", SuperiorKnown(number, name, terms)))

    def tell(self, line: Any) -> None:
        kind = type(line.record) if isinstance(line, Committed) else type(line)
        self.shares.table[kind](line)

    def wait(self, name: str, *jobs: int) -> None:
        said = tuple(Accepted(JobId(job), 1) for job in jobs)
        self.tell(Sent(self.now, "controller", f"scheduler/{name}", (self.now,), Batch(1, 1, 1, said)))

    def give(self, name: str, job: int, slots: int = 1) -> None:
        below = JobId({NORTH: 1, SOUTH: 2}[name] << JOBS_BITS | job)
        self.tell(Committed(self.now, "controller", AttemptGiven(below, 1, "node1", 1, JobSpec("t", slots=slots))))


def test_what_is_due_counts_while_both_ask() -> None:
    log = Log()
    log.wait(NORTH, 1, 2, 3, 4)
    log.wait(SOUTH, 1, 2)
    log.give(NORTH, 1)
    log.give(NORTH, 2, slots=2)
    log.give(SOUTH, 1)  # 4 slots while both ask: 3 and 1 are due, 3 and 1 were given
    assert log.shares.parts() == {NORTH: (0.75, 0.75), SOUTH: (0.25, 0.25)}
    log.give(SOUTH, 2)  # north waits still: 5 slots, 3.75 due to north, which has 3
    assert log.shares.parts() == {NORTH: (0.75, 0.6), SOUTH: (0.25, 0.4)}
    log.give(NORTH, 3)  # nobody else asks: this is nobody's business
    assert log.shares.parts() == {NORTH: (0.75, 0.6), SOUTH: (0.25, 0.4)}


def test_what_was_given_waits_no_more_and_nobody_shares_alone() -> None:
    log = Log()
    assert log.shares.parts() == {NORTH: (None, None), SOUTH: (None, None)}
    log.give(NORTH, 1)
    log.wait(NORTH, 1)  # said late: it has been given already
    log.give(SOUTH, 1)
    assert log.shares.parts() == {NORTH: (None, None), SOUTH: (None, None)}


def test_a_new_life_of_the_controller_knows_of_no_job() -> None:
    log = Log()
    log.wait(NORTH, 1, 2)
    log.tell(Life(log.now, "controller", 2))
    log.give(SOUTH, 1)
    assert log.shares.parts()[SOUTH] == (None, None)


def test_who_is_not_heard_for_the_lease_asks_for_nothing() -> None:
    log = Log(lease_s=10)
    log.wait(NORTH, 1, 2)
    log.wait(SOUTH, 1, 2, 3)
    log.now = 5 * SECOND
    log.give(SOUTH, 1)
    assert log.shares.parts()[SOUTH] == (0.25, 1.0)
    log.tell(Sent(log.now, "scheduler/south", "controller", (log.now,), Batch(1, 1, 1, ())))
    log.now = 11 * SECOND
    log.give(SOUTH, 2)  # north was last heard 11 s ago
    assert log.shares.of[SOUTH].got == 1


def test_who_has_as_many_at_hosts_as_it_may_asks_for_nothing() -> None:
    log = Log(south_max=1)
    log.wait(NORTH, 1, 2)
    log.wait(SOUTH, 1, 2)
    log.give(SOUTH, 1)
    log.give(NORTH, 1)  # south waits, and may have no more
    assert log.shares.parts() == {NORTH: (0.75, 0.0), SOUTH: (0.25, 1.0)}


# the two observatories


class Gifts:
    """What the controller gave: (when, to whom)."""

    def __init__(self) -> None:
        self.names: dict[int, str] = {}
        self.given: list[tuple[int, str]] = []
        self.ended: dict[str, int] = {}
        self.table: dict[type, Any] = {
            SuperiorKnown: self._known, AttemptGiven: self._given, AttemptEnded: self._ended,
        }  # fmt: skip

    def _known(self, line: Committed) -> None:
        record: Any = line.record
        self.names[record.number] = record.name

    def _given(self, line: Committed) -> None:
        record: Any = line.record
        self.given.append((line.t, self.names[record.job >> JOBS_BITS]))

    def _ended(self, line: Committed) -> None:
        record: Any = line.record
        name = line.node.partition("/")[2]
        assert record.final and record.report.exit_code == 0, record
        self.ended[name] = self.ended.get(name, 0) + 1

    def share_of(self, name: str, first: int, last: int) -> float:
        """Of what was given between two times."""
        given = [each for at, each in self.given if first <= at < last]
        assert len(given) > 50
        return given.count(name) / len(given)


def run(configuration: Configuration, scenario: Scenario) -> tuple[SimulationResult, Metrics, Gifts]:
    measuring, gifts = measuring_of(configuration, scenario), Gifts()
    result = simulate(configuration, scenario, readers=(measuring, gifts))
    return result, measuring.metrics(), gifts


def test_two_observatories_get_their_shares_before_and_after_all_that_happens() -> None:
    """The controller is restarted at 60 min, south is cut off from 80 to 84, the controller is slow from 100 to 105,
    and north's scheduler is restarted at 110."""
    loaded = load_rehearsal(OBSERVATORIES)
    result, metrics, gifts = run(loaded.configuration, loaded.scenario)
    assert result.good and not result.violations and result.open == 0
    assert all(judged.held for judged in judge_expectations(loaded.scenario, result.tally, metrics))
    assert gifts.ended == {NORTH: 924, SOUTH: 474}, "nothing is lost, nothing is done twice"
    for first, last in ((10, 60), (64, 80), (80, 84), (88, 100), (105, 110), (114, 140)):
        share = gifts.share_of(NORTH, first * MINUTE, last * MINUTE) if last - first > 5 else 0.75
        assert abs(share / 0.75 - 1) < TENTH, (first, last, share)
    north, south = metrics.schedulers
    assert (north.weight, south.weight) == (3, 1)
    assert north.share_due == pytest.approx(0.75, abs=0.01) and north.share_got == pytest.approx(0.75, abs=0.01)
    assert value(metrics, "schedulers.south.share_ratio") == pytest.approx(1, abs=TENTH)
    assert value(metrics, "schedulers.north.submitted") == 924 and value(metrics, "schedulers.north.exit_0") == 924
    assert (value(metrics, "schedulers.north.p95_wait") or 0) < (value(metrics, "schedulers.south.p95_wait") or 0)
    assert metrics.total.ended == north.total.ended + south.total.ended == 1398
    assert metrics.share_fairness is not None and metrics.share_fairness > 0.999
    shown = "\n".join(report(rehearsal(loaded, result, "", metrics), 1.0, Style(columns=120)))
    assert "north          3   924     0       0" in shown and "75.0 %  75.0 %" in shown
    assert "south.reduce" in shown and "fairness   1.0000" in shown


def test_a_controller_that_shares_badly_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes all shares for equal; the figures say who got less than was promised."""
    honest = Sharing.charge

    def charge(self: Sharing, superior: Any, slots: int) -> None:
        terms, superior.terms = superior.terms, replace(superior.terms, share=1)
        honest(self, superior, slots)
        superior.terms = terms

    monkeypatch.setattr(Sharing, "charge", charge)
    loaded = load_rehearsal(OBSERVATORIES)
    result, metrics, _ = run(loaded.configuration, replace(loaded.scenario, for_ns=50 * MINUTE, faults=()))
    north, south = metrics.schedulers
    assert north.share_got == pytest.approx(0.5, abs=0.02) and north.share_due == pytest.approx(0.75, abs=0.01)
    assert south.share_ratio == pytest.approx(2, abs=0.1)
    assert metrics.share_fairness == pytest.approx((2 / 3 + 2) ** 2 / (2 * (4 / 9 + 4)), abs=0.02)
    judged = judge_expectations(loaded.scenario, result.tally, metrics)
    assert [one.expected for one in judged if "share" in one.expected and not one.held] == [
        "schedulers.north.share_ratio >", "share_fairness >",
    ]  # fmt: skip


# as live


def test_the_situation_of_the_live_test_gives_its_figure() -> None:
    """2,000 jobs on 8 slots, all of them waiting before the first may go; while both ask, the one with share 3 gets
    three of four."""
    periods = Periods(exec_ns=SECOND // 20, timeout_ns=600 * SECOND, pending_ns=600 * SECOND)
    task = TaskDefinition("quick", ("true",), source=LinesSource(("seq", "1", "1000")), periods=periods)
    hosts = tuple(HostDefinition(name, 4) for name in ("n1", "n2"))
    central = Configuration("c", "/", (), ClusterDefinition(hosts=hosts, schedulers=(("night", Terms(share=3)),)))
    weather = {"quick": TaskWeather(Constant(SECOND // 100), items=Items(every_ns=0, count=1000))}
    sharers = tuple(Sharer(name, Configuration(name, "/", (task,)), weather) for name in ("evening", "night"))
    orders = tuple(
        Ordered(at_ns, host=OrderHost(0, verb, name))
        for at_ns, verb in ((0, HostVerb.DRAIN), (60 * SECOND, HostVerb.ON)) for name in ("n1", "n2")
    )  # fmt: skip
    result, metrics, gifts = run(central, Scenario(for_ns=600 * SECOND, schedulers=sharers, orders=orders))
    assert not result.violations and gifts.ended == {"evening": 1000, "night": 1000}
    assert gifts.given[0][0] >= 60 * SECOND
    night = [name for _, name in gifts.given[:1300]].count("night") / 1300
    assert 0.75 * (1 - TENTH) < night < 0.75 * (1 + TENTH), night
    assert metrics.schedulers[1].share_ratio == pytest.approx(1, abs=0.02)


# the weather


class Ends:
    """How each job ended and how long it ran: scheduler -> item -> (exit code, ns)."""

    def __init__(self) -> None:
        self.of: dict[str, dict[int, tuple[int | None, int]]] = {}
        self.table: dict[type, Any] = {AttemptEnded: self._ended}

    def _ended(self, line: Committed) -> None:
        record: Any = line.record
        name = line.node.partition("/")[2]
        self.of.setdefault(name, {})[record.job] = (record.report.exit_code, record.report.ran_for_ns)


def test_who_else_is_there_does_not_change_what_the_jobs_of_a_scheduler_do() -> None:
    periods = Periods(exec_ns=SECOND, timeout_ns=600 * SECOND, pending_ns=3600 * SECOND)
    task = TaskDefinition("work", ("work",), source=LinesSource(("seq", "1", "40")), periods=periods)
    weather = TaskWeather(
        Uniform(SECOND, 9 * SECOND), exits=((0, 1.0), (3, 1.0)), items=Items(every_ns=SECOND, count=40)
    )
    both = tuple(Sharer(name, Configuration(name, "/", (task,)), {"work": weather}) for name in (NORTH, SOUTH))
    central = Configuration("c", "/", (), ClusterDefinition(hosts=(HostDefinition("node1", 2),)))
    found = []
    for schedulers in (both[:1], both, both[::-1]):
        ends = Ends()
        simulate(central, Scenario(for_ns=3600 * SECOND, schedulers=schedulers), readers=(ends,))
        found.append(ends.of)
    alone, first, second = found
    assert len(alone[NORTH]) == 40 and {code for code, _ in alone[NORTH].values()} == {0, 3}
    assert alone[NORTH] == first[NORTH] == second[NORTH] and first[SOUTH] == second[SOUTH]
    for what in (0, 1):
        north, south = ([end[what] for end in first[name].values()] for name in (NORTH, SOUTH))
        assert north != south, "each has a weather of its own"


# the report


def test_a_report_tells_of_each_scheduler(tmp_path: Path) -> None:
    loaded = load_rehearsal(OBSERVATORIES)
    loaded = with_settings(loaded, None, 30 * MINUTE)
    measuring, timeline = measuring_of(loaded.configuration, loaded.scenario), Timeline()
    readers = (measuring, for_all(loaded.scenario, timeline))
    result = simulate(loaded.configuration, loaded.scenario, readers=readers)
    metrics = measuring.metrics()
    write_csv(tmp_path, metrics, timeline, None)
    figures = dict(csv.reader((tmp_path / "figures.csv").read_text().splitlines()))
    assert float(figures["schedulers.north.share_got"]) == pytest.approx(0.75, abs=0.02)
    assert figures["schedulers.south.submitted"] == str(metrics.schedulers[1].total.submitted)
    spans = list(csv.DictReader((tmp_path / "jobs-on-hosts.csv").read_text().splitlines()))
    assert {(span["host"] == "local", span["task"]) for span in spans} == {
        (False, "north.reduce"), (False, "south.reduce"), (True, "north.tidy"), (True, "south.tidy"),
    }  # fmt: skip
    text = page(Told(loaded, rehearsal(loaded, result, "", metrics), metrics, timeline))
    assert "<td>north</td><td>3</td>" in text and "Jain's index of got by due: 1;" in text.replace("&#x27;", "'")
    assert "cluster.hosts   observatories.yaml:5" in text, "what all share stands in the controller's file"
    assert "north.reduce: run lognormal, median 50 s" in text
