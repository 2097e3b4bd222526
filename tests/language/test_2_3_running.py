"""Goal: the scheduler is steered and looked at from scripts: run, stop, halt, status in all forms, showtask, kill,
delete, flush, verbose, version. Method: scripts in the small world of `script_world.py`; looked at are the printed
lines and what became of jobs.
"""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from model.job import SECOND, JobState, Outcome, Report
from model.records import IntakeChanged
from model.task import TaskDefinition
from shell.language.commands.scheduling import job_number
from shell.language.reports import TaskStatistics
from tests.language.script_world import ScriptWorld

SLEEPER = "task sleeper\n  periods -exec 1 -timeout 100\n  npending 1\n  command sleep 30\nend\n"


def column(world: ScriptWorld, task: str) -> list[str]:
    """The words of a task's line in the last table."""
    return next(line.split() for line in reversed(world.lines) if line.split()[1:2] == [task])


def intakes(world: ScriptWorld) -> list[str]:
    """What of the intake is kept for later lives."""
    return [record.state for record in world.records if isinstance(record, IntakeChanged)]


# steering


def test_nothing_is_spawned_before_run() -> None:
    world = ScriptWorld(SLEEPER)
    world.run(5)
    assert world.specs == []
    world.say("run")
    world.run(0.5)
    assert len(world.specs) == 1


def test_stop_makes_no_new_jobs_but_harvests() -> None:
    world = ScriptWorld(SLEEPER.replace("end\n", "  task.exit 0\n    echo done\n  end\nend\nrun\n"), job=lambda _: 5)
    world.run(0.5)
    world.say("stop")
    world.run(20)
    assert (len(world.specs), world.lines) == (1, ["done"])


def test_halt_leaves_ends_unharvested_until_run() -> None:
    world = ScriptWorld("task t\n  nmax 1\n  command work\n  task.exit 0\n    echo done\n  end\nend\nrun\n")
    world.say("halt")
    world.run(20)
    assert world.lines == []
    world.say("run")
    world.run(0)
    assert world.lines == ["done"]


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ("run", "Scheduler is running"),
        ("stop", "Scheduler is stopped, harvesting jobs"),
        ("halt", "Scheduler is stopped   (halt at"),
    ],
)
def test_status_begins_with_what_acts(said: str, line: str) -> None:
    world = ScriptWorld()
    world.say(f"{said}\nstatus")
    assert world.lines[0].startswith(line)
    assert world.lines[1] == "Controller is running"


def test_what_a_script_stops_is_not_kept_for_later_lives_but_what_a_person_stops_is() -> None:
    world = ScriptWorld(SLEEPER + "run\nstop\n")
    assert intakes(world)[-1] == "running"
    world.open(3)
    world.say("stop", session=3)
    assert intakes(world)[-1] == "stop"


# the table


def test_the_task_table_has_its_counts() -> None:
    ends = iter([(0.1, 0), (0.1, 0), (0.1, 3), (60, 0)])
    run = ScriptWorld(
        "task t\n  periods -exec 1 -timeout 5\n  nmax 4\n  command work\nend\nrun\n", job=lambda _: next(ends)
    )
    run.run(3.5)
    run.say("status -tasks")
    assert run.lines[0] == " Task Status"
    assert run.lines[1].split() == ["AV", "Name", "Nrun", "Njobs", "Ngood", "Nfail", "Ntime", "Command"]
    assert column(run, "t")[:8] == ["++", "t", "1", "4", "2", "1", "0", "work"]
    run.run(10)
    run.say("status -tasks")
    assert column(run, "t")[:8] == ["++", "t", "0", "4", "2", "1", "1", "work"]


def test_inactive_and_closed_tasks_are_marked() -> None:
    text = "task off\n  active false\n  command a\nend\ntask shut\n  trange 3:00 4:00\n  command b\nend\nrun\n"
    world = ScriptWorld(text)
    world.run(2)
    world.say("status -tasks")
    assert column(world, "off")[0] == "-+"
    assert column(world, "shut")[0] == "+-"
    assert world.lines[2].endswith("(active false)")
    assert "opens" in world.lines[3]


