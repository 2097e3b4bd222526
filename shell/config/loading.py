"""Load a configuration: read strictly, validate, check, convert. All errors of all steps come out together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from model.configuration import Configuration
from shell.config.checks import Checks, script_line
from shell.config.conversion import make_configuration
from shell.config.problems import InvalidConfiguration, KeyPath, Spot, show
from shell.config.reading import Document, is_script, parse_file, parse_text
from shell.config.script_file import load_script
from shell.config.sections import ConfigurationSection
from shell.config.validation import validate_partly


@dataclass(frozen=True)
class LoadedConfiguration:
    """A configuration that is right. `warnings` are formatted, `file:line:column` first."""

    configuration: Configuration
    warnings: tuple[str, ...]
    document: Document

    def locate(self, path: KeyPath) -> Spot | None:
        """Line and column (from 1) of the value at `path`, such as `("tasks", "warp", "host")`; None: not written."""
        return self.document.position(path)


def load(path: Path) -> LoadedConfiguration:
    """Load a file: YAML, or a script of the task language. Raises `InvalidConfiguration` with every error in it; it is
    never half accepted. (What is wrong with a script's statements shows when they run, or by `laulima validate`.)"""
    if is_script(path):
        return LoadedConfiguration(load_script(path), (), Document(str(path), "", ""))
    return load_document(parse_file(path), path)


def load_text(text: str, path: Path = Path("pipeline.yaml")) -> LoadedConfiguration:
    """Load a text as if it stood in the file `path`, which need not exist."""
    return load_document(parse_text(text, str(path)), path)


def load_document(document: Document, path: Path) -> LoadedConfiguration:
    """Load what was read already."""
    sections, problems, unknown = validate_partly(document, ConfigurationSection)
    problems = [*document.problems, *problems]
    warnings: list[str] = []
    if sections is not None:
        checks = Checks(document, sections, unknown)
        checks.run()
        problems += checks.problems
        warnings = [show(document.name, warning, ()) for warning in sorted(set(checks.warnings))]
    if problems or sections is None:
        raise InvalidConfiguration(document.name, problems, document.lines)
    made = make_configuration(
        sections, path.absolute(), document.digest, lambda place, text: script_line(document, place, text)
    )
    return LoadedConfiguration(made, tuple(warnings), document)
