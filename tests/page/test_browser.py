"""Goal: in a real browser the page shows what the server says, runs nothing of what it shows, asks no other site, and
can be used with the keyboard and by everybody.

Method: Debian's Chromium at a page over a stub whose answers the test chooses, or over a real server. After each test
the tab must have complained about nothing.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from model.job import SECOND, HostWish
from model.task import Limits, TaskDefinition
from shell.main import main
from shell.page.playback import Playback
from shell.page.recording import Recording
from tests.live.running_server import QUICK, RunningServer, cluster, until
from tests.page.browser import STEP_MS, WINDOW, Tab, chromium
from tests.page.site import HOST, TASK, Site, open_page, status
from tests.shell.stub import Stub

pytestmark = pytest.mark.needs("chromium", "chromium")

AXE = Path(__file__).parent / "vendor" / "axe.min.js"
CORPUS = [
    "<script>window.struck=1</script>",
    "<img src=x onerror='window.struck=1'>",
    "<svg/onload=window.struck=1>",
    "\"><iframe srcdoc='<script>top.struck=1</script>'>",
    "javascript:window.struck=1",
    "</td></tr></table><h1 id=struck>struck</h1>",
    "' onmouseover='window.struck=1",
    "<style>@import '//evil.example.org/x.css'</style>",
    "&lt;b&gt;not bold&lt;/b&gt; &#60;script&#62;",
    "${window.struck=1}{{constructor.constructor('window.struck=1')()}}",
    "__proto__",
    "<math><mtext><table><mglyph><style><img src=x onerror=window.struck=1>",
]


NOTHING_WRITTEN = {"path": None, "bytes": 0, "running": False, "host": "", "attempt": 1}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Tab]]:
    """Opens tabs, each like a visitor's first; in the end none may have complained."""
    tabs: list[Tab] = []
    with contextlib.ExitStack() as contexts:

        def make(site: Site, **more: Any) -> Tab:
            context = browser.new_context(viewport=WINDOW, **more)
            contexts.callback(context.close)
            tabs.append(Tab(context, site))
            return tabs[-1]

        yield make
    assert [tab.trouble for tab in tabs] == [[] for _ in tabs]


def explained(arguments: dict[str, Any]) -> dict[str, Any]:
    return {
        "about": f"{arguments['about']} {arguments['name']}",
        "state": "pending",
        "reasons": ["needs node17, which is down"],
        "since_ns": 5 * SECOND,
        "until_ns": 60 * SECOND,
        "changes": ["node17 answers"],
        "story": ["12:00  made by warp"],
    }


def job(number: int, **more: Any) -> dict[str, Any]:
    return {
        "job": number, "attempt": 1, "task": "warp", "item": None, "state": "pending", "host": "", "since_ns": 0,
        "command": "warp.sh", "outcome": "", "why": "no free slot", **more,
    }  # fmt: skip


def test_the_page_shows_what_the_server_says_and_follows_it(fresh: Site, stub: Stub, visit: Callable[..., Tab]) -> None:
    tab = visit(fresh)
    page = tab.open()
    assert "#" not in page.url
    assert fresh.tokens.look not in page.content()
    assert tab.texts("#task-rows tr .link") == ["warp"]
    assert "limits.in_flight=4" in tab.texts("#task-rows tr td.why")
    assert page.locator("#host-grid button").get_attribute("aria-label") == "node1: up, 2 of 4 slots in use"
    assert page.locator("#chart-row figure").count() == 3
    stub.answers["status"] = status(
        tasks=[TASK, {**TASK, "name": "stack", "state": "held", "why": 'held by operator: "mail loop"'}],
        hosts=[{**HOST, "state": "down", "why": "ssh: No route to host"}],
    )
    tab.until("document.querySelectorAll('#task-rows tr').length === 2")
    assert page.locator("#host-grid button.down").get_attribute("aria-label") == (
        "node1: down, 2 of 4 slots in use, ssh: No route to host"
    )
    tab.until("document.querySelector('#event-rows').textContent.includes('host node1 is down: ssh: No route to host')")
    page.reload()
    page.wait_for_selector("#figures div")  # the token is kept


def test_a_page_without_its_token_shows_nothing_and_can_be_given_it(
    fresh: Site, stub: Stub, visit: Callable[..., Tab]
) -> None:
    tab = visit(fresh)
    page = tab.page
    page.goto(f"{fresh.address}/#token=wrong")
    page.wait_for_selector("#gate:not([hidden])")
    assert stub.requests == []
    assert not page.locator("#page").is_visible()
    page.fill("#gate-token", fresh.link)  # the whole link will do, too
    page.click("#gate-form button")
    page.wait_for_selector("#task-rows tr")