def test_a_task_that_declines_says_where_and_how_often() -> None:
    world = ScriptWorld("task t\n  task.exec\n    break\n    command x\n  end\nend\nrun\n")
    world.run(3.5)
    world.say("status -tasks")
    line = world.lines[-1]
    assert column(world, "t")[7] == "(dynamic)"
    assert "Nskip 4" in line
    assert "declined (break at" in line


def test_a_task_at_its_limits_says_so_in_the_words_of_the_script() -> None:
    tasks = "task a\n  command x\n  nmax 1\nend\ntask b\n  command x\n  npending 2\nend\nrun\n"
    world = ScriptWorld(tasks, job=lambda _: 0.9)
    world.run(2.5)
    world.say("status -taskstatsreset a")
    world.run(2)
    world.say("task b\nnpending 1\nend\nstatus -tasks")
    world.run(0.5)
    world.say("status -tasks")
    lines = {line.split()[1]: line for line in world.lines if line.startswith(" ++")}
    assert lines["a"].endswith("(nmax 1 reached)")
    assert lines["b"].endswith("(npending 1 reached)")


def test_a_task_whose_macro_fails_says_what_failed() -> None:
    world = ScriptWorld("task t\n  task.exec\n    command $missing\n  end\nend\nrun\n")
    world.run(1.5)
    world.say("status -tasks")
    assert world.lines[-1].endswith(
        "failed at pipeline.pro:3, variable missing not found: no job when it was asked last)"
    )


def test_the_job_list_says_why_a_job_waits() -> None:
    world = ScriptWorld(
        "task t\n  npending 1\n  host lonely -required\n  command work -x\nend\nrun\n" + SLEEPER, job=lambda _: 30
    )
    world.run(1)
    world.say("status")
    head = world.lines.index(" Jobs in Pantasks Queue")
    waiting, running = world.lines[head + 1 : head + 3]
    assert waiting.split()[:5] == ["1", "1", "t", "PENDING", "work"]
    assert "lonely" in waiting
    assert running.split()[:5] == ["2", "2", "sleeper", "BUSY", "sleep"]


def test_a_long_job_list_is_cut_with_a_word() -> None:
    world = ScriptWorld("task t\n  periods -exec 0.01 -timeout 999\n  command w\nend\nrun\n", job=lambda _: 900)
    world.run(2.2)
    world.say("status")
    assert "more (`status -jobs` shows more)" in world.lines[-1]
    world.say("status -jobs")
    assert len([line for line in world.lines if " BUSY " in line]) >= 400


def test_the_long_form_tells_periods_ranges_and_host() -> None:
    text = (
        "task t\n  trange 6:00 18:00 -nmax 3\n  trange Mon Fri -exclude\n"
        "  periods -exec 2 -poll 0.5\n  host anyhost\n  command w\nend\n"
    )
    world = ScriptWorld(text)
    world.say("status -taskinfo")
    told = world.out
    assert "spawn period: 2   polling period: 0.5   timeout: none (default)" in told
    assert "active : 6:00 - 18:00 (0 of 3)" in told
    assert "avoid : Mon - Fri" in told
    assert "host: anyhost" in told


def test_tasks_of_the_configuration_are_in_the_table_too() -> None:
    world = ScriptWorld(SLEEPER, tasks=(TaskDefinition("plain", ("true",)),))
    world.say("status -tasks")
    assert [line.split()[1] for line in world.lines[2:]] == ["sleeper", "plain"]


# statistics


def test_statistics_keep_least_average_and_most_apart_for_success_and_failure() -> None:
    statistics = TaskStatistics()
    for seconds, code in ((1, 0), (3, 0), (8, 2)):
        statistics.record(Report(Outcome.EXITED, code, ran_for_ns=seconds * SECOND))
    statistics.record(Report(Outcome.TIMED_OUT, ran_for_ns=9 * SECOND))
    statistics.record(Report(Outcome.KILLED, ran_for_ns=99 * SECOND))
    good, bad = statistics.good, statistics.bad
    assert (good.count, good.least, good.average, good.most) == (2, 1.0, 2.0, 3.0)
    assert (bad.count, bad.least, bad.most, statistics.timed_out) == (2, 8.0, 9.0, 1)


