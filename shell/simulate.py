"""`laulima sim`: rehearse a pipeline on the virtual clock, and say what came of it.

The command line calls `run`. Loading is `shell.prepared`'s, simulating `sim`'s; here is what a person reads. Many
worlds at once: `shell.many_worlds`.
"""

from __future__ import annotations

import shlex
import sys
import time
from array import array
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import IO

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from model.configuration import Order
from shell.checkpointing import checkpoints_of, tell_found
from shell.config.scenario import START, LoadedScenario
from shell.course_lines import course_lines, ends_by_task
from shell.expectations import ExpectedLine, expectation_lines, expected_line
from shell.file_errors import refuse_unwritable, unwritable
from shell.metric_tables import metric_lines
from shell.prepared import Asked, Output, Prepared, prepare, scripting_of
from shell.replay import Replay, WorkloadLine, workload_line, workload_text
from shell.report.drawing import require_matplotlib
from shell.tables import Column, Style, table
from shell.wording import count, duration, number_text, share_text, sparkline, thousands
from sim.checkpoints import Checkpoints
from sim.expectations import judge_expectations
from sim.figures import DONE
from sim.jobs_csv import JobsCsv
from sim.metrics import Metrics, SchedulerMetrics
from sim.missed_polls import with_missed
from sim.shared_measuring import Measures, measuring_of
from sim.simulation import SimulationResult, simulate
from sim.tally import HostTally, TaskTally, percentile
from sim.timeline import Timeline
from sim.views import for_all
from sim.workload import Feed

WIDE = Style(columns=0)
"""The outcomes of a task are never cut: they are what was asked for."""
SCHEMA = 1
HOSTS_SHOWN = 20
"""Hosts in the table: those with the most time without power, then the busiest."""
VIOLATIONS_SHOWN = 10
ASSUMED = "jobs of which no scenario says anything run 5s and exit 0; items of their sources come one a minute"


class TaskLine(Struct, frozen=True):
    """One row of the table of tasks. Times in ns; None: there is nothing to say."""

    task: str
    made: int
    open: int
    outcomes: dict[str, int]
    retries: int
    wait_p50_ns: int | None
    wait_p95_ns: int | None
    wait_max_ns: int | None
    run_p50_ns: int | None


class HostLine(Struct, frozen=True):
    """One row of the table of hosts."""

    host: str
    slots: int
    available: float
    """share of the time with power"""
    busy: float
    """share of the slots' time in use"""
    done: int
    failed: int


class SchedulerLine(Struct, frozen=True):
    """One row of the table of schedulers, where several use one controller. Times in ns; None: undefined."""

    scheduler: str
    weight: int
    jobs: int
    open: int
    failed: int
    wait_p50_ns: float | None
    wait_p95_ns: float | None
    per_hour: float | None
    share_due: float | None
    """of the slots that were given while several asked"""
    share_got: float | None


class NotifierLine(Struct, frozen=True):
    """What one notifier would have been told."""

    notifier: str
    messages: int
    about: dict[str, int]


class Rehearsal(Struct, frozen=True):
    """The whole answer, as `--json` gives it."""

    configuration: str
    scenario: str
    seed: int
    for_ns: int
    hash: str
    lines: int
    good: bool
    jobs: int
    open: int
    broken: tuple[str, ...]
    broken_count: int
    checked: int
    """events that the oracle looked at"""
    excused: int
    unmet: tuple[str, ...]
    expected: tuple[ExpectedLine, ...]
    """all that the scenario expects"""
    script: str
    """how the task script ended before the time was over, or that it failed; empty: neither"""
    faults: int
    tasks: tuple[TaskLine, ...]
    hosts: tuple[HostLine, ...]
    command: str
    alarms: dict[str, int] = {}
    """how many have begun, by kind"""
    notifiers: tuple[NotifierLine, ...] = ()
    workload: WorkloadLine | None = None
    metrics: Metrics | None = None
    schedulers: tuple[SchedulerLine, ...] = ()
    share_fairness: float | None = None
    """Jain's index of the share that each got by what it had to get; None: nobody had to share"""
    schema: int = SCHEMA


class Measured(Struct, frozen=True):
    """What is measured, and written: metrics, `jobs.csv`."""

    metrics: bool = False
    jobs_csv: Path | None = None

    def words(self) -> list[str]:
        """The options that say the same, less what is written."""
        return ["--metrics"] if self.metrics else []


