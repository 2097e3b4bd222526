"""`laulima sim --seeds 1-1000`: a world for each seed, in processes; what they say together, and which was the worst.

`--against B.yaml` runs every seed under both, and shows the differences with their intervals. Called by
`shell/commands/start.py`; what a world comes to and what many say is `sim/many.py`.
"""

from __future__ import annotations

import shlex
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from model.errors import ConfigurationError, LaulimaError
from shell.commands.many_worlds import each
from shell.config.scenario import names_pipeline
from shell.durations import format_duration
from shell.expectations import UNDEFINED, figure_text
from shell.file_errors import refuse_unwritable
from shell.finished_worlds import FinishedWorlds
from shell.prepared import Asked, Output, Prepared, prepare, scripted
from shell.report.drawing import require_matplotlib
from shell.simulate import NOTHING, Measured, rehearse
from shell.tables import Column, Style, table
from shell.wording import count, duration, number_text, thousands
from shell.world_runs import Arm, Runs
from sim.checkpoints import code_digest, inputs_digest
from sim.confidence import Interval, share_interval
from sim.figures import Unit, find
from sim.many import (
    Comparison,
    Drawn,
    FigureSummary,
    compare,
    names_of,
    summaries,
    worst_world,
)

SCHEMA = 1
SEEDS_MAX = 1_000_000
SEEDS_HINT = "as in --seeds 1-1000, --seeds 7 or --seeds 1-10,17"
AGAINST_SEEDS = "1-20"
"""Seeds of a comparison that names none."""
SWEEP_SEEDS = "1-10"
"""The same of a sweep."""
FAILING_SHOWN = 10
PAIRS_TEXT = "pairs: seeds in which both have the figure; a row is of these alone"
GAIN_SHOWN = 1.2
"""What the same weather for both saves is told from here on."""


class ExpectedShare(Struct, frozen=True):
    """One expectation over all seeds. `worst`: what was found where it was missed by most; None: undefined there."""

    expected: str
    met: int
    count: int
    worst: float | None
    unit: str
    worst_seed: int | None


class ManyWorlds(Struct, frozen=True):
    """The whole answer, as `--json` gives it."""

    configuration: str
    scenario: str
    for_ns: int
    seeds: tuple[int, ...]
    good: int
    """worlds in which every promise held and every expectation was met"""
    failing: tuple[int, ...]
    """the seeds of the others"""
    failing_interval: Interval
    """of the share of failing worlds, 95 %"""
    broken: tuple[str, ...]
    """what was seen broken in laulima itself, by seed"""
    expected: tuple[ExpectedShare, ...]
    figures: tuple[FigureSummary, ...]
    worst: int
    command: str
    """makes the worst world again"""
    again: str
    """makes all of it again"""
    worlds: tuple[Drawn, ...]
    changes: tuple[str, ...] = ()
    against: str = ""
    comparisons: tuple[Comparison, ...] = ()
    baseline: tuple[Drawn, ...] = ()
    schema: int = SCHEMA

    @property
    def pairs(self) -> int:
        """Seeds of which there are both worlds."""
        return len({world.seed for world in self.worlds} & {world.seed for world in self.baseline})


class Many(Struct, frozen=True):
    """How many worlds are asked for. `against`: the pipeline or scenario to compare with. `until`: end with the first
    world that fails."""

    text: str
    """the seeds, as they were asked for"""
    jobs: int = 1
    against: Path | None = None
    until: bool = False
    shrink: Path | None = None
    """make the worst failing world small, and keep it here"""
    checkpoint: Path | None = None
    """keep finished worlds here, and go on with the others"""

    @property
    def seeds(self) -> tuple[int, ...]:
        """Raises `ConfigurationError`."""
        return parse_seeds(self.text)


