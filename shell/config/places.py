"""Where a pipeline's file says what: each value of a task or host with its line, and the value of one key.

Called by commands that show people their own words beside what is so now (`check`, `diff`, `set`), and by `changes.py`,
which lays other values over a file. A script, or a file that cannot be read any more, says nothing. Imports little, for
`check` is to answer at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct

from model.errors import ConfigurationError
from shell.config.problems import KeyPath
from shell.config.reading import Data, Document, is_script, parse_file
from shell.hostset import expand
from shell.wording import clean, cut, nearest


class Place(Struct, frozen=True):
    """A value as the file has it. `key`: below the task or host; empty: the task or host itself."""

    key: str
    value: str
    line: int


class Places:
    """The file at `path`, as it is now."""

    def __init__(self, path: Path) -> None:
        self._document: Document | None = None
        if is_script(path):
            return
        try:
            self._document = parse_file(path)
        except ConfigurationError:
            return  # `validate` says what is wrong with it; here nobody has asked that

    def task(self, name: str) -> list[Place]:
        """All that the file says of a task: first where it stands."""
        return self._below(("tasks", name))

    def host(self, name: str) -> list[Place]:
        """All that the file says of a host, in the entry for it or for its set."""
        at = None if self._document is None else entry_of(self._document, name)
        return [] if at is None else self._below(("cluster", "hosts", at))

    def value(self, key: str) -> Place | None:
        """What the file says of a key such as `tasks.warp.limits.in_flight`; None: nothing, so the default counts."""
        if self._document is None:
            return None
        try:
            path = path_of(self._document, key)
        except ValueError:
            return None
        found = self._below(path)
        if not found:
            return None
        return Place(key, value_text(_at(self._document.data, path)), found[0].line)

    def _below(self, path: KeyPath) -> list[Place]:
        document = self._document
        if document is None or document.position(path) is None:
            return []
        return [
            Place(".".join(map(str, inner[len(path) :])), text, document.nearest(inner, key=True).line)
            for inner, text in _leaves(path, _at(document.data, path))
        ]


def _at(data: Data, path: KeyPath) -> Data:
    for step in path:
        data = data[step]  # type: ignore[index]
    return data


def _leaves(path: KeyPath, data: Data) -> Iterator[tuple[KeyPath, str]]:
    """Each value below `path` that is no mapping, and before them each mapping that has a place: `path` itself."""
    if isinstance(data, dict):
        yield path, ""
        for key, value in data.items():
            if isinstance(value, dict) and value:
                yield from list(_leaves((*path, key), value))[1:]
            else:
                yield (*path, key), value_text(value)
    else:
        yield path, value_text(data)


def value_text(data: Data) -> str:
    """A value on one line, as YAML would have it."""
    if isinstance(data, dict):
        return "{" + ", ".join(f"{key}: {value_text(value)}" for key, value in data.items()) + "}"
    if isinstance(data, list):
        return "[" + ", ".join(map(value_text, data)) + "]"
    return "null" if data is None else data


# where a key is


def path_of(document: Document, keys: str) -> KeyPath:
    """Where the document would have what `keys` name. Raises ValueError when there is no such host or task."""
    if not keys.startswith("hosts."):
        return tuple(steps(document.data, keys))
    host, dot, rest = host_and_rest(document, keys.removeprefix("hosts."))
    at = entry_of(document, host)
    assert at is not None
    return ("cluster", "hosts", at, *(steps(entries(document)[at], rest) if dot else ()))


def steps(data: Any, keys: str) -> list[str]:
    """The path, key by key. A name may hold dots: where the file has the longer one, that is meant."""
    taken: list[str] = []
    rest = keys
    while rest:
        known = [key for key in data if rest == key or rest.startswith(f"{key}.")] if isinstance(data, dict) else []
        step = max(known, key=len) if known else rest.partition(".")[0]
        if not step:
            raise ValueError(f'"{cut(clean(keys), 60)}" names no key')
        if taken == ["tasks"] and not known and rest != step:
            raise ValueError(f"there is no task {step}{nearest(step, list(data) if isinstance(data, dict) else [])}")
        taken.append(step)
        data = data.get(step) if isinstance(data, dict) else None
        rest = rest[len(step) + 1 :]
    return taken or [keys]


# hosts, which the file has as a list of names and sets


def entries(document: Document) -> list[Any]:
    """The list of hosts, each for one or for a set of them."""
    cluster = document.data.get("cluster")
    entries = cluster.get("hosts") if isinstance(cluster, dict) else None
    return entries if isinstance(entries, list) else []


def _names(document: Document) -> list[str]:
    return [name for entry in entries(document) for name in expand(str(entry["name"]))]


def entry_of(document: Document, host: str) -> int | None:
    """Where in the list the host is."""
    found = [at for at, entry in enumerate(entries(document)) if host in expand(str(entry["name"]))]
    return found[0] if found else None


def host_and_rest(document: Document, text: str) -> tuple[str, str, str]:
    """`node3.slots` -> node3, slots; the longest name that is a host."""
    names = _names(document)
    known = [name for name in names if text == name or text.startswith(f"{name}.")]
    if not known:
        host = text.partition(".")[0]
        raise ValueError(f"there is no host {host}{nearest(host, names)}")
    host = max(known, key=len)
    rest = text[len(host) + 1 :]
    return host, "." if rest else "", rest