def test_a_server_that_goes_away_is_said_with_the_age_of_what_is_shown(
    fresh: Site, stub: Stub, visit: Callable[..., Tab]
) -> None:
    tab = visit(fresh)
    tab.open()
    stub.end()
    tab.until("document.querySelector('#trouble').textContent.includes('no server runs')")
    tab.until("/This is the state of \\d+ s ago/.test(document.querySelector('#trouble').textContent)")
    assert tab.texts("#task-rows tr .link") == ["warp"]


def test_a_hidden_tab_looks_at_nothing(fresh: Site, stub: Stub, visit: Callable[..., Tab]) -> None:
    tab = visit(fresh)
    page = tab.open()
    hide = "hidden => { Object.defineProperty(document, 'hidden', {value: hidden, configurable: true}); }"
    tell = "document.dispatchEvent(new Event('visibilitychange'))"
    page.evaluate(hide, True)
    page.evaluate(tell)
    until(lambda: not fresh.page.watching.is_looking, "the page's process stops to ask")
    stub.answers["status"] = status(tasks=[{**TASK, "name": "stack"}])
    page.evaluate(hide, False)
    page.evaluate(tell)
    tab.until("document.querySelector('#task-rows').textContent.includes('stack')")


def test_nothing_that_is_shown_is_run(fresh: Site, stub: Stub, visit: Callable[..., Tab], tmp_path: Path) -> None:
    evil = " ".join(CORPUS)
    output = tmp_path / "output"
    output.write_text(evil + "\n")
    stub.answers.update(
        {
            "status": {
                **status(
                    tasks=[{**TASK, "name": text, "state": text, "why": text} for text in CORPUS],
                    hosts=[{**HOST, "name": text, "state": text, "why": text, "labels": [text]} for text in CORPUS],
                ),
                "configuration": f"/data/{evil.replace('/', '|')}", "intake": evil, "clock": evil, "alarms": CORPUS,
                "executors": [{"name": evil, "state": evil, "pending": 0, "running": 0}],
                "resources": [{"name": evil, "used": 1, "total": 2}],
            },
            "explain": {
                "about": evil, "state": evil, "reasons": CORPUS, "since_ns": 0, "until_ns": None, "changes": CORPUS,
                "story": CORPUS,
            },
            "jobs": [job(5, item=evil, host=evil, command=evil, why=evil)],
            "logs": {"path": str(output), "bytes": output.stat().st_size, "running": True, "host": evil, "attempt": 1},
        }
    )  # fmt: skip
    tab = visit(fresh)
    page = tab.open("?open=job:5&filter=")
    tab.until("document.querySelector('#drawer pre')?.textContent.includes('__proto__')")
    assert page.locator("#drawer pre").inner_text().strip() == evil
    assert tab.texts("#drawer .why > ol li") == CORPUS
    assert tab.texts("#task-rows tr .link") == CORPUS
    page.goto(f"{fresh.address}/?open=task:{'%3Cimg src=x onerror=window.struck=1%3E'}")
    tab.until("document.querySelectorAll('#drawer .jobs tbody tr').length === 1")
    assert evil in tab.texts("#drawer .jobs td")
    page.hover("#task-rows tr:nth-child(7) td.why")
    assert page.evaluate("window.struck") is None
    assert page.locator("img, iframe, #struck, #board style, body script, math").count() == 0


def test_keys_and_the_address_choose_what_is_open(fresh: Site, stub: Stub, visit: Callable[..., Tab]) -> None:
    stub.answers["status"] = status(tasks=[{**TASK, "name": name} for name in ("copy", "warp", "stack")])
    stub.answers.update(explain=explained, jobs=[job(5)], logs=NOTHING_WRITTEN)
    tab = visit(fresh)
    page = tab.open()
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_selector("#drawer .why li")
    assert page.locator("#drawer-title").inner_text() == "task warp"
    assert "open=task%3Awarp" in page.url
    assert tab.texts("#drawer .why li") == ["needs node17, which is down", "node17 answers"]
    page.click("#drawer .jobs .link")
    page.wait_for_selector("#drawer .story li")
    assert page.locator("#drawer-title").inner_text() == "job 5"
    page.go_back()
    tab.until("document.querySelector('#drawer-title').textContent === 'task warp'")
    page.keyboard.press("Escape")
    assert not page.locator("#drawer").is_visible()
    page.keyboard.press("/")
    page.keyboard.type("sta")
    tab.until("document.querySelectorAll('#task-rows tr').length === 1")
    assert tab.texts("#task-rows tr .link") == ["stack"]
    other = visit(fresh)
    other.open("?" + page.url.partition("?")[2])
    other.until("document.querySelectorAll('#task-rows tr').length === 1")


