"""What `laulima validate` says about the scripts of a pipeline; nothing of them is run.

What can be wrong is decided in `shell/language/validation.py`; here the files are read, those that scripts load
included. Called by `shell/commands/start.py`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from model.configuration import Configuration
from model.errors import ConfigurationError
from shell.config.script_file import read_script
from shell.language.commands.table import COMMANDS
from shell.language.findings import Finding, Severity
from shell.language.parsing import parse
from shell.language.tree import Line, Position, Script, Statement, TaskBlock, TaskExec, TaskExit
from shell.language.validation import check


class Findings(NamedTuple):
    """Sentences with their places, in order."""

    errors: list[str]
    warnings: list[str]


def findings_of(configuration: Configuration) -> Findings:
    """Everything found in the script files of a configuration. Raises ConfigurationError for one that cannot be
    read."""
    directory = Path(configuration.directory)
    commands = {command.name: command for command in COMMANDS}
    found: list[Finding] = []
    loader = _Loader(directory)
    if configuration.tasks:
        found = check(_as_script(configuration), commands, load=loader.load, known=("item", "job", "task"))
    else:
        for name in configuration.language.scripts:
            found += check(loader.parsed(directory / name), commands, load=loader.load)
    return Findings(
        [_sentence(finding) for finding in found if finding.severity is Severity.ERROR],
        [_sentence(finding) for finding in found if finding.severity is not Severity.ERROR],
    )


def _as_script(configuration: Configuration) -> Script:
    """The statements of a configuration's tasks as tasks of a script, behind the script files that it names."""
    name = shown(Path(configuration.path))
    top = Position(name, 1, 1)
    body: list[Statement] = [Line(top, f'input "{path}"') for path in configuration.language.scripts]
    for task in configuration.tasks:
        parts: list[Statement] = [Line(top, "periods -timeout 600")]
        parts += [Line(top, "command true")] if task.command or task.call else []
        if task.prepare:
            parts.append(TaskExec(top, parse(task.prepare, name, first_line=task.prepare_line).body))
        for handler in task.handlers:
            if handler.script:
                end = handler.match.partition("-")[0] if handler.match[0].isdigit() else handler.match
                statements = parse(handler.script, name, first_line=handler.script_line).body
                parts.append(TaskExit(top, end, statements))
        if task.prepare or any(isinstance(part, TaskExit) for part in parts):
            body.append(TaskBlock(top, task.name, tuple(parts)))
    return Script(name, tuple(body))


def shown(path: Path) -> str:
    """A path as people know it: from here, where it lies below."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


class _Loader:
    """Finds the files that a script loads by a constant name."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._modules = [Path(word) for word in os.environ.get("MODULES", "").split(":") if word] or [directory]

    def load(self, verb: str, name: str) -> Script | None:
        folders = self._modules if verb == "module" else [self._directory]
        for path in (folder / name for folder in folders):
            if path.is_file():
                try:
                    return self.parsed(path)
                except ConfigurationError:  # told as what it is: a file that cannot be read
                    return None
        return None

    def parsed(self, path: Path) -> Script:
        return parse(read_script(path), shown(path))


def _sentence(finding: Finding) -> str:
    return f"{finding.at}: {finding.text}" + (f" ({finding.hint})" if finding.hint else "")
