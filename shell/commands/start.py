"""Verbs that begin something: run, sim, validate, init, demo. Only they load configurations.

What a configuration means is `shell/config/`; what a server does is `live/server.py`; the demo is `shell/demo.py`.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from model.errors import ConfigurationError, LaulimaError
from shell.selections import UsageError
from shell.session import Session
from shell.wording import count

if TYPE_CHECKING:
    from model.configuration import Configuration
    from shell.config import LoadedConfiguration


def run(
    session: Session,
    *,
    file: str,
    arguments: Sequence[str],
    for_ns: int | None,
    until_idle: bool,
    detach: bool,
    page: bool,
    leave: bool,
    new_data: bool,
    decisions: str | None,
    controller_timeout: str | None,
) -> int:
    """Serve in this process until it is ended; or start a server in the background and see it answer."""
    configuration = load_existing(session, file).configuration
    if arguments and not configuration.language.scripts:
        raise UsageError(f"{file} runs no script that could take arguments: {' '.join(arguments)}")
    directory = session.state_to_make()
    if page:
        from shell.commands.page import beside, refuse_without_extra, say_links  # noqa: PLC0415 - an extra

        refuse_without_extra()
    if detach:
        from shell.detaching import start_detached  # noqa: PLC0415

        said = {"--until-idle": until_idle, "--exit": leave, "--new-data": new_data, "--page": page}
        words = [word for word, wanted in said.items() if wanted]
        words += [f"--for={for_ns}ns"] if for_ns is not None else []
        words += [f"--decisions={Path(decisions).absolute()}"] if decisions is not None else []
        words += script_words(arguments, controller_timeout)
        code = start_detached(session, Path(file), directory, words)
        if page and code == 0:
            say_links(session, directory)
        return code
    from live.server import serve  # noqa: PLC0415 - the server's machinery is for servers only
    from shell.language.machine import Scripts  # noqa: PLC0415 - and so is the language

    if controller_timeout is not None:
        language = replace(configuration.language, controller_timeout_ignored=controller_timeout == "ignore")
        configuration = replace(configuration, language=language)
    session.note(f"laulima runs {file}: {_contents(configuration)}, state in {directory}; Ctrl-C ends it")
    with beside(directory) if page else contextlib.nullcontext():
        return serve(
            configuration,
            directory,
            until_idle=until_idle,
            for_ns=for_ns,
            scripts=Scripts,
            arguments=tuple(arguments),
            leave_after_scripts=leave,
            new_data=new_data,
            load=configuration_in,
            decisions=None if decisions is None else Path(decisions),
        )


def script_words(arguments: Sequence[str], controller_timeout: str | None) -> list[str]:
    """What is said about scripts, as words of another `laulima run`."""
    timeout = [] if controller_timeout is None else ["--controller-timeout", controller_timeout]
    return [*timeout, *(["--", *arguments] if arguments else [])]


def load_existing(session: Session, file: str) -> LoadedConfiguration:
    """The configuration in `file`; its warnings go to stderr."""
    from shell.config import load  # noqa: PLC0415 - ruamel and pydantic are slow to import, and only needed here

    loaded = load(_existing(file))
    for warning in loaded.warnings:
        session.note(warning)
    return loaded


def configuration_in(path: Path) -> Configuration:
    """For a server that reads another file."""
    from shell.config import load  # noqa: PLC0415

    return load(path).configuration


def _existing(file: str, hint: str = "a small one to start from: laulima init") -> Path:
    path = Path(file)
    if not path.exists():
        raise ConfigurationError(f"there is no file {file}", hint)
    return path


def validate(session: Session, *, file: str, strict: bool, json: bool) -> int:
    """Check a file, and the scripts in it. With `--strict`, a warning is an error, too."""
    try:
        loaded = load_existing(session, file)
    except ConfigurationError as error:
        if not json:
            raise
        session.say_json({"schema": 1, "file": file, "valid": False, "errors": str(error).splitlines(), "warnings": []})
        return error.exit_code
    from shell.config.script_file import has_scripts  # noqa: PLC0415

    configuration = loaded.configuration
    errors: list[str] = []
    warnings = list(loaded.warnings)
    if has_scripts(configuration):
        from shell.commands.script_findings import findings_of  # noqa: PLC0415 - the language, for scripts only

        found = findings_of(configuration)
        errors, warnings = found.errors, warnings + found.warnings
        if not json:
            for text in (*errors, *found.warnings):
                session.note(text)
    valid = not errors and not (strict and warnings)
    if json:
        session.say_json({"schema": 1, "file": file, "valid": valid, "errors": errors, "warnings": warnings})
    elif valid:
        session.say(f"{file} is valid: {_contents(configuration)}")
    elif errors:
        raise ConfigurationError(f"{file} is not valid: {count(len(errors), 'error')}")
    else:
        raise ConfigurationError(f"{count(len(warnings), 'warning')}, which --strict takes as errors")
    return 0 if valid else 1


def _contents(configuration: Configuration) -> str:
    tasks = len(configuration.tasks) + len(configuration.language.tasks)
    hosts = len(configuration.cluster.hosts) + len(configuration.language.hosts)
    return f"{count(tasks, 'task')}, {count(hosts, 'host')}"


def convert(session: Session, *, file: str, rest: str | None) -> int:
    """Write a script's tasks as YAML to stdout, what else it says to the file `rest`. Returns 1 when a statement
    failed, so that something may be missing."""
    from shell.config.script_file import read_script  # noqa: PLC0415 - the language, for scripts only
    from shell.language.converting import convert as converted  # noqa: PLC0415

    def read(name: str) -> str | None:
        return read_script(Path(name)) if Path(name).is_file() else None

    made = converted(_existing(file), read, time.time_ns(), rest or "")
    for note in made.notes:
        session.note(note)
    if rest is not None:
        _write_new(rest, made.rest)
    elif made.rest:
        session.note("what stands outside of its tasks is not in it: --rest FILE writes that to a script of its own")
    session.say(made.tasks.rstrip("\n"))
    return 1 if made.failed else 0


def sim(
    session: Session,
    *,
    file: str | None,
    for_ns: int | None,
    fail: Sequence[str],
    faults: str | None,
    scenario: str | None,
    seed: int | None,
    log: str | None,
    workload: str | None,
    first: int | None,
    hosts: Sequence[str],
    order: str | None,
    by: str | None,
    shake: str | None,
    resample: str | None,
    metrics: bool,
    jobs_csv: str | None,
    warm_up: int | None,
    changes: Sequence[str],
    seeds: str | None,
    jobs: int,
    against: str | None,
    until: str | None,
    shrink: str | None,
    html: str | None,
    csv: str | None,
    json: bool,
) -> int:
    """Rehearse a pipeline, replay a job log, or both at once; in one world, or in many."""
    if file is None and workload is None:
        raise UsageError("a pipeline is missing (laulima sim FILE), or a job log (--workload FILE)")
    if workload is None and (first or hosts or order or by or shake or resample):
        raise UsageError("--first, --hosts, --order, --by, --shake and --resample are about a job log: --workload FILE")
    if file is not None and (hosts or order):
        raise UsageError("a pipeline has hosts and an order of its own: leave out --hosts and --order, or the pipeline")
    if file is None and scenario is not None:
        raise UsageError("--scenario needs a pipeline: laulima sim FILE --scenario FILE")
    many = seeds is not None or against is not None
    if not many and (jobs > 1 or until):
        raise UsageError("--jobs and --until are about many worlds: --seeds 1-1000")
    if many and (seed is not None or log or metrics or jobs_csv):
        raise UsageError("--seed, --log, --metrics and --jobs-csv are about one world: leave out --seeds and --against")
    if shrink is not None and (workload is not None or warm_up):
        raise UsageError("--shrink makes a world small, and that of a job log is as large as the log: use --first")
    if file is None and (changes or against):
        raise UsageError("--set and --against are about a pipeline: laulima sim FILE")
    from model.configuration import Order  # noqa: PLC0415
    from shell import many_worlds, prepared, replay, simulate  # noqa: PLC0415 - SimPy is for rehearsals only
    from sim.job_log import By  # noqa: PLC0415

    replayed: replay.Replay | None = None
    if workload is not None:
        path = _existing(workload, "a job log in the Standard Workload Format")
        reshape = replay.parse_reshape(shake, resample)
        replayed = replay.Replay(path, first or 0, tuple(hosts), Order(order or "strict"), By(by or "log"), reshape)
    output = prepared.Output(None if html is None else Path(html), None if csv is None else Path(csv))
    if many:
        asked = prepared.Asked(
            None if file is None else _existing(file),
            for_ns,
            tuple(fail),
            None,
            None if scenario is None else _existing(scenario),
            tuple(changes),
            replayed,
            faults,
        )
        wanted = many_worlds.Many(
            many_worlds.AGAINST_SEEDS if seeds is None else seeds,
            jobs,
            None if against is None else _existing(against),
            until is not None,
            warm_up or 0,
            None if shrink is None else Path(shrink),
        )
        return many_worlds.run_many(asked, wanted, json=json, style=session.style(), output=output)
    return simulate.run(
        None if file is None else _existing(file),
        for_ns=for_ns,
        faults=faults,
        fail=tuple(fail),
        seed=seed,
        scenario=None if scenario is None else _existing(scenario),
        changes=tuple(changes),
        log=None if log is None else Path(log),
        json=json,
        style=session.style(),
        replay=replayed,
        measured=simulate.Measured(metrics, None if jobs_csv is None else Path(jobs_csv), warm_up or 0),
        output=output,
        shrink=None if shrink is None else Path(shrink),
    )


def init(session: Session, *, file: str) -> int:
    """Write the template; a file that is there is never overwritten."""
    from shell.config.template import pipeline_text  # noqa: PLC0415

    _write_new(file, pipeline_text())
    session.say(f"wrote {file}")
    session.note(f"next:  laulima validate {file}\n       laulima sim {file} --for 24h\n       laulima run {file}")
    return 0


def _write_new(file: str, text: str) -> None:
    try:
        with Path(file).open("x", encoding="utf-8") as out:
            out.write(text)
    except FileExistsError:
        raise LaulimaError(f"{file} is there already; nothing was written", "give another name") from None
    except OSError as error:
        raise LaulimaError(f"{file} cannot be written: {error.strerror}") from error


def demo(session: Session, *, directory: str, files: int) -> int:
    from shell.demo import FILES_MAX, run_demo  # noqa: PLC0415

    if files > FILES_MAX:
        raise UsageError(f"--files is at most {FILES_MAX}")
    return run_demo(session, Path(directory), files)
