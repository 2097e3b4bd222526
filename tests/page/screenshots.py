"""Takes the pictures of the page for docs/: a real cluster of pretend hosts that has a bad minute, and a rehearsal of a
bad night, in Chromium. Run by `make screenshots`; no test.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser

from model.job import LOCAL, SECOND, HostWish
from model.task import Limits, Periods, TaskDefinition
from shell.main import main
from shell.page.playback import Playback
from shell.page.recording import Recording
from tests.live.running_server import RunningServer, cluster
from tests.page.browser import Tab, chromium
from tests.page.site import Site, open_page

WINDOW = {"width": 1500, "height": 900}
BUSY_MS = 75_000
"""How long the cluster works before its picture is taken: charts by minute need some."""
SEEN_S = 2.0
"""What is promised: so soon the page shows a host that was killed, with the reason."""
NIGHT = """
cluster:
  hosts: [{name: "node[01-24]", slots: 4}]
tasks:
  reduce: {command: [reduce], host: any, periods: {exec: 1s}, limits: {in_flight: 90}}
  calibrate: {command: [calibrate], host: any, periods: {exec: 4s}}
  archive: {command: [archive], host: {name: node03, required: true, when_down: wait}, periods: {exec: 20s}}
"""
FAULTS = ("node[03-05] down 02:10-02:50", "node[12-15] down 02:20-02:40")


def open_tab(browser: Browser, site: Site, query: str) -> Tab:
    tab = Tab(browser.new_context(viewport=WINDOW), site)
    tab.open(query)
    return tab


def take(tab: Tab, path: Path) -> None:
    tab.page.wait_for_timeout(1500)
    tab.page.screenshot(path=path)
    assert tab.trouble == [], tab.trouble


def seen_after(tab: Tab, running: RunningServer, host: str) -> float:
    """Kill a host's agent; how many seconds later the page says so, with the reason. It is to be less than SEEN_S."""
    seen = (
        "[...document.querySelectorAll('#event-rows li')].some(row => "
        f"row.textContent.includes('host {host} is') && row.textContent.includes('closed the connection'))"
    )
    assert not tab.page.evaluate(seen)
    begun = time.monotonic()
    os.kill(running.agent(host), signal.SIGKILL)
    tab.until(seen)
    seconds = time.monotonic() - begun
    assert seconds < SEEN_S, seconds
    return seconds


def live(browser: Browser, folder: Path, path: Path) -> None:
    def task(name: str, script: str, exec_ns: int, host: HostWish | None = None, in_flight: int = 0) -> TaskDefinition:
        periods = Periods(exec_ns=exec_ns, timeout_ns=60 * SECOND, pending_ns=600 * SECOND)
        wish = HostWish() if host is None else host
        limits = Limits(in_flight=in_flight)
        return TaskDefinition(name, ("sh", "-c", script), periods=periods, host=wish, limits=limits)

    running = RunningServer(folder)
    tasks = (
        task("copy", "sleep 0.4", SECOND // 4),
        task("detrend", "sleep 1; test $(date +%N | cut -c6) != 0", SECOND // 2, in_flight=6),
        task("warp", "sleep 2", SECOND, HostWish("node3", required=True)),
        task("stack", "sleep 3; test $(($(date +%s) % 5)) != 0", 2 * SECOND),
        task("notify", "true", 10 * SECOND, HostWish(LOCAL, required=True)),
    )
    try:
        running.start(running.configuration(*tasks, cluster=cluster(*[f"node{at}" for at in range(1, 9)])))
        client = running.client()
        client.ask("status")  # who has asked something may be silent for long
        with open_page(running.state) as site:
            tab = open_tab(browser, site, "?open=task:warp")
            tab.page.wait_for_timeout(BUSY_MS)
            client.ask("hold", task="notify", reason="mail loop")
            client.ask("host", verb="drain", name="node6", reason="new disk")
            print(f"the page showed a host that was killed after {seen_after(tab, running, 'node3'):.2f} s")
            for _ in range(4):  # again and again: the pauses between two tries become longer
                with contextlib.suppress(ProcessLookupError):  # the one that was killed just now
                    os.kill(running.agent("node3"), signal.SIGKILL)
            waiting = client.ask("jobs", selection={"task": "warp", "state": "pending"}, limit=1)
            tab.open(f"?open=job:{waiting[0]['job']}")
            take(tab, path)
    finally:
        running.clean()


def rehearsal(browser: Browser, folder: Path, path: Path) -> None:
    (folder / "night.yaml").write_text(NIGHT)
    log = folder / "night.jsonl"
    faults = [word for fault in FAULTS for word in ("--fail", fault)]
    assert main(["sim", str(folder / "night.yaml"), "--for", "3h", *faults, "--log", str(log)]) in (0, 1)
    moment = (2 * 60 + 32) * 60_000
    with open_page(folder, answers=Playback(Recording(log))) as site:
        take(open_tab(browser, site, f"?at={moment}"), path)


def screenshots(target: Path) -> None:
    """Write the pictures into this folder."""
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        for name, picture in (("page", live), ("playback", rehearsal)):
            place = Path(folder) / name
            place.mkdir(mode=0o700)
            picture(browser, place, target / f"{name}.png")


if __name__ == "__main__":
    screenshots(Path(sys.argv[1]))
