"""Goal: tasks start when they should, and each end of a job calls the macro that is due. Method: scripts in the small
world of `script_world.py`, by its virtual clock.
"""

from __future__ import annotations

from typing import Any

import pytest

from model.configuration import LanguageSettings
from model.events import JobVerb, OrderJob
from model.job import SECOND, HostWish, JobId
from model.scripting import Stream
from model.task import Handler, Periods, Retry, TaskDefinition
from tests.language.script_world import ScriptWorld

EXITS = ("0", "3", "timeout", "not-found", "lost", "killed", "crash", "default")


def exits(*names: str) -> str:
    return "".join(f"  task.exit {name}\n    echo {name}\n  end\n" for name in names)


def one_job(names: tuple[str, ...], does: Any) -> list[str]:
    run = ScriptWorld(f"task t\n  command work\n  nmax 1\n{exits(*names)}end\nrun\n", job=lambda _: does)
    run.run(10)
    return run.lines


@pytest.mark.parametrize(
    ("names", "does", "called"),
    [
        (EXITS, (0.1, 0), ["0"]),
        (EXITS, (0.1, 3), ["3"]),
        (EXITS, (0.1, 4), ["default"]),
        (("3", "crash"), (0.1, 4), []),
        (EXITS, (60, 0), ["timeout"]),
        (("crash", "default"), (60, 0), ["crash"]),
        (("default",), (60, 0), ["default"]),
        (EXITS, (0.1, -9), ["crash"]),
        (("0", "default"), (0.1, -9), ["default"]),
        (EXITS, None, ["not-found"]),
        (("default", "crash"), None, ["crash"]),
        ((), (0.1, 0), []),
    ],
)
def test_the_most_exact_exit_is_called(names: tuple[str, ...], does: Any, called: list[str]) -> None:
    assert one_job(names, does) == called


@pytest.mark.parametrize(("names", "called"), [(EXITS, ["killed"]), (("crash", "default"), [])])
def test_a_job_that_a_person_ended_calls_no_macro_but_its_own(names: tuple[str, ...], called: list[str]) -> None:
    text = f"task t\n  command work\n  nmax 1\n  periods -timeout 90\n{exits(*names)}end\nrun\n"
    run = ScriptWorld(text, job=lambda _: 60)
    run.run(1)
    run.give(OrderJob(5, JobVerb.KILL, JobId(1), "test"))
    run.run(10)
    assert run.scheduler.jobs == {}
    assert run.lines == called


def test_starts_stay_on_the_grid_of_the_period() -> None:
    text = "task t\n  periods -exec 0.2\n  task.exec\n    command work\n  end\nend\nrun\n"
    run = ScriptWorld(text)
    run.run(10.1)
    times = [when for when, _ in run.starts]
    assert len(times) == 51
    assert all(abs(when - 0.2 * place) < 0.01 for place, when in enumerate(times))


def test_an_exec_macro_that_always_declines_is_tried_at_its_rate() -> None:
    run = ScriptWorld(
        "$n = 0\ntask t\n  periods -exec 0.005\n  task.exec\n    $n ++\n    break\n    command x\n  end\nend\nrun\n"
    )
    run.run(1)
    assert 199 <= run.language.variables["n"] <= 202


def test_the_scheduler_is_told_of_a_definition_only_when_it_acts_on_the_change() -> None:
    macro = "$n ++\ncommand work $n\noptions $n\nstdout f.$n\n"
    text = f"$n = 0\ntask t\n  periods -exec 1\n  task.exec\n{macro}  end\nend\nrun\n"
    run = ScriptWorld(text)
    before = run.task("t").definition
    run.run(5)
    assert len(run.specs) == 6
    assert run.task("t").definition is before


def test_ends_are_counted_for_each_task() -> None:
    run = ScriptWorld("task t\n  periods -exec 0.5\n  nmax 4\n  command work\nend\nrun\n", job=lambda _: (0.25, 0))
    run.run(5)
    statistics = run.language.tasks.get("t").statistics
    assert run.task("t").done == 4
    assert statistics is not None


def test_starts_are_late_at_random_only_when_that_is_wanted() -> None:
    text = "task t\n  periods -exec 1\n  command work\nend\nrun\n"
    run = ScriptWorld(text, settings=LanguageSettings(jitter=0.25))
    run.run(20.5)
    late = [when % 1 for when, _ in run.starts]
    assert len(late) == 21
    assert max(late) <= 0.26
    assert len({round(when, 6) for when in late}) > 10


