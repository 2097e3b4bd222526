"""Goal: the block `task … end` and the commands in it mean what they say, at definition and in exec macros. Method:
scripts in the small world of `script_world.py`; looked at are the jobs that were started, the settings, and what
people were told.
"""

from __future__ import annotations

from typing import Any

import pytest

from model.job import SECOND, HostPolicy, HostWish, Wait
from tests.language.script_world import ScriptWorld


def world(text: str, **more: Any) -> ScriptWorld:
    return ScriptWorld(text, **more)


def commands(world: ScriptWorld) -> list[str]:
    return [" ".join(spec.command) for spec in world.specs]


# definition


def test_a_task_begins_with_the_documented_defaults() -> None:
    run = world("task t\n  command work\nend\nrun\n")
    run.run(0.5)
    task = run.language.tasks.get("t")
    assert (task.exec_ns, task.poll_ns, task.nmax, task.npending, task.nice) == (SECOND, SECOND, 0, 0, 0)
    assert (task.active, task.windows, task.stdout, task.stderr) == (True, (), None, None)
    (spec,) = run.specs
    assert spec.host.name == "local"
    assert spec.timeout_ns == SECOND
    assert spec.pending_ns == 0


def test_a_task_makes_a_job_each_exec_period() -> None:
    run = world("task t\n  periods -exec 0.5\n  command work -a b\nend\nrun\n")
    run.run(2.2)
    assert commands(run) == ["work -a b"] * 5


def test_a_reopened_task_keeps_what_is_not_said_again() -> None:
    text = "task t\n  periods -exec 5\n  npending 3\n  command work\n  task.exit 0\n    echo ok\n  end\nend\n"
    run = world(text + "task t\n  active false\nend\nrun\n")
    task = run.language.tasks.get("t")
    assert (task.exec_ns, task.npending, task.command, task.active) == (5 * SECOND, 3, ("work",), False)
    assert list(task.exit_macros) == ["0"]
    run.run(20)
    assert run.specs == []
    run.say("task t\n  active true\nend\n")
    run.run(6)
    assert commands(run)
    assert "ok" in run.lines


def test_a_reopened_task_goes_to_the_end_of_the_list() -> None:
    run = world("task a\n command x\nend\ntask b\n command y\nend\ntask a\n nice 3\nend\n")
    assert list(run.language.tasks) == ["b", "a"]


def test_lines_of_the_block_are_expanded_when_it_is_defined_and_macros_when_they_run() -> None:
    text = "$x = early\ntask t\n  command first $x\n  task.exec\n    command second $x\n  end\nend\n$x = late\n"
    run = world(text)
    assert run.language.tasks.get("t").command == ("first", "early")
    run = world(text + "run\n")
    run.run(0.5)
    assert commands(run) == ["second late"]


def test_a_name_may_come_from_a_variable_or_an_argument() -> None:
    run = world("macro make\n  task load.$1\n    command work $2\n  end\nend\nmake a 1\nmake b 2\n")
    assert list(run.language.tasks) == ["load.a", "load.b"]
    assert run.language.tasks.get("load.b").command == ("work", "2")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("comand ls", "unknown task command comand (did you mean command?)"),
        ("period -exec 3", "did you mean periods?"),
        ("$x = 3", "statements belong into task.exec"),
        ("if (1) nice 3", "unknown task command if"),
        ("nice 40", "nice 40: not a number from 0 to 20"),
        ("nice many", "nice many: not a number from 0 to 20"),
        ("npending -1", "npending -1: not a number"),
        ("periods -exec soon", "periods -exec soon: not a number of seconds"),
        ("periods -exec", "-exec needs a value"),
        ("active perhaps", "active perhaps: true or false"),
        ("trange 25:00 26:00", "trange"),
        ("command", "USAGE: command"),
        ("command $nothing", "variable nothing not found"),
    ],
)
def test_a_bad_line_is_complained_about_with_its_place_and_skipped(line: str, said: str) -> None:
    run = world(f"task t\n  command work\n  {line}\n  npending 7\nend\necho after\n")
    assert said in run.errors
    assert "pipeline.pro:3:3:" in run.errors
    assert run.lines == ["after"]
    task = run.language.tasks.get("t")
    assert (task.command, task.npending, task.nice) == (("work",), 7, 0)