def parse_seeds(text: str) -> tuple[int, ...]:
    """`1-1000`, `7`, `1-10,17`. Raises `ConfigurationError`."""
    seeds: dict[int, None] = {}
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()) or len(first) > 18 or len(last) > 18:
            raise ConfigurationError(f"--seeds {text}: expects seeds and ranges of seeds", SEEDS_HINT)
        low, high = int(first), int(last or first)
        if high < low:
            raise ConfigurationError(f"--seeds {text}: {part.strip()} ends before it begins", SEEDS_HINT)
        if high - low >= SEEDS_MAX or len(seeds) + high - low >= SEEDS_MAX:
            raise ConfigurationError(f"--seeds {text}: more than {thousands(SEEDS_MAX)} seeds", SEEDS_HINT)
        seeds.update(dict.fromkeys(range(low, high + 1)))
    return tuple(seeds)


def run_many(asked: Asked, many: Many, *, json: bool, style: Style, output: Output = NOTHING) -> int:
    """Simulate all worlds and print. The exit code is 0 when all were good, else 1. A report shows the worst of them.

    Raises `ConfigurationError` when a file, a fault or a change is wrong.
    """
    if output.html is not None:
        require_matplotlib()
    refuse_unwritable(output.html, many.shrink, folder=output.csv)
    prepared = prepare(asked)
    baseline = None if many.against is None else _baseline(prepared, many.against)
    warnings = [*prepared.loaded.warnings]
    if baseline is not None:
        warnings += [*baseline.loaded.warnings, *_unequal(prepared, baseline)]
    for warning in warnings:
        sys.stderr.write(warning + "\n")
    began = time.perf_counter()
    names = names_of(prepared.loaded.scenario, [task.name for task in prepared.loaded.configuration.tasks])
    worlds, *more = run_arms([prepared] if baseline is None else [prepared, baseline], many, names)
    others = more[0] if more else []
    answer = sum_up(prepared, many, worlds, baseline, others)
    took_s = time.perf_counter() - began
    if json:
        sys.stdout.write(msgspec.json.encode(answer).decode() + "\n")
    else:
        sys.stdout.write("\n".join(lines_of(answer, took_s, many.jobs, style)) + "\n")
    if output.wanted:
        _report(prepared.of_seed(answer.worst), answer, output)
    if many.shrink is not None:
        from shell.small_worlds import shrink_to, tell_nothing_fails  # noqa: PLC0415 - only where it is asked for

        if answer.failing:
            shrink_to(many.shrink, prepared.of_seed(answer.worst))
        else:
            tell_nothing_fails(many.shrink)
    return 1 if answer.failing else 0


def _report(worst: Prepared, answer: ManyWorlds, output: Output) -> None:
    """Simulate the worst world once more, and show its course."""
    from shell.report.making import write_report  # noqa: PLC0415 - only where a report is asked for

    course = rehearse(worst, None, Measured(), quiet=True, drawn=True)
    assert course.metrics is not None
    assert course.timeline is not None
    write_report(output, worst.loaded, course.answer, course.metrics, course.timeline, answer)


def _baseline(prepared: Prepared, against: Path) -> Prepared:
    """What is compared with: another scenario, or another pipeline in the same world. Changes are of the first one
    only. Raises `ConfigurationError`."""
    asked = prepared.asked
    other = prepare(replace(asked, file=against, changes=()))
    if other.loaded.path is None and prepared.loaded.path is not None and names_pipeline(prepared.loaded.path):
        other = prepare(replace(other.asked, scenario=prepared.loaded.path))
    return other


def _unequal(one: Prepared, other: Prepared) -> list[str]:
    """A warning where they do not simulate the same time."""
    times = [format_duration(each.loaded.scenario.for_ns) for each in (one, other)]
    if times[0] == times[1]:
        return []
    return [f"{times[0]} are compared with {times[1]}: what is counted tells little; --for {times[0]} is for both"]


