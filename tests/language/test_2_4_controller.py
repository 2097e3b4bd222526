"""Goal: the commands of the historical controller do their work here: hosts by entries, run levels, parameters,
stacks, jobs without a task. Method: scripts in the small world of `script_world.py`; looked at are printed lines,
hosts and jobs.
"""

from __future__ import annotations

import pytest

from model.events import JobVerb, OrderJob
from model.host import HostOrder, HostState
from model.job import SECOND, HostWish
from model.records import HostChanged
from model.scripting import Stream
from shell.language.calls import Data
from shell.language.direct_jobs import DIRECT
from tests.language.script_world import ScriptWorld

HOSTS = {"alpha": 2, "beta": 1}


def world(text: str = "", **more: object) -> ScriptWorld:
    return ScriptWorld(text, **{"hosts": HOSTS, **more})  # type: ignore[arg-type]


# hosts


def test_each_add_of_a_host_is_one_more_slot() -> None:
    run = ScriptWorld("controller host add gamma\n" * 3 + "controller host add delta -threads 4\n")
    assert {name: host.slots for name, host in run.controller.hosts.items()} == {"gamma": 3, "delta": 1}
    assert run.controller.hosts["delta"].threads == 4
    assert run.lines == ["HostID: 1"] * 3 + ["HostID: 2"]


def test_a_host_is_taken_off_and_on_again() -> None:
    run = world()
    run.say("controller host off alpha")
    states = [run.controller.hosts["alpha"].state]
    run.say("controller host on alpha\ncontroller host check alpha")
    states.append(run.controller.hosts["alpha"].state)
    assert states == [HostState.OFF, HostState.UP]
    assert run.lines[0].startswith("host alpha is OFF")
    assert run.lines[-1] == "host alpha is IDLE"


def test_a_host_that_is_off_can_be_deleted_and_one_that_is_up_cannot() -> None:
    run = world()
    run.say("controller host delete alpha")
    assert "switch it off first" in run.errors
    run.say("controller host off alpha; controller host delete alpha")
    assert "alpha" not in run.controller.hosts
    assert run.lines[-1] == "host alpha is deleted"


def test_a_host_that_is_down_says_why_and_is_tried_again_by_retry() -> None:
    run = world()
    run.cut("alpha", "No route to host")
    run.say("controller host check alpha")
    assert run.lines[-1].startswith("host alpha is DOWN: No route to host")
    run.mend("alpha")
    run.say("controller host retry alpha\ncheck host alpha")
    assert run.lines[-1] == "host IDLE"


def test_what_a_script_orders_of_hosts_is_not_kept_for_later_lives_but_what_a_person_orders_is() -> None:
    run = world()
    run.say("controller host off alpha")
    assert not [record for record in run.records if isinstance(record, HostChanged)]
    run.open(2)
    run.say("controller host off beta", session=2)
    assert [record.host for record in run.records if isinstance(record, HostChanged)] == ["beta"]


@pytest.mark.parametrize(
    "line",
    [
        "controller host off gamma",
        "controller host drop alpha",
        "controller host on",
        "controller nothing",
        "controller st",
        "controller job sleep 1",
        "controller exit",
        "controller exit false",
        "controller parameters nothing",
        "controller parameters connect = x",
        "controller hoststack up",
        "check job 77",
        "check host gamma",
        "stdout 77",
        "job",
        "job -host",
        "job -nice 30 x",
    ],
)
def test_a_mistake_fails_with_a_sentence(line: str) -> None:
    run = world()
    run.say(line)
    assert not run.ran[-1].ok
    assert run.errors.strip()
    assert "internal error" not in run.errors


def test_exit_true_takes_all_hosts_away_but_those_that_work() -> None:
    run = world("job -host beta sleep\n", job=lambda _: 30)
    run.run(1)
    run.say("controller exit TRUE")
    assert list(run.controller.hosts) == ["beta"]
    assert run.lines[-1] == "host beta stays until its jobs have ended: it takes nothing new"
    run.run(60)
    assert run.controller.hosts["beta"].state is HostState.OFF
    assert len(run.specs) == 1


def test_subcommands_may_be_abbreviated() -> None:
    run = world()
    run.say("controller mach\ncontr para wanthost")
    assert run.lines == ["Nmachines: 2", "alpha : 2 : 0 : 0", "beta : 1 : 0 : 0", "wanthost_wait = 10"]


# run levels


