"""`laulima torture --crash-points` and `--crash-pairs`: a crash at each boundary of each process, alone or two of them.

What the worlds are is `sim/crash_worlds.py`, what a crash is `sim/crash_points.py`. Every finding is told with what
makes it again. Called by `torture.py`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from msgspec import Struct

from model.errors import OperatorError
from model.scripting import Stream
from shell.commands.many_worlds import each, write_section
from shell.language.machine import Scripts
from shell.session import Session
from shell.wording import count, nearest
from sim.crash_points import TITLES, CrashPoint, Pairs, crash_at, crash_points, crash_twice, first_points
from sim.torture import Verdict
from sim.world import Scripting

SHOWN_MAX = 20
"""Findings of one world that are told one by one."""
LAYOUTS = {True: "one process", False: "two processes"}
"""Whether scheduler and controller are one process."""


def _show_nothing(stream: Stream, text: str) -> None:
    """What scripts print is not judged here."""


def _no_file(name: str) -> None:
    """There are no files but the world's own."""


SCRIPTING = Scripting(Scripts, _show_nothing, _no_file)
"""How the world whose tasks are a script runs it."""


class Row(Struct):
    """What came of one world."""

    title: str
    jobs: int = 0
    boundaries: int = 0
    crashes: int = 0
    unacknowledged: int = 0
    kept: int = 0
    broken: int = 0

    def add(self, point: CrashPoint, verdict: Verdict) -> None:
        self.jobs = max(self.jobs, verdict.jobs)
        self.crashes += 1
        self.unacknowledged += point.unacknowledged
        self.kept += bool(point.kept)
        self.broken += bool(verdict.problems)

    def line(self) -> str:
        counts = (self.jobs, self.boundaries, self.crashes, self.unacknowledged, self.kept, self.broken)
        return f"| {self.title} | {' | '.join(f'{number}' for number in counts)} |"


HEAD = (
    "| world | jobs | boundaries | crashes | of them unacknowledged | of them half durable | broken |",
    "|---|---:|---:|---:|---:|---:|---:|",
)


def crash_everywhere(session: Session, worlds: Sequence[str], jobs: int, every: int, write: str | None) -> int:
    """Every `every`-th crash point of each of these worlds (none: of all), with scheduler and controller in one process
    and in two. Exit code 1 when a promise was broken."""
    began, rows = time.monotonic(), []
    for title in _titles(worlds):
        row = Row(title)
        for one_process, layout in LAYOUTS.items():
            points = [*crash_points(title, one_process=one_process, scripting=SCRIPTING)]
            row.boundaries += sum(not (point.unacknowledged or point.kept) for point in points)
            chosen = points[::every]
            run = partial(crash_at, title=title, one_process=one_process, scripting=SCRIPTING)
            for point, verdict in zip(chosen, each(run, chosen, jobs), strict=True):
                row.add(point, verdict)
                if verdict.problems and row.broken <= SHOWN_MAX:
                    promise, text = verdict.problems[0]
                    session.say(f"{title}, {layout}: {point}: {promise}: {text}")
        rows.append(row)
        session.say(f"{title}: {row.crashes} crashes, {row.broken or 'nothing'} broken")
    total = Row("all together")
    for row in rows:
        for name in ("jobs", "boundaries", "crashes", "unacknowledged", "kept", "broken"):
            setattr(total, name, getattr(total, name) + getattr(row, name))
    took_s = time.monotonic() - began
    told = f"{count(len(rows), 'world')}, 2 layouts, {total.crashes} crashes in {took_s:.0f} s"
    session.say(f"{told}: {total.broken or 'nothing'} broken")
    if write is not None:
        write_section(Path(write), "crash points", [*HEAD, *(row.line() for row in (*rows, total))])
    return 1 if total.broken else 0


def _titles(worlds: Sequence[str]) -> list[str]:
    for title in worlds:
        if title not in TITLES:
            hint = f"one of: {', '.join(TITLES)}{nearest(title, list(TITLES))}"
            raise OperatorError(f"there is no world '{title}' for crash points", hint)
    return [*(worlds or TITLES)]


def crash_pairs(session: Session, jobs: int, every: int, write: str | None) -> int:
    """Every `every`-th pair of crashes of the smallest world. Exit code 1 when a promise was broken."""
    began, told, broken, tried = time.monotonic(), [], 0, 0
    for one_process, layout in LAYOUTS.items():
        firsts = [*first_points(one_process=one_process)]
        run = partial(crash_twice, every=every, one_process=one_process)
        here = Pairs(firsts[0])
        for pairs in each(run, firsts, jobs, chunk=1):
            here.tried += pairs.tried
            here.broken += pairs.broken
            for second, promise, text in pairs.broken[: max(0, SHOWN_MAX - len(here.broken))]:
                session.say(f"{layout}: {pairs.first}, then {second}: {promise}: {text}")
        told.append(f"| {layout} | {len(firsts)} | {here.tried} | {len(here.broken)} |")
        tried, broken = tried + here.tried, broken + len(here.broken)
    session.say(f"{tried} pairs of crashes in {time.monotonic() - began:.0f} s: {broken or 'nothing'} broken")
    if write is not None:
        head = ["| scheduler and controller | first crashes | pairs | broken |", "|---|---:|---:|---:|"]
        write_section(Path(write), "crash pairs", [*head, *told])
    return 1 if broken else 0
