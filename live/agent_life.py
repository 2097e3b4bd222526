"""Which life of an agent this is: one small file in its spool, written before the life begins.

Used by `live/agent_program.py` and by the server for its `local` agent. Epochs grow for ever, also when the spool was
wiped: a new one is never below the seconds of the wall clock. `remembers` is the life that made the spool: what was
given to an earlier one is not known here, because its logs are gone with the old spool.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from live.clock import wall_ns
from model.errors import LaulimaError
from model.job import SECOND

LIFE_NAME: Final = "life"
_LIFE: Final = re.compile("[0-9]{1,18}")


class LifeError(LaulimaError):
    """The file is there and cannot be read: guessing a life could revive what an earlier one was told."""


@dataclass(frozen=True, slots=True)
class Life:
    """`epoch`: this life. `remembers`: the earliest life whose attempts the logs of this spool cover."""

    epoch: int
    remembers: int


def begin_life(spool: Path) -> Life:
    """Count one up, durably. Called by the owner of the spool, once at each start. Raises LifeError, OSError."""
    path = spool / LIFE_NAME
    newest = wall_ns() // SECOND
    try:
        text = path.read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        life = Life(newest, newest)
    else:
        life = _next_life(path, text, newest)
    written = path.with_suffix(".new")
    with open(written, "w", encoding="ascii") as file:
        file.write(f"{life.epoch} {life.remembers}\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(written, path)
    directory_fd = os.open(spool, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory_fd)
    finally:
        os.close(directory_fd)
    return life


def _next_life(path: Path, text: str, newest: int) -> Life:
    words = text.split()
    if len(words) != 2 or not all(_LIFE.fullmatch(word) for word in words):
        raise LifeError(
            f"{path} does not say which life of the agent was the last",
            "if nothing of this host runs any more, remove its whole folder: what it held is then reported lost",
        )
    return Life(max(int(words[0]) + 1, newest), int(words[1]))
