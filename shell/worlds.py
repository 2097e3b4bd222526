"""Worlds as YAML files: explicit scripts of what happens, which outlive every change of what a seed draws.

    about: what this world once showed
    plant: 15                 (only in tests/regress/planted-*.yaml) with this bug planted it must show it
    promise: P3               what was seen broken
    configuration: {…}        the fields of `model.configuration.Configuration` and `sim.scenario.Scenario`,
    scenario: {…}             where they are not as usual; times are ns

Written and replayed by `laulima torture`; written by `laulima sim --shrink` and rehearsed by `laulima sim`; every file
in tests/regress/ is replayed by the tests.
"""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

from msgspec import Struct
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from model.configuration import Configuration
from model.errors import ConfigurationError
from shell.file_errors import read_bounded
from sim.plain import plain, world_of
from sim.scenario import Scenario

WORLD_MAX = 1 << 20
"""Bytes of a world's file; those of small worlds have some kB."""
HINT = "a world is written by `laulima torture --save`"


class WrittenWorld(Struct):
    """A world of a file. `plant`: the number of the planted bug that it shows; 0: none."""

    about: str
    promise: str
    configuration: Configuration
    scenario: Scenario
    plant: int = 0


def write_world(world: WrittenWorld, path: Path) -> None:
    """Write the file anew."""
    told: dict[str, Any] = {"about": world.about}
    if world.plant:
        told["plant"] = world.plant
    told |= {
        "promise": world.promise,
        "configuration": plain(world.configuration),
        "scenario": plain(world.scenario),
    }
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = None  # short lists on one line
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.width = 110
    text = StringIO()
    yaml.dump(told, text)
    path.write_text(text.getvalue())


def is_world(told: object) -> bool:
    """Whether this is what a file of a world holds: no pipeline has these keys."""
    return isinstance(told, dict) and {"configuration", "scenario"} <= set(told)


def read_world(path: Path) -> WrittenWorld:
    """The world of a file. Raises `ConfigurationError` for what is none."""
    try:
        told = YAML(typ="safe", pure=True).load(read_bounded(path, WORLD_MAX, HINT))
    except YAMLError as error:
        raise ConfigurationError(f"{path}: {error}", HINT) from error
    if not isinstance(told, dict):
        raise ConfigurationError(f"{path} tells no world", HINT)
    configuration, scenario = world_of(told)
    about, promise, plant = told.get("about", ""), told.get("promise", ""), told.get("plant", 0)
    return WrittenWorld(str(about), str(promise), configuration, scenario, int(plant))
