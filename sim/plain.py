"""A world as plain values and back: what a file can hold, without what is as usual.

For worlds that are kept as explicit scripts (tests/regress/): they say what happens, so they outlive every change of
what a seed draws. Text and files are `shell/worlds.py`.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

import msgspec
from msgspec import NODEFAULT, Struct
from msgspec.structs import fields

from model.configuration import Configuration
from model.errors import ConfigurationError
from sim.scenario import Scenario


def plain(value: Any) -> Any:
    """Lists, dictionaries, texts and numbers; a struct without the fields that have their default."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Struct):
        settings = value.__struct_config__
        if settings.array_like:
            return msgspec.to_builtins(value)
        told = {} if settings.tag is None else {settings.tag_field: settings.tag}
        for each in fields(type(value)):
            found = getattr(value, each.name)
            usual = each.default if each.default_factory is NODEFAULT else each.default_factory()
            if usual is NODEFAULT or found != usual:
                told[each.encode_name] = plain(found)
        return told
    if isinstance(value, (tuple, list)):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    return value


def world_of(told: dict[str, Any]) -> tuple[Configuration, Scenario]:
    """The world that `{"configuration": …, "scenario": …}` tells. Raises `ConfigurationError`."""
    try:
        configuration = msgspec.convert(told.get("configuration"), Configuration)
        return configuration, msgspec.convert(told.get("scenario"), Scenario)
    except msgspec.ValidationError as error:
        raise ConfigurationError(
            f"this is no world: {error}", "a world is written by `laulima torture --save`"
        ) from error