def test_the_timeout_of_controller_jobs_can_be_ignored() -> None:
    text = "task t\n  command work\n  host anyhost\n  periods -timeout 5\nend\nrun\n"
    run = ScriptWorld(text, hosts={"n": 1}, settings=LanguageSettings(controller_timeout_ignored=True))
    run.run(0.5)
    assert run.specs[0].timeout_ns == 0


def test_a_failing_line_in_an_exit_macro_ends_that_macro_only() -> None:
    macro = "    echo one\n    echo $nothing\n    echo two\n"
    text = f"task t\n  command work\n  nmax 2\n  task.exit 0\n{macro}  end\nend\nrun\n"
    run = ScriptWorld(text)
    run.run(5)
    assert run.lines == ["one", "one"]
    assert run.errors == "pipeline.pro:6:5: variable nothing not found\n"
    line = run.language.tasks.get("t").failed_lines["pipeline.pro:6"]
    assert (line.count, line.text) == (2, "variable nothing not found")
    assert run.task("t").done == 2


def test_the_same_failure_of_a_line_is_told_of_once_a_minute_and_another_one_at_once() -> None:
    macro = "    $n ++\n    if ($n % 100 == 0) book setword work p$n state x\n    book setword work p state x\n"
    begin = "book create work\n$n = 0\ntask t\n  periods -exec 0.1\n  task.exec\n"
    run = ScriptWorld(f"{begin}{macro}    command x\n  end\nend\nrun\n")
    run.run(59)
    ours = [line for line in run.errors.splitlines() if line.startswith("pipeline.pro:8:5")]
    others = [line for line in run.errors.splitlines() if line.startswith("pipeline.pro:7:")]
    assert len(ours) == 1
    assert len(others) == len(set(others)) == 5
    run.run(2)
    assert run.errors.count(ours[0]) == 2
    assert not run.task("t").faulted


# tasks of the configuration


def declared(**fields: Any) -> TaskDefinition:
    periods = Periods(exec_ns=SECOND, timeout_ns=60 * SECOND)
    return TaskDefinition("d", ("work", "$where", "$job"), host=HostWish("local"), periods=periods, **fields)


def test_a_prepare_script_fills_the_words_of_a_configured_task() -> None:
    run = ScriptWorld(tasks=[declared(prepare='$where = "a; $job  b"\noptions x\n', prepare_line=40)])
    run.run(0.5)
    (spec,) = run.specs
    assert spec.command == ("work", "a; 1  b", "1")
    assert spec.options == ("x",)


def test_a_prepare_script_may_decline_and_names_the_line_of_the_configuration() -> None:
    run = ScriptWorld(tasks=[declared(prepare="$x = 1\nbreak\n", prepare_line=40)])
    run.run(0.5)
    assert run.specs == []
    assert list(run.task("d").skipped) == ["declined (break at configuration:41)"]


def test_a_failing_line_of_a_prepare_script_is_told_with_the_line_of_the_configuration() -> None:
    run = ScriptWorld(tasks=[declared(prepare="$x = 1\nqueuepop nothing\n", prepare_line=40)])
    run.run(0.5)
    assert list(run.task("d").skipped) == ["failed at configuration:41"]
    assert "configuration:41:1: " in run.errors


def test_a_handlers_script_runs_beside_what_is_declared() -> None:
    handlers = (Handler("3", run=("tidy", "up"), script='echo "$EXIT $JOBID $options:n"\n'),)
    run = ScriptWorld(
        tasks=[declared(handlers=handlers)], job=lambda spec: (0.1, 3 if spec.command[0] == "work" else 0)
    )
    run.run(0.5)
    assert run.lines == ["3 1 0"]
    assert [spec.command[0] for spec in run.specs] == ["work", "tidy"]


def test_a_handlers_script_does_not_run_for_an_attempt_that_is_tried_again() -> None:
    retry = Retry(on=("default",), times=1, backoff_ns=SECOND // 10)
    run = ScriptWorld(
        tasks=[declared(handlers=(Handler("default", script="echo final $JOB_ATTEMPT\n"),), retry=retry)],
        job=lambda _: (0.1, 1),
    )
    run.run(0.9)
    assert run.lines == ["final 2"]


def test_a_task_of_the_configuration_can_be_opened_and_switched() -> None:
    run = ScriptWorld(tasks=[declared()])
    run.run(0.5)
    run.open(1)
    run.say("task d\n  active false\n  periods -exec 2\nend\n", session=1)
    run.run(5)
    assert len(run.specs) == 1
    run.say("task d\n  active true\n  task.exec\n    break\n  end\nend\n", session=1)
    run.run(5)
    assert len(run.specs) in (3, 4)
    assert run.task("d").definition.command == ("work", "$where", "$job")
    assert "its statements stand in `prepare` and `on`" in run.shown[1, Stream.ERROR]
