"""A real Chromium for tests of the page, and tabs that remember what a page must never do: ask another site, complain
on the console, raise an error. Chromium is Debian's; Playwright's own downloads are not used.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator

from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize, sync_playwright

from tests.page.site import DEADLINE, Site

WINDOW = ViewportSize(width=1400, height=1000)
STEP_MS = 30
LAUNCH_MS = 60_000
HARMLESS = ("the server responded with a status of 4", "the server responded with a status of 5")
"""Chromium writes each refused request on the console; whether one may be refused is the test's business."""


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            timeout=LAUNCH_MS,
            args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"],
        )
        yield browser
        browser.close()


class Tab:
    """One tab at a page. `trouble`: what must not happen and has."""

    def __init__(self, context: BrowserContext, site: Site) -> None:
        self.site = site
        self.trouble: list[str] = []
        self.page: Page = context.new_page()
        self.page.set_default_timeout(DEADLINE * 1000)
        self.page.on("console", lambda said: self._said(said.type, said.text))
        self.page.on("pageerror", lambda error: self.trouble.append(f"an error: {error}"))
        self.page.on("dialog", lambda dialog: self.trouble.append(f"a dialog: {dialog.message}"))
        self.page.on("request", lambda request: self._asked(request.url))

    def _said(self, kind: str, text: str) -> None:
        if kind in ("error", "warning") and not any(word in text for word in HARMLESS):
            self.trouble.append(f"on the console: {text}")

    def _asked(self, url: str) -> None:
        if not url.startswith((self.site.address + "/", "data:", "blob:")):
            self.trouble.append(f"a foreign request: {url}")

    def open(self, query: str = "") -> Page:
        """The page, once it shows a first state."""
        self.page.goto(self.site.link.replace("/#", f"/{query}#"))
        self.page.wait_for_selector("#figures div")
        return self.page

    def texts(self, selector: str) -> list[str]:
        return self.page.locator(selector).all_text_contents()

    def until(self, script: str) -> None:
        """Wait until the JavaScript expression is true. (Playwright's own way needs `eval`, which the page forbids.)"""
        deadline = time.monotonic() + DEADLINE
        while not self.page.evaluate(script):
            assert time.monotonic() < deadline, f"not within {DEADLINE:g} s: {script}; complaints: {self.trouble}"
            self.page.wait_for_timeout(STEP_MS)
