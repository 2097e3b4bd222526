"""Goal: the page's questions are answered from the server and its journal, its orders reach the server as the command
line's would, and both are refused in words when they make no sense.

Method: HTTP requests to a page over a stub of the server, which remembers what it was asked.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.page.site import Site, status
from tests.shell.stub import No, Stub

EXPLANATION = {
    "about": "job 5 (warp)", "state": "pending", "reasons": ["needs host node17"], "since_ns": 5, "until_ns": None,
    "changes": ["node17 answers"], "story": ["12:00 made by warp"],
}  # fmt: skip


def asked(server: Stub) -> list[tuple[str, dict[str, Any]]]:
    return [request for request in server.requests if request[0] != "status"]


# the stream


def test_the_stream_begins_with_everything_and_goes_on_with_what_changed(fresh: Site, stub: Stub) -> None:
    stream = fresh.deltas()
    first = next(stream)
    assert first["full"]
    assert [row["name"] for row in first["tasks"]] == ["warp"]
    assert [row["name"] for row in first["hosts"]] == ["node1"]
    stub.answers["status"] = status(hosts=[{**_host(), "state": "down", "why": "no route"}])
    for delta in stream:
        if "hosts" in delta:
            break
    assert "full" not in delta
    assert "tasks" not in delta
    assert [(row["state"], row["why"]) for row in delta["hosts"]] == [("down", "no route")]
    assert [event["text"] for event in delta["events"]] == ["host node1 is down: no route"]
    stream.close()


def _host() -> dict[str, Any]:
    return dict(status()["hosts"][0])


def test_nobody_is_asked_while_nobody_looks(fresh: Site, stub: Stub) -> None:
    assert fresh.get("/").status_code == 200
    assert fresh.get("/api/access").status_code == 200
    assert stub.requests == []


def test_a_server_that_is_away_is_told_with_the_state_that_was_last(fresh: Site, stub: Stub) -> None:
    stream = fresh.deltas()
    first = next(stream)
    stub.answers["status"] = No("no server runs here")
    for delta in stream:
        if delta["trouble"]:
            break
    assert "no server runs here" in delta["trouble"]
    assert "tasks_order" not in delta
    assert "hosts_order" not in delta
    assert delta["answered"] >= first["answered"]
    stream.close()
    later = fresh.deltas()
    assert [row["name"] for row in next(later)["tasks"]] == ["warp"]
    later.close()


# questions


def test_jobs_are_asked_by_task_and_never_more_than_a_screenful(looking: Site, server: Stub) -> None:
    row = {
        "job": 5, "attempt": 1, "task": "warp", "item": None, "state": "pending", "host": "", "since_ns": 7_000_000,
        "command": "warp.sh", "outcome": "", "why": "no free slot",
    }  # fmt: skip
    server.answers["jobs"] = [row]
    found = looking.get("/api/jobs?task=warp&state=pending").json()
    assert asked(server) == [("jobs", {"selection": {"task": "warp", "state": "pending"}, "limit": 200})]
    assert [(each["job"], each["for"], each["why"]) for each in found["live"]] == [(5, 7, "no free slot")]


def test_an_explanation_is_passed_on(looking: Site, server: Stub) -> None:
    server.answers["explain"] = EXPLANATION
    found = looking.get("/api/explain?about=job&name=5").json()
    assert (found["reasons"], found["story"]) == (["needs host node17"], ["12:00 made by warp"])


def test_a_refusal_comes_with_its_way_out(looking: Site, server: Stub) -> None:
    server.answers["explain"] = No("there is no task x", "see laulima tasks")
    answer = looking.get("/api/explain?about=task&name=x")
    assert answer.status_code == 409
    assert answer.json() == {"error": "there is no task x", "hint": "see laulima tasks"}


def test_an_answer_of_another_version_says_so(looking: Site, server: Stub) -> None:
    server.answers["explain"] = {"nothing": "of ours"}
    answer = looking.get("/api/explain?about=task&name=x")
    assert answer.status_code == 409
    assert "another version" in answer.json()["error"]


# outputs


@pytest.fixture
def written(tmp_path: Path, server: Stub) -> Path:
    """A file with what job 5 wrote, here; it still runs."""
    path = tmp_path / "out"
    path.write_bytes(b"")

    def logs(arguments: dict[str, Any]) -> dict[str, Any]:
        size = path.stat().st_size
        return {"path": str(path), "bytes": size, "running": True, "host": "node1", "attempt": 1}

    server.answers["logs"] = logs
    return path


def test_an_output_is_followed_byte_by_byte(looking: Site, written: Path) -> None:
    written.write_bytes(b"one\n\xe2\x82")
    first = looking.get("/api/output?job=5").json()
    assert (first["text"], first["end"], first["total"]) == ("one\n", 4, 6)
    written.write_bytes(b"one\n\xe2\x82\xactwo\n")
    second = looking.get(f"/api/output?job=5&begin={first['end']}").json()
    assert (second["text"], second["end"]) == ("\u20actwo\n", 11)


def test_a_long_output_begins_with_its_end(looking: Site, written: Path) -> None:
    lines = [b"line %d\n" % number for number in range(100_000)]
    written.write_bytes(b"".join(lines))
    found = looking.get("/api/output?job=5").json()
    assert found["end"] == found["total"]
    assert found["text"].startswith("line ")
    assert found["text"].endswith("line 99999\n")
    assert len(found["text"]) <= 64 * 1024


def test_what_a_terminal_would_obey_is_shown_as_text(looking: Site, written: Path) -> None:
    written.write_bytes(b"a\x1b[31mb \xff \xe2\x80\xaec\x00")
    assert looking.get("/api/output?job=5").json()["text"] == "a\\x1b[31mb \\xff \\u202ec\\x00"


def test_an_output_on_another_machine_comes_through_the_server(looking: Site, server: Stub) -> None:
    server.answers["logs"] = {"path": None, "bytes": 3, "running": False, "host": "far", "attempt": 2}
    server.answers["output"] = {"data": "YWJj", "total": 3}
    found = looking.get("/api/output?job=5&stream=stderr").json()
    assert found["text"] == "abc"
    assert asked(server)[-1] == (
        "output",
        {"job": 5, "attempt": 2, "stream": "stderr", "host": "far", "offset": 0},
    )


# orders


@pytest.mark.parametrize(
    ("order", "request_"),
    [
        (("hold", "task", "warp"), ("hold", {"task": "warp", "reason": "why"})),
        (("release", "task", "warp"), ("release", {"task": "warp", "reason": "why"})),
        (("kill", "job", "5"), ("kill", {"selection": {"jobs": [5]}, "reason": "why"})),
        (("retry", "job", "5"), ("retry", {"selection": {"jobs": [5]}, "reason": "why"})),
        (("hold", "job", "5"), ("hold", {"selection": {"jobs": [5]}, "reason": "why"})),
        (("drain", "host", "node1"), ("host", {"verb": "drain", "name": "node1", "reason": "why"})),
        (("on", "host", "node1"), ("host", {"verb": "on", "name": "node1", "reason": "why"})),
    ],
)
def test_an_order_is_the_command_line_s(
    acting: Site, server: Stub, order: tuple[str, str, str], request_: tuple[str, dict[str, Any]]
) -> None:
    server.answers[request_[0]] = {"text": "done so"}
    do, about, name = order
    answer = acting.order({"do": do, "about": about, "name": name, "reason": "why"})
    assert answer.json() == {"text": "done so"}
    assert server.requests == [request_]


def test_an_order_without_a_reason_says_where_it_came_from(acting: Site, server: Stub) -> None:
    server.answers["hold"] = {"text": "held"}
    acting.order({"do": "hold", "about": "task", "name": "warp"})
    assert server.requests == [("hold", {"task": "warp", "reason": "from the page"})]


@pytest.mark.parametrize(
    "order",
    [
        {"do": "shutdown", "about": "task", "name": "warp"},
        {"do": "delete", "about": "host", "name": "node1"},
        {"do": "kill", "about": "job", "name": "5; all"},
        {"do": "kill", "about": "job", "name": "\uff19"},
        {"do": "kill", "about": "job", "name": "9" * 40},
        {"do": "kill", "about": "job", "name": ["5"]},
        {"do": "kill", "about": "job", "name": "5", "everything": True},
        [],
        {"do": "hold", "about": "task", "name": "x" * 70_000},
    ],
    ids=range(9),
)
def test_what_is_no_order_of_the_page_never_reaches_the_server(acting: Site, server: Stub, order: object) -> None:
    answer = acting.order(order)
    assert (answer.status_code, server.requests) == (409, [])
    assert answer.json()["error"]


def test_an_order_that_the_server_refuses_says_why(acting: Site, server: Stub) -> None:
    server.answers["hold"] = No("no task is called warp")
    answer = acting.order({"do": "hold", "about": "task", "name": "warp"})
    assert (answer.status_code, answer.json()["error"]) == (409, "no task is called warp")
