"""`laulima fit`: what the own history says of each task's jobs, as the part of a scenario that a rehearsal draws from.

Which attempts count for what: run times come from those that ended by themselves (EXITED, CRASHED). Those that were
ended (TIMED_OUT, KILLED, LOST) are known to take longer than they ran (censored), except where the timeout is more than
`HANGS` times the longest run that ended: these hang, and are a share that never ends. Called by
`shell/commands/past.py` and `shell/past_jobs.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from msgspec import Struct, field

from live.past import PastJob
from model.job import SECOND, Outcome
from shell.durations import format_duration
from shell.tables import Column, Style, table
from shell.wording import duration, thousands
from sim.distributions import Choice, Constant, Distribution, Exponential, Lognormal, Quantiles, Uniform, Weibull
from sim.fitting import Fit, fit, quantiles
from sim.scenario import Items, TaskWeather

HANGS = 2.0
TOGETHER_NS = SECOND
"""Items whose jobs were made within it came together."""
ENDED = frozenset({Outcome.TIMED_OUT.value, Outcome.KILLED.value, Outcome.LOST.value})
CENSORED_SHOWN = "run times beyond the timeout are extrapolated"


class TaskFit(Struct):
    """What one task's history says. `run` None: no attempt of it ended by itself."""

    task: str
    jobs: int = 0
    attempts: int = 0
    run: Fit | None = None
    exits: dict[int, int] = field(default_factory=dict)
    crashes: dict[int, int] = field(default_factory=dict)
    """by signal"""
    not_found: bool = False
    hangs: int = 0
    """attempts that would not have ended"""
    timeouts: int = 0
    stdout: Distribution = Constant(0)
    stderr: Distribution = Constant(0)
    items: Items | None = None
    """how they came, where the jobs have any"""

    @property
    def ended(self) -> int:
        """Attempts whose end says something: by itself, or that it has none."""
        return sum(self.exits.values()) + sum(self.crashes.values()) + self.hangs

    def weather(self) -> TaskWeather:
        """What jobs of the task do that nobody has seen."""
        crashed = sum(self.crashes.values())
        ends = max(1, sum(self.exits.values()) + crashed)
        return TaskWeather(
            run=Constant(5 * SECOND) if self.run is None else self.run.distribution,
            exits=tuple((code, float(number)) for code, number in self.exits.items()) or ((0, 1.0),),
            crashes=tuple((number, count / ends) for number, count in self.crashes.items()),
            never_ends=self.hangs / max(1, self.ended),
            not_found=self.not_found,
            stdout_bytes=self.stdout,
            stderr_bytes=self.stderr,
            items=self.items,
        )


def fit_jobs(jobs: Iterable[PastJob]) -> list[TaskFit]:
    """One fit for each task, by name."""
    by_task: dict[str, list[PastJob]] = {}
    for job in jobs:
        if not job.plain:
            by_task.setdefault(job.spec.task, []).append(job)
    return [_of_task(task, by_task[task]) for task in sorted(by_task)]


def _of_task(task: str, jobs: Sequence[PastJob]) -> TaskFit:
    rows = [row for job in jobs for row in job.attempts if row.started_at is not None]
    found = TaskFit(task, len(jobs), len(rows))
    own = [row for row in rows if row.outcome in (Outcome.EXITED.value, Outcome.CRASHED.value)]
    longest = max((row.ran_for_ns for row in own), default=0)
    ended = [row for row in rows if row.outcome in ENDED and row.ran_for_ns > 0]
    hanging = [row for row in ended if row.outcome == Outcome.TIMED_OUT.value and row.ran_for_ns > HANGS * longest]
    found.hangs = len(hanging)
    found.timeouts = sum(row.outcome == Outcome.TIMED_OUT.value for row in ended)
    if own:
        censored = [row.ran_for_ns for row in ended if row not in hanging]
        found.run = fit([row.ran_for_ns for row in own], censored)
        found.stdout = quantiles([row.stdout_bytes for row in own])
        found.stderr = quantiles([row.stderr_bytes for row in own])
    found.exits = dict(sorted(Counter(row.exit_code for row in own if row.exit_code is not None).items()))
    found.crashes = dict(sorted(Counter(row.signal for row in own if row.signal is not None).items()))
    ends = [job.attempts[-1].outcome for job in jobs if job.attempts]
    found.not_found = bool(ends) and all(end == Outcome.COMMAND_NOT_FOUND.value for end in ends)
    found.items = _arrivals([job for job in jobs if job.spec.item is not None])
    return found


