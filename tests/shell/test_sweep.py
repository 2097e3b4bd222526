"""Goal: a sweep shows where the cliff is, and policies beside each other; a checkpoint of many worlds, and of one, is
gone on with by the same command.

Method: queues whose answer is known (M/D/1-like: one slot, known loads), invented bands for the knee, and small
rehearsals by the command line that are interrupted.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import shell.checkpointing
import shell.many_worlds
from model.errors import ConfigurationError
from model.job import SECOND
from shell.main import main
from shell.sweep_arms import Varied, parse_sweep
from sim.many import Drawn
from sim.sweeps import Band, band, knee
from tests.sim.job_logs import line, write_log

PIPELINE = """\
cluster:
  hosts: [{name: "node[1-4]", slots: 1}]
tasks:
  need:
    command: [need]
    host: {name: node2, required: true}
    periods: {exec: 1m, timeout: 10m, pending: 20m}
"""
SCENARIO = """\
pipeline: pipeline.yaml
for: 2h
tasks: {need: {run: 30s}}
faults: [node2 down 30m-60m]
expect: [lost < 2, failed < 5]
"""


@pytest.fixture
def night(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pipeline.yaml").write_text(PIPELINE)
    (tmp_path / "night.yaml").write_text(SCENARIO)
    return tmp_path


def answer_of(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    main(["sim", *words, "--json"])
    return json.loads(capsys.readouterr().out)


# words


@pytest.mark.parametrize(
    ("text", "varied"),
    [
        ("load=0.5..1.5:3", Varied("load", ("0.5", "1", "1.5"), (0.5, 1.0, 1.5))),
        ("down=0%..50%:3", Varied("down", ("0%", "25%", "50%"), (0.0, 25.0, 50.0))),
        ("a.b=1..4", Varied("a.b", ("1", "2", "3", "4"), (1.0, 2.0, 3.0, 4.0))),
        ("a.b=10s..30s:2", Varied("a.b", ("10s", "30s"), (10.0, 30.0))),
        ("a.b=5,7", Varied("a.b", ("5", "7"), (5.0, 7.0))),
        ("a.b=5s,7m", Varied("a.b", ("5s", "7m"))),
        ("when_down", Varied("when_down", ("wait", "fail", "{try: 3}", "elsewhere"))),
        ("a.b=[1, 2],{try: 3, x: 'a,b'}", Varied("a.b", ("[1, 2]", "{try: 3, x: 'a,b'}"))),
    ],
)
def test_what_is_varied(text: str, varied: Varied) -> None:
    assert parse_sweep(text) == varied


@pytest.mark.parametrize("text", ["load", "load=", "=1..2", "load=2..1", "a=1s..2m", "a=1..2:1", "a=7"])
def test_what_is_no_sweep_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        parse_sweep(text)
    assert "--sweep" in str(refused.value)
    assert "--sweep load=" in refused.value.hint


# arithmetic


def test_the_band_holds_the_seeds_between_5_and_95_per_cent() -> None:
    worlds = [Drawn(seed, figures={"p95_wait": float(seed)}) for seed in range(1, 101)]
    assert band([*worlds, Drawn(0, figures={"p95_wait": None})], "p95_wait") == Band(50.5, 5.0, 95.0, 100)
    assert band([], "p95_wait") == Band()


def test_the_knee_is_where_the_wait_is_twice_that_at_the_lowest_load() -> None:
    minute = 60.0 * SECOND
    assert knee([0.4, 0.6, 0.8], [minute, 1.5 * minute, 3.5 * minute]) == pytest.approx(0.65)
    assert knee([0.8, 0.4, 0.6], [2 * minute, minute, 1.5 * minute]) == pytest.approx(0.8)
    assert knee([0.4, 0.6], [minute, 1.9 * minute]) is None
    assert knee([0.4, 0.6, 0.8], [None, minute, None]) is None


def test_a_wait_of_nearly_nothing_counts_as_a_second() -> None:
    assert knee([1.0, 2.0, 3.0], [1e6, 1e8, 3.95 * SECOND]) == pytest.approx(2.5, abs=0.01)


# worlds


def test_the_offered_load_is_what_was_asked_for_and_the_queue_of_an_overload_grows(
    night: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """30 s a minute of one slot of four: a load of 1/8 as it is. At 1/4 the slot is always busy, at 3/8 it is short."""
    (night / "calm.yaml").write_text(SCENARIO.replace("faults: [node2 down 30m-60m]", ""))
    found = answer_of(capsys, "calm.yaml", "--sweep", "load=0.1,0.2,0.375", "--seeds", "1-2")
    bands = [point["bands"] for point in found["points"]]
    assert [one["offered_load"]["median"] for one in bands] == pytest.approx([0.1, 0.2, 0.375], rel=0.03)
    assert [one["utilization_nominal"]["median"] for one in bands] == pytest.approx([0.1, 0.2, 0.25], rel=0.03)
    assert bands[0]["max_wait"]["median"] < SECOND
    assert bands[2]["max_wait"]["median"] > 600 * SECOND
    assert 0.2 < found["knee"] < 0.375


def test_the_offered_load_of_a_job_log_is_that_of_the_log_whoever_is_served_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """600 slots x s in 100 s on 4 slots; how long the rest takes after the last submission is the policy's affair."""
    path = write_log(
        tmp_path / "a.swf", line(1, 0, 100, 2), line(2, 10, 50, 4), line(3, 20, 100), line(4, 100, 100), processors=4
    )
    for order in ("strict", "fill"):
        main(["sim", "--workload", str(path), "--order", order, "--json"])
        found = json.loads(capsys.readouterr().out)["metrics"]
        assert found["offered_load"] == pytest.approx(600 / (4 * 100), rel=1e-6)
        assert found["utilization_nominal"] < 0.9
        main(["sim", "--workload", str(path), "--order", order, "--seeds", "1-2", "--sweep", "load=0.5,2", "--json"])
        points = json.loads(capsys.readouterr().out)["points"]
        offered = [world["figures"]["offered_load"] for point in points for world in point["worlds"]]
        assert offered == pytest.approx([0.5, 0.5, 2.0, 2.0], rel=0.01)


