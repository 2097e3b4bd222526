"""Configuration: from a YAML file to `model.configuration.Configuration`, with every error at its place."""

from shell.config.loading import LoadedConfiguration, load, load_text
from shell.config.problems import InvalidConfiguration, KeyPath, Problem, Spot, dotted
from shell.config.reading import Data, Document, read_document
from shell.config.validation import Section, validate

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