def _arrivals(jobs: Sequence[PastJob]) -> Items | None:
    """So many at a time, so often. When an item itself came is not in the history; when its job was made is."""
    groups: list[list[int]] = []
    for at in sorted(job.accepted_at for job in jobs if job.accepted_at):
        if groups and at - groups[-1][0] <= TOGETHER_NS:
            groups[-1].append(at)
        else:
            groups.append([at])
    if not groups:
        return None
    burst = max(1, round(sum(map(len, groups)) / len(groups)))
    if len(groups) == 1:
        return Items(every_ns=0, burst=burst, count=burst)
    every_ns = (groups[-1][0] - groups[0][0]) // (len(groups) - 1)
    return Items(every_ns=every_ns // 1_000_000 * 1_000_000, burst=burst)


# as a scenario


def scenario_text(fits: Sequence[TaskFit], pipeline: Path | None, span: str) -> str:
    """YAML for `laulima sim`. `span`: from when the history is, for the reader."""
    lines = [f"# Fitted by laulima fit to the history of {span}: run times by maximum likelihood, the best by AIC."]
    if pipeline is not None:
        lines.append(f"pipeline: {_quoted(str(pipeline))}")
    lines.append("tasks:" if fits else "tasks: {}")
    for one in fits:
        lines += [f"  {_quoted(one.task)}:", *(f"    {line}" for line in _task_lines(one))]
    return "\n".join(lines) + "\n"


def _task_lines(one: TaskFit) -> list[str]:
    lines: list[str] = []
    if one.not_found:
        lines.append("not_found: true")
    if one.run is not None:
        lines.append(f"run: {_text(one.run.distribution, format_duration)}  # {_how(one.run)}")
    if set(one.exits) - {0}:
        lines.append(f"exit: {{{', '.join(f'{code}: {number}' for code, number in one.exits.items())}}}")
    weather = one.weather()
    if weather.crashes:
        lines.append(f"crash: {{{', '.join(f'{number}: {chance:.6f}' for number, chance in weather.crashes)}}}")
    if one.hangs:
        lines.append(f"never_ends: {weather.never_ends:.6f}")
    for name, sizes in (("stdout", one.stdout), ("stderr", one.stderr)):
        if sizes != Constant(0):
            lines.append(f"{name}: {_text(sizes, str)}")
    if one.items is not None:
        count = f", count: {one.items.count}" if one.items.count else ""
        every = format_duration(one.items.every_ns)
        lines.append(f"items: {{every: {every}, burst: {one.items.burst}{count}}}  # when its jobs were made")
    return lines or ["run: 5s  # nothing is known: no attempt of it ended by itself"]


def _how(found: Fit) -> str:
    censored = f", {found.censored} of them censored: {CENSORED_SHOWN}" if found.censored else ""
    distance = f", KS distance {found.distance:.3f} (by chance {found.by_chance:.3f})" if found.candidates else ""
    return f"{found.name}, {found.values} attempts{censored}{distance}"


def _text(distribution: Distribution, write: object) -> str:
    """As `shell/config/scenario_values.py` reads it."""
    assert callable(write)
    match distribution:
        case Constant():
            return str(write(distribution.value))
        case Uniform():
            return f"{{uniform: [{write(distribution.low)}, {write(distribution.high)}]}}"
        case Exponential():
            return f"{{exponential: {write(distribution.mean)}}}"
        case Lognormal():
            return f"{{lognormal: {{median: {write(distribution.median)}, sigma: {distribution.sigma:.6f}}}}}"
        case Weibull():
            return f"{{weibull: {{shape: {distribution.shape:.6f}, scale: {write(distribution.scale)}}}}}"
        case Choice():
            pairs = zip(distribution.values, distribution.weights, strict=True)
            return f"{{choice: {{{', '.join(f'{write(value)}: {weight:.15g}' for value, weight in pairs)}}}}}"
        case Quantiles():
            pairs = zip(distribution.values, distribution.shares, strict=True)
            return f"{{quantiles: {{{', '.join(f'{share:g}: {write(value)}' for value, share in pairs)}}}}}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


# as a table


def fit_lines(fits: Sequence[TaskFit], style: Style) -> list[str]:
    """What was found, a line a task, and what to be careful about."""
    lines = table(_COLUMNS, fits, 0, style)
    for one in fits:
        if one.run is not None and one.run.censored:
            lines.append(f"{one.task}: {one.run.censored} of {one.run.values} runs were ended early; {CENSORED_SHOWN}")
        if one.hangs:
            lines.append(f"{one.task}: {one.hangs} runs were far from any end at their timeout: never_ends")
        if one.run is not None and one.run.name == "data" and one.run.candidates:
            best = one.run.candidates[0]
            lines.append(
                f"{one.task}: no family fits (the best is {best.name}, KS distance {best.distance:.3f}): the data"
                " themselves are taken, in some twenty parts"
            )
        if one.run is not None and one.run.poor:
            lines.append(
                f"{one.task}: no family fits (the best is {one.run.name}, KS distance {one.run.distance:.3f}), and too"
                " many runs were ended early to take the data themselves: a longer timeout would tell"
            )
    return lines


def _run_text(one: TaskFit) -> str:
    if one.run is None:
        return "-"
    found = one.run.distribution
    return f"{duration(found.sample(0.5))}, {duration(found.sample(0.95))}"


_COLUMNS: tuple[Column[TaskFit], ...] = (
    Column("TASK", lambda one, _: one.task),
    Column("JOBS", lambda one, _: thousands(one.jobs), right=True),
    Column("RUN TIME", lambda one, _: "-" if one.run is None else one.run.name),
    Column("p50, p95", lambda one, _: _run_text(one), right=True),
    Column("KS", lambda one, _: "-" if one.run is None or not one.run.candidates else f"{one.run.distance:.3f}", True),
    Column(
        "CHANCE",
        lambda one, _: "-" if one.run is None or not one.run.candidates else f"{one.run.by_chance:.3f}",
        True,
        5,
    ),
    Column("EXITS", lambda one, _: ", ".join(f"{code} x {n}" for code, n in one.exits.items()) or "-"),
    Column("CRASHES", lambda one, _: ", ".join(f"signal {s} x {n}" for s, n in one.crashes.items()) or "-", weight=4),
)
