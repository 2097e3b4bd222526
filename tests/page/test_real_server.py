"""Goal: what the page asks a server, a real one answers; what it shows of a job is what the job did.

Method: a server with a task whose jobs wait for a file, and a page over it that may act; asked by HTTP.
"""

from __future__ import annotations

from pathlib import Path

from model.task import Limits, TaskDefinition
from tests.live.running_server import LOCALLY, QUICK, RunningServer, until
from tests.page.site import open_page


def test_the_page_of_a_server(tmp_path: Path) -> None:
    running = RunningServer(tmp_path)
    gate = tmp_path / "gate"
    script = f"echo waits; while ! test -e {gate}; do sleep 0.05; done; echo ends; exit 3"
    talk = TaskDefinition(
        "talk", ("sh", "-c", script), host=LOCALLY, limits=Limits(in_flight=3, total=3), periods=QUICK
    )
    try:
        client = running.start(running.configuration(talk))
        until(lambda: len(client.ask("jobs", selection={"all": True})) == 3, "three jobs are there")
        assert [row["job"] for row in client.ask("jobs", selection={"all": True}, limit=2)] == [1, 2]
        with open_page(running.state, control=True) as site:
            first = next(site.deltas())
            assert first["trouble"] == ""
            assert [row["name"] for row in first["tasks"]] == ["talk"]
            until(lambda: site.get("/api/output?job=1").json()["text"] == "waits\n", "the job's output is there")
            assert site.get("/api/output?job=1").json()["running"]
            assert [row["job"] for row in site.get("/api/jobs?task=talk").json()["live"]] == [1, 2, 3]
            held = site.order({"do": "hold", "about": "task", "name": "talk", "reason": "mail loop"})
            assert held.status_code == 200, held.text
            assert "mail loop" in site.get("/api/explain?about=task&name=talk").json()["reasons"][0]
            gate.touch()
            until(lambda: len(site.get("/api/jobs?task=talk").json()["ended"]) == 3, "three jobs have ended")
            assert {row["exit_code"] for row in site.get("/api/jobs?task=talk").json()["ended"]} == {3}
            found = site.get("/api/explain?about=job&name=1").json()
            assert found["state"] == "final"
            assert found["story"][0].endswith("made by talk")
            assert site.get("/api/output?job=1").json()["text"] == "waits\nends\n"
            texts = [event["text"] for event in next(site.deltas())["events"]]
            assert any(text.startswith("task talk: held by ") and text.endswith(": mail loop") for text in texts)
            assert any(text.endswith("exit 3; final") for text in texts)
            running.crash()
            assert site.get("/api/explain?about=job&name=1").json()["state"] == "final"
            away = site.get("/api/explain?about=task&name=talk")
            assert (away.status_code, "no server runs" in away.json()["error"]) == (503, True)
    finally:
        running.clean()
