"""The report as one HTML page: verdict, tables, pictures, what hurt, assumptions, and how to make it again.

One file that can be mailed: it asks nobody for anything (its own policy forbids it), runs no script, prints, and is
good on light and dark. The same run gives the same bytes. Called by `shell/report/making.py`.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from msgspec import Struct

from shell.config.scenario import LoadedScenario
from shell.expectations import UNDEFINED, figure_text
from shell.many_worlds import PAIRS_TEXT, ManyWorlds
from shell.metric_tables import after_last_text, beginning_texts, hosts_up_text, missed_text
from shell.report.again import again, made_by
from shell.report.assumptions import assumptions
from shell.report.causes import causes
from shell.report.courses import availability, queue, slots, what_ran_where
from shell.report.drawing import TimeAxis
from shell.report.html import document, figure, items, safe, table
from shell.report.spreads import many as many_picture
from shell.report.spreads import outcomes, waits
from shell.simulate import Rehearsal
from shell.wording import count, duration, measured, thousands
from sim.confidence import Interval
from sim.figures import Unit, find, value
from sim.metrics import Metrics
from sim.timeline import Timeline
from sim.waiting import BRIEF_NS, OF_JOBS

FIGURES = (
    "submitted", "ended", "failed", "open", "lost", "missed_polls", "mean_wait", "p50_wait", "p95_wait", "max_wait",
    "p95_response",
    "mean_run", "mean_bounded_slowdown", "makespan", "throughput", "offered_load", "utilization_nominal",
    "utilization_available", "goodput", "lost_work", "queue_mean", "queue_max", "oldest", "attempts", "duplicates",
    "p95_detection", "undetected", "p95_recovery", "unrecovered", "system_availability", "all_up",
    "controller_availability", "controller_running", "fairness",
)  # fmt: skip
TASKS_SHOWN = 40
FAULTS_SHOWN = 12


class Told(Struct):
    """What a page tells of: one run, and perhaps the many worlds of which it is the worst."""

    loaded: LoadedScenario
    answer: Rehearsal
    metrics: Metrics
    timeline: Timeline
    many: ManyWorlds | None = None


def page(told: Told) -> str:
    """The whole file."""
    title = told.loaded.scenario.title or Path(told.answer.scenario or told.answer.configuration).name
    parts = [f"<h1>{safe(title)}</h1>"]
    if told.many is not None:
        parts.append(_many_verdict(told.many))
    parts += [*_verdict(told), _head(told)]
    if told.many is not None:
        parts += _many(told.many)
    parts += [_expected(told), "<h2>Figures</h2>", _figures(told.metrics)]
    parts += [_schedulers(told.metrics), _tasks(told.metrics)]
    parts += ["<h2>Pictures</h2>", *_pictures(told), "<h2>What hurt</h2>", _causes(told)]
    parts += ["<h2>Assumptions</h2>", items(_assumed(told)), *_again(told)]
    return document(f"{title}: rehearsal", parts)


def _verdict(told: Told) -> list[str]:
    answer = told.answer
    good = sum(line.outcomes.get("exit 0", 0) for line in answer.tasks)
    failed = answer.jobs - good
    ends = f"{thousands(good)} ended well, {thousands(failed)} otherwise, {thousands(answer.open)} open"
    sentence = (
        f"{duration(answer.for_ns)} simulated, seed {answer.seed}: {count(answer.jobs, 'job')}, {ends}; "
        f"{count(answer.faults, 'fault')}."
    )
    unmet = sum(not line.holds for line in answer.expected)
    if answer.broken_count:
        sentence += f" {count(answer.broken_count, 'promise')} of laulima broken: a bug, please report it."
    elif answer.expected:
        told_of = count(len(answer.expected), "expectation")
        sentence += f" {unmet} of {told_of} not met." if unmet else " As expected."
    sentence += _worst_moment(told)
    mark, kind = ("✔", "good") if answer.good else ("✘", "bad")
    lines = [f'<p class="verdict {kind}">{mark} {safe(sentence)}</p>']
    if told.many is not None:
        worlds = len(told.many.worlds)
        lines.append(f"<p>The course shown here is that of seed {answer.seed}, the worst of {worlds}.</p>")
    return lines


def _worst_moment(told: Told) -> str:
    """When most jobs waited, and until when the queue was back to a tenth of it."""
    timeline = told.timeline
    columns = [timeline.series.means(reason.value, timeline.end) for reason in OF_JOBS]
    waiting = [sum(parts) for parts in zip(*columns, strict=True)]
    most = timeline.most_waiting
    if not most.value:
        return f" No job ever waited for {duration(BRIEF_NS)}."
    width_ns = timeline.series.width_ns
    drained = next((at for at in range(most.at // width_ns, len(waiting)) if waiting[at] <= most.value / 10), None)
    moment = _clock(told, most.at)
    until = "not drained at the end"
    if drained is not None:
        until = f"drained {_clock(told, max(most.at, drained * width_ns))}"
    return f" Worst moment {moment}: {count(most.value, 'job')} waited ({until})."


def _clock(told: Told, at_ns: int) -> str:
    moment = told.loaded.start + timedelta(seconds=at_ns // 10**9)
    return moment.strftime("%H:%M" if told.timeline.end <= 36 * 3600 * 10**9 else "%m-%d %H:%M")


def _head(told: Told) -> str:
    answer, metrics, scenario = told.answer, told.metrics, told.loaded.scenario
    rows = [
        ("pipeline", f"{Path(answer.configuration).name}   {told.loaded.configuration.digest}"),
        ("scenario", f"{Path(answer.scenario).name}   {scenario.digest}" if answer.scenario else "none: a usual world"),
        ("seed", str(answer.seed)),
        ("simulated", f"{duration(answer.for_ns)} from {told.loaded.start.isoformat()}"),
        ("measured", f"{duration(metrics.end - metrics.begin)}"
                     + (f" after {duration(metrics.warm_up)} to warm up" if metrics.warm_up
                        else ", from the first job on: nothing is cut off (--warm-up would)")
                     + ("; the course, jobs and hosts are shown of the whole run" if metrics.warm_up else "")
                     + after_last_text(metrics)
                     + "".join(f"; {text}" for text in beginning_texts(metrics, told.timeline))),
        ("faults", _faults(told)),
        ("event log", f"{answer.hash}   {count(answer.lines, 'line')}, {count(answer.checked, 'event')} checked"),
        ("made by", made_by()),
    ]  # fmt: skip
    return "<dl>" + "".join(f"<dt>{name}</dt><dd>{safe(text)}</dd>" for name, text in rows) + "</dl>"


def _faults(told: Told) -> str:
    faults = told.timeline.faults
    named = [f"{' '.join(fault.nodes)} {fault.kind} {_clock(told, fault.start)}" for fault in faults[:FAULTS_SHOWN]]
    more = f", and {thousands(len(faults) - FAULTS_SHOWN)} more" if len(faults) > FAULTS_SHOWN else ""
    return ", ".join(named) + more if named else "none"


def _expected(told: Told) -> str:
    if not told.answer.expected:
        return ""
    rows = [
        (safe(line.expected), safe(line.found), "yes" if line.holds else '<span class="no">NO</span>')
        for line in told.answer.expected
    ]
    return "<h2>Expected</h2>" + table(("expected", "found", "holds"), rows)


def _figures(metrics: Metrics) -> str:
    rows = []
    for name in FIGURES:
        found = value(metrics, name)
        rows.append((name, figure_text(found, find(name).unit)))
    half = -(-len(rows) // 2)
    both = [(*left, *right) for left, right in zip(rows[:half], [*rows[half:], ("", "")], strict=False)]
    ends = ", ".join(f"{name} {thousands(number)}" for name, number in metrics.timeouts.items())
    note = (
        f"<p>Attempts that did not end by themselves: {safe(ends or 'none')}. Polls missed, in the whole run: "
        f"{safe(missed_text(metrics.total))}. Time with at least so many hosts up: {safe(hosts_up_text(metrics))}. "
        f"Bounded slowdown with tau {measured(metrics.tau)}; a dash is a figure of which no job tells.</p>"
    )
    return table(("figure", "value", "figure", "value"), both, (2,)) + note + _open_jobs(metrics)


def _open_jobs(metrics: Metrics) -> str:
    """They are listed, not dropped: else a worse scheduler would look better."""
    number = metrics.total.open
    if not number:
        return ""
    names = [
        f"{f'{job.task} {job.item}' if job.item else job.task} {job.job} ({job.state}, {duration(job.age)} old)"
        for job in metrics.open_jobs
    ]
    more = f", and {thousands(number - len(names))} younger" if number > len(names) else ""
    return f"<p>Open at the end: {thousands(number)}: {safe(', '.join(names))}{more}.</p>"


def _schedulers(metrics: Metrics) -> str:
    """Where several use one controller."""
    rows = [
        (safe(row.scheduler), str(row.weight), thousands(row.total.ended), thousands(row.total.open),
         *(figure_text(found, Unit.TIME) for found in (row.total.wait.mean, row.total.wait.p95)),
         *(figure_text(found, Unit.SHARE) for found in (row.share_due, row.share_got)))
        for row in metrics.schedulers
    ]  # fmt: skip
    if not rows:
        return ""
    heads = ("scheduler", "share", "ended", "open", "wait mean", "p95", "due", "got")
    return table(heads, rows) + (
        "<p>Due and got: of the slots that were given while several asked, what each had to get by its share, and what "
        f"it got. Jain's index of got by due: {figure_text(metrics.share_fairness, Unit.NUMBER)}; 1 is fair.</p>"
    )


def _tasks(metrics: Metrics) -> str:
    shown = sorted(metrics.tasks, key=lambda task: -(task.asked or 0))[:TASKS_SHOWN]
    rows = []
    for task in shown:
        times = [
            figure_text(found, Unit.TIME) for found in (task.wait.mean, task.wait.p95, task.wait.max, task.run.mean)
        ]
        ends = ", ".join(f"{safe(name)} x {thousands(number)}" for name, number in task.outcomes.items()) or "-"
        rows.append((safe(task.task), thousands(task.ended), thousands(task.open), *times, ends))
    heads = ("task", "ended", "open", "wait mean", "p95", "max", "run mean", "outcomes")
    left = len(metrics.tasks) - len(shown)
    if not rows:
        return ""
    return table(heads, rows, (7,)) + (f"<p>and {count(left, 'more task')}</p>" if left else "")


def _pictures(told: Told) -> list[str]:
    timeline = told.timeline
    time = TimeAxis(told.loaded.start, timeline.end)
    limits = {task.name: task.periods.pending_ns for task in told.loaded.configuration.tasks}
    drawn = [
        what_ran_where(timeline, time, told.loaded.groups), slots(timeline, time), queue(timeline, time),
        waits(timeline.waits, limits, timeline.tasks), outcomes(told.metrics.tasks),
        availability(timeline, time, told.loaded.groups),
    ]  # fmt: skip
    return [figure(svg, caption) for svg, caption in drawn if svg]


def _causes(told: Told) -> str:
    tasks = {
        sharer.task_of(task.name): (sharer.configuration.path, task.name)
        for sharer in told.loaded.scenario.schedulers for task in sharer.configuration.tasks
    }  # fmt: skip
    found = causes(told.timeline, told.metrics, told.answer.configuration, tasks)
    if not found:
        return "<p>Nothing: no job waited for long, none failed, no work was lost.</p>"
    rows = [(safe(one.what), safe(one.where)) for one in found]
    return table(("what", "the line that could change it"), rows, (1,))


def _assumed(told: Told) -> list[str]:
    open_loop = told.answer.workload is not None
    return assumptions(told.loaded, open_loop=open_loop)


def _again(told: Told) -> list[str]:
    command = told.answer.command if told.many is None else told.many.again
    return again(command, "The same command with the same code and files gives the same event log, to the byte.")


# many worlds


def _many_verdict(many: ManyWorlds) -> str:
    failing = len(many.failing)
    share = f"{100 * many.failing_interval.low:.3g} to {100 * many.failing_interval.high:.3g} %"
    verdict = f"{failing} of {count(len(many.worlds), 'world')} failed (95 %: {share} of all seeds would)."
    mark, kind = ("✘", "bad") if failing else ("✔", "good")
    return f'<p class="verdict {kind}">{mark} {safe(verdict)}</p>'


def _many(many: ManyWorlds) -> list[str]:
    parts = ["<h2>Many worlds</h2>"]
    name = Path(many.scenario or many.configuration).name
    this = f"{name} {' '.join(f'--set {change}' for change in many.changes)}".strip()
    svg, caption = many_picture(many.worlds, many.baseline, many.comparisons, (this, many.against))
    if svg:
        parts.append(figure(svg, caption))
    if many.expected:
        rows = [
            (safe(line.expected), f"{line.met} of {line.count}",
             "-" if line.worst_seed is None else figure_text(line.worst, Unit(line.unit), UNDEFINED),
             "-" if line.worst_seed is None else str(line.worst_seed))
            for line in many.expected
        ]  # fmt: skip
        parts.append(table(("expected", "met in", "missed by most", "seed"), rows))
    summaries = [
        (safe(line.figure), str(line.summary.count), *(figure_text(found, find(line.figure).unit) for found in (
            line.summary.median, line.summary.low, line.summary.high, line.summary.mean)),
         _interval(line.figure, line.summary.interval), _interval(line.figure, line.summary.median_interval),
         "-" if line.worst is None else str(line.worst))
        for line in many.figures if line.summary.count
    ]  # fmt: skip
    heads = (
        "figure",
        "seeds",
        "median",
        "least",
        "most",
        "mean",
        "95 % of the mean",
        "95 % of the median",
        "worst seed",
    )
    parts.append(table(heads, summaries))
    if many.comparisons:
        parts += [f"<h2>{safe(this)} against {safe(many.against)}</h2>", _compared(many)]
    return parts


def _compared(many: ManyWorlds) -> str:
    rows = []
    for line in many.comparisons:
        if not line.seeds:
            continue
        unit = find(line.figure).unit
        sign = "+" if line.difference and line.difference > 0 else ""
        unsure = {"": "may be luck" if line.pairs else "-", "same": "no difference"}
        verdict = unsure.get(line.verdict, f"<strong>{line.verdict}</strong>")
        cells = [figure_text(found, unit) for found in (line.baseline, line.first)]
        difference = "-" if line.difference is None else sign + _signed(line.figure, line.difference)
        interval = _interval(line.figure, line.interval)
        rows.append((safe(line.figure), str(line.pairs), *cells, difference, interval, verdict))
    return table(("figure", "pairs", "baseline", "this", "difference", "95 %", "verdict"), rows, (6,)) + (
        "<p>The same seeds for both, so the same weather: differences are taken seed by seed. A verdict stands where "
        f"the difference is larger than the noise, at 95 % for all figures together; {PAIRS_TEXT}.</p>"
    )


def _signed(figure: str, found: float) -> str:
    unit = find(figure).unit
    return f"-{figure_text(-found, unit)}" if found < 0 else figure_text(found, unit)


def _interval(figure: str, interval: Interval | None) -> str:
    return "-" if interval is None else f"{_signed(figure, interval.low)} to {_signed(figure, interval.high)}"
