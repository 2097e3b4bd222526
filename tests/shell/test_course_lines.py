"""Goal: a terminal shows the course of a run as bars: when jobs waited, how full the slots were, when hosts were away.

Method: small runs whose course is known; the lines as text, with and without a terminal that knows bars.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from model.configuration import ClusterDefinition, Configuration, HostDefinition
from model.job import SECOND
from model.task import FilesSource, Periods, TaskDefinition
from shell.course_lines import course_lines, ends_by_task
from shell.main import main
from shell.tables import Style
from sim.distributions import Constant
from sim.scenario import Fault, Items, Kind, Scenario, TaskWeather
from sim.simulation import simulate
from sim.timeline import Timeline

HOUR = 3600 * SECOND
START = datetime(2026, 3, 4, 23, tzinfo=UTC)


@pytest.fixture(scope="module")
def timeline() -> Timeline:
    """A slot that is always busy but for the second of three hours, in which its host is down and jobs wait."""
    cluster = ClusterDefinition(hosts=(HostDefinition("node1"),))
    work = TaskDefinition("work", ("x",), periods=Periods(exec_ns=60 * SECOND, timeout_ns=0, pending_ns=0))
    scenario = Scenario(
        for_ns=3 * HOUR,
        tasks={"work": TaskWeather(run=Constant(59 * SECOND))},
        faults=(Fault(Kind.DOWN, ("node1",), HOUR, HOUR),),
    )
    found = Timeline()
    simulate(Configuration("small", "/", (work,), cluster), scenario, readers=(found,))
    return found


def bars(line: str) -> str:
    return line[11:].partition("  most")[0].partition("  of")[0]


def test_the_course_is_a_bar_for_each_part_of_the_run(timeline: Timeline) -> None:
    head, waiting, busy, away = course_lines(timeline, START, Style(columns=0))
    assert head == "course     23:00 to 02:00, each mark 3 min"
    assert all(len(line[11:71]) == 60 for line in (waiting, busy, away))
    assert re.fullmatch(r" {20}█{20}[ ▁▂] {19}", away[11:71])
    assert away.endswith("most 1 slot, 00:00")
    assert set(busy[13:30]) == {"█"} and busy[32:50].strip() == "" and set(busy[53:71]) == {"█"}
    assert busy.endswith("of 1 slot")
    assert waiting[11:30].strip("▁ ") == "" and waiting[50] in "▇█"
    assert re.search(r"most 6\d jobs, 0[12]:\d\d$", waiting)


def test_narrow_and_plain_terminals_get_fewer_and_plain_marks(timeline: Timeline) -> None:
    lines = course_lines(timeline, START, Style(columns=60, ellipsis="..."))
    assert all(line.isascii() for line in lines)
    assert len(lines[2]) <= 60
    assert "\x1b" not in "".join(lines)
    assert re.fullmatch(r"no power {6,}[*@]+ {8,}most 1 slot, 00:00", lines[3])


def test_the_ends_of_a_task_are_counted_over_time(timeline: Timeline) -> None:
    ends = ends_by_task(timeline)["work"]
    assert len(ends) == 12
    assert ends[5:8] == [0, 0, 0]
    assert min(ends[:4]) >= 14 and min(ends[9:]) >= 14
    assert sum(ends) == sum(end >= 0 for end in timeline.spans.end)


def test_a_run_in_which_nothing_happens_has_no_course() -> None:
    assert course_lines(Timeline(), START, Style()) == []


def test_a_rehearsal_shows_it_also_in_a_pipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pipeline.yaml").write_text(
        "cluster: {hosts: [{name: node1}]}\ntasks: {a: {command: [a], host: any, periods: {exec: 1m}}}\n"
    )
    assert main(["sim", "pipeline.yaml", "--for", "1h"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^TASK .* ENDS +OUTCOMES$", out, re.MULTILINE)
    assert re.search(r"^course     \d\d:\d\d to \d\d:\d\d, each mark ", out, re.MULTILINE)
    assert re.search(r"^busy       [ ▁-█]+  of ", out, re.MULTILINE)
    assert "\x1b" not in out


def burst(*faults: Fault, jobs: int = 40) -> Timeline:
    """On a host of one slot: so many jobs of 100 ms at once, once a day."""
    cluster = ClusterDefinition(hosts=(HostDefinition("node1"),))
    work = TaskDefinition("work", ("x",), periods=Periods(timeout_ns=0, pending_ns=0), source=FilesSource("in/*"))
    items = Items(first_ns=HOUR, every_ns=24 * HOUR, burst=jobs)
    weather = {"work": TaskWeather(run=Constant(SECOND // 10), items=items)}
    found = Timeline()
    simulate(
        Configuration("small", "/", (work,), cluster), Scenario(tasks=weather, faults=faults), readers=(found,)
    )  # fmt: skip
    return found


def test_the_most_is_that_of_a_moment_however_short_it_was() -> None:
    lines = course_lines(burst(Fault(Kind.REBOOT, ("node1",), 3 * HOUR, SECOND)), START, Style(columns=0))
    assert lines[1].endswith("most 39 jobs, 00:00")
    assert set(lines[1][11:71]) == {" ", "▁"}, "their mean over 24 min is much less than a job"
    assert lines[3].startswith("no power") and lines[3].endswith("most 1 slot, 02:00")


def test_jobs_that_only_are_on_their_way_do_not_wait() -> None:
    waiting = course_lines(burst(jobs=1), START, Style(columns=0))[1]
    assert waiting.split() == ["waiting", "never", "a", "job", "for", "100", "ms"]
