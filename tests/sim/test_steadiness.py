"""Goal: where the beginning of a run, with empty hosts, changes its averages by more than chance, that is said with the
option that leaves it out; where it does not, nothing is said.

Method: jobs that take long beside the time simulated, whose ramp is known by hand; brief ones; a queue that varies by
itself; the text of a rehearsal, without and with the option that it names.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from model.configuration import ClusterDefinition, Configuration, HostDefinition
from model.job import SECOND
from model.task import Periods, TaskDefinition
from shell.main import main
from sim.distributions import Constant, Distribution, Exponential
from sim.scenario import Network, Scenario, TaskWeather
from sim.simulation import simulate
from sim.steadiness import JOBS_MIN, unsteady
from sim.timeline import Timeline

MINUTE = 60 * SECOND
HOUR = 60 * MINUTE


def course(run: Distribution, *, for_ns: int, slots: int, every: int = MINUTE) -> Timeline:
    """Of jobs that come regularly, on one host."""
    cluster = ClusterDefinition(hosts=(HostDefinition("node1", slots),))
    task = TaskDefinition("a", command=("x",), periods=Periods(exec_ns=every, timeout_ns=0, pending_ns=0))
    timeline = Timeline()
    scenario = Scenario(for_ns=for_ns, network=Network(0, 0, 0), tasks={"a": TaskWeather(run=run)})
    simulate(Configuration("small", "/", (task,), cluster), scenario, readers=(timeline,))
    return timeline


def test_hosts_that_fill_slowly_are_told() -> None:
    """A job a minute that takes 100 minutes: 100 slots are in use, but for the first 100 minutes of 800."""
    (line,) = unsteady(course(Constant(100 * MINUTE), for_ns=800 * MINUTE, slots=200))
    assert line.figure == "slots in use"
    assert line.whole == pytest.approx(100 * (1 - 50 / 800), rel=0.01)
    assert line.after == pytest.approx(100, rel=0.001)
    assert 100 * MINUTE < line.cut_ns < (100 + 0.05 * 700 + 5) * MINUTE  # until 35 of 700 have ended


def test_a_beginning_that_changes_next_to_nothing_is_not() -> None:
    """Three minutes of 800: 0.2 %, though nothing else varies."""
    assert unsteady(course(Constant(3 * MINUTE), for_ns=800 * MINUTE, slots=4)) == []


def test_nor_is_one_that_differs_less_than_the_rest_does_by_itself() -> None:
    """One slot, in use for 95 % of the time: its queue comes and goes. Without the first jobs it is 5 % longer."""
    assert unsteady(course(Exponential(57 * SECOND), for_ns=8 * HOUR, slots=1)) == []


def test_of_few_jobs_nothing_is_said() -> None:
    for_ns = (JOBS_MIN + 98) * MINUTE
    assert unsteady(course(Constant(100 * MINUTE), for_ns=for_ns, slots=200)) == []


def test_a_rehearsal_names_the_option_and_is_content_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("p.yaml").write_text(
        "cluster: {hosts: [{name: n1, slots: 200}]}\n"
        "tasks: {a: {command: [a], periods: {exec: 1m, timeout: 3h, pending: 1h}}}\n"
    )
    Path("s.yaml").write_text("pipeline: p.yaml\nfor: 800m\ntasks: {a: {run: 100m}}\n")
    assert main(["sim", "s.yaml", "--metrics", "--report", "r.html"]) == 0
    said = capsys.readouterr().out
    told = re.search(
        r"the beginning counts: slots in use 93\.\d+ on average, 100 after the first 5 % of the jobs: (--warm-up \S+)$",
        said,
        re.MULTILINE,
    )
    assert told is not None, said
    assert "the beginning counts: slots in use 93." in Path("r.html").read_text()
    assert main(["sim", "s.yaml", "--metrics", *told[1].split()]) == 0
    assert "the beginning counts" not in capsys.readouterr().out
