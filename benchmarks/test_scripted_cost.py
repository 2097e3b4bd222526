"""Goal: tasks whose macros are scripts cost little CPU time while they decline, and no memory that stays. Method:
servers run scripts that measure themselves, as their users do; what a script claims is compared with `/proc`.

With LAULIMA_BENCH_LONG set (`make bench-long`) memory is watched for 100,000 macro runs, of macros that decline and of
such as make jobs.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import Figure
from benchmarks.extent import only_long
from benchmarks.scripted_server import START_LIMIT, once, results, scripted_server
from shell.language.commands.table import COMMANDS
from shell.language.compiling import compile_text
from shell.language.interpreter import run_body
from shell.language.language import Language
from shell.language.runs import Run, RunKind

pytestmark = [pytest.mark.timeout(600), pytest.mark.benchmark(group="scripted tasks")]

# cost

TASKS = 100
SECONDS = 15.0
COST_MOST = 0.03
"""Of a core: what as many declared tasks may cost that have nothing to do."""

BODY = """\
queuesize work -var waiting
if ($waiting == 0) break
"""
IDLE = f"""\
queueinit work
$tries = 0
for i 0 {TASKS}
  task idle$i
    host local
    command true
    periods -exec 1
    task.exec
      $tries ++
      {BODY.replace(chr(10), chr(10) + " " * 6).rstrip()}
    end
  end
end
task report
  host local
  command true
  periods -exec 0.5 -poll 0.5 -timeout 10
  task.exec
    echo "RESULT tries $tries"
    break
  end
end

run
"""


def interpreting_share() -> float:
    """Share of a core that the statements alone cost, `TASKS` times a second."""
    language = Language({command.name: command for command in COMMANDS}, "/", 1, lambda: None)
    for _ in run_body(language, Run(language, 1, 0, RunKind.SESSION), compile_text("queueinit work\n", "b.pro")):
        pass
    body = compile_text(BODY, "benchmark.pro")
    rounds = 20
    begin = time.process_time()
    for number in range(TASKS * rounds):
        for _ in run_body(language, Run(language, number + 2, 0, RunKind.TASK), body):
            pass
    return (time.process_time() - begin) / rounds


def test_a_hundred_tasks_that_decline_cost_little(benchmark: BenchmarkFixture, figure: Figure, tmp_path: Path) -> None:
    marks: list[tuple[float, float, float]] = []
    with scripted_server(tmp_path, IDLE) as server:

        def measure() -> None:
            for _, line in server.lines(SECONDS + START_LIMIT):
                if tries := results(line).get("tries"):
                    marks.append((time.monotonic(), server.cpu_seconds(), tries))
                    # the first two seconds are those of the start
                    if marks[-1][0] - marks[0][0] > SECONDS + 2:
                        return

        once(benchmark, measure)
    first = next(mark for mark in marks if mark[0] - marks[0][0] > 2)
    seconds, spent, tries = (last - before for last, before in zip(marks[-1], first, strict=True))
    assert TASKS * (seconds - 1) <= tries <= TASKS * (seconds + 1)
    share, bare_share = spent / seconds, interpreting_share()
    benchmark.extra_info.update(share_of_a_core=round(share, 4), share_of_statements=round(bare_share, 4))
    words = f"{share:.2%} of a core (the statements alone: {bare_share:.2%})"
    figure(f"{TASKS} scripted tasks that decline every second", words, f"under {COST_MOST:.0%}")
    assert share < COST_MOST


# memory

WARM_UP = 20_000
"""Macro runs. Within them Python's table of interned strings, which the names of output files pass through, grows to
its size once and for all (1 MB)."""
RUNS = 100_000
GROWTH_MOST = 1024
"""kB."""


COUNTING = f"""\
$runs = 0
$jobs = 0

macro memory
  list row -x "ps -o rss= -p $PID"
  $$1 = $row:0
end

macro count_run
  $runs ++
  if ($runs == {WARM_UP})
    memory before
    echo "RESULT before $before"
  end
  if ($runs == {WARM_UP + RUNS})
    memory after
    echo "RESULT after $after jobs $jobs"
    quit
  end
end

for i 0 TASKS
  task task$i
    host local
    command true
    periods -exec 0.005 -poll 0.01 -timeout 10
    npending 20
    task.exec
      count_run
      LAST
    end
    task.exit 0
      count_run
    end
  end
end

run
"""


@only_long
@pytest.mark.parametrize(("tasks", "spawns"), [(10, False), (3, True)], ids=["declines", "jobs"])
def test_macro_runs_leave_no_memory_behind(
    benchmark: BenchmarkFixture, figure: Figure, tmp_path: Path, tasks: int, spawns: bool
) -> None:
    said: dict[str, float] = {}
    outside: list[int] = []
    text = COUNTING.replace("TASKS", f"{tasks}").replace("LAST", "$jobs ++" if spawns else "break")
    with scripted_server(tmp_path, text) as server:

        def measure() -> None:
            for _, line in server.lines((WARM_UP + RUNS) / 200 + START_LIMIT):
                if found := results(line):
                    said.update(found)
                    outside.append(server.resident_kilobytes())

        once(benchmark, measure)
        server.ended_well()
    grown, seen = said["after"] - said["before"], outside[1] - outside[0]
    assert (said["jobs"] >= RUNS / 3) if spawns else (said["jobs"] == 0)
    benchmark.extra_info.update(grown_kilobytes=grown, seen_from_outside=seen)
    words = f"{grown:+,.0f} kB by the script, {seen:+,} kB from outside (of {said['before']:,.0f} kB)"
    figure(
        f"memory after {RUNS:,} macro runs, {'with jobs' if spawns else 'all decline'}",
        words,
        f"under {GROWTH_MOST} kB",
    )
    assert max(grown, seen) < GROWTH_MOST
