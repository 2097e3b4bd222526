"""Goal: the runner, which stands beside each job of a batch system, keeps its promises whatever is done to it, and what
it leaves is read as it was meant.

Method: it is run as the batch system runs it, as a script with an index in its environment, and its marks are read.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.batch.marks import Elements, read_begun, read_finished
from live.clock import wall_ns
from live.spool import output_path
from model.batch_words import Begun, Finished, Stopped, Submission
from model.job import SECOND, JobId, JobSpec, Outcome
from tests.live.running_server import until

HOUR_NS = 3600 * SECOND
LONG = 60.0
LEASES = (2, 10, 50)
"""Seconds of a lease that is renewed before it ends; the first one that leaves the time for that counts."""


# the runner and its marks


@pytest.fixture
def elements(tmp_path: Path) -> Elements:
    spool = tmp_path / "spool"
    (spool / "output").mkdir(parents=True)
    made = Elements(spool, "big", "identity", tmp_path, {"PATH": os.environ["PATH"]})
    made.prepare(())
    made.grant(HOUR_NS)
    return made


def submission(*specs: JobSpec, number: int = 7) -> Submission:
    keys = tuple((JobId(index + 1), 1) for index in range(len(specs)))
    return Submission(number, keys, specs, (0,) * len(specs))


def shell(script: str, **more: Any) -> JobSpec:
    return JobSpec("task", ("sh", "-c", script), **more)


def laid_down(elements: Elements, *specs: JobSpec) -> Path:
    """The script of a submission of these."""
    return elements.write(submission(*specs), sys.executable, "INDEX", ("SLURM",))


def begin(script: Path, index: int = 0, **more: str) -> subprocess.Popen[bytes]:
    environment = {"PATH": os.environ["PATH"], "INDEX": str(index), "SLURMD_NODENAME": "n1", **more}
    return subprocess.Popen(["/bin/sh", script], env=environment, start_new_session=True)


def run(elements: Elements, spec: JobSpec, **more: str) -> tuple[int, Finished]:
    """The exit status of its runner, and what that left."""
    status = begin(laid_down(elements, spec), **more).wait(LONG)
    [mark] = elements.look("finished")
    assert isinstance(mark, Finished)
    return status, mark


def test_a_runner_leaves_the_exit_code_and_ends_with_it(elements: Elements, tmp_path: Path) -> None:
    status, mark = run(elements, shell("echo out; echo error >&2; exit 3"))
    assert status == 3
    assert (mark.report.outcome, mark.report.exit_code, mark.node) == (Outcome.EXITED, 3, "n1")
    assert (mark.report.stdout_bytes, mark.report.stderr_bytes) == (4, 6)
    assert output_path(tmp_path / "spool", 1, 1, "stdout").read_text() == "out\n"


def test_an_exit_code_is_not_taken_for_a_signal(elements: Elements) -> None:
    status, mark = run(elements, shell("exit 137"))
    assert (status, mark.report.outcome, mark.report.exit_code) == (137, Outcome.EXITED, 137)


def test_a_runner_tells_the_signal_and_ends_by_it(elements: Elements) -> None:
    status, mark = run(elements, shell("kill -s SEGV $$"))
    assert (status, mark.report.outcome, mark.report.signal) == (-signal.SIGSEGV, Outcome.CRASHED, signal.SIGSEGV)


def test_a_start_is_marked_with_node_and_time(elements: Elements) -> None:
    before = wall_ns()
    begin(laid_down(elements, shell("true"))).wait(LONG)
    [mark] = elements.look("begun")
    assert isinstance(mark, Begun)
    assert (mark.number, mark.index, mark.node) == (7, 0, "n1")
    assert before <= mark.at_ns <= wall_ns()


def test_a_runner_starts_nothing_that_was_claimed_and_nothing_twice(elements: Elements, tmp_path: Path) -> None:
    script = laid_down(elements, shell("echo ran >> ran"), shell("echo ran >> ran"))
    assert elements.claim(7, 0)
    assert begin(script, 0).wait(LONG) == -signal.SIGUSR2
    assert begin(script, 1).wait(LONG) == 0
    assert begin(script, 1).wait(LONG) == -signal.SIGUSR2
    assert not elements.claim(7, 1)
    assert elements.claim(7, 0), "it stays ours"
    assert (tmp_path / "ran").read_text() == "ran\n"


def test_a_runner_starts_nothing_of_a_discarded_submission(elements: Elements, tmp_path: Path) -> None:
    script = laid_down(elements, shell("echo ran >> ran"))
    kept = tmp_path / "script"
    kept.write_text(script.read_text())
    elements.discard(7)
    assert begin(kept).wait(LONG) == -signal.SIGUSR2
    assert not (tmp_path / "ran").exists()
    assert elements.claim(7, 0)


def test_a_runner_holds_the_exec_timeout_and_kills_after_the_grace(elements: Elements) -> None:
    script = "trap '' TERM; while :; do sleep 0.01; done"
    status, mark = run(elements, shell(script, timeout_ns=SECOND // 5, grace_ns=SECOND // 5))
    assert (mark.stopped, mark.report.signal) == (Stopped.TIMEOUT, signal.SIGKILL)
    assert mark.report.ran_for_ns >= 2 * SECOND // 5
    assert status == -signal.SIGKILL


def kept_for(elements: Elements, script: Path, index: int, seconds: int) -> int | None:
    """How long (ns) a job of ours was kept alive after its lease of so many seconds was renewed for two more; None: it
    could not be renewed in time."""
    begun_ns = wall_ns()
    elements.grant(seconds * SECOND)
    runner = begin(script, index)
    output = output_path(elements._spool, index + 1, 1, "stdout")
    until(lambda: runner.poll() is not None or (output.exists() and output.read_text()), "it runs, or it was too late")
    granted_ns = wall_ns()
    elements.grant((seconds + 2) * SECOND)
    in_time = wall_ns() < begun_ns + seconds * SECOND
    runner.wait(2 * LONG)
    return wall_ns() - granted_ns if in_time else None


def test_a_runner_ends_its_job_with_the_lease_and_not_while_it_is_renewed(elements: Elements) -> None:
    script = laid_down(elements, *[shell("echo up; exec sleep 100")] * len(LEASES))
    for index, seconds in enumerate(LEASES):
        kept_ns = kept_for(elements, script, index, seconds)
        if kept_ns is not None:
            break
    assert kept_ns is not None, "the longest lease was too short to begin a job in it"
    assert kept_ns >= (seconds + 2) * SECOND
    mark = elements.look("finished")[-1]
    assert isinstance(mark, Finished)
    assert mark.stopped is Stopped.LEASE


def test_after_the_lease_a_runner_starts_nothing(elements: Elements, tmp_path: Path) -> None:
    elements.grant(-SECOND)
    _, mark = run(elements, shell("echo ran >> ran"))
    assert mark.stopped is Stopped.LEASE
    assert not mark.report.started
    assert not (tmp_path / "ran").exists()


def test_a_signal_from_outside_reaches_the_job_and_is_told(elements: Elements) -> None:
    script = laid_down(elements, shell("trap 'exit 5' TERM; echo up; while :; do sleep 0.01; done"))
    runner = begin(script)
    until(lambda: any(elements._spool.glob("output/*/*stdout")), "it runs")
    until(lambda: next(elements._spool.glob("output/*/*stdout")).read_text(), "its trap is set")
    os.kill(runner.pid, signal.SIGTERM)
    assert runner.wait(LONG) == 5
    [mark] = elements.look("finished")
    assert isinstance(mark, Finished)
    assert (mark.stopped, mark.report.exit_code) == (Stopped.TOLD, 5)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (JobSpec("task", ("/no/such",)), "/no/such: not found"),
        (JobSpec("task", ("no-such-program",)), "not found in PATH"),
        (JobSpec("task", ("/etc/passwd",)), "not executable"),
        (JobSpec("task", ("/etc",)), "is a directory"),
        (JobSpec("task", ("true",), directory="absent"), "working directory"),
    ],
)
def test_a_command_that_cannot_be_started_says_why(elements: Elements, spec: JobSpec, words: str) -> None:
    status, mark = run(elements, spec)
    assert (status, mark.report.outcome, mark.report.started) == (127, Outcome.COMMAND_NOT_FOUND, False)
    assert words in mark.report.reason


def test_a_job_gets_a_small_environment_and_that_of_the_batch_system(elements: Elements, tmp_path: Path) -> None:
    spec = shell("env > seen", environment=(("MINE", "a b\nc=d"),))
    run(elements, spec, SLURM_JOB_ID="12", SECRET="no")
    seen = (tmp_path / "seen").read_text()
    assert "SECRET" not in seen
    for line in ("MINE=a b\nc=d", "SLURM_JOB_ID=12", "LAULIMA_JOB=1", "LAULIMA_ATTEMPT=1", "LAULIMA_HOST=big"):
        assert line in seen


def test_words_reach_the_job_as_they_are(elements: Elements, tmp_path: Path) -> None:
    words = ("", "a b", "'\"$(true)`", "line\nbreak", "*", "\udce4")
    spec = JobSpec("task", ("sh", "-c", 'printf "%s|" "$@" > said', "sh", *words))
    run(elements, spec)
    assert (tmp_path / "said").read_bytes() == b"|".join(map(os.fsencode, words)) + b"|"


def test_output_is_appended_to_the_file_that_the_user_named(elements: Elements, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("before\n")
    _, mark = run(elements, shell("echo now", stdout="kept", stderr="none"))
    assert (tmp_path / "kept").read_text() == "before\nnow\n"
    assert not (tmp_path / "none").exists()
    assert mark.report.reason == ""


@given(st.text(max_size=40).map(lambda text: f"{text}\nwhole\n") | st.text(max_size=40))
def test_no_text_of_a_mark_does_harm(text: str) -> None:
    finished = read_finished(1, 2, text)
    assert finished is None or finished.report.outcome is Outcome.LOST or "stopped" in text
    assert read_begun(1, 2, text).node != "" or text == "claimed\n"


def test_a_mark_that_was_spoilt_is_the_end_of_its_job_alone_and_one_that_is_not_whole_is_none(
    elements: Elements,
) -> None:
    folder = laid_down(elements, shell("true"), shell("true")).parent
    (folder / "0.finished").write_bytes(b"\xff\x00 rubbish\nwhole\n")
    (folder / "1.finished").write_bytes(b"exit 0\n")
    (folder / "1.begun").write_text("n2 then")
    [mark] = elements.look("finished")
    assert isinstance(mark, Finished)
    assert mark.report.outcome is Outcome.LOST
    assert elements.look("begun") == [Begun(7, 1, "n2", 0)]
