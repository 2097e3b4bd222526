"""`laulima sim`: what was asked is looked at as a whole, then one world or many are run.

What a world means is `sim/`; how one is prepared and shown is `shell/simulate.py` (one) and `shell/many_worlds.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from model.configuration import Order
from shell.commands.start import existing
from shell.selections import UsageError
from shell.session import Session

if TYPE_CHECKING:
    from shell.replay import Replay


JOB_LOGS = (".swf", ".swf.gz")
"""How the names of job logs end: nothing else of ours is called so."""


class Options(Struct, frozen=True, kw_only=True):
    """The options of the command line, as `shell/verbs.py` tells them to people."""

    file: str | None
    for_ns: int | None
    fail: tuple[str, ...]
    faults: str | None
    scenario: str | None
    seed: int | None
    log: str | None
    workload: str | None
    first: int | None
    hosts: tuple[str, ...]
    order: str | None
    by: str | None
    shake: str | None
    resample: str | None
    scheduler: str | None
    metrics: bool
    jobs_csv: str | None
    warm_up: int | None
    changes: tuple[str, ...]
    seeds: str | None
    jobs: int
    against: str | None
    until: str | None
    sweep: str | None
    shrink: str | None
    checkpoint: str | None
    html: str | None
    csv: str | None
    json: bool

    @property
    def many(self) -> bool:
        """Whether this is about many worlds."""
        return self.seeds is not None or self.against is not None or self.sweep is not None


def sim(session: Session, **given: Any) -> int:
    """Rehearse a pipeline, replay a job log, or both at once; in one world, or in many."""
    options = Options(**given)
    _refuse_what_does_not_fit(options)
    from shell import many_worlds, prepared, simulate  # noqa: PLC0415 - SimPy is for rehearsals only

    replayed = _replay(options)
    output = prepared.Output(_path(options.html), _path(options.csv))
    if options.many:
        asked = prepared.Asked(
            _there(options.file),
            options.for_ns,
            options.fail,
            None,
            _there(options.scenario),
            options.changes,
            replayed,
            options.faults,
            options.warm_up or 0,
        )
        wanted = many_worlds.Many(
            (many_worlds.SWEEP_SEEDS if options.sweep else many_worlds.AGAINST_SEEDS)
            if options.seeds is None
            else options.seeds,
            options.jobs,
            _there(options.against),
            options.until is not None,
            _path(options.shrink),
            _path(options.checkpoint),
        )
        if options.sweep is not None:
            from shell import sweeping  # noqa: PLC0415 - only for sweeps

            return sweeping.run_sweep(
                asked, options.sweep, wanted, json=options.json, style=session.style(), output=output
            )
        return many_worlds.run_many(asked, wanted, json=options.json, style=session.style(), output=output)
    return simulate.run(
        _there(options.file),
        for_ns=options.for_ns,
        faults=options.faults,
        fail=options.fail,
        seed=options.seed,
        scenario=_there(options.scenario),
        changes=options.changes,
        log=_path(options.log),
        json=options.json,
        style=session.style(),
        replay=replayed,
        measured=simulate.Measured(options.metrics, _path(options.jobs_csv)),
        output=output,
        shrink=_path(options.shrink),
        checkpoint=_path(options.checkpoint),
        warm_up_ns=options.warm_up or 0,
    )


def _refuse_what_does_not_fit(options: Options) -> None:
    """Options that mean nothing together. Raises UsageError."""
    of_a_log = (options.first, options.order, options.by, options.shake, options.resample, options.scheduler)
    if options.file is None and options.workload is None:
        raise UsageError("a pipeline is missing (laulima sim FILE), or a job log (--workload FILE)")
    if options.workload is None and (options.hosts or any(of_a_log)):
        raise UsageError(
            "--first, --hosts, --order, --by, --scheduler, --shake and --resample are about a job log: --workload FILE"
        )
    if options.file is not None and (options.hosts or options.order):
        raise UsageError("a pipeline has hosts and an order of its own: leave out --hosts and --order, or the pipeline")
    if options.file is None and options.scheduler is not None:
        raise UsageError("--scheduler names one of a scenario's schedulers: laulima sim FILE")
    if options.file is None and options.scenario is not None:
        raise UsageError("--scenario needs a pipeline: laulima sim FILE --scenario FILE")
    if not options.many and (options.jobs > 1 or options.until):
        raise UsageError("--jobs and --until are about many worlds: --seeds 1-1000")
    if options.many and (options.seed is not None or options.log or options.metrics or options.jobs_csv):
        raise UsageError(
            "--seed, --log, --metrics and --jobs-csv are about one world: leave out --seeds, --sweep and --against"
        )
    if options.sweep is not None and (options.against or options.until or options.shrink):
        raise UsageError("--sweep is about all its worlds: leave out --against, --until and --shrink")
    if options.checkpoint is not None and options.jobs_csv is not None:
        raise UsageError("--jobs-csv writes a file of its own, which a checkpoint does not go on with: leave one out")
    if options.shrink is not None and (options.workload is not None or options.warm_up):
        why = "that of a job log is as large as the log: use --first" if options.workload else "leave out --warm-up"
        raise UsageError(f"--shrink makes a world small: {why}")
    if options.file is None and (options.changes or options.against):
        raise UsageError("--set and --against are about a pipeline: laulima sim FILE")


def _replay(options: Options) -> Replay | None:
    """The job log that is to be replayed; None: there is none."""
    if options.workload is None:
        return None
    from shell import replay  # noqa: PLC0415 - SimPy is for rehearsals only
    from sim.job_log import By  # noqa: PLC0415

    return replay.Replay(
        replay.job_log(options.workload),
        options.first or 0,
        options.hosts,
        Order(options.order or "strict"),
        By(options.by or "log"),
        replay.parse_reshape(options.shake, options.resample),
        options.scheduler or "",
    )


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


def _there(text: str | None) -> Path | None:
    """A pipeline or a scenario. A job log would be taken for a script."""
    if text is not None and text.endswith(JOB_LOGS):
        raise UsageError(f"{text} is a job log: laulima sim --workload {text}")
    return None if text is None else existing(text)
