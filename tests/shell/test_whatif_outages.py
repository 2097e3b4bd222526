"""Goal: a what-if meets the failures that there really were, in both worlds, unless it is asked what had been without;
looking ahead it begins with the hosts, tasks and jobs as they are; and its page shows live beside simulated.

Method: histories of simulations with known failures, in real journals.
"""

from __future__ import annotations

import csv
import json
import time
from pathlib import Path
from typing import Any

import pytest

from live.host_outages import Outage
from live.journal import Journal
from live.past import read_past
from model.job import SECOND
from model.records import HostChanged, NoticeHeard, TaskChanged
from shell.config import load
from shell.main import main
from shell.past_jobs import go_on
from shell.whatif import Side, world_of
from tests.shell.past_nights import make_night
from tests.shell.test_report import Parsed, assert_asks_for_nothing

PIPELINE = """
cluster:
  hosts: [{name: "node[1-3]", slots: 1, link: process}]
tasks:
  reduce: {command: [reduce], host: any, periods: {exec: 30s, timeout: 10m, pending: 2h}, when_lost: {rerun: 3}}
  pinned: {command: [pinned], host: {name: node3, required: true}, periods: {exec: 2m, pending: 2h}}
"""
SCENARIO = """
pipeline: pipeline.yaml
for: 40m
tasks: {reduce: {run: {uniform: [40s, 70s]}}, pinned: {run: 10s}}
faults:
  - node1 down 10m-20m
  - node3 split 15m-25m
"""
MINUTE = 60 * SECOND


@pytest.fixture(scope="module")
def past_night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty minutes in which a host was down, and another one cut off."""
    return make_night(tmp_path_factory.mktemp("night"), SCENARIO, PIPELINE)


@pytest.fixture
def night(past_night: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(past_night)
    return past_night


def figures(answer: dict[str, Any], figure: str, task: str = "(all)") -> tuple[float, float, float]:
    line = next(line for line in answer["lines"] if (line["task"], line["figure"]) == (task, figure))
    return line["really"], line["baseline"], line["changed"]


def test_failures_are_read_with_what_they_did(night: Path) -> None:
    now = time.time_ns()
    first, second = read_past(night / ".laulima" / "journal.sqlite", now - 60 * MINUTE).outages
    assert (first.host, first.silent, first.lost) == ("node1", True, True)
    assert (second.host, second.silent) == ("node3", True)
    assert first.end_at is not None and second.end_at is not None
    assert first.end_at - first.begin_at == pytest.approx(10 * MINUTE, rel=0.1)  # a minute from one try to the next
    assert second.end_at - second.begin_at == pytest.approx(10 * MINUTE, rel=0.1)


def test_they_come_again_and_a_page_shows_how_well(night: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["whatif", "pipeline.yaml", "--seeds", "1", "--faults", "none", "--json"]
    assert main([*words, "--report", "report.html", "--jobs-csv", "jobs.csv"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["outages"] == 2
    for task in ("reduce", "pinned"):
        really, baseline, changed = figures(answer, "mean_wait_ns", task)
        assert baseline == pytest.approx(really, rel=0.25), task
        assert changed < really / 3, task
    assert answer["calibration"]["same_outcome"] > 0.98

    page = Parsed(Path("report.html").read_text())
    assert_asks_for_nothing(page)
    assert "Simulated against live" in page.text
    assert page.tags.count("svg") == 1
    assert "laulima whatif pipeline.yaml --from 7d --seeds 1 --faults none" in page.text
    assert all(word in page.text for word in ("live", "baseline, simulated", "changed, simulated"))
    with Path("jobs.csv").open() as file:
        rows = list(csv.DictReader(file))
    arms = {arm: [row for row in rows if row["arm"] == arm] for arm in ("live", "baseline", "changed")}
    assert len(arms["live"]) == figures(answer, "jobs")[0]
    waits = [float(row["started"]) - float(row["made"]) for row in arms["baseline"] if row["started"]]
    assert sum(waits) / len(waits) == pytest.approx(figures(answer, "mean_wait_ns")[1] / 1e9)


def test_without_notices_the_loss_of_jobs_tells_of_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The journal of a server of an earlier version."""
    monkeypatch.chdir(make_night(tmp_path, SCENARIO, PIPELINE, notices=False))
    assert main(["whatif", "pipeline.yaml", "--seeds", "1", "--set", "hosts.node2=off", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["outages"] >= 1
    really, baseline, _ = figures(answer, "mean_wait_ns", "reduce")
    assert baseline > really / 2


def test_looking_ahead_begins_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """node2 is drained, node3 went a moment ago, and nobody has released `reduce`."""
    night = make_night(tmp_path, SCENARIO, PIPELINE)
    monkeypatch.chdir(night)
    journal = Journal(night / ".laulima" / "journal.sqlite")
    journal.append([("controller", HostChanged("node2", "drain", reason="new disk"))])
    journal.append([("controller", NoticeHeard("warning", "host node3", "down: connection reset"))])
    journal.append([("scheduler", TaskChanged("reduce", held="a look at it"))])
    journal.close()
    past = read_past(night / ".laulima" / "journal.sqlite", time.time_ns())
    assert [(outage.host, outage.end_at) for outage in past.outages][-1] == ("node3", None)
    assert ([order.host for order in past.host_orders], past.held) == (["node2"], {"reduce": "a look at it"})
    words = ["whatif", "pipeline.yaml", "--from", "now", "--for", "30m", "--seeds", "1", "--json"]
    assert main([*words, "--set", "hosts.node1=off"]) == 0
    answer = json.loads(capsys.readouterr().out)
    warnings = " ".join(answer["warnings"])
    assert "node3 is away" in warnings
    assert "left out: reduce" in warnings
    jobs = next(line for line in answer["lines"] if (line["task"], line["figure"]) == ("reduce", "jobs"))
    assert jobs["baseline"] <= sum(job.final is None and job.spec.task == "reduce" for job in past.jobs)


def test_a_host_that_is_away_now_stays_so_for_as_long_again(night: Path) -> None:
    now = time.time_ns()
    past = read_past(night / ".laulima" / "journal.sqlite", now - 60 * MINUTE)
    past.outages = [Outage("node3", now - 20 * MINUTE, None)]
    configuration = load(night / "pipeline.yaml").configuration
    made = go_on(past, configuration, configuration, now, 60 * MINUTE, 1)
    assert made.away == [("node3", 20 * MINUTE)]
    waits = {}
    for as_it_was in (True, False):
        lives = world_of(made, Side(configuration, as_it_was=as_it_was), 1).values()
        waits[as_it_was] = max(life.wait_ns or 0 for life in lives if life.task == "pinned")
    assert 15 * MINUTE < waits[True] < 22 * MINUTE
    assert waits[False] < MINUTE
