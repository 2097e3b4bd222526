"""Where the figures of the benchmarks go: each into one row of RESULTS.md, with its date.

A row is replaced when its benchmark has run; the others stay. Asserting is the benchmark's own business; here nothing
is judged. Called by every benchmark through the fixture `figure`.
"""

from __future__ import annotations

import datetime as dt
import os
import platform
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

RESULTS = Path(__file__).with_name("RESULTS.md")
HEAD = """\
# Measured figures

Written by `make bench`: one row for each figure, with the day and the machine of its last run. Absolute figures of one
machine differ by a third from hour to hour, so what is required of live dispatch is a ratio to a baseline that is
measured in the same run, in turns with it. What each figure means is told at the head of its benchmark.

| figure | measured | required | day | machine |
|---|---|---|---|---|
"""

Figure = Callable[[str, str, str], None]
"""`figure(name, measured, required)`: keep one figure; `required` is empty when nothing is asked of it."""


def machine() -> str:
    """The machine in general words."""
    kind = "machine"
    cpus = Path("/proc/cpuinfo")
    if cpus.exists() and "hypervisor" in cpus.read_text():
        kind = "virtual machine"
    cores = len(os.sched_getaffinity(0))
    return f"{cores}-core {platform.machine().replace('_', '-')} {kind}, Python {platform.python_version()}"


@pytest.fixture(scope="session")
def figures() -> Iterator[dict[str, tuple[str, str]]]:
    """The figures of this run, written at its end."""
    fresh: dict[str, tuple[str, str]] = {}
    yield fresh
    rows = _rows()
    day = dt.datetime.now(tz=dt.UTC).date().isoformat()
    for name, (measured, required) in fresh.items():
        rows[name] = f"| {name} | {measured} | {required} | {day} | {machine()} |\n"
    RESULTS.write_text(HEAD + "".join(rows[name] for name in sorted(rows)))


@pytest.fixture
def figure(figures: dict[str, tuple[str, str]]) -> Figure:
    """See `Figure`."""

    def keep(name: str, measured: str, required: str) -> None:
        assert "|" not in name + measured + required
        figures[name] = (measured, required)

    return keep


def _rows() -> dict[str, str]:
    """Rows of earlier runs, by the name of the figure."""
    if not RESULTS.exists():
        return {}
    lines = RESULTS.read_text().splitlines(keepends=True)
    return {
        line.split("|")[1].strip(): line
        for line in lines
        if line.startswith("| ") and line.count("|") == 6 and line not in HEAD
    }
