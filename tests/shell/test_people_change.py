"""Goal: what people change is recorded with who did it, counts at once and after a restart, and is shown to whoever
asks; `check` says all about one thing; `logs -f` brings both streams of a job that is still to start.

Method: the command line and a detached server with real jobs.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from model.views import ChangeRow, CheckView
from shell.client import Client
from shell.detaching import command_line
from tests.shell.leftovers import left_of
from tests.shell.stub import Ran

Laulima = Callable[..., Ran]
LIMIT = 60.0
PIPELINE = """\
cluster:
  local: {slots: 4}
  hosts: [{name: "node[1-2]", slots: 2}]
tasks:
  long:
    command: [sh, -c, "read line < gate"]
    host: local
    periods: {exec: 100ms, timeout: none}
    limits: {in_flight: 1}
  late: {command: ["true"], host: local, periods: {exec: 1h}, active: false}
"""
WHO = "ann@head"


@pytest.fixture
def person(monkeypatch: pytest.MonkeyPatch) -> None:
    """A person who has a name of her own, and no variable that leads elsewhere."""
    for name in ("LAULIMA_STATE", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LAULIMA_USER", WHO)


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[None]:
    """A detached server in this folder."""
    (folder / "pipeline.yaml").write_text(PIPELINE)
    os.mkfifo(folder / "gate")
    with contextlib.chdir(folder):
        begin()
        yield
        subprocess.run(command_line(["shutdown", "--kill"]), capture_output=True, timeout=LIMIT, check=False)
    assert left_of(folder) == []


@pytest.fixture
def server(tmp_path: Path, person: None) -> Iterator[Path]:
    """A server of this test alone."""
    with serving(tmp_path):
        yield tmp_path


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("people")
    with serving(folder):
        yield folder


@pytest.fixture
def there(shared: Path, person: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A server that several tests use; each leaves it as it was, but for jobs of its own."""
    monkeypatch.chdir(shared)
    return shared


def begin() -> None:
    words = command_line(["run", "pipeline.yaml", "--detach"])
    subprocess.run(words, check=True, capture_output=True, timeout=LIMIT)


def until(condition: Callable[[], Any]) -> Any:
    """The first true value; the condition asks a server, which takes some time each."""
    deadline = time.monotonic() + LIMIT
    while not (value := condition()):
        assert time.monotonic() < deadline
    return value


def running(laulima: Laulima) -> int:
    return len(laulima("jobs", "task=long", "state=running", "--json").json["jobs"])


def changes(laulima: Laulima, *words: str) -> list[ChangeRow]:
    return msgspec.convert(laulima("history", "--changes", *words, "--json").json["changes"], list[ChangeRow])


def test_who_has_changed_what_is_recorded_and_counts_for_the_next_server(server: Path, laulima: Laulima) -> None:
    key = "tasks.long.limits.in_flight"
    until(lambda: running(laulima) == 1)
    assert laulima("set", f"{key}=3", "--reason", "hurry").out == "~ task long: limits.in_flight 1 -> 3\n"
    until(lambda: running(laulima) == 3)
    assert laulima("hold", "long", "--reason", "mail loop").code == 0
    assert laulima("host", "drain", "node1", "--reason", "new disk").out.startswith("host node1: takes nothing more")
    assert laulima("kill", "1", "--reason", "stuck").code == 0
    said = [(row.by, row.verb, row.about, row.name, row.reason) for row in changes(laulima)]
    assert said == [
        (WHO, f"set {key}=3", "configuration", "", "hurry"),
        (WHO, "hold", "task", "long", "mail loop"),
        (WHO, "drain", "host", "node1", "new disk"),
        (WHO, "kill", "job", "1", "stuck"),
    ]
    assert [row.verb for row in changes(laulima, "host=node1")] == ["drain"]
    assert laulima("shutdown", "--kill").code == 0
    assert [row.verb for row in changes(laulima)][-1] == "shutdown kill", "also without a server"
    begin()
    assert f"held by {WHO}: mail loop" in laulima("explain", "task", "long").out
    until(lambda: laulima("hosts", "node1", "state=draining", "--json").json["hosts"])  # once it is connected
    shown = msgspec.convert(laulima("check", "host", "node1", "--json").json, CheckView)
    assert shown.explanation.reasons[0] == f"draining: by {WHO}: new disk"
    assert f"drain by {WHO}: new disk" in [event.text for event in shown.events]
    laid = f"= {key}=3   set by {WHO} at "
    assert laulima("set").out.startswith(laid)
    told = laulima("diff")
    assert (told.code, told.out.splitlines()[0]) == (1, "~ task long: limits.in_flight 3 -> 1")
    assert told.out.splitlines()[1].startswith(laid)
    assert told.out.endswith("; pipeline.yaml:9 says 1\n")
    undone = laulima("reload")
    assert undone.out.splitlines()[0] == "~ task long: limits.in_flight 3 -> 1"
    assert laid in undone.out, "that the value does not count any more is said"
    assert laulima("diff").out == "nothing differs\n"
    assert laulima("set").err == "nothing is set: all is as the file says\n"


