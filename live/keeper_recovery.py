"""What a keeper takes over from the one of its number that died: its processes are ended, its attempts are LOST.

Called once by `keeper_process.py`, before the keeper listens to anybody. Everything that the dead one said to be over
stays as it was said. (`keeper_guard.py` ends the processes, too, where no successor comes.)
"""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from pathlib import Path

from live.clock import boot_id
from live.spool import Begun, OutputPool, Stream, read_log
from live.trees import end_marked
from model.job import AttemptKey, Outcome, Report
from model.messages import Entry, Held

STEPS = 50
"""Times that what is left is killed; with the pauses between, some 4 s."""


def recover(path: Path, pool: OutputPool, identity: str, number: int) -> list[Entry]:
    """The ends to hold; attempts that ran are among them as LOST, with their output. Raises OSError, SpoolError."""
    contents = read_log(path)
    survivors = end_marked(identity, number, pauses())
    reason = "its keeper died" if contents.boot == boot_id() else "its host was restarted"
    entries = list(contents.ended.values())
    for key, begun in contents.begun.items():
        entries.append(_lost(key, begun, pool, reason, survivors))
    pool.clear()
    if contents.torn:
        os.replace(path, path.with_suffix(".torn"))
    return entries


def _lost(key: AttemptKey, begun: Begun, pool: OutputPool, reason: str, survivors: tuple[int, ...]) -> Entry:
    report = Report(
        Outcome.LOST,
        reason=reason,
        started=True,
        stdout_bytes=_rescue(pool, begun.stdout, key, "stdout"),
        stderr_bytes=_rescue(pool, begun.stderr, key, "stderr"),
        survivors=survivors,
    )
    return Entry(begun.job, begun.attempt, Held.ENDED, begun.spec, "", report)


def _rescue(pool: OutputPool, name: str, key: AttemptKey, stream: Stream) -> int:
    size = pool.size(name, *key, stream)
    if size and pool.is_unnamed(name):
        pool.rename(name, *key, stream)
    return size


def pauses() -> Iterator[None]:
    """`STEPS` times, with a pause that grows to 0.1 s between them."""
    pause = 0.001
    for _ in range(STEPS):
        yield None
        select.select([], [], [], pause)
        pause = min(2 * pause, 0.1)
