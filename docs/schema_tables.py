"""Tables of the keys of a file, from its JSON schema: name, what may stand there, meaning; a part for each section.

Called by `docs/reference.py`. What is said comes from the schema, so from the models in `shell/config/`; nothing is
added here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from shell.durations import PATTERN, format_duration

Schema = dict[str, Any]

PLAIN = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false", "null": ""}
MANY = 10**6
"""Bounds beyond this only keep nonsense out, and are not shown."""


def tables(schema: Schema, top: str) -> str:
    """All sections of the file, each once, in the order in which they are met from the top."""
    sections: dict[str, tuple[str, Schema]] = {}
    _collect(schema, "", schema, sections)
    parts = [f"## {top}\n", _table(schema, schema)]
    for path, section in sections.values():
        about = " ".join(str(section.get("description", "")).split())
        parts.append(f"## `{path}`\n")
        if about:
            parts.append(f"{about[:1].upper()}{about[1:]}\n")
        parts.append(_table(section, schema))
    return "\n".join(parts)


def _collect(section: Schema, above: str, schema: Schema, found: dict[str, tuple[str, Schema]]) -> None:
    for name, value in section.get("properties", {}).items():
        path = f"{above}.{name}" if above else name
        for reference, step in _references(value):
            if reference not in found:
                inner = schema["$defs"][reference]
                found[reference] = (path + step, inner)
                _collect(inner, path + step, schema, found)


def _references(value: Schema, step: str = "") -> Iterator[tuple[str, str]]:
    """The sections that may stand there, each with what is between: `[]` in a list, `.NAME` under names."""
    if "$ref" in value:
        yield value["$ref"].rpartition("/")[2], step
    for option in value.get("anyOf", ()):
        yield from _references(option, step)
    if isinstance(value.get("items"), dict):
        yield from _references(value["items"], f"{step}[]")
    for named in (value.get("additionalProperties"), *value.get("patternProperties", {}).values()):
        if isinstance(named, dict):
            yield from _references(named, f"{step}.NAME")


def _table(section: Schema, schema: Schema) -> str:
    lines = ["| key | value | |", "|---|---|---|"]
    required = section.get("required", ())
    for name, value in section.get("properties", {}).items():
        references = [schema["$defs"][reference] for reference, _ in _references(value)]
        about = value.get("description") or next((str(one.get("description", "")) for one in references), "")
        needed = "**needed**; " if name in required else ""
        default = f" (default `{_plain(value)}`)" if _is_told(value, about) else ""
        lines.append(f"| `{name}` | {_cell(_value(value))} | {needed}{_cell(about)}{default} |")
    return "\n".join(lines) + "\n"


def _is_told(value: Schema, about: str) -> bool:
    """Whether the default stands in the schema only. A section's default is that of its keys."""
    return "default" not in about and value.get("default") not in (None, "", [], {}) and not list(_references(value))


def _plain(value: Schema) -> str:
    default = value["default"]
    if isinstance(default, bool):
        return str(default).lower()
    return format_duration(default) if value.get("pattern") == PATTERN else str(default)


def _value(value: Schema) -> str:
    """What may stand there, in words."""
    comment = value.get("$comment")
    if "$ref" in value:
        return "keys"
    if "anyOf" in value:
        return _or([_value(option) for option in value["anyOf"]])
    if "enum" in value:
        return _or([f"`{word}`" for word in value["enum"]])
    if "const" in value:
        return f"`{value['const']}`"
    kinds = value.get("type")
    if isinstance(kinds, list):
        return str(comment or "text")
    if kinds == "array":
        inner = value.get("items")
        return f"list of {_value(inner)}" if isinstance(inner, dict) and inner else "list"
    if kinds == "object":
        return _object(value)
    if kinds in ("integer", "number"):
        return _number(value, str(kinds))
    if value.get("pattern") == PATTERN:
        return "duration"
    return str(comment or PLAIN.get(str(kinds), "text, or keys"))


def _object(value: Schema) -> str:
    if value.get("properties"):
        return "{" + ", ".join(f"{key}: {_value(inner)}" for key, inner in value["properties"].items()) + "}"
    named = [*value.get("patternProperties", {}).values(), value.get("additionalProperties")]
    inner = next((one for one in named if isinstance(one, dict)), None)
    return f"names to {_value(inner)}" if inner else "names to values"


def _number(value: Schema, kind: str) -> str:
    least, most = value.get("minimum"), value.get("maximum")
    if least is None or most is None:
        return PLAIN[kind]
    return f"{PLAIN[kind]} from {least:g}" + (f" to {most:g}" if abs(most) < MANY else "")


def _or(words: list[str]) -> str:
    told = list(dict.fromkeys(word for word in words if word))
    if len(told) == 2 and told[1] == f"list of {told[0]}":
        return f"{told[0]}, or a list of them"
    return " or ".join(told) if len(told) < 3 else f"{', '.join(told[:-1])} or {told[-1]}"


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|")
