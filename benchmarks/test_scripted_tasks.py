"""Goal: tasks whose exec and exit macros are scripts start when they are asked to, hold their limits, and cannot hold
each other up. Method: servers run scripts that measure themselves, as their users do, with real processes; what a
script claims is compared with what is seen from outside: the journal, living processes, `/proc`.

A rate is a share of what the periods ask for, so no machine's speed is in what is required, as long as it keeps up. One
whose cores are wanted by others does not, whoever asks; so a row says what is asked, and less of it is asserted.
"""

from __future__ import annotations

import statistics
import subprocess
import time
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import Figure
from benchmarks.scripted_server import START_LIMIT, milliseconds, once, percentile, results, scripted_server
from model.job import SECOND

pytestmark = [pytest.mark.timeout(600), pytest.mark.benchmark(group="scripted tasks")]


# rates

ROUNDS_MOST = 2
"""Then once more, and the better round counts."""
NOISE = 0.5
"""So much of a rate is asserted."""
RATE = """\
$asked = 0
$ended = 0
$worst = 0

task tick
  host local
  command true
  periods -exec PERIOD -poll 0.05 -timeout 10
  npending PENDING
  nmax JOBS
  task.exec
    if ($asked == 0)
      date -var t0 -seconds
      echo "RESULT begun 0"
    end
    $asked ++
    $alive = $asked - $ended
    if ($alive > $worst) set worst = $alive
    if ($asked == JOBS)
      date -var dt -seconds -reftime $t0
      $rate = (JOBS - 1) / $dt
      echo "RESULT rate $rate"
    end
  end
  task.exit 0
    $ended ++
    if ($ended == JOBS)
      echo "RESULT asked $asked ended $ended worst $worst"
      quit
    end
  end
end

run
"""
ENDS = """
SELECT count(*), count(DISTINCT job), min(accepted_at), max(accepted_at) FROM attempt
WHERE outcome = 'EXITED' AND exit_code = 0 AND final
"""


@pytest.mark.parametrize(
    ("period", "jobs", "pending", "required"), [(0.2, 30, 5, 4.95), (0.005, 2_200, 20, 180.0)], ids=["0.2 s", "0.005 s"]
)
def test_a_task_starts_as_often_as_its_period_says(
    benchmark: BenchmarkFixture,
    figure: Figure,
    tmp_path: Path,
    period: float,
    jobs: int,
    pending: int,
    required: float,
) -> None:
    """Each job has one run of its exec macro and one of its exit macro; none is lost, none too many are alive."""
    text = RATE.replace("PERIOD", f"{period}").replace("PENDING", f"{pending}").replace("JOBS", f"{jobs}")
    rounds: list[tuple[float, str]] = []

    def measure() -> None:
        while len(rounds) < ROUNDS_MOST and max(rounds, default=(0.0, ""))[0] < required:
            rounds.append(rate_of(tmp_path / f"{len(rounds)}", text, jobs, pending, jobs * period * 3 + START_LIMIT))

    once(benchmark, measure)
    rate, words = max(rounds)
    benchmark.extra_info.update(rates=[round(rate, 2) for rate, _ in rounds])
    figure(f"scripted task, period {period:g} s", f"{rate:.2f} jobs/s{words}", f"{required:g} jobs/s")
    assert rate >= NOISE * required
    # on the grid of its period, and never faster: after a stand-still one start may come early
    assert rate <= 1.01 / period


def rate_of(folder: Path, text: str, jobs: int, pending: int, limit: float) -> tuple[float, str]:
    """Starts a second, by the slower of the script's clock and the journal's, and what else was seen."""
    said: dict[str, float] = {}
    spent: list[float] = []
    with scripted_server(folder, text) as server:
        for _, line in server.lines(limit):
            said.update(results(line))
            if "begun" in line or "rate" in line:
                spent.append(server.cpu_seconds())
        server.ended_well()
        [(ends, different, first, last)] = server.ask_journal(ENDS)
    assert (said["asked"], said["ended"], ends, different) == (jobs, jobs, jobs, jobs)
    assert said["worst"] <= pending
    seconds = (last - first) / SECOND
    share = (spent[1] - spent[0]) / seconds
    words = f", at most {said['worst']:.0f} of {pending} alive, server {share:.0%} of a core"
    return min(said["rate"], (jobs - 1) / seconds), words


