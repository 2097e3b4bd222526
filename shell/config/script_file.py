"""A configuration out of a script file of the task language alone, and what can be known of scripts without running
them.

A script says its tasks and hosts when it runs; everything else is as a configuration file without a word would have it,
but for the local slots: a script's local jobs have no limit of their own (`npending` limits them).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

from msgspec import structs

from model.configuration import ClusterDefinition, Configuration, LanguageSettings
from model.errors import ConfigurationError
from model.scripting import FILE_MAX, text_of_bytes
from shell.config.reading import YAML_SUFFIXES
from shell.file_errors import read_bounded
from shell.language.parsing import parse
from shell.language.tree import Body, Line, Statement, TaskBlock

LOCAL_SLOTS = 1000
"""Local jobs at once; more of them wait."""
FILES_MAX = 1000
"""Files of scripts that are looked at, loaded ones included."""


def load_script(path: Path, settings: LanguageSettings | None = None) -> Configuration:
    """The configuration that runs the script `path`. Relative paths of jobs start in the working directory, as the
    script's own do. Raises `ConfigurationError` when the file cannot be read."""
    text = read_script(path)
    language = structs.replace(settings or LanguageSettings(), scripts=(os.path.normpath(path.absolute()),))
    return Configuration(
        path=str(path),
        directory=str(Path.cwd()),
        cluster=ClusterDefinition(local_slots=LOCAL_SLOTS),
        language=with_what_is_known(language, Path.cwd()),
        digest=blake2b(text.encode(), digest_size=16).hexdigest(),
    )


def read_script(path: Path) -> str:
    """Its text. Raises `ConfigurationError`."""
    if path.is_fifo():
        raise ConfigurationError(
            f"{path} is a pipe, and a script is read again when it runs",
            f"write it into a file first; YAML may come by a pipe whose name ends in {' or '.join(YAML_SUFFIXES)}",
        )
    return text_of_bytes(read_bounded(path, FILE_MAX, "a small pipeline to start from: laulima init"))


def with_what_is_known(language: LanguageSettings, directory: Path) -> LanguageSettings:
    """The settings with the hosts and tasks that the scripts name literally; files that they load are looked at,
    too."""
    hosts: dict[str, None] = {}
    tasks: dict[str, None] = {}
    complete = True
    seen: set[Path] = set()
    waiting = [directory / name for name in language.scripts]
    while waiting:
        path = waiting.pop().resolve()
        if path in seen:
            continue
        if len(seen) >= FILES_MAX:
            complete = False
            break
        seen.add(path)
        for statement in _all_statements(parse(read_script(path), str(path)).body):
            words = _words(statement)
            if words is None:
                complete = False
            elif isinstance(statement, TaskBlock):
                tasks.update(dict.fromkeys(words[1:2]))
            elif words[:3] == ["controller", "host", "add"] or words[:2] == ["host", "add"]:
                hosts.update(dict.fromkeys(words[words.index("add") + 1 :][:1]))
            elif words[:1] in (["input"], ["module"]) and len(words) == 2:
                found = next((place for place in _places(words, directory, path) if place.is_file()), None)
                complete = complete and found is not None
                waiting += [] if found is None else [found]
    return structs.replace(language, hosts=tuple(hosts), tasks=tuple(tasks), complete=complete)


def _places(words: list[str], directory: Path, loader: Path) -> list[Path]:
    """Where `input FILE` or `module FILE` looks for its file."""
    folders = [Path(word) for word in os.environ.get("MODULES", "").split(":") if word] if words[0] == "module" else []
    return [folder / words[1] for folder in (*folders, directory, loader.parent)]


def _words(statement: Statement) -> list[str] | None:
    """The words of a line that matters here; none of another one. None: it matters, and holds a variable."""
    if isinstance(statement, TaskBlock):
        text = f"task {statement.arguments}"
    elif isinstance(statement, Line):
        text = statement.text.replace('"', "")
    else:
        return []
    words = text.split()
    if words[:1] not in (["task"], ["controller"], ["host"], ["input"], ["module"]) and "$" not in words[0]:
        return []
    if words[0] in ("controller", "host") and "add" not in words:
        return []
    return None if "$" in text else words


def _all_statements(body: Body) -> Iterator[Statement]:
    """Every statement, those inside blocks as well."""
    waiting = list(reversed(body))
    while waiting:
        statement = waiting.pop()
        yield statement
        for name in ("statement", "otherwise", "then", "body"):
            inner = getattr(statement, name, None)
            if inner is not None:
                waiting += reversed(inner) if isinstance(inner, tuple) else [inner]


def has_scripts(configuration: Configuration) -> bool:
    """Whether anything of the configuration is written in the task language."""
    return bool(configuration.language.scripts) or any(
        task.prepare or any(handler.script for handler in task.handlers) for task in configuration.tasks
    )