def test_words_of_a_task_block_are_not_abbreviated_but_any_case_will_do() -> None:
    run = world("task t\n  COMMAND work\n  NPending 2\n  npend 5\nend\n")
    assert run.language.tasks.get("t").npending == 2
    assert "unknown task command npend" in run.errors


def test_comments_in_a_task_block_are_ignored() -> None:
    run = world("task t\n  # one\n  ## two\n  command work\n  npending 3  # three\nend\n")
    assert run.errors == ""
    assert run.language.tasks.get("t").npending == 3


# whether it can give a command


def test_a_task_without_any_command_is_not_kept_and_the_file_goes_on() -> None:
    run = world("task t\n  periods -exec 1\nend\necho after\nrun\n")
    assert "task t has no command" in run.errors
    assert run.lines == ["after"]
    assert "t" not in run.language.tasks
    assert "t" not in run.scheduler.spawning.tasks


def test_switching_a_task_that_nobody_defined_is_complained_about_and_makes_none() -> None:
    run = world("macro on\n  task ghost\n    active true\n  end\n  echo on\nend\non\n")
    assert "task ghost has no command" in run.errors
    assert run.lines == ["on"]
    assert len(run.language.tasks) == 0


@pytest.mark.parametrize(
    "line",
    [
        "command work",
        "if (1) command work",
        "if (1)\n command work\nend",
        "for i 0 1\n command work\nend",
        "give",
        "$cmd work",
    ],
)
def test_a_command_anywhere_in_the_exec_macro_is_enough(line: str) -> None:
    text = f"macro give\n  command work\nend\n$cmd = command\ntask t\n  task.exec\n    {line}\n  end\nend\nrun\n"
    run = world(text)
    run.run(0.5)
    assert run.errors == ""
    assert commands(run) == ["work"]


def test_an_exec_macro_that_gives_no_command_makes_no_job_and_says_so() -> None:
    run = world("$c = 0\ntask t\n  task.exec\n    if ($c) command work\n  end\nend\nrun\n")
    run.run(0.5)
    assert run.specs == []
    (reason,) = run.task("t").skipped
    assert "no command was given" in reason


# what commands set


def test_what_the_exec_macro_says_stays_for_later_jobs() -> None:
    text = """$n = 0
task t
  periods -exec 1 -poll 1
  task.exec
    $n ++
    if ($n == 1)
      command work $n
      options a b
      host node1
      stdout log.$n
    end
    if ($n == 3) command other
  end
end
run
"""
    run = world(text, hosts={"node1": 4})
    run.run(3.5)
    assert commands(run) == ["work 1", "work 1", "other", "other"]
    assert [spec.options for spec in run.specs] == [("a", "b")] * 4
    assert {spec.host.name for spec in run.specs} == {"node1"}
    assert {spec.stdout for spec in run.specs} == {"log.1"}


def test_options_replace_those_said_before() -> None:
    run = world("task t\n  command work\n  options a b c\n  option d\nend\nrun\n")
    run.run(0.5)
    assert run.specs[0].options == ("d",)


def test_a_quoted_word_stays_one_argument() -> None:
    run = world('$two = "b  c"\ntask t\n  command work "a b" $two "" -x\nend\nrun\n')
    run.run(0.5)
    assert run.specs[0].command == ("work", "a b", "b  c", "-x")


@pytest.mark.parametrize(
    ("words", "wish"),
    [
        ("local", HostWish("local")),
        ("LOCAL", HostWish("local")),
        ("localhost", HostWish("local")),
        ("anyhost", HostWish(None)),
        ("ANYHOST", HostWish(None)),
        ("NONE", HostWish(None)),
        ("node1", HostWish("node1", False, 10 * SECOND)),
        ("node1 -required", HostWish("node1", True, when_unknown=HostPolicy(Wait.WAIT))),
        ("-required node1", HostWish("node1", True, when_unknown=HostPolicy(Wait.WAIT))),
    ],
)
def test_host_says_where_a_job_runs(words: str, wish: HostWish) -> None:
    run = world(f"task t\n  command work\n  host {words}\nend\nrun\n", hosts={"node1": 1})
    run.run(0.5)
    assert run.specs[0].host == wish


def test_a_required_host_that_the_controller_does_not_know_is_told_of() -> None:
    run = world("task t\n  command work\n  host node9 -required\nend\n", hosts={"node1": 1})
    assert "requires host node9, which the controller does not know" in run.errors
    assert "t" in run.language.tasks


