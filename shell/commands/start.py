"""Verbs that begin something: run, validate, convert, init, demo. (`sim` has a file of its own, `rehearse.py`.)

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
from shell.file_errors import unwritable
from shell.selections import UsageError
from shell.session import Session
from shell.wording import count

if TYPE_CHECKING:
    from model.configuration import Configuration
    from shell.config import LoadedConfiguration


LANGUAGE_HINT = "what scripts may say: laulima docs language, laulima docs language.commands"


def run(
    session: Session,
    *,
    file: str,
    arguments: Sequence[str],
    for_ns: int | None,
    until_idle: bool,
    detach: bool,
    page: bool,
    control: bool,
    leave: bool,
    new_data: bool,
    decisions: str | None,
    controller_timeout: str | None,
) -> int:
    """Serve in this process until it is ended; or start a server in the background and see it answer."""
    if control and not page:
        raise UsageError("--control is for --page")
    configuration = load_existing(session, file).configuration
    if arguments and not configuration.language.scripts:
        raise UsageError(f"{file} runs no script that could take arguments: {' '.join(arguments)}")
    directory = session.state_to_make()
    if page:
        from shell.commands.page import beside, refuse_without_extra, say_links  # noqa: PLC0415 - an extra

        refuse_without_extra()
    if detach:
        from shell.detaching import start_detached  # noqa: PLC0415

        said = {"--until-idle": until_idle, "--exit": leave, "--new-data": new_data}
        said |= {"--page": page, "--control": control}
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
    with beside(directory, control=control) if page else contextlib.nullcontext():
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

    loaded = load(existing(file))
    for warning in loaded.warnings:
        session.note(warning)
    return loaded


def configuration_in(path: Path, changes: Sequence[str] = ()) -> Configuration:
    """For a server that reads a file again, with values laid over it (`laulima set`)."""
    from shell.config.changes import VERB, load_changed  # noqa: PLC0415

    changed = load_changed(path, changes, VERB)
    if changed.orders:
        raise ConfigurationError(
            "a host that is switched off is no value of the file", "laulima host off NAME, laulima host drain NAME"
        )
    return changed.loaded.configuration


def existing(file: str, hint: str = "a small one to start from: laulima init") -> Path:
    """The path of a file that is there. Raises ConfigurationError, with the hint."""
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
        raise ConfigurationError(f"{file} is not valid: {count(len(errors), 'error')}", LANGUAGE_HINT)
    else:
        hint = f"mend what stands above, or check without --strict: laulima validate {file}"
        raise ConfigurationError(f"{count(len(warnings), 'warning')}, which --strict takes as errors", hint)
    return 0 if valid else 1


def _contents(configuration: Configuration) -> str:
    tasks = len(configuration.tasks) + len(configuration.language.tasks)
    hosts = len(configuration.cluster.hosts) + len(configuration.language.hosts)
    return f"{count(tasks, 'task')}, {count(hosts, 'host')}"


def convert(session: Session, *, file: str, rest: str | None) -> int:
    """Write a script's tasks as YAML to stdout, what else it says to the file `rest`. Returns 1 when a statement
    failed, so that something may be missing."""
    from shell.config.reading import is_script  # noqa: PLC0415
    from shell.config.script_file import read_script  # noqa: PLC0415 - the language, for scripts only
    from shell.language.converting import convert as converted  # noqa: PLC0415

    def read(name: str) -> str | None:
        return read_script(Path(name)) if Path(name).is_file() else None

    if not is_script(existing(file)):
        raise UsageError(f"{file} is YAML already; what is converted is a script of the task language")
    made = converted(existing(file), read, time.time_ns(), rest or "")
    for note in made.notes:
        session.note(note)
    if rest is not None:
        _write_new(rest, made.rest)
    elif made.rest:
        session.note("what stands outside of its tasks is not in it: --rest FILE writes that to a script of its own")
    session.say(made.tasks.rstrip("\n"))
    return 1 if made.failed else 0


def init(session: Session, *, file: str) -> int:
    """Write the template; a file that is there is never overwritten."""
    from shell.config.template import pipeline_text  # noqa: PLC0415

    _write_new(file, pipeline_text())
    session.say(f"wrote {file}")
    steps = (f"validate {file}", f"sim {file} --for 24h", f"run {file} --detach", "docs tutorial")
    session.note("next:  " + "\n       ".join(f"laulima {step}" for step in steps))
    return 0


def _write_new(file: str, text: str) -> None:
    try:
        with Path(file).open("x", encoding="utf-8") as out:
            out.write(text)
    except FileExistsError:
        raise LaulimaError(f"{file} is there already; nothing was written", "give another name") from None
    except OSError as error:
        raise unwritable(file, error) from error


def demo(session: Session, *, directory: str, files: int, page: bool, control: bool) -> int:
    from shell.demo import FILES_MAX, run_demo  # noqa: PLC0415

    if files > FILES_MAX:
        raise UsageError(f"--files is at most {FILES_MAX}")
    if control and not page:
        raise UsageError("--control is for --page")
    if not page:
        return run_demo(session, Path(directory), files)
    from shell.commands.page import beside, say_links, until_interrupted  # noqa: PLC0415 - an extra

    with contextlib.ExitStack() as stack:

        def open_page(state: Path) -> None:
            stack.enter_context(beside(state, control=control, quiet=True))
            say_links(session, state)

        code = run_demo(session, Path(directory), files, open_page)
        if code == 0:
            session.note("the page stays until Ctrl-C; the server has ended, so its state is that of the end")
            until_interrupted()
    return code
