"""Goal: `laulima metrics` and the page's `/metrics` are what Prometheus takes, say what the status says, and their
counters never go down.

Method: a parser that takes nothing but the text format 0.0.4, by its description, reads what is made of built and of
real status answers.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from model.job import SECOND
from model.task import TaskDefinition
from model.views import AlarmRow, NotifierRow, ResourceRow, Status, SuperiorRow
from shell.exposition import CONTENT_TYPE, families, text
from tests.live.running_server import LOCALLY, QUICK, RunningServer, until
from tests.page.site import Site, open_page
from tests.shell.rows import host_row, status_of, task_row
from tests.shell.stub import Ran, Stub

Key = tuple[str, tuple[tuple[str, str], ...]]
"""A sample: its name, and its labels sorted."""

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"(,|$)')
SAMPLE = re.compile(rf"({NAME})(?:\{{(.*)\}})? (\S+)")
UNESCAPED = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}


def parsed(given: str) -> dict[Key, float]:
    """Every sample. Fails on whatever the format does not allow."""
    assert given.endswith("\n")
    found: dict[Key, float] = {}
    described: dict[str, str] = {}
    lines = iter(given.split("\n")[:-1])
    for line in lines:
        if line.startswith("#"):
            name, about = re.fullmatch(rf"# HELP ({NAME}) (\S[^\\\n]*)", line).groups()  # type: ignore[union-attr]
            assert about.endswith(".")
            assert name not in described, "all lines of one name stand together"
            kind = re.fullmatch(rf"# TYPE {name} (counter|gauge)", next(lines))
            assert kind is not None
            assert (kind[1] == "counter") == name.endswith("_total")
            described[name] = kind[1]
            continue
        sample = SAMPLE.fullmatch(line)
        assert sample is not None, line
        assert sample[1] == list(described)[-1], "a sample stands below the head of its name"
        labels = dict(pairs(sample[2] or ""))
        key = (sample[1], tuple(sorted(labels.items())))
        assert key not in found, f"twice: {line}"
        value = float(sample[3])
        assert math.isfinite(value)
        assert value >= 0
        found[key] = value
    return found


def pairs(words: str) -> Iterator[tuple[str, str]]:
    names, at = set(), 0
    while at < len(words):
        label = LABEL.match(words, at)
        assert label is not None, words[at:]
        assert label[1] not in names
        names.add(label[1])
        yield label[1], re.sub(r'\\[\\"n]', lambda part: UNESCAPED[part[0]], label[2])
        at = label.end()


def value(found: dict[Key, float], name: str, **labels: str) -> float:
    return found[f"laulima_{name}", tuple(sorted(labels.items()))]


def of(shown: Status) -> dict[Key, float]:
    return parsed(text(families(shown)))


WHOLE = status_of(
    [
        task_row("warp", pending=31, running=9, limit=64, done=77, failed=9, skipped=5, items=3,
                 last_at=1_700_000_000 * SECOND + SECOND // 2, next_at=1_700_000_060 * SECOND),
        task_row("notify", state="held"),
    ],
    [
        host_row("local", slots=2),
        host_row("node1", busy=3, queued=2, done=70, failed=1,
                 resources=(ResourceRow("cpus", 1500, 8000), ResourceRow("memory", 1 << 30, 1 << 35),
                            ResourceRow("tape", 1, 2))),
        host_row("node2", state="down"),
    ],
    alarms=("host node2 is down: No route to host",),
    resources=(ResourceRow("licence", 4, 5),),
    schedulers=(SuperiorRow("night", True, 2, 7, 100, 3, 0),),
    alarm_rows=(AlarmRow("host-down", "host node2", "host node2 is down", 1_700_000_000 * SECOND, ("ops",)),),
    notifiers=(NotifierRow("ops", 3, 0, 1), NotifierRow("chat", 0, 2, None, "no room")),
)  # fmt: skip


def test_it_says_what_the_status_says() -> None:
    found = of(WHOLE)
    assert value(found, "up") == value(found, "intake_open") == value(found, "alarms") == 1
    assert value(found, "uptime_seconds") == 76 * 3600
    assert value(found, "info", configuration="/data/night/pipeline.yaml") == 1
    assert value(found, "executor_up", executor="controller") == 1
    assert [value(found, "task_jobs", task="warp", state=state) for state in ("pending", "running")] == [31, 9]
    assert [value(found, "task_jobs_ended_total", task="warp", result=end) for end in ("done", "failed")] == [77, 9]
    assert value(found, "task_starts_skipped_total", task="warp") == 5
    assert value(found, "task_jobs_limit", task="warp") == 64
    assert value(found, "task_items", task="warp") == 3
    assert value(found, "task_last_job_timestamp_seconds", task="warp") == 1_700_000_000.5
    assert value(found, "task_next_timestamp_seconds", task="warp") == 1_700_000_060
    assert [value(found, "tasks", state=state) for state in ("on", "held", "faulted")] == [1, 1, 0]
    assert value(found, "task_state", task="notify", state="held") == 1
    assert [value(found, "host_up", host=host) for host in ("local", "node1", "node2")] == [1, 1, 0]
    assert [value(found, "hosts", state=state) for state in ("up", "down", "aside")] == [2, 1, 0]
    assert value(found, "host_slots", host="node1") == 8
    assert value(found, "host_slots_busy", host="node1") == 3
    assert value(found, "host_jobs_queued", host="node1") == 2
    assert value(found, "host_jobs_ended_total", host="node1", result="failed") == 1


def test_alarms_and_notifiers_are_there() -> None:
    found = of(WHOLE)
    assert value(found, "alarm", kind="host-down", subject="host node2") == 1
    since = value(found, "alarm_since_timestamp_seconds", kind="host-down", subject="host node2")
    assert since == 1_700_000_000
    sent = {name: value(found, "notifications_total", notifier=name, result="sent") for name in ("ops", "chat")}
    assert sent == {"ops": 3, "chat": 0}
    assert value(found, "notifications_total", notifier="chat", result="failed") == 2
    assert [value(found, "notifier_up", notifier=name) for name in ("ops", "chat")] == [1, 0]


def test_amounts_are_in_the_units_of_their_names() -> None:
    found = of(WHOLE)
    assert value(found, "host_cpus", host="node1") == 8
    assert value(found, "host_cpus_used", host="node1") == 1.5
    assert value(found, "host_memory_bytes", host="node1") == 32 << 30
    assert value(found, "host_memory_bytes_used", host="node1") == 1 << 30
    assert value(found, "host_resource_used", host="node1", resource="tape") == 1
    assert value(found, "shared_resource", resource="licence") == 5
    assert value(found, "scheduler_connected", scheduler="night") == 1
    assert value(found, "scheduler_jobs", scheduler="night", state="waiting") == 7


def test_what_is_not_known_or_not_limited_has_no_sample() -> None:
    names = {(name, dict(labels).get("task"), dict(labels).get("host")) for name, labels in of(WHOLE)}
    assert ("laulima_task_jobs_limit", "notify", None) not in names
    assert ("laulima_task_next_timestamp_seconds", "notify", None) not in names
    assert ("laulima_host_jobs_ended_total", None, "local") not in names  # nobody counts there, so 0 would be a lie


@pytest.mark.parametrize("intake", ["stopped", "halted", "shutting down"])
def test_a_stopped_intake_is_seen(intake: str) -> None:
    assert value(of(status_of([], [], intake=intake)), "intake_open") == 0


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\\", '\\"', "ü €", 'a{b="c",}', "a,b", " ", "#", "a\\n"])
def test_any_name_is_one_label(name: str) -> None:
    found = of(status_of([task_row(name), task_row("next")], []))
    assert [dict(labels)["task"] for key, labels in found if key == "laulima_task_items"] == [name, "next"]


@pytest.mark.parametrize("name", ["a\nb", "\x1b[31m", "a\r", "a\x85b", "a\u2028b"])
def test_what_a_terminal_would_obey_is_shown(name: str) -> None:
    said = text(families(status_of([task_row(name)], [])))
    assert said.replace("\n", "").isprintable()
    assert len(parsed(said)) == len(of(status_of([task_row("a")], [])))


def test_an_empty_server_and_none_at_all_are_valid_answers() -> None:
    assert value(of(status_of([], [])), "up") == 1
    assert parsed(text(families(None))) == {("laulima_up", ()): 0}


def test_the_command_prints_it(server: Stub, laulima: Callable[..., Ran]) -> None:
    server.answers["status"] = WHOLE
    ran = laulima("metrics")
    assert (ran.code, ran.err) == (0, "")
    assert parsed(ran.out) == of(WHOLE)
    assert len(laulima("metrics", "--json").json["metrics"]) == len(families(WHOLE))


@pytest.fixture
def page(state: Path) -> Iterator[Site]:
    with open_page(state) as site:
        yield site


def test_the_page_serves_it_to_who_has_the_token(server: Stub, page: Site) -> None:
    server.answers["status"] = WHOLE
    answer = page.get("/metrics")
    assert (answer.status_code, answer.headers["content-type"]) == (200, CONTENT_TYPE)
    assert parsed(answer.text) == of(WHOLE)
    refused = page.client.get("/metrics")
    assert refused.status_code == 401
    assert "warp" not in refused.text


def test_the_page_says_that_the_server_is_away(page: Site) -> None:
    answer = page.get("/metrics")
    assert (answer.status_code, parsed(answer.text)) == (200, {("laulima_up", ()): 0})


def test_ends_of_tasks_are_counted_over_a_crash(tmp_path: Path) -> None:
    server = RunningServer(tmp_path)
    task = TaskDefinition("tick", ("true",), host=LOCALLY, periods=QUICK)

    def ended() -> float:
        shown = msgspec.convert(server.client().ask("status"), Status)
        return value(of(shown), "task_jobs_ended_total", task="tick", result="done")

    server.start(server.configuration(task))
    until(lambda: len(server.history()) > 1, "some ends are on the disk")
    server.crash()
    recorded = len(server.history())
    server.start(server.configuration(replace(task, active=False)))
    counted = ended()
    server.client().ask("shutdown", kill=True)
    assert server.ended() == 0
    assert server.nothing_left()
    assert counted >= recorded
