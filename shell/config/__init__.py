"""Configuration: from a YAML file to `model.configuration.Configuration`, with every error at its place.

What stands here is imported when it is asked for: a command that only reads where the file says what (`places.py`) does
not pay for the whole schema.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shell.config.loading import LoadedConfiguration, load, load_text
    from shell.config.problems import InvalidConfiguration, KeyPath, Problem, Spot, dotted
    from shell.config.reading import Data, Document, read_document
    from shell.config.validation import Section, validate

_HOMES = {
    "Data": "reading",
    "Document": "reading",
    "InvalidConfiguration": "problems",
    "KeyPath": "problems",
    "LoadedConfiguration": "loading",
    "Problem": "problems",
    "Section": "validation",
    "Spot": "problems",
    "dotted": "problems",
    "load": "loading",
    "load_text": "loading",
    "read_document": "reading",
    "validate": "validation",
}
"""The module of each name."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


__all__ = [
    "Data",
    "Document",
    "InvalidConfiguration",
    "KeyPath",
    "LoadedConfiguration",
    "Problem",
    "Section",
    "Spot",
    "dotted",
    "load",
    "load_text",
    "read_document",
    "validate",
]