def test_hosts_are_one_stop_of_the_tab_key(fresh: Site, stub: Stub, visit: Callable[..., Tab]) -> None:
    stub.answers.update(
        status=status(hosts=[{**HOST, "name": f"node{at}"} for at in range(30)]), explain=explained, jobs=[]
    )
    tab = visit(fresh)
    page = tab.open()
    stops = "[...document.querySelectorAll('#host-grid button')].filter(button => button.tabIndex === 0).length"
    tab.until(f"{stops} === 1")
    page.focus("#host-grid button[data-name=node0]")
    for key in ("ArrowRight", "ArrowRight", "ArrowRight", "ArrowLeft"):
        page.keyboard.press(key)
    tab.until("document.activeElement.dataset.name === 'node1'")
    page.keyboard.press("Enter")
    tab.until("document.querySelector('#drawer-title').textContent === 'host node1'")


def test_a_page_for_looking_offers_nothing_to_do(fresh: Site, stub: Stub, visit: Callable[..., Tab]) -> None:
    stub.answers.update(explain=explained, jobs=[])
    tab = visit(fresh)
    page = tab.open("?open=host:node1")
    page.wait_for_selector("#drawer .why li")
    assert not page.locator("#drawer-actions").is_visible()


def test_what_is_done_is_what_was_asked_for(acting: Site, server: Stub, visit: Callable[..., Tab]) -> None:
    server.answers.update(explain=explained, jobs=[], host={"text": "host node1: draining"})
    tab = visit(acting)
    page = tab.open("?open=host:node1")
    page.fill("#drawer-actions input", "new disk")
    page.click("#drawer-actions button[data-verb=drain]")
    assert page.locator("#drawer-actions button[data-verb=drain]").inner_text() == "drain: sure?"
    page.click("#drawer-actions button[data-verb=drain]")
    tab.until("document.querySelector('#drawer-answer').textContent === 'host node1: draining'")
    assert ("host", {"verb": "drain", "name": "node1", "reason": "new disk"}) in server.requests


def test_a_simulated_run_is_played_back_in_another_colour(tmp_path: Path, visit: Callable[..., Tab]) -> None:
    (tmp_path / "pipeline.yaml").write_text(
        "cluster: {hosts: [{name: node1, slots: 1}]}\ntasks: {tick: {command: ['true'], periods: {exec: 10s}}}\n"
    )
    log = tmp_path / "run.jsonl"
    fault = ["--fail", "node1 down 00:10-00:20"]
    assert main(["sim", str(tmp_path / "pipeline.yaml"), "--for", "30m", *fault, "--log", str(log)]) == 0
    with open_page(tmp_path, answers=Playback(Recording(log))) as site:
        tab = visit(site)
        page = tab.open("?at=900000")
        assert page.locator("#moment-text").inner_text() == "day 1 00:15:00"
        assert page.locator("body.simulated").count() == 1
        assert page.locator("#alarms").inner_text() == "▲ fault: down node1"
        page.evaluate("at => { moment.value = at; moment.dispatchEvent(new Event('input')); }", 1_500_000)
        tab.until("document.querySelector('#alarms').hidden")
        assert tab.texts("#moment-text") == ["day 1 00:25:00"]
        page.click("#play")
        tab.until("document.querySelector('#moment-text').textContent === 'day 1 00:30:00'")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(fresh: Site, stub: Stub, visit: Callable[..., Tab], scheme: str) -> None:
    states = ("up", "down", "silent", "draining", "off", "connecting", "aside")
    stub.answers.update(
        status={
            **status(
                tasks=[{**TASK, "name": state, "state": state} for state in ("on", "held", "faulted", "window closed")],
                hosts=[{**HOST, "name": state, "state": state, "why": "a reason"} for state in states],
            ),
            "alarms": ["host down is down: a reason"],
        },
        explain=explained,
        jobs=[job(5)],
    )
    tab = visit(fresh, color_scheme=scheme, bypass_csp=True)  # the page's policy lets nobody bring axe in
    page = tab.open("?open=task:on")
    page.wait_for_selector("#drawer .jobs li, #drawer .jobs tr")
    page.add_script_tag(path=AXE)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    serious = [
        f"{each['id']}: {each['help']}: {[node['target'] for node in each['nodes']][:3]}"
        for each in found["violations"]
        if each["impact"] in ("serious", "critical")
    ]
    assert serious == []


