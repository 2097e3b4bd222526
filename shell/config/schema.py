"""The JSON schema of the configuration, for editors. Committed as `configs/schema.json`; a test says when it is old.

Run `python -m shell.config.schema > configs/schema.json` after a change of `sections.py`.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaWarningKind

from shell.config.sections import ConfigurationSection

SCHEMA = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """The schema of the whole file. Looser than the loader where a schema cannot say it (references, circles)."""
    body = _tidy(ConfigurationSection.model_json_schema())
    some = [{"required": ["tasks"]}, {"required": ["scripts"]}, {"required": ["cluster"]}]
    return {"$schema": SCHEMA, **body, "anyOf": some, "title": "laulima configuration"}


def scenario_schema() -> dict[str, Any]:
    """The same of a scenario file; for the reference and `laulima docs scenario`."""
    from shell.config.scenario_sections import ScenarioSection  # noqa: PLC0415 - it brings the simulator's words

    return dict(_tidy(ScenarioSection.model_json_schema(schema_generator=_Quiet)))


class _Quiet(GenerateJsonSchema):
    """A default that JSON cannot say stands in the key's help."""

    def emit_warning(self, kind: JsonSchemaWarningKind, detail: str) -> None:
        """Not to people."""


def schema_text() -> str:
    """The schema as the file holds it."""
    return json.dumps(_without_comments(json_schema()), indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def _without_comments(value: Any) -> Any:
    """Editors show descriptions; what kind of text stands where is for the reference only."""
    if isinstance(value, list):
        return [_without_comments(item) for item in value]
    if not isinstance(value, dict):
        return value
    told = {key: _without_comments(item) for key, item in value.items() if key != "$comment"}
    return {key: item for key, item in told.items() if key != "propertyNames" or item}


def _tidy(value: Any, *, named: bool = False) -> Any:
    """Without what tells an editor nothing: generated titles, and defaults that only mean `not said`.

    `named`: the mapping's keys are names of ours (properties, definitions), not words of the schema.
    """
    if isinstance(value, list):
        return [_tidy(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "patternProperties" in value:  # a key that is no name is wrong
        value = {**value, "additionalProperties": False}
    return {
        key: _tidy(item, named=not named and key in ("properties", "$defs"))
        for key, item in value.items()
        if named or not (key == "title" or (key == "default" and (item in (None, []) or isinstance(item, dict))))
    }


if __name__ == "__main__":
    sys.stdout.write(schema_text())
