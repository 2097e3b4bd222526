"""Goal: each verb asks the server for the right thing, prints its answer, and ends with the right exit code.

Method: whole command lines against a stub of the control socket (`conftest.py`).
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from model.events import HostVerb
from model.views import (
    SCHEMA,
    CheckView,
    ExplanationView,
    HistoryRow,
    HostRow,
    JobRow,
    NotifierRow,
    PlanRow,
    Status,
    TaskRow,
)
from shell.commands.changes import until_time
from shell.selections import UsageError, selection
from shell.verbs import BY_NAME, HOST_VERBS, VERBS, Kind
from tests.shell.rows import explanation, history_row, host_row, job_row, plan_row, status_of, task_row
from tests.shell.stub import No, Ran, Stub

Laulima = Callable[..., Ran]
ROOT = Path(__file__).resolve().parents[2]


# what is asked


@pytest.mark.parametrize(
    ("words", "verb", "arguments"),
    [
        ("kill 5 7-9 last", "kill", {"selection": {"jobs": [5, 7, 8, 9], "last": True}, "reason": ""}),
        (
            "kill task=warp host=node3 -r slow",
            "kill",
            {"selection": {"task": "warp", "host": "node3"}, "reason": "slow"},
        ),
        ("kill --all", "kill", {"selection": {"all": True}, "reason": ""}),
        ("retry state=failed", "retry", {"selection": {"state": "failed"}, "reason": ""}),
        ("delete 5", "delete", {"selection": {"jobs": [5]}, "reason": ""}),
        ("delete --task warp", "delete_task", {"task": "warp", "reason": ""}),
        ("hold warp --for 2h", "hold", {"task": "warp", "reason": "", "for_ns": 7200 * 10**9}),
        ("hold 12", "hold", {"selection": {"jobs": [12]}, "reason": "", "for_ns": None}),
        ("hold task=warp", "hold", {"selection": {"task": "warp"}, "reason": "", "for_ns": None}),
        ("release warp", "release", {"task": "warp", "reason": ""}),
        ("flush warp", "flush", {"task": "warp", "reason": ""}),
        ("stop -r dinner", "stop", {"reason": "dinner"}),
        ("resume", "resume", {"reason": ""}),
        ("halt", "halt", {"reason": ""}),
        ("shutdown", "shutdown", {"kill": False}),
        ("shutdown --kill", "shutdown", {"kill": True}),
        ("host add node9 --slots 4", "host", {"verb": "add", "name": "node9", "slots": 4, "reason": ""}),
        (
            "host add node9 --resource cpus=0.5 --resource memory=2GiB --label ssd --label ssd",
            "host",
            {
                "verb": "add",
                "name": "node9",
                "slots": 1,
                "reason": "",
                "resources": [["cpus", 500], ["memory", 2 << 30]],
                "labels": ["ssd"],
            },
        ),
    ],
)
def test_a_change_asks_for_what_was_said_and_prints_what_changed(
    server: Stub, laulima: Laulima, words: str, verb: str, arguments: dict[str, Any]
) -> None:
    server.answers[verb] = {"text": "this changed"}
    ran = laulima(*words.split())
    assert (ran.code, ran.out, ran.err) == (0, "this changed\n", "")
    assert server.requests == [(verb, arguments)]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("host add n --resource cpus", "expects NAME=AMOUNT"),
        ("host add n --resource memory=4", "4GiB"),
        ("host add n --resource gpus=1 --resource gpus=2", "said twice"),
        ("host add n --label 9", "is not a name"),
        ("host drain n --label ssd", "are for host add"),
        ("agent --join x:1 --name n --resource cpus=-1", "expects an amount"),
        ("agent --join x:1 --name n --stdio", "one of --join and --stdio"),
        ("agent --name n", "one of --join and --stdio"),
        ("agent --join x:1", "wants --name"),
        ("agent --stdio --name ../x", "cannot be the name"),
    ],
)
def test_what_a_host_cannot_have_is_an_error_of_the_command_line(
    server: Stub, laulima: Laulima, words: str, reason: str
) -> None:
    ran = laulima(*words.split())
    assert ran.code == 2
    assert reason in ran.err
    assert not server.requests


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        ("81231", {"about": "job", "name": "81231"}),
        ("warp", {"about": None, "name": "warp"}),
        ("host node3", {"about": "host", "name": "node3"}),
    ],
)
def test_explain_takes_a_bare_name_or_says_what_it_is(
    server: Stub, laulima: Laulima, words: str, arguments: dict[str, Any]
) -> None:
    server.answers["explain"] = explanation()
    ran = laulima("explain", *words.split())
    assert ran.out.startswith("job 81231 (warp): pending for 26 min\n")
    assert server.requests == [("explain", arguments)]


def test_a_host_set_is_one_order_for_each_host_and_one_refusal_does_not_stop_the_others(
    server: Stub, laulima: Laulima
) -> None:
    server.answers["host"] = lambda asked: No("is on") if asked["name"] == "node2" else {"text": f"{asked['name']} off"}
    ran = laulima("host", "off", "node[1-3]")
    assert [arguments["name"] for _, arguments in server.requests] == ["node1", "node2", "node3"]
    assert (ran.code, ran.out) == (1, "node1 off\nnode3 off\n")
    assert "node2: is on" in ran.err


def test_history_asks_once_for_each_job_that_is_named(server: Stub, laulima: Laulima) -> None:
    server.answers["history"] = lambda asked: [history_row(asked["job"])]
    ran = laulima("history", "5", "6", "--task", "warp", "-n", "3")
    assert [arguments["job"] for _, arguments in server.requests] == [5, 6]
    assert server.requests[0][1] == {"task": "warp", "job": 5, "since_ns": None, "limit": 3}
    assert [line.split()[0] for line in ran.out.splitlines()] == ["JOB", "5", "6"]


def test_status_of_one_task_shows_that_task_and_names_a_near_miss(server: Stub, laulima: Laulima) -> None:
    server.answers["status"] = status_of([task_row("warp"), task_row("copy")], [])
    assert "copy" not in laulima("status", "warp").out
    ran = laulima("status", "wrap")
    assert (ran.code, ran.out) == (1, "")
    assert "no task is called wrap, did you mean warp?" in ran.err


# what is said on which stream, and with which exit code


def test_a_command_without_a_server_says_so_and_how_to_start_one(state: Path, laulima: Laulima) -> None:
    ran = laulima("status")
    assert (ran.code, ran.out) == (3, "")
    assert "no server" in ran.err
    assert "laulima run" in ran.err


def test_a_command_outside_of_any_state_directory_says_so(state: Path, laulima: Laulima) -> None:
    state.rmdir()
    ran = laulima("jobs")
    assert ran.code == 3
    assert ".laulima" in ran.err
    assert "laulima run pipeline.yaml" in ran.err


def test_the_state_is_found_upwards_or_named_before_or_after_the_verb(
    server: Stub, state: Path, laulima: Laulima, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server.answers["tasks"] = [task_row("copy")]
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert laulima("tasks").code == 0
    monkeypatch.chdir("/")
    assert laulima("tasks").code == 3
    assert laulima("tasks", "--state", str(state)).code == 0
    assert laulima("--state", str(state), "tasks").code == 0
    monkeypatch.setenv("LAULIMA_STATE", str(state))
    assert laulima("tasks").code == 0


def test_what_the_server_refuses_is_told_with_its_hint_and_exit_code(server: Stub, laulima: Laulima) -> None:
    server.answers["kill"] = No("job 5 is final\x1b[2J", "see laulima history 5", 1)
    ran = laulima("kill", "5")
    assert (ran.code, ran.out, ran.err) == (1, "", "job 5 is final\\x1b[2J\n  see laulima history 5\n")


def test_a_wait_that_ends_too_early_is_exit_code_4(server: Stub, laulima: Laulima) -> None:
    ran = laulima("kill", "5", "--wait-at-most", "20ms")  # the stub never answers
    assert ran.code == 4
    assert "it may still happen" in ran.err


@pytest.mark.parametrize(
    "words",
    ["kill", "kill warp", "kill task=", "kill taks=warp", "kill 9-5", "stauts", "status --frobnicate", "hold",
     "hold warp --for 5", "hold warp --for 0s", "hold warp --for 2h --until 18:00", "hold warp --until tomorrow",
     "host fry node1", "delete 5 --task warp", "explain one two", "submit", "submit --required -- true",
     "submit --env X -- true", "logs warp", "logs 7 --stderr --both", "history color=red", "history warp",
     "hosts color=red", "tasks state=",
     "check one two", "set a", "history --changes warp", "run p.yaml --control"],
)  # fmt: skip
def test_a_command_line_that_makes_no_sense_is_exit_code_2_and_asks_nothing(
    server: Stub, laulima: Laulima, words: str
) -> None:
    ran = laulima(*words.split())
    assert (ran.code, ran.out) == (2, "")
    assert ran.err
    assert server.requests == []


def test_a_wrong_verb_names_the_near_miss(laulima: Laulima) -> None:
    assert "no such command: stauts, did you mean status?" in laulima("stauts").err


def test_a_server_that_goes_away_is_not_reachable(server: Stub, laulima: Laulima) -> None:
    def leave(_: dict[str, Any]) -> None:
        raise ConnectionError

    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    server.answers["tasks"] = leave
    ran = laulima("tasks")
    assert ran.code == 3
    assert "ended before it answered" in ran.err


def test_an_answer_of_another_version_is_told_as_that(server: Stub, laulima: Laulima) -> None:
    server.answers["tasks"] = [{"name": "copy", "state": 7}]
    ran = laulima("tasks")
    assert ran.code == 1
    assert "another version" in ran.err


# the table of verbs


def test_every_verb_has_a_function_help_and_a_place() -> None:
    for verb in VERBS:
        assert callable(verb.function())
        assert verb.help.endswith(".")
        assert (verb.server != "") == (verb.kind is not Kind.LOCAL)


def test_the_table_knows_the_verbs_of_hosts() -> None:
    assert set(HOST_VERBS) == {verb.value for verb in HostVerb}


@pytest.mark.parametrize("verb", [verb.name for verb in VERBS])
def test_every_verb_has_a_page_of_help(laulima: Laulima, verb: str) -> None:
    ran = laulima(verb, "--help")
    assert ran.code == 0
    assert BY_NAME[verb].help.split()[0] in ran.out


# --json

QUICKSTART = str(Path(__file__).parents[2] / "configs" / "quickstart.yaml")
READS: dict[str, tuple[list[str], Any, Any]] = {
    "status": (["status"], status_of([task_row("copy")], [host_row("node1")]), Status),
    "metrics": (["metrics"], status_of([task_row("copy")], []), None),
    "notify": (["notify"], [NotifierRow("operator", 3, 0, 1)], None),
    "tasks": (["tasks"], [task_row("copy")], list[TaskRow]),
    "jobs": (["jobs"], [job_row(1, item="x")], list[JobRow]),
    "hosts": (["hosts"], [host_row("node1")], list[HostRow]),
    "explain": (["explain", "1"], explanation(), ExplanationView),
    "check": (["check", "1"], CheckView("job", "1", "warp", explanation(), {}, (), "/none.yaml"), CheckView),
    "history": (["history"], [history_row(1, signal=11)], list[HistoryRow]),
    "plan": (["plan"], [plan_row("copy")], list[PlanRow]),
    "logs": (["logs", "1"], {"path": "/x", "bytes": 3, "running": True}, None),
    "diff": (["diff", QUICKSTART], {"changes": [], "applied": False}, None),
}

FIELDS_1 = {
    Status: "configuration clock intake running_for_ns tasks hosts executors alarms pid schema",
    TaskRow: "name state pending running limit done failed skipped last_at next_at items why",
    JobRow: "job attempt task item state host since_ns command outcome why",
    HostRow: "name state slots busy queued done failed since_ns why",
    ExplanationView: "about state reasons since_ns until_ns changes story schema",
    HistoryRow: "job attempt task item command host outcome exit_code signal reason accepted_at started_at ended_at "
    "waited_ns ran_for_ns final stdout_bytes stderr_bytes",
}
"""What scripts that read schema 1 rely on. A field may be added; one that goes or is renamed makes another schema."""


def test_every_read_verb_has_json() -> None:
    assert set(READS) == {verb.name for verb in VERBS if verb.kind is Kind.READ}


@pytest.mark.parametrize("verb", READS)
def test_json_has_a_schema_number_and_holds_what_the_server_said(server: Stub, laulima: Laulima, verb: str) -> None:
    words, data, kind = READS[verb]
    server.answers[BY_NAME[verb].server] = data
    ran = laulima(*words, "--json")
    assert (ran.code, ran.err, ran.out.count("\n")) == (0, "", 1)
    assert ran.json["schema"] == SCHEMA
    if kind is not None:
        answer = ran.json[verb] if isinstance(data, list) else ran.json
        jsonschema.validate(answer, msgspec.json.schema(kind))
        assert msgspec.convert(answer, kind) == data


@pytest.mark.parametrize("kind", FIELDS_1, ids=lambda kind: kind.__name__)
def test_schema_1_keeps_its_fields(kind: type[msgspec.Struct]) -> None:
    assert SCHEMA == 1
    assert set(FIELDS_1[kind].split()) <= set(kind.__struct_fields__)


def test_an_empty_list_is_valid_json(server: Stub, laulima: Laulima) -> None:
    server.answers["jobs"] = []
    assert laulima("jobs", "--json").json == {"schema": 1, "jobs": []}
    ran = laulima("jobs")
    assert (ran.code, ran.out) == (0, "")
    assert "no jobs" in ran.err


# status -w


def test_watching_shows_the_status_again_until_the_server_ends(server: Stub, laulima: Laulima) -> None:
    server.answers["status"] = status_of([task_row("copy")], [])

    def then_leave(_: dict[str, Any]) -> Any:
        server.answers["status"] = then_leave if len(server.requests) < 1 else status_of([], [])
        server.connections[0].shutdown(0)  # the stub reads no more and closes after its answer
        return status_of([task_row("copy")], [])

    server.answers["status"] = then_leave
    ran = laulima("status", "-w")
    assert "copy" in ran.out
    assert ran.code == 3
    assert "the server has ended" in ran.err


# a terminal


def on_terminal(columns: int, *words: str, **variables: str) -> str:
    """What a command writes to a terminal of that width."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    kept = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "COLUMNS"}}
    with subprocess.Popen(
        [sys.executable, "-m", "shell.main", *words],
        env={**kept, "PYTHONPATH": str(ROOT), "TERM": "xterm", **variables},
        stdout=theirs, stderr=subprocess.PIPE,
    ) as running:  # fmt: skip
        os.close(theirs)
        shown = b""
        try:
            while piece := os.read(ours, 1 << 16):  # it comes in pieces
                shown += piece
        except OSError:  # how a terminal tells that nobody is at its other end
            pass
        finally:
            os.close(ours)
        _, errors = running.communicate(timeout=60)
    assert (running.returncode, errors) == (0, b"")
    return shown.decode().replace("\r\n", "\n")