DECLINING = """\
$tries = 0

task never
  host local
  command true
  periods -exec 0.005
  task.exec
    if ($tries == 0) date -var t0 -seconds
    $tries ++
    if ($tries == 2001)
      date -var dt -seconds -reftime $t0
      $rate = 2000 / $dt
      echo "RESULT rate $rate"
      quit
    end
    break
  end
end

run
"""


def test_a_macro_that_always_declines_is_tried_as_often_as_its_period_says(
    benchmark: BenchmarkFixture, figure: Figure, tmp_path: Path
) -> None:
    said: dict[str, float] = {}
    with scripted_server(tmp_path, DECLINING) as server:
        once(benchmark, lambda: said.update(server.answers(20 + START_LIMIT)))
        assert server.ask_journal("SELECT count(*) FROM record WHERE kind = 'job accepted'") == [(0,)]
    rate = said["rate"]
    benchmark.extra_info.update(rate=round(rate, 1))
    figure("scripted task that declines, period 0.005 s", f"{rate:.1f} tries/s ({rate / 200:.1%})", "190 tries/s")
    assert NOISE * 190 <= rate <= 202


# limits

LIMITED = """\
$asked = 0
$ended = 0
$worst = 0

task many
  host local
  command sleep 0.1009
  periods -exec 0.01 -poll 0.02 -timeout 20
  npending 5
  nmax 300
  task.exec
    $asked ++
    $alive = $asked - $ended
    if ($alive > $worst) set worst = $alive
  end
  task.exit 0
    $ended ++
    if ($ended == 300)
      echo "RESULT asked $asked worst $worst"
      quit
    end
  end
end

run
"""


def most_at_once(spans: list[tuple[int, ...]]) -> int:
    """The most of the [start, end) that overlap."""
    changes = sorted([(start, 1) for start, _ in spans] + [(end, -1) for _, end in spans])
    alive = most = 0
    for _, change in changes:
        alive += change
        most = max(most, alive)
    return most


def test_a_limit_on_jobs_in_flight_is_reached_and_never_exceeded(
    benchmark: BenchmarkFixture, figure: Figure, tmp_path: Path
) -> None:
    """Counted by the script, by the journal (from a job's acceptance to its recorded end), and by its processes."""
    said: dict[str, float] = {}
    samples: list[int] = []
    with scripted_server(tmp_path, LIMITED) as server:

        def measure() -> None:
            for _, line in server.lines(30 + START_LIMIT, step=0.02):
                said.update(results(line))
                samples.append(server.living("sleep 0.1009"))

        once(benchmark, measure)
        server.ended_well()
        spans = server.ask_journal("SELECT accepted_at, ended_at FROM attempt")
    assert len(spans) == said["asked"] == 300
    journal, seen = most_at_once(spans), max(samples)
    words = f"{said['worst']:.0f} by the script, {journal} by the journal, {seen} processes in {len(samples)} looks"
    benchmark.extra_info.update(script=said["worst"], journal=journal, processes=seen)
    figure("scripted task, npending 5", words, "5")
    assert (said["worst"], journal, seen) == (5, 5, 5)


# isolation

ENDLESS = 5
"""Tasks, one after another; each is faulted when it has used up what it may use."""
POLL = 0.5
TICK = 0.2
TICKS = 60
LATE_POLLS_PASSED = 4
"""What is asserted of the worst start, in poll periods."""