UNMEASURED = Measured()
NOTHING = Output()


def run(
    file: Path | None,
    *,
    for_ns: int | None = None,
    faults: str | None = None,
    fail: tuple[str, ...] = (),
    seed: int | None = None,
    scenario: Path | None = None,
    changes: tuple[str, ...] = (),
    log: Path | None = None,
    json: bool = False,
    style: Style = WIDE,
    replay: Replay | None = None,
    measured: Measured = UNMEASURED,
    output: Output = NOTHING,
    shrink: Path | None = None,
    checkpoint: Path | None = None,
    warm_up_ns: int = 0,
) -> int:
    """Simulate and print. Returns 0 when every promise held and every expectation was met, else 1. What decides the
    world is said at `Asked`.

    Raises `ConfigurationError` when a file or a fault is wrong, `LaulimaError` when a file cannot be written.
    """
    prepared = prepare(Asked(file, for_ns, fail, seed, scenario, changes, replay, faults, warm_up_ns))
    for warning in prepared.loaded.warnings:
        sys.stderr.write(warning + "\n")
    if output.html is not None:
        require_matplotlib()
    refuse_unwritable(output.html, shrink, folder=output.csv)
    began = time.perf_counter()
    course = rehearse(prepared, log, measured, quiet=json, drawn=output.wanted, checkpoint=checkpoint)
    answer, took_s = course.answer, time.perf_counter() - began
    if json:
        sys.stdout.write(msgspec.json.encode(answer).decode() + "\n")
    else:
        how = None if file is not None or replay is None else replay.order
        sys.stdout.write("\n".join(report(answer, took_s, style, how, course)) + "\n")
    if output.wanted and course.timeline is not None and course.metrics is not None:
        from shell.report.making import write_report  # noqa: PLC0415 - only where a report is asked for

        write_report(output, prepared.loaded, answer, course.metrics, course.timeline)
    if shrink is not None:
        from shell.small_worlds import shrink_to, tell_nothing_fails  # noqa: PLC0415 - only where it is asked for

        if answer.good:
            tell_nothing_fails(shrink)
        else:
            shrink_to(shrink, prepared)
    return 0 if answer.good else 1


class Course(Struct, frozen=True):
    """One simulation: the answer, and what was measured and seen beside it."""

    answer: Rehearsal
    metrics: Metrics | None = None
    timeline: Timeline | None = None
    start: datetime = START
    """on its wall"""
    resumed_ns: int = 0
    """so much of it was simulated before, and kept in a checkpoint"""


def rehearse(
    prepared: Prepared,
    log: Path | None,
    measured: Measured,
    *,
    quiet: bool,
    drawn: bool = False,
    checkpoint: Path | None = None,
) -> Course:
    """Simulate it. Metrics are in the answer where they were asked for, or a job log is replayed; `drawn`: there are
    pictures to be made of it; `quiet`: nobody reads it on a terminal; `checkpoint`: it is kept there, and goes on from
    there."""
    loaded, replay, jobs = prepared.loaded, prepared.asked.replay, prepared.feed()
    shown = measured.metrics or measured.jobs_csv is not None or replay is not None
    wanted = shown or drawn or bool(loaded.scenario.wanted or loaded.scenario.schedulers)
    timeline = Timeline() if drawn or not quiet else None
    words = [*prepared.words(), *measured.words()]
    kept: Checkpoints | None = None
    if checkpoint is not None:
        readers = [f"measured: {wanted}", f"drawn: {timeline is not None}"]
        kept = checkpoints_of(prepared, checkpoint, log, [*measured.words(), *readers])
    extras = _Extras(log, jobs, measured if wanted else None, prepared.asked.warm_up_ns, timeline, kept)
    result, metrics = _simulate(loaded, extras, quiet=quiet)
    answer = rehearsal(loaded, result, shlex.join(words), metrics)
    if prepared.found is not None and jobs is not None and replay is not None:
        answer = replace(answer, workload=workload_line(prepared.found, jobs, replay))
    resumed_ns = 0 if kept is None or kept.head is None else kept.head.t
    return Course(replace(answer, metrics=metrics if shown else None), metrics, timeline, loaded.start, resumed_ns)


