"""`laulima fit` and `laulima whatif`: what the own history says, and what it would have been otherwise.

Both read the journal, also while a server runs on it, and change nothing there. Reading is `live/past.py`'s; of a
recording of decisions `live/past_recording.py`'s.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from live.past import Past, read_past
from live.past_recording import recorded_past
from model.errors import ConfigurationError, LaulimaError
from model.job import SECOND
from model.views import Status
from shell.durations import format_duration, parse_duration
from shell.file_errors import refuse_unwritable, unwritable
from shell.fitting import fit_jobs, fit_lines, scenario_text
from shell.selections import UsageError
from shell.session import Session
from shell.wording import count, stamp

if TYPE_CHECKING:
    from model.configuration import Configuration
    from shell.past_jobs import Retold

NOW = "now"
DAY_NS = 24 * 3600 * SECOND
FIT_NS = 30 * DAY_NS
"""From how much history the future is drawn."""
AHEAD_NS = DAY_NS
"""How far ahead is looked when nobody says it."""
LONGER = "a longer time: --from 30d"


def fit(session: Session, *, file: str | None, since: int, write: str | None, json: bool) -> int:
    """Fit, show, and with `write` make a scenario of it."""
    past = _past(session, time.time_ns() - since)
    fits = fit_jobs(past.jobs)
    span = f"{stamp(min(job.accepted_at for job in past.jobs))} to {stamp(max(job.accepted_at for job in past.jobs))}"
    text = scenario_text(fits, None if file is None else _from_there(Path(file), write), span)
    if write is not None:
        _write(write, text)
    if json:
        session.say_json({"schema": 1, "tasks": fits, "scenario": text})
        return 0
    for line in fit_lines(fits, session.style()):
        session.say(line)
    if write is None:
        session.say("")
        session.say(text.rstrip("\n"))
    else:
        session.note(f"wrote {write}; next: laulima sim {write if file is not None else f'FILE --scenario {write}'}")
    return 0


def _past(session: Session, since_at: int) -> Past:
    past = read_past(session.state() / "journal.sqlite", since_at)
    if not past.jobs:
        raise ConfigurationError(f"the journal in {session.state()} knows no job since {stamp(since_at)}", LONGER)
    if past.left_out:
        session.note(f"only the last {count(len(past.jobs), 'job')} are read: a shorter time is --from 1d")
    return past


def _from_there(pipeline: Path, write: str | None) -> Path:
    """The pipeline's path as a scenario in the file `write` names it."""
    if not pipeline.exists():
        raise ConfigurationError(
            f"there is no file {pipeline}", "the pipeline that the scenario is to name: laulima fit FILE"
        )
    folder = Path.cwd() if write is None else Path(write).absolute().parent
    absolute = pipeline.absolute()
    return absolute.relative_to(folder) if absolute.is_relative_to(folder) else absolute


def _write(file: str, text: str) -> None:
    try:
        with Path(file).open("x", encoding="utf-8") as out:
            out.write(text)
    except FileExistsError:
        raise LaulimaError(f"{file} is there already; nothing was written", "give another name") from None
    except OSError as error:
        raise unwritable(file, error) from error