def test_a_terminal_gets_colours_and_its_own_width(server: Stub) -> None:
    server.answers["tasks"] = [task_row("copy", state="held", why="x" * 200)]
    text = on_terminal(60, "tasks")
    assert "\x1b[33mheld\x1b[0m" in text
    plain = text.replace("\x1b[33m", "").replace("\x1b[0m", "")
    assert max(len(line) for line in plain.splitlines()) == 60
    assert "x" * 200 in on_terminal(60, "tasks", "--wide")


@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_who_wants_no_colour_gets_none(server: Stub, variables: dict[str, str]) -> None:
    server.answers["tasks"] = [task_row("copy", state="held")]
    assert "\x1b" not in on_terminal(80, "tasks", **variables)


def test_output_of_a_job_cannot_command_the_terminal(server: Stub, tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes("Zürich\x1b[2J\n".encode() + b"\xff\n")
    server.answers["logs"] = {"path": str(tmp_path / "out"), "bytes": 14, "running": False}
    assert on_terminal(80, "logs", "7") == "Zürich\\x1b[2J\n\\xff\n"


# logs and submit


def test_logs_copy_every_byte_to_a_pipe(server: Stub, tmp_path: Path) -> None:
    written = bytes(range(256)) * 300
    (tmp_path / "out").write_bytes(written + b"not of this job")
    server.answers["logs"] = {"path": str(tmp_path / "out"), "bytes": len(written), "running": False}
    done = subprocess.run(
        [sys.executable, "-m", "shell.main", "logs", "7"],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout == written
    assert server.requests == [("logs", {"job": 7, "attempt": None, "stream": "stdout"})]


def test_logs_follow_a_job_until_it_ends(server: Stub, laulima: Laulima, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.write_bytes(b"one\n")

    def answer(_: dict[str, Any]) -> dict[str, Any]:
        if len(server.requests) == 2:
            out.write_bytes(b"one\ntwo\n")
        return {"path": str(out), "bytes": out.stat().st_size, "running": len(server.requests) < 3}

    server.answers["logs"] = answer
    assert laulima("logs", "7", "-f").out == "one\ntwo\n"
    assert len(server.requests) == 3


def test_logs_that_follow_a_job_which_outlives_its_server_do_not_end_well(
    server: Stub, laulima: Laulima, tmp_path: Path
) -> None:
    (tmp_path / "out").write_bytes(b"one\n")

    def then_leave(_: dict[str, Any]) -> dict[str, Any]:
        server.connections[0].shutdown(0)  # the stub reads no more and closes after its answer
        return {"path": str(tmp_path / "out"), "bytes": 4, "running": True}

    server.answers["logs"] = then_leave
    ran = laulima("logs", "7", "-f")
    assert (ran.code, ran.out) == (3, "one\n")
    assert "the server has ended; the job may go on" in ran.err


def test_logs_of_the_last_job_are_those_of_the_highest_number(server: Stub, laulima: Laulima) -> None:
    server.answers |= {"jobs": [job_row(7)], "history": [history_row(9)], "logs": {"path": None}}
    ran = laulima("logs", "last", "--stderr")
    assert server.requests[-1] == ("logs", {"job": 9, "attempt": None, "stream": "stderr"})
    assert (ran.code, ran.err) == (0, "job 9 wrote nothing to stderr\n")


def test_submit_prints_the_number_of_the_job(server: Stub, laulima: Laulima) -> None:
    server.answers["submit"] = {"job": 12}
    ran = laulima("submit", "--host", "node3", "--timeout", "1m", "-e", "A=b=c", "--", "ls", "-l", "--all")
    assert (ran.code, ran.out) == (0, "12\n")
    [(_, arguments)] = server.requests
    assert arguments["command"] == ["ls", "-l", "--all"]
    assert (arguments["host"], arguments["timeout_ns"], arguments["environment"]) == ("node3", 60 * 10**9, {"A": "b=c"})


def test_submit_leaves_the_options_of_the_command_alone(server: Stub, laulima: Laulima) -> None:
    server.answers["submit"] = {"job": 12}
    laulima("submit", "ls", "--wait", "-l")
    assert server.requests[0][1]["command"] == ["ls", "--wait", "-l"]


@pytest.mark.parametrize(
    ("report", "code"),
    [
        ({"outcome": "EXITED", "exit_code": 0}, 0),
        ({"outcome": "EXITED", "exit_code": 3}, 3),
        ({"outcome": "CRASHED", "signal": 11}, 139),
        ({"outcome": "TIMED_OUT"}, 124),
        ({"outcome": "COMMAND_NOT_FOUND", "reason": "no such file"}, 127),
        ({"outcome": "HOST_DOWN"}, 125),
    ],
)
def test_a_job_that_is_waited_for_behaves_like_its_command(
    server: Stub, laulima: Laulima, tmp_path: Path, report: dict[str, Any], code: int
) -> None:
    (tmp_path / "out").write_text("its output\n")
    (tmp_path / "err").write_text("its errors\n")
    server.answers["submit"] = {
        "job": 12, "attempt": 1, "report": {"started": True, **report},
        "stdout": str(tmp_path / "out"), "stderr": str(tmp_path / "err"),
    }  # fmt: skip
    ran = laulima("submit", "--wait", "--", "some", "command")
    assert (ran.code, ran.out) == (code, "its output\n")
    assert ran.err.startswith("its errors\n")


# small parts


def test_a_selection_is_what_its_words_say() -> None:
    assert selection(["3", "5-7", "task=warp"]) == {"jobs": [3, 5, 6, 7], "task": "warp"}
    assert selection([]) == {}
    for wrong in ("task=a task=b", "1-200000", "x"):
        with pytest.raises(UsageError):
            selection(wrong.split())


def test_until_is_the_next_time_that_the_clock_shows_so() -> None:
    noon = time.mktime((2026, 11, 24, 12, 0, 0, 0, 0, -1))
    assert until_time("18:00", noon) == 6 * 3600 * 10**9
    assert until_time("06:30", noon) == int(18.5 * 3600) * 10**9
    assert until_time("12:00", noon) == 24 * 3600 * 10**9


@pytest.mark.parametrize(
    ("how", "code", "said"),
    [
        ("tasks >/dev/full", 1, "what was to be written could not be: No space left on device"),
        ("tasks --json >/dev/full", 1, "what was to be written could not be: No space left on device"),
        ("tasks >&-", 0, ""),
        ("tasks >&- 2>&-", 0, ""),
    ],
)
def test_where_the_answer_cannot_go_is_told_in_a_sentence(server: Stub, how: str, code: int, said: str) -> None:
    server.answers["tasks"] = [task_row("one")]
    done = subprocess.run(
        ["sh", "-c", f"exec {sys.executable} -m shell.main {how}"],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr.decode().split("\n")[0]) == (code, said)


def test_a_folder_that_is_gone_is_told_in_a_sentence(laulima: Laulima, tmp_path: Path, state: Path) -> None:
    (tmp_path / "gone").mkdir()
    os.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    ran = laulima("status")
    assert (ran.code, ran.err.split("\n")[0]) == (1, "the current folder is not there any more")


def test_a_reader_that_goes_away_ends_the_command_quietly(server: Stub) -> None:
    server.answers["tasks"] = [task_row(f"task{number}", why="x" * 60) for number in range(5000)]
    child = subprocess.Popen(
        [sys.executable, "-m", "shell.main", "tasks"],
        # unbuffered, Python itself drops the rest of a text of which a part has passed, and raises nothing
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": ""},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert child.stdout is not None
    assert child.stderr is not None
    assert select.select([child.stdout], [], [], 60)[0]
    child.stdout.readline()
    child.stdout.close()
    with child.stderr:
        said = child.stderr.read()
    assert child.wait(60) == 141
    assert said == b""