def run_arms(arms: Sequence[Prepared], many: Many, names: Sequence[str]) -> list[list[Drawn]]:
    """Every seed of every arm; of all arms one after the other, so that what was run is paired wherever it ends. What
    is finished is kept in `many.checkpoint`."""
    runs = [(which, seed) for seed in many.seeds for which in range(len(arms))]
    finished = FinishedWorlds(many.checkpoint, "" if many.checkpoint is None else _inputs(arms, many, names))
    left = finished.without(runs)
    if len(left) < len(runs):
        sys.stderr.write(f"goes on from {many.checkpoint}: {len(runs) - len(left)} of {count(len(runs), 'world')}\n")
    ready = partial(Runs.begin, [_arm(one) for one in arms], names, arms[0].asked.warm_up_ns)
    answers = each(Runs.run, left, max(1, min(many.jobs, len(left))), 1, ready)
    found: list[list[Drawn]] = [[] for _ in arms]
    done = False
    try:
        for which, seed in runs:
            world = finished.worlds.get((which, seed))
            if world is None:
                world = next(answers)
                finished.add(which, world)
            found[which].append(world)
            if many.until and not world.good and which == 0:
                break
        done = True
    except (KeyboardInterrupt, LaulimaError):
        _tell_finished(finished, len(runs))
        raise
    finally:
        _close(answers)
        finished.close(done=done)
    return found


def _tell_finished(finished: FinishedWorlds, total: int) -> None:
    """What becomes of the worlds that were finished when the others cannot be."""
    number, where = len(finished.worlds), finished.path
    if number:
        kept = "are lost: --checkpoint FILE keeps them" if where is None else f"are in {where}, for the same command"
        sys.stderr.write(f"{number} of {count(total, 'world')} were finished, and {kept}\n")


def _inputs(arms: Sequence[Prepared], many: Many, names: Sequence[str]) -> str:
    """Names everything that decides these worlds."""
    told = [
        inputs_digest(arm.loaded.configuration, arm.loaded.scenario, [*arm.words(seeds=many.text), str(arm.pace)])
        for arm in arms
    ]
    return "/".join([code_digest(), *told, *names])


def _close(answers: Iterable[Drawn]) -> None:
    """What has not begun is not run."""
    if isinstance(answers, Iterator) and hasattr(answers, "close"):
        answers.close()


def _arm(prepared: Prepared) -> Arm:
    """What processes are told of it."""
    loaded = prepared.loaded
    with_scripts = scripted(loaded.configuration, loaded.scenario)
    return Arm(loaded.configuration, loaded.scenario, with_scripts, None if prepared.found is None else prepared)


def sum_up(
    prepared: Prepared,
    many: Many,
    worlds: Sequence[Drawn],
    baseline: Prepared | None = None,
    others: Sequence[Drawn] = (),
) -> ManyWorlds:
    """All worlds as one answer."""
    loaded = prepared.loaded
    again = prepared.words(seeds=many.text) + ([] if many.against is None else ["--against", str(many.against)])
    failing = tuple(world.seed for world in worlds if not world.good)
    worst = worst_world(worlds)
    assert worst is not None, "at least one seed"
    return ManyWorlds(
        configuration=loaded.configuration.path,
        scenario="" if loaded.path is None else str(loaded.path),
        for_ns=max(world.ended_ns for world in worlds) or loaded.scenario.for_ns,
        seeds=tuple(world.seed for world in worlds),
        good=len(worlds) - len(failing),
        failing=failing,
        failing_interval=share_interval(len(failing), len(worlds)),
        broken=tuple(
            f"seed {world.seed}: {world.error or world.first_broken}"
            for world in chain(worlds, others) if world.error or world.broken
        ),
        expected=_expected(worlds),
        figures=summaries(worlds),
        worst=worst.seed,
        command=shlex.join(prepared.words(seed=worst.seed)),
        again=shlex.join(again),
        worlds=tuple(worlds),
        changes=prepared.asked.changes,
        against="" if many.against is None else many.against.name,
        comparisons=compare(worlds, others) if baseline is not None else (),
        baseline=tuple(others),
    )  # fmt: skip