def test_values_are_unset_and_hosts_have_some_too(there: Path, laulima: Laulima) -> None:
    assert laulima("set", "hosts.node2.slots=5", "tasks.late.active=true").code == 0
    [host] = laulima("hosts", "node2", "--json").json["hosts"]
    assert host["slots"] == 5
    assert laulima("set", "--unset", "hosts.node2.slots").out == "~ host node2: slots 5 -> 2\n"
    assert laulima("set").out.startswith("= tasks.late.active=true")
    assert laulima("set", "--unset", "tasks.late.active").code == 0
    refused = laulima("set", "--unset", "hosts.node2.slots")
    assert (refused.code, refused.err) == (1, "hosts.node2.slots is as the file says\n  what is set: laulima set\n")


def test_what_cannot_be_set_changes_nothing_and_says_why(there: Path, laulima: Laulima) -> None:
    for words, why in (
        ("tasks.lon.limits.in_flight=3", "there is no task lon, did you mean long?"),
        ("tasks.long.limits.in_flight=many", "expects a whole number"),
        ("cluster.order=strict", "counts from the next start on"),
        ("hosts.node1=off", "laulima host off"),
    ):
        refused = laulima("set", words)
        assert (refused.code, refused.out) == (1, ""), words
        assert why in refused.err
    assert laulima("diff").out == "nothing differs\n"
    (there / "pipeline.yaml").write_text(PIPELINE.replace("in_flight: 1", "in_flight: 2"))
    refused = laulima("set", "tasks.late.active=true")
    assert refused.code == 1
    assert "has changed since it was loaded" in refused.err
    (there / "pipeline.yaml").write_text(PIPELINE)


def test_check_says_all_about_a_task_and_a_job_with_file_and_line(there: Path, laulima: Laulima) -> None:
    until(lambda: running(laulima) == 1)
    task = laulima("check", "task", "long").out
    assert "what pipeline.yaml:5 says of task long:" in task
    assert [line.split()[0] for line in task.splitlines() if line.endswith("pipeline.yaml:9")] == ["limits.in_flight"]
    assert "limits.in_flight=1" in task.splitlines()[1], "why it makes no more"
    job = laulima("check", "last").out
    assert job.startswith("job ")
    assert "last events:" in job
    both = laulima("check", "task=long", "state=running", "--json").json
    assert both["task"] == "long"


def test_logs_are_followed_from_before_the_start_to_the_end_of_both_streams(there: Path, laulima: Laulima) -> None:
    script = "echo one; echo wrong >&2; read line < gate2; echo two"
    os.mkfifo(there / "gate2")
    laulima("host", "drain", "node2")
    job = laulima("submit", "--host", "node2", "--required", "--", "sh", "-c", script).out.strip()
    words = command_line(["logs", job, "-f", "--both"])
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as following:
        assert following.stdout is not None
        assert following.stderr is not None
        waits = following.stderr.readline()
        assert f"job {job}: needs host node2".encode() in waits, waits
        laulima("host", "on", "node2")
        assert following.stdout.readline() == b"one\n", "while it runs"
        with (there / "gate2").open("w") as gate:
            gate.write("go\n")
        rest, errors = following.communicate(timeout=LIMIT)
    assert (rest, following.returncode) == (b"two\n", 0)
    assert b"wrong\n" in errors
    assert laulima("logs", job, "-n", "1").out == "two\n"


def test_a_flush_is_over_when_it_returns_and_takes_selections(there: Path, laulima: Laulima) -> None:
    waiting = [
        laulima("submit", "--host", "node2", "--required", "--slots", "2", "--", "sleep", "60") for _ in range(3)
    ]
    assert [ran.code for ran in waiting] == [0, 0, 0]
    until(lambda: len(laulima("jobs", "host=node2", "state=running", "--json").json["jobs"]) == 1)
    numbers = [int(ran.out) for ran in waiting]
    assert laulima("flush", f"{numbers[0]}-{numbers[-1]}").code == 0
    left = [row["job"] for row in laulima("jobs", "state=pending", "--json").json["jobs"]]
    assert not set(left) & set(numbers)
    refused = laulima("flush", str(numbers[0]))
    assert (refused.code, refused.err.splitlines()[0]) == (1, "every job that fits has started")
    assert laulima("kill", str(numbers[0])).code == 0


def test_what_is_ordered_at_a_prompt_has_its_person_too(there: Path, laulima: Laulima) -> None:
    with Client(there / ".laulima") as client:
        client.ask("shell_open", {}, dict[str, Any])
        for line in ("stop\n", "run\n"):
            client.ask("shell_text", {"text": line}, dict[str, Any])
        until(lambda: [(row.by, row.verb) for row in changes(laulima)][-2:] == [(WHO, "stop"), (WHO, "resume")])
