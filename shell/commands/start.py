"""Verbs that begin something: run, sim, validate, init, demo. Only they load configurations.

What a configuration means is `shell/config/`; what a server does is `live/server.py`; the demo is `shell/demo.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from model.errors import ConfigurationError, LaulimaError
from shell.selections import UsageError
from shell.session import Session
from shell.wording import count

if TYPE_CHECKING:
    from shell.config import LoadedConfiguration


def run(session: Session, *, file: str, for_ns: int | None, until_idle: bool, detach: bool) -> int:
    """Serve in this process until it is ended; or start a server in the background and see it answer."""
    loaded = _load(session, file)
    directory = session.state_to_make()
    if detach:
        from shell.detaching import start_detached  # noqa: PLC0415

        words = [*(["--until-idle"] if until_idle else []), *([f"--for={for_ns}ns"] if for_ns is not None else [])]
        return start_detached(session, Path(file), directory, words)
    from live.server import serve  # noqa: PLC0415 - the server's machinery is for servers only

    configuration = loaded.configuration
    session.note(
        f"laulima runs {file}: {count(len(configuration.tasks), 'task')}, "
        f"{count(len(configuration.cluster.hosts), 'host')}, state in {directory}; Ctrl-C ends it"
    )
    return serve(configuration, directory, until_idle=until_idle, for_ns=for_ns)


def _load(session: Session, file: str) -> LoadedConfiguration:
    """The configuration in `file`; its warnings go to stderr."""
    from shell.config import load  # noqa: PLC0415 - ruamel and pydantic are slow to import, and only needed here

    loaded = load(_existing(file))
    for warning in loaded.warnings:
        session.note(warning)
    return loaded


def _existing(file: str) -> Path:
    path = Path(file)
    if not path.exists():
        raise ConfigurationError(f"there is no file {file}", "a small one to start from: laulima init")
    return path


def validate(session: Session, *, file: str, strict: bool, json: bool) -> int:
    """Check a file. With `--strict`, a warning is an error, too."""
    try:
        loaded = _load(session, file)
    except ConfigurationError as error:
        if not json:
            raise
        session.say_json({"schema": 1, "file": file, "valid": False, "errors": str(error).splitlines(), "warnings": []})
        return error.exit_code
    valid = not (strict and loaded.warnings)
    configuration = loaded.configuration
    if json:
        session.say_json({"schema": 1, "file": file, "valid": valid, "errors": [], "warnings": list(loaded.warnings)})
    elif valid:
        session.say(
            f"{file} is valid: {count(len(configuration.tasks), 'task')}, "
            f"{count(len(configuration.cluster.hosts), 'host')}"
        )
    if not valid and not json:
        raise ConfigurationError(f"{count(len(loaded.warnings), 'warning')}, which --strict takes as errors")
    return 0 if valid else 1


def sim(
    session: Session,
    *,
    file: str,
    for_ns: int | None,
    fail: Sequence[str],
    scenario: str | None,
    seed: int | None,
    log: str | None,
    json: bool,
) -> int:
    from shell import simulate  # noqa: PLC0415 - SimPy is for rehearsals only

    return simulate.run(
        _existing(file),
        for_ns=for_ns,
        fail=tuple(fail),
        seed=seed,
        scenario=None if scenario is None else _existing(scenario),
        log=None if log is None else Path(log),
        json=json,
        style=session.style(),
    )


def init(session: Session, *, file: str) -> int:
    """Write the template; a file that is there is never overwritten."""
    from shell.config.template import pipeline_text  # noqa: PLC0415

    text = pipeline_text()
    try:
        with Path(file).open("x", encoding="utf-8") as out:
            out.write(text)
    except FileExistsError:
        raise LaulimaError(f"{file} is there already; nothing was written", "another name: laulima init FILE") from None
    except OSError as error:
        raise LaulimaError(f"{file} cannot be written: {error.strerror}") from error
    session.say(f"wrote {file}")
    session.note(f"next:  laulima validate {file}\n       laulima sim {file} --for 24h\n       laulima run {file}")
    return 0


def demo(session: Session, *, directory: str, files: int) -> int:
    from shell.demo import FILES_MAX, run_demo  # noqa: PLC0415

    if files > FILES_MAX:
        raise UsageError(f"--files is at most {FILES_MAX}")
    return run_demo(session, Path(directory), files)