def _expected(worlds: Sequence[Drawn]) -> tuple[ExpectedShare, ...]:
    shares: list[ExpectedShare] = []
    ran = [world for world in worlds if world.judged]
    for at in range(len(ran[0].judged) if ran else 0):
        judged = [(world.judged[at], world.seed) for world in ran]
        first = judged[0][0]
        unit = Unit(first.unit)
        unmet = [(one, seed) for one, seed in judged if not one.held]
        worst = max(
            unmet,
            key=lambda pair: (float("inf") if pair[0].found is None else abs(pair[0].found - pair[0].limit), -pair[1]),
            default=None,
        )
        shares.append(
            ExpectedShare(
                f"{first.expected} {figure_text(first.limit, unit)}",
                len(judged) - len(unmet),
                len(judged),
                None if worst is None else worst[0].found,
                first.unit,
                None if worst is None else worst[1],
            )
        )
    return tuple(shares)


# as text


def lines_of(answer: ManyWorlds, took_s: float, jobs: int, style: Style) -> list[str]:
    """The answer for a person: the verdict first, the command for the worst world last."""
    worlds = len(answer.worlds)
    jobs = min(jobs, worlds + len(answer.baseline))
    each_ran = f"{duration(answer.for_ns)} each, {took_s:.1f} s" + (f" in {jobs} processes" if jobs > 1 else "")
    lines = [f"{count(worlds, 'world')} of {Path(answer.scenario or answer.configuration).name}: {each_ran}"]
    lines += [*_failing(answer), ""]
    if answer.expected:
        lines += [*table(_EXPECTED, answer.expected, 0, style), ""]
    shown = [line for line in answer.figures if line.summary.count]
    all_seeds = not any(line.undefined for line in shown)
    lines += table([one for one in _SUMMARIES if one.head != "SEEDS" or not all_seeds], shown, 0, style)
    lines.append(f"the interval is of the mean, 95 %, of {count(worlds, 'seed')}; a figure of few seeds may be far off")
    if answer.comparisons:
        lines += ["", *_comparison(answer, style)]
    lines += ["", f"worst      seed {answer.worst}{_why_worst(answer)}", f"again      {answer.command}"]
    return lines


def _failing(answer: ManyWorlds) -> list[str]:
    worlds, failing = len(answer.worlds), len(answer.failing)
    low, high = 100 * answer.failing_interval.low, 100 * answer.failing_interval.high
    if not failing:
        lines = [f"none failed: of all seeds less than {high:.3g} % would (95 %)"]
    else:
        seeds = ", ".join(map(str, answer.failing[:FAILING_SHOWN])) + (" …" if failing > FAILING_SHOWN else "")
        share = f"{100 * failing / worlds:.3g} %, 95 %: {low:.3g} to {high:.3g} %"
        lines = [f"{failing} FAILED of {worlds} ({share}): seed {seeds}"]
    if answer.broken:
        lines.append(f"BROKEN PROMISES: {len(answer.broken)} (a bug of laulima: please report it with the last line)")
        lines += [f"  {text}" for text in answer.broken[:FAILING_SHOWN]]
    return lines


def _why_worst(answer: ManyWorlds) -> str:
    world = next(world for world in answer.worlds if world.seed == answer.worst)
    if world.error:
        return f": {world.error}"
    unmet = [one for one in world.judged if not one.held]
    parts = [
        f"{one.expected} {figure_text(one.limit, Unit(one.unit))} was expected, it is "
        f"{figure_text(one.found, Unit(one.unit), UNDEFINED)}"
        for one in unmet
    ]
    if not parts:
        parts = [f"p95 of waits {figure_text(world.figures.get('p95_wait'), Unit.TIME)}"]
    return f": {'; '.join(parts)}"


