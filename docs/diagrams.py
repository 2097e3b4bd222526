"""Writes docs/reference/states.md: a diagram of each table of moves in `model`, so that none is older than its table.

`make docs` runs it; `tests/test_architecture.py` compares. A table is a module-level dict whose name ends in `_MOVES`,
shown under the module that defines it.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Mapping
from enum import Enum
from pathlib import Path

import model
from model.states import diagram

PAGE = Path(__file__).parent / "reference" / "states.md"

Table = Mapping[Enum, frozenset[Enum]]

HEAD = """# States

What can be where, and what can follow. `python -m docs.diagrams` makes this page from the tables in `model/`: change
the table, then run `make docs`. A move that is not in its table raises `ImpossibleMoveError`.
"""


def tables() -> list[tuple[str, str, Table]]:
    """All tables of moves as (path of the module, name, table), in the order of the modules' names."""
    found: list[tuple[str, str, Table]] = []
    for entry in pkgutil.iter_modules(model.__path__):
        module = importlib.import_module(f"model.{entry.name}")
        for name, value in vars(module).items():
            if name.endswith("_MOVES") and isinstance(value, dict) and _belongs_to(module.__name__, value):
                found.append((f"model/{entry.name}.py", name, value))
    return found


def page() -> str:
    """The whole text of docs/reference/states.md."""
    parts = [HEAD]
    for path, name, table in tables():
        title = name.removesuffix("_MOVES").lower().replace("_", " ")
        parts.append(f"## {title.capitalize()}\n\n`{name}` in `{path}`\n\n{diagram(table, title)}\n")
    return "\n".join(parts)


def _belongs_to(module: str, table: Table) -> bool:
    """Whether the table stands in this module and was not imported into it: it stands beside the enum of its states."""
    return all(type(state).__module__ == module for state in table)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stderr.write(f"wrote {PAGE.name}: {len(tables())} tables\n")