class _Extras(Struct, frozen=True):
    """What a simulation has beside its scenario: the event log's file, a workload, what is to be measured."""

    log: Path | None
    jobs: Feed | None
    measured: Measured | None
    warm_up_ns: int
    timeline: Timeline | None = None
    checkpoints: Checkpoints | None = None


def _simulate(loaded: LoadedScenario, extras: _Extras, *, quiet: bool) -> tuple[SimulationResult, Metrics | None]:
    scenario = loaded.scenario
    scripting = scripting_of(loaded.configuration, scenario, quiet=quiet)
    writing, measured = extras.log, extras.measured
    kept = extras.checkpoints
    mode = "wb"
    if kept is not None and kept.find():
        tell_found(kept)
        mode = "r+b"
    try:
        with ExitStack() as files:
            file: IO[bytes] | None = None if writing is None else files.enter_context(writing.open(mode))
            measuring: Measures | None = None
            if measured is not None:
                writer: JobsCsv | None = None
                if measured.jobs_csv is not None:
                    writing = measured.jobs_csv
                    rows = files.enter_context(writing.open("w", newline="", encoding="utf-8"))
                    writer = JobsCsv(rows, Path(loaded.configuration.path).name)
                    if extras.jobs is not None:
                        extras.jobs.requested = writer.requested
                measuring = measuring_of(
                    loaded.configuration, scenario, warm_up_ns=extras.warm_up_ns, writer=writer, feed=extras.jobs
                )
            timeline = None if extras.timeline is None else for_all(scenario, extras.timeline)
            result = simulate(
                loaded.configuration,
                scenario,
                file=file,
                scripting=scripting,
                feed=extras.jobs,
                readers=tuple(reader for reader in (measuring, timeline) if reader is not None),
                checkpoints=kept,
            )
    except OSError as error:
        if writing is None:
            raise
        raise unwritable(writing, error) from error
    if kept is not None:
        kept.remove()
    return result, None if measuring is None else with_missed(measuring.metrics(), result.missed)


def rehearsal(
    loaded: LoadedScenario, result: SimulationResult, command: str, metrics: Metrics | None = None
) -> Rehearsal:
    """The answer as data, without its metrics, which are needed where figures are expected."""
    tally, for_ns = result.tally, result.ended_ns
    expected = tuple(expected_line(one) for one in judge_expectations(result.scenario, tally, metrics))
    order = loaded.task_names
    names = [*order, *sorted(set(tally.tasks) - set(order))]
    return Rehearsal(
        configuration=loaded.configuration.path,
        scenario="" if loaded.path is None else str(loaded.path),
        seed=result.scenario.seed,
        for_ns=for_ns,
        hash=result.hash,
        lines=result.lines,
        good=result.good and all(line.holds for line in expected),
        jobs=result.jobs,
        open=result.open,
        broken=tuple(str(violation) for violation in result.violations[:VIOLATIONS_SHOWN]),
        broken_count=result.violation_count,
        checked=result.checked,
        excused=result.excused,
        unmet=tuple(f"{line.expected} was expected, it is {line.found}" for line in expected if not line.holds),
        expected=expected,
        script=_script_end(result),
        faults=tally.faults,
        tasks=tuple(_task_line(name, tally.tasks.get(name, TaskTally())) for name in names),
        hosts=tuple(_host_line(name, host, for_ns) for name, host in tally.hosts.items()),
        command=command,
        alarms=dict(sorted(tally.alarms.items())),
        notifiers=tuple(
            NotifierLine(name, told.messages, dict(told.about.most_common())) for name, told in tally.told.items()
        ),
        schedulers=() if metrics is None else tuple(map(_scheduler_line, metrics.schedulers)),
        share_fairness=None if metrics is None else metrics.share_fairness,
    )


def _script_end(result: SimulationResult) -> str:
    if result.script_failed:
        return "a script file failed: see its error above"
    return (
        "" if result.script_status is None else f"the script ended the simulation, with status {result.script_status}"
    )


def _task_line(name: str, task: TaskTally) -> TaskLine:
    waits: array[int] = task.waits
    outcomes = dict(sorted(task.outcomes.items(), key=lambda pair: (-pair[1], pair[0])))
    return TaskLine(
        name,
        task.made,
        task.open,
        outcomes,
        task.retries,
        percentile(waits, 0.5),
        percentile(waits, 0.95),
        max(waits, default=None),
        percentile(task.runs, 0.5),
    )


