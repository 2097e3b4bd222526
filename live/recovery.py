"""From the journal to what the machines must know: each record read with the clock of this boot, then the model's fold.

Called by `live/server.py` at its start. What a record means is `model/restored.py`'s; here only times are translated.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator

from msgspec import structs

from live.clock import boot_id, monotonic_ns, wall_ns
from live.journal import Header, Journal, JournalBrokenError
from model.records import JobAccepted, Record, SnapshotTasks
from model.restored import Fold, RestoredTask, fold


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """For making much that stays: Python's collector does not look for cycles meanwhile, and afterwards takes all that
    is there for permanent. With 100,000 jobs it would look through millions of objects again and again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        if enabled:
            gc.enable()


def recover(journal: Journal) -> Fold:
    """What was unfinished and what counts, of both nodes. Raises JournalBrokenError."""
    folded = fold(_in_this_boot(journal))
    if journal.snapshot() and not folded.snapshots:
        raise JournalBrokenError(
            f"{journal.path}: the snapshot at record {journal.snapshot()} is not complete",
            "the file was left as it is; start with another state directory or restore a copy",
        )
    return folded


def _in_this_boot(journal: Journal) -> Iterator[Record]:
    boot, offset_now = boot_id(), monotonic_ns() - wall_ns()
    for header, record in journal.replay():
        if header.boot == boot:
            yield record
        else:
            yield _translated(record, header, offset_now)


def _translated(record: Record, header: Header, offset_now: int) -> Record:
    """The record with its due time by the clock of this boot."""
    if type(record) is JobAccepted and record.due_ns:
        return structs.replace(record, due_ns=record.due_ns + _shift_ns(header, offset_now))
    if type(record) is SnapshotTasks:
        shift_ns = _shift_ns(header, offset_now)
        return SnapshotTasks({name: _shifted(task, shift_ns) for name, task in record.tasks.items()})
    return record


def _shifted(task: RestoredTask, shift_ns: int) -> RestoredTask:
    due_ns = task.last_due_ns
    return task if due_ns is None else structs.replace(task, last_due_ns=due_ns + shift_ns)


def _shift_ns(header: Header, offset_now: int) -> int:
    """What to add to a clock reading of another boot: time away is counted by the wall clock, and is never negative."""
    shift = offset_now - (header.clock_ns - header.wall_ns)
    latest = monotonic_ns() - header.clock_ns
    return min(shift, latest)
