"""`laulima torture`: many small worlds with faults, crashes everywhere, or worlds of files; what was broken.

Each seed is its own reproduction, and a failing one is made small and kept as a file (`--save`). What is judged is
`sim/torture.py`. Counters of a run can be written into docs/reliability.md (`make torture`).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct, field

from model.job import SECOND
from shell.commands.many_worlds import each, write_section
from shell.commands.torture_crashes import crash_everywhere, crash_pairs
from shell.file_errors import unwritable
from shell.session import Session
from shell.wording import count
from shell.worlds import WrittenWorld, read_world, write_world
from sim.shrinking import shrink
from sim.swarm import swarm
from sim.torture import NEAR_NS, Verdict, all_pairs, judge, torture

SHOWN_MAX = 20
"""Failing worlds that are told one by one."""
NEVER_MAX = 10
"""Pairs of faults that never met which are named."""


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
    meetings: Counter[tuple[str, str]] = field(default_factory=Counter)
    """worlds in which two kinds of faults met"""

    def add(self, verdict: Verdict) -> None:
        self.worlds += 1
        self.broken += bool(verdict.problems)
        self.lines += verdict.lines
        self.jobs += verdict.jobs
        self.attempts += verdict.attempts
        self.excused += verdict.excused
        self.simulated_ns += verdict.simulated_ns
        self.faults += verdict.faults
        self.meetings.update(verdict.meetings)


def torture_command(
    session: Session,
    *,
    files: Sequence[str],
    seeds: int,
    first: int,
    jobs: int,
    points: bool,
    pairs: bool,
    worlds: Sequence[str],
    every: int,
    save: str | None,
    write: str | None,
) -> int:
    """Exit code 1 when a promise was broken."""
    if files:
        return _replay(session, files)
    if points:
        return crash_everywhere(session, worlds, jobs, every, write)
    if pairs:
        return crash_pairs(session, jobs, every, write)
    if save is not None:
        try:
            Path(save).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(save, error) from error
    began = time.monotonic()
    counters = Counters()
    failing: list[Verdict] = []
    for verdict in each(torture, range(first, first + seeds), jobs):
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
    return [*lines, *_pairs(counters)]


def _pairs(counters: Counters) -> list[str]:
    """How often each kind of fault came, and which other it met least; all pairs in one sentence."""
    pairs = sorted(all_pairs(), key=lambda pair: counters.meetings[pair])
    met = [pair for pair in pairs if counters.meetings[pair]]
    never = [f"{one} and {other}" for one, other in pairs[: len(pairs) - len(met)]]
    least, middle = (counters.meetings[met[at]] if met else 0 for at in (0, len(met) // 2))
    told = (
        f"Two faults meet when the later one begins less than {NEAR_NS // SECOND} s after the end of the earlier one. "
        f"Of {len(pairs)} pairs of kinds (a kind with itself, too) {len(met)} have met, each in {least} worlds or "
        f"more, half of them in {middle} or more" + (f"; not met: {', '.join(never[:NEVER_MAX])}." if never else ".")
    )
    lines = [told, "", "| fault | episodes | met least | in worlds |", "|---|---:|---|---:|"]
    for kind, number in sorted(counters.faults.items()):
        pair = next(pair for pair in pairs if kind in pair)
        other = pair[1] if pair[0] == kind else pair[0]
        lines.append(f"| {kind} | {number} | {other} | {counters.meetings[pair]} |")
    return lines
