"""`laulima fit` and `laulima whatif`: what the own history says, and what it would have been otherwise.

Both read the journal, also while a server runs on it, and change nothing there. Reading is `live/past.py`'s.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from live.past import Past, read_past
from model.errors import ConfigurationError, LaulimaError
from model.job import SECOND
from model.views import Status
from shell.durations import parse_duration
from shell.fitting import fit_jobs, fit_lines, scenario_text
from shell.selections import UsageError
from shell.session import Session
from shell.wording import count, stamp

NOW = "now"
DAY_NS = 24 * 3600 * SECOND
FIT_NS = 30 * DAY_NS
"""From how much history the future is drawn."""
AHEAD_NS = DAY_NS
"""How far ahead is looked when nobody says it."""


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
        raise ConfigurationError(
            f"the journal in {session.state()} knows no job since {stamp(since_at)}", "a longer time: --from 30d"
        )
    if past.left_out:
        session.note(f"only the last {count(len(past.jobs), 'job')} are read: a shorter time is --from 1d")
    return past


def _from_there(pipeline: Path, write: str | None) -> Path:
    """The pipeline's path as a scenario in the file `write` names it."""
    if not pipeline.exists():
        raise ConfigurationError(f"there is no file {pipeline}")
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
        raise LaulimaError(f"{file} cannot be written: {error.strerror}") from error


def whatif(
    session: Session,
    *,
    file: str | None,
    since: str,
    changes: Sequence[str],
    fail: Sequence[str],
    for_ns: int | None,
    shake: str | None,
    resample: str | None,
    seeds: str,
    json: bool,
) -> int:
    """The own past (or what is not finished now) once more, as it is configured and with changes, side by side."""
    if not changes and not fail:
        raise UsageError("nothing is changed: --set tasks.warp.limits.in_flight=80, --set hosts.node3=off, or --fail")
    from shell import past_jobs  # noqa: PLC0415 - SimPy is for rehearsals only
    from shell import whatif as comparing  # noqa: PLC0415
    from shell.config.changes import load_changed  # noqa: PLC0415
    from shell.config.scenario import LoadedScenario, with_faults  # noqa: PLC0415
    from shell.many_worlds import parse_seeds  # noqa: PLC0415
    from shell.replay import parse_reshape  # noqa: PLC0415
    from sim.job_log import LEAD_NS  # noqa: PLC0415
    from sim.scenario import Scenario  # noqa: PLC0415

    path = _pipeline(session, file)
    base, changed = load_changed(path, ()), load_changed(path, tuple(changes))
    for warning in base.loaded.warnings:
        session.note(warning)
    every = parse_seeds(seeds)
    now_at = time.time_ns()
    ahead = since == NOW
    back_ns = FIT_NS if ahead else _span(since)
    past = _past(session, now_at - back_ns)
    one, other = base.loaded.configuration, changed.loaded.configuration
    if ahead:
        made = past_jobs.go_on(past, one, other, now_at, for_ns or AHEAD_NS, every[0])
    else:
        first_at = min(job.accepted_at for job in past.jobs)
        begin_at = max(now_at - back_ns, first_at)
        made = past_jobs.retell(past, one, other, begin_at, min(now_at, begin_at + (for_ns or back_ns)))
    start = datetime.fromtimestamp((made.begin_at - LEAD_NS) / 1e9).astimezone()
    faulty = with_faults(LoadedScenario(other, Scenario(for_ns=made.span_ns), start), tuple(fail)).scenario
    sides = comparing.Side(one), comparing.Side(other, changed.orders, faulty.faults, faulty.plans)
    left_out = ["only the last jobs were read"] if past.left_out else []
    answer = comparing.compare(made, *sides, every, left_out, parse_reshape(shake, resample))
    if json:
        session.say_json(answer)
        return 0
    words = [*(f"--set {change}" for change in changes), *(f"--fail '{line}'" for line in fail)]
    for line in comparing.lines_of(answer, (str(path), " ".join(words)), session.style()):
        session.say(line)
    return 0


def _span(text: str) -> int:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(f"--from {text}: {error}; or now, for what is not finished") from error


def _pipeline(session: Session, file: str | None) -> Path:
    """The pipeline that is meant: the file, or what the running server runs."""
    if file is None:
        try:
            file = session.ask({}, Status, verb="status").configuration
        except LaulimaError as error:
            raise UsageError("no server runs here that would know the pipeline: laulima whatif FILE") from error
    path = Path(file)
    if not path.exists():
        raise ConfigurationError(f"there is no file {file}")
    return path
