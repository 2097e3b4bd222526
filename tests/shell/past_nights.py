"""Histories for tests: what a simulation did, in a real journal, as if it had ended a moment ago.

So the truth is known, whatever this machine is like. The controller's notices about hosts are in it, as live.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import live.journal
from live.journal import Journal
from live.outward import ABOUT_HOST
from model.records import NoticeHeard, Record
from shell.config.scenario import load_rehearsal
from sim.log import Committed, Noticed
from sim.simulation import simulate

PIPELINE = """
cluster:
  local: {slots: 1}
  hosts:
    - {name: "node[1-4]", slots: 2, link: process}
tasks:
  warp:
    command: [warp, $item]
    each: {files: "incoming/*"}
    periods: {exec: 5s, timeout: 10m, pending: 2h}
    retry: {on: [exit 1], times: 2, backoff: 10s}
  stack:
    command: [stack, $item]
    each: {done: warp}
    periods: {exec: 5s, timeout: 10m, pending: 2h}
  clean:
    command: [clean]
    periods: {exec: 1m, timeout: 10m, pending: 2h}
"""
SCENARIO = """
pipeline: pipeline.yaml
for: 1h
tasks:
  warp:
    run: {lognormal: {median: 40s, sigma: 0.6}}
    exit: {0: 9, 1: 1}
    stdout: 2k
    items: {every: 30s, burst: 3}
  stack: {run: {weibull: {shape: 2, scale: 20s}}}
  clean: {run: 10s}
"""


class _Keeping:
    """A reader of the log that keeps what a server's journal has of it."""

    def __init__(self) -> None:
        self.records: list[tuple[int, str, Record]] = []
        self.table: dict[type, Callable[[Any], None]] = {Committed: self._committed, Noticed: self._noticed}

    def _committed(self, line: Committed) -> None:
        if line.node == "scheduler":
            self.records.append((line.t, line.node, line.record))

    def _noticed(self, line: Noticed) -> None:
        if line.node == "controller" and line.about.startswith(ABOUT_HOST):
            self.records.append((line.t, line.node, NoticeHeard(line.level, line.about, line.text)))


def make_night(folder: Path, scenario: str = SCENARIO, pipeline: str = PIPELINE, *, notices: bool = True) -> Path:
    """A folder with a pipeline, and a state directory with the history of the scenario's time, which ends now."""
    (folder / "pipeline.yaml").write_text(pipeline)
    (folder / "scenario.yaml").write_text(scenario)
    loaded = load_rehearsal(folder / "scenario.yaml")
    keeping = _Keeping()
    simulate(loaded.configuration, loaded.scenario, check=False, readers=(keeping,))
    state = folder / ".laulima"
    state.mkdir(mode=0o700)
    began_at = time.time_ns() - loaded.scenario.for_ns
    journal = Journal(state / "journal.sqlite")
    journal._connection.execute("PRAGMA synchronous=OFF")
    with pytest.MonkeyPatch.context() as monkeypatch:
        for at, node, record in keeping.records:
            if notices or not isinstance(record, NoticeHeard):
                monkeypatch.setattr(live.journal, "wall_ns", lambda at=at: began_at + at)
                journal.append([(node, record)])
    journal.close()
    return folder