def _scheduler_line(row: SchedulerMetrics) -> SchedulerLine:
    total = row.total
    return SchedulerLine(
        row.scheduler,
        row.weight,
        total.submitted,
        total.open,
        total.ended - total.outcomes.get(DONE, 0),
        total.wait.p50,
        total.wait.p95,
        None if row.throughput is None else row.throughput * 3600,
        row.share_due,
        row.share_got,
    )


def _host_line(name: str, host: HostTally, for_ns: int) -> HostLine:
    return HostLine(
        name,
        host.slots,
        (for_ns - host.off_ns) / for_ns,
        host.busy_ns / (for_ns * host.slots) if host.slots else 0.0,
        host.done,
        host.failed,
    )


def report(
    answer: Rehearsal, took_s: float, style: Style, order: Order | None = None, course: Course | None = None
) -> list[str]:
    """The answer as lines of text: the verdict, the tasks, its course, the hosts, and how to see it again. `order`: of
    a replay."""
    timeline = None if course is None else course.timeline
    lines = [*_verdict(answer, took_s, 0 if course is None else course.resumed_ns), ""]
    if answer.expected:
        lines += [*expectation_lines(answer.expected, style), ""]
    if answer.workload is not None:
        lines += [*workload_text(answer.workload, order), ""]
    if answer.schedulers:
        lines += [*_scheduler_lines(answer, style), ""]
    lines += _task_table(answer, {} if timeline is None else ends_by_task(timeline), style)
    lines.append("")
    if course is not None and timeline is not None and (bars := course_lines(timeline, course.start, style)):
        lines += [*bars, ""]
    shown = sorted(answer.hosts, key=lambda host: (host.available, -host.busy))[:HOSTS_SHOWN]
    lines += table(_HOST_COLUMNS, sorted(shown, key=answer.hosts.index), 0, style)
    if len(answer.hosts) > len(shown):
        lines.append(f"and {count(len(answer.hosts) - len(shown), 'host')} more (--json has all)")
    if answer.alarms or answer.notifiers:
        lines += ["", *_alarm_lines(answer, style)]
    if answer.metrics is not None:
        lines += ["", *metric_lines(answer.metrics, style, timeline)]
    lines += ["", f"event log  {answer.hash}  {count(answer.lines, 'line')}"]
    if not answer.scenario and (answer.workload is None or answer.workload.file != answer.configuration):
        lines.append(f"assumed    {ASSUMED}")
    lines.append(f"again      {answer.command}")
    return lines


def _verdict(answer: Rehearsal, took_s: float, resumed_ns: int = 0) -> list[str]:
    good = sum(line.outcomes.get("exit 0", 0) for line in answer.tasks)
    rate = (
        f", {thousands(round(answer.jobs / took_s))} jobs/s" if took_s > 0.0 and answer.jobs and not resumed_ns else ""
    )
    last = f", the last {duration(answer.for_ns - resumed_ns)} of it" if resumed_ns else ""
    span = f"{duration(answer.for_ns)} simulated{last} in {took_s:.1f} s, seed {answer.seed}"
    ends = f"{thousands(good)} ended well, {thousands(answer.jobs - good)} otherwise, {thousands(answer.open)} are open"
    lines = [f"{span}: {count(answer.jobs, 'job')}{rate}", f"{ends}; {count(answer.faults, 'fault')}"]
    if answer.broken_count:
        lines.append(f"BROKEN PROMISES: {answer.broken_count} (a bug of laulima: please report it with the last line)")
        lines += [f"  {violation}" for violation in answer.broken]
    else:
        lines.append(f"every promise held ({count(answer.checked, 'event')} checked)")
    if answer.excused:
        lines.append(f"{count(answer.excused, 'overlap')} of attempts on a host that stood still past its lease")
    if answer.script:
        lines.append(answer.script)
    lines += [f"NOT AS EXPECTED: {unmet}" for unmet in answer.unmet]
    return lines


def _alarm_lines(answer: Rehearsal, style: Style) -> list[str]:
    """Which alarms there would have been, and who would have been told of what."""
    lines = [f"alarms     {_counts(answer.alarms)}"]
    return lines + (["", *table(_NOTIFIER_COLUMNS, answer.notifiers, 0, style)] if answer.notifiers else [])