def whatif(
    session: Session,
    *,
    file: str | None,
    since: str,
    changes: Sequence[str],
    fail: Sequence[str],
    faults: str | None,
    recording: str | None,
    for_ns: int | None,
    shake: str | None,
    resample: str | None,
    seeds: str,
    html: str | None,
    jobs_csv: str | None,
    json: bool,
) -> int:
    """The own past (or what is not finished now) once more, as it is configured and with changes, side by side."""
    if not changes and not fail and faults is None:
        raise UsageError("nothing is changed: --set tasks.warp.limits.in_flight=80, --set hosts.node3=off, or --fail")
    from shell import past_jobs, prepared  # noqa: PLC0415 - SimPy is for rehearsals only
    from shell import whatif as comparing  # noqa: PLC0415
    from shell.config.changes import load_changed  # noqa: PLC0415
    from shell.many_worlds import parse_seeds  # noqa: PLC0415
    from shell.replay import parse_reshape  # noqa: PLC0415
    from sim.job_log import LEAD_NS  # noqa: PLC0415

    _refuse_unwritable(html, jobs_csv)
    path = _pipeline(session, file)
    base, changed = load_changed(path, ()), load_changed(path, tuple(changes))
    for warning in base.loaded.warnings:
        session.note(warning)
    every = parse_seeds(seeds)
    ahead = since == NOW
    back_ns = FIT_NS if ahead else _span(since)
    past, now_at = _past_of(session, recording, back_ns)
    one, other = base.loaded.configuration, changed.loaded.configuration
    orders = changed.orders
    if ahead:
        made = past_jobs.go_on(past, one, other, now_at, for_ns or AHEAD_NS, every[0])
        orders = past_jobs.from_now(orders)
    else:
        first_at = min(job.accepted_at for job in past.jobs)
        begin_at = max(now_at - back_ns, first_at)
        made = _between(past, one, other, begin_at, min(now_at, begin_at + (for_ns or back_ns)))
    side = comparing.changed_side(made, other, orders, tuple(fail), faults)
    left_out = ["only the last jobs were read"] if past.left_out else []
    left_out += prepared.never_begin(side.faults, side.plans, LEAD_NS + made.span_ns)
    compared = comparing.compare(made, comparing.Side(one), side, every, left_out, parse_reshape(shake, resample))
    words = [*(f"--set {change}" for change in changes), *(f"--fail '{line}'" for line in fail)]
    words += [] if faults is None else [f"--faults {faults}"]
    names = str(path), " ".join(words)
    if json:
        session.say_json(compared.answer)
    else:
        for line in comparing.lines_of(compared.answer, names, session.style()):
            session.say(line)
    if jobs_csv is not None:
        from shell.report.past_page import write_csv  # noqa: PLC0415 - only where it is asked for

        write_csv(Path(jobs_csv), compared)
        session.note(f"wrote {jobs_csv}")
    if html is not None:
        from shell.report.past_page import write_page  # noqa: PLC0415 - only where a report is asked for

        again = ["laulima", "whatif", str(path), "--from", since]
        for option, value in (
            ("--recording", recording), ("--for", None if for_ns is None else format_duration(for_ns)),
            ("--shake", shake), ("--resample", resample), ("--seeds", seeds), ("--faults", faults),
            *(("--set", change) for change in changes), *(("--fail", line) for line in fail),
        ):  # fmt: skip
            again += [] if value is None else [option, value]
        write_page(Path(html), compared, names, shlex.join(again))
        session.note(f"wrote {html}")
    return 0


def _refuse_unwritable(html: str | None, jobs_csv: str | None) -> None:
    """Before anything is simulated: a page cannot be drawn, or there is no folder for what is to be written."""
    from shell.report.drawing import require_matplotlib  # noqa: PLC0415 - only for a report

    if html is not None:
        require_matplotlib()
    refuse_unwritable(html, jobs_csv)


def _between(past: Past, one: Configuration, other: Configuration, since_at: int, until_at: int) -> Retold:
    """What was made in that time, to be simulated. Raises `ConfigurationError` when nothing was."""
    from shell.past_jobs import retell  # noqa: PLC0415 - SimPy is for rehearsals only

    made = retell(past, one, other, since_at, until_at)
    if not made.lives:
        raise ConfigurationError("no job was made in that time, only earlier ones had not ended", LONGER)
    return made


def _past_of(session: Session, recording: str | None, back_ns: int) -> tuple[Past, int]:
    """What is known of the time that is asked about, and its end: now, or that of the recording."""
    if recording is None:
        now_at = time.time_ns()
        return _past(session, now_at - back_ns), now_at
    past, end_at = recorded_past(Path(recording))
    past.jobs = [job for job in past.jobs if (row := job.final) is None or row.ended_at >= end_at - back_ns]
    if not past.jobs:
        raise ConfigurationError(f"{recording} tells of no job in that time", LONGER)
    return past, end_at


def _span(text: str) -> int:
    try:
        span_ns = parse_duration(text)
    except ValueError as error:
        raise UsageError(f"--from {text}: {error}; or now, for what is not finished") from error
    if not span_ns:
        raise UsageError(f"--from {text}: nothing was in so short a time; or now, for what is not finished")
    return span_ns


def _pipeline(session: Session, file: str | None) -> Path:
    """The pipeline that is meant: the file, or what the running server runs."""
    if file is None:
        try:
            file = session.ask({}, Status, verb="status").configuration
        except LaulimaError as error:
            raise UsageError("no server runs here that would know the pipeline: laulima whatif FILE") from error
    path = Path(file)
    if not path.exists():
        raise ConfigurationError(f"there is no file {file}", "the pipeline: laulima whatif FILE")
    return path
