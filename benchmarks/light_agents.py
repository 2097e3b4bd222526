"""Processes with light agents (`tests/cluster/light_agents.py`) that dial in to a server which is measured.

Called by the benchmarks of idle servers and of a thousand agents.
"""

from __future__ import annotations

import selectors
import subprocess
import sys
import time
from typing import IO

from live.agent_joining import RETRY_MAX_SECONDS
from tests.cluster.tls_site import ROOT, TlsSite

PROGRAMS = 2
"""Processes in which the light agents live."""
LIMIT = 120.0
"""Seconds that it may take until all are linked."""


class LightAgents:
    """The processes with light agents."""

    def __init__(self, site: TlsSite, count: int, slots: int) -> None:
        self._processes: list[subprocess.Popen[bytes]] = []
        self._linked: dict[IO[bytes], int] = {}
        self._selector = selectors.DefaultSelector()
        each = count // PROGRAMS
        for program in range(PROGRAMS):
            words = [str(site.folder), str(site.port), str(program * each), str(each), str(slots)]
            started = subprocess.Popen(
                [sys.executable, "-m", "tests.cluster.light_agents", *words, str(RETRY_MAX_SECONDS)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, cwd=ROOT,
            )  # fmt: skip
            assert started.stdout is not None
            self._processes.append(started)
            self._selector.register(started.stdout, selectors.EVENT_READ)
            self._linked[started.stdout] = 0

    def until(self, count: int) -> None:
        """Wait until so many are linked."""
        deadline = time.monotonic() + LIMIT
        while sum(self._linked.values()) != count:
            ready = self._selector.select(deadline - time.monotonic())
            assert ready, f"{self._linked.values()} are linked, not {count}"
            for key, _ in ready:
                line = key.fileobj.readline()  # type: ignore[union-attr]
                assert line, "light agents have ended"
                self._linked[key.fileobj] = int(line)  # type: ignore[index]

    def close(self) -> None:
        self._selector.close()
        for process in self._processes:
            process.kill()
            with process:  # its pipes are closed, and its end is awaited
                pass
