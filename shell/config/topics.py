"""Texts for `laulima docs config…`: every key with its help, made from the schema itself, so they cannot disagree."""

from __future__ import annotations

from typing import Any

from shell.config.schema import json_schema, scenario_schema

RULES = """\
One YAML file, UTF-8. Every value is text until its key says what it is: durations are
10m, 1h30m, 500ms, 1.5s, 2d (a bare number is an error), flags are true or false, times
of day 18:00, commands lists of words. Anchors, aliases, merge keys and tags are refused.
What a task says wins over `defaults`: periods, limits, environment, on and the host
policies key by key, everything else as a whole."""


def config_topics() -> dict[str, tuple[str, str]]:
    """Name of each topic (`config`, `config.tasks`, ...) -> its title and text."""
    schema = json_schema()
    texts = {"config": ("the configuration file", f"{RULES}\n\n{_keys(schema, schema)}")}
    for name, section in schema["properties"].items():
        inner = _section(section, schema)
        if inner is not None:
            title = str(inner.get("description", name)).splitlines()[0].rstrip(".")
            texts[f"config.{name}"] = (title[:1].lower() + title[1:], _page(inner, schema))
    return texts


def scenario_text() -> str:
    """Every key of a scenario."""
    schema = scenario_schema()
    return _page(schema, schema)


def _page(section: dict[str, Any], schema: dict[str, Any]) -> str:
    """The section's keys, then those of the sections inside of it, each once."""
    parts = [str(section.get("description", "")), _keys(section, schema)]
    _inner_pages("", section, schema, [], parts)
    return "\n".join(parts).strip()


def _inner_pages(
    above: str, section: dict[str, Any], schema: dict[str, Any], shown: list[dict[str, Any]], parts: list[str]
) -> None:
    for name, value in section["properties"].items():
        inner = _section(value, schema)
        if inner is not None and not any(inner is other for other in shown):
            shown.append(inner)
            parts += ["", f"{above}{name}:", _keys(inner, schema, indent="  ")]
            _inner_pages(f"{above}{name}.", inner, schema, shown, parts)


def _keys(section: dict[str, Any], schema: dict[str, Any], indent: str = "") -> str:
    width = max((len(name) for name in section["properties"]), default=0)
    lines = []
    for name, value in section["properties"].items():
        inner = _section(value, schema)
        text = value.get("description") or (inner or {}).get("description", "")
        lines.append(f"{indent}{name:<{width}}  {text}".rstrip())
    return "\n".join(lines)


def _section(value: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any] | None:
    """The mapping that a key holds, whatever stands around it (a list of them, names to them, a shorthand)."""
    if "$ref" in value:
        found: dict[str, Any] = schema["$defs"][value["$ref"].rpartition("/")[2]]
        return found
    inner: list[Any] = [*value.get("anyOf", ()), *value.get("patternProperties", {}).values()]
    inner += [value[key] for key in ("items", "additionalProperties") if isinstance(value.get(key), dict)]
    sections = (_section(item, schema) for item in inner)
    return next((section for section in sections if section is not None), None)