def test_policies_for_a_host_that_is_down_beside_each_other(night: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """30 jobs come while node2 is down, one runs there. They wait (those of the first 10 minutes too long), fail, or go
    elsewhere."""
    assert main(["sim", "night.yaml", "--sweep", "when_down", "--seeds", "1"]) == 1
    said = capsys.readouterr().out
    rows = {line.split()[0]: line.split()[1:] for line in said.splitlines() if line[:1].isalpha()}
    assert rows["FIGURE"] == ["wait", "fail", "{try:", "3}", "elsewhere"]
    found = answer_of(capsys, "night.yaml", "--sweep", "when_down", "--seeds", "1-2")
    down, late, lost, failed = (
        [point["bands"][name]["median"] for point in found["points"]]
        for name in ("host_down", "pending_timeout", "lost", "failed")
    )
    assert down[0] == down[3] == 0
    assert 27 <= down[1] <= 31
    assert 9 <= late[0] <= 11
    assert late[1:] == [0, 0, 0]
    assert failed[3] == lost[3] <= 1
    assert found["knee"] is None
    assert [point["good"] for point in found["points"]] == [0, 0, 0, 2]


def test_as_many_hosts_are_down_as_the_share_says(night: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (night / "calm.yaml").write_text(SCENARIO.replace("faults: [node2 down 30m-60m]", ""))
    found = answer_of(capsys, "calm.yaml", "--sweep", "down=0%..75%:4", "--seeds", "1-2")
    shares = [point["bands"]["system_availability"]["median"] for point in found["points"]]
    assert shares == pytest.approx([1.0, 0.75, 0.5, 0.25])
    few = answer_of(capsys, "calm.yaml", "--sweep", "down=0%..50%", "--seeds", "1")
    assert [point["value"] for point in few["points"]] == ["0%", "25%", "50%"]
    assert found["note"] == ""
    said = "of 4 hosts these 8 shares are only 0, 1, 2: 5 values left out, the others stand as the share that they are"
    assert few["note"] == said
    main(["sim", "calm.yaml", "--sweep", "down=0%,20%,30%", "--seeds", "1", "--report", "few.html"])
    assert "\nvalues     of 4 hosts these 3 shares are only 0, 1: 1 value left out" in capsys.readouterr().out
    assert "0%, 25% (of 4 hosts these 3 shares are only 0, 1" in (night / "few.html").read_text()
    assert main(["sim", "calm.yaml", "--sweep", "down=0%..10%", "--seeds", "1"]) == 1
    assert "all these shares of 4 hosts are 0" in capsys.readouterr().err


def test_jobs_that_waited_in_vain_are_told_beside_the_knee(night: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where all hosts are down nothing starts, so no wait is long. A job a minute, of 20 min each: 100 by the end."""
    (night / "calm.yaml").write_text(SCENARIO.replace("faults: [node2 down 30m-60m]", ""))
    main(["sim", "calm.yaml", "--sweep", "down=0%,100%", "--seeds", "1", "--report", "down.html"])
    told = "of jobs that started; at 100% 100 of 100 ended without a start"
    assert f"\nwaits      {told}\n" in capsys.readouterr().out
    assert told in (night / "down.html").read_text()
    main(["sim", "calm.yaml", "--sweep", "load=0.1,0.2", "--seeds", "1"])
    assert "\nwaits" not in capsys.readouterr().out


def test_a_key_of_the_pipeline(night: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = answer_of(capsys, "night.yaml", "--sweep", "tasks.need.periods.pending=5m,40m", "--seeds", "1")
    late = [point["bands"]["pending_timeout"]["median"] for point in found["points"]]
    assert 24 <= late[0] <= 26
    assert late[1] == 0
    command = found["points"][0]["command"].split()
    assert command[-2:] == ["--set", "tasks.need.periods.pending=5m"]


def test_a_pipeline_without_required_hosts_has_no_policies_to_compare(
    night: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (night / "pipeline.yaml").write_text(PIPELINE.replace("host: {name: node2, required: true}", ""))
    assert main(["sim", "night.yaml", "--sweep", "when_down"])
    assert "requires a host" in capsys.readouterr().err


def test_the_page_of_a_sweep_asks_nobody_and_its_numbers_are_beside_it(night: Path) -> None:
    main(["sim", "night.yaml", "--sweep", "load=0.1..0.3:3", "--seeds", "1-2", "--csv", "csv", "--report", "a.html"])
    text = (night / "a.html").read_text()
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert text.count("<svg") == 2
    assert "laulima sim night.yaml" in text
    lines = (night / "csv" / "sweep.csv").read_text().splitlines()
    assert lines[0].startswith("load,place,seed,good,hash,ended,failed")
    assert len(lines) == 1 + 3 * 2


# checkpoints by command


class Killed(BaseException):
    """The process is gone."""


def test_one_world_goes_on_by_the_same_command(
    night: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["sim", "night.yaml", "--metrics", "--log", "log", "--checkpoint", "night.checkpoint"]
    main([*words[:-2], "--json"])
    whole, said = (night / "log").read_bytes(), json.loads(capsys.readouterr().out)

    class Once(shell.checkpointing.Pace):
        """Written at the 1000th of 2000 pieces."""

        pieces = 0

        def due(self) -> bool:
            self.pieces += 1
            if self.pieces > 1000:
                raise Killed
            return self.pieces == 1000

    with monkeypatch.context() as patch:
        patch.setattr(shell.checkpointing, "Pace", Once)
        with pytest.raises(Killed):
            main([*words, "--json"])
    assert len((night / "log").read_bytes()) < len(whole)
    capsys.readouterr()
    assert main([*words, "--json"]) == 1
    shown = capsys.readouterr()
    assert shown.err.startswith("goes on from night.checkpoint: 60 min of 2 h 00 were simulated before")
    assert (night / "log").read_bytes() == whole
    again = json.loads(shown.out)
    assert (again["hash"], again["metrics"], again["tasks"]) == (said["hash"], said["metrics"], said["tasks"])
    assert not (night / "night.checkpoint").exists()


def test_many_worlds_go_on_with_those_that_are_not_finished(
    night: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["night.yaml", "--seeds", "1-6", "--checkpoint", "worlds"]
    whole = answer_of(capsys, *words[:3])
    run = shell.many_worlds.Runs.run
    ran: list[int] = []

    def counted(arm_and_seed: tuple[int, int]) -> Drawn:
        if len(ran) == 4:
            raise Killed
        ran.append(arm_and_seed[1])
        return run(arm_and_seed)

    monkeypatch.setattr(shell.many_worlds.Runs, "run", counted)
    with pytest.raises(Killed):
        main(["sim", *words])
    with (night / "worlds").open("ab") as file:
        file.write(b'{"arm":0,"wor')
    ran.clear()
    capsys.readouterr()
    assert answer_of(capsys, *words) == whole
    assert ran == [5, 6]
    assert not (night / "worlds").exists()


def test_finished_worlds_of_another_pipeline_are_refused(
    night: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def killed(_: tuple[int, int]) -> Drawn:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(shell.many_worlds.Runs, "run", killed)
        with pytest.raises(Killed):
            main(["sim", "night.yaml", "--seeds", "1-2", "--checkpoint", "worlds"])
    (night / "pipeline.yaml").write_text(PIPELINE.replace("20m", "21m"))
    assert main(["sim", "night.yaml", "--seeds", "1-2", "--checkpoint", "worlds"])
    assert "of other files, options or versions" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--checkpoint", "c"], "needs the event log"),
        (["--checkpoint", "c", "--log", "l", "--jobs-csv", "j"], "--jobs-csv"),
        (["--sweep", "load=1..2", "--until", "expect"], "--sweep"),
        (["--sweep", "load=1..2", "--log", "l"], "--sweep"),
        (["--sweep", "tasks.nedd.slots=1,2"], "there is no task nedd"),
    ],
)
@pytest.mark.usefixtures("night")
def test_options_that_mean_nothing_together(words: list[str], why: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sim", "night.yaml", *words])
    assert why in capsys.readouterr().err
