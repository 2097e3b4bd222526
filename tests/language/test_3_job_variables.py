"""Goal: an exit macro finds its own job's words, end and output, whatever happened to others. Method: scripts in the
small world of `script_world.py` whose exit macros print what they see.
"""

from __future__ import annotations

from typing import Any

import pytest

from shell.language.calls import Data
from tests.language.script_world import ScriptWorld

SHOW = 'echo "$EXIT $JOB_STATUS $JOB_OUTCOME $JOB_SIGNAL $JOB_HOSTNAME $JOB_DTIME"'


def world(body: str, exits: str = "default", **more: Any) -> ScriptWorld:
    macros = "".join(f"  task.exit {name}\n{body}\n  end\n" for name in exits.split())
    run = ScriptWorld(
        f'task t\n  command work one "two words"\n  options k v\n  nmax 1\n  periods -timeout 5\n{macros}end\nrun\n',
        **more,
    )
    run.run(8)
    return run


@pytest.mark.parametrize(
    ("does", "line"),
    [
        ((0.5, 0), "0 0 EXITED 0 localhost 0.5"),
        ((0.25, 3), "3 3 EXITED 0 localhost 0.25"),
        ((1.0, -11), "CRASH CRASH CRASHED 11 localhost 1"),
        ((60.0, 0), "TIMEOUT TIMEOUT TIMED_OUT 0 localhost 5"),
        (None, "COMMAND_NOT_FOUND COMMAND_NOT_FOUND COMMAND_NOT_FOUND 0 localhost 0"),
    ],
)
def test_the_end_of_the_job_is_told_by_variables(does: Any, line: str) -> None:
    run = world(SHOW, job=lambda _: does)
    (shown,) = run.lines
    if "TIMED_OUT" in line:
        assert shown.split()[:3] == line.split()[:3]
        assert shown.split()[4:] == line.split()[4:]
    else:
        assert shown == line


def test_words_and_options_of_the_job_are_lists() -> None:
    run = world(
        'echo "$taskarg:n $taskarg:0 $taskarg:1 / $taskarg:2 / $options:n $options:0 $options:1 $JOBID $JOB_ATTEMPT"'
    )
    assert run.lines == ["3 work one / two words / 2 k v 1 1"]


def test_output_is_in_queues_and_variables() -> None:
    body = "queuesize stdout -var n\nqueuepop stdout -var first\nqueuepop stderr -var bad\n"
    body += 'echo "$n $first $bad"\necho $stdout'
    run = world(body, job=lambda _: (0.1, 0, "a b\n\nc\n", "oops\n"))
    assert run.out == "3 a b oops\na b\n\nc\n\n"
    assert type(run.language.variables["stdout"]) is Data


def test_queues_are_emptied_behind_the_macro() -> None:
    run = world("queuesize stdout -var n\necho $n", job=lambda _: (0.1, 0, "a\nb\n"))
    assert run.lines == ["2"]
    assert len(run.language.queues.find("stdout")) == 0


def test_output_and_variables_are_this_jobs_also_after_a_timeout() -> None:
    text = """task good
  command good x
  options g
  nmax 1
  task.exit 0
    echo "$options:0 $EXIT"
  end
end
task slow
  command slow
  nmax 1
  task.exit timeout
    queuepop stdout -var line
    echo "$options:n $taskarg:n $taskarg:0 $EXIT $line $?options:0"
  end
end
run
"""
    run = ScriptWorld(text, job=lambda spec: (0.1, 0, "fine\n") if spec.task == "good" else (60, 0, "half\n"))
    run.run(20)
    assert run.lines == ["g 0", "0 1 slow TIMEOUT half 0"]


def test_two_reactions_that_wait_in_turn_each_keep_their_own_job() -> None:
    text = """task t
  periods -exec 0.1
  npending 2
  nmax 2
  $unused = 0
  task.exec
    $n = $n + 1
    options $n
    command work $n
  end
  task.exit 0
    queuepop stdout -var a
    exec wait
    queuepop stdout -var b
    queuesize stdout -var left
    echo "$options:0 $taskarg:1 $JOBID $a $b $left"
  end
end
run
"""
    run = ScriptWorld(
        "$n = 0\n" + text.replace("  $unused = 0\n", ""),
        job=lambda spec: (1.0, 0, f"{spec.command[1]}a\n{spec.command[1]}b\n{spec.command[1]}c\n"),
        shell=lambda _: (0, "", 3.0),
    )
    run.run(10)
    assert sorted(run.lines) == ["1 1 1 2a 1b 1", "2 2 2 2a 2b 1"]


def test_a_reaction_that_is_ended_leaves_the_output_of_another_one_alone() -> None:
    text = """$n = 0
task t
  periods -exec 10
  nmax 2
  task.exec
    $n ++
    command work $n
  end
  task.exit 0
    queuepop stdout -var a
    exec wait
    queuepop stdout -var b
    echo "$taskarg:1 $a $b"
  end
end
run
"""
    calls: list[str] = []

    def shell(line: str) -> tuple[int, str, float]:
        calls.append(line)
        return (0, "", 1000.0 if len(calls) == 1 else 55.0)

    run = ScriptWorld(text, job=lambda spec: (0.5, 0, f"{spec.command[1]}a\n{spec.command[1]}b\n"), shell=shell)
    run.run(80)
    assert "did not end in time" in run.task("t").faulted
    assert run.lines == ["2 2a 2b"]


def test_what_a_job_prints_is_never_parsed() -> None:
    nasty = 'x; echo pwned $(id) `id` "q {1+1} $HOME \\\n'
    run = world("echo $stdout\n$copy = $stdout\necho $copy", job=lambda _: (0.1, 0, nasty))
    assert run.out == nasty + "\n" + nasty + "\n"
    assert run.errors == ""