def _comparison(answer: ManyWorlds, style: Style) -> list[str]:
    name, other = Path(answer.scenario or answer.configuration).name, answer.against
    if answer.changes:
        name = f"{name} with {' '.join(f'--set {change}' for change in answer.changes)}"
    known = [line for line in answer.comparisons if line.seeds]
    shown = [line for line in known if line.verdict != "same" or line.pairs < line.seeds]
    verdicts = Counter("larger" if line.verdict not in ("", "same") else line.verdict for line in known if line.pairs)
    found = f"{count(verdicts['larger'], 'difference')} larger than the noise, {verdicts['']} that may be luck"
    lines = [
        f"compared   {name} against {other}, the same {count(answer.pairs, 'seed')} each",
        f"           {found}, {verdicts['same']} without any",
    ]
    if shown:
        all_pairs = all(line.pairs == answer.pairs for line in shown)
        columns = [one for one in _COMPARED if one.head != "PAIRS" or not all_pairs]
        lines += ["", *table(columns, shown, 0, style)]
        lines.append("a verdict stands where the difference is larger than the noise, at 95 % for all figures together")
        lines += [] if all_pairs else [PAIRS_TEXT]
    gains = sorted(line.gain for line in shown if line.gain is not None)
    if gains and gains[len(gains) // 2] >= GAIN_SHOWN:
        lines.append(f"the same weather for both: independent seeds would need {gains[len(gains) // 2]:.3g} x as many")
    return lines


def _cell(figure: str, value: float | None) -> str:
    unit = find(figure).unit
    if unit is Unit.COUNT and value is not None and value != int(value):
        return number_text(value)
    return figure_text(value, unit)


def _range(figure: str, interval: Interval | None) -> str:
    return "-" if interval is None else f"{_signed(figure, interval.low)} to {_signed(figure, interval.high)}"


def _signed(figure: str, value: float) -> str:
    return f"-{_cell(figure, -value)}" if value < 0 else _cell(figure, value)


def _difference(row: Comparison) -> str:
    if row.difference is None:
        return "-"
    return ("+" if row.difference > 0 else "") + _signed(row.figure, row.difference)


def _seed(seed: int | None) -> str:
    return "-" if seed is None else str(seed)


_SUMMARIES: tuple[Column[FigureSummary], ...] = (
    Column("FIGURE", lambda row, _: row.figure, most=48),
    Column("SEEDS", lambda row, _: str(row.summary.count), right=True),
    Column("MEDIAN", lambda row, _: _cell(row.figure, row.summary.median), right=True),
    Column("LEAST", lambda row, _: _cell(row.figure, row.summary.low), right=True, weight=6),
    Column("MOST", lambda row, _: _cell(row.figure, row.summary.high), right=True, weight=6),
    Column("MEAN", lambda row, _: _cell(row.figure, row.summary.mean), right=True, weight=7),
    Column("95 % OF MEAN", lambda row, _: _range(row.figure, row.summary.interval), right=True, weight=8, most=32),
    Column("WORST SEED", lambda row, _: _seed(row.worst), right=True),
)

_EXPECTED: tuple[Column[ExpectedShare], ...] = (
    Column("EXPECTED", lambda row, _: row.expected, most=60),
    Column("MET IN", lambda row, _: f"{row.met} of {row.count}", right=True),
    Column("MISSED BY MOST", lambda row, _: _missed(row), right=True),
    Column("SEED", lambda row, _: _seed(row.worst_seed), right=True),
)


def _missed(row: ExpectedShare) -> str:
    return "-" if row.worst_seed is None else figure_text(row.worst, Unit(row.unit), UNDEFINED)


_COMPARED: tuple[Column[Comparison], ...] = (
    Column("FIGURE", lambda row, _: row.figure, most=48),
    Column("PAIRS", lambda row, _: str(row.pairs), right=True),
    Column("BASELINE", lambda row, _: _cell(row.figure, row.baseline), right=True, weight=7),
    Column("THIS", lambda row, _: _cell(row.figure, row.first), right=True, weight=7),
    Column("DIFFERENCE", lambda row, _: _difference(row), right=True),
    Column("95 %", lambda row, _: _range(row.figure, row.interval), right=True, most=32),
    Column("VERDICT", lambda row, _: row.verdict or ("may be luck" if row.pairs else "-")),
)
