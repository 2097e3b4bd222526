"""Trees without their positions and hints, for tests: two texts mean the same when their shapes are equal.

A shape is plain nested lists, made and compared without recursion on Python's stack, since trees may be 200 levels
deep.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

from shell.language.tree import Position, Script


def shape(script: Script) -> list[Any]:
    """Every node of a script in one flat list, in order: its type, its texts, and marks where a body begins and
    ends."""
    found: list[Any] = []
    left: list[Any] = [script.body]
    while left:
        item = left.pop()
        if isinstance(item, tuple) and not isinstance(item, Position):
            left.extend([")", *reversed(item), "("])
        elif is_dataclass(item):
            found.append(type(item).__name__)
            names = [field.name for field in reversed(fields(item)) if field.name not in {"at", "hint"}]
            left.extend(getattr(item, name) for name in names)
        else:
            found.append(item)
    return found


def problems(script: Script) -> list[tuple[str, bool]]:
    """What is wrong, without places and hints."""
    return [(problem.text, problem.unfinished) for problem in script.problems]
