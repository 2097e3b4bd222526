"""Where the figures of the benchmarks go: each into one row of RESULTS.md, with its date.

A row is replaced when its benchmark has run; the others stay, unless their benchmark does not exist any more. Asserting
is the benchmark's own business; here nothing is judged. Called by every benchmark through the fixture `figure`.
"""

from __future__ import annotations

import datetime as dt
import os
import platform
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
from msgspec import Struct

FOLDER: Final = Path(__file__).parent
RESULTS: Final = FOLDER / "RESULTS.md"
BUSY_LOAD: Final = 0.5
"""Processes for each core that others let wait when the benchmarks began: beyond it a row says that the machine was
busy."""
HEAD: Final = """\
# Measured figures

How to read it. One row is one figure: what was measured, what is asked of it (empty: nothing, it is shown), which
benchmark has measured it, when and where. What a figure means and how it is got stands at the head of that file.

- Look at ratios first. Absolute figures of one machine differ by a third from hour to hour, and more when others use
  it, so a benchmark measures its baseline in the same run, in turns with what it is about. "Busy" in the last column:
  other processes wanted the machine when this run began; times are then too long, and waits for a processor are in
  them. Processor time, bytes and counts are worth the same on a busy machine.
- A ratio is the median of the ratios of the turns. It is not the quotient of the two medians that may stand beside it.
- "Asked" is the figure to reach on this class of machine. The benchmark asserts it where it is a ratio or a count; of
  absolute times it asserts a multiple, so that a busy hour fails nobody.
- A row stays until its benchmark runs again. `make bench` (under ten minutes) writes most of them, `make bench-long`
  all, `make bench-peers` those of other systems. How costs grow with sizes: [growth.md](growth.md), by `make growth`.

| figure | measured | asked | benchmark | day | machine |
|---|---|---|---|---|---|
"""

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # else every program that is started compiles all of ours anew

Figure = Callable[[str, str, str], None]
"""`figure(name, measured, required)`: keep one figure; `required` is empty when nothing is asked of it."""


class Row(Struct, frozen=True):
    """`benchmark`: file and function, from this folder on."""

    measured: str
    required: str
    benchmark: str


FRESH: Final = pytest.StashKey[dict[str, Row]]()
"""The figures of this run."""


def machine() -> str:
    """The machine in general words."""
    kind = "machine"
    cpus = Path("/proc/cpuinfo")
    if cpus.exists() and "hypervisor" in cpus.read_text():
        kind = "virtual machine"
    cores = len(os.sched_getaffinity(0))
    return f"{cores}-core {platform.machine().replace('_', '-')} {kind}, Python {platform.python_version()}"


def busy() -> str:
    """What the machine was doing for others before the first benchmark; empty: little."""
    load = os.getloadavg()[0]
    return f", busy (load {load:.0f})" if load / len(os.sched_getaffinity(0)) > BUSY_LOAD else ""


@pytest.fixture(scope="session")
def figures(pytestconfig: pytest.Config) -> Iterator[dict[str, Row]]:
    """The figures of this run, written at its end."""
    fresh = pytestconfig.stash.setdefault(FRESH, {})
    where = machine() + busy()
    yield fresh
    rows = _rows()
    day = dt.datetime.now(tz=dt.UTC).date().isoformat()
    for name, row in fresh.items():
        rows[name] = f"| {name} | {row.measured} | {row.required} | {row.benchmark} | {day} | {where} |\n"
    RESULTS.write_text(HEAD + "".join(rows[name] for name in sorted(rows)))


@pytest.fixture
def figure(figures: dict[str, Row], request: pytest.FixtureRequest) -> Figure:
    """See `Figure`."""
    benchmark = f"{request.path.relative_to(FOLDER)}::{request.function.__name__}"

    def keep(name: str, measured: str, required: str) -> None:
        assert "|" not in name + measured + required
        figures[name] = Row(measured, required, benchmark)

    return keep


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The figures of this run, for whoever has waited for them."""
    fresh = config.stash.get(FRESH, {})
    if fresh:
        terminalreporter.section(f"figures, now in benchmarks/{RESULTS.name}")
    for name in sorted(fresh):
        asked = f" (asked: {fresh[name].required})" if fresh[name].required else ""
        terminalreporter.write_line(f"{name}: {fresh[name].measured}{asked}")


def _rows() -> dict[str, str]:
    """Rows of earlier runs whose benchmark is there, by the name of the figure."""
    if not RESULTS.exists():
        return {}
    lines = RESULTS.read_text().splitlines(keepends=True)
    cells = {line: [cell.strip() for cell in line.split("|")] for line in lines if line.startswith("| ")}
    return {row[1]: line for line, row in cells.items() if len(row) == 8 and _is_there(row[4])}


def _is_there(benchmark: str) -> bool:
    """Whether the file still has such a benchmark."""
    name, _, function = benchmark.partition("::")
    path = FOLDER / name
    return path.suffix == ".py" and path.exists() and f"def {function}(" in path.read_text()