def test_taskstats_shows_the_tasks_that_match() -> None:
    world = ScriptWorld(SLEEPER + "task quick\n  nmax 1\n  command q\nend\nrun\n", job=lambda spec: 0.5)
    world.run(0.9)
    world.say("status -taskstats ^q")
    (line,) = [line for line in world.lines if line.split()[:1] == ["quick"]]
    assert " ".join(line.split()) == "quick | 1 0.500 0.500 0.500 | 1 0.500 0.500 0.500 | 0 NONE NONE NONE"
    assert not any(line.split()[:1] == ["sleeper"] for line in world.lines)


def test_a_reset_begins_all_counts_anew() -> None:
    world = ScriptWorld("task t\n  command work\nend\nrun\n")
    world.run(3.5)
    world.say("status -taskstatsreset t\nstatus -tasks")
    assert column(world, "t")[2:7] == ["0", "0", "0", "0", "0"]


@pytest.mark.parametrize(
    "line", ["status -taskstats (", "status -taskstats nothing", "status -nonsense", "showtask nobody"]
)
def test_what_cannot_be_shown_fails_with_a_sentence(line: str) -> None:
    world = ScriptWorld(SLEEPER)
    world.say(line)
    assert not world.ran[-1].ok
    assert line.split(maxsplit=1)[0] in world.errors or "task nobody not found" in world.errors


# showtask


def test_showtask_prints_lines_that_define_the_task_again() -> None:
    text = (
        'task t\n  command sort -u "my file"\n  options a b\n  host node1 -required\n'
        "  periods -exec 0.25 -poll 2 -timeout 9\n"
        "  nmax 9\n  npending 2\n  nice 3\n  active false\n  trange 6:00 7:00 -nmax 3\n  trange -1h now -exclude\n"
        "  stdout out.log\n  task.exec\n    if ($x > 1)\n      break\n    end\n    command other\n  end\n"
        "  task.exit timeout\n    echo late\n  end\nend\n"
    )
    first = ScriptWorld(text)
    first.say("showtask t")
    again = ScriptWorld(first.out)
    again.say("showtask t")
    assert again.out == first.out
    assert "  task.exit timed-out\n    echo late\n  end\nend\n" in first.out
    assert '  command sort -u "my file"\n' in first.out
    assert "  host node1 -required\n" in first.out
    windows = [[replace(w, text="") for w in world.language.tasks.get("t").windows] for world in (first, again)]
    assert windows[0] == windows[1]


def test_showtask_tells_which_lines_failed() -> None:
    world = ScriptWorld("task t\n  task.exec\n    command $missing\n  end\nend\nrun\n")
    world.run(2.5)
    world.say("showtask t")
    assert "  # failed 3 times at pipeline.pro:3: variable missing not found" in world.out


# ending jobs


def test_kill_ends_a_running_job_and_runs_the_killed_macro_only() -> None:
    macros = "  task.exit killed\n    echo killed\n  end\n  task.exit default\n    echo other\n  end\nend\nrun\n"
    world = ScriptWorld(SLEEPER.replace("end\n", macros), job=lambda _: 30)
    world.run(0.5)
    world.say("kill 1")
    world.run(1)
    assert "job 1 removed" in world.lines
    assert "killed" in world.lines
    assert "other" not in world.lines
    assert not any(job.id == 1 for job in world.scheduler.jobs.values())


def test_kill_ends_a_job_that_waits() -> None:
    world = ScriptWorld("task t\n  nmax 1\n  host lonely -required\n  command w\nend\nrun\n")
    world.run(1)
    world.say("kill 1")
    world.run(1)
    assert "job 1 removed" in world.lines
    assert (world.scheduler.jobs, world.specs) == ({}, [])


@pytest.mark.parametrize("said", ["delete job 1", "delete 1", "delete job 0.0.0.1"])
def test_delete_job_works_and_runs_no_macro(said: str) -> None:
    macros = "  task.exit killed\n    echo killed\n  end\n  nmax 1\nend\nrun\n"
    world = ScriptWorld(SLEEPER.replace("end\n", macros), job=lambda _: 30)
    world.run(0.5)
    world.say(said)
    world.run(1)
    assert world.lines == ["job 1 removed"]
    assert world.scheduler.jobs == {}


