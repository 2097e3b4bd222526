"""Goal: one command after the installation replays a job log that comes with it, with a report; the log is what its
generator makes, to the byte, and what the model of Lublin and Feitelson says.

Method: the generator again; shares and quantiles of a long log against those of the model's own distributions; the
command as a person gives it.
"""

from __future__ import annotations

import math
from pathlib import Path
from statistics import fmean

import pytest

from benchmarks.lublin_log import GAP, GAP_LOG_MAX, PROCESSORS, RUSH, SLOTS, cycle, gamma_share, log_text
from shell.main import main
from shell.shipped_files import shipped

SIZE_MAX = 80_000
MANY = 4000


def test_the_log_is_what_its_generator_makes() -> None:
    text = shipped("lublin-1000.swf").read_text(encoding="utf-8")
    assert text == log_text()
    assert len(text) < SIZE_MAX
    assert "; Note: seed 1\n" in text


def test_its_jobs_are_those_of_the_model() -> None:
    rows = [[int(word) for word in line.split()] for line in log_text(7, MANY).splitlines() if line[0] != ";"]
    assert len(rows) == MANY
    widths = [row[4] for row in rows]
    assert max(widths) == PROCESSORS
    assert widths.count(1) / MANY == pytest.approx(0.244, abs=0.03)
    powers = sum(width > 1 and math.log2(width).is_integer() for width in widths) / MANY
    assert powers > 0.576 - 0.03  # and some of the others by chance
    wide = [row[3] for row in rows if row[4] > 64]
    narrow = [row[3] for row in rows if row[4] == 1]
    assert fmean(run > 3600 for run in narrow) == pytest.approx(0.22, abs=0.08)  # the long kind: 22 %, and some brief
    assert fmean(run > 3600 for run in wide) > fmean(run > 3600 for run in narrow) + 0.2
    days = (rows[-1][1] - rows[0][1]) / 86400
    gap_s = math.exp(-GAP[0] * RUSH * math.log(1 - GAP[1]))  # the mean of exp(gamma), but for what is drawn again
    assert days * 86400 / MANY == pytest.approx(gap_s, rel=0.35)  # a heavy tail
    assert math.exp(GAP_LOG_MAX) > 100 * gap_s
    noon, night = (
        [sum(row[1] % 86400 // 1800 in half_hours for row in rows)] for half_hours in (range(20, 32), range(12))
    )
    assert noon[0] > 3 * night[0]


def test_the_day_has_its_cycle() -> None:
    assert gamma_share(1.0, 2.0) == pytest.approx(1 - math.exp(-2.0))
    weights = cycle()
    assert len(weights) == SLOTS
    assert fmean(weights) == pytest.approx(1.0)
    assert 20 <= weights.index(max(weights)) <= 30  # from ten in the morning to three in the afternoon


def test_one_command_replays_it_and_makes_a_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["sim", "--workload", "lublin", "--report", "report.html"]) == 0
    said = capsys.readouterr().out
    assert "1000 ended well, 0 otherwise, 0 are open" in said
    assert "workload   1000 jobs of lublin, first come, first served" in said
    assert said.rstrip().endswith("again      laulima sim --seed 1 --workload lublin")
    assert "lublin" in Path("report.html").read_text()


def test_a_file_of_the_same_name_is_that_file_and_another_name_is_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["sim", "--workload", "lublim"]) == 1
    assert "there is no file lublim, did you mean lublin?" in " ".join(capsys.readouterr().err.split())
    Path("lublin").write_text("; MaxProcs: 4\n1 0 -1 5 1 -1 -1 1 -1 -1 1 1 1 -1 -1 -1 -1 -1\n")
    assert main(["sim", "--workload", "lublin"]) == 0
    assert "workload   1 job of lublin" in capsys.readouterr().out
