"""A pipeline's file with other values, without a change of the file: `--set tasks.warp.limits.in_flight=80`.

    tasks.warp.limits.in_flight=80      any key of the file, by its path; the value is YAML: 80, [a, b], {exec: 1m}
    cluster.order=strict
    hosts.node3.slots=4                 a key of one host, also where the file names a set of hosts
    hosts.node3=off                     the host is switched off from the beginning, as `laulima host off` does
    schedulers.north.tasks.warp...      in a scenario with several schedulers: a key of that one's pipeline

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
from shell.config.places import entries, entry_of, host_and_rest, steps
from shell.config.problems import InvalidConfiguration
from shell.config.reading import Document, is_script, parse_file, parse_text
from shell.hostset import expand
from shell.wording import clean, cut, nearest
from sim.scenario import Ordered

OPTION, VERB = "--set ", "set "
"""Who asks, as it is said in messages: an option, or `laulima set`."""
_HINTS = {
    OPTION: "as in --set tasks.warp.limits.in_flight=80, --set hosts.node3.slots=4 or --set hosts.node3=off",
    VERB: "as in laulima set tasks.warp.limits.in_flight=80 or hosts.node3.slots=4",
}
_CHANGE = re.compile(r"\s*([^=\s]+)\s*=\s*(.*\S)\s*", re.DOTALL)
_SWITCHES = {"off": HostVerb.OFF, "drain": HostVerb.DRAIN}


class Changed(Struct):
    """A changed pipeline, and what is ordered when it starts."""

    loaded: pipelines.LoadedConfiguration
    orders: tuple[Ordered, ...] = ()


def load_changed(path: Path, changes: Sequence[str], said: str = OPTION) -> Changed:
    """The pipeline `path` with these changes, one after another. `said`: OPTION (with more that a person has said), or
    VERB.

    Raises `InvalidConfiguration` when the file itself is wrong, `ConfigurationError` when a change is.
    """
    loaded = pipelines.load(path)
    if not changes:
        return Changed(loaded)
    if is_script(path):
        raise ConfigurationError(f"{said}changes keys of a YAML file, and {path} is a script", "laulima convert")
    document, orders, hint = parse_file(path), [], _HINTS.get(said, _HINTS[OPTION])
    for text in changes:
        match = _CHANGE.fullmatch(text)
        if match is None:
            raise ConfigurationError(f"{said}'{clean(text)}': expects KEY=VALUE", hint)
        keys, value = match[1], match[2]
        verb = _SWITCHES.get(value) if keys.startswith("hosts.") else None
        host = keys.removeprefix("hosts.")
        try:
            if verb is not None and entry_of(document, host) is not None:
                orders.append(Ordered(0, host=OrderHost(0, verb, host, reason=f"--set {keys}={value}")))
                continue
            _change(document, keys, _value(value))
            document.digest = blake2b(f"{document.digest} {keys}={value}".encode(), digest_size=16).hexdigest()
            loaded = pipelines.load_document(document, path)
        except InvalidConfiguration as error:
            told = "; ".join(dict.fromkeys(f"{one.path}: {one.message}" for one in error.problems))
            raise ConfigurationError(f"{said}{keys}={value}: {told}", hint) from error
        except ValueError as error:
            raise ConfigurationError(f"{said}{keys}={value}: {error}", hint) from error
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
        host, dot, rest = host_and_rest(document, keys.removeprefix("hosts."))
        if not dot:
            raise ValueError(f"expects {' or '.join(_SWITCHES)}, or a key of the host: hosts.{host}.slots=4")
        data, keys = _own_entry(document, host), rest
    *above, last = steps(data, keys)
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


def _own_entry(document: Document, host: str) -> dict[str, Any]:
    """The entry of this host alone; taken out of its set, if it is in one."""
    hosts, at = entries(document), entry_of(document, host)
    assert at is not None
    names = expand(str(hosts[at]["name"]))
    if len(names) > 1:
        place = names.index(host)
        parts = [part for part in (names[:place], (host,), names[place + 1 :]) if part]
        hosts[at : at + 1] = [{**deepcopy(hosts[at]), "name": ",".join(part)} for part in parts]
        at += 1 if place else 0  # the order of hosts stays: among equals it decides
    entry: dict[str, Any] = hosts[at]
    return entry
