"""Goal: the own past, replayed unchanged, is what it was; with a change it shows what the change does; and a fit of it
is what it was drawn from.

Method: a history is made by a simulation with known run times, whose records go into a real journal, at the wall times
at which they would have been written. So the truth is known, whatever this machine is like.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from live import compaction
from live.journal import Journal
from live.past import read_past
from live.recovery import recover
from model.job import SECOND
from shell.config.scenario import load_rehearsal
from shell.main import main
from shell.past_jobs import Retold, reshaped
from shell.whatif import ALL, NUMBER, TIME, Line, WhatIf, difference_text, figure_lines, figure_table
from sim.distributions import Lognormal
from sim.reshaping import Resample, Reshape
from sim.retelling import JobLife
from tests.shell.past_nights import make_night


@pytest.fixture(scope="module")
def past_night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a pipeline, and a state directory with the history of an hour that ended a moment ago."""
    return make_night(tmp_path_factory.mktemp("night"))


@pytest.fixture
def night(past_night: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(past_night)
    return past_night


def whatif(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    """The answer of the command, with seed 1 only."""
    assert main(["whatif", "pipeline.yaml", "--seeds", "1", "--json", *words]) == 0
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


def figures(answer: dict[str, Any], figure: str, task: str = "(all)") -> tuple[float, float, float]:
    line = next(line for line in answer["lines"] if (line["task"], line["figure"]) == (task, figure))
    return line["really"], line["baseline"], line["changed"]


def test_the_unchanged_replay_is_what_really_happened(night: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer = whatif(capsys, "--set", "tasks.clean.limits.in_flight=99")
    assert answer["ways"] == {"warp": "arrives", "stack": "follows", "clean": "arrives"}
    assert answer["measured"] > 0.95 * answer["jobs"] > 650
    found = answer["calibration"]
    assert found["jobs"] > 650
    assert found["same_outcome"] > 0.995
    assert found["mean_wait_replayed_ns"] == pytest.approx(found["mean_wait_really_ns"], rel=0.05, abs=50_000_000)
    assert found["makespan_replayed_ns"] == pytest.approx(found["makespan_really_ns"], rel=0.01)
    for figure in ("jobs", "good", "mean_wait_ns", "mean_response_ns"):
        _, baseline, changed = figures(answer, figure)
        assert baseline == changed, figure


def test_a_host_less_and_a_limit_show_where_they_should(night: Path, capsys: pytest.CaptureFixture[str]) -> None:
    off = whatif(capsys, "--set", "hosts.node3=off", "--set", "hosts.node4=off")
    really, baseline, changed = figures(off, "mean_wait_ns")
    assert changed > 10 * baseline
    assert changed > 10 * really
    slow = whatif(capsys, "--set", "tasks.warp.limits.in_flight=2")
    _, baseline, changed = figures(slow, "mean_response_ns", "warp")
    assert changed > 3 * baseline
    _, baseline, changed = figures(slow, "mean_wait_ns", "warp")
    assert changed <= baseline  # what the limit keeps back is not made yet, so it does not wait
    failing = whatif(capsys, "--fail", "100% of hosts down from 20m for 30m")
    assert figures(failing, "mean_wait_ns")[2] > 10 * figures(failing, "mean_wait_ns")[1]


def test_a_task_whose_period_is_changed_polls_by_itself(night: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer = whatif(capsys, "--set", "tasks.clean.periods.exec=2m")
    assert answer["ways"]["clean"] == "polled"
    really, baseline, changed = figures(answer, "jobs", "clean")
    assert baseline == pytest.approx(really, abs=2)
    assert changed == pytest.approx(really / 2, abs=2)


def test_from_now_on_what_is_not_finished_goes_on(night: Path, capsys: pytest.CaptureFixture[str]) -> None:
    past = read_past(night / ".laulima" / "journal.sqlite", time.time_ns())
    open_jobs = [job for job in past.jobs if job.final is None]
    assert open_jobs
    assert any(job.started_at for job in open_jobs)
    answer = whatif(capsys, "--from", "now", "--for", "30m", "--set", "hosts.node1=off")
    assert answer["calibration"] is None
    line = next(line for line in answer["lines"] if line["figure"] == "jobs" and line["task"] == "(all)")
    assert line["really"] is None
    assert line["baseline"] > len(open_jobs) + 25  # `clean` goes on once a minute
    good = next(line for line in answer["lines"] if line["figure"] == "open" and line["task"] == "(all)")
    assert good["baseline"] == 0


def test_a_task_that_polls_by_itself_does_so_for_as_long_as_was_asked(
    night: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = whatif(capsys, "--from", "now", "--for", "10m", "--set", "hosts.node1=off")
    line = next(line for line in answer["lines"] if (line["task"], line["figure"]) == ("clean", "jobs"))
    assert line["baseline"] == 10 + 1  # once a minute, at both ends; none in the time in which the hosts connect


def test_what_runs_on_a_host_that_is_switched_off_ends_there(night: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As live: the host takes nothing more, and is off when its jobs have ended."""
    past = read_past(night / ".laulima" / "journal.sqlite", time.time_ns())
    hosts = {job.host for job in past.jobs if job.final is None and job.started_at is not None}
    answer = whatif(capsys, "--from", "now", "--for", "1m", "--set", f"hosts.{min(filter(None, hosts))}=off")
    line = next(line for line in answer["lines"] if (line["task"], line["figure"]) == ("warp", "failed"))
    assert line["changed"] == line["baseline"], "none has waited for its host until its time was over"


def test_the_answer_for_people_names_the_calibration(night: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["whatif", "pipeline.yaml", "--from", "30m", "--seeds", "1-2", "--set", "hosts.node2=off"]) == 0
    out = capsys.readouterr().out
    assert "calibration: the unchanged replay: of " in out
    assert "--set hosts.node2=off" in out
    assert main(["whatif", "pipeline.yaml", "--from", "7d"]) == 2
    assert "nothing is changed" in capsys.readouterr().err
    assert main(["whatif", "pipeline.yaml", "--from", "1ms", "--set", "hosts.node2=off"]) == 1
    assert "no job was made in that time" in capsys.readouterr().err
    assert main(["whatif", "pipeline.yaml", "--set", "hosts.node2=off", "--report", "missing/page.html"]) == 1
    assert "make its folder first" in capsys.readouterr().err
    assert main(["whatif", "pipeline.yaml", "--set", "tasks.wrap.limits.in_flight=1"]) != 0
    assert "did you mean" in capsys.readouterr().err


def test_a_fit_is_what_the_history_was_drawn_from_and_a_rehearsal_reads_it(
    night: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", "pipeline.yaml", "--write", "measured.yaml"]) == 0
    assert "lognormal" in capsys.readouterr().out
    weather = load_rehearsal(night / "measured.yaml").scenario.tasks
    run = weather["warp"].run
    assert isinstance(run, Lognormal)
    assert run.median == pytest.approx(40 * SECOND, rel=0.1)
    assert run.sigma == pytest.approx(0.6, rel=0.1)
    exits = dict(weather["warp"].exits)
    assert exits[1] / (exits[0] + exits[1]) == pytest.approx(0.1, abs=0.03)
    assert weather["warp"].stdout_bytes.sample(0.5) == 2000
    items = weather["warp"].items
    assert items is not None
    assert items.burst == 3  # type: ignore[union-attr]
    assert items.every_ns == pytest.approx(30 * SECOND, rel=0.05)  # type: ignore[union-attr]
    assert main(["sim", "measured.yaml", "--for", "30m"]) == 0
    assert main(["fit", "pipeline.yaml", "--write", "measured.yaml"]) == 1


def test_a_past_is_the_same_when_its_journal_was_compacted(
    night: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    shutil.copy(night / ".laulima" / "journal.sqlite", state)
    path = state / "journal.sqlite"
    before = read_past(path, 0)
    monkeypatch.setattr(compaction, "SNAPSHOT_EVERY", 1)
    monkeypatch.setattr(compaction, "STORIES_KEPT", 0)
    journal = Journal(path)
    work = compaction.Compaction(journal, recover(journal))
    work._fold.since = 10**9
    while work.is_due:
        work.step()
    assert journal.snapshot()
    journal.close()
    after = read_past(path, 0)
    assert after.jobs == before.jobs
    assert any(job.started_at for job in after.jobs)
    assert (after.waiting, after.made) == (before.waiting, before.made)
    assert before.found_at
    assert not after.found_at
    capsys.readouterr()
    words = ["--set", "tasks.clean.limits.in_flight=99", "--state", str(state)]
    assert any("knows only when their jobs were made" in text for text in whatif(capsys, *words)["warnings"])
    assert whatif(capsys, *words[:2])["warnings"] == []


def test_a_difference_is_worded_as_a_measured_value() -> None:
    def difference(baseline: float, changed: float, kind: str = TIME) -> str:
        return difference_text(Line("warp", "mean_wait_ns", kind, 1, 1, None, baseline, changed, differs=True))

    assert difference(7_000_000, 6_600_000) == "-0.4 ms (-5.7 %)"
    assert difference(7_000, 6_600) == "-400 ns (-5.7 %)"
    assert difference(1200 * SECOND, 1236 * SECOND) == "+36 s (+3.0 %)"
    assert difference(100.4, 100.0) == "same"  # simulated time is whole nanoseconds
    assert difference(100.4, 100.0, NUMBER) == "-0.4 (-0.4 %)"


def lives(chance: Random) -> dict[str, JobLife]:
    """What becomes of forty jobs of four tasks: by chance alone."""
    return {
        f"{task}/{number}": JobLife(
            task,
            0,
            0,
            round(chance.expovariate(1e-9)),
            round(chance.expovariate(1e-10)),
            "",
            good=chance.random() < 0.8,
        )
        for task in ("warp", "sort", "clean", "keep")
        for number in range(10)
    }


@pytest.mark.parametrize("seeds", [1, 2, 5])
def test_equal_configurations_do_not_differ_in_any_of_their_many_figures(seeds: int) -> None:
    chance, wrong = Random(11), 0
    for _ in range(60):
        pairs = [(lives(chance), lives(chance)) for _ in range(seeds)]
        lines = figure_lines({}, pairs, (ALL, "warp", "sort", "clean", "keep"), by_chance=True)
        wrong += any(line.differs for line in lines)
    assert wrong <= 6  # 5 % of 60 is 3; without regard to their number it would be 20 to 60
    surely = figure_lines({}, [(lives(chance), lives(chance))], (ALL,), by_chance=False)
    assert all(line.differs == (line.baseline != line.changed) for line in surely)


def test_a_row_says_of_how_many_pairs_it_is() -> None:
    def ended(*after_s: int) -> dict[str, JobLife]:
        return {f"warp/{at}": JobLife("warp", 0, 0, 0, s * SECOND, "", good=True) for at, s in enumerate(after_s)}

    pairs = [(ended(1), ended(3)), (ended(1), {}), ({}, {})]
    lines = figure_lines({}, pairs, (ALL,), by_chance=True)
    found = {line.figure: line for line in lines}
    assert (found["jobs"].seeds, found["jobs"].pairs) == (3, 3)
    response = found["mean_response_ns"]
    assert (response.seeds, response.pairs, response.baseline, response.changed) == (2, 1, SECOND, 3 * SECOND)

    def shown(*seeds: int) -> tuple[list[str], list[tuple[str, ...]]]:
        some = [pairs[seed] for seed in seeds]
        lines = figure_lines({}, some, (ALL,), by_chance=True)
        return figure_table(WhatIf(0, 0, seeds, 1, 1, 0, 0, {}, lines, None, ()))

    heads, rows = shown(0, 1, 2)
    assert heads == ["TASK", "FIGURE", "PAIRS", "BASELINE", "CHANGED", "DIFFERENCE"]
    assert (ALL, "arrival to end, mean", "1", "1 s", "3 s", "+2 s (+200.0 %) may be luck") in rows
    heads, rows = shown(0)
    assert heads == ["TASK", "FIGURE", "BASELINE", "CHANGED", "DIFFERENCE"]
    heads, rows = shown(1)
    assert (ALL, "arrival to end, mean", "0", "-", "-", "-") in rows  # it was there, and is not: that is told
    heads, rows = shown(2)
    assert "arrival to end, mean" not in {row[1] for row in rows}


@pytest.fixture
def in_california(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "America/Los_Angeles")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("in_california")
def test_days_that_are_drawn_again_begin_at_midnight_where_the_pipeline_runs() -> None:
    """An item an hour for two weeks, named after its day there: whatever is drawn, a day is of one day."""
    begin = datetime(2026, 1, 5, 0, 30).astimezone()
    moments = [begin + timedelta(hours=hour) for hour in range(14 * 24)]
    arrivals = [
        (int((moment - begin).total_seconds()) * SECOND, f"{moment:%d} {number}")
        for number, moment in enumerate(moments)
    ]
    made = Retold(int(begin.timestamp()) * SECOND, 14 * 24 * 3600 * SECOND, {}, {}, arrivals={"warp": arrivals})
    again = reshaped(made, Reshape(resample=Resample.DAYS), 1).arrivals["warp"]
    days: dict[str, set[str]] = {}
    for at, item in again:
        days.setdefault(f"{begin + timedelta(seconds=at // SECOND):%d}", set()).add(item.split()[0])
    assert len(days) == 14
    assert all(len(sources) == 1 for sources in days.values()), days
    assert any({day} != sources for day, sources in days.items())
