"""`laulima torture`: many small worlds with faults, all crash points of one, or worlds of files; what was broken.

Each seed is its own reproduction, and a failing one is made small and kept as a file (`--save`). What is judged is
`sim/torture.py`. Counters of a run can be written into docs/reliability.md (`make torture`).
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from msgspec import Struct, field

from model.errors import ConfigurationError
from shell.session import Session
from shell.wording import count
from shell.worlds import WrittenWorld, read_world, write_world
from sim.crash_points import CrashPoint, crash_at, crash_points
from sim.shrinking import shrink
from sim.swarm import swarm
from sim.torture import Verdict, judge, torture

CHUNK = 10
"""Worlds that a worker process takes at once."""
SHOWN_MAX = 20
"""Failing worlds that are told one by one."""


class Counters(Struct):
    """What a run has met."""

    worlds: int = 0
    broken: int = 0
    lines: int = 0
    jobs: int = 0
    attempts: int = 0
    excused: int = 0
    simulated_ns: int = 0
    faults: Counter[str] = field(default_factory=Counter)

    def add(self, verdict: Verdict) -> None:
        self.worlds += 1
        self.broken += bool(verdict.problems)
        self.lines += verdict.lines
        self.jobs += verdict.jobs
        self.attempts += verdict.attempts
        self.excused += verdict.excused
        self.simulated_ns += verdict.simulated_ns
        self.faults += verdict.faults


def torture_command(
    session: Session,
    *,
    files: Sequence[str],
    seeds: int,
    first: int,
    jobs: int,
    points: bool,
    every: int,
    save: str | None,
    write: str | None,
) -> int:
    """Exit code 1 when a promise was broken."""
    if files:
        return _replay(session, files)
    if points:
        return _crash(session, jobs, every, write)
    began = time.monotonic()
    counters = Counters()
    failing: list[Verdict] = []
    for verdict in _each(torture, range(first, first + seeds), jobs):
        counters.add(verdict)
        if verdict.problems:
            failing.append(verdict)
    for verdict in failing[:SHOWN_MAX]:
        promise, text = verdict.problems[0]
        session.say(f"seed {verdict.seed}: {promise}: {text}")
        session.say(f"    again: laulima torture --first {verdict.seed} --seeds 1")
        if save is not None:
            _save(session, verdict, Path(save))
    session.say(_summary(counters, time.monotonic() - began))
    if write is not None:
        write_section(Path(write), "swarm", _page(counters, f"seeds {first} to {first + seeds - 1}"))
    return 1 if failing else 0


def _summary(counters: Counters, took_s: float) -> str:
    hours = counters.simulated_ns / 3.6e12
    return (
        f"{count(counters.worlds, 'world')}, {counters.jobs} jobs, {counters.attempts} attempts, "
        f"{sum(counters.faults.values())} faults, {hours:.0f} simulated hours in {took_s:.0f} s: "
        f"{counters.broken or 'nothing'} broken"
    )


def _save(session: Session, verdict: Verdict, folder: Path) -> None:
    """Make the world of a failing seed small, and keep it."""
    promise, text = verdict.problems[0]
    configuration, scenario, runs = shrink(*swarm(verdict.seed), promise)
    path = folder / f"seed-{verdict.seed}.yaml"
    write_world(WrittenWorld(f"seed {verdict.seed}: {text}", promise, configuration, scenario), path)
    session.say(f"    kept as {path} ({runs} worlds tried): laulima torture {path}")


def _replay(session: Session, files: Sequence[str]) -> int:
    broken = 0
    for file in files:
        world = read_world(Path(file))
        problems = judge(world.configuration, world.scenario).problems
        broken += bool(problems)
        session.say(f"{file}: {f'{problems[0][0]}: {problems[0][1]}' if problems else 'nothing broken'}")
    return 1 if broken else 0


def _crash(session: Session, jobs: int, every: int, write: str | None) -> int:
    """Every `every`-th crash point, with the scheduler and the controller in one process and in two."""
    began, broken, told = time.monotonic(), 0, []
    for one_process in (True, False):
        points = [*crash_points(one_process=one_process)]
        chosen = points[::every]
        run: Callable[[CrashPoint], Verdict] = partial(crash_at, one_process=one_process)
        for point, verdict in zip(chosen, _each(run, chosen, jobs), strict=True):
            if verdict.problems:
                broken += 1
                process = f"{point.node}'s keeper" if point.keeper else point.node
                promise, text = verdict.problems[0]
                session.say(f"{process} dies at its boundary {point.boundary}: {promise}: {text}")
        layout = "one process" if one_process else "two processes"
        told.append(f"| {layout} | {len(points)} | {len(chosen)} | {broken} |")
    session.say(f"{len(told)} layouts in {time.monotonic() - began:.0f} s: {broken or 'nothing'} broken")
    if write is not None:
        head = ["| scheduler and controller | boundaries | crashed at | broken |", "|---|---:|---:|---:|"]
        write_section(Path(write), "crash points", [*head, *told])
    return 1 if broken else 0


# running many


def _each(run: Callable[..., Verdict], things: Iterable[object], jobs: int) -> Iterator[Verdict]:
    """The verdicts, in order, from `jobs` processes."""
    listed = [*things]
    with _bar(len(listed)) as step:
        if jobs == 1:
            for thing in listed:
                yield run(thing)
                step()
            return
        with ProcessPoolExecutor(jobs) as workers:
            for verdict in workers.map(run, listed, chunksize=CHUNK):
                yield verdict
                step()


@contextmanager
def _bar(total: int) -> Iterator[Callable[[], None]]:
    """A bar on a terminal, nothing elsewhere."""
    from rich.console import Console  # noqa: PLC0415 - only this verb and the demo draw bars
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn  # noqa: PLC0415

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda: None
        return
    with Progress(BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task("worlds", total=total)
        yield lambda: bar.advance(task)


# the page


def _page(counters: Counters, seeds: str) -> list[str]:
    """The counters as lines of Markdown."""
    hours = counters.simulated_ns / 3.6e12
    rows = [
        (f"worlds ({seeds})", counters.worlds),
        ("jobs", counters.jobs),
        ("attempts", counters.attempts),
        ("lines of event logs, all read by the oracle", counters.lines),
        ("simulated hours", round(hours)),
        ("overlaps on machines that stood still past their lease (foreseen, part 6)", counters.excused),
        ("worlds in which a promise was broken", counters.broken),
    ]
    lines = ["| what | count |", "|---|---:|", *(f"| {name} | {number} |" for name, number in rows), ""]
    lines += ["| fault | episodes |", "|---|---:|"]
    return lines + [f"| {kind} | {number} |" for kind, number in sorted(counters.faults.items())]


def write_section(page: Path, name: str, lines: Sequence[str]) -> None:
    """Replace what stands between the page's two marks of this name. Raises `ConfigurationError` when it has none."""
    text = page.read_text()
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
    if pattern.search(text) is None:
        hint = f"it begins with a line <!-- {name} --> and ends with a line <!-- end -->"
        raise ConfigurationError(f"{page} has no section {name}", hint)
    body = "".join(f"{line}\n" for line in lines)
    page.write_text(pattern.sub(lambda match: match.group(1) + body + match.group(2), text))