def test_a_host_whose_agent_is_killed_is_seen_with_the_reason(tmp_path: Path, visit: Callable[..., Tab]) -> None:
    running = RunningServer(tmp_path)
    tick = TaskDefinition("tick", ("echo", "tick"), periods=QUICK, host=HostWish("node1"))
    try:
        client = running.start(running.configuration(tick, cluster=cluster("node1", "node2")))
        with open_page(running.state) as site:
            tab = visit(site)
            page = tab.open("?events=host node1")
            tab.until("document.querySelectorAll('#host-grid button.up').length === 3")

            def is_up() -> bool:
                rows = client.ask("hosts")
                return any(row["name"] == "node1" and row["state"].lower() == "up" for row in rows)

            def is_seen() -> bool:
                if is_up() and (pid := running._agent("node1")):  # again, if it was back before the page looked
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                page.wait_for_timeout(STEP_MS)
                told = tab.texts("#event-rows li")
                return any("host node1 is" in text and "the other end closed the connection" in text for text in told)

            until(is_seen, "the page tells that node1 has gone, and why", limit=60.0)  # each try needs a whole start
            link = page.locator("#event-rows button.link", has_text="node1").first
            link.click()
            tab.until("document.querySelector('#drawer-title').textContent === 'host node1'")
            page.wait_for_selector("#drawer .why li")
            page.close()  # before its server ends: it would complain
    finally:
        running.clean()


def test_the_drawer_follows_what_a_job_writes_and_explains_the_one_that_waits(
    tmp_path: Path, visit: Callable[..., Tab]
) -> None:
    running = RunningServer(tmp_path)
    os.mkfifo(tmp_path / "gate")
    script, node1 = "echo one; read x < gate; echo two", HostWish("node1", required=True)
    limits = Limits(in_flight=2, total=2)
    talk = TaskDefinition("talk", ("sh", "-c", script), host=node1, periods=QUICK, limits=limits)
    try:
        client = running.start(running.configuration(talk, cluster=cluster("node1", slots=1)))
        until(lambda: {row["state"] for row in client.ask("jobs")} == {"running", "pending"}, "one runs, one waits")
        states = {row["state"]: row["job"] for row in client.ask("jobs")}
        with open_page(running.state) as site:
            tab = visit(site)
            tab.open(f"?open=job:{states['running']}")
            tab.until("document.querySelector('#drawer .log pre').textContent === 'one\\n'")
            waiting = visit(site)
            page = waiting.open(f"?open=job:{states['pending']}")
            page.wait_for_selector("#drawer .why li")
            assert "needs 1 of 1 slots of host node1" in page.locator("#drawer .why").inner_text()
            with (tmp_path / "gate").open("w") as gate:
                gate.write("go\n")
            tab.until("document.querySelector('#drawer .log pre').textContent === 'one\\ntwo\\n'")
            tab.page.close()  # before its server ends: it would complain
            page.close()
    finally:
        running.clean()


def test_the_page_of_a_shared_controller_shows_its_schedulers_and_their_shares(
    fresh: Site, stub: Stub, visit: Callable[..., Tab]
) -> None:
    scheduler = {"name": "day", "listens": True, "share": 3, "waiting": 5, "waiting_most": 100, "at_hosts": 2,
                 "at_hosts_most": 0}  # fmt: skip
    away = {**scheduler, "name": "<b>night", "listens": False, "share": 1, "at_hosts_most": 4}
    stub.answers.update(status={**status(tasks=[]), "schedulers": [scheduler, away]}, explain=explained)
    stub.answers["jobs"] = [{**job(5), "task": "day/warp"}]
    tab = visit(fresh)
    page = tab.open("?open=host:node1")
    tab.until("document.querySelectorAll('#scheduler-rows tr').length === 2")
    assert [" ".join(text.split()) for text in page.locator("#scheduler-rows tr").all_inner_texts()] == [
        "day ● connected 3 5/100 2",
        "<b>night ▲ away 1 5/100 2/4",
    ]
    assert not page.locator("#tasks").is_visible()
    page.wait_for_selector("#drawer .jobs tbody tr")
    assert "day/warp" in page.locator("#drawer .jobs tbody").inner_text()
    figures = page.locator("#figures").inner_text().split()
    assert figures[figures.index("pending") + 1] == "10"
