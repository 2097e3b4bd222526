"""The page of a what-if, and the numbers behind it as CSV: what really happened, the replay, and the changed one.

Called by `shell/commands/past.py`.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from shell.file_errors import unwritable
from shell.many_worlds import PAIRS_TEXT
from shell.report.again import again
from shell.report.against_live import ended_and_waited
from shell.report.drawing import TimeAxis
from shell.report.html import document, figure, items, safe, table
from shell.report.making import write_text
from shell.whatif import PAIRS, Compared, calibration_text, figure_table
from shell.wording import count, duration, thousands
from sim.retelling import JobLife

TITLE = "What if"


def write_page(path: Path, compared: Compared, names: tuple[str, str], command: str) -> None:
    """`names`: of the two configurations. Raises `LaulimaError` when it cannot be written."""
    write_text(path, page(compared, names, command))


def page(compared: Compared, names: tuple[str, str], command: str) -> str:
    """The whole file."""
    answer = compared.answer
    start = datetime.fromtimestamp(answer.begin_at / 1e9).astimezone()
    head = [
        ("baseline", names[0]),
        ("changed", names[1]),
        ("time", f"{duration(answer.span_ns)} from {start.isoformat(timespec='seconds')}"),
        (
            "jobs",
            f"{thousands(answer.measured)} with the run times that were measured, {thousands(answer.drawn)} drawn",
        ),
        ("seeds", ", ".join(map(str, answer.seeds))),
        ("hosts away", f"{count(answer.outages, 'time')}, as it was"),
    ]
    parts = [f"<h1>{TITLE}: {safe(names[1])}</h1>"]
    if answer.calibration is not None:
        parts.append(f'<p class="verdict">{safe(calibration_text(answer.calibration))}</p>')
    parts.append("<dl>" + "".join(f"<dt>{name}</dt><dd>{safe(text)}</dd>" for name, text in head) + "</dl>")
    heads, rows = figure_table(answer)
    words = (1, len(heads) - 1)
    parts += ["<h2>Figures</h2>", table([*map(str.lower, heads)], [tuple(map(safe, row)) for row in rows], words)]
    parts += [f"<p>{PAIRS_TEXT}</p>"] if PAIRS in heads else []
    ends = [life.ended_ns for lives in (compared.really, *compared.baseline) for life in lives.values()]
    end_ns = max([answer.span_ns, *(end for end in ends if end is not None)])
    svg, caption = ended_and_waited(compared.really, compared.baseline, compared.changed, TimeAxis(start, end_ns))
    if svg:
        parts += ["<h2>Simulated and live</h2>", figure(svg, caption)]
    if answer.warnings:
        parts += ["<h2>What to be careful about</h2>", items(answer.warnings)]
    parts += again(command)
    return document(f"{TITLE}: {names[1]}", parts)


COLUMNS = ("arm", "seed", "job", "task", "arrived", "made", "started", "ended", "outcome")


def write_csv(path: Path, compared: Compared) -> None:
    """A line for each job of each world: s since the beginning. Raises `LaulimaError` when it cannot be written."""
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            writer.writerows(_rows("live", "", compared.really))
            for arm, worlds in (("baseline", compared.baseline), ("changed", compared.changed)):
                for seed, lives in zip(compared.answer.seeds, worlds, strict=True):
                    writer.writerows(_rows(arm, str(seed), lives))
    except OSError as error:
        raise unwritable(path, error) from error


def _rows(arm: str, seed: str, lives: dict[str, JobLife]) -> Iterable[tuple[str, ...]]:
    for name, life in lives.items():
        times = (life.arrived_ns, life.accepted_ns, life.started_ns, life.ended_ns)
        yield arm, seed, name, life.task, *map(_s, times), life.outcome


def _s(time_ns: int | None) -> str:
    """Seconds; empty for what has not happened."""
    return "" if time_ns is None else f"{time_ns / 1e9:.9f}"