def test_stop_starts_no_job_and_run_lets_them_start() -> None:
    run = world("controller stop\njob sleep\n", job=lambda _: 5)
    run.run(10)
    assert run.specs == []
    run.say("status")
    assert "Controller is stopped   (run level none" in run.out
    run.say("controller run")
    run.run(1)
    assert len(run.specs) == 1


def test_run_does_not_switch_on_what_a_person_drained_or_took_off() -> None:
    run = world()
    run.say("controller host off alpha\ncontroller run reap\ncontroller run all")
    orders = {name: host.order for name, host in run.controller.hosts.items()}
    assert orders == {"alpha": HostOrder.OFF, "beta": HostOrder.ON}


# parameters


def test_wanthost_wait_is_how_long_jobs_wait_for_the_host_they_want() -> None:
    run = world(
        "parameters wanthost_wait = 3\njob -host alpha a\njob -host alpha b\njob -host alpha c\n", job=lambda _: 30
    )
    run.run(2.5)
    assert len(run.specs) == 2
    run.run(1)
    assert len(run.specs) == 3
    assert run.specs[0].host.wait_ns == 3 * SECOND


def test_parameters_without_effect_are_kept_and_say_so() -> None:
    run = world()
    run.say("controller parameters unwanted = 3\ncontroller parameters unwanted")
    assert run.lines[0] == run.lines[1]
    assert run.lines[0].startswith("unwanted_host_jobs = 3   (no effect")


# jobs without a task


def test_a_job_runs_without_task_and_without_run() -> None:
    run = world("job sort big.txt\n")
    run.run(1)
    assert run.lines == ["JobID: 1"]
    assert [spec.command for spec in run.specs] == [("sort", "big.txt")]


def test_a_job_of_a_script_with_tasks_waits_for_run() -> None:
    run = world("task t\n  command w\nend\njob a\n")
    run.run(5)
    assert (run.specs, run.ran[-1].ok) == ([], False)
    assert "halted" in run.errors


def test_options_count_in_front_of_the_command_only() -> None:
    run = world("job +host alpha -nice 5 -timeout 7 -xhost beta tool -host x -timeout 3 -h\n")
    run.run(1)
    (spec,) = run.specs
    assert spec.command == ("tool", "-host", "x", "-timeout", "3", "-h")
    assert (spec.host.name, spec.host.required, spec.nice, spec.timeout_ns) == ("alpha", True, 5, 7 * SECOND)


def test_a_job_for_any_host_has_no_wish() -> None:
    run = world("job -host anyhost tool\n")
    run.run(1)
    assert run.specs[0].host == HostWish()


def test_check_follows_a_job_from_pending_to_its_end() -> None:
    run = world("controller stop\njob false -x\ncheck job 1\n", job=lambda _: (2.0, 3, "abc", "defg"))
    assert run.lines[1:] == ["STATUS PENDING", "EXITST 0", "STDOUT 0", "STDERR 0", "DTIME 0.000", "HOSTNAME NONE"]
    run.say("controller run")
    run.run(1)
    run.say("check job 1")
    assert "STATUS BUSY" in run.lines
    run.run(2)
    run.say("check job 1 -save")
    assert run.lines[-6:-4] == ["STATUS EXIT", "EXITST 3"]
    assert run.lines[-2:] == ["DTIME 2.000", f"HOSTNAME {run.language.variables['JOB_REALHOST']}"]
    assert run.language.variables["JOB_STATUS"] == "EXIT"


def test_the_output_of_an_ended_job_is_shown_or_kept() -> None:
    run = world("job tool\n", job=lambda _: (0.1, 0, "one\n$two {x}\n", "bad\n"))
    run.run(1)
    run.say("stdout 1\nstderr 1 -var text")
    assert run.lines[1:] == ["one", "$two {x}", "STATUS 0"]
    assert run.language.variables["text"] == "bad\n"
    assert isinstance(run.language.variables["text"], Data)


def test_the_output_of_a_running_job_is_refused() -> None:
    run = world("job tool\n", job=lambda _: 60)
    run.run(1)
    run.say("stdout 1")
    assert run.lines[-1] == "STATUS -2"
    assert "it has not ended" in run.errors


def test_an_ended_job_can_be_forgotten() -> None:
    run = world("job tool\n")
    run.run(1)
    run.say("delete job 1\ncheck job 1")
    assert run.lines[1:] == ["job 1 removed", "job not found"]


