"""`laulima sim --checkpoint FILE`: when a checkpoint is written, what it is of, and what a person is told of it.

Called by `shell/simulate.py`. What a checkpoint is: `sim/checkpoints.py`. Many worlds keep those that are finished
instead (`shell/finished_worlds.py`).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from hashlib import blake2b
from pathlib import Path

import shell
from model.errors import ConfigurationError
from shell.file_errors import refuse_unwritable
from shell.prepared import Prepared, scripted
from shell.wording import duration
from sim.checkpoints import Checkpoints, inputs_digest

EVERY_S = 60.0
"""A checkpoint is written so often at most: that much computing is lost with the process."""
SHARE = 0.05
"""Writing takes no more than this of the time."""


class Pace:
    """Says when the next checkpoint is due, by the time that passes and what the last one took."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, every_s: float = EVERY_S) -> None:
        self._clock = clock
        self._every_s = every_s
        self._began = self._next = clock()
        self._next += every_s
        self._writing = False

    def due(self) -> bool:
        """Asked between two pieces of the simulation; what follows a True is the writing of one."""
        now = self._clock()
        if self._writing:
            self._writing = False
            self._next = now + max(self._every_s, (now - self._began) / SHARE)
        if now < self._next:
            return False
        self._began, self._writing = now, True
        return True


def checkpoints_of(prepared: Prepared, path: Path, log: Path | None, words: Sequence[str]) -> Checkpoints:
    """For this world. `words`: what else is asked of it, so that the same is read. Raises `ConfigurationError`."""
    if log is None:
        raise ConfigurationError(
            "--checkpoint needs the event log: what went before is proved by it, and its hash goes on from there",
            "as in --checkpoint year.checkpoint --log year.jsonl",
        )
    refuse_unwritable(path)
    loaded = prepared.loaded
    digest = inputs_digest(loaded.configuration, loaded.scenario, (*prepared.words(), *words))
    code = shell_digest() if scripted(loaded.configuration, loaded.scenario) else ""
    return Checkpoints(path, digest, Pace().due, code=code, put_off=partial(_tell_put_off, path))


@lru_cache(maxsize=1)
def shell_digest() -> str:
    """Of the code that script machines and their driver are made of, as it was when first asked for."""
    digest, folder = blake2b(digest_size=16), Path(str(shell.__file__)).parent
    for file in sorted(folder.rglob("*.py")):
        digest.update(str(file.relative_to(folder)).encode() + file.read_bytes())
    return digest.hexdigest()


def _tell_put_off(path: Path) -> None:
    sys.stderr.write(
        f"nothing is written to {path} for now: a script is always in the middle of its lines (a loop or a `sleep` of "
        "its file, or macros that take long); it is written when none is\n"
    )


def tell_found(checkpoints: Checkpoints) -> None:
    """On stderr: from where it goes on."""
    head = checkpoints.head
    if head is not None:
        done = f"{duration(head.t)} of {duration(head.for_ns)}"
        sys.stderr.write(f"goes on from {checkpoints.path}: {done} were simulated before\n")
