"""Goal: a report says what was taken for granted: plans of faults with their distributions, open and closed loops.

Method: scenarios are loaded from their files, and the sentences are looked for.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from shell.config.scenario import load_rehearsal
from shell.report.assumptions import assumptions, distribution_text
from sim.distributions import Choice

PIPELINE = """\
cluster: {hosts: [{name: "node[1-2]"}]}
tasks: {warp: {command: [warp]}}
"""
SCENARIO = """\
pipeline: pipeline.yaml
groups: {both: "node[1-2]"}
plans:
  - grid5000
  - {fault: down, scope: group, gap: {exponential: 12h}, for: 20m}
  - {fault: slow factor=3, scope: 50%, every: 1d, for: 2h, first: 1h}
  - {fault: broken, first: 1h}
"""


def test_plans_of_faults_are_told_with_their_scope_and_their_distributions(tmp_path: Path) -> None:
    (tmp_path / "pipeline.yaml").write_text(PIPELINE)
    (tmp_path / "night.yaml").write_text(SCENARIO)
    told = assumptions(load_rehearsal(tmp_path / "night.yaml"), open_loop=False)
    assert [sentence for sentence in told if sentence.startswith("Faults")] == [
        (
            "Faults grid5000: down at 2 places, each by itself, for quantiles of 21 values, median 2.75 min, mean "
            "7.95 h; from the end of one to the next quantiles of 21 values, median 6.39 h, mean 31.7 h."
        ),
        (
            "Faults down: down at 2 places, in 1 group, each of which fails as a whole, for 20 min; "
            "from the end of one to the next exponential, mean 12 h."
        ),
        "Faults slow factor=3: slow at 2 places, 50 % of them, drawn each time, for 2 h; from one to the next 24 h.",
        "Faults broken: broken at 2 places, each by itself, once, for a moment.",
    ]


@pytest.mark.parametrize("open_loop", [False, True])
def test_a_pipeline_beside_a_job_log_is_a_closed_loop_beside_an_open_one(tmp_path: Path, open_loop: bool) -> None:
    (tmp_path / "pipeline.yaml").write_text(PIPELINE)
    told = " ".join(assumptions(load_rehearsal(tmp_path / "pipeline.yaml"), open_loop=open_loop))
    assert ("Jobs of the log come at its times" in told) == open_loop
    assert "Tasks poll as they do live" in told
    assert "Nothing is said of warp: their jobs run 5 s, exit 0" in told


def test_of_many_values_median_and_mean_are_told() -> None:
    few, many = Choice((10**9, 3 * 10**9), (1.0, 1.0)), Choice(tuple(10**9 * n for n in range(1, 22)), (1.0,) * 21)
    assert distribution_text(few) == "choice, values 1 s, 3 s, weights 1, 1"
    assert distribution_text(many) == "choice of 21 values, median 11 s, mean 11 s"
