"""Goal: a script file is all that is needed to run a pipeline, a prompt reaches the server that runs, and neither can
do harm: what fails is told by the exit code, what loops holds up nobody.

Method: whole command lines with real servers, jobs and prompts in a folder of their own; nothing of them may be left.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shell.detaching import command_line
from tests.shell.leftovers import left_of
from tests.shell.stub import Ran

Laulima = Callable[..., Ran]
LIMIT = 60.0

COUNTING = """\
$done = 0
task one
  command echo hello
  nmax 3
  periods -exec 0.05 -poll 0.05 -timeout 60
  task.exit 0
    $done ++
    echo got $stdout
    if ($done == 3) quit 4
  end
end
run
"""

TICKING = """\
$kept = 7
task ticking
  command sh -c "date +%s.%N >> ticks"
  periods -exec 0.2 -poll 0.1 -timeout 60
end
run
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    for name in ("LAULIMA_STATE", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SHELL", "/bin/sh")
    yield tmp_path
    subprocess.run(command_line(["shutdown", "--kill"]), capture_output=True, timeout=LIMIT, check=False)
    assert left_of(tmp_path) == []


def laulima_process(*words: str, text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command_line(words), input=text, capture_output=True, text=True, timeout=LIMIT, check=False
    )  # fmt: skip


def script(folder: Path, text: str, name: str = "pipeline.pro") -> str:
    (folder / name).write_text(text)
    return name


# a script file as the whole pipeline


def test_a_script_runs_with_its_arguments_and_says_what_it_says(folder: Path) -> None:
    name = script(folder, 'echo arguments $argv:n $argv:0\nexec echo "by the shell"; exec echo oh >&2\necho last\n')
    done = laulima_process("run", name, "--exit", "--", "first", "second")
    assert (done.returncode, done.stdout) == (0, "arguments 2 first\nby the shell\nlast\n")
    assert "oh\n" in done.stderr


def test_an_argument_that_is_no_text_harms_no_job_that_gets_it(folder: Path) -> None:
    text = COUNTING.replace("command echo hello", "command echo $argv:0")
    words = [os.fsencode(word) for word in command_line(["run", script(folder, text), "--", "a"])]
    done = subprocess.run([*words[:-1], b"a\xffb"], capture_output=True, timeout=LIMIT, check=False)
    assert (done.returncode, done.stdout.count("got a\ufffdb".encode())) == (4, 3), done.stderr


def test_the_jobs_of_a_script_run_and_its_macros_decide_when_it_ends_and_how(folder: Path) -> None:
    done = laulima_process("run", script(folder, COUNTING))
    assert [line for line in done.stdout.splitlines() if line] == ["got hello"] * 3, done.stderr
    assert done.returncode == 4
    laulima_process("shutdown", "--kill")


def test_a_script_that_fails_before_it_says_run_starts_nothing_and_ends_the_server_with_1(folder: Path) -> None:
    name = script(folder, "echo begun\nno_such_command\necho never\nrun\n")
    done = laulima_process("run", name)
    assert (done.returncode, done.stdout) == (1, "begun\n")
    assert f"{name}:2:1" in done.stderr
    assert "nothing was started" in done.stderr


def test_a_script_file_that_is_not_there_is_told(folder: Path) -> None:
    done = laulima_process("run", "nowhere.pro")
    assert (done.returncode, "nowhere.pro" in done.stderr) == (1, True)


def test_yaml_may_come_by_a_pipe_and_a_script_may_not(folder: Path) -> None:
    (folder / "in.yaml").symlink_to("/dev/stdin")
    text = "tasks: {one: {command: [ls]}}\n"
    checked = laulima_process("validate", "in.yaml", text=text)
    assert (checked.returncode, checked.stdout) == (0, "in.yaml is valid: 1 task, 0 hosts\n")
    refused = laulima_process("validate", "/dev/stdin", text=text)
    assert (refused.returncode, "is a pipe, and a script is read again" in refused.stderr) == (1, True)


def test_arguments_need_a_script(folder: Path) -> None:
    script(folder, "tasks: {one: {command: [ls]}}\n", "pipeline.yaml")
    done = laulima_process("run", "pipeline.yaml", "argument")
    assert (done.returncode, "no script" in done.stderr) == (2, True)


def test_a_script_is_checked_without_being_run(folder: Path, laulima: Laulima) -> None:
    wrong = laulima("validate", script(folder, "ecoh hello\nexec touch there\n"))
    assert wrong.code == 1
    assert "pipeline.pro:1:1" in wrong.err
    assert not (folder / "there").exists()
    right = laulima("validate", script(folder, COUNTING))
    assert (right.code, "1 task" in right.out) == (0, True), right.err
    assert laulima("validate", "pipeline.pro", "--json").json["valid"] is True


def test_statements_in_yaml_are_checked_with_the_scripts_that_it_names(folder: Path, laulima: Laulima) -> None:
    script(folder, "$from_script = 1\nmacro tidy\n  echo tidy\nend\nrun\n", "lib.pro")
    text = (
        "scripts: [lib.pro]\ntasks:\n  a:\n    prepare: |\n      queuepip q\n      tidy\n"
        "      echo $from_script $item $never\n"
        "    command: [ls]\n    on:\n      1-3: book setwrd a b c\n"
    )
    found = laulima("validate", script(folder, text, "pipeline.yaml"))
    assert found.code == 1
    assert "pipeline.yaml:5:1: queuepip: Command not found. (did you mean queue" in found.err
    assert "pipeline.yaml:7:" in found.err, "the unknown variable"
    assert "setwrd (did you mean setword?)" in found.err
    assert "from_script" not in found.err
    assert "tidy" not in found.err
    right = text.replace("queuepip", "queueprint").replace(" $never", "").replace("setwrd", "setword")
    assert laulima("validate", script(folder, right, "pipeline.yaml")).code == 0


def test_a_script_is_written_as_yaml(folder: Path, laulima: Laulima) -> None:
    name = script(folder, "$where = node3\ntask t\n  host $where\n  command work\nend\nrun\n")
    done = laulima("convert", name, "--rest", "rest.pro")
    assert done.code == 0, done.err
    assert "name: node3" in done.out
    assert (folder / "rest.pro").read_text() == "$where = node3\nrun\n"
    script(folder, done.out, "pipeline.yaml")
    assert laulima("validate", "pipeline.yaml").code == 0
    again = laulima("convert", name, "--rest", "rest.pro")
    assert (again.code, "is there already" in again.err) == (1, True)


def test_a_script_that_fails_after_run_is_an_alarm_and_what_was_begun_goes_on(folder: Path) -> None:
    text = COUNTING + "no_such_command\n"
    done = laulima_process("run", script(folder, text))
    assert done.returncode == 4
    assert "after it had said `run`" in done.stderr


def test_a_script_adds_hosts_and_gets_the_output_of_jobs_that_ran_there(folder: Path) -> None:
    text = COUNTING.replace("  nmax 3", "  host node1 -required\n  nmax 3").replace(
        "got $stdout", "got $JOB_HOSTNAME $stdout"
    )
    text = text.replace("\nrun\n", "\ncontroller host add node1\ncontroller host add node1\nrun\n")
    done = laulima_process("run", script(folder, text))
    assert (done.returncode, done.stdout.count("got node1 hello")) == (4, 3), done.stderr


WAITING = """\
task one
  command sh -c "echo begun >> begun; read line < gate; echo ended"
  nmax 1
  periods -exec 0.05 -poll 0.05 -timeout 600
  task.exit 0
    echo harvested $stdout
    quit 6
  end
end
run
"""


def test_a_server_that_died_is_taken_up_by_the_script_run_again(folder: Path) -> None:
    os.mkfifo(folder / "gate")
    name = script(folder, WAITING)
    with subprocess.Popen(command_line(["run", name]), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as first:
        deadline = time.monotonic() + LIMIT
        while not (folder / "begun").exists():
            assert time.monotonic() < deadline
            select.select([], [], [], 0.02)
        first.kill()
    with subprocess.Popen(
        command_line(["run", name]), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as second:
        (folder / "gate").write_text("go\n")
        said, errors = second.communicate(timeout=LIMIT)
    assert (second.returncode, "harvested ended" in said) == (6, True), errors
    assert len((folder / "begun").read_text().splitlines()) == 1


def test_a_script_whose_tasks_are_done_ends_when_idle(folder: Path) -> None:
    text = COUNTING.replace("if ($done == 3) quit 4", "echo done $done")
    done = laulima_process("run", script(folder, text), "--until-idle")
    assert done.returncode == 0, done.stderr
    assert "done 3" in done.stdout


def test_a_yaml_file_may_name_scripts(folder: Path) -> None:
    script(folder, COUNTING, "counting.pro")
    script(folder, "scripts: [counting.pro]\nshutdown: {on_exit: kill}\n", "pipeline.yaml")
    done = laulima_process("run", "pipeline.yaml")
    assert (done.returncode, done.stdout.count("got hello")) == (4, 3), done.stderr


def test_a_reader_that_goes_away_ends_neither_the_script_nor_the_server(folder: Path) -> None:
    name = script(folder, "echo first\nfor i 0 2000\n  echo more of it\nend\nexec touch reached\n")
    with subprocess.Popen(
        command_line(["run", name, "--exit"]), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as server:
        assert server.stdout is not None and server.stderr is not None
        server.stdout.close()
        said = server.stderr.read().decode()
    assert server.returncode == 0, said
    assert (folder / "reached").exists()
    assert said.count("standard output cannot be written") == 1


# prompts


@pytest.fixture
def running(folder: Path) -> Path:
    """A folder with a detached server that runs a script."""
    done = laulima_process("run", script(folder, TICKING), "--detach")
    assert done.returncode == 0, done.stderr
    return folder


def test_a_prompt_of_the_running_server_shares_its_variables_and_runs_the_shell(running: Path) -> None:
    done = laulima_process("shell", text="echo kept $kept\n$more = 3\nfor i 0 2\n  echo number $i\nend\n!echo shell\n")
    assert (done.returncode, done.stdout) == (0, "kept 7\nnumber 0\nnumber 1\nshell\n"), done.stderr
    again = laulima_process("shell", text="echo $more\nno_such_command\nstatus -tasks\nquit 5\n")
    assert again.returncode == 5
    assert again.stdout.startswith("3\n")
    assert "ticking" in again.stdout
    assert "no_such_command" in again.stderr


def test_a_prompt_with_its_own_server_ends_it(folder: Path) -> None:
    name = script(folder, "$kept = 7\n")
    done = laulima_process("shell", name, text="echo kept $kept\n")
    assert (done.returncode, done.stdout) == (0, "kept 7\n"), done.stderr
    assert laulima_process("status").returncode == 3
    bare = laulima_process("shell", "--new", text="echo {1+1}\n")
    assert (bare.returncode, bare.stdout) == (0, "2\n"), bare.stderr


def test_a_second_server_on_the_same_state_is_refused_with_a_way_out(running: Path) -> None:
    done = laulima_process("shell", "pipeline.pro", text="echo never\n")
    assert (done.returncode, done.stdout) == (1, "")
    assert "input pipeline.pro" in done.stderr


def test_a_loop_at_a_prompt_delays_no_job_and_no_other_prompt_and_ends_with_its_prompt(running: Path) -> None:
    with subprocess.Popen(command_line(["shell"]), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as looping:
        assert looping.stdin is not None and looping.stdout is not None
        looping.stdin.write(b"echo looping\nwhile (1)\n  $x = 1\nend\n")
        looping.stdin.flush()
        assert looping.stdout.readline() == b"looping\n"
        begun = ticks(running)
        deadline = time.monotonic() + LIMIT
        other = laulima_process("shell", text="echo here\n")
        assert (other.returncode, other.stdout) == (0, "here\n"), other.stderr
        while len(ticks(running)) < len(begun) + 10:
            assert time.monotonic() < deadline
            select.select([], [], [], 0.05)
        looping.send_signal(signal.SIGINT)
        looping.stdin.write(b"echo after\n")
        looping.stdin.close()
        assert looping.stdout.read() == b"after\n"
        assert looping.wait(LIMIT) == 1  # the interrupted loop failed
    pauses = [later - earlier for earlier, later in zip(ticks(running)[-10:], ticks(running)[-9:], strict=False)]
    assert sorted(pauses)[len(pauses) // 2] < 2.0, pauses  # far above what a loaded machine needs, far below a loop


def ticks(folder: Path) -> list[float]:
    path = folder / "ticks"
    return [float(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_a_prompt_that_is_killed_leaves_no_loop_behind(running: Path) -> None:
    with subprocess.Popen(command_line(["shell"]), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as looping:
        assert looping.stdin is not None and looping.stdout is not None
        looping.stdin.write(b"$turns = 0\necho looping\nwhile (1)\n  $turns ++\nend\n")
        looping.stdin.flush()
        assert looping.stdout.readline() == b"looping\n"
        assert turns() < turns()
        looping.kill()
    deadline = time.monotonic() + LIMIT
    while turns() != turns():
        assert time.monotonic() < deadline


def turns() -> int:
    return int(laulima_process("shell", text="echo $turns\n").stdout)


def test_a_shell_line_at_a_prompt_is_ended_by_ctrl_c(running: Path) -> None:
    environment = dict(os.environ)
    with subprocess.Popen(
        command_line(["shell"]), stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as prompt:
        assert prompt.stdin is not None and prompt.stdout is not None
        prompt.stdin.write(b"exec echo begun && exec sleep 1000\n")
        prompt.stdin.flush()
        assert prompt.stdout.readline() == b"begun\n"
        prompt.send_signal(signal.SIGINT)
        prompt.stdin.write(b"echo after\n")
        prompt.stdin.close()
        assert prompt.stdout.read() == b"after\n"
