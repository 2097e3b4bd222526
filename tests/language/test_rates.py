"""Goal: a task with macros is asked on the grid of its period, exactly, with one run of its macro for each job, and
never are more jobs alive than its limit says. Method: scripts that measure themselves, rehearsed on the virtual clock,
where a rate is exact on any machine; `benchmarks/test_scripted_tasks.py` measures the same live.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from model.scripting import Stream
from shell.config.scenario import load_rehearsal
from shell.language.machine import Scripts
from sim.simulation import simulate
from sim.world import Scripting

RATE = """\
$asked = 0
$ended = 0
$worst = 0
task tick
  host local
  command work
  periods -exec PERIOD -poll 0.05 -timeout 10
  npending PENDING
  nmax JOBS
  task.exec
    if ($asked == 0) date -var t0 -seconds
    $asked ++
    $alive = $asked - $ended
    if ($alive > $worst) set worst = $alive
    if ($asked == JOBS) date -var dt -seconds -reftime $t0
  end
  task.exit 0
    $ended ++
    if ($ended < JOBS) last
    $rate = (JOBS - 1) / $dt
    echo RESULT $rate $asked $worst
    quit
  end
end
run
"""

DECLINING = """\
$tries = 0
task never
  host local
  command work
  periods -exec 0.005
  task.exec
    if ($tries == 0) date -var t0 -seconds
    $tries ++
    if ($tries < 2001) break
    date -var dt -seconds -reftime $t0
    $rate = 2000 / $dt
    echo RESULT $rate
    quit
  end
end
run
"""


def measured(folder: Path, text: str, ends: str = "run: 1ms") -> list[float]:
    """The numbers of the line `RESULT …` that the script prints; `ends`: how its jobs end."""
    (folder / "script.pro").write_text(text)
    tasks = f"tasks:\n  tick: {{{ends}}}\n" if "task tick" in text else ""
    (folder / "script.yaml").write_text(f"pipeline: script.pro\nfor: 5m\n{tasks}")
    loaded = load_rehearsal(folder / "script.yaml")
    shown: dict[Stream, str] = {Stream.OUT: "", Stream.ERROR: ""}

    def show(stream: Stream, said: str) -> None:
        shown[stream] += said

    def read(path: str) -> str | None:
        return text if path.endswith("script.pro") else None

    result = simulate(loaded.configuration, loaded.scenario, scripting=Scripting(Scripts, show, read))
    assert not result.violation_count, result.violations
    assert not result.script_failed, shown
    [line] = [line for line in shown[Stream.OUT].splitlines() if line.startswith("RESULT")]
    return [float(word) for word in line.split()[1:]]


@pytest.mark.parametrize(("period", "jobs"), [(0.2, 50), (0.005, 1000)])
def test_a_task_starts_a_job_each_period_with_one_run_of_its_macro(tmp_path: Path, period: float, jobs: int) -> None:
    text = RATE.replace("PERIOD", f"{period}").replace("PENDING", "20").replace("JOBS", f"{jobs}")
    rate, asked, worst = measured(tmp_path, text)
    assert rate == pytest.approx(1 / period, rel=0.001)
    assert asked == jobs
    assert worst <= 20


def test_where_jobs_take_longer_than_the_limit_on_them_allows_they_decide_the_rate(tmp_path: Path) -> None:
    """Five jobs of 100 ms at once are 50 a second, whatever the period asks: a place that is free is used at once."""
    text = RATE.replace("PERIOD", "0.005").replace("PENDING", "5").replace("JOBS", "200")
    rate, asked, worst = measured(tmp_path, text, "run: 100ms")
    assert worst == 5
    assert asked == 200
    assert 50 < rate < 51


def test_a_macro_that_declines_is_asked_again_each_period(tmp_path: Path) -> None:
    assert measured(tmp_path, DECLINING) == [pytest.approx(200, rel=0.001)]