def test_numbers_of_jobs_are_read_in_the_historical_form_too() -> None:
    assert [job_number(word) for word in ("7", "0.0.0.1a", "0.0.1.2")] == [7, 26, 65_538]


def test_a_kill_while_halted_does_not_wait_for_ever() -> None:
    world = ScriptWorld(SLEEPER + "run\n", job=lambda _: 30)
    world.run(0.5)
    world.say("halt\nkill 1\necho next")
    assert world.lines[-1] == "next"
    world.run(1)
    assert world.running("sleeper") == 0


def test_flush_jobs_removes_all() -> None:
    world = ScriptWorld("task t\n  command w\n  periods -timeout 99\n  nmax 3\nend\nrun\n", job=lambda _: 60)
    world.run(5)
    world.say("flush jobs")
    world.run(1)
    assert world.lines == ["3 jobs removed"]
    assert world.scheduler.jobs == {}


def test_flush_while_halted_says_that_the_ends_wait() -> None:
    world = ScriptWorld("task t\n  command w\n  periods -timeout 99\n  nmax 3\nend\nrun\n", job=lambda _: 60)
    world.run(5)
    world.say("halt\nflush jobs")
    world.run(1)
    assert world.lines == ["3 jobs removed; their ends count after `run` (the scheduler is halted)"]
    assert len(world.scheduler.jobs) == 3
    world.say("run")
    world.run(1)
    assert world.scheduler.jobs == {}


@pytest.mark.parametrize("said", ["kill 99", "kill x", "kill", "delete job", "delete nothing 1", "flush hosts"])
def test_an_end_that_cannot_be_fails_with_a_sentence(said: str) -> None:
    world = ScriptWorld(SLEEPER)
    world.say(said)
    assert not world.ran[-1].ok
    assert world.errors


# ending tasks


@pytest.mark.parametrize("said", ["delete task sleeper", "task delete sleeper"])
def test_a_deleted_task_makes_no_job_and_its_jobs_end_as_they_would(said: str) -> None:
    world = ScriptWorld(SLEEPER + "run\n", job=lambda _: 30)
    world.run(0.5)
    world.say(said)
    world.run(10)
    assert world.running("sleeper") == 1
    world.run(60)
    assert (len(world.specs), "sleeper" in world.language.tasks) == (1, False)


def test_a_deleted_task_may_be_defined_anew() -> None:
    world = ScriptWorld("task t\n  command one\nend\nrun\n")
    world.run(0.5)
    world.say("delete task t\ntask t\n  command two\nend\n")
    world.run(1.5)
    assert world.specs[-1].command == ("two",)


@pytest.mark.parametrize("limit", [0, 5])
def test_a_task_may_delete_itself_in_its_exit_macro(limit: int) -> None:
    settings = f"  periods -exec 0.1\n  npending {limit}\n  command w\n"
    world = ScriptWorld(f"task t\n{settings}  task.exit 0\n    delete task t\n  end\nend\nrun\n", job=lambda _: 0.25)
    world.run(5)
    assert len(world.specs) == 3
    assert "t" not in world.scheduler.spawning.tasks


def test_a_misspelt_task_is_not_deleted() -> None:
    world = ScriptWorld(SLEEPER)
    world.say("delete task sleper")
    assert "did you mean sleeper?" in world.errors
    assert "sleeper" in world.language.tasks


# the rest


def test_verbose_is_switched_and_shown() -> None:
    world = ScriptWorld()
    world.say("verbose on\nverbose\nverbose toggle\nverbose")
    assert world.lines == ["verbose mode on", "verbose mode off"]


def test_version_names_the_program() -> None:
    world = ScriptWorld()
    world.say("version")
    assert world.out.startswith("laulima ")


def test_jobs_that_end_are_told_apart_from_running_ones_while_halted() -> None:
    world = ScriptWorld("task t\n  nmax 1\n  command w\nend\nrun\n")
    world.say("halt")
    world.run(5)
    assert [job.state for job in world.scheduler.jobs.values()] == [JobState.REACTING]
    world.say("status")
    assert " EXIT " in world.lines[-1]