def test_reset_ends_and_forgets_all_jobs_without_a_task() -> None:
    text = (
        "controller host add alpha\nreset\njob sleep 100\njob sleep 1\nsleep 2\nreset\nreset\ncontroller jobstack all\n"
    )
    world = ScriptWorld(text, hosts={"alpha": 2}, job=lambda spec: float(spec.command[1]))
    world.run(5)
    assert [line for line in world.lines if "RESET" in line] == [f"RESET_RESULT: {code}" for code in (2, 1, 2)]
    assert world.lines[-1] == "Njobs: 0"
    assert not world.errors


def test_case_does_not_matter_in_a_hosts_name() -> None:
    task = "task t\n  host ALPHA -required\n  npending 1\n  command x\nend\nrun\njob +host Alpha ls\n"
    world = ScriptWorld(f"controller host add alpha\n{task}controller host check ALPHA\n", hosts={"alpha": 2})
    world.run(2)
    assert {spec.host.name for spec in world.specs} == {"alpha"}
    assert "host alpha is BUSY" in world.out
    assert not world.errors


def test_stacks_list_jobs_and_hosts_by_state() -> None:
    run = world("job +host alpha a\njob +host beta b\njob +host beta c\n", job=lambda _: 30)
    run.run(1)
    run.say("jobstack busy\njobstack pending\nhoststack idle\nhoststack busy\nmachines")
    assert run.lines[3:] == [
        "BEGIN BLOCK",
        "Njobs: 2",
        f"1 {'a':<20} alpha",
        f"2 {'b':<20} beta",
        "BEGIN BLOCK",
        "Njobs: 1",
        f"3 {'c':<20} (beta)   (needs 1 of 1 slots of host beta (required), 0 free)",
        "Nhosts: 1",
        "1 alpha",
        "Nhosts: 2",
        "1 alpha",
        "2 beta",
        "Nmachines: 2",
        "alpha : 2 : 1 : 0",
        "beta : 1 : 1 : 0",
    ]


def test_controller_status_can_be_narrowed() -> None:
    run = world("job +host alpha tool one\njob +host alpha other\n", job=lambda _: 30)
    run.run(20)
    run.say("controller status -cmd tool -nohost")
    assert run.lines[2] == "job stack ALLJOBS:  1 objects"
    assert run.lines[3].split() == ["0", "alpha", "BUSY", "20.00", "1", "0", "tool", "one"]
    run.say(
        "controller status -state PENDING +jobs\ncontroller status -age 30 +jobs\ncontroller status -host beta +jobs"
    )
    assert run.lines[4:] == ["job stack ALLJOBS:  0 objects"] * 3
    del run.shown[(0, Stream.OUT)]
    run.say("controller status -nojobs -state IDLE")
    assert run.lines[0] == "host stack ALLHOSTS:  1 objects"
    assert run.lines[1].split() == ["0", "beta", "IDLE", "2"]


def test_machines_count_jobs_elsewhere_that_want_the_host() -> None:
    run = world("parameters wanthost_wait = 1\njob -host beta a\njob -host beta b\n", job=lambda _: 30)
    run.run(3)
    run.say("machines")
    assert run.lines[-2:] == ["alpha : 2 : 1 : 0", "beta : 1 : 1 : 1"]


def test_the_output_is_that_of_the_attempt_that_ran() -> None:
    run = world("controller stop\njob tool\n", job=lambda _: (0.1, 0, "text\n"))
    run.run(1)
    run.give(OrderJob(1, JobVerb.HOLD, 1))
    run.give(OrderJob(2, JobVerb.RELEASE, 1))
    run.say("controller run")
    run.run(1)
    run.say("stdout 1")
    assert run.lines[1:] == ["text", "STATUS 0"]


def test_the_task_of_such_jobs_is_not_among_the_tasks() -> None:
    run = world("job tool\nstatus -tasks\n")
    assert DIRECT not in run.out
    run.run(2)
    assert not [notice for notice in run.notices if "answers" not in notice.text]


def test_a_script_can_still_use_the_names_of_task_commands_for_jobs_and_hosts() -> None:
    run = world("host off alpha\nhost check alpha\n")
    assert run.lines[-1].startswith("host alpha is OFF")


@pytest.mark.parametrize(
    "line",
    ["controller output flush", "controller pulse", "controller verbose", "controller version", "controller help"],
)
def test_what_has_no_meaning_any_more_is_accepted(line: str) -> None:
    run = world()
    run.say(line)
    assert run.ran[-1].ok
    assert not run.errors
