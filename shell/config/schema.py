"""The JSON schema of the configuration, for editors. Committed as `configs/schema.json`; a test says when it is old.

Run `python -m shell.config.schema > configs/schema.json` after a change of `sections.py`.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from shell.config.sections import ConfigurationSection

SCHEMA = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """The schema of the whole file. Looser than the loader where a schema cannot say it (references, circles)."""
    body = _tidy(ConfigurationSection.model_json_schema())
    some = [{"required": ["tasks"]}, {"required": ["scripts"]}, {"required": ["cluster"]}]
    return {"$schema": SCHEMA, **body, "anyOf": some, "title": "laulima configuration"}


def schema_text() -> str:
    """The schema as the file holds it."""
    return json.dumps(json_schema(), indent=1, ensure_ascii=False, sort_keys=True) + "\n"


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
