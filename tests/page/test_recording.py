"""Goal: a simulated run that is played back shows at each moment what its event log says, however one got to that
moment.

Method: a short rehearsal with a fault writes a log; its counts are compared with those of the log itself.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from model.errors import ConfigurationError
from shell.main import main
from shell.page import recording as recording_module
from shell.page.playback import Playback
from shell.page.recording import Recording, moment_text
from tests.page.site import open_page

PIPELINE = """
cluster:
  hosts: [{name: "node[1-2]", slots: 2}]
tasks:
  tick: {command: ["true"], host: any, periods: {exec: 2s}}
"""
MINUTE = 60_000


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    (folder / "pipeline.yaml").write_text(PIPELINE)
    path = folder / "run.jsonl"
    pipeline, fault = str(folder / "pipeline.yaml"), "node2 down 00:03-00:06"
    assert main(["sim", pipeline, "--for", "10m", "--fail", fault, "--log", str(path)]) == 0
    return path


@pytest.fixture(scope="module")
def recording(log: Path) -> Recording:
    return Recording(log)


def lines(log: Path, kind: str) -> list[dict[str, Any]]:
    return [line for text in log.read_text().splitlines() if (line := json.loads(text))["event"] == kind]


def ends(log: Path, until_ms: int) -> int:
    return sum(
        line["t"] // 1_000_000 <= until_ms and line["record"][0] == "attempt ended" and line["node"] == "scheduler"
        for line in lines(log, "commit")
    )


@pytest.mark.parametrize("at_ms", [0, 30_000, 2 * MINUTE, 4 * MINUTE, 7 * MINUTE, 10 * MINUTE, 10**9])
def test_a_moment_is_what_the_log_says_until_then(recording: Recording, log: Path, at_ms: int) -> None:
    frame = recording.frame(at_ms)
    (task,) = frame["tasks"]
    assert task["done"] + task["failed"] == ends(log, at_ms)
    open_jobs = sum(
        line["t"] // 1_000_000 <= at_ms and line["record"][0] == "job accepted" for line in lines(log, "commit")
    ) - ends(log, at_ms)
    assert task["pending"] + task["running"] == open_jobs
    started = sum(line["t"] // 1_000_000 <= at_ms for line in lines(log, "process start"))
    gone = sum(line["t"] // 1_000_000 <= at_ms for line in lines(log, "process end"))
    assert sum(host["busy"] for host in frame["hosts"]) == started - gone
    assert all(event["at"] <= at_ms for event in frame["events"])
    assert all(point["at"] <= at_ms for point in frame["points"])


def test_a_fault_is_seen_while_it_lasts(recording: Recording) -> None:
    def state(at_ms: int) -> str:
        return {host["name"]: host["state"] for host in recording.frame(at_ms)["hosts"]}["node2"]

    assert (state(2 * MINUTE), state(9 * MINUTE)) == ("up", "up")
    assert state(4 * MINUTE) in ("down", "connecting")
    during = recording.frame(4 * MINUTE)
    assert during["strip"]["alarms"] == ["fault: down node2"]
    assert recording.frame(9 * MINUTE)["strip"]["alarms"] == []
    assert "fault begins: down node2" in [event["text"] for event in during["events"]]


def test_the_way_to_a_moment_does_not_matter(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording_module, "CHECKPOINT", 50)
    often = Recording(log)
    monkeypatch.setattr(recording_module, "CHECKPOINT", 10**9)
    once = Recording(log)
    for at_ms in (9 * MINUTE, 1 * MINUTE, 5 * MINUTE, 5 * MINUTE):
        expected = once.frame(at_ms)
        monkeypatch.setattr(recording_module, "CHECKPOINT", 50)
        assert often.frame(at_ms) == expected
        monkeypatch.setattr(recording_module, "CHECKPOINT", 10**9)


def test_points_are_bounded_and_stay_in_order(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording_module, "POINTS_MAX", 10)
    times = [point["at"] for point in Recording(log).frame(10 * MINUTE)["points"]]
    assert len(times) <= 11
    assert times == sorted(times)
    assert times[-1] >= 8 * MINUTE


def test_what_is_no_event_log_is_said(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.jsonl"
    with pytest.raises(ConfigurationError, match="there is no file"):
        Recording(wrong)
    wrong.write_text("{}\n")
    with pytest.raises(ConfigurationError, match=r"wrong.jsonl:1 is no line of an event log"):
        Recording(wrong)
    with pytest.raises(ConfigurationError, match=r"/dev/zero:1 is no line of an event log"):
        Recording(Path("/dev/zero"))
    wrong.write_text('{"event":"end","t":5}\n')
    with pytest.raises(ConfigurationError, match="is no event log"):
        Recording(wrong)


def test_a_moment_is_told_as_a_day_and_a_time() -> None:
    assert moment_text(0) == "day 1 00:00:00"
    assert moment_text(86_400_000 + 3 * 3_600_000 + 12 * 60_000 + 5_999) == "day 2 03:12:05"


def test_the_page_answers_for_a_moment(recording: Recording, tmp_path: Path) -> None:
    with open_page(tmp_path, answers=Playback(recording)) as site:
        assert site.client.get("/api/frame?at=0").status_code == 401
        assert site.get("/api/access").json() == {"control": False, "simulated": True}
        assert site.get("/api/run").json()["end"] == 10 * MINUTE
        assert site.get(f"/api/frame?at={4 * MINUTE}").json()["now"] == 4 * MINUTE
        assert site.get("/api/frame?at=x").status_code == 409
        found = site.get(f"/api/explain?about=job&name=1&at={9 * MINUTE}").json()
        assert found["state"] == "final"
        assert found["story"][0] == "day 1 00:00:00  made by tick"
        assert site.get(f"/api/explain?about=host&name=node2&at={4 * MINUTE}").json()["state"] in ("down", "connecting")
        assert site.get(f"/api/explain?about=job&name=999999&at={9 * MINUTE}").status_code == 409
        jobs = site.get(f"/api/jobs?task=tick&at={4 * MINUTE}").json()["live"]
        (task,) = site.get(f"/api/frame?at={4 * MINUTE}").json()["tasks"]
        assert len(jobs) == task["pending"] + task["running"]
        assert site.order({"do": "hold", "about": "task", "name": "tick"}).status_code == 403


def test_serve_refuses_to_act_on_a_run_that_is_over(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--log", str(log), "--control"]) == 2
    assert "only be looked at" in capsys.readouterr().err