def _scheduler_lines(answer: Rehearsal, style: Style) -> list[str]:
    """Who uses the controller, and how the slots went to them while several asked."""
    lines = table(_SCHEDULER_COLUMNS, answer.schedulers, 0, style)
    if answer.share_fairness is not None:
        lines.append(f"fairness   {answer.share_fairness:.4f} (Jain's index of GOT / DUE; 1: as their shares say)")
    return lines


def _share(value: float | None) -> str:
    return "-" if value is None else share_text(value, ".1f")


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} x {thousands(number)}" for name, number in counts.items()) or "-"


def _outcomes(line: TaskLine) -> str:
    return _counts(line.outcomes)


def _time(value: int | None) -> str:
    return "-" if value is None else duration(value)


def _per_hour(value: float | None) -> str:
    return "-" if value is None else number_text(value)


def _wait(value: float | None) -> str:
    return _time(None if value is None else round(value))


def _task_table(answer: Rehearsal, ends: Mapping[str, Sequence[int]], style: Style) -> list[str]:
    """`ends`: of each task's processes, over time; shown where they take no room from the outcomes."""
    if not ends:
        return table(_TASK_COLUMNS, answer.tasks, 0, style)
    unicode = style.ellipsis == "…"
    bars: Column[TaskLine] = Column(
        "ENDS", lambda line, _: sparkline(ends.get(line.task, ()), unicode=unicode), weight=2
    )
    lines = table((*_TASK_COLUMNS[:-1], bars, _TASK_COLUMNS[-1]), answer.tasks, 0, style)
    return lines if not any(line.endswith(style.ellipsis) for line in lines) else _task_table(answer, {}, style)


_TASK_COLUMNS: tuple[Column[TaskLine], ...] = (
    Column("TASK", lambda line, _: line.task),
    Column("JOBS", lambda line, _: thousands(line.made), right=True),
    Column("OPEN", lambda line, _: thousands(line.open), right=True, weight=7),
    Column("RETRIES", lambda line, _: thousands(line.retries), right=True, weight=4),
    Column("WAIT p50", lambda line, _: _time(line.wait_p50_ns), right=True, weight=5),
    Column("p95", lambda line, _: _time(line.wait_p95_ns), right=True, weight=6),
    Column("RUN p50", lambda line, _: _time(line.run_p50_ns), right=True, weight=3),
    Column("OUTCOMES", lambda line, _: _outcomes(line)),
)

_HOST_COLUMNS: tuple[Column[HostLine], ...] = (
    Column("HOST", lambda line, _: line.host),
    Column("SLOTS", lambda line, _: str(line.slots), right=True),
    Column("AVAILABLE", lambda line, _: share_text(line.available, ".1f"), right=True),
    Column("BUSY", lambda line, _: share_text(line.busy, ".1f"), right=True),
    Column("DONE", lambda line, _: thousands(line.done), right=True),
    Column("FAILED", lambda line, _: thousands(line.failed), right=True),
)
_SCHEDULER_COLUMNS: tuple[Column[SchedulerLine], ...] = (
    Column("SCHEDULER", lambda line, _: line.scheduler),
    Column("SHARE", lambda line, _: str(line.weight), right=True),
    Column("JOBS", lambda line, _: thousands(line.jobs), right=True),
    Column("OPEN", lambda line, _: thousands(line.open), right=True, weight=7),
    Column("FAILED", lambda line, _: thousands(line.failed), right=True),
    Column("AN HOUR", lambda line, _: _per_hour(line.per_hour), right=True, weight=4),
    Column("WAIT p50", lambda line, _: _wait(line.wait_p50_ns), right=True, weight=5),
    Column("p95", lambda line, _: _wait(line.wait_p95_ns), right=True, weight=6),
    Column("DUE", lambda line, _: _share(line.share_due), right=True),
    Column("GOT", lambda line, _: _share(line.share_got), right=True),
)
_NOTIFIER_COLUMNS: tuple[Column[NotifierLine], ...] = (
    Column("NOTIFIER", lambda line, _: line.notifier),
    Column("MESSAGES", lambda line, _: thousands(line.messages), right=True),
    Column("ABOUT", lambda line, _: _counts(line.about)),
)
