"""A pipeline's file with other values, without a change of the file: `--set tasks.warp.limits.in_flight=80`.

    tasks.warp.limits.in_flight=80      any key of the file, by its path; the value is YAML: 80, [a, b], {exec: 1m}
    cluster.order=strict
    hosts.node3.slots=4                 a key of one host, also where the file names a set of hosts
    hosts.node3=off                     the host is switched off from the beginning, as `laulima host off` does

The changed file is read and checked as if somebody had written it so. Called by the loader of scenarios (`sim --set`)
and by whoever compares a configuration with a changed one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from copy import deepcopy
from hashlib import blake2b
from pathlib import Path
from typing import Any

from msgspec import Struct

import shell.config.loading as pipelines
from model.errors import ConfigurationError
from model.events import HostVerb, OrderHost
from shell.config.problems import InvalidConfiguration
from shell.config.reading import Document, parse_file, parse_text
from shell.config.script_file import is_script
from shell.hostset import expand
from shell.wording import clean, cut, nearest
from sim.scenario import Ordered

HINT = "as in --set tasks.warp.limits.in_flight=80, --set hosts.node3.slots=4 or --set hosts.node3=off"
_CHANGE = re.compile(r"\s*([^=\s]+)\s*=\s*(.*\S)\s*", re.DOTALL)
_SWITCHES = {"off": HostVerb.OFF, "drain": HostVerb.DRAIN}


class Changed(Struct):
    """A changed pipeline, and what is ordered when it starts."""

    loaded: pipelines.LoadedConfiguration
    orders: tuple[Ordered, ...] = ()


def load_changed(path: Path, changes: Sequence[str]) -> Changed:
    """The pipeline `path` with these changes, one after another.

    Raises `InvalidConfiguration` when the file itself is wrong, `ConfigurationError` when a change is.
    """
    loaded = pipelines.load(path)
    if not changes:
        return Changed(loaded)
    if is_script(path):
        raise ConfigurationError(f"--set changes keys of a YAML file, and {path} is a script", "laulima convert")
    document, orders = parse_file(path), []
    for text in changes:
        match = _CHANGE.fullmatch(text)
        if match is None:
            raise ConfigurationError(f"--set '{clean(text)}': expects KEY=VALUE", HINT)
        keys, value = match[1], match[2]
        verb = _SWITCHES.get(value) if keys.startswith("hosts.") else None
        host = keys.removeprefix("hosts.")
        try:
            if verb is not None and _entry_of(document, host) is not None:
                orders.append(Ordered(0, host=OrderHost(0, verb, host, reason=f"--set {keys}={value}")))
                continue
            _change(document, keys, _value(value))
            document.digest = blake2b(f"{document.digest} {keys}={value}".encode(), digest_size=16).hexdigest()
            loaded = pipelines.load_document(document, path)
        except InvalidConfiguration as error:
            told = "; ".join(dict.fromkeys(f"{one.path}: {one.message}" for one in error.problems))
            raise ConfigurationError(f"--set {keys}={value}: {told}", HINT) from error
        except ValueError as error:
            raise ConfigurationError(f"--set {keys}={value}: {error}", HINT) from error
    return Changed(loaded, tuple(orders))


def _value(text: str) -> Any:
    """The value as the file's reader takes it."""
    try:
        return parse_text(f"value: {text}", "--set").data["value"]
    except InvalidConfiguration:
        raise ValueError(f'"{cut(clean(text), 60)}" is not a value; lists and texts with blanks need quotes') from None


def _change(document: Document, keys: str, value: Any) -> None:
    data: Any = document.data
    if keys.startswith("hosts."):
        host, dot, rest = _host_and_rest(document, keys.removeprefix("hosts."))
        if not dot:
            raise ValueError(f"expects {' or '.join(_SWITCHES)}, or a key of the host: hosts.{host}.slots=4")
        data, keys = _own_entry(document, host), rest
    *above, last = _steps(data, keys)
    for step in above:
        if not isinstance(data, dict):
            raise ValueError(f"{step}: there are no keys there")
        if step not in data:
            data[step] = {}
        data = data[step]
    if not isinstance(data, dict):
        raise ValueError(f"{last}: there are no keys there")
    if above and above[-1] == "tasks" and last not in data:
        raise ValueError(f"there is no task {last}{nearest(last, list(data))}")
    data[last] = value


def _steps(data: Any, keys: str) -> list[str]:
    """The path, key by key. A name may hold dots: where the file has the longer one, that is meant."""
    steps: list[str] = []
    rest = keys
    while rest:
        known = [key for key in data if rest == key or rest.startswith(f"{key}.")] if isinstance(data, dict) else []
        step = max(known, key=len) if known else rest.partition(".")[0]
        if not step:
            raise ValueError(f'"{cut(clean(keys), 60)}" names no key')
        if steps == ["tasks"] and not known and rest != step:
            raise ValueError(f"there is no task {step}{nearest(step, list(data) if isinstance(data, dict) else [])}")
        steps.append(step)
        data = data.get(step) if isinstance(data, dict) else None
        rest = rest[len(step) + 1 :]
    return steps or [keys]


# hosts, which the file has as a list of names and sets


def _entries(document: Document) -> list[Any]:
    cluster = document.data.get("cluster")
    entries = cluster.get("hosts") if isinstance(cluster, dict) else None
    return entries if isinstance(entries, list) else []


def _names(document: Document) -> list[str]:
    return [name for entry in _entries(document) for name in expand(str(entry["name"]))]


def _entry_of(document: Document, host: str) -> int | None:
    """Where in the list the host is."""
    found = [at for at, entry in enumerate(_entries(document)) if host in expand(str(entry["name"]))]
    return found[0] if found else None


def _host_and_rest(document: Document, text: str) -> tuple[str, str, str]:
    """`node3.slots` -> node3, slots; the longest name that is a host."""
    names = _names(document)
    known = [name for name in names if text == name or text.startswith(f"{name}.")]
    if not known:
        host = text.partition(".")[0]
        raise ValueError(f"there is no host {host}{nearest(host, names)}")
    host = max(known, key=len)
    rest = text[len(host) + 1 :]
    return host, "." if rest else "", rest


def _own_entry(document: Document, host: str) -> dict[str, Any]:
    """The entry of this host alone; taken out of its set, if it is in one."""
    entries, at = _entries(document), _entry_of(document, host)
    assert at is not None
    names = expand(str(entries[at]["name"]))
    if len(names) > 1:
        place = names.index(host)
        parts = [part for part in (names[:place], (host,), names[place + 1 :]) if part]
        entries[at : at + 1] = [{**deepcopy(entries[at]), "name": ",".join(part)} for part in parts]
        at += 1 if place else 0  # the order of hosts stays: among equals it decides
    entry: dict[str, Any] = entries[at]
    return entry
