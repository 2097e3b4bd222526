"""Moves between states, by a literal table.

A machine's states are an enum and its moves are one dict: state -> states that may follow, terminal states with an
empty row. `docs/reference/states.md` shows diagrams that are generated from these tables by `diagram`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import TypeVar, cast

from model.errors import ImpossibleMoveError

S = TypeVar("S", bound=Enum)


class State(Enum):
    """Base of the states: an enum whose hash is that of the object, for a table is looked up at every move."""

    __hash__ = object.__hash__


E = TypeVar("E", bound=Enum)


def quick(enum: type[E]) -> type[E]:
    """The members of an enum as attributes of a plain object, for the heads of modules: `_S = quick(JobState)`.

    In Python 3.11 a member costs 70 ns to look up in its enum (whose class has a `__getattr__`), and 2 ns in an object
    with slots (one with a dictionary of its own, as `SimpleNamespace`, is looked up in the general way: 250
    instructions more). The machines do it some 100 times in the life of a job.
    """
    members = type(enum.__name__, (), {"__slots__": tuple(enum.__members__)})()
    for name, member in enum.__members__.items():
        setattr(members, name, member)
    return cast("type[E]", members)


def check_move(table: Mapping[S, frozenset[S]], old: S, new: S, what: str, story: str = "") -> None:
    """Raise `ImpossibleMoveError`, with the thing's own story, when the table does not hold the move."""
    if new not in table[old]:
        raise ImpossibleMoveError(f"{what} cannot go from {old.value} to {new.value}" + (f"; {story}" if story else ""))


def diagram(table: Mapping[S, frozenset[S]], title: str) -> str:
    """The table as a Mermaid state diagram, in the order of the enum."""
    order = list(table)
    lines = ["```mermaid", "---", f"title: {title}", "---", "stateDiagram-v2"]
    for old in order:
        lines.extend(f"    {old.name} --> {new.name}" for new in sorted(table[old], key=order.index))
        if not table[old]:
            lines.append(f"    {old.name} --> [*]")
    return "\n".join([*lines, "```"])
