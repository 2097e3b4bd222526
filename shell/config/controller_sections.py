"""The keys about a controller with a process of its own: `controller` (a pipeline says which one it uses) and
`cluster.schedulers` (a controller's file says on what terms).

Used by `sections.py` for the schema, by `conversion.py` and by `checks.py`. What they mean is
`live/controller_choice.py` and `model/sharing.py`.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator

from model.configuration import ControllerKind, ControllerPlace
from model.sharing import SHARE_MAX, Terms
from shell.config.fields import Checked, Choice, Whole
from shell.config.validation import Section
from shell.hostset import HOST_NAME
from shell.wording import clean, cut, nearest

WORDS = (ControllerKind.EMBEDDED.value, ControllerKind.SPAWN.value)
SOCKET_NAME = "schedulers.sock"
"""The controller's socket in its state directory (`live/state_directory.py`)."""
LIMIT_MAX = 10**9
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.-]")


def _check_socket(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise ValueError("expects the socket of a controller, or its state directory")
    return text


def _check_scheduler(text: str) -> str:
    if not HOST_NAME.fullmatch(text):
        raise ValueError(f'"{cut(clean(text), 40)}" cannot be the name of a scheduler: letters, digits, _ . -')
    return text


class ControllerSection(Section):
    """Which controller the jobs for hosts go to: embedded (default), spawn (a process of its own, which the server
    starts and ends with itself), or one that several schedulers share, by its socket."""

    socket: Annotated[str, Checked(_check_socket, "a path")]
    """the socket of a controller (`laulima controller FILE`), or its state directory"""
    name: Annotated[str | None, Checked(_check_scheduler, "a name")] = None
    """what this scheduler is called there (default: the name of this file)"""


def _word(value: object) -> object:
    """A word stands where a mapping is expected otherwise."""
    if not isinstance(value, str):
        return value
    if value not in WORDS:
        raise ValueError(f"expects embedded, spawn or {{socket: PATH}}{nearest(value, WORDS)}")
    return {"socket": value}


ControllerKey = Annotated[
    ControllerSection | None,
    BeforeValidator(_word, json_schema_input_type=Annotated[str, Choice(WORDS)] | ControllerSection),
]


class SchedulerSection(Section):
    """On what terms a scheduler uses the controller."""

    share: Annotated[int, Whole(1, SHARE_MAX)] = 1
    """its weight: one with 2 gets twice as many slots as one with 1, while both ask for them (default 1)"""
    pending_max: Annotated[int | None, Whole(0, LIMIT_MAX)] = None
    """its jobs that wait; one more ends OVERLOADED (default: pending_max of the cluster)"""
    in_flight_max: Annotated[int | None, Whole(1, LIMIT_MAX)] = None
    """its jobs that are at hosts; others wait (default: any number)"""


SchedulerName = Annotated[str, Checked(_check_scheduler, "a name")]


def controller_place(section: ControllerSection | None, path: Path) -> ControllerPlace:
    """`path`: of the file, from whose folder relative ones start and whose name is the scheduler's otherwise."""
    if section is None or section.socket == ControllerKind.EMBEDDED.value:
        return ControllerPlace()
    if section.socket == ControllerKind.SPAWN.value:
        return ControllerPlace(ControllerKind.SPAWN)
    socket = os.path.normpath(path.parent / Path(section.socket).expanduser())
    if not socket.endswith(".sock"):
        socket = os.path.join(socket, SOCKET_NAME)
    name = section.name or _NOT_IN_NAMES.sub("_", path.stem).lstrip(".-")[:64] or "scheduler"
    return ControllerPlace(ControllerKind.SOCKET, socket, name)


def is_shared(section: ControllerSection | None) -> bool:
    """Whether the hosts are those of a controller that others use as well, so that this file does not know them."""
    return section is not None and section.socket not in WORDS


def scheduler_terms(sections: dict[str, SchedulerSection], pending_max: int) -> tuple[tuple[str, Terms], ...]:
    """By name; with `pending_max` of the cluster where none was said."""
    return tuple(
        (
            name,
            Terms(each.share, pending_max if each.pending_max is None else each.pending_max, each.in_flight_max or 0),
        )
        for name, each in sections.items()
    )
