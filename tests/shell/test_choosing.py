"""Goal: every list and every change takes the same selections, and `logs` shows what several jobs wrote, or the last
of it.

Method: a stub of the server; what it was asked is what the words meant.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from model.views import CheckView
from shell.commands import logs
from shell.commands.logs import start_of_last
from tests.shell.rows import explanation, history_row, host_row, job_row, task_row
from tests.shell.stub import Ran, Stub

Laulima = Callable[..., Ran]
CHOSEN = ["task=warp", "state=failed", "host=node3"]
SELECTION = {"task": "warp", "state": "failed", "host": "node3"}


@pytest.mark.parametrize("verb", ["kill", "delete", "hold", "release", "retry", "flush", "jobs"])
def test_a_selection_means_the_same_to_every_verb(server: Stub, laulima: Laulima, verb: str) -> None:
    server.answers |= {name: {"text": "done"} for name in ("kill", "delete", "hold", "release", "retry", "flush")}
    server.answers["jobs"] = [job_row(7)]
    assert laulima(verb, *CHOSEN).code == 0
    assert server.requests[0][0] == verb
    assert server.requests[0][1]["selection"] == SELECTION


@pytest.mark.parametrize("verb", ["explain", "check", "logs"])
def test_what_shows_one_job_shows_each_job_of_a_selection(server: Stub, laulima: Laulima, verb: str) -> None:
    check = CheckView("job", "7", "t", explanation(), {}, (), "/none.yaml")
    server.answers |= {"jobs": [job_row(7), job_row(9)], "logs": {"path": None}}
    server.answers |= {"explain": explanation(), "check": check}
    assert laulima(verb, *CHOSEN).code == 0
    assert server.requests[0] == ("jobs", {"selection": SELECTION, "limit": 21})
    asked = [arguments.get("name", arguments.get("job")) for name, arguments in server.requests[1:] if name == verb]
    assert [str(number) for number in asked] == ["7", "9"]


def test_a_selection_of_nobody_or_of_too_many_says_so(server: Stub, laulima: Laulima) -> None:
    server.answers["jobs"] = []
    assert (laulima("logs", *CHOSEN).code, laulima("explain", *CHOSEN).err.splitlines()[0]) == (1, "no job fits")
    server.answers["jobs"] = [job_row(number) for number in range(21)]
    refused = laulima("check", *CHOSEN)
    assert (refused.code, refused.err.splitlines()[0]) == (1, "more than 20 jobs fit")


def test_the_history_takes_selections_too(server: Stub, laulima: Laulima) -> None:
    server.answers["history"] = [history_row(7)]
    for words, expected in (
        (CHOSEN, {"task": "warp", "outcome": "failed", "host": "node3"}),
        (["state=done"], {"outcome": "exit 0"}),
        (["state=final"], {"final": True}),
        (["last"], {"limit": 1}),
        (["12-13"], {"job": 12}),
    ):
        server.requests.clear()
        assert laulima("history", *words).code == 0
        asked = server.requests[0][1]
        assert {key: asked[key] for key in expected} == expected, words


def test_hosts_and_tasks_are_chosen_by_name_and_state(server: Stub, laulima: Laulima) -> None:
    server.answers["hosts"] = [host_row("node1"), host_row("node2", state="down"), host_row("node3", state="down")]
    server.answers["tasks"] = [task_row("copy"), task_row("warp", state="held")]
    names = lambda ran, what: [row["name"] for row in ran.json[what]]  # noqa: E731
    assert names(laulima("hosts", "state=down", "--json"), "hosts") == ["node2", "node3"]
    assert names(laulima("hosts", "node[1-2]", "state=down", "--json"), "hosts") == ["node2"]
    assert names(laulima("tasks", "state=held", "--json"), "tasks") == ["warp"]
    wrong = laulima("tasks", "wrap")
    assert (wrong.code, wrong.err.splitlines()[0]) == (1, "no task is called wrap, did you mean warp?")


def test_a_change_of_hosts_takes_a_state(server: Stub, laulima: Laulima) -> None:
    server.answers["hosts"] = [host_row("node1"), host_row("node2", state="down")]
    server.answers["host"] = {"text": "done"}
    assert laulima("host", "retry", "state=down").code == 0
    assert [arguments["name"] for verb, arguments in server.requests if verb == "host"] == ["node2"]
    assert laulima("host", "retry", "state=off").code == 1


# logs


def test_logs_of_several_jobs_say_whose_bytes_follow(server: Stub, laulima: Laulima, tmp_path: Path) -> None:
    def answer(arguments: dict[str, Any]) -> dict[str, Any]:
        path = tmp_path / f"{arguments['job']}-{arguments['stream']}"
        path.write_text(f"{arguments['stream']} of {arguments['job']}\n")
        return {"path": str(path), "bytes": path.stat().st_size}

    server.answers["logs"] = answer
    ran = laulima("logs", "3", "4")
    assert ran.out == "stdout of 3\nstdout of 4\n"
    assert ran.err == "==> job 3 stdout <==\n==> job 4 stdout <==\n"
    ran = laulima("logs", "3", "--both")
    assert (ran.out, ran.err) == ("stdout of 3\n", "stderr of 3\n")


def test_a_follower_waits_for_the_start_and_goes_on_with_the_next_attempt(
    server: Stub, laulima: Laulima, tmp_path: Path
) -> None:
    (tmp_path / "1").write_text("first\n")
    (tmp_path / "2").write_text("second\n")
    told = [
        {"path": None, "waits": "limits.in_flight=4"},
        {"path": str(tmp_path / "1"), "bytes": 6, "attempt": 1, "host": "node1", "running": True},
        {"path": str(tmp_path / "1"), "bytes": 6, "attempt": 1, "host": "node1", "waits": "ended, handlers run"},
        {"path": str(tmp_path / "1"), "bytes": 6, "attempt": 1, "host": "node1", "waits": "waits for its back-off"},
        {"path": str(tmp_path / "2"), "bytes": 7, "attempt": 2, "host": "node2", "running": True},
        {"path": str(tmp_path / "2"), "bytes": 7, "attempt": 2, "host": "node2"},
    ]
    server.answers["logs"] = lambda _: told[len(server.requests) - 1]
    ran = laulima("logs", "7", "-f")
    assert ran.out == "first\nsecond\n"
    assert ran.err.splitlines() == [
        "job 7: limits.in_flight=4",
        "job 7: ended, handlers run",
        "job 7: waits for its back-off",
        "job 7: attempt 2 on node2",
    ]


@pytest.mark.parametrize("piece", [1, 2, 3, 1 << 16])
def test_the_last_lines_begin_where_they_begin_whatever_is_read_at_once(
    monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    monkeypatch.setattr(logs, "PIECE", piece)
    for text in (b"", b"a", b"a\n", b"a\nb", b"a\nbb\nc\n", b"\n\n\n", b"a\n\nb\n"):
        lines = text.splitlines(keepends=True)
        for wanted in range(5):
            start = start_of_last(lambda at, size, text=text: text[at : at + size], len(text), wanted)
            assert text[start:] == b"".join(lines[-wanted:] if wanted else []), (text, wanted)