def test_the_wait_for_a_wanted_host_can_be_changed() -> None:
    run = world("task t\n  command work\n  host node1\nend\n", hosts={"node1": 1})
    run.language.tasks.wanted_wait_ns = 3 * SECOND
    run.say("run\n")
    run.run(0.5)
    assert run.specs[0].host.wait_ns == 3 * SECOND


@pytest.mark.parametrize(
    ("host", "said", "limit_ns"),
    [
        ("local", "", SECOND),
        ("local", "-timeout 7", 7 * SECOND),
        ("local", "-timeout 0", 0),
        ("anyhost", "", 0),
        ("anyhost", "-timeout 7", 7 * SECOND),
    ],
)
def test_the_run_time_is_limited_as_said(host: str, said: str, limit_ns: int) -> None:
    run = world(f"task t\n  command work\n  host {host}\n  periods -exec 1 {said}\nend\nrun\n", hosts={"node1": 1})
    run.run(0.5)
    assert run.specs[0].timeout_ns == limit_ns


def test_only_the_periods_that_are_given_change() -> None:
    run = world("task t\n  command work\n  periods -exec 7 -poll 3 -timeout 9 -pending 11\n  periods -poll 0.25\nend\n")
    task = run.language.tasks.get("t")
    assert (task.exec_ns, task.poll_ns, task.timeout_ns, task.pending_ns) == (
        7 * SECOND,
        SECOND // 4,
        9 * SECOND,
        11 * SECOND,
    )


def test_periods_outside_a_task_are_the_defaults_of_later_tasks() -> None:
    run = world("task a\n command x\nend\nperiods -exec 20 -timeout 5\ntask b\n command y\nend\n")
    tasks = run.language.tasks
    assert (tasks.get("a").exec_ns, tasks.get("b").exec_ns) == (SECOND, 20 * SECOND)
    assert tasks.get("b").timeout_ns == 5 * SECOND


def test_a_period_said_in_the_exec_macro_counts_from_this_very_run() -> None:
    text = """$n = 0
task t
  periods -exec 10
  task.exec
    periods -exec 5
    $n ++
    if ($n < 3) break
    periods -exec 0.5
    command work
  end
end
run
"""
    run = world(text)
    run.run(11.8)
    assert [when for when, _ in run.starts] == pytest.approx([10.0, 10.5, 11.0, 11.5], abs=0.05)


def test_output_goes_to_a_file_or_nowhere() -> None:
    run = world("task t\n  command work\n  stdout out.log\n  stderr null\nend\nrun\n")
    run.run(0.5)
    assert (run.specs[0].stdout, run.specs[0].stderr) == ("out.log", None)


def test_nmax_counts_all_jobs_of_the_tasks_life() -> None:
    run = world("task t\n  periods -exec 0.1\n  nmax 3\n  command work\nend\nrun\n")
    run.run(5)
    assert len(run.specs) == 3


def test_npending_is_never_exceeded_and_the_exec_macro_is_not_run_meanwhile() -> None:
    text = "task t\n  periods -exec 0.1\n  npending 2\n  task.exec\n    echo asked\n    command work\n  end\nend\nrun\n"
    run = world(text, job=lambda _: 0.95)
    worst = 0
    for _ in range(50):
        run.run(0.1)
        worst = max(worst, run.task("t").in_flight)
    assert worst == 2
    assert run.lines.count("asked") == len(run.specs)


def test_a_time_range_closes_the_task_and_reset_opens_it() -> None:
    run = world("task t\n  command work\n  trange 13:00:00 14:00:00\nend\nrun\n")
    run.run(100)
    assert run.specs == []
    assert run.task("t").blocked is not None
    run.say("task t\n  trange -reset\nend\n")
    run.run(2)
    assert len(run.specs) >= 2


@pytest.mark.parametrize(
    ("ranges", "jobs"),
    [
        (["11:00:00 13:00:00"], 5),
        (["11:00:00 13:00:00 -nmax 2"], 2),
        (["Mon Fri", "11:00:00 13:00:00 -exclude"], 0),
        (["Sat Sun"], 0),
        (["Sat Sun", "12:00:02 13:00:00"], 3),
    ],
)
def test_time_ranges_allow_exclude_and_count(ranges: list[str], jobs: int) -> None:
    lines = "".join(f"  trange {words}\n" for words in ranges)
    run = world(f"task t\n  command work\n{lines}end\nrun\n")
    run.run(4.5)
    assert run.errors == ""
    assert len(run.specs) == jobs


