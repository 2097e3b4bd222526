"""Where a report goes: the page, and the CSV files beside it.

Called by `shell/simulate.py` and `shell/many_worlds.py`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from shell.config.scenario import LoadedScenario
from shell.file_errors import unwritable
from shell.many_worlds import ManyWorlds
from shell.prepared import Output
from shell.report.csv_files import write_csv
from shell.simulate import Rehearsal
from sim.metrics import Metrics
from sim.timeline import Timeline


def write_report(
    output: Output,
    loaded: LoadedScenario,
    answer: Rehearsal,
    metrics: Metrics,
    timeline: Timeline,
    many: ManyWorlds | None = None,
) -> None:
    """Write what was asked for, and say so on stderr. Raises `LaulimaError` when it cannot be written."""
    if output.csv is not None:
        names = write_csv(output.csv, metrics, timeline, many)
        sys.stderr.write(f"wrote {output.csv}: {', '.join(names)}\n")
    if output.html is not None:
        from shell.report.page import Told, page  # noqa: PLC0415 - only pages need pictures

        text = page(Told(loaded, answer, metrics, timeline, many))
        write_text(output.html, text)
        sys.stderr.write(f"wrote {output.html}\n")


def write_text(path: Path, text: str) -> None:
    """Raises `LaulimaError` when that is not possible."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise unwritable(path, error) from error