SPINNING = f"""\
$ticks = 0
$spun = 0
for i 0 {ENDLESS}
  task spin$i
    host local
    command true
    periods -exec {{1.07 * ($i + 1)}}
    task.exec
      $spun ++
      while (1)
        $x = 1
      end
    end
  end
end
task plain
  host local
  command true
  periods -exec {TICK} -poll {POLL} -timeout 10
end
task tick
  host local
  command true
  periods -exec {TICK} -poll {POLL} -timeout 10
  nmax {TICKS}
  task.exec
    $ticks ++
  end
  task.exit 0
    if ($ticks < {TICKS}) last
    echo "RESULT ticks $ticks spun $spun"
    quit
  end
end

run
"""


def lateness(starts: list[int], period_ns: int) -> list[int]:
    """ns of each start behind the grid on which none is early. A due time without a start would make all that follow
    late by a period."""
    offsets = [start - number * period_ns for number, start in enumerate(starts)]
    return [offset - min(offsets) for offset in offsets]


def test_macros_without_an_end_hold_nobody_up_for_as_long_as_a_poll(
    benchmark: BenchmarkFixture, figure: Figure, tmp_path: Path
) -> None:
    said: dict[str, float] = {}
    with scripted_server(tmp_path, SPINNING) as server:
        once(benchmark, lambda: said.update(server.answers(TICKS * TICK + START_LIMIT)))
        late = {
            task: lateness([start for (start,) in server.ask_journal(STARTS.format(task=task))], round(TICK * SECOND))
            for task in ("tick", "plain")
        }
        told = server.said()
    assert said == {"ticks": TICKS, "spun": ENDLESS}
    assert len(late["tick"]) == TICKS
    for number in range(ENDLESS):
        assert f"task spin{number}: stopped" in told, told
    worst = max(*late["tick"], *late["plain"])
    benchmark.extra_info.update({task: milliseconds(values) for task, values in late.items()})
    for task, words in (("tick", "with a macro"), ("plain", "without a macro")):
        name = f"starts behind their due times while {ENDLESS} macros loop, task {words}"
        figure(name, milliseconds(late[task]), f"under {POLL:g} s, the poll period")
    assert worst < LATE_POLLS_PASSED * POLL * SECOND


STARTS = "SELECT started_at FROM attempt WHERE task = '{task}' ORDER BY job"

# latency

ENDING = """\
$ended = 0

task brief
  host local
  command date +%s%N
  periods -exec 0.04 -poll 1 -timeout 10
  npending 1
  nmax 200
  task.exec
    options none
  end
  task.exit 0
    echo "ended $stdout"
    $ended ++
    if ($ended == 200) quit
  end
end

run
"""
TIMES_BARE_MOST = 50
"""The median at most, in times of a bare wait; beyond it something polls that should be told."""


def bare() -> int:
    """ns from what the program says to its end, known to this process."""
    said = subprocess.run(("date", "+%s%N"), check=True, capture_output=True).stdout
    return time.time_ns() - int(said)


def test_the_exit_macro_follows_the_end_of_the_process(
    benchmark: BenchmarkFixture, figure: Figure, tmp_path: Path
) -> None:
    """From the time that the process prints, just before its end, to the coming of what the macro's first line says:
    the end, its journal, the job's output and the way of the line are in it."""
    late: list[int] = []
    baseline: list[int] = []
    with scripted_server(tmp_path, ENDING) as server:

        def measure() -> None:
            for came, line in server.lines(20 + START_LIMIT):
                if line.startswith("ended "):
                    late.append(came - int(line.split()[1]))
                    baseline.append(bare())

        once(benchmark, measure)
        server.ended_well()
    assert len(late) == 200
    assert min(late) > 0
    times = statistics.median(late) / statistics.median(baseline)
    benchmark.extra_info.update(latency=milliseconds(late), times_bare=round(times, 1))
    words = f"{milliseconds(late)}; {times:.1f} times a bare wait (p50 {percentile(baseline, 0.5) / 1e6:.1f} ms)"
    figure("latency, end of a process to its exit macro", words, "")
    assert times < TIMES_BARE_MOST