def test_files_to_wait_for_are_part_of_the_job() -> None:
    run = world(
        "task t\n  command -block in.dat work\nend\ntask u\n command work\n block a b -after c -limit 5\nend\nrun\n"
    )
    specs = [run.language.tasks.specification(run.language.tasks.get(name)) for name in ("t", "u")]
    assert specs[0].command == ("work",)
    assert specs[0].block.before == ("in.dat",)
    assert (specs[1].block.before, specs[1].block.after, specs[1].block.limit_ns) == (("a", "b"), ("c",), 5 * SECOND)


def test_settings_of_the_definition_only_are_refused_in_an_exec_macro() -> None:
    run = world("task t\n  command work\n  task.exec\n    npending 3\n  end\nend\nrun\n")
    run.run(0.5)
    assert run.specs == []
    assert "npending: only between task and end" in run.errors


@pytest.mark.parametrize("line", ["command ls", "options a", "nice 3", "npending 1", "active true", "trange -reset"])
def test_commands_of_a_task_fail_where_no_task_is_defined_or_run(line: str) -> None:
    run = world(f"{line}\necho not reached\n")
    assert "ERROR: not defining or running a task" in run.errors
    assert run.lines == []
    run = world(f"task t\n  command work\n  task.exit 0\n    {line}\n  end\nend\nrun\n")
    run.run(0.5)
    assert "ERROR: not defining or running a task" in run.errors


# exits


def test_an_exit_may_be_named_by_a_variable() -> None:
    text = "$LIMIT = 007\ntask t\n  command work\n  task.exit $LIMIT\n    echo limit\n  end\nend\nrun\n"
    run = world(text, job=lambda _: (0.1, 7))
    run.run(0.5)
    assert run.lines == ["limit"]


def test_the_same_exit_said_twice_means_the_later_one() -> None:
    text = "task t\n command work\n task.exit 0\n  echo one\n end\n task.exit 0\n  echo two\n end\nend\nrun\n"
    run = world(text)
    run.run(0.5)
    assert run.lines == ["two"]


def test_a_misspelt_exit_is_refused_with_what_was_meant() -> None:
    run = world("task t\n command work\n task.exit timout\n  echo never\n end\nend\nrun\n")
    assert "task.exit timout: no such exit (did you mean timeout?)" in run.errors
    run.run(0.5)
    assert run.lines == []
    assert len(run.specs) == 1


# what the exec macro decides


def test_break_declines_this_turn_also_from_a_macro_below() -> None:
    text = """$go = 0
macro guard
  if ($go == 0) break
end
task t
  task.exec
    guard
    command work
  end
end
run
"""
    run = world(text)
    run.run(2.5)
    assert run.specs == []
    assert dict(run.task("t").skipped) == {"declined (break at pipeline.pro:3)": 3}
    assert run.errors == ""
    run.say("$go = 1\n")
    run.run(1)
    assert len(run.specs) == 1


def test_return_ends_the_macro_and_does_not_cancel_the_job() -> None:
    run = world("task t\n  command work\n  task.exec\n    return\n    break\n  end\nend\nrun\n")
    run.run(0.5)
    assert len(run.specs) == 1


def test_a_task_can_switch_another_one_from_its_exec_macro() -> None:
    text = """task b
  command second
  active false
end
task a
  command first
  nmax 1
  task.exec
    task b
      active true
    end
  end
end
run
"""
    run = world(text)
    run.run(1.5)
    assert commands(run)[0] == "first"
    assert "second" in commands(run)


def test_a_deleted_task_is_asked_no_more() -> None:
    run = world("task t\n  command work\n  task.exec\n  end\nend\nrun\n")
    run.run(0.5)
    assert run.language.tasks.delete("t")
    run.run(1)
    assert len(run.specs) == 1
    assert run.task("t").skipped["no script defines the task any more"] == 1


def test_what_exists_can_be_completed() -> None:
    run = world("macro m\nend\nqueueinit q\nbook init b\n$x = 1\ntask t\n command a\nend\n", hosts={"node1": 1})
    assert run.scripts is not None
    names = run.scripts.names()
    assert names["tasks"] == ["t"]
    assert names["hosts"] == ["anyhost", "local", "node1"]
    assert (names["macros"], names["queues"], names["books"]) == (["m"], ["q"], ["b"])
    assert "queuepush" in names["commands"]
    assert "x" in names["variables"]
