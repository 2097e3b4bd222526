"""A document against a pydantic model: every problem at once, each with its place and its near miss.

Used by the configuration and the scenario loader. The only place that knows pydantic's error types.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from shell.config.problems import KeyPath, Problem
from shell.config.reading import Document
from shell.wording import clean, cut, nearest

M = TypeVar("M", bound=BaseModel)


class Section(BaseModel):
    """Base of all mappings in our files: unknown keys are errors, attribute docstrings become the key's help."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, populate_by_name=False)


def validate(document: Document, model: type[M]) -> tuple[M | None, list[Problem]]:
    """The document as `model`, or None and all that is wrong with it, sorted by place.

    What the reader refused already is not complained about again.
    """
    empty = {path for path in _empty(document.data) if not document.refused(path)}
    try:
        valid = model.model_validate(document.data)
        if not empty:
            return valid, []
        problems: list[Problem] = []
    except ValidationError as error:
        fresh = [details for details in error.errors(include_url=False) if not document.refused(_path(details))]
        problems = [_problem(details, document, model) for details in fresh]
        empty -= {_path(details) for details in fresh}
    problems += [document.problem(path, "is empty; give it a value or leave it out", key=True) for path in empty]
    return None, sorted(dict.fromkeys(problems))


def _empty(data: Any, here: KeyPath = ()) -> Iterator[KeyPath]:
    """Where nothing was written: no key of ours means anything without a value."""
    if data is None:
        yield here
    elif isinstance(data, dict):
        for key, value in data.items():
            yield from _empty(value, (*here, key))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from _empty(value, (*here, index))


def validate_partly(document: Document, model: type[M]) -> tuple[M | None, list[Problem], frozenset[KeyPath]]:
    """Like `validate`, but makes a model of the parts that are right, so that they can be checked further.

    The last part of the answer names what was left out; nothing may be concluded from the absence of these.
    """
    first, problems = validate(document, model)
    if first is not None:
        return first, problems, document.refusals
    data: Any = document.data
    dropped: set[KeyPath] = set(document.refusals)
    for _round in range(DROP_ROUNDS_MAX):
        try:
            return model.model_validate(data), problems, frozenset(dropped)
        except ValidationError as error:
            paths = {_droppable(details) for details in error.errors(include_url=False)}
        if () in paths:
            break
        dropped |= paths
        data = _without(data, paths)
    return None, problems, frozenset(dropped)


DROP_ROUNDS_MAX = 8
"""How often parts are left out: each round may uncover that what is around a part is now incomplete."""


def _droppable(details: ErrorDetails) -> KeyPath:
    """The innermost key to leave out; never an item of a list, since the places of those behind it would shift."""
    path = _path(details)
    if details["type"] == "missing":
        path = path[:-1]
    while path and not isinstance(path[-1], str):
        path = path[:-1]
    return path


def _without(data: Any, paths: set[KeyPath], here: KeyPath = ()) -> Any:
    if isinstance(data, dict):
        return {key: _without(value, paths, (*here, key)) for key, value in data.items() if (*here, key) not in paths}
    if isinstance(data, list):
        return [_without(value, paths, (*here, index)) for index, value in enumerate(data)]
    return data


def _path(details: ErrorDetails) -> KeyPath:
    """pydantic's place without the step that it adds for a key itself."""
    steps = details["loc"]
    return steps[:-1] if steps[-1:] == ("[key]",) else steps


def _problem(details: ErrorDetails, document: Document, model: type[BaseModel]) -> Problem:
    path = _path(details)
    kind = details["type"]
    if kind == "extra_forbidden":
        word = str(path[-1])
        if word not in (known := _known_keys(model, path[:-1])) and (deeper := _below(model, path[:-1], word)):
            return document.problem(path, f"no key of this section: it stands below {deeper}", key=True)
        listed = f"; known here: {', '.join(known)}" if known else ""
        return document.problem(path, f"unknown key{nearest(word, known) or listed}", key=True)
    if kind == "missing":
        help_text = _help(model, path)
        return document.problem(path, f"is missing: {help_text}" if help_text else "is missing", key=True)
    key = details["loc"][-1:] == ("[key]",)
    return document.problem(document.existing(path), _sentence(kind, details), key=key)


def _sentence(kind: str, details: ErrorDetails) -> str:
    """What is wrong, in plain words."""
    if kind == "value_error":
        return str(details.get("ctx", {}).get("error", details["msg"]))
    expected = {
        "model_type": "keys with values",
        "model_attributes_type": "keys with values",
        "dict_type": "keys with values",
        "list_type": "a list",
        "tuple_type": "a list",
        "string_type": "a word",
    }.get(kind)
    if expected is None:
        return details["msg"][:1].lower() + details["msg"][1:]
    return f"expects {expected}, {found(details['input'])}"


def found(value: object) -> str:
    """What stands there instead, for the end of a sentence that begins with `expects`."""
    if value is None:
        return "but is empty"
    if isinstance(value, str):
        return f'not "{cut(clean(value), 40)}"'
    return "not keys with values" if isinstance(value, dict) else "not a list"


def _below(model: type[BaseModel], path: KeyPath, word: str) -> str:
    """The key of the mapping at `path` whose own mapping knows `word`: `periods` for `timeout`; or nothing."""
    return next((key for key in _known_keys(model, path) if word in _known_keys(model, (*path, key))), "")


def _known_keys(model: type[BaseModel], path: KeyPath) -> list[str]:
    """The keys that the mapping at `path` may have."""
    annotation: Any = model
    for step in path:
        annotation = _step(annotation, step)
    section = _section(annotation)
    if section is None:
        return []
    fields = section.model_fields.items()
    return [field.alias or name for name, field in fields if field.annotation is not type(None)]


def _help(model: type[BaseModel], path: KeyPath) -> str:
    """The help of the key at `path`, or nothing."""
    annotation: Any = model
    for step in path[:-1]:
        annotation = _step(annotation, step)
    section = _section(annotation)
    fields = {} if section is None else section.model_fields
    return next((field.description or "" for name, field in fields.items() if (field.alias or name) == path[-1]), "")


def _step(annotation: Any, step: str | int) -> Any:
    section = _section(annotation)
    if section is not None:
        for name, field in section.model_fields.items():
            if (field.alias or name) == step:
                return field.annotation
        return None
    for candidate in _alternatives(annotation):
        arguments = get_args(candidate)
        if get_origin(candidate) is dict and isinstance(step, str):
            return arguments[1]
        if get_origin(candidate) in (list, tuple) and isinstance(step, int):
            return arguments[0]
    return None


def _section(annotation: Any) -> type[BaseModel] | None:
    for candidate in _alternatives(annotation):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def _alternatives(annotation: Any) -> list[Any]:
    """The annotation without `Annotated` and `| None`, as a list of what it may be."""
    if get_origin(annotation) is Annotated:
        return _alternatives(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [found_one for part in get_args(annotation) for found_one in _alternatives(part)]
    return [annotation]
