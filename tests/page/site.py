"""A page that is served on a port of its own, in a thread, over whatever answers on the control socket; and a client
with its token. For tests of the page; what answers is `tests/shell/stub.py` or a real server.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from shell.page import access, app, serving, sources

DEADLINE = 60.0
"""Seconds that anything here may take on a loaded machine."""

TASK = {
    "name": "warp", "state": "on", "pending": 1, "running": 2, "limit": 4, "done": 7, "failed": 1, "skipped": 0,
    "last_at": 1_000_000_000, "next_at": None, "items": 0, "why": "limits.in_flight=4",
}  # fmt: skip
HOST = {
    "name": "node1", "state": "up", "slots": 4, "busy": 2, "queued": 0, "done": 7, "failed": 1, "since_ns": 0,
    "why": "",
}  # fmt: skip


def status(*, tasks: list[dict[str, Any]] | None = None, hosts: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """What a server answers to `status`."""
    return {
        "configuration": "/data/pipeline.yaml",
        "clock": "live",
        "intake": "running",
        "running_for_ns": 60_000_000_000,
        "tasks": [TASK] if tasks is None else tasks,
        "hosts": [HOST] if hosts is None else hosts,
        "executors": [{"name": "controller", "state": "up", "pending": 1, "running": 2}],
        "alarms": [],
        "pid": 1,
    }


class Site:
    """One page. `tokens` are those of its links."""

    def __init__(self, state: Path, *, control: bool = False, answers: app.Answers | None = None) -> None:
        self.tokens = access.new_tokens(control=control)
        self.page = answers or app.Page(sources.Server(state))
        self.listener = serving.bound(serving.LISTEN)
        self.port = self.listener.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        self.link = f"{self.address}/#token={self.tokens.control or self.tokens.look}"
        self.client = httpx.Client(base_url=self.address, timeout=DEADLINE, verify=False, trust_env=False)
        self._http = serving.server(app.application(self.page, self.tokens))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        with contextlib.closing(self._loop):
            self._loop.run_until_complete(self._http.serve([self.listener]))
            self._loop.run_until_complete(self._loop.shutdown_default_executor())

    def begin(self) -> None:
        self._thread.start()

    def end(self) -> None:
        def leave() -> None:
            self._http.should_exit = True
            self.page.close()

        self.client.close()
        self._loop.call_soon_threadsafe(leave)
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive()
        self.listener.close()

    def headers(self, **more: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens.control or self.tokens.look}", **more}

    def get(self, path: str, **more: str) -> httpx.Response:
        return self.client.get(path, headers=self.headers(**more))

    def order(self, words: object, **more: str) -> httpx.Response:
        """POST an order as the page does; `more` headers replace its own."""
        headers = {**self.headers(), "Origin": self.address, "Content-Type": "application/json", **more}
        return self.client.post("/api/do", headers=headers, content=json.dumps(words))

    def deltas(self) -> Iterator[dict[str, Any]]:
        """What the event stream brings."""
        with self.client.stream("GET", "/api/watch", headers=self.headers()) as stream:
            assert stream.status_code == 200
            for line in stream.iter_lines():
                if line.startswith("data: "):
                    yield json.loads(line[6:])


@contextlib.contextmanager
def open_page(state: Path, *, control: bool = False, answers: app.Answers | None = None) -> Iterator[Site]:
    site = Site(state, control=control, answers=answers)
    site.begin()
    try:
        yield site
    finally:
        site.end()
